//! Indices into the dictionary of a profiles request: resolved, and checked.

use otlp_core::encode::Encode;
use otlp_core::error::DecodeErrorKind;
use otlp_core::record::{
    AnyValue, Function, KeyValue, KeyValueAndUnit, Line, Location, Mapping, Profile, ProfileLink,
    ProfilesDictionary, ProfilesRequest, Resource, ResourceProfiles, Sample, Scope, ScopeProfiles, Stack,
    ValueType,
};
use otlp_core::view::{DictionaryIndex, ProfilesView};
use otlp_core::{DecodeError, Limits, SpanId, TraceId};
use proptest::prelude::*;
use prost::Message;

use crate::dice::Dice;
use crate::generate;
use crate::merging::field;
use crate::tree::{self, Order, Type};
use crate::walk::profile as walk;

/// A request whose every index is set and points at something.
fn valid() -> ProfilesRequest {
    let mut dictionary = ProfilesDictionary::new();
    dictionary.strings.extend(["cpu", "ns", "main", "inlined", "a.rs", "/bin/a", "key"].map(str::to_owned));
    let attribute_indices = vec![1];
    dictionary.mappings.push(Mapping {
        filename_index: 6,
        attribute_indices: attribute_indices.clone(),
        ..Mapping::default()
    });
    dictionary.functions.extend([3, 4].map(|name_index| Function {
        name_index,
        system_name_index: name_index,
        filename_index: 5,
        start_line: 1,
    }));
    let line = |function_index, line| Line { function_index, line, column: 0 };
    dictionary.locations.push(Location {
        mapping_index: 1,
        address: 4096,
        lines: vec![line(2, 20), line(1, 10)],
        attribute_indices: attribute_indices.clone(),
    });
    dictionary.locations.push(Location { address: 8192, ..Location::default() });
    dictionary.links.push(ProfileLink { trace_id: TraceId::new([1; 16]), span_id: SpanId::new([2; 8]) });
    let value = AnyValue::Array(vec![AnyValue::StringIndex(7)]);
    dictionary.attributes.push(KeyValueAndUnit { key_index: 7, value, unit_index: 2 });
    dictionary.stacks.push(Stack { location_indices: vec![1, 2] });

    let pair = KeyValue { key_index: 7, value: AnyValue::StringIndex(1), ..KeyValue::default() };
    let nested = KeyValue::new("map", AnyValue::KvList(vec![pair.clone()]));
    let value_type = ValueType { kind_index: 1, unit_index: 2 };
    let profile = Profile {
        sample_type: value_type,
        period_type: value_type,
        samples: vec![Sample {
            stack_index: 1,
            link_index: 1,
            attribute_indices: vec![1],
            ..Sample::default()
        }],
        attribute_indices,
        ..Profile::default()
    };
    let scope = Scope { attributes: vec![nested], ..Scope::default() };
    let scopes = vec![ScopeProfiles { scope, profiles: vec![profile], schema_url: String::new() }];
    let resource = Resource { attributes: vec![pair], ..Resource::default() };
    let resources = vec![ResourceProfiles { resource, scopes, schema_url: String::new() }];
    ProfilesRequest { resources, dictionary }
}

fn checked(request: &ProfilesRequest) -> Result<(), DecodeError> {
    let bytes = request.encode_to_bytes();
    ProfilesView::parse(&bytes, &Limits::DEFAULT)?.check()
}

#[test]
fn a_valid_request_and_an_empty_one_pass() {
    assert_eq!(checked(&valid()), Ok(()));
    valid().check().unwrap();
    assert_eq!(checked(&ProfilesRequest::default()), Ok(()));
    ProfilesRequest::default().check().unwrap();
    assert_eq!(
        checked(&ProfilesRequest { dictionary: ProfilesDictionary::new(), ..Default::default() }),
        Ok(())
    );
}

