//! How good scores and alarms are, held against labels: the score of the Numenta Anomaly Benchmark, areas under
//! curves of precision and recall, and events found.
//!
//! Nothing here adjusts points: an alarm counts where it is, and a window of which one point was found is not taken
//! to be found at all of its points, which would let chance score well (Kim et al., "Towards a rigorous evaluation of
//! time-series anomaly detection", AAAI 2022).
//!
//! ```
//! use otlp_anomaly::evaluate::{Labelled, Profile, average_precision, nab};
//! let mut scores = vec![0.0; 400];
//! (scores[310], scores[120]) = (9.0, 2.0);
//! let series = [Labelled::new(&scores, &[300..340])?];
//! // Found in the first third of its window, and no false alarm above it.
//! let benchmark = nab(&series, Profile::STANDARD);
//! assert!(benchmark.score > 95.0 && benchmark.threshold > 2.0);
//! assert!(average_precision(&series[0]) > 1.0 / 40.0);
//! # Ok::<(), otlp_anomaly::Error>(())
//! ```

mod curve;
mod event;
mod nab;

use std::ops::Range;

use otlp_core::{Error, ErrorKind, Result};

pub use curve::{average_precision, volume_under_surface};
pub use event::Events;
pub use nab::{Nab, Profile, nab, nab_at};

/// The scores of a series, and where its anomalies are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Labelled<'a> {
    scores: &'a [f64],
    anomalies: &'a [Range<usize>],
}

impl<'a> Labelled<'a> {
    /// Scores, one a point, and the places of the points of each anomaly, in their order.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] where a score is not a number, or an anomaly is empty, reaches beyond the scores or
    /// begins before the one before it ends.
    pub fn new(scores: &'a [f64], anomalies: &'a [Range<usize>]) -> Result<Self> {
        let refuse = |message: String| Err(Error::new(ErrorKind::Malformed, message));
        if let Some(place) = scores.iter().position(|score| score.is_nan()) {
            return refuse(format!("evaluate: score {place} is not a number"));
        }
        let mut end = 0;
        for anomaly in anomalies {
            if anomaly.start < end || anomaly.is_empty() || anomaly.end > scores.len() {
                return refuse(format!(
                    "evaluate: anomaly {anomaly:?} of {} points after {end}",
                    scores.len()
                ));
            }
            end = anomaly.end;
        }
        Ok(Self { scores, anomalies })
    }

    /// Its scores.
    #[must_use]
    pub const fn scores(&self) -> &'a [f64] {
        self.scores
    }

    /// Its anomalies.
    #[must_use]
    pub const fn anomalies(&self) -> &'a [Range<usize>] {
        self.anomalies
    }

    /// The places of the points, the highest score first.
    fn ranked(&self) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.scores.len()).collect();
        let score = |place: usize| self.scores.get(place).copied().unwrap_or_default();
        places.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
        places
    }
}

#[cfg(test)]
mod tests;
