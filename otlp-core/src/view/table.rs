//! Views as tables: field number, name, type and how it is read, and the code that follows from them.

use super::context::Context;
use super::heap::HeapBudget;
use super::message::{Fields, Message};
use crate::error::DecodeError;
use crate::record::{NumberValue, SeverityNumber, SpanKind, StatusCode, Temporality};
use crate::wire::Region;
use crate::{ProfileId, SpanId, TraceId, UnixNanos};

/// A message read by one pass over its own fields.
pub(crate) trait View<'a>: Sized {
    fn read_message(message: Message<'a>, context: Context<'a>) -> Result<Self, DecodeError>;
}

/// An element of a repeated field.
pub(crate) trait Element<'a>: Sized {
    fn read(fields: &mut Fields<'a>, context: Context<'a>) -> Result<Self, DecodeError>;
}

impl<'a, V: View<'a>> Element<'a> for V {
    #[inline(always)]
    fn read(fields: &mut Fields<'a>, context: Context<'a>) -> Result<Self, DecodeError> {
        V::read_message(Message::whole(fields.delimited()?), context)
    }
}

impl<'a> Element<'a> for &'a str {
    #[inline]
    fn read(fields: &mut Fields<'a>, context: Context<'a>) -> Result<Self, DecodeError> {
        context.str(fields)
    }
}

/// An element that is not looked into yet.
impl<'a> Element<'a> for Region<'a> {
    #[inline(always)]
    fn read(fields: &mut Fields<'a>, _: Context<'a>) -> Result<Self, DecodeError> {
        fields.delimited()
    }
}

/// A singular sub-message: the default view where it is absent, or `None` for an `Option`.
pub(crate) trait Part<'a>: Sized {
    /// What the view around it holds of it.
    type Held: Copy;

    fn read_part(part: Option<Message<'a>>, context: Context<'a>) -> Result<Self::Held, DecodeError>;

    fn show(held: &Self::Held) -> Self;
}

impl<'a, V: View<'a> + Copy> Part<'a> for Option<V> {
    type Held = Self;

    #[inline]
    fn read_part(part: Option<Message<'a>>, context: Context<'a>) -> Result<Self, DecodeError> {
        part.map(|message| V::read_message(message, context)).transpose()
    }

    #[inline(always)]
    fn show(held: &Self) -> Self {
        *held
    }
}

/// What can be copied out of the message that it borrows from.
pub(crate) trait Own {
    type Owned;

    fn own(self, heap: &mut HeapBudget) -> Result<Self::Owned, DecodeError>;
}

impl Own for &str {
    type Owned = String;

    fn own(self, heap: &mut HeapBudget) -> Result<String, DecodeError> {
        heap.text(self)
    }
}

impl Own for &[u8] {
    type Owned = Vec<u8>;

    fn own(self, heap: &mut HeapBudget) -> Result<Vec<u8>, DecodeError> {
        heap.bytes(self)
    }
}

impl<V: Own> Own for Option<V> {
    type Owned = Option<V::Owned>;

    fn own(self, heap: &mut HeapBudget) -> Result<Self::Owned, DecodeError> {
        self.map(|view| view.own(heap)).transpose()
    }
}

macro_rules! own_as_is {
    ($($ty:ty),*) => {
        $(impl Own for $ty {
            type Owned = Self;

            #[inline]
            fn own(self, _: &mut HeapBudget) -> Result<Self, DecodeError> {
                Ok(self)
            }
        })*
    };
}

own_as_is!(bool, u32, i32, u64, i64, f64, UnixNanos, TraceId, SpanId, ProfileId);
own_as_is!(SpanKind, StatusCode, SeverityNumber, Temporality, NumberValue);

