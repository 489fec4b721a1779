//! The chart of the exponentially weighted mean.

use otlp_core::{Error, ErrorKind, Result, UnixNanos};

use super::baseline::{Baseline, FARTHEST};
use crate::checkpoint::{self, fields};
use crate::detect::judge::{Detector, Episode, Intake, Judgement, Odd, is_usable, kept};
use crate::feature::setters;

/// How an [`Ewma`] weighs points and when it speaks.
///
/// ```
/// use otlp_anomaly::detect::EwmaConfig;
/// // Mean and standard deviation in control are known.
/// let chart = EwmaConfig::new().weight(0.1).width(2.814).known(20.0, 1.5).build()?;
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct EwmaConfig {
    weight: f64,
    width: f64,
    training: u32,
    memory: u32,
    known: Option<(f64, f64)>,
}

impl EwmaConfig {
    /// The defaults: in control one false alarm in about 500 points, if they are normal and independent.
    #[must_use]
    pub const fn new() -> Self {
        Self { weight: 0.2, width: 2.962, training: 100, memory: 5_000, known: None }
    }

    setters! {
        weight: f64 = "Sets the weight of the newest point, above 0, at most 1; default 0.2.";
        width: f64 = "Sets the limits, in standard deviations of the weighted mean, above 0; default 2.962.";
        training: u32 = "Sets how many points tell what is in control, 2 to 100,000; default 100.";
        memory: u32 = "Sets over how many points mean and spread follow those in control, 0 for not at all; default 5,000.";
    }

    /// Says what the process does in control: its mean, and its standard deviation above 0. There is no training
    /// then, and nothing is followed.
    #[must_use]
    pub const fn known(mut self, mean: f64, spread: f64) -> Self {
        self.known = Some((mean, spread));
        self
    }

    /// Makes the chart.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value lies outside what its setter says.
    pub fn build(self) -> Result<Ewma> {
        if !self.is_sound() {
            return Err(Error::new(ErrorKind::Config, format!("ewma: values out of range in {self:?}")));
        }
        let baseline = self.known.map_or(Baseline::learned(self.training, self.memory), Baseline::known);
        Ok(Ewma {
            config: self,
            baseline,
            mean: 0.0,
            fading: 1.0,
            episode: Episode::NONE,
            intake: Intake::NEW,
        })
    }

    fn is_sound(&self) -> bool {
        self.weight > 0.0
            && self.weight <= 1.0
            && self.width > 0.0
            && self.width <= 1e9
            && (2..=100_000).contains(&self.training)
            && self.known.is_none_or(|(mean, spread)| is_usable(mean) && spread > 0.0 && is_usable(spread))
    }
}

impl Default for EwmaConfig {
    fn default() -> Self {
        Self::new()
    }
}

fields!(EwmaConfig { weight: f64, width: f64, training: u32, memory: u32, known: Option<(f64, f64)> });

/// Watches the exponentially weighted mean of a series (Roberts, "Control chart tests based on geometric moving
/// averages", Technometrics 1959), with the limits of its first points as exact as of later ones (Lucas and Saccucci,
/// Technometrics 1990).
///
/// Good for small shifts that stay; single points far out show as well. The score is the distance of the weighted
/// mean from what it is in control, in its standard deviations. Nothing is known of seasons. O(1) a point, no
/// allocation.
///
/// ```
/// use otlp_anomaly::detect::{Detector, EwmaConfig};
/// use otlp_core::UnixNanos;
/// let mut chart = EwmaConfig::new().known(10.0, 1.0).build()?;
/// // A shift of two standard deviations, which no single point shows.
/// let alarm = (0..50).find(|&second| chart.judge_one(UnixNanos::from_secs(second), 12.0).is_alarm);
/// assert_eq!(alarm, Some(2));
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Ewma {
    config: EwmaConfig,
    baseline: Baseline,
    /// The weighted mean of deviations.
    mean: f64,
    /// What is left of the weight of the beginning, squared.
    fading: f64,
    episode: Episode,
    intake: Intake,
}

impl Ewma {
    fn is_sound(&self) -> bool {
        self.mean.abs() <= FARTHEST && (0.0..=1.0).contains(&self.fading)
    }

    /// The weighted mean with this deviation in it, in its standard deviations.
    fn take(&mut self, deviation: f64) -> f64 {
        let weight = self.config.weight;
        self.mean += weight * (deviation - self.mean);
        self.fading *= (1.0 - weight) * (1.0 - weight);
        self.mean / (weight / (2.0 - weight) * (1.0 - self.fading)).sqrt()
    }
}

fields!(Ewma {
    config: EwmaConfig,
    baseline: Baseline,
    mean: f64,
    fading: f64,
    episode: Episode,
    intake: Intake
});
kept!(Ewma, 5);

impl Detector for Ewma {
    fn judge(&mut self, time: UnixNanos, row: &[f64], shares: &mut [f64]) -> Judgement {
        let Some((value, flag)) = self.intake.one(time, row) else { return self.intake.odd.refuse(shares) };
        let width = self.config.width;
        let is_ready = self.baseline.is_ready();
        let expected = if is_ready { self.baseline.mean() } else { value };
        let mut deviation = 0.0;
        if is_ready {
            deviation = self.take(self.baseline.deviation(value));
            if deviation.abs() < width {
                self.baseline.follow(value);
            }
        } else {
            self.baseline.train(value);
        }
        let judgement = Judgement {
            score: deviation.abs(),
            met: value,
            expected,
            deviation,
            threshold: Some(width),
            is_alarm: self.episode.begins(deviation.abs(), width),
            is_ready,
            flag,
            ..Judgement::NONE
        };
        judgement.alone(shares)
    }

    fn odd(&self) -> Odd {
        self.intake.odd
    }

    fn checkpoint(&self, into: &mut Vec<u8>) {
        checkpoint::write(self, into);
    }
}
