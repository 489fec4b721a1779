//! Capture by the kernel: what it costs whom it looks at and whom it does not, how much it moves, how big it is.

mod cost;
mod ring;
mod size;

use std::process::ExitCode;

use crate::measure::{Effort, Row, report};
use crate::nginx::Failure;

/// The figures of one part, and what measures them.
struct Part {
    figures: &'static [&'static str],
    measure: fn(&Effort) -> Result<Vec<Row>, Failure>,
}

const PARTS: [Part; 5] = [
    Part { figures: cost::REQUESTS, measure: cost::requests },
    Part { figures: &[cost::WORK], measure: cost::work },
    Part { figures: &[cost::LATENCY], measure: cost::latency },
    Part { figures: ring::FIGURES, measure: ring::rows },
    Part { figures: size::FIGURES, measure: size::rows },
];

/// Measures the area and prints its rows; what cannot be measured here is told, and why.
#[must_use]
#[expect(clippy::print_stderr, reason = "the report of a program")]
pub fn run(effort: &Effort) -> ExitCode {
    let wanted = |figure: &str| figure.contains(&effort.only);
    let rows =
        PARTS.iter().filter(|part| part.figures.iter().any(|figure| wanted(figure))).flat_map(|part| {
            (part.measure)(effort).unwrap_or_else(|why| {
                part.figures.iter().for_each(|figure| eprintln!("{figure}: skipped: {why}"));
                Vec::new()
            })
        });
    report(rows.filter(|row| wanted(&row.figure)).map(Ok::<_, Failure>))
}

/// What a quarter of the values is below of, and what a quarter is above of.
fn quartiles(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
    (at(values.len() / 4), at(values.len().saturating_sub(1) * 3 / 4))
}

/// A row of ours alone: the lower quartile must not pass `most`; the upper one is told beside it.
fn at_most(figure: &str, (low, high): (f64, f64), most: f64, unit: &str) -> Row {
    Row {
        figure: figure.to_owned(),
        ours: format!("{low:.2} {unit} ({low:.2} to {high:.2})"),
        peer: "-".to_owned(),
        theirs: "-".to_owned(),
        ratio: None,
        bar: format!("abs <={most}"),
        ok: low <= most,
    }
}
