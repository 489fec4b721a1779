//! Metrics: gauges, sums, histograms and exponential histograms of every type of number.

use std::time::SystemTime;

use opentelemetry::{KeyValue, SpanId, TraceId};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::{
    AggregatedMetrics, Exemplar, ExponentialBucket, ExponentialHistogram, ExponentialHistogramDataPoint,
    Gauge, GaugeDataPoint, Histogram, HistogramDataPoint, Metric, MetricData, ResourceMetrics, ScopeMetrics,
    Sum, SumDataPoint,
};

use super::attribute::{attribute, backwards, encode_resource, encode_scope, text};
use crate::UnixNanos;
use crate::record::NumberValue;
use crate::wire::{Writer, zigzag_encode};

/// Encodes what the SDK's metric readers collect.
///
/// ```
/// use opentelemetry_sdk::metrics::data::ResourceMetrics;
/// use otlp_core::Limits;
/// use otlp_core::interop::sdk::MetricEncoder;
/// use otlp_core::view::MetricsView;
/// use otlp_core::wire::Writer;
///
/// let (mut encoder, mut writer) = (MetricEncoder::new(), Writer::new());
/// encoder.encode(&ResourceMetrics::default(), &mut writer);
/// assert_eq!(MetricsView::parse(writer.as_slice(), &Limits::DEFAULT)?.resources().len(), 1);
/// # Ok::<(), otlp_core::DecodeError>(())
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct MetricEncoder {}

impl MetricEncoder {
    /// An encoder.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }

    /// Puts an export request with these metrics in front of what `writer` holds. O(encoded bytes), and
    /// nothing is allocated once the writer has grown.
    ///
    /// Where a sum or gauge of `u64` passes `i64::MAX`, the most that OTLP has room for, that is sent.
    pub fn encode(&mut self, metrics: &ResourceMetrics, writer: &mut Writer) {
        let resource = metrics.resource();
        writer.message(1, |group| {
            text(group, 3, resource.schema_url().unwrap_or_default());
            backwards(|| metrics.scope_metrics(), |scope| encode_scope_metrics(group, scope));
            group.message(1, |inner| encode_resource(inner, resource));
        });
    }
}

/// How many points there are.
#[cfg(feature = "http")]
pub(super) fn points(metrics: &ResourceMetrics) -> usize {
    fn of<T>(data: &MetricData<T>) -> usize {
        match data {
            MetricData::Gauge(gauge) => gauge.data_points().count(),
            MetricData::Sum(sum) => sum.data_points().count(),
            MetricData::Histogram(data) => data.data_points().count(),
            MetricData::ExponentialHistogram(data) => data.data_points().count(),
        }
    }
    let metrics = metrics.scope_metrics().flat_map(ScopeMetrics::metrics);
    let points = metrics.map(|metric| match metric.data() {
        AggregatedMetrics::F64(data) => of(data),
        AggregatedMetrics::U64(data) => of(data),
        AggregatedMetrics::I64(data) => of(data),
    });
    points.sum()
}

fn encode_scope_metrics(writer: &mut Writer, metrics: &ScopeMetrics) {
    let scope = metrics.scope();
    writer.message(2, |group| {
        text(group, 3, scope.schema_url().unwrap_or_default());
        backwards(|| metrics.metrics(), |metric| group.message(2, |inner| encode_metric(inner, metric)));
        group.message(1, |inner| encode_scope(inner, scope));
    });
}

fn encode_metric(writer: &mut Writer, metric: &Metric) {
    match metric.data() {
        AggregatedMetrics::F64(data) => encode_data(writer, data),
        AggregatedMetrics::U64(data) => encode_data(writer, data),
        AggregatedMetrics::I64(data) => encode_data(writer, data),
    }
    text(writer, 3, metric.unit());
    text(writer, 2, metric.description());
    text(writer, 1, metric.name());
}

fn encode_data<T: Number>(writer: &mut Writer, data: &MetricData<T>) {
    match data {
        MetricData::Gauge(gauge) => writer.message(5, |inner| encode_gauge(inner, gauge)),
        MetricData::Sum(sum) => writer.message(7, |inner| encode_sum(inner, sum)),
        MetricData::Histogram(data) => writer.message(9, |inner| encode_histogram(inner, data)),
        MetricData::ExponentialHistogram(data) => {
            writer.message(10, |inner| encode_exponential_histogram(inner, data));
        }
    }
}

fn encode_gauge<T: Number>(writer: &mut Writer, gauge: &Gauge<T>) {
    let start = gauge.start_time().map_or(UnixNanos::ZERO, UnixNanos::from);
    let interval = Interval { start, end: gauge.time().into() };
    list(writer, 1, || gauge.data_points(), |inner, point| encode_number_point(inner, point, interval));
}

