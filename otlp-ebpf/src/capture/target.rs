//! Whose traffic is wanted: ports, processes by number or name, control groups; read from `/proc`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Targets {
    pub(super) ports: BTreeSet<u16>,
    pub(super) not_ports: BTreeSet<u16>,
    pub(super) pids: BTreeSet<u32>,
    pub(super) names: BTreeSet<String>,
    pub(super) groups: Vec<PathBuf>,
}

impl Targets {
    /// Whether everything is wanted that the hooks see.
    pub(super) fn is_all(&self) -> bool {
        self.ports.is_empty() && self.pids.is_empty() && self.names.is_empty()
    }

    /// Whether what is wanted depends on which processes there are.
    pub(super) fn names_processes(&self) -> bool {
        !(self.pids.is_empty() && self.names.is_empty())
    }

    /// What that means with the processes that run now.
    pub(super) fn resolve(&self, owners: &[Owner]) -> Resolved {
        let mut resolved = Resolved { ports: self.ports.clone(), pids: self.pids.clone() };
        for owner in owners {
            let is_named = self.pids.contains(&owner.pid) || self.names.contains(&owner.name);
            if is_named {
                resolved.ports.extend(&owner.listens);
            }
            if is_named || owner.listens.iter().any(|port| self.ports.contains(port)) {
                resolved.pids.insert(owner.pid);
            }
        }
        resolved.ports.retain(|port| !self.not_ports.contains(port));
        resolved
    }
}

/// Ports and processes that are wanted now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) ports: BTreeSet<u16>,
    pub(super) pids: BTreeSet<u32>,
}

/// A process that runs, and the TCP ports that it listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) pid: u32,
    pub(super) name: String,
    pub(super) listens: BTreeSet<u16>,
}

/// Processes looked at, and open files of one, at most.
const MOST_PROCESSES: usize = 1 << 16;
const MOST_FILES: usize = 1 << 16;

/// The processes that run. Costs a look at each open file of each that may be looked into.
pub(super) fn owners(proc: &Path) -> Vec<Owner> {
    let Ok(folders) = fs::read_dir(proc) else { return Vec::new() };
    let pids = folders.flatten().filter_map(|folder| folder.file_name().to_str()?.parse::<u32>().ok());
    // By network namespace, each of which has ports of its own.
    let mut networks = BTreeMap::new();
    pids.take(MOST_PROCESSES)
        .filter_map(|pid| owner(&proc.join(pid.to_string()), pid, &mut networks))
        .collect()
}

/// Ports by the inodes of the sockets that listen on them.
type Listening = BTreeMap<u64, u16>;

fn owner(process: &Path, pid: u32, networks: &mut BTreeMap<PathBuf, Listening>) -> Option<Owner> {
    let name = fs::read_to_string(process.join("comm")).ok()?.trim_end().to_owned();
    // Where we may not look, we see nothing that it listens on.
    let network = fs::read_link(process.join("ns/net")).unwrap_or_default();
    let listening = networks.entry(network).or_insert_with(|| {
        let tables =
            ["net/tcp", "net/tcp6"].iter().filter_map(|name| fs::File::open(process.join(name)).ok());
        tables.flat_map(|table| listening(BufReader::new(table))).collect()
    });
    let mut listens = BTreeSet::new();
    if !listening.is_empty()
        && let Ok(files) = fs::read_dir(process.join("fd"))
    {
        let inodes =
            files.flatten().take(MOST_FILES).filter_map(|file| socket(&fs::read_link(file.path()).ok()?));
        listens.extend(inodes.filter_map(|inode| listening.get(&inode)));
    }
    Some(Owner { pid, name, listens })
}

/// The number in `socket:[4711]`.
fn socket(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The listening sockets of a text of `/proc/net/tcp`: inode and port.
fn listening(table: impl BufRead) -> Vec<(u64, u16)> {
    let read = |line: String| {
        let mut fields = line.split_ascii_whitespace();
        let (_, port) = fields.nth(1)?.split_once(':')?;
        // State 10 is that of sockets that listen.
        let is_listening = fields.nth(1)? == "0A";
        let inode = fields.nth(5)?.parse().ok()?;
        is_listening.then_some((inode, u16::from_str_radix(port, 16).ok()?))
    };
    table.lines().skip(1).map_while(Result::ok).filter_map(read).collect()
}

/// The processes of control groups, those below them included.
pub(super) fn members(groups: &[PathBuf]) -> BTreeSet<u32> {
    const MOST_GROUPS: usize = 4096;
    let mut pids = BTreeSet::new();
    let mut left: Vec<PathBuf> = groups.to_vec();
    for _ in 0..MOST_GROUPS {
        let Some(group) = left.pop() else { break };
        let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        let below = fs::read_dir(&group).into_iter().flatten().flatten();
        left.extend(
            below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()),
        );
    }
    pids
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn sockets_that_listen_are_told_from_others() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
               0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 11 1\n\
               damaged\n\
               1: 0100007F:1F90 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000  1000        0 22 1\n\
               2: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 33 1\n";
        assert_eq!(listening(table.as_bytes()), [(11, 8080), (33, 80)]);
    }

    #[test]
    fn a_process_is_found_by_what_it_listens_on_and_by_its_name() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let met = owners(Path::new("/proc"));
        let own = met.iter().find(|owner| owner.pid == std::process::id()).unwrap();
        assert!(own.listens.contains(&port), "{own:?}");

        let by_port = Targets { ports: [port].into(), ..Targets::default() };
        let right = Resolved { ports: [port].into(), pids: [own.pid].into() };
        assert_eq!(by_port.resolve(&met), right);
        let by_pid = Targets { pids: [own.pid].into(), ..Targets::default() };
        assert!(by_pid.resolve(&met).ports.contains(&port));
        let by_name =
            Targets { names: [own.name.clone()].into(), not_ports: [port].into(), ..Targets::default() };
        let met = by_name.resolve(&met);
        assert!(met.pids.contains(&own.pid) && !met.ports.contains(&port));
        assert!(Targets::default().is_all() && !by_name.is_all() && by_name.names_processes());
    }
}
