//! The sum of what is above the mean.

use otlp_core::{Error, ErrorKind, Result};

use crate::checkpoint::{self, fields};
use crate::detect::kept;
use crate::number::to_f64;

/// How sensitive a [`PageHinkley`] is.
///
/// ```
/// use otlp_anomaly::drift::PageHinkleyConfig;
/// let mut drift = PageHinkleyConfig::new().threshold(5.0).build()?;
/// let told = (0..200_u32).find(|at| drift.observe(if *at < 100 { 0.0 } else { 1.0 }));
/// assert!(told.is_some_and(|at| (100..112).contains(&at)));
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct PageHinkleyConfig {
    tolerance: f64,
    threshold: f64,
    memory: f64,
    warmup: u32,
}

impl PageHinkleyConfig {
    /// The defaults, which are those of river's.
    #[must_use]
    pub const fn new() -> Self {
        Self { tolerance: 0.005, threshold: 50.0, memory: 0.9999, warmup: 30 }
    }

    /// Sets the distance from the mean that does not count, 0 to 1e150; default 0.005.
    #[must_use]
    pub const fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Sets the sum from which on it is drift, above 0 to 1e150; default 50.
    #[must_use]
    pub const fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = threshold;
        self
    }

    /// Sets what is kept of the sums from value to value, above 0 to 1; default 0.9999.
    #[must_use]
    pub const fn memory(mut self, memory: f64) -> Self {
        self.memory = memory;
        self
    }

    /// Sets the values before the first alarm, 1 and more; default 30.
    #[must_use]
    pub const fn warmup(mut self, warmup: u32) -> Self {
        self.warmup = warmup;
        self
    }

    /// Makes the detector.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value lies outside what its setter says.
    pub fn build(self) -> Result<PageHinkley> {
        if !self.is_sound() {
            return Err(Error::new(
                ErrorKind::Config,
                format!("page-hinkley: values out of range in {self:?}"),
            ));
        }
        Ok(PageHinkley { config: self, count: 0, mean: 0.0, up: Side::default(), down: Side::default() })
    }
}

impl PageHinkleyConfig {
    fn is_sound(&self) -> bool {
        (0.0..=LARGEST).contains(&self.tolerance)
            && self.threshold > 0.0
            && self.threshold <= LARGEST
            && self.memory > 0.0
            && self.memory <= 1.0
            && self.warmup > 0
    }
}

fields!(PageHinkleyConfig { tolerance: f64, threshold: f64, memory: f64, warmup: u32 });

impl Default for PageHinkleyConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// Sums up how far values lie from their mean, and tells when the sum has left its least value by a threshold, either way.
///
/// E. S. Page 1954 and D. V. Hinkley 1971. O(1) a value and in memory; begins anew after each drift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PageHinkley {
    config: PageHinkleyConfig,
    count: u64,
    mean: f64,
    up: Side,
    down: Side,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Side {
    sum: f64,
    extreme: f64,
}

impl PageHinkley {
    /// Takes in a value; true where the mean changed. What is not finite is left out.
    pub fn observe(&mut self, value: f64) -> bool {
        if !value.is_finite() {
            return false;
        }
        let value = value.clamp(-LARGEST, LARGEST);
        let config = self.config;
        self.count += 1;
        self.mean += (value - self.mean) / to_f64(self.count);
        let off = value - self.mean;
        self.up.sum = config.memory * self.up.sum + off - config.tolerance;
        self.up.extreme = self.up.extreme.min(self.up.sum);
        self.down.sum = config.memory * self.down.sum + off + config.tolerance;
        self.down.extreme = self.down.extreme.max(self.down.sum);
        let far = (self.up.sum - self.up.extreme).max(self.down.extreme - self.down.sum) > config.threshold;
        let drifted = far && self.count >= u64::from(config.warmup);
        if drifted {
            *self = Self { config, count: 0, mean: 0.0, up: Side::default(), down: Side::default() };
        }
        drifted
    }

    /// Appends a checkpoint, of which [`restore`](Self::restore) makes a detector that goes on bit for bit: 96 bytes.
    ///
    /// ```
    /// use otlp_anomaly::drift::{PageHinkley, PageHinkleyConfig};
    /// let mut drift = PageHinkleyConfig::new().build()?;
    /// drift.observe(1.5);
    /// let mut bytes = Vec::new();
    /// drift.checkpoint(&mut bytes);
    /// assert_eq!(PageHinkley::restore(&bytes)?, drift);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn checkpoint(&self, into: &mut Vec<u8>) {
        checkpoint::write(self, into);
    }

    fn is_sound(&self) -> bool {
        let within = |side: &Side| side.sum.abs() <= MOST && side.extreme.abs() <= MOST;
        // Extremes begin at nought and follow their sums.
        self.count <= MOST_VALUES
            && self.mean.abs() <= 2.0 * LARGEST
            && within(&self.up)
            && within(&self.down)
            && self.up.extreme <= self.up.sum.min(0.0)
            && self.down.extreme >= self.down.sum.max(0.0)
    }
}

impl Side {
    /// What it must be depends on which of the two it is, which the detector knows.
    #[expect(clippy::unused_self, reason = "asked for by `fields`")]
    const fn is_sound(&self) -> bool {
        true
    }
}

fields!(Side { sum: f64, extreme: f64 });
fields!(PageHinkley { config: PageHinkleyConfig, count: u64, mean: f64, up: Side, down: Side });
kept!(PageHinkley, 22);

/// Values beyond are taken for this, so that no sum of them overflows.
const LARGEST: f64 = 1e150;
/// No sum of as many values as there can be is beyond these.
const MOST: f64 = 1e200;
const MOST_VALUES: u64 = 1 << 62;
