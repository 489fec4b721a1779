//! Conversations of many streams: every span right however they are cut and mixed, and none wrong whatever is lost.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]

mod frames;
mod stream;

use std::collections::HashMap;
use std::sync::Arc;

use frames::talk::{Mark, Plan, talk};
use frames::{Dice, END_HEADERS, END_STREAM, Encoder, HEADERS, PREFACE, frame};
use otlp_core::UnixNanos;
use otlp_core::record::{AnyValue, KeyValue, Span};
use otlp_ebpf::parse::grpc::status_name;
use otlp_ebpf::parse::http2::Http2;
use otlp_ebpf::parse::{Chunk, Direction};
use otlp_ebpf::{Account, Connection, Ending, Ends, IdSource, Limits, Service};
use proptest::prelude::*;
use stream::{ToClient, ToServer, Turns, bytewise, cut, cuts, whole};

fn connection(parser: Http2) -> Connection {
    let service = Service::new("shop", Arc::new(IdSource::seeded(7)));
    Connection::new(Arc::new(service), Box::new(parser), Ends::default())
}

/// Bytes of a direction, and how many were lost before them.
struct Piece {
    direction: Direction,
    missing: u64,
    bytes: Vec<u8>,
}

fn follow(mut connection: Connection, pieces: &[Piece]) -> (Vec<Span>, Account) {
    let mut spans = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        let time = UnixNanos::from_millis(number as u64 + 1);
        let chunk = Chunk::new(piece.direction, time, &piece.bytes).after_gap(piece.missing);
        connection.feed(chunk, &mut |span| spans.push(span));
        assert!(connection.held_bytes() < 512 << 10, "holds {}", connection.held_bytes());
    }
    let account = connection.account();
    assert!(account.is_balanced(), "{account:?}");
    let time = UnixNanos::from_millis(pieces.len() as u64 + 1);
    connection.finish(time, Ending::Closed, &mut |span| spans.push(span));
    let account = connection.account();
    assert!(account.is_balanced() && account.in_progress == 0, "{account:?}");
    (spans, account)
}

/// Cuts turns into pieces of up to `most` bytes, of which some are not seen: `holes` in a hundred, and the first
/// `late` of them all.
fn pieces(turns: &Turns, most: usize, (holes, late): (usize, usize), dice: &mut Dice) -> Vec<Piece> {
    let (mut pieces, mut missing, mut number) = (Vec::new(), [0_u64; 2], 0);
    for (direction, bytes) in turns {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (part, behind) = rest.split_at((1 + dice.below(most)).min(rest.len()));
            rest = behind;
            number += 1;
            let missing = &mut missing[usize::from(*direction == ToClient)];
            if number <= late {
                continue;
            }
            if dice.below(100) < holes {
                *missing += part.len() as u64;
                continue;
            }
            let missing = std::mem::take(missing);
            pieces.push(Piece { direction: *direction, missing, bytes: part.to_vec() });
        }
    }
    pieces
}

fn text<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    KeyValue::find(&span.attributes, key).and_then(AnyValue::as_str)
}

fn number(span: &Span, key: &str) -> Option<i64> {
    KeyValue::find(&span.attributes, key).and_then(AnyValue::as_int)
}

fn has_gap(span: &Span) -> bool {
    KeyValue::find(&span.attributes, "otlp.capture.gap").is_some()
}

fn mark(span: &Span) -> Option<Mark> {
    Mark::of_path(text(span, "url.path").or_else(|| text(span, "rpc.method"))?)
}

