//! Borrowed views of OTLP messages: read in place, in whatever order the fields lie.
//!
//! - A view is `Copy`, `Send` and `Sync`; making one costs one pass over the message's own fields (what
//!   lies in sub-messages is skipped by length) and allocates nothing. Scalars are decoded, strings are
//!   checked to be UTF-8, identifiers to have their length, lists to be within [`Limits`](crate::Limits).
//! - What repeats is read when it is walked. A bad element is an `Err` item; the walk goes on after it.
//! - The reading is protobuf's: the last of duplicated scalars holds, the pieces of a sub-message that
//!   occurs several times are joined, another member of a oneof clears the one before, repeated numbers
//!   may be packed or not, unknown fields are skipped.
//! - Who needs a few fields of each record reads just these, several times faster: [`select`].
//! - `to_record` copies out to the owned twins in [`record`](crate::record), within
//!   [`Limits::heap_bytes`](crate::Limits::heap_bytes).
//!
//! ```
//! use otlp_core::Limits;
//! use otlp_core::encode::Encode;
//! use otlp_core::record::{Resource, ResourceSpans, ScopeSpans, Span, TracesRequest};
//! use otlp_core::view::TracesView;
//!
//! let span = Span { name: "GET /cart".into(), ..Span::default() };
//! let scopes = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
//! let group = ResourceSpans { resource: Resource::service("cart"), scopes, ..ResourceSpans::default() };
//! let bytes = TracesRequest { resources: vec![group] }.encode_to_bytes();
//!
//! let limits = Limits::default();
//! for resource in TracesView::parse(&bytes, &limits)?.resources() {
//!     for scope in resource?.scopes() {
//!         for span in scope?.spans() {
//!             assert_eq!(span?.name(), "GET /cart");
//!         }
//!     }
//! }
//! # Ok::<(), otlp_core::DecodeError>(())
//! ```

mod attribute;
mod context;
mod heap;
mod list;
mod log;
mod message;
mod metric;
mod point;
mod process;
mod profile;
mod request;
mod resource;
mod response;
mod scope;
pub mod select;
mod span;
mod table;
#[cfg(test)]
mod work;

pub(crate) use context::{Context, at_most};
pub(crate) use message::{Message, narrow};
pub(crate) use table::View;

pub use attribute::{AnyValueView, ArrayView, KeyValueView, KvListView};
pub use heap::HeapBudget;
pub use log::LogRecordView;
pub use metric::{
    ExponentialHistogramView, GaugeView, HistogramView, MetricDataView, MetricView, SumView, SummaryView,
};
pub use point::{
    BucketsView, ExemplarView, ExponentialHistogramPointView, HistogramPointView, NumberPointView,
    QuantileView, SummaryPointView,
};
pub use process::ProcessContextView;
pub use profile::{
    DictionaryIndex, FrameView, FunctionView, KeyValueAndUnitView, LineView, LocationView, MappingView,
    ProfileLinkView, ProfileView, ProfilesDictionaryView, SampleView, StackView, ValueTypeView,
};
pub use request::{
    LogsView, MetricsView, ProfilesView, ResourceLogsView, ResourceMetricsView, ResourceProfilesView,
    ResourceSpansView, ScopeLogsView, ScopeMetricsView, ScopeProfilesView, ScopeSpansView, TracesView,
};
pub use resource::{EntityRefView, ResourceView};
pub use response::{ExportResponseView, RpcStatusView};
pub use scope::ScopeView;
pub use span::{EventView, LinkView, SpanView, StatusView};
