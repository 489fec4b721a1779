//! Checkpoints that somebody changed and signed anew.

/// Writes the CRC-32 of all but the last four bytes into these, bit by bit.
pub(crate) fn sign(bytes: &mut [u8]) {
    let end = bytes.len() - 4;
    let step = |rest: u32, byte: &u8| {
        (0..8).fold(rest ^ u32::from(*byte), |rest, _| {
            if rest & 1 == 1 { (rest >> 1) ^ 0xEDB8_8320 } else { rest >> 1 }
        })
    };
    let crc = !bytes[..end].iter().fold(u32::MAX, step);
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
}
