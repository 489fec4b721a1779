//! What rows of spans and rows of metrics have in common.

use std::time::Duration;

use otlp_core::UnixNanos;
use otlp_core::finding::Subject;

use super::{FeatureRow, Level, MetricRow};
use crate::number::to_f64;

/// A row about a window of a subject. Public within a module that is not: what rows there are is up to this crate.
pub trait Row: Clone {
    /// About whom.
    fn subject(&self) -> &Subject;

    /// When the window begins, and how long it is.
    fn span(&self) -> (UnixNanos, Duration);

    /// True where nothing was told about the window.
    fn is_silent(&self) -> bool;

    /// True where the window may hold less than happened in it.
    fn is_part(&self) -> bool;

    /// True where things may have happened that this window does not tell, nor a later one will.
    fn is_lossy(&self) -> bool;

    /// Makes it the row of a longer window that it lies in.
    fn widen(&mut self, span: (UnixNanos, Duration), is_part: bool);

    /// Adds what another row of the same subject tells.
    fn absorb(&mut self, other: &Self);
}

impl Row for FeatureRow {
    fn subject(&self) -> &Subject {
        &self.subject
    }

    fn span(&self) -> (UnixNanos, Duration) {
        (self.start, self.window)
    }

    fn is_silent(&self) -> bool {
        self.is_gap()
    }

    fn is_part(&self) -> bool {
        self.is_partial
    }

    fn is_lossy(&self) -> bool {
        self.is_partial || self.is_gap()
    }

    fn widen(&mut self, (start, window): (UnixNanos, Duration), is_part: bool) {
        (self.start, self.window, self.is_partial) = (start, window, is_part);
    }

    fn absorb(&mut self, other: &Self) {
        // Self times are known of all requests or of none, as rows are fed in one way or the other.
        let times = |row: &Self| Some((row.mean_self_time_secs?, to_f64(row.requests)));
        self.mean_self_time_secs = mean(times(self), times(other));
        self.requests += other.requests;
        self.errors += other.errors;
        self.requests_of_all += other.requests_of_all;
        // Both are sketches of the default error, which always go together.
        self.latency.merge(&other.latency).ok();
    }
}

impl Row for MetricRow {
    fn subject(&self) -> &Subject {
        &self.subject
    }

    fn span(&self) -> (UnixNanos, Duration) {
        (self.start, self.window)
    }

    fn is_silent(&self) -> bool {
        self.is_gap()
    }

    fn is_part(&self) -> bool {
        self.is_partial
    }

    /// What was not told in one window is told by the next point, as sums are.
    fn is_lossy(&self) -> bool {
        self.is_partial
    }

    fn widen(&mut self, (start, window): (UnixNanos, Duration), is_part: bool) {
        (self.start, self.window, self.is_partial) = (start, window, is_part);
    }

    fn absorb(&mut self, other: &Self) {
        let means = |row: &Self| row.level.map(|level| (level.mean, to_f64(row.points)));
        let mean = mean(means(self), means(other));
        self.level = match (self.level, other.level, mean) {
            (Some(one), Some(two), Some(mean)) => {
                let (min, max) = (one.min.min(two.min), one.max.max(two.max));
                Some(Level { mean: mean.clamp(min, max), min, max })
            }
            (one, two, _) => one.or(two),
        };
        self.points += other.points;
        self.growth = sum(self.growth, other.growth);
        self.measured_sum = sum(self.measured_sum, other.measured_sum);
        self.measured.merge(&other.measured).ok();
        self.resets += other.resets;
    }
}

/// The mean of two means with weights; of the one that there is.
fn mean(one: Option<(f64, f64)>, two: Option<(f64, f64)>) -> Option<f64> {
    match (one, two) {
        (Some((one, m)), Some((two, n))) if m + n > 0.0 => Some(one + (two - one) * (n / (m + n))),
        (one, two) => one.or(two).map(|(mean, _)| mean),
    }
}

/// The sum of what there is; nothing where it is no number.
fn sum(one: Option<f64>, two: Option<f64>) -> Option<f64> {
    match (one, two) {
        (Some(one), Some(two)) => Some(one + two).filter(|sum| sum.is_finite()),
        (one, two) => one.or(two),
    }
}
