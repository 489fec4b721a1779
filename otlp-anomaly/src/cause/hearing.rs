//! What speaks for a service beside the flow of requests: operations, metrics, logs.

use std::collections::{BTreeMap, BTreeSet};

use otlp_core::finding::Evidence;

use super::calls::Calls;
use super::check::Checks;
use super::contrast::{Contrast, contrast};
use super::coupling::Coupling;
use super::facts::Pair;
use super::history::Period;
use super::log::{LogShift, compare};
use super::metric::{Moved, Reading, read};
use super::rank::Case;
use super::ranking::{Cause, RankedMetric, Source};
use super::strength::Shift;
use super::witness::shift;
use crate::number::{of_len, ratio, to_f64};

/// All that was heard in one case.
#[derive(Debug)]
pub(super) struct Hearing<'a> {
    contrast: Contrast,
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
    case: Case<'a>,
}

/// How strange a service on the way to a cause has to look for the way to be sure.
const SURELY_STRANGE: f64 = 0.3;
/// What is left of what travels along calls where the way to it shows nothing, and where there is no way.
const LEFT_WITHOUT_SIGNS: f64 = 0.25;
const LEFT_WITHOUT_WAY: f64 = 0.1;
/// What is left of other metrics where there is no way.
const LEFT_ELSEWHERE: f64 = 0.5;
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
        let logs = case.logs.map(|(before, after)| compare(before, after)).unwrap_or_default();
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
        let contrast = contrast(&before.operations, &after.operations);
        let suffers = |service: &str| contrast.get(service).is_some_and(|suspicion| suspicion.pattern > 0.0);
        let gone = gone(before, after, suffers);
        let above_gone = calls.above(gone.keys().copied());
        Self { gone, above_gone, contrast, reading, logs, calls, reached, case: *case }
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

    /// The other parts of its score.
    pub(super) fn parts(&self, service: &str) -> [(Source, f64); 5] {
        let suspicion = self.contrast.get(service);
        // Whoever asks one that is gone breaks off for its sake.
        let owed = if self.above_gone.contains(service) { LEFT_ABOVE_GONE } else { 1.0 };
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
        for moved in self.moved(service).take(CITED) {
            let pair = Pair { before: moved.usual, after: moved.now };
            evidence.push(shift(moved.of.metric, "", pair, onset));
        }
        if let Some(log) = self.logs.get(service) {
            let line = format!("{} ({} times before, {} since)", log.example, log.before, log.after);
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
        let Some(reached) = &self.reached else { return moved.strength };
        let left = match (reached.get(moved.of.service), moved.travels()) {
            (Some(width), true) => *width,
            (None, true) => LEFT_WITHOUT_WAY,
            (Some(_), false) => 1.0,
            (None, false) => LEFT_ELSEWHERE,
        };
        left * moved.strength
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
