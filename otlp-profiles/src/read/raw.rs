//! The messages of profile.proto (google/pprof, version 3) as they lie on the wire: numbers and
//! indices, not yet resolved. Fields may come in any order and a message may come in parts.

use otlp_core::error::{DecodeError, DecodeErrorKind};
use otlp_core::wire::{Field, Reader, Region, Value};

use crate::limits::Limits;

/// A whole file. Samples stay unread: they refer to what may come after them.
#[derive(Debug, Default)]
pub(super) struct RawProfile<'a> {
    pub(super) strings: Vec<&'a str>,
    pub(super) sample_types: Vec<RawValueType>,
    pub(super) samples: Vec<Region<'a>>,
    pub(super) mappings: Vec<RawMapping>,
    pub(super) locations: Vec<RawLocation>,
    /// The lines of all locations, one location after the other.
    pub(super) lines: Vec<RawLine>,
    pub(super) functions: Vec<RawFunction>,
    pub(super) time_nanos: i64,
    pub(super) duration_nanos: i64,
    pub(super) period_type: Option<RawValueType>,
    pub(super) period: i64,
    pub(super) default_sample_type: u64,
}

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct RawValueType {
    pub(super) kind: u64,
    pub(super) unit: u64,
    pub(super) offset: usize,
}

#[derive(Debug, Default)]
pub(super) struct RawMapping {
    pub(super) id: u64,
    pub(super) start: u64,
    pub(super) limit: u64,
    pub(super) file_offset: u64,
    pub(super) file: u64,
    pub(super) build_id: u64,
    pub(super) offset: usize,
}

#[derive(Debug, Default)]
pub(super) struct RawLocation {
    pub(super) id: u64,
    pub(super) mapping: u64,
    pub(super) address: u64,
    /// How many of the lines belong to it.
    pub(super) lines: usize,
    pub(super) offset: usize,
}

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct RawLine {
    pub(super) function: u64,
    pub(super) line: i64,
    pub(super) column: i64,
}

#[derive(Debug, Default)]
pub(super) struct RawFunction {
    pub(super) id: u64,
    pub(super) name: u64,
    pub(super) system_name: u64,
    pub(super) file: u64,
    pub(super) start_line: i64,
    pub(super) offset: usize,
}

/// One sample; the buffers are kept from one to the next.
#[derive(Debug, Default)]
pub(super) struct RawSample {
    /// Leaf first.
    pub(super) locations: Vec<u64>,
    pub(super) values: Vec<i64>,
    pub(super) labels: Vec<RawLabel>,
}

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct RawLabel {
    pub(super) key: u64,
    pub(super) text: u64,
    pub(super) number: i64,
    pub(super) unit: u64,
    pub(super) offset: usize,
}

impl<'a> RawProfile<'a> {
    pub(super) fn parse(bytes: &'a [u8], limits: &Limits) -> Result<Self, DecodeError> {
        let mut raw = Self::default();
        let mut reader = Reader::new(Region::new(bytes));
        while let Some(field) = reader.next_field()? {
            raw.field(&field, limits)?;
        }
        Ok(raw)
    }

    fn field(&mut self, field: &Field<'a>, limits: &Limits) -> Result<(), DecodeError> {
        match field.number {
            1 => {
                check(self.sample_types.len(), field, "max_value_types", limits.value_types())?;
                let mut value_type = RawValueType::default();
                value_type.read(field)?;
                self.sample_types.push(value_type);
            }
            2 => {
                check(self.samples.len(), field, "max_samples", limits.samples())?;
                self.samples.push(field.bytes()?);
            }
            3 => {
                check(self.mappings.len(), field, "max_frames", limits.frames())?;
                self.mappings.push(RawMapping::read(field)?);
            }
            4 => {
                check(self.locations.len(), field, "max_frames", limits.frames())?;
                let location = RawLocation::read(field, &mut self.lines, limits)?;
                self.locations.push(location);
            }
            5 => {
                check(self.functions.len(), field, "max_frames", limits.frames())?;
                self.functions.push(RawFunction::read(field)?);
            }
            6 => {
                check(self.strings.len(), field, "max_strings", limits.strings())?;
                self.strings.push(field.str()?);
            }
            9 => self.time_nanos = signed(field)?,
            10 => self.duration_nanos = signed(field)?,
            11 => self.period_type.get_or_insert_default().read(field)?,
            12 => self.period = signed(field)?,
            14 => self.default_sample_type = field.varint()?,
            // 7 and 8, drop_frames and keep_frames, are regular expressions for display; see the README.
            _ => {}
        }
        Ok(())
    }
}

