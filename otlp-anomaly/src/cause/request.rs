//! Requests that fail by themselves, and whom they did not reach.
//!
//! Where a service cannot be reached it has no span: the error seems to begin at whoever asks it. Among requests of the
//! caller that failed although nothing that they asked did, the one callee is missing that the others of its callees are
//! not: which is more than a caller that fails for a reason of its own would show.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use otlp_core::assemble::TraceSpan;

use super::operation::Operations;
use super::strength::{look_elsewhere, rise_of};
use crate::number::{of_len, ratio, to_f64};

/// How many requests an operation had, and how many of them asked whom.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests {
    all: HashMap<usize, Count>,
    asked: HashMap<(usize, Arc<str>), Count>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    all: u64,
    /// Those that failed although nothing that they asked did.
    failed: u64,
}

impl Count {
    const fn add(&mut self, other: Self) {
        self.all += other.all;
        self.failed += other.failed;
    }
}

/// Pairs of operation and service, past which new ones are left out.
const MAX_ASKED: usize = 32_768;
/// Spans of one service above each other: more than any real depth.
const MOST_DEPTH: usize = 64;

impl Requests {
    /// Counts the requests of a trace, whose spans are of these operations. O(spans x depth within a service).
    pub(super) fn add(&mut self, spans: &[TraceSpan], ids: &[Option<usize>]) {
        let mut asked: BTreeMap<usize, (Vec<&Arc<str>>, bool)> = BTreeMap::new();
        for (place, span) in spans.iter().enumerate() {
            let parent = span.parent.and_then(|parent| spans.get(parent).map(|above| (parent, above)));
            match parent {
                Some((_, above)) if above.service == span.service => continue,
                Some((parent, _)) => {
                    let (services, has_failed) = asked.entry(entry(parent, spans)).or_default();
                    *has_failed |= span.span.is_error();
                    if !services.contains(&&span.service) {
                        services.push(&span.service);
                    }
                }
                None => {}
            }
            asked.entry(place).or_default();
        }
        for (place, (services, has_failed)) in asked {
            let Some(id) = ids.get(place).copied().flatten() else { continue };
            let is_alone = !has_failed && spans.get(place).is_some_and(|span| span.span.is_error());
            let count = Count { all: 1, failed: u64::from(is_alone) };
            self.all.entry(id).or_default().add(count);
            services.into_iter().for_each(|service| self.count((id, Arc::clone(service)), count));
        }
    }

    /// Adds those of another digest, whose operations stand elsewhere here.
    pub(super) fn merge(&mut self, other: &Self, at: impl Fn(usize) -> Option<usize>) {
        for (id, count) in other.all.iter().filter_map(|(id, count)| Some((at(*id)?, *count))) {
            self.all.entry(id).or_default().add(count);
        }
        for ((id, service), count) in &other.asked {
            if let Some(id) = at(*id) {
                self.count((id, Arc::clone(service)), *count);
            }
        }
    }

    fn count(&mut self, pair: (usize, Arc<str>), count: Count) {
        if self.asked.len() < MAX_ASKED || self.asked.contains_key(&pair) {
            self.asked.entry(pair).or_default().add(count);
        }
    }
}

/// The first span of a request in its service.
fn entry(place: usize, spans: &[TraceSpan]) -> usize {
    let mut at = place;
    for _ in 0..MOST_DEPTH {
        let above = spans.get(at).and_then(|span| Some((span.parent?, &span.service)));
        match above.and_then(|(parent, service)| Some((parent, spans.get(parent)?, service))) {
            Some((parent, above, service)) if above.service == *service => at = parent,
            _ => break,
        }
    }
    at
}

/// A service that requests of another did not reach, and failed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Unreached<'a> {
    pub(super) callee: &'a str,
    /// How much of the failures is owed to that, 0 to 1.
    pub(super) share: f64,
    /// Requests that failed by themselves, and those of them that did not reach it.
    pub(super) failed: f64,
    pub(super) missing: f64,
}

/// What is known of one caller and one callee.
#[derive(Debug, Clone, Copy, Default)]
struct Pair {
    /// Requests before.
    usual: f64,
    /// Requests that failed since, how many of them did not ask the callee, and how many would not by chance.
    failed: f64,
    missing: f64,
    expected: f64,
}

/// A callee is missing in requests that fail where more than this share of them is owed to it, and present otherwise.
const MOSTLY: f64 = 0.5;
/// What is left where a caller asks nobody else: it may have failed before it asked.
const LEFT_ALONE: f64 = 0.5;

/// Whom requests that fail did not reach, by who asked. O(operations x services they ask).
pub(super) fn unreached<'a>(before: &'a Operations, after: &Operations) -> BTreeMap<&'a str, Unreached<'a>> {
    let mut pairs: BTreeMap<&str, BTreeMap<&str, Pair>> = BTreeMap::new();
    for ((id, callee), asked) in &before.requests().asked {
        let Some(known) = before.known().get(*id) else { continue };
        let usual = before.requests().all.get(id).copied().unwrap_or_default();
        let place = after.find(&known.service, &known.name);
        let now = place.and_then(|place| after.requests().all.get(&place)).copied().unwrap_or_default();
        let met = place.and_then(|place| after.requests().asked.get(&(place, Arc::clone(callee))));
        let pair = pairs.entry(&known.service).or_default().entry(callee).or_default();
        pair.usual += to_f64(usual.all);
        pair.failed += to_f64(now.failed);
        pair.missing += to_f64(now.failed - met.map_or(0, |met| met.failed).min(now.failed));
        pair.expected += to_f64(now.failed) * (1.0 - ratio(to_f64(asked.all), to_f64(usual.all)));
    }
    pairs.into_iter().filter_map(|(caller, callees)| Some((caller, only_one(&callees)?))).collect()
}

/// The only callee that is missing.
fn only_one<'a>(callees: &BTreeMap<&'a str, Pair>) -> Option<Unreached<'a>> {
    let chance = look_elsewhere(of_len(callees.len()));
    let mut missing = callees.iter().filter_map(|(callee, pair)| {
        let usual = ratio(pair.expected, pair.failed);
        let (z, _) =
            rise_of((usual * pair.usual + 0.5, pair.usual + 1.0), (pair.missing + 0.5, pair.failed + 1.0));
        let share = ratio(pair.missing - pair.expected, pair.failed - pair.expected);
        (z > chance && share > MOSTLY).then(|| (*callee, pair, share * (1.0 - ratio(1.0, z))))
    });
    let ((callee, pair, share), None) = (missing.next()?, missing.next()) else { return None };
    let share = if callees.len() > 1 { share } else { LEFT_ALONE * share };
    Some(Unreached { callee, share, failed: pair.failed, missing: pair.missing })
}
