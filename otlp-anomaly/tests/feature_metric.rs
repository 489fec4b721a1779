//! Metric points, as they come over the wire, to rows.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::float_cmp,
    reason = "a test that is wrong should stop"
)]

use std::time::Duration;

use otlp_anomaly::detect::{Kind, Metric as Watched, Signal, Watch, WatchConfig};
use otlp_anomaly::feature::{MetricFeatureConfig, MetricFeatures, MetricRow, csv};
use otlp_core::encode::Encode as _;
use otlp_core::finding::Subject;
use otlp_core::record::{
    Buckets, ExponentialHistogram, ExponentialHistogramPoint, Gauge, Histogram, HistogramPoint, KeyValue,
    Metric, MetricData, MetricsRequest, NumberPoint, NumberValue, Resource, ResourceMetrics, ScopeMetrics,
    Sum, Summary, SummaryPoint, Temporality,
};
use otlp_core::view::MetricsView;
use otlp_core::{Limits, UnixNanos};
use proptest::prelude::*;

fn secs(secs: u64) -> UnixNanos {
    UnixNanos::from_secs(secs)
}

fn features() -> MetricFeatures {
    config().build().unwrap()
}

/// Windows of ten seconds, in which nothing may be late.
fn config() -> MetricFeatureConfig {
    MetricFeatureConfig::new().window(Duration::from_secs(10)).lateness(Duration::ZERO)
}

/// Sends metrics through the wire.
fn send(features: &mut MetricFeatures, service: &str, metrics: Vec<(&str, MetricData)>) {
    let metrics = metrics
        .into_iter()
        .map(|(name, data)| Metric { name: name.into(), data: Some(data), ..Metric::default() })
        .collect();
    let request = MetricsRequest {
        resources: vec![ResourceMetrics {
            resource: Resource::service(service),
            scopes: vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }],
            ..ResourceMetrics::default()
        }],
    };
    let (bytes, limits) = (request.encode_to_bytes(), Limits::default());
    features.observe_request(&MetricsView::parse(&bytes, &limits).unwrap());
}

fn number(start: u64, time: u64, value: f64) -> NumberPoint {
    NumberPoint {
        start: secs(start),
        time: secs(time),
        value: Some(NumberValue::Double(value)),
        ..NumberPoint::default()
    }
}

fn sum(temporality: Temporality, points: Vec<NumberPoint>) -> MetricData {
    MetricData::Sum(Sum { points, temporality, is_monotonic: true })
}

fn gauge(points: Vec<NumberPoint>) -> MetricData {
    MetricData::Gauge(Gauge { points })
}

/// What each window says of the one number, oldest first.
fn values(rows: &[MetricRow]) -> Vec<Option<f64>> {
    rows.iter().map(MetricRow::value).collect()
}

#[test]
fn gauges_have_mean_and_range_and_a_window_without_points_is_a_gap_and_no_zero() {
    let mut features = features();
    let points = vec![number(0, 101, 4.0), number(0, 105, 0.0), number(0, 121, 0.0), number(0, 130, 1.0)];
    send(&mut features, "shop", vec![("cpu", gauge(points))]);
    let rows = features.take_closed();
    assert_eq!(values(&rows), [Some(2.0), None, Some(0.0)], "a gap, and a zero that was measured");
    assert_eq!(rows.iter().map(MetricRow::is_gap).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(rows[0].subject, Subject::Metric { service: "shop".into(), name: "cpu".into() });
    let level = rows[0].level.unwrap();
    assert_eq!((level.min, level.max, rows[0].growth), (0.0, 4.0, None));
    assert!(rows[0].is_partial && !rows[2].is_partial);
}

#[test]
fn cumulative_sums_give_what_they_grew_by_and_begin_anew_after_a_reset() {
    let mut features = features();
    // Growing by 50, by nothing, begun anew at 112 and at 7 since, fallen without a new start, and on.
    let points = [
        (1, 105, 100.0),
        (1, 115, 150.0),
        (1, 125, 150.0),
        (131, 135, 7.0),
        (131, 145, 3.0),
        (131, 155, 5.0),
    ];
    let points = points.map(|(start, time, value)| number(start, time, value)).to_vec();
    send(&mut features, "shop", vec![("orders", sum(Temporality::Cumulative, points))]);
    let rows = features.flush();
    assert_eq!(
        values(&rows[..]),
        [None, Some(5.0), Some(0.0), Some(0.7), Some(0.3), Some(0.2)],
        "the first is what the next are counted from"
    );
    assert_eq!(rows.iter().map(|row| row.resets).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 0]);
    let stats = features.stats();
    assert_eq!((stats.observed, stats.baselines, stats.resets), (5, 1, 2));
}

