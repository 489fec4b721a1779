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
//!
//! let mut exporter = ExporterConfig::default().build()?;
//! let now = UnixNanos::from_secs(1_700_000_000);
//! let request = Request { signal: Signal::Traces, body: Bytes::from_static(b"..."), records: 3 };
//! exporter.enqueue(now, request)?;
//! let Command::Send(outgoing) = exporter.poll(now, 0) else { return Err("nothing to send".into()) };
//! let busy = Outcome::Refused { code: 503, retry_after: None, message: String::new() };
//! let verdict = exporter.on_outcome(now, 0, outgoing.attempt, busy);
//! assert!(matches!(verdict, Verdict::Retry { not_before } if not_before > now));
//! assert_eq!(exporter.stats().queued, 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod event;
mod ledger;
mod timeline;
mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use self::ledger::Ledger;
use self::timeline::Timeline;
use self::trace::Trace;
use super::Signal;
use super::status::{Class, classify};
use crate::UnixNanos;
use crate::record::ExportResponse;
use crate::stats::Stats;

pub use config::{Bounds, DropPolicy, ExporterConfig};
pub use event::{Attempt, Command, DropReason, Outcome, Outgoing, Report, Request, RequestId, Verdict};
pub use ledger::Counters;
pub use trace::{TraceEvent, TraceOutcome};

