//! What speaks for a service beside the flow of requests: operations, metrics, logs.

use std::collections::BTreeMap;

use otlp_core::finding::Evidence;

use super::calls::Calls;
use super::contrast::{Contrast, contrast};
use super::coupling::Coupling;
use super::facts::Pair;
use super::history::Period;
use super::log::{LogShift, compare};
use super::metric::{Moved, Reading, read};
use super::rank::Case;
use super::ranking::{RankedMetric, Source};
use super::witness::shift;

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
    case: Case<'a>,
}

/// How strange a service on the way to a cause has to look for the way to be sure.
const SURELY_STRANGE: f64 = 0.3;
/// What is left of what travels along calls where the way to it shows nothing, and where there is no way.
const LEFT_WITHOUT_SIGNS: f64 = 0.25;
const LEFT_WITHOUT_WAY: f64 = 0.1;
/// What is left of other metrics where there is no way.
const LEFT_ELSEWHERE: f64 = 0.5;
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
        Self { contrast, reading, logs, calls, reached, case: *case }
    }

    /// All services that anything was heard of.
    pub(super) fn services(&self) -> impl Iterator<Item = &str> {
        let metrics = self.reading.moved.iter().map(|moved| moved.of.service);
        metrics.chain(self.contrast.keys().map(String::as_str)).chain(self.logs.keys().map(String::as_str))
    }

    /// How much more time its own operations take, 0 to 1.
    pub(super) fn own_time(&self, service: &str) -> f64 {
        self.contrast.get(service).map_or(0.0, |suspicion| suspicion.own)
    }

    /// The other parts of its score.
    pub(super) fn parts(&self, service: &str) -> [(Source, f64); 4] {
        let suspicion = self.contrast.get(service);
        let log = self.logs.get(service).map_or(0.0, |log| log.strength);
        let metric = self.moved(service).map(|moved| self.worth(moved)).fold(0.0, f64::max);
        [
            (Source::Gap, suspicion.map_or(0.0, |suspicion| suspicion.gap)),
            (Source::Pattern, suspicion.map_or(0.0, |suspicion| suspicion.pattern)),
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
