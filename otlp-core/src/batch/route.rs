//! Records sorted by an attribute of their resource.

use crate::Limits;
use crate::error::DecodeError;
use crate::process::shape::{Delimited, Kind, whole};
use crate::protocol::Signal;
use crate::view::{AnyValueView, Context, Message, ResourceSpansView, View, at_most};
use crate::wire::{Reader, Region, Writer};

/// Sorts the records of requests by an attribute of their resource, and keeps the room it needs for it.
///
/// Resource groups are copied whole, as they are; fields of the request itself that no version knows go to every
/// destination. Values are the same where kind and content are; an attribute that is absent, a list or a map counts
/// as [`AnyValueView::Empty`]. Of an attribute that a resource has twice the first counts.
///
/// O(n log n) for n resources. Allocates nothing once the buffers have grown.
///
/// ```
/// use otlp_core::batch::Router;
/// use otlp_core::protocol::Signal;
/// use otlp_core::record::{Resource, ResourceSpans, TracesRequest};
/// use otlp_core::{encode::Encode, Limits};
///
/// let group = |name: &str| ResourceSpans { resource: Resource::service(name), ..ResourceSpans::default() };
/// let body = TracesRequest { resources: vec![group("cart"), group("order"), group("cart")] }.encode_to_bytes();
///
/// let mut router = Router::by("service.name", Limits::default());
/// let mut seen = Vec::new();
/// router.route(Signal::Traces, &body, |value, request| {
///     seen.push((value.as_str().unwrap_or_default().to_owned(), request.len()));
/// })?;
/// assert_eq!(seen.len(), 2);
/// assert_eq!(seen[0].0, "cart");
/// assert_eq!(seen[0].1 + seen[1].1, body.len());
/// # Ok::<(), otlp_core::DecodeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Router {
    key: String,
    limits: Limits,
    groups: Vec<Group>,
    writer: Writer,
}

/// A field of the request, and where it goes.
#[derive(Debug, Clone, Copy)]
struct Group {
    start: usize,
    end: usize,
    /// Where the first group with the same value begins.
    first: usize,
    value: Value,
}

/// A value as it is compared. Texts and bytes are told by where they lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Empty,
    Bool(bool),
    Int(i64),
    /// The bits of a double.
    Double(u64),
    Text(usize, usize),
    Bytes(usize, usize),
}

impl Router {
    /// A router by the resource attribute `key`, such as `service.name` or a tenant's.
    #[must_use]
    pub fn by(key: impl Into<String>, limits: Limits) -> Self {
        Self { key: key.into(), limits, groups: Vec::new(), writer: Writer::new() }
    }

