//! A segment as bytes: a header, then frames to the end.
//!
//! | bytes of the header | what |
//! |---|---|
//! | 0..8 | magic |
//! | 8..12 | format version, and its complement, so that a flipped bit is not taken for the future |
//! | 12..16 | zero |
//! | 16..24 | number of the segment |
//! | 24..32 | place in the log of its first frame |
//! | 32..40 | first entry not given a number before |
//! | 40..104 | the account so far: accepted, exported, rejected, dropped by reason |
//! | 104..124 | zero |
//! | 124..128 | CRC32C of all before |
//!
//! Numbers are little-endian. Bytes 0..12 mean the same in every version.

use super::account::{Account, DropReason};
use super::frame::{FRAME_BYTES, Fields, Frame, MARKER, MOST, Place};

/// Bytes of a segment's header.
pub(super) const HEADER_BYTES: usize = 128;
/// The version written, and the newest that can be read.
pub(super) const VERSION: u16 = 1;
const MAGIC: [u8; 8] = *b"OTLPlog\n";

/// The state of the log where a segment begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Header {
    pub(super) number: u64,
    pub(super) first_sequence: u64,
    pub(super) next_id: u64,
    pub(super) account: Account,
}

impl Header {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let Account { accepted, exported, rejected, dropped } = self.account;
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&(!VERSION).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        let numbers = [self.number, self.first_sequence, self.next_id, accepted, exported, rejected];
        for number in numbers.into_iter().chain(dropped) {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.resize(start + HEADER_BYTES - 4, 0);
        let crc = crc32c::crc32c(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&crc.to_le_bytes());
    }

    /// Reads the header of segment `number`; `None` where it is not sound.
    ///
    /// # Errors
    /// The version, where it is a newer one than this.
    pub(super) fn read(number: u64, bytes: &[u8]) -> Result<Option<Self>, u16> {
        match version(bytes) {
            Some(met) if met > VERSION => Err(met),
            Some(VERSION) => Ok(Self::read_sound(bytes).filter(|header| header.number == number)),
            _ => Ok(None),
        }
    }

    fn read_sound(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_at_checked(HEADER_BYTES - 4)?;
        if Fields(rest).u32()? != crc32c::crc32c(header) {
            return None;
        }
        let mut fields = Fields(header.get(16..)?);
        let (number, first_sequence, next_id) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let (accepted, exported, rejected) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let mut dropped = [0; DropReason::ALL.len()];
        for count in &mut dropped {
            *count = fields.u64()?;
        }
        let account = Account { accepted, exported, rejected, dropped };
        let numbers = [first_sequence, next_id, accepted, exported, rejected];
        let in_range = numbers.iter().chain(&dropped).all(|number| *number < MOST);
        let sound = in_range && account.settled() <= accepted;
        sound.then_some(Self { number, first_sequence, next_id, account })
    }
}

fn version(bytes: &[u8]) -> Option<u16> {
    let mut fields = Fields(bytes.strip_prefix(&MAGIC)?);
    let (version, complement) = (fields.u16()?, fields.u16()?);
    (version == !complement).then_some(version)
}

/// Walks over the sound frames of a segment, stepping over what is not.
///
/// Takes time in proportion to the bytes, whatever they are: a sound header is believed about its length,
/// and without one only markers are looked at.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    number: u64,
    bytes: &'a [u8],
    at: usize,
    /// One past the last sound frame.
    sound_end: usize,
    skipped: usize,
}

impl<'a> Scan<'a> {
    /// Begins behind the header, or at the first byte where that is not sound.
    pub(super) fn new(number: u64, bytes: &'a [u8], header_is_sound: bool) -> Self {
        let start = if header_is_sound { HEADER_BYTES.min(bytes.len()) } else { 0 };
        Self { number, bytes, at: start, sound_end: start, skipped: 0 }
    }

    /// One past the last sound byte met so far.
    pub(super) const fn sound_end(&self) -> usize {
        self.sound_end
    }

    /// Bytes stepped over that sound frames follow.
    pub(super) const fn skipped(&self) -> usize {
        self.skipped
    }

    fn next_marker(&self) -> Option<usize> {
        let from = self.at.checked_add(1)?;
        let rest = self.bytes.get(from..)?;
        let ahead = rest.windows(MARKER.len()).position(|window| window == MARKER)?;
        Some(from + ahead)
    }
}

impl Iterator for Scan<'_> {
    /// A frame and its offset.
    type Item = (u64, Frame);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
            let offset = self.at as u64;
            let Some(frame) = Frame::read(Place { segment: self.number, offset }, rest) else {
                self.at = self.next_marker().unwrap_or(self.bytes.len());
                continue;
            };
            let start = self.at;
            let body_start = start + FRAME_BYTES;
            // A body that the segment does not hold to its end is the last thing in it.
            let end = body_start.saturating_add(frame.body_bytes).min(self.bytes.len());
            self.at = end;
            if frame.holds(self.bytes.get(body_start..end).unwrap_or_default()) {
                self.skipped += start - self.sound_end;
                self.sound_end = end;
                return Some((offset, frame));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let account = Account { accepted: 10, exported: 4, rejected: 3, dropped: [1, 0, 0, 2, 0] };
        Header { number: 9, first_sequence: 70, next_id: 30, account }
    }

    fn written() -> Vec<u8> {
        let mut bytes = Vec::new();
        header().write(&mut bytes);
        assert_eq!(bytes.len(), HEADER_BYTES);
        bytes
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        assert_eq!(Header::read(9, &written()), Ok(Some(header())));
        assert_eq!(Header::read(8, &written()), Ok(None), "a file under another's name");
    }

    #[test]
    fn no_flipped_bit_is_taken_for_a_header_or_for_the_future() {
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = written();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::read(9, &bytes), Ok(None), "bit {bit}");
        }
    }

    #[test]
    fn a_newer_version_is_told_from_a_rotten_one() {
        let mut bytes = written();
        bytes[8..10].copy_from_slice(&2_u16.to_le_bytes());
        bytes[10..12].copy_from_slice(&(!2_u16).to_le_bytes());
        assert_eq!(Header::read(9, &bytes), Err(2));
        assert_eq!(Header::read(9, &bytes[..11]), Ok(None));
    }
}
