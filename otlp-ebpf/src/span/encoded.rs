//! Spans whose attributes lie as OTLP has them.

use otlp_core::encode::Encode;
use otlp_core::record::{Link, Span, SpanKind, Status, StatusCode};
use otlp_core::wire::Writer;
use otlp_core::{SpanId, TraceId, UnixNanos};

use super::attribute::{Attributes, Value};

/// A span as a [`Connection`](crate::Connection) makes it: its attributes are OTLP bytes already.
///
/// What only passes spans on as OTLP takes them like this
/// ([`Connection::feed_encoded`](crate::Connection::feed_encoded)), which spares two allocations an attribute; what
/// looks into them turns them into a [`Span`].
///
/// ```
/// use std::sync::Arc;
/// use otlp_core::UnixNanos;
/// use otlp_core::encode::Encode;
/// use otlp_core::record::Resource;
/// use otlp_core::wire::Writer;
/// use otlp_ebpf::parse::infer::{Builtin, Protocol};
/// use otlp_ebpf::parse::{Chunk, Direction};
/// use otlp_ebpf::{Connection, Ends, IdSource, Limits, Service, TracesEncoder};
///
/// let cache = Arc::new(Service::new("cache", Arc::new(IdSource::seeded(1))));
/// let parser = Builtin::Redis.parser(&Limits::default());
/// let mut connection = Connection::new(cache, parser, Ends::default());
/// let (mut encoder, resource) = (TracesEncoder::default(), Arc::new(Resource::service("cache")));
/// for (direction, text) in [(Direction::ToServer, "*1\r\n$4\r\nPING\r\n"), (Direction::ToClient, "+PONG\r\n")] {
///     let chunk = Chunk::new(direction, UnixNanos(1), text.as_bytes());
///     connection.feed_encoded(chunk, &mut |span| {
///         assert_eq!(span.encode_to_bytes(), span.to_span().encode_to_bytes());
///         encoder.add(&resource, &span);
///     });
/// }
/// let mut request = Writer::new();
/// encoder.finish(&mut request);
/// assert!(request.as_slice().windows(4).any(|bytes| bytes == b"PING"));
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EncodedSpan {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) trace_state: String,
    pub(crate) parent_span_id: SpanId,
    pub(crate) flags: u32,
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    pub(crate) start: UnixNanos,
    pub(crate) end: UnixNanos,
    pub(crate) attributes: Attributes,
    pub(crate) links: Vec<Link>,
    pub(super) failed: bool,
}

impl EncodedSpan {
    /// The low-cardinality name of the operation.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True where its status says error.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        self.failed
    }

    /// The same span as a record. O(its bytes); allocates for the name, and for each attribute.
    #[must_use]
    pub fn to_span(&self) -> Span {
        self.clone().into_span()
    }

    /// Turns it into a record. O(its bytes); allocates for each attribute.
    #[must_use]
    pub fn into_span(self) -> Span {
        let status = self.status();
        Span {
            trace_id: self.trace_id,
            span_id: self.span_id,
            trace_state: self.trace_state,
            parent_span_id: self.parent_span_id,
            flags: self.flags,
            name: self.name,
            kind: self.kind,
            start: self.start,
            end: self.end,
            attributes: self.attributes.to_records(),
            links: self.links,
            status,
            ..Span::default()
        }
    }

    /// End less start; zero where the clock went backwards between them.
    #[must_use]
    pub const fn duration(&self) -> std::time::Duration {
        self.end.duration_since(self.start)
    }

    fn status(&self) -> Status {
        let code = if self.failed { StatusCode::Error } else { StatusCode::Unset };
        Status { code, message: String::new() }
    }
}

impl Encode for EncodedSpan {
    fn encode(&self, writer: &mut Writer) {
        if self.flags != 0 {
            writer.fixed32(16, self.flags);
        }
        if self.failed {
            writer.message(15, |inner| self.status().encode(inner));
        }
        self.links.iter().rev().for_each(|link| writer.message(13, |inner| link.encode(inner)));
        self.attributes.encode(writer);
        for (field, time) in [(8, self.end.0), (7, self.start.0)] {
            if time != 0 {
                writer.fixed64(field, time);
            }
        }
        if self.kind != SpanKind::Unspecified {
            writer.int(6, self.kind.to_wire().into());
        }
        text(writer, 5, &self.name);
        span_id(writer, 4, self.parent_span_id);
        text(writer, 3, &self.trace_state);
        span_id(writer, 2, self.span_id);
        if self.trace_id.is_valid() {
            writer.bytes(1, self.trace_id.as_bytes());
        }
    }
}

fn text(writer: &mut Writer, field: u32, text: &str) {
    if !text.is_empty() {
        writer.str(field, text);
    }
}

fn span_id(writer: &mut Writer, field: u32, id: SpanId) {
    if id.is_valid() {
        writer.bytes(field, id.as_bytes());
    }
}

/// Sets an attribute.
pub(super) fn attribute(span: &mut EncodedSpan, key: &str, value: impl Value) {
    span.attributes.add(key, value);
}

#[cfg(test)]
mod tests {
    use otlp_core::record::KeyValue;

    use super::*;

    #[test]
    fn it_lies_as_its_record_does() {
        let link = Link { trace_id: TraceId::new([3; 16]), flags: 1, ..Link::default() };
        for (failed, parent, links) in [
            (false, SpanId::INVALID, vec![]),
            (true, SpanId::new([4; 8]), vec![link.clone(), Link { trace_state: "a=1".into(), ..link }]),
        ] {
            let mut span = EncodedSpan {
                trace_id: TraceId::new([1; 16]),
                span_id: SpanId::new([2; 8]),
                trace_state: "b=2".into(),
                parent_span_id: parent,
                flags: 0x301,
                name: "GET".into(),
                kind: SpanKind::Client,
                start: UnixNanos(5),
                end: UnixNanos(7),
                failed,
                links,
                ..EncodedSpan::default()
            };
            attribute(&mut span, "server.port", 80_u16);
            span.attributes.push(KeyValue::new("rate", 0.5));
            let record = span.to_span();
            assert_eq!(span.encode_to_bytes(), record.encode_to_bytes());
            assert_eq!((record.is_error(), record.attributes.len()), (failed, 2));
            assert_eq!(span.duration(), record.duration());
        }
    }
}
