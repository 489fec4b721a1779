//! Whether what is said of a cause stands up to a causal check: does the symptom follow it while nothing is wrong?

use super::calls::Calls;
use super::metric::{Kind, ServiceMetric, stands_for};
use super::rank::Case;
use crate::causal::{CausalGraph, Effect, Estimator, EstimatorConfig, Order, Samples};
use crate::number::of_len;

/// What a regression on the real call graph says of one cause: how the metric that was noticed followed the same metric of
/// the cause while nothing was wrong, what the cause itself waits for held fixed.
///
/// It is shown beside the ranking and changes nothing in it: where usual load hardly moves a service, its effect cannot be
/// seen, and a fault may break what held before.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CausalCheck {
    /// The metric of the cause that was taken for the treatment.
    pub metric: String,
    /// The effect with its p-value and what became of the attempts to refute it.
    pub effect: Effect,
    /// How much of the symptom's shift the shift of the cause accounts for by that effect; 1 is all of it.
    pub explained: f64,
}

impl CausalCheck {
    /// What it comes to.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let refutation = &self.effect.refutation;
        if self.effect.p_value > LEVEL || refutation.placebo_p > LEVEL {
            Verdict::NotSeen
        } else if refutation.is_refuted() || self.effect.slope < 0.0 {
            Verdict::Refuted
        } else {
            Verdict::Holds
        }
    }

    /// One sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Effect { slope, p_value, rows, refutation, .. } = &self.effect;
        let verdict = match self.verdict() {
            Verdict::Holds => "holds against placebo, random cause and subsets",
            Verdict::Refuted => "refuted",
            Verdict::NotSeen => "no better than a placebo",
        };
        format!(
            "causal check: the symptom moved by {slope:.2} for each unit of its {} in {rows} usual steps (p {p_value:.2}, placebo {:.2}): {verdict}; \
             explains {:.0} % of the shift",
            self.metric,
            refutation.placebo_p,
            self.explained.clamp(-9.99, 9.99) * 100.0,
        )
    }
}

/// What a causal check comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// The effect is there, and nothing refutes it.
    Holds,
    /// It is there and does not stand: it rests on a few steps, moves with a made-up common cause, or has the wrong sign.
    Refuted,
    /// Usual steps do not show it: a placebo does as well. This speaks neither for nor against the cause.
    NotSeen,
}

const LEVEL: f64 = 0.05;
/// Fewer usual steps say nothing.
const LEAST_STEPS: usize = 60;
/// The latest usual steps that are looked at, and the placebos: what a case may cost is bounded.
const MOST_STEPS: usize = 1_024;
const PLACEBOS: u32 = 59;
/// What a service waits for, at the most, for it to be checked: each is held fixed.
const MOST_FIXED: usize = 12;

/// Checks causes against one symptom.
pub(super) struct Checks<'a> {
    estimator: Estimator,
    graph: CausalGraph,
    /// The metric of each service that is of the symptom's kind.
    metrics: std::collections::BTreeMap<&'a str, ServiceMetric<'a>>,
    symptom: ServiceMetric<'a>,
}

impl<'a> Checks<'a> {
    /// None where nothing was noticed that travels along calls, or too little was measured.
    pub(super) fn of(case: &Case<'a>, calls: &Calls<'a>) -> Option<Self> {
        let noticed = case.symptom?;
        let kind =
            Some(Kind::of(noticed.metric)).filter(|kind| kind.travels() && !noticed.metric.is_empty())?;
        let metrics = stands_for(case.metrics, &[kind]);
        let symptom = *metrics.get(noticed.service)?;
        let graph = CausalGraph::new(calls.pairs().map(|(caller, callee)| (callee, caller))).ok()?;
        let estimator = EstimatorConfig::new().order(Order::InTime).placebos(PLACEBOS).build().ok()?;
        Some(Self { estimator, graph, metrics, symptom })
    }

    /// The check of one cause; none where the calls or the samples do not allow it.
    pub(super) fn of_cause(&self, service: &str) -> Option<CausalCheck> {
        let treatment = self.metrics.get(service)?;
        // Callees that nobody measures cannot be held fixed, and those hardly ever asked hardly ever act.
        let parents = self.graph.parents(service).filter_map(|parent| self.metrics.get(parent));
        let fixed: Vec<&ServiceMetric<'_>> = parents.filter(|parent| is_mostly_there(parent)).collect();
        if service == self.symptom.service || fixed.len() > MOST_FIXED {
            return None;
        }
        let needed: Vec<&ServiceMetric<'_>> = [treatment, &self.symptom].into_iter().chain(fixed).collect();
        let columns = complete(&needed);
        if columns.first()?.len() < LEAST_STEPS {
            return None;
        }
        let named = needed.iter().zip(&columns).map(|(metric, column)| (metric.service, column.as_slice()));
        let edges = needed.iter().skip(2).map(|fixed| (fixed.service, service));
        let graph = CausalGraph::new(edges.chain([(service, self.symptom.service)])).ok()?;
        let is_reached =
            self.graph.reaches(service, self.symptom.service) && !self.graph.is_on_cycle(service);
        let samples = Samples::new(named).ok().filter(|_| is_reached)?;
        let effect = self.estimator.estimate(&graph, &samples, service, self.symptom.service).ok()?;
        let shift = |metric: &ServiceMetric<'_>| mean(metric.anomalous) - mean(metric.normal);
        let explained = effect.slope * shift(treatment) / shift(&self.symptom);
        let metric = treatment.metric.to_owned();
        explained.is_finite().then_some(CausalCheck { metric, effect, explained })
    }
}

/// The latest steps in which all of some metrics have a value.
fn complete(metrics: &[&ServiceMetric<'_>]) -> Vec<Vec<f64>> {
    let steps = metrics.iter().map(|metric| metric.normal.len()).min().unwrap_or_default();
    let first = steps.saturating_sub(MOST_STEPS);
    let value =
        |metric: &ServiceMetric<'_>, step: usize| metric.normal.get(step).copied().unwrap_or(f64::NAN);
    let whole: Vec<usize> =
        (first..steps).filter(|step| metrics.iter().all(|metric| value(metric, *step).is_finite())).collect();
    metrics.iter().map(|metric| whole.iter().map(|step| value(metric, *step)).collect()).collect()
}

fn is_mostly_there(metric: &ServiceMetric<'_>) -> bool {
    2 * metric.normal.iter().filter(|value| value.is_finite()).count() >= metric.normal.len()
}

fn mean(values: &[f64]) -> f64 {
    let finite = || values.iter().filter(|value| value.is_finite());
    finite().sum::<f64>() / of_len(finite().count())
}
