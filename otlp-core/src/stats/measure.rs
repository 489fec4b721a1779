//! Figures on their way out: named, with units and attributes, as OTLP metrics or OpenMetrics text.

use super::durations::Durations;
use super::openmetrics;
use crate::UnixNanos;
use crate::record::{
    Gauge, Histogram, HistogramPoint, KeyValue, Metric, MetricData, NumberPoint, NumberValue, Sum,
    Temporality,
};

/// What a figure is called, what it is counted in, and what it says.
///
/// ```
/// use otlp_core::stats::Instrument;
/// const LOST: Instrument = Instrument::new("shop.orders.lost", "{order}", "Orders that were not booked.");
/// assert_eq!(LOST.name, "shop.orders.lost");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Instrument {
    /// Words with dots between, as OpenTelemetry names metrics. One kind of figure for each name.
    pub name: &'static str,
    /// The unit in UCUM notation: `s`, `By`, `{record}`.
    pub unit: &'static str,
    /// One sentence.
    pub description: &'static str,
}

impl Instrument {
    /// Names a figure.
    #[must_use]
    pub const fn new(name: &'static str, unit: &'static str, description: &'static str) -> Self {
        Self { name, unit, description }
    }
}

/// Whatever counts something and can say so by name. Every `Stats` of the suite does.
///
/// ```
/// use otlp_core::UnixNanos;
/// use otlp_core::stats::{Measure, Stats};
///
/// let stats = Stats { accepted: 10, exported: 7, rejected: 1, dropped: 2, queued: 0 };
/// let (start, now) = (UnixNanos::from_secs(100), UnixNanos::from_secs(160));
/// let metrics = stats.to_metrics(start, now);
/// assert!(metrics.iter().any(|metric| metric.name == "otlp.records.lost"));
///
/// let mut text = String::new();
/// stats.write_openmetrics(&mut text);
/// assert!(text.contains("otlp_records_lost_total 3\n") && text.ends_with("# EOF\n"));
/// ```
pub trait Measure {
    /// Hands over its figures.
    fn measure(&self, into: &mut Measurements);

    /// Its figures as OTLP metrics at `now`: sums are cumulative since `start`, when it began to count.
    fn to_metrics(&self, start: UnixNanos, now: UnixNanos) -> Vec<Metric> {
        Measurements::of(self).to_metrics(start, now)
    }

    /// Appends its figures as a whole exposition of OpenMetrics 1.0 text, which Prometheus scrapes; see
    /// [`OPENMETRICS_CONTENT_TYPE`](super::OPENMETRICS_CONTENT_TYPE).
    fn write_openmetrics(&self, out: &mut String) {
        Measurements::of(self).write_openmetrics(out);
    }
}

/// Figures of one or more sources, gathered by name.
///
/// Of two figures with the same name and attributes the sum is kept; tell sources apart by attributes of their
/// own.
///
/// ```
/// use otlp_core::stats::{Measurements, Stats};
/// let (primary, archive) = (Stats::default(), Stats::default());
/// let mut all = Measurements::default();
/// all.add(&[("destination", "primary")], &primary);
/// all.add(&[("destination", "archive")], &archive);
/// let mut text = String::new();
/// all.write_openmetrics(&mut text);
/// assert!(text.contains("otlp_records_exported_total{destination=\"archive\"} 0\n"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Measurements {
    pub(super) families: Vec<Family>,
    /// Attributes of the source that is being added.
    common: Vec<(String, String)>,
}

/// The figures of one name.
#[derive(Debug, Clone)]
pub(super) struct Family {
    pub(super) instrument: Instrument,
    pub(super) points: Vec<Point>,
}

#[derive(Debug, Clone)]
pub(super) struct Point {
    pub(super) attributes: Vec<(String, String)>,
    pub(super) figure: Figure,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Figure {
    Counter(u64),
    Gauge(u64),
    Durations(Durations),
}

impl Figure {
    const fn is_like(&self, other: &Self) -> bool {
        matches!(
            (self, other),
            (Self::Counter(_), Self::Counter(_))
                | (Self::Gauge(_), Self::Gauge(_))
                | (Self::Durations(_), Self::Durations(_))
        )
    }

    fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Counter(sum), Self::Counter(more)) | (Self::Gauge(sum), Self::Gauge(more)) => {
                *sum = sum.saturating_add(*more);
            }
            (Self::Durations(sum), Self::Durations(more)) => sum.merge(more),
            _ => {}
        }
    }
}

impl Measurements {
    /// The figures of one source.
    pub fn of(source: &(impl Measure + ?Sized)) -> Self {
        let mut all = Self::default();
        source.measure(&mut all);
        all
    }

    /// Adds the figures of a source, each with these attributes before its own.
    pub fn add(&mut self, attributes: &[(&str, &str)], source: &(impl Measure + ?Sized)) {
        let outer = self.common.len();
        self.common.extend(owned(attributes));
        source.measure(self);
        self.common.truncate(outer);
    }

