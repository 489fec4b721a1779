//! Profiles: every field visited, indices not resolved.

use opentelemetry_proto::tonic::collector::profiles::v1development::ExportProfilesServiceRequest;
use opentelemetry_proto::tonic::profiles::v1development as prost_profiles;
use otlp_core::record::ProfilesRequest;
use otlp_core::view::{ProfileView, ProfilesDictionaryView, ProfilesView, SampleView};
use otlp_core::{DecodeError, Limits};

use super::payload::{order::Root, profile};
use super::signal::Signal;
use super::walk::{Seen, pairs, prost_pairs, prost_value, value};
use super::{LIMITS, Rows};
use crate::measure::Effort;

pub(super) const PROFILES: Signal<ExportProfilesServiceRequest, ProfilesRequest> = Signal {
    name: "profiles",
    unit: "sample",
    count: profile::SAMPLES,
    root: Root::Profiles,
    make: profile::request,
    view,
    prost,
    records: |body| ProfilesView::parse(body, &LIMITS)?.to_record(),
};

pub(super) fn rows(effort: &Effort) -> Rows {
    PROFILES.rows(effort)
}

fn index(seen: &mut Seen, index: i32) {
    seen.number(u64::from(index.cast_unsigned()));
}

fn view(body: &[u8], limits: &Limits) -> Result<u64, DecodeError> {
    let mut seen = Seen::default();
    let view = ProfilesView::parse(body, limits)?;
    dictionary(&mut seen, &view.dictionary())?;
    for group in view.resources() {
        let group = group?;
        pairs(&mut seen, group.resource().attributes())?;
        for scope in group.scopes() {
            let scope = scope?;
            seen.bytes(scope.scope().name().as_bytes());
            seen.bytes(scope.scope().version().as_bytes());
            for each in scope.profiles() {
                one(&mut seen, &each?)?;
            }
        }
    }
    Ok(seen.0)
}

fn dictionary(seen: &mut Seen, tables: &ProfilesDictionaryView<'_>) -> Result<(), DecodeError> {
    for mapping in tables.mappings() {
        let mapping = mapping?;
        seen.number(mapping.memory_start());
        seen.number(mapping.memory_limit());
        seen.number(mapping.file_offset());
        index(seen, mapping.filename_index());
        mapping.attribute_indices().for_each(|each| index(seen, each));
    }
    for location in tables.locations() {
        let location = location?;
        index(seen, location.mapping_index());
        seen.number(location.address());
        for line in location.lines() {
            let line = line?;
            index(seen, line.function_index());
            seen.number(line.line().cast_unsigned());
            seen.number(line.column().cast_unsigned());
        }
        location.attribute_indices().for_each(|each| index(seen, each));
    }
    for function in tables.functions() {
        let function = function?;
        index(seen, function.name_index());
        index(seen, function.system_name_index());
        index(seen, function.filename_index());
        seen.number(function.start_line().cast_unsigned());
    }
    for link in tables.links() {
        let link = link?;
        let (trace, span) = (link.trace_id(), link.span_id());
        seen.bytes(if trace.is_valid() { trace.as_bytes() } else { &[] });
        seen.bytes(if span.is_valid() { span.as_bytes() } else { &[] });
    }
    tables.strings().try_for_each(|text| text.map(|text| seen.bytes(text.as_bytes())))?;
    for attribute in tables.attributes() {
        let attribute = attribute?;
        index(seen, attribute.key_index());
        value(seen, &attribute.value())?;
        index(seen, attribute.unit_index());
    }
    for stack in tables.stacks() {
        stack?.location_indices().for_each(|each| index(seen, each));
    }
    Ok(())
}

fn one(seen: &mut Seen, profile: &ProfileView<'_>) -> Result<(), DecodeError> {
    for value_type in [profile.sample_type(), profile.period_type()] {
        index(seen, value_type.kind_index());
        index(seen, value_type.unit_index());
    }
    seen.number(profile.time().0);
    seen.number(profile.duration_nanos());
    seen.number(profile.period().cast_unsigned());
    seen.bytes(profile.profile_id().as_bytes());
    seen.number(profile.dropped_attributes_count().into());
    seen.bytes(profile.original_payload_format().as_bytes());
    seen.bytes(profile.original_payload());
    profile.attribute_indices().for_each(|each| index(seen, each));
    for each in profile.samples() {
        sample(seen, &each?);
    }
    Ok(())
}

