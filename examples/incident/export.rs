//! Spans to OTLP requests, and out: drains the outboxes of the capture, encodes, and hands over to the exporter.

use std::collections::BTreeMap;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use otlp_core::encode::Encode as _;
use otlp_core::finding::Finding;
use otlp_core::protocol::Signal;
use otlp_core::protocol::export::{Counters, ExporterConfig, Priority, Request, RequestId, TraceEvent};
use otlp_core::record::{
    KeyValue, LogsRequest, MetricsRequest, Resource, ResourceLogs, ResourceMetrics, ResourceSpans, Scope,
    ScopeLogs, ScopeMetrics, ScopeSpans, TracesRequest,
};
use otlp_core::stats::Stats;
use otlp_core::time::{Clock as _, SystemClock};
use otlp_core::transport::blocking::Client;
use otlp_core::transport::client::{ClientConfig, Compression};
use otlp_core::{Error, ErrorKind, semconv};
use otlp_ebpf::host::Host;
use otlp_ebpf::tap::TappedSpan;

use crate::capture::Outbox;
use crate::shop::ServiceAddress;

/// How often the outbox is emptied.
const BATCH: Duration = Duration::from_millis(200);
/// How often the processes are looked at.
const LOOK: Duration = Duration::from_millis(500);
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
    /// Bytes of the spans as they were encoded, before compression.
    pub(crate) bytes_encoded: u64,
    /// Spans that did not arrive, by service and reason.
    pub(crate) lost: BTreeMap<(String, &'static str), u64>,
}

