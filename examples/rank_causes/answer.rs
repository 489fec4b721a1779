//! What is said of a case.

use std::fmt;
use std::time::{Duration, Instant};

use otlp_anomaly::cause::{AnalyzerConfig, Ranking};

use crate::input::{Input, Part};

/// Services that an answer names at the most.
const MOST: usize = 50;

/// The answer to a case, as it is written.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub(crate) struct Answer {
    pub(crate) services: Vec<String>,
    pub(crate) metrics: Vec<String>,
    pub(crate) none: bool,
    pub(crate) confidence: f64,
}

impl Answer {
    pub(crate) fn of(ranking: &Ranking) -> Self {
        let services = ranking.causes.iter().filter_map(|cause| cause.subject.service());
        let metrics = ranking.metrics.iter().filter(|metric| metric.score > 0.0);
        Self {
            services: services.map(str::to_owned).collect(),
            metrics: metrics
                .take(MOST)
                .map(|metric| format!("{}:{}", metric.service, metric.metric))
                .collect(),
            none: ranking.is_none(),
            confidence: ranking.to_finding().confidence,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<&str> = self.services.iter().take(3).map(String::as_str).collect();
        if self.none {
            write!(f, "none ({:.2})", self.confidence)
        } else {
            write!(f, "{} ({:.2})", named.join(", "), self.confidence)
        }
    }
}

/// Ranks the causes of a case without some of its sources, and says how long that took.
pub(crate) fn rank(input: &Input, left_out: &[Part]) -> (Ranking, Duration) {
    let analyzer = AnalyzerConfig::new().max_causes(MOST).build();
    let slices = if left_out.contains(&Part::Spans) { &[] } else { input.slices.as_slice() };
    input.with(left_out, |before, _, case| {
        let begin = Instant::now();
        (analyzer.rank_slices(before, slices, case), begin.elapsed())
    })
}
