//! Which protocol a connection speaks, told from its first bytes.

use std::fmt;
use std::sync::Arc;

use otlp_core::UnixNanos;

use super::http1::Http1;
use super::http2::{self, Http2};
use super::kafka::{self, Kafka};
use super::mysql::MySql;
use super::postgres::Postgres;
use super::redis::Redis;
use super::{Chunk, Direction, Event, ParseError, ParseErrorKind, Parser};
use crate::limits::Limits;

/// A protocol that connections speak. Implement it to have one of your own followed: [`other`](super::other) shows how.
pub trait Protocol: Send + Sync + fmt::Debug {
    /// Its name, as `network.protocol.name` has it.
    fn name(&self) -> &str;

    /// What tells it from all other protocols, as event logs have it. As [`name`](Self::name), unless another one has
    /// the same.
    fn id(&self) -> &str {
        self.name()
    }

    /// Tells whether the first bytes of a connection are of this protocol. O(1).
    ///
    /// What is answered with [`Verdict::Yes`] or [`Verdict::No`] must not change with more bytes.
    fn infer(&self, first: First<'_>) -> Verdict;

    /// A parser for a connection of this protocol, seen from its first byte.
    fn parser(&self, limits: &Limits) -> Box<dyn Parser>;

    /// A parser for a connection of this protocol, seen from somewhere on. As [`parser`](Self::parser), unless the
    /// protocol knows better.
    fn parser_mid_stream(&self, limits: &Limits) -> Box<dyn Parser> {
        self.parser(limits)
    }
}

/// The first bytes of a connection, both ways; at most [`FIRST_BYTES`] of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "a connection has two ends")]
pub struct First<'a> {
    /// What the client sent.
    pub to_server: &'a [u8],
    /// What the server sent, which in some protocols speaks first.
    pub to_client: &'a [u8],
}

/// Bytes of each direction that are held until the protocol is told.
pub const FIRST_BYTES: usize = 64;

/// What a protocol says of the first bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "yes, no, not yet")]
pub enum Verdict {
    /// They begin this protocol.
    Yes,
    /// They do not.
    No,
    /// More are needed.
    More,
}

/// The protocols known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Builtin {
    /// HTTP/1.0 and 1.1.
    Http1,
    /// HTTP/2 in clear text, and gRPC over it.
    Http2,
    /// Kafka, of all versions.
    Kafka,
    /// MySQL and MariaDB.
    MySql,
    /// PostgreSQL.
    Postgres,
    /// RESP2 and RESP3.
    Redis,
}

impl Builtin {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::Http1, Self::Http2, Self::Kafka, Self::MySql, Self::Postgres, Self::Redis];
}

/// HTTP/1 is a method of RFC 9110 and a target that begins as one does; HTTP/2 the client's preface, the server's
/// settings, or on a connection seen late a whole request in one frame; Kafka is a length, a request and version that
/// are known, a number and a client's name; MySQL is a server that speaks first and says which version it is;
/// PostgreSQL is a start-up message or a request for encryption; Redis is `*`, a count and `$` (inline commands are
/// not told).
///
/// ```
/// use otlp_ebpf::parse::infer::{Builtin, First, Protocol, Verdict};
/// let told = |first: &'static [u8]| {
///     let first = First { to_server: first, to_client: b"" };
///     Builtin::ALL.map(|protocol| protocol.infer(first)).into_iter().zip(Builtin::ALL).filter(|(told, _)| *told != Verdict::No).collect::<Vec<_>>()
/// };
/// assert_eq!(told(b"GET /cart HTTP/1.1\r\n"), [(Verdict::Yes, Builtin::Http1)]);
/// assert_eq!(told(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), [(Verdict::Yes, Builtin::Http2)]);
/// assert_eq!(told(b"\0\0\0\x0c\0\x12\0\0\0\0\0\x01\0\x02go"), [(Verdict::Yes, Builtin::Kafka)]);
/// assert_eq!(told(b"\0\0\0\x08\x04\xd2\x16\x2f"), [(Verdict::Yes, Builtin::Postgres)]);
/// assert_eq!(told(b"*2\r\n$3\r\nGET"), [(Verdict::Yes, Builtin::Redis)]);
/// assert_eq!(told(b"\x16\x03\x01"), []);
/// assert_eq!(told(b"OPTI"), [(Verdict::More, Builtin::Http1)]);
/// ```
impl Protocol for Builtin {
    fn name(&self) -> &str {
        match self {
            Self::Http1 | Self::Http2 => "http",
            Self::Kafka => "kafka",
            Self::MySql => "mysql",
            Self::Postgres => "postgresql",
            Self::Redis => "redis",
        }
    }

