//! Any bytes: every field is read as a reader that shares no code with ours reads it, to the first that is none; what was
//! read and is written again is read the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otlp_core::wire::{Field, Reader, Region, Value, Writer};
use otlp_fuzz::otlp::{Plain, plain_fields};

fuzz_target!(|data: &[u8]| {
    let mut reader = Reader::new(Region::new(data));
    let mut fields = Vec::new();
    let refused = loop {
        match reader.next_field() {
            Ok(Some(field)) => fields.push(field),
            Ok(None) => break false,
            Err(error) => {
                assert!(error.offset <= data.len());
                break true;
            }
        }
    };
    let expected = plain_fields(data);
    // Groups are fields to the other one, and refused by ours.
    let ours = expected.iter().take_while(|field| matches!(field.wire, 0 | 1 | 2 | 5));
    assert!(fields.iter().map(|field| plain(data, field)).eq(ours.cloned()), "{fields:?} {expected:?}");
    assert_eq!(refused, fields.len() < expected.len());

    let mut writer = Writer::new();
    fields.iter().rev().for_each(|field| write(&mut writer, field));
    let again = plain_fields(writer.as_slice());
    assert_eq!(again.len(), fields.len());
    assert!(again.iter().zip(&fields).all(|(again, field)| again.number == field.number));
    assert!(writer.len() <= data.len(), "a field takes more than it did");
});

/// A field as the other reader gives it.
fn plain<'a>(data: &'a [u8], field: &Field<'a>) -> Plain {
    let wire = match field.value {
        Value::Varint(_) => 0,
        Value::Fixed64(_) => 1,
        Value::Bytes(_) => 2,
        Value::Fixed32(_) => 5,
    };
    let value = match field.value {
        Value::Varint(value) | Value::Fixed64(value) => value.to_le_bytes().to_vec(),
        Value::Fixed32(value) => u64::from(value).to_le_bytes().to_vec(),
        Value::Bytes(region) => {
            assert!(data[region.offset()..].starts_with(region.bytes()));
            region.bytes().to_vec()
        }
    };
    Plain { number: field.number, wire, value }
}

fn write(writer: &mut Writer, field: &Field<'_>) {
    match field.value {
        Value::Varint(value) => writer.varint(field.number, value),
        Value::Fixed64(value) => writer.fixed64(field.number, value),
        Value::Fixed32(value) => writer.fixed32(field.number, value),
        Value::Bytes(region) => writer.bytes(field.number, region.bytes()),
    }
}
