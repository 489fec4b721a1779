//! The drivers' clock: wall-clock time at the start, and steady from there.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::UnixNanos;

/// Never goes backwards or jumps when somebody sets the machine's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct SteadyClock {
    wall: UnixNanos,
    start: Instant,
}

/// Timers this far ahead are as good as never; later ones are more than some platforms can hold.
const FAR: Duration = Duration::from_secs(365 * 86_400);

impl SteadyClock {
    pub(super) fn start() -> Self {
        Self { wall: SystemTime::now().into(), start: Instant::now() }
    }

    pub(super) fn now(&self) -> UnixNanos {
        self.wall + self.start.elapsed()
    }

    /// The instant at which this clock shows `at`.
    pub(super) fn instant(&self, at: UnixNanos) -> Instant {
        self.start + at.duration_since(self.wall).min(self.start.elapsed().saturating_add(FAR))
    }
}
