//! Sampling and the metrics before it: the accounts are exact, and traces are kept whole.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "helpers of tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use otlp_core::record::{
    AnyValue, KeyValue, MetricData, MetricsRequest, Resource, Span, SpanKind, Status, StatusCode,
};
use otlp_core::{SpanId, TraceId, UnixNanos};
use otlp_ebpf::red::{Buckets, RedMetrics};
use otlp_ebpf::sample::{SampleStats, Sampling, SpanSampler};
use otlp_ebpf::{ErrorKind, IdSource};
use proptest::prelude::*;

fn shop() -> Arc<Resource> {
    Arc::new(Resource::service("shop"))
}

/// A span of a request to `path`.
fn request(trace: TraceId, path: &str, millis: u64) -> Span {
    let attributes = vec![
        KeyValue::new("http.request.method", "GET"),
        KeyValue::new("url.path", path),
        KeyValue::new("http.response.status_code", 200_u16),
    ];
    Span {
        trace_id: trace,
        span_id: SpanId::new([1; 8]),
        kind: SpanKind::Server,
        name: "GET".into(),
        end: UnixNanos::from_millis(millis),
        attributes,
        ..Span::default()
    }
}

fn failed(mut span: Span) -> Span {
    span.status = Status { code: StatusCode::Error, message: String::new() };
    span.attributes.push(KeyValue::new("error.type", "500"));
    span
}

fn trace(number: u8) -> TraceId {
    TraceId::new([number; 16])
}

/// Offers spans with the second in which they come; gives those kept.
fn kept(sampling: Sampling, spans: Vec<(u64, Span)>) -> (Vec<Span>, SampleStats) {
    let mut sampler = SpanSampler::new(sampling).unwrap();
    let (mut kept, shop) = (Vec::new(), shop());
    for (second, span) in spans {
        sampler.offer(&shop, span, UnixNanos::from_secs(second), &mut |_, span| kept.push(span));
        assert!(sampler.stats().is_balanced(), "{:?}", sampler.stats());
    }
    sampler.finish(&mut |_, span| kept.push(span));
    let stats = sampler.stats();
    assert!(stats.is_balanced() && stats.held == 0 && stats.kept == kept.len() as u64, "{stats:?}");
    (kept, stats)
}

#[test]
fn failures_slow_ones_and_routes_are_kept_with_all_of_their_traces() {
    let sampling = Sampling::default()
        .ratio(0.0)
        .keep_slower_than(Duration::from_millis(500))
        .keep_route("/checkout")
        .drop_route("/healthz");
    let spans = vec![
        (1, request(trace(1), "/a", 1)),
        (1, failed(request(trace(1), "/b", 1))),
        (1, request(trace(2), "/a", 501)),
        (1, request(trace(3), "/checkout/7", 1)),
        (1, request(trace(4), "/checkouts", 500)),
        (1, failed(request(trace(5), "/healthz", 900))),
        // After the decision: the way of the trace.
        (9, request(trace(2), "/late", 1)),
        (9, failed(request(trace(4), "/late", 1))),
    ];
    let (kept, stats) = kept(sampling, spans);
    let traces: BTreeMap<u8, usize> = kept.iter().fold(BTreeMap::new(), |mut counts, span| {
        *counts.entry(span.trace_id.as_bytes()[0]).or_default() += 1;
        counts
    });
    assert_eq!(traces, [(1, 2), (2, 2), (3, 1)].into());
    assert_eq!((stats.dropped, stats.sampled_out), (1, 2));
}

#[test]
fn a_ratio_keeps_that_share_of_traces_and_the_same_ones_everywhere() {
    let ids = IdSource::seeded(5);
    let traces: Vec<_> = (0..4000).map(|_| ids.trace_id()).collect();
    let kept_of = |ratio| {
        let spans = traces.iter().map(|trace| (1, request(*trace, "/", 1))).collect();
        let (kept, _) = kept(Sampling::default().ratio(ratio).hold(Duration::ZERO), spans);
        kept.iter().map(|span| *span.trace_id.as_bytes()).collect::<BTreeSet<_>>()
    };
    let (tenth, half) = (kept_of(0.1), kept_of(0.5));
    assert!((340..460).contains(&tenth.len()) && (1880..2120).contains(&half.len()));
    assert!(tenth.is_subset(&half));
    assert_eq!((kept_of(0.0).len(), kept_of(1.0).len()), (0, 4000));
}

#[test]
fn a_rate_is_kept_to_when_the_load_changes() {
    let ids = IdSource::seeded(5);
    let load = |second: u64| if (20..40).contains(&second) { 2000 } else { 50 };
    let spans: Vec<_> = (1..60)
        .flat_map(|second| (0..load(second)).map(move |_| second))
        .map(|second| {
            let mut span = request(ids.trace_id(), "/", 1);
            span.start = UnixNanos::from_secs(second);
            span.end = span.start;
            (second, span)
        })
        .collect();
    let (kept, _) = kept(Sampling::default().spans_per_sec(100.0).hold(Duration::ZERO), spans);
    let in_second = |from: u64, to: u64| {
        let within = |span: &&Span| (from..to).contains(&(span.start.0 / 1_000_000_000));
        kept.iter().filter(within).count() as f64 / (to - from) as f64
    };
    assert!(in_second(1, 20) > 49.0, "below the rate all are kept");
    assert!((70.0..130.0).contains(&in_second(22, 40)), "{}", in_second(22, 40));
    assert!(in_second(58, 60) > 49.0, "and again, once the load is gone");
}

#[test]
fn a_full_buffer_decides_early_and_loses_nothing() {
    let spans = (0..100).map(|number| (1, request(trace(number + 1), "/", 1))).collect();
    let (kept, stats) = kept(Sampling::default().max_held_spans(10), spans);
    assert_eq!((kept.len(), stats.hurried), (100, 90));
}

