//! Spans to feature rows: what each service, each pair of caller and callee and each operation did in each window.
//!
//! Windows are cut in event time, by the end of the span: a request counts where it was done. A window closes
//! when the watermark passes its end; the watermark is the latest end met (or the time that
//! [`Features::advance`] was told) less the allowed lateness. What comes for a closed window is counted and left out.

mod known;
mod metric;
mod rollup;
pub(crate) mod row;
mod table;
mod window;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use otlp_core::aggregate::Sketch;
use otlp_core::assemble::{Joined, Trace};
use otlp_core::finding::Subject;
use otlp_core::record::{AnyValue, KeyValue, Span, SpanKind};
use otlp_core::{Result, UnixNanos, semconv};

use crate::number::{ratio, to_f64};
use known::{Below, Key, Known};
use window::{Frame, Outside, Windows, frame_setters};

pub use metric::{Level, MetricFeatureConfig, MetricFeatureStats, MetricFeatures, MetricRow};
pub use rollup::{Rollup, RollupConfig, RollupStats};
pub use table::{TableRow, csv};

/// How long windows are and how much is held.
///
/// ```
/// use std::time::Duration;
/// use otlp_anomaly::feature::FeatureConfig;
/// let features = FeatureConfig::new().window(Duration::from_secs(1)).lateness(Duration::from_millis(500)).build()?;
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FeatureConfig {
    frame: Frame,
    max_services: usize,
    max_edges: usize,
    max_operations: usize,
    forget_after: u64,
}

macro_rules! setters {
    ($($name:ident: $ty:ty = $doc:literal;)*) => {
        $(#[doc = $doc]
        #[must_use]
        pub const fn $name(mut self, $name: $ty) -> Self {
            self.$name = $name;
            self
        })*
    };
}
pub(crate) use setters;

impl FeatureConfig {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            frame: Frame::DEFAULT,
            max_services: 1_000,
            max_edges: 0,
            max_operations: 0,
            forget_after: 1_440,
        }
    }

    frame_setters! { "span" }

    setters! {
        max_services: usize = "Sets the most services; default 1,000.";
        max_edges: usize = "Sets the most pairs of caller and callee; default 0, which makes no rows for pairs.";
        max_operations: usize = "Sets the most operations over all services, told apart by the names of their spans; default 0, which makes no rows for operations.";
        forget_after: u64 = "Sets after how many silent windows a service, pair or operation is forgotten; default 1,440.";
    }

    /// Makes the feature windows.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](otlp_core::ErrorKind::Config) where the window is shorter than a millisecond or longer than a week, or where
    /// lateness and reach ahead span more than 100,000 windows.
    pub fn build(self) -> Result<Features> {
        self.frame.check()?;
        Ok(Features::with(self))
    }
}

impl Default for FeatureConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// What one service, one pair of caller and callee or one operation of a service did in one window.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureRow {
    /// About whom: a [`Subject::Service`], a [`Subject::Edge`] or a [`Subject::Operation`].
    pub subject: Subject,
    /// When the window begins.
    pub start: UnixNanos,
    /// How long it is.
    pub window: Duration,
    /// Requests done in it.
    pub requests: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// How long they took, in seconds.
    pub latency: Sketch,
    /// The mean time a request took the service itself, in seconds; only where [`Features::observe_trace`] fed it.
    pub mean_self_time_secs: Option<f64>,
    /// Requests done in this window over all services. Zero means that nothing at all was heard: a gap in the
    /// telemetry rather than a service without traffic.
    pub requests_of_all: u64,
    /// True where the window may hold less than happened in it: the first one of this subject, and those that
    /// [`Features::flush`] closed before their time.
    pub is_partial: bool,
}

impl FeatureRow {
    /// When the window ends.
    #[must_use]
    pub fn end(&self) -> UnixNanos {
        self.start + self.window
    }

    /// Requests a second; zero is a fact, unless [`is_gap`](Self::is_gap).
    #[must_use]
    pub fn rate_per_sec(&self) -> f64 {
        ratio(to_f64(self.requests), self.window.as_secs_f64())
    }

    /// The share of requests that failed; nothing where there were none.
    #[must_use]
    pub fn error_rate(&self) -> Option<f64> {
        (self.requests > 0).then(|| ratio(to_f64(self.errors), to_f64(self.requests)))
    }

