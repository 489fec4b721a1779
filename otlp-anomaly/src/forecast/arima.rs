//! Autoregression and moving average of differences, near and a season apart.
//!
//! G. Box and G. Jenkins 1970; fitted by conditional sum of squares, orders chosen by walking from a few models to the best
//! neighbour by Akaike's corrected criterion, as R. J. Hyndman and Y. Khandakar 2008 (`auto.arima`). A difference of a season is
//! taken where it removes a third of the variance, one of a step where the test of D. Dickey and W. Fuller 1979 does not
//! exclude at 5 % that the values wander.
#![expect(clippy::indexing_slicing, reason = "lags are checked against the length that they look back on")]

use super::simplex::minimise;
use super::{Paths, Task, mean};
use crate::number::of_len;

/// Autoregressive and moving-average orders, near and seasonal; differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Order {
    p: usize,
    q: usize,
    seasonal_p: usize,
    seasonal_q: usize,
    period: usize,
}

/// The most parameters: three near of each kind, one seasonal of each.
const MOST: usize = 8;
/// Passes that one fit may take.
const CALLS: usize = 150;
/// Models that a walk may look at.
const LOOKS: usize = 16;

/// What is foreseen at each origin, with order and coefficients from what was known at the first.
pub(super) fn paths(task: &Task<'_>) -> Paths {
    let first = task.origins.first().copied().unwrap_or(0);
    let known = task.history(first);
    let period = task.periods.first().copied().unwrap_or(1);
    let seasonal = period > 1 && known.len() > 3 * period && shrinks(known, period, 0.7);
    let stationary = if seasonal { difference(known, period) } else { known.to_vec() };
    let once = wanders(&stationary);
    let prepared = prepare(known, if seasonal { period } else { 0 }, once);
    let (order, weights) = walk(&prepared, if period > 1 && known.len() > 4 * period { period } else { 1 });
    let path = |&origin: &usize| {
        let history = task.history(origin);
        let values = prepare(history, if seasonal { period } else { 0 }, once);
        let ahead = order.ahead(&weights, &values, task.horizon);
        restore(history, ahead, if seasonal { period } else { 0 }, once)
    };
    task.origins.iter().map(path).collect()
}

/// True where differences at this lag vary by less than the given share of what the values do.
fn shrinks(y: &[f64], lag: usize, share: f64) -> bool {
    let variance = |y: &[f64]| {
        let middle = mean(y);
        y.iter().map(|value| (value - middle).powi(2)).sum::<f64>() / of_len(y.len().max(1))
    };
    y.len() > lag + 2 && variance(&difference(y, lag)) < share * variance(y)
}

/// True where the values do not come back to a mean by more than chance would have it.
fn wanders(y: &[f64]) -> bool {
    let steps = difference(y, 1);
    let level = mean(y.get(..steps.len()).unwrap_or_default());
    let drift = mean(&steps);
    let (mut mixed, mut square) = (0.0, 0.0);
    for (step, before) in steps.iter().zip(y) {
        mixed += (step - drift) * (before - level);
        square += (before - level).powi(2);
    }
    let back = if square > 0.0 { mixed / square } else { return false };
    let rest: f64 =
        steps.iter().zip(y).map(|(step, before)| (step - drift - back * (before - level)).powi(2)).sum();
    let error = (rest / (of_len(steps.len()) - 2.0).max(1.0) / square).sqrt();
    back > DICKEY_FULLER * error
}

/// The 5 % quantile of the test's statistic with a constant.
const DICKEY_FULLER: f64 = -2.86;

fn difference(y: &[f64], lag: usize) -> Vec<f64> {
    y.iter().skip(lag).zip(y).map(|(value, before)| value - before).collect()
}

/// The differences with their mean taken off where there is only one kind of them or none.
fn prepare(y: &[f64], season: usize, once: bool) -> Vec<f64> {
    let mut values = if season > 0 { difference(y, season) } else { y.to_vec() };
    if once {
        values = difference(&values, 1);
    }
    let middle = centre(&values, season, once);
    values.iter_mut().for_each(|value| *value -= middle);
    values
}

fn centre(values: &[f64], season: usize, once: bool) -> f64 {
    if season > 0 && once { 0.0 } else { mean(values) }
}

/// The way back: the mean, then the differences summed up.
fn restore(history: &[f64], mut ahead: Vec<f64>, season: usize, once: bool) -> Vec<f64> {
    let seasonal = if season > 0 { difference(history, season) } else { history.to_vec() };
    let base = if once { difference(&seasonal, 1) } else { seasonal.clone() };
    let middle = centre(&base, season, once);
    ahead.iter_mut().for_each(|value| *value += middle);
    if once {
        let mut level = seasonal.last().copied().unwrap_or(0.0);
        for value in &mut ahead {
            level += *value;
            *value = level;
        }
    }
    if season > 0 {
        let mut cycle: Vec<f64> = history[history.len().saturating_sub(season)..].to_vec();
        for (step, value) in ahead.iter_mut().enumerate() {
            let place = step % cycle.len().max(1);
            *value += cycle[place];
            cycle[place] = *value;
        }
    }
    ahead
}

