//! One direction of a connection: frames by their lengths, through holes, and looked for where the place is lost.

use std::sync::Arc;

use memchr::memchr;
use otlp_core::UnixNanos;

use super::fact::Facts;
use super::talk::Talk;
use super::topic::TopicIds;
use super::walk::{Route, Walk};
use super::wide;
use crate::parse::infer::Verdict;
use crate::parse::{Chunk, Direction, End, Event, ParseError, ParseErrorKind};

pub(super) type Emit<'e> = &'e mut dyn FnMut(Event<'_>);

/// Bytes that are held to tell whether a message begins with them.
pub(super) const WINDOW: usize = 30;
/// Bytes of the length before each message.
const LENGTH: usize = 4;
/// Bytes of what may be a message that are kept: if it is none, one may begin among them.
const KEPT: usize = 64;

/// What the two directions do differently.
pub(super) trait Way {
    const DIRECTION: Direction;
    /// Bytes in front of a message that are read as they are, its length counted.
    const FIXED: usize;
    /// Bytes that tell whether a message is one; those behind the fixed ones are fields.
    const HEAD: usize;
    /// Whether a message looked for must be known to its end, or be followed by another.
    const DOUBTS: bool;

    /// Whether these bytes, at most [`WINDOW`], begin a message: surely, where the place is lost.
    fn looks(&self, talk: &Talk, window: &[u8]) -> Verdict;

    /// Reads the head of a message.
    fn begin(&mut self, talk: &Talk, head: &[u8]) -> Begin;

    /// Takes a message that has ended.
    fn complete(&mut self, talk: &mut Talk, message: Message<'_>, on: Emit<'_>);

    /// Messages of this direction were lost.
    fn lose(&mut self, talk: &mut Talk);
}

/// What a head says.
pub(super) enum Begin {
    Message(Route),
    /// A frame of something else.
    Pass,
    Refuse(ParseErrorKind),
}

/// A message, as far as it was read.
pub(super) struct Message<'a> {
    pub(super) facts: &'a mut Facts,
    pub(super) start: UnixNanos,
    pub(super) time: UnixNanos,
    pub(super) bytes: u64,
    /// Bytes of it that were lost, whether they would have said something or not.
    pub(super) missed: u64,
    pub(super) end: End,
}

#[derive(Debug)]
pub(super) struct Side<W> {
    way: W,
    walk: Walk,
    facts: Facts,
    place: Place,
    trust: Trust,
    /// The head of a message, or what may become one.
    window: [u8; WINDOW],
    have: usize,
    /// The first bytes of what may be a message; none where there were more than are kept.
    kept: Option<Kept>,
    /// Bytes to be looked through again.
    again: Kept,
    /// Bytes of the message in all, and still to come.
    length: u64,
    left: u64,
    missed: u64,
    /// Bytes behind those that its shape describes.
    surplus: u64,
    full: bool,
    /// Bytes of this direction taken.
    offset: u64,
    start: u64,
    start_time: UnixNanos,
    /// When bytes were seen last.
    seen: UnixNanos,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    bytes: [u8; KEPT],
    count: usize,
}

impl Kept {
    const NONE: Self = Self { bytes: [0; KEPT], count: 0 };

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.count).unwrap_or_default()
    }

    /// Adds bytes; nothing where there is no room for all.
    fn with(mut self, more: &[u8]) -> Option<Self> {
        let room = self.bytes.get_mut(self.count..)?.get_mut(..more.len())?;
        room.copy_from_slice(more);
        self.count += more.len();
        Some(self)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Head,
    Body,
    /// In a frame that is passed over.
    Pass,
    /// Looking for a message.
    Search,
    Closed,
}

/// Whether the message at hand is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    Sure,
    /// It looks like one.
    Maybe,
    /// It looks like one, right behind one that did.
    Likely,
}

