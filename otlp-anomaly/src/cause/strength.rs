//! How much a shift says: one currency for every source.

use crate::number::{ratio, to_f64};

/// A shift of something: how far beyond chance, and how much of what is now it makes up.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Shift {
    /// In standard deviations of what is usual; negative for less.
    pub(super) z: f64,
    /// The share of the larger side that is surely beyond the other, 0 to 1.
    pub(super) effect: f64,
}

/// Standard errors that are left to chance.
const LEFT_TO_CHANCE: f64 = 2.0;

impl Shift {
    /// A rise of a mean logarithm, with its standard error: only what is beyond two of them counts.
    pub(super) fn of_logarithm(shift: f64, error: f64) -> Self {
        let surely = (shift - LEFT_TO_CHANCE * error).max(0.0);
        Self { z: shift / error, effect: -(-surely).exp_m1() }
    }

    /// From 0 to 1: the logarithm of how far it is beyond the farthest that chance goes in so many tests, times the
    /// share, bent below 1.
    pub(super) fn strength(self, tests: f64) -> f64 {
        let beyond = (self.z.abs() - look_elsewhere(tests)).max(0.0);
        let evidence = beyond.ln_1p() * self.effect.clamp(0.0, 1.0);
        evidence / (1.0 + evidence)
    }
}

/// About the largest of so many normal deviates (Fisher and Tippett, "Limiting forms of the frequency distribution of
/// the largest or smallest member of a sample", 1928).
pub(super) fn look_elsewhere(tests: f64) -> f64 {
    (2.0 * tests.max(1.0).ln()).sqrt()
}

/// The rise of a share as a normal deviate, half a case added on each side, and the shares.
pub(super) fn rise(then: [u64; 2], now: [u64; 2]) -> (f64, (f64, f64)) {
    let [then, now] = [then, now].map(|[part, all]| (to_f64(part) + 0.5, to_f64(all) + 1.0));
    rise_of(then, now)
}

/// The same of parts and wholes that need not be counts.
pub(super) fn rise_of(then: (f64, f64), now: (f64, f64)) -> (f64, (f64, f64)) {
    let (usual, met) = (ratio(then.0, then.1), ratio(now.0, now.1));
    let common = ratio(then.0 + now.0, then.1 + now.1);
    let error = (common * (1.0 - common) * (1.0 / then.1 + 1.0 / now.1)).sqrt();
    (ratio(met - usual, error), (usual, met))
}

/// The middle of values; 0 of none.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    quantile(&sorted(values), 0.5)
}

/// Finite values in ascending order.
pub(super) fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// A quantile of ascending values, between neighbours in proportion; 0 of none.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let rank = share.clamp(0.0, 1.0) * crate::number::of_len(last);
    let place = usize::try_from(crate::number::floor(rank)).unwrap_or(last).min(last);
    let at = |place: usize| sorted.get(place.min(last)).copied().unwrap_or_default();
    let part = rank - rank.floor();
    at(place) + part * (at(place + 1) - at(place))
}
