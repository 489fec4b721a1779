//! Metrics, their points and exemplars.

use super::{
    Encode, attributes, double, fixed64, list, number, optional, optional_double, span_id, text, trace_id,
};
use crate::record::{
    Buckets, Exemplar, ExponentialHistogram, ExponentialHistogramPoint, Gauge, Histogram, HistogramPoint,
    Metric, MetricData, NumberPoint, NumberValue, Quantile, Sum, Summary, SummaryPoint,
};
use crate::wire::{Writer, zigzag_encode};

impl Encode for Metric {
    fn encode(&self, writer: &mut Writer) {
        attributes(writer, 12, &self.metadata);
        match &self.data {
            None => {}
            Some(MetricData::Gauge(data)) => writer.message(5, |inner| data.encode(inner)),
            Some(MetricData::Sum(data)) => writer.message(7, |inner| data.encode(inner)),
            Some(MetricData::Histogram(data)) => writer.message(9, |inner| data.encode(inner)),
            Some(MetricData::ExponentialHistogram(data)) => writer.message(10, |inner| data.encode(inner)),
            Some(MetricData::Summary(data)) => writer.message(11, |inner| data.encode(inner)),
        }
        text(writer, 3, &self.unit);
        text(writer, 2, &self.description);
        text(writer, 1, &self.name);
    }
}

impl Encode for Gauge {
    fn encode(&self, writer: &mut Writer) {
        list(writer, 1, &self.points);
    }
}

impl Encode for Sum {
    fn encode(&self, writer: &mut Writer) {
        number(writer, 3, self.is_monotonic.into());
        number(writer, 2, self.temporality.to_wire().into());
        list(writer, 1, &self.points);
    }
}

impl Encode for Histogram {
    fn encode(&self, writer: &mut Writer) {
        number(writer, 2, self.temporality.to_wire().into());
        list(writer, 1, &self.points);
    }
}

impl Encode for ExponentialHistogram {
    fn encode(&self, writer: &mut Writer) {
        number(writer, 2, self.temporality.to_wire().into());
        list(writer, 1, &self.points);
    }
}

impl Encode for Summary {
    fn encode(&self, writer: &mut Writer) {
        list(writer, 1, &self.points);
    }
}

impl Encode for NumberPoint {
    fn encode(&self, writer: &mut Writer) {
        number(writer, 8, self.flags.into());
        attributes(writer, 7, &self.attributes);
        if let Some(NumberValue::Int(value)) = self.value {
            writer.fixed64(6, value.cast_unsigned());
        }
        list(writer, 5, &self.exemplars);
        if let Some(NumberValue::Double(value)) = self.value {
            writer.double(4, value);
        }
        fixed64(writer, 3, self.time.0);
        fixed64(writer, 2, self.start.0);
    }
}

impl Encode for HistogramPoint {
    fn encode(&self, writer: &mut Writer) {
        optional_double(writer, 12, self.max);
        optional_double(writer, 11, self.min);
        number(writer, 10, self.flags.into());
        attributes(writer, 9, &self.attributes);
        list(writer, 8, &self.exemplars);
        writer.packed_fixed64(7, self.explicit_bounds.iter().map(|bound| bound.to_bits()));
        writer.packed_fixed64(6, self.bucket_counts.iter().copied());
        optional_double(writer, 5, self.sum);
        fixed64(writer, 4, self.count);
        fixed64(writer, 3, self.time.0);
        fixed64(writer, 2, self.start.0);
    }
}

impl Encode for ExponentialHistogramPoint {
    fn encode(&self, writer: &mut Writer) {
        double(writer, 14, self.zero_threshold);
        optional_double(writer, 13, self.max);
        optional_double(writer, 12, self.min);
        list(writer, 11, &self.exemplars);
        number(writer, 10, self.flags.into());
        optional(writer, 9, self.negative.as_ref());
        optional(writer, 8, self.positive.as_ref());
        fixed64(writer, 7, self.zero_count);
        sint32(writer, 6, self.scale);
        optional_double(writer, 5, self.sum);
        fixed64(writer, 4, self.count);
        fixed64(writer, 3, self.time.0);
        fixed64(writer, 2, self.start.0);
        attributes(writer, 1, &self.attributes);
    }
}

impl Encode for Buckets {
    fn encode(&self, writer: &mut Writer) {
        writer.packed_varints(2, self.counts.iter().copied());
        sint32(writer, 1, self.offset);
    }
}

impl Encode for SummaryPoint {
    fn encode(&self, writer: &mut Writer) {
        number(writer, 8, self.flags.into());
        attributes(writer, 7, &self.attributes);
        list(writer, 6, &self.quantiles);
        double(writer, 5, self.sum);
        fixed64(writer, 4, self.count);
        fixed64(writer, 3, self.time.0);
        fixed64(writer, 2, self.start.0);
    }
}

impl Encode for Quantile {
    fn encode(&self, writer: &mut Writer) {
        double(writer, 2, self.value);
        double(writer, 1, self.quantile);
    }
}

impl Encode for Exemplar {
    fn encode(&self, writer: &mut Writer) {
        attributes(writer, 7, &self.filtered_attributes);
        if let Some(NumberValue::Int(value)) = self.value {
            writer.fixed64(6, value.cast_unsigned());
        }
        trace_id(writer, 5, self.trace_id);
        span_id(writer, 4, self.span_id);
        if let Some(NumberValue::Double(value)) = self.value {
            writer.double(3, value);
        }
        fixed64(writer, 2, self.time.0);
    }
}

fn sint32(writer: &mut Writer, field: u32, value: i32) {
    if value != 0 {
        writer.varint(field, zigzag_encode(value.into()));
    }
}
