//! When to try again: exponential backoff and `Retry-After`.

use std::time::Duration;

use crate::UnixNanos;
use crate::error::{Error, ErrorKind};

/// Exponential backoff with jitter: each wait is between half and all of a bound that doubles with
/// every attempt ("equal jitter"), so that clients that failed together do not come back together.
///
/// ```
/// use std::time::Duration;
/// use otlp_core::protocol::retry::Backoff;
/// let backoff = Backoff { initial: Duration::from_millis(100), max: Duration::from_secs(5) };
/// assert!(backoff.wait(1, u64::MAX) <= backoff.initial);
/// assert!(backoff.wait(50, u64::MAX) <= backoff.max);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Backoff {
    /// The bound after the first attempt.
    pub initial: Duration,
    /// Where the bound stops doubling.
    pub max: Duration,
}

impl Default for Backoff {
    /// One second, up to thirty.
    fn default() -> Self {
        Self { initial: Duration::from_secs(1), max: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// How long to wait after attempt number `attempt`, the first being 1. `jitter` is any number,
    /// evenly distributed: zero gives the shortest wait, `u64::MAX` the longest.
    ///
    /// ```
    /// use std::time::Duration;
    /// use otlp_core::protocol::retry::Backoff;
    /// let backoff = Backoff::default();
    /// assert_eq!(backoff.wait(1, 0), Duration::from_millis(500));
    /// assert_eq!(backoff.wait(3, 0), Duration::from_secs(2));
    /// assert_eq!(backoff.wait(99, 0), Duration::from_secs(15));
    /// ```
    #[must_use]
    pub fn wait(&self, attempt: u32, jitter: u64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(63);
        let bound = nanos(self.initial).saturating_mul(1 << doublings).min(nanos(self.max));
        let half = bound / 2;
        // The high word of a 64 x 64 bit product: `half * jitter / 2^64`, which is below `half`.
        let share = (u128::from(bound - half) * u128::from(jitter)) >> 64;
        Duration::from_nanos(half + u64::try_from(share).unwrap_or(half))
    }
}

/// Reads the value of a `Retry-After` header as the time to wait from `now`: whole seconds, or an
/// HTTP-date in any of its three forms (RFC 9110 §5.6.7 and §10.2.3). A date that has passed is zero.
///
/// ```
/// use std::time::Duration;
/// use otlp_core::UnixNanos;
/// use otlp_core::protocol::retry::parse_retry_after;
/// let now = UnixNanos::from_secs(784_111_770);
/// assert_eq!(parse_retry_after("120", now)?, Duration::from_secs(120));
/// assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now)?, Duration::from_secs(7));
/// # Ok::<(), otlp_core::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Malformed`] where the value is neither.
pub fn parse_retry_after(value: &str, now: UnixNanos) -> Result<Duration, Error> {
    let value = value.trim_matches([' ', '\t']);
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than 64 bits hold: as good as for ever.
        return Ok(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    parse_http_date(value, now).map(|at| at.duration_since(now)).ok_or_else(|| {
        let message = format!("retry-after: expected seconds or an http-date, met {} bytes", value.len());
        Error::new(ErrorKind::Malformed, message)
    })
}

const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Year, month and day, still as text, and the time of day.
struct Date<'a> {
    year: i64,
    month: &'a str,
    day: &'a str,
    time: &'a str,
}

fn parse_http_date(value: &str, now: UnixNanos) -> Option<UnixNanos> {
    let date = match value.split_once(", ") {
        // IMF-fixdate, "Sun, 06 Nov 1994 08:49:37 GMT"
        Some((day_name, rest)) if is_day(day_name, 3) => {
            let [day, month, year, time, "GMT"] = words(rest)? else { return None };
            Date { year: number(year, 4)?, month, day, time }
        }
        // RFC 850, "Sunday, 06-Nov-94 08:49:37 GMT"
        Some((day_name, rest)) if is_day(day_name, usize::MAX) => {
            let [date, time, "GMT"] = words(rest)? else { return None };
            let mut parts = date.split('-');
            let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
            if parts.next().is_some() {
                return None;
            }
            Date { year: full_year(number(year, 2)?, now), month, day, time }
        }
        Some(_) => return None,
        None => asctime(value)?,
    };
    date.to_unix()
}

/// "Sun Nov  6 08:49:37 1994": the day takes two places, the first of them a space below ten.
fn asctime(value: &str) -> Option<Date<'_>> {
    let (day_name, rest) = value.split_once(' ')?;
    let (month, rest) = rest.split_once(' ')?;
    let (day, rest) = rest.split_at_checked(2)?;
    let [time, year] = words(rest.strip_prefix(' ')?)?;
    is_day(day_name, 3).then_some(Date { year: number(year, 4)?, month, day: day.trim_start(), time })
}

impl Date<'_> {
    fn to_unix(&self) -> Option<UnixNanos> {
        let month = MONTHS.iter().position(|&name| name == self.month)?;
        let month = i64::try_from(month).ok()? + 1;
        let day = number(self.day, self.day.len().clamp(1, 2))?;
        if !(1..=days_of(self.year, month)).contains(&day) {
            return None;
        }
        let mut parts = self.time.split(':').map(|part| number(part, 2));
        let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
        // 60 is a leap second.
        if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let seconds = days_from_epoch(self.year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
        // Before 1970 is the past, whenever now is.
        Some(UnixNanos::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }
}

/// Exactly `N` words with one space between.
fn words<const N: usize>(text: &str) -> Option<[&str; N]> {
    let mut found = [""; N];
    let mut parts = text.split(' ');
    for slot in &mut found {
        *slot = parts.next()?;
    }
    parts.next().is_none().then_some(found)
}

/// True for a day's name: its first `len` letters, or all where `len` is more than it has.
fn is_day(text: &str, len: usize) -> bool {
    DAYS.iter().any(|day| day.get(..len).unwrap_or(day) == text)
}

/// A number of exactly `digits` decimal digits.
fn number(text: &str, digits: usize) -> Option<i64> {
    let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// A year of two digits is the one within 50 years ahead of now, else the latest past one (RFC 9110).
fn full_year(two_digits: i64, now: UnixNanos) -> i64 {
    // 400 years have 146,097 days, to the second exactly.
    let this_year = 1970 + i64::try_from(now.0 / 1_000_000_000 / 86_400).unwrap_or(0) * 400 / 146_097;
    let year = this_year - this_year.rem_euclid(100) + two_digits;
    if year > this_year + 50 {
        year - 100
    } else if year <= this_year - 50 {
        year + 100
    } else {
        year
    }
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar. Years are counted from March, so that the
/// leap day is the last of its year.
const fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 0000-03-01 is day -719,468.
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
