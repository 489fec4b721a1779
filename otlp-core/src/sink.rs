//! Where records go.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::stats::Stats;

/// Takes records one at a time, never blocks, and counts what it cannot take.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use otlp_core::sink::Sink;
/// use otlp_core::stats::Stats;
///
/// /// Counts records and throws them away.
/// #[derive(Default)]
/// struct Count(AtomicU64);
///
/// impl<T> Sink<T> for Count {
///     fn accept(&self, _: T) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
///
///     fn stats(&self) -> Stats {
///         let accepted = self.0.load(Ordering::Relaxed);
///         Stats { accepted, dropped: accepted, ..Stats::default() }
///     }
/// }
///
/// let sink = Count::default();
/// ["a", "b"].map(|record| sink.accept(record));
/// let stats = Sink::<&str>::stats(&sink);
/// assert!(stats.accepted == 2 && stats.is_balanced());
/// ```
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
    ///
    /// ```
    /// use otlp_core::sink::{MemorySink, Sink};
    /// let sink = MemorySink::new(10);
    /// sink.accept("one");
    /// assert_eq!(sink.take(), ["one"]);
    /// assert!(sink.take().is_empty());
    /// assert_eq!(sink.stats().exported, 1);
    /// ```
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
