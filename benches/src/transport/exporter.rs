//! Our exporter for the SDK beside `opentelemetry-otlp`: CPU time and memory of the process that exports.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::worker;
use crate::measure::{Effort, Row};

type Failure = Box<dyn Error>;

const PEER: &str = "opentelemetry-otlp";
/// What is asked of each, and the least ratio. The peer's level of gzip is 6 and cannot be set.
const COMPRESSIONS: [(&str, f64); 3] =
    [("none", 3.0), ("gzip of level 6", 1.5), ("gzip, 5 beside 6 by default", 1.5)];
/// Spans of a batch.
const SPANS: u64 = 512;
/// Batches of a side in a round.
const BATCHES: u64 = 20;
const RATE: u32 = 100_000;
const SECONDS: u32 = 30;
/// Between two looks at a process's memory.
const WATCH: Duration = Duration::from_millis(2);

/// The rows of the exporters.
pub(super) fn rows(effort: &Effort) -> Vec<Result<Row, Failure>> {
    let cpu = ["http", "grpc"].into_iter().flat_map(|protocol| COMPRESSIONS.map(|of| (protocol, of)));
    let cpu = cpu.map(|(protocol, (compression, bar))| {
        let name = format!(
            "export SpanData over {}, {compression}: CPU of the client's process a span",
            title(protocol)
        );
        name.contains(&effort.only).then(|| cpu_row(&name, protocol, compression, bar, effort))
    });
    let memory = ["http", "grpc"].into_iter().flat_map(|protocol| {
        let over = title(protocol);
        let name = format!(
            "export SpanData over {over}: memory at {RATE} spans/s for {SECONDS} s above the input's"
        );
        if !name.contains(&effort.only) {
            return Vec::new();
        }
        match memory_rows(&name, protocol) {
            Ok(rows) => rows.map(Ok).into(),
            Err(failure) => vec![Err(failure)],
        }
    });
    cpu.flatten().chain(memory).collect()
}

/// The programs that export, which cargo did not build along with this one.
fn build_senders() -> Result<(), Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let args = ["build", "--quiet", "--release", "--package", "otlp-benches", "--bins"];
    let status = Command::new(cargo).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).status()?;
    if status.success() { Ok(()) } else { Err("the programs that export cannot be built".into()) }
}

fn title(protocol: &str) -> &'static str {
    if protocol == "grpc" { "gRPC" } else { "HTTP" }
}

/// Both exporters in turn, each in a process of its own, to one receiver in a third.
fn cpu_row(name: &str, protocol: &str, compression: &str, bar: f64, effort: &Effort) -> Result<Row, Failure> {
    build_senders()?;
    let (mut receiver, root) = receiver()?;
    let start = |side| Worker::sender(side, protocol, compression, &root);
    let mut sides = [start("send_ours")?, start("send_theirs")?];
    for side in &mut sides {
        side.expect("ready")?;
    }
    let mut rounds = Vec::new();
    // The first round opens connections and grows what is kept.
    for round in 0..=effort.runs {
        let mut times = [0.0; 2];
        let mut seen = Vec::new();
        for turn in 0..2 {
            let side = (round + turn) % 2;
            let (Some(worker), Some(time)) = (sides.get_mut(side), times.get_mut(side)) else { continue };
            *time = worker.ask(&format!("run {BATCHES}"))?.parse::<f64>()?;
            seen.push(receiver.ask("count")?);
        }
        let spans = format!("{} ", BATCHES * SPANS);
        if seen.windows(2).any(|pair| pair.first() != pair.get(1))
            || !seen.iter().all(|seen| seen.starts_with(&spans))
        {
            return Err(format!("{name}: the receiver saw {seen:?}").into());
        }
        if round > 0 {
            rounds.push(times);
        }
    }
    let [first, middle, last] = quartiles(rounds.iter().map(|[ours, theirs]| theirs / ours).collect());
    let nanos = |side: usize| {
        let times = rounds.iter().filter_map(|times| times.get(side)).copied().collect();
        format!("{:.1} ns", quartiles(times)[1] / (BATCHES * SPANS) as f64)
    };
    Ok(Row {
        figure: format!("{name} (quartiles of the ratio {first:.2} and {last:.2})"),
        ours: nanos(0),
        peer: PEER.to_owned(),
        theirs: nanos(1),
        ratio: Some(middle),
        bar: format!(">={bar}"),
        ok: middle >= bar,
    })
}

