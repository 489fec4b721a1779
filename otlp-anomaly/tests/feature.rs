//! Spans to feature rows.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that is wrong should stop")]

mod chance;

use std::sync::Arc;
use std::time::Duration;

use chance::Chance;
use otlp_anomaly::ErrorKind;
use otlp_anomaly::feature::{FeatureConfig, FeatureRow, Features, Skipped};
use otlp_core::assemble::Trace;
use otlp_core::finding::Subject;
use otlp_core::record::{KeyValue, Span, SpanKind, StatusCode};
use otlp_core::{SpanId, TraceId, UnixNanos, semconv};
use proptest::prelude::*;

const BASE: u64 = 1_000_000;

fn config() -> FeatureConfig {
    FeatureConfig::new().window(Duration::from_secs(1)).lateness(Duration::from_millis(500))
}

fn features() -> Features {
    config().build().unwrap()
}

/// A span that ends so many milliseconds after the beginning of the test's time, and took ten.
fn span(end_millis: u64) -> Span {
    let end = UnixNanos::from_millis(BASE + end_millis);
    Span {
        kind: SpanKind::Server,
        start: end.saturating_sub(Duration::from_millis(10)),
        end,
        ..Span::default()
    }
}

fn name(row: &FeatureRow) -> String {
    row.subject.to_string()
}

