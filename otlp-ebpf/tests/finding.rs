//! What traffic says is wrong, and processes that export their own spans.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod wire;

use std::sync::Arc;
use std::time::Duration;

use otlp_core::finding::{Evidence, Finding, Severity, Subject};
use otlp_core::record::{KeyValue, Span, SpanKind};
use otlp_core::sink::MemorySink;
use otlp_core::{SpanId, TraceId, UnixNanos};
use otlp_ebpf::finding::{FindingConfig, Findings};
use otlp_ebpf::own::{OwnSpans, Policy};
use otlp_ebpf::parse::Direction::{ToClient, ToServer};
use otlp_ebpf::parse::infer::{Builtin, Protocol};
use otlp_ebpf::parse::{Chunk, Direction};
use otlp_ebpf::tracer::TracerConfig;
use otlp_ebpf::{Connection, Ends, IdSource, Limits, Role, Service};
use wire::{Wire, trace};

struct Watched {
    sink: Arc<MemorySink<Finding>>,
    findings: Arc<Findings>,
    connection: Connection,
}

impl Watched {
    fn new(config: FindingConfig) -> Self {
        let sink = Arc::new(MemorySink::new(1000));
        let findings = Arc::new(Findings::new(config, sink.clone()));
        let service = Service::new("cache", Arc::new(IdSource::seeded(1))).findings(Arc::clone(&findings));
        let parser = Builtin::Redis.parser(&Limits::default());
        Self { sink, findings, connection: Connection::new(Arc::new(service), parser, Ends::default()) }
    }

    fn feed(&mut self, direction: Direction, millis: u64, text: &str) {
        let chunk = Chunk::new(direction, UnixNanos::from_millis(millis), text.as_bytes());
        self.connection.feed(chunk, &mut |_| {});
    }

    /// A command that takes so many milliseconds.
    fn command(&mut self, millis: u64, words: &str, took: u64) {
        let words: Vec<_> = words.split(' ').collect();
        let mut text = format!("*{}\r\n", words.len());
        words.iter().for_each(|word| text.push_str(&format!("${}\r\n{word}\r\n", word.len())));
        self.feed(ToServer, millis, &text);
        self.feed(ToClient, millis + took, "+OK\r\n");
    }

    fn told(&self) -> Vec<Finding> {
        self.findings.finish();
        self.sink.take()
    }
}

fn titles(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.title.as_str()).collect()
}

#[test]
fn slow_commands_are_told_once_with_the_slowest() {
    let mut watched = Watched::new(FindingConfig::default());
    for took in [10, 1500, 2500, 1001, 1000] {
        watched.command(1000, "SET k v", took);
    }
    let told = watched.told();
    assert_eq!(titles(&told), ["3 slow SET, the slowest of 2.5s"]);
    let finding = &told[0];
    assert_eq!(finding.subject, Subject::Operation { service: "cache".into(), operation: "SET".into() });
    assert!(matches!(&finding.evidence[0], Evidence::Span { note, .. } if note == "took 2.5s"));
    assert!(matches!(&finding.evidence[1], Evidence::Note(text) if text == "SET ? ?"), "no argument leaves");
}

#[test]
fn commands_that_look_at_everything_are_told_and_others_are_not() {
    let mut watched = Watched::new(FindingConfig::default());
    for words in [
        "KEYS user:*",
        "keys *",
        "SMEMBERS s",
        "LRANGE l 0 -1",
        "LRANGE l 0 9",
        "ZRANGE z 0 -1",
        "FLUSHALL ASYNC",
        "FLUSHDB",
        "HGET h f",
        "SCAN 0",
        "GET keys",
    ] {
        watched.command(1, words, 1);
    }
    let told = watched.told();
    let right = [
        "1 FLUSHDB, which looks at every key of the server",
        "1 KEYS, which looks at every key of the server",
        "1 keys, which looks at every key of the server",
        "1 LRANGE, which looks at all of a value",
        "1 SMEMBERS, which looks at all of a value",
        "1 ZRANGE, which looks at all of a value",
    ];
    assert_eq!(titles(&told), right);
    assert_eq!((told[0].severity, told[5].severity), (Severity::Warning, Severity::Info));
}

#[test]
fn a_hot_key_is_told_by_its_hash_and_not_by_its_name() {
    let mut watched = Watched::new(FindingConfig::default());
    for number in 0..2000 {
        let key = if number % 4 == 0 { "session:secret".to_owned() } else { format!("user:{number}") };
        watched.command(1, &format!("GET {key}"), 1);
    }
    let told = watched.told();
    assert_eq!(titles(&told), ["one key takes 25 % of 2000 Redis commands"]);
    assert!(!format!("{told:?}").contains("secret"));
    // The twin: as many commands, none of them hot.
    (0..2000).for_each(|number| watched.command(1, &format!("GET user:{number}"), 1));
    assert_eq!(watched.told().len(), 0);
    // Keys that are alike for long are told apart.
    let long = "k".repeat(100);
    (0..2000).for_each(|number| watched.command(1, &format!("GET {long}{number:06}"), 1));
    assert_eq!(watched.told().len(), 0);
}

#[test]
fn windows_end_by_the_time_of_the_traffic_and_subjects_are_bounded() {
    let mut watched = Watched::new(FindingConfig::default().window(Duration::from_secs(10)).max_subjects(2));
    watched.command(1_000, "KEYS *", 1);
    watched.command(10_500, "SMEMBERS s", 1);
    watched.command(10_600, "HGETALL h", 1);
    assert_eq!((watched.sink.take().len(), watched.findings.overflowed()), (0, 1));
    watched.command(11_000, "GET k", 1);
    assert_eq!(titles(&watched.sink.take()).len(), 2);
    watched.command(12_000, "KEYS *", 1);
    watched.findings.advance(UnixNanos::from_secs(21));
    assert_eq!(watched.sink.take().len(), 1);
}

