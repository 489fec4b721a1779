//! The classic capture format (draft-ietf-opsawg-pcap): micro- or nanoseconds, of either byte order.

use std::io::Read;

use otlp_core::UnixNanos;

use super::capture::{Blocks, MAX_BLOCK_BYTES, Order, malformed, to_usize};
use super::{LinkType, RawPacket};
use crate::error::Result;

const MICROS: u32 = 0xa1b2_c3d4;
const NANOS: u32 = 0xa1b2_3c4d;
const HEADER_BYTES: usize = 24;
const FRAME_BYTES: usize = 16;

/// Reads a pcap file; see [`CaptureReader`](super::CaptureReader).
#[derive(Debug)]
pub struct PcapReader<R> {
    blocks: Blocks<R>,
    order: Order,
    /// Nanoseconds in a unit of the fraction.
    unit: u64,
    link: LinkType,
    torn: bool,
}

/// The byte order and unit that a file begins with.
fn magic(head: &[u8]) -> Option<(Order, u64)> {
    [Order::Little, Order::Big].into_iter().find_map(|order| match order.u32(head, 0)? {
        MICROS => Some((order, 1000)),
        NANOS => Some((order, 1)),
        _ => None,
    })
}

pub(super) fn is_pcap(head: &[u8]) -> bool {
    magic(head).is_some()
}

impl<R: Read> PcapReader<R> {
    pub(super) fn begin(mut blocks: Blocks<R>) -> Result<Self> {
        let header = blocks.take(HEADER_BYTES)?.ok_or_else(|| malformed("pcap ends within its header"))?;
        let (order, unit) = magic(header).ok_or_else(|| malformed("no pcap"))?;
        let major = order.u16(header, 4).unwrap_or_default();
        if major != 2 {
            return Err(malformed(format_args!("pcap version {major}, known is 2")));
        }
        // The upper bits tell of check sequences behind frames, which lie behind what IP says is its length.
        let link = LinkType::from_number(order.u32(header, 20).unwrap_or_default() & 0x0fff_ffff);
        Ok(Self { blocks, order, unit, link, torn: false })
    }

    pub(super) fn next(&mut self) -> Result<Option<RawPacket<'_>>> {
        let Some(head) = self.blocks.take(FRAME_BYTES)? else {
            self.torn = !self.blocks.is_at_end()?;
            return Ok(None);
        };
        let field = |at| self.order.u32(head, at).unwrap_or_default();
        let (secs, fraction) = (u64::from(field(0)), u64::from(field(4)));
        let (captured, wire) = (to_usize(field(8)), to_usize(field(12)));
        if captured > MAX_BLOCK_BYTES {
            return Err(malformed(format_args!("frame of {captured} bytes exceeds limit {MAX_BLOCK_BYTES}")));
        }
        let time = UnixNanos(secs * 1_000_000_000 + fraction * self.unit);
        let link = self.link;
        match self.blocks.take(captured)? {
            Some(bytes) => Ok(Some(RawPacket { link, time, wire_bytes: wire.max(captured), bytes })),
            None => {
                self.torn = true;
                Ok(None)
            }
        }
    }

    pub(super) const fn is_torn(&self) -> bool {
        self.torn
    }
}
