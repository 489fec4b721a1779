//! JSON straight to protobuf bytes.
//!
//! Members are written in the order in which they stand. The length of a message is known only at its
//! end, so room for it is left in front, as many bytes as a message of its kind mostly needs; where that
//! was wrong, what was written is moved (see [`Gaps`]).

use super::out::Out;
use super::scan::Scanner;
use super::{Reading, binary, number};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::limits::Limits;
use crate::schema::{Field, Kind, Label, Message, Shape};
use crate::wire::{varint_len, zigzag_encode};

/// Reads object after object.
#[derive(Debug)]
pub(super) struct Decoder<'l, 't, 'b> {
    pub(super) scan: Scanner<'t>,
    pub(super) limits: &'l Limits,
    pub(super) reading: Reading,
    pub(super) out: Out<'b>,
    pub(super) gaps: Gaps,
    /// Attribute values around the present one, and how many there may be.
    pub(super) depth: u32,
    pub(super) most_depth: u32,
}

/// Room that was left for a length.
#[derive(Debug, Clone, Copy)]
struct Open {
    at: usize,
    room: usize,
    /// [`Gaps::growth`] when it was left.
    growth: usize,
}

/// Lengths that need more room than was left for them, in messages too large to be moved at once.
///
/// Were they moved at once, a text whose every level is a little too large would be moved as many times
/// as it has levels. So they are noted, and moved together at the end, each byte once.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    gaps: Vec<Gap>,
    /// Bytes missing in all of them.
    growth: usize,
}

#[derive(Debug, Clone, Copy)]
struct Gap {
    at: usize,
    room: usize,
    len: usize,
}

/// Messages of up to so many bytes are moved at once.
const NEAR: usize = 32 << 10;

