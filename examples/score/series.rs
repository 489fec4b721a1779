//! Time series in CSV.

use otlp_core::UnixNanos;

/// One point. A value that is no number is kept as one: the detector counts it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    /// The time as it stands in the file.
    pub(crate) text: String,
    pub(crate) time: UnixNanos,
    pub(crate) value: f64,
}

/// Why a file is no series.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Its header is another.
    Header,
    /// A line, counted from 1, that has no time where one should be.
    Time(usize),
    /// A line without a value.
    Value(usize),
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Header => f.write_str("header is not timestamp,value"),
            Self::Time(line) => write!(f, "line {line}: no timestamp in ISO 8601 or Unix seconds"),
            Self::Value(line) => write!(f, "line {line}: no value"),
        }
    }
}

impl std::error::Error for Unreadable {}

/// Reads a file of `timestamp,value`.
///
/// # Errors
/// Where the header is another, a time cannot be read or a value is missing.
pub(crate) fn read(text: &str) -> Result<Vec<Point>, Unreadable> {
    let mut lines = text.lines().enumerate();
    let header = lines.next().map_or("", |(_, header)| header.trim_start_matches('\u{feff}').trim());
    if header != "timestamp,value" {
        return Err(Unreadable::Header);
    }
    let mut points = Vec::new();
    for (index, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let (text, value) = line.trim().split_once(',').ok_or(Unreadable::Value(index + 1))?;
        let text = text.trim_matches('"');
        let time = UnixNanos::parse(text).map_err(|_| Unreadable::Time(index + 1))?;
        // An empty field or a word is a gap in the measurement, not in the file.
        let value = value.trim().parse().unwrap_or(f64::NAN);
        points.push(Point { text: text.to_owned(), time, value });
    }
    Ok(points)
}
