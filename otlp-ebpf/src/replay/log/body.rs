//! The bodies of records.

use std::net::{IpAddr, SocketAddr};

use otlp_core::UnixNanos;

use super::{Record, shared, short};
use crate::connection::Ending;
use crate::parse::Direction;
use crate::span::{Ends, Role};

const SERVICE: u8 = 1;
const OPENED: u8 = 2;
const CHUNK: u8 = 3;
const CLOSED: u8 = 4;
const FINISHED: u8 = 5;
const LOST: u8 = 6;

pub(super) const fn is_known(kind: u8) -> bool {
    matches!(kind, SERVICE..=LOST)
}

pub(super) fn write(record: &Record<'_>, out: &mut Vec<u8>) {
    match record {
        Record::Service { number, name, resource } => {
            out.push(SERVICE);
            out.extend(number.to_le_bytes());
            text(name, out);
            out.extend_from_slice(resource);
        }
        Record::Opened { connection, service, seed, ends, protocol, late } => {
            out.push(OPENED);
            out.extend(connection.to_le_bytes());
            out.extend(service.to_le_bytes());
            out.extend(seed.to_le_bytes());
            out.push(u8::from(ends.role == Role::Client) | u8::from(ends.tls) << 1);
            out.push(u8::from(*late));
            address(ends.client, out);
            address(ends.server, out);
            text(ends.caller.as_deref().unwrap_or_default(), out);
            text(protocol, out);
        }
        Record::Chunk { connection, direction, offset, time, bytes } => {
            out.push(CHUNK);
            out.extend(connection.to_le_bytes());
            out.push(way(*direction));
            out.extend(offset.to_le_bytes());
            out.extend(time.0.to_le_bytes());
            out.extend_from_slice(bytes);
        }
        Record::Closed { connection, direction, time } => {
            out.push(CLOSED);
            out.extend(connection.to_le_bytes());
            out.push(way(*direction));
            out.extend(time.0.to_le_bytes());
        }
        Record::Finished { connection, time, ending } => {
            out.push(FINISHED);
            out.extend(connection.to_le_bytes());
            out.push(match ending {
                Ending::Closed => 0,
                Ending::Reset => 1,
                Ending::Shutdown => 2,
            });
            out.extend(time.0.to_le_bytes());
        }
        Record::Lost { records, bytes } => {
            out.push(LOST);
            out.extend(records.to_le_bytes());
            out.extend(bytes.to_le_bytes());
        }
    }
}

pub(super) fn read(body: &[u8]) -> Option<Record<'_>> {
    let mut fields = Fields(body);
    let record = match fields.u8()? {
        SERVICE => {
            let (number, name) = (fields.u32()?, fields.text()?);
            Record::Service { number, name, resource: std::mem::take(&mut fields.0) }
        }
        OPENED => {
            let (connection, service, seed) = (fields.u64()?, fields.u32()?, fields.u64()?);
            let ways = fields.u8().filter(|ways| *ways < 4)?;
            let role = if ways & 1 != 0 { Role::Client } else { Role::Server };
            let tls = ways & 2 != 0;
            let late = fields.flag()?;
            let (client, server) = (fields.address()?, fields.address()?);
            let ends = Ends { client, server, caller: shared(fields.text()?), role, tls };
            Record::Opened { connection, service, seed, ends, protocol: fields.text()?, late }
        }
        CHUNK => {
            let (connection, direction) = (fields.u64()?, fields.direction()?);
            let (offset, time) = (fields.u64()?, fields.time()?);
            Record::Chunk { connection, direction, offset, time, bytes: std::mem::take(&mut fields.0) }
        }
        CLOSED => {
            let (connection, direction) = (fields.u64()?, fields.direction()?);
            Record::Closed { connection, direction, time: fields.time()? }
        }
        FINISHED => {
            let connection = fields.u64()?;
            let ending = match fields.u8()? {
                0 => Ending::Closed,
                1 => Ending::Reset,
                2 => Ending::Shutdown,
                _ => return None,
            };
            Record::Finished { connection, time: fields.time()?, ending }
        }
        LOST => Record::Lost { records: fields.u64()?, bytes: fields.u64()? },
        _ => return None,
    };
    fields.0.is_empty().then_some(record)
}

fn text(text: &str, out: &mut Vec<u8>) {
    let text = short(text);
    out.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Family (0, 4 or 6), address, port.
fn address(address: Option<SocketAddr>, out: &mut Vec<u8>) {
    match address.map(|address| (address.ip(), address.port())) {
        None => out.push(0),
        Some((IpAddr::V4(ip), port)) => {
            out.push(4);
            out.extend(ip.octets());
            out.extend(port.to_le_bytes());
        }
        Some((IpAddr::V6(ip), port)) => {
            out.push(6);
            out.extend(ip.octets());
            out.extend(port.to_le_bytes());
        }
    }
}

fn way(direction: Direction) -> u8 {
    u8::from(direction == Direction::ToClient)
}

/// Little-endian numbers, one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.chunk().map(|[byte]| byte)
    }

    fn flag(&mut self) -> Option<bool> {
        self.u8().filter(|byte| *byte < 2).map(|byte| byte == 1)
    }

    fn u16(&mut self) -> Option<u16> {
        self.chunk().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.chunk().map(u64::from_le_bytes)
    }

    fn time(&mut self) -> Option<UnixNanos> {
        self.u64().map(UnixNanos)
    }

    fn direction(&mut self) -> Option<Direction> {
        Some(if self.flag()? { Direction::ToClient } else { Direction::ToServer })
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::from(self.u16()?);
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    /// An address, or that there is none.
    #[expect(clippy::option_option, reason = "unreadable, or said to be unknown")]
    fn address(&mut self) -> Option<Option<SocketAddr>> {
        let ip = match self.u8()? {
            0 => return Some(None),
            4 => IpAddr::from(self.chunk::<4>()?),
            6 => IpAddr::from(self.chunk::<16>()?),
            _ => return None,
        };
        Some(Some(SocketAddr::new(ip, self.u16()?)))
    }
}
