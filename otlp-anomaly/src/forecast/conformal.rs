//! Intervals from the errors that were made at the rolling origins.
//!
//! Split conformal prediction (V. Vovk, A. Gammerman, G. Shafer 2005) with scaled errors (J. Lei et al. 2018): each error is
//! divided by the size usual for its step, all are pooled, and the quantile with the finite-sample correction is
//! multiplied back. Errors of one series at near origins are not exchangeable, and the errors are of a model chosen with the
//! same origins, so that the quantile is widened by a factor fitted once on seeded and public series; see the README for what
//! it covers on others.
#![expect(clippy::indexing_slicing, reason = "steps lie below the horizon, ranks below the count")]

use super::{Paths, Task};
use crate::number::{floor, of_len, to_f64};

/// Steps of a neighbourhood in which errors are taken to be of one size.
const NEAR: usize = 2;

/// Errors by step, in the order of the origins.
pub(super) struct Errors {
    scale: Vec<f64>,
    scaled: Vec<f64>,
    origins: usize,
}

impl Errors {
    /// Those of `paths`, which has a path for each of the task's origins; what lies beyond the last value is left out.
    pub(super) fn new(task: &Task<'_>, paths: &Paths) -> Self {
        let mut by_step: Vec<Vec<f64>> = vec![Vec::new(); task.horizon];
        for (path, &origin) in paths.iter().zip(task.origins) {
            let actual = task.y.get(origin..).unwrap_or_default();
            for ((errors, foreseen), value) in by_step.iter_mut().zip(path).zip(actual) {
                errors.push((value - foreseen).abs());
            }
        }
        let met = by_step.iter().take_while(|errors| !errors.is_empty()).count();
        let origins = by_step.first().map_or(0, Vec::len);
        let all: Vec<f64> = by_step.iter().flatten().copied().collect();
        let overall = all.iter().sum::<f64>() / of_len(all.len().max(1));
        let mut scale: Vec<f64> = (0..met).map(|step| local(&by_step, step, overall)).collect();
        let scaled = by_step.iter().zip(&scale).flat_map(|(errors, scale)| {
            errors.iter().map(move |error| if *scale > 0.0 { error / scale } else { 0.0 })
        });
        let scaled = sorted(scaled.collect());
        // Beyond the steps that could be tried, errors grow as those of a random walk.
        let last = scale.last().copied().unwrap_or(0.0);
        scale.extend((met..task.horizon).map(|step| last * (of_len(step + 1) / of_len(met.max(1))).sqrt()));
        Self { scale, scaled, origins }
    }

    /// Half the width of the interval that holds `share` of what comes, for each step.
    pub(super) fn half_widths(&self, share: f64) -> Vec<f64> {
        let count = self.scaled.len();
        if count == 0 {
            return vec![0.0; self.scale.len()];
        }
        let rank = share * (of_len(count) + 1.0);
        let below = usize::try_from(floor(rank)).unwrap_or(count).clamp(1, count) - 1;
        let quantile = self.scaled[below]
            + (rank - to_f64(floor(rank))) * (self.scaled[(below + 1).min(count - 1)] - self.scaled[below]);
        let wider = WIDER * (1.0 + FEW / of_len(self.origins.max(1)));
        self.scale.iter().map(|scale| wider * quantile * scale).collect()
    }
}

/// What all intervals are widened by for being from the origins that chose the model.
const WIDER: f64 = 1.0;
/// And by this over the number of origins.
const FEW: f64 = 0.7;

/// The mean error of a step and its neighbours, held towards the mean of all.
fn local(by_step: &[Vec<f64>], step: usize, overall: f64) -> f64 {
    let near = &by_step[step.saturating_sub(NEAR)..by_step.len().min(step + NEAR + 1)];
    let count = near.iter().map(Vec::len).sum::<usize>();
    let sum: f64 = near.iter().flatten().sum();
    (sum + PRIOR * overall) / (of_len(count) + PRIOR)
}

/// Errors that the mean of all counts for.
const PRIOR: f64 = 10.0;

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values
}
