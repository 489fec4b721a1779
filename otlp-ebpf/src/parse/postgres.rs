//! The PostgreSQL frontend/backend protocol, version 3: simple queries, the extended protocol, `COPY`, errors.
//!
//! Each simple query is a request that ends with `ReadyForQuery`; in the extended protocol each `Execute` is one that
//! ends with its `CommandComplete`, and a batch that prepares and executes nothing is one of [`Operation::Prepare`].
//! Of a statement only what [`crate::sql`] leaves of it is kept, of an answer its tag, its rows' count and the SQLSTATE
//! of its error; passwords, parameters and rows are passed over by their length. Start-up and authentication are no
//! requests. After TLS or GSSAPI encryption is agreed on both directions are passed over ([`Event::Left`]).
//!
//! When one command of a batch fails the server passes over the others up to `Sync`: they are told as
//! [`Failure::Skipped`], the one that failed with its SQLSTATE.
//!
//! # When bytes are refused or lost
//! Holes within a message are passed over. Otherwise the place is found again when the server has said that it is
//! ready for the next query and the client speaks next, provided that the client was never seen to send a query
//! before it had the answer to the one before, or that nobody spoke for [`Limits::quiet_time`] before it.

mod client;
mod server;
mod session;

use otlp_core::UnixNanos;

use self::session::Session;
use super::dialogue::Dialogue;
#[cfg(doc)]
use super::sql::{Failure, Operation};
use super::{Chunk, Direction, Event, Parser};
use crate::limits::Limits;

type Emit<'e> = &'e mut dyn FnMut(Event<'_>);

/// Reads one PostgreSQL connection.
///
/// Holds the text of prepared statements, without literals, up to
/// [`Limits::prepared_bytes`], and up to [`Limits::statement_bytes`] of a statement that comes in pieces.
///
/// ```
/// use otlp_core::UnixNanos;
/// use otlp_ebpf::Limits;
/// use otlp_ebpf::parse::postgres::Postgres;
/// use otlp_ebpf::parse::{Chunk, Direction, Event, Parser, RequestHead, ResponseHead};
///
/// let mut parser = Postgres::mid_stream(Limits::default());
/// let mut told = Vec::new();
/// let seen: [(Direction, &[u8]); 3] = [
///     (Direction::ToClient, b"Z\0\0\0\x05I"),
///     (Direction::ToServer, b"Q\0\0\0\x29SELECT name FROM users WHERE id = 17\0"),
///     (Direction::ToClient, b"C\0\0\0\x0dSELECT 0\0Z\0\0\0\x05I"),
/// ];
/// for (direction, bytes) in seen {
///     parser.feed(Chunk::new(direction, UnixNanos::ZERO, bytes), &mut |event| match event {
///         Event::Request { head: RequestHead::Sql(command), .. } => {
///             told.extend(command.statement.map(|statement| statement.text().to_owned()));
///         }
///         Event::Response { head: ResponseHead::Sql(outcome), .. } => told.push(format!("{:?}", outcome.failure)),
///         _ => {}
///     });
/// }
/// assert_eq!(told, ["SELECT name FROM users WHERE id = ?", "None"]);
/// ```
#[derive(Debug)]
pub struct Postgres(Dialogue<Session>);

impl Postgres {
    /// A parser for a connection seen from its first byte.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let quiet = limits.quiet_time();
        Self(Dialogue::new(Session::new(limits), quiet))
    }

    /// A parser for a connection seen from somewhere on: it waits until the server is ready and the client speaks.
    #[must_use]
    pub fn mid_stream(limits: Limits) -> Self {
        let mut parser = Self::new(limits);
        parser.0.begin_lost();
        parser.0.session.begin_late();
        parser
    }
}

impl Parser for Postgres {
    fn feed(&mut self, chunk: Chunk<'_>, on: &mut dyn FnMut(Event<'_>)) {
        self.0.feed(&chunk, on);
    }

    fn close(&mut self, direction: Direction, time: UnixNanos, on: &mut dyn FnMut(Event<'_>)) {
        if direction == Direction::ToClient {
            self.0.session.close(time, on);
        }
        self.0.close(direction, on);
    }

    /// Not needed: exchanges are numbered.
    fn realign(&mut self, _in_flight: usize, _on: &mut dyn FnMut(Event<'_>)) {}

    fn held_bytes(&self) -> usize {
        self.0.held_bytes() + self.0.session.held_bytes()
    }
}
