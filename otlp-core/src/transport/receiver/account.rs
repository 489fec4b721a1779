//! What the receiver counts.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ReceiverLimits;
use super::admission::Admission;
use super::conduct::End;
use super::places::Room;
use super::spare::Spares;
use crate::protocol::memory::MemoryLimiter;
use crate::protocol::status::Class;
use crate::stats::{Instrument, Measure, Measurements, Stats};

/// What a receiver has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ReceiverStats {
    /// Requests, not records: *exported* were answered with 2xx or OK, *rejected* with an error status, *dropped*
    /// ended without an answer because the client went away, *queued* are being read or answered.
    pub requests: Stats,
    /// Records that the handler accepted.
    pub records_accepted: u64,
    /// Records that the handler refused by partial success.
    pub records_rejected: u64,
    /// Requests answered with a partial success.
    pub partial: u64,
    /// Requests answered with one of the statuses that ask the client to come back.
    pub retryable: u64,
    /// Requests whose body passed a limit, before or after decompression.
    pub too_large: u64,
    /// Requests whose body did not come in time, or that waited for a worker beyond their own deadline.
    pub timed_out: u64,
    /// Those of `timed_out` whose body came slower than the least rate.
    pub too_slow: u64,
    /// Requests turned away since the memory of the process was at a mark, or reached the hard one meanwhile.
    pub pressed: u64,
    /// Requests turned away since too many of them, or of their bytes, were in hand.
    pub crowded: u64,
    /// Body bytes of complete requests, as they came over the wire.
    pub body_bytes: u64,
    /// Body bytes held at this moment, decompressed ones and room for more included.
    pub held_bytes: u64,
    /// Bytes of buffers kept at this moment for the next bodies.
    pub spare_bytes: u64,
    /// Connections taken.
    pub connections: u64,
    /// Connections closed at once, being one too many while no other could be closed for them.
    pub connections_refused: u64,
    /// Connections closed to make room for a newcomer.
    pub connections_evicted: u64,
    /// Connections asked to go since no request came for too long.
    pub connections_idle: u64,
    /// Connections asked to go since they were open for long enough.
    pub connections_aged: u64,
    /// Connections that ended by an error: a handshake that failed, not HTTP, a head too large, a reset, or one of the
    /// five that follow.
    pub connections_failed: u64,
    /// Connections cut off that never sent a byte.
    pub connections_silent: u64,
    /// Connections cut off whose head did not come in time.
    pub connections_slow: u64,
    /// Connections cut off that did not read their answers.
    pub connections_stalled: u64,
    /// Connections cut off that sent without end and asked for nothing, or gave up what they asked for.
    pub connections_flooding: u64,
    /// Connections cut off that stayed when they were asked to go.
    pub connections_lingering: u64,
    /// Connections that are open.
    pub connections_open: u64,
    /// Times that certificate or key were found renewed and used from there on.
    pub certificates_renewed: u64,
    /// Times that their files were found unusable, and what was there before kept.
    pub certificates_refused: u64,
}

impl ReceiverStats {
    pub(super) const fn arrived(&mut self, room: Room) {
        match room {
            Room::Free => self.connections += 1,
            Room::Made => {
                self.connections += 1;
                self.connections_evicted += 1;
            }
            Room::Full => self.connections_refused += 1,
        }
    }

    /// A connection ended by an error.
    pub(super) const fn failed(&mut self, why: Option<End>) {
        self.connections_failed += 1;
        match why {
            Some(End::Silent) => self.connections_silent += 1,
            Some(End::SlowHead) => self.connections_slow += 1,
            Some(End::Stalled) => self.connections_stalled += 1,
            Some(End::Flood) => self.connections_flooding += 1,
            Some(End::Lingers) => self.connections_lingering += 1,
            Some(End::Idle | End::Aged) | None => {}
        }
    }

    /// A connection was asked to go.
    pub(super) const fn retired(&mut self, why: End) {
        if matches!(why, End::Aged) {
            self.connections_aged += 1;
        } else {
            self.connections_idle += 1;
        }
    }
}