impl Decoder<'_, '_, '_> {
    /// Reads a text that is one object, with nothing but white space around it.
    pub(super) fn document(&mut self, schema: &'static Message) -> Result<(), DecodeError> {
        self.scan.space();
        self.message(schema)?;
        self.scan.space();
        if self.scan.peek().is_some() {
            return Err(self.scan.unexpected("the end of the text"));
        }
        self.gaps.close(&mut self.out);
        self.check_size()
    }

    fn message(&mut self, schema: &'static Message) -> Result<(), DecodeError> {
        if schema.shape != Shape::Value {
            return self.members(schema);
        }
        self.depth += 1;
        if self.depth > self.most_depth {
            let (met, most) = (self.depth as usize, self.most_depth as usize);
            return Err(super::limit("max_depth", met, most, self.scan.offset()));
        }
        let result = self.members(schema);
        self.depth -= 1;
        result
    }

    #[inline]
    fn members(&mut self, schema: &'static Message) -> Result<(), DecodeError> {
        if !self.scan.take(b'{') {
            return Err(self.scan.unexpected("an object"));
        }
        self.scan.space();
        if self.scan.take(b'}') {
            return Ok(());
        }
        let (mut seen, mut next) = (0, 0);
        loop {
            let offset = self.scan.offset();
            let found = self.name(schema, next)?;
            self.scan.mark(b':', "':'")?;
            match found.and_then(|index| Some((index, schema.fields.get(index)?))) {
                None => self.scan.skip(self.most_depth, &mut self.out)?,
                Some(_) if self.scan.literal(b"null") => {}
                Some((index, field)) => {
                    if seen & (1 << index | schema.rivals(index)) != 0 {
                        return Err(repeated(field, offset));
                    }
                    seen |= 1 << index;
                    next = index + 1;
                    self.member(field)?;
                }
            }
            if !self.scan.another(b'}', "',' or '}'")? {
                return Ok(());
            }
        }
    }

    /// Reads a member's name; gives the index of the field, none for an unknown one. Fields mostly come in
    /// the order of the schema, so the one behind the last is looked at first.
    #[inline]
    fn name(&mut self, schema: &'static Message, next: usize) -> Result<Option<usize>, DecodeError> {
        if self.scan.peek() != Some(b'"') {
            return Err(self.scan.unexpected("a name"));
        }
        self.scan.pass(1);
        let (head, rest) = (self.scan.head(), self.scan.rest());
        let from = |first: usize| schema.fields.iter().enumerate().skip(first);
        for (index, field) in from(next).chain(from(0).take(next)) {
            if let Some(len) = field.key.matches(head, rest) {
                self.scan.pass(len);
                return Ok(Some(index));
            }
        }
        self.scan.back_to(self.scan.offset() - 1);
        self.odd_name(schema)
    }

    /// Reads a name that is no field's as it stands: unknown, with escapes, or of the `.proto` file.
    #[cold]
    fn odd_name(&mut self, schema: &'static Message) -> Result<Option<usize>, DecodeError> {
        let position = self.out.position();
        self.scan.string(&mut self.out, "a name")?;
        let name = self.out.written(position);
        let found = schema.fields.iter().position(|field| {
            field.key.name() == name || self.reading == Reading::Lenient && field.name.as_bytes() == name
        });
        self.out.back_to(position);
        Ok(found)
    }

    #[inline]
    fn member(&mut self, field: &'static Field) -> Result<(), DecodeError> {
        if field.is_list() {
            return self.list(field);
        }
        match field.kind {
            Kind::Message(child) => self.nested(field, child),
            Kind::String => self.string(field),
            Kind::Id(len) => self.id(field, len),
            Kind::Bytes => self.bytes(field),
            kind => {
                let value = self.number(kind, field)?;
                if value != 0 || field.has_presence() {
                    self.tag(field);
                    self.raw(kind, value);
                }
                Ok(())
            }
        }
    }

    #[inline]
    fn nested(&mut self, field: &Field, child: &'static Message) -> Result<(), DecodeError> {
        self.tag(field);
        let room = match child.shape {
            Shape::Group => 3,
            Shape::Record => 2,
            Shape::Part | Shape::Pair | Shape::Value => 1,
        };
        let open = self.open(room);
        self.message(child)?;
        self.close(open)
    }

    #[inline(never)]
    fn list(&mut self, field: &'static Field) -> Result<(), DecodeError> {
        if !self.scan.take(b'[') {
            return Err(self.scan.unexpected("an array"));
        }
        self.scan.space();
        if self.scan.take(b']') {
            return Ok(());
        }
        if field.is_packed() {
            self.tag(field);
            let open = self.open(1);
            self.elements(field, |this| {
                let value = this.number(field.kind, field)?;
                this.raw(field.kind, value);
                this.check_size()
            })?;
            return self.close(open);
        }
        self.elements(field, |this| match field.kind {
            Kind::Message(child) => this.nested(field, child),
            _ => this.text(field),
        })
    }

    #[inline]
    fn elements(
        &mut self,
        field: &Field,
        mut read: impl FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let (what, most) = match field.label {
            Label::Attributes => ("max_attributes", self.limits.attributes()),
            _ => ("max_elements", self.limits.elements()),
        };
        let mut count = 0;
        loop {
            count += 1;
            if count > most {
                return Err(super::limit(what, count, most, self.scan.offset()));
            }
            read(self)?;
            if !self.scan.another(b']', "',' or ']'")? {
                return Ok(());
            }
        }
    }

    /// A text; nothing is written where it is empty and that is the default.
    #[inline]
    fn string(&mut self, field: &Field) -> Result<(), DecodeError> {
        let before = self.out.position();
        self.text(field)?;
        if !field.has_presence() && self.out.position() == before + field.tag_len + 1 {
            self.out.back_to(before);
        }
        Ok(())
    }

    /// A text, written even where it is empty.
    #[inline]
    fn text(&mut self, field: &Field) -> Result<(), DecodeError> {
        self.tag(field);
        let (offset, open) = (self.scan.offset(), self.open(1));
        self.scan.string(&mut self.out, "a string")?;
        let (len, most) = (self.len(open), self.limits.string_bytes());
        if len > most {
            return Err(super::limit("max_string_bytes", len, most, offset));
        }
        self.close(open)
    }

    /// An identifier in hexadecimal.
    #[inline]
    fn id(&mut self, field: &Field, len: u8) -> Result<(), DecodeError> {
        let digits = 2 * usize::from(len);
        let quoted = self.scan.rest().split_at_checked(digits + 2);
        let Some(([b'"', digits @ .., b'"'], _)) = quoted else { return self.odd_id(field, len) };
        let before = self.out.position();
        self.tag(field);
        self.out.put(&[len]);
        if !binary::read_hex(digits, self.out.room(len.into())) {
            self.out.back_to(before);
            return self.odd_id(field, len);
        }
        self.out.advance(len.into());
        self.scan.pass(digits.len() + 2);
        Ok(())
    }

    /// An identifier that is empty, has escapes, or is wrong.
    #[cold]
    fn odd_id(&mut self, field: &Field, len: u8) -> Result<(), DecodeError> {
        let (offset, before) = (self.scan.offset(), self.out.position());
        self.scan.string(&mut self.out, "hexadecimal digits in quotes")?;
        let mut id = [0; 16];
        let text = self.out.written(before);
        if let Some(at) = text.iter().position(|digit| binary::hex_value(*digit).is_none()) {
            return Err(DecodeError::new(offset + 1 + at, DecodeErrorKind::Invalid("no hexadecimal digit")));
        }
        let id = id.get_mut(..len.into()).unwrap_or_default();
        let (met, is_empty) = (text.len().div_ceil(2), text.is_empty());
        if !is_empty && (text.len() != 2 * id.len() || !binary::read_hex(text, id)) {
            return Err(DecodeError::new(offset, super::id_length(len, met)));
        }
        self.out.back_to(before);
        if !is_empty {
            self.tag(field);
            self.out.put(&[len]);
            self.out.slice(id);
        }
        Ok(())
    }

    /// Bytes in base64.
    fn bytes(&mut self, field: &Field) -> Result<(), DecodeError> {
        let (offset, before) = (self.scan.offset(), self.out.position());
        self.tag(field);
        let open = self.open(1);
        let from = self.out.position();
        self.scan.string(&mut self.out, "base64 in quotes")?;
        let bad = |at| DecodeError::new(offset + 1 + at, DecodeErrorKind::Invalid("no base64"));
        let len = binary::read_base64(self.out.written_mut(from)).map_err(bad)?;
        let most = self.limits.string_bytes();
        if len > most {
            return Err(super::limit("max_string_bytes", len, most, offset));
        }
        self.out.back_to(if len == 0 && !field.has_presence() { before } else { from + len });
        if self.out.position() == before { Ok(()) } else { self.close(open) }
    }

    /// Reads a number of any kind to the bits that the wire has for it.
    #[inline]
    fn number(&mut self, kind: Kind, field: &Field) -> Result<u64, DecodeError> {
        match kind {
            Kind::Double => self.double(field),
            Kind::Bool => self.bool(),
            Kind::Enum(names) if self.reading == Reading::Lenient && self.scan.peek() == Some(b'"') => {
                let offset = self.scan.offset();
                let position = self.out.position();
                self.scan.string(&mut self.out, "the name of a value")?;
                let name = self.out.written(position);
                let value = names.values.iter().find(|(text, _)| text.as_bytes() == name);
                self.out.back_to(position);
                match value {
                    Some((_, value)) => Ok(i64::from(*value).cast_unsigned()),
                    None => Err(range(field, offset)),
                }
            }
            _ => self.integer(kind, field),
        }
    }

    fn bool(&mut self) -> Result<u64, DecodeError> {
        if self.scan.literal(b"true") {
            Ok(1)
        } else if self.scan.literal(b"false") {
            Ok(0)
        } else {
            Err(self.scan.unexpected("true or false"))
        }
    }

    /// Reads a whole number, in quotes or not.
    #[inline]
    fn integer(&mut self, kind: Kind, field: &Field) -> Result<u64, DecodeError> {
        let offset = self.scan.offset();
        let quoted = self.scan.take(b'"');
        let negative = self.scan.take(b'-');
        let rest = self.scan.rest();
        let (size, count) = number::read_digits(rest);
        let next = rest.get(count).copied();
        let plain = match next {
            Some(b'"') => quoted,
            Some(b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t') | None => !quoted,
            Some(_) => false,
        };
        let zero_first = count > 1 && rest.first() == Some(&b'0');
        let value = if plain && (1..20).contains(&count) && !zero_first {
            self.scan.pass(count + usize::from(quoted));
            if negative { -i128::from(size) } else { i128::from(size) }
        } else {
            self.scan.back_to(offset);
            self.odd_integer(field)?
        };
        to_wire(kind, value).ok_or_else(|| range(field, offset))
    }

    /// Reads a whole number of twenty digits, with a point or an exponent; or refuses what there is.
    #[cold]
    fn odd_integer(&mut self, field: &Field) -> Result<i128, DecodeError> {
        let offset = self.scan.offset();
        let quoted = self.scan.take(b'"');
        let text = self.scan.number("a number")?;
        if quoted && !self.scan.take(b'"') {
            return Err(self.scan.unexpected("the end of the string"));
        }
        number::read_whole(text).ok_or_else(|| range(field, offset))
    }

    /// Reads a double: a number, one in quotes, or a name.
    fn double(&mut self, field: &Field) -> Result<u64, DecodeError> {
        let offset = self.scan.offset();
        if self.scan.take(b'"') {
            for (name, value) in
                [("NaN\"", f64::NAN), ("Infinity\"", f64::INFINITY), ("-Infinity\"", f64::NEG_INFINITY)]
            {
                if self.scan.literal(name.as_bytes()) {
                    return Ok(value.to_bits());
                }
            }
            let text = self.scan.number("a number, NaN, Infinity or -Infinity")?;
            if !self.scan.take(b'"') {
                return Err(self.scan.unexpected("the end of the string"));
            }
            return number::read_f64(text).map(f64::to_bits).ok_or_else(|| range(field, offset));
        }
        let text = self.scan.number("a number")?;
        number::read_f64(text).map(f64::to_bits).ok_or_else(|| range(field, offset))
    }

    #[inline(always)]
    fn tag(&mut self, field: &Field) {
        self.out.padded(&field.tag, field.tag_len);
    }

    /// Writes the bits of a number.
    #[inline(always)]
    fn raw(&mut self, kind: Kind, value: u64) {
        match kind.wire_type() {
            0 => varint(&mut self.out, value),
            1 => self.out.put(&value.to_le_bytes()),
            _ => {
                let [a, b, c, d, ..] = value.to_le_bytes();
                self.out.put(&[a, b, c, d]);
            }
        }
    }

    /// Leaves room for a length.
    #[inline(always)]
    fn open(&mut self, room: usize) -> Open {
        let at = self.out.position();
        self.out.padded(&[0; 4], room);
        Open { at, room, growth: self.gaps.growth }
    }

    /// Length of what was written since, once all gaps are closed.
    #[inline(always)]
    fn len(&self, open: Open) -> usize {
        self.out.position() - open.at - open.room + (self.gaps.growth - open.growth)
    }

    /// Writes the length of what was written since.
    #[inline(always)]
    fn close(&mut self, open: Open) -> Result<(), DecodeError> {
        let len = self.len(open);
        if open.room == 1 && len < 0x80 {
            self.out.set(open.at, low_byte(len as u64));
            return Ok(());
        }
        self.close_long(open, len)
    }

    #[inline(never)]
    fn close_long(&mut self, open: Open, len: usize) -> Result<(), DecodeError> {
        let (need, begin) = (varint_len(len as u64), open.at + open.room);
        if need != open.room {
            if self.out.position() - begin > NEAR {
                // So long a message needs three bytes at least, which is the most that is left for one.
                self.gaps.growth += need.saturating_sub(open.room);
                self.gaps.gaps.push(Gap { at: open.at, room: open.room, len });
                return self.check_size();
            }
            self.out.shift(begin, open.at + need);
        }
        set_varint(&mut self.out, open.at, len);
        self.check_size()
    }

    #[inline(always)]
    fn check_size(&self) -> Result<(), DecodeError> {
        let (len, most) = (self.out.len() + self.gaps.growth, self.limits.message_bytes());
        if len > most {
            return Err(super::limit("max_message_bytes", len, most, self.scan.offset()));
        }
        Ok(())
    }
}

