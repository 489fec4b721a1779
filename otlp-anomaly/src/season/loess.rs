//! Local regression on evenly spaced points (Cleveland, Cleveland, McRae, Terpenning 1990, "STL", section 2).
#![expect(clippy::indexing_slicing, reason = "every index lies below a length taken from the same slice")]

use crate::number::of_len;

/// How one smoother looks at its neighbours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Loess {
    /// Points that a fit rests on.
    pub(super) window: usize,
    /// 0 for a local constant, 1 for a local line.
    pub(super) degree: u8,
    /// Fits are made at every `jump`-th point and joined by lines.
    pub(super) jump: usize,
}

impl Loess {
    /// A window made odd, with a jump of a tenth of it, as Cleveland et al. advise.
    pub(super) fn new(window: usize, degree: u8) -> Self {
        let window = window.max(3) | 1;
        Self { window, degree, jump: window.div_ceil(10) }
    }

    /// Smooths `y` into `out`, which has its length. O(10 points) whatever the window.
    pub(super) fn smooth(self, y: &[f64], weights: Option<&[f64]>, out: &mut [f64]) {
        let count = y.len().min(out.len());
        if count < 2 {
            out[..count].copy_from_slice(&y[..count]);
            return;
        }
        let jump = self.jump.clamp(1, count - 1);
        let half = self.window.div_ceil(2);
        let (mut at, mut before) = (0_usize, None::<usize>);
        loop {
            let left = match count.checked_sub(self.window) {
                None | Some(0) => 0,
                Some(last) => (at + 1).saturating_sub(half).min(last),
            };
            let right = (left + self.window).min(count);
            out[at] = self.fit(&y[..count], weights, (left, right), of_len(at)).unwrap_or(y[at]);
            if let Some(before) = before {
                let step = (out[at] - out[before]) / of_len(at - before);
                for between in before + 1..at {
                    out[between] = out[before] + step * of_len(between - before);
                }
            }
            if at + 1 == count {
                return;
            }
            before = Some(at);
            at = (at + jump).min(count - 1);
        }
    }

    /// The regression's value at `x`, which may lie outside of the window `[left, right)`; none where nothing has weight.
    pub(super) fn fit(
        self,
        y: &[f64],
        weights: Option<&[f64]>,
        (left, right): (usize, usize),
        x: f64,
    ) -> Option<f64> {
        let reach = (x - of_len(left)).abs().max((of_len(right) - 1.0 - x).abs());
        let wider = of_len(self.window.saturating_sub(y.len()) / 2);
        let inverse = 1.0 / (reach + wider).max(f64::MIN_POSITIVE);
        let (mut total, mut mean_x, mut mean_y, mut spread, mut mixed) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (at, value) in y.iter().enumerate().take(right).skip(left) {
            let offset = of_len(at) - x;
            let near = (offset * inverse).abs();
            if near > 0.999 {
                continue;
            }
            let cube = 1.0 - near * near * near;
            let weight = cube * cube * cube * weights.map_or(1.0, |weights| weights[at]);
            total += weight;
            mean_x += weight * offset;
            mean_y += weight * value;
            spread += weight * offset * offset;
            mixed += weight * offset * value;
        }
        if total <= 0.0 {
            return None;
        }
        mean_x /= total;
        mean_y /= total;
        let spread = spread / total - mean_x * mean_x;
        // A slope is only taken where the points with weight lie apart.
        if self.degree == 0 || spread.sqrt() <= 0.001 * of_len(y.len()) {
            return Some(mean_y);
        }
        Some(mean_y - mean_x * (mixed / total - mean_x * mean_y) / spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line() {
        let line: Vec<f64> = (0..50_u32).map(|x| 3.0 - 0.5 * f64::from(x)).collect();
        for window in [3, 7, 21, 99] {
            let mut out = vec![0.0; 50];
            Loess::new(window, 1).smooth(&line, None, &mut out);
            for (met, wanted) in out.iter().zip(&line) {
                assert!((met - wanted).abs() < 1e-9, "{window}: {met} for {wanted}");
            }
        }
    }

    #[test]
    fn a_point_without_weight_does_not_count() {
        let mut y = vec![1.0; 21];
        y[10] = 1e6;
        let mut weights = vec![1.0; 21];
        weights[10] = 0.0;
        let mut out = vec![0.0; 21];
        Loess::new(7, 1).smooth(&y, Some(&weights), &mut out);
        assert!(out.iter().all(|met| (met - 1.0).abs() < 1e-9), "{out:?}");
        // The twin: with its weight it is felt.
        Loess::new(7, 1).smooth(&y, None, &mut out);
        assert!(out[10] > 1e5);
    }

    #[test]
    fn one_point_and_none_are_left_as_they_are() {
        let mut out = [0.0];
        Loess::new(7, 1).smooth(&[4.0], None, &mut out);
        assert!((out[0] - 4.0).abs() < f64::EPSILON);
        Loess::new(7, 1).smooth(&[], None, &mut []);
    }
}
