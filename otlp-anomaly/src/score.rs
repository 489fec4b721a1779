//! From scores to a decision that keeps to an alarm budget.
//!
//! | of | by | when |
//! |---|---|---|
//! | one series | [`Tail`] | scores have a scale that is known beforehand, and what counts are episodes |
//! | one series | [`Spot`] | scores of any unit; the chance of one by the law of extreme values, also of ones never met |
//! | one series | [`Conformal`] | scores of any unit and law; the chance by rank, no smaller than one over those kept |
//! | one series | [`Likelihood`] | scores that are often high by themselves: whether they are more often so than usual |
//! | many series | [`Fleet`] | a budget over all of them, whose false alarms are few whatever their number |

mod conformal;
mod debt;
mod fleet;
mod likelihood;
mod spot;

use std::time::Duration;

use otlp_core::{Error, ErrorKind, Result};

use crate::checkpoint::fields;
use crate::number::to_f64;

pub use conformal::Conformal;
pub(crate) use debt::Debt;
pub use fleet::{Fleet, FleetConfig};
pub use likelihood::Likelihood;
pub use spot::{Extreme, Spot};

/// How many false alarms a series may raise.
///
/// ```
/// use std::time::Duration;
/// use otlp_anomaly::score::Budget;
/// let weekly = Budget::per_week(1.0, Duration::from_secs(60))?;
/// assert_eq!(weekly, Budget::per_windows(1.0, 10_080)?);
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    per_window: f64,
}

impl Budget {
    /// One false alarm a series and week of windows of one second: the strictest of the usual ones.
    pub const DEFAULT: Self = Self { per_window: 1.0 / 604_800.0 };

    /// At most `alarms` false alarms a series in `windows` windows.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] unless that is more than 10^-9 and at most 1/20 a window.
    pub fn per_windows(alarms: f64, windows: u64) -> Result<Self> {
        let per_window = alarms / to_f64(windows);
        let budget = Self { per_window };
        if budget.is_sound() {
            return Ok(budget);
        }
        let message = format!("budget: {per_window} alarms a window outside 10^-9 to 0.05");
        Err(Error::new(ErrorKind::Config, message))
    }

    fn is_sound(self) -> bool {
        (1e-9..=0.05).contains(&self.per_window)
    }

    /// At most `alarms` false alarms a series and week, of windows of length `window`.
    ///
    /// # Errors
    /// As [`per_windows`](Self::per_windows).
    pub fn per_week(alarms: f64, window: Duration) -> Result<Self> {
        let week = Duration::from_secs(7 * 86_400);
        let windows = u64::try_from(week.as_nanos() / window.as_nanos().max(1)).unwrap_or(u64::MAX);
        Self::per_windows(alarms, windows)
    }

    /// The budget as alarms a window.
    #[must_use]
    pub const fn per_window(self) -> f64 {
        self.per_window
    }
}

fields!(Budget { per_window: f64 });

