//! Operations before and after: where own time grew, where time is lost between caller and callee, where requests
//! break off.
//!
//! Shifts are differences of mean logarithms, freed of what slowed all alike (the median shift), and counted only as
//! far as they are beyond twice their standard error. Time lost in a call may be owed to either end: a service is held to it as far
//! as its calls in both directions show it together. Where an operation stops after one of its calls, or goes on to a
//! failure, the callee before the break is suspected first, then whoever made the call; this is the support of event
//! patterns of Nezha (Yu et al., "Nezha: Interpretable Fine-Grained Root Causes Analysis for Microservices on
//! Multi-modal Observability Data", ESEC/FSE 2023), over pairs of neighbouring spans.

use std::collections::BTreeMap;

use super::operation::{Moments, Next, Operations, Step};
use super::strength::{Shift, look_elsewhere, median, rise, rise_of};
use crate::number::{of_len, ratio, to_f64};

/// What speaks against one service.
#[derive(Debug, Clone, Default)]
pub(super) struct Suspicion {
    /// Its own operations take longer.
    pub(super) own: f64,
    /// Time is lost in calls to it and by it.
    pub(super) gap: f64,
    /// Requests break off or fail after it was called, or in it.
    pub(super) pattern: f64,
    /// Its operation that grew most: name, seconds before and after.
    pub(super) slowest: Option<(String, f64, f64)>,
    /// The call that lost most: the other end, seconds before and after.
    pub(super) widest: Option<(String, f64, f64)>,
    /// Where it breaks: in a sentence.
    pub(super) broken: Option<String>,
}

/// Suspicions by service.
pub(super) type Contrast = BTreeMap<String, Suspicion>;

/// Fewer spans than this on a side say nothing.
const LEAST_SPANS: u64 = 3;
/// Standard error of a mean logarithm below which nothing real is known.
const LEAST_ERROR: f64 = 0.05;
/// How much of a broken pattern falls on the service that made the call, and how much on the one whose call usually
/// comes next: who cannot be reached has no span.
const CALLER_SHARE: f64 = 0.7;
const NEXT_SHARE: f64 = 0.5;

pub(super) fn contrast(before: &Operations, after: &Operations) -> Contrast {
    let mut all = Contrast::new();
    if before.is_empty() || after.is_empty() {
        return all;
    }
    own_times(before, after, &mut all);
    gaps(before, after, &mut all);
    patterns(before, after, &mut all);
    all
}

/// A difference of mean logarithms and the square of its standard error.
fn difference(before: &Moments, after: &Moments) -> Option<(f64, f64)> {
    let enough = before.count >= LEAST_SPANS && after.count >= LEAST_SPANS;
    let error = before.error_squared() + after.error_squared() + LEAST_ERROR * LEAST_ERROR;
    enough.then_some((after.mean - before.mean, error))
}

fn own_times(before: &Operations, after: &Operations, all: &mut Contrast) {
    let mut shifts = Vec::new();
    for known in after.known() {
        let usual = before.find(&known.service, &known.name).and_then(|place| before.known().get(place));
        let Some(usual) = usual else { continue };
        let Some((shift, error)) = difference(&usual.own, &known.own) else { continue };
        shifts.push((known, usual, shift, error));
    }
    let common = median(shifts.iter().map(|shift| shift.2));
    let mut pooled: BTreeMap<&str, (f64, f64, f64)> = BTreeMap::new();
    for &(known, usual, shift, error) in &shifts {
        let (sum, weight, largest) = pooled.entry(&known.service).or_default();
        *sum += (shift - common) / error;
        *weight += 1.0 / error;
        let extra = (known.own.mean_secs() - usual.own.mean_secs()) * to_f64(known.own.count);
        if extra > *largest {
            *largest = extra;
            let shown = (known.name.to_string(), usual.own.mean_secs(), known.own.mean_secs());
            all.entry(known.service.to_string()).or_default().slowest = Some(shown);
        }
    }
    let tests = of_len(pooled.len());
    for (service, (sum, weight, _)) in pooled {
        let shift = Shift::of_logarithm(ratio(sum, weight), weight.sqrt().recip());
        all.entry(service.to_owned()).or_default().own = shift.strength(tests);
    }
}

