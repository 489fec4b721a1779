//! The frozen corpus that the Python package made (`tests/data/json/make_json.py`).

use otlp_core::json::{Reading, read};
use otlp_core::protocol::Signal;
use otlp_core::{DecodeError, Limits};
use serde_json::Value;

use crate::{prost, read as read_strict, write};

const CORPUS: [(Signal, &str); 4] = [
    (Signal::Traces, include_str!("../data/json/traces.lines")),
    (Signal::Metrics, include_str!("../data/json/metrics.lines")),
    (Signal::Logs, include_str!("../data/json/logs.lines")),
    (Signal::Profiles, include_str!("../data/json/profiles.lines")),
];

/// Every request of the corpus, on the wire and in JSON.
fn requests() -> impl Iterator<Item = (Signal, Vec<u8>, &'static str)> {
    CORPUS.into_iter().flat_map(|(signal, lines)| {
        assert!(lines.lines().count() > 50);
        lines.lines().map(move |line| {
            let (hex, text) = line.split_once('\t').unwrap();
            let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            (signal, (0..hex.len()).step_by(2).map(byte).collect(), text)
        })
    })
}

/// One way to write a number for all: Python writes 1e+16 and 5e-324, we 1e16 and 5e-324.
fn same_numbers(tree: &mut Value) {
    match tree {
        Value::Array(items) => items.iter_mut().for_each(same_numbers),
        Value::Object(members) => members.values_mut().for_each(same_numbers),
        Value::Number(number) => *tree = format!("{:?}", number.as_f64().unwrap()).into(),
        _ => {}
    }
}

fn tree(text: &str) -> Value {
    let mut tree = serde_json::from_str(text).unwrap();
    same_numbers(&mut tree);
    tree
}

#[test]
fn wire_becomes_the_json_that_python_makes_of_it() {
    for (signal, wire, text) in requests() {
        assert_eq!(tree(&write(signal, &wire).unwrap()), tree(text), "{signal}");
    }
}

#[test]
fn json_of_python_becomes_the_wire_that_python_makes_of_it() {
    for (signal, wire, text) in requests() {
        // Written once more by us, which puts both in the same order.
        let ours = write(signal, &read_strict(signal, text).unwrap()).unwrap();
        assert_eq!(ours, write(signal, &wire).unwrap(), "{signal}");
        assert!(prost(signal, &wire).is_some());
    }
}

/// The planted fault: were a character of the text not looked at, changing it would go unnoticed.
#[test]
fn a_text_with_one_digit_changed_is_another_message() {
    let canonical = |signal, text: &[u8]| -> Result<Vec<u8>, DecodeError> {
        let mut wire = Vec::new();
        read(signal, text, Reading::Strict, &Limits::DEFAULT, &mut wire)?;
        Ok(wire)
    };
    let mut count = 0;
    for (signal, _, text) in requests() {
        let is_digit = |byte: &u8| matches!(byte, b'1'..=b'8');
        let Some(at) = text.bytes().rposition(|byte| is_digit(&byte)) else { continue };
        let before = canonical(signal, text.as_bytes()).unwrap();
        let mut changed = text.as_bytes().to_vec();
        changed[at] += 1;
        assert_ne!(canonical(signal, &changed), Ok(before), "{text}");
        count += 1;
    }
    assert!(count > 200);
}
