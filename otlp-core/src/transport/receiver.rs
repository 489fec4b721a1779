//! An OTLP receiver: takes requests in protobuf or JSON over HTTP/1.1 and hands their bodies to a [`Handler`],
//! in protobuf either way. JSON is read [strictly](crate::json::Reading::Strict), as the specification has it: what has
//! the name of a `.proto` file, such as `resource_spans`, is not known and passed over.
//!
//! With the feature `grpc` the same port takes HTTP/2 with prior knowledge too, for OTLP/gRPC, its health service
//! (`grpc.health.v1.Health/Check`) and OTLP/HTTP.
//!
//! It listens on a TCP port, with the feature `tls` also for TLS, or on a Unix socket.
//!
//! [`Receiver`] has a thread of its own; [`Server`] is for async programs. Every bound of
//! [`ReceiverLimits`] is on by default: connections, header and body sizes (after decompression), times.
//!
//! ```
//! use std::time::Duration;
//! use otlp_core::protocol::Signal;
//! use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits};
//!
//! let handler = |signal: Signal, body: &[u8]| {
//!     println!("{signal}: {} bytes", body.len());
//!     Answer::accepted(1)
//! };
//! let receiver = Receiver::start("127.0.0.1:0", ReceiverLimits::default(), handler)?;
//! println!("listening on http://{}", receiver.local_addr());
//! let stats = receiver.shutdown(Duration::from_secs(1));
//! assert_eq!(stats.requests.accepted, 0);
//! # Ok::<(), otlp_core::Error>(())
//! ```

mod account;
mod admission;
mod answer;
mod body;
mod conduct;
mod conn;
mod front;
#[cfg(feature = "grpc")]
mod grpc;
mod handle;
mod hold;
#[cfg(feature = "grpc")]
mod http2;
mod limits;
mod places;
mod read;
mod serve;
mod spare;
mod workers;

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use self::account::Account;
use self::front::{Bound, Front, Greeter};
use self::serve::{Core, serve};
use super::blocking::{runtime, start_thread};
#[cfg(feature = "tls")]
use super::tls::{ServerSide, ServerTls};
use crate::error::Result;
#[cfg(feature = "tls")]
use crate::error::{Error, ErrorKind};
use crate::protocol::Signal;

pub use account::ReceiverStats;
pub use answer::Answer;
pub use limits::ReceiverLimits;

/// Decides what becomes of a request.
///
/// Called on one of a few worker threads ([`ReceiverLimits::workers`]), which it may block: other connections are
/// served meanwhile, and requests beyond the workers wait with their bodies. What takes long belongs behind
/// a queue all the same, whose being full is an [`Answer::busy`]. A panic is answered with status 500.
///
/// Requests of one connection reach it in their order over HTTP/1.1; beyond that there is none. A handler that
/// has begun runs to its end, even where the client or the receiver goes away meanwhile.
pub trait Handler: Send + Sync {
    /// Takes the body of one `Export..ServiceRequest`, decompressed but not decoded. What came as JSON is protobuf
    /// here already.
    fn handle(&self, signal: Signal, body: &[u8]) -> Answer;
}

impl<F: Fn(Signal, &[u8]) -> Answer + Send + Sync> Handler for F {
    fn handle(&self, signal: Signal, body: &[u8]) -> Answer {
        self(signal, body)
    }
}

/// A receiver with a thread of its own, for programs with or without a runtime.
///
/// Dropped without [`shutdown`](Self::shutdown), it stops at once and does not wait.
#[derive(Debug)]
#[must_use = "the receiver stops when it is dropped"]
pub struct Receiver {
    control: Control,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Listens on `address` and starts the thread, named `otlp-receive`. Port 0 takes any free one.
    ///
    /// # Errors
    /// As [`Server::bind`], and [`ErrorKind::Io`] where the thread cannot be started.
    pub fn start(
        address: impl ToSocketAddrs,
        limits: ReceiverLimits,
        handler: impl Handler + 'static,
    ) -> Result<Self> {
        Server::bind(address, limits, handler)?.start()
    }

    /// Where it listens, as [`Server::local_addr`].
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.control.address
    }

    /// What a client on this machine has to be told, as [`Server::endpoint`].
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.control.endpoint
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> ReceiverStats {
        self.control.stats()
    }

    /// Takes no more connections, answers the requests that have begun for at most `grace`, and ends.
    /// Blocks until then.
    pub fn shutdown(mut self, grace: Duration) -> ReceiverStats {
        self.control.shutdown(grace);
        if let Some(thread) = self.thread.take() {
            // A panic in the thread was printed there; the account is right all the same.
            let _ended = thread.join();
        }
        self.stats()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.control.shutdown(Duration::ZERO);
    }
}