fn observe_all(features: &mut Features, spans: &[(&'static str, Span)]) {
    for (service, span) in spans {
        features.observe(service, span).unwrap();
    }
}

#[test]
fn windows_close_when_the_watermark_passes() {
    let mut features = features();
    observe_all(&mut features, &[("db", span(100)), ("db", span(900)), ("db", span(1_400))]);
    assert!(features.take_closed().is_empty());
    // Late, but not too late.
    observe_all(&mut features, &[("db", span(950)), ("db", span(1_500))]);
    let rows = features.take_closed();
    assert_eq!((rows.len(), rows[0].requests, rows[0].is_partial), (1, 3, true));
    assert_eq!(features.observe("db", &span(999)), Err(Skipped::Late));
    assert_eq!((features.stats().late, features.stats().observed), (1, 5));
    features.advance(UnixNanos::from_millis(BASE + 2_500));
    let rows = features.take_closed();
    assert_eq!((rows.len(), rows[0].requests, rows[0].is_partial), (1, 2, false));
    assert_eq!(rows[0].start, UnixNanos::from_millis(BASE + 1_000));
}

#[test]
fn a_row_says_rate_errors_and_quantiles() {
    let mut features = features();
    for place in 0..100 {
        let mut span = span(1_000 + place);
        span.start = span.end.saturating_sub(Duration::from_millis(1 + place));
        if place % 4 == 0 {
            span.status.code = StatusCode::Error;
        }
        features.observe("db", &span).unwrap();
    }
    let row = &features.flush()[0];
    assert_eq!((row.rate_per_sec(), row.error_rate()), (100.0, Some(0.25)));
    let millis = [0.5, 0.95, 0.99].map(|q| row.latency_secs(q).unwrap() * 1e3);
    for (met, exact) in millis.into_iter().zip([50.0, 95.0, 99.0]) {
        assert!((met - exact).abs() <= 0.0101 * exact, "{met} for {exact}");
    }
    assert_eq!(row.mean_self_time_secs, None);
}

#[test]
fn silence_of_one_service_is_zero_and_silence_of_all_is_a_gap() {
    let mut features = features();
    observe_all(&mut features, &[("db", span(100)), ("web", span(200)), ("web", span(1_500))]);
    features.advance(UnixNanos::from_millis(BASE + 3_600));
    let rows = features.take_closed();
    let told: Vec<_> = rows.iter().map(|row| (name(row), row.requests, row.is_gap())).collect();
    let row = |name: &str, requests, is_gap| (name.to_owned(), requests, is_gap);
    assert_eq!(told[..2], [row("db", 1, false), row("web", 1, false)]);
    assert_eq!(told[2..4], [row("db", 0, false), row("web", 1, false)]);
    assert_eq!(told[4..], [row("db", 0, true), row("web", 0, true)]);
    // No requests, no error rate: not one of zero.
    assert_eq!((rows[2].error_rate(), rows[2].latency_secs(0.5), rows[2].rate_per_sec()), (None, None, 0.0));
    assert_eq!(rows[3].error_rate(), Some(0.0));
}

#[test]
fn only_requests_count() {
    let mut features = features();
    let kind = |kind, has_parent: bool| Span {
        kind,
        parent_span_id: SpanId::new([u8::from(has_parent); 8]),
        ..span(100)
    };
    let parts = [kind(SpanKind::Client, true), kind(SpanKind::Client, false), kind(SpanKind::Internal, true)];
    for part in parts {
        assert_eq!(features.observe("db", &part), Err(Skipped::NotARequest));
    }
    for request in
        [kind(SpanKind::Server, true), kind(SpanKind::Consumer, true), kind(SpanKind::Internal, false)]
    {
        features.observe("db", &request).unwrap();
    }
    assert_eq!((features.stats().not_requests, features.stats().observed), (3, 3));
}

#[test]
fn pairs_have_rows_where_asked_for() {
    let with_peer = |millis| {
        let mut span = span(millis);
        span.attributes.push(KeyValue::new(semconv::SERVICE_PEER_NAME, "web"));
        span
    };
    let mut features = config().max_edges(1).build().unwrap();
    observe_all(&mut features, &[("db", with_peer(100)), ("cache", with_peer(200)), ("web", span(300))]);
    let rows = features.flush();
    let edge = Subject::Edge { caller: "web".into(), callee: "db".into() };
    assert_eq!(rows.iter().map(name).collect::<Vec<_>>(), ["cache", "db", "web", "web -> db"]);
    assert_eq!((&rows[3].subject, rows[3].requests, rows[3].requests_of_all), (&edge, 1, 3));
    assert_eq!(features.stats().dropped_edges, 1);
}

#[test]
fn traces_give_self_time_and_callers() {
    let trace_id = TraceId::new([1; 16]);
    let part = |id: u8, parent: u8, start: u64, end: u64| Span {
        trace_id,
        span_id: SpanId::new([id; 8]),
        parent_span_id: SpanId::new([parent; 8]),
        kind: SpanKind::Server,
        start: UnixNanos::from_millis(BASE + start),
        end: UnixNanos::from_millis(BASE + end),
        ..Span::default()
    };
    let spans: [(Arc<str>, Span); 2] =
        [("web".into(), part(1, 0, 0, 100)), ("db".into(), part(2, 1, 20, 80))];
    let mut features = config().max_edges(10).build().unwrap();
    features.observe_trace(&Trace::new(trace_id, spans));
    let rows = features.flush();
    assert_eq!(rows.iter().map(name).collect::<Vec<_>>(), ["db", "web", "web -> db"]);
    assert_eq!(
        rows.iter().map(|row| row.mean_self_time_secs).collect::<Vec<_>>(),
        [Some(0.06), Some(0.04), Some(0.06)]
    );
}

#[test]
fn odd_times_are_refused_by_name_and_counted() {
    let mut features = features();
    assert_eq!(features.observe("db", &Span { end: UnixNanos::ZERO, ..span(0) }), Err(Skipped::Untimed));
    features.observe("db", &span(100)).unwrap();
    // A clock in the far future must not close all windows of everybody else.
    assert_eq!(features.observe("db", &span(3_600_000)), Err(Skipped::Ahead));
    features.observe("db", &span(200)).unwrap();
    // A clock that goes backwards within the lateness does no harm; a span that ends before it starts took no time.
    let mut backwards = span(150);
    backwards.start = backwards.end + Duration::from_secs(1);
    features.observe("db", &backwards).unwrap();
    let stats = features.stats();
    assert_eq!((stats.untimed, stats.ahead, stats.observed), (1, 1, 3));
    assert_eq!(features.flush()[0].latency.min(), Some(0.0));
}

#[test]
fn services_are_bounded_and_idle_ones_forgotten() {
    let mut features = config().max_services(2).forget_after(3).build().unwrap();
    observe_all(&mut features, &[("a", span(100)), ("b", span(200))]);
    assert_eq!(features.observe("c", &span(300)), Err(Skipped::Full));
    assert_eq!(features.stats().full, 1);
    for second in 1..8 {
        features.observe("a", &span(second * 1_000 + 100)).unwrap();
    }
    assert_eq!(features.stats().forgotten, 1);
    features.observe("c", &span(7_200)).unwrap();
    let last: Vec<String> = features.flush().iter().rev().take(2).map(name).collect();
    assert_eq!(last, ["c", "a"]);
}

#[test]
fn operations_have_rows_where_asked_for_and_are_bounded() {
    let named = |end: u64, name: &str| Span { name: name.into(), ..span(end) };
    let spans = [
        ("shop", named(100, "GET /cart")),
        ("shop", named(200, "GET /cart")),
        ("shop", named(300, "POST /order")),
        ("db", named(400, "SELECT")),
        ("shop", named(500, "")),
    ];
    let mut features = config().max_operations(2).forget_after(3).build().unwrap();
    observe_all(&mut features, &spans);
    // Without an operation and with one too many, a request counts for its service all the same.
    assert_eq!((features.stats().dropped_operations, features.stats().observed), (1, 5));
    for second in 1..8 {
        features.observe("shop", &named(second * 1_000 + 100, "POST /order")).unwrap();
    }
    let rows = features.take_closed();
    let first: Vec<_> = rows.iter().take(4).map(|row| (name(row), row.requests)).collect();
    let cart = Subject::Operation { service: "shop".into(), operation: "GET /cart".into() };
    let order = Subject::Operation { service: "shop".into(), operation: "POST /order".into() };
    let wanted =
        [("db".to_owned(), 1), ("shop".to_owned(), 4), (cart.to_string(), 2), (order.to_string(), 1)];
    assert_eq!(first, wanted);
    // What is silent makes room, for the operation that there was none for.
    assert_eq!(features.stats().forgotten, 2);
    features.observe("db", &named(8_200, "SELECT")).unwrap();
    let last: Vec<String> = features.flush().iter().rev().take(2).map(name).collect();
    assert_eq!(
        last,
        [
            order.to_string(),
            Subject::Operation { service: "db".into(), operation: "SELECT".into() }.to_string()
        ]
    );
    // The default makes none.
    let mut plain = config().build().unwrap();
    observe_all(&mut plain, &spans);
    assert!(plain.flush().iter().all(|row| matches!(row.subject, Subject::Service(_))));
}

#[test]
fn a_long_gap_is_cut_short_and_counted() {
    let mut features = config().max_empty(10).max_ahead(Duration::from_secs(9_000)).build().unwrap();
    features.observe("a", &span(100)).unwrap();
    features.observe("a", &span(5_000_100)).unwrap();
    features.advance(UnixNanos::from_millis(BASE + 5_002_000));
    let rows = features.take_closed();
    let stats = features.stats();
    assert!(rows.len() <= 14, "{}", rows.len());
    assert!(stats.skipped_windows > 4_900, "{stats:?}");
    assert_eq!(rows.iter().filter(|row| row.requests == 1).count(), 2);
}

#[test]
fn windows_that_cannot_work_are_refused() {
    for config in [
        FeatureConfig::new().window(Duration::ZERO),
        FeatureConfig::new().window(Duration::from_secs(8 * 86_400)),
        FeatureConfig::new().window(Duration::from_millis(1)).lateness(Duration::from_secs(1_000)),
    ] {
        assert_eq!(config.build().unwrap_err().kind(), ErrorKind::Config);
    }
}

/// Rows of spans observed in this order.
fn rows_of(spans: &[(&'static str, Span)]) -> Vec<FeatureRow> {
    let mut features = config().max_edges(10).build().unwrap();
    observe_all(&mut features, spans);
    features.flush()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_within_the_lateness_does_not_matter(
        ends in proptest::collection::vec(0..5_000_u64, 1..200),
        seed in any::<u64>(),
    ) {
        let mut sorted = ends;
        sorted.sort_unstable();
        let spans: Vec<_> = (0..).zip(&sorted).map(|(place, &end)| {
            (["web", "db", "cache"][place % 3], span(end))
        }).collect();
        // No span moves behind one that ends more than the lateness after it.
        let mut chance = Chance::new(seed);
        let mut shuffled: Vec<_> = spans.iter().map(|entry| {
            (entry.1.end.0 + chance.below(500_000_000), entry.clone())
        }).collect();
        shuffled.sort_by_key(|(arrival, _)| *arrival);
        let shuffled: Vec<_> = shuffled.into_iter().map(|(_, entry)| entry).collect();
        let (mut met, mut expected) = (rows_of(&shuffled), rows_of(&spans));
        // Which windows were due when the stream stopped depends on the last span alone; what is in them does not.
        met.iter_mut().chain(&mut expected).for_each(|row| row.is_partial = false);
        prop_assert_eq!(met, expected);
    }

    #[test]
    fn every_span_is_in_exactly_one_counter(
        spans in proptest::collection::vec((0..30_000_u64, 0..4_usize, 0..6_i32), 0..200),
    ) {
        let mut features = config().max_services(2).max_ahead(Duration::from_secs(5)).build().unwrap();
        for (end, service, kind) in &spans {
            let span = Span { kind: SpanKind::from_wire(*kind), ..span(*end) };
            let _ = features.observe(["a", "b", "c", "d"][*service], &span);
        }
        let stats = features.stats();
        let skipped = stats.not_requests + stats.untimed + stats.late + stats.ahead + stats.full;
        prop_assert_eq!(stats.observed + skipped, spans.len() as u64);
        let rows: u64 = features.flush().iter().map(|row| row.requests).sum();
        prop_assert_eq!(rows, stats.observed);
    }
}
