//! Spans to traces: any order, copies, late ones, broken ones, and bounds.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that is wrong should stop")]

use std::sync::Arc;
use std::time::Duration;

use otlp_core::assemble::{Assembler, AssemblerConfig, Refused, Trace};
use otlp_core::record::{AnyValue, KeyValue, Span, SpanKind};
use otlp_core::{ErrorKind, SpanId, TraceId, UnixNanos};
use proptest::prelude::*;

fn trace_id(id: u8) -> TraceId {
    TraceId::new([id; 16])
}

fn span(trace: u8, id: u8, parent: u8, millis: (u64, u64)) -> Span {
    Span {
        trace_id: trace_id(trace),
        span_id: SpanId::new([id; 8]),
        parent_span_id: SpanId::new([parent; 8]),
        kind: SpanKind::Server,
        start: UnixNanos::from_millis(millis.0),
        end: UnixNanos::from_millis(millis.1),
        ..Span::default()
    }
}

fn secs(secs: u64) -> UnixNanos {
    UnixNanos::from_secs(secs)
}

fn millis(trace: &Trace, place: usize) -> u128 {
    trace.spans()[place].self_time.as_millis()
}

/// The account must add up at any moment.
fn assert_balanced(assembler: &Assembler, offered: u64) {
    let stats = assembler.stats();
    assert_eq!(stats.accepted, stats.handed_out_spans + stats.evicted_spans + stats.held_spans, "{stats:?}");
    let refused =
        stats.zero_trace_id + stats.zero_span_id + stats.duplicate + stats.trace_full + stats.too_large;
    assert_eq!(offered, stats.accepted + refused, "{stats:?}");
}

#[test]
fn self_time_is_what_no_child_covers() {
    let spans = [
        span(1, 1, 0, (0, 100)),
        span(1, 2, 1, (10, 30)),
        // Overlaps the one before it, and a third lies wholly within.
        span(1, 3, 1, (20, 40)),
        span(1, 4, 1, (22, 24)),
        // Outlives its parent: only what lies within counts.
        span(1, 5, 1, (90, 150)),
        // A grandchild takes nothing from its grandparent.
        span(1, 6, 2, (11, 12)),
    ];
    let trace = Trace::new(trace_id(1), spans.map(|span| (Arc::from("a"), span)));
    assert_eq!(millis(&trace, 0), 60);
    assert_eq!(millis(&trace, 1), 19);
    assert_eq!(trace.end(), UnixNanos::from_millis(150));
}

#[test]
fn a_trace_waits_for_its_quiet_time() {
    let mut assembler = AssemblerConfig::new().quiet(Duration::from_secs(2)).build().unwrap();
    assembler.accept("a", span(1, 2, 1, (1, 2)), secs(10)).unwrap();
    assembler.accept("a", span(1, 1, 0, (0, 3)), secs(11)).unwrap();
    assert_eq!(assembler.next_deadline(), Some(secs(13)));
    assert!(assembler.take_ready(secs(12)).is_empty());
    // A clock that goes backwards hands out nothing and breaks nothing.
    assert!(assembler.take_ready(secs(1)).is_empty());
    let ready = assembler.take_ready(secs(13));
    assert_eq!(ready.len(), 1);
    assert_eq!(ready[0].spans().len(), 2);
    assert_eq!(ready[0].spans()[1].parent, Some(0));
    assert!(assembler.take_ready(secs(99)).is_empty());
    assert_balanced(&assembler, 2);
}

#[test]
fn a_trace_that_never_rests_is_handed_out_at_its_greatest_age() {
    let config = AssemblerConfig::new().quiet(Duration::from_secs(2)).max_age(Duration::from_secs(5));
    let mut assembler = config.build().unwrap();
    for second in 0..5 {
        assembler.accept("a", span(1, 1 + second, 0, (0, 1)), secs(second.into())).unwrap();
    }
    assert!(assembler.take_ready(secs(4)).is_empty());
    assert_eq!(assembler.take_ready(secs(5)).len(), 1);
}

