//! The event log: what a capture saw of its connections, to be followed again.
//!
//! A log is a header and records, one after the other; numbers are little-endian.
//!
//! | bytes of the header | what |
//! |---|---|
//! | 0..8 | `89 4f 45 4c 0d 0a 1a 0a`: no text, and damaged by transfers that take it for one |
//! | 8..10 | version: 1 |
//! | 10..12 | zero |
//! | 12..16 | CRC32C of bytes 0..12 |
//!
//! | bytes of a record | what |
//! |---|---|
//! | 0..4 | bytes of its body |
//! | 4..8 | CRC32C of bytes 0..4 and the body |
//! | 8.. | the body: one byte of kind, then what [`Record`] says of it |
//!
//! Where a log ends within a record (whoever wrote it was killed) or a record is damaged, reading ends and
//! [`LogReader::tail`] says where and why. Records of a kind unknown are passed over. A log of a newer version is
//! refused.

mod body;

use std::io::{Read, Write};
use std::sync::Arc;

use otlp_core::UnixNanos;

use crate::connection::Ending;
use crate::error::{Error, ErrorKind, Result};
use crate::parse::Direction;
use crate::span::Ends;

/// What a log says.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Record<'a> {
    /// A service that connections are of.
    Service {
        /// Its number in this log.
        number: u32,
        /// Its name.
        name: &'a str,
        /// A traces request that holds nothing but its resource; empty where the name is all there is.
        resource: &'a [u8],
    },
    /// A connection has been opened, or was when the capture began.
    Opened {
        /// Its number in this log; of no other that is open.
        connection: u64,
        /// Its service.
        service: u32,
        /// What its identifiers follow from.
        seed: u64,
        /// Its ends.
        ends: Ends,
        /// The [`id`](crate::parse::infer::Protocol::id) of the protocol that it speaks; empty where its first bytes
        /// tell.
        protocol: &'a str,
        /// It was open already.
        late: bool,
    },
    /// Bytes of one direction.
    Chunk {
        /// The connection.
        connection: u64,
        /// Which way they travel.
        direction: Direction,
        /// Bytes of this direction before them; what this is more than those of the log were lost.
        offset: u64,
        /// When they were seen.
        time: UnixNanos,
        /// They.
        bytes: &'a [u8],
    },
    /// One direction has ended.
    Closed {
        /// The connection.
        connection: u64,
        /// Which.
        direction: Direction,
        /// When.
        time: UnixNanos,
    },
    /// A connection is over.
    Finished {
        /// The connection.
        connection: u64,
        /// When.
        time: UnixNanos,
        /// How.
        ending: Ending,
    },
    /// Records that were to be here, and found no room.
    Lost {
        /// How many.
        records: u64,
        /// Bytes of connections in them.
        bytes: u64,
    },
}

/// The newest version known here.
pub const VERSION: u16 = 1;

pub(super) const MAGIC: [u8; 8] = [0x89, b'O', b'E', b'L', b'\r', b'\n', 0x1a, b'\n'];
const HEADER_BYTES: usize = 16;
const FRAME_BYTES: usize = 8;

/// Bytes of a record's body at most; a log that announces more is damaged.
pub const MAX_RECORD_BYTES: usize = 16 << 20;

/// Writes a log, a record at a time.
///
/// ```
/// use otlp_core::UnixNanos;
/// use otlp_ebpf::parse::Direction;
/// use otlp_ebpf::replay::log::{LogReader, LogWriter, Record};
/// let mut log = LogWriter::new(Vec::new())?;
/// let (connection, direction) = (1, Direction::ToServer);
/// let chunk = Record::Chunk { connection, direction, offset: 0, time: UnixNanos(7), bytes: b"PING\r\n" };
/// log.write(&chunk)?;
/// let bytes = log.into_inner();
/// let mut reader = LogReader::new(bytes.as_slice())?;
/// assert_eq!(reader.next()?, Some(chunk));
/// assert_eq!(reader.next()?, None);
/// assert_eq!(reader.tail(), None);
/// # Ok::<(), otlp_ebpf::Error>(())
/// ```
#[derive(Debug)]
pub struct LogWriter<W> {
    to: W,
    record: Vec<u8>,
}

