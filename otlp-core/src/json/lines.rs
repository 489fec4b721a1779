//! The OTLP file format ("OpenTelemetry Protocol File Exporter"): one request in JSON a line.

use std::io::{self, BufRead};

use super::out::Out;
use super::scan::Scanner;
use super::{Reading, most_depth};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::limits::Limits;
use crate::protocol::Signal;

/// Appends the request `wire` as one line to `file`.
///
/// ```
/// use otlp_core::json;
/// use otlp_core::protocol::Signal;
/// use otlp_core::{DecodeError, Limits};
/// let mut file = Vec::new();
/// json::write_line(Signal::Logs, b"\x0a\x00", &Limits::default(), &mut file)?;
/// assert_eq!(file, b"{\"resourceLogs\":[{}]}\n");
/// # Ok::<(), DecodeError>(())
/// ```
///
/// # Errors
/// As [`write`](super::write); `file` then is as it was.
pub fn write_line(
    signal: Signal,
    wire: &[u8],
    limits: &Limits,
    file: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    super::write(signal, wire, limits, file)?;
    file.push(b'\n');
    Ok(())
}

/// Reads requests of any signal from a file of lines; which signal a line is of, its first known name says.
///
/// A bad line is told with its number and offset, and reading goes on behind it. Empty lines are passed over.
/// No more than one line is held, of at most [`Limits::message_bytes`].
///
/// ```
/// use otlp_core::Limits;
/// use otlp_core::json::{JsonLines, Reading};
/// use otlp_core::protocol::Signal;
///
/// let file = b"{\"resourceSpans\":[]}\n{\"resourceSpans\":7}\n{\"resourceLogs\":[{}]}\n";
/// let mut lines = JsonLines::new(file.as_slice(), Reading::Strict, Limits::default());
/// let mut wire = Vec::new();
/// assert_eq!(lines.next_request(&mut wire)?, Some(Ok(Signal::Traces)));
/// let bad = lines.next_request(&mut wire)?.and_then(Result::err).ok_or("accepted")?;
/// assert_eq!(bad.to_string(), "line 2: expected an array, met a number at byte 17");
/// assert_eq!(lines.next_request(&mut wire)?, Some(Ok(Signal::Logs)));
/// assert_eq!(wire, b"\x0a\x00");
/// assert_eq!(lines.next_request(&mut wire)?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct JsonLines<R> {
    input: R,
    reading: Reading,
    limits: Limits,
    line: Vec<u8>,
    number: u64,
    offset: u64,
}

/// A line that is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct BadLine {
    /// Number of the line, from 1 on.
    pub line: u64,
    /// Offset of the line's first byte from the start of the file.
    pub offset: u64,
    /// Why it was refused, with the offset within the line.
    pub reason: DecodeError,
}

impl<R: BufRead> JsonLines<R> {
    /// Starts at the first line of `input`.
    pub const fn new(input: R, reading: Reading, limits: Limits) -> Self {
        Self { input, reading, limits, line: Vec::new(), number: 0, offset: 0 }
    }

    /// Reads the next request to `wire`, whose former content goes; none at the end of the file.
    ///
    /// # Errors
    /// Where the input fails; a bad line is a value, not an error.
    pub fn next_request(&mut self, wire: &mut Vec<u8>) -> io::Result<Option<Result<Signal, BadLine>>> {
        wire.clear();
        loop {
            let offset = self.offset;
            let Some(len) = self.next_line()? else { return Ok(None) };
            let text = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
            if len == text.len() && text.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let result = match too_long(len, &self.limits) {
                Some(error) => Err(error),
                None => read_any(text, self.reading, &self.limits, wire),
            };
            return Ok(Some(result.map_err(|reason| BadLine { line: self.number, offset, reason })));
        }
    }

    /// Takes the next line, and of one that is too long the front; gives its whole length.
    fn next_line(&mut self) -> io::Result<Option<usize>> {
        self.line.clear();
        let mut len = 0;
        loop {
            let block = self.input.fill_buf()?;
            if block.is_empty() {
                if len == 0 {
                    return Ok(None);
                }
                break;
            }
            let end = block.iter().position(|byte| *byte == b'\n');
            let part = block.get(..end.unwrap_or(block.len())).unwrap_or_default();
            let room = self.limits.message_bytes().saturating_sub(self.line.len());
            self.line.extend_from_slice(part.get(..room).unwrap_or(part));
            let taken = part.len() + usize::from(end.is_some());
            len += part.len();
            self.input.consume(taken);
            self.offset += taken as u64;
            if end.is_some() {
                break;
            }
        }
        self.number += 1;
        Ok(Some(len))
    }
}

fn too_long(len: usize, limits: &Limits) -> Option<DecodeError> {
    let most = limits.message_bytes();
    (len > most).then(|| super::limit("max_message_bytes", len, most, most))
}

/// Reads a request of whichever signal it is.
fn read_any(
    text: &[u8],
    reading: Reading,
    limits: &Limits,
    wire: &mut Vec<u8>,
) -> Result<Signal, DecodeError> {
    let signal = signal(text, reading, limits)?;
    super::read(signal, text, reading, limits, wire)?;
    Ok(signal)
}

/// The signal of a JSON request, which the first name in it that belongs to one says.
fn signal(text: &[u8], reading: Reading, limits: &Limits) -> Result<Signal, DecodeError> {
    let mut buf = Vec::new();
    let mut out = Out::new(&mut buf);
    let mut scan = Scanner::new(text);
    scan.mark(b'{', "an object")?;
    let offset = scan.offset();
    while scan.peek() == Some(b'"') {
        scan.string(&mut out, "a name")?;
        let name = out.written(0);
        let named = |signal: &Signal| {
            super::Body::Request(*signal).schema().fields.iter().any(|field| {
                field.key.name() == name || reading == Reading::Lenient && field.name.as_bytes() == name
            })
        };
        if let Some(signal) = Signal::ALL.into_iter().find(named) {
            return Ok(signal);
        }
        out.back_to(0);
        scan.mark(b':', "':'")?;
        scan.skip(most_depth(limits), &mut out)?;
        if !scan.another(b'}', "',' or '}'")? {
            break;
        }
    }
    Err(DecodeError::new(offset, DecodeErrorKind::Invalid("no name that tells the signal")))
}
