//! The same visit of every field, through our views and through prost's structs.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use otlp_core::record::TracesRequest;
use otlp_core::view::select::span::{End, Name, Start, TraceId};
use otlp_core::view::{AnyValueView, KeyValueView, SpanView, TracesView};
use otlp_core::{DecodeError, Limits, UnixNanos};

/// A checksum of what was visited: cheap, and different where a field is missed or misread.
#[derive(Default)]
pub(super) struct Seen(pub(super) u64);

impl Seen {
    pub(super) fn number(&mut self, number: u64) {
        self.0 = self.0.wrapping_add(number).rotate_left(5);
    }

    fn head(&mut self, (id, name, start, end): (otlp_core::TraceId, &str, UnixNanos, UnixNanos)) {
        self.bytes(id.as_bytes());
        self.bytes(name.as_bytes());
        self.number(end.0.wrapping_sub(start.0));
    }

    /// Length, first and last byte: as much for either side.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let ends = bytes.first().zip(bytes.last());
        self.number(bytes.len() as u64 + ends.map_or(0, |(a, b)| u64::from(*a) << 8 | u64::from(*b)));
    }
}

pub(super) fn view(body: &[u8], limits: &Limits) -> Result<u64, DecodeError> {
    let mut seen = Seen::default();
    for group in TracesView::parse(body, limits)?.resources() {
        let group = group?;
        pairs(&mut seen, group.resource().attributes())?;
        for scope in group.scopes() {
            let scope = scope?;
            let library = scope.scope();
            seen.bytes(library.name().as_bytes());
            seen.bytes(library.version().as_bytes());
            pairs(&mut seen, library.attributes())?;
            for each in scope.spans() {
                span(&mut seen, &each?)?;
            }
            seen.bytes(scope.schema_url().as_bytes());
        }
        seen.bytes(group.schema_url().as_bytes());
    }
    Ok(seen.0)
}

fn span(seen: &mut Seen, span: &SpanView<'_>) -> Result<(), DecodeError> {
    seen.bytes(span.trace_id().as_bytes());
    seen.bytes(span.span_id().as_bytes());
    seen.bytes(span.trace_state().as_bytes());
    seen.number(u64::from(span.parent_span_id().is_valid()));
    seen.bytes(span.name().as_bytes());
    seen.number(u64::from(span.kind().to_wire().cast_unsigned()));
    seen.number(span.start().0);
    seen.number(span.end().0);
    pairs(seen, span.attributes())?;
    for event in span.events() {
        let event = event?;
        seen.number(event.time().0);
        seen.bytes(event.name().as_bytes());
        pairs(seen, event.attributes())?;
    }
    for link in span.links() {
        let link = link?;
        seen.bytes(link.trace_id().as_bytes());
        seen.bytes(link.span_id().as_bytes());
        seen.number(link.flags().into());
        pairs(seen, link.attributes())?;
    }
    seen.bytes(span.status().message().as_bytes());
    seen.number(u64::from(span.status().code().to_wire().cast_unsigned()));
    seen.number(span.flags().into());
    Ok(())
}

#[expect(single_use_lifetimes, reason = "the elided form is not stable in argument position")]
pub(super) fn pairs<'a>(
    seen: &mut Seen,
    pairs: impl Iterator<Item = Result<KeyValueView<'a>, DecodeError>>,
) -> Result<(), DecodeError> {
    for pair in pairs {
        let pair = pair?;
        seen.bytes(pair.key().as_bytes());
        value(seen, &pair.value())?;
    }
    Ok(())
}

/// Scalars right where they were read, on either side; what nests goes on elsewhere.
#[inline(always)]
pub(super) fn value(seen: &mut Seen, value: &AnyValueView<'_>) -> Result<(), DecodeError> {
    match value {
        AnyValueView::String(text) => seen.bytes(text.as_bytes()),
        AnyValueView::Bool(value) => seen.number(u64::from(*value)),
        AnyValueView::Int(value) => seen.number(value.cast_unsigned()),
        AnyValueView::Double(value) => seen.number(value.to_bits()),
        AnyValueView::Bytes(bytes) => seen.bytes(bytes),
        _ => nested(seen, value)?,
    }
    Ok(())
}

#[inline(never)]
fn nested(seen: &mut Seen, value: &AnyValueView<'_>) -> Result<(), DecodeError> {
    match value {
        AnyValueView::Array(list) => list.values().try_for_each(|each| self::value(seen, &each?)),
        AnyValueView::KvList(map) => pairs(seen, map.entries()),
        _ => Ok(()),
    }
}

