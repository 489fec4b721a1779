//! Extreme studentised deviates, of values as they are and without trend and season.

use otlp_core::{Error, ErrorKind, Result};

use super::judge::is_usable;
use super::sorted::{median, median_distance};
use crate::feature::setters;
use crate::number::{floor, of_len};
use crate::season::{self, Passes};
use crate::student;

/// How [`EsdConfig::find`] looks for outliers.
///
/// ```
/// use otlp_anomaly::detect::EsdConfig;
/// // A wave of a day over three weeks, with one hour that is out of place.
/// let mut values: Vec<f64> = (0..504).map(|hour| (f64::from(hour) / 24.0 * 6.2832).sin() + f64::from(hour % 5) * 0.01).collect();
/// values[300] += 1.5;
/// let found = EsdConfig::new().period(24).find(&values)?;
/// assert_eq!(found.iter().map(|outlier| outlier.place).collect::<Vec<_>>(), [300]);
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct EsdConfig {
    period: usize,
    most: f64,
    level: f64,
    scale: EsdScale,
}

/// What distances are taken from, and measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the two that are published")]
pub enum EsdScale {
    /// Mean and standard deviation, as Rosner has it.
    Moments,
    /// Median and median absolute deviation, which outliers do not move: the H of S-H-ESD.
    Robust,
}

/// A value that does not belong to the others.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Outlier {
    /// Its place among the values.
    pub place: usize,
    /// How far it was off when it was the farthest of those left, in their scale.
    pub statistic: f64,
    /// What that had to exceed; the last found does, those before it may not.
    pub critical: f64,
    /// What was expected of it: season and centre.
    pub expected: f64,
}

impl EsdConfig {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self { period: 0, most: 0.02, level: 0.05, scale: EsdScale::Robust }
    }

    setters! {
        period: usize = "Sets the period of the season in points, 2 at least; 0, the default, for none.";
        most: f64 = "Sets the share of the values that may be outliers, above 0, below a half; default 0.02.";
        level: f64 = "Sets the chance of finding one where there is none, 10^-9 to 0.5; default 0.05.";
        scale: EsdScale = "Sets what distances are measured by; default robustly.";
    }

    /// Finds the outliers of `values`, the farthest first: with the generalised test (Rosner, "Percentage points for
    /// a generalized ESD many-outlier procedure", Technometrics 1983), and where there is a period as S-H-ESD
    /// (Hochenbaum, Vallis and Kejariwal, "Automatic anomaly detection in the cloud via statistical learning", 2017),
    /// on what is left without the season that [`season`] takes off and the median.
    ///
    /// All values are looked at together: this is not for streams. O(values × outliers).
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a setting lies outside what its setter says; [`ErrorKind::Malformed`] where a
    /// value is not finite or beyond 10^150; [`ErrorKind::Limit`] beyond 100,000 values.
    pub fn find(self, values: &[f64]) -> Result<Vec<Outlier>> {
        if !self.is_sound() {
            return Err(Error::new(ErrorKind::Config, format!("esd: values out of range in {self:?}")));
        }
        if values.len() > MOST_VALUES {
            let message = format!("esd: {} values exceed limit {MOST_VALUES}", values.len());
            return Err(Error::new(ErrorKind::Limit, message));
        }
        if let Some(place) = values.iter().position(|&value| !is_usable(value)) {
            return Err(Error::new(
                ErrorKind::Malformed,
                format!("esd: value {place} is no number to reckon with"),
            ));
        }
        let season = self.season(values);
        let rest: Vec<f64> = values.iter().zip(&season).map(|(value, season)| value - season).collect();
        Ok(self.test(rest, &season))
    }

    fn is_sound(&self) -> bool {
        self.period != 1 && self.most > 0.0 && self.most < 0.5 && (1e-9..=0.5).contains(&self.level)
    }

    /// The season alone, robustly: what is out of place must not become part of it.
    fn season(&self, values: &[f64]) -> Vec<f64> {
        if self.period < 2 || values.len() < 2 * self.period {
            return vec![0.0; values.len()];
        }
        let passes = Passes { rounds: 1, inner: 2, robust: 8 };
        let parts = season::mstl(values, &[self.period], passes);
        parts.seasons.into_iter().next().map_or_else(|| vec![0.0; values.len()], |season| season.values)
    }

    fn test(&self, rest: Vec<f64>, season: &[f64]) -> Vec<Outlier> {
        let count = rest.len();
        let mut sorted: Vec<(f64, usize)> = rest.into_iter().zip(0..).collect();
        sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let (mut values, mut places): (Vec<f64>, Vec<usize>) = sorted.into_iter().unzip();
        let most = usize::try_from(floor(self.most * of_len(count)))
            .unwrap_or(0)
            .max(1)
            .min(count.saturating_sub(3));
        let (mut candidates, mut found) = (Vec::with_capacity(most), 0);
        for nth in 1..=most {
            let (centre, scale) = self.centre_and_scale(&values);
            let (Some(&low), Some(&high)) = (values.first(), values.last()) else { break };
            let is_high = high - centre >= centre - low;
            let (off, end) = if is_high { (high - centre, values.len() - 1) } else { (centre - low, 0) };
            if off <= 0.0 {
                break;
            }
            let place = places.remove(end);
            values.remove(end);
            let critical = self.critical(count, nth);
            // Where the rest is all one value, anything else is out.
            let statistic = (off / scale.max(f64::MIN_POSITIVE)).min(1e9);
            if statistic > critical {
                found = nth;
            }
            let expected = centre + season.get(place).copied().unwrap_or_default();
            candidates.push(Outlier { place, statistic, critical, expected });
        }
        candidates.truncate(found);
        candidates
    }

    fn centre_and_scale(&self, sorted: &[f64]) -> (f64, f64) {
        match self.scale {
            EsdScale::Robust => {
                let centre = median(sorted);
                (centre, median_distance(sorted, centre) * TO_NORMAL)
            }
            EsdScale::Moments => {
                let count = of_len(sorted.len());
                let mean = sorted.iter().sum::<f64>() / count;
                let squares: f64 = sorted.iter().map(|value| (value - mean).powi(2)).sum();
                (mean, (squares / (count - 1.0)).sqrt())
            }
        }
    }

    /// What the farthest of those left must exceed when `nth` are looked at (Rosner, equation 2.5).
    fn critical(&self, count: usize, nth: usize) -> f64 {
        let left = of_len(count - nth);
        let above = self.level / (2.0 * (left + 1.0));
        let t = student::quantile(above, left - 1.0);
        left * t / ((left - 1.0 + t * t) * (left + 1.0)).sqrt()
    }
}

