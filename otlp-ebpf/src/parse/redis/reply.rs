//! Replies: every type of RESP2 and RESP3, nested, streamed, with attributes.

use memchr::memchr2;
use otlp_core::UnixNanos;

use super::number::{Number, Value, plain, string};
use super::{Reply, ReplyKind, Short, wide};
use crate::limits::Limits;
use crate::parse::{Chunk, Direction, End, Event, Exchange, ParseError, ParseErrorKind, ResponseHead};

#[derive(Debug)]
pub(super) struct Replies {
    limits: Limits,
    state: State,
    /// Aggregates that are open, outermost first.
    stack: Vec<Frame>,
    /// Bytes of this direction taken.
    offset: u64,
    /// Where the present reply began.
    start: u64,
    start_time: UnixNanos,
    kind: ReplyKind,
    prefix: Short,
    first: Short,
    last_integer: i64,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    /// Values still to come; none where the end is told by a dot.
    left: Option<u64>,
    /// Whether it has had a value.
    begun: bool,
    /// Whether it only describes the value that follows it.
    attribute: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Before a reply.
    Between,
    /// Before a value of a reply.
    Type,
    /// In a line of text.
    Line { keep: Keep, length: u64, cr: bool },
    /// In the number behind a type byte.
    Number { kind: u8, number: Number, keep: Keep },
    /// In a string.
    Data { left: u64, keep: Keep, part: bool },
    /// At the CR LF behind a string, or behind a part of one.
    DataEnd { part: bool, cr: bool },
    /// Before a part of a streamed string.
    PartType,
    /// Lost, until told where a reply begins.
    Search,
    /// No longer replies.
    Opaque,
}

/// What of a value is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Nothing,
    /// The first word of an error.
    Prefix,
    /// The first value of an aggregate.
    First,
    /// An integer of an aggregate.
    Integer,
}