impl Default for Budget {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Learns how often scores reach how high, and gives the score that is reached as often as the budget allows.
///
/// What is counted are clusters, not windows: at each of a ladder of levels, scores that reach it within a few
/// windows of each other are one cluster, as they would be one alarm. Scores that stay high for a while, as those
/// of autocorrelated series do, thus cost one alarm here as well as there.
///
/// Where the budget allows fewer clusters than were seen so far, the threshold is read off beyond the data by a
/// generalised Pareto tail over a high level (peaks over threshold, as in SPOT: Siffer et al., "Anomaly
/// detection in streams with extreme value theory", KDD 2017), here fitted by probability-weighted moments
/// (Hosking and Wallis, Technometrics 1987) instead of maximum likelihood, with the shape drawn to a mild prior
/// as Martins and Stedinger (Water Resources Research 2000) do. Before there is enough data the prior stands
/// alone, and for a while after that the higher of the two.
///
/// An account is kept of the clusters that did pass the threshold. While there were more of them than the budget
/// allowed so far, the threshold is that of a stricter budget: this is what keeps discrete series, whose scores
/// leave no room between too often and too seldom, and series that are worse than they first seemed within it.
///
/// A score above twice the threshold counts as one at the threshold: it is held to be a fault, and must not teach
/// the tail. Constant memory (720 bytes), nothing allocated; O(levels up to the score) a window.
///
/// ```
/// use otlp_anomaly::score::{Budget, Tail};
/// let mut tail = Tail::new(Budget::per_windows(1.0, 1_000)?, 3);
/// let before = tail.threshold();
/// (0..10_000_u32).for_each(|i| tail.observe(f64::from(i % 100) / 100.0));
/// assert!(tail.threshold() < before);
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Tail {
    budget: f64,
    merge_windows: u32,
    tick: u32,
    windows: u64,
    refit_at: u64,
    threshold: f64,
    clusters: [u32; LEVELS],
    last_reached: [u32; LEVELS],
    /// Clusters that passed the threshold of their time, and when the last one did.
    passed: u32,
    last_passed: u32,
    debt: Debt,
}

/// Counts stay below this, so that there is room to count on.
const MOST_PASSED: u32 = 1 << 30;
/// Rungs of the ladder: 0.5 to about 100, each seven percent above the one before.
const LEVELS: usize = 80;
const LOWEST: f64 = 0.5;
const STEP: f64 = 1.07;

/// What each rung takes, and the one that would come next.
#[expect(
    clippy::indexing_slicing,
    reason = "at build time, where a place that is not there is an error of the compiler"
)]
const LADDER: [f64; LEVELS + 1] = {
    let (mut ladder, mut rung) = ([LOWEST; LEVELS + 1], 1);
    while rung <= LEVELS {
        ladder[rung] = ladder[rung - 1] * STEP;
        rung += 1;
    }
    ladder
};

/// Below this count of windows the prior stands alone.
const LEARN_FROM: u64 = 64;
/// From this count of clusters on the empirical rate is good enough by itself (its standard error is a seventh).
const ENOUGH: f64 = 50.0;

/// The prior tail, mildly heavier than exponential: the score passes 2 in one window of fifty.
const PRIOR: Pareto = Pareto { base: 2.0, rate: 0.02, scale: 0.4, shape: 0.05 };
/// How sure the prior is of the shape: its standard deviation.
const SHAPE_SIGMA: f64 = 0.1;

/// A generalised Pareto tail: scores pass `base` at `rate` a window, and by how much has this scale and shape.
#[derive(Debug, Clone, Copy)]
struct Pareto {
    base: f64,
    rate: f64,
    scale: f64,
    shape: f64,
}

impl Pareto {
    /// The level passed at `rate` a window.
    fn level(self, rate: f64) -> f64 {
        let rarer = (self.rate / rate).max(1.0);
        let excess =
            if self.shape.abs() < 1e-6 { rarer.ln() } else { (rarer.powf(self.shape) - 1.0) / self.shape };
        self.base + self.scale * excess
    }
}

impl Tail {
    /// A tail that knows nothing yet; scores at most `merge_windows` windows apart are one cluster.
    #[must_use]
    pub fn new(budget: Budget, merge_windows: u32) -> Self {
        Self {
            budget: budget.per_window,
            merge_windows,
            tick: 0,
            windows: 0,
            refit_at: LEARN_FROM,
            threshold: PRIOR.level(budget.per_window),
            clusters: [0; LEVELS],
            last_reached: [0; LEVELS],
            passed: 0,
            last_passed: 0,
            debt: Debt::NONE,
        }
    }

    /// Takes the score of one more window. Not-a-number counts as a score that reaches nothing.
    pub fn observe(&mut self, score: f64) {
        self.tick = self.tick.wrapping_add(1);
        self.windows += 1;
        self.debt.pass(self.budget);
        self.keep_account(score);
        let taught = if score > 2.0 * self.threshold { self.threshold } else { score };
        // The rungs that it reaches, all at once: a loop that may end early would be done one by one.
        let reached = rungs(taught);
        let (tick, apart) = (self.tick, self.merge_windows);
        let clusters = self.clusters.get_mut(..reached).unwrap_or_default();
        let last_reached = self.last_reached.get_mut(..reached).unwrap_or_default();
        for (clusters, last) in clusters.iter_mut().zip(last_reached) {
            let is_new = (*clusters == 0) | (tick.wrapping_sub(*last) > apart);
            *clusters += u32::from(is_new);
            *last = tick;
        }
        if self.windows >= self.refit_at {
            self.refit();
        }
    }

