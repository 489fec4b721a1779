//! The streaming robust detector.

use otlp_core::{DecodeError, Error, ErrorKind, Result, UnixNanos};

use super::judge::{Detector, Intake, Judgement, Odd, is_usable, kept};
use crate::checkpoint::{self, Field, fields};
use crate::feature::setters;
use crate::number::{of_len, ratio, to_f64};
use crate::score::{Budget, Tail};

/// How a [`Robust`] learns and when it speaks.
///
/// ```
/// use otlp_anomaly::detect::{RobustConfig, Direction};
/// use otlp_anomaly::score::Budget;
/// let budget = Budget::per_windows(1.0, 100_000)?;
/// let detector = RobustConfig::new().budget(budget).direction(Direction::Up).build()?;
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RobustConfig {
    budget: Budget,
    direction: Direction,
    warmup: u32,
    memory: u32,
    prior_scale: f64,
    prior_relative_scale: f64,
    prior_windows: f64,
    min_scale: f64,
    needed: usize,
    among: usize,
    overwhelming: f64,
    release: u32,
    relearn_after: u32,
}

/// Which way a series must move to be worth an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a number moves up or down")]
pub enum Direction {
    /// Up only.
    Up,
    /// Down only.
    Down,
    /// Either way.
    Both,
}

impl Field for Direction {
    const LEAST_BYTES: usize = 1;

    fn save(&self, into: &mut Vec<u8>) {
        let tag: u8 = match self {
            Self::Up => 0,
            Self::Down => 1,
            Self::Both => 2,
        };
        tag.save(into);
    }

    fn load(from: &mut checkpoint::Source<'_>) -> Result<Self, DecodeError> {
        match u8::load(from)? {
            0 => Ok(Self::Up),
            1 => Ok(Self::Down),
            2 => Ok(Self::Both),
            _ => Err(from.invalid("checkpoint with a direction that is none")),
        }
    }
}

/// Deviations beyond this are all the same.
const LARGEST_DEVIATION: f64 = 1e9;
/// Most values kept of the near past and of the warm-up.
const RING: usize = 8;
/// So many of so many windows are evidence too, beside those of the configuration; see [`Robust::joint`].
const SUSTAINED: [(usize, usize); 2] = [(4, 5), (7, RING)];
const WARMUP: usize = 32;

impl RobustConfig {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            budget: Budget::DEFAULT,
            direction: Direction::Both,
            warmup: 5,
            memory: 256,
            prior_scale: 0.0,
            prior_relative_scale: 0.1,
            prior_windows: 8.0,
            min_scale: 1e-9,
            needed: 2,
            among: 3,
            overwhelming: 3.0,
            release: 3,
            relearn_after: 600,
        }
    }

    setters! {
        budget: Budget = "Sets how many false alarms the series may raise; default one in 604,800 windows.";
        direction: Direction = "Sets which way the series must move; default either.";
        warmup: u32 = "Sets how many windows, 3 to 32, the first level is the median of; default 5.";
        memory: u32 = "Sets over how many windows the level is averaged, 8 at least; default 256.";
        prior_scale: f64 = "Sets what the spread from window to window is taken to be before it is known; default 0.";
        prior_relative_scale: f64 = "Sets what is added to that as a share of the first level; default 0.1.";
        prior_windows: f64 = "Sets how many windows that assumption weighs as much as; default 8.";
        min_scale: f64 = "Sets the least spread that is believed; default 10^-9.";
        needed: usize = "Sets how many of the last [`among`](Self::among) windows must be unusual, at least 1; default 2.";
        among: usize = "Sets how many windows back unusual ones count together, 8 at most; default 3.";
        overwhelming: f64 = "Sets how many times the threshold a single window must reach to be enough alone; default 3.";
        release: u32 = "Sets how many usual windows in a row end an alarm; default 3.";
        relearn_after: u32 = "Sets how many windows an alarm may last before what it was about is taken to be usual; default 600.";
    }

    /// Makes the detector.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value lies outside what its setter says, or is negative, not a number or beyond what can
    /// be reckoned with.
    pub fn build(self) -> Result<Robust> {
        if self.is_sound() {
            return Ok(Robust::with(self));
        }
        Err(Error::new(ErrorKind::Config, format!("robust: values out of range in {self:?}")))
    }

    fn is_sound(&self) -> bool {
        let counts_fit = (3..=WARMUP).contains(&(self.warmup as usize))
            && (1..=self.among).contains(&self.needed)
            && self.among <= RING
            && self.memory >= 8
            && self.release >= 1
            && self.relearn_after >= 1;
        let scales = [self.prior_scale, self.prior_relative_scale, self.prior_windows];
        let scales_fit = scales.iter().all(|scale| (0.0..=1e100).contains(scale))
            && (1e-150..=1e150).contains(&self.min_scale)
            && (1.0..=1e9).contains(&self.overwhelming);
        counts_fit && scales_fit
    }
}

