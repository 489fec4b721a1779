//! Requests cut, joined, sorted and built from the records of others, without decoding these.
//!
//! Records and the groups around them are copied as they lie on the wire, unknown fields included; only the
//! lengths of groups are written anew. In steady state nothing is allocated.
//!
//! - [`Splitter`] cuts a request into parts of at most so many bytes or records.
//! - [`merge`] joins requests to one.
//! - [`Router`] sorts the records of a request by an attribute of their resource.
//! - [`TracesBuilder`], [`LogsBuilder`], [`MetricsBuilder`] take the records they are given.
//!
//! ```
//! use otlp_core::batch::TracesBuilder;
//! use otlp_core::record::{Resource, ResourceSpans, ScopeSpans, Span, TracesRequest};
//! use otlp_core::{encode::Encode, view::TracesView, wire::Writer, Limits};
//!
//! let span = |name: &str| Span { name: name.into(), ..Span::default() };
//! let scopes = vec![ScopeSpans { spans: vec![span("GET /cart"), span("GET /health")], ..ScopeSpans::default() }];
//! let group = ResourceSpans { resource: Resource::service("cart"), scopes, ..ResourceSpans::default() };
//! let body = TracesRequest { resources: vec![group] }.encode_to_bytes();
//!
//! let (mut builder, mut out, limits) = (TracesBuilder::new(), Writer::new(), Limits::default());
//! for group in TracesView::parse(&body, &limits)?.resources() {
//!     let group = group?;
//!     builder.resource(&group);
//!     for scope in group.scopes() {
//!         let scope = scope?;
//!         builder.scope(&scope);
//!         for span in scope.spans() {
//!             let span = span?;
//!             if span.name() != "GET /health" {
//!                 builder.span(&span);
//!             }
//!         }
//!     }
//! }
//! builder.finish(&mut out);
//! let request = TracesView::parse(out.as_slice(), &limits)?.to_record()?;
//! assert_eq!(request.resources[0].resource.service_name(), Some("cart"));
//! assert_eq!(request.resources[0].scopes[0].spans, [span("GET /cart")]);
//! # Ok::<(), otlp_core::DecodeError>(())
//! ```

mod builder;
mod merge;
mod outline;
mod route;
mod split;

pub use builder::{LogsBuilder, MetricsBuilder, TracesBuilder};
pub use merge::merge;
pub use route::Router;
pub use split::{Part, Splitter};