    /// A quantile of the latency in seconds; nothing where there were no requests.
    #[must_use]
    pub fn latency_secs(&self, q: f64) -> Option<f64> {
        self.latency.quantile(q)
    }

    /// True where no service was heard of in this window.
    #[must_use]
    pub const fn is_gap(&self) -> bool {
        self.requests_of_all == 0
    }
}

/// Why a span made it into no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Skipped {
    /// It is work inside a service or a call seen by the caller, not a request that a service handled.
    NotARequest,
    /// It has no end time.
    Untimed,
    /// Its window was closed.
    Late,
    /// It ends further ahead than may be believed.
    Ahead,
    /// Its service would have been one too many.
    Full,
}

impl From<Outside> for Skipped {
    fn from(outside: Outside) -> Self {
        match outside {
            Outside::Untimed => Self::Untimed,
            Outside::Late => Self::Late,
            Outside::Ahead => Self::Ahead,
        }
    }
}

/// The account of [`Features`]: every span offered is in exactly one of the first six.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FeatureStats {
    /// Requests that went into a row.
    pub observed: u64,
    /// Spans skipped as [`Skipped::NotARequest`].
    pub not_requests: u64,
    /// Spans skipped as [`Skipped::Untimed`].
    pub untimed: u64,
    /// Spans skipped as [`Skipped::Late`].
    pub late: u64,
    /// Spans skipped as [`Skipped::Ahead`].
    pub ahead: u64,
    /// Spans skipped as [`Skipped::Full`].
    pub full: u64,
    /// Requests that went into the row of their service, but whose pair would have been one too many.
    pub dropped_edges: u64,
    /// Requests that went into the row of their service, but whose operation would have been one too many.
    pub dropped_operations: u64,
    /// Empty windows that were not reported, in gaps longer than the bound.
    pub skipped_windows: u64,
    /// Services, pairs and operations forgotten after a long silence.
    pub forgotten: u64,
}

/// Cuts the stream of spans into windows.
///
/// The order in which spans come does not matter as long as none is later than allowed.
/// A span costs two hash look-ups and a sketch addition.
///
/// ```
/// use std::time::Duration;
/// use otlp_anomaly::feature::FeatureConfig;
/// use otlp_core::UnixNanos;
/// use otlp_core::record::{Span, SpanKind};
///
/// let config = FeatureConfig::new().window(Duration::from_secs(1)).lateness(Duration::ZERO);
/// let mut features = config.build()?;
/// for millis in [100, 400, 900] {
///     let (start, end) = (UnixNanos::from_millis(millis), UnixNanos::from_millis(millis + 20));
///     features.observe("db", &Span { kind: SpanKind::Server, start, end, ..Span::default() }).ok();
/// }
/// features.advance(UnixNanos::from_secs(1));
/// let rows = features.take_closed();
/// assert_eq!((rows.len(), rows[0].requests), (1, 3));
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug)]
pub struct Features {
    config: FeatureConfig,
    services: HashMap<Arc<str>, usize>,
    /// Callers by their names: one need not be known as a service.
    edges: Below,
    operations: Below,
    subjects: Vec<Option<Known>>,
    free: Vec<usize>,
    /// Places of live subjects in the order in which rows come: services by name, then pairs, then operations.
    order: Vec<usize>,
    windows: Windows<usize, Cell>,
    closed: Vec<FeatureRow>,
    stats: FeatureStats,
}

#[derive(Debug, Default)]
struct Cell {
    requests: u64,
    errors: u64,
    latency: Sketch,
    self_time_secs: f64,
    self_times: u64,
}

/// One request on its way into a window.
struct Observation<'a> {
    service: &'a str,
    caller: Option<&'a str>,
    operation: &'a str,
    end: UnixNanos,
    latency: Duration,
    self_time: Option<Duration>,
    is_error: bool,
}

impl Features {
    fn with(config: FeatureConfig) -> Self {
        Self {
            windows: Windows::new(config.frame),
            config,
            services: HashMap::new(),
            edges: Below::default(),
            operations: Below::default(),
            subjects: Vec::new(),
            free: Vec::new(),
            order: Vec::new(),
            closed: Vec::new(),
            stats: FeatureStats::default(),
        }
    }

