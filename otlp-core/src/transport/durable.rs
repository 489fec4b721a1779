//! A client whose queue is on the disk: what it has taken survives the process and the machine.
//!
//! Every request is durable before [`send`](Client::send) returns, and is sent in the background until it is
//! settled; what is left when the program ends, however it ends, is sent by the next client that opens the same
//! queue. Delivery is at least once: what was on its way when the program died is sent again.
//!
//! ```
//! # let directory = std::env::temp_dir().join(format!("otlp-durable-doc-{}", std::process::id()));
//! use std::time::{Duration, SystemTime};
//! use otlp_core::protocol::Signal;
//! use otlp_core::protocol::export::Request;
//! use otlp_core::store::StoreConfig;
//! use otlp_core::transport::client::ClientConfig;
//! use otlp_core::transport::durable::Client;
//! use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits};
//!
//! let receiver = Receiver::start("127.0.0.1:0", ReceiverLimits::default(), |_, _: &[u8]| Answer::accepted(3))?;
//! let (queue, _found) = StoreConfig::default().open(&directory, SystemTime::now().into())?;
//! let client = Client::start(ClientConfig::new(format!("http://{}", receiver.local_addr())), queue)?;
//! client.send(Request::new(Signal::Traces, b"...".as_slice().into(), 3))?;
//! client.flush(Duration::from_secs(5))?;
//! assert_eq!(client.shutdown(Duration::from_secs(5)).exported, 3);
//! # receiver.shutdown(Duration::from_secs(5));
//! # std::fs::remove_dir_all(directory)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod worker;

use std::sync::mpsc::{Sender, channel, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use self::worker::{Message, Reply, Worker};
use super::blocking;
use super::client::ClientConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::export::{ExporterStats, Request};
use crate::stats::{Measure, Measurements, Stats};
use crate::store::{Disk, DurableQueue, EntryId};

/// An OTLP client that forgets nothing it has taken; see the [module](self).
///
/// It has two threads: one for the queue, whose calls wait for the disk, and one for the network. Requests that
/// are handed in at the same time share one `fsync`.
///
/// Dropped without [`shutdown`](Self::shutdown), it ends in the background and leaves on the disk what is not
/// settled; the queue's directory is free again when that is done.
#[derive(Debug)]
#[must_use = "requests stay on the disk until the client is shut down or has sent them"]
pub struct Client {
    messages: Sender<Message>,
    shared: Arc<Shared>,
    sending: Arc<blocking::Client>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the queue's thread tells everybody.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    stats: Stats,
    /// In the queue, given out or not.
    requests: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, state: State) {
        *self.lock() = state;
        self.changed.notify_all();
    }
}

impl Client {
    /// Starts the client on a queue that was opened; what is in it is sent first.
    ///
    /// Of `config`, what bounds the exporter's own queue is without effect: how much may wait, and for how long, is the
    /// durable queue's to say. A request that could not be sent within `max_elapsed` goes back to the queue, which
    /// drops it where it has grown too old and else gives it out again. The most in flight and of attempts, timeouts, backoff and breakers hold as ever.
    ///
    /// # Errors
    /// As [`ClientConfig::build`], and [`ErrorKind::Io`] where a thread cannot be started.
    pub fn start<D>(config: ClientConfig, queue: DurableQueue<D>) -> Result<Self>
    where
        D: Disk + Send + 'static,
    {
        let (config, in_flight) = config.without_queue();
        let sending = Arc::new(blocking::Client::start(config)?);
        let shared = Arc::new(Shared::default());
        let (messages, inbox) = channel();
        let sender = worker::Sender { client: Arc::clone(&sending), answers: messages.clone(), in_flight };
        let worker = Worker::new(queue, sender, Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name("otlp-durable".to_owned())
            .spawn(move || worker.run(&inbox))
            .map_err(|source| {
                Error::new(ErrorKind::Io, "thread otlp-durable: not started").with_source(source)
            })?;
        Ok(Self { messages, shared, sending, thread: Mutex::new(Some(thread)) })
    }

    /// Takes a request; returns when it is durable, as far as the queue's
    /// [policy](crate::store::SyncPolicy) goes. Blocks for one `fsync`, or two where one was under way.
    ///
    /// # Errors
    /// [`ErrorKind::Full`] where there is no room in the queue or on the disk and [`ErrorKind::Io`] where the disk
    /// failed: nothing was lost, a clone of the request can be sent again. [`ErrorKind::Limit`] where the
    /// request alone is too large, and [`ErrorKind::Full`] where the queue is made to
    /// [drop](crate::store::Overflow): those are counted as dropped. [`ErrorKind::Closed`] after the shutdown began.
    pub fn send(&self, request: Request) -> Result<EntryId> {
        let (reply, answer) = sync_channel(1);
        self.push(request, Box::new(move |result| drop(reply.send(result))))?;
        answer.recv().map_err(|_| closed())?
    }

    /// As [`send`](Self::send), for async programs; any runtime will do. Cancelled, the request may have been taken.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_async(&self, request: Request) -> Result<EntryId> {
        self.begin_push(request)?.done().await
    }

