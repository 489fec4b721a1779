//! Exponential smoothing with additive errors: level, trend, damped trend, season.
//!
//! R. J. Hyndman, A. Koehler, J. K. Ord, R. Snyder 2008, "Forecasting with Exponential Smoothing", chapters 2 and 5. First states are
//! estimated from the first cycles and not fitted, which counts them all the same in the criterion. What is multiplicative is
//! smoothed as logarithms.
#![expect(clippy::indexing_slicing, reason = "phases lie below the period")]

use super::simplex::minimise;
use super::{Paths, Task};
use crate::number::of_len;

/// How the trend goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trend {
    None,
    Straight,
    Damped,
}

/// What a fit depends on besides the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) trend: Trend,
    /// Below two for no season.
    pub(super) period: usize,
}

/// Smoothing parameters, each within its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shares {
    level: f64,
    slope: f64,
    damping: f64,
    season: f64,
}

/// The state after the last value seen.
#[derive(Debug, Clone, PartialEq)]
struct State {
    level: f64,
    slope: f64,
    season: Vec<f64>,
    at: usize,
}

/// Parameters that fit some values, and how well.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fit {
    shape: Shape,
    shares: Shares,
    /// Akaike's criterion with the correction for few values; the smallest is the best.
    pub(super) criterion: f64,
}

impl Fit {
    /// The likeliest parameters; at most `calls` passes over `y`.
    pub(super) fn new(y: &[f64], shape: Shape, calls: usize) -> Self {
        let begin = State::new(y, shape);
        let cost = |at: &[f64; 4]| {
            let mut state = begin.clone();
            let shares = Shares::new(shape, at);
            y.iter().map(|&value| state.step(&shares, value).powi(2)).sum::<f64>()
        };
        // Level, season, slope, damping: the last are not varied where they mean nothing.
        let used = match (shape.trend, shape.period > 1) {
            (Trend::None, false) => 1,
            (Trend::None, true) => 2,
            (Trend::Straight, _) => 3,
            (Trend::Damped, _) => 4,
        };
        let (best, squares) = minimise([-1.0, -2.0, -2.0, 1.0], used, 1.0, calls, cost);
        let seasonal = if shape.period > 1 { of_len(shape.period) + 1.0 } else { 0.0 };
        let parameters =
            3.0 + match shape.trend {
                Trend::None => 0.0,
                Trend::Straight => 2.0,
                Trend::Damped => 3.0,
            } + seasonal;
        let count = of_len(y.len());
        let correction = 2.0 * parameters * (parameters + 1.0) / (count - parameters - 1.0).max(0.5);
        let fitted = count * (squares / count.max(1.0)).max(1e-300).ln();
        Self { shape, shares: Shares::new(shape, &best), criterion: fitted + 2.0 * parameters + correction }
    }

    /// The best by Akaike's criterion of none, straight and damped trends, with the season and without it.
    pub(super) fn best(y: &[f64], period: usize, calls: usize) -> Self {
        let seasonal = period > 1 && y.len() >= 2 * period + 4;
        let periods = [Some(1), seasonal.then_some(period)];
        let mut best: Option<Self> = None;
        for period in periods.into_iter().flatten() {
            for trend in [Trend::None, Trend::Damped, Trend::Straight] {
                let fit = Self::new(y, Shape { trend, period }, calls);
                if best.as_ref().is_none_or(|best| fit.criterion < best.criterion) {
                    best = Some(fit);
                }
            }
        }
        best.unwrap_or_else(|| Self::new(y, Shape { trend: Trend::None, period: 1 }, calls))
    }

    /// What these parameters foresee at each origin.
    pub(super) fn paths(&self, task: &Task<'_>) -> Paths {
        let first = task.origins.first().copied().unwrap_or(task.y.len());
        let mut state = State::new(task.history(first), self.shape);
        let mut from = 0;
        let mut paths = Vec::with_capacity(task.origins.len());
        for &origin in task.origins {
            for &value in task.y.iter().take(origin).skip(from) {
                state.step(&self.shares, value);
            }
            from = origin;
            paths.push(state.ahead(&self.shares, task.horizon));
        }
        paths
    }
}

impl Shares {
    /// Any numbers to parameters within their bounds.
    fn new(shape: Shape, &[level, season, slope, damping]: &[f64; 4]) -> Self {
        let share = |x: f64| 1.0 / (1.0 + (-x).exp());
        let level = share(level).clamp(1e-4, 0.9999);
        Self {
            level,
            slope: if shape.trend == Trend::None { 0.0 } else { level * share(slope) },
            // Below 0.8 a damped trend is hardly one, above 0.98 hardly damped.
            damping: match shape.trend {
                Trend::None => 0.0,
                Trend::Straight => 1.0,
                Trend::Damped => 0.8 + 0.18 * share(damping),
            },
            season: if shape.period > 1 { (1.0 - level) * share(season) } else { 0.0 },
        }
    }
}

impl State {
    fn new(y: &[f64], shape: Shape) -> Self {
        let period = shape.period.max(1);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / of_len(values.len().max(1));
        let first = &y[..y.len().min(if period > 1 { period } else { 8 })];
        let second = &y[first.len()..y.len().min(2 * first.len())];
        let slope = if shape.trend == Trend::None || second.is_empty() {
            0.0
        } else {
            (mean(second) - mean(first)) / of_len(first.len().max(1))
        };
        let level = mean(first);
        let mut season = vec![0.0; period];
        if period > 1 {
            season.iter_mut().zip(first).for_each(|(season, value)| *season = value - level);
        }
        // The level before the first value, where the line through the middle of the first cycle begins.
        Self { level: level - slope * (of_len(first.len()) + 1.0) / 2.0, slope, season, at: 0 }
    }

    /// Takes in one value and gives how far off the state was.
    fn step(&mut self, shares: &Shares, value: f64) -> f64 {
        let steady = self.level + shares.damping * self.slope;
        let error = value - steady - self.season[self.at];
        self.level = steady + shares.level * error;
        self.slope = shares.damping * self.slope + shares.slope * error;
        self.season[self.at] += shares.season * error;
        self.at = if self.at + 1 == self.season.len() { 0 } else { self.at + 1 };
        error
    }

    fn ahead(&self, shares: &Shares, horizon: usize) -> Vec<f64> {
        let (mut level, mut slope) = (self.level, self.slope);
        let season = self.season.iter().cycle().skip(self.at);
        let path = season.take(horizon).map(|season| {
            slope *= shares.damping;
            level += slope;
            level + season
        });
        path.collect()
    }
}
