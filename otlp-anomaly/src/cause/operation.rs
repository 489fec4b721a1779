//! What services do for a request, by operation: a small digest of traces that merges.

use std::collections::HashMap;
use std::sync::Arc;

use otlp_core::TraceId;
use otlp_core::assemble::{Trace, TraceSpan};
use otlp_core::record::SpanKind;

use super::request::Requests;
use crate::number::to_f64;

/// The own time of each operation, the time lost between caller and callee, and what follows what, summed up over
/// traces.
///
/// Two of them merge into what one over both their traces would be, as far as the bounds allow: 4,096 operations and
/// 32,768 steps, past which spans are counted in [`dropped`](Self::dropped). Adding a span costs two hash look-ups, a
/// logarithm, and a look-up for each of its children.
///
/// ```
/// use otlp_anomaly::cause::Operations;
/// use otlp_core::{SpanId, TraceId, assemble::Trace, record::Span};
///
/// let trace_id = TraceId::new([1; 16]);
/// let span = Span { trace_id, span_id: SpanId::new([1; 8]), name: "pay".into(), ..Span::default() };
/// let mut operations = Operations::default();
/// operations.add(&Trace::new(trace_id, [("shop".into(), span)]));
/// assert_eq!((operations.len(), operations.dropped()), (1, 0));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Operations {
    places: HashMap<Arc<str>, HashMap<Arc<str>, usize>>,
    known: Vec<Known>,
    gaps: HashMap<(Arc<str>, Arc<str>), Moments>,
    steps: HashMap<Step, Next>,
    requests: Requests,
    dropped: u64,
}

/// An operation of a service and the own time of its spans.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) service: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) own: Moments,
    /// The name itself says that it is what is done about a failure.
    is_failure: bool,
}

/// Where in an operation a trace stands: after which of its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Step {
    pub(super) within: usize,
    /// None before the first.
    pub(super) after: Option<usize>,
}

/// What came next, in how many spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Next {
    pub(super) all: u64,
    /// A child that failed.
    pub(super) failed: u64,
    /// Nothing.
    pub(super) ended: u64,
    /// Nothing, and the span failed, or what follows it is done about a failure.
    pub(super) broken: u64,
    /// What came next when anything but a failure first did.
    pub(super) next: Option<usize>,
}

/// Mean and variance of the logarithm of times, and their plain sum.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Moments {
    pub(super) count: u64,
    /// Traces that they come from: what is in one of them is much alike.
    traces: u64,
    last: TraceId,
    pub(super) mean: f64,
    squares: f64,
    sum_secs: f64,
}

/// Times well below this are all alike: the noise of clocks and schedulers.
const NEGLIGIBLE_SECS: f64 = 3e-4;
const MAX_OPERATIONS: usize = 4_096;
const MAX_STEPS: usize = 32_768;
const MAX_GAPS: usize = 10_000;

impl Moments {
    fn add(&mut self, secs: f64, trace: TraceId) {
        let value = (secs + NEGLIGIBLE_SECS).ln();
        self.traces += u64::from(self.count == 0 || self.last != trace);
        self.last = trace;
        self.count += 1;
        let off = value - self.mean;
        self.mean += off / to_f64(self.count);
        self.squares += off * (value - self.mean);
        self.sum_secs += secs;
    }

    /// T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    /// variances", 1979.
    fn merge(&mut self, other: &Self) {
        let all = self.count + other.count;
        if other.count == 0 {
            return;
        }
        let off = other.mean - self.mean;
        let share = to_f64(other.count) / to_f64(all);
        self.squares += other.squares + off * off * to_f64(self.count) * share;
        self.mean += off * share;
        self.count = all;
        self.traces += other.traces;
        self.sum_secs += other.sum_secs;
    }

    /// The squared standard error of the mean: of as many independent values as there are traces.
    pub(super) fn error_squared(&self) -> f64 {
        let variance = self.squares / (to_f64(self.count) - 1.0);
        if self.count < 2 { f64::INFINITY } else { variance / to_f64(self.traces.max(1)) }
    }

