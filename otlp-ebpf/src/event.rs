//! Records of the kernel programs: bytes of a ring to segments. Pure, and bounded by what it is given.
//!
//! The layout is that of `struct record` in `bpf/record.h`, version [`VERSION`]; a test compares the two in the
//! objects that are checked in. Numbers stand in the order of the machine, addresses and their ports as said there.
//!
//! A record is one of three kinds ([`Seen`]). All become segments for a [`Tracer`](crate::tracer::Tracer), which is
//! the door that captures come in by too; those of calls and of TLS count bytes where TCP has its sequence numbers.

#[cfg(feature = "capture")]
pub(crate) mod stack;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use otlp_core::UnixNanos;
use otlp_core::error::{DecodeError, DecodeErrorKind};

use crate::stream::Segment;
use crate::tracer::Packet;

/// The layout that is read here.
pub const VERSION: u8 = 1;

/// Bytes of a record before those that were captured.
pub const HEAD_BYTES: usize = 72;

/// How bytes were seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Seen {
    /// As a TCP segment that entered or left a socket.
    Segment,
    /// As what a system call read or wrote.
    Call,
    /// As the plain text that a TLS library read or wrote.
    Tls,
}

/// At which end of a connection its bytes were seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum End {
    /// At the one whose port was asked for: the server.
    Server,
    /// At the other one, or it is not known.
    Other,
}

/// One record of a ring.
///
/// ```
/// use otlp_ebpf::event::{HEAD_BYTES, Record};
/// assert!(Record::parse(&[0; HEAD_BYTES - 1]).is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record<'a> {
    /// Nanoseconds of `CLOCK_MONOTONIC`.
    pub time: u64,
    /// How it was seen.
    pub seen: Seen,
    /// At which end.
    pub end: End,
    /// On the way out of the socket.
    pub is_sent: bool,
    /// Both directions have ended.
    pub is_over: bool,
    /// Process that made the call; 0 where it is not known.
    pub pid: u32,
    /// Who sent it, to whom, and what; its time is that of the record.
    pub packet: Packet<'a>,
}

// Where each field of `struct record` begins.
const TIME: usize = 0;
const LAYOUT: usize = 8;
const KIND: usize = 9;
const FLAGS: usize = 10;
const PLACE: usize = 11;
const CAPTURED: usize = 12;
const LENGTH: usize = 16;
const SEQUENCE: usize = 20;
const ACKNOWLEDGED: usize = 24;
const SPACE: usize = 28;
const FROM_PORT: usize = 32;
const TO_PORT: usize = 34;
const PID: usize = 36;
const FROM: usize = 40;
const TO: usize = 56;

const SYN: u8 = 1;
const FIN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 8;
const OVER: u8 = 16;

const SENT: u8 = 1;
const SERVER: u8 = 2;
const V6: u8 = 4;
const UNIX: u8 = 8;

/// Bytes that one record may cover; more is none that a program here writes.
const MOST_LENGTH: u32 = 1 << 24;

