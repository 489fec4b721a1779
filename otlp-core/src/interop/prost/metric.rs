//! Metrics, their points and exemplars.

use opentelemetry_proto::tonic::metrics::v1::{
    self as metrics, exemplar, exponential_histogram_data_point as exponential, metric, number_data_point,
    summary_data_point as summary,
};

use super::{all, span_id, span_id_bytes, trace_id, trace_id_bytes, try_all};
use crate::UnixNanos;
use crate::error::{Error, Result};
use crate::record::{
    Buckets, Exemplar, ExponentialHistogram, ExponentialHistogramPoint, Gauge, Histogram, HistogramPoint,
    Metric, MetricData, NumberPoint, NumberValue, Quantile, Sum, Summary, SummaryPoint, Temporality,
};

impl From<Metric> for metrics::Metric {
    fn from(metric: Metric) -> Self {
        let Metric { name, description, unit, data, metadata } = metric;
        Self { name, description, unit, metadata: all(metadata), data: data.map(Into::into) }
    }
}

impl TryFrom<metrics::Metric> for Metric {
    type Error = Error;

    fn try_from(metric: metrics::Metric) -> Result<Self> {
        let metrics::Metric { name, description, unit, metadata, data } = metric;
        let data = data.map(MetricData::try_from).transpose()?;
        Ok(Self { name, description, unit, data, metadata: all(metadata) })
    }
}

impl From<MetricData> for metric::Data {
    fn from(data: MetricData) -> Self {
        match data {
            MetricData::Gauge(data) => Self::Gauge(data.into()),
            MetricData::Sum(data) => Self::Sum(data.into()),
            MetricData::Histogram(data) => Self::Histogram(data.into()),
            MetricData::ExponentialHistogram(data) => Self::ExponentialHistogram(data.into()),
            MetricData::Summary(data) => Self::Summary(data.into()),
        }
    }
}

impl TryFrom<metric::Data> for MetricData {
    type Error = Error;

    fn try_from(data: metric::Data) -> Result<Self> {
        Ok(match data {
            metric::Data::Gauge(data) => Self::Gauge(data.try_into()?),
            metric::Data::Sum(data) => Self::Sum(data.try_into()?),
            metric::Data::Histogram(data) => Self::Histogram(data.try_into()?),
            metric::Data::ExponentialHistogram(data) => Self::ExponentialHistogram(data.try_into()?),
            metric::Data::Summary(data) => Self::Summary(data.into()),
        })
    }
}

impl From<Gauge> for metrics::Gauge {
    fn from(data: Gauge) -> Self {
        Self { data_points: all(data.points) }
    }
}

impl TryFrom<metrics::Gauge> for Gauge {
    type Error = Error;

    fn try_from(data: metrics::Gauge) -> Result<Self> {
        Ok(Self { points: try_all(data.data_points)? })
    }
}

impl From<Sum> for metrics::Sum {
    fn from(data: Sum) -> Self {
        Self {
            data_points: all(data.points),
            aggregation_temporality: data.temporality.to_wire(),
            is_monotonic: data.is_monotonic,
        }
    }
}

impl TryFrom<metrics::Sum> for Sum {
    type Error = Error;

    fn try_from(data: metrics::Sum) -> Result<Self> {
        Ok(Self {
            points: try_all(data.data_points)?,
            temporality: Temporality::from_wire(data.aggregation_temporality),
            is_monotonic: data.is_monotonic,
        })
    }
}

impl From<Histogram> for metrics::Histogram {
    fn from(data: Histogram) -> Self {
        Self { data_points: all(data.points), aggregation_temporality: data.temporality.to_wire() }
    }
}

impl TryFrom<metrics::Histogram> for Histogram {
    type Error = Error;

    fn try_from(data: metrics::Histogram) -> Result<Self> {
        Ok(Self {
            points: try_all(data.data_points)?,
            temporality: Temporality::from_wire(data.aggregation_temporality),
        })
    }
}

impl From<ExponentialHistogram> for metrics::ExponentialHistogram {
    fn from(data: ExponentialHistogram) -> Self {
        Self { data_points: all(data.points), aggregation_temporality: data.temporality.to_wire() }
    }
}

impl TryFrom<metrics::ExponentialHistogram> for ExponentialHistogram {
    type Error = Error;

    fn try_from(data: metrics::ExponentialHistogram) -> Result<Self> {
        Ok(Self {
            points: try_all(data.data_points)?,
            temporality: Temporality::from_wire(data.aggregation_temporality),
        })
    }
}

impl From<Summary> for metrics::Summary {
    fn from(data: Summary) -> Self {
        Self { data_points: all(data.points) }
    }
}

impl From<metrics::Summary> for Summary {
    fn from(data: metrics::Summary) -> Self {
        Self { points: all(data.data_points) }
    }
}

impl From<NumberPoint> for metrics::NumberDataPoint {
    fn from(point: NumberPoint) -> Self {
        Self {
            attributes: all(point.attributes),
            start_time_unix_nano: point.start.0,
            time_unix_nano: point.time.0,
            value: point.value.map(Into::into),
            exemplars: all(point.exemplars),
            flags: point.flags,
        }
    }
}

impl TryFrom<metrics::NumberDataPoint> for NumberPoint {
    type Error = Error;

    fn try_from(point: metrics::NumberDataPoint) -> Result<Self> {
        Ok(Self {
            attributes: all(point.attributes),
            start: UnixNanos(point.start_time_unix_nano),
            time: UnixNanos(point.time_unix_nano),
            value: point.value.map(Into::into),
            exemplars: try_all(point.exemplars)?,
            flags: point.flags,
        })
    }
}

