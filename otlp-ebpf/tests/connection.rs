//! From bytes to spans: golden spans, exact accounts at every instant, no span with another's response.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]

mod stream;

use std::fmt::Write;
use std::sync::Arc;

use otlp_core::record::{AnyValue, KeyValue, Span, StatusCode};
use otlp_core::redact::Redactor;
use otlp_core::{TraceId, UnixNanos};
use otlp_ebpf::join::JoinTable;
use otlp_ebpf::parse::infer::{Builtin, Inferring, Protocol};
use otlp_ebpf::parse::{Chunk, Direction};
use otlp_ebpf::redact::Redaction;
use otlp_ebpf::{Connection, Ending, Ends, IdSource, Limits, Service};
use proptest::collection::vec;
use proptest::prelude::*;
use stream::{ToClient, ToServer};

fn ends() -> Ends {
    Ends::new(([10, 0, 0, 7], 40_000).into(), ([10, 0, 0, 1], 8080).into())
}

fn service() -> Service {
    Service::new("shop", Arc::new(IdSource::seeded(7)))
}

/// A connection, what it gave out, and its clock: a millisecond a step.
struct Watched {
    connection: Connection,
    spans: Vec<Span>,
    millis: u64,
}

impl Watched {
    fn new(protocol: Builtin) -> Self {
        Self::with(service(), protocol, ends())
    }

    fn with(service: Service, protocol: Builtin, ends: Ends) -> Self {
        let parser = protocol.parser(&Limits::default());
        Self { connection: Connection::new(Arc::new(service), parser, ends), spans: Vec::new(), millis: 1000 }
    }

    fn now(&mut self) -> UnixNanos {
        self.millis += 1;
        UnixNanos::from_millis(self.millis)
    }

    fn feed(&mut self, direction: Direction, bytes: impl AsRef<[u8]>) -> &mut Self {
        let chunk = Chunk::new(direction, self.now(), bytes.as_ref());
        self.connection.feed(chunk, &mut |span| self.spans.push(span));
        self.check()
    }

    fn close(&mut self, direction: Direction) -> &mut Self {
        let now = self.now();
        self.connection.close(direction, now, &mut |span| self.spans.push(span));
        self.check()
    }

    fn finish(&mut self, ending: Ending) -> &mut Self {
        let now = self.now();
        self.connection.finish(now, ending, &mut |span| self.spans.push(span));
        self.check();
        assert_eq!(self.connection.account().in_progress, 0);
        self
    }

    /// Both identities hold, and the spans counted are those given out.
    fn check(&mut self) -> &mut Self {
        let account = self.connection.account();
        assert!(account.is_balanced(), "{account:?}");
        assert_eq!(account.spans, self.spans.len() as u64);
        self
    }
}

fn text(span: &Span) -> String {
    let mut text = format!(
        "{} {:?} {}..{} {:?}\ntrace {} span {} parent {} flags {:#x} state {:?}\n",
        span.name,
        span.kind,
        span.start.0 / 1_000_000,
        span.end.0 / 1_000_000,
        span.status.code,
        span.trace_id,
        span.span_id,
        span.parent_span_id,
        span.flags,
        span.trace_state,
    );
    for attribute in &span.attributes {
        let value = match &attribute.value {
            AnyValue::String(text) => format!("{text:?}"),
            AnyValue::Int(number) => number.to_string(),
            other => format!("{other:?}"),
        };
        writeln!(text, "  {} = {value}", attribute.key).unwrap();
    }
    text
}

#[test]
fn an_http_exchange_becomes_this_span() {
    let mut watched = Watched::new(Builtin::Http1);
    watched
        .feed(ToServer, "POST /cart/7?item=9&token=s3cret HTTP/1.1\r\nHost: shop.test:8080\r\n")
        .feed(
            ToServer,
            "User-Agent: curl/8\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n",
        )
        .feed(ToServer, "tracestate: a=1\r\ntracestate: b=2\r\nContent-Length: 4\r\n\r\nbody")
        .feed(ToClient, "HTTP/1.1 503 Unavailable\r\nContent-Length: 3\r\n\r\nno")
        .feed(ToClient, "!");
    let expected = r#"POST Server 1001..1005 Error
trace 4bf92f3577b34da6a3ce929d0e0e4736 span 63cbe1e459320dd7 parent 00f067aa0ba902b7 flags 0x301 state "a=1,b=2"
  http.request.method = "POST"
  url.scheme = "http"
  url.path = "/cart/7"
  url.query = "item=9&token=REDACTED"
  server.address = "shop.test"
  server.port = 8080
  network.protocol.name = "http"
  network.protocol.version = "1.1"
  user_agent.original = "curl/8"
  client.address = "10.0.0.7"
  client.port = 40000
  network.peer.address = "10.0.0.7"
  network.peer.port = 40000
  http.response.status_code = 503
  http.response.body.size = 3
  error.type = "503"
  http.request.body.size = 4
"#;
    assert_eq!(text(&watched.spans[0]), expected);
}

