//! Detectors for every metric of every service, fed by feature rows.

mod alarm;
mod metric;
mod scale;

use std::collections::HashMap;
use std::time::Duration;

use otlp_core::finding::Subject;
use otlp_core::{DecodeError, Result};

use super::judge::{Detector as _, kept};
use super::robust::{Direction, Robust, RobustConfig, State, Verdict};
use super::subject;
use crate::checkpoint::{self, Field, Source, fields};
use crate::feature::{FeatureRow, MetricRow, setters};
use crate::number::to_f64;
use crate::score::Budget;
use scale::{Scale, Watchable, scale_of};

pub use alarm::{Alarm, Kind, Signal};
pub use metric::Metric;

/// What counts as an unusual value of one metric, and as one that matters.
///
/// Spreads are in the scale that the metric is watched in: the natural logarithm for latencies, the arc sine of
/// the square root for error rates, twice the square root of the count for rates. There a step means the same
/// at every level. Values of metrics are watched as they are.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MetricConfig {
    min_relative: f64,
    min_absolute: f64,
    min_requests: u64,
    detector: RobustConfig,
}

impl MetricConfig {
    /// The defaults for one metric.
    ///
    /// | metric | moves that matter | prior spread (weight in windows) | least requests in a window |
    /// |---|---|---|---|
    /// | median latency | up, doubled and by 2 ms | 0.25 (8) | 10 |
    /// | p95 latency | up, tripled and by 20 ms | 0.6 (16) | 40 |
    /// | error rate | up, doubled and by 5 points | 0.02 (8) | 5 |
    /// | request rate | either way, by half and by 5/s | 15 % (8) | 0 |
    /// | value of a metric | either way, by half | 10 % (8) | 1 point |
    #[must_use]
    pub const fn new(metric: Metric) -> Self {
        let detector = RobustConfig::new().prior_relative_scale(0.0).direction(Direction::Up);
        match metric {
            Metric::LatencyP50 => Self::with(1.0, 0.002, 10, detector.prior_scale(0.25).min_scale(0.05)),
            Metric::LatencyP95 => {
                Self::with(2.0, 0.020, 40, detector.prior_scale(0.6).prior_windows(16.0).min_scale(0.1))
            }
            Metric::ErrorRate => Self::with(1.0, 0.05, 5, detector.prior_scale(0.02).min_scale(0.005)),
            Metric::Rate => {
                let detector = detector.prior_relative_scale(0.075).direction(Direction::Both);
                Self::with(0.5, 5.0, 0, detector.min_scale(0.1))
            }
            Metric::Memory => Self::with(0.5, 0.0, 0, detector.prior_scale(0.25)),
            Metric::Value => Self::with(0.5, 0.0, 1, RobustConfig::new()),
        }
    }

    const fn with(min_relative: f64, min_absolute: f64, min_requests: u64, detector: RobustConfig) -> Self {
        Self { min_relative, min_absolute, min_requests, detector }
    }

    setters! {
        min_relative: f64 = "Sets the least move that matters as a share of what is expected.";
        min_absolute: f64 = "Sets the least move that matters in the metric's unit.";
        min_requests: u64 = "Sets the least requests that a window must have for this metric to be looked at.";
    }

    /// Sets how the detector learns and when it speaks; its budget is that of the [`WatchConfig`].
    #[must_use]
    pub fn detector(mut self, detector: RobustConfig) -> Self {
        self.detector = detector;
        self
    }
}

impl MetricConfig {
    fn is_sound(&self) -> bool {
        [self.min_relative, self.min_absolute].iter().all(|least| least.is_finite())
    }
}

fields!(MetricConfig { min_relative: f64, min_absolute: f64, min_requests: u64, detector: RobustConfig });

/// What is watched, and how much of it.
///
/// ```
/// use otlp_anomaly::detect::{Metric, MetricConfig, WatchConfig};
/// let careful = MetricConfig::new(Metric::LatencyP50).min_absolute(0.010);
/// let watch = WatchConfig::new().metric(Metric::LatencyP50, careful).without(Metric::Rate).build()?;
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct WatchConfig {
    budget: Budget,
    max_subjects: usize,
    metrics: Vec<(Metric, MetricConfig)>,
}

