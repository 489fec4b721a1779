//! One series and one row at a time: episodes, hiccups, odd values, bounds.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that is wrong should stop")]

mod chance;

use std::time::Duration;

use chance::Chance;
use otlp_anomaly::ErrorKind;
use otlp_anomaly::detect::{
    Direction, Metric, MetricConfig, Point, Robust, RobustConfig, Signal, State, Watch, WatchConfig,
};
use otlp_anomaly::feature::FeatureRow;
use otlp_anomaly::score::Budget;
use otlp_core::UnixNanos;
use otlp_core::aggregate::Sketch;
use otlp_core::finding::Subject;
use proptest::prelude::*;

fn steady(windows: usize) -> (Robust, Chance) {
    let mut detector = RobustConfig::new().build().unwrap();
    let mut chance = Chance::new(1);
    for _ in 0..windows {
        let state = detector.observe(Point::new(100.0 + chance.normal())).state;
        assert!(matches!(state, State::Warmup | State::Usual), "{state:?}");
    }
    (detector, chance)
}

fn states(detector: &mut Robust, values: &[f64]) -> Vec<State> {
    values.iter().map(|&value| detector.observe(Point::new(value)).state).collect()
}

#[test]
fn an_episode_raises_one_alarm() {
    let (mut detector, _) = steady(20);
    // It swings while it lasts, and once even looks usual.
    let states =
        states(&mut detector, &[200.0, 210.0, 250.0, 101.0, 400.0, 300.0, 100.0, 99.0, 101.0, 100.0]);
    assert_eq!(states[..3], [State::Usual, State::Raised { since: 1 }, State::Alarmed]);
    assert_eq!(states[3..8], [State::Alarmed; 5]);
    assert_eq!(states[8..], [State::Ended, State::Usual]);
}

#[test]
fn one_bad_window_is_a_hiccup_unless_it_is_overwhelming() {
    let (detector, _) = steady(20);
    assert_eq!(states(&mut detector.clone(), &[200.0, 100.0, 100.0, 200.0, 100.0]), [State::Usual; 5]);
    // The twin: the same two windows next to each other.
    assert_eq!(states(&mut detector.clone(), &[200.0, 200.0])[1], State::Raised { since: 1 });
    assert_eq!(states(&mut detector.clone(), &[100.0, 200.0, 100.0, 200.0])[3], State::Raised { since: 2 });
    assert_eq!(states(&mut detector.clone(), &[900.0])[0], State::Raised { since: 0 });
}

#[test]
fn opposite_hiccups_do_not_add_up() {
    let (mut detector, _) = steady(20);
    assert_eq!(states(&mut detector, &[200.0, 0.0, 100.0]), [State::Usual; 3]);
}

/// A restless series around 100: each window keeps half of the last one's noise, whose spread is eight.
fn restless(seed: u64) -> impl FnMut() -> f64 {
    let (mut chance, mut last) = (Chance::new(seed), 0.0);
    move || {
        last = 0.5 * last + 7.0 * chance.normal();
        100.0 + last
    }
}

/// When the alarm is raised, counted from the fault, which adds `shift` from window 20 on for 20 windows.
fn raised_after(seed: u64, shift: f64) -> Option<u32> {
    let mut detector = RobustConfig::new().direction(Direction::Up).build().unwrap();
    let mut series = restless(seed);
    (0..40_u32).find_map(|window| {
        let fault = if window < 20 { 0.0 } else { shift };
        let state = detector.observe(Point::new(series() + fault)).state;
        matches!(state, State::Raised { .. }).then(|| window.checked_sub(20).unwrap())
    })
}

#[test]
fn a_moderate_shift_that_lasts_is_seen_in_a_restless_series() {
    let delays: Vec<_> = (1..=200).filter_map(|seed| raised_after(seed, 45.0)).collect();
    let soon = delays.iter().filter(|windows| **windows < 10).count();
    assert!(soon >= 170, "{soon} of 200: {delays:?}");
    // The twin: the same noise with nothing in it.
    assert_eq!((1..=2_000).filter_map(|seed| raised_after(seed, 0.0)).count(), 0);
}

