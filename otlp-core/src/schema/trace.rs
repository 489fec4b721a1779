//! Spans.

use super::Kind::{Enum, Fixed32, Fixed64, Id, Message, String, Uint32};
use super::common::{KEY_VALUE, RESOURCE, SCOPE};
use super::{Names, messages};

messages! {
    pub(crate) TRACES_REQUEST: Group "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest" {
        1 "resource_spans" Message(&RESOURCE_SPANS), List;
    }

    RESOURCE_SPANS: Group "opentelemetry.proto.trace.v1.ResourceSpans" {
        1 "resource" Message(&RESOURCE), Single;
        2 "scope_spans" Message(&SCOPE_SPANS), List;
        3 "schema_url" String, Single;
    }

    SCOPE_SPANS: Group "opentelemetry.proto.trace.v1.ScopeSpans" {
        1 "scope" Message(&SCOPE), Single;
        2 "spans" Message(&SPAN), List;
        3 "schema_url" String, Single;
    }

    SPAN: Record "opentelemetry.proto.trace.v1.Span" {
        1 "trace_id" Id(16), Single;
        2 "span_id" Id(8), Single;
        3 "trace_state" String, Single;
        4 "parent_span_id" Id(8), Single;
        5 "name" String, Single;
        6 "kind" Enum(&SPAN_KIND), Single;
        7 "start_time_unix_nano" Fixed64, Single;
        8 "end_time_unix_nano" Fixed64, Single;
        9 "attributes" Message(&KEY_VALUE), Attributes;
        10 "dropped_attributes_count" Uint32, Single;
        11 "events" Message(&EVENT), List;
        12 "dropped_events_count" Uint32, Single;
        13 "links" Message(&LINK), List;
        14 "dropped_links_count" Uint32, Single;
        15 "status" Message(&STATUS), Single;
        16 "flags" Fixed32, Single;
    }

    EVENT: Part "opentelemetry.proto.trace.v1.Span.Event" {
        1 "time_unix_nano" Fixed64, Single;
        2 "name" String, Single;
        3 "attributes" Message(&KEY_VALUE), Attributes;
        4 "dropped_attributes_count" Uint32, Single;
    }

    LINK: Part "opentelemetry.proto.trace.v1.Span.Link" {
        1 "trace_id" Id(16), Single;
        2 "span_id" Id(8), Single;
        3 "trace_state" String, Single;
        4 "attributes" Message(&KEY_VALUE), Attributes;
        5 "dropped_attributes_count" Uint32, Single;
        6 "flags" Fixed32, Single;
    }

    STATUS: Part "opentelemetry.proto.trace.v1.Status" {
        2 "message" String, Single;
        3 "code" Enum(&STATUS_CODE), Single;
    }
}

static SPAN_KIND: Names = Names {
    name: "opentelemetry.proto.trace.v1.Span.SpanKind",
    values: &[
        ("SPAN_KIND_UNSPECIFIED", 0),
        ("SPAN_KIND_INTERNAL", 1),
        ("SPAN_KIND_SERVER", 2),
        ("SPAN_KIND_CLIENT", 3),
        ("SPAN_KIND_PRODUCER", 4),
        ("SPAN_KIND_CONSUMER", 5),
    ],
};

static STATUS_CODE: Names = Names {
    name: "opentelemetry.proto.trace.v1.Status.StatusCode",
    values: &[("STATUS_CODE_UNSET", 0), ("STATUS_CODE_OK", 1), ("STATUS_CODE_ERROR", 2)],
};
