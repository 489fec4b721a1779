//! Exponential smoothing with two seasons and an autoregressive error, many settings at a time.
//!
//! J. W. Taylor 2003 ("Short-term electricity demand forecasting using double seasonal exponential smoothing"), in the
//! error-correction form of A. De Livera, R. Hyndman, R. Snyder 2011. Where the papers maximise a likelihood of one step, every
//! setting of a grid is run here and judged by how well it foresaw whole horizons at the rolling origins: that is what is
//! asked for, it cannot fall into a local optimum, and the settings run side by side in the lanes of a vector.
#![expect(
    clippy::indexing_slicing,
    reason = "phases lie below their period, lanes below LANES, times below the length"
)]

use super::{Paths, Task};
use crate::number::of_len;

/// Settings that run side by side.
const LANES: usize = 8;

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Setting {
    /// What the level takes of an error.
    level: f64,
    /// What the short season takes of it.
    short: f64,
    /// What the long season takes of it.
    long: f64,
    /// What of an error is still there a step later.
    memory: f64,
    /// How much of the long season's first estimate is believed.
    belief: f64,
}

/// Every setting that is tried.
pub(super) fn grid() -> Vec<Setting> {
    let mut grid = Vec::with_capacity(LEVELS.len() * SHORT.len() * LONG.len());
    for (level, memory) in LEVELS {
        for short in SHORT {
            for (long, belief) in LONG {
                grid.push(Setting { level, short, long, memory, belief });
            }
        }
    }
    grid
}

const LEVELS: [(f64, f64); 11] = [
    (0.003, 0.0),
    (0.003, 0.7),
    (0.003, 0.9),
    (0.02, 0.0),
    (0.02, 0.6),
    (0.02, 0.9),
    (0.1, 0.0),
    (0.1, 0.5),
    (0.3, 0.0),
    (0.7, 0.0),
    (1.0, 0.0),
];
const SHORT: [f64; 3] = [0.02, 0.1, 0.3];
const LONG: [(f64, f64); 6] = [(0.02, 1.0), (0.02, 0.5), (0.1, 1.0), (0.1, 0.5), (0.3, 0.9), (0.6, 0.9)];

/// Where all settings begin: estimates from the first two long cycles.
#[derive(Debug, Clone)]
pub(super) struct Start {
    level: f64,
    short: Vec<f64>,
    long: Vec<f64>,
}

impl Start {
    /// The mean, and what the phases of either season differ from it; one season only where both periods are equal.
    pub(super) fn new(y: &[f64], (short, long): (usize, usize)) -> Self {
        let (short, long) = (short.max(1), long.max(1));
        let first = &y[..y.len().min(2 * long)];
        let level = first.iter().sum::<f64>() / of_len(first.len().max(1));
        let mut start = Self { level, short: vec![0.0; short], long: vec![0.0; long] };
        phase_means(first, |_, value| value - level, &mut start.short);
        if long > short {
            let day = &start.short;
            phase_means(first, |at, value| value - level - day[at % short], &mut start.long);
        }
        start
    }
}

fn phase_means(y: &[f64], rest: impl Fn(usize, f64) -> f64, means: &mut [f64]) {
    let period = means.len();
    for (phase, mean) in means.iter_mut().enumerate() {
        let count = y.iter().skip(phase).step_by(period).count();
        let sum: f64 = (phase..y.len()).step_by(period).map(|at| rest(at, y[at])).sum();
        *mean = sum / of_len(count.max(1));
    }
}

/// A few settings on their way through the values.
struct Bank {
    settings: [Setting; LANES],
    level: [f64; LANES],
    error: [f64; LANES],
    short: Vec<[f64; LANES]>,
    long: Vec<[f64; LANES]>,
    at: (usize, usize),
}

