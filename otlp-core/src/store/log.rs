//! The log on its disk: groups of frames are appended whole or not at all, segments begun and removed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bytes::Bytes;

use super::account::{Account, Fate};
use super::config::{StoreConfig, SyncPolicy, Unreadable};
use super::error::StoreError;
use super::frame::{self, FRAME_BYTES, Frame, MOST, Op, Place, What};
use super::recover::{Replay, Source, first_sequence, void_from};
use super::segment::{HEADER_BYTES, Header, VERSION};
use super::{Disk, EntryId, StoreCounters};
use crate::UnixNanos;
use crate::error::Result;

#[derive(Debug)]
pub(super) struct Log<D> {
    disk: D,
    policy: SyncPolicy,
    segment_bytes: u64,
    /// Bytes of each segment.
    segments: BTreeMap<u64, u64>,
    /// Segments begun by groups that failed, which could not be removed at once.
    strays: Vec<u64>,
    last_number: u64,
    /// What the next frame will follow.
    head: Head,
    /// Frames of the present group that are not written yet.
    buffer: Vec<u8>,
    unsynced: BTreeSet<u64>,
    unsynced_since: Option<UnixNanos>,
    names_unsynced: bool,
    pub(super) counters: StoreCounters,
}

/// Where the log ends; taken back as a whole when a group fails.
#[derive(Debug, Clone, Copy)]
struct Head {
    /// The segment that is appended to. None after opening and after a failure: what may be half written is
    /// never written again.
    active: Option<u64>,
    next_sequence: u64,
    next_id: u64,
    /// The account as the log has it, which lacks what is not written yet.
    account: Account,
}

impl<D: Disk> Log<D> {
    /// Reads the log and cuts off what a write that was not completed left at its end.
    pub(super) fn open(mut disk: D, config: &StoreConfig) -> Result<(Self, Replay), StoreError> {
        let mut numbers = disk.segments().map_err(StoreError::io("list the segments"))?;
        numbers.retain(|number| *number < MOST);
        numbers.sort_unstable();
        let mut headers = Vec::with_capacity(numbers.len());
        let mut first_sequences = Vec::with_capacity(numbers.len());
        for &number in &numbers {
            let header = read_header(&mut disk, number, config.unreadable)?;
            let whole = header.is_none().then(|| read_whole(&mut disk, number, config.unreadable));
            let (bytes, _) = whole.transpose()?.unwrap_or_default();
            first_sequences.push(first_sequence(number, header.as_ref(), &bytes));
            headers.push(header);
        }
        let mut replay = Replay::default();
        let mut segments = BTreeMap::new();
        let void = void_from(&first_sequences);
        for ((&number, header), void_from) in numbers.iter().zip(headers).zip(void) {
            let (bytes, unreadable) = read_whole(&mut disk, number, config.unreadable)?;
            replay.report.unreadable_bytes += unreadable;
            let is_last = numbers.last() == Some(&number);
            let end = replay.read(Source { number, header, bytes: &bytes, void_from, is_last });
            let torn = is_last && end < bytes.len();
            if let Some(size) = if torn { cut(&mut disk, number, end)? } else { Some(bytes.len() as u64) } {
                segments.insert(number, size);
            }
        }
        replay.finish();
        let head = Head {
            active: None,
            next_sequence: replay.next_sequence,
            next_id: replay.next_id,
            account: replay.account,
        };
        let log = Self {
            disk,
            policy: config.sync,
            segment_bytes: config.segment_bytes,
            // The process before may have been killed ahead of its sync.
            unsynced: segments.keys().copied().collect(),
            names_unsynced: true,
            segments,
            strays: Vec::new(),
            last_number: numbers.last().copied().unwrap_or(0),
            head,
            buffer: Vec::new(),
            unsynced_since: None,
            counters: StoreCounters::default(),
        };
        Ok((log, replay))
    }

    pub(super) fn into_disk(self) -> D {
        self.disk
    }

