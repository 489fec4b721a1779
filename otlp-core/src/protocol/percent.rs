//! Percent-encoding (RFC 3986 §2.1), as gRPC messages and environment variables use it.

/// Undoes the encoding; the offset of the first `%` that two hexadecimal digits do not follow is the error.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, usize> {
    walk(text, Err)
}

/// Undoes the encoding where there is one, and leaves a lone `%` as it is.
pub(crate) fn decode_leniently(text: &str) -> Vec<u8> {
    walk(text, |_| Ok::<_, std::convert::Infallible>(())).unwrap_or_default()
}

fn walk<E>(text: &str, mut on_lone: impl FnMut(usize) -> Result<(), E>) -> Result<Vec<u8>, E> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        match (byte, tail) {
            (b'%', [high, low, tail @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push((nibble(*high) << 4) | nibble(*low));
                rest = tail;
                continue;
            }
            (b'%', _) => on_lone(text.len() - rest.len())?,
            _ => {}
        }
        out.push(*byte);
        rest = tail;
    }
    Ok(out)
}

/// The value of a hexadecimal digit.
const fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_can_be_written_in_both_cases() {
        for byte in 0..=u8::MAX {
            assert_eq!(decode(&format!("%{byte:02x}")), Ok(vec![byte]));
            assert_eq!(decode(&format!("a%{byte:02X}z")), Ok(vec![b'a', byte, b'z']));
        }
    }

    #[test]
    fn a_lone_percent_is_told_by_place_or_left_alone() {
        for (text, at) in [("%", 0), ("a%2", 1), ("ab%g0", 2), ("%20%%20", 3), ("é%", 2)] {
            assert_eq!(decode(text), Err(at), "{text:?}");
        }
        assert_eq!(decode_leniently("100%, %41%"), b"100%, A%");
    }
}