impl RawValueType {
    /// Adds the fields of one part of the message to what is there.
    fn read(&mut self, message: &Field<'_>) -> Result<(), DecodeError> {
        self.offset = message.offset;
        let mut reader = Reader::new(message.bytes()?);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => self.kind = field.varint()?,
                2 => self.unit = field.varint()?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl RawMapping {
    fn read(message: &Field<'_>) -> Result<Self, DecodeError> {
        let mut mapping = Self { offset: message.offset, ..Self::default() };
        let mut reader = Reader::new(message.bytes()?);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => mapping.id = field.varint()?,
                2 => mapping.start = field.varint()?,
                3 => mapping.limit = field.varint()?,
                4 => mapping.file_offset = field.varint()?,
                5 => mapping.file = field.varint()?,
                6 => mapping.build_id = field.varint()?,
                _ => {}
            }
        }
        Ok(mapping)
    }
}

impl RawLocation {
    fn read(message: &Field<'_>, lines: &mut Vec<RawLine>, limits: &Limits) -> Result<Self, DecodeError> {
        let mut location = Self { offset: message.offset, ..Self::default() };
        let mut reader = Reader::new(message.bytes()?);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => location.id = field.varint()?,
                2 => location.mapping = field.varint()?,
                3 => location.address = field.varint()?,
                4 => {
                    check(location.lines, &field, "max_depth", limits.depth())?;
                    check(lines.len(), &field, "max_frames", limits.frames())?;
                    lines.push(RawLine::read(&field)?);
                    location.lines += 1;
                }
                _ => {}
            }
        }
        Ok(location)
    }
}

impl RawLine {
    fn read(message: &Field<'_>) -> Result<Self, DecodeError> {
        let mut line = Self::default();
        let mut reader = Reader::new(message.bytes()?);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => line.function = field.varint()?,
                2 => line.line = signed(&field)?,
                3 => line.column = signed(&field)?,
                _ => {}
            }
        }
        Ok(line)
    }
}

impl RawFunction {
    fn read(message: &Field<'_>) -> Result<Self, DecodeError> {
        let mut function = Self { offset: message.offset, ..Self::default() };
        let mut reader = Reader::new(message.bytes()?);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => function.id = field.varint()?,
                2 => function.name = field.varint()?,
                3 => function.system_name = field.varint()?,
                4 => function.file = field.varint()?,
                5 => function.start_line = signed(&field)?,
                _ => {}
            }
        }
        Ok(function)
    }
}

impl RawSample {
    pub(super) fn read(&mut self, message: Region<'_>, limits: &Limits) -> Result<(), DecodeError> {
        self.locations.clear();
        self.values.clear();
        self.labels.clear();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => numbers(&field, |offset, id| {
                    bound(self.locations.len(), offset, "max_depth", limits.depth())?;
                    self.locations.push(id);
                    Ok(())
                })?,
                2 => numbers(&field, |offset, value| {
                    bound(self.values.len(), offset, "max_value_types", limits.value_types())?;
                    self.values.push(value.cast_signed());
                    Ok(())
                })?,
                3 => {
                    check(self.labels.len(), &field, "max_labels", limits.labels())?;
                    self.labels.push(RawLabel::read(&field)?);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl RawLabel {
    fn read(message: &Field<'_>) -> Result<Self, DecodeError> {
        let mut label = Self { offset: message.offset, ..Self::default() };
        let mut reader = Reader::new(message.bytes()?);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => label.key = field.varint()?,
                2 => label.text = field.varint()?,
                3 => label.number = signed(&field)?,
                4 => label.unit = field.varint()?,
                _ => {}
            }
        }
        Ok(label)
    }
}

/// Gives each number of a repeated field that may be packed or not.
fn numbers(
    field: &Field<'_>,
    mut take: impl FnMut(usize, u64) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let Value::Bytes(packed) = field.value else { return take(field.offset, field.varint()?) };
    let mut reader = Reader::new(packed);
    while !reader.is_empty() {
        let offset = reader.offset();
        take(offset, reader.varint()?)?;
    }
    Ok(())
}

fn signed(field: &Field<'_>) -> Result<i64, DecodeError> {
    field.varint().map(u64::cast_signed)
}

fn check(len: usize, field: &Field<'_>, what: &'static str, limit: usize) -> Result<(), DecodeError> {
    bound(len, field.offset, what, limit)
}

/// Refuses one more where there are `limit` already.
fn bound(len: usize, offset: usize, what: &'static str, limit: usize) -> Result<(), DecodeError> {
    if len < limit {
        return Ok(());
    }
    let kind = DecodeErrorKind::Limit { what, met: len as u64 + 1, limit: limit as u64 };
    Err(DecodeError::new(offset, kind))
}
