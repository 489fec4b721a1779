//! The same client for programs without a runtime, and for synchronous code inside one.
//!
//! ```
//! use std::time::Duration;
//! use otlp_core::protocol::Signal;
//! use otlp_core::transport::blocking::Client;
//! use otlp_core::transport::client::ClientConfig;
//! use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits};
//!
//! let limits = ReceiverLimits::default();
//! let receiver = Receiver::start("127.0.0.1:0", limits, |_, _: &[u8]| Answer::accepted(3))?;
//! let client = Client::start(ClientConfig::new(format!("http://{}", receiver.local_addr())))?;
//! client.send(Signal::Traces, b"...".as_slice().into(), 3)?;
//! let report = client.shutdown(Duration::from_secs(5));
//! assert_eq!((report.stats.exported, report.stats.dropped), (3, 0));
//! # receiver.shutdown(Duration::from_secs(5));
//! # Ok::<(), otlp_core::Error>(())
//! ```

use std::thread::{Builder as ThreadBuilder, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};

use super::client::{self, ClientConfig, ConnectionStats};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::Signal;
#[cfg(feature = "trace")]
use crate::protocol::export::TraceEvent;
use crate::protocol::export::{Counters, ExporterStats, Report, Request, RequestId};
use crate::stats::{Measure, Measurements, Stats};

/// An OTLP/HTTP client with a thread of its own.
///
/// Dropped without [`shutdown`](Self::shutdown), it drops what is queued and does not wait.
#[derive(Debug)]
#[must_use = "requests are lost unless the client is shut down"]
pub struct Client {
    client: client::Client,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    /// Starts the client and its thread, named `otlp-export`.
    ///
    /// # Errors
    /// As [`ClientConfig::build`], and [`ErrorKind::Io`] where the thread cannot be started.
    pub fn start(config: ClientConfig) -> Result<Self> {
        let (client, driver) = config.build()?;
        let runtime = runtime()?;
        let thread = start_thread("otlp-export", runtime, driver.run())?;
        Ok(Self { client, thread: Some(thread) })
    }

    /// The client without its thread.
    #[cfg(any(feature = "otel", feature = "store"))]
    pub(crate) const fn handle(&self) -> &client::Client {
        &self.client
    }

    /// Hands in an encoded request; see [`client::Client::send`].
    ///
    /// # Errors
    /// As [`client::Client::send`].
    pub fn send(&self, signal: Signal, body: Bytes, records: u32) -> Result<RequestId> {
        self.client.send(signal, body, records)
    }

    /// Hands in an encoded request with a priority; see [`client::Client::submit`].
    ///
    /// # Errors
    /// As [`client::Client::submit`].
    pub fn submit(&self, request: Request) -> Result<RequestId> {
        self.client.submit(request)
    }

    /// Where every record is, at this instant.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.client.stats()
    }

    /// What moving the records took.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.client.counters()
    }

    /// All that the client counts; [`Measure`] makes OTLP metrics or OpenMetrics text of it.
    #[must_use]
    pub fn exporter_stats(&self) -> ExporterStats {
        self.client.exporter_stats()
    }

    /// What its connections went through.
    #[must_use]
    pub fn connection_stats(&self) -> ConnectionStats {
        self.client.connection_stats()
    }

    /// The exporter's events so far, oldest first, and how many found no room.
    #[cfg(feature = "trace")]
    #[must_use]
    pub fn trace(&self) -> (Vec<TraceEvent>, u64) {
        self.client.trace()
    }

    /// Blocks until nothing is queued or in flight.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] where that takes longer than `within`.
    pub fn flush(&self, within: Duration) -> Result<()> {
        self.client.flush_blocking(within)
    }

    /// Takes nothing more, sends what is queued for at most `grace`, drops the rest, and reports. Statistics
    /// and trace can be read afterwards.
    ///
    /// Blocks for at most `grace`. The thread ends by itself right after.
    pub fn shutdown(&self, grace: Duration) -> Report {
        self.client.shutdown_blocking(grace)
    }
}

impl Measure for Client {
    fn measure(&self, into: &mut Measurements) {
        self.client.measure(into);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.client.abandon();
        // Not joined: a destructor does not wait.
        drop(self.thread.take());
    }
}

pub(super) fn runtime() -> Result<Runtime> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|source| Error::new(ErrorKind::Io, "runtime: not started").with_source(source))
}

/// Runs `work` to its end on a thread of its own.
pub(super) fn start_thread(
    name: &str,
    runtime: Runtime,
    work: impl Future<Output = ()> + Send + 'static,
) -> Result<JoinHandle<()>> {
    let run = move || {
        runtime.block_on(work);
        // A name still being looked up must not hold the thread.
        runtime.shutdown_background();
    };
    ThreadBuilder::new().name(name.to_owned()).spawn(run).map_err(|source| {
        Error::new(ErrorKind::Io, format!("thread {name}: not started")).with_source(source)
    })
}
