//! The trace context in a comment behind a statement: PostgreSQL and MySQL, text and prepared.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]

use std::sync::Arc;

use otlp_core::UnixNanos;
use otlp_core::record::{AnyValue, KeyValue, Span};
use otlp_ebpf::parse::Direction::{ToClient, ToServer};
use otlp_ebpf::parse::mysql::MySql;
use otlp_ebpf::parse::postgres::Postgres;
use otlp_ebpf::parse::{Chunk, Direction, Parser};
use otlp_ebpf::{Connection, Ends, IdSource, Limits, Service};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn comment() -> String {
    format!("/*action='%2Fcart',traceparent='00-{TRACE}-{PARENT}-01',tracestate='a%3D1%2Cb%3D2'*/")
}

type Said = Vec<(Direction, Vec<u8>)>;

/// What a parser makes of what was said, in pieces of `step` bytes.
fn spans(parser: impl Parser + 'static, said: &Said, step: usize) -> Vec<Span> {
    let service = Arc::new(Service::new("db", Arc::new(IdSource::seeded(7))));
    let mut connection = Connection::new(service, Box::new(parser), Ends::default());
    let mut spans = Vec::new();
    for (direction, bytes) in said {
        for piece in bytes.chunks(step) {
            connection.feed(Chunk::new(*direction, UnixNanos(1), piece), &mut |span| spans.push(span));
        }
    }
    assert!(connection.account().is_balanced(), "{:?}", connection.account());
    spans
}

/// The name of a span, and what it is below of, or linked to.
fn placed(span: &Span) -> String {
    let below = |trace: String, parent: String| {
        if trace == TRACE && parent == PARENT { "below" } else { "elsewhere" }
    };
    let place = below(span.trace_id.to_string(), span.parent_span_id.to_string());
    let link = span.links.iter().map(|link| below(link.trace_id.to_string(), link.span_id.to_string()));
    let links: String = link.map(|link| format!(", linked {link}")).collect();
    format!("{}: {place}{links}", span.name)
}

fn text(span: &Span) -> &str {
    KeyValue::find(&span.attributes, "db.query.text").and_then(AnyValue::as_str).unwrap_or_default()
}

fn pg(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind][..], &length, body].concat()
}

fn ready() -> Vec<u8> {
    pg(b'Z', b"I")
}

fn pg_query(sql: &str) -> Said {
    let query = pg(b'Q', format!("{sql}\0").as_bytes());
    vec![(ToServer, query), (ToClient, [pg(b'C', b"SELECT 1\0"), ready()].concat())]
}

fn pg_started(mut said: Said) -> Said {
    said.insert(0, (ToClient, ready()));
    said
}

fn postgres() -> Postgres {
    Postgres::mid_stream(Limits::default())
}

fn my(number: u8, body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_le_bytes()[..3], &[number], body].concat()
}

const OK: [u8; 7] = [0, 0, 0, 2, 0, 0, 0];

fn my_command(command: u8, body: &[u8], answer: &[u8]) -> Said {
    vec![(ToServer, my(0, &[&[command][..], body].concat())), (ToClient, my(1, answer))]
}

fn my_started(mut said: Said) -> Said {
    said.insert(0, (ToClient, b"rest".to_vec()));
    said
}

fn mysql() -> MySql {
    MySql::mid_stream(Limits::default())
}

#[test]
fn a_query_is_below_the_span_that_its_comment_names() {
    let sql = format!("DELETE FROM cart WHERE id = 7 {}", comment());
    let met = [
        spans(postgres(), &pg_started(pg_query(&sql)), usize::MAX),
        spans(mysql(), &my_started(my_command(3, sql.as_bytes(), &OK)), usize::MAX),
    ];
    for spans in met {
        assert_eq!(spans.iter().map(placed).collect::<Vec<_>>(), ["DELETE cart: below"]);
        assert_eq!(text(&spans[0]), "DELETE FROM cart WHERE id = ?");
        assert_eq!((spans[0].trace_state.as_str(), spans[0].flags & 1), ("a=1,b=2", 1));
    }
}

#[test]
fn one_context_is_one_request() {
    let sql = format!("DELETE FROM cart {}", comment());
    let twice = [pg_query(&sql), pg_query(&sql)].concat();
    let met = spans(postgres(), &pg_started(twice), usize::MAX);
    let met: Vec<_> = met.iter().map(placed).collect();
    assert_eq!(met, ["DELETE cart: below", "DELETE cart: elsewhere, linked below"]);
}

