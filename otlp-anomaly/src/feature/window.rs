//! Windows in event time: which one a thing belongs to, and when one closes.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

use otlp_core::{Error, ErrorKind, Result, UnixNanos};

/// How windows are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) window: Duration,
    /// How far behind the latest time a thing may come.
    pub(super) lateness: Duration,
    /// How far ahead of the latest time a thing may be and still be believed.
    pub(super) max_ahead: Duration,
    /// Empty windows in a row that are closed one by one; what a longer gap holds is skipped.
    pub(super) max_empty: u64,
}

impl Frame {
    pub(super) const DEFAULT: Self = Self {
        window: Duration::from_secs(60),
        lateness: Duration::from_secs(5),
        max_ahead: Duration::from_secs(600),
        max_empty: 600,
    };

    /// # Errors
    /// [`ErrorKind::Config`] where the window is shorter than a millisecond or longer than a week, or where lateness
    /// and reach ahead span more than 100,000 windows.
    pub(super) fn check(&self) -> Result<()> {
        let refused = |message: String| Err(Error::new(ErrorKind::Config, message));
        if self.window < Duration::from_millis(1) || self.window > Duration::from_secs(7 * 86_400) {
            return refused(format!("window: {:?} outside 1 ms to 7 days", self.window));
        }
        let reach = self.lateness.saturating_add(self.max_ahead).as_nanos() / self.window.as_nanos();
        if reach > 100_000 {
            return refused(format!("window: lateness and reach ahead span {reach} windows, limit 100000"));
        }
        Ok(())
    }
}

/// Sets what both kinds of feature windows are cut by.
macro_rules! frame_setters {
    ($what:literal) => {
        #[doc = "Sets the length of a window, for metrics best a multiple of how often they are reported; default 60 s."]
        #[must_use]
        pub const fn window(mut self, window: std::time::Duration) -> Self {
            self.frame.window = window;
            self
        }

        #[doc = concat!("Sets how late, behind the latest one, a ", $what, " may come; default 5 s.")]
        #[must_use]
        pub const fn lateness(mut self, lateness: std::time::Duration) -> Self {
            self.frame.lateness = lateness;
            self
        }

        #[doc = concat!("Sets how far ahead of the latest one a ", $what, " may be and still be believed; default 600 s.")]
        #[must_use]
        pub const fn max_ahead(mut self, max_ahead: std::time::Duration) -> Self {
            self.frame.max_ahead = max_ahead;
            self
        }

        /// Sets how many empty windows in a row are reported; what a longer gap holds is skipped and counted; default 600.
        #[must_use]
        pub const fn max_empty(mut self, max_empty: u64) -> Self {
            self.frame.max_empty = max_empty;
            self
        }
    };
}
pub(super) use frame_setters;

/// Why a time is in no window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outside {
    /// It is none.
    Untimed,
    /// Its window was closed.
    Late,
    /// It is further ahead than may be believed.
    Ahead,
}

/// The windows that are open, with a cell for each subject that was met in one.
#[derive(Debug)]
pub(super) struct Windows<K, C> {
    frame: Frame,
    open: BTreeMap<u64, HashMap<K, C>>,
    /// The first window not closed yet; nothing before the first time.
    next: Option<u64>,
    latest: UnixNanos,
}

impl<K: Hash + Eq, C: Default> Windows<K, C> {
    pub(super) const fn new(frame: Frame) -> Self {
        Self { frame, open: BTreeMap::new(), next: None, latest: UnixNanos::ZERO }
    }

    /// The window that a time belongs to.
    pub(super) fn of(&mut self, time: UnixNanos) -> Result<u64, Outside> {
        if time == UnixNanos::ZERO {
            return Err(Outside::Untimed);
        }
        if self.latest > UnixNanos::ZERO && time > self.latest + self.frame.max_ahead {
            return Err(Outside::Ahead);
        }
        let first_possible = self.index(time.saturating_sub(self.frame.lateness));
        let next = *self.next.get_or_insert(first_possible);
        let window = self.index(time);
        if window < next { Err(Outside::Late) } else { Ok(window) }
    }

    /// The cell of a subject in a window.
    pub(super) fn cell(&mut self, window: u64, subject: K) -> &mut C {
        self.open.entry(window).or_default().entry(subject).or_default()
    }

    /// Moves the latest time on; true where it was earlier.
    pub(super) fn reach(&mut self, time: UnixNanos) -> bool {
        let is_later = time > self.latest;
        self.latest = self.latest.max(time);
        is_later
    }

    /// The next window that is due. `empty` counts those in a row that hold nothing, `skipped` those passed over.
    pub(super) fn due(&mut self, empty: &mut u64, skipped: &mut u64) -> Option<u64> {
        let due = self.index(self.latest.saturating_sub(self.frame.lateness));
        let next = self.next.filter(|&next| next < due)?;
        *empty = if self.open.contains_key(&next) { 0 } else { *empty + 1 };
        if *empty <= self.frame.max_empty {
            return Some(next);
        }
        // A long gap: go on with the next window that holds something.
        let resume = self.open.range(next..).next().map_or(due, |(&index, _)| index.min(due));
        *skipped += resume - next;
        *empty = 0;
        self.next = Some(resume);
        (resume < due).then_some(resume)
    }

    /// The first window that holds something, due or not.
    pub(super) fn first(&self) -> Option<u64> {
        self.open.first_key_value().map(|(&index, _)| index)
    }

    /// Closes a window: when it begins, how long it is, and its cells.
    pub(super) fn close(&mut self, index: u64) -> (UnixNanos, Duration, HashMap<K, C>) {
        let cells = self.open.remove(&index).unwrap_or_default();
        self.next = self.next.max(Some(index + 1));
        (UnixNanos(index.saturating_mul(self.nanos())), self.frame.window, cells)
    }

    pub(super) const fn index(&self, time: UnixNanos) -> u64 {
        time.0 / self.nanos()
    }

    /// A window is between a millisecond and a week, so its nanoseconds fit.
    const fn nanos(&self) -> u64 {
        self.frame.window.as_secs() * 1_000_000_000 + self.frame.window.subsec_nanos() as u64
    }
}
