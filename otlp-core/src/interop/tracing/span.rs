//! What is kept of a span while it is open.

use std::borrow::Cow;

use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::config::{LayerConfig, LayerLimits};
use super::field::{Fields, Role, text};
use crate::context::w3c::TraceParent;
use crate::record::{SpanKind, StatusCode};
use crate::wire::{Reader, Region, Value, Writer};
use crate::{SpanId, TraceId, UnixNanos};

const SAMPLED: u8 = 0x01;

/// What others need to refer to a span.
#[derive(Debug, Clone, Copy)]
pub(super) struct SpanContext {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    /// W3C trace flags.
    pub(super) flags: u8,
}

impl SpanContext {
    pub(super) fn of<'a, S: LookupSpan<'a>>(span: &SpanRef<'a, S>) -> Option<Self> {
        span.extensions().get::<SpanState>().map(SpanState::context)
    }

    const fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// As OTLP has them: bit 8 says that bit 9 is known, bit 9 that the context came from elsewhere.
    const fn otlp_flags(self, is_remote: bool) -> u32 {
        self.flags as u32 | 0x100 | if is_remote { 0x200 } else { 0 }
    }
}

/// A span while it is open. Attributes, events and links are kept as encoded fields of the span.
#[derive(Debug)]
pub(super) struct SpanState {
    context: SpanContext,
    parent_span_id: SpanId,
    parent_is_remote: bool,
    start: UnixNanos,
    name: Cow<'static, str>,
    kind: SpanKind,
    status: StatusCode,
    description: String,
    attributes: Listed,
    /// Bit per field (modulo 64) that was recorded, and may so be recorded again.
    met: u64,
    events: Listed,
    links: Listed,
}

/// Elements of a list, encoded end to end.
#[derive(Debug, Default)]
struct Listed {
    bytes: Vec<u8>,
    count: u32,
    dropped: u32,
}

impl Listed {
    fn push(&mut self, element: &[u8], most: u32) {
        if self.count < most {
            self.bytes.extend_from_slice(element);
            self.count += 1;
        } else {
            self.dropped += 1;
        }
    }
}

impl SpanState {
    pub(super) fn new(name: &'static str, parent: Option<SpanContext>, config: &LayerConfig) -> Self {
        let random = || (config.random)();
        let trace_id =
            || TraceId::new(valid(|| (u128::from(random()) << 64 | u128::from(random())).to_be_bytes()));
        let (trace_id, flags) = match parent {
            Some(parent) => (parent.trace_id, parent.flags),
            None => {
                let id = trace_id();
                (id, if is_kept(id, config.ratio) { SAMPLED } else { 0 })
            }
        };
        let span_id = SpanId::new(valid(|| random().to_be_bytes()));
        Self {
            context: SpanContext { trace_id, span_id, flags },
            parent_span_id: parent.map_or(SpanId::INVALID, |parent| parent.span_id),
            parent_is_remote: false,
            start: config.clock.now(),
            name: Cow::Borrowed(name),
            kind: SpanKind::Internal,
            status: StatusCode::Unset,
            description: String::new(),
            attributes: Listed::default(),
            met: 0,
            events: Listed::default(),
            links: Listed::default(),
        }
    }

    pub(super) const fn context(&self) -> SpanContext {
        self.context
    }

    /// Hangs the span under one of another process, whose decision on sampling holds.
    pub(super) fn set_remote_parent(&mut self, parent: TraceParent) {
        self.context.trace_id = parent.trace_id();
        self.context.flags = parent.flags();
        self.parent_span_id = parent.span_id();
        self.parent_is_remote = true;
    }

    pub(super) const fn is_sampled(&self) -> bool {
        self.context.is_sampled()
    }

    /// A root that is not sampled records even so: a remote parent may come and decide otherwise.
    pub(super) fn is_recording(&self) -> bool {
        self.is_sampled() || !self.parent_span_id.is_valid()
    }

    /// Takes over what the fields of the span, or of an event that speaks for it, say.
    pub(super) fn merge(&mut self, fields: &Fields, config: &LayerConfig) {
        if self.met & fields.met != 0 {
            self.remove_repeated(&fields.attributes);
        }
        self.met |= fields.met;
        self.attributes.dropped += fields.dropped;
        if self.attributes.count + fields.count <= config.limits.attributes {
            self.attributes.bytes.extend_from_slice(&fields.attributes);
            self.attributes.count += fields.count;
        } else {
            elements(&fields.attributes)
                .for_each(|each| self.attributes.push(each, config.limits.attributes));
        }
        if let Some(name) = fields.name.get() {
            self.name = Cow::Owned(name.to_owned());
        }
        self.kind = fields.kind.unwrap_or(self.kind);
        if let Some(status) = fields.status {
            self.set_status(status, fields.description.get());
        }
    }

