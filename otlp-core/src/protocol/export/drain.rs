//! The shutdown: what is still sent, what is dropped, and when it is over.

use super::event::DropReason;
use super::trace::TraceEvent;
use super::{Exporter, Phase};
use crate::UnixNanos;

impl Exporter {
    /// Begins the shutdown: nothing more is taken, what is queued is still sent, and what is left at
    /// `deadline` is dropped and counted. What cannot be sent before the deadline is dropped at once.
    /// [`poll`](Self::poll) says [`Command::Finished`](super::Command::Finished) when all is done.
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
            Phase::Draining { deadline: later, .. } if deadline < *later => {
                *later = deadline;
                self.record(TraceEvent::ShutdownAdvanced { deadline, at });
            }
            Phase::Draining { .. } | Phase::Finished { .. } => {}
        }
        self.drop_hopeless(at);
    }

    /// While shutting down: drops what cannot be sent in time, and ends when nothing is left.
    pub(super) fn end_drain(&mut self, at: UnixNanos) {
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
        let nowhere = self.failover.ready_at().is_some_and(|ready| deadline <= ready);
        let all = deadline <= at || nowhere;
        while let Some((not_before, id)) = self.waiting.last_due() {
            if !all && not_before < deadline {
                return;
            }
            let Some(entry) = self.waiting.take(id) else { return };
            self.give_up(at, id, &entry, DropReason::Shutdown);
        }
    }

    /// The end of time, unless a shutdown set an earlier one.
    pub(super) const fn drain_deadline(&self) -> UnixNanos {
        match self.phase {
            Phase::Draining { deadline, .. } => deadline,
            Phase::Open | Phase::Finished { .. } => UnixNanos(u64::MAX),
        }
    }
}
