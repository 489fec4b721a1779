//! A forwarding tap in front of every service: spans from programs that know nothing of tracing.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use otlp_core::Error;
use otlp_core::record::KeyValue;
use otlp_core::semconv;
use otlp_core::sink::{MemorySink, Sink as _};
use otlp_core::stats::Stats;
use otlp_ebpf::join::JoinTable;
use otlp_ebpf::resolve::process::ProcessTable;
use otlp_ebpf::tap::{Tap, TapConfig, TapHandle, TapStats, TappedSpan};
use otlp_ebpf::{IdSource, Service};

use crate::shop::{Role, ServiceAddress};

/// Spans of one service that wait to be exported.
pub(crate) type Outbox = MemorySink<TappedSpan>;

/// Spans that may wait per service; at a few hundred a second the exporter is a minute behind before one is lost.
const OUTBOX: usize = 1 << 16;
/// Requests in flight that the taps can join.
const IN_FLIGHT: usize = 1 << 14;
/// How long connections may go on when the taps stop.
const GRACE: Duration = Duration::from_secs(2);

/// What one tap saw in the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tapped {
    /// Connections, bytes, requests.
    pub(crate) tap: TapStats,
    /// Spans handed to the exporter, and those that found no room.
    pub(crate) outbox: Stats,
}

/// The running taps.
#[derive(Debug)]
pub(crate) struct Capture {
    taps: BTreeMap<Role, (TapHandle, Arc<Outbox>)>,
}

impl Capture {
    /// Puts a tap in front of each service.
    ///
    /// # Errors
    /// Where a port or a thread cannot be had.
    pub(crate) fn start(services: &[ServiceAddress], seed: u64) -> Result<Self, Error> {
        let ids = Arc::new(IdSource::seeded(seed));
        let join = Arc::new(JoinTable::new(IN_FLIGHT));
        let callers = Arc::new(ProcessTable::at("/proc"));
        for service in services {
            callers.insert(service.pid, service.role.name());
        }
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut taps = BTreeMap::new();
        for service in services {
            let observed = Service::new(service.role.name(), Arc::clone(&ids))
                .resource_attribute(KeyValue::new(semconv::PROCESS_PID, service.pid))
                .join(Arc::clone(&join));
            let config =
                TapConfig::new(any_port, service.address, observed).callers(Arc::clone(&callers) as _);
            let outbox = Arc::new(Outbox::new(OUTBOX));
            let tap = Tap::start(config, Arc::clone(&outbox) as _)?;
            taps.insert(service.role, (tap, outbox));
        }
        Ok(Self { taps })
    }

    /// Where to reach a service so that it is seen.
    pub(crate) fn address_of(&self, role: Role) -> Option<SocketAddr> {
        self.taps.get(&role).map(|(tap, _)| tap.local_addr())
    }

    /// Where the spans wait.
    pub(crate) fn outboxes(&self) -> Vec<Arc<Outbox>> {
        self.taps.values().map(|(_, outbox)| Arc::clone(outbox)).collect()
    }

    /// Requests seen so far, over all services.
    pub(crate) fn requests(&self) -> u64 {
        self.taps.values().map(|(tap, _)| tap.stats().account.requests).sum()
    }

    /// Stops the taps and closes their accounts.
    pub(crate) fn stop(self) -> BTreeMap<Role, Tapped> {
        let end = |(tap, outbox): (TapHandle, Arc<Outbox>)| {
            let tap = tap.shutdown(GRACE);
            Tapped { tap, outbox: outbox.stats() }
        };
        self.taps.into_iter().map(|(role, tap)| (role, end(tap))).collect()
    }
}

#[cfg(test)]
mod tests;
