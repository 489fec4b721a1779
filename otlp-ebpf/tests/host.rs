//! Metrics of processes, containers and hosts: from frozen texts to the last number, and from this machine.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use otlp_core::UnixNanos;
use otlp_core::record::{AnyValue, Metric, MetricData, NumberPoint, NumberValue};
use otlp_ebpf::ErrorKind;
use otlp_ebpf::host::{Host, Reading};

/// A folder laid out as `/proc` and the control groups are; gone with the test.
struct Frozen(PathBuf);

impl Frozen {
    fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("otlp-ebpf-host-{}-{number}", std::process::id()));
        let frozen = Self(root);
        frozen.put("proc/stat", STAT).put("proc/meminfo", MEMINFO).put("proc/77/stat", &process(500));
        frozen
    }

    fn put(&self, name: &str, text: &str) -> &Self {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn host(&self) -> Host {
        Host::at(self.0.join("proc"), self.0.join("cgroup"))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

const STAT: &str = "cpu  4 4 4 4 4 4 4 4 0 0\ncpu0 100 200 300 400 500 600 700 800 0 0\ncpu1 1 2 3 4 5 6 7 8 0 0\nbtime 1000000\nprocesses 4711\n";
const MEMINFO: &str = "MemTotal: 1000 kB\nMemFree: 300 kB\nMemAvailable: 600 kB\nBuffers: 50 kB\nCached: 200 kB\nSReclaimable: 10 kB\nSwapTotal: 100 kB\nSwapFree: 90 kB\n";
const NOW: UnixNanos = UnixNanos::from_secs(1_000_105);

/// A process that started so many ticks after the machine.
fn process(started: u64) -> String {
    format!("77 (shop (x)) S 1 77 77 0 -1 0 15 0 3 0 250 50 0 0 20 0 4 0 {started} 8192 2 0 0\n")
}

fn find<'a>(metrics: &'a [Metric], name: &str) -> &'a [NumberPoint] {
    let metric = metrics.iter().find(|metric| metric.name == name);
    match metric.and_then(|metric| metric.data.as_ref()) {
        Some(MetricData::Sum(sum)) => &sum.points,
        Some(MetricData::Gauge(gauge)) => &gauge.points,
        _ => &[],
    }
}

fn value(metrics: &[Metric], name: &str, labels: &[&str]) -> Option<f64> {
    let has = |point: &&NumberPoint| {
        labels.iter().all(|label| {
            let is = |value: &AnyValue| {
                value.as_str() == Some(label)
                    || value.as_int().map(|number| number.to_string()).as_deref() == Some(label)
            };
            point.attributes.iter().any(|met| is(&met.value))
        })
    };
    find(metrics, name).iter().find(has)?.value.map(NumberValue::as_f64)
}

#[test]
fn a_frozen_process_is_told_to_the_last_number() {
    let frozen = Frozen::new();
    frozen
        .put("proc/77/comm", "shop (x)\n")
        .put("proc/77/io", "rchar: 1\nread_bytes: 4096\nwrite_bytes: 512\n")
        .put("proc/77/status", "Name:\tshop\nvoluntary_ctxt_switches:\t8\nnonvoluntary_ctxt_switches:\t9\n")
        .put("proc/77/fd/0", "")
        .put("proc/77/fd/1", "");
    let mut host = frozen.host();
    host.watch(77).unwrap();
    let reading = host.read(NOW);
    let [process] = reading.processes.as_slice() else { panic!("{reading:?}") };
    let is = |name, labels: &[&str]| value(&process.metrics, name, labels).unwrap();
    assert_eq!((is("process.cpu.time", &["user"]), is("process.cpu.time", &["system"])), (2.5, 0.5));
    assert_eq!(is("process.memory.virtual", &[]), 8192.0);
    assert_eq!(is("process.memory.usage", &[]) % 2.0, 0.0);
    assert_eq!((is("process.thread.count", &[]), is("process.unix.file_descriptor.count", &[])), (4.0, 2.0));
    assert_eq!(
        (is("process.paging.faults", &["minor"]), is("process.paging.faults", &["major"])),
        (15.0, 3.0)
    );
    assert_eq!((is("process.disk.io", &["read"]), is("process.disk.io", &["write"])), (4096.0, 512.0));
    assert_eq!(is("process.context_switches", &["involuntary"]), 9.0);
    assert_eq!(is("process.uptime", &[]), 100.0);
    let point = &find(&process.metrics, "process.cpu.time")[0];
    assert_eq!((point.start, point.time), (UnixNanos::from_secs(1_000_005), NOW));
    assert_eq!(process.resource.attributes[1].value.as_str(), Some("shop (x)"));
}

