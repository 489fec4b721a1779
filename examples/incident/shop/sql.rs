//! PostgreSQL's protocol, version 3, as the store speaks it: the server's side, simple and extended queries.
//!
//! The client's side is the crate `postgres`. No encryption, no passwords, no cursors, no `COPY`.

pub(crate) mod client;
pub(crate) mod server;

use std::fmt;

use otlp_core::{Error, ErrorKind};

/// Most bytes of a message; more is refused.
const MAX_MESSAGE_BYTES: usize = 64 << 10;
/// Most parameters of a statement.
const MAX_PARAMETERS: usize = 64;

/// Codes that stand where a start-up message has its version.
const CANCEL: u32 = 80_877_102;
const TLS: u32 = 80_877_103;
const GSSAPI: u32 = 80_877_104;

/// What a column or a parameter holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    /// `int4`
    Int,
    /// `text`
    Text,
}

/// A value of one of the types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// `int4`
    Int(i32),
    /// `text`
    Text(String),
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Text = 0,
    Binary = 1,
}

/// Why a statement was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// One of PostgreSQL's codes.
    pub(crate) sqlstate: &'static str,
    /// In words.
    pub(crate) message: String,
}

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Message {
    /// Wants encryption.
    Encryption,
    /// Wants a query of another connection stopped.
    Cancel,
    /// Begins a session; with what the client wants set.
    Startup(Vec<(String, String)>),
    Query(String),
    Parse {
        name: String,
        text: String,
    },
    Bind {
        portal: String,
        statement: String,
        parameters: Vec<Option<Vec<u8>>>,
        formats: Formats,
    },
    Describe {
        statement: bool,
        name: String,
    },
    Execute {
        portal: String,
    },
    Close {
        statement: bool,
        name: String,
    },
    Sync,
    Flush,
    Terminate,
    /// A message that is not served.
    Other(u8),
}

/// How parameters come and how columns are to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Formats {
    parameters: Vec<Format>,
    columns: Vec<Format>,
}

/// Cuts the client's bytes into messages.
#[derive(Debug, Default)]
struct Decoder {
    buffer: Vec<u8>,
    is_started: bool,
}

/// The rest of a message.
struct Body<'a>(&'a [u8]);

impl Type {
    /// PostgreSQL's number for it.
    const fn oid(self) -> u32 {
        match self {
            Self::Int => 23,
            Self::Text => 25,
        }
    }

    const fn size(self) -> i16 {
        match self {
            Self::Int => 4,
            Self::Text => -1,
        }
    }

    /// Reads a value.
    fn read(self, bytes: &[u8], format: Format) -> Result<Value, Refused> {
        let wrong = || Refused::new("22P02", "value is not of its parameter's type");
        let text = || std::str::from_utf8(bytes).map_err(|_| Refused::new("22021", "text is not UTF-8"));
        match (self, format) {
            (Self::Text, _) => Ok(Value::Text(text()?.to_owned())),
            (Self::Int, Format::Text) => text()?.parse().map(Value::Int).map_err(|_| wrong()),
            (Self::Int, Format::Binary) => {
                bytes.try_into().map(|bytes| Value::Int(i32::from_be_bytes(bytes))).map_err(|_| wrong())
            }
        }
    }
}

