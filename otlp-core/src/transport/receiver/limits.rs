//! The bounds of a receiver.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

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
    pub(super) header_timeout: Duration,
    pub(super) body_timeout: Duration,
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
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            #[cfg(feature = "zstd")]
            takes_zstd: false,
        }
    }
}

/// The smallest buffer that the HTTP parser works with.
const MIN_HEADER_BYTES: usize = 8 << 10;

impl ReceiverLimits {
    /// Sets the most connections at once; default 1,024, at least 1. One more is closed at once.
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

    /// Sets the most bytes of all bodies held at one time; default 256 MiB, at least `max_body_bytes`.
    /// Answered with 503 and `Retry-After: 1`.
    #[must_use]
    pub const fn max_total_body_bytes(mut self, bytes: usize) -> Self {
        self.total_body_bytes = bytes;
        self
    }

    /// Sets how long the head of a request may take, which is also how long a connection may be idle;
    /// default 30 s, more than zero. The connection is closed.
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
        } else if self.header_bytes < MIN_HEADER_BYTES {
            "max_header_bytes: expected at least 8192"
        } else if self.body_bytes == 0 || self.total_body_bytes < self.body_bytes {
            "max_body_bytes: expected 1 <= max_body_bytes <= max_total_body_bytes"
        } else if self.header_timeout.is_zero() || self.body_timeout.is_zero() {
            "header_timeout, body_timeout: expected more than zero"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Config, wrong))
    }
}
