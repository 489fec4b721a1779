//! What both directions of a connection know.

use std::collections::VecDeque;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use otlp_core::UnixNanos;

use super::answer::State;
use super::login::Login;
use super::{Bytes, Emit, FULL, packet};
use crate::limits::Limits;
use crate::parse::ParseErrorKind;
pub(super) use crate::parse::dialogue::Then;
use crate::parse::dialogue::{self, Body, Head, Sides};
use crate::parse::frame::{Framer, HEADER, Message};
use crate::parse::prepared::Prepared;
use crate::parse::spread::Spread;
use crate::parse::sql::{Answer, Command, Exchanges, Operation, System};
use crate::sql::{Backslash, Dialect, Statement, Syntax};

#[derive(Debug)]
pub(super) struct Session {
    pub(super) limits: Limits,
    pub(super) phase: Phase,
    pub(super) login: Login,
    pub(super) syntax: Syntax,
    pub(super) system: System,
    pub(super) namespace: Option<Box<str>>,
    /// What was asked and is not answered yet, oldest first.
    pub(super) asked: VecDeque<Asked>,
    pub(super) exchanges: Exchanges,
    pub(super) state: State,
    pub(super) answer: Answer,
    /// By the number that the server gave it.
    pub(super) statements: Prepared<u32, BuildHasherDefault<Spread>>,
    /// The statement prepared last: MariaDB lets the number −1 stand for it.
    pub(super) last_prepared: Option<Arc<Statement>>,
    /// The statement of the last query; kept for its memory.
    pub(super) scratch: Statement,
    /// The number that the server's next packet is to have.
    pub(super) sequence: u8,
    /// The number of the client's last packet.
    pub(super) client_sequence: u8,
    /// The server waits for a file, or for more of a login, of the client.
    pub(super) client_continues: bool,
    /// Whether result sets end with an OK packet, once it is known.
    pub(super) ends_with_ok: Option<bool>,
    /// What the server answers cannot be told.
    pub(super) lost: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Before the server's greeting.
    Greeting,
    /// Before the client's answer to it.
    Response,
    /// Until the server is satisfied.
    Authentication,
    Command,
}

/// A command that the server answers.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) number: u64,
    pub(super) kind: Kind,
    /// The number of its last packet.
    pub(super) sequence: u8,
    /// What it prepares.
    pub(super) statement: Option<Arc<Statement>>,
    /// The database that is used once it is answered.
    pub(super) uses: Option<Box<str>>,
}

/// How a command is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// OK, an error, or result sets.
    Results,
    /// Rows and their end.
    Rows,
    /// What describes a prepared statement.
    Prepare,
    /// Definitions of columns and their end.
    Columns,
    /// OK, end of file, or an error.
    Simple,
    /// One packet of text.
    Text,
    /// A login.
    Login,
}

/// Status flag: another result follows.
pub(super) const MORE_RESULTS: u16 = 0x08;
/// Status flag: a backslash is a character as any other.
const NO_BACKSLASH_ESCAPES: u16 = 0x200;

