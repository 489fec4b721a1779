//! Nothing that a client says in a literal, a parameter or a password leaves, and nothing of the rows it gets.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]

mod sql_session;

use std::sync::Arc;

use otlp_core::UnixNanos;
use otlp_core::record::{AnyValue, KeyValue, Resource, Span};
use otlp_core::wire::Writer;
use otlp_ebpf::parse::infer::{Builtin, Protocol};
use otlp_ebpf::parse::{Chunk, Direction};
use otlp_ebpf::redact::Redaction;
use otlp_ebpf::{Connection, Ends, IdSource, Limits, Service, TracesEncoder};
use sql_session::{Dice, Said, mysql, postgres};

const CANARY: &str = "c4n4ry_7f3a";

fn follow(protocol: Builtin, redaction: Redaction, said: &Said) -> Vec<Span> {
    let service = Service::new("db", Arc::new(IdSource::seeded(7))).redaction(redaction);
    let parser = protocol.parser_mid_stream(&Limits::default());
    let mut connection = Connection::new(Arc::new(service), parser, Ends::default());
    let mut spans = Vec::new();
    for (direction, bytes) in said {
        connection.feed(Chunk::new(*direction, UnixNanos(1), bytes), &mut |span| spans.push(span));
    }
    spans
}

fn exported(spans: &[Span]) -> Vec<u8> {
    let mut encoder = TracesEncoder::default();
    let resource = Arc::new(Resource::service("db"));
    spans.iter().for_each(|span| encoder.add(&resource, span));
    let mut request = Writer::new();
    encoder.finish(&mut request);
    request.as_slice().to_vec()
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// A statement with the canary in a literal, or in a comment.
fn statement(protocol: Builtin, dice: &mut Dice) -> String {
    let noise = ["", " ", "''", "\"", "--", "/*", "$$", "é", ";", "(", "?"][dice.below(11)];
    let own = match protocol {
        Builtin::Postgres => [
            format!("$q${noise}{CANARY}$q$"),
            format!("E'\\'{CANARY}'"),
            format!("/* /* */ {CANARY} */ 1"),
            format!("'\\' || '{CANARY}'"),
        ],
        _ => [
            format!("\"{}{CANARY}\"", noise.replace('"', "\"\"")),
            format!("'\\'{CANARY}'"),
            format!("1 # {CANARY}\n"),
            format!("_utf8'{CANARY}'"),
        ],
    };
    let literal = match dice.below(6) {
        0 => format!("'{}{CANARY}'", noise.replace("\"", "")),
        1 => format!("'{CANARY}' -- {CANARY}\n"),
        other => own[other - 2].clone(),
    };
    let shapes = [
        format!("SELECT a FROM t WHERE b = {literal} AND c IN ({literal}, 2, {literal})"),
        format!("INSERT INTO t (a, b) VALUES (1, {literal}), (2, {literal})"),
        format!("UPDATE t SET a={literal}"),
        format!("CREATE USER eve IDENTIFIED BY {literal}"),
        format!("ALTER ROLE eve PASSWORD {literal}; SELECT {literal}"),
        format!("SELECT f({literal}) FROM t /* {CANARY} */ ORDER BY {literal}"),
        // Not closed: the server will refuse it.
        format!("SELECT {literal} FROM t WHERE a = 'it {CANARY}"),
    ];
    shapes[dice.below(shapes.len())].clone()
}

/// One statement after the other, each refused with an error that quotes it.
fn session(protocol: Builtin, statements: &[String]) -> Said {
    let mut said = match protocol {
        Builtin::Postgres => {
            vec![(Direction::ToClient, b"S\0\0\0\x23standard_conforming_strings\0on\0Z\0\0\0\x05I".to_vec())]
        }
        _ => vec![(Direction::ToClient, b"x".to_vec())],
    };
    if protocol == Builtin::MySql {
        // What a backslash is there the server says with each answer.
        said.push((Direction::ToServer, b"\x01\0\0\0\x0e".to_vec()));
        said.push((Direction::ToClient, b"\x07\0\0\x01\0\0\0\x02\0\0\0".to_vec()));
    }
    for sql in statements {
        let length = sql.len();
        match protocol {
            Builtin::Postgres => {
                let head = [b"Q".as_slice(), &u32::try_from(length + 5).unwrap().to_be_bytes()].concat();
                said.push((Direction::ToServer, [head.as_slice(), sql.as_bytes(), b"\0"].concat()));
                let error = format!("SERROR\0C42601\0Mat {sql}\0\0");
                let head = [b"E".as_slice(), &u32::try_from(error.len() + 4).unwrap().to_be_bytes()].concat();
                said.push((Direction::ToClient, [&head, error.as_bytes(), b"Z\0\0\0\x05I"].concat()));
            }
            _ => {
                let head = [&u32::try_from(length + 1).unwrap().to_le_bytes()[..3], &[0, 3]].concat();
                said.push((Direction::ToServer, [&head, sql.as_bytes()].concat()));
                let error = format!("\u{1}#42000at {sql}");
                let head =
                    [&u32::try_from(error.len() + 2).unwrap().to_le_bytes()[..3], &[1, 0xff, 0x28]].concat();
                said.push((Direction::ToClient, [&head, error.as_bytes()].concat()));
            }
        }
    }
    said
}

#[test]
fn a_thousand_statements_with_secrets_leave_without_them() {
    for protocol in [Builtin::Postgres, Builtin::MySql] {
        let mut dice = Dice::new(7);
        let statements: Vec<_> = (0..1000).map(|_| statement(protocol, &mut dice)).collect();
        assert!(statements.iter().all(|sql| sql.contains(CANARY)));
        let spans = follow(protocol, Redaction::default(), &session(protocol, &statements));
        let commands = if protocol == Builtin::MySql { 1001 } else { 1000 };
        assert_eq!(spans.len(), commands, "{protocol:?}");
        for span in &spans {
            assert!(!format!("{span:?}").contains(CANARY), "{span:?}");
        }
        let bytes = exported(&spans);
        assert!(!has(&bytes, CANARY) && has(&bytes, "SELECT a FROM t WHERE b = "));
        let texts =
            spans.iter().filter(|span| KeyValue::find(&span.attributes, "db.query.text").is_some()).count();
        assert!(texts >= 1000, "{texts}");
    }
}

#[test]
fn a_secret_that_is_a_name_would_be_noticed() {
    let statements = [format!("SELECT * FROM {CANARY}")];
    for protocol in [Builtin::Postgres, Builtin::MySql] {
        let spans = follow(protocol, Redaction::default(), &session(protocol, &statements));
        assert!(has(&exported(&spans), CANARY), "the planted fault: {protocol:?}");
    }
}

#[test]
fn passwords_parameters_and_rows_do_not_leave() {
    for seed in 0..50 {
        let mut dice = Dice::new(seed);
        let sessions =
            [(Builtin::Postgres, postgres(20, false, &mut dice)), (Builtin::MySql, mysql(20, &mut dice))];
        for (protocol, session) in sessions {
            let all: Vec<u8> = session.said.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
            assert!(has(&all, "s3cret"));
            let service = Service::new("db", Arc::new(IdSource::seeded(7)));
            let parser = protocol.parser(&Limits::default());
            let mut connection = Connection::new(Arc::new(service), parser, Ends::default());
            let mut spans = Vec::new();
            for (direction, bytes) in &session.said {
                connection.feed(Chunk::new(*direction, UnixNanos(1), bytes), &mut |span| spans.push(span));
                assert!(!format!("{connection:?}").contains("s3cret"));
            }
            assert_eq!(spans.len(), session.requests);
            assert!(!has(&exported(&spans), "s3cret"), "{protocol:?} seed {seed}");
        }
    }
}

#[test]
fn the_policy_has_the_last_word_on_a_statement() {
    let statements = ["SELECT a FROM payroll".to_owned(), "SELECT a FROM t1 WHERE b = 2".to_owned()];
    let redaction = Redaction::default().sql(|text| (!text.contains("payroll")).then(|| text.to_lowercase()));
    for protocol in [Builtin::Postgres, Builtin::MySql] {
        let spans = follow(protocol, redaction.clone(), &session(protocol, &statements));
        let texts: Vec<_> = spans
            .iter()
            .map(|span| KeyValue::find(&span.attributes, "db.query.text").and_then(AnyValue::as_str))
            .collect();
        assert_eq!(texts[texts.len() - 2..], [None, Some("select a from t1 where b = ?")]);
    }
}
