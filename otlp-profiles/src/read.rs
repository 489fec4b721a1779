//! Readers: folded stacks and pprof.

mod folded;
mod pprof;
mod raw;

use otlp_core::error::DecodeError;

use crate::Error;

/// Says the whole of it in the message, because many callers print no chain, and keeps the typed
/// error underneath for those who want the offset as a number.
fn malformed(error: DecodeError) -> Error {
    Error::from(error).with_source(error)
}
