//! Changes of any kind in few values.
#![expect(clippy::indexing_slicing, reason = "distances are a square of the count")]

use otlp_core::{Error, ErrorKind, Result};

use crate::number::of_len;

/// A change that chance does not explain.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Division {
    /// The index of the first value after it.
    pub at: usize,
    /// How often chance alone makes one as large, 0 to 1.
    pub p_value: f64,
    /// Mean before it, of its segment.
    pub before: f64,
    /// Mean after it, of its segment.
    pub after: f64,
}

/// Finds changes of distribution, largest first in time of finding, each with its p-value.
///
/// D. Matteson and N. James 2014, "A Nonparametric Approach for Multiple Change Point Analysis of Multivariate Data" (as used on
/// deploys by D. Daly et al. 2020): the split with the largest energy distance is kept where fewer than `significance` of 199
/// shuffles of the segment have a larger one, then both sides are looked at. `seed` makes the shuffles. Segments have at least
/// five values. O(values^2) memory and, for each segment, 200 times as much time.
///
/// ```
/// use otlp_anomaly::change::e_divisive;
/// let seconds: Vec<f64> = (0..40).map(|deploy| if deploy < 25 { 2.0 } else { 2.6 } + f64::from(deploy * 7 % 5) * 0.05).collect();
/// let found = e_divisive(&seconds, 0.01, 1)?;
/// assert_eq!(found.iter().map(|change| change.at).collect::<Vec<_>>(), [25]);
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Malformed`] where a value is not finite, [`ErrorKind::Limit`] with more than 1,000 values, [`ErrorKind::Config`] where
/// `significance` is not between 0.005 and 0.5.
pub fn e_divisive(values: &[f64], significance: f64, seed: u64) -> Result<Vec<Division>> {
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::new(
            ErrorKind::Malformed,
            format!("e-divisive: value {at} is not a finite number"),
        ));
    }
    if values.len() > MOST {
        return Err(Error::new(
            ErrorKind::Limit,
            format!("e-divisive: {} values exceed limit {MOST}", values.len()),
        ));
    }
    if !(0.005..=0.5).contains(&significance) {
        return Err(Error::new(
            ErrorKind::Config,
            format!("e-divisive: significance {significance} out of range"),
        ));
    }
    let scale = values.iter().fold(0.0_f64, |most, value| most.max(value.abs())).max(f64::MIN_POSITIVE);
    let scaled: Vec<f64> = values.iter().map(|value| value / scale).collect();
    let mut source = Source(seed);
    let mut open = vec![(0, values.len())];
    let mut found = Vec::new();
    while let Some((from, until)) = open.pop() {
        let segment = &scaled[from..until];
        let Some((at, energy)) = split(segment) else { continue };
        if energy <= 0.0 {
            continue;
        }
        let mut shuffled = segment.to_vec();
        let larger = (0..SHUFFLES).filter(|_| {
            source.shuffle(&mut shuffled);
            split(&shuffled).is_some_and(|(_, other)| other >= energy)
        });
        let p_value = of_len(larger.count() + 1) / of_len(SHUFFLES + 1);
        if p_value <= significance {
            let mean =
                |part: &[f64]| part.iter().map(|value| value / of_len(part.len())).sum::<f64>() * scale;
            let (before, after) = (mean(&segment[..at]), mean(&segment[at..]));
            found.push(Division { at: from + at, p_value, before, after });
            open.push((from, from + at));
            open.push((from + at, until));
        }
    }
    found.sort_by_key(|division| division.at);
    Ok(found)
}

const MOST: usize = 1_000;
const SHUFFLES: usize = 199;
const LEAST: usize = 5;

/// The split with the largest energy distance between its sides, and that. O(values^2).
fn split(values: &[f64]) -> Option<(usize, f64)> {
    let count = values.len();
    if count < 2 * LEAST {
        return None;
    }
    let distance =
        |at: usize, others: &[f64]| others.iter().map(|other| (other - values[at]).abs()).sum::<f64>();
    // Sums of the distances within the left, within the right and between them, as one value after the other moves to the left.
    let (mut left, mut between) = (0.0, 0.0);
    let mut right: f64 = (0..count).map(|at| distance(at, &values[at + 1..])).sum();
    let mut best: Option<(usize, f64)> = None;
    for at in 0..count - LEAST {
        let (to_left, to_right) = (distance(at, &values[..at]), distance(at, &values[at + 1..]));
        left += to_left;
        right -= to_right;
        between += to_right - to_left;
        let (m, n) = (of_len(at + 1), of_len(count - at - 1));
        if at + 1 < LEAST {
            continue;
        }
        let energy = 2.0 * between / (m * n) - 2.0 * left / (m * (m - 1.0)) - 2.0 * right / (n * (n - 1.0));
        let weighted = m * n / (m + n) * energy;
        if best.is_none_or(|(_, best)| weighted > best) {
            best = Some((at + 1, weighted));
        }
    }
    best
}

/// Numbers that look random (D. Lehmer's generator as D. Knuth has it, its high bits).
struct Source(u64);

impl Source {
    fn shuffle(&mut self, values: &mut [f64]) {
        for at in (1..values.len()).rev() {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let other = usize::try_from(self.0 >> 33).unwrap_or(0) % (at + 1);
            values.swap(at, other);
        }
    }
}