/// A receiver for async programs: bound, and run where the caller likes.
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// use std::time::Duration;
/// use otlp_core::transport::receiver::{Answer, ReceiverLimits, Server};
///
/// let server = Server::bind("127.0.0.1:0", ReceiverLimits::default(), |_, _: &[u8]| Answer::accepted(1))?;
/// let control = server.control();
/// let running = tokio::spawn(server.run());
/// control.shutdown(Duration::from_secs(1));
/// running.await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "nothing is received unless the server runs"]
pub struct Server {
    front: Front,
    core: Arc<Core>,
    control: Control,
}

impl Server {
    /// Listens on `address`. Needs no runtime.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where the address cannot be had, [`ErrorKind::Config`] where a limit is out of the
    /// range that its setter names.
    pub fn bind(
        address: impl ToSocketAddrs,
        limits: ReceiverLimits,
        handler: impl Handler + 'static,
    ) -> Result<Self> {
        limits.check()?;
        Self::on(Bound::tcp(address)?, limits, handler)
    }

    /// Listens on a Unix socket at `path`, which whoever may write to the file and enter its directory can connect to.
    ///
    /// A socket that is left over there, with nobody listening, is replaced; anything else is not. The file is removed
    /// when the server ends or is dropped.
    ///
    /// ```
    /// # let directory = std::env::temp_dir().join(format!("otlp-core-doc-{}", std::process::id()));
    /// # std::fs::create_dir_all(&directory)?;
    /// use otlp_core::transport::receiver::{Answer, ReceiverLimits, Server};
    ///
    /// let path = directory.join("otlp.sock");
    /// let server = Server::bind_unix(&path, ReceiverLimits::default(), |_, _: &[u8]| Answer::accepted(1))?;
    /// assert_eq!(server.endpoint(), format!("unix://{}", path.display()));
    /// # drop(server);
    /// # std::fs::remove_dir(directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    #[cfg(unix)]
    pub fn bind_unix(
        path: impl AsRef<std::path::Path>,
        limits: ReceiverLimits,
        handler: impl Handler + 'static,
    ) -> Result<Self> {
        limits.check()?;
        Self::on(Bound::unix(path.as_ref())?, limits, handler)
    }

    fn on(bound: Bound, limits: ReceiverLimits, handler: impl Handler + 'static) -> Result<Self> {
        let account = Arc::new(Account::new(&limits));
        let address = bound.address()?;
        let endpoint = bound.endpoint(address, "http");
        let stop = watch::Sender::new(None);
        let control = Control { address, endpoint, account: Arc::clone(&account), stop };
        let core = Arc::new(Core::new(limits, Box::new(handler), account));
        Ok(Self { front: Front { bound, greeter: Greeter::default() }, core, control })
    }

    /// Takes only connections with TLS. The handshake has to be done within the `header_timeout`; one that fails
    /// counts with the connections that failed.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where certificate or key cannot be used, or the server listens on a Unix socket.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: ServerTls) -> Result<Self> {
        #[cfg(unix)]
        if matches!(self.front.bound, Bound::Unix(..)) {
            return Err(Error::new(ErrorKind::Config, "tls: not on a unix socket"));
        }
        self.front.greeter.tls = Some(Arc::new(ServerSide::new(tls)?));
        self.control.endpoint = self.front.bound.endpoint(self.control.address, "https");
        Ok(self)
    }

    /// Runs it on a thread of its own, named `otlp-receive`.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) where the thread cannot be started.
    pub fn start(self) -> Result<Receiver> {
        let control = self.control();
        let thread = start_thread("otlp-receive", runtime()?, self.run())?;
        Ok(Receiver { control, thread: Some(thread) })
    }

    /// Where it listens. On a Unix socket that is the unspecified address with port 0.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.control.address
    }

    /// What a client on this machine has to be told: `http://`, `https://` or `unix://`, and where it listens.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.control.endpoint
    }

    /// A handle that watches and stops it.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Receives until it is shut down. Needs a tokio runtime with I/O and time.
    ///
    /// Connections are tasks of a set that belongs to this future: dropping it closes them all. Handlers run on
    /// the runtime's threads for blocking work, at most [`ReceiverLimits::workers`] at a time.
    pub async fn run(self) {
        serve(self.front, self.core, self.control.stop.subscribe()).await;
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("control", &self.control).finish_non_exhaustive()
    }
}

/// Watches and stops a [`Server`]. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    address: SocketAddr,
    endpoint: Arc<str>,
    account: Arc<Account>,
    /// Set once: when the last connection must be gone.
    stop: watch::Sender<Option<Instant>>,
}

impl Control {
    /// What the server has done so far.
    #[must_use]
    pub fn stats(&self) -> ReceiverStats {
        self.account.stats()
    }

    /// Tells the server to take no more connections and to end within `grace`. Does not wait;
    /// [`Server::run`] returns when it is done.
    pub fn shutdown(&self, grace: Duration) {
        // A year is as good as for ever, and no platform's clock overflows on it.
        let deadline = Instant::now() + grace.min(Duration::from_secs(365 * 86_400));
        self.stop.send_modify(|stop| *stop = Some(stop.map_or(deadline, |earlier| earlier.min(deadline))));
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("endpoint", &self.endpoint)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
