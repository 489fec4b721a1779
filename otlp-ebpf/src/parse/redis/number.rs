//! Numbers of RESP, a byte at a time.

use crate::parse::ParseErrorKind;

/// The number of a length or an integer, up to its CR LF.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Number {
    value: i64,
    negative: bool,
    digits: bool,
    signed: bool,
    streamed: bool,
    cr: bool,
}

/// A number that is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    Is(i64),
    /// `?`: the length is told by what follows.
    Streamed,
}

impl Number {
    /// Takes one byte; gives the value with the last one.
    pub(super) fn push(&mut self, byte: u8) -> Result<Option<Value>, ParseErrorKind> {
        match byte {
            b'\n' if self.cr && self.streamed => return Ok(Some(Value::Streamed)),
            b'\n' if self.cr => return Ok(Some(Value::Is(self.value))),
            _ if self.cr => return Err(ParseErrorKind::RespEnd),
            b'\r' if self.digits || self.streamed => self.cr = true,
            b'+' | b'-' if !self.signed && !self.digits && !self.streamed => {
                self.signed = true;
                self.negative = byte == b'-';
            }
            b'0'..=b'9' if !self.streamed => {
                let digit = i64::from(byte - b'0');
                // Counted down where negative, so that the smallest number fits.
                let digit = if self.negative { -digit } else { digit };
                let value = self.value.checked_mul(10).and_then(|value| value.checked_add(digit));
                self.value = value.ok_or(ParseErrorKind::RespNumber)?;
                self.digits = true;
            }
            b'?' if !self.signed && !self.digits => self.streamed = true,
            _ => return Err(ParseErrorKind::RespNumber),
        }
        Ok(None)
    }
}

/// The number behind this mark at the front of these bytes, its CR LF behind it: the number, and what follows on both.
/// Nothing where it is not all there, or is none that is written as nearly all are: the slow way tells.
#[inline]
pub(super) fn plain(bytes: &[u8], mark: u8) -> Option<(usize, &[u8])> {
    match bytes {
        // One digit, as most lengths have, or two.
        [met, digit @ b'0'..=b'9', b'\r', b'\n', rest @ ..] if *met == mark => {
            Some((usize::from(digit - b'0'), rest))
        }
        [met, ten @ b'0'..=b'9', one @ b'0'..=b'9', b'\r', b'\n', rest @ ..] if *met == mark => {
            Some((usize::from(ten - b'0') * 10 + usize::from(one - b'0'), rest))
        }
        [met, rest @ ..] if *met == mark => longer(rest),
        _ => None,
    }
}

/// A number of any count of digits that is read fast.
fn longer(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(MOST_DIGITS + 1).enumerate() {
        if !byte.is_ascii_digit() {
            let rest = bytes.get(at..)?.strip_prefix(b"\r\n")?;
            return (at > 0).then_some((value, rest));
        }
        value = value * 10 + usize::from(byte - b'0');
    }
    None
}

/// A string that is all there, of at most so many bytes: its text, and what follows on it.
#[inline]
pub(super) fn string(bytes: &[u8], longest: u64) -> Option<(&[u8], &[u8])> {
    let (length, rest) = plain(bytes, b'$')?;
    let (text, rest) = rest.split_at_checked(length).filter(|_| super::wide(length) <= longest)?;
    let [b'\r', b'\n', rest @ ..] = rest else { return None };
    Some((text, rest))
}

/// Digits of a length that is read fast: below 1 GB.
const MOST_DIGITS: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Value>, ParseErrorKind> {
        let mut number = Number::default();
        let mut last = None;
        for byte in text.bytes() {
            assert_eq!(last, None, "nothing follows the end");
            last = number.push(byte)?;
        }
        Ok(last)
    }

    #[test]
    fn numbers_end_with_cr_lf() {
        assert_eq!(read("0\r\n"), Ok(Some(Value::Is(0))));
        assert_eq!(read("-1\r\n"), Ok(Some(Value::Is(-1))));
        assert_eq!(read("+17\r\n"), Ok(Some(Value::Is(17))));
        assert_eq!(read("-9223372036854775808\r\n"), Ok(Some(Value::Is(i64::MIN))));
        assert_eq!(read("9223372036854775807\r\n"), Ok(Some(Value::Is(i64::MAX))));
        assert_eq!(read("?\r\n"), Ok(Some(Value::Streamed)));
        assert_eq!(read("12\r"), Ok(None));
    }

    #[test]
    fn a_number_that_is_all_there_is_read_at_once() {
        for text in ["0", "7", "10", "99", "007", "123456789"] {
            let whole = format!("${text}\r\nrest");
            assert_eq!(plain(whole.as_bytes(), b'$'), Some((text.parse().unwrap(), &b"rest"[..])));
            assert_eq!(plain(whole.as_bytes(), b'*'), None);
            for cut in 0..text.len() + 3 {
                assert_eq!(plain(&whole.as_bytes()[..cut], b'$'), None, "{cut} bytes");
            }
        }
        for text in ["$\r\n", "$-1\r\n", "$+1\r\n", "$1\n", "$1\rx", "$12\rx", "$1x\r\n", "$1234567890\r\n"] {
            assert_eq!(plain(text.as_bytes(), b'$'), None, "{text:?}: the slow way tells");
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in
            ["9223372036854775808\r\n", "\r\n", "-\r\n", "--1\r\n", "1-\r\n", "?1\r\n", "1?\r\n", "x", "1\n"]
        {
            assert_eq!(read(text), Err(ParseErrorKind::RespNumber), "{text:?}");
        }
        assert_eq!(read("1\rx"), Err(ParseErrorKind::RespEnd));
    }
}
