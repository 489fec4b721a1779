//! Against exporters that others wrote, over HTTP: npm's in JSON and the Python SDK's in protobuf, plain and gzip, with
//! every field compared.
#![cfg(all(feature = "http", feature = "gzip"))]
#![expect(clippy::indexing_slicing, reason = "a test may fail")]

mod needs;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use otlp_core::protocol::Signal;
use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits};
use prost::Message;

const PATIENCE: Duration = Duration::from_secs(60);

/// Who exports.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Language {
    JavaScript,
    Python,
}

type Bodies = BTreeMap<Signal, Vec<Vec<u8>>>;

fn script(name: &str) -> String {
    format!("{}/tests/http_peers/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A Python that has the packages, or `None` with a printed reason.
fn python() -> Option<Command> {
    let modules = "opentelemetry.exporter.otlp.proto.http, opentelemetry.sdk";
    let found = needs::python(modules, "opentelemetry-sdk opentelemetry-exporter-otlp-proto-http");
    let mut command = Command::new(found?);
    command.arg(script("export.py"));
    Some(command)
}

/// Node with the packages, or `None` with a printed reason.
fn node() -> Option<Command> {
    let modules = std::env::var("OTLP_NODE_MODULES").ok();
    let has_packages = |modules: &String| {
        let require = "require('@opentelemetry/exporter-trace-otlp-http')";
        let node = Command::new("node").args(["-e", require]).env("NODE_PATH", modules).output();
        node.is_ok_and(|output| output.status.success())
    };
    let Some(modules) = modules.filter(has_packages) else {
        needs::missing(
            "node, and OTLP_NODE_MODULES=the node_modules of: npm install @opentelemetry/exporter-trace-otlp-http \
             @opentelemetry/exporter-metrics-otlp-http @opentelemetry/exporter-logs-otlp-http \
             @opentelemetry/sdk-trace-base @opentelemetry/sdk-metrics @opentelemetry/sdk-logs @opentelemetry/resources",
        );
        return None;
    };
    let mut command = Command::new("node");
    command.arg(script("export.cjs")).env("NODE_PATH", modules);
    Some(command)
}

/// What arrives of all three signals; the first request is told to come back.
fn export(mut command: Command, compression: &str) -> Bodies {
    let bodies = Arc::new(Mutex::new(Bodies::new()));
    let inbox = Arc::clone(&bodies);
    let busy = Mutex::new(vec![Answer::busy(Duration::ZERO)]);
    let handler = move |signal: Signal, body: &[u8]| {
        if let Some(busy) = busy.lock().expect("not poisoned").pop() {
            return busy;
        }
        inbox.lock().expect("not poisoned").entry(signal).or_default().push(body.to_vec());
        Answer::accepted(1)
    };
    let receiver = Receiver::start("127.0.0.1:0", ReceiverLimits::default(), handler).expect("a free port");
    let url = format!("http://{}", receiver.local_addr());
    let output = command.args([&url, compression]).output().expect("it runs");
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
    let stats = receiver.shutdown(PATIENCE);
    assert_eq!((stats.requests.rejected, stats.retryable, stats.requests.dropped), (1, 1, 0), "{printed}");
    let bodies = bodies.lock().expect("not poisoned").clone();
    assert!(bodies.len() == 3, "{:?}: {printed}", bodies.keys());
    bodies
}

fn check(language: Language, bodies: &Bodies) {
    check_traces(language, &bodies[&Signal::Traces]);
    check_metrics(language, &bodies[&Signal::Metrics][0]);
    check_logs(language, &bodies[&Signal::Logs][0]);
}

#[test]
fn the_exporters_of_npm_send_json_plain_and_gzip() {
    for compression in ["none", "gzip"] {
        let Some(node) = node() else { return };
        check(Language::JavaScript, &export(node, compression));
    }
}

#[test]
fn the_exporters_of_the_python_sdk_send_protobuf_plain_and_gzip() {
    for compression in ["none", "gzip"] {
        let Some(python) = python() else { return };
        check(Language::Python, &export(python, compression));
    }
}

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(any(value)), ..KeyValue::default() }
}

fn array(values: impl IntoIterator<Item = Value>) -> Value {
    Value::ArrayValue(ArrayValue { values: values.into_iter().map(any).collect() })
}

fn resource(language: Language) -> Option<Resource> {
    let name = if language == Language::Python { "python" } else { "javascript" };
    let attributes = vec![
        pair("service.name", text(name)),
        pair("host.ids", array([text("a"), text("b")])),
        pair("cpu.count", Value::IntValue(8)),
    ];
    Some(Resource { attributes, ..Resource::default() })
}

