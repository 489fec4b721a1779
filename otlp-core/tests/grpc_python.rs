//! Against gRPC as Google wrote it: the Python SDK's exporters into our receiver, our client into a Python server.
#![cfg(all(feature = "grpc", feature = "gzip"))]
#![allow(clippy::indexing_slicing, reason = "a test that is wrong should stop")]

mod needs;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::profiles::v1development::ExportProfilesServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::profiles::v1development::{Profile, ResourceProfiles, ScopeProfiles};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use otlp_core::protocol::Signal;
use otlp_core::protocol::export::ExporterConfig;
use otlp_core::protocol::retry::Backoff;
use otlp_core::transport::blocking::Client;
use otlp_core::transport::client::{ClientConfig, Compression, Protocol};
use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits};
use prost::Message;

const PATIENCE: Duration = Duration::from_secs(60);
const MODULES: &str = "opentelemetry.exporter.otlp.proto.grpc, opentelemetry.sdk, grpc_health.v1";
const PACKAGES: &str = "opentelemetry-exporter-otlp-proto-grpc opentelemetry-sdk grpcio-health-checking";

fn script(name: &str) -> String {
    format!("{}/tests/grpc_python/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn run(python: &str, name: &str, arguments: &[&str]) -> String {
    let output = Command::new(python).arg(script(name)).args(arguments).output().expect("python runs");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_exporters_of_the_python_sdk_are_served_plain_and_gzip() {
    let Some(python) = needs::python(MODULES, PACKAGES) else { return };
    for compression in ["none", "gzip"] {
        let bodies = Arc::new(Mutex::new(BTreeMap::<Signal, Vec<Vec<u8>>>::new()));
        let inbox = Arc::clone(&bodies);
        let busy = Mutex::new(vec![Answer::busy(Duration::from_millis(10))]);
        let handler = move |signal: Signal, body: &[u8]| {
            if let Some(busy) = busy.lock().expect("not poisoned").pop() {
                return busy;
            }
            inbox.lock().expect("not poisoned").entry(signal).or_default().push(body.to_vec());
            Answer::accepted(1)
        };
        let receiver =
            Receiver::start("127.0.0.1:0", ReceiverLimits::default(), handler).expect("a free port");
        run(&python, "export.py", &[&receiver.local_addr().to_string(), compression]);
        let stats = receiver.shutdown(PATIENCE);
        assert_eq!(
            (stats.retryable, stats.requests.dropped, stats.connections_failed),
            (1, 0, 0),
            "{stats:?}"
        );
        check_exported(&bodies.lock().expect("not poisoned"));
    }
}

fn check_exported(bodies: &BTreeMap<Signal, Vec<Vec<u8>>>) {
    let traces = bodies[&Signal::Traces]
        .iter()
        .map(|body| ExportTraceServiceRequest::decode(&**body).expect("traces"));
    let spans: Vec<Span> = traces
        .flat_map(|request| request.resource_spans)
        .flat_map(|group| group.scope_spans)
        .inspect(|group| assert_eq!(group.scope.as_ref().expect("a scope").version, "1.2"))
        .flat_map(|group| group.spans)
        .collect();
    assert_eq!(spans.len(), 100);
    for (number, span) in spans.iter().enumerate() {
        let value = span.attributes[0].value.as_ref().and_then(|value| value.value.clone());
        assert_eq!(span.name, format!("span {number}"));
        assert_eq!(value, Some(Value::IntValue(i64::try_from(number).expect("small"))));
    }
    let metrics = ExportMetricsServiceRequest::decode(&*bodies[&Signal::Metrics][0]).expect("metrics");
    assert_eq!(metrics.resource_metrics[0].scope_metrics[0].metrics[0].name, "orders");
    let logs = ExportLogsServiceRequest::decode(&*bodies[&Signal::Logs][0]).expect("logs");
    let body = logs.resource_logs[0].scope_logs[0].log_records[0].body.clone().and_then(|body| body.value);
    assert_eq!(body, Some(Value::StringValue("out of stock".into())));
}

#[test]
fn the_health_service_answers_its_python_client() {
    let Some(python) = needs::python(MODULES, PACKAGES) else { return };
    let receiver =
        Receiver::start("127.0.0.1:0", ReceiverLimits::default(), |_: Signal, _: &[u8]| Answer::accepted(1))
            .expect("a free port");
    let printed = run(&python, "check.py", &[&receiver.local_addr().to_string()]);
    let expected = ["SERVING", "SERVING", "NOT_FOUND - service: not known", "UNIMPLEMENTED"];
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
}

/// The Python server, ended when it is dropped.
struct PythonServer {
    child: Child,
    output: BufReader<ChildStdout>,
    port: u16,
}

impl PythonServer {
    fn start(python: &str) -> Self {
        let mut command = Command::new(python);
        let command = command.arg(script("serve.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python runs");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("the port");
        Self { child, output, port: line.trim().parse().expect("a port") }
    }

    /// Ends the server: signal, instant in nanoseconds, token and body of each request.
    fn end(mut self) -> Vec<(String, u64, String, Vec<u8>)> {
        drop(self.child.stdin.take());
        let mut text = String::new();
        self.output.read_to_string(&mut text).expect("text");
        assert!(self.child.wait().expect("it ran").success());
        let parsed = text.lines().map(|line| {
            let mut words = line.split(' ');
            let mut word = || words.next().expect("four words");
            let (signal, at, token) =
                (word().to_owned(), word().parse().expect("a number"), word().to_owned());
            (signal, at, token, unhex(word()))
        });
        parsed.collect()
    }
}

impl Drop for PythonServer {
    fn drop(&mut self) {
        let _ended = self.child.kill();
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(digit).collect()
}

/// One request a signal, each of three records.
fn bodies() -> [(Signal, Vec<u8>); 4] {
    let span = Span { name: "GET /".into(), trace_id: vec![1; 16], span_id: vec![2; 8], ..Span::default() };
    let scope_spans = vec![ScopeSpans { spans: vec![span; 3], ..ScopeSpans::default() }];
    let traces = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans, ..Default::default() }],
    };
    let metric = Metric { name: "requests".into(), ..Metric::default() };
    let scope_metrics = vec![ScopeMetrics { metrics: vec![metric; 3], ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics { scope_metrics, ..Default::default() }];
    let record = LogRecord { severity_text: "WARN".into(), ..LogRecord::default() };
    let scope_logs = vec![ScopeLogs { log_records: vec![record; 3], ..ScopeLogs::default() }];
    let logs =
        ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { scope_logs, ..Default::default() }] };
    let profile = Profile { profile_id: vec![3; 16], ..Profile::default() };
    let scope_profiles = vec![ScopeProfiles { profiles: vec![profile; 3], ..ScopeProfiles::default() }];
    let resource_profiles = vec![ResourceProfiles { scope_profiles, ..Default::default() }];
    let profiles = ExportProfilesServiceRequest { resource_profiles, dictionary: None };
    [
        (Signal::Traces, traces.encode_to_vec()),
        (Signal::Metrics, ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()),
        (Signal::Logs, logs.encode_to_vec()),
        (Signal::Profiles, profiles.encode_to_vec()),
    ]
}

