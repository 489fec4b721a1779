//! Packet captures of every kind give the spans that their segments give.
#![cfg(feature = "replay")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

mod wire;

use std::net::SocketAddr;

use otlp_core::record::Span;
use otlp_ebpf::ErrorKind;
use otlp_ebpf::parse::Direction::{ToClient, ToServer};
use otlp_ebpf::replay::{CaptureReader, CaptureSummary, LinkType, replay_capture};
use otlp_ebpf::tracer::{Tracer, TracerConfig};
use proptest::prelude::*;
use wire::{Owned, Wire, trace};

/// An Ethernet frame of IPv4 or IPv6, by the addresses.
fn frame(packet: &Owned) -> Vec<u8> {
    let [syn, fin, rst] = packet.flags;
    let flags = u8::from(fin)
        | u8::from(syn) << 1
        | u8::from(rst) << 2
        | u8::from(packet.acknowledged.is_some()) << 4;
    let mut tcp = [packet.from.port().to_be_bytes(), packet.to.port().to_be_bytes()].concat();
    tcp.extend(packet.sequence.to_be_bytes());
    tcp.extend(packet.acknowledged.unwrap_or(0).to_be_bytes());
    tcp.extend([5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
    let length = 20 + packet.length as u16;
    let mut frame = vec![0; 12];
    match (packet.from, packet.to) {
        (SocketAddr::V4(from), SocketAddr::V4(to)) => {
            let total = (20 + length).to_be_bytes();
            frame.extend([8, 0, 0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, 6, 0, 0]);
            frame.extend(from.ip().octets());
            frame.extend(to.ip().octets());
        }
        (SocketAddr::V6(from), SocketAddr::V6(to)) => {
            let length = length.to_be_bytes();
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, length[0], length[1], 6, 64]);
            frame.extend(from.ip().octets());
            frame.extend(to.ip().octets());
        }
        _ => unreachable!("both ends are of one family"),
    }
    frame.extend(tcp);
    frame.extend(&packet.bytes);
    frame
}

fn number(big: bool, number: u32) -> [u8; 4] {
    if big { number.to_be_bytes() } else { number.to_le_bytes() }
}

fn half(big: bool, number: u16) -> [u8; 2] {
    if big { number.to_be_bytes() } else { number.to_le_bytes() }
}

fn pcap(packets: &[Owned], big: bool, nanos: bool) -> Vec<u8> {
    let number = |value| number(big, value);
    let mut file = number(if nanos { 0xa1b2_3c4d } else { 0xa1b2_c3d4 }).to_vec();
    file.extend([half(big, 2), half(big, 4)].concat());
    file.extend([number(0), number(0), number(65_535), number(1)].concat());
    for packet in packets {
        let frame = frame(packet);
        let fraction = (packet.time % 1_000_000_000) as u32 / if nanos { 1 } else { 1000 };
        let cut = packet.length - packet.bytes.len() as u32;
        let head =
            [(packet.time / 1_000_000_000) as u32, fraction, frame.len() as u32, frame.len() as u32 + cut];
        head.into_iter().for_each(|value| file.extend(number(value)));
        file.extend(frame);
    }
    file
}

fn block(big: bool, kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let length = number(big, padded as u32 + 12);
    let mut block = [number(big, kind), length].concat();
    block.extend(body);
    block.resize(8 + padded, 0);
    block.extend(length);
    block
}

/// A section with an interface whose clock ticks in nanoseconds, ten seconds late; and other blocks between.
fn pcapng(packets: &[Owned], big: bool) -> Vec<u8> {
    let number = |value| number(big, value);
    let section = [&number(0x1a2b_3c4d)[..], &half(big, 1), &half(big, 0), &[0xff; 8]].concat();
    let mut file = block(big, 0x0a0d_0d0a, &section);
    let offset = 10_u64;
    let offset = if big { offset.to_be_bytes() } else { offset.to_le_bytes() };
    let options = [
        &half(big, 2)[..],
        &half(big, 2),
        b"lo\0\0",
        &half(big, 9),
        &half(big, 1),
        &[9, 0, 0, 0],
        &half(big, 14),
        &half(big, 8),
        &offset,
        &half(big, 0),
        &half(big, 0),
    ];
    file.extend(block(big, 1, &[&half(big, 1)[..], &[0, 0], &number(0), &options.concat()].concat()));
    file.extend(block(big, 4, b"names of hosts"));
    for packet in packets {
        let frame = frame(packet);
        let ticks = packet.time - 10_000_000_000;
        let cut = packet.length - packet.bytes.len() as u32;
        let head = [0, (ticks >> 32) as u32, ticks as u32, frame.len() as u32, frame.len() as u32 + cut];
        let head: Vec<u8> = head.into_iter().flat_map(number).collect();
        file.extend(block(big, 6, &[head, frame].concat()));
    }
    file.extend(block(big, 5, &[0; 12]));
    file
}