impl WatchConfig {
    /// The defaults: all metrics, at most 2,000 services and pairs, one false alarm a series in 604,800 windows.
    #[must_use]
    pub fn new() -> Self {
        let all = Metric::ALL.into_iter().chain([Metric::Value]);
        let metrics = all.map(|metric| (metric, MetricConfig::new(metric))).collect();
        Self { budget: Budget::DEFAULT, max_subjects: 2_000, metrics }
    }

    /// Sets how many false alarms each series may raise.
    #[must_use]
    pub const fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// Sets the most services and pairs watched.
    #[must_use]
    pub const fn max_subjects(mut self, max_subjects: usize) -> Self {
        self.max_subjects = max_subjects;
        self
    }

    /// Sets how one metric is watched.
    #[must_use]
    pub fn metric(mut self, metric: Metric, config: MetricConfig) -> Self {
        self.metrics.retain(|(other, _)| *other != metric);
        self.metrics.push((metric, config));
        self.metrics.sort_by_key(|(metric, _)| *metric);
        self
    }

    /// Leaves one metric out.
    #[must_use]
    pub fn without(mut self, metric: Metric) -> Self {
        self.metrics.retain(|(other, _)| *other != metric);
        self
    }

    /// Makes the watch.
    ///
    /// # Errors
    /// As [`RobustConfig::build`].
    pub fn build(self) -> Result<Watch> {
        let mut models = Vec::new();
        for (metric, config) in self.metrics {
            let detector = config.detector.clone().budget(self.budget).build()?;
            models.push(Watched { metric, config, detector, usual_error: UsualError::default() });
        }
        let stats = WatchStats::default();
        Ok(Watch { max_subjects: self.max_subjects, models, subjects: HashMap::new(), stats })
    }
}

impl Default for WatchConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// The account of a [`Watch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct WatchStats {
    /// Rows looked at.
    pub rows: u64,
    /// Rows left out as partial or as gaps in the telemetry.
    pub left_out: u64,
    /// Rows of subjects that would have been too many.
    pub dropped: u64,
    /// Values looked at.
    pub values: u64,
    /// Values not looked at because the window had too few requests.
    pub too_few: u64,
    /// Alarms raised.
    pub raised: u64,
}

/// Watches all metrics of all services that rows come for, of spans and of metric points.
///
/// ```
/// use otlp_anomaly::detect::{Metric, Signal, WatchConfig};
/// use otlp_anomaly::feature::FeatureRow;
/// use otlp_core::{UnixNanos, aggregate::Sketch, finding::Subject};
/// use std::time::Duration;
///
/// let mut watch = WatchConfig::new().build()?;
/// let mut signals = Vec::new();
/// for second in 0..12 {
///     let errors = if second < 10 { 0 } else { 50 };
///     let row = FeatureRow {
///         subject: Subject::Service("payment".into()),
///         start: UnixNanos::from_secs(second),
///         window: Duration::from_secs(1),
///         requests: 200,
///         errors,
///         latency: Sketch::default(),
///         mean_self_time_secs: None,
///         requests_of_all: 1000,
///         is_partial: false,
///     };
///     watch.observe(&row, &mut signals);
/// }
/// let [Signal::Raised(alarm)] = &signals[..] else { panic!("{signals:?}") };
/// assert_eq!((alarm.metric, alarm.since), (Metric::ErrorRate, UnixNanos::from_secs(10)));
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, PartialEq)]
pub struct Watch {
    max_subjects: usize,
    /// One fresh detector a metric; a subject's own are copies of these.
    models: Vec<Watched>,
    subjects: HashMap<Subject, Vec<Watched>>,
    stats: WatchStats,
}

#[derive(Debug, Clone, PartialEq)]
struct Watched {
    metric: Metric,
    config: MetricConfig,
    detector: Robust,
    usual_error: UsualError,
}

impl Watched {
    /// Its parts look after themselves.
    #[expect(clippy::unused_self, reason = "asked of every field")]
    const fn is_sound(&self) -> bool {
        true
    }
}

fields!(Watched { metric: Metric, config: MetricConfig, detector: Robust, usual_error: UsualError });

impl WatchStats {
    fn is_sound(self) -> bool {
        let Self { rows, left_out, dropped, values, too_few, raised } = self;
        [rows, left_out, dropped, values, too_few, raised].iter().all(|&count| count < 1 << 63)
    }
}

fields!(WatchStats { rows: u64, left_out: u64, dropped: u64, values: u64, too_few: u64, raised: u64 });

