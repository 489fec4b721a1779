//! The exporter's account.

use super::event::{DropReason, Report};
use crate::stats::Stats;

/// Counts beside [`Stats`]: what moving the records took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Requests sent, each try counted.
    pub attempts: u64,
    /// Tries after the first of their request.
    pub retries: u64,
    /// Tries that the exporter gave up because their time was over.
    pub timed_out: u64,
    /// Outcomes of tries that had been given up; without effect.
    pub stale: u64,
    /// Requests that the receiver took in part.
    pub partial: u64,
    /// Answers that said success with a body that could not be read.
    pub unread: u64,
    /// Records dropped, by reason, in the order of [`DropReason::ALL`].
    dropped: [u64; DropReason::ALL.len()],
}

impl Counters {
    /// Records dropped for `reason`.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.get(reason as usize).copied().unwrap_or(0)
    }
}

/// Every movement of records goes through here, so that the account is exact by construction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Ledger {
    pub(super) stats: Stats,
    pub(super) counters: Counters,
}

impl Ledger {
    pub(super) fn take(&mut self, records: u32) {
        self.stats.accepted += u64::from(records);
        self.stats.queued += u64::from(records);
    }

    pub(super) fn export(&mut self, records: u32) {
        self.stats.queued -= u64::from(records);
        self.stats.exported += u64::from(records);
    }

    pub(super) fn reject(&mut self, records: u32) {
        self.stats.queued -= u64::from(records);
        self.stats.rejected += u64::from(records);
    }

    pub(super) fn discard(&mut self, records: u32, reason: DropReason) {
        self.stats.queued -= u64::from(records);
        self.stats.dropped += u64::from(records);
        if let Some(count) = self.counters.dropped.get_mut(reason as usize) {
            *count += u64::from(records);
        }
    }

    /// What happened since `before`.
    pub(super) fn report_since(&self, before: &Stats) -> Report {
        Report {
            flushed: self.stats.exported - before.exported,
            rejected: self.stats.rejected - before.rejected,
            dropped: self.stats.dropped - before.dropped,
            stats: self.stats,
        }
    }
}
