//! Commands: arrays of bulk strings, or lines of words.

use memchr::memchr;
use otlp_core::UnixNanos;

use super::number::{Number, Value, plain, string};
use super::{CONFIRMATIONS, Command, Key, KeyHash, Short, Words, wide};
use crate::limits::Limits;
use crate::parse::{Chunk, Direction, End, Event, Exchange, Expect, ParseError, ParseErrorKind, RequestHead};

#[derive(Debug)]
pub(super) struct Requests {
    limits: Limits,
    state: State,
    /// Bytes of this direction taken.
    offset: u64,
    /// Where the present command began.
    start: u64,
    start_time: UnixNanos,
    /// Arguments still to come, and those seen; the name counts.
    left: u64,
    seen: u64,
    /// The name and its first three arguments.
    words: [Short; 4],
    /// Of the first argument.
    key: KeyHash,
    replies: ReplyMode,
    /// Text that may begin a command, while one is looked for.
    candidate: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Between,
    Count(Number),
    ArgumentType,
    Length(Number),
    Data(u64),
    DataEnd {
        cr: bool,
    },
    Inline(Inline),
    /// Looking for a command; `candidate` is in use behind a line feed.
    Search {
        at_line: bool,
    },
    Opaque,
}

/// Words of an inline command: where the parser is in them.
#[derive(Debug, Clone, Copy, Default)]
struct Inline {
    length: u64,
    in_word: bool,
    quote: Option<u8>,
    escaped: bool,
}

/// What `CLIENT REPLY` has set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReplyMode {
    On,
    Off,
    SkipNext,
}

/// Words of a command that is read fast.
const MOST_WORDS: usize = 64;

