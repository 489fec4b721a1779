//! How fast something grows, whatever a few points say.
//!
//! The slope is the median of the slopes between pairs of points, with the interval of P. K. Sen 1968; whether there is a
//! trend at all is the test of H. B. Mann 1945 and M. Kendall 1975 with the correction for ties, its variance widened where
//! neighbours resemble each other (K. Hamed, A. R. Rao 1998, by the first correlation alone).

use crate::number::{floor, of_len, ratio};

/// A number with the interval that should hold it, 95 % of the time.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Estimate {
    /// The lower edge.
    pub low: f64,
    /// The likeliest.
    pub value: f64,
    /// The upper edge.
    pub high: f64,
}

impl Estimate {
    pub(super) const fn new(low: f64, value: f64, high: f64) -> Self {
        Self { low, value, high }
    }

    pub(super) fn map(self, to: impl Fn(f64) -> f64) -> Self {
        let (one, other) = (to(self.low), to(self.high));
        Self { low: one.min(other), value: to(self.value), high: one.max(other) }
    }
}

/// Points that pairs are made of; more are averaged first.
const MOST: usize = 240;
/// The normal quantile of a two-sided interval of 95 %.
const WIDE: f64 = 1.96;

/// Times and values, few enough to look at every pair.
pub(super) fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let size = points.len().div_ceil(MOST).max(1);
    let middle = |some: &[(f64, f64)]| {
        let count = of_len(some.len().max(1));
        (some.iter().map(|(x, _)| x).sum::<f64>() / count, some.iter().map(|(_, y)| y).sum::<f64>() / count)
    };
    points.chunks(size).map(middle).collect()
}

/// The median slope, with its interval; none with fewer than two times. O(points^2), of at most a few hundred.
pub(super) fn robust(points: &[(f64, f64)]) -> Option<Estimate> {
    let points = thinned(points);
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (at, (x, y)) in points.iter().enumerate() {
        slopes.extend(
            points
                .iter()
                .skip(at + 1)
                .filter(|(other, _)| other > x)
                .map(|(other, value)| (value - y) / (other - x)),
        );
    }
    slopes.sort_unstable_by(f64::total_cmp);
    let value = quantile(&slopes, 0.5)?;
    let intercept = median(points.iter().map(|(x, y)| y - value * x).collect())?;
    let rest: Vec<f64> = points.iter().map(|(x, y)| y - value * x - intercept).collect();
    let count = of_len(points.len());
    let spread = (count * (count - 1.0) * (2.0 * count + 5.0) / 18.0 * inflation(&rest)).sqrt();
    let pairs = of_len(slopes.len()).max(1.0);
    let off = WIDE * spread / pairs / 2.0;
    Some(Estimate::new(quantile(&slopes, 0.5 - off)?, value, quantile(&slopes, 0.5 + off)?))
}

/// How many times fewer points there seem to be for their resemblance to their neighbours; at least one.
fn inflation(rest: &[f64]) -> f64 {
    let mixed: f64 = rest.iter().zip(rest.iter().skip(1)).map(|(a, b)| a * b).sum();
    let memory = ratio(mixed, rest.iter().map(|value| value * value).sum()).clamp(0.0, 0.95);
    (1.0 + memory) / (1.0 - memory)
}

/// How many standard deviations the count of rising pairs is beyond that of falling ones, and zero for few points; `rest` is
/// what a trend leaves of the points, by which their neighbours resemble each other.
pub(super) fn kendall(points: &[(f64, f64)], rest: &[f64]) -> f64 {
    if points.len() < 4 {
        return 0.0;
    }
    let mut balance = 0.0_f64;
    for (at, (_, y)) in points.iter().enumerate() {
        for (_, later) in points.iter().skip(at + 1) {
            balance += if later > y {
                1.0
            } else if later < y {
                -1.0
            } else {
                0.0
            };
        }
    }
    let weight = |count: f64| count * (count - 1.0) * (2.0 * count + 5.0);
    let mut sorted: Vec<f64> = points.iter().map(|(_, y)| *y).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let ties: f64 = sorted.chunk_by(|a, b| a == b).map(|equal| weight(of_len(equal.len()))).sum();
    let variance = (weight(of_len(points.len())) - ties) / 18.0 * inflation(rest);
    if variance <= 0.0 { 0.0 } else { balance.signum() * (balance.abs() - 1.0).max(0.0) / variance.sqrt() }
}

/// What the robust line leaves of the points.
pub(super) fn beside_line(points: &[(f64, f64)]) -> Vec<f64> {
    let slope = robust(points).map_or(0.0, |slope| slope.value);
    let middle = median(points.iter().map(|(x, y)| y - slope * x).collect()).unwrap_or(0.0);
    points.iter().map(|(x, y)| y - slope * x - middle).collect()
}

pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    quantile(&values, 0.5)
}

/// The value that this share of the sorted ones is below.
pub(super) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = share.clamp(0.0, 1.0) * (of_len(sorted.len()) - 1.0).max(0.0);
    let below = usize::try_from(floor(rank)).ok()?;
    let (low, part) = (*sorted.get(below)?, rank - rank.floor());
    let high = sorted.get(below + 1).copied().unwrap_or(low);
    Some(low + part * (high - low))
}
