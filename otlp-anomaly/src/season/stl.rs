//! Seasonal-trend decomposition by loess, for one period and for several.
#![expect(clippy::indexing_slicing, reason = "every index lies below a length taken from the same slice")]

use super::loess::Loess;
use crate::number::{floor, of_len};

/// One decomposition by one period: the smoothers, and room that is used again.
#[derive(Debug, Clone)]
pub(super) struct Stl {
    period: usize,
    seasonal: Loess,
    low: Loess,
    trend: Loess,
    detrended: Vec<f64>,
    cycle: Vec<f64>,
    rough: Vec<f64>,
    smooth: Vec<f64>,
    part: Vec<f64>,
    part_weights: Vec<f64>,
    part_out: Vec<f64>,
}

impl Stl {
    /// `window` cycles are looked at for the shape of the season.
    pub(super) fn new(period: usize, window: usize) -> Self {
        let window = window.max(7) | 1;
        // The least window that keeps the season out of the trend (Cleveland et al. 1990, section 3.4).
        let trend = 1.5 * of_len(period) / (1.0 - 1.5 / of_len(window));
        let trend = usize::try_from(floor(trend.ceil())).unwrap_or(usize::MAX >> 1);
        Self {
            period,
            seasonal: Loess::new(window, 0),
            low: Loess::new(period, 1),
            trend: Loess::new(trend, 1),
            detrended: Vec::new(),
            cycle: Vec::new(),
            rough: Vec::new(),
            smooth: Vec::new(),
            part: Vec::new(),
            part_weights: Vec::new(),
            part_out: Vec::new(),
        }
    }

    /// One pass of the inner loop: refines `seasonal` and `trend` of `y`.
    pub(super) fn pass(
        &mut self,
        y: &[f64],
        weights: Option<&[f64]>,
        seasonal: &mut [f64],
        trend: &mut [f64],
    ) {
        let (count, period) = (y.len(), self.period);
        self.detrended.clear();
        self.detrended.extend(y.iter().zip(trend.iter()).map(|(y, trend)| y - trend));
        self.cycle.clear();
        self.cycle.resize(count + 2 * period, 0.0);
        for phase in 0..period {
            self.subseries(phase, weights);
        }
        // What passes a low-pass filter is no season: two means over the period, one over three, a loess.
        means(&self.cycle, period, &mut self.rough);
        means(&self.rough, period, &mut self.smooth);
        means(&self.smooth, 3, &mut self.rough);
        self.smooth.clear();
        self.smooth.resize(count, 0.0);
        self.low.smooth(&self.rough, None, &mut self.smooth);
        for (at, season) in seasonal.iter_mut().enumerate() {
            *season = self.cycle[period + at] - self.smooth[at];
        }
        self.detrended.clear();
        self.detrended.extend(y.iter().zip(seasonal.iter()).map(|(y, season)| y - season));
        self.trend.smooth(&self.detrended, weights, trend);
    }

    /// Smooths the points of one phase over the cycles, and goes one cycle beyond either end.
    fn subseries(&mut self, phase: usize, weights: Option<&[f64]>) {
        let period = self.period;
        self.part.clear();
        self.part.extend(self.detrended.iter().skip(phase).step_by(period));
        if self.part.is_empty() {
            return;
        }
        let count = self.part.len();
        let part_weights = weights.map(|weights| {
            self.part_weights.clear();
            self.part_weights.extend(weights.iter().skip(phase).step_by(period));
            self.part_weights.as_slice()
        });
        self.part_out.clear();
        self.part_out.resize(count, 0.0);
        self.seasonal.smooth(&self.part, part_weights, &mut self.part_out);
        let edge = self.seasonal.window.min(count);
        let first = self.seasonal.fit(&self.part, part_weights, (0, edge), -1.0);
        let last = self.seasonal.fit(&self.part, part_weights, (count - edge, count), of_len(count));
        self.cycle[phase] = first.unwrap_or(self.part_out[0]);
        for (at, &value) in self.part_out.iter().enumerate() {
            self.cycle[phase + (at + 1) * period] = value;
        }
        self.cycle[phase + (count + 1) * period] = last.unwrap_or(self.part_out[count - 1]);
    }
}

/// Running means over `window` points; as many fewer points come out.
fn means(y: &[f64], window: usize, out: &mut Vec<f64>) {
    out.clear();
    let share = 1.0 / of_len(window.max(1));
    let mut sum: f64 = y.iter().take(window).sum();
    out.push(sum * share);
    for (new, old) in y.iter().skip(window).zip(y) {
        sum += new - old;
        out.push(sum * share);
    }
}

/// Weights of the outer loop: the bisquare of six median deviations.
pub(super) fn robustness(remainder: &[f64], sorted: &mut Vec<f64>, weights: &mut Vec<f64>) {
    sorted.clear();
    sorted.extend(remainder.iter().map(|value| value.abs()));
    let middle = sorted.len() / 2;
    if sorted.is_empty() {
        return;
    }
    let (_, median, _) = sorted.select_nth_unstable_by(middle, f64::total_cmp);
    let edge = 6.0 * *median;
    weights.clear();
    weights.extend(remainder.iter().map(|value| {
        if edge <= 0.0 {
            return 1.0;
        }
        let near = (value.abs() / edge).min(1.0);
        // Nobody is left out wholly: a phase of which every point is odd would have no value.
        (1.0 - near * near).powi(2).max(1e-3)
    }));
}
