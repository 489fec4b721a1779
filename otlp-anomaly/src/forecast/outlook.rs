//! When something that grows reaches its limit, or that it never will.
//!
//! Every time is in days from the last point, with an interval of 95 % that rests on how sure the growth is.

use otlp_core::series::SeriesView;
use otlp_core::{Error, ErrorKind, Result};

use super::Forecast;
use super::slope::{Estimate, beside_line, kendall, median, quantile, robust, thinned};
use crate::change::pelt;
use crate::number::{of_len, to_f64};
use crate::season::{Passes, mstl};

/// When a limit is reached.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Reach {
    /// It is reached already.
    Now,
    /// After so many days; an upper edge that is infinite says that it may never be.
    Days(Estimate),
    /// Not at this growth.
    Never,
}

impl Reach {
    /// The days that are likeliest; none where it is never reached.
    #[must_use]
    pub const fn days(self) -> Option<f64> {
        match self {
            Self::Now => Some(0.0),
            Self::Days(days) => Some(days.value),
            Self::Never => None,
        }
    }

    fn of(left: f64, rate: Estimate) -> Self {
        if left <= 0.0 {
            return Self::Now;
        }
        // Growth that may be none or backwards has no latest day.
        let days = |rate: f64| if rate > 0.0 { left / rate } else { f64::INFINITY };
        let reach = Estimate::new(days(rate.high), days(rate.value), days(rate.low));
        if reach.value > MAX_DAYS { Self::Never } else { Self::Days(reach) }
    }
}

/// Ten years: farther ahead nothing is said.
const MAX_DAYS: f64 = 3_650.0;

/// What a store that fills will do.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Filling {
    /// Growth a day, as it is now.
    pub rate_per_day: Estimate,
    /// When it is full.
    pub full: Reach,
    /// How often it was emptied by more than a twentieth of what it held.
    pub resets: usize,
    /// Days at the end that the growth was taken from; before them it was another.
    pub since_days: f64,
}

/// Tells when a store is full: bytes used over time, and how many there are.
///
/// Growth is the robust slope since the last change of growth, without the season of a week where there are two of them. A
/// store that was emptied three times and more is judged by the peaks before it was.
///
/// ```
/// use otlp_anomaly::forecast::outlook::filling;
/// use otlp_core::{UnixNanos, series::Series};
/// let mut used = Series::new();
/// (0..240_u32).for_each(|hour| { used.push(UnixNanos::from_secs(3_600 * u64::from(hour)), 100.0 + f64::from(hour)); });
/// let days = filling(used.as_view(), 1_059.0)?.full.days();
/// assert!(days.is_some_and(|days| (days - 30.0).abs() < 0.1));
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Malformed`] with fewer than eight finite points or none of them later than the first, [`ErrorKind::Config`] where `limit` is not finite.
pub fn filling(used: SeriesView<'_>, limit: f64) -> Result<Filling> {
    let points = points(used, limit)?;
    let drops: Vec<usize> = resets(&points);
    let now = points.last().map_or(0.0, |(_, value)| *value);
    if drops.len() >= MANY {
        let peaks: Vec<(f64, f64)> =
            drops.iter().filter_map(|at| at.checked_sub(1).and_then(|at| points.get(at)).copied()).collect();
        let rate = robust(&peaks).unwrap_or(Estimate::new(0.0, 0.0, 0.0));
        let (at, peak) = peaks.last().copied().unwrap_or((0.0, now));
        let expected = peak - rate.value * at;
        let left = if now >= limit { 0.0 } else { (limit - expected).max(f64::MIN_POSITIVE) };
        let since_days = peaks.first().map_or(0.0, |(at, _)| -at);
        return Ok(Filling {
            rate_per_day: rate,
            full: Reach::of(left, rate),
            resets: drops.len(),
            since_days,
        });
    }
    let since = drops.last().copied().unwrap_or(0);
    let grown = points.get(since..).filter(|grown| grown.len() >= LEAST).unwrap_or(&points);
    let grown = without_week(grown);
    let recent = steady_growth(&grown);
    let rate = robust(recent).unwrap_or(Estimate::new(0.0, 0.0, 0.0));
    let since_days = recent.first().map_or(0.0, |(at, _)| -at);
    Ok(Filling { rate_per_day: rate, full: Reach::of(limit - now, rate), resets: drops.len(), since_days })
}

/// Resets from which on the peaks tell more than the way between them.
const MANY: usize = 3;
/// Points that a slope needs.
const LEAST: usize = 8;

/// What a process does that may hold on to memory.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Leak {
    /// No growth that chance could not make.
    None,
    /// It grows by the same amount from day to day.
    Steady {
        /// That amount.
        rate_per_day: Estimate,
        /// When the limit is reached.
        full: Reach,
    },
    /// It grows less and less, towards a ceiling.
    Saturating {
        /// The ceiling.
        ceiling: Estimate,
        /// When the limit is reached, where it lies below the ceiling.
        full: Reach,
    },
}

/// Tells whether memory leaks, and growth that goes on from growth that ends.
///
/// Only what came after the last restart (a drop by a fifth) counts. Growth is told by the Mann-Kendall test at three standard
/// deviations, of everything or of what came since growth last changed; that it ends, by an exponential approach to a ceiling that explains the values better by ten of Akaike's points and
/// that has gone at least a third of its way.
///
/// ```
/// use otlp_anomaly::forecast::outlook::{Leak, leak};
/// use otlp_core::{UnixNanos, series::Series};
/// let mut resident = Series::new();
/// (0..100_u32).for_each(|hour| { resident.push(UnixNanos::from_secs(3_600 * u64::from(hour)), 500.0 + 2.0 * f64::from(hour)); });
/// assert!(matches!(leak(resident.as_view(), 1_000.0)?, Leak::Steady { full, .. } if full.days().is_some_and(|days| (days - 6.3).abs() < 0.2)));
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
///
/// # Errors
/// As [`filling`].
pub fn leak(used: SeriesView<'_>, limit: f64) -> Result<Leak> {
    let points = points(used, limit)?;
    let restart = points
        .windows(2)
        .rposition(|pair| matches!(pair, [(_, a), (_, b)] if *b < 0.8 * a))
        .map_or(0, |at| at + 1);
    let grown = points.get(restart..).unwrap_or_default();
    let few = thinned(grown);
    let approach = Approach::fit(&few);
    let rest = approach.as_ref().map_or_else(|| beside_line(&few), |approach| approach.beside(&few));
    if grown.len() < LEAST || kendall(&few, &rest) < 3.0 && !grows(steady_growth(grown)) {
        return Ok(Leak::None);
    }
    let now = grown.last().map_or(0.0, |(_, value)| *value);
    if let Some(approach) = approach {
        let full = approach.reach(limit, now);
        return Ok(Leak::Saturating { ceiling: approach.ceiling, full });
    }
    let rate = robust(steady_growth(grown)).unwrap_or(Estimate::new(0.0, 0.0, 0.0));
    Ok(Leak::Steady { rate_per_day: rate, full: Reach::of(limit - now, rate) })
}

