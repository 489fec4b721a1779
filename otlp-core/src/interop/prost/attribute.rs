//! Attributes, resources and scopes.

use opentelemetry_proto::tonic::common::v1::{self as common, any_value};
use opentelemetry_proto::tonic::resource::v1 as resource;

use super::all;
use crate::record::{AnyValue, EntityRef, KeyValue, Resource, Scope};

impl From<AnyValue> for common::AnyValue {
    /// Recurses as deep as the value nests, as does dropping it.
    fn from(value: AnyValue) -> Self {
        use any_value::Value;
        let value = match value {
            AnyValue::Empty => None,
            AnyValue::String(text) => Some(Value::StringValue(text)),
            AnyValue::Bool(value) => Some(Value::BoolValue(value)),
            AnyValue::Int(value) => Some(Value::IntValue(value)),
            AnyValue::Double(value) => Some(Value::DoubleValue(value)),
            AnyValue::Array(values) => Some(Value::ArrayValue(common::ArrayValue { values: all(values) })),
            AnyValue::KvList(values) => {
                Some(Value::KvlistValue(common::KeyValueList { values: all(values) }))
            }
            AnyValue::Bytes(bytes) => Some(Value::BytesValue(bytes)),
            AnyValue::StringIndex(index) => Some(Value::StringValueStrindex(index)),
        };
        Self { value }
    }
}

impl From<common::AnyValue> for AnyValue {
    /// Recurses as deep as the value nests, as does dropping it.
    fn from(value: common::AnyValue) -> Self {
        use any_value::Value;
        match value.value {
            None => Self::Empty,
            Some(Value::StringValue(text)) => Self::String(text),
            Some(Value::BoolValue(value)) => Self::Bool(value),
            Some(Value::IntValue(value)) => Self::Int(value),
            Some(Value::DoubleValue(value)) => Self::Double(value),
            Some(Value::ArrayValue(list)) => Self::Array(all(list.values)),
            Some(Value::KvlistValue(map)) => Self::KvList(all(map.values)),
            Some(Value::BytesValue(bytes)) => Self::Bytes(bytes),
            Some(Value::StringValueStrindex(index)) => Self::StringIndex(index),
        }
    }
}

/// A value that is left out where it is empty.
pub(super) fn unless_empty(value: AnyValue) -> Option<common::AnyValue> {
    (!matches!(value, AnyValue::Empty)).then(|| value.into())
}

impl From<KeyValue> for common::KeyValue {
    fn from(KeyValue { key, value, key_index }: KeyValue) -> Self {
        Self { key, value: unless_empty(value), key_strindex: key_index }
    }
}

impl From<common::KeyValue> for KeyValue {
    fn from(pair: common::KeyValue) -> Self {
        let common::KeyValue { key, value, key_strindex } = pair;
        Self { key, value: value.map_or(AnyValue::Empty, Into::into), key_index: key_strindex }
    }
}

impl From<Resource> for resource::Resource {
    fn from(resource: Resource) -> Self {
        let Resource { attributes, dropped_attributes_count, entity_refs } = resource;
        Self { attributes: all(attributes), dropped_attributes_count, entity_refs: all(entity_refs) }
    }
}

impl From<resource::Resource> for Resource {
    fn from(resource: resource::Resource) -> Self {
        let resource::Resource { attributes, dropped_attributes_count, entity_refs } = resource;
        Self { attributes: all(attributes), dropped_attributes_count, entity_refs: all(entity_refs) }
    }
}

impl From<EntityRef> for common::EntityRef {
    fn from(entity: EntityRef) -> Self {
        let EntityRef { schema_url, kind, id_keys, description_keys } = entity;
        Self { schema_url, r#type: kind, id_keys, description_keys }
    }
}

impl From<common::EntityRef> for EntityRef {
    fn from(entity: common::EntityRef) -> Self {
        let common::EntityRef { schema_url, r#type, id_keys, description_keys } = entity;
        Self { schema_url, kind: r#type, id_keys, description_keys }
    }
}

impl From<Scope> for common::InstrumentationScope {
    fn from(scope: Scope) -> Self {
        let Scope { name, version, attributes, dropped_attributes_count } = scope;
        Self { name, version, attributes: all(attributes), dropped_attributes_count }
    }
}

impl From<common::InstrumentationScope> for Scope {
    fn from(scope: common::InstrumentationScope) -> Self {
        let common::InstrumentationScope { name, version, attributes, dropped_attributes_count } = scope;
        Self { name, version, attributes: all(attributes), dropped_attributes_count }
    }
}