    /// The score that is reached as often as the budget allows.
    #[must_use]
    pub const fn threshold(&self) -> f64 {
        self.threshold
    }

    /// Windows seen, those forgotten left out.
    #[must_use]
    pub const fn windows(&self) -> u64 {
        self.windows
    }

    /// Whether a checkpoint may say this: counts that leave room to count on.
    fn is_sound(&self) -> bool {
        let budget = Budget { per_window: self.budget };
        let counts = self.clusters.iter().chain([&self.passed]);
        budget.is_sound()
            && self.threshold > 0.0
            && self.windows < 1 << 48
            && counts.max() <= Some(&MOST_PASSED)
    }

    /// Says whether the last score that passed the threshold did so rightly. A false one halves the budget until the
    /// windows have passed in which it allows for one, and is charged to the account once more; a right one takes both back.
    pub fn feedback(&mut self, is_anomaly: bool) {
        self.debt.tell(is_anomaly);
        // On top of what it was charged when it came: nothing where it was held to be a fault.
        self.passed =
            if is_anomaly { self.passed.saturating_sub(1) } else { (self.passed + 1).min(MOST_PASSED) };
        self.refit();
    }

    fn keep_account(&mut self, score: f64) {
        if score < self.threshold || score > 2.0 * self.threshold || score.is_nan() {
            return;
        }
        if self.passed == 0 || self.tick.wrapping_sub(self.last_passed) > self.merge_windows {
            self.passed += 1;
            self.refit_at = self.refit_at.min(self.windows.max(LEARN_FROM));
        }
        self.last_passed = self.tick;
    }

    fn refit(&mut self) {
        let in_force = self.debt.of(self.budget);
        let prior = PRIOR.level(in_force);
        let seen = to_f64(self.windows);
        // Whoever overdrew the account saves until it is even. Two are free, or the first would cost the next.
        let overdrawn = f64::from(self.passed) / (self.budget * seen + 2.0);
        // To the fourth power, so that a fifth too many halves the rate.
        let budget = in_force / overdrawn.powi(4).clamp(1.0, 20.0);
        let allowed = budget * seen;
        self.threshold = if allowed >= ENOUGH {
            self.empirical(allowed)
        } else {
            let fitted = self.fit().map_or(prior, |tail| tail.level(budget));
            // The prior fades over the first few hundred windows; data that are worse than it count at once.
            let faded = prior + (fitted - prior) * seen / (seen + 200.0);
            faded.max(fitted)
        };
        if seen * self.budget > 64.0 * ENOUGH {
            self.clusters.iter_mut().for_each(|clusters| *clusters /= 2);
            self.windows /= 2;
            self.passed /= 2;
        }
        self.refit_at = self.windows + (self.windows / 64).max(16);
    }

    /// Reads the level off the counts, log-linear between rungs.
    fn empirical(&self, allowed: f64) -> f64 {
        let counted = self.clusters.iter().enumerate();
        let Some((rung, _)) = counted.rev().find(|&(_, &clusters)| f64::from(clusters) >= allowed) else {
            return LOWEST;
        };
        let at = |rung: usize| f64::from(self.clusters.get(rung).copied().unwrap_or_default()).max(0.5);
        let (here, above) = (at(rung), at(rung + 1));
        let part = ((here / allowed).ln() / (here / above).ln().max(1e-9)).clamp(0.0, 1.0);
        level(rung) + (level(rung + 1) - level(rung)) * part
    }