type Emit<'e> = &'e mut dyn FnMut(Event<'_>);

/// What became of some bytes: how many were taken, and whether the next one is refused.
type Step = (usize, Result<Then, ParseErrorKind>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    More,
    ReplyDone,
}

impl Replies {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Between,
            stack: Vec::new(),
            offset: 0,
            start: 0,
            start_time: UnixNanos::ZERO,
            kind: ReplyKind::Value,
            prefix: Short::default(),
            first: Short::default(),
            last_integer: 0,
        }
    }

    pub(super) const fn search(&mut self) {
        self.state = State::Search;
    }

    pub(super) fn feed(&mut self, chunk: &Chunk<'_>, on: Emit<'_>) {
        self.skip(chunk.missing, on);
        let mut rest = chunk.bytes;
        while !rest.is_empty() {
            if matches!(self.state, State::Search | State::Opaque) {
                self.offset += wide(rest.len());
                on(Event::Unparsed { direction: Direction::ToClient, bytes: wide(rest.len()) });
                return;
            }
            if matches!(self.state, State::Between)
                && let Some((reply, behind)) = whole(rest, &self.limits)
            {
                let used = wide(rest.len() - behind.len());
                self.offset += used;
                rest = behind;
                tell(reply, (chunk.time, chunk.time), used, on);
                continue;
            }
            let (used, outcome) = self.step(rest, chunk.time);
            self.offset += wide(used);
            rest = rest.get(used..).unwrap_or_default();
            match outcome {
                Ok(Then::More) => {}
                Ok(Then::ReplyDone) => self.complete(chunk.time, on),
                Err(kind) => self.refuse(kind, on),
            }
        }
    }

    fn step(&mut self, bytes: &[u8], time: UnixNanos) -> Step {
        match self.state {
            State::Line { keep, length, cr: false } => return self.line(keep, length, bytes),
            State::Data { left, keep, part } => {
                let used = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                self.keep(keep, bytes.get(..used).unwrap_or_default());
                let left = left - wide(used);
                self.state = if left == 0 {
                    State::DataEnd { part, cr: false }
                } else {
                    State::Data { left, keep, part }
                };
                return (used, Ok(Then::More));
            }
            State::Between => self.begin(time),
            _ => {}
        }
        let Some(&byte) = bytes.first() else {
            return (0, Ok(Then::More));
        };
        match self.control(byte) {
            Ok(then) => (1, Ok(then)),
            Err(kind) => (0, Err(kind)),
        }
    }

    fn begin(&mut self, time: UnixNanos) {
        self.start = self.offset;
        self.start_time = time;
        self.kind = ReplyKind::Value;
        self.prefix = Short::default();
        self.first = Short::default();
        self.last_integer = 0;
        self.state = State::Type;
    }

    /// Takes a byte that is neither data nor text.
    fn control(&mut self, byte: u8) -> Result<Then, ParseErrorKind> {
        match &mut self.state {
            State::Between | State::Type => return self.value(byte),
            State::Number { kind, number, keep } => {
                if let Some(value) = number.push(byte)? {
                    let (kind, keep) = (*kind, *keep);
                    return self.measured(kind, keep, value);
                }
            }
            State::Line { cr: true, .. } if byte == b'\n' => return Ok(self.value_done()),
            State::DataEnd { cr, .. } if !*cr && byte == b'\r' => *cr = true,
            State::DataEnd { part: true, cr: true } if byte == b'\n' => self.state = State::PartType,
            State::DataEnd { part: false, cr: true } if byte == b'\n' => return Ok(self.value_done()),
            State::Line { .. } | State::DataEnd { .. } => return Err(ParseErrorKind::RespEnd),
            State::PartType if byte == b';' => {
                self.state = State::Number { kind: b';', number: Number::default(), keep: Keep::Nothing };
            }
            State::PartType => return Err(ParseErrorKind::RespType(byte)),
            State::Data { .. } | State::Search | State::Opaque => {}
        }
        Ok(Then::More)
    }

    /// Takes the type byte of a value.
    fn value(&mut self, kind: u8) -> Result<Then, ParseErrorKind> {
        let keep = match (self.stack.as_slice(), kind) {
            ([], b'-' | b'!') => {
                self.kind = ReplyKind::Error;
                Keep::Prefix
            }
            ([], b'>') => {
                self.kind = ReplyKind::Push;
                Keep::Nothing
            }
            ([], b'*') => {
                self.kind = ReplyKind::Array;
                Keep::Nothing
            }
            ([Frame { attribute: false, begun: false, .. }], b'+' | b'$') => Keep::First,
            ([Frame { attribute: false, .. }], b':') => Keep::Integer,
            _ => Keep::Nothing,
        };
        self.state = match kind {
            b'+' | b'-' | b'_' | b',' | b'#' | b'(' => State::Line { keep, length: 0, cr: false },
            b':' | b'$' | b'=' | b'!' | b'*' | b'~' | b'%' | b'>' | b'|' => {
                State::Number { kind, number: Number::default(), keep }
            }
            // The dot that ends a streamed aggregate is an empty line that closes its frame.
            b'.' if self.stack.last().is_some_and(|frame| frame.left.is_none()) => {
                self.stack.pop();
                State::Line { keep: Keep::Nothing, length: self.limits.line_bytes(), cr: false }
            }
            _ => return Err(ParseErrorKind::RespType(kind)),
        };
        Ok(Then::More)
    }

    /// Goes on behind the number of a value.
    fn measured(&mut self, kind: u8, keep: Keep, value: Value) -> Result<Then, ParseErrorKind> {
        match (kind, value) {
            (b':', Value::Is(number)) => {
                if keep == Keep::Integer {
                    self.last_integer = number;
                }
                Ok(self.value_done())
            }
            (b':', Value::Streamed) => Err(ParseErrorKind::RespNumber),
            (b'$' | b'*', Value::Is(-1)) => Ok(self.value_done()),
            (b'$', Value::Streamed) => {
                self.state = State::PartType;
                Ok(Then::More)
            }
            (b';', Value::Is(0)) => Ok(self.value_done()),
            (b'$' | b'=' | b'!' | b';', Value::Is(length)) => self.string(length, keep, kind == b';'),
            (b'*' | b'~' | b'%' | b'>' | b'|', value) => self.aggregate(kind, value),
            _ => Err(ParseErrorKind::RespNumber),
        }
    }

    fn string(&mut self, length: i64, keep: Keep, part: bool) -> Result<Then, ParseErrorKind> {
        let limit = self.limits.value_bytes();
        let left = u64::try_from(length).map_err(|_| ParseErrorKind::RespNumber)?;
        if left > limit {
            return Err(ParseErrorKind::Limit { what: "value_bytes", limit });
        }
        self.state =
            if left == 0 { State::DataEnd { part, cr: false } } else { State::Data { left, keep, part } };
        Ok(Then::More)
    }

    fn aggregate(&mut self, kind: u8, value: Value) -> Result<Then, ParseErrorKind> {
        let attribute = kind == b'|';
        let left = match value {
            Value::Streamed if matches!(kind, b'*' | b'~' | b'%') => None,
            Value::Streamed => return Err(ParseErrorKind::RespNumber),
            Value::Is(count) => {
                let each = if matches!(kind, b'%' | b'|') { 2 } else { 1 };
                let count = u64::try_from(count).map_err(|_| ParseErrorKind::RespNumber)?;
                Some(count.saturating_mul(each))
            }
        };
        self.state = State::Type;
        if left == Some(0) {
            return Ok(if attribute { Then::More } else { self.value_done() });
        }
        let limit = self.limits.depth();
        if self.stack.len() >= limit {
            return Err(ParseErrorKind::Limit { what: "depth", limit: wide(limit) });
        }
        self.stack.push(Frame { left, begun: false, attribute });
        Ok(Then::More)
    }

    /// Counts a value that is complete, and the aggregates that are complete with it.
    fn value_done(&mut self) -> Then {
        self.state = State::Type;
        while let Some(frame) = self.stack.last_mut() {
            frame.begun = true;
            let Some(left) = &mut frame.left else {
                return Then::More;
            };
            *left = left.saturating_sub(1);
            if *left > 0 {
                return Then::More;
            }
            let attribute = frame.attribute;
            self.stack.pop();
            if attribute {
                return Then::More;
            }
        }
        Then::ReplyDone
    }

    /// Takes text up to a CR.
    fn line(&mut self, keep: Keep, length: u64, bytes: &[u8]) -> Step {
        let limit = self.limits.line_bytes();
        let room = usize::try_from(limit.saturating_sub(length)).unwrap_or(usize::MAX);
        let text = memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
        let used = text.min(room);
        self.keep(keep, bytes.get(..used).unwrap_or_default());
        self.state = State::Line { keep, length: length + wide(used), cr: false };
        match bytes.get(used) {
            None => (used, Ok(Then::More)),
            Some(b'\r') => {
                self.state = State::Line { keep, length, cr: true };
                (used + 1, Ok(Then::More))
            }
            Some(b'\n') => (used, Err(ParseErrorKind::RespEnd)),
            Some(_) => (used, Err(ParseErrorKind::Limit { what: "line_bytes", limit })),
        }
    }

    fn keep(&mut self, keep: Keep, bytes: &[u8]) {
        match keep {
            Keep::Nothing | Keep::Integer => {}
            Keep::First => self.first.push(bytes),
            Keep::Prefix => self.prefix.push(bytes),
        }
    }

    fn complete(&mut self, time: UnixNanos, on: Emit<'_>) {
        self.state = State::Between;
        let reply = Reply {
            kind: self.kind,
            prefix: prefix(&self.prefix),
            first: self.first.whole(),
            last_integer: self.last_integer,
        };
        tell(reply, (self.start_time, time), self.offset - self.start, on);
    }

    fn skip(&mut self, missing: u64, on: Emit<'_>) {
        if missing == 0 {
            return;
        }
        match &mut self.state {
            // The end of the string must be seen, or its place is not known.
            State::Data { left, keep: Keep::Nothing, .. } if *left > missing => *left -= missing,
            State::Search | State::Opaque => {}
            _ => self.refuse(ParseErrorKind::Gap, on),
        }
        self.offset += missing;
    }

    fn refuse(&mut self, kind: ParseErrorKind, on: Emit<'_>) {
        let direction = Direction::ToClient;
        on(Event::Refused { direction, error: ParseError { offset: self.begun(), direction, kind } });
        self.give_up(on);
    }

    fn begun(&self) -> u64 {
        if matches!(self.state, State::Between | State::Search | State::Opaque) {
            self.offset
        } else {
            self.start
        }
    }

    fn give_up(&mut self, on: Emit<'_>) {
        let bytes = self.offset - self.begun();
        if bytes > 0 {
            on(Event::Unparsed { direction: Direction::ToClient, bytes });
        }
        self.stack.clear();
        self.state = State::Search;
    }

    pub(super) fn realign(&mut self, on: Emit<'_>) {
        if !matches!(self.state, State::Opaque) {
            self.give_up(on);
            self.state = State::Between;
        }
    }

    pub(super) fn become_opaque(&mut self, on: Emit<'_>) {
        self.give_up(on);
        self.state = State::Opaque;
    }

    pub(super) fn close(&mut self, on: Emit<'_>) {
        if !matches!(self.state, State::Between | State::Search | State::Opaque) {
            self.refuse(ParseErrorKind::Truncated, on);
        }
        self.state = State::Opaque;
    }

    pub(super) const fn held_bytes(&self) -> usize {
        self.stack.capacity() * size_of::<Frame>()
    }
}

