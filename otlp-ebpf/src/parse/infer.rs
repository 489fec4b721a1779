//! Which protocol a connection speaks, told from the first bytes of its client.

use otlp_core::UnixNanos;

use super::http1::Http1;
use super::redis::Redis;
use super::{Chunk, Direction, Event, ParseError, ParseErrorKind, Parser};
use crate::limits::Limits;

/// A protocol that can be told from its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// HTTP/1.0 and 1.1.
    Http1,
    /// RESP2 and RESP3.
    Redis,
}

impl Protocol {
    /// A parser for a connection of this protocol, seen from its first byte.
    #[must_use]
    pub fn parser(self, limits: &Limits) -> Box<dyn Parser> {
        match self {
            Self::Http1 => Box::new(Http1::new(limits.clone())),
            Self::Redis => Box::new(Redis::new(limits.clone())),
        }
    }
}

/// What the first bytes of a client tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "yes, no, not yet")]
pub enum Verdict {
    /// They begin this protocol.
    Is(Protocol),
    /// They begin none known here.
    Unknown,
    /// More are needed; never said of 24 bytes or more.
    More,
}

const METHODS: [&str; 9] =
    ["GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "CONNECT ", "OPTIONS ", "TRACE ", "PATCH "];
const ENOUGH: usize = 24;

/// Tells the protocol from the first bytes of a client.
///
/// HTTP/1 is a method of RFC 9110 and a target that begins as one does; Redis is `*`, a count and `$` (inline
/// commands are not told). O(1).
///
/// ```
/// use otlp_ebpf::parse::infer::{Protocol, Verdict, infer};
/// assert_eq!(infer(b"GET /cart HTTP/1.1\r\n"), Verdict::Is(Protocol::Http1));
/// assert_eq!(infer(b"*2\r\n$3\r\nGET"), Verdict::Is(Protocol::Redis));
/// assert_eq!(infer(b"\x16\x03\x01"), Verdict::Unknown);
/// assert_eq!(infer(b"OPTI"), Verdict::More);
/// ```
#[must_use]
pub fn infer(first: &[u8]) -> Verdict {
    if first.first() == Some(&b'*') {
        let digits = first.iter().skip(1).take_while(|byte| byte.is_ascii_digit()).count();
        let expected = b"\r\n$";
        let behind = first.get(1 + digits..).unwrap_or_default();
        return match behind.starts_with(expected) {
            true if digits > 0 => Verdict::Is(Protocol::Redis),
            false if digits <= 9 && expected.starts_with(behind) => Verdict::More,
            _ => Verdict::Unknown,
        };
    }
    for method in METHODS {
        let method = method.as_bytes();
        match first.strip_prefix(method) {
            Some([]) => return Verdict::More,
            Some([b'/' | b'*' | b'h' | b'H', ..]) => return Verdict::Is(Protocol::Http1),
            // The authority form; RESP's inline commands know no such name.
            Some(_) if method == b"CONNECT " => return Verdict::Is(Protocol::Http1),
            None if method.starts_with(first) => return Verdict::More,
            Some(_) | None => {}
        }
    }
    Verdict::Unknown
}

/// Reads a connection whose protocol its first bytes tell, as [`infer`] does; holds at most 24 bytes until then.
///
/// A server that speaks first, or bytes that begin no protocol known here, make it refuse the connection
/// ([`ParseErrorKind::UnknownProtocol`]) and pass over both directions.
#[derive(Debug)]
pub struct Inferring {
    limits: Limits,
    first: Vec<u8>,
    first_time: UnixNanos,
    told: Told,
}

enum Told {
    NotYet,
    Is(Box<dyn Parser>),
    Unknown,
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotYet => "NotYet",
            Self::Is(_) => "Is",
            Self::Unknown => "Unknown",
        })
    }
}

