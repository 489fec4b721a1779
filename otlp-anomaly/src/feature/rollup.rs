//! Rows of short windows put together to rows of longer ones.

use std::collections::HashMap;
use std::time::Duration;

use otlp_core::finding::Subject;
use otlp_core::{Error, ErrorKind, Result, UnixNanos};

use super::TableRow;

/// Which longer windows rows are put together to.
///
/// ```
/// use std::time::Duration;
/// use otlp_anomaly::feature::{FeatureRow, RollupConfig};
/// let seconds = RollupConfig::new().base(Duration::from_secs(1)).windows([Duration::from_secs(10)]);
/// let rollup = seconds.build::<FeatureRow>()?;
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RollupConfig {
    base: Duration,
    windows: Vec<Duration>,
    max_subjects: usize,
}

/// Longer windows there may be.
const MOST_WINDOWS: usize = 8;
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

impl RollupConfig {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self { base: minutes(1), windows: [5, 15, 60].map(minutes).to_vec(), max_subjects: 10_000 }
    }

    /// Sets how long the windows of the rows are that come, at least a millisecond; default 60 s.
    #[must_use]
    pub const fn base(mut self, base: Duration) -> Self {
        self.base = base;
        self
    }

    /// Sets the longer windows, 1 to 8, each a multiple of the base and at most seven days; default 5, 15 and 60 minutes.
    #[must_use]
    pub fn windows(mut self, windows: impl IntoIterator<Item = Duration>) -> Self {
        self.windows = windows.into_iter().take(MOST_WINDOWS + 1).collect();
        self
    }

    /// Sets the most subjects; default 10,000.
    #[must_use]
    pub const fn max_subjects(mut self, max_subjects: usize) -> Self {
        self.max_subjects = max_subjects;
        self
    }

    /// Makes the rollup, for rows of one kind.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value lies outside what its setter says.
    pub fn build<R: TableRow>(self) -> Result<Rollup<R>> {
        let fits = |window: &Duration| {
            *window > self.base
                && *window <= LONGEST
                && window.as_nanos().is_multiple_of(self.base.as_nanos().max(1))
        };
        let is_sound = self.base >= Duration::from_millis(1)
            && (1..=MOST_WINDOWS).contains(&self.windows.len())
            && self.windows.iter().all(fits);
        if !is_sound {
            return Err(Error::new(ErrorKind::Config, format!("rollup: values out of range in {self:?}")));
        }
        let stats = RollupStats::default();
        Ok(Rollup { config: self, open: HashMap::new(), closed: Vec::new(), latest: UnixNanos::ZERO, stats })
    }
}

impl Default for RollupConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// The account of a [`Rollup`]: every row is in exactly one of the first four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RollupStats {
    /// Rows that went into longer ones.
    pub rows: u64,
    /// Rows of windows of another length than the base.
    pub unfit: u64,
    /// Rows that do not begin after the last one of their subject.
    pub late: u64,
    /// Rows of subjects that would have been too many.
    pub full: u64,
    /// Subjects forgotten after silence for the longest window.
    pub forgotten: u64,
}

/// Puts the rows of short windows together to those of several longer ones, so that what is slow shows as well as what
/// is sudden: a leak of errors over an hour drowns in the noise of each minute.
///
/// It takes the rows as [`Features`](super::Features) or [`MetricFeatures`](super::MetricFeatures) close them; sketches
/// merge, so that a quantile over an hour is as good as one over a minute. A row says by its `window` which one it is
/// of: give each length a [`Watch`](crate::detect::Watch) of its own. One is partial where a part of it was, or where
/// parts are missing: of spans also where nothing was heard for a part, since what was done then is in no row.
///
/// O(windows) merges of sketches a row; a row of each length and subject is held.
///
/// ```
/// use std::time::Duration;
/// use otlp_anomaly::feature::{FeatureConfig, FeatureRow, RollupConfig};
/// use otlp_core::UnixNanos;
/// use otlp_core::record::{Span, SpanKind};
///
/// let mut features = FeatureConfig::new().lateness(Duration::ZERO).build()?;
/// let mut rollup = RollupConfig::new().build::<FeatureRow>()?;
/// for second in 3_600..7_300 {
///     let (start, end) = (UnixNanos::from_secs(second), UnixNanos::from_secs(second + 1));
///     features.observe("db", &Span { kind: SpanKind::Server, start, end, ..Span::default() }).ok();
///     features.take_closed().iter().for_each(|row| rollup.observe(row));
/// }
/// let rows = rollup.take_closed();
/// let of = |minutes: u64| rows.iter().filter(move |row| row.window == Duration::from_secs(60 * minutes));
/// assert_eq!((of(5).count(), of(15).count(), of(60).count()), (12, 4, 1));
/// assert_eq!(of(15).last().map(|row| row.requests), Some(900));
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug)]
pub struct Rollup<R> {
    config: RollupConfig,
    open: HashMap<Subject, Known<R>>,
    closed: Vec<R>,
    /// The latest end of a row.
    latest: UnixNanos,
    stats: RollupStats,
}

