//! Two periods side by side: what each service and each call was and is.

use std::collections::BTreeMap;

use otlp_core::aggregate::Sketch;
use otlp_core::assemble::{Edge, ServiceNode, Tally};

use super::history::Period;
use super::operation::Operations;
use super::rank::AnalyzerConfig;
use super::strength::{look_elsewhere, rise_of};
use crate::number::{of_len, ratio, to_f64};

/// What a rise in errors that may be chance says: it ranks whom nothing else speaks for, and is too little to name anybody.
const UNSURE_ERRORS: f64 = 0.1;

/// A quantity before the onset and after it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Pair {
    pub(super) before: f64,
    pub(super) after: f64,
}

impl Pair {
    fn of<T>(before: T, after: T, measure: impl Fn(T) -> f64) -> Self {
        Self { before: measure(before), after: measure(after) }
    }

    /// How many times as much it became; 1 where it was nothing.
    pub(super) fn growth(self) -> f64 {
        if self.before > 0.0 { self.after / self.before } else { 1.0 }
    }

    pub(super) fn rise(self) -> f64 {
        (self.after - self.before).max(0.0)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) name: String,
    /// Requests.
    pub(super) count: Pair,
    /// Requests a second.
    pub(super) rate: Pair,
    /// Requests a second that nobody in the graph asked for.
    pub(super) outside: Pair,
    /// Calls a second to all others.
    pub(super) asks: Pair,
    /// Seconds that a request takes the service itself, calls tied by name alone taken out.
    pub(super) self_time: Pair,
    /// Share of requests that failed although nothing below did.
    pub(super) origin: Pair,
    /// How far that share surely rose beyond what is left to chance.
    pub(super) extra_origin: f64,
    /// Own seconds a request beyond what is usual and what slowed everybody.
    pub(super) extra_secs: f64,
    /// How much the own time grew beyond that, as a factor.
    pub(super) extra_growth: f64,
}

impl Service {
    /// What errors that begin there say as long as they may be chance.
    pub(super) fn unsure_errors(&self) -> f64 {
        let rise = if self.extra_origin > 0.0 { 0.0 } else { self.origin.rise() - TOLERATED_ERRORS };
        UNSURE_ERRORS * ratio(rise.max(0.0), self.origin.after)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) caller: usize,
    pub(super) callee: usize,
    /// Calls.
    pub(super) count: Pair,
    /// Calls a second.
    pub(super) rate: Pair,
    /// Seconds a call.
    pub(super) latency: Pair,
    /// Failed calls a second.
    pub(super) errors: Pair,
    /// Seconds a call beyond what is usual and what slowed everybody.
    pub(super) extra_secs: f64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub(super) services: Vec<Service>,
    pub(super) calls: Vec<Call>,
}

/// What is known of one pair before and after.
type Edges<'a> = (Option<&'a Edge>, Option<&'a Edge>);

/// The share of requests whose mean is compared: the slowest two in a hundred are left to chance.
const TRIMMED: f64 = 0.98;
/// Services of fewer requests than this on either side are not judged.
const LEAST_REQUESTS: f64 = 5.0;
/// Rise in the share of errors that begin at a service which is left to chance anyway.
const TOLERATED_ERRORS: f64 = 0.01;
/// With fewer services than this, what slows all cannot be told from what slows one.
const LEAST_SERVICES: usize = 4;

impl Facts {
    pub(super) fn of(before: &Period, after: &Period, config: &AnalyzerConfig) -> Self {
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for node in before.graph.nodes().iter().chain(after.graph.nodes()) {
            places.insert(&node.name, 0);
        }
        for (place, slot) in places.values_mut().enumerate() {
            *slot = place;
        }
        let mut facts = Self::default();
        facts.services.extend(places.keys().map(|name| service(name, before, after)));
        let mut pairs: BTreeMap<(usize, usize), Edges<'_>> = BTreeMap::new();
        let place = |name: &str| places.get(name).copied().unwrap_or_default();
        for (caller, callee, edge) in before.graph.edges() {
            pairs.entry((place(caller), place(callee))).or_default().0 = Some(edge);
        }
        for (caller, callee, edge) in after.graph.edges() {
            pairs.entry((place(caller), place(callee))).or_default().1 = Some(edge);
        }
        let lengths = (before.length.as_secs_f64(), after.length.as_secs_f64());
        for (&(caller, callee), &edges) in &pairs {
            let call = call((caller, callee), edges, lengths);
            if let Some(service) = facts.services.get_mut(caller) {
                service.asks.before += call.rate.before;
                service.asks.after += call.rate.after;
            }
            facts.calls.push(call);
            facts.take_out_unjoined(caller, edges);
        }
        facts.take_out_gaps(&before.operations, &after.operations);
        facts.measure_extra(config);
        facts
    }

