//! A layer of long short-term memory.

use otlp_core::{Error, ErrorKind, Result};

use super::kernel::{add, dot, huber, sigmoid, spread, tanh};
use super::{Course, Network, Neural, detector};
use crate::checkpoint::fields;
use crate::feature::setters;
use crate::random::Random;

/// How an [`Lstm`] looks back and learns.
///
/// ```
/// use otlp_anomaly::detect::LstmConfig;
/// let small = LstmConfig::new().hidden(8).window(24).training(256).build()?;
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LstmConfig {
    hidden: usize,
    window: usize,
    training: usize,
    refit_every: u32,
    effort: u32,
    seed: u64,
}

impl LstmConfig {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self { hidden: 16, window: 32, training: 512, refit_every: 1_024, effort: 6_000, seed: 1 }
    }

    setters! {
        hidden: usize = "Sets how many cells there are, 1 to 64; default 16.";
        window: usize = "Sets how many points back the cells are shown, 4 to 256; default 32.";
        training: usize = "Sets how many points are learned from, twice the window to 16,384; default 512.";
        refit_every: u32 = "Sets after how many points is learned again, 16 at least; default 1,024, and 0 for never.";
        effort: u32 = "Sets from how many stretches of a window's length is learned at first, and a quarter of it each time again, 8 to 50,000; default 6,000.";
        seed: u64 = "Sets where chance begins; default 1.";
    }

    /// Makes the detector.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value lies outside what its setter says.
    pub fn build(self) -> Result<Lstm> {
        let mut chance = Random::new(self.seed);
        let course = self.course();
        if !course.is_sound() || !(1..=64).contains(&self.hidden) {
            return Err(Error::new(ErrorKind::Config, format!("lstm: values out of range in {self:?}")));
        }
        Ok(Lstm { body: Neural::new(course, Cells::new(self.hidden, &mut chance), chance) })
    }

    const fn course(self) -> Course {
        let Self { window, training, refit_every, effort, .. } = self;
        Course { window, training, refit_every, effort }
    }
}

impl Default for LstmConfig {
    fn default() -> Self {
        Self::new()
    }
}

detector! {
    /// Foresees a point with a layer of long short-term memory, and scores it by how far off it is, in usual errors.
    ///
    /// The first points teach it; from then on each is foreseen from the window before it, and now and then it learns
    /// again from the newest points. It is for what has a shape that repeats within the window, where a value may be usual
    /// and yet wrong here: a phase that jumps, a step that is left out, an order that is turned round. Robust distances do
    /// not see those; `tests/neural.rs` shows both. Seasons longer than the window are for [`Extremes`](super::super::Extremes).
    ///
    /// The cells are those of Hochreiter and Schmidhuber ("Long short-term memory", Neural Computation 1997) with the
    /// forget gate of Gers, Schmidhuber and Cummins (2000), trained by back-propagation through the window with Adam on
    /// Huber's loss. Weights, seed and so the judgements are the same everywhere.
    ///
    /// A point costs O(window * hidden^2), some microseconds by default; learning costs O(effort * window * hidden^2) at once,
    /// some tenths of a second by default, within the call that is due. Nothing is allocated after the first learning.
    ///
    /// ```
    /// use otlp_anomaly::detect::{Detector, LstmConfig};
    /// use otlp_core::UnixNanos;
    /// let mut detector = LstmConfig::new().hidden(6).window(12).training(120).effort(600).build()?;
    /// let usual = |minute: u64| f64::from([1.0_f32, 5.0, 4.0, 9.0, 2.0][(minute % 5) as usize]);
    /// for minute in 0..150 {
    ///     detector.judge_one(UnixNanos::from_secs(60 * minute), usual(minute));
    /// }
    /// // A nine where a one was due: usual, but not now.
    /// let judgement = detector.judge_one(UnixNanos::from_secs(60 * 150), 9.0);
    /// assert!(judgement.score > 5.0 && judgement.expected < 4.0, "{judgement:?}");
    /// # Ok::<(), otlp_anomaly::Error>(())
    /// ```
    Lstm(Cells) = 14
}

/// The network: `hidden` cells, each fed with the newest value and what all cells said before, and a weighted sum of
/// what they say, and of the newest value, as the value to come.
///
/// Weights lie gate by gate (in, forget, out, candidate) for the value, for the bias, and for what each cell said;
/// then those of the sum, its bias, and that of the newest value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cells {
    hidden: usize,
    weights: Vec<f32>,
}

fields!(Cells { hidden: usize, weights: Vec<f32> });

