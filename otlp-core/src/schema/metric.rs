//! Metrics, their points and exemplars.

use super::Kind::{Bool, Double, Enum, Fixed64, Id, Message, Sfixed64, Sint32, String, Uint32, Uint64};
use super::common::{KEY_VALUE, RESOURCE, SCOPE};
use super::{Names, messages};

messages! {
    pub(crate) METRICS_REQUEST: Group "opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest" {
        1 "resource_metrics" Message(&RESOURCE_METRICS), List;
    }

    EXEMPLAR: Part "opentelemetry.proto.metrics.v1.Exemplar" {
        2 "time_unix_nano" Fixed64, Single;
        3 "as_double" Double, Member;
        4 "span_id" Id(8), Single;
        5 "trace_id" Id(16), Single;
        6 "as_int" Sfixed64, Member;
        7 "filtered_attributes" Message(&KEY_VALUE), Attributes;
    }

    EXPONENTIAL_HISTOGRAM: Part "opentelemetry.proto.metrics.v1.ExponentialHistogram" {
        1 "data_points" Message(&EXPONENTIAL_HISTOGRAM_DATA_POINT), List;
        2 "aggregation_temporality" Enum(&TEMPORALITY), Single;
    }

    EXPONENTIAL_HISTOGRAM_DATA_POINT: Part "opentelemetry.proto.metrics.v1.ExponentialHistogramDataPoint" {
        1 "attributes" Message(&KEY_VALUE), Attributes;
        2 "start_time_unix_nano" Fixed64, Single;
        3 "time_unix_nano" Fixed64, Single;
        4 "count" Fixed64, Single;
        5 "sum" Double, Optional;
        6 "scale" Sint32, Single;
        7 "zero_count" Fixed64, Single;
        8 "positive" Message(&BUCKETS), Single;
        9 "negative" Message(&BUCKETS), Single;
        10 "flags" Uint32, Single;
        11 "exemplars" Message(&EXEMPLAR), List;
        12 "min" Double, Optional;
        13 "max" Double, Optional;
        14 "zero_threshold" Double, Single;
    }

    BUCKETS: Part "opentelemetry.proto.metrics.v1.ExponentialHistogramDataPoint.Buckets" {
        1 "offset" Sint32, Single;
        2 "bucket_counts" Uint64, List;
    }

    GAUGE: Part "opentelemetry.proto.metrics.v1.Gauge" {
        1 "data_points" Message(&NUMBER_DATA_POINT), List;
    }

    HISTOGRAM: Part "opentelemetry.proto.metrics.v1.Histogram" {
        1 "data_points" Message(&HISTOGRAM_DATA_POINT), List;
        2 "aggregation_temporality" Enum(&TEMPORALITY), Single;
    }

    HISTOGRAM_DATA_POINT: Part "opentelemetry.proto.metrics.v1.HistogramDataPoint" {
        2 "start_time_unix_nano" Fixed64, Single;
        3 "time_unix_nano" Fixed64, Single;
        4 "count" Fixed64, Single;
        5 "sum" Double, Optional;
        6 "bucket_counts" Fixed64, List;
        7 "explicit_bounds" Double, List;
        8 "exemplars" Message(&EXEMPLAR), List;
        9 "attributes" Message(&KEY_VALUE), Attributes;
        10 "flags" Uint32, Single;
        11 "min" Double, Optional;
        12 "max" Double, Optional;
    }

    METRIC: Record "opentelemetry.proto.metrics.v1.Metric" {
        1 "name" String, Single;
        2 "description" String, Single;
        3 "unit" String, Single;
        5 "gauge" Message(&GAUGE), Member;
        7 "sum" Message(&SUM), Member;
        9 "histogram" Message(&HISTOGRAM), Member;
        10 "exponential_histogram" Message(&EXPONENTIAL_HISTOGRAM), Member;
        11 "summary" Message(&SUMMARY), Member;
        12 "metadata" Message(&KEY_VALUE), Attributes;
    }

    NUMBER_DATA_POINT: Part "opentelemetry.proto.metrics.v1.NumberDataPoint" {
        2 "start_time_unix_nano" Fixed64, Single;
        3 "time_unix_nano" Fixed64, Single;
        4 "as_double" Double, Member;
        5 "exemplars" Message(&EXEMPLAR), List;
        6 "as_int" Sfixed64, Member;
        7 "attributes" Message(&KEY_VALUE), Attributes;
        8 "flags" Uint32, Single;
    }

    RESOURCE_METRICS: Group "opentelemetry.proto.metrics.v1.ResourceMetrics" {
        1 "resource" Message(&RESOURCE), Single;
        2 "scope_metrics" Message(&SCOPE_METRICS), List;
        3 "schema_url" String, Single;
    }

    SCOPE_METRICS: Group "opentelemetry.proto.metrics.v1.ScopeMetrics" {
        1 "scope" Message(&SCOPE), Single;
        2 "metrics" Message(&METRIC), List;
        3 "schema_url" String, Single;
    }

    SUM: Part "opentelemetry.proto.metrics.v1.Sum" {
        1 "data_points" Message(&NUMBER_DATA_POINT), List;
        2 "aggregation_temporality" Enum(&TEMPORALITY), Single;
        3 "is_monotonic" Bool, Single;
    }

    SUMMARY: Part "opentelemetry.proto.metrics.v1.Summary" {
        1 "data_points" Message(&SUMMARY_DATA_POINT), List;
    }

    SUMMARY_DATA_POINT: Part "opentelemetry.proto.metrics.v1.SummaryDataPoint" {
        2 "start_time_unix_nano" Fixed64, Single;
        3 "time_unix_nano" Fixed64, Single;
        4 "count" Fixed64, Single;
        5 "sum" Double, Single;
        6 "quantile_values" Message(&QUANTILE), List;
        7 "attributes" Message(&KEY_VALUE), Attributes;
        8 "flags" Uint32, Single;
    }

    QUANTILE: Part "opentelemetry.proto.metrics.v1.SummaryDataPoint.ValueAtQuantile" {
        1 "quantile" Double, Single;
        2 "value" Double, Single;
    }
}

static TEMPORALITY: Names = Names {
    name: "opentelemetry.proto.metrics.v1.AggregationTemporality",
    values: &[
        ("AGGREGATION_TEMPORALITY_UNSPECIFIED", 0),
        ("AGGREGATION_TEMPORALITY_DELTA", 1),
        ("AGGREGATION_TEMPORALITY_CUMULATIVE", 2),
    ],
};
