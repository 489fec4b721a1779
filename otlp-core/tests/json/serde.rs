//! `opentelemetry-proto`'s serde (feature `with-serde`) beside ours.
//!
//! It agrees on traces, logs and metrics but for these, where the specification is with us:
//!
//! 1. it writes members with default values and empty lists, and `null` for absent messages;
//! 2. it refuses texts without `key`, `values` and the members of entity references, which the mapping leaves
//!    out where they are empty;
//! 3. it has no name for NaN and the infinities: written as `null`, which is then refused or lost;
//! 4. it neither knows `stringValueStrindex` on reading nor omits `arrayValue`'s empty `values`;
//! 5. in metrics, `asInt` and the lists of 64-bit numbers are numbers, and quoted ones are refused;
//! 6. in profiles, 64-bit integers are numbers, and identifiers of links and the original payload are lists
//!    of numbers.
//!
//! So what is compared here is made without those.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use otlp_core::protocol::Signal;
use proptest::prelude::*;
use prost::Message;

use crate::dice::Dice;
use crate::generate::{self, Layout};
use crate::{prost, read, write};

/// Reads what serde wrote, to the bytes that prost writes.
fn read_theirs(signal: Signal, text: &str) -> Vec<u8> {
    let wire = read(signal, text).unwrap_or_else(|error| panic!("{error}: {text}"));
    prost(signal, &wire).unwrap()
}

fn has_none_of(text: &str, odd: &[&str]) -> bool {
    odd.iter().all(|odd| !text.contains(odd))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_serde_writes_is_read(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in [Signal::Traces, Signal::Logs] {
            let nodes = generate::request(signal, &mut dice);
            let wire = prost(signal, &generate::encode(&nodes, Layout::Ascending, &mut dice)).unwrap();
            if !has_none_of(&write(signal, &wire).unwrap(), &["NaN", "Infinity"]) {
                continue;
            }
            let text = if signal == Signal::Traces {
                serde_json::to_string(&ExportTraceServiceRequest::decode(wire.as_slice()).unwrap()).unwrap()
            } else {
                serde_json::to_string(&ExportLogsServiceRequest::decode(wire.as_slice()).unwrap()).unwrap()
            };
            prop_assert!(read_theirs(signal, &text) == wire, "{text}");
        }
    }

    #[test]
    fn what_we_write_serde_reads(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in [Signal::Traces, Signal::Logs] {
            let nodes = generate::request(signal, &mut dice);
            let wire = prost(signal, &generate::encode(&nodes, Layout::Ascending, &mut dice)).unwrap();
            let text = write(signal, &wire).unwrap();
            let odd = ["NaN", "Infinity", "Strindex", "entityRefs", "arrayValue", "kvlistValue"];
            // An attribute without a key begins with its value.
            let keyless = [r#"{"value":{"#, "[{}", ",{}"];
            if !has_none_of(&text, &odd) || !has_none_of(&text, &keyless) {
                continue;
            }
            let again = if signal == Signal::Traces {
                serde_json::from_str::<ExportTraceServiceRequest>(&text).unwrap().encode_to_vec()
            } else {
                serde_json::from_str::<ExportLogsServiceRequest>(&text).unwrap().encode_to_vec()
            };
            prop_assert!(again == wire, "{text}");
        }
    }
}

/// A request with a value such as `{"doubleValue":1.5}`.
fn with_value(value: &str) -> String {
    format!(r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"k","value":{value}}}]}}}}]}}"#)
}

fn serde_reads(text: &str) -> Option<Vec<u8>> {
    serde_json::from_str::<ExportTraceServiceRequest>(text).ok().map(|request| request.encode_to_vec())
}

#[test]
fn where_serde_and_the_specification_differ_we_are_with_the_specification() {
    // Both agree on this one, so that what follows is not refused for another reason.
    let plain = with_value(r#"{"doubleValue":1.5}"#);
    assert_eq!(serde_reads(&plain), read(Signal::Traces, &plain).ok());
    for value in [
        r#"{"doubleValue":"NaN"}"#,
        r#"{"arrayValue":{}}"#,
        r#"{"stringValueStrindex":7}"#,
        r#"{"intValue":1e3}"#,
    ] {
        let text = with_value(value);
        let ours = read(Signal::Traces, &text).unwrap();
        assert_ne!(serde_reads(&text), Some(ours), "{value}: they agree by now");
    }
    let keyless = plain.replace(r#""key":"k","#, "");
    assert!(read(Signal::Traces, &keyless).is_ok() && serde_reads(&keyless).is_none());
    // Two members of one oneof: the last one wins there, and is refused here.
    let twice = with_value(r#"{"intValue":"1","boolValue":true}"#);
    assert!(read(Signal::Traces, &twice).is_err() && serde_reads(&twice).is_some());
}
