//! Files in, text out.

use clap::Parser as _;
use otlp_core::Limits;
use otlp_core::json::{self, Reading};
use otlp_core::protocol::Signal;

use crate::cat;
use crate::flags::Flags;

const TRACES: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"cart"}},{"key":"host.name","value":{"stringValue":"a1"}}]},"scopeSpans":[{"scope":{"name":"http","version":"1"},"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","parentSpanId":"eee19b7ec3c1b173","name":"GET /cart","kind":2,"startTimeUnixNano":"1760000000123456789","endTimeUnixNano":"1760000000135801789","attributes":[{"key":"http.request.method","value":{"stringValue":"GET"}},{"key":"tags","value":{"arrayValue":{"values":[{"intValue":"1"},{"stringValue":"two\n"}]}}}],"events":[{"timeUnixNano":"1760000000124456789","name":"retry"}],"status":{"message":"late","code":2}}]}]}]}"#;
const LOGS: &str = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1760000000000000000","severityNumber":17,"severityText":"ERROR","body":{"stringValue":"no stock"},"attributes":[{"key":"sku","value":{"intValue":"7"}}]}]}]}]}"#;
const METRICS: &str = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"latency","unit":"s","histogram":{"dataPoints":[{"timeUnixNano":"1760000000000000000","count":"9","sum":2.5,"bucketCounts":["0","8","1","0"],"explicitBounds":[0.1,0.5,1.0]}],"aggregationTemporality":1}}]}]}]}"#;
const PROFILES: &str = r#"{"resourceProfiles":[{"scopeProfiles":[{"profiles":[{"sampleType":{"typeStrindex":1,"unitStrindex":2},"samples":[{"stackIndex":1,"values":["250"]}],"timeUnixNano":"1760000000000000000","durationNano":"1000000000"}]}]}],"dictionary":{"mappingTable":[{}],"locationTable":[{},{"lines":[{"functionIndex":1}]},{"lines":[{"functionIndex":2}]}],"functionTable":[{},{"nameStrindex":3},{"nameStrindex":4}],"linkTable":[{}],"stringTable":["","cpu","nanoseconds","work","main"],"attributeTable":[{}],"stackTable":[{},{"locationIndices":[1,2]}]}}"#;

const ALL: [(Signal, &str); 4] = [
    (Signal::Traces, TRACES),
    (Signal::Logs, LOGS),
    (Signal::Metrics, METRICS),
    (Signal::Profiles, PROFILES),
];

/// What is shown, what is told, and whether all was good.
fn shown(flags: &str, bytes: impl AsRef<[u8]>) -> (String, Vec<String>, bool) {
    let flags = Flags::try_parse_from(std::iter::once("otlp_cat").chain(flags.split_whitespace())).unwrap();
    let (mut out, mut told) = (Vec::new(), Vec::new());
    let mut tell = |problem: &str| told.push(problem.to_owned());
    let good = cat::run(&flags, bytes.as_ref(), &mut out, &mut tell).unwrap();
    (String::from_utf8_lossy(&out).into_owned(), told, good)
}

fn wire(signal: Signal, text: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    json::read(signal, text.as_bytes(), Reading::Strict, &Limits::DEFAULT, &mut wire).unwrap();
    wire
}

