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

/// A plain number at the front of these bytes, its CR LF behind it: the number, and how many bytes both take. Nothing
/// where it is not all there, or is none that is written as nearly all are: the slow way tells.
pub(super) fn plain(bytes: &[u8]) -> Option<(u64, usize)> {
    // A length of one digit, as most are.
    if let [digit @ b'0'..=b'9', b'\r', b'\n', ..] = bytes {
        return Some(((digit - b'0').into(), 3));
    }
    let mut value = 0;
    for (at, byte) in bytes.iter().take(MOST_DIGITS + 1).enumerate() {
        if !byte.is_ascii_digit() {
            let ends = at > 0 && bytes.get(at..at + 2)? == b"\r\n";
            return ends.then_some((value, at + 2));
        }
        value = value * 10 + u64::from(byte - b'0');
    }
    None
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
    fn other_text_is_refused() {
        for text in
            ["9223372036854775808\r\n", "\r\n", "-\r\n", "--1\r\n", "1-\r\n", "?1\r\n", "1?\r\n", "x", "1\n"]
        {
            assert_eq!(read(text), Err(ParseErrorKind::RespNumber), "{text:?}");
        }
        assert_eq!(read("1\rx"), Err(ParseErrorKind::RespEnd));
    }
}
