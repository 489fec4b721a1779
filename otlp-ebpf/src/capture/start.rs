//! Which hooks a capture uses: tried one after the other.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::callers::Callers;
use super::clock::Clocks;
use super::config::{CaptureBuilder, Reading, Source, Tls};
use super::degrade::Degrading;
use super::policy::{GroupPolicies, Policy, keys};
use super::{Capture, Naming, Sight, Stopper, Watching};
use crate::capture::CaptureStats;
use crate::error::{Error, ErrorKind, Result};
use crate::probe::{Hook, HookReport, HookState, cgroup2_root, reason, require};
use crate::program::{
    Buffer, Libraries, Loaded, Opened, Process, Settings, Wanted, attach_network, attach_process,
};
use crate::tracer::Tracer;

pub(super) fn start(mut builder: CaptureBuilder) -> Result<Capture> {
    let masked = builder.policy == Policy::MaskedHeads;
    let buffer = builder.buffer.chosen();
    let settings = Settings {
        all: builder.targets.is_all(),
        both_ends: !builder.targets.groups.is_empty(),
        skip_tls: builder.tls != Tls::Off,
        most_bytes: builder.most_bytes(),
        // Checked to be 1 GiB at most.
        ring_bytes: u32::try_from(builder.ring_bytes).unwrap_or(u32::MAX),
        wakes: builder.reading == Reading::Woken,
        masked,
        withheld: builder.policy == Policy::Nothing,
        by_group: builder.by_group,
        frames: (masked || builder.by_group) && buffer.has_frames(),
        loader: builder.loader,
        buffer,
    };
    let mut hooks = Vec::new();
    connect(&mut builder, &mut hooks);
    let mut network = network(&builder, &settings, &mut hooks)?;
    let mut process = process(&builder, &settings, network.is_none(), &mut hooks)?;
    if settings.masked {
        for hook in network.iter_mut().chain(process.iter_mut().map(|process| &mut process.loaded)) {
            builder.headers.iter().flat_map(|name| keys(name)).try_for_each(|key| hook.allow(key))?;
        }
    }
    let groups = std::mem::take(&mut builder.groups);
    let mut capture = assemble(builder, (network, process), hooks, &settings)?;
    groups.iter().try_for_each(|(folder, policy)| capture.set_policy_for(folder, policy.clone()))?;
    // Only now is anything wanted: before, the hooks saw nothing that they were to tell.
    let Capture { network, process, sight, watching, .. } = &mut capture;
    let ports = network.as_mut().map(|network| &mut network.ports);
    watching.look(ports, process.as_mut(), &mut sight.stats);
    Ok(capture)
}

/// The hook that tells who calls, where callers have names.
fn connect(builder: &mut CaptureBuilder, hooks: &mut Vec<HookReport>) {
    let Some(services) = builder.callers.take() else {
        hooks.push(HookReport::new(Hook::Connect, HookState::NotAsked, "no process that calls was named"));
        return;
    };
    let (state, why, opened) =
        match groups(builder).and_then(|groups| Opened::attach(builder.loader, &groups)) {
            Ok(opened) => (HookState::Used, "attached to control groups".to_owned(), Some(opened)),
            Err(error) => (HookState::FellBack, reason(Hook::Connect, &error), None),
        };
    hooks.push(HookReport::new(Hook::Connect, state, &why));
    let callers = Callers { opened, services };
    builder.tracer = builder.tracer.clone().callers(Arc::new(callers));
}

/// The network's hook, where it is asked for and can be had.
fn network(
    builder: &CaptureBuilder,
    settings: &Settings,
    hooks: &mut Vec<HookReport>,
) -> Result<Option<Loaded>> {
    if !matches!(builder.source, Source::Auto | Source::Network) {
        hooks.push(HookReport::new(Hook::Network, HookState::NotAsked, ANOTHER));
        return Ok(None);
    }
    // Without CAP_PERFMON programs may not choose a place in memory by a number, as what masks does.
    let needs_more = settings.masked || settings.by_group || settings.buffer == Buffer::PerProcessor;
    let allowed = if needs_more { require("CAP_PERFMON") } else { Ok(()) };
    match allowed.and_then(|()| groups(builder)).and_then(|groups| attach_network(settings, &groups)) {
        Ok(network) => {
            let why = format!("attached to control groups, {}", settings.told());
            hooks.push(HookReport::new(Hook::Network, HookState::Used, &why));
            Ok(Some(network))
        }
        Err(error) if builder.source == Source::Network => Err(explained(Hook::Network, &error)),
        Err(error) => {
            hooks.push(HookReport::new(Hook::Network, HookState::FellBack, &reason(Hook::Network, &error)));
            Ok(None)
        }
    }
}

