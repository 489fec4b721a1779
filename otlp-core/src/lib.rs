#![doc = include_str!("../README.md")]

pub mod change;
pub mod context;
pub mod error;
pub mod finding;
pub mod id;
pub mod limits;
pub mod record;
pub mod redact;
pub mod sample;
pub mod semconv;
pub mod series;
pub mod sink;
pub mod stats;
pub mod time;
pub mod wire;

pub use error::{DecodeError, Error, ErrorKind, Result};
pub use id::{SpanId, TraceId};
pub use limits::Limits;
pub use time::{Clock, UnixNanos};