/// What is wrong about a span, if anything: a field that its own request did not have.
fn fault(span: &Span) -> Option<String> {
    let wrong = |what: &str| Some(format!("{what} of {span:?}"));
    let mark = mark(span);
    // Where the path was not seen, the trace tells which request it is, and the other way round.
    let traced = span.trace_id.to_string();
    let traced =
        traced.strip_prefix("0000000000000000000000000001").map(|low| u64::from_str_radix(low, 16).unwrap());
    let mark = match (mark, traced) {
        (Some(mark), Some(number)) if mark.0 as u64 != number => return wrong("path or context"),
        (mark, number) => mark.or(number.map(|number| Mark(number as usize)))?,
    };
    if span.parent_span_id.is_valid() && span.parent_span_id.to_string() != format!("{:016x}", mark.0 + 1) {
        return wrong("parent");
    }
    if number(span, "http.response.status_code").is_some_and(|status| status != i64::from(mark.status())) {
        return wrong("status");
    }
    let code = status_name(mark.grpc_status());
    let met = text(span, "rpc.response.status_code");
    if met.is_some() && (met != code || !mark.is_grpc()) {
        return wrong("grpc status");
    }
    let sizes = [
        ("http.request.body.size", mark.request_bytes()),
        ("http.response.body.size", mark.response_bytes()),
    ];
    if sizes.iter().any(|(key, size)| number(span, key).is_some_and(|met| usize::try_from(met) != Ok(*size)))
    {
        return wrong("size");
    }
    None
}

/// True where a span says all that its exchange had.
fn is_whole(span: &Span, rich: bool) -> bool {
    let Some(mark) = mark(span) else { return false };
    if rich && mark.is_reset() {
        return text(span, "error.type") == Some("cancel");
    }
    let answer = if mark.is_grpc() {
        span.name == mark.path()[1..]
            && text(span, "rpc.system.name") == Some("grpc")
            && text(span, "rpc.response.status_code").is_some()
    } else {
        span.name == if mark.request_bytes() > 0 { "POST" } else { "GET" }
            && number(span, "http.response.status_code").is_some()
            && number(span, "http.response.body.size").is_some()
            && number(span, "http.request.body.size").is_some()
            && text(span, "url.query") == Some("page=2")
    };
    answer
        && fault(span).is_none()
        && span.parent_span_id.is_valid()
        && text(span, "server.address") == Some("shop")
        && text(span, "network.protocol.version") == Some("2")
        && text(span, "user_agent.original") == Some("talk/1")
        && !has_gap(span)
}

fn check_whole(plan: Plan) {
    let turns = talk(plan);
    let pieces: Vec<_> = turns
        .iter()
        .map(|(direction, bytes)| Piece { direction: *direction, missing: 0, bytes: bytes.clone() })
        .collect();
    let (spans, account) = follow(connection(Http2::new(Limits::default())), &pieces);
    assert_eq!((spans.len(), account.lost.total()), (plan.streams, 0), "{plan:?} {account:?}");
    assert_eq!(
        (account.unparsed_to_server, account.unparsed_to_client, account.refused),
        (0, 0, 0),
        "{plan:?}"
    );
    let mut seen = HashMap::new();
    for span in &spans {
        assert!(is_whole(span, plan.rich), "{plan:?} {span:#?} {:?}", fault(span));
        *seen.entry(mark(span).unwrap().0).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), plan.streams, "each once");
}

#[test]
fn every_span_is_right_with_up_to_a_thousand_streams_at_once() {
    for (streams, at_once) in [(1, 1), (40, 2), (100, 10), (300, 100), (1200, 1000)] {
        for rich in [false, true] {
            check_whole(Plan { streams, at_once, rich, seed: streams as u64 });
        }
    }
}

#[test]
fn streams_beyond_the_limit_are_counted_and_harm_no_other() {
    let turns = talk(Plan { streams: 1500, at_once: 1500, rich: false, seed: 5 });
    let pieces = pieces(&turns, 1 << 20, (0, 0), &mut Dice::new(1));
    let (spans, account) = follow(connection(Http2::new(Limits::default().max_in_flight(100))), &pieces);
    assert_eq!(account.requests, 1500, "{account:?}");
    assert!(spans.iter().all(|span| fault(span).is_none()));
    let limits = Limits::default().max_in_flight(100);
    let service = Service::new("shop", Arc::new(IdSource::seeded(7))).limits(limits.clone());
    let few = Connection::new(Arc::new(service), Box::new(Http2::new(limits)), Ends::default());
    let (spans, account) = follow(few, &pieces);
    assert!(account.lost.in_flight_limit > 1000, "{account:?}");
    assert_eq!(account.spans + account.lost.total(), 1500, "{account:?}");
    assert!(spans.iter().all(|span| is_whole(span, false)));
}

