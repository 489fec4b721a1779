//! Metric points to feature rows: what each metric of each service did in each window.
//!
//! Cumulative points become what they grew by, resets included; delta points count as they are. A window in which a
//! metric was not reported has a row without points, which is a gap and not a zero.

mod digest;
mod stream;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use otlp_core::aggregate::Sketch;
use otlp_core::finding::Subject;
use otlp_core::view::{KeyValueView, MetricDataView, MetricView, MetricsView};
use otlp_core::{Result, UnixNanos, semconv};

use super::setters;
use super::window::{Frame, Outside, Windows, frame_setters};
use crate::number::{ratio, to_f64};
use stream::{Growth, Reading, Stream};

/// How long windows are and how much is held.
///
/// ```
/// use std::time::Duration;
/// use otlp_anomaly::feature::MetricFeatureConfig;
/// let features = MetricFeatureConfig::new().window(Duration::from_secs(30)).max_streams(500).build()?;
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetricFeatureConfig {
    frame: Frame,
    max_metrics: usize,
    max_streams: usize,
    max_buckets: usize,
    forget_after: u64,
}

impl MetricFeatureConfig {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            frame: Frame::DEFAULT,
            max_metrics: 1_000,
            max_streams: 10_000,
            max_buckets: 320,
            forget_after: 1_440,
        }
    }

    frame_setters! { "point" }

    setters! {
        max_metrics: usize = "Sets the most metrics over all services; default 1,000.";
        max_streams: usize = "Sets the most streams over all metrics, one for each set of attributes; default 10,000.";
        max_buckets: usize = "Sets the most buckets of a histogram that is read; default 320.";
        forget_after: u64 = "Sets after how many silent windows a metric is forgotten; default 1,440.";
    }

    /// Makes the feature windows.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](otlp_core::ErrorKind::Config) where the window is shorter than a millisecond or longer than a week, or where
    /// lateness and reach ahead span more than 100,000 windows.
    pub fn build(self) -> Result<MetricFeatures> {
        self.frame.check()?;
        Ok(MetricFeatures {
            windows: Windows::new(self.frame),
            config: self,
            metrics: BTreeMap::new(),
            count: 0,
            streams: 0,
            made: 0,
            closed: Vec::new(),
            stats: MetricFeatureStats::default(),
        })
    }
}

impl Default for MetricFeatureConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// What one metric of one service did in one window, over all its streams.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MetricRow {
    /// About whom: a [`Subject::Metric`].
    pub subject: Subject,
    /// When the window begins.
    pub start: UnixNanos,
    /// How long it is.
    pub window: Duration,
    /// Points that were taken; without any the row is a [gap](Self::is_gap), as it is where a cumulative stream has but its first one.
    pub points: u64,
    /// Mean, least and most of the values, for what goes up and down.
    pub level: Option<Level>,
    /// By how much sums grew, or how many measurements histograms took, over all streams; zero is a fact.
    pub growth: Option<f64>,
    /// The measurements of histograms, as good as their buckets are; those below zero are not in it.
    pub measured: Sketch,
    /// The sum of these measurements, where the source told it.
    pub measured_sum: Option<f64>,
    /// Counters that began anew.
    pub resets: u64,
    /// True where the window may hold less than happened in it: the first one of this metric, and those that
    /// [`MetricFeatures::flush`] closed before their time.
    pub is_partial: bool,
}

/// Values of what goes up and down.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Level {
    /// Their mean.
    pub mean: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl MetricRow {
    /// True where nothing was told about this window, which says nothing about what happened.
    #[must_use]
    pub const fn is_gap(&self) -> bool {
        self.points == 0
    }

    /// Growth a second; nothing for a gap and for what goes up and down.
    #[must_use]
    pub fn rate_per_sec(&self) -> Option<f64> {
        self.growth.map(|growth| ratio(growth, self.window.as_secs_f64()))
    }

    /// The one number of the row to watch: the mean of what goes up and down, the rate of what grows.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        self.level.map(|level| level.mean).or_else(|| self.rate_per_sec())
    }
}

