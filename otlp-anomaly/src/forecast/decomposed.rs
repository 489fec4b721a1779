//! Seasons taken off, what is left foreseen by another model, seasons put on again.

use super::smoothing::{Fit, Shape, Trend};
use super::{Paths, Task};
use crate::number::of_len;
use crate::season::{Decomposition, Passes, mstl};

/// MSTL and exponential smoothing of what is left, chosen by Akaike's criterion; the last cycle of each season goes on.
pub(super) fn paths(task: &Task<'_>, passes: Passes) -> Paths {
    with(task, passes, |adjusted, horizon| {
        let fit = Fit::best(adjusted, 1, CALLS);
        last(fit.paths(&Task { y: adjusted, origins: &[adjusted.len()], horizon, periods: &[] }))
    })
}

/// Theta: half the slope of the line through all values beside exponential smoothing of them (V. Assimakopoulos,
/// K. Nikolopoulos 2000; as R. J. Hyndman and B. Billah 2003 showed it to be).
pub(super) fn theta(task: &Task<'_>, passes: Passes) -> Paths {
    with(task, passes, |adjusted, horizon| {
        let fit = Fit::new(adjusted, Shape { trend: Trend::None, period: 1 }, CALLS);
        let task = Task { y: adjusted, origins: &[adjusted.len()], horizon, periods: &[] };
        let drift = slope(adjusted) / 2.0;
        let level = last(fit.paths(&task));
        level.into_iter().zip(1_usize..).map(|(level, step)| level + drift * of_len(step)).collect()
    })
}

/// Passes over the values that a fit may take.
const CALLS: usize = 80;

fn with(task: &Task<'_>, passes: Passes, model: impl Fn(&[f64], usize) -> Vec<f64>) -> Paths {
    let path = |&origin: &usize| {
        let parts = mstl(task.history(origin), task.periods, passes);
        let mut path = model(&parts.adjusted(), task.horizon);
        add_seasons(&parts, &mut path);
        path
    };
    task.origins.iter().map(path).collect()
}

fn add_seasons(parts: &Decomposition, path: &mut [f64]) {
    for season in &parts.seasons {
        let cycle = season.values.len().saturating_sub(season.period);
        let cycle = season.values.get(cycle..).unwrap_or_default();
        path.iter_mut().zip(cycle.iter().cycle()).for_each(|(value, season)| *value += season);
    }
}

fn last(paths: Paths) -> Vec<f64> {
    paths.into_iter().next_back().unwrap_or_default()
}

fn slope(y: &[f64]) -> f64 {
    let middle = (of_len(y.len()) - 1.0) / 2.0;
    let mean = y.iter().sum::<f64>() / of_len(y.len().max(1));
    let (mut mixed, mut square) = (0.0, 0.0);
    for (value, at) in y.iter().zip(0_usize..) {
        mixed += (of_len(at) - middle) * (value - mean);
        square += (of_len(at) - middle).powi(2);
    }
    if square > 0.0 { mixed / square } else { 0.0 }
}
