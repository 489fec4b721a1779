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
