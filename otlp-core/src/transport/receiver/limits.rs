//! The bounds of a receiver.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::protocol::memory::MemoryLimiter;

/// Bounds that every client is held to. Each is on by default.
///
/// ```
/// use std::time::Duration;
/// use otlp_core::transport::receiver::ReceiverLimits;
/// let limits = ReceiverLimits::default().max_body_bytes(4 << 20).body_timeout(Duration::from_secs(5));
/// # let _ = limits;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiverLimits {
    pub(super) connections: usize,
    #[cfg(feature = "grpc")]
    pub(super) streams: u32,
    pub(super) header_bytes: usize,
    pub(super) body_bytes: usize,
    pub(super) total_body_bytes: usize,
    pub(super) spare_bytes: usize,
    pub(super) requests: usize,
    pub(super) workers: usize,
    pub(super) memory: Option<MemoryLimiter>,
    pub(super) header_timeout: Duration,
    pub(super) body_timeout: Duration,
    pub(super) body_rate: u32,
    pub(super) body_grace: Duration,
    pub(super) queue_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) write_timeout: Duration,
    pub(super) connection_timeout: Duration,
    pub(super) safe_time: Duration,
    #[cfg(feature = "zstd")]
    pub(super) takes_zstd: bool,
}

impl Default for ReceiverLimits {
    fn default() -> Self {
        Self {
            connections: 1024,
            #[cfg(feature = "grpc")]
            streams: 128,
            header_bytes: 64 << 10,
            body_bytes: 64 << 20,
            total_body_bytes: 256 << 20,
            spare_bytes: 8 << 20,
            requests: 4096,
            workers: 4,
            memory: None,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            body_rate: 240,
            body_grace: Duration::from_secs(5),
            queue_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            write_timeout: Duration::from_secs(30),
            connection_timeout: Duration::from_secs(3600),
            safe_time: Duration::from_millis(100),
            #[cfg(feature = "zstd")]
            takes_zstd: false,
        }
    }
}

/// The smallest buffer that the HTTP parser works with.
const MIN_HEADER_BYTES: usize = 8 << 10;

impl ReceiverLimits {
    /// Sets the most connections at once; default 1,024, at least 1.
    ///
    /// For one more another is closed, the first there is of: one that was never served and has no request begun;
    /// one that was never served and whose body still comes; one that is idle; one whose body still comes. Of
    /// several the one that is so longest. A connection with a request that waits, is handled or answered is never
    /// closed for another, nor is one before its [time](Self::min_connection_time). Where there is none to close
    /// the newcomer is closed at once.
    #[must_use]
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// Sets the most requests at once on one HTTP/2 connection; default 128, at least 1. The client is told, and
    /// one more is refused.
    #[cfg(feature = "grpc")]
    #[must_use]
    pub const fn max_streams(mut self, streams: u32) -> Self {
        self.streams = streams;
        self
    }

    /// Sets the most bytes of a request's head; default 64 KiB, at least 8 KiB. Answered with 431.
    #[must_use]
    pub const fn max_header_bytes(mut self, bytes: usize) -> Self {
        self.header_bytes = bytes;
        self
    }