    /// Takes a span that ran in `service`, as soon as it is known.
    ///
    /// Spans of kind SERVER and CONSUMER are requests, and so are roots that call nobody. The caller is read from
    /// `service.peer.name`. Use either this or [`observe_trace`](Self::observe_trace), or requests count twice.
    ///
    /// # Errors
    /// Says why the span is in no row; it is counted under the same name in the [`stats`](Self::stats).
    pub fn observe(&mut self, service: &str, span: &Span) -> Result<(), Skipped> {
        let calls = matches!(span.kind, SpanKind::Client | SpanKind::Producer);
        let handles = matches!(span.kind, SpanKind::Server | SpanKind::Consumer);
        if !handles && (calls || span.parent_span_id.is_valid()) {
            self.stats.not_requests += 1;
            return Err(Skipped::NotARequest);
        }
        let peer = KeyValue::find(&span.attributes, semconv::SERVICE_PEER_NAME).and_then(AnyValue::as_str);
        self.put(&Observation {
            service,
            caller: peer.filter(|&peer| !peer.is_empty() && peer != service),
            operation: &span.name,
            end: span.end,
            latency: span.duration(),
            self_time: None,
            is_error: span.is_error(),
        })
    }

    /// Takes the requests of an assembled trace, with self times; those skipped are counted in the [`stats`](Self::stats).
    pub fn observe_trace(&mut self, trace: &Trace) {
        for request in trace.requests() {
            if request.joined == Joined::CallerOnly {
                self.stats.not_requests += 1;
                continue;
            }
            // What was skipped is counted; there is nobody here to tell.
            let _ = self.put(&Observation {
                service: request.service,
                caller: request.caller,
                operation: &request.span.span.name,
                end: request.end(),
                latency: request.latency,
                self_time: Some(request.self_time),
                is_error: request.is_error,
            });
        }
    }

    /// Tells that it is `now`, so that windows close although nothing comes.
    ///
    /// A caller that stops its load should stop telling the time too: an idle service is a fact to report.
    pub fn advance(&mut self, now: UnixNanos) {
        self.windows.reach(now);
        self.close_due();
    }

    /// Takes the rows of windows that closed, by time, then name.
    pub fn take_closed(&mut self) -> Vec<FeatureRow> {
        std::mem::take(&mut self.closed)
    }

    /// Closes every window that holds something, due or not, and takes the rows; those not due are partial.
    pub fn flush(&mut self) -> Vec<FeatureRow> {
        while let Some(index) = self.windows.first() {
            self.close(index, true);
        }
        self.take_closed()
    }

    /// The account so far.
    #[must_use]
    pub const fn stats(&self) -> FeatureStats {
        self.stats
    }

    fn put(&mut self, seen: &Observation<'_>) -> Result<(), Skipped> {
        let window = self.windows.of(seen.end).map_err(|outside| {
            let why = Skipped::from(outside);
            self.count_skipped(why);
            why
        })?;
        let Some(place) = self.service(seen.service, window) else {
            self.count_skipped(Skipped::Full);
            return Err(Skipped::Full);
        };
        self.stats.observed += 1;
        self.add(window, place, seen);
        if let Some(caller) = seen.caller.filter(|_| self.config.max_edges > 0) {
            match self.edge(caller, place, window) {
                Some(edge) => self.add(window, edge, seen),
                None => self.stats.dropped_edges += 1,
            }
        }
        if !seen.operation.is_empty() && self.config.max_operations > 0 {
            match self.operation(seen.operation, place, window) {
                Some(operation) => self.add(window, operation, seen),
                None => self.stats.dropped_operations += 1,
            }
        }
        if self.windows.reach(seen.end) {
            self.close_due();
        }
        Ok(())
    }

    const fn count_skipped(&mut self, why: Skipped) {
        let counter = match why {
            Skipped::NotARequest => &mut self.stats.not_requests,
            Skipped::Untimed => &mut self.stats.untimed,
            Skipped::Late => &mut self.stats.late,
            Skipped::Ahead => &mut self.stats.ahead,
            Skipped::Full => &mut self.stats.full,
        };
        *counter += 1;
    }

    fn add(&mut self, window: u64, place: usize, seen: &Observation<'_>) {
        if let Some(known) = self.subjects.get_mut(place).and_then(Option::as_mut) {
            known.first = known.first.min(window);
            known.last_heard = known.last_heard.max(window);
        }
        let cell = self.windows.cell(window, place);
        cell.requests += 1;
        cell.errors += u64::from(seen.is_error);
        cell.latency.add(seen.latency.as_secs_f64());
        if let Some(self_time) = seen.self_time {
            cell.self_time_secs += self_time.as_secs_f64();
            cell.self_times += 1;
        }
    }

