//! OTLP/HTTP in JSON: our client and receiver with each other, and each with a peer made by hand.
#![cfg(feature = "http")]

mod peer;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::profiles::v1development::ExportProfilesServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Histogram, HistogramDataPoint, Metric, ResourceMetrics, ScopeMetrics,
};
use opentelemetry_proto::tonic::profiles::v1development::{
    Profile, ProfilesDictionary, ResourceProfiles, Sample, ScopeProfiles,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use otlp_core::ErrorKind;
use otlp_core::protocol::Signal;
use otlp_core::protocol::export::{DropReason, ExporterConfig, RequestId, Verdict};
use otlp_core::protocol::retry::Backoff;
use otlp_core::protocol::status::Code;
use otlp_core::stats::Stats;
use otlp_core::transport::blocking::Client;
use otlp_core::transport::client::{ClientConfig, Compression, Protocol};
use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits, ReceiverStats};
use prost::Message as _;

use peer::{Message, PATIENCE, Server, Wire, post, post_as};

const JSON: &str = "application/json";

type Inbox = Arc<Mutex<Vec<(Signal, Vec<u8>)>>>;

fn receive(limits: ReceiverLimits, answer: Answer) -> (Receiver, Inbox) {
    let inbox = Inbox::default();
    let bodies = Arc::clone(&inbox);
    let handler = move |signal: Signal, body: &[u8]| {
        bodies.lock().expect("not poisoned").push((signal, body.to_vec()));
        answer.clone()
    };
    (Receiver::start("127.0.0.1:0", limits, handler).expect("a free port"), inbox)
}

fn value(value: Value) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

/// One request a signal with what JSON writes in a way of its own: identifiers, bytes, 64-bit integers, enumerations,
/// doubles that are no numbers, text that has to be escaped.
fn bodies() -> [(Signal, Vec<u8>); 4] {
    let attributes = vec![
        KeyValue { key: "big".into(), value: value(Value::IntValue(i64::MIN)), ..Default::default() },
        KeyValue { key: "bytes".into(), value: value(Value::BytesValue(vec![0, 255])), ..Default::default() },
        KeyValue { key: "\"\u{1}é\n".into(), value: value(Value::DoubleValue(-0.1)), ..Default::default() },
    ];
    let span = Span {
        name: "GET /".into(),
        trace_id: vec![0xab; 16],
        span_id: vec![0x0f; 8],
        kind: 3,
        start_time_unix_nano: u64::MAX,
        attributes: attributes.clone(),
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span; 3], ..ScopeSpans::default() }];
    let traces = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans, ..Default::default() }],
    };
    let point = HistogramDataPoint {
        bucket_counts: vec![1, u64::MAX],
        explicit_bounds: vec![f64::INFINITY],
        sum: Some(1e300),
        ..HistogramDataPoint::default()
    };
    let histogram = Histogram { data_points: vec![point], aggregation_temporality: 2 };
    let metric = Metric { name: "wait".into(), data: Some(Data::Histogram(histogram)), ..Metric::default() };
    let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics { scope_metrics, ..Default::default() }];
    let record = LogRecord { severity_number: 9, body: value(Value::BoolValue(false)), ..Default::default() };
    let scope_logs = vec![ScopeLogs { log_records: vec![record; 2], ..ScopeLogs::default() }];
    let logs =
        ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { scope_logs, ..Default::default() }] };
    let profile = Profile { profile_id: vec![3; 16], samples: vec![Sample::default()], ..Profile::default() };
    let scope_profiles = vec![ScopeProfiles { profiles: vec![profile; 2], ..ScopeProfiles::default() }];
    let resource_profiles = vec![ResourceProfiles { scope_profiles, ..Default::default() }];
    let dictionary = ProfilesDictionary { string_table: vec![String::new()], ..Default::default() };
    let profiles = ExportProfilesServiceRequest { resource_profiles, dictionary: Some(dictionary) };
    [
        (Signal::Traces, traces.encode_to_vec()),
        (Signal::Metrics, ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()),
        (Signal::Logs, logs.encode_to_vec()),
        (Signal::Profiles, profiles.encode_to_vec()),
    ]
}

