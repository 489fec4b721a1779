//! From scores to decisions: by rank, by what was usual, over many series, and with what people said.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test that is wrong should stop"
)]

mod chance;
mod signed;

use chance::Chance;
use otlp_anomaly::detect::{
    AutoConfig, Decided, Detector, EwmaConfig, ExtremesConfig, Judgement, Metric, PolyConfig, RobustConfig,
    Signal, WatchConfig,
};
use otlp_anomaly::feature::FeatureRow;
use otlp_anomaly::score::{Budget, Conformal, Fleet, FleetConfig, Likelihood};
use otlp_core::UnixNanos;
use otlp_core::aggregate::Sketch;
use otlp_core::finding::Subject;
use proptest::prelude::*;
use signed::sign;

fn at(point: usize) -> UnixNanos {
    UnixNanos::from_secs(1_700_000_000 + 300 * point as u64)
}

#[test]
fn chances_by_rank_come_up_as_often_as_they_say_whatever_the_law() {
    for law in 0..3 {
        let mut chance = Chance::new(11 + law);
        let mut ranks = Conformal::new(500).unwrap();
        let mut low = [0_u32; 3];
        for step in 0..60_000 {
            let score = match law {
                0 => chance.normal(),
                1 => chance.student(2).exp().min(1e200),
                _ => chance.poisson(3.0) as f64,
            };
            let p = ranks.observe(score);
            assert!(p > 0.0 && p <= 1.0);
            if step >= 500 {
                [0.2, 0.05, 0.01]
                    .iter()
                    .zip(&mut low)
                    .for_each(|(level, low)| *low += u32::from(p <= *level));
            }
        }
        for (level, low) in [0.2, 0.05, 0.01].iter().zip(low) {
            let share = f64::from(low) / 59_500.0;
            let error = (level * (1.0 - level) / 59_500.0_f64).sqrt();
            assert!(share < level + 5.0 * error, "law {law}: {share} for {level}");
            // Counts that are met again and again are never as rare as they could be.
            assert!(law == 2 || share > level - 5.0 * error - 0.003, "law {law}: {share} for {level}");
        }
    }
}

#[test]
fn a_level_that_rises_is_no_order_that_says_nothing() {
    let mut ranks = Conformal::new(500).unwrap();
    let mut chance = Chance::new(3);
    let low =
        (0..5_000).filter(|step| ranks.observe(chance.normal() + f64::from(*step) / 100.0) <= 0.01).count();
    assert!(low > 300, "{low}: the twin for which the promise does not hold");
    assert_eq!((ranks.observe(f64::NAN), ranks.observe(f64::NEG_INFINITY)), (1.0, 1.0));
    assert!(Conformal::new(19).is_err() && Conformal::new(70_000).is_err());
}

#[test]
fn scores_that_are_often_high_are_no_news_and_more_of_them_than_usual_are() {
    let mut chance = Chance::new(5);
    let mut likelihood = Likelihood::new(2_000, 10).unwrap();
    // One in ten is high: a threshold on scores would alarm 200 times.
    let mut score = |share: f64| if chance.chance(share) { 5.0 } else { chance.uniform() };
    let usual: Vec<f64> = (0..2_000).map(|_| likelihood.observe(score(0.1))).collect();
    let rare = usual.iter().filter(|chance| **chance < 1e-5).count();
    assert!(rare <= 2, "{rare}");
    let faulty: Vec<f64> = (0..20).map(|_| likelihood.observe(score(0.9))).collect();
    assert!(faulty.iter().any(|chance| *chance < 1e-9), "{faulty:?}");
}

#[test]
fn what_never_varied_and_what_is_no_number_is_told() {
    let mut likelihood = Likelihood::new(100, 5).unwrap();
    assert!((0..500).map(|_| likelihood.observe(0.1)).all(|chance| chance >= 0.5));
    assert!(likelihood.observe(9.0) < 0.05);
    for odd in [f64::NAN, f64::INFINITY, 1e300] {
        assert_eq!(likelihood.observe(odd), 1.0);
    }
    for (memory, short) in [(50, 2), (1_000, 0), (1_000, 200), (1_000_000, 10)] {
        assert!(Likelihood::new(memory, short).is_err());
    }
}

