//! What an outcome means: for the request, for its destination, and for the account.

use std::time::Duration;

use super::event::{DropReason, Outcome, RequestId, Verdict};
use super::trace::{TraceEvent, TraceOutcome};
use super::{Entry, Exporter, Flight, Settled};
use crate::UnixNanos;
use crate::protocol::breaker::{Change, Health};
use crate::protocol::failover::DestinationId;
use crate::protocol::status::Class;
use crate::record::ExportResponse;

impl Exporter {
    pub(super) fn settle(&mut self, settled: Settled, flight: Flight, outcome: Outcome) -> Verdict {
        let Settled { at, id, .. } = settled;
        let Flight { entry, ticket, sent, .. } = flight;
        let (attempt, told) = (entry.attempts, TraceOutcome::from(&outcome));
        self.record(TraceEvent::Responded { request: id, attempt, outcome: told, at });
        self.ledger.time_attempt(at.duration_since(sent));
        let change = self.failover.report(at, ticket, outcome.health());
        let verdict = match outcome {
            Outcome::Accepted => self.export(at, id, &entry, None),
            Outcome::Partial(response) => self.export(at, id, &entry, Some(response)),
            Outcome::Unread => {
                self.ledger.counters.unread += 1;
                self.export(at, id, &entry, None)
            }
            Outcome::Refused { code, retry_after, message } => match code.class(retry_after) {
                Class::Retryable => {
                    self.leave_alone(at, ticket.destination, retry_after);
                    self.retry(settled, entry, retry_after)
                }
                Class::Success | Class::Final => {
                    self.bytes -= entry.body.len();
                    self.ledger.reject(entry.records);
                    self.record(TraceEvent::Rejected { request: id, records: entry.records, at });
                    Verdict::Rejected { records: entry.records, code, message }
                }
            },
            Outcome::TimedOut | Outcome::Disconnected => self.retry(settled, entry, None),
            Outcome::BadAnswer => self.give_up(at, id, &entry, DropReason::BadAnswer),
        };
        self.note(at, ticket.destination, change);
        verdict
    }

    /// The whole receiver asked to be left alone, not this request only. Nobody is believed for longer than a
    /// request lives.
    fn leave_alone(&mut self, at: UnixNanos, destination: DestinationId, asked: Option<Duration>) {
        if let Some(asked) = asked {
            self.failover.hold(destination, at + asked.min(self.config.elapsed));
        }
    }

    fn note(&mut self, at: UnixNanos, destination: DestinationId, change: Option<Change>) {
        match change {
            Some(Change::Opened { until }) => {
                self.ledger.counters.breaker_opened += 1;
                self.record(TraceEvent::BreakerOpened { destination, until, at });
            }
            Some(Change::Closed) => self.record(TraceEvent::BreakerClosed { destination, at }),
            None => {}
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
        self.ledger.counters.partial += u64::from(claimed > 0);
        self.ledger.counters.warnings += u64::from(claimed == 0);
        Verdict::Partial { exported, response: ExportResponse { rejected: rejected.into(), ..response } }
    }

    fn retry(&mut self, settled: Settled, mut entry: Entry, retry_after: Option<Duration>) -> Verdict {
        let Settled { at, jitter, id } = settled;
        // With a fallback the request need not wait for the one that asked: that one alone is held.
        let asked = retry_after.filter(|_| !self.failover.has_fallback()).unwrap_or_default();
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
        self.waiting.insert(id, entry);
        Verdict::Retry { not_before: self.timeline.to_caller(not_before) }
    }

    pub(super) fn give_up(
        &mut self,
        at: UnixNanos,
        id: RequestId,
        entry: &Entry,
        reason: DropReason,
    ) -> Verdict {
        self.bytes -= entry.body.len();
        self.discard(at, id, entry.records, reason);
        Verdict::Dropped { records: entry.records, reason }
    }

    /// Books a request out as dropped; it is in no collection any more.
    pub(super) fn discard(&mut self, at: UnixNanos, request: RequestId, records: u32, reason: DropReason) {
        self.ledger.discard(records, reason);
        self.record(TraceEvent::Dropped { request, records, reason, at });
    }

    /// Attempts whose time is over end as if the driver had said so.
    pub(super) fn give_up_flights(&mut self, at: UnixNanos, jitter: u64) {
        let over = |(&id, flight): (&RequestId, &Flight)| (flight.deadline <= at).then_some(id);
        // One at a time: there are few, and none is over in most calls.
        while let Some(id) = self.flights.iter().find_map(over) {
            let Some(flight) = self.flights.remove(&id) else { return };
            self.ledger.counters.timed_out += 1;
            // Attempts that end in one call are not to come back in one moment.
            let jitter = jitter.wrapping_add(id.0.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            self.settle(Settled { at, jitter, id }, flight, Outcome::TimedOut);
        }
    }

    pub(super) fn expire(&mut self, at: UnixNanos) {
        while let Some((_, id)) = self.waiting.first_expiry().filter(|&(expires, _)| expires <= at) {
            let Some(entry) = self.waiting.take(id) else { return };
            self.give_up(at, id, &entry, DropReason::Expired);
        }
    }
}

impl Outcome {
    /// What it says of the receiver. A receiver that names a wait lives; one that is at fault by its own word,
    /// or cannot be understood, is as good as gone.
    fn health(&self) -> Health {
        match self {
            Self::Accepted | Self::Partial(_) | Self::Unread => Health::Good,
            Self::Refused { code, retry_after, .. } => match code.class(*retry_after) {
                Class::Retryable if retry_after.is_some() => Health::Neutral,
                Class::Retryable => Health::Bad,
                Class::Final if code.is_receivers_fault() => Health::Bad,
                Class::Success | Class::Final => Health::Good,
            },
            Self::TimedOut | Self::Disconnected | Self::BadAnswer => Health::Bad,
        }
    }
}
