//! Who is at the other end.

#[cfg(feature = "capture")]
pub(crate) mod elf;
#[cfg(feature = "capture")]
pub(crate) mod go;
#[cfg(feature = "capture")]
mod instruction;
#[cfg(feature = "capture")]
pub(crate) mod maps;
pub mod process;
#[cfg(feature = "capture")]
pub(crate) mod symbol;

use std::net::SocketAddr;
use std::sync::Arc;

/// Tells which service the client of a connection is.
///
/// ```
/// use std::net::SocketAddr;
/// use std::sync::Arc;
/// use otlp_ebpf::resolve::CallerResolver;
/// let by_port = |client: SocketAddr, _| (client.port() == 4000).then(|| Arc::<str>::from("order"));
/// let found = by_port.resolve(([127, 0, 0, 1], 4000).into(), ([127, 0, 0, 1], 80).into());
/// assert_eq!(found.as_deref(), Some("order"));
/// ```
pub trait CallerResolver: Send + Sync {
    /// The service that opened the connection from `client` to `server`; `None` where it is not known.
    ///
    /// May read files, so a driver calls it where that holds up nothing else.
    fn resolve(&self, client: SocketAddr, server: SocketAddr) -> Option<Arc<str>>;
}

impl<F: Fn(SocketAddr, SocketAddr) -> Option<Arc<str>> + Send + Sync> CallerResolver for F {
    fn resolve(&self, client: SocketAddr, server: SocketAddr) -> Option<Arc<str>> {
        self(client, server)
    }
}
