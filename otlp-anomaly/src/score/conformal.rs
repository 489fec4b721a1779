//! Chances by rank.

use otlp_core::{Error, ErrorKind, Result};

use crate::checkpoint::{self, fields};
use crate::detect::kept;
use crate::detect::sorted::SortedWindow;
use crate::number::of_len;

/// How many of the last scores were as high: a p-value whatever the law of the scores.
///
/// Of scores in an order that says nothing (exchangeable ones), a chance of at most `p` comes up with a probability of at
/// most `p` (V. Vovk, A. Gammerman and G. Shafer, "Algorithmic Learning in a Random World", 2005; as detection: R. Laxhammar
/// and G. Falkman, "Sequential conformal anomaly detection", 2010). No chance is below one over the scores kept and one
/// more: for rarer ones a law is needed, as [`Spot`](super::Spot) has it.
///
/// O(log memory) a score and half the memory in moves; nothing allocated but at first. Not-a-number has the chance 1 and
/// is not kept.
///
/// ```
/// use otlp_anomaly::score::Conformal;
/// let mut chances = Conformal::new(999)?;
/// for step in 0..999_u32 {
///     chances.observe(f64::from(step * 617 % 999));
/// }
/// assert!((chances.observe(899.0) - 0.101).abs() < 1e-9);
/// assert!((chances.observe(5_000.0) - 0.001).abs() < 1e-9);
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Conformal {
    scores: SortedWindow,
}

impl Conformal {
    /// Keeps the last `memory` scores, 20 to 65,536.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where that is out of range.
    pub fn new(memory: usize) -> Result<Self> {
        if !(20..=65_536).contains(&memory) {
            let message = format!("conformal: memory of {memory} scores outside 20 to 65,536");
            return Err(Error::new(ErrorKind::Config, message));
        }
        Ok(Self { scores: SortedWindow::new(memory) })
    }

    fn is_sound(&self) -> bool {
        self.scores.size() >= 20
    }

    /// The chance of a score as high among the last ones, above 0 to 1; then it is one of them.
    pub fn observe(&mut self, score: f64) -> f64 {
        if !score.is_finite() {
            return 1.0;
        }
        let sorted = self.scores.sorted();
        let below = sorted.partition_point(|other| *other < score);
        let chance = of_len(sorted.len() - below + 1) / of_len(sorted.len() + 1);
        // Zeros of either sign are one score.
        self.scores.push(score + 0.0);
        chance
    }

    /// Appends a checkpoint, of which [`restore`](Self::restore) makes one that goes on bit for bit.
    pub fn checkpoint(&self, into: &mut Vec<u8>) {
        checkpoint::write(self, into);
    }
}

fields!(Conformal { scores: SortedWindow });
kept!(Conformal, 19);