fn gaps(before: &Operations, after: &Operations, all: &mut Contrast) {
    let mut shifts = Vec::new();
    for ((caller, callee), gap) in after.gaps() {
        let Some(usual) = before.gap(caller, callee) else { continue };
        let Some((shift, error)) = difference(usual, gap) else { continue };
        shifts.push(((caller, callee), (usual.mean_secs(), gap.mean_secs()), shift, error));
    }
    shifts.sort_by(|a, b| a.0.cmp(&b.0));
    let common = median(shifts.iter().map(|shift| shift.2));
    // Evidence of all calls of a service together: S. A. Stouffer et al., "The American Soldier", 1949.
    let mut joined: BTreeMap<&str, (f64, f64, f64, f64)> = BTreeMap::new();
    for &((caller, callee), (usual, now), shift, error) in &shifts {
        let sure = Shift::of_logarithm(shift - common, error.sqrt());
        for (service, other) in [(caller, callee), (callee, caller)] {
            let (calls, z, effect, largest) = joined.entry(service).or_default();
            *calls += 1.0;
            *z += sure.z.max(0.0);
            *effect += sure.effect;
            if now - usual > *largest {
                *largest = now - usual;
                all.entry(service.to_owned()).or_default().widest = Some((other.to_owned(), usual, now));
            }
        }
    }
    for (service, (calls, z, effect, _)) in joined {
        let shift = Shift { z: z / calls.sqrt(), effect: (effect / calls.sqrt()).min(1.0) };
        all.entry(service.to_owned()).or_default().gap = shift.strength(1.0);
    }
}

/// One way in which requests no longer go on as they did.
struct Break {
    step: Step,
    what: &'static str,
    shares: (f64, f64),
    z: f64,
    /// How many spans more than before go this way.
    more: f64,
}

/// What goes wrong after a step: what comes next is about a failure; it is the last of a request that fails; it is
/// the last.
const FAILS: &str = "fails";
const BREAKS_OFF: &str = "breaks off";
const ENDS: &str = "ends";
/// Breaks that are followed inwards: more than any real depth of spans, and rings come to an end.
const MOST_INWARDS: usize = 16;
/// The share of a break that one further in has to have to explain it.
const EXPLAINS: f64 = 0.5;

fn patterns(before: &Operations, after: &Operations, all: &mut Contrast) {
    let (breaks, tests) = breaks(before, after);
    for broken in &breaks {
        let tests = tests.get(broken.what).copied().unwrap_or(1.0);
        if broken.z <= look_elsewhere(tests) {
            continue;
        }
        let Some(within) = after.known().get(broken.step.within) else { continue };
        let last = broken.step.after.and_then(|place| after.known().get(place));
        // A share of few requests counts as far as it is beyond its standard error.
        let surely = (broken.shares.1 - broken.shares.0) * (1.0 - ratio(1.0, broken.z));
        let shift = Shift { z: broken.z, effect: surely };
        let strength = shift.strength(tests);
        let mut blame = |service: &str, strength: f64| {
            let suspicion = all.entry(service.to_owned()).or_default();
            if strength > suspicion.pattern {
                suspicion.pattern = strength;
                let place = last.map_or_else(|| "at once".to_owned(), |last| format!("after {}", last.name));
                let (then, now) = (broken.shares.0 * 100.0, broken.shares.1 * 100.0);
                suspicion.broken = Some(format!(
                    "{} of {} {} {place}: {then:.0} % -> {now:.0} % of the time",
                    within.name, within.service, broken.what
                ));
            }
        };
        let inmost = inmost(broken, &breaks);
        let suspect = inmost.step.after.unwrap_or(inmost.step.within);
        let Some(suspect) = after.known().get(suspect).map(|known| &known.service) else { continue };
        blame(suspect, strength);
        for service in [Some(&within.service), last.map(|last| &last.service)].into_iter().flatten() {
            if service != suspect {
                blame(service, CALLER_SHARE * strength);
            }
        }
        let usual = translated(inmost.step, after, before).and_then(|step| before.next(step));
        let next = usual.and_then(|usual| usual.next).and_then(|place| before.known().get(place));
        if let Some(next) = next.filter(|next| next.service != *suspect && inmost.what != FAILS) {
            blame(&next.service, NEXT_SHARE * strength);
        }
    }
}

