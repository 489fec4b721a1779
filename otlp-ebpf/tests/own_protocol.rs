//! A protocol that a user's crate reads: implemented outside, registered, followed behind a tap and in a capture.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]
#![cfg(feature = "tap")]

mod loopback;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;

use loopback::{LONG, Tapped, config, server};
use otlp_core::UnixNanos;
use otlp_core::record::{AnyValue, KeyValue, Span};
use otlp_ebpf::parse::infer::{First, Protocol, Protocols, Verdict};
use otlp_ebpf::parse::{
    Chunk, Direction, End, Event, Exchange, Expect, ParseError, ParseErrorKind, Parser, RequestHead,
    ResponseHead, other,
};
use otlp_ebpf::stream::Segment;
use otlp_ebpf::tap::TapProtocol;
use otlp_ebpf::tracer::{Packet, Tracer, TracerConfig};
use otlp_ebpf::{IdSource, Limits, Service};

/// Lines of a verb, a word and perhaps a trace context; `NOTE` gets no answer. An answer is `+word` or `-error`.
#[derive(Debug)]
struct Lines;

impl Protocol for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn infer(&self, first: First<'_>) -> Verdict {
        let begins = |verb: &[u8]| {
            let length = verb.len().min(first.to_server.len());
            first.to_server[..length] == verb[..length]
        };
        match first.to_server.len() {
            0..5 if begins(b"FIND ") || begins(b"NOTE ") => Verdict::More,
            5.. if begins(b"FIND ") || begins(b"NOTE ") => Verdict::Yes,
            _ => Verdict::No,
        }
    }

    fn parser(&self, limits: &Limits) -> Box<dyn Parser> {
        Box::new(LineParser { limit: limits.head_bytes(), held: Default::default(), lost: false })
    }
}

struct LineParser {
    limit: usize,
    held: [Vec<u8>; 2],
    /// Answers are passed over until told where one begins.
    lost: bool,
}

