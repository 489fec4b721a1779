//! Random messages of the four signals, every field of them reached.

mod profile;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
    exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
    summary_data_point::ValueAtQuantile,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};

use crate::dice::Dice;

pub(crate) use profile::{dictionary, profiles};

pub(crate) fn traces(dice: &mut Dice) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: dice.list(3, |dice| ResourceSpans {
            resource: dice.maybe(resource),
            scope_spans: dice.list(3, |dice| ScopeSpans {
                scope: dice.maybe(scope),
                spans: dice.list(4, span),
                schema_url: dice.text(),
            }),
            schema_url: dice.text(),
        }),
    }
}

pub(crate) fn logs(dice: &mut Dice) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: dice.list(3, |dice| ResourceLogs {
            resource: dice.maybe(resource),
            scope_logs: dice.list(3, |dice| ScopeLogs {
                scope: dice.maybe(scope),
                log_records: dice.list(4, log_record),
                schema_url: dice.text(),
            }),
            schema_url: dice.text(),
        }),
    }
}

pub(crate) fn metrics(dice: &mut Dice) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: dice.list(3, |dice| ResourceMetrics {
            resource: dice.maybe(resource),
            scope_metrics: dice.list(3, |dice| ScopeMetrics {
                scope: dice.maybe(scope),
                metrics: dice.list(4, metric),
                schema_url: dice.text(),
            }),
            schema_url: dice.text(),
        }),
    }
}

fn resource(dice: &mut Dice) -> Resource {
    Resource {
        attributes: attributes(dice),
        dropped_attributes_count: dice.u32(),
        entity_refs: dice.list(2, |dice| EntityRef {
            schema_url: dice.text(),
            r#type: dice.text(),
            id_keys: dice.list(3, Dice::text),
            description_keys: dice.list(3, Dice::text),
        }),
    }
}

fn scope(dice: &mut Dice) -> InstrumentationScope {
    InstrumentationScope {
        name: dice.text(),
        version: dice.text(),
        attributes: attributes(dice),
        dropped_attributes_count: dice.u32(),
    }
}

fn attributes(dice: &mut Dice) -> Vec<KeyValue> {
    dice.list(4, |dice| key_value(dice, 4))
}

fn key_value(dice: &mut Dice, levels: usize) -> KeyValue {
    let key_strindex = if dice.one_in(8) { dice.i32() } else { 0 };
    KeyValue { key: dice.text(), value: dice.maybe(|dice| any_value(dice, levels)), key_strindex }
}

pub(crate) fn any_value(dice: &mut Dice, levels: usize) -> AnyValue {
    let kinds = if levels == 0 { 7 } else { 9 };
    let value = match dice.below(kinds) {
        0 => None,
        1 => Some(Value::StringValue(dice.text())),
        2 => Some(Value::BoolValue(dice.one_in(2))),
        3 => Some(Value::IntValue(dice.varied().cast_signed())),
        4 => Some(Value::DoubleValue(dice.f64())),
        5 => Some(Value::BytesValue({
            let len = dice.below(20);
            dice.bytes(len)
        })),
        6 => Some(Value::StringValueStrindex(dice.i32())),
        7 => Some(Value::ArrayValue(ArrayValue { values: dice.list(3, |dice| any_value(dice, levels - 1)) })),
        _ => {
            let values = dice.list(3, |dice| key_value(dice, levels - 1));
            Some(Value::KvlistValue(KeyValueList { values }))
        }
    };
    AnyValue { value }
}

fn id(dice: &mut Dice, len: usize) -> Vec<u8> {
    match dice.below(4) {
        0 => Vec::new(),
        1 => vec![0; len],
        _ => dice.bytes(len),
    }
}

fn span(dice: &mut Dice) -> Span {
    Span {
        trace_id: id(dice, 16),
        span_id: id(dice, 8),
        trace_state: dice.text(),
        parent_span_id: id(dice, 8),
        flags: dice.u32(),
        name: dice.text(),
        kind: dice.i32(),
        start_time_unix_nano: dice.varied(),
        end_time_unix_nano: dice.varied(),
        attributes: attributes(dice),
        dropped_attributes_count: dice.u32(),
        events: dice.list(3, |dice| span::Event {
            time_unix_nano: dice.varied(),
            name: dice.text(),
            attributes: attributes(dice),
            dropped_attributes_count: dice.u32(),
        }),
        dropped_events_count: dice.u32(),
        links: dice.list(3, |dice| span::Link {
            trace_id: id(dice, 16),
            span_id: id(dice, 8),
            trace_state: dice.text(),
            attributes: attributes(dice),
            dropped_attributes_count: dice.u32(),
            flags: dice.u32(),
        }),
        dropped_links_count: dice.u32(),
        status: dice.maybe(|dice| Status { message: dice.text(), code: dice.i32() }),
    }
}