/// All breaks, the surest first, and how many steps were looked at for each kind of them.
fn breaks(before: &Operations, after: &Operations) -> (Vec<Break>, BTreeMap<&'static str, f64>) {
    let (mut breaks, mut tests) = (Vec::new(), BTreeMap::new());
    let failing = failing(before);
    for (step, now) in after.steps() {
        let then = translated(step, after, before).and_then(|step| before.next(step)).unwrap_or_default();
        // Where a step ends that was never taken is not known; that it fails is strange anyway.
        let ways = [
            (FAILS, [then.failed, then.all], [now.failed, now.all], 0),
            (BREAKS_OFF, [then.broken, then.all], [now.broken, now.all], 0),
            (ENDS, ends(then), ends(now), LEAST_SPANS),
        ];
        for (what, then, now, least) in ways {
            let happens = then[0] + now[0];
            // What never and what always happens in both is no test.
            let is_same = happens == 0 || (happens == then[1] + now[1] && then[1] > 0);
            if is_same || then[1] < least || now[1] < LEAST_SPANS {
                continue;
            }
            *tests.entry(what).or_default() += 1.0;
            let (z, shares) =
                if then[0] == 0 && what != ENDS { rise_above(failing, then, now) } else { rise(then, now) };
            if z > 0.0 {
                breaks.push(Break { step, what, shares, z, more: (shares.1 - shares.0) * to_f64(now[1]) });
            }
        }
    }
    breaks.sort_by(|a, b| b.z.total_cmp(&a.z).then(a.step.cmp(&b.step)));
    (breaks, tests)
}

/// The break furthest in that explains one: what a request did last may itself have ended early.
fn inmost<'a>(broken: &'a Break, breaks: &'a [Break]) -> &'a Break {
    let mut at = broken;
    for _ in 0..MOST_INWARDS {
        let inner = breaks.iter().find(|inner| {
            Some(inner.step.within) == at.step.after
                && inner.step.after != at.step.after
                && inner.more >= EXPLAINS * broken.more
        });
        let Some(inner) = inner else { break };
        at = inner;
    }
    at
}

/// Ends, among those that did not go on to a failure: whoever failed before and now merely ends did not get worse.
const fn ends(next: Next) -> [u64; 2] {
    [next.ended, next.all.saturating_sub(next.failed)]
}

/// The share of all steps that went on to a failure.
fn failing(operations: &Operations) -> f64 {
    let count = |of: fn(Next) -> u64| operations.steps().map(|(_, next)| to_f64(of(next))).sum::<f64>();
    ratio(count(|next| next.failed), count(|next| next.all))
}

/// The rise of the share of failures of what never failed before, to whose past one span of any step is added.
fn rise_above(usual: f64, then: [u64; 2], now: [u64; 2]) -> (f64, (f64, f64)) {
    rise_of((usual, to_f64(then[1]) + 1.0), (to_f64(now[0]) + 0.5, to_f64(now[1]) + 1.0))
}

/// The same step in another digest.
fn translated(step: Step, from: &Operations, to: &Operations) -> Option<Step> {
    let place = |place: usize| from.known().get(place).and_then(|known| to.find(&known.service, &known.name));
    let within = place(step.within)?;
    match step.after {
        None => Some(Step { within, after: None }),
        Some(after) => Some(Step { within, after: Some(place(after)?) }),
    }
}
