//! Whether scores are higher lately than they use to be.

use otlp_core::{Error, ErrorKind, Result};

use crate::checkpoint::{self, fields};
use crate::detect::kept;
use crate::number::of_len;

/// The running likelihood of scores: how rare their mean of late is beside those means before.
///
/// The means of so many scores in a row are taken for normal, with the mean and the spread of the last of them, and the
/// chance is that of one as high as the newest (S. Ahmad, A. Lavin, S. Purdy and Z. Agha, "Unsupervised real-time anomaly
/// detection for streaming data", Neurocomputing 2017; the spread is that of the means, as in their program). It is
/// for detectors whose scores are high now and then without a fault, as those that foresee are: what counts is that they
/// are so more often than before. Where the means never varied, one that does is as rare as can be told.
///
/// O(scores of late) a score; nothing allocated but at first. What is not finite or beyond 10^100 is left out.
///
/// ```
/// use otlp_anomaly::score::Likelihood;
/// let mut likelihood = Likelihood::new(1_000, 10)?;
/// let usual: Vec<f64> = (0..1_000_u32).map(|step| likelihood.observe(f64::from(step * 7 % 11))).collect();
/// // One score of ten is nothing, and ten of them in a row are.
/// assert!(usual.iter().skip(100).all(|chance| *chance > 0.01));
/// let lately = (0..10).map(|_| likelihood.observe(10.0)).last();
/// assert!(lately < Some(1e-6), "{lately:?}");
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Likelihood {
    memory: usize,
    short: usize,
    /// The newest scores, and the means of so many; and where the next of each goes.
    recent: Vec<f64>,
    means: Vec<f64>,
    next_score: usize,
    next: usize,
    /// Sums of the means and of their squares, from a base that they are reckoned anew from once a round.
    base: f64,
    sum: f64,
    squares: f64,
}

/// Scores from which on something is said.
const LEAST: usize = 30;
const LARGEST: f64 = 1e100;

impl Likelihood {
    /// Knows the last `memory` means, 100 to 100,000, each of `short` scores, 1 to a tenth of that. The paper has 8,000
    /// and 10.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where either is out of range.
    pub fn new(memory: usize, short: usize) -> Result<Self> {
        let means = Vec::with_capacity(memory.min(100_000));
        let recent = Vec::with_capacity(short.min(10_000));
        let (base, sum, squares) = (0.0, 0.0, 0.0);
        let made = Self { memory, short, recent, means, next_score: 0, next: 0, base, sum, squares };
        if made.is_sound() {
            return Ok(made);
        }
        let message =
            format!("likelihood: {memory} means outside 100 to 100,000, or {short} scores out of range");
        Err(Error::new(ErrorKind::Config, message))
    }

    fn is_sound(&self) -> bool {
        (100..=100_000).contains(&self.memory)
            && (1..=self.memory / 10).contains(&self.short)
            && self.recent.len() <= self.short
            && self.means.len() <= self.memory
            && self.next_score < self.short
            && self.next < self.memory
    }

    /// The chance of a mean as high as that of the last few scores, this one included, 0 to 1; 1 before thirty means.
    pub fn observe(&mut self, score: f64) -> f64 {
        if score.is_nan() || score.abs() > LARGEST {
            return 1.0;
        }
        put(&mut self.recent, (&mut self.next_score, self.short), score);
        if self.recent.len() < self.short {
            return 1.0;
        }
        let newest = self.recent.iter().sum::<f64>() / of_len(self.short);
        let chance = self.chance(newest);
        self.keep(newest);
        chance
    }

    /// The chance of a mean as high, by those before it.
    fn chance(&self, newest: f64) -> f64 {
        let count = of_len(self.means.len());
        if self.means.len() < LEAST {
            return 1.0;
        }
        let mean = self.sum / count;
        let spread = (self.squares / count - mean * mean).max(0.0).sqrt();
        let above = newest - self.base - mean;
        // What rounding of the sums makes is no distance.
        let is_none = above <= spread.max(self.base.abs() * 1e-9) * 1e-6;
        let chance = above_by(if is_none { 0.0 } else { above / spread });
        if chance.is_nan() { 1.0 } else { chance }
    }

