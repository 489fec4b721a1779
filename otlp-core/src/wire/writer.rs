//! Writing messages back to front.

use bytes::Bytes;

use super::tag::{Tag, WireType};
#[cfg(test)]
use super::varint;
use super::varint::varint_len;

/// Writes protobuf back to front into a buffer that is kept between messages.
///
/// Whatever is written stands *before* what was written already. A nested message is written first
/// and its length and tag after it, so no size pass is needed and every length is exact. Write the
/// last field first. In steady state nothing is allocated; growing doubles the buffer.
///
/// ```
/// use otlp_core::wire::Writer;
/// let mut writer = Writer::new();
/// writer.message(2, |inner| inner.varint(1, 150));
/// writer.str(1, "first");
/// assert_eq!(writer.as_slice(), b"\x0a\x05first\x12\x03\x08\x96\x01");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Writer {
    buf: Vec<u8>,
    /// Everything from here to the end of `buf` is written.
    start: usize,
}

impl Writer {
    /// An empty writer that allocates on first use.
    #[must_use]
    pub const fn new() -> Self {
        Self { buf: Vec::new(), start: 0 }
    }

    /// A writer with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { buf: vec![0; capacity], start: capacity }
    }

    /// Forgets what was written and keeps the room.
    pub fn clear(&mut self) {
        self.start = self.buf.len();
    }

    /// Makes room for `more` bytes in front of what is written, so that writing them does not have to.
    pub fn reserve(&mut self, more: usize) {
        if self.start < more {
            self.grow(more);
        }
    }

    /// True where there is no buffer yet.
    #[must_use]
    #[cfg(feature = "otel")]
    pub(crate) const fn is_new(&self) -> bool {
        self.buf.is_empty()
    }

    /// Bytes of the buffer.
    #[cfg(all(feature = "otel", feature = "http"))]
    pub(crate) const fn capacity(&self) -> usize {
        self.buf.len()
    }

    /// Bytes written.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.buf.len() - self.start
    }

    /// True where nothing is written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is written.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.buf.get(self.start..).unwrap_or_default()
    }

    /// What is written, without copying; the room goes with it.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        let start = self.start;
        Bytes::from(self.buf).slice(start..)
    }

    /// Puts raw bytes in front: a message or field that is encoded already.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        copy(self.slot(bytes.len()), bytes);
    }

    /// Puts `parts` in front, the first of them foremost; together they are `len` bytes long.
    pub(crate) fn raw_parts(&mut self, len: usize, parts: impl Iterator<Item: AsRef<[u8]>>) {
        let mut slot = self.slot(len);
        for part in parts {
            let part = part.as_ref();
            let Some((to, rest)) = slot.split_at_mut_checked(part.len()) else { break };
            to.copy_from_slice(part);
            slot = rest;
        }
    }

    /// Puts a bare varint in front, as in a packed list.
    #[inline]
    pub fn raw_varint(&mut self, value: u64) {
        match (short(value), two(value)) {
            (Some(byte), _) => self.array([byte]),
            (None, Some(bytes)) => self.array(bytes),
            (None, None) => self.long_varint(value),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self, value: u64) {
        put_varint(self.slot(varint_len(value)), value);
    }

    /// A varint field.
    #[inline]
    pub fn varint(&mut self, field: u32, value: u64) {
        self.raw_varint(value);
        self.tag(field, WireType::Varint);
    }

    /// An `int32`, `int64` or enum field: negative numbers take ten bytes, as protobuf has it.
    #[inline]
    pub fn int(&mut self, field: u32, value: i64) {
        self.varint(field, value.cast_unsigned());
    }

    /// A `fixed64` or `sfixed64` field.
    #[inline]
    pub fn fixed64(&mut self, field: u32, value: u64) {
        self.array(value.to_le_bytes());
        self.tag(field, WireType::Fixed64);
    }

    /// A `fixed32` field.
    #[inline]
    pub fn fixed32(&mut self, field: u32, value: u32) {
        self.array(value.to_le_bytes());
        self.tag(field, WireType::Fixed32);
    }

    /// A `double` field.
    #[inline]
    pub fn double(&mut self, field: u32, value: f64) {
        self.fixed64(field, value.to_bits());
    }

    /// A `bytes` field.
    #[inline]
    pub fn bytes(&mut self, field: u32, value: &[u8]) {
        self.raw(value);
        self.head(field, value.len());
    }

    /// A `string` field.
    #[inline]
    pub fn str(&mut self, field: u32, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    /// A nested message, or a packed list: `write` writes its content, last field first.
    #[inline]
    pub fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        let before = self.len();
        write(self);
        self.head(field, self.len() - before);
    }

    /// A nested message of two texts: number 1, and number 1 of a message that is number 2. This is an
    /// attribute whose value is text, as most are; the same bytes take half the steps this way.
    #[cfg(any(feature = "otel", test))]
    #[inline]
    pub(crate) fn text_pair(&mut self, field: u32, first: &str, second: &str) {
        const TEXT: u8 = 1 << 3 | WireType::Bytes as u8;
        const MESSAGE: u8 = 2 << 3 | WireType::Bytes as u8;
        let (first, second) = (first.as_bytes(), second.as_bytes());
        let tag = Tag { field, wire_type: WireType::Bytes }.to_raw();
        let len = first.len().saturating_add(second.len()).saturating_add(6);
        let (Some(tag), Some(whole), false) = (short(tag), short(len as u64), first.is_empty()) else {
            return self.long_text_pair(field, first, second);
        };
        // Less than `whole`, and so of one byte.
        let [key_len, value_len] = [first, second].map(|text| low(text.len()));
        let slot = self.slot(len + 2);
        let Some((head, rest)) = slot.split_first_chunk_mut() else { return };
        *head = [tag, whole, TEXT, key_len];
        let Some((key, rest)) = rest.split_at_mut_checked(first.len()) else { return };
        copy(key, first);
        let Some((head, value)) = rest.split_first_chunk_mut() else { return };
        *head = [MESSAGE, value_len + 2, TEXT, value_len];
        copy(value, second);
    }

    #[cfg(any(feature = "otel", test))]
    #[inline(never)]
    fn long_text_pair(&mut self, field: u32, first: &[u8], second: &[u8]) {
        self.message(field, |pair| {
            pair.message(2, |inner| inner.bytes(1, second));
            if !first.is_empty() {
                pair.bytes(1, first);
            }
        });
    }

    /// A packed list of varints; nothing where it is empty.
    #[inline]
    pub(crate) fn packed_varints(
        &mut self,
        field: u32,
        numbers: impl ExactSizeIterator<Item = u64> + DoubleEndedIterator,
    ) {
        let before = self.len();
        let mut left = numbers.len();
        let mut numbers = numbers.rev();
        while left != 0 {
            // Room for some of the longest, so that not every one has to ask for its own.
            let some = left.min(AT_A_TIME);
            self.varints(numbers.by_ref().take(some), some * MOST_VARINT);
            left -= some;
        }
        if self.len() != before {
            self.head(field, self.len() - before);
        }
    }

    /// Puts bare varints in front, each before the one that came earlier; they take `most` bytes at most.
    #[inline]
    fn varints(&mut self, numbers: impl Iterator<Item = u64>, most: usize) {
        self.reserve(most);
        let mut start = self.start;
        for number in numbers {
            let end = start;
            // Indices and counts take one byte or two.
            let (one, two) = (short(number), two(number));
            start -= one.map_or_else(|| two.map_or_else(|| varint_len(number), |_| 2), |_| 1);
            let Some(slot) = self.buf.get_mut(start..end) else { break };
            match (slot, one, two) {
                ([byte], Some(one), _) => *byte = one,
                ([low, high], None, Some(two)) => [*low, *high] = two,
                (slot, ..) => put_varint(slot, number),
            }
        }
        self.start = start;
    }

    /// A packed list of eight-byte numbers; nothing where it is empty.
    #[inline]
    pub(crate) fn packed_fixed64(&mut self, field: u32, numbers: impl ExactSizeIterator<Item = u64>) {
        let len = numbers.len() * 8;
        if len != 0 {
            let (slots, _) = self.slot(len).as_chunks_mut();
            slots.iter_mut().zip(numbers).for_each(|(slot, number)| *slot = number.to_le_bytes());
            self.head(field, len);
        }
    }

    /// Tag and length of what is written already.
    #[inline]
    fn head(&mut self, field: u32, len: usize) {
        let tag = Tag { field, wire_type: WireType::Bytes }.to_raw();
        match (short(tag), short(len as u64), two(len as u64)) {
            (Some(tag), Some(len), _) => self.array([tag, len]),
            (Some(tag), None, Some([low, high])) => self.array([tag, low, high]),
            _ => self.long_head(tag, len),
        }
    }

    #[inline(never)]
    fn long_head(&mut self, tag: u64, len: usize) {
        self.raw_varint(len as u64);
        self.raw_varint(tag);
    }

    #[inline]
    fn tag(&mut self, field: u32, wire_type: WireType) {
        self.raw_varint(Tag { field, wire_type }.to_raw());
    }

    #[inline]
    fn array<const N: usize>(&mut self, bytes: [u8; N]) {
        if let Some(slot) = self.slot(N).first_chunk_mut() {
            *slot = bytes;
        }
    }

    /// The `len` bytes in front of what is written, counted as written from now on.
    #[inline]
    fn slot(&mut self, len: usize) -> &mut [u8] {
        if self.start < len {
            self.grow(len);
        }
        let end = self.start;
        self.start -= len;
        self.buf.get_mut(self.start..end).unwrap_or_default()
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let written = self.len();
        let capacity = (self.buf.len() * 2).max(written + more).max(256);
        let mut buf = vec![0; capacity];
        if let Some(tail) = buf.get_mut(capacity - written..) {
            tail.copy_from_slice(self.as_slice());
        }
        self.start = capacity - written;
        self.buf = buf;
    }
}

