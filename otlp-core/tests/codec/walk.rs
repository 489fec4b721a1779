//! Walks a view through its public surface and builds the prost message of what it says, so that
//! "equal to prost's decode" means every field.

pub(crate) mod profile;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
    exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
    summary_data_point::ValueAtQuantile,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use otlp_core::record::NumberValue;
use otlp_core::view::{
    AnyValueView, BucketsView, ExemplarView, ExponentialHistogramPointView, HistogramPointView, KeyValueView,
    LogRecordView, LogsView, MetricDataView, MetricView, MetricsView, NumberPointView, ResourceView,
    ScopeView, SpanView, SummaryPointView, TracesView,
};
use otlp_core::{DecodeError, Limits, SpanId, TraceId};

pub(crate) use profile::profiles;

type Walked<T> = Result<T, DecodeError>;

pub(crate) fn traces(body: &[u8], limits: &Limits) -> Walked<ExportTraceServiceRequest> {
    let groups = TracesView::parse(body, limits)?.resources().map(|group| {
        let group = group?;
        let scopes = group.scopes().map(|scope| {
            let scope = scope?;
            Ok(ScopeSpans {
                scope: Some(instrumentation(&scope.scope())?),
                spans: scope.spans().map(|view| span(&view?)).collect::<Walked<_>>()?,
                schema_url: scope.schema_url().to_owned(),
            })
        });
        Ok(ResourceSpans {
            resource: Some(resource(&group.resource())?),
            scope_spans: scopes.collect::<Walked<_>>()?,
            schema_url: group.schema_url().to_owned(),
        })
    });
    Ok(ExportTraceServiceRequest { resource_spans: groups.collect::<Walked<_>>()? })
}

pub(crate) fn logs(body: &[u8], limits: &Limits) -> Walked<ExportLogsServiceRequest> {
    let groups = LogsView::parse(body, limits)?.resources().map(|group| {
        let group = group?;
        let scopes = group.scopes().map(|scope| {
            let scope = scope?;
            Ok(ScopeLogs {
                scope: Some(instrumentation(&scope.scope())?),
                log_records: scope.records().map(|view| log_record(&view?)).collect::<Walked<_>>()?,
                schema_url: scope.schema_url().to_owned(),
            })
        });
        Ok(ResourceLogs {
            resource: Some(resource(&group.resource())?),
            scope_logs: scopes.collect::<Walked<_>>()?,
            schema_url: group.schema_url().to_owned(),
        })
    });
    Ok(ExportLogsServiceRequest { resource_logs: groups.collect::<Walked<_>>()? })
}

pub(crate) fn metrics(body: &[u8], limits: &Limits) -> Walked<ExportMetricsServiceRequest> {
    let groups = MetricsView::parse(body, limits)?.resources().map(|group| {
        let group = group?;
        let scopes = group.scopes().map(|scope| {
            let scope = scope?;
            Ok(ScopeMetrics {
                scope: Some(instrumentation(&scope.scope())?),
                metrics: scope.metrics().map(|view| metric(&view?)).collect::<Walked<_>>()?,
                schema_url: scope.schema_url().to_owned(),
            })
        });
        Ok(ResourceMetrics {
            resource: Some(resource(&group.resource())?),
            scope_metrics: scopes.collect::<Walked<_>>()?,
            schema_url: group.schema_url().to_owned(),
        })
    });
    Ok(ExportMetricsServiceRequest { resource_metrics: groups.collect::<Walked<_>>()? })
}

fn resource(view: &ResourceView<'_>) -> Walked<Resource> {
    let entity_refs = view.entity_refs().map(|entity| {
        let entity = entity?;
        let texts = |key: Walked<&str>| key.map(str::to_owned);
        Ok(EntityRef {
            schema_url: entity.schema_url().to_owned(),
            r#type: entity.kind().to_owned(),
            id_keys: entity.id_keys().map(texts).collect::<Walked<_>>()?,
            description_keys: entity.description_keys().map(texts).collect::<Walked<_>>()?,
        })
    });
    Ok(Resource {
        attributes: attributes(view.attributes())?,
        dropped_attributes_count: view.dropped_attributes_count(),
        entity_refs: entity_refs.collect::<Walked<_>>()?,
    })
}

fn instrumentation(view: &ScopeView<'_>) -> Walked<InstrumentationScope> {
    Ok(InstrumentationScope {
        name: view.name().to_owned(),
        version: view.version().to_owned(),
        attributes: attributes(view.attributes())?,
        dropped_attributes_count: view.dropped_attributes_count(),
    })
}

