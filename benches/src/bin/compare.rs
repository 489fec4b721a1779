//! `compare AREA [--runs N] [--only TEXT]`: our crates beside their peers, one tab-separated line a figure.

use std::process::ExitCode;

use otlp_benches::heap::CountingAllocator;
use otlp_benches::measure::Effort;
use otlp_benches::parse::memory;
use otlp_benches::transport::worker;
use otlp_benches::{anomaly, cause, core, ebpf, parse as protocols, transport};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const USAGE: &str =
    "usage: compare AREA [--runs N] [--only TEXT]\nareas: anomaly, cause, core, ebpf, parse, transport, all";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some((area, work)) = args.split_first()
        && area == worker::AREA
    {
        return worker::run(work);
    }
    if let Some((area, held)) = args.split_first()
        && area == memory::AREA
    {
        return memory::run(held);
    }
    match parse(args.into_iter()) {
        Some((area, effort)) => run(&area, &effort),
        None => usage(),
    }
}

fn run(area: &str, effort: &Effort) -> ExitCode {
    match area {
        "anomaly" => anomaly::run(effort),
        "cause" => cause::run(effort),
        "core" => core::run(effort),
        "ebpf" => ebpf::run(effort),
        "parse" => protocols::run(effort),
        "transport" => transport::run(effort),
        "all" => {
            let codes = [
                anomaly::run(effort),
                cause::run(effort),
                core::run(effort),
                ebpf::run(effort),
                protocols::run(effort),
                transport::run(effort),
            ];
            codes.into_iter().find(|code| *code != ExitCode::SUCCESS).unwrap_or(ExitCode::SUCCESS)
        }
        _ => usage(),
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
