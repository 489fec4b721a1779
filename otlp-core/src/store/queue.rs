//! The queue itself: what is taken, given out and settled.

use std::fmt;

use bytes::Bytes;

use super::account::{Account, DropReason, Fate, Settlement};
use super::config::{Overflow, StoreConfig};
#[cfg(unix)]
use super::directory::Directory;
use super::error::StoreError;
use super::frame::{FRAME_BYTES, Op};
use super::index::Index;
use super::log::Log;
use super::recover::{Live, Recovery};
use super::segment::HEADER_BYTES;
use super::{Disk, EntryId, Lease, StoreCounters};
use crate::UnixNanos;
use crate::error::Result;
use crate::protocol::export::Request;
use crate::stats::Stats;

#[cfg(not(unix))]
use super::MemoryDisk as Directory;

/// A queue of requests on a disk. Made by [`StoreConfig::open`].
///
/// Pushes and settlements are staged, and [`commit`](Self::commit) makes all that is staged durable with one
/// `fsync`; whoever takes requests from many sources stages them all and commits once. Calls cost O(log
/// queued) and their I/O. Dropped, it leaves the disk as the last commit left it.
pub struct DurableQueue<D = Directory> {
    config: StoreConfig,
    log: Log<D>,
    index: Index,
    account: Account,
    staged: Staged,
    next_id: u64,
    refused: u64,
    failed_reads: u64,
    failed_removals: u64,
}

/// What the next commit writes.
#[derive(Debug, Default)]
struct Staged {
    pushes: Vec<Push>,
    push_bytes: u64,
    /// Counted in the account already; kept until they are written.
    ends: Vec<(EntryId, Fate)>,
    /// Drops of what never was in the log, added up; counted in the account already.
    turned_away: Vec<Fate>,
}

#[derive(Debug)]
struct Push {
    id: EntryId,
    at: UnixNanos,
    request: Request,
}

/// Which part of what is staged a write takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// What gives room: the ends of requests, in a segment after those that can then go.
    Ends,
    /// What needs it.
    Pushes,
    /// Both, and what can wait until there is room.
    All,
}

impl<D: Disk> DurableQueue<D> {
    pub(super) fn recover(
        config: StoreConfig,
        disk: D,
        now: UnixNanos,
    ) -> Result<(Self, Recovery), StoreError> {
        let (log, replay) = Log::open(disk, &config)?;
        let mut queue = Self {
            config,
            log,
            index: Index::from_log(replay.live),
            account: replay.account,
            staged: Staged::default(),
            next_id: replay.next_id,
            refused: 0,
            failed_reads: 0,
            failed_removals: 0,
        };
        queue.expire(now);
        Ok((queue, replay.report))
    }

    /// Takes a request and commits; gives its id once it is durable, as far as the policy goes.
    ///
    /// # Errors
    /// As [`stage`](Self::stage) and [`commit`](Self::commit).
    pub fn push(&mut self, now: UnixNanos, request: Request) -> Result<EntryId, StoreError> {
        let id = self.stage(now, request)?;
        self.commit(now)?;
        Ok(id)
    }

    /// Takes a request into the next commit; until that succeeds it is not in the queue, and still the
    /// caller's. Its bytes are shared, not copied.
    ///
    /// # Errors
    /// [`StoreError::Full`] where there is no room, [`StoreError::TooLarge`]. Under
    /// [`Overflow::Refuse`] a request refused for room is not counted as accepted; else it is, and as dropped.
    pub fn stage(&mut self, now: UnixNanos, request: Request) -> Result<EntryId, StoreError> {
        self.expire(now);
        let (bytes, limit) = (request.body.len(), self.config.max_request_bytes);
        if bytes > limit {
            self.turn_away(DropReason::TooLarge, request.records);
            return Err(StoreError::TooLarge { bytes, limit });
        }
        if let Err(full) = self.make_room(bytes) {
            if self.config.overflow == Overflow::Refuse {
                self.refused += u64::from(request.records);
            } else {
                self.turn_away(DropReason::QueueFull, request.records);
            }
            return Err(full);
        }
        let id = EntryId(self.next_id);
        self.next_id += 1;
        self.staged.push_bytes += frame_bytes(bytes);
        self.staged.pushes.push(Push { id, at: now, request });
        Ok(id)
    }

