//! The values of a service together: how they usually go with each other.

use otlp_core::{Error, ErrorKind, Result, UnixNanos};

use super::judge::{Detector, Intake, Judgement, Odd, kept};
use crate::checkpoint::{self, fields};
use crate::feature::setters;
use crate::number::of_len;

/// How a [`Vector`] looks at rows.
///
/// ```
/// use otlp_anomaly::detect::VectorConfig;
/// let four = VectorConfig::new(4).memory(500).build()?;
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct VectorConfig {
    dimensions: usize,
    memory: u32,
    refresh: u32,
    ridge: f64,
}

impl VectorConfig {
    /// The defaults, for rows of so many values, 1 to 64.
    #[must_use]
    pub const fn new(dimensions: usize) -> Self {
        Self { dimensions, memory: 1_000, refresh: 8, ridge: 1e-4 }
    }

    setters! {
        memory: u32 = "Sets over how many rows means and covariances are averaged, 16 to 1,000,000; default 1,000.";
        refresh: u32 = "Sets after how many rows the covariance is inverted anew, 1 to 10,000; default 8.";
        ridge: f64 = "Sets the share of each variance that is taken not to go with any other value, 10^-9 to 1; default 10^-4.";
    }

    /// Makes the detector.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value lies outside what its setter says.
    pub fn build(self) -> Result<Vector> {
        if !self.is_sound() {
            return Err(Error::new(ErrorKind::Config, format!("vector: values out of range in {self:?}")));
        }
        let width = self.dimensions;
        Ok(Vector {
            config: self,
            mean: vec![0.0; width],
            covariance: vec![0.0; width * width],
            precision: vec![0.0; width * width],
            learned: 0,
            standard: vec![0.0; width],
            pulled: vec![0.0; width],
            room: vec![0.0; width * width],
            intake: Intake::NEW,
        })
    }

    fn is_sound(&self) -> bool {
        (1..=64).contains(&self.dimensions)
            && (16..=1_000_000).contains(&self.memory)
            && (1..=10_000).contains(&self.refresh)
            && (1e-9..=1.0).contains(&self.ridge)
    }
}

fields!(VectorConfig { dimensions: usize, memory: u32, refresh: u32, ridge: f64 });

/// Scores a row of values by how far it lies from how they usually go together: the distance of Mahalanobis ("On the
/// generalised distance in statistics", 1936) under a mean and covariances that fade, by the root of the number of
/// values; near 1 for what is usual.
///
/// Where one value is much farther off what all the others make of it than any is off its own mean, a correlation
/// broke: the judgement names it, `what` is `correlation`, and expected is what the others say. Else it names the
/// value that is the farthest off its mean. Shares are what the squared distance would lose without each of the
/// values, in proportion. A row that is far out is learned with as much less weight.
///
/// O(dimensions²) a row, and O(dimensions³) each time that the correlations are inverted; no allocation.
///
/// ```
/// use otlp_anomaly::detect::{Detector, VectorConfig};
/// use otlp_core::UnixNanos;
/// let mut detector = VectorConfig::new(3).build()?;
/// for minute in 0..500_u32 {
///     let (load, wobble) = (f64::from(minute * 37 % 100), f64::from(minute * 11 % 7));
///     detector.judge(UnixNanos::from_secs(60 * u64::from(minute)), &[load, 2.0 * load + wobble, 5.0 + wobble], &mut []);
/// }
/// // The second value follows the first no more; each is one of every day.
/// let judgement = detector.judge(UnixNanos::from_secs(30_000), &[90.0, 12.0, 8.0], &mut []);
/// assert!(judgement.score > 5.0);
/// assert_eq!((judgement.dimension < 2, judgement.what), (true, "correlation"));
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Vector {
    config: VectorConfig,
    mean: Vec<f64>,
    covariance: Vec<f64>,
    /// The inverse of the correlations.
    precision: Vec<f64>,
    learned: u32,
    /// Room: the row in standard deviations, the same times the precision, a matrix on its way.
    standard: Vec<f64>,
    pulled: Vec<f64>,
    room: Vec<f64>,
    intake: Intake,
}