impl Field for Watch {
    const LEAST_BYTES: usize = 24;

    fn save(&self, into: &mut Vec<u8>) {
        let Self { max_subjects, models, subjects, stats } = self;
        max_subjects.save(into);
        models.save(into);
        stats.save(into);
        subject::save_all(subjects, into);
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        let (max_subjects, models) = (usize::load(from)?, Vec::<Watched>::load(from)?);
        let stats = WatchStats::load(from)?;
        if models.windows(2).any(|pair| matches!(pair, [a, b] if a.metric >= b.metric)) {
            return Err(from.invalid("checkpoint with metrics out of order"));
        }
        let subjects = subject::load_all(from, max_subjects, |subject, watched: &Vec<Watched>| {
            let known = |watched: &Watched| (watched.metric, watched.config.clone());
            watched.iter().map(known).eq(models_of(&models, subject).map(known))
        })?;
        Ok(Self { max_subjects, models, subjects, stats })
    }
}

kept!(Watch, 16);

impl Watch {
    /// Looks at the rows of one window of one subject and appends what there is to say.
    ///
    /// Rows of one subject come in order of time. Nothing is allocated unless the subject is new or an alarm begins or ends.
    pub fn observe(&mut self, row: &FeatureRow, signals: &mut Vec<Signal>) {
        self.look(row, signals);
    }

    /// The same for the value of a metric, whose subject is the metric.
    ///
    /// ```
    /// use std::time::Duration;
    /// use otlp_anomaly::detect::{Kind, Signal, WatchConfig};
    /// use otlp_anomaly::feature::MetricFeatureConfig;
    /// use otlp_core::encode::Encode as _;
    /// use otlp_core::record::{Gauge, Metric, MetricData, MetricsRequest, NumberPoint, NumberValue, Resource};
    /// use otlp_core::record::{ResourceMetrics, ScopeMetrics};
    /// use otlp_core::view::MetricsView;
    /// use otlp_core::{Limits, UnixNanos};
    ///
    /// // A processor is at a fifth, and from the fortieth minute on at nine tenths.
    /// let points = (0..60).map(|minute| NumberPoint {
    ///     time: UnixNanos::from_secs(60 * minute + 1),
    ///     value: Some(NumberValue::Double(if minute < 40 { 0.2 + 0.001 * (minute % 7) as f64 } else { 0.9 })),
    ///     ..NumberPoint::default()
    /// });
    /// let data = Some(MetricData::Gauge(Gauge { points: points.collect() }));
    /// let metrics = vec![Metric { name: "system.cpu.utilization".into(), data, ..Metric::default() }];
    /// let scopes = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    /// let resource = Resource::service("shop");
    /// let request = MetricsRequest { resources: vec![ResourceMetrics { resource, scopes, ..ResourceMetrics::default() }] };
    ///
    /// let mut features = MetricFeatureConfig::new().window(Duration::from_secs(60)).build()?;
    /// features.observe_request(&MetricsView::parse(&request.encode_to_bytes(), &Limits::default())?);
    /// let (mut watch, mut signals) = (WatchConfig::new().build()?, Vec::new());
    /// features.flush().iter().for_each(|row| watch.observe_metric(row, &mut signals));
    /// let Some(Signal::Raised(alarm)) = signals.first() else { panic!("nobody noticed") };
    /// assert_eq!((alarm.kind(), alarm.since), (Kind::Saturation, UnixNanos::from_secs(2_400)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn observe_metric(&mut self, row: &MetricRow, signals: &mut Vec<Signal>) {
        self.look(row, signals);
    }

    fn look(&mut self, row: &impl Watchable, signals: &mut Vec<Signal>) {
        self.stats.rows += 1;
        if row.is_left_out() {
            self.stats.left_out += 1;
            return;
        }
        if !self.subjects.contains_key(row.subject()) {
            if self.subjects.len() >= self.max_subjects {
                self.stats.dropped += 1;
                return;
            }
            let models = models_of(&self.models, row.subject()).cloned().collect();
            self.subjects.insert(row.subject().clone(), models);
        }
        for watched in self.subjects.get_mut(row.subject()).into_iter().flatten() {
            if row.count() < watched.config.min_requests {
                self.stats.too_few += 1;
                continue;
            }
            self.stats.values += 1;
            let Some(signal) = watched.observe(row) else { continue };
            self.stats.raised += u64::from(matches!(signal, Signal::Raised(_)));
            signals.push(signal);
        }
    }

    /// Forgets a subject, alarms and all; true where it was known.
    pub fn forget(&mut self, subject: &Subject) -> bool {
        self.subjects.remove(subject).is_some()
    }

    /// Says whether an alarm about a metric was right, which moves its budget and not what is known of it: see
    /// [`Detector::feedback`](super::Detector::feedback). True where the metric is watched.
    ///
    /// ```
    /// use otlp_anomaly::detect::{Metric, WatchConfig};
    /// use otlp_core::finding::Subject;
    /// let mut watch = WatchConfig::new().build()?;
    /// assert!(!watch.feedback(&Subject::Service("never heard of".into()), Metric::Rate, false));
    /// # Ok::<(), otlp_anomaly::Error>(())
    /// ```
    pub fn feedback(&mut self, subject: &Subject, metric: Metric, is_anomaly: bool) -> bool {
        let all = self.subjects.get_mut(subject).into_iter().flatten();
        let Some(watched) = all.into_iter().find(|watched| watched.metric == metric) else { return false };
        watched.detector.feedback(is_anomaly);
        true
    }

    /// What a metric of a subject is expected to be, in its unit; nothing before the warm-up is over.
    #[must_use]
    pub fn expected(&self, subject: &Subject, metric: Metric, window: Duration) -> Option<f64> {
        let watched = self.subjects.get(subject)?.iter().find(|watched| watched.metric == metric)?;
        Some(scale_of(metric, window).back(watched.detector.expected()?))
    }

    /// Appends a checkpoint, of which [`restore`](Self::restore) makes a watch that goes on bit for bit where this one is.
    ///
    /// Some 7 KiB a subject with all metrics.
    ///
    /// ```
    /// use otlp_anomaly::detect::{Watch, WatchConfig};
    /// let mut bytes = Vec::new();
    /// WatchConfig::new().build()?.checkpoint(&mut bytes);
    /// let restored = Watch::restore(&bytes)?;
    /// # assert_eq!(restored.stats().rows, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn checkpoint(&self, into: &mut Vec<u8>) {
        checkpoint::write(self, into);
    }

    /// The account so far.
    #[must_use]
    pub const fn stats(&self) -> WatchStats {
        self.stats
    }
}