    fn id(&self) -> &str {
        if *self == Self::Http2 { "http2" } else { self.name() }
    }

    fn infer(&self, first: First<'_>) -> Verdict {
        match self {
            Self::Http1 => client_first(first, http1),
            Self::Http2 => http2::infer(first),
            Self::Kafka => kafka::infer(first),
            Self::MySql => mysql(first),
            Self::Postgres => postgres(first),
            Self::Redis => client_first(first, redis),
        }
    }

    fn parser(&self, limits: &Limits) -> Box<dyn Parser> {
        match self {
            Self::Http1 => Box::new(Http1::new(limits.clone())),
            Self::Http2 => Box::new(Http2::new(limits.clone())),
            Self::Kafka => Box::new(Kafka::new(limits.clone())),
            Self::MySql => Box::new(MySql::new(limits.clone())),
            Self::Postgres => Box::new(Postgres::new(limits.clone())),
            Self::Redis => Box::new(Redis::new(limits.clone())),
        }
    }

    fn parser_mid_stream(&self, limits: &Limits) -> Box<dyn Parser> {
        match self {
            Self::Http1 => Box::new(Http1::mid_stream(limits.clone())),
            Self::Http2 => Box::new(Http2::mid_stream(limits.clone())),
            Self::Kafka => Box::new(Kafka::mid_stream(limits.clone())),
            Self::MySql => Box::new(MySql::mid_stream(limits.clone())),
            Self::Postgres => Box::new(Postgres::mid_stream(limits.clone())),
            Self::Redis => Box::new(Redis::mid_stream(limits.clone())),
        }
    }
}

/// For protocols in which the client speaks first: empty lines before that are passed over.
fn client_first(first: First<'_>, infer: fn(&[u8]) -> Verdict) -> Verdict {
    if !first.to_client.is_empty() {
        return Verdict::No;
    }
    let empty = first.to_server.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    infer(first.to_server.get(empty..).unwrap_or_default())
}

fn redis(first: &[u8]) -> Verdict {
    let Some((&star, rest)) = first.split_first() else { return Verdict::More };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let behind = rest.get(digits..).unwrap_or_default();
    let expected = b"\r\n$";
    match behind.starts_with(expected) {
        _ if star != b'*' => Verdict::No,
        true if digits > 0 => Verdict::Yes,
        false if digits <= 9 && expected.starts_with(behind) => Verdict::More,
        _ => Verdict::No,
    }
}

/// The server's greeting: a packet numbered 0 of protocol version 10, and a version that begins with a digit; or an
/// error in its place.
fn mysql(first: First<'_>) -> Verdict {
    if !first.to_server.is_empty() {
        return Verdict::No;
    }
    match *first.to_client {
        [_, _, high, ..] if high != 0 => Verdict::No,
        [_, _, _, number, ..] if number != 0 => Verdict::No,
        [low, high, _, _, 0xff, ..] if low >= 9 || high > 0 => Verdict::Yes,
        [_, _, _, _, kind, ..] if kind != 10 => Verdict::No,
        [_, _, _, _, _, digit, ..] if digit.is_ascii_digit() => Verdict::Yes,
        [_, _, _, _, _, _, ..] => Verdict::No,
        _ => Verdict::More,
    }
}