impl Gaps {
    /// Makes room for the lengths that have too little, and writes them.
    fn close(&mut self, out: &mut Out<'_>) {
        if self.gaps.is_empty() {
            return;
        }
        self.gaps.sort_unstable_by_key(|gap| gap.at);
        let mut end = out.position();
        out.room(self.growth);
        out.advance(self.growth);
        for gap in self.gaps.iter().rev() {
            let begin = gap.at + gap.room;
            out.copy(begin, end, begin + self.growth);
            self.growth -= varint_len(gap.len as u64).saturating_sub(gap.room);
            set_varint(out, gap.at + self.growth, gap.len);
            end = gap.at;
        }
        self.gaps.clear();
    }
}

/// The bits that the wire has for a whole number; none where it does not fit.
#[inline(always)]
fn to_wire(kind: Kind, value: i128) -> Option<u64> {
    Some(match kind {
        Kind::Int32 | Kind::Enum(_) => i64::from(i32::try_from(value).ok()?).cast_unsigned(),
        Kind::Sint32 => zigzag_encode(i32::try_from(value).ok()?.into()),
        Kind::Uint32 | Kind::Fixed32 => u32::try_from(value).ok()?.into(),
        Kind::Int64 | Kind::Sfixed64 => i64::try_from(value).ok()?.cast_unsigned(),
        _ => u64::try_from(value).ok()?,
    })
}

#[inline(always)]
fn varint(out: &mut Out<'_>, value: u64) {
    if value < 0x80 {
        return out.put(&[low_byte(value)]);
    }
    let mut rest = value;
    while rest >= 0x80 {
        out.put(&[low_byte(rest) | 0x80]);
        rest >>= 7;
    }
    out.put(&[low_byte(rest)]);
}

/// Writes a varint over what is there already.
fn set_varint(out: &mut Out<'_>, at: usize, value: usize) {
    let (mut at, mut rest) = (at, value as u64);
    while rest >= 0x80 {
        out.set(at, low_byte(rest) | 0x80);
        rest >>= 7;
        at += 1;
    }
    out.set(at, low_byte(rest));
}

#[inline(always)]
const fn low_byte(value: u64) -> u8 {
    let [low, ..] = value.to_le_bytes();
    low
}

#[cold]
fn range(field: &Field, offset: usize) -> DecodeError {
    DecodeError::new(offset, DecodeErrorKind::Range(field.number))
}

#[cold]
fn repeated(field: &Field, offset: usize) -> DecodeError {
    let why = match field.label {
        Label::Member => "another member of the same oneof",
        _ => "member that was given already",
    };
    DecodeError::new(offset, DecodeErrorKind::Invalid(why))
}
