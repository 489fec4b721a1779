//! The frozen list of fields, and a reader of messages that knows nothing but that list.

use std::collections::{BTreeMap, BTreeSet};

use otlp_core::wire::{Reader, Region, Value, zigzag_decode};

use crate::record::{byte, double, enumeration, int32, int64, string, uint32, uint64};

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) message: String,
    pub(crate) number: u32,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) type_name: String,
    pub(crate) label: String,
}

/// Every field of every message, by message and number.
#[derive(Debug, Clone)]
pub(crate) struct Schema(pub(crate) BTreeMap<(String, u32), Field>);

/// A message and the number of one of its fields.
pub(crate) type Place = (String, u32);

/// What was met on the wire.
#[derive(Debug, Default)]
pub(crate) struct Met {
    pub(crate) fields: BTreeSet<Place>,
    /// Fields that some message had more than one element of.
    pub(crate) several: BTreeSet<Place>,
}

impl Schema {
    pub(crate) fn frozen() -> Self {
        let list = include_str!("../data/fields.tsv");
        let fields = list.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let [message, number, name, _json, kind, type_name, label, _oneof] =
                line.split('\t').collect::<Vec<_>>().try_into().expect("eight columns");
            let number = number.parse().expect("a number");
            let [message, name, kind, type_name, label] =
                [message, name, kind, type_name, label].map(str::to_owned);
            ((message.clone(), number), Field { message, number, name, kind, type_name, label })
        });
        Self(fields.collect())
    }

    /// Reads a message by the list alone: every field has to be on it, and to hold the value that its number and type
    /// decide.
    pub(crate) fn read(&self, message: &str, bytes: &[u8], met: &mut Met) -> Result<(), String> {
        let mut reader = Reader::new(Region::new(bytes));
        let mut counts = BTreeMap::<u32, usize>::new();
        while let Some(wire) = reader.next_field().map_err(|error| format!("{message}: {error}"))? {
            let place = (message.to_owned(), wire.number);
            let field = self.0.get(&place).ok_or_else(|| format!("{place:?} is not on the list"))?;
            let elements = self.read_field(field, wire.value, met)?;
            *counts.entry(wire.number).or_default() += elements;
            met.fields.insert(place);
        }
        for (number, count) in counts.into_iter().filter(|(_, count)| *count > 1) {
            met.several.insert((message.to_owned(), number));
            let label = &self.0[&(message.to_owned(), number)].label;
            if label != "repeated" {
                return Err(format!("{message}: {count} of field {number}, which is {label}"));
            }
        }
        Ok(())
    }

    /// Checks one field, and counts its elements.
    fn read_field(&self, field: &Field, value: Value<'_>, met: &mut Met) -> Result<usize, String> {
        match value {
            Value::Bytes(region) if field.kind == "message" => {
                self.read(&field.type_name, region.bytes(), met).map(|()| 1)
            }
            Value::Bytes(region) if !matches!(field.kind.as_str(), "string" | "bytes") => {
                packed(field, region.bytes())
            }
            value if holds(field, value) => Ok(1),
            value => {
                Err(format!("{}.{} does not hold what its type says: {value:?}", field.message, field.name))
            }
        }
    }
}

/// The numbers of a packed run.
fn packed(field: &Field, run: &[u8]) -> Result<usize, String> {
    let complaint = || format!("{}.{}: a packed run of something else", field.message, field.name);
    let values: Vec<Value<'_>> = match field.kind.as_str() {
        "fixed64" | "sfixed64" | "double" => {
            let (numbers, rest) = run.as_chunks();
            if !rest.is_empty() {
                return Err(complaint());
            }
            numbers.iter().map(|bytes| Value::Fixed64(u64::from_le_bytes(*bytes))).collect()
        }
        _ => varints(run).map(Value::Varint).collect(),
    };
    let right = field.label == "repeated" && values.iter().all(|value| holds(field, *value));
    if right { Ok(values.len()) } else { Err(complaint()) }
}

fn varints(run: &[u8]) -> impl Iterator<Item = u64> {
    let fold = |bytes: &[u8]| bytes.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f));
    run.split_inclusive(|byte| *byte < 0x80).map(fold)
}

/// True where `value` is that of the field's number and type.
fn holds(field: &Field, value: Value<'_>) -> bool {
    let number = field.number;
    let signed = i32::try_from(number).expect("small");
    match (field.kind.as_str(), value) {
        // A count of rejected records is never below zero.
        ("int64", Value::Varint(value)) if field.name.starts_with("rejected_") => value == u64::from(number),
        ("int64", Value::Varint(value)) => value.cast_signed() == int64(signed.into()),
        ("int32", Value::Varint(value)) => value.cast_signed() == i64::from(int32(signed)),
        ("sint32", Value::Varint(value)) => zigzag_decode(value) == i64::from(int32(signed)),
        ("uint32", Value::Varint(value)) => value == u64::from(uint32(number)),
        ("uint64", Value::Varint(value)) | ("fixed64", Value::Fixed64(value)) => {
            value == uint64(number.into())
        }
        ("enum", Value::Varint(value)) => value.cast_signed() == i64::from(enumeration(signed)),
        ("bool", Value::Varint(value)) => value == 1,
        ("fixed32", Value::Fixed32(value)) => value == uint32(number),
        ("sfixed64", Value::Fixed64(value)) => value.cast_signed() == int64(signed.into()),
        ("double", Value::Fixed64(value)) => value == double(number).to_bits(),
        ("string", Value::Bytes(region)) => region.bytes() == string(number).as_bytes(),
        ("bytes", Value::Bytes(region)) => {
            let expected = byte(u8::try_from(number).expect("small"));
            !region.bytes().is_empty() && region.bytes().iter().all(|byte| *byte == expected)
        }
        _ => false,
    }
}
