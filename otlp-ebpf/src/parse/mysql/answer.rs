//! Answers of the server.

use otlp_core::UnixNanos;

use super::session::{Kind, MORE_RESULTS, Phase, Session, Then};
use super::{Bytes, Emit, FULL, FULL_PACKET};
use crate::parse::ParseErrorKind;
use crate::parse::frame::{Framer, HEADER, Message};
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

/// Passes over whole packets whose numbers follow on `sequence`, that end nothing, and that are not the first part of a
/// longer one; gives how many bytes they are, how many packets, and the number that the next one has.
fn usual(bytes: &[u8], mut sequence: u8) -> (usize, u64, u8) {
    let (mut at, mut packets) = (0, 0);
    while let Some([a, b, c, number, kind]) = bytes.get(at..).and_then(|left| left.first_chunk::<HEADER>()) {
        let length = u32::from_le_bytes([*a, *b, *c, 0]);
        let is_usual = *number == sequence && *kind < END && length.wrapping_sub(1) < FULL_PACKET - 1;
        let end = at + 4 + length as usize;
        if !is_usual || end > bytes.len() {
            break;
        }
        at = end;
        sequence = sequence.wrapping_add(1);
        packets += 1;
    }
    (at, packets, sequence)
}

impl Session {
    /// Bytes wanted of a packet that begins with this one.
    #[inline]
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
    #[inline]
    pub(super) fn passes(&self) -> bool {
        let passes = matches!(self.state, State::Rows | State::Defined | State::Columns(_));
        passes && self.phase == Phase::Command && !self.asked.is_empty()
    }

    /// Passes over those that are all there; gives how many bytes they were.
    #[inline]
    pub(super) fn pass_over(&mut self, server: &mut Framer, rest: &mut &[u8]) -> u64 {
        let mut packets = 0;
        let passed = server.pass(rest, |bytes| {
            let passed;
            (passed, packets, self.sequence) = usual(bytes, self.sequence);
            passed
        });
        self.take_packets(packets);
        passed
    }

    /// Takes packets that end nothing, of a result whose columns are counted: definitions of these, then rows.
    #[inline]
    fn take_packets(&mut self, packets: u64) {
        let rows = match self.state {
            State::Columns(left) if packets < left => {
                self.state = State::Columns(left - packets);
                return;
            }
            State::Columns(left) => {
                self.state = State::Defined;
                packets - left
            }
            _ => packets,
        };
        if rows > 0 {
            self.state = State::Rows;
            self.answer.rows(rows);
        }
    }

    /// Takes note of so many bytes that were passed over.
    #[inline]
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
                self.take_packets(1);
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
                self.take_packets(1);
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
