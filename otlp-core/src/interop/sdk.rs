//! From `opentelemetry_sdk` straight to wire bytes (feature `otel`).
//!
//! What comes out is what `opentelemetry-otlp` would send: one resource, the spans grouped by scope in
//! the order of first appearance, sub-messages present even where they hold only default values. The
//! attributes of the resource follow the hash map they come from.

use std::collections::HashMap;
use std::time::SystemTime;

use opentelemetry::trace::{Event, Link, SpanId as SdkSpanId, SpanKind, Status, TraceState};
use opentelemetry::{Array, InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;

use crate::UnixNanos;
use crate::wire::Writer;

/// Encodes batches of the SDK's spans, keeping its scratch room from one batch to the next.
///
/// ```
/// use opentelemetry_sdk::Resource;
/// use otlp_core::Limits;
/// use otlp_core::interop::sdk::SpanEncoder;
/// use otlp_core::view::TracesView;
/// use otlp_core::wire::Writer;
///
/// let resource = Resource::builder_empty().with_service_name("cart").build();
/// let (mut encoder, mut writer) = (SpanEncoder::new(), Writer::new());
/// encoder.encode(&[], &resource, &mut writer);
/// assert_eq!(TracesView::parse(writer.as_slice(), &Limits::DEFAULT)?.resources().len(), 1);
/// # Ok::<(), otlp_core::DecodeError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct SpanEncoder {
    /// The first span of each group; the spans of a group share a scope.
    firsts: Vec<usize>,
    /// The group of each span.
    group_of: Vec<usize>,
    /// Where each group begins in `order`, and the end of the last.
    starts: Vec<usize>,
    /// Indices of the spans, group after group.
    order: Vec<usize>,
}

/// Up to here a group is looked for by comparing scopes one by one; past it, by hash.
const MOST_COMPARED: usize = 32;

/// As many members as the W3C lets a `tracestate` have.
const MOST_MEMBERS: usize = 32;

impl SpanEncoder {
    /// An encoder that allocates on first use.
    #[must_use]
    pub const fn new() -> Self {
        Self { firsts: Vec::new(), group_of: Vec::new(), starts: Vec::new(), order: Vec::new() }
    }

    /// Puts an export request with these spans in front of what `writer` holds. O(encoded bytes).
    ///
    /// A writer that has no buffer yet gets one of 160 bytes a span and 48 an attribute, which is about
    /// what they take; one that is kept has grown to what it needs.
    pub fn encode(&mut self, spans: &[SpanData], resource: &Resource, writer: &mut Writer) {
        if writer.is_new() {
            let guess = |span: &SpanData| span.attributes.len().saturating_mul(48).saturating_add(160);
            writer.reserve(spans.iter().map(guess).fold(0, usize::saturating_add));
        }
        self.group(spans);
        self.sort();
        writer.message(1, |group| {
            text(group, 3, resource.schema_url().unwrap_or_default());
            for bounds in self.starts.windows(2).rev() {
                let &[start, end] = bounds else { continue };
                scope_spans(group, spans, self.order.get(start..end).unwrap_or_default());
            }
            group.message(1, |inner| {
                for (key, value) in resource {
                    attribute(inner, 1, key.as_str(), value);
                }
            });
        });
    }

    /// Finds the group of each span, and a first span for each group.
    fn group(&mut self, spans: &[SpanData]) {
        self.firsts.clear();
        self.group_of.clear();
        let mut by_scope: HashMap<&InstrumentationScope, usize> = HashMap::new();
        let mut last = 0;
        for (index, span) in spans.iter().enumerate() {
            let scope = &span.instrumentation_scope;
            let is_of =
                |&first: &usize| spans.get(first).is_some_and(|first| first.instrumentation_scope == *scope);
            let known = if self.firsts.get(last).is_some_and(is_of) {
                Some(last)
            } else if self.firsts.len() <= MOST_COMPARED {
                self.firsts.iter().position(is_of)
            } else {
                if by_scope.is_empty() {
                    let scopes = self.firsts.iter().filter_map(|&first| spans.get(first));
                    by_scope.extend(scopes.map(|span| &span.instrumentation_scope).zip(0..));
                }
                by_scope.get(scope).copied()
            };
            last = known.unwrap_or_else(|| {
                if !by_scope.is_empty() {
                    by_scope.insert(scope, self.firsts.len());
                }
                self.firsts.push(index);
                self.firsts.len() - 1
            });
            self.group_of.push(last);
        }
    }

