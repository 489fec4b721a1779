//! Protobuf bytes straight to JSON.
//!
//! A message is read twice: one pass over its own fields notes where each value lies, whatever their
//! order; then the values are written in ascending order of field number. What lies in sub-messages is
//! skipped by length in the first pass, so a body costs two passes a level and no memory but the stack.

use super::out::Out;
use super::{binary, number, text};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::limits::Limits;
use crate::schema::{Field, Kind, Label, MOST_FIELDS, Message, Shape};
use crate::wire::{Reader, Region, WireType, bad_tag, zigzag_decode};

/// Writes message after message.
#[derive(Debug)]
pub(super) struct Encoder<'l, 'a, 'b> {
    pub(super) limits: &'l Limits,
    /// The whole message: regions are kept as offsets into it.
    pub(super) wire: &'a [u8],
    pub(super) out: Out<'b>,
    /// Attribute values around the present one, and how many there may be.
    pub(super) depth: u32,
    pub(super) most_depth: u32,
}

/// A message on the wire: whole, or in the pieces that lie in another message.
#[derive(Debug, Clone, Copy)]
enum Source<'a, 's> {
    Whole(Region<'a>),
    Pieces {
        /// What the pieces lie in.
        outer: &'s Self,
        /// The field number they have there.
        number: u32,
        /// Those that begin before this offset were cleared by another member of the oneof.
        from: usize,
    },
}

type Visit<'v, 'a> = dyn FnMut(Region<'a>) -> Result<(), DecodeError> + 'v;

impl<'a> Source<'a, '_> {
    /// Shows every piece, in the order of the wire. How deep pieces may lie in pieces follows from the
    /// schema and is three at most: an element of a list is whole.
    fn pieces(&self, visit: &mut Visit<'_, 'a>) -> Result<(), DecodeError> {
        match *self {
            Self::Whole(region) => visit(region),
            Self::Pieces { outer, number, from } => outer.pieces(&mut |region| {
                let mut reader = Reader::new(region);
                while let Some(field) = reader.next_field()? {
                    if field.number == number {
                        let piece = field.bytes()?;
                        if piece.offset() >= from {
                            visit(piece)?;
                        }
                    }
                }
                Ok(())
            }),
        }
    }
}

/// What stands around a scalar value.
struct Around {
    string: Piece,
    bool: Piece,
    int: Piece,
    double: Piece,
    end: Piece,
    /// The end behind a value in quotes.
    quoted_end: Piece,
}

/// Around a value by itself, such as an element of a list.
static ALONE: Around = Around {
    string: Piece::new("{\"stringValue\":\""),
    bool: Piece::new("{\"boolValue\":"),
    int: Piece::new("{\"intValue\":\""),
    double: Piece::new("{\"doubleValue\":"),
    end: Piece::new("}"),
    quoted_end: Piece::new("\"}"),
};

/// Around a value behind a key, from the key's closing quote to the end of the pair.
static IN_PAIR: Around = Around {
    string: Piece::new("\",\"value\":{\"stringValue\":\""),
    bool: Piece::new("\",\"value\":{\"boolValue\":"),
    int: Piece::new("\",\"value\":{\"intValue\":\""),
    double: Piece::new("\",\"value\":{\"doubleValue\":"),
    end: Piece::new("}}"),
    quoted_end: Piece::new("\"}}"),
};

/// A fixed text, with room to be copied in one piece.
struct Piece {
    text: [u8; 32],
    len: usize,
}

impl Piece {
    const fn new(text: &str) -> Self {
        let mut padded = [0; 32];
        padded.split_at_mut(text.len()).0.copy_from_slice(text.as_bytes());
        Self { text: padded, len: text.len() }
    }

    #[inline(always)]
    fn write(&self, out: &mut Out<'_>) {
        out.padded(&self.text, self.len);
    }
}

/// What one pass over a message found.
struct Found {
    /// By index of the field: the bits of a number, or where in the message bytes lie.
    slots: [u64; MOST_FIELDS],
    /// Fields that are there.
    present: u32,
    /// Those of them that are sub-messages in several pieces; the slot says where the first one is.
    split: u32,
}

impl<'a> Encoder<'_, 'a, '_> {
    /// Writes the message that `region` holds.
    pub(super) fn message(
        &mut self,
        schema: &'static Message,
        region: Region<'a>,
    ) -> Result<(), DecodeError> {
        if schema.shape == Shape::Value {
            return self.value(schema, region);
        }
        self.fields(schema, &Source::Whole(region))
    }

