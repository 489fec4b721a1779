//! What goes beyond everything met before: aspects, episodes, budget, odd input.

#![allow(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a test that is wrong should stop")]

mod chance;

use chance::Chance;
use otlp_anomaly::ErrorKind;
use otlp_anomaly::detect::{Aspect, Extremes, ExtremesConfig, Reading};
use otlp_anomaly::score::Budget;
use otlp_core::UnixNanos;
use proptest::prelude::*;

const STEP_SECS: u64 = 300;
const DAY: u64 = 86_400 / STEP_SECS;

fn at(point: u64) -> UnixNanos {
    UnixNanos::from_secs(1_700_000_000 + STEP_SECS * point)
}

fn detector(points_a_false_alarm: u64) -> Extremes {
    let budget = Budget::per_windows(1.0, points_a_false_alarm).unwrap();
    ExtremesConfig::new().budget(budget).build().unwrap()
}

/// The alarms of a series, by the point and the aspect.
fn alarms(detector: &mut Extremes, series: impl IntoIterator<Item = f64>) -> Vec<(u64, Aspect)> {
    let told = (0..).zip(series).filter_map(|(point, value)| {
        let reading = detector.observe(at(point), value);
        reading.is_alarm.then_some((point, reading.aspect))
    });
    told.collect()
}

/// A day that rises and falls, with noise of one.
fn daily(seed: u64) -> impl FnMut(u64) -> f64 {
    let mut chance = Chance::new(seed);
    move |point| {
        let turn = (point % DAY) as f64 / DAY as f64 * std::f64::consts::TAU;
        100.0 - 40.0 * turn.cos() + chance.normal()
    }
}

/// When a fault is, and what it makes of the points that follow; nothing where it is over.
type Fault = fn(u64) -> Option<f64>;

#[test]
fn what_no_single_value_shows_is_seen_by_another_aspect() {
    let cases: [(&str, Fault); 3] = [
        ("down to what single points had before, and staying there", |_| Some(-9.0)),
        ("from edge to edge", |after| Some(if after % 2 == 0 { 9.0 } else { -9.0 })),
        ("restless", |after| Some(if after % 4 < 2 { 7.0 } else { -7.0 })),
    ];
    let fault_at = 12 * DAY;
    for (name, fault) in cases {
        let mut noise = Chance::new(3);
        let mut detector = detector(5_000);
        let series: Vec<f64> = (0..fault_at + 40)
            .map(|point| {
                let usual = match point % 397 {
                    // Single points far out, on both sides, so that values alone say nothing later.
                    30 => 9.5,
                    60 => -9.5,
                    _ => noise.normal(),
                };
                point.checked_sub(fault_at).and_then(fault).unwrap_or(usual)
            })
            .collect();
        let told = alarms(&mut detector, series);
        let first = told.iter().find(|(point, _)| *point >= fault_at);
        assert!(first.is_some_and(|(_, aspect)| *aspect != Aspect::Value), "{name}: {told:?}");
    }
}

#[test]
fn a_value_that_is_usual_at_another_time_of_the_day_is_seen() {
    let mut usual = daily(1);
    let mut detector = detector(20_000);
    // At the dead of night of the thirteenth day there is as much as at noon, for half an hour.
    let fault = 12 * DAY + 2..12 * DAY + 8;
    let series: Vec<f64> =
        (0..14 * DAY).map(|point| usual(point) + if fault.contains(&point) { 70.0 } else { 0.0 }).collect();
    let told = alarms(&mut detector, series);
    assert!(told.iter().any(|(point, _)| fault.contains(point)), "{told:?}");
    // The twin: without it there is nothing.
    let mut usual = daily(1);
    assert_eq!(alarms(&mut self::detector(20_000), (0..14 * DAY).map(&mut usual)), []);
}

#[test]
fn an_episode_is_told_once_and_scores_above_the_edge_only_what_is_worse() {
    let mut detector = detector(10_000);
    let mut chance = Chance::new(5);
    (0..2_000).for_each(|point| {
        detector.observe(at(point), 10.0 + chance.uniform());
    });
    let readings: Vec<Reading> = [30.0, 29.0, 35.0, 10.5, 34.0]
        .into_iter()
        .zip(2_000..)
        .map(|(value, point)| detector.observe(at(point), value))
        .collect();
    let told: Vec<bool> = readings.iter().map(|reading| reading.is_alarm).collect();
    assert_eq!(told, [true, false, false, false, false]);
    assert!(readings.iter().all(|reading| reading.is_in_episode));
    let above: Vec<bool> = readings.iter().map(|reading| reading.score > 3.0).collect();
    assert_eq!(above.first(), Some(&true));
    assert_eq!(above.get(1), Some(&false), "{readings:?}");
    // After the episode the next one is told again.
    (2_005..2_200).for_each(|point| {
        assert!(!detector.observe(at(point), 10.5).is_alarm);
    });
    assert!(detector.observe(at(2_200), 90.0).is_alarm);
}

