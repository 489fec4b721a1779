//! The retry protocol of a whole exporter, event by event.
//!
//! Requests come in, wait, are sent, are answered, wait again or are settled, while time passes and a shutdown may
//! begin. The actions are the events that the real exporter records, so this one definition of what may follow what
//! is explored by [`Bfs`](crate::Bfs) in small worlds, and stepped by recorded events in
//! [`conform`](crate::conform).
//!
//! The model says what may happen, not what must: it does not demand that an exporter is quick, nor in which order
//! requests that are due go out, nor which one makes room when the queue is full. Bytes are left out: a request may
//! find the queue full at any time.
//!
//! ```
//! use otlp_verify::Bfs;
//! use otlp_verify::spec::export_retry::{ExportRetry, Rules, World};
//!
//! let model = ExportRetry::new(Rules::small(), World::default().requests(1));
//! let report = Bfs::new(&model).always(ExportRetry::invariants()).run();
//! assert!(report.is_verified(), "{report}");
//! ```

mod destination;
mod property;
mod refusal;
mod transition;
mod world;

pub use destination::{Breaker, BreakerRules, Destination};
pub(crate) use property::{EACH_REQUEST, WHOLE};
pub use refusal::Refusal;

use crate::model::Model;

/// The bounds that the exporter promises to keep. Times are in ticks; in a recorded trace a tick is a nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Rules {
    /// Most requests that wait or are in flight.
    pub max_queue_requests: u32,
    /// Most requests in flight at once.
    pub max_in_flight: u32,
    /// Most attempts for one request.
    pub max_attempts: u32,
    /// How long a request is kept from being handed in.
    pub max_elapsed_ticks: u64,
    /// The bound of the wait after the first attempt; it doubles with each. A wait is at least half its bound.
    pub backoff_initial_ticks: u64,
    /// Where the bound of the wait stops doubling.
    pub backoff_max_ticks: u64,
    /// How many destinations there are, the primary included.
    pub destinations: u8,
    /// The breaker of each; `None` where they have none.
    pub breaker: Option<BreakerRules>,
}

/// What may happen in an exploration: how many requests, and the answers a receiver may give.
///
/// Bounded by default to two requests of two records, waits of none or two ticks asked for, and a shutdown
/// of one tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    requests: u64,
    records: u32,
    retry_after: Vec<Option<u64>>,
    shutdown_ticks: Vec<u64>,
    clock: Clock,
}

/// At which instants an exploration looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clock {
    /// At every tick up to the last one at which anything changes.
    EveryTick,
    /// Only where something changes.
    NextChange,
}

/// The model: the rules, and the world in which they are explored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRetry {
    rules: Rules,
    world: World,
}

/// The exporter at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct State {
    /// The present tick.
    pub now: u64,
    /// Every request ever handed in; the first has the number 1.
    pub requests: Vec<Request>,
    /// What must be dealt with before anything else.
    pub pending: Pending,
    /// The destinations, the primary first; those at the end of which nothing is known are left out.
    pub destinations: Vec<Destination>,
    /// Open, or shutting down.
    pub phase: Phase,
    /// Where every record is.
    pub account: Account,
    /// Requests in flight.
    pub in_flight: u32,
    /// Requests that are not settled.
    pub queued_requests: u32,
}

/// One request. The last four fields are history: nothing depends on them but the properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Request {
    /// Its records.
    pub records: u32,
    /// Where it is.
    pub place: Place,
    /// The number of its last attempt.
    pub attempts: u32,
    /// While it flies: where to.
    pub destination: u8,
    /// While it flies: whether as a breaker's trial.
    pub trial: bool,
    /// The tick from which on it is not sent again; zero once it is settled.
    pub expires: u64,
    /// The earliest tick of the next attempt, as the last answer and the backoff demand; zero where there is none.
    pub floor: u64,
    /// How often it was sent.
    pub sends: u32,
    /// Set once it is settled.
    pub settled: bool,
    /// What was done to it against the rules.
    pub breaches: Breaches,
}

