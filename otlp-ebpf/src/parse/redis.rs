//! The Redis serialization protocol: RESP2 and RESP3, inline commands, streamed types.
//!
//! Strings are skipped by their length; of a command only its name and (for the few that change how replies
//! are to be read) its first two arguments are looked at, of a reply its type, the prefix of an error, and
//! the first word of an aggregate.
//!
//! Commands that get no reply (`CLIENT REPLY OFF` and `SKIP`) or several (`SUBSCRIBE` and its kin) say so in
//! [`Command::expect`]. After `MONITOR`, `SYNC` or `PSYNC` what the server sends answers nothing, and both
//! directions are passed over as [`Event::Unparsed`].
//!
//! # When a message is refused
//! To the server the parser then looks for a line feed, or the client's turn to speak, followed by `*N CR LF $M CR LF`. To the client nothing
//! marks the beginning of a reply, so all bytes are passed over until [`Parser::realign`] says where one begins.

mod number;
mod reply;
mod request;

use std::fmt;

use otlp_core::UnixNanos;

use self::reply::Replies;
use self::request::Requests;
use super::{Chunk, Direction, Event, Expect, Parser};
use crate::limits::Limits;

/// A command. `Debug` shows its name and the count of its arguments, which may hold secrets.
#[derive(Clone, Copy)]
pub struct Command<'a> {
    words: &'a Words<'a>,
    expect: Expect,
}

impl<'a> Command<'a> {
    /// The command's name as sent; `None` where it is longer than 32 bytes or not printable ASCII.
    #[must_use]
    pub fn name(&self) -> Option<&'a str> {
        let [name, ..] = self.words.kept;
        word(Short::of(name))
    }

    /// Count of arguments, the name not counted.
    #[must_use]
    pub const fn arguments(&self) -> u64 {
        self.words.count.saturating_sub(1)
    }

    /// One of the first three arguments, where it is neither empty nor longer than 32 bytes. It may hold secrets.
    #[must_use]
    pub fn argument(&self, number: usize) -> Option<&'a [u8]> {
        let [_, first @ ..] = &self.words.kept;
        first.get(number).map(|argument| Short::of(argument)).filter(|argument| !argument.is_empty())
    }

    /// A hash of the first argument, which for most commands is a key: FNV-1a of its first 256 bytes and its length.
    /// Not for secrets.
    #[must_use]
    pub fn key_hash(&self) -> Option<u64> {
        match self.words.key {
            Key::None => None,
            Key::Kept => {
                let [_, key, ..] = self.words.kept;
                let mut hash = KeyHash::default();
                hash.push(key);
                Some(hash.get())
            }
            Key::Hashed(hash) => Some(hash),
        }
    }

    /// How many replies it will get.
    #[must_use]
    pub const fn expect(&self) -> Expect {
        self.expect
    }
}

/// The words of a command.
#[derive(Clone, Copy)]
struct Words<'a> {
    /// The first four; empty where one is not known whole.
    kept: [&'a [u8]; 4],
    key: Key,
    /// Of all words.
    count: u64,
}

/// What is known of a command's first argument.
#[derive(Clone, Copy)]
enum Key {
    None,
    /// All of it, among the words that are kept: hashed when somebody asks.
    Kept,
    /// The hash of what came in pieces.
    Hashed(u64),
}

impl fmt::Debug for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("name", &self.name())
            .field("arguments", &self.arguments())
            .field("expect", &self.expect)
            .finish()
    }
}

/// What a reply is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReplyKind {
    /// A simple or blob error.
    Error,
    /// An aggregate that answers nothing by itself (RESP3 push).
    Push,
    /// An array.
    Array,
    /// Anything else.
    Value,
}

/// A reply. `Debug` shows its kind and, of an error, the prefix.
#[derive(Clone, Copy)]
pub struct Reply<'a> {
    kind: ReplyKind,
    prefix: &'a [u8],
    first: &'a [u8],
    last_integer: i64,
}

impl<'a> Reply<'a> {
    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> ReplyKind {
        self.kind
    }

    /// The first word of an error, such as `WRONGTYPE`; `_OTHER` where it is longer than 32 bytes or not
    /// printable ASCII. `None` for what is no error.
    #[must_use]
    pub fn error_prefix(&self) -> Option<&'a str> {
        (self.kind == ReplyKind::Error).then(|| word(self.prefix).unwrap_or("_OTHER"))
    }

    /// What the reply is to a client that subscribes.
    pub(crate) fn role(&self) -> Role {
        let is = |words: &[&str]| words.iter().any(|word| self.first.eq_ignore_ascii_case(word.as_bytes()));
        let push = self.kind == ReplyKind::Push;
        match self.kind {
            ReplyKind::Push | ReplyKind::Array if is(&CONFIRMATIONS) => {
                Role::Confirmation { push, subscriptions: self.last_integer }
            }
            ReplyKind::Array if is(&["message", "pmessage", "smessage"]) => Role::Message,
            ReplyKind::Push => Role::Push,
            _ => Role::Answer,
        }
    }
}

impl fmt::Debug for Reply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("kind", &self.kind).field("error", &self.error_prefix()).finish()
    }
}

/// What a reply can be to a client that subscribes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Answers the oldest request.
    Answer,
    /// Confirms a subscription or its end, if one was asked for.
    Confirmation { push: bool, subscriptions: i64 },
    /// In RESP2, a message of a channel, if there is a subscription.
    Message,
    /// Answers nothing.
    Push,
}