    /// Orders the spans by group, keeping the order within each (a counting sort).
    fn sort(&mut self) {
        self.starts.clear();
        self.starts.resize(self.firsts.len() + 1, 0);
        for &group in &self.group_of {
            bump(&mut self.starts, group);
        }
        let mut end = 0;
        for start in &mut self.starts {
            end += *start;
            *start = end;
        }
        self.order.clear();
        self.order.resize(self.group_of.len(), 0);
        for (index, &group) in self.group_of.iter().enumerate().rev() {
            let Some(start) = self.starts.get_mut(group) else { continue };
            *start -= 1;
            if let Some(place) = self.order.get_mut(*start) {
                *place = index;
            }
        }
    }
}

fn bump(counts: &mut [usize], group: usize) {
    if let Some(count) = counts.get_mut(group) {
        *count += 1;
    }
}

fn scope_spans(writer: &mut Writer, spans: &[SpanData], members: &[usize]) {
    let Some(scope) = members.first().and_then(|&first| spans.get(first)) else { return };
    let scope = &scope.instrumentation_scope;
    writer.message(2, |group| {
        text(group, 3, scope.schema_url().unwrap_or_default());
        for span in members.iter().rev().filter_map(|&member| spans.get(member)) {
            group.message(2, |inner| encode_span(inner, span));
        }
        group.message(1, |inner| encode_scope(inner, scope));
    });
}

fn encode_scope(writer: &mut Writer, scope: &InstrumentationScope) {
    // The iterator cannot be walked backwards; scopes with attributes are rare.
    let attributes: Vec<&KeyValue> = scope.attributes().collect();
    for each in attributes.into_iter().rev() {
        attribute(writer, 3, each.key.as_str(), &each.value);
    }
    text(writer, 2, scope.version().unwrap_or_default());
    text(writer, 1, scope.name());
}

fn encode_span(writer: &mut Writer, span: &SpanData) {
    let context = &span.span_context;
    writer.fixed32(16, flags(context.trace_flags().to_u8(), span.parent_span_is_remote));
    writer.message(15, |inner| encode_status(inner, &span.status));
    number(writer, 14, span.links.dropped_count);
    for link in span.links.iter().rev() {
        writer.message(13, |inner| encode_link(inner, link));
    }
    number(writer, 12, span.events.dropped_count);
    for event in span.events.iter().rev() {
        writer.message(11, |inner| encode_event(inner, event));
    }
    number(writer, 10, span.dropped_attributes_count);
    attributes(writer, 9, &span.attributes);
    nanos(writer, 8, span.end_time);
    nanos(writer, 7, span.start_time);
    writer.varint(6, kind(&span.span_kind));
    text(writer, 5, &span.name);
    if span.parent_span_id != SdkSpanId::INVALID {
        writer.bytes(4, &span.parent_span_id.to_bytes());
    }
    trace_state(writer, 3, context.trace_state());
    writer.bytes(2, &context.span_id().to_bytes());
    writer.bytes(1, &context.trace_id().to_bytes());
}

fn encode_status(writer: &mut Writer, status: &Status) {
    match status {
        Status::Unset => {}
        Status::Ok => writer.varint(3, 1),
        Status::Error { description } => {
            writer.varint(3, 2);
            text(writer, 2, description);
        }
    }
}

