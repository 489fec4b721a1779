//! One trace: its spans, who caused whom, and the time each took itself.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::record::Span;
use crate::{SpanId, TraceId, UnixNanos};

use super::request::{self, Request};

/// The spans of one trace, earliest first, tied to their parents.
///
/// ```
/// use std::time::Duration;
/// use otlp_core::assemble::Trace;
/// use otlp_core::record::Span;
/// use otlp_core::{SpanId, TraceId, UnixNanos};
///
/// let trace_id = TraceId::new([1; 16]);
/// let span = |id: u8, parent: u8, start: u64, end: u64| Span {
///     trace_id,
///     span_id: SpanId::new([id; 8]),
///     parent_span_id: SpanId::new([parent; 8]),
///     start: UnixNanos::from_millis(start),
///     end: UnixNanos::from_millis(end),
///     ..Span::default()
/// };
/// let trace = Trace::new(trace_id, [("db".into(), span(2, 1, 3, 8)), ("shop".into(), span(1, 0, 1, 10))]);
/// assert_eq!(&*trace.spans()[0].service, "shop");
/// assert_eq!(trace.spans()[0].self_time, Duration::from_millis(4));
/// assert_eq!(trace.spans()[1].parent, Some(0));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    trace_id: TraceId,
    spans: Vec<TraceSpan>,
    orphans: usize,
    cycles: usize,
    is_fragment: bool,
}

/// A span in its trace.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceSpan {
    /// The span as it came.
    pub span: Span,
    /// The service that it ran in.
    pub service: Arc<str>,
    /// Where its parent stands in [`Trace::spans`]; nothing for a root and where the parent is missing.
    pub parent: Option<usize>,
    /// Its duration less the union of its children's, as far as they lie within it.
    pub self_time: Duration,
}

impl Trace {
    /// Ties spans together. Spans of another trace and second copies of a span are left out; where parents form
    /// a ring, the earliest span in it becomes a root. O(spans log spans).
    #[must_use]
    pub fn new(trace_id: TraceId, spans: impl IntoIterator<Item = (Arc<str>, Span)>) -> Self {
        let mut seen = HashSet::new();
        let own =
            spans.into_iter().filter(|(_, span)| span.trace_id == trace_id && seen.insert(span.span_id));
        let bare = |(service, span)| TraceSpan { span, service, parent: None, self_time: Duration::ZERO };
        let mut spans: Vec<TraceSpan> = own.map(bare).collect();
        spans.sort_unstable_by_key(|entry| (entry.span.start, entry.span.span_id));
        let mut trace = Self { trace_id, spans, orphans: 0, cycles: 0, is_fragment: false };
        trace.tie();
        trace.break_cycles();
        trace.measure();
        trace
    }

    pub(super) const fn into_fragment(mut self) -> Self {
        self.is_fragment = true;
        self
    }

    /// The trace's identifier.
    #[must_use]
    pub const fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// Its spans by start, then identifier.
    #[must_use]
    pub fn spans(&self) -> &[TraceSpan] {
        &self.spans
    }

