//! What goes into the exporter and what comes out.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::UnixNanos;
use crate::error::{Error, ErrorKind};
use crate::protocol::Signal;
use crate::protocol::failover::DestinationId;
use crate::protocol::status::Code;
use crate::record::ExportResponse;
use crate::stats::Stats;

/// Names a request for as long as its exporter lives. Given in ascending order from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One try at sending one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "complete: which request, which try")]
pub struct Attempt {
    /// The request.
    pub request: RequestId,
    /// Which try it is, the first being 1.
    pub number: u32,
}

/// Which requests are dropped last when room is needed. It does not change the order of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[expect(clippy::exhaustive_enums, reason = "complete: what may go, and what goes last")]
pub enum Priority {
    /// Makes room for others.
    #[default]
    Normal,
    /// Holds what must not be missed, errors for instance: makes room only for its like, and only when
    /// nothing normal waits.
    High,
}

/// An encoded request. It is encoded once; every attempt and every destination share its bytes.
///
/// ```
/// use bytes::Bytes;
/// use otlp_core::protocol::Signal;
/// use otlp_core::protocol::export::{Priority, Request};
/// let request = Request::new(Signal::Traces, Bytes::from_static(b"..."), 3).priority(Priority::High);
/// assert_eq!(request.records, 3);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Request {
    /// What kind of records it carries.
    pub signal: Signal,
    /// The encoded `Export..ServiceRequest`.
    pub body: Bytes,
    /// How many records it carries (spans, data points or log records); all accounts are in records.
    pub records: u32,
    /// Whether it is among the last to be dropped.
    pub priority: Priority,
}

impl Request {
    /// A request of normal priority.
    #[must_use]
    pub const fn new(signal: Signal, body: Bytes, records: u32) -> Self {
        Self { signal, body, records, priority: Priority::Normal }
    }

    /// Sets whether it is among the last to be dropped.
    #[must_use]
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }
}

/// What the driver is to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "a request that is not sent ties up its place until it times out"]
pub enum Command {
    /// Send this now, then poll again; report what became of it by [`on_outcome`](super::Exporter::on_outcome).
    Send(Outgoing),
    /// Nothing to do before this instant, by the clock that `now` was taken from, unless an answer or a
    /// request comes first.
    WaitUntil(UnixNanos),
    /// Nothing is queued and nothing in flight.
    Idle,
    /// The shutdown is complete; every record is accounted for.
    Finished(Report),
}

/// One request to put on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outgoing {
    /// Names this try; goes back with its outcome.
    pub attempt: Attempt,
    /// Where to; always the primary without fallbacks.
    pub destination: DestinationId,
    /// Decides the path.
    pub signal: Signal,
    /// The body, shared with the queue.
    pub body: Bytes,
    /// When the exporter gives this try up by itself, by the clock that `now` was taken from.
    pub deadline: UnixNanos,
}

/// What became of one attempt, as the driver saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The receiver took everything.
    Accepted,
    /// The receiver took all but some, or has a warning.
    Partial(ExportResponse),
    /// The receiver answered 2xx with a body that is no export response. The status says that it took the
    /// request, so it counts as exported; whether in part cannot be known.
    Unread,
    /// The receiver answered with another status than success.
    Refused {
        /// The status.
        code: Code,
        /// The wait that `Retry-After` or `RetryInfo` asks for.
        retry_after: Option<Duration>,
        /// The message of the answer's `google.rpc.Status`, where there was one.
        message: String,
    },
    /// No answer came in time.
    TimedOut,
    /// No connection, or it broke before the answer was complete.
    Disconnected,
    /// The answer was larger than the cap or not HTTP. Not retried, as the specification demands.
    BadAnswer,
}

/// What an outcome meant for its request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Done: the receiver has these records.
    Exported {
        /// All records of the request.
        records: u32,
    },
    /// Done: the receiver has all records but those it refused. `exported + response.rejected` is the
    /// request's count, whatever the receiver claimed. Never sent again.
    Partial {
        /// Records the receiver took.
        exported: u32,
        /// How many it refused, and why.
        response: ExportResponse,
    },
    /// Done: the receiver refused the request for good.
    Rejected {
        /// All records of the request.
        records: u32,
        /// The status.
        code: Code,
        /// The receiver's words.
        message: String,
    },
    /// To be sent again.
    Retry {
        /// Not before this instant, by the clock that `now` was taken from.
        not_before: UnixNanos,
    },
    /// Done: given up here.
    Dropped {
        /// All records of the request.
        records: u32,
        /// Why.
        reason: DropReason,
    },
    /// The attempt had been given up before; its outcome changes nothing.
    Stale,
}

/// Why records were discarded here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// No room in the queue.
    QueueFull,
    /// The request alone is above `max_request_bytes`.
    TooLarge,
    /// `max_elapsed` passed, or would have before the next attempt.
    Expired,
    /// `max_attempts` were made.
    Attempts,
    /// The answer could not be used, so that nobody knows what became of the records.
    BadAnswer,
    /// The shutdown's deadline passed, or would have before the next attempt.
    Shutdown,
    /// Handed in after the shutdown began.
    Closed,
    /// The process-wide memory was at its hard mark.
    Memory,
}

impl DropReason {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 8] = [
        Self::QueueFull,
        Self::TooLarge,
        Self::Expired,
        Self::Attempts,
        Self::BadAnswer,
        Self::Shutdown,
        Self::Closed,
        Self::Memory,
    ];

    /// A word for tables and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::TooLarge => "too_large",
            Self::Expired => "expired",
            Self::Attempts => "attempts",
            Self::BadAnswer => "bad_answer",
            Self::Shutdown => "shutdown",
            Self::Closed => "closed",
            Self::Memory => "memory",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for DropReason {}

/// Why a request, or whatever was handed in, was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete: lost and counted, or given back")]
pub enum NotTaken<T = Request> {
    /// It was dropped, and counted for this reason.
    Dropped(DropReason),
    /// There is no room now and the policy is to wait: here it is again.
    Full(T),
}

impl<T> fmt::Display for NotTaken<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dropped(reason) => write!(f, "dropped: {reason}"),
            Self::Full(_) => f.write_str("not taken: no room now"),
        }
    }
}

impl<T: fmt::Debug> std::error::Error for NotTaken<T> {}

impl<T> From<NotTaken<T>> for Error {
    fn from(refused: NotTaken<T>) -> Self {
        let kind = match refused {
            NotTaken::Dropped(DropReason::Closed) => ErrorKind::Closed,
            NotTaken::Dropped(_) => ErrorKind::Limit,
            NotTaken::Full(_) => ErrorKind::Full,
        };
        Self::new(kind, refused.to_string())
    }
}

/// What a shutdown came to. What was done before it began is in `stats` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Report {
    /// Records exported since the shutdown began.
    pub flushed: u64,
    /// Records the receiver refused since the shutdown began.
    pub rejected: u64,
    /// Records dropped since the shutdown began.
    pub dropped: u64,
    /// The account of the exporter's whole life.
    pub stats: Stats,
}
