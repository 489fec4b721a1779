//! Small networks that foresee the next point; what all of them have in common.

mod attention;
mod kernel;
mod lstm;
#[cfg(test)]
mod tests;

use std::fmt;

use otlp_core::{DecodeError, UnixNanos};

use super::judge::{Flag, Intake, Judgement, Odd, is_usable};
use crate::checkpoint::{Field, Source, fields};
use crate::number::{of_len, to_f64};
use crate::random::Random;
use kernel::{Adam, LARGEST, narrow};

pub use attention::{Attention, AttentionConfig};
pub use lstm::{Lstm, LstmConfig};

/// What foresees the next of values in a row, and learns.
pub(super) trait Network: Field + fmt::Debug + Clone + PartialEq {
    /// What a pass leaves behind, kept so that the next one allocates nothing.
    type Trace: fmt::Debug + Clone + Default + PartialEq;

    /// The step of a weight while it learns, at first.
    const PACE: f32;

    fn weights(&self) -> &[f32];

    fn weights_mut(&mut self) -> &mut [f32];

    /// The value after a window of them.
    fn foresee(&self, values: &[f32], trace: &mut Self::Trace) -> f32;

    /// The loss over a window and the value after it; adds its slope for each weight to the gradient.
    fn slope(&self, stretch: &[f32], trace: &mut Self::Trace, gradient: &mut [f32]) -> f32;
}

/// How far is looked back, and how much is learned when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Course {
    window: usize,
    training: usize,
    refit_every: u32,
    effort: u32,
}

fields!(Course { window: usize, training: usize, refit_every: u32, effort: u32 });

impl Course {
    fn is_sound(&self) -> bool {
        (4..=256).contains(&self.window)
            && (2 * self.window..=16_384).contains(&self.training)
            && (self.refit_every == 0 || self.refit_every >= 16)
            && (8..=50_000).contains(&self.effort)
    }
}

/// A network at work on one series.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Neural<N: Network> {
    course: Course,
    network: N,
    chance: Random,
    /// The points that are learned from, the newest last.
    recent: Vec<f64>,
    /// Of them, those in a row up to the newest, at most a window.
    filled: usize,
    standard: Standard,
    /// Whether anything was learned, and the points since.
    is_taught: bool,
    since: u32,
    /// The usual distance from what was foreseen, and of how many points it is the mean.
    usual: f64,
    averaged: u32,
    intake: Intake,
    bench: Bench<N::Trace>,
}

fields!(impl [N: Network] Neural<N> {
    course: Course,
    network: N,
    chance: Random,
    recent: Vec<f64>,
    filled: usize,
    standard: Standard,
    is_taught: bool,
    since: u32,
    usual: f64,
    averaged: u32,
    intake: Intake,
    bench: Bench<N::Trace>,
});

/// Where the values lie and how far apart, by which they are made alike for the network.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Standard {
    centre: f64,
    scale: f64,
}

fields!(Standard { centre: f64, scale: f64 });

/// What is worked with and means nothing afterwards: no part of a checkpoint, and all alike.
#[derive(Debug, Clone, Default)]
struct Bench<T> {
    sorted: Vec<f64>,
    inputs: Vec<f32>,
    context: Vec<f32>,
    gradient: Vec<f32>,
    adam: Adam,
    trace: T,
}

/// Stretches that a step is taken after.
const BATCH: u32 = 8;
/// What learning anew takes of the effort at first, and of its pace.
const ANEW: (u32, f32) = (4, 0.5);
/// The pace at the end beside that at the beginning.
const SLOWEST: f64 = 0.05;
/// Scales beyond which a value is shown to the network as no farther.
const FARTHEST_SHOWN: f64 = 6.0;
/// Usual errors beyond which one does not count as more, points that the usual is averaged over, and what the first
/// estimate, made on what was learned, weighs.
const CLIP: f64 = 4.0;
const MEMORY: u32 = 256;
const FIRST_WEIGHT: u32 = 16;
/// Stretches that the first estimate is made on.
const ESTIMATED: usize = 64;
/// The least usual error, in scales: what no network does better than by chance.
const LEAST_USUAL: f64 = 1e-3;
/// Errors beyond this are all the same.
const FARTHEST: f64 = 1e9;

