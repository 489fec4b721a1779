//! All changes of a series at once.
#![expect(clippy::indexing_slicing, reason = "ends of segments lie within the sums")]

use otlp_core::{Error, ErrorKind, Result};

use crate::number::of_len;

/// Where segments begin, and what it took to find them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Segments {
    /// The index that each segment but the first begins at, ascending.
    pub changes: Vec<usize>,
    /// The penalty that each of them is worth.
    pub penalty: f64,
}

/// Finds the changes of mean that a penalty is worth.
///
/// R. Killick, P. Fearnhead, I. Eckley 2012, "Optimal Detection of Changepoints With a Linear Computational Cost": the segmentation with
/// the least sum of squares plus the penalty for each change, exactly. Segments have at least `least` points. Without a
/// penalty it is three logarithms of the count times the variance that neighbours differ by, a robust estimate that changes of
/// mean do not touch. O(values) where changes are many, O(values^2) where there is none.
///
/// ```
/// use otlp_anomaly::change::pelt;
/// let values: Vec<f64> = (0..100).map(|at| if at < 60 { 1.0 } else { 4.0 } + f64::from(at % 7) * 0.1).collect();
/// assert_eq!(pelt(&values, None, 2)?.changes, [60]);
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Malformed`] where a value is not finite, [`ErrorKind::Limit`] with more than 100,000 values, [`ErrorKind::Config`] where
/// `least` is zero or the penalty below zero or not finite.
pub fn pelt(values: &[f64], penalty: Option<f64>, least: usize) -> Result<Segments> {
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::new(ErrorKind::Malformed, format!("pelt: value {at} is not a finite number")));
    }
    if values.len() > MOST {
        return Err(Error::new(
            ErrorKind::Limit,
            format!("pelt: {} values exceed limit {MOST}", values.len()),
        ));
    }
    if least == 0 || penalty.is_some_and(|penalty| !penalty.is_finite() || penalty < 0.0) {
        return Err(Error::new(
            ErrorKind::Config,
            format!("pelt: penalty {penalty:?} or least {least} out of range"),
        ));
    }
    // On a scale of one nothing overflows.
    let scale = values.iter().fold(0.0_f64, |most, value| most.max(value.abs())).max(f64::MIN_POSITIVE);
    let scaled: Vec<f64> = values.iter().map(|value| value / scale).collect();
    let penalty = penalty.map_or_else(|| usual(&scaled), |penalty| penalty / scale / scale);
    let changes = search(&Sums::new(&scaled), penalty, least);
    Ok(Segments { changes, penalty: (penalty * scale * scale).min(f64::MAX) })
}

const MOST: usize = 100_000;

/// Sums of the values and of their squares up to each.
struct Sums(Vec<(f64, f64)>);

impl Sums {
    fn new(values: &[f64]) -> Self {
        let middle = values.iter().sum::<f64>() / of_len(values.len().max(1));
        let mut sums = vec![(0.0, 0.0)];
        let (mut sum, mut squares) = (0.0, 0.0);
        for value in values {
            sum += value - middle;
            squares += (value - middle).powi(2);
            sums.push((sum, squares));
        }
        Self(sums)
    }

    /// What the values from one index up to another vary by.
    fn cost(&self, from: usize, until: usize) -> f64 {
        let ((sum, squares), (before, squares_before)) = (self.0[until], self.0[from]);
        (squares - squares_before - (sum - before).powi(2) / of_len(until - from)).max(0.0)
    }
}

fn search(sums: &Sums, penalty: f64, least: usize) -> Vec<usize> {
    let count = sums.0.len() - 1;
    let mut best = vec![f64::INFINITY; count + 1];
    best[0] = -penalty;
    let mut from = vec![0; count + 1];
    // Beginnings that are still looked at, and up to which end.
    let mut open: Vec<(usize, usize)> = vec![(0, usize::MAX)];
    for until in least..=count {
        if until >= 2 * least {
            open.push((until - least, usize::MAX));
        }
        let cost = |begin: usize| best[begin] + sums.cost(begin, until);
        let (least_cost, begin) = open.iter().fold((f64::INFINITY, 0), |found: (f64, usize), &(begin, _)| {
            let cost = cost(begin);
            if cost < found.0 { (cost, begin) } else { found }
        });
        let value = least_cost + penalty;
        // What is worse by now even without a penalty will never be better than a segment that begins here, once that is long enough.
        open.iter_mut()
            .filter(|(begin, _)| cost(*begin) > value)
            .for_each(|(_, end)| *end = (*end).min(until + least));
        open.retain(|(_, end)| *end > until + 1);
        (best[until], from[until]) = (value, begin);
    }
    let mut changes = Vec::new();
    let mut at = count;
    while at > 0 && from[at] > 0 {
        at = from[at];
        changes.push(at);
    }
    changes.reverse();
    changes
}

fn usual(values: &[f64]) -> f64 {
    let mut steps: Vec<f64> = values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
    let middle = steps.len() / 2;
    if steps.is_empty() {
        return 0.0;
    }
    let (_, median, _) = steps.select_nth_unstable_by(middle, f64::total_cmp);
    // The median distance of two normal values is 0.954 standard deviations.
    let mut deviation = *median / 0.954;
    if deviation <= 0.0 {
        // Most neighbours are equal: the mean distance says what there is.
        deviation = steps.iter().sum::<f64>() / of_len(steps.len());
    }
    (3.0 * of_len(values.len()).ln() * deviation * deviation).max(1e-24)
}