fn encode_sum<T: Number>(writer: &mut Writer, sum: &Sum<T>) {
    let interval = Interval::new(sum.start_time(), sum.time());
    if sum.is_monotonic() {
        writer.varint(3, 1);
    }
    writer.varint(2, temporality(sum.temporality()));
    list(writer, 1, || sum.data_points(), |inner, point| encode_number_point(inner, point, interval));
}

fn encode_histogram<T: Number>(writer: &mut Writer, data: &Histogram<T>) {
    let interval = Interval::new(data.start_time(), data.time());
    writer.varint(2, temporality(data.temporality()));
    list(writer, 1, || data.data_points(), |inner, point| encode_histogram_point(inner, point, interval));
}

fn encode_exponential_histogram<T: Number>(writer: &mut Writer, data: &ExponentialHistogram<T>) {
    let interval = Interval::new(data.start_time(), data.time());
    writer.varint(2, temporality(data.temporality()));
    list(writer, 1, || data.data_points(), |inner, point| encode_exponential_point(inner, point, interval));
}

/// The time that all points of a metric share.
#[derive(Clone, Copy)]
struct Interval {
    start: UnixNanos,
    end: UnixNanos,
}

impl Interval {
    fn new(start: SystemTime, end: SystemTime) -> Self {
        Self { start: start.into(), end: end.into() }
    }

    /// Every kind of point has the end in field 3 and the start in field 2.
    #[inline]
    fn encode(self, writer: &mut Writer) {
        fixed64(writer, 3, self.end.0);
        fixed64(writer, 2, self.start.0);
    }
}

/// The types of number that the SDK aggregates.
trait Number: Copy {
    fn to_value(self) -> NumberValue;
    fn to_f64(self) -> f64;
}

impl Number for f64 {
    fn to_value(self) -> NumberValue {
        NumberValue::Double(self)
    }

    fn to_f64(self) -> f64 {
        self
    }
}

impl Number for i64 {
    fn to_value(self) -> NumberValue {
        NumberValue::Int(self)
    }

    fn to_f64(self) -> f64 {
        self as f64
    }
}

impl Number for u64 {
    fn to_value(self) -> NumberValue {
        NumberValue::Int(i64::try_from(self).unwrap_or(i64::MAX))
    }

    fn to_f64(self) -> f64 {
        self as f64
    }
}

/// A point of a gauge or a sum, which differ by name only.
trait NumberPoint<T> {
    fn attributes(&self) -> impl Iterator<Item = &KeyValue>;
    fn exemplars<'a>(&'a self) -> impl Iterator<Item = &'a Exemplar<T>>
    where
        T: 'a;
    fn value(&self) -> T;
}

macro_rules! number_point {
    ($($point:ident)*) => {
        $(impl<T: Copy> NumberPoint<T> for $point<T> {
            fn attributes(&self) -> impl Iterator<Item = &KeyValue> {
                self.attributes()
            }

            fn exemplars<'a>(&'a self) -> impl Iterator<Item = &'a Exemplar<T>>
            where
                T: 'a,
            {
                self.exemplars()
            }

            fn value(&self) -> T {
                self.value()
            }
        })*
    };
}

number_point!(GaugeDataPoint SumDataPoint);

fn encode_number_point<T: Number>(writer: &mut Writer, point: &impl NumberPoint<T>, interval: Interval) {
    attributes(writer, 7, || point.attributes());
    let value = point.value().to_value();
    if let NumberValue::Int(value) = value {
        writer.fixed64(6, value.cast_unsigned());
    }
    list(writer, 5, || point.exemplars(), encode_exemplar);
    if let NumberValue::Double(value) = value {
        writer.double(4, value);
    }
    interval.encode(writer);
}

fn encode_histogram_point<T: Number>(writer: &mut Writer, point: &HistogramDataPoint<T>, interval: Interval) {
    optional_double(writer, 12, point.max());
    optional_double(writer, 11, point.min());
    attributes(writer, 9, || point.attributes());
    list(writer, 8, || point.exemplars(), encode_exemplar);
    packed(writer, 7, || point.bounds(), |run, bound| run.raw(&bound.to_le_bytes()));
    packed(writer, 6, || point.bucket_counts(), |run, count| run.raw(&count.to_le_bytes()));
    writer.double(5, point.sum().to_f64());
    fixed64(writer, 4, point.count());
    interval.encode(writer);
}