impl Bank {
    fn new(settings: &[Setting], start: &Start) -> Self {
        let mut lanes = [Setting::default(); LANES];
        lanes.iter_mut().zip(settings).for_each(|(lane, setting)| *lane = *setting);
        Self {
            settings: lanes,
            level: [start.level; LANES],
            error: [0.0; LANES],
            short: start.short.iter().map(|&value| [value; LANES]).collect(),
            long: start.long.iter().map(|&value| lanes.map(|lane| lane.belief * value)).collect(),
            at: (0, 0),
        }
    }

    fn step(&mut self, value: f64) {
        let (short, long) = (&mut self.short[self.at.0], &mut self.long[self.at.1]);
        for lane in 0..LANES {
            let setting = &self.settings[lane];
            let expected = self.level[lane] + short[lane] + long[lane] + setting.memory * self.error[lane];
            let error = value - expected;
            self.level[lane] += setting.level * error;
            short[lane] += setting.short * error;
            long[lane] += setting.long * error;
            self.error[lane] = error;
        }
        self.at = self.after(self.at);
    }

    const fn after(&self, (short, long): (usize, usize)) -> (usize, usize) {
        let (short, long) = (short + 1, long + 1);
        (if short == self.short.len() { 0 } else { short }, if long == self.long.len() { 0 } else { long })
    }

    /// What all lanes expect for the next `horizon` points, one after the other.
    fn ahead(&self, horizon: usize, mut say: impl FnMut(usize, &[f64; LANES])) {
        let (mut at, mut echo) = (self.at, self.error);
        for step in 0..horizon {
            let (short, long) = (&self.short[at.0], &self.long[at.1]);
            let mut expected = [0.0; LANES];
            for lane in 0..LANES {
                echo[lane] *= self.settings[lane].memory;
                expected[lane] = self.level[lane] + short[lane] + long[lane] + echo[lane];
            }
            say(step, &expected);
            at = self.after(at);
        }
    }
}

/// For each setting, how far off it was over all origins, each point's distance times its weight.
pub(super) fn distances(task: &Task<'_>, weights: &[f64], start: &Start, settings: &[Setting]) -> Vec<f64> {
    let mut distances = Vec::with_capacity(settings.len());
    for some in settings.chunks(LANES) {
        let mut sums = [0.0; LANES];
        drive(task, start, some, |bank, origin| {
            if origin >= task.y.len() {
                return;
            }
            bank.ahead(task.horizon.min(task.y.len() - origin), |step, expected| {
                let (value, weight) = (task.y[origin + step], weights[origin + step]);
                for lane in 0..LANES {
                    sums[lane] += (expected[lane] - value).abs() * weight;
                }
            });
        });
        distances.extend_from_slice(&sums[..some.len()]);
    }
    distances
}

/// What each setting foresees at each origin.
pub(super) fn paths(task: &Task<'_>, start: &Start, settings: &[Setting]) -> Vec<Paths> {
    let mut all: Vec<Paths> = Vec::with_capacity(settings.len());
    for some in settings.chunks(LANES) {
        let mut paths: Vec<Paths> = vec![Vec::with_capacity(task.origins.len()); some.len()];
        drive(task, start, some, |bank, _| {
            paths.iter_mut().for_each(|paths| paths.push(Vec::with_capacity(task.horizon)));
            bank.ahead(task.horizon, |_, expected| {
                for (paths, value) in paths.iter_mut().zip(expected) {
                    paths.iter_mut().rev().take(1).for_each(|path| path.push(*value));
                }
            });
        });
        all.append(&mut paths);
    }
    all
}

/// Leads some settings through all values and stops at every origin.
fn drive(task: &Task<'_>, start: &Start, settings: &[Setting], mut stop: impl FnMut(&Bank, usize)) {
    let mut bank = Bank::new(settings, start);
    let mut from = 0;
    for &origin in task.origins {
        let until = origin.min(task.y.len());
        task.y[from..until].iter().for_each(|&value| bank.step(value));
        from = until;
        stop(&bank, origin);
    }
}