fields!(RobustConfig {
    budget: Budget,
    direction: Direction,
    warmup: u32,
    memory: u32,
    prior_scale: f64,
    prior_relative_scale: f64,
    prior_windows: f64,
    min_scale: f64,
    needed: usize,
    among: usize,
    overwhelming: f64,
    release: u32,
    relearn_after: u32,
});

impl Default for RobustConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// One window of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// The value.
    pub value: f64,
    /// How far the value may be off for having been measured on few things; zero where it is exact.
    pub standard_error: f64,
    /// The least move up that matters in practice.
    pub min_rise: f64,
    /// The least move down that matters in practice.
    pub min_fall: f64,
}

impl Point {
    /// An exact value of which every move matters.
    #[must_use]
    pub const fn new(value: f64) -> Self {
        Self { value, standard_error: 0.0, min_rise: 0.0, min_fall: 0.0 }
    }
}

/// What a [`Robust`] says to a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// Where the series stands.
    pub state: State,
    /// What was expected; the value itself during the warm-up.
    pub expected: f64,
    /// How many spreads off the value is; positive above.
    pub deviation: f64,
    /// The score of this window and the ones before, which is held against the threshold.
    pub score: f64,
    /// The threshold.
    pub threshold: f64,
}

/// Where a series stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// The level is not known yet.
    Warmup,
    /// Nothing unusual.
    Usual,
    /// An alarm begins with this window.
    Raised {
        /// How many windows ago the first of the unusual ones was.
        since: u32,
    },
    /// The alarm goes on.
    Alarmed,
    /// The alarm ends with this window.
    Ended,
    /// The alarm ends because it went on for so long that the level is learned anew.
    Relearned,
    /// The value is no number, or one beyond 10^150, and was left out.
    Invalid,
}

