//! What other analysers say of services, in the words that all of them share: findings about log lines and profiles.

use std::collections::BTreeMap;

use otlp_core::finding::{Evidence, Finding, Severity};

use super::ranking::Source;

/// Findings by the service that they are about.
#[derive(Debug, Default)]
pub(super) struct Told<'a>(BTreeMap<&'a str, Vec<&'a Finding>>);

/// What a profile that changed counts at the most: whoever is asked otherwise also works otherwise.
const PROFILE: f64 = 0.5;
/// What the gravest finding about logs counts, as no more than what the logs say by themselves.
const LOG: f64 = 0.8;
/// Evidence cited of each finding: the strongest.
const CITED: usize = 1;

impl<'a> Told<'a> {
    pub(super) fn of(findings: &'a [Finding]) -> Self {
        let mut told = Self::default();
        for finding in findings {
            if let Some(service) = finding.subject.service() {
                told.0.entry(service).or_default().push(finding);
            }
        }
        told
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.0.keys().copied()
    }

    /// The strongest of each source.
    pub(super) fn parts(&self, service: &str) -> [(Source, f64); 2] {
        let mut parts = [(Source::Log, 0.0_f64), (Source::Profile, 0.0_f64)];
        for finding in self.about(service) {
            let Some((source, weight)) = weigh(finding) else { continue };
            for part in parts.iter_mut().filter(|part| part.0 == source) {
                part.1 = part.1.max(weight);
            }
        }
        parts
    }

    pub(super) fn evidence(&self, service: &str) -> impl Iterator<Item = Evidence> {
        let weighed =
            self.about(service).filter(|finding| weigh(finding).is_some_and(|(_, weight)| weight > 0.0));
        weighed.flat_map(|finding| finding.evidence.iter().take(CITED).cloned())
    }

    fn about(&self, service: &str) -> impl Iterator<Item = &'a Finding> {
        self.0.get(service).into_iter().flatten().copied()
    }
}

/// What a finding rests on tells which source it is of.
fn weigh(finding: &Finding) -> Option<(Source, f64)> {
    let sure = if finding.confidence.is_finite() { finding.confidence.clamp(0.0, 1.0) } else { 0.0 };
    finding.evidence.iter().find_map(|evidence| match evidence {
        Evidence::Log { .. } => {
            let grave = match finding.severity {
                Severity::Critical | Severity::Error => 1.0,
                Severity::Warning => 0.4,
                // What is merely new is seen on every day.
                _ => 0.1,
            };
            Some((Source::Log, LOG * grave * sure))
        }
        // The share of the time that went elsewhere.
        Evidence::Stack { before, after, .. } => {
            Some((Source::Profile, PROFILE * (after - before).clamp(0.0, 1.0) * sure))
        }
        _ => None,
    })
}
