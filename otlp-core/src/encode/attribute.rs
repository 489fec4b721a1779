//! Attributes, resources and scopes.

use super::{Encode, attributes, nested, number, text};
use crate::record::{AnyValue, EntityRef, KeyValue, Resource, Scope};
use crate::view::{AnyValueView, KeyValueView};
use crate::wire::Writer;

impl Encode for KeyValue {
    #[inline]
    fn encode(&self, writer: &mut Writer) {
        number(writer, 3, self.key_index.into());
        nested(writer, 2, &self.value, matches!(self.value, AnyValue::Empty));
        text(writer, 1, &self.key);
    }
}

impl Encode for AnyValue {
    /// Recurses as deep as the value nests; a value that was decoded is bounded by the depth limit.
    #[inline]
    fn encode(&self, writer: &mut Writer) {
        // Members of a oneof are written even where they hold the default value.
        match self {
            Self::Empty => {}
            Self::String(value) => writer.str(1, value),
            Self::Bool(value) => writer.varint(2, (*value).into()),
            Self::Int(value) => writer.int(3, *value),
            Self::Double(value) => writer.double(4, *value),
            Self::Array(values) => writer.message(5, |inner| super::list(inner, 1, values)),
            Self::KvList(entries) => writer.message(6, |inner| super::list(inner, 1, entries)),
            Self::Bytes(value) => writer.bytes(7, value),
            Self::StringIndex(index) => writer.int(8, (*index).into()),
        }
    }
}

impl Encode for KeyValueView<'_> {
    /// Writes key and value; fields that no version knows are left out, those within lists and maps stay.
    fn encode(&self, writer: &mut Writer) {
        number(writer, 3, self.key_index().into());
        nested(writer, 2, &self.value(), matches!(self.value(), AnyValueView::Empty));
        text(writer, 1, self.key());
    }
}

impl Encode for AnyValueView<'_> {
    /// Writes the value; lists and maps as they lie on the wire.
    fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Empty => {}
            Self::String(value) => writer.str(1, value),
            Self::Bool(value) => writer.varint(2, (*value).into()),
            Self::Int(value) => writer.int(3, *value),
            Self::Double(value) => writer.double(4, *value),
            Self::Array(values) => writer.message(5, |inner| values.encode(inner)),
            Self::KvList(entries) => writer.message(6, |inner| entries.encode(inner)),
            Self::Bytes(value) => writer.bytes(7, value),
            Self::StringIndex(index) => writer.int(8, (*index).into()),
        }
    }
}

impl Encode for Resource {
    fn encode(&self, writer: &mut Writer) {
        super::list(writer, 3, &self.entity_refs);
        number(writer, 2, self.dropped_attributes_count.into());
        attributes(writer, 1, &self.attributes);
    }
}

impl Encode for EntityRef {
    fn encode(&self, writer: &mut Writer) {
        self.description_keys.iter().rev().for_each(|key| writer.str(4, key));
        self.id_keys.iter().rev().for_each(|key| writer.str(3, key));
        text(writer, 2, &self.kind);
        text(writer, 1, &self.schema_url);
    }
}

impl Encode for Scope {
    fn encode(&self, writer: &mut Writer) {
        number(writer, 4, self.dropped_attributes_count.into());
        attributes(writer, 3, &self.attributes);
        text(writer, 2, &self.version);
        text(writer, 1, &self.name);
    }
}
