//! Attribute keys and values.

use super::context::Context;
use super::heap::HeapBudget;
use super::list::{Elements, List};
use super::message::{Fields, Message};
use super::table::{Element, Own, Part, View};
use crate::encode::Encode;
use crate::error::DecodeError;
use crate::record::{AnyValue, KeyValue};
use crate::wire::{Region, Writer, text};

/// A borrowed attribute.
#[derive(Debug, Clone, Copy)]
pub struct KeyValueView<'a> {
    key: &'a str,
    /// The whole of it, checked. An element of a list is never in pieces.
    pair: Region<'a>,
    /// The value where it is one scalar, as nearly all are; others are read again when they are asked for.
    value: Option<Scalar<'a>>,
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
    pub fn key_index(&self) -> i32 {
        if self.value.is_some() { 0 } else { self.rare().map_or(0, |rare| rare.key_index) }
    }

    /// Offset at which it begins.
    pub(super) const fn offset(&self) -> usize {
        self.pair.offset()
    }

    /// The value.
    #[must_use]
    #[inline]
    pub fn value(&self) -> AnyValueView<'a> {
        match self.value {
            Some(scalar) => scalar.to_view(),
            // It was read before without an error.
            None => self.rare().map_or(AnyValueView::Empty, |rare| rare.value),
        }
    }

    /// Copies it out, taking what it needs from `heap`.
    ///
    /// # Errors
    /// Where a nested value is malformed or passes a limit, `max_heap_bytes` among them.
    pub fn to_record_within(&self, heap: &mut HeapBudget) -> Result<KeyValue, DecodeError> {
        heap.offset = self.offset();
        let key = heap.text(self.key)?;
        let (value, key_index) = match self.value {
            Some(scalar) => (scalar.to_view(), 0),
            None => self.rare().map(|rare| (rare.value, rare.key_index))?,
        };
        Ok(KeyValue { key, value: value.to_record_within(heap)?, key_index })
    }

    #[inline(never)]
    fn rare(&self) -> Result<Pair<'a>, DecodeError> {
        Pair::read(self.pair, self.context)
    }
}

impl<'a> Element<'a> for KeyValueView<'a> {
    #[inline(always)]
    fn read(fields: &mut Fields<'a>, context: Context<'a>) -> Result<Self, DecodeError> {
        let pair = fields.delimited()?;
        // Nearly every attribute is one key and one scalar; what is not, or is wrong, goes the long way.
        if context.admits(pair)
            && let Some((key, value)) = key_and_value(pair.bytes())
            && let Some(key) = text(key)
            && let Some(value) = Scalar::read(value)
        {
            return Ok(Self { key, pair, value: Some(value), context });
        }
        let key = Pair::check(pair, context)?;
        Ok(Self { key, pair, value: None, context })
    }
}

/// An attribute of any form.
struct Pair<'a> {
    key: &'a str,
    key_index: i32,
    value: AnyValueView<'a>,
}

impl<'a> Pair<'a> {
    fn read(pair: Region<'a>, context: Context<'a>) -> Result<Self, DecodeError> {
        let whole = Message::whole(pair);
        let (mut key, mut key_index, mut value) = ("", 0, None);
        let mut fields = Fields::new(pair);
        while let Some(number) = fields.next()? {
            match number {
                1 => key = context.str(&mut fields)?,
                2 => value = Some(whole.merge(value, 2, &mut fields)?),
                3 => key_index = context.int32(&mut fields)?,
                _ => fields.skip()?,
            }
        }
        let value = value.map_or(Ok(AnyValueView::Empty), |value| Met::read(value, context))?;
        Ok(Self { key, key_index, value })
    }

    /// The key, once all is seen to be well.
    #[inline(never)]
    fn check(pair: Region<'a>, context: Context<'a>) -> Result<&'a str, DecodeError> {
        Self::read(pair, context).map(|pair| pair.key)
    }
}

