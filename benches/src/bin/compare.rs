//! `compare AREA [--runs N] [--only TEXT]`: our crates beside their peers, one tab-separated line a figure.

use std::process::ExitCode;

use otlp_benches::heap::CountingAllocator;
use otlp_benches::measure::Effort;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const USAGE: &str = "usage: compare AREA [--runs N] [--only TEXT]\nareas: core, transport, all";

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Some((area, effort)) => run(&area, &effort),
        None => usage(),
    }
}

fn run(area: &str, effort: &Effort) -> ExitCode {
    let areas: [(&str, fn(&Effort) -> ExitCode); 2] =
        [("core", otlp_benches::core::run), ("transport", otlp_benches::transport::run)];
    let wanted = areas.iter().filter(|(name, _)| area == *name || area == "all");
    let codes: Vec<ExitCode> = wanted.map(|(_, run)| run(effort)).collect();
    let failed = codes.iter().find(|code| **code != ExitCode::SUCCESS);
    match failed.or(codes.first()) {
        Some(code) => *code,
        None => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(64)
}

fn parse(mut args: impl Iterator<Item = String>) -> Option<(String, Effort)> {
    let (mut area, mut effort) = (None, Effort::default());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--runs" => effort.runs = args.next()?.parse().ok().filter(|runs| *runs > 0)?,
            "--only" => effort.only = args.next()?,
            _ if area.is_none() => area = Some(arg),
            _ => return None,
        }
    }
    Some((area?, effort))
}
