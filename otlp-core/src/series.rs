//! A metric over time: times and values side by side.

use crate::UnixNanos;

/// Values at ascending times.
///
/// ```
/// use otlp_core::UnixNanos;
/// use otlp_core::series::Series;
/// let mut series = Series::new();
/// (1..=5_u32).for_each(|second| { series.push(UnixNanos::from_secs(second.into()), f64::from(second)); });
/// assert_eq!(series.as_view().len(), 5);
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    times: Vec<UnixNanos>,
    values: Vec<f64>,
}

impl Series {
    /// An empty series.
    #[must_use]
    pub const fn new() -> Self {
        Self { times: Vec::new(), values: Vec::new() }
    }

    /// Appends a value; false, and nothing appended, where `time` is before the last one.
    ///
    /// ```
    /// use otlp_core::{UnixNanos, series::Series};
    /// let mut series = Series::new();
    /// assert!(series.push(UnixNanos::from_secs(2), 1.0));
    /// assert!(!series.push(UnixNanos::from_secs(1), 1.0));
    /// assert_eq!(series.as_view().values(), [1.0]);
    /// ```
    pub fn push(&mut self, time: UnixNanos, value: f64) -> bool {
        let in_order = self.times.last().is_none_or(|&last| last <= time);
        if in_order {
            self.times.push(time);
            self.values.push(value);
        }
        in_order
    }

    /// Borrows the whole series.
    ///
    /// ```
    /// use otlp_core::UnixNanos;
    /// use otlp_core::series::Series;
    /// let mut series = Series::new();
    /// (1..=5_u32).for_each(|second| { series.push(UnixNanos::from_secs(second.into()), f64::from(second)); });
    /// let view = series.as_view();
    /// assert_eq!(view.times().len(), view.values().len());
    /// ```
    #[must_use]
    pub fn as_view(&self) -> SeriesView<'_> {
        SeriesView { times: &self.times, values: &self.values }
    }
}

/// A borrowed series: as many times as values, times ascending.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeriesView<'a> {
    times: &'a [UnixNanos],
    values: &'a [f64],
}

impl<'a> SeriesView<'a> {
    /// The times.
    #[must_use]
    pub const fn times(&self) -> &'a [UnixNanos] {
        self.times
    }

    /// The values.
    #[must_use]
    pub const fn values(&self) -> &'a [f64] {
        self.values
    }

    /// Count of points.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.values.len()
    }

    /// True where there are no points.
    ///
    /// ```
    /// use otlp_core::series::Series;
    /// assert!(Series::new().as_view().is_empty());
    /// ```
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The points in order of time.
    ///
    /// ```
    /// use otlp_core::UnixNanos;
    /// use otlp_core::series::Series;
    /// let mut series = Series::new();
    /// (1..=5_u32).for_each(|second| { series.push(UnixNanos::from_secs(second.into()), f64::from(second)); });
    /// let last = series.as_view().iter().last();
    /// assert_eq!(last, Some((UnixNanos::from_secs(5), 5.0)));
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (UnixNanos, f64)> + use<'a> {
        self.times.iter().copied().zip(self.values.iter().copied())
    }

    /// The points from `from` up to but not with `until`. O(log points).
    ///
    /// ```
    /// use otlp_core::UnixNanos;
    /// use otlp_core::series::Series;
    /// let mut series = Series::new();
    /// (1..=5_u32).for_each(|second| { series.push(UnixNanos::from_secs(second.into()), f64::from(second)); });
    /// let part = series.as_view().between(UnixNanos::from_secs(2), UnixNanos::from_secs(4));
    /// assert_eq!(part.values(), [2.0, 3.0]);
    /// ```
    #[must_use]
    pub fn between(&self, from: UnixNanos, until: UnixNanos) -> Self {
        let first = self.times.partition_point(|&time| time < from);
        let last = self.times.partition_point(|&time| time < until).max(first);
        Self {
            times: self.times.get(first..last).unwrap_or_default(),
            values: self.values.get(first..last).unwrap_or_default(),
        }
    }
}
