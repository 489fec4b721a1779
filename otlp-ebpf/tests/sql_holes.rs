//! Sessions of databases cut anywhere, begun anywhere, with holes: no span says what another one's answer did.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]

mod sql_session;
mod stream;

use std::sync::Arc;

use otlp_core::UnixNanos;
use otlp_core::record::{AnyValue, KeyValue, Span};
use otlp_ebpf::parse::infer::{Builtin, Inferring, Protocol};
use otlp_ebpf::parse::mysql::MySql;
use otlp_ebpf::parse::postgres::Postgres;
use otlp_ebpf::parse::{Chunk, Direction, Event, Parser};
use otlp_ebpf::{Account, Connection, Ending, Ends, IdSource, Limits, Service};
use proptest::prelude::*;
use sql_session::{Dice, Piece, Session, fails, mysql, pieces, postgres, rows};
use stream::{cut, cuts, whole};

/// What a parser may hold in these sessions: a statement that comes in pieces, what was prepared, what is asked.
const MAY_HOLD: usize = 64 << 10;

fn follow(parser: Box<dyn Parser>, pieces: &[Piece]) -> (Vec<Span>, Account) {
    let service = Arc::new(Service::new("db", Arc::new(IdSource::seeded(7))));
    let mut connection = Connection::new(service, parser, Ends::default());
    let mut spans = Vec::new();
    for piece in pieces {
        let chunk = Chunk::new(piece.direction, UnixNanos(1), &piece.bytes).after_gap(piece.missing);
        connection.feed(chunk, &mut |span| spans.push(span));
        assert!(connection.account().is_balanced(), "{:?}", connection.account());
        assert!(connection.held_bytes() <= MAY_HOLD, "{}", connection.held_bytes());
    }
    let account = connection.account();
    connection.finish(UnixNanos(1), Ending::Shutdown, &mut |_| {});
    (spans, account)
}

fn text<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    KeyValue::find(&span.attributes, key).and_then(AnyValue::as_str)
}

/// The number of the statement that a span is about.
fn id(span: &Span) -> Option<usize> {
    let summary = text(span, "db.query.summary")?;
    summary.rsplit(" t").next()?.parse().ok()
}

/// Why a span cannot be right; nothing where it may be.
fn wrong(span: &Span) -> Option<String> {
    let id = id(span)?;
    let returned = KeyValue::find(&span.attributes, "db.response.returned_rows").and_then(AnyValue::as_int);
    let code = text(span, "db.response.status_code").and_then(|code| code.parse::<usize>().ok());
    let error = text(span, "error.type");
    let right = match (error, text(span, "db.system.name")) {
        (Some("skipped"), _) => true,
        // The code was in a hole.
        (Some("_OTHER"), _) => fails(id),
        (Some(_), Some("postgresql")) => fails(id) && code == Some(id),
        (Some(_), _) => fails(id) && code == Some(1000 + id),
        (None, _) if span.name.starts_with("PREPARE") || span.name.starts_with("COPY") => returned.is_none(),
        // That it returns rows may only be said in what was in a hole.
        (None, _) => !fails(id) && returned.unwrap_or(0) == i64::try_from(rows(id)).unwrap(),
    };
    (!right).then(|| format!("{span:?}"))
}

fn session(protocol: Builtin, seed: u64, exchanges: usize) -> (Session, Dice) {
    let mut dice = Dice::new(seed);
    let session = match protocol {
        Builtin::Postgres => postgres(exchanges, false, &mut dice),
        _ => mysql(exchanges, &mut dice),
    };
    (session, dice)
}

fn no_secret(spans: &[Span]) {
    assert!(!format!("{spans:?}").contains("s3cret"));
}

/// Follows a session with holes, from its beginning or from anywhere; gives what was asked and what became spans.
fn with_holes(protocol: Builtin, seed: u64) -> (usize, usize) {
    let (session, mut dice) = session(protocol, seed, 25);
    let lost = dice.below(31);
    let mut pieces = pieces(&session.said, lost, &mut dice);
    let late = dice.one_in(2);
    let parser = if late {
        protocol.parser_mid_stream(&Limits::default())
    } else {
        protocol.parser(&Limits::default())
    };
    if late {
        pieces.drain(..dice.below(pieces.len()));
    }
    let (spans, account) = follow(parser, &pieces);
    for span in &spans {
        assert_eq!(wrong(span), None, "{protocol:?} seed {seed}: {account:?}");
    }
    no_secret(&spans);
    (session.requests, spans.len())
}

