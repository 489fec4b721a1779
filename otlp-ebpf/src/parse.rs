//! Stream parsers: bytes of a connection, cut anywhere, to events.
//!
//! A [`Parser`] takes the bytes of both directions of one connection, in the order in which they were
//! seen, and tells what they mean through a callback; nothing that an event borrows outlives the call.
//! All parsers keep to the same rules:
//!
//! - where the stream is cut makes no difference to the events (but for how [`Event::Unparsed`] is split);
//! - nothing of a body is kept; what is held for one connection is bounded by [`Limits`](crate::Limits);
//! - cost is linear in the bytes, and no input makes them panic;
//! - what cannot be read is refused with a [`ParseError`], its bytes counted, and the parser looks for the
//!   next message that it can be sure of (each parser documents its rule).

mod dialogue;
pub(crate) mod few;
mod frame;
pub mod grpc;
pub mod hpack;
pub mod http1;
pub mod http2;
pub mod infer;
pub mod kafka;
pub mod mysql;
pub mod other;
pub mod postgres;
mod prepared;
pub mod redis;
mod spread;
pub mod sql;
pub(crate) mod turn;

use std::fmt;

use otlp_core::UnixNanos;

/// Which way bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a connection has two ends")]
pub enum Direction {
    /// From the client: requests.
    ToServer,
    /// From the server: responses.
    ToClient,
}

impl Direction {
    /// The other one.
    #[must_use]
    pub const fn back(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
}

/// Bytes of one direction as they were seen, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Which way they travel.
    pub direction: Direction,
    /// When they were seen.
    pub time: UnixNanos,
    /// Count of bytes of this direction that were lost right before `bytes`.
    pub missing: u64,
    /// The bytes; may be empty.
    pub bytes: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// Bytes that follow directly on those before them.
    #[must_use]
    pub const fn new(direction: Direction, time: UnixNanos, bytes: &'a [u8]) -> Self {
        Self { direction, time, missing: 0, bytes }
    }

    /// The same bytes, but `missing` bytes before them were lost.
    #[must_use]
    pub const fn after_gap(mut self, missing: u64) -> Self {
        self.missing = missing;
        self
    }
}

