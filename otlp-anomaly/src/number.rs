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
    fn the_gamma_function_is_known() {
        for (x, wanted) in
            [(0.5, 0.572_364_942_924_700_1), (1.0, 0.0), (5.0, 24.0_f64.ln()), (30.0, 71.257_038_967_168_01)]
        {
            assert!((ln_gamma(x) - wanted).abs() < 1e-10, "{x}: {} for {wanted}", ln_gamma(x));
        }
    }
}