    /// Hands in a request of which it can be waited for that it is durable.
    pub(crate) fn begin_push(&self, request: Request) -> Result<Pushing> {
        let (reply, answer) = oneshot::channel();
        self.push(request, Box::new(move |result| drop(reply.send(result))))?;
        Ok(Pushing(answer))
    }

    /// The client between the queue and the network.
    #[cfg(feature = "otel")]
    pub(crate) fn sending(&self) -> &super::client::Client {
        self.sending.handle()
    }

    fn push(&self, request: Request, reply: Reply) -> Result<()> {
        self.messages.send(Message::Push(request, reply)).map_err(|_| closed())
    }

    /// Where every record is, over the whole life of the queue, restarts included. On its way counts as queued.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.lock().stats
    }

    /// Requests in the queue, on their way or not.
    #[must_use]
    pub fn queued_requests(&self) -> usize {
        self.shared.lock().requests
    }

    /// What sending took since this client was started. Its account is that of attempts to empty the queue, not the
    /// queue's: see [`stats`](Self::stats).
    #[must_use]
    pub fn exporter_stats(&self) -> ExporterStats {
        self.sending.exporter_stats()
    }

    /// Blocks until the queue is empty.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] where that takes longer than `within`.
    pub fn flush(&self, within: Duration) -> Result<()> {
        let waited =
            self.shared.changed.wait_timeout_while(self.shared.lock(), within, |state| state.requests > 0);
        let (_state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(Error::new(ErrorKind::Timeout, format!("flush: not done within {within:?}")));
        }
        Ok(())
    }

    /// Takes nothing more, sends for at most `grace`, and leaves the rest on the disk, where it counts as queued.
    ///
    /// Blocks for little more than `grace`; the queue can be opened again then.
    pub fn shutdown(&self, grace: Duration) -> Stats {
        self.end(grace);
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic in the thread was printed there; what is on the disk is right all the same.
            let _ended = thread.join();
        }
        self.stats()
    }

    fn end(&self, grace: Duration) {
        // A year is as good as for ever, and no platform's clock overflows on it.
        let deadline = Instant::now() + grace.min(Duration::from_secs(365 * 86_400));
        let _ended_before = self.messages.send(Message::Shutdown(deadline));
    }
}

impl Measure for Client {
    /// The queue's account; what sending took is in [`exporter_stats`](Self::exporter_stats).
    fn measure(&self, into: &mut Measurements) {
        self.stats().measure(into);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

/// A request on its way to the disk.
pub(crate) struct Pushing(oneshot::Receiver<Result<EntryId>>);

impl Pushing {
    pub(crate) async fn done(self) -> Result<EntryId> {
        self.0.await.map_err(|_| closed())?
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "durable client: shut down")
}
