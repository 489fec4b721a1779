//! After a hole connections are followed again within one message, and no span has another one's answer.
//!
//! In the protocols whose answers come in order: HTTP/1, Redis, MySQL and PostgreSQL. (Kafka's and HTTP/2's have numbers:
//! `kafka_holes.rs`, `http2_streams.rs`.)
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]

mod sql_session;

use std::collections::BTreeSet;
use std::sync::Arc;

use otlp_core::UnixNanos;
use otlp_core::record::{AnyValue, KeyValue, Span};
use otlp_ebpf::parse::infer::{Builtin, Protocol};
use otlp_ebpf::parse::{Chunk, Direction};
use otlp_ebpf::{Account, Connection, Ending, Ends, IdSource, Limits, Service};
use sql_session::{Dice, Session, fails, rows};

use Direction::{ToClient, ToServer};

const IN_ORDER: [Builtin; 4] = [Builtin::Http1, Builtin::Redis, Builtin::MySql, Builtin::Postgres];

/// Exchanges of a session at most.
const MOST: usize = 30;

/// What the client of a session is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    /// Asks once it has its answer.
    Waits,
    /// Sends some requests at once, and again when all are answered.
    Batches,
    /// Always has some requests on the way, but for a rest now and then.
    Slides,
}

const CLIENTS: [Client; 3] = [Client::Waits, Client::Batches, Client::Slides];

/// A piece of an exchange as it was sent.
#[derive(Debug, Clone)]
struct Piece {
    direction: Direction,
    millis: u64,
    bytes: Vec<u8>,
    /// The exchange that it is of.
    id: usize,
    /// The count of rests before it.
    rests: usize,
}

/// A conversation in pieces.
#[derive(Debug)]
struct Talk {
    pieces: Vec<Piece>,
    /// Before these the client cannot have been seen to do what it does.
    settled: usize,
    exchanges: usize,
    /// The exchanges that come first after a rest.
    fresh: Vec<usize>,
}

/// The bytes of an exchange, the answer of which tells what was asked.
fn exchange(protocol: Builtin, id: usize, dice: &mut Dice) -> [Vec<u8>; 2] {
    match protocol {
        Builtin::Http1 => http(id, dice),
        Builtin::Redis => redis(id, dice),
        Builtin::MySql => mysql(id),
        _ => postgres(id),
    }
}

fn http(id: usize, dice: &mut Dice) -> [Vec<u8>; 2] {
    let body = "b".repeat(if dice.one_in(2) { dice.below(90) } else { 0 });
    let method = if body.is_empty() { "GET" } else { "POST" };
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let request = format!("{method} /{id} HTTP/1.1\r\nHost: shop\r\n{length}\r\n{body}");
    let status = 200 + id;
    let answer = "a".repeat(dice.below(90));
    let response = match (status, dice.one_in(3)) {
        (204 | 304, _) => format!("HTTP/1.1 {status} x\r\n\r\n"),
        (_, true) if !answer.is_empty() => format!(
            "HTTP/1.1 {status} x\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{answer}\r\n0\r\n\r\n",
            answer.len()
        ),
        _ => format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n{answer}", answer.len()),
    };
    [request.into_bytes(), response.into_bytes()]
}

fn redis(id: usize, dice: &mut Dice) -> [Vec<u8>; 2] {
    let value = "v".repeat(dice.below(60));
    let name = format!("C{id}");
    let request = format!("*3\r\n${}\r\n{name}\r\n$3\r\nkey\r\n${}\r\n{value}\r\n", name.len(), value.len());
    let response =
        if fails(id) { format!("-E{id} no\r\n") } else { format!("${}\r\n{value}\r\n", value.len()) };
    [request.into_bytes(), response.into_bytes()]
}

fn packets(first: u8, bodies: &[Vec<u8>]) -> Vec<u8> {
    let packet = |(number, body): (u8, &Vec<u8>)| {
        [&u32::try_from(body.len()).unwrap().to_le_bytes()[..3], &[number], body].concat()
    };
    (first..).zip(bodies).flat_map(packet).collect()
}

fn mysql(id: usize) -> [Vec<u8>; 2] {
    let request = packets(0, &[format!("\x03SELECT a FROM t{id}").into_bytes()]);
    let answer = if fails(id) {
        let code = u16::try_from(1000 + id).unwrap().to_le_bytes();
        vec![[&[0xff], code.as_slice(), b"#HY000no"].concat()]
    } else {
        let end = vec![0xfe, 0, 0, 2, 0];
        let column = [b"\x03def\x04shop".as_slice(), &[0; 20]].concat();
        let rows = (0..rows(id)).map(|_| b"\x01a".to_vec());
        [vec![vec![1], column, end.clone()], rows.collect(), vec![end]].concat()
    };
    [request, packets(1, &answer)]
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], u32::try_from(body.len() + 4).unwrap().to_be_bytes().as_slice(), body].concat()
}

