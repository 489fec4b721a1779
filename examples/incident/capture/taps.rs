//! A forwarding tap in front of every service.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use otlp_core::Error;
use otlp_ebpf::tap::{Tap, TapConfig, TapHandle};

use super::{Plan, Target, Watched};
use crate::shop::Role;

/// How this way is called.
pub(super) const METHOD: &str = "forwarding tap";
/// How long connections may go on when the taps stop.
const GRACE: Duration = Duration::from_secs(2);

/// The running taps.
#[derive(Debug)]
pub(super) struct Taps(BTreeMap<Role, TapHandle>);

impl Taps {
    pub(super) fn start(plan: &Plan<'_>) -> Result<Self, Error> {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let tap = |Target { role, address, service, outbox }| {
            let config = TapConfig::new(any_port, address, service).callers(Arc::clone(&plan.callers) as _);
            Ok((role, Tap::start(config, outbox as _)?))
        };
        plan.targets().map(tap).collect::<Result<_, Error>>().map(Self)
    }

    pub(super) fn address_of(&self, role: Role) -> Option<SocketAddr> {
        self.0.get(&role).map(TapHandle::local_addr)
    }

    pub(super) fn stop(self) -> Watched {
        let mut watched = Watched { accounts: BTreeMap::new(), is_balanced: true, overrun: 0 };
        for (role, tap) in self.0 {
            let stats = tap.shutdown(GRACE);
            watched.is_balanced &= stats.is_balanced();
            watched.accounts.insert(role, stats.account);
        }
        watched
    }
}