/// How rare a normal value is, in nats.
fn rarity(chance: &mut Chance) -> f64 {
    -chance.uniform().ln()
}

#[test]
fn a_budget_over_all_series_is_kept_whatever_their_number() {
    let budget = Budget::per_windows(1.0, 100).unwrap();
    for series in [10, 200, 2_000] {
        let mut chance = Chance::new(series as u64);
        let mut fleet = FleetConfig::new(series).budget(budget).episode(1).build().unwrap();
        let (mut alarms, mut windows, mut alone) = (Vec::new(), 0, 0);
        let limit = -budget.per_window().ln();
        for _ in 0..4_000 {
            let rarities: Vec<f64> = (0..series).map(|_| rarity(&mut chance)).collect();
            alarms.clear();
            fleet.decide(&rarities, &mut alarms);
            windows += u32::from(!alarms.is_empty());
            alone += rarities.iter().filter(|rarity| **rarity >= limit).count();
        }
        // Forty are allowed, give or take six; the twin, a budget a series, alarms as many times more as there are series.
        assert!((20..=62).contains(&windows), "{series} series: {windows}");
        assert!(alone as f64 > 0.8 * 40.0 * series as f64, "{alone}");
    }
}

#[test]
fn what_many_see_a_little_of_is_found_and_a_divided_budget_would_not() {
    let budget = Budget::per_windows(1.0, 10_000).unwrap();
    let mut chance = Chance::new(8);
    let mut fleet = FleetConfig::new(1_000).budget(budget).build().unwrap();
    let mut alarms = Vec::new();
    let mut rarities: Vec<f64> = (0..1_000).map(|_| rarity(&mut chance)).collect();
    rarities[..200].iter_mut().for_each(|rarity| *rarity += 11.5);
    fleet.decide(&rarities, &mut alarms);
    let right = alarms.iter().filter(|place| **place < 200).count();
    let divided = rarities.iter().filter(|rarity| **rarity >= (10_000.0_f64 * 1_000.0).ln()).count();
    assert!(right > 120 && alarms.len() - right <= 1, "{right} of {}", alarms.len());
    assert!(divided < 10, "{divided}");
    // While it goes on it is told once.
    alarms.clear();
    (0..50).for_each(|_| fleet.decide(&rarities, &mut alarms));
    assert!(alarms.len() <= 2, "{alarms:?}");
    // Afterwards, and after a rest, again.
    (0..100).for_each(|_| fleet.decide(&[0.0; 1_000], &mut alarms));
    alarms.clear();
    fleet.decide(&rarities, &mut alarms);
    assert_eq!(alarms.iter().filter(|place| **place < 200).count(), right);
}