/// What a pass leaves behind for the way back.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Trace {
    /// For each step the gates as they opened.
    gates: Vec<f32>,
    /// For each step what the cells held, the same through tanh, and what they said.
    held: Vec<f32>,
    bent: Vec<f32>,
    said: Vec<f32>,
    /// Slopes on the way back: of what cells said, of what they held, of their gates.
    back: Vec<f32>,
}

/// Weights by what they are for.
struct Parts<'a> {
    value: &'a [f32],
    bias: &'a [f32],
    said: &'a [f32],
    sum: &'a [f32],
    sum_bias: f32,
    straight: f32,
}

const fn count(hidden: usize) -> usize {
    4 * hidden * (hidden + 2) + hidden + 2
}

impl Cells {
    fn new(hidden: usize, chance: &mut Random) -> Self {
        let mut weights = vec![0.0; count(hidden)];
        let gates = 4 * hidden;
        if let Some((value, rest)) = weights.split_at_mut_checked(gates) {
            spread(value, (1, hidden), chance);
            if let Some((bias, rest)) = rest.split_at_mut_checked(gates) {
                // Cells that forget nothing at first learn longer spans (Gers, Schmidhuber and Cummins 2000).
                bias.iter_mut().skip(hidden).take(hidden).for_each(|bias| *bias = 1.0);
                spread(rest, (hidden, hidden), chance);
                rest.iter_mut().rev().take(2).for_each(|weight| *weight = 0.0);
            }
        }
        Self { hidden, weights }
    }

    fn is_sound(&self) -> bool {
        (1..=64).contains(&self.hidden) && self.weights.len() == count(self.hidden)
    }

    fn parts(&self) -> Parts<'_> {
        let gates = 4 * self.hidden;
        let cut = |slice: &[f32], at: usize| slice.len().min(at);
        let (value, rest) = self.weights.split_at(cut(&self.weights, gates));
        let (bias, rest) = rest.split_at(cut(rest, gates));
        let (said, rest) = rest.split_at(cut(rest, gates * self.hidden));
        let (sum, rest) = rest.split_at(cut(rest, self.hidden));
        let last = |nth: usize| rest.get(nth).copied().unwrap_or_default();
        Parts { value, bias, said, sum, sum_bias: last(0), straight: last(1) }
    }

    /// Runs through the values and leaves a trace.
    fn run(&self, values: &[f32], trace: &mut Trace) {
        let (hidden, parts) = (self.hidden, self.parts());
        let steps = values.len();
        trace.gates.resize(4 * hidden * steps, 0.0);
        for each in [&mut trace.held, &mut trace.bent, &mut trace.said] {
            each.resize(hidden * steps, 0.0);
        }
        // What was before the first step: nothing.
        let (mut held_before, mut said_before): (&[f32], &[f32]) = (&[], &[]);
        let gates = trace.gates.chunks_exact_mut(4 * hidden);
        let cells = trace.held.chunks_exact_mut(hidden).zip(trace.bent.chunks_exact_mut(hidden));
        let steps = gates.zip(cells).zip(trace.said.chunks_exact_mut(hidden)).zip(values);
        for (((gates, (held, bent)), said), &value) in steps {
            gates.copy_from_slice(parts.bias);
            add(gates, value, parts.value);
            let columns = parts.said.chunks_exact(4 * hidden);
            columns.zip(said_before).for_each(|(column, said)| add(gates, *said, column));
            let (open, candidate) = gates.split_at_mut(3 * hidden);
            open.iter_mut().for_each(|gate| *gate = sigmoid(*gate));
            candidate.iter_mut().for_each(|gate| *gate = tanh(*gate));
            let (input, rest) = open.split_at(hidden);
            let (forget, output) = rest.split_at(hidden);
            for (held, (input, candidate)) in held.iter_mut().zip(input.iter().zip(&*candidate)) {
                *held = input * candidate;
            }
            for (held, (forget, before)) in held.iter_mut().zip(forget.iter().zip(held_before)) {
                *held += forget * before;
            }
            bent.iter_mut().zip(&*held).for_each(|(bent, held)| *bent = tanh(*held));
            said.iter_mut()
                .zip(output.iter().zip(&*bent))
                .for_each(|(said, (open, bent))| *said = open * bent);
            (held_before, said_before) = (held, said);
        }
    }
}

impl Parts<'_> {
    fn foreseen(&self, said: &[f32], value: f32) -> f32 {
        dot(self.sum, said) + self.sum_bias + self.straight * value
    }
}

impl Network for Cells {
    type Trace = Trace;

