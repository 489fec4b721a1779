//! Where connections come in: the socket that listens, and TLS.

#[cfg(unix)]
use std::fs;
use std::io;
#[cfg(unix)]
use std::net::Ipv4Addr;
use std::net::{SocketAddr, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::{
    fs::{FileTypeExt, MetadataExt},
    net::UnixDatagram,
};
#[cfg(unix)]
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

use super::account::Account;
use crate::error::{Error, ErrorKind, Result};
use crate::transport::stream::Stream;
#[cfg(feature = "tls")]
use crate::transport::tls::{Change, ServerSide};

/// What a server listens on, before it runs.
pub(super) enum Bound {
    Tcp(std::net::TcpListener),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener, SocketFile),
}

/// What a server listens on, while it runs.
pub(super) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener, #[expect(dead_code, reason = "removes the file when it is dropped")] SocketFile),
}

/// A connection before any handshake.
pub(super) enum Accepted {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// A listening socket and what is done with its connections first.
pub(super) struct Front {
    pub(super) bound: Bound,
    pub(super) greeter: Greeter,
}

/// Makes a stream of a connection.
#[derive(Clone, Default)]
pub(super) struct Greeter {
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Arc<ServerSide>>,
}

fn cannot_listen(source: io::Error) -> Error {
    Error::new(ErrorKind::Io, "receiver: cannot listen").with_source(source)
}

impl Bound {
    pub(super) fn tcp(address: impl ToSocketAddrs) -> Result<Self> {
        let listener = std::net::TcpListener::bind(address).map_err(cannot_listen)?;
        listener.set_nonblocking(true).map_err(cannot_listen)?;
        Ok(Self::Tcp(listener))
    }

    #[cfg(unix)]
    pub(super) fn unix(path: &Path) -> Result<Self> {
        let bind = || std::os::unix::net::UnixListener::bind(path);
        let listener = match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_left_over(path) => {
                fs::remove_file(path).and_then(|()| bind())
            }
            bound => bound,
        };
        let listener = listener.map_err(cannot_listen)?;
        let file = SocketFile::new(path).map_err(cannot_listen)?;
        listener.set_nonblocking(true).map_err(cannot_listen)?;
        Ok(Self::Unix(listener, file))
    }

    /// The address, which a Unix socket does not have.
    pub(super) fn address(&self) -> Result<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener
                .local_addr()
                .map_err(|source| Error::new(ErrorKind::Io, "receiver: no address").with_source(source)),
            #[cfg(unix)]
            Self::Unix(..) => Ok((Ipv4Addr::UNSPECIFIED, 0).into()),
        }
    }

    /// What a client on this machine has to be told.
    pub(super) fn endpoint(&self, address: SocketAddr, scheme: &str) -> Arc<str> {
        match self {
            Self::Tcp(_) => format!("{scheme}://{address}").into(),
            #[cfg(unix)]
            Self::Unix(_, file) => format!("unix://{}", file.path.display()).into(),
        }
    }

    pub(super) fn into_listener(self) -> io::Result<Listener> {
        match self {
            Self::Tcp(listener) => TcpListener::from_std(listener).map(Listener::Tcp),
            #[cfg(unix)]
            Self::Unix(listener, file) => {
                UnixListener::from_std(listener).map(|listener| Listener::Unix(listener, file))
            }
        }
    }
}

impl Listener {
    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        match self {
            Self::Tcp(listener) => listener.poll_accept(cx).map_ok(|(stream, _)| Accepted::Tcp(stream)),
            #[cfg(unix)]
            Self::Unix(listener, _) => listener.poll_accept(cx).map_ok(|(stream, _)| Accepted::Unix(stream)),
        }
    }
}

impl Greeter {
    /// Makes the handshake, where there is one.
    #[cfg_attr(
        not(feature = "tls"),
        expect(unused_variables, clippy::unused_async, reason = "the same signature as with tls")
    )]
    pub(super) async fn greet(&self, accepted: Accepted, account: &Account) -> io::Result<Stream> {
        let stream = match accepted {
            Accepted::Tcp(stream) => stream,
            #[cfg(unix)]
            Accepted::Unix(stream) => return Ok(Stream::Unix(stream)),
        };
        // Without it answers come later, no more.
        let _delayed = stream.set_nodelay(true);
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let count = |change| match change {
                Change::None => {}
                Change::Renewed => account.lock().certificates_renewed += 1,
                Change::Refused(_) => account.lock().certificates_refused += 1,
            };
            return tls.accept(stream, count).await.map(|session| Stream::Tls(Box::new(session)));
        }
        Ok(Stream::Tcp(stream))
    }
}

/// The file of a Unix socket, removed when nobody listens any more.
#[cfg(unix)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode: another file at the path is somebody else's.
    id: (u64, u64),
}

#[cfg(unix)]
impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), id: id_of(path)? })
    }
}

#[cfg(unix)]
impl Drop for SocketFile {
    fn drop(&mut self) {
        if id_of(&self.path).is_ok_and(|id| id == self.id) {
            let _removed = fs::remove_file(&self.path);
        }
    }
}

#[cfg(unix)]
fn id_of(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

/// Whether `path` is a socket that nobody listens on any more.
#[cfg(unix)]
fn is_left_over(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    // A datagram is refused by a socket that somebody listens on for being of the wrong type, and by one that is
    // left over for having no owner. A stream would wait where that somebody is slow.
    let knock = || UnixDatagram::unbound().and_then(|socket| socket.connect(path));
    is_socket && knock().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}