#[test]
fn a_prepared_statement_takes_the_context_of_its_text_once_and_once_where_it_is_prepared() {
    let sql = format!("DELETE FROM cart WHERE id = ? {}", comment());
    let prepared = [0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let run = || my_command(0x17, &[9, 0, 0, 0, 0, 1, 0, 0, 0], &OK);
    let said = [my_command(0x16, sql.as_bytes(), &prepared), run(), run()].concat();
    let met: Vec<_> = spans(mysql(), &my_started(said), usize::MAX).iter().map(placed).collect();
    let right = ["PREPARE DELETE cart: below", "DELETE cart: below", "DELETE cart: elsewhere, linked below"];
    assert_eq!(met, right);

    let parse = pg(b'P', format!("s\0{sql}\0\0\0").as_bytes());
    let run = || [pg(b'B', b"\0s\0\0\0\0\0\0\0"), pg(b'E', b"\0\0\0\0\0"), pg(b'S', b"")].concat();
    let done = || [pg(b'2', b""), pg(b'C', b"DELETE 1\0"), ready()].concat();
    let said = vec![
        (ToServer, [parse, run()].concat()),
        (ToClient, [pg(b'1', b""), done()].concat()),
        (ToServer, run()),
        (ToClient, done()),
    ];
    let met: Vec<_> = spans(postgres(), &pg_started(said), usize::MAX).iter().map(placed).collect();
    assert_eq!(met, ["DELETE cart: below", "DELETE cart: elsewhere, linked below"]);
}

/// Statements with what looks like a context, and whether it is one.
fn cases() -> Vec<(String, bool)> {
    let comment = comment();
    let quoted = comment.replace('\'', "''");
    let nested = format!("/* {comment} */");
    vec![
        (format!("SELECT 1 {comment}"), true),
        (format!("SELECT 1{comment};\n "), true),
        (format!("SELECT 1 /* first */ {comment}"), true),
        (format!("SELECT 1 -- a remark\n{comment}"), true),
        (format!("SELECT '{quoted}'"), false),
        (format!("SELECT '{quoted}' {comment}"), true),
        (format!("SELECT ' {comment}"), false),
        (format!("SELECT 'x'' {comment}"), false),
        (format!("SELECT 1 {comment} + 2"), false),
        (format!("{comment} SELECT 1"), false),
        (format!("SELECT 1 {comment} /* last */"), false),
        (format!("SELECT 1 -- {comment}"), false),
        (format!("SELECT 1 {}", comment.trim_end_matches('/')), false),
        (format!("SELECT 1 {}", comment.replace("/*action", "/*!action")), false),
        (format!("SELECT 1 {}", comment.replace("'00-", "'zz-")), false),
        (format!("SELECT 1 {}", comment.replace("'*/", "' and so on*/")), false),
        (format!("SELECT 1 {}", comment.replace("traceparent='", "traceparent='%")), false),
        (format!("SELECT 1 {nested}"), false),
        (format!("SELECT {} {comment}", "1,".repeat(20_000)), false),
    ]
}

#[test]
fn only_a_comment_behind_the_statement_that_says_nothing_else_is_a_context() {
    for (sql, is_context) in cases() {
        let met = [
            spans(postgres(), &pg_started(pg_query(&sql)), usize::MAX),
            spans(mysql(), &my_started(my_command(3, sql.as_bytes(), &OK)), usize::MAX),
        ];
        for spans in met {
            let below = spans[0].trace_id.to_string() == TRACE;
            assert_eq!(below, is_context, "{sql:.200}");
            for told in [text(&spans[0]), &spans[0].name] {
                assert!(!told.contains(TRACE) && !told.contains("cart"), "{told}");
            }
        }
    }
}

#[test]
fn where_it_is_cut_makes_no_difference() {
    for (sql, _) in cases().into_iter().filter(|(sql, _)| sql.len() < 1000) {
        let (said_pg, said_my) = (pg_started(pg_query(&sql)), my_started(my_command(3, sql.as_bytes(), &OK)));
        let whole = (spans(postgres(), &said_pg, usize::MAX), spans(mysql(), &said_my, usize::MAX));
        for step in (1..20).chain([50, 77]) {
            let cut = (spans(postgres(), &said_pg, step), spans(mysql(), &said_my, step));
            assert_eq!(cut, whole, "{sql} cut every {step}");
        }
    }
}

#[test]
fn a_statement_with_a_hole_has_no_context() {
    let sql = format!("DELETE FROM cart WHERE id = 7 {}", comment());
    let query = pg(b'Q', format!("{sql}\0").as_bytes());
    for (hole, right) in [(9, None), (0, Some(TRACE.to_owned()))] {
        let service = Arc::new(Service::new("db", Arc::new(IdSource::seeded(7))));
        let mut connection = Connection::new(service, Box::new(postgres()), Ends::default());
        let mut met = Vec::new();
        let (before, behind) = query.split_at(12);
        let behind = Chunk::new(ToServer, UnixNanos(1), &behind[hole..]).after_gap(hole as u64);
        let answer = [pg(b'C', b"DELETE 1\0"), ready()].concat();
        for chunk in [
            Chunk::new(ToClient, UnixNanos(1), &ready()),
            Chunk::new(ToServer, UnixNanos(1), before),
            behind,
            Chunk::new(ToClient, UnixNanos(1), &answer),
        ] {
            connection.feed(chunk, &mut |span| met.push(span));
        }
        let trace = met[0].trace_id.to_string();
        assert_eq!(Some(trace).filter(|trace| trace == TRACE), right, "a hole of {hole}");
    }
}