    /// Writes everything staged and forces it to the disk as the policy says; removes segments that hold
    /// nothing queued any more. To be called also when [`sync_due`](Self::sync_due) has come.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] and [`StoreError::Io`]. None of the requests staged was taken then; they are
    /// the caller's to stage again. Settlements stay staged for the next commit.
    pub fn commit(&mut self, now: UnixNanos) -> Result<(), StoreError> {
        let mut done = self.try_commit(now);
        if matches!(done, Err(StoreError::DiskFull(_))) && self.free_unwritten() {
            done = self.try_commit(now);
        }
        if done.is_err() {
            let refused = self.staged.pushes.drain(..).map(|push| u64::from(push.request.records));
            self.refused += refused.sum::<u64>();
            self.staged.push_bytes = 0;
        }
        done
    }

    /// Commits and forces everything to the disk whatever the policy: before a planned end.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn sync(&mut self, now: UnixNanos) -> Result<(), StoreError> {
        self.commit(now)?;
        self.log.sync()?;
        self.release();
        Ok(())
    }

    /// When the policy wants a commit at the latest; `None` where nothing waits for one.
    #[must_use]
    pub fn sync_due(&self) -> Option<UnixNanos> {
        self.log.sync_due()
    }

    /// Gives out the oldest request that is not given out; `None` where there is none.
    ///
    /// Drops, and counts, what has grown too old and what the disk does not hold as it was written.
    ///
    /// # Errors
    /// [`StoreError::Io`] where it cannot be read. It keeps its place; at the third time it counts as damaged.
    pub fn next(&mut self, now: UnixNanos) -> Result<Option<Lease>, StoreError> {
        self.expire(now);
        while let Some((id, live)) = self.index.next() {
            let body = match self.index.take_cached(id) {
                Some(body) => Some(body),
                None => self.read_back(id, &live)?,
            };
            if let Some(body) = body {
                self.index.lease(id);
                let request = Request::new(live.signal, body, live.records).priority(live.priority);
                return Ok(Some(Lease { id, request, enqueued: live.at }));
            }
            self.drop_entry(id, live.records, DropReason::Damaged);
        }
        Ok(None)
    }

    /// Says what became of a request that was given out; counted at once, durable with the next commit. A
    /// crash before that gives the request out again.
    ///
    /// # Errors
    /// [`StoreError::NotQueued`] where it is not in the queue (any more), or not given out.
    pub fn settle(&mut self, id: EntryId, settlement: Settlement) -> Result<(), StoreError> {
        let records = self.index.leased(id).ok_or(StoreError::NotQueued(id))?;
        self.end(id, settlement.fate(records));
        Ok(())
    }

    /// Takes a request back that was given out; it will be given out again, in its old place.
    ///
    /// # Errors
    /// As [`settle`](Self::settle).
    pub fn give_back(&mut self, id: EntryId) -> Result<(), StoreError> {
        if self.index.give_back(id) { Ok(()) } else { Err(StoreError::NotQueued(id)) }
    }

    /// Where every record is, over the whole life of the queue; see the [module](super). Given out counts as
    /// queued. What is staged to be pushed is not accepted yet.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            accepted: self.account.accepted,
            exported: self.account.exported,
            rejected: self.account.rejected,
            dropped: self.account.dropped(),
            queued: self.index.records(),
        }
    }

    /// Records dropped for `reason`, over the whole life of the queue.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.account.dropped.get(reason as usize).copied().unwrap_or(0)
    }

    /// What went wrong and what it took since the queue was opened.
    #[must_use]
    pub const fn counters(&self) -> StoreCounters {
        StoreCounters {
            refused: self.refused,
            failed_reads: self.failed_reads,
            failed_removals: self.failed_removals,
            ..self.log.counters
        }
    }

    /// Lets go of the disk, as the last commit left it.
    #[must_use]
    pub fn into_disk(self) -> D {
        self.log.into_disk()
    }

    /// Requests in the queue, given out or not.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.index.len()
    }

    /// Requests that wait to be given out.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.index.waiting()
    }

    /// Bytes of all files. A push never takes it above `max_bytes`; only what the failures of the disk leave
    /// behind until the next commit may.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.log.bytes()
    }
}

