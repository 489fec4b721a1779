//! The reader and the writer against the messages of the `pprof` crate, which nobody here wrote.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic")]

use std::error::Error as _;

use otlp_core::error::{DecodeError, DecodeErrorKind};
use otlp_profiles::{ErrorKind, LabelValue, Limits, Profile, ValueType};
use pprof::protos::{self, Message};
use proptest::prelude::*;

/// What a sample is, independent of how it is numbered: (frames leaf first, labels, values).
type Plain = (Vec<(String, String, i64, u64, bool)>, Vec<String>, Vec<i64>);

fn plain(profile: &Profile) -> Vec<Plain> {
    let mut samples: Vec<Plain> = profile
        .samples()
        .map(|sample| {
            let frames = sample.frames().map(|frame| {
                (frame.name.to_owned(), frame.file.to_owned(), frame.line, frame.address, frame.inlined)
            });
            let labels = sample.labels().map(|label| match label.value {
                LabelValue::Text(text) => format!("{}={text}", label.key),
                LabelValue::Number { value, unit } => format!("{}={value}{unit}", label.key),
            });
            let mut labels: Vec<_> = labels.collect();
            labels.sort();
            (frames.collect(), labels, sample.values().to_vec())
        })
        .collect();
    samples.sort();
    samples
}

/// Resolves the reference messages by themselves; equal samples are summed as ours are.
fn plain_of_reference(message: &protos::Profile) -> Vec<Plain> {
    let text = |index: i64| message.string_table[usize::try_from(index).unwrap()].clone();
    let mut samples = std::collections::BTreeMap::<(Vec<_>, Vec<String>), Vec<i64>>::new();
    for sample in &message.sample {
        let mut frames = Vec::new();
        for id in &sample.location_id {
            let location = message.location.iter().find(|location| location.id == *id).unwrap();
            for (at, line) in location.line.iter().enumerate() {
                let function = message.function.iter().find(|function| function.id == line.function_id);
                let function = function.unwrap();
                let inlined = at + 1 < location.line.len();
                let name = text(function.name);
                frames.push((name, text(function.filename), line.line, location.address, inlined));
            }
        }
        let labels = sample.label.iter().map(|label| match label.str {
            0 => format!("{}={}{}", text(label.key), label.num, text(label.num_unit)),
            index => format!("{}={}", text(label.key), text(index)),
        });
        let mut labels: Vec<_> = labels.collect();
        labels.sort();
        labels.dedup();
        let sums = samples.entry((frames, labels)).or_insert_with(|| vec![0; sample.value.len()]);
        sums.iter_mut().zip(&sample.value).for_each(|(sum, value)| *sum += value);
    }
    samples.into_iter().map(|((frames, labels), values)| (frames, labels, values)).collect()
}

const STRINGS: [&str; 8] =
    ["", "cpu", "nanoseconds", "main", "serve", "<T as Work>::run", "src/main.rs", "request"];

prop_compose! {
    fn line()(function_id in 1..4_u64, line in 0..50_i64) -> protos::Line {
        protos::Line { function_id, line }
    }
}

prop_compose! {
    fn location(id: u64)(
        address in 1..u64::MAX,
        line in prop::collection::vec(line(), 1..4),
    ) -> protos::Location {
        protos::Location { id, mapping_id: 1, address, line, is_folded: false }
    }
}

prop_compose! {
    fn label()(key in 3..8_i64, str in 0..8_i64, num in -5..5_i64, unit in 0..3_i64) -> protos::Label {
        let (num, num_unit) = if str == 0 { (num, unit) } else { (0, 0) };
        protos::Label { key, str, num, num_unit }
    }
}

prop_compose! {
    fn sample()(
        location_id in prop::collection::vec(1..5_u64, 0..6),
        value in prop::collection::vec(-1000..1_000_000_i64, 2),
        label in prop::collection::vec(label(), 0..3),
    ) -> protos::Sample {
        protos::Sample { location_id, value, label }
    }
}

prop_compose! {
    fn message()(
        sample in prop::collection::vec(sample(), 0..12),
        location in (location(1), location(2), location(3), location(4)),
        names in prop::collection::vec(3..7_i64, 3),
        duration_nanos in 0..i64::MAX,
    ) -> protos::Profile {
        let value_type = |ty, unit| protos::ValueType { ty, unit };
        let function = |(id, &name): (u64, &i64)| {
            protos::Function { id, name, system_name: name, filename: 6, start_line: id.cast_signed() }
        };
        protos::Profile {
            sample_type: vec![value_type(3, 2), value_type(1, 2)],
            sample,
            mapping: vec![protos::Mapping { id: 1, memory_limit: 9, filename: 3, ..Default::default() }],
            location: vec![location.0, location.1, location.2, location.3],
            function: (1..).zip(&names).map(function).collect(),
            string_table: STRINGS.iter().map(|text| (*text).to_owned()).collect(),
            time_nanos: 7,
            duration_nanos,
            period_type: Some(value_type(1, 2)),
            period: 10,
            ..Default::default()
        }
    }
}

