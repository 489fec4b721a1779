//! What a span says of a Redis command.

use otlp_core::semconv;

use super::{EncodedSpan, Ends, attribute, fail, server};
use crate::parse::redis::{Command, Reply};
use crate::service::Service;

pub(super) fn request(span: &mut EncodedSpan, command: &Command<'_>, service: &Service, ends: &Ends) {
    let name = command.name().unwrap_or("_OTHER");
    // The conventions keep the numeric namespace out of the name, and nothing else of low cardinality is known.
    span.name = name.to_owned();
    attribute(span, semconv::DB_SYSTEM_NAME, "redis");
    attribute(span, semconv::DB_OPERATION_NAME, name);
    attribute(span, semconv::DB_QUERY_TEXT, service.redactor.command(name, command).as_str());
    server(span, ends);
}

pub(super) fn response(span: &mut EncodedSpan, reply: &Reply<'_>) {
    if let Some(prefix) = reply.error_prefix() {
        attribute(span, semconv::DB_RESPONSE_STATUS_CODE, prefix);
        fail(span, prefix);
    }
}
