//! Our client into the collector Rotel, and what Rotel sends on into our receiver: HTTP and gRPC both ways.
#![cfg(all(feature = "grpc", feature = "gzip"))]
#![allow(clippy::indexing_slicing, clippy::panic, reason = "a test that is wrong should stop")]

mod needs;
mod peer;

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use otlp_core::protocol::Signal;
use otlp_core::protocol::export::ExporterConfig;
use otlp_core::protocol::retry::Backoff;
use otlp_core::transport::blocking::Client;
use otlp_core::transport::client::{ClientConfig, Compression, Protocol};
use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits};
use prost::Message;

use peer::{PATIENCE, wait_until};

const SIGNALS: [Signal; 3] = [Signal::Traces, Signal::Metrics, Signal::Logs];
const WAYS: [(Protocol, Compression); 4] = [
    (Protocol::HttpProtobuf, Compression::None),
    (Protocol::HttpProtobuf, Compression::Gzip),
    (Protocol::Grpc, Compression::None),
    (Protocol::Grpc, Compression::Gzip),
];

/// The agent that lies in the Python package `rotel`.
fn agent() -> Option<String> {
    let python = needs::python("rotel", "rotel")?;
    let locate = "import rotel, pathlib; print(pathlib.Path(rotel.__file__).with_name('rotel-agent'))";
    let output = Command::new(python).args(["-c", locate]).output().expect("python runs");
    Some(String::from_utf8(output.stdout).expect("a path").trim().to_owned())
}

/// The requests that came out.
type Inbox = Arc<Mutex<Vec<(Signal, Vec<u8>)>>>;

/// A running collector, ended when it is dropped.
struct Rotel {
    child: Child,
    http: u16,
    grpc: u16,
}

impl Rotel {
    fn start(agent: &str, exporter: &str, endpoint: &str) -> Self {
        let [http, grpc] = free_ports();
        let child = Command::new(agent)
            .arg("start")
            .arg(format!("--otlp-http-endpoint=127.0.0.1:{http}"))
            .arg(format!("--otlp-grpc-endpoint=127.0.0.1:{grpc}"))
            .args(["--exporter=otlp", "--disable-batching"])
            .arg(format!("--otlp-exporter-endpoint={endpoint}"))
            .arg(format!("--otlp-exporter-protocol={exporter}"))
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        Self { child, http, grpc }
    }

    fn endpoint(&self, protocol: Protocol) -> String {
        let port = if protocol == Protocol::Grpc { self.grpc } else { self.http };
        format!("http://127.0.0.1:{port}")
    }
}

impl Drop for Rotel {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Ports that were free a moment ago; who else takes one meanwhile makes the test fail, not pass.
fn free_ports() -> [u16; 2] {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let listeners = [bind(), bind()];
    listeners.map(|listener| listener.local_addr().expect("bound").port())
}

/// What programs with the SDKs of Python and JavaScript sent.
fn corpus(signal: Signal) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/corpus");
    let read = |name| std::fs::read(directory.join(format!("{name}.{signal}.bin"))).expect("in the corpus");
    ["python", "javascript"].map(read).into()
}

/// Each record with its resource and scope as a request of its own, in any order: how they were grouped is the sender's
/// affair.
fn records(signal: Signal, body: &[u8]) -> Vec<Vec<u8>> {
    macro_rules! alone {
        ($request:ident, $resources:ident, $scopes:ident, $records:ident) => {{
            let request = $request::decode(body).expect("a request");
            let mut alone = Vec::new();
            for resource in &request.$resources {
                for scope in &resource.$scopes {
                    for record in &scope.$records {
                        let mut resource = resource.clone();
                        resource.$scopes = vec![scope.clone()];
                        resource.$scopes[0].$records = vec![record.clone()];
                        alone.push($request { $resources: vec![resource] }.encode_to_vec());
                    }
                }
            }
            alone
        }};
    }
    match signal {
        Signal::Traces => alone!(ExportTraceServiceRequest, resource_spans, scope_spans, spans),
        Signal::Metrics => alone!(ExportMetricsServiceRequest, resource_metrics, scope_metrics, metrics),
        Signal::Logs => alone!(ExportLogsServiceRequest, resource_logs, scope_logs, log_records),
        _ => panic!("{signal}: not sent here"),
    }
}

fn all_records(signal: Signal, bodies: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<Vec<u8>> {
    let mut all: Vec<_> = bodies.into_iter().flat_map(|body| records(signal, body.as_ref())).collect();
    all.sort();
    all
}

fn send(endpoint: &str, (protocol, compression): (Protocol, Compression)) {
    // The collector may still be starting.
    let wait = Duration::from_millis(20);
    let exporter = ExporterConfig::default().backoff(Backoff { initial: wait, max: wait });
    let config = ClientConfig::new(endpoint).protocol(protocol).compression(compression).exporter(exporter);
    let client = Client::start(config).expect("valid");
    let mut sent = 0;
    for signal in SIGNALS {
        for body in corpus(signal) {
            let count = u32::try_from(records(signal, &body).len()).expect("few");
            client.send(signal, body.into(), count).expect("room");
            sent += u64::from(count);
        }
    }
    let stats = client.shutdown(PATIENCE).stats;
    assert_eq!((stats.exported, stats.rejected, stats.dropped), (sent, 0, 0), "{protocol:?} {compression:?}");
}

#[test]
fn what_goes_through_rotel_arrives_field_by_field() {
    let Some(agent) = agent() else { return };
    for exporter in ["http", "grpc"] {
        let arrived = Inbox::default();
        let inbox = Arc::clone(&arrived);
        let handler = move |signal: Signal, body: &[u8]| {
            inbox.lock().expect("not poisoned").push((signal, body.to_vec()));
            Answer::accepted(records(signal, body).len() as u64)
        };
        let receiver =
            Receiver::start("127.0.0.1:0", ReceiverLimits::default(), handler).expect("a free port");
        let rotel = Rotel::start(&agent, exporter, &format!("http://{}", receiver.local_addr()));
        for way in WAYS {
            send(&rotel.endpoint(way.0), way);
        }
        for signal in SIGNALS {
            let sent: Vec<_> = WAYS.iter().flat_map(|_| corpus(signal)).collect();
            let expected = all_records(signal, &sent);
            let met = || {
                let arrived = arrived.lock().expect("not poisoned");
                all_records(signal, arrived.iter().filter(|(of, _)| *of == signal).map(|(_, body)| body))
            };
            wait_until("all have arrived", || met().len() >= expected.len());
            assert!(met() == expected, "{exporter}: {signal} differ");
        }
        drop(rotel);
        receiver.shutdown(PATIENCE);
    }
}
