//! One export of a service's instruments: sums, gauges, histograms of both kinds, and a summary.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
    exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
    summary_data_point::ValueAtQuantile,
};

use super::piece::{int, resource, scope, text, word};
use super::{Dice, Kind};

/// Metrics in a request, twelve in each of four scopes.
const METRICS_A_SCOPE: u64 = 12;
const SCOPES: [&str; 4] = ["http-server", "sqlx", "runtime", "checkout"];

/// Series of one metric.
const POINTS: u64 = 10;

/// When the instruments were made, and when they were read.
const START: u64 = 1_760_000_000_000_000_000;
const NOW: u64 = START + 600_000_000_000;

/// The bucket bounds that the SDKs use by default.
const BOUNDS: [f64; 15] =
    [0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10_000.0];

/// A request of 48 metrics with ten points each.
pub(in crate::core) fn request(kind: Kind) -> ExportMetricsServiceRequest {
    let mut dice = Dice(0x3e7a_5eed);
    let resource = resource(kind, &mut dice);
    let groups = SCOPES.into_iter().map(|name| ScopeMetrics {
        scope: Some(scope(name)),
        metrics: (0..METRICS_A_SCOPE).map(|index| metric(kind, index, &mut dice)).collect(),
        schema_url: String::new(),
    });
    let scope_metrics = groups.collect();
    let group = ResourceMetrics { resource: Some(resource), scope_metrics, ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![group] }
}

/// Points in a request, over all its metrics.
pub(in crate::core) const fn points() -> u64 {
    SCOPES.len() as u64 * METRICS_A_SCOPE * POINTS
}

fn metric(kind: Kind, index: u64, dice: &mut Dice) -> Metric {
    const NAMES: [&str; 4] = [
        "http.server.request.duration",
        "db.client.connection.count",
        "process.memory.usage",
        "orders.placed",
    ];
    const TEXTS: [&str; 2] =
        ["Duration of HTTP server requests.", "Connections that are in the state told by the attribute."];
    Metric {
        name: word(kind, dice, &NAMES),
        description: word(kind, dice, &TEXTS),
        unit: dice.pick(&["ms", "By", "{connection}"], "1").to_owned(),
        metadata: Vec::new(),
        data: Some(data(kind, index, dice)),
    }
}

/// Of twelve metrics: four sums, three gauges, three histograms, one exponential histogram, one summary.
fn data(kind: Kind, index: u64, dice: &mut Dice) -> Data {
    let cumulative = 2;
    match index {
        0..=3 => Data::Sum(Sum {
            data_points: series(|| number(kind, dice)),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        4..=6 => Data::Gauge(Gauge { data_points: series(|| number(kind, dice)) }),
        7..=9 => Data::Histogram(Histogram {
            data_points: series(|| histogram(kind, dice)),
            aggregation_temporality: cumulative,
        }),
        10 => Data::ExponentialHistogram(ExponentialHistogram {
            data_points: series(|| exponential(kind, dice)),
            aggregation_temporality: cumulative,
        }),
        _ => Data::Summary(Summary { data_points: series(|| summary(kind, dice)) }),
    }
}

fn series<P>(mut point: impl FnMut() -> P) -> Vec<P> {
    (0..POINTS).map(|_| point()).collect()
}

fn attributes(kind: Kind, dice: &mut Dice) -> Vec<KeyValue> {
    vec![
        text("http.request.method", dice.pick(&["GET", "POST"], "GET")),
        text("http.route", word(kind, dice, &["/cart/{id}", "/order", "/product/{id}/review"])),
        text("url.scheme", "https"),
        int("http.response.status_code", dice.pick(&[200, 201, 404, 503], 200)),
    ]
}

fn number(kind: Kind, dice: &mut Dice) -> NumberDataPoint {
    let value = match dice.below(2) {
        0 => number_data_point::Value::AsInt(i64::try_from(dice.below(1 << 30)).unwrap_or(0)),
        _ => number_data_point::Value::AsDouble(dice.below(1 << 20) as f64 / 8.0),
    };
    let point =
        NumberDataPoint { start_time_unix_nano: START, time_unix_nano: NOW, ..NumberDataPoint::default() };
    NumberDataPoint { attributes: attributes(kind, dice), value: Some(value), ..point }
}

fn histogram(kind: Kind, dice: &mut Dice) -> HistogramDataPoint {
    let bucket_counts: Vec<u64> = (0..=BOUNDS.len()).map(|_| dice.below(3000)).collect();
    HistogramDataPoint {
        attributes: attributes(kind, dice),
        start_time_unix_nano: START,
        time_unix_nano: NOW,
        count: bucket_counts.iter().sum(),
        sum: Some(dice.below(1 << 30) as f64 / 16.0),
        bucket_counts,
        explicit_bounds: BOUNDS.to_vec(),
        exemplars: vec![exemplar(dice)],
        flags: 0,
        min: Some(0.25),
        max: Some(9_800.5),
    }
}

fn exponential(kind: Kind, dice: &mut Dice) -> ExponentialHistogramDataPoint {
    let bucket_counts: Vec<u64> = (0..80).map(|_| dice.below(400)).collect();
    ExponentialHistogramDataPoint {
        attributes: attributes(kind, dice),
        start_time_unix_nano: START,
        time_unix_nano: NOW,
        count: bucket_counts.iter().sum(),
        sum: Some(dice.below(1 << 30) as f64 / 16.0),
        scale: 3,
        positive: Some(Buckets { offset: -12, bucket_counts }),
        exemplars: vec![exemplar(dice)],
        min: Some(0.25),
        max: Some(9_800.5),
        ..ExponentialHistogramDataPoint::default()
    }
}

fn summary(kind: Kind, dice: &mut Dice) -> SummaryDataPoint {
    let quantile = |quantile| ValueAtQuantile { quantile, value: quantile * 100.0 };
    SummaryDataPoint {
        attributes: attributes(kind, dice),
        start_time_unix_nano: START,
        time_unix_nano: NOW,
        count: dice.below(100_000),
        sum: dice.below(1 << 30) as f64,
        quantile_values: [0.5, 0.9, 0.99].map(quantile).to_vec(),
        flags: 0,
    }
}

fn exemplar(dice: &mut Dice) -> Exemplar {
    let (high, low) = (dice.number(), dice.number() | 1);
    Exemplar {
        filtered_attributes: vec![int("customer.id", i64::try_from(dice.below(1 << 40)).unwrap_or(0))],
        time_unix_nano: NOW - dice.below(1_000_000_000),
        span_id: low.to_be_bytes().to_vec(),
        trace_id: [high.to_be_bytes(), low.to_be_bytes()].concat(),
        value: Some(exemplar::Value::AsDouble(dice.below(10_000) as f64 / 4.0)),
    }
}
