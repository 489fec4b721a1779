//! Samples the stacks of processes and prints them folded, as flame graphs read them: a line each of the functions from
//! the root on, and the milliseconds spent there.
//!
//! `sudo cargo run -p otlp-ebpf --features capture --example sample_stacks -- 10 --process nginx --off-cpu 1`
//!
//! The first word is for how many seconds; then `--process NAME`, `--pid N`, `--port N`, or all processes;
//! `--hz N` (99), and `--off-cpu N` for waits of at least so many milliseconds too, which end in `[waits]`.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use otlp_ebpf::capture::{Sample, Sampler, ThreadState};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let seconds: u64 = words.next().unwrap_or_else(|| "5".to_owned()).parse()?;
    let mut builder = Sampler::builder();
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word}: expected a value"))?;
        builder = match word.as_str() {
            "--process" => builder.process(&value),
            "--pid" => builder.pid(value.parse()?),
            "--port" => builder.port(value.parse()?),
            "--hz" => builder.on_cpu(value.parse()?),
            "--off-cpu" => builder.off_cpu(Duration::from_millis(value.parse()?)),
            _ => return Err(format!("{word}: expected --process, --pid, --port, --hz or --off-cpu").into()),
        };
    }
    let mut sampler = builder.build()?;
    let mut folded = BTreeMap::new();
    let mut add = |sample: Sample| {
        let waits = if sample.state == ThreadState::Ran { "" } else { ";[waits]" };
        *folded.entry(format!("{}{waits}", sample.stack.frames.join(";"))).or_insert(0) +=
            sample.stack.weight;
    };
    let until = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < until {
        sampler.poll(&mut add);
        std::thread::sleep(Duration::from_millis(50));
    }
    let stats = sampler.finish(&mut add);
    for (stack, nanos) in &folded {
        println!("{stack} {}", nanos / 1_000_000);
    }
    eprintln!("{} samples, {} dropped, {} stacks", stats.delivered, stats.dropped, folded.len());
    Ok(())
}
