//! The client for async programs: OTLP/HTTP with protobuf or JSON bodies, and with the feature `grpc` OTLP/gRPC.
//!
//! A [`Client`] takes requests and never waits; its [`Driver`] sends them. The caller decides where the
//! driver runs, in a task of its own or beside something else.
//!
//! ```
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! use std::time::Duration;
//! use otlp_core::protocol::Signal;
//! use otlp_core::transport::client::ClientConfig;
//!
//! let (client, driver) = ClientConfig::new("http://127.0.0.1:4318").build()?;
//! let running = tokio::spawn(driver.run());
//! client.send(Signal::Traces, vec![].into(), 0)?;
//! let report = client.shutdown(Duration::from_millis(10)).await;
//! assert!(report.stats.is_balanced());
//! running.await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod body;
mod changing;
mod config;
mod connect;
mod connections;
pub(crate) mod deliver;
mod env;
mod http1;
mod proxy;
pub(super) mod target;

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use self::body::{Encoders, Prepare};
use self::deliver::{Waiter, Waiters};
use self::http1::{Expected, Link, exchange};
use self::target::Target;
use super::clock::SteadyClock;
use super::form::Form;
#[cfg(feature = "grpc")]
use super::grpc::{Call, Channel};
use super::race::{Either, all, race};
use crate::UnixNanos;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::Signal;
#[cfg(feature = "trace")]
use crate::protocol::export::TraceEvent;
use crate::protocol::export::{
    Attempt, Command, Counters, Exporter, ExporterStats, Outcome, Outgoing, Report, Request as Queued,
    RequestId, Verdict,
};
use crate::protocol::failover::DestinationId;
use crate::protocol::memory::MemoryLimiter;
use crate::stats::{Measure, Measurements, Stats};

pub use config::{ClientConfig, Compression, HeaderSource, Observer, Protocol};
pub use connections::ConnectionStats;
pub(super) use connections::Connections;
pub use proxy::Proxy;

/// Takes encoded requests and accounts for them. Cheap to clone; all clones are one client.
#[derive(Clone)]
#[must_use = "requests are lost unless the client is shut down"]
pub struct Client {
    shared: Arc<Shared>,
}

/// Sends what the client takes. Nothing happens unless [`run`](Self::run) is awaited.
#[must_use = "nothing is sent unless the driver runs"]
pub struct Driver {
    shared: Arc<Shared>,
    lanes: usize,
}

/// What a client is made of.
pub(super) struct Parts {
    exporter: Exporter,
    targets: Vec<Target>,
    protocol: Protocol,
    memory: Option<MemoryLimiter>,
    lanes: usize,
    request_bytes: usize,
    compression: Compression,
    compression_level: Option<u8>,
    response_bytes: usize,
    observer: Option<Arc<dyn Observer>>,
    seed: u64,
    connections: Arc<Connections>,
}

struct Shared {
    exporter: Mutex<Exporter>,
    /// Locked within the exporter's lock, never around it.
    waiters: Waiters,
    /// Wakes one lane: something may have to be sent.
    wake: Notify,
    /// Wakes whoever waits for an empty queue or the end, with and without a runtime.
    settled: Notify,
    settled_blocking: Condvar,
    finished: watch::Sender<Option<Report>>,
    clock: SteadyClock,
    jitter: AtomicU64,
    /// By destination, the primary first.
    targets: Vec<Target>,
    /// The connection of all lanes to each of the targets, where the protocol has one for all.
    #[cfg(feature = "grpc")]
    channels: Vec<Channel>,
    memory: Option<MemoryLimiter>,
    response_bytes: usize,
    observer: Option<Arc<dyn Observer>>,
    form: Form,
    prepare: Prepare,
    connections: Arc<Connections>,
}

impl Client {
    fn new(parts: Parts) -> (Self, Driver) {
        #[cfg(feature = "grpc")]
        let channel = || Channel::new(parts.compression != Compression::None, parts.response_bytes);
        #[cfg(feature = "grpc")]
        let channels = match parts.protocol {
            Protocol::Grpc => parts.targets.iter().map(|_| channel()).collect(),
            Protocol::HttpProtobuf | Protocol::HttpJson => Vec::new(),
        };
        let shared = Arc::new(Shared {
            exporter: Mutex::new(parts.exporter),
            waiters: Waiters::default(),
            wake: Notify::new(),
            settled: Notify::new(),
            settled_blocking: Condvar::new(),
            finished: watch::Sender::new(None),
            clock: SteadyClock::start(),
            jitter: AtomicU64::new(parts.seed),
            targets: parts.targets,
            #[cfg(feature = "grpc")]
            channels,
            memory: parts.memory,
            response_bytes: parts.response_bytes,
            observer: parts.observer,
            form: parts.protocol.form(),
            prepare: Prepare {
                form: parts.protocol.form(),
                max_bytes: parts.request_bytes,
                encoders: Encoders::new(parts.compression, parts.compression_level),
            },
            connections: parts.connections,
        });
        (Self { shared: Arc::clone(&shared) }, Driver { shared, lanes: parts.lanes })
    }