fn encode_event(writer: &mut Writer, event: &Event) {
    number(writer, 4, event.dropped_attributes_count);
    attributes(writer, 3, &event.attributes);
    text(writer, 2, &event.name);
    nanos(writer, 1, event.timestamp);
}

fn encode_link(writer: &mut Writer, link: &Link) {
    let context = &link.span_context;
    writer.fixed32(6, flags(context.trace_flags().to_u8(), context.is_remote()));
    number(writer, 5, link.dropped_attributes_count);
    attributes(writer, 4, &link.attributes);
    trace_state(writer, 3, context.trace_state());
    writer.bytes(2, &context.span_id().to_bytes());
    writer.bytes(1, &context.trace_id().to_bytes());
}

/// The W3C flags, with "it is known whether the context is remote" (bit 8) and "it is" (bit 9).
fn flags(trace_flags: u8, is_remote: bool) -> u32 {
    u32::from(trace_flags) | 0x100 | if is_remote { 0x200 } else { 0 }
}

const fn kind(kind: &SpanKind) -> u64 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

/// Writes `key=value` members with commas between, as in the W3C header.
fn trace_state(writer: &mut Writer, field: u32, state: &TraceState) {
    let members = state.into_iter().len();
    if members == 0 {
        return;
    }
    if members > MOST_MEMBERS {
        return writer.str(field, &state.header());
    }
    // Finding the n-th from the front each time is cheap for so few, and nothing has to be collected
    // to write them from the back.
    writer.message(field, |header| {
        for index in (0..members).rev() {
            let Some((key, value)) = state.into_iter().nth(index) else { continue };
            header.raw(value.as_bytes());
            header.raw(b"=");
            header.raw(key.as_bytes());
            if index != 0 {
                header.raw(b",");
            }
        }
    });
}

#[inline]
fn attributes(writer: &mut Writer, field: u32, attributes: &[KeyValue]) {
    attributes.iter().rev().for_each(|each| attribute(writer, field, each.key.as_str(), &each.value));
}

#[inline]
fn attribute(writer: &mut Writer, field: u32, key: &str, value: &Value) {
    if let Value::String(value) = value {
        return writer.text_pair(field, key, value.as_str());
    }
    writer.message(field, |pair| {
        pair.message(2, |inner| encode_value(inner, value));
        text(pair, 1, key);
    });
}

#[inline]
fn encode_value(writer: &mut Writer, value: &Value) {
    match value {
        Value::Bool(value) => writer.varint(2, (*value).into()),
        Value::I64(value) => writer.int(3, *value),
        Value::F64(value) => writer.double(4, *value),
        Value::String(value) => writer.str(1, value.as_str()),
        Value::Array(array) => writer.message(5, |inner| encode_array(inner, array)),
        // A kind that a later version of the SDK adds goes out as the empty value.
        _ => {}
    }
}

fn encode_array(writer: &mut Writer, array: &Array) {
    match array {
        Array::Bool(values) => each(writer, values, |item, value| item.varint(2, (*value).into())),
        Array::I64(values) => each(writer, values, |item, value| item.int(3, *value)),
        Array::F64(values) => each(writer, values, |item, value| item.double(4, *value)),
        Array::String(values) => each(writer, values, |item, value| item.str(1, value.as_str())),
        _ => {}
    }
}

fn each<T>(writer: &mut Writer, values: &[T], write: impl Fn(&mut Writer, &T)) {
    values.iter().rev().for_each(|value| writer.message(1, |item| write(item, value)));
}

#[inline]
fn text(writer: &mut Writer, field: u32, value: &str) {
    if !value.is_empty() {
        writer.str(field, value);
    }
}

#[inline]
fn number(writer: &mut Writer, field: u32, value: u32) {
    if value != 0 {
        writer.varint(field, value.into());
    }
}

#[inline]
fn nanos(writer: &mut Writer, field: u32, time: SystemTime) {
    let UnixNanos(nanos) = time.into();
    if nanos != 0 {
        writer.fixed64(field, nanos);
    }
}