/// The spans of an exchange of `service`, as the one end of it sees them.
fn span(path: &str, role: Role, parent: Option<&str>) -> Span {
    let header =
        parent.map(|parent| format!("traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-{parent}-01\r\n"));
    let request = format!("POST {path} HTTP/1.1\r\n{}Content-Length: 0\r\n\r\n", header.unwrap_or_default());
    let wire = Wire::new(40_000).open().send(ToServer, request, 1000);
    let wire = wire.send(ToClient, "HTTP/1.1 204 x\r\n\r\n", 1000);
    trace(TracerConfig::new(7).role(role), &wire.packets).0.remove(0).1
}

const NOW: UnixNanos = UnixNanos::from_secs(1);

fn name(name: &str) -> Arc<str> {
    Arc::from(name)
}

#[test]
fn exports_are_recognised_over_http_and_grpc() {
    for path in ["/v1/traces", "/v1/metrics", "/v1/logs", "/otlp/v1/traces", "/v1development/profiles"] {
        assert!(OwnSpans::is_export(&span(path, Role::Server, None)), "{path}");
    }
    let grpc = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    assert!(OwnSpans::is_export(&span(grpc, Role::Client, None)));
    let rpc = vec![KeyValue::new("rpc.method", &grpc[1..])];
    assert!(OwnSpans::is_export(&Span { attributes: rpc, ..Span::default() }));
    for path in ["/v1/tracesmith", "/orders", "/v1/traces/7", "/opentelemetry.proto.collector.Other/Other"] {
        assert!(!OwnSpans::is_export(&span(path, Role::Server, None)), "{path}");
    }
}

#[test]
fn a_service_that_exports_is_not_counted_twice() {
    let mut own = OwnSpans::new(Policy::Skip);
    let (shop, cart) = (name("shop"), name("cart"));
    assert!(own.judge(&shop, span("/a", Role::Server, None), NOW).is_some(), "not known yet");
    assert!(own.judge(&shop, span("/v1/traces", Role::Client, None), NOW).is_none());
    assert!(own.judge(&shop, span("/a", Role::Server, None), NOW).is_none());
    assert!(own.judge(&cart, span("/a", Role::Server, None), NOW).is_some(), "another service");
    let later = UnixNanos::from_secs(700);
    assert!(own.judge(&shop, span("/a", Role::Server, None), later).is_some(), "it has stopped exporting");
    let stats = own.stats();
    assert_eq!((stats.passed, stats.skipped, stats.exports), (3, 1, 1));
    assert!(stats.is_balanced());
}

#[test]
fn an_exporter_is_told_by_its_name_or_its_address() {
    let mut own = OwnSpans::new(Policy::Skip).host([10, 0, 0, 7].into(), "shop");
    own.judge(&name("collector"), span("/v1/traces", Role::Server, None), NOW);
    assert!(own.judge(&name("shop"), span("/a", Role::Server, None), NOW).is_none());
    assert!(own.judge(&name("collector"), span("/a", Role::Server, None), NOW).is_some(), "it only receives");
    let mut export = span("/v1/traces", Role::Server, None);
    export.attributes.push(KeyValue::new("service.peer.name", "cart"));
    own.judge(&name("collector"), export, NOW);
    assert!(own.judge(&name("cart"), span("/a", Role::Server, None), NOW).is_none());
}

#[test]
fn a_request_whose_parent_is_reported_is_its_client_s_own() {
    let parent = "00f067aa0ba902b7";
    for (policy, role, goes_on) in [
        (Policy::Skip, Role::Client, false),
        (Policy::Skip, Role::Server, true),
        (Policy::Keep, Role::Client, true),
    ] {
        let mut own = OwnSpans::new(policy);
        own.reported(SpanId::new(0x00f0_67aa_0ba9_02b7_u64.to_be_bytes()));
        let judged = own.judge(&name("shop"), span("/a", role, Some(parent)), NOW);
        assert_eq!(judged.is_some(), goes_on, "{policy:?} {role:?}");
        assert!(own.judge(&name("shop"), span("/a", role, Some("00f067aa0ba902b8")), NOW).is_some());
    }
    let mut own = OwnSpans::new(Policy::Skip).max_reported(1);
    let reported = |number: u64| SpanId::new(number.to_be_bytes());
    (1..=3).for_each(|number| own.reported(reported(number)));
    let child = |number| Span { kind: SpanKind::Client, parent_span_id: reported(number), ..Span::default() };
    assert!(own.judge(&name("shop"), child(2), NOW).is_some(), "forgotten");
    assert!(own.judge(&name("shop"), child(3), NOW).is_none());
}

#[test]
fn a_linked_span_is_in_no_trace_of_its_service() {
    let mut own = OwnSpans::new(Policy::Link);
    own.exports(&name("shop"), NOW);
    let seen = span("/a", Role::Server, Some("00f067aa0ba902b7"));
    let linked = own.judge(&name("shop"), seen.clone(), NOW).unwrap();
    assert_ne!(linked.trace_id, seen.trace_id);
    assert!(linked.trace_id != TraceId::INVALID && !linked.parent_span_id.is_valid());
    assert_eq!((linked.kind, linked.flags), (SpanKind::Internal, 1));
    assert_eq!((linked.links[0].trace_id, linked.links[0].span_id), (seen.trace_id, seen.parent_span_id));
    assert!(own.stats().is_balanced() && own.stats().linked == 1);
}
