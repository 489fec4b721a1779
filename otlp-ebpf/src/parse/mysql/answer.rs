//! Answers of the server.

use otlp_core::UnixNanos;

use super::session::{Kind, MORE_RESULTS, Phase, Session, Then};
use super::{Bytes, Emit, FULL, packet};
use crate::parse::ParseErrorKind;
use crate::parse::frame::{HEADER, Message};
use crate::parse::sql::Failure;

/// Where an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Before its first packet, or that of a further result.
    First,
    /// So many definitions of columns are to come.
    Columns(u64),
    /// Before what may end the definitions.
    Defined,
    Rows,
    /// So many definitions of a prepared statement are to come, and so many ends of them.
    Prepared {
        definitions: u32,
        ends: u32,
    },
}

const OK: u8 = 0;
const FILE: u8 = 0xfb;
const END: u8 = 0xfe;
const ERROR: u8 = 0xff;
/// Length of an end-of-file packet without its first byte.
const END_LENGTH: u64 = 4;
/// Status flag: the rows are to be fetched.
const CURSOR: u16 = 0x40;
/// The error number that tells MariaDB's progress, which is no error.
const PROGRESS: u16 = 0xffff;

/// Of an answer's packet, so many bytes are looked at.
const BYTES: usize = 24;

impl Session {
    /// Bytes wanted of a packet that begins with this one.
    pub(super) fn answer_bytes(&self, kind: u8) -> usize {
        match (self.phase, self.state) {
            (Phase::Greeting | Phase::Response, _) => super::login::Login::BYTES,
            (Phase::Command, State::Rows | State::Defined | State::Columns(_) | State::Prepared { .. }) => {
                if matches!(kind, END | ERROR) { BYTES } else { 0 }
            }
            _ => BYTES,
        }
    }

    /// Whether the next packets may be rows or definitions of columns, which need not be looked into.
    pub(super) fn passes(&self) -> bool {
        let passes = matches!(self.state, State::Rows | State::Defined | State::Columns(_));
        passes && self.phase == Phase::Command && !self.asked.is_empty()
    }

    /// Takes a row or a definition, where it is all there; gives its length.
    #[inline]
    pub(super) fn passed_over(&mut self, header: [u8; HEADER], there: usize) -> Option<usize> {
        let [.., sequence, kind] = header;
        let length = packet(header);
        let whole =
            usize::try_from(length).ok().filter(|length| (1..=there.saturating_sub(4)).contains(length));
        let usual = sequence == self.sequence && !matches!(kind, END | ERROR) && length < FULL;
        let length = whole.filter(|_| usual)?;
        self.sequence = sequence.wrapping_add(1);
        self.row_or_definition();
        Some(length + 4)
    }

    /// A packet that ends nothing, of a result whose columns are counted.
    fn row_or_definition(&mut self) {
        match &mut self.state {
            State::Columns(1) => self.state = State::Defined,
            State::Columns(left) => *left = left.saturating_sub(1),
            _ => {
                self.state = State::Rows;
                self.answer.rows(1);
            }
        }
    }

    /// Takes note of so many bytes that were passed over.
    pub(super) fn passed(&mut self, time: UnixNanos, bytes: u64) {
        if bytes > 0 {
            self.answer.message(time, bytes);
        }
    }

    /// Takes a packet that answers the oldest command.
    pub(super) fn advance(&mut self, message: &Message<'_>, time: UnixNanos, on: Emit<'_>) -> Then {
        let [.., kind] = message.header;
        if kind == ERROR {
            return self.error(message, time, on);
        }
        let ends = kind == END && message.length.saturating_add(1) < FULL;
        match self.state {
            State::First => self.first(message, time, on),
            State::Columns(_) if ends => self.end(message, time, on),
            State::Columns(_) => {
                self.row_or_definition();
                Then::GoOn
            }
            State::Defined if ends && message.length == END_LENGTH && self.ends_with_ok != Some(true) => {
                self.ends_with_ok = Some(false);
                self.state = State::Rows;
                self.answer.rows(0);
                let status = Bytes(message.body).end().unwrap_or_default();
                self.status(status);
                if status & CURSOR != 0 { self.answered(time, on) } else { Then::GoOn }
            }
            State::Defined | State::Rows if ends => self.end(message, time, on),
            State::Defined | State::Rows => {
                self.row_or_definition();
                Then::GoOn
            }
            State::Prepared { definitions, ends: ends_left } => {
                let left = if ends {
                    (definitions, ends_left.saturating_sub(1))
                } else {
                    (definitions.saturating_sub(1), ends_left)
                };
                self.state = State::Prepared { definitions: left.0, ends: left.1 };
                if left == (0, 0) { self.answered(time, on) } else { Then::GoOn }
            }
        }
    }

