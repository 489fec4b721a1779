//! What there was in one window of time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use otlp_core::finding::{Evidence, Finding, Severity, Subject};
use otlp_core::{SpanId, TraceId, UnixNanos, semconv};

use super::FindingConfig;
use super::hot::HotKeys;
use crate::span::EncodedSpan;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A database operation took long.
    Slow,
    /// A command looks at every key of a server.
    Server,
    /// A command looks at all of a value.
    Value,
    /// Kafka refused.
    Kafka,
}

/// Counts since the window began.
#[derive(Debug, Default)]
pub(super) struct Window {
    since: Option<UnixNanos>,
    now: UnixNanos,
    /// By service, kind and operation.
    met: BTreeMap<(Arc<str>, Kind, String), Met>,
    keys: BTreeMap<Arc<str>, HotKeys>,
    overflowed: u64,
}

#[derive(Debug)]
struct Met {
    count: u64,
    first: UnixNanos,
    /// The slowest, or the first.
    worst: Duration,
    example: (TraceId, SpanId),
    text: String,
}

impl Window {
    /// Begins a new window where the present one has ended; gives what is to be told of it.
    pub(super) fn advance(&mut self, now: UnixNanos, config: &FindingConfig) -> Vec<Finding> {
        self.now = self.now.max(now);
        let since = *self.since.get_or_insert(now);
        if self.now.duration_since(since) < config.window {
            return Vec::new();
        }
        let findings = self.close(config);
        self.since = Some(now);
        findings
    }

    /// Ends the window; gives what is to be told of it, in the order of services.
    pub(super) fn close(&mut self, config: &FindingConfig) -> Vec<Finding> {
        self.since = None;
        let met = std::mem::take(&mut self.met).into_iter();
        let mut findings: Vec<_> =
            met.map(|((service, kind, operation), met)| met.tell(&service, kind, operation)).collect();
        let now = self.now;
        let keys = std::mem::take(&mut self.keys).into_iter();
        findings.extend(keys.filter_map(|(service, keys)| tell_hot(&service, &keys, now, config)));
        findings
    }

    pub(super) fn key(&mut self, service: &Arc<str>, hash: u64) {
        if let Some(keys) = self.keys.get_mut(service) {
            keys.add(hash);
        } else if self.keys.len() < MAX_SERVICES {
            self.keys.entry(Arc::clone(service)).or_default().add(hash);
        }
    }

    /// Counts what a span of the service shows.
    pub(super) fn count(
        &mut self,
        service: &Arc<str>,
        (kind, operation): (Kind, &str),
        span: &EncodedSpan,
        config: &FindingConfig,
    ) {
        let key = (Arc::clone(service), kind, operation.to_owned());
        let took = span.duration();
        if let Some(met) = self.met.get_mut(&key) {
            met.count += 1;
            if took > met.worst {
                (met.worst, met.example) = (took, (span.trace_id, span.span_id));
            }
            return;
        }
        if self.met.len() >= config.max_subjects {
            self.overflowed += 1;
            return;
        }
        let text = span.attributes.text(semconv::DB_QUERY_TEXT);
        let met = Met {
            count: 1,
            first: span.start,
            worst: took,
            example: (span.trace_id, span.span_id),
            text: text.unwrap_or_default().to_owned(),
        };
        self.met.insert(key, met);
    }

    pub(super) const fn overflowed(&self) -> u64 {
        self.overflowed
    }
}

/// Services whose keys are counted at most; a sketch takes 1.5 KiB.
const MAX_SERVICES: usize = 256;

impl Met {
    fn tell(self, service: &str, kind: Kind, operation: String) -> Finding {
        let Self { count, first, worst, example: (trace_id, span_id), text } = self;
        let (severity, title, note) = match kind {
            Kind::Slow => {
                let title = format!("{count} slow {operation}, the slowest of {worst:.1?}");
                (Severity::Warning, title, format!("took {worst:.1?}"))
            }
            Kind::Server => {
                let title = format!("{count} {operation}, which looks at every key of the server");
                (Severity::Warning, title, "holds up all other commands".to_owned())
            }
            Kind::Value => {
                let title = format!("{count} {operation}, which looks at all of a value");
                (Severity::Info, title, "costs as much as the value has elements".to_owned())
            }
            Kind::Kafka => (Severity::Warning, format!("{count} refused: {operation}"), "refused".to_owned()),
        };
        let mut evidence = vec![Evidence::Span { trace_id, span_id, note }];
        if !text.is_empty() {
            evidence.push(Evidence::Note(text));
        }
        Finding {
            time: first,
            source: match kind {
                Kind::Slow => "otlp.capture.slow_statement",
                Kind::Server | Kind::Value => "otlp.capture.redis_whole",
                Kind::Kafka => "otlp.capture.kafka_error",
            },
            severity,
            subject: Subject::Operation { service: service.to_owned(), operation },
            title,
            detail: String::new(),
            confidence: 1.0,
            evidence,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "commands of a window stay far below 2^53")]
fn tell_hot(service: &str, keys: &HotKeys, time: UnixNanos, config: &FindingConfig) -> Option<Finding> {
    let (hash, count) = keys.hottest()?;
    let share = count as f64 / keys.total() as f64;
    if keys.total() < config.hot_commands || share < config.hot_share {
        return None;
    }
    let title = format!("one key takes {:.0} % of {} Redis commands", share * 100.0, keys.total());
    let metric = "share of the hottest key".to_owned();
    let before = config.hot_share;
    Some(Finding {
        time,
        source: "otlp.capture.hot_key",
        severity: Severity::Warning,
        subject: Subject::Service(service.to_owned()),
        title,
        detail: format!("key with the hash {hash:016x}"),
        confidence: 1.0,
        evidence: vec![Evidence::Shift { metric, unit: "1", before, after: share, since: time }],
    })
}
