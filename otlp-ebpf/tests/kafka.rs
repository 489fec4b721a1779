//! Kafka by hand: what the other implementation does not write, or not that way. Each case is also fed a byte at a
//! time.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]

mod kafka_wire;
mod stream;

use std::collections::BTreeMap;
use std::slice::from_ref;
use std::sync::Arc;

use kafka_wire::{
    Said, answer_by_hand, batch, by_hand, fetch, fetch_request, fetch_response, metadata, produce, said,
};
use otlp_core::UnixNanos;
use otlp_core::record::{AnyValue, KeyValue, Span, SpanKind};
use otlp_ebpf::parse::infer::{Builtin, First, Protocol, Protocols, Verdict};
use otlp_ebpf::parse::kafka::{Cluster, Kafka};
use otlp_ebpf::parse::{Chunk, Event, Parser};
use otlp_ebpf::{Connection, Ends, IdSource, Limits, Service};
use stream::{ToClient, ToServer, Told, Turns, bytewise, whole};

fn tell(turns: &Turns) -> Told {
    let told = whole(Kafka::new(Limits::default()), turns);
    let slowly = bytewise(Kafka::new(Limits::default()), turns);
    assert_eq!((&told.events, told.unparsed), (&slowly.events, slowly.unparsed), "cut and whole differ");
    told
}

fn has(event: &str, parts: &[&str]) {
    for part in parts {
        assert!(event.contains(part), "{part} not in {event}");
    }
}

fn spans(parser: Box<dyn Parser>, turns: &Turns) -> Vec<Span> {
    let service = Arc::new(Service::new("broker", Arc::new(IdSource::seeded(1))));
    let ends = Ends::new(([10, 0, 0, 7], 40_000).into(), ([10, 0, 0, 1], 9092).into());
    let mut connection = Connection::new(service, parser, ends);
    let mut spans = Vec::new();
    for (step, (direction, bytes)) in turns.iter().enumerate() {
        let chunk = Chunk::new(*direction, UnixNanos::from_millis(1000 + step as u64), bytes);
        connection.feed(chunk, &mut |span| spans.push(span));
        assert!(connection.account().is_balanced());
    }
    spans
}

fn turns(all: &[Said]) -> Turns {
    all.iter()
        .flat_map(|said| [(ToServer, said.request.clone()), (ToClient, said.response.clone())])
        .collect()
}

fn text<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    KeyValue::find(&span.attributes, key).and_then(AnyValue::as_str)
}

fn number(span: &Span, key: &str) -> Option<i64> {
    KeyValue::find(&span.attributes, key).and_then(AnyValue::as_int)
}

#[test]
fn a_span_tells_what_was_produced_where_and_by_whom() {
    let met = spans(
        Builtin::Kafka.parser(&Limits::default()),
        &turns(&[produce(7, 9, &[("orders", &[(4, 5)])], 0)]),
    );
    let span = &met[0];
    assert_eq!((span.name.as_str(), span.kind), ("Produce orders", SpanKind::Server));
    assert_eq!((span.duration().as_millis(), span.is_error()), (1, false));
    for (key, right) in [
        ("messaging.system", "kafka"),
        ("messaging.operation.name", "Produce"),
        ("messaging.operation.type", "send"),
        ("messaging.destination.name", "orders"),
        ("messaging.destination.partition.id", "4"),
        ("messaging.client.id", "shop-1"),
        ("server.address", "10.0.0.1"),
        ("client.address", "10.0.0.7"),
    ] {
        assert_eq!(text(span, key), Some(right), "{key}");
    }
    assert_eq!(number(span, "messaging.batch.message_count"), Some(5));
    assert_eq!(number(span, "messaging.message.envelope.size"), None);
    assert!(span.attributes.len() <= 20, "more than one allocation");
}

