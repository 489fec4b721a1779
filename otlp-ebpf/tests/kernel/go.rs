//! Plain text that crypto/tls of Go reads and writes.

use std::collections::BTreeMap;
use std::process::Command;

use otlp_ebpf::capture::{Capture, CaptureBuilder, CapturedSpan, Source, Tls};

use crate::go_program::{Built, Running, built};
use crate::machine::{begin, end, number, required, spans, text};

fn builder(port: u16) -> CaptureBuilder {
    Capture::builder().source(Source::Network).port(port).tls(Tls::All)
}

/// Serves under a capture, and calls; gives the spans, and what the client says that it counted.
fn captured(
    program: &Built,
    serve: &[&str],
    call: &[&str],
    calls: usize,
) -> Option<(Vec<CapturedSpan>, String)> {
    let (server, port) = program.serve(&[serve, &["tls"]].concat());
    let mut capture = begin(builder(port))?;
    let said = program.call(&[call, &[&format!("127.0.0.1:{port}"), "tls"]].concat());
    let met = spans(&mut capture, calls);
    drop::<Running>(server);
    let stats = end(capture);
    let account = stats.server.account;
    assert_eq!(account.spans, u64::try_from(calls).unwrap());
    assert_eq!((account.lost.total(), account.unpaired.total(), account.refused), (0, 0, 0), "{stats:#?}");
    assert_eq!((stats.libraries_left_out, stats.kernel.unreadable), (0, 0));
    // A farewell that is written to a connection which is just being closed reaches nobody, and is none of these.
    assert_eq!(stats.kernel.unknown, 0, "{stats:?}");
    assert!(stats.kernel.encrypted > 100, "what is encrypted is passed over: {stats:?}");
    assert!(!format!("{met:?}").contains("s3cret"));
    Some((met, said))
}

fn lines(counts: &BTreeMap<String, u32>) -> String {
    counts.iter().map(|(line, times)| format!("{line} {times}\n")).collect()
}

/// What net/http is asked over TLS is told as its client counts it.
fn http(version: &str, told: &str, more: &[&str]) {
    let Some(program) = built("http", more) else { return };
    let Some((met, said)) = captured(&program, &["serve", version], &["call", version], 160) else { return };
    let mut counts = BTreeMap::new();
    for CapturedSpan { span, .. } in &met {
        assert_eq!(text(span, "network.protocol.version"), told);
        assert_eq!(text(span, "client.address"), "127.0.0.1", "from the descriptor within the connection");
        assert!(text(span, "user_agent.original").starts_with("Go-http-client/"));
        assert_eq!(text(span, "url.query"), "token=REDACTED");
        assert!(span.parent_span_id.is_valid(), "its traceparent");
        let status = number(span, "http.response.status_code");
        assert_eq!(span.is_error(), status == 503);
        let bytes = number(span, "http.response.body.size");
        *counts.entry(format!("{} {} {status} {bytes}", span.name, text(span, "url.path"))).or_insert(0) += 1;
    }
    assert_eq!(lines(&counts), said, "the client's own count, HTTP/{told}");
    assert!(said.contains("GET /stream 200 5000 40\n") && said.contains("HEAD /broken 503 0 40\n"), "{said}");
}

#[test]
fn net_http_over_tls_is_told_as_its_client_counts_it() {
    http("1", "1.1", &[]);
    http("2", "2", &[]);
}

#[test]
fn programs_without_symbols_and_programs_that_may_be_moved_are_seen_too() {
    http("1", "1.1", &["-ldflags=-s -w"]);
    http("2", "2", &["-buildmode=pie", "-ldflags=-s -w"]);
}

#[test]
fn grpc_over_tls_is_told_as_its_client_counts_it() {
    let Some(program) = built("grpc", &[]) else { return };
    let Some((met, said)) = captured(&program, &["serve"], &["call"], 168) else { return };
    let mut counts = BTreeMap::new();
    for CapturedSpan { span, .. } in &met {
        let status = text(span, "rpc.response.status_code");
        *counts.entry(format!("{} {status}", span.name)).or_insert(0) += 1;
        assert_eq!((text(span, "rpc.system.name"), text(span, "rpc.method")), ("grpc", &*span.name));
        assert_eq!(span.is_error(), ["INTERNAL", "UNIMPLEMENTED"].contains(&status));
    }
    assert_eq!(lines(&counts), said, "the client's own count");
    assert!(said.contains("shop.v1.Cart/Broken INTERNAL 40\n") && said.contains("shop.v1.Cart/Echo OK 8\n"));
}

#[test]
fn other_clients_are_seen_and_go_is_not_where_it_was_not_asked_for() {
    let (Some(program), Some(curl)) = (built("http", &[]), required("curl", "curl")) else { return };
    let (_server, port) = program.serve(&["serve", "2", "tls"]);
    for (tls, seen) in [(Tls::All, 6), (Tls::OpenSsl, 0)] {
        let Some(mut capture) = begin(builder(port).tls(tls)) else { return };
        for version in ["--http1.1", "--http2"] {
            let mut command = Command::new(&curl);
            command.args(["--silent", "--insecure", version, "-d", "token=hunter2"]);
            for path in ["/cart", "/stream", "/none"] {
                command.args(["-o", "/dev/null"]).arg(format!("https://localhost:{port}{path}"));
            }
            assert!(command.status().unwrap().success());
        }
        let met = spans(&mut capture, seen);
        let told: Vec<_> = met
            .iter()
            .map(|met| (text(&met.span, "url.path"), number(&met.span, "http.response.body.size")))
            .collect();
        let right = [("/cart", 13), ("/stream", 5000), ("/none", 19)].repeat(2);
        assert_eq!(told, if seen == 0 { Vec::new() } else { right });
        assert_eq!(end(capture).server.account.spans, u64::try_from(seen).unwrap());
    }
}
