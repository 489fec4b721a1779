//! The range that one aspect of a series has had.

/// From where to where an aspect was met.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    low: f64,
    high: f64,
    met: u32,
}

/// Where something met lies in a range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    /// What was met.
    pub(super) value: f64,
    /// The range before.
    pub(super) range: (f64, f64),
    /// Half widths from its middle: 1 at the edge; zero where too little is known.
    pub(super) place: f64,
}

/// Places beyond this are all the same: where nothing ever changed any change is as far out as can be.
const FARTHEST: f64 = 19.0;
/// The share by which each side of a range draws in a point: by half in 50,000.
const FADING: f64 = std::f64::consts::LN_2 / 50_000.0;
/// Widths below this share of the larger edge are rounding.
const ROUNDING: f64 = 1e-12;

impl Range {
    pub(super) const NONE: Self = Self { low: 0.0, high: 0.0, met: 0 };

    pub(super) fn half(&self) -> f64 {
        (self.high - self.low) / 2.0
    }

    /// Where a value lies, taking the range for `least` wide to either side at least.
    pub(super) fn place(&self, value: f64, warmup: u32, least: f64) -> Place {
        let range = (self.low, self.high);
        if self.met < warmup {
            return Place { value, range, place: 0.0 };
        }
        let rounding = ROUNDING * self.low.abs().max(self.high.abs());
        let half = self.half().max(least);
        let off = (value - (self.low + self.half())).abs();
        let place = match half <= rounding {
            true if off <= rounding => 0.0,
            true => FARTHEST,
            false => (off / half).min(FARTHEST),
        };
        Place { value, range, place }
    }

    pub(super) fn learn(&mut self, value: f64) {
        if self.met == 0 {
            (self.low, self.high) = (value, value);
        }
        self.met = self.met.saturating_add(1);
        let faded = self.half() * FADING;
        self.low += faded;
        self.high -= faded;
        self.low = self.low.min(value);
        self.high = self.high.max(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(values: &[f64]) -> Range {
        let mut range = Range::NONE;
        values.iter().for_each(|&value| range.learn(value));
        range
    }

    fn place(range: Range, value: f64) -> f64 {
        range.place(value, 2, 0.0).place
    }

    #[test]
    fn the_edge_is_one_and_twice_as_far_is_two() {
        let range = range(&[10.0, 20.0, 14.0]);
        for (value, expected) in [(15.0, 0.0), (20.0, 1.0), (10.0, 1.0), (25.0, 2.0), (0.0, 3.0)] {
            assert!((place(range, value) - expected).abs() < 1e-3, "{value}");
        }
    }

    #[test]
    fn what_is_not_known_is_nowhere_and_what_never_moved_is_left_by_any_move() {
        assert_eq!(place(Range::NONE, 5.0).to_bits(), 0.0_f64.to_bits());
        assert_eq!(place(range(&[5.0]), 9.0).to_bits(), 0.0_f64.to_bits(), "met once");
        let flat = range(&[5.0; 3]);
        assert_eq!([5.0, 5.1, 4.9].map(|value| place(flat, value)), [0.0, FARTHEST, FARTHEST]);
        let zero = range(&[0.0; 3]);
        assert_eq!([0.0, 1e-300].map(|value| place(zero, value)), [0.0, FARTHEST]);
    }
}
