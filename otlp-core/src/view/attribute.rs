//! Attribute keys and values.

use super::context::Context;
use super::heap::HeapBudget;
use super::list::{Elements, List};
use super::message::Message;
use super::table::{Own, Part, View};
use crate::error::DecodeError;
use crate::record::{AnyValue, KeyValue};

/// A borrowed attribute.
#[derive(Debug, Clone, Copy)]
pub struct KeyValueView<'a> {
    key: &'a str,
    key_index: i32,
    value: AnyValueView<'a>,
    offset: usize,
}

impl<'a> KeyValueView<'a> {
    /// The name.
    #[must_use]
    #[inline]
    pub const fn key(&self) -> &'a str {
        self.key
    }

    /// Index of the name in the dictionary of a profiles request, 0 where there is none. The other
    /// signals have no dictionary; there it says nothing, and the owned record leaves it out.
    #[must_use]
    pub const fn key_index(&self) -> i32 {
        self.key_index
    }

    /// The value.
    #[must_use]
    #[inline]
    pub const fn value(&self) -> AnyValueView<'a> {
        self.value
    }

    /// Copies it out, taking what it needs from `heap`.
    ///
    /// # Errors
    /// Where a nested value is malformed or passes a limit, `max_heap_bytes` among them.
    pub fn to_record_within(&self, heap: &mut HeapBudget) -> Result<KeyValue, DecodeError> {
        heap.offset = self.offset;
        Ok(KeyValue { key: heap.text(self.key)?, value: self.value.to_record_within(heap)? })
    }
}

impl<'a> View<'a> for KeyValueView<'a> {
    #[inline]
    fn read_message(message: Message<'a>, context: Context<'a>) -> Result<Self, DecodeError> {
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
        let value = AnyValueView::read_part(value, context)?;
        Ok(Self { key, key_index, value, offset: message.begin() })
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
    /// there the owned record takes it for empty, as the OTLP specification asks.
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
            Self::Empty | Self::StringIndex(_) => AnyValue::Empty,
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
        let mut value = Self::Empty;
        // The list or map met last, with its field number: a second piece of the same joins it, and
        // any other member of the oneof clears it.
        let mut nested: Option<(u8, Message<'a>)> = None;
        let mut pieces = message.pieces();
        while let Some(mut fields) = pieces.next()? {
            while let Some(number) = fields.next()? {
                value = match number {
                    1 => Self::String(context.str(&mut fields)?),
                    2 => Self::Bool(context.bool(&mut fields)?),
                    3 => Self::Int(fields.varint()?.cast_signed()),
                    4 => Self::Double(context.double(&mut fields)?),
                    5 => {
                        nested = Some((5, message.merge(same(nested, 5), 5, &mut fields)?));
                        continue;
                    }
                    6 => {
                        nested = Some((6, message.merge(same(nested, 6), 6, &mut fields)?));
                        continue;
                    }
                    7 => Self::Bytes(context.bytes(&mut fields)?.bytes()),
                    8 => Self::StringIndex(context.int32(&mut fields)?),
                    _ => {
                        fields.skip()?;
                        continue;
                    }
                };
                nested = None;
            }
        }
        match nested {
            None => Ok(value),
            Some((5, message)) => ArrayView::read_message(message, context).map(Self::Array),
            Some((_, message)) => KvListView::read_message(message, context).map(Self::KvList),
        }
    }
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

        impl<'a> View<'a> for $view<'a> {
            #[inline]
            fn read_message(message: Message<'a>, context: Context<'a>) -> Result<Self, DecodeError> {
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
                Ok(Self { message, context, items })
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
