//! Median and median absolute deviation over a sliding window.

use otlp_core::{Error, ErrorKind, Result, UnixNanos};

use super::judge::{Detector, Episode, Intake, Judgement, Odd, kept};
use super::sorted::{SortedWindow, mean_distance, median, median_distance};
use crate::checkpoint::{self, fields};
use crate::feature::setters;

/// How a [`RobustZ`] looks back and when it speaks.
///
/// ```
/// use otlp_anomaly::detect::RobustZConfig;
/// let hourly = RobustZConfig::new().window(168).threshold(5.0).build()?;
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RobustZConfig {
    window: usize,
    warmup: usize,
    threshold: f64,
}

impl RobustZConfig {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self { window: 256, warmup: 24, threshold: 3.5 }
    }

    setters! {
        window: usize = "Sets how many points back are looked at, 3 to 65,536; default 256.";
        warmup: usize = "Sets how many of them there must be, 3 to the window; default 24.";
        threshold: f64 = "Sets the score that raises an alarm, above 0; default 3.5.";
    }

    /// Makes the detector.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value lies outside what its setter says.
    pub fn build(self) -> Result<RobustZ> {
        if !self.is_sound() {
            return Err(Error::new(ErrorKind::Config, format!("robust z: values out of range in {self:?}")));
        }
        let window = SortedWindow::new(self.window);
        Ok(RobustZ { config: self, window, episode: Episode::NONE, intake: Intake::NEW })
    }

    fn is_sound(&self) -> bool {
        (3..=65_536).contains(&self.window)
            && (3..=self.window).contains(&self.warmup)
            && self.threshold > 0.0
            && self.threshold <= 1e9
    }
}

impl Default for RobustZConfig {
    fn default() -> Self {
        Self::new()
    }
}

fields!(RobustZConfig { window: usize, warmup: usize, threshold: f64 });

/// Scores a point by its distance from the median of those before it, in median absolute deviations (the modified z score
/// of Iglewicz and Hoaglin, "How to Detect and Handle Outliers", 1993, who speak from 3.5 on).
///
/// Where more than half of the window is one value the mean distance takes the place of the median one, as they advise. A
/// twin of it is in every toolbox: this is the detector to beat, not the one to choose. O(window) a point, nothing
/// allocated once the window is full.
///
/// ```
/// use otlp_anomaly::detect::{Detector, RobustZConfig};
/// use otlp_core::UnixNanos;
/// let mut detector = RobustZConfig::new().warmup(5).build()?;
/// let scores: Vec<f64> = [2.0, 4.0, 6.0, 8.0, 10.0, 26.0]
///     .into_iter()
///     .map(|value| detector.judge_one(UnixNanos::from_secs(1), value).score)
///     .collect();
/// // Twenty from the median of 6, the median distance of which is 2.
/// assert!((scores[5] - 0.6745 * 20.0 / 2.0).abs() < 1e-3);
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RobustZ {
    config: RobustZConfig,
    window: SortedWindow,
    episode: Episode,
    intake: Intake,
}

/// One over the median absolute deviation of a standard normal is 1.4826.
const NORMAL_MEDIAN: f64 = 0.674_489_750_196_081_7;
/// The mean absolute deviation of a standard normal.
const NORMAL_MEAN: f64 = 0.797_884_560_802_865_4;
/// Deviations beyond this are all the same.
const FARTHEST: f64 = 1e9;

impl RobustZ {
    fn is_sound(&self) -> bool {
        self.window.size() == self.config.window
    }

    /// Centre and deviation of a value.
    fn deviation(&self, value: f64) -> (f64, f64) {
        let sorted = self.window.sorted();
        let centre = median(sorted);
        let typical = median_distance(sorted, centre);
        let scale =
            if typical > 0.0 { typical / NORMAL_MEDIAN } else { mean_distance(sorted, centre) / NORMAL_MEAN };
        let off = value - centre;
        let deviation = if off == 0.0 { 0.0 } else { off / scale.max(f64::MIN_POSITIVE) };
        (centre, deviation.clamp(-FARTHEST, FARTHEST))
    }
}

fields!(RobustZ { config: RobustZConfig, window: SortedWindow, episode: Episode, intake: Intake });
kept!(RobustZ, 4);

impl Detector for RobustZ {
    fn judge(&mut self, time: UnixNanos, row: &[f64], shares: &mut [f64]) -> Judgement {
        let Some((value, flag)) = self.intake.one(time, row) else { return self.intake.odd.refuse(shares) };
        let is_ready = self.window.sorted().len() >= self.config.warmup;
        let (expected, deviation) = if is_ready { self.deviation(value) } else { (value, 0.0) };
        self.window.push(value);
        let threshold = self.config.threshold;
        let judgement = Judgement {
            score: deviation.abs(),
            met: value,
            expected,
            deviation,
            threshold: Some(threshold),
            is_alarm: self.episode.begins(deviation.abs(), threshold),
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
