//! The detector of what goes beyond everything met before.

mod aspect;
mod near;
mod ring;
mod slots;

use otlp_core::{Error, ErrorKind, Result, UnixNanos};

use super::judge::{self, Detector, Flag, Judgement, Odd, kept};
use crate::checkpoint::fields;
use crate::feature::setters;
use crate::score::{Budget, Tail};
use aspect::{Place, Ranges};
use near::Near;
use ring::Ring;
use slots::Slots;

/// What of a point is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Aspect {
    /// The value itself.
    Value,
    /// Its change from the point before.
    Change,
    /// The mean of the last [`WINDOW`] points.
    Mean,
    /// The median of the last [`MEDIAN`] points.
    Median,
    /// The standard deviation of the last [`WINDOW`] points.
    Spread,
    /// The distance from what is usual in this half hour of the day: what the value did in it lately, on earlier days first.
    TimeOfDay,
    /// The distance from what is usual in this hour of the week, likewise.
    TimeOfWeek,
}

impl Aspect {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Value,
        Self::Change,
        Self::Mean,
        Self::Median,
        Self::Spread,
        Self::TimeOfDay,
        Self::TimeOfWeek,
    ];

    /// Its name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Change => "change",
            Self::Mean => "mean",
            Self::Median => "median",
            Self::Spread => "spread",
            Self::TimeOfDay => "distance from the usual at this time of day",
            Self::TimeOfWeek => "distance from the usual at this time of the week",
        }
    }
}

/// Points of which mean and spread are taken.
pub const WINDOW: usize = 24;
/// Points of which the median is taken.
pub const MEDIAN: usize = 9;

/// How an [`Extremes`] learns and when it speaks.
///
/// ```
/// use std::time::Duration;
/// use otlp_anomaly::detect::ExtremesConfig;
/// use otlp_anomaly::score::Budget;
/// let weekly = Budget::per_week(1.0, Duration::from_secs(300))?;
/// let detector = ExtremesConfig::new().budget(weekly).build()?;
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ExtremesConfig {
    budget: Budget,
    warmup: u32,
    episode: u32,
}

impl ExtremesConfig {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self { budget: Budget::DEFAULT, warmup: 50, episode: 72 }
    }

    setters! {
        budget: Budget = "Sets how many false alarms the series may raise; default one in 604,800 points.";
        warmup: u32 = "Sets how often an aspect must have been met before it counts, 8 to 100,000; default 50.";
        episode: u32 = "Sets how many points after its worst one an episode lasts, 1 to 100,000; default 72.";
    }

    /// Makes the detector.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value lies outside what its setter says.
    pub fn build(self) -> Result<Extremes> {
        if !fits(self.warmup, self.episode) {
            return Err(Error::new(ErrorKind::Config, format!("extremes: values out of range in {self:?}")));
        }
        Ok(Extremes {
            warmup: self.warmup,
            episode: self.episode,
            tail: Tail::new(self.budget, self.episode),
            weight: weight(0),
            ring: Ring::new(),
            ranges: Ranges::NONE,
            near: Near::NEW,
            base: None,
            day: Slots::new(),
            week: Slots::new(),
            peak: 0.0,
            since_peak: u32::MAX,
            alarmed: false,
            last: None,
            odd: Odd::NONE,
        })
    }
}

fn fits(warmup: u32, episode: u32) -> bool {
    (8..=100_000).contains(&warmup) && (1..=100_000).contains(&episode)
}

impl Default for ExtremesConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// What an [`Extremes`] says to a point.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Reading {
    /// How unusual the point is: above 3, in proportion, where it lies beyond everything met before, within an episode only
    /// where it is worse than all of that too; below 3 by how far the last points have been from those before them.
    pub score: f64,
    /// What made it so.
    pub aspect: Aspect,
    /// That aspect of the point.
    pub met: f64,
    /// The range that the aspect had before.
    pub range: (f64, f64),
    /// How far it lies from the middle of that range, in half widths: 1 at the edge. Zero in the warm-up.
    pub place: f64,
    /// The score that the alarm budget asks for at this point.
    pub threshold: f64,
    /// True where an alarm begins with this point: one an episode.
    pub is_alarm: bool,
    /// True while the episode of an alarm lasts, its first point included.
    pub is_in_episode: bool,
}

