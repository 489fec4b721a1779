//! One raw line: when it was written, how grave it is, by whom, and what it says.

use std::borrow::Cow;

use otlp_core::record::SeverityNumber;
use otlp_core::{UnixNanos, semconv};

use crate::limits::Limits;

/// A log line taken apart as far as it can be recognised; what is not recognised stays in the message.
///
/// Recognised at the front, in any order, with or without brackets: a time as in ISO 8601 (`T` or a
/// space, fraction after `.` or `,`, `Z` or an offset, without one UTC) or seconds or milliseconds
/// since 1970; a level; the name of the service where the caller knows it. And the same as `time=`,
/// `level=`, `service=` and their usual variants. Bytes that are not UTF-8 are replaced by U+FFFD.
///
/// ```
/// use otlp_logai::{Limits, Line};
/// use otlp_core::record::SeverityNumber;
/// let raw = b"2026-11-22T10:11:12.123Z WARN payment charge declined amount=1299";
/// let line = Line::parse(raw, Some("payment"), &Limits::default());
/// assert_eq!(line.severity(), SeverityNumber::WARN);
/// assert_eq!(line.service(), Some("payment"));
/// assert_eq!(line.message(), "charge declined amount=1299");
/// assert_eq!(line.time().map(|time| time.to_string()).as_deref(), Some("1795342272.123000000"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Line<'a> {
    text: Cow<'a, str>,
    time: Option<UnixNanos>,
    severity: SeverityNumber,
    service: Option<(usize, usize)>,
    message: usize,
    is_cut: bool,
}

/// Words at the front that are looked at: time, level, service, thread and the like.
const HEADER_WORDS: usize = 6;

impl<'a> Line<'a> {
    /// Takes a line apart; `service` is who wrote it, where the caller knows. Never fails.
    ///
    /// Costs one pass over the header, and one over the line for UTF-8.
    #[must_use]
    pub fn parse(bytes: &'a [u8], service: Option<&str>, limits: &Limits) -> Self {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let kept = bytes.get(..limits.line_bytes()).unwrap_or(bytes);
        let text = String::from_utf8_lossy(kept);
        let mut line = Self {
            text: Cow::Borrowed(""),
            time: None,
            severity: SeverityNumber::UNSPECIFIED,
            service: None,
            message: 0,
            is_cut: kept.len() < bytes.len(),
        };
        line.header(&text, service);
        line.text = text;
        line
    }

    /// The whole line, cut at the bound.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// When it was written, where it says so.
    #[must_use]
    pub fn time(&self) -> Option<UnixNanos> {
        self.time
    }

    /// How grave it is; unspecified where it does not say.
    #[must_use]
    pub fn severity(&self) -> SeverityNumber {
        self.severity
    }

    /// Who wrote it, where the line says so.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        let (start, end) = self.service?;
        self.text.get(start..end)
    }

    /// What it says: the line without what was recognised at its front.
    #[must_use]
    pub fn message(&self) -> &str {
        self.text.get(self.message..).unwrap_or_default()
    }

    /// True where the line was longer than the bound.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    fn header(&mut self, text: &str, service: Option<&str>) {
        let mut at = 0;
        for _ in 0..HEADER_WORDS {
            let rest = text.get(at..).unwrap_or_default();
            let skipped = rest.len() - rest.trim_start_matches([' ', '\t', '-', '|']).len();
            // A dash belongs to the message unless something was recognised before it.
            let skipped = if at == 0 { rest.len() - rest.trim_start().len() } else { skipped };
            let start = at + skipped;
            let rest = text.get(start..).unwrap_or_default();
            let Some(len) = self.recognise(rest, start, service) else { break };
            at = start + len;
        }
        let rest = text.get(at..).unwrap_or_default();
        let rest = rest.trim_start_matches([' ', '\t', '|']);
        let rest = rest.strip_prefix("- ").filter(|_| at > 0).unwrap_or(rest);
        self.message = text.len() - rest.len();
    }

    /// The length of the header part at the front of `rest`, which lies at `start` of the line.
    fn recognise(&mut self, rest: &str, start: usize, service: Option<&str>) -> Option<usize> {
        if self.time.is_none()
            && let Some((time, len)) = leading_time(rest)
        {
            self.time = Some(time);
            return Some(len);
        }
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let word = rest.get(..end)?;
        if let Some((key, value)) = word.split_once('=') {
            return self.recognise_pair(key, value, rest, start);
        }
        let bare = word.trim_matches(['[', ']', '(', ')', ':', '<', '>', ',']);
        if self.severity == SeverityNumber::UNSPECIFIED
            && let Some(level) = level(bare)
        {
            self.severity = level;
            return Some(end);
        }
        if self.service.is_none() && !bare.is_empty() && service == Some(bare) {
            let at = start + word.find(bare)?;
            self.service = Some((at, at + bare.len()));
            return Some(end);
        }
        None
    }

    fn recognise_pair(&mut self, key: &str, value: &str, rest: &str, start: usize) -> Option<usize> {
        let value_at = key.len() + 1;
        let quoted = usize::from(value.starts_with('"'));
        let bare = value.trim_matches('"');
        let end = value_at + value.len();
        match key {
            "time" | "ts" | "timestamp" | "@timestamp" if self.time.is_none() => {
                let (time, len) = leading_time(rest.get(value_at + quoted..)?)?;
                self.time = Some(time);
                Some((value_at + 2 * quoted + len).min(rest.len()))
            }
            "level" | "lvl" | "severity" => {
                self.severity = level(bare)?;
                Some(end)
            }
            "service" | semconv::SERVICE_NAME | "svc" if !bare.is_empty() => {
                let at = start + value_at + quoted;
                self.service = Some((at, at + bare.len()));
                Some(end)
            }
            _ => None,
        }
    }
}

