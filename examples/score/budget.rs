//! From alerts a week to a budget a point.

use std::time::Duration;

use otlp_anomaly::score::Budget;
use otlp_core::{Error, UnixNanos};

use crate::series::Point;

/// Points that the usual distance between points is taken of; fewer than the detector needs before it says anything.
const FIRST: usize = 40;
/// A budget is at most one alarm in so many points.
const DENSEST: f64 = 0.05;
const WEEK_SECS: f64 = 7.0 * 86_400.0;

/// The median distance of the first points.
pub(crate) fn step(points: &[Point]) -> Duration {
    let times: Vec<UnixNanos> = points.iter().take(FIRST).map(|point| point.time).collect();
    let between = |pair: &[UnixNanos]| match pair {
        [before, after] => Some(after.duration_since(*before)).filter(|step| !step.is_zero()),
        _ => None,
    };
    let mut steps: Vec<Duration> = times.windows(2).filter_map(between).collect();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied().unwrap_or(Duration::from_secs(60))
}

/// The budget a point that is so many alarms a week.
///
/// # Errors
/// Where it cannot be kept to.
pub(crate) fn budget(points: &[Point], alerts_per_week: f64) -> Result<Budget, Error> {
    let a_point = alerts_per_week * step(points).as_secs_f64() / WEEK_SECS;
    Budget::per_windows(if a_point > DENSEST { DENSEST } else { a_point }, 1)
}