#[test]
fn a_span_is_shown_as_a_block() {
    let expected = "\
== traces of cart
  host.name  a1

-- http 1

2025-10-09T08:53:20.123456789Z  GET /cart  server  12.3 ms  ERROR
  trace 5b8efff798038103d269b633813fc60c  span eee19b7ec3c1b174  parent eee19b7ec3c1b173
  status: late
  http.request.method  GET
  tags                 [1, \"two\\n\"]
  * retry after 1.00 ms
";
    assert_eq!(shown("", TRACES), (expected.into(), Vec::new(), true));
}

#[test]
fn a_log_record_is_shown_on_a_line() {
    let (text, ..) = shown("", LOGS);
    let expected = "2025-10-09T08:53:20.000Z  ERROR  no stock\n  sku  7\n";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn a_histogram_is_shown_as_bars() {
    let (text, ..) = shown("", METRICS);
    let bars = ["      <= 0.5  ████████████████████████████████████████ 8\n", "      <= 1  █████ 1\n"];
    assert!(text.contains("latency [s]  histogram, delta\n"), "{text}");
    assert!(text.contains("count 9, sum 2.5"), "{text}");
    assert!(text.contains(bars[0]), "{text}");
    assert!(text.replace("    <= 1", "  <= 1").contains(&bars[1].replace("    <= 1", "  <= 1")), "{text}");
}

#[test]
fn a_profile_is_shown_as_stacks() {
    let (text, ..) = shown("", PROFILES);
    assert!(text.contains("profile of cpu [nanoseconds] over 1.00 s, 1 samples\n"), "{text}");
    assert!(text.contains("           250  main > work\n"), "{text}");
}

#[test]
fn signal_and_format_are_found_out() {
    for (signal, text) in ALL {
        let (expected, ..) = shown("", text);
        assert!(expected.contains(&signal.to_string()), "{expected}");
        let pretty = {
            let tree: serde_json::Value = serde_json::from_str(text).unwrap();
            serde_json::to_string_pretty(&tree).unwrap()
        };
        for same in [wire(signal, text), pretty.into_bytes(), format!("\n{text}\n").into_bytes()] {
            assert_eq!(shown("", same), (expected.clone(), Vec::new(), true), "{signal}");
        }
        let lines = format!("{text}\n{text}\n");
        assert_eq!(shown("", &lines).0, format!("{expected}{expected}"));
    }
}

#[test]
fn any_format_becomes_any_other() {
    for (signal, text) in ALL {
        let protobuf = wire(signal, text);
        assert_eq!(shown("--to json", &protobuf).0, format!("{text}\n"));
        let flags = Flags::try_parse_from(["otlp_cat", "--to", "protobuf"]).unwrap();
        let mut out = Vec::new();
        assert!(cat::run(&flags, text.as_bytes(), &mut out, &mut |_| ()).unwrap());
        assert_eq!(out, protobuf);
    }
    // Lines of one signal are one request in protobuf, those of two are not.
    let flags = "--to protobuf";
    assert!(shown(flags, format!("{LOGS}\n{LOGS}\n")).2);
    let (_, told, good) = shown(flags, format!("{LOGS}\n{TRACES}\n"));
    assert_eq!(
        (told, good),
        (vec!["traces behind logs: one protobuf request holds one signal".into()], false)
    );
}

#[test]
fn what_is_bad_is_told_with_its_offset_and_the_rest_is_shown() {
    let file = format!("{LOGS}\n{{\"resourceLogs\":[7]}}\n{LOGS}\n");
    let (text, told, good) = shown("", file);
    assert_eq!(text.matches("no stock").count(), 2);
    assert_eq!((told, good), (vec!["line 2: expected an object, met a number at byte 17".into()], false));
    let (_, told, good) = shown("--signal traces", "{\"resourceSpans\":\n [7]}");
    assert_eq!(
        (told, good),
        (vec!["not a traces request: expected an object, met a number at byte 20".into()], false)
    );
    let (_, told, good) = shown("", "{\n\"resourceSpans\":\n [7]}");
    assert_eq!((told, good), (vec!["expected an object, met a number at byte 21".into()], false));
    let (_, told, good) = shown("", b"\x0a\x64\x00");
    assert_eq!(
        (told, good),
        (vec!["not a profiles request: message ends inside a field at byte 2".into()], false)
    );
}

#[test]
fn names_of_the_proto_files_are_taken_where_asked_for() {
    let text = TRACES.replace("\"kind\":2", "\"kind\":\"SPAN_KIND_SERVER\"");
    assert!(!shown("", &text).2);
    assert_eq!(shown("--lenient", &text).0, shown("", TRACES).0);
}