/// Key and value of an attribute that has just these, in either order.
#[inline(always)]
fn key_and_value(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    const KEY: u8 = 1 << 3 | 2;
    const VALUE: u8 = 2 << 3 | 2;
    let (&first, rest) = pair.split_first()?;
    let (one, rest) = split_delimited(rest)?;
    let (&second, rest) = rest.split_first()?;
    let other = all_delimited(rest)?;
    match (first, second) {
        (KEY, VALUE) => Some((one, other)),
        (VALUE, KEY) => Some((other, one)),
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
        match Scalar::of(message, context) {
            Some(scalar) => Ok(scalar.to_view()),
            None => Met::read(message, context),
        }
    }
}

/// A value that is one text or number.
///
/// A plain structure and not an enum: its fields stay in registers, while an enum goes through memory.
#[derive(Debug, Clone, Copy)]
struct Scalar<'a> {
    kind: ScalarKind,
    text: &'a str,
    /// The bits of a number.
    bits: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ScalarKind {
    String,
    Bool,
    Int,
    Double,
}

impl<'a> Scalar<'a> {
    /// Reads a value that is within the limits as a whole.
    #[inline(always)]
    fn of(message: Message<'a>, context: Context<'a>) -> Option<Self> {
        let value = message.as_whole().filter(|value| context.admits(*value))?;
        Self::read(value.bytes())
    }

    /// Reads a message that has just one field, a scalar; anything else is `None`, as is what is wrong.
    #[inline(always)]
    fn read(value: &'a [u8]) -> Option<Self> {
        let (&tag, content) = value.split_first()?;
        Some(match tag {
            0x0a => Self { kind: ScalarKind::String, text: text(all_delimited(content)?)?, bits: 0 },
            0x10 => Self { kind: ScalarKind::Bool, text: "", bits: all_varint(content)? },
            0x18 => Self { kind: ScalarKind::Int, text: "", bits: all_varint(content)? },
            0x21 => {
                let bits = u64::from_le_bytes(content.try_into().ok()?);
                Self { kind: ScalarKind::Double, text: "", bits }
            }
            _ => return None,
        })
    }

    #[inline(always)]
    const fn to_view(self) -> AnyValueView<'a> {
        match self.kind {
            ScalarKind::String => AnyValueView::String(self.text),
            ScalarKind::Bool => AnyValueView::Bool(self.bits != 0),
            ScalarKind::Int => AnyValueView::Int(self.bits.cast_signed()),
            ScalarKind::Double => AnyValueView::Double(f64::from_bits(self.bits)),
        }
    }
}

/// A value of any form, as far as it was met.
#[derive(Debug, Clone, Copy, Default)]
struct Met<'a> {
    kind: Kind,
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

impl<'a> Met<'a> {
    #[inline(never)]
    fn read(message: Message<'a>, context: Context<'a>) -> Result<AnyValueView<'a>, DecodeError> {
        let context = context.deeper(message.begin())?;
        let mut met = Self::default();
        let mut pieces = message.pieces();
        while let Some(mut fields) = pieces.next()? {
            while let Some(number) = fields.next()? {
                met = match number {
                    1 => Self { kind: Kind::String, text: context.str(&mut fields)?, ..met },
                    2 => Self { kind: Kind::Bool, bits: fields.varint()?, ..met },
                    3 => Self { kind: Kind::Int, bits: fields.varint()?, ..met },
                    4 => Self { kind: Kind::Double, bits: fields.fixed64()?, ..met },
                    // A second piece of the same list or map joins the first, unless another member of
                    // the oneof came between.
                    5 => met.join(message, Kind::Array, 5, &mut fields)?,
                    6 => met.join(message, Kind::KvList, 6, &mut fields)?,
                    7 => {
                        Self { kind: Kind::Bytes, nested: Message::whole(context.bytes(&mut fields)?), ..met }
                    }
                    8 => Self { kind: Kind::StringIndex, bits: context.uint32(&mut fields)?.into(), ..met },
                    _ => {
                        fields.skip()?;
                        continue;
                    }
                };
            }
        }
        met.into_view(context)
    }

    #[inline(never)]
    fn check(message: Message<'a>, context: Context<'a>) -> Result<(), DecodeError> {
        Self::read(message, context).map(drop)
    }

    /// Takes in one more occurrence of the list or map `number` of `message`.
    fn join(
        self,
        message: Message<'a>,
        kind: Kind,
        number: u8,
        fields: &mut Fields<'a>,
    ) -> Result<Self, DecodeError> {
        let before = (self.kind == kind).then_some(self.nested);
        Ok(Self { kind, nested: message.merge(before, number, fields)?, ..self })
    }

    fn into_view(self, context: Context<'a>) -> Result<AnyValueView<'a>, DecodeError> {
        let Self { bits, nested: message, .. } = self;
        Ok(match self.kind {
            Kind::Empty => AnyValueView::Empty,
            Kind::String => AnyValueView::String(self.text),
            Kind::Bool => AnyValueView::Bool(bits != 0),
            Kind::Int => AnyValueView::Int(bits.cast_signed()),
            Kind::Double => AnyValueView::Double(f64::from_bits(bits)),
            Kind::Array => {
                AnyValueView::Array(ArrayView { message, context, items: count(message, context)? })
            }
            Kind::KvList => {
                AnyValueView::KvList(KvListView { message, context, items: count(message, context)? })
            }
            Kind::Bytes => AnyValueView::Bytes(message.as_bytes()),
            Kind::StringIndex => AnyValueView::StringIndex(low(bits)),
        })
    }
}

