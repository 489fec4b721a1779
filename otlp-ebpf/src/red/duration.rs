//! Durations in buckets, explicit or exponential.

use std::time::Duration;

use otlp_core::UnixNanos;
use otlp_core::record::{
    Buckets as Run, ExponentialHistogram, ExponentialHistogramPoint, Histogram, HistogramPoint, KeyValue,
    MetricData, Temporality,
};

/// How durations are put into buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Buckets {
    /// The fourteen bounds from 5 ms to 10 s that the semantic conventions advise.
    #[default]
    Explicit,
    /// Exponential ones, 160 at most: as fine as the range of what is met allows, from 1 ns on.
    Exponential,
}

/// Upper bounds in seconds, inclusive.
const BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Exponential buckets at most, as the OpenTelemetry SDKs have it.
const MAX_BUCKETS: i32 = 160;
/// The finest scale: durations of up to 2^20 in ratio fit the buckets at scale 3 already.
const MAX_SCALE: i32 = 8;

/// A histogram of durations.
#[derive(Debug, Clone)]
pub(super) struct Durations {
    count: u64,
    sum: Duration,
    least: Duration,
    most: Duration,
    counts: Counts,
}

#[derive(Debug, Clone)]
enum Counts {
    Explicit([u64; BOUNDS.len() + 1]),
    Exponential { scale: i32, offset: i32, counts: Vec<u64>, zeros: u64 },
}

impl Durations {
    pub(super) fn new(buckets: Buckets) -> Self {
        let counts = match buckets {
            Buckets::Explicit => Counts::Explicit([0; BOUNDS.len() + 1]),
            Buckets::Exponential => {
                Counts::Exponential { scale: MAX_SCALE, offset: 0, counts: Vec::new(), zeros: 0 }
            }
        };
        Self { count: 0, sum: Duration::ZERO, least: Duration::MAX, most: Duration::ZERO, counts }
    }

    pub(super) fn record(&mut self, took: Duration) {
        self.count += 1;
        self.sum = self.sum.saturating_add(took);
        self.least = self.least.min(took);
        self.most = self.most.max(took);
        let secs = took.as_secs_f64();
        match &mut self.counts {
            Counts::Explicit(counts) => {
                let bucket = BOUNDS.iter().take_while(|bound| secs > **bound).count();
                if let Some(count) = counts.get_mut(bucket) {
                    *count += 1;
                }
            }
            Counts::Exponential { zeros, .. } if took.is_zero() => *zeros += 1,
            Counts::Exponential { scale, offset, counts, .. } => put(secs, scale, offset, counts),
        }
    }
}

/// Counts a value above zero; makes the buckets coarser where it would not fit them.
fn put(value: f64, scale: &mut i32, offset: &mut i32, counts: &mut Vec<u64>) {
    let mut index = bucket(value, *scale);
    if counts.is_empty() {
        *offset = index;
    }
    loop {
        let last = *offset + i32::try_from(counts.len()).unwrap_or(MAX_BUCKETS) - 1;
        let (low, high) = (index.min(*offset), index.max(last));
        if high - low < MAX_BUCKETS {
            let front = usize::try_from(*offset - low).unwrap_or(0);
            counts.splice(0..0, std::iter::repeat_n(0, front));
            counts.resize(usize::try_from(high - low + 1).unwrap_or(0), 0);
            *offset = low;
            if let Some(count) = usize::try_from(index - low).ok().and_then(|at| counts.get_mut(at)) {
                *count += 1;
            }
            return;
        }
        halve(offset, counts);
        *scale -= 1;
        index >>= 1;
    }
}

/// The number of the bucket that holds the value: the i for which base^i < value <= base^(i + 1), with base
/// 2^(2^-scale).
#[expect(clippy::cast_possible_truncation, reason = "logarithms of durations in seconds, times 256 at most")]
fn bucket(value: f64, scale: i32) -> i32 {
    (value.log2() * f64::from(scale).exp2()).ceil() as i32 - 1
}

