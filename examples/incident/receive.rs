//! The receiving end: takes OTLP over HTTP, keeps the account of every span, and hands the spans on.
//!
//! It also plays the two tricks that real receivers play: once it is busy, and once it refuses part of a
//! request. What it took is appended to `otlp/traces.binpb`: requests end to end are themselves one valid
//! `TracesData` message.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use otlp_core::change::Change;
use otlp_core::protocol::Signal;
use otlp_core::record::{LogsRequest, MetricData, MetricsRequest, NumberValue, Span, TracesRequest};
use otlp_core::transport::receiver::{Answer, Handler};
use otlp_core::view::{LogsView, MetricsView, TracesView};
use otlp_core::{DecodeError, Error, ErrorKind, Limits, SpanId, TraceId, UnixNanos};

use crate::analysis::News;
use crate::figure;

/// The metrics of the semantic conventions that say what a process holds, and how long it was on processors.
const MEMORY: &str = "process.memory.usage";
const CPU: &str = "process.cpu.time";
/// The traces request, counted from 1, that is answered with "busy".
const BUSY_AT: u64 = 6;
/// How long the exporter is asked to wait then.
const BUSY_FOR: Duration = Duration::from_secs(1);
/// The traces request of which part is refused.
const PARTIAL_AT: u64 = 14;
/// How many spans are refused then.
const PARTIAL_SPANS: usize = 3;

/// A span and the service it ran in.
pub(crate) type ServiceSpan = (Arc<str>, Span);

/// What the process of a service held at a time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Held {
    /// The service.
    pub(crate) service: Arc<str>,
    /// When.
    pub(crate) time: UnixNanos,
    /// Resident memory.
    pub(crate) bytes: f64,
}

/// How long the process of a service was on processors since it began.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Used {
    /// The service.
    pub(crate) service: Arc<str>,
    /// When.
    pub(crate) time: UnixNanos,
    /// Seconds, of all modes together.
    pub(crate) cpu_secs: f64,
}

/// What the receiver did with the spans.
#[derive(Debug, Clone, Default)]
pub(crate) struct Received {
    /// Spans taken, by service.
    pub(crate) accepted: BTreeMap<String, u64>,
    /// Spans refused by partial success, by service.
    pub(crate) rejected: BTreeMap<String, u64>,
    /// Spans that had been taken before.
    pub(crate) duplicates: u64,
    /// Spans that could not be decoded.
    pub(crate) undecodable: u64,
    /// Log records taken: findings that came back over the wire.
    pub(crate) log_records: u64,
    /// Metric points taken.
    pub(crate) points: u64,
    /// Requests answered with "busy" on purpose.
    pub(crate) busy: u64,
    /// Requests refused in part on purpose.
    pub(crate) partial: u64,
    /// Requests turned away because the analysis lagged behind.
    pub(crate) lagging: u64,
}

/// The handler behind the receiver's socket. Cheap to clone; clones share one account.
#[derive(Debug, Clone)]
pub(crate) struct Intake {
    inner: Arc<Mutex<Inner>>,
    news: SyncSender<News>,
    limits: Arc<Limits>,
}

#[derive(Debug)]
struct Inner {
    received: Received,
    seen: HashSet<(TraceId, SpanId)>,
    requests: u64,
    raw: File,
}

impl Intake {
    /// An intake that hands spans to `news` and writes what it took below `out`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where the raw file cannot be made.
    pub(crate) fn create(out: &Path, news: SyncSender<News>) -> Result<Self, Error> {
        let path = out.join("otlp").join("traces.binpb");
        let raw = File::create(&path).map_err(|source| {
            Error::new(ErrorKind::Io, format!("cannot write {}", path.display())).with_source(source)
        })?;
        let inner = Inner { received: Received::default(), seen: HashSet::new(), requests: 0, raw };
        Ok(Self { inner: Arc::new(Mutex::new(inner)), news, limits: Arc::new(Limits::default()) })
    }

