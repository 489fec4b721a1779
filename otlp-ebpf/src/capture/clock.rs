//! The kernel's clock, and the time of day.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use otlp_core::UnixNanos;
use rustix::time::{ClockId, clock_gettime};

/// Turns readings of `CLOCK_MONOTONIC` into times of day.
#[derive(Debug)]
pub(super) struct Clocks {
    /// Of the time of day over the other clock, in nanoseconds.
    ahead: u64,
    read: Instant,
    advanced: Instant,
}

/// How often the two are compared: the time of day may be set.
const COMPARE: Duration = Duration::from_secs(10);

impl Clocks {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { ahead: ahead(), read: now, advanced: now }
    }

    pub(super) const fn time_of_day(&self, monotonic: u64) -> UnixNanos {
        UnixNanos(monotonic.wrapping_add(self.ahead))
    }

    /// The time of day, where so much has gone by since it was last told.
    pub(super) fn due(&mut self, after: Duration) -> Option<UnixNanos> {
        let now = Instant::now();
        if now.duration_since(self.read) >= COMPARE {
            (self.ahead, self.read) = (ahead(), now);
        }
        if now.duration_since(self.advanced) < after {
            return None;
        }
        self.advanced = now;
        Some(self.time_of_day(monotonic()))
    }
}

fn ahead() -> u64 {
    let day = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let day = u64::try_from(day.as_nanos()).unwrap_or(u64::MAX);
    day.wrapping_sub(monotonic())
}

fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let whole = u64::try_from(now.tv_sec).unwrap_or(0).wrapping_mul(1_000_000_000);
    whole.wrapping_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}

/// CPU time that this thread has had.
pub(super) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_of_now_is_the_time_of_day() {
        let mut clocks = Clocks::new();
        let day = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let met = clocks.time_of_day(monotonic()).0 / 1_000_000_000;
        assert!(met.abs_diff(day) <= 1, "{met} {day}");
        assert_eq!(clocks.due(Duration::from_secs(3600)), None);
        assert!(clocks.due(Duration::ZERO).is_some());
    }
}