/// A subject: when its last row began, and its window of each length in the order of the configuration.
#[derive(Debug)]
struct Known<R> {
    last: Option<UnixNanos>,
    open: Vec<Option<Open<R>>>,
}

/// A longer window on its way.
#[derive(Debug)]
struct Open<R> {
    row: R,
    /// Which of its length it is, and how many windows of the base it holds.
    index: u128,
    parts: u128,
    is_lossy: bool,
}

impl<R: TableRow> Rollup<R> {
    /// Takes a row of the base window. Rows of one subject come in order of time.
    pub fn observe(&mut self, row: &R) {
        let (start, window) = row.span();
        if window != self.config.base {
            self.stats.unfit += 1;
            return;
        }
        self.forget_silent(start);
        if !self.open.contains_key(row.subject()) {
            if self.open.len() >= self.config.max_subjects {
                self.stats.full += 1;
                return;
            }
            let open = self.config.windows.iter().map(|_| None).collect();
            self.open.insert(row.subject().clone(), Known { last: None, open });
        }
        let Some(known) = self.open.get_mut(row.subject()) else { return };
        if known.last.is_some_and(|last| start <= last) {
            self.stats.late += 1;
            return;
        }
        known.last = Some(start);
        self.stats.rows += 1;
        for (open, &long) in known.open.iter_mut().zip(&self.config.windows) {
            let closed = put(open, row, (long, self.config.base));
            self.closed.extend(closed.into_iter().flatten());
        }
    }

    /// Takes the rows of longer windows that closed, in the order in which they did.
    pub fn take_closed(&mut self) -> Vec<R> {
        std::mem::take(&mut self.closed)
    }

    /// Closes all windows, whole or not, and takes the rows; those that are not whole are partial. By subject.
    pub fn flush(&mut self) -> Vec<R> {
        let base = self.config.base;
        self.close_where(|_| true, base);
        self.take_closed()
    }

    /// The account so far.
    #[must_use]
    pub const fn stats(&self) -> RollupStats {
        self.stats
    }

    /// Lets go of those that no row came of for longer than the longest window.
    fn forget_silent(&mut self, start: UnixNanos) {
        let longest = self.config.windows.iter().max().copied().unwrap_or_default();
        let nanos = longest.as_nanos().max(1);
        let was = u128::from(self.latest.0) / nanos;
        self.latest = self.latest.max(start);
        if u128::from(start.0) / nanos <= was {
            return;
        }
        // Each time the longest window turns: whatever stands open from before the last turn waits in vain.
        let met = self.open.len();
        let base = self.config.base;
        let is_silent = |open: &Open<R>| u128::from(open.row.span().0.0) / nanos < was;
        self.close_where(is_silent, base);
        let is_kept = |last: UnixNanos| u128::from(last.0) / nanos >= was;
        self.open.retain(|_, known| known.last.is_some_and(is_kept));
        self.stats.forgotten += u64::try_from(met - self.open.len()).unwrap_or(u64::MAX);
    }

    fn close_where(&mut self, wanted: impl Fn(&Open<R>) -> bool, base: Duration) {
        let mut due: Vec<(String, R)> = Vec::new();
        for (subject, known) in &mut self.open {
            let taken = known.open.iter_mut().filter_map(|open| open.take_if(|open| wanted(open)));
            due.extend(taken.map(|open| (subject.to_string(), open.close(base))));
        }
        // In an order that does not depend on how subjects lie in memory.
        due.sort_by(|a, b| (&a.0, a.1.span()).cmp(&(&b.0, b.1.span())));
        self.closed.extend(due.into_iter().map(|(_, row)| row));
    }
}

/// Adds a row to the window of a length that it lies in; gives those that closed by it: the one before, where it was never
/// whole, and this one, where this was the last part.
fn put<R: TableRow>(
    open: &mut Option<Open<R>>,
    row: &R,
    (long, base): (Duration, Duration),
) -> [Option<R>; 2] {
    let (start, _) = row.span();
    let index = u128::from(start.0) / long.as_nanos().max(1);
    let before = open.take_if(|open| open.index != index).map(|open| open.close(base));
    match open {
        Some(open) => {
            open.row.absorb(row);
            open.parts += 1;
            open.is_lossy |= row.is_lossy();
        }
        None => {
            let begin = UnixNanos(u64::try_from(index * long.as_nanos()).unwrap_or(u64::MAX));
            let mut first = row.clone();
            first.widen((begin, long), true);
            *open = Some(Open { row: first, index, parts: 1, is_lossy: row.is_lossy() });
        }
    }
    let is_last = start + base >= UnixNanos(u64::try_from((index + 1) * long.as_nanos()).unwrap_or(u64::MAX));
    let now = open.take_if(|_| is_last).map(|open| open.close(base));
    [before, now]
}

impl<R: TableRow> Open<R> {
    fn close(self, base: Duration) -> R {
        let Self { mut row, parts, is_lossy, .. } = self;
        let (start, long) = row.span();
        let is_whole = parts * base.as_nanos() == long.as_nanos();
        // A window of which nothing at all is known is a gap, and a whole one.
        let is_lossy = is_lossy && !(is_whole && row.is_silent());
        row.widen((start, long), is_lossy || !is_whole);
        row
    }
}
