//! Stacks of threads: what they run, and what they wait in, each with the request that the thread is at.
//!
//! ```text
//! bpf/sample.bpf.c    a clock on each processor; the scheduler, with a threshold; the exit of system calls that read
//!                      │ ring (bounded; full: counted)
//!                      v
//! event::stack        one record: addresses, weight, the connection whose request the thread last read (pure)
//!                      │
//!                      v
//! resolve::symbol     names: symbols of the files that the process has mapped, /proc/kallsyms
//!                      │
//!                      v
//! Sample              to whoever polls; SpanLinks gives it the span of its request once that has ended
//! ```

mod config;
mod link;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use otlp_core::sample::StackSample;
use otlp_core::{SpanId, TraceId, UnixNanos};

pub use self::config::SamplerBuilder;
pub use self::link::{LinkStats, SpanLinks};
use super::clock::Clocks;
use super::target::{self, Targets};
use super::{ADVANCE, Stopper};
use crate::event::stack::StackRecord;
pub use crate::event::stack::ThreadState;
use crate::program::{Samples, port_set};
use crate::resolve::symbol::Symbols;

/// A stack, and what its thread was at.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// The stack; its weight is nanoseconds. It has no span yet: [`SpanLinks`] gives it one.
    pub stack: StackSample,
    /// What the thread did.
    pub state: ThreadState,
    /// The request that the thread last read; `None` where that is not known.
    pub request: Option<InFlight>,
}

/// A request that a thread has read, by its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct InFlight {
    /// The server's end.
    pub server: SocketAddr,
    /// The client's end.
    pub client: SocketAddr,
    /// When the thread last read from it.
    pub since: UnixNanos,
}

/// What became of everything that was sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SamplerStats {
    /// Samples that the kernel took.
    pub samples: u64,
    /// Of these, given out.
    pub delivered: u64,
    /// Of these, dropped because the ring was full.
    pub dropped: u64,
    /// Records read that are none; always 0, or this library and its program are of different versions.
    pub malformed: u64,
    /// Waits below the threshold: looked at, and no sample.
    pub short_waits: u64,
    /// Waits that were not looked at, because more threads waited than there was room for.
    pub waits_left_out: u64,
    /// Processes that found no room among those whose threads are sampled.
    pub processes_left_out: u64,
    /// Frames without a name: of processes that are gone, or of code made at run time.
    pub unknown_frames: u64,
}

impl SamplerStats {
    /// Samples that wait in the ring.
    ///
    /// ```
    /// let mut stats = otlp_ebpf::capture::SamplerStats::default();
    /// (stats.samples, stats.delivered, stats.dropped) = (5, 3, 1);
    /// assert_eq!((stats.waiting(), stats.is_balanced()), (1, false));
    /// ```
    #[must_use]
    pub const fn waiting(&self) -> u64 {
        self.samples.saturating_sub(self.delivered + self.dropped + self.malformed)
    }

    /// True where every sample is accounted for: given out or dropped.
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.samples == self.delivered + self.dropped + self.malformed
    }
}

/// Samples stacks by the kernel: what threads run, and what they wait in.
///
/// An iterator of samples that waits for the next one, for ever unless it is [stopped](Sampler::stopper); or, without
/// waiting, [`poll`](Sampler::poll).
///
/// ```no_run
/// use std::time::Duration;
/// use otlp_ebpf::capture::Sampler;
/// let sampler = Sampler::builder().process("nginx").off_cpu(Duration::from_millis(1)).build()?;
/// for sample in sampler {
///     println!("{} {}", sample.stack.frames.join(";"), sample.stack.weight);
/// }
/// # Ok::<(), otlp_ebpf::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping it ends the sampling"]
pub struct Sampler {
    samples: Samples,
    targets: Targets,
    requests: bool,
    proc: PathBuf,
    symbols: Symbols,
    clocks: Clocks,
    stats: SamplerStats,
    stop: Stopper,
    poll_interval: Duration,
    rescan_interval: Duration,
    next_scan: Instant,
    ready: std::collections::VecDeque<Sample>,
}

/// Processes whose files are looked at before there is a sample of them.
const MOST_MET: usize = 64;

/// Samples taken from the ring in one go.
const BATCH: usize = 4096;

impl Sampler {
    /// Begins to say what is to be sampled.
    ///
    /// ```
    /// use otlp_ebpf::capture::Sampler;
    /// let builder = Sampler::builder().pid(std::process::id()).on_cpu(99);
    /// ```
    pub fn builder() -> SamplerBuilder {
        SamplerBuilder::new()
    }

