//! From records to batches: when enough have gathered, in number, in bytes or in time.

use std::collections::VecDeque;
use std::time::Duration;

use super::export::{DropPolicy, DropReason, NotTaken, Priority};
use super::timeline::Timeline;
use crate::UnixNanos;
use crate::error::{Error, ErrorKind, Result};
use crate::stats::Stats;

/// Bounds of one [`Batcher`]. The defaults are those of the batch span processor of the OpenTelemetry
/// specification.
///
/// ```
/// use std::time::Duration;
/// use otlp_core::protocol::batch::BatchConfig;
/// let batcher = BatchConfig::default().max_items(100).linger(Duration::from_millis(200)).build::<String>()?;
/// assert!(batcher.stats().is_balanced());
/// # Ok::<(), otlp_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct BatchConfig {
    /// Most items of one batch.
    pub max_items: usize,
    /// Most bytes of one batch; a single item above it makes a batch of its own.
    pub max_bytes: usize,
    /// How long the first item waits for others.
    pub linger: Duration,
    /// Most items that wait.
    pub queue_items: usize,
    /// Most bytes that wait.
    pub queue_bytes: usize,
    /// Which items go when there is no room.
    pub policy: DropPolicy,
    /// How long an export may take; for the [exporter](super::export::ExporterConfig::timeout), not used here.
    pub export_timeout: Duration,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            max_items: 512,
            max_bytes: 4 << 20,
            linger: Duration::from_secs(5),
            queue_items: 2048,
            queue_bytes: 64 << 20,
            policy: DropPolicy::Newest,
            export_timeout: Duration::from_secs(30),
        }
    }
}

impl BatchConfig {
    /// Sets the most items of one batch; default 512, at least 1 and at most `queue_items`.
    #[must_use]
    pub const fn max_items(mut self, items: usize) -> Self {
        self.max_items = items;
        self
    }

    /// Sets the most bytes of one batch; default 4 MiB, at least 1.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets how long the first item of a batch waits for others; default 5 s, zero for not at all.
    #[must_use]
    pub const fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Sets the most items that wait; default 2,048, at least 1.
    #[must_use]
    pub const fn queue_items(mut self, items: usize) -> Self {
        self.queue_items = items;
        self
    }

