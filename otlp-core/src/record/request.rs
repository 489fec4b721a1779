//! Export requests: records grouped by resource and scope.

use super::log::LogRecord;
use super::metric::Metric;
use super::profile::{Profile, ProfilesDictionary};
use super::resource::{Resource, Scope};
use super::span::Span;

macro_rules! grouped {
    ($request:ident, $by_resource:ident, $by_scope:ident, $record:ident, $records:ident, $what:literal
     $(, $(#[$doc:meta])* $shared:ident: $ty:ty)?) => {
        #[doc = concat!("A request that exports ", $what, ".")]
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct $request {
            /// Groups, one a resource.
            pub resources: Vec<$by_resource>,
            $($(#[$doc])* pub $shared: $ty,)?
        }

        impl $request {
            /// Count of records over all groups. O(groups).
            #[must_use]
            pub fn record_count(&self) -> usize {
                self.resources.iter().flat_map(|group| &group.scopes).map(|scope| scope.$records.len()).sum()
            }
        }

        #[doc = concat!("The ", $what, " of one resource.")]
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct $by_resource {
            /// What produced them.
            pub resource: Resource,
            /// Groups, one a scope.
            pub scopes: Vec<$by_scope>,
            /// Schema of the resource's attributes.
            pub schema_url: String,
        }

        #[doc = concat!("The ", $what, " of one instrumentation scope.")]
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct $by_scope {
            /// Which library made them.
            pub scope: Scope,
            /// The records.
            pub $records: Vec<$record>,
            /// Schema of the records' attributes.
            pub schema_url: String,
        }
    };
}

grouped!(TracesRequest, ResourceSpans, ScopeSpans, Span, spans, "spans");
grouped!(LogsRequest, ResourceLogs, ScopeLogs, LogRecord, records, "log records");
grouped!(MetricsRequest, ResourceMetrics, ScopeMetrics, Metric, metrics, "metrics");
grouped!(
    ProfilesRequest, ResourceProfiles, ScopeProfiles, Profile, profiles, "profiles",
    /// What all of them refer to.
    dictionary: ProfilesDictionary
);