#[test]
fn a_span_of_several_topics_lists_them_and_has_no_destination() {
    let several: &[(&str, &[(i32, i64)])] = &[("orders", &[(0, 1)]), ("payments", &[(0, 2)])];
    let given: &[(&str, &[(i32, i64)])] = &[("orders", &[(0, 0)]), ("payments", &[(0, 1)])];
    let one = said(2, 11, &fetch_request(11, (0, 0), several, &[]), &fetch_response(11, 0, given, 0));
    let met = spans(Box::new(Kafka::new(Limits::default())), &turns(&[produce(1, 9, several, 3), one]));
    let [produced, fetched] = met.as_slice() else { panic!("{met:?}") };
    assert_eq!((produced.name.as_str(), text(produced, "messaging.destination.name")), ("Produce", None));
    let names = KeyValue::find(&produced.attributes, "otlp.messaging.destination.names");
    assert_eq!(names, Some(&AnyValue::Array(vec!["orders".into(), "payments".into()])));
    assert_eq!(text(produced, "error.type"), Some("UNKNOWN_TOPIC_OR_PARTITION"));
    assert!(produced.is_error());
    // Two were asked for, and messages of one came.
    assert_eq!(fetched.name, "Fetch payments");
    assert_eq!(text(fetched, "messaging.operation.type"), Some("receive"));
    assert_eq!(number(fetched, "messaging.batch.message_count"), Some(1));
    assert_eq!(number(fetched, "messaging.message.envelope.size"), i64::try_from(batch(1, 30).len()).ok());
}