/// The varint of a value that takes one byte.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "checked to be below 128")]
const fn short(value: u64) -> Option<u8> {
    if value < 0x80 { Some(value as u8) } else { None }
}

/// The varint of a value that takes two bytes, or takes two where one would do.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "checked to be below 2^14")]
const fn two(value: u64) -> Option<[u8; 2]> {
    if value < 0x4000 { Some([value as u8 | 0x80, (value >> 7) as u8]) } else { None }
}

#[cfg(any(feature = "otel", test))]
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the caller has a length below 256")]
const fn low(len: usize) -> u8 {
    len as u8
}

/// Copies `from` to the whole of `to`, which is as long.
///
/// Names and values are mostly short; two copies of a fixed size that overlap beat the call of a routine.
#[inline]
fn copy(to: &mut [u8], from: &[u8]) {
    match from.len() {
        0 => {}
        1..4 => to.iter_mut().zip(from).for_each(|(to, from)| *to = *from),
        4..8 => copy_ends::<4>(to, from),
        8..16 => copy_ends::<8>(to, from),
        16..=32 => copy_ends::<16>(to, from),
        33..=64 => copy_ends::<32>(to, from),
        _ => to.copy_from_slice(from),
    }
}

/// Copies the first and the last `N` bytes: all of them where there are no more than twice as many.
#[inline]
fn copy_ends<const N: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk::<N>()) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<N>(), from.last_chunk::<N>()) {
        *to = *from;
    }
}

