//! Recording a running capture.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use otlp_core::UnixNanos;

use super::log::{self, Record};
use super::session::write_resource;
use crate::connection::Ending;
use crate::error::{Error, ErrorKind, Result};
use crate::parse::{Chunk, Direction};
use crate::service::Service;
use crate::span::Ends;

/// How much a [`Recorder`] holds and writes.
///
/// ```
/// use otlp_ebpf::replay::RecorderConfig;
/// let config = RecorderConfig::default().max_buffer_bytes(1 << 20).max_log_bytes(100 << 20);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RecorderConfig {
    buffer_bytes: usize,
    log_bytes: u64,
}

impl RecorderConfig {
    /// Sets how many bytes may wait to be written; default 8 MiB. Records beyond are lost, and counted.
    #[must_use]
    pub const fn max_buffer_bytes(mut self, bytes: usize) -> Self {
        self.buffer_bytes = bytes;
        self
    }

    /// Sets how long the log may get; default 1 GiB. Records beyond are lost, and counted.
    #[must_use]
    pub const fn max_log_bytes(mut self, bytes: u64) -> Self {
        self.log_bytes = bytes;
        self
    }
}

impl Default for RecorderConfig {
    fn default() -> Self {
        Self { buffer_bytes: 8 << 20, log_bytes: 1 << 30 }
    }
}

/// The account of a [`Recorder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RecorderStats {
    /// Connections recorded.
    pub connections: u64,
    /// Records taken, those lost not among them.
    pub records: u64,
    /// Bytes of the log written.
    pub written: u64,
    /// Bytes waiting to be written.
    pub waiting: u64,
    /// Records that found no room.
    pub lost_records: u64,
    /// Bytes of connections in those.
    pub lost_bytes: u64,
    /// Writing has failed; everything since is lost.
    pub failed: bool,
}

/// Writes what a capture sees to an event log, on a thread of its own, so that the capture never waits for a disk.
///
/// What finds no room is lost and counted, and what follows on the same connection says how many bytes are missing.
///
/// ```
/// use std::sync::Arc;
/// use otlp_core::UnixNanos;
/// use otlp_ebpf::parse::{Chunk, Direction};
/// use otlp_ebpf::replay::{Recorder, RecorderConfig};
/// use otlp_ebpf::{Ending, Ends, IdSource, Service};
/// let recorder = Arc::new(Recorder::start(std::io::sink(), RecorderConfig::default())?);
/// let shop = Service::new("shop", Arc::new(IdSource::seeded(7)));
/// let mut recording = recorder.open(&shop, &Ends::default(), "http", 7);
/// recording.chunk(&Chunk::new(Direction::ToServer, UnixNanos(1), b"GET / HTTP/1.1\r\n\r\n"));
/// recording.finish(UnixNanos(2), Ending::Closed);
/// let stats = recorder.finish()?;
/// assert_eq!((stats.connections, stats.records, stats.lost_records), (1, 4, 0));
/// # Ok::<(), otlp_ebpf::Error>(())
/// ```
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<Result<()>>>>,
}

#[derive(Debug)]
struct Shared {
    config: RecorderConfig,
    inner: Mutex<Inner>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: Vec<u8>,
    services: Vec<Known>,
    /// Records and bytes lost since the log last said so.
    untold: (u64, u64),
    /// Bytes of the log taken.
    taken: u64,
    closing: bool,
    stats: RecorderStats,
}

/// A service that the log knows.
#[derive(Debug)]
struct Known {
    name: Arc<str>,
    resource: Arc<otlp_core::record::Resource>,
}

/// Room beyond the bound for records that are not bytes: they are small, and more is lost with them.
const RESERVE_BYTES: usize = 256 << 10;