impl Session {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            phase: Phase::Greeting,
            login: Login::default(),
            syntax: Syntax::new(Dialect::MySql),
            system: System::MySql,
            namespace: None,
            asked: VecDeque::new(),
            exchanges: Exchanges::default(),
            state: State::First,
            answer: Answer::default(),
            statements: Prepared::new(limits.prepared_bytes()),
            last_prepared: None,
            scratch: Statement::default(),
            sequence: 0,
            client_sequence: 0,
            client_continues: false,
            ends_with_ok: None,
            lost: false,
            limits,
        }
    }

    /// Whether what follows is known to be commands. Where some of the login was missed it may be encrypted.
    pub(super) fn is_plain(&self) -> bool {
        let authenticated = self.phase == Phase::Authentication && !self.login.compresses;
        authenticated || self.phase == Phase::Command
    }

    /// Begins in the middle.
    pub(super) const fn begin_late(&mut self) {
        self.phase = Phase::Command;
        self.lost = true;
        self.syntax.backslash = Backslash::Unknown;
    }

    /// Begins the exchange of a command; 0 where its answer could not be told.
    pub(super) fn open(
        &mut self,
        times: (UnixNanos, UnixNanos),
        operation: Operation,
        statement: Option<&Statement>,
        on: Emit<'_>,
    ) -> u64 {
        let namespace = self.namespace.as_deref();
        let command = Command { system: self.system, operation, statement, namespace };
        self.exchanges.open(self.lost, times, command, on)
    }

    /// Begins the exchange of a command that runs the statement of this number.
    pub(super) fn execute(
        &mut self,
        number: Option<u32>,
        times: (UnixNanos, UnixNanos),
        operation: Operation,
        on: Emit<'_>,
    ) -> u64 {
        let Self { statements, last_prepared, namespace, system, .. } = self;
        let statement = match number {
            Some(u32::MAX) => last_prepared.as_ref(),
            Some(number) => statements.get(&number),
            None => None,
        };
        let statement = statement.map(AsRef::as_ref);
        let command = Command { system: *system, operation, statement, namespace: namespace.as_deref() };
        self.exchanges.open(self.lost, times, command, on)
    }

    /// Waits for the answer to a command.
    #[inline]
    pub(super) fn ask(&mut self, asked: Asked) -> Then {
        if self.lost {
            return Then::GoOn;
        }
        self.asked.push_back(asked);
        if self.asked.len() == 1 {
            self.begin_answer();
        }
        let limit = self.limits.in_flight();
        if self.asked.len() <= limit {
            return Then::GoOn;
        }
        Then::Refuse(ParseErrorKind::Limit { what: "in_flight", limit: crate::parse::frame::wide(limit) })
    }

    /// What comes next answers the oldest command.
    #[inline]
    pub(super) fn begin_answer(&mut self) {
        self.answer = Answer::default();
        if let Some(front) = self.asked.front() {
            self.sequence = front.sequence.wrapping_add(1);
            self.state = match front.kind {
                Kind::Rows => State::Rows,
                Kind::Columns => State::Columns(u64::MAX),
                _ => State::First,
            };
        }
    }

    /// Takes note of status flags.
    pub(super) fn status(&mut self, flags: u16) {
        let plain = flags & NO_BACKSLASH_ESCAPES != 0;
        self.syntax.backslash = if plain { Backslash::Plain } else { Backslash::Escapes };
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.statements.held_bytes()
            + self.last_prepared.as_ref().map_or(0, |statement| statement.held_bytes())
            + self.scratch.held_bytes()
            + self.asked.capacity() * size_of::<Asked>()
    }
}

impl dialogue::Session for Session {
    /// For a command with its first byte.
    #[inline]
    fn client_header_size(&self, client: &Framer) -> usize {
        let command = self.phase == Phase::Command && !self.client_continues && !client.is_part();
        if command { HEADER } else { HEADER - 1 }
    }

    #[inline]
    fn client_header(&mut self, header: [u8; HEADER], part: bool) -> Result<Body, ParseErrorKind> {
        let [.., sequence, command] = header;
        let length = packet(header);
        let body = |want| Ok(Body { length, want, part: length == FULL });
        if part {
            let expected = self.client_sequence.wrapping_add(1);
            self.client_sequence = sequence;
            return if sequence == expected { body(0) } else { Err(ParseErrorKind::SqlSequence) };
        }
        self.client_sequence = sequence;
        match self.phase {
            Phase::Command if self.client_continues => body(0),
            Phase::Command => {
                if sequence != 0 {
                    return Err(ParseErrorKind::SqlSequence);
                }
                let rest = length.checked_sub(1).ok_or(ParseErrorKind::SqlLength)?;
                let want = self.command_bytes(command).ok_or(ParseErrorKind::SqlMessage(command))?;
                Ok(Body { length: rest, want, part: length == FULL })
            }
            Phase::Response => body(Login::BYTES),
            Phase::Greeting | Phase::Authentication => body(0),
        }
    }

