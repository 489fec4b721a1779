//! Rows of short windows put together to longer ones.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a test that is wrong should stop"
)]

mod chance;

use std::time::Duration;

use chance::Chance;
use otlp_anomaly::ErrorKind;
use otlp_anomaly::detect::{Metric, Signal, WatchConfig};
use otlp_anomaly::feature::{
    FeatureConfig, FeatureRow, MetricFeatureConfig, MetricRow, Rollup, RollupConfig, csv,
};
use otlp_core::encode::Encode as _;
use otlp_core::finding::Subject;
use otlp_core::record::{
    Gauge, MetricData, MetricsRequest, NumberPoint, NumberValue, Resource, ResourceMetrics, ScopeMetrics,
    Span, SpanKind, StatusCode,
};
use otlp_core::view::MetricsView;
use otlp_core::{Limits, UnixNanos};
use proptest::prelude::*;

/// An even hour.
const BASE: u64 = 1_000_000 * 3_600;

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

fn rollup() -> Rollup<FeatureRow> {
    RollupConfig::new().build().unwrap()
}

/// A request of a second's fraction that ends so many seconds after the base.
fn request(secs: f64, took: Duration, is_error: bool, name: &str) -> Span {
    let end = UnixNanos(BASE * 1_000_000_000) + Duration::from_secs_f64(secs);
    let mut span = Span {
        kind: SpanKind::Server,
        start: end.saturating_sub(took),
        end,
        name: name.into(),
        ..Span::default()
    };
    if is_error {
        span.status.code = StatusCode::Error;
    }
    span
}

