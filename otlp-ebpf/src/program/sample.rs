//! The hooks that sample stacks: a clock on each processor, and the scheduler.

use aya::maps::{Array, MapData, PerCpuArray, RingBuf};

use super::{Loader, Pids, Plan, Point, PortSet, Programs, failed, object};
use crate::error::Result;

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
    programs: Option<Programs>,
    ring: RingBuf<MapData>,
    counts: PerCpuArray<MapData, [u64; COUNTERS]>,
    ports: Array<MapData, u64>,
    /// Whose threads are sampled.
    pub(crate) pids: Pids,
    told: Box<PortSet>,
}

/// Loads the programs, and attaches those that are asked for.
pub(crate) fn attach(sampling: &Sampling) -> Result<Samples> {
    let mut plan = Plan::new(HOOK, object!("sample.o"))
        .flag("WANT_EVERY_PROCESS", sampling.every_process)
        .flag("WANT_REQUESTS", sampling.requests)
        .long("PERIOD", sampling.period.unwrap_or(0))
        .long("THRESHOLD", sampling.threshold.unwrap_or(0))
        .size("SAMPLES", sampling.ring_bytes)
        .size("WAITING", sampling.threads);
    if sampling.requests {
        plan = plan.stand("call_returns", Point::Typed("sys_exit"));
    }
    plan = plan
        .stand("process_forks", Point::Raw("sched_process_fork"))
        .stand("thread_is_freed", Point::Raw("sched_process_free"));
    if sampling.threshold.is_some() {
        plan = plan.stand("threads_switch", Point::Raw("sched_switch"));
    }
    if let Some(period) = sampling.period {
        plan = plan.stand("takes_sample", Point::Clock(period));
    }
    // Clocks are attached by aya alone.
    Samples::new(Loader::Aya.load(&plan)?)
}

impl Samples {
    fn new(mut programs: Programs) -> Result<Self> {
        let mut map = |name: &'static str| programs.map(HOOK, name);
        let ring = RingBuf::try_from(map("SAMPLES")?).map_err(|error| failed(HOOK, "its ring", error))?;
        let counts =
            PerCpuArray::try_from(map("COUNTS")?).map_err(|error| failed(HOOK, "its counters", error))?;
        let ports = Array::try_from(map("PORTS")?).map_err(|error| failed(HOOK, "its ports", error))?;
        let pids = Pids::new(map("PIDS")?, HOOK)?;
        Ok(Self { programs: Some(programs), ring, counts, ports, pids, told: Box::new([0; 1024]) })
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
        self.programs = None;
    }
}

impl std::fmt::Debug for Samples {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Samples").field("attached", &self.programs.is_some()).finish_non_exhaustive()
    }
}
