//! The exporters for the SDK, through the SDK's own processors and readers, over loopback.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

#[path = "sdk_exporter/fault.rs"]
mod fault;
mod peer;
#[path = "sdk_exporter/support.rs"]
mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::{Tracer as _, TracerProvider as _};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter as _;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanExporter as _};
use otlp_core::ErrorKind;
use otlp_core::interop::sdk::exporter::ExporterBuilder;
use otlp_core::interop::sdk::{LogExporter, MetricExporter, SpanExporter};
use otlp_core::protocol::Signal;
use otlp_core::protocol::export::{DropReason, RequestId, Verdict};
use otlp_core::record::ExportResponse;
use otlp_core::transport::client::{ClientConfig, Compression, Protocol};
use otlp_core::transport::receiver::{Answer, ReceiverLimits, Server};
use prost::Message;

use peer::PATIENCE;
use peer::inbox::Inbox;
use support::{arrived, block_on, expected, receiver, resource, spans};

const TRANSPORTS: [(Protocol, Compression); 4] = [
    (Protocol::HttpProtobuf, Compression::None),
    (Protocol::HttpProtobuf, Compression::Gzip),
    (Protocol::Grpc, Compression::None),
    (Protocol::Grpc, Compression::Gzip),
];

fn spans_to(endpoint: impl Into<String>) -> ExporterBuilder<SpanExporter> {
    SpanExporter::builder().with_endpoint(endpoint)
}

#[test]
fn spans_arrive_as_the_official_exporter_sends_them_over_every_transport() {
    for (protocol, compression) in TRANSPORTS {
        let inbox = Inbox::default();
        let receiver = receiver(inbox.clone());
        let builder = spans_to(format!("http://{}", receiver.local_addr()));
        let mut exporter = builder.with_protocol(protocol).with_compression(compression).build().unwrap();
        exporter.set_resource(&resource());
        for first in [1, 100] {
            block_on(exporter.export(spans(first, 5))).unwrap();
        }
        assert_eq!(inbox.bodies(Signal::Traces), [expected(spans(1, 5)), expected(spans(100, 5))]);
        let stats = exporter.client().stats();
        assert_eq!((stats.accepted, stats.exported), (10, 10), "{protocol:?} {compression:?}");
        // The planted fault: one other span is seen.
        assert_ne!(inbox.bodies(Signal::Traces)[0], expected(spans(2, 5)));
    }
}

#[test]
fn a_level_is_handed_to_the_compression_which_refuses_what_it_does_not_have() {
    let at = |level| {
        spans_to("http://127.0.0.1:4318")
            .with_compression(Compression::Gzip)
            .with_compression_level(level)
            .build()
    };
    assert!(at(1).is_ok());
    let refused = at(10).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config);
    assert!(refused.to_string().contains("met 10"), "{refused}");
}

#[test]
fn every_signal_goes_through_the_sdks_threads_without_a_runtime() {
    let inbox = Inbox::default();
    let receiver = receiver(inbox.clone());
    let root = format!("http://{}", receiver.local_addr());

    let exporter = spans_to(format!("{root}/v1/traces")).with_http().build().unwrap();
    let traces = exporter.client();
    let provider =
        SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource()).build();
    provider.tracer("t").in_span("one", |_| ());
    provider.force_flush().unwrap();
    assert_eq!(traces.stats().exported, 1, "a flush ends when the receiver has it");
    provider.tracer("t").in_span("two", |_| ());
    provider.shutdown().unwrap();
    assert_eq!(traces.stats().exported, 2);

    let exporter = LogExporter::builder().with_tonic().with_endpoint(&root).build().unwrap();
    let logs = exporter.client();
    let provider =
        SdkLoggerProvider::builder().with_batch_exporter(exporter).with_resource(resource()).build();
    let logger = provider.logger("l");
    let mut record = logger.create_log_record();
    record.set_body(AnyValue::from("order placed"));
    record.set_severity_number(Severity::Warn);
    logger.emit(record);
    provider.shutdown().unwrap();
    assert_eq!(logs.stats().exported, 1);
    let request = ExportLogsServiceRequest::decode(&*inbox.bodies(Signal::Logs)[0]).unwrap();
    let group = &request.resource_logs[0];
    assert_eq!(group.resource.as_ref().unwrap().attributes[0].key, "service.name");
    assert_eq!(group.scope_logs[0].log_records[0].severity_number, 13);

    let exporter = MetricExporter::builder().with_http().with_endpoint(&root);
    let exporter = exporter.with_temporality(Temporality::Delta).build().unwrap();
    let metrics = exporter.client();
    let reader = PeriodicReader::builder(exporter).build();
    let provider = SdkMeterProvider::builder().with_reader(reader).with_resource(resource()).build();
    let counter = provider.meter("m").u64_counter("orders").build();
    for number in 0..3 {
        counter.add(2, &[KeyValue::new("stream", number)]);
    }
    provider.force_flush().unwrap();
    provider.shutdown().unwrap();
    assert_eq!(metrics.stats().exported, 3, "points are what is counted");
    let request = ExportMetricsServiceRequest::decode(&*inbox.bodies(Signal::Metrics)[0]).unwrap();
    let Some(Data::Sum(sum)) = &request.resource_metrics[0].scope_metrics[0].metrics[0].data else {
        panic!("no sum")
    };
    assert_eq!((sum.aggregation_temporality, sum.data_points.len()), (1, 3), "delta, as was asked for");
}

