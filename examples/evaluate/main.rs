//! Holds a detector against labelled time series.
//!
//! `cargo run --release --example evaluate -- --input DIR --detector NAME`
//!
//! Every labelled `*.csv` below the input is read as a stream, whose detector has its defaults, knows nothing of
//! other series, and sees points only up to the one that it judges. For each directory and for all there is a row:
//! the score of the Numenta Anomaly Benchmark by its three profiles, with the one threshold that is the best over the
//! row, and with the decision as shipped; the areas under the curves of precision and recall of points, and with
//! buffers around anomalies (VUS-PR), on average over files; events found, the share of alarms that lie within an
//! event, points from its beginning to the first alarm; alarms a week and series; points a second. Nothing is
//! adjusted.
//!
//! Without an input it reads the part of the Numenta Anomaly Benchmark that the repository holds.

#[path = "../score/budget.rs"]
mod budget;
mod choice;
mod flags;
mod input;
#[path = "../score/series.rs"]
mod series;
mod table;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser as _;

use choice::Choice;
use flags::Flags;
use input::Series;
use table::Judged;

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("evaluate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<(), Box<dyn Error>> {
    let all = input::read(&flags.input)?;
    if all.is_empty() {
        return Err(format!("{}: no labelled series below", flags.input.display()).into());
    }
    let judged: Vec<Judged<'_>> = all
        .iter()
        .map(|series| judge(series, flags.detector, flags.alerts_per_week))
        .collect::<Result<_, _>>()?;
    println!("{}", table::HEAD);
    for set in judged.chunk_by(|a, b| a.series.set == b.series.set) {
        let Some(first) = set.first() else { continue };
        let of_set: Vec<&Judged<'_>> = set.iter().collect();
        println!("{}", table::row(&first.series.set, &of_set, flags.buffer)?);
        for file in set.iter().filter(|_| flags.files) {
            println!("{}", table::row(&format!("  {}", file.series.name), &[file], flags.buffer)?);
        }
    }
    println!("{}", table::row("all", &judged.iter().collect::<Vec<_>>(), flags.buffer)?);
    Ok(())
}

/// Lets a detector judge a series, point by point.
fn judge(series: &Series, choice: Choice, alerts_per_week: f64) -> Result<Judged<'_>, otlp_core::Error> {
    let mut detector = choice.build(budget::budget(&series.points, alerts_per_week)?)?;
    let mut judged = Judged {
        series,
        scores: Vec::with_capacity(series.points.len()),
        alarms: Vec::with_capacity(series.points.len()),
        took: std::time::Duration::ZERO,
        weeks: budget::step(&series.points).as_secs_f64() * series.points.len() as f64 / (7.0 * 86_400.0),
    };
    let begin = Instant::now();
    for point in &series.points {
        let judgement = detector.judge_one(point.time, point.value);
        judged.scores.push(judgement.score);
        judged.alarms.push(if judgement.is_alarm { 1.0 } else { 0.0 });
    }
    judged.took = begin.elapsed();
    Ok(judged)
}