impl<D: Disk> DurableQueue<D> {
    fn try_commit(&mut self, now: UnixNanos) -> Result<(), StoreError> {
        let Staged { pushes, ends, turned_away, .. } = &self.staged;
        let tight = self.is_tight();
        if pushes.is_empty() && ends.is_empty() && (tight || turned_away.is_empty()) {
            if self.log.sync_if_due(now)? {
                self.release();
            }
            return Ok(());
        }
        if !tight {
            return self.write(now, Part::All);
        }
        self.write(now, Part::Ends)?;
        if self.staged.pushes.is_empty() {
            return Ok(());
        }
        self.free()?;
        self.write(now, Part::Pushes)
    }

    /// Gives the room that the staged pushes were promised, now that the ends are written.
    fn free(&mut self) -> Result<(), StoreError> {
        if !self.log.is_settled() {
            self.log.sync()?;
        }
        self.log.release(self.first_segment()).map(drop)
    }

    /// Writes one group and takes over what it did.
    fn write(&mut self, now: UnixNanos, part: Part) -> Result<(), StoreError> {
        let Staged { pushes, ends, turned_away, .. } = &self.staged;
        let told = if part == Part::All { turned_away.len() } else { 0 };
        let pushed = if part == Part::Ends { 0 } else { pushes.len() };
        let ended = ends.iter().map(|&(id, fate)| Op::End { id: Some(id), fate });
        let turned_away = turned_away.iter().take(told).map(|&fate| Op::End { id: None, fate });
        let pushes = pushes.iter().take(pushed).map(|push| Op::Push {
            id: push.id,
            at: push.at,
            request: &push.request,
        });
        let ops: Vec<Op<'_>> = ended.chain(turned_away).chain(pushes).collect();
        let places = self.log.append(now, &ops)?;
        let first_push = places.len() - pushed;
        self.staged.ends.clear();
        self.staged.turned_away.drain(..told);
        for (push, place) in self.staged.pushes.drain(..pushed).zip(places.into_iter().skip(first_push)) {
            let Request { signal, body, records, priority } = push.request;
            let live = Live { place, body_bytes: body.len(), at: push.at, signal, priority, records };
            self.staged.push_bytes -= live.frame_bytes() as u64;
            self.account.accepted += u64::from(records);
            self.index.push(push.id, live, body, self.config.max_cached_bytes);
        }
        self.release();
        Ok(())
    }

    /// Removes segments that hold nothing queued; every end of an entry in them is written.
    fn release(&mut self) {
        if self.log.is_settled() && self.log.release(self.first_segment()).is_err() {
            // The group itself is safe; the segments go with a later one.
            self.failed_removals += 1;
        }
    }

    /// Removes such segments although the ends are not written, as there is no room for them. A crash before
    /// they are counts the records as damaged, since nothing says what became of them.
    fn free_unwritten(&mut self) -> bool {
        self.log.release(self.first_segment()).is_ok_and(|freed| freed > 0)
    }

    /// Segments before it hold nothing queued.
    fn first_segment(&self) -> u64 {
        self.index.first_segment().unwrap_or(u64::MAX)
    }

    /// Books an entry out of the queue.
    fn end(&mut self, id: EntryId, fate: Fate) {
        if self.index.remove(id).is_some() {
            self.account.settle(fate);
            self.staged.ends.push((id, fate));
        }
    }

    fn drop_entry(&mut self, id: EntryId, records: u32, reason: DropReason) {
        self.end(id, Fate::Dropped { reason, records });
    }

