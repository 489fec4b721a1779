//! Drift is told soon after it, and seldom without it.

use otlp_anomaly::drift::{
    AdwinConfig, KswinConfig, PageHinkleyConfig, discoveries, population_stability, two_sample,
};
use proptest::prelude::*;

fn uniform(seed: u64, count: usize) -> Vec<f64> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..count).map(next).collect()
}

#[test]
fn adwin_tells_a_change_of_mean_and_keeps_what_came_after() {
    for seed in 0..10 {
        let mut drift = AdwinConfig::new().build().unwrap();
        let values = uniform(seed, 1_000)
            .into_iter()
            .chain(uniform(seed + 50, 1_000).into_iter().map(|value| value + 0.5));
        let told: Vec<usize> =
            values.enumerate().filter(|(_, value)| drift.observe(*value)).map(|(at, _)| at).collect();
        assert!(matches!(*told, [at] if (1_000..1_100).contains(&at)), "{told:?}");
        assert!(
            (drift.mean() - 1.0).abs() < 0.05 && drift.width() < 1_100,
            "{} {}",
            drift.mean(),
            drift.width()
        );
    }
    let mut steady = AdwinConfig::new().build().unwrap();
    assert_eq!(uniform(3, 20_000).iter().filter(|value| steady.observe(**value)).count(), 0);
    assert!(steady.width() == 20_000 && steady.buckets() < 80);
}

#[test]
fn page_hinkley_tells_either_way() {
    for sign in [1.0, -1.0] {
        let mut drift = PageHinkleyConfig::new().threshold(20.0).build().unwrap();
        let values = uniform(1, 500).into_iter().chain(uniform(2, 500).into_iter().map(|value| value + sign));
        let told: Vec<usize> =
            values.enumerate().filter(|(_, value)| drift.observe(*value)).map(|(at, _)| at).collect();
        assert!(told.first().is_some_and(|at| (500..550).contains(at)), "{told:?}");
    }
    let mut steady = PageHinkleyConfig::new().build().unwrap();
    assert!(!uniform(5, 5_000).iter().any(|value| steady.observe(*value)));
}

#[test]
fn kswin_tells_a_change_of_shape() {
    let mut drift = KswinConfig::new().build().unwrap();
    let values =
        uniform(1, 300).into_iter().chain(uniform(2, 100).into_iter().map(|value| 0.5 + (value - 0.5) * 8.0));
    let told: Vec<usize> =
        values.enumerate().filter(|(_, value)| drift.observe(*value)).map(|(at, _)| at).collect();
    assert!(told.iter().any(|at| (300..340).contains(at)), "{told:?}");
    assert!(told.iter().filter(|at| **at < 300).count() <= 3, "{told:?}");
}

#[test]
fn a_sample_from_elsewhere_has_a_small_p_and_one_from_there_has_any() {
    let p = |seed: u64, shift: f64| {
        let other: Vec<f64> = uniform(seed + 1_000, 100).into_iter().map(|value| value + shift).collect();
        two_sample(&uniform(seed, 100), &other).unwrap().p_value
    };
    let small = (0..200).filter(|seed| p(*seed, 0.0) < 0.05).count();
    assert!((1..=22).contains(&small), "{small} of 200 at five percent");
    assert!((0..20).all(|seed| p(seed, 0.4) < 0.01));
    assert!(two_sample(&[], &[1.0]).is_none() && two_sample(&[f64::NAN], &[1.0]).is_none());
}

#[test]
fn of_many_features_the_one_that_drifted_is_named() {
    let p_values: Vec<f64> = (0..50)
        .map(|feature| {
            let shift = if feature == 17 { 0.5 } else { 0.0 };
            let after: Vec<f64> =
                uniform(feature + 500, 200).into_iter().map(|value| value + shift).collect();
            two_sample(&uniform(feature, 200), &after).unwrap().p_value
        })
        .collect();
    assert_eq!(discoveries(&p_values, 0.05), [17]);
    // The twin: by the plain threshold more would be believed.
    assert!(p_values.iter().filter(|p_value| **p_value <= 0.05).count() >= 1);
    assert!(discoveries(&[], 0.05).is_empty() && discoveries(&[f64::NAN, 1.0], 0.05).is_empty());
}

#[test]
fn stability_is_told_by_its_index() {
    let (before, same) = (uniform(1, 2_000), uniform(2, 2_000));
    let moved: Vec<f64> = same.iter().map(|value| value * value).collect();
    assert!(population_stability(&before, &same).unwrap() < 0.05);
    assert!(population_stability(&before, &moved).unwrap() > 0.25);
    assert!(population_stability(&before, &[1.0]).is_none());
    assert!(population_stability(&[1.0; 50], &[1.0; 50]).unwrap() < 0.01);
}

#[test]
fn what_is_out_of_range_is_refused() {
    assert!(
        AdwinConfig::new().confidence(0.0).build().is_err() && AdwinConfig::new().clock(0).build().is_err()
    );
    assert!(
        PageHinkleyConfig::new().threshold(0.0).build().is_err()
            && PageHinkleyConfig::new().memory(1.5).build().is_err()
            && PageHinkleyConfig::new().tolerance(1e300).build().is_err()
    );
    assert!(
        KswinConfig::new().window(100, 60).build().is_err()
            && KswinConfig::new().significance(f64::NAN).build().is_err()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_value_breaks_a_detector(
        values in prop::collection::vec(prop_oneof![8 => -1e3..1e3_f64, 1 => Just(f64::NAN), 1 => Just(f64::NEG_INFINITY), 1 => Just(1e308)], 0..600),
    ) {
        let mut adwin = AdwinConfig::new().clock(1).build().unwrap();
        let mut page_hinkley = PageHinkleyConfig::new().build().unwrap();
        let mut kswin = KswinConfig::new().window(40, 12).build().unwrap();
        for value in &values {
            adwin.observe(*value);
            page_hinkley.observe(*value);
            kswin.observe(*value);
            prop_assert!(adwin.mean().is_finite() && adwin.width() <= values.len() as u64);
        }
        if let Some(test) = two_sample(&values, &values) {
            prop_assert!(test.distance == 0.0 && test.p_value == 1.0);
        }
        prop_assert!(population_stability(&values, &values).is_none_or(|index| index.abs() < 1e-9));
    }
}
