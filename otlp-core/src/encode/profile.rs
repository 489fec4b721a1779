//! Profiles and the tables that they refer to.

use super::{Encode, fixed64, list, nested, number, span_id, text, trace_id};
use crate::record::{
    AnyValue, Function, KeyValueAndUnit, Line, Location, Mapping, Profile, ProfileLink, ProfilesDictionary,
    Sample, Stack, ValueType,
};
use crate::wire::Writer;

impl Encode for Profile {
    fn encode(&self, writer: &mut Writer) {
        indices(writer, 11, &self.attribute_indices);
        if !self.original_payload.is_empty() {
            writer.bytes(10, &self.original_payload);
        }
        text(writer, 9, &self.original_payload_format);
        number(writer, 8, self.dropped_attributes_count.into());
        if self.profile_id.is_valid() {
            writer.bytes(7, self.profile_id.as_bytes());
        }
        number(writer, 6, self.period);
        nested(writer, 5, &self.period_type, self.period_type == ValueType::default());
        number(writer, 4, self.duration_nanos.cast_signed());
        fixed64(writer, 3, self.time.0);
        list(writer, 2, &self.samples);
        nested(writer, 1, &self.sample_type, self.sample_type == ValueType::default());
    }
}

impl Encode for ValueType {
    fn encode(&self, writer: &mut Writer) {
        number(writer, 2, self.unit_index.into());
        number(writer, 1, self.kind_index.into());
    }
}

impl Encode for Sample {
    fn encode(&self, writer: &mut Writer) {
        writer.packed_fixed64(5, self.timestamps.iter().copied());
        writer.packed_varints(4, self.values.iter().map(|value| value.cast_unsigned()));
        number(writer, 3, self.link_index.into());
        indices(writer, 2, &self.attribute_indices);
        number(writer, 1, self.stack_index.into());
    }
}

impl Encode for ProfilesDictionary {
    fn encode(&self, writer: &mut Writer) {
        list(writer, 7, &self.stacks);
        list(writer, 6, &self.attributes);
        self.strings.iter().rev().for_each(|string| writer.str(5, string));
        list(writer, 4, &self.links);
        list(writer, 3, &self.functions);
        list(writer, 2, &self.locations);
        list(writer, 1, &self.mappings);
    }
}

impl Encode for Mapping {
    fn encode(&self, writer: &mut Writer) {
        indices(writer, 5, &self.attribute_indices);
        number(writer, 4, self.filename_index.into());
        number(writer, 3, self.file_offset.cast_signed());
        number(writer, 2, self.memory_limit.cast_signed());
        number(writer, 1, self.memory_start.cast_signed());
    }
}

impl Encode for Location {
    fn encode(&self, writer: &mut Writer) {
        indices(writer, 4, &self.attribute_indices);
        list(writer, 3, &self.lines);
        number(writer, 2, self.address.cast_signed());
        number(writer, 1, self.mapping_index.into());
    }
}

impl Encode for Line {
    fn encode(&self, writer: &mut Writer) {
        number(writer, 3, self.column);
        number(writer, 2, self.line);
        number(writer, 1, self.function_index.into());
    }
}

impl Encode for Function {
    fn encode(&self, writer: &mut Writer) {
        number(writer, 4, self.start_line);
        number(writer, 3, self.filename_index.into());
        number(writer, 2, self.system_name_index.into());
        number(writer, 1, self.name_index.into());
    }
}

impl Encode for ProfileLink {
    fn encode(&self, writer: &mut Writer) {
        span_id(writer, 2, self.span_id);
        trace_id(writer, 1, self.trace_id);
    }
}

impl Encode for KeyValueAndUnit {
    fn encode(&self, writer: &mut Writer) {
        number(writer, 3, self.unit_index.into());
        nested(writer, 2, &self.value, matches!(self.value, AnyValue::Empty));
        number(writer, 1, self.key_index.into());
    }
}

impl Encode for Stack {
    fn encode(&self, writer: &mut Writer) {
        indices(writer, 1, &self.location_indices);
    }
}

/// Negative numbers take ten bytes each, as protobuf has it.
fn indices(writer: &mut Writer, field: u32, indices: &[i32]) {
    writer.packed_varints(field, indices.iter().map(|index| i64::from(*index).cast_unsigned()));
}
