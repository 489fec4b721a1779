//! CPU that capture adds to a request: of the server that is looked at, and of one that is not.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use otlp_ebpf::capture::{Capture, CaptureStats, Reading, Source, Stopper};

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
        Ok(Self { wrk, server: Nginx::start("")?, bystander: Nginx::start("")? })
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
    let added = |pick: fn(&[[f64; 2]; 5]) -> ([f64; 2], [f64; 2]), who: usize| {
        quartiles(met.iter().map(move |round| {
            let (with, without) = pick(round);
            let of = |each: [f64; 2]| each.get(who).copied().unwrap_or(f64::NAN);
            of(with) - of(without)
        }))
    };
    let network = added(|[nothing, network, ..]| (*network, *nothing), 0);
    let woken = added(|[nothing, _, _, woken, _]| (*woken, *nothing), 0);
    Ok(vec![
        at_most(NETWORK, network, 0.6, "us"),
        at_most(NETWORK_BYSTANDER, added(|[nothing, network, ..]| (*network, *nothing), 1), 0.5, "us"),
        at_most(CALLS, added(|[nothing, _, calls, ..]| (*calls, *nothing), 0), 2.0, "us"),
        at_most(CALLS_BYSTANDER, added(|[nothing, _, calls, ..]| (*calls, *nothing), 1), 2.0, "us"),
        Row {
            figure: WAKING.to_owned(),
            ours: format!("{:.2} us", network.0),
            peer: "default wake-ups".to_owned(),
            theirs: format!("{:.2} us ({:.2} to {:.2})", woken.0, woken.0, woken.1),
            ratio: Some(woken.0 / network.0),
            bar: ">=3".to_owned(),
            ok: woken.0 / network.0 >= 3.0,
        },
        at_most(AGGREGATE, added(|[nothing, _, _, _, aggregate]| (*aggregate, *nothing), 0), 0.6, "us"),
    ])
}

pub(super) fn work(effort: &Effort) -> Result<Vec<Row>, Failure> {
    let bench = Bench::new()?;
    // As much to compress as takes 50 us at least.
    let mut text = String::new();
    let file = bench.server.folder.join("work");
    loop {
        let more = (text.len()..text.len() + 1024).map(|at| format!("{:x} ", at.wrapping_mul(2_654_435_761)));
        text.extend(more);
        std::fs::write(&file, &text)?;
        if cost(&bench.wrk, &bench.server, "/work")?.0 >= 50.0 {
            break;
        }
    }
    let met = rounds(effort, [Mode::Nothing, Mode::Network], |mode| {
        let looking = Looking::begin(mode, &bench.server)?;
        let (micros, requests) = cost(&bench.wrk, &bench.server, "/work")?;
        looking.end(requests)?;
        Ok(micros)
    })?;
    let added = quartiles(met.iter().map(|[without, with]| (with / without - 1.0) * 100.0));
    let whole = quartiles(met.iter().map(|[without, _]| *without));
    let mut row = at_most(WORK, added, 3.0, "%");
    row.ours = format!("{} of {:.0} us", row.ours, whole.0);
    Ok(vec![row])
}

pub(super) fn latency(effort: &Effort) -> Result<Vec<Row>, Failure> {
    let bench = Bench::new()?;
    let met = rounds(effort, [Mode::Nothing, Mode::Network], |mode| bench.latency(mode))?;
    let added = quartiles(met.iter().map(|[without, with]| with - without));
    Ok(vec![at_most(LATENCY, added, 50.0, "us")])
}