impl From<HistogramPoint> for metrics::HistogramDataPoint {
    fn from(point: HistogramPoint) -> Self {
        Self {
            attributes: all(point.attributes),
            start_time_unix_nano: point.start.0,
            time_unix_nano: point.time.0,
            count: point.count,
            sum: point.sum,
            bucket_counts: point.bucket_counts,
            explicit_bounds: point.explicit_bounds,
            exemplars: all(point.exemplars),
            flags: point.flags,
            min: point.min,
            max: point.max,
        }
    }
}

impl TryFrom<metrics::HistogramDataPoint> for HistogramPoint {
    type Error = Error;

    fn try_from(point: metrics::HistogramDataPoint) -> Result<Self> {
        Ok(Self {
            attributes: all(point.attributes),
            start: UnixNanos(point.start_time_unix_nano),
            time: UnixNanos(point.time_unix_nano),
            count: point.count,
            sum: point.sum,
            bucket_counts: point.bucket_counts,
            explicit_bounds: point.explicit_bounds,
            exemplars: try_all(point.exemplars)?,
            flags: point.flags,
            min: point.min,
            max: point.max,
        })
    }
}

impl From<ExponentialHistogramPoint> for metrics::ExponentialHistogramDataPoint {
    fn from(point: ExponentialHistogramPoint) -> Self {
        Self {
            attributes: all(point.attributes),
            start_time_unix_nano: point.start.0,
            time_unix_nano: point.time.0,
            count: point.count,
            sum: point.sum,
            scale: point.scale,
            zero_count: point.zero_count,
            positive: point.positive.map(Into::into),
            negative: point.negative.map(Into::into),
            flags: point.flags,
            exemplars: all(point.exemplars),
            min: point.min,
            max: point.max,
            zero_threshold: point.zero_threshold,
        }
    }
}

impl TryFrom<metrics::ExponentialHistogramDataPoint> for ExponentialHistogramPoint {
    type Error = Error;

    fn try_from(point: metrics::ExponentialHistogramDataPoint) -> Result<Self> {
        Ok(Self {
            attributes: all(point.attributes),
            start: UnixNanos(point.start_time_unix_nano),
            time: UnixNanos(point.time_unix_nano),
            count: point.count,
            sum: point.sum,
            scale: point.scale,
            zero_count: point.zero_count,
            positive: point.positive.map(Into::into),
            negative: point.negative.map(Into::into),
            flags: point.flags,
            exemplars: try_all(point.exemplars)?,
            min: point.min,
            max: point.max,
            zero_threshold: point.zero_threshold,
        })
    }
}

impl From<SummaryPoint> for metrics::SummaryDataPoint {
    fn from(point: SummaryPoint) -> Self {
        Self {
            attributes: all(point.attributes),
            start_time_unix_nano: point.start.0,
            time_unix_nano: point.time.0,
            count: point.count,
            sum: point.sum,
            quantile_values: all(point.quantiles),
            flags: point.flags,
        }
    }
}

impl From<metrics::SummaryDataPoint> for SummaryPoint {
    fn from(point: metrics::SummaryDataPoint) -> Self {
        Self {
            attributes: all(point.attributes),
            start: UnixNanos(point.start_time_unix_nano),
            time: UnixNanos(point.time_unix_nano),
            count: point.count,
            sum: point.sum,
            quantiles: all(point.quantile_values),
            flags: point.flags,
        }
    }
}

impl From<Exemplar> for metrics::Exemplar {
    fn from(point: Exemplar) -> Self {
        Self {
            filtered_attributes: all(point.filtered_attributes),
            time_unix_nano: point.time.0,
            value: point.value.map(Into::into),
            span_id: span_id_bytes(point.span_id),
            trace_id: trace_id_bytes(point.trace_id),
        }
    }
}

impl TryFrom<metrics::Exemplar> for Exemplar {
    type Error = Error;

    fn try_from(point: metrics::Exemplar) -> Result<Self> {
        Ok(Self {
            filtered_attributes: all(point.filtered_attributes),
            time: UnixNanos(point.time_unix_nano),
            value: point.value.map(Into::into),
            span_id: span_id(&point.span_id)?,
            trace_id: trace_id(&point.trace_id)?,
        })
    }
}

impl From<Buckets> for exponential::Buckets {
    fn from(Buckets { offset, counts }: Buckets) -> Self {
        Self { offset, bucket_counts: counts }
    }
}

impl From<exponential::Buckets> for Buckets {
    fn from(buckets: exponential::Buckets) -> Self {
        Self { offset: buckets.offset, counts: buckets.bucket_counts }
    }
}

impl From<Quantile> for summary::ValueAtQuantile {
    fn from(Quantile { quantile, value }: Quantile) -> Self {
        Self { quantile, value }
    }
}

impl From<summary::ValueAtQuantile> for Quantile {
    fn from(summary::ValueAtQuantile { quantile, value }: summary::ValueAtQuantile) -> Self {
        Self { quantile, value }
    }
}

macro_rules! number {
    ($($theirs:path,)*) => {
        $(impl From<NumberValue> for $theirs {
            fn from(value: NumberValue) -> Self {
                match value {
                    NumberValue::Double(value) => Self::AsDouble(value),
                    NumberValue::Int(value) => Self::AsInt(value),
                }
            }
        }

        impl From<$theirs> for NumberValue {
            fn from(value: $theirs) -> Self {
                use $theirs as Theirs;
                match value {
                    Theirs::AsDouble(value) => Self::Double(value),
                    Theirs::AsInt(value) => Self::Int(value),
                }
            }
        })*
    };
}

number! {
    number_data_point::Value,
    exemplar::Value,
}