#[test]
fn a_new_member_that_is_told_to_come_again_has_not_failed() {
    for (code, error) in [(79, None), (81, Some("GROUP_MAX_SIZE_REACHED"))] {
        let join = Said {
            request: by_hand(11, 4, 1, b"\0\x04cart\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0\0\0\0"),
            response: answer_by_hand(1, &[0, 0, 0, 0, 0, code, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        };
        let met = spans(Box::new(Kafka::new(Limits::default())), &turns(&[join]));
        assert_eq!(text(&met[0], "error.type"), error);
        assert_eq!(text(&met[0], "messaging.consumer.group.name"), Some("cart"));
    }
}

#[test]
fn the_oldest_versions_are_read_too() {
    // Message sets instead of batches: one message, and one that wraps an unknown number of others.
    let message = |attributes: u8| {
        let mut bytes = vec![0; 8];
        bytes.extend([0, 0, 0, 15, 9, 9, 9, 9, 0, attributes, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, b'v']);
        bytes
    };
    let mut set = message(0);
    set.extend(message(0));
    let produce = |set: &[u8]| {
        let length = u32::try_from(set.len()).unwrap().to_be_bytes();
        [b"\0\x01\0\0\x75\x30\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\x02", &length[..], set].concat()
    };
    let answer = answer_by_hand(1, b"\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\x02\0\x02\0\0\0\0\0\0\0\x09");
    let told = tell(&turns(&[Said { request: by_hand(0, 0, 1, &produce(&set)), response: answer }]));
    has(&told.events[0], &["topics: [Some(\"t\")]", "partition: Some(2)", "records: Some(2)", "whole: true"]);
    has(&told.events[2], &["CORRUPT_MESSAGE", "whole: true"]);
    set.extend(message(2));
    let told = tell(&vec![(ToServer, by_hand(0, 2, 1, &produce(&set)))]);
    has(&told.events[0], &["records: None", "whole: true"]);

    let ask = b"\xff\xff\xff\xff\0\0\0\x64\0\0\0\x01\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\x03\0\0\0\0\0\0\0\x05\0\x10\0\0";
    let set = [message(0), message(0), message(0)[..20].to_vec()].concat();
    let mut answer = b"\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\x03\0\0\0\0\0\0\0\0\0\x09".to_vec();
    answer.extend(u32::try_from(set.len()).unwrap().to_be_bytes());
    answer.extend(&set);
    let said = Said { request: by_hand(1, 0, 5, ask), response: answer_by_hand(5, &answer) };
    let told = tell(&turns(&[said]));
    has(&told.events[0], &["topics: [Some(\"t\")]", "partition: Some(3)", "whole: true"]);
    // The last message is cut off, as brokers do, and does not count.
    has(&told.events[2], &["topics: [Some(\"t\")]", "records: Some(2)", "error: None", "whole: true"]);
}

#[test]
fn versions_and_requests_of_the_future_are_told_by_their_heads() {
    let told = tell(&turns(&[
        Said { request: by_hand(0, 40, 1, b"\0whatever"), response: answer_by_hand(1, b"\0\xff\xff") },
        Said { request: by_hand(200, 1, 2, b"\0new"), response: answer_by_hand(2, b"") },
    ]));
    assert_eq!(told.unparsed, [0, 0]);
    has(&told.events[0], &["api: \"Produce\", version: 40", "client_id: Some(\"shop-1\")", "topics: []"]);
    has(&told.events[2], &["api: Some(\"Produce\")", "error: None"]);
    has(&told.events[3], &["api: \"_OTHER\", version: 1", "client_id: Some(\"shop-1\")"]);
    has(&told.events[5], &["correlation_id: 2"]);
}

#[test]
fn connections_to_a_cluster_learn_of_each_other() {
    let wants = fetch(9, 13, &[("orders", &[(1, 2)])], 0);
    let learns = metadata(1, 12, &["orders"], 0);
    let shared = Protocols::default().with(Cluster::new(8));
    let first = shared.infer(First { to_server: &learns.request, to_client: b"" }).unwrap();
    spans(first.parser(&Limits::default()), &turns(from_ref(&learns)));
    let met = spans(first.parser(&Limits::default()), &turns(from_ref(&wants)));
    assert_eq!(met[0].name, "Fetch orders");
    // Alone they know what they have seen themselves.
    spans(Builtin::Kafka.parser(&Limits::default()), &turns(from_ref(&learns)));
    let met = spans(Builtin::Kafka.parser(&Limits::default()), &turns(from_ref(&wants)));
    assert_eq!((met[0].name.as_str(), text(&met[0], "messaging.destination.name")), ("Fetch", None));
    let met = spans(Builtin::Kafka.parser(&Limits::default()), &turns(&[learns, wants]));
    assert_eq!(met[1].name, "Fetch orders");
}

const CANARY: &str = "canary-7f3a";

#[test]
fn what_proves_who_a_client_is_is_never_kept() {
    let plain = format!("\0user\0{CANARY}");
    let framed = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    let scram = format!("n,,n=user,r={CANARY}");
    let mechanism = b"\0\x05PLAIN";
    let chosen = answer_by_hand(1, b"\0\0\0\0\0\x01\0\x05PLAIN");
    let rest = produce(9, 9, &[("orders", &[(0, 1)])], 0);
    // The frames behind a handshake of version 0 have no heads; an answer may be empty.
    for said in [plain.as_bytes(), scram.as_bytes(), b"", b"a"] {
        for answer in [&b""[..], b"r=abc", CANARY.as_bytes()] {
            let all: Turns = vec![
                (ToServer, by_hand(17, 0, 1, mechanism)),
                (ToClient, chosen.clone()),
                (ToServer, framed(said)),
                (ToClient, framed(answer)),
                (ToServer, framed(said)),
                (ToClient, framed(answer)),
                (ToServer, rest.request.clone()),
                (ToClient, rest.response.clone()),
            ];
            let told = tell(&all);
            let passed = [2 * (said.len() as u64 + 4), 2 * (answer.len() as u64 + 4)];
            assert_eq!(told.unparsed, passed, "{:?}", told.events);
            has(&told.events[3], &["api: \"Produce\"", "whole: true"]);
            assert_eq!(told.events.len(), 6, "{:?}", told.events);
            assert!(!format!("{told:?}").contains(CANARY));
        }
    }
    // Since version 1 they are bodies of requests, which are not looked at.
    let authenticate = [&u32::try_from(plain.len()).unwrap().to_be_bytes()[..], plain.as_bytes()].concat();
    let mut parser = Kafka::new(Limits::default());
    for (direction, bytes) in [
        (ToServer, by_hand(17, 1, 1, mechanism)),
        (ToClient, chosen.clone()),
        (ToServer, by_hand(36, 1, 2, &authenticate)),
        (ToClient, answer_by_hand(2, b"\0\x3a\0\x03bad\0\0\0\0\0\0\0\0\0\0\0\0")),
    ] {
        let mut told = Told::default();
        for byte in bytes.chunks(1) {
            parser.feed(Chunk::new(direction, UnixNanos(1), byte), &mut |event| told.on(event));
            assert!(!format!("{parser:?}").contains(CANARY));
        }
        assert!(!format!("{told:?}").contains(CANARY));
        if direction == ToClient {
            assert_eq!(
                told.events.iter().any(|event| event.contains("SASL_AUTHENTICATION_FAILED")),
                bytes[11] == 3
            );
        }
    }
}

#[test]
fn what_is_no_kafka_is_refused_and_the_next_request_found() {
    let good = produce(3, 9, &[("orders", &[(0, 1)])], 0);
    for (wrong, count) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), 1),
        (vec![0, 0, 0, 3, 1, 2, 3], 1),
        (by_hand(-7, 0, 1, b""), 1),
        (by_hand(0, -1, 1, b""), 1),
        (by_hand(300, 0, 1, b""), 1),
        (vec![0xff; 40], 1),
        (vec![0; 40], 1),
    ] {
        let told = tell(&vec![
            (ToServer, [wrong.clone(), good.request.clone()].concat()),
            (ToClient, good.response.clone()),
        ]);
        let refused = told.events.iter().filter(|event| event.contains("Refused")).count();
        assert_eq!(refused, count, "{wrong:?}: {:?}", told.events);
        assert_eq!(told.unparsed, [wrong.len() as u64, 0], "{wrong:?}: {:?}", told.events);
        let request = told.events.iter().find(|event| event.starts_with("Request")).unwrap();
        has(request, &["correlation_id: 3", "topics: [Some(\"orders\")]"]);
    }
}

