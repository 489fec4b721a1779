//! Log records.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::SystemTime;

use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::{InstrumentationScope, Key, KeyValue, SpanId, TraceFlags, TraceId};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::logs::tonic::group_logs_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{LogBatch, SdkLogRecord, SdkLogger, SdkLoggerProvider};
use otlp_core::interop::sdk::LogEncoder;
use otlp_core::wire::Writer;
use proptest::prelude::*;
use prost::Message;

use crate::canonical;
use crate::span::{resource, scope, time};

type Entry = (SdkLogRecord, InstrumentationScope);

/// The only way to a record is a logger.
pub(crate) fn empty() -> SdkLogRecord {
    static LOGGER: OnceLock<SdkLogger> = OnceLock::new();
    LOGGER.get_or_init(|| SdkLoggerProvider::builder().build().logger("any")).create_log_record()
}

fn value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(AnyValue::Boolean),
        any::<i64>().prop_map(AnyValue::Int),
        any::<f64>().prop_map(AnyValue::Double),
        Just(AnyValue::Double(f64::NAN)),
        "\\PC{0,12}".prop_map(AnyValue::from),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| AnyValue::Bytes(Box::new(bytes))),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|list| AnyValue::ListAny(Box::new(list))),
            prop::collection::hash_map("[a-z]{0,4}", inner, 0..4).prop_map(|map| {
                let map: HashMap<Key, AnyValue> =
                    map.into_iter().map(|(key, value)| (key.into(), value)).collect();
                AnyValue::Map(Box::new(map))
            }),
        ]
    })
}

/// Up to forty: past five the SDK keeps them elsewhere, past thirty-two the encoder does.
fn attributes() -> impl Strategy<Value = Vec<(String, AnyValue)>> {
    let few = prop::collection::vec(("[a-z.]{0,9}", value()), 0..8);
    let many = prop::collection::vec(("[a-z.]{0,9}", any::<i64>().prop_map(AnyValue::Int)), 28..40);
    prop_oneof![4 => few, 1 => many]
}

fn severity() -> impl Strategy<Value = Severity> {
    use Severity::{
        Debug, Debug2, Debug3, Debug4, Error, Error2, Error3, Error4, Fatal, Fatal2, Fatal3, Fatal4, Info,
        Info2, Info3, Info4, Trace, Trace2, Trace3, Trace4, Warn, Warn2, Warn3, Warn4,
    };
    prop::sample::select(vec![
        Trace, Trace2, Trace3, Trace4, Debug, Debug2, Debug3, Debug4, Info, Info2, Info3, Info4, Warn, Warn2,
        Warn3, Warn4, Error, Error2, Error3, Error4, Fatal, Fatal2, Fatal3, Fatal4,
    ])
}

