//! Random profiles. Indices point anywhere: reading them is not resolving them.

use opentelemetry_proto::tonic::collector::profiles::v1development::ExportProfilesServiceRequest;
use opentelemetry_proto::tonic::profiles::v1development::{
    Function, KeyValueAndUnit, Line, Link, Location, Mapping, Profile, ProfilesDictionary, ResourceProfiles,
    Sample, ScopeProfiles, Stack, ValueType,
};

use super::{any_value, id, resource, scope};
use crate::dice::Dice;

pub(crate) fn profiles(dice: &mut Dice) -> ExportProfilesServiceRequest {
    ExportProfilesServiceRequest {
        resource_profiles: dice.list(3, |dice| ResourceProfiles {
            resource: dice.maybe(resource),
            scope_profiles: dice.list(3, |dice| ScopeProfiles {
                scope: dice.maybe(scope),
                profiles: dice.list(3, profile),
                schema_url: dice.text(),
            }),
            schema_url: dice.text(),
        }),
        dictionary: dice.maybe(dictionary),
    }
}

pub(crate) fn dictionary(dice: &mut Dice) -> ProfilesDictionary {
    ProfilesDictionary {
        mapping_table: dice.list(4, |dice| Mapping {
            memory_start: dice.varied(),
            memory_limit: dice.varied(),
            file_offset: dice.varied(),
            filename_strindex: dice.i32(),
            attribute_indices: indices(dice),
        }),
        location_table: dice.list(4, |dice| Location {
            mapping_index: dice.i32(),
            address: dice.varied(),
            lines: dice.list(3, |dice| Line {
                function_index: dice.i32(),
                line: dice.varied().cast_signed(),
                column: dice.varied().cast_signed(),
            }),
            attribute_indices: indices(dice),
        }),
        function_table: dice.list(4, |dice| Function {
            name_strindex: dice.i32(),
            system_name_strindex: dice.i32(),
            filename_strindex: dice.i32(),
            start_line: dice.varied().cast_signed(),
        }),
        link_table: dice.list(4, |dice| Link { trace_id: id(dice, 16), span_id: id(dice, 8) }),
        string_table: dice.list(6, Dice::text),
        attribute_table: dice.list(4, |dice| KeyValueAndUnit {
            key_strindex: dice.i32(),
            value: dice.maybe(|dice| any_value(dice, 3)),
            unit_strindex: dice.i32(),
        }),
        stack_table: dice.list(4, |dice| Stack { location_indices: indices(dice) }),
    }
}

fn profile(dice: &mut Dice) -> Profile {
    Profile {
        sample_type: dice.maybe(value_type),
        samples: dice.list(4, |dice| Sample {
            stack_index: dice.i32(),
            attribute_indices: indices(dice),
            link_index: dice.i32(),
            values: dice.list(5, |dice| dice.varied().cast_signed()),
            timestamps_unix_nano: dice.list(5, Dice::varied),
        }),
        time_unix_nano: dice.varied(),
        duration_nano: dice.varied(),
        period_type: dice.maybe(value_type),
        period: dice.varied().cast_signed(),
        profile_id: id(dice, 16),
        dropped_attributes_count: dice.u32(),
        original_payload_format: dice.text(),
        original_payload: {
            let len = dice.below(30);
            dice.bytes(len)
        },
        attribute_indices: indices(dice),
    }
}

fn value_type(dice: &mut Dice) -> ValueType {
    ValueType { type_strindex: dice.i32(), unit_strindex: dice.i32() }
}

fn indices(dice: &mut Dice) -> Vec<i32> {
    dice.list(6, Dice::i32)
}