/// Tells a reply, and when its first and last byte were seen.
fn tell(reply: Reply<'_>, (first_byte, time): (UnixNanos, UnixNanos), body_bytes: u64, on: Emit<'_>) {
    on(Event::Response {
        exchange: Exchange::InOrder,
        first_byte,
        time,
        head: ResponseHead::Redis(reply),
        body_bytes,
        end: End::Complete,
    });
}

/// Reads a reply that is all there and of the usual types, as nearly all are; gives what follows on it too. Nothing where
/// it is not: the slow way tells what.
#[inline]
fn whole<'b>(bytes: &'b [u8], limits: &Limits) -> Option<(Reply<'b>, &'b [u8])> {
    let mut reply = Reply { kind: ReplyKind::Value, prefix: &[], first: &[], last_integer: 0 };
    let rest = match bytes.first()? {
        b'$' => string(bytes, limits.value_bytes())?.1,
        b'*' => return whole_array(bytes, limits),
        b'-' => {
            let (text, rest) = line(bytes, limits.line_bytes())?;
            reply.kind = ReplyKind::Error;
            let kept = text.get(..Short::KEPT).unwrap_or(text);
            let word = kept.iter().position(|byte| *byte == b' ').and_then(|end| kept.get(..end));
            reply.prefix = word.unwrap_or_else(|| Short::of(text));
            rest
        }
        b'+' => line(bytes, limits.line_bytes())?.1,
        b':' => plain(bytes, b':')?.1,
        _ => return None,
    };
    Some((reply, rest))
}

