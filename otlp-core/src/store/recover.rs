//! What a log says: the bytes of its segments in, the queue's state out.
//!
//! Pure. The account follows from the log alone: the first sound header says what was before it, each frame
//! adds its own, every frame and header says how much was accepted until then, and what was accepted but is
//! nowhere was damaged. So the account is exact by construction, whatever became of the bytes.

use std::collections::{BTreeMap, BTreeSet};

use super::EntryId;
use super::account::Account;
use super::frame::{FRAME_BYTES, Place, What};
use super::segment::{Header, Scan};
use crate::UnixNanos;
use crate::protocol::Signal;
use crate::protocol::export::Priority;

/// What was found when a queue was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Recovery {
    /// Segments read.
    pub segments: u64,
    /// Requests still in the queue. Some may have reached the receiver before.
    pub requests: u64,
    /// Their records.
    pub records: u64,
    /// Frames, of requests or of their ends, that are missing between others.
    pub lost_frames: u64,
    /// Accepted records that are nowhere, counted as dropped by
    /// [`DropReason::Damaged`](super::DropReason::Damaged). Of a group of requests that was being written
    /// when the power failed, those that did not reach the disk are among them where a later one did.
    pub damaged_records: u64,
    /// Bytes before the end of the log that are no sound frames, and were stepped over.
    pub damaged_bytes: u64,
    /// Bytes that could not be read, given up by [`Unreadable::Skip`](super::Unreadable::Skip).
    pub unreadable_bytes: u64,
    /// Bytes cut off the end of the log, as left by a write that was not completed.
    pub torn_bytes: u64,
}

/// A request in the queue, as the log has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Live {
    pub(super) place: Place,
    pub(super) body_bytes: usize,
    pub(super) at: UnixNanos,
    pub(super) signal: Signal,
    pub(super) priority: Priority,
    pub(super) records: u32,
}

/// The bytes of one segment, and what is known of it beforehand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) number: u64,
    pub(super) header: Option<Header>,
    pub(super) bytes: &'a [u8],
    /// Frames from this place on were taken back: a later segment begins there. See [`void_from`].
    pub(super) void_from: u64,
    /// No segment follows: unsound bytes at the end are a write that was not completed.
    pub(super) is_last: bool,
}

/// Reads the segments of a log in ascending order.
#[derive(Debug, Default)]
pub(super) struct Replay {
    pub(super) account: Account,
    pub(super) live: BTreeMap<EntryId, Live>,
    pub(super) next_sequence: u64,
    pub(super) next_id: u64,
    pub(super) report: Recovery,
    /// A sound header was met, so that the account is that of the queue's whole life.
    based: bool,
    /// Something was met that says where the log is, so that gaps can be told.
    placed: bool,
    /// Ends of entries that are not in the log any more, each to be counted once.
    ended: BTreeSet<EntryId>,
}

impl Replay {
    /// Takes the next segment; gives one past its last sound byte, zero where nothing in it is sound.
    pub(super) fn read(&mut self, source: Source<'_>) -> usize {
        self.report.segments += 1;
        if let Some(header) = source.header.filter(|header| header.first_sequence <= source.void_from) {
            self.begin(&header);
        }
        let mut scan = Scan::new(source.number, source.bytes, source.header.is_some());
        for (offset, frame) in scan.by_ref() {
            if frame.sequence >= source.void_from || (self.placed && frame.sequence < self.next_sequence) {
                continue;
            }
            self.reach(frame.sequence);
            self.next_sequence = frame.sequence.saturating_add(1);
            self.account.accepted = self.account.accepted.max(frame.accepted);
            let place = Place { segment: source.number, offset };
            self.apply(frame.what, place, frame.body_bytes);
        }
        let tail = (source.bytes.len() - scan.sound_end()) as u64;
        self.report.damaged_bytes += scan.skipped() as u64;
        if source.is_last {
            self.report.torn_bytes += tail;
        } else {
            self.report.damaged_bytes += tail;
        }
        scan.sound_end()
    }

    /// Balances the account when all segments were read.
    pub(super) fn finish(&mut self) {
        let queued = self.live.values().fold(0_u64, |sum, live| sum.saturating_add(live.records.into()));
        if !self.based {
            // Nobody knows what was before, so the account begins anew with what is here.
            self.account.accepted = self.account.settled().saturating_add(queued);
        }
        self.report.damaged_records = self.account.balance(queued);
        self.report.requests = self.live.len() as u64;
        self.report.records = queued;
        self.next_id = self.next_id.max(1);
    }

    fn begin(&mut self, header: &Header) {
        if self.based {
            self.account.accepted = self.account.accepted.max(header.account.accepted);
        } else {
            // Whatever was read before is in the header's account already.
            self.account = header.account;
            self.based = true;
        }
        self.reach(header.first_sequence);
        self.next_id = self.next_id.max(header.next_id);
    }

    /// Goes on at `sequence`; frames jumped over are lost.
    fn reach(&mut self, sequence: u64) {
        if self.placed {
            self.report.lost_frames =
                self.report.lost_frames.saturating_add(sequence.saturating_sub(self.next_sequence));
        }
        self.placed = true;
        self.next_sequence = self.next_sequence.max(sequence);
    }

    /// An id is never given twice, although its push may be lost.
    fn use_up(&mut self, id: EntryId) {
        self.next_id = self.next_id.max(id.0.saturating_add(1));
    }

    fn apply(&mut self, what: What, place: Place, body_bytes: usize) {
        match what {
            What::Push { id, at, signal, priority, records } => {
                self.use_up(id);
                let live = Live { place, body_bytes, at, signal, priority, records };
                self.live.entry(id).or_insert(live);
            }
            What::End { id: None, fate } => self.account.settle(fate),
            What::End { id: Some(id), fate } => {
                self.use_up(id);
                if self.live.remove(&id).is_some() || self.ended.insert(id) {
                    self.account.settle(fate);
                }
            }
        }
    }
}

/// Where in the log a segment begins: by its header, else by its first sound frame.
pub(super) fn first_sequence(number: u64, header: Option<&Header>, bytes: &[u8]) -> Option<u64> {
    let by_frame = || Scan::new(number, bytes, false).next().map(|(_, frame)| frame.sequence);
    header.map(|header| header.first_sequence).or_else(by_frame)
}

/// For each segment the place in the log from which its frames are void: where a later segment takes the log
/// up again after a group that failed, part of which may be on the disk all the same.
pub(super) fn void_from(first_sequences: &[Option<u64>]) -> Vec<u64> {
    let mut bound = u64::MAX;
    let mut bounds = Vec::with_capacity(first_sequences.len());
    for first in first_sequences.iter().rev() {
        bounds.push(bound);
        bound = first.map_or(bound, |first| bound.min(first));
    }
    bounds.reverse();
    bounds
}

impl Live {
    /// Bytes of the whole frame.
    pub(super) const fn frame_bytes(&self) -> usize {
        FRAME_BYTES + self.body_bytes
    }
}
