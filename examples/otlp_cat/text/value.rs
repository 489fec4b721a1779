//! Values, times and lengths of time as text.

use std::borrow::Cow;
use std::time::Duration;

use otlp_core::UnixNanos;
use otlp_core::record::{AnyValue, KeyValue};

/// More bytes of a value are not shown.
const MOST_BYTES: usize = 32;

/// A value on one line.
pub(super) fn one_line(value: &AnyValue) -> String {
    match value {
        AnyValue::Empty => "-".into(),
        AnyValue::String(text) => quoted(text).into_owned(),
        AnyValue::Bool(value) => value.to_string(),
        AnyValue::Int(value) => value.to_string(),
        AnyValue::Double(value) => format!("{value:?}"),
        AnyValue::Array(values) => {
            format!("[{}]", values.iter().map(one_line).collect::<Vec<_>>().join(", "))
        }
        AnyValue::KvList(entries) => format!("{{{}}}", pairs(entries)),
        AnyValue::Bytes(bytes) => hex(bytes),
        AnyValue::StringIndex(index) => format!("string {index}"),
        _ => "?".into(),
    }
}

/// Attributes on one line.
pub(super) fn pairs(attributes: &[KeyValue]) -> String {
    let pair = |pair: &KeyValue| format!("{}={}", quoted(&pair.key), one_line(&pair.value));
    attributes.iter().map(pair).collect::<Vec<_>>().join(" ")
}

/// A text as it is, or in quotes where it is empty or would spoil the page or the terminal.
pub(super) fn quoted(text: &str) -> Cow<'_, str> {
    let is_plain = !text.is_empty() && text.trim() == text && !text.chars().any(char::is_control);
    if is_plain {
        text.into()
    } else if text.is_empty() {
        "".into()
    } else {
        format!("{text:?}").into()
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().take(MOST_BYTES).map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > MOST_BYTES {
        format!("0x{digits}.. ({} bytes)", bytes.len())
    } else {
        format!("0x{digits}")
    }
}

/// RFC 3339 in UTC, with as many decimals as say something, in threes; `-` for "not known".
pub(super) fn time(at: UnixNanos) -> String {
    if at == UnixNanos::ZERO {
        return "-".into();
    }
    let (seconds, nanos) = (at.0 / 1_000_000_000, at.0 % 1_000_000_000);
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let decimals = match nanos {
        _ if nanos.is_multiple_of(1_000_000) => format!("{:03}", nanos / 1_000_000),
        _ if nanos.is_multiple_of(1000) => format!("{:06}", nanos / 1000),
        _ => format!("{nanos:09}"),
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{decimals}Z")
}

/// Year, month and day of a count of days since 1970 (Hinnant, `civil_from_days`).
const fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + (month <= 2) as u64, month, day - (153 * shifted + 2) / 5 + 1)
}

/// A length of time in the unit that gives one to three digits before the point.
pub(super) fn length(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let shown = |unit: f64, name: &str| {
        let value = nanos as f64 / unit;
        let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
        format!("{value:.decimals$} {name}")
    };
    match nanos {
        0..1000 => format!("{nanos} ns"),
        1000..1_000_000 => shown(1e3, "µs"),
        1_000_000..1_000_000_000 => shown(1e6, "ms"),
        _ => shown(1e9, "s"),
    }
}
