//! PostgreSQL and MySQL from bytes to spans: what is rare on the wire, a case each.
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
use otlp_ebpf::parse::infer::{Builtin, First, Protocol, Verdict};
use otlp_ebpf::parse::mysql::MySql;
use otlp_ebpf::parse::postgres::Postgres;
use otlp_ebpf::parse::{Chunk, Direction, Parser};
use otlp_ebpf::{Account, Connection, Ends, IdSource, Limits, Service};

/// A connection and what it gave out, a line a span.
struct Watched {
    connection: Connection,
    lines: Vec<String>,
}

impl Watched {
    fn new(parser: impl Parser + 'static) -> Self {
        let service = Arc::new(Service::new("db", Arc::new(IdSource::seeded(7))));
        Self { connection: Connection::new(service, Box::new(parser), Ends::default()), lines: Vec::new() }
    }

    fn feed(&mut self, direction: Direction, bytes: impl AsRef<[u8]>) -> &mut Self {
        let Self { connection, lines } = self;
        let chunk = Chunk::new(direction, UnixNanos(1), bytes.as_ref());
        connection.feed(chunk, &mut |span| lines.push(line(&span)));
        assert!(connection.account().is_balanced(), "{:?}", connection.account());
        self
    }

    fn says(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.feed(ToServer, bytes)
    }

    fn hears(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.feed(ToClient, bytes)
    }

    fn account(&self) -> Account {
        self.connection.account()
    }
}

fn line(span: &Span) -> String {
    let text = |key: &str| match KeyValue::find(&span.attributes, key) {
        Some(AnyValue::String(text)) => text.clone(),
        Some(AnyValue::Int(number)) => number.to_string(),
        _ => "-".to_owned(),
    };
    let keys = ["db.namespace", "db.query.text", "db.response.returned_rows", "error.type"];
    format!("{} {}", span.name, keys.map(text).join(" | "))
}

/// A message of PostgreSQL.
fn pg(kind: char, body: &str) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [kind.to_string().as_bytes(), &length, body.as_bytes()].concat()
}

/// Several of them.
fn all(messages: &[(char, &str)]) -> Vec<u8> {
    messages.iter().flat_map(|(kind, body)| pg(*kind, body)).collect()
}

/// A packet of MySQL.
fn my(number: u8, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    [&u32::try_from(body.len()).unwrap().to_le_bytes()[..3], &[number], body].concat()
}

const MY_OK: [u8; 7] = [0, 0, 0, 2, 0, 0, 0];
const READY: (char, &str) = ('Z', "I");
const EXECUTE: &str = "\0\0\0\0\0";
const BIND: &str = "\0\0\0\0\0\0\0\0";

fn postgres() -> Watched {
    let mut watched = Watched::new(Postgres::mid_stream(Limits::default()));
    watched.hears(all(&[READY]));
    watched
}

fn mysql() -> Watched {
    let mut watched = Watched::new(MySql::mid_stream(Limits::default()));
    watched.hears("rest");
    watched
}

#[test]
fn encryption_is_left_alone_on_both_sides() {
    for (ask, answer) in [(0x2f, b'S'), (0x30, b'G')] {
        let mut watched = Watched::new(Postgres::new(Limits::default()));
        watched
            .says([0, 0, 0, 8, 4, 0xd2, 0x16, ask])
            .hears([answer])
            .says("\x16\x03\x01Q\0\0\0\x05x")
            .hears("\x16Z");
        let account = watched.account();
        assert_eq!((account.requests, account.refused), (0, 0));
        assert_eq!((account.unparsed_to_server, account.unparsed_to_client), (9, 2));
    }
    // The server does not, and the client goes on without.
    let mut watched = Watched::new(Postgres::new(Limits::default()));
    watched
        .says([0, 0, 0, 8, 4, 0xd2, 0x16, 0x30])
        .hears("N")
        .says([0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f])
        .hears("N");
    watched.says(b"\0\0\0\x12\0\x03\0\0user\0eve\0\0".as_slice());
    watched.hears(all(&[('R', "\0\0\0\0"), READY])).says(pg('Q', "SELECT 1\0"));
    watched.hears(all(&[('T', "\0\0"), ('C', "SELECT 0\0"), READY]));
    assert_eq!(watched.lines, ["SELECT eve | SELECT ? | 0 | -"]);
}

