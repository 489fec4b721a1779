//! The last values beside a sample of those before.

use std::collections::VecDeque;

use otlp_core::{DecodeError, Error, ErrorKind, Result};

use super::sample;
use crate::checkpoint::{self, Field, Source, fields};
use crate::detect::kept;
use crate::number::of_len;

/// How sensitive a [`Kswin`] is.
///
/// ```
/// use otlp_anomaly::drift::KswinConfig;
/// let mut drift = KswinConfig::new().build()?;
/// let told = (0..400_u32).find(|at| drift.observe(f64::from(at * 37 % 101) + if *at < 200 { 0.0 } else { 80.0 }));
/// assert!(told.is_some_and(|at| (200..230).contains(&at)));
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct KswinConfig {
    significance: f64,
    window: usize,
    recent: usize,
    seed: u64,
}

impl KswinConfig {
    /// The defaults, which are those of river's.
    #[must_use]
    pub const fn new() -> Self {
        Self { significance: 0.005, window: 100, recent: 30, seed: 1 }
    }

    /// Sets how often a comparison may be wrong, above 0 to 0.5; default 0.005.
    #[must_use]
    pub const fn significance(mut self, significance: f64) -> Self {
        self.significance = significance;
        self
    }

    /// Sets the values that are kept, up to 100,000, and how many of them are recent, 4 to less than half of them; default 100 and 30.
    #[must_use]
    pub const fn window(mut self, window: usize, recent: usize) -> Self {
        self.window = window;
        self.recent = recent;
        self
    }

    /// Sets the seed of the sample; default 1.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Makes the detector.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value lies outside what its setter says.
    pub fn build(self) -> Result<Kswin> {
        if !self.is_sound() {
            return Err(Error::new(ErrorKind::Config, format!("kswin: values out of range in {self:?}")));
        }
        Ok(Kswin {
            config: self,
            window: VecDeque::with_capacity(self.window),
            seed: self.seed,
            edge: sample::critical(self.recent, self.significance).max(LEAST),
            old: Vec::new(),
            new: Vec::new(),
        })
    }

    fn is_sound(&self) -> bool {
        self.significance > 0.0
            && self.significance <= 0.5
            && self.window <= 100_000
            && self.recent >= 4
            && self.recent < self.window.div_ceil(2)
    }
}

fields!(KswinConfig { significance: f64, window: usize, recent: usize, seed: u64 });

impl Default for KswinConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// A distance that is drift at any significance is at least this, as river has it.
const LEAST: f64 = 0.1;

/// Compares the last values with as many drawn from those before, by the test of Kolmogorov and Smirnov.
///
/// C. Raab, M. Heusinger, F.-M. Schleif 2020, "Reactive Soft Prototype Computing for Concept Drift Streams". Every value is a test, so that over many
/// values the significance is no rate of false alarms: at 0.005 there will be some. O(recent * log recent) a value; the
/// distance that is significant is worked out once, so that no probability is needed for a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Kswin {
    config: KswinConfig,
    window: VecDeque<f64>,
    seed: u64,
    /// The least distance that is drift.
    edge: f64,
    old: Vec<f64>,
    new: Vec<f64>,
}

impl Kswin {
    /// Takes in a value; true where the last ones are from elsewhere, after which a new window is begun, as river does it. What is
    /// not finite is left out.
    pub fn observe(&mut self, value: f64) -> bool {
        if !value.is_finite() {
            return false;
        }
        let KswinConfig { window, recent, .. } = self.config;
        if self.window.len() == window {
            self.window.pop_front();
        }
        self.window.push_back(value);
        if self.window.len() < window {
            return false;
        }
        self.draw(window - recent, recent);
        self.new.clear();
        self.new.extend(self.window.iter().skip(window - recent));
        self.old.sort_unstable_by(f64::total_cmp);
        self.new.sort_unstable_by(f64::total_cmp);
        let drifted = sample::distance(&self.old, &self.new) >= self.edge - 0.25 / of_len(recent);
        if drifted {
            self.window.clear();
        }
        drifted
    }

    /// Appends a checkpoint, of which [`restore`](Self::restore) makes a detector that goes on bit for bit: eight bytes a value of
    /// the window, and 76.
    ///
    /// ```
    /// use otlp_anomaly::drift::{Kswin, KswinConfig};
    /// let mut drift = KswinConfig::new().build()?;
    /// drift.observe(1.5);
    /// let mut bytes = Vec::new();
    /// drift.checkpoint(&mut bytes);
    /// assert_eq!(Kswin::restore(&bytes)?, drift);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn checkpoint(&self, into: &mut Vec<u8>) {
        checkpoint::write(self, into);
    }

    /// Draws `wanted` of the first `among` values, none twice, in one pass (R. Floyd's and D. Knuth's selection sampling).
    fn draw(&mut self, among: usize, wanted: usize) {
        self.old.clear();
        let mut left = among;
        for value in self.window.iter().take(among) {
            self.seed =
                self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let needed = wanted - self.old.len();
            if usize::try_from(self.seed >> 33).unwrap_or(0) % left < needed {
                self.old.push(*value);
            }
            left -= 1;
        }
    }
}

/// The distance is kept though it follows from the settings, as working it out for the longest window takes long: bytes that
/// somebody made up would cost that. The two samples are made anew for each value.
impl Field for Kswin {
    const LEAST_BYTES: usize =
        KswinConfig::LEAST_BYTES + VecDeque::<f64>::LEAST_BYTES + u64::LEAST_BYTES + f64::LEAST_BYTES;

    fn save(&self, into: &mut Vec<u8>) {
        self.config.save(into);
        self.window.save(into);
        self.seed.save(into);
        self.edge.save(into);
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        let config = KswinConfig::load(from)?;
        let window: VecDeque<f64> = VecDeque::load(from)?;
        if window.len() > config.window {
            return Err(from.invalid("checkpoint with more values than its window"));
        }
        let (seed, edge) = (u64::load(from)?, f64::load(from)?);
        if !(LEAST..=2.0).contains(&edge) {
            return Err(from.invalid("checkpoint with a distance that no samples have"));
        }
        Ok(Self { config, window, seed, edge, old: Vec::new(), new: Vec::new() })
    }
}

kept!(Kswin, 23);