/// What is watched of a subject: of a metric its value, of all others everything else.
fn models_of<'a>(models: &'a [Watched], subject: &Subject) -> impl Iterator<Item = &'a Watched> + use<'a> {
    let is_metric = matches!(subject, Subject::Metric { .. });
    models.iter().filter(move |model| (model.metric == Metric::Value) == is_metric)
}

impl Watched {
    fn observe(&mut self, row: &impl Watchable) -> Option<Signal> {
        let scale = scale_of(self.metric, row.span().1);
        let mut point = row.measure(self.metric)?;
        if let Some(level) = self.detector.expected() {
            let expected = scale.back(level);
            let least = self.config.min_absolute.max(self.config.min_relative * expected.abs());
            point.min_rise = scale.to(expected + least) - level;
            point.min_fall = level - scale.to(expected - least);
        }
        let own = point.standard_error;
        let requests = to_f64(row.count());
        point.standard_error = self.usual_error.bound(own, requests);
        let verdict = self.detector.observe(point);
        if matches!(verdict.state, State::Warmup | State::Usual) {
            self.usual_error.learn(own, requests);
        }
        self.signal(row, scale.back(point.value), scale, verdict)
    }

    fn signal(&self, row: &impl Watchable, observed: f64, scale: Scale, verdict: Verdict) -> Option<Signal> {
        let (start, window) = row.span();
        match verdict.state {
            State::Raised { since } => {
                let since = start.saturating_sub(window * since);
                Some(Signal::Raised(Alarm {
                    subject: row.subject().clone(),
                    metric: self.metric,
                    since,
                    raised: start + window,
                    observed,
                    expected: scale.back(verdict.expected),
                    score: verdict.score,
                    threshold: verdict.threshold,
                }))
            }
            State::Ended | State::Relearned => Some(Signal::Ended {
                subject: row.subject().clone(),
                metric: self.metric,
                time: start + window,
            }),
            State::Warmup | State::Usual | State::Alarmed | State::Invalid => None,
        }
    }
}