#[test]
fn a_frozen_host_is_told_to_the_last_number() {
    let frozen = Frozen::new();
    frozen
        .put("proc/vmstat", "pgfault 100\npgmajfault 7\npswpin 1\npswpout 2\n")
        .put("proc/net/dev", "Inter\n  eth0: 10 11 12 13 0 0 0 0 20 21 22 23 0 0 0 0\n")
        .put("proc/diskstats", " 8 0 sda 5 0 8 0 6 0 16 0 0 0 0\n")
        .put("proc/loadavg", "0.5 1.5 2.5 1/2 3\n")
        .put("proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\n");
    let Reading { system, .. } = frozen.host().read(NOW);
    let is = |name, labels: &[&str]| value(&system, name, labels).unwrap();
    assert_eq!((is("system.cpu.time", &["0", "user"]), is("system.cpu.time", &["1", "idle"])), (1.0, 0.04));
    assert_eq!(
        (is("system.cpu.time", &["0", "interrupt"]), is("system.cpu.logical.count", &[])),
        (13.0, 2.0)
    );
    let kibibytes = |state| is("system.memory.usage", &[state]) / 1024.0;
    assert_eq!(["used", "free", "buffers", "cached"].map(kibibytes), [440.0, 300.0, 50.0, 210.0]);
    assert_eq!(is("system.memory.limit", &[]), 1_024_000.0);
    assert_eq!(is("system.memory.linux.available", &[]), 614_400.0);
    assert_eq!(
        (is("system.paging.faults", &["minor"]), is("system.paging.operations", &["out"])),
        (93.0, 2.0)
    );
    assert_eq!(is("system.paging.usage", &["used"]), 10_240.0);
    assert_eq!(
        (is("system.network.io", &["eth0", "receive"]), is("system.network.io", &["transmit"])),
        (10.0, 20.0)
    );
    assert_eq!(is("system.network.packet.dropped", &["transmit"]), 23.0);
    assert_eq!(
        (is("system.disk.io", &["sda", "write"]), is("system.disk.operations", &["read"])),
        (8192.0, 5.0)
    );
    assert_eq!((is("otlp.host.load.5m", &[]), is("otlp.host.pressure", &["memory", "some"])), (1.5, 2.5));
    assert_eq!((is("system.process.created", &[]), is("system.uptime", &[])), (4711.0, 105.0));
    assert_eq!(find(&system, "otlp.host.pressure").len(), 1, "what is not told is no zero");
}

#[test]
fn a_number_used_again_is_another_process() {
    let frozen = Frozen::new();
    let mut host = frozen.host();
    host.watch(77).unwrap();
    assert_eq!((host.read(NOW).processes.len(), host.read(NOW).ended.len()), (1, 0));
    frozen.put("proc/77/stat", &process(501));
    let reading = host.read(NOW);
    assert_eq!((reading.processes.len(), reading.ended.as_slice()), (0, [77].as_slice()));
    assert_eq!(host.read(NOW).ended, [] as [u32; 0], "told once");
    host.watch(77).unwrap();
    let start = find(&host.read(NOW).processes[0].metrics, "process.cpu.time")[0].start;
    assert_eq!(start, UnixNanos::from_millis(1_000_005_010), "and counts from its own start");
}

