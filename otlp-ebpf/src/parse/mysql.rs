//! The MySQL client/server protocol, and MariaDB's: text and prepared statements, result sets, errors.
//!
//! Each command that the server answers is a request; closing a statement and sending long data are none, neither is
//! authentication. Of a statement only what [`crate::sql`] leaves of it is kept, of an answer the count of its rows,
//! the rows changed and the number of its error; credentials, parameters and rows are passed over by their length.
//! After TLS or compression is agreed on, or replication begins, both directions are passed over ([`Event::Left`]).
//!
//! # When bytes are refused or lost
//! Holes within a packet are passed over where its first bytes were seen. Otherwise the place is found again when the
//! client speaks after the server, with a packet numbered 0, provided that the client was never seen to send a command
//! before it had the answer to the one before, or that nobody spoke for [`Limits::quiet_time`] before it.

mod answer;
mod command;
mod login;
mod session;

use otlp_core::UnixNanos;

use self::session::Session;
use super::dialogue::Dialogue;
use super::frame::HEADER;
use super::{Chunk, Direction, Event, Parser};
use crate::limits::Limits;

type Emit<'e> = &'e mut dyn FnMut(Event<'_>);

/// A packet of this length is followed by another part of the same message.
const FULL_PACKET: u32 = 0xff_ffff;
const FULL: u64 = FULL_PACKET as u64;

/// Reads one MySQL or MariaDB connection.
///
/// Holds the text of prepared statements, without literals, up to [`Limits::prepared_bytes`], and up to
/// [`Limits::statement_bytes`] of a statement that comes in pieces.
///
/// ```
/// use otlp_core::UnixNanos;
/// use otlp_ebpf::Limits;
/// use otlp_ebpf::parse::mysql::MySql;
/// use otlp_ebpf::parse::{Chunk, Direction, Event, Parser, RequestHead, ResponseHead};
///
/// let mut parser = MySql::mid_stream(Limits::default());
/// let mut told = Vec::new();
/// let seen: [(Direction, &[u8]); 3] = [
///     (Direction::ToClient, b"the rest of an answer"),
///     (Direction::ToServer, b"\x1d\0\0\0\x03DELETE FROM users WHERE id=17"),
///     (Direction::ToClient, b"\x07\0\0\x01\0\x01\0\x02\0\0\0"),
/// ];
/// for (direction, bytes) in seen {
///     parser.feed(Chunk::new(direction, UnixNanos::ZERO, bytes), &mut |event| match event {
///         Event::Request { head: RequestHead::Sql(command), .. } => {
///             told.extend(command.statement.map(|statement| statement.text().to_owned()));
///         }
///         Event::Response { head: ResponseHead::Sql(outcome), .. } => told.push(format!("{:?}", outcome.affected)),
///         _ => {}
///     });
/// }
/// assert_eq!(told, ["DELETE FROM users WHERE id=?", "Some(1)"]);
/// ```
#[derive(Debug)]
pub struct MySql(Dialogue<Session>);

impl MySql {
    /// A parser for a connection seen from its first byte.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let quiet = limits.quiet_time();
        Self(Dialogue::new(Session::new(limits), quiet))
    }

    /// A parser for a connection seen from somewhere on: it waits until the client speaks after the server.
    #[must_use]
    pub fn mid_stream(limits: Limits) -> Self {
        let mut parser = Self::new(limits);
        parser.0.begin_lost();
        parser.0.session.begin_late();
        // Until the server has spoken, what the client says may be the rest of something.
        parser.0.sides.turns.client = true;
        parser
    }
}

impl Parser for MySql {
    fn feed(&mut self, chunk: Chunk<'_>, on: &mut dyn FnMut(Event<'_>)) {
        self.0.feed(&chunk, on);
    }

    fn close(&mut self, direction: Direction, _time: UnixNanos, on: &mut dyn FnMut(Event<'_>)) {
        self.0.close(direction, on);
    }

    /// Not needed: exchanges are numbered.
    fn realign(&mut self, _in_flight: usize, _on: &mut dyn FnMut(Event<'_>)) {}

    fn held_bytes(&self) -> usize {
        self.0.held_bytes() + self.0.session.held_bytes()
    }
}

/// Length of a packet, as its header has it.
#[inline]
fn packet(header: [u8; HEADER]) -> u64 {
    let [a, b, c, ..] = header;
    u64::from(u32::from_le_bytes([a, b, c, 0]))
}

/// Takes bytes off the front of a packet.
#[derive(Debug, Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    #[inline]
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    /// Text up to a zero, or up to the end.
    fn text(&mut self) -> &'a [u8] {
        let end = memchr::memchr(0, self.0).unwrap_or(self.0.len());
        let text = self.take(end).unwrap_or_default();
        self.take(1);
        text
    }

    /// A number whose length its first byte tells.
    fn number(&mut self) -> Option<u64> {
        let first = self.u8()?;
        self.number_from(first)
    }

    fn number_from(&mut self, first: u8) -> Option<u64> {
        let length = match first {
            0..=0xfa => return Some(first.into()),
            0xfc => 2,
            0xfd => 3,
            0xfe => 8,
            _ => return None,
        };
        let bytes = self.take(length)?;
        Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }
}
