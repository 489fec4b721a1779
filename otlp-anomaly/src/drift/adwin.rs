//! A window that is as long as its mean stays the same.
#![expect(clippy::indexing_slicing, reason = "buckets lie below the length of their row")]

use otlp_core::{Error, ErrorKind, Result};

use crate::number::{of_len, ratio, to_f64};

/// How sensitive an [`Adwin`] is.
///
/// ```
/// use otlp_anomaly::drift::AdwinConfig;
/// let mut drift = AdwinConfig::new().build()?;
/// let told = (0..1_000_u32).filter(|at| drift.observe(if *at < 500 { 0.2 } else { 0.8 })).next();
/// assert!(told.is_some_and(|at| (500..600).contains(&at)));
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct AdwinConfig {
    confidence: f64,
    clock: u32,
    max_buckets: usize,
    least: u32,
    grace: u32,
}

impl AdwinConfig {
    /// The defaults, which are those of river's.
    #[must_use]
    pub const fn new() -> Self {
        Self { confidence: 0.002, clock: 32, max_buckets: 5, least: 5, grace: 10 }
    }

    /// Sets how often a cut may be wrong, above 0 to 0.5; default 0.002.
    #[must_use]
    pub const fn confidence(mut self, confidence: f64) -> Self {
        self.confidence = confidence;
        self
    }

    /// Sets after how many values the window is looked at, 1 to 100,000; default 32.
    #[must_use]
    pub const fn clock(mut self, clock: u32) -> Self {
        self.clock = clock;
        self
    }

    /// Sets how many buckets of one size there are at most, 2 to 64; default 5.
    #[must_use]
    pub const fn max_buckets(mut self, max_buckets: usize) -> Self {
        self.max_buckets = max_buckets;
        self
    }

    /// Makes the detector.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value lies outside what its setter says.
    pub fn build(self) -> Result<Adwin> {
        let fits = self.confidence > 0.0
            && self.confidence <= 0.5
            && (1..=100_000).contains(&self.clock)
            && (2..=64).contains(&self.max_buckets);
        if !fits {
            return Err(Error::new(ErrorKind::Config, format!("adwin: values out of range in {self:?}")));
        }
        Ok(Adwin {
            config: self,
            rows: vec![Vec::new()],
            recent: Vec::with_capacity(BLOCK),
            moved: Vec::with_capacity(BLOCK),
            sum: 0.0,
            spread: 0.0,
            width: 0,
            until_look: self.clock,
            drifted: false,
        })
    }
}

impl Default for AdwinConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// Keeps the longest window of which no two parts have different means.
///
/// A. Bifet and R. Gavaldà 2007, "Learning from Time-Varying Data with Adaptive Windowing": the window is an exponential
/// histogram, so that memory and a look at it are O(log values), and old buckets are dropped as long as some cut of
/// the window has means that differ by more than the bound. Settings and bound are those of river's ADWIN, and as there the
/// value after an alarm begins a new window.
#[derive(Debug, Clone, PartialEq)]
pub struct Adwin {
    config: AdwinConfig,
    /// Row `n` holds the sums of buckets of `2^n` values, oldest first.
    rows: Vec<Vec<Bucket>>,
    /// Values that stand in no bucket yet: those since the last look.
    recent: Vec<f64>,
    /// Buckets on their way from one row to the next.
    moved: Vec<Bucket>,
    sum: f64,
    /// Sum of the squared distances from the mean.
    spread: f64,
    width: u64,
    until_look: u32,
    drifted: bool,
}

/// The sum of some values, and that of their squared distances from their mean.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Bucket {
    sum: f64,
    spread: f64,
}

/// Values that are put into buckets at once.
const BLOCK: usize = 64;
/// Rows there can be: more values than anybody has.
const MAX_ROWS: usize = 40;

impl Adwin {
    /// Takes in a value; true where old ones were dropped because the mean changed. What is not finite is left out.
    pub fn observe(&mut self, value: f64) -> bool {
        let usual = value.abs() <= LARGEST;
        if !usual {
            return value.is_finite() && self.observe(value.clamp(-LARGEST, LARGEST));
        }
        if self.drifted {
            self.rows.truncate(1);
            self.rows[0].clear();
            (self.sum, self.spread, self.width, self.drifted) = (0.0, 0.0, 0, false);
        }
        self.recent.push(value);
        self.until_look -= 1;
        if self.until_look > 0 {
            if self.recent.len() == BLOCK {
                self.insert();
            }
            return false;
        }
        self.insert();
        self.until_look = self.config.clock;
        while self.width > u64::from(self.config.grace) && self.differs() {
            self.drop_oldest();
            self.drifted = true;
        }
        self.drifted
    }

    /// Mean of the window; zero where it is empty.
    #[must_use]
    pub fn mean(&self) -> f64 {
        ratio(self.sum + self.recent.iter().sum::<f64>(), to_f64(self.width()))
    }

