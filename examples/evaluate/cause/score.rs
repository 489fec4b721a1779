//! How right the answers are.

use std::fmt::Write as _;
use std::time::Duration;

use otlp_anomaly::cause::Ranking;

use super::Labelled;
use super::baseline::Baseline;
use super::reliability::Reliability;
use crate::answer::{Answer, rank};
use crate::input::Part;

pub(super) const HEAD: &str =
    "system                         cases | first three  five Avg@5 named | quiet  none | ms a case";

/// Places of the truth, and what was said of quiet cases.
#[derive(Debug, Default)]
pub(super) struct Score {
    places: Vec<Option<usize>>,
    /// Cases in which something was named.
    named: usize,
    quiet: usize,
    none: usize,
    took: Duration,
    pub(super) reliability: Reliability,
}

impl Score {
    pub(super) fn of(cases: &[&Labelled], left_out: &[Part]) -> Self {
        let mut score = Self::default();
        for case in cases {
            let (ranking, took) = rank(&case.input, left_out);
            score.took += took;
            score.reliability.add(&ranking, case.truth.as_deref());
            score.add(case, place(&ranking, case.truth.as_deref().unwrap_or_default()), ranking.is_none());
        }
        score
    }

    pub(super) fn of_baseline(cases: &[&Labelled], baseline: Baseline) -> Self {
        let mut score = Self::default();
        for case in cases {
            let ranked = baseline.rank(&case.input);
            let truth = case.truth.as_deref().unwrap_or_default();
            let own = ranked.iter().find(|(service, _)| service == truth).map(|(_, score)| *score);
            let place = own.map(|own| ranked.iter().filter(|(_, other)| *other >= own).count());
            score.add(case, place, ranked.is_empty());
        }
        score
    }

    fn add(&mut self, case: &Labelled, place: Option<usize>, is_none: bool) {
        if case.truth.is_some() {
            self.places.push(place);
            self.named += usize::from(!is_none);
        } else {
            self.quiet += 1;
            self.none += usize::from(is_none);
        }
    }

    fn within(&self, most: usize) -> f64 {
        let right = self.places.iter().flatten().filter(|place| **place <= most).count();
        right as f64 / self.places.len().max(1) as f64
    }

    pub(super) fn row(&self, name: &str) -> String {
        let mean = (1..=5).map(|most| self.within(most)).sum::<f64>() / 5.0;
        let all = self.places.len() + self.quiet;
        let millis = self.took.as_secs_f64() * 1e3 / all.max(1) as f64;
        let named = self.named as f64 / self.places.len().max(1) as f64;
        let none = self.none as f64 / self.quiet.max(1) as f64;
        format!(
            "{name:30} {:5} | {:5.2} {:5.2} {:5.2} {mean:5.2} {named:5.2} | {:5} {none:5.2} | {millis:9.2}",
            self.places.len(),
            self.within(1),
            self.within(3),
            self.within(5),
            self.quiet,
        )
    }
}

/// Where the truth stands, behind all that score as high.
fn place(ranking: &Ranking, truth: &str) -> Option<usize> {
    let own = ranking.causes.iter().find(|cause| cause.subject.service() == Some(truth))?;
    Some(ranking.causes.iter().filter(|cause| cause.score >= own.score).count())
}

/// One case in a line, and below it what speaks for the first and for the truth.
pub(super) fn line(case: &Labelled) -> String {
    let (ranking, _) = rank(&case.input, &[]);
    let truth = case.truth.as_deref().unwrap_or("nothing");
    let place = case.truth.as_deref().map(|truth| place(&ranking, truth));
    let place = place.map(|place| place.map_or_else(|| "-".to_owned(), |place| place.to_string()));
    let mut line = format!(
        "  {:52} {:>2} {truth}: {}",
        case.input.name,
        place.unwrap_or_default(),
        Answer::of(&ranking),
    );
    let first = ranking.top();
    let right = ranking.causes.iter().find(|cause| cause.subject.service() == Some(truth));
    let right = right.filter(|right| first.is_none_or(|first| first.subject != right.subject));
    for cause in first.into_iter().chain(right) {
        let parts =
            cause.contributions.iter().map(|part| format!("{} {:.2}", part.source.name(), part.weight));
        let parts: Vec<String> = parts.collect();
        let _ = write!(line, "\n      {}: {}", cause.subject, parts.join(", "));
        for evidence in &cause.evidence {
            let _ = write!(line, "; {evidence}");
        }
    }
    line
}
