//! What is done to a body before it is queued: once, whatever becomes of it.

#[cfg(any(feature = "gzip", feature = "zstd"))]
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::config::Compression;
use crate::Limits;
#[cfg(feature = "gzip")]
use crate::compress::GzipEncoder;
#[cfg(feature = "zstd")]
use crate::compress::ZstdEncoder;
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
    pub(super) form: Form,
    pub(super) max_bytes: usize,
    pub(super) encoders: Encoders,
}

impl Prepare {
    /// The body as it travels. One that is too large already is left as it is, for the exporter to refuse and
    /// count: a receiver bounds what comes out of a compressed one.
    pub(super) fn apply(&self, signal: Signal, mut body: Bytes) -> Result<Bytes> {
        if self.form == Form::Json && body.len() <= self.max_bytes {
            body = to_json(signal, &body)?;
        }
        if body.len() > self.max_bytes { Ok(body) } else { self.encoders.encode(body) }
    }
}

/// Compresses with encoders that are kept between bodies.
pub(super) struct Encoders {
    compression: Compression,
    #[cfg_attr(
        not(any(feature = "gzip", feature = "zstd")),
        expect(dead_code, reason = "nothing has levels")
    )]
    level: Option<u8>,
    #[cfg(feature = "gzip")]
    gzip: Kept<GzipEncoder>,
    #[cfg(feature = "zstd")]
    zstd: Kept<ZstdEncoder>,
}

impl Encoders {
    pub(super) fn new(compression: Compression, level: Option<u8>) -> Self {
        Self {
            compression,
            level,
            #[cfg(feature = "gzip")]
            gzip: Kept::default(),
            #[cfg(feature = "zstd")]
            zstd: Kept::default(),
        }
    }

    fn encode(&self, body: Bytes) -> Result<Bytes> {
        match self.compression {
            Compression::None => Ok(body),
            #[cfg(feature = "gzip")]
            Compression::Gzip => {
                let make =
                    || self.level.map_or_else(GzipEncoder::default, |level| GzipEncoder::new(level.into()));
                self.gzip.lend(make, |encoder| encoder.encode(&body))
            }
            #[cfg(feature = "zstd")]
            Compression::Zstd => {
                let make =
                    || self.level.map_or_else(ZstdEncoder::default, |level| ZstdEncoder::new(level.into()));
                self.zstd.lend(make, |encoder| encoder.encode(&body))
            }
        }
    }
}

/// Encoders kept; more threads than this make their own and drop them.
#[cfg(any(feature = "gzip", feature = "zstd"))]
const MAX_KEPT: usize = 4;

#[cfg(any(feature = "gzip", feature = "zstd"))]
struct Kept<E>(Mutex<Vec<E>>);

#[cfg(any(feature = "gzip", feature = "zstd"))]
impl<E> Default for Kept<E> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

#[cfg(any(feature = "gzip", feature = "zstd"))]
impl<E> Kept<E> {
    fn lend<T>(&self, make: impl FnOnce() -> E, run: impl FnOnce(&mut E) -> T) -> T {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = lock().pop();
        let mut encoder = kept.unwrap_or_else(make);
        let done = run(&mut encoder);
        let mut kept = lock();
        if kept.len() < MAX_KEPT {
            kept.push(encoder);
        }
        done
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
        let encoders = Encoders::new(compression, None);
        Prepare { form, max_bytes, encoders }.apply(Signal::Traces, Bytes::from_static(body))
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

    #[cfg(all(feature = "gzip", feature = "zstd"))]
    #[test]
    fn a_level_is_used_and_encoders_are_kept() {
        let words = (0..5_000_u32).map(|n| format!("span {} ", n.wrapping_mul(2_654_435_761) % 997));
        let body = Bytes::from(words.collect::<String>());
        for (compression, fast, small) in [(Compression::Gzip, 1, 9), (Compression::Zstd, 1, 19)] {
            let len = |level| {
                let encoders = Encoders::new(compression, level);
                let first = encoders.encode(body.clone()).expect("memory");
                assert_eq!(encoders.encode(body.clone()).expect("memory"), first);
                let kept = (encoders.gzip.0.lock().unwrap().len(), encoders.zstd.0.lock().unwrap().len());
                assert_eq!(kept, if compression == Compression::Gzip { (1, 0) } else { (0, 1) });
                first.len()
            };
            assert!(len(Some(small)) < len(Some(fast)), "{compression:?}");
        }
    }

    #[cfg(feature = "gzip")]
    #[test]
    fn as_many_threads_as_like_compress_at_once() {
        let encoders = Encoders::new(Compression::Gzip, None);
        std::thread::scope(|scope| {
            for number in 0..16_u8 {
                let encoders = &encoders;
                scope.spawn(move || {
                    let body = encoders.encode(vec![number; 1000].into()).expect("memory");
                    assert_eq!(crate::compress::gunzip(&body, 1000).expect("gzip"), [number; 1000]);
                });
            }
        });
        assert!((1..=MAX_KEPT).contains(&encoders.gzip.0.lock().unwrap().len()));
    }
}
