//! Requests counted in the kernel, at the sockets of control groups.

use std::path::PathBuf;

use aya::maps::{MapData, PerCpuArray, PerCpuHashMap};

use super::{Plan, Point, Ports, Programs, Settings, failed, object};
use crate::error::Result;

const HOOK: &str = "aggregate";

/// Buckets of a series.
pub(crate) const BUCKETS: usize = 120;

const COUNTERS: usize = 4;

/// The programs, and what they share with us.
pub(crate) struct Aggregated {
    /// Attached as long as it is here.
    _programs: Programs,
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
    let plan = Plan::new(HOOK, object!("aggregate.o"))
        .flag("WANT_ALL", settings.all)
        .flag("BY_GROUP", by_group)
        .size("SERIES", series)
        .stand("aggregate_out", Point::Egress(groups))
        .stand("aggregate_in", Point::Ingress(groups));
    let mut programs = settings.loader.load(&plan)?;
    let mut map = |name: &'static str| programs.map(HOOK, name);
    let series =
        PerCpuHashMap::try_from(map("SERIES")?).map_err(|error| failed(HOOK, "its series", error))?;
    let counts =
        PerCpuArray::try_from(map("COUNTS")?).map_err(|error| failed(HOOK, "its counters", error))?;
    let ports = Ports::new(map("PORTS")?, HOOK)?;
    Ok(Aggregated { _programs: programs, series, counts, ports })
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
