//! The newer capture format (draft-ietf-opsawg-pcapng): sections of either byte order, interfaces with clocks of
//! their own, packets enhanced, simple and of the obsolete kind. Other blocks are passed over.

use std::io::Read;

use otlp_core::UnixNanos;

use super::capture::{Blocks, MAX_BLOCK_BYTES, Order, malformed, to_usize};
use super::{LinkType, RawPacket};
use crate::error::Result;

/// The type of a section header, the same in either byte order.
pub(super) const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const ORDER_MARK: u32 = 0x1a2b_3c4d;
const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const END_OF_OPTIONS: u16 = 0;
const TIME_RESOLUTION: u16 = 9;
const TIME_OFFSET: u16 = 14;

/// Interfaces of a section at most.
const MAX_INTERFACES: usize = 4096;

/// Reads a pcapng file; see [`CaptureReader`](super::CaptureReader).
#[derive(Debug)]
pub struct PcapngReader<R> {
    blocks: Blocks<R>,
    order: Order,
    interfaces: Vec<Interface>,
    torn: bool,
}

#[derive(Debug, Clone, Copy)]
struct Interface {
    link: LinkType,
    /// Units of its clock in a second, and seconds to add.
    per_second: u64,
    offset: u64,
    /// Bytes captured of a frame at most; 0 for all.
    most: usize,
}

/// Where a packet lies in its block.
struct Found {
    link: LinkType,
    time: UnixNanos,
    wire_bytes: usize,
    from: usize,
    captured: usize,
}

impl<R: Read> PcapngReader<R> {
    pub(super) const fn begin(blocks: Blocks<R>) -> Self {
        Self { blocks, order: Order::Little, interfaces: Vec::new(), torn: false }
    }

    pub(super) fn next(&mut self) -> Result<Option<RawPacket<'_>>> {
        let Some((length, found)) = self.find()? else { return Ok(None) };
        let Found { link, time, wire_bytes, from, captured } = found;
        let block = self.blocks.take(length)?.unwrap_or_default();
        let bytes = from.checked_add(captured).and_then(|end| block.get(from..end));
        let bytes = bytes.ok_or_else(|| malformed("pcapng packet longer than its block"))?;
        Ok(Some(RawPacket { link, time, wire_bytes: wire_bytes.max(captured), bytes }))
    }

    /// Goes to the next block with a packet; gives its length.
    fn find(&mut self) -> Result<Option<(usize, Found)>> {
        loop {
            let head = self.blocks.peek(12)?;
            if head.len() < 12 {
                self.torn = !head.is_empty();
                return Ok(None);
            }
            if head.starts_with(&SECTION) {
                self.order = section_order(head)?;
                self.interfaces.clear();
            }
            let (kind, length) = (self.order.u32(head, 0).unwrap_or_default(), self.order.u32(head, 4));
            let length = to_usize(length.unwrap_or_default());
            if length < 12 || !length.is_multiple_of(4) || length > MAX_BLOCK_BYTES {
                return Err(malformed(format_args!("pcapng block of {length} bytes not valid")));
            }
            let block = self.blocks.peek(length)?;
            if block.len() < length {
                self.torn = true;
                return Ok(None);
            }
            // The length stands behind the block once more.
            let body = block.get(..length - 4).unwrap_or_default();
            if let Some(found) = look(self.order, &mut self.interfaces, kind, body)? {
                return Ok(Some((length, found)));
            }
            self.blocks.take(length)?;
        }
    }

    pub(super) const fn is_torn(&self) -> bool {
        self.torn
    }
}

/// Looks at a block; gives the packet in it.
fn look(order: Order, interfaces: &mut Vec<Interface>, kind: u32, body: &[u8]) -> Result<Option<Found>> {
    let field = |at: usize| order.u32(body, at).ok_or_else(|| malformed("pcapng block not valid"));
    let interface = |number: u32| {
        let interface = interfaces.get(to_usize(number)).copied();
        interface.ok_or_else(|| malformed(format_args!("pcapng packet of unknown interface {number}")))
    };
    match kind {
        INTERFACE if interfaces.len() >= MAX_INTERFACES => {
            Err(malformed(format_args!("pcapng interfaces exceed limit {MAX_INTERFACES}")))
        }
        INTERFACE => {
            interfaces.push(Interface::read(order, body)?);
            Ok(None)
        }
        ENHANCED_PACKET | OBSOLETE_PACKET => {
            let number = match kind {
                ENHANCED_PACKET => field(8)?,
                _ => u32::from(order.u16(body, 8).unwrap_or_default()),
            };
            let ticks = u64::from(field(12)?) << 32 | u64::from(field(16)?);
            let (captured, wire_bytes) = (to_usize(field(20)?), to_usize(field(24)?));
            let interface = interface(number)?;
            let time = interface.time(ticks);
            Ok(Some(Found { link: interface.link, time, wire_bytes, from: 28, captured }))
        }
        SIMPLE_PACKET => {
            let wire_bytes = to_usize(field(8)?);
            let interface = interface(0)?;
            let most = if interface.most == 0 { usize::MAX } else { interface.most };
            let captured = wire_bytes.min(most).min(body.len().saturating_sub(12));
            let time = UnixNanos::ZERO;
            Ok(Some(Found { link: interface.link, time, wire_bytes, from: 12, captured }))
        }
        _ => Ok(None),
    }
}

/// The byte order of the section that begins here.
fn section_order(head: &[u8]) -> Result<Order> {
    [Order::Little, Order::Big]
        .into_iter()
        .find(|order| order.u32(head, 8) == Some(ORDER_MARK))
        .ok_or_else(|| malformed("pcapng section without byte order"))
}

impl Interface {
    fn read(order: Order, body: &[u8]) -> Result<Self> {
        let short = || malformed("pcapng interface not valid");
        let link = LinkType::from_number(order.u16(body, 8).ok_or_else(short)?.into());
        let most = to_usize(order.u32(body, 12).ok_or_else(short)?);
        let mut interface = Self { link, per_second: 1_000_000, offset: 0, most };
        let mut at = 16;
        while let (Some(code), Some(length)) = (order.u16(body, at), order.u16(body, at + 2)) {
            let length = usize::from(length);
            let value = body.get(at + 4..at + 4 + length).unwrap_or_default();
            match (code, value) {
                (END_OF_OPTIONS, _) => break,
                (TIME_RESOLUTION, [resolution]) => {
                    let power = u32::from(resolution & 0x7f);
                    let base: u64 = if resolution & 0x80 == 0 { 10 } else { 2 };
                    interface.per_second =
                        base.checked_pow(power).ok_or_else(|| malformed("pcapng clock too fine"))?;
                }
                (TIME_OFFSET, value) if value.len() == 8 => {
                    let half = |at| u64::from(order.u32(value, at).unwrap_or_default());
                    let (high, low) =
                        if order == Order::Little { (half(4), half(0)) } else { (half(0), half(4)) };
                    interface.offset = high << 32 | low;
                }
                _ => {}
            }
            at += 4 + length.next_multiple_of(4);
        }
        Ok(interface)
    }

    /// Ticks of the interface's clock as nanoseconds since 1970; saturates.
    fn time(&self, ticks: u64) -> UnixNanos {
        let (secs, rest) = (ticks / self.per_second, ticks % self.per_second);
        let nanos = u128::from(rest) * 1_000_000_000 / u128::from(self.per_second);
        let secs = u128::from(secs.wrapping_add(self.offset));
        UnixNanos(u64::try_from(secs * 1_000_000_000 + nanos).unwrap_or(u64::MAX))
    }
}
