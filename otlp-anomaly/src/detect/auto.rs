//! Which detector suits a series, and why.

use std::fmt;

use otlp_core::{DecodeError, Error, ErrorKind, Result, UnixNanos};

use super::extremes::ExtremesConfig;
use super::judge::{self, Detector, Flag, Intake, Judgement, Odd, is_usable, kept};
use super::neural::AttentionConfig;
use super::robust::RobustConfig;
use super::tail::Decided;
use super::vector::VectorConfig;
use crate::checkpoint::{self, Field, Kept, Source, fields};
use crate::feature::setters;
use crate::score::Budget;
use crate::season;

/// How an [`Auto`] chooses.
///
/// ```
/// use otlp_anomaly::detect::AutoConfig;
/// let of_rows = AutoConfig::new().dimensions(4).build()?;
/// assert_eq!(of_rows.choice().to_string(), "vector: rows of 4 values are judged by how they go together");
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct AutoConfig {
    budget: Budget,
    dimensions: usize,
    enough: usize,
    effort: u32,
    episode: u32,
}

impl AutoConfig {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self { budget: Budget::DEFAULT, dimensions: 1, enough: 1_024, effort: 16_000, episode: 72 }
    }

    setters! {
        budget: Budget = "Sets how many false alarms the series may raise; default one in 604,800 points.";
        dimensions: usize = "Sets how many values a point has, 1 to 64; default 1.";
        enough: usize = "Sets after how many points it looks for a period and chooses for good, 64 to 4,096; default 1,024.";
        effort: u32 = "Sets from how many stretches a network learns where one is chosen, 8 to 50,000; default 16,000.";
        episode: u32 = "Sets how many points after its worst one an episode lasts, 1 to 100,000; default 72.";
    }

    /// Makes the detector.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value lies outside what its setter says.
    pub fn build(self) -> Result<Auto> {
        if !self.is_sound() {
            return Err(Error::new(ErrorKind::Config, format!("auto: values out of range in {self:?}")));
        }
        let choice = Choice::of(&[], self.dimensions, self.enough);
        let chosen = Chosen(choice.build(self)?);
        let room = if self.dimensions == 1 { self.enough } else { 0 };
        let history = Vec::with_capacity(room);
        Ok(Auto { config: self, choice, chosen, history, is_settled: room == 0, intake: Intake::NEW })
    }

    fn is_sound(&self) -> bool {
        (1..=64).contains(&self.dimensions)
            && (64..=4_096).contains(&self.enough)
            && (8..=50_000).contains(&self.effort)
            && (1..=100_000).contains(&self.episode)
    }
}

impl Default for AutoConfig {
    fn default() -> Self {
        Self::new()
    }
}

fields!(AutoConfig { budget: Budget, dimensions: usize, enough: usize, effort: u32, episode: u32 });

/// A detector that is chosen, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Choice {
    /// [`Vector`](super::Vector): rows are judged by how their values go together.
    Rows {
        /// Values of a row.
        dimensions: usize,
    },
    /// [`Robust`](super::Robust), whose priors stand in for a history.
    Few {
        /// Points there are.
        points: usize,
    },
    /// [`Extremes`](super::Extremes): it needs no period, and there is too little to look for one.
    Early {
        /// Points there are.
        points: usize,
        /// Points from which on a period is looked for.
        enough: usize,
    },
    /// [`Attention`](super::Attention): what repeats so soon can be foreseen point by point.
    Repeats {
        /// Points a cycle.
        period: usize,
        /// Points it was found in.
        points: usize,
    },
    /// [`Extremes`](super::Extremes), which knows what is usual at this time of the day and the week.
    Season {
        /// Points a cycle.
        period: usize,
        /// Points it was found in.
        points: usize,
    },
    /// [`Extremes`](super::Extremes): nothing repeats, so what was never met is what is unusual.
    Aperiodic {
        /// Points in which nothing repeats.
        points: usize,
    },
}

/// Points from which on what was met before says enough.
const FEW: usize = 50;
/// Cycles of this many points or less are seen twice by the attention layer.
const SOON: usize = 32;
/// What a cycle must explain of all that is not trend.
const EXPLAINS: f64 = 0.6;

