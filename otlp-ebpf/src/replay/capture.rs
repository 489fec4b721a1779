//! Packet captures of either format.

use std::io::Read;
use std::sync::Arc;

use otlp_core::UnixNanos;
use otlp_core::record::Span;

use super::packet::{self, LinkType, NotTcp};
use super::{pcap, pcapng};
use crate::error::{Error, ErrorKind, Result};
use crate::service::Service;
use crate::tracer::Tracer;

/// A captured frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RawPacket<'a> {
    /// What it begins with.
    pub link: LinkType,
    /// When it was captured.
    pub time: UnixNanos,
    /// Bytes on the wire.
    pub wire_bytes: usize,
    /// Those of them that were captured.
    pub bytes: &'a [u8],
}

/// What a capture came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CaptureSummary {
    /// Frames read; those below together.
    pub frames: u64,
    /// TCP segments.
    pub segments: u64,
    /// Frames of other protocols.
    pub other: u64,
    /// Fragments of IP packets, which are not put together.
    pub fragments: u64,
    /// Frames that are not what they say, or of which too little was captured.
    pub unreadable: u64,
    /// Frames of a link type not known here.
    pub unknown_link: u64,
    /// The file ends within a frame.
    pub is_torn: bool,
}

/// Reads a capture of either format, told by its first bytes.
#[derive(Debug)]
#[non_exhaustive]
pub enum CaptureReader<R> {
    /// The classic format.
    Pcap(pcap::PcapReader<R>),
    /// Its successor.
    Pcapng(pcapng::PcapngReader<R>),
}

impl<R: Read> CaptureReader<R> {
    /// Reads the head of the file.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] where the input is of neither format, [`ErrorKind::Io`] where it cannot be read.
    pub fn new(from: R) -> Result<Self> {
        let mut blocks = Blocks::new(from);
        let head = blocks.peek(4)?;
        if pcap::is_pcap(head) {
            pcap::PcapReader::begin(blocks).map(Self::Pcap)
        } else if head == pcapng::SECTION {
            Ok(Self::Pcapng(pcapng::PcapngReader::begin(blocks)))
        } else {
            Err(Error::new(ErrorKind::Malformed, "capture: neither pcap nor pcapng"))
        }
    }

    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] where the file is damaged, [`ErrorKind::Io`] where it cannot be read.
    #[expect(clippy::should_implement_trait, reason = "what it gives borrows from the reader")]
    pub fn next(&mut self) -> Result<Option<RawPacket<'_>>> {
        match self {
            Self::Pcap(reader) => reader.next(),
            Self::Pcapng(reader) => reader.next(),
        }
    }

    /// True where the file ended within a frame: whoever wrote it was stopped. What is before stands.
    #[must_use]
    pub const fn is_torn(&self) -> bool {
        match self {
            Self::Pcap(reader) => reader.is_torn(),
            Self::Pcapng(reader) => reader.is_torn(),
        }
    }
}

/// Feeds a capture to a tracer; gives out the spans as they are complete.
///
/// What is open at the end is left open, so that a capture may go on in another file; see [`Tracer::finish`].
///
/// ```
/// use otlp_ebpf::replay::replay_capture;
/// use otlp_ebpf::tracer::{Tracer, TracerConfig};
/// // A pcap file without a packet: microseconds, little-endian, version 2.4, Ethernet.
/// let file = [&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0][..], &[0; 12], &[1, 0, 0, 0]].concat();
/// let mut tracer = Tracer::new(TracerConfig::new(7));
/// let summary = replay_capture(file.as_slice(), &mut tracer, &mut |_, span| println!("{}", span.name))?;
/// assert_eq!(summary.frames, 0);
/// # Ok::<(), otlp_ebpf::Error>(())
/// ```
///
/// # Errors
/// As [`CaptureReader`] has them; spans of what came before have been given out.
pub fn replay_capture(
    from: impl Read,
    tracer: &mut Tracer,
    out: &mut dyn FnMut(&Arc<Service>, Span),
) -> Result<CaptureSummary> {
    let mut reader = CaptureReader::new(from)?;
    let mut summary = CaptureSummary::default();
    while let Some(raw) = reader.next()? {
        summary.frames += 1;
        let count = match packet::segment(raw.link, raw.time, (raw.bytes, raw.wire_bytes)) {
            Ok(packet) => {
                tracer.take(&packet, out);
                &mut summary.segments
            }
            Err(NotTcp::Other) => &mut summary.other,
            Err(NotTcp::Fragment) => &mut summary.fragments,
            Err(NotTcp::Unreadable) => &mut summary.unreadable,
            Err(NotTcp::LinkType) => &mut summary.unknown_link,
        };
        *count += 1;
    }
    summary.is_torn = reader.is_torn();
    Ok(summary)
}

/// Bytes of a frame or block at most; tcpdump takes 256 KiB at most.
pub(super) const MAX_BLOCK_BYTES: usize = 16 << 20;

/// Pieces of known length, one after the other; holds one read of the input, or one piece where that is longer.
#[derive(Debug)]
pub(super) struct Blocks<R> {
    from: R,
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
}

const READ_BYTES: usize = 256 << 10;

impl<R: Read> Blocks<R> {
    fn new(from: R) -> Self {
        Self { from, buffer: Vec::new(), begin: 0, end: 0 }
    }

    /// The next bytes, which stay; fewer than asked for at the end.
    pub(super) fn peek(&mut self, count: usize) -> Result<&[u8]> {
        if self.end - self.begin < count {
            self.buffer.copy_within(self.begin..self.end, 0);
            (self.begin, self.end) = (0, self.end - self.begin);
            while self.end < count && self.read()? {}
        }
        let end = self.end.min(self.begin + count);
        Ok(self.buffer.get(self.begin..end).unwrap_or_default())
    }

    /// The next bytes; `None` where there are fewer.
    pub(super) fn take(&mut self, count: usize) -> Result<Option<&[u8]>> {
        if self.peek(count)?.len() < count {
            return Ok(None);
        }
        self.begin += count;
        Ok(self.buffer.get(self.begin - count..self.begin))
    }

    /// True where nothing is left.
    pub(super) fn is_at_end(&mut self) -> Result<bool> {
        Ok(self.peek(1)?.is_empty())
    }

    fn read(&mut self) -> Result<bool> {
        let room = self.end + READ_BYTES;
        if self.buffer.len() < room {
            self.buffer.resize(room, 0);
        }
        loop {
            match self.from.read(self.buffer.get_mut(self.end..).unwrap_or_default()) {
                Ok(read) => {
                    self.end += read;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Error::new(ErrorKind::Io, "capture: read failed").with_source(error));
                }
            }
        }
    }
}

/// The order of a file's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let (two, _) = bytes.get(at..)?.split_first_chunk::<2>()?;
        Some(if self == Self::Little { u16::from_le_bytes(*two) } else { u16::from_be_bytes(*two) })
    }

    pub(super) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let (four, _) = bytes.get(at..)?.split_first_chunk::<4>()?;
        Some(if self == Self::Little { u32::from_le_bytes(*four) } else { u32::from_be_bytes(*four) })
    }
}

pub(super) fn malformed(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Malformed, format!("capture: {what}"))
}

pub(super) fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
