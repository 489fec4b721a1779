//! Any bytes as a checkpoint: refused, or a detector that judges with numbers and writes what it read.
//!
//! The last four bytes are made the CRC-32 that the rest asks for, or nothing would come past it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otlp_anomaly::detect;
use otlp_anomaly::drift::{Kswin, PageHinkley};
use otlp_core::UnixNanos;

fuzz_target!(|data: &[u8]| {
    let _ = detect::restore(data);
    let mut bytes = data.to_vec();
    if let Some(end) = bytes.len().checked_sub(4) {
        let (checked, mark) = bytes.split_at_mut(end);
        mark.copy_from_slice(&crc32(checked).to_le_bytes());
    }
    drift(&bytes);
    let Ok(mut detector) = detect::restore(&bytes) else { return };
    let mut again = Vec::new();
    detector.checkpoint(&mut again);
    assert_eq!(again, bytes, "it writes what it read");
    for point in 0..40_u32 {
        let row = vec![f64::from(point * 7 % 13); detector.dimensions()];
        let mut shares = vec![0.0; row.len()];
        let judgement = detector.judge(UnixNanos::from_secs(u64::from(point)), &row, &mut shares);
        let numbers = [judgement.score, judgement.met, judgement.expected, judgement.deviation];
        assert!(numbers.iter().all(|number| number.is_finite()), "{judgement:?}");
    }
});

/// The same of those that take values and say drift.
fn drift(bytes: &[u8]) {
    let values = || (0..200_u32).map(|at| f64::from(at * 7 % 13) * if at < 100 { 1.0 } else { 1e300 });
    let mut again = Vec::new();
    if let Ok(mut drift) = PageHinkley::restore(bytes) {
        drift.checkpoint(&mut again);
        assert_eq!(again, bytes, "it writes what it read");
        values().for_each(|value| _ = drift.observe(value));
    } else if let Ok(mut drift) = Kswin::restore(bytes) {
        drift.checkpoint(&mut again);
        assert_eq!(again, bytes, "it writes what it read");
        values().for_each(|value| _ = drift.observe(value));
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let bit = |rest: u32| if rest & 1 == 1 { (rest >> 1) ^ 0xEDB8_8320 } else { rest >> 1 };
    !bytes.iter().fold(u32::MAX, |rest, byte| (0..8).fold(rest ^ u32::from(*byte), |rest, _| bit(rest)))
}
