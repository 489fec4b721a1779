//! JSON made to hurt: refused, or read, with bounded memory and time, and never a panic.

use otlp_core::error::DecodeErrorKind;
use otlp_core::json::{Body, Reading};
use otlp_core::protocol::Signal;
use otlp_core::{DecodeError, Limits};
use proptest::prelude::*;

use crate::dice::Dice;
use crate::generate::{self, Layout};
use crate::{read, read_within, write};

const HEAD: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":"#;
const TAIL: &str = "}]}}]}";

/// A request with an attribute whose values lie one in the other, this many.
fn nested(levels: usize) -> String {
    let open = r#"{"arrayValue":{"values":["#;
    format!("{HEAD}{}{{}}{}{TAIL}", open.repeat(levels - 1), "]}}".repeat(levels - 1))
}

#[test]
fn nesting_is_refused_past_the_limit_and_not_before() {
    let read = |levels, limits: &Limits| {
        read_within(Signal::Traces, nested(levels).as_bytes(), Reading::Strict, limits)
    };
    let limits = Limits::default().max_depth(10);
    assert!(read(10, &limits).is_ok());
    let error = read(11, &limits).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::Limit { what: "max_depth", met: 11, limit: 10 });
    // A limit that nobody should set does not blow the stack.
    crate::with_room(move || {
        let limits = Limits::default().max_depth(u32::MAX);
        assert!(read(256, &limits).is_ok());
        assert!(read(257, &limits).unwrap_err().is_limit());
    });
}

#[test]
fn the_default_depth_needs_no_more_stack_than_a_thread_has() {
    let open = r#"{"kvlistValue":{"values":[{"value":"#;
    let text = format!("{HEAD}{}{{}}{}{TAIL}", open.repeat(63), "}]}}".repeat(63));
    let wire = read(Signal::Traces, &text).unwrap();
    assert_eq!(write(Signal::Traces, &wire).unwrap(), text);
}

#[test]
fn a_million_levels_are_refused_known_or_not() {
    for text in [
        nested(1_000_000),
        "[".repeat(1_000_000),
        format!(r#"{{"odd":{}"#, "[".repeat(1_000_000)),
        format!(r#"{{"odd":{}"#, r#"{"a":"#.repeat(1_000_000)),
    ] {
        let error = read(Signal::Traces, &text).unwrap_err();
        assert!(error.is_limit() || error.offset == 0, "{error}");
    }
    // As deep as allowed and closed again is read.
    let odd = |levels: usize| format!(r#"{{"odd":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    assert!(read(Signal::Traces, odd(64)).is_ok());
    assert!(read(Signal::Traces, odd(65)).unwrap_err().is_limit());
}

#[test]
fn four_mebibytes_of_escapes_are_read() {
    for (escape, expected) in [(r"\u00e9", "é"), (r"\n", "\n"), (r"\ud83e\udd80", "🦀")] {
        let count = (4 << 20) / escape.len();
        let text = format!(r#"{{"message":"{}"}}"#, escape.repeat(count));
        let wire = read(Body::Status, &text).unwrap();
        assert!(wire.ends_with(expected.repeat(count).as_bytes()));
    }
    let controls = vec![1; 1 << 20];
    let text = write(Body::Status, &generate::delimited(2, &controls)).unwrap();
    assert_eq!(text.len(), (6 << 20) + r#"{"message":""}"#.len());
}

#[test]
fn numbers_without_end_are_refused_or_read() {
    let status = |number: &str| read(Body::Status, format!(r#"{{"code":{number}}}"#));
    assert_eq!(status(&"9".repeat(1 << 20)).unwrap_err().kind, DecodeErrorKind::Range(1));
    assert_eq!(status(&format!("1e{}", "9".repeat(1 << 20))).unwrap_err().kind, DecodeErrorKind::Range(1));
    assert_eq!(status(&format!("7.{}", "0".repeat(1 << 20))).unwrap(), b"\x08\x07");
    assert_eq!(status(&format!("7{}e-1048576", "0".repeat(1 << 20))).unwrap(), b"\x08\x07");
    assert_eq!(status(&format!("0.{}7e1048577", "0".repeat(1 << 20))).unwrap(), b"\x08\x07");
    let double = format!(r#"{HEAD}{{"doubleValue":{}}}{TAIL}"#, "1".repeat(1 << 20));
    assert!(matches!(read(Signal::Traces, double).unwrap_err().kind, DecodeErrorKind::Range(4)));
}

#[test]
fn unknown_members_without_end_are_passed_over() {
    let text = format!("{{{}\"code\":1}}", r#""odd":{"a":[1,2,{"b":null}]},"#.repeat(100_000));
    assert_eq!(read(Body::Status, text).unwrap(), b"\x08\x01");
}

#[test]
fn what_passes_a_limit_is_refused_and_told() {
    let pair = r#"{"key":"key","value":{"stringValue":"value"}}"#;
    let text = format!(r#"{{"resourceSpans":[{{"resource":{{"attributes":[{pair},{pair}]}}}}]}}"#);
    let wire = read(Signal::Traces, &text).unwrap().len();
    assert!(wire < text.len());
    for (what, tight, fitting) in [
        ("max_attributes", Limits::default().max_attributes(1), Limits::default().max_attributes(2)),
        ("max_string_bytes", Limits::default().max_string_bytes(4), Limits::default().max_string_bytes(5)),
        ("max_elements", Limits::default().max_elements(0), Limits::default().max_elements(1)),
        (
            "max_message_bytes",
            Limits::default().max_message_bytes(text.len() - 1),
            Limits::default().max_message_bytes(text.len()),
        ),
    ] {
        let read = |limits| read_within(Signal::Traces, text.as_bytes(), Reading::Strict, limits);
        let error = read(&tight).unwrap_err();
        assert!(matches!(error.kind, DecodeErrorKind::Limit { what: met, .. } if met == what), "{error}");
        assert!(read(&fitting).is_ok(), "{what}");
    }
}

#[test]
fn what_grows_while_it_is_read_is_bounded_too() {
    // Eight bytes on the wire for two of the text.
    let counts = format!("[{}0]", "0,".repeat(100_000));
    let text = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"histogram":{{"dataPoints":[{{"bucketCounts":{counts}}}]}}}}]}}]}}]}}"#
    );
    let read = |most: usize| {
        let limits = Limits::default().max_message_bytes(most);
        read_within(Signal::Metrics, text.as_bytes(), Reading::Strict, &limits)
    };
    let wire = read(1 << 20).unwrap().len();
    assert!(wire > 3 * text.len());
    assert!(read(wire).is_ok());
    let error = read(wire - 1).unwrap_err();
    assert!(error.is_limit() && error.offset < text.len(), "{error}");
    assert!(read(text.len()).unwrap_err().offset < text.len() / 3);
}

