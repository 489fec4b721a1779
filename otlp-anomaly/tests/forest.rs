//! The random cut forest on series and rows.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that is wrong should stop")]

mod chance;

use chance::Chance;
use otlp_anomaly::ErrorKind;
use otlp_anomaly::detect::{ForestConfig, RandomCutForest};

fn forest(dimensions: usize, shingle: usize) -> RandomCutForest {
    let small = ForestConfig::new().trees(10).sample(128).decay(2e-3);
    small.dimensions(dimensions).shingle(shingle).build().unwrap()
}

/// The scores of a wave of 96 points with noise, of which `place` is changed by `change`.
fn wave(shingle: usize, points: usize, (place, change): (usize, impl Fn(f64) -> f64)) -> Vec<f64> {
    let (mut forest, mut chance) = (forest(1, shingle), Chance::new(5));
    (0..points)
        .map(|nth| {
            let phase = nth as f64 / 96.0 * std::f64::consts::TAU;
            let value = 100.0 + 30.0 * phase.sin() + chance.normal();
            let value = if nth == place { change(value) } else { value };
            forest.observe(&[value]).unwrap().unwrap_or_default()
        })
        .collect()
}

/// How many of those after the first waves score higher.
fn rank(scores: &[f64], place: usize) -> usize {
    scores.iter().skip(500).filter(|&&score| score > scores[place]).count()
}

#[test]
fn what_lies_far_out_scores_highest() {
    let scores = wave(1, 1_200, (1_100, |value| value + 60.0));
    assert_eq!(rank(&scores, 1_100), 0);
    assert!(scores[1_100] > 2.0, "{}", scores[1_100]);
}

#[test]
fn what_is_wrong_for_its_place_in_the_wave_needs_a_shingle_to_be_seen() {
    // At the top of the wave the value of its bottom.
    let swapped = (1_080, |_| 70.0);
    assert!(rank(&wave(8, 1_400, swapped), 1_080) < 8, "the shingles that hold it");
    assert!(rank(&wave(1, 1_400, swapped), 1_080) > 50, "as a value it is as usual as any");
}

#[test]
fn the_sample_follows_a_level_that_stays() {
    let (mut forest, mut chance) = (forest(1, 1), Chance::new(8));
    let scores: Vec<f64> = (0..8_000)
        .map(|nth| {
            let level = if nth < 4_000 { 10.0 } else { 50.0 };
            forest.observe(&[level + chance.normal()]).unwrap().unwrap_or_default()
        })
        .collect();
    let mean = |range: std::ops::Range<usize>| scores[range.clone()].iter().sum::<f64>() / range.len() as f64;
    assert!(mean(4_000..4_005) > 1.8, "at first it is unheard of");
    assert!((mean(7_500..8_000) / mean(3_500..4_000) - 1.0).abs() < 0.1, "in the end it is usual");
}

#[test]
fn the_dimension_and_the_direction_that_made_the_score_are_named() {
    let (mut forest, mut chance) = (forest(4, 2), Chance::new(9));
    for _ in 0..1_000 {
        forest.observe(&[0.0; 4].map(|_: f64| chance.normal())).unwrap();
    }
    forest.shift(&[0.0, 0.0, -20.0, 0.0]).unwrap();
    let (score, shares) = (forest.score().unwrap(), forest.attribution());
    assert_eq!(shares.len(), 8);
    let total: f64 = shares.iter().map(|share| share.low + share.high).sum();
    assert!((total - score).abs() < 1e-4, "{total} and {score}");
    // The newest row is the last.
    assert!(shares[6].low > 0.7 * score && shares[6].high < 0.1, "{shares:?}");
}

#[test]
fn a_seed_gives_its_scores_and_another_seed_others() {
    let scores = |seed| {
        let (mut forest, mut chance) = (ForestConfig::new().seed(seed).build().unwrap(), Chance::new(1));
        (0..400).map(|_| forest.observe(&[chance.normal()]).unwrap().map(f64::to_bits)).collect::<Vec<_>>()
    };
    assert_eq!(scores(1), scores(1));
    assert_ne!(scores(1), scores(2));
}

#[test]
fn constants_repeats_and_what_is_no_number_do_no_harm() {
    let mut flat = forest(1, 3);
    for nth in 0..500 {
        let score = flat.observe(&[7.0]).unwrap();
        assert!(score.is_none_or(|score| score.is_finite() && score < 1.0), "{nth}: {score:?}");
    }
    assert!(flat.observe(&[7.000_1]).unwrap().unwrap() > 2.0, "any move of what never moved");
    for odd in [f64::NAN, f64::INFINITY, -1e31] {
        assert_eq!(flat.observe(&[odd]).unwrap(), None);
        assert_eq!(flat.observe(&[7.0]).unwrap(), None, "the point is not whole");
        flat.observe(&[7.0]).unwrap();
        assert!(flat.observe(&[7.0]).unwrap().is_some());
    }
    assert_eq!(flat.invalid(), 3);
    for extreme in [1e30, -1e30, 5e-324, 0.0, -0.0] {
        let score = flat.observe(&[extreme]).unwrap().unwrap();
        assert!(score.is_finite(), "{extreme}: {score}");
    }
}

#[test]
fn rows_of_another_length_and_forests_that_cannot_be_are_refused() {
    let error = forest(2, 1).observe(&[1.0]).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().contains("1 values for 2")),
        (ErrorKind::Config, true),
        "{error}"
    );
    for config in [
        ForestConfig::new().dimensions(0),
        ForestConfig::new().dimensions(100).shingle(100),
        ForestConfig::new().trees(0),
        ForestConfig::new().sample(1),
        ForestConfig::new().decay(f64::NAN),
    ] {
        assert_eq!(config.build().unwrap_err().kind(), ErrorKind::Config);
    }
}

#[test]
fn values_a_denormal_apart_have_shares_that_are_numbers() {
    let mut forest = forest(1, 1);
    (0..200).for_each(|nth| _ = forest.observe(&[if nth % 3 == 0 { 1e30 } else { 0.0 }]));
    forest.shift(&[4.87e-40]).unwrap();
    let shares = forest.attribution();
    assert!(shares.iter().all(|share| share.low.is_finite() && share.high.is_finite()), "{shares:?}");
}