/// A length and a code for what is asked for; behind a version the name of a parameter. (Kafka's requests begin alike,
/// but with a number in place of the name.)
fn postgres(first: First<'_>) -> Verdict {
    if !first.to_client.is_empty() {
        return Verdict::No;
    }
    let begins = |with: &[u8]| {
        let length = with.len().min(first.to_server.len());
        first.to_server.get(..length) == with.get(..length)
    };
    let asks =
        [[8, 0x2f], [8, 0x30], [16, 0x2e]].map(|[length, code]| [0, 0, 0, length, 4, 0xd2, 0x16, code]);
    match *first.to_server {
        _ if asks.iter().any(|ask| begins(ask)) => {
            if first.to_server.len() >= 8 {
                Verdict::Yes
            } else {
                Verdict::More
            }
        }
        [0, 0, high, ..] if high > 0x27 => Verdict::No,
        [0, 0, _, _, 0, 3, 0, _, a, b, c, d, ..] => {
            let named = [a, b, c, d].iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'_');
            if named { Verdict::Yes } else { Verdict::No }
        }
        [0, 0, _, _, 0, 3, 0, ..]
        | [0, 0, _, _, 0, 3]
        | [0, 0, _, _, 0]
        | [0, 0]
        | [0, 0, _]
        | [0, 0, _, _] => Verdict::More,
        [] | [0] => Verdict::More,
        _ => Verdict::No,
    }
}

const METHODS: [&str; 9] =
    ["GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "CONNECT ", "OPTIONS ", "TRACE ", "PATCH "];

fn http1(first: &[u8]) -> Verdict {
    for method in METHODS {
        let method = method.as_bytes();
        match first.strip_prefix(method) {
            Some([]) => return Verdict::More,
            Some([b'/' | b'*' | b'h' | b'H', ..]) => return Verdict::Yes,
            // The authority form; RESP's inline commands know no such name.
            Some(_) if method == b"CONNECT " => return Verdict::Yes,
            None if method.starts_with(first) => return Verdict::More,
            Some(_) | None => {}
        }
    }
    Verdict::No
}

/// The protocols among which a connection's own is looked for, in their order. Cheap to clone.
///
/// ```
/// use otlp_ebpf::parse::infer::{Builtin, First, Protocols};
/// let protocols = Protocols::default().with(Builtin::Redis);
/// let told = protocols.infer(First { to_server: b"*1\r\n$4\r\nPING", to_client: b"" });
/// assert_eq!(told.map(|protocol| protocol.name()), Ok("redis"));
/// ```
#[derive(Debug, Clone)]
pub struct Protocols {
    list: Arc<[Arc<dyn Protocol>]>,
}

impl Protocols {
    /// The same, and before them `protocol`.
    #[must_use]
    pub fn with(&self, protocol: impl Protocol + 'static) -> Self {
        let first: Arc<dyn Protocol> = Arc::new(protocol);
        Self { list: std::iter::once(first).chain(self.list.iter().cloned()).collect() }
    }

    /// The one of this [`id`](Protocol::id).
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<&Arc<dyn Protocol>> {
        self.list.iter().find(|protocol| protocol.id() == id)
    }

    /// The first protocol that the bytes begin; [`Verdict::No`] where it is none, [`Verdict::More`] where more
    /// bytes are needed.
    ///
    /// # Errors
    /// The verdict, where it is not yes.
    pub fn infer(&self, first: First<'_>) -> Result<&Arc<dyn Protocol>, Verdict> {
        let mut told = Verdict::No;
        for protocol in self.list.iter() {
            match protocol.infer(first) {
                Verdict::Yes if told == Verdict::No => return Ok(protocol),
                // One before it may yet be the one.
                Verdict::Yes | Verdict::More => told = Verdict::More,
                Verdict::No => {}
            }
        }
        Err(told)
    }
}

impl Default for Protocols {
    /// Every one of [`Builtin::ALL`]; Kafka connections among them share what topics' ids mean.
    fn default() -> Self {
        let protocol = |known| -> Arc<dyn Protocol> {
            match known {
                Builtin::Kafka => Arc::new(kafka::Cluster::default()),
                known => Arc::new(known),
            }
        };
        Self { list: Builtin::ALL.into_iter().map(protocol).collect() }
    }
}

/// Reads a connection whose protocol its first bytes tell; holds at most [`FIRST_BYTES`] of each direction until
/// then.
///
/// Bytes that begin no protocol known make it refuse the connection ([`ParseErrorKind::UnknownProtocol`]) and pass
/// over both directions.
#[derive(Debug)]
pub struct Inferring {
    protocols: Protocols,
    limits: Limits,
    held: Held,
    told: Told,
}

enum Told {
    NotYet,
    Is(Box<dyn Parser>),
    Unknown,
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotYet => "NotYet",
            Self::Is(_) => "Is",
            Self::Unknown => "Unknown",
        })
    }
}