    /// Half of it and four times it learn as well (`tests/neural.rs`).
    const PACE: f32 = 0.012;

    fn weights(&self) -> &[f32] {
        &self.weights
    }

    fn weights_mut(&mut self) -> &mut [f32] {
        &mut self.weights
    }

    fn foresee(&self, values: &[f32], trace: &mut Trace) -> f32 {
        self.run(values, trace);
        let said = trace.said.chunks_exact(self.hidden).last().unwrap_or_default();
        self.parts().foreseen(said, values.last().copied().unwrap_or_default())
    }

    /// The second half of the window is foreseen too: the cells have seen enough by then.
    fn slope(&self, stretch: &[f32], trace: &mut Trace, gradient: &mut [f32]) -> f32 {
        let hidden = self.hidden;
        let Some((_, values)) = stretch.split_last() else { return 0.0 };
        self.run(values, trace);
        let parts = self.parts();
        let from = values.len() / 2;
        let share = 1.0 / narrow_len(values.len() - from);
        trace.back.clear();
        trace.back.resize(6 * hidden, 0.0);
        let (of_said, rest) = trace.back.split_at_mut(hidden);
        let (of_held, of_gates) = rest.split_at_mut(hidden);
        let (into_value, rest) = gradient.split_at_mut(4 * hidden);
        let (into_bias, rest) = rest.split_at_mut(4 * hidden);
        let (into_said, rest) = rest.split_at_mut(4 * hidden * hidden);
        let (into_sum, into_last) = rest.split_at_mut(hidden);
        let before = |step: usize| step.saturating_sub(1) * hidden..step * hidden;
        let mut loss = 0.0;
        for (step, (&value, wanted)) in values.iter().zip(stretch.iter().skip(1)).enumerate().rev() {
            let now = step * hidden..(step + 1) * hidden;
            let (Some(said), Some(bent)) = (trace.said.get(now.clone()), trace.bent.get(now)) else {
                continue;
            };
            let held_before = trace.held.get(before(step)).unwrap_or_default();
            let said_before = trace.said.get(before(step)).unwrap_or_default();
            let gates = trace.gates.get(step * 4 * hidden..(step + 1) * 4 * hidden).unwrap_or_default();
            if step >= from {
                let (met, slope) = huber(parts.foreseen(said, value) - wanted);
                loss += share * met;
                let slope = share * slope;
                add(of_said, slope, parts.sum);
                add(into_sum, slope, said);
                add(into_last, slope, &[1.0, value]);
            }
            through(&Step { gates, bent, held_before, hidden }, of_said, of_held, of_gates);
            add(into_value, value, of_gates);
            add(into_bias, 1.0, of_gates);
            let columns = into_said.chunks_exact_mut(4 * hidden);
            columns.zip(said_before).for_each(|(column, said)| add(column, *said, of_gates));
            let columns = parts.said.chunks_exact(4 * hidden);
            of_said.iter_mut().zip(columns).for_each(|(slope, column)| *slope = dot(column, of_gates));
        }
        loss
    }
}

/// What a step left behind.
struct Step<'a> {
    gates: &'a [f32],
    bent: &'a [f32],
    held_before: &'a [f32],
    hidden: usize,
}

/// From the slopes of what the cells said and held to those of their gates, and of what they held before.
fn through(step: &Step<'_>, of_said: &[f32], of_held: &mut [f32], of_gates: &mut [f32]) {
    let hidden = step.hidden;
    let gate = |which: usize, cell: usize| step.gates.get(which * hidden + cell).copied().unwrap_or_default();
    for (cell, (of_held, of_said)) in of_held.iter_mut().zip(of_said).enumerate() {
        let (input, forget) = (gate(0, cell), gate(1, cell));
        let (output, candidate) = (gate(2, cell), gate(3, cell));
        let bent = step.bent.get(cell).copied().unwrap_or_default();
        let before = step.held_before.get(cell).copied().unwrap_or_default();
        let held = *of_held + of_said * output * (1.0 - bent * bent);
        let slopes = [
            held * candidate * input * (1.0 - input),
            held * before * forget * (1.0 - forget),
            of_said * bent * output * (1.0 - output),
            held * input * (1.0 - candidate * candidate),
        ];
        for (which, slope) in slopes.into_iter().enumerate() {
            of_gates.iter_mut().skip(which * hidden + cell).take(1).for_each(|slot| *slot = slope);
        }
        *of_held = held * forget;
    }
}

/// Windows are short.
fn narrow_len(len: usize) -> f32 {
    super::kernel::narrow(crate::number::of_len(len.max(1)))
}
