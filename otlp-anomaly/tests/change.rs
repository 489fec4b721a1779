//! Changes are found where they are, and none where there is none.

#![expect(clippy::indexing_slicing, reason = "helpers of tests may panic")]

use otlp_anomaly::change::{BocpdConfig, e_divisive, pelt};
use proptest::prelude::*;

/// A generator of numbers that look random, the same ones for a seed.
fn normal(seed: u64, count: usize) -> Vec<f64> {
    let mut state = seed;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..count).map(|_| (0..12).map(|_| uniform()).sum::<f64>() - 6.0).collect()
}

fn steps(seed: u64, levels: &[(usize, f64)]) -> Vec<f64> {
    let count = levels.iter().map(|(count, _)| count).sum();
    let levels = levels.iter().flat_map(|&(count, level)| std::iter::repeat_n(level, count));
    normal(seed, count).iter().zip(levels).map(|(noise, level)| noise + level).collect()
}

#[test]
fn a_change_of_mean_or_spread_is_told_soon_and_noise_is_not() {
    for (seed, after) in [(1, 5.0), (2, -4.0)] {
        let mut changes = BocpdConfig::new().build().unwrap();
        let mut told = Vec::new();
        for (at, value) in steps(seed, &[(200, 0.0), (100, after)]).into_iter().enumerate() {
            if let Some(ago) = changes.observe(value).changed {
                told.push((at, at + 1 - ago));
            }
        }
        let first = told.iter().find(|(at, _)| *at >= 200).copied();
        assert!(first.is_some_and(|(at, begin)| at < 206 && (198..=202).contains(&begin)), "{told:?}");
        assert!(told.iter().filter(|(at, _)| *at < 200 && *at > 5).count() <= 1, "{told:?}");
    }
    let mut changes = BocpdConfig::new().build().unwrap();
    let wider = normal(3, 200).into_iter().chain(normal(4, 60).into_iter().map(|value| 6.0 * value));
    let told: Vec<usize> = wider
        .enumerate()
        .filter(|(_, value)| changes.observe(*value).changed.is_some())
        .map(|(at, _)| at)
        .collect();
    assert!(told.iter().any(|at| (200..220).contains(at)), "{told:?}");
}

#[test]
fn pruning_changes_no_answer_that_matters() {
    let values = steps(7, &[(150, 0.0), (100, 3.0), (150, -2.0)]);
    let mut whole = BocpdConfig::new().prune(0.0, 4_096).build().unwrap();
    let mut pruned = BocpdConfig::new().build().unwrap();
    for value in &values {
        let (a, b) = (whole.observe(*value), pruned.observe(*value));
        assert_eq!((a.length, a.changed), (b.length, b.changed));
        assert!((a.share - b.share).abs() < 1e-3);
    }
    assert!(pruned.runs() < whole.runs() / 2, "{} of {}", pruned.runs(), whole.runs());
}

#[test]
fn all_steps_are_found_at_once_and_none_in_noise() {
    let found = pelt(&steps(5, &[(80, 0.0), (60, 4.0), (100, -1.0)]), None, 2).unwrap().changes;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().zip([80_usize, 140]).all(|(met, wanted)| met.abs_diff(wanted) <= 1), "{found:?}");
    for seed in 0..20 {
        assert!(pelt(&normal(seed, 300), None, 2).unwrap().changes.is_empty(), "{seed}");
    }
}

/// The least cost over every segmentation, by trying all.
fn cheapest(values: &[f64], penalty: f64, least: usize) -> f64 {
    let cost = |part: &[f64]| {
        let mean = part.iter().sum::<f64>() / part.len() as f64;
        part.iter().map(|value| (value - mean).powi(2)).sum::<f64>()
    };
    let mut best = vec![f64::INFINITY; values.len() + 1];
    best[0] = -penalty;
    for until in least..=values.len() {
        for from in 0..=until - least {
            best[until] = best[until].min(best[from] + cost(&values[from..until]) + penalty);
        }
    }
    best[values.len()]
}

#[test]
fn a_slower_deploy_is_found_and_the_same_one_is_not() {
    let found = e_divisive(&steps(11, &[(30, 10.0), (30, 13.0)]), 0.02, 1).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    let change = found.first().unwrap();
    assert!(change.at.abs_diff(30) <= 1 && change.after - change.before > 2.0 && change.p_value <= 0.02);
    let wrong = (0..40).filter(|seed| !e_divisive(&normal(*seed, 40), 0.05, 1).unwrap().is_empty()).count();
    assert!(wrong <= 6, "{wrong} of 40 at five percent");
    // A change of spread alone is one of distribution.
    let wider: Vec<f64> =
        normal(1, 60).into_iter().chain(normal(2, 60).into_iter().map(|value| 8.0 * value)).collect();
    assert_eq!(e_divisive(&wider, 0.02, 1).unwrap().len(), 1);
}

#[test]
fn what_is_out_of_range_is_refused() {
    assert!(
        pelt(&[1.0, f64::NAN], None, 1).is_err()
            && pelt(&[1.0], None, 0).is_err()
            && pelt(&[1.0], Some(-1.0), 1).is_err()
    );
    assert!(pelt(&[], None, 1).unwrap().changes.is_empty());
    assert!(e_divisive(&[f64::INFINITY], 0.05, 1).is_err() && e_divisive(&[1.0; 2_000], 0.05, 1).is_err());
    assert!(e_divisive(&[1.0; 50], 0.9, 1).is_err() && e_divisive(&[1.0; 50], 0.05, 1).unwrap().is_empty());
    assert!(
        BocpdConfig::new().expected_run(0.5).build().is_err()
            && BocpdConfig::new().variance(0.0, 1.0).build().is_err()
    );
    assert!(
        BocpdConfig::new().prune(0.5, 100).build().is_err()
            && BocpdConfig::new().mean(f64::NAN, 1.0).build().is_err()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn pelt_costs_no_more_than_the_best_of_all_segmentations(
        values in prop::collection::vec(-10.0..10.0_f64, 2..40),
        penalty in 0.5..200.0_f64,
        least in 1_usize..4,
    ) {
        prop_assume!(values.len() >= least);
        let found = pelt(&values, Some(penalty), least).unwrap().changes;
        let edges: Vec<usize> = std::iter::once(0).chain(found.iter().copied()).chain([values.len()]).collect();
        let mut cost = penalty * found.len() as f64;
        for pair in edges.windows(2) {
            let part = values.get(pair[0]..pair[1]).unwrap_or_default();
            prop_assert!(part.len() >= least);
            let mean = part.iter().sum::<f64>() / part.len() as f64;
            cost += part.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        }
        prop_assert!(cost <= cheapest(&values, penalty, least) + 1e-6);
    }

    #[test]
    fn any_value_leaves_shares_that_are_shares(
        values in prop::collection::vec(prop_oneof![8 => -1e3..1e3_f64, 1 => Just(f64::NAN), 1 => Just(1e308), 1 => Just(0.0)], 0..200),
    ) {
        let mut changes = BocpdConfig::new().prune(1e-6, 16).build().unwrap();
        for value in values {
            let run = changes.observe(value);
            prop_assert!((0.0..=1.0 + 1e-9).contains(&run.share), "{run:?}");
            prop_assert!(run.changed.is_none_or(|ago| ago == run.length));
            prop_assert!(changes.runs() <= 16);
        }
    }
}