#[test]
fn a_stream_that_starts_in_the_window_of_its_first_point_counts_from_zero() {
    let mut features = features();
    send(&mut features, "shop", vec![("orders", sum(Temporality::Cumulative, vec![number(101, 108, 30.0)]))]);
    assert_eq!(values(&features.flush()), [Some(3.0)]);
    assert_eq!(features.stats().baselines, 0);
}

#[test]
fn streams_are_told_apart_by_attributes_in_any_order_and_put_together_in_a_row() {
    let mut features = features();
    let with = |mut point: NumberPoint, attributes: &[(&str, &str)]| {
        point.attributes = attributes.iter().map(|(key, value)| KeyValue::new(*key, *value)).collect();
        point
    };
    let (one, same, other) = (
        [("route", "/a"), ("code", "200")],
        [("code", "200"), ("route", "/a")],
        [("route", "/b"), ("code", "200")],
    );
    let points = vec![
        with(number(1, 101, 1_000.0), &one),
        with(number(1, 102, 10.0), &other),
        with(number(1, 111, 1_030.0), &same),
        with(number(1, 112, 20.0), &other),
    ];
    send(&mut features, "shop", vec![("orders", sum(Temporality::Cumulative, points))]);
    let rows = features.flush();
    assert_eq!(values(&rows), [None, Some(4.0)], "the first window holds nothing but what is counted from");
    assert!(rows[0].is_gap() && rows[0].is_partial);
    assert_eq!((rows[1].points, rows[1].resets), (2, 0));
}

#[test]
fn delta_sums_count_as_they_are_and_sums_that_fall_go_up_and_down() {
    let mut features = config().lateness(Duration::from_secs(30)).build().unwrap();
    let delta =
        sum(Temporality::Delta, vec![number(100, 105, 20.0), number(105, 108, 10.0), number(108, 118, 0.0)]);
    let queue = MetricData::Sum(Sum {
        points: vec![number(1, 105, 8.0), number(1, 115, 2.0)],
        temporality: Temporality::Cumulative,
        is_monotonic: false,
    });
    send(&mut features, "shop", vec![("sent", delta), ("queue", queue)]);
    let rows = features.flush();
    let of = |name: &str| -> Vec<Option<f64>> {
        let subject = Subject::Metric { service: "shop".into(), name: name.into() };
        rows.iter().filter(|row| row.subject == subject).map(MetricRow::value).collect()
    };
    assert_eq!((of("sent"), of("queue")), (vec![Some(3.0), Some(0.0)], vec![Some(8.0), Some(2.0)]));
}

fn histogram(start: u64, time: u64, counts: [u64; 4]) -> HistogramPoint {
    HistogramPoint {
        start: secs(start),
        time: secs(time),
        count: counts.iter().sum(),
        sum: Some(
            counts.iter().zip([0.05, 0.3, 0.75, 2.0]).map(|(count, value)| *count as f64 * value).sum(),
        ),
        bucket_counts: counts.to_vec(),
        explicit_bounds: vec![0.1, 0.5, 1.0],
        ..HistogramPoint::default()
    }
}

