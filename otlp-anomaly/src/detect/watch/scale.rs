//! The numbers of rows, in the scales that they are watched in.

use std::time::Duration;

use super::metric::Metric;
use crate::detect::robust::Point;
use crate::feature::row::Row;
use crate::feature::{FeatureRow, MetricRow};
use crate::number::{floor, ratio, to_f64};

/// The scale that a metric is watched in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scale {
    /// Natural logarithm.
    Log,
    /// Arc sine of the square root: the spread of a share does not depend on the share.
    ArcSine,
    /// Twice the square root of the count in a window of this many seconds: the spread of a Poisson count is one.
    Root(f64),
    /// As it is: it may be below zero.
    Plain,
}

/// Anscombe's correction to the square root of a count (Biometrika 1948).
const ANSCOMBE: f64 = 0.375;
/// The least latency told from none: the clock's own unit.
const LEAST_SECS: f64 = 1e-9;

pub(super) const fn scale_of(metric: Metric, window: Duration) -> Scale {
    match metric {
        Metric::LatencyP50 | Metric::LatencyP95 | Metric::Memory => Scale::Log,
        Metric::ErrorRate => Scale::ArcSine,
        Metric::Rate => Scale::Root(window.as_secs_f64()),
        Metric::Value => Scale::Plain,
    }
}

impl Scale {
    pub(super) fn to(self, natural: f64) -> f64 {
        match self {
            Self::Log => natural.max(LEAST_SECS).ln(),
            Self::ArcSine => natural.clamp(0.0, 1.0).sqrt().asin(),
            Self::Root(secs) => 2.0 * (natural.max(0.0) * secs + ANSCOMBE).sqrt(),
            Self::Plain => natural,
        }
    }

    pub(super) fn back(self, scaled: f64) -> f64 {
        match self {
            Self::Log => scaled.exp(),
            Self::ArcSine => scaled.clamp(0.0, std::f64::consts::FRAC_PI_2).sin().powi(2),
            Self::Root(secs) => ratio(((scaled / 2.0).powi(2) - ANSCOMBE).max(0.0), secs),
            Self::Plain => scaled,
        }
    }
}

/// A row as a watch looks at it.
pub(super) trait Watchable: Row {
    /// Requests, or points, that it rests on.
    fn count(&self) -> u64;

    /// The metric in its scale, with the standard error that the count gives it.
    fn measure(&self, metric: Metric) -> Option<Point>;

    /// True where it says too little about what happened: a gap, or part of a window.
    fn is_left_out(&self) -> bool {
        self.is_part() || self.is_silent()
    }
}

impl Watchable for FeatureRow {
    fn count(&self) -> u64 {
        self.requests
    }

    fn measure(&self, metric: Metric) -> Option<Point> {
        measure(metric, self)
    }
}

impl Watchable for MetricRow {
    fn count(&self) -> u64 {
        self.points
    }

    fn measure(&self, metric: Metric) -> Option<Point> {
        self.value().filter(|_| metric == Metric::Value).map(Point::new)
    }
}

/// The metric of a row in its scale, with the standard error that the count of requests gives it.
fn measure(metric: Metric, row: &FeatureRow) -> Option<Point> {
    let requests = to_f64(row.requests);
    let (value, standard_error) = match metric {
        Metric::LatencyP50 => quantile(row, 0.50)?,
        Metric::LatencyP95 => quantile(row, 0.95)?,
        Metric::ErrorRate if row.requests == 0 => return None,
        Metric::ErrorRate => {
            let share = (to_f64(row.errors) + ANSCOMBE) / (requests + 2.0 * ANSCOMBE);
            (Scale::ArcSine.to(share), 0.5 / requests.sqrt())
        }
        Metric::Rate => (2.0 * (requests + ANSCOMBE).sqrt(), 1.0),
        Metric::Memory | Metric::Value => return None,
    };
    Some(Point { value, standard_error, ..Point::new(0.0) })
}

/// The logarithm of a quantile and half the distance between the order statistics one standard error to
/// either side of it, which needs no idea of how latencies are distributed.
fn quantile(row: &FeatureRow, q: f64) -> Option<(f64, f64)> {
    if row.latency.is_empty() {
        return None;
    }
    let count = to_f64(row.latency.count());
    let log = |rank: f64| Some(Scale::Log.to(row.latency.value_at(floor(rank.clamp(0.0, count - 1.0)))?));
    let step = (count * q * (1.0 - q)).sqrt();
    let middle = q * (count - 1.0);
    let (low, high) = (log(middle - step)?, log(middle + step)?);
    let of_sketch = row.latency.relative_error();
    Some((log(middle)?, ((high - low) / 2.0).max(of_sketch)))
}
