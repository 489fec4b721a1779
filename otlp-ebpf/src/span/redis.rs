//! What a span says of a Redis command.

use otlp_core::record::Span;
use otlp_core::semconv;

use super::{Ends, attribute, fail, server};
use crate::parse::redis::{Command, Reply};

/// Arguments shown as `?` at most.
const MAX_SHOWN: u64 = 16;

pub(super) fn request(span: &mut Span, command: &Command<'_>, ends: &Ends) {
    let name = command.name().unwrap_or("_OTHER");
    // The conventions keep the numeric namespace out of the name, and nothing else of low cardinality is known.
    span.name = name.to_owned();
    attribute(span, semconv::DB_SYSTEM_NAME, "redis");
    attribute(span, semconv::DB_OPERATION_NAME, name);
    attribute(span, semconv::DB_QUERY_TEXT, query_text(name, command.arguments()));
    server(span, ends);
}

pub(super) fn response(span: &mut Span, reply: &Reply<'_>) {
    if let Some(prefix) = reply.error_prefix() {
        attribute(span, semconv::DB_RESPONSE_STATUS_CODE, prefix);
        fail(span, prefix);
    }
}

/// The command with its arguments replaced, keys too: they may hold what is not for spans.
fn query_text(name: &str, arguments: u64) -> String {
    let mut text = name.to_owned();
    (0..arguments.min(MAX_SHOWN)).for_each(|_| text.push_str(" ?"));
    if arguments > MAX_SHOWN {
        text.push_str(" ...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_replaced_and_many_are_cut() {
        assert_eq!(query_text("PING", 0), "PING");
        assert_eq!(query_text("SET", 2), "SET ? ?");
        let many = query_text("MSET", 1 << 40);
        assert!(many.ends_with("? ? ...") && many.len() < 64);
    }
}
