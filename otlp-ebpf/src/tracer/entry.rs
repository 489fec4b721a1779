//! One connection of a tracer: first its protocol is looked for, then it is followed.

use std::net::SocketAddr;
use std::sync::Arc;

use otlp_core::UnixNanos;

use super::config::{Followed, TracerConfig};
use super::{Emit, Packet};
use crate::account::Account;
use crate::connection::{Connection, Ending};
use crate::event::is_unix;
use crate::id::IdSource;
use crate::parse::infer::{First, Inferring, Protocols};
use crate::parse::{Chunk, Direction, Parser};
use crate::service::Service;
use crate::span::Ends;
use crate::stream::{Flowing, Pool, Reassembly, Segment};

#[derive(Debug)]
pub(super) struct Entry {
    stream: Reassembly,
    watch: Watch,
    pub(super) last: UnixNanos,
}

/// What is made of a connection's bytes.
#[derive(Debug)]
struct Watch {
    state: State,
    /// The lower end, by whose bytes the stream is told, and the higher one.
    ends: [SocketAddr; 2],
    /// The lower end is the server, as far as is known.
    flipped: bool,
    seed: u64,
    unknown_bytes: u64,
    ended: Option<Ending>,
}

#[derive(Debug)]
enum State {
    /// Its protocol is not known; so many chunks have begun like none.
    Seeking(u16),
    Following(Arc<Service>, Box<Connection>),
    /// It speaks what is not known here.
    Unknown,
    Over,
}

/// Chunks that are looked at for the beginning of a message before a connection is given up.
const MAX_SOUGHT: u16 = 1024;

/// What all connections share.
type Shared<'s> = (&'s TracerConfig, &'s mut Pool);

impl Entry {
    pub(super) fn new(direction: Direction, packet: &Packet<'_>, seed: u64, config: &TracerConfig) -> Self {
        let ends = match direction {
            Direction::ToServer => [packet.from, packet.to],
            Direction::ToClient => [packet.to, packet.from],
        };
        let segment = &packet.segment;
        let sender_is_server = if segment.syn {
            // The answer to a SYN acknowledges it.
            segment.acknowledged.is_some()
        } else {
            let told = told(&config.protocols, segment.bytes);
            told.unwrap_or_else(|| config.is_server(packet.from.port(), packet.to.port()))
        };
        let flipped = sender_is_server == (direction == Direction::ToServer);
        let mut watch =
            Watch { state: State::Seeking(0), ends, flipped, seed, unknown_bytes: 0, ended: None };
        let Followed { service, protocol } = config.followed(watch.server().port());
        let parser = match protocol {
            Some(protocol) if segment.syn => Some(protocol.parser(&service.limits)),
            Some(protocol) => Some(protocol.parser_mid_stream(&service.limits)),
            None if segment.syn => {
                Some(Box::new(Inferring::among(config.protocols.clone(), service.limits.clone())) as _)
            }
            None => None,
        };
        if let Some(parser) = parser {
            watch.follow(service, parser, config, segment.syn);
        }
        Self { stream: Reassembly::new(&service.limits), watch, last: segment.time }
    }

    /// Takes a segment; gives how the connection ended, where it has.
    pub(super) fn take(
        &mut self,
        direction: Direction,
        packet: &Packet<'_>,
        (config, pool): Shared<'_>,
        out: Emit<'_>,
    ) -> Option<Ending> {
        let Self { stream, watch, .. } = self;
        stream.take(direction, &packet.segment, pool, &mut |event| watch.on(event, config, out));
        self.ended()
    }

    /// Gives up holes that are open for too long.
    pub(super) fn advance(
        &mut self,
        now: UnixNanos,
        (config, pool): Shared<'_>,
        out: Emit<'_>,
    ) -> Option<Ending> {
        let Self { stream, watch, .. } = self;
        stream.expire(now, pool, &mut |event| watch.on(event, config, out));
        self.ended()
    }

    fn ended(&mut self) -> Option<Ending> {
        let over = self.stream.is_over().then_some(Ending::Closed);
        self.watch.ended.take().or(over)
    }

    /// Gives out what there is, and ends the observation.
    pub(super) fn finish(
        &mut self,
        now: UnixNanos,
        ending: Ending,
        (config, pool): Shared<'_>,
        out: Emit<'_>,
    ) {
        let Self { stream, watch, .. } = self;
        stream.give_up(now, pool, &mut |event| watch.on(event, config, out));
        if let State::Following(service, connection) = &mut watch.state {
            connection.finish(now, ending, &mut |span| out(service, span));
        }
    }

    /// Bytes that could not be told.
    pub(super) const fn unknown_bytes(&self) -> u64 {
        self.watch.unknown_bytes
    }

    /// Whose it is, and its account; none where its protocol is not known.
    pub(super) fn account(&self) -> Option<(&Arc<Service>, Account)> {
        match &self.watch.state {
            State::Following(service, connection) => Some((service, connection.account())),
            State::Seeking(_) | State::Unknown | State::Over => None,
        }
    }

