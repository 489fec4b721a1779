//! Repeated fields: found by one pass over the message, read again lazily.

use core::iter::FusedIterator;
use core::marker::PhantomData;

use super::context::{Context, at_most};
use super::message::{Fields, Message};
use super::table::Element;
use crate::error::DecodeError;
use crate::wire::{Field, Reader, Region, Value};

/// How many elements a repeated field has, and where the first lies.
///
/// Reading starts at the first and ends with the last, so a list whose elements lie together costs a
/// walk over just them, in ascending as in descending field order.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct List {
    len: usize,
    first: usize,
}

impl List {
    #[inline]
    pub(crate) fn push(
        &mut self,
        field: &Field<'_>,
        (what, bound): (&'static str, usize),
    ) -> Result<(), DecodeError> {
        field.bytes()?;
        self.extend(field, 1, (what, bound))
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    #[inline]
    fn extend(
        &mut self,
        field: &Field<'_>,
        more: usize,
        (what, bound): (&'static str, usize),
    ) -> Result<(), DecodeError> {
        if self.len == 0 {
            self.first = field.offset;
        }
        self.len += more;
        at_most(what, self.len, bound, field.offset)
    }
}

/// The elements of a repeated message or string field, each read when it is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Elements<'a, V> {
    fields: Fields<'a>,
    number: u32,
    left: usize,
    context: Context<'a>,
    view: PhantomData<fn() -> V>,
}

impl<'a, V> Elements<'a, V> {
    #[inline]
    pub(crate) fn new(message: &Message<'a>, list: List, number: u32, context: Context<'a>) -> Self {
        let fields = message.fields_from(list.first);
        Self { fields, number, left: list.len, context, view: PhantomData }
    }
}

impl<'a, V: Element<'a>> Iterator for Elements<'a, V> {
    type Item = Result<V, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        // The pass that counted has walked the same fields, so neither end nor error comes early.
        while let Ok(Some(field)) = self.fields.next() {
            if field.number == self.number {
                self.left -= 1;
                return Some(V::read(&field, self.context));
            }
        }
        self.left = 0;
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'a, V: Element<'a>> ExactSizeIterator for Elements<'a, V> {}
impl<'a, V: Element<'a>> FusedIterator for Elements<'a, V> {}

/// How the numbers of a repeated scalar field lie on the wire.
pub(crate) trait Number: Copy {
    type Value: Copy;

    /// Reads the next one of a packed run.
    fn packed(reader: &mut Reader<'_>) -> Result<Self::Value, DecodeError>;

    /// Reads one that stands alone.
    fn single(field: &Field<'_>) -> Result<Self::Value, DecodeError>;
}

/// `fixed64`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fixed64;

impl Number for Fixed64 {
    type Value = u64;

    #[inline]
    fn packed(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
        reader.fixed64()
    }

    #[inline]
    fn single(field: &Field<'_>) -> Result<u64, DecodeError> {
        field.fixed64()
    }
}

/// `double`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Double;

impl Number for Double {
    type Value = f64;

    #[inline]
    fn packed(reader: &mut Reader<'_>) -> Result<f64, DecodeError> {
        reader.fixed64().map(f64::from_bits)
    }

    #[inline]
    fn single(field: &Field<'_>) -> Result<f64, DecodeError> {
        field.fixed64().map(f64::from_bits)
    }
}

/// `uint64`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Varint;

impl Number for Varint {
    type Value = u64;

    #[inline]
    fn packed(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
        reader.varint()
    }

    #[inline]
    fn single(field: &Field<'_>) -> Result<u64, DecodeError> {
        field.varint()
    }
}

impl List {
    /// Counts the numbers of one occurrence of a repeated scalar field, packed or not.
    #[inline]
    pub(crate) fn push_numbers<N: Number>(
        &mut self,
        field: &Field<'_>,
        bound: (&'static str, usize),
    ) -> Result<(), DecodeError> {
        let Value::Bytes(run) = field.value else {
            N::single(field)?;
            return self.extend(field, 1, bound);
        };
        let mut reader = Reader::new(run);
        let mut count = 0;
        while !reader.is_empty() {
            N::packed(&mut reader)?;
            count += 1;
        }
        self.extend(field, count, bound)
    }
}

/// The numbers of a repeated scalar field, joined over all its occurrences.
#[derive(Debug, Clone)]
pub(crate) struct Numbers<'a, N> {
    fields: Fields<'a>,
    run: Reader<'a>,
    number: u32,
    left: usize,
    layout: PhantomData<fn() -> N>,
}

impl<'a, N> Numbers<'a, N> {
    #[inline]
    pub(crate) fn new(message: &Message<'a>, list: List, number: u32) -> Self {
        let fields = message.fields_from(list.first);
        let run = Reader::new(Region::default());
        Self { fields, run, number, left: list.len, layout: PhantomData }
    }
}

impl<N: Number> Iterator for Numbers<'_, N> {
    type Item = N::Value;

    #[inline]
    fn next(&mut self) -> Option<N::Value> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        // The counting pass has read every number already: nothing here can fail.
        while self.run.is_empty() {
            let field = self.fields.next().ok()??;
            if field.number == self.number {
                let Value::Bytes(run) = field.value else { return N::single(&field).ok() };
                self.run = Reader::new(run);
            }
        }
        N::packed(&mut self.run).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<N: Number> ExactSizeIterator for Numbers<'_, N> {}
