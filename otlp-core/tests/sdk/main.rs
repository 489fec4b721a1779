//! What the SDK hands its exporters, encoded straight to bytes, against `opentelemetry-proto` and prost.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod canonical;
mod log;
mod metric;
mod span;
