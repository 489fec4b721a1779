//! Draws a flame graph of a pprof file, or a differential one of two, onto standard output.

use std::error::Error;

use otlp_profiles::{FlameGraph, Limits, Profile};

fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<_> = std::env::args_os().skip(1).collect();
    let read = |path| -> Result<Profile, Box<dyn Error>> {
        Ok(Profile::parse_pprof(&std::fs::read(path)?, &Limits::default())?)
    };
    let profiles = files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let picture = match profiles.as_slice() {
        [one] => FlameGraph::new(one).title("CPU").to_svg(),
        [before, after] => FlameGraph::differential(before, after)?.title("CPU, before and after").to_svg(),
        _ => return Err("expected one or two pprof files".into()),
    };
    print!("{}", picture.svg);
    Ok(())
}