/// Any of the parsers.
struct Any(Box<dyn Parser>);

impl Parser for Any {
    fn feed(&mut self, chunk: Chunk<'_>, on: &mut dyn FnMut(Event<'_>)) {
        self.0.feed(chunk, on);
    }

    fn close(&mut self, direction: Direction, time: UnixNanos, on: &mut dyn FnMut(Event<'_>)) {
        self.0.close(direction, time, on);
    }

    fn realign(&mut self, in_flight: usize, on: &mut dyn FnMut(Event<'_>)) {
        self.0.realign(in_flight, on);
    }

    fn held_bytes(&self) -> usize {
        self.0.held_bytes()
    }
}

const DATABASES: [Builtin; 2] = [Builtin::Postgres, Builtin::MySql];

#[test]
fn with_holes_and_late_starts_no_span_has_another_ones_answer() {
    for protocol in DATABASES {
        let (mut asked, mut followed) = (0, 0);
        for seed in 0..300 {
            let (requests, spans) = with_holes(protocol, seed);
            asked += requests;
            followed += spans;
        }
        assert!(followed * 6 > asked, "{protocol:?}: {followed} of {asked}");
    }
}

#[test]
#[ignore = "long: 10,000 sessions of each database"]
fn ten_thousand_sessions_with_holes_and_late_starts_mispair_nothing() {
    for protocol in DATABASES {
        let followed: usize = (0..10_000).map(|seed| with_holes(protocol, seed).1).sum();
        assert!(followed > 10_000, "{followed}");
    }
}

#[test]
fn a_pipelining_client_with_holes_gets_no_wrong_answer() {
    assert!(pipelining(0..300) > 300);
}

#[test]
#[ignore = "long: 10,000 sessions"]
fn ten_thousand_sessions_of_pipelining_clients_mispair_nothing() {
    assert!(pipelining(0..10_000) > 10_000);
}

/// Follows sessions with holes whose clients pipeline; gives how many spans that made.
fn pipelining(seeds: std::ops::Range<u64>) -> usize {
    let mut followed = 0;
    for seed in seeds {
        let mut dice = Dice::new(seed);
        let session = postgres(25, true, &mut dice);
        let lost = dice.below(31);
        let pieces = pieces(&session.said, lost, &mut dice);
        let (spans, account) = follow(Builtin::Postgres.parser(&Limits::default()), &pieces);
        for span in &spans {
            assert_eq!(wrong(span), None, "seed {seed}: {account:?}");
        }
        followed += spans.len();
    }
    followed
}

#[test]
fn whole_sessions_are_followed_to_the_last_request() {
    for protocol in DATABASES {
        for seed in 0..100 {
            let (session, mut dice) = session(protocol, seed, 25);
            let pieces = pieces(&session.said, 0, &mut dice);
            let inferring = Box::new(Inferring::new(Limits::default()));
            for parser in [protocol.parser(&Limits::default()), inferring] {
                let (spans, account) = follow(parser, &pieces);
                assert_eq!(spans.len(), session.requests, "{protocol:?} seed {seed}: {account:?}");
                assert_eq!(
                    (account.refused, account.unparsed_to_server, account.unparsed_to_client),
                    (0, 0, 0)
                );
                for span in &spans {
                    assert_eq!(wrong(span), None, "{protocol:?} seed {seed}");
                    assert_eq!(text(span, "db.namespace"), Some("shop"));
                }
                no_secret(&spans);
            }
        }
    }
}

#[test]
fn one_hole_costs_no_more_than_what_it_hits() {
    for protocol in DATABASES {
        let (mut most, mut all) = (0, 0);
        for seed in 0..300 {
            let (session, mut dice) = session(protocol, seed, 25);
            // One piece a turn, as most are on the wire.
            let mut pieces: Vec<_> = session
                .said
                .iter()
                .map(|(direction, bytes)| Piece { direction: *direction, missing: 0, bytes: bytes.clone() })
                .collect();
            let at = session.login + dice.below(pieces.len() - session.login);
            let hole = pieces.remove(at);
            if let Some(next) = pieces[at..].iter_mut().find(|next| next.direction == hole.direction) {
                next.missing = hole.bytes.len() as u64;
            }
            let (spans, account) = follow(protocol.parser(&Limits::default()), &pieces);
            let in_batch = 4;
            let cost = session.requests - spans.len();
            assert!(
                cost <= 3 * in_batch,
                "{protocol:?} seed {seed}: {cost} of {}: {account:?}",
                session.requests
            );
            most = most.max(cost);
            all += cost;
        }
        assert!(all < 300 * 4, "{protocol:?}: {all}, {most} at most");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn databases_tell_the_same_at_any_cut(seed in any::<u64>(), wrong in 0_usize..3, cuts in cuts(), pipelines: bool) {
        let mut dice = Dice::new(seed);
        for protocol in DATABASES {
            let mut said = match protocol {
                Builtin::Postgres => postgres(6, pipelines, &mut dice).said,
                _ => mysql(6, &mut dice).said,
            };
            for _ in 0..wrong {
                let turn = dice.below(said.len());
                let at = dice.below(said[turn].1.len());
                said[turn].1[at] = u8::try_from(dice.below(256)).unwrap();
            }
            let from = dice.below(said.len());
            let make = |late: bool| Any(match (protocol, late) {
                    (Builtin::Postgres, false) => Box::new(Postgres::new(Limits::default())),
                    (Builtin::Postgres, true) => Box::new(Postgres::mid_stream(Limits::default())),
                    (_, false) => Box::new(MySql::new(Limits::default())),
                    (_, true) => Box::new(MySql::mid_stream(Limits::default())),
            });
            for (said, late) in [(said.clone(), false), (said.split_off(from), true)] {
                let (at_once, in_pieces) = (whole(make(late), &said), cut(make(late), &said, &cuts));
                prop_assert_eq!(&at_once.events, &in_pieces.events);
                prop_assert_eq!(at_once.unparsed, in_pieces.unparsed);
                prop_assert!(at_once.held.max(in_pieces.held) <= MAY_HOLD);
            }
        }
    }

    #[test]
    fn garbage_of_databases_tells_the_same_at_any_cut(
        said in proptest::collection::vec(
            (stream::direction(), proptest::collection::vec(prop_oneof![any::<u8>(), 0_u8..12, Just(b'Q'), Just(b'Z')], 0..200)),
            1..6,
        ),
        cuts in cuts(),
    ) {
        let parsers: [fn() -> Box<dyn Parser>; 5] = [
            || Box::new(Postgres::new(Limits::default())),
            || Box::new(Postgres::mid_stream(Limits::default())),
            || Box::new(MySql::new(Limits::default())),
            || Box::new(MySql::mid_stream(Limits::default())),
            || Box::new(Inferring::new(Limits::default())),
        ];
        for make in parsers {
            let (at_once, in_pieces) = (whole(Any(make()), &said), cut(Any(make()), &said, &cuts));
            prop_assert_eq!(&at_once.events, &in_pieces.events);
            prop_assert_eq!(at_once.unparsed, in_pieces.unparsed);
        }
    }
}

#[test]
fn a_wrong_pair_would_be_noticed() {
    // The planted fault: the answers of a session come one exchange late.
    let mut noticed = 0;
    for seed in 0..20 {
        let (session, mut dice) = session(Builtin::MySql, seed, 25);
        let mut said = session.said.clone();
        let answers: Vec<_> =
            (session.login..said.len()).filter(|at| said[*at].0 == Direction::ToClient).collect();
        for pair in answers.windows(2).rev() {
            let bytes = said[pair[0]].1.clone();
            said[pair[1]].1 = bytes;
        }
        let (spans, _) = follow(Builtin::MySql.parser(&Limits::default()), &pieces(&said, 0, &mut dice));
        noticed += usize::from(spans.iter().any(|span| wrong(span).is_some()));
    }
    assert!(noticed >= 15, "{noticed}");
}