    /// Hands one request a value to `sink`, in the order in which the values first occur.
    ///
    /// # Errors
    /// Where the groups or their resources are malformed or pass a limit. `sink` has then not been called.
    pub fn route(
        &mut self,
        signal: Signal,
        body: &[u8],
        mut sink: impl FnMut(AnyValueView<'_>, &[u8]),
    ) -> Result<(), DecodeError> {
        Kind::request(signal)?;
        let shared = self.find(body)?;
        self.sort(body);
        let mut rest = self.groups.as_slice();
        while let [group, ..] = rest {
            let count = rest.iter().take_while(|other| other.first == group.first).count();
            let Some((same, others)) = rest.split_at_checked(count) else { break };
            rest = others;
            self.writer.clear();
            for group in same.iter().rev() {
                self.writer.raw(body.get(group.start..group.end).unwrap_or_default());
            }
            if shared {
                write_shared(body, &mut self.writer);
            }
            sink(group.value.view(body), self.writer.as_slice());
        }
        Ok(())
    }

    /// Finds the resource groups and their values; says whether there are fields besides.
    fn find(&mut self, body: &[u8]) -> Result<bool, DecodeError> {
        self.groups.clear();
        let request = whole(body, &self.limits)?;
        let context = Context::new(&self.limits, body.len())?;
        let mut is_shared = false;
        let mut end = 0;
        let mut fields = Delimited::new(request);
        while let Some(field) = fields.next(|number| number == RESOURCES)? {
            is_shared |= field.number != RESOURCES || field.place.start != end;
            end = field.place.end;
            if field.number != RESOURCES {
                continue;
            }
            let value = self.value(field.content, body, context)?;
            let start = field.place.start;
            self.groups.push(Group { start, end, first: start, value });
            at_most("max_elements", self.groups.len(), self.limits.elements(), start)?;
            let held = self.groups.len() * size_of::<Group>();
            at_most("max_heap_bytes", held, self.limits.heap_bytes(), start)?;
        }
        Ok(is_shared || end != body.len())
    }

    fn value(&self, group: Region<'_>, body: &[u8], context: Context<'_>) -> Result<Value, DecodeError> {
        // The groups of all signals hold their resource in the same field.
        let group = ResourceSpansView::read_message(Message::whole(group), context)?;
        for pair in group.resource().attributes() {
            let pair = pair?;
            if pair.key() == self.key {
                return Ok(Value::new(&pair.value(), body));
            }
        }
        Ok(Value::Empty)
    }

    /// Puts groups with equal values together, in the order of the first of them.
    fn sort(&mut self, body: &[u8]) {
        self.groups.sort_unstable_by(|a, b| {
            let by_value = a.value.content(body).cmp(&b.value.content(body));
            by_value.then(a.start.cmp(&b.start))
        });
        let mut before: Option<Group> = None;
        for group in &mut self.groups {
            if let Some(before) =
                before.filter(|before| before.value.content(body) == group.value.content(body))
            {
                group.first = before.first;
            }
            before = Some(*group);
        }
        self.groups.sort_unstable_by_key(|group| (group.first, group.start));
    }
}

/// The field of resource groups in a request.
const RESOURCES: u32 = 1;

impl Value {
    fn new(value: &AnyValueView<'_>, body: &[u8]) -> Self {
        // A text of the body lies within it, so the difference of the addresses is its offset.
        let range = |bytes: &[u8]| {
            let from = bytes.as_ptr().addr().saturating_sub(body.as_ptr().addr());
            (from, from + bytes.len())
        };
        match value {
            AnyValueView::Bool(value) => Self::Bool(*value),
            AnyValueView::Int(value) => Self::Int(*value),
            AnyValueView::Double(value) => Self::Double(value.to_bits()),
            AnyValueView::String(text) => {
                let (from, to) = range(text.as_bytes());
                Self::Text(from, to)
            }
            AnyValueView::Bytes(bytes) => {
                let (from, to) = range(bytes);
                Self::Bytes(from, to)
            }
            _ => Self::Empty,
        }
    }

    /// What is compared: the kind with the number, and the text.
    fn content(self, body: &[u8]) -> (Self, &[u8]) {
        let bytes = |from, to| body.get(from..to).unwrap_or_default();
        match self {
            Self::Text(from, to) => (Self::Text(0, 0), bytes(from, to)),
            Self::Bytes(from, to) => (Self::Bytes(0, 0), bytes(from, to)),
            other => (other, &[]),
        }
    }

    fn view(self, body: &[u8]) -> AnyValueView<'_> {
        match (self, self.content(body).1) {
            (Self::Empty, _) => AnyValueView::Empty,
            (Self::Bool(value), _) => AnyValueView::Bool(value),
            (Self::Int(value), _) => AnyValueView::Int(value),
            (Self::Double(bits), _) => AnyValueView::Double(f64::from_bits(bits)),
            (Self::Text(..), bytes) => {
                std::str::from_utf8(bytes).map_or(AnyValueView::Empty, AnyValueView::String)
            }
            (Self::Bytes(..), bytes) => AnyValueView::Bytes(bytes),
        }
    }
}

/// Writes the fields of a request that are no groups.
fn write_shared(body: &[u8], writer: &mut Writer) {
    let fields = || {
        let mut reader = Reader::new(Region::new(body));
        let next = move || {
            let field = reader.next_field().ok()??;
            let is_shared = field.number != RESOURCES;
            Some(body.get(field.offset..reader.offset()).filter(|_| is_shared).unwrap_or_default())
        };
        std::iter::from_fn(next)
    };
    writer.raw_parts(fields().map(<[u8]>::len).sum(), fields());
}
