//! What every service has at hand: its log, its counters and its peers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use otlp_core::{Error, ErrorKind};

use super::counter::Counters;
use super::http::client::{self, Call};
use super::http::{Request, Response};
use super::log::Log;
use super::pool::Pool;
use super::resp::{self, Reply};
use super::role::Role;

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
    pools: Vec<(Role, Pool)>,
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
        let pools = role.peers().iter().map(|peer| (*peer, Pool::new(peer.name()))).collect();
        Self { role, seed, log, counters: Counters::default(), pools }
    }

    /// Says where `peer` is reached.
    ///
    /// # Errors
    /// The service does not call that peer.
    pub(crate) fn connect(&self, peer: Role, address: SocketAddr) -> Result<(), Error> {
        self.pool(peer)?.set_address(address);
        self.log.info("peer connected", &[("peer", &peer), ("address", &address)]);
        Ok(())
    }

    /// Calls `peer` over HTTP/1.1, counts the call and warns where it is slow or fails.
    ///
    /// # Errors
    /// No answer; an answer with an error status is no error.
    pub(crate) fn call(&self, peer: Role, call: &Call<'_>) -> Result<Response, Error> {
        let start = Instant::now();
        let result = self.pool(peer).and_then(|pool| client::send(pool, call));
        self.counters.call(peer, &result);
        let trace = trace_id(call.traceparent);
        self.judge(peer, start, &result, trace);
        result
    }

    /// Sends one command to the cache, counts it and warns where it is slow or fails.
    ///
    /// # Errors
    /// No reply; an error reply is no error.
    pub(crate) fn command(&self, words: &[&[u8]], trace: &str) -> Result<Reply, Error> {
        let start = Instant::now();
        let result = self.pool(Role::Cache).and_then(|pool| resp::client::send(pool, words));
        self.counters.call(Role::Cache, &result);
        self.judge(Role::Cache, start, &result, trace);
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

    fn pool(&self, peer: Role) -> Result<&Pool, Error> {
        let found = self.pools.iter().find(|(role, _)| *role == peer);
        found.map(|(_, pool)| pool).ok_or_else(|| {
            let message = format!("{} does not call {peer}", self.role);
            Error::new(ErrorKind::Config, message)
        })
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

fn trace_id(traceparent: Option<&str>) -> &str {
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