/// Numbers of a packed list that are written before room is made again.
const AT_A_TIME: usize = 64;

/// Bytes of the longest varint.
const MOST_VARINT: usize = 10;

/// Writes `value` as a varint of just as many bytes as `slot` has.
#[inline]
fn put_varint(slot: &mut [u8], value: u64) {
    let mut rest = value;
    for byte in slot {
        let low = (rest & 0x7f) as u8;
        rest >>= 7;
        *byte = if rest == 0 { low } else { low | 0x80 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_every_length_arrive_whole() {
        let all: Vec<u8> = (1..=200).collect();
        for len in 0..all.len() {
            let mut writer = Writer::new();
            writer.raw(b"tail");
            writer.bytes(3, &all[..len]);
            let mut expected = vec![0x1a];
            let low = u8::try_from(len & 0x7f).unwrap();
            expected.extend(if len < 128 { vec![low] } else { vec![low | 0x80, 1] });
            expected.extend(&all[..len]);
            expected.extend(b"tail");
            assert_eq!(writer.as_slice(), expected);
        }
    }

    #[test]
    fn varints_and_tags_of_every_length_are_exact() {
        for bits in 0..64 {
            for (field, tag) in [(1, vec![0x08]), (15, vec![0x78]), (16, vec![0x80, 0x01])] {
                let mut writer = Writer::with_capacity(1);
                writer.varint(field, 1 << bits);
                let (value, len) = varint::read(&writer.as_slice()[tag.len()..]).unwrap();
                assert_eq!((value, len + tag.len()), (1 << bits, writer.len()));
                assert!(writer.as_slice().starts_with(&tag));
            }
        }
    }

    #[test]
    fn a_pair_of_texts_is_written_as_by_the_general_methods() {
        let long = "x".repeat(300);
        for field in [1, 9, 15, 16] {
            for (first, second) in (0..300).flat_map(|len| [(len, 3), (3, len), (len, len), (300 - len, len)])
            {
                let (first, second) = (&long[..first], &long[..second]);
                let (mut ours, mut general) = (Writer::new(), Writer::new());
                ours.text_pair(field, first, second);
                general.long_text_pair(field, first.as_bytes(), second.as_bytes());
                assert_eq!(ours.as_slice(), general.as_slice());
            }
        }
    }

    #[test]
    fn what_is_reserved_does_not_grow() {
        let mut writer = Writer::new();
        writer.raw(b"tail");
        writer.reserve(1000);
        let room = writer.buf.len();
        assert_eq!((room, writer.as_slice()), (1004, b"tail".as_slice()));
        writer.raw(&[7; 1000]);
        assert_eq!(writer.buf.len(), room);
        writer.raw(b"one more");
        assert!(writer.buf.len() > room);
    }

    #[test]
    fn packed_lists_are_written_as_by_the_general_methods() {
        let numbers =
            |count: u64| (0..count).map(|nth| nth.wrapping_mul(nth) << (nth % 60)).chain([u64::MAX, 0]);
        for count in [0, 1, 5, 61, 62, 63, 64, 200] {
            let numbers: Vec<u64> = numbers(count).collect();
            let (mut ours, mut general) = (Writer::new(), Writer::new());
            ours.packed_varints(3, numbers.iter().copied());
            ours.packed_fixed64(300, numbers.iter().copied());
            general.message(3, |run| numbers.iter().rev().for_each(|number| run.raw_varint(*number)));
            general
                .message(300, |run| numbers.iter().rev().for_each(|number| run.raw(&number.to_le_bytes())));
            assert_eq!(ours.as_slice(), general.as_slice());
        }
        let mut none = Writer::new();
        none.packed_varints(1, [].into_iter());
        none.packed_fixed64(1, [].into_iter());
        assert!(none.is_empty());
    }

    #[test]
    fn growing_keeps_what_is_written() {
        let mut writer = Writer::new();
        for number in (0..10_000_u32).rev() {
            writer.fixed32(1, number);
        }
        let numbers =
            writer.as_slice().chunks(5).map(|field| u32::from_le_bytes(field[1..].try_into().unwrap()));
        assert!(numbers.eq(0..10_000));
    }
}
