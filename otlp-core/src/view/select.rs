//! Reading a few fields of each record, and nothing else of it.
//!
//! A [`SpanView`] decodes and checks all of a span's own fields. Whoever routes, samples
//! or counts needs three of them: [`ScopeSpansView::spans_as`](super::ScopeSpansView::spans_as) and
//! [`ScopeLogsView::records_as`](super::ScopeLogsView::records_as) read just the fields that are named, as
//! a tuple of their values.
//!
//! What was not asked for is passed over by its length. It is **not checked**: a name that is not UTF-8, an
//! identifier of the wrong length, an attribute that is cut short, too many attributes are refused only
//! where they are read. What is asked for is checked as a view checks it, in the occurrence that holds.
//!
//! ```
//! # use otlp_core::encode::Encode;
//! # use otlp_core::record::{ResourceSpans, ScopeSpans, Span, TracesRequest};
//! # use otlp_core::{DecodeError, Limits, UnixNanos};
//! # let span = Span { name: "GET /cart".into(), start: UnixNanos(5), end: UnixNanos(9), ..Span::default() };
//! # let scopes = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
//! # let group = ResourceSpans { scopes, ..ResourceSpans::default() };
//! # let body = TracesRequest { resources: vec![group] }.encode_to_bytes();
//! use otlp_core::view::TracesView;
//! use otlp_core::view::select::span::{End, Name, Start};
//!
//! let limits = Limits::default();
//! for group in TracesView::parse(&body, &limits)?.resources() {
//!     for scope in group?.scopes() {
//!         for fields in scope?.spans_as::<(Name, Start, End)>().assume_unique() {
//!             let (name, start, end) = fields?;
//!             assert_eq!((name, end.duration_since(start).as_nanos()), ("GET /cart", 4));
//!         }
//!     }
//! }
//! # Ok::<(), DecodeError>(())
//! ```

use core::iter::FusedIterator;
use core::marker::PhantomData;

use self::sealed::Found;
use super::context::Context;
use super::list::{Elements, List};
use super::log::LogRecordView;
use super::message::{Fields, Message, narrow};
use super::span::SpanView;
use crate::error::DecodeError;
use crate::wire::Region;

/// A field of the records that `View` shows, which can be asked for alone.
pub trait Field<'a, View>: sealed::Field<'a> {}

/// One to eight different fields of the records that `View` shows: a tuple of markers such as
/// [`span::Name`].
pub trait Select<'a, View>: sealed::Select<'a> {}

/// The selected fields of the records of one scope: an iterator over tuples.
///
/// A field that a record does not have reads as its default value. A bad record is an `Err`, and the next
/// call goes on with the one after it.
///
/// The reading is protobuf's: a field may occur several times, and the last one holds. So every field of a
/// record has to be looked at; see [`assume_unique`](Self::assume_unique).
#[derive(Debug, Clone)]
pub struct Selected<'a, S, const UNIQUE: bool = false> {
    records: Elements<'a, Region<'a>>,
    context: Context<'a>,
    select: PhantomData<fn() -> S>,
}

impl<'a, S: sealed::Select<'a>> Selected<'a, S> {
    #[inline(always)]
    pub(super) fn new(message: &Message<'a>, list: List, number: u32, context: Context<'a>) -> Self {
        Self { records: Elements::new(message, list, number, context), context, select: PhantomData }
    }

    /// Stops in each record as soon as all selected fields were met, in whatever order they lie.
    ///
    /// No encoder writes a singular field twice, but protobuf allows it. Of a field that does occur again,
    /// the last is what other readers see, and here it may be an earlier one. Do not decide anything by it
    /// that somebody else will check by other means, such as who may see a record.
    #[must_use]
    #[inline(always)]
    pub fn assume_unique(self) -> Selected<'a, S, true> {
        Selected { records: self.records, context: self.context, select: PhantomData }
    }
}

impl<'a, S: sealed::Select<'a>, const UNIQUE: bool> Iterator for Selected<'a, S, UNIQUE> {
    type Item = Result<S::Values, DecodeError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let record = self.records.next()?;
        Some(record.and_then(|record| {
            let places = Places::find::<UNIQUE>(record, S::WANTED)?;
            S::read(Found { record, places, context: self.context })
        }))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.records.size_hint()
    }
}

impl<'a, S: sealed::Select<'a>, const UNIQUE: bool> ExactSizeIterator for Selected<'a, S, UNIQUE> {}
impl<'a, S: sealed::Select<'a>, const UNIQUE: bool> FusedIterator for Selected<'a, S, UNIQUE> {}

