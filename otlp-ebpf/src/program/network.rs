//! The hook at the sockets of control groups: TCP segments in and out.

use std::fs::File;
use std::path::PathBuf;

use aya::programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, ProgramType};
use aya::sys::{BpfHelper, is_helper_supported};

use super::{Loaded, Settings, failed, load, no_program, object};
use crate::error::Result;

const HOOK: &str = "network";

/// Loads the programs and attaches them to these control groups, and so to those below them.
pub(crate) fn attach(settings: &Settings, groups: &[PathBuf]) -> Result<Loaded> {
    // Linux has it for these programs since 6.15; before, all loopback networks are taken for one.
    let netns = is_helper_supported(ProgramType::CgroupSkb, BpfHelper::BPF_FUNC_get_netns_cookie);
    let flags = [("HAS_NETNS", netns.unwrap_or(false)), ("SKIP_TLS", settings.skip_tls)];
    let mut ebpf = load(object!("network.o"), HOOK, settings, &flags, &[])?;
    for (name, way) in
        [("network_out", CgroupSkbAttachType::Egress), ("network_in", CgroupSkbAttachType::Ingress)]
    {
        let program = ebpf.program_mut(name).ok_or_else(|| no_program(HOOK, name))?;
        let program: &mut CgroupSkb = program.try_into().map_err(|error| failed(HOOK, name, error))?;
        program.load().map_err(|error| failed(HOOK, "loading its programs", error))?;
        for group in groups {
            let what = format!("opening the control group {}", group.display());
            let group = File::open(group).map_err(|error| failed(HOOK, &what, error))?;
            // A link takes no mode, and stands beside others: each sees everything. Kernels that have rings have links.
            program
                .attach(&group, way, CgroupAttachMode::Single)
                .map_err(|error| failed(HOOK, "attaching to the control group", error))?;
        }
    }
    Loaded::new(ebpf, HOOK)
}
