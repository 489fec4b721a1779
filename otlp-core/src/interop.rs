//! Meeting the types of other crates.

#[cfg(feature = "otel")]
pub mod sdk;
#[cfg(feature = "tracing")]
pub mod tracing;