#[test]
fn a_table_without_its_zero_element_is_refused_by_name() {
    type Spoil = fn(&mut ProfilesDictionary);
    let missing: [(&str, Spoil); 7] = [
        ("mapping", |dictionary| dictionary.mappings.clear()),
        ("location", |dictionary| dictionary.locations.clear()),
        ("function", |dictionary| dictionary.functions.clear()),
        ("link", |dictionary| dictionary.links.clear()),
        ("string", |dictionary| dictionary.strings.clear()),
        ("attribute", |dictionary| dictionary.attributes.clear()),
        ("stack", |dictionary| dictionary.stacks.clear()),
    ];
    let other: [(&str, Spoil); 7] = [
        ("mapping", |dictionary| drop(dictionary.mappings.remove(0))),
        ("location", |dictionary| drop(dictionary.locations.remove(0))),
        ("function", |dictionary| {
            dictionary.functions.remove(0);
        }),
        ("link", |dictionary| {
            dictionary.links.remove(0);
        }),
        ("string", |dictionary| drop(dictionary.strings.remove(0))),
        ("attribute", |dictionary| drop(dictionary.attributes.remove(0))),
        ("stack", |dictionary| drop(dictionary.stacks.remove(0))),
    ];
    let cases =
        [(missing, "element 0, the zero value, is missing"), (other, "element 0 is not the zero value")];
    for (spoils, complaint) in cases {
        for (table, spoil) in spoils {
            let mut request = valid();
            spoil(&mut request.dictionary);
            let expected = format!("{table} table: {complaint}");
            let error = checked(&request).unwrap_err();
            assert!(
                matches!(error.kind, DecodeErrorKind::Invalid(met) if met == expected),
                "{table}: {error}"
            );
            assert_eq!(request.check().unwrap_err().to_string(), expected);
        }
    }
}

/// Every index of [`valid`], by the table that it points into.
fn every_index(request: &mut ProfilesRequest) -> Vec<(&'static str, &mut i32)> {
    let mut all = Vec::new();
    let ProfilesRequest { resources, dictionary } = request;
    let mapping = &mut dictionary.mappings[1];
    all.extend([("string", &mut mapping.filename_index), ("attribute", &mut mapping.attribute_indices[0])]);
    let location = &mut dictionary.locations[1];
    all.extend([("mapping", &mut location.mapping_index), ("attribute", &mut location.attribute_indices[0])]);
    all.extend(location.lines.iter_mut().map(|line| ("function", &mut line.function_index)));
    let function = &mut dictionary.functions[2];
    let names = [&mut function.name_index, &mut function.system_name_index, &mut function.filename_index];
    all.extend(names.map(|index| ("string", index)));
    let attribute = &mut dictionary.attributes[1];
    all.extend([("string", &mut attribute.key_index), ("string", &mut attribute.unit_index)]);
    all.push(("string", in_value(&mut attribute.value)));
    all.extend(dictionary.stacks[1].location_indices.iter_mut().map(|index| ("location", index)));
    for group in resources {
        all.extend(group.resource.attributes.iter_mut().flat_map(in_pair));
        let scope = &mut group.scopes[0];
        let AnyValue::KvList(pairs) = &mut scope.scope.attributes[0].value else { panic!("a map") };
        all.extend(pairs.iter_mut().flat_map(in_pair));
        let profile = &mut scope.profiles[0];
        let (sample_type, period_type) = (&mut profile.sample_type, &mut profile.period_type);
        all.extend([("string", &mut sample_type.kind_index), ("string", &mut sample_type.unit_index)]);
        all.extend([("string", &mut period_type.kind_index), ("string", &mut period_type.unit_index)]);
        all.push(("attribute", &mut profile.attribute_indices[0]));
        let sample = &mut profile.samples[0];
        all.extend([("stack", &mut sample.stack_index), ("link", &mut sample.link_index)]);
        all.push(("attribute", &mut sample.attribute_indices[0]));
    }
    all
}

