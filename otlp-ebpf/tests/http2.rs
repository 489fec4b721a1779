//! HTTP/2 read from its frames: what each means, what is refused, what a loss takes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]

mod frames;
mod stream;

use frames::{
    CONTINUATION, DATA, Dice, END_HEADERS, END_STREAM, Encoder, GOAWAY, HEADERS, PADDED, PING, PREFACE,
    PRIORITY, PROMISE, RESET, SETTINGS, WINDOW, frame, opening,
};
use otlp_core::UnixNanos;
use otlp_ebpf::Limits;
use otlp_ebpf::parse::http1::Http1;
use otlp_ebpf::parse::http2::Http2;
use otlp_ebpf::parse::infer::Inferring;
use otlp_ebpf::parse::{Chunk, Parser};
use stream::{ToClient, ToServer, Told, Turns, bytewise, whole};

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/a"), (":authority", "shop")];
const BOTH: u8 = END_STREAM | END_HEADERS;

/// A connection that is told what is said on it.
struct Said {
    turns: Turns,
    client: Encoder,
    server: Encoder,
}

impl Said {
    fn new() -> Self {
        Self { turns: opening(), client: Encoder::new(), server: Encoder::new() }
    }

    fn ask(&mut self, flags: u8, stream: u32, fields: &[(&str, &str)]) -> &mut Self {
        let block = self.client.usual(fields);
        self.client(frame(HEADERS, flags, stream, &block))
    }

    fn answer(&mut self, flags: u8, stream: u32, fields: &[(&str, &str)]) -> &mut Self {
        let block = self.server.usual(fields);
        self.server(frame(HEADERS, flags, stream, &block))
    }

    fn client(&mut self, bytes: Vec<u8>) -> &mut Self {
        self.turns.push((ToServer, bytes));
        self
    }

    fn server(&mut self, bytes: Vec<u8>) -> &mut Self {
        self.turns.push((ToClient, bytes));
        self
    }

    /// What it means, which is the same in one piece and byte by byte.
    #[track_caller]
    fn told(&self) -> Told {
        let told = whole(Http2::new(Limits::default()), &self.turns);
        assert_eq!(told.events, bytewise(Http2::new(Limits::default()), &self.turns).events);
        told
    }

    #[track_caller]
    fn means(&self, events: &[&str]) {
        let told = self.told();
        assert_eq!(told.events, events);
        assert_eq!(told.unparsed, [0, 0]);
    }
}

#[test]
fn streams_answer_in_any_order() {
    let mut said = Said::new();
    said.ask(BOTH, 1, &GET)
        .ask(END_HEADERS, 3, &[(":method", "POST"), (":scheme", "http"), (":path", "/b"), ("x", "y")])
        .client(frame(DATA, 0, 3, b"12"))
        .answer(END_HEADERS, 3, &[(":status", "201")])
        .client(frame(DATA, END_STREAM, 3, b"345"))
        .server(frame(DATA, END_STREAM, 3, b"done"))
        .answer(BOTH, 1, &[(":status", "304")]);
    said.means(&[
        "request 1 GET http shop /a []",
        "request end 1 0 Complete",
        "request 3 POST http - /b [x=y]",
        "request end 3 5 Complete",
        "response 3 201 4 Complete",
        "response 1 304 0 Complete",
    ]);
}

#[test]
fn padding_and_priorities_are_no_part_of_what_is_said() {
    let mut said = Said::new();
    let block = said.client.usual(&GET);
    let padded = [&[3][..], &[0x80, 0, 0, 1, 7], &block, &[0; 3]].concat();
    said.client(frame(HEADERS, END_HEADERS | PADDED | PRIORITY, 1, &padded))
        .client(frame(2, 0, 1, &[0, 0, 0, 0, 9]))
        .client(frame(DATA, END_STREAM | PADDED, 1, b"\x02ab\0\0"))
        .answer(END_HEADERS, 1, &[(":status", "200")])
        .server(frame(DATA, PADDED, 1, b"\x05\0\0\0\0\0"))
        .server(frame(DATA, END_STREAM, 1, b""));
    said.means(&["request 1 GET http shop /a []", "request end 1 2 Complete", "response 1 200 0 Complete"]);
}

