//! Messages of the client.

use std::sync::Arc;

use otlp_core::UnixNanos;

use super::Emit;
use super::session::{Asked, Batch, Kind, Phase, Session, Then};
use crate::parse::ParseErrorKind;
use crate::parse::dialogue::Body;
use crate::parse::frame::{HEADER, Message};
use crate::parse::sql::Operation;
use crate::sql::Statement;

/// Codes in place of a protocol version.
const CANCEL: u32 = 80_877_102;
const TLS: u32 = 80_877_103;
const GSSAPI: u32 = 80_877_104;

/// Bytes of a start-up message at most, as the server has it.
const MAX_STARTUP: u64 = 10_000;
/// Of a start-up message, so many are looked at; of others, so many where they only name things.
const STARTUP: usize = 1024;
const NAMES: usize = 256;
/// What a message may announce: PostgreSQL's own bound.
const MAX_MESSAGE: u64 = 1 << 30;

impl Session {
    /// What follows on a header.
    pub(super) fn body_of_client(&self, header: [u8; HEADER]) -> Result<Body, ParseErrorKind> {
        let [kind, a, b, c, d] = header;
        if self.phase == Phase::Startup {
            let length = u64::from(u32::from_be_bytes([kind, a, b, c]));
            let valid = (8..=MAX_STARTUP).contains(&length);
            let body = Body { length: length.saturating_sub(4), want: STARTUP, part: false };
            return if valid { Ok(body) } else { Err(ParseErrorKind::SqlLength) };
        }
        let want = match kind {
            b'Q' | b'P' => self.limits.statement_bytes(),
            b'B' | b'C' | b'D' | b'E' => NAMES,
            b'F' | b'H' | b'S' | b'X' | b'c' | b'd' | b'f' | b'p' => 0,
            _ => return Err(ParseErrorKind::SqlMessage(kind)),
        };
        body([a, b, c, d], want)
    }

    pub(super) fn take_from_client(&mut self, message: &Message<'_>, time: UnixNanos, on: Emit<'_>) -> Then {
        if self.phase == Phase::Startup {
            return self.startup(message);
        }
        let [kind, ..] = message.header;
        match kind {
            b'Q' => self.query(message, time, on),
            b'F' => {
                let times = (message.start, time);
                let number = self.open(times, Operation::Other("FUNCTION_CALL"), None, on);
                self.batch = Batch::default();
                self.ask(Asked { kind: Kind::Call, number, statement: None, name: None })
            }
            b'S' => self.sync(time, on),
            b'c' | b'f' => {
                self.copying = false;
                Then::GoOn
            }
            b'P' | b'B' | b'D' | b'E' | b'C' => {
                self.batch.begun = true;
                self.batch.since.get_or_insert(message.start);
                match kind {
                    b'P' => self.parse(message),
                    b'B' => self.bind(message),
                    b'D' => self.describe(message),
                    b'E' => self.execute(message, time, on),
                    _ => self.close_one(message),
                }
            }
            _ => Then::GoOn,
        }
    }

    fn startup(&mut self, message: &Message<'_>) -> Then {
        let code = message.body.first_chunk().map_or(0, |code| u32::from_be_bytes(*code));
        match code {
            TLS | GSSAPI => self.phase = Phase::Encryption,
            CANCEL => self.phase = Phase::Running,
            _ if code >> 16 == 3 => {
                self.phase = Phase::Authentication;
                self.namespace = database(message.body.get(4..).unwrap_or_default());
            }
            _ => return Then::RefuseClient(ParseErrorKind::SqlMessage(message.header[0])),
        }
        Then::GoOn
    }

    fn query(&mut self, message: &Message<'_>, time: UnixNanos, on: Emit<'_>) -> Then {
        let mut statement = std::mem::take(&mut self.scratch);
        let (text, _) = text(message.body);
        statement.read_into(text, self.syntax, self.limits.attribute_bytes());
        if message.holed || ["DISCARD", "DEALLOCATE"].iter().any(|word| is(&statement, word)) {
            self.forget_prepared();
        }
        let known = Some(&statement).filter(|_| !message.holed);
        let number = self.open((message.start, time), Operation::Query, known, on);
        self.scratch = statement;
        self.batch = Batch::default();
        self.ask(Asked { kind: Kind::Query, number, statement: None, name: None })
    }

    fn parse(&mut self, message: &Message<'_>) -> Then {
        let (name, behind) = text(message.body);
        let named = behind.is_some();
        let (sql, _) = text(behind.unwrap_or_default());
        let limit = self.limits.attribute_bytes();
        let name: Option<Box<[u8]>> = (!name.is_empty()).then(|| name.into());
        if message.holed || !named {
            // Which name means what is not known any more.
            self.forget_prepared();
            return self.ask(Asked { kind: Kind::Parse, number: 0, statement: None, name: None });
        }
        let statement = if name.is_none() {
            let mut unnamed = self.unnamed.take().unwrap_or_default();
            match Arc::get_mut(&mut unnamed) {
                Some(reused) => reused.read_into(sql, self.syntax, limit),
                None => unnamed = Arc::new(Statement::read(sql, self.syntax, limit)),
            }
            unnamed
        } else {
            let mut statement = Statement::read(sql, self.syntax, limit);
            statement.shrink();
            Arc::new(statement)
        };
        self.batch.prepared = Some(Arc::clone(&statement)).filter(|_| !self.batch.executed);
        if self.is_skipping() {
            return Then::GoOn;
        }
        match &name {
            None => {
                self.unnamed_portal = None;
                self.unnamed = Some(Arc::clone(&statement));
            }
            Some(name) => {
                let other = self.statements.has(name) && self.statements.get(name) != Some(&statement);
                // The name was taken: it is known again when the server agrees.
                let known = Some(Arc::clone(&statement)).filter(|_| !other);
                self.statements.insert(name.clone(), name.len(), known);
            }
        }
        self.ask(Asked { kind: Kind::Parse, number: 0, statement: Some(statement), name })
    }