    /// Counts records as accepted and dropped that never come into the log.
    fn turn_away(&mut self, reason: DropReason, records: u32) {
        self.account.accepted += u64::from(records);
        self.account.discard(reason, records.into());
        let added = self.staged.turned_away.iter_mut().any(|fate| match fate {
            Fate::Dropped { reason: met, records: sum } if *met == reason => {
                sum.checked_add(records).map(|more| *sum = more).is_some()
            }
            _ => false,
        });
        if !added {
            self.staged.turned_away.push(Fate::Dropped { reason, records });
        }
    }

    fn expire(&mut self, now: UnixNanos) {
        let limit = now.saturating_sub(self.config.max_age);
        while let Some((id, records)) = self.index.expired(limit) {
            self.drop_entry(id, records, DropReason::Expired);
        }
    }

    /// The body of an entry from the disk; `None` where it is damaged.
    fn read_back(&mut self, id: EntryId, live: &Live) -> Result<Option<Bytes>, StoreError> {
        match self.log.read(id, live.place, live.frame_bytes()) {
            Ok(body) => Ok(body),
            Err(error) => {
                self.failed_reads += 1;
                if self.index.fail_read(id) < READS { Err(error) } else { Ok(None) }
            }
        }
    }
}

/// Room.
impl<D: Disk> DurableQueue<D> {
    /// Finds room for a body of `bytes`, dropping the oldest where the policy says so.
    fn make_room(&mut self, bytes: usize) -> Result<(), StoreError> {
        let may_drop = self.config.overflow == Overflow::DropOldest;
        let limit = self.config.max_requests;
        while self.index.len() + self.staged.pushes.len() >= limit {
            if !(may_drop && self.drop_oldest()) {
                return Err(StoreError::Full { what: "max_requests", limit: limit as u64 });
            }
        }
        let limit = self.config.max_bytes;
        // Beside what is staged, which cannot be dropped: else all would be dropped in vain.
        let possible = self.needs(0, 0, bytes) <= limit;
        while self.needs(self.log.bytes_from(self.first_segment()), self.index.len(), bytes) > limit {
            if self.index.len() == 0 && self.log.seal() {
                continue;
            }
            if !(may_drop && possible && self.drop_oldest_segment()) {
                return Err(StoreError::Full { what: "max_bytes", limit });
            }
        }
        Ok(())
    }

    /// Bytes of all files at the most, until everything is settled, beside `kept` bytes with `entries` in
    /// them: what is staged, one more body, the end of each, and the headers of the segments that takes.
    fn needs(&self, kept: u64, entries: usize, body: usize) -> u64 {
        let Staged { pushes, ends, push_bytes, .. } = &self.staged;
        let open = entries + pushes.len() + ends.len() + 1;
        let ahead = push_bytes.saturating_add(frame_bytes(body)).saturating_add((open * FRAME_BYTES) as u64);
        // Two neighbours among the segments have more than `segment_bytes` together.
        let segments = 2 * (ahead / self.config.segment_bytes) + 2;
        kept.saturating_add(ahead).saturating_add(segments * HEADER_BYTES as u64)
    }

    /// True where what is staged may not fit before segments that hold nothing queued are gone.
    fn is_tight(&self) -> bool {
        self.needs(self.log.bytes(), self.index.len(), 0) > self.config.max_bytes
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((id, live)) = self.index.oldest() else { return false };
        self.drop_entry(id, live.records, DropReason::QueueFull);
        true
    }

    fn drop_oldest_segment(&mut self) -> bool {
        let Some(first) = self.index.first_segment() else { return false };
        while self.index.first_segment() == Some(first) {
            self.drop_oldest();
        }
        true
    }
}

impl<D> fmt::Debug for DurableQueue<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableQueue")
            .field("requests", &self.index.len())
            .field("records", &self.index.records())
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

fn frame_bytes(body: usize) -> u64 {
    (FRAME_BYTES as u64).saturating_add(body as u64)
}

/// Reads of one request that may fail.
const READS: u8 = 3;
