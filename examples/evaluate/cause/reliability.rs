//! Whether what is said with so much confidence is right so often; and the fit that makes it so.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;

use otlp_anomaly::cause::{Calibration, Ranking};

use super::{Given, seeded};
use crate::answer::rank;
use crate::input::Input;

/// What was said of the first cause of cases in which one was named, and whether it was right.
#[derive(Debug, Default)]
pub(super) struct Reliability(Vec<(f64, bool)>);

const BINS: u32 = 5;

impl Reliability {
    pub(super) fn add(&mut self, ranking: &Ranking, truth: Option<&str>) {
        if let Some(top) = ranking.top() {
            self.0.push((top.confidence, truth.is_some() && top.subject.service() == truth));
        }
    }

    /// A line for each range of confidence, and the Brier score (G. W. Brier, "Verification of forecasts expressed in terms of
    /// probability", 1950: the mean square of what was said less what was, beside that of always saying the mean).
    pub(super) fn rows(&self) -> String {
        let (mut text, all) = (String::new(), self.0.len().max(1) as f64);
        let is_right = |right: bool| f64::from(u8::from(right));
        for bin in 0..BINS {
            let [low, high] = [bin, bin + 1].map(|edge| f64::from(edge) / f64::from(BINS));
            let within = |said: f64| said >= low && (said < high || bin + 1 == BINS);
            let cases: Vec<&(f64, bool)> = self.0.iter().filter(|(said, _)| within(*said)).collect();
            if cases.is_empty() {
                continue;
            }
            let count = cases.len() as f64;
            let said = cases.iter().map(|case| case.0).sum::<f64>() / count;
            let right = cases.iter().map(|case| is_right(case.1)).sum::<f64>() / count;
            let _ = writeln!(
                text,
                "  confidence {low:.1} to {high:.1}: {:4} named | said {said:.2}, right {right:.2}",
                cases.len()
            );
        }
        let brier = self.0.iter().map(|(said, right)| (said - is_right(*right)).powi(2)).sum::<f64>() / all;
        let rate = self.0.iter().map(|(_, right)| is_right(*right)).sum::<f64>() / all;
        let _ =
            writeln!(text, "  Brier score {brier:.3}, {:.3} by always saying {rate:.2}", rate * (1.0 - rate));
        text
    }
}

/// Fits the constants on seeded cases of even number, and gives them with what they come to on those of odd number.
///
/// # Errors
/// Where a case cannot be written or read.
pub(crate) fn calibrate(cases: u32) -> Result<String, Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("otlp-calibrate-{}", std::process::id()));
    let mut rankings = Vec::new();
    for seed in 1..=u64::from(cases) {
        rankings.push(ranked(&folder, &seeded::case(seed))?);
    }
    fs::remove_dir_all(&folder)?;
    let labelled = |is_held_out: bool| -> Vec<_> {
        let some = rankings.iter().enumerate().filter(|(place, _)| (place % 2 == 1) == is_held_out);
        some.map(|(_, (ranking, truth))| {
            let scores = ranking.causes.iter().map(|cause| cause.score).collect();
            (scores, truth.as_deref().and_then(|truth| ranking.place(truth)).map(|place| place - 1))
        })
        .collect()
    };
    let fitted = Calibration::fit(&labelled(false))?;
    let Calibration { sharpness, none, slope, odds } = fitted;
    let mut text = format!(
        "fitted on {} seeded cases: sharpness {sharpness:.3}, none {none:.4}, slope {slope:.3}, odds {odds:.3}\n",
        cases / 2
    );
    for (name, calibration) in [("as fitted", fitted), ("as shipped", Calibration::DEFAULT)] {
        let mut reliability = Reliability::default();
        for (mut ranking, truth) in rankings.iter().skip(1).step_by(2).cloned() {
            let scores: Vec<f64> = ranking.causes.iter().map(|cause| cause.score).collect();
            let chances = calibration.confidences(&scores);
            ranking.causes.iter_mut().zip(chances).for_each(|(cause, chance)| cause.confidence = chance);
            reliability.add(&ranking, truth.as_deref());
        }
        let loss = calibration.loss(&labelled(true));
        let _ = write!(text, "held out, {name} (loss {loss:.3}):\n{}", reliability.rows());
    }
    Ok(text)
}

fn ranked(folder: &std::path::Path, case: &Given) -> Result<(Ranking, Option<String>), Box<dyn Error>> {
    let _ = fs::remove_dir_all(folder);
    super::write(folder, case)?;
    let input = Input::read(&folder.join(&case.name)).map_err(|error| format!("{}: {error}", case.name))?;
    Ok((rank(&input, &[]).0, case.truth.clone()))
}
