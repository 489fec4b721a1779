//! What encoding from the SDK's types, and tracing through the layer, take from the heap.

mod measure;

use std::sync::Arc;

use opentelemetry::logs::{LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::{InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{LogBatch, SdkLogRecord, SdkLoggerProvider};
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{ManualReader, SdkMeterProvider};
use otlp_core::interop::sdk::{LogEncoder, MetricEncoder};
use otlp_core::interop::tracing::LayerConfig;
use otlp_core::protocol::Signal;
use otlp_core::record;
use otlp_core::wire::Writer;
use tracing_subscriber::layer::SubscriberExt;

use measure::measured;

fn log(attributes: i64) -> SdkLogRecord {
    let logger = SdkLoggerProvider::builder().build().logger("any");
    let mut record = logger.create_log_record();
    record.set_body("order placed".into());
    record.set_severity_number(Severity::Info);
    record.set_trace_context(TraceId::from(7), SpanId::from(8), Some(TraceFlags::SAMPLED));
    (0..attributes).for_each(|number| record.add_attribute("key", number));
    record
}

fn scope(name: &'static str) -> InstrumentationScope {
    let attributes = [KeyValue::new("a", 1), KeyValue::new("b", "two")];
    InstrumentationScope::builder(name).with_version("1").with_attributes(attributes).build()
}

#[test]
fn logs_of_the_sdk_into_kept_room_allocate_nothing() {
    let resource = Resource::builder_empty().with_service_name("cart").build();
    let (few, many) = (log(32), log(33));
    let scopes = [scope("one"), scope("two"), scope("one")];
    let (mut encoder, mut writer) = (LogEncoder::new(), Writer::new());
    let mut calls = |record: &SdkLogRecord, records: usize| {
        let entries: Vec<_> = (0..records).map(|number| (record, &scopes[number % 3])).collect();
        let batch = LogBatch::new(&entries);
        let mut encode = || {
            writer.clear();
            encoder.encode(&batch, &resource, &mut writer);
        };
        encode();
        measured(encode).2
    };
    assert_eq!(calls(&few, 200), 0);
    // The planted fault: what does not fit the room on the stack takes some from the heap.
    assert_eq!(calls(&many, 200), 200);
}

#[derive(Debug, Clone)]
struct Reader(Arc<ManualReader>);

impl MetricReader for Reader {
    fn register_pipeline(&self, pipeline: std::sync::Weak<opentelemetry_sdk::metrics::Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> opentelemetry_sdk::error::OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> opentelemetry_sdk::error::OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: std::time::Duration) -> opentelemetry_sdk::error::OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(
        &self,
        kind: opentelemetry_sdk::metrics::InstrumentKind,
    ) -> opentelemetry_sdk::metrics::Temporality {
        self.0.temporality(kind)
    }
}

#[test]
fn metrics_of_the_sdk_into_kept_room_allocate_nothing() {
    let reader = Reader(Arc::new(ManualReader::builder().build()));
    let provider = SdkMeterProvider::builder().with_reader(reader.clone()).build();
    let meter = provider.meter_with_scope(scope("meter"));
    let (count, size) = (meter.u64_counter("count").build(), meter.f64_histogram("size").build());
    for number in 0..100 {
        count.add(1, &[KeyValue::new("stream", number)]);
        size.record(2.5, &[KeyValue::new("stream", number)]);
    }
    let mut metrics = ResourceMetrics::default();
    reader.collect(&mut metrics).unwrap();
    let (mut encoder, mut writer) = (MetricEncoder::new(), Writer::new());
    let mut encode = || {
        writer.clear();
        encoder.encode(&metrics, &mut writer);
    };
    encode();
    assert_eq!(measured(encode).2, 0);
    assert!(writer.len() > 100 * 2 * 30);
}

/// As the documentation of the layer says.
#[test]
fn a_traced_span_takes_three_allocations_and_an_event_none() {
    let layer = LayerConfig::new(record::Resource::service("cart")).build().unwrap();
    let subscriber = tracing_subscriber::registry().with(layer.clone());
    let calls = |events: u32| {
        let work = || {
            tracing::info_span!("work", number = 1).in_scope(|| {
                (0..events).for_each(|number| tracing::info!(number, "said"));
            });
        };
        // Rooms of the registry, the scratch and the buffer grow first.
        (0..64).for_each(|_| work());
        drop(layer.take_request(Signal::Traces));
        measured(|| (0..16).for_each(|_| work())).2 / 16
    };
    tracing::subscriber::with_default(subscriber, || {
        assert_eq!(calls(0), 2, "state and attributes");
        assert_eq!(calls(1), 3, "and events");
        // Only the room for events grows, by doubling.
        assert!(calls(64) <= 3 + 7);
    });
}
