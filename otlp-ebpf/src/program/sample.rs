//! The hooks that sample stacks: a clock on each processor, and the scheduler.

use aya::maps::{Array, MapData, PerCpuArray, RingBuf};
use aya::programs::RawTracePoint;
use aya::programs::perf_event::{PerfEvent, PerfEventConfig, PerfEventScope, SamplePolicy, SoftwareEvent};
use aya::util::online_cpus;
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};

use super::{Pids, PortSet, attach_typed, failed, no_program, object};
use crate::error::{Error, ErrorKind, Result};

const HOOK: &str = "sample";

/// What the hooks are told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sampling {
    pub(crate) every_process: bool,
    pub(crate) requests: bool,
    /// Nanoseconds of processor time between two samples; `None`: none are taken.
    pub(crate) period: Option<u64>,
    /// Nanoseconds that a thread waits at least; `None`: waits are not looked at.
    pub(crate) threshold: Option<u64>,
    pub(crate) ring_bytes: u32,
    pub(crate) threads: u32,
}

/// What the programs counted, over all processors; in the order of `enum counter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SampleCounts {
    pub(crate) samples: u64,
    pub(crate) full: u64,
    pub(crate) no_room: u64,
    pub(crate) short: u64,
}

const COUNTERS: usize = 4;

/// The programs, and what they share with us.
pub(crate) struct Samples {
    /// Attached as long as it is here.
    ebpf: Option<Ebpf>,
    ring: RingBuf<MapData>,
    counts: PerCpuArray<MapData, [u64; COUNTERS]>,
    ports: Array<MapData, u64>,
    /// Whose threads are sampled.
    pub(crate) pids: Pids,
    told: Box<PortSet>,
}

/// Loads the programs, and attaches those that are asked for.
pub(crate) fn attach(sampling: &Sampling) -> Result<Samples> {
    let [every, requests] = [sampling.every_process, sampling.requests].map(u32::from);
    let mut ebpf = EbpfLoader::new()
        .verifier_log_level(VerifierLogLevel::DISABLE)
        .override_global("WANT_EVERY_PROCESS", &every, true)
        .override_global("WANT_REQUESTS", &requests, true)
        .override_global("PERIOD", &sampling.period.unwrap_or(0), true)
        .override_global("THRESHOLD", &sampling.threshold.unwrap_or(0), true)
        .map_max_entries("SAMPLES", sampling.ring_bytes)
        .map_max_entries("WAITING", sampling.threads)
        .load(object!("sample.o"))
        .map_err(|error| failed(HOOK, "loading", error))?;
    if sampling.requests {
        attach_typed(&mut ebpf, HOOK, "call_returns", "sys_exit")?;
    }
    raw(&mut ebpf, "process_forks", "sched_process_fork")?;
    raw(&mut ebpf, "thread_is_freed", "sched_process_free")?;
    if sampling.threshold.is_some() {
        raw(&mut ebpf, "threads_switch", "sched_switch")?;
    }
    if let Some(period) = sampling.period {
        clock(&mut ebpf, period)?;
    }
    Samples::new(ebpf)
}

fn raw(ebpf: &mut Ebpf, name: &str, point: &str) -> Result<()> {
    let program = ebpf.program_mut(name).ok_or_else(|| no_program(HOOK, name))?;
    let program: &mut RawTracePoint = program.try_into().map_err(|error| failed(HOOK, name, error))?;
    program.load().map_err(|error| failed(HOOK, "loading its programs", error))?;
    program.attach(point).map(drop).map_err(|error| failed(HOOK, &format!("attaching to {point}"), error))
}

fn clock(ebpf: &mut Ebpf, period: u64) -> Result<()> {
    let name = "takes_sample";
    let program = ebpf.program_mut(name).ok_or_else(|| no_program(HOOK, name))?;
    let program: &mut PerfEvent = program.try_into().map_err(|error| failed(HOOK, name, error))?;
    program.load().map_err(|error| failed(HOOK, "loading its clock", error))?;
    let event = PerfEventConfig::Software(SoftwareEvent::CpuClock);
    for cpu in online_cpus().map_err(|(what, error)| failed(HOOK, what, error))? {
        program
            .attach(event, PerfEventScope::AllProcessesOneCpu { cpu }, SamplePolicy::Period(period), false)
            .map_err(|error| failed(HOOK, &format!("the clock of processor {cpu}"), error))?;
    }
    Ok(())
}

impl Samples {
    fn new(mut ebpf: Ebpf) -> Result<Self> {
        let mut map = |name: &'static str| {
            ebpf.take_map(name)
                .ok_or_else(|| Error::new(ErrorKind::Malformed, format!("{HOOK}: no map {name}")))
        };
        let ring = RingBuf::try_from(map("SAMPLES")?).map_err(|error| failed(HOOK, "its ring", error))?;
        let counts =
            PerCpuArray::try_from(map("COUNTS")?).map_err(|error| failed(HOOK, "its counters", error))?;
        let ports = Array::try_from(map("PORTS")?).map_err(|error| failed(HOOK, "its ports", error))?;
        let pids = Pids::new(map("PIDS")?, HOOK)?;
        Ok(Self { ebpf: Some(ebpf), ring, counts, ports, pids, told: Box::new([0; 1024]) })
    }

    /// Gives out the samples that are in the ring, at most so many; says how many they were.
    pub(crate) fn drain(&mut self, most: usize, each: &mut dyn FnMut(&[u8])) -> usize {
        for taken in 0..most {
            let Some(sample) = self.ring.next() else { return taken };
            each(&sample);
        }
        most
    }

    pub(crate) fn counts(&self) -> Result<SampleCounts> {
        let each = self.counts.get(&0, 0).map_err(|error| failed(HOOK, "reading its counters", error))?;
        let mut sum = SampleCounts::default();
        for [samples, full, no_room, short] in each.iter() {
            sum.samples += samples;
            sum.full += full;
            sum.no_room += no_room;
            sum.short += short;
        }
        Ok(sum)
    }

    /// Sets which ports are those of servers.
    pub(crate) fn set_ports(&mut self, ports: &PortSet) -> Result<()> {
        for (at, (word, told)) in (0..).zip(ports.iter().zip(self.told.iter_mut())) {
            if word != told {
                self.ports.set(at, *word, 0).map_err(|error| failed(HOOK, "setting its ports", error))?;
                *told = *word;
            }
        }
        Ok(())
    }

    /// Detaches; what is in the ring can still be read.
    pub(crate) fn detach(&mut self) {
        self.ebpf = None;
    }
}

impl std::fmt::Debug for Samples {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Samples").field("attached", &self.ebpf.is_some()).finish_non_exhaustive()
    }
}
