//! A queue of encoded requests that survives the process and the machine.
//!
//! What is pushed and committed is on the disk; what was given out and not settled is given out again after a
//! restart: delivery is at least once. Nothing here has a thread, a timer or a clock; every call takes the
//! present instant.
//!
//! ```
//! # let directory = std::env::temp_dir().join(format!("otlp-store-doc-{}", std::process::id()));
//! use bytes::Bytes;
//! use otlp_core::UnixNanos;
//! use otlp_core::protocol::Signal;
//! use otlp_core::protocol::export::Request;
//! use otlp_core::store::{Settlement, StoreConfig};
//!
//! let now = UnixNanos::from_secs(1_700_000_000);
//! let (mut queue, _) = StoreConfig::default().open(&directory, now)?;
//! queue.push(now, Request::new(Signal::Traces, Bytes::from_static(b"..."), 3))?;
//! drop(queue);
//!
//! let (mut queue, found) = StoreConfig::default().open(&directory, now)?;
//! assert_eq!((found.requests, found.records), (1, 3));
//! let Some(lease) = queue.next(now)? else { return Err("nothing there".into()) };
//! assert_eq!(lease.request.body, "...");
//! queue.settle(lease.id, Settlement::Exported)?;
//! queue.commit(now)?;
//! assert_eq!((queue.stats().exported, queue.stats().queued), (3, 0));
//! # drop(queue);
//! # std::fs::remove_dir_all(directory)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # On the disk
//!
//! A log in segments: numbered files that are only ever appended to, each with a header of 128 bytes and
//! frames of 60 bytes and a body. A frame holds a pushed request or the end of one, so that one `fsync` makes
//! a group of both durable. Every header and every body has its own CRC32C. A header has the account and a
//! format version; a newer version is refused untouched. Segments without anything queued are removed, oldest
//! first.
//!
//! # After a failure
//!
//! | what happened | what follows |
//! |---|---|
//! | process killed | nothing committed is lost; what was given out and not settled in a commit is given out again |
//! | power lost | the same under [`SyncPolicy::Always`]; see [`SyncPolicy`] for the others |
//! | last write torn | cut off; it was not acknowledged |
//! | rot in the middle | the damaged frames are stepped over and counted, those around them are kept |
//! | rot in the frame of an end | its request is given out again |
//! | medium unreadable in places | the queue does not open, or does without those, as [`Unreadable`] says |
//! | disk full, write or sync failed | the commit fails as a whole, its requests stay with the caller; later ones go to a new segment |
//!
//! A sync that failed is never tried again on the same bytes: systems forget what they could not write and say
//! yes the second time. A request whose commit failed is not in the queue, but may be found in it again if the
//! process ends before the next commit that succeeds.
//!
//! # The account
//!
//! [`stats`](DurableQueue::stats) covers the whole life of the queue, restarts included, and always balances.
//! On the disk are, in the header of each segment, all totals, and in each frame what it adds; so after a
//! crash the totals are those of the last commit. What a crash takes back from them is the end of requests,
//! which are queued again. Rot that hits records shows as [`DropReason::Damaged`]; where it hits the only
//! header, the account begins anew with what is there.

mod account;
mod config;
#[cfg(unix)]
mod directory;
mod disk;
mod error;
mod frame;
mod index;
mod log;
mod queue;
mod recover;
mod segment;

use std::fmt;

use crate::UnixNanos;
use crate::protocol::export::Request;

pub use account::{DropReason, Settlement};
pub use config::{Overflow, StoreConfig, SyncPolicy, Unreadable};
#[cfg(unix)]
pub use directory::Directory;
pub use disk::{Disk, MemoryDisk};
pub use error::StoreError;
pub use queue::DurableQueue;
pub use recover::Recovery;

/// Names a request in its queue, over restarts. Given in ascending order from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub u64);

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A request given out, to be settled or given back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "a request that is neither settled nor given back stays where it is until the next start"]
pub struct Lease {
    /// Goes back with what became of it.
    pub id: EntryId,
    /// What to send; the body is as it was pushed, byte for byte.
    pub request: Request,
    /// When it was pushed.
    pub enqueued: UnixNanos,
}

/// Counts beside [`Stats`](crate::stats::Stats), since the queue was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct StoreCounters {
    /// Groups that could not be written or forced to the disk; nothing of them was taken.
    pub failed_groups: u64,
    /// Records of requests that were not taken, for want of room or by a failed group; still with the caller.
    pub refused: u64,
    /// Times a segment was forced to the disk.
    pub syncs: u64,
    /// Times that failed.
    pub failed_syncs: u64,
    /// Reads of requests that failed.
    pub failed_reads: u64,
    /// Times segments could not be removed; tried again after the next commit.
    pub failed_removals: u64,
}
