//! The service graph of the recent past, slice by slice.

use std::collections::BTreeMap;
use std::time::Duration;

use otlp_core::assemble::{GraphConfig, ServiceGraph, Trace};
use otlp_core::{Error, ErrorKind, Result, UnixNanos};

use super::operation::Operations;
use crate::feature::setters;

/// How finely the past is cut and how far back it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistoryConfig {
    slice: Duration,
    max_slices: usize,
    graph: GraphConfig,
}

impl HistoryConfig {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self { slice: Duration::from_secs(1), max_slices: 300, graph: GraphConfig::new() }
    }

    setters! {
        slice: Duration = "Sets the length of a slice; default 1 s.";
        max_slices: usize = "Sets the most slices kept, past which the oldest is dropped; default 300.";
    }

    /// Sets the bounds of each slice's graph.
    #[must_use]
    pub fn graph(mut self, graph: GraphConfig) -> Self {
        self.graph = graph;
        self
    }

    /// Makes the history.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a slice is shorter than a millisecond or no slice is kept.
    pub fn build(self) -> Result<History> {
        if self.slice < Duration::from_millis(1) || self.max_slices == 0 {
            let message = format!("history: {} slices of {:?} cannot work", self.max_slices, self.slice);
            return Err(Error::new(ErrorKind::Config, message));
        }
        Ok(History { config: self, slices: BTreeMap::new(), stats: HistoryStats::default() })
    }
}

impl Default for HistoryConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// The account of a [`History`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct HistoryStats {
    /// Requests taken in.
    pub requests: u64,
    /// Requests older than all slices kept, left out.
    pub too_old: u64,
    /// Slices dropped for being the oldest of too many.
    pub dropped_slices: u64,
}

/// What happened between two instants.
#[derive(Debug, Clone, Default)]
pub struct Period {
    /// The requests that began in it.
    pub graph: ServiceGraph,
    /// What services did for them, by operation.
    pub operations: Operations,
    /// How long it is, counting only the slices in which anything happened.
    pub length: Duration,
}

impl Period {
    /// Sums up one more trace, whenever it began; the length is the caller's business.
    pub fn add(&mut self, trace: &Trace) {
        self.graph.add_trace(trace);
        self.operations.add(trace);
    }

    /// Adds another period to this one. O(services + calls + operations).
    pub fn merge(&mut self, other: &Self) {
        self.graph.merge(&other.graph);
        self.operations.merge(&other.operations);
        self.length += other.length;
    }
}

/// Keeps the recent past as one service graph a slice, by the start of each request.
///
/// ```
/// use otlp_anomaly::cause::HistoryConfig;
/// use otlp_core::{SpanId, TraceId, UnixNanos, assemble::Trace, record::Span};
///
/// let mut history = HistoryConfig::new().build()?;
/// let (trace_id, span_id) = (TraceId::new([1; 16]), SpanId::new([1; 8]));
/// let span = Span { trace_id, span_id, start: UnixNanos::from_millis(2_500), ..Span::default() };
/// history.add(&Trace::new(trace_id, [("shop".into(), span)]));
/// assert_eq!(history.between(UnixNanos::ZERO, UnixNanos::from_secs(9)).graph.nodes().len(), 1);
/// assert_eq!(history.between(UnixNanos::ZERO, UnixNanos::from_secs(2)).graph.nodes().len(), 0);
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug)]
pub struct History {
    config: HistoryConfig,
    slices: BTreeMap<u64, Slice>,
    stats: HistoryStats,
}

/// What began in one slice.
#[derive(Debug)]
struct Slice {
    graph: ServiceGraph,
    operations: Operations,
}

impl Slice {
    fn new(config: &HistoryConfig) -> Self {
        Self { graph: ServiceGraph::new(config.graph.clone()), operations: Operations::default() }
    }
}

impl History {
    /// Takes an assembled trace. O(requests log slices).
    pub fn add(&mut self, trace: &Trace) {
        let began = self.slice_of(trace.start());
        for request in trace.requests() {
            let slice = self.slice_of(request.span.span.start);
            let oldest = self.slices.first_key_value().map_or(0, |(&oldest, _)| oldest);
            if slice < oldest && self.slices.len() >= self.config.max_slices {
                self.stats.too_old += 1;
                continue;
            }
            self.stats.requests += 1;
            let graph = || Slice::new(&self.config);
            self.slices.entry(slice).or_insert_with(graph).graph.add(&request);
            if self.slices.len() > self.config.max_slices {
                self.slices.pop_first();
                self.stats.dropped_slices += 1;
            }
        }
        // The steps of a trace hang together: all of it counts where it began.
        if let Some(slice) = self.slices.get_mut(&began) {
            slice.operations.add(trace);
        }
    }

    /// Sums up the slices that lie wholly between two instants. O(slices) and their graphs.
    #[must_use]
    pub fn between(&self, from: UnixNanos, until: UnixNanos) -> Period {
        let slice_nanos = UnixNanos::ZERO + self.config.slice;
        let first = from.0.div_ceil(slice_nanos.0);
        let end = self.slice_of(until).max(first);
        let Slice { graph, operations } = Slice::new(&self.config);
        let mut period = Period { graph, operations, length: Duration::ZERO };
        for slice in self.slices.range(first..end).map(|(_, slice)| slice) {
            period.graph.merge(&slice.graph);
            period.operations.merge(&slice.operations);
            period.length += self.config.slice;
        }
        period
    }

    /// Sums up everything kept: the service graph as it is known now.
    #[must_use]
    pub fn all(&self) -> Period {
        self.between(UnixNanos::ZERO, UnixNanos(u64::MAX))
    }

    /// The account so far.
    #[must_use]
    pub const fn stats(&self) -> HistoryStats {
        self.stats
    }

    fn slice_of(&self, time: UnixNanos) -> u64 {
        // A slice is a millisecond at least, so this divides by no zero.
        time.0 / (UnixNanos::ZERO + self.config.slice).0
    }
}