/// Watches one series of points, regular or not, for what goes beyond everything met before, in several aspects at once.
///
/// A value may be unheard of by itself, or its change, the mean, median or spread of the near past, or its distance
/// from what is usual at this time of the day or week. For each [`Aspect`] the range met so far is kept; how far a
/// point lies from the middle of the range, in half widths, is how unusual it is, and the worst aspect decides. What
/// was met long ago fades: a range that is not reached again narrows by half in 50,000 points.
/// Nothing about the shape of the series is assumed but that its past says what is usual. The detector of the Numenta
/// Anomaly Benchmark owes much to a rule of this kind, values outside of the range so far (Ahmad et al., "Unsupervised
/// real-time anomaly detection for streaming data", Neurocomputing 2017); here it holds for every aspect, and by degrees.
///
/// An alarm is what lies beyond everything met before and passes the threshold that a [`Tail`] learns for the budget; while
/// an episode lasts there is no second one. To be at the edge of a hundred points means less than to be at that of ten
/// thousand: whatever the law of the values, a new point is beyond `n` others with a chance of two in `n`. What the tail
/// learns are therefore places weighted by a power of the logarithm of `n`, which are as often as high late as they
/// are early.
///
/// What happened before is not beyond everything a second time, though it may be a fault as it was then. Scores below
/// the edge tell it: they say how far the last few points have been from a level that follows slowly.
///
/// O(1) a point, no allocation, 2 KiB.
///
/// ```
/// use otlp_anomaly::detect::ExtremesConfig;
/// use otlp_anomaly::score::Budget;
/// use otlp_core::UnixNanos;
/// let budget = Budget::per_windows(1.0, 1_000)?;
/// let mut detector = ExtremesConfig::new().budget(budget).build()?;
/// let mut told = Vec::new();
/// for minute in 0..600_u64 {
///     let wobble = (minute * 7 % 13) as f64;
///     let value = if minute == 500 { 60.0 } else { 20.0 + wobble };
///     let reading = detector.observe(UnixNanos::from_secs(60 * minute), value);
///     if reading.is_alarm {
///         told.push(minute);
///     }
/// }
/// assert!(told.contains(&500), "{told:?}");
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Extremes {
    warmup: u32,
    episode: u32,
    tail: Tail,
    /// What a place weighs after so many points.
    weight: f64,
    ring: Ring,
    ranges: Ranges,
    near: Near,
    /// The first value, from which those of the slots are counted.
    base: Option<f64>,
    day: Slots<48, DAY_SLOT_SECS>,
    week: Slots<168, WEEK_SLOT_SECS>,
    /// The worst place of the episode, and how many points ago it was.
    peak: f64,
    since_peak: u32,
    /// Whether the episode has been told.
    alarmed: bool,
    last: Option<UnixNanos>,
    odd: Odd,
}

/// A million series are two gibibytes.
const _: () = assert!(size_of::<Extremes>() <= 2048, "an Extremes has grown");

fields!(Extremes {
    warmup: u32,
    episode: u32,
    tail: Tail,
    weight: f64,
    ring: Ring,
    ranges: Ranges,
    near: Near,
    base: Option<f64>,
    day: Slots<48, DAY_SLOT_SECS>,
    week: Slots<168, WEEK_SLOT_SECS>,
    peak: f64,
    since_peak: u32,
    alarmed: bool,
    last: Option<UnixNanos>,
    odd: Odd,
});
kept!(Extremes, 1);

const DAY_SLOT_SECS: u64 = 1_800;
const WEEK_SLOT_SECS: u64 = 3_600;
/// The score at the edge of the range. A normal series is at the edge of two thousand points with about three spreads,
/// which is the scale that the prior of [`Tail`] is in.
const EDGE: f64 = 3.0;
/// How far beyond the edge an alarm must be: what comes back each day or week has seen its edge fade, by up to three
/// hundredths, and is no news. Of 1.01, 1.015 and 1.02 the least by which perfectly regular series stay within each budget.
const FADED: f64 = 1.02;
/// The count of points that places are weighted one at.
const REFERENCE: f64 = 2_000.0;
/// Ranges fade, so that they are never those of more points than this.
const MOST_MET: u32 = 72_000;
/// The weight is reckoned anew after so many points.
const WEIGHED_EACH: u32 = 16;
/// The distance of the last points that is worth half of the edge.
const HALFWAY: f64 = 4.0;

/// What a place weighs after `met` points.
///
/// At the edge the chance of what is beyond is the inverse of the count, so that its logarithm is what places at the edge
/// are worth: the power is 1 for exponential laws, below for lighter tails and above for heavier ones and for ranges
/// that still grow by seasons. Of 1, 1.25, 1.5 and 2, all kinds of seeded noise but one choose 1.25, whichever one is left out,
/// and that one then has 0.5 to 1.2 of its alarms; the other powers come within a tenth of that. 1.5 was taken because it is
/// nearest to the budgets on recorded metrics, so that these are no test of it.
fn weight(met: u32) -> f64 {
    let share = f64::from(met.clamp(50, MOST_MET)).ln() / REFERENCE.ln();
    share * share.sqrt()
}

