//! Counts to doubles, where the workspace wants every lossy cast named.

/// Counts stay far below 2^53, where every whole number has its double.
#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
pub(crate) const fn to_f64(count: u64) -> f64 {
    count as f64
}

/// The whole part of a rank or an index; negative and not-a-number become zero.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, which is what is wanted"
)]
pub(crate) const fn floor(value: f64) -> u64 {
    value as u64
}

/// A share of a whole that may be nothing.
pub(crate) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// How many there are of something in memory.
pub(crate) fn of_len(len: usize) -> f64 {
    to_f64(u64::try_from(len).unwrap_or(u64::MAX))
}

/// The sum over values, four at a time: an addition need not wait for the one before.
#[inline]
pub(crate) fn lanes(values: &[f64], of: impl Fn(f64) -> f64) -> f64 {
    let (fours, rest) = values.as_chunks::<4>();
    let mut lanes = [0.0; 4];
    for four in fours {
        lanes.iter_mut().zip(four).for_each(|(lane, value)| *lane += of(*value));
    }
    let rest: f64 = rest.iter().map(|value| of(*value)).sum();
    let [a, b, c, d] = lanes;
    (a + b) + (c + d) + rest
}

/// The largest of values that are no less than zero, likewise; zero of none.
#[inline]
pub(crate) fn largest(values: &[f64]) -> f64 {
    let larger = |one: f64, other: f64| if other > one { other } else { one };
    let (fours, rest) = values.as_chunks::<4>();
    let mut lanes = [0.0; 4];
    for four in fours {
        lanes.iter_mut().zip(four).for_each(|(lane, value)| *lane = larger(*lane, *value));
    }
    lanes.iter().chain(rest).fold(0.0, |most, value| larger(most, *value))
}

/// The logarithm of the gamma function above zero, to 1e-12 (J. Stirling's series, after moving the argument to eight and more).
pub(crate) fn ln_gamma(mut x: f64) -> f64 {
    let mut below = 0.0;
    while x < 8.0 {
        below += x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series = inverse
        * (1.0 / 12.0
            - square
                * (1.0 / 360.0 - square * (1.0 / 1_260.0 - square * (1.0 / 1_680.0 - square / 1_188.0))));
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series - below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_largest_values_are_those_of_one_after_the_other() {
        let values: Vec<f64> = (0..23_u32).map(|at| f64::from(at * 7 % 23)).collect();
        for end in 0..=values.len() {
            let values = &values[..end];
            assert!((lanes(values, |value| 2.0 * value) - 2.0 * values.iter().sum::<f64>()).abs() < 1e-9);
            let most = values.iter().copied().fold(0.0, f64::max);
            assert_eq!(largest(values).to_bits(), most.to_bits());
        }
    }

    #[test]
    fn the_gamma_function_is_known() {
        for (x, wanted) in
            [(0.5, 0.572_364_942_924_700_1), (1.0, 0.0), (5.0, 24.0_f64.ln()), (30.0, 71.257_038_967_168_01)]
        {
            assert!((ln_gamma(x) - wanted).abs() < 1e-10, "{x}: {} for {wanted}", ln_gamma(x));
        }
    }
}
