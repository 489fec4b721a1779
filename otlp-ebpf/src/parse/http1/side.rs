//! One direction of a connection: its place in the stream and the bytes it holds.

use memchr::{memchr, memmem};
use otlp_core::UnixNanos;

use super::Emit;
use super::body::{Body, Then};
use crate::limits::Limits;
use crate::parse::grpc::web::Web;
use crate::parse::{Direction, Event, ParseError, ParseErrorKind};

/// Where one direction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Before a message.
    Between,
    /// In a head.
    Head,
    /// In a body.
    Body(Body),
    /// Lost; looking for a start line.
    Search,
    /// No longer HTTP/1.
    Opaque,
}

/// What is known of a head after some bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found {
    /// It goes on; so many bytes were taken.
    Part(usize),
    /// It ends after so many bytes: in `held`, or in the bytes themselves where that is empty.
    Whole(usize),
    /// It passed the limit.
    TooLong { used: usize, limit: usize },
}

#[derive(Debug)]
pub(super) struct Side {
    direction: Direction,
    pub(super) state: State,
    /// The head so far, or the line in which a start line is looked for.
    pub(super) held: Vec<u8>,
    /// How much of `held` holds no end of the head.
    scanned: usize,
    /// Bytes of this direction taken.
    pub(super) offset: u64,
    /// Where the present message began.
    start: u64,
    pub(super) start_time: UnixNanos,
    /// Bytes of the present body, so far.
    pub(super) body_bytes: u64,
    /// What looks into the present body.
    pub(super) web: Option<Box<Web>>,
}

/// Heads up to this size keep their buffer for the next one.
const KEEP_BYTES: usize = 2 << 10;

impl Side {
    pub(super) const fn new(direction: Direction, state: State) -> Self {
        Self {
            direction,
            state,
            held: Vec::new(),
            scanned: 0,
            offset: 0,
            start: 0,
            start_time: UnixNanos::ZERO,
            body_bytes: 0,
            web: None,
        }
    }

    /// Skips empty lines before a message (RFC 9112 §2.2), then begins it.
    pub(super) fn begin(&mut self, bytes: &[u8], time: UnixNanos) -> usize {
        let empty = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.offset += wide(empty);
        if empty < bytes.len() {
            self.start_time = time;
            self.start = self.offset;
            self.state = State::Head;
        }
        empty
    }

    /// Takes bytes of a head up to its end. Scans each byte once; copies only heads that are cut.
    pub(super) fn collect(&mut self, bytes: &[u8], limit: usize) -> Found {
        let before = self.held.len();
        let room = limit.saturating_sub(before);
        let usable = bytes.get(..room).unwrap_or(bytes);
        let end = if before == 0 {
            head_end(usable, 0)
        } else {
            self.held.extend_from_slice(usable);
            head_end(&self.held, self.scanned)
        };
        if let Some(end) = end {
            self.held.truncate(end);
            self.offset += wide(end - before);
            return Found::Whole(end - before);
        }
        self.offset += wide(usable.len());
        if usable.len() == room {
            return Found::TooLong { used: usable.len(), limit };
        }
        if before == 0 {
            self.held.extend_from_slice(usable);
        }
        self.scanned = self.held.len();
        Found::Part(usable.len())
    }

    /// Takes back the buffer that a head was read from.
    pub(super) fn give_back(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= KEEP_BYTES {
            buffer.clear();
            self.held = buffer;
        }
    }

    /// Skips bytes of the body; gives how many, and how it goes on.
    pub(super) fn take_body(&mut self, bytes: &[u8], line_bytes: u64) -> (usize, Then) {
        let State::Body(body) = &mut self.state else {
            return (bytes.len(), Then::More);
        };
        let taken = match &mut self.web {
            Some(web) => body.take(bytes, line_bytes, |data| web.take(data)),
            None => body.take(bytes, line_bytes, |_| {}),
        };
        self.offset += wide(taken.used);
        self.body_bytes += taken.data;
        (taken.used, taken.then)
    }

    /// Bytes of the present body were lost.
    pub(super) fn lose_body(&mut self) {
        if let Some(web) = &mut self.web {
            web.lose();
        }
    }

    /// Is ready for the next message.
    pub(super) fn finish(&mut self) {
        self.state = State::Between;
        self.web = None;
        self.scanned = 0;
        self.body_bytes = 0;
    }

    /// Refuses the message under way and begins to look for the next.
    pub(super) fn refuse(&mut self, kind: ParseErrorKind, on: Emit<'_>) {
        let direction = self.direction;
        let begun = if matches!(self.state, State::Head) { self.start } else { self.offset };
        on(Event::Refused { direction, error: ParseError { offset: begun, direction, kind } });
        let bytes = self.offset - begun;
        if bytes > 0 {
            on(Event::Unparsed { direction, bytes });
        }
        self.held = Vec::new();
        self.finish();
        self.state = State::Search;
    }