impl<W: Way> Side<W> {
    pub(super) fn new(way: W, ids: Arc<TopicIds>) -> Self {
        Self {
            way,
            walk: Walk::new(),
            facts: Facts::new(ids),
            place: Place::Head,
            trust: Trust::Sure,
            window: [0; WINDOW],
            have: 0,
            kept: None,
            again: Kept::NONE,
            length: 0,
            left: 0,
            missed: 0,
            surplus: 0,
            full: false,
            offset: 0,
            start: 0,
            start_time: UnixNanos::ZERO,
            seen: UnixNanos::ZERO,
        }
    }

    pub(super) const fn search(&mut self) {
        self.place = Place::Search;
        self.trust = Trust::Maybe;
    }

    pub(super) const fn way(&self) -> &W {
        &self.way
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.walk.held_bytes() + self.facts.held_bytes()
    }

    pub(super) fn feed(&mut self, chunk: &Chunk<'_>, talk: &mut Talk, on: Emit<'_>) {
        if chunk.missing > 0 {
            // A message that ends with lost bytes ended when they came, which nobody saw.
            self.gap(chunk.missing, self.seen, talk, on);
        }
        if !chunk.bytes.is_empty() {
            self.seen = chunk.time;
        }
        let mut rest = chunk.bytes;
        loop {
            if self.again.count > 0 {
                let again = std::mem::replace(&mut self.again, Kept::NONE);
                let used = self.take(again.as_slice(), chunk.time, talk, on);
                // What was in vain among these comes before those behind them.
                let behind = again.as_slice().get(used..).unwrap_or_default();
                self.again = self.again.with(behind).unwrap_or(Kept::NONE);
            } else if rest.is_empty() {
                return;
            } else {
                let used = self.take(rest, chunk.time, talk, on);
                rest = rest.get(used..).unwrap_or_default();
            }
        }
    }

    /// Takes bytes; gives how many.
    fn take(&mut self, bytes: &[u8], time: UnixNanos, talk: &mut Talk, on: Emit<'_>) -> usize {
        match self.place {
            Place::Head => self.head(bytes, time, talk, on),
            Place::Body => self.body(bytes, time, talk, on),
            Place::Pass => self.pass(bytes, on),
            Place::Search => self.look(bytes, time, talk, on),
            Place::Closed => {
                unparsed::<W>(wide(bytes.len()), on);
                self.offset += wide(bytes.len());
                bytes.len()
            }
        }
    }

    /// Takes bytes of a head; gives how many.
    fn head(&mut self, rest: &[u8], time: UnixNanos, talk: &mut Talk, on: Emit<'_>) -> usize {
        if self.have == 0 {
            self.start = self.offset;
            self.start_time = time;
        }
        let mut used = self.collect(LENGTH, rest);
        self.offset += wide(used);
        if self.have < LENGTH {
            return used;
        }
        let length = length_of(&self.window);
        self.length = length;
        if used > 0 && self.have == LENGTH {
            let least = wide(W::HEAD - LENGTH);
            let limit = talk.limits.value_bytes();
            if length > limit {
                self.refuse(ParseErrorKind::Limit { what: "value_bytes", limit }, talk, on);
                return used;
            }
            if length < least && talk.raw {
                self.pass_over(on);
                return used;
            }
            if length < least {
                self.refuse(ParseErrorKind::KafkaHeader, talk, on);
                return used;
            }
        }
        let more = self.collect(W::HEAD, rest.get(used..).unwrap_or_default());
        self.offset += wide(more);
        used += more;
        if self.have == W::HEAD {
            self.begin(time, talk, on);
        }
        used
    }

    /// Adds bytes to the window up to a count; gives how many.
    fn collect(&mut self, count: usize, rest: &[u8]) -> usize {
        let room = self.window.get_mut(self.have..count).unwrap_or_default();
        let used = room.len().min(rest.len());
        room.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        self.have += used;
        used
    }

