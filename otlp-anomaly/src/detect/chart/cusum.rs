//! The chart of cumulative sums.

use otlp_core::{Error, ErrorKind, Result, UnixNanos};

use super::baseline::Baseline;
use crate::checkpoint::{self, fields};
use crate::detect::judge::{Detector, Episode, Intake, Judgement, Odd, is_usable, kept};
use crate::feature::setters;

/// How a [`Cusum`] adds up and when it speaks.
///
/// ```
/// use otlp_anomaly::detect::CusumConfig;
/// let chart = CusumConfig::new().slack(0.5).interval(4.0).known(20.0, 1.5).build()?;
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct CusumConfig {
    slack: f64,
    interval: f64,
    training: u32,
    memory: u32,
    known: Option<(f64, f64)>,
}

impl CusumConfig {
    /// The defaults: in control one false alarm in about 465 points, if they are normal and independent.
    #[must_use]
    pub const fn new() -> Self {
        Self { slack: 0.5, interval: 5.0, training: 100, memory: 5_000, known: None }
    }

    setters! {
        slack: f64 = "Sets half of the shift that is to be found, in standard deviations, 0 to 1,000; default 0.5.";
        interval: f64 = "Sets the sum that raises an alarm, in standard deviations, above 0; default 5.";
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
    pub fn build(self) -> Result<Cusum> {
        if !self.is_sound() {
            return Err(Error::new(ErrorKind::Config, format!("cusum: values out of range in {self:?}")));
        }
        let baseline = self.known.map_or(Baseline::learned(self.training, self.memory), Baseline::known);
        Ok(Cusum {
            config: self,
            baseline,
            above: 0.0,
            below: 0.0,
            episode: Episode::NONE,
            intake: Intake::NEW,
        })
    }

    fn is_sound(&self) -> bool {
        (0.0..=1e3).contains(&self.slack)
            && self.interval > 0.0
            && self.interval <= 1e6
            && (2..=100_000).contains(&self.training)
            && self.known.is_none_or(|(mean, spread)| is_usable(mean) && spread > 0.0 && is_usable(spread))
    }
}

impl Default for CusumConfig {
    fn default() -> Self {
        Self::new()
    }
}

fields!(CusumConfig { slack: f64, interval: f64, training: u32, memory: u32, known: Option<(f64, f64)> });

/// Adds up how far points are above and below what they are in control, less a slack, and speaks when either sum is
/// too large (Page, "Continuous inspection schemes", Biometrika 1954; two-sided and standardised as Montgomery,
/// "Introduction to Statistical Quality Control", has it).
///
/// The fastest there is for a shift of twice the slack that stays. The score is the larger sum; it stops at twice the
/// interval, so that an alarm ends soon after what it was about. Nothing is known of seasons. O(1) a point, no
/// allocation.
///
/// ```
/// use otlp_anomaly::detect::{CusumConfig, Detector};
/// use otlp_core::UnixNanos;
/// let mut chart = CusumConfig::new().known(10.0, 1.0).build()?;
/// // Each point adds its one, less the half that is the slack.
/// let alarm = (1..50).find(|&second| chart.judge_one(UnixNanos::from_secs(second), 11.0).is_alarm);
/// assert_eq!(alarm, Some(10));
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Cusum {
    config: CusumConfig,
    baseline: Baseline,
    above: f64,
    below: f64,
    episode: Episode,
    intake: Intake,
}

impl Cusum {
    fn is_sound(&self) -> bool {
        let most = 2.0 * self.config.interval;
        (0.0..=most).contains(&self.above) && (0.0..=most).contains(&self.below)
    }

    /// The larger of the sums with this deviation in them.
    fn add(&mut self, deviation: f64) -> f64 {
        let (slack, most) = (self.config.slack, 2.0 * self.config.interval);
        self.above = (self.above + deviation - slack).clamp(0.0, most);
        self.below = (self.below - deviation - slack).clamp(0.0, most);
        self.above.max(self.below)
    }
}

fields!(Cusum {
    config: CusumConfig,
    baseline: Baseline,
    above: f64,
    below: f64,
    episode: Episode,
    intake: Intake
});
kept!(Cusum, 6);

impl Detector for Cusum {
    fn judge(&mut self, time: UnixNanos, row: &[f64], shares: &mut [f64]) -> Judgement {
        let Some((value, flag)) = self.intake.one(time, row) else { return self.intake.odd.refuse(shares) };
        let interval = self.config.interval;
        let is_ready = self.baseline.is_ready();
        let expected = if is_ready { self.baseline.mean() } else { value };
        let (mut score, mut deviation) = (0.0, 0.0);
        if is_ready {
            deviation = self.baseline.deviation(value);
            score = self.add(deviation);
            if score < interval {
                self.baseline.follow(value);
            }
        } else {
            self.baseline.train(value);
        }
        let judgement = Judgement {
            score,
            met: value,
            expected,
            deviation,
            threshold: Some(interval),
            is_alarm: self.episode.begins(score, interval),
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