#[expect(single_use_lifetimes, reason = "the elided form is not stable in argument position")]
fn attributes<'a>(views: impl ExactSizeIterator<Item = Walked<KeyValueView<'a>>>) -> Walked<Vec<KeyValue>> {
    let announced = views.len();
    let walked = views.map(|view| key_value(&view?)).collect::<Walked<Vec<_>>>()?;
    assert_eq!(walked.len(), announced);
    Ok(walked)
}

fn key_value(view: &KeyValueView<'_>) -> Walked<KeyValue> {
    let value = Some(any_value(&view.value())?);
    Ok(KeyValue { key: view.key().to_owned(), value, key_strindex: view.key_index() })
}

fn any_value(view: &AnyValueView<'_>) -> Walked<AnyValue> {
    let value = match view {
        AnyValueView::Empty => None,
        AnyValueView::String(text) => Some(Value::StringValue((*text).to_owned())),
        AnyValueView::Bool(value) => Some(Value::BoolValue(*value)),
        AnyValueView::Int(value) => Some(Value::IntValue(*value)),
        AnyValueView::Double(value) => Some(Value::DoubleValue(*value)),
        AnyValueView::Bytes(bytes) => Some(Value::BytesValue(bytes.to_vec())),
        AnyValueView::StringIndex(index) => Some(Value::StringValueStrindex(*index)),
        AnyValueView::Array(array) => {
            let values = array.values().map(|value| any_value(&value?)).collect::<Walked<_>>()?;
            Some(Value::ArrayValue(ArrayValue { values }))
        }
        AnyValueView::KvList(map) => {
            let values = map.entries().map(|entry| key_value(&entry?)).collect::<Walked<_>>()?;
            Some(Value::KvlistValue(KeyValueList { values }))
        }
        other => panic!("a kind of value that this test does not know: {other:?}"),
    };
    Ok(AnyValue { value })
}

fn trace_id(id: TraceId) -> Vec<u8> {
    if id.is_valid() { id.as_bytes().to_vec() } else { Vec::new() }
}

fn span_id(id: SpanId) -> Vec<u8> {
    if id.is_valid() { id.as_bytes().to_vec() } else { Vec::new() }
}

fn span(view: &SpanView<'_>) -> Walked<Span> {
    let events = view.events().map(|event| {
        let event = event?;
        Ok(span::Event {
            time_unix_nano: event.time().0,
            name: event.name().to_owned(),
            attributes: attributes(event.attributes())?,
            dropped_attributes_count: event.dropped_attributes_count(),
        })
    });
    let links = view.links().map(|link| {
        let link = link?;
        Ok(span::Link {
            trace_id: trace_id(link.trace_id()),
            span_id: span_id(link.span_id()),
            trace_state: link.trace_state().to_owned(),
            attributes: attributes(link.attributes())?,
            dropped_attributes_count: link.dropped_attributes_count(),
            flags: link.flags(),
        })
    });
    let status = view.status();
    Ok(Span {
        trace_id: trace_id(view.trace_id()),
        span_id: span_id(view.span_id()),
        trace_state: view.trace_state().to_owned(),
        parent_span_id: span_id(view.parent_span_id()),
        flags: view.flags(),
        name: view.name().to_owned(),
        kind: view.kind().to_wire(),
        start_time_unix_nano: view.start().0,
        end_time_unix_nano: view.end().0,
        attributes: attributes(view.attributes())?,
        dropped_attributes_count: view.dropped_attributes_count(),
        events: events.collect::<Walked<_>>()?,
        dropped_events_count: view.dropped_events_count(),
        links: links.collect::<Walked<_>>()?,
        dropped_links_count: view.dropped_links_count(),
        status: Some(Status { message: status.message().to_owned(), code: status.code().to_wire() }),
    })
}

fn log_record(view: &LogRecordView<'_>) -> Walked<LogRecord> {
    Ok(LogRecord {
        time_unix_nano: view.time().0,
        observed_time_unix_nano: view.observed_time().0,
        severity_number: view.severity_number().0,
        severity_text: view.severity_text().to_owned(),
        body: Some(any_value(&view.body())?),
        attributes: attributes(view.attributes())?,
        dropped_attributes_count: view.dropped_attributes_count(),
        flags: view.flags(),
        trace_id: trace_id(view.trace_id()),
        span_id: span_id(view.span_id()),
        event_name: view.event_name().to_owned(),
    })
}

fn metric(view: &MetricView<'_>) -> Walked<Metric> {
    Ok(Metric {
        name: view.name().to_owned(),
        description: view.description().to_owned(),
        unit: view.unit().to_owned(),
        metadata: attributes(view.metadata())?,
        data: view.data().map(|view| data(&view)).transpose()?,
    })
}