    fn service(&mut self, service: &str, window: u64) -> Option<usize> {
        if let Some(&place) = self.services.get(service) {
            return Some(place);
        }
        if self.services.len() >= self.config.max_services {
            return None;
        }
        let name: Arc<str> = service.into();
        let place = self.introduce(Key::Service(Arc::clone(&name)), window);
        self.services.insert(name, place);
        Some(place)
    }

    fn edge(&mut self, caller: &str, callee: usize, window: u64) -> Option<usize> {
        if let Some(place) = self.edges.place(callee, caller) {
            return Some(place);
        }
        if self.edges.count() >= self.config.max_edges {
            return None;
        }
        let name: Arc<str> = caller.into();
        let key = Key::Edge { caller: Arc::clone(&name), callee: self.name(callee)?, place: callee };
        let place = self.introduce(key, window);
        self.edges.insert(callee, name, place);
        Some(place)
    }

    fn operation(&mut self, operation: &str, service: usize, window: u64) -> Option<usize> {
        if let Some(place) = self.operations.place(service, operation) {
            return Some(place);
        }
        if self.operations.count() >= self.config.max_operations {
            return None;
        }
        let name: Arc<str> = operation.into();
        let key =
            Key::Operation { service: self.name(service)?, operation: Arc::clone(&name), place: service };
        let place = self.introduce(key, window);
        self.operations.insert(service, name, place);
        Some(place)
    }

    fn name(&self, place: usize) -> Option<Arc<str>> {
        match &self.subjects.get(place)?.as_ref()?.key {
            Key::Service(name) => Some(Arc::clone(name)),
            Key::Edge { .. } | Key::Operation { .. } => None,
        }
    }

    fn introduce(&mut self, key: Key, window: u64) -> usize {
        let before = |place: &usize| {
            self.subjects.get(*place).and_then(Option::as_ref).is_some_and(|known| known.key < key)
        };
        let nth = self.order.partition_point(before);
        let known = Some(Known { key, first: window, last_heard: window });
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.subjects.push(None);
                self.subjects.len() - 1
            }
        };
        if let Some(slot) = self.subjects.get_mut(place) {
            *slot = known;
        }
        self.order.insert(nth, place);
        place
    }

    fn close_due(&mut self) {
        let mut empty = 0;
        while let Some(index) = self.windows.due(&mut empty, &mut self.stats.skipped_windows) {
            self.close(index, false);
        }
    }

    fn close(&mut self, index: u64, early: bool) {
        let (start, window, mut cells) = self.windows.close(index);
        let is_service = |place: &usize| {
            let known = self.subjects.get(*place).and_then(Option::as_ref);
            known.is_some_and(|known| matches!(known.key, Key::Service(_)))
        };
        let own = cells.iter().filter(|(place, _)| is_service(place));
        let requests_of_all = own.map(|(_, cell)| cell.requests).sum();
        for &place in &self.order {
            let Some(known) = self.subjects.get(place).and_then(Option::as_ref) else { continue };
            if known.first > index {
                continue;
            }
            let cell = cells.remove(&place).unwrap_or_default();
            self.closed.push(FeatureRow {
                subject: known.key.subject(),
                start,
                window,
                requests: cell.requests,
                errors: cell.errors,
                mean_self_time_secs: (cell.self_times > 0)
                    .then(|| cell.self_time_secs / to_f64(cell.self_times)),
                latency: cell.latency,
                requests_of_all,
                is_partial: early || known.first == index,
            });
        }
        self.forget_silent(index);
    }

    fn forget_silent(&mut self, index: u64) {
        let (subjects, free, stats) = (&mut self.subjects, &mut self.free, &mut self.stats);
        let (services, edges, operations) = (&mut self.services, &mut self.edges, &mut self.operations);
        let silent_before = index.saturating_sub(self.config.forget_after);
        // A pair or operation is heard of no later than its service, so it goes in the same pass at the latest.
        self.order.retain(|&place| {
            let Some(slot) = subjects.get_mut(place) else { return false };
            let Some(known) = slot.take_if(|known| known.last_heard < silent_before) else { return true };
            match known.key {
                Key::Service(name) => drop(services.remove(&name)),
                Key::Edge { caller, place, .. } => edges.remove(place, &caller),
                Key::Operation { operation, place, .. } => operations.remove(place, &operation),
            }
            free.push(place);
            stats.forgotten += 1;
            false
        });
    }
}