impl Choice {
    /// Chooses for values of one series, evenly spaced and all finite, or for rows of so many values; looks for a period
    /// from `enough` values on. O(values^2 / 3), of at most 4,096 values.
    ///
    /// ```
    /// use otlp_anomaly::detect::Choice;
    /// let values: Vec<f64> = (0..400).map(|minute| [1.0, 5.0, 4.0, 9.0, 2.0][minute % 5]).collect();
    /// let choice = Choice::of(&values, 1, 256);
    /// assert_eq!(choice, Choice::Repeats { period: 5, points: 400 });
    /// println!("{choice}");
    /// ```
    #[must_use]
    pub fn of(values: &[f64], dimensions: usize, enough: usize) -> Self {
        let points = values.len();
        if dimensions > 1 {
            return Self::Rows { dimensions };
        }
        if points < FEW {
            return Self::Few { points };
        }
        if points < enough {
            return Self::Early { points, enough };
        }
        let periods = season::periods(values);
        let explains = |period: usize| {
            season::decompose(values, &[period]).is_ok_and(|parts| parts.strength(period) >= EXPLAINS)
        };
        match periods.first() {
            Some(&period) if period <= SOON && explains(period) => Self::Repeats { period, points },
            Some(&period) => Self::Season { period, points },
            None => Self::Aperiodic { points },
        }
    }

    /// The name of the detector.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Rows { .. } => "vector",
            Self::Few { .. } => "robust",
            Self::Early { .. } | Self::Season { .. } | Self::Aperiodic { .. } => "extremes",
            Self::Repeats { .. } => "attention",
        }
    }

    fn build(&self, config: AutoConfig) -> Result<Box<dyn Detector>> {
        let AutoConfig { budget, episode, .. } = config;
        let decided = |detector: Box<dyn Detector>| -> Result<Box<dyn Detector>> {
            let budget =
                if budget.per_window() > DENSEST { Budget::per_windows(DENSEST, 1)? } else { budget };
            Ok(Box::new(Decided::new(detector, budget, episode)?))
        };
        match *self {
            Self::Rows { dimensions } => decided(Box::new(VectorConfig::new(dimensions).build()?)),
            Self::Few { .. } => Ok(Box::new(RobustConfig::new().budget(budget).build()?)),
            Self::Repeats { points, .. } => {
                // What is left of the history beside what is learned from says how large errors are.
                let training = (points / 2).clamp(128, 512);
                decided(Box::new(AttentionConfig::new().training(training).effort(config.effort).build()?))
            }
            Self::Early { .. } | Self::Season { .. } | Self::Aperiodic { .. } => {
                Ok(Box::new(ExtremesConfig::new().budget(budget).episode(episode).build()?))
            }
        }
    }
}

/// A decision by extreme values is about rare ones.
const DENSEST: f64 = 0.01;
/// What scores, in spreads or usual errors, are held against where the threshold has still to be learned.
const STAND_IN: f64 = 10.0;

/// One sentence: the detector, and why.
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name())?;
        match self {
            Self::Rows { dimensions } => {
                write!(f, "rows of {dimensions} values are judged by how they go together")
            }
            Self::Few { points } => write!(f, "{points} points are few, its priors stand in for them"),
            Self::Early { points, enough } => {
                write!(f, "{points} points, a period is looked for from {enough} on")
            }
            Self::Repeats { period, points } => {
                write!(f, "{points} points repeat every {period}, so each can be foreseen")
            }
            Self::Season { period, points } => {
                write!(
                    f,
                    "{points} points have a season of {period}, it knows the time of the day and the week"
                )
            }
            Self::Aperiodic { points } => {
                write!(f, "nothing repeats in {points} points, what was never met is unusual")
            }
        }
    }
}

impl Field for Choice {
    const LEAST_BYTES: usize = 9;

    fn save(&self, into: &mut Vec<u8>) {
        let (tag, first, second): (u8, usize, usize) = match *self {
            Self::Rows { dimensions } => (0, dimensions, 0),
            Self::Few { points } => (1, points, 0),
            Self::Early { points, enough } => (2, points, enough),
            Self::Repeats { period, points } => (3, period, points),
            Self::Season { period, points } => (4, period, points),
            Self::Aperiodic { points } => (5, points, 0),
        };
        (tag, (first, second)).save(into);
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        let (tag, (first, second)) = <(u8, (usize, usize))>::load(from)?;
        match tag {
            0 => Ok(Self::Rows { dimensions: first }),
            1 => Ok(Self::Few { points: first }),
            2 => Ok(Self::Early { points: first, enough: second }),
            3 => Ok(Self::Repeats { period: first, points: second }),
            4 => Ok(Self::Season { period: first, points: second }),
            5 => Ok(Self::Aperiodic { points: first }),
            _ => Err(from.invalid("checkpoint with a choice that is none")),
        }
    }
}

