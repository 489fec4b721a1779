//! The Python SDK's exporters, with OpenSSL and BoringSSL below, into our receiver.

use std::process::{Command, Output};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use otlp_core::protocol::Signal;
use prost::Message;

use crate::certs::{Authority, Directory, text};
use crate::{Inbox, end, needs, receiver, server_tls};

const MODULES: &str = "opentelemetry.exporter.otlp.proto.grpc, opentelemetry.exporter.otlp.proto.http";
const PACKAGES: &str = "opentelemetry-exporter-otlp opentelemetry-sdk";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls_python/export.py");

fn export(python: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(python);
    // They would go before the file that the exporter is given.
    command.env_remove("REQUESTS_CA_BUNDLE").env_remove("CURL_CA_BUNDLE");
    command.arg(SCRIPT).args(arguments).output().expect("python runs")
}

#[test]
fn the_http_exporter_of_the_python_sdk_is_served_over_tls_and_mutual_tls() {
    served_over_tls_and_mutual_tls("http");
}

#[test]
fn the_grpc_exporter_of_the_python_sdk_is_served_over_tls_and_mutual_tls() {
    served_over_tls_and_mutual_tls("grpc");
}

fn served_over_tls_and_mutual_tls(protocol: &str) {
    let Some(python) = needs::python(MODULES, PACKAGES) else { return };
    let (servers, clients, directory) =
        (Authority::new("servers"), Authority::new("clients"), Directory::new());
    let ca = directory.write("ca.pem", &servers.text());
    let (certificate, key) = directory.write_pair("client", &clients.issue());
    for is_mutual in [false, true] {
        let inbox = Inbox::default();
        let tls = server_tls(&servers.issue());
        let tls = if is_mutual { tls.client_ca(clients.pem()) } else { tls };
        let receiver = receiver(tls, inbox.clone());
        let endpoint = format!("https://localhost:{}", receiver.local_addr().port());
        let mut arguments = vec![endpoint.as_str(), protocol, "5", text(&ca)];
        if is_mutual {
            arguments.extend([text(&certificate), text(&key)]);
        }
        let output = export(&python, &arguments);
        assert!(output.status.success(), "{protocol}: {}", String::from_utf8_lossy(&output.stderr));
        let stats = end(receiver);
        assert_eq!((stats.requests.exported, stats.requests.dropped), (5, 0), "{stats:?}");
        assert_eq!(stats.connections_failed, 0, "{protocol} {is_mutual} {stats:?}");
        let names: Vec<_> = inbox
            .bodies(Signal::Traces)
            .iter()
            .map(|body| ExportTraceServiceRequest::decode(&**body).expect("traces"))
            .flat_map(|request| request.resource_spans)
            .flat_map(|group| group.scope_spans)
            .flat_map(|group| group.spans)
            .map(|span| span.name)
            .collect();
        assert_eq!(names, ["span 0", "span 1", "span 2", "span 3", "span 4"]);
    }
}

/// The twin: without a certificate the same exporter gets nothing in.
#[test]
fn the_http_exporter_of_the_python_sdk_is_refused_without_a_certificate() {
    let Some(python) = needs::python(MODULES, PACKAGES) else { return };
    let (authority, directory) = (Authority::new("ca"), Directory::new());
    let ca = directory.write("ca.pem", &authority.text());
    let receiver = receiver(server_tls(&authority.issue()).client_ca(authority.pem()), Inbox::default());
    let endpoint = format!("https://localhost:{}", receiver.local_addr().port());
    let output = export(&python, &[&endpoint, "http", "1", text(&ca)]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let stats = end(receiver);
    assert!(stats.requests.accepted == 0 && stats.connections_failed > 0, "{stats:?}");
}
