//! Extreme values as a detector, and as the decision of others.

use otlp_core::{DecodeError, Error, ErrorKind, Result, UnixNanos};

use super::auto::Auto;
use super::ensemble::Ensemble;
use super::judge::{self, Detector, Intake, Judgement, Odd, kept};
use crate::checkpoint::{self, Field, Kept, Source, fields};
use crate::feature::setters;
use crate::number::of_len;
use crate::score::{Budget, Debt, Spot};

/// How a [`SpotDetector`] looks at a series.
///
/// ```
/// use otlp_anomaly::detect::SpotConfig;
/// let drifting = SpotConfig::new().depth(48).risk(1e-5).build()?;
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SpotConfig {
    risk: f64,
    initial: usize,
    depth: usize,
}

impl SpotConfig {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self { risk: 1e-4, initial: 500, depth: 0 }
    }

    setters! {
        risk: f64 = "Sets the chance on either side below which a value is extreme, 10^-12 to 0.01; default 10^-4.";
        initial: usize = "Sets how many points are learned from before anything is said, 50 to 100,000; default 500.";
        depth: usize = "Sets over how many points the mean is taken that values are held against, at most 4,096; 0, the default, for none.";
    }

    /// Makes the detector.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value lies outside what its setter says.
    pub fn build(self) -> Result<SpotDetector> {
        if self.depth > MOST_DEPTH {
            return Err(Error::new(
                ErrorKind::Config,
                format!("spot: depth {} exceeds {MOST_DEPTH}", self.depth),
            ));
        }
        // Not a clone, which would not have the room.
        let (upper, lower) = (Spot::new(self.risk, self.initial)?, Spot::new(self.risk, self.initial)?);
        let recent = Vec::with_capacity(self.depth);
        Ok(SpotDetector { config: self, upper, lower, recent, next: 0, is_out: false, intake: Intake::NEW })
    }

    fn is_sound(&self) -> bool {
        self.depth <= MOST_DEPTH
    }
}

impl Default for SpotConfig {
    fn default() -> Self {
        Self::new()
    }
}

fields!(SpotConfig { risk: f64, initial: usize, depth: usize });

/// The most points that a mean may be taken of.
const MOST_DEPTH: usize = 4_096;

/// Scores a point by how rare values like it are, above and below (SPOT, and with a depth DSPOT: see [`Spot`]).
///
/// The score is the negative natural logarithm of the chance of a value so far out, at most 100. With a depth, values
/// are held against the mean of the last ones that were not extreme, which follows a drift. O(1) a point, with a
/// depth O(depth); no allocation after the first points.
///
/// ```
/// use otlp_anomaly::detect::{Detector, SpotConfig};
/// use otlp_core::UnixNanos;
/// let mut detector = SpotConfig::new().initial(200).build()?;
/// for second in 0..1_000_u64 {
///     detector.judge_one(UnixNanos::from_secs(second), (second * 37 % 101) as f64);
/// }
/// let judgement = detector.judge_one(UnixNanos::from_secs(1_000), -80.0);
/// assert!(judgement.is_alarm && judgement.deviation < 0.0);
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SpotDetector {
    config: SpotConfig,
    upper: Spot,
    lower: Spot,
    /// The last points that were not extreme, and where the next one goes.
    recent: Vec<f64>,
    next: usize,
    /// Whether the point before was extreme.
    is_out: bool,
    intake: Intake,
}

impl SpotDetector {
    fn is_sound(&self) -> bool {
        let depth = self.config.depth;
        self.recent.len() <= depth && (self.next < depth || self.next == 0)
    }

    fn keep(&mut self, value: f64) {
        if self.recent.len() < self.config.depth {
            self.recent.push(value);
        } else if let Some(slot) = self.recent.get_mut(self.next) {
            *slot = value;
            self.next = (self.next + 1) % self.config.depth;
        }
    }
}

fields!(SpotDetector {
    config: SpotConfig,
    upper: Spot,
    lower: Spot,
    recent: Vec<f64>,
    next: usize,
    is_out: bool,
    intake: Intake,
});
kept!(SpotDetector, 10);

impl Detector for SpotDetector {
    fn judge(&mut self, time: UnixNanos, row: &[f64], shares: &mut [f64]) -> Judgement {
        let Some((value, flag)) = self.intake.one(time, row) else { return self.intake.odd.refuse(shares) };
        let mean = self.recent.iter().sum::<f64>() / of_len(self.recent.len().max(1));
        if self.recent.len() < self.config.depth {
            self.keep(value);
            return Judgement { met: value, expected: mean, is_ready: false, flag, ..Judgement::NONE }
                .alone(shares);
        }
        let off = value - mean;
        let is_ready = self.upper.is_ready();
        let (upper, lower) = (self.upper.observe(off), self.lower.observe(-off));
        let is_extreme = upper.is_extreme || lower.is_extreme;
        if !is_extreme {
            self.keep(value);
        }
        let was_out = std::mem::replace(&mut self.is_out, is_extreme);
        let is_alarm = is_extreme && !was_out;
        let score = upper.rarity.max(lower.rarity);
        let judgement = Judgement {
            score,
            met: value,
            expected: mean + self.upper.centre(),
            deviation: if lower.rarity > upper.rarity { -score } else { score },
            threshold: Some(-self.config.risk.ln()),
            is_alarm,
            is_ready,
            flag,
            ..Judgement::NONE
        };
        judgement.alone(shares)
    }