#[test]
fn decisions_beyond_the_bound_are_forgotten_and_made_anew() {
    let sampling = Sampling::default().ratio(0.0).hold(Duration::ZERO).max_decisions(1);
    let spans = vec![
        (1, failed(request(trace(1), "/", 1))),
        (2, request(trace(1), "/", 1)),
        (3, request(trace(2), "/", 1)),
        (4, request(trace(1), "/", 1)),
    ];
    assert_eq!(kept(sampling, spans).0.len(), 2);
}

#[test]
fn shares_that_cannot_be_are_refused() {
    for sampling in [
        Sampling::default().ratio(1.5),
        Sampling::default().ratio(f64::NAN),
        Sampling::default().spans_per_sec(0.0),
        Sampling::default().spans_per_sec(f64::INFINITY),
    ] {
        assert_eq!(SpanSampler::new(sampling).unwrap_err().kind(), ErrorKind::Config);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn traces_are_whole_and_every_span_is_accounted_for(
        spans in proptest::collection::vec((0..8_u64, 1..20_u8, 0..3_u64, any::<bool>()), 0..200),
        ratio in 0.0..1.0_f64, held in 1..50_usize,
    ) {
        let mut time = 0;
        let spans: Vec<_> = spans.into_iter().map(|(later, number, millis, fails)| {
            time += later;
            let span = request(trace(number), "/", millis);
            (time, if fails { failed(span) } else { span })
        }).collect();
        let all = spans.clone();
        let (kept, stats) = kept(Sampling::default().ratio(ratio).max_held_spans(held), spans);
        prop_assert_eq!(stats.spans, all.len() as u64);
        for number in 1..20 {
            let of = |span: &&Span| span.trace_id == trace(number);
            let count = kept.iter().filter(of).count();
            let whole = all.iter().filter(|(_, span)| span.trace_id == trace(number)).count();
            prop_assert!(count == 0 || count == whole, "{} of {}", count, whole);
        }
    }
}

/// Counts by metric and attributes.
fn points(request: &MetricsRequest) -> BTreeMap<String, u64> {
    let mut points = BTreeMap::new();
    for group in &request.resources {
        for metric in &group.scopes[0].metrics {
            let counted: Vec<(&[KeyValue], u64)> = match metric.data.as_ref().unwrap() {
                MetricData::Histogram(data) => {
                    data.points.iter().map(|point| (&*point.attributes, point.count)).collect()
                }
                MetricData::ExponentialHistogram(data) => {
                    data.points.iter().map(|point| (&*point.attributes, point.count)).collect()
                }
                other => panic!("{other:?}"),
            };
            for (attributes, count) in counted {
                let text = |met: &KeyValue| match &met.value {
                    AnyValue::String(text) => text.clone(),
                    AnyValue::Int(number) => number.to_string(),
                    other => format!("{other:?}"),
                };
                let values: Vec<_> = attributes.iter().map(text).collect();
                let service = group.resource.service_name().unwrap();
                points.insert(format!("{service} {} {}", metric.name, values.join(" ")), count);
            }
        }
    }
    points
}

#[test]
fn spans_are_counted_by_what_they_did() {
    for buckets in [Buckets::Explicit, Buckets::Exponential] {
        let mut red = RedMetrics::new(UnixNanos::from_secs(1)).buckets(buckets);
        let (shop, cache) = (shop(), Arc::new(Resource::service("cache")));
        (0..3).for_each(|_| red.count(&shop, &request(trace(1), "/a", 7)));
        red.count(&shop, &failed(request(trace(1), "/a", 7)));
        red.count(&shop, &Span { kind: SpanKind::Client, ..request(trace(1), "/a", 7) });
        let attributes =
            vec![KeyValue::new("db.system.name", "redis"), KeyValue::new("db.operation.name", "GET")];
        red.count(&cache, &Span { attributes, ..Span::default() });
        red.count(&cache, &Span { name: "odd".into(), ..Span::default() });
        let right = [
            ("cache db.client.operation.duration redis GET", 1),
            ("cache otlp.capture.duration odd", 1),
            ("shop http.client.request.duration GET 200", 1),
            ("shop http.server.request.duration GET 200", 3),
            ("shop http.server.request.duration GET 200 500", 1),
        ];
        let right: BTreeMap<_, _> = right.into_iter().map(|(text, count)| (text.to_owned(), count)).collect();
        assert_eq!(points(&red.to_request(UnixNanos::from_secs(2))), right, "{buckets:?}");
        assert_eq!((red.stats().spans, red.stats().errors, red.stats().overflowed), (7, 1, 0));
    }
}

#[test]
fn combinations_and_services_beyond_the_bound_are_counted_together() {
    let mut red = RedMetrics::new(UnixNanos::ZERO).max_series(3).max_services(2);
    for number in 0..5_u16 {
        let mut span = request(trace(1), "/", 1);
        span.attributes[2] = KeyValue::new("http.response.status_code", 200 + number);
        red.count(&shop(), &span);
        red.count(&shop(), &span);
    }
    for number in 0..4 {
        red.count(&Arc::new(Resource::service(format!("other{number}"))), &request(trace(1), "/", 1));
    }
    let met = points(&red.to_request(UnixNanos::ZERO));
    assert_eq!(met["shop http.server.request.duration Bool(true)"], 4);
    assert_eq!(met["_OTHER http.server.request.duration Bool(true)"], 3);
    assert_eq!(met.len(), 3 + 1 + 1 + 1);
    assert_eq!(met.values().sum::<u64>(), 14);
    let stats = red.stats();
    assert_eq!((stats.spans, stats.overflowed, stats.other_services), (14, 4 + 4, 3));
}
