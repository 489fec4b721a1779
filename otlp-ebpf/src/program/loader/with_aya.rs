//! Programs loaded by aya.

use std::path::PathBuf;

use aya::programs::perf_event::{PerfEvent, PerfEventConfig, PerfEventScope, SamplePolicy, SoftwareEvent};
use aya::programs::uprobe::{UProbe, UProbeScope};
use aya::programs::{
    BtfTracePoint, CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, Program, ProgramError, RawTracePoint,
    SockOps,
};
use aya::util::{KernelVersion, online_cpus};
use aya::{Btf, Ebpf, EbpfLoader, VerifierLogLevel};

use super::{Plan, Point, Standing};
use crate::error::Result;
use crate::program::{Library, failed, no_program, open_group};

pub(super) fn load(plan: &Plan<'_>) -> Result<Ebpf> {
    let mut loader = EbpfLoader::new();
    loader.verifier_log_level(VerifierLogLevel::DISABLE);
    for (name, value) in &plan.globals {
        loader.override_global(name, value.as_slice(), true);
    }
    for (name, entries) in &plan.sizes {
        loader.map_max_entries(name, *entries);
    }
    let mut ebpf = loader.load(&plan.object).map_err(|error| failed(plan.hook, "loading", error))?;
    let mut types = None;
    for standing in &plan.programs {
        match stand(&mut ebpf, plan.hook, standing, &mut types) {
            Err(error) if standing.is_needed => return Err(error),
            _ => {}
        }
    }
    Ok(ebpf)
}

fn program<'e, T>(ebpf: &'e mut Ebpf, hook: &str, name: &str) -> Result<&'e mut T>
where
    &'e mut T: TryFrom<&'e mut Program, Error = ProgramError>,
{
    let program = ebpf.program_mut(name).ok_or_else(|| no_program(hook, name))?;
    program.try_into().map_err(|error: ProgramError| failed(hook, name, error))
}

fn stand(ebpf: &mut Ebpf, hook: &str, standing: &Standing<'_>, types: &mut Option<Btf>) -> Result<()> {
    let name = standing.program.as_str();
    let loading = |error| failed(hook, &format!("loading its program {name}"), error);
    let attaching = |what: &str, error| failed(hook, &format!("attaching to {what}"), error);
    match standing.point {
        Point::Typed(point) => {
            let types = kernel_types(hook, types)?;
            let program: &mut BtfTracePoint = program(ebpf, hook, name)?;
            program.load(point, types).map_err(loading)?;
            program.attach().map(drop).map_err(|error| attaching(point, error))
        }
        Point::Raw(point) => {
            let program: &mut RawTracePoint = program(ebpf, hook, name)?;
            program.load().map_err(loading)?;
            program.attach(point).map(drop).map_err(|error| attaching(point, error))
        }
        Point::Function(function) => stand_in(ebpf, hook, (name, function), types),
        Point::Egress(groups) => packets(ebpf, hook, (name, CgroupSkbAttachType::Egress), groups),
        Point::Ingress(groups) => packets(ebpf, hook, (name, CgroupSkbAttachType::Ingress), groups),
        Point::Connect(groups) => {
            let program: &mut SockOps = program(ebpf, hook, name)?;
            program.load().map_err(loading)?;
            groups.iter().try_for_each(|group| {
                let attached = program.attach(&open_group(hook, group)?, mode());
                attached.map(drop).map_err(|error| attaching("the control group", error))
            })
        }
        Point::Clock(period) => {
            let program: &mut PerfEvent = program(ebpf, hook, name)?;
            program.load().map_err(loading)?;
            let (event, policy) =
                (PerfEventConfig::Software(SoftwareEvent::CpuClock), SamplePolicy::Period(period));
            let processors = online_cpus().map_err(|(what, error)| failed(hook, what, error))?;
            processors.into_iter().try_for_each(|cpu| {
                let attached =
                    program.attach(event, PerfEventScope::AllProcessesOneCpu { cpu }, policy, false);
                attached.map(drop).map_err(|error| attaching(&format!("the clock of processor {cpu}"), error))
            })
        }
        Point::Places => {
            let program: &mut UProbe = program(ebpf, hook, name)?;
            program.load().map_err(loading)
        }
    }
}

fn kernel_types<'t>(hook: &str, types: &'t mut Option<Btf>) -> Result<&'t Btf> {
    if types.is_none() {
        *types = Some(Btf::from_sys_fs().map_err(|error| failed(hook, "reading the kernel's types", error))?);
    }
    types.as_ref().ok_or_else(|| no_program(hook, "types"))
}

/// At a function of the kernel.
fn stand_in(
    ebpf: &mut Ebpf,
    hook: &str,
    (name, function): (&str, &str),
    types: &mut Option<Btf>,
) -> Result<()> {
    let loading = |error| failed(hook, &format!("loading its program for {function}"), error);
    let attaching = |error| failed(hook, &format!("attaching to {function}"), error);
    match ebpf.program_mut(name).ok_or_else(|| no_program(hook, name))? {
        Program::FEntry(entry) => {
            entry.load(function, kernel_types(hook, types)?).map_err(loading)?;
            entry.attach().map(drop).map_err(attaching)
        }
        Program::FExit(exit) => {
            exit.load(function, kernel_types(hook, types)?).map_err(loading)?;
            exit.attach().map(drop).map_err(attaching)
        }
        Program::KProbe(probe) => {
            probe.load().map_err(loading)?;
            probe.attach(function, 0).map(drop).map_err(attaching)
        }
        _ => Err(no_program(hook, name)),
    }
}

/// A link takes no mode, and stands beside others: each sees everything. Where there are no links (before Linux 5.7) the
/// mode says so.
fn mode() -> CgroupAttachMode {
    let has_links = KernelVersion::current().map_or(true, |met| met >= KernelVersion::new(5, 7, 0));
    if has_links { CgroupAttachMode::Single } else { CgroupAttachMode::AllowMultiple }
}

/// At the packets of control groups.
fn packets(
    ebpf: &mut Ebpf,
    hook: &str,
    (name, way): (&str, CgroupSkbAttachType),
    groups: &[PathBuf],
) -> Result<()> {
    let program: &mut CgroupSkb = program(ebpf, hook, name)?;
    program.load().map_err(|error| failed(hook, "loading its programs", error))?;
    for group in groups {
        let group = open_group(hook, group)?;
        program
            .attach(&group, way, mode())
            .map_err(|error| failed(hook, "attaching to the control group", error))?;
    }
    Ok(())
}

pub(super) fn stand_at(ebpf: &mut Ebpf, name: &str, library: &Library, places: &[u64]) -> Result<()> {
    let program: &mut UProbe = program(ebpf, "tls", name)?;
    for place in places {
        let attached = program.attach(*place, &library.path, UProbeScope::AllProcesses);
        let what = || format!("attaching to byte {place} of {}", library.name);
        attached.map_err(|error| failed("tls", &what(), error))?;
    }
    Ok(())
}
