//! What all detectors have in common: a point in, a judgement out, a checkpoint whenever one is wanted.

use std::fmt;

use otlp_core::{DecodeError, UnixNanos};

use crate::checkpoint::{self, fields};

/// A thing that scores the points of one series, one after the other.
///
/// A point is a row of values, mostly one. What a judgement says rests on the points up to it and on nothing else.
/// Whatever comes in, no judgement has a number that is not finite: what cannot be used is left out, flagged and
/// counted.
///
/// A detector writes its whole state to a checkpoint at any point; what [`restore`] makes of it judges all that follows
/// bit for bit as the detector itself would have.
///
/// ```
/// use otlp_anomaly::detect::{self, Detector, ExtremesConfig, ForestConfig};
/// use otlp_core::UnixNanos;
/// let mut all: Vec<Box<dyn Detector>> =
///     vec![Box::new(ExtremesConfig::new().build()?), Box::new(ForestConfig::new().build()?)];
/// for detector in &mut all {
///     for minute in 0..500_u32 {
///         detector.judge_one(UnixNanos::from_secs(60 * u64::from(minute)), f64::from(minute * 7 % 13));
///     }
///     let mut bytes = Vec::new();
///     detector.checkpoint(&mut bytes);
///     let mut restored = detect::restore(&bytes)?;
///     let time = UnixNanos::from_secs(30_000);
///     assert_eq!(restored.judge_one(time, 99.0), detector.judge_one(time, 99.0));
/// }
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
pub trait Detector: fmt::Debug + Send {
    /// How many values a point has.
    fn dimensions(&self) -> usize {
        1
    }

    /// Takes the next point. `shares`, where it has room for as many values as the point, is filled with how much of the
    /// score is due to each of them; an empty one asks for none, which is cheaper for some.
    ///
    /// A row of another number of values than [`dimensions`](Self::dimensions) is flagged as invalid.
    fn judge(&mut self, time: UnixNanos, row: &[f64], shares: &mut [f64]) -> Judgement;

    /// Takes the next point of a series of single values.
    fn judge_one(&mut self, time: UnixNanos, value: f64) -> Judgement {
        self.judge(time, &[value], &mut [])
    }

    /// Says whether the last alarm was right. That moves the budget and not the model: a false alarm halves what is
    /// allowed until the time has passed in which one is, a right one gives back what it took. Scores stay as they are.
    /// Those that decide nothing do nothing, but an [`Ensemble`](super::Ensemble), whose weights learn.
    ///
    /// ```
    /// use otlp_anomaly::detect::{Detector, ExtremesConfig};
    /// use otlp_core::UnixNanos;
    /// let mut detector = ExtremesConfig::new().build()?;
    /// let mut threshold = |detector: &mut dyn Detector| {
    ///     (0..500_u32).map(|n| detector.judge_one(UnixNanos::from_secs(u64::from(n)), f64::from(n * 7 % 13))).last()
    /// };
    /// let before = threshold(&mut detector).and_then(|judgement| judgement.threshold);
    /// detector.feedback(false);
    /// let time = UnixNanos::from_secs(600);
    /// assert!(detector.judge_one(time, 4.0).threshold > before);
    /// # Ok::<(), otlp_anomaly::Error>(())
    /// ```
    fn feedback(&mut self, is_anomaly: bool) {
        _ = is_anomaly;
    }

    /// Count of points that were not what they should be.
    fn odd(&self) -> Odd;

    /// Appends a checkpoint, of which [`restore`] makes a detector that goes on where this one is.
    fn checkpoint(&self, into: &mut Vec<u8>);
}

/// What a [`Detector`] says to a point.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Judgement {
    /// How unusual the point is, in the unit of the detector; zero for what is not unusual at all, or cannot be said.
    pub score: f64,
    /// Which value of the row stands out most, by its place.
    pub dimension: usize,
    /// What of it: `value`, or what was taken of it and those before, such as `mean`.
    pub what: &'static str,
    /// That, as it was met.
    pub met: f64,
    /// What was expected of it.
    pub expected: f64,
    /// How far off it is, in spreads or what the detector has for them; negative below.
    pub deviation: f64,
    /// The score from which on there is an alarm, where the detector decides about that.
    pub threshold: Option<f64>,
    /// True where an alarm begins with this point: one an episode.
    pub is_alarm: bool,
    /// True once enough was learned for scores to mean something.
    pub is_ready: bool,
    /// What is wrong with the point itself, or with its time.
    pub flag: Option<Flag>,
}

/// What may be wrong with a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Flag {
    /// A value that is no number, infinite or too large to be reckoned with, or too many or few of them; left out.
    Invalid,
    /// Its time is not later than that of the one before; taken all the same.
    NotLater,
    /// More than a day lies between it and the one before.
    Gap,
}

/// Points that were not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Odd {
    /// Values that were no number, infinite, or too large to be reckoned with; left out.
    pub invalid: u64,
    /// Points not later than the one before; taken all the same.
    pub not_later: u64,
    /// Gaps of more than a day, over which nothing is taken of points together.
    pub gaps: u64,
}

/// Values beyond this count as no numbers: their squares would be none.
const LARGEST: f64 = 1e150;
/// A gap beyond this parts what comes after from what was before.
const GAP_SECS: u64 = 86_400;

/// Whether a value can be reckoned with.
pub(super) fn is_usable(value: f64) -> bool {
    value.abs() <= LARGEST
}

impl Judgement {
    /// Nothing to say.
    pub(super) const NONE: Self = Self {
        score: 0.0,
        dimension: 0,
        what: "value",
        met: 0.0,
        expected: 0.0,
        deviation: 0.0,
        threshold: None,
        is_alarm: false,
        is_ready: true,
        flag: None,
    };