#[test]
fn a_request_to_cancel_is_none() {
    let mut watched = Watched::new(Postgres::new(Limits::default()));
    watched.says([0, 0, 0, 16, 4, 0xd2, 0x16, 0x2e, 0, 0, 0, 1, 0, 0, 0, 2]);
    let account = watched.account();
    assert_eq!((account.requests, account.refused, account.unparsed_to_server), (0, 0, 0));
}

#[test]
fn copy_in_the_extended_protocol_ends_with_its_second_sync() {
    let mut watched = postgres();
    let copy = [('P', "\0COPY t FROM STDIN\0\0\0"), ('B', BIND), ('D', "P\0"), ('E', EXECUTE), ('S', "")];
    watched.says(all(&copy));
    watched.hears(all(&[('1', ""), ('2', ""), ('n', ""), ('G', "\0\0\0")]));
    watched.says(all(&[('d', "s3cret\n"), ('c', ""), ('S', "")]));
    watched.hears(all(&[('C', "COPY 1\0"), READY]));
    watched.says(all(&[('Q', "SELECT 1\0")])).hears(all(&[
        ('T', "\0\0"),
        ('D', ""),
        ('C', "SELECT 1\0"),
        READY,
    ]));
    assert_eq!(watched.lines, ["COPY t - | COPY t FROM STDIN | - | -", "SELECT - | SELECT ? | 1 | -"]);
    assert_eq!((watched.account().refused, watched.account().in_progress), (0, 0));
}

#[test]
fn a_failed_preparation_fails_its_own_execution_and_the_others_are_skipped() {
    let mut watched = postgres();
    let batch = [
        ('P', "s1\0SELECT a FROM t1\0\0\0"),
        ('P', "\0SELECT b FROM missing\0\0\0"),
        ('B', "\0s1\0\0\0\0\0\0\0"),
        ('E', EXECUTE),
        ('B', BIND),
        ('E', EXECUTE),
        ('S', ""),
    ];
    watched.says(all(&batch));
    watched.hears(all(&[('1', ""), ('E', "SERROR\0C42P01\0Ms3cret\0\0"), READY]));
    let right = [
        "SELECT missing - | SELECT b FROM missing | - | 42P01",
        "SELECT t1 - | SELECT a FROM t1 | - | skipped",
    ];
    assert_eq!(watched.lines, right);
    // What was prepared before the failure is there.
    watched.says(all(&[('B', "\0s1\0\0\0\0\0\0\0"), ('E', EXECUTE), ('S', "")]));
    watched.hears(all(&[('2', ""), ('C', "SELECT 0\0"), READY]));
    assert_eq!(watched.lines[2], "SELECT t1 - | SELECT a FROM t1 | 0 | -");
}

#[test]
fn a_name_that_was_taken_is_not_known_until_the_server_agrees() {
    let mut watched = postgres();
    let prepare = |sql: &str| all(&[('P', &format!("s1\0{sql}\0\0\0")), ('S', "")]);
    let run = all(&[('B', "\0s1\0\0\0\0\0\0\0"), ('E', EXECUTE), ('S', "")]);
    watched.says(prepare("SELECT a FROM t1")).hears(all(&[('1', ""), READY]));
    // The server keeps the first statement; a client that sends on at once would be told the second one's text.
    watched.says([prepare("SELECT b FROM t2"), run.clone()].concat());
    watched.hears(all(&[('E', "C42P05\0\0"), READY, ('2', ""), ('C', "SELECT 0\0"), READY]));
    let last = watched.lines.last().unwrap();
    assert_eq!(last, "EXECUTE - | - | 0 | -", "{:?}", watched.lines);
    assert_eq!(watched.account().statements_unknown, 1);
    watched.says(pg('Q', "DEALLOCATE ALL\0")).hears(all(&[('C', "DEALLOCATE ALL\0"), READY]));
    watched.says([prepare("SELECT c FROM t3"), run].concat());
    watched.hears(all(&[('1', ""), READY, ('2', ""), ('C', "SELECT 0\0"), READY]));
    assert_eq!(watched.lines.last().unwrap(), "SELECT t3 - | SELECT c FROM t3 | 0 | -");
}

