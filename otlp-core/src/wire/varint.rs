//! Base-128 varints and the zigzag mapping.

use crate::error::DecodeErrorKind;

/// Bytes that `value` takes as a varint: 1 to 10.
#[must_use]
pub const fn varint_len(value: u64) -> usize {
    // Seven bits a byte; `| 1` makes zero take one byte.
    let bits = 64 - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Maps a signed number to the unsigned one that `sint64` puts on the wire.
#[must_use]
pub const fn zigzag_encode(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Reverses [`zigzag_encode`].
#[must_use]
pub const fn zigzag_decode(raw: u64) -> i64 {
    (raw >> 1).cast_signed() ^ -((raw & 1).cast_signed())
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
}
