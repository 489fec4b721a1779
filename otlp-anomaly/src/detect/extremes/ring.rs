//! The newest points and what is taken of them together.

use super::{MEDIAN, WINDOW};
use crate::checkpoint::fields;
use crate::number::of_len;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ring {
    /// Where the next point goes; the one there is the oldest.
    next: u8,
    filled: u8,
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
        let next = usize::from(self.next);
        if let Some(slot) = self.values.get_mut(next) {
            *slot = value;
        }
        self.next = if next + 1 == WINDOW { 0 } else { self.next + 1 };
        self.filled = self.filled.saturating_add(1);
    }

    fn is_sound(&self) -> bool {
        usize::from(self.next) < WINDOW
    }

    fn is_filled(&self, points: usize) -> bool {
        usize::from(self.filled) >= points
    }

    pub(super) fn newest(&self) -> Option<f64> {
        self.is_filled(1).then(|| self.ago(0))
    }

    /// The value so many points before the newest.
    fn ago(&self, points: usize) -> f64 {
        let next = usize::from(self.next);
        let place = if next > points { next - 1 - points } else { next + WINDOW - 1 - points };
        self.values.get(place).copied().unwrap_or_default()
    }

    /// Mean and standard deviation, where the ring is full. Taken anew each time: running sums drift.
    pub(super) fn mean_and_spread(&self) -> Option<(f64, f64)> {
        if !self.is_filled(WINDOW) {
            return None;
        }
        let count = of_len(WINDOW);
        let mean = sum(self.values.as_chunks().0) / count;
        let squares = self.values.map(|value| (value - mean) * (value - mean));
        Some((mean, (sum(squares.as_chunks().0) / count).sqrt()))
    }

    /// Median of the newest [`MEDIAN`] points, where there are so many.
    pub(super) fn median(&self) -> Option<f64> {
        self.is_filled(MEDIAN).then(|| median(std::array::from_fn(|points| self.ago(points))))
    }
}

fields!(Ring { next: u8, filled: u8, values: [f64; WINDOW] });

/// Four sums side by side, which a processor adds at once.
fn sum(quads: &[[f64; 4]]) -> f64 {
    let add = |[a, b, c, d]: [f64; 4], [e, f, g, h]: &[f64; 4]| [a + e, b + f, c + g, d + h];
    let [a, b, c, d] = quads.iter().fold([0.0; 4], add);
    (a + b) + (c + d)
}

/// By the least number of exchanges, none of which the processor has to foretell (Paeth, "Median finding on a 3x3 grid",
/// Graphics Gems, 1990): sorts three threes, then takes the largest least, the middle one in the middle, the least largest.
fn median(points: [f64; MEDIAN]) -> f64 {
    let [a, b, c, d, e, f, g, h, i] = points;
    let [[a, b, c], [d, e, f], [g, h, i]] = [sorted([a, b, c]), sorted([d, e, f]), sorted([g, h, i])];
    let [_, _, least] = sorted([a, d, g]);
    let [_, middle, _] = sorted([b, e, h]);
    let [largest, _, _] = sorted([c, f, i]);
    let [_, median, _] = sorted([least, middle, largest]);
    median
}

/// By comparisons that are one instruction each, which those of `f64::min` are not for the sake of not-a-number.
const fn sorted([a, b, c]: [f64; 3]) -> [f64; 3] {
    const fn pair(a: f64, b: f64) -> (f64, f64) {
        (if a < b { a } else { b }, if a < b { b } else { a })
    }
    let (a, b) = pair(a, b);
    let (b, c) = pair(b, c);
    let (a, b) = pair(a, b);
    [a, b, c]
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

    proptest::proptest! {
        #[test]
        fn the_median_is_that_of_sorting(points: [i8; MEDIAN]) {
            let points = points.map(f64::from);
            let mut by_sorting = points;
            by_sorting.sort_unstable_by(f64::total_cmp);
            proptest::prop_assert_eq!(median(points).to_bits(), by_sorting[MEDIAN / 2].to_bits());
        }
    }
}
