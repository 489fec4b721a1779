//! Two periods of logs side by side: what is written more often, or no longer, and what no longer follows what.
//!
//! That the line which always followed another no longer does, within one request, is the support of event patterns of
//! Nezha (Yu et al., "Nezha: Interpretable Fine-Grained Root Causes Analysis for Microservices on Multi-modal
//! Observability Data", ESEC/FSE 2023), here as a test of two proportions; a bare count depends on the load, a share
//! of what came before does not.

use std::collections::{BTreeMap, HashMap};

use super::{LogCounts, Shape};
use crate::cause::strength::{Shift, rise};
use crate::number::{of_len, ratio, to_f64};

/// What a line that tells of no failure is worth.
const PLAIN: f64 = 0.6;
/// Lines of a shape within traces that its followers need on either side.
const LEAST_LINES: u64 = 3;

/// What a service writes now that it did not, or no longer.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cause) struct LogShift {
    pub(in crate::cause) strength: f64,
    /// A line of it, and how often it came before and since.
    pub(in crate::cause) line: String,
}

/// The strongest shift of each service.
#[derive(Debug, Default)]
struct Strongest(BTreeMap<String, LogShift>);

impl Strongest {
    fn keep(&mut self, service: &str, strength: f64, line: impl FnOnce() -> String) {
        let kept = self.0.get(service).map_or(0.0, |kept| kept.strength);
        if strength <= 0.0 || strength < kept {
            return;
        }
        let line = line();
        // The same whatever the order of a table that has none.
        if strength > kept || self.0.get(service).is_none_or(|kept| line > kept.line) {
            self.0.insert(service.to_owned(), LogShift { strength, line });
        }
    }
}

/// The strongest shift of each service. `growth` is how many times as many requests a service has, where that is
/// known.
pub(in crate::cause) fn shifts(
    before: &LogCounts,
    after: &LogCounts,
    growth: impl Fn(&str) -> Option<f64>,
) -> BTreeMap<String, LogShift> {
    let mut strongest = Strongest::default();
    if before.lines == 0 || after.lines == 0 {
        return strongest.0;
    }
    counts((before, after), growth, &mut strongest);
    sequences(before, after, &mut strongest);
    strongest.0
}

fn counts(
    (before, after): (&LogCounts, &LogCounts),
    growth: impl Fn(&str) -> Option<f64>,
    strongest: &mut Strongest,
) {
    let tests = of_len(before.shapes.len().max(after.shapes.len()));
    let volume = ratio(to_f64(after.lines), to_f64(before.lines));
    let same = |shape: &Shape, other: &LogCounts| {
        let place = other.find(&shape.service, &shape.text);
        place.and_then(|place| other.shapes.get(place)).map_or(0, |shape| shape.count)
    };
    // How often a line of requests comes depends on which requests come; its neighbours judge it.
    let is_counted = |shape: &&Shape| shape.tells_of_failure || 2 * shape.traced < shape.count;
    for now in after.shapes.iter().filter(is_counted) {
        let then = same(now, before);
        let expected = to_f64(then) * volume;
        if to_f64(now.count) > expected {
            keep(strongest, now, (then, now.count, expected, tests));
        }
    }
    for then in before.shapes.iter().filter(is_counted) {
        let now = same(then, after);
        // Silence says something only of who otherwise goes on as before.
        let going_on = ratio(to_f64(after.of(&then.service)), to_f64(before.of(&then.service)));
        let expected = to_f64(then.count) * volume.min(growth(&then.service).unwrap_or(going_on));
        if to_f64(now) < expected && !then.tells_of_failure {
            keep(strongest, then, (then.count, now, expected, tests));
        }
    }
}

