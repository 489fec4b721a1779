//! The messages of OTLP as a table: what the code that works on any message alike goes by.
//!
//! One [`Message`] for each message that a request or response of the four signals can hold, with its
//! [`Field`]s in ascending order of number. A test holds the table against the descriptors of another
//! implementation, field by field (`tests/data/fields.tsv`).

mod common;
mod log;
mod metric;
mod profile;
mod response;
mod trace;

pub(crate) use log::LOGS_REQUEST;
pub(crate) use metric::METRICS_REQUEST;
pub(crate) use profile::PROFILES_REQUEST;
pub(crate) use response::{LOGS_RESPONSE, METRICS_RESPONSE, PROFILES_RESPONSE, RPC_STATUS, TRACES_RESPONSE};
pub(crate) use trace::TRACES_REQUEST;

/// More fields than any message of OTLP has.
pub(crate) const MOST_FIELDS: usize = 16;

/// Tags end below this: no message of OTLP has a field number above 16.
const TAGS: usize = 17 << 3;

/// Stands in [`Message::by_tag`] for "no such field".
const NONE: u8 = u8::MAX;

/// A message: its name and its fields, in ascending order of number.
#[derive(Debug)]
pub(crate) struct Message {
    /// The full name in protobuf.
    #[cfg_attr(not(test), expect(dead_code, reason = "tells messages apart in tests"))]
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [Field],
    pub(crate) shape: Shape,
    /// Index of the field that a tag means; repeated numbers have two tags, packed and not.
    by_tag: [u8; TAGS],
    /// For each field the bits of the other members of its oneof.
    rivals: [u32; MOST_FIELDS],
}

/// What there is to know of a message as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Holds groups or records: tens of kilobytes and more.
    Group,
    /// A record: some hundred bytes, mostly.
    Record,
    /// Part of a record.
    Part,
    /// A key and a value: of these there are the most.
    Pair,
    /// A value, which may hold values: nesting is counted here.
    Value,
}

/// A field of a message.
#[derive(Debug)]
pub(crate) struct Field {
    /// Field number, 1 to 16.
    pub(crate) number: u32,
    /// Its name in the `.proto` file.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) label: Label,
    /// Its name in JSON, with what stands around it.
    pub(crate) key: Key,
    /// Its tag in an encoder that packs numbers, as on the wire.
    pub(crate) tag: [u8; 2],
    pub(crate) tag_len: usize,
}

/// What a field, or each element of it, holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Bool,
    Enum(&'static Names),
    Fixed32,
    Fixed64,
    Sfixed64,
    Double,
    String,
    Bytes,
    /// Bytes that JSON has in hexadecimal; empty or of this length.
    Id(u8),
    Message(&'static Message),
}

/// How often a field occurs, and whether its presence says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    /// Once; a scalar with the default value is not written.
    Single,
    /// Once, and told apart from the default value.
    Optional,
    /// Once, and the only one of its oneof.
    Member,
    /// Any number of times; numbers are packed.
    List,
    /// A list bounded by [`Limits::attributes`](crate::Limits::attributes).
    Attributes,
}

/// The names of an enumeration's values, for readers that take them.
#[derive(Debug)]
pub(crate) struct Names {
    /// The full name in protobuf.
    #[cfg_attr(not(test), expect(dead_code, reason = "tells enumerations apart in tests"))]
    pub(crate) name: &'static str,
    pub(crate) values: &'static [(&'static str, i32)],
}

/// A field's name in JSON as it is written: `,"traceId":`, with room to be copied in one piece.
#[derive(Debug)]
pub(crate) struct Key {
    text: [u8; Self::ROOM],
    len: usize,
    /// The first bytes of the name and its closing quote, and which of their bits count.
    probe: (u128, u128),
}

impl Message {
    #[expect(
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        reason = "evaluated by the compiler, and at most 16 fields"
    )]
    const fn new(name: &'static str, shape: Shape, fields: &'static [Field]) -> Self {
        assert!(fields.len() <= MOST_FIELDS, "more fields than there is room for");
        let mut by_tag = [NONE; TAGS];
        let mut rivals = [0; MOST_FIELDS];
        let mut members = 0_u32;
        let mut index = 0;
        while index < fields.len() {
            let field = &fields[index];
            assert!(index == 0 || fields[index - 1].number < field.number, "fields out of order");
            let number = field.number as usize;
            by_tag[number << 3 | field.kind.wire_type() as usize] = index as u8;
            if field.is_packed() {
                by_tag[number << 3 | 2] = index as u8;
            }
            if matches!(field.label, Label::Member) {
                members |= 1 << index;
            }
            index += 1;
        }
        index = 0;
        // No message of OTLP has two oneofs.
        while index < fields.len() {
            if members >> index & 1 == 1 {
                rivals[index] = members & !(1 << index);
            }
            index += 1;
        }
        Self { name, fields, shape, by_tag, rivals }
    }

    /// The field that `tag`, as on the wire, means, and its index; none where the wire type is not the field's.
    #[inline(always)]
    pub(crate) fn by_tag(&self, tag: u32) -> Option<(usize, &'static Field)> {
        let index = usize::from(*self.by_tag.get(tag as usize)?);
        Some((index, self.fields.get(index)?))
    }

    /// The bits of the fields that the field at `index` shares a oneof with.
    #[inline(always)]
    pub(crate) fn rivals(&self, index: usize) -> u32 {
        self.rivals.get(index).copied().unwrap_or_default()
    }

    /// The field with this number, whatever its wire type.
    pub(crate) fn by_number(&self, number: u32) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.number == number)
    }
}