type Emit<'e> = &'e mut dyn FnMut(Event<'_>);

/// What became of some bytes.
enum Step {
    /// So many were taken.
    Took(usize),
    /// So many were taken, and with them a command is complete.
    Command(usize),
    /// So many were taken; the next one cannot be.
    Refused(usize, ParseErrorKind),
}

impl Requests {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Between,
            offset: 0,
            start: 0,
            start_time: UnixNanos::ZERO,
            left: 0,
            seen: 0,
            words: [Short::default(); 4],
            key: KeyHash::default(),
            replies: ReplyMode::On,
            candidate: Vec::new(),
        }
    }

    pub(super) const fn search(&mut self) {
        self.state = State::Search { at_line: false };
    }

    /// Takes bytes; gives whether the connection is handed over to a stream that answers nothing.
    pub(super) fn feed(&mut self, chunk: &Chunk<'_>, on: Emit<'_>) -> bool {
        self.skip(chunk.missing, on);
        let mut handed_over = false;
        let mut rest = chunk.bytes;
        while !rest.is_empty() {
            if matches!(self.state, State::Between)
                && let Some((words, behind)) = whole(rest, self.limits.value_bytes())
            {
                self.offset += wide(rest.len() - behind.len());
                rest = behind;
                handed_over |= self.tell(&words, (chunk.time, chunk.time), on);
                continue;
            }
            let (used, command, refused) = match self.step(rest, chunk.time, on) {
                Step::Took(used) => (used, false, None),
                Step::Command(used) => (used, true, None),
                Step::Refused(used, kind) => (used, false, Some(kind)),
            };
            self.offset += wide(used);
            rest = rest.get(used..).unwrap_or_default();
            if let Some(kind) = refused {
                self.refuse(kind, on);
            }
            if command {
                handed_over |= self.complete(chunk.time, on);
            }
        }
        handed_over
    }

    fn step(&mut self, bytes: &[u8], time: UnixNanos, on: Emit<'_>) -> Step {
        let Some(&byte) = bytes.first() else {
            return Step::Took(0);
        };
        match self.state {
            State::Between => self.begin(byte, time),
            State::Data(left) => return self.data(left, bytes),
            State::Search { at_line } => return Step::Took(self.look(at_line, bytes, time, on)),
            State::Opaque => {
                on(Event::Unparsed { direction: Direction::ToServer, bytes: wide(bytes.len()) });
                return Step::Took(bytes.len());
            }
            _ => {}
        }
        match self.control(byte) {
            Ok(false) => Step::Took(1),
            Ok(true) => Step::Command(1),
            Err(kind) => Step::Refused(0, kind),
        }
    }

    fn begin(&mut self, byte: u8, time: UnixNanos) {
        self.start = self.offset;
        self.start_time = time;
        self.seen = 0;
        self.words = [Short::default(); 4];
        self.key = KeyHash::default();
        if byte != b'*' {
            self.state = State::Inline(Inline::default());
        }
    }

    /// Takes one byte that is not data; gives whether it completes a command.
    fn control(&mut self, byte: u8) -> Result<bool, ParseErrorKind> {
        match &mut self.state {
            State::Between => self.state = State::Count(Number::default()),
            State::Count(number) => {
                if let Some(value) = number.push(byte)? {
                    return self.counted(value);
                }
            }
            State::ArgumentType if byte == b'$' => self.state = State::Length(Number::default()),
            State::ArgumentType => return Err(ParseErrorKind::RespType(byte)),
            State::Length(number) => {
                if let Some(value) = number.push(byte)? {
                    self.state = self.measured(value)?;
                }
            }
            State::DataEnd { cr: false } if byte == b'\r' => self.state = State::DataEnd { cr: true },
            State::DataEnd { cr: true } if byte == b'\n' => {
                self.seen += 1;
                self.left -= 1;
                self.state = State::ArgumentType;
                return Ok(self.left == 0);
            }
            State::DataEnd { .. } => return Err(ParseErrorKind::RespEnd),
            State::Inline(_) => return self.inline(byte),
            State::Data(_) | State::Search { .. } | State::Opaque => {}
        }
        Ok(false)
    }

    fn counted(&mut self, value: Value) -> Result<bool, ParseErrorKind> {
        let Value::Is(count) = value else {
            return Err(ParseErrorKind::RespNumber);
        };
        // Redis passes over commands of no words, and of fewer.
        self.left = u64::try_from(count).unwrap_or(0);
        self.state = if self.left == 0 { State::Between } else { State::ArgumentType };
        Ok(false)
    }

    fn measured(&self, value: Value) -> Result<State, ParseErrorKind> {
        let limit = self.limits.value_bytes();
        match value {
            Value::Is(length) => match u64::try_from(length) {
                Ok(length) if length > limit => Err(ParseErrorKind::Limit { what: "value_bytes", limit }),
                Ok(0) => Ok(State::DataEnd { cr: false }),
                Ok(length) => Ok(State::Data(length)),
                Err(_) => Err(ParseErrorKind::RespNumber),
            },
            Value::Streamed => Err(ParseErrorKind::RespNumber),
        }
    }

    fn data(&mut self, left: u64, bytes: &[u8]) -> Step {
        let used = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let data = bytes.get(..used).unwrap_or_default();
        self.word(data);
        let left = left - wide(used);
        self.state = if left == 0 { State::DataEnd { cr: false } } else { State::Data(left) };
        Step::Took(used)
    }

    /// Keeps what is kept of the present word.
    fn word(&mut self, data: &[u8]) {
        let index = usize::try_from(self.seen).unwrap_or(usize::MAX);
        if let Some(word) = self.words.get_mut(index) {
            word.push(data);
        }
        if self.seen == 1 {
            self.key.push(data);
        }
    }

    /// Takes a byte of an inline command: words, some of them quoted, up to a line feed.
    fn inline(&mut self, byte: u8) -> Result<bool, ParseErrorKind> {
        let limit = self.limits.line_bytes();
        let State::Inline(mut inline) = self.state else {
            return Ok(false);
        };
        inline.length += 1;
        if byte == b'\n' {
            self.seen += u64::from(inline.in_word);
            self.state = State::Between;
            return Ok(self.seen > 0);
        }
        if inline.length > limit {
            return Err(ParseErrorKind::Limit { what: "line_bytes", limit });
        }
        match (inline.quote, byte) {
            (Some(_), _) if inline.escaped => {
                inline.escaped = false;
                self.word(&[byte]);
            }
            (Some(b'"'), b'\\') => inline.escaped = true,
            (Some(quote), _) if byte == quote => inline.quote = None,
            (None, b'"' | b'\'') => {
                inline.quote = Some(byte);
                inline.in_word = true;
            }
            (None, b' ' | b'\t' | b'\r') => {
                self.seen += u64::from(inline.in_word);
                inline.in_word = false;
            }
            _ => {
                inline.in_word = true;
                self.word(&[byte]);
            }
        }
        self.state = State::Inline(inline);
        Ok(false)
    }

    /// Reports the command that is complete; gives whether replies end with it.
    fn complete(&mut self, time: UnixNanos, on: Emit<'_>) -> bool {
        let (words, seen) = (self.words, self.seen);
        let [name, first, second, third] = &words;
        // An argument some of which was lost has no length that can be.
        let has_key = seen > 1 && first.length < u64::MAX;
        let words = Words {
            kept: [name.whole(), first.whole(), second.whole(), third.whole()],
            key: if has_key { Key::Hashed(self.key.get()) } else { Key::None },
            count: seen,
        };
        self.state = State::Between;
        self.tell(&words, (self.start_time, time), on)
    }

    /// Reports a command, and when its first and last byte were seen; gives whether replies end with it.
    #[inline]
    fn tell(&mut self, words: &Words<'_>, (begun, time): (UnixNanos, UnixNanos), on: Emit<'_>) -> bool {
        let (expect, hands_over) = self.expect(words);
        let command = Command { words, expect };
        on(Event::Request { exchange: Exchange::InOrder, time: begun, head: RequestHead::Redis(command) });
        on(Event::RequestEnd { exchange: Exchange::InOrder, time, body_bytes: 0, end: End::Complete });
        if hands_over {
            self.state = State::Opaque;
        }
        hands_over
    }

    #[inline]
    fn expect(&mut self, words: &Words<'_>) -> (Expect, bool) {
        let [name, ..] = words.kept;
        if self.replies == ReplyMode::On && is_usual(name) {
            return (Expect::One, false);
        }
        self.expect_of(words)
    }

    fn expect_of(&mut self, words: &Words<'_>) -> (Expect, bool) {
        let [name, first, second, _] = words.kept;
        let is = |word: &[u8], text: &str| word.eq_ignore_ascii_case(text.as_bytes());
        if is(name, "CLIENT") && is(first, "REPLY") {
            let (mode, expect) = if is(second, "ON") {
                (ReplyMode::On, Expect::One)
            } else if is(second, "OFF") {
                (ReplyMode::Off, Expect::Nothing)
            } else if is(second, "SKIP") {
                let mode = if self.replies == ReplyMode::On { ReplyMode::SkipNext } else { self.replies };
                (mode, Expect::Nothing)
            } else {
                (self.replies, Expect::One)
            };
            self.replies = mode;
            return (expect, false);
        }
        if is(name, "RESET") {
            self.replies = ReplyMode::On;
        }
        match self.replies {
            ReplyMode::Off => return (Expect::Nothing, false),
            ReplyMode::SkipNext => {
                self.replies = ReplyMode::On;
                return (Expect::Nothing, false);
            }
            ReplyMode::On => {}
        }
        if ["MONITOR", "SYNC", "PSYNC"].iter().any(|text| is(name, text)) {
            return (Expect::Nothing, true);
        }
        if CONFIRMATIONS.iter().any(|text| is(name, text)) {
            let channels = u32::try_from(words.count.saturating_sub(1)).unwrap_or(u32::MAX);
            return (Expect::Confirmations(channels.max(1)), false);
        }
        (Expect::One, false)
    }

    /// Looks for a line feed followed by the beginning of a command; gives how many bytes it took.
    fn look(&mut self, at_line: bool, bytes: &[u8], time: UnixNanos, on: Emit<'_>) -> usize {
        if !at_line {
            let (used, found) = memchr(b'\n', bytes).map_or((bytes.len(), false), |at| (at + 1, true));
            self.state = State::Search { at_line: found };
            on(Event::Unparsed { direction: Direction::ToServer, bytes: wide(used) });
            return used;
        }
        let Some(&byte) = bytes.first() else { return 0 };
        self.candidate.push(byte);
        loop {
            match beginning(&self.candidate) {
                Some(false) => return 1,
                Some(true) => break,
                None => {
                    let line = memchr(b'\n', &self.candidate).map(|at| at + 1);
                    let dropped = line.unwrap_or(self.candidate.len());
                    on(Event::Unparsed { direction: Direction::ToServer, bytes: wide(dropped) });
                    self.candidate.drain(..dropped);
                    if line.is_none() {
                        self.state = State::Search { at_line: false };
                        return 1;
                    }
                }
            }
        }
        self.resume(time, on);
        1
    }

    /// Takes what was looked for: the beginning of a command, of which the caller has yet to count one byte.
    fn resume(&mut self, time: UnixNanos, on: Emit<'_>) {
        let found = std::mem::take(&mut self.candidate);
        let before = wide(found.len()) - 1;
        self.offset -= before;
        self.state = State::Between;
        self.begin(b'*', time);
        for byte in &found {
            if let Err(kind) = self.control(*byte) {
                // A length above the limit; nothing else in it can be refused.
                self.refuse(kind, on);
                on(Event::Unparsed { direction: Direction::ToServer, bytes: wide(found.len()) });
                self.state = State::Search { at_line: true };
                break;
            }
        }
        self.offset += before;
    }

    fn skip(&mut self, missing: u64, on: Emit<'_>) {
        if missing == 0 {
            return;
        }
        match &mut self.state {
            // The end of the string must be seen, or its place is not known.
            State::Data(left) if *left > missing => {
                *left -= missing;
                // A name with a hole is none.
                let index = usize::try_from(self.seen).unwrap_or(usize::MAX);
                if let Some(word) = self.words.get_mut(index) {
                    word.length = u64::MAX;
                }
            }
            State::Opaque => {}
            State::Search { .. } => self.forget(on),
            _ => self.refuse(ParseErrorKind::Gap, on),
        }
        self.offset += missing;
    }

    fn refuse(&mut self, kind: ParseErrorKind, on: Emit<'_>) {
        let direction = Direction::ToServer;
        let begun = if matches!(self.state, State::Between) { self.offset } else { self.start };
        on(Event::Refused { direction, error: ParseError { offset: begun, direction, kind } });
        if self.offset > begun {
            on(Event::Unparsed { direction, bytes: self.offset - begun });
        }
        self.state = State::Search { at_line: false };
    }

    /// Gives up what may have become a command.
    fn forget(&mut self, on: Emit<'_>) {
        if !self.candidate.is_empty() {
            on(Event::Unparsed { direction: Direction::ToServer, bytes: wide(self.candidate.len()) });
            self.candidate.clear();
        }
        self.state = State::Search { at_line: false };
    }

    /// A command may begin with the next byte.
    pub(super) fn client_turn(&mut self, on: Emit<'_>) {
        if matches!(self.state, State::Search { .. }) {
            self.forget(on);
            self.state = State::Search { at_line: true };
        }
    }

    pub(super) fn close(&mut self, on: Emit<'_>) {
        match self.state {
            State::Between | State::Opaque => {}
            State::Search { .. } => self.forget(on),
            _ => self.refuse(ParseErrorKind::Truncated, on),
        }
        self.state = State::Opaque;
    }

    pub(super) const fn held_bytes(&self) -> usize {
        self.candidate.capacity()
    }
}