/// The account of [`MetricFeatures`]: every point offered is in exactly one of the first nine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct MetricFeatureStats {
    /// Points that went into a row.
    pub observed: u64,
    /// First points of cumulative streams, from which the next ones are counted.
    pub baselines: u64,
    /// Points that say that nothing was recorded.
    pub not_recorded: u64,
    /// Points that are malformed, without value, temporality or time, not a number, or with too many buckets.
    pub unusable: u64,
    /// Points whose window was closed.
    pub late: u64,
    /// Points further ahead than may be believed.
    pub ahead: u64,
    /// Points of a stream not later than its last one, where that was to be counted from.
    pub repeated: u64,
    /// Points whose metric or stream would have been one too many.
    pub full: u64,
    /// Points of summaries, whose quantiles cannot be put together.
    pub summaries: u64,
    /// Groups and metrics that are malformed as a whole, however many points they had.
    pub malformed: u64,
    /// Cumulative streams that began anew.
    pub resets: u64,
    /// Empty windows that were not reported, in gaps longer than the bound.
    pub skipped_windows: u64,
    /// Metrics forgotten after a long silence.
    pub forgotten: u64,
}

/// Why a point made it into no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skipped {
    Baseline,
    NotRecorded,
    Unusable,
    Late,
    Ahead,
    Repeated,
    Full,
}

impl From<Outside> for Skipped {
    fn from(outside: Outside) -> Self {
        match outside {
            Outside::Untimed => Self::Unusable,
            Outside::Late => Self::Late,
            Outside::Ahead => Self::Ahead,
        }
    }
}

/// Cuts the stream of metric points into windows.
///
/// Streams of a metric, which differ by attributes, are followed each by itself and put together in the row of the
/// metric. Monotonic sums give what they grew by, delta ones in the window of their end; a sum that falls, or says
/// that it started later, began anew and counts from zero. Sums that are not monotonic go up and down: as they stand
/// where they are cumulative, as what they changed by where they are delta. Histograms of both kinds give the measurements that they took.
/// The first cumulative point of a stream counts only where it says that it started in the same window.
///
/// Attributes that are lists or maps tell streams apart by their lengths only.
///
/// ```
/// use std::time::Duration;
/// use otlp_anomaly::feature::MetricFeatureConfig;
/// use otlp_core::encode::Encode as _;
/// use otlp_core::record::{
///     Gauge, Metric, MetricData, MetricsRequest, NumberPoint, NumberValue, Resource, ResourceMetrics, ScopeMetrics,
/// };
/// use otlp_core::view::MetricsView;
/// use otlp_core::{Limits, UnixNanos};
///
/// let point = |secs, value| NumberPoint {
///     time: UnixNanos::from_secs(secs),
///     value: Some(NumberValue::Double(value)),
///     ..NumberPoint::default()
/// };
/// let data = Some(MetricData::Gauge(Gauge { points: vec![point(61, 0.5), point(70, 0.7)] }));
/// let metrics = vec![Metric { name: "cpu".into(), data, ..Metric::default() }];
/// let request = MetricsRequest {
///     resources: vec![ResourceMetrics {
///         resource: Resource::service("shop"),
///         scopes: vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }],
///         ..ResourceMetrics::default()
///     }],
/// };
/// let (bytes, limits) = (request.encode_to_bytes(), Limits::default());
/// let mut features = MetricFeatureConfig::new().window(Duration::from_secs(60)).build()?;
/// features.observe_request(&MetricsView::parse(&bytes, &limits)?);
/// let rows = features.flush();
/// assert_eq!((rows.len(), rows[0].points), (1, 2));
/// assert!((rows[0].value().unwrap_or_default() - 0.6).abs() < 1e-9);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MetricFeatures {
    config: MetricFeatureConfig,
    /// By service, then by name: the order in which rows come.
    metrics: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Known>>,
    count: usize,
    streams: usize,
    /// Metrics there ever were: what the next one is known by in windows.
    made: u64,
    windows: Windows<u64, Cell>,
    closed: Vec<MetricRow>,
    stats: MetricFeatureStats,
}

#[derive(Debug)]
struct Known {
    id: u64,
    first: u64,
    last_heard: u64,
    streams: HashMap<u64, Stream>,
}

/// What a metric did in a window so far.
#[derive(Debug, Default)]
struct Cell {
    points: u64,
    levels: u64,
    sum: f64,
    range: Option<(f64, f64)>,
    growth: Option<f64>,
    measured: Sketch,
    measured_sum: Option<f64>,
    resets: u64,
}

