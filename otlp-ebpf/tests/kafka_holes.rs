//! Kafka with holes, late starts, cuts and damage: no panic, no field of one request on another, soon found again.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]

mod kafka_wire;
mod stream;

use std::sync::Arc;

use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, GroupId, HeartbeatRequest, HeartbeatResponse,
};
use kafka_wire::{Said, answer_by_hand, by_hand, fetch, metadata, produce, produce_request, said, text};
use otlp_core::UnixNanos;
use otlp_core::record::{AnyValue, KeyValue, Span};
use otlp_ebpf::parse::kafka::Kafka;
use otlp_ebpf::parse::{Chunk, Direction, infer::Inferring};
use otlp_ebpf::{Account, Connection, Ending, Ends, IdSource, Limits, Service};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use stream::{ToClient, ToServer, Turns, cut, cuts, direction, whole};

/// An exchange of which everything that is told is known, by its number.
#[derive(Debug, Clone)]
struct Known {
    said: Said,
    api: &'static str,
    topic: Option<String>,
    group: Option<String>,
    error: Option<&'static str>,
    /// Messages, and whether the request has them.
    count: Option<(i64, bool)>,
    /// Whether its answer is known to the last byte.
    full: bool,
}

const ERRORS: [(i16, Option<&str>); 3] =
    [(0, None), (3, Some("UNKNOWN_TOPIC_OR_PARTITION")), (19, Some("NOT_ENOUGH_REPLICAS"))];

fn known(number: i32, kind: u8, version: i16) -> Known {
    let (code, error) = ERRORS[usize::try_from(number % 3).unwrap()];
    let name = format!("t{number}");
    let count = i64::from(number % 5);
    let portions: &[(&str, &[(i32, i64)])] = &[(&name, &[(number, count)])];
    let simple = |api, said| Known { said, api, topic: None, group: None, error, count: None, full: true };
    match kind {
        0 => Known {
            topic: Some(name.clone()),
            count: Some((count, true)),
            ..simple("Produce", produce(number, 3 + version % 10, portions, code))
        },
        1 => {
            let ask = produce_request(3 + version % 10, 0, portions, 200);
            let request = kafka_wire::request(number, 3 + version % 10, &ask);
            let said = Said { request, response: Vec::new() };
            Known {
                topic: Some(name.clone()),
                count: Some((count, true)),
                error: None,
                ..simple("Produce", said)
            }
        }
        2 => Known {
            topic: Some(name.clone()),
            count: Some((count, false)),
            ..simple("Fetch", fetch(number, 4 + version % 9, portions, code))
        },
        3 => simple("Metadata", metadata(number, version % 14, &[&name, "other"], code)),
        4 => {
            let (group, version) = (format!("g{number}"), version % 5);
            let ask = HeartbeatRequest::default().with_group_id(GroupId(text(&group)));
            let said = said(number, version, &ask, &HeartbeatResponse::default().with_error_code(code));
            Known { group: Some(group), ..simple("Heartbeat", said) }
        }
        5 => {
            let version = version % 5;
            let answer = ApiVersionsResponse::default().with_error_code(code);
            simple("ApiVersions", said(number, version, &ApiVersionsRequest::default(), &answer))
        }
        _ => {
            let said = Said {
                request: by_hand(37, 0, number, &[0, 0, 0, 1, 0, 1, b'x', 0, 0, 0, 5]),
                response: answer_by_hand(number, &[0, 0, 0, 0, 0, 0, 0, 1, 0, 1, b'x', 0, 0, 0, 3]),
            };
            Known { error: None, full: false, ..simple("CreatePartitions", said) }
        }
    }
}

fn conversation(least: usize) -> impl Strategy<Value = Vec<Known>> {
    (vec((0..7_u8, 0..14_i16), least..least + 10), 1..2000_i32).prop_map(|(kinds, first)| {
        let number = |at: usize| first + i32::try_from(at).unwrap();
        kinds.iter().enumerate().map(|(at, (kind, version))| known(number(at), *kind, *version)).collect()
    })
}

