//! Meeting the types of other crates.

#[cfg(feature = "prost")]
pub mod prost;
#[cfg(feature = "otel")]
pub mod sdk;
#[cfg(feature = "tracing")]
pub mod tracing;
