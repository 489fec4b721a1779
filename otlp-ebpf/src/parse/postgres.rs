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

use self::session::{Phase, Session, Then};
use super::frame::{Framer, Step, unparsed};
#[cfg(doc)]
use super::sql::{Failure, Operation};
use super::turn::Turns;
use super::{Chunk, Direction, Event, ParseErrorKind, Parser};
use crate::limits::Limits;
use crate::sql::Backslash;

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
pub struct Postgres {
    client: Framer,
    server: Framer,
    session: Session,
    turns: Turns,
    tail: Tail,
}

/// The last bytes of the server, where it has no place.
#[derive(Debug, Default)]
struct Tail([u8; 6]);

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes.get(bytes.len().saturating_sub(6)..).unwrap_or_default() {
            self.0.rotate_left(1);
            self.0[5] = *byte;
        }
    }

    /// Whether the server's last words were that it is ready.
    const fn ends_ready(&self) -> bool {
        matches!(self.0, [b'Z', 0, 0, 0, 5, b'I' | b'T' | b'E'])
    }
}

impl Postgres {
    /// A parser for a connection seen from its first byte.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            client: Framer::new(Direction::ToServer),
            server: Framer::new(Direction::ToClient),
            turns: Turns::new(limits.quiet_time()),
            tail: Tail::default(),
            session: Session::new(limits),
        }
    }

    /// A parser for a connection seen from somewhere on: it waits until the server is ready and the client speaks.
    #[must_use]
    pub fn mid_stream(limits: Limits) -> Self {
        let mut parser = Self::new(limits);
        parser.client.begin_lost();
        parser.server.begin_lost();
        parser.session.phase = Phase::Running;
        parser.session.lost = true;
        parser.session.syntax.backslash = Backslash::Unknown;
        parser
    }

    fn client_says(&mut self, chunk: &Chunk<'_>, on: Emit<'_>) {
        // A message that the server answered before its end was seen ended in the hole, and with it perhaps others.
        let answered = chunk.missing > 0 && !self.turns.client && !self.client.is_between();
        if self.client.skip(chunk.missing) || answered {
            self.lose_client(ParseErrorKind::Gap, on);
        }
        if chunk.bytes.is_empty() {
            self.turns.client |= chunk.missing > 0;
            return;
        }
        if !self.turns.client && chunk.missing == 0 {
            self.find_place(on);
        }
        self.turns.client = true;
        let mut rest = chunk.bytes;
        loop {
            let size = if self.session.phase == Phase::Startup { 4 } else { 5 };
            let then = match self.client.step(&mut rest, size, chunk.time) {
                Step::More => return,
                Step::Part => continue,
                Step::Unparsed(bytes) => {
                    self.turns.suspect |= self.session.owes();
                    unparsed(chunk, bytes, on);
                    return;
                }
                Step::Header(header) => {
                    match self.session.client_header(header) {
                        Ok((length, want)) => self.client.body(length, want, false),
                        Err(kind) => self.lose_client(kind, on),
                    }
                    continue;
                }
                Step::Message(message) => self.session.on_client(&message, chunk.time, on),
            };
            self.client.release();
            self.then(then, on);
        }
    }

    fn server_says(&mut self, chunk: &Chunk<'_>, on: Emit<'_>) {
        if self.server.skip(chunk.missing) {
            self.lose_server(ParseErrorKind::Gap, on);
        }
        if chunk.bytes.is_empty() {
            return;
        }
        self.turns.client = false;
        if chunk.missing > 0 {
            self.tail = Tail::default();
        }
        let mut rest = chunk.bytes;
        loop {
            if self.session.reads_rows() {
                let passed = self.server.pass(&mut rest, |header, there| self.session.row(header, there));
                self.session.passed(chunk.time, passed);
            }
            let size = if self.session.phase == Phase::Encryption { 1 } else { 5 };
            let then = match self.server.step(&mut rest, size, chunk.time) {
                Step::More => return,
                Step::Part => continue,
                Step::Unparsed(bytes) => {
                    self.tail.push(bytes);
                    unparsed(chunk, bytes, on);
                    return;
                }
                Step::Header([answer, ..]) if size == 1 => self.encryption(answer),
                Step::Header(header) => {
                    match self.session.server_header(header) {
                        Ok((length, want)) => self.server.body(length, want, false),
                        Err(kind) => self.lose_server(kind, on),
                    }
                    continue;
                }
                Step::Message(message) => self.session.on_server(&message, chunk.time, on),
            };
            self.server.release();
            self.then(then, on);
        }
    }

    /// The server's one byte on encryption.
    fn encryption(&mut self, answer: u8) -> Then {
        match answer {
            b'S' | b'G' => {
                self.server.body(0, 0, false);
                Then::Leave
            }
            b'N' => {
                self.session.phase = Phase::Startup;
                self.server.body(0, 0, false);
                Then::GoOn
            }
            // An old server's error: a whole message, of which this is the first byte.
            b'E' => {
                self.session.phase = Phase::Startup;
                Then::GoOn
            }
            _ => Then::Refuse(ParseErrorKind::SqlMessage(answer)),
        }
    }

    fn then(&mut self, then: Then, on: Emit<'_>) {
        match then {
            Then::GoOn => {}
            Then::Ready => {
                self.turns.answered(self.session.owes());
            }
            Then::Refuse(kind) => self.lose_server(kind, on),
            Then::RefuseClient(kind) => self.lose_client(kind, on),
            Then::Leave => {
                on(Event::Left);
                self.session.forget();
                self.client.leave(on);
                self.server.leave(on);
            }
        }
    }

    /// The client speaks after the server: where the server is ready for a query, that begins here.
    fn find_place(&mut self, on: Emit<'_>) {
        let ready = if self.server.is_lost() {
            self.tail.ends_ready() || self.turns.rested
        } else {
            self.session.is_ready() && self.server.is_between()
        };
        let lost = self.client.is_lost() || (self.server.is_lost() && self.begins_batch());
        if !lost || !ready || !self.turns.is_new() {
            return;
        }
        self.session.begin_again(on);
        self.client.resume();
        self.server.resume();
        self.tail = Tail::default();
    }

    fn begins_batch(&self) -> bool {
        self.client.is_between() && !self.session.in_batch()
    }

    fn lose_client(&mut self, kind: ParseErrorKind, on: Emit<'_>) {
        self.turns.suspect |= self.session.owes();
        self.client.lose(kind, on);
        self.session.lose_client();
    }

    fn lose_server(&mut self, kind: ParseErrorKind, on: Emit<'_>) {
        self.turns.suspect = false;
        self.tail = Tail::default();
        self.server.lose(kind, on);
        self.session.lose_server(on);
    }
}

impl Parser for Postgres {
    fn feed(&mut self, chunk: Chunk<'_>, on: &mut dyn FnMut(Event<'_>)) {
        self.turns.hear(&chunk);
        match chunk.direction {
            Direction::ToServer => self.client_says(&chunk, on),
            Direction::ToClient => self.server_says(&chunk, on),
        }
    }

    fn close(&mut self, direction: Direction, time: UnixNanos, on: &mut dyn FnMut(Event<'_>)) {
        match direction {
            Direction::ToServer => self.client.close(on),
            Direction::ToClient => {
                self.session.close(time, on);
                self.server.close(on);
            }
        }
    }

    /// Not needed: exchanges are numbered.
    fn realign(&mut self, _in_flight: usize, _on: &mut dyn FnMut(Event<'_>)) {}

    fn held_bytes(&self) -> usize {
        self.client.held_bytes() + self.server.held_bytes() + self.session.held_bytes()
    }
}