/// Rows of windows of so long, of requests at these times.
fn rows(window: Duration, spans: &[(&'static str, Span)], until: f64) -> Vec<FeatureRow> {
    let config =
        FeatureConfig::new().window(window).lateness(Duration::ZERO).max_operations(50).max_edges(50);
    let mut features = config.build().unwrap();
    // The first window of all holds a request of everybody, so that what comes after is whole.
    for (service, span) in spans {
        features.observe(service, span).unwrap();
    }
    features.advance(UnixNanos(BASE * 1_000_000_000) + Duration::from_secs_f64(until));
    features.take_closed()
}

fn key(row: &FeatureRow) -> (u64, String) {
    (row.start.0, row.subject.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// The rows of five minutes are those that windows of five minutes would have made, however requests fall.
    #[test]
    fn long_windows_are_what_windows_of_that_length_would_have_been(seed in any::<u64>(), rate in 0.01..0.3_f64) {
        let mut chance = Chance::new(seed);
        let (mut spans, mut at) = (Vec::new(), 0.5);
        while at < 3_600.0 {
            let service = ["web", "db"][usize::from(chance.chance(0.3))];
            let took = Duration::from_secs_f64(0.01 * chance.exponential());
            spans.push((service, request(at, took, chance.chance(0.1), ["a", "b"][usize::from(chance.chance(0.5))])));
            at += chance.exponential() / rate;
        }
        let mut rollup = RollupConfig::new().windows([minutes(5)]).build::<FeatureRow>().unwrap();
        rows(minutes(1), &spans, 3_600.0).iter().for_each(|row| rollup.observe(row));
        let mut put_together = rollup.flush();
        let mut direct = rows(minutes(5), &spans, 3_600.0);
        put_together.sort_by_key(key);
        direct.sort_by_key(key);
        prop_assert_eq!(put_together.iter().map(key).collect::<Vec<_>>(), direct.iter().map(key).collect::<Vec<_>>());
        for (one, two) in put_together.iter().zip(&direct) {
            prop_assert_eq!((one.requests, one.errors, one.window), (two.requests, two.errors, two.window));
            prop_assert_eq!(&one.latency, &two.latency);
            // Requests of all are those of the minutes that the subject was known in.
            prop_assert!(one.is_partial || one.requests_of_all == two.requests_of_all);
            // What came before the subject was known, or was not heard, makes the long one partial.
            prop_assert!(one.is_partial || !two.is_partial, "{:?} {:?}", one, two);
        }
    }
}

/// Some requests each minute for so many minutes, failing with a chance from minute 120 on.
fn two_hours(errors: f64, silent: impl Fn(u64) -> bool) -> Vec<FeatureRow> {
    let mut chance = Chance::new(7);
    let mut spans = Vec::new();
    for minute in (0..240_u64).filter(|minute| !silent(*minute)) {
        for nth in 0..20 {
            let share = if minute >= 120 { errors } else { 0.02 };
            let at = minute as f64 * 60.0 + f64::from(nth) * 3.0 + 0.5;
            spans.push(("shop", request(at, Duration::from_millis(8), chance.chance(share), "checkout")));
        }
    }
    rows(minutes(1), &spans, 240.0 * 60.0)
}

#[test]
fn every_length_has_its_rows_and_whole_ones_are_no_parts() {
    let mut rollup = rollup();
    two_hours(0.02, |_| false).iter().for_each(|row| rollup.observe(row));
    let rows = rollup.take_closed();
    let shop = Subject::Service("shop".into());
    for (length, count) in [(5, 48), (15, 16), (60, 4)] {
        let of: Vec<_> =
            rows.iter().filter(|row| row.window == minutes(length) && row.subject == shop).collect();
        assert_eq!(of.len(), count);
        assert!(of.iter().all(|row| row.requests == 20 * length && row.start.0 % 60_000_000_000 == 0));
        // Only the first holds the minute in which the service was first heard of.
        assert_eq!(of.iter().filter(|row| row.is_partial).count(), 1);
    }
    let operations = rows.iter().filter(|row| row.subject.to_string().contains("checkout")).count();
    assert_eq!(operations, 48 + 16 + 4);
    assert!(csv(&rows, |_| "").lines().count() == rows.len() + 1);
}

#[test]
fn minutes_in_which_nothing_was_heard_make_a_long_window_partial_and_all_of_them_a_gap() {
    let mut rollup = RollupConfig::new().windows([minutes(5)]).build::<FeatureRow>().unwrap();
    two_hours(0.02, |minute| minute == 102 || (150..155).contains(&minute))
        .iter()
        .for_each(|row| rollup.observe(row));
    let rows = rollup.take_closed();
    let at = |minute: u64| {
        let start = UnixNanos((BASE + minute * 60) * 1_000_000_000);
        rows.iter().find(|row| row.start == start).map(|row| (row.requests, row.is_partial, row.is_gap()))
    };
    assert_eq!(at(95), Some((100, false, false)));
    assert_eq!(at(100), Some((80, true, false)));
    assert_eq!(at(150), Some((0, false, true)));
}

#[test]
fn a_slow_burn_that_no_minute_shows_is_seen_in_a_quarter_of_an_hour() {
    // From two to twelve errors in a hundred: of twenty requests a minute that may be chance.
    let rows = two_hours(0.12, |_| false);
    let alarms = |rows: &[FeatureRow]| {
        let (mut watch, mut signals) = (WatchConfig::new().build().unwrap(), Vec::new());
        let of_shop = |row: &&FeatureRow| row.subject == Subject::Service("shop".into());
        rows.iter().filter(of_shop).for_each(|row| watch.observe(row, &mut signals));
        signals
            .into_iter()
            .filter(|signal| matches!(signal, Signal::Raised(alarm) if alarm.metric == Metric::ErrorRate))
            .count()
    };
    let mut rollup = RollupConfig::new().windows([minutes(15)]).build::<FeatureRow>().unwrap();
    rows.iter().for_each(|row| rollup.observe(row));
    assert_eq!((alarms(&rows), alarms(&rollup.take_closed())), (0, 1));
}

#[test]
fn rows_out_of_order_of_another_length_and_of_too_many_are_counted_and_silent_ones_forgotten() {
    let all = two_hours(0.02, |_| false);
    let one = |service: &str, minute: usize| {
        let row =
            all.iter().filter(|row| row.subject == Subject::Service("shop".into())).nth(minute).unwrap();
        FeatureRow { subject: Subject::Service(service.into()), ..row.clone() }
    };
    let mut rollup = RollupConfig::new().max_subjects(2).build::<FeatureRow>().unwrap();
    for row in [one("a", 5), one("a", 5), one("a", 4), one("b", 5), one("c", 5)] {
        rollup.observe(&row);
    }
    rollup.observe(&FeatureRow { window: minutes(2), ..one("a", 6) });
    let stats = rollup.stats();
    assert_eq!((stats.rows, stats.late, stats.full, stats.unfit), (2, 2, 1, 1));
    // After two turns of the longest window there is room again.
    for minute in [65, 125, 185] {
        rollup.observe(&one("a", minute));
    }
    assert_eq!(rollup.stats().forgotten, 1);
    rollup.observe(&one("c", 190));
    assert_eq!(rollup.stats().full, 1);
    let b: Vec<_> = rollup.take_closed().into_iter().filter(|row| row.subject.to_string() == "b").collect();
    assert_eq!(b.len(), 3, "what stood open was not lost");
    assert!(b.iter().all(|row| row.is_partial && row.requests == 20));
}

#[test]
fn values_of_metrics_are_put_together_and_what_grew_adds_up() {
    let point = |minute: u64, value: f64| NumberPoint {
        time: UnixNanos((BASE + minute * 60 + 1) * 1_000_000_000),
        value: Some(NumberValue::Double(value)),
        ..NumberPoint::default()
    };
    // Reported every five minutes: the minutes between are gaps, and no parts that are missing.
    let points = (0..13)
        .map(|nth| point(5 * nth, if nth % 3 == 2 { 9.0 } else { 2.0 + 2.0 * (nth % 3) as f64 }))
        .collect();
    let data = Some(MetricData::Gauge(Gauge { points }));
    let metrics = vec![otlp_core::record::Metric {
        name: "queue".into(),
        data,
        ..otlp_core::record::Metric::default()
    }];
    let scopes = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let resources =
        vec![ResourceMetrics { resource: Resource::service("shop"), scopes, ..ResourceMetrics::default() }];
    let bytes = MetricsRequest { resources }.encode_to_bytes();
    let mut features = MetricFeatureConfig::new().max_ahead(minutes(600)).build().unwrap();
    features.observe_request(&MetricsView::parse(&bytes, &Limits::default()).unwrap());
    let mut rollup = RollupConfig::new().windows([minutes(15), minutes(60)]).build::<MetricRow>().unwrap();
    features.flush().iter().for_each(|row| rollup.observe(row));
    let rows = rollup.flush();
    let quarters: Vec<_> = rows.iter().filter(|row| row.window == minutes(15)).collect();
    let level = quarters[1].level.unwrap();
    assert_eq!((quarters[1].points, level.min, level.max, quarters[1].is_partial), (3, 2.0, 9.0, false));
    assert!((level.mean - 5.0).abs() < 1e-12);
    assert!(quarters[0].is_partial, "it holds the first minute");
    let hour = rows.iter().find(|row| row.window == minutes(60)).unwrap();
    assert_eq!((hour.points, hour.value().map(|value| (value * 1e9).round())), (12, Some(5e9)));
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    for config in [
        RollupConfig::new().windows([]),
        RollupConfig::new().windows([minutes(1)]),
        RollupConfig::new().windows([Duration::from_secs(90)]),
        RollupConfig::new().windows([minutes(20_000)]),
        RollupConfig::new().windows((2..12).map(minutes)),
        RollupConfig::new().base(Duration::ZERO),
    ] {
        assert_eq!(config.build::<FeatureRow>().unwrap_err().kind(), ErrorKind::Config);
    }
}