fn keep(strongest: &mut Strongest, shape: &Shape, (before, after, expected, tests): (u64, u64, f64, f64)) {
    // The square root makes the deviation of a count the same everywhere: F. J. Anscombe, "The transformation of
    // Poisson, binomial and negative-binomial data", 1948. A failure that was never told of before is held to the
    // square root of the number of others: it is stranger than a line that comes more often, and yet two of them are chance.
    let (now, was) = (to_f64(after), expected);
    let z = 2.0 * ((now + 0.375).sqrt() - (was + 0.375).sqrt()).abs();
    let is_new = before == 0 && shape.tells_of_failure;
    let tests = if is_new { tests.sqrt() } else { tests };
    let effect = ratio((now - was).abs(), now.max(was));
    let worth = if shape.tells_of_failure { 1.0 } else { PLAIN };
    let strength = worth * Shift { z, effect }.strength(tests);
    strongest.keep(&shape.service, strength, || {
        format!("{} ({before} times before, {after} since)", shape.example)
    });
}

/// Lines whose followers changed.
fn sequences(before: &LogCounts, after: &LogCounts, strongest: &mut Strongest) {
    let (past, present) = (before.followers(), after.followers());
    let mut changes = Vec::new();
    let mut tests = 0.0;
    for (place, now) in &present {
        let Some(first) = after.shapes.get(*place) else { continue };
        let Some(then) = before.find(&first.service, &first.text).and_then(|place| past.get(&place)) else {
            continue;
        };
        let then = ways(then, before, after);
        let all = [then.iter().map(|way| way.count).sum::<u64>(), now.values().sum::<u64>()];
        if all.iter().any(|all| *all < LEAST_LINES) {
            continue;
        }
        for way in then {
            let (usual, met) = (way.count, way.met(now));
            // What always comes, as before, is no test.
            if usual == all[0] && met == all[1] {
                continue;
            }
            tests += 1.0;
            // That it fails to come.
            let (z, shares) = rise([all[0] - usual, all[0]], [all[1] - met, all[1]]);
            if z > 0.0 {
                changes.push(Change { first, now, text: way.text, z, shares });
            }
        }
    }
    for change in changes {
        change.keep(after, tests, strongest);
    }
}

/// A way on that is taken less often, and what was taken instead.
struct Change<'a> {
    first: &'a Shape,
    now: &'a HashMap<Option<usize>, u64>,
    text: &'a str,
    z: f64,
    /// Of not taking it, before and since.
    shares: (f64, f64),
}

impl Change<'_> {
    fn keep(&self, after: &LogCounts, tests: f64, strongest: &mut Strongest) {
        // A share of few counts as far as it is beyond its standard error.
        let effect = (self.shares.1 - self.shares.0) * (1.0 - ratio(1.0, self.z));
        let strength = Shift { z: self.z, effect }.strength(tests);
        strongest.keep(&self.first.service, strength, || {
            let instead = self.now.iter().max_by_key(|(place, count)| (**count, **place));
            let instead = instead.and_then(|(place, _)| *place).and_then(|place| after.shapes.get(place));
            format!(
                "{}: followed by \"{}\" in {:.0} % of requests before, {:.0} % since; now mostly by \"{}\"",
                self.first.example,
                self.text,
                100.0 * (1.0 - self.shares.0),
                100.0 * (1.0 - self.shares.1),
                instead.map_or(NOTHING, |shape| &shape.text)
            )
        });
    }
}

const NOTHING: &str = "nothing";

/// A way on from a line, as it was taken before.
struct Way<'a> {
    /// Where the next line stands among those since: none where it is not there, or where nothing came next.
    next: Option<usize>,
    is_end: bool,
    text: &'a str,
    count: u64,
}

impl Way<'_> {
    /// How often it was taken since.
    fn met(&self, now: &HashMap<Option<usize>, u64>) -> u64 {
        let is_known = self.is_end || self.next.is_some();
        now.get(&self.next).copied().filter(|_| is_known).unwrap_or_default()
    }
}

fn ways<'a>(then: &HashMap<Option<usize>, u64>, before: &'a LogCounts, after: &LogCounts) -> Vec<Way<'a>> {
    let way = |(place, count): (&Option<usize>, &u64)| {
        let shape = place.and_then(|place| before.shapes.get(place));
        Way {
            next: shape.and_then(|shape| after.find(&shape.service, &shape.text)),
            is_end: shape.is_none(),
            text: shape.map_or(NOTHING, |shape| &shape.text),
            count: *count,
        }
    };
    then.iter().map(way).collect()
}