/// Two neighbours become one bucket.
fn halve(offset: &mut i32, counts: &mut Vec<u64>) {
    let first = *offset >> 1;
    let mut halved: Vec<u64> = Vec::with_capacity(counts.len() / 2 + 1);
    for (index, count) in (*offset..).zip(counts.iter()) {
        let at = usize::try_from((index >> 1) - first).unwrap_or(0);
        halved.resize(halved.len().max(at + 1), 0);
        if let Some(into) = halved.get_mut(at) {
            *into += count;
        }
    }
    (*offset, *counts) = (first, halved);
}

/// The points of a metric.
pub(super) fn data(
    buckets: Buckets,
    points: Vec<(Vec<KeyValue>, &Durations)>,
    (start, time): (UnixNanos, UnixNanos),
) -> MetricData {
    let temporality = Temporality::Cumulative;
    match buckets {
        Buckets::Explicit => {
            let point = |(attributes, durations): (_, &Durations)| HistogramPoint {
                attributes,
                start,
                time,
                count: durations.count,
                sum: Some(durations.sum.as_secs_f64()),
                bucket_counts: match &durations.counts {
                    Counts::Explicit(counts) => counts.to_vec(),
                    Counts::Exponential { .. } => Vec::new(),
                },
                explicit_bounds: BOUNDS.to_vec(),
                min: Some(durations.least.as_secs_f64()),
                max: Some(durations.most.as_secs_f64()),
                ..HistogramPoint::default()
            };
            MetricData::Histogram(Histogram { points: points.into_iter().map(point).collect(), temporality })
        }
        Buckets::Exponential => {
            let point = |(attributes, durations): (_, &Durations)| {
                let mut point = ExponentialHistogramPoint {
                    attributes,
                    start,
                    time,
                    count: durations.count,
                    sum: Some(durations.sum.as_secs_f64()),
                    min: Some(durations.least.as_secs_f64()),
                    max: Some(durations.most.as_secs_f64()),
                    ..ExponentialHistogramPoint::default()
                };
                if let Counts::Exponential { scale, offset, counts, zeros } = &durations.counts {
                    (point.scale, point.zero_count) = (*scale, *zeros);
                    let counts = counts.clone();
                    point.positive = (!counts.is_empty()).then_some(Run { offset: *offset, counts });
                }
                point
            };
            let points = points.into_iter().map(point).collect();
            MetricData::ExponentialHistogram(ExponentialHistogram { points, temporality })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        let mut durations = Durations::new(Buckets::Explicit);
        durations.record(Duration::from_millis(5));
        durations.record(Duration::from_nanos(5_000_001));
        durations.record(Duration::from_secs(11));
        let Counts::Explicit(counts) = durations.counts else { panic!("explicit") };
        assert_eq!((counts[0], counts[1], counts[14]), (1, 1, 1));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_duration_lies_within_its_exponential_bucket(nanos in proptest::collection::vec(0..u64::MAX >> 8, 1..200)) {
            let mut durations = Durations::new(Buckets::Exponential);
            nanos.iter().for_each(|nanos| durations.record(Duration::from_nanos(*nanos)));
            let Counts::Exponential { scale, offset, counts, zeros } = durations.counts else { panic!("exponential") };
            prop_assert!(counts.len() <= 160);
            prop_assert_eq!(counts.iter().sum::<u64>() + zeros, nanos.len() as u64);
            let base = (-f64::from(scale)).exp2().exp2();
            for (index, count) in (offset..).zip(&counts) {
                let (low, high) = (base.powi(index), base.powi(index + 1));
                let within = |nanos: &&u64| {
                    let secs = **nanos as f64 / 1e9;
                    // Either side of a bound is as good: logarithms are rounded.
                    secs > low * (1.0 - 1e-9) && secs <= high * (1.0 + 1e-9)
                };
                prop_assert!(nanos.iter().filter(within).count() as u64 >= *count);
            }
        }
    }
}
