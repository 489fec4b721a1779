//! Scores time series and tells alerts within a budget: `cargo run --release --example score -- --input DIR --output DIR`.
//!
//! Every `*.csv` below the input with the header `timestamp,value` is read as a stream (timestamps in ISO 8601 or Unix
//! seconds). For each there will be, at the same place below the output, a file with one score a line (larger is more
//! unusual; 3 is the edge of everything met before), and `NAME.alerts.csv` with `start,end,score,threshold`. A score
//! rests on nothing that comes after its point. With `--plot` there is a picture beside them. `--detector` takes another
//! detector, whose scores are in its own unit; with `auto` that is thresholds, and a line a file says which one was chosen
//! and why.
//!
//! Files with another header are told and left out; one that cannot be read makes the exit status non-zero.

mod budget;
#[path = "../evaluate/choice.rs"]
mod choice;
mod flags;
mod plot;
mod series;
mod stream;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser as _;

use flags::Flags;
use series::Unreadable;

/// What was done, over all files.
#[derive(Debug, Default)]
struct Total {
    files: usize,
    points: usize,
    alerts: usize,
    scoring: Duration,
    left_out: usize,
    failed: usize,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let mut files = Vec::new();
    if let Err(error) = find(&flags.input, &mut files) {
        eprintln!("score: {}: {error}", flags.input.display());
        return ExitCode::FAILURE;
    }
    files.sort();
    let mut total = Total::default();
    for file in &files {
        if let Err(error) = one(&flags, file, &mut total) {
            eprintln!("score: {}: {error}", file.display());
            total.failed += 1;
        }
    }
    println!(
        "{} files, {} points, {:.0} points/s, {} alerts, {} files left out, {} not readable",
        total.files,
        total.points,
        total.points as f64 / total.scoring.as_secs_f64().max(1e-9),
        total.alerts,
        total.left_out,
        total.failed
    );
    if total.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Every `*.csv` below a directory.
fn find(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "csv") {
            files.push(path);
        }
    }
    Ok(())
}

fn one(flags: &Flags, file: &Path, total: &mut Total) -> Result<(), Box<dyn std::error::Error>> {
    let points = match series::read(&fs::read_to_string(file)?) {
        Ok(points) => points,
        Err(Unreadable::Header) => {
            eprintln!("score: {}: header is not timestamp,value; left out", file.display());
            total.left_out += 1;
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let begin = Instant::now();
    let scored = stream::score(&points, flags.alerts_per_week, flags.detector)?;
    total.scoring += begin.elapsed();
    if let Some(why) = &scored.why {
        println!("{}: {why}", file.display());
    }
    let target = flags.output.join(file.strip_prefix(&flags.input)?);
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(&target, scored.scores_text())?;
    fs::write(target.with_extension("alerts.csv"), scored.alerts_text())?;
    if flags.plot {
        let name = file.strip_prefix(&flags.input)?.display().to_string();
        fs::write(target.with_extension("svg"), plot::svg(&name, &points, &scored))?;
    }
    total.files += 1;
    total.points += points.len();
    total.alerts += scored.alerts.len();
    Ok(())
}
