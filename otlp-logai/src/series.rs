//! How often something was seen, second by second.

use std::collections::VecDeque;

use otlp_core::UnixNanos;

/// Counts a second, only of the seconds in which there was something, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Series {
    buckets: VecDeque<(u64, u32)>,
}

/// Counts of one series before and after a moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Counts {
    pub(crate) before: u64,
    pub(crate) after: u64,
    /// Variance over mean of the seconds before, at least 1: how bursty it is.
    pub(crate) dispersion: f64,
}

pub(crate) const fn second(time: UnixNanos) -> u64 {
    time.0 / 1_000_000_000
}

impl Series {
    /// Counts one at `time`; seconds more than `keep` before the newest are dropped.
    pub(crate) fn add(&mut self, time: UnixNanos, keep: u64) {
        let at = second(time);
        let newest = self.buckets.back().map_or(at, |&(newest, _)| newest.max(at));
        // Nearly always the last bucket or a new one behind it; lines out of order look further back.
        let place = self.buckets.iter().rposition(|&(bucket, _)| bucket <= at);
        match place.and_then(|place| self.buckets.get_mut(place)) {
            Some((bucket, count)) if *bucket == at => *count = count.saturating_add(1),
            _ => self.buckets.insert(place.map_or(0, |place| place + 1), (at, 1)),
        }
        while self.buckets.front().is_some_and(|&(oldest, _)| oldest.saturating_add(keep) < newest) {
            self.buckets.pop_front();
        }
    }

    /// Adds the counts of another series.
    pub(crate) fn merge(&mut self, other: &Self) {
        for &(at, count) in &other.buckets {
            let place = self.buckets.iter().rposition(|&(bucket, _)| bucket <= at);
            match place.and_then(|place| self.buckets.get_mut(place)) {
                Some((bucket, sum)) if *bucket == at => *sum = sum.saturating_add(count),
                _ => self.buckets.insert(place.map_or(0, |place| place + 1), (at, count)),
            }
        }
    }

    /// Counts from second `start` up to `since` and from there up to `until`, the last left out.
    pub(crate) fn counts(&self, start: u64, since: u64, until: u64) -> Counts {
        let (mut before, mut after, mut squares) = (0, 0, 0.0);
        for &(at, count) in &self.buckets {
            if (start..since).contains(&at) {
                before += u64::from(count);
                squares += f64::from(count) * f64::from(count);
            } else if (since..until).contains(&at) {
                after += u64::from(count);
            }
        }
        let seconds = since.saturating_sub(start) as f64;
        let mean = before as f64 / seconds.max(1.0);
        let variance = squares / seconds.max(1.0) - mean * mean;
        let dispersion = if mean > 0.0 { (variance / mean).max(1.0) } else { 1.0 };
        Counts { before, after, dispersion }
    }

    pub(crate) fn newest(&self) -> u64 {
        self.buckets.back().map_or(0, |&(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(seconds: &[u64]) -> Series {
        let mut series = Series::default();
        seconds.iter().for_each(|&at| series.add(UnixNanos::from_secs(at), 100));
        series
    }

    #[test]
    fn counts_are_split_at_the_moment() {
        let counts = series(&[10, 11, 11, 12, 13]).counts(10, 12, 13);
        assert_eq!((counts.before, counts.after), (3, 1));
    }

    #[test]
    fn lines_out_of_order_land_in_their_second() {
        assert_eq!(series(&[10, 12, 11, 10, 9]), series(&[9, 10, 10, 11, 12]));
        let mut merged = series(&[10, 12]);
        merged.merge(&series(&[9, 11, 12]));
        assert_eq!(merged, series(&[9, 10, 11, 12, 12]));
    }

    #[test]
    fn what_is_too_old_is_dropped() {
        assert_eq!(series(&[10, 111]).counts(0, 200, 201).before, 1);
        assert_eq!(series(&[111, 10]).counts(0, 200, 201).before, 1);
    }

    #[test]
    fn bursts_raise_the_dispersion_and_an_even_stream_does_not() {
        let even: Vec<_> = (0..20).flat_map(|at| [at, at]).collect();
        assert_eq!(series(&even).counts(0, 20, 21).dispersion, 1.0);
        assert!(series(&[5; 40]).counts(0, 20, 21).dispersion > 30.0);
    }
}
