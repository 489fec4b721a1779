//! Numbers as JSON has them: shortest decimals that read back the same, integers in whatever notation.

use std::fmt::{self, Write as _};

use super::out::Out;

/// Powers of ten that a `u64` holds.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const POWERS: [u64; 20] = {
    let mut powers = [1; 20];
    let mut index = 1;
    while index < 20 {
        powers[index] = powers[index - 1] * 10;
        index += 1;
    }
    powers
};

const EIGHT_DIGITS: u64 = 100_000_000;
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// Writes a number in decimal.
#[inline]
pub(super) fn write_u64(out: &mut Out<'_>, value: u64) {
    let (high, low) = (value / EIGHT_DIGITS, value % EIGHT_DIGITS);
    if high == 0 {
        write_head(out, low);
    } else if high < EIGHT_DIGITS {
        write_head(out, high);
        out.put(&(digits(low) | ZEROS).to_le_bytes());
    } else {
        write_head(out, high / EIGHT_DIGITS);
        let (high, low) = (digits(high % EIGHT_DIGITS) | ZEROS, digits(low) | ZEROS);
        out.put(&(u128::from(high) | u128::from(low) << 64).to_le_bytes());
    }
}

/// Writes a signed number in decimal.
#[inline]
pub(super) fn write_i64(out: &mut Out<'_>, value: i64) {
    if value < 0 {
        out.put(b"-");
    }
    write_u64(out, value.unsigned_abs());
}

/// The first digits of a number: as many as it has, at most eight.
#[inline(always)]
fn write_head(out: &mut Out<'_>, value: u64) {
    let digits = digits(value);
    // The last digit stays, be it zero.
    let zeros = (digits | (1 << 56)).trailing_zeros() / 8;
    let text = (digits | ZEROS) >> (8 * zeros);
    out.padded(&text.to_le_bytes(), 8 - zeros as usize);
}

/// The eight digits of a number below 10^8, one a byte, the first one lowest.
///
/// All halves at once: a division by a constant is a multiplication and a shift, and the parts lie far
/// enough apart not to touch.
#[inline(always)]
const fn digits(value: u64) -> u64 {
    let fours = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | ((fours - 100 * hundreds) << 16);
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((twos - 10 * tens) << 8)
}

/// Writes a double: the shortest decimal that reads back as the same, or the name that JSON lacks, quoted.
#[inline]
pub(super) fn write_f64(out: &mut Out<'_>, value: f64) {
    if !write_short(out, value) {
        write_any(out, value);
    }
}

/// Writes a double that has few digits; false where it is another.
///
/// Where a decimal of at most 15 digits reads as `value`, there is no other such decimal, so the
/// shortest is it without the zeros at its end. A quotient of whole numbers below 2^53 and 10^22 is
/// correctly rounded, which makes it the double that the decimal reads as.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be from 0 to 10^15")]
fn write_short(out: &mut Out<'_>, value: f64) -> bool {
    let (size, decimals) = match value.abs() {
        size @ ..1e6 => (size, 9),
        size @ ..1e12 => (size, 3),
        size if size < 1e15 => (size, 0),
        _ => return false,
    };
    let scale = POWERS.get(decimals).copied().unwrap_or(1);
    let scaled = (size * scale as f64 + 0.5) as u64;
    // Below this the shortest form has an exponent.
    let tiny = size < 1e-4 && size != 0.0;
    if tiny || scaled as f64 / scale as f64 != size {
        return false;
    }
    if value.is_sign_negative() {
        out.put(b"-");
    }
    write_u64(out, scaled / scale);
    write_fraction(out, scaled % scale, decimals);
    true
}

