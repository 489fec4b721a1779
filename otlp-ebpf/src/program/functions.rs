//! The hooks at the kernel's functions of TCP: fentry and fexit, or kprobes and kretprobes.

use std::fmt::Display;
use std::path::Path;

use aya::programs::{FEntry, FExit, KProbe, Program};
use aya::{Btf, Ebpf};

use super::{failed, no_program};
use crate::error::{Error, ErrorKind, Result};

const HOOK: &str = "process";

/// What stands at functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probes {
    /// A call in the room that compilers leave at the beginning of each function (Linux 5.17).
    Fentry,
    /// A breakpoint, or a jump, in place of an instruction.
    Kprobes,
}

/// Functions, and what they do in the names of the programs.
const NEEDED: [(&str, &str); 2] = [("tcp_sendmsg", "sends"), ("tcp_recvmsg", "receives")];

/// Those that not every kernel has: in others the former do their work, or their bytes leave gaps.
const OTHERS: [(&str, &str); 2] = [("tcp_sendpage", "sends_page"), ("tcp_splice_read", "splices")];

/// What a kernel with kprobes has.
const KPROBES: &str = "/sys/bus/event_source/devices/kprobe";

/// Loads the programs, and attaches them.
pub(super) fn watch(ebpf: &mut Ebpf, probes: Probes) -> Result<()> {
    let types = match probes {
        Probes::Fentry => {
            Some(Btf::from_sys_fs().map_err(|error| failed(HOOK, "reading the kernel's types", error))?)
        }
        Probes::Kprobes if Path::new(KPROBES).exists() => None,
        Probes::Kprobes => {
            let message = "kprobes: this kernel has none (CONFIG_KPROBE_EVENTS), or /sys is not mounted";
            return Err(Error::new(ErrorKind::Io, message));
        }
    };
    let mut both = |(function, what): (&str, &str)| {
        let [begin, end] = if types.is_some() { ["entry", "exit"] } else { ["probe", "return"] };
        // First where it returns: what was entered before is not known there.
        for name in [format!("{end}_{what}"), format!("{begin}_{what}")] {
            attach(ebpf, &name, function, types.as_ref())?;
        }
        Ok::<_, Error>(())
    };
    NEEDED.into_iter().try_for_each(&mut both)?;
    for function in OTHERS {
        // Nothing depends on it.
        let _ = both(function);
    }
    Ok(())
}

fn attach(ebpf: &mut Ebpf, name: &str, function: &str, types: Option<&Btf>) -> Result<()> {
    let program = ebpf.program_mut(name).ok_or_else(|| no_program(HOOK, name))?;
    let loading = |what: &dyn Display| format!("loading its program for {what}");
    let attaching = format!("attaching to {function}");
    match (program, types) {
        (Program::FEntry(entry), Some(types)) => {
            let entry: &mut FEntry = entry;
            entry.load(function, types).map_err(|error| failed(HOOK, &loading(&function), error))?;
            entry.attach().map(drop).map_err(|error| failed(HOOK, &attaching, error))
        }
        (Program::FExit(exit), Some(types)) => {
            let exit: &mut FExit = exit;
            exit.load(function, types).map_err(|error| failed(HOOK, &loading(&function), error))?;
            exit.attach().map(drop).map_err(|error| failed(HOOK, &attaching, error))
        }
        (Program::KProbe(probe), None) => {
            let probe: &mut KProbe = probe;
            probe.load().map_err(|error| failed(HOOK, &loading(&function), error))?;
            probe.attach(function, 0).map(drop).map_err(|error| failed(HOOK, &attaching, error))
        }
        _ => Err(no_program(HOOK, name)),
    }
}
