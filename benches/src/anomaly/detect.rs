//! Detectors beside `krcf`, a random cut forest in Rust.

use std::hint::black_box;

use krcf::{RandomCutForest as TheirForest, RandomCutForestOptions};
use otlp_anomaly::detect::{Extremes, ExtremesConfig, ForestConfig};
use otlp_core::UnixNanos;

use super::series::Source;
use crate::measure::{Disagreement, Effort, Row, timed};

/// Points of the measured series: twenty days and more, a point every five minutes.
const POINTS: usize = 6_000;
/// Points that each detector has before it is judged.
const FIRST: usize = 500;
/// Series that are held at once.
const SERIES: usize = 1_000_000;
/// Points that they are given, to each in turn and in no order.
const SCATTERED: usize = 4_000_000;
/// Rounds: the peer is slow.
const ROUNDS: usize = 7;
/// Series, each with a seed of its own for both forests, that the area under the curve is the mean of: that of one moves
/// by some hundredths by chance.
const DRAWS: u64 = 40;
const TREES: usize = 50;
const SAMPLE: usize = 256;

const HOT: &str = "Extremes with decision, a point of one series";
const SCATTER: &str = "Extremes with decision, a point of 1,000,000 series in random order";
const FOREST: &str = "random cut forest of 50 trees and 256 samples, scored and learned, a point, shingle";

pub(super) fn rows(effort: &Effort) -> Vec<Result<Row, Disagreement>> {
    let points = points(11);
    let mut rows = Vec::new();
    let wanted = |name: &str| name.contains(&effort.only);
    if wanted(HOT) {
        rows.extend(hot(&points));
    }
    if wanted(SCATTER) {
        rows.extend(scattered());
    }
    for (shingle, bar) in [(1, 4.0), (8, 8.0)] {
        let name = format!("{FOREST} {shingle}");
        if wanted(&name) {
            rows.extend(forests(&name, &points, shingle, bar));
        }
    }
    rows.into_iter().map(Ok).collect()
}

/// A wave of a day with noise, and whether the point was made an anomaly.
fn points(seed: u64) -> Vec<(UnixNanos, f64, bool)> {
    let mut source = Source(seed);
    (0..POINTS)
        .map(|nth| {
            let phase = (nth % 288) as f64 / 288.0 * std::f64::consts::TAU;
            let usual = 100.0 + 20.0 * phase.sin() + 3.0 * source.normal();
            let is_odd = nth > FIRST && source.uniform() < 0.005;
            let value = if is_odd { usual + 30.0 * source.normal().signum() } else { usual };
            (UnixNanos::from_secs(300 * nth as u64), value, is_odd)
        })
        .collect()
}

fn extremes() -> Option<Extremes> {
    ExtremesConfig::new().build().ok()
}

/// The least time of a point over the rounds, of two ways that take turns.
fn least(mut ours: impl FnMut() -> u64, mut theirs: impl FnMut() -> u64, points: usize) -> (f64, f64) {
    let mut least = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        least.0 = least.0.min(timed(&mut ours).time.as_secs_f64());
        least.1 = least.1.min(timed(&mut theirs).time.as_secs_f64());
    }
    let points = points as f64 / 1e9;
    (least.0 / points, least.1 / points)
}

fn beside(figure: &str, (ours, theirs): (f64, f64), bar: f64) -> Row {
    Row {
        figure: figure.to_owned(),
        ours: format!("{ours:.1} ns"),
        peer: "krcf".to_owned(),
        theirs: format!("{theirs:.1} ns"),
        ratio: Some(theirs / ours),
        bar: format!(">={bar}"),
        ok: theirs / ours >= bar,
    }
}

fn hot(points: &[(UnixNanos, f64, bool)]) -> Vec<Row> {
    let ours = || {
        let Some(mut detector) = extremes() else { return 0 };
        points.iter().map(|&(time, value, _)| u64::from(detector.observe(time, value).is_alarm)).sum()
    };
    let theirs = || black_box(their_scores(points, 1, 1)).len() as u64;
    let times = least(ours, theirs, points.len());
    vec![Row::count(&format!("{HOT}, ns"), times.0, 100.0, None), beside(HOT, times, 200.0)]
}

/// Two gibibytes of detectors, whose points come as those of a fleet do.
fn scattered() -> Vec<Row> {
    let mut detectors: Vec<Extremes> = (0..SERIES).filter_map(|_| extremes()).collect();
    let mut source = Source(3);
    let order: Vec<(usize, f64)> = (0..SCATTERED).map(|_| (source.below(SERIES), source.uniform())).collect();
    let mut alarms = 0;
    let mut pass = |from: u64| {
        let timed = timed(|| {
            for (nth, &(series, value)) in order.iter().enumerate() {
                let time = UnixNanos::from_secs(from + nth as u64);
                if let Some(detector) = detectors.get_mut(series) {
                    alarms += u64::from(detector.observe(time, value).is_alarm);
                }
            }
            alarms
        });
        timed.time.as_secs_f64() * 1e9 / SCATTERED as f64
    };
    // The first pass touches the memory.
    let first = pass(0);
    let nanos = (1..3).map(|nth| pass(nth * SCATTERED as u64)).fold(first, f64::min);
    let bytes = size_of::<Extremes>() as f64;
    vec![
        Row::count(&format!("{SCATTER}, ns"), nanos, 1_000.0, None),
        Row::count("Extremes, bytes a series, nothing beside them allocated", bytes, 2_048.0, None),
    ]
}

