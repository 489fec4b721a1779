//! Regression on a bent line, waves and holidays.
//!
//! The additive model of S. J. Taylor and B. Letham 2018 ("Forecasting at Scale", Prophet): a piecewise linear trend whose bends are held
//! small, Fourier terms for each season, a term for each holiday. Where they sample or climb a posterior, here every prior is
//! a normal one, so that the answer is a ridge regression in closed form; the error of the last value fades as an
//! autoregression of order one.

use super::linear::Normal;
use super::{Paths, Task};
use crate::number::{of_len, ratio};

/// Bends of the trend, over the first four fifths of the values.
const BENDS: usize = 12;
/// Waves of the shortest season and of each longer one.
const WAVES: (usize, usize) = (8, 12);

/// The terms of the model for values of one length.
struct Terms<'a> {
    count: usize,
    waves: Vec<(usize, usize)>,
    holidays: &'a [(usize, usize)],
}

/// What is foreseen at each origin; `holidays` are stretches `[from, until)` in steps, which may lie ahead.
pub(super) fn paths(task: &Task<'_>, holidays: &[(usize, usize)]) -> Paths {
    let path = |&origin: &usize| {
        let history = task.history(origin);
        let terms = Terms::new(origin, task.periods, holidays);
        let mut sums = Normal::new(terms.columns());
        let mut row = Vec::with_capacity(terms.columns());
        for (at, &value) in history.iter().enumerate() {
            terms.row(at, &mut row);
            sums.add(&row, value);
        }
        let coefficients = sums.solve(|column| terms.ridge(column));
        let mut fitted = |at: usize| {
            terms.row(at, &mut row);
            row.iter().zip(&coefficients).map(|(value, share)| value * share).sum::<f64>()
        };
        let errors: Vec<f64> = history.iter().enumerate().map(|(at, value)| value - fitted(at)).collect();
        let mixed: f64 = errors.iter().zip(errors.iter().skip(1)).map(|(a, b)| a * b).sum();
        let memory = ratio(mixed, errors.iter().map(|error| error * error).sum()).clamp(0.0, 0.98);
        let mut echo = errors.last().copied().unwrap_or(0.0);
        let ahead = (origin..origin + task.horizon).map(|at| {
            echo *= memory;
            fitted(at) + echo
        });
        ahead.collect()
    };
    task.origins.iter().map(path).collect()
}

impl<'a> Terms<'a> {
    fn new(count: usize, periods: &[usize], holidays: &'a [(usize, usize)]) -> Self {
        let mut waves: Vec<(usize, usize)> = Vec::new();
        for (nth, &period) in periods.iter().enumerate().filter(|(_, period)| 2 * **period <= count) {
            let most = if nth == 0 { WAVES.0 } else { WAVES.1 };
            let new = (1..=period / 2).filter(|wave| {
                // A wave that a shorter season has already is left to it.
                !periods.iter().take(nth).any(|shorter| wave * shorter % period == 0)
            });
            waves.extend(new.take(most).map(|wave| (wave, period)));
        }
        Self { count, waves, holidays }
    }

    const fn columns(&self) -> usize {
        2 + BENDS + 2 * self.waves.len() + self.holidays_column()
    }

    const fn holidays_column(&self) -> usize {
        if self.holidays.is_empty() { 0 } else { 1 }
    }

    fn row(&self, at: usize, row: &mut Vec<f64>) {
        let time = of_len(at) / of_len(self.count.max(1));
        row.clear();
        row.extend([1.0, time]);
        row.extend((1..=BENDS).map(|bend| (time - 0.8 * of_len(bend) / of_len(BENDS + 1)).max(0.0)));
        for &(wave, period) in &self.waves {
            let turn = of_len(wave * (at % period) % period) / of_len(period) * std::f64::consts::TAU;
            row.extend([turn.cos(), turn.sin()]);
        }
        if !self.holidays.is_empty() {
            let within = self.holidays.iter().any(|(from, until)| (*from..*until).contains(&at));
            row.push(if within { 1.0 } else { 0.0 });
        }
    }

    /// Strong for bends, light for waves, none for the line.
    const fn ridge(&self, column: usize) -> f64 {
        match column {
            0 => 0.0,
            1 => 1e-3,
            _ if column < 2 + BENDS => 20.0,
            _ => 2.0,
        }
    }
}
