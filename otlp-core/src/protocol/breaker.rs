//! A circuit breaker: after failures in a row nothing is sent for a while, then one request tries.

use std::time::Duration;

use crate::UnixNanos;
use crate::error::{Error, ErrorKind, Result};

/// When a breaker opens, and when it closes again.
///
/// ```
/// use std::time::Duration;
/// use otlp_core::protocol::breaker::BreakerConfig;
/// let config = BreakerConfig::default().failures(3).cooldown(Duration::from_secs(10));
/// config.check()?;
/// # Ok::<(), otlp_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct BreakerConfig {
    /// Failures in a row after which it opens.
    pub failures: u32,
    /// How long it stays open before one request tries.
    pub cooldown: Duration,
    /// Trials in a row that must succeed before it closes.
    pub trials: u32,
}

impl Default for BreakerConfig {
    /// Five failures, thirty seconds, one trial.
    fn default() -> Self {
        Self { failures: 5, cooldown: Duration::from_secs(30), trials: 1 }
    }
}

impl BreakerConfig {
    /// Sets after how many failures in a row it opens; default 5, at least 1.
    #[must_use]
    pub const fn failures(mut self, failures: u32) -> Self {
        self.failures = failures;
        self
    }

    /// Sets how long it stays open; default 30 s, more than zero.
    #[must_use]
    pub const fn cooldown(mut self, cooldown: Duration) -> Self {
        self.cooldown = cooldown;
        self
    }

    /// Sets how many trials in a row must succeed before it closes; default 1, at least 1.
    #[must_use]
    pub const fn trials(mut self, trials: u32) -> Self {
        self.trials = trials;
        self
    }

    /// Checks the values.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value is out of the range that its setter names.
    pub fn check(&self) -> Result<()> {
        if self.failures == 0 || self.trials == 0 || self.cooldown.is_zero() {
            let wrong = "breaker: expected at least 1 failure, 1 trial and a cooldown above zero";
            return Err(Error::new(ErrorKind::Config, wrong));
        }
        Ok(())
    }
}

/// What an outcome says of the receiver, whatever it meant for the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete: for, against, neither")]
pub enum Health {
    /// It answered as a receiver does.
    Good,
    /// It did not.
    Bad,
    /// It lives, and asked to be left alone: neither a success nor a failure.
    Neutral,
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete: the three states of a circuit breaker")]
pub enum BreakerState {
    /// Requests pass.
    Closed {
        /// Failures in a row so far.
        failures: u32,
    },
    /// Nothing passes.
    Open {
        /// From here on one request may try.
        until: UnixNanos,
    },
    /// One request at a time tries.
    HalfOpen {
        /// Trials in a row that succeeded.
        successes: u32,
        /// Whether one is under way.
        trying: bool,
    },
}

/// Leave to send one request; goes back with what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "a trial that is never reported keeps the breaker half open"]
#[expect(clippy::exhaustive_enums, reason = "complete: the two ways through a breaker")]
pub enum Pass {
    /// Through the closed breaker.
    Regular,
    /// As the trial of a breaker that is half open.
    Trial,
}

/// What a report changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete: what an outcome can do to a breaker")]
pub enum Change {
    /// It opened.
    Opened {
        /// Until then nothing passes.
        until: UnixNanos,
    },
    /// It closed.
    Closed,
}

/// A circuit breaker without a clock: the present instant is an argument. Its state is integers.
///
/// ```
/// use std::time::Duration;
/// use otlp_core::UnixNanos;
/// use otlp_core::protocol::breaker::{Breaker, BreakerConfig, Change, Health, Pass};
///
/// let mut breaker = Breaker::new(BreakerConfig::default().failures(1).cooldown(Duration::from_secs(9)));
/// let now = UnixNanos::from_secs(100);
/// let pass = breaker.pass(now).ok_or("closed: everything passes")?;
/// let until = UnixNanos::from_secs(109);
/// assert_eq!(breaker.report(now, pass, Health::Bad), Some(Change::Opened { until }));
/// assert_eq!((breaker.pass(now), breaker.ready_at()), (None, Some(until)));
/// assert_eq!(breaker.pass(until), Some(Pass::Trial));
/// assert_eq!(breaker.pass(until), None, "one at a time");
/// assert_eq!(breaker.report(until, Pass::Trial, Health::Good), Some(Change::Closed));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Breaker {
    config: BreakerConfig,
    state: BreakerState,
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub const fn new(config: BreakerConfig) -> Self {
        Self { config, state: BreakerState::Closed { failures: 0 } }
    }

    /// Lets one request through, or none.
    pub fn pass(&mut self, now: UnixNanos) -> Option<Pass> {
        match self.state {
            BreakerState::Closed { .. } => Some(Pass::Regular),
            BreakerState::Open { until } if now < until => None,
            BreakerState::Open { .. } => Some(self.try_once(0)),
            BreakerState::HalfOpen { trying: true, .. } => None,
            BreakerState::HalfOpen { successes, .. } => Some(self.try_once(successes)),
        }
    }

    /// The instant from which on a request passes, which may have come; `None` while a trial is under way.
    #[must_use]
    pub const fn ready_at(&self) -> Option<UnixNanos> {
        match self.state {
            BreakerState::Closed { .. } | BreakerState::HalfOpen { trying: false, .. } => {
                Some(UnixNanos::ZERO)
            }
            BreakerState::Open { until } => Some(until),
            BreakerState::HalfOpen { trying: true, .. } => None,
        }
    }