pub(super) fn groups(builder: &CaptureBuilder) -> Result<Vec<PathBuf>> {
    if builder.targets.groups.is_empty() {
        cgroup2_root(&builder.proc).map(|root| vec![root])
    } else {
        Ok(builder.targets.groups.clone())
    }
}

/// Why a hook is not asked for.
const ANOTHER: &str = "another hook is used";

/// The hooks at processes that see bytes which are not of TLS, in the order in which they are tried.
const PLAIN: [(Hook, Source, &str); 3] = [
    (Hook::Calls, Source::Calls, "attached to the exit of system calls"),
    (Hook::Fentry, Source::Fentry, "attached to functions of TCP"),
    (Hook::Kprobes, Source::Kprobes, "attached to functions of TCP"),
];

/// The hooks at processes, where they are needed.
fn process(
    builder: &CaptureBuilder,
    settings: &Settings,
    needs_plain: bool,
    hooks: &mut Vec<HookReport>,
) -> Result<Option<Process>> {
    let tls = builder.tls != Tls::Off;
    let wanted = Wanted {
        every_process: settings.all && builder.targets.groups.is_empty(),
        plain: None,
        tls,
        connections: builder.max_connections,
    };
    let (mut process, mut failed) = (None, None);
    for (hook, source, used) in PLAIN {
        let is_asked = needs_plain && (builder.source == Source::Auto || builder.source == source);
        if !is_asked || process.is_some() {
            hooks.push(HookReport::new(hook, HookState::NotAsked, ANOTHER));
            continue;
        }
        match attach_process(settings, &Wanted { plain: hook.plain(), ..wanted }) {
            Ok(attached) => {
                let why = format!("{used}, {}", settings.told());
                hooks.push(HookReport::new(hook, HookState::Used, &why));
                process = Some(attached);
            }
            Err(error) => {
                hooks.push(HookReport::new(hook, HookState::FellBack, &reason(hook, &error)));
                failed.get_or_insert((hook, error));
            }
        }
    }
    if let (None, Some((hook, error))) = (&process, failed) {
        return Err(nothing_left(hook, error, hooks));
    }
    if process.is_none() && tls {
        let attached = attach_process(settings, &wanted);
        process = Some(attached.map_err(|error| nothing_left(Hook::Tls, error, hooks))?);
    }
    let (state, why) = if tls {
        (HookState::Used, "libraries are watched as processes have them")
    } else {
        (HookState::NotAsked, "TLS was not asked for")
    };
    hooks.push(HookReport::new(Hook::Tls, state, why));
    Ok(process)
}

/// Why there is no capture; what else was tried is a part of why.
fn nothing_left(hook: Hook, error: Error, hooks: &[HookReport]) -> Error {
    let others = hooks.iter().filter(|met| met.state() == HookState::FellBack && met.hook() != hook);
    let others: String = others.map(|hook| format!("; {hook}")).collect();
    let message = format!("{}{others}", explained(hook, &error));
    Error::new(ErrorKind::Io, message).with_source(error)
}

fn explained(hook: Hook, error: &Error) -> Error {
    Error::new(ErrorKind::Io, format!("capture: {hook}: {}", reason(hook, error)))
}

pub(super) fn watching(builder: &CaptureBuilder) -> Watching {
    Watching {
        targets: builder.targets.clone(),
        proc: builder.proc.clone(),
        tls: builder.tls != Tls::Off,
        interval: builder.rescan_interval.max(Duration::from_millis(10)),
        next: Instant::now(),
        libraries: Libraries::new(builder.tls == Tls::All),
    }
}

fn assemble(
    builder: CaptureBuilder,
    (network, process): (Option<Loaded>, Option<Process>),
    hooks: Vec<HookReport>,
    settings: &Settings,
) -> Result<Capture> {
    let root = if builder.by_group { Some(cgroup2_root(&builder.proc)?) } else { None };
    let is_all = builder.targets.is_all();
    let naming =
        Naming { proc: builder.proc.clone(), config: builder.tracer.clone(), known: BTreeMap::new() };
    let watching = watching(&builder);
    let sight = Sight {
        client: Tracer::new(builder.tracer.clone().of_callers()),
        server: Tracer::new(builder.tracer),
        is_all,
        clocks: Clocks::new(),
        naming,
        stats: CaptureStats { loader: settings.loader, buffer: settings.buffer, ..CaptureStats::default() },
    };
    Ok(Capture {
        network,
        process,
        sight,
        hooks,
        watching,
        stop: Stopper::default(),
        poll_interval: builder.poll_interval,
        reading: builder.reading,
        degrading: Degrading::new(builder.caps),
        policies: GroupPolicies::new(root),
        ready: VecDeque::new(),
    })
}
