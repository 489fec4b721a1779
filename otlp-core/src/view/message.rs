//! One message, which the wire may hold in several pieces.
//!
//! Protobuf lets a singular sub-message occur more than once; its value is then that of the pieces
//! joined. In OTLP such splits nest at most twice (`KeyValue.value`, then `AnyValue.array_value` or
//! `kvlist_value`), because every list element is whole by itself. So a [`Message`] is a region and a
//! path of at most two field numbers, small and `Copy`, and pieces are found again while reading.

use crate::error::{DecodeError, DecodeErrorKind};
use crate::wire::{Reader, Region, Writer, bad_tag};

/// A message on the wire: whole, or the joined pieces found along `path`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Message<'a> {
    /// The message itself where `path` is empty, else what holds its pieces.
    outer: Region<'a>,
    /// Pieces that begin before this offset do not count: another member of the oneof cleared them.
    from: u32,
    /// Field numbers from `outer` to the pieces, all of them small; zero ends the path.
    path: [u8; 2],
}

impl<'a> Message<'a> {
    /// A message in one piece.
    #[inline]
    pub(crate) const fn whole(region: Region<'a>) -> Self {
        Self { outer: region, from: 0, path: [0; 2] }
    }

    /// Its pieces in the order of the wire: itself where it is whole.
    #[inline(always)]
    pub(crate) fn pieces(&self) -> Pieces<'a> {
        if self.is_whole() { Pieces { whole: Some(self.outer), split: None } } else { self.split_pieces() }
    }

    /// The fields from `offset` on, where one is known to begin.
    #[inline]
    pub(crate) fn fields_at(&self, offset: u32) -> Fields<'a> {
        Fields::new(self.outer.tail(offset as usize))
    }

    /// The fields from the one at `offset` on, and the pieces behind them.
    #[inline(always)]
    pub(crate) fn fields_from(&self, offset: u32) -> (Fields<'a>, Pieces<'a>) {
        if self.is_whole() {
            (Fields::new(self.outer.tail(offset as usize)), Pieces { whole: None, split: None })
        } else {
            (Fields::new(Region::new(&[])), self.split_pieces())
        }
    }

    /// Takes in one more occurrence of the singular sub-message `number` of this message.
    ///
    /// `slot` holds what was met since the last clearing.
    #[inline(always)]
    pub(crate) fn merge(
        &self,
        slot: Option<Self>,
        number: u8,
        fields: &mut Fields<'a>,
    ) -> Result<Self, DecodeError> {
        let piece = fields.delimited()?;
        Ok(match slot {
            None => Self::whole(piece),
            Some(met) => self.pieces_since(&met, number),
        })
    }

    /// The message's bytes, where they are in one piece.
    #[inline(always)]
    pub(crate) const fn as_whole(&self) -> Option<Region<'a>> {
        if self.is_whole() { Some(self.outer) } else { None }
    }

    /// The bytes of a value that is no message and so is never in pieces.
    #[inline]
    pub(crate) const fn as_bytes(&self) -> &'a [u8] {
        self.outer.bytes()
    }

    /// Puts the message's content in front of what `writer` holds; pieces one behind the other, which says
    /// the same as the message in one piece.
    pub(crate) fn write(&self, writer: &mut Writer) {
        if let Some(whole) = self.as_whole() {
            return writer.raw(whole.bytes());
        }
        // Reading has walked the same pieces before, so no error comes.
        let pieces = || {
            let mut pieces = self.pieces();
            std::iter::from_fn(move || pieces.next().ok()?.map(|piece| piece.reader.rest()))
        };
        writer.raw_parts(pieces().map(<[u8]>::len).sum(), pieces());
    }

    #[inline(always)]
    const fn is_whole(&self) -> bool {
        let [first, _] = self.path;
        first == 0
    }

    /// Offset at which the first piece that counts begins.
    #[inline]
    pub(crate) const fn begin(&self) -> usize {
        if self.is_whole() { self.outer.offset() } else { self.from as usize }
    }

    /// The pieces found under `number` from the begin of `met` on.
    #[cold]
    fn pieces_since(&self, met: &Self, number: u8) -> Self {
        let [first, _] = self.path;
        let path = if first == 0 { [number, 0] } else { [first, number] };
        Self { outer: self.outer, from: narrow(met.begin()), path }
    }

    #[cold]
    fn split_pieces(&self) -> Pieces<'a> {
        let split = Split {
            outer: Reader::new(self.outer),
            middle: Reader::new(Region::new(&[])),
            from: self.from as usize,
            path: self.path.map(u32::from),
        };
        Pieces { whole: None, split: Some(split) }
    }
}

/// An offset in half the room: messages of 2 GiB and more are refused at the door.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "`Context::new` bounds the length of the message")]
pub(crate) const fn narrow(offset: usize) -> u32 {
    offset as u32
}

/// The pieces of a [`Message`], one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Pieces<'a> {
    whole: Option<Region<'a>>,
    split: Option<Split<'a>>,
}

