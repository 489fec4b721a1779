//! Requests counted in the kernel: rate, errors and durations, and no record of any one request.
//!
//! ```text
//! bpf/aggregate.bpf.c   first bytes of a request: the time is kept with the socket
//!                       first bytes of its answer: one more in the series of (control group, port, status class)
//!                                                 │ program::Aggregated::series: a map, read when somebody asks
//!                                                 v
//!                       Aggregation::read         Measured: requests, total, buckets
//!                                                 v
//!                       Aggregation::to_metrics   exponential histograms of OTLP
//! ```

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use otlp_core::UnixNanos;
use otlp_core::record::{
    Buckets, ExponentialHistogram, ExponentialHistogramPoint, KeyValue, Metric, MetricData, Temporality,
};
use otlp_core::semconv;

use super::config::CaptureBuilder;
use super::{CaptureStats, Watching, start};
use crate::Role;
use crate::error::{Error, ErrorKind, Result};
use crate::probe::{Hook, reason};
use crate::program::{Aggregated, Series, Settings, attach_aggregate};

/// Who answered a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Answered {
    /// HTTP/1, with a status of this class: 1 to 5. Of the first class only 101 is an answer.
    Http(u8),
    /// Something that is not HTTP/1.
    Other,
    /// Nobody: the connection ended before.
    Nobody,
}

impl Answered {
    /// `2xx` and the like, `other`, `none`.
    ///
    /// ```
    /// use otlp_ebpf::capture::Answered;
    /// assert_eq!(Answered::Http(5).name(), "5xx");
    /// ```
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http(1) => "1xx",
            Self::Http(2) => "2xx",
            Self::Http(3) => "3xx",
            Self::Http(4) => "4xx",
            Self::Http(_) => "5xx",
            Self::Other => "other",
            Self::Nobody => "none",
        }
    }

    const fn of(class: u8) -> Self {
        match class {
            1..=5 => Self::Http(class),
            6 => Self::Nobody,
            _ => Self::Other,
        }
    }

    /// Whether it is a failure, as the semantic conventions have it: a client's fault is none of the server.
    #[must_use]
    pub const fn is_error(self, role: Role) -> bool {
        match self {
            Self::Http(4) => matches!(role, Role::Client),
            Self::Http(class) => class == 5,
            Self::Nobody => true,
            Self::Other => false,
        }
    }
}

/// The requests of one series: those that one port, in one control group, answered in one way.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Measured {
    /// The port of the server.
    pub port: u16,
    /// Whether it was seen at the server's end, or at that of a client of a server elsewhere.
    pub role: Role,
    /// The control group of the socket, by its number (the inode of its folder); none where none was named.
    pub cgroup: Option<u64>,
    /// Who answered.
    pub answered: Answered,
    /// How many.
    pub requests: u64,
    /// How long they took together: each from its first bytes to the first ones of its answer.
    pub total: Duration,
    /// Those that took less than 2^-20 s.
    shorter: u64,
    /// Those that took more than 2^((at - 80) / 4) s, up to four buckets a doubling.
    buckets: Vec<u64>,
}

/// Which bucket of scale 2 the first one is: 2^-20 s.
const FIRST_BUCKET: i32 = -80;
const SCALE: i32 = 2;

impl Measured {
    fn new(series: &Series, by_group: bool) -> Self {
        Self {
            port: series.port,
            role: if series.is_client { Role::Client } else { Role::Server },
            cgroup: by_group.then_some(series.group),
            answered: Answered::of(series.class),
            requests: series.requests,
            total: Duration::from_nanos(series.nanos),
            shorter: series.shorter,
            buckets: series.buckets.to_vec(),
        }
    }

