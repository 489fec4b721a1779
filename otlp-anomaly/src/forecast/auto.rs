//! The choice: every candidate foresees from rolling origins, and the best are averaged.

use super::{Model, Paths, Task, autoregress, decomposed, filter, naive, smoothing};
use crate::number::{of_len, ratio};
use crate::season::Passes;

/// What was chosen: the combined paths, and whose they are with what share.
pub(super) struct Choice {
    pub(super) paths: Paths,
    pub(super) members: Vec<(Model, f64)>,
}

struct Candidate {
    member: Model,
    paths: Paths,
    error: f64,
}

/// Candidates that are averaged.
const BEST: usize = 8;
/// Of the filters, those that are judged exactly.
const FILTERS: usize = 12;
/// A share falls with this power of the error.
const POWER: f64 = 8.0;
/// Values up to which a decomposition at every origin costs no more than all the rest.
const FEW: usize = 400;

/// Averages the candidates that were the best at the rolling origins. The last origin is the end of the values.
pub(super) fn choose(task: &Task<'_>) -> Choice {
    let weights = Weights::new(task);
    let logs = Logs::of(task.y);
    let mut candidates = Vec::new();
    propose(task, &weights.linear, &mut candidates, Scale::Linear);
    if let Some(logs) = &logs {
        let weights: Vec<f64> =
            weights.linear.iter().zip(task.y).map(|(weight, value)| weight * value).collect();
        propose(&Task { y: &logs.values, ..*task }, &weights, &mut candidates, Scale::Log(logs.edge));
    }
    let bounds = Bounds::new(task);
    candidates.retain(|candidate| candidate.paths.iter().flatten().all(|value| bounds.hold(*value)));
    for candidate in &mut candidates {
        candidate.error = weights.error(task, &candidate.paths);
    }
    candidates.retain(|candidate| candidate.error.is_finite());
    candidates.sort_by(|a, b| a.error.total_cmp(&b.error));
    candidates.truncate(BEST);
    combine(task, &candidates)
}

/// The filters alone, on the scale of the values.
pub(super) fn filters(task: &Task<'_>) -> Choice {
    let weights = Weights::new(task);
    let mut candidates = Vec::new();
    propose_filters(task, &weights.linear, both(task).unwrap_or((1, 1)), |paths| {
        candidates.push(Candidate { member: Model::Filter, error: weights.error(task, &paths), paths });
    });
    candidates.retain(|candidate| candidate.error.is_finite());
    candidates.sort_by(|a, b| a.error.total_cmp(&b.error));
    candidates.truncate(BEST);
    combine(task, &candidates)
}

/// The short season and the long one, which may be the same.
const fn both(task: &Task<'_>) -> Option<(usize, usize)> {
    match task.periods {
        [] => None,
        [one] => Some((*one, *one)),
        [short, .., long] => Some((*short, *long)),
    }
}

fn propose_filters(task: &Task<'_>, weights: &[f64], periods: (usize, usize), add: impl FnMut(Paths)) {
    let start = filter::Start::new(task.history(first(task)), periods);
    let grid = filter::grid();
    let distances = filter::distances(task, weights, &start, &grid);
    let mut order: Vec<(f64, filter::Setting)> = distances.into_iter().zip(grid).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let best: Vec<filter::Setting> = order.into_iter().take(FILTERS).map(|(_, setting)| setting).collect();
    filter::paths(task, &start, &best).into_iter().for_each(add);
}

/// On what scale a candidate looked at the values.
#[derive(Clone, Copy)]
enum Scale {
    Linear,
    /// As logarithms, with the largest that may be met.
    Log(f64),
}

fn propose(task: &Task<'_>, weights: &[f64], into: &mut Vec<Candidate>, scale: Scale) {
    let mut add = |member: Model, mut paths: Paths| {
        if let Scale::Log(edge) = scale {
            paths.iter_mut().flatten().for_each(|value| *value = value.min(edge).exp());
        }
        into.push(Candidate { member, paths, error: f64::INFINITY });
    };
    let periods = both(task);
    if matches!(scale, Scale::Linear) {
        let cycles = [Some(1), periods.map(|(short, _)| short), periods.map(|(_, long)| long)];
        for period in cycles.into_iter().flatten() {
            add(Model::SeasonalNaive, naive::paths(task, period));
        }
    }
    if let Some(periods) = periods {
        propose_filters(task, weights, periods, |paths| add(Model::Filter, paths));
    }
    for shape in autoregress::shapes(periods.unwrap_or((1, 1))) {
        if let Some(paths) = shape.paths(task) {
            add(Model::Autoregression, paths);
        }
    }
    if task.y.len() <= FEW || periods.is_none() {
        add(Model::Decomposed, decomposed::paths(task, Passes::DEFAULT));
        add(Model::Theta, decomposed::theta(task, Passes::DEFAULT));
        let fit = smoothing::Fit::best(task.history(first(task)), periods.map_or(1, |(short, _)| short), 80);
        add(Model::ExponentialSmoothing, fit.paths(task));
    }
}

