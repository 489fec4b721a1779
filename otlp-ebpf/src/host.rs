//! Processes, their container and the host they run on, from `/proc` and control groups: as OTLP metrics by the
//! semantic conventions (1.42), without privileges.
//!
//! What a file does not say is no metric, never a zero. Counters are cumulative since the process, or the machine,
//! started; a process whose number was used again by another is told as ended. Those of a control group began when
//! it did, which it does not say: they have no start time. Texts are read by pure functions; [`Host`] reads the files.
//!
//! Not of the conventions, which have nothing for it: `otlp.host.pressure` (seconds that tasks waited for `cpu`,
//! `memory` or `io`, PSI), and `otlp.host.load` (the averages of runnable tasks).

mod cgroup;
mod metric;
mod text;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use otlp_core::record::{KeyValue, Metric, Resource};
use otlp_core::{UnixNanos, semconv};

use self::cgroup::Usage;
use self::metric::{Metrics, labelled, seconds, whole};
use self::text::{ProcessStat, keyed, kibibytes};
use crate::error::{Error, ErrorKind, Result};

/// Reads a host and some of its processes.
///
/// ```
/// use otlp_core::UnixNanos;
/// use otlp_ebpf::host::Host;
/// let mut host = Host::new();
/// host.watch(std::process::id())?;
/// let reading = host.read(UnixNanos::from_secs(1_800_000_000));
/// let names: Vec<_> = reading.processes[0].metrics.iter().map(|metric| metric.name.as_str()).collect();
/// assert!(names.contains(&"process.cpu.time") && names.contains(&"process.memory.usage"));
/// # Ok::<(), otlp_ebpf::Error>(())
/// ```
#[derive(Debug)]
pub struct Host {
    proc: PathBuf,
    cgroup: PathBuf,
    ticks: u64,
    page: u64,
    most: usize,
    /// By number: when they started, in ticks since the machine did.
    watched: BTreeMap<u32, u64>,
}

/// What was read at one time.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Reading {
    /// Of the machine: `system.*`.
    pub system: Vec<Metric>,
    /// Of the control group of this program: `container.*`.
    pub container: Vec<Metric>,
    /// Of each process watched that still runs, by its number.
    pub processes: Vec<ProcessReading>,
    /// Processes that ended since they were watched, also where another has their number now. They are watched no
    /// more.
    pub ended: Vec<u32>,
}

/// What was read of a process.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct ProcessReading {
    /// Its number.
    pub pid: u32,
    /// What tells it: its number and the file name of its program.
    pub resource: Resource,
    /// `process.*`.
    pub metrics: Vec<Metric>,
}

/// Interfaces and disks told at most, and processors.
const MOST_DEVICES: usize = 64;
const MOST_PROCESSORS: usize = 1024;
/// Files of a process counted at most.
const MOST_FILES: usize = 1 << 16;

impl Host {
    /// Reads `/proc` and `/sys/fs/cgroup`.
    #[must_use]
    pub fn new() -> Self {
        Self::at("/proc", "/sys/fs/cgroup")
    }

    /// Reads other folders laid out as those.
    #[must_use]
    pub fn at(proc: impl AsRef<Path>, cgroup: impl AsRef<Path>) -> Self {
        let own = fs::read("/proc/self/auxv").unwrap_or_default();
        let [ticks, page] = text::auxiliary(&own);
        Self {
            proc: proc.as_ref().to_owned(),
            cgroup: cgroup.as_ref().to_owned(),
            // What every Linux has shown to programs for decades.
            ticks: ticks.unwrap_or(100),
            page: page.unwrap_or(4096),
            most: 256,
            watched: BTreeMap::new(),
        }
    }

    /// Sets how many processes may be watched; default 256.
    #[must_use]
    pub const fn max_processes(mut self, processes: usize) -> Self {
        self.most = processes;
        self
    }