/// Each exporter with the same input at the same rate, and a process that makes the input and drops it.
fn memory_rows(name: &str, protocol: &str) -> Result<[Row; 2], Failure> {
    build_senders()?;
    let paced = |side| paced(side, protocol);
    let (idle, ours, theirs) = (paced("send_nobody")?, paced("send_ours")?, paced("send_theirs")?);
    let row = |what: &str, of: fn(&Paced) -> f64| {
        let above = |side: &Paced| (of(side) - of(&idle)).max(1.0);
        let ratio = above(&theirs) / above(&ours);
        Row {
            figure: format!("{name}: {what} (reached {:.0} and {:.0})", ours.rate, theirs.rate),
            ours: format!("{:.0} KiB", above(&ours)),
            peer: PEER.to_owned(),
            theirs: format!("{:.0} KiB", above(&theirs)),
            ratio: Some(ratio),
            bar: ">=2".to_owned(),
            ok: ratio >= 2.0,
        }
    };
    Ok([
        row("anonymous", |side| side.anonymous),
        row("all, the program's own pages included", |side| side.resident),
    ])
}

/// How a process did at the rate: spans a second, and the most memory it had at a time, in KiB.
struct Paced {
    rate: f64,
    anonymous: f64,
    resident: f64,
}

fn paced(side: &str, protocol: &str) -> Result<Paced, Failure> {
    let (_receiver, root) = receiver()?;
    let mut worker = Worker::sender(side, protocol, "none", &root)?;
    worker.expect("ready")?;
    let (pid, over) = (worker.child.id(), Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&over);
    let watching = thread::spawn(move || {
        let mut most = 0.0_f64;
        while !told.load(Ordering::Relaxed) {
            most = most.max(status(pid, "RssAnon:").unwrap_or(0.0));
            thread::sleep(WATCH);
        }
        most
    });
    let told = worker.ask(&format!("pace {RATE} {SECONDS}"));
    over.store(true, Ordering::Relaxed);
    let anonymous = watching.join().map_err(|_| "the watch has ended")?;
    Ok(Paced { rate: told?.parse()?, anonymous, resident: status(pid, "VmHWM:")? })
}

/// A line of the kernel's account of a process, in KiB.
fn status(pid: u32, name: &str) -> Result<f64, Failure> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("not Linux")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn receiver() -> Result<(Worker, String), Failure> {
    let mut receiver = Worker::start(Command::new(std::env::current_exe()?).args([worker::AREA, "receive"]))?;
    let root = format!("http://{}", receiver.line()?);
    Ok((receiver, root))
}

/// The first quartile, the median and the third.
fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values.get(values.len() * quarter / 4).copied().unwrap_or(f64::NAN))
}

/// A child process that answers a line with a line. Ends with its input.
struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Worker {
    /// A program beside this one.
    fn sender(program: &str, protocol: &str, compression: &str, root: &str) -> Result<Self, Failure> {
        let path = std::env::current_exe()?.with_file_name(program);
        Self::start(Command::new(path).args([protocol, compression, root]))
    }

    fn start(command: &mut Command) -> Result<Self, Failure> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = BufReader::new(child.stdout.take().ok_or("no output")?);
        Ok(Self { input: child.stdin.take(), child, output })
    }

    fn ask(&mut self, line: &str) -> Result<String, Failure> {
        let input = self.input.as_mut().ok_or("no input")?;
        writeln!(input, "{line}")?;
        input.flush()?;
        self.line()
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err("a worker has ended".into());
        }
        Ok(line.trim_end().to_owned())
    }

    fn expect(&mut self, word: &str) -> Result<(), Failure> {
        let met = self.line()?;
        if met == word { Ok(()) } else { Err(format!("expected {word}, met {met}").into()) }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.input = None;
        let _ended = self.child.wait();
    }
}