    /// Writes an attribute value, which may hold others.
    fn value(&mut self, schema: &'static Message, region: Region<'a>) -> Result<(), DecodeError> {
        self.deeper(region.offset(), |this| {
            if this.scalar(region) { Ok(()) } else { this.fields(schema, &Source::Whole(region)) }
        })
    }

    #[inline]
    fn deeper(
        &mut self,
        offset: usize,
        write: impl FnOnce(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.depth += 1;
        if self.depth > self.most_depth {
            return Err(super::limit("max_depth", self.depth as usize, self.most_depth as usize, offset));
        }
        let result = write(self);
        self.depth -= 1;
        result
    }

    /// Writes a value that is just one scalar; false where it is not, or where something is wrong with it.
    #[inline]
    fn scalar(&mut self, region: Region<'a>) -> bool {
        let start = self.out.position();
        let written = self.try_scalar(region, &ALONE).is_some();
        if !written {
            self.out.back_to(start);
        }
        written
    }

    #[inline(always)]
    fn try_scalar(&mut self, region: Region<'a>, around: &Around) -> Option<()> {
        let mut reader = Reader::new(region);
        match reader.next_tag().ok()?? {
            0x0a => {
                let value = reader.delimited().ok()?.bytes();
                if value.len() > self.limits.string_bytes() {
                    return None;
                }
                around.string.write(&mut self.out);
                if !text::write(&mut self.out, value) {
                    return None;
                }
                around.quoted_end.write(&mut self.out);
            }
            0x10 => {
                let value = reader.varint().ok()? != 0;
                around.bool.write(&mut self.out);
                self.bool(value);
                around.end.write(&mut self.out);
            }
            0x18 => {
                let value = reader.varint().ok()?;
                around.int.write(&mut self.out);
                number::write_i64(&mut self.out, value.cast_signed());
                around.quoted_end.write(&mut self.out);
            }
            0x21 => {
                let value = reader.fixed64().ok()?;
                around.double.write(&mut self.out);
                number::write_f64(&mut self.out, f64::from_bits(value));
                around.end.write(&mut self.out);
            }
            _ => return None,
        }
        reader.is_empty().then_some(())
    }

    /// Writes a key and a value where there is nothing else and the value is a scalar, which is what most
    /// of a request consists of; false where it is not so, or where something is wrong.
    #[inline(always)]
    fn pair(&mut self, region: Region<'a>) -> bool {
        const KEY: u32 = 1 << 3 | 2;
        const VALUE: u32 = 2 << 3 | 2;
        let mut reader = Reader::new(region);
        let mut field = || Some((reader.next_tag().ok()??, reader.delimited().ok()?));
        let (Some(first), Some(second)) = (field(), field()) else { return false };
        let (key, value) = match (first, second) {
            ((KEY, key), (VALUE, value)) | ((VALUE, value), (KEY, key)) => (key.bytes(), value),
            _ => return false,
        };
        // An empty key is left out, as every default is.
        let is_usual = !key.is_empty() && key.len() <= self.limits.string_bytes();
        if !reader.is_empty() || !is_usual || self.depth >= self.most_depth {
            return false;
        }
        let start = self.out.position();
        self.out.put(b"{\"key\":\"");
        if text::write(&mut self.out, key) && self.try_scalar(value, &IN_PAIR).is_some() {
            return true;
        }
        self.out.back_to(start);
        false
    }

    /// Writes a message field by field.
    fn fields(&mut self, schema: &'static Message, source: &Source<'a, '_>) -> Result<(), DecodeError> {
        let mut found = Found { slots: [0; MOST_FIELDS], present: 0, split: 0 };
        match source {
            Source::Whole(region) => self.find(schema, *region, &mut found)?,
            Source::Pieces { .. } => source.pieces(&mut |region| self.find(schema, region, &mut found))?,
        }
        let start = self.out.position();
        let mut left = found.present;
        while left != 0 {
            let index = left.trailing_zeros() as usize;
            left &= left - 1;
            let (Some(field), Some(slot)) = (schema.fields.get(index), found.slots.get(index)) else { break };
            if found.split >> index & 1 == 1 {
                self.pieces(field, source, *slot)?;
            } else {
                self.member(field, source, *slot)?;
            }
        }
        self.close(start, [b'{', b'}']);
        Ok(())
    }

    /// Every member and element was written with a comma before it: the first one becomes the bracket.
    #[inline(always)]
    fn close(&mut self, start: usize, [open, close]: [u8; 2]) {
        if self.out.position() == start {
            self.out.put(&[open, close]);
        } else {
            self.out.set(start, open);
            self.out.put(&[close]);
        }
    }

    /// Notes where the values of one piece of a message lie.
    #[inline]
    fn find(
        &self,
        schema: &'static Message,
        region: Region<'a>,
        found: &mut Found,
    ) -> Result<(), DecodeError> {
        let mut reader = Reader::new(region);
        loop {
            let offset = reader.offset();
            let Some(tag) = reader.next_tag()? else { return Ok(()) };
            let Some((index, field)) = schema.by_tag(tag) else {
                skip(schema, tag, &mut reader, offset)?;
                continue;
            };
            let bit = 1 << index;
            let before = found.slots.get(index).copied().unwrap_or_default();
            let is_first = found.present & bit == 0;
            let slot = match field.label {
                Label::List | Label::Attributes => {
                    let count = count(&mut reader, tag)?;
                    if is_first { pack(offset, count) } else { before + u64::from(count) }
                }
                _ => match tag & 7 {
                    0 => reader.varint()?,
                    1 => reader.fixed64()?,
                    5 => reader.fixed32()?.into(),
                    _ => {
                        let value = reader.delimited()?;
                        if is_first {
                            pack(value.offset(), narrow(value.bytes().len()))
                        } else if let Kind::Message(_) = field.kind {
                            found.split |= bit;
                            before
                        } else {
                            self.check_bytes(field, self.region(before))?;
                            pack(value.offset(), narrow(value.bytes().len()))
                        }
                    }
                },
            };
            let rivals = schema.rivals(index);
            if found.present & rivals != 0 {
                self.clear(schema, rivals, found)?;
            }
            found.present |= bit;
            if let Some(place) = found.slots.get_mut(index) {
                *place = slot;
            }
        }
    }

    /// Drops what other members of a oneof held. Texts among them are still checked, as a decoder that
    /// reads them one after the other would; messages are not looked into.
    #[cold]
    fn clear(&self, schema: &Message, rivals: u32, found: &mut Found) -> Result<(), DecodeError> {
        for (index, field) in schema.fields.iter().enumerate() {
            if found.present & rivals & 1 << index != 0
                && field.kind.wire_type() == 2
                && !matches!(field.kind, Kind::Message(_))
            {
                self.check_bytes(field, self.region(found.slots.get(index).copied().unwrap_or_default()))?;
            }
        }
        found.present &= !rivals;
        found.split &= !rivals;
        Ok(())
    }

    /// Refuses bytes that are longer than allowed, and texts that are not UTF-8.
    fn check_bytes(&self, field: &Field, value: Region<'a>) -> Result<(), DecodeError> {
        let (bytes, offset) = (value.bytes(), value.offset());
        let most = self.limits.string_bytes();
        if bytes.len() > most {
            return Err(super::limit("max_string_bytes", bytes.len(), most, offset));
        }
        match field.kind {
            Kind::String if crate::wire::text(bytes).is_none() => {
                Err(DecodeError::new(offset, DecodeErrorKind::Utf8(field.number)))
            }
            Kind::Id(len) if !bytes.is_empty() && bytes.len() != usize::from(len) => {
                Err(DecodeError::new(offset, super::id_length(len, bytes.len())))
            }
            _ => Ok(()),
        }
    }

    /// The bytes that a slot says lie there.
    #[inline(always)]
    fn region(&self, slot: u64) -> Region<'a> {
        let (offset, len) = unpack(slot);
        Region::new(self.wire).part(offset, len)
    }

