//! Who calls whom, how often, how slow, how wrong.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::request::{Joined, Request};
use super::trace::Trace;
use crate::aggregate::Sketch;
use crate::{SpanId, TraceId};

/// How large a [`ServiceGraph`] may grow.
///
/// ```
/// use otlp_core::assemble::{GraphConfig, ServiceGraph};
/// let graph = ServiceGraph::new(GraphConfig::new().max_services(100).max_edges(1000));
/// assert!(graph.nodes().is_empty());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GraphConfig {
    max_services: usize,
    max_edges: usize,
}

impl GraphConfig {
    /// The defaults: 1,000 services and 10,000 edges.
    #[must_use]
    pub const fn new() -> Self {
        Self { max_services: 1_000, max_edges: 10_000 }
    }

    /// Sets the most services.
    #[must_use]
    pub const fn max_services(mut self, max_services: usize) -> Self {
        self.max_services = max_services;
        self
    }

    /// Sets the most pairs of caller and callee.
    #[must_use]
    pub const fn max_edges(mut self, max_edges: usize) -> Self {
        self.max_edges = max_edges;
        self
    }
}

impl Default for GraphConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// Requests counted, with their latency in seconds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tally {
    /// How many.
    pub requests: u64,
    /// How many of them failed.
    pub errors: u64,
    /// How long they took, in seconds.
    pub latency: Sketch,
}

impl Tally {
    fn add(&mut self, request: &Request<'_>) {
        self.requests += 1;
        self.errors += u64::from(request.is_error);
        self.latency.add(request.latency.as_secs_f64());
    }

    fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        merge(&mut self.latency, &other.latency);
    }
}

/// A span worth looking at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Exemplar {
    /// Its trace.
    pub trace_id: TraceId,
    /// Itself.
    pub span_id: SpanId,
    /// The service's own time in it.
    pub self_time: Duration,
}

/// A service: what it was asked, and how it did.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceNode {
    /// Its name.
    pub name: Arc<str>,
    /// The requests it handled.
    pub handled: Tally,
    /// How many of them nobody in the graph asked for: where work enters the system.
    pub from_outside: u64,
    /// How many errors began here: it failed, and nothing that it asked of others did.
    pub error_origins: u64,
    /// The time a request took the service itself, in seconds: not spent waiting for others.
    pub self_time: Sketch,
    /// The request that took it longest itself.
    pub slowest: Option<Exemplar>,
    /// A request whose failure began here, the longest of them.
    pub failed: Option<Exemplar>,
}

impl ServiceNode {
    fn new(name: Arc<str>) -> Self {
        Self {
            name,
            handled: Tally::default(),
            from_outside: 0,
            error_origins: 0,
            self_time: Sketch::default(),
            slowest: None,
            failed: None,
        }
    }

    fn add(&mut self, request: &Request<'_>) {
        self.handled.add(request);
        self.from_outside += u64::from(request.caller.is_none());
        self.error_origins += u64::from(request.is_origin);
        self.self_time.add(request.self_time.as_secs_f64());
        let span = &request.span.span;
        let shown = Exemplar { trace_id: span.trace_id, span_id: span.span_id, self_time: request.self_time };
        keep_longer(&mut self.slowest, Some(shown));
        keep_longer(&mut self.failed, Some(shown).filter(|_| request.is_origin));
    }

    fn merge(&mut self, other: &Self) {
        self.handled.merge(&other.handled);
        self.from_outside += other.from_outside;
        self.error_origins += other.error_origins;
        merge(&mut self.self_time, &other.self_time);
        keep_longer(&mut self.slowest, other.slowest);
        keep_longer(&mut self.failed, other.failed);
    }
}

/// Calls from one service to another.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Edge {
    recorded: Tally,
    unjoined: Tally,
    caller_only: Tally,
}

impl Edge {
    /// The calls as the callee recorded them; where it records nothing, as the caller saw them.
    #[must_use]
    pub const fn calls(&self) -> &Tally {
        if self.recorded.requests > 0 { &self.recorded } else { &self.caller_only }
    }

    /// Those of the recorded calls that are tied to the caller by `service.peer.name` alone: the caller's own
    /// time has not been freed of them, and its failures may come from theirs.
    #[must_use]
    pub const fn unjoined(&self) -> &Tally {
        &self.unjoined
    }

    fn add(&mut self, request: &Request<'_>) {
        match request.joined {
            Joined::CallerOnly => self.caller_only.add(request),
            Joined::Peer => {
                self.recorded.add(request);
                self.unjoined.add(request);
            }
            Joined::Parent | Joined::Not => self.recorded.add(request),
        }
    }