fn postgres(id: usize) -> [Vec<u8>; 2] {
    let request = message(b'Q', format!("SELECT a FROM t{id}\0").as_bytes());
    let answer = if fails(id) {
        message(b'E', format!("SERROR\0C{id:05}\0Mno\0\0").as_bytes())
    } else {
        let row = message(b'D', &[0, 1, 0, 0, 0, 1, b'a']).repeat(rows(id));
        let tag = message(b'C', format!("SELECT {}\0", rows(id)).as_bytes());
        [message(b'T', &[0, 0]), row, tag].concat()
    };
    [request, [answer, message(b'Z', b"I")].concat()]
}

/// What is said before the first request.
fn login(protocol: Builtin, dice: &mut Dice) -> Session {
    let mut session = match protocol {
        Builtin::MySql => loop {
            // One whose result sets end as `mysql` has it.
            let session = sql_session::mysql(0, dice);
            if session.said[1].1[7] & 1 == 0 {
                break session;
            }
        },
        Builtin::Postgres => sql_session::postgres(0, false, dice),
        _ => return Session::default(),
    };
    session.said.retain(|(_, bytes)| !bytes.is_empty());
    session
}

fn talk(protocol: Builtin, client: Client, dice: &mut Dice) -> Talk {
    let mut talk = Talk { pieces: Vec::new(), settled: 0, exchanges: 0, fresh: Vec::new() };
    let (mut millis, mut rests) = (1000, 0);
    for (direction, bytes) in login(protocol, dice).said {
        talk.pieces.push(Piece { direction, millis, bytes, id: 0, rests });
    }
    talk.settled = talk.pieces.len();
    let mut owed: Vec<(usize, Vec<u8>)> = Vec::new();
    while talk.exchanges < MOST || !owed.is_empty() {
        let may_ask = talk.exchanges < MOST && (owed.is_empty() || client == Client::Slides);
        let asks = if !may_ask {
            0
        } else if client == Client::Waits {
            1
        } else {
            2 + dice.below(3)
        };
        let mut burst = Vec::new();
        for _ in 0..asks {
            talk.exchanges += 1;
            let [request, response] = exchange(protocol, talk.exchanges, dice);
            burst.push((talk.exchanges, request));
            owed.push((talk.exchanges, response));
        }
        say(&mut talk.pieces, ToServer, burst, (&mut millis, rests), dice);
        // The one that slides is never without a request on its way, until it rests.
        let rest = talk.exchanges == MOST || dice.one_in(4);
        let keep = if client == Client::Slides && !rest { 1 + dice.below(owed.len().max(2) - 1) } else { 0 };
        let answers = owed.drain(..owed.len().saturating_sub(keep)).collect();
        say(&mut talk.pieces, ToClient, answers, (&mut millis, rests), dice);
        if talk.exchanges >= 5 && talk.settled < 20 {
            talk.settled = talk.settled.max(talk.pieces.len());
        }
        if rest {
            millis += 2000;
            rests += 1;
            talk.fresh.push(talk.exchanges + 1);
        } else {
            millis += 1 + dice.below(20) as u64;
        }
    }
    talk
}

/// Says some messages one behind the other, in pieces.
fn say(
    pieces: &mut Vec<Piece>,
    direction: Direction,
    messages: Vec<(usize, Vec<u8>)>,
    (millis, rests): (&mut u64, usize),
    dice: &mut Dice,
) {
    let whole = dice.one_in(2);
    let mut last: Option<Piece> = None;
    for (id, bytes) in messages {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let count = if whole { rest.len() } else { (1 + dice.below(80)).min(rest.len()) };
            let (bytes, behind) = rest.split_at(count);
            rest = behind;
            match &mut last {
                // Messages of a burst may come in one piece.
                Some(piece) if whole => piece.bytes.extend_from_slice(bytes),
                _ => {
                    pieces.extend(last.take());
                    last = Some(Piece { direction, millis: *millis, bytes: bytes.to_vec(), id, rests });
                    *millis += u64::from(dice.one_in(5));
                }
            }
        }
    }
    pieces.extend(last);
    *millis += 1 + dice.below(9) as u64;
}

