//! What an analyser has to say.

use std::fmt;

use crate::change::Change;
use crate::record::{AnyValue, KeyValue, LogRecord, SeverityNumber};
use crate::{SpanId, TraceId, UnixNanos, semconv};

/// One statement of an analyser: about whom, how grave, how sure, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// When it holds from.
    pub time: UnixNanos,
    /// Which analyser says so, such as `otlp.anomaly.cause`; becomes the event's name.
    pub source: &'static str,
    /// How grave it is.
    pub severity: Severity,
    /// What it is about.
    pub subject: Subject,
    /// One sentence.
    pub title: String,
    /// More, where there is more to say.
    pub detail: String,
    /// How sure the analyser is, 0 to 1.
    pub confidence: f64,
    /// What it rests on, strongest first.
    pub evidence: Vec<Evidence>,
}

/// How grave a [`Finding`] is.
///
/// ```
/// use otlp_core::finding::Severity;
/// assert!(Severity::Info < Severity::Warning && Severity::Error < Severity::Critical);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warning,
    /// Users notice.
    Error,
    /// Somebody must act now.
    Critical,
}

/// What a [`Finding`] is about.
///
/// ```
/// use otlp_core::finding::Subject;
/// let edge = Subject::Edge { caller: "shop".into(), callee: "db".into() };
/// assert_eq!(edge.to_string(), "shop -> db");
/// assert_eq!(Subject::System.to_string(), "system");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subject {
    /// The system as a whole.
    System,
    /// A service.
    Service(String),
    /// An operation of a service.
    Operation {
        /// The service.
        service: String,
        /// The operation.
        operation: String,
    },
    /// Calls from one service to another.
    Edge {
        /// Who calls.
        caller: String,
        /// Who is called.
        callee: String,
    },
    /// A metric of a service.
    Metric {
        /// The service.
        service: String,
        /// The metric.
        name: String,
    },
}

impl Subject {
    /// The service it is about; of an edge, the one called.
    ///
    /// ```
    /// use otlp_core::finding::Subject;
    /// let edge = Subject::Edge { caller: "shop".into(), callee: "db".into() };
    /// assert_eq!(edge.service(), Some("db"));
    /// assert_eq!(Subject::System.service(), None);
    /// ```
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        match self {
            Self::System => None,
            Self::Service(service) | Self::Operation { service, .. } | Self::Metric { service, .. } => {
                Some(service)
            }
            Self::Edge { callee, .. } => Some(callee),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::Service(service) => f.write_str(service),
            Self::Operation { service, operation: part } | Self::Metric { service, name: part } => {
                write!(f, "{service} {part}")
            }
            Self::Edge { caller, callee } => write!(f, "{caller} -> {callee}"),
        }
    }
}

/// What a [`Finding`] rests on.
///
/// ```
/// use otlp_core::UnixNanos;
/// use otlp_core::finding::Evidence;
/// let line = "pool exhausted".into();
/// let log = Evidence::Log { time: UnixNanos::from_secs(1), service: "db".into(), line };
/// assert!(log.to_string().contains("pool exhausted"));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Evidence {
    /// A number that moved.
    Shift {
        /// Which number, such as `p95 latency`.
        metric: String,
        /// Its unit in UCUM notation.
        unit: &'static str,
        /// What it used to be.
        before: f64,
        /// What it is.
        after: f64,
        /// Since when.
        since: UnixNanos,
    },
    /// A span that shows it.
    Span {
        /// Its trace.
        trace_id: TraceId,
        /// Itself.
        span_id: SpanId,
        /// What to see in it.
        note: String,
    },
    /// A log line, cited.
    Log {
        /// When it was written.
        time: UnixNanos,
        /// Who wrote it.
        service: String,
        /// The line, redacted.
        line: String,
    },
    /// A function that takes another share of the time than before.
    Stack {
        /// The function.
        function: String,
        /// Share before, 0 to 1.
        before: f64,
        /// Share now, 0 to 1.
        after: f64,
    },
    /// A change made shortly before.
    Change(Change),
    /// Anything else, in a sentence.
    Note(String),
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shift { metric, unit, before, after, .. } => {
                let [before, after] = [*before, *after].map(|value| Quantity { value, unit });
                write!(f, "{metric} {before} -> {after}")
            }
            Self::Span { trace_id, span_id, note } => write!(f, "span {span_id} of trace {trace_id}: {note}"),
            Self::Log { service, line, .. } => write!(f, "{service}: {line}"),
            Self::Stack { function, before, after } => {
                write!(f, "{function}: {:.1} % -> {:.1} % of the time", before * 100.0, after * 100.0)
            }
            Self::Change(change) => {
                write!(f, "{} of {}", change.kind.name(), change.service)?;
                let version = [" ", &change.version].into_iter().filter(|_| !change.version.is_empty());
                version
                    .chain([": ", &change.description].into_iter().filter(|_| !change.description.is_empty()))
                    .try_for_each(|part| f.write_str(part))
            }
            Self::Note(note) => f.write_str(note),
        }
    }
}

/// A number in its unit, with about three significant digits; shares as percentages, times and bytes in the unit that
/// suits their size.
struct Quantity<'a> {
    value: f64,
    unit: &'a str,
}

