//! Metrics.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1 as prost_metrics;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{exemplar, number_data_point};
use otlp_core::record::{MetricsRequest, NumberValue};
use otlp_core::view::{
    BucketsView, ExemplarView, ExponentialHistogramPointView, HistogramPointView, MetricDataView, MetricView,
    MetricsView, NumberPointView, SummaryPointView,
};
use otlp_core::{DecodeError, Limits};

use super::payload::{metric, order::Root};
use super::signal::Signal;
use super::walk::{Seen, pairs, prost_pairs};
use super::{LIMITS, Rows};
use crate::measure::Effort;

pub(super) const METRICS: Signal<ExportMetricsServiceRequest, MetricsRequest> = Signal {
    name: "metrics",
    unit: "point",
    count: metric::points(),
    root: Root::Metrics,
    make: metric::request,
    view,
    prost,
    records: |body| MetricsView::parse(body, &LIMITS)?.to_record(),
};

pub(super) fn rows(effort: &Effort) -> Rows {
    METRICS.rows(effort)
}

fn view(body: &[u8], limits: &Limits) -> Result<u64, DecodeError> {
    let mut seen = Seen::default();
    for group in MetricsView::parse(body, limits)?.resources() {
        let group = group?;
        pairs(&mut seen, group.resource().attributes())?;
        for scope in group.scopes() {
            let scope = scope?;
            seen.bytes(scope.scope().name().as_bytes());
            seen.bytes(scope.scope().version().as_bytes());
            for each in scope.metrics() {
                one(&mut seen, &each?)?;
            }
        }
    }
    Ok(seen.0)
}

fn one(seen: &mut Seen, metric: &MetricView<'_>) -> Result<(), DecodeError> {
    seen.bytes(metric.name().as_bytes());
    seen.bytes(metric.description().as_bytes());
    seen.bytes(metric.unit().as_bytes());
    match metric.data() {
        Some(MetricDataView::Gauge(data)) => data.points().try_for_each(|point| number_point(seen, &point?)),
        Some(MetricDataView::Sum(data)) => {
            seen.number(
                u64::from(data.temporality().to_wire().cast_unsigned()) << 1 | u64::from(data.is_monotonic()),
            );
            data.points().try_for_each(|point| number_point(seen, &point?))
        }
        Some(MetricDataView::Histogram(data)) => {
            seen.number(u64::from(data.temporality().to_wire().cast_unsigned()));
            data.points().try_for_each(|point| histogram_point(seen, &point?))
        }
        Some(MetricDataView::ExponentialHistogram(data)) => {
            seen.number(u64::from(data.temporality().to_wire().cast_unsigned()));
            data.points().try_for_each(|point| exponential_point(seen, &point?))
        }
        Some(MetricDataView::Summary(data)) => {
            data.points().try_for_each(|point| summary_point(seen, &point?))
        }
        _ => Ok(()),
    }
}

fn number(seen: &mut Seen, value: Option<NumberValue>) {
    match value {
        Some(NumberValue::Double(value)) => seen.number(value.to_bits()),
        Some(NumberValue::Int(value)) => seen.number(value.cast_unsigned()),
        None => {}
    }
}

/// A double that may not be there.
fn maybe(seen: &mut Seen, value: Option<f64>) {
    seen.number(value.map_or(1, f64::to_bits));
}

fn number_point(seen: &mut Seen, point: &NumberPointView<'_>) -> Result<(), DecodeError> {
    seen.number(point.start().0);
    seen.number(point.time().0);
    number(seen, point.value());
    seen.number(point.flags().into());
    pairs(seen, point.attributes())?;
    point.exemplars().try_for_each(|each| exemplar(seen, &each?))
}

fn exemplar(seen: &mut Seen, exemplar: &ExemplarView<'_>) -> Result<(), DecodeError> {
    seen.number(exemplar.time().0);
    number(seen, exemplar.value());
    seen.bytes(exemplar.trace_id().as_bytes());
    seen.bytes(exemplar.span_id().as_bytes());
    pairs(seen, exemplar.filtered_attributes())
}

fn histogram_point(seen: &mut Seen, point: &HistogramPointView<'_>) -> Result<(), DecodeError> {
    seen.number(point.start().0);
    seen.number(point.time().0);
    seen.number(point.count());
    maybe(seen, point.sum());
    point.bucket_counts().for_each(|count| seen.number(count));
    point.explicit_bounds().for_each(|bound| seen.number(bound.to_bits()));
    seen.number(point.flags().into());
    maybe(seen, point.min());
    maybe(seen, point.max());
    pairs(seen, point.attributes())?;
    point.exemplars().try_for_each(|each| exemplar(seen, &each?))
}

fn exponential_point(seen: &mut Seen, point: &ExponentialHistogramPointView<'_>) -> Result<(), DecodeError> {
    seen.number(point.start().0);
    seen.number(point.time().0);
    seen.number(point.count());
    maybe(seen, point.sum());
    seen.number(u64::from(point.scale().cast_unsigned()));
    seen.number(point.zero_count());
    point.positive().into_iter().chain(point.negative()).for_each(|buckets| self::buckets(seen, buckets));
    seen.number(point.flags().into());
    maybe(seen, point.min());
    maybe(seen, point.max());
    seen.number(point.zero_threshold().to_bits());
    pairs(seen, point.attributes())?;
    point.exemplars().try_for_each(|each| exemplar(seen, &each?))
}

fn buckets(seen: &mut Seen, buckets: BucketsView<'_>) {
    seen.number(u64::from(buckets.offset().cast_unsigned()));
    buckets.counts().for_each(|count| seen.number(count));
}