/// The content of a length-delimited value, and what comes after it; `None` also for what is rare.
#[inline(always)]
fn split_delimited(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match *bytes {
        [len, ref rest @ ..] if len < 0x80 => rest.split_at_checked(len.into()),
        [low, high, ref rest @ ..] if high < 0x80 => rest.split_at_checked(two(low, high)),
        _ => None,
    }
}

/// The content of a length-delimited value after which nothing comes.
#[inline(always)]
fn all_delimited(bytes: &[u8]) -> Option<&[u8]> {
    match *bytes {
        [len, ref rest @ ..] if rest.len() == usize::from(len) && len < 0x80 => Some(rest),
        [low, high, ref rest @ ..] if low >= 0x80 && high < 0x80 && rest.len() == two(low, high) => {
            Some(rest)
        }
        _ => None,
    }
}

/// A varint after which nothing comes.
#[inline(always)]
fn all_varint(bytes: &[u8]) -> Option<u64> {
    match *bytes {
        [low] if low < 0x80 => Some(low.into()),
        [low, high] if low >= 0x80 && high < 0x80 => Some(two(low, high) as u64),
        _ => all_long_varint(bytes),
    }
}

#[inline(never)]
fn all_long_varint(bytes: &[u8]) -> Option<u64> {
    let (&last, others) = bytes.split_last()?;
    // The tenth byte has room for one bit.
    if last >= 0x80 || bytes.len() > 10 || (bytes.len() == 10 && last > 1) {
        return None;
    }
    let push = |value: u64, byte: &u8| (*byte >= 0x80).then_some(value << 7 | u64::from(*byte & 0x7f));
    others.iter().rev().try_fold(last.into(), push)
}

/// A varint of two bytes.
#[inline(always)]
const fn two(low: u8, high: u8) -> usize {
    (low & 0x7f) as usize | (high as usize) << 7
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

/// A value that is a field of its own, checked. One that is no scalar is read again when it is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held<'a> {
    scalar: Option<Scalar<'a>>,
    message: Option<Message<'a>>,
    context: Context<'a>,
}

impl<'a> Part<'a> for AnyValueView<'a> {
    type Held = Held<'a>;

    #[inline(always)]
    fn read_part(message: Option<Message<'a>>, context: Context<'a>) -> Result<Held<'a>, DecodeError> {
        let scalar = message.and_then(|message| Scalar::of(message, context));
        if let (None, Some(message)) = (scalar, message) {
            Met::check(message, context)?;
        }
        Ok(Held { scalar, message, context })
    }

    #[inline(always)]
    fn show(held: &Held<'a>) -> Self {
        match (held.scalar, held.message) {
            (Some(scalar), _) => scalar.to_view(),
            (None, None) => Self::Empty,
            // It was read before without an error.
            (None, Some(message)) => Met::read(message, held.context).unwrap_or_default(),
        }
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