    /// Bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.values().sum()
    }

    /// Bytes of the segments that stay when all before `bound` go; see [`release`](Self::release).
    pub(super) fn bytes_from(&self, bound: u64) -> u64 {
        let stay = |number: u64| number >= bound || Some(number) == self.head.active;
        self.segments.iter().filter(|(number, _)| stay(**number)).map(|(_, bytes)| bytes).sum()
    }

    /// Appends a group and, where the policy says so, forces it to the disk. Gives the place of each frame.
    ///
    /// On failure the log is as before, and the next group begins a segment that declares the frames of this
    /// one void: a write or a sync that failed may have reached the disk in part, or later.
    pub(super) fn append(&mut self, now: UnixNanos, ops: &[Op<'_>]) -> Result<Vec<Place>, StoreError> {
        let active_bytes = self.head.active.map(|active| (active, self.active_end()));
        let mark = Mark { head: self.head, active_bytes, last_number: self.last_number };
        let done = self.try_append(now, ops);
        if done.is_err() {
            self.counters.failed_groups += 1;
            self.take_back(mark);
        }
        done
    }

    /// Forces everything written to the disk, whatever the policy.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        while let Some(segment) = self.unsynced.pop_first() {
            // Not kept for another try on failure: that would succeed without the bytes being there.
            self.counters.syncs += 1;
            self.disk.sync(segment).map_err(StoreError::io("sync a segment")).inspect_err(|_| {
                self.head.active = None;
                self.counters.failed_syncs += 1;
            })?;
        }
        self.sync_names()?;
        self.unsynced_since = None;
        Ok(())
    }

    /// When the policy wants the next sync; `None` where nothing waits for one.
    pub(super) fn sync_due(&self) -> Option<UnixNanos> {
        match self.policy {
            SyncPolicy::Interval(interval) => self.unsynced_since.map(|since| since + interval),
            SyncPolicy::Always | SyncPolicy::Never => None,
        }
    }

    /// Forces to the disk what has waited long enough; says whether it did.
    pub(super) fn sync_if_due(&mut self, now: UnixNanos) -> Result<bool, StoreError> {
        let Some((due, since)) = self.sync_due().zip(self.unsynced_since) else { return Ok(false) };
        // A clock that was set back says nothing about how long it was.
        let over = now >= due || now < since;
        if over {
            self.sync()?;
        }
        Ok(over)
    }

    /// Nothing more is appended to the present segment, so that it can go. Says whether there was one.
    pub(super) const fn seal(&mut self) -> bool {
        self.head.active.take().is_some()
    }

    /// True where everything written may be relied on, as far as the policy goes.
    pub(super) fn is_settled(&self) -> bool {
        self.policy == SyncPolicy::Never || self.unsynced.is_empty()
    }

    /// Removes the segments before `bound`, oldest first, but never the last: its header and frames hold the
    /// account. Gives the bytes freed.
    ///
    /// One is gone for good before the next goes. Else a power failure could bring an older one back without
    /// the newer, which has the ends of its entries. Under [`SyncPolicy::Never`] it could.
    pub(super) fn release(&mut self, bound: u64) -> Result<u64, StoreError> {
        // What voids a stray must not go before it.
        self.remove_strays()?;
        let mut freed = 0;
        while let Some((&number, &bytes)) = self.segments.first_key_value() {
            if number >= bound || Some(number) == self.head.active || self.segments.len() == 1 {
                break;
            }
            if self.policy != SyncPolicy::Never {
                self.sync_names()?;
            }
            self.disk.remove(number).map_err(StoreError::io("remove a segment"))?;
            self.segments.remove(&number);
            self.unsynced.remove(&number);
            self.names_unsynced = true;
            freed += bytes;
        }
        if self.policy != SyncPolicy::Never {
            self.sync_names()?;
        }
        Ok(freed)
    }

    /// Reads the body of entry `id` back, from a frame of `frame_bytes`; `None` where the disk has something
    /// else there than was written.
    pub(super) fn read(
        &mut self,
        id: EntryId,
        place: Place,
        frame_bytes: usize,
    ) -> Result<Option<Bytes>, StoreError> {
        let mut bytes = vec![0; frame_bytes];
        let read = self.disk.read(place.segment, place.offset, &mut bytes);
        read.map_err(StoreError::io("read a request"))?;
        let frame = Frame::read(place, &bytes);
        let body = Bytes::from(bytes).split_off(FRAME_BYTES.min(frame_bytes));
        let about = |frame: &Frame| matches!(frame.what, What::Push { id: met, .. } if met == id);
        Ok(frame.is_some_and(|frame| about(&frame) && frame.holds(&body)).then_some(body))
    }

    fn try_append(&mut self, now: UnixNanos, ops: &[Op<'_>]) -> Result<Vec<Place>, StoreError> {
        if self.head.active.is_none() {
            self.begin_segment()?;
        }
        let mut places = Vec::with_capacity(ops.len());
        for op in ops {
            places.push(self.put(op)?);
        }
        self.flush()?;
        self.unsynced_since.get_or_insert(now);
        match self.policy {
            SyncPolicy::Always => self.sync()?,
            SyncPolicy::Interval(_) => drop(self.sync_if_due(now)?),
            SyncPolicy::Never => {}
        }
        Ok(places)
    }

    /// Adds one frame to the buffer, in a new segment where the present one is full.
    fn put(&mut self, op: &Op<'_>) -> Result<Place, StoreError> {
        let used = self.active_end();
        let full = used.saturating_add(op.bytes() as u64) > self.segment_bytes;
        if full && used > HEADER_BYTES as u64 {
            self.flush()?;
            if self.policy != SyncPolicy::Never {
                // So that no segment is on the disk before what it follows.
                self.sync()?;
            }
            self.begin_segment()?;
        }
        let place =
            Place { segment: self.head.active.unwrap_or(self.last_number), offset: self.active_end() };
        self.count(op);
        frame::write(op, place, [self.head.next_sequence, self.head.account.accepted], &mut self.buffer);
        self.head.next_sequence += 1;
        Ok(place)
    }

    fn count(&mut self, op: &Op<'_>) {
        match op {
            Op::Push { id, request, .. } => {
                self.head.account.accepted += u64::from(request.records);
                self.head.next_id = self.head.next_id.max(id.0.saturating_add(1));
            }
            Op::End { id, fate } => {
                if let (None, Fate::Dropped { records, .. }) = (id, fate) {
                    self.head.account.accepted += u64::from(*records);
                }
                self.head.account.settle(*fate);
            }
        }
    }

    /// Offset of the next byte in the active segment.
    fn active_end(&self) -> u64 {
        let written = self.head.active.and_then(|active| self.segments.get(&active)).copied();
        written.unwrap_or(0) + self.buffer.len() as u64
    }

    fn begin_segment(&mut self) -> Result<(), StoreError> {
        self.head.active = None;
        self.last_number += 1;
        let number = self.last_number;
        self.disk.create(number).map_err(StoreError::io("begin a segment"))?;
        self.names_unsynced = true;
        self.segments.insert(number, 0);
        self.head.active = Some(number);
        let Head { next_sequence: first_sequence, next_id, account, .. } = self.head;
        Header { number, first_sequence, next_id, account }.write(&mut self.buffer);
        Ok(())
    }

    /// Writes what is in the buffer. A disk that takes only part of it is asked to take the rest.
    fn flush(&mut self) -> Result<(), StoreError> {
        let Some(active) = self.head.active.filter(|_| !self.buffer.is_empty()) else { return Ok(()) };
        let start = self.segments.get(&active).copied().unwrap_or(0);
        self.unsynced.insert(active);
        let mut rest = self.buffer.as_slice();
        let mut offset = start;
        while !rest.is_empty() {
            let wrote = self.disk.write(active, offset, rest).map_err(StoreError::io("write a group"))?;
            let Some(left) = rest.get(wrote..).filter(|_| wrote > 0) else {
                return Err(StoreError::io("write a group")(io::ErrorKind::WriteZero.into()));
            };
            rest = left;
            offset += wrote as u64;
        }
        self.segments.insert(active, offset);
        self.buffer.clear();
        // One large request must not hold its memory for ever.
        self.buffer.shrink_to(usize::try_from(self.segment_bytes).unwrap_or(usize::MAX));
        Ok(())
    }

    fn sync_names(&mut self) -> Result<(), StoreError> {
        if self.names_unsynced {
            self.disk.sync_names().map_err(StoreError::io("sync the directory"))?;
            self.names_unsynced = false;
        }
        Ok(())
    }

    /// Undoes a group that failed. Where the disk does not undo its part, the next segment's header does.
    fn take_back(&mut self, mark: Mark) {
        self.buffer.clear();
        self.head = Head { active: None, ..mark.head };
        if let Some((active, bytes)) = mark.active_bytes {
            let _void_anyway = self.disk.truncate(active, bytes);
            self.segments.insert(active, bytes);
        }
        for (begun, _) in self.segments.split_off(&(mark.last_number + 1)) {
            self.unsynced.remove(&begun);
            self.strays.push(begun);
        }
        let _tried_again_before_any_other_goes = self.remove_strays();
    }

    fn remove_strays(&mut self) -> Result<(), StoreError> {
        while let Some(stray) = self.strays.last() {
            self.disk.remove(*stray).map_err(StoreError::io("remove a segment"))?;
            self.names_unsynced = true;
            self.strays.pop();
        }
        Ok(())
    }
}

