//! One direction: what comes next, and what is held until then.

use otlp_core::UnixNanos;

use super::{Bounds, Flow, Flowing, Segment};

#[derive(Debug)]
pub(super) struct Half {
    /// Number of the next byte to pass on; none before the first segment.
    next: Option<u32>,
    /// Number of the SYN, where it was seen.
    first: Option<u32>,
    /// Number behind the last byte, where the FIN was seen.
    end: Option<u32>,
    /// Number up to which the receiver has all.
    acked: Option<u32>,
    /// Bytes behind the hole, ascending, without overlaps.
    held: Vec<Held>,
    held_cost: usize,
    /// When the first of what is held came.
    hole_since: UnixNanos,
    /// Time of what was passed on last.
    last: UnixNanos,
    closed: bool,
}

/// A segment, or a part of it, that came too early.
#[derive(Debug)]
struct Held {
    sequence: u32,
    length: u32,
    time: UnixNanos,
    bytes: Box<[u8]>,
}

impl Held {
    /// What it takes to hold it.
    const fn cost(&self) -> usize {
        self.bytes.len() + size_of::<Self>() + ALLOCATION
    }
}

/// What an allocation costs besides.
const ALLOCATION: usize = 16;

/// How far ahead of the next byte a segment may be. Windows are 2^30 at most (RFC 7323 §2.3).
const REACH: i32 = 1 << 30;

/// Bytes of a segment at most; offload gives a capture some hundred KiB at once.
const MAX_LENGTH: u32 = 1 << 24;

/// A part of a segment: its number, its length, the bytes of it that there are.
type Part<'a> = (u32, u32, &'a [u8]);

impl Half {
    pub(super) const fn new() -> Self {
        Self {
            next: None,
            first: None,
            end: None,
            acked: None,
            held: Vec::new(),
            held_cost: 0,
            hole_since: UnixNanos::ZERO,
            last: UnixNanos::ZERO,
            closed: false,
        }
    }

    /// Finds its place with the first segment seen.
    pub(super) fn begin(&mut self, segment: &Segment<'_>) {
        if self.next.is_none() {
            self.first = segment.syn.then_some(segment.sequence);
            self.next = Some(first_byte(segment));
        }
    }

    pub(super) fn take(&mut self, segment: &Segment<'_>, bounds: &Bounds, flow: &mut Flow<'_>) {
        let Some(next) = self.next else { return };
        let start = first_byte(segment);
        let bytes = segment.bytes.get(..to_usize(segment.length)).unwrap_or(segment.bytes);
        let ahead = distance(next, start);
        if self.closed || !(-REACH..=REACH).contains(&ahead) || segment.length > MAX_LENGTH {
            flow.pool.counts.outside += u64::from(segment.length > 0);
            return;
        }
        if segment.fin && self.end.is_none() {
            self.end = Some(start.wrapping_add(segment.length));
        }
        if ahead == 0 && self.held.is_empty() {
            // In order, as nearly all are.
            self.pass(segment.time, 0, (start, segment.length, bytes), flow);
        } else {
            self.place(segment.time, (start, segment.length, bytes), bounds, flow);
        }
        self.close(segment.time, flow);
    }

    fn place(&mut self, time: UnixNanos, part: Part<'_>, bounds: &Bounds, flow: &mut Flow<'_>) {
        let next = self.next.unwrap_or_default();
        let ahead = distance(next, part.0);
        // What was passed on already is not passed on again.
        let repeated = u32::try_from(-i64::from(ahead)).unwrap_or(0).min(part.1);
        flow.pool.counts.repeated_bytes += u64::from(repeated);
        let part = after(part, repeated);
        if part.1 > 0 {
            self.insert(time, part, flow);
        }
        self.drain(flow);
        while !self.held.is_empty() && (self.held_cost > bounds.bytes || flow.pool.held > flow.pool.limit) {
            flow.pool.counts.holes_full += 1;
            self.skip_hole(flow);
        }
    }

    /// Holds what of the part nothing is held of yet.
    fn insert(&mut self, time: UnixNanos, mut part: Part<'_>, flow: &mut Flow<'_>) {
        let next = self.next.unwrap_or_default();
        let place = |sequence: u32| sequence.wrapping_sub(next);
        let mut at = self.held.partition_point(|held| place(held.sequence) + held.length <= place(part.0));
        let mut is_early = distance(next, part.0) > 0;
        while part.1 > 0 {
            let Some(held) = self.held.get(at) else {
                self.hold(at, time, part, flow);
                break;
            };
            let (begin, end) = (place(held.sequence), place(held.sequence) + held.length);
            let free = begin.saturating_sub(place(part.0)).min(part.1);
            if free > 0 {
                self.hold(at, time, (part.0, free, prefix(part.2, free)), flow);
                part = after(part, free);
                at += 1;
            }
            let covered = end.saturating_sub(place(part.0)).min(part.1);
            flow.pool.counts.repeated_bytes += u64::from(covered);
            is_early &= covered == 0;
            part = after(part, covered);
            at += 1;
        }
        flow.pool.counts.reordered += u64::from(is_early);
    }

    fn hold(&mut self, at: usize, time: UnixNanos, (sequence, length, bytes): Part<'_>, flow: &mut Flow<'_>) {
        if self.held.is_empty() {
            self.hole_since = time;
        }
        let held = Held { sequence, length, time, bytes: bytes.into() };
        self.held_cost += held.cost();
        flow.pool.held += held.cost();
        self.held.insert(at, held);
    }