/// What has come so far: the bytes of each direction, and the chunks that they came in.
#[derive(Debug, Default)]
struct Held {
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    chunks: Vec<(Direction, UnixNanos, usize)>,
}

impl Held {
    /// Takes from the front of `chunk` what there is room for; gives the rest.
    fn take<'a>(&mut self, chunk: &Chunk<'a>) -> &'a [u8] {
        let bytes = self.bytes(chunk.direction);
        let room = FIRST_BYTES.saturating_sub(bytes.len()).min(chunk.bytes.len());
        let (taken, rest) = chunk.bytes.split_at_checked(room).unwrap_or((chunk.bytes, &[]));
        bytes.extend_from_slice(taken);
        self.chunks.push((chunk.direction, chunk.time, taken.len()));
        rest
    }

    const fn bytes(&mut self, direction: Direction) -> &mut Vec<u8> {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    fn first(&self) -> First<'_> {
        First { to_server: &self.to_server, to_client: &self.to_client }
    }

    /// Gives the chunks as they came.
    fn replay(&self, mut on: impl FnMut(Chunk<'_>)) {
        let [mut to_server, mut to_client] = [self.to_server.as_slice(), &self.to_client];
        for &(direction, time, len) in &self.chunks {
            let rest = if direction == Direction::ToServer { &mut to_server } else { &mut to_client };
            let (bytes, behind) = rest.split_at_checked(len).unwrap_or_default();
            *rest = behind;
            on(Chunk::new(direction, time, bytes));
        }
    }
}