    /// Values in the window.
    #[must_use]
    pub const fn width(&self) -> u64 {
        self.width + self.recent.len() as u64
    }

    /// Buckets kept.
    #[must_use]
    pub fn buckets(&self) -> usize {
        self.rows.iter().map(Vec::len).sum::<usize>() + self.recent.len()
    }

    /// Puts the recent values into buckets; where they stand is where they would, had each been put there when it came.
    fn insert(&mut self) {
        let (width, count) = (to_f64(self.width), of_len(self.recent.len()));
        let sum: f64 = self.recent.iter().sum();
        let mean = ratio(sum, count);
        let apart = mean - ratio(self.sum, width);
        self.spread += self.recent.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>();
        self.spread += ratio(apart * apart * width * count, width + count);
        self.sum += sum;
        self.width += self.recent.len() as u64;
        self.moved.clear();
        self.moved.extend(self.recent.drain(..).map(|sum| Bucket { sum, spread: 0.0 }));
        let (mut row, mut inverse) = (0, 0.5);
        while !self.moved.is_empty() {
            if row == self.rows.len() {
                self.rows.push(Vec::new());
            }
            let buckets = &mut self.rows[row];
            buckets.append(&mut self.moved);
            // Two of the oldest made one as often as there was one too many.
            let pairs = buckets.len().saturating_sub(self.config.max_buckets).div_ceil(2);
            self.moved.extend(buckets[..2 * pairs].chunks_exact(2).map(|pair| {
                let (one, two) = (pair[0], pair[1]);
                let apart = one.sum - two.sum;
                // Both are of one size, so that their means' distance costs its square by twice that size.
                Bucket { sum: one.sum + two.sum, spread: one.spread + two.spread + apart * apart * inverse }
            }));
            buckets.drain(..2 * pairs);
            row += 1;
            inverse *= 0.5;
        }
        while self.rows.len() > MAX_ROWS {
            self.drop_oldest();
        }
    }

    /// True where some cut says that the mean changed.
    fn differs(&self) -> bool {
        let width = to_f64(self.width);
        let chance = (2.0 * width.ln() / self.config.confidence).ln();
        let (least, noise) = (f64::from(self.config.least), 2.0 * self.spread.max(0.0) / width * chance);
        let (mut old_count, mut old_sum) = (0.0, 0.0);
        for (row, buckets) in self.rows.iter().enumerate().rev() {
            let size = to_f64(1 << row);
            let last = if row == 0 { 1 } else { 0 };
            for bucket in buckets.iter().take(buckets.len().saturating_sub(last)) {
                old_count += size;
                old_sum += bucket.sum;
                let new_count = width - old_count;
                let (old_free, new_free) = (old_count - least + 1.0, new_count - least + 1.0);
                // The distance of the means by both counts; most cuts are within the noise alone, which needs no division.
                let both = old_count * new_count;
                let apart = old_sum * width - self.sum * old_count;
                if apart * apart * old_free * new_free <= noise * (old_free + new_free) * both * both {
                    continue;
                }
                if new_count < least || old_count < least {
                    continue;
                }
                let share = 1.0 / old_free + 1.0 / new_free;
                if apart.abs() / both > (share * noise).sqrt() + 2.0 / 3.0 * chance * share {
                    return true;
                }
            }
        }
        false
    }

    fn drop_oldest(&mut self) {
        let row = self.rows.len() - 1;
        if self.rows[row].is_empty() {
            return;
        }
        let bucket = self.rows[row].remove(0);
        let size = to_f64(1 << row);
        self.width -= 1 << row;
        self.sum -= bucket.sum;
        let left = to_f64(self.width);
        if self.width > 0 {
            let apart = bucket.sum / size - self.sum / left;
            self.spread -= bucket.spread + size * left * apart * apart / (size + left);
        } else {
            self.spread = 0.0;
        }
        while self.rows.len() > 1 && self.rows.last().is_some_and(Vec::is_empty) {
            self.rows.pop();
        }
    }
}

const LARGEST: f64 = 1e100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_histogram_knows_mean_and_variance_of_what_it_holds() {
        let mut drift = AdwinConfig::new().clock(1_000).confidence(1e-9).build().unwrap();
        let values: Vec<f64> = (0..1_000_u32).map(|at| f64::from(at * 37 % 101)).collect();
        values.iter().for_each(|value| _ = drift.observe(*value));
        let mean = values.iter().sum::<f64>() / of_len(values.len());
        let spread: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        assert!((drift.mean() - mean).abs() < 1e-9);
        assert!((drift.spread / spread - 1.0).abs() < 1e-9, "{} for {spread}", drift.spread);
        let held: f64 = drift.rows.iter().flatten().map(|bucket| bucket.sum).sum();
        assert!((held - drift.sum).abs() < 1e-6 && drift.buckets() < 60);
    }
}