/// Where the log was before a group.
#[derive(Debug, Clone, Copy)]
struct Mark {
    head: Head,
    active_bytes: Option<(u64, u64)>,
    last_number: u64,
}

fn read_header<D: Disk>(
    disk: &mut D,
    segment: u64,
    unreadable: Unreadable,
) -> Result<Option<Header>, StoreError> {
    let size = disk.size(segment).map_err(StoreError::io("look at a segment"))?;
    let mut bytes = [0; HEADER_BYTES];
    let there = usize::try_from(size).unwrap_or(usize::MAX).min(HEADER_BYTES);
    let Some(start) = bytes.get_mut(..there) else { return Ok(None) };
    if let Err(error) = disk.read(segment, 0, start) {
        give_up(unreadable, error)?;
        return Ok(None);
    }
    let future = |met| StoreError::FutureVersion { segment, met, known: VERSION };
    Header::read(segment, start).map_err(future)
}

/// All bytes of a segment, zeros where they cannot be read, and how many those are.
fn read_whole<D: Disk>(
    disk: &mut D,
    segment: u64,
    unreadable: Unreadable,
) -> Result<(Vec<u8>, u64), StoreError> {
    let size = disk.size(segment).map_err(StoreError::io("look at a segment"))?;
    let size =
        usize::try_from(size).map_err(|error| StoreError::io("read a segment")(io::Error::other(error)))?;
    let mut bytes = vec![0; size];
    let Err(error) = disk.read(segment, 0, &mut bytes) else { return Ok((bytes, 0)) };
    give_up(unreadable, error)?;
    let mut lost = 0;
    for (block, index) in bytes.chunks_mut(BLOCK_BYTES).zip(0_u64..) {
        if disk.read(segment, index * BLOCK_BYTES as u64, block).is_err() {
            block.fill(0);
            lost += block.len() as u64;
        }
    }
    Ok((bytes, lost))
}

/// Whether to go on without what cannot be read.
fn give_up(unreadable: Unreadable, error: io::Error) -> Result<(), StoreError> {
    match unreadable {
        Unreadable::Skip => Ok(()),
        Unreadable::Refuse => Err(StoreError::io("read a segment")(error)),
    }
}

/// Cuts the last segment to its sound bytes, for good; gives how many, `None` where it is gone.
fn cut<D: Disk>(disk: &mut D, segment: u64, end: usize) -> Result<Option<u64>, StoreError> {
    let action = "cut a torn tail";
    if end == 0 {
        disk.remove(segment).map_err(StoreError::io(action))?;
        disk.sync_names().map_err(StoreError::io(action))?;
        return Ok(None);
    }
    disk.truncate(segment, end as u64).map_err(StoreError::io(action))?;
    disk.sync(segment).map_err(StoreError::io(action))?;
    Ok(Some(end as u64))
}

/// What is given up at once where a medium cannot be read.
const BLOCK_BYTES: usize = 4096;
