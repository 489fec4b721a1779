//! Greeting and authentication. Of the client's answer its flags and the name of a database are read.

use super::session::{Phase, Session, Then};
use super::{Bytes, FULL};
use crate::parse::ParseErrorKind;
use crate::parse::frame::Message;
use crate::parse::sql::System;

/// What the server can, until the client has chosen of it.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Login {
    server: u32,
    /// Packets will be compressed once the server is satisfied.
    pub(super) compresses: bool,
    /// Queries begin with their parameters (MySQL 8.0.23).
    pub(super) attributes: bool,
}

impl Login {
    /// Of a greeting and of the answer to it, so many bytes are looked at.
    pub(super) const BYTES: usize = 1024;
}

const LONG_PASSWORD: u32 = 1;
const CONNECT_WITH_DB: u32 = 1 << 3;
const COMPRESS: u32 = 1 << 5;
const PROTOCOL_41: u32 = 1 << 9;
const TLS: u32 = 1 << 11;
const SECURE_CONNECTION: u32 = 1 << 15;
const LENGTH_OF_AUTHENTICATION: u32 = 1 << 21;
const DEPRECATE_EOF: u32 = 1 << 24;
const ZSTD: u32 = 1 << 26;
const QUERY_ATTRIBUTES: u32 = 1 << 27;

/// The version of the greeting that is known.
const VERSION: u8 = 10;
const ERROR: u8 = 0xff;

impl Session {
    /// The server's first packet.
    pub(super) fn greeting(&mut self, message: &Message<'_>) -> Then {
        let [.., kind] = message.header;
        if kind == ERROR {
            // The server does not want the client; it closes.
            return Then::GoOn;
        }
        let told = capabilities(message.body).filter(|_| kind == VERSION && !message.holed);
        let Some((version, capabilities)) = told else {
            return Then::Refuse(ParseErrorKind::SqlMessage(kind));
        };
        let says_so = version.windows(7).any(|word| word.eq_ignore_ascii_case(b"mariadb"));
        let maria = says_so || capabilities & LONG_PASSWORD == 0;
        self.system = if maria { System::MariaDb } else { System::MySql };
        self.login.server = capabilities;
        self.phase = Phase::Response;
        Then::GoOn
    }

    /// The client's answer to it.
    pub(super) fn respond(&mut self, message: &Message<'_>) -> Then {
        let mut body = Bytes(message.body);
        let Some(client) = body.u32() else {
            return Then::RefuseClient(ParseErrorKind::SqlLength);
        };
        let both = client & self.login.server;
        if client & TLS != 0 || client & PROTOCOL_41 == 0 {
            return Then::Leave;
        }
        self.login.compresses = both & (COMPRESS | ZSTD) != 0;
        self.login.attributes = both & QUERY_ATTRIBUTES != 0;
        self.ends_with_ok = Some(both & DEPRECATE_EOF != 0);
        let complete = !message.holed && message.length < FULL;
        self.namespace = database(body, client).filter(|_| complete && client & CONNECT_WITH_DB != 0);
        self.phase = Phase::Authentication;
        Then::GoOn
    }

    /// What the server says until it is satisfied.
    pub(super) fn authentication(&mut self, message: &Message<'_>) -> Then {
        let [.., kind] = message.header;
        match kind {
            0 => {
                self.phase = Phase::Command;
                if let Some((_, status)) = Bytes(message.body).ok() {
                    self.status(status);
                }
                if self.login.compresses { Then::Leave } else { Then::GoOn }
            }
            // An error: the server closes.
            ERROR | 1 | 0xfe => Then::GoOn,
            _ => Then::Refuse(ParseErrorKind::SqlMessage(kind)),
        }
    }
}

/// The version that a greeting names, and the flags in it.
fn capabilities(greeting: &[u8]) -> Option<(&[u8], u32)> {
    let mut body = Bytes(greeting);
    let version = body.text();
    // The connection's number, half of a challenge, a zero.
    body.take(4 + 8 + 1)?;
    let low = body.u16()?;
    // Character set and status come between.
    let high = body.take(3).and_then(|_| body.u16()).unwrap_or(0);
    Some((version, u32::from(high) << 16 | u32::from(low)))
}

/// The database that the client's answer names behind the user and what proves it.
fn database(mut body: Bytes<'_>, client: u32) -> Option<Box<str>> {
    // The largest packet, character set, reserved.
    body.take(4 + 1 + 23)?;
    body.text();
    let proof = if client & LENGTH_OF_AUTHENTICATION != 0 {
        usize::try_from(body.number()?).ok()?
    } else if client & SECURE_CONNECTION != 0 {
        usize::from(body.u8()?)
    } else {
        memchr::memchr(0, body.0)? + 1
    };
    body.take(proof)?;
    name(body.text())
}

/// The name of a database, where it is text and not empty.
pub(super) fn name(bytes: &[u8]) -> Option<Box<str>> {
    std::str::from_utf8(bytes).ok().filter(|name| !name.is_empty()).map(Into::into)
}
