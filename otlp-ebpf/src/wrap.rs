//! The streams of a program itself, watched while they are read and written: no kernel, no second process, and
//! behind TLS, where nobody else can look.
//!
//! An [`Observer`] wraps any stream that implements `Read` and `Write` (or, with the feature `tokio`, `AsyncRead` and
//! `AsyncWrite`): a socket, or what a TLS library makes of one. What passes through an [`Observed`] becomes spans as
//! what passes through a tap does, of the one end that the program is ([`Role`]): what a server reads and a client
//! writes are requests. Bytes, errors and wake-ups are those of the stream inside; where and in which pieces it is read
//! makes no difference to the spans.
//!
//! Parsing takes place in the thread that reads or writes, and the sink is called there, which must not block.

#[cfg(feature = "tokio")]
mod tokio;

use std::fmt;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use otlp_core::sink::Sink;
use otlp_core::time::SystemClock;
use otlp_core::{Clock, UnixNanos};

use crate::account::Account;
use crate::connection::Ending;
use crate::parse::Direction;
#[cfg(feature = "replay")]
use crate::replay::Recorder;
use crate::service::Service;
use crate::span::{Ends, Role};
pub use crate::watch::{TapProtocol, TappedSpan};
use crate::watch::{Watch, Watcher};

/// Watches streams of one service; cheap to clone, each clone shares the account.
///
/// ```
/// use std::io::{Read, Write};
/// use std::sync::Arc;
/// use otlp_core::sink::MemorySink;
/// use otlp_ebpf::wrap::Observer;
/// use otlp_ebpf::{Ends, IdSource, Role, Service};
///
/// let sink = Arc::new(MemorySink::new(100));
/// let observer = Observer::new(Service::new("shop", Arc::new(IdSource::seeded(7))), sink.clone());
/// // Of a client behind TLS: what it writes are requests.
/// let ends = Ends::new(([10, 0, 0, 7], 40_000).into(), ([10, 0, 0, 1], 443).into()).seen_by(Role::Client).over_tls();
/// # let session = Canned(&b"HTTP/1.1 204 No Content\r\n\r\n"[..]);
/// let mut stream = observer.observe(session, ends);
/// stream.write_all(b"GET /cart HTTP/1.1\r\n\r\n")?;
/// stream.read_exact(&mut [0; 27])?;
/// let spans = sink.take();
/// assert_eq!((spans[0].span.name.as_str(), observer.stats().account.spans), ("GET", 1));
/// # struct Canned(&'static [u8]);
/// # impl Read for Canned { fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> { self.0.read(to) } }
/// # impl Write for Canned {
/// #     fn write(&mut self, from: &[u8]) -> std::io::Result<usize> { Ok(from.len()) }
/// #     fn flush(&mut self) -> std::io::Result<()> { Ok(()) }
/// # }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Observer {
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Config {
    service: Arc<Service>,
    protocol: TapProtocol,
    clock: Arc<dyn Clock>,
    sink: Arc<dyn Sink<TappedSpan>>,
    #[cfg(feature = "replay")]
    recorder: Option<Arc<Recorder>>,
}

struct Shared {
    config: Config,
    stats: Mutex<ObserverStats>,
}

/// The account of an [`Observer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ObserverStats {
    /// Streams watched.
    pub streams: u64,
    /// Of these, streams that are there still.
    pub open: u64,
    /// Streams that are gone.
    pub closed: u64,
    /// Streams that failed as one does that the peer has reset.
    pub reset: u64,
    /// Streams taken out of their wrapper, which go on unseen.
    pub released: u64,
    /// Requests, responses and spans.
    pub account: Account,
}

impl ObserverStats {
    /// True where every stream, request and response is accounted for.
    ///
    /// ```
    /// use otlp_ebpf::wrap::ObserverStats;
    /// let mut stats = ObserverStats::default();
    /// stats.streams = 1;
    /// assert!(!stats.is_balanced());
    /// stats.open = 1;
    /// assert!(stats.is_balanced());
    /// ```
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.streams == self.open + self.closed + self.reset + self.released && self.account.is_balanced()
    }
}

impl Observer {
    /// Watches streams of `service`, whose spans go to `sink`.
    #[must_use]
    pub fn new(service: Service, sink: Arc<dyn Sink<TappedSpan>>) -> Self {
        Self::with(Config {
            service: Arc::new(service),
            protocol: TapProtocol::default(),
            clock: Arc::new(SystemClock),
            sink,
            #[cfg(feature = "replay")]
            recorder: None,
        })
    }

    /// The same with another protocol, with an account of its own; default is told for each stream.
    #[must_use]
    pub fn protocol(&self, protocol: TapProtocol) -> Self {
        Self::with(Config { protocol, ..self.shared.config.clone() })
    }

    /// The same with another clock, with an account of its own; default the machine's.
    #[must_use]
    pub fn clock(&self, clock: Arc<dyn Clock>) -> Self {
        Self::with(Config { clock, ..self.shared.config.clone() })
    }

    /// The same, each stream recorded to an event log, which gives the same spans again, with an account of its own:
    /// see [`replay`](crate::replay). The log holds the plain bytes, also of what TLS keeps secret.
    #[cfg(feature = "replay")]
    #[must_use]
    pub fn record(&self, recorder: Arc<Recorder>) -> Self {
        Self::with(Config { recorder: Some(recorder), ..self.shared.config.clone() })
    }

    fn with(config: Config) -> Self {
        Self { shared: Arc::new(Shared { config, stats: Mutex::default() }) }
    }

