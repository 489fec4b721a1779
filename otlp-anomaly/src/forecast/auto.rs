//! The choice: every candidate foresees from rolling origins, and the best are averaged.

use super::{Model, Paths, Task, Why, autoregress, decomposed, filter, naive, smoothing};
use crate::number::{of_len, ratio};
use crate::season::Passes;

/// What was chosen: the combined paths, and whose they are with what share.
pub(super) struct Choice {
    pub(super) paths: Paths,
    pub(super) members: Vec<(Model, f64)>,
    pub(super) why: Why,
}

struct Candidate {
    member: Model,
    paths: Paths,
    /// How wrong it was at each origin.
    errors: Vec<f64>,
}

impl Candidate {
    fn new(member: Model, paths: Paths) -> Self {
        Self { member, paths, errors: Vec::new() }
    }

    /// Its mean error at the origins that are not beside `but`; those share values with it.
    fn error(&self, but: Option<usize>) -> f64 {
        let counts = |at: usize| but.is_none_or(|but| at.abs_diff(but) > 1);
        let (mut sum, mut count) = (0.0, 0.0);
        for (_, error) in self.errors.iter().enumerate().filter(|(at, _)| counts(*at)) {
            sum += error;
            count += 1.0;
        }
        // A tiny error on top keeps shares finite where a candidate is never wrong.
        ratio(sum, count) + 1e-9
    }
}

/// Candidates that are averaged.
const BEST: usize = 12;
/// Of the filters, those that are judged exactly.
const FILTERS: usize = 16;
/// A share falls with this power of the error.
const POWER: f64 = 12.0;
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
    combine(task, &weights, candidates)
}

/// The filters alone, on the scale of the values.
pub(super) fn filters(task: &Task<'_>) -> Choice {
    let weights = Weights::new(task);
    let mut candidates = Vec::new();
    propose_filters(task, &weights.linear, both(task).unwrap_or((1, 1)), |paths| {
        candidates.push(Candidate::new(Model::Filter, paths));
    });
    combine(task, &weights, candidates)
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
        into.push(Candidate::new(member, paths));
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

/// Averages the best at each origin, chosen without that origin, so that the errors there are honest; those for the end of
/// the values are chosen by all origins.
fn combine(task: &Task<'_>, weights: &Weights, mut candidates: Vec<Candidate>) -> Choice {
    for candidate in &mut candidates {
        candidate.errors = weights.errors(task, &candidate.paths);
    }
    candidates.retain(|candidate| candidate.error(None).is_finite());
    if candidates.is_empty() {
        let why = Why::Untried { values: task.y.len(), candidates: 1 };
        return Choice { paths: naive::paths(task, 1), members: vec![(Model::SeasonalNaive, 1.0)], why };
    }
    let tried = task.origins.len().saturating_sub(1);
    let mut paths = Vec::with_capacity(task.origins.len());
    let mut members: Vec<(Model, f64)> = Vec::new();
    for nth in 0..task.origins.len() {
        let but = (nth < tried && tried > LEAST_ORIGINS).then_some(nth);
        let shares = shares(&candidates, but);
        let mut path = vec![0.0; task.horizon];
        for &(part, candidate) in &shares {
            let foreseen = candidate.paths.get(nth).map(Vec::as_slice).unwrap_or_default();
            path.iter_mut().zip(foreseen).for_each(|(sum, value)| *sum += part * value);
        }
        paths.push(path);
        if nth == tried {
            members = tally(&shares);
        }
    }
    let why = why(task, &candidates);
    Choice { paths, members, why }
}

/// Why those are averaged that are.
fn why(task: &Task<'_>, candidates: &[Candidate]) -> Why {
    let (values, origins) = (task.y.len(), task.origins.len().saturating_sub(1));
    let least = |wanted: &dyn Fn(&Candidate) -> bool| {
        let wanted = candidates.iter().filter(|candidate| wanted(candidate));
        wanted.map(|candidate| (candidate.error(None), candidate.member)).min_by(|a, b| a.0.total_cmp(&b.0))
    };
    let all = least(&|_| true).filter(|_| origins > 1);
    let Some((error, best)) = all else { return Why::Untried { values, candidates: candidates.len() } };
    let repetition =
        least(&|candidate| candidate.member == Model::SeasonalNaive).map_or(error, |(error, _)| error);
    Why::Tried {
        values,
        period: task.periods.first().copied(),
        candidates: candidates.len(),
        averaged: candidates.len().min(BEST),
        origins,
        best,
        beside_repetition: ratio(error, repetition),
    }
}

/// With fewer origins than this none is left out in the choice for one.
const LEAST_ORIGINS: usize = 4;

/// The best candidates and what each has in the average.
fn shares(candidates: &[Candidate], but: Option<usize>) -> Vec<(f64, &Candidate)> {
    let mut ranked: Vec<(f64, &Candidate)> =
        candidates.iter().map(|candidate| (candidate.error(but), candidate)).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    ranked.truncate(BEST);
    let least = ranked.first().map_or(0.0, |(error, _)| *error);
    ranked.iter_mut().for_each(|(share, _)| *share = (least / *share).powf(POWER));
    let whole: f64 = ranked.iter().map(|(share, _)| share).sum();
    ranked.iter_mut().for_each(|(share, _)| *share /= whole);
    ranked
}

fn tally(shares: &[(f64, &Candidate)]) -> Vec<(Model, f64)> {
    let mut members: Vec<(Model, f64)> = Vec::new();
    for &(part, candidate) in shares {
        match members.iter_mut().find(|(member, _)| *member == candidate.member) {
            Some((_, sum)) => *sum += part,
            None => members.push((candidate.member, part)),
        }
    }
    members.sort_by(|a, b| b.1.total_cmp(&a.1));
    members
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

    /// For each origin the mean of the mean absolute scaled error and the symmetric relative error beside the last cycle's.
    fn errors(&self, task: &Task<'_>, paths: &Paths) -> Vec<f64> {
        let tried = task.origins.iter().filter(|origin| **origin < task.y.len());
        let error = |(path, origin): (&Vec<f64>, &usize)| {
            let (mut absolute, mut relative, mut count) = (0.0, 0.0, 0.0);
            for (foreseen, value) in path.iter().zip(task.y.iter().skip(*origin)) {
                let off = (foreseen - value).abs();
                absolute += off;
                relative += ratio(2.0 * off, foreseen.abs() + value.abs());
                count += 1.0;
            }
            0.5 * ratio(absolute, count * self.absolute) + 0.5 * ratio(relative, count * self.relative)
        };
        paths.iter().zip(tried).map(error).collect()
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
