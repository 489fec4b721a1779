//! Least squares by orthogonal columns.

use crate::number::of_len;

/// Orthonormal columns that span a constant and some others.
#[derive(Debug, Clone)]
pub(super) struct Basis {
    columns: Vec<Vec<f64>>,
}

/// What is left of a column, as a share of it, at which it is taken for a sum of the others: the noise of doubles.
const NOTHING: f64 = 1e-10;

impl Basis {
    /// Columns that the others already span are left out. O(rows columns²).
    pub(super) fn new<V: AsRef<[f64]>>(rows: usize, others: impl IntoIterator<Item = V>) -> Self {
        let mut basis = Self { columns: Vec::new() };
        if rows > 0 {
            basis.columns.push(vec![of_len(rows).sqrt().recip(); rows]);
        }
        for other in others {
            if let Some(mut rest) = basis.residual(other.as_ref()) {
                let length = dot(&rest, &rest).sqrt();
                rest.iter_mut().for_each(|value| *value /= length);
                basis.columns.push(rest);
            }
        }
        basis
    }

    /// Directions spanned, the constant among them.
    pub(super) const fn rank(&self) -> usize {
        self.columns.len()
    }

    /// What of a column the basis does not explain; none where that is nothing. O(rows rank).
    pub(super) fn residual(&self, column: &[f64]) -> Option<Vec<f64>> {
        let mut rest = column.to_vec();
        // Twice is enough (L. Giraud, J. Langou and M. Rozložník, "The loss of orthogonality in the Gram-Schmidt
        // orthogonalization process", 2005).
        for _ in 0..2 {
            for direction in &self.columns {
                let along = dot(direction, &rest);
                rest.iter_mut().zip(direction).for_each(|(value, unit)| *value -= along * unit);
            }
        }
        let (left, all) = (dot(&rest, &rest).sqrt(), dot(column, column).sqrt());
        (left > NOTHING * all && left.is_finite()).then_some(rest)
    }
}

/// A regression of one column on another, after what else is known was taken out of both (R. Frisch and F. V. Waugh,
/// "Partial time regressions as compared with individual trends", 1933).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Line {
    pub(super) slope: f64,
    /// Standard error of the slope.
    pub(super) error: f64,
}

impl Line {
    /// Of columns without their common parts; `lags` is how many rows apart noise may still hang together.
    pub(super) fn through(x: &[f64], y: &[f64], freedom: f64, lags: usize) -> Self {
        let squares = dot(x, x);
        let slope = dot(x, y) / squares;
        let left: Vec<f64> = x.iter().zip(y).map(|(x, y)| y - slope * x).collect();
        if lags == 0 {
            return Self { slope, error: (dot(&left, &left) / freedom / squares).sqrt() };
        }
        // W. K. Newey and K. D. West, "A simple, positive semi-definite, heteroskedasticity and autocorrelation
        // consistent covariance matrix", 1987.
        let scores: Vec<f64> = x.iter().zip(&left).map(|(x, left)| x * left).collect();
        let mut sum = dot(&scores, &scores);
        for lag in 1..=lags.min(scores.len().saturating_sub(1)) {
            let weight = 1.0 - of_len(lag) / (of_len(lags) + 1.0);
            sum += 2.0 * weight * dot(&scores, scores.get(lag..).unwrap_or_default());
        }
        let few = of_len(x.len()) / freedom;
        Self { slope, error: (few * sum.max(0.0)).sqrt() / squares }
    }

    /// The slope in standard errors; 0 where nothing is left over, and nothing to tell apart.
    pub(super) fn t(self) -> f64 {
        let t = self.slope / self.error;
        if t.is_nan() { 0.0 } else { t }
    }
}

/// Sum of products, as far as both reach.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Four sums at once: one alone waits for each addition.
    let mut sums = [0.0; 4];
    let common = a.len().min(b.len());
    let whole = common - common % 4;
    for (a, b) in a.chunks_exact(4).zip(b.chunks_exact(4)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest = a.get(whole..common).unwrap_or_default().iter().zip(b.get(whole..common).unwrap_or_default());
    sums.iter().sum::<f64>() + rest.map(|(a, b)| a * b).sum::<f64>()
}
