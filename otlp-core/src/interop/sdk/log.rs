//! Log records.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use opentelemetry::logs::AnyValue;
use opentelemetry::{InstrumentationScope, Key, KeyValue, SpanId, TraceFlags, TraceId};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{LogBatch, SdkLogRecord, TraceContext};

use super::attribute::{WriteResource, attribute, backwards, nanos, text};
use super::group::Groups;
use crate::wire::Writer;

/// Encodes batches of the SDK's log records, keeping its scratch room from one batch to the next.
///
/// ```
/// use opentelemetry_sdk::Resource;
/// use opentelemetry_sdk::logs::LogBatch;
/// use otlp_core::Limits;
/// use otlp_core::interop::sdk::LogEncoder;
/// use otlp_core::view::LogsView;
/// use otlp_core::wire::Writer;
///
/// let resource = Resource::builder_empty().with_service_name("cart").build();
/// let (mut encoder, mut writer) = (LogEncoder::new(), Writer::new());
/// encoder.encode(&LogBatch::new(&[]), &resource, &mut writer);
/// assert_eq!(LogsView::parse(writer.as_slice(), &Limits::DEFAULT)?.resources().len(), 1);
/// # Ok::<(), otlp_core::DecodeError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct LogEncoder {
    groups: Groups,
    /// Empty between batches; kept for its room.
    records: Vec<Entry<'static>>,
}

type Entry<'a> = (&'a SdkLogRecord, &'a InstrumentationScope);

/// As many attributes of a record as are put in order without allocating.
const MOST_IN_PLACE: usize = 32;

impl LogEncoder {
    /// An encoder that allocates on first use.
    #[must_use]
    pub const fn new() -> Self {
        Self { groups: Groups::new(), records: Vec::new() }
    }

    /// Puts an export request with these records in front of what `writer` holds. O(encoded bytes).
    ///
    /// The target of a record, where it has one, stands for the name of its scope.
    pub fn encode(&mut self, batch: &LogBatch<'_>, resource: &Resource, writer: &mut Writer) {
        self.encode_with(batch, resource, writer);
    }

    pub(super) fn encode_with(
        &mut self,
        batch: &LogBatch<'_>,
        resource: &impl WriteResource,
        writer: &mut Writer,
    ) {
        let mut records: Vec<Entry<'_>> = std::mem::take(&mut self.records);
        records.extend(batch.iter());
        self.groups.assign(records.len(), |index| records.get(index).map(|entry| ScopeKey::of(*entry)));
        writer.message(1, |group| {
            text(group, 3, resource.schema_url());
            for members in self.groups.iter().rev() {
                scope_logs(group, &records, members);
            }
            group.message(1, |inner| resource.write(inner));
        });
        self.records = emptied(records);
    }
}

/// The same room for entries that live elsewhere: collecting in place keeps the allocation.
fn emptied(mut records: Vec<Entry<'_>>) -> Vec<Entry<'static>> {
    records.clear();
    records.into_iter().map_while(|_| None).collect()
}

/// The scope under which a record is exported.
#[derive(Clone, Copy)]
struct ScopeKey<'a> {
    name: &'a str,
    scope: &'a InstrumentationScope,
}

impl<'a> ScopeKey<'a> {
    #[inline]
    fn of((record, scope): Entry<'a>) -> Self {
        Self { name: record.target().map_or(scope.name(), AsRef::as_ref), scope }
    }

    fn version(&self) -> &'a str {
        self.scope.version().unwrap_or_default()
    }

    fn schema_url(&self) -> &'a str {
        self.scope.schema_url().unwrap_or_default()
    }
}

impl PartialEq for ScopeKey<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && (std::ptr::eq(self.scope, other.scope)
                || (self.version() == other.version()
                    && self.schema_url() == other.schema_url()
                    && same_attributes(self.scope, other.scope)))
    }
}

impl Eq for ScopeKey<'_> {}

impl Hash for ScopeKey<'_> {
    /// Leaves out the attributes, whose order does not count.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.name, self.version(), self.schema_url()).hash(state);
    }
}

fn same_attributes(one: &InstrumentationScope, other: &InstrumentationScope) -> bool {
    one.attributes().eq(other.attributes()) || {
        let sorted = |scope: &'_ InstrumentationScope| {
            let mut attributes: Vec<KeyValue> = scope.attributes().cloned().collect();
            attributes.sort_by(|a, b| a.key.cmp(&b.key));
            attributes
        };
        one.attributes().count() == other.attributes().count() && sorted(one) == sorted(other)
    }
}