impl Extremes {
    /// Takes the next point.
    pub fn observe(&mut self, time: UnixNanos, value: f64) -> Reading {
        if !judge::is_usable(value) {
            self.odd.invalid += 1;
            return self.reading(0.0, (Aspect::Value, Place { value, range: (0.0, 0.0), place: 0.0 }), false);
        }
        if self.odd.note(&mut self.last, time) == Some(Flag::Gap) {
            self.ring.clear();
        }
        let worst = self.look(time, value);
        let met = self.ranges.points();
        if met.is_multiple_of(WEIGHED_EACH) {
            self.weight = weight(met);
        }
        let lately = self.near.observe(met, value);
        let place = worst.1.place * EDGE;
        // The tail knows of the point before it is judged: one that overdraws the account is silent.
        self.tail.observe(place * self.weight);
        let (is_worse, is_alarm) = self.episode(place);
        let score = if is_worse { place } else { EDGE * lately / (lately + HALFWAY) };
        self.reading(score, worst, is_alarm)
    }

    /// The score that raises an alarm.
    #[must_use]
    pub const fn threshold(&self) -> f64 {
        self.tail.threshold() / self.weight
    }

    /// Count of points that were not what they should be.
    #[must_use]
    pub const fn odd(&self) -> Odd {
        self.odd
    }

    fn is_sound(&self) -> bool {
        fits(self.warmup, self.episode) && self.peak >= 0.0 && (0.1..10.0).contains(&self.weight)
    }

    /// Looks at every aspect, learns it, and gives the worst.
    fn look(&mut self, time: UnixNanos, value: f64) -> (Aspect, Place) {
        let change = self.ring.newest().map(|before| value - before);
        self.ring.push(value);
        let (mean, spread) = self.ring.mean_and_spread().unzip();
        let relative = value - *self.base.get_or_insert(value);
        let aspects = [
            Some(value),
            change,
            mean,
            self.ring.median(),
            spread,
            self.day.distance(time, relative),
            self.week.distance(time, relative),
        ];
        let aspects = aspects.map(|met| met.unwrap_or(f64::NAN));
        let worst = self.ranges.worst(&aspects, self.warmup);
        self.ranges.learn(&aspects);
        worst
    }

    /// Whether a place is worse than all before it and all of its episode, and whether that begins an alarm.
    fn episode(&mut self, place: f64) -> (bool, bool) {
        self.since_peak = self.since_peak.saturating_add(1);
        if self.since_peak > self.episode {
            self.peak = 0.0;
            self.alarmed = false;
        }
        let is_worse = place > self.peak && place > EDGE;
        if is_worse {
            self.peak = place;
            self.since_peak = 0;
        }
        let is_news = place > EDGE * FADED && place >= self.threshold();
        let is_alarm = is_worse && !self.alarmed && is_news;
        self.alarmed |= is_alarm;
        (is_worse, is_alarm)
    }

    /// What a point that is about to be taken is to be flagged with.
    fn flag(&self, time: UnixNanos, value: f64) -> Option<Flag> {
        if judge::is_usable(value) { Flag::of(self.last, time) } else { Some(Flag::Invalid) }
    }

    fn reading(&self, score: f64, (aspect, place): (Aspect, Place), is_alarm: bool) -> Reading {
        Reading {
            score,
            aspect,
            met: place.value,
            range: place.range,
            place: place.place,
            threshold: self.threshold(),
            is_alarm,
            is_in_episode: self.alarmed,
        }
    }
}

/// The score is that of the [`Reading`], the decision too; deviations are in half widths of the range so far.
impl Detector for Extremes {
    fn judge(&mut self, time: UnixNanos, row: &[f64], shares: &mut [f64]) -> Judgement {
        let &[value] = row else { return self.odd.refuse(shares) };
        let flag = self.flag(time, value);
        let reading = self.observe(time, value);
        let (low, high) = reading.range;
        let middle = low + (high - low) / 2.0;
        let halves = reading.place;
        let judgement = Judgement {
            score: reading.score,
            what: reading.aspect.name(),
            met: reading.met,
            expected: middle,
            deviation: if reading.met < middle { -halves } else { halves },
            threshold: Some(reading.threshold),
            is_alarm: reading.is_alarm,
            is_ready: self.tail.windows() >= u64::from(self.warmup),
            flag,
            ..Judgement::NONE
        };
        judgement.alone(shares)
    }

    fn feedback(&mut self, is_anomaly: bool) {
        self.tail.feedback(is_anomaly);
    }

    fn odd(&self) -> Odd {
        self.odd
    }

    fn checkpoint(&self, into: &mut Vec<u8>) {
        crate::checkpoint::write(self, into);
    }
}