    pub(super) fn mean_secs(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum_secs / to_f64(self.count) }
    }
}

impl Operations {
    /// Sums up one more trace.
    pub fn add(&mut self, trace: &Trace) {
        let spans = trace.spans();
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
        for (place, span) in spans.iter().enumerate() {
            if let Some(siblings) = span.parent.and_then(|parent| children.get_mut(parent)) {
                siblings.push(place);
            }
        }
        let ids: Vec<Option<usize>> =
            spans.iter().map(|span| self.place(&span.service, &span.span.name)).collect();
        let labels: Vec<(Option<usize>, bool)> =
            (0..spans.len()).map(|place| self.label(place, spans, &children, &ids)).collect();
        self.requests.add(spans, &ids);
        for (place, span) in spans.iter().enumerate() {
            let own = children.get(place).map_or(&[][..], Vec::as_slice);
            let Some(id) = ids.get(place).copied().flatten() else {
                self.dropped += 1;
                continue;
            };
            let secs = span.self_time.as_secs_f64();
            match answered_by(span, own, spans) {
                Some(callee) => self.add_gap((&span.service, &callee.service), secs, trace.trace_id()),
                None => {
                    if let Some(known) = self.known.get_mut(id) {
                        known.own.add(secs, trace.trace_id());
                    }
                }
            }
            let steps = own.iter().filter_map(|&child| labels.get(child).copied());
            self.add_steps(
                id,
                steps,
                span.span.is_error() || is_followed_by_failure(place, span, &children, &labels),
            );
        }
    }

    /// Adds all that `other` holds. O(operations + steps).
    pub fn merge(&mut self, other: &Self) {
        self.dropped += other.dropped;
        let mut moved: Vec<Option<usize>> = Vec::with_capacity(other.known.len());
        for known in &other.known {
            let place = self.place(&known.service, &known.name);
            if let Some(own) = place.and_then(|place| self.known.get_mut(place)) {
                own.own.merge(&known.own);
            } else {
                self.dropped += known.own.count;
            }
            moved.push(place);
        }
        for (pair, gap) in &other.gaps {
            if self.gaps.len() < MAX_GAPS || self.gaps.contains_key(pair) {
                self.gaps.entry(pair.clone()).or_default().merge(gap);
            }
        }
        let at = |place: usize| moved.get(place).copied().flatten();
        for (step, next) in &other.steps {
            let after = step.after.map(at);
            let (Some(within), false) = (at(step.within), after == Some(None)) else { continue };
            let next = Next { next: next.next.and_then(at), ..*next };
            self.count(Step { within, after: after.flatten() }, next);
        }
        self.requests.merge(&other.requests, at);
    }

