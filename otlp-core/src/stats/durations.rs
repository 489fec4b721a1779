//! How long things took, in buckets.

use std::time::Duration;

/// A histogram of durations in fixed buckets from 5 ms to 10 s, the ones that OpenTelemetry advises for
/// requests. 136 bytes, no allocation.
///
/// ```
/// use std::time::Duration;
/// use otlp_core::stats::Durations;
/// let mut took = Durations::default();
/// took.record(Duration::from_millis(5));
/// took.record(Duration::from_secs(60));
/// assert_eq!((took.count(), took.sum()), (2, Duration::from_millis(60_005)));
/// assert_eq!(took.buckets().next(), Some((Some(Duration::from_millis(5)), 1)));
/// assert_eq!(took.buckets().last(), Some((None, 1)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Durations {
    counts: [u64; BOUNDS_MILLIS.len() + 1],
    sum_nanos: u64,
}

/// Upper bounds, inclusive.
const BOUNDS_MILLIS: [u64; 14] = [5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000];

impl Durations {
    /// Counts one. The sum saturates after 584 years.
    pub fn record(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.sum_nanos = self.sum_nanos.saturating_add(nanos);
        let bucket = BOUNDS_MILLIS.iter().take_while(|bound| nanos > **bound * 1_000_000).count();
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
    }

    /// Adds what another counted.
    pub fn merge(&mut self, other: &Self) {
        self.sum_nanos = self.sum_nanos.saturating_add(other.sum_nanos);
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long they took together.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_nanos)
    }

    /// The buckets, ascending: the inclusive upper bound, `None` for the last, and the count within.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let bounds = BOUNDS_MILLIS.iter().map(|millis| Some(Duration::from_millis(*millis)));
        bounds.chain([None]).zip(self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        for (place, millis) in BOUNDS_MILLIS.into_iter().enumerate() {
            let mut took = Durations::default();
            took.record(Duration::from_millis(millis));
            took.record(Duration::from_millis(millis) + Duration::from_nanos(1));
            assert_eq!((took.counts[place], took.counts[place + 1]), (1, 1), "{millis} ms");
        }
    }

    #[test]
    fn merging_adds_counts_and_sums() {
        let mut one = Durations::default();
        one.record(Duration::from_millis(3));
        let mut both = one;
        both.merge(&one);
        assert_eq!((both.count(), both.sum()), (2, Duration::from_millis(6)));
        both.record(Duration::MAX);
        assert_eq!(both.sum(), Duration::from_nanos(u64::MAX), "saturates");
    }
}