fn level(word: &str) -> Option<SeverityNumber> {
    const LEVELS: [(&str, SeverityNumber); 15] = [
        ("trace", SeverityNumber::TRACE),
        ("debug", SeverityNumber::DEBUG),
        ("info", SeverityNumber::INFO),
        ("information", SeverityNumber::INFO),
        ("notice", SeverityNumber(10)),
        ("warn", SeverityNumber::WARN),
        ("warning", SeverityNumber::WARN),
        ("error", SeverityNumber::ERROR),
        ("err", SeverityNumber::ERROR),
        ("severe", SeverityNumber::ERROR),
        ("crit", SeverityNumber(18)),
        ("critical", SeverityNumber(18)),
        ("alert", SeverityNumber(19)),
        ("fatal", SeverityNumber::FATAL),
        ("panic", SeverityNumber::FATAL),
    ];
    let found = LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
    found.map(|(_, level)| *level)
}

/// The time at the front, in brackets or not, and its length with them.
fn leading_time(text: &str) -> Option<(UnixNanos, usize)> {
    let opening = usize::from(text.starts_with(['[', '(']));
    let inner = text.get(opening..)?;
    let (time, len) = calendar_time(inner).or_else(|| epoch_time(inner))?;
    let after = inner.get(len..)?;
    let closing = usize::from(after.starts_with([']', ')', ':']));
    let ends = after.get(closing..)?.chars().next().is_none_or(|ch| ch.is_whitespace() || ch == '"');
    ends.then_some((time, opening + len + closing))
}

/// Ten digits of seconds, with a fraction or not, or thirteen of milliseconds.
fn epoch_time(text: &str) -> Option<(UnixNanos, usize)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let whole: u64 = text.get(..digits)?.parse().ok()?;
    match digits {
        13 => Some((UnixNanos::from_millis(whole), 13)),
        10 => {
            let (nanos, len) = fraction(text.get(10..)?);
            Some((UnixNanos(UnixNanos::from_secs(whole).0.saturating_add(nanos)), 10 + len))
        }
        _ => None,
    }
}

/// `2026-11-22T10:11:12.123Z` and its variants: the date and time are core's to judge, what follows is found here, as a
/// line goes on behind it.
fn calendar_time(text: &str) -> Option<(UnixNanos, usize)> {
    let mut plain: [u8; SECONDS] = *text.as_bytes().first_chunk()?;
    for (at, marks, written) in [(4, &b"-/"[..], b'-'), (7, b"-/", b'-'), (10, b"T _", b'T')] {
        let met = plain.get_mut(at).filter(|met| marks.contains(met))?;
        *met = written;
    }
    // Without seconds core would read it too, but not as many bytes of it.
    if plain.get(16) != Some(&b':') {
        return None;
    }
    let local = UnixNanos::parse(std::str::from_utf8(&plain).ok()?).ok()?;
    let (nanos, fraction_len) = fraction(text.get(SECONDS..)?);
    let (offset, offset_len) = zone(text.get(SECONDS + fraction_len..)?);
    let time = i128::from(local.0) + i128::from(nanos) - i128::from(offset) * 1_000_000_000;
    Some((UnixNanos(u64::try_from(time).ok()?), SECONDS + fraction_len + offset_len))
}

/// Bytes of `2026-11-22T10:11:12`.
const SECONDS: usize = 19;

/// Nanoseconds of `.123` or `,123`, and the length.
fn fraction(text: &str) -> (u64, usize) {
    if !text.starts_with(['.', ',']) {
        return (0, 0);
    }
    let digits = text.bytes().skip(1).take_while(u8::is_ascii_digit);
    let (mut nanos, mut scale, mut len) = (0_u64, 100_000_000_u64, 0);
    for digit in digits {
        nanos += u64::from(digit - b'0') * scale;
        scale /= 10;
        len += 1;
    }
    if len == 0 { (0, 0) } else { (nanos, len + 1) }
}