    /// Wraps a stream between these ends, of which nothing has been read or written yet. [`Ends::role`] is what the
    /// program is.
    pub fn observe<S>(&self, stream: S, ends: Ends) -> Observed<S> {
        let Config { service, protocol, .. } = &self.shared.config;
        let role = ends.role;
        #[cfg(feature = "replay")]
        let watch = match &self.shared.config.recorder {
            Some(recorder) => Watch::recorded(recorder, service, protocol, ends),
            None => Watch::new(service, protocol, ends),
        };
        #[cfg(not(feature = "replay"))]
        let watch = Watch::new(service, protocol, ends);
        self.shared.change(|stats| {
            stats.streams += 1;
            stats.open += 1;
        });
        let eyes = Eyes { shared: Arc::clone(&self.shared), watch, role, failed: false };
        Observed { stream, eyes }
    }

    /// The account so far, of one instant.
    #[must_use]
    pub fn stats(&self) -> ObserverStats {
        *self.shared.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer")
            .field("service", &self.shared.config.service)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut ObserverStats)) {
        // Plain additions are all that happens under the lock.
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Watcher for Shared {
    fn now(&self) -> UnixNanos {
        self.config.clock.now()
    }

    fn service(&self) -> &Arc<Service> {
        &self.config.service
    }

    fn sink(&self) -> &dyn Sink<TappedSpan> {
        &*self.config.sink
    }

    fn count(&self, account: Account, before: Account) {
        self.change(|stats| {
            stats.account += account;
            stats.account -= before;
        });
    }
}

/// A stream that is watched. Dropping it ends the observation: what waits for an answer has failed.
#[must_use = "only what passes through it is seen"]
pub struct Observed<S> {
    stream: S,
    eyes: Eyes,
}

/// What watches a stream, apart from it.
struct Eyes {
    shared: Arc<Shared>,
    watch: Watch,
    role: Role,
    failed: bool,
}

impl<S> Observed<S> {
    /// The stream inside.
    pub const fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream inside. What is read or written past the wrapper is not seen, and what follows may be misread.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Takes the stream out. What waits for an answer is counted as lost.
    #[must_use = "the stream goes on without its wrapper"]
    pub fn into_inner(self) -> S {
        let Self { stream, mut eyes } = self;
        eyes.finish(Ending::Shutdown);
        stream
    }
}

impl<S: fmt::Debug> fmt::Debug for Observed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Eyes {
    const fn incoming(&self) -> Direction {
        match self.role {
            Role::Server => Direction::ToServer,
            Role::Client => Direction::ToClient,
        }
    }

    /// Sees what was read; nothing, where the peer has closed.
    fn read(&mut self, bytes: &[u8]) {
        match bytes {
            [] => self.watch.close(&*self.shared, self.incoming()),
            bytes => self.watch.see(&*self.shared, self.incoming(), bytes),
        }
    }

    /// Sees what was written.
    fn wrote(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.watch.see(&*self.shared, self.incoming().back(), bytes);
        }
    }

    /// Nothing more will be written.
    #[cfg(feature = "tokio")]
    fn shut_down(&mut self) {
        self.watch.close(&*self.shared, self.incoming().back());
    }

    /// Takes note of a failure: of one that ends the connection.
    fn fail(&mut self, error: &io::Error) {
        self.failed |= matches!(
            error.kind(),
            ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
        );
    }

    fn finish(&mut self, ending: Ending) {
        if self.watch.is_finished() {
            return;
        }
        self.watch.finish(&*self.shared, ending);
        self.shared.change(|stats| {
            stats.open -= 1;
            *(match ending {
                Ending::Closed => &mut stats.closed,
                Ending::Reset => &mut stats.reset,
                Ending::Shutdown => &mut stats.released,
            }) += 1;
        });
    }
}

impl Drop for Eyes {
    fn drop(&mut self) {
        self.finish(if self.failed { Ending::Reset } else { Ending::Closed });
    }
}

impl<S: Read> Read for Observed<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Self { stream, eyes } = self;
        let read = stream.read(buffer).inspect_err(|error| eyes.fail(error))?;
        if !buffer.is_empty() {
            eyes.read(buffer.get(..read).unwrap_or_default());
        }
        Ok(read)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let Self { stream, eyes } = self;
        let read = stream.read_vectored(buffers).inspect_err(|error| eyes.fail(error))?;
        if read == 0 && buffers.iter().any(|buffer| !buffer.is_empty()) {
            eyes.read(&[]);
        }
        each(buffers.iter().map(|buffer| &**buffer), read, |bytes| eyes.read(bytes));
        Ok(read)
    }
}

impl<S: Write> Write for Observed<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self { stream, eyes } = self;
        let written = stream.write(bytes).inspect_err(|error| eyes.fail(error))?;
        eyes.wrote(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let Self { stream, eyes } = self;
        let written = stream.write_vectored(buffers).inspect_err(|error| eyes.fail(error))?;
        each(buffers.iter().map(|buffer| &**buffer), written, |bytes| eyes.wrote(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let Self { stream, eyes } = self;
        stream.flush().inspect_err(|error| eyes.fail(error))
    }
}

/// Gives the first `count` bytes of buffers, one buffer after the other.
#[expect(single_use_lifetimes, reason = "an anonymous one is not allowed there")]
fn each<'b>(buffers: impl Iterator<Item = &'b [u8]>, count: usize, mut on: impl FnMut(&[u8])) {
    let mut left = count;
    for buffer in buffers {
        let bytes = buffer.get(..left.min(buffer.len())).unwrap_or_default();
        left -= bytes.len();
        if !bytes.is_empty() {
            on(bytes);
        }
    }
}
