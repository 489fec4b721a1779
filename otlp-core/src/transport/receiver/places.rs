//! The places of connections, and who leaves when there is none for a newcomer.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::{AbortHandle, Id};

use super::conduct::least_worthy;
use super::conn::Conn;

/// The connections that are open.
#[derive(Debug)]
pub(super) struct Places {
    max: usize,
    taken: HashMap<Id, (Arc<Conn>, AbortHandle)>,
}

/// Whether a newcomer has a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    /// Another connection was closed for it.
    Made,
    /// None of the others is to be closed.
    Full,
}

impl Places {
    pub(super) fn new(max: usize) -> Self {
        Self { max, taken: HashMap::new() }
    }

    /// Looks for a place. Goes through all connections where none is free.
    pub(super) fn find(&mut self) -> Room {
        if self.taken.len() < self.max {
            return Room::Free;
        }
        let worths = self.taken.iter().map(|(id, (conn, _))| (*id, conn.worth()));
        let leaves = least_worthy(worths).and_then(|id| self.taken.remove(&id));
        leaves.map_or(Room::Full, |(_, task)| {
            task.abort();
            Room::Made
        })
    }

    /// A connection is served by a task.
    pub(super) fn take(&mut self, conn: Arc<Conn>, task: AbortHandle) {
        self.taken.insert(task.id(), (conn, task));
    }

    /// The task has ended.
    pub(super) fn leave(&mut self, task: Id) {
        self.taken.remove(&task);
    }
}
