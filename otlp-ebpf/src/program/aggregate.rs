//! Requests counted in the kernel, at the sockets of control groups.

use std::path::PathBuf;

use aya::Ebpf;
use aya::maps::{MapData, PerCpuArray, PerCpuHashMap};

use super::{Ports, Settings, failed, no_map, object, prepare};
use crate::error::Result;

const HOOK: &str = "aggregate";

/// Buckets of a series.
pub(crate) const BUCKETS: usize = 120;

const COUNTERS: usize = 4;

/// The programs, and what they share with us.
pub(crate) struct Aggregated {
    /// Attached as long as it is here.
    _ebpf: Ebpf,
    series: PerCpuHashMap<MapData, [u64; 2], [u64; 3 + BUCKETS]>,
    counts: PerCpuArray<MapData, [u64; COUNTERS]>,
    pub(crate) ports: Ports,
}

/// What was counted of one series, over all processors.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) group: u64,
    pub(crate) port: u16,
    /// As `enum class` has it.
    pub(crate) class: u8,
    pub(crate) is_client: bool,
    pub(crate) requests: u64,
    pub(crate) nanos: u64,
    pub(crate) shorter: u64,
    pub(crate) buckets: [u64; BUCKETS],
}

/// Loads the programs and attaches them to these control groups, and so to those below them.
pub(crate) fn attach(
    settings: &Settings,
    groups: &[PathBuf],
    by_group: bool,
    series: u32,
) -> Result<Aggregated> {
    let by_group = u32::from(by_group);
    let [all, both_ends] = [settings.all, settings.both_ends].map(u32::from);
    let mut loader = prepare(HOOK)?;
    loader
        .override_global("WANT_ALL", &all, true)
        // No program of it needs to know so far.
        .override_global("BOTH_ENDS", &both_ends, false)
        .override_global("BY_GROUP", &by_group, true)
        .map_max_entries("SERIES", series);
    let mut ebpf = loader.load(object!("aggregate.o")).map_err(|error| failed(HOOK, "loading", error))?;
    super::network::attach_all(&mut ebpf, HOOK, groups, ["aggregate_out", "aggregate_in"])?;
    let mut map = |name: &'static str| ebpf.take_map(name).ok_or_else(|| no_map(HOOK, name));
    let series =
        PerCpuHashMap::try_from(map("SERIES")?).map_err(|error| failed(HOOK, "its series", error))?;
    let counts =
        PerCpuArray::try_from(map("COUNTS")?).map_err(|error| failed(HOOK, "its counters", error))?;
    let ports = Ports::new(map("PORTS")?, HOOK)?;
    Ok(Aggregated { _ebpf: ebpf, series, counts, ports })
}

impl Aggregated {
    /// What was counted so far: no series is ever taken out.
    pub(crate) fn series(&self) -> Result<Vec<Series>> {
        let mut all = Vec::new();
        for met in &self.series {
            let ([group, rest], each) = met.map_err(|error| failed(HOOK, "reading its series", error))?;
            let [low, high, class, is_client, ..] = rest.to_ne_bytes();
            let port = u16::from_ne_bytes([low, high]);
            let mut series = Series {
                group,
                port,
                class,
                is_client: is_client != 0,
                requests: 0,
                nanos: 0,
                shorter: 0,
                buckets: [0; BUCKETS],
            };
            for [requests, nanos, shorter, buckets @ ..] in each.iter() {
                series.requests += requests;
                series.nanos += nanos;
                series.shorter += shorter;
                series.buckets.iter_mut().zip(buckets).for_each(|(sum, count)| *sum += count);
            }
            all.push(series);
        }
        Ok(all)
    }

    /// Requests that began, that are counted in a series, that found no room for theirs; fragments passed over.
    pub(crate) fn counts(&self) -> Result<[u64; COUNTERS]> {
        let each = self.counts.get(&0, 0).map_err(|error| failed(HOOK, "reading its counters", error))?;
        let mut sum = [0; COUNTERS];
        for counts in each.iter() {
            sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        Ok(sum)
    }
}

impl std::fmt::Debug for Aggregated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aggregated").finish_non_exhaustive()
    }
}