/// What was done to a request against the rules; in a correct model, nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Breaches {
    /// Sent before its wait was over.
    pub early: bool,
    /// Sent while the receiver had asked to be left alone.
    pub during_hold: bool,
    /// Sent through a breaker that was open, or beside a trial.
    pub through_breaker: bool,
    /// Sent to a destination while one before it could be used.
    pub out_of_order: bool,
    /// Sent after it had expired.
    pub expired: bool,
    /// Taken in after the shutdown began.
    pub after_close: bool,
}

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete: the life of a request")]
pub enum Place {
    /// Waits for its first or next attempt.
    Waiting {
        /// The earliest tick of it.
        not_before: u64,
    },
    /// Is being attempted.
    Flying,
    /// The attempt has ended; what that means is decided next.
    Answered(Answer),
    /// The receiver has it, or part of it.
    Exported,
    /// The receiver refused it for good.
    Rejected,
    /// It was given up.
    Dropped,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete: what an exporter can tell apart")]
pub enum Answer {
    /// Everything was taken.
    Accepted,
    /// All but `rejected` records were taken, by the receiver's word.
    Partial {
        /// Records refused.
        rejected: u64,
    },
    /// Refused for now.
    Busy {
        /// Ticks that the receiver asked to wait.
        retry_after: Option<u64>,
    },
    /// No answer: timed out, or the connection broke.
    Lost,
    /// Refused for good.
    Refused,
    /// Refused for good, and by its own word the receiver is at fault.
    Failed,
    /// An answer that cannot be used.
    Unusable,
}

/// What must be dealt with before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(clippy::exhaustive_enums, reason = "complete: what is not one step in a record of events")]
pub enum Pending {
    /// Nothing.
    #[default]
    None,
    /// This request was just handed in: if there is no room, something is dropped next.
    Entering(u64),
    /// This request was just answered: it is settled or scheduled next.
    Answered(u64),
}

/// Whether the exporter takes requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(clippy::exhaustive_enums, reason = "complete: the life of an exporter")]
pub enum Phase {
    /// It does.
    #[default]
    Open,
    /// It sends what it has and takes nothing more.
    Draining {
        /// The tick at which it gives up the rest, at the latest.
        deadline: u64,
    },
    /// It is done.
    Finished,
}

/// Where every record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Account {
    /// Records handed in.
    pub accepted: u64,
    /// Records the receiver took.
    pub exported: u64,
    /// Records the receiver refused.
    pub rejected: u64,
    /// Records given up.
    pub dropped: u64,
    /// Records of requests that are not settled.
    pub queued: u64,
}

/// Why a request is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete: the reasons of the exporter")]
pub enum Reason {
    /// No room in the queue.
    QueueFull,
    /// It alone is too large.
    TooLarge,
    /// Kept as long as it may be, or would be before the next attempt.
    Expired,
    /// All attempts were made.
    Attempts,
    /// The answer could not be used.
    Unusable,
    /// The shutdown does not wait any longer.
    Shutdown,
    /// Handed in after the shutdown began.
    Closed,
    /// No memory was left in the process.
    Memory,
}

/// One event; requests are numbered from 1 in the order they are handed in, attempts from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the fields mean what they mean in the types above")]
#[expect(clippy::exhaustive_enums, reason = "complete: the events of the exporter, and time")]
pub enum Action {
    /// Time passes.
    Tick { to: u64 },
    /// A request is handed in.
    Enqueue { request: u64, records: u32 },
    /// An attempt begins.
    Send { request: u64, attempt: u32, destination: u8 },
    /// An attempt ends.
    Answer { request: u64, attempt: u32, answer: Answer },
    /// The answer allows another attempt.
    ScheduleRetry { request: u64, attempt: u32, not_before: u64 },
    /// The receiver has the request.
    Export { request: u64, records: u32, rejected: u32 },
    /// The receiver refused the request for good.
    Reject { request: u64, records: u32 },
    /// The request is given up.
    Drop { request: u64, records: u32, reason: Reason },
    /// The outcome of an attempt comes after it was given up; nothing changes.
    Stale { request: u64, attempt: u32 },
    /// Nothing is taken from here on.
    BeginShutdown { deadline: u64 },
    /// The end of the shutdown is brought forward.
    AdvanceShutdown { deadline: u64 },
    /// Everything is settled, and stays so.
    Finish,
}

