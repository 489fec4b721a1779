//! Rate, errors and durations of operations, counted span by span, before anything is sampled out.
//!
//! Each span is counted in a histogram of durations named as the semantic conventions have it for its kind, so that a
//! backend knows it: its count is the rate, and the points with `error.type` are the errors.
//!
//! | span | metric | attributes |
//! |---|---|---|
//! | HTTP | `http.server.request.duration`, `http.client.request.duration` | method, status code, route, scheme, `error.type` |
//! | RPC | `rpc.server.call.duration`, `rpc.client.call.duration` | system, method, status code, `error.type` |
//! | database | `db.client.operation.duration` | system, operation, collection, status code, `error.type` |
//! | messaging | `messaging.client.operation.duration` | system, operation, destination, `error.type` |
//! | other | `otlp.capture.duration` | name of the span, `error.type` |
//!
//! Combinations of attributes are bounded; those beyond are counted in one point of their metric with
//! `otel.metric.overflow`, as the OpenTelemetry SDKs do.

mod duration;

use std::collections::HashMap;
use std::sync::Arc;

use otlp_core::UnixNanos;
use otlp_core::record::{
    AnyValue, KeyValue, Metric, MetricsRequest, Resource, ResourceMetrics, Scope, ScopeMetrics, Span,
    SpanKind,
};
use otlp_core::semconv;

pub use self::duration::Buckets;
use self::duration::Durations;

/// Counts spans by what they did; see the [module](self).
///
/// ```
/// use std::sync::Arc;
/// use otlp_core::record::{KeyValue, Resource, Span, SpanKind};
/// use otlp_core::UnixNanos;
/// use otlp_ebpf::red::RedMetrics;
/// let mut red = RedMetrics::new(UnixNanos::from_secs(100));
/// let attributes = vec![KeyValue::new("http.request.method", "GET")];
/// let span = Span { kind: SpanKind::Server, attributes, ..Span::default() };
/// red.count(&Arc::new(Resource::service("shop")), &span);
/// let request = red.to_request(UnixNanos::from_secs(160));
/// assert_eq!(request.resources[0].scopes[0].metrics[0].name, "http.server.request.duration");
/// ```
#[derive(Debug, Clone)]
pub struct RedMetrics {
    start: UnixNanos,
    buckets: Buckets,
    max_series: usize,
    max_services: usize,
    services: Vec<Counted>,
    series: usize,
    stats: RedStats,
}

/// What of one service was counted.
#[derive(Debug, Clone)]
struct Counted {
    resource: Arc<Resource>,
    /// In the order in which they were first met.
    metrics: Vec<Told>,
}

/// The series of one metric.
#[derive(Debug, Clone)]
struct Told {
    family: Family,
    /// Where in `series` each combination is; the empty one is that of what overflows.
    places: HashMap<Vec<KeyPart>, usize>,
    series: Vec<Series>,
}

#[derive(Debug, Clone)]
struct Series {
    attributes: Vec<KeyValue>,
    durations: Durations,
}

/// The account of [`RedMetrics`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RedStats {
    /// Spans counted: every one that came.
    pub spans: u64,
    /// Of these, spans that failed.
    pub errors: u64,
    /// Spans counted without their attributes, because there were too many combinations already.
    pub overflowed: u64,
    /// Spans of services beyond the bound, counted under the one called `_OTHER`.
    pub other_services: u64,
}

/// An attribute's value, as series are told apart by it.
type KeyPart = Option<Value>;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Value {
    Text(Box<str>),
    Number(i64),
}

/// A metric, and the attributes that it is told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Family {
    name: &'static str,
    keys: &'static [&'static str],
}

const HTTP_KEYS: &[&str] = &[
    semconv::HTTP_REQUEST_METHOD,
    semconv::HTTP_RESPONSE_STATUS_CODE,
    semconv::HTTP_ROUTE,
    semconv::URL_SCHEME,
    semconv::ERROR_TYPE,
];
const RPC_KEYS: &[&str] =
    &[semconv::RPC_SYSTEM_NAME, semconv::RPC_METHOD, semconv::RPC_RESPONSE_STATUS_CODE, semconv::ERROR_TYPE];
const DB_KEYS: &[&str] = &[
    semconv::DB_SYSTEM_NAME,
    semconv::DB_OPERATION_NAME,
    semconv::DB_COLLECTION_NAME,
    semconv::DB_RESPONSE_STATUS_CODE,
    semconv::ERROR_TYPE,
];
const MESSAGING_KEYS: &[&str] = &[
    semconv::MESSAGING_SYSTEM,
    semconv::MESSAGING_OPERATION_NAME,
    semconv::MESSAGING_DESTINATION_NAME,
    semconv::ERROR_TYPE,
];
/// The name of the span stands for an attribute that it has not.
const OTHER_KEYS: &[&str] = &[SPAN_NAME, semconv::ERROR_TYPE];
const SPAN_NAME: &str = "span.name";
const OVERFLOW: &str = "otel.metric.overflow";

impl Family {
    fn of(span: &Span) -> Self {
        let has = |key| KeyValue::find(&span.attributes, key).is_some();
        let is_client = matches!(span.kind, SpanKind::Client | SpanKind::Producer);
        let (name, keys) = if has(semconv::RPC_SYSTEM_NAME) {
            (if is_client { "rpc.client.call.duration" } else { "rpc.server.call.duration" }, RPC_KEYS)
        } else if has(semconv::HTTP_REQUEST_METHOD) {
            (
                if is_client { "http.client.request.duration" } else { "http.server.request.duration" },
                HTTP_KEYS,
            )
        } else if has(semconv::DB_SYSTEM_NAME) {
            ("db.client.operation.duration", DB_KEYS)
        } else if has(semconv::MESSAGING_SYSTEM) {
            ("messaging.client.operation.duration", MESSAGING_KEYS)
        } else {
            ("otlp.capture.duration", OTHER_KEYS)
        };
        Self { name, keys }
    }

