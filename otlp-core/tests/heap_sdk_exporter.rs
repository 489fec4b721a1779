//! What an export takes from the heap in the thread that exports.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod measure;

use std::time::SystemTime;

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use otlp_core::interop::sdk::SpanExporter;
use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits};

use measure::measured;

fn span(number: u64) -> SpanData {
    let (trace, id) = (TraceId::from(7), SpanId::from(number));
    SpanData {
        span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::default()),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Server,
        name: "GET /cart".into(),
        start_time: SystemTime::UNIX_EPOCH,
        end_time: SystemTime::UNIX_EPOCH,
        attributes: vec![KeyValue::new("url.path", "/cart")],
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::default(),
    }
}

#[test]
fn an_export_takes_as_little_for_many_spans_as_for_few() {
    let limits = ReceiverLimits::default();
    let receiver = Receiver::start("127.0.0.1:0", limits, |_, _: &[u8]| Answer::accepted(1)).unwrap();
    let endpoint = format!("http://{}", receiver.local_addr());
    let mut exporter = SpanExporter::builder().with_endpoint(endpoint).build().unwrap();
    let attributes = (0..50).map(|number| KeyValue::new(format!("key-{number}"), number));
    exporter.set_resource(&Resource::builder_empty().with_attributes(attributes).build());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let export = |count: u64| {
        let batch: Vec<_> = (0..count).map(span).collect();
        measured(|| runtime.block_on(exporter.export(batch)).unwrap())
    };
    export(2_000);
    let (_, _, few) = export(10);
    let (_, bytes, many) = export(2_000);
    // The channel and the shared handles of one request; one of its buffers where the driver still had it.
    assert!(few <= 12 && many <= 12, "{few} and {many} allocations");
    // The planted fault: what has to be allocated is seen, a body here.
    let (_, fresh, _) = measured(|| vec![0_u8; 2_000 * 60]);
    assert!(bytes < fresh, "{bytes} bytes");
    receiver.shutdown(std::time::Duration::ZERO);
}
