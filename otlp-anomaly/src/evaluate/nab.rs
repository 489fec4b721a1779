//! The score of the Numenta Anomaly Benchmark.

use std::ops::Range;

use super::Labelled;
use crate::number::{floor, of_len};

/// What a false alarm and a window that was missed cost, beside the gain of 1 for one found at its very beginning.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Profile {
    /// Of a false alarm far from any window.
    pub false_positive: f64,
    /// Of a window missed.
    pub false_negative: f64,
}

impl Profile {
    /// The standard one.
    pub const STANDARD: Self = Self { false_positive: 0.11, false_negative: 1.0 };
    /// The one that rewards few false alarms.
    pub const LOW_FALSE_POSITIVES: Self = Self { false_positive: 0.22, false_negative: 1.0 };
    /// The one that rewards few windows missed.
    pub const LOW_FALSE_NEGATIVES: Self = Self { false_positive: 0.11, false_negative: 2.0 };
}

/// How a detector does on a corpus.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Nab {
    /// 100 where every window is found at its beginning without a false alarm, 0 where nothing is ever said; may be
    /// below.
    pub score: f64,
    /// The one threshold for all series, at or above which scores are alarms; infinite where nothing is best left unsaid.
    pub threshold: f64,
}

/// One point above the threshold: of which window, and what it counts.
#[derive(Debug, Clone, Copy)]
struct Detection {
    score: f64,
    window: Option<usize>,
    counts: f64,
}

/// The score of the Numenta Anomaly Benchmark over all series together, at the threshold that is the best for it
/// (Lavin and Ahmad, "Evaluating real-time anomaly detection algorithms", ICMLA 2015; Numenta's program is the
/// reference).
///
/// The anomalies are the benchmark's windows. The first 15 % of a series, at most 750 points, are probation and do
/// not count. In a window the best placed alarm counts, by a sigmoid that falls from its beginning to its end; after
/// a window alarms cost the more the later they are. Scores of 0 and below are never alarms. O(points × log(points)).
#[must_use]
pub fn nab(corpus: &[Labelled<'_>], profile: Profile) -> Nab {
    let mut detections = detections(corpus, profile);
    detections.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut account = Account::new(corpus, profile);
    let (mut best, mut threshold) = (account.score(), f64::INFINITY);
    let mut rest = detections.as_slice();
    while let Some(first) = rest.first().filter(|first| first.score > 0.0) {
        // All points of one score are alarms together or not.
        let equal = rest.partition_point(|detection| detection.score >= first.score);
        let (these, behind) = rest.split_at(equal);
        these.iter().for_each(|detection| account.take(detection));
        if account.score() > best {
            (best, threshold) = (account.score(), first.score);
        }
        rest = behind;
    }
    Nab { score: best, threshold }
}

/// The same at a threshold that is given; 1 for alarms that were decided on, as scores of 1 among 0.
#[must_use]
pub fn nab_at(corpus: &[Labelled<'_>], profile: Profile, threshold: f64) -> f64 {
    let mut account = Account::new(corpus, profile);
    let detections = detections(corpus, profile);
    detections
        .iter()
        .filter(|detection| detection.score >= threshold)
        .for_each(|detection| account.take(detection));
    account.score()
}

/// What the alarms so far come to.
#[derive(Debug)]
struct Account {
    profile: Profile,
    /// What each window that was found counts.
    found: Vec<Option<f64>>,
    raw: f64,
}

impl Account {
    fn new(corpus: &[Labelled<'_>], profile: Profile) -> Self {
        let windows = corpus.iter().map(|series| series.anomalies.len()).sum();
        Self { profile, found: vec![None; windows], raw: -profile.false_negative * of_len(windows) }
    }

    fn take(&mut self, detection: &Detection) {
        let Some(window) = detection.window else {
            self.raw += detection.counts;
            return;
        };
        let Some(found) = self.found.get_mut(window) else { return };
        let before = found.unwrap_or(-self.profile.false_negative);
        if found.is_none_or(|found| detection.counts > found) {
            self.raw += detection.counts - before;
            *found = Some(detection.counts);
        }
    }

    fn score(&self) -> f64 {
        let missed = self.profile.false_negative * of_len(self.found.len());
        let whole = of_len(self.found.len()) + missed;
        if whole > 0.0 { 100.0 * (self.raw + missed) / whole } else { self.raw }
    }
}

fn detections(corpus: &[Labelled<'_>], profile: Profile) -> Vec<Detection> {
    let (mut all, mut first_window) = (Vec::new(), 0);
    for series in corpus {
        let probation = floor((0.15 * of_len(series.scores.len())).min(750.0));
        let mut windows = (first_window..).zip(series.anomalies).peekable();
        let mut passed: Option<&Range<usize>> = None;
        for (place, &score) in series.scores.iter().enumerate() {
            while let Some((_, window)) = windows.next_if(|(_, window)| window.end <= place) {
                passed = Some(window);
            }
            let within = windows.peek().filter(|(_, window)| window.contains(&place));
            let counts = match (within, passed) {
                (Some((_, window)), _) => {
                    sigmoid(-of_len(window.end - place) / of_len(window.len())) / sigmoid(-1.0)
                }
                (None, Some(window)) => {
                    let width = of_len((window.len() - 1).max(1));
                    profile.false_positive * sigmoid(of_len(place + 1 - window.end) / width)
                }
                (None, None) => -profile.false_positive,
            };
            if u64::try_from(place).is_ok_and(|place| place >= probation) {
                all.push(Detection { score, window: within.map(|(window, _)| *window), counts });
            }
        }
        first_window += series.anomalies.len();
    }
    all
}

/// From 1 well before the end of a window, over 0 there, to -1 well after it.
fn sigmoid(place: f64) -> f64 {
    if place > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * place).exp()) - 1.0 }
}
