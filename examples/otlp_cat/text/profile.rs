//! Profiles: a line for each stack, outermost frame first.

use std::time::Duration;

use otlp_core::record::{Profile, ProfilesDictionary, Sample, ValueType};

use super::Page;
use super::value::{length, one_line, quoted, time};

pub(super) fn print(page: &mut Page, profile: &Profile, dictionary: &ProfilesDictionary) {
    page.gap();
    let samples = profile.samples.len();
    let kind = value_type(profile.sample_type, dictionary);
    let lasting = length(Duration::from_nanos(profile.duration_nanos));
    page.line(0, format!("{}  profile of {kind} over {lasting}, {samples} samples", time(profile.time)));
    if profile.profile_id.is_valid() {
        page.line(1, format!("profile {}", profile.profile_id));
    }
    if profile.period != 0 {
        page.line(1, format!("every {} {}", profile.period, value_type(profile.period_type, dictionary)));
    }
    attributes(page, 1, &profile.attribute_indices, dictionary);
    page.dropped(1, "attributes", profile.dropped_attributes_count);
    if !profile.original_payload.is_empty() {
        let (len, format) = (profile.original_payload.len(), &profile.original_payload_format);
        page.line(1, format!("with the original, {len} bytes of {}", quoted(format)));
    }
    profile.samples.iter().for_each(|each| sample(page, each, dictionary));
}

fn value_type(kind: ValueType, dictionary: &ProfilesDictionary) -> String {
    let name = |index| dictionary.string(index).unwrap_or("?");
    match name(kind.unit_index) {
        "" => name(kind.kind_index).into(),
        unit => format!("{} [{unit}]", name(kind.kind_index)),
    }
}

fn sample(page: &mut Page, sample: &Sample, dictionary: &ProfilesDictionary) {
    // Timestamps alone stand for a value of one each.
    let value = if sample.values.is_empty() {
        i64::try_from(sample.timestamps.len()).unwrap_or(i64::MAX)
    } else {
        sample.values.iter().fold(0, |sum: i64, value| sum.saturating_add(*value))
    };
    page.line(1, format!("{value:>12}  {}", stack(sample.stack_index, dictionary)));
    if let Some(link) = dictionary.link(sample.link_index).filter(|link| link.trace_id.is_valid()) {
        page.line(8, format!("trace {}  span {}", link.trace_id, link.span_id));
    }
    attributes(page, 8, &sample.attribute_indices, dictionary);
}

fn stack(index: i32, dictionary: &ProfilesDictionary) -> String {
    let Some(stack) = dictionary.stack(index) else { return format!("stack {index} is not defined") };
    let frames = stack.location_indices.iter().rev().map(|index| location(*index, dictionary));
    frames.collect::<Vec<_>>().join(" > ")
}

/// The functions of a location, outermost first; the address where no function is known.
fn location(index: i32, dictionary: &ProfilesDictionary) -> String {
    let Some(location) = dictionary.location(index) else { return format!("location {index}?") };
    if location.lines.is_empty() {
        return format!("{:#x}", location.address);
    }
    let name = |index: i32| {
        let function = dictionary.function(index);
        function.and_then(|function| dictionary.string(function.name_index)).unwrap_or("?")
    };
    location.lines.iter().rev().map(|line| quoted(name(line.function_index))).collect::<Vec<_>>().join(" > ")
}

fn attributes(page: &mut Page, depth: usize, indices: &[i32], dictionary: &ProfilesDictionary) {
    for attribute in indices.iter().filter_map(|index| dictionary.attribute(*index)) {
        let key = dictionary.string(attribute.key_index).unwrap_or("?");
        page.line(depth, format!("{}  {}", quoted(key), one_line(&attribute.value)));
    }
}
