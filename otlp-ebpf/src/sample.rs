//! Which spans are exported: by their traces, by a rate, and by how they ended.
//!
//! A [`SpanSampler`] holds the spans of a trace for a short while ([`Sampling::hold`]), and then keeps all of them or
//! none: all where one failed, was slow or is of a route that is kept, else by the trace's identifier
//! ([`otlp_core::process::Sampler`]), at a fixed ratio or at one that follows the load. Spans that come later go the
//! way of their trace. Count [`RedMetrics`](crate::red::RedMetrics) before it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use otlp_core::process::Sampler;
use otlp_core::record::{AnyValue, KeyValue, Resource, Span};
use otlp_core::{TraceId, UnixNanos, semconv};

use crate::error::{Error, ErrorKind, Result};

/// How spans are sampled; checked by [`SpanSampler::new`].
///
/// ```
/// use std::time::Duration;
/// use otlp_ebpf::sample::{Sampling, SpanSampler};
/// let sampling = Sampling::default()
///     .ratio(0.1)
///     .keep_errors(true)
///     .keep_slower_than(Duration::from_secs(1))
///     .keep_route("/checkout")
///     .drop_route("/healthz");
/// let sampler = SpanSampler::new(sampling)?;
/// # Ok::<(), otlp_ebpf::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
#[must_use]
pub struct Sampling {
    share: Share,
    keep_errors: bool,
    slow: Option<Duration>,
    keep_routes: Vec<String>,
    drop_routes: Vec<String>,
    hold: Duration,
    max_held_spans: usize,
    max_decisions: usize,
}

/// The share of traces that is kept, whatever is in them.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Share {
    Ratio(f64),
    SpansPerSec(f64),
}

impl Sampling {
    /// Keeps a share of the traces from 0 to 1; default 1.
    pub const fn ratio(mut self, ratio: f64) -> Self {
        self.share = Share::Ratio(ratio);
        self
    }

    /// Keeps a share that makes about so many spans a second, measured over the last few seconds.
    pub const fn spans_per_sec(mut self, rate: f64) -> Self {
        self.share = Share::SpansPerSec(rate);
        self
    }

    /// Keeps traces in which a span failed; default yes.
    pub const fn keep_errors(mut self, keep: bool) -> Self {
        self.keep_errors = keep;
        self
    }

    /// Keeps traces with a span that took longer; default none for that.
    pub const fn keep_slower_than(mut self, duration: Duration) -> Self {
        self.slow = Some(duration);
        self
    }

    /// Keeps traces with a span of this route: `http.route`, else the beginning of `url.path`, else the name.
    pub fn keep_route(mut self, route: impl Into<String>) -> Self {
        self.keep_routes.push(route.into());
        self
    }

    /// Keeps no span of this route, whatever else holds.
    pub fn drop_route(mut self, route: impl Into<String>) -> Self {
        self.drop_routes.push(route.into());
        self
    }

    /// Sets how long after a trace's first span it is decided upon; default 2 s. Zero decides upon each trace with its
    /// first span.
    pub const fn hold(mut self, time: Duration) -> Self {
        self.hold = time;
        self
    }

    /// Sets how many spans are held at most; default 10,000. Beyond, the oldest traces are decided upon early.
    pub const fn max_held_spans(mut self, spans: usize) -> Self {
        self.max_held_spans = spans;
        self
    }

    /// Sets for how many traces the decision is remembered; default 65,536.
    pub const fn max_decisions(mut self, traces: usize) -> Self {
        self.max_decisions = traces;
        self
    }
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            share: Share::Ratio(1.0),
            keep_errors: true,
            slow: None,
            keep_routes: Vec::new(),
            drop_routes: Vec::new(),
            hold: Duration::from_secs(2),
            max_held_spans: 10_000,
            max_decisions: 65_536,
        }
    }
}

/// The account of a sampler: `spans = kept + sampled_out + dropped + held` at every instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SampleStats {
    /// Spans that came.
    pub spans: u64,
    /// Spans given out.
    pub kept: u64,
    /// Spans of traces that were not kept.
    pub sampled_out: u64,
    /// Spans of routes that are dropped.
    pub dropped: u64,
    /// Spans held until their trace is decided upon.
    pub held: u64,
    /// Traces decided upon before their time, to make room.
    pub hurried: u64,
}