    /// Sets the most bytes of one body, before and after decompression; default 64 MiB, at least 1.
    /// Answered with 413.
    #[must_use]
    pub const fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.body_bytes = bytes;
        self
    }

    /// Sets the most bytes of all bodies held at one time, being read, waiting, decompressed or handled; default
    /// 256 MiB, at least `max_body_bytes`. Answered with 503 (gRPC: `UNAVAILABLE`) and a wait of 1 s, before the
    /// body is read where its length is told.
    #[must_use]
    pub const fn max_total_body_bytes(mut self, bytes: usize) -> Self {
        self.total_body_bytes = bytes;
        self
    }

    /// Sets how many bytes of buffers are kept for the next bodies; default 8 MiB, 0 for none. Buffers below 64 KiB are
    /// not kept, as they cost nothing to make. They are given up where a [`MemoryLimiter`] is pressed.
    #[must_use]
    pub const fn max_spare_bytes(mut self, bytes: usize) -> Self {
        self.spare_bytes = bytes;
        self
    }

    /// Sets the most requests at one time, being read, waiting or handled; default 4,096, at least 1. Answered with
    /// 503 (gRPC: `UNAVAILABLE`) and a wait of 1 s, before the body is read.
    #[must_use]
    pub const fn max_requests(mut self, requests: usize) -> Self {
        self.requests = requests;
        self
    }

    /// Sets how many handlers run at one time; default 4. They run on threads of the runtime for blocking work,
    /// so that a slow handler keeps up nobody but those who wait for a worker.
    ///
    /// With 0 a handler runs on the thread that serves connections, and everything there waits for it: the
    /// cheapest way for a handler that only puts the body into a queue.
    #[must_use]
    pub const fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Counts the bodies held in `memory` as well, and turns requests away by its marks; default none.
    ///
    /// From the soft mark on a new request is answered with 429 (gRPC: `RESOURCE_EXHAUSTED` with `RetryInfo`), at the
    /// hard mark with 503 (`UNAVAILABLE`), each with a wait of 1 s and before the body is read. A request that
    /// is being read when the hard mark is reached gets 503.
    #[must_use]
    pub fn memory(mut self, memory: MemoryLimiter) -> Self {
        self.memory = Some(memory);
        self
    }

    /// Sets how long the head of a request may take from its first byte on, and how long a new connection may say
    /// nothing; default 30 s, more than zero. The connection is closed.
    #[must_use]
    pub const fn header_timeout(mut self, timeout: Duration) -> Self {
        self.header_timeout = timeout;
        self
    }

    /// Sets how long the body of a request may take; default 30 s, more than zero. Answered with 408.
    #[must_use]
    pub const fn body_timeout(mut self, timeout: Duration) -> Self {
        self.body_timeout = timeout;
        self
    }

    /// Sets the least bytes a second at which a body may come, on the average since it began and once `grace` is over;
    /// default 240 and 5 s, 0 for any rate. Answered with 408 (gRPC: `DEADLINE_EXCEEDED`).
    #[must_use]
    pub const fn min_body_rate(mut self, bytes_per_sec: u32, grace: Duration) -> Self {
        self.body_rate = bytes_per_sec;
        self.body_grace = grace;
        self
    }

    /// Sets how long a connection may have no request, once one was served, or HTTP/2 was spoken; default 120 s, more
    /// than zero: SDKs export metrics every 60 s. It is asked to go (`GOAWAY` in HTTP/2), and closed after
    /// `header_timeout` more.
    #[must_use]
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Sets how long a client may take no byte of what is written to it; default 30 s, more than zero. The
    /// connection is closed.
    #[must_use]
    pub const fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Sets how old a connection may become; default one hour, more than zero. It is asked to go, and closed when
    /// its requests are answered.
    #[must_use]
    pub const fn connection_timeout(mut self, timeout: Duration) -> Self {
        self.connection_timeout = timeout;
        self
    }

    /// Sets how long a connection is safe from being closed for a newcomer, from its beginning on and, when it was
    /// served, from the last answer on; default 100 ms. `Duration::MAX` for always.
    #[must_use]
    pub const fn min_connection_time(mut self, time: Duration) -> Self {
        self.safe_time = time;
        self
    }

    /// Sets how long a whole request may wait for a worker; default 10 s, which is when most clients give up.
    /// Answered with 503 (gRPC: `UNAVAILABLE`) and a wait of 1 s.
    #[must_use]
    pub const fn queue_timeout(mut self, timeout: Duration) -> Self {
        self.queue_timeout = timeout;
        self
    }

    /// The most heap that a receiver with these limits takes, whatever its clients do.
    ///
    /// It is the sum of
    /// - `max_total_body_bytes`, for bodies, and `max_spare_bytes`, for buffers that are kept;
    /// - three times `max_body_bytes` and 64 KiB a worker, and once more, for the moment in which a buffer grows and its
    ///   old and new form are both there, for decompressing, and for JSON that is shorter than its message; 10 MiB more
    ///   each where zstd is accepted;
    /// - twice `max_header_bytes` and 64 KiB a connection, for heads being read and answers being written; with the
    ///   feature `grpc` 320 KiB more, for what HTTP/2 lets a client send before it is read;
    /// - `max_header_bytes` and 16 KiB a request, for its headers and its task;
    /// - 4 MiB for the receiver itself.
    ///
    /// What a handler allocates is its own. On a runtime with several threads each counts as one more worker.
    ///
    /// ```
    /// use otlp_core::transport::receiver::ReceiverLimits;
    /// let small = ReceiverLimits::default()
    ///     .max_connections(64)
    ///     .max_requests(256)
    ///     .workers(1)
    ///     .max_header_bytes(16 << 10)
    ///     .max_body_bytes(4 << 20)
    ///     .max_total_body_bytes(32 << 20);
    /// assert!(small.heap_bytes() < 128 << 20);
    /// ```
    #[must_use]
    pub const fn heap_bytes(&self) -> usize {
        const HTTP2: usize = if cfg!(feature = "grpc") { 320 << 10 } else { 0 };
        let working = (64 << 10) + if self.takes_zstd() { 10 << 20 } else { 0 };
        let growing = self.body_bytes.saturating_mul(3).saturating_add(working);
        let growing = growing.saturating_mul(self.workers.saturating_add(1));
        let connection = self.header_bytes.saturating_mul(2).saturating_add((64 << 10) + HTTP2);
        self.total_body_bytes
            .saturating_add(self.spare_bytes)
            .saturating_add(growing)
            .saturating_add(self.connections.saturating_mul(connection))
            .saturating_add(self.requests.saturating_mul(self.header_bytes.saturating_add(16 << 10)))
            .saturating_add(4 << 20)
    }

    /// Takes bodies and gRPC messages compressed by zstd too; default not, since OTLP does not know it. The bounds
    /// are the same as for gzip, and its window may have 8 MiB.
    #[cfg(feature = "zstd")]
    #[must_use]
    pub const fn accept_zstd(mut self) -> Self {
        self.takes_zstd = true;
        self
    }

    #[cfg_attr(
        not(feature = "zstd"),
        expect(clippy::unused_self, reason = "the same signature as with zstd")
    )]
    pub(super) const fn takes_zstd(&self) -> bool {
        #[cfg(feature = "zstd")]
        return self.takes_zstd;
        #[cfg(not(feature = "zstd"))]
        false
    }

    pub(super) fn check(&self) -> Result<()> {
        #[cfg(feature = "grpc")]
        if self.streams == 0 {
            return Err(Error::new(ErrorKind::Config, "max_streams: expected at least 1"));
        }
        let wrong = if self.connections == 0 {
            "max_connections: expected at least 1"
        } else if self.requests == 0 {
            "max_requests: expected at least 1"
        } else if self.header_bytes < MIN_HEADER_BYTES {
            "max_header_bytes: expected at least 8192"
        } else if self.body_bytes == 0 || self.total_body_bytes < self.body_bytes {
            "max_body_bytes: expected 1 <= max_body_bytes <= max_total_body_bytes"
        } else if self.header_timeout.is_zero() || self.body_timeout.is_zero() {
            "header_timeout, body_timeout: expected more than zero"
        } else if self.idle_timeout.is_zero()
            || self.write_timeout.is_zero()
            || self.connection_timeout.is_zero()
        {
            "idle_timeout, write_timeout, connection_timeout: expected more than zero"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Config, wrong))
    }
}