#[test]
fn interim_responses_trailers_and_promises_are_told_apart() {
    let mut said = Said::new();
    said.ask(END_HEADERS, 1, &GET)
        .answer(END_HEADERS, 1, &[(":status", "100")])
        .client(frame(DATA, 0, 1, b"x"))
        .ask(BOTH, 1, &[("checksum", "7")])
        .answer(END_HEADERS, 1, &[(":status", "200"), ("content-type", "application/grpc")]);
    // A promise fills the table like any other block; the pushed response is passed over.
    let promised = [&[0, 0, 0, 2][..], &said.server.usual(&GET)].concat();
    said.server(frame(PROMISE, END_HEADERS, 1, &promised))
        .answer(END_HEADERS, 2, &[(":status", "200"), ("x-pushed", "1")])
        .server(frame(DATA, END_STREAM, 2, b"pushed"))
        .server(frame(DATA, 0, 1, b"abc"))
        .answer(BOTH, 1, &[("grpc-status", "5"), ("x-pushed", "1")]);
    said.means(&[
        "request 1 GET http shop /a []",
        "Interim { status: 100 }",
        "request end 1 1 Complete",
        "response 1 200 grpc 5 3 Complete",
    ]);
}

#[test]
fn blocks_go_on_in_continuations() {
    let mut said = Said::new();
    let block = said.client.usual(&GET);
    said.client(frame(HEADERS, END_STREAM, 1, &block[..2]))
        .client(frame(CONTINUATION, 0, 1, &[]))
        .client(frame(CONTINUATION, 0, 1, &block[2..5]))
        .client(frame(CONTINUATION, END_HEADERS, 1, &block[5..]))
        .answer(BOTH, 1, &[(":status", "200")]);
    said.means(&["request 1 GET http shop /a []", "request end 1 0 Complete", "response 1 200 0 Complete"]);
}

#[test]
fn resets_and_farewells_abort() {
    let mut said = Said::new();
    (0..4).for_each(|number| {
        said.ask(BOTH, 2 * number + 1, &GET);
    });
    said.client(frame(RESET, 0, 1, &[0, 0, 0, 8]))
        .server(frame(RESET, 0, 1, &[0, 0, 0, 5]))
        .server(frame(GOAWAY, 0, 0, &[&[0, 0, 0, 3, 0, 0, 0, 0][..], b"maintenance"].concat()))
        .answer(BOTH, 3, &[(":status", "200")])
        .client(frame(GOAWAY, 0, 0, &[0; 8]));
    said.turns.retain(|(_, bytes)| !bytes.is_empty());
    let told = said.told();
    let behind: Vec<_> = told.events.iter().filter(|event| !event.starts_with("request")).collect();
    assert_eq!(
        behind,
        ["aborted 1 cancel", "aborted 5 goaway", "aborted 7 goaway", "response 3 200 0 Complete"]
    );
}

