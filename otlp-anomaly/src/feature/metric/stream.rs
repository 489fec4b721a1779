//! One stream of a metric: from points as they were reported to what happened between them.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use otlp_core::record::{NumberValue, Temporality};
use otlp_core::view::{
    AnyValueView, BucketsView, ExponentialHistogramPointView, HistogramPointView, KeyValueView,
    NumberPointView,
};
use otlp_core::{DecodeError, UnixNanos};

use super::Skipped;
use super::digest::{Digest, Layout};

/// A point as it was reported.
#[derive(Debug)]
pub(super) struct Reading {
    /// Of which stream.
    pub(super) identity: u64,
    pub(super) start: UnixNanos,
    pub(super) time: UnixNanos,
    said: Said,
}

#[derive(Debug)]
enum Said {
    /// A value that goes up and down.
    Level(f64),
    /// What a sum grew by.
    Grown(f64),
    /// What a sum grew to.
    Total(f64),
    /// Measurements since the last report.
    Measured(Digest),
    /// Measurements since the start.
    MeasuredTotal(Digest),
}

/// What a point adds to its window.
#[derive(Debug, Default)]
pub(super) struct Growth {
    pub(super) level: Option<f64>,
    pub(super) grown: Option<f64>,
    pub(super) measured: Vec<(f64, u64)>,
    pub(super) measured_sum: Option<f64>,
    pub(super) was_reset: bool,
}

/// What is kept of a stream.
#[derive(Debug, Default)]
pub(super) struct Stream {
    start: UnixNanos,
    time: UnixNanos,
    last: Last,
}

/// The last cumulative point.
#[derive(Debug, Default)]
enum Last {
    #[default]
    None,
    Total(f64),
    Measured(Digest),
}

/// The flag of points without a value.
const NOT_RECORDED: u32 = 1;
/// Values beyond this are not to be reckoned with.
const LARGEST: f64 = 1e150;
/// Counts beyond this are nobody's: what is added up of those below does not overflow.
const MOST_COUNTED: u64 = 1 << 40;

type Read<P> = Result<P, DecodeError>;

impl Reading {
    pub(super) fn of_gauge(point: Read<NumberPointView<'_>>) -> Result<Self, Skipped> {
        Self::of_number(point, Said::Level)
    }

    pub(super) fn of_sum(
        point: Read<NumberPointView<'_>>,
        (temporality, is_monotonic): (Temporality, bool),
    ) -> Result<Self, Skipped> {
        match (temporality, is_monotonic) {
            (Temporality::Cumulative, true) => Self::of_number(point, Said::Total),
            (Temporality::Cumulative, false) => Self::of_number(point, Said::Level),
            (Temporality::Delta, _) => Self::of_number(point, Said::Grown),
            _ => Err(Skipped::Unusable),
        }
    }

    fn of_number(point: Read<NumberPointView<'_>>, said: fn(f64) -> Said) -> Result<Self, Skipped> {
        let point = point.map_err(|_| Skipped::Unusable)?;
        if point.flags() & NOT_RECORDED != 0 {
            return Err(Skipped::NotRecorded);
        }
        let value = point.value().map(NumberValue::as_f64).filter(|value| value.abs() <= LARGEST);
        let said = said(value.ok_or(Skipped::Unusable)?);
        Ok(Self { identity: identity(point.attributes())?, start: point.start(), time: point.time(), said })
    }

    pub(super) fn of_histogram(
        point: Read<HistogramPointView<'_>>,
        temporality: Temporality,
        most: usize,
    ) -> Result<Self, Skipped> {
        let point = point.map_err(|_| Skipped::Unusable)?;
        if point.flags() & NOT_RECORDED != 0 {
            return Err(Skipped::NotRecorded);
        }
        let (counts, bounds) = (point.bucket_counts(), point.explicit_bounds());
        let fits = counts.len() <= most && (counts.len() == 0 || counts.len() == bounds.len() + 1);
        let bounds: Vec<f64> = bounds.take(most).collect();
        let is_ascending = bounds.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
        if !fits || !is_ascending || !bounds.iter().all(|bound| bound.abs() <= f64::INFINITY) {
            return Err(Skipped::Unusable);
        }
        let places = (0_i64..).zip(counts).filter(|(_, count)| *count > 0).collect();
        let digest = Digest {
            layout: Layout::Explicit(bounds),
            counts: places,
            zeros: 0,
            below: 0,
            count: point.count(),
            sum: usable(point.sum()),
        };
        let said = said(digest, temporality)?;
        Ok(Self { identity: identity(point.attributes())?, start: point.start(), time: point.time(), said })
    }

