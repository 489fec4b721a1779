//! The requests that wait, by when they may be sent and by which goes first when room is needed.

use std::collections::{BTreeMap, BTreeSet};

use super::Entry;
use super::config::DropPolicy;
use super::event::{Priority, RequestId};
use crate::UnixNanos;

/// Every call costs O(log waiting).
#[derive(Debug, Default)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Waiting {
    normal: Line,
    high: Line,
    /// All of them by when they may be sent.
    due: BTreeSet<(UnixNanos, RequestId)>,
}

/// Requests of one priority. Ids ascend with the time of arrival, so the first is the oldest and expires
/// first.
#[derive(Debug, Default)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Line {
    entries: BTreeMap<RequestId, Entry>,
    bytes: usize,
}

impl Waiting {
    pub(super) fn insert(&mut self, id: RequestId, entry: Entry) {
        self.due.insert((entry.not_before, id));
        let line = match entry.priority {
            Priority::Normal => &mut self.normal,
            Priority::High => &mut self.high,
        };
        line.bytes += entry.body.len();
        line.entries.insert(id, entry);
    }

    pub(super) fn take(&mut self, id: RequestId) -> Option<Entry> {
        let entry = self.normal.take(id).or_else(|| self.high.take(id))?;
        self.due.remove(&(entry.not_before, id));
        Some(entry)
    }

    pub(super) fn len(&self) -> usize {
        self.due.len()
    }

    #[cfg(feature = "http")]
    pub(super) fn holds(&self, id: RequestId) -> bool {
        self.normal.entries.contains_key(&id) || self.high.entries.contains_key(&id)
    }

    /// The one that may be sent first.
    pub(super) fn first_due(&self) -> Option<(UnixNanos, RequestId)> {
        self.due.first().copied()
    }

    /// The one that may be sent last.
    pub(super) fn last_due(&self) -> Option<(UnixNanos, RequestId)> {
        self.due.last().copied()
    }

    /// The one that expires first, and when.
    pub(super) fn first_expiry(&self) -> Option<(UnixNanos, RequestId)> {
        let first = |line: &Line| line.entries.first_key_value().map(|(id, entry)| (entry.expires, *id));
        first(&self.normal).into_iter().chain(first(&self.high)).min()
    }

    /// How many requests, and how many bytes, may make room for one of `priority`: none of a higher one, and
    /// its equals only where the oldest goes first.
    pub(super) fn droppable(&self, policy: DropPolicy, priority: Priority) -> (usize, usize) {
        let size = |line: &Line| (line.entries.len(), line.bytes);
        match (policy, priority) {
            (DropPolicy::Block, _) | (DropPolicy::Newest, Priority::Normal) => (0, 0),
            (DropPolicy::Newest, Priority::High) | (DropPolicy::Oldest, Priority::Normal) => {
                size(&self.normal)
            }
            (DropPolicy::Oldest, Priority::High) => (self.len(), self.normal.bytes + self.high.bytes),
        }
    }

    /// Takes out the next one of the [droppable](Self::droppable) ones.
    pub(super) fn take_victim(
        &mut self,
        policy: DropPolicy,
        priority: Priority,
    ) -> Option<(RequestId, Entry)> {
        let id = match (policy, priority) {
            (DropPolicy::Block, _) | (DropPolicy::Newest, Priority::Normal) => None,
            (DropPolicy::Newest, Priority::High) => self.normal.entries.last_key_value(),
            (DropPolicy::Oldest, Priority::Normal) => self.normal.entries.first_key_value(),
            (DropPolicy::Oldest, Priority::High) => {
                let first = self.normal.entries.first_key_value();
                first.or_else(|| self.high.entries.first_key_value())
            }
        };
        let id = *id?.0;
        Some((id, self.take(id)?))
    }
}

impl Line {
    fn take(&mut self, id: RequestId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.bytes -= entry.body.len();
        Some(entry)
    }
}