#[test]
fn one_thread_can_be_runtime_receiver_and_exporter_and_nothing_locks_up() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let inbox = Inbox::default();
        let server = Server::bind("127.0.0.1:0", ReceiverLimits::default(), inbox.clone()).unwrap();
        let exporter = spans_to(format!("http://{}", server.local_addr())).build().unwrap();
        let control = server.control();
        let serving = tokio::spawn(server.run());
        // The receiver runs only while this waits, so an export that blocks the thread would never end.
        tokio::time::timeout(PATIENCE, exporter.export(spans(1, 3))).await.unwrap().unwrap();
        assert_eq!(inbox.bodies(Signal::Traces).len(), 1);
        control.shutdown(Duration::ZERO);
        serving.await.unwrap();
    });
}

#[test]
fn a_provider_is_flushed_and_shut_down_within_a_runtime_of_one_thread() {
    let receiver = receiver(Inbox::default());
    let root = format!("http://{}", receiver.local_addr());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for build in [ExporterBuilder::with_http, ExporterBuilder::with_grpc] {
        runtime.block_on(async {
            let exporter = build(spans_to(&root)).build().unwrap();
            let account = exporter.client();
            let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
            provider.tracer("t").in_span("one", |_| ());
            provider.force_flush().unwrap();
            provider.tracer("t").in_span("two", |_| ());
            provider.shutdown().unwrap();
            assert_eq!(account.stats().exported, 2);
        });
    }
}

#[test]
fn a_partial_success_is_told_to_the_sdk_and_the_observer_and_counted() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let observed = Arc::clone(&told);
    let observer =
        Arc::new(move |_: RequestId, verdict: &Verdict| observed.lock().unwrap().push(verdict.clone()));
    let answers = [Answer::partial(3, 2, "too old"), Answer::partial(5, 0, "slow down")];
    let receiver = receiver(Inbox::answering(answers));
    let builder = spans_to(format!("http://{}", receiver.local_addr()));
    let exporter = builder.with_observer(observer).build().unwrap();
    let error = block_on(exporter.export(spans(1, 5))).unwrap_err().to_string();
    assert_eq!(error, "Operation failed: partial success: 2 of 5 records (traces) rejected: too old");
    block_on(exporter.export(spans(1, 5))).unwrap();
    let response = ExportResponse { rejected: 2, message: "too old".into() };
    assert_eq!(told.lock().unwrap()[0], Verdict::Partial { exported: 3, response });
    let stats = exporter.client().stats();
    assert_eq!((stats.accepted, stats.exported, stats.rejected), (10, 8, 2));
}

#[test]
fn a_rejection_names_the_status_and_the_receivers_words() {
    let answer = Answer::Refuse { status: 400, retry_after: None, message: "no such tenant".into() };
    let receiver = receiver(Inbox::answering([answer.clone(), answer]));
    let root = format!("http://{}", receiver.local_addr());
    for (build, status) in [
        (ExporterBuilder::with_http as fn(_) -> _, "HTTP status 400"),
        (ExporterBuilder::with_grpc, "gRPC status 3"),
    ] {
        let exporter = build(spans_to(&root)).build().unwrap();
        let error = block_on(exporter.export(spans(1, 5))).unwrap_err().to_string();
        assert_eq!(error, format!("Operation failed: 5 records rejected with {status}: no such tenant"));
        assert_eq!(exporter.client().stats().rejected, 5);
    }
}

#[test]
fn what_cannot_be_delivered_in_time_is_dropped_counted_and_told_as_a_timeout() {
    let timeout = Duration::from_millis(60);
    // Nobody listens there: the port was free a moment ago, and its owner is gone.
    let gone = receiver(Inbox::default());
    let nobody = format!("http://{}", gone.local_addr());
    gone.shutdown(Duration::ZERO);
    let silent = peer::Server::start(|_, wire| drop((wire.read(), wire.is_closed_without_a_word())));
    for endpoint in [nobody, silent.endpoint()] {
        let exporter = spans_to(endpoint).with_timeout(timeout).build().unwrap();
        let result = block_on(exporter.export(spans(1, 4)));
        assert!(matches!(result, Err(OTelSdkError::Timeout(told)) if told == timeout), "{result:?}");
        let account = exporter.client();
        assert_eq!((account.stats().dropped, account.stats().queued), (4, 0));
        assert_eq!(account.counters().dropped(DropReason::Expired), 4);
    }
}

