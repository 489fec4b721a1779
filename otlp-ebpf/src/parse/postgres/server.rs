//! Messages of the server.

use otlp_core::UnixNanos;

use super::Emit;
use super::client::{body, text};
use super::session::{Asked, Kind, Phase, Session, Then};
use crate::parse::ParseErrorKind;
use crate::parse::dialogue::{Body, Head};
use crate::parse::frame::{Framer, HEADER, Message};
use crate::parse::sql::Failure;
use crate::sql::Backslash;

/// Bytes of an error that are looked at: its code comes behind its severity, which has two fields.
const ERROR: usize = 128;
const TAG: usize = 64;

impl Session {
    /// What follows on a header.
    pub(super) fn body_of_server(&mut self, header: [u8; HEADER]) -> Result<Body, ParseErrorKind> {
        let [kind, length @ ..] = header;
        let want = match kind {
            b'E' => ERROR,
            b'C' | b'S' => TAG,
            b'Z' => 1,
            b'1'..=b'3' | b'A' | b'D' | b'G' | b'H' | b'I' | b'K' | b'N' | b'R' | b'T' | b'V' | b'W' => 0,
            b'c' | b'd' | b'n' | b's' | b't' | b'v' => 0,
            _ => return Err(ParseErrorKind::SqlMessage(kind)),
        };
        self.ready = false;
        body(length, want)
    }

    /// Whether the next messages may be rows, which need not be looked into.
    pub(super) fn reads_rows(&self) -> bool {
        let rows = self.asked.front().is_some_and(|front| matches!(front.kind, Kind::Query | Kind::Execute));
        rows && self.phase == Phase::Running
    }

    /// Passes over rows that are all there, and counts them; gives how many bytes they were.
    pub(super) fn pass_over(&mut self, server: &mut Framer, rest: &mut &[u8]) -> u64 {
        let mut rows = 0;
        let passed = server.pass(rest, |bytes| {
            let mut at = 0;
            while let Some([b'D', length @ ..]) =
                bytes.get(at..).and_then(|left| left.first_chunk::<HEADER>())
                && let Some(end) = usize::try_from(u32::from_be_bytes(*length)).ok().and_then(|length| {
                    let end = at.checked_add(length)?.checked_add(1)?;
                    (length >= HEADER - 1 && end <= bytes.len()).then_some(end)
                })
            {
                at = end;
                rows += 1;
            }
            at
        });
        if rows > 0 {
            self.answer.rows(rows);
        }
        passed
    }

    /// Takes note of so many bytes of rows.
    pub(super) fn passed(&mut self, time: UnixNanos, bytes: u64) {
        if bytes > 0 {
            self.ready = false;
            self.answer.message(time, bytes);
        }
    }

    /// The server's one byte on encryption.
    pub(super) fn encryption(&mut self, answer: u8) -> Result<Head, ParseErrorKind> {
        match answer {
            b'S' | b'G' => Ok(Head::Alone(Then::Leave)),
            b'N' => {
                self.phase = Phase::Startup;
                Ok(Head::Alone(Then::GoOn))
            }
            // An old server's error: a whole message, of which this is the first byte.
            b'E' => {
                self.phase = Phase::Startup;
                Ok(Head::Longer)
            }
            _ => Err(ParseErrorKind::SqlMessage(answer)),
        }
    }

    pub(super) fn take_from_server(&mut self, message: &Message<'_>, time: UnixNanos, on: Emit<'_>) -> Then {
        let [kind, ..] = message.header;
        match kind {
            b'A' | b'K' | b'N' | b'R' | b'v' => Then::GoOn,
            b'S' => {
                self.parameter(message);
                Then::GoOn
            }
            b'Z' => self.ready(message, time, on),
            _ if self.phase != Phase::Running || self.asked.is_empty() => Then::GoOn,
            _ => {
                self.answer.message(message.start, message.length.saturating_add(5));
                match kind {
                    b'E' => {
                        self.error(sqlstate(message), time, on);
                        Then::GoOn
                    }
                    _ => self.advance(kind, message, time, on),
                }
            }
        }
    }

    /// Some settings are told as they change.
    fn parameter(&mut self, message: &Message<'_>) {
        if message.holed {
            self.syntax.backslash = Backslash::Unknown;
        } else if let Some(value) = message.body.strip_prefix(b"standard_conforming_strings\0") {
            let on = value.starts_with(b"on\0");
            self.syntax.backslash = if on { Backslash::Plain } else { Backslash::Escapes };
        }
    }

