//! Destinations: until when each is left alone, and its breaker.

use super::{Answer, Refusal, Rules, State};

/// When a breaker opens, and when it closes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "complete: what decides about a breaker")]
pub struct BreakerRules {
    /// Failures in a row after which it opens.
    pub failures: u32,
    /// Ticks that it stays open.
    pub cooldown_ticks: u64,
    /// Trials in a row that must succeed before it closes.
    pub trials: u32,
}

/// One destination at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Destination {
    /// Nothing is sent to it before this tick: it asked for that. Zero once that is over.
    pub held_until: u64,
    /// Its breaker.
    pub breaker: Breaker,
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete: the three states of a circuit breaker")]
pub enum Breaker {
    /// Requests pass.
    Closed {
        /// Failures in a row so far.
        failures: u32,
    },
    /// Nothing passes.
    Open {
        /// The tick from which on one may try.
        until: u64,
    },
    /// One at a time tries.
    HalfOpen {
        /// Trials in a row that succeeded.
        successes: u32,
        /// Whether one is under way.
        trying: bool,
    },
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Destination {
    /// Whether a request may be sent to it.
    pub(super) fn check(&self, now: u64) -> Result<(), Refusal> {
        if now < self.held_until {
            return Err(Refusal::Held { for_another: self.held_until - now });
        }
        match self.breaker {
            Breaker::Open { until } if now < until => Err(Refusal::BreakerOpen { for_another: until - now }),
            Breaker::HalfOpen { trying: true, .. } => Err(Refusal::TrialUnderWay),
            Breaker::Closed { .. } | Breaker::Open { .. } | Breaker::HalfOpen { .. } => Ok(()),
        }
    }

    /// The tick from which on a request may be sent to it; `None` while that hangs on a trial.
    const fn ready_at(&self) -> Option<u64> {
        match self.breaker {
            Breaker::Open { until } if until > self.held_until => Some(until),
            Breaker::HalfOpen { trying: true, .. } => None,
            Breaker::Closed { .. } | Breaker::Open { .. } | Breaker::HalfOpen { .. } => Some(self.held_until),
        }
    }

    /// Lets a request through; true where it is a trial.
    const fn pass(&mut self) -> bool {
        let successes = match self.breaker {
            Breaker::Closed { .. } => return false,
            Breaker::Open { .. } => 0,
            Breaker::HalfOpen { successes, .. } => successes,
        };
        self.breaker = Breaker::HalfOpen { successes, trying: true };
        true
    }

    /// Takes in how an attempt ended.
    fn learn(&mut self, now: u64, rules: &BreakerRules, trial: bool, answer: Answer) {
        let open = Breaker::Open { until: now.saturating_add(rules.cooldown_ticks) };
        self.breaker = match (self.breaker, answer.speaks_for_the_receiver()) {
            (Breaker::Closed { .. }, Some(true)) => Breaker::Closed { failures: 0 },
            (Breaker::Closed { failures }, Some(false)) if failures + 1 < rules.failures => {
                Breaker::Closed { failures: failures + 1 }
            }
            (Breaker::Closed { .. }, Some(false)) => open,
            // While it is not closed, trials alone have a say.
            (Breaker::HalfOpen { successes, .. }, Some(true)) if trial => {
                if successes + 1 < rules.trials {
                    Breaker::HalfOpen { successes: successes + 1, trying: false }
                } else {
                    Breaker::Closed { failures: 0 }
                }
            }
            (Breaker::HalfOpen { .. }, Some(false)) if trial => open,
            (Breaker::HalfOpen { successes, .. }, None) if trial => {
                Breaker::HalfOpen { successes, trying: false }
            }
            (breaker, _) => breaker,
        };
    }

    /// Forgets what is over: two states that differ in it alone would have the same future.
    const fn forget(&mut self, now: u64) {
        if self.held_until <= now {
            self.held_until = 0;
        }
        if let Breaker::Open { until } = self.breaker
            && until <= now
        {
            self.breaker = Breaker::HalfOpen { successes: 0, trying: false };
        }
    }
}

impl Answer {
    /// What an attempt's end says of the receiver: for it, against it, or neither.
    const fn speaks_for_the_receiver(self) -> Option<bool> {
        match self {
            Self::Accepted | Self::Partial { .. } | Self::Refused => Some(true),
            Self::Busy { retry_after: None } | Self::Lost | Self::Failed | Self::Unusable => Some(false),
            Self::Busy { retry_after: Some(_) } => None,
        }
    }
}

impl State {
    /// How a destination stands; the primary is 0.
    #[must_use]
    pub fn destination(&self, number: u8) -> Destination {
        self.destinations.get(usize::from(number)).copied().unwrap_or_default()
    }

    /// Lets a request through to a destination; true where it is a trial.
    pub(super) fn pass(&mut self, number: u8) -> bool {
        self.change(number, Destination::pass)
    }

    /// Takes in how an attempt at a destination ended.
    pub(super) fn learn(&mut self, rules: &Rules, (number, trial): (u8, bool), answer: Answer) {
        let now = self.now;
        self.change(number, |destination| {
            if let Some(breaker) = &rules.breaker {
                destination.learn(now, breaker, trial, answer);
            }
            if let Answer::Busy { retry_after: Some(asked) } = answer {
                // The whole receiver asked to be left alone; it is believed for no longer than a request lives.
                let hold = now.saturating_add(asked.min(rules.max_elapsed_ticks));
                destination.held_until = destination.held_until.max(hold);
            }
        });
    }

    pub(super) fn forget(&mut self) {
        let now = self.now;
        self.destinations.iter_mut().for_each(|destination| destination.forget(now));
        self.trim();
    }

    /// True where no destination may be used before `deadline`.
    pub(super) fn is_cut_off_until(&self, rules: &Rules, deadline: u64) -> bool {
        let all = (0..rules.destinations).map(|number| self.destination(number));
        all.filter_map(|destination| destination.ready_at()).min().is_some_and(|ready| ready >= deadline)
    }

    fn change<T>(&mut self, number: u8, change: impl FnOnce(&mut Destination) -> T) -> T {
        let mut destination = self.destination(number);
        let result = change(&mut destination);
        let place = usize::from(number);
        if self.destinations.len() <= place {
            self.destinations.resize(place + 1, Destination::default());
        }
        if let Some(slot) = self.destinations.get_mut(place) {
            *slot = destination;
        }
        self.trim();
        result
    }

    /// Those at the end of which nothing is known are left out, so that equal states look equal.
    fn trim(&mut self) {
        while self.destinations.last().is_some_and(|last| *last == Destination::default()) {
            self.destinations.pop();
        }
    }
}
