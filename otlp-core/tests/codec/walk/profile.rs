//! Walks the views of profiles.

use opentelemetry_proto::tonic::collector::profiles::v1development::ExportProfilesServiceRequest;
use opentelemetry_proto::tonic::profiles::v1development::{
    Function, KeyValueAndUnit, Line, Link, Location, Mapping, Profile, ProfilesDictionary, ResourceProfiles,
    Sample, ScopeProfiles, Stack, ValueType,
};
use otlp_core::view::{
    FunctionView, KeyValueAndUnitView, LocationView, MappingView, ProfileLinkView, ProfileView,
    ProfilesDictionaryView, ProfilesView, SampleView, StackView, ValueTypeView,
};
use otlp_core::{Limits, ProfileId};

use super::{Walked, any_value, instrumentation, resource, span_id, trace_id};

pub(crate) fn profiles(body: &[u8], limits: &Limits) -> Walked<ExportProfilesServiceRequest> {
    let view = ProfilesView::parse(body, limits)?;
    let groups = view.resources().map(|group| {
        let group = group?;
        let scopes = group.scopes().map(|scope| {
            let scope = scope?;
            Ok(ScopeProfiles {
                scope: Some(instrumentation(&scope.scope())?),
                profiles: scope.profiles().map(|view| profile(&view?)).collect::<Walked<_>>()?,
                schema_url: scope.schema_url().to_owned(),
            })
        });
        Ok(ResourceProfiles {
            resource: Some(resource(&group.resource())?),
            scope_profiles: scopes.collect::<Walked<_>>()?,
            schema_url: group.schema_url().to_owned(),
        })
    });
    Ok(ExportProfilesServiceRequest {
        resource_profiles: groups.collect::<Walked<_>>()?,
        dictionary: Some(dictionary(&view.dictionary())?),
    })
}

fn dictionary(view: &ProfilesDictionaryView<'_>) -> Walked<ProfilesDictionary> {
    Ok(ProfilesDictionary {
        mapping_table: view.mappings().map(|view| Ok(mapping(&view?))).collect::<Walked<_>>()?,
        location_table: view.locations().map(|view| location(&view?)).collect::<Walked<_>>()?,
        function_table: view.functions().map(|view| Ok(function(&view?))).collect::<Walked<_>>()?,
        link_table: view.links().map(|view| Ok(link(&view?))).collect::<Walked<_>>()?,
        string_table: view.strings().map(|text| text.map(str::to_owned)).collect::<Walked<_>>()?,
        attribute_table: view.attributes().map(|view| attribute(&view?)).collect::<Walked<_>>()?,
        stack_table: view.stacks().map(|view| Ok(stack(&view?))).collect::<Walked<_>>()?,
    })
}

pub(crate) fn mapping(view: &MappingView<'_>) -> Mapping {
    Mapping {
        memory_start: view.memory_start(),
        memory_limit: view.memory_limit(),
        file_offset: view.file_offset(),
        filename_strindex: view.filename_index(),
        attribute_indices: view.attribute_indices().collect(),
    }
}

pub(crate) fn location(view: &LocationView<'_>) -> Walked<Location> {
    let lines = view.lines().map(|line| {
        let line = line?;
        Ok(Line { function_index: line.function_index(), line: line.line(), column: line.column() })
    });
    Ok(Location {
        mapping_index: view.mapping_index(),
        address: view.address(),
        lines: lines.collect::<Walked<_>>()?,
        attribute_indices: view.attribute_indices().collect(),
    })
}

pub(crate) fn function(view: &FunctionView<'_>) -> Function {
    Function {
        name_strindex: view.name_index(),
        system_name_strindex: view.system_name_index(),
        filename_strindex: view.filename_index(),
        start_line: view.start_line(),
    }
}

pub(crate) fn link(view: &ProfileLinkView<'_>) -> Link {
    Link { trace_id: trace_id(view.trace_id()), span_id: span_id(view.span_id()) }
}

pub(crate) fn attribute(view: &KeyValueAndUnitView<'_>) -> Walked<KeyValueAndUnit> {
    let (key_strindex, unit_strindex) = (view.key_index(), view.unit_index());
    Ok(KeyValueAndUnit { key_strindex, value: Some(any_value(&view.value())?), unit_strindex })
}

pub(crate) fn stack(view: &StackView<'_>) -> Stack {
    Stack { location_indices: view.location_indices().collect() }
}

fn profile(view: &ProfileView<'_>) -> Walked<Profile> {
    Ok(Profile {
        sample_type: Some(value_type(view.sample_type())),
        samples: view.samples().map(|view| Ok(sample(&view?))).collect::<Walked<_>>()?,
        time_unix_nano: view.time().0,
        duration_nano: view.duration_nanos(),
        period_type: Some(value_type(view.period_type())),
        period: view.period(),
        profile_id: profile_id(view.profile_id()),
        dropped_attributes_count: view.dropped_attributes_count(),
        original_payload_format: view.original_payload_format().to_owned(),
        original_payload: view.original_payload().to_vec(),
        attribute_indices: view.attribute_indices().collect(),
    })
}

fn profile_id(id: ProfileId) -> Vec<u8> {
    if id.is_valid() { id.as_bytes().to_vec() } else { Vec::new() }
}

fn value_type(view: ValueTypeView<'_>) -> ValueType {
    ValueType { type_strindex: view.kind_index(), unit_strindex: view.unit_index() }
}

fn sample(view: &SampleView<'_>) -> Sample {
    Sample {
        stack_index: view.stack_index(),
        attribute_indices: view.attribute_indices().collect(),
        link_index: view.link_index(),
        values: view.values().collect(),
        timestamps_unix_nano: view.timestamps().collect(),
    }
}
