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
#[expect(unsafe_code, reason = "as above")]
fn other(bytes: &[u8]) -> Option<&str> {
    // `simdutf8` reads fewer than 64 bytes one by one. With zeros behind them they fill a block, and are
    // UTF-8 if and only if the block is: a zero continues nothing.
    let mut block = [0; 64];
    let Some(head) = block.get_mut(..bytes.len()) else { return simdutf8::basic::from_utf8(bytes).ok() };
    head.copy_from_slice(bytes);
    simdutf8::basic::from_utf8(&block).ok()?;
    // SAFETY: the block that begins with these bytes, and has nothing but zeros behind them, is UTF-8.
    Some(unsafe { std::str::from_utf8_unchecked(bytes) })
}

/// True where there are at most 64 bytes, none of them above 127.
///
/// Each range of lengths is read in pieces of a fixed size, which overlap in the middle: no loop, and few
/// branches that depend on the length.
#[inline]
fn is_short_ascii(bytes: &[u8]) -> bool {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let met = match bytes.len() {
        0..4 => bytes.iter().fold(0, |met, byte| met | u64::from(*byte)),
        4..8 => {
            ends::<4>(bytes).map_or(HIGH, |[a, b]| (u32::from_le_bytes(a) | u32::from_le_bytes(b)).into())
        }
        8..16 => ends::<8>(bytes).map_or(HIGH, |[a, b]| fold(&a) | fold(&b)),
        // A text that begins with a letter of several bytes is not worth a longer look.
        16.. if !bytes.first().is_some_and(u8::is_ascii) => HIGH,
        16..=32 => ends::<16>(bytes).map_or(HIGH, |[a, b]| fold(&a) | fold(&b)),
        33..=64 => ends::<32>(bytes).map_or(HIGH, |[a, b]| fold(&a) | fold(&b)),
        _ => HIGH,
    };
    met & HIGH == 0
}

/// The first and the last `N` bytes.
#[inline(always)]
fn ends<const N: usize>(bytes: &[u8]) -> Option<[[u8; N]; 2]> {
    Some([*bytes.first_chunk()?, *bytes.last_chunk()?])
}

/// All bits that are set in any of the words.
#[inline(always)]
fn fold<const N: usize>(bytes: &[u8; N]) -> u64 {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().fold(0, |met, word| met | u64::from_le_bytes(*word))
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
            // Cut within a letter, of which the end is missing.
            for end in 0..words.len() {
                let cut = &words.as_bytes()[..end];
                prop_assert_eq!(text(cut), std::str::from_utf8(cut).ok());
            }
        }
    }
}