fn log_record(dice: &mut Dice) -> LogRecord {
    LogRecord {
        time_unix_nano: dice.varied(),
        observed_time_unix_nano: dice.varied(),
        severity_number: dice.i32(),
        severity_text: dice.text(),
        body: dice.maybe(|dice| any_value(dice, 4)),
        attributes: attributes(dice),
        dropped_attributes_count: dice.u32(),
        flags: dice.u32(),
        trace_id: id(dice, 16),
        span_id: id(dice, 8),
        event_name: dice.text(),
    }
}

fn metric(dice: &mut Dice) -> Metric {
    Metric {
        name: dice.text(),
        description: dice.text(),
        unit: dice.text(),
        metadata: attributes(dice),
        data: dice.maybe(data),
    }
}

fn data(dice: &mut Dice) -> Data {
    match dice.below(5) {
        0 => Data::Gauge(Gauge { data_points: dice.list(3, number_point) }),
        1 => Data::Sum(Sum {
            data_points: dice.list(3, number_point),
            aggregation_temporality: dice.i32(),
            is_monotonic: dice.one_in(2),
        }),
        2 => Data::Histogram(Histogram {
            data_points: dice.list(3, histogram_point),
            aggregation_temporality: dice.i32(),
        }),
        3 => Data::ExponentialHistogram(ExponentialHistogram {
            data_points: dice.list(3, exponential_point),
            aggregation_temporality: dice.i32(),
        }),
        _ => Data::Summary(Summary { data_points: dice.list(3, summary_point) }),
    }
}

fn number_point(dice: &mut Dice) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(dice),
        start_time_unix_nano: dice.varied(),
        time_unix_nano: dice.varied(),
        exemplars: dice.list(2, exemplar),
        flags: dice.u32(),
        value: dice.maybe(|dice| {
            if dice.one_in(2) {
                number_data_point::Value::AsDouble(dice.f64())
            } else {
                number_data_point::Value::AsInt(dice.varied().cast_signed())
            }
        }),
    }
}

fn exemplar(dice: &mut Dice) -> Exemplar {
    Exemplar {
        filtered_attributes: attributes(dice),
        time_unix_nano: dice.varied(),
        span_id: id(dice, 8),
        trace_id: id(dice, 16),
        value: dice.maybe(|dice| {
            if dice.one_in(2) {
                exemplar::Value::AsDouble(dice.f64())
            } else {
                exemplar::Value::AsInt(dice.varied().cast_signed())
            }
        }),
    }
}

fn histogram_point(dice: &mut Dice) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: attributes(dice),
        start_time_unix_nano: dice.varied(),
        time_unix_nano: dice.varied(),
        count: dice.varied(),
        sum: dice.maybe(Dice::f64),
        bucket_counts: dice.list(6, Dice::varied),
        explicit_bounds: dice.list(6, Dice::f64),
        exemplars: dice.list(2, exemplar),
        flags: dice.u32(),
        min: dice.maybe(Dice::f64),
        max: dice.maybe(Dice::f64),
    }
}

fn exponential_point(dice: &mut Dice) -> ExponentialHistogramDataPoint {
    let buckets = |dice: &mut Dice| Buckets { offset: dice.i32(), bucket_counts: dice.list(6, Dice::varied) };
    ExponentialHistogramDataPoint {
        attributes: attributes(dice),
        start_time_unix_nano: dice.varied(),
        time_unix_nano: dice.varied(),
        count: dice.varied(),
        sum: dice.maybe(Dice::f64),
        scale: dice.i32(),
        zero_count: dice.varied(),
        positive: dice.maybe(buckets),
        negative: dice.maybe(buckets),
        flags: dice.u32(),
        exemplars: dice.list(2, exemplar),
        min: dice.maybe(Dice::f64),
        max: dice.maybe(Dice::f64),
        zero_threshold: dice.f64(),
    }
}

fn summary_point(dice: &mut Dice) -> SummaryDataPoint {
    SummaryDataPoint {
        attributes: attributes(dice),
        start_time_unix_nano: dice.varied(),
        time_unix_nano: dice.varied(),
        count: dice.varied(),
        sum: dice.f64(),
        quantile_values: dice.list(3, |dice| ValueAtQuantile { quantile: dice.f64(), value: dice.f64() }),
        flags: dice.u32(),
    }
}
