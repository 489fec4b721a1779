//! Repeated fields: found by one pass over the message, read again lazily.

use core::iter::FusedIterator;
use core::marker::PhantomData;

use super::context::{Context, at_most};
use super::message::{BYTES, Fields, Message, Pieces, narrow};
use super::table::Element;
use crate::error::DecodeError;
use crate::wire::{Reader, Region, count_varints};

/// How many elements a repeated field has, and where the first lies.
///
/// Reading starts at the first and ends with the last, so a list whose elements lie together costs a
/// walk over just them, in ascending as in descending field order.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct List {
    len: u32,
    first: u32,
}

impl List {
    /// Counts the elements that stand here, and passes over them.
    #[inline(always)]
    pub(crate) fn push(
        &mut self,
        fields: &mut Fields<'_>,
        bound: (&'static str, usize),
    ) -> Result<(), DecodeError> {
        let first = fields.offset();
        let mut count = 0;
        loop {
            fields.delimited()?;
            count += 1;
            if !fields.next_alike() {
                return self.extend(first, count, bound);
            }
        }
    }

    /// Counts the numbers of one occurrence of a repeated scalar field, packed or not.
    #[inline]
    pub(crate) fn push_numbers<N: Number>(
        &mut self,
        fields: &mut Fields<'_>,
        bound: (&'static str, usize),
    ) -> Result<(), DecodeError> {
        if !fields.is_delimited() {
            N::single(fields)?;
            return self.extend(fields.offset(), 1, bound);
        }
        let run = fields.delimited()?;
        let count = N::count(run)?;
        self.extend(fields.offset(), count, bound)
    }

    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.len as usize
    }

    #[inline(always)]
    fn extend(
        &mut self,
        offset: usize,
        more: u32,
        (what, bound): (&'static str, usize),
    ) -> Result<(), DecodeError> {
        if self.len == 0 {
            self.first = narrow(offset);
        }
        // Each element takes a byte at least, of fewer than 2^31.
        self.len += more;
        at_most(what, self.len(), bound, offset)
    }
}

/// The elements of a repeated message or string field, each read when it is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Elements<'a, V> {
    /// From the next element on, or from a field somewhere before it.
    fields: Fields<'a>,
    pieces: Pieces<'a>,
    tag: u32,
    left: usize,
    context: Context<'a>,
    view: PhantomData<fn() -> V>,
}

impl<'a, V> Elements<'a, V> {
    #[inline(always)]
    pub(crate) fn new(message: &Message<'a>, list: List, number: u32, context: Context<'a>) -> Self {
        let (fields, pieces) = message.fields_from(list.first);
        let tag = number << 3 | BYTES;
        Self { fields, pieces, tag, left: list.len(), context, view: PhantomData }
    }
}

impl<'a, V: Element<'a>> Iterator for Elements<'a, V> {
    type Item = Result<V, DecodeError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        if !self.fields.next_is(self.tag) {
            // By value both ways, so that the iterator may live in registers.
            (self.fields, self.pieces) = seek(self.fields.clone(), self.pieces.clone(), self.tag)?;
        }
        Some(V::read(&mut self.fields, self.context))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

/// Goes on to the next field with `tag`, where it does not stand next.
///
/// The pass that counted has walked the same fields, so neither end nor error comes before it.
#[cold]
#[inline(never)]
fn seek<'a>(mut fields: Fields<'a>, mut pieces: Pieces<'a>, tag: u32) -> Option<(Fields<'a>, Pieces<'a>)> {
    loop {
        match fields.next().ok()? {
            Some(_) if fields.tag() == tag => return Some((fields, pieces)),
            Some(_) => fields.skip().ok()?,
            None => fields = pieces.next().ok()??,
        }
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
    fn single(fields: &mut Fields<'_>) -> Result<Self::Value, DecodeError>;

    /// Counts the numbers of a packed run, and sees that each can be read.
    fn count(run: Region<'_>) -> Result<u32, DecodeError>;
}

/// As [`Number::count`], for varints.
#[inline]
fn count_varint<N: Number>(run: Region<'_>) -> Result<u32, DecodeError> {
    match count_varints(run.bytes()) {
        Some(count) => Ok(narrow(count)),
        None => count_each::<N>(run),
    }
}

#[cold]
fn count_each<N: Number>(run: Region<'_>) -> Result<u32, DecodeError> {
    let mut reader = Reader::new(run);
    let mut count = 0;
    while !reader.is_empty() {
        N::packed(&mut reader)?;
        count += 1;
    }
    Ok(count)
}

/// As [`Number::count`], where each takes eight bytes.
#[inline]
fn count_fixed64(run: Region<'_>) -> Result<u32, DecodeError> {
    let (whole, rest) = run.bytes().as_chunks::<8>();
    if rest.is_empty() {
        return Ok(narrow(whole.len()));
    }
    // What is left over is no number: say so as it would be said when reading it.
    Reader::new(run.last(rest.len())).fixed64().map(|_| 0)
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
    fn single(fields: &mut Fields<'_>) -> Result<u64, DecodeError> {
        fields.fixed64()
    }

    #[inline]
    fn count(run: Region<'_>) -> Result<u32, DecodeError> {
        count_fixed64(run)
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
    fn single(fields: &mut Fields<'_>) -> Result<f64, DecodeError> {
        fields.fixed64().map(f64::from_bits)
    }

    #[inline]
    fn count(run: Region<'_>) -> Result<u32, DecodeError> {
        count_fixed64(run)
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
    fn single(fields: &mut Fields<'_>) -> Result<u64, DecodeError> {
        fields.varint()
    }

    #[inline]
    fn count(run: Region<'_>) -> Result<u32, DecodeError> {
        count_varint::<Self>(run)
    }
}

/// `int32`: the low 32 bits of the varint, as protobuf has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Int32;

impl Number for Int32 {
    type Value = i32;

    #[inline]
    fn packed(reader: &mut Reader<'_>) -> Result<i32, DecodeError> {
        reader.varint().map(low)
    }

    #[inline]
    fn single(fields: &mut Fields<'_>) -> Result<i32, DecodeError> {
        fields.varint().map(low)
    }

    #[inline]
    fn count(run: Region<'_>) -> Result<u32, DecodeError> {
        count_varint::<Self>(run)
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "protobuf asks for the low 32 bits")]
const fn low(raw: u64) -> i32 {
    (raw as u32).cast_signed()
}

/// `int64`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Int64;

impl Number for Int64 {
    type Value = i64;

    #[inline]
    fn packed(reader: &mut Reader<'_>) -> Result<i64, DecodeError> {
        reader.varint().map(u64::cast_signed)
    }

    #[inline]
    fn single(fields: &mut Fields<'_>) -> Result<i64, DecodeError> {
        fields.varint().map(u64::cast_signed)
    }

    #[inline]
    fn count(run: Region<'_>) -> Result<u32, DecodeError> {
        count_varint::<Self>(run)
    }
}

/// The numbers of a repeated scalar field, joined over all its occurrences.
#[derive(Debug, Clone)]
pub(crate) struct Numbers<'a, N> {
    fields: Fields<'a>,
    pieces: Pieces<'a>,
    run: Reader<'a>,
    number: u32,
    left: usize,
    layout: PhantomData<fn() -> N>,
}

impl<'a, N> Numbers<'a, N> {
    #[inline]
    pub(crate) fn new(message: &Message<'a>, list: List, number: u32) -> Self {
        let (mut fields, pieces) = message.fields_from(list.first);
        // Nearly every list is one packed run, and short: what finds more of them is not entered.
        let packed = fields.next_is(number << 3 | BYTES);
        let run = if packed { fields.delimited().unwrap_or_default() } else { Region::new(&[]) };
        Self { fields, pieces, run: Reader::new(run), number, left: list.len(), layout: PhantomData }
    }
}

impl<N: Number> Numbers<'_, N> {
    /// Goes on to the next occurrence of the field, and gives its first number. By value both ways, so that
    /// the iterator may live in registers.
    #[inline(never)]
    fn next_run(mut self) -> Option<(Self, N::Value)> {
        while self.run.is_empty() {
            match self.fields.next().ok()? {
                None => self.fields = self.pieces.next().ok()??,
                Some(number) if number != self.number => self.fields.skip().ok()?,
                Some(_) if !self.fields.is_delimited() => {
                    let number = N::single(&mut self.fields).ok()?;
                    return Some((self, number));
                }
                Some(_) => self.run = Reader::new(self.fields.delimited().ok()?),
            }
        }
        let number = N::packed(&mut self.run).ok()?;
        Some((self, number))
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
        if self.run.is_empty() {
            let (state, number) = self.clone().next_run()?;
            *self = state;
            return Some(number);
        }
        // The counting pass has read every number already: nothing here can fail.
        N::packed(&mut self.run).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<N: Number> ExactSizeIterator for Numbers<'_, N> {}
