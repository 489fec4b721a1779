//! Times as people and tables write them.

use super::UnixNanos;
use crate::{Error, ErrorKind, Result};

/// From which size on a number is taken for milliseconds, microseconds and nanoseconds, and how many of those make a
/// nanosecond: as seconds each would lie past the year 2286.
const SIZES: [(f64, f64); 3] = [(1e16, 1.0), (1e13, 1e3), (1e10, 1e6)];
const DAY_SECS: i64 = 86_400;

/// See [`UnixNanos::parse`].
pub(super) fn parse(text: &str) -> Result<UnixNanos> {
    let text = text.trim();
    let nanos = match text.parse::<f64>() {
        Ok(_) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => whole(text),
        Ok(number) => fraction(number),
        Err(_) => civil(text.as_bytes()),
    };
    let unknown =
        || Error::new(ErrorKind::Malformed, "time: neither a Unix time nor ISO 8601 from 1970 to 2554");
    nanos.map(UnixNanos).ok_or_else(unknown)
}

/// Digits alone are exact in any unit.
fn whole(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    let scale = match number {
        0..10_000_000_000 => 1_000_000_000,
        10_000_000_000..10_000_000_000_000 => 1_000_000,
        10_000_000_000_000..10_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    number.checked_mul(scale)
}

fn fraction(number: f64) -> Option<u64> {
    let scale = SIZES.iter().find(|(from, _)| number >= *from).map_or(1e9, |(_, scale)| *scale);
    let nanos = (number * scale).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    (0.0..1.8e19).contains(&nanos).then_some(nanos as u64)
}

/// `YYYY-MM-DD`, `T`, `t` or a space, `hh:mm[:ss[.fraction]]`, and `Z` or an offset where there is one.
fn civil(text: &[u8]) -> Option<u64> {
    let (year, rest) = digits(text, 4)?;
    let (month, rest) = digits(after(rest, b"-")?, 2)?;
    let (day, rest) = digits(after(rest, b"-")?, 2)?;
    let is_date = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    let mut secs = days_from_civil(year, month, day) * DAY_SECS;
    let (mut nanos, mut rest) = (0, rest);
    if !rest.is_empty() {
        let (hour, left) = digits(after(rest, b"Tt ")?, 2)?;
        let (minute, left) = digits(after(left, b":")?, 2)?;
        let (mut second, mut left) = (0, left);
        if let Some(from) = after(left, b":") {
            (second, left) = digits(from, 2)?;
            (nanos, left) = decimals(left)?;
        }
        // A leap second is told as the last of its minute, as Unix time does.
        let is_time = hour < 24 && minute < 60 && second <= 60;
        if !is_time {
            return None;
        }
        secs += hour * 3_600 + minute * 60 + second.min(59);
        secs -= offset(left)?;
        rest = &[];
    }
    let is_whole = rest.is_empty() && is_date;
    let secs = u64::try_from(secs).ok().filter(|_| is_whole)?;
    secs.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// `Z`, `+hh:mm`, `+hhmm` or `+hh`, in seconds east; nothing is UTC.
fn offset(text: &[u8]) -> Option<i64> {
    let sign = match text {
        [] | b"Z" | b"z" => return Some(0),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    let (hours, rest) = digits(text.get(1..)?, 2)?;
    let rest = after(rest, b":").unwrap_or(rest);
    let (minutes, rest) = if rest.is_empty() { (0, rest) } else { digits(rest, 2)? };
    (rest.is_empty() && hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn digits(text: &[u8], count: usize) -> Option<(i64, &[u8])> {
    let (head, rest) = text.split_at_checked(count)?;
    let number = head
        .iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))?;
    Some((number, rest))
}

/// A fraction of a second; digits past the ninth are left out.
fn decimals(text: &[u8]) -> Option<(u64, &[u8])> {
    let Some(from) = after(text, b".,") else { return Some((0, text)) };
    let count = from.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (head, rest) = from.split_at_checked(count)?;
    let padded = head.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    let nanos = padded.fold(0, |nanos, byte| nanos * 10 + u64::from(byte - b'0'));
    (count > 0).then_some((nanos, rest))
}

fn after<'a>(text: &'a [u8], any_of: &[u8]) -> Option<&'a [u8]> {
    let (first, rest) = text.split_first()?;
    any_of.contains(first).then_some(rest)
}

const fn days_of(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970 of a date in the Gregorian calendar (H. Hinnant, "chrono-compatible low-level date algorithms").
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the odd day comes last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn nanos(text: &str) -> Option<u64> {
        parse(text).ok().map(|time| time.0)
    }

    #[test]
    fn numbers_are_told_apart_by_size_and_keep_every_digit() {
        let same = ["1700000000", "1700000000000", "1700000000000000", "1700000000000000000", " 1.7e9 "];
        assert!(same.iter().all(|text| nanos(text) == Some(1_700_000_000_000_000_000)), "{same:?}");
        assert_eq!(nanos("1700000000123456789"), Some(1_700_000_000_123_456_789));
        assert_eq!(nanos("12.5"), Some(12_500_000_000));
        for refused in ["", "-1", "nan", "inf", "1e30", "99999999999999999999"] {
            assert_eq!(nanos(refused), None, "{refused}");
        }
    }

    #[test]
    fn dates_may_leave_out_what_is_nought() {
        let noon = Some(1_675_080_000_000_000_000);
        for text in [
            "2023-01-30T12:00:00Z",
            "2023-01-30 12:00",
            "2023-01-30t14:00:00.000+02:00",
            "2023-01-30T07:00-0500",
            "2023-01-30T11:00:00-01",
        ] {
            assert_eq!(nanos(text), noon, "{text}");
        }
        assert_eq!(nanos("2023-01-30"), Some(1_675_036_800_000_000_000));
        assert_eq!(nanos("1970-01-01T00:00:00.0000000019"), Some(1));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "yesterday",
            "2023-02-29",
            "2023-13-01",
            "2023-01-30T24:00",
            "2023-01-30T12:00:00 Z",
            "2023-01-30T12:00:00.Z",
            "2023-01-30T12",
            "1969-12-31T23:59:59Z",
            "2600-01-01",
            "2023-01-30T12:00+2",
            "2023-01-3ü",
        ] {
            assert_eq!(nanos(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_instant_reads_as_jiff_writes_it(at in 0..18_000_000_000_000_000_000_u64) {
            let written = Timestamp::from_nanosecond(i128::from(at)).unwrap().to_string();
            prop_assert_eq!(nanos(&written), Some(at));
        }

        #[test]
        fn any_text_is_a_time_or_refused(text in "\\PC{0,40}|[0-9TZ:+., -]{0,32}") {
            let _ = parse(&text);
        }
    }
}