    fn odd(&self) -> Odd {
        self.intake.odd
    }

    fn checkpoint(&self, into: &mut Vec<u8>) {
        checkpoint::write(self, into);
    }
}

/// A detector without a decision, and one: alarms where its scores are rarer than a budget allows.
///
/// The tail of the scores is learned by a [`Spot`]; its threshold takes the place of the detector's own, if that has
/// one. Points within an episode of an alarm raise none.
///
/// ```
/// use otlp_anomaly::detect::{Decided, Detector, ForestConfig};
/// use otlp_anomaly::score::Budget;
/// use otlp_core::UnixNanos;
/// let forest = Box::new(ForestConfig::new().build()?);
/// let mut detector = Decided::new(forest, Budget::per_windows(1.0, 2_000)?, 72)?;
/// for minute in 0..1_500_u64 {
///     detector.judge_one(UnixNanos::from_secs(60 * minute), (minute * 37 % 101) as f64);
/// }
/// assert!(detector.judge_one(UnixNanos::from_secs(90_000), 400.0).is_alarm);
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug)]
pub struct Decided {
    inner: Inner<true>,
    spot: Spot,
    budget: Budget,
    debt: Debt,
    episode: u32,
    /// Points since the last one that was extreme.
    quiet: u32,
}

/// A detector within another, which may be an ensemble or not: what is within what without end would be a recursion
/// that bytes decide about.
#[derive(Debug)]
pub(super) struct Inner<const ENSEMBLE: bool>(pub(super) Box<dyn Detector>);

/// Scores learned from before there is a decision.
const FIRST_SCORES: usize = 400;

impl Decided {
    /// Adds a decision to a detector, by which its scores pass the threshold as often as the budget says; `episode`
    /// points after the last one that did an alarm is over.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where the budget is above 0.01 a point, or the detector is a [`Decided`] itself or an
    /// [`Auto`](super::Auto), which decides.
    pub fn new(detector: Box<dyn Detector>, budget: Budget, episode: u32) -> Result<Self> {
        let spot = Spot::new(budget.per_window(), FIRST_SCORES)?;
        Ok(Self { inner: Inner::new(detector)?, spot, budget, debt: Debt::NONE, episode, quiet: u32::MAX })
    }

    /// The detector that the scores are of.
    #[must_use]
    pub fn detector(&self) -> &dyn Detector {
        self.inner.0.as_ref()
    }

    /// Every state of it is one.
    #[expect(clippy::unused_self, reason = "asked of every field")]
    const fn is_sound(&self) -> bool {
        true
    }
}

impl<const ENSEMBLE: bool> Inner<ENSEMBLE> {
    pub(super) fn new(detector: Box<dyn Detector>) -> Result<Self> {
        let mut bytes = Vec::new();
        detector.checkpoint(&mut bytes);
        if Self::fits(&bytes) {
            return Ok(Self(detector));
        }
        Err(Error::new(ErrorKind::Config, "a detector is within another that it does not fit into"))
    }

    /// Whether bytes are of a detector that may stand here.
    fn fits(bytes: &[u8]) -> bool {
        let kind = checkpoint::open(bytes).map(|(kind, _)| kind);
        let is_leaf = kind != Ok(Decided::KIND) && kind != Ok(Auto::KIND);
        is_leaf && (ENSEMBLE || kind != Ok(Ensemble::KIND))
    }
}

impl<const ENSEMBLE: bool> Field for Inner<ENSEMBLE> {
    const LEAST_BYTES: usize = 8;

    fn save(&self, into: &mut Vec<u8>) {
        let mut bytes = Vec::new();
        self.0.checkpoint(&mut bytes);
        bytes.save(into);
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        let bytes: Vec<u8> = Vec::load(from)?;
        if !Self::fits(&bytes) {
            return Err(from.invalid("checkpoint of a detector within another that it does not fit into"));
        }
        judge::restore(&bytes).map(Self)
    }
}

fields!(Decided { inner: Inner<true>, spot: Spot, budget: Budget, debt: Debt, episode: u32, quiet: u32 });
kept!(Decided, 11);

impl Detector for Decided {
    fn dimensions(&self) -> usize {
        self.inner.0.dimensions()
    }

    fn judge(&mut self, time: UnixNanos, row: &[f64], shares: &mut [f64]) -> Judgement {
        let judgement = self.inner.0.judge(time, row, shares);
        if !judgement.is_ready || judgement.flag == Some(judge::Flag::Invalid) {
            return Judgement { threshold: None, is_alarm: false, ..judgement };
        }
        self.debt.pass(self.budget.per_window());
        let is_extreme =
            self.spot.observe_within(judgement.score, self.debt.of(self.budget.per_window())).is_extreme;
        let is_alarm = is_extreme && self.quiet >= self.episode;
        self.quiet = if is_extreme { 0 } else { self.quiet.saturating_add(1) };
        let threshold = Some(self.spot.threshold_within(self.debt.of(self.budget.per_window())));
        Judgement { threshold, is_alarm, ..judgement }.finite()
    }

    fn feedback(&mut self, is_anomaly: bool) {
        self.debt.tell(is_anomaly);
        self.inner.0.feedback(is_anomaly);
    }

    fn odd(&self) -> Odd {
        self.inner.0.odd()
    }

    fn checkpoint(&self, into: &mut Vec<u8>) {
        checkpoint::write(self, into);
    }
}
