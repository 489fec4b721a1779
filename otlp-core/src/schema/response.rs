//! Export responses, and `google.rpc.Status`.

use super::Kind::{Int32, Int64, Message, String};
use super::messages;

messages! {
    LOGS_PARTIAL: Part "opentelemetry.proto.collector.logs.v1.ExportLogsPartialSuccess" {
        1 "rejected_log_records" Int64, Single;
        2 "error_message" String, Single;
    }

    pub(crate) LOGS_RESPONSE: Part "opentelemetry.proto.collector.logs.v1.ExportLogsServiceResponse" {
        1 "partial_success" Message(&LOGS_PARTIAL), Single;
    }

    METRICS_PARTIAL: Part "opentelemetry.proto.collector.metrics.v1.ExportMetricsPartialSuccess" {
        1 "rejected_data_points" Int64, Single;
        2 "error_message" String, Single;
    }

    pub(crate) METRICS_RESPONSE: Part
        "opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceResponse"
    {
        1 "partial_success" Message(&METRICS_PARTIAL), Single;
    }

    PROFILES_PARTIAL: Part
        "opentelemetry.proto.collector.profiles.v1development.ExportProfilesPartialSuccess"
    {
        1 "rejected_profiles" Int64, Single;
        2 "error_message" String, Single;
    }

    pub(crate) PROFILES_RESPONSE: Part
        "opentelemetry.proto.collector.profiles.v1development.ExportProfilesServiceResponse"
    {
        1 "partial_success" Message(&PROFILES_PARTIAL), Single;
    }

    TRACES_PARTIAL: Part "opentelemetry.proto.collector.trace.v1.ExportTracePartialSuccess" {
        1 "rejected_spans" Int64, Single;
        2 "error_message" String, Single;
    }

    pub(crate) TRACES_RESPONSE: Part "opentelemetry.proto.collector.trace.v1.ExportTraceServiceResponse" {
        1 "partial_success" Message(&TRACES_PARTIAL), Single;
    }

    /// `details` are left out: what they hold is known only to who sent them.
    pub(crate) RPC_STATUS: Part "google.rpc.Status" {
        1 "code" Int32, Single;
        2 "message" String, Single;
    }
}