    /// Operations known.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.known.len()
    }

    /// True before the first span.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Spans left out because their operation would have been one too many.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn known(&self) -> &[Known] {
        &self.known
    }

    pub(super) fn find(&self, service: &str, name: &str) -> Option<usize> {
        self.places.get(service)?.get(name).copied()
    }

    pub(super) fn gaps(&self) -> impl Iterator<Item = ((&str, &str), &Moments)> {
        self.gaps.iter().map(|((caller, callee), gap)| ((&**caller, &**callee), gap))
    }

    pub(super) fn gap(&self, caller: &str, callee: &str) -> Option<&Moments> {
        self.gaps.get(&(Arc::from(caller), Arc::from(callee)))
    }

    pub(super) fn steps(&self) -> impl Iterator<Item = (Step, Next)> + '_ {
        self.steps.iter().map(|(&step, &next)| (step, next))
    }

    pub(super) const fn requests(&self) -> &Requests {
        &self.requests
    }

    pub(super) fn next(&self, step: Step) -> Option<Next> {
        self.steps.get(&step).copied()
    }

    fn place(&mut self, service: &Arc<str>, name: &str) -> Option<usize> {
        if let Some(place) = self.find(service, name) {
            return Some(place);
        }
        if self.known.len() >= MAX_OPERATIONS {
            return None;
        }
        let (place, name): (usize, Arc<str>) = (self.known.len(), Arc::from(name));
        self.places.entry(Arc::clone(service)).or_default().insert(Arc::clone(&name), place);
        let is_failure = tells_of_failure(&name);
        self.known.push(Known { service: Arc::clone(service), name, own: Moments::default(), is_failure });
        Some(place)
    }

    /// What a child stands for among its siblings: a call for what answered it, anything else for itself; and whether
    /// it failed.
    fn label(
        &self,
        place: usize,
        spans: &[TraceSpan],
        children: &[Vec<usize>],
        ids: &[Option<usize>],
    ) -> (Option<usize>, bool) {
        let Some(span) = spans.get(place) else { return (None, false) };
        let below = children.get(place).map_or(&[][..], Vec::as_slice);
        let stands_for = if answered_by(span, below, spans).is_some() { below.first() } else { None };
        let id = ids.get(stands_for.copied().unwrap_or(place)).copied().flatten();
        let is_failure = id.and_then(|id| self.known.get(id)).is_some_and(|known| known.is_failure);
        (id, is_failure || span.span.is_error())
    }

    fn add_gap(&mut self, (caller, callee): (&Arc<str>, &Arc<str>), secs: f64, trace: TraceId) {
        let pair = (Arc::clone(caller), Arc::clone(callee));
        if self.gaps.len() < MAX_GAPS || self.gaps.contains_key(&pair) {
            self.gaps.entry(pair).or_default().add(secs, trace);
        }
    }

    fn add_steps(
        &mut self,
        within: usize,
        children: impl Iterator<Item = (Option<usize>, bool)>,
        is_broken: bool,
    ) {
        let mut after = None;
        for (id, is_failure) in children {
            if id == after && !is_failure {
                continue;
            }
            let next = id.filter(|_| !is_failure);
            let failed = u64::from(is_failure);
            self.count(Step { within, after }, Next { all: 1, failed, next, ..Next::default() });
            after = id;
        }
        self.count(
            Step { within, after },
            Next { all: 1, ended: 1, broken: u64::from(is_broken), ..Next::default() },
        );
    }

    fn count(&mut self, step: Step, next: Next) {
        if self.steps.len() >= MAX_STEPS && !self.steps.contains_key(&step) {
            return;
        }
        let own = self.steps.entry(step).or_default();
        own.all += next.all;
        own.failed += next.failed;
        own.ended += next.ended;
        own.broken += next.broken;
        own.next = own.next.or(next.next);
    }
}

/// True where the next span below the same parent is done about a failure.
fn is_followed_by_failure(
    place: usize,
    span: &TraceSpan,
    children: &[Vec<usize>],
    labels: &[(Option<usize>, bool)],
) -> bool {
    let siblings = span.parent.and_then(|parent| children.get(parent)).map_or(&[][..], Vec::as_slice);
    let next = siblings.iter().skip_while(|sibling| **sibling != place).nth(1);
    next.and_then(|next| labels.get(*next)).is_some_and(|(_, is_failure)| *is_failure)
}

/// The request in another service that a call led to: the only child of a span that is no request itself, and
/// elsewhere.
fn answered_by<'a>(span: &TraceSpan, children: &[usize], spans: &'a [TraceSpan]) -> Option<&'a TraceSpan> {
    let [only] = children else { return None };
    let is_call = match span.span.kind {
        SpanKind::Client | SpanKind::Producer => true,
        SpanKind::Server | SpanKind::Consumer => false,
        _ => span
            .parent
            .and_then(|parent| spans.get(parent))
            .is_some_and(|parent| parent.service == span.service),
    };
    spans.get(*only).filter(|child| is_call && child.service != span.service)
}

/// Frameworks that set no status still have their error handlers in the trace.
fn tells_of_failure(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["error", "exception", "failure"].iter().any(|word| name.contains(word))
}
