//! CPU that capture adds to a request: of the server that is looked at, and of one that is not.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use otlp_ebpf::capture::{Capture, CaptureStats, Reading, Source, Stopper};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

use super::{at_most, quartiles};
use crate::measure::{Effort, Row};
use crate::nginx::{Failure, Nginx, load, program};

const NETWORK: &str = "network: CPU added to a request, server";
const NETWORK_BYSTANDER: &str = "network: CPU added to a request, bystander";
const CALLS: &str = "calls: CPU added to a request, server";
const CALLS_BYSTANDER: &str = "calls: CPU added to a request, bystander";
const WAKING: &str = "network: CPU added to a request, server, over that with default wake-ups";
const AGGREGATE: &str = "aggregate: CPU added to a request, server";

pub(super) const REQUESTS: &[&str] = &[NETWORK, NETWORK_BYSTANDER, CALLS, CALLS_BYSTANDER, WAKING, AGGREGATE];
pub(super) const WORK: &str = "network: CPU added to a request of 50 us and more, of all its CPU";
pub(super) const LATENCY: &str = "network: latency added at the median, one connection";

/// Rounds at least, and at most: each takes some ten seconds.
const ROUNDS: std::ops::RangeInclusive<usize> = 10..=30;

/// Connections of a load.
const CONNECTIONS: u32 = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Nothing,
    Network,
    Calls,
    Woken,
    Aggregate,
}

/// What is looked at while something is measured.
enum Looking {
    Nothing,
    Capture {
        stopper: Stopper,
        reader: JoinHandle<CaptureStats>,
    },
    /// Kept: it counts as long as it is there.
    Aggregate(Box<otlp_ebpf::capture::Aggregation>),
}

impl Looking {
    fn begin(mode: Mode, server: &Nginx) -> Result<Self, Failure> {
        let builder = Capture::builder().port(server.address.port());
        let builder = match mode {
            Mode::Nothing => return Ok(Self::Nothing),
            Mode::Aggregate => return Ok(Self::Aggregate(Box::new(builder.aggregate()?))),
            Mode::Network => builder.source(Source::Network),
            Mode::Calls => builder.source(Source::Calls),
            Mode::Woken => builder.source(Source::Network).reading(Reading::Woken),
        };
        let mut capture = builder.build()?;
        let stopper = capture.stopper();
        let reader = std::thread::spawn(move || {
            capture.by_ref().for_each(drop);
            capture.finish(&mut |_| ())
        });
        Ok(Self::Capture { stopper, reader })
    }

    /// Ends it; it must have seen so many requests.
    fn end(self, requests: f64) -> Result<(), Failure> {
        let seen = match self {
            Self::Nothing => return Ok(()),
            Self::Capture { stopper, reader } => {
                stopper.stop();
                let stats = reader.join().map_err(|_| "the reader panicked")?;
                if !stats.is_balanced() {
                    return Err(format!("the account is not balanced: {stats:?}").into());
                }
                stats.server.account.spans + stats.server.account.lost.total() + stats.kernel.full_records
            }
            Self::Aggregate(mut counted) => counted.read()?.iter().map(|series| series.requests).sum(),
        };
        // wrk does not count what is under way when its second is over.
        if (seen as f64) < requests * 0.99 {
            return Err(format!("{seen} requests seen of {requests}").into());
        }
        Ok(())
    }
}

/// What it takes to measure.
struct Bench {
    wrk: PathBuf,
    server: Nginx,
    bystander: Nginx,
}

impl Bench {
    fn new() -> Result<Self, Failure> {
        let wrk = program("wrk").ok_or("wrk missing, install with apt-get install wrk")?;
        let bench = Self { wrk, server: Nginx::start("")?, bystander: Nginx::start("")? };
        // In this order: a child inherits it.
        if std::thread::available_parallelism()?.get() > 1 {
            pin(Some(bench.server.pid()), 0)?;
            pin(Some(bench.bystander.pid()), 0)?;
            pin(None, 1)?;
        }
        Ok(bench)
    }

    /// Microseconds of CPU that a request takes of the server, and of the bystander.
    fn cost(&self, mode: Mode, path: &str) -> Result<[f64; 2], Failure> {
        let looking = Looking::begin(mode, &self.server)?;
        let (server, requests) = cost(&self.wrk, &self.server, path)?;
        let (bystander, _) = cost(&self.wrk, &self.bystander, path)?;
        looking.end(requests)?;
        Ok([server, bystander])
    }

    fn latency(&self, mode: Mode) -> Result<f64, Failure> {
        let looking = Looking::begin(mode, &self.server)?;
        let met = load(&self.wrk, self.server.address, 1, "/ok")?;
        looking.end(met.requests)?;
        Ok(met.latency)
    }
}

/// Microseconds of CPU a request, and how many there were.
fn cost(wrk: &Path, server: &Nginx, path: &str) -> Result<(f64, f64), Failure> {
    let before = server.cpu()?;
    let requests = load(wrk, server.address, CONNECTIONS, path)?.requests;
    let cpu = server.cpu()?.saturating_sub(before);
    Ok((cpu.as_secs_f64() * 1e6 / requests.max(1.0), requests))
}