    /// Takes what became of a request that was let through. Requests that passed before it opened have no
    /// say while it is open or half open: that is for trials alone.
    pub fn report(&mut self, now: UnixNanos, pass: Pass, health: Health) -> Option<Change> {
        match (self.state, pass, health) {
            (BreakerState::Closed { .. }, _, Health::Good) => {
                self.state = BreakerState::Closed { failures: 0 };
                None
            }
            (BreakerState::Closed { failures }, _, Health::Bad) => {
                self.state = BreakerState::Closed { failures: failures.saturating_add(1) };
                (failures.saturating_add(1) >= self.config.failures).then(|| self.open(now))
            }
            (BreakerState::HalfOpen { successes, .. }, Pass::Trial, Health::Good) => {
                let successes = successes.saturating_add(1);
                let closed = successes >= self.config.trials;
                self.state = if closed {
                    BreakerState::Closed { failures: 0 }
                } else {
                    BreakerState::HalfOpen { successes, trying: false }
                };
                closed.then_some(Change::Closed)
            }
            (BreakerState::HalfOpen { .. }, Pass::Trial, Health::Bad) => Some(self.open(now)),
            (BreakerState::HalfOpen { successes, .. }, Pass::Trial, Health::Neutral) => {
                self.state = BreakerState::HalfOpen { successes, trying: false };
                None
            }
            (BreakerState::Closed { .. }, _, Health::Neutral)
            | (BreakerState::Open { .. }, _, _)
            | (BreakerState::HalfOpen { .. }, Pass::Regular, _) => None,
        }
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> BreakerState {
        self.state
    }

    const fn try_once(&mut self, successes: u32) -> Pass {
        self.state = BreakerState::HalfOpen { successes, trying: true };
        Pass::Trial
    }

    fn open(&mut self, now: UnixNanos) -> Change {
        let until = now + self.config.cooldown;
        self.state = BreakerState::Open { until };
        Change::Opened { until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixNanos = UnixNanos::from_secs(1_000);
    const COOLDOWN: Duration = Duration::from_secs(30);

    fn breaker(failures: u32, trials: u32) -> Breaker {
        Breaker::new(BreakerConfig::default().failures(failures).trials(trials).cooldown(COOLDOWN))
    }

    fn fail(breaker: &mut Breaker, times: usize) -> Vec<Option<Change>> {
        (0..times).map(|_| breaker.report(NOW, Pass::Regular, Health::Bad)).collect()
    }

    #[test]
    fn only_failures_in_a_row_open_it() {
        let mut breaker = breaker(3, 1);
        assert_eq!(fail(&mut breaker, 2), [None, None]);
        assert_eq!(breaker.report(NOW, Pass::Regular, Health::Neutral), None);
        assert_eq!(breaker.report(NOW, Pass::Regular, Health::Good), None);
        assert_eq!(fail(&mut breaker, 2), [None, None], "the success made them start over");
        assert_eq!(fail(&mut breaker, 1), [Some(Change::Opened { until: NOW + COOLDOWN })]);
    }

    #[test]
    fn an_open_breaker_lets_nothing_through_before_its_time_to_the_nanosecond() {
        let mut breaker = breaker(1, 1);
        fail(&mut breaker, 1);
        let until = NOW + COOLDOWN;
        assert_eq!(breaker.pass(until.saturating_sub(Duration::from_nanos(1))), None);
        assert_eq!(breaker.pass(until), Some(Pass::Trial));
    }

    #[test]
    fn one_trial_at_a_time_and_as_many_as_it_takes() {
        let mut breaker = breaker(1, 2);
        fail(&mut breaker, 1);
        let later = NOW + COOLDOWN;
        assert_eq!(breaker.pass(later), Some(Pass::Trial));
        assert_eq!((breaker.pass(later), breaker.ready_at()), (None, None));
        assert_eq!(breaker.report(later, Pass::Trial, Health::Good), None);
        assert_eq!(breaker.pass(later), Some(Pass::Trial));
        assert_eq!(breaker.report(later, Pass::Trial, Health::Good), Some(Change::Closed));
        assert_eq!(breaker.pass(later), Some(Pass::Regular));
    }

    #[test]
    fn a_trial_that_fails_opens_it_anew_and_one_that_says_nothing_leaves_it_half_open() {
        let mut breaker = breaker(1, 1);
        fail(&mut breaker, 1);
        let later = NOW + COOLDOWN;
        assert_eq!(breaker.pass(later), Some(Pass::Trial));
        assert_eq!(breaker.report(later, Pass::Trial, Health::Neutral), None);
        assert_eq!(breaker.pass(later), Some(Pass::Trial), "another may try");
        let opened = Change::Opened { until: later + COOLDOWN };
        assert_eq!(breaker.report(later, Pass::Trial, Health::Bad), Some(opened));
    }

    #[test]
    fn what_was_sent_before_it_opened_has_no_say_in_its_recovery() {
        let mut breaker = breaker(1, 1);
        fail(&mut breaker, 1);
        let open = breaker.clone();
        for health in [Health::Good, Health::Bad, Health::Neutral] {
            assert_eq!(breaker.report(NOW, Pass::Regular, health), None);
            assert_eq!(breaker, open, "{health:?} while open");
        }
        assert_eq!(breaker.pass(NOW + COOLDOWN), Some(Pass::Trial));
        let half_open = breaker.clone();
        for health in [Health::Good, Health::Bad, Health::Neutral] {
            assert_eq!(breaker.report(NOW + COOLDOWN, Pass::Regular, health), None);
            assert_eq!(breaker, half_open, "{health:?} while half open");
        }
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let config = BreakerConfig::default();
        assert!(config.check().is_ok());
        for wrong in [config.failures(0), config.trials(0), config.cooldown(Duration::ZERO)] {
            assert_eq!(wrong.check().expect_err("refused").kind(), ErrorKind::Config);
        }
    }
}
