//! The `tracing` layer, through a real subscriber, down to the bytes it hands on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod bound;
mod content;
mod context;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use otlp_core::interop::tracing::{LayerConfig, OtlpLayer};
use otlp_core::protocol::Signal;
use otlp_core::record::{AnyValue, KeyValue, LogRecord, Resource, Span};
use otlp_core::view::{LogsView, TracesView};
use otlp_core::{Limits, UnixNanos};
use prost::Message;
use tracing_subscriber::layer::SubscriberExt;

/// A clock that moves by a microsecond whenever it is read, and identifiers that count up.
pub(crate) fn config() -> LayerConfig {
    let (time, number) = (Arc::new(AtomicU64::new(1_000_000)), AtomicU64::new(0x1000));
    LayerConfig::new(Resource::service("cart"))
        .clock(move || UnixNanos(time.fetch_add(1000, Relaxed)))
        .random(move || number.fetch_add(1, Relaxed))
        .location(false)
        .target(false)
}

/// Runs `work` under the layer.
pub(crate) fn under(config: LayerConfig, work: impl FnOnce(&OtlpLayer)) -> OtlpLayer {
    let layer = config.build().unwrap();
    let subscriber = tracing_subscriber::registry().with(layer.clone());
    tracing::subscriber::with_default(subscriber, || work(&layer));
    layer
}

/// Takes the finished spans out, in the order in which they closed; checks that prost reads the same bytes
/// and that lengths are exact.
pub(crate) fn spans(layer: &OtlpLayer) -> Vec<Span> {
    let Some(request) = layer.take_request(Signal::Traces) else { return Vec::new() };
    let theirs = ExportTraceServiceRequest::decode(request.body.as_ref()).unwrap();
    assert_eq!(theirs.encoded_len(), request.body.len());
    let limits = Limits::default();
    let record = TracesView::parse(&request.body, &limits).unwrap().to_record().unwrap();
    assert_eq!(record.record_count(), usize::try_from(request.records).unwrap());
    let group = record.resources.into_iter().next().unwrap();
    assert_eq!(group.resource.service_name(), Some("cart"));
    let scope = group.scopes.into_iter().next().unwrap();
    assert_eq!(scope.scope.name, "tracing");
    scope.spans
}

/// As [`spans`], for log records.
pub(crate) fn logs(layer: &OtlpLayer) -> Vec<LogRecord> {
    let Some(request) = layer.take_request(Signal::Logs) else { return Vec::new() };
    let theirs = ExportLogsServiceRequest::decode(request.body.as_ref()).unwrap();
    assert_eq!(theirs.encoded_len(), request.body.len());
    let limits = Limits::default();
    let record = LogsView::parse(&request.body, &limits).unwrap().to_record().unwrap();
    assert_eq!(record.record_count(), usize::try_from(request.records).unwrap());
    record.resources.into_iter().flat_map(|group| group.scopes).flat_map(|scope| scope.records).collect()
}

pub(crate) fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a AnyValue> {
    KeyValue::find(attributes, key)
}