#[test]
fn a_redis_command_becomes_this_span() {
    let ends = ends().with_caller(Some("order".into()));
    let mut watched = Watched::with(service(), Builtin::Redis, ends);
    watched
        .feed(ToServer, "*3\r\n$4\r\nHSET\r\n$9\r\nsecretkey\r\n")
        .feed(ToServer, "$3\r\nval\r\n")
        .feed(ToClient, "-WRONGTYPE Operation against secretkey\r\n");
    let expected = r#"HSET Server 1001..1003 Error
trace 044c3cd7f43c661ce6984080bab12a02 span 63cbe1e459320dd7 parent 0000000000000000 flags 0x1 state ""
  db.system.name = "redis"
  db.operation.name = "HSET"
  db.query.text = "HSET ? ?"
  server.address = "10.0.0.1"
  server.port = 8080
  client.address = "10.0.0.7"
  client.port = 40000
  network.peer.address = "10.0.0.7"
  network.peer.port = 40000
  service.peer.name = "order"
  db.response.status_code = "WRONGTYPE"
  error.type = "WRONGTYPE"
"#;
    assert_eq!(text(&watched.spans[0]), expected);
}

fn value<'a>(span: &'a Span, key: &str) -> Option<&'a AnyValue> {
    KeyValue::find(&span.attributes, key)
}

