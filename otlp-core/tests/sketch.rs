//! The quantile sketch: its error bound, and that merging does not depend on the order.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test that is wrong should stop"
)]

use otlp_core::ErrorKind;
use otlp_core::aggregate::Sketch;
use proptest::collection::vec;
use proptest::prelude::*;

fn sketch_of(values: &[f64]) -> Sketch {
    sketch_in(values, Sketch::RELATIVE_ERROR, Sketch::MAX_BINS)
}

fn sketch_in(values: &[f64], relative_error: f64, max_bins: usize) -> Sketch {
    let mut sketch = Sketch::try_new(relative_error, max_bins).unwrap();
    for &value in values {
        assert!(sketch.add(value));
    }
    sketch
}

fn exact_quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(q * (sorted.len() - 1) as f64).floor() as usize]
}

/// The worst relative error of the sketch over many quantiles.
fn worst_error(sketch: &Sketch, values: &[f64]) -> f64 {
    let errors = (0..=100).map(|percent| {
        let q = f64::from(percent) / 100.0;
        let exact = exact_quantile(values, q);
        let met = sketch.quantile(q).unwrap();
        if exact == met { 0.0 } else { (met - exact).abs() / exact }
    });
    errors.fold(0.0, f64::max)
}

fn merged(parts: &[&Sketch]) -> Sketch {
    let mut whole = parts[0].clone();
    for part in &parts[1..] {
        whole.merge(part).unwrap();
    }
    whole
}

/// Values over many orders of magnitude, with zeros among them.
fn values() -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![1 => Just(0.0), 9 => (-20.0..20.0_f64).prop_map(f64::exp)];
    vec(value, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_quantile_is_within_the_relative_error(values in values(), error in 0.001..0.1_f64) {
        let sketch = sketch_in(&values, error, 1 << 20);
        prop_assert_eq!(sketch.collapsed(), 0);
        prop_assert!(worst_error(&sketch, &values) <= error * (1.0 + 1e-9));
    }

    #[test]
    fn merging_gives_what_adding_everything_to_one_gives(a in values(), b in values(), c in values()) {
        // Few bins, so that collapsing is part of it.
        for max_bins in [2, 40, 2048] {
            let [x, y, z] = [&a, &b, &c].map(|values| sketch_in(values, 0.01, max_bins));
            let all: Vec<f64> = a.iter().chain(&b).chain(&c).copied().collect();
            let whole = sketch_in(&all, 0.01, max_bins);
            let left = merged(&[&merged(&[&x, &y]), &z]);
            let right = merged(&[&x, &merged(&[&y, &z])]);
            let swapped = merged(&[&z, &x, &y]);
            for other in [&left, &right, &swapped] {
                prop_assert_eq!(other, &whole);
                prop_assert_eq!(other.collapsed(), whole.collapsed());
                prop_assert!((other.sum() - whole.sum()).abs() <= 1e-9 * whole.sum());
            }
        }
    }

    #[test]
    fn upper_quantiles_keep_their_bound_when_lower_bins_collapse(values in values()) {
        let sketch = sketch_in(&values, 0.01, 64);
        let zeros = values.iter().filter(|value| **value == 0.0).count() as u64;
        let safe_from = sketch.collapsed() + zeros;
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        for (rank, exact) in (0_u64..).zip(sorted).filter(|(rank, _)| *rank >= safe_from) {
            let met = sketch.value_at(rank).unwrap();
            prop_assert!((met - exact).abs() <= 0.0100001 * exact, "rank {}: {} for {}", rank, met, exact);
        }
    }

    #[test]
    fn a_cleared_sketch_is_a_new_one(first in values(), second in values()) {
        let mut sketch = sketch_of(&first);
        sketch.clear();
        prop_assert!(sketch.is_empty() && sketch.quantile(0.5).is_none());
        for &value in &second {
            sketch.add(value);
        }
        prop_assert_eq!(sketch, sketch_of(&second));
    }

    #[test]
    fn counts_above_a_line_are_exact_but_for_values_near_it(values in values(), line in 0.0..100.0_f64) {
        let sketch = sketch_of(&values);
        let beyond = |line: f64| values.iter().filter(|value| **value > line).count() as u64;
        let met = sketch.count_above(line);
        prop_assert!((beyond(line * 1.0203)..=beyond(line * 0.9799)).contains(&met));
    }
}

