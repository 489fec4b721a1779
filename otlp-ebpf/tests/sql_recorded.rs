//! Recorded sessions of real databases give the same spans again, wherever no database is at hand.
#![cfg(feature = "replay")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::fmt::Write;

use otlp_core::record::AnyValue;
use otlp_ebpf::replay::LogReplay;

/// What was recorded becomes text, a line a span.
fn replayed(log: &[u8]) -> String {
    let mut text = String::new();
    let summary = LogReplay::default()
        .run(log, &mut |_, span| {
            write!(text, "{}", span.name).unwrap();
            for attribute in
                span.attributes.iter().filter(|each| each.key.starts_with("db.") || each.key == "error.type")
            {
                match &attribute.value {
                    AnyValue::String(value) => write!(text, " | {}={value}", attribute.key).unwrap(),
                    AnyValue::Int(value) => write!(text, " | {}={value}", attribute.key).unwrap(),
                    other => write!(text, " | {}={other:?}", attribute.key).unwrap(),
                }
            }
            text.push('\n');
        })
        .unwrap();
    let account = summary.account;
    assert_eq!((account.lost.total(), account.refused, account.unpaired.total()), (0, 0, 0), "{account:?}");
    assert_eq!((account.unparsed_to_server, account.unparsed_to_client), (0, 0));
    text
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn recorded_sessions_give_the_spans_they_gave_when_they_were_recorded() {
    let recorded: [(&[u8], &str); 2] = [
        (include_bytes!("data/postgres.events"), include_str!("data/postgres.spans")),
        (include_bytes!("data/mariadb.events"), include_str!("data/mariadb.spans")),
    ];
    for (log, spans) in recorded {
        assert_eq!(replayed(log), spans);
        assert!(has(log, "hunter2") && !spans.contains("hunter2"));
    }
}

#[test]
#[ignore = "long: writes the test data anew"]
fn writes_the_spans_that_the_recorded_sessions_give() {
    for name in ["postgres", "mariadb"] {
        let file = |end| format!("{}/tests/data/{name}.{end}", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(file("spans"), replayed(&std::fs::read(file("events")).unwrap())).unwrap();
    }
}
