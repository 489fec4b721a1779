//! The kernel tells what the sockets of the services send and receive.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use otlp_core::sink::Sink as _;
use otlp_core::{Error, ErrorKind};
use otlp_ebpf::capture::{Capture, CapturedSpan, Stopper};
use otlp_ebpf::probe::{Hook, HookReport, HookState};
use otlp_ebpf::tap::TappedSpan;
use otlp_ebpf::tracer::TracerConfig;

use super::{Outbox, Plan, Target, Watched};
use crate::shop::Role;

/// How often the kernel's ring is emptied.
const POLL: Duration = Duration::from_millis(5);

/// The running capture, and the thread that reads it.
#[derive(Debug)]
pub(super) struct Kernel {
    method: &'static str,
    addresses: BTreeMap<Role, SocketAddr>,
    stop: Stopper,
    thread: JoinHandle<Watched>,
}

impl Kernel {
    pub(super) fn start(plan: &Plan<'_>) -> Result<Self, Error> {
        let mut tracer = TracerConfig::new(plan.seed);
        let mut builder = Capture::builder().callers(Arc::clone(&plan.callers));
        let (mut addresses, mut outboxes) = (BTreeMap::new(), BTreeMap::new());
        for Target { role, address, service, outbox } in plan.targets() {
            tracer = tracer.service(address.port(), service);
            builder = builder.port(address.port());
            addresses.insert(role, address);
            outboxes.insert(role, outbox);
        }
        let capture = builder.tracer(tracer).poll_interval(POLL).build().map_err(|error| {
            Error::new(ErrorKind::Config, "the kernel cannot be asked").with_source(error)
        })?;
        let used = |hook: &HookReport| hook.state() == HookState::Used && hook.hook() == Hook::Network;
        let is_network = capture.hooks().iter().any(used);
        let method = if is_network { "kernel, TCP segments" } else { "kernel, system calls" };
        let stop = capture.stopper();
        let thread = thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || read(capture, &outboxes))
            .map_err(|source| Error::new(ErrorKind::Io, "cannot start a thread").with_source(source))?;
        Ok(Self { method, addresses, stop, thread })
    }

    pub(super) const fn method(&self) -> &'static str {
        self.method
    }

    pub(super) fn address_of(&self, role: Role) -> Option<SocketAddr> {
        self.addresses.get(&role).copied()
    }

    pub(super) fn stop(self) -> Watched {
        self.stop.stop();
        // A panic there has been told by the panic hook already, and leaves no account that balances.
        let nothing = |_| Watched { accounts: BTreeMap::new(), is_balanced: false, overrun: 0 };
        self.thread.join().unwrap_or_else(nothing)
    }
}

/// Hands spans over until it is stopped.
fn read(mut capture: Capture, outboxes: &BTreeMap<Role, Arc<Outbox>>) -> Watched {
    let of_name: BTreeMap<&str, &Arc<Outbox>> =
        outboxes.iter().map(|(role, outbox)| (role.name(), outbox)).collect();
    let hand_over = |CapturedSpan { service, span, .. }: CapturedSpan| {
        // Only ports of services are asked for, and each was named.
        let Some(outbox) = of_name.get(&**service.name()) else { return };
        let (name, resource) = (Arc::clone(service.name()), Arc::clone(service.resource()));
        outbox.accept(TappedSpan { service: name, resource, span });
    };
    capture.by_ref().for_each(hand_over);
    let stats = capture.finish(&mut { hand_over });
    let mut accounts = capture.accounts();
    let account = |role: &Role| Some((*role, accounts.remove(role.name())?));
    Watched {
        accounts: outboxes.keys().filter_map(account).collect(),
        is_balanced: stats.is_balanced(),
        overrun: stats.kernel.full_records,
    }
}