/// Writes a point and the digits behind it, one at least.
#[inline(always)]
fn write_fraction(out: &mut Out<'_>, fraction: u64, decimals: usize) {
    if fraction == 0 {
        return out.put(b".0");
    }
    out.put(b".");
    let from = out.position();
    if decimals == 9 {
        out.put(&(digits(fraction / 10) | ZEROS).to_le_bytes());
        out.put(&[b'0' + (fraction % 10) as u8]);
    } else {
        let [.., a, b, c] = (digits(fraction) | ZEROS).to_le_bytes();
        out.put(&[a, b, c]);
    }
    let zeros = out.written(from).iter().rev().take_while(|digit| **digit == b'0').count();
    out.back_to(out.position() - zeros);
}

#[inline(never)]
fn write_any(out: &mut Out<'_>, value: f64) {
    if value.is_nan() {
        out.put(b"\"NaN\"");
    } else if value.is_infinite() {
        out.slice(if value < 0.0 { b"\"-Infinity\"" } else { b"\"Infinity\"" });
    } else {
        // Writing to memory does not fail.
        let _ = write!(Text(out), "{value:?}");
    }
}

struct Text<'o, 'b>(&'o mut Out<'b>);

impl fmt::Write for Text<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.slice(text.as_bytes());
        Ok(())
    }
}

/// Reads up to 19 digits from the front of `text`; gives their number and how many there were. Where
/// there are more, twenty are counted and the number says nothing.
#[inline(always)]
pub(super) fn read_digits(text: &[u8]) -> (u64, usize) {
    let (mut value, mut count) = (0_u64, 0);
    while count <= 8
        && let Some(eight) =
            text.get(count..).and_then(<[u8]>::first_chunk).and_then(|word| eight_digits(*word))
    {
        value = value * EIGHT_DIGITS + eight;
        count += 8;
    }
    while count < 20
        && let Some(digit) = text.get(count).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10)
    {
        value = value.wrapping_mul(10).wrapping_add(digit.into());
        count += 1;
    }
    (value, count)
}

