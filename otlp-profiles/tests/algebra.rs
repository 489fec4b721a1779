//! Merging, comparing and listing, on any profiles.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic")]

use otlp_profiles::{Diff, FlameGraph, Limits, Profile, ValueType};
use proptest::prelude::*;

fn profile() -> impl Strategy<Value = Profile> {
    let name = prop::sample::select(vec!["main", "serve", "hash", "sort", "read", "a b", "é"]);
    let stack = prop::collection::vec(name, 0..7);
    prop::collection::vec((stack, 0..1000_i64), 0..20).prop_map(|stacks| {
        let mut profile = Profile::try_new([ValueType::samples()], &Limits::default()).unwrap();
        for (stack, count) in stacks {
            profile.add_stack(stack, &[count]).unwrap();
        }
        profile
    })
}

fn merged(into: &Profile, others: &[&Profile]) -> Profile {
    let mut sum = into.clone();
    others.iter().for_each(|other| sum.merge(other).unwrap());
    sum
}

/// Flat and cumulative weight of a function by going through every stack.
fn by_hand(profile: &Profile, name: &str) -> (i64, i64) {
    let (mut flat, mut cumulative) = (0, 0);
    for sample in profile.samples() {
        let frames: Vec<_> = sample.frames().map(|frame| frame.name).collect();
        let weight = sample.values()[0];
        flat += if frames.first() == Some(&name) { weight } else { 0 };
        cumulative += if frames.contains(&name) { weight } else { 0 };
    }
    (flat, cumulative)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn merging_is_commutative_and_associative(a in profile(), b in profile(), c in profile()) {
        let folded = merged(&a, &[&b, &c]).to_folded();
        prop_assert_eq!(&merged(&c, &[&b, &a]).to_folded(), &folded);
        prop_assert_eq!(&merged(&a, &[&merged(&b, &[&c])]).to_folded(), &folded);
        prop_assert_eq!(merged(&a, &[&b]).total(), a.total() + b.total());
        prop_assert_eq!(merged(&a, &[&b, &c]).top(9), merged(&b, &[&c, &a]).top(9));
    }

    #[test]
    fn merging_with_nothing_changes_nothing(a in profile()) {
        let nothing = Profile::try_new([ValueType::samples()], &Limits::default()).unwrap();
        prop_assert_eq!(merged(&a, &[&nothing]).to_pprof(), a.to_pprof());
        prop_assert_eq!(merged(&nothing, &[&a]).to_folded(), a.to_folded());
    }

    #[test]
    fn folded_stacks_round_trip(a in profile()) {
        let folded = a.to_folded();
        let read = Profile::parse_folded(folded.as_bytes(), ValueType::samples(), &Limits::default());
        prop_assert_eq!(read.unwrap().to_folded(), folded);
    }

    #[test]
    fn pprof_round_trips(a in profile()) {
        let read = Profile::parse_pprof(&a.to_pprof(), &Limits::default()).unwrap();
        prop_assert_eq!(read.to_folded(), a.to_folded());
        prop_assert_eq!(read.to_pprof(), a.to_pprof());
    }

    #[test]
    fn flat_and_cumulative_weights_are_those_counted_by_hand(a in profile()) {
        let top = a.top(usize::MAX);
        prop_assert_eq!(top.left_out, 0);
        for row in &top.rows {
            prop_assert_eq!((row.flat, row.cumulative), by_hand(&a, &row.name), "{}", row.name);
        }
        let bare: i64 = a.samples().filter(|s| s.frames().next().is_none()).map(|s| s.values()[0]).sum();
        prop_assert_eq!(top.rows.iter().map(|row| row.flat).sum::<i64>() + bare, a.total());
    }

    #[test]
    fn a_difference_turned_round_has_its_signs_turned(a in profile(), b in profile()) {
        let (there, back) = (Diff::between(&a, &b).unwrap(), Diff::between(&b, &a).unwrap());
        prop_assert_eq!(there.functions.len(), back.functions.len());
        for shift in &there.functions {
            let other = back.functions.iter().find(|other| other.name == shift.name).unwrap();
            prop_assert_eq!(shift.flat_change(), -other.flat_change());
            prop_assert!((shift.flat_z + other.flat_z).abs() < 1e-9);
            for share in [shift.flat_before, shift.flat_after, shift.cumulative_before, shift.cumulative_after] {
                prop_assert!((0.0..=1.0 + 1e-12).contains(&share));
            }
        }
    }

    #[test]
    fn a_profile_against_itself_many_times_over_has_no_difference(a in profile()) {
        let diff = Diff::between(&a, &merged(&a, &[&a, &a])).unwrap();
        prop_assert!(diff.functions.iter().all(|shift| shift.flat_change().abs() < 1e-12));
        prop_assert!(diff.to_finding("x").is_none());
    }

    #[test]
    fn drawing_leaves_no_box_uncounted(a in profile(), b in profile()) {
        let all = FlameGraph::differential(&a, &b).unwrap().min_width_px(0.0).to_svg();
        let some = FlameGraph::differential(&a, &b).unwrap().min_width_px(40.0).to_svg();
        prop_assert_eq!(all.boxes + all.elided, some.boxes + some.elided);
        prop_assert_eq!(all.svg.matches("<title>").count(), all.boxes);
    }

    #[test]
    fn any_text_is_folded_stacks_or_an_error(text in prop::collection::vec(any::<u8>(), 0..80)) {
        let read = Profile::parse_folded(&text, ValueType::samples(), &Limits::default());
        if let Err(error) = read {
            prop_assert!(error.is_malformed() || error.is_limit());
        }
    }
}

#[test]
fn a_deep_recursion_is_listed_and_drawn_without_exhausting_the_stack() {
    let limits = Limits::default().max_depth(100_000);
    let mut profile = Profile::try_new([ValueType::samples()], &limits).unwrap();
    profile.add_stack(std::iter::repeat_n("f", 100_000), &[1]).unwrap();
    assert_eq!(profile.top(1).rows[0].cumulative, 1);
    let picture = FlameGraph::new(&profile).to_svg();
    assert_eq!((picture.boxes, picture.elided), (20_000, 80_001));
    assert!(profile.add_stack(std::iter::repeat_n("f", 100_001), &[1]).unwrap_err().is_limit());
}