    /// Goes from the head, which is in the window, to the body; fields of the body may be in the window too.
    fn begin(&mut self, time: UnixNanos, talk: &mut Talk, on: Emit<'_>) {
        let route = match self.way.begin(talk, self.window.get(..W::HEAD).unwrap_or_default()) {
            Begin::Message(route) => route,
            Begin::Pass => return self.pass_over(on),
            Begin::Refuse(kind) => return self.refuse(kind, talk, on),
        };
        self.facts.clear(self.trust != Trust::Sure);
        self.walk.start(route);
        self.full = route.shape.full;
        self.surplus = 0;
        self.left = (self.length + wide(LENGTH)).saturating_sub(wide(W::FIXED));
        self.place = Place::Body;
        self.missed = 0;
        let window = std::mem::replace(&mut self.window, [0; WINDOW]);
        let window = window.get(..std::mem::take(&mut self.have)).unwrap_or_default();
        self.kept = if self.trust == Trust::Sure { None } else { Kept::NONE.with(window) };
        // They were counted as they came.
        let fields = window.get(W::FIXED..).unwrap_or_default();
        self.offset -= wide(fields.len());
        let (_, fits) = self.fields(fields, time, talk, on);
        if !fits {
            self.reject(on);
        }
    }

    /// Takes bytes of the body; gives how many.
    fn body(&mut self, rest: &[u8], time: UnixNanos, talk: &mut Talk, on: Emit<'_>) -> usize {
        let (used, fits) = self.fields(rest, time, talk, on);
        self.kept = self.kept.take().and_then(|kept| kept.with(rest.get(..used).unwrap_or_default()));
        if !fits {
            self.reject(on);
        }
        used
    }

    /// Takes bytes of the body; gives how many, and whether it still can be one.
    fn fields(&mut self, rest: &[u8], time: UnixNanos, talk: &mut Talk, on: Emit<'_>) -> (usize, bool) {
        let mut count = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
        let mut walked = 0;
        let mut fits = true;
        if !self.walk.is_done() {
            let (used, outcome) =
                self.walk.run(rest.get(..count).unwrap_or_default(), self.left, &mut self.facts);
            walked = used;
            if outcome.is_err() && self.trust == Trust::Sure {
                self.facts.misfit();
                self.walk.stop();
            } else if outcome.is_err() {
                count = walked;
                fits = false;
            }
        }
        self.surplus += wide(count - walked);
        self.left -= wide(count);
        self.offset += wide(count);
        if fits && self.left == 0 {
            fits = self.finish(time, talk, on);
        }
        (count, fits)
    }

    /// Ends a message at the end of its frame; false where it was none.
    fn finish(&mut self, time: UnixNanos, talk: &mut Talk, on: Emit<'_>) -> bool {
        let exact = self.walk.is_done() && (!self.full || self.surplus == 0);
        match self.trust {
            Trust::Sure => {}
            Trust::Maybe if exact && (self.full || !W::DOUBTS) => {}
            Trust::Likely if exact => {}
            Trust::Maybe if exact => {
                // A message looks like this, but so might other bytes; the one behind it will tell.
                unparsed::<W>(self.seen_bytes(), on);
                self.place = Place::Search;
                self.trust = Trust::Likely;
                return true;
            }
            Trust::Maybe | Trust::Likely => return false,
        }
        if !exact {
            self.facts.misfit();
        }
        let end = if self.facts.holed { End::Gap } else { End::Complete };
        self.tell(time, end, talk, on);
        self.place = Place::Head;
        true
    }

    /// Bytes of the message that were seen so far.
    const fn seen_bytes(&self) -> u64 {
        (self.length + LENGTH as u64).saturating_sub(self.left + self.missed)
    }

    fn tell(&mut self, time: UnixNanos, end: End, talk: &mut Talk, on: Emit<'_>) {
        self.trust = Trust::Sure;
        let bytes = self.length - self.left;
        let (facts, start, missed) = (&mut self.facts, self.start_time, self.missed);
        let message = Message { facts, start, time, bytes, missed, end };
        self.way.complete(talk, message, on);
        self.facts.release();
    }

