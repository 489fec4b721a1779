//! Areas under the curve of precision and recall.

use std::ops::Range;

use super::Labelled;
use crate::number::of_len;

/// The area under the curve of precision and recall of points, by steps (average precision); 0 where there is no anomaly.
///
/// O(points × log(points)).
#[must_use]
pub fn average_precision(series: &Labelled<'_>) -> f64 {
    let mut is_odd = vec![false; series.scores.len()];
    for anomaly in series.anomalies {
        is_odd.get_mut(anomaly.clone()).unwrap_or_default().fill(true);
    }
    let all: usize = series.anomalies.iter().map(ExactSizeIterator::len).sum();
    let (mut right, mut area) = (0, 0.0);
    for (said, these) in steps(series) {
        let found = these.iter().filter(|&&place| is_odd.get(place).copied().unwrap_or_default()).count();
        right += found;
        area += of_len(found) / of_len(all.max(1)) * (of_len(right) / of_len(said));
    }
    area
}

/// The volume under the surface of precision and recall (VUS-PR: Paparrizos et al., "Volume under the surface: a new
/// accuracy evaluation measure for time-series anomaly detection", VLDB 2022): the mean, over buffers of 0 to
/// `most_buffer` points around each anomaly, of the area under the curve of range precision and recall. 0 where there
/// is no anomaly.
///
/// Labels fall off within the buffer as the root of the distance to its edge; recall is scaled by the share of the
/// anomalies that were met at all. Every score is a threshold, where the authors' program takes 250 of them. O(points
/// × buffer).
#[must_use]
pub fn volume_under_surface(series: &Labelled<'_>, most_buffer: usize) -> f64 {
    if series.anomalies.is_empty() {
        return 0.0;
    }
    let ranked = series.ranked();
    let areas = (0..=most_buffer).map(|buffer| Extended::new(series, buffer).area(series, &ranked));
    areas.sum::<f64>() / of_len(most_buffer + 1)
}

/// How many points were said up to each score, and which came with it.
fn steps(series: &Labelled<'_>) -> impl Iterator<Item = (usize, Vec<usize>)> {
    let ranked = series.ranked();
    let score = |place: &usize| series.scores.get(*place).copied().unwrap_or_default();
    let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
    for group in ranked.chunk_by(|a, b| score(a).total_cmp(&score(b)).is_eq()) {
        let before = groups.last().map_or(0, |(said, _)| *said);
        groups.push((before + group.len(), group.to_vec()));
    }
    groups.into_iter()
}

/// Labels with a buffer around them.
#[derive(Debug)]
struct Extended {
    labels: Vec<f64>,
    /// Which of the stretches with a label each point is of; none is the count of them.
    stretch: Vec<usize>,
    stretches: usize,
    /// The mean of the labels with and without the buffer, summed up.
    positive: f64,
}

impl Extended {
    fn new(series: &Labelled<'_>, buffer: usize) -> Self {
        let mut labels = vec![0.0; series.scores.len()];
        for anomaly in series.anomalies {
            labels.get_mut(anomaly.clone()).unwrap_or_default().fill(1.0);
        }
        for anomaly in series.anomalies {
            extend(&mut labels, anomaly, buffer);
        }
        labels.iter_mut().for_each(|label| *label = f64::min(*label, 1.0));
        let exact: usize = series.anomalies.iter().map(ExactSizeIterator::len).sum();
        let positive = (of_len(exact) + labels.iter().sum::<f64>()) / 2.0;
        let (mut stretch, mut stretches, mut is_in) = (Vec::with_capacity(labels.len()), 0, false);
        for &label in &labels {
            stretches += usize::from(label > 0.0 && !is_in);
            is_in = label > 0.0;
            stretch.push(if is_in { stretches - 1 } else { usize::MAX });
        }
        Self { labels, stretch, stretches, positive }
    }

    fn area(&self, series: &Labelled<'_>, ranked: &[usize]) -> f64 {
        let score = |place: &usize| series.scores.get(*place).copied().unwrap_or_default();
        let mut met = vec![false; self.stretches];
        let (mut right, mut said, mut stretches, mut recall, mut area) = (0.0, 0, 0, 0.0, 0.0);
        for group in ranked.chunk_by(|a, b| score(a).total_cmp(&score(b)).is_eq()) {
            for &place in group {
                right += self.labels.get(place).copied().unwrap_or_default();
                let stretch = self.stretch.get(place).copied().unwrap_or(usize::MAX);
                let is_first = met.get_mut(stretch).is_some_and(|met| !std::mem::replace(met, true));
                stretches += usize::from(is_first);
            }
            said += group.len();
            let reached =
                f64::min(right / self.positive, 1.0) * of_len(stretches) / of_len(self.stretches.max(1));
            area += (reached - recall) * right / of_len(said);
            recall = reached;
        }
        area
    }
}

/// Adds what of its label an anomaly gives to the points before and after it, up to half of the buffer away.
fn extend(labels: &mut [f64], anomaly: &Range<usize>, buffer: usize) {
    let half = buffer / 2;
    let label = |away: usize| (1.0 - of_len(away) / of_len(buffer.max(1))).sqrt();
    for away in 1..=half {
        labels.get_mut(anomaly.end - 1 + away).into_iter().for_each(|slot| *slot += label(away));
        let before = anomaly.start.checked_sub(away).and_then(|place| labels.get_mut(place));
        before.into_iter().for_each(|slot| *slot += label(away));
    }
}
