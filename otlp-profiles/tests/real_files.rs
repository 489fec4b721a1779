//! What real profilers wrote, against what their own tools say about it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic")]

use otlp_profiles::{FlameGraph, LabelValue, Limits, Profile};

const GO_PROFILE: &[u8] = include_bytes!("data/go_cpu.pb.gz");
const GO_TOP: &str = include_str!("data/go_cpu_top.txt");

/// Rows of `go tool pprof -top -unit=ns`: name, flat, cumulative.
fn expected_rows(text: &str) -> Vec<(String, i64, i64)> {
    let rows = text.lines().skip_while(|line| !line.trim_start().starts_with("flat ")).skip(1);
    rows.map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let nanos = |column: usize| columns[column].trim_end_matches("ns").parse().unwrap();
        let name =
            columns[5..].iter().filter(|word| !word.starts_with("(inline") && !word.starts_with("(partial"));
        (name.copied().collect::<Vec<_>>().join(" "), nanos(0), nanos(3))
    })
    .collect()
}

fn assert_rows_agree(profile: &Profile, expected: &[(String, i64, i64)]) {
    let top = profile.top(usize::MAX);
    let mut ours: Vec<_> = top.rows.into_iter().map(|row| (row.name, row.flat, row.cumulative)).collect();
    let mut expected = expected.to_vec();
    ours.sort();
    expected.sort();
    assert_eq!(ours, expected);
}

#[test]
fn the_listing_of_a_go_profile_equals_that_of_go_tool_pprof() {
    let profile = Profile::parse_pprof(GO_PROFILE, &Limits::default()).unwrap();
    let expected = expected_rows(GO_TOP);
    assert!(expected.len() > 40 && expected.iter().any(|(name, ..)| name == "main.fib"));
    assert_rows_agree(&profile, &expected);
    assert_eq!(profile.total(), 1_490_000_000);
}

#[test]
#[should_panic(expected = "assertion")]
fn a_planted_error_of_one_sample_is_noticed() {
    let profile = Profile::parse_pprof(GO_PROFILE, &Limits::default()).unwrap();
    let mut expected = expected_rows(GO_TOP);
    expected[1].2 += 10_000_000;
    assert_rows_agree(&profile, &expected);
}

#[test]
fn header_labels_and_inlining_of_a_go_profile_are_read() {
    let profile = Profile::parse_pprof(GO_PROFILE, &Limits::default()).unwrap();
    let kinds: Vec<_> = profile.value_types().iter().map(|of| (of.kind.as_str(), of.unit.as_str())).collect();
    assert_eq!(kinds, [("samples", "count"), ("cpu", "nanoseconds")]);
    assert_eq!(profile.default_value().kind, "cpu");
    assert_eq!(profile.period().map(|(period, of)| (period, of.kind.as_str())), Some((10_000_000, "cpu")));
    assert_eq!(profile.duration().as_secs(), 1);
    assert!(profile.time().as_secs_f64() > 1.7e9);
    let sorting = |sample: &otlp_profiles::SampleView<'_>| {
        sample.labels().any(|label| label.key == "request" && label.value == LabelValue::Text("sort"))
    };
    assert!(profile.samples().any(|sample| sorting(&sample)));
    let inlined = profile.samples().flat_map(|sample| sample.frames().collect::<Vec<_>>());
    let mix = inlined.filter(|frame| frame.name == "main.mix").collect::<Vec<_>>();
    assert!(!mix.is_empty() && mix.iter().all(|frame| frame.inlined && frame.file.ends_with("main.go")));
}

#[test]
fn a_go_profile_written_and_read_again_is_the_same() {
    let profile = Profile::parse_pprof(GO_PROFILE, &Limits::default()).unwrap();
    let written = profile.to_pprof();
    let again = Profile::parse_pprof(&written, &Limits::default()).unwrap();
    assert_rows_agree(&again, &expected_rows(GO_TOP));
    assert_eq!(again.to_pprof(), written);
    assert_eq!(again.to_folded(), profile.to_folded());
    let zipped = Profile::parse_pprof(&profile.to_pprof_gzip().unwrap(), &Limits::default()).unwrap();
    assert_eq!(zipped.to_pprof(), written);
}

#[test]
fn a_go_profile_is_drawn_with_every_function() {
    let profile = Profile::parse_pprof(GO_PROFILE, &Limits::default()).unwrap();
    let picture = FlameGraph::new(&profile).min_width_px(0.0).to_svg();
    assert_eq!(picture.elided, 0);
    for row in profile.top(usize::MAX).rows {
        let name = row.name.replace('<', "&lt;").replace('>', "&gt;");
        assert!(picture.svg.contains(&format!("<title>{name}\n")), "{name}");
    }
}

#[test]
fn a_compressed_file_cut_short_is_refused() {
    for len in (2..GO_PROFILE.len()).step_by(11) {
        let error = Profile::parse_pprof(&GO_PROFILE[..len], &Limits::default()).unwrap_err();
        assert!(error.is_malformed(), "cut at {len}: {error}");
    }
}

#[test]
fn a_file_that_grows_past_the_bound_is_refused_before_it_is_read() {
    let limits = Limits::default().max_input_bytes(4096);
    let error = Profile::parse_pprof(GO_PROFILE, &limits).unwrap_err();
    assert_eq!(error.to_string(), "gzip: decompressed size exceeds limit 4096");
}