fn context() -> impl Strategy<Value = (TraceId, SpanId, Option<TraceFlags>)> {
    let id = prop_oneof![Just(0_u64), any::<u64>()];
    (id.clone(), id, prop::option::of(any::<u8>())).prop_map(|(trace, span, flags)| {
        (TraceId::from(u128::from(trace)), SpanId::from(span), flags.map(TraceFlags::new))
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    let name = prop::option::of(prop::sample::select(vec!["", "cart.added", "deploy"]));
    let target = prop::option::of(prop::sample::select(vec!["", "scope-1", "app::handler"]));
    let word = prop::option::of(prop::sample::select(vec!["", "INFO", "warning"]));
    let first = (name, target, prop::option::of(time()), time(), prop::option::of(context()));
    let second = (word, prop::option::of(severity()), prop::option::of(value()), attributes(), 0..5_u32);
    (first, second).prop_map(|(first, second)| {
        let (name, target, timestamp, observed, context) = first;
        let (word, severity, body, attributes, number) = second;
        let mut record = empty();
        name.into_iter().for_each(|name| record.set_event_name(name));
        target.into_iter().for_each(|target| record.set_target(target));
        timestamp.into_iter().for_each(|time| record.set_timestamp(time));
        record.set_observed_timestamp(observed);
        word.into_iter().for_each(|word| record.set_severity_text(word));
        severity.into_iter().for_each(|severity| record.set_severity_number(severity));
        body.into_iter().for_each(|body| record.set_body(body));
        record.add_attributes(attributes);
        if let Some((trace, span, flags)) = context {
            record.set_trace_context(trace, span, flags);
        }
        (record, scope(number))
    })
}

fn ours(encoder: &mut LogEncoder, writer: &mut Writer, entries: &[Entry], resource: &Resource) -> Vec<u8> {
    let batch: Vec<_> = entries.iter().map(|(record, scope)| (record, scope)).collect();
    writer.clear();
    encoder.encode(&LogBatch::new(&batch), resource, writer);
    writer.as_slice().to_vec()
}

fn encoded(entries: &[Entry], resource: &Resource) -> Vec<u8> {
    ours(&mut LogEncoder::new(), &mut Writer::new(), entries, resource)
}

/// What `opentelemetry-otlp` sends.
fn expected(entries: &[Entry], resource: &Resource) -> Vec<u8> {
    let batch: Vec<_> = entries.iter().map(|(record, scope)| (record, scope)).collect();
    let resource = ResourceAttributesWithSchema::from(resource);
    let resource_logs = group_logs_by_resource_and_scope(&LogBatch::new(&batch), &resource);
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

/// Field by field (as text, for NaN is not equal to itself), then byte by byte.
fn same(ours: &[u8], theirs: &[u8]) -> Result<(), TestCaseError> {
    let exact = ExportLogsServiceRequest::decode(ours).unwrap().encoded_len();
    prop_assert_eq!(ours.len(), exact, "lengths are not exact");
    let (ours, theirs) = (canonical::logs(ours), canonical::logs(theirs));
    prop_assert_eq!(format!("{ours:#?}"), format!("{theirs:#?}"));
    prop_assert_eq!(ours.encode_to_vec(), theirs.encode_to_vec());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn records_become_what_the_official_exporter_sends(
        batches in prop::collection::vec(prop::collection::vec(entry(), 0..8), 1..3)
    ) {
        let (mut encoder, mut writer) = (LogEncoder::new(), Writer::new());
        for entries in &batches {
            let bytes = ours(&mut encoder, &mut writer, entries, &resource());
            same(&bytes, &expected(entries, &resource()))?;
        }
    }

    /// The planted fault: the comparison sees one field of one record.
    #[test]
    fn a_changed_record_gives_other_bytes(entry in entry(), name in any::<bool>()) {
        let (mut record, scope) = entry.clone();
        if name { record.set_event_name("other") } else { record.add_attribute("x", 1) }
        let other = expected(&[(record, scope)], &resource());
        prop_assert!(same(&encoded(&[entry], &resource()), &other).is_err());
    }
}

#[test]
fn records_keep_their_order_and_scopes_come_in_the_order_of_first_appearance() {
    let record = |number: i64, target: Option<&'static str>| {
        let mut record = empty();
        record.set_body(AnyValue::Int(number));
        target.into_iter().for_each(|target| record.set_target(target));
        record
    };
    let named = |name: &'static str| InstrumentationScope::builder(name).build();
    // A target stands for the name of the scope, so the last two join the first.
    let entries = [
        (record(1, None), named("b")),
        (record(2, None), named("a")),
        (record(3, Some("b")), named("a")),
        (record(4, None), named("b")),
    ];
    let request = ExportLogsServiceRequest::decode(encoded(&entries, &resource()).as_slice()).unwrap();
    let scopes = &request.resource_logs[0].scope_logs;
    let names: Vec<_> = scopes.iter().map(|scope| scope.scope.as_ref().unwrap().name.as_str()).collect();
    assert_eq!(names, ["b", "a"]);
    let bodies = |index: usize| -> Vec<_> {
        scopes[index].log_records.iter().map(|record| format!("{:?}", record.body)).collect()
    };
    assert_eq!(bodies(0).len(), 3);
    assert!(bodies(0).is_sorted());
}

#[test]
fn scopes_that_differ_in_the_order_of_their_attributes_only_are_one() {
    let pairs = [KeyValue::new("a", 1), KeyValue::new("b", "two")];
    let there = InstrumentationScope::builder("x").with_attributes(pairs.clone()).build();
    let back = InstrumentationScope::builder("x").with_attributes(pairs.into_iter().rev()).build();
    let other = InstrumentationScope::builder("x").with_attributes([KeyValue::new("a", 2)]).build();
    let mut record = empty();
    record.set_observed_timestamp(SystemTime::UNIX_EPOCH);
    let entries = [(record.clone(), there), (record.clone(), back), (record, other)];
    let bytes = encoded(&entries, &resource());
    same(&bytes, &expected(&entries, &resource())).unwrap();
    let request = ExportLogsServiceRequest::decode(bytes.as_slice()).unwrap();
    assert_eq!(request.resource_logs[0].scope_logs.len(), 2);
}

#[test]
fn more_scopes_than_are_compared_one_by_one_are_grouped_alike() {
    let mut record = empty();
    record.set_observed_timestamp(SystemTime::UNIX_EPOCH);
    let entries: Vec<Entry> =
        (0..90).chain([3, 80, 3, 0]).map(|number| (record.clone(), scope(number))).collect();
    same(&encoded(&entries, &resource()), &expected(&entries, &resource())).unwrap();
}

/// The peer unwraps the observed time, and panics; OTLP lets it be absent.
#[test]
fn a_record_without_an_observed_time_is_sent_without() {
    let bytes = encoded(&[(empty(), scope(0))], &resource());
    let request = ExportLogsServiceRequest::decode(bytes.as_slice()).unwrap();
    assert_eq!(request.resource_logs[0].scope_logs[0].log_records[0].observed_time_unix_nano, 0);
}

/// The peer sends sixteen and eight zero bytes, which receivers have to take for "none".
#[test]
fn identifiers_of_all_zeros_are_left_out() {
    let mut record = empty();
    record.set_observed_timestamp(SystemTime::UNIX_EPOCH);
    record.set_trace_context(TraceId::INVALID, SpanId::INVALID, Some(TraceFlags::SAMPLED));
    let entries = [(record, scope(0))];
    let ids = |bytes: &[u8]| {
        let request = ExportLogsServiceRequest::decode(bytes).unwrap();
        let record = request.resource_logs[0].scope_logs[0].log_records[0].clone();
        (record.trace_id.len(), record.span_id.len(), record.flags)
    };
    assert_eq!(ids(&encoded(&entries, &resource())), (0, 0, 1));
    assert_eq!(ids(&expected(&entries, &resource())), (16, 8, 1));
}
