//! What a watch says.

use otlp_core::UnixNanos;
use otlp_core::finding::{Evidence, Finding, Severity, Subject};

use super::metric::Metric;
use crate::number::ratio;

/// One metric of one subject began to be unusual.
#[derive(Debug, Clone, PartialEq)]
pub struct Alarm {
    /// Whose.
    pub subject: Subject,
    /// Which metric.
    pub metric: Metric,
    /// When the first unusual window began.
    pub since: UnixNanos,
    /// When the window ended that raised the alarm.
    pub raised: UnixNanos,
    /// What was met, in the metric's unit.
    pub observed: f64,
    /// What was expected, in the metric's unit.
    pub expected: f64,
    /// The score, in spreads.
    pub score: f64,
    /// The threshold that it passed.
    pub threshold: f64,
}

/// What an alarm is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Requests take longer.
    Latency,
    /// Requests fail.
    Errors,
    /// There are more requests than usual, or fewer.
    Traffic,
    /// Something of which there is only so much is used up: a metric that is a utilization by its name.
    Saturation,
    /// Memory grows towards its limit.
    Leak,
    /// A metric of a disk or file system.
    Disk,
    /// There are no requests any more.
    Silence,
    /// Any other metric has moved from where it was.
    Drift,
}

impl Kind {
    /// Its name for people and for attributes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Errors => "errors",
            Self::Traffic => "traffic",
            Self::Saturation => "saturation",
            Self::Leak => "leak",
            Self::Disk => "disk",
            Self::Silence => "silence",
            Self::Drift => "drift",
        }
    }
}

impl Alarm {
    /// What it is about.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.metric {
            Metric::LatencyP50 | Metric::LatencyP95 => Kind::Latency,
            Metric::ErrorRate => Kind::Errors,
            Metric::Rate if self.observed <= 0.0 => Kind::Silence,
            Metric::Rate => Kind::Traffic,
            Metric::Memory => Kind::Leak,
            Metric::Value => match &self.subject {
                Subject::Metric { name, .. } if name.contains("filesystem") || name.contains("disk") => {
                    Kind::Disk
                }
                Subject::Metric { name, .. } if name.ends_with("utilization") => Kind::Saturation,
                _ => Kind::Drift,
            },
        }
    }

    /// How grave it is, by how much changed; for a leak, by how soon the limit is reached.
    ///
    /// | kind | error | critical |
    /// |---|---|---|
    /// | latency | three times what was expected | ten times |
    /// | errors | ten of a hundred requests more | fifty |
    /// | traffic, silence | a tenth or ten times of what was expected | none at all |
    /// | leak | a quarter of the horizon is left | a twenty-fourth |
    /// | others | twice the threshold | four times |
    ///
    /// What is less is a warning.
    #[must_use]
    pub fn severity(&self) -> Severity {
        let times = ratio(self.observed, self.expected);
        let (effect, error, critical) = match self.kind() {
            Kind::Latency => (times, 3.0, 10.0),
            Kind::Errors => (self.observed - self.expected, 0.1, 0.5),
            Kind::Silence => return Severity::Critical,
            Kind::Traffic => (times.max(ratio(self.expected, self.observed)), 10.0, f64::INFINITY),
            Kind::Leak => (self.score, 4.0, 24.0),
            Kind::Saturation | Kind::Disk | Kind::Drift => (ratio(self.score, self.threshold), 2.0, 4.0),
        };
        if effect >= critical {
            Severity::Critical
        } else if effect >= error {
            Severity::Error
        } else {
            Severity::Warning
        }
    }

    /// The alarm as a finding, which becomes a log record in one call; its confidence is a half at the threshold and nears 1
    /// as the score goes beyond.
    ///
    /// ```
    /// use otlp_anomaly::detect::{LeakWatchConfig, Signal};
    /// use otlp_core::{UnixNanos, finding::Subject};
    /// # use std::time::Duration;
    /// let mut watch = LeakWatchConfig::new().horizon(Duration::from_secs(600)).build()?;
    /// for second in 0..60_u32 {
    ///     let used = 100e6 + 1e6 * f64::from(second.saturating_sub(30));
    ///     let order = Subject::Service("order".into());
    ///     if let Some(Signal::Raised(alarm)) = watch.observe(&order, UnixNanos::from_secs(second.into()), used, 256e6) {
    ///         assert!(alarm.finding().title.starts_with("leak: memory of order"));
    ///     }
    /// }
    /// # Ok::<(), otlp_anomaly::Error>(())
    /// ```
    #[must_use]
    pub fn finding(&self) -> Finding {
        let shift = Evidence::Shift {
            metric: self.metric.name().to_owned(),
            unit: self.metric.unit(),
            before: self.expected,
            after: self.observed,
            since: self.since,
        };
        let beyond = ratio(self.score, self.threshold).max(1.0);
        Finding {
            time: self.since,
            source: "otlp.anomaly.detect",
            severity: self.severity(),
            subject: self.subject.clone(),
            title: format!("{}: {} of {}: {shift}", self.kind().name(), self.metric.name(), self.subject),
            detail: format!("score {:.1}, threshold {:.1}", self.score, self.threshold),
            confidence: 1.0 - 0.5 / beyond,
            evidence: vec![shift],
        }
    }
}