#[test]
fn lengths_that_nothing_can_have_hold_no_memory() {
    let huge = [0x7f, 0xff, 0xff, 0xff];
    let arrays = [&b"\xff\xff\0\x01\0\0\0\0"[..], &huge, &[0; 40]].concat();
    let strings = [&b"\xff\xff\0\x01\0\0\0\0\0\0\0\x01\x7f\xff"[..], &[0; 40]].concat();
    let records =
        [&b"\xff\xff\0\x01\0\0\0\0\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\0"[..], &huge, &[0; 40]].concat();
    for body in [arrays, strings, records, vec![0xfe; 60]] {
        let told = tell(&vec![(ToServer, by_hand(0, 3, 1, &body))]);
        has(&told.events[0], &["api: \"Produce\"", "whole: false"]);
        assert_eq!(told.unparsed, [0, 0]);
        assert!(told.held < 8 << 10, "{}", told.held);
    }
    // Tagged fields without end, and a varint of too many bytes.
    for body in [vec![0xff; 30], vec![0x80; 30], vec![0, 0xff, 0xff, 0xff, 0xff, 0x0f]] {
        let told = tell(&vec![(ToServer, by_hand(0, 9, 1, &body))]);
        has(&told.events[0], &["client_id: Some(\"shop-1\")", "whole: false"]);
    }
    let limited = Kafka::new(Limits::default().max_value_bytes(100));
    let told = whole(limited, &vec![(ToServer, by_hand(0, 9, 1, &[0; 200]))]);
    has(&told.events[0], &["value_bytes", "limit: 100"]);
}

#[test]
fn a_large_frame_is_passed_over_by_its_length() {
    let portions: &[(&str, &[(i32, i64)])] = &[("orders", &[(0, 1)]), ("payments", &[(1, 2)])];
    let request = kafka_wire::produce_request(9, 1, portions, 300_000);
    let bytes = kafka_wire::request(1, 9, &request);
    assert!(bytes.len() > 900_000);
    let mut parser = Kafka::new(Limits::default());
    let mut told = Told::default();
    for piece in bytes.chunks(1448) {
        told.feed(&mut parser, ToServer, piece);
    }
    has(
        &told.events[0],
        &["topics: [Some(\"orders\"), Some(\"payments\")]", "records: Some(3)", "whole: true"],
    );
    assert!(told.held < 2048, "{}", told.held);
    // The same with most of both batches lost.
    let mut parser = Kafka::new(Limits::default());
    let mut told = Told::default();
    let second = bytes.windows(8).position(|window| window == b"payments").unwrap();
    for (from, to) in [(0, 2000), (290_000, second + 300), (second + 590_000, bytes.len())] {
        let missing = match from {
            0 => 0,
            290_000 => 288_000,
            _ => 589_700,
        };
        let chunk = Chunk::new(ToServer, UnixNanos(1), &bytes[from..to]).after_gap(missing);
        parser.feed(chunk, &mut |event| told.on(event));
    }
    assert_eq!(told.events.len(), 2, "{:?}", told.events);
    has(
        &told.events[0],
        &["topics: [Some(\"orders\"), Some(\"payments\")]", "records: Some(3)", "whole: true"],
    );
}