#[test]
fn lengths_of_every_width_are_exact() {
    for len in [0, 1, 100, 126, 127, 128, 129, 16_000, 16_383, 16_384, 40_000, 70_000, 2_097_152, 3_000_000] {
        let text = format!(r#"{HEAD}{{"stringValue":"{}"}}{TAIL}"#, "x".repeat(len));
        let wire = read(Signal::Traces, &text).unwrap();
        // prost would read a padded length, and write it shorter.
        assert_eq!(crate::prost(Signal::Traces, &wire).unwrap(), wire, "{len}");
        assert_eq!(write(Signal::Traces, &wire).unwrap(), text);
    }
}

#[test]
fn levels_that_all_need_longer_lengths_are_moved_once() {
    // 200 messages one in the other, each too long for the room that was left; beside each a short one, whose
    // place changes.
    for len in [100, 20_000, 100_000, 2_100_000] {
        let open = r#"{"arrayValue":{"values":[{"intValue":"7"},"#;
        let value =
            format!(r#"{}{{"stringValue":"{}"}}{}"#, open.repeat(30), "x".repeat(len), "]}}".repeat(30));
        let text = format!("{HEAD}{value}{TAIL}");
        let wire = read(Signal::Traces, &text).unwrap();
        assert_eq!(crate::prost(Signal::Traces, &wire).unwrap(), wire, "{len}");
        assert_eq!(write(Signal::Traces, &wire).unwrap(), text);
    }
}

/// Reads with an offset in the text or not at all; what is read can be written and read again, to the same.
fn survives(signal: Signal, text: &[u8]) -> Result<(), TestCaseError> {
    let wire: Result<Vec<u8>, DecodeError> = read(signal, text);
    if let Ok(wire) = wire {
        let first = write(signal, &wire).unwrap();
        let again = read(signal, &first).unwrap();
        prop_assert_eq!(write(signal, &again).unwrap(), first);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn cut_anywhere_it_is_refused_at_the_end(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in Signal::ALL {
            let nodes = generate::request(signal, &mut dice);
            let text = write(signal, &generate::encode(&nodes, Layout::Ascending, &mut dice)).unwrap();
            for _ in 0..24 {
                let cut = dice.below(text.len());
                let error = read(signal, &text.as_bytes()[..cut]).unwrap_err();
                prop_assert!(error.offset <= cut);
                prop_assert!(!error.is_limit());
            }
        }
    }

    #[test]
    fn changed_anywhere_it_is_refused_or_read_as_something_else(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in Signal::ALL {
            let nodes = generate::request(signal, &mut dice);
            let text = write(signal, &generate::encode(&nodes, Layout::Ascending, &mut dice)).unwrap();
            for _ in 0..24 {
                let mut changed = text.clone().into_bytes();
                let at = dice.below(changed.len());
                const ODD: &[u8] = b"\"\\{}[]:,0-1.eEn\x00\x7f\x80\xff tu";
                changed[at] = ODD[dice.below(ODD.len())];
                survives(signal, &changed)?;
            }
        }
    }

    #[test]
    fn no_bytes_make_a_panic(bytes: Vec<u8>, text in "[{}\\[\\]:,\"a0-9.eE\\\\ -]{0,40}") {
        for signal in Signal::ALL {
            survives(signal, &bytes)?;
            survives(signal, text.as_bytes())?;
            survives(signal, [b"{\"resourceSpans\":[", bytes.as_slice()].concat().as_slice())?;
        }
    }
}
