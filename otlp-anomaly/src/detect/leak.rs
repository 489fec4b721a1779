//! Memory that leaks, told while there is still time.

use std::collections::HashMap;
use std::time::Duration;

use otlp_core::finding::Subject;
use otlp_core::series::{Series, SeriesView};
use otlp_core::{DecodeError, Error, ErrorKind, Result, UnixNanos};

use super::judge::kept;
use super::subject;
use super::watch::{Alarm, Metric, Signal};
use crate::checkpoint::{self, Field, Source, fields};
use crate::feature::setters;
use crate::forecast::outlook::{Leak, Reach, filling, leak};

/// Which growth is worth an alarm.
///
/// ```
/// use std::time::Duration;
/// use otlp_anomaly::detect::LeakWatchConfig;
/// let watch = LeakWatchConfig::new().horizon(Duration::from_secs(3_600)).build()?;
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LeakWatchConfig {
    horizon: Duration,
    min_growth: f64,
    confirm: u32,
    max_points: usize,
    max_subjects: usize,
}

impl LeakWatchConfig {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            horizon: Duration::from_secs(86_400),
            min_growth: 0.05,
            confirm: 3,
            max_points: 240,
            max_subjects: 2_000,
        }
    }

    setters! {
        horizon: Duration = "Sets how soon the limit must be reached for growth to matter; default a day.";
        min_growth: f64 = "Sets how much must have been added since the growth began, as a share of what was held; default 0.05.";
        confirm: u32 = "Sets how many readings in a row must say so, and must say otherwise for it to end; default 3.";
        max_points: usize = "Sets the most readings kept of a subject, 16 and more; default 240.";
        max_subjects: usize = "Sets the most subjects watched; default 2,000.";
    }

    /// Makes the watch.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where the growth is no finite share, or fewer than 16 readings are kept.
    pub fn build(self) -> Result<LeakWatch> {
        if !self.is_sound() {
            let (growth, points) = (self.min_growth, self.max_points);
            let message = format!("leak watch: growth {growth}, {points} readings: 0 and 16 are the least");
            return Err(Error::new(ErrorKind::Config, message));
        }
        Ok(LeakWatch { config: self, subjects: HashMap::new(), dropped: 0, ignored: 0 })
    }

    fn is_sound(&self) -> bool {
        self.min_growth.is_finite() && self.min_growth >= 0.0 && self.max_points >= LEAST_POINTS
    }
}

/// Readings that must be kept.
const LEAST_POINTS: usize = 16;

fields!(LeakWatchConfig {
    horizon: Duration,
    min_growth: f64,
    confirm: u32,
    max_points: usize,
    max_subjects: usize,
});

impl Default for LeakWatchConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// Watches what processes hold against what they may.
///
/// Each reading is judged by [`leak`]: an alarm is raised where growth goes on, does not end below the limit, and reaches it
/// within the horizon even at the slowest rate that its interval of 95 % allows. Its score is how many times sooner than the
/// horizon that is.
///
/// ```
/// use std::time::Duration;
/// use otlp_anomaly::detect::{LeakWatchConfig, Signal};
/// use otlp_core::{UnixNanos, finding::Subject};
///
/// let mut watch = LeakWatchConfig::new().horizon(Duration::from_secs(600)).build()?;
/// let (order, mut signals) = (Subject::Service("order".into()), Vec::new());
/// for second in 0..60_u32 {
///     // 100 MB, and from second 30 on 1 MB more each second.
///     let used = 100e6 + 1e6 * f64::from(second.saturating_sub(30)) + f64::from(second % 3) * 1e4;
///     signals.extend(watch.observe(&order, UnixNanos::from_secs(second.into()), used, 256e6));
/// }
/// assert!(matches!(&signals[..], [Signal::Raised(alarm)] if alarm.observed > 105e6));
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, PartialEq)]
pub struct LeakWatch {
    config: LeakWatchConfig,
    subjects: HashMap<Subject, Held>,
    dropped: u64,
    ignored: u64,
}

/// What is known of one subject.
#[derive(Debug, Default, PartialEq)]
struct Held {
    readings: Series,
    /// Readings in a row that say otherwise than the state does.
    against: u32,
    is_alarmed: bool,
    /// By the last reading that agrees with the state.
    outlook: Option<Leak>,
}

impl Held {
    fn is_sound(&self) -> bool {
        self.readings.as_view().values().iter().all(|used| used.is_finite())
    }
}

fields!(Held { readings: Series, against: u32, is_alarmed: bool, outlook: Option<Leak> });

impl Field for LeakWatch {
    const LEAST_BYTES: usize = 24;

    fn save(&self, into: &mut Vec<u8>) {
        let Self { config, subjects, dropped, ignored } = self;
        config.save(into);
        dropped.save(into);
        ignored.save(into);
        subject::save_all(subjects, into);
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        let (config, dropped, ignored) = (LeakWatchConfig::load(from)?, u64::load(from)?, u64::load(from)?);
        let (most, points) = (config.max_subjects, config.max_points);
        let fits = |_: &Subject, held: &Held| held.readings.as_view().len() <= points;
        let subjects = subject::load_all(from, most, fits)?;
        Ok(Self { config, subjects, dropped, ignored })
    }
}

