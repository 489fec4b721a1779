//! Export requests: records grouped by resource and scope.

use super::context::Context;
use super::heap::{HEAP, HeapBudget};
use super::log::LogRecordView;
use super::message::Message;
use super::metric::MetricView;
use super::profile::{ProfileView, ProfilesDictionaryView};
use super::resource::ResourceView;
use super::scope::ScopeView;
use super::select::{Select, Selected};
use super::span::SpanView;
use super::table::{View, view};
use crate::Limits;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::record;
use crate::wire::Region;

macro_rules! grouped {
    ($request:ident of $request_record:ident, $by_resource:ident of $resource_record:ident,
     $by_scope:ident of $scope_record:ident, $record:ident: $records:ident, $what:literal
     $(, $(#[$doc:meta])* $shared:ident: $shared_view:ident = $number:literal)?) => {
        view! {
            #[doc = concat!("A borrowed request that exports ", $what, ".")]
            $request of $request_record {
                lists {
                    /// Groups, one a resource.
                    resources: $by_resource<'a> = 1 within elements;
                }
                $(parts {
                    $(#[$doc])*
                    $shared: $shared_view<'a> = $number;
                })?
            }
        }

        view! {
            #[doc = concat!("The ", $what, " of one resource, borrowed.")]
            $by_resource of $resource_record {
                scalars {
                    /// Schema of the resource's attributes.
                    schema_url: &'a str = 3 => str;
                }
                lists {
                    /// Groups, one a scope.
                    scopes: $by_scope<'a> = 2 within elements;
                }
                parts {
                    /// What produced them; the empty resource where the sender named none.
                    resource: ResourceView<'a> = 1;
                }
            }
        }

        view! {
            #[doc = concat!("The ", $what, " of one instrumentation scope, borrowed.")]
            $by_scope of $scope_record {
                scalars {
                    /// Schema of the records' attributes.
                    schema_url: &'a str = 3 => str;
                }
                lists {
                    /// The records.
                    $records: $record<'a> = 2 within elements;
                }
                parts {
                    /// Which library made them; the empty scope where the sender named none.
                    scope: ScopeView<'a> = 1;
                }
            }
        }

        impl<'a> $request<'a> {
            /// Reads a request: one pass over its outermost fields. The rest is read when it is walked.
            /// No allocation.
            ///
            /// # Errors
            /// Where the bytes are no message, or pass a limit.
            pub fn parse(body: &'a [u8], limits: &'a Limits) -> Result<Self, DecodeError> {
                let context = Context::new(limits, body.len())?;
                Self::read_message(Message::whole(Region::new(body)), context)
            }

            /// Copies out all records that are well formed and hands the error of every other one to
            /// `reject`, so that a receiver can refuse those alone.
            ///
            /// # Errors
            /// Where a group around the records is malformed, or `max_heap_bytes` is reached.
            pub fn to_record_rejecting(
                &self,
                mut reject: impl FnMut(DecodeError),
            ) -> Result<record::$request_record, DecodeError> {
                let mut heap = HeapBudget::new(self.context.limits());
                $(let $shared = self.$shared.to_record_within(&mut heap)?;)?
                let mut resources = heap.list(self.resources().len())?;
                for group in self.resources() {
                    resources.push(group?.keep(&mut heap, &mut reject)?);
                }
                Ok(record::$request_record { resources $(, $shared)? })
            }
        }

        impl $by_resource<'_> {
            fn keep(
                &self,
                heap: &mut HeapBudget,
                reject: &mut impl FnMut(DecodeError),
            ) -> Result<record::$resource_record, DecodeError> {
                let resource = self.resource.to_record_within(heap)?;
                let schema_url = heap.text(self.schema_url)?;
                let mut scopes = heap.list(self.scopes().len())?;
                for group in self.scopes() {
                    scopes.push(group?.keep(heap, reject)?);
                }
                Ok(record::$resource_record { resource, scopes, schema_url })
            }
        }

        impl $by_scope<'_> {
            fn keep(
                &self,
                heap: &mut HeapBudget,
                reject: &mut impl FnMut(DecodeError),
            ) -> Result<record::$scope_record, DecodeError> {
                let scope = self.scope.to_record_within(heap)?;
                let schema_url = heap.text(self.schema_url)?;
                let mut $records = heap.list(self.$records().len())?;
                for view in self.$records() {
                    let before = heap.used();
                    match view.and_then(|view| view.to_record_within(heap)) {
                        Ok(record) => $records.push(record),
                        Err(error) if is_heap(error) => return Err(error),
                        Err(error) => {
                            heap.rewind(before);
                            reject(error);
                        }
                    }
                }
                Ok(record::$scope_record { scope, $records, schema_url })
            }
        }
    };
}

grouped!(
    TracesView of TracesRequest, ResourceSpansView of ResourceSpans,
    ScopeSpansView of ScopeSpans, SpanView: spans, "spans"
);
grouped!(
    LogsView of LogsRequest, ResourceLogsView of ResourceLogs,
    ScopeLogsView of ScopeLogs, LogRecordView: records, "log records"
);
grouped!(
    MetricsView of MetricsRequest, ResourceMetricsView of ResourceMetrics,
    ScopeMetricsView of ScopeMetrics, MetricView: metrics, "metrics"
);
grouped!(
    ProfilesView of ProfilesRequest, ResourceProfilesView of ResourceProfiles,
    ScopeProfilesView of ScopeProfiles, ProfileView: profiles, "profiles",
    /// What all of them refer to; empty where the sender left it out.
    dictionary: ProfilesDictionaryView = 2
);

impl<'a> ScopeSpansView<'a> {
    /// A few fields of each span and nothing else of it: see [`select`](super::select).
    #[inline]
    pub fn spans_as<S: Select<'a, SpanView<'a>>>(&self) -> Selected<'a, S> {
        Selected::new(&self.wire, self.spans, 2, self.context)
    }
}

impl<'a> ScopeLogsView<'a> {
    /// A few fields of each record and nothing else of it: see [`select`](super::select).
    #[inline]
    pub fn records_as<S: Select<'a, LogRecordView<'a>>>(&self) -> Selected<'a, S> {
        Selected::new(&self.wire, self.records, 2, self.context)
    }
}

/// True where the budget of the whole request is spent, so that no later record fits either.
fn is_heap(error: DecodeError) -> bool {
    matches!(error.kind, DecodeErrorKind::Limit { what: HEAP, .. })
}
