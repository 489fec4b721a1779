//! A series through the detector.

use std::fmt::Write as _;

use otlp_anomaly::detect::{AutoConfig, Detector, Extremes, ExtremesConfig};
use otlp_core::Error;

use crate::budget::budget;
use crate::choice::Choice;
use crate::series::Point;

/// What came of a series.
#[derive(Debug, Default)]
pub(crate) struct Scored {
    /// One a point.
    pub(crate) scores: Vec<f64>,
    pub(crate) alerts: Vec<Alert>,
    /// Which detector it was and why, where it was chosen for the series.
    pub(crate) why: Option<String>,
}

/// One episode.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Alert {
    /// Places of the first and the last point in the series.
    pub(crate) first: usize,
    pub(crate) last: usize,
    pub(crate) score: f64,
    pub(crate) threshold: f64,
    start: String,
    end: String,
}

/// The score from which a point belongs to the episode that it follows.
const EDGE: f64 = 3.0;

/// Scores a series, point by point.
///
/// # Errors
/// Where the budget cannot be kept to.
pub(crate) fn score(points: &[Point], alerts_per_week: f64, choice: Choice) -> Result<Scored, Error> {
    let budget = budget(points, alerts_per_week)?;
    let mut scored = Scored::default();
    match choice {
        Choice::Extremes => {
            let mut detector = ExtremesConfig::new().budget(budget).build()?;
            points.iter().enumerate().for_each(|point| take(&mut detector, point, &mut scored));
        }
        Choice::Auto => {
            let mut detector = AutoConfig::new().budget(budget).build()?;
            points.iter().enumerate().for_each(|point| judge(&mut detector, point, &mut scored));
            scored.why = Some(detector.choice().to_string());
        }
        other => {
            let mut detector = other.build(budget)?;
            points.iter().enumerate().for_each(|point| judge(detector.as_mut(), point, &mut scored));
        }
    }
    Ok(scored)
}

/// Points after which a score over the threshold is of no episode before it.
const EPISODE: usize = 72;

fn judge(detector: &mut dyn Detector, (place, point): (usize, &Point), scored: &mut Scored) {
    let judgement = detector.judge_one(point.time, point.value);
    let (score, threshold) = (judgement.score, judgement.threshold.unwrap_or(f64::MAX));
    scored.scores.push(score);
    if judgement.is_alarm {
        let (start, end) = (point.text.clone(), point.text.clone());
        scored.alerts.push(Alert { first: place, last: place, score, threshold, start, end });
    } else if score >= threshold
        && let Some(alert) = scored.alerts.last_mut()
        && place - alert.last <= EPISODE
    {
        alert.last = place;
        alert.end.clone_from(&point.text);
        alert.score = alert.score.max(score);
    }
}

fn take(detector: &mut Extremes, (place, point): (usize, &Point), scored: &mut Scored) {
    let reading = detector.observe(point.time, point.value);
    scored.scores.push(reading.score);
    if reading.is_alarm {
        let (start, end) = (point.text.clone(), point.text.clone());
        let (score, threshold) = (reading.score, reading.threshold);
        scored.alerts.push(Alert { first: place, last: place, score, threshold, start, end });
    } else if reading.is_in_episode
        && reading.score >= EDGE
        && let Some(alert) = scored.alerts.last_mut()
    {
        alert.last = place;
        alert.end.clone_from(&point.text);
        alert.score = alert.score.max(reading.score);
    }
}

impl Scored {
    /// One score a line.
    pub(crate) fn scores_text(&self) -> String {
        self.scores.iter().fold(String::new(), |mut text, score| {
            let _ = writeln!(text, "{score}");
            text
        })
    }

    /// The alerts as CSV.
    pub(crate) fn alerts_text(&self) -> String {
        let mut text = "start,end,score,threshold\n".to_owned();
        for alert in &self.alerts {
            let Alert { start, end, score, threshold, .. } = alert;
            let _ = writeln!(text, "{start},{end},{score:.3},{threshold:.3}");
        }
        text
    }
}
