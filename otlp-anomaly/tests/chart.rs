//! Control charts and the robust z score against published figures.

#![allow(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a test that is wrong should stop")]

mod chance;

use chance::Chance;
use otlp_anomaly::ErrorKind;
use otlp_anomaly::detect::{CusumConfig, Detector, EwmaConfig, RobustZConfig};
use otlp_core::UnixNanos;

/// The mean count of points up to the first alarm, over so many runs, of a shift in standard deviations.
fn run_length(make: impl Fn() -> Box<dyn Detector>, shift: f64, runs: u64) -> f64 {
    let mut chance = Chance::new(41);
    let run = |_| {
        let mut chart = make();
        // Points right at the mean: behind them the limits are those of later points.
        (0..100).for_each(|_| _ = chart.judge_one(UnixNanos(0), 20.0));
        let mut points = 1_u64;
        while !chart.judge_one(UnixNanos::from_secs(points), 20.0 + 1.5 * (shift + chance.normal())).is_alarm
        {
            points += 1;
        }
        points as f64
    };
    (0..runs).map(run).sum::<f64>() / runs as f64
}

/// Its standard error is a share of the mean itself at most, where alarms come like those of a Poisson process.
fn is_near(met: f64, published: f64, runs: u64) {
    let off = (met / published - 1.0).abs();
    assert!(off < 0.03 + 3.0 / (runs as f64).sqrt(), "{met} for {published}");
}

#[test]
fn run_lengths_of_the_weighted_mean_are_those_of_lucas_and_saccucci() {
    // Technometrics 1990, table 3: weight, width, shift, average run length.
    let cases = [
        (0.1, 2.814, 0.0, 500.0, 250),
        (0.1, 2.814, 1.0, 10.3, 900),
        (0.25, 2.998, 0.0, 500.0, 250),
        (0.25, 2.998, 1.0, 11.1, 900),
        (0.1, 2.814, 0.5, 31.3, 600),
    ];
    for (weight, width, shift, published, runs) in cases {
        let make = || -> Box<dyn Detector> {
            Box::new(EwmaConfig::new().weight(weight).width(width).known(20.0, 1.5).build().unwrap())
        };
        is_near(run_length(make, shift, runs), published, runs);
    }
}

#[test]
fn run_lengths_of_the_sums_are_those_of_montgomery() {
    // Introduction to Statistical Quality Control, table 9.3: slack 0.5.
    let cases = [
        (4.0, 0.0, 168.0, 400),
        (4.0, 1.0, 8.38, 900),
        (5.0, 0.0, 465.0, 250),
        (5.0, 1.0, 10.4, 900),
        (5.0, 2.0, 4.01, 900),
    ];
    for (interval, shift, published, runs) in cases {
        let make = || -> Box<dyn Detector> {
            Box::new(CusumConfig::new().interval(interval).known(20.0, 1.5).build().unwrap())
        };
        is_near(run_length(make, shift, runs), published, runs);
    }
}

#[test]
fn a_shift_that_no_point_shows_is_found_by_charts_that_learned_what_is_in_control() {
    let charts: [Box<dyn Detector>; 2] =
        [Box::new(EwmaConfig::new().build().unwrap()), Box::new(CusumConfig::new().build().unwrap())];
    for mut chart in charts {
        let mut chance = Chance::new(7);
        let alarm = (0..600_u64).filter(|&point| {
            let shift = if point < 300 { 0.0 } else { 1.5 };
            chart.judge_one(UnixNanos::from_secs(point), 5.0 + 0.1 * (shift + chance.normal())).is_alarm
        });
        let alarm = alarm.into_iter().find(|&point| point >= 300);
        assert!(alarm.is_some_and(|point| (300..320).contains(&point)), "{alarm:?}");
    }
}

#[test]
fn modified_z_scores_are_those_of_scipy() {
    // 0.6744897501960817 * (10 - numpy.median(x)) / scipy.stats.median_abs_deviation(x), with x the ten before.
    let series = [2.1, 2.6, 2.4, 2.5, 2.3, 2.1, 2.3, 2.6, 8.2, 8.3, 10.0];
    let mut detector = RobustZConfig::new().window(10).warmup(10).build().unwrap();
    let judged: Vec<_> =
        series.iter().map(|&value| detector.judge_one(UnixNanos::from_secs(1), value)).collect();
    let last = judged.last().unwrap();
    assert!((last.expected - 2.45).abs() < 1e-12);
    assert!((last.score - 0.674_489_750_196_081_7 * 7.55 / 0.15).abs() < 1e-9, "{}", last.score);
    assert!(last.is_alarm && judged.iter().filter(|judgement| judgement.is_alarm).count() == 1);
}

#[test]
fn impossible_settings_are_refused() {
    let refused = [
        EwmaConfig::new().weight(0.0).build().err(),
        EwmaConfig::new().width(f64::NAN).build().err(),
        EwmaConfig::new().known(1.0, 0.0).build().err(),
        CusumConfig::new().slack(-1.0).build().err(),
        CusumConfig::new().training(1).build().err(),
        RobustZConfig::new().window(2).build().err(),
        RobustZConfig::new().warmup(300).build().err(),
    ];
    assert!(
        refused.iter().all(|error| error.as_ref().is_some_and(|error| error.kind() == ErrorKind::Config))
    );
}