impl MetricFeatures {
    /// Takes all points of a request, each for the `service.name` of its resource; without one, for the empty name.
    ///
    /// A group that is malformed is left out and counted in the [`stats`](Self::stats); the others are taken.
    pub fn observe_request(&mut self, request: &MetricsView<'_>) {
        for resource in request.resources() {
            let Ok(resource) = resource else {
                self.stats.malformed += 1;
                continue;
            };
            let named = |attribute: &KeyValueView<'_>| attribute.key() == semconv::SERVICE_NAME;
            let group = resource.resource();
            let name = group.attributes().flatten().find(named).map(|attribute| attribute.value());
            let service = name.and_then(|name| name.as_str()).unwrap_or_default();
            for scope in resource.scopes() {
                let Ok(scope) = scope else {
                    self.stats.malformed += 1;
                    continue;
                };
                for metric in scope.metrics() {
                    match metric {
                        Ok(metric) => self.observe(service, &metric),
                        Err(_) => self.stats.malformed += 1,
                    }
                }
            }
        }
    }

    /// Takes all points of a metric that ran in `service`; what cannot be taken is counted in the [`stats`](Self::stats).
    ///
    /// A point costs three look-ups, and for a histogram O(buckets); nothing is copied but the buckets of cumulative ones.
    pub fn observe(&mut self, service: &str, metric: &MetricView<'_>) {
        let name = metric.name();
        match metric.data() {
            Some(MetricDataView::Gauge(gauge)) => {
                gauge.points().for_each(|point| self.take(service, name, Reading::of_gauge(point)));
            }
            Some(MetricDataView::Sum(sum)) => {
                let kind = (sum.temporality(), sum.is_monotonic());
                sum.points().for_each(|point| self.take(service, name, Reading::of_sum(point, kind)));
            }
            Some(MetricDataView::Histogram(histogram)) => {
                let (kind, most) = (histogram.temporality(), self.config.max_buckets);
                histogram
                    .points()
                    .for_each(|point| self.take(service, name, Reading::of_histogram(point, kind, most)));
            }
            Some(MetricDataView::ExponentialHistogram(histogram)) => {
                let (kind, most) = (histogram.temporality(), self.config.max_buckets);
                histogram
                    .points()
                    .for_each(|point| self.take(service, name, Reading::of_exponential(point, kind, most)));
            }
            Some(MetricDataView::Summary(summary)) => {
                self.stats.summaries += u64::try_from(summary.points().len()).unwrap_or(u64::MAX);
            }
            _ => {}
        }
    }

    /// Tells that it is `now`, so that windows close although nothing comes.
    pub fn advance(&mut self, now: UnixNanos) {
        self.windows.reach(now);
        self.close_due();
    }

    /// Takes the rows of windows that closed, by time, then service, then name.
    pub fn take_closed(&mut self) -> Vec<MetricRow> {
        std::mem::take(&mut self.closed)
    }

    /// Closes every window that holds something, due or not, and takes the rows; those not due are partial.
    pub fn flush(&mut self) -> Vec<MetricRow> {
        while let Some(index) = self.windows.first() {
            self.close(index, true);
        }
        self.take_closed()
    }

    /// The account so far.
    #[must_use]
    pub const fn stats(&self) -> MetricFeatureStats {
        self.stats
    }

    fn take(&mut self, service: &str, name: &str, reading: Result<Reading, Skipped>) {
        let taken = reading.and_then(|reading| self.put(service, name, reading));
        let counter = match taken {
            Ok(()) => &mut self.stats.observed,
            Err(Skipped::Baseline) => &mut self.stats.baselines,
            Err(Skipped::NotRecorded) => &mut self.stats.not_recorded,
            Err(Skipped::Unusable) => &mut self.stats.unusable,
            Err(Skipped::Late) => &mut self.stats.late,
            Err(Skipped::Ahead) => &mut self.stats.ahead,
            Err(Skipped::Repeated) => &mut self.stats.repeated,
            Err(Skipped::Full) => &mut self.stats.full,
        };
        *counter += 1;
    }

