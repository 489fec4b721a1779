//! The tap between a real client and a real server of gRPC-Web, which keeps the status in the body of the response:
//! spans agree with what the client itself says of each call.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]
#![cfg(feature = "tap")]

mod loopback;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use loopback::{LONG, Tapped, config, until};
use otlp_core::record::{AnyValue, KeyValue, Span, SpanKind};

/// Node with the packages, or `None` with a printed reason.
fn node() -> Option<String> {
    let modules = std::env::var("OTLP_NODE_MODULES").ok();
    let has_packages = |modules: &String| {
        let node = Command::new("node")
            .args(["-e", "require('@connectrpc/connect-node')"])
            .env("NODE_PATH", modules)
            .output();
        node.is_ok_and(|output| output.status.success())
    };
    let found = modules.filter(has_packages);
    if found.is_none() {
        let missing = "node, and OTLP_NODE_MODULES=the node_modules of: npm install @connectrpc/connect \
                       @connectrpc/connect-node @bufbuild/protobuf";
        assert_ne!(std::env::var("OTLP_REQUIRE").as_deref(), Ok("all"), "required, but missing: {missing}");
        println!("skipped: {missing}");
    }
    found
}

fn peer(modules: &str, arguments: &[&str]) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/node/grpc_web.mjs");
    let mut command = Command::new("node");
    command.arg(script).args(arguments).env("OTLP_NODE_MODULES", modules);
    command
}

/// A server that ends with the test.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// One that speaks gRPC-Web over this version of HTTP; it tells its port once it listens.
    fn start(modules: &str, version: &str) -> Self {
        let mut command = peer(modules, &["serve", version]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut told = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut told).unwrap();
        let port = told.trim().parse();
        let server = Self { child, port: port.unwrap_or(0) };
        assert!(server.port > 0, "the server says {told:?}");
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

fn text<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    KeyValue::find(&span.attributes, key).and_then(AnyValue::as_str)
}

/// The names of the codes that the service gives, as the conventions have them.
fn code_name(code: u32) -> &'static str {
    match code {
        0 => "OK",
        5 => "NOT_FOUND",
        8 => "RESOURCE_EXHAUSTED",
        13 => "INTERNAL",
        15 => "DATA_LOSS",
        other => panic!("the service never answers {other}"),
    }
}

/// What was called, how it was answered, and how often.
type Counts = BTreeMap<(String, &'static str), usize>;

/// Calls the service through a tap; gives what the client says, and the spans.
fn ask(modules: &str, (version, form): (&str, &str)) -> (Counts, Vec<Span>) {
    let server = Server::start(modules, version);
    let tapped = Tapped::start(config(([127, 0, 0, 1], server.port).into()));
    let port = tapped.tap.local_addr().port().to_string();
    let output = peer(modules, &["ask", version, &port, form]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut counts = Counts::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let (method, code) = line.split_once(' ').unwrap();
        *counts.entry((method.to_owned(), code_name(code.parse().unwrap()))).or_default() += 1;
    }
    let calls = u64::try_from(counts.values().sum::<usize>()).unwrap();
    assert_eq!(calls, 100);
    tapped.until(|stats| stats.account.in_progress == 0 && stats.account.requests == calls);
    let account = tapped.tap.stats().account;
    assert_eq!((account.spans, account.lost.total(), account.unpaired.total()), (calls, 0, 0), "{account:?}");
    assert_eq!(account.refused + account.unparsed_to_server + account.unparsed_to_client, 0, "{account:?}");
    let mut spans = Vec::new();
    until(|| {
        spans.extend(tapped.sink.take().into_iter().map(|tapped| tapped.span));
        if spans.len() == 100 { Ok(()) } else { Err(spans.len()) }
    });
    assert!(tapped.tap.shutdown(LONG).is_balanced());
    (counts, spans)
}

/// What the spans say of the calls.
fn told(spans: &[Span]) -> Counts {
    let mut counts = Counts::new();
    for span in spans {
        let code = text(span, "rpc.response.status_code").unwrap_or("none");
        let code = [0, 5, 8, 13, 15].map(code_name).into_iter().find(|name| *name == code);
        let method = text(span, "rpc.method").unwrap_or("none").to_owned();
        *counts.entry((method, code.unwrap_or("another"))).or_default() += 1;
    }
    counts
}

/// What is the same in all calls, and what follows from the code of each.
fn check(spans: &[Span], version: &str) {
    for span in spans {
        assert_eq!(span.kind, SpanKind::Server);
        assert_eq!(Some(span.name.as_str()), text(span, "rpc.method"));
        assert_eq!(text(span, "rpc.system.name"), Some("grpc"));
        assert_eq!(text(span, "network.protocol.version"), Some(version));
        assert_eq!(KeyValue::find(&span.attributes, "http.request.method"), None, "a call, and no page");
        let code = text(span, "rpc.response.status_code").unwrap();
        // Those that are the server's fault, in a span of the server.
        let fails = matches!(code, "INTERNAL" | "DATA_LOSS");
        assert_eq!((span.is_error(), text(span, "error.type")), (fails, fails.then_some(code)), "{span:?}");
    }
}

fn check_version(version: &str) {
    let Some(modules) = node() else { return };
    for form in ["proto", "json"] {
        let (said, spans) = ask(&modules, (version, form));
        assert_eq!(said[&("shop.v1.Cart/Add".to_owned(), "OK")], 50);
        assert_eq!(said[&("shop.v1.Cart/List".to_owned(), "DATA_LOSS")], 15, "a stream that breaks off");
        let odd: Vec<_> =
            spans.iter().filter(|span| text(span, "rpc.response.status_code").is_none()).collect();
        assert_eq!(said, told(&spans), "{version}, {form}: {odd:?}");
        check(&spans, version);
    }
}

#[test]
fn calls_over_http1_are_what_the_client_says_they_are() {
    check_version("1.1");
}

#[test]
fn calls_over_http2_are_what_the_client_says_they_are() {
    check_version("2");
}

#[test]
fn a_span_that_is_missing_or_says_another_code_is_noticed() {
    let Some(modules) = node() else { return };
    let (said, mut spans) = ask(&modules, ("1.1", "proto"));
    assert_eq!(said, told(&spans));
    assert_ne!(said, told(&spans[1..]), "the fault that is planted is a span");
    let failed = spans.iter_mut().find(|span| text(span, "rpc.response.status_code") == Some("NOT_FOUND"));
    let code = failed.unwrap().attributes.iter_mut().find(|met| met.key == "rpc.response.status_code");
    code.unwrap().value = AnyValue::from("OK");
    assert_ne!(said, told(&spans), "the fault that is planted is a code");
}