impl SampleStats {
    /// True where every span is accounted for.
    ///
    /// ```
    /// use otlp_ebpf::sample::SampleStats;
    /// let mut stats = SampleStats::default();
    /// stats.spans = 1;
    /// assert!(!stats.is_balanced());
    /// stats.held = 1;
    /// assert!(stats.is_balanced());
    /// ```
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.spans == self.kept + self.sampled_out + self.dropped + self.held
    }
}

/// Takes a span, and whose it is.
type Emit<'e> = &'e mut dyn FnMut(&Arc<Resource>, Span);

/// Decides which spans are exported; see the [module](self).
///
/// ```
/// use std::sync::Arc;
/// use otlp_core::record::{Resource, Span, Status, StatusCode};
/// use otlp_core::{TraceId, UnixNanos};
/// use otlp_ebpf::sample::{Sampling, SpanSampler};
/// let mut sampler = SpanSampler::new(Sampling::default().ratio(0.0))?;
/// let shop = Arc::new(Resource::service("shop"));
/// let mut kept = Vec::new();
/// for (trace, code) in [(1, StatusCode::Error), (1, StatusCode::Unset), (2, StatusCode::Unset)] {
///     let status = Status { code, message: String::new() };
///     let span = Span { trace_id: TraceId::new([trace; 16]), status, ..Span::default() };
///     sampler.offer(&shop, span, UnixNanos(1), &mut |_, span| kept.push(span));
/// }
/// sampler.finish(&mut |_, span| kept.push(span));
/// assert_eq!(kept.len(), 2, "the trace with a failure, whole");
/// # Ok::<(), otlp_ebpf::Error>(())
/// ```
#[derive(Debug)]
pub struct SpanSampler {
    config: Sampling,
    share: Sampler,
    rate: Rate,
    held: HashMap<TraceId, Held>,
    /// Traces held, in the order in which their first spans came.
    order: BTreeMap<u64, TraceId>,
    next: u64,
    decided: HashMap<TraceId, bool>,
    decided_order: VecDeque<TraceId>,
    now: UnixNanos,
    stats: SampleStats,
}

/// The spans of a trace not decided upon.
#[derive(Debug)]
struct Held {
    since: UnixNanos,
    turn: u64,
    is_wanted: bool,
    spans: Vec<(Arc<Resource>, Span)>,
}

/// Spans that came, per second: an average over the last few.
#[derive(Debug, Default)]
struct Rate {
    second: u64,
    count: u64,
    per_sec: Option<f64>,
}

/// What of the average a new second moves.
const WEIGHT: f64 = 0.3;

impl Rate {
    /// Counts a span; gives the rate where a second has ended with it.
    #[expect(clippy::cast_precision_loss, reason = "spans of a second stay far below 2^53")]
    fn count(&mut self, now: UnixNanos) -> Option<f64> {
        let second = now.0 / 1_000_000_000;
        self.count += 1;
        if second <= self.second || self.second == 0 {
            self.second = self.second.max(second);
            return None;
        }
        let passed = (second - self.second) as f64;
        let met = (self.count - 1) as f64 / passed;
        let average = self.per_sec.map_or(met, |before| before + WEIGHT * (met - before));
        // A flood is met at once; it is on the way down that haste would overshoot.
        let per_sec = average.max(met);
        (self.second, self.count, self.per_sec) = (second, 1, Some(per_sec));
        Some(per_sec)
    }
}

impl SpanSampler {
    /// Checks the configuration.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a ratio outside of 0 to 1, or a rate that is not above 0.
    pub fn new(config: Sampling) -> Result<Self> {
        let ratio = match config.share {
            Share::Ratio(ratio) => ratio,
            Share::SpansPerSec(rate) if rate > 0.0 && rate.is_finite() => 1.0,
            Share::SpansPerSec(rate) => {
                let message = format!("sampling: expected a rate above 0, met {rate}");
                return Err(Error::new(ErrorKind::Config, message));
            }
        };
        Ok(Self {
            config,
            share: Sampler::ratio(ratio)?,
            rate: Rate::default(),
            held: HashMap::new(),
            order: BTreeMap::new(),
            next: 0,
            decided: HashMap::new(),
            decided_order: VecDeque::new(),
            now: UnixNanos::ZERO,
            stats: SampleStats::default(),
        })
    }

