//! Records with every field set, each to a value that its number and its type decide.
//!
//! The values of one number differ from type to type as far as the wire can tell types apart, so that whoever reads a
//! field as another type, or under another number, reads something else.

use otlp_core::record::{
    AnyValue, Buckets, EntityRef, Event, Exemplar, ExponentialHistogram, ExponentialHistogramPoint, Function,
    Gauge, Histogram, HistogramPoint, KeyValue, KeyValueAndUnit, Line, Link, Location, LogRecord,
    LogsRequest, Mapping, Metric, MetricData, MetricsRequest, NumberPoint, NumberValue, Profile, ProfileLink,
    ProfilesDictionary, ProfilesRequest, Quantile, Resource, ResourceLogs, ResourceMetrics, ResourceProfiles,
    ResourceSpans, Sample, Scope, ScopeLogs, ScopeMetrics, ScopeProfiles, ScopeSpans, SeverityNumber, Span,
    SpanKind, Stack, Status, StatusCode, Sum, Summary, SummaryPoint, Temporality, TracesRequest, ValueType,
};
use otlp_core::{ProfileId, SpanId, TraceId, UnixNanos};

pub(crate) fn int32(number: i32) -> i32 {
    i32::MIN + number
}

pub(crate) fn int64(number: i64) -> i64 {
    i64::MIN + number
}

/// An `int64` that counts, and so is never below zero.
pub(crate) fn rejected(number: u64) -> u64 {
    i64::MAX.cast_unsigned() - number
}

pub(crate) fn uint32(number: u32) -> u32 {
    u32::MAX - number
}

pub(crate) fn uint64(number: u64) -> u64 {
    u64::MAX - number
}

pub(crate) fn double(number: u32) -> f64 {
    f64::from(number) + 0.5
}

pub(crate) fn enumeration(number: i32) -> i32 {
    -100 - number
}

pub(crate) fn string(number: u32) -> String {
    format!("f{number}")
}

/// No UTF-8, so that it cannot pass for a string.
pub(crate) fn byte(number: u8) -> u8 {
    0x80 | number
}

fn nanos(number: u64) -> UnixNanos {
    UnixNanos(uint64(number))
}

fn trace_id(number: u8) -> TraceId {
    TraceId::new([byte(number); 16])
}

fn span_id(number: u8) -> SpanId {
    SpanId::new([byte(number); 8])
}

/// For numbers and texts, where an element of another value would be wrong.
fn twice<T: Clone>(value: T) -> Vec<T> {
    vec![value.clone(), value]
}

/// For messages: a list of two, without doubling all that lies within.
fn and_empty<T: Default>(value: T) -> Vec<T> {
    vec![value, T::default()]
}

/// Attributes whose values are every member of the oneof.
fn attributes() -> Vec<KeyValue> {
    let plain = KeyValue { key: string(1), value: AnyValue::Bool(true), key_index: int32(3) };
    let values = [
        AnyValue::String(string(1)),
        AnyValue::Bool(true),
        AnyValue::Int(int64(3)),
        AnyValue::Double(double(4)),
        AnyValue::Array(and_empty(AnyValue::Bool(true))),
        AnyValue::KvList(and_empty(plain)),
        AnyValue::Bytes(vec![byte(7); 5]),
        AnyValue::StringIndex(int32(8)),
    ];
    values.map(|value| KeyValue { key: string(1), value, key_index: int32(3) }).to_vec()
}

fn resource() -> Resource {
    let entity = EntityRef {
        schema_url: string(1),
        kind: string(2),
        id_keys: twice(string(3)),
        description_keys: twice(string(4)),
    };
    Resource { attributes: attributes(), dropped_attributes_count: uint32(2), entity_refs: and_empty(entity) }
}

fn scope() -> Scope {
    Scope {
        name: string(1),
        version: string(2),
        attributes: attributes(),
        dropped_attributes_count: uint32(4),
    }
}

pub(crate) fn traces() -> TracesRequest {
    let event = Event {
        time: nanos(1),
        name: string(2),
        attributes: attributes(),
        dropped_attributes_count: uint32(4),
    };
    let link = Link {
        trace_id: trace_id(1),
        span_id: span_id(2),
        trace_state: string(3),
        attributes: attributes(),
        dropped_attributes_count: uint32(5),
        flags: uint32(6),
    };
    let span = Span {
        trace_id: trace_id(1),
        span_id: span_id(2),
        trace_state: string(3),
        parent_span_id: span_id(4),
        name: string(5),
        kind: SpanKind::from_wire(enumeration(6)),
        start: nanos(7),
        end: nanos(8),
        attributes: attributes(),
        dropped_attributes_count: uint32(10),
        events: and_empty(event),
        dropped_events_count: uint32(12),
        links: and_empty(link),
        dropped_links_count: uint32(14),
        status: Status { message: string(2), code: StatusCode::from_wire(enumeration(3)) },
        flags: uint32(16),
    };
    let scopes = and_empty(ScopeSpans { scope: scope(), spans: and_empty(span), schema_url: string(3) });
    TracesRequest {
        resources: and_empty(ResourceSpans { resource: resource(), scopes, schema_url: string(3) }),
    }
}

pub(crate) fn logs() -> LogsRequest {
    let record = LogRecord {
        time: nanos(1),
        severity_number: SeverityNumber(enumeration(2)),
        severity_text: string(3),
        body: AnyValue::Bool(true),
        attributes: attributes(),
        dropped_attributes_count: uint32(7),
        flags: uint32(8),
        trace_id: trace_id(9),
        span_id: span_id(10),
        observed_time: nanos(11),
        event_name: string(12),
    };
    let scopes = and_empty(ScopeLogs { scope: scope(), records: and_empty(record), schema_url: string(3) });
    LogsRequest { resources: and_empty(ResourceLogs { resource: resource(), scopes, schema_url: string(3) }) }
}

