//! Walking the fields of one message.

use super::tag::{MAX_FIELD, WireType};
use super::varint;
use crate::error::{DecodeError, DecodeErrorKind};

/// A slice of a message that remembers where in the whole message it lies.
///
/// ```
/// use otlp_core::wire::{Reader, Region};
/// // Field 1 holds two bytes, which begin at offset 2 of the whole.
/// let field = Reader::new(Region::new(b"\x0a\x02hi")).next_field()?.ok_or("empty")?;
/// let inner = field.bytes()?;
/// assert_eq!((inner.bytes(), inner.offset()), (&b"hi"[..], 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Region<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Region<'a> {
    /// The whole of a message: offset zero.
    #[must_use]
    #[inline(always)]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Bytes that lie at `offset` of the whole message.
    #[inline(always)]
    pub(crate) const fn at(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, offset }
    }

    /// The bytes.
    #[must_use]
    #[inline(always)]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Offset of the first byte from the start of the whole message.
    #[must_use]
    #[inline(always)]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// The `len` bytes from `offset` of the whole message on; as many of them as there are.
    #[inline(always)]
    pub(crate) fn part(&self, offset: usize, len: usize) -> Self {
        let tail = self.tail(offset);
        Self { bytes: tail.bytes.get(..len).unwrap_or(tail.bytes), offset: tail.offset }
    }

    /// The part from `offset` of the whole message on; empty where that lies behind the end.
    #[inline(always)]
    pub(crate) fn tail(&self, offset: usize) -> Self {
        let skip = offset.saturating_sub(self.offset).min(self.bytes.len());
        Self { bytes: self.bytes.get(skip..).unwrap_or_default(), offset: self.offset + skip }
    }

    /// The last `len` bytes; all of it where there are fewer.
    #[inline(always)]
    pub(crate) fn last(&self, len: usize) -> Self {
        let skip = self.bytes.len().saturating_sub(len);
        Self { bytes: self.bytes.get(skip..).unwrap_or_default(), offset: self.offset + skip }
    }
}

/// A field's value as it lies on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete: one variant a wire type")]
pub enum Value<'a> {
    /// A varint.
    Varint(u64),
    /// Eight bytes, as a little-endian number.
    Fixed64(u64),
    /// Four bytes, as a little-endian number.
    Fixed32(u32),
    /// A length-delimited value.
    Bytes(Region<'a>),
}

/// One field: its number, its value, and where it begins.
///
/// ```
/// use otlp_core::wire::{Reader, Region, Value};
/// let field = Reader::new(Region::new(b"\x18\x07")).next_field()?.ok_or("empty")?;
/// assert_eq!((field.number, field.value, field.offset), (3, Value::Varint(7), 0));
/// assert!(field.str().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Field<'a> {
    /// Field number.
    pub number: u32,
    /// The value.
    pub value: Value<'a>,
    /// Offset of the field's tag from the start of the whole message.
    pub offset: usize,
}

impl<'a> Field<'a> {
    /// The length-delimited value.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnexpectedWireType`] for another wire type; the same holds for the methods below.
    #[inline(always)]
    pub fn bytes(&self) -> Result<Region<'a>, DecodeError> {
        if let Value::Bytes(region) = self.value { Ok(region) } else { Err(self.unexpected()) }
    }

    /// The varint.
    ///
    /// # Errors
    /// See [`Field::bytes`].
    #[inline(always)]
    pub fn varint(&self) -> Result<u64, DecodeError> {
        if let Value::Varint(value) = self.value { Ok(value) } else { Err(self.unexpected()) }
    }

    /// The eight-byte number.
    ///
    /// # Errors
    /// See [`Field::bytes`].
    #[inline(always)]
    pub fn fixed64(&self) -> Result<u64, DecodeError> {
        if let Value::Fixed64(value) = self.value { Ok(value) } else { Err(self.unexpected()) }
    }

    /// The four-byte number.
    ///
    /// # Errors
    /// See [`Field::bytes`].
    #[inline(always)]
    pub fn fixed32(&self) -> Result<u32, DecodeError> {
        if let Value::Fixed32(value) = self.value { Ok(value) } else { Err(self.unexpected()) }
    }

    /// The string. Costs one pass over its bytes.
    ///
    /// # Errors
    /// See [`Field::bytes`]; [`DecodeErrorKind::Utf8`] where the bytes are not UTF-8.
    #[inline(always)]
    pub fn str(&self) -> Result<&'a str, DecodeError> {
        let region = self.bytes()?;
        super::text(region.bytes)
            .ok_or_else(|| DecodeError::new(region.offset, DecodeErrorKind::Utf8(self.number)))
    }

    #[inline(always)]
    const fn unexpected(&self) -> DecodeError {
        let met = match self.value {
            Value::Varint(_) => WireType::Varint,
            Value::Fixed64(_) => WireType::Fixed64,
            Value::Fixed32(_) => WireType::Fixed32,
            Value::Bytes(_) => WireType::Bytes,
        };
        let kind = DecodeErrorKind::UnexpectedWireType { field: self.number, met: met as u8 };
        DecodeError::new(self.offset, kind)
    }
}