fn follow(protocol: Builtin, pieces: &[Piece], lost: &[bool], late: bool) -> (Vec<Span>, Account) {
    let service = Arc::new(Service::new("shop", Arc::new(IdSource::seeded(7))));
    let limits = Limits::default();
    let parser = if late { protocol.parser_mid_stream(&limits) } else { protocol.parser(&limits) };
    let mut connection = Connection::new(service, parser, Ends::default());
    if late {
        connection = connection.late();
    }
    let (mut spans, mut missing) = (Vec::new(), [0, 0]);
    for (piece, lost) in pieces.iter().zip(lost) {
        let missing = &mut missing[usize::from(piece.direction == ToClient)];
        if *lost {
            *missing += piece.bytes.len() as u64;
            continue;
        }
        let chunk = Chunk::new(piece.direction, UnixNanos::from_millis(piece.millis), &piece.bytes);
        connection.feed(chunk.after_gap(std::mem::take(missing)), &mut |span| spans.push(span));
        assert!(connection.account().is_balanced(), "{:?}", connection.account());
    }
    let account = connection.account();
    connection.finish(UnixNanos::from_secs(9999), Ending::Shutdown, &mut |_| {});
    (spans, account)
}

fn text<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    KeyValue::find(&span.attributes, key).and_then(AnyValue::as_str)
}

fn number(span: &Span, key: &str) -> Option<i64> {
    KeyValue::find(&span.attributes, key).and_then(AnyValue::as_int)
}

/// The exchange that a span is of.
fn id(span: &Span) -> Option<usize> {
    let name = text(span, "url.path").or_else(|| text(span, "db.query.summary")).unwrap_or(&span.name);
    name.trim_start_matches("SELECT t").trim_start_matches(['/', 'C']).parse().ok()
}

/// Whether the answer of a span may be that of what it asked.
fn is_right(span: &Span) -> bool {
    let Some(id) = id(span) else { return true };
    let code = text(span, "db.response.status_code");
    let returned = number(span, "db.response.returned_rows");
    match text(span, "db.system.name") {
        None => number(span, "http.response.status_code") == i64::try_from(200 + id).ok(),
        Some("redis") => code == fails(id).then(|| format!("E{id}")).as_deref(),
        // The code was in a hole.
        Some(_) if text(span, "error.type") == Some("_OTHER") => fails(id),
        Some("mysql") if fails(id) => code == Some(&format!("{}", 1000 + id)),
        Some(_) if fails(id) => code == Some(&format!("{id:05}")),
        Some(_) => code.is_none() && returned.unwrap_or(0) == i64::try_from(rows(id)).unwrap(),
    }
}

/// The first exchange that must have its span, as all behind it, where these pieces were lost.
fn found_again(talk: &Talk, client: Client, lost: &[bool]) -> usize {
    let of = |direction: Direction| {
        let hit = (0..lost.len()).rev().find(|at| lost[*at] && talk.pieces[*at].direction == direction);
        let Some(hit) = hit else { return 1 };
        match client {
            // What was hit, and the one in which the hole is told.
            Client::Waits => talk.pieces[hit].id + 2,
            // All up to the next rest behind what tells the hole.
            Client::Batches | Client::Slides => {
                let told = talk.pieces[hit + 1..].iter().find(|piece| piece.direction == direction);
                told.and_then(|piece| talk.fresh.get(piece.rests)).copied().unwrap_or(usize::MAX)
            }
        }
    };
    of(ToServer).max(of(ToClient))
}

fn check(seed: u64, protocol: Builtin, client: Client, holes: usize) {
    let mut dice = Dice::new(seed);
    let talk = talk(protocol, client, &mut dice);
    let one = talk.settled + dice.below(talk.pieces.len() - talk.settled);
    let lost: Vec<_> = (0..talk.pieces.len())
        .map(|at| if holes == 1 { at == one } else { at >= talk.settled && dice.below(100) < holes })
        .collect();
    let (spans, account) = follow(protocol, &talk.pieces, &lost, false);
    for span in &spans {
        assert!(is_right(span), "{protocol:?} {client:?} seed {seed}: {span:?} {account:?}");
    }
    let told: BTreeSet<_> = spans.iter().filter_map(id).collect();
    for id in found_again(&talk, client, &lost)..=talk.exchanges {
        assert!(told.contains(&id), "{protocol:?} {client:?} seed {seed}: {id} of {told:?} {account:?}");
    }
    assert!(holes > 0 || spans.len() == talk.exchanges, "{protocol:?} {client:?} seed {seed}: {account:?}");
}

