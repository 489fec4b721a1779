//! The frozen list of fields, and a reader of messages that knows nothing but that list.

use std::collections::{BTreeMap, BTreeSet};

use otlp_core::wire::{Reader, Region, Value, zigzag_decode};

use crate::record::{byte, double, enumeration, int32, int64, rejected, string, uint32, uint64};

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
#[derive(Debug, Clone, Default)]
pub(crate) struct Schema(BTreeMap<String, BTreeMap<u32, Field>>);

/// A message and the number of one of its fields.
pub(crate) type Place<'s> = (&'s str, u32);

/// What was met on the wire.
#[derive(Debug, Default)]
pub(crate) struct Met<'s> {
    pub(crate) fields: BTreeSet<Place<'s>>,
    /// Fields that some message had more than one element of.
    pub(crate) several: BTreeSet<Place<'s>>,
}

impl Schema {
    pub(crate) fn frozen() -> Self {
        let mut schema = Self::default();
        for line in include_str!("../data/fields.tsv").lines().filter(|line| !line.starts_with('#')) {
            let columns: [&str; 8] = line.split('\t').collect::<Vec<_>>().try_into().expect("eight columns");
            let [message, number, name, _json, kind, type_name, label, _oneof] = columns;
            let number = number.parse().expect("a number");
            let [message, name, kind, type_name, label] =
                [message, name, kind, type_name, label].map(str::to_owned);
            schema.insert(Field { message, number, name, kind, type_name, label });
        }
        schema
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = &Field> {
        self.0.values().flat_map(BTreeMap::values)
    }

    /// The fields of `message`, in the order of their numbers.
    pub(crate) fn of(&self, message: &str) -> impl Iterator<Item = &Field> {
        self.0.get(message).into_iter().flat_map(BTreeMap::values)
    }

    pub(crate) fn insert(&mut self, field: Field) {
        self.0.entry(field.message.clone()).or_default().insert(field.number, field);
    }

    pub(crate) fn remove(&mut self, field: &Field) {
        self.0.get_mut(&field.message).and_then(|fields| fields.remove(&field.number)).expect("on the list");
    }

    /// Reads a message by the list alone: every field has to be on it, and to hold the value that its number and type
    /// decide.
    pub(crate) fn read<'s>(&'s self, message: &str, bytes: &[u8], met: &mut Met<'s>) -> Result<(), String> {
        let fields = self.0.get(message).ok_or_else(|| format!("{message} is not on the list"))?;
        let mut reader = Reader::new(Region::new(bytes));
        let mut counts = BTreeMap::<u32, usize>::new();
        while let Some(wire) = reader.next_field().map_err(|error| format!("{message}: {error}"))? {
            let number = wire.number;
            let field =
                fields.get(&number).ok_or_else(|| format!("{message}: {number} is not on the list"))?;
            *counts.entry(number).or_default() += self.read_field(field, wire.value, met)?;
        }
        for (number, count) in counts {
            let field = &fields[&number];
            met.fields.insert((&field.message, number));
            if count > 1 {
                met.several.insert((&field.message, number));
                if field.label != "repeated" {
                    return Err(format!("{message}: {count} of {}, which is {}", field.name, field.label));
                }
            }
        }
        Ok(())
    }

    /// Checks one field, and counts its elements.
    fn read_field<'s>(
        &'s self,
        field: &'s Field,
        value: Value<'_>,
        met: &mut Met<'s>,
    ) -> Result<usize, String> {
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
        ("int64", Value::Varint(value)) if field.name.starts_with("rejected_") => {
            value == rejected(number.into())
        }
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
