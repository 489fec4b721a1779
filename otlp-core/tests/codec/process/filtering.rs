//! Records dropped in place, against the same on structs.

use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data};
use otlp_core::Limits;
use otlp_core::process::{Filter, PointView};
use otlp_core::protocol::Signal;
use otlp_core::wire::Writer;
use proptest::prelude::*;

use super::requests::{self, Request, SIGNALS, canonical};
use crate::dice::Dice;
use crate::merging::{field, request};

/// The structs without the records that are not wanted, and without the groups that this leaves empty.
macro_rules! retain {
    ($groups:expr, $scopes:ident, $records:ident, $keep:expr) => {
        $groups.retain_mut(|group| {
            let had = group.$scopes.iter().any(|scope| !scope.$records.is_empty());
            group.$scopes.retain_mut(|scope| {
                let had = !scope.$records.is_empty();
                scope.$records.retain_mut($keep);
                !had || !scope.$records.is_empty()
            });
            !had || group.$scopes.iter().any(|scope| !scope.$records.is_empty())
        })
    };
}

fn expected(request: &mut Request, parity: u64) {
    let keep = |time: u64| time % 2 == parity;
    match request {
        Request::Traces(request) => {
            retain!(request.resource_spans, scope_spans, spans, |span| keep(span.start_time_unix_nano));
        }
        Request::Logs(request) => {
            retain!(request.resource_logs, scope_logs, log_records, |record| keep(record.time_unix_nano));
        }
        Request::Metrics(request) => {
            retain!(request.resource_metrics, scope_metrics, metrics, |metric| metric.name.len() % 2
                == usize::try_from(parity).unwrap());
        }
    }
}

fn filtered(signal: Signal, body: &[u8], parity: u64) -> Vec<u8> {
    let (mut filter, mut out) = (Filter::new(Limits::default()), Writer::new());
    match signal {
        Signal::Traces => filter.spans(body, &mut out, |_, _, span| span.start().0 % 2 == parity),
        Signal::Logs => filter.logs(body, &mut out, |_, _, record| record.time().0 % 2 == parity),
        _ => filter.metrics(body, &mut out, |_, _, metric| metric.name().len() as u64 % 2 == parity),
    }
    .unwrap();
    out.as_slice().to_vec()
}

/// Takes out points of odd time; false where that leaves none.
fn keep_points(metric: &mut Metric) -> bool {
    macro_rules! each {
        ($points:expr) => {{
            let had = !$points.is_empty();
            $points.retain(|point| point.time_unix_nano % 2 == 0);
            !had || !$points.is_empty()
        }};
    }
    match &mut metric.data {
        None => true,
        Some(Data::Gauge(data)) => each!(data.data_points),
        Some(Data::Sum(data)) => each!(data.data_points),
        Some(Data::Histogram(data)) => each!(data.data_points),
        Some(Data::ExponentialHistogram(data)) => each!(data.data_points),
        Some(Data::Summary(data)) => each!(data.data_points),
    }
}

/// Count of points, of a metric or a request.
fn count(metric: &Metric) -> usize {
    match &metric.data {
        None => 0,
        Some(Data::Gauge(data)) => data.data_points.len(),
        Some(Data::Sum(data)) => data.data_points.len(),
        Some(Data::Histogram(data)) => data.data_points.len(),
        Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
        Some(Data::Summary(data)) => data.data_points.len(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn records_are_dropped_as_from_the_structs(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in SIGNALS {
            let body = requests::body(signal, &mut dice);
            for parity in [0, 1] {
                let mut request = Request::decode(signal, &body).unwrap();
                expected(&mut request, parity);
                prop_assert_eq!(canonical(signal, &filtered(signal, &body, parity)), request.canonical());
            }
        }
    }

    #[test]
    fn points_are_dropped_as_from_the_structs(seed: u64) {
        let mut dice = Dice::new(seed);
        let body = requests::body(Signal::Metrics, &mut dice);
        let Some(Request::Metrics(mut request)) = Request::decode(Signal::Metrics, &body) else { panic!() };
        let points = |metrics: &[Metric]| metrics.iter().map(count).sum::<usize>();
        let before: usize =
            request.resource_metrics.iter().flat_map(|group| &group.scope_metrics).map(|s| points(&s.metrics)).sum();
        request.resource_metrics.retain_mut(|group| {
            let had: usize = group.scope_metrics.iter().map(|scope| points(&scope.metrics)).sum();
            group.scope_metrics.retain_mut(|scope| {
                let had = points(&scope.metrics);
                scope.metrics.retain_mut(keep_points);
                had == 0 || points(&scope.metrics) != 0
            });
            had == 0 || group.scope_metrics.iter().any(|scope| points(&scope.metrics) != 0)
        });
        let after: usize =
            request.resource_metrics.iter().flat_map(|group| &group.scope_metrics).map(|s| points(&s.metrics)).sum();
        let (mut filter, mut out) = (Filter::new(Limits::default()), Writer::new());
        let met = filter.points(&body, &mut out, |_, _, _, point| point.time().0 % 2 == 0).unwrap();
        prop_assert_eq!((met.kept, met.dropped), (after, before - after));
        prop_assert_eq!(canonical(Signal::Metrics, out.as_slice()), Request::Metrics(request).canonical());
    }

    #[test]
    fn what_is_kept_whole_stays_byte_for_byte(seed: u64) {
        let mut dice = Dice::new(seed);
        let body = requests::body(Signal::Traces, &mut dice);
        let (mut filter, mut out) = (Filter::new(Limits::default()), Writer::new());
        filter.spans(&body, &mut out, |_, _, _| true).unwrap();
        prop_assert_eq!(out.as_slice(), body);
    }
}

#[test]
fn the_predicate_sees_what_is_around_a_record() {
    let attribute = |key: &[u8]| field(1, &field(1, &[field(1, key), field(2, &field(1, b"v"))].concat()));
    let scope = field(2, &[field(1, &field(1, b"lib")), field(2, &field(5, b"name"))].concat());
    let body = field(1, &[attribute(b"k"), scope].concat());
    let (mut filter, mut out) = (Filter::new(Limits::default()), Writer::new());
    let mut seen = Vec::new();
    let met = filter.spans(&body, &mut out, |group, scope, span| {
        let key = group.resource().attributes().next().unwrap().unwrap().key();
        seen.push(format!("{key} {} {}", scope.scope().name(), span.name()));
        false
    });
    assert_eq!(seen, ["k lib name"]);
    assert_eq!((met.unwrap().dropped, out.len()), (1, 0));
}

#[test]
fn points_are_told_by_kind_and_attribute() {
    let pair = field(7, &[field(1, b"k"), field(2, &field(1, b"v"))].concat());
    let body = request(&field(5, &[field(1, &pair), field(1, b"")].concat()));
    let (mut filter, mut out) = (Filter::new(Limits::default()), Writer::new());
    let met = filter.points(&body, &mut out, |_, _, _, point| {
        matches!(point, PointView::Number(_))
            && point.attribute("k").is_some_and(|value| value.as_str() == Some("v"))
    });
    assert_eq!(met.map(|met| (met.kept, met.dropped)), Ok((1, 1)));
}
