//! Log records and metrics from the types of `opentelemetry_sdk`.

mod payload;

use std::cell::RefCell;

use opentelemetry::InstrumentationScope;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::resource::v1::Resource as ProstResource;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::logs::tonic::group_logs_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{LogBatch, SdkLogRecord};
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use otlp_core::interop::sdk::{LogEncoder, MetricEncoder};
use otlp_core::wire::Writer;
use prost::Message;

use super::payload::Kind;
use super::{EXPORTER, Rows, payload as core_payload};
use crate::heap::allocations;
use crate::measure::{Effort, Figure, Row, Work, compare, timed};

type Entry<'a> = (&'a SdkLogRecord, &'a InstrumentationScope);

/// Measures logs and metrics, each payload once *realistic* and once *non-ASCII*.
pub(super) fn rows(effort: &Effort) -> Rows {
    let kinds = [("realistic", Kind::Realistic), ("non-ASCII", Kind::NonAscii)];
    kinds
        .into_iter()
        .flat_map(|(name, kind)| [log_rows(name, kind, effort), metric_rows(name, kind, effort)])
        .flatten()
        .collect()
}

fn log_rows(name: &str, kind: Kind, effort: &Effort) -> Rows {
    let (entries, resource) = (payload::logs(kind), core_payload::resource());
    let entries: Vec<Entry<'_>> = entries.iter().map(|(record, scope)| (record, scope)).collect();
    let batch = LogBatch::new(&entries);
    let encoder = RefCell::new((LogEncoder::new(), Writer::new()));
    let ours = || {
        let (encoder, writer) = &mut *encoder.borrow_mut();
        writer.clear();
        encoder.encode(&batch, &resource, writer);
        writer.len() as u64
    };
    ours();
    if let Err(error) = check_logs(encoder.borrow().1.as_slice(), &log_request(&batch, &resource)) {
        return vec![Err(error.into())];
    }
    let attributes = ResourceAttributesWithSchema::from(&resource);
    let mut buffer = Vec::new();
    let theirs = || {
        buffer.clear();
        let resource_logs = group_logs_by_resource_and_scope(&batch, &attributes);
        let request = ExportLogsServiceRequest { resource_logs };
        request.encode(&mut buffer).map_or(0, |()| buffer.len() as u64)
    };
    both(
        &format!("logs, {name}: encode from LogBatch, reused buffer, a record"),
        entries.len(),
        effort,
        (ours, theirs),
    )
}

fn metric_rows(name: &str, kind: Kind, effort: &Effort) -> Rows {
    let (metrics, points) = match payload::metrics(kind, core_payload::resource()) {
        Ok(made) => made,
        Err(error) => return vec![Err(error)],
    };
    let encoder = RefCell::new((MetricEncoder::new(), Writer::new()));
    let ours = || {
        let (encoder, writer) = &mut *encoder.borrow_mut();
        writer.clear();
        encoder.encode(&metrics, writer);
        writer.len() as u64
    };
    ours();
    if let Err(error) = check_metrics(encoder.borrow().1.as_slice(), &metrics) {
        return vec![Err(error.into())];
    }
    let mut buffer = Vec::new();
    let theirs = || {
        buffer.clear();
        let request = ExportMetricsServiceRequest::from(&metrics);
        request.encode(&mut buffer).map_or(0, |()| buffer.len() as u64)
    };
    both(
        &format!("metrics, {name}: encode from ResourceMetrics, reused buffer, a point"),
        points,
        effort,
        (ours, theirs),
    )
}

/// The ratio of the two ways, and the allocations of each.
fn both(
    figure: &str,
    records: usize,
    effort: &Effort,
    (ours, mut theirs): (impl Fn() -> u64, impl FnMut() -> u64),
) -> Rows {
    if !figure.contains(&effort.only) {
        return Rows::new();
    }
    let count = |bytes: &mut dyn FnMut() -> u64| {
        let calls = allocations(|| {
            bytes();
        });
        calls as f64 / records as f64
    };
    let counts = [count(&mut || ours()), count(&mut theirs)];
    let peer: Work<'_> = Box::new(move || timed(&mut theirs));
    let mut timing = Figure {
        name: figure.to_owned(),
        records: u32::try_from(records).unwrap_or(u32::MAX),
        ours: Box::new(|| timed(&ours)),
        peer: (EXPORTER, peer),
        bar: 4.0,
    };
    let row = compare(&mut timing, effort);
    let [ours, theirs] = counts;
    vec![
        row.map_err(Into::into),
        Ok(Row::count(&format!("{figure}: allocations"), ours, 0.0, Some((EXPORTER, theirs)))),
    ]
}

fn log_request(batch: &LogBatch<'_>, resource: &Resource) -> ExportLogsServiceRequest {
    let resource_logs = group_logs_by_resource_and_scope(batch, &resource.into());
    ExportLogsServiceRequest { resource_logs }
}

/// Field by field; the peer's scopes and both sides' attributes of the resource come from hash maps.
fn check_logs(ours: &[u8], theirs: &ExportLogsServiceRequest) -> Result<(), &'static str> {
    let mut ours = ExportLogsServiceRequest::decode(ours).map_err(|_| "logs: cannot be decoded")?;
    let mut theirs = theirs.clone();
    for group in ours.resource_logs.iter_mut().chain(&mut theirs.resource_logs) {
        by_key(&mut group.resource);
        group.scope_logs.sort_by_key(|scope| scope.scope.clone().unwrap_or_default().name);
    }
    if ours == theirs { Ok(()) } else { Err("logs: encoded content differs") }
}

fn check_metrics(ours: &[u8], metrics: &ResourceMetrics) -> Result<(), &'static str> {
    let mut ours = ExportMetricsServiceRequest::decode(ours).map_err(|_| "metrics: cannot be decoded")?;
    let mut theirs = ExportMetricsServiceRequest::from(metrics);
    for group in ours.resource_metrics.iter_mut().chain(&mut theirs.resource_metrics) {
        by_key(&mut group.resource);
    }
    if ours == theirs { Ok(()) } else { Err("metrics: encoded content differs") }
}

fn by_key(resource: &mut Option<ProstResource>) {
    let lists = resource.iter_mut().map(|resource| &mut resource.attributes);
    lists.for_each(|list: &mut Vec<KeyValue>| list.sort_by(|a, b| a.key.cmp(&b.key)));
}
