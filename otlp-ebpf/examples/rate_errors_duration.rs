//! Rate, errors and durations of the services of this machine, counted in the kernel: a table, every second anew.
//!
//! `cargo run -p otlp-ebpf --features capture --example rate_errors_duration` sees all HTTP/1 servers, and needs root (or
//! `CAP_BPF` and `CAP_NET_ADMIN`). What is named behind `--` is seen alone: ports (`8080`), processes (`nginx`). It ends
//! with its input; with `--once` it prints one table when its input has ended, and nothing before.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use otlp_ebpf::capture::{Aggregation, Capture, Measured, quantile_of};

fn main() -> Result<(), Box<dyn Error>> {
    let mut builder = Capture::builder();
    let mut is_once = false;
    for argument in std::env::args().skip(1) {
        builder = match argument.parse::<u16>() {
            _ if argument == "--once" => {
                is_once = true;
                builder
            }
            Ok(port) => builder.port(port),
            Err(_) => builder.process(&argument),
        };
    }
    let mut counted = builder.aggregate()?;
    eprintln!("counting");
    let (over, is_over) = channel();
    thread::spawn(move || {
        // Ctrl-D, or the end of a pipe.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = over.send(());
    });
    let begun = Instant::now();
    if is_once {
        let _ = is_over.recv();
        return print(&mut counted, &BTreeMap::new(), begun.elapsed()).map(drop);
    }
    let mut before = BTreeMap::new();
    let mut last = begun;
    while is_over.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
        // Home, and nothing below.
        print!("\x1b[H\x1b[J");
        before = print(&mut counted, &before, last.elapsed())?;
        last = Instant::now();
    }
    Ok(())
}

/// Requests by port, and those that failed.
type Counts = BTreeMap<u16, (u64, u64)>;

/// Prints a line for each port: what came since the last time, and how long it took since the beginning.
fn print(counted: &mut Aggregation, before: &Counts, since: Duration) -> Result<Counts, Box<dyn Error>> {
    let mut ports = BTreeMap::<u16, Vec<Measured>>::new();
    for series in counted.read()? {
        ports.entry(series.port).or_default().push(series);
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, " port  requests/s  errors/s     p50     p90     p99  all requests by answer")?;
    let mut counts = Counts::new();
    for (port, series) in ports {
        let requests: u64 = series.iter().map(|series| series.requests).sum();
        let errors = series.iter().filter(|series| series.is_error()).map(|series| series.requests).sum();
        let (old, old_errors) = before.get(&port).copied().unwrap_or_default();
        let a_second = |count: u64| count as f64 / since.as_secs_f64().max(1e-3);
        let (rate, failures) = (a_second(requests - old), a_second(errors - old_errors));
        write!(out, "{port:5}  {rate:10.1}  {failures:8.1}")?;
        for quantile in [0.5, 0.9, 0.99] {
            let took = quantile_of(&series, quantile).unwrap_or_default();
            write!(out, " {:>7}", short(took))?;
        }
        let answers = series.iter().map(|series| format!("{} {}", series.answered.name(), series.requests));
        writeln!(out, "  {}", answers.collect::<Vec<_>>().join(", "))?;
        counts.insert(port, (requests, errors));
    }
    out.flush()?;
    Ok(counts)
}

/// `930us`, `12.5ms`, `2.1s`.
fn short(took: Duration) -> String {
    let micros = took.as_secs_f64() * 1e6;
    match micros {
        ..1000.0 => format!("{micros:.0}us"),
        ..1e6 => format!("{:.1}ms", micros / 1e3),
        _ => format!("{:.1}s", micros / 1e6),
    }
}