    fn bind(&mut self, message: &Message<'_>) -> Then {
        let (portal, behind) = text(message.body);
        let (name, end) = text(behind.unwrap_or_default());
        if self.is_skipping() {
            return Then::GoOn;
        }
        if end.is_none() {
            self.forget_portals();
            return self.ask(Asked { kind: Kind::Bind, number: 0, statement: None, name: None });
        }
        let statement =
            if name.is_empty() { self.unnamed.clone() } else { self.statements.get(name).cloned() };
        if portal.is_empty() {
            self.unnamed_portal.clone_from(&statement);
        } else {
            self.portals.insert(portal.into(), portal.len(), statement.clone());
        }
        self.ask(Asked { kind: Kind::Bind, number: 0, statement, name: None })
    }

    fn describe(&mut self, message: &Message<'_>) -> Then {
        let statement = self.named(message.body);
        if self.is_skipping() {
            return Then::GoOn;
        }
        self.ask(Asked { kind: Kind::Describe, number: 0, statement, name: None })
    }

    fn close_one(&mut self, message: &Message<'_>) -> Then {
        if self.is_skipping() {
            return Then::GoOn;
        }
        match message.body.split_first() {
            Some((b'S', rest)) => match text(rest) {
                ([], Some(_)) => self.unnamed = None,
                (name, Some(_)) => self.statements.remove(name),
                (_, None) => self.forget_prepared(),
            },
            Some((_, rest)) => match text(rest) {
                ([], Some(_)) => self.unnamed_portal = None,
                (name, Some(_)) => self.portals.remove(name),
                (_, None) => self.forget_portals(),
            },
            None => self.forget_prepared(),
        }
        self.ask(Asked { kind: Kind::Close, number: 0, statement: None, name: None })
    }

    fn execute(&mut self, message: &Message<'_>, time: UnixNanos, on: Emit<'_>) -> Then {
        let statement = match text(message.body) {
            _ if self.is_skipping() => None,
            ([], Some(_)) => self.unnamed_portal.clone(),
            (portal, Some(_)) => self.portals.get(portal).cloned(),
            (_, None) => None,
        };
        let since = self.batch.since.take().unwrap_or(message.start);
        self.batch.executed = true;
        self.batch.prepared = None;
        let number = self.open((since, time), Operation::Execute, statement.as_deref(), on);
        if statement.as_ref().is_some_and(|one| is(one, "DISCARD") || is(one, "DEALLOCATE")) {
            self.forget_prepared();
        }
        self.ask(Asked { kind: Kind::Execute, number, statement, name: None })
    }

    fn sync(&mut self, time: UnixNanos, on: Emit<'_>) -> Then {
        let batch = std::mem::take(&mut self.batch);
        if self.copying {
            return Then::GoOn;
        }
        let mut number = 0;
        if let Some(statement) = &batch.prepared {
            let since = batch.since.unwrap_or(time);
            number = self.open((since, time), Operation::Prepare, Some(statement), on);
        }
        self.ask(Asked { kind: Kind::Sync, number, statement: None, name: None })
    }

    /// Whether the server passes over what the client sends now.
    fn is_skipping(&self) -> bool {
        self.failed.is_some() && !self.asked.iter().any(|asked| asked.kind == Kind::Sync)
    }

    /// What a `Describe` is about.
    fn named(&mut self, body: &[u8]) -> Option<Arc<Statement>> {
        let (kind, rest) = body.split_first()?;
        match (kind, text(rest)) {
            (_, (_, None)) => None,
            (b'S', ([], _)) => self.unnamed.clone(),
            (b'S', (name, _)) => self.statements.get(name).cloned(),
            (_, ([], _)) => self.unnamed_portal.clone(),
            (_, (name, _)) => self.portals.get(name).cloned(),
        }
    }
}

/// The body, of which so much is wanted, from the length of a message without its type.
pub(super) fn body(length: [u8; 4], want: usize) -> Result<Body, ParseErrorKind> {
    let length = u64::from(u32::from_be_bytes(length));
    let body = Body { length: length.saturating_sub(4), want, part: false };
    if (4..=MAX_MESSAGE).contains(&length) { Ok(body) } else { Err(ParseErrorKind::SqlLength) }
}

/// Bytes up to a zero, and those behind it; all of them, where there is none.
pub(super) fn text(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(0, bytes).and_then(|at| bytes.split_at_checked(at)) {
        Some((text, behind)) => (text, behind.get(1..)),
        None => (bytes, None),
    }
}

/// The database that a start-up message names; without one it is that of the user's name.
fn database(mut parameters: &[u8]) -> Option<Box<str>> {
    let mut user = None;
    while let (name, Some(behind)) = text(parameters)
        && let (value, Some(rest)) = text(behind)
        && !name.is_empty()
    {
        let value = std::str::from_utf8(value).ok();
        match name {
            b"database" => return value.map(Into::into),
            b"user" => user = value,
            _ => {}
        }
        parameters = rest;
    }
    user.map(Into::into)
}

fn is(statement: &Statement, operation: &str) -> bool {
    statement.operation().eq_ignore_ascii_case(operation)
}