    /// Takes a span of the resource at `now`; gives out those that are decided upon with it. O(1) on average.
    pub fn offer(&mut self, resource: &Arc<Resource>, span: Span, now: UnixNanos, out: Emit<'_>) {
        self.now = self.now.max(now);
        self.stats.spans += 1;
        self.follow_load();
        let trace = span.trace_id;
        if matches_any(&span, &self.config.drop_routes) {
            self.stats.dropped += 1;
        } else if let Some(&is_kept) = self.decided.get(&trace) {
            self.settle(is_kept, resource, span, out);
        } else {
            self.hold(resource, span);
            while self.held_spans() > self.config.max_held_spans {
                self.stats.hurried += 1;
                self.decide_oldest(out);
            }
        }
        self.expire(self.now, out);
    }

    /// Decides upon the traces whose time has come at `now`.
    pub fn expire(&mut self, now: UnixNanos, out: Emit<'_>) {
        self.now = self.now.max(now);
        while let Some(oldest) = self.order.values().next().and_then(|trace| self.held.get(trace)) {
            if self.now.duration_since(oldest.since) < self.config.hold {
                return;
            }
            self.decide_oldest(out);
        }
    }

    /// Decides upon all that is held.
    pub fn finish(&mut self, out: Emit<'_>) {
        while !self.order.is_empty() {
            self.decide_oldest(out);
        }
    }

    /// The account so far.
    #[must_use]
    pub const fn stats(&self) -> SampleStats {
        self.stats
    }

    fn held_spans(&self) -> usize {
        usize::try_from(self.stats.held).unwrap_or(usize::MAX)
    }

    fn follow_load(&mut self) {
        let Share::SpansPerSec(target) = self.config.share else { return };
        if let Some(per_sec) = self.rate.count(self.now)
            && let Ok(share) = Sampler::ratio((target / per_sec).clamp(0.0, 1.0))
        {
            self.share = share;
        }
    }

    fn hold(&mut self, resource: &Arc<Resource>, span: Span) {
        let is_wanted = self.is_wanted(&span);
        let (trace, since, turn) = (span.trace_id, self.now, self.next);
        let held = self.held.entry(trace).or_insert_with(|| {
            self.next += 1;
            self.order.insert(turn, trace);
            Held { since, turn, is_wanted: false, spans: Vec::new() }
        });
        held.is_wanted |= is_wanted;
        held.spans.push((Arc::clone(resource), span));
        self.stats.held += 1;
    }

    fn is_wanted(&self, span: &Span) -> bool {
        let config = &self.config;
        (config.keep_errors && span.is_error())
            || config.slow.is_some_and(|slow| span.duration() > slow)
            || matches_any(span, &config.keep_routes)
    }

    fn decide_oldest(&mut self, out: Emit<'_>) {
        let Some((_, trace)) = self.order.pop_first() else { return };
        let Some(held) = self.held.remove(&trace) else { return };
        debug_assert!(held.turn < self.next, "turns are given once");
        let is_kept = held.is_wanted || self.share.keeps(trace);
        self.remember(trace, is_kept);
        for (resource, span) in held.spans {
            self.stats.held -= 1;
            self.settle(is_kept, &resource, span, out);
        }
    }

    fn settle(&mut self, is_kept: bool, resource: &Arc<Resource>, span: Span, out: Emit<'_>) {
        if is_kept {
            self.stats.kept += 1;
            out(resource, span);
        } else {
            self.stats.sampled_out += 1;
        }
    }

    fn remember(&mut self, trace: TraceId, is_kept: bool) {
        if self.config.max_decisions == 0 {
            return;
        }
        if self.decided_order.len() >= self.config.max_decisions
            && let Some(oldest) = self.decided_order.pop_front()
        {
            self.decided.remove(&oldest);
        }
        if self.decided.insert(trace, is_kept).is_none() {
            self.decided_order.push_back(trace);
        }
    }
}

/// True where the span is of one of these routes.
fn matches_any(span: &Span, routes: &[String]) -> bool {
    if routes.is_empty() {
        return false;
    }
    let text = |key| KeyValue::find(&span.attributes, key).and_then(AnyValue::as_str);
    let (route, path) = (text(semconv::HTTP_ROUTE), text(semconv::URL_PATH));
    routes.iter().any(|wanted| match (route, path) {
        (Some(route), _) => route == wanted,
        (None, Some(path)) => path
            .strip_prefix(wanted.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || wanted.ends_with('/')),
        (None, None) => span.name == *wanted,
    })
}