#[test]
fn copies_count_once_even_after_the_trace_is_gone() {
    let mut assembler = Assembler::default();
    let copy = span(1, 1, 0, (0, 1));
    assembler.accept("a", copy.clone(), secs(1)).unwrap();
    assert_eq!(assembler.accept("a", copy.clone(), secs(1)), Err(Refused::Duplicate));
    assert_eq!(assembler.take_all().len(), 1);
    assert_eq!(assembler.accept("a", copy.clone(), secs(2)), Err(Refused::Duplicate));
    assert!(assembler.take_all().is_empty());
    assert_eq!(assembler.stats().duplicate, 2);
    assert_balanced(&assembler, 3);

    // Without a memory of what was handed out, the copy would count again.
    let mut forgetful = AssemblerConfig::new().max_remembered_spans(0).build().unwrap();
    forgetful.accept("a", copy.clone(), secs(1)).unwrap();
    assert_eq!(forgetful.take_all().len(), 1);
    assert_eq!(forgetful.accept("a", copy, secs(2)), Ok(()));
}

#[test]
fn a_late_span_makes_a_fragment() {
    let mut assembler = Assembler::default();
    assembler.accept("a", span(1, 1, 0, (0, 9)), secs(1)).unwrap();
    let first = assembler.take_all();
    assert!(!first[0].is_fragment());
    assembler.accept("b", span(1, 2, 1, (2, 3)), secs(5)).unwrap();
    let second = assembler.take_all();
    assert!(second[0].is_fragment());
    assert_eq!((second[0].orphans(), assembler.stats().late), (1, 1));
    assert_balanced(&assembler, 2);
}

#[test]
fn zero_identifiers_are_refused_by_name_and_counted() {
    let mut assembler = Assembler::default();
    assert_eq!(assembler.accept("a", span(0, 1, 0, (0, 1)), secs(1)), Err(Refused::ZeroTraceId));
    assert_eq!(assembler.accept("a", span(1, 0, 0, (0, 1)), secs(1)), Err(Refused::ZeroSpanId));
    let stats = assembler.stats();
    assert_eq!((stats.zero_trace_id, stats.zero_span_id, stats.accepted), (1, 1, 0));
    assert_balanced(&assembler, 2);
}

#[test]
fn rings_of_parents_are_cut_at_the_earliest_span() {
    let spans = [
        span(1, 1, 3, (0, 10)),
        span(1, 2, 1, (1, 9)),
        span(1, 3, 2, (2, 8)),
        span(1, 4, 4, (3, 4)),
        span(1, 5, 2, (5, 6)),
    ];
    let trace = Trace::new(trace_id(1), spans.map(|span| (Arc::from("a"), span)));
    let parents: Vec<_> = trace.spans().iter().map(|entry| entry.parent).collect();
    assert_eq!(parents, [None, Some(0), Some(1), None, Some(1)]);
    assert_eq!((trace.cycles(), trace.roots().count()), (2, 2));
    assert_eq!(millis(&trace, 0), 2);
}

#[test]
fn a_clock_that_goes_backwards_gives_empty_spans_not_negative_ones() {
    let mut assembler = Assembler::default();
    assembler.accept("a", span(1, 1, 0, (50, 10)), secs(1)).unwrap();
    assembler.accept("a", span(1, 2, 1, (5, 60)), secs(1)).unwrap();
    let traces = assembler.take_all();
    assert!(traces[0].spans().iter().all(|entry| entry.self_time <= Duration::from_millis(55)));
    assert_eq!(traces[0].spans()[1].self_time, Duration::ZERO);
    assert_eq!(assembler.stats().clock_backwards, 1);
}

#[test]
fn bounds_evict_the_longest_waiting_and_count_it() {
    let configs = [
        (AssemblerConfig::new().max_traces(2), 3),
        (AssemblerConfig::new().max_spans(2), 3),
        (AssemblerConfig::new().max_bytes(2 * size_of::<Span>() + 10), 3),
    ];
    for (config, count) in configs {
        let mut assembler = config.clone().build().unwrap();
        for id in 1..=count {
            assembler.accept("a", span(id, 1, 0, (0, 1)), secs(id.into())).unwrap();
            assert_balanced(&assembler, id.into());
        }
        let left: Vec<TraceId> = assembler.take_all().iter().map(Trace::trace_id).collect();
        assert_eq!(left, [trace_id(2), trace_id(3)], "{config:?}");
        assert_eq!((assembler.stats().evicted_traces, assembler.stats().evicted_spans), (1, 1));
        assert_eq!(assembler.stats().held_bytes, 0);
    }
    // With room for three nothing is lost, so the bounds above are what took it.
    let mut roomy = AssemblerConfig::new().max_traces(3).build().unwrap();
    (1..=3).for_each(|id| roomy.accept("a", span(id, 1, 0, (0, 1)), secs(1)).unwrap());
    assert_eq!(roomy.take_all().len(), 3);
}

