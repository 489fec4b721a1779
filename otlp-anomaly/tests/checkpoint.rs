//! A detector that was kept and made again goes on bit for bit; bytes that are no checkpoint are refused.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a test that is wrong should stop"
)]

mod chance;
mod kinds;

use chance::Chance;
use kinds::{all, at, row};
use otlp_anomaly::detect::{Detector, Extremes, Judgement, RandomCutForest, Robust, restore};
use otlp_core::UnixNanos;
use proptest::prelude::*;

/// All of a judgement, with each number by its bits.
fn bits(judgement: &Judgement, shares: &[f64]) -> String {
    let numbers = [judgement.score, judgement.met, judgement.expected, judgement.deviation];
    let threshold = judgement.threshold.map(f64::to_bits);
    let shares: Vec<u64> = shares.iter().map(|share| share.to_bits()).collect();
    let Judgement { dimension, what, is_alarm, is_ready, flag, .. } = judgement;
    format!(
        "{:?} {threshold:?} {shares:?} {dimension} {what} {is_alarm} {is_ready} {flag:?}",
        numbers.map(f64::to_bits)
    )
}

fn judge(detector: &mut dyn Detector, (time, value): (UnixNanos, f64)) -> String {
    let row = row(detector, value);
    let mut shares = vec![0.0; row.len()];
    let judgement = detector.judge(time, &row, &mut shares);
    bits(&judgement, &shares)
}

fn kept(detector: &dyn Detector) -> Vec<u8> {
    let mut bytes = Vec::new();
    detector.checkpoint(&mut bytes);
    bytes
}

/// Noise around a wave, with spikes, repeated values, a gap in time and points that are no numbers.
fn points(seed: u64, count: u64) -> Vec<(UnixNanos, f64)> {
    let mut chance = Chance::new(seed);
    (0..count)
        .map(|point| {
            let usual = 50.0 + 10.0 * (point as f64 / 20.0).sin() + chance.normal();
            let value = match chance.below(40) {
                0 => f64::NAN,
                1 => usual + 80.0,
                2..6 => usual.round(),
                _ => usual,
            };
            let time = if point * 3 > count { at(point + 2_000) } else { at(point) };
            (if chance.chance(0.02) { at(0) } else { time }, value)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn cut_anywhere_it_goes_on_bit_for_bit(seed in any::<u64>(), cuts in proptest::collection::vec(0..260_usize, 1..3)) {
        let points = points(seed, 260);
        for (name, mut whole) in all() {
            let mut cut = all().into_iter().find(|(other, _)| *other == name).unwrap().1;
            for (nth, &point) in points.iter().enumerate() {
                if cuts.contains(&nth) {
                    let bytes = kept(cut.as_ref());
                    cut = restore(&bytes).unwrap();
                    prop_assert_eq!(&kept(cut.as_ref()), &bytes, "{} writes what it read", name);
                }
                prop_assert_eq!(judge(whole.as_mut(), point), judge(cut.as_mut(), point), "{} at {}", name, nth);
            }
            prop_assert_eq!(whole.odd(), cut.odd());
        }
    }

    #[test]
    fn what_is_no_checkpoint_is_refused_and_what_looks_like_one_does_no_harm(
        seed in any::<u64>(),
        which in any::<proptest::sample::Index>(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut kinds = all();
        let (name, mut detector) = kinds.swap_remove(which.index(kinds.len()));
        points(seed, 120).into_iter().for_each(|point| _ = judge(detector.as_mut(), point));
        let mut bytes = kept(detector.as_ref());
        for (place, to) in changes {
            let place = place.index(bytes.len());
            bytes[place] = to;
        }
        if bytes != kept(detector.as_ref()) {
            prop_assert!(restore(&bytes).is_err(), "{name}");
        }
        // As somebody would write it who knows how: with the checksum that it asks for.
        sign(&mut bytes);
        if let Ok(mut odd) = restore(&bytes) {
            for (time, value) in points(seed + 1, 60) {
                let row = row(odd.as_ref(), value);
                let mut shares = vec![0.0; row.len()];
                let judgement = odd.judge(time, &row, &mut shares);
                let numbers = [judgement.score, judgement.met, judgement.expected, judgement.deviation];
                prop_assert!(numbers.iter().all(|number| number.is_finite()), "{name}: {judgement:?}");
            }
        }
    }
}

/// CRC-32 of all but the last four bytes, bit by bit.
fn sign(bytes: &mut [u8]) {
    let end = bytes.len() - 4;
    let step = |rest: u32, byte: &u8| {
        (0..8).fold(rest ^ u32::from(*byte), |rest, _| {
            if rest & 1 == 1 { (rest >> 1) ^ 0xEDB8_8320 } else { rest >> 1 }
        })
    };
    let crc = !bytes[..end].iter().fold(u32::MAX, step);
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn the_twin_that_forgets_a_point_judges_otherwise() {
    for (name, mut whole) in all() {
        let points = points(3, 200);
        points[..150].iter().for_each(|&point| _ = judge(whole.as_mut(), point));
        let mut restored = restore(&kept(whole.as_ref())).unwrap();
        judge(whole.as_mut(), (at(5_000), 200.0));
        let differs = points[150..]
            .iter()
            .any(|&point| judge(whole.as_mut(), point) != judge(restored.as_mut(), point));
        assert!(differs, "{name}");
    }
}

#[test]
fn every_cut_is_refused_and_a_kind_is_not_taken_for_another() {
    for (name, mut detector) in all() {
        points(9, 60).into_iter().for_each(|point| _ = judge(detector.as_mut(), point));
        let bytes = kept(detector.as_ref());
        for end in (0..bytes.len()).step_by(31) {
            assert!(restore(&bytes[..end]).is_err(), "{name} up to {end}");
        }
        let kinds = [
            Extremes::restore(&bytes).is_ok(),
            Robust::restore(&bytes).is_ok(),
            RandomCutForest::restore(&bytes).is_ok(),
        ];
        let own = [name == "extremes", name == "robust", name.starts_with("forest")];
        assert_eq!(kinds, own, "{name}");
    }
    let other = restore(b"OTAC\x01\x00\xff\xff").unwrap_err();
    assert!(other.to_string().contains("ends inside"), "{other}");
}

#[test]
fn a_count_that_no_memory_would_hold_is_refused_before_anything_is_allocated() {
    let (_, detector) = all().swap_remove(2);
    let bytes = kept(detector.as_ref());
    // Eight bytes here and there are the largest number there is.
    for place in (16..bytes.len() - 12).step_by(68) {
        let mut huge = bytes.clone();
        huge[place..place + 8].fill(0xff);
        sign(&mut huge);
        // Whatever of these a detector may be, it is one that judges.
        if let Ok(mut odd) = restore(&huge) {
            (0..40).for_each(|point| _ = judge(odd.as_mut(), (at(point), 1.0)));
        }
    }
}
