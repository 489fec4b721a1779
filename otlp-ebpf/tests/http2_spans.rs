//! What spans say of HTTP/2 and gRPC, attribute by attribute.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]

mod frames;
mod stream;

use std::fmt::Write;
use std::sync::Arc;

use frames::{DATA, END_HEADERS, END_STREAM, Encoder, HEADERS, RESET, frame, opening};
use otlp_core::UnixNanos;
use otlp_core::record::{AnyValue, Span};
use otlp_ebpf::parse::infer::{Builtin, Protocol};
use otlp_ebpf::parse::{Chunk, Direction};
use otlp_ebpf::{Connection, Ending, Ends, IdSource, Limits, Role, Service};
use stream::{ToClient, ToServer};

const BOTH: u8 = END_HEADERS | END_STREAM;
const PARENT: (&str, &str) = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");

/// A connection that both ends say headers on, and its clock: a millisecond a step.
struct Watched {
    connection: Connection,
    spans: Vec<Span>,
    millis: u64,
    encoders: [Encoder; 2],
}

impl Watched {
    fn new(role: Role) -> Self {
        Self::with(role, &Limits::default())
    }

    fn with(role: Role, limits: &Limits) -> Self {
        let ends = Ends::new(([10, 0, 0, 7], 40_000).into(), ([10, 0, 0, 1], 8080).into()).seen_by(role);
        let service = Service::new("shop", Arc::new(IdSource::seeded(7))).limits(limits.clone());
        let connection = Connection::new(Arc::new(service), Builtin::Http2.parser(limits), ends);
        let mut watched =
            Self { connection, spans: Vec::new(), millis: 1000, encoders: [Encoder::new(), Encoder::new()] };
        opening().into_iter().for_each(|(direction, bytes)| {
            watched.feed(direction, &bytes);
        });
        watched.millis = 1000;
        watched
    }

    fn feed(&mut self, direction: Direction, bytes: &[u8]) -> &mut Self {
        self.millis += 1;
        let chunk = Chunk::new(direction, UnixNanos::from_millis(self.millis), bytes);
        self.connection.feed(chunk, &mut |span| self.spans.push(span));
        assert!(self.connection.account().is_balanced());
        self
    }

    fn says(
        &mut self,
        direction: Direction,
        (flags, stream): (u8, u32),
        fields: &[(&str, &str)],
    ) -> &mut Self {
        let block = self.encoders[usize::from(direction == ToClient)].usual(fields);
        self.feed(direction, &frame(HEADERS, flags, stream, &block))
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for span in &self.spans {
            let (start, end) = (span.start.0 / 1_000_000, span.end.0 / 1_000_000);
            writeln!(text, "{} {:?} {start}..{end} {:?}", span.name, span.kind, span.status.code).unwrap();
            writeln!(text, "trace {} parent {} {:?}", span.trace_id, span.parent_span_id, span.trace_state)
                .unwrap();
            for attribute in &span.attributes {
                let value = match &attribute.value {
                    AnyValue::String(text) => format!("{text:?}"),
                    AnyValue::Int(number) => number.to_string(),
                    other => format!("{other:?}"),
                };
                writeln!(text, "  {} = {value}", attribute.key).unwrap();
            }
        }
        text
    }
}

#[test]
fn an_http2_exchange_becomes_this_span() {
    let mut watched = Watched::new(Role::Server);
    watched
        .says(
            ToServer,
            (END_HEADERS, 1),
            &[
                (":method", "POST"),
                (":scheme", "https"),
                (":path", "/cart/7?item=9&token=s3cret"),
                (":authority", "me:s3cret@shop.test:8443"),
                ("authorization", "Bearer s3cret"),
                ("cookie", "session=s3cret"),
                ("user-agent", "curl/8"),
                PARENT,
                ("tracestate", "a=1"),
                ("tracestate", "b=2"),
            ],
        )
        .feed(ToServer, &frame(DATA, END_STREAM, 1, b"body"))
        .says(ToClient, (END_HEADERS, 1), &[(":status", "503"), ("set-cookie", "session=s3cret")])
        .feed(ToClient, &frame(DATA, END_STREAM, 1, b"no!"));
    let expected = r#"POST Server 1001..1004 Error
trace 4bf92f3577b34da6a3ce929d0e0e4736 parent 00f067aa0ba902b7 "a=1,b=2"
  http.request.method = "POST"
  url.scheme = "https"
  url.path = "/cart/7"
  url.query = "item=9&token=REDACTED"
  server.address = "shop.test"
  server.port = 8443
  network.protocol.name = "http"
  network.protocol.version = "2"
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
    assert_eq!(watched.text(), expected);
}