#[test]
fn a_hole_over_the_head_of_a_batch_leaves_out_the_count_alone() {
    let said = produce(1, 9, &[("orders", &[(0, 5)])], 0);
    let begin = batch(5, 30);
    let batch = said.request.windows(20).position(|window| *window == begin[..20]).unwrap();
    let mut parser = Kafka::new(Limits::default());
    let mut told = Told::default();
    for (from, to, missing) in [(0, batch + 3, 0), (batch + 80, said.request.len(), 77)] {
        let chunk = Chunk::new(ToServer, UnixNanos(1), &said.request[from..to]).after_gap(missing);
        parser.feed(chunk, &mut |event| told.on(event));
    }
    has(&told.events[0], &["topics: [Some(\"orders\")]", "records: None"]);
    assert!(told.events[1].ends_with("Gap"), "{:?}", told.events);
}

#[test]
fn requests_whose_answers_were_lost_are_given_up_with_the_next_answer() {
    let all: Vec<_> = (1..=4).map(|number| produce(number, 9, &[("orders", &[(0, 1)])], 0)).collect();
    let mut parser = Kafka::new(Limits::default());
    let mut events = Vec::new();
    let mut feed = |chunk: Chunk<'_>| {
        parser.feed(chunk, &mut |event| match event {
            Event::Lost { .. } | Event::Response { .. } => events.push(format!("{event:?}")[..30].to_owned()),
            _ => {}
        });
    };
    for said in &all {
        feed(Chunk::new(ToServer, UnixNanos(1), &said.request));
    }
    feed(Chunk::new(ToClient, UnixNanos(1), &all[0].response));
    let lost = (all[1].response.len() + all[2].response.len()) as u64;
    feed(Chunk::new(ToClient, UnixNanos(1), &all[3].response).after_gap(lost));
    let right = [
        "Response { exchange: Numbered(1",
        "Lost { exchange: Numbered(2)",
        "Lost { exchange: Numbered(3)",
        "Response { exchange: Numbered(4",
    ];
    assert_eq!(events.len(), right.len(), "{events:?}");
    events
        .iter()
        .zip(right)
        .for_each(|(event, right)| assert!(event.starts_with(&right[..28]), "{events:?}"));
}

#[test]
fn numbers_used_again_are_paired_again() {
    let again: Vec<_> = [3, 0, 6].map(|error| produce(5, 9, &[("orders", &[(0, 1)])], error)).to_vec();
    let met = spans(Box::new(Kafka::new(Limits::default())), &turns(&again));
    let errors: Vec<_> = met.iter().map(|span| text(span, "error.type")).collect();
    assert_eq!(errors, [Some("UNKNOWN_TOPIC_OR_PARTITION"), None, Some("NOT_LEADER_OR_FOLLOWER")]);
}

