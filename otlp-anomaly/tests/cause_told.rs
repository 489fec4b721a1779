//! What other analysers say of services is evidence for causes, weighed by how sure and how grave it is.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that is wrong should stop")]

use otlp_anomaly::cause::{Analyzer, Case, Period, Ranking, Signal, Source};
use otlp_core::UnixNanos;
use otlp_core::finding::{Evidence, Finding, Severity, Subject};

fn finding(service: &str, severity: Severity, evidence: Evidence) -> Finding {
    Finding {
        time: UnixNanos(1),
        source: "test",
        severity,
        subject: Subject::Service(service.into()),
        title: "something".into(),
        detail: String::new(),
        confidence: 0.99,
        evidence: vec![evidence],
    }
}

fn log(service: &str, severity: Severity) -> Finding {
    let line = "ERROR pool exhausted".into();
    finding(service, severity, Evidence::Log { time: UnixNanos(1), service: service.into(), line })
}

fn stack(service: &str, before: f64, after: f64) -> Finding {
    finding(service, Severity::Error, Evidence::Stack { function: "checksum".into(), before, after })
}

fn rank(findings: &[Finding]) -> Ranking {
    let case = Case { findings, ..Case::default() };
    Analyzer::default().rank(&Period::default(), &Period::default(), &case)
}

#[test]
fn a_log_and_a_profile_speak_for_the_service_that_they_are_about() {
    let ranking = rank(&[
        log("db", Severity::Error),
        stack("db", 0.02, 0.9),
        log("cart", Severity::Info),
        stack("web", 0.30, 0.36),
    ]);
    let top = ranking.top().unwrap();
    assert_eq!(top.subject.service(), Some("db"));
    let sources: Vec<Source> = top.contributions.iter().map(|part| part.source).collect();
    assert_eq!(sources, [Source::Log, Source::Profile]);
    assert_eq!(sources[1].signal(), Signal::Profiles);
    assert!(top.evidence.iter().any(|evidence| evidence.to_string().contains("pool exhausted")), "{top:?}");
    assert!(ranking.causes[1..].iter().all(|cause| cause.score < 0.15), "{ranking:?}");
}

#[test]
fn what_is_merely_new_unsure_or_about_nobody_names_nobody() {
    let unsure = Finding { confidence: 0.1, ..log("db", Severity::Error) };
    let odd = Finding { confidence: f64::NAN, ..log("db", Severity::Error) };
    let system = Finding { subject: Subject::System, ..log("db", Severity::Critical) };
    let note = finding("db", Severity::Critical, Evidence::Note("it is bad".into()));
    for quiet in [log("db", Severity::Info), unsure, odd, system, note, stack("db", 0.9, 0.1)] {
        assert!(rank(std::slice::from_ref(&quiet)).is_none(), "{quiet:?}");
    }
}
