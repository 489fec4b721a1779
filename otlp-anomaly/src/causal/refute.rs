//! Attempts to show that an effect is none.

use super::effect::Parts;
use super::regress::{Basis, Line};
use crate::number::of_len;
use crate::random::Random;

/// What became of them.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Refutation {
    /// The share of placebos that seem to have at least the effect of the treatment, the treatment counted among
    /// them: a p-value that asks nothing of the noise (R. A. Fisher's test by permutation, as P. E. Kennedy, "Randomization
    /// tests in econometrics", 1995, has it for regressions).
    pub placebo_p: f64,
    /// The mean effect of the placebos: about none.
    pub placebo_slope: f64,
    /// With one more common cause, drawn by lot: the effect should stay.
    pub random_cause: Stability,
    /// On parts of four fifths of the rows: the effect should stay.
    pub subsets: Stability,
}

/// How far an effect moved where it should not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stability {
    /// The effect then; over several attempts their mean.
    pub slope: f64,
    /// How far it moved at the most, in deviations that chance explains; up to about 3 is nothing.
    pub moved: f64,
}

/// Placebos are told from the treatment at this level.
const LEVEL: f64 = 0.05;
/// Deviations that an effect may move.
const STEADY: f64 = 4.0;
const SUBSETS: u32 = 20;
/// The share of rows left out of each.
const LEFT_OUT: f64 = 0.2;

impl Refutation {
    /// True where a placebo does as well, one common cause more moves the effect, or it rests on a few rows.
    #[must_use]
    pub fn is_refuted(&self) -> bool {
        self.placebo_p > LEVEL || self.random_cause.moved > STEADY || self.subsets.moved > STEADY
    }
}

pub(super) fn refute(parts: &Parts<'_>, line: Line, placebos: u32, seed: u64) -> Refutation {
    let mut random = Random::new(seed);
    let (placebo_p, placebo_slope) = placebo(parts, line, placebos, &mut random);
    Refutation {
        placebo_p,
        placebo_slope,
        random_cause: random_cause(parts, line, &mut random),
        subsets: subsets(parts, line, &mut random),
    }
}

fn placebo(parts: &Parts<'_>, line: Line, placebos: u32, random: &mut Random) -> (f64, f64) {
    let met = line.t().abs();
    let (mut as_large, mut sum, mut tried) = (1.0, 0.0, 0.0);
    let mut drawn = parts.x.clone();
    for _ in 0..placebos {
        if parts.lags == 0 {
            shuffle(&mut drawn, random);
        } else {
            // Another time of the same series: it hangs together as the treatment does.
            drawn.copy_from_slice(&parts.x);
            let rows = drawn.len();
            let margin = (rows / 10).max(1);
            let shift = margin + random.below(rows.saturating_sub(2 * margin));
            drawn.rotate_left(shift.min(rows));
        }
        let Some(x) = parts.basis.residual(&drawn) else { continue };
        let placebo = Line::through(&x, &parts.y, parts.freedom, parts.lags);
        tried += 1.0;
        sum += placebo.slope;
        if placebo.t().abs() >= met {
            as_large += 1.0;
        }
    }
    (as_large / (tried + 1.0), if tried > 0.0 { sum / tried } else { 0.0 })
}

fn random_cause(parts: &Parts<'_>, line: Line, random: &mut Random) -> Stability {
    let rows = parts.x.len();
    // A sum of twelve is near enough to normal.
    let normal = |random: &mut Random| (0..12).map(|_| random.uniform()).sum::<f64>() - 6.0;
    let cause: Vec<f64> = (0..rows).map(|_| normal(random)).collect();
    let basis = Basis::new(rows, parts.fixed.iter().copied().chain([&cause[..]]));
    let both = basis.residual(parts.given.0).zip(basis.residual(parts.given.1));
    let slope = both.map_or(line.slope, |(x, y)| Line::through(&x, &y, parts.freedom, parts.lags).slope);
    // One column more takes about one part in `freedom` of the spread: that much is chance.
    let chance = line.error * (2.0 / parts.freedom).sqrt();
    Stability { slope, moved: deviations(slope - line.slope, chance) }
}

fn subsets(parts: &Parts<'_>, line: Line, random: &mut Random) -> Stability {
    let (mut sum, mut tried, mut moved) = (0.0, 0.0, 0.0_f64);
    // The spread of the mean of a part about that of the whole.
    let chance = line.error * (1.0 / (1.0 - LEFT_OUT) - 1.0).sqrt();
    let rows = parts.x.len();
    for attempt in 0..SUBSETS {
        let from = place(LEFT_OUT * of_len(rows) * f64::from(attempt) / 4.0) % rows.max(1);
        // Rows in time hang together, and are left out together; others by lot.
        let kept: Vec<bool> = if parts.lags == 0 {
            (0..rows).map(|_| random.uniform() > LEFT_OUT).collect()
        } else {
            let length = place(LEFT_OUT * of_len(rows));
            (0..rows).map(|row| (row + rows - from) % rows >= length).collect()
        };
        let part = |column: &[f64]| -> Vec<f64> {
            column.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(value, _)| *value).collect()
        };
        let fixed: Vec<Vec<f64>> = parts.fixed.iter().map(|column| part(column)).collect();
        let (x, y) = (part(parts.given.0), part(parts.given.1));
        let basis = Basis::new(x.len(), fixed.iter().map(Vec::as_slice));
        let Some((x, y)) = basis.residual(&x).zip(basis.residual(&y)) else { continue };
        let slope = Line::through(&x, &y, 1.0, 0).slope;
        tried += 1.0;
        sum += slope;
        moved = moved.max(deviations(slope - line.slope, chance));
    }
    Stability { slope: if tried > 0.0 { sum / tried } else { line.slope }, moved }
}

fn deviations(moved: f64, chance: f64) -> f64 {
    let moved = moved.abs() / chance;
    // An effect without any noise moves by rounding alone.
    if moved.is_finite() { moved } else { 0.0 }
}

fn place(value: f64) -> usize {
    usize::try_from(crate::number::floor(value)).unwrap_or(0)
}

/// R. Durstenfeld, "Algorithm 235: Random permutation", 1964.
fn shuffle(values: &mut [f64], random: &mut Random) {
    for last in (1..values.len()).rev() {
        values.swap(last, random.below(last + 1));
    }
}
