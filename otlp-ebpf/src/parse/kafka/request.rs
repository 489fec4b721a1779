//! Requests: a head with the key, version and number of the request and the client's own name, then a body.

use super::Request;
use super::api::Api;
use super::shape::{self, REQUEST_HEAD};
use super::side::{Begin, Emit, Message, Way};
use super::talk::Talk;
use super::walk::Route;
use crate::parse::infer::Verdict;
use crate::parse::{Direction, Event, Exchange, Expect, ParseErrorKind, RequestHead};

#[derive(Debug)]
pub(super) struct Requests {
    api: Api,
    version: i16,
    number: i32,
    /// The name that the client gave last, which it gives each time.
    client: String,
}

/// The fixed part of a request and the length of the client's name.
#[derive(Debug, Clone, Copy)]
struct Head {
    length: u64,
    api: Api,
    version: i16,
    number: i32,
    client: i16,
}

/// Bytes of the client's name that are looked at before a message is taken for one.
const SAMPLE: usize = 16;
/// Bytes that a length counts before the client's name.
const BEFORE_CLIENT: u64 = 10;
/// Bytes of a client's name at most, where it is not sure that it is one.
const MAX_CLIENT: i16 = 255;
/// Versions ahead of what is known here that a first request may have, to ask which ones there are.
const AHEAD: i16 = 4;

impl Head {
    fn read(head: &[u8]) -> Option<(Self, &[u8])> {
        let (&[a, b, c, d, e, f, g, h, i, j, k, l, m, n], rest) = head.split_first_chunk()?;
        let head = Self {
            length: u32::from_be_bytes([a, b, c, d]).into(),
            api: Api::new(i16::from_be_bytes([e, f])),
            version: i16::from_be_bytes([g, h]),
            number: i32::from_be_bytes([i, j, k, l]),
            client: i16::from_be_bytes([m, n]),
        };
        Some((head, rest))
    }

    /// True for what a version after those known here may send too.
    fn is_sane(&self) -> bool {
        let room = self.length.saturating_sub(BEFORE_CLIENT);
        let client = self.api == Api::CONTROLLED_SHUTDOWN
            || self.client == -1
            || u64::try_from(self.client).is_ok_and(|client| client <= room);
        self.length >= BEFORE_CLIENT
            && (0..256).contains(&self.api.key())
            && (0..64).contains(&self.version)
            && client
    }

    /// True for what is known here.
    fn is_known(&self) -> bool {
        let asks = self.api == Api::API_VERSIONS && self.api.knows(self.version.saturating_sub(AHEAD));
        self.is_sane() && self.number >= 0 && (asks || self.api.knows(self.version))
    }

    /// How many bytes of the client's name are to be seen before it is sure that it is one.
    fn sample(&self) -> usize {
        usize::try_from(self.client).unwrap_or(0).min(SAMPLE)
    }
}

/// Whether the first bytes of a connection are a request of a Kafka client.
pub(super) fn first(bytes: &[u8]) -> Verdict {
    // No first request is longer than a broker takes by default.
    match bytes.first() {
        None => return Verdict::More,
        Some(first) if *first > 6 => return Verdict::No,
        Some(_) => {}
    }
    let Some((head, client)) = Head::read(bytes) else { return begun(bytes) };
    // Where it is a text, another protocol's first message begins so (PostgreSQL's `user`).
    let is_text = head.number.to_be_bytes().iter().all(u8::is_ascii_lowercase);
    if !head.is_known() || is_text || head.client > MAX_CLIENT {
        return Verdict::No;
    }
    named(&head, client)
}

/// Whether a head may go on that is not whole yet: a peer may wait for its answer after fewer bytes than a head has
/// (PostgreSQL's request for encryption).
fn begun(bytes: &[u8]) -> Verdict {
    let is_short =
        bytes.first_chunk().is_some_and(|length| u64::from(u32::from_be_bytes(*length)) < BEFORE_CLIENT);
    let is_other = match *bytes {
        [_, _, _, _, a, b, c, d, ..] => {
            let (api, version) = (Api::new(i16::from_be_bytes([a, b])), i16::from_be_bytes([c, d]));
            !api.knows(version) && api != Api::API_VERSIONS
        }
        _ => false,
    };
    if is_short || is_other { Verdict::No } else { Verdict::More }
}