fn call(watched: &mut Watched, stream: u32, code: &str) {
    watched
        .says(
            ToServer,
            (END_HEADERS, stream),
            &[
                (":method", "POST"),
                (":scheme", "http"),
                (":path", "/shop.v1.Cart/Add"),
                (":authority", "shop.test"),
                ("te", "trailers"),
                ("content-type", "application/grpc+proto"),
                ("user-agent", "grpc-go/1"),
                ("x-canary", "s3cret"),
                ("b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1"),
            ],
        )
        .feed(ToServer, &frame(DATA, END_STREAM, stream, b"\0\0\0\0\x06s3cret"))
        .says(
            ToClient,
            (END_HEADERS, stream),
            &[(":status", "200"), ("content-type", "application/grpc+proto")],
        )
        .feed(ToClient, &frame(DATA, 0, stream, b"\0\0\0\0\x06s3cret"))
        .says(ToClient, (BOTH, stream), &[("grpc-status", code), ("grpc-message", "s3cret")]);
}

#[test]
fn a_grpc_call_becomes_this_span() {
    let mut watched = Watched::new(Role::Server);
    call(&mut watched, 1, "13");
    let expected = r#"shop.v1.Cart/Add Server 1001..1005 Error
trace 80f198ee56343ba864fe8b2a57d3eff7 parent e457b5a2e4d86bd1 ""
  rpc.system.name = "grpc"
  rpc.method = "shop.v1.Cart/Add"
  server.address = "shop.test"
  network.protocol.name = "http"
  network.protocol.version = "2"
  user_agent.original = "grpc-go/1"
  client.address = "10.0.0.7"
  client.port = 40000
  network.peer.address = "10.0.0.7"
  network.peer.port = 40000
  rpc.response.status_code = "INTERNAL"
  error.type = "INTERNAL"
"#;
    assert_eq!(watched.text(), expected);
}

fn outcome(span: &Span) -> (Option<&str>, Option<&str>) {
    let text = |key: &str| {
        span.attributes
            .iter()
            .find(|attribute| attribute.key == key)
            .and_then(|attribute| attribute.value.as_str())
    };
    (text("rpc.response.status_code"), text("error.type"))
}

#[test]
fn which_status_is_an_error_depends_on_the_end_that_the_span_is_of() {
    for (code, name, server, client) in [
        ("0", "OK", false, false),
        ("1", "CANCELLED", false, true),
        ("5", "NOT_FOUND", false, true),
        ("14", "UNAVAILABLE", true, true),
        ("99", "99", true, true),
    ] {
        for (role, failed) in [(Role::Server, server), (Role::Client, client)] {
            let mut watched = Watched::new(role);
            call(&mut watched, 1, code);
            let (status, error) = outcome(&watched.spans[0]);
            assert_eq!((status, error.is_some()), (Some(name), failed), "{code} {role:?}");
            assert_eq!(watched.spans[0].is_error(), failed);
        }
    }
}

#[test]
fn a_call_that_brings_no_status_has_that_of_http_or_none() {
    let ask =
        [(":method", "POST"), (":scheme", "http"), (":path", "/a.B/C"), ("content-type", "application/grpc")];
    for (status, expected) in [
        ("200", (Some("UNKNOWN"), Some("UNKNOWN"))),
        ("503", (Some("UNAVAILABLE"), Some("UNAVAILABLE"))),
        ("401", (Some("UNAUTHENTICATED"), None)),
    ] {
        let mut watched = Watched::new(Role::Server);
        watched.says(ToServer, (BOTH, 1), &ask).says(ToClient, (BOTH, 1), &[(":status", status)]);
        assert_eq!(outcome(&watched.spans[0]), expected, "{status}");
    }
    let mut watched = Watched::new(Role::Server);
    watched.says(ToServer, (BOTH, 1), &ask).feed(ToServer, &frame(RESET, 0, 1, &[0, 0, 0, 8]));
    assert_eq!(outcome(&watched.spans[0]), (None, Some("cancel")));
    // Where trailers may have been missed, nothing is said of them.
    let mut watched = Watched::new(Role::Server);
    watched.says(ToServer, (BOTH, 1), &ask).says(ToClient, (END_HEADERS, 1), &[(":status", "200")]);
    let chunk = Chunk::new(ToClient, UnixNanos::from_millis(2000), b"").after_gap(100);
    watched.connection.feed(chunk, &mut |_| {});
    let Watched { connection, spans, .. } = &mut watched;
    connection.finish(UnixNanos::from_millis(3000), Ending::Closed, &mut |span| spans.push(span));
    assert_eq!((outcome(&spans[0]), spans[0].is_error()), ((None, None), false));
    assert!(spans[0].attributes.iter().any(|attribute| attribute.key == "otlp.capture.gap"));
}

