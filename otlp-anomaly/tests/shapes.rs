//! What the near past makes of a point: principal components, polynomials, extremes beside a drift; decisions.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that is wrong should stop")]

mod chance;

use chance::Chance;
use otlp_anomaly::ErrorKind;
use otlp_anomaly::detect::{Decided, Detector, PolyConfig, SpotConfig, SubPcaConfig};
use otlp_anomaly::score::Budget;
use otlp_core::UnixNanos;

fn at(point: usize) -> UnixNanos {
    UnixNanos::from_secs(300 * point as u64)
}

/// A wave of sixteen points with a little noise, of SplitMix64 with seed 11.
fn wave(points: usize) -> Vec<f64> {
    let mut state = 11_u64;
    let mut draw = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..points)
        .map(|nth| 3.0 * (std::f64::consts::TAU * nth as f64 / 16.0).sin() + 0.2 * (draw() - 0.5))
        .collect()
}

#[test]
fn distances_from_the_components_are_those_of_numpy() {
    // Of `w = sliding_window_view(y, 8)`, `np.linalg.eigh(np.cov(w.T, bias=True))` with two components: the root of
    // the mean of `a ** 2 / eigenvalue` and of what is left over its mean variance, for a window whose last value is
    // another. numpy 2.
    for (last, score, expected) in [
        (0.0, 0.826_783_064_473_164_4, -0.043_366_492_574_074_6),
        (3.0, 16.490_810_847_531_318, 0.706_752_572_519_907),
    ] {
        let mut detector =
            SubPcaConfig::new().shingle(8).components(2).memory(100_000).refresh(1).build().unwrap();
        for (nth, value) in wave(800).into_iter().enumerate() {
            let judgement = detector.judge_one(at(nth), value);
            // Above three a window would have less weight than in numpy.
            assert!(judgement.score < 3.0, "{nth}: {judgement:?}");
        }
        let judgement = detector.judge_one(at(800), last);
        assert!((judgement.score / score - 1.0).abs() < 1e-3, "{judgement:?} for {score}");
        assert!((judgement.expected - expected).abs() < 1e-3, "{judgement:?} for {expected}");
    }
}

#[test]
fn a_beat_left_out_is_odd_although_every_value_is_usual() {
    let detectors: [Box<dyn Detector>; 2] = [
        Box::new(SubPcaConfig::new().build().unwrap()),
        Box::new(PolyConfig::new().window(20).degree(5).build().unwrap()),
    ];
    for mut detector in detectors {
        let mut values = wave(1_200);
        values.drain(1_000..1_008);
        let scores: Vec<f64> =
            values.iter().enumerate().map(|(nth, &value)| detector.judge_one(at(nth), value).score).collect();
        let before = scores[400..1_000].iter().copied().fold(0.0, f64::max);
        let broken = scores[1_000..1_008].iter().copied().fold(0.0, f64::max);
        assert!(broken > 1.5 * before, "{broken} beside {before}: {detector:?}");
        let after = scores[1_060..].iter().copied().fold(0.0, f64::max);
        assert!(after < broken, "it is over");
    }
}

#[test]
fn extremes_follow_a_drift_only_with_a_depth() {
    let alarms = |depth: usize| {
        let (mut detector, mut chance) =
            (SpotConfig::new().depth(depth).initial(400).build().unwrap(), Chance::new(2));
        let alarms = (0..6_000).filter(|&point| {
            let drift = 0.004 * point as f64;
            let spike = if point == 5_000 { 9.0 } else { 0.0 };
            detector.judge_one(at(point), 100.0 + drift + spike + chance.normal()).is_alarm
        });
        alarms.collect::<Vec<_>>()
    };
    let with = alarms(50);
    assert!(with.len() <= 5 && with.contains(&5_000), "{with:?}");
    assert!(!alarms(0).contains(&5_000), "what is high is extreme all the time by then");
}

#[test]
fn a_decision_keeps_to_its_budget_and_tells_an_episode_once() {
    let inner = Box::new(PolyConfig::new().build().unwrap());
    let (mut detector, mut chance) =
        (Decided::new(inner, Budget::per_windows(1.0, 1_000).unwrap(), 20).unwrap(), Chance::new(12));
    let mut alarms = |range: std::ops::Range<usize>, shift: f64| {
        range
            .filter(|&point| {
                detector.judge_one(at(point), shift * (point % 2) as f64 + chance.normal()).is_alarm
            })
            .count()
    };
    let noise = alarms(0..10_000, 0.0);
    assert!((2..=22).contains(&noise), "{noise} where ten are due");
    assert_eq!(alarms(10_100..10_116, 40.0), 1, "sixteen points that leap are one");
    let twice = Decided::new(Box::new(detector), Budget::DEFAULT, 1);
    assert_eq!(twice.unwrap_err().kind(), ErrorKind::Config);
}

#[test]
fn impossible_settings_are_refused() {
    let refused = [
        PolyConfig::new().window(1).build().err(),
        PolyConfig::new().degree(16).build().err(),
        SubPcaConfig::new().components(0).build().err(),
        SubPcaConfig::new().shingle(300).build().err(),
        SpotConfig::new().risk(0.5).build().err(),
        SpotConfig::new().depth(5_000).build().err(),
    ];
    assert!(
        refused.iter().all(|error| error.as_ref().is_some_and(|error| error.kind() == ErrorKind::Config))
    );
}
