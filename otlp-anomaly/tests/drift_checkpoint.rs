//! Drift detectors that were kept and made again go on bit for bit; bytes that are no checkpoint are refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that is wrong should stop")]

mod chance;
mod signed;

use chance::Chance;
use otlp_anomaly::drift::{Kswin, KswinConfig, PageHinkley, PageHinkleyConfig};
use proptest::prelude::*;
use signed::sign;

/// What a test needs of either.
trait Drift: Sized {
    fn fresh() -> Self;
    fn told(&mut self, value: f64) -> bool;
    fn kept(&self) -> Vec<u8>;
    fn again(bytes: &[u8]) -> Option<Self>;
}

macro_rules! drift {
    ($type:ty, $fresh:expr) => {
        impl Drift for $type {
            fn fresh() -> Self {
                $fresh.build().unwrap()
            }

            fn told(&mut self, value: f64) -> bool {
                self.observe(value)
            }

            fn kept(&self) -> Vec<u8> {
                let mut bytes = Vec::new();
                self.checkpoint(&mut bytes);
                bytes
            }

            fn again(bytes: &[u8]) -> Option<Self> {
                Self::restore(bytes).ok()
            }
        }
    };
}
drift!(PageHinkley, PageHinkleyConfig::new().threshold(8.0));
drift!(Kswin, KswinConfig::new().window(60, 20));

/// Noise whose mean moves every 90 values, with values that are none and one beyond all others.
fn values(seed: u64, count: u32) -> Vec<f64> {
    let mut chance = Chance::new(seed);
    let value = |at: u32| match chance.below(50) {
        0 => f64::NAN,
        1 if at == 70 => 1e300,
        _ => f64::from(at / 90 % 2) * 3.0 + chance.normal(),
    };
    (0..count).map(value).collect()
}

fn goes_on<T: Drift>(values: &[f64], cuts: &[usize]) -> Result<usize, TestCaseError> {
    let (mut whole, mut cut, mut told) = (T::fresh(), T::fresh(), 0);
    for (at, &value) in values.iter().enumerate() {
        if cuts.contains(&at) {
            let bytes = cut.kept();
            cut = T::again(&bytes).unwrap();
            prop_assert_eq!(cut.kept(), bytes, "it writes what it read");
        }
        let (one, other) = (whole.told(value), cut.told(value));
        prop_assert_eq!(one, other, "at {}", at);
        prop_assert_eq!(whole.kept(), cut.kept(), "at {}", at);
        told += usize::from(one);
    }
    Ok(told)
}

/// Changed bytes are refused; those that were signed anew too, or are a detector that takes values.
fn does_no_harm<T: Drift>(
    values: &[f64],
    changes: &[(prop::sample::Index, u8)],
) -> Result<(), TestCaseError> {
    let mut drift = T::fresh();
    values.iter().for_each(|&value| _ = drift.told(value));
    let whole = drift.kept();
    let mut bytes = whole.clone();
    for (place, to) in changes {
        let place = place.index(bytes.len());
        bytes[place] = *to;
    }
    prop_assert!(bytes == whole || T::again(&bytes).is_none());
    sign(&mut bytes);
    if let Some(mut odd) = T::again(&bytes) {
        prop_assert_eq!(odd.kept(), bytes);
        values.iter().for_each(|&value| _ = odd.told(value));
        prop_assert!(T::again(&odd.kept()).is_some(), "what it became can be kept too");
    }
    Ok(())
}

proptest! {
    #[test]
    fn cut_anywhere_they_go_on_bit_for_bit(seed in any::<u64>(), cuts in proptest::collection::vec(0..400_usize, 1..4)) {
        let values = values(seed, 400);
        // Drift is met on the way, or little would be shown.
        prop_assert!(goes_on::<PageHinkley>(&values, &cuts)? > 0);
        prop_assert!(goes_on::<Kswin>(&values, &cuts)? > 0);
    }

    #[test]
    fn changed_bytes_are_refused_and_signed_ones_do_no_harm(
        seed in any::<u64>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let values = values(seed, 130);
        does_no_harm::<PageHinkley>(&values, &changes)?;
        does_no_harm::<Kswin>(&values, &changes)?;
    }
}

#[test]
fn every_cut_and_the_other_kind_are_refused() {
    let (mut one, mut other) = (PageHinkley::fresh(), Kswin::fresh());
    values(5, 100).into_iter().for_each(|value| _ = (one.told(value), other.told(value)));
    let (one, other) = (one.kept(), other.kept());
    assert_eq!((one.len(), Kswin::fresh().kept().len()), (96, 76), "as documented");
    assert!((0..one.len()).all(|end| PageHinkley::restore(&one[..end]).is_err()));
    assert!((0..other.len()).all(|end| Kswin::restore(&other[..end]).is_err()));
    let error = Kswin::restore(&one).unwrap_err();
    assert!(error.to_string().contains("another kind"), "{error}");
    assert!(PageHinkley::restore(&other).is_err());
}

#[test]
fn a_window_that_the_bytes_do_not_hold_is_refused() {
    let mut bytes = Kswin::fresh().kept();
    // The count of values, behind the envelope and the settings.
    bytes[48..56].fill(0xff);
    sign(&mut bytes);
    let error = Kswin::restore(&bytes).unwrap_err();
    assert!(error.to_string().contains("count beyond its bytes"), "{error}");
}

#[test]
fn the_twin_that_forgets_values_differs() {
    let mut whole = Kswin::fresh();
    values(7, 40).into_iter().for_each(|value| _ = whole.told(value));
    let mut forgot = Kswin::again(&whole.kept()).unwrap();
    whole.told(4.0);
    let rest = values(8, 60);
    assert!(
        rest.iter().any(|&value| (whole.told(value), whole.kept()) != (forgot.told(value), forgot.kept()))
    );
}
