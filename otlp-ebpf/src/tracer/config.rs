//! What a tracer is told.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::id::IdSource;
use crate::parse::infer::{Protocol, Protocols};
use crate::resolve::CallerResolver;
use crate::service::Service;
use crate::span::Role;

/// How a [`Tracer`](super::Tracer) is set up.
///
/// ```
/// use std::sync::Arc;
/// use otlp_ebpf::parse::infer::Builtin;
/// use otlp_ebpf::tracer::TracerConfig;
/// use otlp_ebpf::{IdSource, Service};
/// let ids = Arc::new(IdSource::seeded(7));
/// let config = TracerConfig::new(7)
///     .service(8080, Service::new("shop", ids.clone()))
///     .service_of(6380, Service::new("cache", ids), Builtin::Redis)
///     .max_connections(1000);
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct TracerConfig {
    services: BTreeMap<u16, Followed>,
    otherwise: Followed,
    /// New ones for each tracer where none are given: some learn from what they read.
    given: Option<Protocols>,
    pub(super) protocols: Protocols,
    pub(super) callers: Option<Arc<dyn CallerResolver>>,
    pub(super) role: Role,
    pub(super) seed: u64,
    pub(super) max_connections: usize,
    pub(super) max_held_bytes: usize,
    pub(super) idle: Duration,
    pub(super) linger: Duration,
}

/// A service, and what it speaks where that is known.
#[derive(Clone)]
pub(super) struct Followed {
    pub(super) service: Arc<Service>,
    pub(super) protocol: Option<Arc<dyn Protocol>>,
}

impl TracerConfig {
    /// Everything is of the service `unknown_service`, and speaks what its first bytes tell. Identifiers follow from
    /// `seed` and from what is captured.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let service = Arc::new(Service::new("unknown_service", Arc::new(IdSource::seeded(seed))));
        Self {
            services: BTreeMap::new(),
            otherwise: Followed { service, protocol: None },
            given: None,
            protocols: Protocols::default(),
            callers: None,
            role: Role::Server,
            seed,
            max_connections: 65_536,
            max_held_bytes: 32 << 20,
            idle: Duration::from_secs(300),
            linger: Duration::from_secs(60),
        }
    }

    /// Names the service behind a port.
    #[must_use]
    pub fn service(mut self, port: u16, service: Service) -> Self {
        self.services.insert(port, Followed { service: Arc::new(service), protocol: None });
        self
    }

    /// Names the service behind a port, and what it speaks: nothing is inferred, so that connections that were open
    /// already are followed from their first message on that can be told.
    #[must_use]
    pub fn service_of(mut self, port: u16, service: Service, protocol: impl Protocol + 'static) -> Self {
        let protocol: Option<Arc<dyn Protocol>> = Some(Arc::new(protocol));
        self.services.insert(port, Followed { service: Arc::new(service), protocol });
        self
    }

    /// Names the service behind all other ports.
    #[must_use]
    pub fn otherwise(mut self, service: Service) -> Self {
        self.otherwise.service = Arc::new(service);
        self
    }

    /// Sets among which protocols a connection's own is looked for; default those known here.
    #[must_use]
    pub fn protocols(mut self, protocols: Protocols) -> Self {
        self.given = Some(protocols);
        self
    }

    /// Sets who tells which service a client is, asked once a connection, when it begins to be followed, and waited for;
    /// default nobody. Of use in a live capture of this machine; only where the server's spans are made.
    #[must_use]
    pub fn callers(mut self, callers: Arc<dyn CallerResolver>) -> Self {
        self.callers = Some(callers);
        self
    }

    /// Sets whose spans are made: the server's, as is the default, or the client's.
    #[must_use]
    pub const fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// Sets how many connections are followed at once; default 65,536. The one idle for longest makes room.
    #[must_use]
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Sets how many bytes all connections together hold out of order; default 32 MiB.
    #[must_use]
    pub const fn max_held_bytes(mut self, bytes: usize) -> Self {
        self.max_held_bytes = bytes;
        self
    }

    /// Sets for how long a connection is followed of which nothing is seen; default 5 minutes.
    #[must_use]
    pub const fn idle(mut self, time: Duration) -> Self {
        self.idle = time;
        self
    }

    /// Whether the service behind a port was named.
    #[cfg(feature = "capture")]
    pub(crate) fn is_named(&self, port: u16) -> bool {
        self.services.contains_key(&port)
    }

    #[cfg(feature = "capture")]
    pub(super) fn name(&mut self, port: u16, service: impl FnOnce(&Service) -> Service) {
        let mut followed = self.followed(port).clone();
        followed.service = Arc::new(service(&followed.service));
        self.services.insert(port, followed);
    }

    /// The same, of those who ask: services that were named are the ones that they ask.
    #[cfg(feature = "capture")]
    pub(crate) fn of_callers(mut self) -> Self {
        let callers = &self.otherwise.service;
        self.services.values_mut().for_each(|followed| followed.service = Arc::clone(callers));
        self.role(Role::Client)
    }

    /// The same, for one tracer.
    pub(super) fn begin(mut self) -> Self {
        self.protocols = self.given.clone().unwrap_or_default();
        self
    }

    /// Which service the client of a connection is, where that is asked and known.
    pub(super) fn caller(&self, client: SocketAddr, server: SocketAddr) -> Option<Arc<str>> {
        let callers = self.callers.as_ref().filter(|_| self.role == Role::Server)?;
        callers.resolve(client, server)
    }

    /// The service and protocol behind a port.
    pub(super) fn followed(&self, port: u16) -> &Followed {
        self.services.get(&port).unwrap_or(&self.otherwise)
    }

    /// Which of two ports is the server's, as far as numbers tell.
    pub(super) fn is_server(&self, port: u16, other: u16) -> bool {
        let named = [port, other].map(|port| self.services.contains_key(&port));
        match named {
            [true, false] => true,
            [false, true] => false,
            _ => port < other,
        }
    }
}

impl fmt::Debug for TracerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracerConfig")
            .field("ports", &self.services.keys())
            .field("role", &self.role)
            .field("seed", &self.seed)
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}
