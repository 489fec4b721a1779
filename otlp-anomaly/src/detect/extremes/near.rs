//! How far points lie from those shortly before them.

use crate::checkpoint::fields;

/// A level that follows the values in clipped steps, their mean distance from it, and how many such distances away they
/// have been lately.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Near {
    level: f64,
    scale: f64,
    lately: f64,
}

/// Points that level and scale are plain means of.
const FIRST: u32 = 10;
/// How much of a step the level and the scale follow: over 200 and 500 points.
const FOLLOW: f64 = 0.005;
const WIDEN: f64 = 0.002;
/// Scales beyond which the level follows no faster, and beyond which the scale widens no faster.
const CLIP: f64 = 1.5;
const WIDEST: f64 = 3.0;
/// Distances beyond this are all the same.
const FARTHEST: f64 = 50.0;
/// The share of the newest point in what was met lately: about the last five.
const NEWEST: f64 = 0.2;

impl Near {
    pub(super) const NEW: Self = Self { level: 0.0, scale: 0.0, lately: 0.0 };

    fn is_sound(self) -> bool {
        self.scale >= 0.0 && (0.0..=FARTHEST).contains(&self.lately)
    }

    /// How many mean distances the last points have been from the level, this one, the `nth`, included; learns it.
    pub(super) fn observe(&mut self, nth: u32, value: f64) -> f64 {
        let off = value - self.level;
        let share = 1.0 / f64::from(nth.max(1));
        if nth <= FIRST {
            self.level += off * share;
            self.scale += (off.abs() - self.scale) * if nth > 1 { share } else { 0.0 };
            return 0.0;
        }
        let far = off.abs();
        // Where nothing varied any move is as far out as can be.
        let distance = if far >= FARTHEST * self.scale { FARTHEST } else { far / self.scale };
        let distance = if far > 0.0 { distance } else { 0.0 };
        self.lately += (distance - self.lately) * NEWEST;
        let clip = CLIP * self.scale;
        self.level += off.clamp(-clip, clip) * if share > FOLLOW { share } else { FOLLOW };
        let widest = if self.scale > 0.0 { WIDEST * self.scale } else { far };
        let met = if far < widest { far } else { widest };
        self.scale += (met - self.scale) * if share > WIDEN { share } else { WIDEN };
        self.lately
    }
}

fields!(Near { level: f64, scale: f64, lately: f64 });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_again_and_again_is_far_each_time_and_what_stays_becomes_usual() {
        let mut near = Near::NEW;
        let noise = |nth: u32| f64::from(nth * 7919 % 13) - 6.0;
        // Ten points in every hundred are thirty higher.
        let mut met = Vec::new();
        for nth in 1..=2_000 {
            let high = if nth % 100 < 10 && nth > 100 { 30.0 } else { 0.0 };
            met.push((high > 0.0, near.observe(nth, 50.0 + noise(nth) + high)));
        }
        let mean = |is_high: bool| {
            let some: Vec<f64> =
                met.iter().skip(1_000).filter(|(high, _)| *high == is_high).map(|at| at.1).collect();
            some.iter().sum::<f64>() / crate::number::of_len(some.len())
        };
        assert!(mean(true) > 3.0 * mean(false), "{} {}", mean(true), mean(false));
        let stays: Vec<f64> = (2_001..=4_000).map(|nth| near.observe(nth, 80.0 + noise(nth))).collect();
        assert!(
            stays.first() < stays.get(20) && stays.get(1_999).is_some_and(|last| *last < 2.0),
            "{stays:?}"
        );
    }

    #[test]
    fn what_never_varied_is_left_by_any_move_and_can_begin_to() {
        let mut near = Near::NEW;
        assert!((1..=100).all(|nth| near.observe(nth, 5.0) == 0.0));
        assert!(near.observe(101, 5.1) >= NEWEST * FARTHEST);
        let later = (102..=5_000).map(|nth| near.observe(nth, if nth % 2 == 0 { 4.0 } else { 6.0 })).last();
        assert!(later.is_some_and(|lately| lately < 2.0), "{later:?}");
    }
}