/// Whether the bytes behind a head are a client's name.
fn named(head: &Head, client: &[u8]) -> Verdict {
    let sample = client.get(..head.sample()).unwrap_or(client);
    if sample.iter().any(u8::is_ascii_control) {
        Verdict::No
    } else if sample.len() < head.sample() {
        Verdict::More
    } else {
        Verdict::Yes
    }
}

impl Requests {
    pub(super) const fn new() -> Self {
        Self { api: Api::API_VERSIONS, version: 0, number: 0, client: String::new() }
    }

    pub(super) const fn held_bytes(&self) -> usize {
        self.client.capacity()
    }
}

impl Way for Requests {
    const DIRECTION: Direction = Direction::ToServer;
    const FIXED: usize = 12;
    const HEAD: usize = 14;
    const DOUBTS: bool = false;

    /// A known request of a client that says its name: the same as before, where that is known.
    fn looks(&self, _: &Talk, window: &[u8]) -> Verdict {
        if window.first().is_some_and(|first| *first != 0) {
            return Verdict::No;
        }
        let Some((head, client)) = Head::read(window) else { return Verdict::More };
        let sample = self.client.as_bytes().get(..head.sample()).unwrap_or(client);
        let length = u64::try_from(head.client).unwrap_or(0);
        let known = match u64::try_from(self.client.len()).unwrap_or(u64::MAX) {
            0 => (1..=MAX_CLIENT).contains(&head.client),
            same => length == same,
        };
        if !known || !head.is_known() || head.api == Api::CONTROLLED_SHUTDOWN {
            return Verdict::No;
        }
        if !self.client.is_empty() && client.iter().zip(sample).any(|(met, known)| met != known) {
            return Verdict::No;
        }
        named(&head, client)
    }

    fn begin(&mut self, talk: &Talk, head: &[u8]) -> Begin {
        let Some((head, _)) = Head::read(head).filter(|(head, _)| head.is_sane()) else {
            return if talk.raw { Begin::Pass } else { Begin::Refuse(ParseErrorKind::KafkaHeader) };
        };
        if talk.raw && !head.is_known() {
            return Begin::Pass;
        }
        let Head { api, version, number, .. } = head;
        self.api = api;
        self.version = version;
        self.number = number;
        let flexible = api.is_flexible(version);
        let nameless = api == Api::CONTROLLED_SHUTDOWN && version == 0;
        Begin::Message(Route {
            head: if nameless { &[] } else { REQUEST_HEAD },
            head_tagged: flexible,
            shape: if api.knows(version) { shape::request(api) } else { &shape::UNKNOWN },
            version,
            flexible,
        })
    }

    fn complete(&mut self, talk: &mut Talk, message: Message<'_>, on: Emit<'_>) {
        let Self { api, version, number, .. } = *self;
        let Message { facts, start, time, bytes, missed, end } = message;
        talk.raw = api == Api::SASL_HANDSHAKE && version == 0;
        let key = number.cast_unsigned();
        if api == Api::FETCH {
            talk.session.ask(key, version, facts);
        }
        facts.resolve();
        if facts.client != self.client && !facts.client.is_empty() {
            self.client.clone_from(&facts.client);
        }
        let expect = if api == Api::PRODUCE && facts.acks == Some(0) { Expect::Nothing } else { Expect::One };
        if expect == Expect::One {
            talk.ask(key, api, version);
            // It may get no answer, or have had it before its end was told.
            if missed > 0 {
                talk.doubt();
            }
        }
        let exchange = Exchange::Numbered(key.into());
        let head = Request { api, version, number, expect, facts };
        on(Event::Request { exchange, time: start, head: RequestHead::Kafka(head) });
        on(Event::RequestEnd { exchange, time, body_bytes: bytes, end });
    }

    fn lose(&mut self, talk: &mut Talk) {
        talk.session.forget();
    }
}
