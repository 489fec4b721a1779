//! What every service has at hand: its log, its counters and its peers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use otlp_core::{Error, ErrorKind};

use super::counter::Counters;
use super::grpc::Status;
use super::grpc::client::{Call as GrpcCall, Channel};
use super::http::client::{self, Call};
use super::http::{Request, Response};
use super::log::Log;
use super::pool::{Pool, TIMEOUT};
use super::resp::{self, Reply};
use super::role::{Protocol, Role};
use super::sql::client::Session;

/// A call that takes longer is worth a warning.
const SLOW_CALL: Duration = Duration::from_millis(10);

/// The surroundings of one service.
#[derive(Debug)]
pub(crate) struct Context {
    /// Which service this is.
    pub(crate) role: Role,
    /// The seed of the run.
    pub(crate) seed: u64,
    /// Where it writes what it does.
    pub(crate) log: Log,
    /// What it served and called.
    pub(crate) counters: Counters,
    peers: Vec<(Role, Peer)>,
}

/// The way to a peer.
#[derive(Debug)]
enum Peer {
    /// Over HTTP/1.1 or RESP, a call a connection at a time.
    Streams(Pool),
    /// Over gRPC, all calls on one connection.
    Channel(Channel),
    /// Over PostgreSQL's protocol, a transaction a connection at a time.
    Sessions(Pool<Session>),
}

/// What a service can do besides answering.
pub(crate) trait Service: Send + Sync {
    /// Breaks or mends the service; false where it has nothing that breaks.
    fn set_fault(&self, _on: bool) -> bool {
        false
    }

    /// What only this service counts.
    fn facts(&self) -> Vec<(&'static str, u64)>;
}

/// Lets the first of every `period` events through, so that a flood leaves few lines.
#[derive(Debug)]
pub(crate) struct OneIn {
    period: u64,
    seen: AtomicU64,
}

impl Context {
    /// Surroundings with unconnected peers.
    pub(crate) fn new(role: Role, seed: u64, log: Log) -> Self {
        let peer = |role: Role| match role.protocol() {
            Protocol::Http | Protocol::Resp => Peer::Streams(Pool::new(role.name())),
            Protocol::Grpc => Peer::Channel(Channel::new(role.name())),
            Protocol::Postgres => Peer::Sessions(Pool::new(role.name())),
        };
        let peers = role.peers().iter().map(|role| (*role, peer(*role))).collect();
        Self { role, seed, log, counters: Counters::default(), peers }
    }

    /// Says where `peer` is reached.
    ///
    /// # Errors
    /// The service does not call that peer, or a thread that it needs for it cannot be started.
    pub(crate) fn connect(&self, peer: Role, address: SocketAddr) -> Result<(), Error> {
        match self.peer(peer)? {
            Peer::Streams(pool) => pool.set_address(address),
            Peer::Channel(channel) => channel.set_address(address)?,
            Peer::Sessions(pool) => pool.set_address(address),
        }
        self.log.info("peer connected", &[("peer", &peer), ("address", &address)]);
        Ok(())
    }

    /// Calls `peer` over HTTP/1.1.
    ///
    /// # Errors
    /// No answer; an answer with an error status is no error.
    pub(crate) fn call(&self, peer: Role, call: &Call<'_>) -> Result<Response, Error> {
        self.call_with(peer, trace_id(call.traceparent), || client::send(self.streams(peer)?, call))
    }

    /// Sends one command to the cache.
    ///
    /// # Errors
    /// No reply; an error reply is no error.
    pub(crate) fn command(&self, words: &[&[u8]], trace: &str) -> Result<Reply, Error> {
        self.call_with(Role::Cache, trace, || resp::client::send(self.streams(Role::Cache)?, words))
    }

    /// Calls a method of `payment` over gRPC: a message, or a status.
    ///
    /// # Errors
    /// No answer; a status is no error.
    pub(crate) fn method(
        &self,
        method: &str,
        message: &[u8],
        traceparent: Option<&str>,
    ) -> Result<Result<Vec<u8>, Status>, Error> {
        let call = GrpcCall { method, message, traceparent, timeout: TIMEOUT };
        self.call_with(Role::Payment, trace_id(traceparent), || match self.peer(Role::Payment)? {
            Peer::Channel(channel) => channel.send(&call),
            Peer::Streams(_) | Peer::Sessions(_) => Err(self.no_way_to(Role::Payment)),
        })
    }

