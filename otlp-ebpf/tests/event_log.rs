//! The event log: what is written is read, whatever becomes of its end.
#![cfg(feature = "replay")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

mod stream;

use std::io::Read;

use otlp_core::UnixNanos;
use otlp_core::record::Span;
use otlp_ebpf::parse::Direction;
use otlp_ebpf::replay::log::{LogReader, LogWriter, MAX_RECORD_BYTES, Record, TailKind, VERSION};
use otlp_ebpf::replay::{LogReplay, LogSummary};
use otlp_ebpf::{Ending, Ends, ErrorKind, Role};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use stream::{ToClient, ToServer, direction};

/// A record that owns what it says.
#[derive(Debug, Clone)]
enum Owned {
    Service(u32, String, Vec<u8>),
    Opened(u64, u32, u64, Ends, String, bool),
    Chunk(u64, Direction, u64, u64, Vec<u8>),
    Closed(u64, Direction, u64),
    Finished(u64, u64, Ending),
    Lost(u64, u64),
}

impl Owned {
    fn record(&self) -> Record<'_> {
        match self {
            Self::Service(number, name, resource) => Record::Service { number: *number, name, resource },
            Self::Opened(connection, service, seed, ends, protocol, late) => Record::Opened {
                connection: *connection,
                service: *service,
                seed: *seed,
                ends: ends.clone(),
                protocol,
                late: *late,
            },
            Self::Chunk(connection, direction, offset, time, bytes) => Record::Chunk {
                connection: *connection,
                direction: *direction,
                offset: *offset,
                time: UnixNanos(*time),
                bytes,
            },
            Self::Closed(connection, direction, time) => {
                Record::Closed { connection: *connection, direction: *direction, time: UnixNanos(*time) }
            }
            Self::Finished(connection, time, ending) => {
                Record::Finished { connection: *connection, time: UnixNanos(*time), ending: *ending }
            }
            Self::Lost(records, bytes) => Record::Lost { records: *records, bytes: *bytes },
        }
    }
}

fn ends() -> impl Strategy<Value = Ends> {
    let address = || {
        prop_oneof![
            Just(None),
            (any::<[u8; 4]>(), any::<u16>()).prop_map(|(ip, port)| Some((ip, port).into())),
            (any::<[u8; 16]>(), any::<u16>()).prop_map(|(ip, port)| Some((ip, port).into())),
        ]
    };
    (address(), address(), proptest::option::of("[a-zé]{1,9}"), any::<bool>()).prop_map(
        |(client, server, caller, is_client)| {
            let mut ends = Ends::default().with_caller(caller.map(Into::into));
            (ends.client, ends.server) = (client, server);
            ends.seen_by(if is_client { Role::Client } else { Role::Server })
        },
    )
}

fn record() -> impl Strategy<Value = Owned> {
    let ending = prop_oneof![Just(Ending::Closed), Just(Ending::Reset), Just(Ending::Shutdown)];
    prop_oneof![
        (any::<u32>(), "\\PC{0,20}", vec(any::<u8>(), 0..50)).prop_map(|(a, b, c)| Owned::Service(a, b, c)),
        (any::<u64>(), any::<u32>(), any::<u64>(), ends(), "[a-z]{0,9}", any::<bool>())
            .prop_map(|(a, b, c, d, e, f)| Owned::Opened(a, b, c, d, e, f)),
        (any::<u64>(), direction(), any::<u64>(), any::<u64>(), vec(any::<u8>(), 0..600))
            .prop_map(|(a, b, c, d, e)| Owned::Chunk(a, b, c, d, e)),
        (any::<u64>(), direction(), any::<u64>()).prop_map(|(a, b, c)| Owned::Closed(a, b, c)),
        (any::<u64>(), any::<u64>(), ending).prop_map(|(a, b, c)| Owned::Finished(a, b, c)),
        (any::<u64>(), any::<u64>()).prop_map(|(a, b)| Owned::Lost(a, b)),
    ]
}

fn written(records: &[Owned]) -> Vec<u8> {
    let mut log = LogWriter::new(Vec::new()).unwrap();
    records.iter().for_each(|record| log.write(&record.record()).unwrap());
    log.into_inner()
}

/// Gives a few bytes at a time.
struct Slow<'a>(&'a [u8], usize);

impl Read for Slow<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let count = self.1.min(self.0.len()).min(to.len());
        to[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

/// Texts of the records that can be read, and what is told of the end.
fn read(log: impl Read) -> (Vec<String>, Option<TailKind>) {
    let mut reader = LogReader::new(log).unwrap();
    let mut records = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        records.push(format!("{record:?}"));
    }
    (records, reader.tail().map(|tail| tail.kind))
}

