//! Requests joined to one.

use otlp_core::Limits;
use otlp_core::batch::merge;
use otlp_core::protocol::Signal;
use otlp_core::wire::Writer;
use proptest::prelude::*;

use super::requests::{self, SIGNALS, canonical};
use crate::dice::Dice;
use crate::merging::request;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_merged_request_holds_the_groups_of_all(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in SIGNALS {
            let bodies: Vec<_> = (0..4).map(|_| requests::body(signal, &mut dice)).collect();
            let mut out = Writer::new();
            merge(signal, &bodies, &Limits::DEFAULT, &mut out).unwrap();
            let expected: Vec<_> = bodies.iter().flat_map(|body| canonical(signal, body)).collect();
            prop_assert_eq!(canonical(signal, out.as_slice()), expected);
        }
    }
}

#[test]
fn a_request_that_is_cut_off_does_not_swallow_the_next() {
    let bodies = [request(b""), vec![0x0a, 9, 1], request(b"")];
    let mut out = Writer::new();
    let error = merge(Signal::Logs, &bodies, &Limits::DEFAULT, &mut out).unwrap_err();
    assert_eq!((error.offset, out.len()), (bodies[0].len() + 2, 0));
    let limits = Limits::default().max_message_bytes(bodies[0].len() * 2 - 1);
    assert!(merge(Signal::Logs, &[&bodies[0], &bodies[2]], &limits, &mut out).unwrap_err().is_limit());
}