/// What a [`Watch`](super::Watch) says.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Signal {
    /// An alarm began.
    Raised(Alarm),
    /// An alarm ended.
    Ended {
        /// Whose.
        subject: Subject,
        /// Which metric.
        metric: Metric,
        /// When the window ended that ended it.
        time: UnixNanos,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm(metric: Metric, subject: Subject, (observed, expected): (f64, f64), score: f64) -> Alarm {
        let (since, raised) = (UnixNanos::from_secs(60), UnixNanos::from_secs(120));
        Alarm { subject, metric, since, raised, observed, expected, score, threshold: 4.0 }
    }

    #[test]
    fn every_alarm_has_its_kind_and_is_as_grave_as_its_effect() {
        let shop = || Subject::Service("shop".into());
        let of = |name: &str| Subject::Metric { service: "shop".into(), name: name.into() };
        let cases = [
            (alarm(Metric::LatencyP50, shop(), (0.2, 0.1), 9.0), "latency", Severity::Warning),
            (alarm(Metric::LatencyP95, shop(), (0.4, 0.1), 9.0), "latency", Severity::Error),
            (alarm(Metric::LatencyP95, shop(), (2.0, 0.1), 9.0), "latency", Severity::Critical),
            (alarm(Metric::ErrorRate, shop(), (0.05, 0.0), 9.0), "errors", Severity::Warning),
            (alarm(Metric::ErrorRate, shop(), (0.9, 0.0), 9.0), "errors", Severity::Critical),
            (alarm(Metric::Rate, shop(), (40.0, 100.0), 9.0), "traffic", Severity::Warning),
            (alarm(Metric::Rate, shop(), (5.0, 100.0), 9.0), "traffic", Severity::Error),
            (alarm(Metric::Rate, shop(), (0.0, 100.0), 9.0), "silence", Severity::Critical),
            (alarm(Metric::Memory, shop(), (2e8, 1e8), 30.0), "leak", Severity::Critical),
            (alarm(Metric::Memory, shop(), (2e8, 1e8), 2.0), "leak", Severity::Warning),
            (
                alarm(Metric::Value, of("system.cpu.utilization"), (0.9, 0.2), 9.0),
                "saturation",
                Severity::Error,
            ),
            (alarm(Metric::Value, of("system.filesystem.usage"), (9.0, 2.0), 5.0), "disk", Severity::Warning),
            (alarm(Metric::Value, of("queue.length"), (9.0, 2.0), 17.0), "drift", Severity::Critical),
        ];
        for (alarm, kind, severity) in cases {
            assert_eq!((alarm.kind().name(), alarm.severity()), (kind, severity), "{alarm:?}");
            let finding = alarm.finding();
            assert!(finding.title.starts_with(kind) && finding.time == alarm.since, "{finding:?}");
            assert!(
                (0.5..1.0).contains(&finding.confidence) || alarm.metric == Metric::Memory,
                "{finding:?}"
            );
        }
    }
}