    /// What was taken for a message is none: looks through its bytes again from the second on, where they are few.
    fn reject(&mut self, on: Emit<'_>) {
        match self.kept.take() {
            Some(kept) => self.again_behind_first(kept.as_slice(), on),
            None => unparsed::<W>(self.seen_bytes(), on),
        }
        self.search();
    }

    fn again_behind_first(&mut self, bytes: &[u8], on: Emit<'_>) {
        unparsed::<W>(1, on);
        self.again = Kept::NONE.with(bytes.get(1..).unwrap_or_default()).unwrap_or(Kept::NONE);
        self.offset = self.start + 1;
    }

    /// Passes over the frame whose head is in the window.
    fn pass_over(&mut self, on: Emit<'_>) {
        unparsed::<W>(wide(self.have), on);
        self.left = (self.length + wide(LENGTH)).saturating_sub(wide(self.have));
        self.place = if self.left > 0 { Place::Pass } else { Place::Head };
        // It may hold what proves who the client is.
        self.window = [0; WINDOW];
        self.have = 0;
    }

    fn pass(&mut self, rest: &[u8], on: Emit<'_>) -> usize {
        let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
        unparsed::<W>(wide(count), on);
        self.offset += wide(count);
        self.left -= wide(count);
        if self.left == 0 {
            self.place = Place::Head;
        }
        count
    }

    /// Refuses what is in the window, and looks for a message from its second byte on.
    fn refuse(&mut self, kind: ParseErrorKind, talk: &mut Talk, on: Emit<'_>) {
        self.say_refused(kind, on);
        self.way.lose(talk);
        let window = std::mem::replace(&mut self.window, [0; WINDOW]);
        let had = window.get(..std::mem::take(&mut self.have)).unwrap_or_default();
        self.again_behind_first(had, on);
        self.search();
    }

    fn say_refused(&self, kind: ParseErrorKind, on: Emit<'_>) {
        let direction = W::DIRECTION;
        on(Event::Refused { direction, error: ParseError { offset: self.start, direction, kind } });
    }

    /// Looks for the beginning of a message; gives how many bytes it took.
    fn look(&mut self, rest: &[u8], time: UnixNanos, talk: &mut Talk, on: Emit<'_>) -> usize {
        let mut used = 0;
        let mut passed = 0;
        let found = loop {
            match self.way.looks(talk, self.window.get(..self.have).unwrap_or_default()) {
                Verdict::Yes => break true,
                Verdict::No => {
                    self.window.copy_within(1.., 0);
                    self.have = self.have.saturating_sub(1);
                    self.trust = Trust::Maybe;
                    passed += 1;
                }
                Verdict::More => {
                    let mut behind = rest.get(used..).unwrap_or_default();
                    if self.have == 0 && self.trust == Trust::Maybe {
                        // No message that is looked for is so long that its length begins with another byte.
                        let at = memchr(0, behind).unwrap_or(behind.len());
                        (used, passed) = (used + at, passed + at);
                        behind = behind.get(at..).unwrap_or_default();
                    }
                    if self.collect(self.have + 1, behind) == 0 {
                        break false;
                    }
                    used += 1;
                }
            }
        };
        unparsed::<W>(wide(passed), on);
        self.offset += wide(used);
        if found {
            self.length = length_of(&self.window);
            self.start = self.offset.saturating_sub(wide(self.have));
            self.start_time = time;
            self.begin(time, talk, on);
        }
        used
    }

