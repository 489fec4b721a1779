//! Records to and from the messages of `opentelemetry-proto` (feature `prost`).
//!
//! For meeting code that has prost structs already. To write or read bytes, [`encode`](crate::encode) and
//! [`view`](crate::view) do so several times faster without these.
//!
//! ```
//! use opentelemetry_proto::tonic::trace::v1::Span as ProstSpan;
//! use otlp_core::record::{KeyValue, Span, SpanKind};
//!
//! let attributes = vec![KeyValue::new("http.request.method", "GET")];
//! let span = Span { name: "GET /cart".into(), kind: SpanKind::Server, attributes, ..Span::default() };
//! let theirs = ProstSpan::from(span.clone());
//! assert_eq!((theirs.name.as_str(), theirs.kind), ("GET /cart", 2));
//! assert_eq!(Span::try_from(theirs)?, span);
//! # Ok::<(), otlp_core::Error>(())
//! ```
//!
//! - To prost is `From`, and lossless. It moves texts and copies nothing but identifiers.
//! - From prost is `From` too where nothing can be wrong, and `TryFrom` where there are identifiers, which
//!   prost takes at any length, or counts, which may be below zero.
//! - A view goes to prost by `TryFrom`, by way of the record and within
//!   [`Limits::heap_bytes`](crate::Limits::heap_bytes): what is a limit or malformed is a
//!   [`DecodeError`](crate::DecodeError).
//! - Numbers of enums that this version does not know are kept.
//!
//! What does not come back from prost, for OTLP gives it no meaning: the difference between a
//! sub-message that is absent and one that is empty (resource, scope, status, value, body, dictionary), and
//! between an identifier that is absent and one of all zeros. Prost itself drops unknown fields.
//!
//! The dependency brings in `opentelemetry_sdk`, whatever its features, but no `tonic` and no runtime.

mod attribute;
mod log;
mod metric;
mod profile;
mod request;
mod response;
mod trace;

use crate::error::{Error, ErrorKind, Result};
use crate::{SpanId, TraceId};

/// Converts every element.
fn all<T, U: From<T>>(list: Vec<T>) -> Vec<U> {
    list.into_iter().map(U::from).collect()
}

/// Converts every element, or gives the first failure.
fn try_all<T, U: TryFrom<T, Error = Error>>(list: Vec<T>) -> Result<Vec<U>> {
    list.into_iter().map(U::try_from).collect()
}

/// A sub-message that is left out where it says nothing.
fn unless_default<T: Default + PartialEq, U: From<T>>(message: T) -> Option<U> {
    (message != T::default()).then(|| message.into())
}

fn trace_id(bytes: &[u8]) -> Result<TraceId> {
    Ok(TraceId::new(identifier("trace id", bytes)?))
}

fn span_id(bytes: &[u8]) -> Result<SpanId> {
    Ok(SpanId::new(identifier("span id", bytes)?))
}

/// Empty is all zeros, which is none.
fn identifier<const N: usize>(what: &str, bytes: &[u8]) -> Result<[u8; N]> {
    if bytes.is_empty() {
        return Ok([0; N]);
    }
    bytes.try_into().map_err(|_| {
        let message = format!("{what}: expected {N} bytes or none, met {}", bytes.len());
        Error::new(ErrorKind::Malformed, message)
    })
}

fn trace_id_bytes(id: TraceId) -> Vec<u8> {
    if id.is_valid() { id.as_bytes().to_vec() } else { Vec::new() }
}

fn span_id_bytes(id: SpanId) -> Vec<u8> {
    if id.is_valid() { id.as_bytes().to_vec() } else { Vec::new() }
}