#[test]
#[ignore = "long: 10,000 conversations, of up to 1,000 streams at once"]
fn every_span_is_right_in_ten_thousand_conversations() {
    for seed in 0..10_000 {
        let mut dice = Dice::new(seed);
        let at_once = [1, 3, 30, 1000][dice.below(4)];
        check_whole(Plan { streams: 1 + dice.below(at_once + 40), at_once, rich: dice.one_in(2), seed });
    }
}

/// What became of a holed conversation.
#[derive(Debug, Default)]
struct Found {
    spans: usize,
    whole: usize,
    asked: usize,
}

fn check_holed(seed: u64, found: &mut Found) {
    let mut dice = Dice::new(seed);
    let at_once = [1, 4, 30, 200][dice.below(4)];
    let plan = Plan { streams: 20 + dice.below(60), at_once, rich: dice.one_in(2), seed };
    let turns = talk(plan);
    let late = if dice.one_in(2) { dice.below(turns.len()) } else { 0 };
    let most = [1, 20, 200, 5000][dice.below(4)];
    let pieces = pieces(&turns, most, (dice.below(31), late), &mut dice);
    let late = late > 0;
    let parser = if late { Http2::mid_stream(Limits::default()) } else { Http2::new(Limits::default()) };
    let (spans, _) = follow(connection(parser), &pieces);
    for span in &spans {
        assert_eq!(fault(span), None, "seed {seed} {plan:?}");
    }
    found.spans += spans.len();
    found.whole += spans.iter().filter(|span| is_whole(span, plan.rich)).count();
    found.asked += plan.streams;
}

#[test]
fn no_span_is_wrong_whatever_is_lost() {
    let mut found = Found::default();
    (0..60).for_each(|seed| check_holed(seed, &mut found));
    assert!(found.spans * 5 > found.asked && found.whole > 0, "{found:?}");
}

/// True where a span says what was asked, and what was answered: of gRPC the status is in the table as a rule, and
/// unknown with it.
fn is_answered(span: &Span) -> bool {
    let answer = number(span, "http.response.status_code").is_some();
    mark(span).is_some_and(|mark| answer || mark.is_grpc())
}

#[test]
fn most_exchanges_are_told_where_few_frames_are_lost() {
    let (mut answered, mut asked) = (0, 0);
    for seed in 0..15 {
        let mut dice = Dice::new(seed);
        let plan = Plan { streams: 100, at_once: 1 + dice.below(30), rich: false, seed };
        let pieces = pieces(&talk(plan), 1 << 20, (1, 0), &mut dice);
        let (spans, _) = follow(connection(Http2::new(Limits::default())), &pieces);
        assert!(spans.iter().all(|span| fault(span).is_none()));
        answered += spans.iter().filter(|span| is_answered(span)).count();
        asked += plan.streams;
    }
    assert!(answered * 20 > asked * 19, "{answered} of {asked}");
}

#[test]
#[ignore = "long: 10,000 conversations with holes and late starts"]
fn no_span_is_wrong_in_ten_thousand_conversations_with_holes() {
    let mut found = Found::default();
    (0..10_000).for_each(|seed| check_holed(seed, &mut found));
    println!("{found:?}");
}

#[test]
fn the_checks_notice_what_belongs_to_another_request() {
    let turns = talk(Plan { streams: 40, at_once: 3, rich: false, seed: 3 });
    let pieces = pieces(&turns, 1 << 20, (0, 0), &mut Dice::new(1));
    let (spans, _) = follow(connection(Http2::new(Limits::default())), &pieces);
    assert!(spans.iter().all(|span| fault(span).is_none()));
    let keys =
        ["url.path", "http.response.status_code", "http.response.body.size", "rpc.response.status_code"];
    let mut noticed = 0;
    for (one, other) in spans.iter().zip(spans.iter().cycle().skip(1)) {
        for key in keys {
            let mut mixed = one.clone();
            let Some(value) = KeyValue::find(&other.attributes, key) else { continue };
            let Some(place) = mixed.attributes.iter_mut().find(|attribute| attribute.key == key) else {
                continue;
            };
            if place.value != *value {
                place.value = value.clone();
                assert!(fault(&mixed).is_some(), "{key} {mixed:?}");
                noticed += 1;
            }
        }
        let mut mixed = one.clone();
        mixed.trace_id = other.trace_id;
        assert!(fault(&mixed).is_some());
    }
    assert!(noticed > 10);
}

