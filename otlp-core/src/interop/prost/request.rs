//! Export requests and their groups, from records and from views.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::profiles::v1development::ExportProfilesServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::profiles::v1development as profiles;
use opentelemetry_proto::tonic::{logs::v1 as logs, metrics::v1 as metrics, trace::v1 as trace};

use super::{all, try_all, unless_default};
use crate::error::{DecodeError, Error, Result};
use crate::record::{
    LogsRequest, MetricsRequest, ProfilesRequest, Resource, ResourceLogs, ResourceMetrics, ResourceProfiles,
    ResourceSpans, Scope, ScopeLogs, ScopeMetrics, ScopeProfiles, ScopeSpans, TracesRequest,
};
use crate::view::{
    LogRecordView, LogsView, MetricView, MetricsView, ProfileView, ProfilesView, SpanView, TracesView,
};

macro_rules! grouped {
    (
        $request:ident = $theirs:ident { $groups:ident $(, $shared:ident)? },
        $group:ident = $their_group:path { $scopes:ident },
        $scope:ident = $their_scope:path { $records:ident = $their_records:ident },
        $view:ident
    ) => {
        impl From<$request> for $theirs {
            fn from(request: $request) -> Self {
                Self { $groups: all(request.resources) $(, $shared: unless_default(request.$shared))? }
            }
        }

        impl TryFrom<$theirs> for $request {
            type Error = Error;

            fn try_from(request: $theirs) -> Result<Self> {
                Ok(Self {
                    resources: try_all(request.$groups)?,
                    $($shared: request.$shared.map(TryInto::try_into).transpose()?.unwrap_or_default(),)?
                })
            }
        }

        impl TryFrom<$view<'_>> for $theirs {
            type Error = DecodeError;

            fn try_from(view: $view<'_>) -> Result<Self, DecodeError> {
                view.to_record().map(Self::from)
            }
        }

        impl From<$group> for $their_group {
            fn from(group: $group) -> Self {
                let $group { resource, scopes, schema_url } = group;
                Self { resource: unless_default(resource), $scopes: all(scopes), schema_url }
            }
        }

        impl TryFrom<$their_group> for $group {
            type Error = Error;

            fn try_from(group: $their_group) -> Result<Self> {
                Ok(Self {
                    resource: group.resource.map_or_else(Resource::default, Into::into),
                    scopes: try_all(group.$scopes)?,
                    schema_url: group.schema_url,
                })
            }
        }

        impl From<$scope> for $their_scope {
            fn from(group: $scope) -> Self {
                let $scope { scope, $records, schema_url } = group;
                Self { scope: unless_default(scope), $their_records: all($records), schema_url }
            }
        }

        impl TryFrom<$their_scope> for $scope {
            type Error = Error;

            fn try_from(group: $their_scope) -> Result<Self> {
                Ok(Self {
                    scope: group.scope.map_or_else(Scope::default, Into::into),
                    $records: try_all(group.$their_records)?,
                    schema_url: group.schema_url,
                })
            }
        }
    };
}

grouped! {
    TracesRequest = ExportTraceServiceRequest { resource_spans },
    ResourceSpans = trace::ResourceSpans { scope_spans },
    ScopeSpans = trace::ScopeSpans { spans = spans },
    TracesView
}
grouped! {
    LogsRequest = ExportLogsServiceRequest { resource_logs },
    ResourceLogs = logs::ResourceLogs { scope_logs },
    ScopeLogs = logs::ScopeLogs { records = log_records },
    LogsView
}
grouped! {
    MetricsRequest = ExportMetricsServiceRequest { resource_metrics },
    ResourceMetrics = metrics::ResourceMetrics { scope_metrics },
    ScopeMetrics = metrics::ScopeMetrics { metrics = metrics },
    MetricsView
}
grouped! {
    ProfilesRequest = ExportProfilesServiceRequest { resource_profiles, dictionary },
    ResourceProfiles = profiles::ResourceProfiles { scope_profiles },
    ScopeProfiles = profiles::ScopeProfiles { profiles = profiles },
    ProfilesView
}

macro_rules! record_view {
    ($($view:ident => $theirs:path,)*) => {
        $(impl TryFrom<$view<'_>> for $theirs {
            type Error = DecodeError;

            fn try_from(view: $view<'_>) -> Result<Self, DecodeError> {
                view.to_record().map(Self::from)
            }
        })*
    };
}

record_view! {
    SpanView => trace::Span,
    LogRecordView => logs::LogRecord,
    MetricView => metrics::Metric,
    ProfileView => profiles::Profile,
}