#[test]
fn histograms_of_both_temporalities_give_the_same_measurements() {
    let (first, more) = ([10, 0, 0, 0], [100, 50, 5, 1]);
    let total: [u64; 4] = std::array::from_fn(|place| first[place] + more[place]);
    let cumulative = vec![histogram(1, 105, first), histogram(1, 115, total)];
    let delta = vec![histogram(105, 115, more)];
    for (points, temporality) in [(cumulative, Temporality::Cumulative), (delta, Temporality::Delta)] {
        let mut features = features();
        send(&mut features, "shop", vec![("took", MetricData::Histogram(Histogram { points, temporality }))]);
        let rows = features.flush();
        let row = rows.last().unwrap();
        assert_eq!((row.growth, row.rate_per_sec()), (Some(156.0), Some(15.6)));
        assert!((row.measured_sum.unwrap() - (5.0 + 15.0 + 3.75 + 2.0)).abs() < 1e-9);
        assert_eq!(row.measured.count(), 156);
        let quantile = |q: f64| row.measured.quantile(q).unwrap();
        assert!((quantile(0.5) - 0.05).abs() < 0.002 && (quantile(0.9) - 0.3).abs() < 0.01, "{row:?}");
        assert!((quantile(1.0) - 1.0).abs() < 0.02, "the last bucket has no end: its bound");
    }
}

#[test]
fn exponential_histograms_are_followed_through_a_change_of_scale_and_a_reset() {
    let point = |start, time, scale, offset, counts: &[u64]| ExponentialHistogramPoint {
        start: secs(start),
        time: secs(time),
        scale,
        count: counts.iter().sum::<u64>() + 2,
        zero_count: 2,
        positive: Some(Buckets { offset, counts: counts.to_vec() }),
        ..ExponentialHistogramPoint::default()
    };
    let mut features = features();
    // At scale 1 the buckets 0 and 1 are bucket 0 of scale 0, from one to two.
    let points =
        vec![point(1, 105, 1, 0, &[3, 4]), point(1, 115, 0, 0, &[9, 8]), point(121, 125, 0, 1, &[5])];
    let data = ExponentialHistogram { points, temporality: Temporality::Cumulative };
    send(&mut features, "shop", vec![("took", MetricData::ExponentialHistogram(data))]);
    let rows = features.flush();
    assert_eq!(rows.iter().map(|row| row.growth).collect::<Vec<_>>(), [None, Some(10.0), Some(7.0)]);
    assert_eq!((rows[1].measured.count(), rows[2].measured.count()), (10, 7), "the second with its zeros");
    assert_eq!((rows[1].resets, rows[2].resets), (0, 1));
    assert!((rows[1].measured.quantile(0.0).unwrap() - 2.0_f64.sqrt()).abs() < 0.03);
}

#[test]
fn what_cannot_be_taken_is_counted_once() {
    let mut features =
        config().max_streams(3).max_ahead(Duration::from_secs(60)).max_buckets(4).build().unwrap();
    let none = NumberPoint { flags: 1, value: None, ..number(0, 103, 0.0) };
    let empty = NumberPoint { value: None, ..number(0, 103, 0.0) };
    let points = vec![
        number(0, 102, 1.0),
        number(0, 111, 2.0),
        number(0, 105, 3.0),
        number(0, 500, 3.0),
        number(0, 112, f64::NAN),
        number(0, 0, 1.0),
        none,
        empty,
    ];
    send(&mut features, "shop", vec![("cpu", gauge(points))]);
    let repeated = vec![number(1, 113, 5.0), number(1, 113, 5.0), number(1, 112, 4.0), number(1, 114, 6.0)];
    send(&mut features, "shop", vec![("orders", sum(Temporality::Cumulative, repeated))]);
    send(&mut features, "shop", vec![("vague", sum(Temporality::Unspecified, vec![number(1, 113, 5.0)]))]);
    let mut wide = histogram(1, 115, [1; 4]);
    (wide.bucket_counts, wide.explicit_bounds) = (vec![1; 5], vec![1.0, 2.0, 3.0, 4.0]);
    let mut astray = histogram(1, 115, [1; 4]);
    astray.explicit_bounds = vec![2.0, 1.0, 3.0];
    let points = vec![wide, astray, histogram(1, 115, [u64::MAX / 8; 4])];
    let data = Histogram { points, temporality: Temporality::Delta };
    send(&mut features, "shop", vec![("took", MetricData::Histogram(data))]);
    send(&mut features, "shop", vec![("one more", gauge(vec![number(0, 116, 1.0)]))]);
    send(&mut features, "shop", vec![("too many", gauge(vec![number(0, 116, 1.0), number(0, 117, 1.0)]))]);
    let summary = Summary { points: vec![SummaryPoint { time: secs(116), ..SummaryPoint::default() }] };
    send(&mut features, "shop", vec![("old", MetricData::Summary(summary))]);
    let stats = features.stats();
    assert_eq!((stats.observed, stats.baselines), (4, 1), "{stats:?}");
    assert_eq!((stats.late, stats.ahead, stats.repeated, stats.not_recorded), (1, 1, 2, 1), "{stats:?}");
    assert_eq!((stats.unusable, stats.full, stats.summaries), (7, 2, 1), "{stats:?}");
}