/// Equal as messages: the bytes may stand in another order.
#[track_caller]
fn assert_same(signal: Signal, left: &[u8], right: &[u8]) {
    fn same<M: prost::Message + Default + PartialEq + std::fmt::Debug>(left: &[u8], right: &[u8]) {
        assert_eq!(M::decode(left).expect("a message"), M::decode(right).expect("a message"));
    }
    match signal {
        Signal::Traces => same::<ExportTraceServiceRequest>(left, right),
        Signal::Metrics => same::<ExportMetricsServiceRequest>(left, right),
        Signal::Logs => same::<ExportLogsServiceRequest>(left, right),
        _ => same::<ExportProfilesServiceRequest>(left, right),
    }
}

fn config(endpoint: String) -> ClientConfig {
    let wait = Duration::from_millis(1);
    let exporter = ExporterConfig::default().max_attempts(2).backoff(Backoff { initial: wait, max: wait });
    ClientConfig::new(endpoint).protocol(Protocol::HttpJson).exporter(exporter)
}

fn compressions() -> Vec<Compression> {
    let compressions = vec![Compression::None];
    #[cfg(feature = "gzip")]
    let compressions = [compressions, vec![Compression::Gzip]].concat();
    compressions
}

#[test]
fn four_signals_go_as_json_and_arrive_as_protobuf() {
    for compression in compressions() {
        let (receiver, inbox) = receive(ReceiverLimits::default(), Answer::accepted(1));
        let endpoint = format!("http://{}", receiver.local_addr());
        let client = Client::start(config(endpoint).compression(compression)).expect("valid");
        for (signal, body) in bodies() {
            client.send(signal, body.into(), 1).expect("room");
        }
        let stats = client.shutdown(PATIENCE).stats;
        assert_eq!((stats.exported, stats.rejected, stats.dropped), (4, 0, 0));
        let mut met = inbox.lock().expect("not poisoned").clone();
        met.sort();
        assert_eq!(met.len(), 4);
        for ((signal, met), (expected_signal, expected)) in met.into_iter().zip(bodies()) {
            assert_eq!(signal, expected_signal);
            assert_same(signal, &met, &expected);
        }
        assert_eq!(receiver.shutdown(PATIENCE).requests.exported, 4);
    }
}

#[test]
fn a_request_is_converted_once_and_sent_again_as_it_was() {
    let met = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&met);
    let server = Server::start(move |_, wire| {
        let busy = b"HTTP/1.1 503 x\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n";
        let taken = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        for answer in [&busy[..], taken] {
            seen.lock().expect("not poisoned").push(wire.read().expect("a request"));
            wire.write(answer);
        }
    });
    let client = Client::start(config(server.endpoint())).expect("valid");
    let [(signal, body), ..] = bodies();
    client.send(signal, body.into(), 3).expect("room");
    assert_eq!(client.shutdown(PATIENCE).stats.exported, 3);
    let met = met.lock().expect("not poisoned");
    assert_eq!((met.len(), &met[0]), (2, &met[1]));
    assert_eq!(met[0].lines[0], "POST /v1/traces HTTP/1.1");
    assert_eq!(met[0].header("content-type"), Some(JSON));
    let text: serde_json::Value = serde_json::from_slice(&met[0].body).expect("json");
    let span = &text["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    assert_eq!((&span["traceId"], &span["kind"]), (&"ab".repeat(16).into(), &3.into()));
    assert_eq!(span["startTimeUnixNano"], u64::MAX.to_string());
}

