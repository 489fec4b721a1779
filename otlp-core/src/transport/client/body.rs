//! What is done to a body before it is queued: once, whatever becomes of it.

#[cfg(feature = "gzip")]
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::config::Compression;
use crate::Limits;
#[cfg(feature = "gzip")]
use crate::compress::GzipEncoder;
use crate::error::{Error, ErrorKind, Result};
use crate::json;
use crate::protocol::Signal;
use crate::transport::form::Form;

/// Whoever hands a request in has made it, and what it holds is for the receiver to bound.
const LIMITS: Limits = Limits::DEFAULT
    .max_message_bytes(usize::MAX)
    .max_elements(usize::MAX)
    .max_attributes(usize::MAX)
    .max_string_bytes(usize::MAX)
    .max_depth(u32::MAX);

/// Converts and compresses bodies.
pub(super) struct Prepare {
    form: Form,
    max_bytes: usize,
    #[cfg(feature = "gzip")]
    encoders: Option<Mutex<Vec<GzipEncoder>>>,
}

/// Encoders kept; more threads than this make their own and drop them.
#[cfg(feature = "gzip")]
const KEPT_ENCODERS: usize = 4;

impl Prepare {
    #[cfg_attr(not(feature = "gzip"), expect(unused_variables, reason = "there is one compression"))]
    pub(super) fn new(form: Form, compression: Compression, max_bytes: usize) -> Self {
        Self {
            form,
            max_bytes,
            #[cfg(feature = "gzip")]
            encoders: (compression == Compression::Gzip).then(Mutex::default),
        }
    }

    /// The body as it travels. One that is too large already is left as it is, for the exporter to refuse and
    /// count: a receiver bounds what comes out of a compressed one.
    pub(super) fn apply(&self, signal: Signal, mut body: Bytes) -> Result<Bytes> {
        if self.form == Form::Json && body.len() <= self.max_bytes {
            body = to_json(signal, &body)?;
        }
        if body.len() > self.max_bytes {
            return Ok(body);
        }
        self.compress(body)
    }

    #[cfg(feature = "gzip")]
    fn compress(&self, body: Bytes) -> Result<Bytes> {
        let Some(encoders) = &self.encoders else { return Ok(body) };
        let kept = || encoders.lock().unwrap_or_else(PoisonError::into_inner);
        let mut encoder = kept().pop().unwrap_or_default();
        let encoded = encoder.encode(&body);
        let mut kept = kept();
        if kept.len() < KEPT_ENCODERS {
            kept.push(encoder);
        }
        encoded
    }

    #[cfg(not(feature = "gzip"))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the same signature as with gzip")]
    const fn compress(&self, body: Bytes) -> Result<Bytes> {
        Ok(body)
    }
}

fn to_json(signal: Signal, wire: &[u8]) -> Result<Bytes> {
    // Small messages make texts of two to three times their size.
    let mut text = Vec::with_capacity(wire.len().saturating_mul(3));
    json::write(signal, wire, &LIMITS, &mut text)
        .map_err(|error| Error::new(ErrorKind::Malformed, format!("request: {error}")))?;
    text.shrink_to_fit();
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A span named `cart`.
    const TRACES: &[u8] = b"\x0a\x0a\x12\x08\x12\x06\x2a\x04cart";
    const TEXT: &[u8] = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"cart"}]}]}]}"#;

    fn apply(form: Form, compression: Compression, max_bytes: usize, body: &'static [u8]) -> Result<Bytes> {
        Prepare::new(form, compression, max_bytes).apply(Signal::Traces, Bytes::from_static(body))
    }

    #[test]
    fn protobuf_is_handed_on_without_a_copy_and_json_is_converted() {
        let body = apply(Form::Protobuf, Compression::None, 100, TRACES).expect("valid");
        assert_eq!(body.as_ptr(), TRACES.as_ptr());
        assert_eq!(apply(Form::Json, Compression::None, 100, TRACES).expect("valid"), TEXT);
    }

    #[test]
    fn what_is_no_request_cannot_be_converted_and_is_told_where() {
        let error = apply(Form::Json, Compression::None, 100, b"\x0a\x05").expect_err("cut");
        assert!(error.is_malformed(), "{error}");
        assert_eq!(error.to_string(), "request: message ends inside a field at byte 2");
        assert_eq!(
            apply(Form::Protobuf, Compression::None, 100, b"\x0a\x05").expect("not read"),
            &b"\x0a\x05"[..]
        );
    }

    #[cfg(feature = "gzip")]
    #[test]
    fn the_bound_is_on_what_travels_before_its_compression() {
        use crate::compress::gunzip;

        for (form, body) in [(Form::Protobuf, TRACES), (Form::Json, TEXT)] {
            let within = apply(form, Compression::Gzip, body.len(), TRACES).expect("valid");
            assert_eq!(gunzip(&within, 100).expect("gzip"), body);
            let beyond =
                apply(form, Compression::Gzip, body.len() - 1, TRACES).expect("left to the exporter");
            assert_eq!(beyond, body);
        }
    }
}