    /// The judgement of a single value, to which all of the score is due.
    pub(super) fn alone(self, shares: &mut [f64]) -> Self {
        let judgement = self.finite();
        shares.fill(0.0);
        shares.iter_mut().take(1).for_each(|share| *share = judgement.score);
        judgement
    }

    /// Whatever happened, what leaves is a number.
    pub(super) fn finite(mut self) -> Self {
        let numbers = [&mut self.score, &mut self.met, &mut self.expected, &mut self.deviation];
        for number in numbers.into_iter().chain(self.threshold.as_mut()) {
            *number = if number.is_nan() { 0.0 } else { number.clamp(-f64::MAX, f64::MAX) };
        }
        self
    }
}

impl Flag {
    /// What is wrong with a time after another.
    pub(super) fn of(last: Option<UnixNanos>, time: UnixNanos) -> Option<Self> {
        let last = last?;
        if time <= last {
            return Some(Self::NotLater);
        }
        (time.duration_since(last).as_secs() > GAP_SECS).then_some(Self::Gap)
    }
}

impl Odd {
    /// Nothing yet.
    pub(super) const NONE: Self = Self { invalid: 0, not_later: 0, gaps: 0 };

    fn is_sound(self) -> bool {
        [self.invalid, self.not_later, self.gaps].iter().all(|&count| count < 1 << 63)
    }

    /// Counts what is wrong with the time of a point that is taken.
    pub(super) fn note(&mut self, last: &mut Option<UnixNanos>, time: UnixNanos) -> Option<Flag> {
        let flag = Flag::of(last.replace(time), time);
        self.not_later += u64::from(flag == Some(Flag::NotLater));
        self.gaps += u64::from(flag == Some(Flag::Gap));
        flag
    }

    /// Counts and flags a point that is left out.
    pub(super) fn refuse(&mut self, shares: &mut [f64]) -> Judgement {
        self.invalid += 1;
        shares.fill(0.0);
        Judgement { flag: Some(Flag::Invalid), ..Judgement::NONE }
    }
}

fields!(Odd { invalid: u64, not_later: u64, gaps: u64 });

/// Tells where an alarm begins: one while scores stay at the threshold, and until they have come well below it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Episode {
    is_open: bool,
}

impl Episode {
    pub(super) const NONE: Self = Self { is_open: false };

    /// Both states are.
    #[expect(clippy::unused_self, reason = "asked of every field")]
    const fn is_sound(&self) -> bool {
        true
    }

    pub(super) fn begins(&mut self, score: f64, threshold: f64) -> bool {
        let begins = !self.is_open && score >= threshold;
        self.is_open = score >= if self.is_open { threshold / 2.0 } else { threshold };
        begins
    }
}

fields!(Episode { is_open: bool });

/// What comes before the judging: the points that were odd, and when the last one was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Intake {
    pub(super) last: Option<UnixNanos>,
    pub(super) odd: Odd,
}

impl Intake {
    pub(super) const NEW: Self = Self { last: None, odd: Odd::NONE };

    /// Every pair of the two is one.
    #[expect(clippy::unused_self, reason = "asked of every field")]
    const fn is_sound(&self) -> bool {
        true
    }

    /// Counts what is wrong with the time of a point that is taken.
    pub(super) fn note(&mut self, time: UnixNanos) -> Option<Flag> {
        self.odd.note(&mut self.last, time)
    }

    /// The value of a row that has one which can be used, and what is wrong with its time.
    pub(super) fn one(&mut self, time: UnixNanos, row: &[f64]) -> Option<(f64, Option<Flag>)> {
        let &[value] = row else { return None };
        is_usable(value).then(|| (value, self.note(time)))
    }
}

fields!(Intake { last: Option<UnixNanos>, odd: Odd });

/// Gives a detector its number in checkpoints, and a way back from them.
macro_rules! kept {
    ($type:ident, $kind:literal) => {
        impl $crate::checkpoint::Kept for $type {
            const KIND: u16 = $kind;
        }

        impl $type {
            /// Makes the detector that a checkpoint was taken of, which goes on bit for bit as that one did.
            ///
            /// # Errors
            /// Where the bytes are cut off, were changed, are of another kind of detector or of a version not known
            /// here, or say what no detector can be. Memory is bounded by a small multiple of the bytes.
            pub fn restore(checkpoint: &[u8]) -> Result<Self, otlp_core::DecodeError> {
                $crate::checkpoint::read(checkpoint)
            }
        }

        #[cfg(feature = "serde")]
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::checkpoint::serde::serialize(self, serializer)
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::checkpoint::serde::deserialize(deserializer)
            }
        }
    };
}
pub(crate) use kept;

/// Makes the detector that a checkpoint was taken of, of whichever kind.
///
/// # Errors
/// Where the bytes are cut off, were changed, are of a kind or version not known here, or say what no detector can be.
pub fn restore(bytes: &[u8]) -> Result<Box<dyn Detector>, DecodeError> {
    let (kind, _) = checkpoint::open(bytes)?;
    super::KINDS.iter().find(|(known, _)| *known == kind).map_or_else(
        || {
            let what = "checkpoint of a kind not known here";
            Err(DecodeError::new(6, otlp_core::error::DecodeErrorKind::Invalid(what)))
        },
        |(_, restore)| restore(bytes),
    )
}

/// Restores one kind of detector.
pub(super) type Restore = fn(&[u8]) -> Result<Box<dyn Detector>, DecodeError>;

/// A line of the table of kinds.
pub(super) const fn kind<T: checkpoint::Kept + Detector + 'static>() -> (u16, Restore) {
    (T::KIND, |bytes| checkpoint::read::<T>(bytes).map(|detector| Box::new(detector) as Box<dyn Detector>))
}