fn check_all(seeds: std::ops::Range<u64>) {
    for protocol in IN_ORDER {
        for client in CLIENTS {
            for seed in seeds.clone() {
                for holes in [0, 1, 2 + (seed % 29) as usize] {
                    check(seed, protocol, client, holes);
                }
            }
        }
    }
}

#[test]
fn after_holes_connections_are_followed_again_within_one_message() {
    check_all(0..32);
}

#[test]
#[ignore = "long: 10,000 sessions of each protocol and kind of client, three times"]
fn ten_thousand_connections_are_followed_again_within_one_message() {
    check_all(0..10_000);
}

fn check_late(seed: u64, protocol: Builtin, client: Client) {
    let mut dice = Dice::new(seed);
    let talk = talk(protocol, client, &mut dice);
    let from = talk.settled + dice.below(talk.pieces.len() - talk.settled);
    let rest = &talk.pieces[from..];
    let (spans, account) = follow(protocol, rest, &vec![false; rest.len()], true);
    let fresh = talk.fresh.get(rest[0].rests).copied().unwrap_or(usize::MAX);
    // One that waits is never in the middle of something that is not seen; the others are taken for such until they rest.
    // PostgreSQL must have said whole that it is ready.
    let told = 1 + usize::from(protocol == Builtin::Postgres);
    let sure = if client == Client::Waits { rest[0].id + told } else { fresh };
    for span in spans.iter().filter(|span| client == Client::Waits || id(span).is_some_and(|id| id >= fresh))
    {
        assert!(is_right(span), "{protocol:?} {client:?} seed {seed}: {span:?} {account:?}");
    }
    let told: BTreeSet<_> = spans.iter().filter_map(id).collect();
    for id in sure..=talk.exchanges {
        assert!(told.contains(&id), "{protocol:?} {client:?} seed {seed}: {id} of {told:?} {account:?}");
    }
}

#[test]
fn connections_seen_late_are_followed_within_one_message() {
    for protocol in IN_ORDER {
        for client in CLIENTS {
            (0..32).for_each(|seed| check_late(seed, protocol, client));
        }
    }
}

#[test]
#[ignore = "long: 10,000 sessions of each protocol and kind of client"]
fn ten_thousand_connections_seen_late_are_followed_within_one_message() {
    for protocol in IN_ORDER {
        for client in CLIENTS {
            (0..10_000).for_each(|seed| check_late(seed, protocol, client));
        }
    }
}

#[test]
fn a_client_that_pipelines_and_never_rests_is_not_followed_again() {
    // What the rule costs, and the twin of what it gives: without a rest nothing tells which answer is whose.
    for protocol in [Builtin::Http1, Builtin::Redis] {
        let mut dice = Dice::new(5);
        let mut talk = talk(protocol, Client::Slides, &mut dice);
        for (at, piece) in talk.pieces.iter_mut().enumerate() {
            piece.millis = 1000 + at as u64;
        }
        let lost: Vec<_> = (0..talk.pieces.len()).map(|at| at == talk.settled + 2).collect();
        let (spans, account) = follow(protocol, &talk.pieces, &lost, false);
        assert!(spans.len() < MOST / 2, "{}", spans.len());
        assert!(account.lost.desync > 0 && spans.iter().all(is_right), "{protocol:?} {account:?}");
    }
}

#[test]
fn a_wrong_answer_is_noticed() {
    for protocol in IN_ORDER {
        let mut noticed = 0;
        for seed in 0..20 {
            let mut dice = Dice::new(seed);
            let mut talk = talk(protocol, Client::Waits, &mut dice);
            // The planted fault: each answer is the one to the next question.
            let answer = |id: usize| -> Vec<u8> {
                let of_it = talk.pieces.iter().filter(|piece| piece.id == id && piece.direction == ToClient);
                of_it.flat_map(|piece| piece.bytes.clone()).collect()
            };
            let answers: Vec<_> = (0..=MOST).map(|id| answer(id + 1)).collect();
            let mut given = BTreeSet::new();
            talk.pieces.retain_mut(|piece| {
                if piece.direction == ToServer || piece.id == 0 {
                    return true;
                }
                piece.bytes.clone_from(&answers[piece.id]);
                given.insert(piece.id)
            });
            let lost = vec![false; talk.pieces.len()];
            let (spans, _) = follow(protocol, &talk.pieces, &lost, false);
            noticed += usize::from(!spans.iter().all(is_right));
        }
        assert!(noticed >= 5, "{protocol:?} {noticed}");
    }
}