/// Watches one series: raises one alarm an episode, and no more false ones than its budget says.
///
/// Level and spread are kept by updates clipped at two spreads, so that a fault moves them little (the influence
/// function of Huber, "Robust Estimation of a Location Parameter", 1964). The spread from window to window is kept apart
/// from each window's own standard error, as random-effects models do: a window measured on few requests must be
/// further off to count. Before there is data the spread is a prior of stated weight.
///
/// A window's deviation is its distance from the level in spreads. The score is the second largest deviation of
/// the last three windows, or a third of this one's if that is more: one window alone does not raise an alarm unless it is
/// overwhelming. Smaller ones add up where they last: the fourth largest of five counts by the square root of 4/2 more, the
/// seventh of eight by that of 7/2, as the deviation of a mean grows with the windows that it is taken over. That is how a
/// fault is seen in a series that was restless before it. How often scores reach how high is learned by
/// a [`Tail`], which sets the threshold to the budget.
///
/// O(1) a window, about 1.5 KiB, nothing allocated after it was made.
///
/// ```
/// use otlp_anomaly::detect::{RobustConfig, Point, State};
/// let mut detector = RobustConfig::new().build()?;
/// let series = [10.0, 10.4, 9.8, 10.1, 10.0, 10.2, 9.9, 10.1, 18.0, 19.0];
/// let verdicts: Vec<_> = series.iter().map(|&value| detector.observe(Point::new(value))).collect();
/// assert_eq!(verdicts[8].state, State::Usual);
/// assert_eq!(verdicts[9].state, State::Raised { since: 1 });
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Robust {
    config: RobustConfig,
    tail: Tail,
    warmup: [f64; WARMUP],
    /// Windows that the level rests on.
    seen: u32,
    level: f64,
    /// Square of the spread from window to window.
    variance: f64,
    /// Deviations of the last windows, newest last, and the same with those too small to matter at zero.
    deviations: [f64; RING],
    mattering: [f64; RING],
    /// Windows in a row that were unusual without an alarm.
    suspicious: u32,
    alarm: Option<Alarmed>,
    intake: Intake,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Alarmed {
    windows: u32,
    usual: u32,
    /// Which way: 1 up, -1 down.
    sign: f64,
}

impl Alarmed {
    fn is_sound(&self) -> bool {
        self.windows < u32::MAX && self.usual < u32::MAX && self.sign.abs() == 1.0
    }
}

fields!(Alarmed { windows: u32, usual: u32, sign: f64 });

/// What the last windows say together.
#[derive(Debug, Clone, Copy)]
struct Joint {
    /// In spreads; held against the threshold.
    score: f64,
    /// How many windows it rests on.
    among: usize,
    /// Which way: 1 up, -1 down.
    sign: f64,
}

impl Joint {
    fn or_more(self, other: Self) -> Self {
        if other.score > self.score { other } else { self }
    }
}

/// Clip of what a window may do to level and spread, in spreads.
const CLIP: f64 = 2.0;
/// The mean of `min(z^2, CLIP^2)` of a standard normal, so that the clipped spread comes out right for one.
const CLIPPED_SQUARE: f64 = 0.920_54;

impl Robust {
    fn with(config: RobustConfig) -> Self {
        Self {
            tail: Tail::new(config.budget, config.release),
            config,
            warmup: [0.0; WARMUP],
            seen: 0,
            level: 0.0,
            variance: 0.0,
            deviations: [0.0; RING],
            mattering: [0.0; RING],
            suspicious: 0,
            alarm: None,
            intake: Intake::NEW,
        }
    }

    /// Takes the next window.
    pub fn observe(&mut self, point: Point) -> Verdict {
        let is_error = point.standard_error >= 0.0 && is_usable(point.standard_error);
        if !is_usable(point.value) || !is_error {
            self.intake.odd.invalid += 1;
            return self.verdict(State::Invalid, self.level, (0.0, 0.0));
        }
        if self.seen < self.config.warmup {
            return self.warm_up(point);
        }
        let expected = self.level;
        let spread = (self.variance + point.standard_error * point.standard_error).sqrt();
        let deviation = ((point.value - expected) / spread).clamp(-LARGEST_DEVIATION, LARGEST_DEVIATION);
        let (any, mattering) = self.score(point, deviation);
        // The tail learns from what the series does, whether or not that matters to anybody.
        self.tail.observe(any.score);
        let state = self.step(deviation, mattering);
        if self.alarm.is_none() && state != State::Relearned {
            self.learn(point, deviation, spread);
        }
        self.verdict(state, expected, (deviation, mattering.score))
    }

    /// What the next value is expected to be; nothing during the warm-up.
    #[must_use]
    pub fn expected(&self) -> Option<f64> {
        (self.seen >= self.config.warmup).then_some(self.level)
    }

    /// The spread from window to window.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.variance.sqrt()
    }

    /// True while an alarm lasts.
    #[must_use]
    pub const fn is_alarmed(&self) -> bool {
        self.alarm.is_some()
    }

    /// Count of values left out for not being numbers.
    #[must_use]
    pub const fn invalid(&self) -> u64 {
        self.intake.odd.invalid
    }

    fn verdict(&self, state: State, expected: f64, (deviation, score): (f64, f64)) -> Verdict {
        Verdict { state, expected, deviation, score, threshold: self.tail.threshold() }
    }

    fn warm_up(&mut self, point: Point) -> Verdict {
        if let Some(slot) = self.warmup.get_mut(self.seen as usize) {
            *slot = point.value;
        }
        self.seen += 1;
        if self.seen == self.config.warmup {
            self.start(point.standard_error);
        }
        self.verdict(State::Warmup, point.value, (0.0, 0.0))
    }

    /// Sets level and spread from the windows of the warm-up.
    fn start(&mut self, standard_error: f64) {
        let mut values = self.warmup;
        let Some(values) = values.get_mut(..self.seen as usize) else { return };
        values.sort_unstable_by(f64::total_cmp);
        let at = |place: usize| values.get(place).copied().unwrap_or_default();
        self.level = at((values.len() - 1) / 2) / 2.0 + at(values.len() / 2) / 2.0;
        let prior = self.config.prior_scale + self.config.prior_relative_scale * self.level.abs();
        let prior = (prior * prior).max(self.config.min_scale * self.config.min_scale);
        let own = standard_error * standard_error;
        // Where the windows disagree with the prior by more than outliers explain, they set the clip.
        let clip = CLIP * CLIP * (prior + own).max(median_deviation(values, self.level).powi(2));
        let squares =
            values.iter().map(|value| (value - self.level).powi(2).min(clip) / CLIPPED_SQUARE - own);
        let weight = self.config.prior_windows;
        self.variance = (weight * prior + squares.sum::<f64>()) / (weight + f64::from(self.seen));
        self.bound_variance();
    }

    fn bound_variance(&mut self) {
        self.variance = self.variance.clamp(self.config.min_scale * self.config.min_scale, 1e300);
    }

    /// The evidence with and without what is too small to matter.
    fn score(&mut self, point: Point, deviation: f64) -> (Joint, Joint) {
        let rise = point.value - self.level;
        let matters = if rise > 0.0 { rise >= point.min_rise } else { -rise >= point.min_fall };
        shift(&mut self.deviations, deviation);
        shift(&mut self.mattering, if matters { deviation } else { 0.0 });
        (self.joint(&self.deviations), self.joint(&self.mattering))
    }

    /// What the last windows say together, in the one direction or the other.
    fn joint(&self, ring: &[f64; RING]) -> Joint {
        match self.config.direction {
            Direction::Up => self.one_way(ring, 1.0),
            Direction::Down => self.one_way(ring, -1.0),
            Direction::Both => self.one_way(ring, 1.0).or_more(self.one_way(ring, -1.0)),
        }
    }

    /// The most that the last windows say one way: `k` of `m` deviations that reach `d` weigh as `d` times the
    /// square root of `k` over the number that the configuration needs.
    fn one_way(&self, ring: &[f64; RING], sign: f64) -> Joint {
        let (needed, among) = (self.config.needed, self.config.among);
        let weigh = |(count, among): (usize, usize)| {
            let mut recent = ring.map(|deviation| sign * deviation);
            let recent = recent.get_mut(RING - among..).unwrap_or_default();
            recent.sort_unstable_by(|a, b| b.total_cmp(a));
            let reached = recent.get(count - 1).copied().unwrap_or_default();
            Joint { score: reached * ratio(of_len(count), of_len(needed)).sqrt(), among, sign }
        };
        let alone = sign * ring.last().copied().unwrap_or_default() / self.config.overwhelming;
        let first = weigh((needed, among)).or_more(Joint { score: alone, among, sign });
        let sustained = SUSTAINED.into_iter().filter(|(count, of)| *count > needed && *of > among);
        sustained.map(weigh).fold(first, Joint::or_more)
    }

    fn step(&mut self, deviation: f64, joint: Joint) -> State {
        let threshold = self.tail.threshold();
        let Some(mut alarm) = self.alarm else {
            if joint.score < threshold {
                return State::Usual;
            }
            self.alarm = Some(Alarmed { windows: 1, usual: 0, sign: joint.sign });
            return State::Raised { since: self.since(joint, threshold) };
        };
        alarm.windows += 1;
        alarm.usual = if alarm.sign * deviation < threshold / 2.0 { alarm.usual + 1 } else { 0 };
        self.alarm = Some(alarm);
        if alarm.usual >= self.config.release {
            self.alarm = None;
            return State::Ended;
        }
        if alarm.windows >= self.config.relearn_after {
            self.alarm = None;
            self.seen = 0;
            self.deviations = [0.0; RING];
            self.mattering = [0.0; RING];
            return State::Relearned;
        }
        State::Alarmed
    }

    /// How many windows ago the first was that the alarm rests on.
    fn since(&self, joint: Joint, threshold: f64) -> u32 {
        let recent = self.mattering.iter().rev().take(joint.among);
        let unusual = recent.zip(0..).filter(|(deviation, _)| joint.sign * **deviation >= threshold / 2.0);
        unusual.map(|(_, ago)| ago).last().unwrap_or_default()
    }

    fn learn(&mut self, point: Point, deviation: f64, spread: f64) {
        // The first windows of a fault must not widen the spread before the next ones confirm it or do not.
        let is_suspicious = deviation.abs() >= self.tail.threshold() / 2.0;
        self.suspicious = if is_suspicious { self.suspicious.saturating_add(1) } else { 0 };
        if is_suspicious && self.suspicious as usize <= RING {
            return;
        }
        self.seen = self.seen.saturating_add(1).min(u32::MAX - 1);
        let count = f64::from(self.seen);
        let memory = f64::from(self.config.memory);
        let clipped = deviation.clamp(-CLIP, CLIP);
        self.level += clipped * spread / count.min(memory);
        let own = point.standard_error * point.standard_error;
        let met = clipped * clipped / CLIPPED_SQUARE * spread * spread - own;
        self.variance += (met - self.variance) / (count + self.config.prior_windows).min(4.0 * memory);
        self.bound_variance();
    }

    /// Windows that the tail has learned from.
    #[must_use]
    pub fn windows(&self) -> f64 {
        to_f64(self.tail.windows())
    }
}

