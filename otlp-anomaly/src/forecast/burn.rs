//! How fast an error budget burns, over several windows at once.

use std::time::Duration;

use otlp_core::{Error, ErrorKind, Result, UnixNanos};

use crate::number::{ratio, to_f64};

/// An objective and the time it holds for.
///
/// ```
/// use std::time::Duration;
/// use otlp_anomaly::forecast::burn::{BurnConfig, Urgency};
/// use otlp_core::UnixNanos;
/// let mut burn = BurnConfig::new(0.999).build()?;
/// (0..120_u64).for_each(|minute| burn.observe(UnixNanos::from_secs(60 * minute), 1_000, 20));
/// assert_eq!(burn.state().urgency, Urgency::Page);
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BurnConfig {
    objective: f64,
    period: Duration,
}

impl BurnConfig {
    /// An objective as the share of requests that must be good, above 0 and below 1, over 30 days.
    #[must_use]
    pub const fn new(objective: f64) -> Self {
        Self { objective, period: Duration::from_secs(30 * 86_400) }
    }

    /// Sets the time that the objective holds for, 7 to 90 days; default 30.
    #[must_use]
    pub const fn period(mut self, period: Duration) -> Self {
        self.period = period;
        self
    }

    /// Makes the account.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value lies outside what its setter says.
    pub fn build(self) -> Result<Burn> {
        let days = self.period.as_secs() / 86_400;
        if !(self.objective > 0.0 && self.objective < 1.0 && (7..=90).contains(&days)) {
            return Err(Error::new(ErrorKind::Config, format!("burn: values out of range in {self:?}")));
        }
        let hours = usize::try_from(self.period.as_secs() / 3_600).unwrap_or(usize::MAX);
        Ok(Burn { config: self, minutes: Ring::new(MINUTE, MINUTES), hours: Ring::new(60 * MINUTE, hours) })
    }
}

/// Requests and failures of the last time, in minutes for three days and in hours for the whole period; 120 KiB for 30 days.
#[derive(Debug, Clone, PartialEq)]
pub struct Burn {
    config: BurnConfig,
    minutes: Ring,
    hours: Ring,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Urgency {
    /// Nothing.
    None,
    /// Somebody should look within days.
    Ticket,
    /// Somebody must look now.
    Page,
}

/// How the budget stands.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BurnState {
    /// What is to be done.
    pub urgency: Urgency,
    /// How many times faster than the budget allows it burnt in the last hour.
    pub rate: f64,
    /// The share of the budget that is left; below zero where more was spent than there was.
    pub left: f64,
    /// When it will be spent at the rate of the last hour; none where that is slower than the budget allows.
    pub spent_in: Option<Duration>,
}

/// Rates and their long and short windows, in minutes: 2 % of the budget in an hour, 5 % in six, 10 % in three days.
const RULES: [(f64, u64, u64, Urgency); 3] =
    [(14.4, 60, 5, Urgency::Page), (6.0, 360, 30, Urgency::Page), (1.0, 4_320, 360, Urgency::Ticket)];

impl Burn {
    /// Takes in requests of some time, and how many of them failed; what is older than what is kept is left out.
    pub fn observe(&mut self, time: UnixNanos, requests: u64, failed: u64) {
        let failed = failed.min(requests);
        self.minutes.add(time.0, requests, failed);
        self.hours.add(time.0, requests, failed);
    }

    /// How it stands at the latest time that was taken in.
    ///
    /// The rules are the multi-window, multi-burn-rate ones of "The Site Reliability Workbook" (B. Beyer et al. 2018, chapter 5): a rule
    /// speaks where its long and its short window both burn as fast as it says, so that it falls silent soon after the fault ends.
    #[must_use]
    pub fn state(&self) -> BurnState {
        let allowed = 1.0 - self.config.objective;
        let rate = |minutes: u64| {
            let (requests, failed) = self.minutes.last(minutes);
            ratio(failed, requests) / allowed
        };
        let fires =
            |(at, long, short, _): &&(f64, u64, u64, Urgency)| rate(*long) >= *at && rate(*short) >= *at;
        let urgency = RULES.iter().filter(fires).map(|rule| rule.3).max().unwrap_or(Urgency::None);
        let (requests, failed) = self.hours.last(u64::MAX);
        let left = 1.0 - ratio(failed, requests) / allowed;
        let hour = rate(60);
        // At a rate of one the whole budget lasts the whole period.
        let seconds = left.max(0.0) * self.config.period.as_secs_f64() / hour.max(f64::MIN_POSITIVE);
        let spent_in =
            (hour > 1.0).then(|| Duration::from_secs_f64(seconds.min(to_f64(u64::from(u32::MAX)))));
        BurnState { urgency, rate: hour, left, spent_in }
    }
}

const MINUTE: u64 = 60_000_000_000;
const MINUTES: usize = 4_320;

/// Counts of evenly long stretches, the oldest overwritten.
#[derive(Debug, Clone, PartialEq)]
struct Ring {
    width: u64,
    places: Vec<(u64, u64)>,
    newest: u64,
}

impl Ring {
    fn new(width: u64, places: usize) -> Self {
        Self { width, places: vec![(0, 0); places.max(1)], newest: 0 }
    }

    fn add(&mut self, time: u64, requests: u64, failed: u64) {
        let (at, size) = (time / self.width, self.places.len() as u64);
        if at + size <= self.newest {
            return;
        }
        // What lies between is empty: nothing came.
        for skipped in (self.newest + 1..=at).rev().take(self.places.len()) {
            self.put(skipped, |place| *place = (0, 0));
        }
        self.newest = self.newest.max(at);
        self.put(at, |place| *place = (place.0.saturating_add(requests), place.1.saturating_add(failed)));
    }

    fn put(&mut self, at: u64, change: impl FnOnce(&mut (u64, u64))) {
        let place = usize::try_from(at % self.places.len() as u64).ok();
        if let Some(place) = place.and_then(|place| self.places.get_mut(place)) {
            change(place);
        }
    }

    /// Sums of the last stretches.
    fn last(&self, stretches: u64) -> (f64, f64) {
        let size = self.places.len() as u64;
        let back = (0..stretches.min(size)).map_while(|back| self.newest.checked_sub(back));
        let places =
            back.filter_map(|at| usize::try_from(at % size).ok().and_then(|place| self.places.get(place)));
        places.fold((0.0, 0.0), |(requests, failed), place| {
            (requests + to_f64(place.0), failed + to_f64(place.1))
        })
    }
}
