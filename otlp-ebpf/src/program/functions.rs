//! The hooks at the kernel's functions of TCP: fentry and fexit, or kprobes and kretprobes.

use std::path::Path;

use super::{Plan, Point};
use crate::error::{Error, ErrorKind, Result};

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

/// Adds the programs at functions, the end of each before its beginning: what was entered before is not known there.
pub(super) fn watch(mut plan: Plan<'_>, probes: Probes) -> Result<Plan<'_>> {
    let [begin, end] = match probes {
        Probes::Fentry => ["entry", "exit"],
        Probes::Kprobes if Path::new(KPROBES).exists() => ["probe", "return"],
        Probes::Kprobes => {
            let message = "kprobes: this kernel has none (CONFIG_KPROBE_EVENTS), or /sys is not mounted";
            return Err(Error::new(ErrorKind::Io, message));
        }
    };
    for (function, what) in NEEDED {
        for way in [end, begin] {
            plan = plan.stand(format!("{way}_{what}"), Point::Function(function));
        }
    }
    for (function, what) in OTHERS {
        for way in [end, begin] {
            plan = plan.try_stand(format!("{way}_{what}"), Point::Function(function));
        }
    }
    Ok(plan)
}