    /// Whether these failed.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        self.answered.is_error(self.role)
    }

    /// How long the share `quantile` of them took at most, 0 to 1: the upper bound of a bucket, which is at most a fifth
    /// beyond the right one. Nothing where there are none.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        quantile_of(std::slice::from_ref(self), quantile)
    }

    fn bounds(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let exponents = FIRST_BUCKET..;
        let upper = |exponent: i32| Duration::from_secs_f64((f64::from(exponent) / 4.0).exp2());
        let shorter = std::iter::once((upper(FIRST_BUCKET), self.shorter));
        shorter.chain(exponents.zip(&self.buckets).map(move |(at, count)| (upper(at + 1), *count)))
    }

    fn point(&self, times: (UnixNanos, UnixNanos)) -> ExponentialHistogramPoint {
        let first = self.buckets.iter().position(|count| *count > 0);
        let last = self.buckets.iter().rposition(|count| *count > 0);
        let positive = first.zip(last).and_then(|(first, last)| {
            let offset = FIRST_BUCKET + i32::try_from(first).ok()?;
            Some(Buckets { offset, counts: self.buckets.get(first..=last)?.to_vec() })
        });
        ExponentialHistogramPoint {
            attributes: self.attributes(),
            start: times.0,
            time: times.1,
            count: self.shorter + self.buckets.iter().sum::<u64>(),
            sum: Some(self.total.as_secs_f64()),
            scale: SCALE,
            zero_count: self.shorter,
            zero_threshold: (f64::from(FIRST_BUCKET) / 4.0).exp2(),
            positive,
            ..ExponentialHistogramPoint::default()
        }
    }

    fn attributes(&self) -> Vec<KeyValue> {
        let mut attributes = vec![
            KeyValue::new(semconv::SERVER_PORT, i64::from(self.port)),
            KeyValue::new("otlp.capture.status_class", self.answered.name()),
        ];
        if let Some(group) = self.cgroup {
            attributes.push(KeyValue::new("otlp.capture.cgroup", i64::try_from(group).unwrap_or(i64::MAX)));
        }
        if self.is_error() {
            let kind =
                if self.answered == Answered::Nobody { "connection_closed" } else { self.answered.name() };
            attributes.push(KeyValue::new(semconv::ERROR_TYPE, kind));
        }
        attributes
    }

    const fn metric(&self) -> &'static str {
        match (self.answered, self.role) {
            (Answered::Http(_), Role::Client) => "http.client.request.duration",
            (Answered::Http(_), _) => "http.server.request.duration",
            (Answered::Other | Answered::Nobody, _) => "otlp.capture.duration",
        }
    }
}

/// How long the share `quantile` of the requests of some series took at most; see [`Measured::quantile`].
///
/// ```
/// assert_eq!(otlp_ebpf::capture::quantile_of(&[], 0.5), None);
/// ```
#[must_use]
pub fn quantile_of(series: &[Measured], quantile: f64) -> Option<Duration> {
    let requests: u64 = series.iter().map(|series| series.requests).sum();
    let mut buckets = std::collections::BTreeMap::<Duration, u64>::new();
    for (bound, count) in series.iter().flat_map(Measured::bounds) {
        *buckets.entry(bound).or_default() += count;
    }
    // Counts: far below 2^52.
    let wanted = (quantile.clamp(0.0, 1.0) * requests as f64).max(1.0);
    let mut met = 0;
    buckets.into_iter().find_map(|(bound, count)| {
        met += count;
        (count > 0 && met as f64 >= wanted).then_some(bound)
    })
}

/// The account of an [`Aggregation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct AggregationStats {
    /// Requests that began.
    pub requests: u64,
    /// Of these, those that are counted in a series: they were answered, or their connection has ended.
    pub counted: u64,
    /// Of these, those that were not, since there were too many series.
    pub no_room: u64,
    /// Fragments of IP packets, passed over.
    pub fragments: u64,
}

impl AggregationStats {
    /// Requests that wait for their answers, or whose connections ended without a word.
    #[must_use]
    pub const fn waiting(&self) -> u64 {
        self.requests.saturating_sub(self.counted + self.no_room)
    }
}

/// Requests counted in the kernel, by port, control group and status class; begun by [`CaptureBuilder::aggregate`].
///
/// Costs the traced server less than a capture, and nobody reads anything until somebody asks. It is HTTP/1 whose status
/// classes are told; where ports are named, whatever else is spoken there is counted as well, by its questions and answers.
///
/// A request is what comes first on a connection, or after an answer; its duration is from the first bytes seen of it to the
/// first ones of its answer. Requests that a client sends before the last one is answered (pipelines, streams of HTTP/2)
/// are not told apart: they count as one. TLS is not looked into.
///
/// ```no_run
/// use otlp_ebpf::capture::Capture;
/// let mut counted = Capture::builder().port(8080).aggregate()?;
/// for series in counted.read()? {
///     println!("{} {} {} {:?}", series.port, series.answered.name(), series.requests, series.quantile(0.99));
/// }
/// # Ok::<(), otlp_ebpf::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping it ends the counting"]
pub struct Aggregation {
    kernel: Aggregated,
    watching: Watching,
    by_group: bool,
    start: UnixNanos,
}

impl Aggregation {
    pub(super) fn start(builder: &CaptureBuilder) -> Result<Self> {
        let by_group = !builder.targets.groups.is_empty();
        let (all, loader) = (builder.targets.is_all(), builder.loader);
        let settings = Settings { all, both_ends: by_group, loader, ..Settings::default() };
        let kernel = start::groups(builder)
            .and_then(|groups| attach_aggregate(&settings, &groups, by_group, builder.max_series))
            .map_err(|error| {
                let why = reason(Hook::Network, &error);
                Error::new(ErrorKind::Io, format!("capture: {}: {why}", Hook::Network))
            })?;
        let mut started = Self { kernel, watching: start::watching(builder), by_group, start: now() };
        started.look();
        Ok(started)
    }

    /// Looks which processes there are now, where their ports are wanted.
    fn look(&mut self) {
        if self.watching.is_due() {
            self.watching.look(Some(&mut self.kernel.ports), None, &mut CaptureStats::default());
        }
    }

