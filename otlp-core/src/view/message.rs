//! One message, which the wire may hold in several pieces.
//!
//! Protobuf lets a singular sub-message occur more than once; its value is then that of the pieces
//! joined. In OTLP such splits nest at most twice (`KeyValue.value`, then `AnyValue.array_value` or
//! `kvlist_value`), because every list element is whole by itself. So a [`Message`] is a region and a
//! path of at most two field numbers, small and `Copy`, and pieces are found again while reading.

use crate::error::DecodeError;
use crate::wire::{Field, Reader, Region};

/// A message on the wire: whole, or the joined pieces found along `path`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Message<'a> {
    /// The message itself where `path` is empty, else what holds its pieces.
    outer: Region<'a>,
    /// Pieces that begin before this offset do not count: another member of the oneof cleared them.
    from: usize,
    /// Field numbers from `outer` to the pieces; zero ends the path.
    path: [u32; 2],
}

impl<'a> Message<'a> {
    /// A message in one piece.
    pub(crate) const fn whole(region: Region<'a>) -> Self {
        Self { outer: region, from: 0, path: [0; 2] }
    }

    /// Its fields in the order of the wire.
    #[inline]
    pub(crate) fn fields(&self) -> Fields<'a> {
        if self.is_whole() {
            return Fields { reader: Reader::new(self.outer), split: None };
        }
        self.split_fields()
    }

    /// Its fields from the one at `offset` on; all of them where it is in pieces.
    #[inline]
    pub(crate) fn fields_from(&self, offset: usize) -> Fields<'a> {
        if self.is_whole() {
            return Fields { reader: Reader::new(self.outer.tail(offset)), split: None };
        }
        self.split_fields()
    }

    /// Takes in one more occurrence of the singular sub-message `field` of this message.
    ///
    /// `slot` holds what was met since the last clearing.
    #[inline]
    pub(crate) fn merge(&self, slot: Option<Self>, field: &Field<'a>) -> Result<Self, DecodeError> {
        let piece = field.bytes()?;
        Ok(match slot {
            None => Self::whole(piece),
            Some(met) => self.pieces_since(met.begin(), field.number),
        })
    }

    const fn is_whole(&self) -> bool {
        let [first, _] = self.path;
        first == 0
    }

    /// Offset at which the first piece that counts begins.
    pub(crate) const fn begin(&self) -> usize {
        if self.is_whole() { self.outer.offset() } else { self.from }
    }

    #[cold]
    fn pieces_since(&self, from: usize, number: u32) -> Self {
        let [first, _] = self.path;
        let path = if first == 0 { [number, 0] } else { [first, number] };
        Self { outer: self.outer, from, path }
    }

    #[cold]
    fn split_fields(&self) -> Fields<'a> {
        let split = Split { outer: Reader::new(self.outer), middle: EMPTY, from: self.from, path: self.path };
        Fields { reader: EMPTY, split: Some(split) }
    }
}

const EMPTY: Reader<'static> = Reader::new(Region::new(&[]));

/// The fields of a [`Message`], piece after piece.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    reader: Reader<'a>,
    split: Option<Split<'a>>,
}

impl<'a> Fields<'a> {
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, DecodeError> {
        let field = self.reader.next_field()?;
        if field.is_some() || self.split.is_none() { Ok(field) } else { self.next_of_pieces() }
    }

    #[cold]
    fn next_of_pieces(&mut self) -> Result<Option<Field<'a>>, DecodeError> {
        let Some(split) = &mut self.split else { return Ok(None) };
        while let Some(piece) = split.next_piece()? {
            self.reader = Reader::new(piece);
            if let Some(field) = self.reader.next_field()? {
                return Ok(Some(field));
            }
        }
        Ok(None)
    }
}

/// Where the search for the next piece stands. Each byte of `outer` is passed once.
#[derive(Debug, Clone)]
struct Split<'a> {
    outer: Reader<'a>,
    /// The present occurrence of `path[0]`, where the path has two steps.
    middle: Reader<'a>,
    from: usize,
    path: [u32; 2],
}

impl<'a> Split<'a> {
    fn next_piece(&mut self) -> Result<Option<Region<'a>>, DecodeError> {
        let [first, second] = self.path;
        if second == 0 {
            return next_from(&mut self.outer, first, self.from);
        }
        loop {
            if let Some(piece) = next_from(&mut self.middle, second, self.from)? {
                return Ok(Some(piece));
            }
            let Some(middle) = next_from(&mut self.outer, first, 0)? else { return Ok(None) };
            self.middle = Reader::new(middle);
        }
    }
}

/// The next value of field `number` that begins at offset `from` or later.
fn next_from<'a>(
    reader: &mut Reader<'a>,
    number: u32,
    from: usize,
) -> Result<Option<Region<'a>>, DecodeError> {
    while let Some(field) = reader.next_field()? {
        if field.number == number {
            let region = field.bytes()?;
            if region.offset() >= from {
                return Ok(Some(region));
            }
        }
    }
    Ok(None)
}
