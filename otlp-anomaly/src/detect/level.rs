//! What each value of a row usually is, for explaining scores that come from all of them together.

use super::judge::Judgement;
use crate::checkpoint::fields;

/// Mean and spread of one value, over about the last [`MEMORY`] points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Level {
    mean: f64,
    square: f64,
    seen: u32,
}

/// Over how many points the means are taken.
const MEMORY: f64 = 256.0;
/// Deviations beyond this are all the same.
const FARTHEST: f64 = 1e9;

impl Level {
    pub(super) const NEW: Self = Self { mean: 0.0, square: 0.0, seen: 0 };

    fn is_sound(&self) -> bool {
        self.square >= 0.0
    }

    pub(super) const fn mean(&self) -> f64 {
        self.mean
    }

    /// How many spreads a value is off.
    pub(super) fn deviation(&self, value: f64) -> f64 {
        let off = value - self.mean;
        if self.seen < 2 || off == 0.0 {
            return 0.0;
        }
        // Where nothing varied any move is as far out as can be.
        (off / self.square.sqrt().max(f64::MIN_POSITIVE)).clamp(-FARTHEST, FARTHEST)
    }

    pub(super) fn learn(&mut self, value: f64) {
        self.seen = self.seen.saturating_add(1);
        let rate = 1.0 / f64::from(self.seen).min(MEMORY);
        let off = value - self.mean;
        self.mean += rate * off;
        self.square = ((1.0 - rate) * (self.square + rate * off * off)).min(1e301);
    }

    /// What a score of a whole row is about, and learns the row: the dimension that is the most off, shares in
    /// proportion to the squares.
    pub(super) fn explain(levels: &mut [Self], row: &[f64], score: f64, shares: &mut [f64]) -> Judgement {
        let (dimension, deviation) = Self::worst(levels, row);
        let largest = deviation.abs();
        let part = |level: &Self, value: f64| {
            if largest > 0.0 { (level.deviation(value) / largest).powi(2) } else { 1.0 }
        };
        let whole: f64 = levels.iter().zip(row).map(|(level, &value)| part(level, value)).sum();
        shares.fill(0.0);
        for ((share, level), &value) in shares.iter_mut().zip(levels.iter()).zip(row) {
            *share = score * part(level, value) / whole;
        }
        let met = row.get(dimension).copied().unwrap_or_default();
        let expected = levels.get(dimension).map_or(0.0, Self::mean);
        levels.iter_mut().zip(row).for_each(|(level, &value)| level.learn(value));
        Judgement { score, dimension, met, expected, deviation, ..Judgement::NONE }
    }

    /// The place, the level and the deviation of the value that is the farthest off.
    pub(super) fn worst(levels: &[Self], row: &[f64]) -> (usize, f64) {
        let deviations = levels.iter().zip(row).map(|(level, &value)| level.deviation(value)).enumerate();
        deviations.fold((0, 0.0_f64), |worst, next| if next.1.abs() > worst.1.abs() { next } else { worst })
    }
}

fields!(Level { mean: f64, square: f64, seen: u32 });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_that_is_off_is_named_with_how_far() {
        let mut levels = [Level::NEW; 3];
        for step in 0..100 {
            let row = [5.0, if step % 2 == 0 { 9.0 } else { 11.0 }, 1e150];
            levels.iter_mut().zip(row).for_each(|(level, value)| level.learn(value));
        }
        let (place, deviation) = Level::worst(&levels, &[5.0, 6.0, 1e150]);
        assert_eq!(place, 1);
        assert!((deviation + 4.0).abs() < 1e-6, "{deviation}");
        assert_eq!(Level::worst(&levels, &[5.1, 10.0, 1e150]), (0, FARTHEST), "what never varied");
        assert_eq!(Level::worst(&levels, &[5.0, 10.0, 1e150]).0, 0);
    }
}