/// Reads one connection of one protocol.
///
/// ```
/// use otlp_core::UnixNanos;
/// use otlp_ebpf::Limits;
/// use otlp_ebpf::parse::http1::Http1;
/// use otlp_ebpf::parse::{Chunk, Direction, Event, Parser, RequestHead};
///
/// let mut parser = Http1::new(Limits::default());
/// let mut targets = Vec::new();
/// for part in ["GET /cart?id=7 HT", "TP/1.1\r\nHost: shop\r\n\r\n"] {
///     let chunk = Chunk::new(Direction::ToServer, UnixNanos::ZERO, part.as_bytes());
///     parser.feed(chunk, &mut |event| {
///         if let Event::Request { head: RequestHead::Http1(head), .. } = event {
///             targets.push(head.target().to_owned());
///         }
///     });
/// }
/// assert_eq!(targets, ["/cart?id=7"]);
/// ```
pub trait Parser: Send {
    /// Takes the next bytes of one direction and reports what they complete. O(bytes).
    fn feed(&mut self, chunk: Chunk<'_>, on: &mut dyn FnMut(Event<'_>));

    /// Tells that this direction has ended: messages that last until then are complete, others truncated.
    fn close(&mut self, direction: Direction, time: UnixNanos, on: &mut dyn FnMut(Event<'_>));

    /// Tells a parser that has lost its place that the next byte to the client begins the answer to the
    /// oldest of the `in_flight` newest requests; a response under way is given up.
    fn realign(&mut self, in_flight: usize, on: &mut dyn FnMut(Event<'_>));

    /// Tells that the client speaks after the server did: the next byte to the server may begin a message. Needed only
    /// by who has lost its place and looks for where one begins.
    fn client_turn(&mut self, on: &mut dyn FnMut(Event<'_>)) {
        let _ = on;
    }

    /// Heap bytes held for the connection now.
    fn held_bytes(&self) -> usize;
}

/// What bytes turned out to mean.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The head of a request is complete (for HTTP its body may still be under way).
    Request {
        /// Which response will be its own.
        exchange: Exchange,
        /// When its first byte was seen.
        time: UnixNanos,
        /// What it asks.
        head: RequestHead<'a>,
    },
    /// A request has ended.
    RequestEnd {
        /// Which: for [`Exchange::InOrder`] the newest.
        exchange: Exchange,
        /// When its last byte was seen.
        time: UnixNanos,
        /// Bytes of its body, transfer coding taken off.
        body_bytes: u64,
        /// How it ended.
        end: End,
    },
    /// A response has ended.
    Response {
        /// Which request it answers.
        exchange: Exchange,
        /// When its first byte was seen.
        first_byte: UnixNanos,
        /// When its last byte was seen.
        time: UnixNanos,
        /// What it says.
        head: ResponseHead<'a>,
        /// Bytes of its body, transfer coding taken off.
        body_bytes: u64,
        /// How it ended.
        end: End,
    },
    /// One of the peers gave up an exchange; no response will come (HTTP/2 `RST_STREAM`).
    Aborted {
        /// Which.
        exchange: Exchange,
        /// When that was seen.
        time: UnixNanos,
        /// Why, as `error.type` has it: of few different values.
        error: &'static str,
    },
    /// The answer of an exchange was lost with bytes that were not seen; whether and how it ended is not known.
    Lost {
        /// Which.
        exchange: Exchange,
    },
    /// The head of an HTTP response has come, that of an interim one excepted; its body may still be under way.
    ResponseBegins {
        /// Which request it answers: for [`Exchange::InOrder`] the oldest.
        exchange: Exchange,
        /// Its headers.
        headers: ResponseHeaders<'a>,
    },
    /// An interim HTTP response (1xx but 101), which answers nothing yet.
    Interim {
        /// Its status code.
        status: u16,
    },
    /// Bytes where a message should begin were refused; the parser has lost its place in this direction.
    Refused {
        /// Which way they travelled.
        direction: Direction,
        /// Why they were refused, and where.
        error: ParseError,
    },
    /// From here on neither direction is of this protocol (an upgrade, a tunnel, Redis `MONITOR`).
    Left,
    /// Bytes that belong to no message: refused, skipped while looking for the next one, or after an upgrade.
    Unparsed {
        /// Which way they travelled.
        direction: Direction,
        /// How many.
        bytes: u64,
    },
}

/// The headers of a response.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum ResponseHeaders<'a> {
    /// Of HTTP/1.
    Http1(http1::Headers<'a>),
    /// Of HTTP/2.
    Http2(http2::Headers<'a>),
}

/// How a request is told from the others of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete: answers come in order, or say what they answer")]
pub enum Exchange {
    /// Responses come in the order of the requests.
    InOrder,
    /// Requests and responses carry this number (an HTTP/2 stream, a Kafka correlation id), in any order.
    Numbered(u64),
}

/// What a request asks.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum RequestHead<'a> {
    /// An HTTP/1 request.
    Http1(http1::Request<'a>),
    /// An HTTP/2 request, of gRPC too.
    Http2(http2::Request<'a>),
    /// A Kafka request.
    Kafka(kafka::Request<'a>),
    /// A Redis command.
    Redis(redis::Command<'a>),
    /// A command to an SQL database.
    Sql(sql::Command<'a>),
    /// A request of a protocol that is not known here.
    Other(other::Request<'a>),
}

impl RequestHead<'_> {
    /// How many answers it will get.
    #[must_use]
    pub const fn expect(&self) -> Expect {
        match self {
            Self::Http1(_) | Self::Http2(_) | Self::Sql(_) => Expect::One,
            Self::Kafka(request) => request.expect(),
            Self::Redis(command) => command.expect(),
            Self::Other(request) => request.expect(),
        }
    }

    /// Whether it runs a prepared statement whose text is not known.
    pub(crate) fn is_unknown_statement(&self) -> bool {
        matches!(self, Self::Sql(command) if command.operation == sql::Operation::Execute && command.statement.is_none())
    }
}

/// What a response says.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum ResponseHead<'a> {
    /// An HTTP/1 response.
    Http1(http1::Response),
    /// An HTTP/2 response, of gRPC too.
    Http2(http2::Response),
    /// The answer to a Kafka request.
    Kafka(kafka::Response<'a>),
    /// A Redis reply.
    Redis(redis::Reply<'a>),
    /// How a command to an SQL database ended.
    Sql(sql::Outcome),
    /// A response of a protocol that is not known here.
    Other(other::Response<'a>),
}

impl ResponseHead<'_> {
    /// Whether it says that a command of Redis failed.
    pub(crate) fn is_error(&self) -> bool {
        matches!(self, Self::Redis(reply) if reply.kind() == redis::ReplyKind::Error)
    }

    /// How it takes part in pairing.
    pub(crate) fn role(&self) -> redis::Role {
        match self {
            Self::Http1(_) | Self::Http2(_) | Self::Kafka(_) | Self::Sql(_) | Self::Other(_) => {
                redis::Role::Answer
            }
            Self::Redis(reply) => reply.role(),
        }
    }
}

/// How many answers a request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Expect {
    /// One response.
    One,
    /// None: complete as it is.
    Nothing,
    /// This many confirmations, or one error (Redis `SUBSCRIBE` and its kin).
    Confirmations(u32),
}

/// How a message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// Where its framing says.
    Complete,
    /// Before that: the peer closed.
    Truncated,
    /// Some of its bytes were lost: what is told of it may be incomplete, and its size too small.
    Gap,
    /// Its framing became unreadable; the parser has lost its place in this direction.
    Broken(ParseError),
}

/// Why bytes were refused, and at which byte of their direction. Small and `Copy`; holds no payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{kind} at byte {offset} {direction}")]
pub struct ParseError {
    /// Bytes of the direction before the refused message (or before what broke its body).
    pub offset: u64,
    /// The direction.
    pub direction: Direction,
    /// What was wrong.
    pub kind: ParseErrorKind,
}

/// What was wrong with refused bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// Not a request line or status line.
    #[error("http start line not valid")]
    StartLine,
    /// An HTTP version other than 1.0 and 1.1.
    #[error("http version not supported")]
    Version,
    /// A header line that is none.
    #[error("http header not valid")]
    Header,
    /// A header folded over several lines (RFC 9112 §5.2).
    #[error("http header folded over lines")]
    ObsFold,
    /// A `Content-Length` that is not a number.
    #[error("content-length not valid")]
    ContentLength,
    /// Several `Content-Length` that differ.
    #[error("content-length given twice with different values")]
    ConflictingLength,
    /// A request whose last transfer coding is not `chunked` (RFC 9112 §6.3).
    #[error("transfer-encoding of a request does not end in chunked")]
    TransferEncoding,
    /// A chunk without a size, or data longer than it.
    #[error("http chunk not valid")]
    Chunk,
    /// Not a frame of HTTP/2, or not one allowed there.
    #[error("http/2 frame not valid")]
    Http2Frame,
    /// A header block of HTTP/2.
    #[error("header block not valid")]
    Hpack(hpack::HpackError),
    /// A byte that begins no RESP value, or not one allowed there.
    #[error("resp type byte {0:#04x} not valid here")]
    RespType(u8),
    /// A RESP length or number that is none.
    #[error("resp number not valid")]
    RespNumber,
    /// A RESP line or string that does not end in CR LF.
    #[error("resp value does not end in cr lf")]
    RespEnd,
    /// A Kafka frame too short for what it must begin with, or with something else there.
    #[error("kafka header not valid")]
    KafkaHeader,
    /// A message of a database that is none, or not one allowed there.
    #[error("sql message type {0:#04x} not valid here")]
    SqlMessage(u8),
    /// The length of a database's message is not one that it can have.
    #[error("length of sql message not valid")]
    SqlLength,
    /// The number of a MySQL packet does not follow on the one before.
    #[error("number of mysql packet not valid here")]
    SqlSequence,
    /// A message of a protocol that is not known here; what was wrong with it.
    #[error("{0}")]
    Other(&'static str),
    /// A limit of [`Limits`](crate::Limits) was passed.
    #[error("{what} exceeds limit {limit}")]
    Limit {
        /// Which, by its name in [`Limits`](crate::Limits).
        what: &'static str,
        /// The bound.
        limit: u64,
    },
    /// The peer closed inside a message.
    #[error("connection closed inside a message")]
    Truncated,
    /// Bytes were lost where no length tells what they were.
    #[error("bytes missing")]
    Gap,
    /// The first bytes belong to no protocol known here.
    #[error("protocol not known")]
    UnknownProtocol,
}

impl ParseError {
    /// True where a limit was passed, false where the bytes are not valid.
    #[must_use]
    pub const fn is_limit(&self) -> bool {
        matches!(self.kind, ParseErrorKind::Limit { .. })
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ToServer => "to the server",
            Self::ToClient => "to the client",
        })
    }
}