    /// Passes over bytes that are not HTTP/1.
    pub(super) fn pass(&mut self, bytes: &[u8], on: Emit<'_>) -> usize {
        self.offset += wide(bytes.len());
        on(Event::Unparsed { direction: self.direction, bytes: wide(bytes.len()) });
        bytes.len()
    }

    /// Looks for a start line, line by line; of a line longer than the limit only its last part.
    pub(super) fn search(&mut self, bytes: &[u8], time: UnixNanos, limits: &Limits, on: Emit<'_>) -> usize {
        let cap = limits.head_bytes().max(2);
        let line = memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
        let used = line.min(cap.saturating_sub(self.held.len()));
        self.held.extend_from_slice(bytes.get(..used).unwrap_or_default());
        self.offset += wide(used);
        let mut unparsed = 0;
        if self.held.last() == Some(&b'\n') {
            let found = match self.direction {
                Direction::ToServer => request_line(&self.held),
                Direction::ToClient => status_line(&self.held),
            };
            unparsed = found.unwrap_or(self.held.len());
            self.held.drain(..unparsed);
            if found.is_some() {
                self.state = State::Head;
                self.scanned = self.held.len();
                self.start = self.offset - wide(self.scanned);
                self.start_time = time;
            }
        } else if self.held.len() == cap {
            unparsed = cap / 2;
            self.held.drain(..unparsed);
        }
        if unparsed > 0 {
            on(Event::Unparsed { direction: self.direction, bytes: wide(unparsed) });
        }
        used
    }

    /// Gives up the bytes held.
    pub(super) fn forget(&mut self, on: Emit<'_>) {
        if !self.held.is_empty() {
            on(Event::Unparsed { direction: self.direction, bytes: wide(self.held.len()) });
            self.held.clear();
        }
    }
}

/// The end of a head: just behind its empty line. `from` is how much is known to hold none.
fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(found) = memchr(b'\n', bytes.get(at..)?) {
        let before = bytes.get(..at + found)?;
        at += found + 1;
        if before.ends_with(b"\n") || before.ends_with(b"\n\r") {
            return Some(at);
        }
    }
    None
}

const METHODS: [&[u8]; 9] =
    [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"];

/// Where in a line the request line begins that the line ends with.
fn request_line(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"\n")?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = line.strip_suffix(b" HTTP/1.1").or_else(|| line.strip_suffix(b" HTTP/1.0"))?;
    let space = line.iter().rposition(|byte| *byte == b' ')?;
    let (before, target) = line.split_at_checked(space)?;
    if target.len() < 2 {
        return None;
    }
    METHODS.iter().find_map(|method| before.strip_suffix(*method)).map(<[u8]>::len)
}

/// Where in a line the status line begins that the line ends with.
fn status_line(line: &[u8]) -> Option<usize> {
    let at = memmem::rfind(line, b"HTTP/1.")?;
    let rest = line.get(at + 7..)?;
    let [b'0' | b'1', b' ', b'1'..=b'9', tens, ones, b' ' | b'\r' | b'\n', ..] = rest else {
        return None;
    };
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then_some(at)
}

/// A length in memory always fits 64 bits.
fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_lines_are_found_behind_the_rest_of_a_body() {
        assert_eq!(request_line(b"{\"a\":1}GET /x HTTP/1.1\r\n"), Some(7));
        assert_eq!(request_line(b"POST /x HTTP/1.0\n"), Some(0));
        assert_eq!(request_line(b"GET  HTTP/1.1\r\n"), None);
        assert_eq!(request_line(b"GET /x HTTP/2.0\r\n"), None);
        assert_eq!(request_line(b"FETCH /x HTTP/1.1\r\n"), None);
        assert_eq!(status_line(b"tailHTTP/1.1 200 OK\r\n"), Some(4));
        assert_eq!(status_line(b"HTTP/1.0 404\r\n"), Some(0));
        assert_eq!(status_line(b"HTTP/1.1 20 OK\r\n"), None);
        assert_eq!(status_line(b"HTTP/1.1 2000\r\n"), None);
    }

    #[test]
    fn a_head_ends_with_its_first_empty_line() {
        assert_eq!(head_end(b"a\r\nb\r\n\r\nrest", 0), Some(8));
        assert_eq!(head_end(b"a\nb\n\nrest", 0), Some(5));
        assert_eq!(head_end(b"a\r\nb\r\n\r", 0), None);
        assert_eq!(head_end(b"a\r\n\r\n", 4), Some(5));
    }
}
