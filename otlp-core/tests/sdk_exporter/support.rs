//! Spans to send, and what arrived of them.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use otlp_core::protocol::Signal;
use otlp_core::transport::receiver::{Handler, Receiver, ReceiverLimits};
use prost::Message;

use crate::peer::inbox::Inbox;

/// Waits as the SDK's threads do: with neither I/O nor time to be had.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

pub(crate) fn resource() -> Resource {
    let attributes = [KeyValue::new("service.name", "cart")];
    Resource::builder_empty().with_schema_url(attributes, "https://example.com/2").build()
}

pub(crate) fn spans(first: u64, count: u64) -> Vec<SpanData> {
    (first..first + count).map(span).collect()
}

pub(crate) fn span(number: u64) -> SpanData {
    let (trace, id) = (TraceId::from(7), SpanId::from(number));
    let start = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    SpanData {
        span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::default()),
        parent_span_id: SpanId::from(number / 2),
        parent_span_is_remote: false,
        span_kind: SpanKind::Server,
        name: format!("GET /{number}").into(),
        start_time: start,
        end_time: start + Duration::from_micros(number),
        attributes: vec![KeyValue::new("http.response.status_code", 200), KeyValue::new("url.path", "/cart")],
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Ok,
        instrumentation_scope: InstrumentationScope::builder("shop").build(),
    }
}

/// What `opentelemetry-otlp` sends for them.
pub(crate) fn expected(spans: Vec<SpanData>) -> Vec<u8> {
    let resource = ResourceAttributesWithSchema::from(&resource());
    let resource_spans = group_spans_by_resource_and_scope(spans, &resource);
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// How often each span arrived.
pub(crate) fn arrived(inbox: &Inbox) -> BTreeMap<u64, usize> {
    let mut seen = BTreeMap::new();
    for body in inbox.bodies(Signal::Traces) {
        let request = ExportTraceServiceRequest::decode(&*body).unwrap();
        let scopes = request.resource_spans.into_iter().flat_map(|group| group.scope_spans);
        for span in scopes.flat_map(|scope| scope.spans) {
            *seen.entry(u64::from_be_bytes(span.span_id.try_into().unwrap())).or_default() += 1;
        }
    }
    seen
}

pub(crate) fn receiver(handler: impl Handler + 'static) -> Receiver {
    Receiver::start("127.0.0.1:0", ReceiverLimits::default(), handler).expect("a free port")
}
