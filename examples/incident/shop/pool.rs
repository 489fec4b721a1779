//! Connections to one peer, kept open between calls.

use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use otlp_core::{Error, ErrorKind};

use super::server;

/// Most idle connections kept; more are closed.
const MAX_IDLE: usize = 64;
/// How long connecting, one read or one write may take. Far above any latency that a fault causes: a call
/// given up would be served without its caller knowing.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Idle connections to one peer, the last used first: few connections carry a light load.
#[derive(Debug)]
pub(crate) struct Pool<C = TcpStream> {
    host: &'static str,
    state: Mutex<State<C>>,
}

#[derive(Debug)]
struct State<C> {
    address: Option<SocketAddr>,
    idle: Vec<C>,
}

impl<C> Pool<C> {
    /// A pool for the peer called `host`, whose address is not known yet.
    pub(crate) fn new(host: &'static str) -> Self {
        Self { host, state: Mutex::new(State { address: None, idle: Vec::new() }) }
    }

    /// The peer's name.
    pub(crate) const fn host(&self) -> &'static str {
        self.host
    }

    /// Says where the peer is; connections to the former address are closed.
    pub(crate) fn set_address(&self, address: SocketAddr) {
        *self.lock() = State { address: Some(address), idle: Vec::new() };
    }

    /// An idle connection, or a new one that `connect` makes.
    ///
    /// # Errors
    /// The address is not known, or what `connect` says.
    pub(crate) fn take_or(&self, connect: impl FnOnce(SocketAddr) -> Result<C, Error>) -> Result<C, Error> {
        let mut state = self.lock();
        if let Some(connection) = state.idle.pop() {
            return Ok(connection);
        }
        let address = state.address;
        drop(state);
        connect(address.ok_or_else(|| unknown(self.host))?)
    }

    /// Keeps a connection on which nothing is outstanding.
    pub(crate) fn put(&self, connection: C) {
        let mut state = self.lock();
        if state.idle.len() < MAX_IDLE {
            state.idle.push(connection);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<C>> {
        // Whoever panicked while holding the lock left a whole list behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    /// An idle connection, or a new one.
    ///
    /// # Errors
    /// The address is not known or nobody answers there.
    pub(crate) fn take(&self) -> Result<TcpStream, Error> {
        self.take_or(|address| connect(&address).map_err(|source| unreachable(self.host, source)))
    }
}

/// The error for a peer whose address nobody told.
pub(crate) fn unknown(host: &str) -> Error {
    Error::new(ErrorKind::Config, format!("{host}: address not known"))
}

/// The error for a peer that cannot be connected to.
pub(crate) fn unreachable(host: &str, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Io, format!("{host}: cannot connect")).with_source(source)
}

/// Writes all of `bytes`.
///
/// # Errors
/// The connection is broken or full for too long.
pub(crate) fn write_all(mut stream: &TcpStream, bytes: &[u8]) -> Result<(), Error> {
    std::io::Write::write_all(&mut stream, bytes).map_err(failed)
}

/// Reads once and hands the bytes to `take`; false at the end of the stream.
///
/// # Errors
/// The connection is broken or silent for too long.
pub(crate) fn read_more(stream: &TcpStream, take: impl FnOnce(&[u8])) -> Result<bool, Error> {
    let mut bytes = [0; server::READ_BYTES];
    let count = server::read(stream, &mut bytes).map_err(failed)?;
    take(bytes.get(..count).unwrap_or_default());
    Ok(count > 0)
}

fn connect(address: &SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(address, TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

fn failed(source: std::io::Error) -> Error {
    let kind = match source.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => ErrorKind::Timeout,
        _ => ErrorKind::Io,
    };
    Error::new(kind, "connection: cannot read or write").with_source(source)
}