    /// Watches a process from now on.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] where there are too many, [`ErrorKind::Io`] where it cannot be read or is not there,
    /// [`ErrorKind::Malformed`] where what is told of it is of another form.
    pub fn watch(&mut self, pid: u32) -> Result<()> {
        if self.watched.len() >= self.most && !self.watched.contains_key(&pid) {
            let message = format!("host: process {pid} is one more than the limit {}", self.most);
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let text = fs::read_to_string(self.proc.join(pid.to_string()).join("stat")).map_err(|error| {
            Error::new(ErrorKind::Io, format!("host: process {pid} cannot be read")).with_source(error)
        })?;
        let stat = text::process_stat(&text).ok_or_else(|| {
            let message = format!("host: stat of process {pid}: {} bytes of another form", text.len());
            Error::new(ErrorKind::Malformed, message)
        })?;
        self.watched.insert(pid, stat.started);
        Ok(())
    }

    /// Watches a process no more.
    pub fn forget(&mut self, pid: u32) {
        self.watched.remove(&pid);
    }

    /// Reads everything; `now` is the time of the values. Costs a read of some twenty files and of five for each process.
    pub fn read(&mut self, now: UnixNanos) -> Reading {
        let stat = self.text("stat");
        let booted = keyed(&stat, "btime").map(UnixNanos::from_secs);
        let mut reading = Reading {
            system: self.system(&stat, booted, now),
            container: self.container(now),
            ..Reading::default()
        };
        for (pid, started) in std::mem::take(&mut self.watched) {
            match self.process(pid, booted, now) {
                Some((stat, process)) if stat.started == started => {
                    self.watched.insert(pid, started);
                    reading.processes.push(process);
                }
                _ => reading.ended.push(pid),
            }
        }
        reading
    }

    /// A file of `/proc`; empty where it cannot be read.
    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.proc.join(name)).unwrap_or_default()
    }

    fn process(
        &self,
        pid: u32,
        booted: Option<UnixNanos>,
        now: UnixNanos,
    ) -> Option<(ProcessStat, ProcessReading)> {
        let file = |name: &str| self.text(&format!("{pid}/{name}"));
        let stat = text::process_stat(&file("stat"))?;
        let age = Duration::from_millis(stat.started.saturating_mul(1000) / self.ticks.max(1));
        let start = booted.map_or(UnixNanos::ZERO, |booted| booted + age);
        let mut metrics = Metrics::new(start, now);
        let cpu = |mode, ticks| (seconds(Some(ticks), self.ticks), [(metric::CPU_MODE, mode)]);
        let [user, system] = [cpu("user", stat.user), cpu("system", stat.system)];
        metrics.counter(PROCESS_CPU, &labelled(&[user, system]));
        // A thread of the kernel has no memory of its own, and a process at its end has none any more: nothing, not zero.
        if stat.virtual_bytes > 0 {
            metrics.amount(PROCESS_MEMORY, &[(whole(stat.resident_pages.checked_mul(self.page)), &[])]);
            metrics.amount(PROCESS_VIRTUAL, &[(whole(Some(stat.virtual_bytes)), &[])]);
        }
        metrics.amount(PROCESS_THREADS, &[(whole(Some(stat.threads)), &[])]);
        let folder = fs::read_dir(self.proc.join(pid.to_string()).join("fd")).ok();
        let files =
            folder.map(|folder| folder.take(MOST_FILES).count()).and_then(|files| u64::try_from(files).ok());
        metrics.amount(PROCESS_FILES, &[(whole(files), &[])]);
        let faults = [("minor", stat.minor_faults), ("major", stat.major_faults)];
        pair(&mut metrics, PROCESS_FAULTS, metric::FAULT, faults.map(|(kind, count)| (kind, Some(count))));
        let io = file("io");
        let bytes = [("read", keyed(&io, "read_bytes")), ("write", keyed(&io, "write_bytes"))];
        pair(&mut metrics, PROCESS_DISK, metric::DISK_DIRECTION, bytes);
        let status = file("status");
        let switches = [
            ("voluntary", keyed(&status, "voluntary_ctxt_switches")),
            ("involuntary", keyed(&status, "nonvoluntary_ctxt_switches")),
        ];
        pair(&mut metrics, PROCESS_SWITCHES, metric::SWITCH, switches);
        if start != UnixNanos::ZERO {
            metrics.gauge(PROCESS_UPTIME, Some(now.duration_since(start).as_secs_f64()));
        }
        let mut resource = Resource::default();
        resource.attributes.push(KeyValue::new(semconv::PROCESS_PID, i64::from(pid)));
        if let Some(name) = file("comm").strip_suffix('\n').filter(|name| !name.is_empty()) {
            resource.attributes.push(KeyValue::new(semconv::PROCESS_EXECUTABLE_NAME, name));
        }
        Some((stat, ProcessReading { pid, resource, metrics: metrics.list }))
    }

    fn system(&self, stat: &str, booted: Option<UnixNanos>, now: UnixNanos) -> Vec<Metric> {
        let mut metrics = Metrics::new(booted.unwrap_or(UnixNanos::ZERO), now);
        self.processors(&mut metrics, stat);
        self.memory(&mut metrics);
        let network = self.text("net/dev");
        for (kind, at) in [(NETWORK_IO, 0), (NETWORK_PACKETS, 1), (NETWORK_ERRORS, 2), (NETWORK_DROPS, 3)] {
            let interfaces = text::interfaces(&network, MOST_DEVICES);
            let rows = interfaces.iter().flat_map(|interface| {
                let one = |direction, counts: [u64; 4]| {
                    let labels =
                        [(metric::INTERFACE, interface.name), (metric::NETWORK_DIRECTION, direction)];
                    (whole(counts.get(at).copied()), labels)
                };
                [one("receive", interface.received), one("transmit", interface.sent)]
            });
            let rows: Vec<_> = rows.collect();
            metrics.counter(kind, &labelled(&rows));
        }
        let disks = self.text("diskstats");
        let disks = text::disks(&disks, MOST_DEVICES);
        for (kind, of_bytes) in [(DISK_IO, true), (DISK_OPERATIONS, false)] {
            let rows = disks.iter().flat_map(|disk| {
                let [read, written] = if of_bytes { disk.bytes } else { disk.operations };
                [("read", read), ("write", written)].map(|(direction, count)| {
                    let labels = [(metric::DEVICE, disk.name), (metric::DISK_DIRECTION, direction)];
                    (whole(Some(count)), labels)
                })
            });
            let rows: Vec<_> = rows.collect();
            metrics.counter(kind, &labelled(&rows));
        }
        pressures(
            &mut metrics,
            ["cpu", "memory", "io"].map(|of| text::pressure(&self.text(&format!("pressure/{of}")))),
        );
        if let Some(averages) = text::load(&self.text("loadavg")) {
            for (kind, average) in LOADS.into_iter().zip(averages) {
                metrics.gauge(kind, Some(average));
            }
        }
        metrics.counter(PROCESSES_CREATED, &[(whole(keyed(stat, "processes")), &[])]);
        metrics.gauge(UPTIME, booted.map(|booted| now.duration_since(booted).as_secs_f64()));
        metrics.list
    }

    fn processors(&self, metrics: &mut Metrics, stat: &str) {
        let processors = text::processors(stat, MOST_PROCESSORS);
        let named: Vec<_> = processors.iter().map(|(number, ticks)| (number.to_string(), ticks)).collect();
        let rows = named.iter().flat_map(|(number, ticks)| {
            text::MODES.into_iter().zip(**ticks).map(|(mode, ticks)| {
                let labels = [(metric::CPU_LOGICAL_NUMBER, number.as_str()), (metric::CPU_MODE, mode)];
                (seconds(Some(ticks), self.ticks), labels)
            })
        });
        let rows: Vec<_> = rows.collect();
        metrics.counter(CPU_TIME, &labelled(&rows));
        let count = u64::try_from(processors.len()).ok().filter(|count| *count > 0);
        metrics.amount(CPU_COUNT, &[(whole(count), &[])]);
    }

    fn memory(&self, metrics: &mut Metrics) {
        let memory = self.text("meminfo");
        let [total, free, buffers] = ["MemTotal", "MemFree", "Buffers"].map(|key| kibibytes(&memory, key));
        let cached = kibibytes(&memory, "Cached").zip(kibibytes(&memory, "SReclaimable").or(Some(0)));
        let cached = cached.and_then(|(cached, slabs)| cached.checked_add(slabs));
        let other = [free, buffers, cached].into_iter().try_fold(0_u64, |sum, part| sum.checked_add(part?));
        let used = total.zip(other).and_then(|(total, other)| total.checked_sub(other));
        let states = [("used", used), ("free", free), ("buffers", buffers), ("cached", cached)];
        points(metrics, MEMORY_USAGE, metric::MEMORY_STATE, &states);
        metrics.amount(MEMORY_LIMIT, &[(whole(total), &[])]);
        metrics.amount(MEMORY_AVAILABLE, &[(whole(kibibytes(&memory, "MemAvailable")), &[])]);
        let [swap, unused] = ["SwapTotal", "SwapFree"].map(|key| kibibytes(&memory, key));
        let used = swap.zip(unused).and_then(|(swap, unused)| swap.checked_sub(unused));
        points(metrics, PAGING_USAGE, metric::PAGING_STATE, &[("used", used), ("free", unused)]);
        let pages = self.text("vmstat");
        let [minor, major] =
            cgroup::faults(&pages, "pgfault", "pgmajfault").map_or([None; 2], |both| both.map(Some));
        pair(metrics, PAGING_FAULTS, metric::FAULT, [("minor", minor), ("major", major)]);
        let swapped = [("in", keyed(&pages, "pswpin")), ("out", keyed(&pages, "pswpout"))];
        pair(metrics, PAGING_OPERATIONS, metric::PAGING_DIRECTION, swapped);
    }

    fn container(&self, now: UnixNanos) -> Vec<Metric> {
        let Usage { cpu, memory, memory_limit, resident, inactive_file, faults, disk, pressure } =
            cgroup::read(&self.cgroup, &self.text("self/cgroup"), self.ticks);
        let mut metrics = Metrics::new(UnixNanos::ZERO, now);
        let nanos = |at: usize| seconds(cpu.and_then(|cpu| cpu.get(at).copied()), 1_000_000_000);
        metrics.counter(
            CONTAINER_CPU,
            &[(nanos(0), &[(metric::CPU_MODE, "user")]), (nanos(1), &[(metric::CPU_MODE, "system")])],
        );
        metrics.amount(CONTAINER_MEMORY, &[(whole(memory), &[])]);
        let available = memory_limit.zip(memory).map(|(limit, used)| limit.saturating_sub(used));
        metrics.amount(CONTAINER_AVAILABLE, &[(whole(available), &[])]);
        metrics.amount(CONTAINER_RESIDENT, &[(whole(resident), &[])]);
        let working = memory.zip(inactive_file).map(|(used, file)| used.saturating_sub(file));
        metrics.amount(CONTAINER_WORKING, &[(whole(working), &[])]);
        let [minor, major] = faults.map_or([None; 2], |both| both.map(Some));
        pair(&mut metrics, CONTAINER_FAULTS, metric::FAULT, [("minor", minor), ("major", major)]);
        let [read, written] = disk.map_or([None; 2], |both| both.map(Some));
        pair(&mut metrics, CONTAINER_DISK, metric::DISK_DIRECTION, [("read", read), ("write", written)]);
        pressures(&mut metrics, pressure);
        metrics.list
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

/// A counter of two kinds.
fn pair(metrics: &mut Metrics, kind: metric::Kind, key: &'static str, both: [(&str, Option<u64>); 2]) {
    let rows = both.map(|(label, value)| (whole(value), [(key, label)]));
    metrics.counter(kind, &labelled(&rows));
}

/// An amount in several states.
fn points(metrics: &mut Metrics, kind: metric::Kind, key: &'static str, states: &[(&str, Option<u64>)]) {
    let rows: Vec<_> = states.iter().map(|(label, value)| (whole(*value), [(key, *label)])).collect();
    metrics.amount(kind, &labelled(&rows));
}

/// How long tasks waited for processors, memory and disks: some of them, or all.
fn pressures(metrics: &mut Metrics, of: [[Option<u64>; 2]; 3]) {
    let rows = ["cpu", "memory", "io"].into_iter().zip(of).flat_map(|(resource, both)| {
        ["some", "full"].into_iter().zip(both).map(move |(tasks, micros)| {
            (seconds(micros, 1_000_000), [("resource", resource), ("tasks", tasks)])
        })
    });
    let rows: Vec<_> = rows.collect();
    metrics.counter(PRESSURE, &labelled(&rows));
}

const PROCESS_CPU: metric::Kind = ("process.cpu.time", "s", "Time on processors.");
const PROCESS_MEMORY: metric::Kind = ("process.memory.usage", "By", "Memory that is resident.");
const PROCESS_VIRTUAL: metric::Kind = ("process.memory.virtual", "By", "Memory that is mapped.");
const PROCESS_THREADS: metric::Kind = ("process.thread.count", "{thread}", "Threads.");
const PROCESS_FILES: metric::Kind =
    ("process.unix.file_descriptor.count", "{file_descriptor}", "Open files.");
const PROCESS_FAULTS: metric::Kind = ("process.paging.faults", "{fault}", "Pages that were not there.");
const PROCESS_DISK: metric::Kind = ("process.disk.io", "By", "Bytes from and to disks.");
const PROCESS_SWITCHES: metric::Kind =
    ("process.context_switches", "{context_switch}", "Times it left a processor.");
const PROCESS_UPTIME: metric::Kind = ("process.uptime", "s", "Time since it started.");
const CPU_TIME: metric::Kind = ("system.cpu.time", "s", "Time of each processor, by what it did.");
const CPU_COUNT: metric::Kind = ("system.cpu.logical.count", "{cpu}", "Processors.");
const MEMORY_USAGE: metric::Kind = ("system.memory.usage", "By", "Memory by what it is used for.");
const MEMORY_LIMIT: metric::Kind = ("system.memory.limit", "By", "Memory there is.");
const MEMORY_AVAILABLE: metric::Kind =
    ("system.memory.linux.available", "By", "Memory that programs can get without paging.");
const PAGING_USAGE: metric::Kind = ("system.paging.usage", "By", "Memory on disk.");
const PAGING_FAULTS: metric::Kind = ("system.paging.faults", "{fault}", "Pages that were not there.");
const PAGING_OPERATIONS: metric::Kind = ("system.paging.operations", "{operation}", "Pages moved.");
const NETWORK_IO: metric::Kind = ("system.network.io", "By", "Bytes through interfaces.");
const NETWORK_PACKETS: metric::Kind =
    ("system.network.packet.count", "{packet}", "Packets through interfaces.");
const NETWORK_ERRORS: metric::Kind = ("system.network.errors", "{error}", "Errors of interfaces.");
const NETWORK_DROPS: metric::Kind =
    ("system.network.packet.dropped", "{packet}", "Packets that interfaces dropped.");
const DISK_IO: metric::Kind = ("system.disk.io", "By", "Bytes from and to disks.");
const DISK_OPERATIONS: metric::Kind = ("system.disk.operations", "{operation}", "Operations of disks.");
const PROCESSES_CREATED: metric::Kind = ("system.process.created", "{process}", "Processes started.");
const UPTIME: metric::Kind = ("system.uptime", "s", "Time since the machine started.");
const CONTAINER_CPU: metric::Kind = ("container.cpu.time", "s", "Time on processors.");
const CONTAINER_MEMORY: metric::Kind = ("container.memory.usage", "By", "Memory used.");
const CONTAINER_AVAILABLE: metric::Kind = ("container.memory.available", "By", "Memory up to the limit.");
const CONTAINER_RESIDENT: metric::Kind = ("container.memory.rss", "By", "Memory that is of no file.");
const CONTAINER_WORKING: metric::Kind =
    ("container.memory.working_set", "By", "Memory less file pages not used lately.");
const CONTAINER_FAULTS: metric::Kind =
    ("container.memory.paging.faults", "{fault}", "Pages that were not there.");
const CONTAINER_DISK: metric::Kind = ("container.disk.io", "By", "Bytes from and to disks.");
const PRESSURE: metric::Kind = ("otlp.host.pressure", "s", "Time that tasks waited for a resource.");
const LOADS: [metric::Kind; 3] = [
    ("otlp.host.load.1m", "{task}", "Tasks that ran or wanted to, over a minute."),
    ("otlp.host.load.5m", "{task}", "Tasks that ran or wanted to, over five minutes."),
    ("otlp.host.load.15m", "{task}", "Tasks that ran or wanted to, over fifteen minutes."),
];
