//! What comes next, with intervals that say how sure that is.
//!
//! A [`Forecaster`] tries its models from several earlier points of the same values ("rolling origins"), each time on nothing
//! but what was known then, averages the ones that were the least wrong, and takes the errors that they made for the
//! intervals.

mod arima;
mod auto;
mod autoregress;
pub mod burn;
mod conformal;
mod decomposed;
mod filter;
mod grid;
mod kept;
mod linear;
mod naive;
pub mod outlook;
mod regression;
mod simplex;
mod slope;
mod smoothing;
#[cfg(test)]
mod tests;
mod why;

use std::ops::Range;

use otlp_core::series::SeriesView;
use otlp_core::{Error, ErrorKind, Result};

use crate::number::of_len;
use crate::season::{self, Passes};
use conformal::Errors;

pub use slope::Estimate;
pub use why::Why;

/// A way to foresee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Model {
    /// The average of those that were the best at the rolling origins.
    #[default]
    Auto,
    /// The last cycle again; the last value without a period.
    SeasonalNaive,
    /// Level, trend, damped trend and season smoothed exponentially, chosen by Akaike's criterion (ETS, Holt-Winters).
    ExponentialSmoothing,
    /// Seasons taken off by loess, exponential smoothing of the rest (MSTL).
    Decomposed,
    /// Seasons taken off, the rest by the theta method.
    Theta,
    /// Smoothing with two seasons and an autoregressive error (double seasonal Holt-Winters), its parameters chosen by the origins.
    Filter,
    /// Least squares on near and seasonal lags.
    Autoregression,
    /// Autoregression and moving average of differences, orders chosen by Akaike's criterion.
    Arima,
    /// Bent trend, Fourier terms and holidays by ridge regression.
    Regression,
}

/// How a [`Forecaster`] works.
///
/// ```
/// use otlp_anomaly::forecast::{ForecastConfig, Model};
/// let hourly = ForecastConfig::new().periods([24, 168]).model(Model::Decomposed).build()?;
/// assert!(ForecastConfig::new().periods([1]).build().is_err());
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ForecastConfig {
    model: Model,
    periods: Vec<usize>,
    holidays: Vec<Range<usize>>,
    max_values: usize,
    max_horizon: usize,
}

impl ForecastConfig {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            model: Model::Auto,
            periods: Vec::new(),
            holidays: Vec::new(),
            max_values: 4_096,
            max_horizon: 4_096,
        }
    }

    /// Sets the model; default [`Model::Auto`].
    #[must_use]
    pub const fn model(mut self, model: Model) -> Self {
        self.model = model;
        self
    }

    /// Sets the periods in points, each 2 to 100,000, at most four; by default they are looked for.
    ///
    /// With a day of 24, 48, 96, 144, 288 or 1,440 points alone, a week is tried as well.
    #[must_use]
    pub fn periods(mut self, periods: impl IntoIterator<Item = usize>) -> Self {
        self.periods = periods.into_iter().take(MAX_PERIODS + 1).collect();
        self
    }

    /// Sets stretches that differ from other days, by index of the values, also ahead of the last; at most 1,000.
    ///
    /// Only [`Model::Regression`] knows holidays.
    #[must_use]
    pub fn holidays(mut self, holidays: impl IntoIterator<Item = Range<usize>>) -> Self {
        self.holidays = holidays.into_iter().take(MAX_HOLIDAYS + 1).collect();
        self
    }

    /// Sets how many of the last values are looked at, 16 to 100,000; default 4,096.
    #[must_use]
    pub const fn max_values(mut self, max_values: usize) -> Self {
        self.max_values = max_values;
        self
    }

    /// Sets the longest horizon in points, 1 to 100,000; default 4,096.
    #[must_use]
    pub const fn max_horizon(mut self, max_horizon: usize) -> Self {
        self.max_horizon = max_horizon;
        self
    }

    /// Makes the forecaster.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value lies outside what its setter says.
    pub fn build(self) -> Result<Forecaster> {
        let fits = self.periods.len() <= MAX_PERIODS
            && self.periods.iter().all(|period| (2..=100_000).contains(period))
            && self.holidays.len() <= MAX_HOLIDAYS
            && (16..=100_000).contains(&self.max_values)
            && (1..=100_000).contains(&self.max_horizon);
        if !fits {
            return Err(Error::new(ErrorKind::Config, format!("forecast: values out of range in {self:?}")));
        }
        Ok(Forecaster { config: self })
    }
}

impl Default for ForecastConfig {
    fn default() -> Self {
        Self::new()
    }
}

const MAX_PERIODS: usize = 4;
const MAX_HOLIDAYS: usize = 1_000;

/// Foresees values; see [`ForecastConfig`] for how.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecaster {
    config: ForecastConfig,
}

