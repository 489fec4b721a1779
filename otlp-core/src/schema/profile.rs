//! Profiles (`v1development`) and the dictionary they share.

use super::Kind::{Bytes, Fixed64, Id, Int32, Int64, Message, String, Uint32, Uint64};
use super::common::{ANY_VALUE, RESOURCE, SCOPE};
use super::messages;

messages! {
    pub(crate) PROFILES_REQUEST: Group
        "opentelemetry.proto.collector.profiles.v1development.ExportProfilesServiceRequest"
    {
        1 "resource_profiles" Message(&RESOURCE_PROFILES), List;
        2 "dictionary" Message(&PROFILES_DICTIONARY), Single;
    }

    FUNCTION: Part "opentelemetry.proto.profiles.v1development.Function" {
        1 "name_strindex" Int32, Single;
        2 "system_name_strindex" Int32, Single;
        3 "filename_strindex" Int32, Single;
        4 "start_line" Int64, Single;
    }

    KEY_VALUE_AND_UNIT: Part "opentelemetry.proto.profiles.v1development.KeyValueAndUnit" {
        1 "key_strindex" Int32, Single;
        2 "value" Message(&ANY_VALUE), Single;
        3 "unit_strindex" Int32, Single;
    }

    LINE: Part "opentelemetry.proto.profiles.v1development.Line" {
        1 "function_index" Int32, Single;
        2 "line" Int64, Single;
        3 "column" Int64, Single;
    }

    PROFILE_LINK: Part "opentelemetry.proto.profiles.v1development.Link" {
        1 "trace_id" Id(16), Single;
        2 "span_id" Id(8), Single;
    }

    LOCATION: Part "opentelemetry.proto.profiles.v1development.Location" {
        1 "mapping_index" Int32, Single;
        2 "address" Uint64, Single;
        3 "lines" Message(&LINE), List;
        4 "attribute_indices" Int32, List;
    }

    MAPPING: Part "opentelemetry.proto.profiles.v1development.Mapping" {
        1 "memory_start" Uint64, Single;
        2 "memory_limit" Uint64, Single;
        3 "file_offset" Uint64, Single;
        4 "filename_strindex" Int32, Single;
        5 "attribute_indices" Int32, List;
    }

    PROFILE: Record "opentelemetry.proto.profiles.v1development.Profile" {
        1 "sample_type" Message(&VALUE_TYPE), Single;
        2 "samples" Message(&SAMPLE), List;
        3 "time_unix_nano" Fixed64, Single;
        4 "duration_nano" Uint64, Single;
        5 "period_type" Message(&VALUE_TYPE), Single;
        6 "period" Int64, Single;
        7 "profile_id" Id(16), Single;
        8 "dropped_attributes_count" Uint32, Single;
        9 "original_payload_format" String, Single;
        10 "original_payload" Bytes, Single;
        11 "attribute_indices" Int32, List;
    }

    PROFILES_DICTIONARY: Group "opentelemetry.proto.profiles.v1development.ProfilesDictionary" {
        1 "mapping_table" Message(&MAPPING), List;
        2 "location_table" Message(&LOCATION), List;
        3 "function_table" Message(&FUNCTION), List;
        4 "link_table" Message(&PROFILE_LINK), List;
        5 "string_table" String, List;
        6 "attribute_table" Message(&KEY_VALUE_AND_UNIT), List;
        7 "stack_table" Message(&STACK), List;
    }

    RESOURCE_PROFILES: Group "opentelemetry.proto.profiles.v1development.ResourceProfiles" {
        1 "resource" Message(&RESOURCE), Single;
        2 "scope_profiles" Message(&SCOPE_PROFILES), List;
        3 "schema_url" String, Single;
    }

    SAMPLE: Part "opentelemetry.proto.profiles.v1development.Sample" {
        1 "stack_index" Int32, Single;
        2 "attribute_indices" Int32, List;
        3 "link_index" Int32, Single;
        4 "values" Int64, List;
        5 "timestamps_unix_nano" Fixed64, List;
    }

    SCOPE_PROFILES: Group "opentelemetry.proto.profiles.v1development.ScopeProfiles" {
        1 "scope" Message(&SCOPE), Single;
        2 "profiles" Message(&PROFILE), List;
        3 "schema_url" String, Single;
    }

    STACK: Part "opentelemetry.proto.profiles.v1development.Stack" {
        1 "location_indices" Int32, List;
    }

    VALUE_TYPE: Part "opentelemetry.proto.profiles.v1development.ValueType" {
        1 "type_strindex" Int32, Single;
        2 "unit_strindex" Int32, Single;
    }
}
