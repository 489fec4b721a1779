//! The newest points and what is taken of them together.

use super::{MEDIAN, WINDOW};
use crate::number::of_len;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ring {
    /// Where the next point goes; the one there is the oldest.
    next: usize,
    filled: usize,
    values: [f64; WINDOW],
}

impl Ring {
    pub(super) const fn new() -> Self {
        Self { next: 0, filled: 0, values: [0.0; WINDOW] }
    }

    pub(super) const fn clear(&mut self) {
        self.next = 0;
        self.filled = 0;
    }

    pub(super) fn push(&mut self, value: f64) {
        if let Some(slot) = self.values.get_mut(self.next) {
            *slot = value;
        }
        self.next = (self.next + 1) % WINDOW;
        self.filled = (self.filled + 1).min(WINDOW);
    }

    pub(super) fn newest(&self) -> Option<f64> {
        (self.filled > 0).then(|| self.values.get((self.next + WINDOW - 1) % WINDOW).copied()).flatten()
    }

    /// Mean and standard deviation, where the ring is full. Taken anew each time: running sums drift.
    pub(super) fn mean_and_spread(&self) -> Option<(f64, f64)> {
        if self.filled < WINDOW {
            return None;
        }
        let count = of_len(WINDOW);
        let mean = self.values.iter().sum::<f64>() / count;
        let squares: f64 = self.values.iter().map(|value| (value - mean) * (value - mean)).sum();
        Some((mean, (squares / count).sqrt()))
    }

    /// Median of the newest [`MEDIAN`] points, where there are so many.
    pub(super) fn median(&self) -> Option<f64> {
        if self.filled < MEDIAN {
            return None;
        }
        let mut newest = [0.0; MEDIAN];
        for (ago, slot) in newest.iter_mut().enumerate() {
            *slot = self.values.get((self.next + WINDOW - 1 - ago) % WINDOW).copied().unwrap_or_default();
        }
        newest.sort_unstable_by(f64::total_cmp);
        newest.get(MEDIAN / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_the_rest_forgotten() {
        let mut ring = Ring::new();
        assert_eq!((ring.newest(), ring.median(), ring.mean_and_spread()), (None, None, None));
        (0..100_u32).for_each(|value| ring.push(f64::from(value)));
        assert_eq!((ring.newest(), ring.median()), (Some(99.0), Some(95.0)));
        let (mean, spread) = ring.mean_and_spread().unwrap();
        assert_eq!(mean.to_bits(), 87.5_f64.to_bits());
        assert!((spread - ((24.0_f64 * 24.0 - 1.0) / 12.0).sqrt()).abs() < 1e-12);
        ring.clear();
        assert_eq!(ring.newest(), None);
    }
}