impl Inferring {
    /// A parser for a connection seen from its first byte, which speaks one of the protocols known here.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self::among(Protocols::default(), limits)
    }

    /// A parser for a connection seen from its first byte, which speaks one of `protocols`.
    #[must_use]
    pub fn among(protocols: Protocols, limits: Limits) -> Self {
        Self { protocols, limits, held: Held::default(), told: Told::NotYet }
    }

    /// Holds bytes until the protocol is told; gives those not needed for that.
    fn tell<'a>(&mut self, chunk: &Chunk<'a>, on: &mut dyn FnMut(Event<'_>)) -> &'a [u8] {
        let rest = self.held.take(chunk);
        let first = self.held.first();
        let full = first.to_server.len().max(first.to_client.len()) == FIRST_BYTES;
        match self.protocols.infer(first) {
            Err(Verdict::More) if !full => {}
            Err(_) => self.give_up(chunk.direction, on),
            Ok(protocol) => {
                let mut parser = protocol.parser(&self.limits);
                std::mem::take(&mut self.held).replay(|chunk| parser.feed(chunk, on));
                self.told = Told::Is(parser);
            }
        }
        rest
    }

    fn give_up(&mut self, direction: Direction, on: &mut dyn FnMut(Event<'_>)) {
        let error = ParseError { offset: 0, direction, kind: ParseErrorKind::UnknownProtocol };
        on(Event::Refused { direction, error });
        let held = std::mem::take(&mut self.held);
        pass(Direction::ToServer, held.to_server.len(), on);
        pass(Direction::ToClient, held.to_client.len(), on);
        self.told = Told::Unknown;
    }
}

impl Parser for Inferring {
    fn feed(&mut self, mut chunk: Chunk<'_>, on: &mut dyn FnMut(Event<'_>)) {
        if matches!(self.told, Told::NotYet) {
            if chunk.missing > 0 {
                self.give_up(chunk.direction, on);
            } else if !chunk.bytes.is_empty() {
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
            Told::NotYet if !self.held.bytes(direction).is_empty() => self.give_up(direction, on),
            Told::NotYet | Told::Unknown => {}
        }
    }

    fn realign(&mut self, in_flight: usize, on: &mut dyn FnMut(Event<'_>)) {
        if let Told::Is(parser) = &mut self.told {
            parser.realign(in_flight, on);
        }
    }

    fn client_turn(&mut self, on: &mut dyn FnMut(Event<'_>)) {
        if let Told::Is(parser) = &mut self.told {
            parser.client_turn(on);
        }
    }

    fn held_bytes(&self) -> usize {
        let parser = if let Told::Is(parser) = &self.told { parser.held_bytes() } else { 0 };
        let Held { to_server, to_client, chunks } = &self.held;
        let chunks = chunks.capacity() * size_of::<(Direction, UnixNanos, usize)>();
        to_server.capacity() + to_client.capacity() + chunks + parser
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
    fn every_protocol_is_found_by_its_id() {
        let protocols = Protocols::default();
        for known in Builtin::ALL {
            assert_eq!(protocols.by_id(known.id()).map(|found| found.id()), Some(known.id()));
            assert_eq!(Builtin::ALL.iter().filter(|other| other.id() == known.id()).count(), 1);
        }
    }

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
        for (protocol, sample) in
            Builtin::ALL.into_iter().flat_map(|each| samples.map(|sample| (each, sample)))
        {
            let mut told = Verdict::More;
            for cut in 0..=sample.len() {
                let verdict = protocol.infer(First { to_server: &sample[..cut], to_client: b"" });
                assert!(told == Verdict::More || verdict == told, "{told:?} became {verdict:?}");
                told = verdict;
            }
            assert_ne!(told, Verdict::More);
        }
        let inline = First { to_server: b"GET key\r\n", to_client: b"" };
        assert_eq!(
            Protocols::default().infer(inline).err(),
            Some(Verdict::No),
            "an inline command is not told"
        );
    }

    /// One byte and the server's answer to it, in which the server speaks first.
    #[derive(Debug)]
    struct Greeting;

    impl Protocol for Greeting {
        fn name(&self) -> &str {
            "greeting"
        }

        fn infer(&self, first: First<'_>) -> Verdict {
            match first.to_client {
                [] if first.to_server.is_empty() => Verdict::More,
                [b'!', ..] => Verdict::Yes,
                _ => Verdict::No,
            }
        }

        fn parser(&self, _: &Limits) -> Box<dyn Parser> {
            Box::new(Recorder)
        }
    }

    /// Tells what it is fed as bytes not parsed.
    #[derive(Debug, Default)]
    struct Recorder;

    impl Parser for Recorder {
        fn feed(&mut self, chunk: Chunk<'_>, on: &mut dyn FnMut(Event<'_>)) {
            pass(chunk.direction, chunk.bytes.len(), on);
        }

        fn close(&mut self, _: Direction, _: UnixNanos, _: &mut dyn FnMut(Event<'_>)) {}

        fn realign(&mut self, _: usize, _: &mut dyn FnMut(Event<'_>)) {}

        fn held_bytes(&self) -> usize {
            0
        }
    }

    #[test]
    fn a_protocol_of_the_users_is_told_by_what_its_server_says_first() {
        let mut parser = Inferring::among(Protocols::default().with(Greeting), Limits::default());
        let mut seen = Vec::new();
        let talk: [(Direction, &[u8]); 2] = [(Direction::ToClient, b"!hello"), (Direction::ToServer, b"hi")];
        for (direction, bytes) in talk {
            parser.feed(Chunk::new(direction, UnixNanos::ZERO, bytes), &mut |event| {
                let Event::Unparsed { direction, bytes } = event else { panic!("{event:?}") };
                seen.push((direction, bytes));
            });
        }
        assert_eq!(seen, [(Direction::ToClient, 6), (Direction::ToServer, 2)]);
    }

    #[test]
    fn a_server_that_speaks_first_is_refused_where_no_protocol_does() {
        let mut parser = Inferring::new(Limits::default());
        let mut refused = 0;
        parser.feed(Chunk::new(Direction::ToClient, UnixNanos::ZERO, b"!hello"), &mut |event| {
            refused += u32::from(matches!(event, Event::Refused { direction: Direction::ToClient, .. }));
        });
        assert_eq!(refused, 1);
    }
}
