//! Causal checks beside ranked causes: what usual steps show, what they do not, and what is refuted.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that is wrong should stop")]

mod chance;

use chance::Chance;
use otlp_anomaly::cause::{Analyzer, Case, CausalCheck, Period, ServiceMetric, Symptom, Verdict};

/// How the latency of db is felt by web, through cart, in usual steps.
#[derive(Clone, Copy, PartialEq)]
enum Felt {
    Fully,
    Never,
    /// In one step alone.
    Once,
}

/// A case in which db adds a second that arrives at web; gives the check of db.
fn check(seed: u64, felt: Felt, steps: usize) -> Option<CausalCheck> {
    let mut chance = Chance::new(seed);
    let mut step = |extra: f64, odd: f64| {
        let queue = 0.05 * chance.normal();
        let db = 0.2 + queue + 0.05 * chance.normal() + extra + odd;
        let passed_on = if felt == Felt::Fully || extra > 0.0 { db } else { 0.2 + odd };
        let cart = passed_on + 0.1 + 0.03 * chance.normal();
        [db, cart, cart + 0.1 + 0.03 * chance.normal()]
    };
    let odd = |at: usize| if felt == Felt::Once && at == 40 { 30.0 } else { 0.0 };
    let usual: Vec<[f64; 3]> = (0..steps).map(|at| step(0.0, odd(at))).collect();
    let since: Vec<[f64; 3]> = (0..12).map(|_| step(1.0, 0.0)).collect();
    let column = |rows: &[[f64; 3]], at: usize| -> Vec<f64> { rows.iter().map(|row| row[at]).collect() };
    let columns: Vec<(Vec<f64>, Vec<f64>)> =
        (0..3).map(|at| (column(&usual, at), column(&since, at))).collect();
    let named = ["db", "cart", "web"].into_iter().zip(&columns);
    let metrics: Vec<ServiceMetric<'_>> = named
        .map(|(service, (normal, anomalous))| ServiceMetric { service, metric: "latency", normal, anomalous })
        .collect();
    let calls = [("web", "cart"), ("cart", "db")].map(|(from, to)| (from.to_owned(), to.to_owned()));
    let symptom = Some(Symptom { service: "web", metric: "latency" });
    let case = Case { metrics: &metrics, calls: &calls, symptom, ..Case::default() };
    let ranking = Analyzer::default().rank(&Period::default(), &Period::default(), &case);
    let db = ranking.causes.iter().find(|cause| cause.subject.service() == Some("db")).unwrap();
    let told = db.evidence.iter().any(|evidence| evidence.to_string().starts_with("causal check: "));
    assert_eq!(told, db.check.is_some());
    db.check.clone()
}

#[test]
fn an_effect_that_usual_steps_show_holds_and_explains_the_shift() {
    for seed in 1..6 {
        let check = check(seed, Felt::Fully, 300).unwrap();
        assert_eq!(check.verdict(), Verdict::Holds, "{check:?}");
        assert!((check.effect.slope - 1.0).abs() < 0.15 && (check.explained - 1.0).abs() < 0.2, "{check:?}");
    }
}

#[test]
fn what_usual_steps_do_not_show_is_not_taken_for_an_effect() {
    let seen = (1..21).filter(|seed| check(*seed, Felt::Never, 300).unwrap().verdict() == Verdict::Holds);
    let seen = seen.count();
    assert!(seen <= 3, "{seen} of 20");
}

#[test]
fn an_effect_of_one_step_is_refuted_and_few_steps_are_not_checked() {
    let check_of_one = check(4, Felt::Once, 300).unwrap();
    assert_ne!(check_of_one.verdict(), Verdict::Holds, "{check_of_one:?}");
    assert!(check_of_one.effect.refutation.is_refuted(), "{check_of_one:?}");
    assert_eq!(check(4, Felt::Fully, 40), None);
}
