//! Input made to hurt: refused with a typed error at the right byte, never a panic, never a blow-up.

use otlp_core::error::DecodeErrorKind;
use otlp_core::view::{LogsView, TracesView};
use otlp_core::wire::Writer;
use otlp_core::{DecodeError, Limits};
use proptest::prelude::*;
use prost::Message;

use crate::merging::{field, request};
use crate::walk;

fn read(body: &[u8], limits: &Limits) -> Result<(), DecodeError> {
    walk::traces(body, limits)?;
    TracesView::parse(body, limits)?.to_record().map(drop)
}

fn refused(body: &[u8]) -> DecodeError {
    read(body, &Limits::DEFAULT).unwrap_err()
}

/// An attribute whose value is a list in a list and so on, `levels` values in all.
fn nested(levels: usize) -> Vec<u8> {
    let mut writer = Writer::new();
    for _ in 1..levels {
        for number in [1_u64, 5] {
            writer.raw_varint(writer.len() as u64);
            writer.raw_varint(number << 3 | 2);
        }
    }
    let value = field(2, writer.as_slice());
    request(&field(9, &value))
}

#[test]
fn an_empty_request_is_valid_and_empty() {
    assert_eq!(read(b"", &Limits::DEFAULT), Ok(()));
    assert_eq!(TracesView::parse(b"", &Limits::DEFAULT).unwrap().resources().len(), 0);
    assert_eq!(LogsView::parse(b"", &Limits::DEFAULT).unwrap().to_record().unwrap().record_count(), 0);
}

#[test]
fn nesting_is_refused_past_the_limit_and_not_before() {
    let limits = Limits::default().max_depth(10);
    assert_eq!(read(&nested(10), &limits), Ok(()));
    let error = read(&nested(11), &limits).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::Limit { what: "max_depth", met: 11, limit: 10 });
}

#[test]
fn a_million_levels_are_refused() {
    let body = nested(1_000_000);
    assert!(body.len() > 1_000_000);
    assert!(refused(&body).is_limit());
    // A limit that nobody should set does not blow the stack either.
    assert!(read(&body, &Limits::default().max_depth(u32::MAX)).unwrap_err().is_limit());
}

#[test]
fn the_default_depth_is_more_than_prost_allows() {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    let accepted = |levels: usize| ExportTraceServiceRequest::decode(nested(levels).as_slice()).is_ok();
    assert!(accepted(40) && !accepted(64));
    assert_eq!(read(&nested(64), &Limits::DEFAULT), Ok(()));
    assert!(refused(&nested(65)).is_limit());
}

#[test]
fn lengths_that_lie_are_refused_where_they_stand() {
    // The request claims 100 bytes and has two.
    assert_eq!(refused(&[0x0a, 100, 0, 0]), DecodeError::new(2, DecodeErrorKind::Truncated));
    let mut huge = vec![0x0a];
    huge.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    assert_eq!(refused(&huge), DecodeError::new(11, DecodeErrorKind::Truncated));
    // A span that reaches past the end of its scope.
    let scope = field(2, &[0x12, 5, 0x2a]);
    assert_eq!(refused(&field(1, &scope)), DecodeError::new(6, DecodeErrorKind::Truncated));
}

#[test]
fn text_that_is_not_utf8_is_refused_at_its_first_byte() {
    let body = request(&field(5, b"ab\xff"));
    assert_eq!(refused(&body), DecodeError::new(8, DecodeErrorKind::Utf8(5)));
    let in_array = field(9, &field(2, &field(5, &field(1, &field(1, b"\xc3\x28")))));
    assert_eq!(refused(&request(&in_array)).kind, DecodeErrorKind::Utf8(1));
}

#[test]
fn a_wrong_wire_type_is_refused_at_its_tag() {
    // The name as a varint.
    let error = refused(&request(&[0x28, 1]));
    assert_eq!(error, DecodeError::new(6, DecodeErrorKind::UnexpectedWireType { field: 5, met: 0 }));
    // Groups, and field number zero.
    assert_eq!(refused(&[0x0b]).kind, DecodeErrorKind::WireType(3));
    assert_eq!(refused(&[0x02, 0]).kind, DecodeErrorKind::FieldNumber);
}

#[test]
fn identifiers_have_their_length_or_are_not_set() {
    let id = |number, len| read(&request(&field(number, &vec![7; len])), &Limits::DEFAULT);
    for (number, expected) in [(1, 16), (2, 8), (4, 8)] {
        assert_eq!(id(number, usize::from(expected)), Ok(()));
        assert_eq!(id(number, 0), Ok(()));
        for met in [1, expected - 1, expected + 1, 255] {
            let error = id(number, usize::from(met)).unwrap_err();
            assert_eq!(error, DecodeError::new(error.offset, DecodeErrorKind::IdLength { expected, met }));
        }
    }
}

#[test]
fn zero_identifiers_are_read_and_known_to_be_invalid() {
    let body = request(&[field(1, &[0; 16]), field(2, &[0; 8])].concat());
    let record = TracesView::parse(&body, &Limits::DEFAULT).unwrap().to_record().unwrap();
    let span = &record.resources[0].scopes[0].spans[0];
    assert!(!span.trace_id.is_valid() && !span.span_id.is_valid());
    let body = request(&field(2, &[0, 0, 0, 0, 0, 0, 0, 1]));
    let record = TracesView::parse(&body, &Limits::DEFAULT).unwrap().to_record().unwrap();
    assert!(record.resources[0].scopes[0].spans[0].span_id.is_valid());
}

#[test]
fn every_limit_holds_and_says_which_it_was() {
    let pair = field(9, &[field(1, b"key"), field(2, &field(1, b"value"))].concat());
    let body = request(&[pair.clone(), pair.clone(), pair].concat());
    let heap = |body: &[u8], limits: &Limits| TracesView::parse(body, limits)?.to_record();
    let mut enough = Limits::default();
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
        ("max_heap_bytes", Limits::default().max_heap_bytes(100), Limits::default().max_heap_bytes(4096)),
    ] {
        let error = heap(&body, &tight).unwrap_err();
        assert!(matches!(error.kind, DecodeErrorKind::Limit { what: met, .. } if met == what), "{error}");
        heap(&body, &fitting).unwrap();
        enough = fitting;
    }
    assert!(heap(&body, &enough).is_ok());
}

#[test]
fn many_pieces_cost_no_more_than_their_bytes() {
    // A quadratic search for pieces would take hours here.
    let piece = field(1, b"\x10\x01").repeat(500_000);
    let traces = TracesView::parse(&piece, &Limits::DEFAULT).unwrap();
    assert_eq!(traces.resources().len(), 500_000);
    let body = field(1, &piece);
    let group = TracesView::parse(&body, &Limits::DEFAULT).unwrap().resources().next().unwrap().unwrap();
    assert_eq!(group.resource().dropped_attributes_count(), 1);
    let value = field(2, &field(5, b"")).repeat(300_000);
    assert_eq!(read(&request(&field(9, &value)), &Limits::DEFAULT), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_make_a_panic(body: Vec<u8>) {
        let _ = walk::traces(&body, &Limits::DEFAULT);
        let _ = walk::logs(&body, &Limits::DEFAULT);
        let _ = walk::metrics(&body, &Limits::DEFAULT);
        let _ = walk::profiles(&body, &Limits::DEFAULT);
    }
}
