//! The Kafka protocol: requests and answers of every version, paired by their numbers.
//!
//! Of every request its name, version and client are told. Topics, partitions, consumer groups, counts of records and
//! error codes are read, as they come by, from Produce, Fetch, Metadata, ApiVersions and the requests of consumer
//! groups; other bodies are passed over. Records are passed over by the lengths of their batches, which say how many
//! there are; nothing of keys, values or headers is looked at, nor of what proves who a client is (SASL).
//!
//! Since version 13 Produce and Fetch name topics by ids. What they mean is learned from the Metadata answers seen on
//! the connection, or on any of a [`Cluster`]. A Fetch request of a session that says only what changes (KIP-227) is
//! given the topics that the session has.
//!
//! # Where bytes are lost, or a message is refused
//! A hole among bytes that are passed over does no harm; one within a message leaves out what it told behind it
//! ([`Request::is_whole`]). Where the end of a frame is not known any more, the next one is looked for:
//!
//! - to the server, a known request in a known version, not longer than 16 MiB, whose client has the name that it had
//!   before (or has one), and whose body is laid out as it must be;
//! - to the client, a frame with the number of a request that waits, whose body is laid out as its answer must be to
//!   the last byte; an answer of which too little is known for that is passed over, and tells only that the frame
//!   behind it is one if that looks like an answer too. What may be an answer, but need not, is given up where the
//!   client asks again meanwhile.
//!
//! Brokers answer the requests of a connection in their order. So a request whose answer may have been among lost
//! bytes is given up ([`Event::Lost`]) when one behind it is answered.

mod api;
mod batch;
mod error;
mod fact;
mod request;
mod response;
mod shape;
mod side;
mod talk;
mod topic;
mod walk;

use std::fmt;
use std::sync::Arc;

use otlp_core::UnixNanos;

pub use self::api::Api;
pub use self::error::ErrorCode;
use self::fact::{Facts, Partition};
use self::request::Requests;
use self::response::Responses;
use self::side::Side;
use self::talk::Talk;
pub use self::topic::{TopicIds, Topics};
use super::infer::{First, Protocol, Verdict};
use super::{Chunk, Direction, Event, Expect, Parser};
use crate::limits::Limits;

/// A request.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    api: Api,
    version: i16,
    number: i32,
    expect: Expect,
    facts: &'a Facts,
}

impl<'a> Request<'a> {
    /// What it is.
    #[must_use]
    pub const fn api(&self) -> Api {
        self.api
    }

    /// The version of its layout.
    #[must_use]
    pub const fn version(&self) -> i16 {
        self.version
    }

    /// The number that its answer will carry (`correlation_id`).
    #[must_use]
    pub const fn correlation_id(&self) -> i32 {
        self.number
    }

    /// The name that the client gives itself; none where it is empty, longer than 256 bytes or no text.
    #[must_use]
    pub fn client_id(&self) -> Option<&'a str> {
        Some(self.facts.client.as_str()).filter(|client| !client.is_empty())
    }

    /// The consumer group that it names.
    #[must_use]
    pub fn group(&self) -> Option<&'a str> {
        self.facts.group()
    }

    /// The topics that it names; for Fetch all those of its session.
    #[must_use]
    pub const fn topics(&self) -> Topics<'a> {
        Topics::of(&self.facts.topics)
    }

    /// The partition, where it is about exactly one.
    #[must_use]
    pub fn partition(&self) -> Option<i32> {
        partition(self.facts)
    }

    /// Count of the records in it, 0 for all but Produce; none where an old format hides it, or it was lost.
    #[must_use]
    pub const fn records(&self) -> Option<u64> {
        self.facts.record_count()
    }

    /// Bytes of the records in it, as they are sent.
    #[must_use]
    pub const fn record_bytes(&self) -> u64 {
        self.facts.record_bytes
    }

    /// Whether it gets an answer: a Produce request can do without.
    #[must_use]
    pub const fn expect(&self) -> Expect {
        self.expect
    }

    /// False where a part of it was lost, or not laid out as its version says: there may be more to it than is told.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.facts.whole
    }

    /// True where bytes of it were lost that said something.
    #[must_use]
    pub const fn has_gap(&self) -> bool {
        self.facts.holed
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("api", &self.api.name())
            .field("version", &self.version)
            .field("correlation_id", &self.number)
            .field("client_id", &self.client_id())
            .field("group", &self.group())
            .field("topics", &self.topics())
            .field("partition", &self.partition())
            .field("records", &self.records())
            .field("record_bytes", &self.record_bytes())
            .field("expect", &self.expect)
            .field("whole", &self.is_whole())
            .finish()
    }
}

