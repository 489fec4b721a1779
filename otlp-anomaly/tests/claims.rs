//! Published ways to set a threshold that promise no count of alarms, beside what keeps to one. The published outlooks that are
//! wrong, of a disk and of memory, are in `forecast_outlook.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test that is wrong should stop"
)]

mod chance;

use chance::Chance;
use otlp_anomaly::detect::{ExtremesConfig, IsolationConfig};
use otlp_anomaly::score::Budget;
use otlp_core::UnixNanos;

const DAY: usize = 288;
const WEEK: usize = 7 * DAY;
const WEEKS: usize = 6;

/// Latencies without a fault: a wave of a day, and a tail as latencies have one.
fn latencies(seed: u64) -> Vec<f64> {
    let mut chance = Chance::new(seed);
    let wave = |point: usize| (point % DAY) as f64 / DAY as f64 * std::f64::consts::TAU;
    (0..WEEKS * WEEK).map(|point| 0.1 * (0.2 * wave(point).sin() + 0.3 * chance.normal()).exp()).collect()
}

/// Alarms where points alarm: each run of them is one.
fn episodes(is_alarm: impl IntoIterator<Item = bool>) -> usize {
    let mut was_alarm = false;
    is_alarm
        .into_iter()
        .filter(|is_alarm| {
            *is_alarm && !std::mem::replace(&mut was_alarm, *is_alarm) || {
                was_alarm = *is_alarm;
                false
            }
        })
        .count()
}

/// What is below the given share of values.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

/// The alarms of the default detector, asked for one in a week.
fn ours(values: &[f64]) -> usize {
    let weekly = Budget::per_windows(1.0, WEEK as u64).unwrap();
    let mut detector = ExtremesConfig::new().budget(weekly).build().unwrap();
    let at = |point: usize| UnixNanos::from_secs(1_700_000_000 + 300 * point as u64);
    values.iter().enumerate().filter(|(point, value)| detector.observe(at(*point), **value).is_alarm).count()
}

#[test]
fn contamination_is_no_alarm_rate_of_anything_but_itself() {
    let values = latencies(3);
    let forest = IsolationConfig::new().fit(&values[..WEEK]).unwrap();
    let scores: Vec<f64> = values.iter().map(|value| forest.score(&[*value]).unwrap()).collect();
    for contamination in [0.05, 0.01] {
        // As published: the threshold is the quantile of the scores that the share of anomalies asks for.
        let threshold = quantile(&scores, 1.0 - contamination);
        let flagged = scores.iter().filter(|score| **score > threshold).count();
        let share = flagged as f64 / scores.len() as f64;
        // Nothing is wrong, and yet so many are anomalies as somebody believed beforehand.
        assert!(share > 0.7 * contamination, "{share} of {contamination}");
        let alarms = episodes(scores.iter().map(|score| *score > threshold));
        assert!(alarms > 6 * WEEKS, "{alarms} alarms in {WEEKS} weeks");
    }
    let alarms = ours(&values);
    assert!(alarms <= 2 * WEEKS, "{alarms} alarms in {WEEKS} weeks, one in each asked for");
}

#[test]
fn the_p95_of_the_past_as_a_threshold_alarms_without_a_fault_and_misses_one_that_is_in_it() {
    let values = latencies(5);
    let threshold = quantile(&values[..2 * WEEK], 0.95);
    let beyond = values[2 * WEEK..].iter().filter(|value| **value > threshold).count();
    let a_week = beyond as f64 / (WEEKS - 2) as f64;
    assert!(a_week > 80.0, "a point in twenty is above what a point in twenty was above: {a_week} a week");
    let alarms = episodes(values[2 * WEEK..].iter().map(|value| *value > threshold));
    assert!(alarms > 6 * (WEEKS - 2), "{alarms} alarms, however they are put together");
    assert!(ours(&values) <= 2 * WEEKS);
    // A fault in a tenth of the past is what its p95 is: the next one, as bad, hardly passes it.
    let mut faulty = values;
    faulty.iter_mut().take(2 * WEEK).skip(WEEK).take(WEEK / 5).for_each(|value| *value *= 5.0);
    assert!(quantile(&faulty[..2 * WEEK], 0.95) > 3.0 * threshold);
}

#[test]
fn what_keeps_to_the_budget_still_sees_a_fault() {
    let mut values = latencies(7);
    let without = ours(&values);
    values.iter_mut().skip(5 * WEEK).take(20).for_each(|value| *value *= 8.0);
    assert_eq!(ours(&values).saturating_sub(without).min(1), 1, "the twin: a fault that is there is told");
}
