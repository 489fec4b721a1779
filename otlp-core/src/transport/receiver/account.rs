//! What the receiver counts.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::body::Held;
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
    /// Requests whose body did not come in time.
    pub timed_out: u64,
    /// Body bytes of complete requests, as they came over the wire.
    pub body_bytes: u64,
    /// Body bytes held at this moment, decompressed ones included.
    pub held_bytes: u64,
    /// Connections taken.
    pub connections: u64,
    /// Connections closed at once, being one too many.
    pub connections_refused: u64,
    /// Connections that ended by an error: a handshake that failed, not HTTP, a head too large or too slow, or a reset.
    pub connections_failed: u64,
    /// Connections that are open.
    pub connections_open: u64,
    /// Times that certificate or key were found renewed and used from there on.
    pub certificates_renewed: u64,
    /// Times that their files were found unusable, and what was there before kept.
    pub certificates_refused: u64,
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
        for (reason, requests) in
            [("busy", self.retryable), ("too_large", self.too_large), ("too_slow", self.timed_out)]
        {
            into.counter(&REFUSED, &[("reason", reason)], requests);
        }
        into.counter(&BODIES, &[], self.body_bytes);
        into.gauge(&HELD, &[], self.held_bytes);
        into.counter(&CONNECTIONS, &[], self.connections);
        into.counter(&FAILED, &[("reason", "limit")], self.connections_refused);
        into.counter(&FAILED, &[("reason", "error")], self.connections_failed);
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
const OPEN: Instrument =
    Instrument::new("otlp.receiver.connections_open", "{connection}", "Connections open now.");
const CERTIFICATES: Instrument =
    Instrument::new("otlp.receiver.certificates", "{change}", "Changed certificate files, by their use.");

/// One lock for all: counted a few times a request, and consistent whenever read.
#[derive(Debug, Default)]
pub(super) struct Account {
    stats: Mutex<ReceiverStats>,
    pub(super) held: Held,
}

impl Account {
    pub(super) fn stats(&self) -> ReceiverStats {
        ReceiverStats { held_bytes: self.held.bytes(), ..*self.lock() }
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
