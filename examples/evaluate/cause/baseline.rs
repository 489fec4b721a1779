//! What little thought comes to.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use otlp_anomaly::cause::{Case, Period};

use crate::input::Input;

/// A way to rank services without thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Baseline {
    /// By lot, the same lot each time.
    Random,
    /// By failed requests, or what metrics say of failures.
    ErrorCount,
    /// By how early any metric, or the duration of a request, left three deviations.
    EarliestChange,
    /// By how far any metric, or the mean duration of requests, moved.
    LargestShift,
}

impl Baseline {
    pub(super) const ALL: [Self; 4] =
        [Self::Random, Self::ErrorCount, Self::EarliestChange, Self::LargestShift];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::ErrorCount => "error count",
            Self::EarliestChange => "earliest change",
            Self::LargestShift => "largest shift",
        }
    }

    /// Services with their scores, highest first; those of which nothing can be said are left out.
    pub(super) fn rank(self, input: &Input) -> Vec<(String, f64)> {
        if self == Self::Random {
            let lot = |service: &str| {
                let mut hasher = DefaultHasher::new();
                (&input.name, service).hash(&mut hasher);
                (hasher.finish() >> 11) as f64
            };
            return ordered(
                input.services().into_iter().map(|service| (service.to_owned(), lot(service))).collect(),
            );
        }
        ordered(input.with(&[], |before, after, case| self.scores(before, after, case)))
    }

    fn scores(self, before: &Period, after: &Period, case: &Case<'_>) -> BTreeMap<String, f64> {
        let mut scores: BTreeMap<String, f64> = BTreeMap::new();
        let mut keep = |service: &str, score: f64| {
            let kept = scores.entry(service.to_owned()).or_insert(f64::NEG_INFINITY);
            *kept = kept.max(score);
        };
        for metric in case.metrics {
            let is_failure =
                ["error", "fail", "fault", "availab"].iter().any(|word| metric.metric.contains(word));
            let Some((mean, deviation)) = moments(metric.normal) else { continue };
            let off = |value: f64| (value - mean).abs() / deviation;
            match self {
                Self::ErrorCount if !is_failure => {}
                Self::EarliestChange => {
                    if let Some(at) = metric.anomalous.iter().position(|value| off(*value) > 3.0) {
                        keep(metric.service, -(at as f64));
                    }
                }
                _ => keep(metric.service, metric.anomalous.iter().copied().map(off).fold(0.0, f64::max)),
            }
        }
        for node in after.graph.nodes() {
            let usual = before.graph.node(&node.name);
            let mean = |node: &otlp_core::assemble::ServiceNode| {
                node.handled.latency.mean_below(1.0).unwrap_or_default()
            };
            match self {
                Self::ErrorCount => keep(&node.name, node.handled.errors as f64),
                Self::LargestShift => {
                    keep(&node.name, mean(node) / usual.map_or(f64::INFINITY, mean).max(1e-9));
                }
                _ => {}
            }
        }
        scores
    }
}

fn moments(values: &[f64]) -> Option<(f64, f64)> {
    let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let count = finite.len() as f64;
    let mean = finite.iter().sum::<f64>() / count;
    let squares: f64 = finite.iter().map(|value| (value - mean).powi(2)).sum();
    (finite.len() > 1).then(|| (mean, (squares / (count - 1.0)).sqrt().max(1e-9)))
}

fn ordered(scores: BTreeMap<String, f64>) -> Vec<(String, f64)> {
    let mut scores: Vec<(String, f64)> = scores.into_iter().filter(|(_, score)| score.is_finite()).collect();
    scores.sort_by(|a, b| b.1.total_cmp(&a.1));
    scores
}