/// Chooses the detector of a series by how much of it there is, whether and how soon it repeats, and how many values a
/// point has, and [says why](Self::choice).
///
/// It begins with what needs no history, goes on with what needs little, and looks once for a period when there are
/// enough points; what it then chooses has been shown all points before it judges one. Scores are in thresholds, so
/// that those of one detector go on where those of another ended: an alarm begins at 1.
///
/// The cost is that of the detector chosen; choosing costs some tenths of a second at most, once. Points before the
/// choice are kept, a few KiB.
///
/// ```
/// use otlp_anomaly::detect::{AutoConfig, Choice, Detector};
/// use otlp_core::UnixNanos;
/// let mut detector = AutoConfig::new().enough(400).effort(1_000).build()?;
/// for minute in 0..500_u64 {
///     let usual = f64::from([1.0_f32, 5.0, 4.0, 9.0, 2.0][(minute % 5) as usize]);
///     detector.judge_one(UnixNanos::from_secs(60 * minute), usual + (minute * 7 % 11) as f64 / 50.0);
/// }
/// assert_eq!(detector.choice(), Choice::Repeats { period: 5, points: 400 });
/// println!("{}", detector.choice());
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug)]
pub struct Auto {
    config: AutoConfig,
    choice: Choice,
    chosen: Chosen,
    /// What came before the choice is final.
    history: Vec<(UnixNanos, f64)>,
    is_settled: bool,
    intake: Intake,
}

fields!(Auto {
    config: AutoConfig,
    choice: Choice,
    chosen: Chosen,
    history: Vec<(UnixNanos, f64)>,
    is_settled: bool,
    intake: Intake,
});
kept!(Auto, 17);

/// The detector that is at work. Never an [`Auto`] itself: what is within what without end would be a recursion that
/// bytes decide about.
#[derive(Debug)]
struct Chosen(Box<dyn Detector>);

impl Field for Chosen {
    const LEAST_BYTES: usize = 8;

    fn save(&self, into: &mut Vec<u8>) {
        let mut bytes = Vec::new();
        self.0.checkpoint(&mut bytes);
        bytes.save(into);
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        let bytes: Vec<u8> = Vec::load(from)?;
        if checkpoint::open(&bytes).is_ok_and(|(kind, _)| kind == Auto::KIND) {
            return Err(from.invalid("checkpoint of a choice within a choice"));
        }
        judge::restore(&bytes).map(Self)
    }
}

impl Auto {
    /// The detector at work, and why it is that one.
    #[must_use]
    pub const fn choice(&self) -> Choice {
        self.choice
    }

    /// The detector at work.
    #[must_use]
    pub fn detector(&self) -> &dyn Detector {
        self.chosen.0.as_ref()
    }

    fn is_sound(&self) -> bool {
        self.chosen.0.dimensions() == self.config.dimensions
            && (self.is_settled || self.config.dimensions == 1)
            && self.history.len() <= self.config.enough
            && self.history.iter().all(|&(_, value)| is_usable(value))
    }

    /// Keeps a point, and chooses anew when there are enough of them.
    fn keep(&mut self, time: UnixNanos, value: f64) {
        self.history.push((time, value));
        let points = self.history.len();
        if points != FEW && points < self.config.enough {
            return;
        }
        let values: Vec<f64> = self.history.iter().map(|&(_, value)| value).collect();
        let choice = Choice::of(&values, 1, self.config.enough);
        self.is_settled = points >= self.config.enough;
        if choice.name() != self.choice.name()
            && let Ok(mut better) = choice.build(self.config)
        {
            self.history.iter().for_each(|&(time, value)| _ = better.judge_one(time, value));
            self.chosen = Chosen(better);
        }
        self.choice = choice;
        if self.is_settled {
            self.history = Vec::new();
        }
    }
}

/// What is expected, and shares, are those of the detector at work.
impl Detector for Auto {
    fn dimensions(&self) -> usize {
        self.config.dimensions
    }