    /// Adds a count that never falls.
    pub fn counter(&mut self, instrument: &Instrument, attributes: &[(&str, &str)], value: u64) {
        self.put(instrument, attributes, Figure::Counter(value));
    }

    /// Adds a figure that goes up and down.
    pub fn gauge(&mut self, instrument: &Instrument, attributes: &[(&str, &str)], value: u64) {
        self.put(instrument, attributes, Figure::Gauge(value));
    }

    /// Adds a histogram of durations; the instrument's unit is `s`.
    pub fn durations(&mut self, instrument: &Instrument, attributes: &[(&str, &str)], value: &Durations) {
        self.put(instrument, attributes, Figure::Durations(*value));
    }

    /// The figures as OTLP metrics, in the order in which their names were first met. Cumulative since `start`.
    #[must_use]
    pub fn to_metrics(&self, start: UnixNanos, now: UnixNanos) -> Vec<Metric> {
        self.families.iter().map(|family| family.to_metric(start, now)).collect()
    }

    /// Appends the figures as a whole exposition of OpenMetrics 1.0 text. Names and units are written as the
    /// OpenTelemetry specification maps them: `otlp.attempt.duration` in `s` is `otlp_attempt_duration_seconds`.
    pub fn write_openmetrics(&self, out: &mut String) {
        openmetrics::write(&self.families, out);
    }

    fn put(&mut self, instrument: &Instrument, attributes: &[(&str, &str)], figure: Figure) {
        let attributes: Vec<_> = self.common.iter().cloned().chain(owned(attributes)).collect();
        let family = self.families.iter_mut().find(|family| family.instrument.name == instrument.name);
        let Some(family) = family else {
            let points = vec![Point { attributes, figure }];
            self.families.push(Family { instrument: *instrument, points });
            return;
        };
        let like = family.points.first().is_none_or(|first| first.figure.is_like(&figure));
        debug_assert!(like, "one kind of figure for each name: {}", instrument.name);
        match family.points.iter_mut().find(|point| point.attributes == attributes) {
            Some(same) => same.figure.merge(&figure),
            // A second kind under one name would make the text invalid.
            None if like => family.points.push(Point { attributes, figure }),
            None => {}
        }
    }
}

fn owned<'a>(attributes: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = (String, String)> + 'a {
    attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
}

impl Family {
    fn to_metric(&self, start: UnixNanos, now: UnixNanos) -> Metric {
        let numbers = |start: UnixNanos| -> Vec<NumberPoint> {
            self.points.iter().filter_map(|point| point.to_number(start, now)).collect()
        };
        let temporality = Temporality::Cumulative;
        let data = match self.points.first().map(|point| point.figure) {
            None => None,
            Some(Figure::Counter(_)) => {
                Some(MetricData::Sum(Sum { points: numbers(start), temporality, is_monotonic: true }))
            }
            Some(Figure::Gauge(_)) => Some(MetricData::Gauge(Gauge { points: numbers(UnixNanos::ZERO) })),
            Some(Figure::Durations(_)) => {
                let points = self.points.iter().filter_map(|point| point.to_histogram(start, now)).collect();
                Some(MetricData::Histogram(Histogram { points, temporality }))
            }
        };
        let Instrument { name, unit, description } = self.instrument;
        Metric {
            name: name.to_owned(),
            description: description.to_owned(),
            unit: unit.to_owned(),
            data,
            ..Metric::default()
        }
    }
}

impl Point {
    fn key_values(&self) -> Vec<KeyValue> {
        self.attributes.iter().map(|(key, value)| KeyValue::new(key.as_str(), value.as_str())).collect()
    }

    fn to_number(&self, start: UnixNanos, now: UnixNanos) -> Option<NumberPoint> {
        let (Figure::Counter(value) | Figure::Gauge(value)) = self.figure else { return None };
        // OTLP's whole numbers have a sign.
        let value = NumberValue::Int(i64::try_from(value).unwrap_or(i64::MAX));
        let attributes = self.key_values();
        Some(NumberPoint { attributes, start, time: now, value: Some(value), ..NumberPoint::default() })
    }

    fn to_histogram(&self, start: UnixNanos, now: UnixNanos) -> Option<HistogramPoint> {
        let Figure::Durations(durations) = self.figure else { return None };
        Some(HistogramPoint {
            attributes: self.key_values(),
            start,
            time: now,
            count: durations.count(),
            sum: Some(durations.sum().as_secs_f64()),
            bucket_counts: durations.buckets().map(|(_, count)| count).collect(),
            explicit_bounds: durations
                .buckets()
                .filter_map(|(bound, _)| Some(bound?.as_secs_f64()))
                .collect(),
            ..HistogramPoint::default()
        })
    }
}