/// What is foreseen, step by step.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Forecast {
    /// The values.
    pub point: Vec<f64>,
    /// Where 80 % of what comes should lie.
    pub likely: Interval,
    /// Where 95 % of it should lie.
    pub wide: Interval,
    /// Which models were averaged, with their shares, largest first.
    pub members: Vec<(Model, f64)>,
    /// Why those.
    pub why: Why,
}

/// The edges of an interval, step by step.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Interval {
    /// The lower one.
    pub low: Vec<f64>,
    /// The upper one.
    pub high: Vec<f64>,
}

impl Forecaster {
    /// Foresees the next `horizon` values of evenly spaced ones, oldest first.
    ///
    /// What is not a finite number counts as missing. Values that never were below zero are not foreseen below it. O(values +
    /// horizon) for each model tried; some 2 ms for 700 hourly values.
    ///
    /// ```
    /// use otlp_anomaly::forecast::ForecastConfig;
    /// let values: Vec<f64> = (0..240).map(|hour| 50.0 + 20.0 * f64::from(hour % 24)).collect();
    /// let forecast = ForecastConfig::new().periods([24]).build()?.forecast(&values, 24)?;
    /// assert!((forecast.point[5] - 150.0).abs() < 1.0);
    /// # Ok::<(), otlp_anomaly::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] with fewer than three finite values, [`ErrorKind::Limit`] where `horizon` is above the longest.
    pub fn forecast(&self, values: &[f64], horizon: usize) -> Result<Forecast> {
        if horizon > self.config.max_horizon {
            let limit = self.config.max_horizon;
            return Err(Error::new(
                ErrorKind::Limit,
                format!("max_horizon: {horizon} exceeds limit {limit}"),
            ));
        }
        let skipped = values.len().saturating_sub(self.config.max_values);
        let values = values.get(skipped..).unwrap_or_default();
        let known = values.iter().filter(|value| value.is_finite()).count();
        if known < 3 {
            return Err(Error::new(
                ErrorKind::Malformed,
                format!("forecast: {known} finite values, at least 3 needed"),
            ));
        }
        let scale = values
            .iter()
            .filter(|value| value.is_finite())
            .fold(0.0_f64, |most, value| most.max(value.abs()));
        let scale = if scale > 0.0 { scale } else { 1.0 };
        let mut y: Vec<f64> = values.iter().map(|value| value / scale).collect();
        let periods = self.periods(&y);
        grid::fill(&mut y, periods.first().copied().unwrap_or(1));
        let holidays = self.holidays(skipped);
        let mut forecast = self.foresee(&y, horizon, &periods, &holidays);
        forecast.steady(&y, periods.first().copied());
        forecast.finish(&y, scale);
        Ok(forecast)
    }

    /// Foresees the next `horizon` steps of a series, a step being the median distance of its points.
    ///
    /// Points are put on a grid of that step; what lies between is averaged, gaps count as missing.
    ///
    /// ```
    /// use otlp_anomaly::forecast::ForecastConfig;
    /// use otlp_core::{UnixNanos, series::Series};
    /// let mut series = Series::new();
    /// (0..100_u32).for_each(|hour| { series.push(UnixNanos::from_secs(3_600 * u64::from(hour)), f64::from(hour)); });
    /// let forecast = ForecastConfig::new().build()?.forecast_series(series.as_view(), 10)?;
    /// assert!((forecast.point[9] - 109.0).abs() < 2.0);
    /// # Ok::<(), otlp_anomaly::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Forecaster::forecast`]; also [`ErrorKind::Malformed`] where all points have the same time.
    pub fn forecast_series(&self, series: SeriesView<'_>, horizon: usize) -> Result<Forecast> {
        self.forecast(&grid::even(series, self.config.max_values)?, horizon)
    }

    fn periods(&self, y: &[f64]) -> Vec<usize> {
        let mut periods = if self.config.periods.is_empty() {
            let mut filled = y.to_vec();
            grid::fill(&mut filled, 1);
            season::periods(&filled)
        } else {
            self.config.periods.clone()
        };
        if let [day] = *periods
            && DAYS.contains(&day)
        {
            periods.push(7 * day);
        }
        periods.sort_unstable();
        periods.dedup();
        // A season of which there are not three cycles cannot be told from chance.
        periods.retain(|&period| y.len() >= 3 * period || (y.len() >= 2 * period && period <= 24));
        periods
    }

    fn holidays(&self, skipped: usize) -> Vec<(usize, usize)> {
        let moved = self
            .config
            .holidays
            .iter()
            .map(|stretch| (stretch.start.saturating_sub(skipped), stretch.end.saturating_sub(skipped)));
        moved.filter(|(from, until)| from < until).collect()
    }

