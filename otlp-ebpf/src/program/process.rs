//! The hooks at what processes call: the system calls that move bytes, and OpenSSL.

use std::collections::BTreeSet;

use aya::Ebpf;
use aya::maps::{HashMap, MapData};
use aya::programs::uprobe::UProbeScope;
use aya::programs::{RawTracePoint, UProbe};

use super::{Library, Loaded, Settings, failed, load, no_program, object};
use crate::error::{Error, ErrorKind, Result};

const HOOK: &str = "process";

/// The programs at system calls and libraries, and whose calls they look at.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) loaded: Loaded,
    pids: HashMap<MapData, u32, u32>,
    /// Given; the kernel adds children, and takes out those that ended.
    given: BTreeSet<u32>,
}

/// Processes looked at, at most; the map has as many places.
const MOST_PROCESSES: usize = 4096;

/// What is asked of the hooks at processes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Of every process.
    pub(crate) every_process: bool,
    /// The bytes of system calls.
    pub(crate) calls: bool,
    /// The plain text of TLS libraries.
    pub(crate) tls: bool,
    /// Connections followed at once.
    pub(crate) connections: u32,
}

/// Loads the programs, and attaches those at system calls; libraries come with [`Process::watch`].
pub(crate) fn attach(settings: &Settings, wanted: &Wanted) -> Result<Process> {
    let flags = [
        ("WANT_EVERY_PROCESS", wanted.every_process),
        ("WANT_CALLS", wanted.calls),
        ("WANT_TLS", wanted.tls),
    ];
    let mut ebpf =
        load(object!("process.o"), HOOK, settings, &flags, &[("CONNECTIONS", wanted.connections)])?;
    let points = [
        ("call_returns", "sys_exit"),
        ("state_changes", "inet_sock_set_state"),
        ("process_forks", "sched_process_fork"),
        ("process_exits", "sched_process_exit"),
    ];
    for (name, point) in points {
        let program = ebpf.program_mut(name).ok_or_else(|| no_program(HOOK, name))?;
        let program: &mut RawTracePoint = program.try_into().map_err(|error| failed(HOOK, name, error))?;
        program.load().map_err(|error| failed(HOOK, "loading its programs", error))?;
        program.attach(point).map_err(|error| failed(HOOK, &format!("attaching to {point}"), error))?;
    }
    if wanted.tls {
        for name in ["tls_enters", "tls_enters_ex", "tls_read_returns", "tls_write_returns", "tls_frees"] {
            uprobe(&mut ebpf, name)?
                .load()
                .map_err(|error| failed(HOOK, "loading its TLS programs", error))?;
        }
    }
    let pids =
        ebpf.take_map("PIDS").ok_or_else(|| Error::new(ErrorKind::Malformed, "process: no map PIDS"))?;
    let pids = HashMap::try_from(pids).map_err(|error| failed(HOOK, "its processes", error))?;
    Ok(Process { loaded: Loaded::new(ebpf, HOOK)?, pids, given: BTreeSet::new() })
}

fn uprobe<'e>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut UProbe> {
    let program = ebpf.program_mut(name).ok_or_else(|| no_program(HOOK, name))?;
    program.try_into().map_err(|error| failed(HOOK, name, error))
}

impl Process {
    /// Sets whose calls are looked at. The children of these are added by the kernel as they are born.
    ///
    /// Says how many found no room.
    pub(crate) fn set_processes(&mut self, pids: &BTreeSet<u32>) -> usize {
        let gone: Vec<u32> = self.given.difference(pids).copied().collect();
        for pid in gone {
            // It may have ended, and been taken out by the kernel.
            let _ = self.pids.remove(&pid);
            self.given.remove(&pid);
        }
        let mut left_out = 0;
        for pid in pids {
            let is_in = self.given.contains(pid)
                || (self.given.len() < MOST_PROCESSES && self.pids.insert(pid, 1, 0).is_ok());
            if is_in {
                self.given.insert(*pid);
            } else {
                left_out += 1;
            }
        }
        left_out
    }

    /// Watches what processes read and write through this library.
    pub(crate) fn watch(&mut self, library: &Library) -> Result<()> {
        let Some(ebpf) = self.loaded.ebpf.as_mut() else { return Ok(()) };
        let points = [
            ("SSL_read", "tls_enters", "tls_read_returns", true),
            ("SSL_write", "tls_enters", "tls_write_returns", true),
            // Of OpenSSL 1.1.1 and later.
            ("SSL_read_ex", "tls_enters_ex", "tls_read_returns", false),
            ("SSL_write_ex", "tls_enters_ex", "tls_write_returns", false),
        ];
        for (symbol, enters, returns, is_needed) in points {
            // First where it returns: what was entered before is not known there.
            for name in [returns, enters] {
                match uprobe(ebpf, name)?.attach(symbol, &library.path, UProbeScope::AllProcesses) {
                    Err(error) if is_needed => {
                        return Err(failed(
                            "tls",
                            &format!("attaching to {symbol} of {}", library.name),
                            error,
                        ));
                    }
                    _ => {}
                }
            }
        }
        // Where it is not there, addresses used again are told apart by the calls within.
        let _ = uprobe(ebpf, "tls_frees")?.attach("SSL_free", &library.path, UProbeScope::AllProcesses);
        Ok(())
    }
}
