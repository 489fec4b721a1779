#![expect(clippy::single_range_in_vec_init, reason = "a list of one anomaly")]

use super::*;
use crate::random::Random;

/// What the Python recipes below have as `draw(seed, count)`: SplitMix64, the upper 53 bits of each as a share of 1.
fn draw(seed: u64, count: usize) -> Vec<f64> {
    let mut random = Random::new(seed);
    (0..count).map(|_| (random.next() >> 11) as f64 / (1_u64 << 53) as f64).collect()
}

/// Scores between 0 and 1 with one more within the anomalies, rounded so that some are equal.
fn scores(seed: u64, count: usize, anomalies: &[Range<usize>]) -> Vec<f64> {
    let lift =
        |place: usize| if anomalies.iter().any(|anomaly| anomaly.contains(&place)) { 0.3 } else { 0.0 };
    draw(seed, count)
        .iter()
        .enumerate()
        .map(|(place, draw)| ((draw + lift(place)) * 50.0).floor() / 50.0)
        .collect()
}

const FIRST: [Range<usize>; 2] = [200..260, 400..430];
const SECOND: [Range<usize>; 1] = [300..301];

#[test]
fn benchmark_scores_are_those_of_the_reference() {
    let (first, second) = (scores(1, 600, &FIRST), scores(2, 500, &SECOND));
    let corpus = [Labelled::new(&first, &FIRST).unwrap(), Labelled::new(&second, &SECOND).unwrap()];
    for (profile, (score, threshold)) in
        [Profile::STANDARD, Profile::LOW_FALSE_POSITIVES, Profile::LOW_FALSE_NEGATIVES].into_iter().zip(NAB)
    {
        let met = nab(&corpus, profile);
        assert!(
            (met.score - score).abs() < 1e-9 && (met.threshold - threshold).abs() < 1e-12,
            "{met:?} for {score} at {threshold}"
        );
        assert!((nab_at(&corpus, profile, threshold) - score).abs() < 1e-9);
    }
}

#[test]
fn areas_are_those_of_the_references() {
    for (seed, (precision, volume)) in (1..).zip(AREAS) {
        let scores = scores(seed, 600, &FIRST);
        let series = Labelled::new(&scores, &FIRST).unwrap();
        assert!((average_precision(&series) - precision).abs() < 1e-9, "{}", average_precision(&series));
        assert!(
            (volume_under_surface(&series, 40) - volume).abs() < 1e-9,
            "{}",
            volume_under_surface(&series, 40)
        );
    }
}

#[test]
fn the_best_and_the_worst_scores_have_the_ends_of_the_scale() {
    let label = |place: usize, inside: f64, outside: f64| {
        if FIRST.iter().any(|a| a.contains(&place)) { inside } else { outside }
    };
    let perfect: Vec<f64> = (0..600).map(|place| label(place, 1.0, 0.0)).collect();
    let inverted: Vec<f64> = (0..600).map(|place| label(place, 0.0, 1.0)).collect();
    let (perfect, inverted) =
        (Labelled::new(&perfect, &FIRST).unwrap(), Labelled::new(&inverted, &FIRST).unwrap());
    assert!((average_precision(&perfect) - 1.0).abs() < 1e-12);
    assert!(volume_under_surface(&perfect, 0) > 1.0 - 1e-12);
    assert!(average_precision(&inverted) < 0.16 && volume_under_surface(&inverted, 20) < 0.2);
    let silent = nab(&[inverted], Profile::STANDARD);
    assert!(
        silent.score.abs() < 1e-9 && silent.threshold.is_infinite(),
        "saying nothing is better: {silent:?}"
    );
    assert!(nab_at(&[inverted], Profile::STANDARD, 0.5) < 0.0);
    let found = nab(&[perfect], Profile::STANDARD);
    assert!((found.score - 100.0).abs() < 1e-9);
}

#[test]
fn a_window_counts_once_and_the_earlier_it_is_found_the_more() {
    let mut scores = vec![0.0; 1_000];
    let at = |place: usize, scores: &mut Vec<f64>| {
        scores[place] = 1.0;
        nab_at(&[Labelled::new(scores, &[500..600]).unwrap()], Profile::STANDARD, 0.5)
    };
    let late = at(598, &mut scores);
    let early = at(501, &mut scores);
    assert!(late < 60.0 && early > 95.0, "{late} {early}");
    assert!((at(540, &mut scores) - early).abs() < 1e-12, "the earliest is the one that counts");
    let wrong = at(300, &mut scores);
    assert!((early - wrong - 100.0 * 0.11 / 2.0).abs() < 1e-9);
    assert!((at(100, &mut scores) - wrong).abs() < 1e-12, "probation");
}

#[test]
fn labels_that_cannot_be_are_refused() {
    let scores = [0.0; 10];
    for anomalies in [&[3..3][..], &[8..11], &[2..5, 4..6], &[5..6, 1..2]] {
        assert!(Labelled::new(&scores, anomalies).unwrap_err().is_malformed(), "{anomalies:?}");
    }
    assert!(Labelled::new(&[f64::NAN], &[]).unwrap_err().is_malformed());
    let empty = Labelled::new(&[], &[]).unwrap();
    assert_eq!((average_precision(&empty), volume_under_surface(&empty, 9)), (0.0, 0.0));
    assert_eq!(nab(&[empty], Profile::STANDARD).score, 0.0);
}

#[test]
fn events_of_nothing_are_whole() {
    let none = Events::of(&[], &[]);
    assert_eq!((none.recall(), none.precision(), none.mean_delay()), (1.0, 1.0, None));
    let mut both = Events::of(&[1], &[0..4]);
    both.add(Events::of(&[9], &[0..4]));
    assert_eq!((both.recall(), both.precision(), both.mean_delay()), (0.5, 0.5, Some(1.0)));
}

/// Score and threshold of each profile by an independent Python program of the benchmark's rules, over `first` and
/// `second`.
const NAB: [(f64, f64); 3] =
    [(66.52158830070495, 1.14), (66.52158830070495, 1.14), (66.56994775602553, 1.14)];
/// `sklearn.metrics.average_precision_score` (scikit-learn 1.9.1), and the VUS-PR of the paper with buffers of 0 to
/// 40 points and every score as a threshold, in numpy: labels extended by `sqrt(1 - distance / buffer)` up to `buffer
/// // 2` points, and for each threshold `recall = min(sum(labels * said) / ((sum(exact) + sum(labels)) / 2), 1) * met
/// / stretches`, `precision = sum(labels * said) / sum(said)`.
const AREAS: [(f64, f64); 3] = [
    (0.47589159926108987, 0.48293950201937846),
    (0.5076850161967766, 0.5161108381511514),
    (0.5007440916603516, 0.5205421862375361),
];