impl<W: Write> LogWriter<W> {
    /// Begins a log.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where the header cannot be written.
    pub fn new(mut to: W) -> Result<Self> {
        to.write_all(&header()).map_err(|error| io("write", error))?;
        Ok(Self { to, record: Vec::new() })
    }

    /// Writes a record. O(bytes).
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where it cannot be written, [`ErrorKind::Limit`] where it is longer than
    /// [`MAX_RECORD_BYTES`].
    pub fn write(&mut self, record: &Record<'_>) -> Result<()> {
        self.record.clear();
        append(record, &mut self.record);
        if self.record.len() > FRAME_BYTES + MAX_RECORD_BYTES {
            let message =
                format!("event log: record of {} bytes exceeds limit {MAX_RECORD_BYTES}", self.record.len());
            return Err(Error::new(ErrorKind::Limit, message));
        }
        self.to.write_all(&self.record).map_err(|error| io("write", error))
    }

    /// What was written to.
    pub fn into_inner(self) -> W {
        self.to
    }
}

pub(super) fn header() -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let [v0, v1] = VERSION.to_le_bytes();
    let [m0, m1, m2, m3, m4, m5, m6, m7] = MAGIC;
    let known = [m0, m1, m2, m3, m4, m5, m6, m7, v0, v1, 0, 0];
    let crc = crc32c::crc32c(&known).to_le_bytes();
    header.iter_mut().zip(known.iter().chain(&crc)).for_each(|(to, from)| *to = *from);
    header
}

/// Appends a record as it lies in a log.
pub(super) fn append(record: &Record<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_BYTES]);
    body::write(record, out);
    let length = u32::try_from(out.len() - start - FRAME_BYTES).unwrap_or(u32::MAX).to_le_bytes();
    let crc =
        crc32c::crc32c_append(crc32c::crc32c(&length), out.get(start + FRAME_BYTES..).unwrap_or_default());
    let frame = out.iter_mut().skip(start);
    frame.zip(length.iter().chain(&crc.to_le_bytes())).for_each(|(to, from)| *to = *from);
}

/// Where and why reading ended before the end of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tail {
    /// Bytes of whole records and the header before it.
    pub offset: u64,
    /// Why.
    pub kind: TailKind,
}

/// Why reading ended before the end of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TailKind {
    /// The input ends within a record.
    Torn,
    /// A checksum is wrong, or a length cannot be.
    Damaged,
}

/// Reads a log, a record at a time; holds one block of the input, or one record where that is longer.
#[derive(Debug)]
pub struct LogReader<R> {
    from: R,
    buffer: Vec<u8>,
    /// What of the buffer is not read yet.
    begin: usize,
    end: usize,
    /// Bytes of the input before `begin`.
    offset: u64,
    tail: Option<Tail>,
    unknown: u64,
}

/// Bytes asked of the input at once.
const BLOCK_BYTES: usize = 256 << 10;