#[test]
fn kafka_is_told_by_the_first_request_and_nothing_else_is() {
    let infer = |first: &[u8]| Builtin::Kafka.infer(First { to_server: first, to_client: b"" });
    let good = [
        metadata(1, 9, &["orders"], 0).request,
        produce(1, 3, &[("orders", &[(0, 1)])], 0).request,
        by_hand(17, 0, 70_000, b"\0\x05PLAIN"),
        // Newer than known, as clients ask for versions first.
        by_hand(18, 7, 0, b"\0\0\0"),
    ];
    for request in &good {
        let first = &request[..request.len().min(64)];
        assert_eq!(infer(first), Verdict::Yes);
        let told: Vec<_> = (0..=first.len()).map(|length| infer(&first[..length])).collect();
        let yes = told.iter().position(|verdict| *verdict == Verdict::Yes).unwrap();
        assert!(told[..yes].iter().all(|verdict| *verdict == Verdict::More), "{told:?}");
        assert!(told[yes..].iter().all(|verdict| *verdict == Verdict::Yes), "{told:?}");
        let answered = First { to_server: first, to_client: b"hello" };
        assert_eq!(Builtin::Kafka.infer(answered), Verdict::No, "a broker never speaks first");
    }
    let startup = |user: &str| {
        let body = format!("\0\x03\0\0user\0{user}\0database\0shop\0application_name\0psql\0\0");
        [&u32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], body.as_bytes()].concat()
    };
    let long = "a".repeat(130);
    for wrong in [
        startup("postgres"),
        startup(&long),
        b"\0\0\0\x08\x04\xd2\x16\x2f".to_vec(),
        b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"*1\r\n$4\r\nPING\r\n".to_vec(),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
        vec![0; 64],
        by_hand(93, 0, 1, b""),
        by_hand(0, 30, 1, b""),
        by_hand(0, 3, -1, b""),
    ] {
        let mut first = wrong.clone();
        first.resize(64, 0);
        assert_eq!(infer(&first), Verdict::No, "{:?}", wrong.escape_ascii().to_string());
    }
}

#[test]
fn a_closed_connection_tells_what_was_cut_off() {
    let said = produce(1, 9, &[("orders", &[(0, 1)])], 3);
    for cut in [2, 9, 30, said.request.len() - 1] {
        let told = tell(&vec![(ToServer, said.request[..cut].to_vec())]);
        assert!(told.events[0].contains("Truncated"), "{:?}", told.events);
        assert_eq!(told.unparsed, [cut as u64, 0]);
    }
    for cut in [9, 20, said.response.len() - 1] {
        let all = vec![(ToServer, said.request.clone()), (ToClient, said.response[..cut].to_vec())];
        let told = tell(&all);
        assert!(
            told.events[2].starts_with("Response") && told.events[2].contains("Truncated"),
            "{:?}",
            told.events
        );
        assert_eq!(told.unparsed, [0, 0]);
    }
}

/// A session of librdkafka with the broker tansu, recorded; see `tests/data/kafka/README.md`.
#[test]
fn a_recorded_session_is_read_to_the_last_byte() {
    let mut connections: BTreeMap<u32, Turns> = BTreeMap::new();
    for line in include_str!("data/kafka/session.txt").lines() {
        let [number, direction, hex] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
        let direction = if direction == ">" { ToServer } else { ToClient };
        connections.entry(number.parse().unwrap()).or_default().push((direction, bytes.collect()));
    }
    let protocols = Protocols::default();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut messages = BTreeMap::new();
    for turns in connections.values() {
        let told = tell(turns);
        assert_eq!(told.unparsed, [0, 0]);
        assert!(told.events.iter().all(|event| !event.contains("whole: false")), "{:?}", told.events);
        let first = First { to_server: &turns[0].1, to_client: b"" };
        for span in spans(protocols.infer(first).unwrap().parser(&Limits::default()), turns) {
            assert!(!span.is_error(), "{span:?}");
            assert!(text(&span, "messaging.client.id").is_some_and(|client| client.starts_with("shop-")));
            *counts.entry(span.name.clone()).or_default() += 1;
            *messages.entry(span.name.clone()).or_insert(0) +=
                number(&span, "messaging.batch.message_count").unwrap_or(0);
        }
    }
    // What the client itself counted, and what it asked of the address that it was given.
    let right = [
        ("ApiVersions", 5),
        ("Fetch", 2),
        ("FindCoordinator", 3),
        ("Metadata", 6),
        ("OffsetCommit", 1),
        ("Produce orders", 2),
        ("Produce payments", 2),
    ];
    assert_eq!(counts, right.map(|(name, count)| (name.to_owned(), count)).into());
    assert_eq!((messages["Produce orders"], messages["Produce payments"], messages["Fetch"]), (4, 4, 8));
}
