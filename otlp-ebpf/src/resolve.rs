//! Who is at the other end.

pub mod process;

use std::net::SocketAddr;
use std::sync::Arc;

/// Tells which service the client of a connection is.
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
