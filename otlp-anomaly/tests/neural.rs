//! What networks that foresee are for: values that are usual, but not here.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a test that is wrong should stop"
)]

mod chance;

use std::ops::Range;

use chance::Chance;
use otlp_anomaly::ErrorKind;
use otlp_anomaly::detect::{AttentionConfig, Detector, LstmConfig, RobustZConfig};
use otlp_anomaly::evaluate::{Labelled, average_precision};
use otlp_core::UnixNanos;

const POINTS: usize = 1_000;
const LEARNED: usize = 400;
const FIRST_FAULT: usize = 450;
const APART: usize = 60;
const LASTS: usize = 6;

/// What a machine does that fills, waits and empties, in fourteen points and by no sine.
const CYCLE: [f64; 14] = [0.0, 0.2, 0.5, 1.0, 1.8, 3.0, 3.0, 3.0, 2.9, 1.2, 1.2, 1.2, 0.3, 0.0];

/// The series, and where it is at fault: in turn it goes on from another place of the cycle, runs backwards, or is
/// stuck at a step, while every value stays one of every day. Without faults where none are asked for.
fn series(seed: u64, is_faulty: bool) -> (Vec<f64>, Vec<Range<usize>>) {
    let mut chance = Chance::new(seed);
    let (mut values, mut faults) = (Vec::new(), Vec::new());
    let mut place = 0;
    for point in 0..POINTS {
        let since = point.checked_sub(FIRST_FAULT).map(|since| since % APART).filter(|_| is_faulty);
        if since == Some(0) {
            faults.push(point..point + LASTS);
        }
        if let Some(since) = since.filter(|since| *since < LASTS) {
            place += match faults.len() % 3 {
                0 => CYCLE.len() - 1,
                1 => CYCLE.len() - 2,
                _ if since == 0 => 5,
                _ => 0,
            };
        }
        values.push(5.0 + CYCLE[place % CYCLE.len()] + 0.1 * chance.normal());
        place += 1;
    }
    (values, faults)
}

fn scores(detector: &mut dyn Detector, values: &[f64]) -> Vec<f64> {
    (0..)
        .zip(values)
        .map(|(second, &value)| detector.judge_one(UnixNanos::from_secs(second), value).score)
        .collect()
}

fn lstm() -> Box<dyn Detector> {
    Box::new(LstmConfig::new().hidden(6).window(18).training(LEARNED).effort(1_600).build().unwrap())
}

fn attention() -> Box<dyn Detector> {
    let config = AttentionConfig::new().heads(2).width(4).patch(5).window(28);
    Box::new(config.training(LEARNED).effort(3_200).build().unwrap())
}

fn robust_z() -> Box<dyn Detector> {
    Box::new(RobustZConfig::new().build().unwrap())
}

/// The area under precision and recall of the points after those that were learned from.
fn quality(mut detector: Box<dyn Detector>) -> f64 {
    let (values, faults) = series(11, true);
    let scores = scores(detector.as_mut(), &values);
    let faults: Vec<Range<usize>> = faults.iter().map(|at| at.start - LEARNED..at.end - LEARNED).collect();
    average_precision(&Labelled::new(&scores[LEARNED..], &faults).unwrap())
}

#[test]
fn a_pattern_that_breaks_is_seen_by_networks_and_not_by_distances() {
    let [lstm, attention, robust] = [lstm(), attention(), robust_z()].map(quality);
    println!(
        "area under precision and recall: lstm {lstm:.3}, attention {attention:.3}, robust z {robust:.3}"
    );
    assert!(robust < 0.2, "the baseline sees it too: {robust}");
    assert!(lstm > 2.0 * robust && lstm > 0.4, "{lstm} beside {robust}");
    assert!(attention > 2.0 * robust && attention > 0.4, "{attention} beside {robust}");
}

#[test]
fn without_a_fault_nothing_stands_out_and_the_usual_error_is_that_of_the_noise() {
    let (values, _) = series(12, false);
    for mut detector in [lstm(), attention()] {
        let scores = scores(detector.as_mut(), &values);
        assert!(scores[..LEARNED].iter().all(|score| *score == 0.0), "nothing is said before it was taught");
        let mut later = scores[LEARNED + 50..].to_vec();
        later.sort_by(f64::total_cmp);
        let (middle, most) = (later[later.len() / 2], later[later.len() - 1]);
        assert!((0.5..1.3).contains(&middle), "{detector:?}: {middle}");
        assert!(most < 9.0, "{middle} {most}");
    }
}

#[test]
fn a_score_is_explained_by_what_was_expected_here() {
    let (values, _) = series(13, false);
    for mut detector in [lstm(), attention()] {
        let known = LEARNED + 14 * 3 + 12;
        scores(detector.as_mut(), &values[..known]);
        // What is due at this place of the cycle, and something that is due half a cycle later.
        let due = 5.0 + CYCLE[known % CYCLE.len()];
        let other = 5.0 + CYCLE[(known + 7) % CYCLE.len()];
        let mut shares = [f64::NAN];
        let judgement = detector.judge(UnixNanos::from_secs(known as u64), &[other], &mut shares);
        assert!((judgement.expected - due).abs() < 0.5, "{judgement:?} where {due} was due");
        assert_eq!((judgement.met, judgement.deviation > 0.0), (other, other > due));
        assert!(judgement.score > 5.0 && shares == [judgement.score], "{judgement:?}");
    }
}

#[test]
fn a_seed_gives_its_judgements_and_another_gives_others() {
    let (values, _) = series(14, false);
    let run = |seed: u64| {
        let mut detector =
            LstmConfig::new().hidden(4).window(10).training(100).effort(400).seed(seed).build().unwrap();
        scores(&mut detector, &values[..300])
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn after_a_change_that_stays_it_learns_again_and_without_refits_it_does_not() {
    let mut chance = Chance::new(15);
    // From one pattern to the same at twice the speed.
    let at = |point: usize| if point < 400 { CYCLE[point % 14] } else { CYCLE[(2 * point) % 14] };
    let values: Vec<f64> = (0..1_200).map(|point| at(point) + 0.05 * chance.normal()).collect();
    let error = |refit_every: u32| {
        let config = LstmConfig::new().hidden(5).window(14).training(200).effort(1_200);
        let mut detector = config.refit_every(refit_every).build().unwrap();
        let mut off = Vec::new();
        for (second, &value) in (0..).zip(&values) {
            let judgement = detector.judge_one(UnixNanos::from_secs(second), value);
            off.push((judgement.met - judgement.expected).abs());
        }
        off[1_000..].iter().sum::<f64>() / 200.0
    };
    let (again, never) = (error(200), error(0));
    assert!(again < 0.5 * never, "{again} beside {never}");
}

#[test]
fn values_out_of_range_are_refused() {
    let lstm = LstmConfig::new();
    for config in [
        lstm.hidden(0),
        lstm.hidden(65),
        lstm.window(3),
        lstm.window(257),
        lstm.training(63),
        lstm.refit_every(15),
        lstm.effort(7),
        lstm.effort(50_001),
    ] {
        assert_eq!(config.build().unwrap_err().kind(), ErrorKind::Config, "{config:?}");
    }
    let attention = AttentionConfig::new();
    for config in [
        attention.heads(0),
        attention.heads(9),
        attention.width(33),
        attention.patch(0),
        attention.patch(33),
        attention.window(14),
        attention.training(16_385),
    ] {
        assert_eq!(config.build().unwrap_err().kind(), ErrorKind::Config, "{config:?}");
    }
}
