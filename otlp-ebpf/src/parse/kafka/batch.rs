//! Batches of records: how many records they hold, from their heads alone.

/// Bytes of a batch before its records, and of what tells which format it has.
const HEAD: usize = 61;
const OLD_HEAD: usize = 18;
/// Bytes before those that a batch's length counts.
const LENGTH_AT: u64 = 12;

/// Bytes of a head that are collected.
pub(super) const HEAD_BYTES: usize = HEAD;

/// What the beginning of a batch tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// More bytes are needed: so many in all.
    More(usize),
    /// The batch is so long in all; how many records it holds is known unless the format hides it.
    Batch { length: u64, records: Option<u64> },
    /// It is no batch.
    Nothing,
}

/// Reads the head of a batch: the format since Kafka 0.11, and the two before it, in which messages that are
/// compressed hide how many they are.
pub(super) fn head(bytes: &[u8]) -> Told {
    let Some((old, rest)) = bytes.split_first_chunk::<OLD_HEAD>() else {
        return Told::More(OLD_HEAD);
    };
    let [_, _, _, _, _, _, _, _, a, b, c, d, _, _, _, _, magic, attributes] = *old;
    let Ok(length) = u64::try_from(i32::from_be_bytes([a, b, c, d])) else {
        return Told::Nothing;
    };
    let length = length + LENGTH_AT;
    match magic {
        0 | 1 if length >= OLD_HEAD as u64 => {
            Told::Batch { length, records: (attributes & COMPRESSION == 0).then_some(1) }
        }
        2 if length >= HEAD as u64 => {
            // The checksum has three bytes more, then come the attributes; the count is the last of the head.
            let (Some([_, _, _, _, low]), Some(count)) =
                (rest.first_chunk(), rest.get(HEAD - OLD_HEAD - 4..))
            else {
                return Told::More(HEAD);
            };
            let Some(count) = count.first_chunk().map(|count| i32::from_be_bytes(*count)) else {
                return Told::More(HEAD);
            };
            let count = if low & CONTROL == 0 { u64::try_from(count).ok() } else { Some(0) };
            Told::Batch { length, records: count }
        }
        _ => Told::Nothing,
    }
}

/// Bits of the attributes: how messages are compressed, and that they are markers of transactions.
const COMPRESSION: u8 = 7;
const CONTROL: u8 = 0x20;

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(magic: u8, attributes: u8, count: i32, length: i32) -> Vec<u8> {
        let mut bytes = vec![0; 8];
        bytes.extend(length.to_be_bytes());
        bytes.extend([0, 0, 0, 7, magic, if magic < 2 { attributes } else { 9 }, 9, 9, 9, 0, attributes]);
        bytes.resize(57, 0);
        bytes.extend(count.to_be_bytes());
        bytes
    }

    #[test]
    fn a_batch_tells_its_records_unless_they_are_markers() {
        assert_eq!(head(&batch(2, 0, 17, 100)), Told::Batch { length: 112, records: Some(17) });
        assert_eq!(head(&batch(2, 3, 17, 100)), Told::Batch { length: 112, records: Some(17) });
        assert_eq!(head(&batch(2, CONTROL, 1, 66)), Told::Batch { length: 78, records: Some(0) });
        assert_eq!(head(&batch(2, 0, -1, 100)), Told::Batch { length: 112, records: None });
    }

    #[test]
    fn a_message_of_an_old_format_is_one_unless_it_wraps_others() {
        for magic in [0, 1] {
            assert_eq!(head(&batch(magic, 0, 0, 20)), Told::Batch { length: 32, records: Some(1) });
            assert_eq!(head(&batch(magic, 1, 0, 20)), Told::Batch { length: 32, records: None });
        }
    }

    #[test]
    fn what_is_too_short_or_of_no_format_is_no_batch() {
        for (magic, length) in [(3, 100), (2, 48), (0, 5), (2, -1)] {
            assert_eq!(head(&batch(magic, 0, 1, length)), Told::Nothing);
        }
        let whole = batch(2, 0, 1, 100);
        assert_eq!(head(&whole[..17]), Told::More(18));
        assert_eq!(head(&whole[..18]), Told::More(61));
        assert_eq!(head(&whole[..60]), Told::More(61));
    }
}
