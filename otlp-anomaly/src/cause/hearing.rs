//! What speaks for a service beside the flow of requests: operations, metrics, logs.

use std::collections::{BTreeMap, BTreeSet};

use otlp_core::assemble::ServiceGraph;
use otlp_core::finding::Evidence;

use super::calls::Calls;
use super::check::Checks;
use super::contrast::{Contrast, contrast};
use super::coupling::Coupling;
use super::facts::Pair;
use super::history::Period;
use super::log::{LogShift, shifts};
use super::metric::{Moved, Reading, read};
use super::rank::Case;
use super::ranking::{Cause, RankedMetric, Source};
use super::request::{Unreached, unreached};
use super::strength::Shift;
use super::witness::shift;
use crate::number::{of_len, ratio, to_f64};

/// All that was heard in one case.
#[derive(Debug)]
pub(super) struct Hearing<'a> {
    contrast: Contrast,
    spans: [&'a ServiceGraph; 2],
    reading: Reading<'a>,
    logs: BTreeMap<String, LogShift>,
    calls: Calls<'a>,
    /// How much of what travels along calls may have come from each service below the symptom; none where nothing is
    /// known of that.
    reached: Option<BTreeMap<&'a str, f64>>,
    /// Services that no longer answer although they are still asked, and how sure that is.
    gone: BTreeMap<&'a str, f64>,
    /// Those that ask them, and those that ask these.
    above_gone: BTreeSet<&'a str>,
    /// How far requests of those that ask each service break off.
    broken_above: BTreeMap<&'a str, f64>,
    /// Whom requests that fail at each service did not reach.
    unreached: BTreeMap<&'a str, Unreached<'a>>,
    case: Case<'a>,
}

/// How strange a service on the way to a cause has to look for the way to be sure.
const SURELY_STRANGE: f64 = 0.3;
/// What is left of what travels along calls where the way to it shows nothing, and where there is no way.
const LEFT_WITHOUT_SIGNS: f64 = 0.25;
const LEFT_WITHOUT_WAY: f64 = 0.1;
/// What is left of other metrics where there is no way.
const LEFT_ELSEWHERE: f64 = 0.5;
/// What is left of metrics beside spans that show no harm.
const BESIDE_SPANS: f64 = 0.25;
/// What is left of broken requests of services that ask one that is gone.
const LEFT_ABOVE_GONE: f64 = 0.4;
/// A service is gone where fewer than this share of the requests that it should have had are left.
const LEFT_OF_GONE: f64 = 0.1;
/// Metrics cited of one service.
const CITED: usize = 3;

impl<'a> Hearing<'a> {
    pub(super) fn of(before: &'a Period, after: &'a Period, case: &Case<'a>) -> Self {
        let graphs = [before, after].map(|period| period.graph.edges().map(|(from, to, _)| (from, to)));
        let told = case.calls.iter().map(|(from, to)| (from.as_str(), to.as_str()));
        let calls = Calls::new(graphs.into_iter().flatten().chain(told));
        let reading = read(case.metrics, &calls, case.symptom.map_or("", |symptom| symptom.metric));
        let growth = |service: &str| growth(before, after, service);
        let mut logs = case.logs.map(|(before, after)| shifts(before, after, growth)).unwrap_or_default();
        move_down(&mut logs, &calls);
        let noticed = case.symptom.map(|symptom| symptom.service).filter(|service| calls.has(service));
        let sign = |service: &str| {
            let strange = reading.strange.get(service).copied().unwrap_or_default();
            (strange / SURELY_STRANGE).min(1.0)
        };
        let reached = noticed.map(|service| {
            let mut reached = calls.widest((service, sign(service)), |_, callee| sign(callee));
            let coupling = Coupling::new(case.metrics);
            let waits = calls.widest((service, 1.0), |caller, callee| coupling.between(caller, callee));
            for (service, width) in &mut reached {
                *width = (LEFT_WITHOUT_SIGNS + (1.0 - LEFT_WITHOUT_SIGNS) * *width)
                    * waits.get(service).copied().unwrap_or(1.0);
            }
            reached
        });
        let mut hearing = Self {
            contrast: Contrast::new(),
            spans: [before, after].map(|period| &period.graph),
            reading,
            logs,
            calls,
            reached,
            gone: BTreeMap::new(),
            above_gone: BTreeSet::new(),
            broken_above: BTreeMap::new(),
            unreached: BTreeMap::new(),
            case: *case,
        };
        hearing.compare(before, after);
        hearing
    }

    /// Hears what the spans of two periods say instead of what others said.
    pub(super) fn compare(&mut self, before: &'a Period, after: &'a Period) {
        self.spans = [before, after].map(|period| &period.graph);
        self.contrast = contrast(&before.operations, &after.operations);
        let suffers =
            |service: &str| self.contrast.get(service).is_some_and(|suspicion| suspicion.pattern > 0.0);
        self.gone = gone(before, after, suffers);
        self.above_gone = self.calls.above(self.gone.keys().copied());
        self.unreached = unreached(&before.operations, &after.operations);
        self.broken_above.clear();
        for (caller, callee) in self.calls.pairs() {
            let broken = self.contrast.get(caller).map_or(0.0, |suspicion| suspicion.pattern);
            let most = self.broken_above.entry(callee).or_default();
            *most = most.max(broken);
        }
    }

