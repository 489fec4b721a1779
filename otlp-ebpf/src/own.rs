//! Processes that export spans of their own: recognised, so that nothing is counted twice.
//!
//! A request that carries OTLP (`POST /v1/traces` and the like, or `Export` of a collector's gRPC service) says that its
//! client exports its own telemetry. What is captured of such a service is then left out, put beside its traces, or
//! kept, by [`Policy`]. The same goes for a request that a service sends with a `traceparent` whose span it is known to
//! report itself ([`OwnSpans::reported`]).

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use otlp_core::record::{AnyValue, KeyValue, Link, Span, SpanKind};
use otlp_core::{SpanId, TraceId, UnixNanos, semconv};

use crate::id::mix;

/// What becomes of a captured span that its service reports itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Policy {
    /// It is left out.
    #[default]
    Skip,
    /// It begins a trace of its own, of kind INTERNAL, linked to the span that the request names: what was seen on the
    /// wire can be looked up, and no trace holds the request twice.
    Link,
    /// It is kept as it is, and so are spans of the export itself.
    Keep,
}

/// The account of [`OwnSpans`]: `spans = passed + linked + skipped + exports` at every instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct OwnStats {
    /// Spans that came.
    pub spans: u64,
    /// Spans that went on as they were.
    pub passed: u64,
    /// Spans that went on beside their traces.
    pub linked: u64,
    /// Spans left out because their service reports them.
    pub skipped: u64,
    /// Spans left out because they are of the export of telemetry.
    pub exports: u64,
}

impl OwnStats {
    /// True where every span is accounted for.
    ///
    /// ```
    /// use otlp_ebpf::own::OwnStats;
    /// let mut stats = OwnStats::default();
    /// stats.spans = 1;
    /// assert!(!stats.is_balanced());
    /// stats.skipped = 1;
    /// assert!(stats.is_balanced());
    /// ```
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.spans == self.passed + self.linked + self.skipped + self.exports
    }
}

/// Recognises spans that their services report themselves; see the [module](self).
///
/// The spans of a service before its first export are passed on: it is not known by then. Put a
/// [`SpanSampler`](crate::sample::SpanSampler) that holds for longer than exporters do before it where that matters.
///
/// ```
/// use std::sync::Arc;
/// use otlp_core::UnixNanos;
/// use otlp_core::record::{KeyValue, Span, SpanKind};
/// use otlp_ebpf::own::{OwnSpans, Policy};
/// let mut own = OwnSpans::new(Policy::Skip);
/// let (now, shop) = (UnixNanos::from_secs(1), Arc::from("shop"));
/// let attributes = vec![
///     KeyValue::new("http.request.method", "POST"),
///     KeyValue::new("url.path", "/v1/traces"),
///     KeyValue::new("service.peer.name", "shop"),
/// ];
/// let export = Span { kind: SpanKind::Server, attributes, ..Span::default() };
/// assert_eq!(own.judge(&shop, Span::default(), now), Some(Span::default()));
/// assert_eq!(own.judge(&Arc::from("collector"), export, now), None);
/// assert_eq!(own.judge(&shop, Span::default(), now), None, "known to report its own spans");
/// ```
#[derive(Debug)]
pub struct OwnSpans {
    policy: Policy,
    /// Services that export, and when they last did.
    exporting: HashMap<Arc<str>, UnixNanos>,
    hosts: HashMap<IpAddr, Arc<str>>,
    reported: HashSet<SpanId>,
    reported_order: VecDeque<SpanId>,
    max_reported: usize,
    forget_after: Duration,
    stats: OwnStats,
}

/// Services remembered as exporters at most.
const MAX_EXPORTING: usize = 4096;

/// Where OTLP goes over HTTP.
const PATHS: [&str; 4] = ["/v1/traces", "/v1/logs", "/v1/metrics", "/v1development/profiles"];
/// And over gRPC, in front of the signal.
const GRPC: &str = "opentelemetry.proto.collector.";

