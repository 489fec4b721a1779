//! The hook at the sockets of control groups: TCP segments in and out.

use std::path::PathBuf;

use super::{Buffer, Loaded, Point, Settings, object, plan};
use crate::error::Result;

const HOOK: &str = "network";

/// Loads the programs and attaches them to these control groups, and so to those below them.
pub(crate) fn attach(settings: &Settings, groups: &[PathBuf]) -> Result<Loaded> {
    // Linux tells these programs the network since 6.15; before, all loopback networks are taken for one. What is known of
    // helpers without loading the program is not to be relied on.
    let has_netns = settings.buffer != Buffer::PerProcessor;
    attach_with(settings, groups, has_netns).or_else(|_| attach_with(settings, groups, false))
}

fn attach_with(settings: &Settings, groups: &[PathBuf], has_netns: bool) -> Result<Loaded> {
    let plan = match settings.buffer {
        Buffer::PerProcessor => plan(HOOK, object!("network_per_cpu.o"), settings),
        Buffer::Auto | Buffer::Ring => {
            plan(HOOK, object!("network.o"), settings).flag("HAS_NETNS", has_netns)
        }
    };
    let plan = plan
        .flag("SKIP_TLS", settings.skip_tls)
        .stand("network_out", Point::Egress(groups))
        .stand("network_in", Point::Ingress(groups));
    Loaded::new(settings.loader.load(&plan)?, HOOK, settings)
}