fn summary_point(seen: &mut Seen, point: &SummaryPointView<'_>) -> Result<(), DecodeError> {
    seen.number(point.start().0);
    seen.number(point.time().0);
    seen.number(point.count());
    seen.number(point.sum().to_bits());
    for quantile in point.quantiles() {
        let quantile = quantile?;
        seen.number(quantile.quantile().to_bits());
        seen.number(quantile.value().to_bits());
    }
    seen.number(point.flags().into());
    pairs(seen, point.attributes())
}

fn prost(request: &ExportMetricsServiceRequest) -> u64 {
    let mut seen = Seen::default();
    for group in &request.resource_metrics {
        prost_pairs(&mut seen, group.resource.as_ref().map_or(&[], |resource| &resource.attributes));
        for scope in &group.scope_metrics {
            let library = scope.scope.as_ref();
            seen.bytes(library.map_or("", |library| &library.name).as_bytes());
            seen.bytes(library.map_or("", |library| &library.version).as_bytes());
            scope.metrics.iter().for_each(|metric| prost_one(&mut seen, metric));
        }
    }
    seen.0
}

fn prost_one(seen: &mut Seen, metric: &prost_metrics::Metric) {
    seen.bytes(metric.name.as_bytes());
    seen.bytes(metric.description.as_bytes());
    seen.bytes(metric.unit.as_bytes());
    match &metric.data {
        Some(Data::Gauge(data)) => data.data_points.iter().for_each(|point| prost_number_point(seen, point)),
        Some(Data::Sum(data)) => {
            seen.number(
                u64::from(data.aggregation_temporality.cast_unsigned()) << 1 | u64::from(data.is_monotonic),
            );
            data.data_points.iter().for_each(|point| prost_number_point(seen, point));
        }
        Some(Data::Histogram(data)) => {
            seen.number(u64::from(data.aggregation_temporality.cast_unsigned()));
            data.data_points.iter().for_each(|point| prost_histogram_point(seen, point));
        }
        Some(Data::ExponentialHistogram(data)) => {
            seen.number(u64::from(data.aggregation_temporality.cast_unsigned()));
            data.data_points.iter().for_each(|point| prost_exponential_point(seen, point));
        }
        Some(Data::Summary(data)) => {
            data.data_points.iter().for_each(|point| prost_summary_point(seen, point));
        }
        None => {}
    }
}

fn prost_number_point(seen: &mut Seen, point: &prost_metrics::NumberDataPoint) {
    seen.number(point.start_time_unix_nano);
    seen.number(point.time_unix_nano);
    match point.value {
        Some(number_data_point::Value::AsDouble(value)) => seen.number(value.to_bits()),
        Some(number_data_point::Value::AsInt(value)) => seen.number(value.cast_unsigned()),
        None => {}
    }
    seen.number(point.flags.into());
    prost_pairs(seen, &point.attributes);
    point.exemplars.iter().for_each(|each| prost_exemplar(seen, each));
}

fn prost_exemplar(seen: &mut Seen, exemplar: &prost_metrics::Exemplar) {
    seen.number(exemplar.time_unix_nano);
    match exemplar.value {
        Some(exemplar::Value::AsDouble(value)) => seen.number(value.to_bits()),
        Some(exemplar::Value::AsInt(value)) => seen.number(value.cast_unsigned()),
        None => {}
    }
    seen.bytes(&exemplar.trace_id);
    seen.bytes(&exemplar.span_id);
    prost_pairs(seen, &exemplar.filtered_attributes);
}

fn prost_histogram_point(seen: &mut Seen, point: &prost_metrics::HistogramDataPoint) {
    seen.number(point.start_time_unix_nano);
    seen.number(point.time_unix_nano);
    seen.number(point.count);
    maybe(seen, point.sum);
    point.bucket_counts.iter().for_each(|count| seen.number(*count));
    point.explicit_bounds.iter().for_each(|bound| seen.number(bound.to_bits()));
    seen.number(point.flags.into());
    maybe(seen, point.min);
    maybe(seen, point.max);
    prost_pairs(seen, &point.attributes);
    point.exemplars.iter().for_each(|each| prost_exemplar(seen, each));
}

fn prost_exponential_point(seen: &mut Seen, point: &prost_metrics::ExponentialHistogramDataPoint) {
    seen.number(point.start_time_unix_nano);
    seen.number(point.time_unix_nano);
    seen.number(point.count);
    maybe(seen, point.sum);
    seen.number(u64::from(point.scale.cast_unsigned()));
    seen.number(point.zero_count);
    for buckets in point.positive.iter().chain(&point.negative) {
        seen.number(u64::from(buckets.offset.cast_unsigned()));
        buckets.bucket_counts.iter().for_each(|count| seen.number(*count));
    }
    seen.number(point.flags.into());
    maybe(seen, point.min);
    maybe(seen, point.max);
    seen.number(point.zero_threshold.to_bits());
    prost_pairs(seen, &point.attributes);
    point.exemplars.iter().for_each(|each| prost_exemplar(seen, each));
}

fn prost_summary_point(seen: &mut Seen, point: &prost_metrics::SummaryDataPoint) {
    seen.number(point.start_time_unix_nano);
    seen.number(point.time_unix_nano);
    seen.number(point.count);
    seen.number(point.sum.to_bits());
    for quantile in &point.quantile_values {
        seen.number(quantile.quantile.to_bits());
        seen.number(quantile.value.to_bits());
    }
    seen.number(point.flags.into());
    prost_pairs(seen, &point.attributes);
}
