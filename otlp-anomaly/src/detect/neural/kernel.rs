//! Arithmetic of small networks in single precision: no library's exponential, so that a seed gives the same weights
//! on every machine.

use crate::number::of_len;
use crate::random::Random;

/// Sums that are kept apart, so that compilers may use wide registers.
const LANES: usize = 8;

/// The sum of products.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        sums.iter_mut().zip(a).zip(b).for_each(|((sum, a), b)| *sum += a * b);
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// Adds `times` a vector to another.
pub(super) fn add(into: &mut [f32], times: f32, vector: &[f32]) {
    into.iter_mut().zip(vector).for_each(|(into, value)| *into += times * value);
}

/// The exponential to 2e-7 of it, for what single precision can hold; beyond, its ends.
pub(super) fn exp(x: f32) -> f32 {
    // Adding this leaves the nearest whole number in the low bits.
    const ROUND: f32 = 12_582_912.0;
    /// The logarithm of two, in two parts of which the first has few bits.
    const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
    let x = x.clamp(-87.0, 88.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let whole = rounded - ROUND;
    let rest = x - whole * LN_2.0 - whole * LN_2.1;
    // Taylor's series: what is left out is below 1e-7 for a rest of at most half the logarithm of two.
    let series = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let mantissa = series.iter().fold(0.0, |sum, term| sum * rest + term);
    mantissa * f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23))
}

pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

pub(super) fn tanh(x: f32) -> f32 {
    2.0 * sigmoid(2.0 * x) - 1.0
}

/// Makes weights of scores: all positive, together one.
pub(super) fn softmax(scores: &mut [f32]) {
    let most = scores.iter().copied().fold(f32::MIN, f32::max);
    let mut whole = 0.0;
    for score in scores.iter_mut() {
        *score = exp(*score - most);
        whole += *score;
    }
    // The largest became one, so the whole is one at least.
    scores.iter_mut().for_each(|score| *score /= whole);
}

/// The loss of an error and its slope: quadratic near zero, linear beyond one, so that faults in what is learned from
/// pull no harder than they must (Huber 1964).
pub(super) fn huber(error: f32) -> (f32, f32) {
    let slope = error.clamp(-1.0, 1.0);
    (slope * (error - 0.5 * slope), slope)
}

/// To single precision; beyond its ends, those.
#[expect(clippy::cast_possible_truncation, reason = "rounding is what is wanted")]
pub(super) const fn narrow(value: f64) -> f32 {
    value.clamp(-3e38, 3e38) as f32
}

/// Weights between layers of so many inputs and outputs (Glorot and Bengio 2010).
pub(super) fn spread(weights: &mut [f32], (inputs, outputs): (usize, usize), chance: &mut Random) {
    let widest = (6.0 / (of_len(inputs) + of_len(outputs)).max(1.0)).sqrt();
    weights.iter_mut().for_each(|weight| *weight = narrow(widest * (2.0 * chance.uniform() - 1.0)));
}

/// Steps against a gradient, each weight at a pace of its own (Kingma and Ba, "Adam: a method for stochastic
/// optimization", 2015).
#[derive(Debug, Clone, Default)]
pub(super) struct Adam {
    mean: Vec<f32>,
    square: Vec<f32>,
    /// The decays to the power of the steps so far.
    powers: (f32, f32),
}

const DECAY: (f32, f32) = (0.9, 0.999);
/// A gradient that is longer is made so long.
const LONGEST: f32 = 1.0;

impl Adam {
    /// Forgets all steps; allocates where there were fewer weights before.
    pub(super) fn begin(&mut self, weights: usize) {
        for memory in [&mut self.mean, &mut self.square] {
            memory.clear();
            memory.resize(weights, 0.0);
        }
        self.powers = (1.0, 1.0);
    }

    /// Takes a step, and sets the gradient to zero. One that is not finite changes nothing.
    pub(super) fn step(&mut self, weights: &mut [f32], gradient: &mut [f32], pace: f32) {
        let length = dot(gradient, gradient).sqrt();
        if length.is_finite() {
            let shorten = if length > LONGEST { LONGEST / length } else { 1.0 };
            self.powers = (self.powers.0 * DECAY.0, self.powers.1 * DECAY.1);
            let (first, second) = (1.0 - self.powers.0, 1.0 - self.powers.1);
            let memories = self.mean.iter_mut().zip(&mut self.square);
            for ((weight, slope), (mean, square)) in weights.iter_mut().zip(gradient.iter()).zip(memories) {
                let slope = slope * shorten;
                *mean += (1.0 - DECAY.0) * (slope - *mean);
                *square += (1.0 - DECAY.1) * (slope * slope - *square);
                let step = (*mean / first) / ((*square / second).sqrt() + 1e-8);
                *weight = (*weight - pace * step).clamp(-LARGEST, LARGEST);
            }
        }
        gradient.fill(0.0);
    }
}

/// No weight goes beyond this.
pub(super) const LARGEST: f32 = 1e3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_those_of_the_library() {
        for step in -8_700..8_800_i16 {
            let x = f32::from(step) / 100.0;
            let known = f64::from(x).exp();
            assert!((f64::from(exp(x)) / known - 1.0).abs() < 2e-6, "{x}: {} for {known}", exp(x));
            let off = (f64::from(tanh(x)) - f64::from(x).tanh()).abs();
            assert!(off < 5e-7, "{x}: {off}");
        }
        assert_eq!((exp(f32::NEG_INFINITY), sigmoid(f32::INFINITY)), (exp(-87.0), 1.0));
        assert!(exp(f32::INFINITY).is_finite());
    }

    #[test]
    fn products_are_summed_whatever_the_length() {
        for length in [0, 1, 7, 8, 9, 31, 64] {
            let a: Vec<f32> = (0..length).map(|nth| nth as f32).collect();
            let sum: usize = (0..length).map(|nth| nth * nth).sum();
            assert_eq!(dot(&a, &a), sum as f32);
        }
    }

    #[test]
    fn adam_finds_the_bottom_and_a_slope_that_is_no_number_changes_nothing() {
        let (mut weights, mut adam) = (vec![3.0, -2.0], Adam::default());
        adam.begin(2);
        for _ in 0..2_000 {
            let mut gradient = vec![2.0 * (weights[0] - 1.0), 20.0 * (weights[1] - 0.5)];
            adam.step(&mut weights, &mut gradient, 0.01);
            assert_eq!(gradient, [0.0, 0.0]);
        }
        assert!((weights[0] - 1.0).abs() < 0.01 && (weights[1] - 0.5).abs() < 0.01, "{weights:?}");
        let before = weights.clone();
        adam.step(&mut weights, &mut [f32::NAN, 1.0], 0.01);
        assert_eq!(weights, before);
    }

    #[test]
    fn scores_become_weights_however_large_they_are() {
        let mut scores = [1e30, 1e30, -1e30];
        softmax(&mut scores);
        assert_eq!(scores[..2], [0.5, 0.5]);
        assert!(scores[2] < 1e-30);
    }
}
