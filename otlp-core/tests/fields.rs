//! Every field number, type and label of every OTLP message, against the descriptors of another implementation.
//!
//! `data/fields.tsv` is what the Python package says (see `data/make_fields.py`). Records with every field set are
//! encoded; a reader that knows nothing but the list has to find every field of the list in the bytes, with the value
//! that number and type decide, and no other. The views then have to read the same records back.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

#[path = "fields/record.rs"]
mod record;
#[path = "fields/schema.rs"]
mod schema;

use std::collections::BTreeSet;

use otlp_core::encode::Encode;
use otlp_core::record::{ExportResponse, KeyValue, ProcessContext, Resource};
use otlp_core::view::{
    ExportResponseView, LogsView, MetricsView, ProcessContextView, ProfilesView, TracesView,
};
use otlp_core::{DecodeError, Limits};

use schema::{Field, Met, Schema};

const SERVICES: [(&str, &str); 4] = [
    ("trace.v1", "Trace"),
    ("logs.v1", "Logs"),
    ("metrics.v1", "Metrics"),
    ("profiles.v1development", "Profiles"),
];

const TYPES: [&str; 14] = [
    "bool", "bytes", "double", "enum", "fixed32", "fixed64", "int32", "int64", "message", "sfixed64",
    "sint32", "string", "uint32", "uint64",
];

fn collector(package: &str, signal: &str, what: &str) -> String {
    format!("opentelemetry.proto.collector.{package}.Export{signal}{what}")
}

/// Every request and response, encoded.
fn encoded() -> Vec<(String, Vec<u8>)> {
    let requests = [
        record::traces().encode_to_bytes(),
        record::logs().encode_to_bytes(),
        record::metrics().encode_to_bytes(),
        record::profiles().encode_to_bytes(),
    ];
    let response = ExportResponse::partial(record::rejected(1), record::string(2)).encode_to_bytes();
    let mut all = Vec::new();
    for ((package, signal), request) in SERVICES.into_iter().zip(requests) {
        all.push((collector(package, signal, "ServiceRequest"), request.to_vec()));
        all.push((collector(package, signal, "ServiceResponse"), response.to_vec()));
    }
    all
}

/// What a reader that knows only `schema` finds wrong with `encoded`, where all `expected` fields have to be met.
fn complaints<'s>(
    schema: &'s Schema,
    encoded: &[(String, Vec<u8>)],
    expected: impl Iterator<Item = &'s Field>,
) -> Result<(), String> {
    let mut met = Met::default();
    for (message, bytes) in encoded {
        schema.read(message, bytes, &mut met)?;
    }
    for field in expected {
        let place = (field.message.as_str(), field.number);
        if !met.fields.contains(&place) || (field.label == "repeated" && !met.several.contains(&place)) {
            return Err(format!("{}.{} was never met, or never several of it", field.message, field.name));
        }
    }
    Ok(())
}

/// The messages for files have the fields of the requests, and no encoder of their own.
fn is_file(field: &Field) -> bool {
    ["TracesData", "LogsData", "MetricsData", "ProfilesData"].iter().any(|name| field.message.ends_with(name))
}

#[test]
fn the_list_is_whole() {
    let schema = Schema::frozen();
    let messages: BTreeSet<_> = schema.fields().map(|field| &field.message).collect();
    assert_eq!((schema.fields().count(), messages.len()), (223, 60));
}

#[test]
fn every_field_is_written_as_the_other_implementation_has_it() {
    let schema = Schema::frozen();
    assert_eq!(complaints(&schema, &encoded(), schema.fields().filter(|field| !is_file(field))), Ok(()));
}

