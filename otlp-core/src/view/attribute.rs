//! Attribute keys and values.

use super::context::Context;
use super::heap::HeapBudget;
use super::list::{Elements, List};
use super::message::{Message, narrow};
use super::table::{Own, Part, View};
use crate::encode::Encode;
use crate::error::DecodeError;
use crate::record::{AnyValue, KeyValue};
use crate::wire::{Reader, Region, Writer};

/// A borrowed attribute.
#[derive(Debug, Clone, Copy)]
pub struct KeyValueView<'a> {
    key: &'a str,
    key_index: i32,
    offset: u32,
    value: Parts<'a>,
    context: Context<'a>,
}

impl<'a> KeyValueView<'a> {
    /// The name.
    #[must_use]
    #[inline]
    pub const fn key(&self) -> &'a str {
        self.key
    }

    /// Index of the name in the dictionary of a profiles request, 0 where there is none. The other
    /// signals have no dictionary; there it says nothing.
    #[must_use]
    pub const fn key_index(&self) -> i32 {
        self.key_index
    }

    /// Offset at which it begins.
    pub(super) const fn offset(&self) -> usize {
        self.offset as usize
    }

    /// The value.
    #[must_use]
    #[inline]
    pub const fn value(&self) -> AnyValueView<'a> {
        self.value.to_view(self.context)
    }

    /// Copies it out, taking what it needs from `heap`.
    ///
    /// # Errors
    /// Where a nested value is malformed or passes a limit, `max_heap_bytes` among them.
    pub fn to_record_within(&self, heap: &mut HeapBudget) -> Result<KeyValue, DecodeError> {
        heap.offset = self.offset as usize;
        let (key, key_index) = (heap.text(self.key)?, self.key_index);
        Ok(KeyValue { key, value: self.value().to_record_within(heap)?, key_index })
    }
}

impl<'a> View<'a> for KeyValueView<'a> {
    #[inline(always)]
    fn read_message(message: Message<'a>, context: Context<'a>) -> Result<Self, DecodeError> {
        // Nearly every attribute is one key and one value; what is not, or is wrong, goes the long way.
        if let Some((key, value)) = message.as_whole().and_then(key_and_value)
            && let Some(key) = context.text(key)
        {
            let context = context.deeper(value.offset())?;
            let value = Parts::read(Message::whole(value), context)?;
            return Ok(Self { key, key_index: 0, offset: narrow(message.begin()), value, context });
        }
        Self::read_fields(message, context)
    }
}

impl<'a> KeyValueView<'a> {
    #[inline(never)]
    fn read_fields(message: Message<'a>, mut context: Context<'a>) -> Result<Self, DecodeError> {
        let (mut key, mut key_index, mut value) = ("", 0, None);
        let mut pieces = message.pieces();
        while let Some(mut fields) = pieces.next()? {
            while let Some(number) = fields.next()? {
                match number {
                    1 => key = context.str(&mut fields)?,
                    2 => value = Some(message.merge(value, 2, &mut fields)?),
                    3 => key_index = context.int32(&mut fields)?,
                    _ => fields.skip()?,
                }
            }
        }
        let value = match value {
            None => Parts::default(),
            Some(value) => {
                context = context.deeper(value.begin())?;
                Parts::read_fields(value, context)?
            }
        };
        Ok(Self { key, key_index, offset: narrow(message.begin()), value, context })
    }
}

/// The two fields of an attribute that has just these, in either order.
#[inline(always)]
fn key_and_value(pair: Region<'_>) -> Option<(Region<'_>, Region<'_>)> {
    const KEY: u32 = 1 << 3 | 2;
    const VALUE: u32 = 2 << 3 | 2;
    let mut reader = Reader::new(pair);
    let first_tag = reader.next_tag().ok()??;
    let first = reader.delimited().ok()?;
    let second_tag = reader.next_tag().ok()??;
    let second = reader.delimited().ok()?;
    match (first_tag, second_tag) {
        _ if !reader.is_empty() => None,
        (KEY, VALUE) => Some((first, second)),
        (VALUE, KEY) => Some((second, first)),
        _ => None,
    }
}

impl Own for KeyValueView<'_> {
    type Owned = KeyValue;

    fn own(self, heap: &mut HeapBudget) -> Result<KeyValue, DecodeError> {
        self.to_record_within(heap)
    }
}