/// The answer to a request.
#[derive(Clone, Copy)]
pub struct Response<'a> {
    api: Option<Api>,
    number: i32,
    facts: &'a Facts,
}

impl<'a> Response<'a> {
    /// What was asked; none where the request was not seen.
    #[must_use]
    pub const fn api(&self) -> Option<Api> {
        self.api
    }

    /// The number of the request (`correlation_id`).
    #[must_use]
    pub const fn correlation_id(&self) -> i32 {
        self.number
    }

    /// The first error that it tells, of all topics and partitions.
    #[must_use]
    pub const fn error(&self) -> Option<ErrorCode> {
        self.facts.error
    }

    /// The topics that the records in it are from.
    #[must_use]
    pub const fn topics(&self) -> Topics<'a> {
        Topics::of(&self.facts.topics)
    }

    /// The partition that the records in it are from, where it is exactly one.
    #[must_use]
    pub fn partition(&self) -> Option<i32> {
        partition(self.facts)
    }

    /// Count of the records in it, 0 for all but Fetch; none where an old format hides it, or it was lost. A broker
    /// sends whole batches, which may begin before the record that was asked for.
    #[must_use]
    pub const fn records(&self) -> Option<u64> {
        self.facts.record_count()
    }

    /// Bytes of the records in it, as they are sent.
    #[must_use]
    pub const fn record_bytes(&self) -> u64 {
        self.facts.record_bytes
    }

    /// False where a part of it was lost, or not laid out as its version says: there may be more to it than is told.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.facts.whole
    }
}

impl fmt::Debug for Response<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("api", &self.api.map(Api::name))
            .field("correlation_id", &self.number)
            .field("error", &self.error().map(ErrorCode::name))
            .field("topics", &self.topics())
            .field("partition", &self.partition())
            .field("records", &self.records())
            .field("record_bytes", &self.record_bytes())
            .field("whole", &self.is_whole())
            .finish()
    }
}

fn partition(facts: &Facts) -> Option<i32> {
    match facts.partition {
        Partition::One(index) => i32::try_from(index).ok(),
        Partition::None | Partition::Several => None,
    }
}

/// Reads one Kafka connection.
///
/// Holds some hundred bytes, a few short texts (a topic's name at most 249 bytes, 8 of them), 40 bytes for each
/// request that waits, and what topics' ids mean.
///
/// ```
/// use otlp_core::UnixNanos;
/// use otlp_ebpf::Limits;
/// use otlp_ebpf::parse::kafka::{Api, Kafka};
/// use otlp_ebpf::parse::{Chunk, Direction, Event, Parser, RequestHead, ResponseHead};
///
/// let mut parser = Kafka::new(Limits::default());
/// let mut told = Vec::new();
/// let heartbeat = b"\0\0\0\x1c\0\x0c\0\0\0\0\0\x07\0\x04shop\0\x04cart\0\0\0\x01\0\x02me";
/// let rebalances = b"\0\0\0\x06\0\0\0\x07\0\x1b";
/// for (direction, bytes) in [(Direction::ToServer, &heartbeat[..]), (Direction::ToClient, rebalances)] {
///     parser.feed(Chunk::new(direction, UnixNanos::ZERO, bytes), &mut |event| match event {
///         Event::Request { head: RequestHead::Kafka(request), .. } => {
///             told.push((request.api().name(), request.group().map(str::to_owned)));
///         }
///         Event::Response { head: ResponseHead::Kafka(response), .. } => {
///             told.extend(response.error().map(|error| (error.name(), None)));
///         }
///         _ => {}
///     });
/// }
/// assert_eq!(told, [("Heartbeat", Some("cart".to_owned())), ("REBALANCE_IN_PROGRESS", None)]);
/// ```
#[derive(Debug)]
pub struct Kafka {
    requests: Side<Requests>,
    responses: Side<Responses>,
    talk: Talk,
    ids: Arc<TopicIds>,
    shares: bool,
}

