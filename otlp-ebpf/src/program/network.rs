//! The hook at the sockets of control groups: TCP segments in and out.

use std::fs::File;
use std::path::PathBuf;

use aya::Ebpf;
use aya::programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType};

use super::{Loaded, Settings, failed, load, no_program, object};
use crate::error::Result;

const HOOK: &str = "network";

/// Loads the programs and attaches them to these control groups, and so to those below them.
pub(crate) fn attach(settings: &Settings, groups: &[PathBuf]) -> Result<Loaded> {
    // Linux tells these programs the network since 6.15; before, all loopback networks are taken for one. What is known of
    // helpers without loading the program is not to be relied on.
    attach_with(settings, groups, true).or_else(|_| attach_with(settings, groups, false))
}

fn attach_with(settings: &Settings, groups: &[PathBuf], has_netns: bool) -> Result<Loaded> {
    let flags = [("HAS_NETNS", has_netns), ("SKIP_TLS", settings.skip_tls)];
    let mut ebpf = load(object!("network.o"), HOOK, settings, &flags, &[])?;
    attach_all(&mut ebpf, HOOK, groups, ["network_out", "network_in"])?;
    Loaded::new(ebpf, HOOK)
}

/// Attaches what looks at packets on their way out and in to these control groups.
pub(super) fn attach_all(
    ebpf: &mut Ebpf,
    hook: &'static str,
    groups: &[PathBuf],
    [out, into]: [&'static str; 2],
) -> Result<()> {
    for (name, way) in [(out, CgroupSkbAttachType::Egress), (into, CgroupSkbAttachType::Ingress)] {
        let program = ebpf.program_mut(name).ok_or_else(|| no_program(hook, name))?;
        let program: &mut CgroupSkb = program.try_into().map_err(|error| failed(hook, name, error))?;
        program.load().map_err(|error| failed(hook, "loading its programs", error))?;
        for group in groups {
            let what = format!("opening the control group {}", group.display());
            let group = File::open(group).map_err(|error| failed(hook, &what, error))?;
            // A link takes no mode, and stands beside others: each sees everything. Kernels that have rings have links.
            program
                .attach(&group, way, CgroupAttachMode::Single)
                .map_err(|error| failed(hook, "attaching to the control group", error))?;
        }
    }
    Ok(())
}
