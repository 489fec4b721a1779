//! Principal components of the near past.

use otlp_core::{Error, ErrorKind, Result, UnixNanos};

use super::judge::{Detector, Flag, Intake, Judgement, Odd, is_usable, kept};
use crate::checkpoint::{self, fields};
use crate::feature::setters;
use crate::number::of_len;

/// How a [`SubPca`] looks at a series.
///
/// ```
/// use otlp_anomaly::detect::SubPcaConfig;
/// let detector = SubPcaConfig::new().shingle(24).components(3).build()?;
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SubPcaConfig {
    shingle: usize,
    components: usize,
    memory: u32,
    refresh: u32,
}

impl SubPcaConfig {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self { shingle: 32, components: 4, memory: 2_000, refresh: 16 }
    }

    setters! {
        shingle: usize = "Sets how many points, the newest and those before it, are one window, 2 to 256; default 32.";
        components: usize = "Sets how many principal components are usual, 1 to 16, below the shingle; default 4.";
        memory: u32 = "Sets over how many windows mean and covariance are averaged, 16 to 1,000,000; default 2,000.";
        refresh: u32 = "Sets after how many windows the components are brought up to date, 1 to 10,000; default 16.";
    }

    /// Makes the detector.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value lies outside what its setter says.
    pub fn build(self) -> Result<SubPca> {
        if !self.is_sound() {
            return Err(Error::new(ErrorKind::Config, format!("sub-pca: values out of range in {self:?}")));
        }
        let width = self.shingle;
        // Any basis will do to begin with; waves have something of everything.
        let wave = |nth: usize| {
            let (component, place) = (of_len(nth / width) + 1.0, of_len(nth % width) + 0.5);
            (component * place * std::f64::consts::PI / of_len(width)).cos() + 0.01 * place
        };
        Ok(SubPca {
            config: self,
            recent: vec![0.0; width],
            filled: 0,
            mean: vec![0.0; width],
            covariance: vec![0.0; width * width],
            basis: (0..self.components * width).map(wave).collect(),
            spread: vec![0.0; self.components],
            rest: 0.0,
            learned: 0,
            off: vec![0.0; width],
            turned: vec![0.0; width],
            intake: Intake::NEW,
        })
    }

    fn is_sound(&self) -> bool {
        (2..=256).contains(&self.shingle)
            && (1..=16).contains(&self.components)
            && self.components < self.shingle
            && (16..=1_000_000).contains(&self.memory)
            && (1..=10_000).contains(&self.refresh)
    }
}

impl Default for SubPcaConfig {
    fn default() -> Self {
        Self::new()
    }
}

fields!(SubPcaConfig { shingle: usize, components: usize, memory: u32, refresh: u32 });

/// Scores the last points together by how far they lie from what their principal components explain (Sub-PCA, the
/// best of the methods without a neural net of TSB-AD, Liu and Paparrizos, NeurIPS 2024; here over a stream).
///
/// Mean and covariance of the windows are averaged with a weight that fades; a few steps of orthogonal iteration
/// (Golub and Van Loan, "Matrix Computations", section 8.2) keep the components up to date. The score is the distance
/// of a window from the mean under the law of probabilistic components (Tipping and Bishop, Journal of the Royal
/// Statistical Society B 1999), by the square root of the shingle: near 1 for what is usual. A window that is odd is
/// learned with as much less weight as it is far out.
///
/// O(shingle²) a point, and O(components × shingle²) each time that the components are refreshed; no allocation.
/// After a gap of more than a day, and after a value that is left out, the window fills anew.
///
/// ```
/// use otlp_anomaly::detect::{Detector, SubPcaConfig};
/// use otlp_core::UnixNanos;
/// let mut detector = SubPcaConfig::new().build()?;
/// let mut scores = Vec::new();
/// for minute in 0..1_000_u64 {
///     let wave = (minute as f64 / 6.0).sin() + (minute % 7) as f64 * 0.02;
///     // At the top of the wave its middle: no single value is odd.
///     let value = if minute == 900 { 0.0 } else { wave };
///     scores.push(detector.judge_one(UnixNanos::from_secs(60 * minute), value).score);
/// }
/// let most = scores[500..900].iter().copied().fold(0.0, f64::max);
/// assert!(scores[900] > 2.0 * most, "{} and {most}", scores[900]);
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SubPca {
    config: SubPcaConfig,
    /// The last values, the oldest first.
    recent: Vec<f64>,
    filled: usize,
    mean: Vec<f64>,
    covariance: Vec<f64>,
    /// The components one after the other, what they explain of the variance, and what is left of it for each other
    /// direction.
    basis: Vec<f64>,
    spread: Vec<f64>,
    rest: f64,
    learned: u32,
    /// Room: the window less the mean, and a component on its way.
    off: Vec<f64>,
    turned: Vec<f64>,
    intake: Intake,
}

/// Scores beyond this are all the same.
const FARTHEST: f64 = 1e9;
/// The score from which on a window is learned with less weight.
const CLIP: f64 = 3.0;
/// Variances are at least this share of the whole.
const LEAST_SHARE: f64 = 1e-12;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Takes off from a vector its part along another of length 1.
fn remove(from: &mut [f64], along: &[f64]) {
    let part = dot(from, along);
    from.iter_mut().zip(along).for_each(|(value, along)| *value -= part * along);
}

impl SubPca {
    fn is_sound(&self) -> bool {
        let (width, components) = (self.config.shingle, self.config.components);
        let lengths = [self.recent.len(), self.mean.len(), self.off.len(), self.turned.len()];
        lengths == [width; 4]
            && self.covariance.len() == width * width
            && self.basis.len() == width * components
            && self.spread.len() == components
            && self.recent.iter().all(|&value| is_usable(value))
            && self.filled <= width
            && self.learned <= self.config.memory
    }