/// Whether there is growth that chance could not make. Of what stood still for long and then began to grow, all of it together
/// says little: neighbours resemble each other too much.
fn grows(points: &[(f64, f64)]) -> bool {
    let few = thinned(points);
    points.len() >= LEAST && kendall(&few, &beside_line(&few)) >= 3.0
}

/// How long what there is will do.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Capacity {
    /// When the median of a day reaches the target: the base load is too much.
    pub base: Reach,
    /// When the 95th percentile of a day does: bursts are too much.
    pub burst: Reach,
    /// What is left below the target in a burst today, as a share of the target; below zero where it is passed.
    pub headroom: f64,
    /// By what factor there must be more for bursts to stay below the target until the end of the horizon; at least one.
    pub scale_up: f64,
}

/// Tells when load reaches the part of the capacity that may be used, and how much more is needed for `horizon_days`.
///
/// # Errors
/// As [`filling`]; also [`ErrorKind::Malformed`] with less than three days.
pub fn capacity(load: SeriesView<'_>, target: f64, horizon_days: f64) -> Result<Capacity> {
    let points = points(load, target)?;
    let mut days: Vec<(f64, Vec<f64>)> = Vec::new();
    for (at, value) in &points {
        match days.last_mut() {
            Some((day, values)) if *day == at.floor() => values.push(*value),
            _ => days.push((at.floor(), vec![*value])),
        }
    }
    // The first and the last day may be no whole ones.
    let fullest = days.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    days.retain(|(_, values)| 2 * values.len() >= fullest);
    if days.len() < 3 {
        return Err(Error::new(
            ErrorKind::Malformed,
            format!("outlook: {} days, at least 3 needed", days.len()),
        ));
    }
    days.iter_mut().for_each(|(_, values)| values.sort_unstable_by(f64::total_cmp));
    let line = |share: f64| {
        let daily: Vec<(f64, f64)> =
            days.iter().filter_map(|(day, values)| Some((day + 0.5, quantile(values, share)?))).collect();
        let rate = robust(&daily).unwrap_or(Estimate::new(0.0, 0.0, 0.0));
        let now = median(daily.iter().map(|(at, value)| value - rate.value * at).collect()).unwrap_or(0.0);
        (now, rate)
    };
    let ((base, base_rate), (burst, burst_rate)) = (line(0.5), line(0.95));
    let peak = burst + burst_rate.value.max(0.0) * horizon_days.max(0.0);
    Ok(Capacity {
        base: Reach::of(target - base, base_rate),
        burst: Reach::of(target - burst, burst_rate),
        headroom: if target > 0.0 { (target - burst) / target } else { 0.0 },
        scale_up: if target > 0.0 { (peak / target).max(1.0) } else { 1.0 },
    })
}