/// How a request for 5 spans ends that is answered so.
fn verdict_of(protocol: Protocol, status: &str, content_type: &str, body: &[u8]) -> (Verdict, Stats) {
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let answer = [answer.as_bytes(), body].concat();
    let server = Server::start(move |_, wire| {
        wire.read().expect("a request");
        wire.write(&answer);
    });
    let told = Arc::new(Mutex::new(Vec::new()));
    let listening = Arc::clone(&told);
    let observer = move |_: RequestId, verdict: &Verdict| {
        listening.lock().expect("not poisoned").push(verdict.clone());
    };
    let config = config(server.endpoint()).protocol(protocol).observer(Arc::new(observer));
    let client = Client::start(config.max_response_bytes(1 << 16)).expect("valid");
    let [(signal, request), ..] = bodies();
    client.send(signal, request.into(), 5).expect("room");
    let stats = client.shutdown(PATIENCE).stats;
    let verdict = told.lock().expect("not poisoned").pop().expect("a verdict");
    (verdict, stats)
}

#[test]
fn an_answer_is_read_in_the_form_it_says_it_has() {
    let json = br#"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}}"#;
    let wire = b"\x0a\x0b\x08\x02\x12\x07too old";
    for protocol in [Protocol::HttpJson, Protocol::HttpProtobuf] {
        for (content_type, body) in
            [("application/json; charset=utf-8", &json[..]), ("application/x-protobuf", wire)]
        {
            let (verdict, stats) = verdict_of(protocol, "200 OK", content_type, body);
            let Verdict::Partial { exported: 3, response } = verdict else {
                unreachable!("{protocol:?} {content_type}: {verdict:?}")
            };
            assert_eq!((response.rejected, response.message.as_str()), (2, "too old"));
            assert_eq!((stats.exported, stats.rejected), (3, 2));
        }
    }
    // Without a type it is as the request was.
    let (verdict, _) = verdict_of(Protocol::HttpJson, "200 OK", "text/plain", json);
    assert!(matches!(verdict, Verdict::Partial { .. }), "{verdict:?}");
    let (verdict, _) = verdict_of(Protocol::HttpProtobuf, "200 OK", "text/plain", json);
    assert_eq!(verdict, Verdict::Exported { records: 5 });
}

