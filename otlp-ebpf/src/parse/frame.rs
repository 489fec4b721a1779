//! One direction of a protocol whose messages say their length first.
//!
//! Of each message a prefix is kept where it comes in pieces; the rest is passed over by its length, and so are holes
//! that lie within it.

use otlp_core::UnixNanos;

use super::{Chunk, Direction, Event, ParseError, ParseErrorKind};

/// Bytes of a header at most.
pub(super) const HEADER: usize = 5;

/// Capacity that an idle direction may go on holding.
const IDLE_BYTES: usize = 512;

#[derive(Debug)]
pub(super) struct Framer {
    direction: Direction,
    place: Place,
    header: [u8; HEADER],
    /// Bytes of the header that have come.
    have: usize,
    /// Bytes of the body still to come (of its present part), and those that have come.
    left: u64,
    came: u64,
    /// How much of the body is to be given, from its first byte.
    want: usize,
    /// Whether another part of the same message follows.
    part: bool,
    /// The first bytes of the body, where they did not come all at once.
    kept: Vec<u8>,
    holed: bool,
    /// Bytes of this direction taken.
    offset: u64,
    /// Where the present message began.
    start: u64,
    start_time: UnixNanos,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before a message, or in its header.
    Header,
    Body,
    Lost,
    Opaque,
}

/// What the next bytes are.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// More are needed.
    More,
    /// A header is complete: [`Framer::body`] is to be told how long the body is.
    Header([u8; HEADER]),
    /// A part of a message is complete, another one follows.
    Part,
    /// A message is complete.
    Message(Message<'a>),
    /// So many bytes were passed over: there is no place among messages.
    Unparsed(&'a [u8]),
}

/// A message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) header: [u8; HEADER],
    /// The first bytes of its body, as many as were asked for.
    pub(super) body: &'a [u8],
    /// Whether bytes are missing from those.
    pub(super) holed: bool,
    /// How long the whole body is.
    pub(super) length: u64,
    /// When its first byte was seen.
    pub(super) start: UnixNanos,
}

impl Framer {
    pub(super) const fn new(direction: Direction) -> Self {
        Self {
            direction,
            place: Place::Header,
            header: [0; HEADER],
            have: 0,
            left: 0,
            came: 0,
            want: 0,
            part: false,
            kept: Vec::new(),
            holed: false,
            offset: 0,
            start: 0,
            start_time: UnixNanos::ZERO,
        }
    }

