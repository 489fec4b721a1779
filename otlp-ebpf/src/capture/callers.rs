//! Who calls: what the kernel noted when it connected, else what `/proc` says now.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::program::Opened;
use crate::resolve::CallerResolver;
use crate::resolve::process::ProcessTable;

/// Names the processes that open connections.
#[derive(Debug)]
pub(super) struct Callers {
    /// None where the kernel does not allow it.
    pub(super) opened: Option<Opened>,
    pub(super) services: Arc<ProcessTable>,
}

impl CallerResolver for Callers {
    fn resolve(&self, client: SocketAddr, server: SocketAddr) -> Option<Arc<str>> {
        match self.opened.as_ref().and_then(|opened| opened.process(client, server)) {
            Some(pid) => self.services.service_of(pid),
            // Open before the capture began, or forgotten since.
            None => self.services.resolve(client, server),
        }
    }
}