    /// Windows before which nothing is said.
    fn warmup(&self) -> u32 {
        u32::try_from(2 * self.config.shingle).unwrap_or(u32::MAX).min(self.config.memory)
    }

    /// The score of the window, and what its newest value is expected to be.
    fn score(&mut self) -> (f64, f64) {
        for ((off, value), mean) in self.off.iter_mut().zip(&self.recent).zip(&self.mean) {
            *off = value - mean;
        }
        let (mut explained, mut newest) = (0.0, self.mean.last().copied().unwrap_or_default());
        let (mut whole, mut distance) = (dot(&self.off, &self.off), 0.0);
        let least = (self.trace() * LEAST_SHARE).max(f64::MIN_POSITIVE);
        for (component, spread) in self.basis.chunks(self.config.shingle).zip(&self.spread) {
            let along = dot(component, &self.off);
            explained += along * along;
            newest += along * component.last().copied().unwrap_or_default();
            distance += along * along / spread.max(least);
        }
        whole = (whole - explained).max(0.0);
        distance += whole / self.rest.max(least);
        ((distance / of_len(self.config.shingle)).sqrt().min(FARTHEST), newest)
    }

    fn trace(&self) -> f64 {
        self.covariance.iter().step_by(self.config.shingle + 1).sum()
    }

    /// Takes the window into mean and covariance.
    fn learn(&mut self, score: f64) {
        self.learned = (self.learned + 1).min(self.config.memory);
        let weight = if self.learned > self.warmup() && score > CLIP { (CLIP / score).powi(2) } else { 1.0 };
        let rate = weight / f64::from(self.learned);
        for (mean, off) in self.mean.iter_mut().zip(&self.off) {
            *mean += rate * off;
        }
        // The covariance around the mean as it was and as it is: (1 - rate) * (C + rate * off * off').
        for (row, &left) in self.covariance.chunks_mut(self.config.shingle).zip(&self.off) {
            for (value, &right) in row.iter_mut().zip(&self.off) {
                *value = (1.0 - rate) * (*value + rate * left * right);
            }
        }
        if self.learned.is_multiple_of(self.config.refresh) || self.learned == self.config.memory {
            self.turn();
        }
    }

    /// One step of orthogonal iteration.
    fn turn(&mut self) {
        let width = self.config.shingle;
        let mut explained = 0.0;
        for nth in 0..self.config.components {
            let (done, rest) = self.basis.split_at_mut(nth * width);
            let Some(component) = rest.get_mut(..width) else { return };
            for (turned, row) in self.turned.iter_mut().zip(self.covariance.chunks(width)) {
                *turned = dot(row, component);
            }
            // Twice is enough to be orthogonal to the last digit.
            for _ in 0..2 {
                done.chunks(width).for_each(|done| remove(&mut self.turned, done));
            }
            let length = dot(&self.turned, &self.turned).sqrt();
            if length > 0.0 && length.is_finite() {
                component.iter_mut().zip(&self.turned).for_each(|(value, turned)| *value = turned / length);
            }
            let along = |row: &[f64]| dot(row, component);
            let spread: f64 =
                self.covariance.chunks(width).zip(&*component).map(|(row, value)| along(row) * value).sum();
            self.spread.get_mut(nth).into_iter().for_each(|slot| *slot = spread.max(0.0));
            explained += spread.max(0.0);
        }
        self.rest = (self.trace() - explained).max(0.0) / of_len(width - self.config.components);
    }

    fn shift(&mut self, value: f64) {
        self.recent.copy_within(1.., 0);
        self.recent.last_mut().into_iter().for_each(|newest| *newest = value);
        self.filled = (self.filled + 1).min(self.config.shingle);
    }
}

fields!(SubPca {
    config: SubPcaConfig,
    recent: Vec<f64>,
    filled: usize,
    mean: Vec<f64>,
    covariance: Vec<f64>,
    basis: Vec<f64>,
    spread: Vec<f64>,
    rest: f64,
    learned: u32,
    off: Vec<f64>,
    turned: Vec<f64>,
    intake: Intake,
});
kept!(SubPca, 9);

/// What is expected is what the components make of the window at its newest value. There is no decision: see
/// [`Decided`](super::Decided). Values beyond 10^70 are left out.
impl Detector for SubPca {
    fn judge(&mut self, time: UnixNanos, row: &[f64], shares: &mut [f64]) -> Judgement {
        let is_small = row.iter().all(|value| value.abs() <= LARGEST);
        let taken = if is_small { self.intake.one(time, row) } else { None };
        let Some((value, flag)) = taken else {
            self.filled = 0;
            return self.intake.odd.refuse(shares);
        };
        if flag == Some(Flag::Gap) {
            self.filled = 0;
        }
        self.shift(value);
        let is_whole = self.filled == self.config.shingle;
        let is_ready = is_whole && self.learned >= self.warmup();
        let (mut score, mut expected) = (0.0, value);
        if is_whole {
            let (met, newest) = self.score();
            self.learn(met);
            if is_ready {
                (score, expected) = (met, newest);
            }
        }
        let deviation = if value < expected { -score } else { score };
        let judgement =
            Judgement { score, met: value, expected, deviation, is_ready, flag, ..Judgement::NONE };
        judgement.alone(shares)
    }

    fn odd(&self) -> Odd {
        self.intake.odd
    }

    fn checkpoint(&self, into: &mut Vec<u8>) {
        checkpoint::write(self, into);
    }
}

/// Fourth powers of more than this are no numbers.
const LARGEST: f64 = 1e70;
