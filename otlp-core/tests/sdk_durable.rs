//! The SDK's exporters on a durable client: what was exported survives the program.
#![allow(clippy::unwrap_used, reason = "a test that is wrong should stop")]

mod store_disk;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use opentelemetry::logs::{LogRecord as _, Logger as _, LoggerProvider as _};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::{Tracer as _, TracerProvider as _};
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;
use otlp_core::interop::sdk::{LogExporter, MetricExporter, SpanExporter};
use otlp_core::protocol::Signal;
use otlp_core::store::StoreConfig;
use otlp_core::transport::client::ClientConfig;
use otlp_core::transport::durable::Client;
use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits};

use store_disk::SimDisk;

const PATIENCE: Duration = Duration::from_secs(20);

fn start(endpoint: &str, disk: &SimDisk) -> Arc<Client> {
    let (queue, _) = StoreConfig::default().open_on(disk.clone(), SystemTime::now().into()).unwrap();
    Arc::new(Client::start(ClientConfig::new(endpoint), queue).unwrap())
}

/// One span, one log record and one point, by the SDK's own threads.
fn record(client: &Arc<Client>) {
    let exporter = SpanExporter::durable(Arc::clone(client));
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
    provider.tracer("t").in_span("one", |_| ());
    provider.force_flush().unwrap();
    provider.shutdown().unwrap();

    let exporter = LogExporter::durable(Arc::clone(client));
    let provider = SdkLoggerProvider::builder().with_batch_exporter(exporter).build();
    let logger = provider.logger("l");
    let mut record = logger.create_log_record();
    record.set_body("order placed".into());
    logger.emit(record);
    provider.shutdown().unwrap();

    let reader = PeriodicReader::builder(MetricExporter::durable(Arc::clone(client))).build();
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    provider.meter("m").u64_counter("orders").build().add(2, &[]);
    provider.shutdown().unwrap();
}

#[test]
fn what_was_exported_while_nobody_listened_arrives_after_a_restart() {
    let disk = SimDisk::new(1);
    let client = start("http://127.0.0.1:9", &disk);
    record(&client);
    assert_eq!(
        (client.stats().accepted, client.stats().queued),
        (3, 3),
        "every export is an Ok once it is kept"
    );
    // The program is killed: nobody shuts anything down.
    let left = disk.copy(2);
    left.fail_power();
    drop(client);

    let arrived: Arc<Mutex<Vec<Signal>>> = Arc::default();
    let inbox = Arc::clone(&arrived);
    let handler = move |signal: Signal, _: &[u8]| {
        inbox.lock().unwrap().push(signal);
        Answer::accepted(1)
    };
    let receiver = Receiver::start("127.0.0.1:0", ReceiverLimits::default(), handler).unwrap();
    let client = start(&format!("http://{}", receiver.local_addr()), &left);
    client.flush(PATIENCE).unwrap();
    assert_eq!(client.shutdown(PATIENCE).exported, 3);
    let mut arrived = arrived.lock().unwrap().clone();
    arrived.sort();
    assert_eq!(arrived, [Signal::Traces, Signal::Metrics, Signal::Logs]);
}

#[test]
fn an_exporter_that_was_shut_down_takes_nothing_and_leaves_its_client_alone() {
    use opentelemetry_sdk::trace::SpanExporter as _;

    let client = start("http://127.0.0.1:9", &SimDisk::new(3));
    let first = SpanExporter::durable(Arc::clone(&client));
    first.shutdown_with_timeout(PATIENCE).unwrap();
    first.shutdown_with_timeout(PATIENCE).unwrap_err();
    record(&client);
    assert_eq!(client.shutdown(Duration::ZERO).accepted, 3);
}
