//! Which kinds of lines are new, or come more or less often than before.

use std::fmt;
use std::time::Duration;

use otlp_core::UnixNanos;
use otlp_core::record::SeverityNumber;

use crate::series::Counts;
use crate::template::TemplateId;

/// The time that is looked at: what came before `since` is how it used to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// When the trouble began, as far as is known.
    pub since: UnixNanos,
    /// Up to when; later lines are left out.
    pub until: UnixNanos,
}

/// One kind of line of one service that is new or whose rate changed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TemplateChange {
    /// The template's name in the analyser's miner.
    pub id: TemplateId,
    /// The template, redacted.
    pub template: String,
    /// Who writes the lines.
    pub service: String,
    /// The gravest level of the lines.
    pub severity: SeverityNumber,
    /// What changed.
    pub kind: Novelty,
    /// Lines in the window.
    pub count: u64,
    /// Lines a second before.
    pub before_per_sec: f64,
    /// Lines a second in the window.
    pub after_per_sec: f64,
    /// The first line of this kind, of those that the analyser remembers.
    pub first_seen: UnixNanos,
    /// A line of the window, redacted and cut; the first of its kind where the kind is new.
    pub example: String,
    /// When the example was written.
    pub example_time: UnixNanos,
    /// How many standard errors the rate moved, with burstiness allowed for.
    pub z: f64,
    /// What the list is sorted by: `z`, weighted by level, by kind, and for the suspect service.
    pub score: f64,
}

/// What is new about a kind of line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Novelty {
    /// There was no such line before.
    New,
    /// More lines than before.
    Rise,
    /// Fewer lines than before.
    Fall,
}

impl fmt::Display for Novelty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "new",
            Self::Rise => "more often",
            Self::Fall => "less often",
        })
    }
}

/// Scores below this are taken for chance: among some hundred kinds of lines, less than one a hundred
/// windows reaches it unweighted.
pub(crate) const THRESHOLD: f64 = 4.0;

/// Seconds before and after, and how the load as a whole moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Exposure {
    pub(crate) before: f64,
    pub(crate) after: f64,
    /// After over before, of the typical template of the service.
    pub(crate) load: f64,
}

/// The signed root of the likelihood ratio of "the rate changed" to "it did not", for counts of
/// Poisson kind, over the dispersion (quasi-likelihood; McCullagh and Nelder, "Generalized Linear Models", §9.2).
pub(crate) fn deviation(counts: Counts, exposure: Exposure) -> f64 {
    let (before, after) = (counts.before as f64, counts.after as f64);
    let total = before + after;
    let weight = exposure.load * exposure.after / (exposure.before + exposure.load * exposure.after);
    if total == 0.0 || !(weight > 0.0 && weight < 1.0) {
        return 0.0;
    }
    let (expected_before, expected_after) = (total * (1.0 - weight), total * weight);
    let part = |met: f64, expected: f64| if met > 0.0 { met * (met / expected).ln() } else { 0.0 };
    let ratio = 2.0 * (part(before, expected_before) + part(after, expected_after)) / counts.dispersion;
    let size = ratio.max(0.0).sqrt();
    if after < expected_after { -size } else { size }
}

/// How much a line of this level weighs.
pub(crate) fn level_weight(severity: SeverityNumber) -> f64 {
    match severity.0 {
        21.. => 2.5,
        17..=20 => 2.0,
        13..=16 => 1.5,
        1..=8 => 0.7,
        _ => 1.0,
    }
}

/// How the load of a service moved: the median over its templates of the ratio of their rates.
pub(crate) fn load_ratio(ratios: &mut [f64]) -> f64 {
    // With fewer templates the median may itself be what changed.
    if ratios.len() < 3 {
        return 1.0;
    }
    let middle = ratios.len() / 2;
    let (_, median, _) = ratios.select_nth_unstable_by(middle, f64::total_cmp);
    median.clamp(0.1, 10.0)
}

pub(crate) fn seconds(duration: Duration) -> u64 {
    duration.as_secs().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVEN: Exposure = Exposure { before: 30.0, after: 10.0, load: 1.0 };

    fn counts(before: u64, after: u64) -> Counts {
        Counts { before, after, dispersion: 1.0 }
    }

    #[test]
    fn an_unchanged_rate_deviates_by_nothing() {
        assert!(deviation(counts(300, 100), EVEN).abs() < 1e-9);
        assert_eq!(deviation(counts(0, 0), EVEN), 0.0);
    }

    #[test]
    fn rises_are_positive_and_falls_negative() {
        assert!(deviation(counts(30, 100), EVEN) > 8.0);
        assert!(deviation(counts(300, 0), EVEN) < -8.0);
        assert!(deviation(counts(0, 20), EVEN) > THRESHOLD);
        assert!(deviation(counts(0, 1), EVEN) < 2.0);
    }

    #[test]
    fn bursts_and_load_are_allowed_for() {
        let bursty = Counts { dispersion: 25.0, ..counts(30, 40) };
        assert!(deviation(bursty, EVEN) < deviation(counts(30, 40), EVEN) / 4.0);
        let twice = Exposure { load: 2.0, ..EVEN };
        assert!(deviation(counts(300, 200), twice).abs() < 1e-9);
        assert_eq!(load_ratio(&mut [2.0, 1.9, 2.1, 90.0]), 2.1);
        assert_eq!(load_ratio(&mut [5.0, 5.0]), 1.0);
    }
}