/// The span of one request that is answered 200.
fn http_span(request: &str) -> Span {
    let mut watched = Watched::new(Builtin::Http1);
    watched.feed(ToServer, request).feed(ToClient, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(watched.spans.len(), 1, "{request:?}");
    watched.spans.remove(0)
}

#[test]
fn unknown_methods_are_other_with_the_original_beside() {
    let span = http_span("BREW /pot HTTP/1.1\r\n\r\n");
    assert_eq!(span.name, "HTTP");
    assert_eq!(value(&span, "http.request.method"), Some(&AnyValue::from("_OTHER")));
    assert_eq!(value(&span, "http.request.method_original"), Some(&AnyValue::from("BREW")));
    let span = http_span("get / HTTP/1.1\r\n\r\n");
    assert_eq!(value(&span, "http.request.method"), Some(&AnyValue::from("_OTHER")), "methods know case");
}

#[test]
fn targets_of_every_form_are_taken_apart() {
    let cases = [
        ("GET /a/b?c=d#e HTTP/1.1\r\nHost: x", Some("/a/b"), Some("c=d"), "x"),
        ("GET http://user:pw@y:81?c=d HTTP/1.1\r\nHost: x", Some("/"), Some("c=d"), "y"),
        ("GET /go?to=http://z/ HTTP/1.1\r\nHost: x", Some("/go"), Some("to=http://z/"), "x"),
        ("OPTIONS * HTTP/1.1\r\nHost: x", Some("*"), None, "x"),
        ("GET / HTTP/1.0", Some("/"), None, "10.0.0.1"),
        ("GET / HTTP/1.1\r\nHost: not a host", Some("/"), None, "10.0.0.1"),
    ];
    for (request, path, query, server) in cases {
        let span = http_span(&format!("{request}\r\n\r\n"));
        assert_eq!(value(&span, "url.path").and_then(AnyValue::as_str), path, "{request:?}");
        assert_eq!(value(&span, "url.query").and_then(AnyValue::as_str), query, "{request:?}");
        assert_eq!(value(&span, "server.address").and_then(AnyValue::as_str), Some(server), "{request:?}");
    }
}

#[test]
fn no_canary_leaves_under_the_default() {
    let canary = "s3cr3t";
    let request = format!(
        "POST /login?password={canary}&Token={canary}&a=1 HTTP/1.1\r\nAuthorization: Bearer {canary}\r\nCookie: id={canary}\r\nContent-Length: 6\r\n\r\n{canary}"
    );
    assert!(!format!("{:?}", http_span(&request)).contains(canary));
    let mut redis = Watched::new(Builtin::Redis);
    redis.feed(ToServer, format!("AUTH {canary}\r\nSET {canary} {canary}\r\n"));
    redis.feed(ToClient, format!("-WRONGPASS {canary}\r\n-ERR {canary} {canary}\r\n"));
    assert_eq!(redis.spans.len(), 2);
    assert!(!format!("{:?}", redis.spans).contains(canary));
    // The twin: a redactor that masks nothing lets it through.
    let open = service().redactor(Redactor::new(Vec::<String>::new()));
    let mut watched = Watched::with(open, Builtin::Http1, ends());
    watched.feed(ToServer, &request).feed(ToClient, "HTTP/1.1 204 x\r\n\r\n");
    assert!(format!("{:?}", watched.spans).contains(canary));
}

#[test]
fn only_one_valid_traceparent_continues_a_trace() {
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let trace = |headers: &str| {
        let span = http_span(&format!("GET / HTTP/1.1\r\n{headers}\r\n"));
        (span.trace_id.to_string(), span.parent_span_id.is_valid(), span.flags)
    };
    let continued = ("4bf92f3577b34da6a3ce929d0e0e4736".to_owned(), true, 0x300);
    assert_eq!(trace(&format!("TraceParent:  {good} \r\n")), continued);
    let wrong = [
        format!("traceparent: {good}\r\ntraceparent: {good}\r\n"),
        format!("traceparent: {good}-00\r\n"),
        format!("traceparent: {}\r\n", good.to_uppercase()),
        "traceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01\r\n".to_owned(),
    ];
    for headers in wrong {
        let (trace, has_parent, flags) = trace(&headers);
        assert_ne!(trace, continued.0, "{headers:?}");
        assert!(!has_parent && flags == 1, "{headers:?}");
    }
}

#[test]
fn a_request_finds_the_request_that_caused_it() {
    let table = Arc::new(JoinTable::default());
    let order = service().join(Arc::clone(&table));
    let mut caller = Watched::with(order, Builtin::Http1, ends());
    caller.feed(
        ToServer,
        "GET /order HTTP/1.1\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n",
    );
    assert_eq!(table.len(), 1);

    let from = |name: &str| ends().with_caller(Some(name.into()));
    let stock = || Service::new("stock", Arc::new(IdSource::seeded(9))).join(Arc::clone(&table));
    let mut redis = Watched::with(stock(), Builtin::Redis, from("shop"));
    redis.feed(ToServer, "PING\r\n").feed(ToClient, "+PONG\r\n");
    let mut http = Watched::with(stock(), Builtin::Http1, from("shop"));
    http.feed(
        ToServer,
        "GET /1 HTTP/1.1\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-01\r\n\r\n",
    );
    http.feed(ToClient, "HTTP/1.1 204 x\r\n\r\n");
    let mut elsewhere = Watched::with(stock(), Builtin::Http1, from("shop"));
    elsewhere.feed(
        ToServer,
        "GET /2 HTTP/1.1\r\ntraceparent: 00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-1111111111111111-01\r\n\r\n",
    );
    elsewhere.feed(ToClient, "HTTP/1.1 204 x\r\n\r\n");

    caller.feed(ToClient, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert!(table.is_empty());
    let parent = &caller.spans[0];
    for child in [&redis.spans[0], &http.spans[0]] {
        assert_eq!((child.trace_id, child.parent_span_id), (parent.trace_id, parent.span_id));
        assert_eq!(value(child, "service.peer.name").and_then(AnyValue::as_str), Some("shop"));
    }
    assert_eq!(elsewhere.spans[0].parent_span_id.to_string(), "1111111111111111", "not that trace");
    let counts = |watched: &Watched| watched.connection.account().join;
    assert_eq!((counts(&redis).sole, counts(&http).by_trace, counts(&elsewhere).absent), (1, 1, 1));
    assert_eq!(counts(&caller).caller_unknown, 1);
}

#[test]
fn several_possible_causes_are_counted_and_none_is_chosen() {
    let table = Arc::new(JoinTable::default());
    let shop = || service().join(Arc::clone(&table));
    let mut callers = [0, 1].map(|_| Watched::with(shop(), Builtin::Http1, ends()));
    for caller in &mut callers {
        caller.feed(ToServer, "GET / HTTP/1.1\r\n\r\n");
    }
    let mut redis = Watched::with(shop(), Builtin::Redis, ends().with_caller(Some("shop".into())));
    redis.feed(ToServer, "PING\r\n").feed(ToClient, "+PONG\r\n");
    assert!(!redis.spans[0].parent_span_id.is_valid());
    assert_eq!(redis.connection.account().join.ambiguous, 1);
    drop(callers);
    assert!(table.is_empty(), "a connection that is dropped leaves nothing in the table");
}

#[test]
fn responses_that_never_come_are_failed_spans() {
    let cases = [(Ending::Closed, "connection_closed"), (Ending::Reset, "connection_reset")];
    for (ending, error) in cases {
        let mut watched = Watched::new(Builtin::Http1);
        watched.feed(ToServer, "GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n");
        watched.feed(ToClient, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").finish(ending);
        let errors: Vec<_> = watched
            .spans
            .iter()
            .map(|span| value(span, "error.type").and_then(AnyValue::as_str).unwrap())
            .collect();
        assert_eq!(errors, ["response_truncated", error]);
        assert!(watched.spans.iter().all(|span| span.status.code == StatusCode::Error));
        assert_eq!(value(&watched.spans[0], "http.response.body.size"), None, "not known");
    }
}

#[test]
fn what_is_in_flight_at_a_shutdown_is_lost_and_counted() {
    let mut watched = Watched::new(Builtin::Http1);
    watched.feed(ToServer, "GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n").finish(Ending::Shutdown);
    let account = watched.connection.account();
    assert_eq!((account.requests, account.spans, account.lost.shutdown), (2, 0, 2));
}

#[test]
fn a_server_that_closes_fails_what_waits_at_once() {
    let mut watched = Watched::new(Builtin::Redis);
    watched.feed(ToServer, "PING\r\n").close(ToClient).close(ToServer);
    assert_eq!(watched.spans.len(), 1);
    assert!(watched.spans[0].is_error());
}

#[test]
fn after_a_refused_request_nothing_is_paired_with_the_wrong_response() {
    let mut watched = Watched::new(Builtin::Http1);
    watched.feed(ToServer, "GET /1 HTTP/1.1\r\n\r\nBAD\r\n\r\nGET /3 HTTP/1.1\r\n\r\n");
    watched.feed(ToClient, "HTTP/1.1 201 x\r\nContent-Length: 0\r\n\r\n");
    watched.feed(
        ToClient,
        "HTTP/1.1 400 x\r\nContent-Length: 0\r\n\r\nHTTP/1.1 203 x\r\nContent-Length: 0\r\n\r\n",
    );
    watched.feed(ToServer, "GET /4 HTTP/1.1\r\n\r\n");
    watched.feed(ToClient, "HTTP/1.1 204 x\r\n\r\n").finish(Ending::Closed);
    let account = watched.connection.account();
    assert_eq!(watched.spans.len(), 1);
    assert_eq!(value(&watched.spans[0], "http.response.status_code").and_then(AnyValue::as_int), Some(201));
    assert_eq!((account.requests, account.lost.malformed_request, account.lost.desync), (4, 1, 2));
    assert_eq!((account.responses, account.paired, account.unpaired.desync), (4, 1, 3));
}

#[test]
fn a_client_that_waits_is_followed_again_after_a_refused_request() {
    let mut watched = Watched::new(Builtin::Http1);
    watched.feed(ToServer, "BAD\r\n\r\n").feed(ToClient, "HTTP/1.1 400 x\r\nContent-Length: 0\r\n\r\n");
    watched.feed(ToServer, "HEAD /2 HTTP/1.1\r\n\r\n");
    watched.feed(ToClient, "HTTP/1.1 200 x\r\nContent-Length: 9\r\n\r\n");
    watched.feed(ToServer, "GET /3 HTTP/1.1\r\n\r\n").feed(ToClient, "HTTP/1.1 204 x\r\n\r\n");
    let paths: Vec<_> =
        watched.spans.iter().map(|span| value(span, "url.path").and_then(AnyValue::as_str)).collect();
    assert_eq!(paths, [Some("/2"), Some("/3")]);
    assert!(watched.spans.iter().all(|span| !span.is_error()));
}

#[test]
fn a_malformed_response_is_counted_and_the_next_request_followed() {
    for (protocol, request, bad, good) in [
        (Builtin::Http1, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 banana\r\n\r\n", "HTTP/1.1 204 x\r\n\r\n"),
        (Builtin::Redis, "PING\r\n", "banana\r\n", "+PONG\r\n"),
    ] {
        let mut watched = Watched::new(protocol);
        watched.feed(ToServer, request).feed(ToClient, bad).feed(ToServer, request).feed(ToClient, good);
        let account = watched.connection.account();
        assert_eq!(
            (account.requests, account.spans, account.lost.malformed_response),
            (2, 1, 1),
            "{protocol:?}"
        );
        assert_eq!((account.responses, account.unpaired.malformed), (2, 1), "{protocol:?}");
    }
}

#[test]
fn subscriptions_and_pushes_do_not_shift_the_answers() {
    let mut watched = Watched::new(Builtin::Redis);
    watched.feed(ToServer, "HELLO 3\r\nSUBSCRIBE a b\r\nGET x\r\n");
    watched.feed(
        ToClient,
        "%1\r\n+proto\r\n:3\r\n>3\r\n+subscribe\r\n+a\r\n:1\r\n>3\r\n+message\r\n+a\r\n+hi\r\n",
    );
    watched.feed(ToClient, ">3\r\n+subscribe\r\n+b\r\n:2\r\n>2\r\n+invalidate\r\n*1\r\n+x\r\n-ERR last\r\n");
    let names: Vec<_> = watched.spans.iter().map(|span| (span.name.as_str(), span.is_error())).collect();
    assert_eq!(names, [("HELLO", false), ("SUBSCRIBE", false), ("GET", true)]);
    let account = watched.connection.account();
    assert_eq!((account.responses, account.paired, account.pushes), (4, 4, 2));
}

#[test]
fn the_database_is_told_once_it_was_selected() {
    let mut watched = Watched::new(Builtin::Redis);
    watched.feed(ToServer, "GET a\r\n").feed(ToClient, "$-1\r\n");
    watched.feed(ToServer, "SELECT 3\r\nGET a\r\n").feed(ToClient, "+OK\r\n$-1\r\n");
    watched
        .feed(ToServer, "GET a\r\nselect 99\r\n")
        .feed(ToClient, "$-1\r\n-ERR DB index is out of range\r\n");
    watched.feed(ToServer, "GET a\r\n").feed(ToClient, "$-1\r\n");
    // In a transaction it is not told when it takes effect.
    watched.feed(ToServer, "MULTI\r\nSELECT 4\r\nEXEC\r\nGET a\r\n");
    watched.feed(ToClient, "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n$-1\r\n");
    let told: Vec<_> = watched
        .spans
        .iter()
        .map(|span| (span.name.as_str(), value(span, "db.namespace").and_then(AnyValue::as_str)))
        .collect();
    let three = Some("3");
    assert_eq!(told[..3], [("GET", None), ("SELECT", None), ("GET", None)], "its answer was not there yet");
    assert_eq!(told[3..7], [("GET", three), ("select", three), ("GET", three), ("MULTI", three)]);
    assert_eq!(told[7..], [("SELECT", three), ("EXEC", None), ("GET", None)]);
}

#[test]
fn a_database_selected_in_a_hole_is_not_told() {
    let mut watched = Watched::new(Builtin::Redis);
    watched.feed(ToServer, "SELECT 3\r\n").feed(ToClient, "+OK\r\n");
    let holed = Chunk::new(ToServer, watched.now(), b"").after_gap(30);
    watched.connection.feed(holed, &mut |_| {});
    watched.feed(ToClient, "+OK\r\n");
    watched.feed(ToServer, "*2\r\n$3\r\nGET\r\n$1\r\na\r\n").feed(ToClient, "$-1\r\n");
    assert_eq!(watched.spans[1].name, "GET");
    assert_eq!(value(&watched.spans[1], "db.namespace"), None);
}

#[test]
fn response_headers_are_shown_by_name_and_secrets_masked() {
    let redaction = Redaction::default().response_header("X-Cache").response_header("set-cookie");
    for (redaction, shown) in [(redaction, ["HIT", "REDACTED"].map(Some)), (Redaction::default(), [None; 2])]
    {
        let mut watched = Watched::with(service().redaction(redaction), Builtin::Http1, ends());
        watched.feed(ToServer, "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
        watched.feed(ToClient, "HTTP/1.1 103 x\r\nX-Cache: EARLY\r\n\r\nHTTP/1.1 200 x\r\nx-cache: HIT\r\n");
        watched.feed(ToClient, "Set-Cookie: s3cret\r\nServer: x\r\nContent-Length: 1\r\n\r\na");
        watched.feed(ToClient, "HTTP/1.1 204 x\r\n\r\n");
        let header = |span: &Span, name: &str| match value(span, &format!("http.response.header.{name}")) {
            Some(AnyValue::Array(values)) => values[0].as_str().map(str::to_owned),
            _ => None,
        };
        let met = ["x-cache", "set-cookie"].map(|name| header(&watched.spans[0], name));
        assert_eq!(met.each_ref().map(Option::as_deref), shown);
        assert_eq!(header(&watched.spans[1], "x-cache"), None, "those of another response");
        assert!(!format!("{:?}", watched.spans).contains("http.response.header.server"));
    }
}

#[test]
fn commands_without_a_reply_are_spans_of_their_own() {
    let mut watched = Watched::new(Builtin::Redis);
    watched.feed(ToServer, "CLIENT REPLY OFF\r\nSET a b\r\nCLIENT REPLY ON\r\nGET a\r\n");
    assert_eq!(watched.spans.len(), 2, "the two that get none");
    watched.feed(ToClient, "+OK\r\n-ERR x\r\n");
    assert!(!watched.spans[2].is_error() && watched.spans[3].is_error());
}

#[test]
fn an_early_answer_ends_the_span_before_the_body_does() {
    let mut watched = Watched::new(Builtin::Http1);
    watched.feed(ToServer, "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nab");
    watched.feed(ToClient, "HTTP/1.1 413 x\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(value(&watched.spans[0], "http.request.body.size"), None);
    watched.feed(ToServer, "cdefghiGET / HTTP/1.1\r\n\r\n").feed(ToClient, "HTTP/1.1 204 x\r\n\r\n");
    assert_eq!(value(&watched.spans[1], "http.request.body.size").and_then(AnyValue::as_int), Some(0));
}

#[test]
fn a_clock_that_goes_backwards_makes_no_span_negative() {
    let mut watched = Watched::new(Builtin::Redis);
    watched.feed(ToServer, "PING\r\n");
    watched.millis = 5;
    watched.feed(ToClient, "+PONG\r\n");
    assert_eq!(watched.spans[0].start, watched.spans[0].end);
}

#[test]
fn requests_beyond_the_limit_are_counted_and_the_rest_is_right() {
    let limits = Limits::default().max_in_flight(3);
    let mut watched = Watched::with(service().limits(limits), Builtin::Redis, ends());
    watched.feed(ToServer, "GET 1\r\nGET 2\r\nGET 3\r\nGET 4\r\nGET 5\r\n");
    watched.feed(ToClient, ":1\r\n:2\r\n:3\r\n-ERR 4\r\n-ERR 5\r\n");
    watched.feed(ToServer, "GET 6\r\n").feed(ToClient, ":6\r\n");
    let account = watched.connection.account();
    assert_eq!((account.spans, account.lost.in_flight_limit, account.unpaired.in_flight_limit), (4, 2, 2));
    assert!(watched.spans.iter().all(|span| !span.is_error()), "no span got another's error");
}

#[test]
fn an_unknown_protocol_is_passed_over_and_counted() {
    let parser = Box::new(Inferring::new(Limits::default()));
    let mut connection = Connection::new(Arc::new(service()), parser, ends());
    let mut feed = |direction, bytes: &[u8]| {
        connection.feed(Chunk::new(direction, UnixNanos(1), bytes), &mut |_| unreachable!("no span"));
        connection.account()
    };
    feed(ToServer, b"\x16\x03\x01\x00");
    let account = feed(ToClient, b"\x15\x03");
    assert_eq!((account.requests, account.refused), (0, 1));
    assert_eq!((account.unparsed_to_server, account.unparsed_to_client), (4, 2));
}

/// Requests that say in their path which status they get, so that a wrong pair shows.
fn talk() -> impl Strategy<Value = Vec<(bool, u16)>> {
    vec((any::<bool>(), 200..600_u16), 1..20)
}

/// Checks that each span has the response that its request asked for.
fn rightly_paired(spans: &[Span]) -> bool {
    spans.iter().filter(|span| value(span, "http.response.status_code").is_some()).all(|span| {
        let asked =
            value(span, "url.path").and_then(AnyValue::as_str).and_then(|path| path.strip_prefix('/'));
        let status = value(span, "http.response.status_code").and_then(AnyValue::as_int);
        asked.and_then(|asked| asked.parse().ok()) == status
    })
}

fn exchange(status: u16) -> [String; 2] {
    let length = if matches!(status, 204 | 304) { 0 } else { status % 7 };
    let body = "x".repeat(length.into());
    [
        format!("GET /{status} HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n\r\n{body}"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn accounts_balance_and_pairs_are_right_at_every_chunk(
        talk in talk(), cut in 1..60_usize, holes in vec((0..4000_usize, 1..80_usize), 0..4),
    ) {
        // A client that waits for each answer; now and then bytes are lost, as a capture may lose them.
        let mut watched = Watched::new(Builtin::Http1);
        let mut at = 0;
        for (_, status) in &talk {
            for (direction, text) in [ToServer, ToClient].into_iter().zip(exchange(*status)) {
                let mut missing = 0;
                for piece in text.as_bytes().chunks(cut) {
                    at += piece.len();
                    if holes.iter().any(|(from, length)| (*from..from + length).contains(&at)) {
                        missing += piece.len() as u64;
                        continue;
                    }
                    let chunk = Chunk::new(direction, watched.now(), piece).after_gap(std::mem::take(&mut missing));
                    watched.connection.feed(chunk, &mut |span| watched.spans.push(span));
                    watched.check();
                }
                if missing > 0 {
                    let chunk = Chunk::new(direction, watched.now(), b"").after_gap(missing);
                    watched.connection.feed(chunk, &mut |span| watched.spans.push(span));
                    watched.check();
                }
            }
        }
        watched.finish(Ending::Closed);
        if holes.is_empty() {
            prop_assert_eq!(watched.spans.len(), talk.len());
        }
        prop_assert!(rightly_paired(&watched.spans), "{:?}", watched.spans);
    }

    #[test]
    fn pipelined_requests_get_their_own_responses(talk in talk(), cut in 1..60_usize) {
        let mut watched = Watched::new(Builtin::Http1);
        let [requests, responses] = talk.iter().map(|(_, status)| exchange(*status)).fold(
            [String::new(), String::new()],
            |[requests, responses], [request, response]| [requests + &request, responses + &response],
        );
        for (direction, text) in [(ToServer, requests), (ToClient, responses)] {
            for piece in text.as_bytes().chunks(cut) {
                watched.feed(direction, piece);
            }
        }
        prop_assert_eq!(watched.spans.len(), talk.len());
        prop_assert!(rightly_paired(&watched.spans));
    }

    #[test]
    fn garbage_keeps_the_account_balanced(
        pieces in vec((stream::direction(), "[\r\n*$:+%>0-3GETHP/ .1-]{0,60}"), 1..12), redis: bool,
    ) {
        let mut watched = Watched::new(if redis { Builtin::Redis } else { Builtin::Http1 });
        for (direction, text) in &pieces {
            watched.feed(*direction, text);
        }
        watched.finish(Ending::Reset);
    }
}

#[test]
fn the_checks_notice_a_wrong_pair_and_a_forgotten_count() {
    let mut watched = Watched::new(Builtin::Http1);
    let ([first, _], [_, second]) = (exchange(200), exchange(404));
    watched.feed(ToServer, first).feed(ToClient, second);
    assert!(!rightly_paired(&watched.spans));
    let mut account = watched.connection.account();
    account.spans -= 1;
    assert!(!account.is_balanced());
    let mut account = watched.connection.account();
    account.unpaired.not_asked += 1;
    assert!(!account.is_balanced());
    assert!(TraceId::INVALID != watched.spans[0].trace_id);
}
