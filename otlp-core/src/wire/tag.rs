//! Field numbers and wire types.

use crate::error::DecodeErrorKind;

/// How a field's value is laid out. Groups (3 and 4) are refused: OTLP has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete: the wire format has no others that OTLP uses")]
#[repr(u8)]
pub enum WireType {
    /// A base-128 varint.
    Varint = 0,
    /// Eight bytes, little-endian.
    Fixed64 = 1,
    /// A varint length and that many bytes.
    Bytes = 2,
    /// Four bytes, little-endian.
    Fixed32 = 5,
}

/// A field's number and wire type.
///
/// ```
/// use otlp_core::wire::{Tag, WireType};
/// let tag = Tag { field: 2, wire_type: WireType::Bytes };
/// assert_eq!((tag.to_raw(), Tag::parse(0x12)), (0x12, Ok(tag)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag {
    /// Field number, 1 to 2^29 - 1.
    pub field: u32,
    /// Layout of the value.
    pub wire_type: WireType,
}

/// The greatest field number.
pub(super) const MAX_FIELD: u32 = (1 << 29) - 1;

impl Tag {
    /// Reads a tag from its varint.
    ///
    /// # Errors
    /// [`DecodeErrorKind::FieldNumber`] or [`DecodeErrorKind::WireType`].
    pub fn parse(raw: u64) -> Result<Self, DecodeErrorKind> {
        let wire_type = match raw & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Bytes,
            5 => WireType::Fixed32,
            other => return Err(DecodeErrorKind::WireType(u8::try_from(other).unwrap_or(u8::MAX))),
        };
        match u32::try_from(raw >> 3) {
            Ok(field @ 1..=MAX_FIELD) => Ok(Self { field, wire_type }),
            _ => Err(DecodeErrorKind::FieldNumber),
        }
    }

    /// The varint that stands for this tag.
    #[must_use]
    pub const fn to_raw(self) -> u64 {
        (self.field as u64) << 3 | self.wire_type as u64
    }
}
