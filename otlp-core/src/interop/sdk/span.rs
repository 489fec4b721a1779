//! Spans.

use opentelemetry::trace::{Event, Link, SpanId as SdkSpanId, SpanKind, Status, TraceState};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;

use super::attribute::{WriteResource, attributes, encode_scope, nanos, number, text};
use super::group::Groups;
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
    groups: Groups,
}

/// As many members as the W3C lets a `tracestate` have.
const MOST_MEMBERS: usize = 32;

impl SpanEncoder {
    /// An encoder that allocates on first use.
    #[must_use]
    pub const fn new() -> Self {
        Self { groups: Groups::new() }
    }

    /// Puts an export request with these spans in front of what `writer` holds. O(encoded bytes).
    ///
    /// A writer that has no buffer yet gets one of 160 bytes a span and 48 an attribute, which is about
    /// what they take; one that is kept has grown to what it needs.
    pub fn encode(&mut self, spans: &[SpanData], resource: &Resource, writer: &mut Writer) {
        self.encode_with(spans, resource, writer);
    }

    pub(super) fn encode_with(
        &mut self,
        spans: &[SpanData],
        resource: &impl WriteResource,
        writer: &mut Writer,
    ) {
        if writer.is_new() {
            let guess = |span: &SpanData| span.attributes.len().saturating_mul(48).saturating_add(160);
            writer.reserve(spans.iter().map(guess).fold(0, usize::saturating_add));
        }
        let scope = |index: usize| spans.get(index).map(|span| &span.instrumentation_scope);
        self.groups.assign(spans.len(), scope);
        writer.message(1, |group| {
            text(group, 3, resource.schema_url());
            for members in self.groups.iter().rev() {
                scope_spans(group, spans, members);
            }
            group.message(1, |inner| resource.write(inner));
        });
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