/// A borrowed value of an attribute or the body of a log record.
///
/// Lists and maps are read when they are walked; how deep they may nest is bounded by
/// [`Limits::depth`](crate::Limits::depth).
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
// With a tag of one byte the content would begin at the second, and every move of a value would read
// back across the borders of what was just written, which the processor has to wait for.
#[repr(u64)]
pub enum AnyValueView<'a> {
    /// No value, which OTLP allows.
    #[default]
    Empty,
    /// UTF-8 text.
    String(&'a str),
    /// True or false.
    Bool(bool),
    /// A signed 64-bit number.
    Int(i64),
    /// A double.
    Double(f64),
    /// A list of values.
    Array(ArrayView<'a>),
    /// A map, in the order it was written.
    KvList(KvListView<'a>),
    /// Raw bytes.
    Bytes(&'a [u8]),
    /// Index of a text in the dictionary of a profiles request. The other signals have no dictionary;
    /// there it says nothing.
    StringIndex(i32),
}

impl<'a> AnyValueView<'a> {
    /// The text, where the value is text.
    #[must_use]
    #[inline]
    pub const fn as_str(&self) -> Option<&'a str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The number, where the value is a whole number.
    #[must_use]
    #[inline]
    pub const fn as_int(&self) -> Option<i64> {
        if let Self::Int(value) = self { Some(*value) } else { None }
    }

    /// Copies it out, taking what it needs from `heap`. Recursion is bounded by the depth limit.
    ///
    /// # Errors
    /// Where a nested value is malformed or passes a limit, `max_heap_bytes` among them.
    pub fn to_record_within(&self, heap: &mut HeapBudget) -> Result<AnyValue, DecodeError> {
        Ok(match *self {
            Self::Empty => AnyValue::Empty,
            Self::StringIndex(index) => AnyValue::StringIndex(index),
            Self::String(text) => AnyValue::String(heap.text(text)?),
            Self::Bool(value) => AnyValue::Bool(value),
            Self::Int(value) => AnyValue::Int(value),
            Self::Double(value) => AnyValue::Double(value),
            Self::Bytes(bytes) => AnyValue::Bytes(heap.bytes(bytes)?),
            Self::Array(array) => AnyValue::Array(heap.collect(array.values())?),
            Self::KvList(map) => AnyValue::KvList(heap.collect(map.entries())?),
        })
    }
}

impl<'a> View<'a> for AnyValueView<'a> {
    #[inline]
    fn read_message(message: Message<'a>, context: Context<'a>) -> Result<Self, DecodeError> {
        let context = context.deeper(message.begin())?;
        Ok(Parts::read(message, context)?.to_view(context))
    }
}

/// A value taken apart.
///
/// The enum has to be told apart again whenever it is moved, byte by byte from its tag on, which costs
/// more than reading the value did; the fields of a plain structure stay in registers.
#[derive(Debug, Clone, Copy, Default)]
struct Parts<'a> {
    kind: Kind,
    /// The bits of a number, or the first and the count of a list.
    bits: u64,
    text: &'a str,
    /// A list, a map, or bytes.
    nested: Message<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    #[default]
    Empty,
    String,
    Bool,
    Int,
    Double,
    Array,
    KvList,
    Bytes,
    StringIndex,
}

impl<'a> Parts<'a> {
    #[inline(always)]
    fn read(message: Message<'a>, context: Context<'a>) -> Result<Self, DecodeError> {
        // Nearly every value is one scalar; what is not, or is wrong, goes the long way.
        match message.as_whole().and_then(|value| Self::scalar(value, context)) {
            Some(parts) => Ok(parts),
            None => Self::read_fields(message, context),
        }
    }

    /// The value of a message that has just one field, a scalar.
    #[inline(always)]
    fn scalar(value: Region<'a>, context: Context<'a>) -> Option<Self> {
        let mut reader = Reader::new(value);
        let parts = match reader.next_tag().ok()?? {
            0x0a => Self::text(context.text(reader.delimited().ok()?)?),
            0x10 => Self::number(Kind::Bool, u64::from(reader.varint().ok()? != 0)),
            0x18 => Self::number(Kind::Int, reader.varint().ok()?),
            0x21 => Self::number(Kind::Double, reader.fixed64().ok()?),
            _ => return None,
        };
        reader.is_empty().then_some(parts)
    }

    #[inline(never)]
    fn read_fields(message: Message<'a>, context: Context<'a>) -> Result<Self, DecodeError> {
        let mut met = Self::default();
        let mut pieces = message.pieces();
        while let Some(mut fields) = pieces.next()? {
            while let Some(number) = fields.next()? {
                met = match number {
                    1 => Self::text(context.str(&mut fields)?),
                    2 => Self::number(Kind::Bool, context.bool(&mut fields)?.into()),
                    3 => Self::number(Kind::Int, fields.varint()?),
                    4 => Self::number(Kind::Double, fields.fixed64()?),
                    // A second piece of the same list or map joins the first, unless another member of
                    // the oneof came between.
                    5 => Self::nested(Kind::Array, message.merge(met.same(Kind::Array), 5, &mut fields)?),
                    6 => Self::nested(Kind::KvList, message.merge(met.same(Kind::KvList), 6, &mut fields)?),
                    7 => Self::nested(Kind::Bytes, Message::whole(context.bytes(&mut fields)?)),
                    8 => Self::number(Kind::StringIndex, context.uint32(&mut fields)?.into()),
                    _ => {
                        fields.skip()?;
                        continue;
                    }
                };
            }
        }
        if matches!(met.kind, Kind::Array | Kind::KvList) {
            met.bits = count(met.nested, context)?.to_bits();
        }
        Ok(met)
    }

    #[inline(always)]
    const fn text(text: &'a str) -> Self {
        Self { kind: Kind::String, bits: 0, text, nested: Message::whole(Region::new(&[])) }
    }

    #[inline(always)]
    const fn number(kind: Kind, bits: u64) -> Self {
        Self { kind, bits, text: "", nested: Message::whole(Region::new(&[])) }
    }

    const fn nested(kind: Kind, nested: Message<'a>) -> Self {
        Self { kind, bits: 0, text: "", nested }
    }

    fn same(&self, kind: Kind) -> Option<Message<'a>> {
        (self.kind == kind).then_some(self.nested)
    }

    #[inline(always)]
    const fn to_view(self, context: Context<'a>) -> AnyValueView<'a> {
        let Self { bits, nested: message, .. } = self;
        let items = List::from_bits(bits);
        match self.kind {
            Kind::Empty => AnyValueView::Empty,
            Kind::String => AnyValueView::String(self.text),
            Kind::Bool => AnyValueView::Bool(bits != 0),
            Kind::Int => AnyValueView::Int(bits.cast_signed()),
            Kind::Double => AnyValueView::Double(f64::from_bits(bits)),
            Kind::Array => AnyValueView::Array(ArrayView { message, context, items }),
            Kind::KvList => AnyValueView::KvList(KvListView { message, context, items }),
            Kind::Bytes => AnyValueView::Bytes(message.as_bytes()),
            Kind::StringIndex => AnyValueView::StringIndex(low(bits)),
        }
    }
}

/// The number that was put in the low half.
#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
const fn low(bits: u64) -> i32 {
    (bits as u32).cast_signed()
}

/// Counts the elements of a list or the entries of a map.
fn count<'a>(message: Message<'a>, context: Context<'a>) -> Result<List, DecodeError> {
    let mut items = List::default();
    let mut pieces = message.pieces();
    while let Some(mut fields) = pieces.next()? {
        while let Some(number) = fields.next()? {
            if number == 1 {
                items.push(&mut fields, ("max_elements", context.limits().elements()))?;
            } else {
                fields.skip()?;
            }
        }
    }
    Ok(items)
}

