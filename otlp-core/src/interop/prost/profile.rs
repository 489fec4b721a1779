//! Profiles and the tables that they refer to.

use opentelemetry_proto::tonic::profiles::v1development as profiles;

use super::attribute::unless_empty;
use super::{all, identifier, span_id, span_id_bytes, trace_id, trace_id_bytes, try_all, unless_default};
use crate::error::{Error, Result};
use crate::record::{
    AnyValue, Function, KeyValueAndUnit, Line, Location, Mapping, Profile, ProfileLink, ProfilesDictionary,
    Sample, Stack, ValueType,
};
use crate::{ProfileId, UnixNanos};

impl From<Profile> for profiles::Profile {
    fn from(profile: Profile) -> Self {
        let id = profile.profile_id;
        Self {
            sample_type: unless_default(profile.sample_type),
            samples: all(profile.samples),
            time_unix_nano: profile.time.0,
            duration_nano: profile.duration_nanos,
            period_type: unless_default(profile.period_type),
            period: profile.period,
            profile_id: if id.is_valid() { id.as_bytes().to_vec() } else { Vec::new() },
            dropped_attributes_count: profile.dropped_attributes_count,
            original_payload_format: profile.original_payload_format,
            original_payload: profile.original_payload,
            attribute_indices: profile.attribute_indices,
        }
    }
}

impl TryFrom<profiles::Profile> for Profile {
    type Error = Error;

    fn try_from(profile: profiles::Profile) -> Result<Self> {
        Ok(Self {
            sample_type: profile.sample_type.map_or_else(ValueType::default, Into::into),
            samples: all(profile.samples),
            time: UnixNanos(profile.time_unix_nano),
            duration_nanos: profile.duration_nano,
            period_type: profile.period_type.map_or_else(ValueType::default, Into::into),
            period: profile.period,
            profile_id: ProfileId::new(identifier("profile id", &profile.profile_id)?),
            dropped_attributes_count: profile.dropped_attributes_count,
            original_payload_format: profile.original_payload_format,
            original_payload: profile.original_payload,
            attribute_indices: profile.attribute_indices,
        })
    }
}

impl From<ProfilesDictionary> for profiles::ProfilesDictionary {
    fn from(tables: ProfilesDictionary) -> Self {
        Self {
            mapping_table: all(tables.mappings),
            location_table: all(tables.locations),
            function_table: all(tables.functions),
            link_table: all(tables.links),
            string_table: tables.strings,
            attribute_table: all(tables.attributes),
            stack_table: all(tables.stacks),
        }
    }
}

impl TryFrom<profiles::ProfilesDictionary> for ProfilesDictionary {
    type Error = Error;

    fn try_from(tables: profiles::ProfilesDictionary) -> Result<Self> {
        Ok(Self {
            mappings: all(tables.mapping_table),
            locations: all(tables.location_table),
            functions: all(tables.function_table),
            links: try_all(tables.link_table)?,
            strings: tables.string_table,
            attributes: all(tables.attribute_table),
            stacks: all(tables.stack_table),
        })
    }
}

impl From<ProfileLink> for profiles::Link {
    fn from(link: ProfileLink) -> Self {
        Self { trace_id: trace_id_bytes(link.trace_id), span_id: span_id_bytes(link.span_id) }
    }
}

impl TryFrom<profiles::Link> for ProfileLink {
    type Error = Error;

    fn try_from(link: profiles::Link) -> Result<Self> {
        Ok(Self { trace_id: trace_id(&link.trace_id)?, span_id: span_id(&link.span_id)? })
    }
}

impl From<KeyValueAndUnit> for profiles::KeyValueAndUnit {
    fn from(KeyValueAndUnit { key_index, value, unit_index }: KeyValueAndUnit) -> Self {
        Self { key_strindex: key_index, value: unless_empty(value), unit_strindex: unit_index }
    }
}

impl From<profiles::KeyValueAndUnit> for KeyValueAndUnit {
    fn from(pair: profiles::KeyValueAndUnit) -> Self {
        let value = pair.value.map_or(AnyValue::Empty, Into::into);
        Self { key_index: pair.key_strindex, value, unit_index: pair.unit_strindex }
    }
}

macro_rules! fields {
    ($($ours:ident = $theirs:ident { $($field:ident = $their_field:ident,)* })*) => {
        $(impl From<$ours> for profiles::$theirs {
            fn from(ours: $ours) -> Self {
                Self { $($their_field: ours.$field,)* }
            }
        }

        impl From<profiles::$theirs> for $ours {
            fn from(theirs: profiles::$theirs) -> Self {
                Self { $($field: theirs.$their_field,)* }
            }
        })*
    };
}

fields! {
    ValueType = ValueType { kind_index = type_strindex, unit_index = unit_strindex, }
    Sample = Sample {
        stack_index = stack_index,
        attribute_indices = attribute_indices,
        link_index = link_index,
        values = values,
        timestamps = timestamps_unix_nano,
    }
    Mapping = Mapping {
        memory_start = memory_start,
        memory_limit = memory_limit,
        file_offset = file_offset,
        filename_index = filename_strindex,
        attribute_indices = attribute_indices,
    }
    Line = Line { function_index = function_index, line = line, column = column, }
    Function = Function {
        name_index = name_strindex,
        system_name_index = system_name_strindex,
        filename_index = filename_strindex,
        start_line = start_line,
    }
    Stack = Stack { location_indices = location_indices, }
}

impl From<Location> for profiles::Location {
    fn from(Location { mapping_index, address, lines, attribute_indices }: Location) -> Self {
        Self { mapping_index, address, lines: all(lines), attribute_indices }
    }
}

impl From<profiles::Location> for Location {
    fn from(location: profiles::Location) -> Self {
        let profiles::Location { mapping_index, address, lines, attribute_indices } = location;
        Self { mapping_index, address, lines: all(lines), attribute_indices }
    }
}
