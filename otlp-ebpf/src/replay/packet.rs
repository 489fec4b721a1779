//! From a captured frame to the TCP segment in it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use otlp_core::UnixNanos;

use crate::stream::Segment;
use crate::tracer::Packet;

/// What a captured frame begins with; the numbers are those of `LINKTYPE_` at tcpdump.org.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkType {
    /// BSD loopback: the address family in the order of whoever captured.
    Null,
    /// Ethernet.
    Ethernet,
    /// IP, of the version that it says.
    Raw,
    /// BSD loopback: the address family in network order.
    Loop,
    /// Linux, all interfaces.
    LinuxSll,
    /// Linux, all interfaces, second version.
    LinuxSll2,
    /// Anything else.
    Other(u32),
}

impl LinkType {
    /// Reads the number of a capture file.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Null,
            1 => Self::Ethernet,
            12 | 14 | 101 | 228 | 229 => Self::Raw,
            108 => Self::Loop,
            113 => Self::LinuxSll,
            276 => Self::LinuxSll2,
            other => Self::Other(other),
        }
    }
}

/// Why there is no segment in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotTcp {
    /// It is something else.
    Other,
    /// A fragment of an IP packet. TCP avoids them; they are not put together.
    Fragment,
    /// It is not what it says, or too little of it was captured.
    Unreadable,
    /// Its link type is not known here.
    LinkType,
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// VLAN tags: customer, service, and an older one for services.
const TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
const TCP: u8 = 6;

/// Finds the segment in a frame of which `wire` bytes were on the wire.
pub(super) fn segment(
    link: LinkType,
    time: UnixNanos,
    (frame, wire): (&[u8], usize),
) -> Result<Packet<'_>, NotTcp> {
    let (kind, packet) = network(link, frame)?;
    // What was cut off by the capture is known by what is missing behind the frame.
    let cut = wire.saturating_sub(frame.len());
    let ip = match kind {
        IPV4 => ipv4(packet, cut)?,
        IPV6 => ipv6(packet, cut)?,
        _ => return Err(NotTcp::Other),
    };
    tcp(&ip, time)
}

/// The protocol of the network, and its packet.
fn network(link: LinkType, frame: &[u8]) -> Result<(u16, &[u8]), NotTcp> {
    let at = |offset: usize| be16(frame, offset).ok_or(NotTcp::Unreadable);
    let behind = |offset: usize| frame.get(offset..).ok_or(NotTcp::Unreadable);
    match link {
        LinkType::Ethernet => tagged(at(12)?, behind(14)?),
        LinkType::LinuxSll => tagged(at(14)?, behind(16)?),
        LinkType::LinuxSll2 => tagged(at(0)?, behind(20)?),
        LinkType::Raw => by_version(frame),
        LinkType::Null | LinkType::Loop => by_version(behind(4)?),
        LinkType::Other(_) => Err(NotTcp::LinkType),
    }
}

/// Takes off VLAN tags; there are two at most.
fn tagged(mut kind: u16, mut packet: &[u8]) -> Result<(u16, &[u8]), NotTcp> {
    for _ in 0..2 {
        if !TAGS.contains(&kind) {
            break;
        }
        kind = be16(packet, 2).ok_or(NotTcp::Unreadable)?;
        packet = packet.get(4..).ok_or(NotTcp::Unreadable)?;
    }
    Ok((kind, packet))
}

/// The numbers of address families differ between systems; the packet itself says the same.
fn by_version(packet: &[u8]) -> Result<(u16, &[u8]), NotTcp> {
    match packet.first().map(|first| first >> 4) {
        Some(4) => Ok((IPV4, packet)),
        Some(6) => Ok((IPV6, packet)),
        Some(_) => Err(NotTcp::Other),
        None => Err(NotTcp::Unreadable),
    }
}

/// The TCP part of a packet: as captured, and its length on the wire.
struct Ip<'a> {
    from: IpAddr,
    to: IpAddr,
    tcp: &'a [u8],
    wire: usize,
}

fn ipv4(packet: &[u8], cut: usize) -> Result<Ip<'_>, NotTcp> {
    let header = packet.get(..20).ok_or(NotTcp::Unreadable)?;
    let [first, _, l0, l1, _, _, f0, f1, _, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = *header else {
        return Err(NotTcp::Unreadable);
    };
    let header_bytes = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || header_bytes < 20 {
        return Err(NotTcp::Unreadable);
    }
    if protocol != TCP {
        return Err(NotTcp::Other);
    }
    // More fragments, or not the first one.
    if u16::from_be_bytes([f0, f1]) & 0x3fff != 0 {
        return Err(NotTcp::Fragment);
    }
    // Where segmentation is left to the network card, a captured length may be 0 or too short for what is there.
    let total = match usize::from(u16::from_be_bytes([l0, l1])) {
        0 => packet.len() + cut,
        total => total,
    };
    let (from, to) = (Ipv4Addr::new(s0, s1, s2, s3), Ipv4Addr::new(d0, d1, d2, d3));
    part(packet, header_bytes, total, (from.into(), to.into()))
}

