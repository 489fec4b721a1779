//! From scores to chances.

use otlp_core::{Error, ErrorKind, Result};

/// How scores of causes become confidences: each is the chance that this cause is the true one.
///
/// With scores `s` each cause has the share `s^sharpness / (Σ s^sharpness + none)`, and what is left is that of "none of these".
/// Of the first, `odds * share odds^slope` is made of its odds (J. Platt, "Probabilistic outputs for support vector machines",
/// 1999): what it loses by that goes to "none", what it gains comes from all others alike. Order is kept, and all chances
/// sum to at most 1.
///
/// The default was fitted to seeded systems (`cargo run --release --example evaluate -- --calibrate 4000`): 5 to 30 services;
/// faults of latency, errors and absence from hardly noticeable to grave, four of ten cases without any; spans, metrics and
/// logs present or not; few metrics that jump for no reason, and harmless deploys. Other systems have other odds: fit it to incidents
/// of yours where some dozens are labelled.
///
/// ```
/// use otlp_anomaly::cause::Calibration;
/// let [first, second] = [1.2, 0.1];
/// let chances = Calibration::DEFAULT.confidences(&[first, second]);
/// assert!(chances[0] > chances[1] && chances.iter().sum::<f64>() < 1.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// How much more the strongest counts than its share.
    pub sharpness: f64,
    /// What "none of these" weighs.
    pub none: f64,
    /// How far the first is from even odds, beside its share; 1 leaves it.
    pub slope: f64,
    /// What the odds of the first are multiplied by; 1 leaves them.
    pub odds: f64,
}

/// Scores of the causes of one incident, and the place of the true one among them; none where no cause was there or it
/// is not among them.
pub type Labelled = (Vec<f64>, Option<usize>);

/// Cases that a fit needs.
const LEAST_CASES: usize = 20;
/// Where constants are looked for, as logarithms, and how finely.
const SHARPNESS: (f64, f64) = (-1.5, 2.5);
const NONE: (f64, f64) = (-9.0, 3.0);
const SLOPE: (f64, f64) = (-1.5, 1.5);
const ODDS: (f64, f64) = (-3.0, 3.0);
const GRID: u32 = 12;
const ROUNDS: u32 = 8;
/// A first with less of a share is not named, and has no say in the odds of those that are.
const LEAST_SHARE: f64 = 0.25;
/// Chances are not taken for less.
const LEAST_CHANCE: f64 = 1e-12;

impl Calibration {
    /// What ships.
    pub const DEFAULT: Self = Self { sharpness: 2.383, none: 0.0164, slope: 1.218, odds: 0.964 };

    /// The chances of causes with these scores, in their order. O(scores).
    #[must_use]
    pub fn confidences(&self, scores: &[f64]) -> Vec<f64> {
        let mut chances = self.shares(scores);
        let first = chances.iter().copied().fold(0.0, f64::max);
        if first <= 0.0 {
            return chances;
        }
        let made = self.of_first(first);
        for chance in &mut chances {
            *chance = if *chance >= first {
                made
            } else if made < first {
                *chance * made / first
            } else {
                *chance * (1.0 - made) / (1.0 - first).max(LEAST_CHANCE)
            };
        }
        // Several that are first share what there is.
        let all: f64 = chances.iter().sum();
        chances.iter_mut().for_each(|chance| *chance /= all.max(1.0));
        chances
    }

    fn shares(&self, scores: &[f64]) -> Vec<f64> {
        let weight = |score: &f64| if *score > 0.0 { score.powf(self.sharpness) } else { 0.0 };
        let weights: Vec<f64> = scores.iter().map(weight).collect();
        let all = weights.iter().sum::<f64>() + self.none;
        weights.into_iter().map(|weight| weight / all).collect()
    }

    fn of_first(&self, share: f64) -> f64 {
        let odds = self.odds * (share / (1.0 - share).max(LEAST_CHANCE)).powf(self.slope);
        if odds.is_finite() { odds / (1.0 + odds) } else { 1.0 }
    }

    /// Finds the constants under which the truth of labelled incidents is likeliest: the shares first, then the odds of the
    /// first. O(scores), some thousand times.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for fewer than 20 incidents.
    pub fn fit(cases: &[Labelled]) -> Result<Self> {
        if cases.len() < LEAST_CASES {
            let message = format!("calibration: {} incidents are fewer than {LEAST_CASES}", cases.len());
            return Err(Error::new(ErrorKind::Config, message));
        }
        let plain = |sharpness, none| Self { sharpness, none, slope: 1.0, odds: 1.0 };
        let (sharpness, none) =
            least([SHARPNESS, NONE], |sharpness, none| plain(sharpness, none).loss(cases));
        let shares = plain(sharpness, none);
        let first = |(scores, truth): &Labelled| {
            let shares = shares.shares(scores);
            let first = shares.iter().copied().fold(0.0, f64::max);
            let is_right = truth.and_then(|truth| shares.get(truth)).is_some_and(|share| *share >= first);
            (first >= LEAST_SHARE).then_some((first, is_right))
        };
        let firsts: Vec<(f64, bool)> = cases.iter().filter_map(first).collect();
        let (slope, odds) = least([SLOPE, ODDS], |slope, odds| {
            let tried = Self { slope, odds, ..shares };
            let surprise = |(share, is_right): &(f64, bool)| {
                let chance = tried.of_first(*share);
                -(if *is_right { chance } else { 1.0 - chance }).max(LEAST_CHANCE).ln()
            };
            firsts.iter().map(surprise).sum()
        });
        Ok(Self { slope, odds, ..shares })
    }

