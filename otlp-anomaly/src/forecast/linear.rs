//! Small systems of linear equations: ridge regression by its normal equations.
#![expect(clippy::indexing_slicing, reason = "every index lies below the number of columns")]

/// The sums that a regression of one target on a few columns needs; rows come one by one and are not kept.
#[derive(Debug, Clone)]
pub(super) struct Normal {
    columns: usize,
    /// Lower triangle of the Gram matrix, row by row, in a full square.
    gram: Vec<f64>,
    mixed: Vec<f64>,
}

impl Normal {
    pub(super) fn new(columns: usize) -> Self {
        Self { columns, gram: vec![0.0; columns * columns], mixed: vec![0.0; columns] }
    }

    /// Takes in one row. O(columns^2).
    pub(super) fn add(&mut self, row: &[f64], target: f64) {
        for (at, &value) in row.iter().enumerate().take(self.columns) {
            self.mixed[at] += value * target;
            let line = &mut self.gram[at * self.columns..=at * self.columns + at];
            line.iter_mut().zip(row).for_each(|(sum, other)| *sum += value * other);
        }
    }

    /// The coefficients, with `ridge` of each column added to its own square. O(columns^3).
    pub(super) fn solve(&self, ridge: impl Fn(usize) -> f64) -> Vec<f64> {
        let columns = self.columns;
        let (mut root, mut answer) = (self.gram.clone(), self.mixed.clone());
        for row in 0..columns {
            root[row * columns + row] += ridge(row);
            let least = 1e-12 * root[row * columns + row];
            for column in 0..=row {
                let mut sum = root[row * columns + column];
                for before in 0..column {
                    sum -= root[row * columns + before] * root[column * columns + before];
                }
                // A column that is a sum of others gets no coefficient instead of a huge one.
                root[row * columns + column] = if row != column {
                    sum / root[column * columns + column]
                } else if sum > least {
                    sum.sqrt()
                } else {
                    f64::INFINITY
                };
            }
        }
        for row in 0..columns {
            let known: f64 = (0..row).map(|before| root[row * columns + before] * answer[before]).sum();
            answer[row] = (answer[row] - known) / root[row * columns + row];
        }
        for row in (0..columns).rev() {
            let known: f64 =
                (row + 1..columns).map(|after| root[after * columns + row] * answer[after]).sum();
            answer[row] = (answer[row] - known) / root[row * columns + row];
        }
        answer.iter_mut().filter(|value| !value.is_finite()).for_each(|value| *value = 0.0);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_coefficients_are_found() {
        let mut sums = Normal::new(3);
        for x in 0..40_u32 {
            let x = f64::from(x);
            sums.add(&[1.0, x, (x * 0.7).sin()], 4.0 - 0.5 * x + 2.0 * (x * 0.7).sin());
        }
        for (met, wanted) in sums.solve(|_| 0.0).iter().zip([4.0, -0.5, 2.0]) {
            assert!((met - wanted).abs() < 1e-8, "{met} for {wanted}");
        }
    }

    #[test]
    fn a_column_given_twice_breaks_nothing() {
        let mut sums = Normal::new(2);
        (0..10_u32).for_each(|x| sums.add(&[f64::from(x), f64::from(x)], 6.0 * f64::from(x)));
        let found = sums.solve(|_| 0.0);
        assert!((found[0] + found[1] - 6.0).abs() < 1e-6, "{found:?}");
        assert_eq!(Normal::new(2).solve(|_| 0.0), [0.0, 0.0]);
    }
}
