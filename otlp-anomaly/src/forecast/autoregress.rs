//! Autoregression on near and seasonal lags by least squares, as R. J. Hyndman's `ARIMA(p,0,0)(P,D,0)` would have it.

use super::linear::Normal;
use super::{Paths, Task};
use crate::number::of_len;

/// Lags, and the lag whose difference is taken first (0 for none), in cycles or steps.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    lags: Vec<usize>,
    difference: usize,
}

/// The shapes worth a try with a short and a long season.
pub(super) fn shapes((short, long): (usize, usize)) -> Vec<Shape> {
    let shape = |lags: &[usize], difference| Shape { lags: lags.to_vec(), difference };
    let mut shapes = vec![shape(&[1, 2, short], short), shape(&[1, short, short + 1], 0)];
    if long > short {
        shapes.push(shape(&[1, 2, short], long));
        shapes.push(shape(&[1, short], long));
        shapes.push(shape(&[1, 2, short, long], 0));
        shapes.push(shape(&[1, 2, 3, short, short + 1, short + 2, long, long + 1], 0));
        shapes.push(shape(&[short, long], 0));
        shapes.push(shape(&[1, short, short + 1, long, long + 1], short));
    }
    shapes.iter_mut().for_each(|shape| {
        shape.lags.sort_unstable();
        shape.lags.dedup();
    });
    shapes
}

/// The shape with the most lags that the values are long enough for.
pub(super) fn paths(task: &Task<'_>) -> Paths {
    let both = match task.periods {
        [] => (1, 1),
        [short, ..] => (*short, task.periods.last().copied().unwrap_or(*short)),
    };
    let mut shapes = shapes(both);
    shapes.sort_by_key(|shape| std::cmp::Reverse((shape.lags.len(), shape.reach())));
    let found = shapes.iter().find_map(|shape| shape.paths(task));
    found.unwrap_or_else(|| super::naive::paths(task, 1))
}

impl Shape {
    /// Values before the first one that it can explain.
    fn reach(&self) -> usize {
        self.difference + self.lags.iter().copied().max().unwrap_or(0)
    }

    /// What is foreseen at each origin; none where the first one is too early for it.
    pub(super) fn paths(&self, task: &Task<'_>) -> Option<Paths> {
        let first = *task.origins.first()?;
        if first < self.reach() + 4 * self.lags.len() + 8 {
            return None;
        }
        let mean = task.history(first).iter().sum::<f64>() / of_len(first);
        let values = self.differences(task.y, mean);
        let mut sums = Normal::new(self.lags.len());
        let mut row = Vec::with_capacity(self.lags.len());
        let mut from = self.reach();
        let mut paths = Vec::with_capacity(task.origins.len());
        for &origin in task.origins {
            for at in from..origin {
                self.row(&values, at, &mut row);
                sums.add(&row, values.get(at).copied().unwrap_or(0.0));
            }
            from = origin.max(from);
            let coefficients = sums.solve(|_| 1e-9 + 1e-6 * of_len(origin));
            paths.push(self.path(task, &values, origin, (mean, &coefficients)));
        }
        Some(paths)
    }

    fn differences(&self, y: &[f64], mean: f64) -> Vec<f64> {
        if self.difference == 0 {
            return y.iter().map(|value| value - mean).collect();
        }
        let first = std::iter::repeat_n(0.0, self.difference.min(y.len()));
        first.chain(y.iter().skip(self.difference).zip(y).map(|(value, before)| value - before)).collect()
    }

    fn row(&self, values: &[f64], at: usize, row: &mut Vec<f64>) {
        row.clear();
        let lag = |lag: &usize| at.checked_sub(*lag).and_then(|at| values.get(at)).copied().unwrap_or(0.0);
        row.extend(self.lags.iter().map(lag));
    }

    fn path(
        &self,
        task: &Task<'_>,
        values: &[f64],
        origin: usize,
        (mean, coefficients): (f64, &[f64]),
    ) -> Vec<f64> {
        let mut known: Vec<f64> = values.get(..origin).unwrap_or_default().to_vec();
        let mut path: Vec<f64> = Vec::with_capacity(task.horizon);
        let mut row = Vec::with_capacity(self.lags.len());
        for step in 0..task.horizon {
            self.row(&known, origin + step, &mut row);
            let next: f64 = row.iter().zip(coefficients).map(|(value, share)| value * share).sum();
            known.push(next);
            let base = match self.difference {
                0 => mean,
                lag if step >= lag => path.get(step - lag).copied().unwrap_or(mean),
                lag => task.y.get((origin + step).wrapping_sub(lag)).copied().unwrap_or(mean),
            };
            path.push(base + next);
        }
        path
    }
}