impl<N: Network> Neural<N> {
    pub(super) fn new(course: Course, network: N, chance: Random) -> Self {
        Self {
            course,
            network,
            chance,
            recent: Vec::with_capacity(course.training),
            filled: 0,
            standard: Standard { centre: 0.0, scale: 1.0 },
            is_taught: false,
            since: 0,
            usual: 0.0,
            averaged: 0,
            intake: Intake::NEW,
            bench: Bench::default(),
        }
    }

    fn is_sound(&self) -> bool {
        self.network.weights().iter().all(|weight| weight.abs() <= LARGEST)
            && self.recent.len() <= self.course.training
            && self.recent.iter().all(|&value| is_usable(value))
            && self.filled <= self.course.window.min(self.recent.len())
            && (!self.is_taught || self.recent.len() == self.course.training)
            && (0.0..=1e160).contains(&self.usual)
            && self.averaged <= MEMORY
    }

    pub(super) fn judge(&mut self, time: UnixNanos, row: &[f64], shares: &mut [f64]) -> Judgement {
        let Some((value, flag)) = self.intake.one(time, row) else {
            self.filled = 0;
            return self.intake.odd.refuse(shares);
        };
        if flag == Some(Flag::Gap) {
            self.filled = 0;
        }
        let foreseen = self.foreseen();
        let (expected, mut deviation) = (foreseen.unwrap_or(value), 0.0);
        if foreseen.is_some() {
            let off = value - expected;
            let usual = self.usual.max(LEAST_USUAL * self.standard.scale).max(f64::MIN_POSITIVE);
            deviation = (off / usual).clamp(-FARTHEST, FARTHEST);
            self.average(off.abs());
        }
        self.take(value);
        let (score, is_ready) = (deviation.abs(), foreseen.is_some());
        let judgement =
            Judgement { score, met: value, expected, deviation, is_ready, flag, ..Judgement::NONE };
        judgement.alone(shares)
    }

    pub(super) const fn odd(&self) -> Odd {
        self.intake.odd
    }

    /// What the next value should be, once something was learned and the window is whole.
    fn foreseen(&mut self) -> Option<f64> {
        if !self.is_taught || self.filled < self.course.window {
            return None;
        }
        let newest = self.recent.len().checked_sub(self.course.window)?;
        self.bench.context.clear();
        let newest = self.recent.get(newest..).unwrap_or_default();
        self.bench.context.extend(newest.iter().map(|&value| self.standard.to(value)));
        Some(self.standard.back(self.network.foresee(&self.bench.context, &mut self.bench.trace)))
    }

    fn average(&mut self, error: f64) {
        let widest = if self.usual > 0.0 { CLIP * self.usual } else { error };
        self.averaged = (self.averaged + 1).min(MEMORY);
        self.usual += (error.min(widest) - self.usual) / f64::from(self.averaged);
    }

    /// Keeps the point, and learns when that is due.
    fn take(&mut self, value: f64) {
        if self.recent.len() < self.course.training {
            self.recent.push(value);
        } else {
            self.recent.copy_within(1.., 0);
            self.recent.last_mut().into_iter().for_each(|newest| *newest = value);
        }
        self.filled = (self.filled + 1).min(self.course.window);
        self.since = self.since.saturating_add(1);
        let is_due = self.course.refit_every > 0 && self.since >= self.course.refit_every;
        if self.recent.len() == self.course.training && (!self.is_taught || is_due) {
            self.learn();
        }
    }

    /// Learns from the points that are kept.
    fn learn(&mut self) {
        let Bench { sorted, inputs, gradient, adam, trace, .. } = &mut self.bench;
        self.standard = Standard::of(&self.recent, sorted);
        inputs.clear();
        inputs.extend(self.recent.iter().map(|&value| self.standard.to(value)));
        let weights = self.network.weights().len();
        adam.begin(weights);
        gradient.clear();
        gradient.resize(weights, 0.0);
        let (part, pace) = if self.is_taught { ANEW } else { (1, 1.0) };
        let steps = (self.course.effort / part / BATCH).max(1);
        let starts = inputs.len().saturating_sub(self.course.window);
        for step in 0..steps {
            for _ in 0..BATCH {
                let start = self.chance.below(starts);
                let stretch = inputs.get(start..=start + self.course.window).unwrap_or_default();
                self.network.slope(stretch, trace, gradient);
            }
            let left = 1.0 - (1.0 - SLOWEST) * f64::from(step) / f64::from(steps);
            gradient.iter_mut().for_each(|slope| *slope /= 8.0);
            adam.step(self.network.weights_mut(), gradient, pace * N::PACE * narrow(left));
        }
        self.since = 0;
        if !std::mem::replace(&mut self.is_taught, true) {
            self.estimate();
        }
    }

