//! Base-128 varints and the zigzag mapping.

use crate::error::DecodeErrorKind;

/// Bytes that `value` takes as a varint: 1 to 10.
///
/// ```
/// use otlp_core::wire::varint_len;
/// assert_eq!((varint_len(127), varint_len(128), varint_len(u64::MAX)), (1, 2, 10));
/// ```
#[must_use]
pub const fn varint_len(value: u64) -> usize {
    // Seven bits a byte; `| 1` makes zero take one byte.
    let bits = 64 - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Maps a signed number to the unsigned one that `sint64` puts on the wire.
///
/// ```
/// use otlp_core::wire::{zigzag_decode, zigzag_encode};
/// assert_eq!([0, -1, 1, -2].map(zigzag_encode), [0, 1, 2, 3]);
/// assert_eq!(zigzag_decode(zigzag_encode(i64::MIN)), i64::MIN);
/// ```
#[must_use]
pub const fn zigzag_encode(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Reverses [`zigzag_encode`].
#[must_use]
pub const fn zigzag_decode(raw: u64) -> i64 {
    (raw >> 1).cast_signed() ^ -((raw & 1).cast_signed())
}

/// How many varints `run` is made of; `None` where that takes reading them, for one may be too long or cut short.
pub(crate) fn count_varints(run: &[u8]) -> Option<usize> {
    /// In the bytes of a varint that others follow.
    const TOPS: u64 = 0x8080_8080_8080_8080;
    const HIGH: u64 = 0xffff_ffff_0000_0000;
    if run.last().is_some_and(|last| *last >= 0x80) {
        return None;
    }
    if run.len() < 9 {
        return Some(run.iter().filter(|byte| **byte < 0x80).count());
    }
    let (words, rest) = run.as_chunks();
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let mut followed = 0;
    for word in words.iter().chain([&last]) {
        let tops = u64::from_le_bytes(*word) & TOPS;
        // A varint of ten bytes has nine that others follow, and among them four that begin at a multiple of four.
        let [low, high] = [tops << 32, tops & HIGH];
        if low == TOPS << 32 || high == TOPS & HIGH {
            return None;
        }
        followed += (tops >> 7).count_ones() as usize;
    }
    Some(run.len() - followed)
}

/// Reads a varint from the front of `bytes`; gives the value and the bytes it took.
pub(super) fn read(bytes: &[u8]) -> Result<(u64, usize), DecodeErrorKind> {
    let mut value = 0_u64;
    for (index, &byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if index == 9 && byte > 1 {
            return Err(DecodeErrorKind::VarintOverflow);
        }
        value |= bits << (7 * index);
        if byte < 0x80 {
            return Ok((value, index + 1));
        }
    }
    Err(if bytes.len() < 10 { DecodeErrorKind::Truncated } else { DecodeErrorKind::VarintOverflow })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_changes_at_each_seventh_bit() {
        for bytes in 1..10_u32 {
            let first = 1_u64 << (7 * bytes);
            assert_eq!(varint_len(first - 1), bytes as usize);
            assert_eq!(varint_len(first), bytes as usize + 1);
        }
        assert_eq!(varint_len(u64::MAX), 10);
    }

    #[test]
    fn eleven_bytes_and_bit_64_are_refused() {
        assert_eq!(read(&[0x80; 11]), Err(DecodeErrorKind::VarintOverflow));
        let mut bytes = [0xff; 10];
        bytes[9] = 0x02;
        assert_eq!(read(&bytes), Err(DecodeErrorKind::VarintOverflow));
        bytes[9] = 0x01;
        assert_eq!(read(&bytes), Ok((u64::MAX, 10)));
        assert_eq!(read(&[0x80]), Err(DecodeErrorKind::Truncated));
    }

    #[test]
    fn zigzag_round_trips() {
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(zigzag_decode(zigzag_encode(value)), value);
        }
        assert_eq!(zigzag_encode(-1), 1);
    }

    /// As [`count_varints`], by reading each; `None` where one is too long or cut short.
    fn count_by_reading(mut run: &[u8]) -> Option<usize> {
        let mut count = 0;
        while !run.is_empty() {
            run = &run[read(run).ok()?.1..];
            count += 1;
        }
        Some(count)
    }

    /// Runs of every length, with numbers of one to ten bytes, some of them spoilt.
    fn runs() -> impl Iterator<Item = Vec<u8>> {
        let mut state = 1_u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        (0..4000).map(move |nth| {
            let longest = 1 + nth % 11;
            let mut run = Vec::new();
            while run.len() < nth / 100 {
                let len = 1 + next() % longest as u64;
                run.extend((1..len).map(|_| 0x80 | 3));
                run.push((next() % 2) as u8);
            }
            if nth % 7 == 0 {
                run.truncate(run.len().saturating_sub(1));
            }
            run
        })
    }

    #[test]
    fn varints_are_counted_as_they_are_read() {
        let (mut counted, mut left) = (0, 0);
        for run in runs() {
            let expected = count_by_reading(&run);
            match count_varints(&run) {
                Some(count) => {
                    counted += 1;
                    assert_eq!(Some(count), expected, "{run:x?}");
                }
                None => left += 1,
            }
            // Numbers of up to four bytes, which are nearly all, never take reading.
            let short =
                expected.is_some() && !run.windows(4).any(|bytes| bytes.iter().all(|byte| *byte >= 0x80));
            assert!(!short || count_varints(&run).is_some(), "{run:x?}");
        }
        assert!(counted > 1000 && left > 1000, "{counted} {left}");
    }
}