    /// Hands in an encoded `Export..ServiceRequest` of `records` spans, data points or log records.
    ///
    /// Never waits for the network: copies nothing without compression, compresses here with it, and with
    /// [`Protocol::HttpJson`] converts here.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] where there is no room for it, or its bytes before compression exceed
    /// [`max_request_bytes`](crate::protocol::export::ExporterConfig::max_request_bytes); [`ErrorKind::Closed`] after
    /// the shutdown began. Its records are counted as dropped. [`ErrorKind::Malformed`] where it was to be
    /// converted to JSON and is no such request: nothing is counted.
    pub fn send(&self, signal: Signal, body: Bytes, records: u32) -> Result<RequestId> {
        self.submit(Queued::new(signal, body, records))
    }

    /// As [`send`](Self::send), with a [priority](Queued::priority).
    ///
    /// # Errors
    /// As [`send`](Self::send); and [`ErrorKind::Full`] where the policy is to block and there is no room:
    /// nothing was lost or counted, and a clone of the request, which shares its bytes, can be submitted again.
    pub fn submit(&self, request: Queued) -> Result<RequestId> {
        self.hand_in(request, |_| ())
    }

    /// As [`submit`](Self::submit); `taken` is called before anything can become of the request.
    fn hand_in(&self, mut request: Queued, taken: impl FnOnce(RequestId)) -> Result<RequestId> {
        request.body = self.shared.prepare.apply(request.signal, request.body)?;
        let id = self.shared.at_now(|exporter, now| {
            let id = match &self.shared.memory {
                Some(memory) => exporter.enqueue_within(now, request, memory),
                None => exporter.enqueue(now, request),
            };
            id.inspect(|id| taken(*id))
        });
        self.shared.wake.notify_one();
        Ok(id?)
    }

    /// Where every record is, at this instant.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.lock().stats()
    }

    /// What moving the records took.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.lock().counters()
    }

    /// All that the client counts; [`Measure`] makes OTLP metrics or OpenMetrics text of it.
    #[must_use]
    pub fn exporter_stats(&self) -> ExporterStats {
        self.shared.lock().exporter_stats()
    }

    /// What its connections went through.
    #[must_use]
    pub fn connection_stats(&self) -> ConnectionStats {
        self.shared.connections.stats()
    }

    /// The exporter's events so far, oldest first, and how many found no room.
    #[cfg(feature = "trace")]
    #[must_use]
    pub fn trace(&self) -> (Vec<TraceEvent>, u64) {
        let exporter = self.shared.lock();
        (exporter.trace().to_vec(), exporter.trace_lost())
    }

    /// Waits until nothing is queued or in flight. Cancel-safe.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] where that takes longer than `within`.
    pub async fn flush(&self, within: Duration) -> Result<()> {
        let emptied = self.shared.settles(|exporter| exporter.queued_requests() == 0);
        tokio::time::timeout(within, emptied).await.map_err(|_| late_flush(within))
    }

    /// Takes nothing more, sends what is queued for at most `grace`, drops the rest, and reports. Works
    /// without a running driver too: then nothing is sent. Cancelled, the shutdown goes on.
    pub async fn shutdown(&self, grace: Duration) -> Report {
        let deadline = self.shared.begin_shutdown(grace);
        let mut finished = self.shared.finished.subscribe();
        let end = finished.wait_for(Option::is_some);
        let _in_time = timeout_at(self.shared.clock.instant(deadline), end).await;
        self.shared.end_shutdown(deadline)
    }

    /// As [`flush`](Self::flush), blocking the thread; no runtime is needed, and one may be around.
    pub(super) fn flush_blocking(&self, within: Duration) -> Result<()> {
        let exporter = self.shared.lock();
        let waiting = |exporter: &mut Exporter| exporter.queued_requests() > 0;
        let waited = self.shared.settled_blocking.wait_timeout_while(exporter, within, waiting);
        let (_exporter, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() { Err(late_flush(within)) } else { Ok(()) }
    }

    /// As [`shutdown`](Self::shutdown), blocking the thread.
    pub(super) fn shutdown_blocking(&self, grace: Duration) -> Report {
        let deadline = self.shared.begin_shutdown(grace);
        let running = |_: &mut Exporter| self.shared.finished.borrow().is_none();
        let waited = self.shared.settled_blocking.wait_timeout_while(self.shared.lock(), grace, running);
        drop(waited);
        self.shared.end_shutdown(deadline)
    }

    /// Begins a shutdown without waiting for it.
    pub(super) fn abandon(&self) {
        self.shared.begin_shutdown(Duration::ZERO);
    }
}

