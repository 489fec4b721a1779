//! From `opentelemetry_sdk` straight to wire bytes (feature `otel`).
//!
//! What comes out is what `opentelemetry-otlp` would send: one resource, the records grouped by scope in
//! the order of first appearance, sub-messages present even where they hold only default values. The
//! attributes of the resource follow the hash map they come from.
//!
//! Where the peer loses or invents something, this does not: a sum above `i64::MAX` is sent as that
//! (there as 0), a log record without an observed time is sent without (there a panic), and identifiers
//! of all zeros, which mean "none", are left out of log records and exemplars.

mod attribute;
#[cfg(feature = "http")]
pub mod exporter;
mod group;
mod log;
mod metric;
mod span;

#[cfg(feature = "http")]
pub use exporter::{LogExporter, MetricExporter, SpanExporter};
pub use log::LogEncoder;
pub use metric::MetricEncoder;
pub use span::SpanEncoder;
