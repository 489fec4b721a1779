//! Finished records, encoded, until somebody takes them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::config::LayerLimits;
use crate::stats::Stats;

/// Encoded fields of a request, end to end, and the account.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    bytes: Vec<u8>,
    stats: Stats,
}

impl Queue {
    /// Keeps a record, or drops and counts it where the queue is full. Gives how many are queued now.
    pub(super) fn push(&self, record: &[u8], limits: &LayerLimits) -> u64 {
        let mut inner = self.lock();
        let Inner { bytes, stats } = &mut *inner;
        stats.accepted += 1;
        if stats.queued >= limits.queue_records || bytes.len() + record.len() > limits.queue_bytes {
            stats.dropped += 1;
        } else {
            stats.queued += 1;
            bytes.extend_from_slice(record);
        }
        stats.queued
    }

    /// Takes all records out, with their count.
    pub(super) fn take(&self) -> Option<(Vec<u8>, u32)> {
        let mut inner = self.lock();
        if inner.stats.queued == 0 {
            return None;
        }
        let records = u32::try_from(inner.stats.queued).unwrap_or(u32::MAX);
        inner.stats.exported += inner.stats.queued;
        inner.stats.queued = 0;
        // As much room as last time: it does not have to grow bit by bit again.
        let room = Vec::with_capacity(inner.bytes.len());
        Some((std::mem::replace(&mut inner.bytes, room), records))
    }

    pub(super) fn stats(&self) -> Stats {
        self.lock().stats
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