#[test]
fn a_python_server_gets_four_signals_waits_included() {
    let Some(python) = needs::python(MODULES, PACKAGES) else { return };
    for compression in [Compression::None, Compression::Gzip] {
        let server = PythonServer::start(&python);
        let wait = Duration::from_millis(1);
        let exporter = ExporterConfig::default().backoff(Backoff { initial: wait, max: wait });
        let config = ClientConfig::new(format!("http://127.0.0.1:{}", server.port))
            .protocol(Protocol::Grpc)
            .compression(compression)
            .header("X-Token", "t")
            .exporter(exporter);
        let client = Client::start(config).expect("valid");
        for (signal, body) in bodies() {
            client.send(signal, body.into(), 3).expect("room");
            client.flush(PATIENCE).expect("sent");
        }
        let stats = client.shutdown(PATIENCE).stats;
        assert_eq!(
            (stats.exported, stats.rejected, stats.dropped),
            (8, 4, 0),
            "one of each three is rejected"
        );
        assert_eq!(client.counters().retries, 4);
        let met = server.end();
        assert_eq!(met.len(), 8);
        for (pair, (signal, body)) in met.chunks(2).zip(bodies()) {
            assert!(
                pair.iter()
                    .all(|(of, _, token, met)| *of == signal.to_string() && token == "t" && *met == body)
            );
            assert!(pair[1].1 - pair[0].1 >= 300_000_000, "{signal}: asked again too early");
        }
    }
}