#[test]
fn a_reading_says_what_was_met_and_what_was_usual() {
    let (mut detector, mut chance) = (detector(50_000), Chance::new(9));
    (0..500).for_each(|point| {
        detector.observe(at(point), 4.0 + 2.0 * chance.uniform());
    });
    let reading = detector.observe(at(500), 11.0);
    let (low, high) = reading.range;
    let halves = (reading.met - (low + high) / 2.0).abs() / ((high - low) / 2.0);
    assert!(reading.is_alarm && reading.met > high, "{reading:?}");
    assert!((reading.score - 3.0 * halves).abs() < 1e-9, "{reading:?}");
}

/// A value from chance and the one before.
type Noise = fn(&mut Chance, &mut f64) -> f64;

#[test]
fn the_budget_is_kept_on_noise() {
    const POINTS: u64 = 60_000;
    const A_FALSE_ALARM: u64 = 1_000;
    let kinds: [(&str, Noise); 5] = [
        ("gaussian", |chance, _| 50.0 + 4.0 * chance.normal()),
        ("lognormal", |chance, _| (0.5 * chance.normal()).exp()),
        ("student, 4 degrees", |chance, _| chance.student(4)),
        ("autoregressive, 0.5", |chance, last| {
            *last = 0.5 * *last + chance.normal();
            *last
        }),
        ("poisson", |chance, _| chance.poisson(50.0) as f64),
    ];
    for (name, kind) in kinds {
        let (mut chance, mut last) = (Chance::new(11), 0.0);
        let mut detector = detector(A_FALSE_ALARM);
        let told = alarms(&mut detector, (0..POINTS).map(|_| kind(&mut chance, &mut last))).len();
        let expected = POINTS / A_FALSE_ALARM;
        println!("{name}: {told} alarms, {expected} allowed");
        assert!(told as f64 <= 1.5 * expected as f64 + 3.0 * (expected as f64).sqrt(), "{name}: {told}");
    }
}

#[test]
fn what_is_perfectly_regular_raises_no_alarm() {
    let flat = |_: u64| 45.0;
    let square = |point: u64| if point % DAY < DAY / 2 { 20.0 } else { 80.0 };
    for series in [flat as fn(u64) -> f64, square] {
        let told = alarms(&mut detector(2_000), (0..14 * DAY).map(series));
        // That there is a day, and another one, is not known at first.
        assert!(told.iter().all(|(point, _)| *point <= DAY), "{told:?}");
    }
}

#[test]
fn odd_points_are_counted_and_told_from_the_rest() {
    let mut detector = detector(1_000);
    (0..100).for_each(|point| {
        detector.observe(at(point), (point % 7) as f64);
    });
    for odd in [f64::NAN, f64::INFINITY, -1e200] {
        let reading = detector.observe(at(100), odd);
        assert!(!reading.is_alarm && reading.score.to_bits() == 0);
    }
    detector.observe(at(99), 3.0);
    detector.observe(at(99), 3.0);
    detector.observe(at(99 + 400 * DAY), 3.0);
    let odd = detector.odd();
    assert_eq!((odd.invalid, odd.not_later, odd.gaps), (3, 2, 1));
}

#[test]
fn a_detector_owns_no_heap_and_fits_its_bound() {
    assert!(!std::mem::needs_drop::<Extremes>());
    assert!(size_of::<Extremes>() <= 2_300, "{}", size_of::<Extremes>());
}

#[test]
fn impossible_settings_are_refused() {
    for config in [
        ExtremesConfig::new().warmup(7),
        ExtremesConfig::new().warmup(u32::MAX),
        ExtremesConfig::new().episode(0),
    ] {
        assert_eq!(config.build().unwrap_err().kind(), ErrorKind::Config);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_makes_it_say_what_is_no_number(
        points in proptest::collection::vec(
            (any::<u64>(), prop_oneof![any::<f64>(), Just(0.0), -1e3..1e3_f64, Just(1e150), Just(f64::MIN_POSITIVE)]),
            1..300,
        ),
    ) {
        let mut detector = ExtremesConfig::new().warmup(8).build().unwrap();
        for (time, value) in points {
            let reading = detector.observe(UnixNanos(time), value);
            let said = [reading.score, reading.threshold];
            prop_assert!(said.iter().all(|number| number.is_finite() && *number >= 0.0), "{:?}", reading);
            prop_assert!(reading.met.is_finite() || !value.is_finite(), "{:?}", reading);
        }
    }
}
