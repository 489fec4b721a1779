//! The tap between clients and servers in Go: net/http over HTTP/1.1 and HTTP/2, and grpc-go. Spans agree with what the
//! clients themselves count.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]
#![cfg(feature = "tap")]

mod go_program;
mod loopback;

use std::collections::BTreeMap;

use go_program::{Built, Running, built};
use loopback::{LONG, Tapped, config};
use otlp_core::record::{AnyValue, KeyValue, Span};

/// Serves behind a tap, and calls through it; gives what the client says that it counted.
fn talk(program: &Built, serve: &[&str], call: &[&str]) -> (Running, Tapped, String) {
    let (server, port) = program.serve(serve);
    let tapped = Tapped::start(config(([127, 0, 0, 1], port).into()));
    let address = tapped.tap.local_addr().to_string();
    let said = program.call(&[call, &[&address]].concat());
    (server, tapped, said)
}

/// All spans; nothing was lost, refused or not understood, and no secret leaves.
fn spans(tapped: &Tapped, requests: u64) -> Vec<Span> {
    tapped.until(|stats| stats.account.in_progress == 0 && stats.account.requests == requests);
    let account = tapped.tap.stats().account;
    assert_eq!((account.spans, account.lost.total(), account.unpaired.total()), (requests, 0, 0));
    assert_eq!((account.refused, account.unparsed_to_server, account.unparsed_to_client), (0, 0, 0));
    let spans: Vec<_> = tapped.sink.take().into_iter().map(|tapped| tapped.span).collect();
    assert!(!format!("{spans:?}").contains("s3cret"));
    let mut parents: Vec<_> = spans.iter().map(|span| span.parent_span_id).collect();
    parents.retain(otlp_core::SpanId::is_valid);
    parents.sort_unstable();
    parents.dedup();
    assert_eq!(parents.len(), 160, "a parent for each request that names one");
    spans
}

fn text<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    KeyValue::find(&span.attributes, key).and_then(AnyValue::as_str)
}

fn number(span: &Span, key: &str) -> Option<i64> {
    KeyValue::find(&span.attributes, key).and_then(AnyValue::as_int)
}

fn lines(counts: &BTreeMap<String, u32>) -> String {
    counts.iter().map(|(line, times)| format!("{line} {times}\n")).collect()
}

#[test]
fn net_http_and_the_tap_count_the_same_requests() {
    let Some(program) = built("http", &[]) else { return };
    for (version, told) in [("1", "1.1"), ("2", "2")] {
        let (_server, tapped, said) = talk(&program, &["serve", version], &["call", version]);
        let mut counts = BTreeMap::new();
        for span in spans(&tapped, 160) {
            assert_eq!(text(&span, "network.protocol.version"), Some(told));
            assert_eq!(number(&span, "server.port"), Some(tapped.tap.local_addr().port().into()));
            assert!(
                text(&span, "user_agent.original").is_some_and(|agent| agent.starts_with("Go-http-client/"))
            );
            assert_eq!(text(&span, "url.query"), Some("token=REDACTED"));
            let (path, status) =
                (text(&span, "url.path").unwrap(), number(&span, "http.response.status_code"));
            assert_eq!(span.is_error(), status == Some(503), "{span:?}");
            let sent = if path == "/cart" {
                Some(3000)
            } else if path == "/none" {
                Some(4)
            } else {
                Some(0)
            };
            assert_eq!(number(&span, "http.request.body.size"), sent, "{span:?}");
            let bytes = number(&span, "http.response.body.size").unwrap();
            let line = format!("{} {path} {} {bytes}", span.name, status.unwrap());
            *counts.entry(line).or_insert(0) += 1;
        }
        assert_eq!(lines(&counts), said, "the client's own count, HTTP/{told}");
        assert!(
            said.contains("GET /stream 200 5000 40\n") && said.contains("HEAD /broken 503 0 40\n"),
            "{said}"
        );
        assert!(tapped.tap.shutdown(LONG).is_balanced());
    }
}

#[test]
fn grpc_go_and_the_tap_count_the_same_calls() {
    let Some(program) = built("grpc", &[]) else { return };
    let (_server, tapped, said) = talk(&program, &["serve"], &["call"]);
    let mut counts = BTreeMap::new();
    for span in spans(&tapped, 168) {
        let status = text(&span, "rpc.response.status_code").unwrap();
        *counts.entry(format!("{} {status}", span.name)).or_insert(0) += 1;
        assert_eq!(
            (text(&span, "rpc.system.name"), text(&span, "rpc.method")),
            (Some("grpc"), Some(&*span.name))
        );
        let failed = ["INTERNAL", "UNIMPLEMENTED"].contains(&status);
        assert_eq!((span.is_error(), text(&span, "error.type")), (failed, failed.then_some(status)));
    }
    assert_eq!(lines(&counts), said, "the client's own count");
    for line in
        ["Add OK 40", "Missing NOT_FOUND 40", "Broken INTERNAL 40", "Absent UNIMPLEMENTED 40", "Echo OK 8"]
    {
        assert!(said.contains(&format!("shop.v1.Cart/{line}\n")), "{said}");
    }
    assert!(tapped.tap.shutdown(LONG).is_balanced());
}