    /// Takes from the front of `rest` up to the next thing to tell; a header is of `size` bytes.
    #[inline]
    #[expect(
        single_use_lifetimes,
        reason = "a body may be given from the bytes, which live longer than the borrow"
    )]
    pub(super) fn step<'s, 'b: 's>(
        &'s mut self,
        rest: &mut &'b [u8],
        size: usize,
        time: UnixNanos,
    ) -> Step<'s> {
        match self.place {
            Place::Header => self.take_header(rest, size, time),
            Place::Body => self.take_body(rest),
            Place::Lost | Place::Opaque if rest.is_empty() => Step::More,
            Place::Lost | Place::Opaque => {
                self.offset += wide(rest.len());
                Step::Unparsed(std::mem::take(rest))
            }
        }
    }

    #[inline]
    fn take_header(&mut self, rest: &mut &[u8], size: usize, time: UnixNanos) -> Step<'static> {
        if rest.is_empty() {
            return Step::More;
        }
        if self.have == 0 && !self.part {
            self.start = self.offset;
            self.start_time = time;
        }
        if size == HEADER
            && self.have == 0
            && let Some((header, behind)) = rest.split_first_chunk()
        {
            // All there, as nearly all are.
            self.header = *header;
            *rest = behind;
            self.have = size;
            self.offset += wide(size);
            return Step::Header(self.header);
        }
        let room = self.header.get_mut(self.have..size).unwrap_or_default();
        let count = room.len().min(rest.len());
        let (bytes, behind) = rest.split_at_checked(count).unwrap_or_default();
        room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        *rest = behind;
        self.have += count;
        self.offset += wide(count);
        if self.have < size { Step::More } else { Step::Header(self.header) }
    }

    /// Tells that a body follows of so many bytes, of which the first `want` are to be given. `part` tells that the
    /// next header begins another part of the same message.
    #[inline]
    pub(super) fn body(&mut self, length: u64, want: usize, part: bool) {
        if !self.part {
            self.came = 0;
            self.want = want;
            self.holed = false;
            self.kept.clear();
        }
        self.part = part;
        self.left = length;
        self.have = 0;
        self.place = Place::Body;
    }

    /// Takes from the front of `rest` what there is of the body.
    #[inline]
    #[expect(single_use_lifetimes, reason = "as in `step`")]
    pub(super) fn take_body<'s, 'b: 's>(&'s mut self, rest: &mut &'b [u8]) -> Step<'s> {
        let count = usize::try_from(self.left).map_or(rest.len(), |left| left.min(rest.len()));
        let (bytes, behind) = rest.split_at_checked(count).unwrap_or_default();
        *rest = behind;
        self.offset += wide(count);
        self.left -= wide(count);
        let whole = self.left == 0 && !self.part;
        let prefix = bytes.get(..self.room().min(count)).unwrap_or_default();
        let first = self.came == 0 && !self.holed;
        self.came = self.came.saturating_add(wide(count));
        if !(whole && first) {
            self.kept.extend_from_slice(prefix);
        }
        if self.left > 0 {
            return Step::More;
        }
        self.place = Place::Header;
        if self.part {
            return Step::Part;
        }
        let body = if first { prefix } else { &self.kept };
        Step::Message(Message {
            header: self.header,
            body,
            holed: self.holed,
            length: self.came,
            start: self.start_time,
        })
    }

    /// Bytes of the body that are still wanted.
    #[inline]
    fn room(&self) -> usize {
        let came = usize::try_from(self.came).unwrap_or(usize::MAX);
        if self.holed { 0 } else { self.want.saturating_sub(came) }
    }

    /// Takes note of lost bytes; gives whether the place among messages is lost with them.
    #[inline]
    pub(super) fn skip(&mut self, missing: u64) -> bool {
        self.offset += missing;
        match self.place {
            Place::Body if missing <= self.left => {
                self.holed |= missing > 0 && self.room() > 0;
                self.left -= missing;
                self.came = self.came.saturating_add(missing);
                false
            }
            Place::Lost | Place::Opaque => false,
            Place::Header | Place::Body => missing > 0,
        }
    }

    /// Passes over whole messages at the front of `rest` that need not be looked into, such as rows: `take` is given all
    /// bytes that there are, and gives how many of them such messages are. Gives how many bytes they were.
    #[inline]
    pub(super) fn pass(&mut self, rest: &mut &[u8], take: impl FnOnce(&[u8]) -> usize) -> u64 {
        if !self.is_between() {
            return 0;
        }
        let (passed, left) = rest.split_at_checked(take(rest)).unwrap_or((&[], rest));
        *rest = left;
        self.offset += wide(passed.len());
        wide(passed.len())
    }

    /// Whether the next byte begins a message.
    #[inline]
    pub(super) fn is_between(&self) -> bool {
        self.place == Place::Header && self.have == 0 && !self.part
    }

    /// Whether the next byte belongs to a further part of a message.
    #[inline]
    pub(super) fn is_part(&self) -> bool {
        self.part
    }

    pub(super) fn is_lost(&self) -> bool {
        self.place == Place::Lost
    }

    /// Gives up the place among messages, and tells so.
    pub(super) fn lose(&mut self, kind: ParseErrorKind, on: &mut dyn FnMut(Event<'_>)) {
        if matches!(self.place, Place::Lost | Place::Opaque) {
            return;
        }
        let direction = self.direction;
        let begun = if self.is_between() { self.offset } else { self.start };
        on(Event::Refused { direction, error: ParseError { offset: begun, direction, kind } });
        self.drop_message(on);
        self.place = Place::Lost;
    }

    /// Gives up a message that is under way.
    fn drop_message(&mut self, on: &mut dyn FnMut(Event<'_>)) {
        let bytes = wide(self.have).saturating_add(if self.place == Place::Body { self.came } else { 0 });
        if bytes > 0 {
            on(Event::Unparsed { direction: self.direction, bytes });
        }
        self.have = 0;
        self.part = false;
        self.release();
    }

    /// Loses the place without telling: there was none.
    pub(super) const fn begin_lost(&mut self) {
        self.place = Place::Lost;
    }

    /// The next byte begins a message.
    pub(super) fn resume(&mut self) {
        if self.place == Place::Lost {
            self.place = Place::Header;
            self.have = 0;
        }
    }

    /// Nothing from here on is a message.
    pub(super) fn leave(&mut self, on: &mut dyn FnMut(Event<'_>)) {
        if self.place != Place::Opaque {
            self.drop_message(on);
            self.place = Place::Opaque;
        }
    }

    /// The direction has ended.
    pub(super) fn close(&mut self, on: &mut dyn FnMut(Event<'_>)) {
        if !self.is_between() {
            self.lose(ParseErrorKind::Truncated, on);
        }
        self.place = Place::Opaque;
    }

    /// Frees what a long message has left behind.
    #[inline]
    pub(super) fn release(&mut self) {
        self.kept.clear();
        if self.kept.capacity() > IDLE_BYTES {
            self.kept = Vec::new();
        }
    }

    pub(super) const fn held_bytes(&self) -> usize {
        self.kept.capacity()
    }
}

/// A length in memory always fits 64 bits.
#[inline]
pub(super) fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Tells bytes that belong to no message.
pub(super) fn unparsed(chunk: &Chunk<'_>, bytes: &[u8], on: &mut dyn FnMut(Event<'_>)) {
    on(Event::Unparsed { direction: chunk.direction, bytes: wide(bytes.len()) });
}
