//! The account that every moving part keeps, and how it becomes metrics.
//!
//! Whatever implements [`Measure`] becomes OTLP metrics by [`to_metrics`](Measure::to_metrics) and OpenMetrics text
//! by [`write_openmetrics`](Measure::write_openmetrics). What the exporter and its like say of themselves:
//!
//! | name | kind | unit | what |
//! |---|---|---|---|
//! | `otlp.records.accepted` | counter | `{record}` | taken in |
//! | `otlp.records.exported` | counter | `{record}` | confirmed by the receiver |
//! | `otlp.records.rejected` | counter | `{record}` | refused by the receiver for good |
//! | `otlp.records.dropped` | counter | `{record}` | discarded here, by `reason` where it is known |
//! | `otlp.records.lost` | counter | `{record}` | rejected or dropped: the one to alarm on |
//! | `otlp.records.queued` | gauge | `{record}` | waiting or in flight |
//! | `otlp.records.blocked` | counter | `{record}` | given back for want of room, each time counted |
//! | `otlp.attempts.made` | counter | `{attempt}` | requests sent, each try counted |
//! | `otlp.attempts.retried` | counter | `{attempt}` | tries after the first of their request |
//! | `otlp.attempts.timed_out` | counter | `{attempt}` | tries given up because their time was over |
//! | `otlp.attempts.stale` | counter | `{attempt}` | outcomes that came after that |
//! | `otlp.attempts.diverted` | counter | `{attempt}` | tries at a fallback |
//! | `otlp.attempt.duration` | histogram | `s` | from being sent to the outcome |
//! | `otlp.responses.partial` | counter | `{response}` | successes that refused some records |
//! | `otlp.responses.warned` | counter | `{response}` | successes with a warning |
//! | `otlp.responses.unread` | counter | `{response}` | successes whose body could not be read |
//! | `otlp.breaker.opened` | counter | `{time}` | times that a destination was given up for a while |
//! | `otlp.memory.used` | gauge | `By` | bytes held in queues and in flight |
//! | `otlp.memory.refused` | counter | `{time}` | times that more was asked for than was left |

mod durations;
mod measure;
mod openmetrics;

pub use durations::Durations;
pub use measure::{Instrument, Measure, Measurements};

/// The media type of what [`Measure::write_openmetrics`] writes.
pub const OPENMETRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Where every record is: `accepted = exported + rejected + dropped + queued` at every instant.
///
/// ```
/// use otlp_core::stats::Stats;
/// let stats = Stats { accepted: 10, exported: 6, rejected: 1, dropped: 1, queued: 2 };
/// assert!(stats.is_balanced());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Stats {
    /// Records taken in.
    pub accepted: u64,
    /// Records the receiver confirmed.
    pub exported: u64,
    /// Records the receiver refused for good.
    pub rejected: u64,
    /// Records discarded here, and counted.
    pub dropped: u64,
    /// Records waiting or in flight.
    pub queued: u64,
}

impl Stats {
    /// True where the account is exact.
    ///
    /// ```
    /// use otlp_core::stats::Stats;
    /// assert!(Stats::default().is_balanced());
    /// assert!(!Stats { accepted: 1, ..Stats::default() }.is_balanced());
    /// ```
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.accepted == self.exported + self.rejected + self.dropped + self.queued
    }
}

impl Measure for Stats {
    fn measure(&self, into: &mut Measurements) {
        self.measure_but_drops(into);
        into.counter(&DROPPED, &[], self.dropped);
    }
}

impl Stats {
    /// All but what was dropped, which its owner may know by reason.
    pub(crate) fn measure_but_drops(&self, into: &mut Measurements) {
        into.counter(&ACCEPTED, &[], self.accepted);
        into.counter(&EXPORTED, &[], self.exported);
        into.counter(&REJECTED, &[], self.rejected);
        into.counter(&LOST, &[], self.rejected.saturating_add(self.dropped));
        into.gauge(&QUEUED, &[], self.queued);
    }
}

const RECORD: &str = "{record}";
const ACCEPTED: Instrument = Instrument::new("otlp.records.accepted", RECORD, "Records taken in.");
const EXPORTED: Instrument =
    Instrument::new("otlp.records.exported", RECORD, "Records the receiver confirmed.");
const REJECTED: Instrument =
    Instrument::new("otlp.records.rejected", RECORD, "Records the receiver refused for good.");
pub(crate) const DROPPED: Instrument =
    Instrument::new("otlp.records.dropped", RECORD, "Records discarded here.");
const LOST: Instrument =
    Instrument::new("otlp.records.lost", RECORD, "Records that will never arrive: rejected or dropped.");
const QUEUED: Instrument = Instrument::new("otlp.records.queued", RECORD, "Records waiting or in flight.");

#[cfg(test)]
mod tests;