/// Reads an array of texts and integers.
fn whole_array<'b>(bytes: &'b [u8], limits: &Limits) -> Option<(Reply<'b>, &'b [u8])> {
    let (count, mut rest) = plain(bytes, b'*')?;
    if !(1..=MOST_VALUES).contains(&count) || limits.depth() == 0 {
        return None;
    }
    let (line_bytes, value_bytes) = (limits.line_bytes(), limits.value_bytes());
    let (mut first, mut last_integer) = (&[][..], 0);
    for number in 0..count {
        let mut text = &[][..];
        match rest.first()? {
            b'$' => (text, rest) = string(rest, value_bytes)?,
            b':' => {
                let integer;
                (integer, rest) = plain(rest, b':')?;
                last_integer = i64::try_from(integer).ok()?;
            }
            b'+' => (text, rest) = line(rest, line_bytes)?,
            _ => return None,
        }
        if number == 0 {
            first = Short::of(text);
        }
    }
    Some((Reply { kind: ReplyKind::Array, prefix: &[], first, last_integer }, rest))
}

/// Values of an array that is read fast.
const MOST_VALUES: usize = 64;

/// A line of text that is all there and shorter than so many bytes: its text, and what follows on it.
#[inline]
fn line(bytes: &[u8], longest: u64) -> Option<(&[u8], &[u8])> {
    let (_, behind) = bytes.split_first()?;
    let end = memchr2(b'\r', b'\n', behind).filter(|end| wide(*end) < longest)?;
    let (text, rest) = behind.split_at_checked(end)?;
    let [b'\r', b'\n', rest @ ..] = rest else { return None };
    Some((text, rest))
}

/// The first word of what is kept of an error; nothing where it is longer.
fn prefix(kept: &Short) -> &[u8] {
    let bytes = &kept.bytes;
    let length = usize::try_from(kept.length).unwrap_or(Short::KEPT).min(Short::KEPT);
    let word = bytes.iter().take(length).position(|byte| *byte == b' ');
    match word {
        Some(end) => bytes.get(..end).unwrap_or_default(),
        None => kept.whole(),
    }
}