#[test]
fn an_error_that_ends_the_connection_is_the_answer() {
    let mut watched = postgres();
    watched.says(pg('Q', "SELECT pg_terminate_backend(1)\0")).hears(pg('E', "SFATAL\0C57P01\0\0"));
    let Watched { connection, lines } = &mut watched;
    connection.close(ToClient, UnixNanos(2), &mut |span| lines.push(line(&span)));
    assert_eq!(watched.lines, ["SELECT - | SELECT pg_terminate_backend(?) | - | 57P01"]);
}

#[test]
fn a_portal_is_followed_through_its_parts() {
    let mut watched = postgres();
    watched.says(all(&[
        ('P', "\0SELECT a FROM t1\0\0\0"),
        ('B', "c1\0\0\0\0\0\0\0\0"),
        ('E', "c1\0\0\0\0\x02"),
        ('H', ""),
    ]));
    watched.hears(all(&[('1', ""), ('2', ""), ('D', ""), ('D', ""), ('s', "")]));
    watched.says(all(&[('E', "c1\0\0\0\0\x02"), ('C', "Pc1\0"), ('S', "")]));
    watched.hears(all(&[('D', ""), ('C', "SELECT 1\0"), ('3', ""), READY]));
    assert_eq!(
        watched.lines,
        ["SELECT t1 - | SELECT a FROM t1 | 2 | -", "SELECT t1 - | SELECT a FROM t1 | 1 | -"]
    );
}

#[test]
fn a_function_call_and_what_comes_at_any_time_are_read() {
    let mut watched = postgres();
    watched.says(pg('Q', "\0")).hears(all(&[('I', ""), READY]));
    watched.hears(pg('A', "\0\0\0\x01l\0s3cret\0")).says(pg('F', "\0\0\0\x01\0\0\0\0\0\0"));
    watched.hears(all(&[('N', "C00000\0\0"), ('V', "\0\0\0\0"), ('S', "TimeZone\0UTC\0"), READY]));
    assert_eq!(watched.lines, ["postgresql - | - | - | -", "FUNCTION_CALL - | - | - | -"]);
}