#[test]
fn direction_is_respected() {
    let series = [10.0, 10.0, 10.1, 9.9, 10.0, 10.0, 10.0, 1.0, 1.0, 1.0];
    let raised = |direction| {
        let mut detector = RobustConfig::new().direction(direction).build().unwrap();
        states(&mut detector, &series).iter().any(|state| matches!(state, State::Raised { .. }))
    };
    assert_eq!([Direction::Up, Direction::Down, Direction::Both].map(raised), [false, true, true]);
}

#[test]
fn what_is_too_small_to_matter_raises_no_alarm() {
    let (detector, _) = steady(200);
    let push = |min_rise: f64| {
        let mut detector = detector.clone();
        let point = Point { min_rise, ..Point::new(150.0) };
        (0..3).any(|_| matches!(detector.observe(point).state, State::Raised { .. }))
    };
    assert!(push(40.0) && !push(60.0));
}

#[test]
fn a_level_that_stays_is_learned_in_the_end() {
    let mut detector = RobustConfig::new().relearn_after(50).build().unwrap();
    let mut series = vec![10.0; 20];
    series.extend([90.0; 100]);
    let states = states(&mut detector, &series);
    let count = |wanted: fn(&State) -> bool| states.iter().filter(|state| wanted(state)).count();
    assert_eq!(count(|state| matches!(state, State::Raised { .. })), 1);
    assert_eq!(count(|state| *state == State::Relearned), 1);
    assert!((detector.expected().unwrap() - 90.0).abs() < 1e-9);
}

#[test]
fn a_bad_start_does_not_spoil_the_level() {
    let mut detector = RobustConfig::new().build().unwrap();
    states(&mut detector, &[900.0, 300.0, 100.0, 101.0, 99.0, 100.0, 100.0, 100.0]);
    assert!((detector.expected().unwrap() - 100.0).abs() < 5.0, "{:?}", detector.expected());
}

#[test]
fn what_is_no_number_is_left_out_and_counted() {
    let (mut detector, _) = steady(20);
    let expected = detector.expected();
    let odd = [f64::NAN, f64::INFINITY, -1e300];
    assert_eq!(states(&mut detector, &odd), [State::Invalid; 3]);
    let negative = Point { standard_error: -1.0, ..Point::new(100.0) };
    assert_eq!(detector.observe(negative).state, State::Invalid);
    assert_eq!((detector.invalid(), detector.expected()), (4, expected));
}

#[test]
fn a_detector_owns_no_heap_and_fits_two_kibibytes() {
    assert!(!std::mem::needs_drop::<Robust>());
    assert!(size_of::<Robust>() <= 2048, "{}", size_of::<Robust>());
}