/// Whether a command of this name gets one reply, as nearly all do; told by its length and first letter, so that others
/// are looked at too.
#[inline]
const fn is_usual(name: &[u8]) -> bool {
    let [first, ..] = name else { return true };
    let first = first.to_ascii_lowercase();
    !matches!(
        (name.len(), first),
        (4, b's') | (5, b'p' | b'r') | (6, b'c') | (7, b'm') | (9..=12, b'p' | b's' | b'u')
    )
}

/// Reads a command that is all there, as nearly all are; gives what follows on it too. Nothing where it is not, or where
/// anything is unusual: the slow way tells what.
#[inline]
fn whole(bytes: &[u8], longest: u64) -> Option<(Words<'_>, &[u8])> {
    let (count, mut rest) = plain(bytes, b'*')?;
    if !(1..=MOST_WORDS).contains(&count) {
        return None;
    }
    let mut words = Words { kept: [&[]; 4], key: Key::None, count: wide(count) };
    let kept = count.min(words.kept.len());
    for slot in words.kept.iter_mut().take(kept) {
        (*slot, rest) = string(rest, longest)?;
    }
    for _ in kept..count {
        (_, rest) = string(rest, longest)?;
    }
    if count > 1 {
        words.key = Key::Kept;
    }
    Some((words, rest))
}

