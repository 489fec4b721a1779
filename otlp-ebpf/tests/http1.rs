//! HTTP/1 as the parser tells it, case by case of RFC 9112. Each case is also fed a byte at a time.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]

mod stream;

use otlp_core::UnixNanos;
use otlp_ebpf::Limits;
use otlp_ebpf::parse::http1::Http1;
use otlp_ebpf::parse::{Chunk, Event, Parser};
use stream::{ToClient, ToServer, Told, bytewise, turns, whole};

/// Feeds a conversation whole and bytewise; both must tell the same.
fn tell(said: &[(char, &str)]) -> Told {
    let turns = turns(said);
    let told = whole(Http1::new(Limits::default()), &turns);
    let slowly = bytewise(Http1::new(Limits::default()), &turns);
    assert_eq!((&told.events, told.unparsed), (&slowly.events, slowly.unparsed), "cut and whole differ");
    told
}

fn events(said: &[(char, &str)]) -> Vec<String> {
    let told = tell(said);
    assert_eq!(told.unparsed, [0, 0], "{:?}", told.events);
    told.events
}

#[test]
fn a_request_and_its_response_are_told_with_their_bodies() {
    let events = events(&[
        ('>', "POST /cart?id=7 HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\nhello"),
        ('<', "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok"),
    ]);
    assert_eq!(
        events,
        [
            "request POST /cart?id=7 1.1 [Host=shop Content-Length=5]",
            "request end 5 Complete",
            "response 201 1.1 2 Complete"
        ]
    );
}

#[test]
fn pipelined_requests_are_told_apart() {
    let events = events(&[
        (
            '>',
            "GET /1 HTTP/1.1\r\n\r\nPUT /2 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /3 HTTP/1.0\r\n\r\n",
        ),
        (
            '<',
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 204 No Content\r\n\r\nHTTP/1.0 200 OK\r\n\r\nall the rest",
        ),
    ]);
    let requests: Vec<_> = events.iter().filter(|event| event.starts_with("request ")).collect();
    assert_eq!(requests.len(), 6);
    assert_eq!(
        events[6..],
        ["response 200 1.1 1 Complete", "response 204 1.1 0 Complete", "response 200 1.0 12 Complete"]
    );
}

#[test]
fn chunked_bodies_count_their_data_only() {
    let events = events(&[
        (
            '>',
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n5;a=b\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nTrailer: x\r\n\r\n",
        ),
        (
            '<',
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 999\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        ),
    ]);
    assert_eq!(events[1..], ["request end 21 Complete", "response 200 1.1 1 Complete"]);
}

