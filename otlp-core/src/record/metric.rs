//! Metrics: five kinds of data and their points.

use super::attribute::KeyValue;
use super::span::wire_enum;
use crate::{SpanId, TraceId, UnixNanos};

/// One metric with its points.
///
/// ```
/// use otlp_core::record::{Metric, MetricData, NumberPoint, NumberValue, Sum, Temporality};
/// let point = NumberPoint { value: Some(NumberValue::Int(42)), ..NumberPoint::default() };
/// let sum = Sum { points: vec![point], temporality: Temporality::Cumulative, is_monotonic: true };
/// let metric = Metric { name: "orders".into(), data: Some(MetricData::Sum(sum)), ..Metric::default() };
/// assert!(matches!(metric.data, Some(MetricData::Sum(sum)) if sum.is_monotonic));
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// What it says.
    pub description: String,
    /// Unit in UCUM notation.
    pub unit: String,
    /// The points; `None` where the sender left them out.
    pub data: Option<MetricData>,
    /// Attributes of the metric as a whole.
    pub metadata: Vec<KeyValue>,
}

/// The points, by kind.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum MetricData {
    /// A value that goes up and down.
    Gauge(Gauge),
    /// A sum over time.
    Sum(Sum),
    /// Counts in explicit buckets.
    Histogram(Histogram),
    /// Counts in buckets of exponential width.
    ExponentialHistogram(ExponentialHistogram),
    /// Quantiles computed by the source (legacy).
    Summary(Summary),
}

wire_enum! {
    /// What the start time of a point means.
    Temporality {
        /// Not said.
        #[default]
        Unspecified = 0,
        /// Since the last report.
        Delta = 1,
        /// Since a fixed start.
        Cumulative = 2,
    }
}

/// Points of a value that goes up and down.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Gauge {
    /// The points.
    pub points: Vec<NumberPoint>,
}

/// Points of a sum.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sum {
    /// The points.
    pub points: Vec<NumberPoint>,
    /// Delta or cumulative.
    pub temporality: Temporality,
    /// True where the sum never falls.
    pub is_monotonic: bool,
}

/// Points of an explicit-bucket histogram.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    /// The points.
    pub points: Vec<HistogramPoint>,
    /// Delta or cumulative.
    pub temporality: Temporality,
}

/// Points of an exponential histogram.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExponentialHistogram {
    /// The points.
    pub points: Vec<ExponentialHistogramPoint>,
    /// Delta or cumulative.
    pub temporality: Temporality,
}

/// Points of a summary.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// The points.
    pub points: Vec<SummaryPoint>,
}

/// A number, whole or not.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "complete: OTLP numbers are one of the two")]
pub enum NumberValue {
    /// A double.
    Double(f64),
    /// A signed 64-bit number.
    Int(i64),
}

impl NumberValue {
    /// The value as a double; loses precision above 2^53.
    ///
    /// ```
    /// use otlp_core::record::NumberValue;
    /// assert_eq!(NumberValue::Int(-3).as_f64(), -3.0);
    /// assert_eq!(NumberValue::Double(0.5).as_f64(), 0.5);
    /// ```
    #[must_use]
    pub const fn as_f64(self) -> f64 {
        match self {
            Self::Double(value) => value,
            Self::Int(value) => value as f64,
        }
    }
}

/// One value at one time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NumberPoint {
    /// What distinguishes this stream.
    pub attributes: Vec<KeyValue>,
    /// Begin of the interval, where there is one.
    pub start: UnixNanos,
    /// When the value held.
    pub time: UnixNanos,
    /// The value; `None` with the "no recorded value" flag.
    pub value: Option<NumberValue>,
    /// Example measurements.
    pub exemplars: Vec<Exemplar>,
    /// Bit 0: no recorded value.
    pub flags: u32,
}

/// One explicit-bucket histogram at one time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HistogramPoint {
    /// What distinguishes this stream.
    pub attributes: Vec<KeyValue>,
    /// Begin of the interval.
    pub start: UnixNanos,
    /// End of the interval.
    pub time: UnixNanos,
    /// Count of measurements.
    pub count: u64,
    /// Sum of measurements.
    pub sum: Option<f64>,
    /// Counts per bucket: one more than the bounds, or empty.
    pub bucket_counts: Vec<u64>,
    /// Upper bounds, ascending, inclusive.
    pub explicit_bounds: Vec<f64>,
    /// Example measurements.
    pub exemplars: Vec<Exemplar>,
    /// Bit 0: no recorded value.
    pub flags: u32,
    /// Least measurement.
    pub min: Option<f64>,
    /// Greatest measurement.
    pub max: Option<f64>,
}

/// One exponential histogram at one time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExponentialHistogramPoint {
    /// What distinguishes this stream.
    pub attributes: Vec<KeyValue>,
    /// Begin of the interval.
    pub start: UnixNanos,
    /// End of the interval.
    pub time: UnixNanos,
    /// Count of measurements.
    pub count: u64,
    /// Sum of measurements.
    pub sum: Option<f64>,
    /// Resolution: bucket bounds are powers of 2^(2^-scale).
    pub scale: i32,
    /// Count of measurements within the zero threshold.
    pub zero_count: u64,
    /// Buckets above zero.
    pub positive: Option<Buckets>,
    /// Buckets below zero.
    pub negative: Option<Buckets>,
    /// Bit 0: no recorded value.
    pub flags: u32,
    /// Example measurements.
    pub exemplars: Vec<Exemplar>,
    /// Least measurement.
    pub min: Option<f64>,
    /// Greatest measurement.
    pub max: Option<f64>,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
}

/// A run of exponential buckets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Buckets {
    /// Index of the first bucket.
    pub offset: i32,
    /// Counts from there on.
    pub counts: Vec<u64>,
}

/// One summary at one time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SummaryPoint {
    /// What distinguishes this stream.
    pub attributes: Vec<KeyValue>,
    /// Begin of the interval.
    pub start: UnixNanos,
    /// End of the interval.
    pub time: UnixNanos,
    /// Count of measurements.
    pub count: u64,
    /// Sum of measurements.
    pub sum: f64,
    /// Quantiles.
    pub quantiles: Vec<Quantile>,
    /// Bit 0: no recorded value.
    pub flags: u32,
}

/// A quantile and its value.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Quantile {
    /// 0 to 1.
    pub quantile: f64,
    /// The value there.
    pub value: f64,
}

/// An example measurement, linked to the trace it was made in.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Exemplar {
    /// Attributes of the measurement that the point does not carry.
    pub filtered_attributes: Vec<KeyValue>,
    /// When it was made.
    pub time: UnixNanos,
    /// The value.
    pub value: Option<NumberValue>,
    /// The span it was made in, or [`SpanId::INVALID`].
    pub span_id: SpanId,
    /// The trace it was made in, or [`TraceId::INVALID`].
    pub trace_id: TraceId,
}