    #[inline]
    fn on_client(&mut self, message: &Message<'_>, time: UnixNanos, on: Emit<'_>) -> Then {
        match self.phase {
            Phase::Command if self.client_continues => {
                // A file ends with an empty packet, a login goes on after each.
                let login = self.asked.front().is_some_and(|asked| asked.kind == Kind::Login);
                self.client_continues = !login && message.length > 0;
                self.sequence = self.client_sequence.wrapping_add(1);
                Then::GoOn
            }
            Phase::Command => self.command(message, time, on),
            Phase::Response => self.respond(message),
            Phase::Greeting | Phase::Authentication => Then::GoOn,
        }
    }

    #[inline]
    fn server_header_size(&self, server: &Framer) -> usize {
        if server.is_part() { HEADER - 1 } else { HEADER }
    }

    #[inline]
    fn server_header(&mut self, header: [u8; HEADER], part: bool) -> Result<Head, ParseErrorKind> {
        let [.., sequence, kind] = header;
        let length = packet(header);
        if self.phase == Phase::Command && !self.asked.is_empty() {
            if sequence != self.sequence {
                return Err(ParseErrorKind::SqlSequence);
            }
            self.sequence = sequence.wrapping_add(1);
        }
        let follows = length == FULL;
        if part {
            return Ok(Head::Of(Body { length, want: 0, part: follows }));
        }
        let length = length.checked_sub(1).ok_or(ParseErrorKind::SqlLength)?;
        Ok(Head::Of(Body { length, want: self.answer_bytes(kind), part: follows }))
    }

    #[inline]
    fn on_server(&mut self, message: &Message<'_>, time: UnixNanos, on: Emit<'_>) -> Then {
        match self.phase {
            Phase::Greeting => self.greeting(message),
            Phase::Response | Phase::Authentication => self.authentication(message),
            Phase::Command if self.asked.is_empty() => Then::GoOn,
            Phase::Command => {
                self.answer.message(message.start, message.length.saturating_add(5));
                self.advance(message, time, on)
            }
        }
    }

    /// Rows, and definitions of columns.
    #[inline]
    fn pass(&mut self, server: &mut Framer, rest: &mut &[u8], time: UnixNanos) {
        if self.passes() {
            let passed = self.pass_over(server, rest);
            self.passed(time, passed);
        }
    }

    fn unparsed(&mut self, _bytes: &[u8], _holed: bool) {}

    #[inline]
    fn owes(&self) -> bool {
        !self.asked.is_empty() && !self.client_continues
    }

    fn finds_place(&self, Sides { client, server, .. }: &Sides) -> bool {
        let answered = server.is_lost() || (!self.owes() && server.is_between());
        let lost = client.is_lost() || (server.is_lost() && client.is_between());
        lost && answered && self.is_plain()
    }

    fn begin_again(&mut self, on: Emit<'_>) {
        self.lose_server(on);
        self.lost = false;
        self.phase = Phase::Command;
    }

    /// The statement prepared last may be another, and so may the database.
    fn lose_client(&mut self) {
        self.last_prepared = None;
        self.namespace = None;
        self.syntax.backslash = Backslash::Unknown;
    }

    fn lose_server(&mut self, on: Emit<'_>) {
        self.lost = true;
        for asked in self.asked.drain(..) {
            // Whether it was done is not known.
            if asked.uses.is_some() {
                self.namespace = None;
            }
            if asked.kind == Kind::Login {
                self.statements.clear();
            }
            Exchanges::lose(asked.number, on);
        }
        self.last_prepared = None;
        self.client_continues = false;
        self.answer = Answer::default();
        self.state = State::First;
        self.syntax.backslash = Backslash::Unknown;
    }

    fn forget(&mut self) {
        self.statements.clear();
        self.last_prepared = None;
        self.asked = VecDeque::new();
        self.scratch = Statement::default();
    }
}

impl Bytes<'_> {
    /// The numbers and flags of an OK packet behind its first byte.
    pub(super) fn ok(mut self) -> Option<(u64, u16)> {
        let affected = self.number()?;
        self.number()?;
        Some((affected, self.u16()?))
    }

    /// The flags of an end-of-file packet behind its first byte.
    pub(super) fn end(mut self) -> Option<u16> {
        self.u16()?;
        self.u16()
    }
}