    /// Passes on what is held and comes next.
    fn drain(&mut self, flow: &mut Flow<'_>) {
        let ready = self.held.iter().scan(self.next.unwrap_or_default(), |next, held| {
            let is_next = held.sequence == *next;
            *next = next.wrapping_add(held.length);
            is_next.then_some(())
        });
        let ready = ready.count();
        if ready > 0 {
            self.release(ready, flow);
        }
    }

    /// Passes on the first so many of what is held; bytes before the first are missing.
    fn release(&mut self, count: usize, flow: &mut Flow<'_>) {
        let mut held = std::mem::take(&mut self.held);
        for piece in held.drain(..count) {
            let missing = piece.sequence.wrapping_sub(self.next.unwrap_or_default());
            self.held_cost -= piece.cost();
            flow.pool.held -= piece.cost();
            let time = piece.time.max(self.last);
            self.pass(time, missing.into(), (piece.sequence, piece.length, &piece.bytes), flow);
        }
        if !held.is_empty() {
            // What is left has a hole of its own before it, known since then.
            self.hole_since = held.first().map_or(self.hole_since, |first| first.time);
            self.held = held;
        }
    }

    fn skip_hole(&mut self, flow: &mut Flow<'_>) {
        self.release(1, flow);
        self.drain(flow);
    }

    fn pass(
        &mut self,
        time: UnixNanos,
        missing: u64,
        (sequence, length, bytes): Part<'_>,
        flow: &mut Flow<'_>,
    ) {
        self.next = Some(sequence.wrapping_add(length));
        self.last = time;
        flow.pass(time, missing, (bytes, length));
    }

    pub(super) fn acknowledge(&mut self, number: u32) {
        // What was acknowledged before anything was seen is not looked for.
        self.next.get_or_insert(number);
        if self.acked.is_none_or(|acked| distance(acked, number) > 0) {
            self.acked = Some(number);
        }
    }

    /// Gives up holes that have been open for too long.
    pub(super) fn expire(&mut self, now: UnixNanos, bounds: &Bounds, flow: &mut Flow<'_>) {
        while let Some(first) = self.held.first() {
            let open = now.duration_since(self.hole_since);
            let acked = self.acked.is_some_and(|acked| distance(first.sequence, acked) >= 0);
            if acked && open >= bounds.acked_time {
                flow.pool.counts.holes_acknowledged += 1;
            } else if open >= bounds.time {
                flow.pool.counts.holes_expired += 1;
            } else {
                return;
            }
            self.skip_hole(flow);
        }
        // The last bytes may be what was lost, and only the end seen.
        let (Some(end), Some(next)) = (self.end, self.next) else { return };
        let acked = self.acked.is_some_and(|acked| distance(end, acked) > 0);
        if acked
            && !self.closed
            && distance(next, end) > 0
            && now.duration_since(self.last) >= bounds.acked_time
        {
            flow.pool.counts.holes_acknowledged += 1;
            self.skip_to(end, now, flow);
        }
    }

    /// Gives up all holes.
    pub(super) fn give_up(&mut self, flow: &mut Flow<'_>) {
        while !self.held.is_empty() {
            flow.pool.counts.holes_expired += 1;
            self.skip_hole(flow);
        }
        if let (Some(end), Some(next)) = (self.end, self.next)
            && distance(next, end) > 0
        {
            flow.pool.counts.holes_expired += 1;
            self.skip_to(end, self.last, flow);
        }
    }

    fn skip_to(&mut self, end: u32, time: UnixNanos, flow: &mut Flow<'_>) {
        let missing = end.wrapping_sub(self.next.unwrap_or(end));
        self.pass(time, missing.into(), (end, 0, &[]), flow);
    }

    /// Tells of the end, once everything before it has been passed on.
    pub(super) fn close(&mut self, now: UnixNanos, flow: &mut Flow<'_>) {
        let reached = self.end.zip(self.next).is_some_and(|(end, next)| distance(end, next) >= 0);
        if reached && !self.closed {
            self.closed = true;
            // Bytes behind the end are none of the connection's.
            self.held = Vec::new();
            flow.pool.held -= std::mem::take(&mut self.held_cost);
            (flow.out)(Flowing::Closed(flow.direction, now.max(self.last)));
        }
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// True where a segment of this number can be from the present connection.
    pub(super) fn expects(&self, sequence: u32) -> bool {
        self.next.is_none_or(|next| (-REACH..=REACH).contains(&distance(next, sequence)))
    }

    /// True where the segment begins anew.
    pub(super) fn is_another(&self, segment: &Segment<'_>) -> bool {
        match (self.first, self.next) {
            _ if !segment.syn => false,
            (Some(first), _) => first != segment.sequence,
            (None, Some(next)) => next != segment.sequence.wrapping_add(1),
            (None, None) => false,
        }
    }

    /// True where the bytes of the segment have been passed on already.
    pub(super) fn knows(&self, segment: &Segment<'_>) -> bool {
        let end = segment.sequence.wrapping_add(segment.length);
        self.next.is_some_and(|next| (-REACH..=0).contains(&distance(next, end)))
    }
}

const fn first_byte(segment: &Segment<'_>) -> u32 {
    if segment.syn { segment.sequence.wrapping_add(1) } else { segment.sequence }
}

/// How far `to` is ahead of `from`: sequence numbers wrap around.
const fn distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from).cast_signed()
}

fn prefix(bytes: &[u8], length: u32) -> &[u8] {
    bytes.get(..to_usize(length)).unwrap_or(bytes)
}

/// The part without its first so many bytes.
fn after((sequence, length, bytes): Part<'_>, count: u32) -> Part<'_> {
    let rest = bytes.get(to_usize(count)..).unwrap_or_default();
    (sequence.wrapping_add(count), length - count, rest)
}

/// Lengths of segments always fit.
fn to_usize(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