/// The planted faults: a list that differs in any one number, type or label does not pass.
#[test]
fn any_one_difference_in_number_type_or_label_shows() {
    let (frozen, mut encoded) = (Schema::frozen(), encoded());
    encoded.sort_by_key(|(_, bytes)| bytes.len());
    for field in frozen.fields().filter(|field| !is_file(field)) {
        // The shortest one that has the message will do.
        let has = |one: &&(String, Vec<u8>)| {
            complaints(&frozen, std::slice::from_ref(*one), [field].into_iter()).is_ok()
        };
        let encoded = std::slice::from_ref(encoded.iter().find(has).unwrap());
        let passes = |other: Field| {
            let mut schema = frozen.clone();
            schema.remove(field);
            schema.insert(other.clone());
            let expected = schema.of(&other.message).filter(|field| field.number == other.number);
            complaints(&schema, encoded, expected).is_ok()
        };
        assert!(passes(field.clone()));
        assert!(!passes(Field { number: field.number + 20, ..field.clone() }), "{field:?}");
        for kind in TYPES {
            let kept = passes(Field { kind: kind.to_owned(), ..field.clone() });
            assert_eq!(kept, kind == field.kind, "{field:?} as {kind}");
        }
        let label = if field.label == "repeated" { "singular" } else { "repeated" };
        assert!(!passes(Field { label: label.to_owned(), ..field.clone() }), "{field:?}");
    }
}

#[test]
fn the_views_read_back_every_field() -> Result<(), DecodeError> {
    let limits = Limits::default();
    let bytes = record::traces().encode_to_bytes();
    assert_eq!(TracesView::parse(&bytes, &limits)?.to_record()?, record::traces());
    let bytes = record::logs().encode_to_bytes();
    assert_eq!(LogsView::parse(&bytes, &limits)?.to_record()?, record::logs());
    let bytes = record::metrics().encode_to_bytes();
    assert_eq!(MetricsView::parse(&bytes, &limits)?.to_record()?, record::metrics());
    let bytes = record::profiles().encode_to_bytes();
    assert_eq!(ProfilesView::parse(&bytes, &limits)?.to_record()?, record::profiles());
    let response = ExportResponse::partial(record::rejected(1), record::string(2));
    let bytes = response.encode_to_bytes();
    assert_eq!(ExportResponseView::parse(&bytes, &limits)?.to_record(), response);
    Ok(())
}

#[test]
fn the_messages_for_files_have_the_fields_of_the_requests() {
    let schema = Schema::frozen();
    let shape = |message: &str| -> Vec<_> {
        schema.of(message).map(|field| (field.number, &field.name, &field.type_name, &field.label)).collect()
    };
    for ((package, signal), file) in SERVICES.into_iter().zip(["Traces", "Logs", "Metrics", "Profiles"]) {
        let request = shape(&collector(package, signal, "ServiceRequest"));
        assert!(!request.is_empty());
        assert_eq!(shape(&format!("opentelemetry.proto.{package}.{file}Data")), request);
    }
}

/// opentelemetry-proto 1.11 adds this message, which the published packages do not have yet: its bytes are made here by
/// hand. Field 1 is the resource, field 2, repeated, an attribute.
#[test]
fn the_process_context_has_the_bytes_of_version_1_11() -> Result<(), DecodeError> {
    let golden: &[u8] = b"\x0a\x18\
        \x0a\x16\x0a\x0cservice.name\x12\x06\x0a\x04cart\
        \x12\x0a\x0a\x04pool\x12\x02\x18\x07\
        \x12\x0a\x0a\x04beta\x12\x02\x10\x01";
    let context = ProcessContext {
        resource: Resource::service("cart"),
        attributes: vec![KeyValue::new("pool", 7_i64), KeyValue::new("beta", true)],
    };
    assert_eq!(context.encode_to_bytes(), golden);
    assert_eq!(ProcessContextView::parse(golden, &Limits::DEFAULT)?.to_record()?, context);
    // The same in descending order.
    let (resource, attributes) = golden.split_at(26);
    let descending = [attributes, resource].concat();
    assert_eq!(ProcessContextView::parse(&descending, &Limits::DEFAULT)?.to_record()?, context);
    // The planted faults: the resource cut short, and an attribute under another number.
    assert!(ProcessContextView::parse(&golden[..20], &Limits::DEFAULT).is_err());
    let mut other = golden.to_vec();
    other[26] = 0x1a;
    assert_eq!(
        ProcessContextView::parse(&other, &Limits::DEFAULT)?.to_record()?.attributes,
        context.attributes[1..]
    );
    assert_eq!(ProcessContext::default().encode_to_bytes(), b""[..]);
    Ok(())
}