fn scope(version: &str) -> Option<InstrumentationScope> {
    Some(InstrumentationScope { name: "shop".into(), version: version.into(), ..Default::default() })
}

fn check_traces(language: Language, bodies: &[Vec<u8>]) {
    let mut met = Vec::new();
    for body in bodies {
        let ExportTraceServiceRequest { mut resource_spans } = Message::decode(&**body).expect("traces");
        met.append(&mut resource_spans[0].scope_spans[0].spans);
        let schema_url = "https://example.org/schema".to_owned();
        let scope_spans = vec![ScopeSpans { scope: scope("1.2"), schema_url, ..ScopeSpans::default() }];
        let expected = ResourceSpans { resource: resource(language), scope_spans, ..Default::default() };
        assert_eq!(resource_spans, [expected]);
    }
    assert_eq!(met.len(), 100);
    for (number, span) in met.iter().enumerate() {
        assert!(span.trace_id.len() == 16 && span.span_id.len() == 8, "{span:?}");
        let before = number.checked_sub(1).map(|before| &met[before]);
        assert!(
            before.is_none_or(|before| before.trace_id != span.trace_id && before.span_id != span.span_id)
        );
        assert_eq!(*span, expected_span(language, number as u64, span, before));
    }
}

/// The span of that number; its identifiers are those of `met`.
fn expected_span(language: Language, number: u64, met: &Span, before: Option<&Span>) -> Span {
    // JavaScript counts from second 1, has one type of number, and tells that a span is sampled.
    let (base, flags) = if language == Language::Python { (0, 0x100) } else { (1_000_000_000, 0x101) };
    let share = match (language, number % 8) {
        (Language::JavaScript, 0) => Value::IntValue((number / 8).cast_signed()),
        _ => Value::DoubleValue(number as f64 / 8.0),
    };
    let event = Event {
        time_unix_nano: base + 1500 + number,
        name: "paid".into(),
        attributes: vec![pair("amount", Value::DoubleValue(12.5))],
        ..Event::default()
    };
    let link = |before: &Span| Link {
        trace_id: before.trace_id.clone(),
        span_id: before.span_id.clone(),
        attributes: vec![pair("why", text("before"))],
        flags,
        ..Link::default()
    };
    let status = match number % 4 {
        0 => Status { code: 2, message: "refused".into() },
        _ => Status { code: 1, message: String::new() },
    };
    Span {
        trace_id: met.trace_id.clone(),
        span_id: met.span_id.clone(),
        flags,
        name: format!("span {number}"),
        kind: 2,
        start_time_unix_nano: base + 1000 + number,
        end_time_unix_nano: base + 2000 + number,
        attributes: vec![
            pair("number", Value::IntValue(number.cast_signed())),
            pair("even", Value::BoolValue(number.is_multiple_of(2))),
            pair("share", share),
            pair("tags", array([text("x"), text("日本")])),
        ],
        events: vec![event],
        links: before.map(link).into_iter().collect(),
        status: Some(status),
        ..Span::default()
    }
}

/// Puts 1 and 2 in place of start and end of a point, which have to be in order.
fn set_times(start: &mut u64, time: &mut u64) {
    assert!(0 < *start && *start <= *time, "{start} {time}");
    (*start, *time) = (1, 2);
}

fn without_times(mut metric: Metric) -> Metric {
    match metric.data.as_mut().expect("data") {
        Data::Sum(Sum { data_points, .. }) | Data::Gauge(Gauge { data_points }) => {
            data_points
                .iter_mut()
                .for_each(|p| set_times(&mut p.start_time_unix_nano, &mut p.time_unix_nano));
        }
        Data::Histogram(Histogram { data_points, .. }) => {
            data_points
                .iter_mut()
                .for_each(|p| set_times(&mut p.start_time_unix_nano, &mut p.time_unix_nano));
        }
        Data::ExponentialHistogram(ExponentialHistogram { data_points, .. }) => {
            data_points
                .iter_mut()
                .for_each(|p| set_times(&mut p.start_time_unix_nano, &mut p.time_unix_nano));
        }
        Data::Summary(_) => unreachable!("nobody makes summaries"),
    }
    metric
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric { name: name.into(), unit: unit.into(), data: Some(data), ..Metric::default() }
}

fn number_point(value: Number, attributes: Vec<KeyValue>) -> Vec<NumberDataPoint> {
    vec![NumberDataPoint {
        attributes,
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        value: Some(value),
        ..NumberDataPoint::default()
    }]
}

