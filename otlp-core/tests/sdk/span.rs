//! Spans of the SDK encoded straight to bytes, against `opentelemetry-proto` and prost.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Array, InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use otlp_core::interop::sdk::SpanEncoder;
use otlp_core::wire::Writer;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use prost::Message;

pub(crate) fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::I64),
        any::<i32>().prop_map(|number| Value::F64(number.into())),
        "\\PC{0,12}".prop_map(|text| Value::String(text.into())),
        prop::collection::vec(any::<bool>(), 0..3).prop_map(|list| Value::Array(Array::Bool(list))),
        prop::collection::vec(any::<i64>(), 0..3).prop_map(|list| Value::Array(Array::I64(list))),
        prop::collection::vec(-1e9..1e9, 0..3).prop_map(|list| Value::Array(Array::F64(list))),
        prop::collection::vec("[a-z]{0,4}", 0..3).prop_map(|list| {
            Value::Array(Array::String(list.into_iter().map(StringValue::from).collect()))
        }),
    ]
}

pub(crate) fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let pair = ("[a-z.]{0,9}", value()).prop_map(|(key, value)| KeyValue::new(key, value));
    prop::collection::vec(pair, 0..4)
}

pub(crate) fn time() -> impl Strategy<Value = SystemTime> {
    any::<u32>().prop_map(|nanos| UNIX_EPOCH + Duration::from_nanos(u64::from(nanos)))
}

fn context() -> impl Strategy<Value = SpanContext> {
    let state = prop::collection::vec(("[a-z]{1,3}", "[a-z0-9]{1,4}"), 0..4);
    (any::<u128>(), any::<u64>(), any::<u8>(), any::<bool>(), state).prop_map(
        |(trace, span, flags, remote, state)| {
            let state = TraceState::from_key_value(state).unwrap_or_default();
            let (trace, span) = (TraceId::from(trace), SpanId::from(span));
            SpanContext::new(trace, span, TraceFlags::new(flags), remote, state)
        },
    )
}

fn events() -> impl Strategy<Value = SpanEvents> {
    let event = ("[a-z]{0,8}", time(), attributes(), 0..3_u32)
        .prop_map(|(name, time, attributes, dropped)| Event::new(name, time, attributes, dropped));
    (prop::collection::vec(event, 0..3), 0..3_u32).prop_map(|(list, dropped)| {
        let mut events = SpanEvents::default();
        events.events = list;
        events.dropped_count = dropped;
        events
    })
}

fn links() -> impl Strategy<Value = SpanLinks> {
    let link = (context(), attributes(), 0..3_u32)
        .prop_map(|(context, attributes, dropped)| Link::new(context, attributes, dropped));
    (prop::collection::vec(link, 0..3), 0..3_u32).prop_map(|(list, dropped)| {
        let mut links = SpanLinks::default();
        links.links = list;
        links.dropped_count = dropped;
        links
    })
}

fn status() -> impl Strategy<Value = Status> {
    prop_oneof![Just(Status::Unset), Just(Status::Ok), "[a-z ]{0,9}".prop_map(Status::error)]
}

fn kind() -> impl Strategy<Value = SpanKind> {
    prop::sample::select(vec![
        SpanKind::Internal,
        SpanKind::Server,
        SpanKind::Client,
        SpanKind::Producer,
        SpanKind::Consumer,
    ])
}

/// One of few scopes, so that they come back; `many` makes them all different.
pub(crate) fn scope(number: u32) -> InstrumentationScope {
    let scope = InstrumentationScope::builder(format!("scope-{number}"));
    match number % 3 {
        0 => scope.build(),
        1 => scope.with_version("1.2").with_schema_url("https://example.com/1").build(),
        _ => scope.with_attributes([KeyValue::new("a", 1), KeyValue::new("b", "two")]).build(),
    }
}

fn span() -> impl Strategy<Value = SpanData> {
    let first = (context(), any::<u64>(), any::<bool>(), kind(), "[a-z /]{0,12}", time());
    let second = (time(), attributes(), 0..3_u32, events(), links(), status(), 0..5_u32);
    (first, second).prop_map(|(first, second)| {
        let (span_context, parent, parent_span_is_remote, span_kind, name, start_time) = first;
        let (end_time, attributes, dropped_attributes_count, events, links, status, number) = second;
        SpanData {
            span_context,
            parent_span_id: SpanId::from(if parent % 3 == 0 { 0 } else { parent }),
            parent_span_is_remote,
            span_kind,
            name: Cow::Owned(name),
            start_time,
            end_time,
            attributes,
            dropped_attributes_count,
            events,
            links,
            status,
            instrumentation_scope: scope(number),
        }
    })
}

/// What `opentelemetry-otlp` sends.
fn expected(spans: Vec<SpanData>, resource: &Resource) -> Vec<u8> {
    let resource = ResourceAttributesWithSchema::from(resource);
    let resource_spans = group_spans_by_resource_and_scope(spans, &resource);
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

pub(crate) fn resource() -> Resource {
    // One attribute: several follow the order of a hash map.
    Resource::builder_empty()
        .with_schema_url([KeyValue::new("service.name", "cart")], "https://example.com/2")
        .build()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn spans_become_the_bytes_that_the_official_exporter_sends(
        spans in prop::collection::vec(span(), 0..8)
    ) {
        let (mut encoder, mut writer) = (SpanEncoder::new(), Writer::new());
        for _ in 0..2 {
            writer.clear();
            encoder.encode(&spans, &resource(), &mut writer);
            prop_assert_eq!(writer.as_slice(), expected(spans.clone(), &resource()));
        }
    }

    /// The planted fault: the comparison sees one byte of one field.
    #[test]
    fn a_changed_span_gives_other_bytes(span in span()) {
        let mut writer = Writer::new();
        SpanEncoder::new().encode(std::slice::from_ref(&span), &resource(), &mut writer);
        let mut other = span;
        other.dropped_attributes_count += 1;
        prop_assert_ne!(writer.as_slice(), expected(vec![other], &resource()));
    }
}

#[test]
fn more_scopes_than_are_compared_one_by_one_are_grouped_alike() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let model = span().new_tree(&mut runner).unwrap().current();
    let numbers = (0..200).chain([3, 150, 3, 0, 199]);
    let with_scope = |number| SpanData { instrumentation_scope: scope(number), ..model.clone() };
    let spans: Vec<_> = numbers.map(with_scope).collect();
    let mut writer = Writer::new();
    SpanEncoder::new().encode(&spans, &resource(), &mut writer);
    assert_eq!(writer.as_slice(), expected(spans, &resource()));
}

#[test]
fn all_attributes_of_a_resource_arrive() {
    let attributes = (0..20).map(|number| KeyValue::new(format!("key-{number}"), number));
    let resource = Resource::builder_empty().with_attributes(attributes).build();
    let mut writer = Writer::new();
    SpanEncoder::new().encode(&[], &resource, &mut writer);
    let request = ExportTraceServiceRequest::decode(writer.as_slice()).unwrap();
    let expected = ExportTraceServiceRequest::decode(expected(Vec::new(), &resource).as_slice()).unwrap();
    let sorted = |request: ExportTraceServiceRequest| {
        let resource = request.resource_spans.into_iter().next().unwrap().resource.unwrap();
        let mut attributes = resource.attributes;
        attributes.sort_by(|a, b| a.key.cmp(&b.key));
        attributes
    };
    assert_eq!(sorted(request), sorted(expected));
}
