//! The forwarding tap: listens in front of a service, forwards every connection to it, and watches.
//!
//! It needs no privileges and never alters a byte. Half-close, reset and back-pressure pass through: what one
//! end does the other end sees, and what a slow reader has not taken is not read from the sender (at most one
//! buffer of 64 KiB a direction waits).
//!
//! # How it works
//! One thread that [`Tap::start`] starts runs one task a connection on a single-threaded tokio runtime. Threads
//! per connection would save little (a wake-up costs the same) and would not pass on resets, which the standard
//! library cannot send.
//!
//! Bytes are parsed on the path, right before they are forwarded. So there is no queue that could overflow, a
//! request has its span before the service sees it (what it calls meanwhile finds its parent), and a response
//! has been given to the sink when its client reads it.

mod config;
mod relay;
mod run;
mod stats;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use otlp_core::sink::Sink;
use tokio::sync::watch;

pub use self::config::TapConfig;
use self::run::Shared;
pub use self::stats::{Flow, TapStats};
use crate::error::{Error, ErrorKind, Result};
pub use crate::watch::{TapProtocol, TappedSpan};

/// The forwarding tap; see the [module](self).
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "nothing is in it")]
pub struct Tap;

impl Tap {
    /// Binds the address and starts the one thread that forwards and watches.
    ///
    /// The sink is called on that thread, and must not block.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::net::{TcpListener, TcpStream};
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use otlp_core::sink::MemorySink;
    /// use otlp_ebpf::tap::{Tap, TapConfig};
    /// use otlp_ebpf::{IdSource, Service};
    ///
    /// let upstream = TcpListener::bind("127.0.0.1:0")?;
    /// let server = std::thread::spawn({
    ///     let upstream = upstream.try_clone()?;
    ///     move || {
    ///         let mut stream = upstream.accept()?.0;
    ///         stream.read_exact(&mut [0; 22])?;
    ///         stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
    ///     }
    /// });
    /// let service = Service::new("shop", Arc::new(IdSource::seeded(7)));
    /// let sink = Arc::new(MemorySink::new(100));
    /// let listen = "127.0.0.1:0".parse()?;
    /// let tap = Tap::start(TapConfig::new(listen, upstream.local_addr()?, service), sink.clone())?;
    ///
    /// let mut client = TcpStream::connect(tap.local_addr())?;
    /// client.write_all(b"GET /cart HTTP/1.1\r\n\r\n")?;
    /// client.read_to_string(&mut String::new()).ok();
    /// server.join().ok();
    /// let stats = tap.shutdown(Duration::from_secs(1));
    /// assert_eq!((stats.account.spans, sink.take().len()), (1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value of the configuration cannot work, [`ErrorKind::Io`] where the address
    /// cannot be bound or the thread cannot be started.
    pub fn start(config: TapConfig, sink: Arc<dyn Sink<TappedSpan>>) -> Result<TapHandle> {
        config.check()?;
        let failed = |what: &str, error: std::io::Error| {
            Error::new(ErrorKind::Io, format!("tap: {what} failed")).with_source(error)
        };
        let listener = TcpListener::bind(config.listen).map_err(|error| failed("bind", error))?;
        listener.set_nonblocking(true).map_err(|error| failed("set nonblocking", error))?;
        let address = listener.local_addr().map_err(|error| failed("local address", error))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(RESOLVERS)
            .build()
            .map_err(|error| failed("start of the runtime", error))?;
        let (stop, stopped) = watch::channel(None);
        let shared = Arc::new(Shared::new(config, sink));
        let thread = std::thread::Builder::new()
            .name(format!("tap-{}", shared.config.service.name()))
            .spawn({
                let shared = Arc::clone(&shared);
                move || runtime.block_on(run::run(listener, shared, stopped))
            })
            .map_err(|error| failed("start of the thread", error))?;
        Ok(TapHandle { address, shared, stop, thread: Some(thread) })
    }
}

/// Threads that look for callers; they read `/proc`.
const RESOLVERS: usize = 2;

/// A running tap. Dropping it stops the tap at once, without waiting; [`TapHandle::shutdown`] is kinder.
#[derive(Debug)]
#[must_use = "dropping the handle stops the tap"]
pub struct TapHandle {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Until when connections may go on; `None` while the tap runs.
    stop: watch::Sender<Option<Instant>>,
    thread: Option<JoinHandle<()>>,
}

impl TapHandle {
    /// The address that the tap listens on.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The account so far, of one instant.
    #[must_use]
    pub fn stats(&self) -> TapStats {
        self.shared.stats()
    }

    /// Stops: accepts no more, closes idle connections, lets busy ones go on until `deadline` has passed, then
    /// cuts them off, and gives the final account. Blocks until then.
    pub fn shutdown(mut self, deadline: Duration) -> TapStats {
        self.stop.send_replace(Some(Instant::now() + deadline));
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the panic hook already; the account stands.
            let _ = thread.join();
        }
        self.shared.stats()
    }
}

impl Drop for TapHandle {
    fn drop(&mut self) {
        self.stop.send_if_modified(|until| until.replace(Instant::now()).is_none());
    }
}