/// The commands that are confirmed, once for each channel; their confirmations begin with the same words.
const CONFIRMATIONS: [&str; 6] =
    ["subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ssubscribe", "sunsubscribe"];

/// Reads one Redis connection.
///
/// Holds some hundred bytes and, where replies nest, 24 bytes a level.
///
/// ```
/// use otlp_core::UnixNanos;
/// use otlp_ebpf::Limits;
/// use otlp_ebpf::parse::redis::Redis;
/// use otlp_ebpf::parse::{Chunk, Direction, Event, Parser, RequestHead, ResponseHead};
///
/// let mut parser = Redis::new(Limits::default());
/// let mut told = Vec::new();
/// let seen = [(Direction::ToServer, "*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n"), (Direction::ToClient, "-ERR not an integer\r\n")];
/// for (direction, bytes) in seen {
///     let chunk = Chunk::new(direction, UnixNanos::ZERO, bytes.as_bytes());
///     parser.feed(chunk, &mut |event| match event {
///         Event::Request { head: RequestHead::Redis(command), .. } => told.extend(command.name().map(str::to_owned)),
///         Event::Response { head: ResponseHead::Redis(reply), .. } => told.extend(reply.error_prefix().map(str::to_owned)),
///         _ => {}
///     });
/// }
/// assert_eq!(told, ["INCR", "ERR"]);
/// ```
#[derive(Debug)]
pub struct Redis {
    requests: Requests,
    replies: Replies,
}

impl Redis {
    /// A parser for a connection seen from its first byte.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { requests: Requests::new(limits.clone()), replies: Replies::new(limits) }
    }

    /// A parser for a connection seen from somewhere on: it looks for the first command it can be sure of,
    /// and reads replies once it is told where one begins.
    #[must_use]
    pub fn mid_stream(limits: Limits) -> Self {
        let mut parser = Self::new(limits);
        parser.requests.search();
        parser.replies.search();
        parser
    }
}

impl Parser for Redis {
    fn feed(&mut self, chunk: Chunk<'_>, on: &mut dyn FnMut(Event<'_>)) {
        match chunk.direction {
            Direction::ToServer => {
                if self.requests.feed(&chunk, on) {
                    on(Event::Left);
                    self.replies.become_opaque(on);
                }
            }
            Direction::ToClient => self.replies.feed(&chunk, on),
        }
    }

    fn close(&mut self, direction: Direction, _time: UnixNanos, on: &mut dyn FnMut(Event<'_>)) {
        match direction {
            Direction::ToServer => self.requests.close(on),
            Direction::ToClient => self.replies.close(on),
        }
    }

    fn realign(&mut self, _in_flight: usize, on: &mut dyn FnMut(Event<'_>)) {
        self.replies.realign(on);
    }

    fn client_turn(&mut self, on: &mut dyn FnMut(Event<'_>)) {
        self.requests.client_turn(on);
    }

    fn held_bytes(&self) -> usize {
        self.requests.held_bytes() + self.replies.held_bytes()
    }
}

/// The first bytes of something, and how long it was in all.
#[derive(Debug, Clone, Copy, Default)]
struct Short {
    bytes: [u8; Self::KEPT],
    length: u64,
}

impl Short {
    const KEPT: usize = 32;

    fn push(&mut self, more: &[u8]) {
        let kept = usize::try_from(self.length).unwrap_or(Self::KEPT).min(Self::KEPT);
        let room = self.bytes.get_mut(kept..).unwrap_or_default();
        room.iter_mut().zip(more).for_each(|(to, from)| *to = *from);
        self.length = self.length.saturating_add(wide(more.len()));
    }

    /// What [`Self::whole`] would give of this.
    #[inline]
    const fn of(word: &[u8]) -> &[u8] {
        if word.len() <= Self::KEPT { word } else { &[] }
    }

    /// All of it; empty where it was longer than is kept.
    fn whole(&self) -> &[u8] {
        usize::try_from(self.length).ok().and_then(|length| self.bytes.get(..length)).unwrap_or_default()
    }
}

/// FNV-1a over the first bytes of something, and its length.
#[derive(Debug, Clone, Copy)]
struct KeyHash {
    state: u64,
    length: u64,
}

impl KeyHash {
    const HASHED: u64 = 256;

    fn push(&mut self, more: &[u8]) {
        let room = usize::try_from(Self::HASHED.saturating_sub(self.length)).unwrap_or(0);
        self.state = more.iter().take(room).fold(self.state, |state, byte| Self::step(state, *byte));
        self.length = self.length.saturating_add(wide(more.len()));
    }

    fn get(self) -> u64 {
        self.length.to_le_bytes().into_iter().fold(self.state, Self::step)
    }

    fn step(state: u64, byte: u8) -> u64 {
        (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    }
}

impl Default for KeyHash {
    fn default() -> Self {
        Self { state: 0xcbf2_9ce4_8422_2325, length: 0 }
    }
}

fn word(bytes: &[u8]) -> Option<&str> {
    let printable = !bytes.is_empty() && bytes.iter().fold(true, |all, byte| all & byte.is_ascii_graphic());
    std::str::from_utf8(bytes).ok().filter(|_| printable)
}

/// A length in memory always fits 64 bits.
#[inline]
fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