/// Whether text is (`true`), or may become (`false`), the beginning of a command: `*N CR LF $M CR LF`.
fn beginning(text: &[u8]) -> Option<bool> {
    let rest = counted(text, b'*')?;
    if rest.is_empty() {
        return Some(false);
    }
    let rest = counted(rest, b'$')?;
    Some(rest.is_empty() && text.ends_with(b"\n"))
}

/// Takes `mark`, up to nine digits and CR LF off the text; gives what is left, nothing where it ends within.
fn counted(text: &[u8], mark: u8) -> Option<&[u8]> {
    let Some((first, rest)) = text.split_first() else {
        return Some(text);
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = rest.split_at_checked(digits)?;
    if *first != mark || digits > 9 || number.first() == Some(&b'0') || (digits == 0 && !rest.is_empty()) {
        return None;
    }
    match rest {
        [] | [b'\r'] => Some(&[]),
        [b'\r', b'\n', rest @ ..] => Some(rest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_beginning_of_a_command_is_taken_for_one() {
        let text = b"*3\r\n$3\r\n";
        for cut in 0..text.len() {
            assert_eq!(beginning(&text[..cut]), Some(false), "{cut} bytes");
        }
        assert_eq!(beginning(text), Some(true));
        for text in ["x", "*x", "*\r", "*3\n", "*0\r", "*3\r\n:", "*3\r\n$x", "*1234567890", "*1\r\n$4\rx"] {
            assert_eq!(beginning(text.as_bytes()), None, "{text:?}");
        }
    }
}