fn late_flush(within: Duration) -> Error {
    Error::new(ErrorKind::Timeout, format!("flush: not done within {within:?}"))
}

impl Measure for Client {
    fn measure(&self, into: &mut Measurements) {
        self.exporter_stats().measure(into);
        self.connection_stats().measure(into);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("lanes", &self.lanes).finish_non_exhaustive()
    }
}

impl Driver {
    /// Sends requests until the client is shut down. Needs a tokio runtime with I/O and time.
    ///
    /// Starts no task: every connection is driven by this future. Dropped, it leaves the queue as it is
    /// and its attempts end as timed out when somebody shuts the client down.
    pub async fn run(self) {
        let shared = &*self.shared;
        let lanes = all((0..self.lanes).map(|_| shared.lane()));
        #[cfg(feature = "grpc")]
        {
            // Connections first: a lane that wakes is to see that its one is closed. They never end.
            let connections = async {
                all(shared.channels.iter().map(Channel::drive)).await;
                std::future::pending::<()>().await;
            };
            let _lanes_ended = race(connections, lanes).await;
        }
        #[cfg(not(feature = "grpc"))]
        lanes.await;
    }
}

impl Drop for Driver {
    /// Nobody is to wait in vain.
    fn drop(&mut self) {
        self.shared.waiters.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Exporter> {
        self.exporter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the clock under the lock. Looked at before, two threads could hand their instants in the
    /// wrong order, which the exporter would take for a clock that was set back.
    fn at_now<T>(&self, call: impl FnOnce(&mut Exporter, UnixNanos) -> T) -> T {
        let mut exporter = self.lock();
        let before = exporter.counters();
        let answer = call(&mut exporter, self.clock.now());
        self.waiters.tell_dropped(&exporter, &before);
        answer
    }

    /// Sends one request after the other over one connection, until the exporter is finished.
    async fn lane(&self) {
        let mut link = None;
        loop {
            match self.poll() {
                Command::Send(outgoing) => {
                    // Another lane sends the next one, or watches the time meanwhile.
                    self.wake.notify_one();
                    link = self.attempt(link, outgoing).await;
                }
                Command::WaitUntil(at) => self.idle(&mut link, Some(at)).await,
                Command::Idle => {
                    self.tell_settled();
                    self.idle(&mut link, None).await;
                }
                Command::Finished(_) => return,
            }
        }
    }

    fn poll(&self) -> Command {
        let command = self.at_now(|exporter, now| exporter.poll(now, self.jitter()));
        if let Command::Finished(report) = command {
            self.finished.send_replace(Some(report));
            self.tell_settled();
        }
        command
    }

    fn tell_settled(&self) {
        // Whoever waits on the condition variable looked at the exporter under this lock.
        drop(self.lock());
        self.settled_blocking.notify_all();
        self.settled.notify_waiters();
    }

    /// Makes one attempt; returns the connection where it is still good.
    async fn attempt(&self, link: Option<LaneLink>, outgoing: Outgoing) -> Option<LaneLink> {
        let Outgoing { attempt, destination, .. } = outgoing;
        let deadline = self.clock.instant(outgoing.deadline);
        // A connection to another destination is closed.
        let link = link.filter(|link| link.to == destination).map(|link| link.link);
        let exchanged = self.exchange(link, outgoing, deadline);
        let mut finished = self.finished.subscribe();
        let over = finished.wait_for(Option::is_some);
        let (outcome, link) = match race(timeout_at(deadline, exchanged), over).await {
            Either::Left(Ok(done)) => done,
            Either::Left(Err(_)) | Either::Right(_) => (Outcome::TimedOut, None),
        };
        let (verdict, waiter) = self.settle(attempt, outcome);
        if let Some(observer) = &self.observer {
            observer.settled(attempt.request, &verdict);
        }
        if let Some(waiter) = waiter {
            waiter.tell(verdict);
        }
        Some(LaneLink { to: destination, link: link? })
    }

    /// Takes an outcome, and whoever waits for it: under one lock, or else whoever drops another request meanwhile
    /// would find this one gone too and tell of it as dropped.
    fn settle(&self, attempt: Attempt, outcome: Outcome) -> (Verdict, Option<Waiter>) {
        self.at_now(|exporter, now| {
            let verdict = exporter.on_outcome(now, self.jitter(), attempt, outcome);
            let waiter = self.waiters.take(attempt.request, &verdict);
            (verdict, waiter)
        })
    }

    #[cfg_attr(not(feature = "grpc"), expect(unused_variables, reason = "HTTP/1.1 cannot tell the deadline"))]
    async fn exchange(
        &self,
        link: Option<Link>,
        outgoing: Outgoing,
        deadline: Instant,
    ) -> (Outcome, Option<Link>) {
        let destination = usize::from(outgoing.destination.0);
        let Some(target) = self.targets.get(destination) else { return (Outcome::Disconnected, None) };
        #[cfg(feature = "grpc")]
        if let Some(channel) = self.channels.get(destination) {
            let call = Call { signal: outgoing.signal, body: outgoing.body, deadline };
            return (channel.call(target, call).await, None);
        }
        let expected = Expected { form: self.form, signal: outgoing.signal, max_bytes: self.response_bytes };
        let Some(request) = request_to(target, outgoing) else { return (Outcome::Disconnected, link) };
        exchange(link, target, request, expected).await
    }

    /// Waits for something to do, and notices meanwhile when the receiver closes the connection.
    async fn idle(&self, link: &mut Option<LaneLink>, until: Option<UnixNanos>) {
        let mut finished = self.finished.subscribe();
        let woken = race(self.wake.notified(), finished.wait_for(Option::is_some));
        let woken = async {
            match until {
                Some(at) => drop(timeout_at(self.clock.instant(at), woken).await),
                None => drop(woken.await),
            }
        };
        let closed = match link {
            Some(link) => matches!(race(woken, link.link.closed()).await, Either::Right(())),
            None => {
                woken.await;
                false
            }
        };
        if closed {
            *link = None;
        }
    }

    /// Waits until the exporter is as `wanted`.
    async fn settles(&self, wanted: impl Fn(&Exporter) -> bool) {
        loop {
            let mut settled = pin!(self.settled.notified());
            // From here on no notification is missed.
            settled.as_mut().enable();
            if wanted(&self.lock()) {
                return;
            }
            settled.await;
        }
    }

    fn begin_shutdown(&self, grace: Duration) -> UnixNanos {
        let deadline = self.at_now(|exporter, now| {
            exporter.shutdown(now, now + grace);
            now + grace
        });
        self.wake.notify_one();
        deadline
    }

    /// Past the deadline the exporter is finished whoever asks it, so a missing driver holds nobody up.
    fn end_shutdown(&self, deadline: UnixNanos) -> Report {
        if let Some(report) = *self.finished.borrow() {
            return report;
        }
        let command = self.at_now(|exporter, now| exporter.poll(now.max(deadline), 0));
        let Command::Finished(report) = command else {
            return Report::default();
        };
        self.finished.send_replace(Some(report));
        self.tell_settled();
        report
    }

    fn jitter(&self) -> u64 {
        // splitmix64 (Steele, Lea, Flood 2014): a counter, well mixed.
        let step = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = self.jitter.fetch_add(step, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The connection that a lane keeps, and to which destination.
struct LaneLink {
    to: DestinationId,
    link: Link,
}

fn request_to(target: &Target, outgoing: Outgoing) -> Option<Request<Full<Bytes>>> {
    let mut request = Request::new(Full::new(outgoing.body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.uri(outgoing.signal);
    *request.headers_mut() = target.headers()?;
    Some(request)
}

#[cfg(all(test, feature = "trace"))]
mod tests {
    use super::*;

    #[test]
    fn threads_that_send_at_once_do_not_make_the_exporters_time_run_fast() {
        let (client, _driver) = ClientConfig::new("http://127.0.0.1:9").build().expect("valid");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..5_000).for_each(|_| drop(client.send(Signal::Logs, Bytes::new(), 1))));
            }
        });
        let exporter = client.shared.lock();
        let last = exporter.trace().last().expect("events").at();
        assert!(last <= client.shared.clock.now(), "{last} is yet to come");
        assert!(exporter.trace().is_sorted_by_key(TraceEvent::at));
    }
}