/// After how many steps a forecast goes above a limit: at the earliest (the upper edge of 80 % does), likely, at the latest.
///
/// ```
/// use otlp_anomaly::forecast::{ForecastConfig, outlook::breach};
/// let latency: Vec<f64> = (0..96).map(|hour| 100.0 + f64::from(hour)).collect();
/// let forecast = ForecastConfig::new().build()?.forecast(&latency, 48)?;
/// assert!(breach(&forecast, 220.0).1.is_some_and(|hours| (22..28).contains(&hours)));
/// assert_eq!(breach(&forecast, 900.0), (None, None, None));
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[must_use]
pub fn breach(forecast: &Forecast, limit: f64) -> (Option<usize>, Option<usize>, Option<usize>) {
    let first = |path: &[f64]| path.iter().position(|value| *value > limit).map(|step| step + 1);
    (first(&forecast.likely.high), first(&forecast.point), first(&forecast.likely.low))
}

/// Days before the last point, and values; only finite ones.
fn points(series: SeriesView<'_>, limit: f64) -> Result<Vec<(f64, f64)>> {
    if !limit.is_finite() {
        return Err(Error::new(ErrorKind::Config, format!("outlook: limit {limit} is not finite")));
    }
    let last = series.times().last().map_or(0, |time| time.0);
    let known = series.iter().filter(|(_, value)| value.is_finite() && value.abs() < LARGEST);
    let points: Vec<(f64, f64)> =
        known.map(|(time, value)| (-to_f64(last - time.0) / NANOS_A_DAY, value)).collect();
    let span = points.first().map_or(0.0, |(at, _)| -at);
    if points.len() < LEAST || span <= 0.0 {
        let count = points.len();
        return Err(Error::new(
            ErrorKind::Malformed,
            format!("outlook: {count} points over {span:.6} days, at least {LEAST} over some time needed"),
        ));
    }
    Ok(points)
}

const NANOS_A_DAY: f64 = 86_400e9;
/// Amounts beyond this overflow when squared.
const LARGEST: f64 = 1e150;

/// Where a value is lower than the one before by a twentieth of it: somebody cleaned up.
fn resets(points: &[(f64, f64)]) -> Vec<usize> {
    let drop = |pair: &[(f64, f64)]| matches!(pair, [(_, before), (_, after)] if *after < 0.95 * before && *before > 0.0);
    points.windows(2).zip(1_usize..).filter(|(pair, _)| drop(pair)).map(|(_, at)| at).collect()
}

/// Takes the season of a week off, where there are two weeks and more of even points.
fn without_week(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let span = points.first().map_or(0.0, |(at, _)| -at);
    let a_week = of_len(points.len().saturating_sub(1)) * 7.0 / span.max(f64::MIN_POSITIVE);
    let period = usize::try_from(crate::number::floor(a_week + 0.5)).unwrap_or(0);
    if period < 7
        || (a_week - of_len(period)).abs() > 0.05
        || points.len() < 2 * period
        || points.len() > 50_000
    {
        return points.to_vec();
    }
    let values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    let adjusted = mstl(&values, &[period], Passes::DEFAULT).adjusted();
    points.iter().zip(adjusted).map(|((at, _), value)| (*at, value)).collect()
}

/// What came after the last change of growth, which is one of the mean of the steps between few points by more than a quarter.
fn steady_growth(points: &[(f64, f64)]) -> &[(f64, f64)] {
    let few = thinned(points);
    let steps: Vec<f64> = few
        .windows(2)
        .filter_map(|pair| match pair {
            [(x, y), (later, value)] if later > x => Some((value - y) / (later - x)),
            _ => None,
        })
        .collect();
    let Ok(segments) = pelt(&steps, None, LEAST) else { return points };
    let mean = |from: usize, until: usize| {
        let part = steps.get(from..until).unwrap_or_default();
        part.iter().sum::<f64>() / of_len(part.len().max(1))
    };
    let until = steps.len();
    let mut begin = 0;
    let edges: Vec<usize> = std::iter::once(0).chain(segments.changes.iter().copied()).collect();
    for pair in edges.windows(2).rev() {
        let [before, at] = pair else { continue };
        let (old, new) = (mean(*before, *at), mean(*at, until));
        if (new - old).abs() > 0.25 * new.abs().max(old.abs()) {
            begin = *at;
            break;
        }
    }
    let since = few.get(begin).map_or(f64::NEG_INFINITY, |(at, _)| *at);
    let from = points.partition_point(|(at, _)| *at < since);
    points.get(from..).filter(|stretch| begin > 0 && stretch.len() >= LEAST).unwrap_or(points)
}

