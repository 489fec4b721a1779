use proptest::prelude::*;

use super::*;

/// A record as a program writes it; what is told behind it is `bytes`.
fn record(change: impl FnOnce(&mut [u8; HEAD_BYTES]), bytes: &[u8]) -> Vec<u8> {
    let mut head = [0; HEAD_BYTES];
    put(&mut head, TIME, &7_u64.to_ne_bytes());
    put(&mut head, LAYOUT, &[VERSION, 1, ACK, SENT | SERVER]);
    let length = u32::try_from(bytes.len()).unwrap();
    put(&mut head, CAPTURED, &length.to_ne_bytes());
    put(&mut head, LENGTH, &length.to_ne_bytes());
    put(&mut head, SEQUENCE, &100_u32.to_ne_bytes());
    put(&mut head, ACKNOWLEDGED, &900_u32.to_ne_bytes());
    put(&mut head, FROM_PORT, &8080_u16.to_ne_bytes());
    put(&mut head, TO_PORT, &40_000_u16.to_ne_bytes());
    put(&mut head, FROM, &[127, 0, 0, 1]);
    put(&mut head, TO, &[10, 0, 0, 9]);
    change(&mut head);
    [&head[..], bytes].concat()
}

fn put(head: &mut [u8; HEAD_BYTES], at: usize, bytes: &[u8]) {
    head[at..at + bytes.len()].copy_from_slice(bytes);
}

