//! What prost decoded, brought to what OTLP distinguishes: an absent sub-message and an empty one are the same
//! where presence says nothing, as are an identifier of zeros and one that is not set.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::profiles::v1development::ExportProfilesServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{Exemplar, Metric, metric::Data};
use opentelemetry_proto::tonic::resource::v1::Resource;

pub(crate) fn traces(request: &mut ExportTraceServiceRequest) {
    for group in &mut request.resource_spans {
        resource(&mut group.resource);
        for group in &mut group.scope_spans {
            scope(&mut group.scope);
            for span in &mut group.spans {
                ids([&mut span.trace_id, &mut span.span_id, &mut span.parent_span_id]);
                attributes(&mut span.attributes);
                span.events.iter_mut().for_each(|event| attributes(&mut event.attributes));
                for link in &mut span.links {
                    ids([&mut link.trace_id, &mut link.span_id]);
                    attributes(&mut link.attributes);
                }
                span.status.get_or_insert_default();
            }
        }
    }
}

pub(crate) fn logs(request: &mut ExportLogsServiceRequest) {
    for group in &mut request.resource_logs {
        resource(&mut group.resource);
        for group in &mut group.scope_logs {
            scope(&mut group.scope);
            for record in &mut group.log_records {
                ids([&mut record.trace_id, &mut record.span_id]);
                attributes(&mut record.attributes);
                value(record.body.get_or_insert_default());
            }
        }
    }
}

pub(crate) fn metrics(request: &mut ExportMetricsServiceRequest) {
    for group in &mut request.resource_metrics {
        resource(&mut group.resource);
        for group in &mut group.scope_metrics {
            scope(&mut group.scope);
            group.metrics.iter_mut().for_each(metric);
        }
    }
}

pub(crate) fn profiles(request: &mut ExportProfilesServiceRequest) {
    for group in &mut request.resource_profiles {
        resource(&mut group.resource);
        for group in &mut group.scope_profiles {
            scope(&mut group.scope);
            for profile in &mut group.profiles {
                ids([&mut profile.profile_id]);
                profile.sample_type.get_or_insert_default();
                profile.period_type.get_or_insert_default();
            }
        }
    }
    let dictionary = request.dictionary.get_or_insert_default();
    dictionary.link_table.iter_mut().for_each(|link| ids([&mut link.trace_id, &mut link.span_id]));
    for attribute in &mut dictionary.attribute_table {
        value(attribute.value.get_or_insert_default());
    }
}

fn metric(metric: &mut Metric) {
    attributes(&mut metric.metadata);
    let point = |pairs: &mut Vec<KeyValue>, exemplars: &mut [Exemplar]| {
        attributes(pairs);
        for exemplar in exemplars {
            ids([&mut exemplar.trace_id, &mut exemplar.span_id]);
            attributes(&mut exemplar.filtered_attributes);
        }
    };
    match &mut metric.data {
        None => {}
        Some(Data::Gauge(data)) => {
            data.data_points.iter_mut().for_each(|met| point(&mut met.attributes, &mut met.exemplars));
        }
        Some(Data::Sum(data)) => {
            data.data_points.iter_mut().for_each(|met| point(&mut met.attributes, &mut met.exemplars));
        }
        Some(Data::Histogram(data)) => {
            data.data_points.iter_mut().for_each(|met| point(&mut met.attributes, &mut met.exemplars));
        }
        Some(Data::ExponentialHistogram(data)) => {
            data.data_points.iter_mut().for_each(|met| point(&mut met.attributes, &mut met.exemplars));
        }
        Some(Data::Summary(data)) => {
            data.data_points.iter_mut().for_each(|met| point(&mut met.attributes, &mut []));
        }
    }
}

fn resource(resource: &mut Option<Resource>) {
    attributes(&mut resource.get_or_insert_default().attributes);
}

fn scope(scope: &mut Option<InstrumentationScope>) {
    attributes(&mut scope.get_or_insert_default().attributes);
}

fn attributes(pairs: &mut [KeyValue]) {
    for pair in pairs {
        value(pair.value.get_or_insert_default());
    }
}

fn value(value: &mut AnyValue) {
    match &mut value.value {
        Some(Value::ArrayValue(array)) => array.values.iter_mut().for_each(self::value),
        Some(Value::KvlistValue(map)) => attributes(&mut map.values),
        _ => {}
    }
}

fn ids<const N: usize>(ids: [&mut Vec<u8>; N]) {
    for id in ids {
        if id.iter().all(|byte| *byte == 0) {
            id.clear();
        }
    }
}
