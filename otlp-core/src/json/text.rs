//! Texts as JSON has them: what has to be escaped is looked for eight bytes at a time.

use super::out::Out;

const ONES: u64 = 0x0101_0101_0101_0101;
/// The high bit of each byte: set where it is not ASCII.
pub(super) const HIGH: u64 = 0x80 * ONES;

/// Marks bytes that cannot stand in a string as they are: quote, backslash, control characters.
///
/// The high bit of the first such byte is set; behind it there may be marks too many.
#[inline(always)]
pub(super) const fn special(word: u64) -> u64 {
    let control = word.wrapping_sub(0x20 * ONES) & !word;
    (control | equal(word, b'"') | equal(word, b'\\')) & HIGH
}

#[inline(always)]
const fn equal(word: u64, byte: u8) -> u64 {
    let difference = word ^ (byte as u64 * ONES);
    difference.wrapping_sub(ONES) & !difference
}

/// Writes `text` as it stands in a JSON string, without the quotes. False where it is not UTF-8; what
/// was written then says nothing.
#[inline(always)]
pub(super) fn write(out: &mut Out<'_>, text: &[u8]) -> bool {
    let room = out.room(text.len());
    if copy_plain(room, text) {
        out.advance(text.len());
        return true;
    }
    write_checked(out, text)
}

#[inline(never)]
fn write_checked(out: &mut Out<'_>, text: &[u8]) -> bool {
    if crate::wire::text(text).is_none() {
        return false;
    }
    let mut rest = text;
    loop {
        let (run, after) = rest.split_at(run(rest));
        out.slice(run);
        let Some((byte, after)) = after.split_first() else { return true };
        escape(out, *byte);
        rest = after;
    }
}

/// Copies `from` to `to`, which is as long; false where there is anything but ASCII that stands for itself.
#[inline(always)]
fn copy_plain(to: &mut [u8], from: &[u8]) -> bool {
    match from.len() {
        0 => true,
        1..4 => {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            from.iter()
                .all(|byte| !byte.is_ascii_control() && byte.is_ascii() && !matches!(byte, b'"' | b'\\'))
        }
        4..8 => {
            let ends = copy_end::<4>(to, from);
            let word = ends.map_or(HIGH, |[a, b]| {
                u64::from(u32::from_le_bytes(a)) | u64::from(u32::from_le_bytes(b)) << 32
            });
            (special(word) | word & HIGH) == 0
        }
        _ => {
            let last = copy_end::<8>(to, from).map_or(HIGH, |[_, last]| u64::from_le_bytes(last));
            let (to, _) = to.as_chunks_mut::<8>();
            let (from, _) = from.as_chunks::<8>();
            let mut marks = special(last) | last & HIGH;
            for (to, from) in to.iter_mut().zip(from) {
                *to = *from;
                let word = u64::from_le_bytes(*from);
                marks |= special(word) | word & HIGH;
            }
            marks == 0
        }
    }
}

/// Copies the first and the last `N` bytes, which may overlap, and gives them.
#[inline(always)]
fn copy_end<const N: usize>(to: &mut [u8], from: &[u8]) -> Option<[[u8; N]; 2]> {
    let ends = [*from.first_chunk()?, *from.last_chunk()?];
    let [first, last] = ends;
    *to.first_chunk_mut()? = first;
    *to.last_chunk_mut()? = last;
    Some(ends)
}

/// Bytes at the front of `text` that stand for themselves.
fn run(text: &[u8]) -> usize {
    let (words, tail) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let marks = special(u64::from_le_bytes(*word));
        if marks != 0 {
            return 8 * index + marks.trailing_zeros() as usize / 8;
        }
    }
    let plain = tail.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'));
    8 * words.len() + plain.unwrap_or(tail.len())
}

fn escape(out: &mut Out<'_>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            let [high, low] = super::binary::hex_pair(byte);
            return out.put(&[b'\\', b'u', b'0', b'0', high, low]);
        }
    };
    out.put(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &[u8]) -> Option<String> {
        let mut buf = b"before".to_vec();
        let mut out = Out::new(&mut buf);
        let valid = write(&mut out, text);
        out.finish(true);
        valid.then(|| String::from_utf8(buf[6..].to_vec()).unwrap())
    }

    #[test]
    fn every_byte_anywhere_is_escaped_or_stands_for_itself() {
        for len in 0..20 {
            for at in 0..len {
                for byte in (0..0x30_u8).chain([b'\\', 0x7f]) {
                    let mut text = vec![b'a'; len];
                    text[at] = byte;
                    let expected = serde_json::to_string(std::str::from_utf8(&text).unwrap()).unwrap();
                    assert_eq!(written(&text).unwrap(), expected[1..expected.len() - 1]);
                }
                let mut text = vec![b'a'; len];
                text[at] = 0x80;
                assert_eq!(written(&text), None);
            }
        }
    }

    proptest! {
        #[test]
        fn texts_are_written_as_serde_json_writes_them(text in "\\PC{0,40}[\"\\\\\n\u{1}]?\\PC{0,40}") {
            let expected = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(&written(text.as_bytes()).unwrap(), &expected[1..expected.len() - 1]);
        }

        #[test]
        fn bytes_are_refused_where_they_are_not_utf8(bytes: Vec<u8>) {
            prop_assert_eq!(written(&bytes).is_some(), std::str::from_utf8(&bytes).is_ok());
        }
    }
}