    fn judge(&mut self, time: UnixNanos, row: &[f64], shares: &mut [f64]) -> Judgement {
        let judgement = self.chosen.0.judge(time, row, shares);
        if judgement.flag == Some(Flag::Invalid) {
            return self.intake.odd.refuse(shares);
        }
        let flag = self.intake.note(time);
        if let (false, &[value]) = (self.is_settled, row) {
            self.keep(time, value);
        }
        // One that has still to learn its threshold says that nothing reaches it.
        let threshold = judgement.threshold.filter(|threshold| *threshold > 0.0 && *threshold < f64::MAX);
        let scale = 1.0 / threshold.unwrap_or(STAND_IN);
        shares.iter_mut().for_each(|share| *share *= scale);
        let threshold = threshold.map(|_| 1.0);
        Judgement { score: judgement.score * scale, threshold, flag, ..judgement }.finite()
    }

    fn feedback(&mut self, is_anomaly: bool) {
        self.chosen.0.feedback(is_anomaly);
    }

    fn odd(&self) -> Odd {
        self.intake.odd
    }

    fn checkpoint(&self, into: &mut Vec<u8>) {
        checkpoint::write(self, into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn noisy(points: usize, usual: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut chance = Random::new(2);
        (0..points).map(|point| usual(point) + chance.uniform() + chance.uniform() - 1.0).collect()
    }

    fn of(values: &[f64]) -> (Choice, String) {
        let choice = Choice::of(values, 1, 600);
        (choice, choice.to_string())
    }

    #[test]
    fn each_kind_of_history_has_its_detector_and_a_reason() {
        let wave = |period: usize| {
            move |point: usize| 5.0 * (point as f64 / period as f64 * std::f64::consts::TAU).sin()
        };
        let (few, why) = of(&noisy(49, wave(12)));
        assert_eq!(
            (few, why.as_str()),
            (Choice::Few { points: 49 }, "robust: 49 points are few, its priors stand in for them")
        );
        let (early, why) = of(&noisy(599, wave(12)));
        assert_eq!(early, Choice::Early { points: 599, enough: 600 });
        assert_eq!(why, "extremes: 599 points, a period is looked for from 600 on");
        let (soon, why) = of(&noisy(600, wave(12)));
        assert_eq!(soon, Choice::Repeats { period: 12, points: 600 });
        assert_eq!(why, "attention: 600 points repeat every 12, so each can be foreseen");
        let (late, why) = of(&noisy(600, wave(96)));
        assert!(matches!(late, Choice::Season { period: 90..100, points: 600 }), "{late:?}");
        assert!(why.starts_with("extremes: 600 points have a season of "), "{why}");
        let (none, why) = of(&noisy(600, |_| 0.0));
        assert_eq!(none, Choice::Aperiodic { points: 600 });
        assert_eq!(why, "extremes: nothing repeats in 600 points, what was never met is unusual");
        // Weak beside the noise: there, but not what a point could be foreseen by.
        let (weak, _) = of(&noisy(600, |point| 0.09 * wave(12)(point)));
        assert_eq!(weak.name(), "extremes", "{weak:?}");
        let rows = Choice::of(&[], 3, 600);
        assert_eq!((rows, rows.name()), (Choice::Rows { dimensions: 3 }, "vector"));
    }

    #[test]
    fn a_stream_goes_from_one_to_the_next_and_none_judges_before_it_was_shown_all() {
        let values = noisy(700, |point| if point % 12 < 3 { 8.0 } else { 0.0 });
        let mut detector = AutoConfig::new().enough(600).effort(400).build().unwrap();
        let mut names = vec![detector.choice().name()];
        for (second, &value) in (0..).zip(&values) {
            let judgement = detector.judge_one(UnixNanos::from_secs(second), value);
            if names.last() != Some(&detector.choice().name()) {
                names.push(detector.choice().name());
            }
            assert_eq!(judgement.is_ready, second >= 5, "at {second}: {judgement:?}");
        }
        assert_eq!(names, ["robust", "extremes", "attention"]);
        assert!(detector.history.capacity() == 0, "what was kept for the choice is let go");
    }

    #[test]
    fn a_choice_within_a_choice_is_refused() {
        let mut inner = Vec::new();
        AutoConfig::new().build().unwrap().checkpoint(&mut inner);
        let mut body = Vec::new();
        inner.save(&mut body);
        // The twin with another detector is read.
        let mut other = Vec::new();
        ExtremesConfig::new().build().unwrap().checkpoint(&mut other);
        let mut sound = Vec::new();
        other.save(&mut sound);
        assert!(Chosen::load(&mut Source::from(&body[..])).is_err());
        assert!(Chosen::load(&mut Source::from(&sound[..])).is_ok());
    }
}
