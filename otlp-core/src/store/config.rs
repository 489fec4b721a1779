//! What a queue is told before it opens.

use std::time::Duration;

#[cfg(unix)]
use std::path::Path;

#[cfg(unix)]
use super::Directory;
use super::error::StoreError;
use super::frame::FRAME_BYTES;
use super::queue::DurableQueue;
use super::segment::HEADER_BYTES;
use super::{Disk, Recovery};
use crate::UnixNanos;
use crate::error::Result;

/// When what was written is forced to the disk.
///
/// A process that is killed loses nothing under any policy, once [`commit`](DurableQueue::commit) has
/// returned: the machine still has what was written. The policy is about the machine losing its power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SyncPolicy {
    /// Before `commit` returns. Loses nothing acknowledged; a request settled in the last commit that
    /// succeeded is not given out again.
    #[default]
    Always,
    /// In the first `commit` after this long since the first write not yet forced. A power failure loses
    /// what was acknowledged within the interval (longer, where nobody calls `commit`) and repeats what was
    /// settled in it. A sync that fails leaves that window at risk; `commit` says so.
    Interval(Duration),
    /// Never, unless [`sync`](DurableQueue::sync) is called: the system writes when it likes, often
    /// after half a minute, in any order. A power failure may lose or repeat that, and leave gaps; also what was
    /// settled before a sync may come back, as the removal of its segment is not forced.
    Never,
}

/// What goes when the queue is full. Whatever is dropped is counted by its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// Nothing: the request is refused and not counted as accepted; its owner may come again.
    #[default]
    Refuse,
    /// The request that is being handed in.
    DropNewest,
    /// The oldest: for want of bytes a whole segment of them, as only that gives room on the disk; for want
    /// of places one. Requests that were given out go too, and can then not be settled any more.
    DropOldest,
}

/// What happens where the disk fails to read a part of the log when the queue is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Unreadable {
    /// The queue does not open, and nothing is touched: the failure may pass.
    #[default]
    Refuse,
    /// What cannot be read is given up for good and counted as damaged, in blocks of 4 KiB.
    Skip,
}

/// Bounds and policies of one [`DurableQueue`].
///
/// ```
/// use std::time::Duration;
/// use otlp_core::UnixNanos;
/// use otlp_core::store::{MemoryDisk, StoreConfig, SyncPolicy};
/// let config = StoreConfig::default().max_bytes(256 << 20).sync(SyncPolicy::Interval(Duration::from_millis(100)));
/// let (queue, _recovery) = config.open_on(MemoryDisk::default(), UnixNanos::ZERO)?;
/// assert!(queue.stats().is_balanced());
/// # Ok::<(), otlp_core::store::StoreError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreConfig {
    pub(super) max_bytes: u64,
    pub(super) segment_bytes: u64,
    pub(super) max_request_bytes: usize,
    pub(super) max_requests: usize,
    pub(super) max_cached_bytes: usize,
    pub(super) max_age: Duration,
    pub(super) sync: SyncPolicy,
    pub(super) overflow: Overflow,
    pub(super) unreadable: Unreadable,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            max_bytes: 1 << 30,
            segment_bytes: 16 << 20,
            max_request_bytes: 64 << 20,
            max_requests: 1 << 18,
            max_cached_bytes: 16 << 20,
            max_age: Duration::from_secs(24 * 3600),
            sync: SyncPolicy::Always,
            overflow: Overflow::Refuse,
            unreadable: Unreadable::Refuse,
        }
    }
}

impl StoreConfig {
    /// Sets the most bytes of all files; default 1 GiB. Must have room for the largest request.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets at how many bytes the next segment is begun; default 16 MiB, at least 512 and at most half of
    /// `max_bytes`. Space is given back a segment at a time. A request that is larger gets a segment of its own.
    #[must_use]
    pub const fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Sets the most bytes of one request; default 64 MiB, as the specification has it.
    #[must_use]
    pub const fn max_request_bytes(mut self, bytes: usize) -> Self {
        self.max_request_bytes = bytes;
        self
    }

    /// Sets the most requests in the queue; default 262,144, at least 1. Each takes about 150 bytes of memory.
    #[must_use]
    pub const fn max_requests(mut self, requests: usize) -> Self {
        self.max_requests = requests;
        self
    }

    /// Sets the most bytes of bodies kept in memory until they are given out, so that they need not be read
    /// back; default 16 MiB, zero for none.
    #[must_use]
    pub const fn max_cached_bytes(mut self, bytes: usize) -> Self {
        self.max_cached_bytes = bytes;
        self
    }

    /// Sets how old a request may grow before it is dropped; default 24 hours, more than zero. One that is
    /// given out is left alone until it comes back.
    #[must_use]
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Sets when what was written is forced to the disk; default [`SyncPolicy::Always`].
    #[must_use]
    pub const fn sync(mut self, policy: SyncPolicy) -> Self {
        self.sync = policy;
        self
    }

    /// Sets what goes when the queue is full; default [`Overflow::Refuse`].
    #[must_use]
    pub const fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Sets what happens where a part of the log cannot be read; default [`Unreadable::Refuse`].
    #[must_use]
    pub const fn unreadable(mut self, policy: Unreadable) -> Self {
        self.unreadable = policy;
        self
    }

    /// Opens the queue in the directory at `path`, making the directory where there is none, and says what
    /// was found. Reads every segment once; needs memory for the largest.
    ///
    /// # Errors
    /// [`StoreError::Locked`] where another queue has it open, [`StoreError::FutureVersion`],
    /// [`StoreError::Config`], and failures of the disk.
    #[cfg(unix)]
    pub fn open(
        self,
        path: impl AsRef<Path>,
        now: UnixNanos,
    ) -> Result<(DurableQueue, Recovery), StoreError> {
        self.check()?;
        self.open_on(Directory::open(path.as_ref())?, now)
    }

    /// As [`open`](Self::open), on any disk.
    ///
    /// # Errors
    /// As [`open`](Self::open), but for the lock, which is the disk's.
    pub fn open_on<D: Disk>(
        self,
        disk: D,
        now: UnixNanos,
    ) -> Result<(DurableQueue<D>, Recovery), StoreError> {
        self.check()?;
        DurableQueue::recover(self, disk, now)
    }

    /// Bytes that one request takes at most: its frame, that of its end, and the headers of their segments.
    fn largest(&self) -> u64 {
        let frames = self.max_request_bytes.saturating_add(2 * FRAME_BYTES) as u64;
        let segments = 2 * (frames / self.segment_bytes) + 2;
        frames.saturating_add(segments * HEADER_BYTES as u64)
    }

    fn check(&self) -> Result<(), StoreError> {
        let wrong = if self.segment_bytes < 512 || self.segment_bytes > self.max_bytes / 2 {
            "segment_bytes: expected 512 to half of max_bytes"
        } else if u32::try_from(self.max_request_bytes).is_err() || self.largest() > self.max_bytes {
            "max_request_bytes: expected below 4 GiB, and room for one within max_bytes"
        } else if self.max_requests == 0 {
            "max_requests: expected at least 1"
        } else if self.max_age.is_zero() || self.sync == SyncPolicy::Interval(Duration::ZERO) {
            "max_age, sync interval: expected more than zero"
        } else {
            return Ok(());
        };
        Err(StoreError::Config(wrong))
    }
}