fn in_pair(pair: &mut KeyValue) -> [(&'static str, &mut i32); 2] {
    [("string", &mut pair.key_index), ("string", in_value(&mut pair.value))]
}

fn in_value(value: &mut AnyValue) -> &mut i32 {
    match value {
        AnyValue::StringIndex(index) => index,
        AnyValue::Array(values) => in_value(&mut values[0]),
        other => panic!("no index in {other:?}"),
    }
}

#[test]
fn an_index_that_points_at_nothing_is_refused_wherever_it_stands() {
    let count = every_index(&mut valid()).len();
    assert_eq!(count, 26);
    for nth in 0..count {
        for index in [8, i32::MAX, -1, i32::MIN] {
            let mut request = valid();
            let mut all = every_index(&mut request);
            let (table, place) = all.swap_remove(nth);
            *place = index;
            let error = checked(&request).unwrap_err();
            let met = i64::from(index).cast_unsigned();
            assert_eq!(error.kind, DecodeErrorKind::Reference { what: table, met }, "index {nth}");
            let error = request.check().unwrap_err();
            assert!(
                error.is_malformed() && error.to_string().starts_with(&format!("{table} {index} is not")),
                "{error}"
            );
        }
        // And zero, which means "not set", is always right.
        let mut request = valid();
        *every_index(&mut request).swap_remove(nth).1 = 0;
        assert_eq!(checked(&request), Ok(()));
        request.check().unwrap();
    }
}

#[test]
fn the_offset_of_a_bad_index_is_that_of_its_message() {
    let mut request = valid();
    request.resources[0].scopes[0].profiles[0].samples[0].stack_index = 99;
    let bytes = request.encode_to_bytes();
    let error = ProfilesView::parse(&bytes, &Limits::DEFAULT).unwrap().check().unwrap_err();
    assert_eq!(bytes[error.offset..][..2], [0x08, 99]);
}

#[test]
fn a_stack_is_its_functions_inlined_ones_first() {
    let bytes = valid().encode_to_bytes();
    let view = ProfilesView::parse(&bytes, &Limits::DEFAULT).unwrap();
    let index = view.dictionary().index().unwrap();
    let frames = index.frames(1).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    let seen: Vec<_> = frames
        .iter()
        .map(|frame| (frame.name(), frame.line().map(|line| line.line()), frame.location().address()))
        .collect();
    assert_eq!(seen, [("inlined", Some(20), 4096), ("main", Some(10), 4096), ("", None, 8192)]);
    let file = frames[0].function().unwrap().filename_index();
    assert_eq!(index.string(file), Ok("a.rs"));
    assert_eq!(index.frames(0).unwrap().count(), 0);
    assert_eq!(view.dictionary().string(3), Ok("main"));
}

#[test]
fn what_is_not_defined_is_an_error_and_not_a_panic() {
    let bytes = valid().encode_to_bytes();
    let view = ProfilesView::parse(&bytes, &Limits::DEFAULT).unwrap().dictionary();
    let index = view.index().unwrap();
    for at in [-1, 9, i32::MAX, i32::MIN] {
        let undefined = |what| Err(DecodeErrorKind::Reference { what, met: i64::from(at).cast_unsigned() });
        let kind = |error: DecodeError| error.kind;
        assert_eq!(index.string(at).map(drop).map_err(kind), undefined("string"));
        assert_eq!(view.string(at).map(drop).map_err(kind), undefined("string"));
        assert_eq!(index.mapping(at).map(drop).map_err(kind), undefined("mapping"));
        assert_eq!(index.frames(at).map(drop).map_err(kind), undefined("stack"));
        let record = ProfilesDictionary::new();
        assert!(record.string(at).is_none() && record.stack(at).is_none() && record.link(at).is_none());
    }
}

#[test]
fn a_bad_frame_is_one_error_and_the_walk_goes_on() {
    let mut request = valid();
    request.dictionary.stacks[1].location_indices = vec![2, 77, 2];
    let bytes = request.encode_to_bytes();
    let index = ProfilesView::parse(&bytes, &Limits::DEFAULT).unwrap().dictionary().index().unwrap();
    let frames: Vec<_> = index.frames(1).unwrap().map(|frame| frame.is_ok()).collect();
    assert_eq!(frames, [true, false, true]);
}

#[test]
fn the_frames_of_a_stack_are_bounded() {
    // Thirty locations of thirty lines each, in few bytes.
    let mut request = valid();
    request.dictionary.locations[1].lines = vec![Line { function_index: 1, line: 1, column: 1 }; 30];
    request.dictionary.stacks[1].location_indices = vec![1; 30];
    let bytes = request.encode_to_bytes();
    let limits = Limits::default().max_elements(100);
    let index = ProfilesView::parse(&bytes, &limits).unwrap().dictionary().index().unwrap();
    let frames: Vec<_> = index.frames(1).unwrap().collect();
    assert_eq!(frames.len(), 101);
    assert!(frames[..100].iter().all(Result::is_ok));
    assert!(frames[100].is_err_and(|error| error.is_limit()));
    let enough = Limits::default().max_elements(900);
    let index = ProfilesView::parse(&bytes, &enough).unwrap().dictionary().index().unwrap();
    assert!(index.frames(1).unwrap().all(|frame| frame.is_ok()));
}

#[test]
fn the_index_of_a_dictionary_stays_within_the_heap_limit() {
    let body = field(2, &[0x2a, 0].repeat(1000));
    let index = |bytes: usize| {
        let limits = Limits::default().max_heap_bytes(bytes);
        ProfilesView::parse(&body, &limits).unwrap().dictionary().index().map(drop)
    };
    assert_eq!(index(4000), Ok(()));
    assert!(index(3999).is_err_and(|error| error.is_limit()));
}

/// Every element found at once is the one that a walk over its table comes to.
fn same_as_walked(
    index: &DictionaryIndex<'_>,
    expected: &opentelemetry_proto::tonic::profiles::v1development::ProfilesDictionary,
) {
    let place = |nth: usize| i32::try_from(nth).unwrap();
    for (nth, text) in expected.string_table.iter().enumerate() {
        assert_eq!(index.string(place(nth)), Ok(text.as_str()));
    }
    for (nth, mapping) in expected.mapping_table.iter().enumerate() {
        assert_eq!(walk::mapping(&index.mapping(place(nth)).unwrap()), *mapping);
    }
    for (nth, location) in expected.location_table.iter().enumerate() {
        assert_eq!(walk::location(&index.location(place(nth)).unwrap()).unwrap(), *location);
    }
    for (nth, function) in expected.function_table.iter().enumerate() {
        assert_eq!(walk::function(&index.function(place(nth)).unwrap()), *function);
    }
    for (nth, stack) in expected.stack_table.iter().enumerate() {
        assert_eq!(walk::stack(&index.stack(place(nth)).unwrap()), *stack);
    }
    for (nth, link) in expected.link_table.iter().enumerate() {
        let met = walk::link(&index.link(place(nth)).unwrap());
        assert!(met.span_id == link.span_id || link.span_id.iter().all(|byte| *byte == 0));
    }
    for (nth, attribute) in expected.attribute_table.iter().enumerate() {
        let met = walk::attribute(&index.attribute(place(nth)).unwrap()).unwrap();
        assert_eq!((met.key_strindex, met.unit_strindex), (attribute.key_strindex, attribute.unit_strindex));
    }
    assert!(index.string(place(expected.string_table.len())).is_err());
    assert!(index.stack(place(expected.stack_table.len())).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_index_finds_what_a_walk_finds_in_any_order_and_in_pieces(seed: u64) {
        let mut dice = Dice::new(seed);
        let mut request = generate::profiles(&mut dice);
        let dictionary = generate::dictionary(&mut dice);
        request.dictionary = Some(dictionary.clone());
        let body = request.encode_to_vec();
        let mut nodes = tree::parse(Type::Profiles, &body).unwrap();
        tree::split(&mut nodes, Type::Profiles, &mut dice);
        for order in [Order::Ascending, Order::Descending, Order::Shuffled] {
            tree::reorder(&mut nodes, order, &mut dice);
            let body = tree::write(&nodes);
            let view = ProfilesView::parse(&body, &Limits::DEFAULT).unwrap();
            same_as_walked(&view.dictionary().index().unwrap(), &dictionary);
        }
    }

    #[test]
    fn view_and_record_agree_on_what_is_valid(seed: u64) {
        let mut request = valid();
        let mut dice = Dice::new(seed);
        for (_, index) in every_index(&mut request) {
            if dice.one_in(20) {
                *index = i32::try_from(dice.below(12)).unwrap() - 1;
            }
        }
        prop_assert_eq!(checked(&request).is_ok(), request.check().is_ok());
    }

    #[test]
    fn no_bytes_make_a_panic_when_checked_or_resolved(seed: u64) {
        let mut dice = Dice::new(seed);
        let body = generate::profiles(&mut dice).encode_to_vec();
        let limits = Limits::default().max_elements(1000);
        let Ok(view) = ProfilesView::parse(&body, &limits) else { return Ok(()) };
        let _ = view.check();
        let index = view.dictionary().index().unwrap();
        for stack in 0..4 {
            let _ = index.frames(stack).map(|frames| frames.filter(Result::is_ok).count());
        }
    }
}
