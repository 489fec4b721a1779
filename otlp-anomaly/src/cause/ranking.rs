//! The ranking: what is said of causes.

use otlp_core::UnixNanos;
use otlp_core::finding::{Evidence, Finding, Severity, Subject};

use super::check::CausalCheck;

/// What speaks for a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Source {
    /// Its own time grew: not spent waiting for others.
    OwnTime,
    /// Its callers lose time queueing for it.
    Waiting,
    /// Errors begin there, or are owed to its slowness or absence.
    Errors,
    /// It asks others more often than before.
    Load,
    /// It no longer answers.
    MissingCalls,
    /// It was changed shortly before.
    Change,
    /// What it holds grows towards what it may.
    Memory,
    /// Time is lost in calls to it and by it, between its spans and those at the other end.
    Gap,
    /// Requests break off, or go on to a failure, after it was called or in it.
    Pattern,
    /// Its metrics moved further than they ever do.
    Metric,
    /// It writes what it never wrote, or no longer what it always did.
    Log,
    /// Its profile shows that its time goes elsewhere than before.
    Profile,
}

/// The kind of telemetry that a [`Source`] is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// Traces.
    Spans,
    /// Metrics, and alarms about them.
    Metrics,
    /// Log lines.
    Logs,
    /// Profiles.
    Profiles,
    /// What people changed.
    Changes,
}

impl Signal {
    /// Its name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Profiles => "profiles",
            Self::Changes => "changes",
        }
    }
}

impl Source {
    /// What it is read from.
    #[must_use]
    pub const fn signal(self) -> Signal {
        match self {
            Self::Metric | Self::Memory => Signal::Metrics,
            Self::Log => Signal::Logs,
            Self::Profile => Signal::Profiles,
            Self::Change => Signal::Changes,
            _ => Signal::Spans,
        }
    }

    /// Its name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OwnTime => "own time",
            Self::Waiting => "callers waiting",
            Self::Errors => "errors",
            Self::Load => "load",
            Self::MissingCalls => "missing calls",
            Self::Change => "change",
            Self::Memory => "memory",
            Self::Gap => "time lost in calls",
            Self::Pattern => "broken requests",
            Self::Metric => "metrics",
            Self::Log => "logs",
            Self::Profile => "profile",
        }
    }
}

/// How much of a cause's score comes from where.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contribution {
    /// Where from.
    pub source: Source,
    /// How much of the score.
    pub weight: f64,
}

/// One ranked cause.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    /// Who: a service, or the system where the reason lies outside of all services.
    pub subject: Subject,
    /// The share of the trouble that it explains, 0 to about 2: slowness and errors count up to 1 each.
    pub score: f64,
    /// The chance that it is the true one, 0 to 1, as [`Calibration`](super::Calibration) makes it from the scores; what is
    /// left over all causes is the chance of none of them.
    pub confidence: f64,
    /// Where the score comes from, largest first.
    pub contributions: Vec<Contribution>,
    /// What it rests on, strongest first.
    pub evidence: Vec<Evidence>,
    /// What a regression on the call graph says of it; only of the first few, and where metrics, calls and the symptom
    /// allow it.
    pub check: Option<CausalCheck>,
}

/// A metric that moved, and what it says for its service as the cause.
#[derive(Debug, Clone, PartialEq)]
pub struct RankedMetric {
    /// The service.
    pub service: String,
    /// The metric.
    pub metric: String,
    /// Score of the service times how much the move says, 0 and more.
    pub score: f64,
    /// What it used to be.
    pub before: f64,
    /// What it is where it is strangest.
    pub after: f64,
}

/// The causes of an incident, likeliest first, or none.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// When the trouble began.
    pub onset: UnixNanos,
    /// Causes by falling score.
    pub causes: Vec<Cause>,
    /// Metrics that moved, those of likelier causes and stronger moves first.
    pub metrics: Vec<RankedMetric>,
    pub(super) least_score: f64,
}

impl Ranking {
    /// The likeliest cause; nothing where none is likely enough to be named.
    #[must_use]
    pub fn top(&self) -> Option<&Cause> {
        self.causes.first().filter(|cause| cause.score >= self.least_score)
    }

    /// How much speaks for the likeliest cause.
    pub(super) fn score(&self) -> f64 {
        self.causes.first().map_or(0.0, |cause| cause.score)
    }

    /// True where nothing explains the trouble.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.top().is_none()
    }

    /// Where a service stands, counted from 1.
    #[must_use]
    pub fn place(&self, service: &str) -> Option<usize> {
        let place = self.causes.iter().position(|cause| cause.subject.service() == Some(service))?;
        Some(place + 1)
    }

    /// Says it as a finding. Allocates.
    #[must_use]
    pub fn to_finding(&self) -> Finding {
        let runners_up = |from: usize| {
            let others = self.causes.iter().skip(from).take(3);
            let named = others.map(|cause| format!("{} ({:.0} %)", cause.subject, cause.confidence * 100.0));
            named.collect::<Vec<_>>().join(", ")
        };
        let Some(top) = self.top() else {
            return Finding {
                time: self.onset,
                source: SOURCE,
                severity: Severity::Info,
                subject: Subject::System,
                title: "no root cause: nothing that changed explains the alarms".to_owned(),
                detail: if self.causes.is_empty() {
                    String::new()
                } else {
                    format!("unlikely: {}", runners_up(0))
                },
                confidence: (1.0 - self.causes.iter().map(|cause| cause.confidence).sum::<f64>())
                    .clamp(0.0, 1.0),
                evidence: Vec::new(),
            };
        };
        let others = runners_up(1);
        Finding {
            time: self.onset,
            source: SOURCE,
            severity: if top.confidence >= 0.5 { Severity::Error } else { Severity::Warning },
            subject: top.subject.clone(),
            title: top.title(),
            detail: if others.is_empty() { others } else { format!("less likely: {others}") },
            confidence: top.confidence,
            evidence: top.evidence.clone(),
        }
    }
}

/// The name of this analyser in findings.
const SOURCE: &str = "otlp.anomaly.cause";

impl Cause {
    /// One sentence.
    #[must_use]
    pub fn title(&self) -> String {
        let subject = &self.subject;
        match self.contributions.first().map(|part| part.source) {
            Some(Source::Errors) => format!("{subject} is the likely cause: errors begin there"),
            Some(Source::Load) if *subject == Subject::System => {
                "more requests from outside are the likely cause".to_owned()
            }
            Some(Source::Load) => format!("{subject} is the likely cause: it asks others more often"),
            Some(Source::MissingCalls) => format!("{subject} is the likely cause: it no longer answers"),
            Some(Source::Waiting) => format!("{subject} is the likely cause: its callers queue for it"),
            Some(Source::Gap) => {
                format!("{subject} is the likely cause: calls to and from it lose time on the way")
            }
            Some(Source::Pattern) => format!("{subject} is the likely cause: requests break off after it"),
            Some(Source::Metric) => {
                format!("{subject} is the likely cause: its metrics moved as never before")
            }
            Some(Source::Log) => format!("{subject} is the likely cause: its log tells of it"),
            Some(Source::Profile) => {
                format!("{subject} is the likely cause: its time goes elsewhere than before")
            }
            Some(Source::Memory) => format!("{subject} is the likely cause: its memory grows without end"),
            _ => format!("{subject} is the likely cause: it takes longer itself"),
        }
    }
}
