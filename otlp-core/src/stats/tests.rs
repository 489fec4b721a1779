use std::time::Duration;

use super::*;
use crate::UnixNanos;
use crate::protocol::export::{Counters, ExporterStats};
use crate::record::{KeyValue, Metric, MetricData, NumberValue, Temporality};

const START: UnixNanos = UnixNanos::from_secs(100);
const NOW: UnixNanos = UnixNanos::from_secs(160);

/// Strange on purpose: what text must escape, and what two names make one.
struct Odd;

const ODD: Instrument = Instrument::new("odd.things_total", "By", "One \"odd\" thing\nwith a \\ in it.");

impl Measure for Odd {
    fn measure(&self, into: &mut Measurements) {
        into.counter(&ODD, &[("a.b", "x\"y\\z\n"), ("a_b", "2"), ("le", "3")], 7);
    }
}

fn stats() -> Stats {
    Stats { accepted: 15, exported: 7, rejected: 1, dropped: 2, queued: 5 }
}

fn exporter() -> ExporterStats {
    let mut exporter = ExporterStats { account: stats(), ..ExporterStats::default() };
    for millis in [3, 40, 40, 900, 20_000] {
        exporter.latency.record(Duration::from_millis(millis));
    }
    exporter
}

fn text(source: &impl Measure) -> String {
    let mut text = String::new();
    source.write_openmetrics(&mut text);
    text
}

fn named<'a>(metrics: &'a [Metric], name: &str) -> &'a Metric {
    metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("{name} missing"))
}

#[test]
fn the_names_are_those_of_the_table() {
    let documented: Vec<&str> = include_str!("../stats.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `")?.split('`').next())
        .collect();
    let mut all = Measurements::of(&ExporterStats::default());
    let memory = crate::protocol::memory::MemoryLimiter::try_new(1, 1).expect("in order");
    all.add(&[], &memory);
    let mut met: Vec<String> = all.to_metrics(START, NOW).into_iter().map(|metric| metric.name).collect();
    met.sort();
    let mut expected = documented.clone();
    expected.sort_unstable();
    assert_eq!(met, expected);
    assert!(documented.len() >= 19);
}

#[test]
fn counters_are_cumulative_sums_from_their_start_and_gauges_have_none() {
    let metrics = stats().to_metrics(START, NOW);
    let Some(MetricData::Sum(sum)) = &named(&metrics, "otlp.records.lost").data else { panic!("no sum") };
    assert_eq!((sum.temporality, sum.is_monotonic), (Temporality::Cumulative, true));
    let point = &sum.points[0];
    assert_eq!((point.start, point.time, point.value), (START, NOW, Some(NumberValue::Int(3))));
    let Some(MetricData::Gauge(gauge)) = &named(&metrics, "otlp.records.queued").data else {
        panic!("no gauge")
    };
    assert_eq!((gauge.points[0].start, gauge.points[0].value), (UnixNanos::ZERO, Some(NumberValue::Int(5))));
    assert!(metrics.iter().all(|metric| !metric.description.is_empty() && metric.unit == "{record}"));
}

#[test]
fn drops_are_told_by_reason_and_add_up() {
    let metrics = Counters::default().to_metrics(START, NOW);
    let Some(MetricData::Sum(sum)) = &named(&metrics, "otlp.records.dropped").data else { panic!("no sum") };
    let reasons: Vec<_> =
        sum.points.iter().filter_map(|point| KeyValue::find(&point.attributes, "reason")?.as_str()).collect();
    let all = crate::protocol::export::DropReason::ALL.map(crate::protocol::export::DropReason::as_str);
    assert_eq!(reasons, all);
}

#[test]
fn a_histogram_has_one_count_more_than_bounds() {
    let metrics = exporter().to_metrics(START, NOW);
    let Some(MetricData::Histogram(histogram)) = &named(&metrics, "otlp.attempt.duration").data else {
        panic!("no histogram")
    };
    let point = &histogram.points[0];
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    assert_eq!((point.count, point.bucket_counts.iter().sum()), (5, 5_u64));
    assert_eq!(point.sum, Some(20.983));
    assert!(point.explicit_bounds.is_sorted());
}

#[test]
fn metrics_survive_the_wire() -> Result<(), crate::DecodeError> {
    use crate::encode::Encode;
    use crate::record::{MetricsRequest, ResourceMetrics, ScopeMetrics};

    let metrics = exporter().to_metrics(START, NOW);
    let scopes = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let request =
        MetricsRequest { resources: vec![ResourceMetrics { scopes, ..ResourceMetrics::default() }] };
    let bytes = request.encode_to_bytes();
    assert_eq!(crate::view::MetricsView::parse(&bytes, &crate::Limits::DEFAULT)?.to_record()?, request);
    Ok(())
}

/// Frozen, and read by the parser of Python's `prometheus_client` in `tests/openmetrics.rs`.
#[test]
fn the_text_is_the_frozen_one() {
    let mut all = Measurements::default();
    all.add(&[("destination", "primary")], &exporter());
    all.add(&[("destination", "archive")], &exporter());
    all.add(&[], &Odd);
    let mut text = String::new();
    all.write_openmetrics(&mut text);
    assert_eq!(text, include_str!("../../tests/data/openmetrics.txt"));
}

#[test]
fn names_units_and_escapes_are_as_openmetrics_has_them() {
    let expected = "# TYPE odd_things_bytes counter\n\
        # UNIT odd_things_bytes bytes\n\
        # HELP odd_things_bytes One \\\"odd\\\" thing\\nwith a \\\\ in it.\n\
        odd_things_bytes_total{a_b=\"x\\\"y\\\\z\\n;2\",le_label=\"3\"} 7\n\
        # EOF\n";
    assert_eq!(text(&Odd), expected);
}

#[test]
fn an_exposition_of_nothing_is_still_one() {
    struct Nothing;
    impl Measure for Nothing {
        fn measure(&self, _into: &mut Measurements) {}
    }
    assert_eq!(text(&Nothing), "# EOF\n");
}

#[test]
fn two_sources_alike_are_summed_and_others_stand_side_by_side() {
    let mut all = Measurements::default();
    all.add(&[("destination", "a")], &stats());
    all.add(&[("destination", "a")], &stats());
    all.add(&[("destination", "b")], &stats());
    let mut text = String::new();
    all.write_openmetrics(&mut text);
    assert!(text.contains("otlp_records_exported_total{destination=\"a\"} 14\n"), "{text}");
    assert!(text.contains("otlp_records_exported_total{destination=\"b\"} 7\n"), "{text}");
    assert_eq!(text.matches("# TYPE otlp_records_exported ").count(), 1);
}