impl Inferring {
    /// A parser for a connection seen from its first byte.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self { limits, first: Vec::new(), first_time: UnixNanos::ZERO, told: Told::NotYet }
    }

    /// Takes bytes of the client until the protocol is told; gives those not needed for that.
    fn tell<'a>(&mut self, chunk: &Chunk<'a>, on: &mut dyn FnMut(Event<'_>)) -> &'a [u8] {
        if self.first.is_empty() {
            self.first_time = chunk.time;
        }
        let room = ENOUGH.saturating_sub(self.first.len()).min(chunk.bytes.len());
        let (taken, rest) = chunk.bytes.split_at_checked(room).unwrap_or((chunk.bytes, &[]));
        self.first.extend_from_slice(taken);
        let empty = self.first.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        match infer(self.first.get(empty..).unwrap_or_default()) {
            Verdict::More if self.first.len() < ENOUGH => {}
            Verdict::More | Verdict::Unknown => self.give_up(Direction::ToServer, on),
            Verdict::Is(protocol) => {
                let mut parser = protocol.parser(&self.limits);
                let first = std::mem::take(&mut self.first);
                parser.feed(Chunk::new(Direction::ToServer, self.first_time, &first), on);
                self.told = Told::Is(parser);
            }
        }
        rest
    }

    fn give_up(&mut self, direction: Direction, on: &mut dyn FnMut(Event<'_>)) {
        let error = ParseError { offset: 0, direction, kind: ParseErrorKind::UnknownProtocol };
        on(Event::Refused { direction, error });
        pass(Direction::ToServer, self.first.len(), on);
        self.first = Vec::new();
        self.told = Told::Unknown;
    }
}

impl Parser for Inferring {
    fn feed(&mut self, mut chunk: Chunk<'_>, on: &mut dyn FnMut(Event<'_>)) {
        if matches!(self.told, Told::NotYet) {
            if chunk.missing > 0 || (chunk.direction == Direction::ToClient && !chunk.bytes.is_empty()) {
                self.give_up(chunk.direction, on);
            } else if chunk.direction == Direction::ToServer {
                chunk.bytes = self.tell(&chunk, on);
            }
        }
        match &mut self.told {
            Told::Is(parser) => parser.feed(chunk, on),
            Told::Unknown => pass(chunk.direction, chunk.bytes.len(), on),
            Told::NotYet => {}
        }
    }

    fn close(&mut self, direction: Direction, time: UnixNanos, on: &mut dyn FnMut(Event<'_>)) {
        match &mut self.told {
            Told::Is(parser) => parser.close(direction, time, on),
            Told::NotYet if direction == Direction::ToServer && !self.first.is_empty() => {
                self.give_up(direction, on);
            }
            Told::NotYet | Told::Unknown => {}
        }
    }

    fn realign(&mut self, in_flight: usize, on: &mut dyn FnMut(Event<'_>)) {
        if let Told::Is(parser) = &mut self.told {
            parser.realign(in_flight, on);
        }
    }

    fn held_bytes(&self) -> usize {
        let parser = if let Told::Is(parser) = &self.told { parser.held_bytes() } else { 0 };
        self.first.capacity() + parser
    }
}

fn pass(direction: Direction, bytes: usize, on: &mut dyn FnMut(Event<'_>)) {
    if bytes > 0 {
        on(Event::Unparsed { direction, bytes: u64::try_from(bytes).unwrap_or(u64::MAX) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_once_given_does_not_change_with_more_bytes() {
        let samples: [&[u8]; 6] = [
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
            b"CONNECT shop:443 HTTP/1.1\r\n\r\n",
            b"*12\r\n$5\r\nHELLO\r\n$1\r\n3\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"*123456789012345678901234567890",
        ];
        for sample in samples {
            let mut told = Verdict::More;
            for cut in 0..=sample.len() {
                let verdict = infer(&sample[..cut]);
                assert!(told == Verdict::More || verdict == told, "{told:?} became {verdict:?}");
                assert!(verdict != Verdict::More || cut < ENOUGH, "no verdict after {cut} bytes");
                told = verdict;
            }
            assert_ne!(told, Verdict::More);
        }
        assert_eq!(infer(b"GET key\r\n"), Verdict::Unknown, "an inline command is not told");
    }
}
