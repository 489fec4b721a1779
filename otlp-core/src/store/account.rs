//! The account of the queue: what a log keeps of it, and why records were dropped.

use std::fmt;

/// Why records were discarded by the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// No room within `max_bytes` or `max_requests`.
    QueueFull,
    /// The request alone is above `max_request_bytes`.
    TooLarge,
    /// Older than `max_age`.
    Expired,
    /// The disk does not hold them any more, or not as they were written.
    Damaged,
    /// The caller gave them up, by [`Settlement::Dropped`].
    GivenUp,
}

impl DropReason {
    /// Every reason, in the order of declaration, which is also that of the format on disk.
    pub const ALL: [Self; 5] = [Self::QueueFull, Self::TooLarge, Self::Expired, Self::Damaged, Self::GivenUp];

    /// A word for tables and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::TooLarge => "too_large",
            Self::Expired => "expired",
            Self::Damaged => "damaged",
            Self::GivenUp => "given_up",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of a request that was taken out of the queue. With it the request is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Settlement {
    /// The receiver has all its records.
    Exported,
    /// The receiver has all its records but these many, which it refused.
    Partial {
        /// Records refused; more than the request has count as all of them.
        rejected: u32,
    },
    /// The receiver refused the request for good.
    Rejected,
    /// The caller gives it up.
    Dropped,
}

/// Where the records of one request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Answered { exported: u32, rejected: u32 },
    Dropped { reason: DropReason, records: u32 },
}

impl Settlement {
    /// The fate of a request of `records` records.
    pub(super) fn fate(self, records: u32) -> Fate {
        let rejected = match self {
            Self::Exported => 0,
            Self::Partial { rejected } => rejected.min(records),
            Self::Rejected => records,
            Self::Dropped => return Fate::Dropped { reason: DropReason::GivenUp, records },
        };
        Fate::Answered { exported: records - rejected, rejected }
    }
}

/// Totals over the whole life of a queue, restarts included. What is queued is what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Account {
    pub(super) accepted: u64,
    pub(super) exported: u64,
    pub(super) rejected: u64,
    /// By reason, in the order of [`DropReason::ALL`].
    pub(super) dropped: [u64; DropReason::ALL.len()],
}

impl Account {
    /// Sums saturate: the numbers may come from a file.
    pub(super) fn settle(&mut self, fate: Fate) {
        match fate {
            Fate::Answered { exported, rejected } => {
                self.exported = self.exported.saturating_add(exported.into());
                self.rejected = self.rejected.saturating_add(rejected.into());
            }
            Fate::Dropped { reason, records } => self.discard(reason, records.into()),
        }
    }

    pub(super) fn discard(&mut self, reason: DropReason, records: u64) {
        if let Some(count) = self.dropped.get_mut(reason as usize) {
            *count = count.saturating_add(records);
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Records that are done with.
    pub(super) fn settled(&self) -> u64 {
        self.exported.saturating_add(self.rejected).saturating_add(self.dropped())
    }

    /// Makes `accepted = settled + queued` true after a log was read: accepted records that are nowhere
    /// were lost on the disk. Gives how many.
    pub(super) fn balance(&mut self, queued: u64) -> u64 {
        let found = self.settled().saturating_add(queued);
        let missing = self.accepted.saturating_sub(found);
        self.discard(DropReason::Damaged, missing);
        self.accepted = self.accepted.max(found);
        missing
    }
}