    /// The first idea of the usual error, from what was learned.
    fn estimate(&mut self) {
        let window = self.course.window;
        let apart = (self.recent.len().saturating_sub(window) / ESTIMATED).max(1);
        let (mut sum, mut count) = (0.0, 0_u64);
        for (inputs, values) in
            self.bench.inputs.windows(window + 1).zip(self.recent.windows(window + 1)).step_by(apart)
        {
            let (Some((_, inputs)), Some(value)) = (inputs.split_last(), values.last()) else { continue };
            sum += (self.standard.back(self.network.foresee(inputs, &mut self.bench.trace)) - value).abs();
            count += 1;
        }
        self.usual = sum / to_f64(count.max(1));
        self.averaged = FIRST_WEIGHT;
    }
}

impl Standard {
    /// The median, and the median distance from it as that of a normal; where half are alike the mean distance, and
    /// never less than what rounding leaves.
    fn of(values: &[f64], sorted: &mut Vec<f64>) -> Self {
        let mut median = |of: &mut dyn Iterator<Item = f64>| {
            sorted.clear();
            sorted.extend(of);
            sorted.sort_unstable_by(f64::total_cmp);
            sorted.get(sorted.len() / 2).copied().unwrap_or_default()
        };
        let centre = median(&mut values.iter().copied());
        let typical = 1.482_6 * median(&mut values.iter().map(|value| (value - centre).abs()));
        let distances = values.iter().map(|value| (value - centre).abs());
        let scale =
            if typical > 0.0 { typical } else { distances.sum::<f64>() / of_len(values.len().max(1)) };
        Self { centre, scale: scale.max(1e-9 * centre.abs()).max(f64::MIN_POSITIVE) }
    }

    const fn is_sound(&self) -> bool {
        self.centre.abs() <= 1e151 && self.scale >= f64::MIN_POSITIVE && self.scale <= 1e152
    }

    fn to(self, value: f64) -> f32 {
        narrow(((value - self.centre) / self.scale).clamp(-FARTHEST_SHOWN, FARTHEST_SHOWN))
    }

    /// What a network says, which may say anything, as a value.
    fn back(self, said: f32) -> f64 {
        let said = if said.is_finite() { f64::from(said) } else { 0.0 };
        self.centre + self.scale * said.clamp(-2.0 * FARTHEST_SHOWN, 2.0 * FARTHEST_SHOWN)
    }
}

impl<T> PartialEq for Bench<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T: Default> Field for Bench<T> {
    const LEAST_BYTES: usize = 0;

    fn save(&self, _: &mut Vec<u8>) {}

    fn load(_: &mut Source<'_>) -> Result<Self, DecodeError> {
        Ok(Self::default())
    }
}

/// A detector around a network, with its number in checkpoints.
macro_rules! detector {
    ($(#[$doc:meta])* $name:ident($network:ty) = $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            pub(super) body: $crate::detect::neural::Neural<$network>,
        }

        $crate::checkpoint::fields!($name { body: $crate::detect::neural::Neural<$network> });
        $crate::detect::judge::kept!($name, $kind);

        impl $name {
            /// The body looks after itself.
            const fn is_sound(&self) -> bool {
                true
            }
        }

        /// Errors are given in running means of their size. There is no decision: see [`Decided`](crate::detect::Decided).
        impl $crate::detect::Detector for $name {
            fn judge(
                &mut self,
                time: otlp_core::UnixNanos,
                row: &[f64],
                shares: &mut [f64],
            ) -> $crate::detect::Judgement {
                self.body.judge(time, row, shares)
            }

            fn odd(&self) -> $crate::detect::Odd {
                self.body.odd()
            }

            fn checkpoint(&self, into: &mut Vec<u8>) {
                $crate::checkpoint::write(self, into);
            }
        }
    };
}
use detector;