/// Seconds east of Greenwich of `Z`, `+01:00`, `-0500`, and the length.
fn zone(text: &str) -> (i64, usize) {
    let bytes = text.as_bytes();
    let sign = match bytes.first() {
        Some(b'Z' | b'z') => return (0, 1),
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return (0, 0),
    };
    let colon = usize::from(bytes.get(3) == Some(&b':'));
    let two = |from: usize| text.get(from..from + 2).filter(|_| text.is_char_boundary(from));
    let parse = |digits: Option<&str>| digits.and_then(|digits| digits.parse::<u8>().ok()).map(i64::from);
    match (parse(two(1)), parse(two(3 + colon))) {
        (Some(hours), Some(minutes)) => (sign * (hours * 3600 + minutes * 60), 5 + colon),
        _ => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(raw: &str) -> (Option<String>, &'static str, Option<String>, String) {
        let line = Line::parse(raw.as_bytes(), Some("payment"), &Limits::default());
        let time = line.time().map(|time| time.to_string());
        (time, line.severity().name(), line.service().map(str::to_owned), line.message().to_owned())
    }

    #[test]
    fn headers_of_common_formats_are_taken_off() {
        let time = |text: &str| Some(text.to_owned());
        let service = Some("payment".to_owned());
        for (raw, expected_time, level, from, message) in [
            (
                "2026-11-22T10:11:12.123Z WARN payment request_id=4f ok",
                time("1795342272.123000000"),
                "WARN",
                true,
                "request_id=4f ok",
            ),
            (
                "[2026-11-22 11:11:12,5+01:00] [ERROR] payment: failed",
                time("1795342272.500000000"),
                "ERROR",
                true,
                "failed",
            ),
            ("2026-11-22 10:11:12 - payment - INFO - up", time("1795342272.000000000"), "INFO", true, "up"),
            (
                "time=\"2026-11-22T10:11:12Z\" level=warning service=payment msg=x",
                time("1795342272.000000000"),
                "WARN",
                true,
                "msg=x",
            ),
            ("1795342272.25 fatal: out", time("1795342272.250000000"), "FATAL", false, "out"),
            ("1795342272123 debug x", time("1795342272.123000000"), "DEBUG", false, "x"),
            ("error reading payment", None, "ERROR", false, "reading payment"),
            ("- nothing known - here", None, "UNSPECIFIED", false, "- nothing known - here"),
            ("2026-13-22T10:11:12Z x", None, "UNSPECIFIED", false, "2026-13-22T10:11:12Z x"),
            ("", None, "UNSPECIFIED", false, ""),
        ] {
            let expected = (expected_time, level, service.clone().filter(|_| from), message.to_owned());
            assert_eq!(parse(raw), expected, "{raw}");
        }
    }

    #[test]
    fn lines_that_are_not_text_or_too_long_are_kept_as_far_as_they_go() {
        let line = Line::parse(b"a\xffb\0c\r\n", None, &Limits::default());
        assert_eq!(line.message(), "a\u{fffd}b\0c");
        let limits = Limits::default().max_line_bytes(4);
        let line = Line::parse("ab\u{e9}\u{e9}".as_bytes(), None, &limits);
        assert!(line.is_cut());
        assert_eq!(line.text(), "ab\u{e9}");
    }

    #[test]
    fn dates_are_those_of_core_and_one_that_is_none_stays_in_the_message() {
        let nanos = |text: &str| UnixNanos::parse(text).unwrap().to_string();
        for (raw, same) in [
            ("2000-02-29 00:00:00 up", "2000-02-29T00:00:00Z"),
            ("2026/11/22_10:11:12 up", "2026-11-22T10:11:12Z"),
            ("1970-01-01T01:00:00.5+01:00 up", "0.5"),
            ("2026-11-22T23:59:60Z up", "2026-11-22T23:59:59Z"),
            ("2026-11-22T10:11:12.123456789-05:30 up", "2026-11-22T10:11:12.123456789-05:30"),
        ] {
            let (time, _, _, message) = parse(raw);
            assert_eq!((time, message.as_str()), (Some(nanos(same)), "up"), "{raw}");
        }
        for raw in [
            "2026-02-30T10:11:12Z up",
            "1970-01-01T00:00:00+01:00 up",
            "2026-11-22T10:11 up",
            "2026-11-22T1é:1:12 up",
        ] {
            let (time, _, _, message) = parse(raw);
            assert_eq!((time, message.as_str()), (None, raw));
        }
    }
}
