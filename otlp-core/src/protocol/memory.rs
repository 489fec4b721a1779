//! One bound on memory for all queues of a process.
//!
//! A [`MemoryLimiter`] is a handle: its clones share one count. What it counts is bytes that somebody holds: a
//! body is counted once, however many attempts, queues and destinations share it, until the last of them lets
//! go. At the soft mark it signals [`Pressure`], so that receivers can answer 429 and producers slow down; past
//! the hard mark it gives nothing, so that queues drop by their policy.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};

/// How near the marks the memory in use is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete: below, between and at the two marks")]
pub enum Pressure {
    /// Below the soft mark.
    None,
    /// At the soft mark or above: take less. A receiver answers 429 or `RESOURCE_EXHAUSTED` with a wait.
    Soft,
    /// At the hard mark: nothing more fits.
    Hard,
}

/// The count of memory in use, shared by all its clones.
///
/// ```
/// use bytes::Bytes;
/// use otlp_core::protocol::memory::{MemoryLimiter, Pressure};
///
/// let memory = MemoryLimiter::try_new(600, 1_000)?;
/// let body = memory.hold(&Bytes::from(vec![0; 700])).ok_or("it fits")?;
/// let shared = body.clone();
/// assert_eq!((memory.used_bytes(), memory.pressure()), (700, Pressure::Soft));
/// assert!(memory.hold(&Bytes::from(vec![0; 400])).is_none());
/// drop(body);
/// assert_eq!(memory.used_bytes(), 700, "somebody still has it");
/// drop(shared);
/// assert_eq!((memory.used_bytes(), memory.pressure()), (0, Pressure::None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct MemoryLimiter(Arc<Inner>);

struct Inner {
    used: AtomicUsize,
    soft: usize,
    hard: usize,
    refusals: AtomicU64,
}

/// A share of the memory, given back when it is dropped.
#[must_use = "the share is given back at once unless it is kept"]
#[derive(Debug)]
pub struct Reservation {
    memory: MemoryLimiter,
    bytes: usize,
}

/// A body and its share.
struct Held {
    body: Bytes,
    _share: Reservation,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl MemoryLimiter {
    /// A limiter with its two marks in bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] unless `0 < soft <= hard`.
    pub fn try_new(soft_bytes: usize, hard_bytes: usize) -> Result<Self> {
        if soft_bytes == 0 || soft_bytes > hard_bytes {
            let wrong = format!("memory: expected 0 < soft <= hard, met {soft_bytes} and {hard_bytes}");
            return Err(Error::new(ErrorKind::Config, wrong));
        }
        let (used, refusals) = (AtomicUsize::new(0), AtomicU64::new(0));
        Ok(Self(Arc::new(Inner { used, soft: soft_bytes, hard: hard_bytes, refusals })))
    }

    /// Takes a share, or nothing where it would pass the hard mark. Lock-free.
    pub fn reserve(&self, bytes: usize) -> Option<Reservation> {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.0.hard);
        // Only the count itself is shared, so that no order with other memory is needed.
        let taken = self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        if taken.is_err() {
            self.0.refusals.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(Reservation { memory: self.clone(), bytes })
    }

    /// The same bytes, counted until the last of their clones is dropped; `None` where they would pass the hard
    /// mark. Copies nothing; one small allocation.
    #[must_use]
    pub fn hold(&self, body: &Bytes) -> Option<Bytes> {
        let share = self.reserve(body.len())?;
        Some(Bytes::from_owner(Held { body: body.clone(), _share: share }))
    }

    /// How near the marks it is.
    #[must_use]
    pub fn pressure(&self) -> Pressure {
        let used = self.used_bytes();
        if used >= self.0.hard {
            Pressure::Hard
        } else if used >= self.0.soft {
            Pressure::Soft
        } else {
            Pressure::None
        }
    }

    /// Bytes in use.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The soft mark.
    #[must_use]
    pub fn soft_bytes(&self) -> usize {
        self.0.soft
    }

    /// The hard mark.
    #[must_use]
    pub fn hard_bytes(&self) -> usize {
        self.0.hard
    }

    /// Times that somebody asked for more than was left.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.0.refusals.load(Ordering::Relaxed)
    }
}

impl PartialEq for MemoryLimiter {
    /// True for clones of each other.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for MemoryLimiter {}

impl fmt::Debug for MemoryLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLimiter")
            .field("used_bytes", &self.used_bytes())
            .field("soft_bytes", &self.0.soft)
            .field("hard_bytes", &self.0.hard)
            .finish()
    }
}

impl Reservation {
    /// Its size.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> MemoryLimiter {
        MemoryLimiter::try_new(60, 100).expect("marks in order")
    }

    #[test]
    fn the_hard_mark_is_reached_and_never_passed() {
        let memory = memory();
        let most = memory.reserve(100).expect("exactly fits");
        assert_eq!((memory.pressure(), most.bytes()), (Pressure::Hard, 100));
        assert!(memory.reserve(1).is_none());
        assert!(memory.reserve(0).is_some(), "nothing always fits");
        assert!(memory.reserve(usize::MAX).is_none(), "no overflow");
        drop(most);
        assert_eq!((memory.used_bytes(), memory.refusals()), (0, 2));
    }

    #[test]
    fn pressure_begins_at_the_soft_mark() {
        let memory = memory();
        let most = memory.reserve(59).expect("fits");
        assert_eq!(memory.pressure(), Pressure::None);
        let last = memory.reserve(1).expect("fits");
        assert_eq!(memory.clone().pressure(), Pressure::Soft, "every clone sees it");
        drop((most, last));
        assert_eq!(memory.pressure(), Pressure::None);
    }

    #[test]
    fn a_body_is_counted_once_and_not_copied() {
        let memory = memory();
        let body = Bytes::from(vec![7; 40]);
        let held = memory.hold(&body).expect("fits");
        assert_eq!((held.as_ptr(), &held), (body.as_ptr(), &body));
        let part = held.slice(..1);
        drop((body, held));
        assert_eq!(memory.used_bytes(), 40, "a part keeps the whole");
        drop(part);
        assert_eq!(memory.used_bytes(), 0);
    }

    #[test]
    fn threads_together_do_not_pass_the_mark_and_give_everything_back() {
        let memory = memory();
        std::thread::scope(|scope| {
            for step in 1..=4 {
                let memory = memory.clone();
                scope.spawn(move || {
                    let mut kept = Vec::new();
                    for _ in 0..2_000 {
                        kept.extend(memory.reserve(step * 7));
                        assert!(memory.used_bytes() <= 100);
                        if kept.len() > 3 {
                            kept.clear();
                        }
                    }
                });
            }
        });
        assert_eq!(memory.used_bytes(), 0);
        assert!(memory.refusals() > 0, "they did compete");
    }

    #[test]
    fn marks_out_of_order_are_refused() {
        for (soft, hard) in [(0, 1), (2, 1), (0, 0)] {
            assert_eq!(MemoryLimiter::try_new(soft, hard).expect_err("refused").kind(), ErrorKind::Config);
        }
    }
}