/// Deviations beyond this are all the same.
const FARTHEST: f64 = 1e4;
/// The score from which on a row is learned with less weight.
const CLIP: f64 = 3.0;
/// How much farther off a value must be from what the others make of it than any is from its mean for their
/// correlation to be what broke.
const BROKEN: f64 = 2.0;
/// Values beyond this are left out: their squares must leave room for sums.
const LARGEST: f64 = 1e100;

impl Vector {
    fn is_sound(&self) -> bool {
        let width = self.config.dimensions;
        let vectors = [self.mean.len(), self.standard.len(), self.pulled.len()];
        let matrices = [self.covariance.len(), self.precision.len(), self.room.len()];
        vectors == [width; 3] && matrices == [width * width; 3] && self.learned <= self.config.memory
    }

    fn is_ready(&self) -> bool {
        self.learned >= self.warmup()
    }

    /// Rows before which nothing is said.
    fn warmup(&self) -> u32 {
        u32::try_from(4 * self.config.dimensions).unwrap_or(u32::MAX).clamp(16, self.config.memory)
    }

    /// Distance of the row, and the value that stands out with its expected value and deviation.
    fn look(&mut self, row: &[f64], shares: &mut [f64]) -> Judgement {
        let width = self.config.dimensions;
        let variances = self.covariance.iter().step_by(width + 1);
        for ((standard, (mean, variance)), &value) in
            self.standard.iter_mut().zip(self.mean.iter().zip(variances)).zip(row)
        {
            let off = value - mean;
            // Where nothing varied any move is as far out as can be.
            let spreads = if off == 0.0 { 0.0 } else { off / variance.sqrt().max(f64::MIN_POSITIVE) };
            *standard = spreads.clamp(-FARTHEST, FARTHEST);
        }
        for (pulled, row) in self.pulled.iter_mut().zip(self.precision.chunks(width)) {
            *pulled = row.iter().zip(&self.standard).map(|(a, b)| a * b).sum();
        }
        let square: f64 = self.standard.iter().zip(&self.pulled).map(|(a, b)| a * b).sum();
        let score = (square.max(0.0) / of_len(width)).sqrt();
        shares.fill(0.0);
        // What the square loses without a value is its distance from what the others make of it, squared.
        let own = |place: usize| self.precision.get(place * (width + 1)).copied().unwrap_or(1.0).max(1e-12);
        let (mut dimension, mut most, mut whole) = (0, 0.0, 0.0);
        for (place, pulled) in self.pulled.iter().enumerate() {
            let lost = pulled * pulled / own(place);
            whole += lost;
            shares.get_mut(place).into_iter().for_each(|share| *share = lost);
            if lost > most {
                (dimension, most) = (place, lost);
            }
        }
        if whole > 0.0 {
            shares.iter_mut().for_each(|share| *share *= score / whole);
        }
        let alone = self.standard.iter().zip(0..).fold((0.0_f64, 0), |worst, (standard, place)| {
            if standard.abs() > worst.0.abs() { (*standard, place) } else { worst }
        });
        let own_deviation =
            |place: usize| self.pulled.get(place).map_or(0.0, |pulled| pulled / own(place).sqrt());
        let deviation = own_deviation(dimension);
        let is_broken = deviation.abs() > BROKEN * alone.0.abs();
        let (deviation, dimension) = if is_broken { (deviation, dimension) } else { alone };
        let at = |of: &[f64]| of.get(dimension).copied().unwrap_or_default();
        // What the others make of it, or its mean.
        let off = if is_broken { at(&self.standard) - at(&self.pulled) / own(dimension) } else { 0.0 };
        let spread = self.covariance.get(dimension * (width + 1)).map_or(0.0, |variance| variance.sqrt());
        Judgement {
            score,
            dimension,
            what: if is_broken { "correlation" } else { "value" },
            met: at(row),
            expected: at(&self.mean) + spread * off,
            deviation,
            ..Judgement::NONE
        }
    }

