//! A leak watch that was kept and made again goes on bit for bit; bytes that are none are refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that is wrong should stop")]

mod chance;
mod signed;

use std::time::Duration;

use chance::Chance;
use otlp_anomaly::detect::{LeakWatch, LeakWatchConfig, Signal, restore};
use otlp_core::UnixNanos;
use otlp_core::finding::Subject;
use proptest::prelude::*;
use signed::sign;

const LIMIT: f64 = 256e6;

fn watch() -> LeakWatch {
    LeakWatchConfig::new().horizon(Duration::from_secs(300)).max_points(48).max_subjects(3).build().unwrap()
}

/// A reading a second of each of four processes: one leaks and is mended, one settles, one wobbles, one is too many.
fn readings(seed: u64, seconds: u32) -> Vec<(Subject, UnixNanos, f64)> {
    let mut chance = Chance::new(seed);
    let mut readings = Vec::new();
    for second in 0..seconds {
        let at = f64::from(second);
        let leak = if second < 60 { 1.5e6 * (at - 15.0).max(0.0) } else { 0.0 };
        let used = [leak, 30e6 * (1.0 - (-at / 20.0).exp()), 0.0, 0.0];
        for (name, used) in ["order", "cart", "db", "late"].into_iter().zip(used) {
            // A reading now and then that is none, and one out of order.
            let noise = if chance.chance(0.02) { f64::NAN } else { 3e4 * chance.normal() };
            let second = if chance.chance(0.02) { second.saturating_sub(5) } else { second };
            readings.push((
                Subject::Service(name.into()),
                UnixNanos::from_secs(second.into()),
                100e6 + used + noise,
            ));
        }
    }
    readings
}

fn kept(watch: &LeakWatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    watch.checkpoint(&mut bytes);
    bytes
}

/// What is said and known after a reading, with each number by its bits.
fn said(watch: &mut LeakWatch, (subject, time, used): &(Subject, UnixNanos, f64)) -> String {
    let signal = watch.observe(subject, *time, *used, LIMIT);
    let numbers = match &signal {
        Some(Signal::Raised(alarm)) => [alarm.observed, alarm.expected, alarm.score].map(f64::to_bits),
        _ => [0; 3],
    };
    format!("{signal:?} {numbers:?} {:?}", watch.outlook(subject))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn cut_anywhere_it_goes_on_bit_for_bit(seed in any::<u64>(), cut in 0..400_usize) {
        let (mut whole, mut parted) = (watch(), watch());
        let mut raised = 0;
        for (nth, reading) in readings(seed, 100).iter().enumerate() {
            if nth == cut {
                let bytes = kept(&parted);
                parted = LeakWatch::restore(&bytes).unwrap();
                prop_assert_eq!(&kept(&parted), &bytes, "it writes what it read");
            }
            let met = said(&mut whole, reading);
            raised += usize::from(met.contains("Raised"));
            prop_assert_eq!(met, said(&mut parted, reading), "at {}", nth);
        }
        prop_assert!(raised > 0, "there was something to say");
        prop_assert_eq!((whole.dropped(), whole.ignored()), (parted.dropped(), parted.ignored()));
        prop_assert!(whole.dropped() > 0 && whole.ignored() > 0);
        prop_assert_eq!(kept(&whole), kept(&parted));
    }

    #[test]
    fn what_was_changed_is_refused_and_what_somebody_signed_does_no_harm(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut watch = watch();
        readings(5, 30).iter().for_each(|reading| _ = said(&mut watch, reading));
        let mut bytes = kept(&watch);
        for (place, to) in changes {
            let place = place.index(bytes.len());
            bytes[place] = to;
        }
        if bytes != kept(&watch) {
            prop_assert!(LeakWatch::restore(&bytes).is_err());
        }
        sign(&mut bytes);
        if let Ok(mut odd) = LeakWatch::restore(&bytes) {
            readings(6, 30).iter().for_each(|reading| _ = said(&mut odd, reading));
        }
    }
}

#[test]
fn the_twin_that_misses_a_reading_goes_on_otherwise() {
    let readings = readings(7, 40);
    let mut watch = watch();
    readings[..100].iter().for_each(|reading| _ = said(&mut watch, reading));
    let restored = LeakWatch::restore(&kept(&watch)).unwrap();
    said(&mut watch, &readings[100]);
    assert_ne!(kept(&watch), kept(&restored));
    assert_ne!(watch, restored);
}

#[test]
fn every_cut_is_refused_and_so_are_more_subjects_than_it_may_have() {
    let mut watch = watch();
    readings(9, 12).iter().for_each(|reading| _ = said(&mut watch, reading));
    let bytes = kept(&watch);
    for end in (0..bytes.len()).step_by(7) {
        assert!(LeakWatch::restore(&bytes[..end]).is_err(), "up to {end}");
    }
    assert!(restore(&bytes).is_err(), "it is no detector");
    // Behind the horizon, the growth, the count of confirmations and that of readings.
    let most = 16 + 12 + 8 + 4 + 8;
    let mut few = bytes.clone();
    few[most..most + 8].copy_from_slice(&1_u64.to_le_bytes());
    sign(&mut few);
    assert!(LeakWatch::restore(&few).unwrap_err().to_string().contains("too many subjects"));
}