/// Measures each mode in each round; which one is first changes from round to round.
fn rounds<const MODES: usize, T: Copy>(
    effort: &Effort,
    modes: [Mode; MODES],
    mut measure: impl FnMut(Mode) -> Result<T, Failure>,
) -> Result<Vec<[T; MODES]>, Failure> {
    let mut all = Vec::new();
    for round in 0..effort.runs.clamp(*ROUNDS.start(), *ROUNDS.end()) {
        let mut met = [None; MODES];
        for turn in 0..MODES {
            let at = (turn + round) % MODES;
            if let (Some(mode), Some(slot)) = (modes.get(at), met.get_mut(at)) {
                *slot = Some(measure(*mode)?);
            }
        }
        let complete: Option<Vec<T>> = met.into_iter().collect();
        all.extend(complete.and_then(|met| <[T; MODES]>::try_from(met).ok()));
    }
    Ok(all)
}

pub(super) fn requests(effort: &Effort) -> Result<Vec<Row>, Failure> {
    let bench = Bench::new()?;
    let modes = [Mode::Nothing, Mode::Network, Mode::Calls, Mode::Woken, Mode::Aggregate];
    let met = rounds(effort, modes, |mode| bench.cost(mode, "/ok"))?;
    // Of the server, or of the bystander.
    let costs = |who: fn([f64; 2]) -> f64| {
        let of = |at: usize| Cost::of(met.iter().filter_map(|round| round.get(at).copied().map(who)));
        [of(0), of(1), of(2), of(3), of(4)]
    };
    let [nothing, network, calls, woken, aggregate] = costs(|[server, _]| server);
    let [alone, beside_network, beside_calls, ..] = costs(|[_, bystander]| bystander);
    let ratio = woken.over(nothing) / network.over(nothing);
    let mut unbound =
        at_most(CALLS_BYSTANDER, beside_calls.over(alone), f64::INFINITY, &beside_calls.told(alone));
    unbound.bar = "-".to_owned();
    Ok(vec![
        at_most(NETWORK, network.over(nothing), 0.6, &network.told(nothing)),
        at_most(NETWORK_BYSTANDER, beside_network.over(alone), 0.5, &beside_network.told(alone)),
        at_most(CALLS, calls.over(nothing), 2.0, &calls.told(nothing)),
        unbound,
        Row {
            figure: WAKING.to_owned(),
            ours: format!("{:.2} us", network.over(nothing)),
            peer: "default wake-ups".to_owned(),
            theirs: woken.told(nothing),
            ratio: Some(ratio),
            bar: ">=3".to_owned(),
            ok: ratio >= 3.0,
        },
        at_most(AGGREGATE, aggregate.over(nothing), 0.6, &aggregate.told(nothing)),
    ])
}

/// What a request costs in one mode, over the rounds: whatever disturbs a round adds to it, so a low one is a true one.
#[derive(Debug, Clone, Copy)]
struct Cost {
    low: f64,
    median: f64,
    high: f64,
}

impl Cost {
    fn of(micros: impl Iterator<Item = f64>) -> Self {
        let (low, median, high) = quartiles(micros);
        Self { low, median, high }
    }

    fn over(self, nothing: Self) -> f64 {
        self.low - nothing.low
    }

    /// With the quartiles of both.
    fn told(self, nothing: Self) -> String {
        format!(
            "{:.2} us ({:.2} {:.2} {:.2} over {:.2} {:.2} {:.2})",
            self.over(nothing),
            self.low,
            self.median,
            self.high,
            nothing.low,
            nothing.median,
            nothing.high
        )
    }
}

pub(super) fn work(effort: &Effort) -> Result<Vec<Row>, Failure> {
    let bench = Bench::new()?;
    // As much to compress as takes 50 us at least.
    let mut text = String::new();
    let file = bench.server.folder.join("busy");
    loop {
        let more = (text.len()..text.len() + 128).map(|at| format!("{:x} ", at.wrapping_mul(2_654_435_761)));
        text.extend(more);
        std::fs::write(&file, &text)?;
        if cost(&bench.wrk, &bench.server, "/busy")?.0 >= 50.0 {
            break;
        }
    }
    let met = rounds(effort, [Mode::Nothing, Mode::Network], |mode| {
        let looking = Looking::begin(mode, &bench.server)?;
        let (micros, requests) = cost(&bench.wrk, &bench.server, "/busy")?;
        looking.end(requests)?;
        Ok(micros)
    })?;
    let [without, with] = [0, 1].map(|at| Cost::of(met.iter().filter_map(|round| round.get(at).copied())));
    let added = with.over(without) / without.low * 100.0;
    Ok(vec![at_most(
        WORK,
        added,
        3.0,
        &format!("{added:.2} % of {:.1} us: {}", without.low, with.told(without)),
    )])
}

pub(super) fn latency(effort: &Effort) -> Result<Vec<Row>, Failure> {
    let bench = Bench::new()?;
    let met = rounds(effort, [Mode::Nothing, Mode::Network], |mode| bench.latency(mode))?;
    let [without, with] = [0, 1].map(|at| Cost::of(met.iter().filter_map(|round| round.get(at).copied())));
    Ok(vec![at_most(LATENCY, with.over(without), 50.0, &with.told(without))])
}

/// Lets a process, or this thread and the children that it starts from now on, run on this processor alone.
fn pin(pid: Option<u32>, processor: usize) -> Result<(), Failure> {
    let mut set = CpuSet::new();
    set.set(processor);
    let pid = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    Ok(sched_setaffinity(pid, &set)?)
}