#[test]
fn impossible_settings_are_refused() {
    let bad = [
        RobustConfig::new().warmup(2),
        RobustConfig::new().warmup(33),
        RobustConfig::new().needed(4),
        RobustConfig::new().needed(0),
        RobustConfig::new().among(9),
        RobustConfig::new().memory(1),
        RobustConfig::new().prior_scale(f64::NAN),
        RobustConfig::new().min_scale(0.0),
        RobustConfig::new().release(0),
    ];
    for config in bad {
        assert_eq!(config.build().unwrap_err().kind(), ErrorKind::Config);
    }
    assert!(Budget::per_windows(1.0, 1).is_err() && Budget::per_windows(0.0, 100).is_err());
    assert!(Budget::per_windows(f64::NAN, 100).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn nothing_makes_a_detector_say_what_is_no_number(
        values in proptest::collection::vec(prop_oneof![any::<f64>(), Just(0.0), -1e3..1e3_f64], 1..200),
        error in 0.0..10.0_f64,
    ) {
        let mut detector = RobustConfig::new().build().unwrap();
        for value in values {
            let verdict = detector.observe(Point { standard_error: error, ..Point::new(value) });
            let said = [verdict.expected, verdict.deviation, verdict.score, verdict.threshold];
            prop_assert!(said.iter().all(|number| number.is_finite()), "{:?} for {}", verdict, value);
        }
    }
}

/// A row of a service: requests, errors, and latencies around a middle in milliseconds.
fn row(second: u64, (requests, errors): (u64, u64), millis: f64) -> FeatureRow {
    let mut latency = Sketch::default();
    let mut chance = Chance::new(second);
    for _ in 0..requests {
        latency.add(millis / 1e3 * (0.3 * chance.normal()).exp());
    }
    FeatureRow {
        subject: Subject::Service("db".into()),
        start: UnixNanos::from_secs(second),
        window: Duration::from_secs(1),
        requests,
        errors,
        latency,
        mean_self_time_secs: None,
        requests_of_all: requests.max(1),
        is_partial: false,
    }
}

fn alarms(watch: &mut Watch, rows: impl IntoIterator<Item = FeatureRow>) -> Vec<(Metric, u64)> {
    let mut signals = Vec::new();
    rows.into_iter().for_each(|row| watch.observe(&row, &mut signals));
    let raised = signals.into_iter().filter_map(|signal| match signal {
        Signal::Raised(alarm) => Some((alarm.metric, alarm.since.0 / 1_000_000_000)),
        _ => None,
    });
    raised.collect()
}

fn clean(until: u64) -> impl Iterator<Item = FeatureRow> {
    (0..until).map(|second| row(second, (200, 0), 5.0))
}

#[test]
fn each_metric_has_its_alarm() {
    let cases = [
        (vec![(Metric::LatencyP50, 10), (Metric::LatencyP95, 10)], (200, 0), 400.0),
        (vec![(Metric::ErrorRate, 10)], (200, 50), 5.0),
        (vec![(Metric::Rate, 10)], (5, 0), 5.0),
        (vec![(Metric::Rate, 10)], (900, 0), 5.0),
        (vec![], (190, 4), 5.6),
    ];
    for (expected, counts, millis) in cases {
        let mut watch = WatchConfig::new().build().unwrap();
        let fault = (10..16).map(|second| row(second, counts, millis));
        let met = alarms(&mut watch, clean(10).chain(fault));
        assert_eq!(met, expected, "{counts:?} {millis}");
    }
}

#[test]
fn few_requests_prove_less_than_many() {
    let with = |requests: u64| {
        let mut watch = WatchConfig::new().without(Metric::Rate).build().unwrap();
        let clean = (0..10).map(|second| row(second, (requests, 0), 5.0));
        // A quarter fails either way.
        let fault = (10..13).map(|second| row(second, (requests, requests / 4), 5.0));
        alarms(&mut watch, clean.chain(fault)).len()
    };
    assert_eq!((with(200), with(8)), (1, 0));
}

#[test]
fn gaps_and_partial_windows_are_not_zeros() {
    let odd = |change: fn(&mut FeatureRow)| {
        let mut watch = WatchConfig::new().build().unwrap();
        let silence = (10..14).map(|second| {
            let mut silent = row(second, (0, 0), 5.0);
            change(&mut silent);
            silent
        });
        (alarms(&mut watch, clean(10).chain(silence)).len(), watch.stats().left_out)
    };
    assert_eq!(odd(|row| row.requests_of_all = 0), (0, 4));
    assert_eq!(odd(|row| row.is_partial = true), (0, 4));
    // The twin: others are heard of, so this one is silent indeed.
    assert_eq!(odd(|row| row.requests_of_all = 500), (1, 0));
}

#[test]
fn floors_are_configurable() {
    let rows = || clean(10).chain((10..14).map(|second| row(second, (200, 0), 20.0)));
    let with = |config: MetricConfig| {
        let watch = WatchConfig::new().metric(Metric::LatencyP50, config).without(Metric::LatencyP95);
        alarms(&mut watch.build().unwrap(), rows()).len()
    };
    let usual = MetricConfig::new(Metric::LatencyP50);
    assert_eq!(with(usual.clone()), 1);
    assert_eq!(with(usual.clone().min_absolute(0.050)), 0);
    assert_eq!(with(usual.clone().min_relative(10.0)), 0);
    assert_eq!(with(usual.min_requests(500)), 0);
}

#[test]
fn subjects_are_bounded_and_may_be_forgotten() {
    let mut watch = WatchConfig::new().max_subjects(1).build().unwrap();
    let mut other = row(1, (10, 0), 5.0);
    other.subject = Subject::Service("cache".into());
    let mut signals = Vec::new();
    watch.observe(&row(0, (10, 0), 5.0), &mut signals);
    watch.observe(&other, &mut signals);
    assert_eq!(watch.stats().dropped, 1);
    assert!(watch.forget(&Subject::Service("db".into())));
    watch.observe(&other, &mut signals);
    assert_eq!((watch.stats().dropped, watch.stats().rows), (1, 3));
}