    /// Takes a message that answers the oldest of what was asked.
    fn advance(&mut self, kind: u8, message: &Message<'_>, time: UnixNanos, on: Emit<'_>) -> Then {
        let Some(front) = self.asked.front() else { return Then::GoOn };
        match (kind, front.kind) {
            (b'1', Kind::Parse) => self.parsed(),
            (b'2', Kind::Bind) | (b'3', Kind::Close) | (b'T' | b'n', Kind::Describe) => self.step(),
            (b't', Kind::Describe) | (b'V', Kind::Call) => {}
            (b'T', Kind::Query | Kind::Execute) => self.answer.rows(0),
            (b'D', Kind::Query | Kind::Execute) => self.answer.rows(1),
            (b'C', Kind::Query) => self.tag(message),
            (b'I' | b'G', Kind::Query) => {}
            (b'H' | b'W' | b'c' | b'd', Kind::Query | Kind::Execute) => {}
            (b'C', Kind::Execute) => {
                if message.body.starts_with(b"SELECT ") {
                    self.answer.rows(0);
                }
                self.tag(message);
                self.answered(time, on);
            }
            (b'I' | b's', Kind::Execute) => self.answered(time, on),
            (b'G', Kind::Execute) => {
                // The server passes over what was sent along with it.
                while self.asked.get(1).is_some_and(|next| next.kind == Kind::Sync && next.number == 0) {
                    self.asked.remove(1);
                }
                self.copying = true;
            }
            _ => return Then::Refuse(ParseErrorKind::SqlMessage(kind)),
        }
        Then::GoOn
    }

    /// The oldest is done, and is no exchange.
    fn step(&mut self) {
        self.asked.pop_front();
    }

    fn parsed(&mut self) {
        if let Some(Asked { name: Some(name), statement: Some(statement), .. }) = self.asked.pop_front()
            && self.statements.has(&name)
            && self.statements.get(&name).is_none()
        {
            let length = name.len();
            self.statements.insert(name, length, Some(statement));
        }
    }

    /// The oldest is done and answered.
    fn answered(&mut self, time: UnixNanos, on: Emit<'_>) {
        self.copying = false;
        if let Some(asked) = self.asked.pop_front() {
            self.answer.complete(asked.number, time, on);
        }
    }

    /// The last number of a tag counts rows: `INSERT 0 5`, `SELECT 3`.
    fn tag(&mut self, message: &Message<'_>) {
        let (tag, _) = text(message.body);
        let digits = tag.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
        let count = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        let selects = tag.starts_with(b"SELECT ") || tag.starts_with(b"FETCH ");
        if let Some(count) = count.filter(|_| !selects && !message.holed) {
            self.answer.outcome.affected = Some(count);
        }
    }

    fn error(&mut self, failure: Failure, time: UnixNanos, on: Emit<'_>) {
        let Some(front) = self.asked.front() else { return };
        self.answer.outcome.failure.get_or_insert(failure);
        if front.kind.ends() {
            return;
        }
        self.failed = Some(failure);
        self.copying = false;
        let failing = front.kind;
        let about = front.statement.clone();
        let batch = self.asked.iter_mut().take_while(|asked| asked.kind != Kind::Sync);
        // What failed on the way to an execution is that execution's failure, if it is of the same statement.
        let mut execution = batch.filter(|asked| asked.kind == Kind::Execute && asked.number != 0);
        let same = |asked: &Asked| match (&asked.statement, &about) {
            (Some(one), Some(other)) => std::sync::Arc::ptr_eq(one, other),
            _ => false,
        };
        if let Some(asked) = execution.find(|asked| failing == Kind::Execute || same(asked)) {
            self.answer.complete(std::mem::take(&mut asked.number), time, on);
        } else {
            self.answer = Default::default();
        }
        self.undo();
    }

    /// What the failed batch prepared is not there, or not known to be.
    fn undo(&mut self) {
        self.forget_portals();
        for asked in self.asked.iter().take_while(|asked| asked.kind != Kind::Sync) {
            match (&asked.name, asked.kind) {
                (Some(name), Kind::Parse) => self.statements.remove(name),
                (None, Kind::Parse) => self.unnamed = None,
                _ => {}
            }
        }
    }

    /// The server is ready: what was asked up to here is done.
    fn ready(&mut self, message: &Message<'_>, time: UnixNanos, on: Emit<'_>) -> Then {
        if self.phase != Phase::Running {
            self.phase = Phase::Running;
            self.ready = true;
            return Then::Answered;
        }
        let refused = self.asked.front().is_some_and(|front| !front.kind.ends()) && self.failed.is_none();
        if refused {
            return Then::Refuse(ParseErrorKind::SqlMessage(b'Z'));
        }
        let failed = self.failed.take();
        while let Some(asked) = self.asked.pop_front() {
            if asked.number != 0 {
                if asked.kind == Kind::Sync {
                    self.answer.outcome.failure = self.answer.outcome.failure.or(failed);
                } else if !asked.kind.ends() || failed.is_some() {
                    self.answer = Default::default();
                    self.answer.outcome.failure = Some(Failure::Skipped);
                }
                self.answer.complete(asked.number, time, on);
            }
            // In a failed batch only `Sync` counts.
            if asked.kind == Kind::Sync || (asked.kind.ends() && failed.is_none()) {
                break;
            }
        }
        self.answer = Default::default();
        self.ready = true;
        self.copying = false;
        if self.asked.is_empty() && message.body == b"I" {
            self.forget_portals();
        }
        Then::Answered
    }
}

/// The code of an error: a field of five letters and digits.
fn sqlstate(message: &Message<'_>) -> Failure {
    let mut rest = message.body;
    while let Some((kind, behind)) = rest.split_first() {
        let (value, Some(next)) = text(behind) else { break };
        match <[u8; 5]>::try_from(value) {
            Ok(code) if *kind == b'C' && code.iter().all(u8::is_ascii_alphanumeric) => {
                return Failure::SqlState(code);
            }
            _ => rest = next,
        }
    }
    Failure::Unread
}