/// Reads the fields of one message from front to back, without copying.
///
/// ```
/// use otlp_core::wire::{Reader, Region};
/// let mut reader = Reader::new(Region::new(&[0x08, 0x96, 0x01]));
/// let field = reader.next_field()?.ok_or("empty")?;
/// assert_eq!((field.number, field.varint()?), (1, 150));
/// assert!(reader.next_field()?.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Offset of the end of `rest` from the start of the whole message: it stays while `rest` shrinks.
    end: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first field of `message`.
    #[must_use]
    #[inline(always)]
    pub const fn new(message: Region<'a>) -> Self {
        Self { rest: message.bytes, end: message.offset + message.bytes.len() }
    }

    /// Offset of the next unread byte from the start of the whole message.
    #[must_use]
    #[inline(always)]
    pub const fn offset(&self) -> usize {
        self.end - self.rest.len()
    }

    /// The next field, or `None` at the end of the message.
    ///
    /// # Errors
    /// Where the bytes are no field; reading on from there makes no sense.
    #[inline(always)]
    pub fn next_field(&mut self) -> Result<Option<Field<'a>>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let offset = self.offset();
        let raw = self.varint()?;
        let (number, value) = match raw & 7 {
            0 => (raw >> 3, Value::Varint(self.varint()?)),
            1 => (raw >> 3, Value::Fixed64(self.fixed64()?)),
            2 => (raw >> 3, Value::Bytes(self.delimited()?)),
            5 => (raw >> 3, Value::Fixed32(self.fixed32()?)),
            _ => return Err(bad_tag(raw, offset)),
        };
        match u32::try_from(number) {
            Ok(number @ 1..=MAX_FIELD) => Ok(Some(Field { number, value, offset })),
            _ => Err(bad_tag(raw, offset)),
        }
    }

    /// A bare varint, as in a packed list.
    ///
    /// # Errors
    /// Where the bytes end or the varint does not fit 64 bits.
    #[inline(always)]
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        #[cfg(test)]
        super::steps::count();
        // Tags, most lengths and most numbers take one byte or two.
        let (value, rest) = match *self.rest {
            [low, ref rest @ ..] if low < 0x80 => (low.into(), rest),
            [low, high, ref rest @ ..] if high < 0x80 => (u64::from(low & 0x7f) | u64::from(high) << 7, rest),
            _ => long_varint(self.rest, self.end)?,
        };
        self.rest = rest;
        Ok(value)
    }

    /// The next tag as it stands on the wire, its field number within range; `None` at the end.
    #[inline(always)]
    pub(crate) fn next_tag(&mut self) -> Result<Option<u32>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let offset = self.offset();
        let raw = self.varint()?;
        match u32::try_from(raw) {
            Ok(tag) if tag >= 1 << 3 => Ok(Some(tag)),
            _ => Err(bad_tag(raw, offset)),
        }
    }

    /// Passes over `tag` where it comes next and takes one byte.
    #[inline(always)]
    pub(crate) fn pass_tag(&mut self, tag: u32) -> bool {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 && u32::from(*byte) == tag => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// A bare eight-byte number, as in a packed list.
    ///
    /// # Errors
    /// Where fewer than eight bytes are left.
    #[inline(always)]
    pub fn fixed64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// What is left.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// True where nothing is left.
    #[must_use]
    #[inline(always)]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// A bare four-byte number.
    #[inline(always)]
    pub(crate) fn fixed32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A length and that many bytes.
    #[inline(always)]
    pub(crate) fn delimited(&mut self) -> Result<Region<'a>, DecodeError> {
        let len = self.varint()?;
        let offset = self.offset();
        let Some((bytes, rest)) = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len))
        else {
            return Err(truncated(offset));
        };
        self.rest = rest;
        Ok(Region { bytes, offset })
    }

    /// Passes over `len` bytes.
    #[inline(always)]
    pub(crate) fn pass(&mut self, len: usize) -> Result<(), DecodeError> {
        let Some(rest) = self.rest.get(len..) else { return Err(truncated(self.offset())) };
        self.rest = rest;
        Ok(())
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(truncated(self.offset()));
        };
        self.rest = rest;
        Ok(*head)
    }
}

/// Reads from the front of `rest`, which ends at offset `end`.
///
/// By value, as the other functions off the beaten path are: a reader whose address is never taken
/// stays in registers.
#[inline(never)]
fn long_varint(rest: &[u8], end: usize) -> Result<(u64, &[u8]), DecodeError> {
    let (value, len) = varint::read(rest).map_err(|kind| DecodeError::new(end - rest.len(), kind))?;
    Ok((value, rest.get(len..).unwrap_or_default()))
}

// Errors are made right where they are returned. A call would write its result through a pointer, and what
// shares that memory with it, the value of the good case, would no longer be kept in registers.

#[inline(always)]
const fn truncated(offset: usize) -> DecodeError {
    DecodeError::new(offset, DecodeErrorKind::Truncated)
}

/// Why `raw` is no tag that can be used.
#[inline(always)]
pub(crate) const fn bad_tag(raw: u64, offset: usize) -> DecodeError {
    let kind = match raw & 7 {
        0 | 1 | 2 | 5 => DecodeErrorKind::FieldNumber,
        _ => DecodeErrorKind::WireType((raw & 7) as u8),
    };
    DecodeError::new(offset, kind)
}
