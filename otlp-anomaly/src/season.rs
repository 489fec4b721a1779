//! What repeats: periods found in values, and values taken apart into trend, seasons and remainder.
//!
//! [`decompose`] is STL (R. B. Cleveland, W. S. Cleveland, J. E. McRae, I. Terpenning 1990, "STL: A Seasonal-Trend Decomposition
//! Procedure Based on Loess") refined period by period as MSTL does it (K. Bandara, R. J. Hyndman, C. Bergmeir 2021, "MSTL: A
//! Seasonal-Trend Decomposition Algorithm for Time Series with Multiple Seasonal Patterns"). [`periods`] looks for the peaks of the
//! autocorrelation.

mod loess;
mod stl;

use otlp_core::{Error, ErrorKind, Result};

use crate::number::of_len;
use stl::Stl;

/// Values as the sum of their parts, all of the same length.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Decomposition {
    /// What stays when seasons and chance are gone.
    pub trend: Vec<f64>,
    /// A season for each period, in ascending order of the periods.
    pub seasons: Vec<Season>,
    /// The rest.
    pub remainder: Vec<f64>,
}

/// What repeats with one period.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Season {
    /// Points a cycle.
    pub period: usize,
    /// Its part of each value.
    pub values: Vec<f64>,
}

impl Decomposition {
    /// The values without their seasons.
    #[must_use]
    pub fn adjusted(&self) -> Vec<f64> {
        self.trend.iter().zip(&self.remainder).map(|(trend, rest)| trend + rest).collect()
    }