/// From a few common models to the best neighbour, until none is better.
fn walk(values: &[f64], period: usize) -> (Order, [f64; MOST]) {
    let seasonal = usize::from(period > 1);
    let order = |p, q, seasonal_p, seasonal_q| Order { p, q, seasonal_p, seasonal_q, period };
    let mut tried: Vec<Order> = Vec::new();
    let mut best = order(0, 0, 0, 0);
    let (mut weights, mut least) = best.fit(values);
    let mut next = vec![order(2, 2, seasonal, seasonal), order(1, 0, seasonal, 0), order(0, 1, 0, seasonal)];
    while tried.len() < LOOKS && !next.is_empty() {
        let mut moved = false;
        for candidate in std::mem::take(&mut next) {
            if tried.contains(&candidate) || tried.len() >= LOOKS {
                continue;
            }
            tried.push(candidate);
            let (fitted, criterion) = candidate.fit(values);
            if criterion < least {
                (best, weights, least, moved) = (candidate, fitted, criterion, true);
            }
        }
        if moved {
            next = best.neighbours();
        }
    }
    (best, weights)
}

impl Order {
    fn neighbours(self) -> Vec<Self> {
        let seasonal = usize::from(self.period > 1);
        let mut all = Vec::new();
        for (p, q) in [
            (self.p + 1, self.q),
            (self.p.wrapping_sub(1), self.q),
            (self.p, self.q + 1),
            (self.p, self.q.wrapping_sub(1)),
        ] {
            all.push(Self { p, q, ..self });
        }
        all.push(Self { seasonal_p: 1 - self.seasonal_p.min(1), ..self });
        all.push(Self { seasonal_q: 1 - self.seasonal_q.min(1), ..self });
        all.retain(|order| {
            order.p <= 3 && order.q <= 3 && order.seasonal_p <= seasonal && order.seasonal_q <= seasonal
        });
        all
    }

    /// Coefficients with the least sum of squares, and the criterion.
    fn fit(self, values: &[f64]) -> ([f64; MOST], f64) {
        let used = self.p + self.q + self.seasonal_p + self.seasonal_q;
        let mut errors = Vec::new();
        let cost = |at: &[f64; MOST]| {
            let weights = self.bounded(at);
            self.errors(&weights, values, &mut errors);
            errors.iter().map(|error| error * error).sum::<f64>()
        };
        let (best, squares) = if used == 0 {
            ([0.0; MOST], values.iter().map(|value| value * value).sum())
        } else {
            minimise([0.1; MOST], used, 0.3, CALLS, cost)
        };
        let (count, parameters) = (of_len(values.len().max(1)), of_len(used) + 1.0);
        let correction = 2.0 * parameters * (parameters + 1.0) / (count - parameters - 1.0).max(0.5);
        let criterion = count * (squares / count).max(1e-300).ln() + 2.0 * parameters + correction;
        (self.bounded(&best), criterion)
    }

    /// Coefficients in their places, three near of each kind and one seasonal of each, that neither explode nor have no inverse:
    /// the sum of each kind stays below one.
    fn bounded(self, at: &[f64; MOST]) -> [f64; MOST] {
        let mut weights = [0.0; MOST];
        let places = (0..self.p)
            .chain(3..3 + self.q)
            .chain((0..self.seasonal_p).map(|_| 6))
            .chain((0..self.seasonal_q).map(|_| 7));
        places.zip(at.iter().copied()).for_each(|(place, value)| weights[place] = value);
        let tamed = |part: &mut [f64]| {
            let sum: f64 = part.iter().map(|value| value.abs()).sum();
            if sum > LARGEST {
                part.iter_mut().for_each(|value| *value *= LARGEST / sum);
            }
        };
        let (near, seasonal) = weights.split_at_mut(6);
        let (ar, ma) = near.split_at_mut(3);
        tamed(ar);
        tamed(ma);
        seasonal.iter_mut().for_each(|value| *value = value.clamp(-LARGEST, LARGEST));
        weights
    }

    /// What is expected at `at` from values and errors before it; both polynomials are products of a near and a seasonal one.
    fn expected(self, weights: &[f64; MOST], values: &[f64], errors: &[f64], at: usize) -> f64 {
        let back = |values: &[f64], lag: usize| {
            if lag <= at { values.get(at - lag).copied().unwrap_or(0.0) } else { 0.0 }
        };
        let (mut sum, [sar, sma]) = (0.0, [weights[6], weights[7]]);
        for lag in 1..=self.p {
            let weight = weights[lag - 1];
            sum += weight * back(values, lag);
            if self.seasonal_p > 0 {
                sum -= weight * sar * back(values, lag + self.period);
            }
        }
        if self.seasonal_p > 0 {
            sum += sar * back(values, self.period);
        }
        for lag in 1..=self.q {
            let weight = weights[2 + lag];
            sum += weight * back(errors, lag);
            if self.seasonal_q > 0 {
                sum += weight * sma * back(errors, lag + self.period);
            }
        }
        if self.seasonal_q > 0 {
            sum += sma * back(errors, self.period);
        }
        sum
    }

    fn errors(self, weights: &[f64; MOST], values: &[f64], errors: &mut Vec<f64>) {
        errors.clear();
        for (at, value) in values.iter().enumerate() {
            let expected = self.expected(weights, values, errors, at);
            errors.push(value - expected);
        }
    }

    fn ahead(self, weights: &[f64; MOST], values: &[f64], horizon: usize) -> Vec<f64> {
        let mut errors = Vec::with_capacity(values.len() + horizon);
        self.errors(weights, values, &mut errors);
        let mut known = values.to_vec();
        for _ in 0..horizon {
            let next = self.expected(weights, &known, &errors, known.len());
            known.push(next);
            errors.push(0.0);
        }
        known.split_off(values.len())
    }
}

/// The largest sum of coefficients of one kind.
const LARGEST: f64 = 0.98;
