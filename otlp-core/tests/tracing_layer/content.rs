//! What spans and events say arrives, by type.

use std::fmt;

use otlp_core::encode::Encode;
use otlp_core::interop::tracing::EventsAs;
use otlp_core::protocol::Signal;
use otlp_core::record::{
    AnyValue, Event, KeyValue, Resource, ResourceSpans, Scope, ScopeSpans, SeverityNumber, Span, SpanKind,
    StatusCode, TracesRequest,
};
use otlp_core::{SpanId, TraceId, UnixNanos};
use proptest::prelude::*;
use tracing::field::Empty;
use tracing::{Level, error, event, info, info_span, warn};

use crate::{config, logs, spans, under, value};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// The whole request, byte by byte.
    #[test]
    fn a_request_is_the_encoding_of_its_records(
        whole in any::<i64>(), positive in any::<u64>(), double in any::<f64>(), yes in any::<bool>(),
        text in "\\PC{0,40}", list in prop::collection::vec(any::<u8>(), 0..4), bytes in "[a-z]{0,9}",
    ) {
        let layer = under(config(), |_| {
            let span = info_span!(
                "work", otel.kind = "CLIENT", whole, positive, double, yes, text, list = ?list,
                bytes = bytes.as_bytes(), shown = %text
            );
            span.in_scope(|| info!(whole, "{text}"));
        });
        let key = |key: &str, value: AnyValue| KeyValue::new(key, value);
        let span = Span {
            trace_id: TraceId::new((0x1000_u128 << 64 | 0x1001).to_be_bytes()),
            span_id: SpanId::new(0x1002_u64.to_be_bytes()),
            flags: 0x101,
            name: "work".into(),
            kind: SpanKind::Client,
            start: UnixNanos(1_000_000),
            end: UnixNanos(1_002_000),
            attributes: vec![
                key("whole", whole.into()),
                key("positive", i64::try_from(positive).map_or_else(|_| positive.to_string().into(), Into::into)),
                key("double", double.into()),
                key("yes", yes.into()),
                key("text", text.as_str().into()),
                key("list", format!("{list:?}").into()),
                key("bytes", AnyValue::Bytes(bytes.clone().into_bytes())),
                key("shown", text.as_str().into()),
            ],
            events: vec![Event {
                time: UnixNanos(1_001_000),
                name: text.clone(),
                attributes: vec![key("level", "INFO".into()), key("whole", whole.into())],
                dropped_attributes_count: 0,
            }],
            ..Span::default()
        };
        let scope = Scope { name: "tracing".into(), ..Scope::default() };
        let scopes = vec![ScopeSpans { scope, spans: vec![span], ..ScopeSpans::default() }];
        let resource = Resource::service("cart");
        let expected = TracesRequest { resources: vec![ResourceSpans { resource, scopes, ..ResourceSpans::default() }] };
        let request = layer.take_request(Signal::Traces).unwrap();
        prop_assert_eq!(request.body, expected.encode_to_bytes());
    }
}

#[test]
fn the_names_of_the_convention_set_name_kind_and_status() {
    let layer = under(config(), |_| {
        let _ok = info_span!("a", otel.name = "GET /", otel.kind = "server", otel.status_code = "OK");
        let _bad = info_span!("b", otel.kind = ?SpanKind::Producer, otel.status_description = "no stock");
        let _odd = info_span!("c", otel.kind = "other", otel.status_code = "whatever");
    });
    let spans = spans(&layer);
    let seen = |name: &str| {
        let span = spans.iter().find(|span| span.name == name).unwrap();
        assert!(span.attributes.is_empty(), "{:?}", span.attributes);
        (span.kind, span.status.code, span.status.message.as_str())
    };
    assert_eq!(seen("GET /"), (SpanKind::Server, StatusCode::Ok, ""));
    assert_eq!(seen("b"), (SpanKind::Producer, StatusCode::Error, "no stock"));
    assert_eq!(seen("c"), (SpanKind::Internal, StatusCode::Unset, ""));
}

#[test]
fn a_field_recorded_again_replaces_what_it_held() {
    let layer = under(config(), |_| {
        let span = info_span!("work", first = 1, second = 2, later = Empty);
        span.record("later", "x");
        span.record("first", 10).record("later", "y").record("unknown", 5);
    });
    let attributes = &spans(&layer)[0].attributes;
    assert_eq!(attributes.len(), 3, "{attributes:?}");
    assert_eq!(value(attributes, "first"), Some(&AnyValue::Int(10)));
    assert_eq!(value(attributes, "second"), Some(&AnyValue::Int(2)));
    assert_eq!(value(attributes, "later"), Some(&AnyValue::from("y")));
}

