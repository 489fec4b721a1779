//! Wire to JSON: small cases by hand, and what is refused.

use otlp_core::error::DecodeErrorKind;
use otlp_core::json::Body;
use otlp_core::protocol::Signal;
use otlp_core::{DecodeError, Limits};

use crate::generate::delimited as field;
use crate::{write, write_within};

/// A traces request with one span of these fields.
fn span(fields: &[&[u8]]) -> Vec<u8> {
    field(1, &field(2, &field(2, &fields.concat())))
}

/// The JSON of a span with these fields.
fn written(fields: &[&[u8]]) -> Result<String, DecodeError> {
    let text = write(Signal::Traces, &span(fields))?;
    let inner = text.strip_prefix(r#"{"resourceSpans":[{"scopeSpans":[{"spans":["#).unwrap();
    Ok(inner.strip_suffix("]}]}]}").unwrap().to_owned())
}

fn value(fields: &[u8]) -> Result<String, DecodeError> {
    written(&[&field(9, &field(2, fields))])
}

#[test]
fn an_empty_message_is_an_empty_object() {
    for signal in Signal::ALL {
        assert_eq!(write(signal, b"").unwrap(), "{}");
    }
    assert_eq!(written(&[]).unwrap(), "{}");
    assert_eq!(write(Signal::Traces, &field(1, b"")).unwrap(), r#"{"resourceSpans":[{}]}"#);
}

#[test]
fn an_empty_key_is_left_out_whether_or_not_it_stands_on_the_wire() {
    let text = field(2, &field(1, b"x"));
    let expected = r#"{"attributes":[{"value":{"stringValue":"x"}}]}"#;
    for key in [&b""[..], &field(1, b"")] {
        assert_eq!(written(&[&field(9, &[key, &text].concat())]).unwrap(), expected);
        assert_eq!(written(&[&field(9, &[&text, key].concat())]).unwrap(), expected);
    }
}

#[test]
fn defaults_are_left_out_and_presence_is_kept() {
    assert_eq!(written(&[b"\x30\x00\x2a\x00\x0a\x00\x39\0\0\0\0\0\0\0\0"]).unwrap(), "{}");
    assert_eq!(written(&[&field(15, b"")]).unwrap(), r#"{"status":{}}"#);
    for (fields, expected) in [
        (b"".as_slice(), "{}"),
        (b"\x0a\x00", r#"{"stringValue":""}"#),
        (b"\x10\x00", r#"{"boolValue":false}"#),
        (b"\x18\x00", r#"{"intValue":"0"}"#),
        (b"\x21\0\0\0\0\0\0\0\0", r#"{"doubleValue":0.0}"#),
        (b"\x21\0\0\0\0\0\0\0\x80", r#"{"doubleValue":-0.0}"#),
        (b"\x2a\x00", r#"{"arrayValue":{}}"#),
        (b"\x32\x02\x0a\x00", r#"{"kvlistValue":{"values":[{}]}}"#),
        (b"\x3a\x00", r#"{"bytesValue":""}"#),
        (b"\x40\x00", r#"{"stringValueStrindex":0}"#),
    ] {
        assert_eq!(value(fields).unwrap(), format!(r#"{{"attributes":[{{"value":{expected}}}]}}"#));
    }
    // Minus zero is not the default, nor is an optional field that is zero.
    let quantile =
        field(1, &field(2, &field(2, &field(11, &field(1, &field(6, b"\x09\0\0\0\0\0\0\0\x80"))))));
    assert!(write(Signal::Metrics, &quantile).unwrap().contains(r#""quantileValues":[{"quantile":-0.0}]"#));
    let sum = field(1, &field(2, &field(2, &field(9, &field(1, b"\x29\0\0\0\0\0\0\0\0")))));
    assert!(write(Signal::Metrics, &sum).unwrap().contains(r#""dataPoints":[{"sum":0.0}]"#));
}

#[test]
fn numbers_and_bytes_are_as_the_specification_has_them() {
    let id: Vec<u8> = (0xa0..0xb0).collect();
    let fields =
        [&field(1, &id), b"\x30\x02\x39\xff\xff\xff\xff\xff\xff\xff\xff\x85\x01\xff\xff\xff\xff".as_slice()];
    assert_eq!(
        written(&fields).unwrap(),
        r#"{"traceId":"a0a1a2a3a4a5a6a7a8a9aaabacadaeaf","kind":2,"startTimeUnixNano":"18446744073709551615","flags":4294967295}"#
    );
    // An enumeration keeps the low 32 bits, as protobuf does.
    assert_eq!(written(&[b"\x30\x81\x80\x80\x80\x10"]).unwrap(), r#"{"kind":1}"#);
    assert_eq!(written(&[b"\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"]).unwrap(), r#"{"kind":-1}"#);
    let bytes = value(b"\x3a\x04\xfb\xff\xbf\x00").unwrap();
    assert!(bytes.contains(r#""bytesValue":"+/+/AA==""#), "{bytes}");
}

#[test]
fn responses_and_status_are_written() {
    let partial = field(1, &[b"\x08\x03".as_slice(), &field(2, b"too \"old\"")].concat());
    for (signal, name) in [
        (Signal::Traces, "rejectedSpans"),
        (Signal::Metrics, "rejectedDataPoints"),
        (Signal::Logs, "rejectedLogRecords"),
        (Signal::Profiles, "rejectedProfiles"),
    ] {
        let expected = format!(r#"{{"partialSuccess":{{"{name}":"3","errorMessage":"too \"old\""}}}}"#);
        assert_eq!(write(Body::Response(signal), &partial).unwrap(), expected);
    }
    let status = [b"\x08\x08".as_slice(), &field(2, b"slow down"), &field(3, b"\x0a\x01x")].concat();
    assert_eq!(write(Body::Status, &status).unwrap(), r#"{"code":8,"message":"slow down"}"#);
}

#[test]
fn pieces_are_joined_and_cleared_members_do_not_come_back() {
    let list = |text: &[u8]| field(5, &field(1, &field(1, text)));
    let pieces = [list(b"gone"), field(1, b"text"), list(b"kept"), list(b"too")].concat();
    let expected = r#"{"attributes":[{"value":{"arrayValue":{"values":[{"stringValue":"kept"},{"stringValue":"too"}]}}}]}"#;
    assert_eq!(value(&pieces).unwrap(), expected);
    // The same where the value itself comes in pieces, one of them empty.
    let first = field(2, &[list(b"gone"), field(1, b"text")].concat());
    let rest = [field(2, &list(b"kept")), field(2, b""), field(2, &list(b"too"))].concat();
    assert_eq!(written(&[&field(9, &[first, rest].concat())]).unwrap(), expected);
}

#[test]
fn what_is_refused_is_told_with_its_offset() {
    let refused = |fields: &[u8]| written(&[fields]).unwrap_err();
    // The name begins behind six bytes of heads and its own.
    assert_eq!(refused(b"\x2a\x02\xff\xff"), DecodeError::new(8, DecodeErrorKind::Utf8(5)));
    assert_eq!(refused(b"\x2a\x01\xff\x2a\x01a"), DecodeError::new(8, DecodeErrorKind::Utf8(5)));
    assert_eq!(refused(b"\x28\x01").kind, DecodeErrorKind::UnexpectedWireType { field: 5, met: 0 });
    assert_eq!(refused(b"\x2b").kind, DecodeErrorKind::WireType(3));
    assert_eq!(refused(b"\x2a\x09a"), DecodeError::new(8, DecodeErrorKind::Truncated));
    assert_eq!(
        refused(b"\x0a\x02ab"),
        DecodeError::new(8, DecodeErrorKind::IdLength { expected: 16, met: 2 })
    );
    assert_eq!(refused(b"\xa2\x06\x05").kind, DecodeErrorKind::Truncated);
    assert_eq!(refused(b"\x00").kind, DecodeErrorKind::FieldNumber);
    // A text that a later member of the oneof replaces is still looked at.
    assert_eq!(value(b"\x0a\x01\xff\x10\x01").unwrap_err().kind, DecodeErrorKind::Utf8(1));
}

/// Attribute values one in the other, this many.
fn nested(levels: usize) -> Vec<u8> {
    let mut value = Vec::new();
    for _ in 1..levels {
        value = field(5, &field(1, &value));
    }
    span(&[&field(9, &field(2, &value))])
}

#[test]
fn nesting_is_refused_past_the_limit_and_not_before() {
    let limits = Limits::default().max_depth(10);
    assert!(write_within(Signal::Traces, &nested(10), &limits).is_ok());
    let error = write_within(Signal::Traces, &nested(11), &limits).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::Limit { what: "max_depth", met: 11, limit: 10 });
    // A limit that nobody should set does not blow the stack.
    crate::with_room(|| {
        let limits = Limits::default().max_depth(u32::MAX);
        assert!(write_within(Signal::Traces, &nested(256), &limits).is_ok());
        assert!(write_within(Signal::Traces, &nested(257), &limits).unwrap_err().is_limit());
    });
}

#[test]
fn every_limit_holds_and_says_which_it_was() {
    let pair = field(9, &[field(1, b"key"), field(2, &field(1, b"value"))].concat());
    let body = span(&[&pair, &pair, &pair]);
    let bounds = span(&[&pair]);
    for (what, tight, fitting) in [
        ("max_attributes", Limits::default().max_attributes(2), Limits::default().max_attributes(3)),
        ("max_string_bytes", Limits::default().max_string_bytes(4), Limits::default().max_string_bytes(5)),
        ("max_depth", Limits::default().max_depth(0), Limits::default().max_depth(1)),
        ("max_elements", Limits::default().max_elements(0), Limits::default().max_elements(1)),
        (
            "max_message_bytes",
            Limits::default().max_message_bytes(body.len() - 1),
            Limits::default().max_message_bytes(body.len()),
        ),
    ] {
        let error = write_within(Signal::Traces, &body, &tight).unwrap_err();
        assert!(matches!(error.kind, DecodeErrorKind::Limit { what: met, .. } if met == what), "{error}");
        assert!(write_within(Signal::Traces, &body, &fitting).is_ok(), "{what}");
    }
    assert!(write_within(Signal::Traces, &bounds, &Limits::default().max_attributes(1)).is_ok());
    // Numbers are counted one by one, packed or not.
    let buckets = field(9, &field(1, &field(6, &[0; 24])));
    let body = field(1, &field(2, &field(2, &buckets)));
    let limits = |most| Limits::default().max_elements(most);
    assert!(write_within(Signal::Metrics, &body, &limits(3)).is_ok());
    assert!(write_within(Signal::Metrics, &body, &limits(2)).unwrap_err().is_limit());
}