fn ipv6(packet: &[u8], cut: usize) -> Result<Ip<'_>, NotTcp> {
    let (header, _) = packet.split_first_chunk::<40>().ok_or(NotTcp::Unreadable)?;
    let [first, _, _, _, l0, l1, next, _, addresses @ ..] = *header;
    if first >> 4 != 6 {
        return Err(NotTcp::Unreadable);
    }
    let (from, to) = addresses.split_first_chunk::<16>().ok_or(NotTcp::Unreadable)?;
    let to: [u8; 16] = to.try_into().map_err(|_| NotTcp::Unreadable)?;
    let total = match usize::from(u16::from_be_bytes([l0, l1])) {
        0 => packet.len() + cut,
        payload => 40 + payload,
    };
    let at = extensions(packet, next)?;
    part(packet, at, total, (Ipv6Addr::from(*from).into(), Ipv6Addr::from(to).into()))
}

/// Extension headers passed over; more make no sense.
const MAX_EXTENSIONS: usize = 8;

/// Where TCP begins behind the extension headers.
fn extensions(packet: &[u8], mut next: u8) -> Result<usize, NotTcp> {
    let mut at = 40;
    for _ in 0..MAX_EXTENSIONS {
        let field = |offset: usize| packet.get(at + offset).copied().ok_or(NotTcp::Unreadable);
        let units = match next {
            TCP => return Ok(at),
            // Hop-by-hop options, routing, destination options, mobility, host identity.
            0 | 43 | 60 | 135 | 139 => (usize::from(field(1)?) + 1) * 8,
            // The authentication header counts words of 32 bits, less two.
            51 => (usize::from(field(1)?) + 2) * 4,
            44 => {
                // A fragment that is all there is of its packet is none.
                if be16(packet, at + 2).ok_or(NotTcp::Unreadable)? & 0xfff9 != 0 {
                    return Err(NotTcp::Fragment);
                }
                8
            }
            _ => return Err(NotTcp::Other),
        };
        next = field(0)?;
        at += units;
    }
    Err(NotTcp::Unreadable)
}

fn part(packet: &[u8], at: usize, total: usize, (from, to): (IpAddr, IpAddr)) -> Result<Ip<'_>, NotTcp> {
    // Behind the packet there may be padding.
    let packet = packet.get(..total).unwrap_or(packet);
    let tcp = packet.get(at..).ok_or(NotTcp::Unreadable)?;
    let wire = total.checked_sub(at).ok_or(NotTcp::Unreadable)?;
    Ok(Ip { from, to, tcp, wire })
}

fn tcp<'a>(ip: &Ip<'a>, time: UnixNanos) -> Result<Packet<'a>, NotTcp> {
    let (header, _) = ip.tcp.split_first_chunk::<20>().ok_or(NotTcp::Unreadable)?;
    let [s0, s1, d0, d1, n0, n1, n2, n3, a0, a1, a2, a3, words, flags, ..] = *header;
    let header_bytes = usize::from(words >> 4) * 4;
    let length =
        ip.wire.checked_sub(header_bytes).filter(|_| header_bytes >= 20).ok_or(NotTcp::Unreadable)?;
    let has = |bit: u8| flags & bit != 0;
    let segment = Segment {
        time,
        sequence: u32::from_be_bytes([n0, n1, n2, n3]),
        acknowledged: has(0x10).then_some(u32::from_be_bytes([a0, a1, a2, a3])),
        syn: has(0x02),
        fin: has(0x01),
        rst: has(0x04),
        length: u32::try_from(length).map_err(|_| NotTcp::Unreadable)?,
        bytes: ip.tcp.get(header_bytes..).unwrap_or_default(),
    };
    let from = SocketAddr::new(ip.from, u16::from_be_bytes([s0, s1]));
    let to = SocketAddr::new(ip.to, u16::from_be_bytes([d0, d1]));
    Ok(Packet { namespace: 0, from, to, segment })
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let (two, _) = bytes.get(at..)?.split_first_chunk::<2>()?;
    Some(u16::from_be_bytes(*two))
}

#[cfg(test)]
mod tests;