    fn merge(&mut self, other: &Self) {
        self.recorded.merge(&other.recorded);
        self.unjoined.merge(&other.unjoined);
        self.caller_only.merge(&other.caller_only);
    }
}

/// What a [`ServiceGraph`] took in, and what it had no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct GraphStats {
    /// Traces summed up.
    pub traces: u64,
    /// Requests in them.
    pub requests: u64,
    /// Requests left out because their service would have been one too many.
    pub dropped_requests: u64,
    /// Calls left out because their pair, or the caller, would have been one too many.
    pub dropped_calls: u64,
}

/// Services and the calls between them, summed up over traces.
///
/// Two graphs merge into what one graph over both their traces would be. Services may call each other in
/// circles. Adding a request costs two hash look-ups and two or four sketch additions.
///
/// ```
/// use otlp_core::assemble::{ServiceGraph, Trace};
/// use otlp_core::record::Span;
/// use otlp_core::{SpanId, TraceId};
///
/// let trace_id = TraceId::new([1; 16]);
/// let span = |id: u8, parent: u8| Span {
///     trace_id,
///     span_id: SpanId::new([id; 8]),
///     parent_span_id: SpanId::new([parent; 8]),
///     ..Span::default()
/// };
/// let mut graph = ServiceGraph::default();
/// graph.add_trace(&Trace::new(trace_id, [("shop".into(), span(1, 0)), ("db".into(), span(2, 1))]));
/// assert!(graph.callees("shop").eq(["db"]));
/// assert!(graph.reaches("shop", "db") && !graph.reaches("db", "shop"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct ServiceGraph {
    config: GraphConfig,
    places: HashMap<Arc<str>, usize>,
    nodes: Vec<ServiceNode>,
    edges: BTreeMap<(usize, usize), Edge>,
    callers: BTreeSet<(usize, usize)>,
    stats: GraphStats,
}