impl Rules {
    /// Bounds small enough to be explored exhaustively in a moment: one in flight of two queued, two attempts,
    /// four ticks of life, waits of one or two ticks; one destination without a breaker.
    #[must_use]
    pub const fn small() -> Self {
        Self {
            max_queue_requests: 2,
            max_in_flight: 1,
            max_attempts: 2,
            max_elapsed_ticks: 4,
            backoff_initial_ticks: 2,
            backoff_max_ticks: 2,
            destinations: 1,
            breaker: None,
        }
    }

    /// The shortest and the longest wait after attempt number `attempt`, the first being 1.
    #[must_use]
    pub fn backoff(&self, attempt: u32) -> (u64, u64) {
        let doublings = attempt.saturating_sub(1).min(63);
        let bound = self.backoff_initial_ticks.saturating_mul(1 << doublings).min(self.backoff_max_ticks);
        (bound / 2, bound)
    }
}

impl ExportRetry {
    /// The model of an exporter under `rules` in `world`.
    #[must_use]
    pub const fn new(rules: Rules, world: World) -> Self {
        Self { rules, world }
    }

    /// The bounds.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }
}

impl State {
    /// The request of this number, where there is one.
    #[must_use]
    pub fn request(&self, number: u64) -> Option<&Request> {
        self.requests.get(index(number)?)
    }

    fn request_mut(&mut self, number: u64) -> Option<&mut Request> {
        self.requests.get_mut(index(number)?)
    }
}

fn index(number: u64) -> Option<usize> {
    usize::try_from(number.checked_sub(1)?).ok()
}

impl Request {
    /// True once the request will not be sent again.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        matches!(self.place, Place::Exported | Place::Rejected | Place::Dropped)
    }
}

impl Answer {
    /// True where the same request may be sent again.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Lost)
    }
}

impl Account {
    /// True where the account is exact.
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.accepted == self.exported + self.rejected + self.dropped + self.queued
    }
}

impl Action {
    /// The request it is about, where it is about one.
    #[must_use]
    pub const fn request(&self) -> Option<u64> {
        match *self {
            Self::Enqueue { request, .. }
            | Self::Send { request, .. }
            | Self::Answer { request, .. }
            | Self::ScheduleRetry { request, .. }
            | Self::Export { request, .. }
            | Self::Reject { request, .. }
            | Self::Drop { request, .. }
            | Self::Stale { request, .. } => Some(request),
            Self::Tick { .. } | Self::BeginShutdown { .. } | Self::AdvanceShutdown { .. } | Self::Finish => {
                None
            }
        }
    }
}

impl Model for ExportRetry {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, out: &mut Vec<Action>) {
        self.propose(state, out);
    }

    fn step(&self, state: &State, action: &Action) -> Option<State> {
        self.check(state, action).ok()?;
        let mut next = state.clone();
        self.perform(&mut next, action);
        Some(next)
    }

    /// The exporter may rest where it holds nothing.
    fn may_stop(&self, state: &State) -> bool {
        state.queued_requests == 0
    }

    fn state_heap_bytes(&self, state: &State) -> usize {
        state.requests.capacity() * size_of::<Request>()
            + state.destinations.capacity() * size_of::<Destination>()
    }

    fn action_names(&self) -> &'static [&'static str] {
        &[
            "Tick",
            "Enqueue",
            "Send",
            "Answer",
            "ScheduleRetry",
            "Export",
            "Reject",
            "Drop",
            "Stale",
            "BeginShutdown",
            "Finish",
            "AdvanceShutdown",
        ]
    }

    fn action_kind(&self, action: &Action) -> usize {
        match action {
            Action::Tick { .. } => 0,
            Action::Enqueue { .. } => 1,
            Action::Send { .. } => 2,
            Action::Answer { .. } => 3,
            Action::ScheduleRetry { .. } => 4,
            Action::Export { .. } => 5,
            Action::Reject { .. } => 6,
            Action::Drop { .. } => 7,
            Action::Stale { .. } => 8,
            Action::BeginShutdown { .. } => 9,
            Action::Finish => 10,
            Action::AdvanceShutdown { .. } => 11,
        }
    }
}

#[cfg(test)]
mod tests;
