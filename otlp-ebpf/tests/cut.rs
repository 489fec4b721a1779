//! Wherever the stream is cut, the events are the same; no input makes a parser panic or hold more than it may.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]

mod stream;

use otlp_ebpf::Limits;
use otlp_ebpf::parse::Parser;
use otlp_ebpf::parse::http1::Http1;
use otlp_ebpf::parse::infer::Inferring;
use otlp_ebpf::parse::redis::Redis;
use proptest::collection::vec;
use proptest::prelude::*;
use stream::{ToClient, ToServer, Told, Turns, cut, cuts, direction, whole};

/// Small enough for the tests to meet them.
fn limits() -> Limits {
    Limits::default().max_head_bytes(256).max_line_bytes(64).max_depth(5)
}

/// Bytes that a parser may hold under these limits: both heads (a buffer doubles), marks of requests, frames.
const MAY_HOLD: usize = 2 * 512 + 2 * 1024 + 256;

fn http_body() -> impl Strategy<Value = (String, Vec<u8>)> {
    let data = || vec(any::<u8>(), 0..40);
    prop_oneof![
        Just((String::new(), Vec::new())),
        data().prop_map(|data| (format!("Content-Length: {}\r\n", data.len()), data)),
        (vec(data(), 0..4), "(;[a-z=\"]{0,9})?", "(X: [a-z]{0,9}\r\n){0,2}").prop_map(
            |(chunks, extension, trailers)| {
                let mut body = Vec::new();
                for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
                    body.extend(format!("{:x}{extension}\r\n", chunk.len()).bytes());
                    body.extend([chunk.as_slice(), b"\r\n"].concat());
                }
                body.extend(format!("0\r\n{trailers}\r\n").bytes());
                ("Transfer-Encoding: chunked\r\n".to_owned(), body)
            }
        ),
    ]
}

fn http_turn() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let head = ("(GET|PUT|HEAD|BREW|CONNECT)", "/[a-z?=&]{0,30}", "([A-Z][a-z]{0,8}: [ -~]{0,20}\r\n){0,3}");
    let request = (head, http_body()).prop_map(|((method, target, headers), (length, body))| {
        [format!("{method} {target} HTTP/1.1\r\n{headers}{length}\r\n").into_bytes(), body].concat()
    });
    let response = ("(100|101|200|204|304|404|503)", http_body()).prop_map(|(status, (length, body))| {
        [format!("HTTP/1.1 {status} x\r\n{length}\r\n").into_bytes(), body].concat()
    });
    (request, response)
}

fn resp_value() -> impl Strategy<Value = Vec<u8>> {
    let string = |data: Vec<u8>| [format!("${}\r\n", data.len()).as_bytes(), &data, b"\r\n"].concat();
    let leaf = prop_oneof![
        "[+-][A-Za-z ]{0,40}\r\n".prop_map(String::into_bytes),
        any::<i64>().prop_map(|number| format!(":{number}\r\n").into_bytes()),
        vec(any::<u8>(), 0..50).prop_map(string),
        vec(any::<u8>(), 0..9)
            .prop_map(|data| [format!("!{}\r\n", data.len()).as_bytes(), &data, b"\r\n"].concat()),
        Just(b"_\r\n".to_vec()),
        Just(b"#f\r\n".to_vec()),
        Just(b"$-1\r\n".to_vec()),
        Just(b"$?\r\n;2\r\nab\r\n;0\r\n".to_vec()),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        (0..6_usize, vec(inner, 0..5)).prop_map(|(kind, items)| {
            let count = items.len();
            let even = count - count % 2;
            let flat = |items: &[Vec<u8>]| items.concat();
            match kind {
                0 | 1 => [format!("*{count}\r\n").into_bytes(), flat(&items)].concat(),
                2 => [format!("%{}\r\n", even / 2).into_bytes(), flat(&items[..even])].concat(),
                3 => [b"*?\r\n".to_vec(), flat(&items), b".\r\n".to_vec()].concat(),
                4 => [format!("|{}\r\n", even / 2).into_bytes(), flat(&items[..even]), b"+x\r\n".to_vec()]
                    .concat(),
                _ => [format!("~{count}\r\n").into_bytes(), flat(&items)].concat(),
            }
        })
    })
}

fn command() -> impl Strategy<Value = Vec<u8>> {
    let words = vec(
        prop_oneof![
            "(SUBSCRIBE|CLIENT|REPLY|OFF|GET|MONITOR)".prop_map(String::into_bytes),
            vec(any::<u8>(), 0..40)
        ],
        1..5,
    );
    let array = words.prop_map(|words| {
        let mut text = format!("*{}\r\n", words.len()).into_bytes();
        words.iter().for_each(|word| {
            text.extend([format!("${}\r\n", word.len()).as_bytes(), word, b"\r\n"].concat())
        });
        text
    });
    prop_oneof![4 => array, 1 => "[A-Za-z \"']{0,30}\r\n".prop_map(String::into_bytes)]
}