    fn gap(&mut self, lost: u64, time: UnixNanos, talk: &mut Talk, on: Emit<'_>) {
        match self.place {
            Place::Closed => {}
            Place::Search => {
                unparsed::<W>(wide(std::mem::take(&mut self.have)), on);
                self.way.lose(talk);
                self.search();
            }
            Place::Body if lost <= self.left => self.gap_in_body(lost, time, talk, on),
            Place::Pass if lost <= self.left => {
                self.left -= lost;
                if self.left == 0 {
                    self.place = Place::Head;
                }
            }
            Place::Head if self.have >= LENGTH && wide(self.have) + lost <= self.length + wide(LENGTH) => {
                self.say_refused(ParseErrorKind::Gap, on);
                self.way.lose(talk);
                self.pass_over(on);
                self.left -= lost;
                if self.left == 0 {
                    self.place = Place::Head;
                }
            }
            Place::Head | Place::Body | Place::Pass => self.lose_place(time, talk, on),
        }
        self.offset += lost;
    }

    fn gap_in_body(&mut self, lost: u64, time: UnixNanos, talk: &mut Talk, on: Emit<'_>) {
        self.kept = None;
        if !self.walk.gap(lost, &mut self.facts) {
            if self.trust != Trust::Sure {
                self.reject(on);
                return self.way.lose(talk);
            }
            self.facts.lose_rest();
            self.walk.stop();
        }
        self.left -= lost;
        self.missed += lost;
        if self.left == 0 && !self.finish(time, talk, on) {
            self.reject(on);
        }
    }

    /// Bytes were lost beyond the end of the frame at hand; what of it was read is told.
    fn lose_place(&mut self, time: UnixNanos, talk: &mut Talk, on: Emit<'_>) {
        match self.place {
            Place::Body if self.trust == Trust::Sure => {
                self.facts.lose_rest();
                self.walk.stop();
                self.missed += self.left;
                self.left = 0;
                self.tell(time, End::Gap, talk, on);
            }
            Place::Body => {
                self.kept = None;
                self.reject(on);
            }
            _ => {
                unparsed::<W>(wide(std::mem::take(&mut self.have)), on);
                self.start = self.offset;
            }
        }
        self.say_refused(ParseErrorKind::Gap, on);
        self.way.lose(talk);
        self.search();
    }

    pub(super) fn close(&mut self, time: UnixNanos, talk: &mut Talk, on: Emit<'_>) {
        match self.place {
            Place::Head if self.have > 0 => {
                self.say_refused(ParseErrorKind::Truncated, on);
                unparsed::<W>(wide(self.have), on);
            }
            Place::Body if self.trust != Trust::Sure => unparsed::<W>(self.seen_bytes(), on),
            Place::Body if W::DIRECTION == Direction::ToClient => self.tell(time, End::Truncated, talk, on),
            Place::Body => {
                self.say_refused(ParseErrorKind::Truncated, on);
                unparsed::<W>(self.seen_bytes(), on);
            }
            Place::Search => unparsed::<W>(wide(self.have), on),
            Place::Head | Place::Pass | Place::Closed => {}
        }
        self.have = 0;
        self.place = Place::Closed;
    }

    /// Gives up what may be a message of this direction, but need not: the other one went on, which it mostly does
    /// between messages.
    pub(super) fn begin_anew(&mut self, on: Emit<'_>) {
        match self.place {
            Place::Body if self.trust != Trust::Sure => unparsed::<W>(self.seen_bytes(), on),
            Place::Search if self.have > 0 => unparsed::<W>(wide(std::mem::take(&mut self.have)), on),
            _ => return,
        }
        self.search();
    }

    /// A message begins with the next byte.
    pub(super) fn realign(&mut self, on: Emit<'_>) {
        if self.place == Place::Search {
            unparsed::<W>(wide(std::mem::take(&mut self.have)), on);
            self.place = Place::Head;
            self.trust = Trust::Sure;
        }
    }
}

fn length_of(window: &[u8; WINDOW]) -> u64 {
    window.first_chunk().map_or(0, |length| u32::from_be_bytes(*length).into())
}

fn unparsed<W: Way>(bytes: u64, on: Emit<'_>) {
    if bytes > 0 {
        on(Event::Unparsed { direction: W::DIRECTION, bytes });
    }
}
