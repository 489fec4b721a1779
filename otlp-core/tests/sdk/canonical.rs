//! Requests brought into the one form that two encoders must agree on.
//!
//! Evened out is only what neither side decides: the order of what comes from a hash map (attributes of
//! a resource, entries of a map, the peer's scopes), and an identifier of all zeros, which is none.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use prost::Message;

pub(crate) fn logs(bytes: &[u8]) -> ExportLogsServiceRequest {
    let mut request = ExportLogsServiceRequest::decode(bytes).unwrap();
    for group in &mut request.resource_logs {
        by_key(&mut group.resource.as_mut().unwrap().attributes);
        for scope in &mut group.scope_logs {
            // Which of several permutations names the group is up to the first record of it.
            by_key(&mut scope.scope.as_mut().unwrap().attributes);
            for record in &mut scope.log_records {
                record.attributes.iter_mut().filter_map(|pair| pair.value.as_mut()).for_each(maps);
                record.body.iter_mut().for_each(maps);
                none(&mut record.trace_id);
                none(&mut record.span_id);
            }
        }
        group.scope_logs.sort_by_key(|scope| format!("{:?} {}", scope.scope, scope.schema_url));
    }
    request
}

pub(crate) fn metrics(bytes: &[u8]) -> ExportMetricsServiceRequest {
    let mut request = ExportMetricsServiceRequest::decode(bytes).unwrap();
    for group in &mut request.resource_metrics {
        by_key(&mut group.resource.as_mut().unwrap().attributes);
    }
    request
}

fn by_key(attributes: &mut [KeyValue]) {
    attributes.sort_by(|a, b| a.key.cmp(&b.key));
}

fn maps(value: &mut AnyValue) {
    match &mut value.value {
        Some(Value::KvlistValue(list)) => {
            list.values.iter_mut().filter_map(|pair| pair.value.as_mut()).for_each(maps);
            by_key(&mut list.values);
        }
        Some(Value::ArrayValue(list)) => list.values.iter_mut().for_each(maps),
        _ => {}
    }
}

fn none(id: &mut Vec<u8>) {
    if id.iter().all(|byte| *byte == 0) {
        id.clear();
    }
}