    /// Takes what is in the ring now, at most some thousand samples, names their frames and gives them out. Never
    /// waits. Says how many there were.
    pub fn poll(&mut self, out: &mut dyn FnMut(Sample)) -> usize {
        self.look();
        let mut records = Vec::new();
        let Self { samples, stats, .. } = self;
        let taken = samples.drain(BATCH, &mut |bytes| match StackRecord::parse(bytes) {
            Ok(record) => records.push(record),
            Err(_) => stats.malformed += 1,
        });
        // First those that may end while others are named.
        let now = records.last().map_or(0, |record| record.time);
        records.iter().for_each(|record| self.symbols.meet(record.pid, now));
        // It compares the two clocks now and then.
        let _ = self.clocks.due(ADVANCE);
        for record in records {
            self.stats.delivered += 1;
            out(self.sample(&record));
        }
        taken
    }

    fn sample(&mut self, record: &StackRecord) -> Sample {
        let frames = self.symbols.name(record.pid, &record.kernel, &record.user, record.time);
        // Work of Go moves between threads, so that a thread says nothing of it.
        let request = record.request.filter(|_| !self.symbols.is_go(record.pid));
        let request = request.map(|(server, client, since)| InFlight {
            server,
            client,
            since: self.clocks.time_of_day(since),
        });
        let stack = StackSample {
            time: self.clocks.time_of_day(record.time),
            pid: record.pid,
            tid: record.tid,
            frames,
            weight: record.weight,
            trace_id: TraceId::INVALID,
            span_id: SpanId::INVALID,
        };
        Sample { stack, state: record.state, request }
    }

    /// Looks now and then which processes there are, and tells the program.
    fn look(&mut self) {
        if Instant::now() < self.next_scan {
            return;
        }
        self.next_scan = Instant::now() + self.rescan_interval;
        let is_all = self.targets.is_all();
        if is_all && !self.requests {
            return;
        }
        let owners = target::owners(&self.proc);
        let pids: BTreeSet<u32> = if is_all { BTreeSet::new() } else { self.targets.resolve(&owners).pids };
        let served = owners.iter().filter(|owner| is_all || pids.contains(&owner.pid));
        let ports = port_set(served.flat_map(|owner| owner.listens.iter().copied()));
        // Setting a map of our own does not fail.
        let _ = self.samples.set_ports(&ports);
        let left_out = u64::try_from(self.samples.pids.set(&pids)).unwrap_or(u64::MAX);
        self.stats.processes_left_out = self.stats.processes_left_out.max(left_out);
        // Some may have ended before their first sample is read.
        pids.iter().take(MOST_MET).for_each(|pid| self.symbols.meet(*pid, 0));
    }

    /// What ends the sampling from another thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stop.clone()
    }

    /// The account so far.
    #[must_use]
    pub fn stats(&self) -> SamplerStats {
        // Reading a map of our own does not fail.
        let counts = self.samples.counts().unwrap_or_default();
        SamplerStats {
            samples: counts.samples,
            dropped: counts.full,
            short_waits: counts.short,
            waits_left_out: counts.no_room,
            unknown_frames: self.symbols.unknown,
            ..self.stats
        }
    }

    /// Detaches, gives out what was sampled until then, and gives the final account. Waits that have not ended are no
    /// samples.
    pub fn finish(mut self, out: &mut dyn FnMut(Sample)) -> SamplerStats {
        self.samples.detach();
        self.ready.drain(..).for_each(&mut *out);
        // A program that runs on another processor ends within microseconds; then nothing is added.
        let until = Instant::now() + Duration::from_millis(200);
        while self.poll(out) > 0 || (self.stats().waiting() > 0 && Instant::now() < until) {}
        self.stats()
    }
}

impl Iterator for Sampler {
    type Item = Sample;

    /// Waits for the next sample; nothing once it was stopped and what was sampled was given out.
    fn next(&mut self) -> Option<Sample> {
        loop {
            if let Some(sample) = self.ready.pop_front() {
                return Some(sample);
            }
            let is_stopped = self.stop.is_stopped();
            if is_stopped {
                self.samples.detach();
            }
            let mut ready = std::mem::take(&mut self.ready);
            let records = self.poll(&mut |sample| ready.push_back(sample));
            self.ready = ready;
            if self.ready.is_empty() && records == 0 {
                if is_stopped {
                    return None;
                }
                std::thread::sleep(self.poll_interval);
            }
        }
    }
}