impl Value {
    fn write(&self, format: Format, out: &mut Vec<u8>) {
        match (self, format) {
            (Self::Int(number), Format::Binary) => push_sized(out, &number.to_be_bytes()),
            (Self::Int(number), Format::Text) => push_sized(out, number.to_string().as_bytes()),
            (Self::Text(text), _) => push_sized(out, text.as_bytes()),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Refused {
    /// A refusal with one of PostgreSQL's codes.
    pub(crate) fn new(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self { sqlstate, message: message.into() }
    }

    /// True where the store is to blame and not whoever asked: it ran out of time or of something else, or broke.
    pub(crate) fn is_server_error(&self) -> bool {
        ["53", "57", "58", "XX"].iter().any(|class| self.sqlstate.starts_with(class))
    }
}

impl Decoder {
    /// Takes bytes as they came.
    fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message, or none until more bytes come.
    ///
    /// # Errors
    /// Malformed or above a limit; the stream cannot be read on.
    fn message(&mut self) -> Result<Option<Message>, Error> {
        let kind_bytes = usize::from(self.is_started);
        let Some(length) = self.buffer.get(kind_bytes..).and_then(<[u8]>::first_chunk) else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length < 4 {
            return Err(malformed("message: shorter than its length"));
        }
        if length > MAX_MESSAGE_BYTES {
            let message = format!("message: {length} bytes exceed limit {MAX_MESSAGE_BYTES}");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let end = kind_bytes + length;
        let Some(bytes) = self.buffer.get(..end) else { return Ok(None) };
        let body = Body(bytes.get(kind_bytes + 4..).unwrap_or_default());
        let message = match bytes.first().filter(|_| self.is_started) {
            Some(kind) => body.message(*kind)?,
            None => body.startup()?,
        };
        self.is_started |= matches!(message, Message::Startup(_));
        self.buffer.drain(..end);
        Ok(Some(message))
    }
}

impl Body<'_> {
    fn startup(mut self) -> Result<Message, Error> {
        match self.u32()? {
            TLS | GSSAPI => return Ok(Message::Encryption),
            CANCEL => return Ok(Message::Cancel),
            version if version >> 16 == 3 => {}
            _ => return Err(malformed("start-up: not version 3 of the protocol")),
        }
        let mut settings = Vec::new();
        loop {
            let name = self.text()?;
            if name.is_empty() {
                return Ok(Message::Startup(settings));
            }
            settings.push((name, self.text()?));
        }
    }

    fn message(mut self, kind: u8) -> Result<Message, Error> {
        Ok(match kind {
            b'Q' => Message::Query(self.text()?),
            b'P' => Message::Parse { name: self.text()?, text: self.text()? },
            b'B' => self.bind()?,
            b'D' => Message::Describe { statement: self.is_statement()?, name: self.text()? },
            b'E' => Message::Execute { portal: self.text()? },
            b'C' => Message::Close { statement: self.is_statement()?, name: self.text()? },
            b'S' => Message::Sync,
            b'H' => Message::Flush,
            b'X' => Message::Terminate,
            other => Message::Other(other),
        })
    }

    fn bind(&mut self) -> Result<Message, Error> {
        let (portal, statement) = (self.text()?, self.text()?);
        let own = self.formats()?;
        let count = self.count()?;
        let mut parameters = Vec::with_capacity(count);
        for _ in 0..count {
            // The length -1 is that of null.
            let length = self.u32()?;
            let length = usize::try_from(length).ok().filter(|_| length != u32::MAX);
            parameters.push(length.map(|length| self.take(length).map(<[u8]>::to_vec)).transpose()?);
        }
        let formats = Formats { parameters: own, columns: self.formats()? };
        Ok(Message::Bind { portal, statement, parameters, formats })
    }

    fn formats(&mut self) -> Result<Vec<Format>, Error> {
        let format = |code| match code {
            0 => Ok(Format::Text),
            1 => Ok(Format::Binary),
            _ => Err(malformed("bind: unknown format")),
        };
        (0..self.count()?).map(|_| format(self.u16()?)).collect()
    }

    fn count(&mut self) -> Result<usize, Error> {
        let count = usize::from(self.u16()?);
        if count > MAX_PARAMETERS {
            let message = format!("bind: {count} parameters exceed limit {MAX_PARAMETERS}");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        Ok(count)
    }

    fn is_statement(&mut self) -> Result<bool, Error> {
        match self.take(1)? {
            b"S" => Ok(true),
            b"P" => Ok(false),
            _ => Err(malformed("message: neither of a statement nor of a portal")),
        }
    }

    fn u16(&mut self) -> Result<u16, Error> {
        Ok(self.take(2)?.iter().fold(0, |number, byte| number << 8 | u16::from(*byte)))
    }

    fn u32(&mut self) -> Result<u32, Error> {
        Ok(self.take(4)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    /// Text up to a zero.
    fn text(&mut self) -> Result<String, Error> {
        let end = self.0.iter().position(|byte| *byte == 0);
        let text = self.take(end.ok_or_else(|| malformed("message: text without an end"))?)?;
        let text = std::str::from_utf8(text).map_err(|_| malformed("message: text is not UTF-8"))?.to_owned();
        self.take(1)?;
        Ok(text)
    }

    fn take(&mut self, length: usize) -> Result<&[u8], Error> {
        let (taken, rest) =
            self.0.split_at_checked(length).ok_or_else(|| malformed("message: ends within a field"))?;
        self.0 = rest;
        Ok(taken)
    }
}

/// Appends a message of the server whose body `write` appends.
fn push(out: &mut Vec<u8>, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let length = u32::try_from(out.len() - length_at).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(length_at..length_at + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

/// Appends a value behind its length.
fn push_sized(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

fn push_u16(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes());
}

fn malformed(message: &str) -> Error {
    Error::new(ErrorKind::Malformed, message)
}

#[cfg(test)]
mod tests;