    /// Sets the most bytes that wait; default 64 MiB, at least 1.
    #[must_use]
    pub const fn queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes;
        self
    }

    /// Sets which items go when there is no room; default [`DropPolicy::Newest`], as the specification's.
    #[must_use]
    pub const fn policy(mut self, policy: DropPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Checks the values and makes a batcher.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value is out of the range that its setter names.
    pub fn build<T>(self) -> Result<Batcher<T>> {
        let wrong = if self.max_items == 0 || self.max_items > self.queue_items {
            "max_items: expected at least 1 and at most queue_items"
        } else if self.max_bytes == 0 || self.queue_bytes == 0 {
            "max_bytes, queue_bytes: expected at least 1"
        } else {
            return Ok(Batcher::new(self));
        };
        Err(Error::new(ErrorKind::Config, wrong))
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "the items of a batch are nowhere else"]
pub enum BatchCommand<T> {
    /// Encode and send these, in the order in which they came; then poll again.
    Send(Vec<T>),
    /// Nothing to do before this instant, by the clock that `now` was taken from, unless an item comes first.
    WaitUntil(UnixNanos),
    /// Nothing waits.
    Idle,
    /// Nothing waits and nothing more is taken.
    Finished,
}

/// Gathers items into batches. No clock and no task: the present instant is an argument.
///
/// Every call costs O(1) but for the batch it hands over.
///
/// ```
/// use std::time::Duration;
/// use otlp_core::UnixNanos;
/// use otlp_core::protocol::batch::{BatchCommand, BatchConfig};
/// use otlp_core::protocol::export::Priority;
///
/// let mut batcher = BatchConfig::default().max_items(2).build()?;
/// let now = UnixNanos::from_secs(1_700_000_000);
/// batcher.push(now, "a", 1, Priority::Normal)?;
/// assert_eq!(batcher.poll(now), BatchCommand::WaitUntil(now + Duration::from_secs(5)));
/// batcher.push(now, "b", 1, Priority::Normal)?;
/// assert_eq!(batcher.poll(now), BatchCommand::Send(vec!["a", "b"]));
/// assert_eq!(batcher.poll(now), BatchCommand::Idle);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Batcher<T> {
    config: BatchConfig,
    /// Both in the order of arrival; a batch is taken from both by number.
    normal: VecDeque<Item<T>>,
    high: VecDeque<Item<T>>,
    bytes: usize,
    /// Those of `bytes` that are of high priority.
    high_bytes: usize,
    last: u64,
    /// Items up to this number do not wait for others.
    flushed: u64,
    is_closed: bool,
    timeline: Timeline,
    stats: Stats,
    dropped: [u64; DropReason::ALL.len()],
    blocked: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Item<T> {
    number: u64,
    item: T,
    bytes: usize,
    came: UnixNanos,
}

impl<T> Batcher<T> {
    const fn new(config: BatchConfig) -> Self {
        Self {
            config,
            normal: VecDeque::new(),
            high: VecDeque::new(),
            bytes: 0,
            high_bytes: 0,
            last: 0,
            flushed: 0,
            is_closed: false,
            timeline: Timeline::NEW,
            stats: Stats { accepted: 0, exported: 0, rejected: 0, dropped: 0, queued: 0 },
            dropped: [0; DropReason::ALL.len()],
            blocked: 0,
        }
    }

    /// Takes an item of roughly `bytes` bytes once encoded.
    ///
    /// # Errors
    /// [`NotTaken::Dropped`] where it was dropped at once, and counted; [`NotTaken::Full`] where the policy is
    /// [`DropPolicy::Block`] and there is no room.
    pub fn push(
        &mut self,
        now: UnixNanos,
        item: T,
        bytes: usize,
        priority: Priority,
    ) -> Result<(), NotTaken<T>> {
        let came = self.timeline.advance(now);
        let fits_ever = !self.is_closed && bytes <= self.config.queue_bytes;
        if self.config.policy == DropPolicy::Block && fits_ever && !self.fits(bytes) {
            self.blocked += 1;
            return Err(NotTaken::Full(item));
        }
        self.stats.accepted += 1;
        self.stats.queued += 1;
        if let Err(reason) = self.make_room(bytes, priority) {
            self.count_drop(reason);
            return Err(NotTaken::Dropped(reason));
        }
        self.last += 1;
        self.bytes += bytes;
        let item = Item { number: self.last, item, bytes, came };
        match priority {
            Priority::Normal => self.normal.push_back(item),
            Priority::High => {
                self.high_bytes += bytes;
                self.high.push_back(item);
            }
        }
        Ok(())
    }

    /// Says what to do next. Call it again after every [`BatchCommand::Send`] and every [`push`](Self::push),
    /// and when the instant of [`BatchCommand::WaitUntil`] has come.
    pub fn poll(&mut self, now: UnixNanos) -> BatchCommand<T> {
        let at = self.timeline.advance(now);
        let Some(first) = self.first() else {
            return if self.is_closed { BatchCommand::Finished } else { BatchCommand::Idle };
        };
        let due = first.came + self.config.linger;
        let flushed = first.number <= self.flushed || self.is_closed;
        let full = self.len() >= self.config.max_items || self.bytes >= self.config.max_bytes;
        if flushed || full || due <= at {
            return BatchCommand::Send(self.take_batch());
        }
        BatchCommand::WaitUntil(self.timeline.to_caller(due))
    }

    /// Lets what waits now go without waiting for more.
    pub const fn flush(&mut self) {
        self.flushed = self.last;
    }

    /// Takes nothing more, and lets what waits go. [`poll`](Self::poll) says [`BatchCommand::Finished`] when all
    /// is handed over.
    pub const fn close(&mut self) {
        self.is_closed = true;
    }

    /// Where every item is: *exported* are those handed over in batches.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// Items dropped for `reason`.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.get(reason as usize).copied().unwrap_or(0)
    }

    /// Items given back for want of room, each time counted.
    #[must_use]
    pub const fn blocked(&self) -> u64 {
        self.blocked
    }

    /// Bytes that wait.
    #[must_use]
    pub const fn queued_bytes(&self) -> usize {
        self.bytes
    }

    fn len(&self) -> usize {
        self.normal.len() + self.high.len()
    }

    fn fits(&self, bytes: usize) -> bool {
        self.len() < self.config.queue_items && self.bytes.saturating_add(bytes) <= self.config.queue_bytes
    }

    fn make_room(&mut self, bytes: usize, priority: Priority) -> Result<(), DropReason> {
        if self.is_closed {
            return Err(DropReason::Closed);
        }
        if bytes > self.config.queue_bytes {
            return Err(DropReason::TooLarge);
        }
        let (items, held) = self.undroppable(priority);
        if items >= self.config.queue_items || held.saturating_add(bytes) > self.config.queue_bytes {
            return Err(DropReason::QueueFull);
        }
        while !self.fits(bytes) {
            self.drop_victim(priority).ok_or(DropReason::QueueFull)?;
            self.count_drop(DropReason::QueueFull);
        }
        Ok(())
    }

    /// How many items, of how many bytes, stay whatever comes with `priority`: so nothing is dropped in vain.
    fn undroppable(&self, priority: Priority) -> (usize, usize) {
        match (self.config.policy, priority) {
            (DropPolicy::Block, _) | (DropPolicy::Newest, Priority::Normal) => (self.len(), self.bytes),
            (DropPolicy::Newest, Priority::High) | (DropPolicy::Oldest, Priority::Normal) => {
                (self.high.len(), self.high_bytes)
            }
            (DropPolicy::Oldest, Priority::High) => (0, 0),
        }
    }

    /// Drops what goes first for an item of `priority`: never one of a higher one.
    fn drop_victim(&mut self, priority: Priority) -> Option<()> {
        let normal = match self.config.policy {
            DropPolicy::Oldest => self.normal.pop_front(),
            DropPolicy::Newest | DropPolicy::Block => self.normal.pop_back(),
        };
        if let Some(victim) = normal {
            self.bytes -= victim.bytes;
        } else if priority == Priority::High {
            let victim = self.high.pop_front()?;
            self.bytes -= victim.bytes;
            self.high_bytes -= victim.bytes;
        } else {
            return None;
        }
        Some(())
    }

    fn count_drop(&mut self, reason: DropReason) {
        self.stats.queued -= 1;
        self.stats.dropped += 1;
        if let Some(count) = self.dropped.get_mut(reason as usize) {
            *count += 1;
        }
    }

    fn first(&self) -> Option<&Item<T>> {
        let fronts = self.normal.front().into_iter().chain(self.high.front());
        fronts.min_by_key(|item| item.number)
    }

    fn take_first(&mut self) -> Option<Item<T>> {
        let number = |line: &VecDeque<Item<T>>| line.front().map_or(u64::MAX, |item| item.number);
        let is_normal = number(&self.normal) < number(&self.high);
        let item = if is_normal { self.normal.pop_front() } else { self.high.pop_front() }?;
        self.bytes -= item.bytes;
        self.high_bytes -= if is_normal { 0 } else { item.bytes };
        Some(item)
    }

    /// As many as fit, and at least one.
    fn take_batch(&mut self) -> Vec<T> {
        let mut batch = Vec::with_capacity(self.len().min(self.config.max_items));
        let mut bytes = 0_usize;
        while batch.len() < self.config.max_items {
            let Some(next) = self.first() else { break };
            let sum = bytes.saturating_add(next.bytes);
            if sum > self.config.max_bytes && !batch.is_empty() {
                break;
            }
            let Some(item) = self.take_first() else { break };
            bytes = sum;
            batch.push(item.item);
        }
        self.stats.queued -= batch.len() as u64;
        self.stats.exported += batch.len() as u64;
        batch
    }
}

#[cfg(test)]
mod tests;
