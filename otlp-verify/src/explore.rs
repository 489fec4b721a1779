//! Walking every reachable state of a model, and what came of it.

mod bfs;
mod hash;
mod report;
mod store;
mod table;

pub use bfs::Bfs;
pub use report::{Counts, Report, Stop, Vacuity, Verdict};

/// How far an exploration may go; reaching a bound ends it as "not exhausted", never as success.
///
/// ```
/// use otlp_verify::Limits;
/// let limits = Limits::default().max_states(1_000).max_depth(20);
/// assert_eq!(limits.max_states, 1_000);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Distinct states kept; 10 million by default, 2^31 at the very most.
    pub max_states: u64,
    /// Levels of the search, the initial states being level 1; no bound by default. States of the last level
    /// are checked; what lies behind them is not.
    pub max_depth: u64,
    /// Bytes for states and the table over them, by our own count; 4 GiB by default. Heap memory inside
    /// states counts only where [`Model::state_heap_bytes`](crate::Model::state_heap_bytes) tells of it.
    pub max_memory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Limits {
    const DEFAULT: Self = Self { max_states: 10_000_000, max_depth: u64::MAX, max_memory_bytes: 4 << 30 };

    /// Sets the number of distinct states kept.
    #[must_use]
    pub const fn max_states(mut self, states: u64) -> Self {
        self.max_states = states;
        self
    }

    /// Sets the number of levels, the initial states being level 1.
    #[must_use]
    pub const fn max_depth(mut self, levels: u64) -> Self {
        self.max_depth = levels;
        self
    }

    /// Sets the bytes for states and the table over them.
    #[must_use]
    pub const fn max_memory_bytes(mut self, bytes: u64) -> Self {
        self.max_memory_bytes = bytes;
        self
    }
}

/// How a state is recognised as one met before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Dedup {
    /// Whole states are kept and compared: nothing is ever missed.
    #[default]
    FullStates,
    /// Of each state only 128 bits are kept, and whole states only until they are expanded: less memory for
    /// large states. Two states with the same fingerprint would be taken for one and the second never
    /// explored; if fingerprints behave as random, the chance of that among n states is below n^2 / 2^129
    /// (below 10^-24 for ten million).
    Fingerprints,
}
