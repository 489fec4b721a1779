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
//! adjusted. Below each row is what chance and what the median and its deviations (`robust-z`) come to on the same
//! series.
//!
//! With `--budgets` it holds the alarms on seeded series without faults against three budgets instead, and with
//! `--fault-free DIR` those on recorded ones too.
//!
//! With `--calibrate CASES` it fits the confidence of root causes to seeded systems.
//!
//! With `--causes` it holds the ranking of root causes against labelled cases instead (see [`cause`]).
//!
//! Without an input it reads the part of the Numenta Anomaly Benchmark that the repository holds.

#[path = "../rank_causes/answer.rs"]
mod answer;
#[path = "../score/budget.rs"]
mod budget;
mod cause;
mod chance;
mod choice;
mod flags;
#[path = "../rank_causes/input.rs"]
mod input;
mod kept;
mod labelled;
#[path = "../score/series.rs"]
mod series;
mod table;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser as _;

use chance::Chance;
use choice::Choice;
use flags::Flags;
use labelled::Series;
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
    if flags.budgets {
        print!("{}", kept::table(flags.detector, flags.fault_free.as_deref())?);
        return Ok(());
    }
    if let Some(cases) = flags.calibrate {
        print!("{}", cause::calibrate(cases)?);
        return Ok(());
    }
    if let Some(data) = &flags.causes {
        return cause::run(data, &flags.cases, flags.files);
    }
    let all = labelled::read(&flags.input)?;
    if all.is_empty() {
        return Err(format!("{}: no labelled series below", flags.input.display()).into());
    }
    let by = |choice: Choice| -> Result<Vec<Judged<'_>>, otlp_core::Error> {
        all.iter().map(|series| judge(series, choice, flags.alerts_per_week)).collect()
    };
    let judged = by(flags.detector)?;
    let mut beside =
        vec![("random".to_owned(), all.iter().map(chance(flags)).collect::<Result<Vec<_>, _>>()?)];
    if flags.detector != Choice::RobustZ {
        beside.push(("robust-z".to_owned(), by(Choice::RobustZ)?));
    }
    println!("{}", table::HEAD);
    let mut from = 0;
    for set in judged.chunk_by(|a, b| a.series.set == b.series.set) {
        let Some(first) = set.first() else { continue };
        let places = from..from + set.len();
        from = places.end;
        print_rows(&first.series.set, (&judged, &beside), places, flags)?;
        for file in set.iter().filter(|_| flags.files) {
            println!("{}", table::row(&format!("  {}", file.series.name), &[file], flags.buffer)?);
        }
    }
    print_rows("all", (&judged, &beside), 0..judged.len(), flags)?;
    Ok(())
}

/// What others come to on the same series.
type Beside<'a> = [(String, Vec<Judged<'a>>)];

/// The row of some of the series, and those beside it.
fn print_rows(
    name: &str,
    (judged, beside): (&[Judged<'_>], &Beside<'_>),
    places: Range<usize>,
    flags: &Flags,
) -> Result<(), Box<dyn Error>> {
    let row = |name: &str, judged: &[Judged<'_>]| {
        let some: Vec<&Judged<'_>> = judged.get(places.clone()).unwrap_or_default().iter().collect();
        table::row(name, &some, flags.buffer)
    };
    println!("{}", row(name, judged)?);
    for (other, judged) in beside {
        println!("{}", row(&format!("  beside it: {other}"), judged)?);
    }
    Ok(())
}

/// Lets chance judge a series.
fn chance<'a>(flags: &Flags) -> impl FnMut(&'a Series) -> Result<Judged<'a>, otlp_core::Error> {
    let alerts_per_week = flags.alerts_per_week;
    let mut chance = Chance::new(1);
    move |series| {
        let budget = budget::budget(&series.points, alerts_per_week)?.per_window();
        let scores: Vec<f64> = series.points.iter().map(|_| chance.uniform()).collect();
        let alarms = scores.iter().map(|score| f64::from(u8::from(*score > 1.0 - budget))).collect();
        let weeks = weeks(series);
        Ok(Judged { series, scores, alarms, took: std::time::Duration::ZERO, weeks })
    }
}

fn weeks(series: &Series) -> f64 {
    budget::step(&series.points).as_secs_f64() * series.points.len() as f64 / (7.0 * 86_400.0)
}

/// Lets a detector judge a series, point by point.
fn judge(series: &Series, choice: Choice, alerts_per_week: f64) -> Result<Judged<'_>, otlp_core::Error> {
    let mut detector = choice.build(budget::budget(&series.points, alerts_per_week)?)?;
    let mut judged = Judged {
        series,
        scores: Vec::with_capacity(series.points.len()),
        alarms: Vec::with_capacity(series.points.len()),
        took: std::time::Duration::ZERO,
        weeks: weeks(series),
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