    /// All services that anything was heard of.
    pub(super) fn services(&self) -> impl Iterator<Item = &str> {
        let metrics = self.reading.moved.iter().map(|moved| moved.of.service);
        let metrics = metrics.chain(self.gone.keys().copied());
        metrics.chain(self.contrast.keys().map(String::as_str)).chain(self.logs.keys().map(String::as_str))
    }

    /// How much more time its own operations take, 0 to 1.
    pub(super) fn own_time(&self, service: &str) -> f64 {
        self.contrast.get(service).map_or(0.0, |suspicion| suspicion.own)
    }

    /// The share of errors that seem to begin at a service which is left with it.
    pub(super) fn kept_errors(&self, service: &str) -> f64 {
        1.0 - self.unreached.get(service).map_or(0.0, |unreached| unreached.share)
    }

    /// Who asked a service in vain, and which share of their errors is owed to that.
    pub(super) fn in_vain(&self, service: &str) -> impl Iterator<Item = (&'a str, f64)> {
        let asked = self.unreached.iter().filter(move |(_, unreached)| unreached.callee == service);
        asked.map(|(caller, unreached)| (*caller, unreached.share))
    }

    /// The other parts of its score.
    pub(super) fn parts(&self, service: &str) -> [(Source, f64); 5] {
        let suspicion = self.contrast.get(service);
        // Whoever asks one that is gone breaks off for its sake.
        let owed =
            if self.above_gone.contains(service) { LEFT_ABOVE_GONE } else { 1.0 } * self.kept_errors(service);
        let log = self.logs.get(service).map_or(0.0, |log| log.strength);
        let metric = self.moved(service).map(|moved| self.worth(moved)).fold(0.0, f64::max);
        [
            (Source::Gap, suspicion.map_or(0.0, |suspicion| suspicion.gap)),
            (Source::MissingCalls, self.gone.get(service).copied().unwrap_or_default()),
            (Source::Pattern, suspicion.map_or(0.0, |suspicion| suspicion.pattern) * owed),
            (Source::Metric, metric),
            (Source::Log, log),
        ]
    }

    pub(super) fn evidence(&self, service: &str) -> Vec<Evidence> {
        let mut evidence = Vec::new();
        let onset = self.case.onset;
        let secs = |name: &str, before: f64, after: f64| shift(name, "s", Pair { before, after }, onset);
        if let Some(suspicion) = self.contrast.get(service) {
            if let Some((name, before, after)) = suspicion.slowest.as_ref().filter(|_| suspicion.own > 0.0) {
                evidence.push(secs(&format!("own time of {name}"), *before, *after));
            }
            if let Some((other, before, after)) = suspicion.widest.as_ref().filter(|_| suspicion.gap > 0.0) {
                evidence.push(secs(&format!("time lost in calls with {other}"), *before, *after));
            }
            evidence.extend(suspicion.broken.clone().filter(|_| suspicion.pattern > 0.0).map(Evidence::Note));
        }
        for (caller, unreached) in self.unreached.iter().filter(|(_, unreached)| unreached.callee == service)
        {
            let Unreached { failed, missing, .. } = unreached;
            evidence.push(Evidence::Note(format!(
                "{missing} of {failed} requests that fail at {caller} did not reach it"
            )));
        }
        for moved in self.moved(service).take(CITED) {
            let pair = Pair { before: moved.usual, after: moved.now };
            evidence.push(shift(moved.of.metric, "", pair, onset));
        }
        if let Some(log) = self.logs.get(service) {
            let line = log.line.clone();
            evidence.push(Evidence::Log { time: onset, service: service.to_owned(), line });
        }
        evidence
    }