#[test]
fn a_shutdown_ends_an_export_that_nobody_answers_and_what_comes_after_is_counted() {
    let silent = peer::Server::start(|_, wire| drop((wire.read(), wire.is_closed_without_a_word())));
    let exporter = Arc::new(spans_to(silent.endpoint()).build().unwrap());
    let account = exporter.client();
    let exporting = {
        let exporter = Arc::clone(&exporter);
        std::thread::spawn(move || block_on(exporter.export(spans(1, 4))))
    };
    peer::wait_until("it is sent", || account.counters().attempts == 1);
    let grace = Duration::from_millis(1);
    assert!(
        matches!(exporter.shutdown_with_timeout(grace), Err(OTelSdkError::Timeout(told)) if told == grace)
    );
    assert!(matches!(exporting.join().unwrap(), Err(OTelSdkError::AlreadyShutdown)));
    assert!(matches!(exporter.shutdown(), Err(OTelSdkError::AlreadyShutdown)));
    assert!(matches!(block_on(exporter.export(spans(9, 3))), Err(OTelSdkError::AlreadyShutdown)));
    let counters = account.counters();
    assert_eq!((counters.dropped(DropReason::Shutdown), counters.dropped(DropReason::Closed)), (4, 3));
    assert!(account.stats().is_balanced() && account.stats().accepted == 7);
}

#[test]
fn an_exporter_that_is_dropped_leaves_nobody_waiting() {
    let silent = peer::Server::start(|_, wire| drop((wire.read(), wire.is_closed_without_a_word())));
    let (client, driver) = ClientConfig::new(silent.endpoint()).build().unwrap();
    drop(driver);
    let request = otlp_core::protocol::export::Request::new(Signal::Traces, b"x".as_slice().into(), 1);
    let error = block_on(client.deliver(request)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(client.stats().queued, 1, "nobody has decided about it");
}

#[test]
fn the_environment_decides_where_to_how_and_which_temporality() {
    let inbox = Inbox::default();
    let receiver = receiver(inbox.clone());
    let root = format!("http://{}", receiver.local_addr());
    let variables = |name: &str| match name {
        "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(root.clone()),
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL" => Some("grpc".into()),
        "OTEL_EXPORTER_OTLP_COMPRESSION" => Some("gzip".into()),
        "OTEL_EXPORTER_OTLP_TIMEOUT" => Some("4000".into()),
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE" => Some("lowmemory".into()),
        _ => None,
    };
    let exporter = SpanExporter::from_env(variables).unwrap();
    block_on(exporter.export(spans(1, 3))).unwrap();
    assert_eq!((arrived(&inbox).len(), exporter.client().stats().exported), (3, 3));
    assert_eq!(MetricExporter::from_env(variables).unwrap().temporality(), Temporality::LowMemory);
    assert!(LogExporter::from_env(|_| None).is_ok());

    let wrong = |name: &str| name.ends_with("LP_COMPRESSION").then(|| "brotli".to_owned());
    let error = SpanExporter::from_env(wrong).unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("COMPRESSION"), "{error}");
}

#[test]
fn a_url_with_a_path_is_used_as_it_is_and_one_without_gets_the_signals() {
    let paths = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&paths);
    let server = peer::Server::start(move |_, wire| {
        while let Some(message) = wire.read() {
            seen.lock().unwrap().push(message.lines[0].split(' ').nth(1).unwrap().to_owned());
            wire.write(peer::OK);
        }
    });
    let own = "/v1/traces";
    for (given, used) in [("", own), ("/", own), (own, own), ("/in/7", "/in/7")] {
        let exporter = spans_to(format!("{}{given}", server.endpoint())).build().unwrap();
        block_on(exporter.export(spans(1, 1))).unwrap();
        exporter.shutdown().unwrap();
        assert_eq!(paths.lock().unwrap().pop().as_deref(), Some(used), "{given}");
    }
}

#[test]
fn nothing_is_sent_for_an_empty_batch() {
    let inbox = Inbox::default();
    let receiver = receiver(inbox.clone());
    let exporter = spans_to(format!("http://{}", receiver.local_addr())).build().unwrap();
    block_on(exporter.export(Vec::new())).unwrap();
    exporter.force_flush().unwrap();
    assert_eq!((exporter.client().counters().attempts, inbox.bodies(Signal::Traces).len()), (0, 0));
}

#[test]
fn what_cannot_work_is_refused_when_it_is_built_and_no_header_is_printed() {
    let builder = || SpanExporter::builder().with_headers([("authorization", "Bearer secret")]);
    let mixed = builder().with_http().with_protocol(Protocol::Grpc);
    assert!(!format!("{mixed:?}").contains("secret"));
    let wrong = [mixed, builder().with_endpoint("ftp://host"), builder().with_timeout(Duration::ZERO)];
    for builder in wrong {
        assert_eq!(builder.build().unwrap_err().kind(), ErrorKind::Config);
    }
    assert!(builder().with_endpoint("").build().is_ok(), "an empty endpoint is the default one");
}