    fn foresee(&self, y: &[f64], horizon: usize, periods: &[usize], holidays: &[(usize, usize)]) -> Forecast {
        let mut origins = origins(y.len(), horizon, periods.first().copied().unwrap_or(1));
        origins.push(y.len());
        let task = Task { y, origins: &origins, horizon, periods };
        let period = periods.first().copied().unwrap_or(1);
        let (mut paths, members, why) = match self.config.model {
            Model::Auto => {
                let choice = auto::choose(&task);
                (choice.paths, choice.members, choice.why)
            }
            Model::Filter => {
                let choice = auto::filters(&task);
                (choice.paths, choice.members, choice.why)
            }
            model => {
                let paths = match model {
                    Model::ExponentialSmoothing => {
                        smoothing::Fit::best(task.history(origins.first().copied().unwrap_or(0)), period, 200)
                            .paths(&task)
                    }
                    Model::Decomposed => decomposed::paths(&task, Passes::DEFAULT),
                    Model::Theta => decomposed::theta(&task, Passes::DEFAULT),
                    Model::Autoregression => autoregress::paths(&task),
                    Model::Arima => arima::paths(&task),
                    Model::Regression => regression::paths(&task, holidays),
                    _ => naive::paths(&task, periods.last().copied().unwrap_or(1)),
                };
                (paths, vec![(model, 1.0)], Why::Asked(model))
            }
        };
        let point = paths.pop().unwrap_or_default();
        let errors = Errors::new(&task, &paths);
        let around = |share: f64| {
            let half = errors.half_widths(share);
            let low = point.iter().zip(&half).map(|(point, half)| point - half).collect();
            let high = point.iter().zip(&half).map(|(point, half)| point + half).collect();
            Interval { low, high }
        };
        Forecast { likely: around(0.8), wide: around(0.95), point, members, why }
    }
}

/// Days in points, of which seven make a week.
const DAYS: [usize; 6] = [24, 48, 96, 144, 288, 1_440];

impl Forecast {
    /// Where the same phase had the same value in each of the last five cycles, it will have it again.
    fn steady(&mut self, y: &[f64], period: Option<usize>) {
        let Some(period) = period else { return };
        for step in 0..self.point.len() {
            let before = |cycle: usize| {
                let back = (cycle * period).checked_sub(step % period)?;
                y.get(y.len().checked_sub(back)?).copied()
            };
            let Some(value) = before(1) else { continue };
            if (2..=STEADY).all(|cycle| before(cycle) == Some(value))
                && let Some(point) = self.point.get_mut(step)
            {
                *point = value;
            }
        }
    }

    /// Back to the scale of the values, and to where they can be.
    fn finish(&mut self, y: &[f64], scale: f64) {
        let floor = if y.iter().all(|value| *value >= 0.0) { 0.0 } else { f64::NEG_INFINITY };
        let last = y.last().copied().unwrap_or(0.0);
        let to = |value: &mut f64| {
            let inside = if value.is_finite() { value.max(floor) } else { last };
            *value = (inside * scale).clamp(f64::MIN, f64::MAX);
        };
        self.point.iter_mut().for_each(to);
        for interval in [&mut self.likely, &mut self.wide] {
            interval.low.iter_mut().for_each(to);
            interval.high.iter_mut().for_each(to);
            // What was moved to a steady value or to zero stays within.
            interval.low.iter_mut().zip(&self.point).for_each(|(low, point)| *low = low.min(*point));
            interval.high.iter_mut().zip(&self.point).for_each(|(high, point)| *high = high.max(*point));
        }
    }
}

const STEADY: usize = 5;

/// What every model is asked: from each origin, knowing `y` up to it, what are the next `horizon` values.
#[derive(Debug, Clone, Copy)]
struct Task<'a> {
    y: &'a [f64],
    /// Ascending; the last is the end of `y`.
    origins: &'a [usize],
    horizon: usize,
    /// Ascending.
    periods: &'a [usize],
}

/// A path of `horizon` values for each origin.
type Paths = Vec<Vec<f64>>;

impl<'a> Task<'a> {
    /// What is known at an origin.
    fn history(&self, origin: usize) -> &'a [f64] {
        self.y.get(..origin).unwrap_or(self.y)
    }
}

/// Origins before the end: a cycle apart, at most ten, none in the first half.
fn origins(count: usize, horizon: usize, period: usize) -> Vec<usize> {
    let earliest = (count / 2).max(2 * period).max(2);
    let Some(room) = count.checked_sub(earliest + 1) else { return Vec::new() };
    // A horizon that is longer than what could be tried is tried in part.
    let tried = horizon.clamp(1, room.max(1)).min((room / 2).max(1));
    let step = if period > 1 { period } else { (room - room.min(tried)).div_ceil(ORIGINS).max(1) };
    let mut origins: Vec<usize> = (0..ORIGINS)
        .map_while(|nth| (count - tried).checked_sub(nth * step))
        .take_while(|&at| at >= earliest)
        .collect();
    origins.reverse();
    origins
}

const ORIGINS: usize = 10;

/// Mean of some values; zero for none.
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / of_len(values.len().max(1))
}
