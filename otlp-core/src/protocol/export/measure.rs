//! The exporter's figures by name; the table is in [`stats`](crate::stats).

use super::Exporter;
use super::event::DropReason;
use super::ledger::{Counters, ExporterStats};
use crate::protocol::memory::MemoryLimiter;
use crate::stats::{DROPPED, Instrument, Measure, Measurements};

impl Measure for ExporterStats {
    fn measure(&self, into: &mut Measurements) {
        self.account.measure_but_drops(into);
        self.counters.measure(into);
        into.durations(&DURATION, &[], &self.latency);
    }
}

impl Measure for Exporter {
    fn measure(&self, into: &mut Measurements) {
        self.exporter_stats().measure(into);
    }
}

impl Measure for Counters {
    /// Every reason for a drop is there from the beginning, so that its first drop is seen as a rise.
    fn measure(&self, into: &mut Measurements) {
        for reason in DropReason::ALL {
            into.counter(&DROPPED, &[("reason", reason.as_str())], self.dropped(reason));
        }
        into.counter(&BLOCKED, &[], self.blocked);
        into.counter(&MADE, &[], self.attempts);
        into.counter(&RETRIED, &[], self.retries);
        into.counter(&TIMED_OUT, &[], self.timed_out);
        into.counter(&STALE, &[], self.stale);
        into.counter(&DIVERTED, &[], self.diverted);
        into.counter(&PARTIAL, &[], self.partial);
        into.counter(&WARNED, &[], self.warnings);
        into.counter(&UNREAD, &[], self.unread);
        into.counter(&OPENED, &[], self.breaker_opened);
    }
}

impl Measure for MemoryLimiter {
    fn measure(&self, into: &mut Measurements) {
        into.gauge(&MEMORY, &[], self.used_bytes() as u64);
        into.counter(&REFUSED, &[], self.refusals());
    }
}

const BLOCKED: Instrument =
    Instrument::new("otlp.records.blocked", "{record}", "Records given back for want of room.");
const MADE: Instrument =
    Instrument::new("otlp.attempts.made", "{attempt}", "Requests sent, each try counted.");
const RETRIED: Instrument =
    Instrument::new("otlp.attempts.retried", "{attempt}", "Tries after the first of their request.");
const TIMED_OUT: Instrument =
    Instrument::new("otlp.attempts.timed_out", "{attempt}", "Tries given up because their time was over.");
const STALE: Instrument =
    Instrument::new("otlp.attempts.stale", "{attempt}", "Outcomes of tries that had been given up.");
const DIVERTED: Instrument = Instrument::new("otlp.attempts.diverted", "{attempt}", "Tries at a fallback.");
const DURATION: Instrument =
    Instrument::new("otlp.attempt.duration", "s", "Time from sending a request to its outcome.");
const PARTIAL: Instrument =
    Instrument::new("otlp.responses.partial", "{response}", "Successes that refused some records.");
const WARNED: Instrument =
    Instrument::new("otlp.responses.warned", "{response}", "Successes with a warning.");
const UNREAD: Instrument =
    Instrument::new("otlp.responses.unread", "{response}", "Successes whose body could not be read.");
const OPENED: Instrument =
    Instrument::new("otlp.breaker.opened", "{time}", "Times a destination was given up for a while.");
const MEMORY: Instrument =
    Instrument::new("otlp.memory.used", "By", "Bytes held in queues and in flight, shared ones once.");
const REFUSED: Instrument =
    Instrument::new("otlp.memory.refused", "{time}", "Times that more was asked for than was left.");