impl<R: Read> LogReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] where the input is no event log or one of a newer version, [`ErrorKind::Io`] where it
    /// cannot be read.
    pub fn new(from: R) -> Result<Self> {
        let mut reader =
            Self { from, buffer: Vec::new(), begin: 0, end: 0, offset: 0, tail: None, unknown: 0 };
        reader.fill(HEADER_BYTES)?;
        let met = reader.buffer.get(..reader.end.min(HEADER_BYTES)).unwrap_or_default();
        let Some(rest) = met.strip_prefix(&MAGIC) else {
            return Err(malformed("no event log"));
        };
        let [v0, v1, _, _, c0, c1, c2, c3] = rest else { return Err(malformed("ends within its header")) };
        let known = met.get(..HEADER_BYTES - 4).unwrap_or_default();
        if [*c0, *c1, *c2, *c3] != crc32c::crc32c(known).to_le_bytes() {
            return Err(malformed("header damaged"));
        }
        let version = u16::from_le_bytes([*v0, *v1]);
        if version == 0 || version > VERSION {
            return Err(malformed(&format!("format version {version}, newest known {VERSION}")));
        }
        reader.advance(HEADER_BYTES);
        Ok(reader)
    }

    /// The next record; `None` at the end of the log, or where it cannot be read further (see [`tail`](Self::tail)).
    /// O(bytes).
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where the input cannot be read, [`ErrorKind::Malformed`] where a record is whole and yet
    /// says nothing that it can.
    #[expect(clippy::should_implement_trait, reason = "what it gives borrows from the reader")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>> {
        let (offset, length) = loop {
            let Some(length) = self.frame()? else { return Ok(None) };
            let start = self.begin + FRAME_BYTES;
            let kind = self.buffer.get(start).copied();
            let at = self.offset;
            self.advance(FRAME_BYTES + length);
            if kind.is_some_and(body::is_known) {
                break (at, length);
            }
            self.unknown += 1;
        };
        let body = self.buffer.get(self.begin - length..self.begin).unwrap_or_default();
        match body::read(body) {
            Some(record) => Ok(Some(record)),
            None => Err(malformed(&format!("record at byte {offset} not valid"))),
        }
    }

    /// Where and why reading ended early; `None` before the end, and where it ended as it should.
    #[must_use]
    pub const fn tail(&self) -> Option<Tail> {
        self.tail
    }

    /// Records passed over because their kind is not known.
    #[must_use]
    pub const fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Bytes of the log read so far.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Makes the next record lie whole in the buffer; gives the bytes of its body.
    fn frame(&mut self) -> Result<Option<usize>> {
        if self.tail.is_some() {
            return Ok(None);
        }
        self.fill(FRAME_BYTES)?;
        let held = self.buffer.get(self.begin..self.end).unwrap_or_default();
        let Some((frame, _)) = held.split_first_chunk::<FRAME_BYTES>() else {
            return Ok(if held.is_empty() { None } else { self.end_with(TailKind::Torn) });
        };
        let [l0, l1, l2, l3, crc @ ..] = *frame;
        let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        if length == 0 || length > MAX_RECORD_BYTES {
            return Ok(self.end_with(TailKind::Damaged));
        }
        self.fill(FRAME_BYTES + length)?;
        let held = self.buffer.get(self.begin..self.end).unwrap_or_default();
        let Some(body) = held.get(FRAME_BYTES..FRAME_BYTES + length) else {
            return Ok(self.end_with(TailKind::Torn));
        };
        if crc32c::crc32c_append(crc32c::crc32c(&[l0, l1, l2, l3]), body).to_le_bytes() != crc {
            return Ok(self.end_with(TailKind::Damaged));
        }
        Ok(Some(length))
    }

    const fn end_with(&mut self, kind: TailKind) -> Option<usize> {
        self.tail = Some(Tail { offset: self.offset, kind });
        None
    }

    fn advance(&mut self, count: usize) {
        self.begin += count;
        self.offset += u64::try_from(count).unwrap_or(u64::MAX);
    }

    /// Reads until there are so many bytes behind `begin`, or the input ends.
    fn fill(&mut self, wanted: usize) -> Result<()> {
        if self.end - self.begin >= wanted {
            return Ok(());
        }
        self.buffer.copy_within(self.begin..self.end, 0);
        (self.begin, self.end) = (0, self.end - self.begin);
        while self.end < wanted {
            // What a length announces is made room for as it comes, so that a wrong one costs nothing.
            let room = self.end + BLOCK_BYTES;
            if self.buffer.len() < room {
                self.buffer.resize(room, 0);
            }
            match self.from.read(self.buffer.get_mut(self.end..).unwrap_or_default()) {
                Ok(0) => return Ok(()),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io("read", error)),
            }
        }
        Ok(())
    }
}

fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::Malformed, format!("event log: {what}"))
}

fn io(what: &str, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("event log: {what} failed")).with_source(error)
}

/// The text as the log keeps it: at most 65,535 bytes.
fn short(text: &str) -> &str {
    let end = (0..=text.len().min(usize::from(u16::MAX))).rev().find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

/// Shared text, none where it is empty.
fn shared(text: &str) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| text.into())
}
