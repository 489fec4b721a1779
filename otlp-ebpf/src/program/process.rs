//! The hooks at what processes call: the system calls that move bytes, or the kernel's functions, and OpenSSL.

use aya::Ebpf;
use aya::programs::{RawTracePoint, UProbe};

use super::functions::{Probes, watch};
use super::uprobe::PROGRAMS;
use super::{Loaded, Pids, Settings, attach_typed, failed, load, no_program, object};
use crate::error::{Error, ErrorKind, Result};

const HOOK: &str = "process";

/// The programs at system calls and libraries, and whose calls they look at.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) loaded: Loaded,
    /// Whose calls are looked at.
    pub(crate) pids: Pids,
}

/// What is asked of the hooks at processes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Of every process.
    pub(crate) every_process: bool,
    /// The bytes of connections, and where they are seen.
    pub(crate) plain: Option<Plain>,
    /// The plain text of TLS libraries.
    pub(crate) tls: bool,
    /// Connections followed at once.
    pub(crate) connections: u32,
}

/// Where bytes are seen that are not of TLS libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plain {
    /// At the exit of system calls.
    Calls,
    /// At the functions of TCP.
    Functions(Probes),
}

/// Loads the programs, and attaches those at system calls or functions; libraries come with [`Process::watch`].
pub(crate) fn attach(settings: &Settings, wanted: &Wanted) -> Result<Process> {
    let flags = [
        ("WANT_EVERY_PROCESS", wanted.every_process),
        ("WANT_PLAIN", wanted.plain.is_some()),
        ("WANT_CALLS", wanted.plain == Some(Plain::Calls)),
        ("WANT_TLS", wanted.tls),
    ];
    let mut ebpf =
        load(object!("process.o"), HOOK, settings, &flags, &[("CONNECTIONS", wanted.connections)])?;
    let points = [
        ("state_changes", "inet_sock_set_state"),
        ("process_forks", "sched_process_fork"),
        ("process_exits", "sched_process_exit"),
    ];
    // TLS libraries are watched with the calls within.
    let needs_calls = wanted.tls || wanted.plain == Some(Plain::Calls);
    if needs_calls {
        attach_typed(&mut ebpf, HOOK, "call_returns", "sys_exit")?;
    }
    for (name, point) in points {
        let program = ebpf.program_mut(name).ok_or_else(|| no_program(HOOK, name))?;
        let program: &mut RawTracePoint = program.try_into().map_err(|error| failed(HOOK, name, error))?;
        program.load().map_err(|error| failed(HOOK, "loading its programs", error))?;
        program.attach(point).map_err(|error| failed(HOOK, &format!("attaching to {point}"), error))?;
    }
    if let Some(Plain::Functions(probes)) = wanted.plain {
        watch(&mut ebpf, probes)?;
    }
    if wanted.tls {
        for name in PROGRAMS {
            uprobe(&mut ebpf, name)?
                .load()
                .map_err(|error| failed(HOOK, "loading its TLS programs", error))?;
        }
    }
    let pids =
        ebpf.take_map("PIDS").ok_or_else(|| Error::new(ErrorKind::Malformed, "process: no map PIDS"))?;
    Ok(Process { loaded: Loaded::new(ebpf, HOOK)?, pids: Pids::new(pids, HOOK)? })
}

pub(super) fn uprobe<'e>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut UProbe> {
    let program = ebpf.program_mut(name).ok_or_else(|| no_program(HOOK, name))?;
    program.try_into().map_err(|error| failed(HOOK, name, error))
}
