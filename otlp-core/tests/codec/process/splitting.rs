//! Requests cut into parts, and sorted by resource: nothing is lost, nothing is doubled, every bound holds.

use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, Sum, metric::Data};
use otlp_core::Limits;
use otlp_core::batch::{Router, Splitter};
use otlp_core::protocol::Signal;
use otlp_core::view::AnyValueView;
use proptest::prelude::*;

use super::requests::{self, Request, SIGNALS};
use crate::dice::Dice;
use crate::merging::{field, request};

/// Every record with all that is around it, as text: a NaN does not equal itself.
fn records(request: &Request) -> Vec<String> {
    macro_rules! each {
        ($groups:expr, $scopes:ident, $records:ident) => {
            $groups
                .iter()
                .flat_map(|group| {
                    group.$scopes.iter().flat_map(move |scope| {
                        let around = format!(
                            "{:?} {} {:?} {}",
                            group.resource, group.schema_url, scope.scope, scope.schema_url
                        );
                        scope.$records.iter().map(move |record| (around.clone(), record.clone()))
                    })
                })
                .collect::<Vec<_>>()
        };
    }
    let text = |(around, record): (String, String)| format!("{around} {record}");
    match request {
        Request::Traces(request) => each!(request.resource_spans, scope_spans, spans)
            .into_iter()
            .map(|(around, span)| text((around, format!("{span:?}"))))
            .collect(),
        Request::Logs(request) => each!(request.resource_logs, scope_logs, log_records)
            .into_iter()
            .map(|(around, record)| text((around, format!("{record:?}"))))
            .collect(),
        Request::Metrics(request) => each!(request.resource_metrics, scope_metrics, metrics)
            .into_iter()
            .flat_map(|(around, metric)| {
                points(&metric).into_iter().map(move |point| text((around.clone(), format!("{point:?}"))))
            })
            .collect(),
    }
}

/// A metric a point.
fn points(metric: &Metric) -> Vec<Metric> {
    macro_rules! each {
        ($kind:ident, $data:expr) => {{
            let points = $data.data_points.clone();
            points
                .into_iter()
                .map(|point| {
                    let mut data = $data.clone();
                    data.data_points = vec![point];
                    Metric { data: Some(Data::$kind(data)), ..metric.clone() }
                })
                .collect()
        }};
    }
    match &metric.data {
        None => Vec::new(),
        Some(Data::Gauge(data)) => each!(Gauge, data),
        Some(Data::Sum(data)) => each!(Sum, data),
        Some(Data::Histogram(data)) => each!(Histogram, data),
        Some(Data::ExponentialHistogram(data)) => each!(ExponentialHistogram, data),
        Some(Data::Summary(data)) => each!(Summary, data),
    }
}

struct Parts {
    bodies: Vec<Vec<u8>>,
    counts: Vec<usize>,
}

fn split(splitter: &mut Splitter, signal: Signal, body: &[u8]) -> Parts {
    let mut parts = Parts { bodies: Vec::new(), counts: Vec::new() };
    splitter
        .split(signal, body, |part| {
            parts.bodies.push(part.bytes.to_vec());
            parts.counts.push(part.records);
        })
        .unwrap();
    parts
}