#[test]
fn a_tunnel_is_answered_when_it_opens() {
    for fields in [
        vec![(":method", "CONNECT"), (":authority", "db:5432")],
        vec![(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/chat")],
    ] {
        let mut said = Said::new();
        said.ask(END_HEADERS, 1, &fields)
            .answer(END_HEADERS, 1, &[(":status", "200")])
            .client(frame(DATA, 0, 1, b"tunnelled"))
            .server(frame(DATA, END_STREAM, 1, b"tunnelled"));
        let told = said.told();
        assert!(told.events[0].starts_with("request 1 CONNECT"), "{:?}", told.events);
        assert_eq!(told.events[1..], ["response 1 200 0 Complete"]);
    }
}

#[test]
fn what_is_between_exchanges_means_nothing() {
    let mut said = Said::new();
    said.server(frame(SETTINGS, 1, 0, &[]))
        .client(frame(PING, 0, 0, &[7; 8]))
        .server(frame(WINDOW, 0, 0, &[0, 0, 0, 1]))
        .client(frame(0x0c, 0xff, 9, b"of an extension"))
        .ask(BOTH, 1, &GET);
    said.means(&["request 1 GET http shop /a []", "request end 1 0 Complete"]);
}

#[test]
fn an_upgrade_from_http1_is_answered_by_the_first_stream() {
    let mut server = Encoder::new();
    let mut client = Encoder::new();
    let turns = vec![
        (ToServer, b"GET /old HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n\r\n".to_vec()),
        (
            ToClient,
            [
                &b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"[..],
                &frame(SETTINGS, 0, 0, &[]),
                &frame(HEADERS, END_HEADERS, 1, &server.usual(&[(":status", "404")])),
                &frame(DATA, END_STREAM, 1, b"gone"),
            ]
            .concat(),
        ),
        (
            ToServer,
            [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(HEADERS, BOTH, 3, &client.usual(&GET))].concat(),
        ),
        (ToClient, frame(HEADERS, BOTH, 3, &server.usual(&[(":status", "200")]))),
    ];
    for told in
        [whole(Inferring::new(Limits::default()), &turns), bytewise(Http1::new(Limits::default()), &turns)]
    {
        assert_eq!(
            told.events[1..],
            [
                "request end 0 Complete",
                "Interim { status: 101 }",
                "response in order 404 4 Complete",
                "request 3 GET http shop /a []",
                "request end 3 0 Complete",
                "response 3 200 0 Complete",
            ]
        );
        assert_eq!(told.unparsed, [0, 0]);
    }
    // Another protocol behind the same answer is not read.
    let websocket = vec![
        turns[0].clone(),
        (ToClient, b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec()),
    ];
    assert_eq!(whole(Http1::new(Limits::default()), &websocket).unparsed, [0, 9]);
}

#[test]
fn the_protocol_is_told_from_either_end_and_late() {
    let mut said = Said::new();
    said.ask(BOTH, 1, &GET).answer(BOTH, 1, &[(":status", "200")]);
    let events = said.told().events;
    assert_eq!(whole(Inferring::new(Limits::default()), &said.turns).events, events);
    // The server's settings come first.
    said.turns.swap(0, 1);
    assert_eq!(whole(Inferring::new(Limits::default()), &said.turns).events, events);
    assert_eq!(bytewise(Inferring::new(Limits::default()), &said.turns).events, events);
    // The beginning was not seen.
    let late: Turns = said.turns[2..].to_vec();
    let told = whole(Inferring::new(Limits::default()), &late);
    assert_eq!(told.events, events);
    assert_eq!(told.unparsed, [0, 0]);
}

/// Feeds turns with `missing` bytes in front of some.
fn holed(mut parser: impl Parser, turns: &[(otlp_ebpf::parse::Direction, u64, Vec<u8>)]) -> Told {
    let mut told = Told::default();
    for (direction, missing, bytes) in turns {
        let chunk = Chunk::new(*direction, UnixNanos(1), bytes).after_gap(*missing);
        parser.feed(chunk, &mut |event| told.on(event));
    }
    told.close(&mut parser);
    told
}

fn without_holes(turns: &Turns) -> Vec<(otlp_ebpf::parse::Direction, u64, Vec<u8>)> {
    turns.iter().map(|(direction, bytes)| (*direction, 0, bytes.clone())).collect()
}

#[test]
fn a_hole_in_a_body_changes_nothing() {
    let mut said = Said::new();
    said.ask(BOTH, 1, &GET).answer(END_HEADERS, 1, &[(":status", "200")]);
    let events = {
        let body = frame(DATA, END_STREAM, 1, &[b'x'; 5000]);
        said.server(body).told().events
    };
    let mut turns = without_holes(&said.turns);
    let body = turns.pop().unwrap().2;
    turns.push((ToClient, 0, body[..100].to_vec()));
    turns.push((ToClient, 4000, body[4100..].to_vec()));
    assert_eq!(holed(Http2::new(Limits::default()), &turns).events, events);
    // Its end too may be missing, as long as the next frame's beginning is not.
    turns.pop();
    turns.push((ToClient, 4909, frame(PING, 0, 0, &[0; 8])));
    assert_eq!(holed(Http2::new(Limits::default()), &turns).events, events);
}

#[test]
fn a_hole_in_a_header_block_loses_the_rest_of_that_block() {
    let mut said = Said::new();
    said.ask(BOTH, 1, &[&GET[..], &[("x-one", "1")]].concat());
    said.ask(BOTH, 3, &[&GET[..], &[("x-one", "1"), ("x-two", "2")]].concat());
    said.ask(BOTH, 5, &[&GET[..], &[("x-one", "1"), ("x-two", "2"), ("x-new", "3")]].concat());
    said.ask(BOTH, 7, &[&GET[..], &[("x-new", "3")]].concat());
    let mut turns = without_holes(&said.turns);
    let second = turns[3].2.clone();
    let (head, tail) = second.split_at(9 + 2);
    turns[3].2 = head.to_vec();
    turns.insert(4, (ToServer, tail.len() as u64 - 1, tail[tail.len() - 1..].to_vec()));
    let told = holed(Http2::new(Limits::default()), &turns);
    let requests: Vec<_> = told.events.iter().filter(|event| !event.starts_with("request end")).collect();
    assert_eq!(
        requests,
        [
            "request 1 GET http shop /a [x-one=1]",
            "request 3 GET http - - [] gap",
            "request 5 GET http - - [x-new=3] gap",
            "request 7 GET http - - [x-new=3] gap",
            // Whether it was answered before the rest of its head did not come is not known.
            "lost 3",
        ]
    );
}

#[test]
fn the_place_is_found_again_with_the_next_head() {
    let mut said = Said::new();
    said.ask(BOTH, 1, &GET).ask(BOTH, 3, &GET);
    said.answer(END_HEADERS, 1, &[(":status", "200")])
        .server(frame(DATA, END_STREAM, 1, &[0; 40]))
        .answer(END_HEADERS, 3, &[(":status", "404"), ("x", "y")])
        .server(frame(DATA, END_STREAM, 3, b"abc"));
    let mut turns = without_holes(&said.turns);
    // The beginning of the first body is lost with its frame's header, which ended the stream.
    let body = turns[5].2.split_off(20);
    turns[5].1 = 20;
    turns[5].2 = body;
    let told = holed(Http2::new(Limits::default()), &turns);
    let behind: Vec<_> = told.events.iter().filter(|event| !event.starts_with("request")).collect();
    assert_eq!(
        behind,
        [
            "Refused { direction: ToClient, error: ParseError { offset: 19, direction: ToClient, kind: Gap } }",
            "response 3 404 3 Complete",
            "response 1 200 0 Gap",
        ]
    );
    assert_eq!(told.unparsed, [0, 29]);
}

#[test]
fn an_answer_lost_is_told_as_lost_and_not_as_failed() {
    let mut said = Said::new();
    said.ask(BOTH, 1, &GET).ask(BOTH, 3, &GET);
    said.answer(BOTH, 1, &[(":status", "204")]).answer(BOTH, 3, &[(":status", "500")]);
    let mut turns = without_holes(&said.turns);
    let lost = turns.remove(4).2.len() as u64;
    turns[4].1 = lost;
    let told = holed(Http2::new(Limits::default()), &turns);
    assert_eq!(told.events.last().map(String::as_str), Some("lost 1"));
    assert!(told.events.contains(&"response 3 500 0 Complete".to_owned()), "{:?}", told.events);
}

#[test]
fn a_connection_that_closes_truncates_what_is_under_way() {
    let mut said = Said::new();
    said.ask(END_HEADERS, 1, &GET).client(frame(DATA, 0, 1, b"abc")[..11].to_vec());
    said.answer(END_HEADERS, 1, &[(":status", "200")]).server(frame(DATA, 0, 1, &[0; 100])[..19].to_vec());
    said.means(&[
        "request 1 GET http shop /a []",
        "request end 1 2 Truncated",
        "response 1 200 10 Truncated",
    ]);
}

#[test]
fn headers_are_read_up_to_the_limit_and_cut_behind_it() {
    let parent = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    for (filler, cut) in [(16_000, false), (17_000, true)] {
        let filler: Vec<_> =
            (0..filler / 100).map(|number| (format!("x-{number:03}"), "v".repeat(95))).collect();
        let mut fields = GET.to_vec();
        fields.extend(filler.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        fields.push(parent);
        let mut said = Said::new();
        let block = said.client.usual(&fields);
        let parts: Vec<_> = block.chunks(4000).collect();
        for (number, part) in parts.iter().enumerate() {
            let last = if number + 1 == parts.len() { END_HEADERS } else { 0 };
            let kind = if number == 0 { HEADERS } else { CONTINUATION };
            said.client(frame(kind, last | if number == 0 { END_STREAM } else { 0 }, 1, part));
        }
        said.ask(BOTH, 3, &[&GET[..], &[parent]].concat());
        let told = said.told();
        assert_eq!(told.events[0].contains("traceparent"), !cut);
        assert_eq!(told.events[0].ends_with("truncated"), cut);
        assert!(told.events[2].contains("[traceparent=00-4bf9"), "{:?}", told.events[2]);
    }
}

#[test]
fn faults_lose_the_place_until_the_next_head() {
    for wrong in [
        frame(CONTINUATION, END_HEADERS, 1, b"x"),
        frame(PING, 0, 0, b"seven.."),
        frame(DATA, 0, 0, b"x"),
        frame(HEADERS, END_HEADERS | PADDED, 1, b"\x09\x82"),
        frame(SETTINGS, 0, 0, b"x"),
        frame(DATA, 0, 1, &vec![0; 16_385]),
        frame(PROMISE, END_HEADERS, 1, b"\0\0\0\x02\x82"),
    ] {
        let mut said = Said::new();
        said.client(wrong.clone());
        said.ask(BOTH, 3, &GET).answer(BOTH, 3, &[(":status", "200")]);
        let told = said.told();
        assert!(told.events[0].starts_with("Refused { direction: ToServer"), "{:?}", told.events);
        assert_eq!(told.events[1], "request 3 GET http shop /a []", "{:?}", &wrong[..9]);
        assert_eq!(told.events.last().map(String::as_str), Some("response 3 200 0 Complete"));
    }
    // What is not valid in a block loses the table, but not the place.
    let mut said = Said::new();
    said.client(frame(HEADERS, BOTH, 1, b"\x82\x86\xff\xff\xff\xff\xff\xff")).ask(BOTH, 3, &GET);
    let told = said.told();
    assert_eq!(told.events[0], "request 1 GET http - - [] gap");
    assert_eq!(told.events[2], "request 3 GET http shop /a []");
}

#[test]
fn floods_hold_no_more_than_they_may() {
    let limits = || Limits::default().max_head_bytes(1024).max_in_flight(32);
    let may_hold = 2 * (3 * 4096 + 4096) + 2 * 2 * 2048 + 64 * 200 + 8192;
    let flood = |bytes: &mut dyn FnMut(u32) -> Vec<u8>| {
        let mut told = Told::default();
        let mut parser = Http2::new(limits());
        for (direction, bytes) in opening() {
            told.feed(&mut parser, direction, &bytes);
        }
        (0..3000).for_each(|number| told.feed(&mut parser, ToServer, &bytes(number)));
        assert!(told.held <= may_hold, "holds {}", told.held);
        told
    };
    let mut first = true;
    let continued = flood(&mut |_| {
        let kind = if std::mem::take(&mut first) { HEADERS } else { CONTINUATION };
        frame(kind, 0, 1, &[0x82; 100])
    });
    assert!(continued.events.is_empty());
    let mut encoder = Encoder::new();
    let streams = flood(&mut |number| frame(HEADERS, BOTH, 2 * number + 1, &encoder.usual(&GET)));
    assert_eq!(streams.events.iter().filter(|event| event.starts_with("request end")).count(), 32);
    let mut dice = Dice::new(7);
    flood(&mut |_| (0..100).map(|_| dice.roll() as u8).collect());
    // Each byte a field of 4,000 bytes.
    let mut bomb = Encoder::new();
    let long = "x".repeat(4000);
    let bombed = flood(&mut |number| {
        let mut block = bomb.usual(&[&GET[..], &[("x-bomb", &long)]].concat());
        block.extend(std::iter::repeat_n(0xbe, 900));
        frame(HEADERS, BOTH, 2 * number + 1, &block)
    });
    assert!(bombed.events[0].ends_with("truncated"), "{}", &bombed.events[0][..80]);
}

/// Bytes that look like frames at every ninth place are decoded in vain, but not again and again.
#[test]
fn a_search_among_hostile_bytes_stays_linear() {
    let mut bytes = Vec::new();
    while bytes.len() < 1 << 20 {
        bytes.extend([0, 0x3f, 0xf0, 1, 5, 0, 0, 0, 1, 0x82]);
    }
    let mut parser = Http2::mid_stream(Limits::default());
    let mut told = Told::default();
    for chunk in bytes.chunks(1000) {
        told.feed(&mut parser, ToServer, chunk);
    }
    told.close(&mut parser);
    assert_eq!((told.events.len(), told.unparsed[0]), (0, bytes.len() as u64));
    assert!(told.held <= 160 << 10, "holds {}", told.held);
}