fn sample(seen: &mut Seen, sample: &SampleView<'_>) {
    index(seen, sample.stack_index());
    sample.attribute_indices().for_each(|each| index(seen, each));
    index(seen, sample.link_index());
    sample.values().for_each(|value| seen.number(value.cast_unsigned()));
    sample.timestamps().for_each(|time| seen.number(time));
}

fn prost(request: &ExportProfilesServiceRequest) -> u64 {
    let mut seen = Seen::default();
    request.dictionary.iter().for_each(|tables| prost_dictionary(&mut seen, tables));
    for group in &request.resource_profiles {
        prost_pairs(&mut seen, group.resource.as_ref().map_or(&[], |resource| &resource.attributes));
        for scope in &group.scope_profiles {
            let library = scope.scope.as_ref();
            seen.bytes(library.map_or("", |library| &library.name).as_bytes());
            seen.bytes(library.map_or("", |library| &library.version).as_bytes());
            scope.profiles.iter().for_each(|profile| prost_one(&mut seen, profile));
        }
    }
    seen.0
}

fn prost_dictionary(seen: &mut Seen, tables: &prost_profiles::ProfilesDictionary) {
    for mapping in &tables.mapping_table {
        seen.number(mapping.memory_start);
        seen.number(mapping.memory_limit);
        seen.number(mapping.file_offset);
        index(seen, mapping.filename_strindex);
        mapping.attribute_indices.iter().for_each(|each| index(seen, *each));
    }
    for location in &tables.location_table {
        index(seen, location.mapping_index);
        seen.number(location.address);
        for line in &location.lines {
            index(seen, line.function_index);
            seen.number(line.line.cast_unsigned());
            seen.number(line.column.cast_unsigned());
        }
        location.attribute_indices.iter().for_each(|each| index(seen, *each));
    }
    for function in &tables.function_table {
        index(seen, function.name_strindex);
        index(seen, function.system_name_strindex);
        index(seen, function.filename_strindex);
        seen.number(function.start_line.cast_unsigned());
    }
    for link in &tables.link_table {
        seen.bytes(&link.trace_id);
        seen.bytes(&link.span_id);
    }
    tables.string_table.iter().for_each(|text| seen.bytes(text.as_bytes()));
    for attribute in &tables.attribute_table {
        index(seen, attribute.key_strindex);
        attribute.value.iter().for_each(|value| prost_value(seen, value));
        index(seen, attribute.unit_strindex);
    }
    for stack in &tables.stack_table {
        stack.location_indices.iter().for_each(|each| index(seen, *each));
    }
}

fn prost_one(seen: &mut Seen, profile: &prost_profiles::Profile) {
    for value_type in [&profile.sample_type, &profile.period_type] {
        index(seen, value_type.map_or(0, |value_type| value_type.type_strindex));
        index(seen, value_type.map_or(0, |value_type| value_type.unit_strindex));
    }
    seen.number(profile.time_unix_nano);
    seen.number(profile.duration_nano);
    seen.number(profile.period.cast_unsigned());
    seen.bytes(&profile.profile_id);
    seen.number(profile.dropped_attributes_count.into());
    seen.bytes(profile.original_payload_format.as_bytes());
    seen.bytes(&profile.original_payload);
    profile.attribute_indices.iter().for_each(|each| index(seen, *each));
    for sample in &profile.samples {
        index(seen, sample.stack_index);
        sample.attribute_indices.iter().for_each(|each| index(seen, *each));
        index(seen, sample.link_index);
        sample.values.iter().for_each(|value| seen.number(value.cast_unsigned()));
        sample.timestamps_unix_nano.iter().for_each(|time| seen.number(*time));
    }
}
