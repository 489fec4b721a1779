//! Who rows are about.

use std::collections::HashMap;
use std::sync::Arc;

use otlp_core::finding::Subject;

/// A subject that rows come of.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) key: Key,
    /// The first and the last window that it was heard of in.
    pub(super) first: u64,
    pub(super) last_heard: u64,
}

/// Who it is; pairs and operations with the place of the service that they belong to. Rows come in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Service(Arc<str>),
    Edge { caller: Arc<str>, callee: Arc<str>, place: usize },
    Operation { service: Arc<str>, operation: Arc<str>, place: usize },
}

impl Key {
    pub(super) fn subject(&self) -> Subject {
        match self {
            Self::Service(name) => Subject::Service(name.to_string()),
            Self::Edge { caller, callee, .. } => {
                Subject::Edge { caller: caller.to_string(), callee: callee.to_string() }
            }
            Self::Operation { service, operation, .. } => {
                Subject::Operation { service: service.to_string(), operation: operation.to_string() }
            }
        }
    }
}

/// What belongs to services, each thing by its name: where it is kept.
#[derive(Debug, Default)]
pub(super) struct Below {
    /// By the place of the service.
    places: HashMap<usize, HashMap<Arc<str>, usize>>,
    count: usize,
}

impl Below {
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    pub(super) fn place(&self, service: usize, name: &str) -> Option<usize> {
        self.places.get(&service)?.get(name).copied()
    }

    pub(super) fn insert(&mut self, service: usize, name: Arc<str>, place: usize) {
        let is_new = self.places.entry(service).or_default().insert(name, place).is_none();
        self.count += usize::from(is_new);
    }

    pub(super) fn remove(&mut self, service: usize, name: &str) {
        let Some(names) = self.places.get_mut(&service) else { return };
        self.count -= usize::from(names.remove(name).is_some());
        if names.is_empty() {
            self.places.remove(&service);
        }
    }
}
