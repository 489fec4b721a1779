//! Time that does not run backwards.

use crate::UnixNanos;

/// The own time of a state machine: what it is handed, held back from ever going backwards.
///
/// Where the caller's clock jumps back, the jump is remembered and added to every later reading, so that
/// a wait takes as long as it would have without the jump and is never cut short.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Timeline {
    last: UnixNanos,
    /// How far this time is ahead of the caller's.
    skew: u64,
}

impl Timeline {
    pub(super) const NEW: Self = Self { last: UnixNanos::ZERO, skew: 0 };

    /// Takes a reading of the caller's clock; returns the own time.
    pub(super) fn advance(&mut self, now: UnixNanos) -> UnixNanos {
        let shifted = now.0.saturating_add(self.skew);
        if shifted < self.last.0 {
            self.skew = self.last.0 - now.0;
        } else {
            self.last = UnixNanos(shifted);
        }
        self.last
    }

    /// An instant of the own time by the caller's clock, as it runs at present.
    pub(super) fn to_caller(&self, at: UnixNanos) -> UnixNanos {
        UnixNanos(at.0.saturating_sub(self.skew))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_back_stops_time_for_a_moment_and_no_longer() {
        let mut time = Timeline::default();
        assert_eq!(time.advance(UnixNanos(100)), UnixNanos(100));
        assert_eq!(time.advance(UnixNanos(40)), UnixNanos(100));
        assert_eq!(time.advance(UnixNanos(45)), UnixNanos(105));
        assert_eq!(time.to_caller(UnixNanos(110)), UnixNanos(50));
        assert_eq!(time.advance(UnixNanos(30)), UnixNanos(105));
        assert_eq!(time.advance(UnixNanos(31)), UnixNanos(106));
    }
}