/// Decides what is sent when, and accounts for every record. Made by [`ExporterConfig::build`].
///
/// Its state is integers and shared bytes. Every call costs O(log queued). With the feature `model` it
/// can be cloned, compared and hashed, for a model checker to explore.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct Exporter {
    config: ExporterConfig,
    /// Requests that wait for their first or next attempt. Ids ascend with the time of arrival, so the
    /// first is the oldest and expires first.
    waiting: BTreeMap<RequestId, Entry>,
    /// The same requests by when they may be sent.
    due: BTreeSet<(UnixNanos, RequestId)>,
    flights: BTreeMap<RequestId, Flight>,
    /// Bytes of `waiting` and `flights`.
    bytes: usize,
    /// The receiver asked to be left alone until then.
    held_until: UnixNanos,
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
    /// Attempts made.
    attempts: u32,
    not_before: UnixNanos,
    expires: UnixNanos,
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Flight {
    entry: Entry,
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
            config,
            waiting: BTreeMap::new(),
            due: BTreeSet::new(),
            flights: BTreeMap::new(),
            bytes: 0,
            held_until: UnixNanos::ZERO,
            timeline: Timeline::default(),
            last_id: 0,
            phase: Phase::Open,
            ledger: Ledger::default(),
            trace: Trace::default(),
        }
    }

    /// Takes a request into the queue. Its bytes are shared, not copied.
    ///
    /// # Errors
    /// The reason for which the request was dropped at once; its records are counted as accepted and
    /// dropped.
    pub fn enqueue(&mut self, now: UnixNanos, request: Request) -> Result<RequestId, DropReason> {
        let at = self.timeline.advance(now);
        self.last_id += 1;
        let id = RequestId(self.last_id);
        self.ledger.take(request.records);
        self.record(TraceEvent::Enqueued { request: id, records: request.records, at });
        if let Err(reason) = self.make_room(at, request.body.len()) {
            self.discard(at, id, request.records, reason);
            return Err(reason);
        }
        self.bytes += request.body.len();
        let entry = Entry {
            signal: request.signal,
            body: request.body,
            records: request.records,
            attempts: 0,
            not_before: at,
            expires: at + self.config.elapsed,
        };
        self.wait(id, entry);
        Ok(id)
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
        self.settle(Settled { at, jitter, id: attempt.request }, flight.entry, outcome)
    }

    /// Begins the shutdown: nothing more is taken, what is queued is still sent, and what is left at
    /// `deadline` is dropped and counted. A retry that would come after the deadline is dropped at once.
    /// [`poll`](Self::poll) says [`Command::Finished`] when all is done.
    ///
    /// Called again, it can only bring the deadline forward.
    pub fn shutdown(&mut self, now: UnixNanos, deadline: UnixNanos) {
        let at = self.timeline.advance(now);
        // From the caller's clock to the exporter's own.
        let deadline = at + deadline.duration_since(now);
        match &mut self.phase {
            Phase::Open => {
                self.phase = Phase::Draining { deadline, before: self.ledger.stats };
                self.record(TraceEvent::ShutdownBegan { deadline, at });
            }
            Phase::Draining { deadline: earlier, .. } => *earlier = deadline.min(*earlier),
            Phase::Finished { .. } => {}
        }
        self.drop_hopeless(at);
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
    /// Finds room for a request of `len` bytes, dropping older ones where the policy says so.
    fn make_room(&mut self, at: UnixNanos, len: usize) -> Result<(), DropReason> {
        if self.phase != Phase::Open {
            return Err(DropReason::Closed);
        }
        if len > self.config.request_bytes {
            return Err(DropReason::TooLarge);
        }
        if self.config.policy == DropPolicy::Oldest && self.fits_without_waiting(len) {
            while !self.fits(self.queued_requests(), self.bytes, len) {
                let Some((id, entry)) = self.waiting.pop_first() else { break };
                self.due.remove(&(entry.not_before, id));
                self.bytes -= entry.body.len();
                self.discard(at, id, entry.records, DropReason::QueueFull);
            }
        }
        let room = self.fits(self.queued_requests(), self.bytes, len);
        if room { Ok(()) } else { Err(DropReason::QueueFull) }
    }

    /// True where dropping all that waits would make room: else nothing is dropped in vain.
    fn fits_without_waiting(&self, len: usize) -> bool {
        let flying = self.flights.values().map(|flight| flight.entry.body.len()).sum();
        self.fits(self.flights.len(), flying, len)
    }

    const fn fits(&self, requests: usize, bytes: usize, len: usize) -> bool {
        requests < self.config.queue_requests && bytes.saturating_add(len) <= self.config.queue_bytes
    }

    fn wait(&mut self, id: RequestId, entry: Entry) {
        self.due.insert((entry.not_before, id));
        self.waiting.insert(id, entry);
    }

    fn next_outgoing(&mut self, at: UnixNanos) -> Option<Outgoing> {
        if self.flights.len() >= self.config.in_flight || at < self.held_until {
            return None;
        }
        let &(not_before, id) = self.due.first()?;
        if at < not_before {
            return None;
        }
        self.due.pop_first();
        let mut entry = self.waiting.remove(&id)?;
        entry.attempts = entry.attempts.saturating_add(1);
        self.ledger.counters.attempts += 1;
        self.ledger.counters.retries += u64::from(entry.attempts > 1);
        self.record(TraceEvent::Sent { request: id, attempt: entry.attempts, at });
        let deadline = (at + self.config.timeout).min(entry.expires).min(self.drain_deadline());
        let outgoing = Outgoing {
            attempt: Attempt { request: id, number: entry.attempts },
            signal: entry.signal,
            body: entry.body.clone(),
            deadline: self.timeline.to_caller(deadline),
        };
        self.flights.insert(id, Flight { entry, deadline });
        Some(outgoing)
    }

    fn next_wake(&self) -> Command {
        let flights = self.flights.values().map(|flight| flight.deadline);
        let expiry = self.waiting.values().next().map(|entry| entry.expires);
        let send = self.due.first().filter(|_| self.flights.len() < self.config.in_flight);
        let send = send.map(|&(not_before, _)| not_before.max(self.held_until));
        match flights.chain(expiry).chain(send).min() {
            Some(wake) => Command::WaitUntil(self.timeline.to_caller(wake.min(self.drain_deadline()))),
            None => Command::Idle,
        }
    }

    fn settle(&mut self, settled: Settled, entry: Entry, outcome: Outcome) -> Verdict {
        let Settled { at, id, .. } = settled;
        self.record(TraceEvent::Responded {
            request: id,
            attempt: entry.attempts,
            outcome: TraceOutcome::from(&outcome),
            at,
        });
        match outcome {
            Outcome::Accepted => self.export(at, id, &entry, None),
            Outcome::Partial(response) => self.export(at, id, &entry, Some(response)),
            Outcome::Unread => {
                self.ledger.counters.unread += 1;
                self.export(at, id, &entry, None)
            }
            Outcome::Refused { code, retry_after, message } => match classify(code) {
                Class::Retryable => self.retry(settled, entry, retry_after),
                Class::Success | Class::Final => {
                    self.bytes -= entry.body.len();
                    self.ledger.reject(entry.records);
                    self.record(TraceEvent::Rejected { request: id, records: entry.records, at });
                    Verdict::Rejected { records: entry.records, code, message }
                }
            },
            Outcome::TimedOut | Outcome::Disconnected => self.retry(settled, entry, None),
            Outcome::BadAnswer => self.give_up(at, id, &entry, DropReason::BadAnswer),
        }
    }

    fn export(
        &mut self,
        at: UnixNanos,
        id: RequestId,
        entry: &Entry,
        response: Option<ExportResponse>,
    ) -> Verdict {
        // A receiver cannot refuse more than it was sent.
        let claimed = response.as_ref().map_or(0, |response| response.rejected);
        let rejected = u32::try_from(claimed).unwrap_or(u32::MAX).min(entry.records);
        let exported = entry.records - rejected;
        self.bytes -= entry.body.len();
        self.ledger.export(exported);
        self.ledger.reject(rejected);
        self.record(TraceEvent::Exported { request: id, records: exported, rejected, at });
        let Some(response) = response else { return Verdict::Exported { records: exported } };
        self.ledger.counters.partial += 1;
        Verdict::Partial { exported, response: ExportResponse { rejected: rejected.into(), ..response } }
    }

    fn retry(&mut self, settled: Settled, mut entry: Entry, retry_after: Option<Duration>) -> Verdict {
        let Settled { at, jitter, id } = settled;
        let asked = retry_after.unwrap_or_default();
        // The whole receiver asked to be left alone, not this request only. Nobody is believed for longer
        // than a request lives.
        self.held_until = self.held_until.max(at + asked.min(self.config.elapsed));
        let not_before = at + self.config.backoff.wait(entry.attempts, jitter).max(asked);
        if entry.attempts >= self.config.attempts {
            return self.give_up(at, id, &entry, DropReason::Attempts);
        }
        if not_before >= entry.expires {
            return self.give_up(at, id, &entry, DropReason::Expired);
        }
        if not_before >= self.drain_deadline() {
            return self.give_up(at, id, &entry, DropReason::Shutdown);
        }
        self.record(TraceEvent::RetryScheduled { request: id, attempt: entry.attempts, not_before, at });
        entry.not_before = not_before;
        self.wait(id, entry);
        Verdict::Retry { not_before: self.timeline.to_caller(not_before) }
    }

    fn give_up(&mut self, at: UnixNanos, id: RequestId, entry: &Entry, reason: DropReason) -> Verdict {
        self.bytes -= entry.body.len();
        self.discard(at, id, entry.records, reason);
        Verdict::Dropped { records: entry.records, reason }
    }

    /// Books a request out as dropped; it is in no collection any more.
    fn discard(&mut self, at: UnixNanos, request: RequestId, records: u32, reason: DropReason) {
        self.ledger.discard(records, reason);
        self.record(TraceEvent::Dropped { request, records, reason, at });
    }

    /// Attempts whose time is over end as if the driver had said so.
    fn give_up_flights(&mut self, at: UnixNanos, jitter: u64) {
        let over = |(&id, flight): (&RequestId, &Flight)| (flight.deadline <= at).then_some(id);
        // One at a time: there are few, and none is over in most calls.
        while let Some(id) = self.flights.iter().find_map(over) {
            let Some(flight) = self.flights.remove(&id) else { return };
            self.ledger.counters.timed_out += 1;
            // Attempts that end in one call are not to come back in one moment.
            let jitter = jitter.wrapping_add(id.0.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            self.settle(Settled { at, jitter, id }, flight.entry, Outcome::TimedOut);
        }
    }

    fn expire(&mut self, at: UnixNanos) {
        while self.waiting.first_key_value().is_some_and(|(_, entry)| entry.expires <= at) {
            let Some((id, entry)) = self.waiting.pop_first() else { return };
            self.due.remove(&(entry.not_before, id));
            self.give_up(at, id, &entry, DropReason::Expired);
        }
    }

    /// While shutting down: drops what cannot be sent in time, and ends when nothing is left.
    fn end_drain(&mut self, at: UnixNanos) {
        let Phase::Draining { deadline, before } = self.phase else { return };
        self.drop_hopeless(at);
        if deadline <= at {
            while let Some((id, flight)) = self.flights.pop_first() {
                self.give_up(at, id, &flight.entry, DropReason::Shutdown);
            }
        }
        if self.queued_requests() == 0 {
            self.phase = Phase::Finished { report: self.ledger.report_since(&before) };
            self.record(TraceEvent::Finished { at });
        }
    }

    /// While shutting down: drops the requests that may not be sent before the deadline.
    fn drop_hopeless(&mut self, at: UnixNanos) {
        let Phase::Draining { deadline, .. } = self.phase else { return };
        let all = deadline <= at || deadline <= self.held_until;
        while let Some(&(not_before, id)) = self.due.last() {
            if !all && not_before < deadline {
                return;
            }
            self.due.pop_last();
            if let Some(entry) = self.waiting.remove(&id) {
                self.give_up(at, id, &entry, DropReason::Shutdown);
            }
        }
    }

    /// The end of time, unless a shutdown set an earlier one.
    const fn drain_deadline(&self) -> UnixNanos {
        match self.phase {
            Phase::Draining { deadline, .. } => deadline,
            Phase::Open | Phase::Finished { .. } => UnixNanos(u64::MAX),
        }
    }

    fn record(&mut self, event: TraceEvent) {
        self.trace.push(self.config.trace_events, event);
    }
}

#[cfg(test)]
mod tests;