mod sealed {
    use super::{Context, DecodeError, Fields, Places, Region};

    /// A record and where its fields lie.
    #[expect(missing_debug_implementations, reason = "not reachable from outside")]
    pub struct Found<'a> {
        pub(super) record: Region<'a>,
        pub(super) places: Places,
        pub(super) context: Context<'a>,
    }

    impl<'a> Found<'a> {
        /// Reads a field, or gives its default value where there is none.
        #[inline(always)]
        pub(super) fn value<F: Field<'a>>(&self) -> Result<F::Value, DecodeError> {
            let mut fields = Fields::new(self.record.last(self.places.left(F::NUMBER)));
            match fields.next()? {
                Some(_) => F::read(Met { fields, context: self.context }),
                None => Ok(F::Value::default()),
            }
        }
    }

    /// A field that is to be read.
    #[expect(missing_debug_implementations, reason = "not reachable from outside")]
    pub struct Met<'a> {
        pub(super) fields: Fields<'a>,
        pub(super) context: Context<'a>,
    }

    pub trait Field<'a> {
        type Value: Default;
        const NUMBER: u32;

        fn read(met: Met<'a>) -> Result<Self::Value, DecodeError>;
    }

    pub trait Select<'a>: Sized {
        type Values;
        const WANTED: u32;

        fn read(found: Found<'a>) -> Result<Self::Values, DecodeError>;
    }
}

