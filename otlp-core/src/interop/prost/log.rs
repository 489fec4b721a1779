//! Log records.

use opentelemetry_proto::tonic::logs::v1 as logs;

use super::attribute::unless_empty;
use super::{all, span_id, span_id_bytes, trace_id, trace_id_bytes};
use crate::UnixNanos;
use crate::error::{Error, Result};
use crate::record::{AnyValue, LogRecord, SeverityNumber};

impl From<LogRecord> for logs::LogRecord {
    fn from(log: LogRecord) -> Self {
        Self {
            time_unix_nano: log.time.0,
            observed_time_unix_nano: log.observed_time.0,
            severity_number: log.severity_number.0,
            severity_text: log.severity_text,
            body: unless_empty(log.body),
            attributes: all(log.attributes),
            dropped_attributes_count: log.dropped_attributes_count,
            flags: log.flags,
            trace_id: trace_id_bytes(log.trace_id),
            span_id: span_id_bytes(log.span_id),
            event_name: log.event_name,
        }
    }
}

impl TryFrom<logs::LogRecord> for LogRecord {
    type Error = Error;

    fn try_from(log: logs::LogRecord) -> Result<Self> {
        Ok(Self {
            time: UnixNanos(log.time_unix_nano),
            observed_time: UnixNanos(log.observed_time_unix_nano),
            severity_number: SeverityNumber(log.severity_number),
            severity_text: log.severity_text,
            body: log.body.map_or(AnyValue::Empty, Into::into),
            attributes: all(log.attributes),
            dropped_attributes_count: log.dropped_attributes_count,
            flags: log.flags,
            trace_id: trace_id(&log.trace_id)?,
            span_id: span_id(&log.span_id)?,
            event_name: log.event_name,
        })
    }
}
