//! The state of detectors as bytes, from which they go on bit for bit.
//!
//! A checkpoint is, little-endian and without padding:
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | `OTAC` |
//! | 4..6 | version of the format, now 1 |
//! | 6..8 | kind of the detector |
//! | 8..16 | bytes of the body |
//! | 16.. | the body: the fields of the detector one after the other; lists behind their count |
//! | last 4 | CRC-32 (IEEE 802.3) of all before |
//!
//! What is read is checked as if somebody hostile had written it: counts against the bytes that are left before
//! anything is allocated, numbers for being finite, places for being there. A checkpoint thus costs at most a small
//! multiple of its bytes.

mod crc;
mod field;
#[cfg(feature = "serde")]
pub(crate) mod serde;

use otlp_core::error::DecodeErrorKind;
use otlp_core::{DecodeError, UnixNanos};

pub(crate) use field::{Field, fields};

const MAGIC: [u8; 4] = *b"OTAC";
const VERSION: u16 = 1;
const HEAD: usize = 16;
const CRC: usize = 4;

/// Something of which checkpoints are made.
pub(crate) trait Kept: Field {
    /// What stands for it in the bytes; never used again for something else.
    const KIND: u16;
}

/// Appends the checkpoint of `kept`.
pub(crate) fn write<T: Kept>(kept: &T, into: &mut Vec<u8>) {
    let start = into.len();
    into.extend_from_slice(&MAGIC);
    VERSION.save(into);
    T::KIND.save(into);
    0_u64.save(into);
    kept.save(into);
    let body = u64::try_from(into.len() - start - HEAD).unwrap_or(u64::MAX);
    if let Some(slot) = into.get_mut(start + HEAD - 8..start + HEAD) {
        slot.copy_from_slice(&body.to_le_bytes());
    }
    let crc = crc::crc32(into.get(start..).unwrap_or_default());
    into.extend_from_slice(&crc.to_le_bytes());
}

/// Reads back what [`write`] wrote.
pub(crate) fn read<T: Kept>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (kind, mut source) = open(bytes)?;
    if kind != T::KIND {
        return Err(DecodeError::new(6, DecodeErrorKind::Invalid("checkpoint of another kind of detector")));
    }
    let kept = T::load(&mut source)?;
    if source.left() > 0 {
        return Err(source.invalid("checkpoint has bytes behind its last field"));
    }
    Ok(kept)
}

/// The kind of a checkpoint whose envelope is sound, and its body.
pub(crate) fn open(bytes: &[u8]) -> Result<(u16, Source<'_>), DecodeError> {
    let mut head = Source { bytes, at: 0 };
    let magic: [u8; 4] = head.take()?;
    if magic != MAGIC {
        return Err(DecodeError::new(0, DecodeErrorKind::Invalid("not a checkpoint")));
    }
    if u16::load(&mut head)? != VERSION {
        return Err(DecodeError::new(4, DecodeErrorKind::Invalid("checkpoint of a version not known here")));
    }
    let kind = u16::load(&mut head)?;
    let body = u64::load(&mut head)?;
    let met = bytes.len().saturating_sub(HEAD + CRC);
    match usize::try_from(body).unwrap_or(usize::MAX).cmp(&met) {
        std::cmp::Ordering::Greater => return Err(DecodeError::new(bytes.len(), DecodeErrorKind::Truncated)),
        std::cmp::Ordering::Less => {
            return Err(DecodeError::new(HEAD + CRC, DecodeErrorKind::Invalid("bytes behind a checkpoint")));
        }
        std::cmp::Ordering::Equal => {}
    }
    let truncated = DecodeError::new(bytes.len(), DecodeErrorKind::Truncated);
    let (checked, mark) = bytes.split_at_checked(HEAD + met).ok_or(truncated)?;
    if mark != crc::crc32(checked).to_le_bytes() {
        return Err(DecodeError::new(HEAD + met, DecodeErrorKind::Invalid("checkpoint with another CRC-32")));
    }
    Ok((kind, Source { bytes: checked, at: HEAD }))
}

/// Bytes that are being read.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    bytes: &'a [u8],
    at: usize,
}

#[cfg(test)]
impl<'a> From<&'a [u8]> for Source<'a> {
    /// The bytes of a body alone.
    fn from(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
}

impl Source<'_> {
    /// The next bytes.
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let taken = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk);
        let taken = taken.ok_or(DecodeError::new(self.at, DecodeErrorKind::Truncated))?;
        self.at += N;
        Ok(*taken)
    }

    /// Bytes left.
    pub(crate) const fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// An error about what was just read.
    pub(crate) const fn invalid(&self, what: &'static str) -> DecodeError {
        DecodeError::new(self.at, DecodeErrorKind::Invalid(what))
    }
}

impl Field for UnixNanos {
    const LEAST_BYTES: usize = 8;

    fn save(&self, into: &mut Vec<u8>) {
        self.0.save(into);
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        u64::load(from).map(Self)
    }
}

#[cfg(test)]
mod tests;