/// Makes markers from a table of fields: as in the table of the view, under names of types.
macro_rules! fields {
    (
        $(#[$module_doc:meta])*
        $module:ident of $view:ident {
            $($(#[$doc:meta])* $marker:ident: $value:ty = $number:literal => $read:ident;)+
        }
    ) => {
        $(#[$module_doc])*
        pub mod $module {
            use super::sealed::{self, Met};
            use super::{DecodeError, $view};
            use crate::record;

            $(
                $(#[$doc])*
                #[derive(Debug, Clone, Copy)]
                #[non_exhaustive]
                pub struct $marker;

                impl<'a> sealed::Field<'a> for $marker {
                    type Value = $value;
                    const NUMBER: u32 = $number;

                    #[inline(always)]
                    fn read(mut met: Met<'a>) -> Result<$value, DecodeError> {
                        met.context.$read(&mut met.fields)
                    }
                }

                impl<'a> super::Field<'a, $view<'a>> for $marker {}
            )+
        }
    };
}

fields! {
    /// The fields of a span that can be asked for alone.
    span of SpanView {
        /// The trace it belongs to.
        TraceId: crate::TraceId = 1 => trace_id;
        /// Its own identifier.
        SpanId: crate::SpanId = 2 => span_id;
        /// W3C `tracestate`.
        TraceState: &'a str = 3 => str;
        /// The span that caused it.
        ParentSpanId: crate::SpanId = 4 => span_id;
        /// Low-cardinality name of the operation.
        Name: &'a str = 5 => str;
        /// Its role.
        Kind: record::SpanKind = 6 => span_kind;
        /// When it began.
        Start: crate::UnixNanos = 7 => nanos;
        /// When it ended.
        End: crate::UnixNanos = 8 => nanos;
        /// W3C trace flags in bits 0-7, "parent is remote" in bits 8 and 9.
        Flags: u32 = 16 => fixed32;
    }
}

fields! {
    /// The fields of a log record that can be asked for alone.
    log of LogRecordView {
        /// When it happened, as the source says.
        Time: crate::UnixNanos = 1 => nanos;
        /// How grave it is.
        SeverityNumber: record::SeverityNumber = 2 => severity;
        /// How grave it is, in the source's own word.
        SeverityText: &'a str = 3 => str;
        /// W3C trace flags in bits 0-7.
        Flags: u32 = 8 => fixed32;
        /// The trace it was written in.
        TraceId: crate::TraceId = 9 => trace_id;
        /// The span it was written in.
        SpanId: crate::SpanId = 10 => span_id;
        /// When it was seen by whoever collected it.
        ObservedTime: crate::UnixNanos = 11 => nanos;
        /// The event's name, where the record is an event.
        EventName: &'a str = 12 => str;
    }
}

macro_rules! tuple {
    ($($field:ident),+) => {
        impl<'a, View, $($field: Field<'a, View>),+> Select<'a, View> for ($($field,)+) {}

        impl<'a, $($field: sealed::Field<'a>),+> sealed::Select<'a> for ($($field,)+) {
            type Values = ($($field::Value,)+);
            const WANTED: u32 = different(&[$($field::NUMBER),+]);

            #[inline(always)]
            fn read(found: Found<'a>) -> Result<Self::Values, DecodeError> {
                Ok(($(found.value::<$field>()?,)+))
            }
        }
    };
}

tuple!(A);
tuple!(A, B);
tuple!(A, B, C);
tuple!(A, B, C, D);
tuple!(A, B, C, D, E);
tuple!(A, B, C, D, E, F);
tuple!(A, B, C, D, E, F, G);
tuple!(A, B, C, D, E, F, G, H);

/// A bit for each number. A field that is selected twice does not compile.
const fn different(mut numbers: &[u32]) -> u32 {
    let mut bits = 0;
    while let [number, rest @ ..] = numbers {
        assert!((*number as usize) < Places::NUMBERS, "a field whose place is not noted");
        assert!(bits >> *number & 1 == 0, "a field is selected twice");
        bits |= 1 << *number;
        numbers = rest;
    }
    bits
}

/// Where the fields of one record lie: for each number, how many bytes are left from its last tag on.
///
/// To note every field costs less than to ask of each whether it is wanted.
struct Places([u32; Self::NUMBERS]);

impl Places {
    /// No field that can be selected has a number as great.
    const NUMBERS: usize = 17;

    #[inline(always)]
    fn find<const UNIQUE: bool>(record: Region<'_>, wanted: u32) -> Result<Self, DecodeError> {
        let mut places = Self([0; Self::NUMBERS]);
        if places.walk::<UNIQUE>(record.bytes(), wanted).is_none() {
            places.walk_any(record)?;
        }
        Ok(places)
    }

    #[inline(always)]
    fn note(&mut self, number: u32, left: usize) {
        if let Some(place) = self.0.get_mut(number as usize) {
            *place = narrow(left);
        }
    }

    /// How many bytes of the record are left from the field on; zero where there is none.
    #[inline(always)]
    fn left(&self, number: u32) -> usize {
        self.0.get(number as usize).map_or(0, |left| *left as usize)
    }

    /// Walks a record as nearly all are: numbers and lengths take one byte or two. `None` for any other,
    /// and for a malformed one.
    #[inline(always)]
    fn walk<const UNIQUE: bool>(&mut self, record: &[u8], wanted: u32) -> Option<()> {
        let (mut rest, mut missing) = (record, wanted);
        while let [tag, ref value @ ..] = *rest {
            let (number, value) = match *value {
                _ if tag < 0x80 => (tag >> 3, value),
                [high, ref value @ ..] if high < 0x10 => (tag >> 3 & 0xf | high << 4, value),
                _ => return None,
            };
            self.note(number.into(), rest.len());
            if UNIQUE {
                missing &= !1_u32.checked_shl(number.into()).unwrap_or(0);
                if missing == 0 {
                    return Some(());
                }
            }
            rest = match tag & 7 {
                2 => {
                    let mut rest = pass_delimited(value)?;
                    // A list: its other elements say nothing new, but the last place counts.
                    while let [next, ref value @ ..] = *rest
                        && next == tag
                        && tag < 0x80
                    {
                        self.note(number.into(), rest.len());
                        rest = pass_delimited(value)?;
                    }
                    rest
                }
                1 => value.get(8..)?,
                5 => value.get(4..)?,
                0 => pass_varint(value)?,
                _ => return None,
            };
            if number == 0 {
                return None;
            }
        }
        Some(())
    }

    /// Walks any record, or says what is wrong with it.
    #[cold]
    #[inline(never)]
    fn walk_any(&mut self, record: Region<'_>) -> Result<(), DecodeError> {
        let end = record.offset() + record.bytes().len();
        let mut fields = Fields::new(record);
        while let Some(number) = fields.next()? {
            self.note(number, end - fields.offset());
            fields.skip()?;
        }
        Ok(())
    }
}

/// What comes after a length and as many bytes.
#[inline(always)]
fn pass_delimited(value: &[u8]) -> Option<&[u8]> {
    match *value {
        [len, ref rest @ ..] if len < 0x80 => rest.get(len.into()..),
        [low, high, ref rest @ ..] if high < 0x80 => {
            rest.get(usize::from(low & 0x7f) | usize::from(high) << 7..)
        }
        _ => None,
    }
}

/// What comes after a varint of one byte or two.
#[inline(always)]
fn pass_varint(value: &[u8]) -> Option<&[u8]> {
    match *value {
        [low, ref rest @ ..] if low < 0x80 => Some(rest),
        [_, high, ref rest @ ..] if high < 0x80 => Some(rest),
        _ => None,
    }
}