    fn learn(&mut self, row: &[f64], score: f64) {
        self.learned = (self.learned + 1).min(self.config.memory);
        let weight = if self.is_ready() && score > CLIP { (CLIP / score).powi(2) } else { 1.0 };
        let rate = weight / f64::from(self.learned);
        for ((off, mean), &value) in self.pulled.iter_mut().zip(&mut self.mean).zip(row) {
            *off = value - *mean;
            *mean += rate * *off;
        }
        // The covariance around the mean as it was and as it is: (1 - rate) * (C + rate * off * off').
        for (row, &left) in self.covariance.chunks_mut(self.config.dimensions).zip(&self.pulled) {
            for (value, &right) in row.iter_mut().zip(&self.pulled) {
                *value = (1.0 - rate) * (*value + rate * left * right);
            }
        }
        if self.learned.is_multiple_of(self.config.refresh)
            || self.learned == self.config.memory
            || !self.is_ready()
        {
            self.invert();
        }
    }

    /// Inverts the correlations, with the ridge on their diagonal, by elimination; they are positive definite with it.
    fn invert(&mut self) {
        let width = self.config.dimensions;
        let diagonal = |matrix: &[f64], place: usize| matrix.get(place * (width + 1)).copied().unwrap_or(0.0);
        for row in 0..width {
            for column in 0..width {
                let place = row * width + column;
                let scale = (diagonal(&self.covariance, row) * diagonal(&self.covariance, column)).sqrt();
                let together = self.covariance.get(place).copied().unwrap_or_default();
                let alike = if scale > 0.0 { together / scale / (1.0 + self.config.ridge) } else { 0.0 };
                let is_diagonal = row == column;
                self.room
                    .get_mut(place)
                    .into_iter()
                    .for_each(|slot| *slot = if is_diagonal { 1.0 } else { alike });
                let one = if is_diagonal { 1.0 } else { 0.0 };
                self.precision.get_mut(place).into_iter().for_each(|slot| *slot = one);
            }
        }
        for pivot in 0..width {
            let by = diagonal(&self.room, pivot).max(1e-12);
            for matrix in [&mut self.room, &mut self.precision] {
                let row = matrix.get_mut(pivot * width..(pivot + 1) * width).unwrap_or_default();
                row.iter_mut().for_each(|value| *value /= by);
            }
            for other in (0..width).filter(|&other| other != pivot) {
                let factor = self.room.get(other * width + pivot).copied().unwrap_or_default();
                eliminate(&mut self.room, (pivot, other, width), factor);
                eliminate(&mut self.precision, (pivot, other, width), factor);
            }
        }
    }
}

/// Takes a multiple of one row off another.
fn eliminate(matrix: &mut [f64], (pivot, other, width): (usize, usize, usize), factor: f64) {
    let (first, last) = (pivot.min(other), pivot.max(other));
    let (before, after) = matrix.split_at_mut(last * width);
    let (Some(first), Some(last)) =
        (before.get_mut(first * width..(first + 1) * width), after.get_mut(..width))
    else {
        return;
    };
    let (from, to) = if pivot < other { (first, last) } else { (last, first) };
    to.iter_mut().zip(from).for_each(|(to, from)| *to -= factor * *from);
}

fields!(Vector {
    config: VectorConfig,
    mean: Vec<f64>,
    covariance: Vec<f64>,
    precision: Vec<f64>,
    learned: u32,
    standard: Vec<f64>,
    pulled: Vec<f64>,
    room: Vec<f64>,
    intake: Intake,
});
kept!(Vector, 12);

/// There is no decision: see [`Decided`](super::Decided). Values beyond 10^100 are left out.
impl Detector for Vector {
    fn dimensions(&self) -> usize {
        self.config.dimensions
    }

    fn judge(&mut self, time: UnixNanos, row: &[f64], shares: &mut [f64]) -> Judgement {
        if row.len() != self.config.dimensions || !row.iter().all(|value| value.abs() <= LARGEST) {
            return self.intake.odd.refuse(shares);
        }
        let flag = self.intake.note(time);
        let is_ready = self.is_ready();
        let judgement = self.look(row, shares);
        self.learn(row, judgement.score);
        if is_ready {
            return Judgement { flag, ..judgement }.finite();
        }
        shares.fill(0.0);
        Judgement { met: judgement.met, expected: judgement.expected, is_ready, flag, ..Judgement::NONE }
            .finite()
    }

    fn odd(&self) -> Odd {
        self.intake.odd
    }

    fn checkpoint(&self, into: &mut Vec<u8>) {
        checkpoint::write(self, into);
    }
}
