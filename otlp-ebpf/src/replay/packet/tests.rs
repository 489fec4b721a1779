//! Frames of each kind, and what is wrong with some.

use super::*;

const PAYLOAD: &[u8] = b"PING\r\n";

/// A TCP segment with four bytes of options.
fn tcp_bytes() -> Vec<u8> {
    let mut tcp = vec![0x9c, 0x40, 0x1f, 0x90, 0, 0, 0, 7, 0, 0, 0, 9, 6 << 4, 0x18, 0, 0, 0, 0, 0, 0];
    tcp.extend([1, 1, 1, 1]);
    tcp.extend(PAYLOAD);
    tcp
}

fn ipv4_bytes(tcp: &[u8]) -> Vec<u8> {
    let total = u16::try_from(24 + tcp.len()).unwrap().to_be_bytes();
    let mut packet =
        vec![0x46, 0, total[0], total[1], 0, 0, 0x40, 0, 64, TCP, 0, 0, 10, 0, 0, 7, 10, 0, 0, 1];
    packet.extend([0; 4]);
    packet.extend(tcp);
    packet
}

fn ipv6_bytes(tcp: &[u8], extensions: &[u8], next: u8) -> Vec<u8> {
    let length = u16::try_from(extensions.len() + tcp.len()).unwrap().to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, length[0], length[1], next, 64];
    packet.extend([0; 15]);
    packet.push(7);
    packet.extend([0; 15]);
    packet.push(1);
    packet.extend(extensions);
    packet.extend(tcp);
    packet
}

fn find(link: LinkType, frame: &[u8]) -> Result<Packet<'_>, NotTcp> {
    segment(link, UnixNanos(5), (frame, frame.len()))
}

fn check(link: LinkType, frame: &[u8], from: &str) {
    let packet = find(link, frame).unwrap_or_else(|error| panic!("{link:?} {error:?}"));
    assert_eq!(packet.from, from.parse().unwrap());
    assert_eq!((packet.to.port(), packet.segment.bytes, packet.segment.length), (8080, PAYLOAD, 6));
    assert_eq!((packet.segment.sequence, packet.segment.acknowledged), (7, Some(9)));
    for cut in 0..frame.len() {
        // Whatever is cut off, what is left is read or refused; what was sent is known.
        if let Ok(packet) = segment(link, UnixNanos(5), (&frame[..cut], frame.len())) {
            assert!(PAYLOAD.starts_with(packet.segment.bytes) && packet.segment.length == 6, "cut at {cut}");
        }
    }
}

#[test]
fn segments_are_found_below_every_link_type() {
    let packet = ipv4_bytes(&tcp_bytes());
    let framed = |before: &[u8]| [before, packet.as_slice()].concat();
    let ethernet = [[0; 12].as_slice(), &[8, 0]].concat();
    let from = "10.0.0.7:40000";
    check(LinkType::Ethernet, &framed(&ethernet), from);
    check(LinkType::Ethernet, &framed(&[&[0; 12][..], &[0x81, 0, 0, 5, 8, 0]].concat()), from);
    check(
        LinkType::Ethernet,
        &framed(&[&[0; 12][..], &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 8, 0]].concat()),
        from,
    );
    check(LinkType::Raw, &packet, from);
    check(LinkType::Null, &framed(&[2, 0, 0, 0]), from);
    check(LinkType::Loop, &framed(&[0, 0, 0, 2]), from);
    check(LinkType::LinuxSll, &framed(&[&[0; 14][..], &[8, 0]].concat()), from);
    check(LinkType::LinuxSll2, &framed(&[&[8, 0][..], &[0; 18]].concat()), from);
    assert_eq!(find(LinkType::Other(105), &packet), Err(NotTcp::LinkType));
}

#[test]
fn padding_behind_a_packet_is_none_of_it() {
    let padded = [ipv4_bytes(&tcp_bytes()), vec![0; 20]].concat();
    assert_eq!(find(LinkType::Raw, &padded).map(|packet| packet.segment.bytes), Ok(PAYLOAD));
}

#[test]
fn extension_headers_are_passed_over() {
    let tcp = tcp_bytes();
    let plain = ipv6_bytes(&tcp, &[], TCP);
    check(LinkType::Raw, &plain, "[::7]:40000");
    let options = [[43, 0, 0, 0, 0, 0, 0, 0], [51, 0, 0, 0, 0, 0, 0, 0]].concat();
    let authentication = [TCP, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    check(LinkType::Raw, &ipv6_bytes(&tcp, &[options, authentication.to_vec()].concat(), 0), "[::7]:40000");
    check(LinkType::Raw, &ipv6_bytes(&tcp, &[TCP, 0, 0, 0, 0, 0, 0, 1], 44), "[::7]:40000");
    let fragment = ipv6_bytes(&tcp, &[TCP, 0, 0, 1, 0, 0, 0, 1], 44);
    assert_eq!(find(LinkType::Raw, &fragment), Err(NotTcp::Fragment));
    let endless = [0, 0, 0, 0, 0, 0, 0, 0].repeat(20);
    assert_eq!(find(LinkType::Raw, &ipv6_bytes(&tcp, &endless, 0)), Err(NotTcp::Unreadable));
}

#[test]
fn what_is_no_segment_is_told_apart() {
    let mut packet = ipv4_bytes(&tcp_bytes());
    packet[9] = 17;
    assert_eq!(find(LinkType::Raw, &packet), Err(NotTcp::Other));
    packet[9] = TCP;
    packet[6] = 0x20;
    assert_eq!(find(LinkType::Raw, &packet), Err(NotTcp::Fragment));
    packet[6] = 0;
    packet[24 + 12] = 4 << 4;
    assert_eq!(find(LinkType::Raw, &packet), Err(NotTcp::Unreadable), "a header shorter than it can be");
    packet[24 + 12] = 15 << 4;
    assert_eq!(find(LinkType::Raw, &packet), Err(NotTcp::Unreadable), "a header longer than the packet");
    assert_eq!(find(LinkType::Raw, &[0x10; 60]), Err(NotTcp::Other));
    assert_eq!(find(LinkType::Raw, &[]), Err(NotTcp::Unreadable));
}

#[test]
fn a_length_left_to_the_network_card_is_that_of_the_frame() {
    let mut packet = ipv4_bytes(&tcp_bytes());
    (packet[2], packet[3]) = (0, 0);
    let found = segment(LinkType::Raw, UnixNanos(5), (&packet, packet.len() + 1000)).unwrap();
    assert_eq!((found.segment.bytes, found.segment.length), (PAYLOAD, 1006));
}
