//! The ranges that the aspects of a series have had.

use super::Aspect;
use crate::checkpoint::fields;

const ASPECTS: usize = Aspect::ALL.len();

/// From where to where each aspect was met, side by side, so that a processor may look at several at once.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ranges {
    low: [f64; ASPECTS],
    high: [f64; ASPECTS],
    met: [u32; ASPECTS],
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
/// The least half width of an aspect's range, as a share of that of the values.
const LEAST_SHARE: f64 = 0.02;

impl Ranges {
    pub(super) const NONE: Self = Self { low: [0.0; ASPECTS], high: [0.0; ASPECTS], met: [0; ASPECTS] };

    /// Where each aspect lies that has been met `warmup` times, the first of the farthest; not-a-number stands for none.
    pub(super) fn worst(&self, aspects: &[f64; ASPECTS], warmup: u32) -> (Aspect, Place) {
        let places = self.places(aspects, warmup);
        let mut worst = 0;
        let mut farthest = 0.0;
        for (nth, &place) in places.iter().enumerate() {
            if place > farthest {
                (worst, farthest) = (nth, place);
            }
        }
        let at = |of: &[f64; ASPECTS]| of.get(worst).copied().unwrap_or_default();
        let aspect = Aspect::ALL.get(worst).copied().unwrap_or(Aspect::Value);
        (aspect, Place { value: at(aspects), range: (at(&self.low), at(&self.high)), place: farthest })
    }

    /// How often the first aspect, which every point has, was met.
    pub(super) const fn points(&self) -> u32 {
        let [points, ..] = self.met;
        points
    }

    fn places(&self, aspects: &[f64; ASPECTS], warmup: u32) -> [f64; ASPECTS] {
        let [low, ..] = self.low;
        let [high, ..] = self.high;
        // What hardly moved is not left by a move that is nothing beside those of the values.
        let least = (high - low) / 2.0 * LEAST_SHARE;
        let mut places = [0.0; ASPECTS];
        let ranges = self.low.iter().zip(&self.high).zip(&self.met);
        for ((place, &value), ((&low, &high), &met)) in places.iter_mut().zip(aspects).zip(ranges) {
            let half = (high - low) / 2.0;
            let off = (value - (low + half)).abs();
            let rounding = ROUNDING * larger(low.abs(), high.abs());
            let half = larger(half, least);
            let met_off = if off <= rounding { 0.0 } else { FARTHEST };
            let far = if half <= rounding { met_off } else { off / half };
            let far = if far < FARTHEST { far } else { FARTHEST };
            *place = if (met < warmup) | value.is_nan() { 0.0 } else { far };
        }
        places
    }

    fn is_sound(&self) -> bool {
        self.low.iter().zip(&self.high).all(|(low, high)| low <= high)
    }

    /// Widens the ranges to what was met, and lets them fade.
    pub(super) fn learn(&mut self, aspects: &[f64; ASPECTS]) {
        let ranges = self.low.iter_mut().zip(&mut self.high).zip(&mut self.met);
        for (((low, high), met), &value) in ranges.zip(aspects) {
            let (is_none, is_first) = (value.is_nan(), *met == 0);
            let faded = (*high - *low) / 2.0 * FADING;
            let (lowest, highest) = (*low + faded, *high - faded);
            let lowest = if (value < lowest) | is_first { value } else { lowest };
            let highest = if (value > highest) | is_first { value } else { highest };
            *low = if is_none { *low } else { lowest };
            *high = if is_none { *high } else { highest };
            *met = met.saturating_add(u32::from(!is_none));
        }
    }
}

fields!(Ranges { low: [f64; ASPECTS], high: [f64; ASPECTS], met: [u32; ASPECTS] });

/// One instruction, where `f64::max` is several for the sake of not-a-number.
const fn larger(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was met in turn as the change, while the value never moved.
    fn ranges(changes: &[f64]) -> Ranges {
        let mut ranges = Ranges::NONE;
        changes.iter().for_each(|&change| ranges.learn(&met(change)));
        ranges
    }

    fn met(change: f64) -> [f64; ASPECTS] {
        let mut aspects = [f64::NAN; ASPECTS];
        aspects[1] = change;
        aspects
    }

    fn place(ranges: &Ranges, change: f64) -> f64 {
        let (aspect, place) = ranges.worst(&met(change), 2);
        assert!(place.place == 0.0 || aspect == Aspect::Change);
        place.place
    }

    #[test]
    fn the_edge_is_one_and_twice_as_far_is_two() {
        let ranges = ranges(&[10.0, 20.0, 14.0]);
        for (value, expected) in [(15.0, 0.0), (20.0, 1.0), (10.0, 1.0), (25.0, 2.0), (0.0, 3.0)] {
            assert!((place(&ranges, value) - expected).abs() < 1e-3, "{value}");
        }
    }

    #[test]
    fn what_is_not_known_is_nowhere_and_what_never_moved_is_left_by_any_move() {
        assert_eq!(place(&Ranges::NONE, 5.0).to_bits(), 0.0_f64.to_bits());
        assert_eq!(place(&ranges(&[5.0]), 9.0).to_bits(), 0.0_f64.to_bits(), "met once");
        let flat = ranges(&[5.0; 3]);
        assert_eq!([5.0, 5.1, 4.9].map(|value| place(&flat, value)), [0.0, FARTHEST, FARTHEST]);
        let zero = ranges(&[0.0; 3]);
        assert_eq!([0.0, 1e-300].map(|value| place(&zero, value)), [0.0, FARTHEST]);
    }

    #[test]
    fn an_aspect_that_hardly_moved_is_measured_by_the_values() {
        let mut ranges = Ranges::NONE;
        for value in [0.0, 200.0, 100.0] {
            let mut aspects = [f64::NAN; ASPECTS];
            (aspects[0], aspects[3]) = (value, 50.0 + value * 1e-6);
            ranges.learn(&aspects);
        }
        let mut aspects = [f64::NAN; ASPECTS];
        aspects[3] = 51.0;
        let (aspect, place) = ranges.worst(&aspects, 2);
        assert_eq!(aspect, Aspect::Median);
        assert!((place.place - 0.5).abs() < 1e-3, "a half width of 100 makes for one of 2: {place:?}");
    }
}