impl Robust {
    fn is_sound(&self) -> bool {
        let is_known = self.seen < self.config.warmup || self.variance >= self.config.min_scale.powi(2);
        let deviations = self.deviations.iter().chain(&self.mattering);
        is_known
            && self.level.abs() <= 1e151
            && (0.0..=1e300).contains(&self.variance)
            && deviations.map(|deviation| deviation.abs()).all(|deviation| deviation <= LARGEST_DEVIATION)
            && self.warmup.iter().all(|&value| is_usable(value))
    }
}

fields!(Robust {
    config: RobustConfig,
    tail: Tail,
    warmup: [f64; WARMUP],
    seen: u32,
    level: f64,
    variance: f64,
    deviations: [f64; RING],
    mattering: [f64; RING],
    suspicious: u32,
    alarm: Option<Alarmed>,
    intake: Intake,
});
kept!(Robust, 2);

/// Each point is an exact window of which every move matters; the score is that of the [`Verdict`], the decision too.
impl Detector for Robust {
    fn judge(&mut self, time: UnixNanos, row: &[f64], shares: &mut [f64]) -> Judgement {
        let Some((value, flag)) = self.intake.one(time, row) else { return self.intake.odd.refuse(shares) };
        let verdict = self.observe(Point::new(value));
        let judgement = Judgement {
            score: verdict.score.max(0.0),
            met: value,
            expected: verdict.expected,
            deviation: verdict.deviation,
            threshold: Some(verdict.threshold),
            is_alarm: matches!(verdict.state, State::Raised { .. }),
            is_ready: verdict.state != State::Warmup,
            flag,
            ..Judgement::NONE
        };
        judgement.alone(shares)
    }

    fn feedback(&mut self, is_anomaly: bool) {
        self.tail.feedback(is_anomaly);
    }

    fn odd(&self) -> Odd {
        self.intake.odd
    }

    fn checkpoint(&self, into: &mut Vec<u8>) {
        checkpoint::write(self, into);
    }
}

/// The median distance from the level, as the standard deviation of a normal that has it.
fn median_deviation(values: &[f64], level: f64) -> f64 {
    let mut distances = [0.0; WARMUP];
    for (slot, value) in distances.iter_mut().zip(values) {
        *slot = (value - level).abs();
    }
    let Some(distances) = distances.get_mut(..values.len().min(WARMUP)) else { return 0.0 };
    distances.sort_unstable_by(f64::total_cmp);
    1.482_6 * distances.get(distances.len() / 2).copied().unwrap_or_default()
}

fn shift(ring: &mut [f64; RING], value: f64) {
    ring.rotate_left(1);
    if let Some(newest) = ring.last_mut() {
        *newest = value;
    }
}
