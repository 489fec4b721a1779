//! The account that every moving part keeps.

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
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.accepted == self.exported + self.rejected + self.dropped + self.queued
    }
}
