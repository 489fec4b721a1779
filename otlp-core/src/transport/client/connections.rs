//! What a client's connections went through.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::config::Observer;
use crate::error::Error;
use crate::stats::{Instrument, Measure, Measurements};

/// What the connections of a client went through. What became of the records is in
/// [`Stats`](crate::stats::Stats).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ConnectionStats {
    /// Connections made, each to the end of its handshakes.
    pub opened: u64,
    /// Connections that could not be made, and those that the receiver ended by an alert of TLS.
    pub failed: u64,
    /// Times that certificates were found renewed and used from there on.
    pub certificates_renewed: u64,
    /// Times that certificate files were found unusable, and the ones before kept.
    pub certificates_refused: u64,
    /// Attempts not made because the [`HeaderSource`](super::HeaderSource) gave what is no header.
    pub headers_refused: u64,
}

impl Measure for ConnectionStats {
    fn measure(&self, into: &mut Measurements) {
        into.counter(&CONNECTIONS, &[("outcome", "opened")], self.opened);
        into.counter(&CONNECTIONS, &[("outcome", "failed")], self.failed);
        into.counter(&CERTIFICATES, &[("outcome", "renewed")], self.certificates_renewed);
        into.counter(&CERTIFICATES, &[("outcome", "refused")], self.certificates_refused);
        into.counter(&HEADERS, &[], self.headers_refused);
    }
}

const CONNECTIONS: Instrument =
    Instrument::new("otlp.client.connections", "{connection}", "Connections begun, by what became of them.");
const CERTIFICATES: Instrument =
    Instrument::new("otlp.client.certificates", "{change}", "Changed certificate files, by their use.");
const HEADERS: Instrument = Instrument::new(
    "otlp.client.headers_refused",
    "{attempt}",
    "Attempts not made for want of valid headers.",
);

/// Counts for all connections of a client, and tells its observer of what went wrong.
#[derive(Default)]
pub(in crate::transport) struct Connections {
    opened: AtomicU64,
    failed: AtomicU64,
    certificates_renewed: AtomicU64,
    certificates_refused: AtomicU64,
    headers_refused: AtomicU64,
    observer: Option<Arc<dyn Observer>>,
}

impl Connections {
    pub(super) fn new(observer: Option<Arc<dyn Observer>>) -> Self {
        Self { observer, ..Self::default() }
    }

    pub(super) fn stats(&self) -> ConnectionStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ConnectionStats {
            opened: read(&self.opened),
            failed: read(&self.failed),
            certificates_renewed: read(&self.certificates_renewed),
            certificates_refused: read(&self.certificates_refused),
            headers_refused: read(&self.headers_refused),
        }
    }

    pub(super) fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::transport) fn failed(&self, error: &Error) {
        self.tell(&self.failed, error);
    }

    pub(super) fn header_refused(&self, error: &Error) {
        self.tell(&self.headers_refused, error);
    }

    #[cfg(feature = "tls")]
    pub(super) fn certificates(&self, change: crate::transport::tls::Change) {
        use crate::transport::tls::Change;

        match change {
            Change::None => {}
            Change::Renewed => drop(self.certificates_renewed.fetch_add(1, Ordering::Relaxed)),
            Change::Refused(error) => self.tell(&self.certificates_refused, &error),
        }
    }

    fn tell(&self, counter: &AtomicU64, error: &Error) {
        counter.fetch_add(1, Ordering::Relaxed);
        if let Some(observer) = &self.observer {
            observer.trouble(error);
        }
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stats().fmt(f)
    }
}