    /// The first packet of an answer or of a further result.
    fn first(&mut self, message: &Message<'_>, time: UnixNanos, on: Emit<'_>) -> Then {
        let [.., kind] = message.header;
        let asked = self.asked.front().map_or(Kind::Simple, |asked| asked.kind);
        if message.holed {
            return Then::Refuse(ParseErrorKind::Gap);
        }
        match (asked, kind) {
            (Kind::Text, _) => self.answered(time, on),
            (Kind::Prepare, OK) => self.prepared(message, time, on),
            (Kind::Results | Kind::Simple | Kind::Login, OK) => {
                let Some((affected, status)) = Bytes(message.body).ok() else {
                    return Then::Refuse(ParseErrorKind::SqlLength);
                };
                self.answer.outcome.affected = Some(affected);
                self.status(status);
                if status & MORE_RESULTS != 0 { Then::GoOn } else { self.answered(time, on) }
            }
            (Kind::Simple, END) => self.end(message, time, on),
            // Another way to log in is asked for, or more of the one chosen.
            (Kind::Login, END | 1) => {
                self.client_continues = true;
                Then::GoOn
            }
            (Kind::Results, FILE) => {
                self.client_continues = true;
                Then::GoOn
            }
            (Kind::Results, _) => self.columns(kind, message),
            _ => Then::Refuse(ParseErrorKind::SqlMessage(kind)),
        }
    }

    /// The count of a result's columns; MariaDB may say behind it that their definitions are known already.
    fn columns(&mut self, kind: u8, message: &Message<'_>) -> Then {
        let mut body = Bytes(message.body);
        let Some(count) = body.number_from(kind).filter(|count| (1..=0xffff).contains(count)) else {
            return Then::Refuse(ParseErrorKind::SqlMessage(kind));
        };
        let known = match body.0 {
            [] | [1] => false,
            [0] => true,
            _ => return Then::Refuse(ParseErrorKind::SqlLength),
        };
        self.answer.rows(0);
        self.state = if known { State::Defined } else { State::Columns(count) };
        Then::GoOn
    }

    fn prepared(&mut self, message: &Message<'_>, time: UnixNanos, on: Emit<'_>) -> Then {
        let mut body = Bytes(message.body);
        let (Some(number), Some(columns), Some(parameters)) = (body.u32(), body.u16(), body.u16()) else {
            return Then::Refuse(ParseErrorKind::SqlLength);
        };
        let statement = self.asked.front_mut().and_then(|asked| asked.statement.take());
        self.statements.insert(number, size_of::<u32>(), statement);
        // Where it is not known whether the definitions have an end of their own, one that comes answers nothing.
        let ends = if self.ends_with_ok == Some(false) {
            u32::from(columns > 0) + u32::from(parameters > 0)
        } else {
            0
        };
        let definitions = u32::from(columns) + u32::from(parameters);
        if definitions == 0 {
            return self.answered(time, on);
        }
        self.state = State::Prepared { definitions, ends };
        Then::GoOn
    }

    /// The end of a result: an OK packet or one of end-of-file, both with the same first byte.
    fn end(&mut self, message: &Message<'_>, time: UnixNanos, on: Emit<'_>) -> Then {
        if message.holed {
            return Then::Refuse(ParseErrorKind::Gap);
        }
        let body = Bytes(message.body);
        let status =
            if message.length == END_LENGTH { body.end() } else { body.ok().map(|(_, status)| status) };
        let Some(status) = status else {
            return Then::Refuse(ParseErrorKind::SqlLength);
        };
        self.status(status);
        if status & MORE_RESULTS != 0 && self.asked.front().is_some_and(|asked| asked.kind == Kind::Results) {
            self.state = State::First;
            return Then::GoOn;
        }
        self.answered(time, on)
    }

    fn error(&mut self, message: &Message<'_>, time: UnixNanos, on: Emit<'_>) -> Then {
        let number = Bytes(message.body).u16();
        if number == Some(PROGRESS) {
            return Then::GoOn;
        }
        self.answer.outcome.failure = Some(number.map_or(Failure::Unread, Failure::Number));
        if let Some(asked) = self.asked.front_mut() {
            asked.uses = None;
        }
        self.answered(time, on)
    }

    /// The oldest command is answered.
    fn answered(&mut self, time: UnixNanos, on: Emit<'_>) -> Then {
        if let Some(asked) = self.asked.pop_front() {
            if let Some(name) = asked.uses {
                self.namespace = Some(name);
            }
            self.answer.complete(asked.number, time, on);
        }
        self.client_continues = false;
        self.begin_answer();
        Then::Answered
    }
}