impl ServiceGraph {
    /// An empty graph within these bounds.
    #[must_use]
    pub fn new(config: GraphConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// Sums up one more trace.
    ///
    /// ```
    /// use otlp_core::assemble::{ServiceGraph, Trace};
    /// # use otlp_core::record::Span;
    /// # use otlp_core::{SpanId, TraceId};
    /// # let trace_id = TraceId::new([1; 16]);
    /// # let span = |id: u8, parent: u8| Span {
    /// #     trace_id,
    /// #     span_id: SpanId::new([id; 8]),
    /// #     parent_span_id: SpanId::new([parent; 8]),
    /// #     ..Span::default()
    /// # };
    /// # let trace = Trace::new(
    /// #     trace_id,
    /// #     [("shop".into(), span(1, 0)), ("cart".into(), span(2, 1)), ("db".into(), span(3, 2))],
    /// # );
    /// let mut graph = ServiceGraph::default();
    /// // A trace in which shop calls cart, and cart calls db.
    /// graph.add_trace(&trace);
    /// assert_eq!((graph.stats().traces, graph.stats().requests), (1, 3));
    /// ```
    pub fn add_trace(&mut self, trace: &Trace) {
        self.stats.traces += 1;
        for request in trace.requests() {
            self.add(&request);
        }
    }

    /// Sums up one more request; [`add_trace`](Self::add_trace) calls this for each of a trace.
    pub fn add(&mut self, request: &Request<'_>) {
        self.stats.requests += 1;
        let Some(place) = self.place(request.service) else {
            self.stats.dropped_requests += 1;
            self.stats.dropped_calls += u64::from(request.caller.is_some());
            return;
        };
        // What only the caller saw goes to the edge: the callee may record the same requests itself.
        if let Some(node) = self.nodes.get_mut(place).filter(|_| request.joined != Joined::CallerOnly) {
            node.add(request);
        }
        let Some(caller) = request.caller else { return };
        match self.place(caller).and_then(|caller| self.edge_at((caller, place))) {
            Some(edge) => edge.add(request),
            None => self.stats.dropped_calls += 1,
        }
    }

    /// Adds all that `other` holds, within the bounds of this one. O(services + edges), and their sketches.
    ///
    /// ```
    /// use otlp_core::assemble::{ServiceGraph, Trace};
    /// # use otlp_core::record::Span;
    /// # use otlp_core::{SpanId, TraceId};
    /// # let trace_id = TraceId::new([1; 16]);
    /// # let span = |id: u8, parent: u8| Span {
    /// #     trace_id,
    /// #     span_id: SpanId::new([id; 8]),
    /// #     parent_span_id: SpanId::new([parent; 8]),
    /// #     ..Span::default()
    /// # };
    /// # let trace = Trace::new(
    /// #     trace_id,
    /// #     [("shop".into(), span(1, 0)), ("cart".into(), span(2, 1)), ("db".into(), span(3, 2))],
    /// # );
    /// let mut graph = ServiceGraph::default();
    /// // A trace in which shop calls cart, and cart calls db.
    /// graph.add_trace(&trace);
    /// let mut both = graph.clone();
    /// both.merge(&graph);
    /// assert_eq!(both.stats().traces, 2);
    /// ```
    pub fn merge(&mut self, other: &Self) {
        self.stats.traces += other.stats.traces;
        self.stats.requests += other.stats.requests;
        self.stats.dropped_requests += other.stats.dropped_requests;
        self.stats.dropped_calls += other.stats.dropped_calls;
        for node in &other.nodes {
            match self.place(&node.name).and_then(|place| self.nodes.get_mut(place)) {
                Some(own) => own.merge(node),
                None => self.stats.dropped_requests += node.handled.requests,
            }
        }
        for (caller, callee, edge) in other.edges() {
            let places = self.place(caller).zip(self.place(callee));
            match places.and_then(|places| self.edge_at(places)) {
                Some(own) => own.merge(edge),
                None => self.stats.dropped_calls += edge.calls().requests,
            }
        }
    }

    /// All services, in the order in which they were first seen.
    #[must_use]
    pub fn nodes(&self) -> &[ServiceNode] {
        &self.nodes
    }

    /// A service by its name.
    ///
    /// ```
    /// use otlp_core::assemble::{ServiceGraph, Trace};
    /// # use otlp_core::record::Span;
    /// # use otlp_core::{SpanId, TraceId};
    /// # let trace_id = TraceId::new([1; 16]);
    /// # let span = |id: u8, parent: u8| Span {
    /// #     trace_id,
    /// #     span_id: SpanId::new([id; 8]),
    /// #     parent_span_id: SpanId::new([parent; 8]),
    /// #     ..Span::default()
    /// # };
    /// # let trace = Trace::new(
    /// #     trace_id,
    /// #     [("shop".into(), span(1, 0)), ("cart".into(), span(2, 1)), ("db".into(), span(3, 2))],
    /// # );
    /// let mut graph = ServiceGraph::default();
    /// // A trace in which shop calls cart, and cart calls db.
    /// graph.add_trace(&trace);
    /// assert_eq!(graph.node("shop").map(|shop| shop.from_outside), Some(1));
    /// assert!(graph.node("mail").is_none());
    /// ```
    #[must_use]
    pub fn node(&self, service: &str) -> Option<&ServiceNode> {
        self.nodes.get(*self.places.get(service)?)
    }

    /// All calls, as caller, callee and what is known of them.
    ///
    /// ```
    /// use otlp_core::assemble::{ServiceGraph, Trace};
    /// # use otlp_core::record::Span;
    /// # use otlp_core::{SpanId, TraceId};
    /// # let trace_id = TraceId::new([1; 16]);
    /// # let span = |id: u8, parent: u8| Span {
    /// #     trace_id,
    /// #     span_id: SpanId::new([id; 8]),
    /// #     parent_span_id: SpanId::new([parent; 8]),
    /// #     ..Span::default()
    /// # };
    /// # let trace = Trace::new(
    /// #     trace_id,
    /// #     [("shop".into(), span(1, 0)), ("cart".into(), span(2, 1)), ("db".into(), span(3, 2))],
    /// # );
    /// let mut graph = ServiceGraph::default();
    /// // A trace in which shop calls cart, and cart calls db.
    /// graph.add_trace(&trace);
    /// let mut calls: Vec<_> = graph.edges().map(|(caller, callee, _)| (caller, callee)).collect();
    /// calls.sort_unstable();
    /// assert_eq!(calls, [("cart", "db"), ("shop", "cart")]);
    /// ```
    pub fn edges(&self) -> impl Iterator<Item = (&str, &str, &Edge)> + '_ {
        self.edges.iter().map(|(&(caller, callee), edge)| (self.name(caller), self.name(callee), edge))
    }