impl Field {
    const fn new(number: u32, name: &'static str, kind: Kind, label: Label) -> Self {
        let (tag, tag_len) = tag(number, if is_packed(kind, label) { 2 } else { kind.wire_type() });
        Self { number, name, kind, label, key: Key::new(name), tag, tag_len }
    }

    /// True for repeated numbers.
    #[inline(always)]
    pub(crate) const fn is_packed(&self) -> bool {
        is_packed(self.kind, self.label)
    }

    /// True where the default value, too, is written.
    #[inline(always)]
    pub(crate) const fn has_presence(&self) -> bool {
        matches!(self.label, Label::Optional | Label::Member)
    }

    /// True for what may occur any number of times.
    #[inline(always)]
    pub(crate) const fn is_list(&self) -> bool {
        matches!(self.label, Label::List | Label::Attributes)
    }
}

const fn is_packed(kind: Kind, label: Label) -> bool {
    matches!(label, Label::List) && kind.wire_type() != 2
}

/// A tag as on the wire, and the bytes it takes.
#[expect(clippy::cast_possible_truncation, reason = "evaluated by the compiler, within the range asserted")]
const fn tag(number: u32, wire_type: u32) -> ([u8; 2], usize) {
    let raw = (number << 3 | wire_type) as u16;
    assert!(number >= 1 && raw < TAGS as u16, "field number out of range");
    if raw < 0x80 { ([raw as u8, 0], 1) } else { ([raw as u8 | 0x80, (raw >> 7) as u8], 2) }
}

impl Kind {
    /// The wire type of one value.
    pub(crate) const fn wire_type(self) -> u32 {
        match self {
            Self::Int32 | Self::Int64 | Self::Uint32 | Self::Uint64 => 0,
            Self::Sint32 | Self::Bool | Self::Enum(_) => 0,
            Self::Fixed64 | Self::Sfixed64 | Self::Double => 1,
            Self::String | Self::Bytes | Self::Id(_) | Self::Message(_) => 2,
            Self::Fixed32 => 5,
        }
    }
}

impl Key {
    /// Longer than any name of OTLP with what stands around it.
    pub(crate) const ROOM: usize = 32;

    /// Lower camel case of `name`, as protobuf's JSON mapping forms it.
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    const fn new(name: &str) -> Self {
        let name = name.as_bytes();
        assert!(name.len() + 4 <= Self::ROOM, "name longer than there is room for");
        let mut text = [0; Self::ROOM];
        text[0] = b',';
        text[1] = b'"';
        let (mut len, mut index) = (2, 0);
        while index < name.len() {
            if name[index] == b'_' {
                index += 1;
                text[len] = name[index].to_ascii_uppercase();
            } else {
                text[len] = name[index];
            }
            len += 1;
            index += 1;
        }
        text[len] = b'"';
        text[len + 1] = b':';
        let (mut head, mut mask, mut index) = (0_u128, 0_u128, 0);
        while index < 16 && index + 2 <= len {
            head |= (text[index + 2] as u128) << (8 * index);
            mask |= 0xff << (8 * index);
            index += 1;
        }
        Self { text, len: len + 2, probe: (head, mask) }
    }

    /// `,"name":`, with zeros behind it, and its length.
    #[inline(always)]
    pub(crate) const fn padded(&self) -> (&[u8; Self::ROOM], usize) {
        (&self.text, self.len)
    }

    /// The name with its closing quote.
    #[inline(always)]
    fn quoted(&self) -> &[u8] {
        self.text.get(2..self.len - 1).unwrap_or_default()
    }

    /// The name in JSON.
    pub(crate) fn name(&self) -> &[u8] {
        self.text.get(2..self.len - 2).unwrap_or_default()
    }

    /// Length of the name and its closing quote where `text` begins with both; `head` is its first 16 bytes.
    #[inline(always)]
    pub(crate) fn matches(&self, head: u128, text: &[u8]) -> Option<usize> {
        let (probe, mask) = self.probe;
        if (head ^ probe) & mask != 0 {
            return None;
        }
        let len = self.len - 3;
        if len > 16 && !text.starts_with(self.quoted()) {
            return None;
        }
        Some(len)
    }
}

/// Makes messages from tables of their fields: `number name kind label`.
macro_rules! messages {
    ($(
        $(#[$doc:meta])*
        $vis:vis $id:ident: $shape:ident $name:literal {
            $($number:literal $field:literal $kind:expr, $label:ident;)*
        }
    )+) => {
        $(
            $(#[$doc])*
            $vis static $id: $crate::schema::Message = {
                static FIELDS: &[$crate::schema::Field] = &[$(
                    $crate::schema::Field::new($number, $field, $kind, $crate::schema::Label::$label),
                )*];
                $crate::schema::Message::new($name, $crate::schema::Shape::$shape, FIELDS)
            };
        )+
    };
}
use messages;

#[cfg(test)]
mod tests;
