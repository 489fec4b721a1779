//! What is printed.

use std::fmt::Write as _;
use std::time::Duration;

use otlp_anomaly::evaluate::{
    Events, Labelled, Profile, average_precision, nab, nab_at, volume_under_surface,
};
use otlp_core::Error;

use crate::labelled::Series;

/// A series with what a detector said to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Judged<'a> {
    pub(crate) series: &'a Series,
    pub(crate) scores: Vec<f64>,
    /// 1 where an alarm begins, 0 elsewhere.
    pub(crate) alarms: Vec<f64>,
    pub(crate) took: Duration,
    pub(crate) weeks: f64,
}

/// The head of the table.
pub(crate) const HEAD: &str = "set                                       files  points events |    NAB  lowFP  lowFN  as decided | \
                               AUC-PR VUS-PR | recall precision  delay | alarms a week |  points/s";

/// One row: of a set, of all, or of a file.
///
/// # Errors
/// Where labels and scores do not fit together.
pub(crate) fn row(name: &str, judged: &[&Judged<'_>], buffer: usize) -> Result<String, Error> {
    let scores = labelled(judged, |judged| &judged.scores)?;
    let alarms = labelled(judged, |judged| &judged.alarms)?;
    let profiles = [Profile::STANDARD, Profile::LOW_FALSE_POSITIVES, Profile::LOW_FALSE_NEGATIVES];
    let with_anomalies: Vec<&Labelled<'_>> =
        scores.iter().filter(|series| !series.anomalies().is_empty()).collect();
    let mean = |of: &dyn Fn(&Labelled<'_>) -> f64| {
        with_anomalies.iter().map(|series| of(series)).sum::<f64>() / with_anomalies.len().max(1) as f64
    };
    let mut events = Events::default();
    for series in &alarms {
        let places: Vec<usize> =
            (0..).zip(series.scores()).filter(|(_, alarm)| **alarm > 0.5).map(|(at, _)| at).collect();
        events.add(Events::of(&places, series.anomalies()));
    }
    let points: usize = judged.iter().map(|judged| judged.scores.len()).sum();
    let weeks: f64 = judged.iter().map(|judged| judged.weeks).sum();
    let took: Duration = judged.iter().map(|judged| judged.took).sum();
    let mut row = format!("{name:40} {:6} {points:7} {:6} |", judged.len(), events.found + events.missed);
    for profile in profiles {
        let _ = write!(row, " {:6.2}", nab(&scores, profile).score);
    }
    let _ = write!(
        row,
        " {:11.2} | {:6.3} {:6.3} | {:6.3} {:9.3} {:>6} | {:13.2} | {:9.0}",
        nab_at(&alarms, Profile::STANDARD, 0.5),
        mean(&average_precision),
        mean(&|series| volume_under_surface(series, buffer)),
        events.recall(),
        events.precision(),
        events.mean_delay().map_or_else(|| "-".to_owned(), |delay| format!("{delay:.1}")),
        (events.right + events.wrong) as f64 / weeks.max(1e-9),
        points as f64 / took.as_secs_f64().max(1e-9),
    );
    Ok(row)
}

/// The scores or the alarms of series with their labels.
///
/// # Errors
/// Where labels and scores do not fit together.
pub(crate) fn labelled<'judged>(
    judged: &[&'judged Judged<'_>],
    of: for<'any> fn(&'any Judged<'_>) -> &'any [f64],
) -> Result<Vec<Labelled<'judged>>, Error> {
    judged.iter().map(|judged| Labelled::new(of(judged), &judged.series.anomalies)).collect()
}
