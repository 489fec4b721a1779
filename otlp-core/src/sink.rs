//! Where records go.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::stats::Stats;

/// Takes records one at a time, never blocks, and counts what it cannot take.
pub trait Sink<T>: Send + Sync {
    /// Takes one record.
    fn accept(&self, record: T);

    /// The account so far.
    fn stats(&self) -> Stats;
}

/// Keeps records in memory until somebody takes them: the newest `capacity`, older ones dropped and counted.
///
/// ```
/// use otlp_core::sink::{MemorySink, Sink};
/// let sink = MemorySink::new(2);
/// (1..=3).for_each(|record| sink.accept(record));
/// assert_eq!(sink.stats().dropped, 1);
/// assert_eq!(sink.take(), [2, 3]);
/// assert!(sink.stats().is_balanced());
/// ```
#[derive(Debug)]
pub struct MemorySink<T> {
    capacity: usize,
    inner: Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    records: VecDeque<T>,
    stats: Stats,
}

impl<T> MemorySink<T> {
    /// A sink that holds at most `capacity` records; zero drops everything.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let inner = Inner { records: VecDeque::new(), stats: Stats::default() };
        Self { capacity, inner: Mutex::new(inner) }
    }

    /// Takes all records out, oldest first; they count as exported.
    pub fn take(&self) -> Vec<T> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.stats.exported += inner.stats.queued;
        inner.stats.queued = 0;
        std::mem::take(&mut inner.records).into()
    }
}

impl<T: Send> Sink<T> for MemorySink<T> {
    fn accept(&self, record: T) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.stats.accepted += 1;
        if self.capacity == 0 {
            inner.stats.dropped += 1;
            return;
        }
        if inner.records.len() == self.capacity {
            inner.records.pop_front();
            inner.stats.dropped += 1;
        } else {
            inner.stats.queued += 1;
        }
        inner.records.push_back(record);
    }

    fn stats(&self) -> Stats {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).stats
    }
}
