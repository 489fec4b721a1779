//! The exporter as a state machine: a bounded queue, attempts in flight, retries, an exact account.
//!
//! The driver hands in requests, carries out [`Command`]s and reports outcomes; every call takes the
//! present instant. Delivery is at least once: an attempt that timed out may have reached the receiver.
//!
//! ```
//! use bytes::Bytes;
//! use otlp_core::UnixNanos;
//! use otlp_core::protocol::Signal;
//! use otlp_core::protocol::export::{Command, ExporterConfig, Outcome, Request, Verdict};
//! use otlp_core::protocol::status::Code;
//!
//! let mut exporter = ExporterConfig::default().build()?;
//! let now = UnixNanos::from_secs(1_700_000_000);
//! let request = Request::new(Signal::Traces, Bytes::from_static(b"..."), 3);
//! exporter.enqueue(now, request)?;
//! let Command::Send(outgoing) = exporter.poll(now, 0) else { return Err("nothing to send".into()) };
//! let busy = Outcome::Refused { code: Code::Http(503), retry_after: None, message: String::new() };
//! let verdict = exporter.on_outcome(now, 0, outgoing.attempt, busy);
//! assert!(matches!(verdict, Verdict::Retry { not_before } if not_before > now));
//! assert_eq!(exporter.stats().queued, 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod drain;
mod event;
mod intake;
mod ledger;
mod measure;
mod settle;
mod trace;
mod waiting;

use std::collections::BTreeMap;

use bytes::Bytes;

use self::ledger::Ledger;
use self::trace::Trace;
use self::waiting::Waiting;
use super::Signal;
use super::failover::{DestinationStatus, Failover, Ticket};
use super::timeline::Timeline;
use crate::UnixNanos;
use crate::stats::Stats;

pub use config::{Bounds, DropPolicy, ExporterConfig};
pub use event::{
    Attempt, Command, DropReason, NotTaken, Outcome, Outgoing, Priority, Report, Request, RequestId, Verdict,
};
pub use ledger::{Counters, ExporterStats};
pub use trace::{TraceEvent, TraceOutcome};

/// Decides what is sent when, and accounts for every record. Made by [`ExporterConfig::build`].
///
/// Its state is integers and shared bytes. Every call costs O(log queued). With the feature `model` it
/// can be cloned, compared and hashed, for a model checker to explore.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct Exporter {
    config: ExporterConfig,
    /// Requests that wait for their first or next attempt.
    waiting: Waiting,
    flights: BTreeMap<RequestId, Flight>,
    /// Bytes of `waiting` and `flights`.
    bytes: usize,
    failover: Failover,
    timeline: Timeline,
    last_id: u64,
    phase: Phase,
    ledger: Ledger,
    trace: Trace,
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Entry {
    signal: Signal,
    body: Bytes,
    records: u32,
    priority: Priority,
    /// Attempts made.
    attempts: u32,
    not_before: UnixNanos,
    expires: UnixNanos,
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Flight {
    entry: Entry,
    ticket: Ticket,
    sent: UnixNanos,
    deadline: UnixNanos,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    Open,
    Draining { deadline: UnixNanos, before: Stats },
    Finished { report: Report },
}

impl Exporter {
    pub(crate) fn from_checked(config: ExporterConfig) -> Self {
        Self {
            failover: Failover::new(config.fallbacks, config.breaker),
            config,
            waiting: Waiting::default(),
            flights: BTreeMap::new(),
            bytes: 0,
            timeline: Timeline::default(),
            last_id: 0,
            phase: Phase::Open,
            ledger: Ledger::default(),
            trace: Trace::default(),
        }
    }

    /// Says what to do next. Call it again after every [`Command::Send`], after [`enqueue`](Self::enqueue)
    /// and [`on_outcome`](Self::on_outcome), and when the instant of [`Command::WaitUntil`] has come.
    ///
    /// `jitter` is any evenly distributed number; it spreads the retries of attempts that timed out.
    pub fn poll(&mut self, now: UnixNanos, jitter: u64) -> Command {
        let at = self.timeline.advance(now);
        self.give_up_flights(at, jitter);
        self.expire(at);
        self.end_drain(at);
        if let Phase::Finished { report } = self.phase {
            return Command::Finished(report);
        }
        match self.next_outgoing(at) {
            Some(outgoing) => Command::Send(outgoing),
            None => self.next_wake(),
        }
    }

    /// Takes what became of an attempt and says what that means. An outcome of an attempt that was given
    /// up is counted and changes nothing.
    ///
    /// `jitter` as in [`poll`](Self::poll).
    pub fn on_outcome(&mut self, now: UnixNanos, jitter: u64, attempt: Attempt, outcome: Outcome) -> Verdict {
        let at = self.timeline.advance(now);
        let current = self.flights.get(&attempt.request).is_some_and(|f| f.entry.attempts == attempt.number);
        let flight = if current { self.flights.remove(&attempt.request) } else { None };
        let Some(flight) = flight else {
            self.ledger.counters.stale += 1;
            self.record(TraceEvent::Stale { request: attempt.request, attempt: attempt.number, at });
            return Verdict::Stale;
        };
        self.settle(Settled { at, jitter, id: attempt.request }, flight, outcome)
    }

    /// Where every record is, at this instant. In flight counts as queued.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.ledger.stats
    }

    /// What moving the records took, and why some were dropped.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.ledger.counters
    }

    /// The account, the counters and how long attempts took, for whoever exports them: see
    /// [`Measure`](crate::stats::Measure).
    #[must_use]
    pub const fn exporter_stats(&self) -> ExporterStats {
        self.ledger.exporter_stats()
    }

    /// How each destination stands, the primary first.
    pub fn destinations(&self) -> impl Iterator<Item = DestinationStatus> {
        self.failover.status()
    }

    /// Requests that wait or are in flight.
    #[must_use]
    pub fn queued_requests(&self) -> usize {
        self.waiting.len() + self.flights.len()
    }

    /// Bytes of the requests that wait or are in flight.
    #[must_use]
    pub const fn queued_bytes(&self) -> usize {
        self.bytes
    }

    /// True while a request waits or is in flight.
    #[cfg(feature = "http")]
    pub(crate) fn holds(&self, request: RequestId) -> bool {
        self.flights.contains_key(&request) || self.waiting.holds(request)
    }

    /// Requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// The bounds it was made with.
    #[must_use]
    pub const fn config(&self) -> &ExporterConfig {
        &self.config
    }
}

