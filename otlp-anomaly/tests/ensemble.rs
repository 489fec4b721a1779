//! Several detectors as one: weights that learn from feedback.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that is wrong should stop")]

mod chance;

use chance::Chance;
use otlp_anomaly::ErrorKind;
use otlp_anomaly::detect::{
    CusumConfig, Decided, Detector, Ensemble, ExtremesConfig, PolyConfig, RobustZConfig, VectorConfig,
    restore,
};
use otlp_anomaly::score::Budget;
use otlp_core::UnixNanos;

fn two() -> Ensemble {
    // The first sees spikes; the second adds up what spikes hardly change.
    let members: Vec<Box<dyn Detector>> = vec![
        Box::new(RobustZConfig::new().build().unwrap()),
        Box::new(CusumConfig::new().known(0.0, 30.0).build().unwrap()),
    ];
    Ensemble::new(members).unwrap()
}

/// Noise with a spike each 250 points; tells what it was where asked to.
fn run(ensemble: &mut Ensemble, points: u64, tells: bool) -> (f64, f64) {
    let (mut chance, mut spikes, mut others) = (Chance::new(5), (0.0, 0.0), (0.0, 0.0));
    for point in 0..points {
        let is_spike = point % 250 == 249;
        let value = chance.normal() + if is_spike { 12.0 } else { 0.0 };
        let judgement = ensemble.judge_one(UnixNanos::from_secs(point), value);
        let sum = if is_spike { &mut spikes } else { &mut others };
        *sum = (sum.0 + judgement.score, sum.1 + 1.0);
        if tells {
            ensemble.feedback(is_spike);
        }
    }
    (spikes.0 / spikes.1, others.0 / others.1)
}

#[test]
fn the_member_that_is_right_gains_weight_and_only_by_feedback() {
    let mut silent = two();
    let before = run(&mut silent, 4_000, false);
    assert_eq!(silent.weights().collect::<Vec<_>>(), [0.5, 0.5]);
    let mut told = two();
    let after = run(&mut told, 4_000, true);
    let weights: Vec<f64> = told.weights().collect();
    assert!(weights[0] > 0.8 && (weights.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{weights:?}");
    assert!(after.0 > 1.5 * before.0, "spikes score higher: {after:?} and {before:?}");
    // The twin that is told the contrary trusts the other one.
    let mut lied = two();
    for point in 0..3_000_u64 {
        let is_spike = point % 250 == 249;
        lied.judge_one(
            UnixNanos::from_secs(point),
            (point * 37 % 11) as f64 / 10.0 + if is_spike { 12.0 } else { 0.0 },
        );
        lied.feedback(!is_spike && point % 250 < 2);
    }
    assert!(lied.weights().next().unwrap() < 0.5);
}

#[test]
fn a_point_teaches_once_and_one_left_out_not_at_all() {
    let mut ensemble = two();
    run(&mut ensemble, 1_000, false);
    ensemble.judge_one(UnixNanos::from_secs(1_000), 15.0);
    ensemble.feedback(true);
    let weights: Vec<u64> = ensemble.weights().map(f64::to_bits).collect();
    ensemble.feedback(true);
    ensemble.judge_one(UnixNanos::from_secs(1_001), f64::NAN);
    ensemble.feedback(true);
    assert_eq!(ensemble.weights().map(f64::to_bits).collect::<Vec<_>>(), weights);
}

#[test]
fn what_does_not_go_together_is_refused() {
    let extremes = || -> Box<dyn Detector> { Box::new(ExtremesConfig::new().build().unwrap()) };
    let refused: Vec<Vec<Box<dyn Detector>>> = vec![
        vec![],
        (0..17).map(|_| extremes()).collect(),
        vec![extremes(), Box::new(VectorConfig::new(2).build().unwrap())],
        vec![Box::new(two())],
        vec![Box::new(Decided::new(extremes(), Budget::DEFAULT, 5).unwrap())],
    ];
    for members in refused {
        assert_eq!(Ensemble::new(members).unwrap_err().kind(), ErrorKind::Config);
    }
    // A decision about an ensemble is one, and comes back from its checkpoint.
    let decided = Decided::new(
        Box::new(Ensemble::new(vec![extremes(), Box::new(PolyConfig::new().build().unwrap())]).unwrap()),
        Budget::DEFAULT,
        5,
    );
    let mut bytes = Vec::new();
    decided.unwrap().checkpoint(&mut bytes);
    assert!(restore(&bytes).is_ok());
}
