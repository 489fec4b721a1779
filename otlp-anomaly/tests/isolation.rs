//! Isolation forests: batch beside scikit-learn's, and over streams.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that is wrong should stop")]

mod chance;

use chance::Chance;
use otlp_anomaly::ErrorKind;
use otlp_anomaly::detect::{Detector, IsolationConfig};
use otlp_core::UnixNanos;

/// 500 rows of two values that go together, of SplitMix64 with seed 7, the upper 53 bits of each as a share of 1.
fn rows() -> Vec<f64> {
    let mut state = 7_u64;
    let mut draw = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    let row = |_| {
        let draws: [f64; 8] = std::array::from_fn(|_| draw());
        let (x, noise) = (draws[..4].iter().sum::<f64>(), draws[4..].iter().sum::<f64>());
        [x, 3.0 * x + noise]
    };
    (0..500).flat_map(row).collect()
}

/// Rows and the mean of `-IsolationForest(n_estimators=100, max_samples=256,
/// random_state=k).fit(rows).score_samples(row)` over 40 seeds, scikit-learn 1.9.1.
const GOLDEN: [([f64; 2], f64); 6] = [
    ([2.0, 8.0], 0.4251),
    ([2.0, 2.0], 0.6603),
    ([3.5, 12.0], 0.6901),
    ([0.5, 3.5], 0.7011),
    ([8.0, 30.0], 0.7521),
    ([1.2, 6.2], 0.4946),
];

#[test]
fn scores_are_those_of_scikit_learn_but_for_chance() {
    let rows = rows();
    let seeds = 8;
    let mut sums = [0.0; GOLDEN.len()];
    for seed in 0..seeds {
        let forest = IsolationConfig::new().dimensions(2).seed(seed).fit(&rows).unwrap();
        sums.iter_mut().zip(GOLDEN).for_each(|(sum, (row, _))| *sum += forest.score(&row).unwrap());
    }
    for (sum, (row, theirs)) in sums.iter().zip(GOLDEN) {
        let ours = sum / seeds as f64;
        // One forest strays from the mean of many by about 0.01.
        assert!((ours - theirs).abs() < 0.012, "{row:?}: {ours} for {theirs}");
    }
}

#[test]
fn a_stream_is_followed_and_what_it_left_becomes_odd() {
    let (mut forest, mut chance) = (IsolationConfig::new().window(512).build().unwrap(), Chance::new(4));
    let mut mean = |forest: &mut dyn Detector, level: f64, points: u64| {
        let scores = (0..points)
            .map(|point| forest.judge_one(UnixNanos::from_secs(point), level + chance.normal()).score);
        scores.sum::<f64>() / points as f64
    };
    let usual = mean(&mut forest, 10.0, 1_000);
    let at_first = mean(&mut forest, 40.0, 5);
    assert!(at_first > usual + 0.15, "{at_first} after {usual}");
    let later = {
        mean(&mut forest, 40.0, 1_500);
        mean(&mut forest, 40.0, 100)
    };
    assert!(later < at_first - 0.15, "{later} after {at_first}");
    assert!(mean(&mut forest, 10.0, 5) > later + 0.1, "it was forgotten");
}

#[test]
fn the_value_that_is_off_has_most_of_the_score() {
    let (mut forest, mut chance) = (IsolationConfig::new().dimensions(3).build().unwrap(), Chance::new(6));
    let mut shares = [0.0; 3];
    for point in 0..400 {
        forest.judge(
            UnixNanos::from_secs(point),
            &[chance.normal(), 5.0 * chance.normal(), 100.0 + chance.normal()],
            &mut shares,
        );
    }
    let judgement = forest.judge(UnixNanos::from_secs(400), &[0.1, 2.0, 112.0], &mut shares);
    assert_eq!(judgement.dimension, 2);
    assert!(judgement.deviation > 9.0 && (judgement.expected - 100.0).abs() < 0.5, "{judgement:?}");
    assert!(shares[2] > 0.9 * judgement.score && (shares.iter().sum::<f64>() - judgement.score).abs() < 1e-9);
}

#[test]
fn impossible_settings_and_rows_are_refused() {
    let config = IsolationConfig::new();
    for config in [
        config.dimensions(0),
        config.sample(1),
        config.window(100),
        config.trees(0),
        config.dimensions(1_024).window(65_536),
    ] {
        assert_eq!(config.build().unwrap_err().kind(), ErrorKind::Config, "{config:?}");
    }
    for rows in [&[][..], &[1.0, 2.0, 3.0], &[1.0, f64::NAN]] {
        assert!(config.dimensions(2).fit(rows).unwrap_err().is_malformed());
    }
    let forest = config.fit(&[1.0, 1.0]).unwrap();
    assert_eq!(forest.score(&[1.0, 2.0]).unwrap_err().kind(), ErrorKind::Config);
    assert!(
        (forest.score(&[7.0]).unwrap() - 0.5).abs() < 1e-9,
        "of rows that never differ nothing can be said"
    );
}
