//! Spans from programs that know nothing of tracing: seen by the kernel, or by a forwarding tap in front of each.

mod kernel;
mod taps;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use clap::ValueEnum;
use otlp_core::Error;
use otlp_core::record::KeyValue;
use otlp_core::semconv;
use otlp_core::sink::{MemorySink, Sink as _};
use otlp_core::stats::Stats;
use otlp_ebpf::join::JoinTable;
use otlp_ebpf::resolve::process::ProcessTable;
use otlp_ebpf::tap::TappedSpan;
use otlp_ebpf::{Account, IdSource, Service};

use self::kernel::Kernel;
use self::taps::Taps;
use crate::shop::{Role, ServiceAddress};

/// Spans of one service that wait to be exported.
pub(crate) type Outbox = MemorySink<TappedSpan>;

/// Spans that may wait per service; at a few hundred a second the exporter is a minute behind before one is lost.
const OUTBOX: usize = 1 << 16;
/// Requests in flight that can be joined.
const IN_FLIGHT: usize = 1 << 14;

/// What shall see the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// The kernel where it may, else taps
    Auto,
    /// The kernel, which takes root, or `CAP_BPF` and `CAP_NET_ADMIN`
    Kernel,
    /// A forwarding tap in front of each service, which takes no privileges
    Tap,
}

/// What saw a service, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its requests.
    pub(crate) account: Account,
    /// Spans handed to the exporter, and those that found no room.
    pub(crate) outbox: Stats,
}

/// What was seen in the end.
#[derive(Debug, Clone)]
pub(crate) struct Captured {
    /// How, such as `forwarding tap`.
    pub(crate) method: &'static str,
    /// By service.
    pub(crate) services: BTreeMap<Role, Seen>,
    /// Everything that came is accounted for: connections, bytes, records of the kernel.
    pub(crate) is_balanced: bool,
    /// Records that found the kernel's ring full; what they held was not seen by anybody.
    pub(crate) overrun: u64,
}

/// The running capture.
#[derive(Debug)]
pub(crate) struct Capture {
    eyes: Eyes,
    outboxes: BTreeMap<Role, Arc<Outbox>>,
    /// Why the kernel is not used though it was thought of.
    refused: Option<Error>,
}

#[derive(Debug)]
enum Eyes {
    Kernel(Kernel),
    Taps(Taps),
}

/// What both ways are set up with.
struct Plan<'s> {
    services: &'s [ServiceAddress],
    seed: u64,
    callers: Arc<ProcessTable>,
    outboxes: &'s BTreeMap<Role, Arc<Outbox>>,
}

/// A service that is to be watched.
struct Target {
    role: Role,
    address: SocketAddr,
    /// What its spans are made with, and where they go.
    service: Service,
    outbox: Arc<Outbox>,
}

impl Capture {
    /// Begins to watch the services, before anybody speaks to them.
    ///
    /// # Errors
    /// Where a port or a thread cannot be had, or the kernel is asked for and does not allow it.
    pub(crate) fn start(services: &[ServiceAddress], way: Way, seed: u64) -> Result<Self, Error> {
        let callers = Arc::new(ProcessTable::at("/proc"));
        services.iter().for_each(|service| callers.insert(service.pid, service.role.name()));
        let outboxes = services.iter().map(|service| (service.role, Arc::new(Outbox::new(OUTBOX)))).collect();
        let plan = Plan { services, seed, callers, outboxes: &outboxes };
        let (eyes, refused) = match way {
            Way::Kernel => (Eyes::Kernel(Kernel::start(&plan)?), None),
            Way::Tap => (Eyes::Taps(Taps::start(&plan)?), None),
            Way::Auto => match Kernel::start(&plan) {
                Ok(kernel) => (Eyes::Kernel(kernel), None),
                Err(error) => (Eyes::Taps(Taps::start(&plan)?), Some(error)),
            },
        };
        Ok(Self { eyes, outboxes, refused })
    }

    /// How the traffic is seen, such as `forwarding tap`.
    pub(crate) const fn method(&self) -> &'static str {
        match &self.eyes {
            Eyes::Kernel(kernel) => kernel.method(),
            Eyes::Taps(_) => taps::METHOD,
        }
    }

    /// Why the kernel is not used, where it was tried.
    pub(crate) const fn refused(&self) -> Option<&Error> {
        self.refused.as_ref()
    }

    /// Where to reach a service so that it is seen.
    pub(crate) fn address_of(&self, role: Role) -> Option<SocketAddr> {
        match &self.eyes {
            Eyes::Kernel(kernel) => kernel.address_of(role),
            Eyes::Taps(taps) => taps.address_of(role),
        }
    }

    /// Where the spans wait.
    pub(crate) fn outboxes(&self) -> Vec<Arc<Outbox>> {
        self.outboxes.values().cloned().collect()
    }

    /// Requests seen to their end so far, over all services.
    pub(crate) fn requests(&self) -> u64 {
        self.outboxes.values().map(|outbox| outbox.stats().accepted).sum()
    }

    /// Stops watching, and closes the accounts.
    pub(crate) fn stop(self) -> Captured {
        let method = self.method();
        let Watched { accounts, is_balanced, overrun } = match self.eyes {
            Eyes::Kernel(kernel) => kernel.stop(),
            Eyes::Taps(taps) => taps.stop(),
        };
        let seen = |(role, outbox): (Role, Arc<Outbox>)| {
            let account = accounts.get(&role).copied().unwrap_or_default();
            (role, Seen { account, outbox: outbox.stats() })
        };
        Captured { method, services: self.outboxes.into_iter().map(seen).collect(), is_balanced, overrun }
    }
}

/// What one way came to.
struct Watched {
    accounts: BTreeMap<Role, Account>,
    is_balanced: bool,
    overrun: u64,
}

impl Plan<'_> {
    fn targets(&self) -> impl Iterator<Item = Target> {
        let ids = Arc::new(IdSource::seeded(self.seed));
        let join = Arc::new(JoinTable::new(IN_FLIGHT));
        self.services.iter().filter_map(move |ServiceAddress { role, address, pid, .. }| {
            let service = Service::new(role.name(), Arc::clone(&ids))
                .resource_attribute(KeyValue::new(semconv::PROCESS_PID, *pid))
                .join(Arc::clone(&join));
            let outbox = Arc::clone(self.outboxes.get(role)?);
            Some(Target { role: *role, address: *address, service, outbox })
        })
    }
}

#[cfg(test)]
mod tests;
