//! Checking that bytes are UTF-8.

/// The text of `bytes`, or `None` where they are not UTF-8. One pass.
///
/// Most texts of telemetry are short and ASCII: these are checked eight bytes at a time right here,
/// the others by `simdutf8`.
#[inline]
#[expect(unsafe_code, reason = "a text that was just checked is not checked again")]
pub(crate) fn text(bytes: &[u8]) -> Option<&str> {
    if is_short_ascii(bytes) {
        // SAFETY: ASCII is UTF-8, and `is_short_ascii` has looked at every byte.
        return Some(unsafe { std::str::from_utf8_unchecked(bytes) });
    }
    other(bytes)
}

#[inline(never)]
fn other(bytes: &[u8]) -> Option<&str> {
    simdutf8::basic::from_utf8(bytes).ok()
}

/// True where there are at most 64 bytes, none of them above 127.
#[inline]
fn is_short_ascii(bytes: &[u8]) -> bool {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let met = match bytes.len() {
        0 => 0,
        1..4 => bytes.iter().fold(0, |met, byte| met | u64::from(*byte)),
        4..8 => ends::<4>(bytes)
            .map_or(HIGH, |[a, b]| u64::from(u32::from_le_bytes(a)) | u64::from(u32::from_le_bytes(b))),
        8..=64 => {
            let (words, _) = bytes.as_chunks::<8>();
            let last = bytes.last_chunk::<8>().map_or(HIGH, |last| u64::from_le_bytes(*last));
            words.iter().fold(last, |met, word| met | u64::from_le_bytes(*word))
        }
        _ => HIGH,
    };
    met & HIGH == 0
}

#[inline]
fn ends<const N: usize>(bytes: &[u8]) -> Option<[[u8; N]; 2]> {
    Some([*bytes.first_chunk()?, *bytes.last_chunk()?])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_high_byte_anywhere_is_seen() {
        for len in 0..100 {
            let mut bytes = vec![b'a'; len];
            assert_eq!(text(&bytes), std::str::from_utf8(&bytes).ok());
            for at in 0..len {
                bytes[at] = 0x80;
                assert!(!is_short_ascii(&bytes));
                assert_eq!(text(&bytes), None);
                bytes[at] = b'a';
            }
        }
    }

    proptest! {
        #[test]
        fn the_safe_check_says_the_same(bytes: Vec<u8>, words in "\\PC{0,80}") {
            prop_assert_eq!(text(&bytes), std::str::from_utf8(&bytes).ok());
            prop_assert_eq!(text(words.as_bytes()), Some(words.as_str()));
        }
    }
}
