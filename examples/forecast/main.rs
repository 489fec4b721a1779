//! Foresees time series with intervals: `cargo run --release --example forecast -- --input FILE.json --output FILE.json`.
//!
//! The input is one object with a member for each series, `{"name": {"y": [1, 2, ..], "h": 48, "m": 24}}`: values at even times,
//! oldest first (`null` where one is missing), how many are to be foreseen, and after how many the series repeats (0, 1 or left
//! out: to be found). The output has the forecasts under `f` and the edges of the intervals that should hold 80 and 95 % of what
//! comes under `lo80`, `hi80`, `lo95` and `hi95`, each `{"name": [..]}`, and under `seconds` the CPU time of the forecasts alone.
//!
//! A series that cannot be foreseen is told, left out, and makes the exit status non-zero.

mod flags;
mod series;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::fs;
use std::process::ExitCode;

use clap::Parser as _;

use flags::Flags;
use series::Forecasts;

fn main() -> ExitCode {
    let flags = Flags::parse();
    match run(&flags) {
        Ok(forecasts) => {
            for (name, error) in &forecasts.failed {
                eprintln!("forecast: {name}: {error}");
            }
            let (done, failed) = (forecasts.f.len(), forecasts.failed.len());
            println!("{done} series in {:.3} s of CPU time, {failed} not foreseen", forecasts.seconds);
            if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(error) => {
            eprintln!("forecast: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<Forecasts, Box<dyn Error>> {
    let text =
        fs::read_to_string(&flags.input).map_err(|error| format!("{}: {error}", flags.input.display()))?;
    let all = series::read(&text).map_err(|error| format!("{}: {error}", flags.input.display()))?;
    let forecasts = Forecasts::of(&all);
    fs::write(&flags.output, serde_json::to_string(&forecasts)?)
        .map_err(|error| format!("{}: {error}", flags.output.display()))?;
    Ok(forecasts)
}
