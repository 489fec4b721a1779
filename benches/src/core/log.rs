//! Logs.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use otlp_core::record::LogsRequest;
use otlp_core::view::{LogRecordView, LogsView};
use otlp_core::{DecodeError, Limits};

use super::payload::{log, order::Root};
use super::signal::Signal;
use super::walk::{Seen, pairs, prost_pairs, prost_value, value};
use super::{LIMITS, Rows};
use crate::measure::Effort;

pub(super) const LOGS: Signal<ExportLogsServiceRequest, LogsRequest> = Signal {
    name: "logs",
    unit: "record",
    count: log::RECORDS,
    root: Root::Logs,
    make: log::request,
    view,
    prost,
    records: |body| LogsView::parse(body, &LIMITS)?.to_record(),
};

pub(super) fn rows(effort: &Effort) -> Rows {
    LOGS.rows(effort)
}

fn view(body: &[u8], limits: &Limits) -> Result<u64, DecodeError> {
    let mut seen = Seen::default();
    for group in LogsView::parse(body, limits)?.resources() {
        let group = group?;
        pairs(&mut seen, group.resource().attributes())?;
        for scope in group.scopes() {
            let scope = scope?;
            seen.bytes(scope.scope().name().as_bytes());
            seen.bytes(scope.scope().version().as_bytes());
            for each in scope.records() {
                record(&mut seen, &each?)?;
            }
        }
    }
    Ok(seen.0)
}

fn record(seen: &mut Seen, record: &LogRecordView<'_>) -> Result<(), DecodeError> {
    seen.number(record.time().0);
    seen.number(record.observed_time().0);
    seen.number(u64::from(record.severity_number().0.cast_unsigned()));
    seen.bytes(record.severity_text().as_bytes());
    value(seen, &record.body())?;
    pairs(seen, record.attributes())?;
    seen.number(record.dropped_attributes_count().into());
    seen.number(record.flags().into());
    let (trace, span) = (record.trace_id(), record.span_id());
    seen.bytes(if trace.is_valid() { trace.as_bytes() } else { &[] });
    seen.bytes(if span.is_valid() { span.as_bytes() } else { &[] });
    seen.bytes(record.event_name().as_bytes());
    Ok(())
}

fn prost(request: &ExportLogsServiceRequest) -> u64 {
    let mut seen = Seen::default();
    for group in &request.resource_logs {
        prost_pairs(&mut seen, group.resource.as_ref().map_or(&[], |resource| &resource.attributes));
        for scope in &group.scope_logs {
            let library = scope.scope.as_ref();
            seen.bytes(library.map_or("", |library| &library.name).as_bytes());
            seen.bytes(library.map_or("", |library| &library.version).as_bytes());
            for record in &scope.log_records {
                seen.number(record.time_unix_nano);
                seen.number(record.observed_time_unix_nano);
                seen.number(u64::from(record.severity_number.cast_unsigned()));
                seen.bytes(record.severity_text.as_bytes());
                record.body.iter().for_each(|body| prost_value(&mut seen, body));
                prost_pairs(&mut seen, &record.attributes);
                seen.number(record.dropped_attributes_count.into());
                seen.number(record.flags.into());
                seen.bytes(&record.trace_id);
                seen.bytes(&record.span_id);
                seen.bytes(record.event_name.as_bytes());
            }
        }
    }
    seen.0
}