impl<'a> Pieces<'a> {
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Result<Option<Fields<'a>>, DecodeError> {
        if let Some(whole) = self.whole.take() {
            return Ok(Some(Fields::new(whole)));
        }
        let Some(split) = self.split.take() else { return Ok(None) };
        let (split, piece) = split.next_piece()?;
        self.split = Some(split);
        Ok(piece.map(Fields::new))
    }
}

/// The fields of one piece of a message.
///
/// After [`next`](Self::next) exactly one of the methods that read a value, or [`skip`](Self::skip),
/// has to be called.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    reader: Reader<'a>,
    /// Tag of the present field, and where it stands.
    tag: u32,
    offset: usize,
}

/// Wire types, as in the low bits of a tag.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
pub(crate) const BYTES: u32 = 2;
const FIXED32: u32 = 5;

impl<'a> Fields<'a> {
    #[inline(always)]
    pub(crate) const fn new(piece: Region<'a>) -> Self {
        Self { reader: Reader::new(piece), tag: 0, offset: 0 }
    }

    /// The number of the next field, or `None` at the end.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Result<Option<u32>, DecodeError> {
        self.offset = self.reader.offset();
        let tag = self.reader.next_tag()?;
        self.tag = tag.unwrap_or_default();
        Ok(tag.map(|tag| tag >> 3))
    }

    /// Goes on to the next field where it has the same tag as the present one, as in a list.
    #[inline(always)]
    pub(crate) fn next_alike(&mut self) -> bool {
        self.next_is(self.tag)
    }

    /// Goes on to the next field where it has this tag, which takes one byte.
    #[inline(always)]
    pub(crate) fn next_is(&mut self, tag: u32) -> bool {
        let offset = self.reader.offset();
        let is_next = self.reader.pass_tag(tag);
        if is_next {
            (self.tag, self.offset) = (tag, offset);
        }
        is_next
    }

    /// Offset of the present field's tag.
    #[inline]
    pub(crate) const fn offset(&self) -> usize {
        self.offset
    }

    /// Tag of the present field.
    #[inline(always)]
    pub(crate) const fn tag(&self) -> u32 {
        self.tag
    }

    /// Number of the present field.
    #[inline(always)]
    pub(crate) const fn number(&self) -> u32 {
        self.tag >> 3
    }

    /// True where the value is length-delimited.
    #[inline]
    pub(crate) const fn is_delimited(&self) -> bool {
        self.tag & 7 == BYTES
    }

    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        self.expect(VARINT)?;
        self.reader.varint()
    }

    #[inline(always)]
    pub(crate) fn fixed64(&mut self) -> Result<u64, DecodeError> {
        self.expect(FIXED64)?;
        self.reader.fixed64()
    }

    #[inline(always)]
    pub(crate) fn fixed32(&mut self) -> Result<u32, DecodeError> {
        self.expect(FIXED32)?;
        self.reader.fixed32()
    }

    #[inline(always)]
    pub(crate) fn delimited(&mut self) -> Result<Region<'a>, DecodeError> {
        self.expect(BYTES)?;
        self.reader.delimited()
    }

    /// Passes over a field of a number that is not known.
    #[inline(always)]
    pub(crate) fn skip(&mut self) -> Result<(), DecodeError> {
        match self.tag & 7 {
            BYTES => self.reader.delimited().map(drop),
            wire_type @ (FIXED64 | FIXED32) => self.reader.pass(if wire_type == FIXED64 { 8 } else { 4 }),
            VARINT => self.reader.varint().map(drop),
            _ => Err(bad_tag(self.tag.into(), self.offset)),
        }
    }

    #[inline(always)]
    fn expect(&self, wire_type: u32) -> Result<(), DecodeError> {
        if self.tag & 7 == wire_type { Ok(()) } else { Err(unexpected(self.tag, self.offset)) }
    }
}

#[inline(always)]
const fn unexpected(tag: u32, offset: usize) -> DecodeError {
    let kind = match tag & 7 {
        VARINT | FIXED64 | BYTES | FIXED32 => {
            DecodeErrorKind::UnexpectedWireType { field: tag >> 3, met: (tag & 7) as u8 }
        }
        _ => DecodeErrorKind::WireType((tag & 7) as u8),
    };
    DecodeError::new(offset, kind)
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
    /// The next piece, and what comes after it. By value, so that whoever holds the whole of it may keep
    /// the rest in registers.
    #[cold]
    #[inline(never)]
    fn next_piece(mut self) -> Result<(Self, Option<Region<'a>>), DecodeError> {
        let [first, second] = self.path;
        if second == 0 {
            let piece = next_from(&mut self.outer, first, self.from)?;
            return Ok((self, piece));
        }
        loop {
            if let Some(piece) = next_from(&mut self.middle, second, self.from)? {
                return Ok((self, Some(piece)));
            }
            let Some(middle) = next_from(&mut self.outer, first, 0)? else { return Ok((self, None)) };
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