    /// The account so far.
    pub(crate) fn received(&self) -> Received {
        self.lock().received.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn traces(&self, body: &[u8]) -> Result<Answer, DecodeError> {
        let mut undecodable = 0_u64;
        let view = TracesView::parse(body, &self.limits)?;
        let request = view.to_record_rejecting(|_| undecodable += 1)?;
        let mut inner = self.lock();
        inner.requests += 1;
        if inner.requests == BUSY_AT {
            inner.received.busy += 1;
            return Ok(Answer::busy(BUSY_FOR));
        }
        let refuse = if inner.requests == PARTIAL_AT { PARTIAL_SPANS } else { 0 };
        let mut spans = spans_of(request);
        let refused: Vec<ServiceSpan> = spans.drain(..refuse.min(spans.len())).collect();
        match self.news.try_send(News::Spans(spans.clone())) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                inner.received.lagging += 1;
                return Ok(Answer::busy(BUSY_FOR));
            }
            // The analysis has ended; the account of the spans goes on.
            Err(TrySendError::Disconnected(_)) => {}
        }
        // A raw file that cannot be written costs a convenience, not the account.
        let _ = inner.raw.write_all(body);
        Ok(inner.take(&spans, &refused, undecodable))
    }

    fn metrics(&self, body: &[u8]) -> Result<Answer, DecodeError> {
        let view = MetricsView::parse(body, &self.limits)?;
        let request = view.to_record_rejecting(|_| ())?;
        let points = u64::try_from(request.record_count()).unwrap_or(u64::MAX);
        match self.news.try_send(News::Measured(held(&request), used(&request))) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => {
                self.lock().received.lagging += 1;
                return Ok(Answer::busy(BUSY_FOR));
            }
        }
        self.lock().received.points += points;
        Ok(Answer::accepted(points))
    }

    fn logs(&self, body: &[u8]) -> Result<Answer, DecodeError> {
        let view = LogsView::parse(body, &self.limits)?;
        let request = view.to_record_rejecting(|_| ())?;
        let records = u64::try_from(request.record_count()).unwrap_or(u64::MAX);
        let changes = changes(&request);
        if !changes.is_empty()
            && let Err(TrySendError::Full(_)) = self.news.try_send(News::Changes(changes))
        {
            self.lock().received.lagging += 1;
            return Ok(Answer::busy(BUSY_FOR));
        }
        self.lock().received.log_records += records;
        Ok(Answer::accepted(records))
    }
}

impl Handler for Intake {
    fn handle(&self, signal: Signal, body: &[u8]) -> Answer {
        let answer = match signal {
            Signal::Traces => self.traces(body),
            Signal::Logs => self.logs(body),
            Signal::Metrics => self.metrics(body),
            other => {
                let message = format!("{other} are not taken here");
                Ok(Answer::Refuse { status: 404, retry_after: None, message })
            }
        };
        answer.unwrap_or_else(Answer::from)
    }
}

impl Inner {
    fn take(&mut self, spans: &[ServiceSpan], refused: &[ServiceSpan], undecodable: u64) -> Answer {
        for (service, span) in spans {
            *self.received.accepted.entry(service.to_string()).or_default() += 1;
            self.received.duplicates += u64::from(!self.seen.insert((span.trace_id, span.span_id)));
        }
        for (service, _) in refused {
            *self.received.rejected.entry(service.to_string()).or_default() += 1;
        }
        self.received.undecodable += undecodable;
        let rejected = u64::try_from(refused.len()).unwrap_or(u64::MAX).saturating_add(undecodable);
        let records = u64::try_from(spans.len()).unwrap_or(u64::MAX);
        if rejected == 0 {
            return Answer::accepted(records);
        }
        self.received.partial += u64::from(!refused.is_empty());
        Answer::partial(
            records,
            rejected,
            format!("{} over quota, {undecodable} not readable", refused.len()),
        )
    }
}

/// The memory of each process among the metrics.
fn held(request: &MetricsRequest) -> Vec<Held> {
    let mut all = Vec::new();
    for (service, time, bytes) in sums(request, MEMORY) {
        all.push(Held { service, time, bytes });
    }
    all
}

/// The time on processors of each process among the metrics: one point a mode, of which all are summed up.
fn used(request: &MetricsRequest) -> Vec<Used> {
    let mut all: BTreeMap<(Arc<str>, UnixNanos), f64> = BTreeMap::new();
    for (service, time, secs) in sums(request, CPU) {
        *all.entry((service, time)).or_default() += secs;
    }
    all.into_iter().map(|((service, time), cpu_secs)| Used { service, time, cpu_secs }).collect()
}

/// The points of a sum, with the service and the time.
fn sums<'a>(
    request: &'a MetricsRequest,
    name: &'static str,
) -> impl Iterator<Item = (Arc<str>, UnixNanos, f64)> + 'a {
    request.resources.iter().flat_map(move |group| {
        let service: Arc<str> = group.resource.service_name().unwrap_or("unknown").into();
        let metrics = group.scopes.iter().flat_map(|scope| &scope.metrics);
        let points =
            metrics.filter(move |metric| metric.name == name).flat_map(|metric| match &metric.data {
                Some(MetricData::Sum(sum)) => sum.points.as_slice(),
                _ => &[],
            });
        points.filter_map(move |point| {
            let value = match point.value? {
                NumberValue::Int(value) => figure::float(u64::try_from(value).ok()?),
                NumberValue::Double(value) => value,
            };
            Some((Arc::clone(&service), point.time, value))
        })
    })
}

