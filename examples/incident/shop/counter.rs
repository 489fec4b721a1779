//! Ground truth: what a service did, counted by itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use otlp_core::{Error, ErrorKind};

use super::role::Role;

/// What one service did since it started.
///
/// A request counts as served once the last byte of its response was handed to the socket, and never twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Answered well: status below 400, or a RESP reply that is no error.
    pub(crate) ok: u64,
    /// Answered with 4xx, or a RESP error reply.
    pub(crate) client_errors: u64,
    /// Answered with 5xx.
    pub(crate) server_errors: u64,
    /// Read, but the response could not be written: not served.
    pub(crate) unsent: u64,
    /// Bytes that were no request; the connection was answered where possible and closed: not served.
    pub(crate) malformed: u64,
    /// Requests still being worked on when this was read.
    pub(crate) in_flight: u64,
    /// Connections turned away because there were too many.
    pub(crate) refused_connections: u64,
    /// Calls to each peer that were answered, with whatever status.
    pub(crate) calls: BTreeMap<Role, u64>,
    /// Calls to each peer that got no answer.
    pub(crate) failed_calls: BTreeMap<Role, u64>,
    /// What only this service counts, such as `full_scans`.
    pub(crate) facts: BTreeMap<String, u64>,
}

/// How a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Well.
    Ok,
    /// The asker was wrong.
    ClientError,
    /// The service was wrong.
    ServerError,
}

/// The live counters of a service.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    counts: Mutex<Counts>,
    idle: Condvar,
}

/// Requests that were read and are not yet answered; dropping it counts the rest as unsent.
#[derive(Debug)]
#[must_use]
pub(crate) struct InFlight<'a> {
    counters: &'a Counters,
    pending: u64,
}

impl Counts {
    /// Requests (or commands) served.
    pub(crate) const fn served(&self) -> u64 {
        self.ok + self.client_errors + self.server_errors
    }

    /// A fact by name; zero where the service never counted it.
    pub(crate) fn fact(&self, name: &str) -> u64 {
        self.facts.get(name).copied().unwrap_or(0)
    }

    /// Calls to `peer` that were answered.
    pub(crate) fn calls_to(&self, peer: Role) -> u64 {
        self.calls.get(&peer).copied().unwrap_or(0)
    }

    /// One line of `name=number` pairs.
    pub(crate) fn to_line(&self) -> String {
        let mut line = String::new();
        for (name, value) in self.plain() {
            push_pair(&mut line, "", name, value);
        }
        for (role, value) in &self.calls {
            push_pair(&mut line, "call.", role.name(), *value);
        }
        for (role, value) in &self.failed_calls {
            push_pair(&mut line, "failed.", role.name(), *value);
        }
        for (name, value) in &self.facts {
            push_pair(&mut line, "fact.", name, *value);
        }
        line
    }

    /// Reads what [`to_line`](Self::to_line) wrote.
    pub(crate) fn parse(line: &str) -> Result<Self, Error> {
        let mut counts = Self::default();
        for pair in line.split_ascii_whitespace() {
            let (name, value) = pair.split_once('=').ok_or_else(|| refused(pair))?;
            let value = value.parse().map_err(|_| refused(pair))?;
            counts.set(name, value).ok_or_else(|| refused(pair))?;
        }
        Ok(counts)
    }

    fn plain(&self) -> [(&'static str, u64); 7] {
        [
            ("ok", self.ok),
            ("client_errors", self.client_errors),
            ("server_errors", self.server_errors),
            ("unsent", self.unsent),
            ("malformed", self.malformed),
            ("in_flight", self.in_flight),
            ("refused_connections", self.refused_connections),
        ]
    }

    fn set(&mut self, name: &str, value: u64) -> Option<()> {
        if let Some((group, name)) = name.split_once('.') {
            match group {
                "call" => drop(self.calls.insert(name.parse().ok()?, value)),
                "failed" => drop(self.failed_calls.insert(name.parse().ok()?, value)),
                "fact" => drop(self.facts.insert(name.to_owned(), value)),
                _ => return None,
            }
            return Some(());
        }
        *match name {
            "ok" => &mut self.ok,
            "client_errors" => &mut self.client_errors,
            "server_errors" => &mut self.server_errors,
            "unsent" => &mut self.unsent,
            "malformed" => &mut self.malformed,
            "in_flight" => &mut self.in_flight,
            "refused_connections" => &mut self.refused_connections,
            _ => return None,
        } = value;
        Some(())
    }
}

impl Outcome {
    /// The outcome that an HTTP status stands for.
    pub(crate) const fn of_status(status: u16) -> Self {
        match status {
            0..400 => Self::Ok,
            400..500 => Self::ClientError,
            500.. => Self::ServerError,
        }
    }
}

impl Counters {
    /// Notes that `requests` were read.
    pub(crate) fn begin(&self, requests: u64) -> InFlight<'_> {
        self.lock().in_flight += requests;
        InFlight { counters: self, pending: requests }
    }

