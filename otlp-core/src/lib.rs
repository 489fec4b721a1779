#![doc = include_str!("../README.md")]

pub mod aggregate;
pub mod assemble;
pub mod batch;
pub mod change;
#[cfg(any(feature = "gzip", feature = "zstd"))]
pub mod compress;
pub mod context;
pub mod csv;
pub mod encode;
pub mod error;
pub mod finding;
pub mod id;
pub mod interop;
pub mod json;
pub mod limits;
pub mod process;
pub mod protocol;
pub mod record;
pub mod redact;
pub mod sample;
mod schema;
pub mod semconv;
pub mod series;
pub mod sink;
pub mod stats;
#[cfg(feature = "store")]
pub mod store;
pub mod time;
#[cfg(feature = "http")]
pub mod transport;
pub mod view;
pub mod wire;

pub use error::{DecodeError, Error, ErrorKind, Result};
pub use id::{ProfileId, SpanId, TraceId};
pub use limits::Limits;
pub use time::{Clock, UnixNanos};
