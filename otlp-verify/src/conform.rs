//! Whether what an exporter recorded is a run of the model: event by event, by the model's own definition.
//!
//! A [`Monitor`] steps [`ExportRetry`], the very model that [`Bfs`](crate::Bfs) explores, by recorded events. Each
//! event must be enabled when it comes; after each, the invariants must hold; and at the end nothing may be left
//! undecided. With the feature `core`, `check` does so for the trace of the real exporter of `otlp-core`.
//!
//! ```
//! use otlp_verify::conform::Monitor;
//! use otlp_verify::spec::export_retry::{Action, Answer, Rules};
//!
//! let mut monitor = Monitor::new(Rules::small());
//! monitor.observe(10, &Action::Enqueue { request: 1, records: 5 })?;
//! monitor.observe(10, &Action::Send { request: 1, attempt: 1, destination: 0 })?;
//! monitor.observe(11, &Action::Answer { request: 1, attempt: 1, answer: Answer::Busy { retry_after: Some(2) } })?;
//! monitor.observe(11, &Action::ScheduleRetry { request: 1, attempt: 1, not_before: 13 })?;
//! let early = monitor.observe(12, &Action::Send { request: 1, attempt: 2, destination: 0 });
//! assert!(early.is_err_and(|misfit| misfit.index() == 4 && misfit.to_string().contains("1 before")));
//! # Ok::<(), otlp_verify::conform::Misfit>(())
//! ```

#[cfg(feature = "core")]
mod recorded;

use std::fmt;

#[cfg(feature = "core")]
pub use recorded::check;

use crate::spec::export_retry::{
    Account, Action, Breaker, EACH_REQUEST, ExportRetry, Pending, Phase, Refusal, Rules, State, WHOLE, World,
};

/// Follows a record of events and stops at the first that the model does not allow.
///
/// Each event costs O(1); memory grows with the requests met (about 64 bytes each). After a misfit the state is
/// that before it, and what comes later says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Monitor {
    rules: Rules,
    state: State,
    summary: Summary,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Summary {
    events: u64,
    attempts: u64,
    retries: u64,
}

/// What a conforming record came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Conformance {
    /// Events checked.
    pub events: u64,
    /// Requests handed in.
    pub requests: u64,
    /// Attempts made.
    pub attempts: u64,
    /// Attempts after the first of their request.
    pub retries: u64,
    /// Requests that are not settled: in the queue or in flight.
    pub queued_requests: u32,
    /// Where every record is.
    pub account: Account,
}

/// Where a record stops being a run of the model, why, and what would have been allowed there.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Misfit(Box<Inner>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Inner {
    index: u64,
    event: Option<String>,
    why: Why,
    allowed: Vec<String>,
}

/// Why a record does not conform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Why {
    /// The event is not enabled in the state before it.
    NotEnabled(Refusal),
    /// The event is enabled, and leads to a state in which this invariant is false.
    Violated(&'static str),
    /// The record ends between an answer and what it meant for this request.
    InLimbo {
        /// The request's number.
        request: u64,
    },
    /// The exporter's own account is not the one that its events add up to.
    Account {
        /// What the events add up to.
        by_events: Account,
        /// What the exporter says.
        claimed: Account,
    },
    /// A breaker does not stand as the exporter says.
    Breaker {
        /// The destination.
        destination: u8,
        /// How it stands by the events so far.
        by_events: Breaker,
    },
    /// A kind of event that the model does not know.
    UnknownEvent,
}

