//! Spans, their events, links and status.

use opentelemetry_proto::tonic::trace::v1::{self as trace, span};

use super::{all, span_id, span_id_bytes, trace_id, trace_id_bytes, try_all, unless_default};
use crate::UnixNanos;
use crate::error::{Error, Result};
use crate::record::{Event, Link, Span, SpanKind, Status, StatusCode};

impl From<Span> for trace::Span {
    fn from(span: Span) -> Self {
        Self {
            trace_id: trace_id_bytes(span.trace_id),
            span_id: span_id_bytes(span.span_id),
            trace_state: span.trace_state,
            parent_span_id: span_id_bytes(span.parent_span_id),
            flags: span.flags,
            name: span.name,
            kind: span.kind.to_wire(),
            start_time_unix_nano: span.start.0,
            end_time_unix_nano: span.end.0,
            attributes: all(span.attributes),
            dropped_attributes_count: span.dropped_attributes_count,
            events: all(span.events),
            dropped_events_count: span.dropped_events_count,
            links: all(span.links),
            dropped_links_count: span.dropped_links_count,
            status: unless_default(span.status),
        }
    }
}

impl TryFrom<trace::Span> for Span {
    type Error = Error;

    fn try_from(span: trace::Span) -> Result<Self> {
        Ok(Self {
            trace_id: trace_id(&span.trace_id)?,
            span_id: span_id(&span.span_id)?,
            trace_state: span.trace_state,
            parent_span_id: span_id(&span.parent_span_id)?,
            flags: span.flags,
            name: span.name,
            kind: SpanKind::from_wire(span.kind),
            start: UnixNanos(span.start_time_unix_nano),
            end: UnixNanos(span.end_time_unix_nano),
            attributes: all(span.attributes),
            dropped_attributes_count: span.dropped_attributes_count,
            events: all(span.events),
            dropped_events_count: span.dropped_events_count,
            links: try_all(span.links)?,
            dropped_links_count: span.dropped_links_count,
            status: span.status.map_or_else(Status::default, Into::into),
        })
    }
}

impl From<Event> for span::Event {
    fn from(event: Event) -> Self {
        let Event { time, name, attributes, dropped_attributes_count } = event;
        Self { time_unix_nano: time.0, name, attributes: all(attributes), dropped_attributes_count }
    }
}

impl From<span::Event> for Event {
    fn from(event: span::Event) -> Self {
        let span::Event { time_unix_nano, name, attributes, dropped_attributes_count } = event;
        Self { time: UnixNanos(time_unix_nano), name, attributes: all(attributes), dropped_attributes_count }
    }
}

impl From<Link> for span::Link {
    fn from(link: Link) -> Self {
        Self {
            trace_id: trace_id_bytes(link.trace_id),
            span_id: span_id_bytes(link.span_id),
            trace_state: link.trace_state,
            attributes: all(link.attributes),
            dropped_attributes_count: link.dropped_attributes_count,
            flags: link.flags,
        }
    }
}

impl TryFrom<span::Link> for Link {
    type Error = Error;

    fn try_from(link: span::Link) -> Result<Self> {
        Ok(Self {
            trace_id: trace_id(&link.trace_id)?,
            span_id: span_id(&link.span_id)?,
            trace_state: link.trace_state,
            attributes: all(link.attributes),
            dropped_attributes_count: link.dropped_attributes_count,
            flags: link.flags,
        })
    }
}

impl From<Status> for trace::Status {
    fn from(Status { code, message }: Status) -> Self {
        Self { message, code: code.to_wire() }
    }
}

impl From<trace::Status> for Status {
    fn from(trace::Status { message, code }: trace::Status) -> Self {
        Self { code: StatusCode::from_wire(code), message }
    }
}