#[test]
fn too_coarse_a_sketch_breaks_the_bound() {
    let values: Vec<f64> = (1..=1000).map(f64::from).collect();
    assert!(worst_error(&sketch_in(&values, 0.01, 2048), &values) <= 0.0100001);
    assert!(worst_error(&sketch_in(&values, 0.1, 2048), &values) > 0.01);
    assert!(worst_error(&sketch_in(&values, 0.01, 16), &values) > 0.01);
}

#[test]
fn what_is_no_latency_is_refused_and_counted() {
    let mut sketch = Sketch::default();
    for bad in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(!sketch.add(bad));
    }
    assert_eq!((sketch.count(), sketch.refused()), (0, 4));
    assert!(sketch.quantile(0.5).is_none() && sketch.mean().is_none() && sketch.mean_below(0.9).is_none());
    assert!(sketch.add(0.0) && sketch.add(5e-324) && sketch.add(f64::MAX));
    assert_eq!(sketch.quantile(0.0), Some(0.0));
    assert_eq!(sketch.quantile(1.0), Some(f64::MAX));
}

#[test]
fn the_mean_of_the_lowest_share_ignores_the_highest_values() {
    let mut values = vec![1.0; 98];
    values.extend([1e6, 1e6]);
    let sketch = sketch_of(&values);
    let trimmed = sketch.mean_below(0.98).unwrap();
    assert!((trimmed - 1.0).abs() < 0.011, "{trimmed}");
    assert!(sketch.mean_below(1.0).unwrap() > 1e4);
    let zeros = sketch_of(&[0.0, 0.0, 4.0, 4.0]);
    assert!((zeros.mean_below(0.75).unwrap() - 4.0 / 3.0).abs() < 0.02);
}

#[test]
fn sketches_made_differently_do_not_merge() {
    let mut fine = sketch_of(&[1.0]);
    let coarse = sketch_in(&[2.0], 0.05, Sketch::MAX_BINS);
    assert_eq!(fine.merge(&coarse).unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(fine, sketch_of(&[1.0]));
}

#[test]
fn impossible_settings_are_refused() {
    for (error, bins) in [(0.0, 100), (f64::NAN, 100), (0.9, 100), (0.01, 1), (0.01, usize::MAX)] {
        assert_eq!(Sketch::try_new(error, bins).unwrap_err().kind(), ErrorKind::Config);
    }
}

#[test]
fn memory_stays_within_the_bins() {
    let mut sketch = Sketch::try_new(0.01, 128).unwrap();
    for exponent in -300..300 {
        sketch.add(10_f64.powi(exponent));
        sketch.add(10_f64.powi(-exponent));
    }
    assert!(sketch.heap_bytes() <= 2 * 128 * 8 + 1024, "{}", sketch.heap_bytes());
    assert_eq!(sketch.count(), 1200);
}

#[test]
fn what_would_overflow_is_refused_and_counted() {
    let mut sketch = Sketch::default();
    assert!(sketch.add_many(1.0, (1 << 53) - 1));
    assert!(!sketch.add_many(2.0, u64::MAX), "all but one of them");
    assert_eq!((sketch.count(), sketch.refused()), (1 << 53, u64::MAX - 1));
    assert!(!sketch.add(3.0) && !sketch.add_many(f64::NAN, u64::MAX));
    assert_eq!((sketch.count(), sketch.refused()), (1 << 53, u64::MAX));
    assert!(sketch.quantile(1.0).is_some_and(|last| (last - 2.0).abs() < 0.05), "{:?}", sketch.quantile(1.0));
}
