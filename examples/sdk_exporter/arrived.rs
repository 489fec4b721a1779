//! What arrived, in an order that does not depend on the exporter.

use std::sync::{Arc, Mutex, PoisonError};

use otlp_core::protocol::Signal;
use otlp_core::record::{Resource, Scope, Span};
use otlp_core::transport::receiver::{Answer, Handler};
use otlp_core::view::TracesView;
use otlp_core::{DecodeError, Limits};

/// Keeps the bodies of requests.
#[derive(Clone, Default)]
pub(crate) struct Inbox(Arc<Mutex<Vec<Vec<u8>>>>);

impl Handler for Inbox {
    fn handle(&self, _: Signal, body: &[u8]) -> Answer {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(body.to_vec());
        Answer::accepted(1)
    }
}

impl Inbox {
    pub(crate) fn arrived(&self) -> Result<Arrived, DecodeError> {
        let mut spans = Vec::new();
        for body in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            for group in TracesView::parse(body, &Limits::default())?.to_record()?.resources {
                let mut resource = group.resource;
                // The SDK keeps them in a hash map, whose order changes from one walk to the next.
                resource.attributes.sort_by(|a, b| a.key.cmp(&b.key));
                for scope in group.scopes {
                    let of = |span| (resource.clone(), scope.scope.clone(), span);
                    spans.extend(scope.spans.into_iter().map(of));
                }
            }
        }
        spans.sort_by_key(|(_, _, span)| span.span_id);
        Ok(Arrived(spans))
    }
}

/// Every span with where it comes from, by its id.
#[derive(Clone)]
pub(crate) struct Arrived(Vec<(Resource, Scope, Span)>);

impl Arrived {
    pub(crate) fn spans(&self) -> u64 {
        self.0.len() as u64
    }

    /// The first difference in any field.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        if self.0.len() != other.0.len() {
            return Some(format!("{} spans and {}", self.0.len(), other.0.len()));
        }
        let differs = self.0.iter().zip(&other.0).find(|(one, other)| one != other);
        differs.map(|(one, other)| format!("{one:#?}\nand\n{other:#?}"))
    }

    /// Changes one field of one span.
    #[cfg(test)]
    pub(crate) fn damage(&mut self) {
        if let Some((_, _, span)) = self.0.last_mut() {
            span.end.0 += 1;
        }
    }
}