fn run(file: &[u8]) -> (Vec<(String, Span)>, CaptureSummary) {
    let mut tracer = Tracer::new(TracerConfig::new(7));
    let mut spans = Vec::new();
    let summary = replay_capture(file, &mut tracer, &mut |service, span| {
        spans.push((service.name().to_string(), span));
    })
    .unwrap();
    tracer.finish(&mut |service, span| spans.push((service.name().to_string(), span)));
    (spans, summary)
}

fn session(v6: bool) -> Vec<Owned> {
    let mut wire = Wire::new(40_000);
    wire.time = 1_700_000_000_000_000_000;
    if v6 {
        wire.ends = ["[2001:db8::7]:40000".parse().unwrap(), "[2001:db8::1]:8080".parse().unwrap()];
    }
    let wire = wire.open().send(ToServer, "GET /a HTTP/1.1\r\n\r\n", 7);
    let wire = wire.send(ToClient, "HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n", 1000);
    let wire = wire.send(ToClient, "x".repeat(300), 100).send(ToServer, "GET /b HTTP/1.1\r\n\r\n", 50);
    let mut packets = wire.send(ToClient, "HTTP/1.1 204 x\r\n\r\n", 50).close().packets;
    packets.iter_mut().filter(|packet| packet.length == 100).for_each(|packet| packet.bytes.truncate(40));
    packets
}

#[test]
fn every_format_gives_the_spans_that_the_segments_give() {
    for v6 in [false, true] {
        let packets = session(v6);
        let (wanted, _) = trace(TracerConfig::new(7), &packets);
        assert_eq!(wanted.len(), 2);
        for big in [false, true] {
            for file in [pcap(&packets, big, false), pcap(&packets, big, true), pcapng(&packets, big)] {
                let (spans, summary) = run(&file);
                assert_eq!(spans, wanted, "big {big}, v6 {v6}");
                let read = (summary.frames, summary.segments, summary.is_torn);
                assert_eq!(read, (packets.len() as u64, packets.len() as u64, false));
            }
        }
    }
}

#[test]
fn a_file_cut_off_is_read_as_far_as_it_goes() {
    let packets = session(false);
    for file in [pcap(&packets, false, true), pcapng(&packets, true)] {
        let whole = run(&file).0;
        let mut torn = 0;
        for cut in (40..file.len()).step_by(7) {
            let mut tracer = Tracer::new(TracerConfig::new(7));
            match replay_capture(&file[..cut], &mut tracer, &mut |_, span| {
                assert!(whole.iter().any(|met| met.1 == span));
            }) {
                Ok(summary) => torn += u32::from(summary.is_torn),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Malformed),
            }
        }
        assert!(torn > 40);
    }
}

#[test]
fn other_files_are_refused() {
    let error = CaptureReader::new(&b"GET / HTTP/1.1"[..]).unwrap_err();
    assert_eq!(error.to_string(), "capture: neither pcap nor pcapng");
    let mut old = pcap(&[], false, false);
    old[4] = 1;
    assert_eq!(
        CaptureReader::new(old.as_slice()).unwrap_err().to_string(),
        "capture: pcap version 1, known is 2"
    );
    let mut huge = pcap(&session(false), false, false);
    huge[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = CaptureReader::new(huge.as_slice()).unwrap().next().map(drop).unwrap_err();
    assert!(error.to_string().contains("exceeds limit"), "{error}");
}

#[test]
fn what_is_no_tcp_is_counted_by_what_it_is() {
    let mut packets = session(false);
    packets.truncate(4);
    let mut file = pcap(&packets, false, false);
    // The second frame becomes UDP, the third a fragment.
    let frame_bytes = 16 + 54;
    file[24 + frame_bytes + 16 + 14 + 9] = 17;
    file[24 + 2 * frame_bytes + 16 + 14 + 6] = 0x20;
    let (_, summary) = run(&file);
    assert_eq!((summary.frames, summary.segments, summary.other, summary.fragments), (4, 2, 1, 1));
    file[20] = 105;
    let (_, summary) = run(&file);
    assert_eq!((summary.frames, summary.unknown_link), (4, 4));
    assert_eq!(LinkType::from_number(105), LinkType::Other(105));
}

#[test]
fn a_fraction_of_microseconds_is_not_made_up() {
    let mut packets = session(false);
    packets.iter_mut().for_each(|packet| packet.time += 123);
    let (spans, _) = run(&pcap(&packets, false, false));
    assert_eq!(spans[0].1.start.0 % 1000, 0);
    let (spans, _) = run(&pcap(&packets, false, true));
    assert_eq!(spans[0].1.start.0 % 1000, 123);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_captures_are_read_or_refused(
        wrong in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20), format in 0..3_usize,
    ) {
        let packets = session(false);
        let mut file = [pcap(&packets, false, true), pcapng(&packets, false), pcapng(&packets, true)][format].clone();
        for (at, byte) in &wrong {
            let at = at.index(file.len());
            file[at] = *byte;
        }
        let mut tracer = Tracer::new(TracerConfig::new(7));
        // Whatever comes of it, it ends, and the account holds.
        let _ = replay_capture(file.as_slice(), &mut tracer, &mut |_, _| {});
        tracer.finish(&mut |_, _| {});
        prop_assert!(tracer.stats().is_balanced());
    }
}