    /// Writes a singular sub-message whose pieces lie apart; `slot` says where the first one is.
    #[cold]
    fn pieces(&mut self, field: &Field, source: &Source<'a, '_>, slot: u64) -> Result<(), DecodeError> {
        let Kind::Message(child) = field.kind else { return Ok(()) };
        let (from, _) = unpack(slot);
        let pieces = Source::Pieces { outer: source, number: field.number, from };
        self.key(field);
        if child.shape == Shape::Value {
            self.deeper(from, |this| this.fields(child, &pieces))
        } else {
            self.fields(child, &pieces)
        }
    }

    /// Writes a field: its name and what its slot says.
    #[inline]
    fn member(
        &mut self,
        field: &'static Field,
        source: &Source<'a, '_>,
        slot: u64,
    ) -> Result<(), DecodeError> {
        if field.is_list() {
            return self.list(field, source, slot);
        }
        if field.kind.wire_type() == 2 {
            let value = self.region(slot);
            if let Kind::Message(child) = field.kind {
                self.key(field);
                return self.message(child, value);
            }
            if field.has_presence() || !value.bytes().is_empty() {
                self.key(field);
                return self.bytes(field, value);
            }
            return Ok(());
        }
        let value = normal(field.kind, slot);
        if field.has_presence() || value != 0 {
            self.key(field);
            self.number(field.kind, value);
        }
        Ok(())
    }

