//! The attributes of a span as they lie on the wire, written as they become known.

use otlp_core::encode::Encode;
use otlp_core::record::{AnyValue, KeyValue};
use otlp_core::wire::Writer;

/// Attributes in their order.
///
/// Text, numbers and truths are written as they come, which takes one buffer for all of them; the rare rest is kept
/// beside it, so that nothing of it changes on the way.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Attributes {
    /// Fields of a span: each tag, length, key, value.
    bytes: Vec<u8>,
    count: usize,
    /// The rest, each with where among the bytes it stands; ascending.
    others: Vec<(usize, KeyValue)>,
}

/// The value of an attribute, but for lists, maps and bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scalar<'a> {
    Text(&'a str),
    Int(i64),
    Bool(bool),
}

/// What can be the value of an attribute.
pub(super) trait Value {
    fn put(self, key: &str, to: &mut Attributes);
}

impl Value for &str {
    fn put(self, key: &str, to: &mut Attributes) {
        to.add_text(key, self);
    }
}

impl Value for i64 {
    fn put(self, key: &str, to: &mut Attributes) {
        to.add_number(key, INT, self.cast_unsigned());
    }
}

impl Value for u16 {
    fn put(self, key: &str, to: &mut Attributes) {
        i64::from(self).put(key, to);
    }
}

impl Value for bool {
    fn put(self, key: &str, to: &mut Attributes) {
        to.add_number(key, BOOL, self.into());
    }
}

impl From<Scalar<'_>> for AnyValue {
    fn from(scalar: Scalar<'_>) -> Self {
        match scalar {
            Scalar::Text(text) => Self::from(text),
            Scalar::Int(number) => Self::from(number),
            Scalar::Bool(truth) => Self::from(truth),
        }
    }
}

/// Number of the field of a span.
const FIELD: u32 = 9;

/// Tags: the attribute, its key, its value; of values text, truth, number.
const ATTRIBUTE: u8 = 0x4a;
const KEY: u8 = 0x0a;
const VALUE: u8 = 0x12;
const TEXT: u8 = 0x0a;
const BOOL: u8 = 0x10;
const INT: u8 = 0x18;

/// What tags and lengths of an attribute take at most where the whole is shorter than 128 bytes.
const HEADS: usize = 6;

impl Attributes {
    /// None, with room for so many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Adds one, which has a name. O(its bytes).
    pub(super) fn add(&mut self, key: &str, value: impl Value) {
        value.put(key, self);
    }

    /// Adds one of any kind.
    pub(crate) fn push(&mut self, attribute: KeyValue) {
        match &attribute.value {
            // Without a key it would lie otherwise.
            _ if attribute.key_index != 0 || attribute.key.is_empty() => self.keep(attribute),
            AnyValue::String(text) => self.add(&attribute.key, text.as_str()),
            AnyValue::Int(number) => self.add(&attribute.key, *number),
            AnyValue::Bool(truth) => self.add(&attribute.key, *truth),
            _ => self.keep(attribute),
        }
    }

    fn keep(&mut self, attribute: KeyValue) {
        self.others.push((self.bytes.len(), attribute));
    }

    fn add_text(&mut self, key: &str, text: &str) {
        let whole = key.len().saturating_add(text.len()).saturating_add(HEADS);
        let (Some(whole), Some(key_len), Some(len)) = (short(whole), short(key.len()), short(text.len()))
        else {
            return self.add_long_text(key, text);
        };
        self.count += 1;
        self.bytes.reserve(usize::from(whole) + 2);
        self.bytes.extend_from_slice(&[ATTRIBUTE, whole, KEY, key_len]);
        self.bytes.extend_from_slice(key.as_bytes());
        self.bytes.extend_from_slice(&[VALUE, len + 2, TEXT, len]);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn add_long_text(&mut self, key: &str, text: &str) {
        let value = 1 + varint_len(wide(text.len())) + text.len();
        self.begin(key, value);
        self.bytes.push(TEXT);
        self.varint(wide(text.len()));
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn add_number(&mut self, key: &str, tag: u8, number: u64) {
        self.begin(key, 1 + varint_len(number));
        self.bytes.push(tag);
        self.varint(number);
    }

    /// Writes everything up to a value of so many bytes.
    fn begin(&mut self, key: &str, value: usize) {
        self.count += 1;
        let whole = 2 + varint_len(wide(key.len())) + key.len() + varint_len(wide(value)) + value;
        self.bytes.reserve(whole.saturating_add(MAX_VARINT));
        self.bytes.push(ATTRIBUTE);
        self.varint(wide(whole));
        self.bytes.push(KEY);
        self.varint(wide(key.len()));
        self.bytes.extend_from_slice(key.as_bytes());
        self.bytes.push(VALUE);
        self.varint(wide(value));
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(low(number) | 0x80);
            number >>= 7;
        }
        self.bytes.push(low(number));
    }

    /// True where there is one of this name. O(attributes).
    pub(super) fn contains(&self, key: &str) -> bool {
        self.scalars().any(|(_, met, _)| met == key.as_bytes())
            || self.others.iter().any(|(_, other)| other.key == key)
    }

    /// True where the first one of all has this name.
    pub(super) fn first_is(&self, key: &str) -> bool {
        self.scalars().next().is_some_and(|(_, met, _)| met == key.as_bytes())
    }

    /// The text of the first one of this name that is text. O(attributes).
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        let (_, _, value) = self.scalars().find(|(_, met, _)| *met == key.as_bytes())?;
        match scalar(value)? {
            Scalar::Text(text) => Some(text),
            Scalar::Int(_) | Scalar::Bool(_) => None,
        }
    }