impl Recorder {
    /// Writes the header, and starts the thread that writes the rest.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where the thread cannot be started.
    pub fn start(to: impl Write + Send + 'static, config: RecorderConfig) -> Result<Self> {
        let waiting = log::header().to_vec();
        let inner = Inner { waiting, ..Inner::default() };
        let shared = Arc::new(Shared { config, inner: Mutex::new(inner), wake: Condvar::new() });
        let thread = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.drain(to)
            })
            .map_err(|error| {
                Error::new(ErrorKind::Io, "recorder: start of the thread failed").with_source(error)
            })?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Begins to record a connection to `service`, seen from its first byte, whose identifiers follow from `seed`.
    /// `protocol` is its [`id`](crate::parse::infer::Protocol::id), empty where its first bytes tell.
    #[must_use]
    pub fn open(self: &Arc<Self>, service: &Service, ends: &Ends, protocol: &str, seed: u64) -> Recording {
        let mut inner = self.shared.lock();
        inner.stats.connections += 1;
        let connection = inner.stats.connections;
        let service = self.shared.know(&mut inner, service);
        let record = Record::Opened { connection, service, seed, ends: ends.clone(), protocol, late: false };
        self.shared.take(&mut inner, &record, 0);
        drop(inner);
        Recording { recorder: Arc::clone(self), connection, offsets: [0; 2] }
    }

    /// The account so far.
    #[must_use]
    pub fn stats(&self) -> RecorderStats {
        self.shared.stats()
    }

    /// Writes what waits and ends the log; what is recorded later is lost. Blocks until then.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where writing failed.
    pub fn finish(&self) -> Result<RecorderStats> {
        self.shared.lock().closing = true;
        self.shared.wake.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Ok(outcome)) = thread.map(JoinHandle::join) {
            outcome?;
        }
        Ok(self.shared.stats())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.wake.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Plain additions and copies are all that happens under the lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stats(&self) -> RecorderStats {
        let inner = self.lock();
        RecorderStats { waiting: wide(inner.waiting.len()), ..inner.stats }
    }

    /// The number of a service; tells the log of a new one.
    fn know(&self, inner: &mut Inner, service: &Service) -> u32 {
        let same = |known: &Known| known.name == *service.name() && known.resource == *service.resource();
        if let Some(at) = inner.services.iter().position(same) {
            return u32::try_from(at).unwrap_or(u32::MAX);
        }
        let number = u32::try_from(inner.services.len()).unwrap_or(u32::MAX);
        let resource = write_resource(service.resource());
        self.take(inner, &Record::Service { number, name: service.name(), resource: &resource }, 0);
        let (name, resource) = (Arc::clone(service.name()), Arc::clone(service.resource()));
        inner.services.push(Known { name, resource });
        number
    }

    /// Takes a record where there is room; `payload` are its bytes of a connection.
    fn take(&self, inner: &mut Inner, record: &Record<'_>, payload: usize) {
        let reserve = if payload == 0 { RESERVE_BYTES } else { 0 };
        let full = inner.waiting.len() + payload > self.config.buffer_bytes + reserve;
        let long = inner.taken + wide(payload) > self.config.log_bytes + wide(reserve);
        if full || long || inner.closing || inner.stats.failed {
            inner.stats.lost_records += 1;
            inner.stats.lost_bytes += wide(payload);
            inner.untold.0 += 1;
            inner.untold.1 += wide(payload);
            return;
        }
        let before = inner.waiting.len();
        if inner.untold.0 > 0 {
            let (records, bytes) = std::mem::take(&mut inner.untold);
            log::append(&Record::Lost { records, bytes }, &mut inner.waiting);
        }
        log::append(record, &mut inner.waiting);
        inner.stats.records += 1;
        inner.taken += wide(inner.waiting.len() - before);
        self.wake.notify_one();
    }

    /// Writes what comes, until the end.
    fn drain(&self, mut to: impl Write) -> Result<()> {
        let mut block = Vec::new();
        loop {
            let mut inner = self.lock();
            while inner.waiting.is_empty() && !inner.closing {
                inner = self.wake.wait(inner).unwrap_or_else(PoisonError::into_inner);
            }
            if inner.waiting.is_empty() {
                drop(inner);
                return to.flush().map_err(failed);
            }
            block.clear();
            std::mem::swap(&mut block, &mut inner.waiting);
            drop(inner);
            if let Err(error) = to.write_all(&block) {
                let mut inner = self.lock();
                inner.stats.failed = true;
                return Err(failed(error));
            }
            self.lock().stats.written += wide(block.len());
        }
    }
}

/// Records one connection; see [`Recorder::open`].
#[derive(Debug)]
pub struct Recording {
    recorder: Arc<Recorder>,
    connection: u64,
    offsets: [u64; 2],
}

impl Recording {
    /// Records bytes, as they are fed to a [`Connection`](crate::Connection).
    pub fn chunk(&mut self, chunk: &Chunk<'_>) {
        let [to_server, to_client] = &mut self.offsets;
        let seen = if chunk.direction == Direction::ToServer { to_server } else { to_client };
        let shared = &self.recorder.shared;
        // A record holds so much at most; what a chunk is cut into makes no difference.
        *seen += chunk.missing;
        for bytes in chunk.bytes.chunks(log::MAX_RECORD_BYTES / 2) {
            let (connection, direction, time) = (self.connection, chunk.direction, chunk.time);
            let record = Record::Chunk { connection, direction, offset: *seen, time, bytes };
            shared.take(&mut shared.lock(), &record, bytes.len());
            *seen += wide(bytes.len());
        }
    }

    /// Records that a direction has ended.
    pub fn close(&mut self, direction: Direction, time: UnixNanos) {
        let shared = &self.recorder.shared;
        shared.take(&mut shared.lock(), &Record::Closed { connection: self.connection, direction, time }, 0);
    }

    /// Records that the connection is over.
    pub fn finish(&mut self, time: UnixNanos, ending: Ending) {
        let shared = &self.recorder.shared;
        shared.take(&mut shared.lock(), &Record::Finished { connection: self.connection, time, ending }, 0);
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "recorder: write failed").with_source(error)
}

/// A length in memory always fits 64 bits.
fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