#[test]
fn a_process_at_its_end_holds_nothing_that_is_told() {
    let frozen = Frozen::new();
    let mut host = frozen.host();
    host.watch(77).unwrap();
    let told = |host: &mut Host| {
        let metrics = &host.read(NOW).processes[0].metrics;
        ["process.memory.usage", "process.memory.virtual", "process.cpu.time"]
            .map(|name| metrics.iter().any(|metric| metric.name == name))
    };
    assert_eq!(told(&mut host), [true, true, true]);
    frozen.put("proc/77/stat", &process(500).replace("8192 2", "0 0"));
    assert_eq!(told(&mut host), [false, false, true]);
}

#[test]
fn texts_cut_off_leave_metrics_out() {
    let frozen = Frozen::new();
    for cut in 0..STAT.len() {
        frozen.put("proc/stat", &STAT[..cut]);
        for point in find(&frozen.host().read(NOW).system, "system.cpu.time") {
            let whole = point.value.map(NumberValue::as_f64).unwrap();
            assert!((whole * 100.0).round() / 100.0 == whole && point.attributes.len() == 2);
        }
    }
    frozen.put("proc/stat", "").put("proc/meminfo", "MemTotal: 10");
    let reading = frozen.host().read(NOW);
    assert_eq!((reading.system, reading.container), (Vec::new(), Vec::new()));
    frozen.put("proc/77/stat", &process(1)[..30]);
    let error = frozen.host().watch(77).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert_eq!(frozen.host().watch(78).unwrap_err().kind(), ErrorKind::Io);
    frozen.put("proc/77/stat", &process(1));
    let mut full = frozen.host().max_processes(1);
    full.watch(77).unwrap();
    full.watch(77).unwrap();
    assert_eq!(full.watch(78).unwrap_err().kind(), ErrorKind::Limit);
    full.forget(77);
    assert_eq!(full.watch(78).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn control_groups_of_both_versions_are_read() {
    let second = Frozen::new();
    second
        .put("proc/self/cgroup", "0::/shop.slice/a\n")
        .put("cgroup/shop.slice/a/cpu.stat", "usage_usec 30\nuser_usec 2000000\nsystem_usec 500000\n")
        .put("cgroup/shop.slice/a/memory.current", "1000\n")
        .put("cgroup/shop.slice/a/memory.max", "4000\n")
        .put("cgroup/shop.slice/a/memory.stat", "anon 600\ninactive_file 100\npgfault 9\npgmajfault 2\n")
        .put("cgroup/shop.slice/a/io.stat", "8:0 rbytes=5 wbytes=6\n")
        .put("cgroup/shop.slice/a/cpu.pressure", "some avg10=0 avg60=0 avg300=0 total=1000000\n");
    let first = Frozen::new();
    first
        .put("proc/self/cgroup", "3:cpu,cpuacct:/a\n2:memory:/a\n1:blkio:/a\n")
        .put("cgroup/cpu,cpuacct/a/cpuacct.stat", "user 200\nsystem 50\n")
        .put("cgroup/memory/a/memory.usage_in_bytes", "1000\n")
        .put("cgroup/memory/a/memory.limit_in_bytes", "4000\n")
        .put(
            "cgroup/memory/a/memory.stat",
            "total_rss 600\ntotal_inactive_file 100\ntotal_pgfault 9\ntotal_pgmajfault 2\n",
        )
        .put("cgroup/blkio/a/blkio.throttle.io_service_bytes", "8:0 Read 5\n8:0 Write 6\n");
    // Both at once: time by version 2, memory by version 1.
    let hybrid = Frozen::new();
    hybrid
        .put("proc/self/cgroup", "2:memory:/elsewhere\n0::/elsewhere\n")
        .put("cgroup/unified/cpu.stat", "user_usec 2000000\nsystem_usec 500000\n")
        .put("cgroup/memory/memory.usage_in_bytes", "1000\n")
        .put("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    for (frozen, rest) in [(&second, true), (&first, true), (&hybrid, false)] {
        let Reading { container, .. } = frozen.host().read(NOW);
        let is = |name, labels: &[&str]| value(&container, name, labels);
        assert_eq!(
            (is("container.cpu.time", &["user"]), is("container.cpu.time", &["system"])),
            (Some(2.0), Some(0.5))
        );
        assert_eq!(is("container.memory.usage", &[]), Some(1000.0));
        let some = |number: f64| rest.then_some(number);
        assert_eq!(is("container.memory.available", &[]), some(3000.0));
        assert_eq!(
            (is("container.memory.rss", &[]), is("container.memory.working_set", &[])),
            (some(600.0), some(900.0))
        );
        assert_eq!(is("container.memory.paging.faults", &["minor"]), some(7.0));
        assert_eq!(
            (is("container.disk.io", &["read"]), is("container.disk.io", &["write"])),
            (some(5.0), some(6.0))
        );
    }
    assert_eq!(value(&second.host().read(NOW).container, "otlp.host.pressure", &["cpu"]), Some(1.0));
}

/// A child that ends with the test.
struct Running(Child);

impl Running {
    fn start(program: &str, arguments: &[&str]) -> Self {
        Self(Command::new(program).args(arguments).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn cpu(host: &mut Host, pid: u32) -> f64 {
    let reading = host.read(NOW);
    let process = reading.processes.iter().find(|process| process.pid == pid).unwrap();
    ["user", "system"].iter().filter_map(|mode| value(&process.metrics, "process.cpu.time", &[mode])).sum()
}

#[test]
#[cfg(target_os = "linux")]
fn a_child_that_works_is_seen_working_and_one_that_waits_is_not() {
    let (busy, idle) =
        (Running::start("sh", &["-c", "while :; do :; done"]), Running::start("sleep", &["60"]));
    let mut host = Host::new();
    [busy.0.id(), idle.0.id()].iter().for_each(|pid| host.watch(*pid).unwrap());
    let begun = Instant::now();
    while cpu(&mut host, busy.0.id()) < 0.1 {
        assert!(begun.elapsed() < Duration::from_secs(20), "it works, and is not seen to");
        std::thread::yield_now();
    }
    assert!(cpu(&mut host, idle.0.id()) < 0.05);
    drop(busy);
    assert_eq!(host.read(NOW).ended.len(), 1);
}

#[test]
#[cfg(target_os = "linux")]
fn memory_that_is_taken_is_seen() {
    let mut host = Host::new();
    let idle = Running::start("sleep", &["60"]);
    let (own, other) = (std::process::id(), idle.0.id());
    [own, other].iter().for_each(|pid| host.watch(*pid).unwrap());
    let used = |reading: &Reading, pid| {
        let process = reading.processes.iter().find(|process| process.pid == pid).unwrap();
        value(&process.metrics, "process.memory.usage", &[]).unwrap()
    };
    let before = host.read(NOW);
    let taken = vec![1_u8; 64 << 20];
    let after = host.read(NOW);
    assert!(used(&after, own) - used(&before, own) > f64::from(48 << 20), "{}", taken.len());
    assert!(used(&after, other) - used(&before, other) < f64::from(4 << 20));
}

#[test]
#[cfg(target_os = "linux")]
fn this_machine_says_something_of_everything() {
    let reading = Host::new().read(UnixNanos::from(std::time::SystemTime::now()));
    for name in [
        "system.cpu.time",
        "system.memory.usage",
        "system.memory.limit",
        "system.uptime",
        "system.network.io",
    ] {
        assert!(!find(&reading.system, name).is_empty(), "{name}");
    }
    assert!(value(&reading.system, "system.uptime", &[]).unwrap() > 1.0);
    assert!(Path::new("/proc/self").exists());
}