impl Measure for ReceiverStats {
    fn measure(&self, into: &mut Measurements) {
        for (outcome, requests) in [
            ("answered", self.requests.exported),
            ("refused", self.requests.rejected),
            ("abandoned", self.requests.dropped),
        ] {
            into.counter(&REQUESTS, &[("outcome", outcome)], requests);
        }
        into.gauge(&OPEN_REQUESTS, &[], self.requests.queued);
        for (outcome, records) in [("accepted", self.records_accepted), ("rejected", self.records_rejected)] {
            into.counter(&RECORDS, &[("outcome", outcome)], records);
        }
        let busy = self.retryable.saturating_sub(self.pressed + self.crowded);
        for (reason, requests) in [
            ("busy", busy),
            ("pressed", self.pressed),
            ("crowded", self.crowded),
            ("too_large", self.too_large),
            ("too_slow", self.timed_out),
        ] {
            into.counter(&REFUSED, &[("reason", reason)], requests);
        }
        into.counter(&BODIES, &[], self.body_bytes);
        into.gauge(&HELD, &[], self.held_bytes);
        into.counter(&CONNECTIONS, &[], self.connections);
        let named = [
            ("silent", self.connections_silent),
            ("slow", self.connections_slow),
            ("stalled", self.connections_stalled),
            ("flood", self.connections_flooding),
            ("lingering", self.connections_lingering),
        ];
        let others = self
            .connections_failed
            .saturating_sub(named.iter().map(|(_, connections)| connections).sum::<u64>());
        let whole =
            [("limit", self.connections_refused), ("evicted", self.connections_evicted), ("error", others)];
        for (reason, connections) in whole.into_iter().chain(named) {
            into.counter(&FAILED, &[("reason", reason)], connections);
        }
        for (reason, connections) in [("idle", self.connections_idle), ("age", self.connections_aged)] {
            into.counter(&RETIRED, &[("reason", reason)], connections);
        }
        into.gauge(&OPEN, &[], self.connections_open);
        into.counter(&CERTIFICATES, &[("outcome", "renewed")], self.certificates_renewed);
        into.counter(&CERTIFICATES, &[("outcome", "refused")], self.certificates_refused);
    }
}

const REQUESTS: Instrument =
    Instrument::new("otlp.receiver.requests", "{request}", "Requests that ended, by how they did.");
const OPEN_REQUESTS: Instrument =
    Instrument::new("otlp.receiver.requests_open", "{request}", "Requests being read or answered.");
const RECORDS: Instrument = Instrument::new(
    "otlp.receiver.records",
    "{record}",
    "Records of answered requests, by what became of them.",
);
const REFUSED: Instrument =
    Instrument::new("otlp.receiver.refused", "{request}", "Refused requests, by reason where it is a bound.");
const BODIES: Instrument = Instrument::new(
    "otlp.receiver.body",
    "By",
    "Body bytes of complete requests, as they came over the wire.",
);
const HELD: Instrument = Instrument::new("otlp.receiver.held", "By", "Body bytes held now.");
const CONNECTIONS: Instrument =
    Instrument::new("otlp.receiver.connections", "{connection}", "Connections taken.");
const FAILED: Instrument =
    Instrument::new("otlp.receiver.connections_failed", "{connection}", "Connections closed for a fault.");
const RETIRED: Instrument = Instrument::new(
    "otlp.receiver.connections_retired",
    "{connection}",
    "Connections asked to go, with nothing wrong with them.",
);
const OPEN: Instrument =
    Instrument::new("otlp.receiver.connections_open", "{connection}", "Connections open now.");
const CERTIFICATES: Instrument =
    Instrument::new("otlp.receiver.certificates", "{change}", "Changed certificate files, by their use.");

/// One lock for all: counted a few times a request, and consistent whenever read.
#[derive(Debug)]
pub(super) struct Account {
    stats: Mutex<ReceiverStats>,
    admission: Mutex<Admission>,
    spares: Mutex<Spares>,
    pub(super) memory: Option<MemoryLimiter>,
}

impl Account {
    pub(super) fn new(limits: &ReceiverLimits) -> Self {
        let admission = Admission::new(limits.requests, limits.total_body_bytes);
        Self {
            stats: Mutex::default(),
            admission: Mutex::new(admission),
            spares: Mutex::new(Spares::new(limits.spare_bytes)),
            memory: limits.memory.clone(),
        }
    }

    pub(super) fn stats(&self) -> ReceiverStats {
        let held_bytes = self.admission().bytes() as u64;
        let spare_bytes = self.spares().bytes() as u64;
        ReceiverStats { held_bytes, spare_bytes, ..*self.lock() }
    }

    /// What is in hand. Never locked together with the counts.
    pub(super) fn admission(&self) -> MutexGuard<'_, Admission> {
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Buffers of bodies that are over. Never locked together with the counts.
    pub(super) fn spares(&self) -> MutexGuard<'_, Spares> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, ReceiverStats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that has begun. Counts as dropped unless it is [answered](Self::answered).
pub(super) struct Begun<'a> {
    account: &'a Account,
    open: bool,
}

impl<'a> Begun<'a> {
    pub(super) fn new(account: &'a Account) -> Self {
        let mut stats = account.lock();
        stats.requests.accepted += 1;
        stats.requests.queued += 1;
        Self { account, open: true }
    }

    pub(super) fn answered(mut self, class: Class) {
        self.open = false;
        let mut stats = self.account.lock();
        stats.requests.queued -= 1;
        stats.retryable += u64::from(class == Class::Retryable);
        if class == Class::Success {
            stats.requests.exported += 1;
        } else {
            stats.requests.rejected += 1;
        }
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if self.open {
            let mut stats = self.account.lock();
            stats.requests.queued -= 1;
            stats.requests.dropped += 1;
        }
    }
}