#[test]
fn a_context_is_read_from_the_table_of_a_connection_used_again() {
    let limits = Limits::default().max_requests_per_parent(100);
    let mut watched = Watched::with(Role::Server, &limits);
    let ask = [(":method", "GET"), (":scheme", "http"), (":path", "/"), PARENT];
    let mut lengths = Vec::new();
    for number in 0..20 {
        let block = watched.encoders[0].usual(&ask);
        lengths.push(block.len());
        watched.feed(ToServer, &frame(HEADERS, BOTH, 2 * number + 1, &block));
        watched.says(ToClient, (BOTH, 2 * number + 1), &[(":status", "204")]);
    }
    assert_eq!(lengths[1..], [4; 19], "an index each");
    assert_eq!(watched.spans.len(), 20);
    assert!(watched.spans.iter().all(|span| span.parent_span_id.to_string() == "00f067aa0ba902b7"));
}

#[test]
fn a_context_of_b3_is_read_from_http1_as_well() {
    let service = Service::new("shop", Arc::new(IdSource::seeded(7)));
    let parser = Builtin::Http1.parser(&Limits::default());
    let mut connection = Connection::new(Arc::new(service), parser, Ends::default());
    let mut parents = Vec::new();
    for headers in [
        "X-B3-TraceId: 80f198ee56343ba864fe8b2a57d3eff7\r\nX-B3-SpanId: e457b5a2e4d86bd1\r\nX-B3-Sampled: 1\r\n",
        "B3: 80f198ee56343ba864fe8b2a57d3eff7-05e3ac9a4f6e3b90-d\r\n",
        "b3: 0\r\n",
    ] {
        let request = format!("GET / HTTP/1.1\r\n{headers}\r\n");
        let answer = "HTTP/1.1 204 x\r\n\r\n";
        for (direction, text) in [(ToServer, request.as_str()), (ToClient, answer)] {
            let chunk = Chunk::new(direction, UnixNanos(1), text.as_bytes());
            connection.feed(chunk, &mut |span| {
                parents.push((span.trace_id.to_string(), span.parent_span_id.to_string()));
            });
        }
    }
    let trace = "80f198ee56343ba864fe8b2a57d3eff7";
    assert_eq!(parents[0], (trace.to_owned(), "e457b5a2e4d86bd1".to_owned()));
    assert_eq!(parents[1], (trace.to_owned(), "05e3ac9a4f6e3b90".to_owned()));
    assert_eq!(parents[2].1, "0".repeat(16));
}

#[test]
fn a_thousand_requests_leave_no_secret_in_their_spans() {
    let mut watched = Watched::new(Role::Server);
    for number in 0..500 {
        let path = format!("/pay?token=s3cret{number}&page=1");
        let fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path.as_str()),
            ("authorization", "Basic s3cret"),
            ("cookie", "s3cret"),
        ];
        watched
            .says(ToServer, (END_HEADERS, 4 * number + 1), &fields)
            .feed(ToServer, &frame(DATA, END_STREAM, 4 * number + 1, b"s3cret"))
            .says(ToClient, (END_HEADERS, 4 * number + 1), &[(":status", "200"), ("set-cookie", "s3cret")])
            .feed(ToClient, &frame(DATA, END_STREAM, 4 * number + 1, b"s3cret"));
        call(&mut watched, 4 * number + 3, "3");
    }
    assert_eq!(watched.spans.len(), 1000);
    assert!(!watched.text().contains("s3cret"));
    assert!(watched.text().contains("page=1"), "what is no secret is told");
}