impl OwnSpans {
    /// Knows no exporter yet; remembers each for ten minutes after it was last seen to export, and the newest 65,536
    /// spans reported.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            exporting: HashMap::new(),
            hosts: HashMap::new(),
            reported: HashSet::new(),
            reported_order: VecDeque::new(),
            max_reported: 65_536,
            forget_after: Duration::from_secs(600),
            stats: OwnStats::default(),
        }
    }

    /// Says which service a client at this address is, where captures cannot tell.
    #[must_use]
    pub fn host(mut self, address: IpAddr, service: &str) -> Self {
        self.hosts.insert(address.to_canonical(), service.into());
        self
    }

    /// Sets for how long an exporter is remembered; default 10 minutes.
    #[must_use]
    pub const fn forget_after(mut self, time: Duration) -> Self {
        self.forget_after = time;
        self
    }

    /// Sets how many reported spans are remembered; default 65,536.
    #[must_use]
    pub const fn max_reported(mut self, spans: usize) -> Self {
        self.max_reported = spans;
        self
    }

    /// Says that a service exports its own spans.
    pub fn exports(&mut self, service: &Arc<str>, now: UnixNanos) {
        if self.exporting.len() >= MAX_EXPORTING && !self.exporting.contains_key(service) {
            let forget_after = self.forget_after;
            self.exporting.retain(|_, last| now.duration_since(*last) < forget_after);
            if self.exporting.len() >= MAX_EXPORTING {
                return;
            }
        }
        self.exporting.insert(Arc::clone(service), now);
    }

    /// Says that a span was reported by whoever made it: whoever receives OTLP knows.
    pub fn reported(&mut self, span: SpanId) {
        if self.max_reported == 0 || !self.reported.insert(span) {
            return;
        }
        if self.reported_order.len() >= self.max_reported
            && let Some(oldest) = self.reported_order.pop_front()
        {
            self.reported.remove(&oldest);
        }
        self.reported_order.push_back(span);
    }

    /// True where the span is of a request that carries OTLP.
    #[must_use]
    pub fn is_export(span: &Span) -> bool {
        let text = |key| KeyValue::find(&span.attributes, key).and_then(AnyValue::as_str);
        let is_grpc = |name: &str| {
            name.trim_start_matches('/')
                .strip_prefix(GRPC)
                .is_some_and(|rest| rest.ends_with("Service/Export"))
        };
        let by_path = text(semconv::HTTP_REQUEST_METHOD) == Some("POST")
            && text(semconv::URL_PATH)
                .is_some_and(|path| PATHS.iter().any(|known| path.ends_with(known)) || is_grpc(path));
        by_path || is_grpc(&span.name) || text(semconv::RPC_METHOD).is_some_and(is_grpc)
    }

    /// Takes a captured span of a service at `now`; gives it back as it is to go on, if it is. O(attributes).
    pub fn judge(&mut self, service: &Arc<str>, span: Span, now: UnixNanos) -> Option<Span> {
        self.stats.spans += 1;
        if Self::is_export(&span) {
            if let Some(exporter) = self.exporter(service, &span) {
                self.exports(&exporter, now);
            }
            if self.policy != Policy::Keep {
                self.stats.exports += 1;
                return None;
            }
        }
        let is_own =
            self.exporting.get(service).is_some_and(|last| now.duration_since(*last) < self.forget_after)
                || (span.kind == SpanKind::Client && self.reported.contains(&span.parent_span_id));
        match self.policy {
            Policy::Skip if is_own => {
                self.stats.skipped += 1;
                None
            }
            Policy::Link if is_own => {
                self.stats.linked += 1;
                Some(beside(span))
            }
            _ => {
                self.stats.passed += 1;
                Some(span)
            }
        }
    }

    /// The account so far.
    #[must_use]
    pub const fn stats(&self) -> OwnStats {
        self.stats
    }

    /// Who sent the request of the span.
    fn exporter(&self, service: &Arc<str>, span: &Span) -> Option<Arc<str>> {
        if span.kind == SpanKind::Client {
            return Some(Arc::clone(service));
        }
        let text = |key| KeyValue::find(&span.attributes, key).and_then(AnyValue::as_str);
        let by_name = text(semconv::SERVICE_PEER_NAME).map(Arc::from);
        by_name.or_else(|| {
            let address: IpAddr = text(semconv::CLIENT_ADDRESS)?.parse().ok()?;
            self.hosts.get(&address.to_canonical()).cloned()
        })
    }
}

/// The span in a trace of its own, linked to the one that its request named.
fn beside(mut span: Span) -> Span {
    let own = u64::from_be_bytes(*span.span_id.as_bytes());
    let trace = u128::from(mix(own)) << 64 | u128::from(mix(own ^ 1)) | 1;
    let (trace_id, span_id) = (span.trace_id, span.parent_span_id);
    if span_id.is_valid() {
        let trace_state = std::mem::take(&mut span.trace_state);
        span.links.push(Link { trace_id, span_id, trace_state, ..Link::default() });
    }
    span.trace_id = TraceId::new(trace.to_be_bytes());
    span.parent_span_id = SpanId::INVALID;
    span.flags &= 0xff;
    span.kind = SpanKind::Internal;
    span
}