    /// The mean surprise at the truth of cases, in nats.
    #[must_use]
    pub fn loss(&self, cases: &[Labelled]) -> f64 {
        let surprise = |(scores, truth): &Labelled| {
            let chances = self.confidences(scores);
            let of_none = 1.0 - chances.iter().sum::<f64>();
            let chance = truth.map_or(of_none, |truth| chances.get(truth).copied().unwrap_or_default());
            -chance.max(LEAST_CHANCE).ln()
        };
        cases.iter().map(surprise).sum::<f64>() / crate::number::of_len(cases.len()).max(1.0)
    }
}

/// Where a loss of two constants is least, each between two logarithms: a grid, and finer ones around what was best.
fn least(mut ranges: [(f64, f64); 2], loss: impl Fn(f64, f64) -> f64) -> (f64, f64) {
    let mut best = (f64::INFINITY, [0.0; 2]);
    for _ in 0..ROUNDS {
        for (row, column) in (0..=GRID).flat_map(|row| (0..=GRID).map(move |column| (row, column))) {
            let at =
                |(low, high): (f64, f64), step: u32| low + (high - low) * f64::from(step) / f64::from(GRID);
            let [first, second] = ranges;
            let tried = [at(first, row), at(second, column)];
            let met = loss(tried[0].exp(), tried[1].exp());
            if met < best.0 {
                best = (met, tried);
            }
        }
        for (range, found) in ranges.iter_mut().zip(best.1) {
            let reach = (range.1 - range.0) / 5.0;
            *range = (found - reach, found + reach);
        }
    }
    (best.1[0].exp(), best.1[1].exp())
}

impl Default for Calibration {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn constants_that_made_the_truth_are_found_again() {
        let mut random = Random::new(5);
        let made = Calibration { sharpness: 2.2, none: 0.3, slope: 1.0, odds: 1.0 };
        let case = |_| {
            let scores: Vec<f64> = (0..4).map(|_| 1.5 * random.uniform()).collect();
            let mut left = random.uniform();
            let truth = made.confidences(&scores).iter().position(|chance| {
                left -= chance;
                left < 0.0
            });
            (scores, truth)
        };
        let cases: Vec<Labelled> = (0..4_000).map(case).collect();
        let found = Calibration::fit(&cases).unwrap();
        let near = |met: f64, made: f64| (met / made - 1.0).abs() < 0.15;
        assert!(near(found.sharpness, made.sharpness) && near(found.none, made.none), "{found:?}");
        assert!(near(found.slope, 1.0) && near(found.odds, 1.0), "{found:?}");
        // Chances are those of the truth: in each tenth as many are right as were said to be.
        let few = Calibration::fit(&cases[..1_500]).unwrap();
        let mut bins = [(0.0, 0.0, 0.0); 5];
        for (scores, truth) in &cases {
            for (place, chance) in few.confidences(scores).iter().enumerate() {
                let place_of = (0..4).filter(|edge| *chance >= f64::from(*edge + 1) / 5.0).count();
                let bin = &mut bins[place_of];
                *bin = (bin.0 + 1.0, bin.1 + chance, bin.2 + f64::from(u8::from(*truth == Some(place))));
            }
        }
        for (count, said, right) in bins.into_iter().filter(|bin| bin.0 > 300.0) {
            assert!((said - right).abs() / count < 0.08, "{count} {said} {right}");
        }
    }

    #[test]
    fn what_cannot_be_fitted_or_scaled_is_refused_and_odd_scores_are_no_chance() {
        assert!(Calibration::fit(&vec![(vec![1.0], Some(0)); 19]).is_err());
        assert_eq!(Calibration::DEFAULT.confidences(&[0.0, -1.0, f64::NAN]), [0.0, 0.0, 0.0]);
        assert!(Calibration::fit(&vec![(vec![1.0], None); 30]).unwrap().confidences(&[1.0])[0] < 0.1);
        let steep = Calibration { slope: 4.0, odds: 9.0, ..Calibration::DEFAULT };
        for scores in [&[2.0, 1.9, 0.3][..], &[0.1, 0.1], &[1e100, 1e-100]] {
            let chances = steep.confidences(scores);
            let is_in_order = chances.windows(2).all(|pair| pair[0] >= pair[1]);
            assert!(is_in_order && chances.iter().sum::<f64>() <= 1.0 + 1e-12, "{chances:?}");
        }
    }
}
