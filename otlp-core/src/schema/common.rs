//! What all signals share: values, attributes, resources and scopes.

use super::Kind::{Bool, Bytes, Double, Int32, Int64, Message, String, Uint32};
use super::messages;

messages! {
    pub(crate) ANY_VALUE: Value "opentelemetry.proto.common.v1.AnyValue" {
        1 "string_value" String, Member;
        2 "bool_value" Bool, Member;
        3 "int_value" Int64, Member;
        4 "double_value" Double, Member;
        5 "array_value" Message(&ARRAY_VALUE), Member;
        6 "kvlist_value" Message(&KEY_VALUE_LIST), Member;
        7 "bytes_value" Bytes, Member;
        8 "string_value_strindex" Int32, Member;
    }

    ARRAY_VALUE: Part "opentelemetry.proto.common.v1.ArrayValue" {
        1 "values" Message(&ANY_VALUE), List;
    }

    ENTITY_REF: Part "opentelemetry.proto.common.v1.EntityRef" {
        1 "schema_url" String, Single;
        2 "type" String, Single;
        3 "id_keys" String, List;
        4 "description_keys" String, List;
    }

    pub(super) SCOPE: Part "opentelemetry.proto.common.v1.InstrumentationScope" {
        1 "name" String, Single;
        2 "version" String, Single;
        3 "attributes" Message(&KEY_VALUE), Attributes;
        4 "dropped_attributes_count" Uint32, Single;
    }

    pub(crate) KEY_VALUE: Pair "opentelemetry.proto.common.v1.KeyValue" {
        1 "key" String, Single;
        2 "value" Message(&ANY_VALUE), Single;
        3 "key_strindex" Int32, Single;
    }

    KEY_VALUE_LIST: Part "opentelemetry.proto.common.v1.KeyValueList" {
        1 "values" Message(&KEY_VALUE), List;
    }

    pub(super) RESOURCE: Part "opentelemetry.proto.resource.v1.Resource" {
        1 "attributes" Message(&KEY_VALUE), Attributes;
        2 "dropped_attributes_count" Uint32, Single;
        3 "entity_refs" Message(&ENTITY_REF), List;
    }
}
