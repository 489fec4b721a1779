//! Log records.

use super::Kind::{Enum, Fixed32, Fixed64, Id, Message, String, Uint32};
use super::common::{ANY_VALUE, KEY_VALUE, RESOURCE, SCOPE};
use super::{Names, messages};

messages! {
    pub(crate) LOGS_REQUEST: Group "opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest" {
        1 "resource_logs" Message(&RESOURCE_LOGS), List;
    }

    LOG_RECORD: Record "opentelemetry.proto.logs.v1.LogRecord" {
        1 "time_unix_nano" Fixed64, Single;
        2 "severity_number" Enum(&SEVERITY_NUMBER), Single;
        3 "severity_text" String, Single;
        5 "body" Message(&ANY_VALUE), Single;
        6 "attributes" Message(&KEY_VALUE), Attributes;
        7 "dropped_attributes_count" Uint32, Single;
        8 "flags" Fixed32, Single;
        9 "trace_id" Id(16), Single;
        10 "span_id" Id(8), Single;
        11 "observed_time_unix_nano" Fixed64, Single;
        12 "event_name" String, Single;
    }

    RESOURCE_LOGS: Group "opentelemetry.proto.logs.v1.ResourceLogs" {
        1 "resource" Message(&RESOURCE), Single;
        2 "scope_logs" Message(&SCOPE_LOGS), List;
        3 "schema_url" String, Single;
    }

    SCOPE_LOGS: Group "opentelemetry.proto.logs.v1.ScopeLogs" {
        1 "scope" Message(&SCOPE), Single;
        2 "log_records" Message(&LOG_RECORD), List;
        3 "schema_url" String, Single;
    }
}

static SEVERITY_NUMBER: Names = Names {
    name: "opentelemetry.proto.logs.v1.SeverityNumber",
    values: &[
        ("SEVERITY_NUMBER_UNSPECIFIED", 0),
        ("SEVERITY_NUMBER_TRACE", 1),
        ("SEVERITY_NUMBER_TRACE2", 2),
        ("SEVERITY_NUMBER_TRACE3", 3),
        ("SEVERITY_NUMBER_TRACE4", 4),
        ("SEVERITY_NUMBER_DEBUG", 5),
        ("SEVERITY_NUMBER_DEBUG2", 6),
        ("SEVERITY_NUMBER_DEBUG3", 7),
        ("SEVERITY_NUMBER_DEBUG4", 8),
        ("SEVERITY_NUMBER_INFO", 9),
        ("SEVERITY_NUMBER_INFO2", 10),
        ("SEVERITY_NUMBER_INFO3", 11),
        ("SEVERITY_NUMBER_INFO4", 12),
        ("SEVERITY_NUMBER_WARN", 13),
        ("SEVERITY_NUMBER_WARN2", 14),
        ("SEVERITY_NUMBER_WARN3", 15),
        ("SEVERITY_NUMBER_WARN4", 16),
        ("SEVERITY_NUMBER_ERROR", 17),
        ("SEVERITY_NUMBER_ERROR2", 18),
        ("SEVERITY_NUMBER_ERROR3", 19),
        ("SEVERITY_NUMBER_ERROR4", 20),
        ("SEVERITY_NUMBER_FATAL", 21),
        ("SEVERITY_NUMBER_FATAL2", 22),
        ("SEVERITY_NUMBER_FATAL3", 23),
        ("SEVERITY_NUMBER_FATAL4", 24),
    ],
};