/// Loses `lost` bytes at `at` of what the client says: gives the requests answered, and those that begin behind the
/// loss or end before it.
fn answered_after(requests: &[Vec<u8>], at: usize, lost: usize) -> (usize, usize) {
    let stream = requests.concat();
    let mut parser = connection(Http2::new(Limits::default()));
    let mut spans = Vec::new();
    let mut encoder = Encoder::new();
    let opening = [PREFACE, &frame(4, 0, 0, &[])].concat();
    for (missing, bytes) in [(0, opening.as_slice()), (0, &stream[..at]), (lost, &stream[at + lost..])] {
        let chunk = Chunk::new(ToServer, UnixNanos(1), bytes).after_gap(missing as u64);
        parser.feed(chunk, &mut |span| spans.push(span));
    }
    parser.feed(Chunk::new(ToClient, UnixNanos(2), &frame(4, 0, 0, &[])), &mut |_| {});
    for number in 0..requests.len() as u32 {
        let answer =
            frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &encoder.usual(&[(":status", "200")]));
        parser.feed(Chunk::new(ToClient, UnixNanos(3), &answer), &mut |span| spans.push(span));
    }
    let mut end = 0;
    let unhurt = requests.iter().filter(|request| {
        let begin = end;
        end += request.len();
        begin >= at + lost || end <= at
    });
    (spans.len(), unhurt.count())
}

#[test]
fn after_any_loss_the_next_head_is_read() {
    let mut encoder = Encoder::new();
    let requests: Vec<_> = (0..12)
        .map(|number| {
            let path = format!("/item/{number}");
            let fields = [(":method", "GET"), (":scheme", "http"), (":path", &path), (":authority", "shop")];
            frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &encoder.usual(&fields))
        })
        .collect();
    let total: usize = requests.iter().map(Vec::len).sum();
    for at in 0..total - 40 {
        for lost in [1, 2, 9, 13, 30] {
            let (answered, unhurt) = answered_after(&requests, at, lost);
            assert!(answered >= unhurt, "{answered} of {unhurt}: {lost} bytes lost at {at}");
        }
    }
}

fn plan() -> impl Strategy<Value = Plan> {
    (1..30_usize, 1..12_usize, any::<bool>(), any::<u64>()).prop_map(|(streams, at_once, rich, seed)| Plan {
        streams,
        at_once,
        rich,
        seed,
    })
}

/// Damages a byte here and there.
fn damage(turns: &mut Turns, count: usize, dice: &mut Dice) {
    for _ in 0..count {
        let at = dice.below(turns.len());
        let bytes = &mut turns[at].1;
        let at = dice.below(bytes.len());
        bytes[at] = dice.roll() as u8;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_cut_tells_the_same(plan in plan(), cuts in cuts(), damaged in 0..4_usize, late: bool) {
        let mut turns = talk(plan);
        damage(&mut turns, damaged, &mut Dice::new(plan.seed));
        let parser = || {
            if late { Http2::mid_stream(Limits::default()) } else { Http2::new(Limits::default()) }
        };
        let told = whole(parser(), &turns);
        let parted = cut(parser(), &turns, &cuts);
        prop_assert_eq!(&told.events, &parted.events);
        prop_assert_eq!(told.unparsed, parted.unparsed);
        let slowly = bytewise(parser(), &turns);
        prop_assert_eq!(&told.events, &slowly.events);
        prop_assert_eq!(told.unparsed, slowly.unparsed);
    }

    #[test]
    fn damage_and_holes_together_make_nobody_panic(plan in plan(), damaged in 0..20_usize, holes in 0..40_usize) {
        let mut turns = talk(plan);
        let mut dice = Dice::new(plan.seed);
        damage(&mut turns, damaged, &mut dice);
        let pieces = pieces(&turns, 60, (holes, 0), &mut dice);
        follow(connection(Http2::new(Limits::default().max_in_flight(8))), &pieces);
    }
}