impl LineParser {
    fn line(&mut self, direction: Direction, line: &[u8], time: UnixNanos, on: &mut dyn FnMut(Event<'_>)) {
        let line = String::from_utf8_lossy(line).into_owned();
        let (exchange, end, body_bytes) = (Exchange::InOrder, End::Complete, 0);
        if direction == Direction::ToClient {
            let attributes = [KeyValue::new("lines.answer.bytes", i64::try_from(line.len()).unwrap())];
            let head = other::Response::new(line.strip_prefix('-')).attributes(&attributes);
            let head = ResponseHead::Other(head);
            on(Event::Response { exchange, first_byte: time, time, head, body_bytes, end });
            return;
        }
        let mut words = line.split(' ');
        let (verb, word) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let attributes = [KeyValue::new("lines.word", word)];
        let context = words.next().map(|parent| [("traceparent", parent.as_bytes())]);
        let mut head = other::Request::new(verb).attributes(&attributes);
        if let Some(context) = &context {
            head = head.headers(context);
        }
        if verb == "NOTE" {
            head = head.expects(Expect::Nothing);
        }
        on(Event::Request { exchange, time, head: RequestHead::Other(head) });
        on(Event::RequestEnd { exchange, time, body_bytes, end });
    }
}

impl Parser for LineParser {
    fn feed(&mut self, chunk: Chunk<'_>, on: &mut dyn FnMut(Event<'_>)) {
        let (direction, way) = (chunk.direction, usize::from(chunk.direction == Direction::ToClient));
        if chunk.missing > 0 {
            self.held[way].clear();
            self.lost |= direction == Direction::ToClient;
            let error = ParseError { offset: 0, direction, kind: ParseErrorKind::Gap };
            on(Event::Refused { direction, error });
        }
        if self.lost && direction == Direction::ToClient {
            on(Event::Unparsed { direction, bytes: chunk.bytes.len() as u64 });
            return;
        }
        for byte in chunk.bytes {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.held[way]);
                    self.line(direction, &line, chunk.time, on);
                }
                byte if self.held[way].len() < self.limit => self.held[way].push(*byte),
                _ => {}
            }
        }
    }

    fn close(&mut self, _: Direction, _: UnixNanos, _: &mut dyn FnMut(Event<'_>)) {}

    fn realign(&mut self, _: usize, _: &mut dyn FnMut(Event<'_>)) {
        self.lost = false;
        self.held[1].clear();
    }

    fn held_bytes(&self) -> usize {
        self.held.iter().map(Vec::capacity).sum()
    }
}

/// Answers each question.
fn oracle(mut stream: TcpStream) {
    for line in BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok) {
        let answer = match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["FIND", "nothing", ..] => "-not_found\n".to_owned(),
            ["FIND", word, ..] => format!("+{word}\n"),
            _ => continue,
        };
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn text<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    KeyValue::find(&span.attributes, key).and_then(AnyValue::as_str)
}

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What the spans of this are: a question, a note, one that fails.
fn asked() -> String {
    format!("FIND apple {PARENT}\nNOTE that\nFIND nothing\n")
}

fn check(spans: &[Span]) {
    let told: Vec<_> = spans
        .iter()
        .map(|span| (span.name.as_str(), text(span, "lines.word"), text(span, "error.type")))
        .collect();
    let right = [
        ("NOTE", Some("that"), None),
        ("FIND", Some("apple"), None),
        ("FIND", Some("nothing"), Some("not_found")),
    ];
    assert_eq!(told, right);
    assert_eq!(spans[1].parent_span_id.to_string(), "00f067aa0ba902b7");
    let bytes = KeyValue::find(&spans[1].attributes, "lines.answer.bytes").and_then(AnyValue::as_int);
    assert_eq!((bytes, spans[2].is_error()), (Some(6), true));
}

#[test]
fn a_protocol_of_a_users_crate_is_followed_behind_a_tap() {
    for protocol in [TapProtocol::only(Lines), TapProtocol::Among(Protocols::default().with(Lines))] {
        let tapped = Tapped::start(config(server(oracle)).protocol(protocol));
        let mut client = tapped.connect();
        // Cut within the first word, so that it takes more than one piece to tell what it is.
        for piece in asked().as_bytes().chunks(3) {
            client.write_all(piece).unwrap();
        }
        let mut answers = BufReader::new(client.try_clone().unwrap()).lines().map_while(Result::ok);
        assert_eq!(
            (answers.next().as_deref(), answers.next().as_deref()),
            (Some("+apple"), Some("-not_found"))
        );
        tapped.until(|stats| stats.account.spans == 3);
        let spans: Vec<_> = tapped.sink.take().into_iter().map(|tapped| tapped.span).collect();
        check(&spans);
        assert_eq!(text(&spans[0], "server.address"), Some("127.0.0.1"));
        drop((client, answers));
        let stats = tapped.tap.shutdown(LONG);
        assert!(stats.is_balanced() && stats.account.refused == 0, "{stats:?}");
    }
}

#[test]
fn it_is_followed_in_a_capture_too_and_again_after_a_loss() {
    let service = || Service::new("oracle", Arc::new(IdSource::seeded(1)));
    let config = TracerConfig::new(7).otherwise(service()).protocols(Protocols::default().with(Lines));
    let mut tracer = Tracer::new(config);
    let (client, server) = (([10, 0, 0, 7], 40_000).into(), ([10, 0, 0, 1], 7777).into());
    let mut spans = Vec::new();
    let (mut sequences, mut seconds) = ([100_u32, 900], 0);
    let mut say = |to_client: bool, text: &str, seen: bool| {
        let sequence = &mut sequences[usize::from(to_client)];
        seconds += 10;
        let segment = Segment::new(UnixNanos::from_secs(seconds), *sequence, text.as_bytes());
        *sequence += u32::try_from(text.len()).unwrap();
        let (from, to) = if to_client { (server, client) } else { (client, server) };
        if seen {
            tracer.take(&Packet { namespace: 0, from, to, segment }, &mut |_, span| spans.push(span));
        }
        // Holes are given up after two seconds.
        tracer.advance(UnixNanos::from_secs(seconds + 5), &mut |_, span| spans.push(span));
    };
    say(false, "FIND first\n", true);
    say(true, "+first\n", true);
    for text in asked().split_inclusive('\n') {
        say(false, text, true);
        match text {
            "FIND nothing\n" => say(true, "-not_found\n", true),
            "NOTE that\n" => {}
            _ => say(true, "+apple\n", true),
        }
    }
    // The answer to the next is lost, and told with the one behind it.
    say(false, "FIND lost\n", true);
    say(true, "+lost\n", false);
    say(false, "FIND untold\n", true);
    say(true, "+untold\n", true);
    say(false, "FIND again\n", true);
    say(true, "+again\n", true);
    let words: Vec<_> = spans.iter().filter_map(|span| text(span, "lines.word")).collect();
    assert_eq!(words, ["first", "apple", "that", "nothing", "again"]);
    assert_eq!(tracer.stats().account.lost.desync, 2);
}
