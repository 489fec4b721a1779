//! Traces to the graph of services.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that is wrong should stop")]

use std::sync::Arc;
use std::time::Duration;

use otlp_core::assemble::{GraphConfig, Joined, ServiceGraph, Trace};
use otlp_core::record::{KeyValue, Span, SpanKind, StatusCode};
use otlp_core::{SpanId, TraceId, UnixNanos, semconv};

struct Made(Vec<(Arc<str>, Span)>);

impl Made {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn span(mut self, service: &str, id: u8, parent: u8, millis: (u64, u64)) -> Self {
        let span = Span {
            trace_id: TraceId::new([1; 16]),
            span_id: SpanId::new([id; 8]),
            parent_span_id: SpanId::new([parent; 8]),
            kind: SpanKind::Server,
            start: UnixNanos::from_millis(millis.0),
            end: UnixNanos::from_millis(millis.1),
            ..Span::default()
        };
        self.0.push((service.into(), span));
        self
    }

    fn edit(mut self, change: impl FnOnce(&mut Span)) -> Self {
        change(&mut self.0.last_mut().unwrap().1);
        self
    }

    fn failed(self) -> Self {
        self.edit(|span| span.status.code = StatusCode::Error)
    }

    fn kind(self, kind: SpanKind) -> Self {
        self.edit(|span| span.kind = kind)
    }

    fn peer(self, name: &str) -> Self {
        self.edit(|span| span.attributes.push(KeyValue::new(semconv::SERVICE_PEER_NAME, name)))
    }

    fn trace(self) -> Trace {
        Trace::new(TraceId::new([1; 16]), self.0)
    }
}

fn graph_of(traces: &[Trace]) -> ServiceGraph {
    let mut graph = ServiceGraph::default();
    traces.iter().for_each(|trace| graph.add_trace(trace));
    graph
}

fn self_millis(trace: &Trace, service: &str) -> u128 {
    let requests = trace.requests();
    requests.iter().find(|request| request.service == service).unwrap().self_time.as_millis()
}

#[test]
fn edges_come_from_parents_and_else_from_the_peer_name() {
    let trace = Made::new()
        .span("shop", 1, 0, (0, 10))
        .span("db", 2, 1, (2, 5))
        .peer("shop")
        .span("cache", 3, 0, (6, 7))
        .peer("shop")
        .trace();
    let graph = graph_of(std::slice::from_ref(&trace));
    assert!(graph.callees("shop").eq(["db", "cache"]));
    assert!(graph.callers("cache").eq(["shop"]));
    let count = |callee| {
        let edge = graph.edge("shop", callee).unwrap();
        (edge.calls().requests, edge.unjoined().requests)
    };
    assert_eq!((count("db"), count("cache")), ((1, 0), (1, 1)));
    assert_eq!(graph.node("shop").unwrap().from_outside, 1);
    assert_eq!(graph.node("cache").unwrap().from_outside, 0);
    // The call that is tied by name alone stays in the caller's own time.
    assert_eq!(self_millis(&trace, "shop"), 7);
}

#[test]
fn client_spans_are_waiting_not_working() {
    let trace = Made::new()
        .span("shop", 1, 0, (0, 100))
        .span("shop", 2, 1, (10, 60))
        .kind(SpanKind::Internal)
        .span("shop", 3, 2, (20, 50))
        .kind(SpanKind::Client)
        .span("db", 4, 3, (30, 40))
        .trace();
    assert_eq!(trace.requests().len(), 2);
    assert_eq!(self_millis(&trace, "shop"), 70);
    assert_eq!(trace.requests()[1].caller, Some("shop"));
    assert_eq!(trace.requests()[1].joined, Joined::Parent);
}

#[test]
fn a_call_that_nobody_answered_for_is_an_edge_to_its_peer() {
    let trace = Made::new()
        .span("shop", 1, 0, (0, 100))
        .failed()
        .span("shop", 2, 1, (10, 60))
        .kind(SpanKind::Client)
        .peer("bank")
        .failed()
        .trace();
    let graph = graph_of(&[trace]);
    let edge = graph.edge("shop", "bank").unwrap();
    assert_eq!((edge.calls().requests, edge.calls().errors), (1, 1));
    assert_eq!(graph.node("bank").unwrap().handled.requests, 0);
    // The error came from the bank, as far as the shop's spans say.
    assert_eq!(graph.node("shop").unwrap().error_origins, 0);
}