    /// Where a service stands.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.services.binary_search_by(|service| service.name.as_str().cmp(name)).ok()
    }

    /// Time between a call and the span that answers it is in nobody's hands: which end it is owed to is judged by
    /// all calls of both.
    fn take_out_gaps(&mut self, before: &Operations, after: &Operations) {
        for (operations, is_before) in [(before, true), (after, false)] {
            for ((caller, _), gap) in operations.gaps() {
                let Some(service) = self.place(caller).and_then(|place| self.services.get_mut(place)) else {
                    continue;
                };
                let (time, count) = if is_before {
                    (&mut service.self_time.before, service.count.before)
                } else {
                    (&mut service.self_time.after, service.count.after)
                };
                *time = (*time - ratio(gap.mean_secs() * to_f64(gap.count), count)).max(0.0);
            }
        }
    }

    /// Calls tied by name alone still lie in the caller's own time, and their failures look like its own.
    fn take_out_unjoined(&mut self, caller: usize, (before, after): Edges<'_>) {
        let Some(service) = self.services.get_mut(caller) else { return };
        let count = service.count;
        let reduce = |value: &mut f64, edge: Option<&Edge>, count: f64, is_time: bool| {
            let Some(unjoined) = edge.map(Edge::unjoined) else { return };
            let sum = if is_time {
                to_f64(unjoined.requests) * mean(&unjoined.latency)
            } else {
                to_f64(unjoined.errors)
            };
            *value = (*value - ratio(sum, count)).max(0.0);
        };
        for is_time in [true, false] {
            let pair = if is_time { &mut service.self_time } else { &mut service.origin };
            reduce(&mut pair.before, before, count.before, is_time);
            reduce(&mut pair.after, after, count.after, is_time);
        }
    }

    /// Finds what is beyond the usual, after taking out what slowed all services alike.
    fn measure_extra(&mut self, config: &AnalyzerConfig) {
        let tolerated_secs = config.tolerated.as_secs_f64();
        let common = self.common_growth(tolerated_secs);
        let beyond = |pair: Pair| {
            let usual = pair.before * common * (1.0 + config.tolerated_share) + tolerated_secs;
            (pair.after - usual).max(0.0)
        };
        let chance = look_elsewhere(of_len(self.services.len()));
        for service in &mut self.services {
            service.extra_origin = surely_risen(service.origin, service.count, chance);
            if service.count.before.min(service.count.after) < LEAST_REQUESTS {
                continue;
            }
            service.extra_secs = beyond(service.self_time);
            let base = service.self_time.before * common + tolerated_secs;
            service.extra_growth = 1.0 + ratio(service.extra_secs, base);
        }
        for call in &mut self.calls {
            let known = call.rate.before > 0.0 && call.rate.after > 0.0;
            call.extra_secs = if known { beyond(call.latency) } else { 0.0 };
        }
    }

    /// How much the lower quartile of services slowed: a busy machine slows all, a fault does not.
    fn common_growth(&self, tolerated_secs: f64) -> f64 {
        let judged = self
            .services
            .iter()
            .filter(|service| service.count.before.min(service.count.after) >= LEAST_REQUESTS);
        let softened = judged.map(|service| {
            (service.self_time.after + tolerated_secs) / (service.self_time.before + tolerated_secs)
        });
        let mut growths: Vec<f64> = softened.collect();
        if growths.len() < LEAST_SERVICES {
            return 1.0;
        }
        growths.sort_unstable_by(f64::total_cmp);
        growths.get((growths.len() - 1) / 4).copied().unwrap_or(1.0).max(1.0)
    }
}

fn service(name: &str, before: &Period, after: &Period) -> Service {
    let nodes = (before.graph.node(name), after.graph.node(name));
    let lengths = Pair { before: before.length.as_secs_f64(), after: after.length.as_secs_f64() };
    let pair =
        |measure: fn(&ServiceNode) -> f64| Pair::of(nodes.0, nodes.1, |node| node.map_or(0.0, measure));
    let a_second = |pair: Pair| Pair {
        before: ratio(pair.before, lengths.before),
        after: ratio(pair.after, lengths.after),
    };
    let count = pair(|node| to_f64(node.handled.requests));
    Service {
        name: name.to_owned(),
        count,
        rate: a_second(count),
        outside: a_second(pair(|node| to_f64(node.from_outside))),
        asks: Pair::default(),
        self_time: pair(|node| mean(&node.self_time)),
        origin: pair(|node| ratio(to_f64(node.error_origins), to_f64(node.handled.requests))),
        extra_origin: 0.0,
        extra_secs: 0.0,
        extra_growth: 1.0,
    }
}

fn call(
    (caller, callee): (usize, usize),
    edges: (Option<&Edge>, Option<&Edge>),
    lengths: (f64, f64),
) -> Call {
    let of = |edge: Option<&Edge>, length: f64, measure: fn(&Tally) -> f64| {
        edge.map_or(0.0, |edge| ratio(measure(edge.calls()), length))
    };
    let pair = |measure: fn(&Tally) -> f64| Pair {
        before: of(edges.0, lengths.0, measure),
        after: of(edges.1, lengths.1, measure),
    };
    Call {
        caller,
        callee,
        count: Pair::of(edges.0, edges.1, |edge| edge.map_or(0.0, |edge| to_f64(edge.calls().requests))),
        rate: pair(|tally| to_f64(tally.requests)),
        latency: Pair::of(edges.0, edges.1, |edge| edge.map_or(0.0, |edge| mean(&edge.calls().latency))),
        errors: pair(|tally| to_f64(tally.errors)),
        extra_secs: 0.0,
    }
}

/// The rise of a share beyond what few requests show by chance, and beyond what is tolerated anyway.
fn surely_risen(share: Pair, count: Pair, chance: f64) -> f64 {
    let counted = |share: f64, count: f64| (share * count + 0.5, count + 1.0);
    let (z, (usual, met)) = rise_of(counted(share.before, count.before), counted(share.after, count.after));
    let error = ratio(met - usual, z);
    (share.rise() - TOLERATED_ERRORS.max(chance * error)).max(0.0)
}

fn mean(sketch: &Sketch) -> f64 {
    sketch.mean_below(TRIMMED).unwrap_or_default()
}
