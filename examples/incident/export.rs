//! Spans to OTLP requests, and out: drains the taps' outbox, encodes, and hands over to the exporter.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use otlp_core::encode::Encode as _;
use otlp_core::finding::Finding;
use otlp_core::protocol::Signal;
use otlp_core::protocol::export::{Counters, ExporterConfig, TraceEvent};
use otlp_core::record::{LogsRequest, Resource, ResourceLogs, ResourceSpans, Scope, ScopeLogs, ScopeSpans, TracesRequest};
use otlp_core::sink::MemorySink;
use otlp_core::stats::Stats;
use otlp_core::transport::blocking::Client;
use otlp_core::transport::http::{ClientConfig, Compression};
use otlp_core::{Error, ErrorKind};
use otlp_ebpf::TappedSpan;

/// How often the outbox is emptied.
const BATCH: Duration = Duration::from_millis(200);
/// How long the end may take.
const GRACE: Duration = Duration::from_secs(10);

/// What moving the spans came to.
#[derive(Debug)]
pub(crate) struct Exported {
    /// Where every record is.
    pub(crate) stats: Stats,
    /// Tries, retries and drops.
    pub(crate) counters: Counters,
    /// The exporter's own events.
    pub(crate) trace: Vec<TraceEvent>,
    /// Events that found no room in the trace.
    pub(crate) trace_lost: u64,
    /// What the exporter was told to keep to.
    pub(crate) config: ExporterConfig,
    /// Bytes encoded, before compression.
    pub(crate) bytes_encoded: u64,
    /// Requests that were not even taken.
    pub(crate) refused: u64,
}

/// The running exporter.
#[derive(Debug)]
pub(crate) struct Exporting {
    client: Arc<Client>,
    config: ExporterConfig,
    sent: Arc<Sent>,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Sent {
    bytes: AtomicU64,
    refused: AtomicU64,
}

impl Exporting {
    /// Starts sending what gathers in `outbox` to `endpoint`.
    ///
    /// # Errors
    /// Where the client or a thread cannot be started.
    pub(crate) fn start(endpoint: String, seed: u64, outbox: Arc<MemorySink<TappedSpan>>) -> Result<Self, Error> {
        let config = ExporterConfig::default().max_trace_events(1 << 20);
        let client_config = ClientConfig::new(endpoint)
            .exporter(config.clone())
            .compression(Compression::Gzip)
            .jitter_seed(seed);
        let client = Arc::new(Client::start(client_config)?);
        let sent = Arc::new(Sent::default());
        let (stop, stopped) = channel();
        let (batches, counts) = (Arc::clone(&client), Arc::clone(&sent));
        let work = move || {
            loop {
                let is_last = stopped.recv_timeout(BATCH) != Err(RecvTimeoutError::Timeout);
                send(&batches, &counts, outbox.take());
                if is_last {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("batches".to_owned())
            .spawn(work)
            .map_err(|source| Error::new(ErrorKind::Io, "cannot start a thread").with_source(source))?;
        Ok(Self { client, config, sent, stop, thread })
    }

    /// Sends what an analyser found, as an OTLP event.
    pub(crate) fn tell(&self, finding: &Finding) {
        let scope = Scope { name: finding.source.to_owned(), ..Scope::default() };
        let records = vec![finding.to_log_record()];
        let scopes = vec![ScopeLogs { scope, records, ..ScopeLogs::default() }];
        let resource = Resource::service("incident");
        let request = LogsRequest { resources: vec![ResourceLogs { resource, scopes, ..ResourceLogs::default() }] };
        let body = request.encode_to_bytes();
        // Refused only when the queue is full, which its own counters tell.
        let _ = self.client.send(Signal::Logs, body, 1);
    }

    /// Sends what is left and waits until everything is settled.
    pub(crate) fn drain(self) -> Drained {
        // The thread may have ended by itself; then there is nothing to stop.
        let _ = self.stop.send(());
        let _ = self.thread.join();
        // What does not settle in time is dropped, and counted, by the shutdown.
        let _ = self.client.flush(GRACE);
        Drained { client: self.client, config: self.config, sent: self.sent }
    }
}

/// An exporter whose spans are all settled; findings can still be sent.
#[derive(Debug)]
pub(crate) struct Drained {
    client: Arc<Client>,
    config: ExporterConfig,
    sent: Arc<Sent>,
}

fn send(client: &Client, sent: &Sent, spans: Vec<TappedSpan>) {
    if spans.is_empty() {
        return;
    }
    let request = grouped(spans);
    let records = u32::try_from(request.record_count()).unwrap_or(u32::MAX);
    let body = request.encode_to_bytes();
    sent.bytes.fetch_add(u64::try_from(body.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
    if client.send(Signal::Traces, body, records).is_err() {
        sent.refused.fetch_add(u64::from(records), Ordering::Relaxed);
    }
}

/// One request with a group for each service.
fn grouped(spans: Vec<TappedSpan>) -> TracesRequest {
    let mut groups: BTreeMap<Arc<str>, ResourceSpans> = BTreeMap::new();
    for tapped in spans {
        let group = groups.entry(Arc::clone(&tapped.service)).or_insert_with(|| ResourceSpans {
            resource: (*tapped.resource).clone(),
            scopes: vec![ScopeSpans {
                scope: Scope { name: "otlp-ebpf".to_owned(), ..Scope::default() },
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        });
        if let Some(scope) = group.scopes.first_mut() {
            scope.spans.push(tapped.span);
        }
    }
    TracesRequest { resources: groups.into_values().collect() }
}
