//! Two samples side by side.

use crate::number::{of_len, ratio};

/// How the distributions of two samples differ.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct TwoSample {
    /// The largest distance between their cumulative distributions, 0 to 1.
    pub distance: f64,
    /// How often chance alone makes one as large, 0 to 1.
    pub p_value: f64,
}

/// The test of Kolmogorov and Smirnov; none where a sample has no finite value.
///
/// The p-value is that of the limit with M. Stephens' correction for few values, good to a hundredth from ten values each.
/// O(n log n).
///
/// ```
/// use otlp_anomaly::drift::two_sample;
/// let one: Vec<f64> = (0..200_u32).map(|at| f64::from(at * 37 % 101)).collect();
/// let other: Vec<f64> = one.iter().map(|value| value + 20.0).collect();
/// assert!(two_sample(&one, &other).is_some_and(|test| test.p_value < 0.001));
/// assert!(two_sample(&one, &one).is_some_and(|test| test.p_value > 0.99));
/// ```
#[must_use]
pub fn two_sample(one: &[f64], other: &[f64]) -> Option<TwoSample> {
    let sorted = |values: &[f64]| {
        let mut values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    };
    let (one, other) = (sorted(one), sorted(other));
    if one.is_empty() || other.is_empty() {
        return None;
    }
    let distance = distance(&one, &other);
    let size = (of_len(one.len()) * of_len(other.len()) / (of_len(one.len()) + of_len(other.len()))).sqrt();
    Some(TwoSample { distance, p_value: kolmogorov((size + 0.12 + 0.11 / size) * distance) })
}

/// The population stability index: below 0.1 nothing moved, above 0.25 much did, as credit scoring has it.
///
/// Bins hold a tenth of the `before` values each; an empty bin counts as half a value. None where a sample has fewer than ten finite
/// values. O(n log n).
///
/// ```
/// use otlp_anomaly::drift::population_stability;
/// let before: Vec<f64> = (0..1_000_u32).map(|at| f64::from(at * 37 % 101)).collect();
/// let after: Vec<f64> = before.iter().map(|value| value * 1.5).collect();
/// assert!(population_stability(&before, &before).is_some_and(|index| index < 0.01));
/// assert!(population_stability(&before, &after).is_some_and(|index| index > 0.25));
/// ```
#[must_use]
pub fn population_stability(before: &[f64], after: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = before.iter().copied().filter(|value| value.is_finite()).collect();
    let finite = after.iter().filter(|value| value.is_finite()).count();
    if sorted.len() < BINS || finite < BINS {
        return None;
    }
    sorted.sort_unstable_by(f64::total_cmp);
    let mut edges: Vec<f64> =
        (1..BINS).filter_map(|bin| sorted.get(bin * sorted.len() / BINS).copied()).collect();
    edges.dedup();
    let shares = |values: &[f64]| {
        let mut counts = vec![0.0; edges.len() + 1];
        for value in values.iter().filter(|value| value.is_finite()) {
            if let Some(count) = counts.get_mut(edges.partition_point(|edge| edge <= value)) {
                *count += 1.0;
            }
        }
        let whole: f64 = counts.iter().sum();
        counts.into_iter().map(|count: f64| count.max(0.5) / whole).collect::<Vec<f64>>()
    };
    Some(shares(before).iter().zip(shares(after)).map(|(a, b)| (b - a) * (b / a).ln()).sum())
}

const BINS: usize = 10;

/// Which of many p-values to believe, so that of those believed no more than `rate` are wrong on average.
///
/// Y. Benjamini and Y. Hochberg 1995. Gives the indices, ascending. What is not a number is believed by nobody.
///
/// ```
/// use otlp_anomaly::drift::discoveries;
/// assert_eq!(discoveries(&[0.001, 0.8, 0.02, 0.04, 0.3], 0.05), [0, 2]);
/// ```
#[must_use]
pub fn discoveries(p_values: &[f64], rate: f64) -> Vec<usize> {
    let mut order: Vec<(f64, usize)> =
        p_values.iter().copied().zip(0..).filter(|(p_value, _)| !p_value.is_nan()).collect();
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let all = of_len(p_values.len());
    let last = order
        .iter()
        .zip(1_usize..)
        .filter(|((p_value, _), rank)| *p_value <= rate * ratio(of_len(*rank), all))
        .last();
    let mut believed: Vec<usize> =
        order.iter().take(last.map_or(0, |(_, rank)| rank)).map(|(_, at)| *at).collect();
    believed.sort_unstable();
    believed
}

/// The largest distance between the cumulative distributions of two sorted samples.
pub(super) fn distance(one: &[f64], other: &[f64]) -> f64 {
    let (left, right) = (1.0 / of_len(one.len().max(1)), 1.0 / of_len(other.len().max(1)));
    let (mut ones, mut others) = (one.iter().peekable(), other.iter().peekable());
    let (mut below, mut below_other, mut most) = (0.0_f64, 0.0_f64, 0.0_f64);
    while let (Some(&&a), Some(&&b)) = (ones.peek(), others.peek()) {
        let at = a.min(b);
        while ones.next_if(|value| **value <= at).is_some() {
            below += left;
        }
        while others.next_if(|value| **value <= at).is_some() {
            below_other += right;
        }
        most = most.max((below - below_other).abs());
    }
    most
}

/// How likely Kolmogorov's limit is above `x`.
fn kolmogorov(x: f64) -> f64 {
    if x < 0.3 {
        return 1.0;
    }
    let terms = (1..=20_u32).map(|nth| {
        let nth = f64::from(nth);
        let sign = if nth % 2.0 > 0.0 { 2.0 } else { -2.0 };
        sign * (-2.0 * nth * nth * x * x).exp()
    });
    terms.sum::<f64>().clamp(0.0, 1.0)
}

/// The least distance of two samples of `count` values each that chance makes no more often than `share`, exactly.
///
/// B. Gnedenko and V. Korolyuk 1951: the distance is at least `h / count` as often as a walk of `2 * count` steps that returns to zero
/// leaves a corridor of half-width `h`.
pub(super) fn critical(count: usize, share: f64) -> f64 {
    let beyond = |far: usize| {
        // Twice the alternating sum of C(2n, n - k h) / C(2n, n).
        let mut sum = 0.0;
        for turn in 1..=count / far.max(1) {
            let sign = if turn % 2 == 1 { 2.0 } else { -2.0 };
            // C(2n, n - d) / C(2n, n) is the product of (n - i) / (n + 1 + i) for i from 0 up to d.
            let part: f64 = (0..turn * far)
                .map(|at| (of_len(count) - of_len(at)) / (of_len(count) + 1.0 + of_len(at)))
                .product();
            sum += sign * part;
        }
        sum
    };
    (1..=count).find(|&far| beyond(far) <= share).map_or(2.0, |far| of_len(far) / of_len(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_distribution_is_the_one_in_the_tables() {
        // Two samples of five: 2 * (C(10,0)) / C(10,5) = 2/252 for a distance of one.
        assert!((critical(5, 0.01) - 1.0).abs() < 1e-12);
        assert!((critical(5, 0.1) - 0.8).abs() < 1e-12);
        // Thirty each at 0.5 %: 14 of 30.
        assert!((critical(30, 0.005) * 30.0 - 13.5).abs() < 1.0);
    }

    #[test]
    fn kolmogorovs_limit_has_its_known_quantiles() {
        for (x, wanted) in [(1.358, 0.05), (1.628, 0.01), (1.224, 0.10)] {
            assert!((kolmogorov(x) - wanted).abs() < 1e-3, "{x}");
        }
    }
}
