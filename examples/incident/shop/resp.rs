//! RESP2 as the cache speaks it: commands in, replies out, bytes cut anywhere.

pub(crate) mod client;
pub(crate) mod server;

use otlp_core::{Error, ErrorKind};

/// Most words of one command; more is refused.
const MAX_WORDS: usize = 64;
/// Most bytes of one word or of one line; more is refused.
const MAX_WORD_BYTES: usize = 64 << 10;
/// Most bytes of one command or reply, its framing included.
const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// One command: its name and arguments.
pub(crate) type Words = Vec<Vec<u8>>;

/// A reply. Arrays are not needed by what the cache serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// `+OK`
    Simple(&'static str),
    /// `-ERR ...`
    Error(String),
    /// `:1`
    Integer(i64),
    /// `$3 abc`
    Bulk(Vec<u8>),
    /// `$-1`
    Null,
}

/// Cuts a byte stream into commands or replies.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    buffer: Vec<u8>,
}

/// Reads forward in what came so far; `None` means that more must come.
struct Cursor<'buf> {
    bytes: &'buf [u8],
    position: usize,
}

impl Reply {
    /// Appends the reply as it goes over the wire.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Simple(text) => push_line(out, b'+', text.as_bytes()),
            Self::Error(text) => push_line(out, b'-', text.as_bytes()),
            Self::Integer(number) => push_line(out, b':', number.to_string().as_bytes()),
            Self::Bulk(bytes) => push_bulk(out, bytes),
            Self::Null => out.extend_from_slice(b"$-1\r\n"),
        }
    }
}

impl Decoder {
    /// Takes bytes as they came.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// True where every byte was used.
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The next command, or none until more bytes come. Empty lines and empty arrays are skipped, as Redis does.
    ///
    /// # Errors
    /// Malformed or above a limit; the stream cannot be read on.
    pub(crate) fn command(&mut self) -> Result<Option<Words>, Error> {
        loop {
            let mut cursor = Cursor { bytes: &self.buffer, position: 0 };
            let Some(words) = cursor.command()? else { return self.unfinished() };
            let used = cursor.position;
            self.buffer.drain(..used);
            if !words.is_empty() {
                return Ok(Some(words));
            }
        }
    }

    /// The next reply, or none until more bytes come.
    ///
    /// # Errors
    /// Malformed, above a limit, or an array; the stream cannot be read on.
    pub(crate) fn reply(&mut self) -> Result<Option<Reply>, Error> {
        let mut cursor = Cursor { bytes: &self.buffer, position: 0 };
        let Some(reply) = cursor.reply()? else { return self.unfinished() };
        let used = cursor.position;
        self.buffer.drain(..used);
        Ok(Some(reply))
    }

    fn unfinished<T>(&self) -> Result<Option<T>, Error> {
        if self.buffer.len() > MAX_MESSAGE_BYTES {
            return Err(too_much("message", self.buffer.len(), MAX_MESSAGE_BYTES));
        }
        Ok(None)
    }
}

impl<'buf> Cursor<'buf> {
    fn command(&mut self) -> Result<Option<Words>, Error> {
        let Some(line) = self.line()? else { return Ok(None) };
        let Some(count) = line.strip_prefix(b"*") else {
            // What a person types into a plain connection.
            let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            let words: Words = words.map(<[u8]>::to_vec).collect();
            return if words.len() > MAX_WORDS {
                Err(too_much("command", words.len(), MAX_WORDS))
            } else {
                Ok(Some(words))
            };
        };
        let count = length(count, "command", MAX_WORDS)?.unwrap_or(0);
        let mut words = Vec::with_capacity(count);
        for _ in 0..count {
            let Some(line) = self.line()? else { return Ok(None) };
            let bytes =
                line.strip_prefix(b"$").ok_or_else(|| malformed("command: expected a bulk string"))?;
            let bytes = length(bytes, "word", MAX_WORD_BYTES)?
                .ok_or_else(|| malformed("command: null among the words"))?;
            let Some(word) = self.bulk(bytes)? else { return Ok(None) };
            words.push(word.to_vec());
        }
        Ok(Some(words))
    }

    fn reply(&mut self) -> Result<Option<Reply>, Error> {
        let Some(line) = self.line()? else { return Ok(None) };
        let Some((kind, text)) = line.split_first() else { return Err(malformed("reply: empty line")) };
        let text_lossy = || String::from_utf8_lossy(text).into_owned();
        Ok(Some(match kind {
            b'+' if text == b"OK" => Reply::Simple("OK"),
            b'+' if text == b"PONG" => Reply::Simple("PONG"),
            b'+' => Reply::Bulk(text.to_vec()),
            b'-' => Reply::Error(text_lossy()),
            b':' => Reply::Integer(text_lossy().parse().map_err(|_| malformed("reply: not an integer"))?),
            b'$' => {
                let Some(bytes) = length(text, "word", MAX_WORD_BYTES)? else { return Ok(Some(Reply::Null)) };
                let Some(word) = self.bulk(bytes)? else { return Ok(None) };
                Reply::Bulk(word.to_vec())
            }
            _ => return Err(malformed("reply: unknown type")),
        }))
    }

    /// The next line without its end.
    fn line(&mut self) -> Result<Option<&'buf [u8]>, Error> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            return if rest.len() > MAX_WORD_BYTES {
                Err(too_much("line", rest.len(), MAX_WORD_BYTES))
            } else {
                Ok(None)
            };
        };
        self.position += end + 1;
        let line = rest.get(..end).unwrap_or_default();
        Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
    }

    /// The next `bytes` bytes, which a line end must follow.
    fn bulk(&mut self, bytes: usize) -> Result<Option<&'buf [u8]>, Error> {
        let end = self.position + bytes;
        let (Some(word), Some(line_end)) = (self.bytes.get(self.position..end), self.bytes.get(end..end + 2))
        else {
            return Ok(None);
        };
        if line_end != b"\r\n" {
            return Err(malformed("bulk string: longer than it said"));
        }
        self.position = end + 2;
        Ok(Some(word))
    }
}

/// Appends a command as it goes over the wire.
pub(crate) fn encode_command(words: &[&[u8]], out: &mut Vec<u8>) {
    push_line(out, b'*', words.len().to_string().as_bytes());
    for word in words {
        push_bulk(out, word);
    }
}

fn push_line(out: &mut Vec<u8>, kind: u8, text: &[u8]) {
    out.push(kind);
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

fn push_bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    push_line(out, b'$', bytes.len().to_string().as_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// A length; none for the `-1` that means null.
fn length(text: &[u8], what: &str, limit: usize) -> Result<Option<usize>, Error> {
    if text == b"-1" {
        return Ok(None);
    }
    let digits = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let met = digits.and_then(|text| text.parse::<usize>().ok());
    let met = met.ok_or_else(|| malformed("length: not a number"))?;
    if met > limit {
        return Err(too_much(what, met, limit));
    }
    Ok(Some(met))
}

fn malformed(message: &str) -> Error {
    Error::new(ErrorKind::Malformed, message)
}

fn too_much(what: &str, met: usize, limit: usize) -> Error {
    Error::new(ErrorKind::Limit, format!("{what}: {met} exceeds limit {limit}"))
}

#[cfg(test)]
mod tests;
