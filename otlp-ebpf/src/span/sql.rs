//! What a span says of a command to an SQL database.
//!
//! Where there is a statement its summary is the span's name and there is no `db.operation.name`, which the
//! conventions do not want to be taken from a text; a command of the protocol without one is named by what it does.

use otlp_core::semconv;

use super::{EncodedSpan, Ends, attribute, fail, int, server};
use crate::parse::sql::{Command, Failure, Operation, Outcome};
use crate::service::Service;
use crate::sql::Statement;

pub(super) fn request(span: &mut EncodedSpan, command: &Command<'_>, service: &Service, ends: &Ends) {
    attribute(span, semconv::DB_SYSTEM_NAME, command.system.name());
    if let Some(namespace) = command.namespace {
        attribute(span, semconv::DB_NAMESPACE, namespace);
    }
    let summary = command.statement.map(Statement::summary).filter(|summary| !summary.is_empty());
    let prepares = command.operation == Operation::Prepare;
    span.name = match summary {
        Some(summary) if prepares => format!("PREPARE {summary}"),
        Some(summary) => summary.to_owned(),
        None => named(command),
    };
    if summary.is_some() {
        span.attributes.add(semconv::DB_QUERY_SUMMARY, span.name.as_str());
    }
    if prepares || command.statement.is_none() {
        attribute(span, semconv::DB_OPERATION_NAME, command.operation.name());
    }
    let text = command.statement.map(Statement::text).filter(|text| !text.is_empty());
    if let Some(text) = text.and_then(|text| service.redactor.statement(text)) {
        attribute(span, semconv::DB_QUERY_TEXT, text.as_ref());
    }
    server(span, ends);
}

/// The name of a span without a summary: what is done, and to which database.
fn named(command: &Command<'_>) -> String {
    match (command.statement, command.namespace) {
        (Some(_), Some(namespace)) => namespace.to_owned(),
        (Some(_), None) => command.system.name().to_owned(),
        (None, Some(namespace)) => format!("{} {namespace}", command.operation.name()),
        (None, None) => command.operation.name().to_owned(),
    }
}

pub(super) fn response(span: &mut EncodedSpan, outcome: Outcome) {
    if let Some(rows) = outcome.returned {
        attribute(span, semconv::DB_RESPONSE_RETURNED_ROWS, int(rows));
    }
    let number: String;
    let code = match &outcome.failure {
        None => return,
        Some(Failure::SqlState(code)) => std::str::from_utf8(code).ok(),
        Some(Failure::Number(code)) => {
            number = code.to_string();
            Some(number.as_str())
        }
        Some(Failure::Skipped) => {
            fail(span, "skipped");
            return;
        }
        Some(Failure::Unread) => None,
    };
    if let Some(code) = code {
        attribute(span, semconv::DB_RESPONSE_STATUS_CODE, code);
    }
    fail(span, code.unwrap_or("_OTHER"));
}