    /// How much of what is not trend the season of this period explains, 0 to 1 (X. Wang, K. Smith, R. Hyndman 2006).
    #[must_use]
    pub fn strength(&self, period: usize) -> f64 {
        let Some(season) = self.seasons.iter().find(|season| season.period == period) else { return 0.0 };
        let with: Vec<f64> = season.values.iter().zip(&self.remainder).map(|(a, b)| a + b).collect();
        let whole = variance(&with);
        if whole > 0.0 { (1.0 - variance(&self.remainder) / whole).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// How often the seasons are refined one against the other, and how often outliers lose weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Passes {
    pub(crate) rounds: usize,
    pub(crate) inner: usize,
    pub(crate) robust: usize,
}

impl Passes {
    /// As the authors have it.
    pub(crate) const DEFAULT: Self = Self { rounds: 2, inner: 2, robust: 0 };
}

/// Takes `values` apart.
///
/// Periods of which there are not two whole cycles are left out, those below two too. Time and memory are linear in
/// `values` for each period.
///
/// ```
/// use otlp_anomaly::season::decompose;
/// let values: Vec<f64> = (0..240).map(|hour| f64::from(hour) * 0.1 + f64::from(hour % 24)).collect();
/// let parts = decompose(&values, &[24])?;
/// assert!(parts.strength(24) > 0.99);
/// assert!((parts.trend[120] - 0.1 * 120.0 - 11.5).abs() < 0.5);
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Malformed`] where a value is not a finite number.
pub fn decompose(values: &[f64], periods: &[usize]) -> Result<Decomposition> {
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::new(ErrorKind::Malformed, format!("season: value {at} is not a finite number")));
    }
    Ok(mstl(values, periods, Passes::DEFAULT))
}

/// [`decompose`] of values that are finite.
pub(crate) fn mstl(values: &[f64], periods: &[usize], passes: Passes) -> Decomposition {
    let count = values.len();
    let mut periods: Vec<usize> =
        periods.iter().copied().filter(|&period| period >= 2 && 2 * period <= count).collect();
    periods.sort_unstable();
    periods.dedup();
    let mut smoothers: Vec<Stl> =
        periods.iter().zip(0_usize..).map(|(&period, nth)| Stl::new(period, 11 + 4 * nth)).collect();
    let mut seasons: Vec<Vec<f64>> = vec![vec![0.0; count]; periods.len()];
    let mut rest: Vec<f64> = values.to_vec();
    let mut trend = vec![0.0; count];
    let (mut weights, mut sorted): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    for _ in 0..=passes.robust {
        for _ in 0..if periods.len() > 1 { passes.rounds } else { 1 } {
            for (smoother, season) in smoothers.iter_mut().zip(&mut seasons) {
                rest.iter_mut().zip(season.iter()).for_each(|(rest, season)| *rest += season);
                let weights = (!weights.is_empty()).then_some(weights.as_slice());
                for _ in 0..passes.inner {
                    smoother.pass(&rest, weights, season, &mut trend);
                }
                rest.iter_mut().zip(season.iter()).for_each(|(rest, season)| *rest -= season);
            }
        }
        if passes.robust > 0 {
            let remainder: Vec<f64> = rest.iter().zip(&trend).map(|(rest, trend)| rest - trend).collect();
            stl::robustness(&remainder, &mut sorted, &mut weights);
        }
    }
    if periods.is_empty() {
        loess::Loess::new((count / 4).max(7), 1).smooth(&rest, None, &mut trend);
    }
    let remainder = rest.iter().zip(&trend).map(|(rest, trend)| rest - trend).collect();
    let seasons =
        periods.into_iter().zip(seasons).map(|(period, values)| Season { period, values }).collect();
    Decomposition { trend, seasons, remainder }
}

/// The periods that show in the autocorrelation of `values` without its trend, ascending; at most two.
///
/// A period is a peak of the correlation that is far beyond chance and of which there are three cycles; a multiple of one
/// already found counts only where it repeats better. O(values^2 / 3), of at most the last 4,096 values; those must be finite.
///
/// ```
/// use otlp_anomaly::season::periods;
/// let values: Vec<f64> = (0..200).map(|hour| f64::from(hour % 24)).collect();
/// assert_eq!(periods(&values), [24]);
/// assert!(periods(&[1.0; 200]).is_empty());
/// ```
#[must_use]
pub fn periods(values: &[f64]) -> Vec<usize> {
    let values = values.get(values.len().saturating_sub(MAX_SEARCHED)..).unwrap_or_default();
    let correlation = correlations(values);
    let noise = 1.0 / of_len(values.len().max(1)).sqrt();
    let mut found: Vec<(usize, f64)> = Vec::new();
    let peaks = correlation.windows(3).zip(2_usize..).filter_map(|(three, lag)| match three {
        [before, at, after] if at > before && at >= after && lag > 2 => Some((lag, *at)),
        _ => None,
    });
    for (lag, peak) in peaks {
        let better = found.iter().all(|(_, other)| peak > other + 0.05 + 2.0 * noise);
        if peak > 0.2 + 4.0 * noise && better {
            // A taller peak that is no multiple of a smaller one is what that one was a shadow of.
            found.retain(|(other, _)| lag % other == 0);
            found.push((lag, peak));
        }
    }
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    found.truncate(2);
    let mut periods: Vec<usize> = found.into_iter().map(|(lag, _)| lag).collect();
    periods.sort_unstable();
    periods
}

const MAX_SEARCHED: usize = 4_096;

/// Correlations at the lags 1 to a third of the length, of the values without a slow trend, each with its bias taken off.
fn correlations(values: &[f64]) -> Vec<f64> {
    let scale = values.iter().fold(0.0_f64, |most, value| most.max(value.abs())).max(f64::MIN_POSITIVE);
    let scaled: Vec<f64> = values.iter().map(|value| value / scale).collect();
    let mut trend = vec![0.0; scaled.len()];
    loess::Loess::new(scaled.len(), 1).smooth(&scaled, None, &mut trend);
    let rest: Vec<f64> = scaled.iter().zip(&trend).map(|(value, trend)| value - trend).collect();
    let square = variance(&rest);
    if square <= 1e-20 {
        return Vec::new();
    }
    let lags = 1..=rest.len() / 3;
    lags.map(|lag| {
        let sum: f64 = rest.iter().zip(rest.iter().skip(lag)).map(|(a, b)| a * b).sum();
        sum / of_len(rest.len() - lag) / square
    })
    .collect()
}

fn variance(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / of_len(values.len().max(1));
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / of_len(values.len().max(1))
}