fn encode_exponential_point<T: Number>(
    writer: &mut Writer,
    point: &ExponentialHistogramDataPoint<T>,
    interval: Interval,
) {
    fixed64(writer, 14, point.zero_threshold().to_bits());
    optional_double(writer, 13, point.max());
    optional_double(writer, 12, point.min());
    list(writer, 11, || point.exemplars(), encode_exemplar);
    writer.message(9, |inner| encode_buckets(inner, point.negative_bucket()));
    writer.message(8, |inner| encode_buckets(inner, point.positive_bucket()));
    fixed64(writer, 7, point.zero_count());
    sint32(writer, 6, point.scale().into());
    writer.double(5, point.sum().to_f64());
    fixed64(writer, 4, point.count() as u64);
    interval.encode(writer);
    attributes(writer, 1, || point.attributes());
}

fn encode_buckets(writer: &mut Writer, buckets: &ExponentialBucket) {
    packed(writer, 2, || buckets.counts(), Writer::raw_varint);
    sint32(writer, 1, buckets.offset());
}

fn encode_exemplar<T: Number>(writer: &mut Writer, exemplar: &Exemplar<T>) {
    attributes(writer, 7, || exemplar.filtered_attributes());
    Measurement {
        time: exemplar.time().into(),
        value: exemplar.value.to_value(),
        span_id: exemplar.span_id(),
        trace_id: exemplar.trace_id(),
    }
    .encode(writer);
}

/// An exemplar less its attributes. The SDK lets nobody else make an exemplar, so this is what tests can
/// reach.
struct Measurement<'a> {
    time: UnixNanos,
    value: NumberValue,
    span_id: &'a [u8; 8],
    trace_id: &'a [u8; 16],
}

impl Measurement<'_> {
    fn encode(&self, writer: &mut Writer) {
        if let NumberValue::Int(value) = self.value {
            writer.fixed64(6, value.cast_unsigned());
        }
        // All zero says "in no span", which OTLP says by leaving the field out.
        if *self.trace_id != TraceId::INVALID.to_bytes() {
            writer.bytes(5, self.trace_id);
        }
        if *self.span_id != SpanId::INVALID.to_bytes() {
            writer.bytes(4, self.span_id);
        }
        if let NumberValue::Double(value) = self.value {
            writer.double(3, value);
        }
        fixed64(writer, 2, self.time.0);
    }
}

/// The SDK's other preference, low memory, is for it to choose between these two; what it has not chosen
/// goes out as its default.
const fn temporality(temporality: Temporality) -> u64 {
    if matches!(temporality, Temporality::Delta) { 1 } else { 2 }
}

#[inline]
fn list<I: Iterator>(
    writer: &mut Writer,
    field: u32,
    items: impl Fn() -> I,
    write: impl Fn(&mut Writer, I::Item),
) {
    backwards(items, |item| writer.message(field, |inner| write(inner, item)));
}

#[inline]
fn packed<I: Iterator>(
    writer: &mut Writer,
    field: u32,
    numbers: impl Fn() -> I,
    write: impl Fn(&mut Writer, I::Item),
) {
    if numbers().next().is_some() {
        writer.message(field, |run| backwards(numbers, |number| write(run, number)));
    }
}

#[inline]
fn attributes<'a, I: Iterator<Item = &'a KeyValue>>(writer: &mut Writer, field: u32, list: impl Fn() -> I) {
    backwards(list, |each| attribute(writer, field, each.key.as_str(), &each.value));
}

#[inline]
fn optional_double<T: Number>(writer: &mut Writer, field: u32, value: Option<T>) {
    if let Some(value) = value {
        writer.double(field, value.to_f64());
    }
}

#[inline]
fn fixed64(writer: &mut Writer, field: u32, value: u64) {
    if value != 0 {
        writer.fixed64(field, value);
    }
}

#[inline]
fn sint32(writer: &mut Writer, field: u32, value: i32) {
    if value != 0 {
        writer.varint(field, zigzag_encode(value.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::Encode;
    use crate::record;

    #[test]
    fn an_exemplar_is_written_as_its_record_is() {
        for value in [NumberValue::Int(0), NumberValue::Int(-3), NumberValue::Double(0.5)] {
            for (span_id, trace_id) in [([0; 8], [0; 16]), ([3; 8], [4; 16])] {
                let time = UnixNanos(9);
                let mut writer = Writer::new();
                Measurement { time, value, span_id: &span_id, trace_id: &trace_id }.encode(&mut writer);
                let record = record::Exemplar {
                    time,
                    value: Some(value),
                    span_id: crate::SpanId::new(span_id),
                    trace_id: crate::TraceId::new(trace_id),
                    ..record::Exemplar::default()
                };
                assert_eq!(writer.as_slice(), record.encode_to_bytes());
            }
        }
    }
}