#[test]
fn one_trace_cannot_take_all_the_room() {
    let mut assembler = AssemblerConfig::new().max_trace_spans(2).build().unwrap();
    assembler.accept("a", span(1, 1, 0, (0, 1)), secs(1)).unwrap();
    assembler.accept("a", span(1, 2, 0, (0, 1)), secs(1)).unwrap();
    let refused = assembler.accept("a", span(1, 3, 0, (0, 1)), secs(1));
    assert_eq!(refused, Err(Refused::TraceFull { limit: 2 }));

    let mut nested = AnyValue::from("x".repeat(500));
    for _ in 0..100_000 {
        nested = AnyValue::Array(vec![nested]);
    }
    let mut huge = span(2, 1, 0, (0, 1));
    huge.attributes.push(KeyValue::new("nested", AnyValue::Empty));
    let mut small = AssemblerConfig::new().max_bytes(4_000).build().unwrap();
    huge.attributes.push(KeyValue::new("text", "x".repeat(5_000)));
    assert!(matches!(small.accept("a", huge, secs(1)), Err(Refused::TooLarge { limit: 4_000, .. })));
    assert_balanced(&small, 1);
    // Dropping a value nested this deep would itself recurse; readers bound the depth, see `Limits`.
    std::mem::forget(nested);
}

#[test]
fn bounds_of_zero_are_refused() {
    assert_eq!(AssemblerConfig::new().max_spans(0).build().unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(AssemblerConfig::new().max_age(Duration::ZERO).build().unwrap_err().kind(), ErrorKind::Config);
}

/// Random spans of a few traces: parents missing, in rings, clocks backwards, copies.
fn spans() -> impl Strategy<Value = Vec<Span>> {
    let one = (0..4_u8, 0..12_u8, 0..12_u8, 0..100_u64, 0..100_u64)
        .prop_map(|(trace, id, parent, start, end)| span(trace, id, parent, (start, end)));
    proptest::collection::vec(one, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_order_of_arrival_does_not_matter(spans in spans(), seed in any::<u64>()) {
        // One span an identifier: which of two copies that differ is kept does depend on the order.
        let mut unique = spans;
        unique.sort_by_key(|span| (span.trace_id, span.span_id));
        unique.dedup_by_key(|span| (span.trace_id, span.span_id));
        let mut shuffled = unique.clone();
        shuffled.sort_by_key(|span| {
            let mix = u64::from(span.span_id.as_bytes()[0]) << 8 | u64::from(span.trace_id.as_bytes()[0]);
            mix.wrapping_add(1).wrapping_mul(seed | 1)
        });
        let collect = |spans: Vec<Span>| {
            let mut assembler = Assembler::default();
            for span in spans {
                let _ = assembler.accept("a", span, secs(1));
            }
            assembler.take_all()
        };
        prop_assert_eq!(collect(unique), collect(shuffled));
    }

    #[test]
    fn hostile_spans_always_make_a_forest(spans in spans(), quiet in 0..5_u64, bound in 1..30_usize) {
        let config = AssemblerConfig::new().quiet(Duration::from_secs(quiet)).max_spans(bound);
        let mut assembler = config.max_remembered_spans(bound).build().unwrap();
        let mut traces = Vec::new();
        for (tick, span) in (0..).zip(&spans) {
            let _ = assembler.accept("a", span.clone(), secs(tick));
            assert_balanced(&assembler, tick + 1);
            prop_assert!(assembler.stats().held_spans <= bound as u64);
            traces.extend(assembler.take_ready(secs(tick)));
        }
        traces.extend(assembler.take_all());
        for trace in &traces {
            for (place, entry) in trace.spans().iter().enumerate() {
                let mut steps = 0;
                let mut at = Some(place);
                while let Some(here) = at {
                    at = trace.spans()[here].parent;
                    steps += 1;
                    prop_assert!(steps <= trace.spans().len(), "a ring is left");
                }
                prop_assert!(entry.self_time <= entry.span.duration());
            }
            prop_assert!(trace.requests().iter().all(|request| request.self_time <= request.latency));
        }
    }
}
