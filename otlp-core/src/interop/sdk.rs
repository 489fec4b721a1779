//! From `opentelemetry_sdk` straight to wire bytes (feature `otel`).
//!
//! What comes out is what `opentelemetry-otlp` would send: one resource, the spans grouped by scope in
//! the order of first appearance, sub-messages present even where they hold only default values. The
//! attributes of the resource follow the hash map they come from.

mod attribute;
mod group;
mod span;

pub use span::SpanEncoder;