    /// Lets go of all but the place in the stream.
    pub(super) fn forget(&mut self) {
        self.watch.state = State::Over;
        self.watch.unknown_bytes = 0;
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.watch.state, State::Over)
    }

    pub(super) fn is_reuse(&self, direction: Direction, segment: &Segment<'_>) -> bool {
        self.stream.is_reuse(direction, segment)
    }

    pub(super) fn held_bytes(&self) -> usize {
        match &self.watch.state {
            State::Following(_, connection) => size_of::<Connection>() + connection.held_bytes(),
            State::Seeking(_) | State::Unknown | State::Over => 0,
        }
    }
}

impl Watch {
    fn on(&mut self, event: Flowing<'_>, config: &TracerConfig, out: Emit<'_>) {
        match event {
            Flowing::Chunk(chunk) => self.feed(chunk, config, out),
            Flowing::Closed(direction, time) => {
                let direction = self.turned(direction);
                if let State::Following(service, connection) = &mut self.state {
                    connection.close(direction, time, &mut |span| out(service, span));
                }
            }
            Flowing::Reset(_) => self.ended = Some(Ending::Reset),
        }
    }

    /// Takes a chunk told as if the lower end were the client.
    fn feed(&mut self, mut chunk: Chunk<'_>, config: &TracerConfig, out: Emit<'_>) {
        if chunk.missing > 0 && self.is_untold(config) {
            self.state = State::Seeking(0);
        }
        if let State::Seeking(sought) = self.state {
            self.seek(&chunk, sought, config);
        }
        chunk.direction = self.turned(chunk.direction);
        match &mut self.state {
            State::Following(service, connection) => connection.feed(chunk, &mut |span| out(service, span)),
            State::Seeking(_) | State::Unknown | State::Over => {
                self.unknown_bytes += u64::try_from(chunk.bytes.len()).unwrap_or(u64::MAX);
            }
        }
    }

    /// True where nothing is known yet of a connection whose first bytes were to tell its protocol.
    fn is_untold(&self, config: &TracerConfig) -> bool {
        let State::Following(_, connection) = &self.state else { return false };
        config.followed(self.server().port()).protocol.is_none() && connection.account() == Account::default()
    }

    /// Looks whether the chunk begins as a connection does, from either end.
    fn seek(&mut self, chunk: &Chunk<'_>, sought: u16, config: &TracerConfig) {
        if chunk.bytes.is_empty() {
            return;
        }
        let sender_is_low = chunk.direction == Direction::ToServer;
        let (as_client, as_server) = both(chunk.bytes);
        let found = [(as_client, false), (as_server, true)]
            .into_iter()
            .find_map(|(first, by_server)| Some((config.protocols.infer(first).ok()?.clone(), by_server)));
        let Some((protocol, by_server)) = found else {
            self.state = if sought < MAX_SOUGHT { State::Seeking(sought + 1) } else { State::Unknown };
            return;
        };
        self.flipped = by_server == sender_is_low;
        let service = &config.followed(self.server().port()).service;
        let parser = protocol.parser(&service.limits);
        self.follow(service, parser, config, false);
    }

    fn follow(
        &mut self,
        service: &Arc<Service>,
        parser: Box<dyn Parser>,
        config: &TracerConfig,
        from_start: bool,
    ) {
        let [low, high] = self.ends;
        let (client, server) = if self.flipped { (high, low) } else { (low, high) };
        // Sockets of the Unix domain have no addresses.
        let ends = if is_unix(&server) {
            Ends::default()
        } else {
            Ends::new(client, server).with_caller(config.caller(client, server))
        };
        let ends = ends.seen_by(config.role);
        let connection = Connection::new(Arc::clone(service), parser, ends).ids(IdSource::seeded(self.seed));
        let connection = if from_start { connection } else { connection.late() };
        self.state = State::Following(Arc::clone(service), Box::new(connection));
    }

    const fn server(&self) -> SocketAddr {
        let [low, high] = self.ends;
        if self.flipped { low } else { high }
    }

    /// The way of bytes, given it as if the lower end were the client.
    const fn turned(&self, direction: Direction) -> Direction {
        if self.flipped { direction.back() } else { direction }
    }
}

/// Whether the sender of these bytes is the server, as far as protocols tell.
fn told(protocols: &Protocols, bytes: &[u8]) -> Option<bool> {
    let (as_client, as_server) = both(bytes);
    let is = |first| protocols.infer(first).is_ok();
    is(as_client).then_some(false).or_else(|| is(as_server).then_some(true))
}

/// Bytes as the first of a client, and as the first of a server.
const fn both(bytes: &[u8]) -> (First<'_>, First<'_>) {
    (First { to_server: bytes, to_client: &[] }, First { to_server: &[], to_client: bytes })
}
