//! Export requests: records grouped by resource and scope.

use super::{Encode, list, nested, text};
use crate::record::{
    LogsRequest, MetricsRequest, ProfilesRequest, Resource, ResourceLogs, ResourceMetrics, ResourceProfiles,
    ResourceSpans, Scope, ScopeLogs, ScopeMetrics, ScopeProfiles, ScopeSpans, TracesRequest,
};
use crate::wire::Writer;

macro_rules! grouped {
    ($request:ident, $by_resource:ident, $by_scope:ident, $records:ident $(, $shared:ident = $number:literal)?) => {
        impl Encode for $request {
            fn encode(&self, writer: &mut Writer) {
                $(nested(writer, $number, &self.$shared, self.$shared.is_empty());)?
                list(writer, 1, &self.resources);
            }
        }

        impl Encode for $by_resource {
            fn encode(&self, writer: &mut Writer) {
                text(writer, 3, &self.schema_url);
                list(writer, 2, &self.scopes);
                nested(writer, 1, &self.resource, is_empty_resource(&self.resource));
            }
        }

        impl Encode for $by_scope {
            fn encode(&self, writer: &mut Writer) {
                text(writer, 3, &self.schema_url);
                list(writer, 2, &self.$records);
                nested(writer, 1, &self.scope, is_empty_scope(&self.scope));
            }
        }
    };
}

grouped!(TracesRequest, ResourceSpans, ScopeSpans, spans);
grouped!(LogsRequest, ResourceLogs, ScopeLogs, records);
grouped!(MetricsRequest, ResourceMetrics, ScopeMetrics, metrics);
grouped!(ProfilesRequest, ResourceProfiles, ScopeProfiles, profiles, dictionary = 2);

pub(super) const fn is_empty_resource(resource: &Resource) -> bool {
    resource.attributes.is_empty()
        && resource.dropped_attributes_count == 0
        && resource.entity_refs.is_empty()
}

const fn is_empty_scope(scope: &Scope) -> bool {
    scope.name.is_empty()
        && scope.version.is_empty()
        && scope.attributes.is_empty()
        && scope.dropped_attributes_count == 0
}