/// A piece of one exchange, and whether it is seen.
#[derive(Debug, Clone)]
struct Piece {
    exchange: usize,
    direction: Direction,
    bytes: Vec<u8>,
    lost: bool,
}

/// The pieces of a conversation: cut at random, some of them lost; requests come `ahead` of answers.
fn pieces(all: &[Known], ahead: usize, chance: u64, mut dice: impl FnMut() -> u64) -> Vec<Piece> {
    let mut order: Vec<_> = (0..all.len()).map(|at| (at, at, ToServer)).collect();
    order.extend((0..all.len()).map(|at| (at + ahead, at, ToClient)));
    order.sort_by_key(|(when, _, direction)| (*when, *direction == ToClient));
    let mut pieces = Vec::new();
    for (_, exchange, direction) in order {
        let said = &all[exchange].said;
        let mut rest = if direction == ToServer { said.request.as_slice() } else { &said.response };
        while !rest.is_empty() {
            let length = (1 + dice() as usize % 70).min(rest.len());
            let lost = dice() % 1000 < chance;
            pieces.push(Piece { exchange, direction, bytes: rest[..length].to_vec(), lost });
            rest = &rest[length..];
        }
    }
    pieces
}

fn at(exchange: usize, answer: bool) -> UnixNanos {
    UnixNanos::from_millis(1000 + 10 * exchange as u64 + u64::from(answer))
}

/// Feeds what is seen of the pieces from `from` on; every account is exact.
fn follow(pieces: &[Piece], from: usize) -> (Vec<Span>, Account) {
    let service = Arc::new(Service::new("broker", Arc::new(IdSource::seeded(1))));
    let parser = if from == 0 { Kafka::new(Limits::default()) } else { Kafka::mid_stream(Limits::default()) };
    let mut connection = Connection::new(service, Box::new(parser), Ends::default());
    let mut spans = Vec::new();
    let mut missing = [0, 0];
    for piece in &pieces[from.min(pieces.len())..] {
        let missing = &mut missing[usize::from(piece.direction == ToClient)];
        if piece.lost {
            *missing += piece.bytes.len() as u64;
            continue;
        }
        let time = at(piece.exchange, piece.direction == ToClient);
        let chunk = Chunk::new(piece.direction, time, &piece.bytes).after_gap(std::mem::take(missing));
        connection.feed(chunk, &mut |span| spans.push(span));
        assert!(connection.account().is_balanced(), "{:?}", connection.account());
        assert!(connection.held_bytes() < 16 << 10, "holds {}", connection.held_bytes());
    }
    let account = connection.account();
    connection.finish(at(9999, true), Ending::Shutdown, &mut |span| spans.push(span));
    assert!(connection.account().is_balanced());
    (spans, account)
}

fn attribute<'a>(span: &'a Span, key: &str) -> Option<&'a AnyValue> {
    KeyValue::find(&span.attributes, key)
}

/// The exchange that a span is of, by when it began.
fn exchange(span: &Span) -> usize {
    ((span.start.0 / 1_000_000 - 1000) / 10) as usize
}

/// Nothing is told of an exchange that is not its own; what is missing is missing for a gap.
fn check(spans: &[Span], all: &[Known], begun_late: bool) -> Result<(), TestCaseError> {
    let mut seen = vec![0; all.len()];
    for span in spans {
        let text = |key| attribute(span, key).and_then(AnyValue::as_str);
        let gap = attribute(span, "otlp.capture.gap").is_some();
        let exchange = exchange(span);
        let known = &all[exchange];
        seen[exchange] += 1;
        prop_assert_eq!(text("messaging.operation.name"), Some(known.api), "{:?}", span);
        // One without an answer ends when the connection is looked at next.
        let ends = known.said.response.is_empty() || span.end == at(exchange, true);
        prop_assert!(ends, "{:?}", span);
        for (key, right) in [
            ("messaging.client.id", Some(kafka_wire::CLIENT)),
            ("messaging.destination.name", known.topic.as_deref()),
            ("messaging.consumer.group.name", known.group.as_deref()),
            ("error.type", known.error),
        ] {
            let met = text(key);
            let none_of_it = met.is_none() && (gap || begun_late);
            prop_assert!(met == right || none_of_it, "{} is {:?}, not {:?}: {:?}", key, met, right, span);
        }
        let count = attribute(span, "messaging.batch.message_count").and_then(AnyValue::as_int);
        let right = known.count.map(|(count, _)| count);
        prop_assert!(
            count == right || count.is_none() && gap,
            "{:?} messages, not {:?}: {:?}",
            count,
            right,
            span
        );
    }
    prop_assert!(seen.iter().all(|times| *times <= 1), "{:?}", seen);
    Ok(())
}

