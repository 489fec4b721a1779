//! The crate's error is that of `otlp-core`; what parsers refuse is a small `Copy` value of its own.

pub use otlp_core::error::{Error, ErrorKind, Result};