    /// The metrics that moved, by the score of their service and how far they moved.
    pub(super) fn metrics(&self, score: impl Fn(&str) -> f64) -> Vec<RankedMetric> {
        let ranked = |moved: &Moved<'_>| RankedMetric {
            service: moved.of.service.to_owned(),
            metric: moved.of.metric.to_owned(),
            score: score(moved.of.service) * self.worth(moved),
            before: moved.usual,
            after: moved.now,
        };
        let mut all: Vec<RankedMetric> = self.reading.moved.iter().map(ranked).collect();
        all.sort_by(|a, b| b.score.total_cmp(&a.score));
        all
    }

    /// Checks the effect of causes on the symptom.
    pub(super) fn check(&self, causes: &mut [Cause]) {
        let Some(checks) = Checks::of(&self.case, &self.calls) else { return };
        for cause in causes {
            cause.check = cause.subject.service().and_then(|service| checks.of_cause(service));
            cause.evidence.extend(cause.check.as_ref().map(|check| Evidence::Note(check.sentence())));
        }
    }

    /// False where what was noticed cannot come from a service by any calls.
    pub(super) fn may_reach(&self, service: &str) -> bool {
        let Some(reached) = &self.reached else { return true };
        reached.contains_key(service) || !self.calls.has(service)
    }

    fn moved(&self, service: &str) -> impl Iterator<Item = &Moved<'a>> {
        self.reading.moved.iter().filter(move |moved| moved.of.service == service)
    }

    fn worth(&self, moved: &Moved<'_>) -> f64 {
        let strength = self.beside_spans(moved) * moved.strength;
        let Some(reached) = &self.reached else { return strength };
        let left = match (reached.get(moved.of.service), moved.travels()) {
            (Some(width), true) => *width,
            (None, true) => LEFT_WITHOUT_WAY,
            (Some(_), false) => 1.0,
            (None, false) => LEFT_ELSEWHERE,
        };
        left * strength
    }

    /// How much of the failures that begin at a service is beyond the usual, by its spans.
    fn failing_more(&self, service: &str) -> f64 {
        let [usual, now] = self.spans.map(|graph| failing(graph, service));
        ratio(now - usual, now).max(0.0)
    }

    /// What is left of a metric where there are spans: they tell of slowness and failures better, and whether a
    /// resource that is used more does any harm; and a service that no request passes does none.
    fn beside_spans(&self, moved: &Moved<'_>) -> f64 {
        let service = moved.of.service;
        let is_traced = self.spans.iter().all(|graph| graph.node(service).is_some());
        if self.spans.iter().any(|graph| graph.nodes().is_empty()) {
            return 1.0;
        }
        if !is_traced {
            return if self.calls.has(service) { 1.0 } else { LEFT_WITHOUT_WAY };
        }
        // Requests that never arrive have no spans: what they do shows at those that sent them.
        let harm = if moved.is_failure() {
            let above = self.broken_above.get(service).copied().unwrap_or_default();
            above.max(self.failing_more(service))
        } else {
            let suspicion = self.contrast.get(service).filter(|_| !moved.travels());
            suspicion.map_or(0.0, |told| told.own.max(told.gap).max(told.pattern))
        } / SURELY_STRANGE;
        BESIDE_SPANS + (1.0 - BESIDE_SPANS) * harm.min(1.0)
    }
}

/// What there is of failures that begin at a service, as a share of its requests.
fn failing(graph: &ServiceGraph, service: &str) -> f64 {
    graph.node(service).map_or(0.0, |node| ratio(to_f64(node.error_origins), to_f64(node.handled.requests)))
}

/// How much a service's part in all requests grew, as a factor; none where it had none.
fn growth(before: &Period, after: &Period, service: &str) -> Option<f64> {
    let share = |period: &Period| {
        let all: u64 = period.graph.nodes().iter().map(|node| node.handled.requests).sum();
        let own = period.graph.node(service).map_or(0, |node| node.handled.requests);
        ratio(to_f64(own), to_f64(all))
    };
    let usual = share(before);
    (usual > 0.0).then(|| share(after) / usual)
}

/// Whoever calls a service that writes strange lines is given its answers: what the caller then writes is owed to it.
/// O(services with strange lines x calls).
fn move_down(logs: &mut BTreeMap<String, LogShift>, calls: &Calls<'_>) {
    let strengths: Vec<(String, f64)> =
        logs.iter().map(|(service, shift)| (service.clone(), shift.strength)).collect();
    let above =
        |service: &str| calls.above(std::iter::once(service).filter_map(|service| calls.name(service)));
    for (service, strength) in &strengths {
        let callers = above(service);
        for (caller, _) in strengths.iter().filter(|(caller, _)| callers.contains(caller.as_str())) {
            // Neither of two that call each other is below the other.
            if !above(caller).contains(service.as_str())
                && let Some(shift) = logs.get_mut(caller)
            {
                shift.strength *= 1.0 - strength;
            }
        }
    }
}

/// Services that no longer answer, though their callers still handle requests and suffer.
fn gone<'a>(before: &'a Period, after: &'a Period, suffers: impl Fn(&str) -> bool) -> BTreeMap<&'a str, f64> {
    let handled = |period: &Period, service: &str| {
        period.graph.node(service).map_or(0.0, |node| to_f64(node.handled.requests))
    };
    let tests = of_len(before.graph.nodes().len());
    let mut gone = BTreeMap::new();
    for (caller, callee, edge) in before.graph.edges().filter(|(caller, ..)| suffers(caller)) {
        let growth = ratio(handled(after, caller), handled(before, caller));
        let expected = to_f64(edge.calls().requests) * growth;
        let seen = after.graph.edge(caller, callee).map_or(0.0, |edge| to_f64(edge.calls().requests));
        let is_idle = handled(after, callee) < LEFT_OF_GONE * handled(before, callee);
        if is_idle && seen < LEFT_OF_GONE * expected {
            let shift = Shift { z: 2.0 * (expected.sqrt() - seen.sqrt()), effect: 1.0 - seen / expected };
            let sure = gone.entry(callee).or_insert(0.0_f64);
            *sure = sure.max(shift.strength(tests));
        }
    }
    gone.retain(|_, sure| *sure > 0.0);
    gone
}