impl<'a> Record<'a> {
    /// Reads a record. Behind the bytes captured there may be others, which are none: rings have records of a few
    /// sizes. O(1), copies nothing.
    ///
    /// # Errors
    /// Where there are too few bytes, or where they are of another version or say what cannot be.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let invalid = |at, what| DecodeError::new(at, DecodeErrorKind::Invalid(what));
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
            return Err(DecodeError::new(bytes.len(), DecodeErrorKind::Truncated));
        };
        let [version, kind, flags, place] = take(head, LAYOUT);
        if version != VERSION {
            return Err(invalid(LAYOUT, "record of another version"));
        }
        let seen = match kind {
            1 => Seen::Segment,
            2 => Seen::Call,
            3 => Seen::Tls,
            _ => return Err(invalid(KIND, "record of an unknown kind")),
        };
        if flags & !(SYN | FIN | RST | ACK | OVER) != 0 {
            return Err(invalid(FLAGS, "record with unknown flags"));
        }
        if place & !(SENT | SERVER | V6 | UNIX) != 0 {
            return Err(invalid(PLACE, "record from an unknown place"));
        }
        let number = |at| u32::from_ne_bytes(take(head, at));
        let (captured, length) = (number(CAPTURED), number(LENGTH));
        if captured > length {
            return Err(invalid(CAPTURED, "record that captured more than there was"));
        }
        if length > MOST_LENGTH {
            return Err(invalid(LENGTH, "record of more bytes than a call moves"));
        }
        let Some(captured) = usize::try_from(captured).ok().and_then(|captured| rest.get(..captured)) else {
            return Err(DecodeError::new(bytes.len(), DecodeErrorKind::Truncated));
        };
        let end =
            |address, port| address_of(take(head, address), u16::from_ne_bytes(take(head, port)), place);
        let time = u64::from_ne_bytes(take(head, TIME));
        let segment = Segment {
            time: UnixNanos(time),
            sequence: number(SEQUENCE),
            acknowledged: (flags & ACK != 0).then(|| number(ACKNOWLEDGED)),
            syn: flags & SYN != 0,
            fin: flags & FIN != 0,
            rst: flags & RST != 0,
            length,
            bytes: captured,
        };
        let packet = Packet {
            namespace: apart(number(SPACE), seen),
            from: end(FROM, FROM_PORT),
            to: end(TO, TO_PORT),
            segment,
        };
        Ok(Self {
            time,
            seen,
            end: if place & SERVER == 0 { End::Other } else { End::Server },
            is_sent: place & SENT != 0,
            is_over: flags & OVER != 0,
            pid: number(PID),
            packet,
        })
    }

    /// What a tracer is told of it, at the time of day that its time is.
    ///
    /// Two segments where both directions have ended, else one.
    pub fn packets(&self, time: UnixNanos) -> impl Iterator<Item = Packet<'a>> + use<'a> {
        let mut one = self.packet;
        one.segment.time = time;
        one.segment.fin |= self.is_over;
        let acknowledged = one.segment.acknowledged.filter(|_| self.is_over);
        let other = acknowledged.map(|sequence| {
            // It says what is next in either direction, so it is the end of both.
            let acknowledged = Some(one.segment.sequence.wrapping_add(1));
            let segment = Segment { acknowledged, fin: true, ..Segment::new(time, sequence, &[]) };
            Packet { from: one.to, to: one.from, segment, ..one }
        });
        [Some(one), other].into_iter().flatten()
    }
}

/// The bytes of a field.
fn take<const N: usize>(head: &[u8; HEAD_BYTES], at: usize) -> [u8; N] {
    head.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

fn address_of(bytes: [u8; 16], port: u16, place: u8) -> SocketAddr {
    if place & UNIX != 0 {
        let [a, b, c, d, e, f, g, h, ..] = bytes;
        return unix(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
    }
    let ip = if place & V6 == 0 {
        let [a, b, c, d, ..] = bytes;
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    } else {
        IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
    };
    SocketAddr::new(ip, port)
}

/// The block of addresses that nothing is ever sent to (RFC 6666): stands for sockets that have none.
const DISCARD: u64 = 0x0100 << 48;

/// What stands for the address of a Unix-domain socket with this number.
fn unix(number: u64) -> SocketAddr {
    let bits = u128::from(DISCARD) << 64 | u128::from(number);
    SocketAddr::new(IpAddr::V6(Ipv6Addr::from_bits(bits)), 0)
}

/// True where the address stands for that of a Unix-domain socket.
pub(crate) const fn is_unix(address: &SocketAddr) -> bool {
    match address {
        SocketAddr::V6(address) => address.ip().to_bits() >> 64 == DISCARD as u128 && address.port() == 0,
        SocketAddr::V4(_) => false,
    }
}

/// Keeps streams apart whose numbers count other bytes.
const fn apart(space: u32, seen: Seen) -> u32 {
    match seen {
        Seen::Segment => space,
        Seen::Call => space ^ 0x4000_0000,
        Seen::Tls => space ^ 0x8000_0000,
    }
}

#[cfg(test)]
mod tests;
