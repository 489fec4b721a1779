//! Spans straight to OTLP bytes.

use std::sync::Arc;

use otlp_core::encode::Encode;
use otlp_core::record::{Resource, Scope};
use otlp_core::wire::Writer;

/// Puts spans into a traces request as they come, grouped by resource; keeps the room it needs for that.
///
/// The same spans in the same order give the same bytes. What it holds is the request: whoever adds spans without
/// end takes it out from time to time.
///
/// ```
/// use std::sync::Arc;
/// use otlp_core::record::{Resource, Span};
/// use otlp_core::wire::Writer;
/// use otlp_ebpf::TracesEncoder;
///
/// let shop = Arc::new(Resource::service("shop"));
/// let mut encoder = TracesEncoder::default();
/// encoder.add(&shop, &Span { name: "GET".into(), ..Span::default() });
/// let mut request = Writer::new();
/// encoder.finish(&mut request);
/// assert!(request.as_slice().windows(3).any(|bytes| bytes == b"GET") && encoder.is_empty());
/// ```
#[derive(Debug, Default)]
pub struct TracesEncoder {
    groups: Vec<Group>,
    /// Where the group is that the last span went to.
    last: usize,
    span: Writer,
    spans: usize,
}

#[derive(Debug)]
struct Group {
    resource: Arc<Resource>,
    /// Spans with tag and length, in the order in which they came.
    spans: Vec<u8>,
}

/// Fields of the request: its groups, and their parts.
const RESOURCE_SPANS: u32 = 1;
const RESOURCE: u32 = 1;
const SCOPE_SPANS: u32 = 2;
const SCOPE: u32 = 1;
const SPANS: u32 = 2;

impl TracesEncoder {
    /// Adds a span of the resource: a [`Span`](otlp_core::record::Span) or an
    /// [`EncodedSpan`](crate::EncodedSpan). O(encoded bytes); allocates nothing once the buffers have grown.
    pub fn add(&mut self, resource: &Arc<Resource>, span: &impl Encode) {
        self.span.clear();
        self.span.message(SPANS, |inner| span.encode(inner));
        self.spans += 1;
        let same = |group: &Group| Arc::ptr_eq(&group.resource, resource) || group.resource == *resource;
        if !self.groups.get(self.last).is_some_and(same) {
            self.last = self.groups.iter().position(same).unwrap_or_else(|| {
                self.groups.push(Group { resource: Arc::clone(resource), spans: Vec::new() });
                self.groups.len() - 1
            });
        }
        if let Some(group) = self.groups.get_mut(self.last) {
            group.spans.extend_from_slice(self.span.as_slice());
        }
    }

    /// Count of spans since the last request.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.spans
    }

    /// True where there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.spans == 0
    }

    /// Puts the request in front of what `out` holds, and begins a new one.
    pub fn finish(&mut self, out: &mut Writer) {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let scope = Scope { name: env!("CARGO_PKG_NAME").to_owned(), version, ..Scope::default() };
        for group in self.groups.iter().rev().filter(|group| !group.spans.is_empty()) {
            out.message(RESOURCE_SPANS, |out| {
                out.message(SCOPE_SPANS, |out| {
                    out.raw(&group.spans);
                    out.message(SCOPE, |out| scope.encode(out));
                });
                out.message(RESOURCE, |out| group.resource.encode(out));
            });
        }
        self.spans = 0;
        // Groups stand in the order of their first spans: only one that is alone keeps its place, and its room.
        self.groups.truncate(1);
        self.groups.iter_mut().for_each(|group| group.spans.clear());
        if self.groups.iter().any(|group| group.spans.capacity() > MAX_KEPT) {
            self.groups.clear();
        }
        self.last = 0;
    }
}

/// Room kept from one request to the next.
const MAX_KEPT: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use otlp_core::record::{ResourceSpans, ScopeSpans, Span, TracesRequest};

    use super::*;

    fn span(name: &str) -> Span {
        Span { name: name.to_owned(), ..Span::default() }
    }

    #[test]
    fn spans_lie_as_in_a_request_made_of_records() {
        let resources = ["shop", "cart"].map(|name| Arc::new(Resource::service(name)));
        let mut encoder = TracesEncoder::default();
        for round in 0..3 {
            // Another pointer to an equal resource is no other resource.
            let shop = Arc::new(Resource::service("shop"));
            encoder.add(&resources[0], &span("a"));
            encoder.add(&resources[1], &span("b"));
            encoder.add(&shop, &span("c"));
            let mut met = Writer::new();
            encoder.finish(&mut met);
            let scope = Scope {
                name: "otlp-ebpf".into(),
                version: env!("CARGO_PKG_VERSION").into(),
                ..Scope::default()
            };
            let group = |at: usize, spans: &[&str]| ResourceSpans {
                resource: (*resources[at]).clone(),
                scopes: vec![ScopeSpans {
                    scope: scope.clone(),
                    spans: spans.iter().map(|name| span(name)).collect(),
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            };
            let resources = vec![group(0, &["a", "c"]), group(1, &["b"])];
            let wanted = TracesRequest { resources }.encode_to_bytes();
            assert_eq!(met.as_slice(), &wanted[..], "round {round}");
        }
    }
}