/// The number that eight digits stand for; none where there is another character among them.
#[inline(always)]
const fn eight_digits(text: [u8; 8]) -> Option<u64> {
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    let word = u64::from_le_bytes(text);
    // Six more takes what lies behind the nine to another high half.
    if (word & HIGH) | ((word.wrapping_add(0x0606_0606_0606_0606) & HIGH) >> 4) != 0x3333_3333_3333_3333 {
        return None;
    }
    let ones = word & !HIGH;
    let twos = (ones * 10 + (ones >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos * 100 + (twos >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

/// The whole number that `text`, a number by JSON's grammar, stands for: `12`, `-0`, `1.0`, `12e2`.
/// None where it is no whole number or has more than twenty digits.
pub(super) fn read_whole(text: &[u8]) -> Option<i128> {
    let (negative, text) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    let mut parts = text.splitn(2, |byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = (parts.next().unwrap_or_default(), parts.next());
    let point = mantissa.iter().position(|byte| *byte == b'.');
    let decimals = point.map_or(0, |point| mantissa.len() - point - 1);
    let mut exponent = exponent.map_or(0, read_exponent).saturating_sub(i64::try_from(decimals).ok()?);
    let digits = || mantissa.iter().filter(|byte| **byte != b'.');
    let Some(last) = digits().rev().position(|digit| *digit != b'0') else { return Some(0) };
    exponent = exponent.saturating_add(i64::try_from(last).ok()?);
    let leading = digits().take_while(|digit| **digit == b'0').count();
    let significant = digits().count() - last - leading;
    let zeros = u32::try_from(exponent).ok()?;
    if significant.saturating_add(zeros as usize) > 20 {
        return None;
    }
    let value = digits()
        .skip(leading)
        .take(significant)
        .fold(0, |value, digit| value * 10 + i128::from(digit - b'0'));
    let value = value * 10_i128.pow(zeros);
    Some(if negative { -value } else { value })
}

/// An exponent's number; as far from zero as can be where it is too large.
fn read_exponent(text: &[u8]) -> i64 {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let size = digits.iter().fold(0_i64, |value, digit| {
        value.saturating_mul(10).saturating_add((digit.wrapping_sub(b'0')).into())
    });
    if negative { -size } else { size }
}

/// The double next to `text`, a number by JSON's grammar; none where it is past the largest.
pub(super) fn read_f64(text: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Out<'_>)) -> String {
        let mut buf = Vec::new();
        let mut out = Out::new(&mut buf);
        write(&mut out);
        out.finish(true);
        String::from_utf8(buf).unwrap()
    }

    #[test]
    fn numbers_of_every_length_are_written_and_read() {
        for power in POWERS {
            for value in [power - 1, power, power + 1, power.saturating_mul(9)] {
                let text = written(|out| write_u64(out, value));
                assert_eq!(text, value.to_string());
                if text.len() < 20 {
                    assert_eq!(read_digits(format!("{text}x").as_bytes()), (value, text.len()));
                }
                assert_eq!(read_whole(text.as_bytes()), Some(value.into()));
            }
        }
        assert_eq!(written(|out| write_u64(out, u64::MAX)), u64::MAX.to_string());
        assert_eq!(written(|out| write_i64(out, i64::MIN)), i64::MIN.to_string());
        assert_eq!(read_digits(b"18446744073709551615").1, 20);
        assert_eq!(read_digits(b"184467440737095516150").1, 20);
    }

    #[test]
    fn whole_numbers_are_read_in_any_notation() {
        let cases = [
            ("-0", 0),
            ("1.0", 1),
            ("1e3", 1000),
            ("1E+03", 1000),
            ("12.50e1", 125),
            ("-1200e-2", -12),
            ("0.000e99999999999999999999", 0),
            ("0.00012e5", 12),
            ("18446744073709551615.000", i128::from(u64::MAX)),
        ];
        for (text, value) in cases {
            assert_eq!(read_whole(text.as_bytes()), Some(value), "{text}");
        }
        for text in ["1.5", "1e-1", "12e20", "1e9999999999999999999999", "123456789012345678901"] {
            assert_eq!(read_whole(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn doubles_are_written_as_short_as_can_be() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-12.5, "-12.5"),
            (0.1, "0.1"),
            (123_456.789, "123456.789"),
            (999_999_999_999.125, "999999999999.125"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e16"),
            (0.000_05, "5e-5"),
            (0.000_123, "0.000123"),
            (1.5e-300, "1.5e-300"),
            (f64::MAX, "1.7976931348623157e308"),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
            (f64::NAN, "\"NaN\""),
            (-f64::NAN, "\"NaN\""),
        ];
        for (value, text) in cases {
            assert_eq!(written(|out| write_f64(out, value)), text);
        }
    }

    proptest! {
        #[test]
        fn every_double_comes_back(bits: u64, whole in -1_000_000_000_i64..1_000_000_000, decimals in 0..12_u32) {
            for value in [f64::from_bits(bits), whole as f64 / 10_f64.powi(decimals.cast_signed())] {
                let text = written(|out| write_f64(out, value));
                if value.is_finite() {
                    prop_assert_eq!(read_f64(text.as_bytes()).unwrap().to_bits(), value.to_bits());
                    // As short as the standard library's, if not always in the same notation.
                    prop_assert_eq!(&text, &format!("{value:?}"));
                }
            }
        }

        #[test]
        fn every_whole_number_comes_back(value: u64, signed: i64) {
            prop_assert_eq!(written(|out| write_u64(out, value)), value.to_string());
            prop_assert_eq!(written(|out| write_i64(out, signed)), signed.to_string());
            prop_assert_eq!(read_whole(signed.to_string().as_bytes()), Some(signed.into()));
        }

        #[test]
        fn digits_are_told_from_everything_else(text in "[0-9/:a\u{f0}]{8,20}") {
            let count = text.bytes().take(20).take_while(u8::is_ascii_digit).count();
            let (value, met) = read_digits(text.as_bytes());
            prop_assert_eq!(met, count);
            if (1..20).contains(&count) {
                prop_assert_eq!(value, text[..count].parse::<u64>().unwrap());
            }
        }
    }
}
