//! Log lines on disk, as services write them.

use std::fmt::{Display, Write as _};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use otlp_core::time::{Clock as _, SystemClock};
use otlp_core::{Error, ErrorKind, UnixNanos};

use super::role::Role;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Every step.
    Debug,
    /// What happened.
    Info,
    /// Degraded, still correct.
    Warn,
    /// Something was not done.
    Error,
}

/// A `key=value` pair of a line.
pub(crate) type Field<'a> = (&'a str, &'a dyn Display);

/// The log file of one service: one `write` a line, so that a killed service loses no line it finished.
#[derive(Debug)]
pub(crate) struct Log {
    service: Role,
    file: File,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

impl Log {
    /// Begins an empty file at `path`.
    pub(crate) fn create(path: &Path, service: Role) -> Result<Self, Error> {
        let truncated = File::create(path).and_then(|_| File::options().append(true).open(path));
        let file = truncated.map_err(|source| {
            Error::new(ErrorKind::Io, format!("log of {service}: cannot create")).with_source(source)
        })?;
        Ok(Self { service, file })
    }

    /// Writes a debug line.
    pub(crate) fn debug(&self, message: &str, fields: &[Field<'_>]) {
        self.write(Level::Debug, message, fields);
    }

    /// Writes an info line.
    pub(crate) fn info(&self, message: &str, fields: &[Field<'_>]) {
        self.write(Level::Info, message, fields);
    }

    /// Writes a warning.
    pub(crate) fn warn(&self, message: &str, fields: &[Field<'_>]) {
        self.write(Level::Warn, message, fields);
    }

    /// Writes an error.
    pub(crate) fn error(&self, message: &str, fields: &[Field<'_>]) {
        self.write(Level::Error, message, fields);
    }

    fn write(&self, level: Level, message: &str, fields: &[Field<'_>]) {
        let line = line(SystemClock.now(), level, self.service, message, fields);
        // A full disk must not stop the shop; the missing lines show in the file itself.
        let _ = (&self.file).write_all(line.as_bytes());
    }
}

/// `2026-11-22T10:11:12.123Z LEVEL service message key=value ...` and a line feed.
fn line(now: UnixNanos, level: Level, service: Role, message: &str, fields: &[Field<'_>]) -> String {
    let mut line = String::with_capacity(160);
    push_time(&mut line, now);
    let _ = write!(line, " {} {service} {message}", level.name());
    for (key, value) in fields {
        let start = line.len() + key.len() + 2;
        let _ = write!(line, " {key}={value}");
        quote_from(&mut line, start);
    }
    line.push('\n');
    line
}

/// Puts the value that begins at `start` in quotes where it holds a space, and keeps it on the line.
fn quote_from(line: &mut String, start: usize) {
    let value = line.get(start..).unwrap_or_default();
    let plain = |byte: u8| !byte.is_ascii_whitespace() && byte != b'"';
    if !value.is_empty() && value.bytes().all(plain) {
        return;
    }
    let quoted = value.replace('"', "'").replace(['\n', '\r'], " ");
    line.truncate(start);
    let _ = write!(line, "\"{quoted}\"");
}

/// RFC 3339 in UTC with milliseconds; days to dates by Hinnant's `civil_from_days`.
fn push_time(line: &mut String, now: UnixNanos) {
    let millis = now.0 / 1_000_000;
    let (days, of_day) = (millis / 86_400_000, millis % 86_400_000);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, milli) = (of_day / 1_000 % 60, of_day % 1_000);
    let _ = write!(line, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_time_level_service_message_and_pairs() {
        // 2026-11-22T10:11:12.123456789Z
        let now = UnixNanos(1_795_342_272_123_456_789);
        let text = line(now, Level::Warn, Role::Db, "index lost", &[("rows", &48_213), ("table", &"orders")]);
        assert_eq!(text, "2026-11-22T10:11:12.123Z WARN db index lost rows=48213 table=orders\n");
    }

    #[test]
    fn values_with_spaces_are_quoted_and_stay_on_their_line() {
        let fields: &[Field<'_>] = &[("error", &"no \"such\"\nrow"), ("empty", &""), ("plain", &1)];
        let text = line(UnixNanos::ZERO, Level::Error, Role::Order, "failed", fields);
        let expected =
            "1970-01-01T00:00:00.000Z ERROR order failed error=\"no 'such' row\" empty=\"\" plain=1\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn dates_are_right_around_leap_days_and_new_year() {
        for (seconds, date) in [
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_164_799, "2024-02-28T23:59:59.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (1_767_225_599, "2025-12-31T23:59:59.000Z"),
            (1_767_225_600, "2026-01-01T00:00:00.000Z"),
        ] {
            let mut text = String::new();
            push_time(&mut text, UnixNanos::from_secs(seconds));
            assert_eq!(text, date);
        }
    }
}
