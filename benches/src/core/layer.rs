//! Spans of `tracing` to an export request: our layer, and `tracing-opentelemetry` over the SDK.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, Span, SpanData, SpanProcessor};
use otlp_core::interop::tracing::LayerConfig;
use otlp_core::protocol::Signal;
use otlp_core::record::{KeyValue, Resource};
use otlp_core::view::TracesView;
use prost::Message;
use tracing::{Dispatch, dispatcher, info, info_span};
use tracing_subscriber::layer::SubscriberExt;

use super::{LIMITS, Rows};
use crate::heap::allocations;
use crate::measure::{Effort, Figure, Row, compare, timed};

const PEER: &str = "tracing-opentelemetry + SDK + transform + prost";

/// As many traces, each of a root and three spans within.
const TRACES: u32 = 128;
const SPANS: u32 = 4 * TRACES;

/// Measures a batch of spans from the macro to the encoded request.
pub(super) fn rows(effort: &Effort) -> Rows {
    let figure = "tracing: spans from the macros to the request, a span";
    if !figure.contains(&effort.only) {
        return Rows::new();
    }
    let (ours, theirs) = match (Ours::new(), Theirs::new()) {
        (Ok(ours), theirs) => (ours, theirs),
        (Err(error), _) => return vec![Err(error.into())],
    };
    if let Err(error) = check(&ours.request(), &theirs.request()) {
        return vec![Err(error)];
    }
    let a_span = |request: &dyn Fn() -> Vec<u8>| allocations(|| drop(request())) as f64 / f64::from(SPANS);
    let [ours_count, theirs_count] = [a_span(&|| ours.request()), a_span(&|| theirs.request())];
    let mut timing = Figure {
        name: figure.to_owned(),
        records: SPANS,
        // How many bytes they are differs: identifiers are random, the SDK writes what is empty.
        ours: Box::new(|| timed(|| u64::from(!ours.request().is_empty()))),
        peer: (PEER, Box::new(|| timed(|| u64::from(!theirs.request().is_empty())))),
        bar: 2.5,
    };
    let row = compare(&mut timing, effort);
    let count = Row::count(
        &format!("{figure}: allocations"),
        ours_count,
        theirs_count / 2.0,
        Some((PEER, theirs_count)),
    );
    vec![row.map_err(Into::into), Ok(count)]
}

/// What a service does, over and over.
fn traced() {
    for number in 0..TRACES {
        let root = info_span!(
            "GET /cart/{id}",
            otel.kind = "server",
            http.request.method = "GET",
            http.response.status_code = 200,
            url.path = "/cart/4711",
            server.address = "checkout.shop.svc.cluster.local",
            server.port = 8443,
            // Signed: the peer makes a text of an unsigned number.
            number = i64::from(number),
        );
        let _entered = root.enter();
        for statement in ["SELECT cart", "SELECT items", "UPDATE cart"] {
            let span = info_span!(
                "query",
                otel.kind = "client",
                db.system.name = "postgresql",
                db.query.text = statement,
                cache.hit = false,
                elapsed = 0.25,
            );
            span.in_scope(|| info!(rows = 3, "answered"));
        }
    }
}

struct Ours {
    layer: otlp_core::interop::tracing::OtlpLayer,
    dispatch: Dispatch,
}

impl Ours {
    fn new() -> otlp_core::Result<Self> {
        let resource =
            Resource { attributes: vec![KeyValue::new("service.name", "checkout")], ..Resource::default() };
        let layer = LayerConfig::new(resource).location(false).target(false).build()?;
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer.clone()));
        Ok(Self { layer, dispatch })
    }

    fn request(&self) -> Vec<u8> {
        dispatcher::with_default(&self.dispatch, traced);
        self.layer.take_request(Signal::Traces).map_or_else(Vec::new, |request| request.body.into())
    }
}

struct Theirs {
    finished: Finished,
    dispatch: Dispatch,
    resource: ResourceAttributesWithSchema,
    /// Ends the spans of `dispatch` when it goes.
    _provider: SdkTracerProvider,
}

impl Theirs {
    fn new() -> Self {
        let resource = opentelemetry_sdk::Resource::builder_empty().with_service_name("checkout").build();
        let finished = Finished::default();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(finished.clone())
            .with_resource(resource.clone())
            .build();
        // As little as ours does: no place in the source, no thread, no busy and idle times.
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("tracing"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false);
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
        Self { finished, dispatch, resource: (&resource).into(), _provider: provider }
    }

    fn request(&self) -> Vec<u8> {
        dispatcher::with_default(&self.dispatch, traced);
        let spans = std::mem::take(&mut *self.finished.0.lock().unwrap_or_else(PoisonError::into_inner));
        let resource_spans = group_spans_by_resource_and_scope(spans, &self.resource);
        ExportTraceServiceRequest { resource_spans }.encode_to_vec()
    }
}

/// Keeps finished spans, as the SDK's batch processor does, on this thread.
#[derive(Debug, Clone, Default)]
struct Finished(Arc<Mutex<Vec<SpanData>>>);

impl SpanProcessor for Finished {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Names, kinds, attributes and events of both sides are the same, whatever their times and identifiers.
fn check(ours: &[u8], theirs: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
    let (ours, theirs) = (told(ours)?, told(theirs)?);
    match ours.iter().zip(&theirs).find(|(ours, theirs)| ours != theirs) {
        Some((ours, theirs)) => Err(format!("tracing: ours tells {ours}, theirs {theirs}").into()),
        None if ours.len() == theirs.len() => Ok(()),
        None => Err(format!("tracing: ours tells {} spans, theirs {}", ours.len(), theirs.len()).into()),
    }
}

fn told(body: &[u8]) -> Result<Vec<String>, otlp_core::DecodeError> {
    let groups = TracesView::parse(body, &LIMITS)?.to_record()?.resources;
    let spans = groups.into_iter().flat_map(|group| group.scopes).flat_map(|scope| scope.spans);
    let told = spans.map(|mut span| {
        let events: Vec<_> = span
            .events
            .into_iter()
            .map(|mut event| {
                // The one writes the target of events whatever it is told.
                event.attributes.retain(|each| each.key != "target");
                (event.name, event.attributes)
            })
            .collect();
        span.attributes.sort_by(|a, b| a.key.cmp(&b.key));
        format!("{} {:?} {:?} {:?} {events:?}", span.name, span.kind, span.status, span.attributes)
    });
    Ok(told.collect())
}