#[test]
fn errors_begin_where_nothing_below_failed() {
    let trace = Made::new()
        .span("shop", 1, 0, (0, 10))
        .failed()
        .span("order", 2, 1, (1, 9))
        .failed()
        .span("db", 3, 2, (2, 4))
        .failed()
        .span("mail", 4, 2, (5, 6))
        .trace();
    let graph = graph_of(&[trace]);
    let origins = ["shop", "order", "db", "mail"].map(|name| graph.node(name).unwrap().error_origins);
    let errors = ["shop", "order", "db", "mail"].map(|name| graph.node(name).unwrap().handled.errors);
    assert_eq!(origins, [0, 0, 1, 0]);
    assert_eq!(errors, [1, 1, 1, 0]);
    assert_eq!(graph.node("db").unwrap().failed.unwrap().span_id, SpanId::new([3; 8]));
}

#[test]
fn a_caller_that_gives_up_on_a_callee_that_did_not_fail_is_where_the_error_begins() {
    let trace = Made::new()
        .span("shop", 1, 0, (0, 10))
        .failed()
        .span("shop", 2, 1, (1, 9))
        .kind(SpanKind::Client)
        .failed()
        .span("db", 3, 2, (2, 30))
        .trace();
    let graph = graph_of(&[trace]);
    assert_eq!(graph.node("shop").unwrap().error_origins, 1);
    assert_eq!(graph.node("db").unwrap().error_origins, 0);
}

#[test]
fn services_may_call_each_other_in_circles() {
    let trace = Made::new()
        .span("a", 1, 0, (0, 10))
        .span("b", 2, 1, (1, 9))
        .span("a", 3, 2, (2, 8))
        .span("c", 4, 3, (3, 7))
        .trace();
    let mut graph = graph_of(&[trace]);
    graph.add_trace(&Made::new().span("island", 1, 0, (0, 1)).trace());
    assert!(graph.reaches("b", "a") && graph.reaches("a", "b") && graph.reaches("b", "c"));
    assert!(!graph.reaches("c", "a") && !graph.reaches("a", "island"));
    assert_eq!(graph.distance("c", "b"), Some(2));
    assert_eq!((graph.distance("c", "island"), graph.distance("c", "nobody")), (None, None));
    assert_eq!(graph.neighbours("a"), ["b", "c"]);
    // The inner request to `a` is one of its own, so the outer one waits for `b` only.
    assert_eq!(graph.node("a").unwrap().handled.requests, 2);
    assert_eq!(graph.node("a").unwrap().self_time.max(), Some(0.002));
}

#[test]
fn merged_graphs_are_one_graph_over_all_traces() {
    let traces: Vec<Trace> = (0..20)
        .map(|extra| {
            let made = Made::new().span("a", 1, 0, (0, 20 + extra)).span("b", 2, 1, (1, 5 + extra));
            let made = if extra % 3 == 0 { made.failed() } else { made };
            made.span("c", 3, 0, (2, 3)).peer(if extra % 2 == 0 { "a" } else { "b" }).trace()
        })
        .collect();
    let whole = graph_of(&traces);
    let mut merged = graph_of(&traces[..7]);
    merged.merge(&graph_of(&traces[7..]));
    assert_eq!(merged.nodes(), whole.nodes());
    assert!(merged.edges().eq(whole.edges()));
    assert_eq!(merged.stats(), whole.stats());
    // The twin: another cut of the same traces that leaves one out is not equal.
    assert_ne!(graph_of(&traces[1..]).nodes(), whole.nodes());
}

#[test]
fn bounds_on_services_and_edges_are_kept_and_counted() {
    let trace = Made::new()
        .span("a", 1, 0, (0, 10))
        .span("b", 2, 1, (1, 9))
        .span("c", 3, 2, (2, 8))
        .span("d", 4, 1, (3, 7))
        .trace();
    let mut few = ServiceGraph::new(GraphConfig::new().max_services(2));
    few.add_trace(&trace);
    assert_eq!(few.nodes().len(), 2);
    assert_eq!((few.stats().dropped_requests, few.stats().dropped_calls), (2, 2));
    let mut thin = ServiceGraph::new(GraphConfig::new().max_edges(1));
    thin.add_trace(&trace);
    assert_eq!((thin.edges().count(), thin.stats().dropped_calls), (1, 2));
    let mut merged = ServiceGraph::new(GraphConfig::new().max_services(2));
    merged.merge(&graph_of(&[trace]));
    assert_eq!(merged.nodes().len(), 2);
    assert_eq!((merged.stats().dropped_requests, merged.stats().dropped_calls), (2, 2));
}

#[test]
fn exemplars_show_the_request_that_took_longest_itself() {
    let quick = Made::new().span("a", 1, 0, (0, 10)).trace();
    let slow = Made::new().span("a", 2, 0, (0, 50)).trace();
    let graph = graph_of(&[quick, slow]);
    let shown = graph.node("a").unwrap().slowest.unwrap();
    assert_eq!((shown.span_id, shown.self_time), (SpanId::new([2; 8]), Duration::from_millis(50)));
}
