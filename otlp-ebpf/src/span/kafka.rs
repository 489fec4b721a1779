//! What a span says of a Kafka request, as the broker sees it.
//!
//! A request about one topic has it as its destination. One about several has none (the conventions want it only
//! where it is the same for all messages), but the list of their names, the first 8. Fetch asks for many and gets
//! messages of few: where these are of one topic, that is the destination.

use otlp_core::record::{AnyValue, KeyValue};
use otlp_core::semconv;

use super::{CAPTURE_GAP, EncodedSpan, Ends, attribute, fail, int, server};
use crate::parse::kafka::{Api, ErrorCode, Request, Response, Topics};

pub(super) fn request(span: &mut EncodedSpan, request: &Request<'_>, ends: &Ends) {
    let api = request.api();
    api.name().clone_into(&mut span.name);
    attribute(span, semconv::MESSAGING_SYSTEM, "kafka");
    attribute(span, semconv::MESSAGING_OPERATION_NAME, api.name());
    if let Some(kind) = operation_type(api) {
        attribute(span, semconv::MESSAGING_OPERATION_TYPE, kind);
    }
    if let Some(client) = request.client_id() {
        attribute(span, semconv::MESSAGING_CLIENT_ID, client);
    }
    if let Some(group) = request.group() {
        attribute(span, semconv::MESSAGING_CONSUMER_GROUP_NAME, group);
    }
    destination(span, request.topics(), request.partition());
    if api == Api::PRODUCE {
        messages(span, request.records(), request.record_bytes());
    }
    if request.has_gap() {
        attribute(span, CAPTURE_GAP, true);
    }
    server(span, ends);
}

pub(super) fn response(span: &mut EncodedSpan, response: &Response<'_>) {
    if response.api() == Some(Api::FETCH) {
        if !span.attributes.contains(semconv::MESSAGING_DESTINATION_NAME) {
            destination(span, response.topics(), response.partition());
        }
        messages(span, response.records(), response.record_bytes());
    }
    // Every new member of a group is told once to come again with the name that it now has.
    if let Some(error) = response.error().filter(|error| *error != ErrorCode::MEMBER_ID_REQUIRED) {
        fail(span, error.name());
    }
}

fn destination(span: &mut EncodedSpan, topics: Topics<'_>, partition: Option<i32>) {
    if let Some(topic) = topics.only() {
        span.name.push(' ');
        span.name.push_str(topic);
        attribute(span, semconv::MESSAGING_DESTINATION_NAME, topic);
        if let Some(partition) = partition {
            attribute(span, semconv::MESSAGING_DESTINATION_PARTITION_ID, partition.to_string().as_str());
        }
        return;
    }
    let names: Vec<_> = topics.names().map(AnyValue::from).collect();
    if !names.is_empty() && !span.attributes.contains(DESTINATIONS) {
        span.attributes.push(KeyValue::new(DESTINATIONS, AnyValue::Array(names)));
    }
}

fn messages(span: &mut EncodedSpan, records: Option<u64>, bytes: u64) {
    if let Some(records) = records {
        attribute(span, semconv::MESSAGING_BATCH_MESSAGE_COUNT, int(records));
    }
    if records == Some(1) {
        attribute(span, semconv::MESSAGING_MESSAGE_ENVELOPE_SIZE, int(bytes));
    }
}

/// What the conventions call an operation: only where messages are sent, fetched or done with.
fn operation_type(api: Api) -> Option<&'static str> {
    match api.name() {
        "Produce" => Some("send"),
        "Fetch" | "ShareFetch" => Some("receive"),
        "OffsetCommit" | "TxnOffsetCommit" | "ShareAcknowledge" => Some("settle"),
        _ => None,
    }
}

/// The topics where there are several: the conventions have nothing for it.
const DESTINATIONS: &str = "otlp.messaging.destination.names";