impl Default for EsdConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// From the median absolute deviation of a normal to its standard deviation.
const TO_NORMAL: f64 = 1.482_602_218_505_602;
const MOST_VALUES: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of Rosner's table 1, as the NIST handbook (section 1.3.5.17.3) has them with all statistics.
    const ROSNER: [f64; 54] = [
        -0.25, 0.68, 0.94, 1.15, 1.20, 1.26, 1.26, 1.34, 1.38, 1.43, 1.49, 1.49, 1.55, 1.56, 1.58, 1.65,
        1.69, 1.70, 1.76, 1.77, 1.81, 1.91, 1.94, 1.96, 1.99, 2.06, 2.09, 2.10, 2.14, 2.15, 2.23, 2.24, 2.26,
        2.35, 2.37, 2.40, 2.47, 2.54, 2.62, 2.64, 2.90, 2.92, 2.92, 2.93, 3.21, 3.26, 3.30, 3.59, 3.68, 4.30,
        4.64, 5.34, 5.42, 6.01,
    ];

    #[test]
    fn the_published_outliers_are_found_with_the_published_statistics() {
        let config = EsdConfig::new().scale(EsdScale::Moments).most(10.0 / 54.0 + 1e-9);
        let found = config.find(&ROSNER).unwrap();
        assert_eq!(found.iter().map(|outlier| outlier.place).collect::<Vec<_>>(), [53, 52, 51]);
        let published = [(3.118, 3.158), (2.942, 3.151), (3.179, 3.143)];
        for (outlier, (statistic, critical)) in found.iter().zip(published) {
            assert!((outlier.statistic - statistic).abs() < 1e-3, "{outlier:?}");
            assert!((outlier.critical - critical).abs() < 1e-3, "{outlier:?}");
        }
        for (nth, critical) in [(4, 3.136), (7, 3.111), (10, 3.085)] {
            assert!((config.critical(54, nth) - critical).abs() < 1e-3);
        }
    }

    /// Four weeks of hours with a wave of a day, noise and a slope.
    fn weeks() -> Vec<f64> {
        let mut random = crate::random::Random::new(9);
        let turn = |hour: u32| f64::from(hour % 24) / 24.0 * std::f64::consts::TAU;
        (0..672).map(|hour| 50.0 + 20.0 * turn(hour).sin() + random.uniform() + random.uniform()).collect()
    }

    #[test]
    fn what_is_out_of_season_is_found_and_without_the_season_it_is_not() {
        let mut values = weeks();
        let planted = [100, 333, 500];
        planted.iter().for_each(|&place| values[place] = if values[place] > 50.0 { 42.0 } else { 58.0 });
        let mut found: Vec<usize> =
            EsdConfig::new().period(24).find(&values).unwrap().iter().map(|outlier| outlier.place).collect();
        found.sort_unstable();
        assert_eq!(found, planted);
        assert_eq!(EsdConfig::new().find(&values).unwrap(), [], "they lie in the middle of all values");
        // The twin: without them there is nothing.
        assert_eq!(EsdConfig::new().period(24).find(&weeks()).unwrap(), []);
    }

    #[test]
    fn few_values_none_and_all_the_same_have_no_outlier_and_odd_ones_are_refused() {
        for values in [&[][..], &[1.0], &[1.0, 9.0, 2.0], &[4.0; 40]] {
            assert_eq!(EsdConfig::new().find(values).unwrap(), [], "{values:?}");
        }
        let mut one = [4.0; 40];
        one[7] = 5.0;
        assert_eq!(EsdConfig::new().most(0.1).find(&one).unwrap()[0].place, 7);
        assert!(EsdConfig::new().find(&[1.0, f64::NAN]).unwrap_err().is_malformed());
        assert!(EsdConfig::new().find(&vec![0.0; 100_001]).unwrap_err().is_limit());
        for config in [EsdConfig::new().period(1), EsdConfig::new().most(0.5), EsdConfig::new().level(0.0)] {
            assert_eq!(config.find(&[1.0]).unwrap_err().kind(), ErrorKind::Config);
        }
    }
}