#[test]
fn a_record_says_who_sent_what_to_whom() {
    let bytes = record(|_| (), b"hello");
    let met = Record::parse(&bytes).unwrap();
    assert_eq!((met.time, met.seen, met.end, met.is_sent), (7, Seen::Segment, End::Server, true));
    assert_eq!(met.packet.from, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(met.packet.to, "10.0.0.9:40000".parse().unwrap());
    let right = Segment { acknowledged: Some(900), ..Segment::new(UnixNanos(9), 100, b"hello") };
    let packets: Vec<_> = met.packets(UnixNanos(9)).collect();
    assert_eq!(packets.iter().map(|packet| packet.segment).collect::<Vec<_>>(), [right]);
}

#[test]
fn addresses_of_ipv4_within_ipv6_are_those_of_ipv4() {
    let mapped = "::ffff:127.0.0.1".parse::<Ipv6Addr>().unwrap().octets();
    let six = "2001:db8::7".parse::<Ipv6Addr>().unwrap().octets();
    let bytes = record(
        |head| {
            head[PLACE] |= V6;
            put(head, FROM, &mapped);
            put(head, TO, &six);
        },
        b"",
    );
    let packet = Record::parse(&bytes).unwrap().packet;
    assert_eq!(
        (packet.from, packet.to),
        ("127.0.0.1:8080".parse().unwrap(), "[2001:db8::7]:40000".parse().unwrap())
    );
}

#[test]
fn sockets_of_the_unix_domain_are_told_apart_by_their_numbers_and_have_no_address() {
    let bytes = record(
        |head| {
            head[PLACE] |= UNIX;
            put(head, FROM, &4711_u64.to_ne_bytes());
            put(head, TO, &4712_u64.to_ne_bytes());
        },
        b"",
    );
    let packet = Record::parse(&bytes).unwrap().packet;
    assert!(is_unix(&packet.from) && is_unix(&packet.to) && packet.from != packet.to);
    assert!(!is_unix(&"127.0.0.1:80".parse().unwrap()) && !is_unix(&"[::1]:80".parse().unwrap()));
}

#[test]
fn the_same_ends_are_other_streams_where_they_were_seen_in_another_way() {
    let space = |kind| {
        let bytes = record(|head| head[KIND] = kind, b"");
        Record::parse(&bytes).unwrap().packet.namespace
    };
    assert!(space(1) != space(2) && space(2) != space(3) && space(1) != space(3));
}

#[test]
fn the_end_of_a_connection_is_the_end_of_both_directions() {
    let bytes = record(|head| head[FLAGS] |= OVER, b"");
    let packets: Vec<_> = Record::parse(&bytes).unwrap().packets(UnixNanos(3)).collect();
    let ends: Vec<_> = packets.iter().map(|packet| (packet.from.port(), packet.segment.sequence)).collect();
    assert_eq!(ends, [(8080, 100), (40_000, 900)]);
    assert!(packets.iter().all(|packet| packet.segment.fin && packet.segment.length == 0));
}

#[test]
fn what_cannot_be_is_refused_where_it_stands() {
    let refused = |change: &dyn Fn(&mut [u8; HEAD_BYTES])| {
        let bytes = record(change, b"abc");
        Record::parse(&bytes).map(drop).map_err(|error| error.offset)
    };
    assert_eq!(refused(&|_| ()), Ok(()));
    assert_eq!(refused(&|head| head[LAYOUT] = VERSION + 1), Err(LAYOUT));
    assert_eq!(refused(&|head| head[KIND] = 0), Err(KIND));
    assert_eq!(refused(&|head| head[FLAGS] = 0x80), Err(FLAGS));
    assert_eq!(refused(&|head| head[PLACE] = 0x10), Err(PLACE));
    assert_eq!(refused(&|head| put(head, CAPTURED, &4_u32.to_ne_bytes())), Err(CAPTURED));
    assert_eq!(refused(&|head| put(head, LENGTH, &u32::MAX.to_ne_bytes())), Err(LENGTH));
    let more = |head: &mut [u8; HEAD_BYTES]| {
        put(head, CAPTURED, &4_u32.to_ne_bytes());
        put(head, LENGTH, &4_u32.to_ne_bytes());
    };
    assert_eq!(refused(&more), Err(HEAD_BYTES + 3), "the record ends before");
}

/// The members of a structure by the type information of an object: names and places in bytes, and its size.
#[cfg(feature = "capture")]
pub(super) fn layout(object: &[u8], name: &str) -> (Vec<(String, usize)>, usize) {
    let word =
        |at: usize| usize::try_from(u32::from_le_bytes(object[at..at + 4].try_into().unwrap())).unwrap();
    // Magic, version 1, no flags, a header of 24 bytes.
    let begin = object.windows(8).position(|bytes| bytes == [0x9f, 0xeb, 1, 0, 24, 0, 0, 0]).unwrap();
    let [types, types_length, strings] = [8, 12, 16].map(|at| word(begin + at));
    let text = |at: usize| {
        let from = &object[begin + 24 + strings + at..];
        String::from_utf8(from.iter().take_while(|byte| **byte != 0).copied().collect()).unwrap()
    };
    let (mut at, end) = (begin + 24 + types, begin + 24 + types + types_length);
    while at < end {
        let (info, members) = (word(at + 4), word(at + 4) & 0xffff);
        let kind = info >> 24 & 0x1f;
        if kind == 4 && text(word(at)) == name {
            let member = |number: usize| at + 12 + 12 * number;
            let places =
                (0..members).map(|number| (text(word(member(number))), word(member(number) + 8) / 8));
            return (places.collect(), word(at + 8));
        }
        at += 12
            + match kind {
                1 | 14 | 17 => 4,
                3 => 12,
                4 | 5 | 15 | 19 => 12 * members,
                6 | 13 => 8 * members,
                _ => 0,
            };
    }
    panic!("no structure {name}");
}

#[cfg(feature = "capture")]
#[test]
fn programs_write_the_layout_that_is_read_here() {
    let objects: [&[u8]; 4] = [
        include_bytes!("../../bpf/x86_64/network.o.gz"),
        include_bytes!("../../bpf/x86_64/process.o.gz"),
        include_bytes!("../../bpf/aarch64/network.o.gz"),
        include_bytes!("../../bpf/aarch64/process.o.gz"),
    ];
    let right = [
        ("time", TIME),
        ("version", LAYOUT),
        ("kind", KIND),
        ("flags", FLAGS),
        ("place", PLACE),
        ("captured", CAPTURED),
        ("length", LENGTH),
        ("sequence", SEQUENCE),
        ("acknowledged", ACKNOWLEDGED),
        ("space", SPACE),
        ("from_port", FROM_PORT),
        ("to_port", TO_PORT),
        ("pid", PID),
        ("from", FROM),
        ("to", TO),
    ];
    for object in objects {
        let (members, bytes) = layout(&crate::program::unpack(object).unwrap(), "record");
        let members: Vec<_> = members.iter().map(|(name, at)| (name.as_str(), *at)).collect();
        assert_eq!((members.as_slice(), bytes), (&right[..], HEAD_BYTES));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), valid in any::<bool>()) {
        let mut bytes = bytes;
        if valid && bytes.len() >= HEAD_BYTES {
            let (kind, flags, place, captured) = (bytes[KIND], bytes[FLAGS], bytes[PLACE], bytes[CAPTURED]);
            bytes[LAYOUT..=PLACE].copy_from_slice(&[VERSION, 1 + kind % 3, flags & 31, place & 15]);
            bytes[CAPTURED..SEQUENCE].copy_from_slice(&[captured & 127, 0, 0, 0, 255, 0, 0, 0]);
        }
        match Record::parse(&bytes) {
            Ok(record) => {
                prop_assert!(record.packet.segment.bytes.len() <= bytes.len() - HEAD_BYTES);
                prop_assert!(record.packets(UnixNanos(1)).count() <= 2);
            }
            Err(error) => prop_assert!(error.offset <= bytes.len()),
        }
    }
}
