use super::*;

#[derive(Debug, PartialEq)]
struct Small {
    level: f64,
    seen: Option<u32>,
    values: Vec<f64>,
}

impl Small {
    fn is_sound(&self) -> bool {
        self.level >= 0.0
    }
}

fields!(Small { level: f64, seen: Option<u32>, values: Vec<f64> });

impl Kept for Small {
    const KIND: u16 = 999;
}

fn checkpoint(level: f64) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&Small { level, seen: Some(7), values: vec![1.5, -0.0] }, &mut bytes);
    bytes
}

/// Gives bytes that were changed the CRC that they ask for.
fn signed(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - CRC;
    let crc = crc::crc32(&bytes[..end]);
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn refusal(bytes: &[u8]) -> String {
    read::<Small>(bytes).unwrap_err().to_string()
}

#[test]
fn what_was_written_is_read_and_its_bytes_are_as_stated() {
    let bytes = checkpoint(0.25);
    assert_eq!(read(&bytes), Ok(Small { level: 0.25, seen: Some(7), values: vec![1.5, -0.0] }));
    let mut stated = b"OTAC\x01\x00\xe7\x03".to_vec();
    stated.extend(37_u64.to_le_bytes());
    stated.extend(0.25_f64.to_le_bytes());
    stated.extend([1, 7, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    stated.extend([1.5_f64, -0.0].into_iter().flat_map(f64::to_le_bytes));
    assert_eq!(bytes.strip_suffix(&crc::crc32(&stated).to_le_bytes()), Some(stated.as_slice()));
}

#[test]
fn every_cut_and_every_flipped_bit_is_refused() {
    let bytes = checkpoint(0.25);
    (0..bytes.len()).for_each(|end| assert!(read::<Small>(&bytes[..end]).is_err(), "{end}"));
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(read::<Small>(&flipped).is_err(), "bit {bit}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(refusal(&longer).contains("behind a checkpoint"));
}

#[test]
fn bytes_with_a_valid_crc_are_looked_at_all_the_same() {
    assert!(refusal(&checkpoint(-1.0)).contains("impossible Small"));
    assert!(refusal(&checkpoint(f64::NAN)).contains("no number"));
    let change = |at: usize, to: &[u8]| {
        let mut bytes = checkpoint(0.25);
        bytes[at..at + to.len()].copy_from_slice(to);
        refusal(&signed(bytes))
    };
    assert!(change(0, b"X").contains("not a checkpoint at byte 0"));
    assert!(change(4, &[9]).contains("version"));
    assert!(change(6, &[9]).contains("another kind"));
    assert!(change(24, &[3]).contains("neither"));
    // As many values as would need all memory there is.
    assert!(change(29, &[0xff; 7]).contains("beyond its bytes at byte 37"), "{}", change(29, &[0xff; 7]));
    assert!(change(29, &[1]).contains("behind its last field"));
    assert!(change(29, &[3]).contains("beyond its bytes"));
    assert!(change(8, &[0xff; 8]).contains("ends inside"));
}