/// The changes that somebody announced among the log records; events that name no service or time say nothing.
fn changes(request: &LogsRequest) -> Vec<Change> {
    let mut all = Vec::new();
    for group in &request.resources {
        let records = group.scopes.iter().flat_map(|scope| &scope.records);
        all.extend(records.filter_map(|record| Change::from_event(record, &group.resource).ok().flatten()));
    }
    all
}

fn spans_of(request: TracesRequest) -> Vec<ServiceSpan> {
    let mut all = Vec::with_capacity(request.record_count());
    for group in request.resources {
        let service: Arc<str> = group.resource.service_name().unwrap_or("unknown").into();
        let spans = group.scopes.into_iter().flat_map(|scope| scope.spans);
        all.extend(spans.map(|span| (Arc::clone(&service), span)));
    }
    all
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use otlp_core::encode::Encode as _;
    use otlp_core::record::{LogRecord, Resource, ResourceLogs, ResourceSpans, ScopeLogs, ScopeSpans};

    use super::*;

    fn request(first: u8, spans: u8) -> TracesRequest {
        let span = |id: u8| Span {
            trace_id: TraceId::new([1; 16]),
            span_id: SpanId::new([id; 8]),
            name: "GET".to_owned(),
            ..Span::default()
        };
        let scope = ScopeSpans { spans: (first..first + spans).map(span).collect(), ..ScopeSpans::default() };
        let resource = Resource::service("db");
        TracesRequest {
            resources: vec![ResourceSpans { resource, scopes: vec![scope], ..Default::default() }],
        }
    }

    fn intake(name: &str) -> (Intake, std::sync::mpsc::Receiver<News>, std::path::PathBuf) {
        let out = std::env::temp_dir().join(format!("incident-intake-{name}-{}", std::process::id()));
        std::fs::create_dir_all(out.join("otlp")).unwrap();
        let (news, received) = sync_channel(64);
        (Intake::create(&out, news).unwrap(), received, out)
    }

    #[test]
    fn busy_once_and_partial_once_and_every_span_accounted_for() {
        let (intake, received, out) = intake("account");
        let mut sent = 0_u64;
        for round in 0..20_u8 {
            let body = request(round * 5 + 1, 5).encode_to_bytes();
            let answer = intake.handle(Signal::Traces, &body);
            if u64::from(round) + 1 == BUSY_AT {
                assert_eq!(answer, Answer::busy(BUSY_FOR));
            } else {
                sent += 5;
            }
        }
        let account = intake.received();
        assert_eq!((account.busy, account.partial, account.duplicates), (1, 1, 0));
        assert_eq!(account.accepted["db"] + account.rejected["db"], sent);
        assert_eq!(account.rejected["db"], 3);
        let handed_on: usize =
            received.try_iter().map(|news| if let News::Spans(spans) = news { spans.len() } else { 0 }).sum();
        assert_eq!(u64::try_from(handed_on).unwrap(), account.accepted["db"]);
        std::fs::remove_dir_all(out).unwrap();
    }

    #[test]
    fn a_request_that_comes_twice_is_noticed() {
        let (intake, _received, out) = intake("twice");
        let body = request(1, 5).encode_to_bytes();
        intake.handle(Signal::Traces, &body);
        intake.handle(Signal::Traces, &body);
        assert_eq!(intake.received().duplicates, 5);
        std::fs::remove_dir_all(out).unwrap();
    }

    #[test]
    fn a_change_that_is_announced_is_handed_on() {
        let (intake, received, out) = intake("change");
        let change =
            Change { time: UnixNanos(5), service: "db".into(), version: "2".into(), ..Change::default() };
        let other = LogRecord { event_name: "otlp.anomaly.cause".into(), ..LogRecord::default() };
        let scopes = vec![ScopeLogs { records: vec![other, change.to_log_record()], ..ScopeLogs::default() }];
        let resources = vec![ResourceLogs { scopes, ..ResourceLogs::default() }];
        let answer = intake.handle(Signal::Logs, &LogsRequest { resources }.encode_to_bytes());
        assert_eq!(answer, Answer::accepted(2));
        let told: Vec<Change> = received
            .try_iter()
            .flat_map(|news| if let News::Changes(changes) = news { changes } else { Vec::new() })
            .collect();
        assert_eq!(told, [change]);
        std::fs::remove_dir_all(out).unwrap();
    }

    #[test]
    fn garbage_is_refused_and_told_where() {
        let (intake, _received, out) = intake("garbage");
        let answer = intake.handle(Signal::Traces, b"\x0a\xff\xff");
        assert!(matches!(answer, Answer::Refuse { status: 400, .. }), "{answer:?}");
        std::fs::remove_dir_all(out).unwrap();
    }
}