fn all(signal: Signal, bodies: &[Vec<u8>]) -> Vec<String> {
    bodies.iter().flat_map(|body| records(&Request::decode(signal, body).unwrap())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn parts_hold_every_record_once_and_in_order(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in SIGNALS {
            let body = requests::body(signal, &mut dice);
            let expected = records(&Request::decode(signal, &body).unwrap());
            let (most_bytes, most_records) = (20 + dice.below(body.len() + 1), 1 + dice.below(9));
            let mut splitter = Splitter::new(Limits::default()).max_bytes(most_bytes).max_records(most_records);
            let parts = split(&mut splitter, signal, &body);
            prop_assert_eq!(&all(signal, &parts.bodies), &expected);
            prop_assert_eq!(parts.counts.iter().sum::<usize>(), expected.len());
            for (part, count) in parts.bodies.iter().zip(&parts.counts) {
                prop_assert!(*count <= most_records);
                prop_assert!(part.len() <= most_bytes || *count == 1, "{} bytes", part.len());
            }
            // The planted fault: a part that is lost shows.
            if parts.counts.len() > 1 {
                prop_assert_ne!(all(signal, &parts.bodies[1..]), expected);
            }
        }
    }

    #[test]
    fn no_part_could_have_taken_one_record_more(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in SIGNALS {
            let body = requests::body(signal, &mut dice);
            let most = 20 + dice.below(body.len() + 1);
            let parts = split(&mut Splitter::new(Limits::default()).max_bytes(most), signal, &body);
            let mut before = 0;
            for pair in parts.counts.windows(2) {
                // By count alone, a part with the next record as well.
                let wanted = before + pair[0] + 1;
                let mut taken = Vec::new();
                let mut by_count = Splitter::new(Limits::default()).max_records(1);
                by_count.split(signal, &body, |part| taken.push(part.bytes.to_vec())).unwrap();
                let lone: usize = taken[before..wanted].iter().map(Vec::len).sum();
                // Each alone carries its own groups, so together they are no shorter than the part would be.
                prop_assert!(lone > most, "{lone} bytes would have fit in {most}");
                before += pair[0];
            }
        }
    }

    #[test]
    fn a_request_within_the_bounds_is_handed_out_as_it_is(seed: u64) {
        let mut dice = Dice::new(seed);
        let body = requests::body(Signal::Traces, &mut dice);
        let mut splitter = Splitter::new(Limits::default()).max_bytes(body.len()).max_records(1000);
        prop_assert_eq!(split(&mut splitter, Signal::Traces, &body).bodies, [body]);
    }

    #[test]
    fn routes_part_the_request_by_the_value(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in SIGNALS {
            let body = requests::body(signal, &mut dice);
            let key = ["a", "http.request.method", "größe", ""][dice.below(4)];
            let mut routes: Vec<(String, Vec<u8>)> = Vec::new();
            let mut router = Router::by(key, Limits::default());
            let route = |value: AnyValueView<'_>, request: &[u8]| {
                // A list or a map counts as no value, and is not handed out.
                assert!(!matches!(value, AnyValueView::Array(_) | AnyValueView::KvList(_)));
                routes.push((format!("{value:?}"), request.to_vec()));
            };
            router.route(signal, &body, route).unwrap();
            let mut met: Vec<String> =
                routes.iter().flat_map(|(_, body)| records(&Request::decode(signal, body).unwrap())).collect();
            let mut expected = records(&Request::decode(signal, &body).unwrap());
            met.sort();
            expected.sort();
            prop_assert_eq!(met, expected);
            // No value comes twice, and routing what was routed gives that value alone.
            let mut values: Vec<_> = routes.iter().map(|(value, _)| value.clone()).collect();
            values.sort();
            values.dedup();
            prop_assert_eq!(values.len(), routes.len());
            for (value, request) in &routes {
                router.route(signal, request, |other, same| {
                    assert_eq!((&format!("{other:?}"), same), (value, request.as_slice()));
                }).unwrap();
            }
        }
    }
}

#[test]
fn a_split_metric_keeps_what_is_around_its_points() {
    let sum = |points: usize| {
        let data = Sum { is_monotonic: true, aggregation_temporality: 2, ..Sum::default() };
        let data = Sum { data_points: vec![Default::default(); points], ..data };
        Metric { name: "requests".into(), unit: "1".into(), data: Some(Data::Sum(data)), ..Metric::default() }
    };
    let body = request(&prost::Message::encode_to_vec(&sum(3)));
    let parts = split(&mut Splitter::new(Limits::default()).max_records(2), Signal::Metrics, &body);
    let decoded = |body: &Vec<u8>| {
        let Some(Request::Metrics(request)) = Request::decode(Signal::Metrics, body) else { panic!() };
        request.resource_metrics[0].scope_metrics[0].metrics[0].clone()
    };
    assert_eq!(parts.bodies.iter().map(decoded).collect::<Vec<_>>(), [sum(2), sum(1)]);
    let gauge = Metric { data: Some(Data::Gauge(Gauge::default())), ..Metric::default() };
    assert!(points(&gauge).is_empty());
}

#[test]
fn a_record_that_fits_nowhere_is_a_part_of_its_own() {
    let long = field(2, &field(5, &[b'x'; 200]));
    let scope = [long.clone(), field(2, b""), field(2, b""), long].concat();
    let parts = split(
        &mut Splitter::new(Limits::default()).max_bytes(20),
        Signal::Traces,
        &field(1, &field(2, &scope)),
    );
    assert_eq!(parts.counts, [1, 2, 1]);
    assert!(parts.bodies[1].len() <= 20 && parts.bodies[2].len() > 200);
}

#[test]
fn unknown_fields_of_the_request_go_with_every_route() {
    let group = |value: &[u8]| {
        let pair = field(1, &[field(1, b"k"), field(2, &field(1, value))].concat());
        field(1, &field(1, &pair))
    };
    let body = [group(b"a"), field(100, b"unknown"), group(b"b"), group(b"a")].concat();
    let mut routes = Vec::new();
    let mut router = Router::by("k", Limits::default());
    router.route(Signal::Logs, &body, |_, request| routes.push(request.to_vec())).unwrap();
    let unknown = field(100, b"unknown");
    assert_eq!(
        routes,
        [[unknown.clone(), group(b"a"), group(b"a")].concat(), [unknown, group(b"b")].concat()]
    );
}
