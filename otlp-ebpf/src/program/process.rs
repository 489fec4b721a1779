//! The hooks at what processes call: the system calls that move bytes, or the kernel's functions, and OpenSSL.

use super::functions::{Probes, watch};
use super::uprobe::PROGRAMS;
use super::{Loaded, Pids, Point, Settings, object, plan};
use crate::error::Result;

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
    let mut plan = plan(HOOK, object!("process.o"), settings)
        .flag("FRAMES", settings.frames)
        .flag("WANT_EVERY_PROCESS", wanted.every_process)
        .flag("WANT_PLAIN", wanted.plain.is_some())
        .flag("WANT_CALLS", wanted.plain == Some(Plain::Calls))
        .flag("WANT_TLS", wanted.tls)
        .size("CONNECTIONS", wanted.connections);
    // TLS libraries are watched with the calls within.
    if wanted.tls || wanted.plain == Some(Plain::Calls) {
        plan = plan.stand("call_returns", Point::Typed("sys_exit"));
    }
    plan = plan
        .stand("state_changes", Point::Raw("inet_sock_set_state"))
        .stand("process_forks", Point::Raw("sched_process_fork"))
        .stand("process_exits", Point::Raw("sched_process_exit"));
    if let Some(Plain::Functions(probes)) = wanted.plain {
        plan = watch(plan, probes)?;
    }
    if wanted.tls {
        plan = PROGRAMS.into_iter().fold(plan, |plan, name| plan.stand(name, Point::Places));
    }
    let mut programs = settings.loader.load(&plan)?;
    let pids = Pids::new(programs.map(HOOK, "PIDS")?, HOOK)?;
    Ok(Process { loaded: Loaded::new(programs, HOOK, settings)?, pids })
}