fn texts(records: &[Owned]) -> Vec<String> {
    records.iter().map(|record| format!("{:?}", record.record())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_in_pieces_of_any_size(records in vec(record(), 0..12), piece in 1..200_usize) {
        let log = written(&records);
        prop_assert_eq!(read(Slow(&log, piece)), (texts(&records), None));
    }

    #[test]
    fn a_torn_end_costs_the_last_record_and_is_told(records in vec(record(), 1..8), at in any::<Index>()) {
        let log = written(&records);
        let cut = 16 + at.index(log.len() - 16);
        let (met, tail) = read(&log[..cut]);
        let wanted = texts(&records);
        prop_assert!(met.len() < wanted.len() && wanted.starts_with(&met));
        let at_a_border = (0..=records.len()).any(|count| written(&records[..count]).len() == cut);
        prop_assert_eq!(tail, (!at_a_border).then_some(TailKind::Torn));
    }

    #[test]
    fn a_damaged_byte_ends_the_log_there(records in vec(record(), 1..8), at in any::<Index>(), bit in 0..8_u8) {
        let mut log = written(&records);
        let at = 16 + at.index(log.len() - 16);
        log[at] ^= 1 << bit;
        let (met, tail) = read(log.as_slice());
        let wanted = texts(&records);
        let sound = (0..records.len()).take_while(|count| written(&records[..=*count]).len() <= at).count();
        prop_assert_eq!(&met, &wanted[..sound]);
        prop_assert!(tail.is_some());
    }

    #[test]
    fn any_bytes_behind_a_header_are_read_or_told(bytes in vec(any::<u8>(), 0..300)) {
        let log = [written(&[]), bytes].concat();
        let mut reader = LogReader::new(log.as_slice()).unwrap();
        while let Ok(Some(_)) = reader.next() {}
        prop_assert!(reader.tail().is_some() || reader.offset() == log.len() as u64);
    }
}

#[test]
fn a_newer_version_and_other_files_are_refused() {
    let refused = |bytes: &[u8]| LogReader::new(bytes).map(drop).unwrap_err();
    let mut log = written(&[]);
    assert_eq!(LogReader::new(log.as_slice()).unwrap().offset(), 16);
    log[8] = 2;
    let error = refused(&log);
    assert_eq!((error.kind(), error.to_string().contains("damaged")), (ErrorKind::Malformed, true));
    let crc = crc32c(&log[..12]);
    log[12..].copy_from_slice(&crc);
    assert_eq!(refused(&log).to_string(), format!("event log: format version 2, newest known {VERSION}"));
    assert_eq!(refused(b"GET / HTTP/1.1\r\n\r\n").to_string(), "event log: no event log");
    assert_eq!(refused(&written(&[])[..15]).to_string(), "event log: ends within its header");
    assert_eq!(refused(b"").to_string(), "event log: no event log");
}

/// CRC32C (Castagnoli), bit by bit: shares no code with the crate's.
fn crc32c(bytes: &[u8]) -> [u8; 4] {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    };
    (!bytes.iter().fold(u32::MAX, step)).to_le_bytes()
}

#[test]
fn records_of_unknown_kinds_are_passed_over_and_counted() {
    let mut log = written(&[Owned::Lost(1, 2)]);
    let body = [200, 1, 2, 3];
    let length = (body.len() as u32).to_le_bytes();
    log.extend([&length[..], &crc32c(&[&length[..], &body].concat()), &body].concat());
    log.extend(&written(&[Owned::Lost(3, 4)])[16..]);
    let mut reader = LogReader::new(log.as_slice()).unwrap();
    assert_eq!(reader.next().unwrap(), Some(Record::Lost { records: 1, bytes: 2 }));
    assert_eq!(reader.next().unwrap(), Some(Record::Lost { records: 3, bytes: 4 }));
    assert_eq!(reader.next().unwrap(), None);
    assert_eq!(reader.unknown(), 1);
}

#[test]
fn a_record_that_is_whole_and_says_nothing_is_an_error() {
    let body = [4, 1, 2, 3];
    let length = (body.len() as u32).to_le_bytes();
    let frame = [&length[..], &crc32c(&[&length[..], &body].concat()), &body].concat();
    let log = [written(&[]), frame].concat();
    let error = LogReader::new(log.as_slice()).unwrap().next().map(drop).unwrap_err();
    assert_eq!(error.to_string(), "event log: record at byte 16 not valid");
}