pub(super) fn prost(request: &ExportTraceServiceRequest) -> u64 {
    let mut seen = Seen::default();
    for group in &request.resource_spans {
        if let Some(resource) = &group.resource {
            prost_pairs(&mut seen, &resource.attributes);
        }
        for scope in &group.scope_spans {
            if let Some(library) = &scope.scope {
                seen.bytes(library.name.as_bytes());
                seen.bytes(library.version.as_bytes());
                prost_pairs(&mut seen, &library.attributes);
            }
            for span in &scope.spans {
                prost_span(&mut seen, span);
            }
            seen.bytes(scope.schema_url.as_bytes());
        }
        seen.bytes(group.schema_url.as_bytes());
    }
    seen.0
}

fn prost_span(seen: &mut Seen, span: &opentelemetry_proto::tonic::trace::v1::Span) {
    seen.bytes(&span.trace_id);
    seen.bytes(&span.span_id);
    seen.bytes(span.trace_state.as_bytes());
    seen.number(u64::from(!span.parent_span_id.is_empty()));
    seen.bytes(span.name.as_bytes());
    seen.number(u64::from(span.kind.cast_unsigned()));
    seen.number(span.start_time_unix_nano);
    seen.number(span.end_time_unix_nano);
    prost_pairs(seen, &span.attributes);
    for event in &span.events {
        seen.number(event.time_unix_nano);
        seen.bytes(event.name.as_bytes());
        prost_pairs(seen, &event.attributes);
    }
    for link in &span.links {
        seen.bytes(&link.trace_id);
        seen.bytes(&link.span_id);
        seen.number(link.flags.into());
        prost_pairs(seen, &link.attributes);
    }
    if let Some(status) = &span.status {
        seen.bytes(status.message.as_bytes());
        seen.number(u64::from(status.code.cast_unsigned()));
    }
    seen.number(span.flags.into());
}

pub(super) fn prost_pairs(seen: &mut Seen, pairs: &[KeyValue]) {
    for pair in pairs {
        seen.bytes(pair.key.as_bytes());
        if let Some(value) = &pair.value {
            prost_value(seen, value);
        }
    }
}

#[inline(always)]
pub(super) fn prost_value(seen: &mut Seen, value: &AnyValue) {
    match &value.value {
        Some(Value::StringValue(text)) => seen.bytes(text.as_bytes()),
        Some(Value::BoolValue(value)) => seen.number(u64::from(*value)),
        Some(Value::IntValue(value)) => seen.number(value.cast_unsigned()),
        Some(Value::DoubleValue(value)) => seen.number(value.to_bits()),
        Some(Value::BytesValue(bytes)) => seen.bytes(bytes),
        _ => prost_nested(seen, value),
    }
}

#[inline(never)]
fn prost_nested(seen: &mut Seen, value: &AnyValue) {
    match &value.value {
        Some(Value::ArrayValue(list)) => list.values.iter().for_each(|each| prost_value(seen, each)),
        Some(Value::KvlistValue(map)) => prost_pairs(seen, &map.values),
        _ => {}
    }
}

/// Trace id, name and duration of each span. With `UNIQUE` each span is left when they are found.
pub(super) fn view_lazily<const UNIQUE: bool>(body: &[u8], limits: &Limits) -> Result<u64, DecodeError> {
    let mut seen = Seen::default();
    for group in TracesView::parse(body, limits)?.resources() {
        for scope in group?.scopes() {
            let spans = scope?.spans_as::<(TraceId, Name, Start, End)>();
            if UNIQUE {
                for span in spans.assume_unique() {
                    seen.head(span?);
                }
            } else {
                for span in spans {
                    seen.head(span?);
                }
            }
        }
    }
    Ok(seen.0)
}

pub(super) fn prost_lazily(request: &ExportTraceServiceRequest) -> u64 {
    let mut seen = Seen::default();
    let scopes = request.resource_spans.iter().flat_map(|group| &group.scope_spans);
    for span in scopes.flat_map(|scope| &scope.spans) {
        seen.bytes(&span.trace_id);
        seen.bytes(span.name.as_bytes());
        seen.number(span.end_time_unix_nano.wrapping_sub(span.start_time_unix_nano));
    }
    seen.0
}

pub(super) fn record_lazily(request: &TracesRequest) -> u64 {
    let mut seen = Seen::default();
    let scopes = request.resources.iter().flat_map(|group| &group.scopes);
    for span in scopes.flat_map(|scope| &scope.spans) {
        seen.bytes(span.trace_id.as_bytes());
        seen.bytes(span.name.as_bytes());
        seen.number(span.end.0.wrapping_sub(span.start.0));
    }
    seen.0
}