    fn put(&mut self, service: &str, name: &str, reading: Reading) -> Result<(), Skipped> {
        let time = reading.time;
        let window = self.windows.of(time)?;
        let is_young = self.windows.index(reading.start) == window && reading.start > UnixNanos::ZERO;
        let id = self.known(service, name, window)?;
        let growth = self.grow(service, name, (reading, is_young))?;
        let was_reset = u64::from(growth.was_reset);
        self.stats.resets += was_reset;
        let cell = self.windows.cell(window, id);
        cell.resets += was_reset;
        cell.add(growth);
        if self.windows.reach(time) {
            self.close_due();
        }
        Ok(())
    }

    /// The metric by its number, made where there is room.
    fn known(&mut self, service: &str, name: &str, window: u64) -> Result<u64, Skipped> {
        if let Some(known) = self.metrics.get_mut(service).and_then(|metrics| metrics.get_mut(name)) {
            known.first = known.first.min(window);
            known.last_heard = known.last_heard.max(window);
            return Ok(known.id);
        }
        if self.count >= self.config.max_metrics || self.streams >= self.config.max_streams {
            return Err(Skipped::Full);
        }
        let id = self.made;
        let known = Known { id, first: window, last_heard: window, streams: HashMap::new() };
        self.metrics.entry(service.into()).or_default().insert(name.into(), known);
        self.count += 1;
        self.made += 1;
        Ok(id)
    }

    /// What the stream of a point grew by.
    fn grow(&mut self, service: &str, name: &str, point: (Reading, bool)) -> Result<Growth, Skipped> {
        let (reading, is_young) = point;
        let Some(known) = self.metrics.get_mut(service).and_then(|metrics| metrics.get_mut(name)) else {
            return Err(Skipped::Full);
        };
        if !known.streams.contains_key(&reading.identity) {
            if self.streams >= self.config.max_streams {
                return Err(Skipped::Full);
            }
            self.streams += 1;
        }
        let stream = known.streams.entry(reading.identity).or_default();
        stream.grow(reading, is_young)
    }

    fn close_due(&mut self) {
        let mut empty = 0;
        while let Some(index) = self.windows.due(&mut empty, &mut self.stats.skipped_windows) {
            self.close(index, false);
        }
    }

    fn close(&mut self, index: u64, early: bool) {
        let (start, window, mut cells) = self.windows.close(index);
        for (service, metrics) in &self.metrics {
            for (name, known) in metrics.iter().filter(|(_, known)| known.first <= index) {
                let subject = Subject::Metric { service: service.to_string(), name: name.to_string() };
                let cell = cells.remove(&known.id).unwrap_or_default();
                let is_partial = early || known.first == index;
                self.closed.push(cell.row(subject, (start, window), is_partial));
            }
        }
        self.forget_silent(index);
    }

    fn forget_silent(&mut self, index: u64) {
        let silent_before = index.saturating_sub(self.config.forget_after);
        let (count, streams, stats) = (&mut self.count, &mut self.streams, &mut self.stats);
        self.metrics.retain(|_, metrics| {
            metrics.retain(|_, known| {
                let is_kept = known.last_heard >= silent_before;
                if !is_kept {
                    *count -= 1;
                    *streams -= known.streams.len();
                    stats.forgotten += 1;
                }
                is_kept
            });
            !metrics.is_empty()
        });
    }
}

impl Cell {
    fn add(&mut self, growth: Growth) {
        self.points += 1;
        if let Some(level) = growth.level {
            self.levels += 1;
            self.sum += (level - self.sum) / to_f64(self.levels);
            let (min, max) = self.range.unwrap_or((level, level));
            self.range = Some((min.min(level), max.max(level)));
        }
        if let Some(grown) = growth.grown {
            self.growth = Some(self.growth.unwrap_or_default() + grown);
        }
        if let Some(sum) = growth.measured_sum {
            self.measured_sum = Some(self.measured_sum.unwrap_or_default() + sum);
        }
        growth.measured.into_iter().for_each(|(value, times)| _ = self.measured.add_many(value, times));
    }

    fn row(self, subject: Subject, (start, window): (UnixNanos, Duration), is_partial: bool) -> MetricRow {
        let level = self.range.map(|(min, max)| Level { mean: self.sum.clamp(min, max), min, max });
        MetricRow {
            subject,
            start,
            window,
            points: self.points,
            level,
            growth: self.growth.filter(|growth| growth.is_finite()),
            measured: self.measured,
            measured_sum: self.measured_sum.filter(|sum| sum.is_finite()),
            resets: self.resets,
            is_partial,
        }
    }
}