    /// Fits the tail over the highest rung that enough clusters reached.
    fn fit(&self) -> Option<Pareto> {
        let seen = to_f64(self.windows);
        let most = self.clusters.iter().max().copied().map_or(0.0, f64::from);
        let wanted = (seen * 0.05).min(most * 0.5).clamp(10.0, 150.0);
        let base = self.clusters.iter().rposition(|&clusters| f64::from(clusters) >= wanted)?;
        let reached = self.clusters.get(base..)?;
        let all = f64::from(*reached.first()?);
        let (mut mean, mut weighted) = (0.0, 0.0);
        for (rung, pair) in (base..).zip(reached.windows(2)) {
            let &[here, above] = pair else { continue };
            let (here, above) = (f64::from(here) / all, f64::from(above) / all);
            let width = level(rung + 1) - level(rung);
            // The share still above falls from `here` to `above` along the rung, closer to a curve than a line.
            mean += width * log_mean(here, above);
            weighted += width * log_mean(here * here, above * above) / 2.0;
        }
        let apart = mean - 2.0 * weighted;
        // Where all ends within a rung there is no tail to speak of: as short a one as is believed.
        let met = if apart > 1e-9 { (2.0 - mean / apart).clamp(-0.5, 0.9) } else { -0.5 };
        let (certain, prior_certain) = (all * 0.75, 1.0 / (SHAPE_SIGMA * SHAPE_SIGMA));
        let shape = (met * certain + PRIOR.shape * prior_certain) / (certain + prior_certain);
        Some(Pareto { base: level(base), rate: all / seen, scale: mean * (1.0 - shape), shape })
    }
}

fields!(Tail {
    budget: f64,
    merge_windows: u32,
    tick: u32,
    windows: u64,
    refit_at: u64,
    threshold: f64,
    clusters: [u32; LEVELS],
    last_reached: [u32; LEVELS],
    passed: u32,
    last_passed: u32,
    debt: Debt,
});

fn level(rung: usize) -> f64 {
    LADDER.get(rung).copied().unwrap_or(f64::INFINITY)
}

/// How many rungs a score reaches; not-a-number reaches none.
///
/// The leading bits of a positive double tell an eighth of an octave, within which there are two rungs at most.
fn rungs(score: f64) -> usize {
    if score < LOWEST || score.is_nan() {
        return 0;
    }
    let eighth = (score.to_bits() >> EIGHTH_BITS) - LOWEST_EIGHTH;
    let below = usize::try_from(eighth)
        .ok()
        .and_then(|eighth| BELOW.get(eighth))
        .copied()
        .map_or(LEVELS, usize::from);
    let within = LADDER.get(below..LEVELS).unwrap_or_default().iter().take(2);
    below + within.map(|&level| usize::from(level <= score)).sum::<usize>()
}

/// Mantissa bits but the first three.
const EIGHTH_BITS: u32 = 49;
const LOWEST_EIGHTH: u64 = LOWEST.to_bits() >> EIGHTH_BITS;
/// How many rungs lie at or below the lower end of each eighth of an octave.
#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "at build time; fewer than 256"
)]
const BELOW: [u8; 63] = {
    let (mut below, mut eighth) = ([0; 63], 0);
    while eighth < 63 {
        let lower = f64::from_bits((LOWEST_EIGHTH + eighth as u64) << EIGHTH_BITS);
        let mut rung = 0;
        while rung < LEVELS && LADDER[rung] <= lower {
            rung += 1;
        }
        below[eighth] = rung as u8;
        eighth += 1;
    }
    below
};

/// The mean of an exponential that falls from `high` to `low` over an interval.
fn log_mean(high: f64, low: f64) -> f64 {
    if low <= 0.0 {
        return high / 4.0;
    }
    let ln = (high / low).ln();
    if ln.abs() < 1e-6 { high } else { (high - low) / ln }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rungs_that_a_score_reaches_are_those_at_or_below_it() {
        let near = LADDER.into_iter().flat_map(|level| [level.next_down(), level, level.next_up()]);
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, -0.0, 1e-300, 331.0, 1e300];
        for score in near.chain(odd).chain((0..40_000).map(|step| f64::from(step) * 0.01)) {
            let expected = LADDER[..LEVELS].iter().filter(|&&level| level <= score).count();
            assert_eq!(rungs(score), expected, "{score}");
        }
    }
}
