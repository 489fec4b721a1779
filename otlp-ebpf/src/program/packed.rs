//! Objects as they are checked in: compressed by `gzip -n` (RFC 1952), for they are a part of every program that captures.

use miniz_oxide::inflate::decompress_to_vec_with_limit;

/// What such a file begins with: its mark, the method, and that there is no name.
const MARK: &[u8] = &[0x1f, 0x8b, 8, 0];
/// Bytes before the data, and behind: a checksum and the size.
const HEAD: usize = 10;
const TAIL: usize = 8;

/// The object that these bytes are of; `None` where they are of none. O(its size).
pub(crate) fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let data = packed.strip_prefix(MARK)?.get(HEAD - MARK.len()..)?;
    let (data, tail) = data.split_at_checked(data.len().checked_sub(TAIL)?)?;
    let bytes = usize::try_from(u32::from_le_bytes(*tail.last_chunk()?)).ok()?;
    let object = decompress_to_vec_with_limit(data, bytes).ok()?;
    (object.len() == bytes).then_some(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_is_unpacked_and_damaged_ones_are_refused() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("bpf");
        let mut met = 0;
        for machine in ["x86_64", "aarch64"] {
            for file in std::fs::read_dir(folder.join(machine)).unwrap() {
                let mut packed = std::fs::read(file.unwrap().path()).unwrap();
                let object = unpack(&packed).unwrap();
                assert!(object.starts_with(b"\x7fELF"));
                for bytes in [0, MARK.len(), HEAD, HEAD + TAIL, packed.len() / 2, packed.len() - 1] {
                    assert_eq!(unpack(&packed[..bytes]), None, "cut after {bytes}");
                }
                // One byte more or less than it says.
                let at = packed.len() - 4;
                packed[at] ^= 1;
                assert_eq!(unpack(&packed), None);
                met += 1;
            }
        }
        assert!(met >= 12, "{met} objects");
    }
}
