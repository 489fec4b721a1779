//! How numbers, times and names are written, on the page and in the terminal alike.
//!
//! Numbers are joined to their units and grouped by a narrow no-break space, so that none breaks over a line.

/// Narrow no-break space.
pub(crate) const THIN: char = '\u{202f}';

/// What is written where there is no value.
pub(crate) const MISSING: &str = "–";

const SECS_PER_DAY: u64 = 86_400;

/// A latency given in milliseconds, three significant digits: `350 µs`, `3.10 ms`, `1.82 s`.
pub(crate) fn millis(ms: f64) -> String {
    let size = ms.abs();
    let (value, unit) = match size {
        _ if !ms.is_finite() => return MISSING.to_owned(),
        0.0 => (0.0, "ms"),
        _ if size < 0.9995 => (ms * 1e3, "µs"),
        _ if size < 999.5 => (ms, "ms"),
        _ => (ms / 1e3, "s"),
    };
    format!("{}{THIN}{unit}", three_digits(value))
}

/// A duration in seconds: `0.25 s`, `1.4 s`, `40 s`.
pub(crate) fn secs(secs: f64) -> String {
    if !secs.is_finite() {
        return MISSING.to_owned();
    }
    let decimals = match secs.abs() {
        size if size.fract() == 0.0 => 0,
        size if size < 1.0 => 2,
        _ => 1,
    };
    format!("{}{THIN}s", minus(format!("{secs:.decimals$}")))
}

/// A moment relative to another: `+4 s`, `−10 s`, `0 s`.
pub(crate) fn offset(offset_secs: f64) -> String {
    let sign = if offset_secs > 0.0 { "+" } else { "" };
    format!("{sign}{}", secs(offset_secs))
}

/// A share as percent: `0 %`, `0.31 %`, `2.4 %`, `71 %`, `<0.01 %`.
pub(crate) fn share(share: f64) -> String {
    let percent = share * 100.0;
    let text = match percent.abs() {
        _ if !percent.is_finite() => return MISSING.to_owned(),
        0.0 => "0".to_owned(),
        size if size < 0.01 => "<0.01".to_owned(),
        size if size < 0.995 => format!("{percent:.2}"),
        size if size < 9.95 => format!("{percent:.1}"),
        _ => format!("{percent:.0}"),
    };
    format!("{}{THIN}%", minus(text))
}

/// Events a second: `200 /s`.
pub(crate) fn rate(per_sec: f64) -> String {
    if !per_sec.is_finite() {
        return MISSING.to_owned();
    }
    format!("{}{THIN}/s", three_digits(per_sec))
}

/// A plain number between 0 and 1 with two decimals: `0.81`.
pub(crate) fn score(score: f64) -> String {
    if score.is_finite() { minus(format!("{score:.2}")) } else { MISSING.to_owned() }
}

/// A multiple: `4.2 ×`.
pub(crate) fn times(factor: f64) -> String {
    if factor.is_finite() { format!("{}{THIN}×", three_digits(factor)) } else { MISSING.to_owned() }
}

/// A count in groups of three: `12 345`.
pub(crate) fn count(count: u64) -> String {
    grouped(&count.to_string())
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 * THIN.len_utf8());
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(THIN);
        }
        text.push(digit);
    }
    text
}

/// A size in bytes, decimal units: `812 B`, `4.21 MB`.
pub(crate) fn bytes(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes}{THIN}B");
    }
    let mut value = float(bytes);
    let mut unit = "B";
    for larger in ["kB", "MB", "GB", "TB", "PB", "EB"] {
        if value < 999.5 {
            break;
        }
        value /= 1e3;
        unit = larger;
    }
    format!("{}{THIN}{unit}", three_digits(value))
}

