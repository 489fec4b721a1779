//! What PostgreSQL and MySQL connections tell alike: commands and outcomes.
//!
//! Statements come without their literals, see [`crate::sql`]: no event holds what a client sent.

use otlp_core::UnixNanos;

use super::{End, Event, Exchange, RequestHead, ResponseHead};
use crate::sql::Statement;

/// Which database answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum System {
    /// PostgreSQL, or what speaks its protocol.
    PostgreSql,
    /// MySQL, or what speaks its protocol.
    MySql,
    /// MariaDB, as its greeting says.
    MariaDb,
}

impl System {
    /// The value of `db.system.name`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PostgreSql => "postgresql",
            Self::MySql => "mysql",
            Self::MariaDb => "mariadb",
        }
    }
}

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Runs the text that comes with it.
    Query,
    /// Prepares a statement.
    Prepare,
    /// Runs a prepared statement.
    Execute,
    /// Anything else, by the name that the protocol gives it.
    Other(&'static str),
}

impl Operation {
    /// Its name, as `db.operation.name` has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Query => "QUERY",
            Self::Prepare => "PREPARE",
            Self::Execute => "EXECUTE",
            Self::Other(name) => name,
        }
    }
}

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Command<'a> {
    /// Which database it is sent to.
    pub system: System,
    /// What it does.
    pub operation: Operation,
    /// The statement, where there is one and it is known: that of a prepared statement is not when it was prepared
    /// before the connection was seen.
    pub statement: Option<&'a Statement>,
    /// The database within the server, as far as it was told.
    pub namespace: Option<&'a str>,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Outcome {
    /// Rows sent to the client, by all of its results; `None` where it gives no rows.
    pub returned: Option<u64>,
    /// Rows changed, of its last result that says so.
    pub affected: Option<u64>,
    /// Why it failed.
    pub failure: Option<Failure>,
}

/// Why a command failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// The server's error, by its SQLSTATE.
    SqlState([u8; 5]),
    /// The server's error, by its number.
    Number(u16),
    /// The server's error; its code could not be read.
    Unread,
    /// Passed over by the server because a command before it had failed.
    Skipped,
}

type Emit<'e> = &'e mut dyn FnMut(Event<'_>);

/// Numbers for the exchanges of a connection whose protocol has none, and what is told of them.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    last: u64,
}

impl Exchanges {
    /// Tells a command that began at `times.0` and ended at `times.1`; gives its number. Where it is `lost` what the server
    /// answers it cannot be followed, which is told too, and its number is 0.
    pub(super) fn open(
        &mut self,
        lost: bool,
        times: (UnixNanos, UnixNanos),
        command: Command<'_>,
        on: Emit<'_>,
    ) -> u64 {
        self.last += 1;
        let exchange = Exchange::Numbered(self.last);
        on(Event::Request { exchange, time: times.0, head: RequestHead::Sql(command) });
        on(Event::RequestEnd { exchange, time: times.1, body_bytes: 0, end: End::Complete });
        if lost {
            Self::lose(self.last, on);
            return 0;
        }
        self.last
    }

    /// Tells that a command cannot be followed.
    pub(super) fn lose(number: u64, on: Emit<'_>) {
        on(Event::Lost { exchange: Exchange::Numbered(number) });
    }
}

/// What has come of an answer so far.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    first_byte: Option<UnixNanos>,
    bytes: u64,
}

impl Answer {
    /// Takes note of a message that is part of it.
    pub(super) fn message(&mut self, start: UnixNanos, bytes: u64) {
        self.first_byte.get_or_insert(start);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// One more row; none, where it is only known that there may be some.
    pub(super) fn rows(&mut self, count: u64) {
        *self.outcome.returned.get_or_insert(0) += count;
    }

    /// Tells the answer, and makes room for the next one.
    pub(super) fn complete(&mut self, number: u64, time: UnixNanos, on: Emit<'_>) {
        let Self { outcome, first_byte, bytes } = std::mem::take(self);
        on(Event::Response {
            exchange: Exchange::Numbered(number),
            first_byte: first_byte.unwrap_or(time),
            time,
            head: ResponseHead::Sql(outcome),
            body_bytes: bytes,
            end: End::Complete,
        });
    }
}