    /// Puts them in front of what the writer holds.
    pub(super) fn encode(&self, writer: &mut Writer) {
        let mut end = self.bytes.len();
        for (at, other) in self.others.iter().rev() {
            writer.raw(self.bytes.get(*at..end).unwrap_or_default());
            writer.message(FIELD, |inner| other.encode(inner));
            end = *at;
        }
        writer.raw(self.bytes.get(..end).unwrap_or_default());
    }

    /// As records.
    pub(super) fn to_records(&self) -> Vec<KeyValue> {
        let mut records = Vec::with_capacity(self.count + self.others.len());
        let mut others = self.others.iter().peekable();
        for (at, key, value) in self.scalars() {
            while let Some((_, other)) = others.next_if(|(place, _)| *place <= at) {
                records.push(other.clone());
            }
            if let (Ok(key), Some(value)) = (std::str::from_utf8(key), scalar(value)) {
                records.push(KeyValue::new(key, value));
            }
        }
        records.extend(others.map(|(_, other)| other.clone()));
        records
    }

    /// Heap bytes held.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Where each begins that is not kept beside, its key and its value.
    fn scalars(&self) -> impl Iterator<Item = (usize, &[u8], &[u8])> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let at = self.bytes.len() - rest.len();
            let (whole, behind) = field(rest, ATTRIBUTE)?;
            rest = behind;
            let (key, value) = field(whole, KEY)?;
            let (value, _) = field(value, VALUE)?;
            Some((at, key, value))
        })
    }
}

/// What a field of this tag holds, and what is behind it.
fn field(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (met, rest) = bytes.split_first()?;
    let (length, rest) = read_varint(rest)?;
    rest.split_at_checked(usize::try_from(length).ok()?).filter(|_| *met == tag)
}

fn scalar(value: &[u8]) -> Option<Scalar<'_>> {
    let (tag, rest) = value.split_first()?;
    let (number, text) = read_varint(rest)?;
    match *tag {
        TEXT => std::str::from_utf8(text).ok().map(Scalar::Text),
        INT => Some(Scalar::Int(number.cast_signed())),
        BOOL => Some(Scalar::Bool(number != 0)),
        _ => None,
    }
}

fn read_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (at, byte) in bytes.iter().enumerate().take(MAX_VARINT) {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if *byte < 0x80 {
            return Some((number, bytes.get(at + 1..)?));
        }
    }
    None
}

/// Bytes of a varint at most.
const MAX_VARINT: usize = 10;

const fn varint_len(number: u64) -> usize {
    // Seven bits a byte, one for zero.
    (70 - (number | 1).leading_zeros() as usize) / 7
}

/// A length below 128.
fn short(length: usize) -> Option<u8> {
    u8::try_from(length).ok().filter(|length| *length < 0x80)
}

/// The lowest seven bits.
const fn low(number: u64) -> u8 {
    (number & 0x7f) as u8
}

/// A length in memory always fits 64 bits.
fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use otlp_core::record::Span;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_of_varints_are_those_of_protobuf() {
        for (number, length) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (u64::MAX, 10)] {
            assert_eq!(varint_len(number), length, "{number}");
            let mut written = Attributes::default();
            written.varint(number);
            assert_eq!(written.bytes.len(), length, "{number}");
            assert_eq!(read_varint(&written.bytes), Some((number, &[][..])));
        }
    }

    #[test]
    fn a_varint_without_an_end_is_none() {
        assert_eq!(read_varint(&[0x80; 3]), None);
        assert_eq!(read_varint(&[0xff; 11]), None);
    }

    #[test]
    fn one_buffer_takes_all() {
        let mut attributes = Attributes::with_capacity(64);
        attributes.add("http.request.method", "GET");
        attributes.add("server.port", 8080_u16);
        assert_eq!(attributes.held_bytes(), 64);
        assert_eq!(attributes.text("http.request.method"), Some("GET"));
        assert_eq!(attributes.text("server.port"), None, "a number");
        assert!(attributes.contains("server.port") && !attributes.contains("server"));
    }

    fn value() -> impl Strategy<Value = AnyValue> {
        let leaf = prop_oneof![
            Just(AnyValue::Empty),
            "\\PC{0,20}".prop_map(AnyValue::from),
            (100_usize..300).prop_map(|length| AnyValue::from("x".repeat(length))),
            any::<i64>().prop_map(AnyValue::from),
            any::<bool>().prop_map(AnyValue::from),
            (-1e9..1e9).prop_map(AnyValue::Double),
            proptest::collection::vec(any::<u8>(), 0..9).prop_map(AnyValue::Bytes),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            let list = proptest::collection::vec(inner.clone(), 0..3);
            let map = proptest::collection::vec(("[a-z]{0,3}", inner), 0..3);
            let map =
                map.prop_map(|map| map.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect());
            prop_oneof![list.prop_map(AnyValue::Array), map.prop_map(AnyValue::KvList)]
        })
    }

    proptest! {
        #[test]
        fn they_lie_as_those_of_records_and_come_back_the_same(
            records in proptest::collection::vec(("[a-zé.]{0,40}|x{120,140}", value(), 0..2_i32), 0..12)
        ) {
            let records: Vec<_> = records
                .into_iter()
                .map(|(key, value, key_index)| KeyValue { key_index, ..KeyValue::new(key, value) })
                .collect();
            let mut attributes = Attributes::default();
            records.iter().for_each(|record| attributes.push(record.clone()));
            prop_assert_eq!(&attributes.to_records(), &records);
            let (mut ours, mut theirs) = (Writer::new(), Writer::new());
            attributes.encode(&mut ours);
            Span { attributes: records.clone(), ..Span::default() }.encode(&mut theirs);
            prop_assert_eq!(ours.as_slice(), theirs.as_slice());
            for record in &records {
                prop_assert!(attributes.contains(&record.key));
            }
        }
    }
}