    fn set_status(&mut self, status: StatusCode, description: Option<&str>) {
        self.status = status;
        match description {
            Some(description) => description.clone_into(&mut self.description),
            // A description belongs to an error.
            None if status != StatusCode::Error => self.description.clear(),
            None => {}
        }
    }

    /// An error was told within the span, which has not said how it ends.
    pub(super) fn fail(&mut self, description: Option<&str>) {
        if self.status != StatusCode::Ok {
            self.set_status(StatusCode::Error, description);
        }
    }

    /// Removes attributes that come once more.
    fn remove_repeated(&mut self, newer: &[u8]) {
        let is_repeated = |key: &[u8]| elements(newer).any(|element| key_of(element) == Some(key));
        let older = std::mem::take(&mut self.attributes.bytes);
        for element in elements(&older) {
            if key_of(element).is_some_and(is_repeated) {
                self.attributes.count -= 1;
            } else {
                self.attributes.bytes.extend_from_slice(element);
            }
        }
    }

    /// Adds an event, encoded as a field of the span.
    pub(super) fn add_event(&mut self, event: &[u8], limits: &LayerLimits) {
        self.events.push(event, limits.events);
    }

    pub(super) fn link(&mut self, to: SpanContext, writer: &mut Writer, limits: &LayerLimits) {
        writer.clear();
        writer.message(13, |link| {
            link.fixed32(6, to.otlp_flags(false));
            link.bytes(2, to.span_id.as_bytes());
            link.bytes(1, to.trace_id.as_bytes());
        });
        self.links.push(writer.as_slice(), limits.links);
    }

    /// The whole span, as a field of its group.
    pub(super) fn encode<'a>(&self, end: UnixNanos, writer: &'a mut Writer) -> &'a [u8] {
        writer.clear();
        writer.message(2, |span| {
            span.fixed32(16, self.context.otlp_flags(self.parent_is_remote));
            self.encode_status(span);
            count(span, 14, self.links.dropped);
            span.raw(&self.links.bytes);
            count(span, 12, self.events.dropped);
            span.raw(&self.events.bytes);
            count(span, 10, self.attributes.dropped);
            span.raw(&self.attributes.bytes);
            span.fixed64(8, end.0.max(self.start.0));
            span.fixed64(7, self.start.0);
            span.int(6, self.kind.to_wire().into());
            text(span, 5, &self.name);
            if self.parent_span_id.is_valid() {
                span.bytes(4, self.parent_span_id.as_bytes());
            }
            span.bytes(2, self.context.span_id.as_bytes());
            span.bytes(1, self.context.trace_id.as_bytes());
        });
        writer.as_slice()
    }

    fn encode_status(&self, writer: &mut Writer) {
        if self.status == StatusCode::Unset {
            return;
        }
        writer.message(15, |status| {
            status.int(3, self.status.to_wire().into());
            text(status, 2, &self.description);
        });
    }
}

fn count(writer: &mut Writer, field: u32, count: u32) {
    if count != 0 {
        writer.varint(field, count.into());
    }
}

/// Random bytes that are not all zero, which would be no identifier.
fn valid<const N: usize>(bytes: impl Fn() -> [u8; N]) -> [u8; N] {
    const TRIES: usize = 8;
    let mut made = (0..TRIES).map(|_| bytes());
    // A source that gives nothing but zeros is broken; spans from it must still have identifiers.
    made.find(|bytes| *bytes != [0; N]).unwrap_or([1; N])
}

/// Keeps a trace where the last 56 bits of its identifier are at or above the threshold that rejects the
/// share `1 - ratio` (OpenTelemetry, "Consistent probability sampling").
fn is_kept(id: TraceId, ratio: f64) -> bool {
    const ALL: f64 = (1_u64 << 56) as f64;
    let low = id.as_bytes().last_chunk().map_or(0, |bytes: &[u8; 8]| u64::from_be_bytes(*bytes));
    (low & ((1 << 56) - 1)) as f64 >= (1.0 - ratio) * ALL
}

/// The elements of encoded attributes, each with its tag.
fn elements(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut reader = Reader::new(Region::new(bytes));
    let mut begin = 0;
    std::iter::from_fn(move || {
        let field = reader.next_field().ok()??;
        let Value::Bytes(region) = field.value else { return None };
        debug_assert_eq!(field.number, Role::Span.attributes());
        let end = region.offset() + region.bytes().len();
        let element = bytes.get(begin..end);
        begin = end;
        element
    })
}

/// The key of an encoded attribute, which is its first field.
fn key_of(element: &[u8]) -> Option<&[u8]> {
    let delimited = |region| match Reader::new(region).next_field() {
        Ok(Some(field)) => match field.value {
            Value::Bytes(region) => Some(region),
            _ => None,
        },
        _ => None,
    };
    delimited(delimited(Region::new(element))?).map(|key| key.bytes())
}
