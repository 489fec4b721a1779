//! Findings on the logs of a shop that breaks, and on those of one that does not.

#![expect(clippy::indexing_slicing, reason = "helpers of tests may panic")]
#![expect(clippy::cast_possible_truncation, reason = "the generator takes what bits it needs")]

mod shop;

use otlp_core::UnixNanos;
use otlp_core::finding::{Evidence, Severity, Subject};
use otlp_logai::grade::grouping_accuracy;
use otlp_logai::{Limits, LogAnalyzer, Novelty, TemplateMiner, Window};
use shop::{Fault, START, logs};

fn analyze(seed: u64, fault: Fault, since: u64) -> LogAnalyzer {
    let mut analyzer = LogAnalyzer::new(&Limits::default());
    for written in logs(seed, 40, 40, fault, since) {
        analyzer.observe(written.time, written.service, written.line.as_bytes());
    }
    analyzer
}

fn window(since: u64, until: u64) -> Window {
    Window { since: UnixNanos::from_secs(START + since), until: UnixNanos::from_secs(START + until) }
}

#[test]
fn a_lost_index_is_told_by_the_new_line_of_the_database() {
    for seed in 0..4 {
        let finding = analyze(seed, Fault::DbSlow, 25).explain(window(25, 40), Some("db")).unwrap();
        assert_eq!(finding.subject, Subject::Service("db".into()));
        assert_eq!(
            finding.title,
            "db logs what it never logged before: \
             \"index missing, scanning table=items rows=<num>\""
        );
        assert!(
            finding.detail.starts_with("2 kinds of lines changed: db 1 new; inventory 1 new."),
            "{}",
            finding.detail
        );
        assert!(finding.detail.contains("from db at level WARN"), "{}", finding.detail);
        assert!(finding.detail.ends_with("The suspect, db, is among them; lines of inventory name it."));
        assert_eq!(finding.severity, Severity::Error);
        assert!(finding.confidence > 0.99);
        let cited: Vec<_> = finding.evidence.iter().filter(|e| matches!(e, Evidence::Log { .. })).collect();
        assert_eq!(cited.len(), 2);
        assert!(matches!(cited[0], Evidence::Log { service, line, time }
            if service == "db" && line.contains("index missing") && *time >= window(25, 40).since));
    }
}

#[test]
fn a_wrong_suspect_is_said_to_log_as_before() {
    let finding = analyze(1, Fault::DbSlow, 25).explain(window(25, 40), Some("cache")).unwrap();
    assert_eq!(finding.subject.service(), Some("db"));
    assert!(finding.detail.ends_with("The suspect, cache, logs as before, and no changed line names it."));
}

#[test]
fn a_rate_that_rose_is_told_with_its_factor() {
    let analyzer = analyze(3, Fault::ErrorBurst, 25);
    let changes = analyzer.changes(window(25, 40), None);
    assert_eq!((changes[0].service.as_str(), changes[0].kind), ("payment", Novelty::Rise));
    assert!(changes[0].template.contains("charge declined"), "{}", changes[0].template);
    let finding = analyzer.explain(window(25, 40), Some("payment")).unwrap();
    assert!(
        finding.title.starts_with("payment logs ") && finding.title.contains("times as often"),
        "{}",
        finding.title
    );
    assert_eq!(finding.severity, Severity::Warning);
}

#[test]
fn a_healthy_shop_raises_no_finding() {
    let mut windows = 0;
    for seed in 100..105 {
        let analyzer = analyze(seed, Fault::None, 0);
        for since in [10, 15, 20, 25, 30, 35] {
            let changes = analyzer.changes(window(since, since + 5), None);
            assert!(changes.is_empty(), "seed {seed}, from {since}: {changes:?}");
            windows += 1;
        }
    }
    assert_eq!(windows, 30);
}

#[test]
fn twice_the_load_alone_is_no_finding() {
    let mut analyzer = LogAnalyzer::new(&Limits::default());
    let calm = logs(5, 40, 30, Fault::None, 0).into_iter().filter(|w| w.time < window(25, 40).since);
    let busy = logs(6, 40, 60, Fault::None, 0).into_iter().filter(|w| w.time >= window(25, 40).since);
    for written in
        calm.chain(busy).filter(|written| written.service == "gateway" || written.service == "payment")
    {
        // Three kinds of lines more, so that the service has a typical one.
        let line = &written.line;
        for kind in ["", " a", " a b", " a b c"] {
            analyzer.observe(written.time, "front", format!("{line}{kind}").as_bytes());
        }
    }
    let changes = analyzer.changes(window(25, 40), None);
    assert!(changes.is_empty(), "{changes:?}");
}

#[test]
fn without_a_baseline_nothing_is_called_new() {
    let analyzer = analyze(1, Fault::DbSlow, 0);
    assert!(analyzer.explain(window(0, 40), Some("db")).is_none());
    assert!(LogAnalyzer::new(&Limits::default()).explain(window(0, 40), None).is_none());
}

#[test]
fn a_line_that_stopped_is_told_and_not_cited() {
    let mut analyzer = LogAnalyzer::new(&Limits::default());
    for second in 0..40 {
        let now = UnixNanos::from_secs(START + second);
        analyzer.observe(now, "a", b"INFO tick");
        for _ in 0..5 {
            if second < 25 {
                analyzer.observe(now, "a", b"INFO heartbeat sent");
            }
        }
    }
    let finding = analyzer.explain(window(25, 40), None).unwrap();
    assert_eq!(finding.title, "a no longer logs \"heartbeat sent\"");
    assert!(!finding.evidence.iter().any(|evidence| matches!(evidence, Evidence::Log { .. })));
}

fn accuracy(mut group: impl FnMut(&str) -> u64) -> f64 {
    let lines = logs(9, 30, 60, Fault::DbSlow, 20);
    let truth: Vec<_> = lines.iter().map(|written| written.kind).collect();
    let predicted: Vec<_> = lines.iter().map(|written| group(&written.line)).collect();
    grouping_accuracy(&predicted, &truth)
}

#[test]
fn the_kinds_of_lines_of_the_shop_are_told_apart() {
    let mut miner = TemplateMiner::new(&Limits::default());
    // The header is taken off first, as the analyser does it.
    let mut group = |line: &str| {
        let line = otlp_logai::Line::parse(line.as_bytes(), None, &Limits::default()).message().to_owned();
        miner.observe(&line).id.0
    };
    assert_eq!(accuracy(&mut group), 1.0);
    // And the check notices a parser that goes by the length of the line.
    assert!(accuracy(|line| line.len() as u64) < 0.5);
}
