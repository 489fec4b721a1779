//! Both ends of a connection: the client's span and the server's of one exchange.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::sync::Arc;

use otlp_core::UnixNanos;
use otlp_core::record::{Span, SpanKind};
use otlp_ebpf::join::{Exchanges, JoinTable};
use otlp_ebpf::parse::infer::{Builtin, Protocol};
use otlp_ebpf::parse::{
    Chunk,
    Direction::{self, ToClient, ToServer},
};
use otlp_ebpf::{Connection, Ends, IdSource, Limits, Role, Service};

const HEADER: &str = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";

/// One end of a connection, and its spans.
struct View {
    connection: Connection,
    spans: Vec<Span>,
}

impl View {
    fn new(service: Service, role: Role) -> Self {
        let ends = Ends::new(([10, 0, 0, 7], 40_000).into(), ([10, 0, 0, 1], 80).into()).seen_by(role);
        let parser = Builtin::Http1.parser(&Limits::default());
        Self { connection: Connection::new(Arc::new(service), parser, ends), spans: Vec::new() }
    }

    fn feed(&mut self, direction: Direction, text: &str) -> &mut Self {
        let chunk = Chunk::new(direction, UnixNanos(1), text.as_bytes());
        self.connection.feed(chunk, &mut |span| self.spans.push(span));
        self
    }

    fn lose(&mut self, direction: Direction, missing: u64) -> &mut Self {
        let chunk = Chunk::new(direction, UnixNanos(1), b"").after_gap(missing);
        self.connection.feed(chunk, &mut |span| self.spans.push(span));
        self
    }

    fn exchange(&mut self, headers: &str) -> &mut Self {
        self.feed(ToServer, &format!("GET / HTTP/1.1\r\n{headers}\r\n"));
        self.feed(ToClient, "HTTP/1.1 204 x\r\n\r\n")
    }
}

fn service(name: &str, seed: u64) -> Service {
    Service::new(name, Arc::new(IdSource::seeded(seed)))
}

fn both(table: &Arc<Exchanges>) -> (View, View) {
    let client = View::new(service("shop", 1).exchanges(Arc::clone(table)), Role::Client);
    let server = View::new(service("stock", 2).exchanges(Arc::clone(table)), Role::Server);
    (client, server)
}

fn is_child(child: &Span, parent: &Span) -> bool {
    (child.trace_id, child.parent_span_id) == (parent.trace_id, parent.span_id)
}

#[test]
fn each_exchange_of_a_connection_has_a_client_s_span_above_the_server_s() {
    let table = Arc::new(Exchanges::default());
    let (mut client, mut server) = both(&table);
    for _ in 0..3 {
        client.exchange("");
    }
    for _ in 0..3 {
        server.exchange("");
    }
    for (parent, child) in client.spans.iter().zip(&server.spans) {
        assert!(is_child(child, parent));
        assert_eq!((parent.kind, child.kind), (SpanKind::Client, SpanKind::Server));
    }
    assert_ne!(client.spans[0].trace_id, client.spans[1].trace_id);
    assert_eq!((table.len(), server.connection.account().join.by_exchange), (0, 3));
}

#[test]
fn a_header_counts_for_more_than_the_four_tuple() {
    let (mut client, mut server) = both(&Arc::default());
    client.exchange(HEADER);
    server.exchange(HEADER);
    assert_eq!(server.spans[0].parent_span_id.to_string(), "00f067aa0ba902b7");
    assert_eq!(server.spans[0].trace_id, client.spans[0].trace_id);
}

#[test]
fn views_that_may_count_differently_are_not_joined() {
    let (mut client, mut server) = both(&Arc::default());
    client.exchange("").exchange("");
    server.lose(ToServer, 18).exchange("");
    assert!(
        !server.spans.iter().any(|span| span.parent_span_id.is_valid()),
        "its first is the client's second"
    );
    let (mut client, mut server) = both(&Arc::default());
    server.connection = server.connection.late();
    client.exchange("");
    server.exchange("");
    assert!(!server.spans[0].parent_span_id.is_valid());
    // The twin: seen whole, they are.
    let (mut client, mut server) = both(&Arc::default());
    client.exchange("");
    server.exchange("");
    assert!(is_child(&server.spans[0], &client.spans[0]));
}

#[test]
fn what_a_service_asks_of_others_is_below_the_request_that_it_answers() {
    let table = Arc::new(JoinTable::default());
    let shop = |seed| service("shop", seed).join(Arc::clone(&table));
    let mut inbound = View::new(shop(1), Role::Server);
    inbound.feed(ToServer, "GET /order HTTP/1.1\r\n\r\n");
    let mut outbound = View::new(shop(2), Role::Client);
    outbound.exchange("").exchange("");
    inbound.feed(ToClient, "HTTP/1.1 204 x\r\n\r\n");
    assert!(outbound.spans.iter().all(|span| is_child(span, &inbound.spans[0])));
    assert!(table.is_empty(), "a request of its own is none that it has in flight");
}

#[test]
fn one_traceparent_is_the_parent_of_one_request() {
    let mut view = View::new(service("shop", 1), Role::Server);
    for _ in 0..5 {
        view.exchange(HEADER);
    }
    view.exchange(&HEADER.replace("02b7", "02b8"));
    let [first, again @ .., other] = view.spans.as_slice() else { panic!("six spans") };
    assert_eq!(first.parent_span_id.to_string(), "00f067aa0ba902b7");
    assert!(other.parent_span_id.is_valid() && other.trace_id == first.trace_id);
    for span in again {
        assert!(!span.parent_span_id.is_valid() && span.trace_id != first.trace_id);
        let link = &span.links[0];
        assert_eq!((link.trace_id, link.span_id), (first.trace_id, first.parent_span_id));
    }
    assert_eq!(view.connection.account().join.parent_reused, 4);
    let traces: std::collections::HashSet<_> = again.iter().map(|span| span.trace_id).collect();
    assert_eq!(traces.len(), 4, "no trace grows without end");
}

#[test]
fn more_requests_a_parent_can_be_allowed() {
    let limits = Limits::default().max_requests_per_parent(3);
    let mut view = View::new(service("shop", 1).limits(limits), Role::Server);
    for _ in 0..5 {
        view.exchange(HEADER);
    }
    let children = view.spans.iter().filter(|span| span.parent_span_id.is_valid()).count();
    assert_eq!(children, 3);
}