#[test]
fn responses_that_have_no_body_are_believed_to_have_none() {
    let events = events(&[
        ('>', "HEAD /a HTTP/1.1\r\n\r\n"),
        ('<', "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
        ('>', "GET /b HTTP/1.1\r\n\r\n"),
        ('<', "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n"),
        ('>', "GET /c HTTP/1.1\r\n\r\n"),
        ('<', "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ]);
    let responses: Vec<_> = events.iter().filter(|event| event.starts_with("response")).collect();
    assert_eq!(
        responses,
        ["response 200 1.1 0 Complete", "response 304 1.1 0 Complete", "response 200 1.1 2 Complete"]
    );
}

#[test]
fn interim_responses_answer_nothing() {
    let events = events(&[
        ('>', "HEAD / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"),
        ('<', "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
        ('>', "abc"),
        ('<', "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
    ]);
    assert_eq!(
        events[1..],
        [
            "Interim { status: 100 }",
            "Interim { status: 103 }",
            "request end 3 Complete",
            "response 200 1.1 0 Complete"
        ]
    );
}

#[test]
fn an_upgrade_passes_both_directions_over() {
    let told = tell(&[
        ('>', "GET /chat HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"),
        ('<', "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x01\x02"),
        ('>', "GET /not-http HTTP/1.1\r\n\r\n"),
        ('<', "HTTP/1.1 200 OK\r\n\r\n"),
    ]);
    assert_eq!(told.events[2..], ["response 101 1.1 0 Complete", "Left"]);
    assert_eq!(told.unparsed, [26, 21]);
}

#[test]
fn a_tunnel_passes_both_directions_over() {
    let told = tell(&[
        ('>', "CONNECT shop:443 HTTP/1.1\r\nHost: shop:443\r\n\r\n"),
        ('<', "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        ('>', "\x16\x03\x01"),
        ('<', "\x16\x03"),
    ]);
    assert_eq!(told.events[2..], ["response 200 1.1 0 Complete", "Left"]);
    assert_eq!(told.unparsed, [3, 2]);
    let refused = tell(&[
        ('>', "CONNECT shop:443 HTTP/1.1\r\n\r\n"),
        ('<', "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"),
        ('>', "GET / HTTP/1.1\r\n\r\n"),
    ]);
    assert_eq!(refused.unparsed, [0, 0], "a refused tunnel is none");
    assert_eq!(refused.events.len(), 5);
}

#[test]
fn the_preface_of_http2_ends_the_reading() {
    let told = tell(&[('>', "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0"), ('<', "\0\0\0\x04")]);
    assert!(told.events[0].contains("Version"), "{:?}", told.events);
    assert_eq!(told.events[1], "Left");
    assert_eq!(told.unparsed, [27, 4]);
}

#[test]
fn a_peer_that_closes_mid_message_truncates_it() {
    let head = tell(&[('>', "GET / HTTP/1.1\r\nHost: sh"), ('<', "HTTP/1.1 20")]);
    assert!(head.events.iter().all(|event| event.contains("Truncated")), "{:?}", head.events);
    assert_eq!((head.events.len(), head.unparsed), (2, [24, 11]));
    let body = tell(&[
        ('>', "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc"),
        ('<', "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
    ]);
    assert_eq!(body.events[1..], ["request end 3 Truncated", "response 200 1.1 2 Truncated"]);
}

/// What is refused, and why.
fn refused(text: &str) -> String {
    let told = tell(&[('>', text)]);
    let mut refused = told.events.iter().filter(|event| event.starts_with("Refused"));
    let first = refused.next().cloned().unwrap_or_default();
    assert!(!told.events.iter().any(|event| event.starts_with("request")), "{:?}", told.events);
    first
}

#[test]
fn what_breaks_the_rules_is_refused_with_its_reason() {
    let cases = [
        ("GET\r\n\r\n", "StartLine"),
        ("G\x01T / HTTP/1.1\r\n\r\n", "StartLine"),
        ("GET / HTTP/3.0\r\n\r\n", "Version"),
        ("GET / HTTP/1.1\r\nBad Header: x\r\n\r\n", "Header"),
        ("GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", "ObsFold"),
        ("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "ConflictingLength"),
        ("GET / HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\nab", "ConflictingLength"),
        ("GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\na", "ContentLength"),
        ("GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\na", "ContentLength"),
        ("GET / HTTP/1.1\r\nContent-Length:\r\n\r\na", "ContentLength"),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\na", "TransferEncoding"),
    ];
    for (text, kind) in cases {
        let refused = refused(text);
        assert!(refused.contains(&format!("kind: {kind}")), "{text:?}: {refused}");
    }
    let equal = events(&[('>', "GET / HTTP/1.1\r\nContent-Length: 2, 2\r\ncontent-length: 2\r\n\r\nab")]);
    assert_eq!(equal[1], "request end 2 Complete", "equal lengths are one");
}

#[test]
fn reading_goes_on_with_the_next_start_line() {
    let told = tell(&[
        (
            '>',
            "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n{\"left\": 1}POST /next HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        ('<', "HTTP/1.1 2xx What\r\n\r\nbodyHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ]);
    assert_eq!(told.events[1], "request POST /next 1.1 [Host=a]");
    assert_eq!(told.events[4], "response 200 1.1 0 Complete");
    assert_eq!(told.unparsed, [48, 25]);
}

#[test]
fn a_broken_chunk_ends_the_message_and_reading_goes_on() {
    let told = tell(&[(
        '<',
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcde\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
    )]);
    assert!(told.events[0].starts_with("response 200 1.1 3 Broken"), "{:?}", told.events);
    assert!(told.events[0].contains("offset: 53") && told.events[0].contains("Chunk"), "{:?}", told.events);
    assert_eq!(told.events[1], "response 404 1.1 0 Complete");
}

#[test]
fn heads_and_headers_beyond_their_limits_are_refused() {
    let limits = || Limits::default().max_head_bytes(200).max_headers(60);
    let long = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\nGET /next HTTP/1.1\r\n\r\n", "x".repeat(300));
    let many = format!("GET / HTTP/1.1\r\n{}\r\nGET /next HTTP/1.1\r\n\r\n", "a:b\r\n".repeat(61));
    for (text, what) in [(long, "head_bytes"), (many, "head_bytes")] {
        let turns = turns(&[('>', &text)]);
        let (told, slowly) = (whole(Http1::new(limits()), &turns), bytewise(Http1::new(limits()), &turns));
        assert_eq!((&told.events, told.unparsed), (&slowly.events, slowly.unparsed));
        assert!(told.events[0].contains(what), "{:?}", told.events);
        assert_eq!(told.events[1], "request GET /next 1.1 []");
    }
    let limits = Limits::default().max_headers(60);
    let fits = format!("GET / HTTP/1.1\r\n{}\r\n", "a:b\r\n".repeat(60));
    let told = whole(Http1::new(limits.clone()), &turns(&[('>', &fits)]));
    assert_eq!(told.events.len(), 2, "more than fit on the stack, but allowed: {:?}", told.events);
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a:b\r\n".repeat(61));
    let told = whole(Http1::new(limits), &turns(&[('>', &many)]));
    assert!(told.events[0].contains("Limit { what: \"headers\", limit: 60 }"), "{:?}", told.events);
}

#[test]
fn a_stream_seen_from_its_middle_is_read_from_the_first_sure_line() {
    let turns = turns(&[
        ('>', "f a body\r\nGET nothing\r\nGET /sure HTTP/1.1\r\nHost: a\r\n\r\n"),
        ('<', "\0\0\0HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"),
    ]);
    for told in [
        whole(Http1::mid_stream(Limits::default()), &turns),
        bytewise(Http1::mid_stream(Limits::default()), &turns),
    ] {
        assert_eq!(
            told.events,
            ["request GET /sure 1.1 [Host=a]", "request end 0 Complete", "response 200 1.1 1 Complete"]
        );
        assert_eq!(told.unparsed, [23, 3]);
    }
}

#[test]
fn lost_bytes_inside_a_known_length_cost_nothing() {
    let mut parser = Http1::new(Limits::default());
    let mut told = Told::default();
    let mut feed = |missing, text: &str| {
        let chunk = Chunk::new(ToServer, UnixNanos(1), text.as_bytes()).after_gap(missing);
        parser.feed(chunk, &mut |event| told.on(event));
    };
    feed(0, "POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\nab");
    feed(8, "POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\na\r\n");
    feed(9, "x\r\n0\r\n\r\n");
    feed(0, "POST /c HTTP/1.1\r\nContent-Length: 3\r\n\r\n");
    feed(4, "T /lost HTTP/1.1\r\n\r\nGET /d HTTP/1.1\r\n\r\n");
    let ends: Vec<_> = told.events.iter().filter(|event| event.starts_with("request end")).collect();
    assert_eq!(ends[..2], ["request end 10 Complete", "request end 10 Complete"]);
    assert!(ends[2].starts_with("request end 0 Broken") && ends[2].contains("Gap"), "{ends:?}");
    assert!(told.events.iter().any(|event| event.starts_with("request GET /d")), "{:?}", told.events);
}

#[test]
fn times_are_those_of_the_first_and_last_byte() {
    let mut parser = Http1::new(Limits::default());
    let mut times = Vec::new();
    let said = [
        (ToServer, 1, "GE"),
        (ToServer, 2, "T / HTTP/1.1\r\n"),
        (ToServer, 3, "\r\n"),
        (ToClient, 4, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
        (ToClient, 5, "o"),
        (ToClient, 6, "k"),
    ];
    for (direction, time, text) in said {
        parser.feed(Chunk::new(direction, UnixNanos(time), text.as_bytes()), &mut |event| match event {
            Event::Request { time, .. } | Event::RequestEnd { time, .. } => times.push(time.0),
            Event::Response { first_byte, time, .. } => times.extend([first_byte.0, time.0]),
            _ => {}
        });
    }
    assert_eq!(times, [1, 3, 4, 6]);
}

#[test]
fn debug_output_holds_no_header_values_and_no_target() {
    let mut parser = Http1::new(Limits::default());
    let mut shown = String::new();
    let text = b"GET /?token=hunter2 HTTP/1.1\r\nAuthorization: hunter2\r\n\r\n";
    parser.feed(Chunk::new(ToServer, UnixNanos(1), text), &mut |event| shown += &format!("{event:?}"));
    assert!(shown.contains("GET"));
    assert!(!shown.contains("hunter2"), "{shown}");
}
