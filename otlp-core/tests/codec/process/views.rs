//! Views written back, and requests built from the records of others.

use otlp_core::Limits;
use otlp_core::batch::{LogsBuilder, MetricsBuilder, TracesBuilder};
use otlp_core::encode::Encode;
use otlp_core::protocol::Signal;
use otlp_core::view::{LogsView, MetricsView, TracesView};
use otlp_core::wire::Writer;
use proptest::prelude::*;
use prost::Message;

use super::requests::{self, Request, SIGNALS, canonical};
use crate::dice::Dice;

/// The structs without groups that hold no record.
macro_rules! drop_empty {
    ($groups:expr, $scopes:ident, $records:ident) => {
        $groups.retain_mut(|group| {
            group.$scopes.retain(|scope| !scope.$records.is_empty());
            !group.$scopes.is_empty()
        })
    };
}

fn without_empty_groups(signal: Signal, body: &[u8]) -> Request {
    let mut request = Request::decode(signal, body).unwrap();
    match &mut request {
        Request::Traces(request) => drop_empty!(request.resource_spans, scope_spans, spans),
        Request::Logs(request) => drop_empty!(request.resource_logs, scope_logs, log_records),
        Request::Metrics(request) => drop_empty!(request.resource_metrics, scope_metrics, metrics),
    }
    request
}

macro_rules! rebuild {
    ($view:ident, $builder:ident, $records:ident, $add:ident, $body:expr) => {{
        let (mut builder, mut out, limits) = ($builder::new(), Writer::new(), Limits::default());
        // Twice: what is kept does not show.
        for _ in 0..2 {
            out.clear();
            for group in $view::parse($body, &limits).unwrap().resources() {
                let group = group.unwrap();
                builder.resource(&group);
                for scope in group.scopes() {
                    let scope = scope.unwrap();
                    builder.scope(&scope);
                    scope.$records().for_each(|record| builder.$add(&record.unwrap()));
                }
            }
            builder.finish(&mut out);
            assert!(builder.is_empty());
        }
        out.as_slice().to_vec()
    }};
}

fn rebuilt(signal: Signal, body: &[u8]) -> Vec<u8> {
    match signal {
        Signal::Traces => rebuild!(TracesView, TracesBuilder, spans, span, body),
        Signal::Logs => rebuild!(LogsView, LogsBuilder, records, log, body),
        _ => rebuild!(MetricsView, MetricsBuilder, metrics, metric, body),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_request_built_from_all_records_says_the_same(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in SIGNALS {
            let body = requests::body(signal, &mut dice);
            let expected = without_empty_groups(signal, &body).canonical();
            prop_assert_eq!(canonical(signal, &rebuilt(signal, &body)), expected);
        }
    }

    #[test]
    fn a_view_of_a_request_is_written_as_it_is(seed: u64) {
        let mut dice = Dice::new(seed);
        let body = requests::body(Signal::Traces, &mut dice);
        let limits = Limits::default();
        prop_assert_eq!(TracesView::parse(&body, &limits).unwrap().encode_to_bytes(), body);
    }

    #[test]
    fn parts_in_pieces_are_written_as_one(seed: u64) {
        use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
        use opentelemetry_proto::tonic::resource::v1::Resource;

        let mut dice = Dice::new(seed);
        let body = requests::body(Signal::Logs, &mut dice);
        let Some(Request::Logs(expected)) = Request::decode(Signal::Logs, &body) else { panic!() };
        let limits = Limits::default();
        let groups = LogsView::parse(&body, &limits).unwrap().resources();
        for (group, expected) in groups.zip(&expected.resource_logs) {
            let group = group.unwrap();
            let resource = Resource::decode(group.resource().encode_to_bytes()).unwrap();
            // As text: a NaN does not equal itself.
            prop_assert_eq!(format!("{resource:?}"), format!("{:?}", expected.resource.clone().unwrap_or_default()));
            for (scope, expected) in group.scopes().zip(&expected.scope_logs) {
                for (record, expected) in scope.unwrap().records().zip(&expected.log_records) {
                    let record = record.unwrap();
                    let value = AnyValue::decode(record.body().encode_to_bytes()).unwrap();
                    let expected_value = expected.body.clone().unwrap_or_default();
                    prop_assert_eq!(format!("{value:?}"), format!("{expected_value:?}"));
                    for (pair, expected) in record.attributes().zip(&expected.attributes) {
                        let mut pair = KeyValue::decode(pair.unwrap().encode_to_bytes()).unwrap();
                        let mut expected = expected.clone();
                        for pair in [&mut pair, &mut expected] {
                            // An empty value and none are the same.
                            pair.value = pair.value.take().filter(|value| value.value.is_some());
                        }
                        prop_assert_eq!(format!("{pair:?}"), format!("{expected:?}"));
                    }
                }
            }
        }
    }
}