    /// The spans that have no parent here.
    ///
    /// ```
    /// use otlp_core::assemble::Trace;
    /// # use otlp_core::record::Span;
    /// # use otlp_core::{SpanId, TraceId, UnixNanos};
    /// # let trace_id = TraceId::new([1; 16]);
    /// # let span = |id: u8, parent: u8, start: u64, end: u64| Span {
    /// #     trace_id,
    /// #     span_id: SpanId::new([id; 8]),
    /// #     parent_span_id: SpanId::new([parent; 8]),
    /// #     start: UnixNanos::from_millis(start),
    /// #     end: UnixNanos::from_millis(end),
    /// #     ..Span::default()
    /// # };
    /// let trace = Trace::new(trace_id, [("shop".into(), span(1, 0, 0, 9)), ("db".into(), span(2, 1, 1, 2))]);
    /// assert!(trace.roots().map(|root| &*root.service).eq(["shop"]));
    /// ```
    pub fn roots(&self) -> impl Iterator<Item = &TraceSpan> + '_ {
        self.spans.iter().filter(|entry| entry.parent.is_none())
    }

    /// Count of spans that name a parent which is not here.
    ///
    /// ```
    /// use otlp_core::assemble::Trace;
    /// # use otlp_core::record::Span;
    /// # use otlp_core::{SpanId, TraceId, UnixNanos};
    /// # let trace_id = TraceId::new([1; 16]);
    /// # let span = |id: u8, parent: u8, start: u64, end: u64| Span {
    /// #     trace_id,
    /// #     span_id: SpanId::new([id; 8]),
    /// #     parent_span_id: SpanId::new([parent; 8]),
    /// #     start: UnixNanos::from_millis(start),
    /// #     end: UnixNanos::from_millis(end),
    /// #     ..Span::default()
    /// # };
    /// // The parent of the only span never came.
    /// let trace = Trace::new(trace_id, [("db".into(), span(2, 1, 1, 2))]);
    /// assert_eq!((trace.orphans(), trace.roots().count()), (1, 1));
    /// ```
    #[must_use]
    pub const fn orphans(&self) -> usize {
        self.orphans
    }

    /// Count of rings of parents that had to be cut.
    ///
    /// ```
    /// use otlp_core::assemble::Trace;
    /// # use otlp_core::record::Span;
    /// # use otlp_core::{SpanId, TraceId, UnixNanos};
    /// # let trace_id = TraceId::new([1; 16]);
    /// # let span = |id: u8, parent: u8, start: u64, end: u64| Span {
    /// #     trace_id,
    /// #     span_id: SpanId::new([id; 8]),
    /// #     parent_span_id: SpanId::new([parent; 8]),
    /// #     start: UnixNanos::from_millis(start),
    /// #     end: UnixNanos::from_millis(end),
    /// #     ..Span::default()
    /// # };
    /// // Two spans that name each other as parents.
    /// let trace = Trace::new(trace_id, [("a".into(), span(1, 2, 0, 9)), ("b".into(), span(2, 1, 1, 2))]);
    /// assert_eq!((trace.cycles(), trace.roots().count()), (1, 1));
    /// ```
    #[must_use]
    pub const fn cycles(&self) -> usize {
        self.cycles
    }

    /// True where another part of this trace was handed out before.
    #[must_use]
    pub const fn is_fragment(&self) -> bool {
        self.is_fragment
    }

    /// The earliest start, or [`UnixNanos::ZERO`] of an empty trace.
    #[must_use]
    pub fn start(&self) -> UnixNanos {
        self.spans.first().map_or(UnixNanos::ZERO, |entry| entry.span.start)
    }

    /// The latest end, or [`UnixNanos::ZERO`] of an empty trace. O(spans).
    ///
    /// ```
    /// use otlp_core::assemble::Trace;
    /// # use otlp_core::record::Span;
    /// # use otlp_core::{SpanId, TraceId, UnixNanos};
    /// # let trace_id = TraceId::new([1; 16]);
    /// # let span = |id: u8, parent: u8, start: u64, end: u64| Span {
    /// #     trace_id,
    /// #     span_id: SpanId::new([id; 8]),
    /// #     parent_span_id: SpanId::new([parent; 8]),
    /// #     start: UnixNanos::from_millis(start),
    /// #     end: UnixNanos::from_millis(end),
    /// #     ..Span::default()
    /// # };
    /// let trace = Trace::new(trace_id, [("shop".into(), span(1, 0, 2, 9)), ("db".into(), span(2, 1, 3, 12))]);
    /// assert_eq!((trace.start(), trace.end()), (UnixNanos::from_millis(2), UnixNanos::from_millis(12)));
    /// ```
    #[must_use]
    pub fn end(&self) -> UnixNanos {
        self.spans.iter().map(|entry| entry.span.end).max().unwrap_or_default()
    }

    /// The requests that services handled in this trace, in order of start. O(spans log spans).
    ///
    /// ```
    /// use otlp_core::assemble::Trace;
    /// # use otlp_core::record::Span;
    /// # use otlp_core::{SpanId, TraceId, UnixNanos};
    /// # let trace_id = TraceId::new([1; 16]);
    /// # let span = |id: u8, parent: u8, start: u64, end: u64| Span {
    /// #     trace_id,
    /// #     span_id: SpanId::new([id; 8]),
    /// #     parent_span_id: SpanId::new([parent; 8]),
    /// #     start: UnixNanos::from_millis(start),
    /// #     end: UnixNanos::from_millis(end),
    /// #     ..Span::default()
    /// # };
    /// let trace = Trace::new(trace_id, [("shop".into(), span(1, 0, 0, 9)), ("db".into(), span(2, 1, 1, 4))]);
    /// let requests = trace.requests();
    /// assert_eq!((requests[1].service, requests[1].caller), ("db", Some("shop")));
    /// assert_eq!(requests[0].self_time.as_millis(), 6);
    /// ```
    #[must_use]
    pub fn requests(&self) -> Vec<Request<'_>> {
        request::of(&self.spans)
    }

    fn tie(&mut self) {
        let places: HashMap<SpanId, usize> =
            self.spans.iter().enumerate().map(|(place, entry)| (entry.span.span_id, place)).collect();
        for entry in &mut self.spans {
            let wanted = entry.span.parent_span_id;
            entry.parent = places.get(&wanted).copied();
            self.orphans += usize::from(wanted.is_valid() && entry.parent.is_none());
        }
    }

    fn break_cycles(&mut self) {
        // The number of the walk that came by; walks start from the earliest span.
        let mut walked = vec![0_usize; self.spans.len()];
        for start in 0..self.spans.len() {
            let walk = start + 1;
            let mut next = Some(start);
            while let Some(place) = next {
                match walked.get_mut(place) {
                    Some(mark) if *mark == 0 => *mark = walk,
                    Some(mark) if *mark == walk => {
                        self.cut_ring(place);
                        break;
                    }
                    _ => break,
                }
                next = self.spans.get(place).and_then(|entry| entry.parent);
            }
        }
    }

    /// Makes the earliest span of the ring through `place` a root.
    fn cut_ring(&mut self, place: usize) {
        let parent = |place: usize| self.spans.get(place).and_then(|entry| entry.parent);
        let mut earliest = place;
        let mut at = parent(place);
        while let Some(other) = at.filter(|&other| other != place) {
            earliest = earliest.min(other);
            at = parent(other);
        }
        if let Some(entry) = self.spans.get_mut(earliest) {
            entry.parent = None;
            self.cycles += 1;
        }
    }

    fn measure(&mut self) {
        let mut busy: Vec<(usize, Interval)> =
            self.spans.iter().filter_map(|entry| Some((entry.parent?, Interval::of(&entry.span)))).collect();
        busy.sort_unstable();
        let mut waits = busy.chunk_by(|a, b| a.0 == b.0).peekable();
        for (place, entry) in self.spans.iter_mut().enumerate() {
            let own = waits.next_if(|wait| wait.first().is_some_and(|first| first.0 == place));
            let children = own.unwrap_or_default().iter().map(|&(_, interval)| interval);
            entry.self_time = Interval::of(&entry.span).less(children);
        }
    }
}

/// From when to when, in nanoseconds; never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Interval {
    start: u64,
    end: u64,
}

impl Interval {
    /// The interval of a span; empty where the clock went backwards in it.
    pub(super) fn of(span: &Span) -> Self {
        Self { start: span.start.0, end: span.end.0.max(span.start.0) }
    }

    /// How much of this remains outside `others`, which come in ascending order.
    pub(super) fn less(self, others: impl IntoIterator<Item = Self>) -> Duration {
        let mut covered = 0;
        let mut reached = self.start;
        for other in others {
            let end = other.end.min(self.end);
            covered += end.saturating_sub(other.start.max(reached));
            reached = reached.max(end);
        }
        Duration::from_nanos((self.end - self.start).saturating_sub(covered))
    }
}
