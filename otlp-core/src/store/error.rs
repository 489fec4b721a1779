//! Why the queue refused.

use std::io;

use super::EntryId;
use crate::error::{Error, ErrorKind};

/// Why a call on the queue did not succeed. Converts into the crate's [`Error`], as its source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No room for the request within the queue's own bounds. Under
    /// [`Overflow::Refuse`](super::Overflow::Refuse) the caller still has it and may come again.
    #[error("queue full: {what} limit {limit} reached")]
    Full {
        /// Which bound: `max_bytes` or `max_requests`.
        what: &'static str,
        /// Its value.
        limit: u64,
    },
    /// The request alone is above `max_request_bytes`; counted as accepted and dropped.
    #[error("request of {bytes} bytes exceeds limit {limit}")]
    TooLarge {
        /// Bytes of the request.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// No room on the disk. Nothing of the call was taken; it may succeed once there is room.
    #[error("disk full")]
    DiskFull(#[source] io::Error),
    /// The disk failed. Nothing of the call was taken.
    #[error("disk failed: {action}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
    /// Another queue, in this process or another, has the directory open.
    #[error("queue directory in use by another process")]
    Locked,
    /// The log was written by a newer version, which knows more than this one. Nothing was touched.
    #[error("segment {segment}: format version {met}, newest known {known}")]
    FutureVersion {
        /// Number of the segment.
        segment: u64,
        /// Its version.
        met: u16,
        /// The newest version that can be read.
        known: u16,
    },
    /// A configuration value cannot work.
    #[error("{0}")]
    Config(&'static str),
    /// Settled before, dropped for room or age meanwhile, or never given out.
    #[error("entry {0} is not in the queue")]
    NotQueued(EntryId),
}

impl StoreError {
    /// True where the same call may succeed later without a change: back-pressure, not loss.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::DiskFull(_) | Self::Io { .. } | Self::Locked)
    }

    /// Says what was being done when the disk failed.
    pub(super) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull(source),
            _ => Self::Io { action, source },
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let kind = match error {
            StoreError::Full { .. } | StoreError::TooLarge { .. } => ErrorKind::Limit,
            StoreError::DiskFull(_) | StoreError::Io { .. } | StoreError::Locked => ErrorKind::Io,
            StoreError::FutureVersion { .. } => ErrorKind::Malformed,
            StoreError::Config(_) => ErrorKind::Config,
            StoreError::NotQueued(_) => ErrorKind::Closed,
        };
        Self::new(kind, "durable queue").with_source(error)
    }
}