    /// `,"name":`
    #[inline(always)]
    fn key(&mut self, field: &Field) {
        let (text, len) = field.key.padded();
        self.out.padded(text, len);
    }

    /// Writes a text, an identifier or other bytes, in quotes.
    #[inline]
    fn bytes(&mut self, field: &Field, value: Region<'a>) -> Result<(), DecodeError> {
        let bytes = value.bytes();
        if bytes.len() > self.limits.string_bytes() {
            return self.check_bytes(field, value);
        }
        self.out.put(b"\"");
        match field.kind {
            Kind::String => {
                if !text::write(&mut self.out, bytes) {
                    return self.check_bytes(field, value);
                }
            }
            Kind::Id(16) if bytes.len() == 16 => binary::write_hex(&mut self.out, bytes),
            Kind::Id(8) if bytes.len() == 8 => binary::write_hex(&mut self.out, bytes),
            Kind::Id(_) => self.check_bytes(field, value)?,
            _ => binary::write_base64(&mut self.out, bytes),
        }
        self.out.put(b"\"");
        Ok(())
    }

    #[inline(always)]
    fn bool(&mut self, value: bool) {
        let (text, len) = if value { (b"true\0", 4) } else { (b"false", 5) };
        self.out.padded(text, len);
    }

    /// Writes a number whose bits were made [`normal`].
    #[inline(always)]
    fn number(&mut self, kind: Kind, bits: u64) {
        match kind {
            Kind::Bool => self.bool(bits != 0),
            Kind::Double => number::write_f64(&mut self.out, f64::from_bits(bits)),
            Kind::Int32 | Kind::Sint32 | Kind::Enum(_) => {
                number::write_i64(&mut self.out, bits.cast_signed());
            }
            Kind::Uint32 | Kind::Fixed32 => number::write_u64(&mut self.out, bits),
            Kind::Int64 | Kind::Sfixed64 => {
                self.out.put(b"\"");
                number::write_i64(&mut self.out, bits.cast_signed());
                self.out.put(b"\"");
            }
            _ => {
                self.out.put(b"\"");
                number::write_u64(&mut self.out, bits);
                self.out.put(b"\"");
            }
        }
    }

    /// Writes the elements of a repeated field; the slot says where the first one is and how many times
    /// the field occurs.
    #[inline(never)]
    fn list(&mut self, field: &'static Field, source: &Source<'a, '_>, slot: u64) -> Result<(), DecodeError> {
        let (first, count) = unpack(slot);
        let (what, most) = match field.label {
            Label::Attributes => ("max_attributes", self.limits.attributes()),
            _ => ("max_elements", self.limits.elements()),
        };
        // Runs of numbers hold any number of elements, and are counted as they are written.
        if count > most && !field.is_packed() {
            return Err(super::limit(what, count, most, first));
        }
        let start = self.out.position();
        self.key(field);
        let open = self.out.position();
        match source {
            Source::Whole(region) => {
                self.elements(field, region.tail(first), &mut (count, most))?;
            }
            Source::Pieces { .. } => {
                let mut left = (count, most);
                source.pieces(&mut |region| self.elements(field, region, &mut left))?;
            }
        }
        if self.out.position() == open {
            // Runs without numbers.
            self.out.back_to(start);
        } else {
            self.close(open, [b'[', b']']);
        }
        Ok(())
    }