#[test]
fn statements_prepared_before_or_pushed_out_run_without_their_text() {
    let mut watched = mysql();
    watched.says(my(0, [0x17, 9, 0, 0, 0, 0, 1, 0, 0, 0])).hears(my(1, MY_OK));
    assert_eq!(
        (watched.lines[0].as_str(), watched.account().statements_unknown),
        ("EXECUTE - | - | - | -", 1)
    );

    let mut watched = Watched::new(MySql::mid_stream(Limits::default().max_prepared_bytes(2000)));
    watched.hears("rest");
    for number in 1..=20_u8 {
        watched.says(my(0, format!("\x16SELECT a FROM t{number}")));
        watched.hears(my(1, [0, number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    }
    for number in [1, 20] {
        watched.says(my(0, [0x17, number, 0, 0, 0, 0, 1, 0, 0, 0])).hears(my(1, MY_OK));
    }
    assert_eq!(watched.lines[20..], ["EXECUTE - | - | - | -", "SELECT t20 - | SELECT a FROM t20 | - | -"]);
    assert!(watched.connection.held_bytes() < 4000);
}

/// A greeting and an answer to it with these flags.
fn login(flags: u32) -> Watched {
    let mut watched = Watched::new(MySql::new(Limits::default()));
    let [a, b, c, d] = (flags | 0x0200_0201).to_le_bytes();
    let greeting = [b"\x0a8.0.1\0".as_slice(), &[7; 12], &[0, a, b, 33, 2, 0, c, d, 21], &[0; 23]].concat();
    watched.hears(my(0, greeting));
    let answer = [[a, b, c, d].as_slice(), &[0, 0, 0, 1, 33], &[0; 23], b"eve\0\0"].concat();
    watched.says(my(1, answer));
    watched
}

#[test]
fn encrypted_and_compressed_connections_are_left_alone() {
    for (flags, login_bytes) in [(1 << 11, 0), (1 << 5, 11), (1 << 26, 11)] {
        let mut watched = login(flags);
        watched.hears(my(2, MY_OK)).says("\x16\x03\x01\0").hears("\x16");
        let account = watched.account();
        assert_eq!((account.requests, account.refused, account.unparsed_to_server), (0, 0, 4), "{flags:x}");
        assert!(account.unparsed_to_client == 1 + 11 - login_bytes, "{account:?}");
    }
    let mut watched = login(0);
    watched.hears(my(2, MY_OK)).says(my(0, b"\x12\0\0\0\0")).hears("binlog");
    assert_eq!((watched.account().requests, watched.account().unparsed_to_client), (0, 6), "replication");
}

#[test]
fn parameters_that_come_with_a_query_are_not_taken_for_its_text() {
    let mut watched = login(1 << 27);
    watched.hears(my(2, MY_OK)).says(my(0, b"\x03\0\x01SELECT a FROM t1")).hears(my(1, MY_OK));
    watched.says(my(0, b"\x03\x01\x01\0\x01\xfe\0\x01n\x06s3cretSELECT a FROM t1")).hears(my(1, MY_OK));
    assert_eq!(watched.lines, ["SELECT t1 - | SELECT a FROM t1 | - | -", "QUERY - | - | - | -"]);
    let mut watched = mysql();
    watched.says(my(0, b"\x03\x01\x01\0\x01\xfe\0\x01n\x06s3cretSELECT a FROM t1")).hears(my(1, MY_OK));
    assert_eq!(watched.lines, ["QUERY - | - | - | -"], "nor where the login was not seen");
}

#[test]
fn mariadbs_own_ways_are_followed() {
    let mut watched = mysql();
    watched.says(my(0, b"\x16SELECT a FROM t1")).hears(my(1, [0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    // The statement prepared last, its columns known already, an end without definitions.
    watched.says(my(0, [0x17, 0xff, 0xff, 0xff, 0xff, 0, 1, 0, 0, 0]));
    watched.hears(
        [my(1, [1, 0]), my(2, [0xfe, 0, 0, 2, 0]), my(3, [0, 0, 1]), my(4, [0xfe, 0, 0, 2, 0])].concat(),
    );
    watched.says(my(0, [0xfa, 5, 0, 0, 0, 0x80, 0])).hears(my(1, [0, 3, 0, 2, 0, 0, 0]));
    // Progress is no error.
    watched.says(my(0, b"\x03ALTER TABLE t1 FORCE"));
    watched.hears(my(1, b"\xff\xff\xff\x01\x01\x02\0\0\0\x05stage")).hears(my(2, MY_OK));
    let right = [
        "PREPARE SELECT t1 - | SELECT a FROM t1 | - | -",
        "SELECT t1 - | SELECT a FROM t1 | 1 | -",
        "SELECT t1 - | SELECT a FROM t1 | - | -",
        "ALTER TABLE t1 - | ALTER TABLE t1 FORCE | - | -",
    ];
    assert_eq!(watched.lines, right);
}

#[test]
fn a_cursor_is_fetched_by_commands_of_its_own() {
    for deprecates in [false, true] {
        let mut watched = login(u32::from(deprecates) << 24);
        watched.hears(my(2, MY_OK));
        let end = |number, flags: u8| match deprecates {
            true => my(number, [0xfe, 0, 0, flags, 0, 0, 0]),
            false => my(number, [0xfe, 0, 0, flags, 0]),
        };
        watched.says(my(0, [0x17, 1, 0, 0, 0, 1, 1, 0, 0, 0]));
        watched.hears([my(1, [1]), my(2, b"\x03def"), end(3, 0x42)].concat());
        watched.says(my(0, [0x1c, 1, 0, 0, 0, 2, 0, 0, 0]));
        watched.hears([my(1, [0, 0, 1]), my(2, [0, 0, 2]), end(3, 0x82)].concat());
        assert_eq!(watched.lines, ["EXECUTE - | - | 0 | -", "FETCH - | - | 2 | -"], "{deprecates}");
    }
}

#[test]
fn a_packet_out_of_order_is_refused_and_the_next_command_followed() {
    let mut watched = mysql();
    watched.says(my(0, b"\x03SELECT a FROM t1")).hears(my(7, MY_OK));
    watched.says(my(0, b"\x03SELECT a FROM t2")).hears(my(1, MY_OK));
    assert_eq!(watched.lines, ["SELECT t2 - | SELECT a FROM t2 | - | -"]);
    let account = watched.account();
    assert_eq!((account.lost.desync, account.unpaired.malformed, account.refused), (1, 1, 1), "{account:?}");
}

#[test]
fn a_database_is_in_use_once_the_server_agrees() {
    let mut watched = mysql();
    let error = my(1, b"\xff\x19\x04#42000no");
    watched.says(my(0, b"\x02shop")).hears(error.clone()).says(my(0, b"\x0e")).hears(my(1, MY_OK));
    watched.says(my(0, b"\x03use `cart`")).hears(my(1, MY_OK)).says(my(0, b"\x0e")).hears(my(1, MY_OK));
    watched.says(my(0, b"\x03use other")).hears(error).says(my(0, b"\x0e")).hears(my(1, MY_OK));
    let pings: Vec<_> = watched.lines.iter().filter(|line| line.starts_with("PING")).collect();
    assert_eq!(pings, ["PING - | - | - | -", "PING cart cart | - | - | -", "PING cart cart | - | - | -"]);
}

#[test]
fn the_first_bytes_tell_the_databases_at_any_cut() {
    let greeting = my(0, b"\x0a5.5.5-10.11.6-MariaDB\0");
    let refusal = my(0, b"\xff\x6a\x04Host is not allowed");
    let startup = b"\0\0\0\x12\0\x03\0\0user\0eve\0\0".to_vec();
    let kafka = b"\0\0\0\x11\0\x03\0\0\0\0\0\x01\0\x03abc".to_vec();
    let cases = [
        (Builtin::MySql, ToClient, &greeting, Verdict::Yes),
        (Builtin::MySql, ToClient, &refusal, Verdict::Yes),
        (Builtin::MySql, ToClient, &startup, Verdict::No),
        (Builtin::MySql, ToServer, &startup, Verdict::No),
        (Builtin::Postgres, ToServer, &startup, Verdict::Yes),
        (Builtin::Postgres, ToServer, &kafka, Verdict::No),
        (Builtin::Postgres, ToClient, &greeting, Verdict::No),
    ];
    for (protocol, direction, bytes, right) in cases {
        let mut told = Verdict::More;
        for cut in 0..=bytes.len() {
            let first = match direction {
                ToServer => First { to_server: &bytes[..cut], to_client: b"" },
                ToClient => First { to_server: b"", to_client: &bytes[..cut] },
            };
            let verdict = protocol.infer(first);
            assert!(told == Verdict::More || verdict == told, "{protocol:?} {cut}");
            told = verdict;
        }
        assert_eq!(told, right, "{protocol:?} {}", bytes.escape_ascii());
    }
}