/// The rows of a gauge that stays and one that rises to `to` from the thirtieth window on, with a gap before.
fn rows_rising_to(to: f64) -> Vec<MetricRow> {
    let mut features = features();
    for window in (0..60).filter(|window| !(20..25).contains(window)) {
        let point = |to: f64| {
            let value = if window < 30 { 0.2 } else { to } + 0.001 * (window * 7 % 5) as f64;
            gauge(vec![number(0, 10 * window + 1, value)])
        };
        let metrics = vec![("system.cpu.utilization", point(to)), ("system.memory.utilization", point(0.2))];
        send(&mut features, "shop", metrics);
    }
    features.flush()
}

#[test]
fn a_watch_takes_metric_rows_leaves_gaps_out_and_goes_on_from_a_checkpoint() {
    let rows = rows_rising_to(0.9);
    let (mut watch, mut signals) = (WatchConfig::new().build().unwrap(), Vec::new());
    for (nth, row) in rows.iter().enumerate() {
        if nth == 70 {
            let mut bytes = Vec::new();
            watch.checkpoint(&mut bytes);
            let restored = Watch::restore(&bytes).unwrap();
            assert_eq!(restored, watch);
            watch = restored;
        }
        watch.observe_metric(row, &mut signals);
    }
    let [Signal::Raised(alarm)] = &signals[..] else { panic!("{signals:?}") };
    assert_eq!((alarm.kind(), alarm.metric, alarm.since), (Kind::Saturation, Watched::Value, secs(300)));
    assert_eq!(alarm.subject.to_string(), "shop system.cpu.utilization");
    assert!(alarm.finding().title.contains("saturation"), "{:?}", alarm.finding());
    // Of each metric five gaps and two partial windows, the first and the last, are left out.
    assert_eq!((watch.stats().rows, watch.stats().left_out), (120, 14));
    let expected = watch.expected(&alarm.subject, Watched::Value, Duration::from_secs(10));
    assert!(expected.is_some_and(|value| value < 0.3), "{expected:?}");
    // The twin: without the rise nothing is said.
    let (mut watch, mut signals) = (WatchConfig::new().build().unwrap(), Vec::new());
    rows_rising_to(0.2).iter().for_each(|row| watch.observe_metric(row, &mut signals));
    assert_eq!(signals, []);
}

#[test]
fn a_metric_that_is_silent_for_long_is_forgotten_and_makes_room() {
    let mut features = config().max_metrics(1).forget_after(3).build().unwrap();
    send(&mut features, "shop", vec![("cpu", gauge(vec![number(0, 101, 1.0)]))]);
    send(&mut features, "shop", vec![("memory", gauge(vec![number(0, 101, 1.0)]))]);
    assert_eq!(features.stats().full, 1);
    features.advance(secs(200));
    assert_eq!(features.stats().forgotten, 1);
    let rows = features.take_closed();
    assert_eq!(rows.iter().filter(|row| row.is_gap()).count(), 4, "{}", rows.len());
    send(&mut features, "shop", vec![("memory", gauge(vec![number(0, 201, 1.0)]))]);
    assert_eq!((features.stats().full, features.stats().observed), (1, 2));
}

#[test]
fn a_long_gap_is_skipped_and_counted() {
    let mut features = config().max_empty(5).max_ahead(Duration::from_secs(1_000)).build().unwrap();
    send(&mut features, "shop", vec![("cpu", gauge(vec![number(0, 101, 1.0), number(0, 1_000, 2.0)]))]);
    let rows = features.take_closed();
    assert_eq!(rows.len(), 6, "the one with a point and five without");
    assert_eq!(features.stats().skipped_windows, 84);
}