    /// Notes bytes that were no request.
    pub(crate) fn malformed(&self) {
        self.lock().malformed += 1;
    }

    /// Notes a connection turned away.
    pub(crate) fn refused_connection(&self) {
        self.lock().refused_connections += 1;
    }

    /// Notes a call to `peer` and whether it was answered.
    pub(crate) fn call<T, E>(&self, peer: Role, result: &Result<T, E>) {
        let mut counts = self.lock();
        let by_peer = if result.is_ok() { &mut counts.calls } else { &mut counts.failed_calls };
        *by_peer.entry(peer).or_default() += 1;
    }

    /// Waits until nothing is in flight, for at most `patience`, then reads the counters.
    pub(crate) fn drained(&self, patience: Duration) -> Counts {
        let guard = self.lock();
        let waited = self.idle.wait_timeout_while(guard, patience, |counts| counts.in_flight > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Whoever panicked while holding the lock left whole numbers behind.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InFlight<'_> {
    /// Notes that the last byte of one response was handed to the socket.
    pub(crate) fn served(&mut self, outcome: Outcome) {
        if self.pending == 0 {
            return;
        }
        self.pending -= 1;
        let mut counts = self.counters.lock();
        counts.in_flight -= 1;
        match outcome {
            Outcome::Ok => counts.ok += 1,
            Outcome::ClientError => counts.client_errors += 1,
            Outcome::ServerError => counts.server_errors += 1,
        }
        if counts.in_flight == 0 {
            self.counters.idle.notify_all();
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if self.pending == 0 {
            return;
        }
        let mut counts = self.counters.lock();
        counts.in_flight -= self.pending;
        counts.unsent += self.pending;
        if counts.in_flight == 0 {
            self.counters.idle.notify_all();
        }
    }
}

fn push_pair(line: &mut String, group: &str, name: &str, value: u64) {
    let gap = if line.is_empty() { "" } else { " " };
    // Writing to a string cannot fail.
    let _ = write!(line, "{gap}{group}{name}={value}");
}

fn refused(pair: &str) -> Error {
    Error::new(ErrorKind::Malformed, format!("counts: expected name=number, met {} other bytes", pair.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_survive_the_trip_over_a_line() {
        let counters = Counters::default();
        let mut three = counters.begin(3);
        three.served(Outcome::of_status(201));
        three.served(Outcome::of_status(404));
        three.served(Outcome::of_status(503));
        drop(three);
        counters.malformed();
        counters.refused_connection();
        counters.call(Role::Db, &Ok::<_, ()>(()));
        counters.call(Role::Cache, &Err::<(), _>(()));
        let mut counts = counters.drained(Duration::ZERO);
        counts.facts.insert("full_scans".to_owned(), 9);
        assert_eq!(Counts::parse(&counts.to_line()).unwrap(), counts);
        assert_eq!((counts.served(), counts.fact("full_scans"), counts.fact("none")), (3, 9, 0));
        assert_eq!((counts.calls_to(Role::Db), counts.calls_to(Role::Cache)), (1, 0));
    }

    #[test]
    fn a_line_that_is_no_count_is_refused() {
        for line in ["ok", "ok=x", "ok=-1", "odd=1", "call.mail=1", "odd.db=1"] {
            assert!(Counts::parse(line).unwrap_err().is_malformed(), "{line}");
        }
    }

    #[test]
    fn a_request_whose_response_was_never_written_is_unsent_not_served() {
        let counters = Counters::default();
        let mut two = counters.begin(2);
        two.served(Outcome::Ok);
        drop(two);
        let counts = counters.drained(Duration::ZERO);
        assert_eq!((counts.served(), counts.unsent, counts.in_flight), (1, 1, 0));
    }

    #[test]
    fn draining_waits_for_the_last_request_and_gives_up_when_told() {
        let counters = Counters::default();
        let mut one = counters.begin(1);
        assert_eq!(counters.drained(Duration::ZERO).in_flight, 1);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| counters.drained(Duration::from_secs(60)));
            one.served(Outcome::Ok);
            let counts = waiting.join().unwrap();
            assert_eq!((counts.served(), counts.in_flight), (1, 0));
        });
    }
}
