//! Which requests are in the queue, in order: where each is, and whether it was given out.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::EntryId;
use super::recover::Live;
use crate::UnixNanos;

/// A request in the queue.
#[derive(Debug)]
struct Entry {
    live: Live,
    /// Kept so that it need not be read back.
    cached: Option<Bytes>,
    /// Reads that failed.
    failed_reads: u8,
}

/// Entries ascend by id, by place in the log, and but for clocks set back by age.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: BTreeMap<EntryId, Entry>,
    /// Those not given out.
    waiting: BTreeSet<EntryId>,
    /// Records of all entries.
    records: u64,
    cached_bytes: usize,
}

impl Index {
    pub(super) fn from_log(live: BTreeMap<EntryId, Live>) -> Self {
        let waiting = live.keys().copied().collect();
        let records = live.values().map(|live| u64::from(live.records)).sum();
        let entry = |live| Entry { live, cached: None, failed_reads: 0 };
        let entries = live.into_iter().map(|(id, live)| (id, entry(live))).collect();
        Self { entries, waiting, records, cached_bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) const fn records(&self) -> u64 {
        self.records
    }

    /// Adds the newest; its body is kept where all that are kept stay within `cache_bytes`.
    pub(super) fn push(&mut self, id: EntryId, live: Live, body: Bytes, cache_bytes: usize) {
        let fits = self.cached_bytes.saturating_add(body.len()) <= cache_bytes;
        let cached = fits.then_some(body);
        self.cached_bytes += cached.as_ref().map_or(0, Bytes::len);
        self.records += u64::from(live.records);
        self.entries.insert(id, Entry { live, cached, failed_reads: 0 });
        self.waiting.insert(id);
    }

    pub(super) fn remove(&mut self, id: EntryId) -> Option<Live> {
        let entry = self.entries.remove(&id)?;
        self.waiting.remove(&id);
        self.records -= u64::from(entry.live.records);
        self.cached_bytes -= entry.cached.as_ref().map_or(0, Bytes::len);
        Some(entry.live)
    }

    /// The oldest, given out or not.
    pub(super) fn oldest(&self) -> Option<(EntryId, Live)> {
        self.entries.first_key_value().map(|(id, entry)| (*id, entry.live))
    }

    /// The oldest that is not given out.
    pub(super) fn next(&self) -> Option<(EntryId, Live)> {
        let id = *self.waiting.first()?;
        self.entries.get(&id).map(|entry| (id, entry.live))
    }

    /// Counts a read that failed; gives how many did.
    pub(super) fn fail_read(&mut self, id: EntryId) -> u8 {
        let Some(entry) = self.entries.get_mut(&id) else { return u8::MAX };
        entry.failed_reads = entry.failed_reads.saturating_add(1);
        entry.failed_reads
    }

    /// Takes the body of an entry out of memory, where it is there.
    pub(super) fn take_cached(&mut self, id: EntryId) -> Option<Bytes> {
        let body = self.entries.get_mut(&id)?.cached.take()?;
        self.cached_bytes -= body.len();
        Some(body)
    }

    /// Marks as given out.
    pub(super) fn lease(&mut self, id: EntryId) {
        self.waiting.remove(&id);
    }

    /// Takes back what was given out; says whether it was.
    pub(super) fn give_back(&mut self, id: EntryId) -> bool {
        self.entries.contains_key(&id) && self.waiting.insert(id)
    }

    /// The records of an entry that is given out.
    pub(super) fn leased(&self, id: EntryId) -> Option<u32> {
        self.entries.get(&id).filter(|_| !self.waiting.contains(&id)).map(|entry| entry.live.records)
    }

    /// The oldest that is not given out, and its records, where it was pushed before `limit`.
    ///
    /// Looks no further than the first that is younger: only clocks that were set back hide one behind it.
    pub(super) fn expired(&self, limit: UnixNanos) -> Option<(EntryId, u32)> {
        self.next().filter(|(_, live)| live.at < limit).map(|(id, live)| (id, live.records))
    }

    /// The segment of the oldest; segments before it hold nothing that is in the queue.
    pub(super) fn first_segment(&self) -> Option<u64> {
        self.oldest().map(|(_, live)| live.place.segment)
    }
}