kept!(LeakWatch, 18);

/// Growth that matters.
struct Growth {
    since: UnixNanos,
    /// What was held then.
    from: f64,
    /// The latest that the limit is reached.
    latest: Duration,
}

impl LeakWatch {
    /// Takes a reading, `used` of `limit`, both in bytes, and says whether an alarm begins or ends with it.
    ///
    /// Readings of a subject come in order of time; those that do not, and those that are not finite, are counted and left out.
    /// Costs O(readings^2) of at most 240, about a millisecond.
    pub fn observe(&mut self, subject: &Subject, time: UnixNanos, used: f64, limit: f64) -> Option<Signal> {
        if !self.subjects.contains_key(subject) {
            if self.subjects.len() >= self.config.max_subjects {
                self.dropped = self.dropped.saturating_add(1);
                return None;
            }
            self.subjects.insert(subject.clone(), Held::default());
        }
        let held = self.subjects.get_mut(subject)?;
        if !used.is_finite() || !limit.is_finite() || !held.take(time, used, self.config.max_points) {
            self.ignored = self.ignored.saturating_add(1);
            return None;
        }
        let outlook = held.outlook(limit);
        let growth = outlook.and_then(|outlook| held.growth(outlook, limit, &self.config));
        let turns = growth.is_some() != held.is_alarmed;
        if !turns {
            held.outlook = outlook;
        }
        held.against = if turns { held.against.saturating_add(1) } else { 0 };
        if held.against < self.config.confirm.max(1) {
            return None;
        }
        (held.is_alarmed, held.against, held.outlook) = (!held.is_alarmed, 0, outlook);
        Some(match growth {
            Some(growth) => Signal::Raised(Alarm {
                subject: subject.clone(),
                metric: Metric::Memory,
                since: growth.since,
                raised: time,
                observed: used,
                expected: growth.from,
                score: self.config.horizon.as_secs_f64() / growth.latest.as_secs_f64().max(1.0),
                threshold: 1.0,
            }),
            None => Signal::Ended { subject: subject.clone(), metric: Metric::Memory, time },
        })
    }

    /// What the memory of a subject does, by the last reading that agrees with whether there is an alarm; nothing before the
    /// eighth.
    #[must_use]
    pub fn outlook(&self, subject: &Subject) -> Option<Leak> {
        self.subjects.get(subject)?.outlook
    }

    /// The readings that are kept of a subject.
    #[must_use]
    pub fn readings(&self, subject: &Subject) -> Option<SeriesView<'_>> {
        Some(self.subjects.get(subject)?.readings.as_view())
    }

    /// Appends a checkpoint, of which [`restore`](Self::restore) makes a watch that goes on bit for bit where this one is.
    ///
    /// Some 4 KiB a subject at the most, with 240 readings.
    ///
    /// ```
    /// use otlp_anomaly::detect::{LeakWatch, LeakWatchConfig};
    /// use otlp_core::{UnixNanos, finding::Subject};
    /// let mut watch = LeakWatchConfig::new().build()?;
    /// let order = Subject::Service("order".into());
    /// watch.observe(&order, UnixNanos::from_secs(1), 100e6, 256e6);
    /// let mut bytes = Vec::new();
    /// watch.checkpoint(&mut bytes);
    /// assert_eq!(LeakWatch::restore(&bytes)?, watch);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn checkpoint(&self, into: &mut Vec<u8>) {
        checkpoint::write(self, into);
    }

    /// Forgets a subject, as when its process has ended; true where it was known.
    pub fn forget(&mut self, subject: &Subject) -> bool {
        self.subjects.remove(subject).is_some()
    }

    /// Readings of subjects that would have been too many.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Readings that were out of order or not finite.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }
}

impl Held {
    /// Keeps a reading, the older half making room where there is none; false where it is older than the last one.
    fn take(&mut self, time: UnixNanos, used: f64, max_points: usize) -> bool {
        if self.readings.as_view().len() >= max_points {
            let mut newer = Series::new();
            for (time, used) in self.readings.as_view().iter().skip(max_points / 2) {
                newer.push(time, used);
            }
            self.readings = newer;
        }
        self.readings.push(time, used)
    }

    /// Too few readings yet are no fault of anybody.
    fn outlook(&self, limit: f64) -> Option<Leak> {
        leak(self.readings.as_view(), limit).ok()
    }

