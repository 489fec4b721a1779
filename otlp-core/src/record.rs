//! Owned records: what is built, kept and sent. The borrowed twins are in `view`.
//!
//! Field for field as in opentelemetry-proto; what protobuf leaves out when it is the default value
//! has that default here, so a record needs no `Option` where the wire needs none.

mod attribute;
mod log;
mod metric;
mod process;
mod profile;
mod reference;
mod request;
mod resource;
mod response;
mod span;

pub use attribute::{AnyValue, KeyValue};
pub use log::{LogRecord, SeverityNumber};
pub use metric::{
    Buckets, Exemplar, ExponentialHistogram, ExponentialHistogramPoint, Gauge, Histogram, HistogramPoint,
    Metric, MetricData, NumberPoint, NumberValue, Quantile, Sum, Summary, SummaryPoint, Temporality,
};
pub use process::ProcessContext;
pub use profile::{
    Function, KeyValueAndUnit, Line, Location, Mapping, Profile, ProfileLink, ProfilesDictionary, Sample,
    Stack, ValueType,
};
pub use request::{
    LogsRequest, MetricsRequest, ProfilesRequest, ResourceLogs, ResourceMetrics, ResourceProfiles,
    ResourceSpans, ScopeLogs, ScopeMetrics, ScopeProfiles, ScopeSpans, TracesRequest,
};
pub use resource::{EntityRef, Resource, Scope};
pub use response::{ExportResponse, RpcStatus};
pub use span::{Event, Link, Span, SpanKind, Status, StatusCode};
