//! A share of the traces kept in place.

use opentelemetry_proto::tonic::trace::v1::Span;
use otlp_core::process::{Filter, Sampler, Untraced};
use otlp_core::protocol::Signal;
use otlp_core::wire::Writer;
use otlp_core::{Limits, TraceId};
use proptest::prelude::*;

use super::requests::{self, Request};
use crate::dice::Dice;
use crate::merging::{field, request};

fn spans(body: &[u8]) -> Vec<Span> {
    let Some(Request::Traces(request)) = Request::decode(Signal::Traces, body) else { panic!() };
    let groups = request.resource_spans.into_iter().flat_map(|group| group.scope_spans);
    groups.flat_map(|scope| scope.spans).collect()
}

fn sampled(sampler: &mut Sampler, body: &[u8]) -> Vec<u8> {
    let mut out = Writer::new();
    sampler.spans(body, &mut out).unwrap();
    out.as_slice().to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sampling_is_filtering_by_trace(seed: u64) {
        let mut dice = Dice::new(seed);
        let ratio = [0.0, 0.1, 0.5, 0.9, 1.0][dice.below(5)];
        let body = requests::body(Signal::Traces, &mut dice);
        let mut sampler = Sampler::ratio(ratio).unwrap().untraced(Untraced::Drop);
        let (mut filter, mut expected) = (Filter::new(Limits::default()), Writer::new());
        let counts = filter.spans(&body, &mut expected, |_, _, span| sampler.keeps(span.trace_id())).unwrap();
        let mut out = Writer::new();
        prop_assert_eq!(sampler.spans(&body, &mut out).unwrap(), counts);
        prop_assert_eq!(out.as_slice(), expected.as_slice());
    }

    #[test]
    fn what_a_smaller_ratio_keeps_a_greater_one_keeps(id: [u8; 16], one in 0.0..=1.0_f64, other in 0.0..=1.0_f64) {
        let keeps = |ratio| Sampler::ratio(ratio).unwrap().keeps(TraceId::new(id));
        prop_assert!(!keeps(one.min(other)) || keeps(one.max(other)));
    }
}

#[test]
fn the_share_that_is_kept_is_the_ratio() {
    let mut dice = Dice::new(7);
    let sampler = Sampler::ratio(0.1).unwrap();
    let kept =
        (0..20_000).filter(|_| sampler.keeps(TraceId::new(dice.bytes(16).try_into().unwrap()))).count();
    // Three standard deviations of a binomial count are 127.
    assert!((1860..2140).contains(&kept), "{kept}");
}

#[test]
fn explicit_randomness_stands_before_the_identifier() {
    let low = field(1, &[1; 16]);
    let state = |rv: &str| field(3, format!("a=b,ot=rv:{rv}").as_bytes());
    let mut sampler = Sampler::ratio(0.5).unwrap();
    assert!(spans(&sampled(&mut sampler, &request(&low))).is_empty());
    assert!(
        spans(&sampled(&mut sampler, &request(&[low.clone(), state("7fffffffffffff")].concat()))).is_empty()
    );
    assert_eq!(spans(&sampled(&mut sampler, &request(&[state("80000000000000"), low].concat()))).len(), 1);
}

#[test]
fn records_of_no_trace_are_kept_or_dropped_as_asked() {
    let body = request(&field(1, b""));
    let mut keeping = Sampler::ratio(0.0).unwrap();
    assert_eq!(spans(&sampled(&mut keeping, &body)).len(), 1);
    let mut dropping = Sampler::ratio(1.0).unwrap().untraced(Untraced::Drop);
    assert_eq!(sampled(&mut dropping, &body), b"");
}

#[test]
fn log_records_follow_their_trace() {
    let record = |id: u8| field(1, &field(2, &field(2, &field(9, &[id; 16]))));
    let body = [record(1), record(0xff)].concat();
    let (mut sampler, mut out) = (Sampler::ratio(0.5).unwrap(), Writer::new());
    let met = sampler.logs(&body, &mut out).unwrap();
    assert_eq!((met.kept, met.dropped), (1, 1));
    assert_eq!(out.as_slice(), record(0xff));
}

#[test]
fn a_bad_identifier_is_refused_where_it_stands() {
    let body = request(&field(1, &[1; 15]));
    let error = Sampler::ratio(0.5).unwrap().spans(&body, &mut Writer::new()).unwrap_err();
    assert_eq!(error.offset, body.len() - 15);
}