/// Makes a view from a table of its fields.
///
/// - `scalars`: `name: type = number => reader` (several for a oneof of scalars; the last one met wins)
/// - `lists`: `name: element = number within limit`
/// - `numbers`: `name: type = number as layout`
/// - `parts`: `name: view = number`, singular sub-messages
///
/// The names are those of the record's fields, so that copying out follows from the same table.
macro_rules! view {
    (
        $(#[$doc:meta])*
        $view:ident of $record:ident {
            $(scalars { $($(#[$sdoc:meta])* $scalar:ident: $sty:ty = $($snum:literal => $read:ident),+;)+ })?
            $(lists { $($(#[$ldoc:meta])* $list:ident: $lty:ty = $lnum:literal within $bound:ident;)+ })?
            $(numbers { $($(#[$ndoc:meta])* $numbers:ident: $nty:ty = $nnum:literal as $layout:ident;)+ })?
            $(parts { $($(#[$pdoc:meta])* $part:ident: $pty:ty = $pnum:literal;)+ })?
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $view<'a> {
            wire: $crate::view::message::Message<'a>,
            context: $crate::view::context::Context<'a>,
            $($($scalar: $sty,)+)?
            $($($list: $crate::view::list::List,)+)?
            $($($numbers: $crate::view::list::List,)+)?
            $($($part: <$pty as $crate::view::table::Part<'a>>::Held,)+)?
        }

        #[allow(single_use_lifetimes, reason = "a table without texts and lists does not use it again")]
        impl<'a> $view<'a> {
            /// Where it lies.
            #[allow(dead_code, reason = "used of some")]
            pub(crate) const fn wire(&self) -> &$crate::view::message::Message<'a> {
                &self.wire
            }

            $($(
                $(#[$sdoc])*
                #[must_use]
                #[inline]
                pub const fn $scalar(&self) -> $sty {
                    self.$scalar
                }
            )+)?
            $($(
                $(#[$ldoc])*
                ///
                /// Read one by one; a bad one is an `Err`, and the next call goes on with the one after it.
                #[inline]
                pub fn $list(
                    &self,
                ) -> impl ExactSizeIterator<Item = Result<$lty, $crate::DecodeError>> + Clone + use<'a> {
                    $crate::view::list::Elements::<'a, $lty>::new(
                        &self.wire, self.$list, $lnum, self.context,
                    )
                }
            )+)?
            $($(
                $(#[$ndoc])*
                #[inline]
                pub fn $numbers(&self) -> impl ExactSizeIterator<Item = $nty> + Clone + use<'a> {
                    $crate::view::list::Numbers::<'a, $crate::view::list::$layout>::new(
                        &self.wire, self.$numbers, $nnum,
                    )
                }
            )+)?
            $($(
                $(#[$pdoc])*
                #[must_use]
                #[inline]
                pub fn $part(&self) -> $pty {
                    $crate::view::table::Part::show(&self.$part)
                }
            )+)?

            #[doc = concat!("Copies it out to a [`", stringify!($record), "`](crate::record::", stringify!($record), ").")]
            ///
            /// # Errors
            /// Where something within is malformed or passes a limit, `max_heap_bytes` among them.
            pub fn to_record(&self) -> Result<$crate::record::$record, $crate::DecodeError> {
                self.to_record_within(&mut $crate::view::HeapBudget::new(self.context.limits()))
            }

            /// As [`to_record`](Self::to_record), with a budget shared between several calls.
            ///
            /// # Errors
            /// As there.
            pub fn to_record_within(
                &self,
                heap: &mut $crate::view::HeapBudget,
            ) -> Result<$crate::record::$record, $crate::DecodeError> {
                heap.offset = self.wire.begin();
                Ok($crate::record::$record {
                    $($($scalar: $crate::view::table::Own::own(self.$scalar, heap)?,)+)?
                    $($($list: heap.collect(self.$list())?,)+)?
                    $($($numbers: heap.numbers(self.$numbers())?,)+)?
                    $($($part: $crate::view::table::Own::own(self.$part(), heap)?,)+)?
                })
            }
        }

        impl $crate::encode::Encode for $view<'_> {
            /// Copies the message as it lies on the wire, unknown fields included.
            fn encode(&self, writer: &mut $crate::wire::Writer) {
                self.wire.write(writer);
            }
        }

        impl<'a> $crate::view::table::View<'a> for $view<'a> {
            #[inline(always)]
            fn read_message(
                message: $crate::view::message::Message<'a>,
                context: $crate::view::context::Context<'a>,
            ) -> Result<Self, $crate::DecodeError> {
                $($(let mut $scalar = <$sty>::default();)+)?
                $($(let mut $list = $crate::view::list::List::default();)+)?
                $($(let mut $numbers = $crate::view::list::List::default();)+)?
                $($(let mut $part = None;)+)?
                let mut pieces = message.pieces();
                while let Some(mut fields) = pieces.next()? {
                while let Some(number) = fields.next()? {
                    match number {
                        $($($($snum => $scalar = context.$read(&mut fields)?,)+)+)?
                        $($($lnum => $list.push(
                            &mut fields,
                            (concat!("max_", stringify!($bound)), context.limits().$bound()),
                        )?,)+)?
                        $($($nnum => $numbers.push_numbers::<$crate::view::list::$layout>(
                            &mut fields,
                            ("max_elements", context.limits().elements()),
                        )?,)+)?
                        $($($pnum => $part = Some(message.merge($part, $pnum, &mut fields)?),)+)?
                        _ => fields.skip()?,
                    }
                }
                }
                Ok(Self {
                    wire: message,
                    context,
                    $($($scalar,)+)?
                    $($($list,)+)?
                    $($($numbers,)+)?
                    $($($part: <$pty as $crate::view::table::Part<'a>>::read_part($part, context)?,)+)?
                })
            }
        }

        impl<'a> $crate::view::table::Part<'a> for $view<'a> {
            type Held = Self;

            #[inline]
            fn read_part(
                part: Option<$crate::view::message::Message<'a>>,
                context: $crate::view::context::Context<'a>,
            ) -> Result<Self, $crate::DecodeError> {
                $crate::view::table::View::read_message(part.unwrap_or_default(), context)
            }

            #[inline(always)]
            fn show(held: &Self) -> Self {
                *held
            }
        }

        impl $crate::view::table::Own for $view<'_> {
            type Owned = $crate::record::$record;

            fn own(
                self,
                heap: &mut $crate::view::HeapBudget,
            ) -> Result<Self::Owned, $crate::DecodeError> {
                self.to_record_within(heap)
            }
        }
    };
}
pub(super) use view;
