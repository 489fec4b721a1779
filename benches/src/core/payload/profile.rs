//! A minute of a CPU profile: a dictionary of functions, locations and stacks, and samples that refer to it.

use opentelemetry_proto::tonic::collector::profiles::v1development::ExportProfilesServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::profiles::v1development::{
    Function, KeyValueAndUnit, Line, Link, Location, Mapping, Profile, ProfilesDictionary, ResourceProfiles,
    Sample, ScopeProfiles, Stack, ValueType,
};

use super::piece::{any, resource, scope};
use super::{Dice, Kind};

const FUNCTIONS: u64 = 800;
const STACKS: u64 = 1_000;

/// Samples in a request.
pub(in crate::core) const SAMPLES: u64 = 2_000;

/// Strings before those of the functions: kinds and units, and the binary.
const FIRST_FUNCTION: u64 = 9;

/// A request of 2,000 samples of 1,000 stacks over 800 functions.
pub(in crate::core) fn request(kind: Kind) -> ExportProfilesServiceRequest {
    let mut dice = Dice(0x94f1_5eed);
    let resource = Some(resource(kind, &mut dice));
    let dictionary = Some(dictionary(kind, &mut dice));
    let profiles = vec![profile(&mut dice)];
    let scope_profiles =
        vec![ScopeProfiles { scope: Some(scope("sampler")), profiles, schema_url: String::new() }];
    let resource_profiles = vec![ResourceProfiles { resource, scope_profiles, schema_url: String::new() }];
    ExportProfilesServiceRequest { resource_profiles, dictionary }
}

fn index(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(0)
}

fn dictionary(kind: Kind, dice: &mut Dice) -> ProfilesDictionary {
    let path = "/usr/local/bin/checkout";
    let fixed =
        ["", "cpu", "nanoseconds", "samples", "count", path, "thread.name", "process.pid", "src/order.rs"];
    let mut string_table: Vec<String> = fixed.map(str::to_owned).to_vec();
    string_table.extend((0..FUNCTIONS).map(|nth| name(kind, nth, dice)));
    ProfilesDictionary {
        string_table,
        mapping_table: vec![
            Mapping::default(),
            Mapping {
                memory_start: 0x5577_0000_0000,
                memory_limit: 0x5577_00a0_0000,
                file_offset: 0x1000,
                filename_strindex: 5,
                attribute_indices: Vec::new(),
            },
        ],
        function_table: zero_and(FUNCTIONS, |nth| Function {
            name_strindex: index(FIRST_FUNCTION + nth),
            system_name_strindex: index(FIRST_FUNCTION + nth),
            filename_strindex: 8,
            start_line: i64::from(index(dice.below(4000))),
        }),
        location_table: zero_and(FUNCTIONS * 2, |nth| Location {
            mapping_index: 1,
            address: 0x5577_0000_1000 + nth * 48 + dice.below(48),
            lines: vec![Line {
                function_index: index(1 + nth / 2),
                line: i64::from(index(dice.below(4000))),
                column: 0,
            }],
            attribute_indices: Vec::new(),
        }),
        stack_table: zero_and(STACKS, |_| Stack {
            location_indices: (0..8 + dice.below(40)).map(|_| index(1 + dice.below(FUNCTIONS * 2))).collect(),
        }),
        link_table: zero_and(100, |_| Link {
            trace_id: [dice.number().to_be_bytes(), dice.number().to_be_bytes()].concat(),
            span_id: (dice.number() | 1).to_be_bytes().to_vec(),
        }),
        attribute_table: zero_and(20, |nth| KeyValueAndUnit {
            key_strindex: if nth < 16 { 6 } else { 7 },
            value: Some(any(Value::StringValue(format!("tokio-runtime-worker-{nth}")))),
            unit_strindex: 0,
        }),
    }
}

fn zero_and<T: Default>(count: u64, make: impl FnMut(u64) -> T) -> Vec<T> {
    std::iter::once(T::default()).chain((0..count).map(make)).collect()
}

fn name(kind: Kind, nth: u64, dice: &mut Dice) -> String {
    match kind {
        Kind::Realistic => format!("checkout::order::Step{nth}<T>::poll::{{{{closure}}}}"),
        Kind::NonAscii => dice.text(),
    }
}

fn profile(dice: &mut Dice) -> Profile {
    let start = 1_760_000_000_000_000_000;
    Profile {
        sample_type: Some(ValueType { type_strindex: 3, unit_strindex: 4 }),
        samples: (0..SAMPLES).map(|_| sample(start, dice)).collect(),
        time_unix_nano: start,
        duration_nano: 60_000_000_000,
        period_type: Some(ValueType { type_strindex: 1, unit_strindex: 2 }),
        period: 10_000_000,
        profile_id: [dice.number().to_be_bytes(), dice.number().to_be_bytes()].concat(),
        attribute_indices: vec![17],
        ..Profile::default()
    }
}

fn sample(start: u64, dice: &mut Dice) -> Sample {
    let seen = 1 + dice.below(4);
    Sample {
        stack_index: index(1 + dice.below(STACKS)),
        attribute_indices: vec![index(1 + dice.below(16))],
        link_index: if dice.below(3) == 0 { index(1 + dice.below(100)) } else { 0 },
        values: (0..seen).map(|_| 1).collect(),
        timestamps_unix_nano: (0..seen).map(|_| start + dice.below(60_000_000_000)).collect(),
    }
}