/// Exchanges that must have their spans: all that began behind the last loss and one message for finding the place
/// again; two where the first cannot be known to its end.
fn must(pieces: &[Piece], all: &[Known]) -> Vec<usize> {
    let damaged = pieces.iter().rposition(|piece| piece.lost).map(|last| pieces[last].exchange);
    let Some(damaged) = damaged else { return (0..all.len()).collect() };
    let sure = |at: &usize| all[*at].full && !all[*at].said.response.is_empty();
    let first = (damaged + 1..all.len()).find(sure).map_or(all.len(), |at| at + 1);
    (first..all.len()).collect()
}

fn dice(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    }
}

fn holes(all: &[Known], ahead: usize, chance: u64, seed: u64) -> Result<(), TestCaseError> {
    let pieces = pieces(all, ahead, chance, dice(seed));
    let (spans, account) = follow(&pieces, 0);
    check(&spans, all, false)?;
    if chance == 0 {
        prop_assert_eq!((spans.len() as u64, account.lost.total()), (account.requests, 0), "{:?}", account);
        prop_assert_eq!(account.unparsed_to_server + account.unparsed_to_client, 0);
    }
    if ahead == 0 {
        let met: Vec<_> = spans.iter().map(exchange).collect();
        for must in must(&pieces, all) {
            prop_assert!(met.contains(&must), "{} of {} not found again: {:?}", must, all.len(), met);
        }
    }
    Ok(())
}