#[test]
fn a_table_has_empty_cells_for_gaps_and_zeros_for_zeros_and_the_labels_asked_for() {
    let mut features = features();
    let points = vec![number(0, 101, 4.0), number(0, 121, 0.0), number(0, 130, 1.0)];
    send(&mut features, "a,b", vec![("cpu", gauge(points))]);
    let table = csv(&features.take_closed(), |row| if row.is_gap() { "=gap" } else { "" });
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "start,subject,points,mean,min,max,rate,p50,p95,p99,sum,resets,partial,label");
    let subject = Subject::Metric { service: "a,b".into(), name: "cpu".into() };
    assert_eq!(lines[1], format!("100,\"{subject}\",1,4,4,4,,,,,,0,1,"));
    assert_eq!(lines[2], format!("110,\"{subject}\",0,,,,,,,,,,0,\"'=gap\""));
    assert_eq!(lines[3], format!("120,\"{subject}\",1,0,0,0,,,,,,0,0,"));
}

#[test]
fn windows_out_of_range_are_refused() {
    assert!(MetricFeatureConfig::new().window(Duration::from_micros(1)).build().is_err());
    assert!(MetricFeatureConfig::new().window(Duration::from_secs(700_000)).build().is_err());
    assert!(MetricFeatureConfig::new().max_ahead(Duration::MAX).build().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_counter_is_found_again_whole_however_it_is_cut_and_wherever_it_begins_anew(
        steps in proptest::collection::vec((1..30_u64, 0..1_000_u32, any::<bool>()), 2..40),
    ) {
        let mut features = features();
        let (mut start, mut time, mut total, mut grown) = (1, 100, 0.0, 0.0);
        for (nth, (after, by, is_reset)) in steps.into_iter().enumerate() {
            time += after;
            if is_reset && nth > 0 {
                (start, total) = (time, 0.0);
            }
            total += f64::from(by);
            grown += if nth > 0 { f64::from(by) } else { 0.0 };
            send(&mut features, "shop", vec![("orders", sum(Temporality::Cumulative, vec![number(start, time, total)]))]);
        }
        let found: f64 = features.flush().iter().filter_map(|row| row.growth).sum();
        prop_assert!((found - grown).abs() < 1e-6, "{} for {}: {:?}", found, grown, features.stats());
    }

    #[test]
    fn every_point_is_counted_once_and_nothing_is_no_number(
        points in proptest::collection::vec((0..400_u64, 0..400_u64, any::<f64>(), 0..5_u8), 1..80),
    ) {
        let mut features = config().max_streams(3).build().unwrap();
        let offered = points.len() as u64;
        for (start, time, value, kind) in points {
            let point = vec![number(start, time, value)];
            let (name, data) = match kind {
                0 => ("gauge", gauge(point)),
                1 => ("delta", sum(Temporality::Delta, point)),
                2 => ("total", sum(Temporality::Cumulative, point)),
                3 => ("other", gauge(point)),
                _ => {
                    let places = [start, time, start / 3, 1];
                    let points = vec![histogram(start, time, places)];
                    ("took", MetricData::Histogram(Histogram { points, temporality: Temporality::Cumulative }))
                }
            };
            send(&mut features, "shop", vec![(name, data)]);
        }
        let rows = features.flush();
        let numbers = |row: &MetricRow| [row.value(), row.growth, row.measured_sum, row.level.map(|level| level.max)];
        prop_assert!(rows.iter().flat_map(numbers).flatten().all(f64::is_finite));
        let stats = features.stats();
        let counted = [
            stats.observed,
            stats.baselines,
            stats.not_recorded,
            stats.unusable,
            stats.late,
            stats.ahead,
            stats.repeated,
            stats.full,
            stats.summaries,
        ];
        prop_assert_eq!(counted.iter().sum::<u64>(), offered);
        prop_assert_eq!(rows.iter().map(|row| row.points).sum::<u64>(), stats.observed);
    }
}
