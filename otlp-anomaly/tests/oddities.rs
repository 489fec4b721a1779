//! Whatever comes in, every detector flags it, counts it, and says nothing that is no number.

#![allow(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a test that is wrong should stop")]

mod chance;
mod kinds;

use chance::Chance;
use kinds::{all, at, row};
use otlp_anomaly::detect::{Detector, Flag, Judgement};
use otlp_core::UnixNanos;
use proptest::prelude::*;

fn judge(detector: &mut dyn Detector, time: UnixNanos, value: f64) -> Judgement {
    let row = row(detector, value);
    let mut shares = vec![f64::NAN; row.len()];
    let judgement = detector.judge(time, &row, &mut shares);
    let numbers = [judgement.score, judgement.met, judgement.expected, judgement.deviation];
    let numbers = numbers.iter().chain(&shares).chain(&judgement.threshold);
    assert!(numbers.clone().all(|number| number.is_finite()), "{judgement:?} {shares:?}");
    assert!(judgement.score >= 0.0 && judgement.dimension < row.len(), "{judgement:?}");
    judgement
}

/// A detector that knows what is usual: a restless value around ten.
fn taught(detector: &mut dyn Detector) {
    let mut chance = Chance::new(1);
    (0..300).for_each(|point| _ = judge(detector, at(point), 10.0 + chance.normal()));
}

/// What it is, time and value, the flag, and the counts of invalid points, of those not later, and of gaps.
type Case = (&'static str, UnixNanos, f64, Option<Flag>, [u64; 3]);

#[test]
fn what_is_odd_is_flagged_and_counted() {
    let next = at(300);
    let cases: [Case; 11] = [
        ("usual", next, 10.0, None, [0, 0, 0]),
        ("not a number", next, f64::NAN, Some(Flag::Invalid), [1, 0, 0]),
        ("infinite", next, f64::INFINITY, Some(Flag::Invalid), [1, 0, 0]),
        ("infinite below", next, f64::NEG_INFINITY, Some(Flag::Invalid), [1, 0, 0]),
        ("too large", next, f64::MAX, Some(Flag::Invalid), [1, 0, 0]),
        ("denormal", next, 5e-324, None, [0, 0, 0]),
        ("negative zero", next, -0.0, None, [0, 0, 0]),
        ("the same time again", at(299), 10.0, Some(Flag::NotLater), [0, 1, 0]),
        ("the clock set back", at(2), 10.0, Some(Flag::NotLater), [0, 1, 0]),
        ("the beginning of time", UnixNanos(0), 10.0, Some(Flag::NotLater), [0, 1, 0]),
        ("a year later", at(300 + 365 * 288), 10.0, Some(Flag::Gap), [0, 0, 1]),
    ];
    for (what, time, value, flag, [invalid, not_later, gaps]) in cases {
        for (name, mut detector) in all() {
            taught(detector.as_mut());
            let judgement = judge(detector.as_mut(), time, value);
            assert_eq!(judgement.flag, flag, "{name}: {what}");
            let odd = detector.odd();
            assert_eq!((odd.invalid, odd.not_later, odd.gaps), (invalid, not_later, gaps), "{name}: {what}");
            if flag == Some(Flag::Invalid) {
                assert_eq!(judgement.score.to_bits(), 0, "{name}: {what}");
                assert!(!judgement.is_alarm);
            }
            // It is none the worse for it.
            (301..330).for_each(|point| _ = judge(detector.as_mut(), at(point + 365 * 288), 10.0));
        }
    }
}

#[test]
fn a_row_of_another_length_is_flagged() {
    for (name, mut detector) in all() {
        for row in [&[][..], &[1.0; 3]] {
            let judgement = detector.judge(at(0), row, &mut []);
            assert_eq!((judgement.flag, judgement.is_alarm), (Some(Flag::Invalid), false), "{name}");
        }
        assert_eq!(detector.odd().invalid, 2, "{name}");
    }
}

#[test]
fn what_never_changes_raises_nothing_and_leaving_it_is_seen() {
    for constant in [0.0, -0.0, 7.0, 1e-310, -1e25] {
        for (name, mut detector) in all() {
            let mut highest = 0.0_f64;
            for point in 0..400 {
                let judgement = judge(detector.as_mut(), at(point), constant);
                assert!(!judgement.is_alarm, "{name}: {constant} at {point}: {judgement:?}");
                highest = if point > 100 { highest.max(judgement.score) } else { 0.0 };
            }
            if name.starts_with("isolation") {
                // Rows that never differed tell it nothing: its stated limit.
                continue;
            }
            let left = constant + constant.abs().max(1.0);
            let scores: Vec<f64> =
                (400..403).map(|point| judge(detector.as_mut(), at(point), left).score).collect();
            assert!(
                scores.iter().any(|score| *score > 1.2 * highest),
                "{name}: {constant}: {highest} {scores:?}"
            );
        }
    }
}

#[test]
fn a_spike_is_seen_with_what_was_expected_and_how_far_off_it_is() {
    for (name, mut detector) in all() {
        taught(detector.as_mut());
        let usual = judge(detector.as_mut(), at(300), 10.1);
        let spikes: Vec<Judgement> =
            (301..303).map(|point| judge(detector.as_mut(), at(point), 40.0)).collect();
        let spike = spikes.iter().max_by(|a, b| a.score.total_cmp(&b.score)).unwrap();
        assert!(
            spike.is_ready && spike.score > 1.2 * usual.score.max(0.1),
            "{name}: {spike:?} beside {usual:?}"
        );
        assert!(
            spike.met > spike.expected && spike.deviation > 3.0 && spike.deviation > 2.0 * usual.deviation,
            "{name}: {spike:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nothing_makes_it_say_what_is_no_number(
        points in proptest::collection::vec(
            (any::<u64>(), prop_oneof![any::<f64>(), Just(0.0), -1e3..1e3_f64, Just(1e150), Just(1e30), Just(f64::MIN_POSITIVE)]),
            1..200,
        ),
    ) {
        for (_, mut detector) in all() {
            points.iter().for_each(|&(time, value)| _ = judge(detector.as_mut(), UnixNanos(time), value));
        }
    }
}
