//! Times as they stand in tables.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use otlp_core::UnixNanos;

/// A time in Unix seconds, milliseconds, microseconds or nanoseconds, told apart by size, or in ISO 8601, as UTC
/// where it has no offset.
pub(crate) fn parse(text: &str) -> Option<UnixNanos> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        let to_nanos = [(1e16, 1.0), (1e13, 1e3), (1e10, 1e6)].iter().find(|(from, _)| number >= *from);
        let nanos = (number * to_nanos.map_or(1e9, |(_, factor)| *factor)).round();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
        return (0.0..1.8e19).contains(&nanos).then_some(UnixNanos(nanos as u64));
    }
    let timestamp = text.parse::<Timestamp>().ok().or_else(|| {
        let civil = text.parse::<DateTime>().ok()?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })?;
    u64::try_from(timestamp.as_nanosecond()).ok().map(UnixNanos)
}