    /// The calls from one service to another.
    ///
    /// ```
    /// use otlp_core::assemble::{ServiceGraph, Trace};
    /// # use otlp_core::record::Span;
    /// # use otlp_core::{SpanId, TraceId};
    /// # let trace_id = TraceId::new([1; 16]);
    /// # let span = |id: u8, parent: u8| Span {
    /// #     trace_id,
    /// #     span_id: SpanId::new([id; 8]),
    /// #     parent_span_id: SpanId::new([parent; 8]),
    /// #     ..Span::default()
    /// # };
    /// # let trace = Trace::new(
    /// #     trace_id,
    /// #     [("shop".into(), span(1, 0)), ("cart".into(), span(2, 1)), ("db".into(), span(3, 2))],
    /// # );
    /// let mut graph = ServiceGraph::default();
    /// // A trace in which shop calls cart, and cart calls db.
    /// graph.add_trace(&trace);
    /// assert!(graph.edge("shop", "cart").is_some() && graph.edge("shop", "db").is_none());
    /// ```
    #[must_use]
    pub fn edge(&self, caller: &str, callee: &str) -> Option<&Edge> {
        self.edges.get(&(*self.places.get(caller)?, *self.places.get(callee)?))
    }

    /// Whom a service calls.
    pub fn callees(&self, service: &str) -> impl Iterator<Item = &str> + '_ {
        let places = self.places.get(service).into_iter().flat_map(|&place| self.callees_at(place));
        places.map(|place| self.name(place))
    }

    /// Who calls a service.
    ///
    /// ```
    /// use otlp_core::assemble::{ServiceGraph, Trace};
    /// # use otlp_core::record::Span;
    /// # use otlp_core::{SpanId, TraceId};
    /// # let trace_id = TraceId::new([1; 16]);
    /// # let span = |id: u8, parent: u8| Span {
    /// #     trace_id,
    /// #     span_id: SpanId::new([id; 8]),
    /// #     parent_span_id: SpanId::new([parent; 8]),
    /// #     ..Span::default()
    /// # };
    /// # let trace = Trace::new(
    /// #     trace_id,
    /// #     [("shop".into(), span(1, 0)), ("cart".into(), span(2, 1)), ("db".into(), span(3, 2))],
    /// # );
    /// let mut graph = ServiceGraph::default();
    /// // A trace in which shop calls cart, and cart calls db.
    /// graph.add_trace(&trace);
    /// assert!(graph.callers("db").eq(["cart"]));
    /// ```
    pub fn callers(&self, service: &str) -> impl Iterator<Item = &str> + '_ {
        let places = self.places.get(service).into_iter().flat_map(|&place| self.callers_at(place));
        places.map(|place| self.name(place))
    }

    /// Who calls a service or is called by it, each once.
    ///
    /// ```
    /// use otlp_core::assemble::{ServiceGraph, Trace};
    /// # use otlp_core::record::Span;
    /// # use otlp_core::{SpanId, TraceId};
    /// # let trace_id = TraceId::new([1; 16]);
    /// # let span = |id: u8, parent: u8| Span {
    /// #     trace_id,
    /// #     span_id: SpanId::new([id; 8]),
    /// #     parent_span_id: SpanId::new([parent; 8]),
    /// #     ..Span::default()
    /// # };
    /// # let trace = Trace::new(
    /// #     trace_id,
    /// #     [("shop".into(), span(1, 0)), ("cart".into(), span(2, 1)), ("db".into(), span(3, 2))],
    /// # );
    /// let mut graph = ServiceGraph::default();
    /// // A trace in which shop calls cart, and cart calls db.
    /// graph.add_trace(&trace);
    /// let mut neighbours = graph.neighbours("cart");
    /// neighbours.sort_unstable();
    /// assert_eq!(neighbours, ["db", "shop"]);
    /// ```
    #[must_use]
    pub fn neighbours(&self, service: &str) -> Vec<&str> {
        let all: BTreeSet<&str> = self.callees(service).chain(self.callers(service)).collect();
        all.into_iter().collect()
    }

    /// True where calls lead from one service to the other over any number of steps; each reaches itself.
    ///
    /// ```
    /// use otlp_core::assemble::{ServiceGraph, Trace};
    /// # use otlp_core::record::Span;
    /// # use otlp_core::{SpanId, TraceId};
    /// # let trace_id = TraceId::new([1; 16]);
    /// # let span = |id: u8, parent: u8| Span {
    /// #     trace_id,
    /// #     span_id: SpanId::new([id; 8]),
    /// #     parent_span_id: SpanId::new([parent; 8]),
    /// #     ..Span::default()
    /// # };
    /// # let trace = Trace::new(
    /// #     trace_id,
    /// #     [("shop".into(), span(1, 0)), ("cart".into(), span(2, 1)), ("db".into(), span(3, 2))],
    /// # );
    /// let mut graph = ServiceGraph::default();
    /// // A trace in which shop calls cart, and cart calls db.
    /// graph.add_trace(&trace);
    /// assert!(graph.reaches("shop", "db") && !graph.reaches("db", "shop"));
    /// ```
    #[must_use]
    pub fn reaches(&self, from: &str, to: &str) -> bool {
        self.steps(from, to, |place| self.callees_at(place).collect()).is_some()
    }

    /// The fewest steps between two services, along calls in either direction; nothing where they are not connected.
    ///
    /// ```
    /// use otlp_core::assemble::{ServiceGraph, Trace};
    /// # use otlp_core::record::Span;
    /// # use otlp_core::{SpanId, TraceId};
    /// # let trace_id = TraceId::new([1; 16]);
    /// # let span = |id: u8, parent: u8| Span {
    /// #     trace_id,
    /// #     span_id: SpanId::new([id; 8]),
    /// #     parent_span_id: SpanId::new([parent; 8]),
    /// #     ..Span::default()
    /// # };
    /// # let trace = Trace::new(
    /// #     trace_id,
    /// #     [("shop".into(), span(1, 0)), ("cart".into(), span(2, 1)), ("db".into(), span(3, 2))],
    /// # );
    /// let mut graph = ServiceGraph::default();
    /// // A trace in which shop calls cart, and cart calls db.
    /// graph.add_trace(&trace);
    /// assert_eq!(graph.distance("db", "shop"), Some(2));
    /// assert_eq!(graph.distance("db", "mail"), None);
    /// ```
    #[must_use]
    pub fn distance(&self, a: &str, b: &str) -> Option<usize> {
        self.steps(a, b, |place| self.callees_at(place).chain(self.callers_at(place)).collect())
    }

    /// What was taken in and what was left out.
    #[must_use]
    pub const fn stats(&self) -> GraphStats {
        self.stats
    }

    fn name(&self, place: usize) -> &str {
        self.nodes.get(place).map_or("", |node| &node.name)
    }

    fn callees_at(&self, place: usize) -> impl Iterator<Item = usize> + '_ {
        self.edges.range((place, 0)..=(place, usize::MAX)).map(|(&(_, callee), _)| callee)
    }

    fn callers_at(&self, place: usize) -> impl Iterator<Item = usize> + '_ {
        self.callers.range((place, 0)..=(place, usize::MAX)).map(|&(_, caller)| caller)
    }

    /// Steps of a shortest way, found breadth first.
    fn steps(&self, from: &str, to: &str, next: impl Fn(usize) -> Vec<usize>) -> Option<usize> {
        let (&from, &to) = (self.places.get(from)?, self.places.get(to)?);
        let mut seen = BTreeSet::from([from]);
        let mut queue = VecDeque::from([(from, 0)]);
        while let Some((place, steps)) = queue.pop_front() {
            if place == to {
                return Some(steps);
            }
            queue.extend(
                next(place).into_iter().filter(|&other| seen.insert(other)).map(|other| (other, steps + 1)),
            );
        }
        None
    }

    /// The place of a service, made where there is room.
    fn place(&mut self, service: &str) -> Option<usize> {
        if let Some(&place) = self.places.get(service) {
            return Some(place);
        }
        if self.nodes.len() >= self.config.max_services {
            return None;
        }
        let name: Arc<str> = service.into();
        let place = self.nodes.len();
        self.nodes.push(ServiceNode::new(Arc::clone(&name)));
        self.places.insert(name, place);
        Some(place)
    }

    /// The edge between two places, made where there is room.
    fn edge_at(&mut self, (caller, callee): (usize, usize)) -> Option<&mut Edge> {
        if !self.edges.contains_key(&(caller, callee)) {
            if self.edges.len() >= self.config.max_edges {
                return None;
            }
            self.callers.insert((callee, caller));
        }
        Some(self.edges.entry((caller, callee)).or_default())
    }
}

fn keep_longer(kept: &mut Option<Exemplar>, other: Option<Exemplar>) {
    let key = |shown: Exemplar| (shown.self_time, shown.trace_id, shown.span_id);
    if other.map(key) > kept.map(key) {
        *kept = other;
    }
}

/// All sketches of graphs are made alike, so this merge has nothing to refuse.
fn merge(sketch: &mut Sketch, other: &Sketch) {
    let merged = sketch.merge(other);
    debug_assert!(merged.is_ok(), "sketches of graphs are made alike");
}
