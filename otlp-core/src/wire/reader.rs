//! Walking the fields of one message.

use super::tag::{Tag, WireType};
use super::varint;
use crate::error::{DecodeError, DecodeErrorKind};

/// A slice of a message that remembers where in the whole message it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Region<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Region<'a> {
    /// The whole of a message: offset zero.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// The bytes.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Offset of the first byte from the start of the whole message.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// The part from `offset` of the whole message on; empty where that lies behind the end.
    pub(crate) fn tail(&self, offset: usize) -> Self {
        let skip = offset.saturating_sub(self.offset).min(self.bytes.len());
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
    pub fn bytes(&self) -> Result<Region<'a>, DecodeError> {
        if let Value::Bytes(region) = self.value { Ok(region) } else { Err(self.unexpected()) }
    }

    /// The varint.
    ///
    /// # Errors
    /// See [`Field::bytes`].
    pub fn varint(&self) -> Result<u64, DecodeError> {
        if let Value::Varint(value) = self.value { Ok(value) } else { Err(self.unexpected()) }
    }

    /// The eight-byte number.
    ///
    /// # Errors
    /// See [`Field::bytes`].
    pub fn fixed64(&self) -> Result<u64, DecodeError> {
        if let Value::Fixed64(value) = self.value { Ok(value) } else { Err(self.unexpected()) }
    }

    /// The four-byte number.
    ///
    /// # Errors
    /// See [`Field::bytes`].
    pub fn fixed32(&self) -> Result<u32, DecodeError> {
        if let Value::Fixed32(value) = self.value { Ok(value) } else { Err(self.unexpected()) }
    }

    /// The string. Costs one pass over its bytes.
    ///
    /// # Errors
    /// See [`Field::bytes`]; [`DecodeErrorKind::Utf8`] where the bytes are not UTF-8.
    pub fn str(&self) -> Result<&'a str, DecodeError> {
        let region = self.bytes()?;
        simdutf8::basic::from_utf8(region.bytes)
            .map_err(|_| DecodeError::new(region.offset, DecodeErrorKind::Utf8(self.number)))
    }

    fn unexpected(&self) -> DecodeError {
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
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first field of `message`.
    #[must_use]
    pub const fn new(message: Region<'a>) -> Self {
        Self { rest: message.bytes, offset: message.offset }
    }

    /// Offset of the next unread byte from the start of the whole message.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// The next field, or `None` at the end of the message.
    ///
    /// # Errors
    /// Where the bytes are no field; the reader then stays where it is.
    pub fn next_field(&mut self) -> Result<Option<Field<'a>>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let offset = self.offset;
        let raw = self.varint()?;
        let tag = Tag::parse(raw).map_err(|kind| DecodeError::new(offset, kind))?;
        let value = match tag.wire_type {
            WireType::Varint => Value::Varint(self.varint()?),
            WireType::Fixed64 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            WireType::Fixed32 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            WireType::Bytes => Value::Bytes(self.delimited()?),
        };
        Ok(Some(Field { number: tag.field, value, offset }))
    }

    /// A bare varint, as in a packed list.
    ///
    /// # Errors
    /// Where the bytes end or the varint does not fit 64 bits.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let (value, len) = varint::read(self.rest).map_err(|kind| DecodeError::new(self.offset, kind))?;
        self.advance(len)?;
        Ok(value)
    }

    /// A bare eight-byte number, as in a packed list.
    ///
    /// # Errors
    /// Where fewer than eight bytes are left.
    pub fn fixed64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// True where nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn delimited(&mut self) -> Result<Region<'a>, DecodeError> {
        let len = self.varint()?;
        let len = usize::try_from(len).map_err(|_| self.truncated())?;
        let offset = self.offset;
        Ok(Region { bytes: self.advance(len)?, offset })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else { return Err(self.truncated()) };
        self.rest = rest;
        self.offset += N;
        Ok(*head)
    }

    fn advance(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let Some((head, rest)) = self.rest.split_at_checked(len) else { return Err(self.truncated()) };
        self.rest = rest;
        self.offset += len;
        Ok(head)
    }

    #[cold]
    const fn truncated(&self) -> DecodeError {
        DecodeError::new(self.offset, DecodeErrorKind::Truncated)
    }
}