/// The standard error that windows usually have, freed of how many requests they held.
///
/// A window is judged by the spread it would have if nothing were wrong. A fault that slows some requests and not
/// others pulls the order statistics apart; by its own spread such a window would excuse itself.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct UsualError {
    /// Mean of the squared standard error times the requests.
    squared: f64,
    windows: u32,
}

fields!(UsualError { squared: f64, windows: u32 });

/// Windows from which on the usual error bounds that of a window.
const USUAL_FROM: u32 = 5;
/// Windows over which it is averaged.
const USUAL_MEMORY: u32 = 64;
/// How far above the usual a squared error may lie, and how far one window may move the mean.
const USUAL_SLACK: f64 = 2.0;

impl UsualError {
    fn is_sound(self) -> bool {
        self.squared >= 0.0 && self.windows <= USUAL_MEMORY
    }

    /// The standard error to judge a window of so many requests by; never above its own.
    fn bound(self, own: f64, requests: f64) -> f64 {
        if self.windows < USUAL_FROM || requests < 1.0 {
            return own;
        }
        own.min((USUAL_SLACK * self.squared / requests).sqrt())
    }

    fn learn(&mut self, own: f64, requests: f64) {
        let met = own * own * requests;
        let known = self.windows >= USUAL_FROM;
        let met = if known { met.min(2.0 * USUAL_SLACK * self.squared) } else { met };
        self.windows = self.windows.saturating_add(1).min(USUAL_MEMORY);
        self.squared += (met - self.squared) / f64::from(self.windows);
    }
}

#[cfg(test)]
mod tests {
    use otlp_core::UnixNanos;
    use otlp_core::aggregate::Sketch;

    use super::*;

    /// Windows of a hundred requests, of which `of_twenty` in twenty take `slow` from second 20 on.
    fn alarms(of_twenty: u64, slow: Duration) -> Vec<Alarm> {
        let mut watch = WatchConfig::new().build().unwrap();
        let mut signals = Vec::new();
        for second in 0..40_u64 {
            let mut latency = Sketch::default();
            for request in 0..100_u64 {
                let wobble = (second * 31 + request * 17) % 40;
                let is_slow = second >= 20 && request % 20 < of_twenty;
                let base = if is_slow { slow } else { Duration::from_micros(800) };
                latency.add((base + Duration::from_micros(10 * wobble)).as_secs_f64());
            }
            let row = FeatureRow {
                subject: Subject::Service("payment".into()),
                start: UnixNanos::from_secs(second),
                window: Duration::from_secs(1),
                requests: 100,
                errors: 0,
                latency,
                mean_self_time_secs: None,
                requests_of_all: 100,
                is_partial: false,
            };
            watch.observe(&row, &mut signals);
        }
        let raised = |signal| if let Signal::Raised(alarm) = signal { Some(alarm) } else { None };
        signals.into_iter().filter_map(raised).collect()
    }

    #[test]
    fn a_fault_that_slows_half_of_the_requests_does_not_excuse_itself_by_its_spread() {
        let raised = alarms(11, Duration::from_millis(12));
        let first = raised.first().map(|alarm| (alarm.metric, alarm.raised <= UnixNanos::from_secs(24)));
        assert_eq!(first, Some((Metric::LatencyP50, true)), "{raised:?}");
    }

    #[test]
    fn nothing_slow_and_no_alarm() {
        assert_eq!(alarms(0, Duration::ZERO), []);
        assert_eq!(alarms(11, Duration::from_micros(900)), [], "slower by less than matters");
    }

    #[test]
    fn the_usual_error_follows_the_count_of_requests_and_one_odd_window_does_not_move_it_far() {
        let mut usual = UsualError::default();
        assert_eq!(usual.bound(9.0, 100.0).to_bits(), 9.0_f64.to_bits(), "nothing is known yet");
        (0..20).for_each(|_| usual.learn(0.1, 100.0));
        let slack = USUAL_SLACK.sqrt();
        assert!((usual.bound(9.0, 100.0) - 0.1 * slack).abs() < 1e-9);
        assert!((usual.bound(9.0, 25.0) - 0.2 * slack).abs() < 1e-9, "fewer requests, a wider error");
        assert!((usual.bound(0.05, 100.0) - 0.05).abs() < 1e-12, "never above its own");
        usual.learn(1e6, 100.0);
        assert!(usual.bound(9.0, 100.0) < 0.1 * slack * 1.1);
    }
}