/// The record of its own events.
#[cfg(feature = "trace")]
impl Exporter {
    /// The events kept, oldest first.
    #[must_use]
    pub fn trace(&self) -> &[TraceEvent] {
        self.trace.events()
    }

    /// Hands the events over and begins anew; ids and attempts go on.
    pub fn take_trace(&mut self) -> Vec<TraceEvent> {
        self.trace.take()
    }

    /// Events that found no room. A trace is complete where this is zero.
    #[must_use]
    pub const fn trace_lost(&self) -> u64 {
        self.trace.lost()
    }
}

/// Which request is being settled, and when.
#[derive(Clone, Copy)]
struct Settled {
    at: UnixNanos,
    jitter: u64,
    id: RequestId,
}

impl Exporter {
    fn next_outgoing(&mut self, at: UnixNanos) -> Option<Outgoing> {
        if self.flights.len() >= self.config.in_flight {
            return None;
        }
        let (_, id) = self.waiting.first_due().filter(|&(not_before, _)| not_before <= at)?;
        // Last of all: a ticket that is taken has to be used.
        let ticket = self.failover.route(at)?;
        let mut entry = self.waiting.take(id)?;
        entry.attempts = entry.attempts.saturating_add(1);
        self.ledger.count_attempt(entry.attempts, ticket.destination);
        let (attempt, destination) = (entry.attempts, ticket.destination);
        self.record(TraceEvent::Sent { request: id, attempt, destination, at });
        let deadline = (at + self.config.timeout).min(entry.expires).min(self.drain_deadline());
        let outgoing = Outgoing {
            attempt: Attempt { request: id, number: attempt },
            destination,
            signal: entry.signal,
            body: entry.body.clone(),
            deadline: self.timeline.to_caller(deadline),
        };
        self.flights.insert(id, Flight { entry, ticket, sent: at, deadline });
        Some(outgoing)
    }

    fn next_wake(&self) -> Command {
        let flights = self.flights.values().map(|flight| flight.deadline);
        let expiry = self.waiting.first_expiry().map(|(expires, _)| expires);
        let send = self.waiting.first_due().filter(|_| self.flights.len() < self.config.in_flight);
        // Where all destinations hang on a trial, its outcome is what wakes.
        let send = send.and_then(|(not_before, _)| Some(not_before.max(self.failover.ready_at()?)));
        match flights.chain(expiry).chain(send).min() {
            Some(wake) => Command::WaitUntil(self.timeline.to_caller(wake.min(self.drain_deadline()))),
            None => Command::Idle,
        }
    }

    fn record(&mut self, event: TraceEvent) {
        self.trace.push(self.config.trace_events, event);
    }
}

#[cfg(test)]
mod tests;