#[derive(Debug)]
struct Failure(Option<Box<Self>>, &'static str);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

#[test]
fn an_error_tells_its_sources_and_fails_the_span() {
    let failure = Failure(Some(Box::new(Failure(None, "disk full"))), "cannot save");
    let failure: &(dyn std::error::Error + 'static) = &failure;
    let layer = under(config(), |_| {
        info_span!("work").in_scope(|| error!(cause = failure));
        info_span!("other").in_scope(|| error!(error = %failure, "gave up"));
        info_span!("fine", otel.status_code = "ok").in_scope(|| error!("not so bad"));
        info_span!("quiet").in_scope(|| warn!("hm"));
    });
    let spans = spans(&layer);
    let event = &spans[0].events[0];
    assert_eq!(event.name, "exception");
    assert_eq!(value(&event.attributes, "cause"), Some(&AnyValue::from("cannot save")));
    assert_eq!(value(&event.attributes, "exception.message"), Some(&AnyValue::from("cannot save")));
    let chain = AnyValue::Array(vec![AnyValue::from("disk full")]);
    assert_eq!(value(&event.attributes, "cause.chain"), Some(&chain));
    assert_eq!(spans[1].events[0].name, "gave up");
    let status = |index: usize| (spans[index].status.code, spans[index].status.message.as_str());
    assert_eq!(status(0), (StatusCode::Error, "cannot save"));
    assert_eq!(status(1), (StatusCode::Error, "cannot save"));
    assert_eq!(status(2), (StatusCode::Ok, ""));
    assert_eq!(status(3), (StatusCode::Unset, ""));
}

#[test]
fn events_become_log_records_linked_to_their_span() {
    let layer = under(config().events(EventsAs::Logs), |_| {
        warn!(stock = 3, "low stock");
        info_span!("work").in_scope(|| event!(name: "cart.added", Level::ERROR, item = "tea"));
    });
    let (logs, spans) = (logs(&layer), spans(&layer));
    assert_eq!(logs.len(), 2);
    let (alone, within) = (&logs[0], &logs[1]);
    assert_eq!((alone.body.as_str(), alone.severity_number), (Some("low stock"), SeverityNumber::WARN));
    assert_eq!((alone.severity_text.as_str(), alone.event_name.as_str()), ("WARN", ""));
    assert_eq!(alone.attributes, [KeyValue::new("stock", 3_i64)]);
    assert_eq!((alone.trace_id, alone.time), (TraceId::INVALID, alone.observed_time));
    assert_eq!((within.event_name.as_str(), &within.body), ("cart.added", &AnyValue::Empty));
    assert_eq!((within.trace_id, within.span_id, within.flags), (spans[0].trace_id, spans[0].span_id, 1));
    assert!(spans[0].events.is_empty());
}

#[test]
fn both_ways_give_an_event_and_a_record() {
    let layer = under(config().events(EventsAs::Both), |_| {
        info_span!("work").in_scope(|| info!(n = 1, "once"));
    });
    let event = spans(&layer)[0].events[0].clone();
    let log = logs(&layer).remove(0);
    assert_eq!((log.body.as_str(), log.time), (Some(event.name.as_str()), event.time));
}

#[test]
fn place_thread_target_and_level_are_told_by_choice() {
    let all = config().location(true).target(true).level(true).thread(true);
    let layer = under(all, |_| drop(info_span!(target: "shop::cart", "work")));
    let attributes = &spans(&layer)[0].attributes;
    assert_eq!(value(attributes, "target"), Some(&AnyValue::from("shop::cart")));
    assert_eq!(value(attributes, "level"), Some(&AnyValue::from("INFO")));
    let file = value(attributes, "code.file.path").and_then(AnyValue::as_str).unwrap();
    assert!(file.ends_with("content.rs"), "{file}");
    assert!(value(attributes, "code.line.number").and_then(AnyValue::as_int).unwrap() > 0);
    assert!(value(attributes, "code.module.name").is_some());
    assert!(value(attributes, "thread.id").and_then(AnyValue::as_int).unwrap() > 0);
    let name = value(attributes, "thread.name").and_then(AnyValue::as_str).unwrap();
    assert!(name.ends_with("told_by_choice"), "{name}");
}

/// A value whose formatting records on the span that it is a field of.
struct Tracing;

impl fmt::Debug for Tracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        info_span!("inner").in_scope(|| info!("formatting"));
        tracing::Span::current().record("later", 7);
        f.write_str("traced")
    }
}

#[test]
fn a_value_that_traces_while_it_is_formatted_neither_hangs_nor_mixes() {
    let layer = under(config().events(EventsAs::Both), |_| {
        let span = info_span!("outer", value = ?Tracing, later = Empty);
        span.in_scope(|| {
            span.record("value", tracing::field::debug(Tracing));
            info!(value = ?Tracing, "said");
        });
    });
    let spans = spans(&layer);
    let outer = spans.iter().find(|span| span.name == "outer").unwrap();
    let expected = [KeyValue::new("value", "traced"), KeyValue::new("later", 7_i64)];
    assert_eq!(outer.attributes.len(), 2);
    expected.iter().for_each(|each| assert!(outer.attributes.contains(each), "{:?}", outer.attributes));
    assert_eq!(value(&outer.events[0].attributes, "value"), Some(&AnyValue::from("traced")));
    assert!(spans.iter().filter(|span| span.name == "inner").all(|span| span.events.len() == 1));
    assert_eq!(logs(&layer).iter().filter(|log| log.body.as_str() == Some("said")).count(), 1);
}
