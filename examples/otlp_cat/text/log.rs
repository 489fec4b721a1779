//! Log records: a line each, and what else there is below it.

use otlp_core::UnixNanos;
use otlp_core::record::{AnyValue, LogRecord, SeverityNumber};

use super::Page;
use super::value::{one_line, quoted, time};

pub(super) fn print(page: &mut Page, record: &LogRecord) {
    let at = if record.time == UnixNanos::ZERO { record.observed_time } else { record.time };
    let severity = match (record.severity_number, record.severity_text.as_str()) {
        (SeverityNumber::UNSPECIFIED, "") => "-".into(),
        (number, "") => number.name().into(),
        (_, text) => quoted(text),
    };
    let body = if record.body == AnyValue::Empty { String::new() } else { one_line(&record.body) };
    let event = if record.event_name.is_empty() {
        String::new()
    } else {
        format!("[{}] ", quoted(&record.event_name))
    };
    page.line(0, format!("{}  {severity:5}  {event}{body}", time(at)));
    if record.trace_id.is_valid() || record.span_id.is_valid() {
        page.line(1, format!("trace {}  span {}", record.trace_id, record.span_id));
    }
    page.attributes(1, &record.attributes);
    page.dropped(1, "attributes", record.dropped_attributes_count);
}