    fn keep(&mut self, mean: f64) {
        if self.means.is_empty() {
            self.base = mean;
        }
        let left = put(&mut self.means, (&mut self.next, self.memory), mean);
        let off = mean - self.base;
        self.sum += off;
        self.squares += off * off;
        if let Some(off) = left.map(|left| left - self.base) {
            self.sum -= off;
            self.squares -= off * off;
        }
        if self.next == 0 {
            self.reckon();
        }
    }

    /// Makes the sums anew, so that what rounding took or added does not gather.
    fn reckon(&mut self) {
        self.base = self.means.iter().sum::<f64>() / of_len(self.means.len().max(1));
        let off = |mean: &f64| mean - self.base;
        self.sum = self.means.iter().map(off).sum();
        self.squares = self.means.iter().map(|mean| off(mean).powi(2)).sum();
    }

    /// Appends a checkpoint, of which [`restore`](Self::restore) makes one that goes on bit for bit.
    pub fn checkpoint(&self, into: &mut Vec<u8>) {
        checkpoint::write(self, into);
    }
}

fields!(Likelihood {
    memory: usize,
    short: usize,
    recent: Vec<f64>,
    means: Vec<f64>,
    next_score: usize,
    next: usize,
    base: f64,
    sum: f64,
    squares: f64,
});
kept!(Likelihood, 20);

/// Puts a value where the oldest of so many stands, and gives that one.
fn put(ring: &mut Vec<f64>, (next, most): (&mut usize, usize), value: f64) -> Option<f64> {
    let place = *next;
    *next = (place + 1) % most;
    if ring.len() < most {
        ring.push(value);
        return None;
    }
    ring.get_mut(place).map(|slot| std::mem::replace(slot, value))
}

/// The chance of a normal number to be so many spreads above the mean, from zero up: a series near it, a continued
/// fraction beyond (M. Abramowitz and I. Stegun 1964, 26.2.11 and 26.2.14).
fn above_by(spreads: f64) -> f64 {
    let density = (-0.5 * spreads * spreads).exp() / std::f64::consts::TAU.sqrt();
    if spreads < 3.0 {
        let (mut term, mut sum, mut odd) = (spreads, spreads, 1.0);
        while term > sum * 1e-17 {
            odd += 2.0;
            term *= spreads * spreads / odd;
            sum += term;
        }
        return (0.5 - density * sum).max(0.0);
    }
    let fraction = (1..=40_u32).rev().fold(0.0, |below, nth| f64::from(nth) / (spreads + below));
    if density > 0.0 { density / (spreads + fraction) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_the_normal_law_is_that_of_the_tables() {
        let known = [
            (0.0, 0.5),
            (1.0, 0.158_655_253_931_457_05),
            (2.999_999, 1.349_902_463_7e-3),
            (3.0, 1.349_898_031_630_094_5e-3),
            (6.0, 9.865_876_450_377e-10),
            (20.0, 2.753_624_118_606_234e-89),
        ];
        for (spreads, chance) in known {
            assert!((above_by(spreads) / chance - 1.0).abs() < 1e-9, "{spreads}: {}", above_by(spreads));
        }
        assert!(above_by(f64::INFINITY) == 0.0 && above_by(1e9) == 0.0);
    }

    #[test]
    fn sums_are_those_of_what_is_kept() {
        let mut random = crate::random::Random::new(3);
        let mut likelihood = Likelihood::new(100, 7).unwrap();
        let mut all = Vec::new();
        for _ in 0..1_234 {
            all.push(1e3 + random.uniform());
            likelihood.observe(all[all.len() - 1]);
            let means = all.windows(7).map(|scores| scores.iter().sum::<f64>() / 7.0);
            let kept: Vec<f64> = means.rev().take(100).map(|mean| mean - likelihood.base).collect();
            assert!((likelihood.sum - kept.iter().sum::<f64>()).abs() < 1e-9);
            assert!((likelihood.squares - kept.iter().map(|off| off * off).sum::<f64>()).abs() < 1e-9);
        }
    }
}