    fn key(self, span: &Span) -> Vec<KeyPart> {
        let part = |key: &&str| match KeyValue::find(&span.attributes, key) {
            Some(AnyValue::String(text)) => Some(Value::Text(text.as_str().into())),
            Some(AnyValue::Int(number)) => Some(Value::Number(*number)),
            None if *key == SPAN_NAME => Some(Value::Text(span.name.as_str().into())),
            _ => None,
        };
        self.keys.iter().map(part).collect()
    }

    fn attributes(self, key: &[KeyPart]) -> Vec<KeyValue> {
        let attribute = |(name, part): (&&'static str, &KeyPart)| {
            let value = match part.as_ref()? {
                Value::Text(text) => AnyValue::from(&**text),
                Value::Number(number) => AnyValue::Int(*number),
            };
            Some(KeyValue::new(*name, value))
        };
        self.keys.iter().zip(key).filter_map(attribute).collect()
    }
}

impl RedMetrics {
    /// Counts from `start` on, in explicit buckets, at most 2,000 combinations of attributes of 256 services.
    #[must_use]
    pub fn new(start: UnixNanos) -> Self {
        Self {
            start,
            buckets: Buckets::Explicit,
            max_series: 2000,
            max_services: 256,
            services: Vec::new(),
            series: 0,
            stats: RedStats::default(),
        }
    }

    /// Sets the buckets of the histograms, before anything is counted.
    #[must_use]
    pub const fn buckets(mut self, buckets: Buckets) -> Self {
        self.buckets = buckets;
        self
    }

    /// Sets how many combinations of attributes are told apart over all services; default 2,000.
    #[must_use]
    pub const fn max_series(mut self, series: usize) -> Self {
        self.max_series = series;
        self
    }

    /// Sets how many services are told apart; default 256.
    #[must_use]
    pub const fn max_services(mut self, services: usize) -> Self {
        self.max_services = services;
        self
    }

    /// Counts a span of the resource. O(attributes of the span).
    pub fn count(&mut self, resource: &Arc<Resource>, span: &Span) {
        self.stats.spans += 1;
        self.stats.errors += u64::from(span.is_error());
        let family = Family::of(span);
        let key = family.key(span);
        let has_room = self.series < self.max_series;
        let buckets = self.buckets;
        let counted = self.service(resource);
        let at = counted.metrics.iter().position(|told| told.family == family).unwrap_or_else(|| {
            counted.metrics.push(Told { family, places: HashMap::new(), series: Vec::new() });
            counted.metrics.len() - 1
        });
        let Some(Told { places, series, .. }) = counted.metrics.get_mut(at) else { return };
        let known = places.get(&key).copied();
        let overflows = known.is_none() && !has_room;
        let key = if overflows { Vec::new() } else { key };
        let place = known.or_else(|| places.get(&key).copied());
        let is_new = place.is_none();
        let place = place.unwrap_or_else(|| {
            let attributes =
                if key.is_empty() { vec![KeyValue::new(OVERFLOW, true)] } else { family.attributes(&key) };
            series.push(Series { attributes, durations: Durations::new(buckets) });
            places.insert(key, series.len() - 1);
            series.len() - 1
        });
        if let Some(series) = series.get_mut(place) {
            series.durations.record(span.duration());
        }
        self.series += usize::from(is_new && !overflows);
        self.stats.overflowed += u64::from(overflows);
    }

    fn service(&mut self, resource: &Arc<Resource>) -> &mut Counted {
        let same = |met: &Counted| Arc::ptr_eq(&met.resource, resource) || met.resource == *resource;
        let at = match self.services.iter().position(same) {
            Some(at) => at,
            None if self.services.len() < self.max_services => {
                self.services.push(Counted { resource: Arc::clone(resource), metrics: Vec::new() });
                self.services.len() - 1
            }
            None => {
                self.stats.other_services += 1;
                // One more than the bound: where the rest is counted.
                if self.services.len() == self.max_services {
                    let resource = Arc::new(Resource::service("_OTHER"));
                    self.services.push(Counted { resource, metrics: Vec::new() });
                }
                self.max_services
            }
        };
        let last = self.services.len() - 1;
        // The place was found or made right above.
        #[expect(clippy::indexing_slicing, reason = "within the bounds, see above")]
        &mut self.services[at.min(last)]
    }

    /// The account so far.
    #[must_use]
    pub const fn stats(&self) -> RedStats {
        self.stats
    }

    /// What was counted up to `now`, cumulative since the start; ready to be encoded. O(series).
    #[must_use]
    pub fn to_request(&self, now: UnixNanos) -> MetricsRequest {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let scope = Scope { name: env!("CARGO_PKG_NAME").to_owned(), version, ..Scope::default() };
        let group = |counted: &Counted| ResourceMetrics {
            resource: (*counted.resource).clone(),
            scopes: vec![ScopeMetrics {
                scope: scope.clone(),
                metrics: counted.metrics.iter().map(|metric| self.metric(metric, now)).collect(),
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        };
        MetricsRequest { resources: self.services.iter().map(group).collect() }
    }

    fn metric(&self, Told { family, series, .. }: &Told, now: UnixNanos) -> Metric {
        let points = series.iter().map(|series| (series.attributes.clone(), &series.durations)).collect();
        Metric {
            name: family.name.to_owned(),
            description: "How long operations took.".to_owned(),
            unit: "s".to_owned(),
            data: Some(duration::data(self.buckets, points, (self.start, now))),
            ..Metric::default()
        }
    }
}
