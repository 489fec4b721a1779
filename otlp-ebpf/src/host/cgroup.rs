//! The control group of a process: where its files are (version 1, 2, or both at once), and what they say.

use std::fs;
use std::path::{Path, PathBuf};

use super::text::{keyed, lines, only, pressure};

/// What a control group has used; each only where its file says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Nanoseconds in user and kernel mode.
    pub(super) cpu: Option<[u64; 2]>,
    pub(super) memory: Option<u64>,
    /// None where there is no limit.
    pub(super) memory_limit: Option<u64>,
    pub(super) resident: Option<u64>,
    /// File pages that can be dropped first.
    pub(super) inactive_file: Option<u64>,
    pub(super) faults: Option<[u64; 2]>,
    /// Bytes read and written.
    pub(super) disk: Option<[u64; 2]>,
    /// Microseconds waited for processors, memory and disks; some and all.
    pub(super) pressure: [[Option<u64>; 2]; 3],
}

/// The path of a process's group for a controller of version 1, or of version 2 where that is empty.
pub(super) fn path<'a>(text: &'a str, controller: &str) -> Option<&'a str> {
    lines(text).find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let is_its = if controller.is_empty() {
            controllers.is_empty()
        } else {
            controllers.split(',').any(|met| met == controller)
        };
        // A path cannot leave the folder that groups are in.
        (is_its && path.starts_with('/') && !path.split('/').any(|part| part == "..")).then_some(path)
    })
}

/// Reads what it finds below `root`, for the process whose `cgroup` text this is.
pub(super) fn read(root: &Path, text: &str, ticks: u64) -> Usage {
    let folder = |mounts: &[&str], controller: &str, file: &str| -> Option<PathBuf> {
        let path = path(text, controller)?.trim_start_matches('/');
        mounts.iter().map(|mount| root.join(mount)).find_map(|mount| {
            // Seen from inside a container, its own group is the root.
            [mount.join(path), mount].into_iter().find(|folder| folder.join(file).is_file())
        })
    };
    let mut usage = Usage::default();
    if let Some(folder) = folder(&["", "unified"], "", "cpu.stat") {
        unified(&mut usage, &folder);
    }
    if let Some(folder) = folder(&["cpuacct", "cpu,cpuacct", "cpuacct,cpu"], "cpuacct", "cpuacct.stat") {
        usage.cpu = usage.cpu.or_else(|| {
            let text = file(&folder, "cpuacct.stat")?;
            let nanos = |key| Some(keyed(&text, key)?.checked_mul(1_000_000_000)? / ticks.max(1));
            Some([nanos("user")?, nanos("system")?])
        });
    }
    if let Some(folder) = folder(&["memory"], "memory", "memory.usage_in_bytes") {
        memory_of_version_1(&mut usage, &folder);
    }
    if let Some(folder) = folder(&["blkio"], "blkio", "blkio.throttle.io_service_bytes") {
        usage.disk = usage.disk.or_else(|| {
            file(&folder, "blkio.throttle.io_service_bytes").and_then(|text| service_bytes(&text))
        });
    }
    usage
}

fn unified(usage: &mut Usage, folder: &Path) {
    let micros = |text: &str, key| keyed(text, key)?.checked_mul(1000);
    usage.cpu = file(folder, "cpu.stat")
        .and_then(|text| Some([micros(&text, "user_usec")?, micros(&text, "system_usec")?]));
    usage.memory = file(folder, "memory.current").and_then(|text| only(&text));
    usage.memory_limit = file(folder, "memory.max").and_then(|text| only(&text));
    if let Some(text) = file(folder, "memory.stat") {
        usage.resident = keyed(&text, "anon");
        usage.inactive_file = keyed(&text, "inactive_file");
        usage.faults = faults(&text, "pgfault", "pgmajfault");
    }
    usage.disk = file(folder, "io.stat").and_then(|text| io_stat(&text));
    let pressures = ["cpu.pressure", "memory.pressure", "io.pressure"];
    usage.pressure = pressures.map(|name| file(folder, name).map_or([None, None], |text| pressure(&text)));
}