impl Monitor {
    /// A monitor of an exporter that has just been made and keeps `rules`.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { rules, state: State::default(), summary: Summary::default() }
    }

    /// A monitor that goes on where another stood at `state`; it counts events anew.
    #[cfg(feature = "core")]
    pub(crate) fn resume(rules: Rules, state: State) -> Self {
        Self { state, ..Self::new(rules) }
    }

    #[cfg(feature = "core")]
    pub(crate) fn into_state(self) -> State {
        self.state
    }

    /// Takes the next event, which happened at tick `at`.
    ///
    /// # Errors
    /// Where the model does not allow it.
    pub fn observe(&mut self, at: u64, action: &Action) -> Result<(), Misfit> {
        let model = self.model();
        // A refusal of time is one of the event: it came at the wrong instant.
        self.advance(at).map_err(|refusal| self.misfit(action, at, Why::NotEnabled(refusal)))?;
        model
            .apply(&mut self.state, action)
            .map_err(|refusal| self.misfit(action, at, Why::NotEnabled(refusal)))?;
        if let Some(name) = self.violated(&model, action) {
            return Err(self.misfit(action, at, Why::Violated(name)));
        }
        self.summary.events += 1;
        if let Action::Send { attempt, .. } = *action {
            self.summary.attempts += 1;
            self.summary.retries += u64::from(attempt > 1);
        }
        Ok(())
    }

    /// Takes the exporter's word for how a breaker stands at tick `at`.
    ///
    /// # Errors
    /// Where by the events so far it does not.
    pub fn observe_breaker(&mut self, at: u64, destination: u8, claimed: Breaker) -> Result<(), Misfit> {
        self.advance(at).map_err(|refusal| self.ending(Why::NotEnabled(refusal)))?;
        let by_events = self.state.destination(destination).breaker;
        if by_events != claimed {
            return Err(self.ending(Why::Breaker { destination, by_events }));
        }
        self.summary.events += 1;
        Ok(())
    }

    fn advance(&mut self, at: u64) -> Result<(), Refusal> {
        if at == self.state.now {
            return Ok(());
        }
        self.model().apply(&mut self.state, &Action::Tick { to: at })
    }

    /// Where every record is, by the events so far.
    #[must_use]
    pub const fn account(&self) -> Account {
        self.state.account
    }

    /// The state of the model after the events so far.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Says what the record came to, as it ends here.
    ///
    /// # Errors
    /// Where a request was answered and what that meant is missing, where a request was handed in without room and
    /// nothing was dropped, or where `claimed`, the exporter's own account, is not what the events add up to.
    pub fn finish(&self, claimed: Account) -> Result<Conformance, Misfit> {
        if let Some(request) = self.limbo() {
            return Err(self.ending(Why::InLimbo { request }));
        }
        if !self.model().counters_agree(&self.state) {
            return Err(self.ending(Why::Violated("CountersAgree")));
        }
        let by_events = self.state.account;
        if by_events != claimed {
            return Err(self.ending(Why::Account { by_events, claimed }));
        }
        let Summary { events, attempts, retries } = self.summary;
        Ok(Conformance {
            events,
            requests: self.state.requests.len() as u64,
            attempts,
            retries,
            queued_requests: self.state.queued_requests,
            account: by_events,
        })
    }

    fn model(&self) -> ExportRetry {
        ExportRetry::new(self.rules, World::recorded())
    }

    /// The request that something must happen to before the record may end.
    fn limbo(&self) -> Option<u64> {
        match self.state.pending {
            Pending::None => None,
            Pending::Answered(request) => Some(request),
            Pending::Entering(request) => {
                let over = self.state.queued_requests > self.rules.max_queue_requests;
                (over || self.state.phase != Phase::Open).then_some(request)
            }
        }
    }

    /// The invariants that `action` may have made false.
    fn violated(&self, model: &ExportRetry, action: &Action) -> Option<&'static str> {
        let touched = action.request().and_then(|number| self.state.request(number));
        let request = touched.and_then(|request| {
            EACH_REQUEST
                .iter()
                .find(|property| !property.holds(model, &self.state, request))
                .map(|found| found.name)
        });
        let whole =
            || WHOLE.iter().find(|property| !property.holds(model, &self.state)).map(|found| found.name);
        request.or_else(whole)
    }

    fn misfit(&self, action: &Action, at: u64, why: Why) -> Misfit {
        let model = self.model();
        let mut candidates = Vec::new();
        // Of a long record only what is about the event's own request, and time, is of interest.
        let number = match self.state.pending {
            Pending::Answered(request) => Some(request),
            _ => action.request(),
        };
        if let Some((number, request)) = number.and_then(|number| Some((number, self.state.request(number)?)))
        {
            model.propose_for(self.state.now, (number, request), &mut candidates);
        }
        model.propose_whole(&self.state, &mut candidates);
        let allowed = candidates.into_iter().filter(|candidate| model.allows(&self.state, candidate));
        let allowed = allowed.map(|candidate| describe(&candidate, self.state.now)).collect();
        let event = Some(format!("{} at {at}", describe(action, at)));
        Misfit(Box::new(Inner { index: self.summary.events, event, why, allowed }))
    }

    fn ending(&self, why: Why) -> Misfit {
        Misfit(Box::new(Inner { index: self.summary.events, event: None, why, allowed: Vec::new() }))
    }
}