    /// Writes what of a repeated field lies in `region`, until as many occurrences as `left` says were met.
    #[inline]
    fn elements(
        &mut self,
        field: &'static Field,
        region: Region<'a>,
        left: &mut (usize, usize),
    ) -> Result<(), DecodeError> {
        let mut reader = Reader::new(region);
        while left.0 > 0 {
            let offset = reader.offset();
            let Some(tag) = reader.next_tag()? else { return Ok(()) };
            if tag >> 3 != field.number {
                skip_value(tag, &mut reader, offset)?;
                continue;
            }
            loop {
                left.0 -= 1;
                self.element(field, tag, &mut reader, &mut left.1)?;
                if left.0 == 0 || !reader.pass_tag(tag) {
                    break;
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn element(
        &mut self,
        field: &'static Field,
        tag: u32,
        reader: &mut Reader<'a>,
        most: &mut usize,
    ) -> Result<(), DecodeError> {
        if field.is_packed() {
            return self.numbers(field, tag, reader, most);
        }
        let value = reader.delimited()?;
        self.out.put(b",");
        match field.kind {
            Kind::Message(child) if child.shape == Shape::Pair && self.pair(value) => Ok(()),
            Kind::Message(child) => self.message(child, value),
            _ => self.bytes(field, value),
        }
    }

    /// Writes a number of a repeated field, or a run of them; `most` is how many there may be yet.
    fn numbers(
        &mut self,
        field: &Field,
        tag: u32,
        reader: &mut Reader<'a>,
        most: &mut usize,
    ) -> Result<(), DecodeError> {
        let offset = reader.offset();
        let mut one = |this: &mut Self, reader: &mut Reader<'a>| {
            let value = match field.kind.wire_type() {
                0 => reader.varint()?,
                1 => reader.fixed64()?,
                _ => reader.fixed32()?.into(),
            };
            let Some(left) = most.checked_sub(1) else {
                let bound = this.limits.elements();
                return Err(super::limit("max_elements", bound + 1, bound, offset));
            };
            *most = left;
            this.out.put(b",");
            this.number(field.kind, normal(field.kind, value));
            Ok(())
        };
        if tag & 7 != 2 {
            return one(self, reader);
        }
        let mut run = Reader::new(reader.delimited()?);
        while !run.is_empty() {
            one(self, &mut run)?;
        }
        Ok(())
    }
}

/// The bits of a number as protobuf reads them into the field's type: 32-bit types take the low half.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "protobuf asks for the low 32 bits")]
fn normal(kind: Kind, raw: u64) -> u64 {
    match kind {
        Kind::Int32 | Kind::Enum(_) => i64::from((raw as u32).cast_signed()).cast_unsigned(),
        Kind::Uint32 => u64::from(raw as u32),
        Kind::Sint32 => zigzag_decode(u64::from(raw as u32)).cast_unsigned(),
        Kind::Bool => u64::from(raw != 0),
        _ => raw,
    }
}

/// Passes over the present element of a list and those right behind it; gives how many there were.
#[inline(always)]
fn count(reader: &mut Reader<'_>, tag: u32) -> Result<u32, DecodeError> {
    let mut count = 0;
    loop {
        match tag & 7 {
            0 => drop(reader.varint()?),
            1 => drop(reader.fixed64()?),
            5 => drop(reader.fixed32()?),
            _ => drop(reader.delimited()?),
        }
        // Each takes two bytes at least, of fewer than 2^31.
        count += 1;
        if !reader.pass_tag(tag) {
            return Ok(count);
        }
    }
}

/// Passes over a field that the schema does not have, or not with this wire type, which is refused.
#[cold]
fn skip(schema: &Message, tag: u32, reader: &mut Reader<'_>, offset: usize) -> Result<(), DecodeError> {
    let (field, met) = (tag >> 3, (tag & 7) as u8);
    if schema.by_number(field).is_some() && matches!(met, 0 | 1 | 2 | 5) {
        return Err(DecodeError::new(offset, DecodeErrorKind::UnexpectedWireType { field, met }));
    }
    skip_value(tag, reader, offset)
}

#[inline]
fn skip_value(tag: u32, reader: &mut Reader<'_>, offset: usize) -> Result<(), DecodeError> {
    const VARINT: u32 = WireType::Varint as u32;
    const FIXED64: u32 = WireType::Fixed64 as u32;
    const BYTES: u32 = WireType::Bytes as u32;
    const FIXED32: u32 = WireType::Fixed32 as u32;
    match tag & 7 {
        VARINT => reader.varint().map(drop),
        FIXED64 => reader.fixed64().map(drop),
        BYTES => reader.delimited().map(drop),
        FIXED32 => reader.fixed32().map(drop),
        _ => Err(bad_tag(tag.into(), offset)),
    }
}

/// An offset and a length or count in one. Messages of 2 GiB and more are refused at the door.
#[inline(always)]
fn pack(offset: usize, len: u32) -> u64 {
    u64::from(narrow(offset)) << 32 | u64::from(len)
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
const fn unpack(slot: u64) -> (usize, usize) {
    ((slot >> 32) as usize, slot as u32 as usize)
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the length of a whole message is checked to be less")]
const fn narrow(offset: usize) -> u32 {
    offset as u32
}
