//! A watch that was kept and made again goes on bit for bit; bytes that are none are refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that is wrong should stop")]

mod chance;
mod signed;

use std::time::Duration;

use chance::Chance;
use otlp_anomaly::detect::{Metric, MetricConfig, Signal, Watch, WatchConfig, restore};
use otlp_anomaly::feature::FeatureRow;
use otlp_anomaly::score::Budget;
use otlp_core::UnixNanos;
use otlp_core::aggregate::Sketch;
use otlp_core::finding::Subject;
use proptest::prelude::*;
use signed::sign;

fn subjects() -> Vec<Subject> {
    vec![
        Subject::Service("shop".into()),
        Subject::Service("payment".into()),
        Subject::Edge { caller: "shop".into(), callee: "payment".into() },
        Subject::Operation { service: "shop".into(), operation: "GET /".into() },
    ]
}

/// A minute of each, with a fault now and then that lasts, and one subject that comes late.
fn rows(seed: u64, windows: u64) -> Vec<FeatureRow> {
    let mut chance = Chance::new(seed);
    let mut rows = Vec::new();
    for window in 0..windows {
        for (nth, subject) in subjects().into_iter().enumerate() {
            if nth == 3 && window < windows / 2 {
                continue;
            }
            let is_slow = nth == 1 && window % 40 > 32;
            let mut latency = Sketch::default();
            let requests = 60 + chance.below(40);
            (0..requests).for_each(|_| {
                latency.add(if is_slow { 0.08 } else { 0.004 } * (0.2 * chance.normal()).exp());
            });
            rows.push(FeatureRow {
                subject,
                start: UnixNanos::from_secs(60 * window),
                window: Duration::from_secs(60),
                requests,
                errors: if is_slow { requests / 3 } else { chance.below(2) },
                latency,
                mean_self_time_secs: None,
                requests_of_all: 400,
                is_partial: chance.chance(0.02),
            });
        }
    }
    rows
}

fn watch() -> Watch {
    let config = WatchConfig::new().budget(Budget::per_windows(1.0, 5_000).unwrap()).max_subjects(4);
    config
        .metric(Metric::LatencyP95, MetricConfig::new(Metric::LatencyP95).min_relative(1.0))
        .build()
        .unwrap()
}

fn kept(watch: &Watch) -> Vec<u8> {
    let mut bytes = Vec::new();
    watch.checkpoint(&mut bytes);
    bytes
}

/// What is said, with each number by its bits.
fn said(watch: &mut Watch, row: &FeatureRow) -> Vec<String> {
    let mut signals = Vec::new();
    watch.observe(row, &mut signals);
    let text = |signal: &Signal| match signal {
        Signal::Raised(alarm) => {
            let numbers = [alarm.observed, alarm.expected, alarm.score, alarm.threshold].map(f64::to_bits);
            format!("{:?} {:?} {:?} {:?} {numbers:?}", alarm.subject, alarm.metric, alarm.since, alarm.raised)
        }
        other => format!("{other:?}"),
    };
    signals.iter().map(text).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn cut_anywhere_it_goes_on_bit_for_bit(seed in any::<u64>(), cut in 0..300_usize) {
        let rows = rows(seed, 120);
        let (mut whole, mut parted) = (watch(), watch());
        let mut raised = 0;
        for (nth, row) in rows.iter().enumerate() {
            if nth == cut {
                let bytes = kept(&parted);
                parted = Watch::restore(&bytes).unwrap();
                prop_assert_eq!(&kept(&parted), &bytes, "it writes what it read");
            }
            let met = said(&mut whole, row);
            raised += met.len();
            prop_assert_eq!(met, said(&mut parted, row), "at {}", nth);
        }
        prop_assert!(raised > 2, "{raised}: there was something to say");
        prop_assert_eq!(whole.stats(), parted.stats());
        prop_assert_eq!(kept(&whole), kept(&parted), "whatever the order in which subjects lie in memory");
        for (subject, metric) in subjects().iter().flat_map(|subject| Metric::ALL.map(|metric| (subject, metric))) {
            let expected = |watch: &Watch| watch.expected(subject, metric, Duration::from_secs(60)).map(f64::to_bits);
            prop_assert_eq!(expected(&whole), expected(&parted));
        }
    }

    #[test]
    fn what_was_changed_is_refused_and_what_somebody_signed_does_no_harm(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut watch = watch();
        rows(5, 20).iter().for_each(|row| _ = said(&mut watch, row));
        let mut bytes = kept(&watch);
        for (place, to) in changes {
            let place = place.index(bytes.len());
            bytes[place] = to;
        }
        if bytes != kept(&watch) {
            prop_assert!(Watch::restore(&bytes).is_err());
        }
        sign(&mut bytes);
        if let Ok(mut odd) = Watch::restore(&bytes) {
            rows(6, 20).iter().for_each(|row| _ = said(&mut odd, row));
        }
    }
}

#[test]
fn the_twin_that_forgets_a_window_goes_on_otherwise() {
    let rows = rows(7, 60);
    let mut watch = watch();
    rows[..100].iter().for_each(|row| _ = said(&mut watch, row));
    let restored = Watch::restore(&kept(&watch)).unwrap();
    said(&mut watch, &rows[101]);
    assert_ne!(kept(&watch), kept(&restored));
    assert_ne!(watch, restored);
}

#[test]
fn every_cut_is_refused_and_a_watch_is_not_a_detector() {
    let mut watch = watch();
    rows(9, 12).iter().for_each(|row| _ = said(&mut watch, row));
    let bytes = kept(&watch);
    for end in (0..bytes.len()).step_by(97) {
        assert!(Watch::restore(&bytes[..end]).is_err(), "up to {end}");
    }
    assert!(restore(&bytes).unwrap_err().to_string().contains("kind not known"), "it is no detector");
    // More subjects than it may hold, and a count that no memory would hold.
    let mut few = bytes.clone();
    few[16..24].copy_from_slice(&2_u64.to_le_bytes());
    sign(&mut few);
    assert!(Watch::restore(&few).unwrap_err().to_string().contains("too many subjects"));
    let mut many = kept(&WatchConfig::new().build().unwrap());
    let count = many.len() - 12;
    many[count..count + 8].fill(0xff);
    sign(&mut many);
    assert!(Watch::restore(&many).is_err());
}