    fn growth(&self, outlook: Leak, limit: f64, config: &LeakWatchConfig) -> Option<Growth> {
        let readings = self.readings.as_view();
        let (Leak::Steady { full, .. } | Leak::Saturating { full, .. }) = outlook else { return None };
        let latest = match full {
            Reach::Now => Duration::ZERO,
            Reach::Days(days) => Duration::try_from_secs_f64(days.high * SECS_A_DAY).ok()?,
            Reach::Never => return None,
        };
        let since = filling(readings, limit).ok()?.since_days * SECS_A_DAY;
        let (last, now) = readings.iter().last()?;
        let since = last.saturating_sub(Duration::try_from_secs_f64(since).ok()?);
        let from = readings.between(since, last).iter().next().map_or(now, |(_, used)| used);
        let matters = latest <= config.horizon && now - from >= config.min_growth * from.abs();
        matters.then_some(Growth { since, from, latest })
    }
}

const SECS_A_DAY: f64 = 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;

    const MB: f64 = 1e6;
    const LIMIT: f64 = 256.0 * MB;

    fn order() -> Subject {
        Subject::Service("order".into())
    }

    /// What is said of readings, one a second, `used` saying how much; noise of some kilobytes comes on top.
    fn said(seconds: u32, used: impl Fn(f64) -> f64) -> (LeakWatch, Vec<Signal>) {
        let config = LeakWatchConfig::new().horizon(Duration::from_secs(300));
        let mut watch = config.build().unwrap();
        let mut signals = Vec::new();
        for second in 0..seconds {
            let noise = f64::from(second * 7919 % 13) * 4096.0;
            let used = used(f64::from(second)) + noise;
            signals.extend(watch.observe(&order(), UnixNanos::from_secs(second.into()), used, LIMIT));
        }
        (watch, signals)
    }

    #[test]
    fn a_leak_is_told_with_when_it_began_and_when_the_limit_is_reached() {
        let (watch, signals) = said(50, |second| 100.0 * MB + 1.5 * MB * (second - 20.0).max(0.0));
        let [Signal::Raised(alarm)] = &signals[..] else { panic!("{signals:?}") };
        let secs = |time: UnixNanos| time.duration_since(UnixNanos::ZERO).as_secs();
        assert!((18..=23).contains(&secs(alarm.since)) && secs(alarm.raised) <= 38, "{alarm:?}");
        assert!((99.0..105.0).contains(&(alarm.expected / MB)) && alarm.score > 1.0);
        let Some(Leak::Steady { full: Reach::Days(days), .. }) = watch.outlook(&order()) else {
            panic!("{:?}", watch.outlook(&order()))
        };
        // 256 - 143.5 MB are left at 1.5 MB/s.
        let [low, value, high] = [days.low, days.value, days.high].map(|days| days * SECS_A_DAY);
        assert!((70.0..81.0).contains(&value) && low <= value && value <= high, "{low} {value} {high}");
    }

    #[test]
    fn what_stays_what_ends_and_what_is_slow_raises_nothing() {
        assert_eq!(said(100, |_| 100.0 * MB).1, []);
        assert_eq!(said(120, |second| 100.0 * MB + 30.0 * MB * (1.0 - (-second / 20.0).exp())).1, []);
        assert_eq!(said(100, |second| 100.0 * MB + 0.02 * MB * second).1, [], "two hours away");
        assert_eq!(said(100, |second| if second < 50.0 { 100.0 * MB } else { 120.0 * MB }).1, [], "a step");
    }

    #[test]
    fn a_leak_that_is_mended_ends() {
        let (_, signals) = said(140, |second| {
            100.0 * MB + if second < 60.0 { 1.5 * MB * (second - 20.0).max(0.0) } else { 0.0 }
        });
        assert!(matches!(&signals[..], [Signal::Raised(_), Signal::Ended { .. }]), "{signals:?}");
    }

    #[test]
    fn the_readings_kept_are_bounded_and_the_newest() {
        let mut watch = LeakWatchConfig::new().max_points(16).build().unwrap();
        for second in 0..100 {
            assert_eq!(watch.observe(&order(), UnixNanos::from_secs(second), 1.0, LIMIT), None);
            let readings = watch.readings(&order()).unwrap();
            assert!(readings.len() <= 16 && readings.times().last() == Some(&UnixNanos::from_secs(second)));
        }
    }

    #[test]
    fn odd_readings_and_subjects_too_many_are_counted() {
        let mut watch = LeakWatchConfig::new().max_subjects(1).build().unwrap();
        let at = |watch: &mut LeakWatch, name: &str, second, used| {
            let subject = Subject::Service(name.into());
            assert_eq!(watch.observe(&subject, UnixNanos::from_secs(second), used, LIMIT), None);
        };
        for (second, used) in [(5, 1.0), (4, 1.0), (6, f64::NAN), (6, f64::INFINITY)] {
            at(&mut watch, "order", second, used);
        }
        at(&mut watch, "db", 7, 1.0);
        assert_eq!((watch.ignored(), watch.dropped()), (3, 1));
        assert!(watch.forget(&order()) && !watch.forget(&order()));
        assert_eq!(LeakWatchConfig::new().max_points(9).build().unwrap_err().kind(), ErrorKind::Config);
    }
}