pub(crate) fn metrics() -> MetricsRequest {
    let temporality = Temporality::from_wire(enumeration(2));
    let data = [
        MetricData::Gauge(Gauge { points: number_points() }),
        MetricData::Sum(Sum { points: number_points(), temporality, is_monotonic: true }),
        MetricData::Histogram(Histogram { points: and_empty(histogram_point()), temporality }),
        MetricData::ExponentialHistogram(ExponentialHistogram {
            points: and_empty(exponential_point()),
            temporality,
        }),
        MetricData::Summary(Summary { points: and_empty(summary_point()) }),
    ];
    let metric = |data| Metric {
        name: string(1),
        description: string(2),
        unit: string(3),
        data: Some(data),
        metadata: attributes(),
    };
    let metrics = data.map(metric).to_vec();
    let scopes = and_empty(ScopeMetrics { scope: scope(), metrics, schema_url: string(3) });
    MetricsRequest {
        resources: and_empty(ResourceMetrics { resource: resource(), scopes, schema_url: string(3) }),
    }
}

fn exemplars() -> Vec<Exemplar> {
    let exemplar = |value| Exemplar {
        time: nanos(2),
        value: Some(value),
        span_id: span_id(4),
        trace_id: trace_id(5),
        filtered_attributes: attributes(),
    };
    [NumberValue::Double(double(3)), NumberValue::Int(int64(6))].map(exemplar).to_vec()
}

fn number_points() -> Vec<NumberPoint> {
    let point = |value| NumberPoint {
        start: nanos(2),
        time: nanos(3),
        value: Some(value),
        exemplars: exemplars(),
        attributes: attributes(),
        flags: uint32(8),
    };
    [NumberValue::Double(double(4)), NumberValue::Int(int64(6))].map(point).to_vec()
}

fn histogram_point() -> HistogramPoint {
    HistogramPoint {
        start: nanos(2),
        time: nanos(3),
        count: uint64(4),
        sum: Some(double(5)),
        bucket_counts: twice(uint64(6)),
        explicit_bounds: twice(double(7)),
        exemplars: exemplars(),
        attributes: attributes(),
        flags: uint32(10),
        min: Some(double(11)),
        max: Some(double(12)),
    }
}

fn exponential_point() -> ExponentialHistogramPoint {
    let buckets = Buckets { offset: int32(1), counts: twice(uint64(2)) };
    ExponentialHistogramPoint {
        attributes: attributes(),
        start: nanos(2),
        time: nanos(3),
        count: uint64(4),
        sum: Some(double(5)),
        scale: int32(6),
        zero_count: uint64(7),
        positive: Some(buckets.clone()),
        negative: Some(buckets),
        flags: uint32(10),
        exemplars: exemplars(),
        min: Some(double(12)),
        max: Some(double(13)),
        zero_threshold: double(14),
    }
}

fn summary_point() -> SummaryPoint {
    SummaryPoint {
        start: nanos(2),
        time: nanos(3),
        count: uint64(4),
        sum: double(5),
        quantiles: and_empty(Quantile { quantile: double(1), value: double(2) }),
        attributes: attributes(),
        flags: uint32(8),
    }
}

pub(crate) fn profiles() -> ProfilesRequest {
    let value_type = ValueType { kind_index: int32(1), unit_index: int32(2) };
    let sample = Sample {
        stack_index: int32(1),
        attribute_indices: twice(int32(2)),
        link_index: int32(3),
        values: twice(int64(4)),
        timestamps: twice(uint64(5)),
    };
    let profile = Profile {
        sample_type: value_type,
        samples: and_empty(sample),
        time: nanos(3),
        duration_nanos: uint64(4),
        period_type: value_type,
        period: int64(6),
        profile_id: ProfileId::new([byte(7); 16]),
        dropped_attributes_count: uint32(8),
        original_payload_format: string(9),
        original_payload: vec![byte(10); 5],
        attribute_indices: twice(int32(11)),
    };
    let scopes =
        and_empty(ScopeProfiles { scope: scope(), profiles: and_empty(profile), schema_url: string(3) });
    let resources = and_empty(ResourceProfiles { resource: resource(), scopes, schema_url: string(3) });
    ProfilesRequest { resources, dictionary: dictionary() }
}

fn dictionary() -> ProfilesDictionary {
    let mapping = Mapping {
        memory_start: uint64(1),
        memory_limit: uint64(2),
        file_offset: uint64(3),
        filename_index: int32(4),
        attribute_indices: twice(int32(5)),
    };
    let location = Location {
        mapping_index: int32(1),
        address: uint64(2),
        lines: and_empty(Line { function_index: int32(1), line: int64(2), column: int64(3) }),
        attribute_indices: twice(int32(4)),
    };
    let function = Function {
        name_index: int32(1),
        system_name_index: int32(2),
        filename_index: int32(3),
        start_line: int64(4),
    };
    let attribute =
        KeyValueAndUnit { key_index: int32(1), value: AnyValue::Bool(true), unit_index: int32(3) };
    ProfilesDictionary {
        mappings: and_empty(mapping),
        locations: and_empty(location),
        functions: and_empty(function),
        links: and_empty(ProfileLink { trace_id: trace_id(1), span_id: span_id(2) }),
        strings: twice(string(5)),
        attributes: and_empty(attribute),
        stacks: and_empty(Stack { location_indices: twice(int32(1)) }),
    }
}
