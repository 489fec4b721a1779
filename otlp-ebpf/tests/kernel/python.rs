//! Servers and clients of Python: gRPC, brokers of Kafka, and TLS through the interpreter's libssl.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use otlp_core::record::{KeyValue, Span};
use otlp_ebpf::capture::{Capture, Source, Tls};

use crate::database::python;
use crate::kafka_peer::{Told, client, mock, tansu};
use crate::machine::{Server, begin, end, number, required, spans, text, until};
use crate::{grpc_peer, kafka_peer};

/// What the kernel saw of the calls, what their client counted, and how often a parser gave up.
fn calls(source: Source) -> Option<(Vec<Span>, String, u64)> {
    let served = grpc_peer::serve()?;
    let mut capture = begin(Capture::builder().source(source).port(served.address.port()))?;
    let said = served.call(served.address);
    let wanted = usize::try_from(grpc_peer::CALLS).unwrap();
    let met = spans(&mut capture, wanted).into_iter().map(|met| met.span).collect();
    let account = end(capture).server.account;
    assert_eq!((account.spans, account.lost.total()), (grpc_peer::CALLS, 0), "{source:?}");
    Some((met, said, account.refused))
}

#[test]
fn calls_of_grpcio_are_told_as_its_client_counts_them() {
    let Some((met, said, refused)) = calls(Source::Network) else { return };
    grpc_peer::agree(&met, &said);
    assert_eq!(refused, 0);
}

#[test]
fn calls_of_grpcio_are_told_by_system_calls_too() {
    let Some((met, said, refused)) = calls(Source::Calls) else { return };
    let has_gap = |span: &&Span| KeyValue::find(&span.attributes, "otlp.capture.gap").is_some();
    let Some(cut) = met.iter().find(has_gap) else {
        assert_eq!(refused, 0);
        return grpc_peer::agree(&met, &said);
    };
    // The echo of 70,000 bytes, where the server wrote it and its status by one call, of which 64 KiB are looked at.
    assert_eq!((met.iter().filter(has_gap).count(), cut.name.as_str()), (1, "shop.v1.Cart/Echo"));
    assert!(refused <= 1, "{refused}");
    let rest: Vec<Span> = met.iter().filter(|span| !has_gap(span)).cloned().collect();
    grpc_peer::agree(&rest, &said.replace("shop.v1.Cart/Echo OK 1\n", ""));
}

/// What the kernel saw of a client of a broker, once all of it has come.
fn conversation(port: u16, talk: impl FnOnce() -> Told) -> Option<(Vec<Span>, Told)> {
    let mut capture = begin(Capture::builder().source(Source::Network).port(port))?;
    let told = talk();
    let mut met = Vec::new();
    let stats = capture.finish(&mut |captured| met.push(captured.span));
    assert!(stats.is_balanced(), "{stats:?}");
    let account = stats.server.account;
    assert_eq!(
        (account.refused, account.unpaired.total(), stats.kernel.full_records),
        (0, 0, 0),
        "{stats:?}"
    );
    assert_eq!((account.unparsed_to_server, account.unparsed_to_client), (0, 0));
    Some((met, told))
}

#[test]
fn the_mock_broker_is_seen_as_its_clients_see_it() {
    let Some((python, _running, broker)) = mock() else { return };
    let talk = || client(&python, broker, 20, "subscribe");
    let Some((met, told)) = conversation(broker.port(), talk) else { return };
    kafka_peer::agree(&met, &told, 20);
    kafka_peer::is_of_a_group(&met);
}

#[test]
fn tansu_is_seen_as_its_clients_see_it() {
    let Some((python, broker)) = tansu() else { return };
    // The port is free now.
    let address: SocketAddr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _running = broker(address, address);
    until(|| TcpStream::connect(address).map_err(|error| error.to_string()));
    let talk = || client(&python, address, 20, "assign");
    let Some((met, told)) = conversation(address.port(), talk) else { return };
    kafka_peer::agree(&met, &told, 20);
}

const HTTPS: &str = "
import http.server, ssl, sys
class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        body = b'x' * 70000
        self.send_response(200 if self.path == '/ok' else 404)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Answers)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('certificate.pem', 'key.pem')
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
";

#[test]
fn https_of_python_is_seen_through_its_libssl() {
    let (Some(python), Some(openssl), Some(curl)) =
        (python("ssl", "(part of Python)"), required("openssl", "openssl"), required("curl", "curl"))
    else {
        return;
    };
    let server = Server::start("python", |folder, port| {
        crate::tls::certificate(&openssl, folder);
        let mut command = Command::new(&python);
        command.current_dir(folder).args(["-c", HTTPS, &port.to_string()]);
        command
    });
    let builder = Capture::builder().source(Source::Network).port(server.port()).tls(Tls::OpenSsl);
    let Some(mut capture) = begin(builder) else { return };
    for _ in 0..5 {
        let mut command = Command::new(&curl);
        command.args(["--silent", "--insecure", "--http1.1"]);
        for path in ["/ok", "/gone", "/ok"] {
            command.args(["-o", "/dev/null"]).arg(format!("https://127.0.0.1:{}{path}", server.port()));
        }
        assert!(command.status().unwrap().success());
    }
    let met = spans(&mut capture, 15);
    for (at, met) in met.iter().enumerate() {
        let told = (text(&met.span, "url.path"), number(&met.span, "http.response.status_code"));
        assert_eq!(told, if at % 3 == 1 { ("/gone", 404) } else { ("/ok", 200) });
        assert_eq!(number(&met.span, "http.response.body.size"), 70_000);
    }
    let stats = end(capture);
    assert_eq!((stats.server.account.spans, stats.kernel.unknown), (15, 0));
}
