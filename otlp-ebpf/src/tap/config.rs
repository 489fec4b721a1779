//! What a tap is told.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use otlp_core::Clock;
use otlp_core::time::SystemClock;

use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "replay")]
use crate::replay::Recorder;
use crate::resolve::CallerResolver;
use crate::service::Service;
use crate::watch::TapProtocol;

/// How a tap is set up; checked by [`Tap::start`](super::Tap::start).
///
/// ```
/// use std::sync::Arc;
/// use otlp_ebpf::join::JoinTable;
/// use otlp_ebpf::parse::infer::Builtin;
/// use otlp_ebpf::resolve::process::ProcessTable;
/// use otlp_ebpf::tap::{TapConfig, TapProtocol};
/// use otlp_ebpf::{IdSource, Service};
/// let (ids, table) = (Arc::new(IdSource::seeded(7)), Arc::new(JoinTable::default()));
/// let processes = Arc::new(ProcessTable::default());
/// processes.insert(4242, "order");
/// let cache = Service::new("cache", ids).join(table);
/// let config = TapConfig::new("127.0.0.1:0".parse()?, "127.0.0.1:6379".parse()?, cache)
///     .protocol(TapProtocol::only(Builtin::Redis))
///     .callers(processes);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct TapConfig {
    pub(super) listen: SocketAddr,
    pub(super) upstream: SocketAddr,
    pub(super) service: Arc<Service>,
    pub(super) protocol: TapProtocol,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) callers: Option<Arc<dyn CallerResolver>>,
    pub(super) connect_timeout: Duration,
    pub(super) max_connections: usize,
    #[cfg(feature = "replay")]
    pub(super) recorder: Option<Arc<Recorder>>,
}

impl TapConfig {
    /// A tap that listens on `listen` (port 0: any) in front of `service` at `upstream`.
    #[must_use]
    pub fn new(listen: SocketAddr, upstream: SocketAddr, service: Service) -> Self {
        Self {
            listen,
            upstream,
            service: Arc::new(service),
            protocol: TapProtocol::default(),
            clock: Arc::new(SystemClock),
            callers: None,
            connect_timeout: Duration::from_secs(5),
            max_connections: 4096,
            #[cfg(feature = "replay")]
            recorder: None,
        }
    }

    /// Sets the protocol; default is told for each connection.
    #[must_use]
    pub fn protocol(mut self, protocol: TapProtocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Sets the clock; default the machine's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets who tells which service a client is, once for each connection; default nobody.
    #[must_use]
    pub fn callers(mut self, callers: Arc<dyn CallerResolver>) -> Self {
        self.callers = Some(callers);
        self
    }

    /// Sets how long connecting to the service may take; default 5 s.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how many connections may be open at once; default 4,096. Clients beyond are closed and counted.
    #[must_use]
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Records every connection to an event log, which gives the same spans again: see
    /// [`replay`](crate::replay). Default none.
    #[cfg(feature = "replay")]
    #[must_use]
    pub fn record(mut self, recorder: Arc<Recorder>) -> Self {
        self.recorder = Some(recorder);
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        let wrong = |message: &str| Err(Error::new(ErrorKind::Config, message));
        if self.upstream.port() == 0 {
            return wrong("tap: upstream port is 0");
        }
        if self.upstream == self.listen {
            return wrong("tap: upstream is the address to listen on");
        }
        if self.connect_timeout.is_zero() {
            return wrong("tap: connect timeout is zero");
        }
        if self.max_connections == 0 {
            return wrong("tap: no connections allowed");
        }
        Ok(())
    }
}

impl fmt::Debug for TapConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TapConfig")
            .field("listen", &self.listen)
            .field("upstream", &self.upstream)
            .field("service", &self.service)
            .field("protocol", &self.protocol)
            .field("connect_timeout", &self.connect_timeout)
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}
