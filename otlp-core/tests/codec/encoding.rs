//! Encoders: exact bytes, kept room, and what is left out.

use otlp_core::encode::Encode;
use otlp_core::record::{
    AnyValue, KeyValue, Metric, MetricData, NumberPoint, NumberValue, Quantile, Span, SpanKind, Status,
    StatusCode, Sum, Temporality,
};
use otlp_core::wire::Writer;
use otlp_core::{SpanId, TraceId, UnixNanos};

#[test]
fn a_record_of_defaults_is_no_bytes() {
    assert!(Span::default().encode_to_bytes().is_empty());
    assert!(Metric::default().encode_to_bytes().is_empty());
    assert!(KeyValue::default().encode_to_bytes().is_empty());
    // The planted fault: one field that is not the default shows.
    assert!(!Span { dropped_links_count: 1, ..Span::default() }.encode_to_bytes().is_empty());
}

#[test]
fn members_of_oneofs_are_written_even_when_they_hold_the_default() {
    let bytes = |value: AnyValue| KeyValue::new("", value).encode_to_bytes().to_vec();
    assert_eq!(bytes(AnyValue::Bool(false)), b"\x12\x02\x10\x00");
    assert_eq!(bytes(AnyValue::String(String::new())), b"\x12\x02\x0a\x00");
    assert_eq!(bytes(AnyValue::Array(Vec::new())), b"\x12\x02\x2a\x00");
    assert_eq!(bytes(AnyValue::Array(vec![AnyValue::Empty])), b"\x12\x04\x2a\x02\x0a\x00");
    let point = NumberPoint { value: Some(NumberValue::Int(0)), ..NumberPoint::default() };
    assert_eq!(point.encode_to_bytes().as_ref(), b"\x31\0\0\0\0\0\0\0\0");
}

#[test]
fn minus_zero_is_not_the_default() {
    let quantile = Quantile { quantile: -0.0, value: 0.0 };
    assert_eq!(quantile.encode_to_bytes().as_ref(), b"\x09\0\0\0\0\0\0\0\x80");
}

#[test]
fn negative_enums_take_ten_bytes_as_protobuf_has_it() {
    let status = Status { code: StatusCode::Other(-1), message: String::new() };
    assert_eq!(status.encode_to_bytes().as_ref(), b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
}

#[test]
fn a_span_is_written_in_ascending_order() {
    let span = Span {
        trace_id: TraceId::new([1; 16]),
        span_id: SpanId::new([2; 8]),
        flags: 1,
        name: "n".into(),
        kind: SpanKind::Server,
        start: UnixNanos(1),
        end: UnixNanos(2),
        attributes: vec![KeyValue::new("a", true), KeyValue::new("b", "c")],
        ..Span::default()
    };
    let mut expected = vec![0x0a, 16];
    expected.extend([1; 16]);
    expected.extend([0x12, 8]);
    expected.extend([2; 8]);
    expected.extend(b"\x2a\x01n\x30\x02\x39\x01\0\0\0\0\0\0\0\x41\x02\0\0\0\0\0\0\0");
    expected.extend(b"\x4a\x07\x0a\x01a\x12\x02\x10\x01\x4a\x08\x0a\x01b\x12\x03\x0a\x01c");
    expected.extend(b"\x85\x01\x01\0\0\0");
    assert_eq!(span.encode_to_bytes(), expected);
}

#[test]
fn a_writer_takes_one_message_after_the_other_and_starts_anew_when_cleared() {
    let points = vec![NumberPoint { time: UnixNanos(9), ..NumberPoint::default() }];
    let sum = Sum { points, temporality: Temporality::Cumulative, is_monotonic: true };
    let metric = Metric { name: "m".into(), data: Some(MetricData::Sum(sum)), ..Metric::default() };
    let alone = metric.encode_to_bytes();
    let mut writer = Writer::with_capacity(8);
    metric.encode(&mut writer);
    metric.encode(&mut writer);
    assert_eq!(writer.as_slice(), [alone.as_ref(), alone.as_ref()].concat());
    writer.clear();
    metric.encode(&mut writer);
    assert_eq!(writer.as_slice(), alone);
}