/// The running exporter.
#[derive(Debug)]
pub(crate) struct Exporting {
    batches: Batches,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

/// The client and the memory of what each request carried.
#[derive(Debug, Clone)]
struct Batches {
    client: Arc<Client>,
    config: ExporterConfig,
    sent: Arc<Mutex<Sent>>,
}

#[derive(Debug, Default)]
struct Sent {
    bytes: u64,
    /// Spans by service, for every request: what a dropped one costs whom.
    requests: BTreeMap<RequestId, BTreeMap<String, u64>>,
    /// Spans of requests that were not taken at all.
    refused: BTreeMap<(String, &'static str), u64>,
}

impl Exporting {
    /// Starts sending what gathers in the outboxes to `endpoint`, and what the processes of `services` hold and use.
    ///
    /// # Errors
    /// Where the client or a thread cannot be started, or a process cannot be read.
    pub(crate) fn start(
        endpoint: String,
        seed: u64,
        outboxes: Vec<Arc<Outbox>>,
        services: &[ServiceAddress],
    ) -> Result<Self, Error> {
        let config = ExporterConfig::default().max_trace_events(1 << 20);
        let client_config = ClientConfig::new(endpoint)
            .exporter(config.clone())
            .compression(Compression::Gzip)
            .jitter_seed(seed);
        let client = Arc::new(Client::start(client_config)?);
        let batches = Batches { client, config, sent: Arc::default() };
        let (stop, stopped) = channel();
        let own = batches.clone();
        let mut processes = Processes::of(services)?;
        let work = move || {
            loop {
                let is_last = stopped.recv_timeout(BATCH) != Err(RecvTimeoutError::Timeout);
                own.send(outboxes.iter().flat_map(|outbox| outbox.take()).collect());
                if let Some(request) = processes.look() {
                    own.measured(&request);
                }
                if is_last {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("batches".to_owned())
            .spawn(work)
            .map_err(|source| Error::new(ErrorKind::Io, "cannot start a thread").with_source(source))?;
        Ok(Self { batches, stop, thread })
    }

    /// Sends what is left and waits until everything is settled.
    pub(crate) fn drain(self) -> Drained {
        // The thread may have ended by itself; then there is nothing to stop.
        let _ = self.stop.send(());
        let _ = self.thread.join();
        // What does not settle in time is dropped, and counted, when the exporter is closed.
        let _ = self.batches.client.flush(GRACE);
        Drained(self.batches)
    }
}

/// An exporter whose spans are settled; findings can still be sent.
#[derive(Debug)]
pub(crate) struct Drained(Batches);

impl Drained {
    /// Sends what the analysers found, as OTLP events.
    pub(crate) fn tell(&self, findings: &[Finding]) {
        let group = |finding: &Finding| ScopeLogs {
            scope: Scope { name: finding.source.to_owned(), ..Scope::default() },
            records: vec![finding.to_log_record()],
            ..ScopeLogs::default()
        };
        let scopes = findings.iter().map(group).collect();
        let resource = Resource::service("incident");
        let request =
            LogsRequest { resources: vec![ResourceLogs { resource, scopes, ..ResourceLogs::default() }] };
        let records = u32::try_from(findings.len()).unwrap_or(u32::MAX);
        // Refused only when the queue is full, which the exporter's own counters tell.
        let _ = self.0.client.send(Signal::Logs, request.encode_to_bytes(), records);
    }

    /// Settles the findings too, and closes the account.
    pub(crate) fn close(self) -> Exported {
        let Batches { client, config, sent } = self.0;
        let stats = client.shutdown(GRACE).stats;
        let counters = client.counters();
        let (trace, trace_lost) = client.trace();
        let sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lost = sent.refused.clone();
        for event in &trace {
            let (request, reason) = match event {
                TraceEvent::Dropped { request, reason, .. } => (request, reason.as_str()),
                TraceEvent::Rejected { request, .. } => (request, "refused by the receiver"),
                _ => continue,
            };
            for (service, count) in sent.requests.get(request).into_iter().flatten() {
                *lost.entry((service.clone(), reason)).or_default() += count;
            }
        }
        Exported { stats, counters, trace, trace_lost, config, bytes_encoded: sent.bytes, lost }
    }
}

/// The processes of the services, looked at from outside.
struct Processes {
    host: Host,
    /// By process number.
    names: BTreeMap<u32, &'static str>,
    looked: Instant,
}

impl Processes {
    fn of(services: &[ServiceAddress]) -> Result<Self, Error> {
        let mut host = Host::new();
        services.iter().try_for_each(|service| host.watch(service.pid))?;
        let names = services.iter().map(|service| (service.pid, service.role.name())).collect();
        Ok(Self { host, names, looked: Instant::now() })
    }

    /// What they hold and use, when it is time to look again.
    fn look(&mut self) -> Option<MetricsRequest> {
        if self.looked.elapsed() < LOOK {
            return None;
        }
        self.looked = Instant::now();
        let group = |process: otlp_ebpf::host::ProcessReading| {
            let mut resource = process.resource;
            let name = self.names.get(&process.pid).copied();
            resource.attributes.extend(name.map(|name| KeyValue::new(semconv::SERVICE_NAME, name)));
            let scope = Scope { name: "otlp-ebpf".to_owned(), ..Scope::default() };
            let scopes = vec![ScopeMetrics { scope, metrics: process.metrics, ..ScopeMetrics::default() }];
            ResourceMetrics { resource, scopes, ..ResourceMetrics::default() }
        };
        let reading = self.host.read(SystemClock.now());
        Some(MetricsRequest { resources: reading.processes.into_iter().map(group).collect() })
    }
}

impl Batches {
    fn measured(&self, request: &MetricsRequest) {
        let points = u32::try_from(request.record_count()).unwrap_or(u32::MAX);
        // Refused only when the queue is full, which the exporter's own counters tell.
        let _ = self.client.send(Signal::Metrics, request.encode_to_bytes(), points);
    }

    fn send(&self, spans: Vec<TappedSpan>) {
        if spans.is_empty() {
            return;
        }
        let mut by_service: BTreeMap<String, u64> = BTreeMap::new();
        for tapped in &spans {
            *by_service.entry(tapped.service.to_string()).or_default() += 1;
        }
        let failed = spans.iter().any(|tapped| tapped.span.is_error());
        let priority = if failed { Priority::High } else { Priority::Normal };
        let request = grouped(spans);
        let records = u32::try_from(request.record_count()).unwrap_or(u32::MAX);
        let body = request.encode_to_bytes();
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.bytes += u64::try_from(body.len()).unwrap_or(u64::MAX);
        // Were the queue full, batches without an error would go first.
        let request = Request::new(Signal::Traces, body, records).priority(priority);
        if let Ok(request) = self.client.submit(request) {
            sent.requests.insert(request, by_service);
            return;
        }
        for (service, count) in by_service {
            *sent.refused.entry((service, "not taken by the exporter")).or_default() += count;
        }
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