/// What was met of the member `number` of a oneof since another one cleared it.
#[inline]
pub(super) fn same(met: Option<(u8, Message<'_>)>, number: u8) -> Option<Message<'_>> {
    met.filter(|(member, _)| *member == number).map(|(_, message)| message)
}

impl<'a> Part<'a> for AnyValueView<'a> {
    #[inline]
    fn read_part(part: Option<Message<'a>>, context: Context<'a>) -> Result<Self, DecodeError> {
        part.map_or(Ok(Self::Empty), |message| Self::read_message(message, context))
    }
}

impl Own for AnyValueView<'_> {
    type Owned = AnyValue;

    fn own(self, heap: &mut HeapBudget) -> Result<AnyValue, DecodeError> {
        self.to_record_within(heap)
    }
}

macro_rules! nested {
    ($(#[$doc:meta])* $view:ident, $(#[$items_doc:meta])* $items:ident: $item:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $view<'a> {
            message: Message<'a>,
            context: Context<'a>,
            items: List,
        }

        impl Encode for $view<'_> {
            /// Copies the message as it lies on the wire, unknown fields included.
            fn encode(&self, writer: &mut Writer) {
                self.message.write(writer);
            }
        }

        impl<'a> $view<'a> {
            /// Count of elements.
            #[must_use]
            pub const fn len(&self) -> usize {
                self.items.len()
            }

            /// True where there are none.
            #[must_use]
            pub const fn is_empty(&self) -> bool {
                self.len() == 0
            }

            $(#[$items_doc])*
            #[inline]
            pub fn $items(
                &self,
            ) -> impl ExactSizeIterator<Item = Result<$item, DecodeError>> + Clone + use<'a> {
                Elements::<'a, $item>::new(&self.message, self.items, 1, self.context)
            }
        }
    };
}

nested!(
    /// A borrowed list of values.
    ArrayView,
    /// The values. A bad one is an `Err`, and the next call goes on with the one after it.
    values: AnyValueView<'a>
);

nested!(
    /// A borrowed map.
    KvListView,
    /// The entries. A bad one is an `Err`, and the next call goes on with the one after it.
    entries: KeyValueView<'a>
);