/// `ceiling - gap * exp(-speed * days)`, with times counted from the first point.
struct Approach {
    ceiling: Estimate,
    gap: f64,
    speed: f64,
    span: f64,
}

/// Speeds that are tried: from a hundredth of the way over all points to all of it a hundred times.
const SPEEDS: u32 = 80;
const DECADES: f64 = 3.5;

impl Approach {
    /// None where a straight line says as much.
    fn fit(points: &[(f64, f64)]) -> Option<Self> {
        let begin = points.first()?.0;
        let span = points.last()?.0 - begin;
        let count = of_len(points.len());
        let straight = line(points, |at| at - begin)?;
        let try_at = |speed: f64| {
            let (ceiling, gap, squares) = line(points, |at| -(-speed * (at - begin)).exp())?;
            (gap > 0.0).then_some((squares, speed, ceiling, gap))
        };
        let grid =
            (0..SPEEDS).map(|nth| 0.02 / span * 10_f64.powf(f64::from(nth) / f64::from(SPEEDS) * DECADES));
        let mut tries: Vec<(f64, f64, f64, f64)> = grid.filter_map(try_at).collect();
        let best = |tries: &[(f64, f64, f64, f64)]| tries.iter().copied().min_by(|a, b| a.0.total_cmp(&b.0));
        // Once more, finely, around the best of the coarse ones.
        let (_, about, ..) = best(&tries)?;
        let step = DECADES / f64::from(SPEEDS);
        let fine = (0..=2 * SPEEDS)
            .map(|nth| about * 10_f64.powf((f64::from(nth) / f64::from(SPEEDS) - 1.0) * 1.5 * step));
        tries.extend(fine.filter_map(try_at));
        let (squares, speed, ceiling, gap) = best(&tries)?;
        let better = count * (straight.2.max(1e-300) / squares.max(1e-300)).ln() - 2.0;
        let gone = 1.0 - (-speed * span).exp();
        if better < 10.0 || gone < 0.33 {
            return None;
        }
        // Speeds that are not much worse (a ratio of likelihoods) bound the ceiling.
        let most = squares.max(1e-300) * (3.84 / count).exp();
        // At least the neighbours of the best count: nothing is known more finely than it was tried.
        let resolution = 10_f64.powf(2.0 * step / f64::from(SPEEDS));
        let beside = |other: f64| other < speed * resolution && speed < other * resolution;
        let near = tries
            .iter()
            .filter(|(squares, other, ..)| *squares <= most || beside(*other))
            .map(|(_, _, ceiling, _)| *ceiling);
        let (low, high) = near.fold((ceiling, ceiling), |(low, high), next| (low.min(next), high.max(next)));
        Some(Self { ceiling: Estimate::new(low, ceiling, high), gap, speed, span })
    }

    fn beside(&self, points: &[(f64, f64)]) -> Vec<f64> {
        let begin = points.first().map_or(0.0, |(at, _)| *at);
        let fitted = |at: f64| self.ceiling.value - self.gap * (-self.speed * (at - begin)).exp();
        points.iter().map(|(at, value)| value - fitted(*at)).collect()
    }

    fn reach(&self, limit: f64, now: f64) -> Reach {
        if now >= limit {
            return Reach::Now;
        }
        let days = |ceiling: f64| {
            if ceiling <= limit {
                return f64::INFINITY;
            }
            ((self.gap / (ceiling - limit)).ln() / self.speed - self.span).max(0.0)
        };
        let reach = self.ceiling.map(days);
        if reach.value.is_finite() && reach.value <= MAX_DAYS { Reach::Days(reach) } else { Reach::Never }
    }
}

/// Least squares of the values on one function of time: where it is zero, its share, and what is left.
fn line(points: &[(f64, f64)], of: impl Fn(f64) -> f64) -> Option<(f64, f64, f64)> {
    let count = of_len(points.len());
    let (mean_x, mean_y) =
        points.iter().fold((0.0, 0.0), |(x, y), (at, value)| (x + of(*at) / count, y + value / count));
    let (mut mixed, mut square) = (0.0, 0.0);
    for (at, value) in points {
        mixed += (of(*at) - mean_x) * (value - mean_y);
        square += (of(*at) - mean_x).powi(2);
    }
    let share = if square > 0.0 { mixed / square } else { return None };
    let start = mean_y - share * mean_x;
    let left = points.iter().map(|(at, value)| (value - start - share * of(*at)).powi(2)).sum();
    Some((start, share, left))
}
