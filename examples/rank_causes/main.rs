//! Ranks the root causes of cases: `cargo run --release --example rank_causes -- --cases DIR --output FILE.json`.
//!
//! A case is a folder; every file in it but the first pair is optional, as is that pair where there are spans:
//!
//! - `normal.csv`, `anomalous.csv`: `time` and one column `<service>:<metric>` each, at equal steps, empty where a
//!   value is missing;
//! - `calls.csv`: `caller,callee`;
//! - `spans_normal.csv`, `spans.csv`: `trace_id,span_id,parent_id,service,operation,start_unix_nanos,end_unix_nanos,status`;
//! - `logs_normal.csv`, `logs.csv`: `time,service,message`;
//! - `changes.csv`: `time,service` and, where known, `kind` (`deploy`, `configuration`, `scale`), `description`, `version`,
//!   `id`: what was rolled out lately;
//! - `symptom.json`: `service` and `metric` of what was noticed;
//! - `catalogue.csv` (`service` and, where known, `team`, `criticality`, `slo_availability`, `slo_latency_ms`) or
//!   `catalogue.json` (a map of services), here or beside the folders: shown with the causes.
//!
//! Spans and logs may be packed with gzip (`.csv.gz`). The answer is `{case: {"services": [...], "metrics": [...],
//! "none": bool, "confidence": x}}`, likeliest first; where `none` is true nothing explains the case, and what follows
//! is merely the least unlikely. The milliseconds of thinking a case took, reading left out, are printed.
//!
//! `--explain CASE` writes a page about one case.

mod answer;
mod flags;
mod input;
mod page;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;

use answer::Answer;
use flags::Flags;
use input::Input;

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("rank_causes: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Answers all cases; gives how many could not be read.
fn run(flags: &Flags) -> Result<usize, Box<dyn Error>> {
    if let Some(case) = &flags.explain {
        let input = Input::read(&flags.cases.join(case)).map_err(|error| format!("{case}: {error}"))?;
        let (ranking, _) = answer::rank(&input, &[]);
        if let Some(parent) = flags.report.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&flags.report, page::page(&input, &ranking))?;
        println!("{}", flags.report.display());
        return Ok(0);
    }
    let mut folders: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(&flags.cases).map_err(|error| format!("{}: {error}", flags.cases.display()))? {
        folders.push(entry?.path());
    }
    folders.retain(|path| path.is_dir());
    folders.sort();
    let (mut answers, mut failed, mut spent) = (BTreeMap::new(), 0, 0.0);
    for folder in &folders {
        match Input::read(folder) {
            Ok(input) => {
                let (ranking, took) = answer::rank(&input, &[]);
                spent += took.as_secs_f64() * 1e3;
                let answer = Answer::of(&ranking);
                let owner = ranking.top().and_then(|top| input.catalogue.entry(top.subject.service()?));
                let owner = owner.map(|entry| format!("  [{entry}]")).unwrap_or_default();
                println!("{:40} {:8.2} ms  {answer}{owner}", input.name, took.as_secs_f64() * 1e3);
                answers.insert(input.name, answer);
            }
            Err(error) => {
                eprintln!("rank_causes: {}: {error}", folder.display());
                failed += 1;
            }
        }
    }
    let each = spent / answers.len().max(1) as f64;
    println!("{} cases, {each:.2} ms a case, {failed} not readable", answers.len());
    if let Some(output) = &flags.output {
        fs::write(output, serde_json::to_string_pretty(&answers)? + "\n")?;
    }
    Ok(failed)
}