fn data(view: &MetricDataView<'_>) -> Walked<Data> {
    Ok(match view {
        MetricDataView::Gauge(gauge) => Data::Gauge(Gauge {
            data_points: gauge.points().map(|point| number_point(&point?)).collect::<Walked<_>>()?,
        }),
        MetricDataView::Sum(sum) => Data::Sum(Sum {
            data_points: sum.points().map(|point| number_point(&point?)).collect::<Walked<_>>()?,
            aggregation_temporality: sum.temporality().to_wire(),
            is_monotonic: sum.is_monotonic(),
        }),
        MetricDataView::Histogram(histogram) => Data::Histogram(Histogram {
            data_points: histogram.points().map(|point| histogram_point(&point?)).collect::<Walked<_>>()?,
            aggregation_temporality: histogram.temporality().to_wire(),
        }),
        MetricDataView::ExponentialHistogram(histogram) => Data::ExponentialHistogram(ExponentialHistogram {
            data_points: histogram.points().map(|point| exponential_point(&point?)).collect::<Walked<_>>()?,
            aggregation_temporality: histogram.temporality().to_wire(),
        }),
        MetricDataView::Summary(summary) => Data::Summary(Summary {
            data_points: summary.points().map(|point| summary_point(&point?)).collect::<Walked<_>>()?,
        }),
        other => panic!("a kind of data that this test does not know: {other:?}"),
    })
}

fn number_point(view: &NumberPointView<'_>) -> Walked<NumberDataPoint> {
    Ok(NumberDataPoint {
        attributes: attributes(view.attributes())?,
        start_time_unix_nano: view.start().0,
        time_unix_nano: view.time().0,
        exemplars: view.exemplars().map(|view| exemplar(&view?)).collect::<Walked<_>>()?,
        flags: view.flags(),
        value: view.value().map(|value| match value {
            NumberValue::Double(value) => number_data_point::Value::AsDouble(value),
            NumberValue::Int(value) => number_data_point::Value::AsInt(value),
        }),
    })
}

fn exemplar(view: &ExemplarView<'_>) -> Walked<Exemplar> {
    Ok(Exemplar {
        filtered_attributes: attributes(view.filtered_attributes())?,
        time_unix_nano: view.time().0,
        span_id: span_id(view.span_id()),
        trace_id: trace_id(view.trace_id()),
        value: view.value().map(|value| match value {
            NumberValue::Double(value) => exemplar::Value::AsDouble(value),
            NumberValue::Int(value) => exemplar::Value::AsInt(value),
        }),
    })
}

fn histogram_point(view: &HistogramPointView<'_>) -> Walked<HistogramDataPoint> {
    Ok(HistogramDataPoint {
        attributes: attributes(view.attributes())?,
        start_time_unix_nano: view.start().0,
        time_unix_nano: view.time().0,
        count: view.count(),
        sum: view.sum(),
        bucket_counts: view.bucket_counts().collect(),
        explicit_bounds: view.explicit_bounds().collect(),
        exemplars: view.exemplars().map(|view| exemplar(&view?)).collect::<Walked<_>>()?,
        flags: view.flags(),
        min: view.min(),
        max: view.max(),
    })
}

fn exponential_point(view: &ExponentialHistogramPointView<'_>) -> Walked<ExponentialHistogramDataPoint> {
    let buckets =
        |view: BucketsView<'_>| Buckets { offset: view.offset(), bucket_counts: view.counts().collect() };
    Ok(ExponentialHistogramDataPoint {
        attributes: attributes(view.attributes())?,
        start_time_unix_nano: view.start().0,
        time_unix_nano: view.time().0,
        count: view.count(),
        sum: view.sum(),
        scale: view.scale(),
        zero_count: view.zero_count(),
        positive: view.positive().map(buckets),
        negative: view.negative().map(buckets),
        flags: view.flags(),
        exemplars: view.exemplars().map(|view| exemplar(&view?)).collect::<Walked<_>>()?,
        min: view.min(),
        max: view.max(),
        zero_threshold: view.zero_threshold(),
    })
}

fn summary_point(view: &SummaryPointView<'_>) -> Walked<SummaryDataPoint> {
    let quantiles = view.quantiles().map(|view| {
        let view = view?;
        Ok(ValueAtQuantile { quantile: view.quantile(), value: view.value() })
    });
    Ok(SummaryDataPoint {
        attributes: attributes(view.attributes())?,
        start_time_unix_nano: view.start().0,
        time_unix_nano: view.time().0,
        count: view.count(),
        sum: view.sum(),
        quantile_values: quantiles.collect::<Walked<_>>()?,
        flags: view.flags(),
    })
}
