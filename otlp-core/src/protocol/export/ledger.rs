//! The exporter's account.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use super::event::{DropReason, Report};
use crate::protocol::failover::DestinationId;
use crate::stats::{Durations, Stats};

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
    /// Requests that the receiver took wholly, and had a warning.
    pub warnings: u64,
    /// Answers that said success with a body that could not be read.
    pub unread: u64,
    /// Tries at a fallback.
    pub diverted: u64,
    /// Times that a breaker opened.
    pub breaker_opened: u64,
    /// Records handed in without room and given back, each time counted; not accepted, not dropped.
    pub blocked: u64,
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

/// All that an exporter counts, at one instant. [`Measure`](crate::stats::Measure) makes metrics of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct ExporterStats {
    /// Where every record is.
    pub account: Stats,
    /// What moving them took.
    pub counters: Counters,
    /// How long attempts took, from being sent to their outcome.
    pub latency: Durations,
}

/// Every movement of records goes through here, so that the account is exact by construction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Ledger {
    pub(super) stats: Stats,
    pub(super) counters: Counters,
    latency: Latency,
}

/// How long attempts took. Nothing depends on it, so that it is no part of the exporter's state: all are equal.
#[derive(Debug, Clone, Default)]
struct Latency(Durations);

impl PartialEq for Latency {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Latency {}

impl Hash for Latency {
    fn hash<H: Hasher>(&self, _state: &mut H) {}
}

impl Ledger {
    pub(super) const fn exporter_stats(&self) -> ExporterStats {
        ExporterStats { account: self.stats, counters: self.counters, latency: self.latency.0 }
    }

    pub(super) fn count_attempt(&mut self, number: u32, destination: DestinationId) {
        self.counters.attempts += 1;
        self.counters.retries += u64::from(number > 1);
        self.counters.diverted += u64::from(destination != DestinationId::PRIMARY);
    }

    pub(super) fn time_attempt(&mut self, took: Duration) {
        self.latency.0.record(took);
    }

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