fn expected_metrics(language: Language) -> Vec<Metric> {
    let number = |value: i32| match language {
        Language::Python => Number::AsInt(value.into()),
        Language::JavaScript => Number::AsDouble(value.into()),
    };
    let sum = |value, is_monotonic, attributes| {
        let data_points = number_point(number(value), attributes);
        Data::Sum(Sum { data_points, aggregation_temporality: 2, is_monotonic })
    };
    let orders = metric("orders", "{order}", sum(7, true, vec![pair("kind", text("paid"))]));
    let latency = HistogramDataPoint {
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        count: 1,
        sum: Some(30.5),
        bucket_counts: [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].into(),
        explicit_bounds: [0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000]
            .map(f64::from)
            .into(),
        min: Some(30.5),
        max: Some(30.5),
        ..HistogramDataPoint::default()
    };
    let latency = Histogram { data_points: vec![latency], aggregation_temporality: 2 };
    let mut metrics = vec![
        Metric { description: "Orders taken".into(), ..orders },
        metric("latency", "ms", Data::Histogram(latency)),
        metric("stock", "", sum(-3, false, Vec::new())),
    ];
    if language == Language::JavaScript {
        let wait = ExponentialHistogramDataPoint {
            start_time_unix_nano: 1,
            time_unix_nano: 2,
            count: 1,
            sum: Some(8.0),
            scale: 20,
            // The bucket that ends at 8: 3 * 2^20 - 1.
            positive: Some(Buckets { offset: (3 << 20) - 1, bucket_counts: vec![1] }),
            negative: Some(Buckets::default()),
            min: Some(8.0),
            max: Some(8.0),
            ..ExponentialHistogramDataPoint::default()
        };
        let wait = ExponentialHistogram { data_points: vec![wait], aggregation_temporality: 2 };
        metrics.push(metric("wait", "", Data::ExponentialHistogram(wait)));
        let data_points = number_point(Number::AsDouble(0.5), vec![pair("queue", text("größe"))]);
        metrics.push(metric("length", "", Data::Gauge(Gauge { data_points })));
    }
    metrics.sort_by(|left, right| left.name.cmp(&right.name));
    metrics
}

fn check_metrics(language: Language, body: &[u8]) {
    let ExportMetricsServiceRequest { mut resource_metrics } = Message::decode(body).expect("metrics");
    let met = std::mem::take(&mut resource_metrics[0].scope_metrics[0].metrics);
    let mut met: Vec<Metric> = met.into_iter().map(without_times).collect();
    met.sort_by(|left, right| left.name.cmp(&right.name));
    assert_eq!(met, expected_metrics(language));
    let scope_metrics = vec![ScopeMetrics { scope: scope("1.2"), ..ScopeMetrics::default() }];
    let expected = ResourceMetrics { resource: resource(language), scope_metrics, ..Default::default() };
    assert_eq!(resource_metrics, [expected]);
}

fn check_logs(language: Language, body: &[u8]) {
    let ExportLogsServiceRequest { mut resource_logs } = Message::decode(body).expect("logs");
    let record = &mut resource_logs[0].scope_logs[0].log_records[0];
    assert!(record.observed_time_unix_nano > 0 && record.time_unix_nano > 0, "{record:?}");
    record.observed_time_unix_nano = 2;
    if language == Language::Python {
        record.time_unix_nano = 1_000_000_007;
        // Where in the script it was written.
        let place: Vec<_> = record.attributes.drain(1..).map(|pair| pair.key).collect();
        assert_eq!(place, ["code.file.path", "code.function.name", "code.line.number"]);
    }
    let (version, event_name, body) = match language {
        Language::Python => ("", "", text("out of stock")),
        Language::JavaScript => ("1.2", "stock.out", structured_body()),
    };
    let expected = LogRecord {
        time_unix_nano: 1_000_000_007,
        observed_time_unix_nano: 2,
        severity_number: 17,
        severity_text: "ERROR".into(),
        body: Some(any(body)),
        attributes: vec![pair("item", Value::IntValue(7))],
        event_name: event_name.into(),
        ..LogRecord::default()
    };
    let scope_logs =
        vec![ScopeLogs { scope: scope(version), log_records: vec![expected], ..ScopeLogs::default() }];
    let expected = ResourceLogs { resource: resource(language), scope_logs, ..Default::default() };
    assert_eq!(resource_logs, [expected]);
}

fn structured_body() -> Value {
    let list = |values| Value::KvlistValue(KeyValueList { values });
    let three = list(vec![pair("three", Value::DoubleValue(3.5))]);
    list(vec![
        pair("text", text("out of stock")),
        pair("number", Value::IntValue(7)),
        pair("parts", array([Value::IntValue(1), text("two"), three])),
        pair("raw", Value::BytesValue(vec![0, 255])),
    ])
}