impl fmt::Display for Quantity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.value.abs();
        let (value, unit) = match self.unit {
            "1" => (self.value * 100.0, "%"),
            "s" if size >= 1.0 || size == 0.0 => (self.value, "s"),
            "s" if size >= 1e-3 => (self.value * 1e3, "ms"),
            "s" => (self.value * 1e6, "µs"),
            "By" if size >= 1e9 => (self.value / 1e9, "GB"),
            "By" if size >= 1e6 => (self.value / 1e6, "MB"),
            "By" if size >= 1e3 => (self.value / 1e3, "kB"),
            "By" => (self.value, "B"),
            // UCUM writes counted things in braces, "{request}/s"; people do not.
            other => (self.value, other),
        };
        let decimals = match value.abs() {
            size if size >= 100.0 || size == 0.0 => 0,
            size if size >= 10.0 => 1,
            size if size >= 1.0 => 2,
            _ => 3,
        };
        write!(f, "{value:.decimals$}")?;
        let shown = unit.chars().filter(|letter| !matches!(letter, '{' | '}'));
        shown.enumerate().try_for_each(|(place, letter)| {
            let gap = if place == 0 && letter != '/' { " " } else { "" };
            write!(f, "{gap}{letter}")
        })
    }
}

impl Finding {
    /// The finding as an OTLP event, ready to be exported. Allocates; O(evidence).
    ///
    /// ```
    /// use otlp_core::UnixNanos;
    /// use otlp_core::finding::{Finding, Severity, Subject};
    /// let finding = Finding {
    ///     time: UnixNanos::from_secs(1),
    ///     source: "otlp.anomaly.cause",
    ///     severity: Severity::Error,
    ///     subject: Subject::Service("db".into()),
    ///     title: "db is slow".into(),
    ///     detail: String::new(),
    ///     confidence: 0.9,
    ///     evidence: Vec::new(),
    /// };
    /// let event = finding.to_log_record();
    /// assert_eq!(event.event_name, "otlp.anomaly.cause");
    /// assert_eq!(event.body.as_str(), Some("db is slow"));
    /// ```
    #[must_use]
    pub fn to_log_record(&self) -> LogRecord {
        let mut attributes = vec![
            KeyValue::new("finding.subject", self.subject.to_string()),
            KeyValue::new("finding.confidence", self.confidence),
        ];
        if let Some(service) = self.subject.service() {
            attributes.push(KeyValue::new(semconv::SERVICE_NAME, service));
        }
        if !self.detail.is_empty() {
            attributes.push(KeyValue::new("finding.detail", self.detail.as_str()));
        }
        if !self.evidence.is_empty() {
            let lines = self.evidence.iter().map(|evidence| AnyValue::from(evidence.to_string())).collect();
            attributes.push(KeyValue::new("finding.evidence", AnyValue::Array(lines)));
        }
        let (number, text) = match self.severity {
            Severity::Info => (SeverityNumber::INFO, "INFO"),
            Severity::Warning => (SeverityNumber::WARN, "WARN"),
            Severity::Error => (SeverityNumber::ERROR, "ERROR"),
            Severity::Critical => (SeverityNumber::FATAL, "FATAL"),
        };
        LogRecord {
            time: self.time,
            observed_time: self.time,
            severity_number: number,
            severity_text: text.to_owned(),
            body: AnyValue::from(self.title.as_str()),
            attributes,
            event_name: self.source.to_owned(),
            ..LogRecord::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shift(unit: &'static str, before: f64, after: f64) -> String {
        let (metric, since) = ("it".to_owned(), UnixNanos::ZERO);
        Evidence::Shift { metric, unit, before, after, since }.to_string()
    }

    #[test]
    fn shifts_read_like_a_person_would_write_them() {
        assert_eq!(shift("s", 0.000_098, 0.0224), "it 98.0 µs -> 22.4 ms");
        assert_eq!(shift("s", 0.0, 2.5), "it 0 s -> 2.50 s");
        assert_eq!(shift("By", 812.0, 132_194_304.0), "it 812 B -> 132 MB");
        assert_eq!(shift("By", 9_400.0, 2.5e9), "it 9.40 kB -> 2.50 GB");
        assert_eq!(shift("1", 0.0, 0.28), "it 0 % -> 28.0 %");
        assert_eq!(shift("{line}/s", 1.0, 120.0), "it 1.00 line/s -> 120 line/s");
        assert_eq!(shift("/s", 200.0, 90.0), "it 200/s -> 90.0/s");
        assert_eq!(shift("", 2.0, 3.0), "it 2.00 -> 3.00");
    }

    #[test]
    fn a_finding_keeps_its_evidence_and_detail_as_an_event() {
        let finding = Finding {
            time: UnixNanos::from_secs(5),
            source: "test",
            severity: Severity::Critical,
            subject: Subject::Edge { caller: "a".into(), callee: "b".into() },
            title: "calls fail".into(),
            detail: "all of them".into(),
            confidence: 0.5,
            evidence: vec![Evidence::Note("seen".into())],
        };
        let event = finding.to_log_record();
        assert_eq!(event.severity_number, SeverityNumber::FATAL);
        let value = |key: &str| KeyValue::find(&event.attributes, key).cloned();
        assert_eq!(value("finding.subject"), Some(AnyValue::from("a -> b")));
        assert_eq!(value("finding.detail"), Some(AnyValue::from("all of them")));
        assert_eq!(value("finding.evidence"), Some(AnyValue::Array(vec![AnyValue::from("seen")])));
        assert_eq!(value(semconv::SERVICE_NAME), Some(AnyValue::from("b")));
    }
}
