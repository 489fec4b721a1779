//! The values of a service together, beside numpy; broken correlations.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that is wrong should stop")]

mod chance;

use chance::Chance;
use otlp_anomaly::ErrorKind;
use otlp_anomaly::detect::{Decided, Detector, Vector, VectorConfig};
use otlp_anomaly::score::Budget;
use otlp_core::UnixNanos;

/// 400 rows of three values of which two go together, of SplitMix64 with seed 21.
fn rows() -> Vec<[f64; 3]> {
    let mut state = 21_u64;
    let mut draw = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    let row = |_| {
        let [a, b, c]: [f64; 3] = std::array::from_fn(|_| draw());
        [100.0 * a, 300.0 * a + 40.0 * b, 0.01 * c - 0.002 * b]
    };
    (0..400).map(row).collect()
}

fn taught() -> Vector {
    let mut detector = VectorConfig::new(3).memory(100_000).refresh(1).build().unwrap();
    for (second, row) in (0..).zip(rows()) {
        let judgement = detector.judge(UnixNanos::from_secs(second), &row, &mut []);
        // Above three a row would have less weight than in numpy.
        assert!(judgement.score < 3.0, "{judgement:?}");
    }
    detector
}

#[test]
fn distances_and_what_the_others_make_of_a_value_are_those_of_numpy() {
    // Of `P = np.linalg.inv(R)` with `R` the correlations over 1.0001 off the diagonal, `z` the row in standard
    // deviations, `p = P @ z`: the root of `z @ p / 3`, and for the largest `p ** 2 / diag(P)` its place, `mean + sd
    // * (z - p / diag(P))` and `p / sqrt(diag(P))`.
    let broken = taught().judge(UnixNanos::from_secs(1_000), &[90.0, 60.0, 0.004], &mut []);
    let theirs = (11.501_745_286_485_36, 0, 13.839_743_806_645_188, 19.888_893_039_105_092);
    assert!((broken.score - theirs.0).abs() < 1e-8 && broken.dimension == theirs.1, "{broken:?}");
    assert!(
        (broken.expected - theirs.2).abs() < 1e-8 && (broken.deviation - theirs.3).abs() < 1e-8,
        "{broken:?}"
    );
    assert_eq!(broken.what, "correlation");
    let usual = taught().judge(UnixNanos::from_secs(1_000), &[50.0, 170.0, 0.004], &mut []);
    assert!((usual.score - 0.053_095_086_160_490_04).abs() < 1e-8, "{usual:?}");
    let mut shares = [0.0; 3];
    let high = taught().judge(UnixNanos::from_secs(1_000), &[50.0, 170.0, 0.03], &mut shares);
    assert!((high.score - 5.083_207_253_747_936).abs() < 1e-8, "{high:?}");
    assert_eq!((high.dimension, high.what), (2, "value"));
    assert!((high.deviation - 8.664_787_026_559_472).abs() < 1e-8, "{high:?}");
    assert!(shares[2] > 0.5 * high.score && (shares.iter().sum::<f64>() - high.score).abs() < 1e-9);
}

#[test]
fn a_service_whose_errors_stop_following_its_load_is_alarmed_about_once() {
    let inner = Box::new(VectorConfig::new(4).build().unwrap());
    let mut detector = Decided::new(inner, Budget::per_windows(1.0, 5_000).unwrap(), 60).unwrap();
    let mut chance = Chance::new(3);
    let mut alarms = Vec::new();
    for minute in 0..3_000_u64 {
        let load = 100.0 + 40.0 * (minute as f64 / 200.0).sin() + 3.0 * chance.normal();
        let latency = 20.0 + 0.2 * load + chance.normal();
        // From a point on, half of the requests do not reach the workers: less is used at the same load.
        let share = if (2_000..2_030).contains(&minute) { 0.5 } else { 1.0 };
        let row = [load, latency, share * 0.5 * load + chance.normal(), 7.0 + chance.normal()];
        let mut shares = [0.0; 4];
        let judgement = detector.judge(UnixNanos::from_secs(60 * minute), &row, &mut shares);
        if judgement.is_alarm {
            alarms.push((minute, judgement.dimension, judgement.what));
        }
    }
    assert!(alarms.contains(&(2_000, 2, "correlation")), "{alarms:?}");
    assert!(alarms.len() <= 4, "{alarms:?}");
}

#[test]
fn impossible_settings_are_refused() {
    for config in [
        VectorConfig::new(0),
        VectorConfig::new(65),
        VectorConfig::new(2).memory(3),
        VectorConfig::new(2).ridge(0.0),
    ] {
        assert_eq!(config.build().unwrap_err().kind(), ErrorKind::Config, "{config:?}");
    }
}
