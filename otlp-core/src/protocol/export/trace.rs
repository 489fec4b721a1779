//! The exporter's record of its own events, for conformance checks.

use std::time::Duration;

use super::event::{DropReason, Outcome, RequestId};
use crate::UnixNanos;
use crate::protocol::failover::DestinationId;
use crate::protocol::status::Code;

/// One event of an exporter. Times are the exporter's own: the instants it was handed, held back from
/// going backwards.
///
/// Every request begins with [`Enqueued`](Self::Enqueued) and ends with exactly one of
/// [`Exported`](Self::Exported), [`Rejected`](Self::Rejected) and [`Dropped`](Self::Dropped).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TraceEvent {
    /// A request was handed in. One that is refused is dropped right after.
    Enqueued {
        /// The request.
        request: RequestId,
        /// Its records.
        records: u32,
        /// When.
        at: UnixNanos,
    },
    /// An attempt began.
    Sent {
        /// The request.
        request: RequestId,
        /// Which attempt, the first being 1.
        attempt: u32,
        /// Where to.
        destination: DestinationId,
        /// When.
        at: UnixNanos,
    },
    /// An attempt ended, by an answer, a failure, or because its time was over.
    Responded {
        /// The request.
        request: RequestId,
        /// Which attempt.
        attempt: u32,
        /// How it ended.
        outcome: TraceOutcome,
        /// When.
        at: UnixNanos,
    },
    /// The outcome allows another attempt.
    RetryScheduled {
        /// The request.
        request: RequestId,
        /// The attempt that ended.
        attempt: u32,
        /// The next is not sent before this.
        not_before: UnixNanos,
        /// When.
        at: UnixNanos,
    },
    /// The receiver has the request.
    Exported {
        /// The request.
        request: RequestId,
        /// Records the receiver took.
        records: u32,
        /// Records it refused by partial success.
        rejected: u32,
        /// When.
        at: UnixNanos,
    },
    /// The receiver refused the request for good.
    Rejected {
        /// The request.
        request: RequestId,
        /// Its records.
        records: u32,
        /// When.
        at: UnixNanos,
    },
    /// The request was given up here.
    Dropped {
        /// The request.
        request: RequestId,
        /// Its records.
        records: u32,
        /// Why.
        reason: DropReason,
        /// When.
        at: UnixNanos,
    },
    /// An outcome came for an attempt that had been given up; nothing changed.
    Stale {
        /// The request.
        request: RequestId,
        /// The attempt.
        attempt: u32,
        /// When.
        at: UnixNanos,
    },
    /// The shutdown began; nothing is taken from here on.
    ShutdownBegan {
        /// When it ends at the latest.
        deadline: UnixNanos,
        /// When.
        at: UnixNanos,
    },
    /// A later call brought the end of the shutdown forward.
    ShutdownAdvanced {
        /// When it ends at the latest, from here on.
        deadline: UnixNanos,
        /// When.
        at: UnixNanos,
    },
    /// A destination failed too often: nothing is sent to it for a while.
    BreakerOpened {
        /// The destination.
        destination: DestinationId,
        /// From then on one request may try.
        until: UnixNanos,
        /// When.
        at: UnixNanos,
    },
    /// A destination that failed is in use again.
    BreakerClosed {
        /// The destination.
        destination: DestinationId,
        /// When.
        at: UnixNanos,
    },
    /// The shutdown ended; nothing is queued or in flight.
    Finished {
        /// When.
        at: UnixNanos,
    },
}

impl TraceEvent {
    /// When the event happened.
    #[must_use]
    pub const fn at(&self) -> UnixNanos {
        match *self {
            Self::Enqueued { at, .. }
            | Self::Sent { at, .. }
            | Self::Responded { at, .. }
            | Self::RetryScheduled { at, .. }
            | Self::Exported { at, .. }
            | Self::Rejected { at, .. }
            | Self::Dropped { at, .. }
            | Self::Stale { at, .. }
            | Self::ShutdownBegan { at, .. }
            | Self::ShutdownAdvanced { at, .. }
            | Self::BreakerOpened { at, .. }
            | Self::BreakerClosed { at, .. }
            | Self::Finished { at } => at,
        }
    }

    /// The request it is about, where it is about one.
    #[must_use]
    pub const fn request(&self) -> Option<RequestId> {
        match *self {
            Self::Enqueued { request, .. }
            | Self::Sent { request, .. }
            | Self::Responded { request, .. }
            | Self::RetryScheduled { request, .. }
            | Self::Exported { request, .. }
            | Self::Rejected { request, .. }
            | Self::Dropped { request, .. }
            | Self::Stale { request, .. } => Some(request),
            Self::ShutdownBegan { .. }
            | Self::ShutdownAdvanced { .. }
            | Self::BreakerOpened { .. }
            | Self::BreakerClosed { .. }
            | Self::Finished { .. } => None,
        }
    }
}

/// An [`Outcome`] without the receiver's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TraceOutcome {
    /// Everything was taken, or nothing else was said.
    Accepted,
    /// All but `rejected` records were taken, as the receiver has it.
    Partial {
        /// Records refused.
        rejected: u64,
    },
    /// Refused with a status.
    Refused {
        /// The status.
        code: Code,
        /// The wait asked for.
        retry_after: Option<Duration>,
    },
    /// No answer in time.
    TimedOut,
    /// No connection, or a broken one.
    Disconnected,
    /// An answer that cannot be used.
    BadAnswer,
}

impl From<&Outcome> for TraceOutcome {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Accepted | Outcome::Unread => Self::Accepted,
            Outcome::Partial(partial) => Self::Partial { rejected: partial.rejected },
            &Outcome::Refused { code, retry_after, .. } => Self::Refused { code, retry_after },
            Outcome::TimedOut => Self::TimedOut,
            Outcome::Disconnected => Self::Disconnected,
            Outcome::BadAnswer => Self::BadAnswer,
        }
    }
}

/// Keeps the first events up to a bound and counts the rest: what is kept is a true beginning.
///
/// Nothing at all without the feature `trace`. A trace is no part of the exporter's state: all traces
/// are equal.
#[derive(Debug, Clone, Default)]
pub(super) struct Trace {
    #[cfg(feature = "trace")]
    events: Vec<TraceEvent>,
    #[cfg(feature = "trace")]
    lost: u64,
}

#[cfg(feature = "trace")]
impl Trace {
    pub(super) fn push(&mut self, bound: usize, event: TraceEvent) {
        if self.events.len() < bound {
            self.events.push(event);
        } else {
            self.lost += 1;
        }
    }

    pub(super) fn events(&self) -> &[TraceEvent] {
        &self.events
    }

    pub(super) fn take(&mut self) -> Vec<TraceEvent> {
        std::mem::take(&mut self.events)
    }

    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(not(feature = "trace"))]
impl Trace {
    #[expect(clippy::unused_self, reason = "the same signature as with the feature")]
    pub(super) const fn push(&mut self, _bound: usize, _event: TraceEvent) {}
}

#[cfg(feature = "model")]
impl PartialEq for Trace {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

#[cfg(feature = "model")]
impl Eq for Trace {}

#[cfg(feature = "model")]
impl std::hash::Hash for Trace {
    fn hash<H: std::hash::Hasher>(&self, _state: &mut H) {}
}