impl Kafka {
    /// A parser for a connection seen from its first byte.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let ids = Arc::new(TopicIds::new(limits.topics()));
        Self { shares: false, ..Self::sharing(limits, ids) }
    }

    /// The same, for a connection that learns what topics' ids mean together with others.
    #[must_use]
    pub fn sharing(limits: Limits, ids: Arc<TopicIds>) -> Self {
        Self {
            requests: Side::new(Requests::new(), Arc::clone(&ids)),
            responses: Side::new(Responses::default(), Arc::clone(&ids)),
            talk: Talk::new(limits),
            ids,
            shares: true,
        }
    }

    /// A parser for a connection seen from somewhere on: it looks for the first request it can be sure of, and then
    /// for answers.
    #[must_use]
    pub fn mid_stream(limits: Limits) -> Self {
        Self::new(limits).searching()
    }

    const fn searching(mut self) -> Self {
        self.requests.search();
        self.responses.search();
        self
    }
}

impl Parser for Kafka {
    fn feed(&mut self, chunk: Chunk<'_>, on: &mut dyn FnMut(Event<'_>)) {
        match chunk.direction {
            Direction::ToServer => {
                let before = self.talk.asked();
                self.requests.feed(&chunk, &mut self.talk, on);
                if self.talk.asked() > before {
                    self.responses.begin_anew(on);
                }
            }
            Direction::ToClient => self.responses.feed(&chunk, &mut self.talk, on),
        }
    }

    fn close(&mut self, direction: Direction, time: UnixNanos, on: &mut dyn FnMut(Event<'_>)) {
        match direction {
            Direction::ToServer => self.requests.close(time, &mut self.talk, on),
            Direction::ToClient => self.responses.close(time, &mut self.talk, on),
        }
    }

    fn realign(&mut self, _in_flight: usize, on: &mut dyn FnMut(Event<'_>)) {
        self.responses.realign(on);
    }

    fn held_bytes(&self) -> usize {
        let ids = if self.shares { 0 } else { self.ids.held_bytes() };
        self.requests.held_bytes()
            + self.requests.way().held_bytes()
            + self.responses.held_bytes()
            + self.talk.held_bytes()
            + ids
    }
}

/// Kafka, on connections to one cluster: they share what topics' ids mean. Cheap to clone.
///
/// ```
/// use otlp_ebpf::parse::infer::Protocols;
/// use otlp_ebpf::parse::kafka::Cluster;
/// let orders = Cluster::default();
/// let protocols = Protocols::default().with(orders.clone());
/// orders.ids().learn([7; 16], "orders"); // as a Metadata answer on any of its connections does
/// ```
#[derive(Debug, Clone)]
pub struct Cluster {
    ids: Arc<TopicIds>,
}

impl Cluster {
    /// A cluster of whose topics at most so many are known by their ids.
    #[must_use]
    pub fn new(topics: usize) -> Self {
        Self { ids: Arc::new(TopicIds::new(topics)) }
    }

    /// What its topics' ids mean.
    #[must_use]
    pub const fn ids(&self) -> &Arc<TopicIds> {
        &self.ids
    }
}

impl Default for Cluster {
    /// Knows [`Limits::topics`] of the defaults.
    fn default() -> Self {
        Self::new(Limits::DEFAULT.topics())
    }
}

impl Protocol for Cluster {
    fn name(&self) -> &str {
        "kafka"
    }

    fn infer(&self, first: First<'_>) -> Verdict {
        infer(first)
    }

    fn parser(&self, limits: &Limits) -> Box<dyn Parser> {
        Box::new(Kafka::sharing(limits.clone(), Arc::clone(&self.ids)))
    }

    fn parser_mid_stream(&self, limits: &Limits) -> Box<dyn Parser> {
        Box::new(Kafka::sharing(limits.clone(), Arc::clone(&self.ids)).searching())
    }
}

/// Whether a connection begins as one of Kafka: the client speaks first.
pub(super) fn infer(first: First<'_>) -> Verdict {
    if first.to_client.is_empty() { request::first(first.to_server) } else { Verdict::No }
}

/// A length in memory always fits 64 bits.
fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