#[test]
fn a_record_beyond_the_bound_is_not_written() {
    let bytes = vec![0; MAX_RECORD_BYTES];
    let chunk = Owned::Chunk(1, ToServer, 0, 0, bytes);
    let error = LogWriter::new(Vec::new()).unwrap().write(&chunk.record()).unwrap_err();
    assert!(error.is_limit(), "{error}");
}

#[test]
fn an_announced_length_costs_nothing_before_its_bytes_come() {
    let mut log = written(&[]);
    log.extend((MAX_RECORD_BYTES as u32).to_le_bytes());
    log.extend([0; 100]);
    assert_eq!(read(log.as_slice()), (vec![], Some(TailKind::Torn)));
    let last = log.len() - 104;
    log[last..last + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(read(log.as_slice()), (vec![], Some(TailKind::Damaged)));
}

fn opened(connection: u64, protocol: &str) -> Owned {
    Owned::Opened(connection, 1, 5, Ends::default(), protocol.into(), false)
}

fn chunk(connection: u64, direction: Direction, offset: u64, text: &str) -> Owned {
    Owned::Chunk(connection, direction, offset, 7, text.into())
}

fn replay(replay: &LogReplay, records: &[Owned]) -> (Vec<Span>, LogSummary) {
    let mut spans = Vec::new();
    let summary = replay.run(written(records).as_slice(), &mut |_, span| spans.push(span)).unwrap();
    assert!(summary.account.is_balanced() && summary.account.in_progress == 0, "{summary:?}");
    (spans, summary)
}

const REQUEST: &str = "GET / HTTP/1.1\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789";

#[test]
fn an_offset_that_jumps_is_a_loss_of_that_many_bytes() {
    let shop = || Owned::Service(1, "shop".into(), Vec::new());
    let part = |from: usize| &ANSWER[from..];
    for lost in [0, 3, 8] {
        let from = ANSWER.len() - 9 + lost;
        let records = [
            shop(),
            opened(1, "http"),
            chunk(1, ToServer, 0, REQUEST),
            chunk(1, ToClient, 0, &ANSWER[..ANSWER.len() - 9]),
            chunk(1, ToClient, from as u64, part(from)),
        ];
        let (spans, _) = replay(&LogReplay::default(), &records);
        assert_eq!(spans.len(), 1, "the body is whole without {lost} of its bytes");
    }
    let records =
        [shop(), opened(1, "http"), chunk(1, ToServer, 5, &REQUEST[5..]), chunk(1, ToClient, 0, ANSWER)];
    let (spans, summary) = replay(&LogReplay::default(), &records);
    assert_eq!((spans.len(), summary.account.refused), (0, 1));
}

#[test]
fn what_cannot_be_followed_is_counted() {
    let records = [
        Owned::Service(1, "shop".into(), Vec::new()),
        opened(1, ""),
        opened(2, "no such protocol"),
        Owned::Opened(3, 9, 5, Ends::default(), String::new(), false),
        opened(4, ""),
        chunk(1, ToServer, 0, REQUEST),
        chunk(2, ToServer, 0, REQUEST),
        Owned::Closed(3, ToServer, 8),
        Owned::Finished(4, 8, Ending::Closed),
        Owned::Lost(5, 500),
        chunk(1, ToClient, 0, ANSWER),
    ];
    let (spans, summary) = replay(&LogReplay::default().max_connections(1), &records);
    let counts = (summary.connections, summary.unknown_protocol, summary.over_limit, summary.stray);
    assert_eq!((spans.len(), counts), (1, (1, 0, 3, 3)));
    assert_eq!((summary.lost_records, summary.lost_bytes, summary.records), (5, 500, 11));
    let (_, summary) = replay(&LogReplay::default(), &records);
    assert_eq!((summary.unknown_protocol, summary.over_limit, summary.connections), (1, 0, 2));
    assert_eq!(summary.stray, 3, "the connection of an unknown service, and two records");
}

#[test]
fn a_number_used_again_ends_the_connection_that_had_it() {
    let records = [
        Owned::Service(1, "shop".into(), Vec::new()),
        opened(1, ""),
        chunk(1, ToServer, 0, REQUEST),
        opened(1, ""),
        chunk(1, ToServer, 0, REQUEST),
        chunk(1, ToClient, 0, ANSWER),
    ];
    let (spans, summary) = replay(&LogReplay::default(), &records);
    assert_eq!((spans.len(), summary.account.lost.shutdown), (1, 1));
}
