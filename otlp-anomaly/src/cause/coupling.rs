//! Whether a caller waits for a callee at all: regression on what was measured while nothing was wrong.

use std::collections::BTreeMap;

use super::metric::{Kind, ServiceMetric, stands_for};
use crate::number::{of_len, ratio};

/// The time spent in all requests of each service, step by step.
#[derive(Debug, Default)]
pub(super) struct Coupling<'a> {
    spent: BTreeMap<&'a str, Vec<f64>>,
}

/// Steps that a regression needs.
const LEAST_STEPS: usize = 30;
/// Standard errors by which a regression may be too low.
const LEFT_TO_CHANCE: f64 = 2.0;

impl<'a> Coupling<'a> {
    pub(super) fn new(metrics: &[ServiceMetric<'a>]) -> Self {
        let mut spent = BTreeMap::new();
        let requests: BTreeMap<&str, &[f64]> = metrics
            .iter()
            .filter(|metric| Kind::of(metric.metric) == Kind::Requests)
            .map(|metric| (metric.service, metric.normal))
            .collect();
        for (service, latency) in stands_for(metrics, &[Kind::Latency]) {
            let Some(requests) = requests.get(service) else { continue };
            let each = latency.normal.iter().zip(*requests).map(|(latency, requests)| latency * requests);
            spent.insert(service, each.collect());
        }
        Self { spent }
    }

    /// How many more seconds a caller spends for each more that its callee does, from step to step: about one where
    /// it waits, none where it does not. 1 where that is not known. O(steps).
    pub(super) fn between(&self, caller: &str, callee: &str) -> f64 {
        let (Some(above), Some(below)) = (self.spent.get(caller), self.spent.get(callee)) else { return 1.0 };
        let steps = |values: &'_ [f64]| -> Vec<f64> {
            values.iter().zip(values.iter().skip(1)).map(|(before, after)| after - before).collect()
        };
        let both = steps(below).into_iter().zip(steps(above)).filter(|(x, y)| x.is_finite() && y.is_finite());
        let both: Vec<(f64, f64)> = both.collect();
        let squares: f64 = both.iter().map(|(x, _)| x * x).sum();
        if both.len() < LEAST_STEPS || squares <= 0.0 {
            return 1.0;
        }
        let slope = both.iter().map(|(x, y)| x * y).sum::<f64>() / squares;
        let left: f64 = both.iter().map(|(x, y)| (y - slope * x).powi(2)).sum();
        let error = ratio(left, of_len(both.len() - 1) * squares).sqrt();
        (slope + LEFT_TO_CHANCE * error).clamp(0.0, 1.0)
    }
}
