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
            // On a thread of its own, which may bind itself to a processor.
            let measured = std::thread::scope(|scope| {
                let measuring = scope.spawn(|| (part.measure)(effort).map_err(|why| why.to_string()));
                measuring.join().unwrap_or_else(|_| Err("it panicked".to_owned()))
            });
            measured.unwrap_or_else(|why| {
                part.figures.iter().for_each(|figure| eprintln!("{figure}: skipped: {why}"));
                Vec::new()
            })
        });
    report(rows.filter(|row| wanted(&row.figure)).map(Ok::<_, Failure>))
}

/// What a quarter of the values is below of, a half, and three quarters.
fn quartiles(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |quarter: usize| {
        values.get(values.len().saturating_sub(1) * quarter / 4).copied().unwrap_or(f64::NAN)
    };
    (at(1), at(2), at(3))
}

/// A row of ours alone, which must not pass `most`.
fn at_most(figure: &str, value: f64, most: f64, told: &str) -> Row {
    Row {
        figure: figure.to_owned(),
        ours: told.to_owned(),
        peer: "-".to_owned(),
        theirs: "-".to_owned(),
        ratio: None,
        bar: format!("abs <={most}"),
        ok: value <= most,
    }
}