fn first(task: &Task<'_>) -> usize {
    task.origins.first().copied().unwrap_or(task.y.len())
}

fn combine(task: &Task<'_>, best: &[Candidate]) -> Choice {
    let least = best.first().map_or(0.0, |candidate| candidate.error);
    let share = |candidate: &Candidate| {
        if candidate.error <= least { 1.0 } else { (least / candidate.error).powf(POWER) }
    };
    let whole: f64 = best.iter().map(share).sum();
    let mut paths = vec![vec![0.0; task.horizon]; task.origins.len()];
    let mut members: Vec<(Model, f64)> = Vec::new();
    for candidate in best {
        let part = share(candidate) / whole;
        for (path, other) in paths.iter_mut().zip(&candidate.paths) {
            path.iter_mut().zip(other).for_each(|(sum, value)| *sum += part * value);
        }
        match members.iter_mut().find(|(member, _)| *member == candidate.member) {
            Some((_, sum)) => *sum += part,
            None => members.push((candidate.member, part)),
        }
    }
    if best.is_empty() {
        paths = naive::paths(task, 1);
        members.push((Model::SeasonalNaive, 1.0));
    }
    members.sort_by(|a, b| b.1.total_cmp(&a.1));
    Choice { paths, members }
}

/// What an error at each point counts: half as much as it is large, half as much as it is large beside the value.
struct Weights {
    linear: Vec<f64>,
    absolute: f64,
    relative: f64,
}

impl Weights {
    fn new(task: &Task<'_>) -> Self {
        let y = task.y;
        let mean = y.iter().map(|value| value.abs()).sum::<f64>() / of_len(y.len().max(1));
        let least = 0.05 * mean;
        let period = task.periods.first().copied().unwrap_or(1);
        let pairs = || y.iter().zip(y.iter().skip(period));
        let count = of_len(y.len().saturating_sub(period).max(1));
        let absolute = pairs().map(|(a, b)| (a - b).abs()).sum::<f64>() / count;
        let relative = pairs().map(|(a, b)| ratio((a - b).abs(), b.abs().max(least))).sum::<f64>() / count;
        let linear = y
            .iter()
            .map(|value| 0.5 * ratio(1.0, absolute) + 0.5 * ratio(1.0, relative * value.abs().max(least)));
        Self { linear: linear.collect(), absolute, relative }
    }

    /// The mean of the mean absolute scaled error and the symmetric relative error beside the last cycle's.
    fn error(&self, task: &Task<'_>, paths: &Paths) -> f64 {
        let (mut absolute, mut relative, mut count) = (0.0, 0.0, 0.0);
        for (path, &origin) in paths.iter().zip(task.origins) {
            let actual = task.y.get(origin..).unwrap_or_default();
            for (foreseen, value) in path.iter().zip(actual) {
                let off = (foreseen - value).abs();
                absolute += off;
                relative += ratio(2.0 * off, foreseen.abs() + value.abs());
                count += 1.0;
            }
        }
        // A tiny error on top keeps shares finite where a candidate is never wrong.
        0.5 * ratio(absolute, count * self.absolute) + 0.5 * ratio(relative, count * self.relative) + 1e-9
    }
}

/// Values as logarithms, where all are positive and not too far apart.
struct Logs {
    values: Vec<f64>,
    edge: f64,
}

impl Logs {
    fn of(y: &[f64]) -> Option<Self> {
        let least = y.iter().copied().fold(f64::INFINITY, f64::min);
        let most = y.iter().copied().fold(0.0, f64::max);
        let fits = least > 0.0 && most / least < 1e6 && most > least;
        fits.then(|| Self { values: y.iter().map(|value| value.ln()).collect(), edge: most.ln() + 3.0 })
    }
}

/// Where no forecast goes: farther from all values than they are apart, several times.
struct Bounds {
    low: f64,
    high: f64,
}

impl Bounds {
    fn new(task: &Task<'_>) -> Self {
        let low = task.y.iter().copied().fold(f64::INFINITY, f64::min);
        let high = task.y.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let room = (high - low) * (1.0 + of_len(task.horizon) / of_len(task.y.len().max(1)));
        Self { low: low - room, high: high + room }
    }

    fn hold(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}