fn late(all: &[Known], from: &Index, seed: u64) -> Result<(), TestCaseError> {
    let pieces = pieces(all, 0, 0, dice(seed));
    let from = from.index(pieces.len());
    let (spans, _) = follow(&pieces, from);
    check(&spans, all, true)?;
    let met: Vec<_> = spans.iter().map(exchange).collect();
    let first = pieces[from].exchange + 1;
    let sure = |at: &usize| all[*at].full && !all[*at].said.response.is_empty();
    let found = (first..all.len()).find(sure).unwrap_or(all.len());
    for must in found..all.len() {
        prop_assert!(met.contains(&must), "{} of {} not found from {}: {:?}", must, all.len(), from, met);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn holes_take_no_more_than_they_hit(
        all in conversation(3), ahead in 0..3_usize, chance in prop_oneof![Just(0_u64), 1..300_u64], seed: u64,
    ) {
        holes(&all, ahead, chance, seed)?;
    }

    #[test]
    fn a_connection_seen_late_is_followed_from_its_next_message(all in conversation(4), from: Index, seed: u64) {
        late(&all, &from, seed)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    #[ignore = "long: ten thousand conversations"]
    fn holes_take_no_more_than_they_hit_in_ten_thousand_conversations(
        all in conversation(3), ahead in 0..3_usize, chance in 0..300_u64, seed: u64,
    ) {
        holes(&all, ahead, chance, seed)?;
    }

    #[test]
    #[ignore = "long: ten thousand conversations"]
    fn ten_thousand_connections_seen_late_are_followed(all in conversation(4), from: Index, seed: u64) {
        late(&all, &from, seed)?;
    }
}

#[test]
fn an_answer_that_is_told_of_another_request_is_noticed() {
    let mut all: Vec<_> = [(1, 4), (2, 4), (3, 3)].map(|(number, kind)| known(number, kind, 3)).to_vec();
    let pieces_of = |all: &[Known]| pieces(all, 2, 0, dice(7));
    assert!(check(&follow(&pieces_of(&all), 0).0, &all, false).is_ok());
    // Their numbers are exchanged.
    let number = all[0].said.response[4..8].to_vec();
    all[0].said.response[4..8].copy_from_slice(&[0, 0, 0, 2]);
    all[1].said.response[4..8].copy_from_slice(&number);
    assert!(check(&follow(&pieces_of(&all), 0).0, &all, false).is_err());
}

#[test]
fn a_hole_that_is_not_told_is_noticed() {
    let all: Vec<_> = (1..9).map(|number| known(number, 0, 5)).collect();
    let mut pieces = pieces(&all, 0, 0, dice(3));
    assert_eq!(follow(&pieces, 0).0.len(), all.len());
    pieces.remove(2);
    assert_ne!(follow(&pieces, 0).0.len(), all.len());
}

/// Small enough for the tests to meet them.
fn limits() -> Limits {
    Limits::default().max_in_flight(8).max_topics(4).max_value_bytes(1 << 20)
}

const MAY_HOLD: usize = 24 << 10;

fn same(turns: &Turns, at: &[Index]) -> Result<(), TestCaseError> {
    let parsers: [fn() -> Box<dyn otlp_ebpf::parse::Parser>; 3] = [
        || Box::new(Kafka::new(limits())),
        || Box::new(Kafka::mid_stream(limits())),
        || Box::new(Inferring::new(limits())),
    ];
    for parser in parsers {
        let (whole, cut) = (whole(Boxed(parser()), turns), cut(Boxed(parser()), turns, at));
        prop_assert_eq!(&whole.events, &cut.events);
        prop_assert_eq!(whole.unparsed, cut.unparsed);
        for held in [whole.held, cut.held] {
            prop_assert!(held <= MAY_HOLD, "held {} bytes", held);
        }
    }
    Ok(())
}

struct Boxed(Box<dyn otlp_ebpf::parse::Parser>);

impl otlp_ebpf::parse::Parser for Boxed {
    fn feed(&mut self, chunk: Chunk<'_>, on: &mut dyn FnMut(otlp_ebpf::parse::Event<'_>)) {
        self.0.feed(chunk, on);
    }

    fn close(&mut self, to: Direction, time: UnixNanos, on: &mut dyn FnMut(otlp_ebpf::parse::Event<'_>)) {
        self.0.close(to, time, on);
    }

    fn realign(&mut self, in_flight: usize, on: &mut dyn FnMut(otlp_ebpf::parse::Event<'_>)) {
        self.0.realign(in_flight, on);
    }

    fn held_bytes(&self) -> usize {
        self.0.held_bytes()
    }
}

fn wrong() -> impl Strategy<Value = Vec<(Index, u8)>> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(vec![0, 1, 2, 4, 18, 0x7f, 0xff])];
    prop_oneof![1 => Just(Vec::new()), 2 => vec((any::<Index>(), byte), 1..6)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn kafka_tells_the_same_at_any_cut(all in conversation(1), wrong in wrong(), pipelined: bool, at in cuts()) {
        let requests = all.iter().map(|known| (ToServer, known.said.request.clone()));
        let responses = all.iter().map(|known| (ToClient, known.said.response.clone()));
        let mut turns: Turns = if pipelined {
            let join = |turns: Turns| turns.into_iter().flat_map(|(_, bytes)| bytes).collect();
            vec![(ToServer, join(requests.collect())), (ToClient, join(responses.collect()))]
        } else {
            requests.zip(responses).flat_map(|(request, response)| [request, response]).collect()
        };
        let total: usize = turns.iter().map(|(_, bytes)| bytes.len()).sum();
        for (place, byte) in wrong {
            let mut place = place.index(total);
            for (_, bytes) in &mut turns {
                if place < bytes.len() {
                    bytes[place] = byte;
                    break;
                }
                place -= bytes.len();
            }
        }
        same(&turns, &at)?;
    }

    #[test]
    fn garbage_tells_the_same_at_any_cut(
        turns in vec((direction(), vec(any::<u8>(), 0..600)), 1..4),
        likely in vec((direction(), vec(prop_oneof![4 => Just(0_u8), 2 => 0..20_u8, 1 => any::<u8>()], 0..900)), 1..6),
        at in cuts(),
    ) {
        same(&turns, &at)?;
        same(&likely, &at)?;
    }
}