/// Cuts a message into its top-level fields: (number, bytes).
fn fields(bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
    use otlp_core::wire::{Reader, Region};
    let mut reader = Reader::new(Region::new(bytes));
    let mut out = Vec::new();
    while let Some(field) = reader.next_field().unwrap() {
        out.push((field.number, bytes[field.offset..reader.offset()].to_vec()));
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_the_reference_writes_is_read_alike(message in message()) {
        let profile = Profile::parse_pprof(&message.encode_to_vec(), &Limits::default()).unwrap();
        prop_assert_eq!(plain(&profile), plain_of_reference(&message));
        prop_assert_eq!(profile.duration().as_nanos(), u128::try_from(message.duration_nanos).unwrap());
    }

    #[test]
    fn what_is_written_the_reference_reads_alike(message in message()) {
        let profile = Profile::parse_pprof(&message.encode_to_vec(), &Limits::default()).unwrap();
        let written = protos::Profile::decode(profile.to_pprof()).unwrap();
        prop_assert_eq!(plain_of_reference(&written), plain_of_reference(&message));
        let kinds = |of: &protos::Profile| of.sample_type.iter().map(|kind| {
            of.string_table[usize::try_from(kind.ty).unwrap()].clone()
        }).collect::<Vec<_>>();
        prop_assert_eq!(kinds(&written), kinds(&message));
        prop_assert_eq!((written.period, written.time_nanos), (10, 7));
        prop_assert_eq!(written.duration_nanos, message.duration_nanos);
    }

    #[test]
    fn writing_and_reading_again_changes_no_byte(message in message()) {
        let profile = Profile::parse_pprof(&message.encode_to_vec(), &Limits::default()).unwrap();
        let again = Profile::parse_pprof(&profile.to_pprof(), &Limits::default()).unwrap();
        prop_assert_eq!(plain(&again), plain(&profile));
        prop_assert_eq!(again.to_pprof(), profile.to_pprof());
    }

    #[test]
    fn the_order_of_fields_is_of_no_meaning(message in message(), seed in any::<u64>()) {
        let bytes = message.encode_to_vec();
        let mut parts = fields(&bytes);
        // Repeated fields keep their order among themselves; a stable sort by a keyed hash of the
        // field number puts the groups in any order.
        parts.sort_by_key(|(number, _)| (u64::from(*number) ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let shuffled: Vec<u8> = parts.into_iter().flat_map(|(_, bytes)| bytes).collect();
        let read = |bytes: &[u8]| Profile::parse_pprof(bytes, &Limits::default()).unwrap();
        prop_assert_eq!(read(&shuffled).to_pprof(), read(&bytes).to_pprof());
    }

    #[test]
    fn damaged_files_give_an_error_or_a_profile_and_never_a_panic(
        message in message(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = message.encode_to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        let limits = Limits::default().max_input_bytes(1 << 16);
        match Profile::parse_pprof(&bytes, &limits) {
            Ok(profile) => prop_assert!(profile.to_folded().len() < 1 << 20),
            Err(error) => prop_assert!(error.is_malformed() || error.is_limit()),
        }
    }

    #[test]
    fn noise_gives_an_error_or_a_profile_and_never_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        if let Err(error) = Profile::parse_pprof(&bytes, &Limits::default()) {
            // A file that says it is compressed cannot be read without the feature.
            prop_assert!(error.is_malformed() || error.is_limit() || error.kind() == ErrorKind::Config);
        }
    }
}

fn small() -> protos::Profile {
    protos::Profile {
        sample_type: vec![protos::ValueType { ty: 1, unit: 2 }],
        sample: vec![protos::Sample { location_id: vec![1], value: vec![5], label: Vec::new() }],
        location: vec![protos::Location {
            id: 1,
            line: vec![protos::Line { function_id: 1, line: 3 }],
            ..Default::default()
        }],
        function: vec![protos::Function { id: 1, name: 3, ..Default::default() }],
        string_table: STRINGS.iter().map(|text| (*text).to_owned()).collect(),
        ..Default::default()
    }
}

/// The kind and offset that a changed file is refused with.
fn refusal(change: impl FnOnce(&mut protos::Profile)) -> DecodeError {
    let mut message = small();
    change(&mut message);
    let error = Profile::parse_pprof(&message.encode_to_vec(), &Limits::default()).unwrap_err();
    assert!(error.is_malformed());
    *error.source().unwrap().downcast_ref().unwrap()
}

#[test]
fn references_to_nothing_are_refused_with_what_and_where() {
    assert!(Profile::parse_pprof(&small().encode_to_vec(), &Limits::default()).is_ok());
    let reference = |what, met| DecodeErrorKind::Reference { what, met };
    let error = refusal(|message| message.sample[0].location_id[0] = 9);
    assert_eq!(error.kind, reference("location", 9));
    assert!(error.offset > 0);
    assert_eq!(refusal(|message| message.location[0].line[0].function_id = 7).kind, reference("function", 7));
    assert_eq!(refusal(|message| message.location[0].mapping_id = 2).kind, reference("mapping", 2));
    assert_eq!(refusal(|message| message.function[0].name = 99).kind, reference("string", 99));
    assert_eq!(refusal(|message| message.function[0].filename = -1).kind, reference("string", u64::MAX));
    assert_eq!(refusal(|message| message.sample_type[0].ty = 50).kind, reference("string", 50));
    assert_eq!(refusal(|message| message.default_sample_type = 50).kind, reference("string", 50));
}

#[test]
fn contradictions_are_refused() {
    let invalid = |error: DecodeError| matches!(error.kind, DecodeErrorKind::Invalid(_));
    assert!(invalid(refusal(|message| message.function[0].id = 0)));
    assert!(invalid(refusal(|message| message.function.push(message.function[0].clone()))));
    assert!(invalid(refusal(|message| message.location.push(message.location[0].clone()))));
    assert!(invalid(refusal(|message| message.sample[0].value.push(1))));
    assert!(invalid(refusal(|message| message.sample[0].value.clear())));
    assert!(invalid(refusal(|message| message.sample_type.clear())));
    assert!(invalid(refusal(|message| message.string_table[0] = "x".to_owned())));
}

#[test]
fn wrong_wire_types_bad_text_and_cuts_are_refused_where_they_are() {
    let source = |bytes: &[u8]| {
        let error = Profile::parse_pprof(bytes, &Limits::default()).unwrap_err();
        *error.source().unwrap().downcast_ref::<DecodeError>().unwrap()
    };
    assert_eq!(source(&[0x10, 0x05]).kind, DecodeErrorKind::UnexpectedWireType { field: 2, met: 0 });
    assert_eq!(source(b"\x32\x00\x32\x02\xff\xfe"), DecodeError::new(4, DecodeErrorKind::Utf8(6)));
    let bytes = small().encode_to_vec();
    let refused = (1..bytes.len()).filter(|&len| {
        let cut = Profile::parse_pprof(&bytes[..len], &Limits::default());
        cut.is_err_and(|error| error.is_malformed())
    });
    // A cut between two fields may leave a file without strings, which is refused as well.
    assert_eq!(refused.count(), bytes.len() - 1 - cuts_that_leave_a_file(&bytes));
}

/// Cuts after the last string that any sample needs; what follows is not needed.
fn cuts_that_leave_a_file(bytes: &[u8]) -> usize {
    let needed = 3;
    let mut strings = 0;
    let mut end = 0;
    let mut count = 0;
    for (number, field) in fields(bytes) {
        if strings > needed && end > 0 && end < bytes.len() {
            count += 1;
        }
        strings += usize::from(number == 6);
        end += field.len();
    }
    count
}

#[test]
fn a_message_that_comes_in_parts_is_merged_and_the_last_number_counts() {
    let mut bytes = small().encode_to_vec();
    // period_type in two parts: kind, then unit; period twice.
    bytes.extend([0x5a, 0x02, 0x08, 0x01, 0x60, 0x05, 0x5a, 0x02, 0x10, 0x02, 0x60, 0x07]);
    let profile = Profile::parse_pprof(&bytes, &Limits::default()).unwrap();
    assert_eq!(profile.period(), Some((7, &ValueType::new("cpu", "nanoseconds"))));
}

#[test]
fn a_small_file_cannot_ask_for_much_work() {
    // One location of many inlined lines, named again and again: every byte more is 1,000 frames more.
    let mut message = small();
    message.location[0].line = vec![protos::Line { function_id: 1, line: 3 }; 1000];
    message.sample[0].location_id = vec![1; 4];
    message.sample = vec![message.sample[0].clone(); 1000];
    let limits = Limits::default().max_visits(100_000);
    let error = Profile::parse_pprof(&message.encode_to_vec(), &limits).unwrap_err();
    assert!(error.is_limit() && error.to_string().starts_with("max_visits"), "{error}");
    message.sample[0].location_id = vec![1; 5];
    let error = Profile::parse_pprof(&message.encode_to_vec(), &Limits::default()).unwrap_err();
    assert!(error.is_limit() && error.to_string().starts_with("max_depth"), "{error}");
}

#[test]
fn the_default_value_type_is_kept_in_the_file() {
    let types = [ValueType::new("alloc", "bytes"), ValueType::new("inuse", "bytes")];
    let mut profile = Profile::try_new(types, &Limits::default()).unwrap();
    profile.add_stack(["main"], &[10, 3]).unwrap();
    profile.use_value("alloc").unwrap();
    let read = Profile::parse_pprof(&profile.to_pprof(), &Limits::default()).unwrap();
    assert_eq!((read.default_value().kind.as_str(), read.total()), ("alloc", 10));
    assert_eq!(profile.use_value("none").unwrap_err().kind(), ErrorKind::Config);
}
