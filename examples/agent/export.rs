//! Spans to requests, and out.

use std::fmt;
use std::time::{Duration, Instant};

use otlp_core::protocol::Signal;
use otlp_core::stats::Stats;
use otlp_core::transport::blocking::Client;
use otlp_core::wire::Writer;
use otlp_ebpf::TracesEncoder;
use otlp_ebpf::capture::CapturedSpan;

/// Spans of a request at most, and how long the first of them waits.
const BATCH: usize = 2_048;
const DELAY: Duration = Duration::from_secs(1);
/// How long the end may take.
const GRACE: Duration = Duration::from_secs(5);

/// Gathers spans, and sends them.
#[derive(Debug)]
pub(crate) struct Outgoing {
    client: Client,
    encoder: TracesEncoder,
    due: Option<Instant>,
    /// Spans of requests that the client had no room for.
    refused: u64,
}

/// Where every span is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    /// Of those that the client took.
    pub(crate) stats: Stats,
    /// Those that it did not.
    pub(crate) refused: u64,
}

impl Outgoing {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, encoder: TracesEncoder::default(), due: None, refused: 0 }
    }

    pub(crate) fn add(&mut self, captured: &CapturedSpan) {
        self.encoder.add(captured.service.resource(), &captured.span);
        if self.encoder.len() >= BATCH {
            self.send();
        }
    }

    /// Sends what has waited for long enough.
    pub(crate) fn send_when_due(&mut self) {
        if self.encoder.is_empty() {
            return;
        }
        let now = Instant::now();
        if now >= *self.due.get_or_insert(now + DELAY) {
            self.send();
        }
    }

    /// Sends what is left, waits until it is settled, and closes the account.
    pub(crate) fn finish(mut self) -> Sent {
        if !self.encoder.is_empty() {
            self.send();
        }
        // What does not settle in time is dropped, and counted, when the client is shut down.
        let _ = self.client.flush(GRACE);
        Sent { stats: self.client.shutdown(GRACE).stats, refused: self.refused }
    }

    fn send(&mut self) {
        let spans = u32::try_from(self.encoder.len()).unwrap_or(u32::MAX);
        let mut request = Writer::new();
        self.encoder.finish(&mut request);
        self.due = None;
        let body = request.into_bytes();
        if self.client.send(Signal::Traces, body, spans).is_err() {
            self.refused += u64::from(spans);
        }
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stats { exported, rejected, dropped, .. } = self.stats;
        let Self { refused, .. } = self;
        write!(
            f,
            "{exported} spans exported, {rejected} rejected, {dropped} dropped, {refused} found the queue full"
        )
    }
}