fn memory_of_version_1(usage: &mut Usage, folder: &Path) {
    /// What stands there for no limit is this, rounded down to pages.
    const NO_LIMIT: u64 = 1 << 62;
    let number = |name| file(folder, name).and_then(|text| only(&text));
    usage.memory = usage.memory.or_else(|| number("memory.usage_in_bytes"));
    usage.memory_limit =
        usage.memory_limit.or_else(|| number("memory.limit_in_bytes").filter(|limit| *limit < NO_LIMIT));
    if let Some(text) = file(folder, "memory.stat") {
        usage.resident = usage.resident.or_else(|| keyed(&text, "total_rss"));
        usage.inactive_file = usage.inactive_file.or_else(|| keyed(&text, "total_inactive_file"));
        usage.faults = usage.faults.or_else(|| faults(&text, "total_pgfault", "total_pgmajfault"));
    }
}

/// Faults that needed no disk, and those that did.
pub(super) fn faults(text: &str, all: &str, major: &str) -> Option<[u64; 2]> {
    let major = keyed(text, major)?;
    Some([keyed(text, all)?.checked_sub(major)?, major])
}

/// Bytes read and written over all devices: `8:0 rbytes=1 wbytes=2 ..`; none where no device is named.
fn io_stat(text: &str) -> Option<[u64; 2]> {
    let words = || lines(text).flat_map(str::split_ascii_whitespace);
    let sum = |key| {
        let numbers = words().filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok());
        numbers.reduce(u64::saturating_add)
    };
    Some([sum("rbytes=")?, sum("wbytes=")?])
}

/// The same of version 1: `8:0 Read 1`.
fn service_bytes(text: &str) -> Option<[u64; 2]> {
    let sum = |kind: &str| {
        let of_kind = |line: &str| {
            let mut words = line.split_ascii_whitespace().skip(1);
            (words.next()? == kind).then(|| words.next()?.parse::<u64>().ok())?
        };
        lines(text).filter_map(of_kind).reduce(u64::saturating_add)
    };
    Some([sum("Read")?, sum("Write")?])
}

fn file(folder: &Path, name: &str) -> Option<String> {
    fs::read_to_string(folder.join(name)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOTH: &str = "9:name=systemd:/\n4:memory:/shop/7\n2:cpu,cpuacct:/\n0::/shop.slice\n";

    #[test]
    fn groups_are_found_by_their_controllers() {
        assert_eq!((path(BOTH, "memory"), path(BOTH, "cpuacct")), (Some("/shop/7"), Some("/")));
        assert_eq!((path(BOTH, ""), path(BOTH, "blkio")), (Some("/shop.slice"), None));
        assert_eq!(path("0::/../../etc\n", ""), None, "not out of the folder of groups");
        assert_eq!(path("0::/cut", ""), None);
    }

    #[test]
    fn devices_are_summed_and_none_is_no_zero() {
        assert_eq!(io_stat("8:0 rbytes=1 wbytes=2 rios=9\n8:16 rbytes=10 wbytes=20\n"), Some([11, 22]));
        assert_eq!(service_bytes("8:0 Read 5\n8:0 Write 6\n8:16 Read 7\nTotal 18\n"), Some([12, 6]));
        assert_eq!((io_stat(""), service_bytes("Total 0\n")), (None, None));
        assert_eq!(faults("pgfault 10\npgmajfault 3\n", "pgfault", "pgmajfault"), Some([7, 3]));
        assert_eq!(faults("pgfault 1\npgmajfault 3\n", "pgfault", "pgmajfault"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_reader_panic(text in "([0-9]{1,20}|[a-z_=]{0,9}|[ \n:/.,]|Read|\\PC){0,40}") {
            path(&text, "memory");
            path(&text, "");
            io_stat(&text);
            service_bytes(&text);
            faults(&text, "a", "b");
        }
    }
}