fn their_scores(points: &[(UnixNanos, f64, bool)], shingle: usize, seed: u64) -> Vec<f64> {
    let options = RandomCutForestOptions {
        dimensions: 1,
        shingle_size: shingle,
        id: None,
        num_trees: Some(TREES),
        sample_size: Some(SAMPLE),
        output_after: Some(64),
        random_seed: Some(seed),
        parallel_execution_enabled: Some(false),
        lambda: Some(0.1 / SAMPLE as f64),
        internal_rotation: None,
        internal_shingling: Some(true),
        propagate_attribute_vectors: None,
        store_pointsum: None,
        store_attributes: None,
        initial_accept_fraction: None,
        bounding_box_cache_fraction: Some(1.0),
    };
    let Ok(mut forest) = TheirForest::new(options) else { return Vec::new() };
    let score = |&(_, value, _): &(UnixNanos, f64, bool)| {
        #[expect(clippy::cast_possible_truncation, reason = "it takes single precision")]
        let point = [value as f32];
        let score = forest.score(&point).unwrap_or_default();
        // What cannot be learned would show in the scores.
        forest.update(&point).ok();
        score
    };
    points.iter().map(score).collect()
}

fn our_scores(points: &[(UnixNanos, f64, bool)], shingle: usize, seed: u64) -> Vec<f64> {
    let config = ForestConfig::new().shingle(shingle).trees(TREES).sample(SAMPLE);
    let Ok(mut forest) = config.decay(0.1 / SAMPLE as f64).seed(seed).build() else { return Vec::new() };
    let score =
        |&(_, value, _): &(UnixNanos, f64, bool)| forest.observe(&[value]).ok().flatten().unwrap_or_default();
    points.iter().map(score).collect()
}

fn forests(name: &str, points: &[(UnixNanos, f64, bool)], shingle: usize, bar: f64) -> Vec<Row> {
    let times = least(
        || our_scores(points, shingle, 1).len() as u64,
        || their_scores(points, shingle, 1).len() as u64,
        points.len(),
    );
    vec![beside(name, times, bar), areas(shingle)]
}

/// Whether the scores are as good: of the same series and by how much they differ, which chance makes some of.
fn areas(shingle: usize) -> Row {
    let areas = (1..=DRAWS).map(|seed| {
        let points = points(100 + seed);
        let of = |scores: &[f64]| area_under_curve(&points, scores);
        (of(&our_scores(&points, shingle, seed)), of(&their_scores(&points, shingle, seed)))
    });
    let areas: Vec<(f64, f64)> = areas.collect();
    let count = areas.len() as f64;
    let mean = |of: &dyn Fn(&(f64, f64)) -> f64| areas.iter().map(of).sum::<f64>() / count;
    let (ours, theirs) = (mean(&|area| area.0), mean(&|area| area.1));
    let apart = ours - theirs;
    let square = mean(&|area| (area.0 - area.1 - apart).powi(2));
    let error = (square / (count - 1.0)).sqrt();
    Row {
        figure: format!(
            "the same, area under the ROC curve of planted anomalies, mean of {DRAWS} series, shingle {shingle}; ours \
             is {apart:+.4} off, with a standard error of {error:.4}"
        ),
        ours: format!("{ours:.4}"),
        peer: "krcf".to_owned(),
        theirs: format!("{theirs:.4}"),
        ratio: Some(ours / theirs),
        bar: ">=1 less two errors".to_owned(),
        ok: apart >= -2.0 * error,
    }
}

/// The probability that an anomaly scores higher than a usual point.
fn area_under_curve(points: &[(UnixNanos, f64, bool)], scores: &[f64]) -> f64 {
    let mut judged: Vec<(f64, bool)> =
        scores.iter().zip(points).skip(FIRST).map(|(&score, &(_, _, is_odd))| (score, is_odd)).collect();
    judged.sort_by(|a, b| a.0.total_cmp(&b.0));
    let ranks =
        judged.iter().zip(1_u32..).filter(|((_, is_odd), _)| *is_odd).map(|(_, rank)| f64::from(rank));
    let odd = judged.iter().filter(|(_, is_odd)| *is_odd).count() as f64;
    (ranks.sum::<f64>() - odd * (odd + 1.0) / 2.0) / (odd * (judged.len() as f64 - odd))
}
