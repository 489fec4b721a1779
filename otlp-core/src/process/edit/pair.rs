//! One attribute and one value, as they lie on the wire.

use crate::error::DecodeError;
use crate::wire::{Field, Reader, Region};

/// From where to where something lies in its source.
pub(super) type Range = (usize, usize);

/// The fields of an attribute. Of several keys the last holds; the pieces of a value are to be joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Pair {
    pub(super) key: Option<Range>,
    pub(super) value: Option<Range>,
    /// More than one key or one piece of the value.
    pub(super) is_doubled: bool,
}

impl Pair {
    pub(super) fn read(pair: Region<'_>) -> Result<Self, DecodeError> {
        let mut met = Self::default();
        let mut reader = Reader::new(pair);
        while let Some(field) = reader.next_field()? {
            let slot = match field.number {
                1 => &mut met.key,
                2 => &mut met.value,
                _ => continue,
            };
            met.is_doubled |= slot.is_some();
            *slot = Some(range(&field)?);
        }
        Ok(met)
    }

    /// The key and the length of the value of an attribute that has just these, in either order.
    #[inline(always)]
    pub(super) fn key_and_len(pair: Region<'_>) -> Option<(&[u8], usize)> {
        let mut reader = Reader::new(pair);
        let first_tag = reader.next_tag().ok()??;
        let first = reader.delimited().ok()?.bytes();
        let second_tag = reader.next_tag().ok()??;
        let second = reader.delimited().ok()?.bytes();
        match (first_tag, second_tag) {
            _ if !reader.is_empty() => None,
            (KEY, VALUE) => Some((first, second.len())),
            (VALUE, KEY) => Some((second, first.len())),
            _ => None,
        }
    }
}

/// Tags of an attribute's fields.
pub(super) const KEY: u32 = 1 << 3 | 2;
pub(super) const VALUE: u32 = 2 << 3 | 2;

/// A value: the member of the oneof that holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    /// None, or the index of a text in a dictionary that is not there.
    Empty,
    Text(Range),
    Bytes(Range),
    Bool(bool),
    Int(i64),
    Double(f64),
    /// A list, in pieces perhaps.
    List,
    Map(Pieces),
}

/// The pieces of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pieces {
    pub(super) count: usize,
    /// Where the tag of the first lies.
    pub(super) from: usize,
    /// The content of the last.
    pub(super) last: Range,
}

impl Value {
    pub(super) fn read(value: Region<'_>) -> Result<Self, DecodeError> {
        let mut met = Self::Empty;
        let mut reader = Reader::new(value);
        while let Some(field) = reader.next_field()? {
            met = match field.number {
                1 => Self::Text(range(&field)?),
                2 => Self::Bool(field.varint()? != 0),
                3 => Self::Int(field.varint()?.cast_signed()),
                4 => Self::Double(f64::from_bits(field.fixed64()?)),
                5 => field.bytes().map(|_| Self::List)?,
                MAP => Self::Map(met.joined(&field)?),
                7 => Self::Bytes(range(&field)?),
                8 => field.varint().map(|_| Self::Empty)?,
                _ => continue,
            };
        }
        Ok(met)
    }

    /// The pieces of a map with one more: it joins those before, unless another member came between.
    fn joined(self, field: &Field<'_>) -> Result<Pieces, DecodeError> {
        let last = range(field)?;
        Ok(match self {
            Self::Map(pieces) => Pieces { count: pieces.count + 1, last, ..pieces },
            _ => Pieces { count: 1, from: field.offset, last },
        })
    }
}

/// The fields of a value: text and map, and what is a member of the oneof at all.
pub(super) const TEXT: u32 = 1;
pub(super) const MAP: u32 = 6;

pub(super) const fn is_member(number: u32) -> bool {
    matches!(number, 1..=8)
}

fn range(field: &Field<'_>) -> Result<Range, DecodeError> {
    let region = field.bytes()?;
    Ok((region.offset(), region.offset() + region.bytes().len()))
}