/// An action in a few words; instants count from `now`, since absolute nanoseconds tell a reader nothing.
fn describe(action: &Action, now: u64) -> String {
    match *action {
        Action::Tick { to } => format!("wait another {}", to.saturating_sub(now)),
        Action::ScheduleRetry { request, attempt, not_before } => {
            let wait = not_before.saturating_sub(now);
            format!(
                "ScheduleRetry {{ request: {request}, attempt: {attempt}, not before: {wait} from here }}"
            )
        }
        Action::BeginShutdown { .. } => "BeginShutdown".to_owned(),
        Action::AdvanceShutdown { .. } => "AdvanceShutdown".to_owned(),
        _ => format!("{action:?}"),
    }
}

impl Misfit {
    /// The number of the first event that does not fit, counted from zero; one past the last where the record fits
    /// as far as it goes.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.0.index
    }

    /// Why it does not fit.
    #[must_use]
    pub fn why(&self) -> Why {
        self.0.why
    }

    /// The event itself, in words; `None` where the fault is that the record ends.
    #[must_use]
    pub fn event(&self) -> Option<&str> {
        self.0.event.as_deref()
    }

    /// What would have been allowed in its place, in words: actions of the model on the same request, those of the
    /// whole exporter, and the passing of time.
    #[must_use]
    pub fn allowed(&self) -> &[String] {
        &self.0.allowed
    }
}

impl fmt::Debug for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { index, event, why, allowed } = &*self.0;
        match event {
            Some(event) => write!(f, "event {index}, {event}: {why}")?,
            None => write!(f, "after {index} events: {why}")?,
        }
        if allowed.is_empty() { Ok(()) } else { write!(f, "; allowed: {}", allowed.join(", ")) }
    }
}

impl std::error::Error for Misfit {}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEnabled(refusal) => refusal.fmt(f),
            Self::Violated(name) => write!(f, "{name} is violated"),
            Self::InLimbo { request } => write!(f, "the record ends while request {request} is undecided"),
            Self::Account { by_events, claimed } => {
                write!(f, "the events add up to {by_events}, the exporter claims {claimed}")
            }
            Self::Breaker { destination, by_events } => {
                write!(f, "the breaker of destination {destination} is {by_events:?} by the events so far")
            }
            Self::UnknownEvent => f.write_str("the model does not know this kind of event"),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accepted, exported, rejected, dropped, queued } = self;
        write!(
            f,
            "{accepted} accepted, {exported} exported, {rejected} rejected, {dropped} dropped, {queued} queued"
        )
    }
}

impl fmt::Display for Conformance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, requests, attempts, retries, queued_requests, account } = self;
        write!(
            f,
            "conforms: {events} events of {requests} requests ({queued_requests} not settled), \
             {attempts} attempts ({retries} retries); records: {account}"
        )
    }
}

#[cfg(test)]
mod tests;