    /// What was counted since the beginning, by port, role, group and answer. O(series and processors); looks for processes
    /// that were named, where that is due ([`CaptureBuilder::rescan_interval`]).
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where the kernel does not let its map be read.
    pub fn read(&mut self) -> Result<Vec<Measured>> {
        self.look();
        let mut all: Vec<_> =
            self.kernel.series()?.iter().map(|series| Measured::new(series, self.by_group)).collect();
        all.sort_by_key(|met| (met.port, met.role == Role::Client, met.cgroup, met.answered));
        Ok(all)
    }

    /// The same as metrics, cumulative since the beginning: exponential histograms of seconds, whose attributes are
    /// `server.port`, `otlp.capture.status_class`, `otlp.capture.cgroup` where one was named, and `error.type`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn to_metrics(&mut self) -> Result<Vec<Metric>> {
        let all = self.read()?;
        let times = (self.start, now());
        let names = ["http.server.request.duration", "http.client.request.duration", "otlp.capture.duration"];
        let metric = |name: &str| {
            let points: Vec<_> =
                all.iter().filter(|met| met.metric() == name).map(|met| met.point(times)).collect();
            let data = ExponentialHistogram { points, temporality: Temporality::Cumulative };
            (!data.points.is_empty()).then(|| Metric {
                name: name.to_owned(),
                description: "How long it took to begin an answer.".to_owned(),
                unit: "s".to_owned(),
                data: Some(MetricData::ExponentialHistogram(data)),
                ..Metric::default()
            })
        };
        Ok(names.into_iter().filter_map(metric).collect())
    }

    /// The account so far.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn stats(&self) -> Result<AggregationStats> {
        let [requests, counted, no_room, fragments] = self.kernel.counts()?;
        Ok(AggregationStats { requests, counted, no_room, fragments })
    }
}

fn now() -> UnixNanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixNanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::BUCKETS;

    fn measured(class: u8, shorter: u64, counts: &[(usize, u64)]) -> Measured {
        let mut buckets = [0; BUCKETS];
        counts.iter().for_each(|(at, count)| buckets[*at] = *count);
        let requests = shorter + counts.iter().map(|(_, count)| count).sum::<u64>();
        let series = Series {
            group: 7,
            port: 80,
            class,
            is_client: false,
            requests,
            nanos: requests * 1_000_000,
            shorter,
            buckets,
        };
        Measured::new(&series, false)
    }

    #[test]
    fn a_quantile_is_the_upper_bound_of_its_bucket() {
        // Bucket 80 begins at 1 s.
        let one = measured(2, 10, &[(40, 80), (80, 10)]);
        let secs = |of: f64| one.quantile(of).unwrap().as_secs_f64();
        assert!((secs(0.0) - 2_f64.powi(-20)).abs() < 1e-8);
        assert!((secs(0.5) - 2_f64.powf(-10.0 + 0.25)).abs() < 1e-8);
        assert!((secs(0.9) - 2_f64.powf(-10.0 + 0.25)).abs() < 1e-8);
        assert!((secs(1.0) - 2_f64.powf(0.25)).abs() < 1e-8);
        let both = quantile_of(&[one, measured(5, 0, &[(100, 1000)])], 0.5).unwrap().as_secs_f64();
        assert!((both - 2_f64.powf(5.25)).abs() < 1e-6, "{both}");
        assert_eq!(measured(2, 0, &[]).quantile(0.5), None);
    }

    #[test]
    fn a_point_has_the_buckets_that_are_not_empty_and_says_what_failed() {
        let times = (UnixNanos(1), UnixNanos(2));
        let point = measured(5, 1, &[(40, 2), (42, 3)]).point(times);
        assert_eq!((point.count, point.zero_count, point.scale), (6, 1, 2));
        assert_eq!(point.positive, Some(Buckets { offset: -40, counts: vec![2, 0, 3] }));
        assert!((point.sum.unwrap() - 0.006).abs() < 1e-12);
        let text = |key| KeyValue::find(&point.attributes, key).and_then(|value| value.as_str());
        assert_eq!((text("error.type"), text("otlp.capture.status_class")), (Some("5xx"), Some("5xx")));
        assert!(measured(4, 1, &[]).attributes().iter().all(|attribute| attribute.key != "error.type"));
        assert_eq!(measured(4, 0, &[]).point(times).positive, None);
    }

    #[test]
    fn what_is_an_error_depends_on_whose_it_is() {
        let met = |answered: Answered| [Role::Server, Role::Client].map(|role| answered.is_error(role));
        assert_eq!(met(Answered::Http(2)), [false, false]);
        assert_eq!(met(Answered::Http(4)), [false, true]);
        assert_eq!(met(Answered::Http(5)), [true, true]);
        assert_eq!(met(Answered::Nobody), [true, true]);
        assert_eq!(met(Answered::Other), [false, false]);
    }
}