fn scope_logs(writer: &mut Writer, records: &[Entry<'_>], members: &[usize]) {
    let Some(first) = members.first().and_then(|&first| records.get(first)) else { return };
    let key = ScopeKey::of(*first);
    writer.message(2, |group| {
        text(group, 3, key.schema_url());
        for (record, _) in members.iter().rev().filter_map(|&member| records.get(member)) {
            group.message(2, |inner| encode_record(inner, record));
        }
        group.message(1, |inner| encode_exported_scope(inner, key));
    });
}

fn encode_exported_scope(writer: &mut Writer, key: ScopeKey<'_>) {
    let attributes = || key.scope.attributes();
    backwards(attributes, |each| attribute(writer, 3, each.key.as_str(), &each.value));
    text(writer, 2, key.version());
    text(writer, 1, key.name);
}

fn encode_record(writer: &mut Writer, record: &SdkLogRecord) {
    text(writer, 12, record.event_name().unwrap_or_default());
    if let Some(time) = record.observed_timestamp() {
        nanos(writer, 11, time);
    }
    if let Some(context) = record.trace_context() {
        encode_context(writer, context);
    }
    encode_attributes(writer, record);
    if let Some(body) = record.body() {
        writer.message(5, |inner| encode_value(inner, body));
    }
    text(writer, 3, record.severity_text().unwrap_or_default());
    if let Some(severity) = record.severity_number() {
        // The SDK numbers severities as OTLP does.
        writer.int(2, severity as i64);
    }
    if let Some(time) = record.timestamp() {
        nanos(writer, 1, time);
    }
}

fn encode_context(writer: &mut Writer, context: &TraceContext) {
    if context.span_id != SpanId::INVALID {
        writer.bytes(10, &context.span_id.to_bytes());
    }
    if context.trace_id != TraceId::INVALID {
        writer.bytes(9, &context.trace_id.to_bytes());
    }
    let flags = context.trace_flags.map_or(0, TraceFlags::to_u8);
    if flags != 0 {
        writer.fixed32(8, flags.into());
    }
}

/// Writes the attributes last to first, though the record lends them first to last only.
fn encode_attributes(writer: &mut Writer, record: &SdkLogRecord) {
    let mut write = |(key, value): &(Key, AnyValue)| pair(writer, 6, key, value);
    let mut attributes = record.attributes_iter();
    let mut in_place = [None; MOST_IN_PLACE];
    let mut taken = 0;
    for (place, each) in in_place.iter_mut().zip(&mut attributes) {
        *place = Some(each);
        taken += 1;
    }
    if taken == MOST_IN_PLACE {
        let rest: Vec<_> = attributes.collect();
        rest.into_iter().rev().for_each(&mut write);
    }
    in_place.iter().take(taken).rev().copied().flatten().for_each(&mut write);
}

#[inline]
fn pair(writer: &mut Writer, field: u32, key: &Key, value: &AnyValue) {
    writer.message(field, |pair| {
        pair.message(2, |inner| encode_value(inner, value));
        text(pair, 1, key.as_str());
    });
}

/// Recurses as deep as the value nests, as does dropping it.
#[inline]
fn encode_value(writer: &mut Writer, value: &AnyValue) {
    match value {
        AnyValue::Int(value) => writer.int(3, *value),
        AnyValue::Double(value) => writer.double(4, *value),
        AnyValue::String(value) => writer.str(1, value.as_str()),
        AnyValue::Boolean(value) => writer.varint(2, (*value).into()),
        AnyValue::Bytes(value) => writer.bytes(7, value),
        AnyValue::ListAny(values) => encode_list(writer, values),
        AnyValue::Map(entries) => encode_map(writer, entries),
        // A kind that a later version of the SDK adds goes out as the empty value.
        _ => {}
    }
}

fn encode_list(writer: &mut Writer, values: &[AnyValue]) {
    writer.message(5, |list| {
        values.iter().rev().for_each(|value| list.message(1, |inner| encode_value(inner, value)));
    });
}

/// In whatever order the map has.
fn encode_map(writer: &mut Writer, entries: &HashMap<Key, AnyValue>) {
    writer.message(6, |map| entries.iter().for_each(|(key, value)| pair(map, 1, key, value)));
}