#[test]
fn a_refusal_in_json_is_told_in_its_words_and_one_too_large_is_not_read() {
    let (verdict, stats) =
        verdict_of(Protocol::HttpJson, "400 Bad", JSON, br#"{"code":3,"message":"no span","details":[]}"#);
    let Verdict::Rejected { records: 5, code, message } = verdict else { unreachable!("{verdict:?}") };
    assert_eq!((code, message.as_str(), stats.rejected), (Code::Http(400), "no span", 5));
    let large = [b"{\"a\":\"", &b"x".repeat(1 << 16)[..], b"\"}"].concat();
    let (verdict, _) = verdict_of(Protocol::HttpJson, "200 OK", JSON, &large);
    assert_eq!(verdict, Verdict::Dropped { records: 5, reason: DropReason::BadAnswer });
}

#[test]
fn what_cannot_be_converted_comes_back_and_what_is_too_large_is_counted() {
    let exporter = ExporterConfig::default().max_request_bytes(500);
    for compression in compressions() {
        let config = ClientConfig::new("http://127.0.0.1:9").protocol(Protocol::HttpJson);
        let config = config.compression(compression).exporter(exporter.clone());
        let client = Client::start(config).expect("valid");
        let error = client.send(Signal::Traces, b"\xff".as_slice().into(), 4).expect_err("no request");
        assert_eq!((error.kind(), client.stats()), (ErrorKind::Malformed, Stats::default()));
        // Small as protobuf and compressed, too large as JSON.
        let spans = vec![Span { name: "a".into(), ..Span::default() }; 50];
        let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
        let resource_spans = vec![ResourceSpans { scope_spans, ..Default::default() }];
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        assert!(body.len() < 300);
        let error = client.send(Signal::Traces, body.into(), 50).expect_err("too large");
        let stats = client.stats();
        assert_eq!((error.kind(), stats.accepted, stats.dropped), (ErrorKind::Limit, 50, 50));
    }
}

fn answer_to(limits: ReceiverLimits, request: &[u8]) -> (Message, ReceiverStats, Vec<(Signal, Vec<u8>)>) {
    let (receiver, inbox) = receive(limits, Answer::accepted(1));
    let mut wire = Wire::connect(receiver.local_addr());
    wire.write(request);
    let answer = wire.read().expect("an answer");
    drop(wire);
    let stats = receiver.shutdown(PATIENCE);
    assert!(stats.requests.is_balanced() && stats.held_bytes == 0, "{stats:?}");
    let inbox = inbox.lock().expect("not poisoned").clone();
    (answer, stats, inbox)
}

fn in_json(answer: &Message) -> serde_json::Value {
    assert_eq!(answer.header("content-type"), Some(JSON), "{answer:?}");
    serde_json::from_slice(&answer.body).expect("json")
}

/// The answer is a `google.rpc.Status` in JSON with these words.
#[track_caller]
fn assert_refused(request: &[u8], status: u16, message: &str) {
    let (answer, stats, inbox) = answer_to(ReceiverLimits::default(), request);
    assert_eq!(answer.status(), status, "{answer:?}");
    let body = in_json(&answer);
    let code = body.get("code").and_then(serde_json::Value::as_i64);
    assert!(code.is_some_and(|code| (1..=16).contains(&code)), "{body}");
    assert_eq!(body.get("message").and_then(serde_json::Value::as_str), Some(message));
    assert_eq!((stats.requests.rejected, inbox.len()), (1, 0));
}

#[test]
fn full_success_in_json_is_an_empty_object() {
    for content_type in [JSON, "Application/JSON; charset=utf-8"] {
        let request = post_as(content_type, "/v1/logs", "", b" {\"resourceLogs\" : [] , \"new\": [1]}\n");
        let (answer, _, inbox) = answer_to(ReceiverLimits::default(), &request);
        assert_eq!((answer.status(), answer.body.as_slice()), (200, &b"{}"[..]));
        assert_eq!((answer.header("content-type"), inbox), (Some(JSON), vec![(Signal::Logs, Vec::new())]));
    }
}

#[test]
fn partial_success_and_refusals_are_answered_in_the_form_of_the_request() {
    let partial = Answer::partial(1, u64::MAX, "déjà \"vu\"");
    let (receiver, _) = receive(ReceiverLimits::default(), partial);
    let mut wire = Wire::connect(receiver.local_addr());
    wire.write(&post_as(JSON, "/v1/metrics", "", b"{}"));
    let expected = serde_json::json!({
        "partialSuccess": { "rejectedDataPoints": i64::MAX.to_string(), "errorMessage": "déjà \"vu\"" }
    });
    assert_eq!(in_json(&wire.read().expect("an answer")), expected);
    wire.write(&post("/v1/metrics", "", b""));
    let answer = wire.read().expect("an answer");
    assert_eq!(answer.header("content-type"), Some("application/x-protobuf"));
    assert!(answer.body.starts_with(b"\x0a"));
    let (receiver, _) = receive(ReceiverLimits::default(), Answer::busy(Duration::from_secs(2)));
    let mut wire = Wire::connect(receiver.local_addr());
    wire.write(&post_as(JSON, "/v1/metrics", "", b"{}"));
    let answer = wire.read().expect("an answer");
    assert_eq!((answer.status(), answer.header("retry-after")), (503, Some("2")));
    assert_eq!(in_json(&answer), serde_json::json!({ "code": 14, "message": "busy" }));
}

#[test]
fn errors_before_the_body_are_in_json_too() {
    assert_refused(
        &post_as(JSON, "/v1/other", "", b"{}"),
        404,
        "path: expected /v1/traces, metrics or logs, or /v1development/profiles",
    );
    let request = post_as(JSON, "/v1/traces", "Content-Encoding: br\r\n", b"{}");
    assert_refused(&request, 415, "content-encoding: expected identity or gzip");
}

#[test]
fn bad_json_is_a_bad_request_that_says_where() {
    for (text, message) in [
        (&b""[..], "json: expected an object, met the end of the text at byte 0"),
        (b"[]", "json: expected an object, met an array at byte 0"),
        (b"{} {}", "json: expected the end of the text, met an object at byte 3"),
        (b"{\"resourceSpans\":[{\"scopeSpans\":7}]}", "json: expected an array, met a number at byte 32"),
        (
            b"{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"abc\"}]}]}]}",
            "json: identifier of 2 bytes, expected 16 at byte 54",
        ),
        (b"{\"resourceSpans\":[],\"resourceSpans\":[]}", "json: member that was given already at byte 20"),
        (b"\x0a\x02\x08\x07", "json: expected an object, met another character at byte 1"),
    ] {
        assert_refused(&post_as(JSON, "/v1/traces", "", text), 400, message);
    }
}

#[test]
fn nesting_without_end_is_refused_after_a_few_levels() {
    let million = 1_000_000;
    let unknown = [b"{\"x\":", &b"[".repeat(million)[..]].concat();
    assert_refused(
        &post_as(JSON, "/v1/logs", "", &unknown),
        400,
        "json: max_depth: 65 exceeds limit 64 at byte 69",
    );
    let closed = [&unknown[..], &b"]".repeat(million), b"}"].concat();
    assert_refused(
        &post_as(JSON, "/v1/logs", "", &closed),
        400,
        "json: max_depth: 65 exceeds limit 64 at byte 69",
    );
    let objects = b"{\"a\":".repeat(million);
    assert_refused(
        &post_as(JSON, "/v1/logs", "", &objects),
        400,
        "json: max_depth: 65 exceeds limit 64 at byte 325",
    );
    let bare = b"[".repeat(4 << 20);
    assert_refused(
        &post_as(JSON, "/v1/logs", "", &bare),
        400,
        "json: expected an object, met an array at byte 0",
    );
    let values = b"{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"value\":".to_vec();
    let values = [values, b"{\"arrayValue\":{\"values\":[".repeat(million / 10)].concat();
    let (answer, ..) = answer_to(ReceiverLimits::default(), &post_as(JSON, "/v1/logs", "", &values));
    let body = in_json(&answer);
    assert!(body["message"].as_str().is_some_and(|text| text.starts_with("json: max_depth: 65")), "{body}");
}

#[test]
fn a_text_that_grows_past_the_limit_is_too_large() {
    let counts = "1,".repeat(20_000);
    let text = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"histogram":{{"dataPoints":[{{"bucketCounts":[{counts}1]}}]}}}}]}}]}}]}}"#
    );
    let request = post_as(JSON, "/v1/metrics", "", text.as_bytes());
    assert!(text.len() < 50_000);
    let limits = ReceiverLimits::default().max_body_bytes(100_000);
    let (answer, stats, inbox) = answer_to(limits.clone(), &request);
    assert_eq!((answer.status(), stats.too_large, inbox.len()), (413, 1, 0));
    assert_eq!(in_json(&answer)["message"], "body: exceeds limit 100000");
    let (answer, _, inbox) = answer_to(limits.max_body_bytes(200_000), &request);
    assert_eq!((answer.status(), inbox.len()), (200, 1));
    assert!(inbox[0].1.len() > 160_000);
}

#[cfg(feature = "gzip")]
#[test]
fn a_bomb_in_gzip_is_refused_at_the_limit_whatever_is_in_it() {
    let encode = |text: &[u8]| otlp_core::compress::GzipEncoder::default().encode(text).expect("memory");
    let bomb = encode(&b" ".repeat(4 << 20));
    let request = post_as(JSON, "/v1/traces", "Content-Encoding: gzip\r\n", &bomb);
    let (answer, stats, _) = answer_to(ReceiverLimits::default().max_body_bytes(1 << 20), &request);
    assert_eq!((answer.status(), stats.too_large), (413, 1));
    assert_eq!(in_json(&answer)["code"], 8);
    // Within the limit it is read, and is no object.
    assert_refused(&request, 400, "json: expected an object, met the end of the text at byte 4194304");
    let request = post_as(JSON, "/v1/traces", "Content-Encoding: gzip\r\n", &encode(b"{}"));
    assert_eq!(answer_to(ReceiverLimits::default(), &request).0.status(), 200);
}
