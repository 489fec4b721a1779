//! The table against the descriptors of the Python package.

use std::collections::{BTreeMap, BTreeSet};

use super::common::ANY_VALUE;
use super::*;

const FIELDS: &str = include_str!("../../tests/data/fields.tsv");

/// Every message that a request or response can hold, by name.
fn reachable() -> BTreeMap<&'static str, &'static Message> {
    let mut pending = vec![
        &TRACES_REQUEST,
        &METRICS_REQUEST,
        &LOGS_REQUEST,
        &PROFILES_REQUEST,
        &TRACES_RESPONSE,
        &METRICS_RESPONSE,
        &LOGS_RESPONSE,
        &PROFILES_RESPONSE,
    ];
    let mut met = BTreeMap::new();
    while let Some(message) = pending.pop() {
        if met.insert(message.name, message).is_none() {
            pending.extend(message.fields.iter().filter_map(|field| match field.kind {
                Kind::Message(child) => Some(child),
                _ => None,
            }));
        }
    }
    met
}

/// A field as a line of the file says it.
fn line(message: &str, field: &Field) -> String {
    let json = std::str::from_utf8(field.key.name()).unwrap();
    let (kind, holds) = match field.kind {
        Kind::Int32 => ("int32", "-"),
        Kind::Int64 => ("int64", "-"),
        Kind::Uint32 => ("uint32", "-"),
        Kind::Uint64 => ("uint64", "-"),
        Kind::Sint32 => ("sint32", "-"),
        Kind::Bool => ("bool", "-"),
        Kind::Enum(names) => ("enum", names.name),
        Kind::Fixed32 => ("fixed32", "-"),
        Kind::Fixed64 => ("fixed64", "-"),
        Kind::Sfixed64 => ("sfixed64", "-"),
        Kind::Double => ("double", "-"),
        Kind::String => ("string", "-"),
        Kind::Bytes | Kind::Id(_) => ("bytes", "-"),
        Kind::Message(child) => ("message", child.name),
    };
    let label = match field.label {
        Label::Single | Label::Member => "singular",
        Label::Optional => "optional",
        Label::List | Label::Attributes => "repeated",
    };
    let oneof = match field.label {
        Label::Member if message.ends_with(".Metric") => "data",
        Label::Member => "value",
        _ => "-",
    };
    format!("{message}\t{}\t{}\t{json}\t{kind}\t{holds}\t{label}\t{oneof}", field.number, field.name)
}

/// Messages of files, which have the fields of the requests.
fn is_data(line: &str) -> bool {
    line.split('\t').next().is_some_and(|name| name.ends_with("Data"))
}

#[test]
fn every_field_of_every_message_is_as_the_descriptors_say() {
    let ours: BTreeSet<String> = reachable()
        .values()
        .flat_map(|message| message.fields.iter().map(|field| line(message.name, field)))
        .collect();
    let theirs: BTreeSet<String> =
        FIELDS.lines().filter(|line| !line.starts_with('#') && !is_data(line)).map(str::to_owned).collect();
    assert!(theirs.len() > 200);
    assert_eq!(ours, theirs);
}

#[test]
fn a_file_holds_what_a_request_holds() {
    for (request, name) in [
        (&TRACES_REQUEST, "opentelemetry.proto.trace.v1.TracesData"),
        (&METRICS_REQUEST, "opentelemetry.proto.metrics.v1.MetricsData"),
        (&LOGS_REQUEST, "opentelemetry.proto.logs.v1.LogsData"),
        (&PROFILES_REQUEST, "opentelemetry.proto.profiles.v1development.ProfilesData"),
    ] {
        let ours: Vec<String> = request.fields.iter().map(|field| line(name, field)).collect();
        let theirs: Vec<&str> = FIELDS.lines().filter(|line| line.split('\t').next() == Some(name)).collect();
        assert_eq!(ours, theirs);
    }
}

#[test]
fn tags_lead_to_their_fields_and_no_others() {
    for message in reachable().values() {
        for tag in 0..300 {
            let (number, wire_type) = (tag >> 3, tag & 7);
            let expected = message.fields.iter().position(|field| {
                let alone = field.kind.wire_type() == wire_type;
                field.number == number && (alone || field.is_packed() && wire_type == 2)
            });
            assert_eq!(message.by_tag(tag).map(|(index, _)| index), expected, "{} {tag}", message.name);
        }
    }
}

#[test]
fn members_of_a_oneof_know_each_other() {
    let rivals = |index| ANY_VALUE.rivals(index);
    assert_eq!(rivals(0), 0b1111_1110);
    assert_eq!(rivals(7), 0b0111_1111);
    // An optional field is alone.
    let histogram = reachable()["opentelemetry.proto.metrics.v1.HistogramDataPoint"];
    assert!((0..MOST_FIELDS).all(|index| histogram.rivals(index) == 0));
}

#[test]
fn names_of_keys_are_found_with_their_quote_and_not_without() {
    for message in reachable().values() {
        for field in message.fields {
            let mut text = field.key.name().to_vec();
            let len = text.len();
            let head = |text: &[u8]| {
                let mut head = [0; 16];
                head.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
                u128::from_le_bytes(head)
            };
            text.extend(b"x\":1");
            assert_eq!(field.key.matches(head(&text), &text), None);
            text.remove(len);
            assert_eq!(field.key.matches(head(&text), &text), Some(len + 1));
        }
    }
}
