//! What the tests of parsers share: a conversation, its cuts, and events as text.

#![allow(dead_code, reason = "each test uses its part")]

use otlp_core::UnixNanos;
use otlp_ebpf::parse::{Chunk, Direction, Event, Exchange, Parser, RequestHead, ResponseHead};
use proptest::prelude::*;
use proptest::sample::Index;

pub(crate) use otlp_ebpf::parse::Direction::{ToClient, ToServer};

/// What was said, in turns.
pub(crate) type Turns = Vec<(Direction, Vec<u8>)>;

/// An event as text, with everything that it says; unparsed bytes of one direction are told as a sum.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) events: Vec<String>,
    pub(crate) unparsed: [u64; 2],
    pub(crate) held: usize,
}

impl Told {
    pub(crate) fn on(&mut self, event: Event<'_>) {
        let text = match event {
            Event::Request { head: RequestHead::Http1(request), .. } => {
                let headers = request.headers();
                let headers: Vec<_> =
                    headers.iter().map(|(name, value)| format!("{name}={}", value.escape_ascii())).collect();
                let version = request.minor_version();
                format!(
                    "request {} {} 1.{version} [{}]",
                    request.method(),
                    request.target(),
                    headers.join(" ")
                )
            }
            Event::Request { exchange, head: RequestHead::Http2(request), .. } => {
                let headers = request.headers();
                let headers: Vec<_> =
                    headers.iter().map(|(name, value)| format!("{name}={}", value.escape_ascii())).collect();
                let [method, scheme, authority, path] =
                    [request.method(), request.scheme(), request.authority(), request.path()]
                        .map(|text| text.unwrap_or("-"));
                let marks = [(request.has_gap(), " gap"), (request.is_truncated(), " truncated")];
                let marks: String = marks.iter().filter(|(met, _)| *met).map(|(_, mark)| *mark).collect();
                format!(
                    "request {} {method} {scheme} {authority} {path} [{}]{marks}",
                    number(exchange),
                    headers.join(" ")
                )
            }
            Event::Request { head: RequestHead::Redis(command), .. } => {
                format!("command {:?} {} {:?}", command.name(), command.arguments(), command.expect())
            }
            Event::RequestEnd { exchange: exchange @ Exchange::Numbered(_), body_bytes, end, .. } => {
                format!("request end {} {body_bytes} {end:?}", number(exchange))
            }
            Event::RequestEnd { body_bytes, end, .. } => format!("request end {body_bytes} {end:?}"),
            Event::Response { head: ResponseHead::Http1(response), body_bytes, end, .. } => {
                let (status, version) = (response.status(), response.minor_version());
                format!("response {status} 1.{version} {body_bytes} {end:?}")
            }
            Event::Response { exchange, head: ResponseHead::Http2(response), body_bytes, end, .. } => {
                let status = response.status().map_or("-".to_owned(), |status| status.to_string());
                let grpc = response.grpc_status().map_or(String::new(), |code| format!(" grpc {code}"));
                format!("response {} {status}{grpc} {body_bytes} {end:?}", number(exchange))
            }
            Event::Aborted { exchange, error, .. } => format!("aborted {} {error}", number(exchange)),
            Event::Lost { exchange } => format!("lost {}", number(exchange)),
            Event::Response { head: ResponseHead::Redis(reply), body_bytes, end, .. } => {
                format!("reply {reply:?} {body_bytes} {end:?}")
            }
            Event::ResponseBegins { .. } => return,
            Event::Unparsed { direction, bytes } => {
                self.unparsed[usize::from(direction == ToClient)] += bytes;
                return;
            }
            other => format!("{other:?}"),
        };
        self.events.push(text);
    }

    pub(crate) fn feed(&mut self, parser: &mut dyn Parser, direction: Direction, bytes: &[u8]) {
        parser.feed(Chunk::new(direction, UnixNanos(1), bytes), &mut |event| self.on(event));
        self.held = self.held.max(parser.held_bytes());
    }

    pub(crate) fn close(&mut self, parser: &mut dyn Parser) {
        for direction in [ToServer, ToClient] {
            parser.close(direction, UnixNanos(1), &mut |event| self.on(event));
        }
    }
}

fn number(exchange: Exchange) -> String {
    match exchange {
        Exchange::InOrder => "in order".to_owned(),
        Exchange::Numbered(number) => number.to_string(),
    }
}

/// Feeds each turn in one piece.
pub(crate) fn whole(mut parser: impl Parser, turns: &Turns) -> Told {
    let mut told = Told::default();
    turns.iter().for_each(|(direction, bytes)| told.feed(&mut parser, *direction, bytes));
    told.close(&mut parser);
    told
}

/// Feeds each turn in pieces that end at the cuts.
pub(crate) fn cut(mut parser: impl Parser, turns: &Turns, cuts: &[Index]) -> Told {
    let mut told = Told::default();
    for (direction, bytes) in turns {
        let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        let mut from = 0;
        for end in ends {
            told.feed(&mut parser, *direction, &bytes[from..end]);
            from = end;
        }
    }
    told.close(&mut parser);
    told
}

/// Feeds each turn a byte at a time.
pub(crate) fn bytewise(mut parser: impl Parser, turns: &Turns) -> Told {
    let mut told = Told::default();
    for (direction, bytes) in turns {
        bytes.chunks(1).for_each(|byte| told.feed(&mut parser, *direction, byte));
    }
    told.close(&mut parser);
    told
}

pub(crate) fn cuts() -> impl Strategy<Value = Vec<Index>> {
    proptest::collection::vec(any::<Index>(), 0..12)
}

pub(crate) fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(ToServer), Just(ToClient)]
}

/// Turns from text: `>` to the server, `<` to the client.
pub(crate) fn turns(said: &[(char, &str)]) -> Turns {
    let direction = |to: char| if to == '>' { ToServer } else { ToClient };
    said.iter().map(|(to, text)| (direction(*to), text.as_bytes().to_vec())).collect()
}