    /// The connections to the store.
    ///
    /// # Errors
    /// The service does not call it.
    pub(crate) fn sessions(&self) -> Result<&Pool<Session>, Error> {
        match self.peer(Role::Db)? {
            Peer::Sessions(pool) => Ok(pool),
            Peer::Streams(_) | Peer::Channel(_) => Err(self.no_way_to(Role::Db)),
        }
    }

    /// Makes a call to `peer`, counts it and warns where it is slow or fails.
    ///
    /// # Errors
    /// Those of the call.
    pub(crate) fn call_with<T>(
        &self,
        peer: Role,
        trace: &str,
        call: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let start = Instant::now();
        let result = call();
        self.counters.call(peer, &result);
        self.judge(peer, start, &result, trace);
        result
    }

    fn judge<T>(&self, peer: Role, start: Instant, result: &Result<T, Error>, trace: &str) {
        let took = Millis(start.elapsed());
        if let Err(error) = result {
            let fields: [(&str, &dyn std::fmt::Display); 4] =
                [("peer", &peer), ("error", error), ("took_ms", &took), ("trace_id", &trace)];
            self.log.error("call failed", &fields);
        } else if took.0 >= SLOW_CALL {
            self.log.warn("slow call", &[("peer", &peer), ("took_ms", &took), ("trace_id", &trace)]);
        }
    }

    fn streams(&self, peer: Role) -> Result<&Pool, Error> {
        match self.peer(peer)? {
            Peer::Streams(pool) => Ok(pool),
            Peer::Channel(_) | Peer::Sessions(_) => Err(self.no_way_to(peer)),
        }
    }

    fn peer(&self, peer: Role) -> Result<&Peer, Error> {
        let found = self.peers.iter().find(|(role, _)| *role == peer);
        found.map(|(_, peer)| peer).ok_or_else(|| self.no_way_to(peer))
    }

    fn no_way_to(&self, peer: Role) -> Error {
        Error::new(ErrorKind::Config, format!("{} does not call {peer}", self.role))
    }
}

impl OneIn {
    /// Lets the first of `period` through; a period of zero lets nothing through.
    pub(crate) const fn new(period: u64) -> Self {
        Self { period, seen: AtomicU64::new(0) }
    }

    /// Notes an event; true where it is let through.
    pub(crate) fn pass(&self) -> bool {
        let seen = self.seen.fetch_add(1, Ordering::Relaxed);
        seen.checked_rem(self.period) == Some(0)
    }
}

/// Milliseconds with two decimals, for log lines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Millis(pub(crate) Duration);

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2}", self.0.as_secs_f64() * 1e3)
    }
}

/// The trace of a request for log lines; `-` where it has none.
pub(crate) fn trace_of(request: &Request) -> &str {
    trace_id(request.traceparent.as_deref())
}

/// What a caller is told when its callee gave no answer, or one that says "my fault".
pub(crate) fn bad_gateway(answer: &Result<Response, Error>) -> Response {
    match answer {
        Err(error) if error.kind() == ErrorKind::Timeout => Response::error(504, "no answer in time"),
        _ => Response::error(502, "a service behind this one failed"),
    }
}

/// The trace that a `traceparent` names, for log lines; `-` where there is none.
pub(crate) fn trace_id(traceparent: Option<&str>) -> &str {
    traceparent.and_then(|text| text.split('-').nth(1)).unwrap_or("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_id_is_the_second_part_of_the_header() {
        assert_eq!(trace_id(Some("00-4bf92f3577b34da6-00f067aa-01")), "4bf92f3577b34da6");
        assert_eq!((trace_id(Some("00")), trace_id(None)), ("-", "-"));
    }

    #[test]
    fn one_in_three_events_passes_beginning_with_the_first() {
        let gate = OneIn::new(3);
        let passed: Vec<bool> = (0..7).map(|_| gate.pass()).collect();
        assert_eq!(passed, [true, false, false, true, false, false, true]);
    }
}