    pub(super) fn of_exponential(
        point: Read<ExponentialHistogramPointView<'_>>,
        temporality: Temporality,
        most: usize,
    ) -> Result<Self, Skipped> {
        let point = point.map_err(|_| Skipped::Unusable)?;
        if point.flags() & NOT_RECORDED != 0 {
            return Err(Skipped::NotRecorded);
        }
        let buckets = |side: Option<BucketsView<'_>>| -> Result<Vec<(i64, u64)>, Skipped> {
            let Some(side) = side else { return Ok(Vec::new()) };
            if side.counts().len() > most {
                return Err(Skipped::Unusable);
            }
            let places = (i64::from(side.offset())..).zip(side.counts());
            Ok(places.filter(|(_, count)| *count > 0).collect())
        };
        let below = buckets(point.negative())?.into_iter().map(|(_, count)| count.min(MOST_COUNTED)).sum();
        if !(-10..=20).contains(&point.scale()) {
            return Err(Skipped::Unusable);
        }
        let digest = Digest {
            layout: Layout::Exponential(point.scale()),
            counts: buckets(point.positive())?.into_iter().collect(),
            zeros: point.zero_count(),
            below,
            count: point.count(),
            sum: usable(point.sum()),
        };
        let said = said(digest, temporality)?;
        Ok(Self { identity: identity(point.attributes())?, start: point.start(), time: point.time(), said })
    }
}

fn usable(sum: Option<f64>) -> Option<f64> {
    sum.filter(|sum| sum.abs() <= LARGEST)
}

fn said(digest: Digest, temporality: Temporality) -> Result<Said, Skipped> {
    let parts = digest.counts.values().chain([&digest.zeros, &digest.count]);
    if parts.max().is_some_and(|most| *most > MOST_COUNTED) {
        return Err(Skipped::Unusable);
    }
    match temporality {
        Temporality::Delta => Ok(Said::Measured(digest)),
        Temporality::Cumulative => Ok(Said::MeasuredTotal(digest)),
        _ => Err(Skipped::Unusable),
    }
}

impl Stream {
    /// What the point adds. Where it is the first one of a cumulative stream, that is all of it if the stream is young: it
    /// started in the window of the point; else what was before is not known.
    pub(super) fn grow(&mut self, reading: Reading, is_young: bool) -> Result<Growth, Skipped> {
        let Reading { start, time, said, .. } = reading;
        match said {
            Said::Level(level) => Ok(Growth { level: Some(level), ..Growth::default() }),
            Said::Grown(grown) => Ok(Growth { grown: Some(grown), ..Growth::default() }),
            Said::Measured(digest) => Ok(Growth::of(&digest)),
            Said::Total(total) => {
                let (before, is_new) = self.next(start, time, Last::Total(total))?;
                match before {
                    Last::Total(last) if !is_new && total >= last => Ok(Growth::by(total - last)),
                    Last::None if !is_young => Err(Skipped::Baseline),
                    Last::None => Ok(Growth::by(total)),
                    _ => Ok(Growth { was_reset: true, ..Growth::by(total) }),
                }
            }
            Said::MeasuredTotal(digest) => {
                let (before, is_new) = self.next(start, time, Last::Measured(digest.clone()))?;
                let since = match &before {
                    Last::Measured(last) if !is_new => digest.since(last),
                    _ => None,
                };
                match (since, before) {
                    (Some(since), _) => Ok(Growth::of(&since)),
                    (None, Last::None) if !is_young => Err(Skipped::Baseline),
                    (None, Last::None) => Ok(Growth::of(&digest)),
                    (None, _) => Ok(Growth { was_reset: true, ..Growth::of(&digest) }),
                }
            }
        }
    }

    /// Keeps a cumulative point; gives the one before, and whether the source says that it began anew since.
    fn next(&mut self, start: UnixNanos, time: UnixNanos, last: Last) -> Result<(Last, bool), Skipped> {
        if !matches!(self.last, Last::None) && time <= self.time {
            return Err(Skipped::Repeated);
        }
        let is_new = start > self.start && !matches!(self.last, Last::None);
        (self.start, self.time) = (start, time);
        Ok((std::mem::replace(&mut self.last, last), is_new))
    }
}

impl Growth {
    fn by(grown: f64) -> Self {
        Self { grown: Some(grown), ..Self::default() }
    }

    fn of(digest: &Digest) -> Self {
        Self {
            measured: digest.values().collect(),
            measured_sum: digest.sum,
            ..Self::by(crate::number::to_f64(digest.count))
        }
    }
}

/// One number for a set of attributes, in whatever order they come.
#[expect(single_use_lifetimes, reason = "it cannot be left out here")]
fn identity<'a>(
    attributes: impl Iterator<Item = Result<KeyValueView<'a>, DecodeError>>,
) -> Result<u64, Skipped> {
    let mut whole = 0_u64;
    for attribute in attributes {
        let attribute = attribute.map_err(|_| Skipped::Unusable)?;
        let mut hasher = DefaultHasher::new();
        attribute.key().hash(&mut hasher);
        match attribute.value() {
            AnyValueView::String(text) => (0_u8, text).hash(&mut hasher),
            AnyValueView::Bool(value) => (1_u8, value).hash(&mut hasher),
            AnyValueView::Int(value) => (2_u8, value).hash(&mut hasher),
            AnyValueView::Double(value) => (3_u8, value.to_bits()).hash(&mut hasher),
            AnyValueView::Bytes(bytes) => (4_u8, bytes).hash(&mut hasher),
            AnyValueView::Array(values) => (5_u8, values.len()).hash(&mut hasher),
            AnyValueView::KvList(values) => (6_u8, values.len()).hash(&mut hasher),
            _ => 7_u8.hash(&mut hasher),
        }
        whole = whole.wrapping_add(hasher.finish());
    }
    Ok(whole)
}