#[test]
fn series_that_say_nothing_and_fleets_that_cannot_be() {
    let mut fleet = FleetConfig::new(3).build().unwrap();
    let mut alarms = Vec::new();
    fleet.decide(&[f64::NAN, 99.0, f64::NEG_INFINITY, 99.0, 99.0], &mut alarms);
    assert_eq!(alarms, [1]);
    fleet.decide(&[f64::INFINITY], &mut alarms);
    fleet.decide(&[], &mut alarms);
    assert_eq!(alarms, [1, 0]);
    assert!(FleetConfig::new(0).build().is_err() && FleetConfig::new(3).episode(0).build().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn each_goes_on_bit_for_bit_from_a_checkpoint_and_no_other_bytes_do_harm(
        seed in any::<u64>(),
        cut in 0..300_usize,
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut chance = Chance::new(seed);
        let mut ranks = Conformal::new(40).unwrap();
        let mut likelihood = Likelihood::new(100, 7).unwrap();
        let mut fleet = FleetConfig::new(5).budget(Budget::per_windows(1.0, 50).unwrap()).episode(3).build().unwrap();
        let (mut other_ranks, mut other_likelihood, mut other_fleet) =
            (ranks.clone(), likelihood.clone(), fleet.clone());
        let (mut alarms, mut other_alarms) = (Vec::new(), Vec::new());
        for step in 0..300 {
            if step == cut {
                let bytes = |write: &dyn Fn(&mut Vec<u8>)| { let mut bytes = Vec::new(); write(&mut bytes); bytes };
                let kept = bytes(&|into| other_ranks.checkpoint(into));
                other_ranks = Conformal::restore(&kept).unwrap();
                let kept = bytes(&|into| other_likelihood.checkpoint(into));
                other_likelihood = Likelihood::restore(&kept).unwrap();
                let mut kept = bytes(&|into| other_fleet.checkpoint(into));
                other_fleet = Fleet::restore(&kept).unwrap();
                prop_assert!(Conformal::restore(&kept).is_err(), "it is of another kind");
                for &(place, to) in &changes {
                    let place = place.index(kept.len());
                    kept[place] = to;
                }
                sign(&mut kept);
                if let Ok(mut odd) = Fleet::restore(&kept) {
                    odd.decide(&[50.0; 5], &mut Vec::new());
                }
                let mut kept = bytes(&|into| other_likelihood.checkpoint(into));
                for &(place, to) in &changes {
                    let place = place.index(kept.len());
                    kept[place] = to;
                }
                sign(&mut kept);
                if let Ok(mut odd) = Likelihood::restore(&kept) {
                    (0..200).for_each(|_| assert!(odd.observe(1.0).is_finite()));
                }
            }
            let score = chance.exponential();
            prop_assert_eq!(ranks.observe(score).to_bits(), other_ranks.observe(score).to_bits());
            prop_assert_eq!(likelihood.observe(score).to_bits(), other_likelihood.observe(score).to_bits());
            let rarities = [score, 2.0 * score, 0.0, chance.exponential(), f64::NAN];
            fleet.decide(&rarities, &mut alarms);
            other_fleet.decide(&rarities, &mut other_alarms);
            if step % 90 == 0 {
                fleet.feedback(false);
                other_fleet.feedback(false);
            }
        }
        prop_assert_eq!(alarms, other_alarms);
        prop_assert_eq!((ranks, likelihood, fleet), (other_ranks, other_likelihood, other_fleet));
    }
}

/// Each detector that decides, with three alarms in a thousand points.
fn deciding() -> Vec<(&'static str, Box<dyn Detector>)> {
    let budget = Budget::per_windows(3.0, 1_000).unwrap();
    let poly = Box::new(PolyConfig::new().build().unwrap());
    vec![
        ("extremes", Box::new(ExtremesConfig::new().budget(budget).episode(10).build().unwrap())),
        ("robust", Box::new(RobustConfig::new().budget(budget).build().unwrap())),
        ("decided", Box::new(Decided::new(poly, budget, 10).unwrap())),
        ("auto", Box::new(AutoConfig::new().budget(budget).episode(10).build().unwrap())),
    ]
}

/// Noise, at the end of which something is very wrong.
fn points() -> Vec<f64> {
    let mut chance = Chance::new(77);
    (0..12_000).map(|point| chance.normal() + if point >= 11_990 { 60.0 } else { 0.0 }).collect()
}

/// What it says to all points, and is told of each alarm.
fn told(mut detector: Box<dyn Detector>, says: Option<bool>) -> Vec<Judgement> {
    let judge = |(point, value): (usize, &f64)| {
        let judgement = detector.judge_one(at(point), *value);
        if let (true, Some(is_anomaly)) = (judgement.is_alarm, says) {
            detector.feedback(is_anomaly);
        }
        judgement
    };
    points().iter().enumerate().map(judge).collect()
}

#[test]
fn what_people_say_moves_how_often_it_speaks_and_no_score() {
    for ((name, plain), (_, false_ones)) in deciding().into_iter().zip(deciding()) {
        let (plain, false_ones) = (told(plain, None), told(false_ones, Some(false)));
        let alarms =
            |said: &[Judgement]| said[..11_990].iter().filter(|judgement| judgement.is_alarm).count();
        let (before, after) = (alarms(&plain), alarms(&false_ones));
        assert!(before >= 8, "{name}: {before}, there is something to say");
        assert!(after < before, "{name}: {after} of {before}");
        // The fault is seen all the same.
        for said in [&plain, &false_ones] {
            assert!(said[11_990..].iter().any(|judgement| judgement.is_alarm), "{name}");
        }
        // Robust learns nothing while an alarm lasts, so that its level is another once there are fewer.
        if name != "robust" {
            let scores = |said: &[Judgement]| -> Vec<u64> {
                said.iter().map(|judgement| judgement.score.to_bits()).collect()
            };
            let is_auto = name == "auto";
            assert!(is_auto || scores(&plain) == scores(&false_ones), "{name}: no score is another");
        }
    }
}

#[test]
fn a_right_alarm_gives_back_and_who_decides_nothing_does_not_listen() {
    let threshold =
        |detector: &mut Box<dyn Detector>, point: usize| detector.judge_one(at(point), 0.1).threshold;
    for (name, mut detector) in deciding() {
        points()[..5_000]
            .iter()
            .enumerate()
            .for_each(|(point, value)| _ = detector.judge_one(at(point), *value));
        let before = threshold(&mut detector, 5_000);
        detector.feedback(false);
        let owed = threshold(&mut detector, 5_001);
        detector.feedback(true);
        let back = threshold(&mut detector, 5_002);
        if name == "auto" {
            // Its scores are in thresholds.
            continue;
        }
        assert!(owed > before, "{name}: {owed:?} {before:?}");
        assert!(back < owed, "{name}: {back:?} {owed:?}");
    }
    let mut plain: Box<dyn Detector> = Box::new(EwmaConfig::new().build().unwrap());
    let mut bytes = [Vec::new(), Vec::new()];
    plain.checkpoint(&mut bytes[0]);
    plain.feedback(false);
    plain.checkpoint(&mut bytes[1]);
    assert_eq!(bytes[0], bytes[1]);
}

#[test]
fn a_watch_passes_on_what_was_said_to_the_metric_that_it_was_about() {
    let row = |minute: u64, requests: u64| FeatureRow {
        subject: Subject::Service("shop".into()),
        start: UnixNanos::from_secs(60 * minute),
        window: std::time::Duration::from_secs(60),
        requests,
        errors: 0,
        latency: Sketch::default(),
        mean_self_time_secs: None,
        requests_of_all: 1_000,
        is_partial: false,
    };
    let alarms = |says: bool| {
        let mut watch = WatchConfig::new().budget(Budget::per_windows(1.0, 200).unwrap()).build().unwrap();
        let (mut chance, mut thresholds) = (Chance::new(4), Vec::new());
        for minute in 0..8_000 {
            let mut signals = Vec::new();
            // A rate that doubles now and then, for a while.
            let busy = if minute % 400 > 385 { 2.4 } else { 1.0 };
            watch.observe(&row(minute, (busy * 600.0 * (0.1 * chance.normal()).exp()) as u64), &mut signals);
            for signal in signals {
                let Signal::Raised(alarm) = signal else { continue };
                thresholds.push(alarm.threshold);
                assert!(!says || watch.feedback(&alarm.subject, Metric::Rate, false));
            }
        }
        assert!(!watch.feedback(&Subject::System, Metric::Rate, false));
        thresholds
    };
    let (silent, told) = (alarms(false), alarms(true));
    assert!(silent.len() >= 3 && told.len() >= 3);
    assert_eq!(silent[0].to_bits(), told[0].to_bits(), "nothing was said yet");
    // A score counts against a threshold of its own time; on the whole it is higher.
    let mean = |thresholds: &[f64]| thresholds.iter().sum::<f64>() / thresholds.len() as f64;
    assert!(mean(&told) > 1.03 * mean(&silent), "{told:?} {silent:?}");
}
