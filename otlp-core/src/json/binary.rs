//! Bytes as JSON has them: hexadecimal for identifiers, base64 for the rest (RFC 4648 §4, §5, §8).

use super::out::Out;

const HEX: &[u8; 16] = b"0123456789abcdef";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Stands for "not of the alphabet".
const NOT: u8 = u8::MAX;

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
static HEX_PAIRS: [[u8; 2]; 256] = {
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [HEX[byte >> 4], HEX[byte & 15]];
        byte += 1;
    }
    pairs
};

#[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated by the compiler")]
static HEX_VALUES: [u8; 256] = {
    let mut values = [NOT; 256];
    let mut value = 0;
    while value < 16 {
        values[HEX[value] as usize] = value as u8;
        values[HEX[value].to_ascii_uppercase() as usize] = value as u8;
        value += 1;
    }
    values
};

/// Both alphabets at once: each has characters of its own only for 62 and 63.
#[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated by the compiler")]
static BASE64_VALUES: [u8; 256] = {
    let mut values = [NOT; 256];
    let mut value = 0;
    while value < 64 {
        values[BASE64[value] as usize] = value as u8;
        value += 1;
    }
    values[b'-' as usize] = 62;
    values[b'_' as usize] = 63;
    values
};

#[inline(always)]
pub(super) fn hex_pair(byte: u8) -> [u8; 2] {
    HEX_PAIRS.get(usize::from(byte)).copied().unwrap_or_default()
}

#[inline(always)]
pub(super) fn hex_value(digit: u8) -> Option<u8> {
    look_up(&HEX_VALUES, digit)
}

#[inline(always)]
fn look_up(values: &[u8; 256], byte: u8) -> Option<u8> {
    values.get(usize::from(byte)).copied().filter(|value| *value != NOT)
}

/// Writes lower-case hexadecimal digits.
#[inline(always)]
pub(super) fn write_hex(out: &mut Out<'_>, bytes: &[u8]) {
    let (pairs, _) = out.room(2 * bytes.len()).as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(bytes) {
        *pair = hex_pair(*byte);
    }
    out.advance(2 * bytes.len());
}

/// Reads hexadecimal digits of either case to `to`, which is half as long; false where there is another
/// character.
#[inline(always)]
pub(super) fn read_hex(digits: &[u8], to: &mut [u8]) -> bool {
    let (pairs, _) = digits.as_chunks::<2>();
    let mut met = 0;
    for (to, [high, low]) in to.iter_mut().zip(pairs) {
        let high = HEX_VALUES.get(usize::from(*high)).copied().unwrap_or(NOT);
        let low = HEX_VALUES.get(usize::from(*low)).copied().unwrap_or(NOT);
        met |= high | low;
        *to = (high << 4) | (low & 15);
    }
    met < 16
}

/// Writes base64 of the standard alphabet, padded.
pub(super) fn write_base64(out: &mut Out<'_>, bytes: &[u8]) {
    let (triples, rest) = bytes.as_chunks::<3>();
    for [a, b, c] in triples {
        let word = u32::from_be_bytes([0, *a, *b, *c]);
        out.put(&[18, 12, 6, 0].map(|shift| letter(word >> shift)));
    }
    match *rest {
        [a] => {
            let word = u32::from(a) << 4;
            out.put(&[letter(word >> 6), letter(word), b'=', b'=']);
        }
        [a, b] => {
            let word = u32::from_be_bytes([0, 0, a, b]) << 2;
            out.put(&[letter(word >> 12), letter(word >> 6), letter(word), b'=']);
        }
        _ => {}
    }
}

#[inline(always)]
fn letter(bits: u32) -> u8 {
    BASE64.get((bits & 63) as usize).copied().unwrap_or_default()
}

/// Reads base64 in place, of either alphabet, padded or not; gives the count of bytes at the front of
/// `text` that it stands for, or the index of the character that cannot be.
///
/// Bits beyond the last whole byte are not looked at, as in the protobuf libraries.
pub(super) fn read_base64(text: &mut [u8]) -> Result<usize, usize> {
    let mut len = text.len();
    if len.is_multiple_of(4) {
        let padding = text.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
        len -= padding;
    }
    if len % 4 == 1 {
        return Err(len);
    }
    let (mut word, mut bits, mut written) = (0_u32, 0, 0);
    for index in 0..len {
        let value = text.get(index).and_then(|byte| look_up(&BASE64_VALUES, *byte)).ok_or(index)?;
        word = word << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            if let Some(place) = text.get_mut(written) {
                let [.., low] = (word >> bits).to_be_bytes();
                *place = low;
            }
            written += 1;
        }
    }
    Ok(written)
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

    fn base64(text: &str) -> Result<Vec<u8>, usize> {
        let mut text = text.as_bytes().to_vec();
        read_base64(&mut text).map(|len| text[..len].to_vec())
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (bytes, text) in cases.into_iter().chain([("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy")]) {
            assert_eq!(written(|out| write_base64(out, bytes.as_bytes())), text);
            assert_eq!(base64(text).unwrap(), bytes.as_bytes());
            assert_eq!(base64(text.trim_end_matches('=')).unwrap(), bytes.as_bytes());
        }
        assert_eq!(base64("-_+/").unwrap(), base64("+/-_").unwrap());
        assert_eq!(base64("+/+/").unwrap(), [0xfb, 0xff, 0xbf]);
    }

    #[test]
    fn what_is_no_base64_is_refused_where_it_stands() {
        for (text, at) in
            [("Z", 1), ("Zm9vY", 5), ("Zm 9", 2), ("====", 0), ("Zg=", 2), ("Z===", 1), ("Zm9v\n", 5)]
        {
            assert_eq!(base64(text), Err(at), "{text}");
        }
    }

    #[test]
    fn hexadecimal_is_read_in_either_case_and_nothing_else_is() {
        let mut bytes = [0; 4];
        assert!(read_hex(b"00fFA1b9", &mut bytes));
        assert_eq!(bytes, [0x00, 0xff, 0xa1, 0xb9]);
        for byte in 0..=u8::MAX {
            assert_eq!(read_hex(&[b'0', byte], &mut bytes[..1]), byte.is_ascii_hexdigit());
            assert_eq!(read_hex(&[byte, b'0'], &mut bytes[..1]), byte.is_ascii_hexdigit());
        }
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes: Vec<u8>) {
            let text = written(|out| write_base64(out, &bytes));
            prop_assert_eq!(base64(&text).unwrap(), bytes.clone());
            let digits = written(|out| write_hex(out, &bytes));
            let mut back = vec![0; bytes.len()];
            prop_assert!(read_hex(digits.as_bytes(), &mut back));
            prop_assert_eq!(back, bytes);
        }
    }
}
