//! Somebody who sees what goes in, what is on the wire and what comes back, and holds the exporter to its promises.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use otlp_core::protocol::breaker::BreakerState;
use otlp_core::protocol::export::{Attempt, DropReason, Exporter, Outgoing, Report, RequestId, Verdict};
use otlp_core::stats::Stats;

use super::receiver::{Answer, Travelling, Wish};
use super::{Broken, COOLDOWN, ELAPSED, IN_FLIGHT, Plant, QUEUE, QUEUE_BYTES, Time, nanos, require};

/// What is known about a request, from outside the exporter.
#[derive(Default)]
struct Known {
    records: u32,
    /// Where its bytes are.
    body: usize,
    /// Attempts that a receiver took, wholly or in part.
    taken: u32,
    partial: bool,
    over_limit: bool,
    done: bool,
    /// Each destination asked this request not to come before.
    not_before: [u64; 2],
}

#[derive(Default)]
pub(crate) struct Observer {
    known: BTreeMap<RequestId, Known>,
    on_wire: BTreeSet<Attempt>,
    /// Each destination asked everybody not to come before.
    held_until: [u64; 2],
    /// The breaker of each destination is open until then.
    open_until: [u64; 2],
    is_open: [bool; 2],
    /// The account as an outsider keeps it; `dropped` and `queued` are not visible to one.
    pub(crate) told: Stats,
}

impl Observer {
    pub(crate) fn note_taken(&mut self, id: RequestId, records: u32, body: &Bytes) {
        self.told.accepted += u64::from(records);
        let body = body.as_ptr().addr();
        self.known.insert(id, Known { records, body, ..Known::default() });
    }

    pub(crate) fn note_delivered(&mut self, request: RequestId) {
        self.known.entry(request).or_default().taken += 1;
    }

    pub(crate) fn note_sent(&mut self, outgoing: &Outgoing, time: &Time) -> Result<(), Broken> {
        let Outgoing { attempt, destination, ref body, .. } = *outgoing;
        require(self.on_wire.insert(attempt), "an attempt is on the wire once")?;
        let known = self.known.get(&attempt.request).ok_or("only what was taken is sent")?;
        require(!known.done, "what has ended is not sent again")?;
        require(!known.partial, "a partial success is not sent again")?;
        require(!known.over_limit, "an over-limit answer is not retried")?;
        require(body.is_empty() || known.body == body.as_ptr().addr(), "a request is encoded once")?;
        let (now, place) = (time.counted(), usize::from(destination.0));
        let past = |until: &[u64; 2]| until.get(place).is_some_and(|until| now >= *until);
        require(past(&known.not_before), "no request comes before its Retry-After")?;
        require(past(&self.held_until), "nobody comes before the receiver's Retry-After")?;
        require(past(&self.open_until), "nothing passes an open breaker")
    }

    /// What the receiver asked for, once the exporter has been told.
    pub(crate) fn note_wishes(&mut self, arrived: &Travelling, time: &Time) {
        let known = self.known.entry(arrived.attempt.request).or_default();
        match &arrived.answer {
            Answer::Endless => known.over_limit = true,
            // The only success with this field in front is one that says something.
            Answer::Http { code: 200, body, .. } if body.first() == Some(&0x0a) => known.partial = true,
            _ => {}
        }
        let asked = match arrived.wish {
            Wish::Nothing => return,
            Wish::For(wait) => wait,
            Wish::At(date) => date.duration_since(time.honest()),
        };
        if arrived.answer.is_retryable(arrived.wish) {
            let place = usize::from(arrived.destination.0);
            if let (Some(own), Some(all)) = (known.not_before.get_mut(place), self.held_until.get_mut(place))
            {
                *own = time.counted() + nanos(asked);
                *all = (*all).max(time.counted() + nanos(asked.min(ELAPSED)));
            }
        }
    }

    pub(crate) fn note_verdict(&mut self, request: RequestId, verdict: &Verdict) -> Result<(), Broken> {
        let known = self.known.entry(request).or_default();
        let records = u64::from(known.records);
        known.done = !matches!(verdict, Verdict::Retry { .. });
        match verdict {
            Verdict::Exported { .. } => self.told.exported += records,
            Verdict::Partial { exported, response } => {
                require(u64::from(*exported) + response.rejected == records, "a partial success adds up")?;
                self.told.exported += u64::from(*exported);
                self.told.rejected += response.rejected;
            }
            Verdict::Rejected { .. } => self.told.rejected += records,
            _ => return Ok(()),
        }
        let exported = !matches!(verdict, Verdict::Rejected { .. });
        require(!exported || known.taken > 0, "what counts as exported was taken by the receiver")
    }

    /// Notes which breakers have opened; for how long is not taken from the exporter.
    pub(crate) fn watch_breakers(&mut self, exporter: &Exporter, time: &Time) {
        for status in exporter.destinations() {
            let place = usize::from(status.destination.0);
            let open = matches!(status.breaker, Some(BreakerState::Open { .. }));
            if let (Some(was), Some(until)) = (self.is_open.get_mut(place), self.open_until.get_mut(place)) {
                if open && !*was {
                    *until = time.counted() + nanos(COOLDOWN);
                }
                *was = open;
            }
        }
    }

    /// Everything that holds at every instant.
    pub(crate) fn check(&self, exporter: &Exporter, plant: Plant) -> Result<(), Broken> {
        let stats = stats(exporter, plant);
        require(stats.is_balanced(), "the account is exact")?;
        require(stats.accepted == self.told.accepted, "accepted is what was handed in")?;
        require(stats.exported == self.told.exported, "exported is what the receiver took")?;
        require(stats.rejected == self.told.rejected, "rejected is what the receiver refused")?;
        require(exporter.queued_requests() <= QUEUE, "requests are bounded")?;
        require(exporter.queued_bytes() <= QUEUE_BYTES, "bytes are bounded")?;
        require(exporter.in_flight() <= IN_FLIGHT, "requests in flight are bounded")
    }

    pub(crate) fn check_end(
        &self,
        exporter: &Exporter,
        plant: Plant,
        (before, report): (&Stats, &Report),
    ) -> Result<(), Broken> {
        self.check(exporter, plant)?;
        let (stats, counters) = (stats(exporter, plant), exporter.counters());
        require(stats.queued == 0 && exporter.queued_bytes() == 0, "nothing is left")?;
        require(report.stats == exporter.stats(), "the report is the account")?;
        let flushed = self.told.exported - before.exported;
        require(report.flushed == flushed, "the report says what was flushed")?;
        let by_reason = DropReason::ALL.map(|reason| counters.dropped(reason)).iter().sum();
        require(stats.dropped == by_reason, "every drop has a reason")
    }
}

/// The exporter's account, or what a broken one would say.
fn stats(exporter: &Exporter, plant: Plant) -> Stats {
    let stats = exporter.stats();
    match plant {
        Plant::DropsNotCounted => Stats { dropped: 0, ..stats },
        Plant::RefusalsCountedAsExported => {
            Stats { exported: stats.exported + stats.rejected, rejected: 0, ..stats }
        }
        _ => stats,
    }
}
