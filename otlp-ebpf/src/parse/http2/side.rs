//! One direction of a connection: its place in the stream, and what it holds.

use otlp_core::UnixNanos;

use super::frame::{Frame, HEADER, Kind, LARGEST_FRAME, USUAL_FRAME};
use super::search::Search;
use super::{Direction, Emit, Event, wide};
use crate::limits::Limits;
use crate::parse::hpack::Decoder;

/// Where one direction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// In what the client sends first, so many bytes in.
    Preface(usize),
    /// In a frame's header.
    Head,
    /// In what stands before the content.
    Lead,
    /// In a part of a header block.
    Fragment,
    /// In settings.
    Settings,
    /// In content that is not looked at.
    Skip,
    /// Lost; looking for a frame.
    Search,
    /// Closed.
    Opaque,
}

#[derive(Debug)]
pub(super) struct Side {
    pub(super) state: State,
    direction: Direction,
    /// Bytes of this direction taken.
    pub(super) offset: u64,
    /// Where the present frame begins, its header counted, and when that was seen.
    pub(super) start: u64,
    pub(super) start_time: UnixNanos,
    pub(super) small: Small,
    pub(super) frame: Frame,
    /// Bytes of the frame that are still to come, and how many of them are padding.
    pub(super) left: u32,
    pub(super) pad: u32,
    /// What the frame carries is looked into.
    pub(super) looks: bool,
    /// The header block under way.
    pub(super) block: Option<Block>,
    pub(super) decoder: Decoder,
    /// Bytes that a frame may hold.
    pub(super) largest: u32,
    /// Needed after a loss only.
    pub(super) search: Option<Box<Search>>,
    /// A server's, of which nothing has been seen.
    pub(super) fresh: bool,
}

/// A header block under way.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) stream: u32,
    /// Of a promise: read for the table alone.
    pub(super) is_promise: bool,
    pub(super) ends_stream: bool,
    pub(super) start: u64,
    pub(super) time: UnixNanos,
    /// What came of it in frames before, or in part.
    pub(super) held: Vec<u8>,
    /// Some of it was not seen; nothing behind that is held.
    pub(super) is_lost: bool,
    /// It passed the limit; nothing behind that is held.
    pub(super) is_too_long: bool,
}

impl Side {
    pub(super) fn new(direction: Direction, state: State, limits: &Limits) -> Self {
        Self {
            state,
            direction,
            offset: 0,
            start: 0,
            start_time: UnixNanos::ZERO,
            small: Small::default(),
            frame: Frame::NONE,
            left: 0,
            pad: 0,
            looks: false,
            block: None,
            decoder: Decoder::new(limits.table_bytes()),
            largest: USUAL_FRAME,
            search: None,
            fresh: direction == Direction::ToClient,
        }
    }

    /// Begins the frame whose header has just been taken.
    pub(super) fn begin(&mut self, frame: Frame) {
        self.start = self.offset.saturating_sub(wide(HEADER));
        self.frame = frame;
        self.left = frame.length;
        self.pad = 0;
        self.looks = false;
        self.state = match frame.kind {
            _ if frame.lead() > 0 => State::Lead,
            Kind::Headers | Kind::Promise | Kind::Continuation => State::Fragment,
            Kind::Settings => State::Settings,
            _ => State::Skip,
        };
        if matches!(frame.kind, Kind::Headers | Kind::Promise) {
            self.block = Some(Block {
                stream: frame.stream,
                is_promise: frame.kind == Kind::Promise,
                ends_stream: frame.ends_stream(),
                start: self.start,
                time: self.start_time,
                held: Vec::new(),
                is_lost: false,
                is_too_long: false,
            });
        }
    }

    /// Takes as many of the bytes as belong to the frame; gives how many.
    pub(super) fn take(&mut self, bytes: usize) -> usize {
        let taken = u32::try_from(bytes).map_or(self.left, |bytes| bytes.min(self.left));
        self.left -= taken;
        self.offset += u64::from(taken);
        taken as usize
    }

    /// Passes over bytes that belong to no message.
    pub(super) fn pass(&mut self, bytes: usize, on: Emit<'_>) -> usize {
        self.offset += wide(bytes);
        if bytes > 0 {
            on(Event::Unparsed { direction: self.direction, bytes: wide(bytes) });
        }
        bytes
    }

    /// What a frame is looked for with.
    pub(super) fn search(&mut self) -> &mut Search {
        self.search.get_or_insert_default()
    }

    /// Gives up the bytes among which a frame was looked for.
    pub(super) fn forget(&mut self, on: Emit<'_>) {
        let held = self.search.as_mut().map_or(0, |search| search.clear());
        self.pass(held, on);
    }

    /// Settings of the other end may have been missed: any size is allowed.
    pub(super) fn relax(&mut self) {
        self.largest = LARGEST_FRAME;
        self.decoder.allow(u32::MAX);
    }

    pub(super) fn held_bytes(&self) -> usize {
        let block = self.block.as_ref().map_or(0, |block| block.held.capacity());
        self.decoder.held_bytes()
            + self.search.as_ref().map_or(0, |search| size_of::<Search>() + search.held_bytes())
            + block
    }
}

/// A few bytes that are needed together.
#[derive(Debug, Default)]
pub(super) struct Small {
    bytes: [u8; 16],
    len: usize,
}

impl Small {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn clear(&mut self) {
        self.len = 0;
    }

    /// Gathers `N` bytes: gives them, and how many were taken from `bytes`; else takes all and waits for more.
    pub(super) fn gather<const N: usize>(&mut self, bytes: &[u8]) -> Option<([u8; N], usize)> {
        if self.len == 0
            && let Some((whole, _)) = bytes.split_first_chunk::<N>()
        {
            return Some((*whole, N));
        }
        let (gathered, used) = self.gather_some(N, bytes)?;
        Some((*gathered.first_chunk::<N>()?, used))
    }

    /// Gathers `needed` bytes, at most sixteen.
    pub(super) fn gather_some(&mut self, needed: usize, bytes: &[u8]) -> Option<([u8; 16], usize)> {
        let mut used = 0;
        for (slot, byte) in self.bytes.iter_mut().take(needed).skip(self.len).zip(bytes) {
            *slot = *byte;
            used += 1;
        }
        self.len += used;
        if self.len < needed {
            return None;
        }
        self.len = 0;
        Some((self.bytes, used))
    }
}
