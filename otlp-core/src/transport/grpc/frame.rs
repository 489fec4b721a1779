//! What stands before a message, and how a deadline is written.

use std::time::Duration;

/// One byte that says whether the message is compressed, four for its length.
pub(in crate::transport) const PREFIX_BYTES: usize = 5;

/// The most digits that a timeout may have.
const MAX_TIMEOUT_DIGITS: usize = 8;

/// The one message of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transport) struct Frame<'a> {
    pub(in crate::transport) is_compressed: bool,
    pub(in crate::transport) message: &'a [u8],
}

/// Why a body is not one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::transport) enum FrameError {
    #[error("message: body ends after {0} of 5 bytes of its prefix")]
    NoPrefix(usize),
    #[error("message: unknown flag {0}")]
    Flag(u8),
    #[error("message: length {claimed} met with {there} bytes")]
    Length { claimed: u32, there: usize },
}

/// What stands before a message of `len` bytes; `None` above 4 GiB.
pub(in crate::transport) fn prefix(is_compressed: bool, len: usize) -> Option<[u8; PREFIX_BYTES]> {
    let [a, b, c, d] = u32::try_from(len).ok()?.to_be_bytes();
    Some([u8::from(is_compressed), a, b, c, d])
}

impl<'a> Frame<'a> {
    /// Reads a body that is exactly one message.
    pub(in crate::transport) fn read(body: &'a [u8]) -> Result<Self, FrameError> {
        let Some((&[flag, a, b, c, d], message)) = body.split_first_chunk() else {
            return Err(FrameError::NoPrefix(body.len()));
        };
        let claimed = u32::from_be_bytes([a, b, c, d]);
        if usize::try_from(claimed).ok() != Some(message.len()) {
            return Err(FrameError::Length { claimed, there: message.len() });
        }
        match flag {
            0 | 1 => Ok(Self { is_compressed: flag == 1, message }),
            _ => Err(FrameError::Flag(flag)),
        }
    }
}

/// Writes what is left until a deadline: never more than is left by a millisecond, never nothing.
pub(super) fn write_timeout(left: Duration) -> String {
    let millis = left.as_millis().max(1);
    if millis < 10_u128.pow(8) {
        return format!("{millis}m");
    }
    format!("{}S", left.as_secs().min(99_999_999))
}

/// Reads the value of `grpc-timeout`; `None` where it is not one.
pub(in crate::transport) fn read_timeout(value: &str) -> Option<Duration> {
    let (at, unit) = value.char_indices().next_back()?;
    let digits = value.get(..at)?;
    if !(1..=MAX_TIMEOUT_DIGITS).contains(&digits.len())
        || !digits.bytes().all(|digit| digit.is_ascii_digit())
    {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(number * 3600)),
        'M' => Some(Duration::from_secs(number * 60)),
        'S' => Some(Duration::from_secs(number)),
        'm' => Some(Duration::from_millis(number)),
        'u' => Some(Duration::from_micros(number)),
        'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_body_that_is_not_one_message_is_told_why() {
        for (body, why) in [
            (&b""[..], FrameError::NoPrefix(0)),
            (b"\0\0\0\0", FrameError::NoPrefix(4)),
            (b"\0\0\0\0\x02x", FrameError::Length { claimed: 2, there: 1 }),
            (b"\0\0\0\0\x01xy", FrameError::Length { claimed: 1, there: 2 }),
            (b"\0\xff\xff\xff\xffx", FrameError::Length { claimed: u32::MAX, there: 1 }),
            (b"\x02\0\0\0\0", FrameError::Flag(2)),
        ] {
            assert_eq!(Frame::read(body), Err(why), "{body:?}");
        }
        assert_eq!(prefix(false, 1 << 32), None);
    }

    #[test]
    fn timeouts_are_read_in_every_unit_and_nothing_else_is() {
        for (value, nanos) in [
            ("1H", 3_600_000_000_000),
            ("2M", 120_000_000_000),
            ("3S", 3_000_000_000),
            ("99999999m", 99_999_999_000_000),
            ("5u", 5_000),
            ("0n", 0),
        ] {
            assert_eq!(read_timeout(value), Some(Duration::from_nanos(nanos)), "{value}");
        }
        for value in ["", "S", "1", "1s", "-1S", "+1S", "1.5S", " 1S", "123456789n", "1é", "é"] {
            assert_eq!(read_timeout(value), None, "{value:?}");
        }
    }

    #[test]
    fn a_timeout_is_written_within_eight_digits_and_never_as_none() {
        for (left, text) in [
            (Duration::ZERO, "1m"),
            (Duration::from_micros(1999), "1m"),
            (Duration::from_millis(99_999_999), "99999999m"),
            (Duration::from_millis(100_000_000), "100000S"),
            (Duration::MAX, "99999999S"),
        ] {
            assert_eq!(write_timeout(left), text);
            assert!(read_timeout(text).is_some());
        }
    }

    proptest! {
        #[test]
        fn what_is_framed_is_read(message in prop::collection::vec(any::<u8>(), 0..300), is_compressed: bool) {
            let mut body = prefix(is_compressed, message.len()).expect("short").to_vec();
            body.extend(&message);
            prop_assert_eq!(Frame::read(&body), Ok(Frame { is_compressed, message: &message }));
            body.pop();
            prop_assert!(Frame::read(&body).is_err());
        }
    }
}