/// A place in a ranking: `1st`, `2nd`, `11th`.
pub(crate) fn ordinal(place: u32) -> String {
    let ending = match (place % 100, place % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{place}{ending}")
}

/// Wall clock, UTC, so many seconds after a moment: `12:03:21`.
pub(crate) fn clock(unix_millis: u64, after_secs: f64) -> String {
    let day_second = unix_secs(unix_millis, after_secs) % SECS_PER_DAY;
    format!("{:02}:{:02}:{:02}", day_second / 3600, day_second / 60 % 60, day_second % 60)
}

/// Date, UTC: `2026-01-05`.
pub(crate) fn date(unix_millis: u64) -> String {
    // Days to civil date after Howard Hinnant's "chrono-compatible low-level date algorithms".
    let days = unix_millis / 1000 / SECS_PER_DAY + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Text of others without what steers a terminal or turns the direction of writing.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' | '\n' | '\r' => ' ',
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{feff}' => {
                '\u{fffd}'
            }
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// At most `max` characters, the last one an ellipsis where something was cut.
pub(crate) fn shortened(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(max.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// A count as a float; exact below 2^53, which no count of a run reaches.
#[expect(clippy::cast_precision_loss, reason = "only shown, three digits of it")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// Whole bytes of a measured or foreseen amount; nothing below zero.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what the type holds")]
pub(crate) fn whole(amount: f64) -> u64 {
    if amount.is_finite() { amount.round().clamp(0.0, 1e18) as u64 } else { 0 }
}

fn three_digits(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        size if size < 9.995 => 2,
        size if size < 99.95 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        _ if decimals > 0 => minus(text),
        Some(size) => format!("−{}", grouped(size)),
        None => grouped(&text),
    }
}

fn minus(text: String) -> String {
    match text.strip_prefix('-') {
        Some(size) => format!("−{size}"),
        None => text,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what the type holds; the fraction is meant to go"
)]
fn unix_secs(unix_millis: u64, after_secs: f64) -> u64 {
    let whole_millis = (after_secs * 1e3).round();
    let shift = whole_millis.abs().min(1e15) as u64;
    let millis = if whole_millis < 0.0 {
        unix_millis.saturating_sub(shift)
    } else {
        unix_millis.saturating_add(shift)
    };
    millis / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        text.replace(THIN, " ")
    }

    #[test]
    fn a_latency_takes_the_unit_that_leaves_three_digits() {
        let written: Vec<_> =
            [0.0, 0.35, 0.99949, 0.9996, 3.1, 9.996, 182.4, 999.4, 999.6, 61_000.0, f64::NAN]
                .into_iter()
                .map(|ms| plain(&millis(ms)))
                .collect();
        assert_eq!(
            written,
            [
                "0 ms", "350 µs", "999 µs", "1.00 ms", "3.10 ms", "10.0 ms", "182 ms", "999 ms", "1.00 s",
                "61.0 s", "–"
            ]
        );
    }

    #[test]
    fn a_share_never_claims_zero_when_it_is_not() {
        let written: Vec<_> =
            [0.0, 1e-6, 0.0031, 0.00996, 0.024, 0.71, 1.0].into_iter().map(|x| plain(&share(x))).collect();
        assert_eq!(written, ["0 %", "<0.01 %", "0.31 %", "1.0 %", "2.4 %", "71 %", "100 %"]);
    }

    #[test]
    fn seconds_and_offsets_carry_their_sign() {
        assert_eq!(plain(&secs(1.4)), "1.4 s");
        assert_eq!(plain(&secs(0.25)), "0.25 s");
        assert_eq!(plain(&secs(40.0)), "40 s");
        assert_eq!(plain(&offset(4.0)), "+4 s");
        assert_eq!(plain(&offset(-10.0)), "−10 s");
        assert_eq!(plain(&offset(0.0)), "0 s");
    }

    #[test]
    fn counts_are_grouped_from_the_right() {
        let written: Vec<_> = [0, 999, 1000, 12_345, 1_234_567, u64::MAX].map(|n| plain(&count(n))).into();
        assert_eq!(written, ["0", "999", "1 000", "12 345", "1 234 567", "18 446 744 073 709 551 615"]);
    }

    #[test]
    fn bytes_use_decimal_units() {
        assert_eq!(plain(&bytes(812)), "812 B");
        assert_eq!(plain(&bytes(999_999)), "1.00 MB");
        assert_eq!(plain(&bytes(4_212_345)), "4.21 MB");
        assert_eq!(plain(&bytes(u64::MAX)), "18.4 EB");
    }

    #[test]
    fn rates_scores_factors_and_places_are_short() {
        assert_eq!([200.04, 1812.4, -9160.0].map(|x| plain(&rate(x))).join(" "), "200 /s 1 812 /s −9 160 /s");
        assert_eq!(plain(&score(0.809)), "0.81");
        assert_eq!(plain(&times(4.21)), "4.21 ×");
        assert_eq!(
            [1, 2, 3, 4, 11, 12, 13, 21, 112].map(ordinal).join(" "),
            "1st 2nd 3rd 4th 11th 12th 13th 21st 112th"
        );
    }

    #[test]
    fn dates_agree_with_the_calendar() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400_000), "2000-02-29");
        assert_eq!(date(1_767_571_200_000), "2026-01-05");
        assert_eq!(date(4_107_542_400_000), "2100-03-01");
    }

    #[test]
    fn the_clock_moves_both_ways_over_midnight() {
        assert_eq!(clock(1_767_571_200_000, 43_401.0), "12:03:21");
        assert_eq!(clock(1_767_571_200_000, -1.0), "23:59:59");
        assert_eq!(clock(86_399_999, 0.001), "00:00:00");
    }

    #[test]
    fn text_of_others_cannot_steer_a_terminal_or_turn_writing_round() {
        assert_eq!(printable("a\u{1b}[2Jb\r\n\u{202e}c\u{0}é"), "a\u{fffd}[2Jb  \u{fffd}c\u{fffd}é");
    }

    #[test]
    fn shortening_counts_characters_and_says_that_it_cut() {
        assert_eq!(shortened("gäteway", 7), "gäteway");
        assert_eq!(shortened("gäteways", 7), "gätewa…");
    }
}