/// Damages some bytes, or none.
fn damage(mut turns: Turns, wrong: &[(prop::sample::Index, u8)]) -> Turns {
    for (at, byte) in wrong {
        let total: usize = turns.iter().map(|(_, bytes)| bytes.len()).sum();
        let mut at = at.index(total.max(1));
        for (_, bytes) in &mut turns {
            if let Some(met) = bytes.get_mut(at) {
                *met = *byte;
                break;
            }
            at -= bytes.len().min(at);
        }
    }
    turns
}

fn wrong() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"\r\n:*$ 0;-".to_vec())];
    prop_oneof![2 => Just(Vec::new()), 1 => vec((any::<prop::sample::Index>(), byte), 1..4)]
}

fn same<P: Parser>(
    parser: impl Fn() -> P,
    turns: &Turns,
    cuts: &[prop::sample::Index],
) -> Result<(), TestCaseError> {
    let (whole, cut) = (whole(parser(), turns), cut(parser(), turns, cuts));
    prop_assert_eq!(&whole.events, &cut.events);
    prop_assert_eq!(whole.unparsed, cut.unparsed);
    for held in [whole.held, cut.held] {
        prop_assert!(held <= MAY_HOLD, "held {} bytes", held);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn http_tells_the_same_at_any_cut(said in vec(http_turn(), 1..5), wrong in wrong(), cuts in cuts(), pipelined: bool) {
        let turns: Turns = if pipelined {
            let (requests, responses): (Vec<_>, Vec<_>) = said.into_iter().unzip();
            vec![(ToServer, requests.concat()), (ToClient, responses.concat())]
        } else {
            said.into_iter().flat_map(|(request, response)| [(ToServer, request), (ToClient, response)]).collect()
        };
        let turns = damage(turns, &wrong);
        same(|| Http1::new(limits()), &turns, &cuts)?;
        same(|| Http1::mid_stream(limits()), &turns, &cuts)?;
        same(|| Inferring::new(limits()), &turns, &cuts)?;
    }

    #[test]
    fn resp_tells_the_same_at_any_cut(
        commands in vec(command(), 1..6), replies in vec(resp_value(), 1..6), wrong in wrong(), cuts in cuts(),
    ) {
        let turns = damage(vec![(ToServer, commands.concat()), (ToClient, replies.concat())], &wrong);
        same(|| Redis::new(limits()), &turns, &cuts)?;
        same(|| Redis::mid_stream(limits()), &turns, &cuts)?;
        same(|| Inferring::new(limits()), &turns, &cuts)?;
    }

    #[test]
    fn garbage_tells_the_same_at_any_cut(
        turns in vec((direction(), vec(any::<u8>(), 0..600)), 1..4),
        likely in vec((direction(), "[\r\n*$:+%|>~;.?0-9GETHP/ 1-]{0,400}"), 1..4),
        cuts in cuts(),
    ) {
        let likely: Turns = likely.into_iter().map(|(to, text)| (to, text.into_bytes())).collect();
        for turns in [turns, likely] {
            same(|| Http1::new(limits()), &turns, &cuts)?;
            same(|| Http1::mid_stream(limits()), &turns, &cuts)?;
            same(|| Redis::new(limits()), &turns, &cuts)?;
            same(|| Redis::mid_stream(limits()), &turns, &cuts)?;
            same(|| Inferring::new(limits()), &turns, &cuts)?;
        }
    }

    #[test]
    fn undamaged_streams_are_read_to_the_last_byte(said in vec(http_turn(), 1..5), replies in vec(resp_value(), 1..6)) {
        let requests: Vec<_> = said.into_iter().map(|(request, _)| request).collect();
        let count = requests.len();
        let http = whole(Http1::new(limits()), &vec![(ToServer, requests.concat())]);
        prop_assert_eq!(http.unparsed, [0, 0]);
        prop_assert_eq!(http.events.len(), 2 * count);
        let count = replies.len();
        let resp = whole(Redis::new(limits()), &vec![(ToClient, replies.concat())]);
        prop_assert_eq!(resp.unparsed, [0, 0], "{:?}", resp.events);
        prop_assert_eq!(resp.events.len(), count);
    }
}

/// A parser with a fault: it takes each chunk for the beginning of a message.
struct Forgetful(Limits);

impl Parser for Forgetful {
    fn feed(&mut self, chunk: otlp_ebpf::parse::Chunk<'_>, on: &mut dyn FnMut(otlp_ebpf::parse::Event<'_>)) {
        Http1::new(self.0.clone()).feed(chunk, on);
    }

    fn close(
        &mut self,
        _: otlp_ebpf::parse::Direction,
        _: otlp_core::UnixNanos,
        _: &mut dyn FnMut(otlp_ebpf::parse::Event<'_>),
    ) {
    }

    fn realign(&mut self, _: usize, _: &mut dyn FnMut(otlp_ebpf::parse::Event<'_>)) {}

    fn held_bytes(&self) -> usize {
        0
    }
}

#[test]
fn a_parser_that_forgets_at_a_cut_is_noticed() {
    let turns = vec![(ToServer, b"GET / HTTP/1.1\r\n\r\n".to_vec())];
    let slowly = stream::bytewise(Forgetful(limits()), &turns);
    assert_ne!(whole(Forgetful(limits()), &turns).events, slowly.events);
    let right: Told = stream::bytewise(Http1::new(limits()), &turns);
    assert_eq!(whole(Http1::new(limits()), &turns).events, right.events);
}
