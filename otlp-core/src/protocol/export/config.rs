//! What an exporter is told before it starts.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::protocol::breaker::BreakerConfig;
use crate::protocol::export::Exporter;
use crate::protocol::retry::Backoff;

/// Which records go when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DropPolicy {
    /// The request that has waited longest. A request in flight is never dropped for room.
    #[default]
    Oldest,
    /// The request that is being handed in; where that has [high priority](super::Priority), the newest normal
    /// one instead.
    Newest,
    /// None: what is handed in comes back, and its owner waits or slows down.
    Block,
}

/// Bounds and times of one [`Exporter`].
///
/// ```
/// use std::time::Duration;
/// use otlp_core::protocol::export::ExporterConfig;
/// let exporter = ExporterConfig::default().max_in_flight(2).timeout(Duration::from_secs(3)).build()?;
/// assert!(exporter.stats().is_balanced());
/// # Ok::<(), otlp_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ExporterConfig {
    pub(super) queue_requests: usize,
    pub(super) queue_bytes: usize,
    pub(super) request_bytes: usize,
    pub(super) in_flight: usize,
    pub(super) attempts: u32,
    pub(super) timeout: Duration,
    pub(super) elapsed: Duration,
    pub(super) backoff: Backoff,
    pub(super) policy: DropPolicy,
    pub(super) breaker: Option<BreakerConfig>,
    pub(super) fallbacks: u8,
    pub(super) trace_events: usize,
}

/// The values of an [`ExporterConfig`] that decide what may follow what, for a checker to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Bounds {
    /// Most requests that wait or are in flight.
    pub queue_requests: usize,
    /// Most bytes of one request.
    pub request_bytes: usize,
    /// Most requests in flight at once.
    pub in_flight: usize,
    /// Most attempts for one request.
    pub attempts: u32,
    /// How long a request is kept from being handed in.
    pub elapsed: Duration,
    /// The waits between attempts.
    pub backoff: Backoff,
    /// How many destinations there are besides the primary.
    pub fallbacks: u8,
    /// The breaker of each destination.
    pub breaker: Option<BreakerConfig>,
}

impl Default for ExporterConfig {
    fn default() -> Self {
        Self {
            queue_requests: 1024,
            queue_bytes: 64 << 20,
            request_bytes: 64 << 20,
            in_flight: 4,
            attempts: u32::MAX,
            timeout: Duration::from_secs(10),
            elapsed: Duration::from_secs(300),
            backoff: Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(30) },
            policy: DropPolicy::Oldest,
            breaker: None,
            fallbacks: 0,
            trace_events: 1 << 16,
        }
    }
}

impl ExporterConfig {
    /// Sets the most requests that wait or are in flight; default 1,024, at least 1.
    #[must_use]
    pub const fn max_queue_requests(mut self, requests: usize) -> Self {
        self.queue_requests = requests;
        self
    }

    /// Sets the most bytes that wait or are in flight; default 64 MiB, at least 1.
    #[must_use]
    pub const fn max_queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes;
        self
    }

    /// Sets the most bytes of one request; default 64 MiB, as the specification has it.
    #[must_use]
    pub const fn max_request_bytes(mut self, bytes: usize) -> Self {
        self.request_bytes = bytes;
        self
    }

    /// Sets the most requests in flight at once; default 4, at least 1. The HTTP driver keeps a connection
    /// for each.
    #[must_use]
    pub const fn max_in_flight(mut self, requests: usize) -> Self {
        self.in_flight = requests;
        self
    }

    /// Sets the most attempts for one request; default `u32::MAX`, so that only the time counts.
    #[must_use]
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets how long one attempt may take; default 10 s, more than zero.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long a request may take from being handed in, all attempts and waits included;
    /// default 300 s, more than zero.
    #[must_use]
    pub const fn max_elapsed(mut self, elapsed: Duration) -> Self {
        self.elapsed = elapsed;
        self
    }

    /// Sets the waits between attempts; default 1 s doubling to 30 s. The first must be at least one
    /// millisecond and not above the last.
    #[must_use]
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets what goes when the queue is full; default [`DropPolicy::Oldest`].
    #[must_use]
    pub const fn drop_policy(mut self, policy: DropPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Gives every destination a circuit breaker; default none, so that every failure is met by backoff alone.
    #[must_use]
    pub const fn breaker(mut self, breaker: BreakerConfig) -> Self {
        self.breaker = Some(breaker);
        self
    }

    /// Adds so many destinations, to be used in their order while the ones before cannot be; default none.
    /// The cooldown of `breaker` is how long the primary is left before one request tries it again.
    #[must_use]
    pub const fn failover(mut self, fallbacks: u8, breaker: BreakerConfig) -> Self {
        self.fallbacks = fallbacks;
        self.breaker = Some(breaker);
        self
    }

    /// Sets how many events of the trace are kept until somebody takes them; default 65,536. Without
    /// effect unless the feature `trace` is on.
    #[must_use]
    pub const fn max_trace_events(mut self, events: usize) -> Self {
        self.trace_events = events;
        self
    }

    /// For a caller that waits for each request before it hands in the next: the timeout is for all attempts.
    #[cfg(all(feature = "otel", feature = "http"))]
    pub(crate) const fn one_by_one(self, backoff: Backoff) -> Self {
        let timeout = self.timeout;
        // Requests follow one another, so that one connection is enough.
        self.max_in_flight(1).max_elapsed(timeout).backoff(backoff)
    }

    /// The values set, read back.
    #[must_use]
    pub const fn bounds(&self) -> Bounds {
        Bounds {
            queue_requests: self.queue_requests,
            request_bytes: self.request_bytes,
            in_flight: self.in_flight,
            attempts: self.attempts,
            elapsed: self.elapsed,
            backoff: self.backoff,
            fallbacks: self.fallbacks,
            breaker: self.breaker,
        }
    }

    /// Checks the values and makes the exporter.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value is out of the range that its setter names.
    pub fn build(self) -> Result<Exporter> {
        if let Some(breaker) = &self.breaker {
            breaker.check()?;
        }
        let wrong = if self.queue_requests == 0 {
            "max_queue_requests: expected at least 1"
        } else if self.queue_bytes == 0 || self.request_bytes == 0 {
            "max_queue_bytes, max_request_bytes: expected at least 1"
        } else if self.in_flight == 0 || self.attempts == 0 {
            "max_in_flight, max_attempts: expected at least 1"
        } else if self.timeout.is_zero() || self.elapsed.is_zero() {
            "timeout, max_elapsed: expected more than zero"
        } else if self.backoff.initial < Duration::from_millis(1) || self.backoff.max < self.backoff.initial {
            "backoff: expected 1 ms <= initial <= max"
        } else {
            return Ok(Exporter::from_checked(self));
        };
        Err(Error::new(ErrorKind::Config, wrong))
    }
}
