//! Reading one body within its bounds.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::timeout;

use super::ReceiverLimits;
use super::answer::Refusal;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    #[cfg(feature = "gzip")]
    Gzip,
}

/// Refuses what is not protobuf; finds out how it is compressed.
pub(super) fn coding(headers: &HeaderMap) -> Result<Coding, Refusal> {
    let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let media_type = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    if !media_type.eq_ignore_ascii_case(b"application/x-protobuf") {
        return Err(unsupported("content-type: expected application/x-protobuf"));
    }
    let coding = headers.get(CONTENT_ENCODING).map_or(&b""[..], |value| value.as_bytes());
    match coding.trim_ascii().to_ascii_lowercase().as_slice() {
        b"" | b"identity" => Ok(Coding::Identity),
        #[cfg(feature = "gzip")]
        b"gzip" | b"x-gzip" => Ok(Coding::Gzip),
        _ => Err(unsupported("content-encoding: expected identity or gzip")),
    }
}

fn unsupported(message: &str) -> Refusal {
    Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
}

/// Bytes of bodies held by all connections together.
#[derive(Debug, Default)]
pub(super) struct Held(AtomicUsize);

impl Held {
    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed) as u64
    }
}

/// A share of [`Held`], given back when it is dropped.
pub(super) struct Share<'a> {
    held: &'a Held,
    bytes: usize,
    bound: usize,
}

impl<'a> Share<'a> {
    pub(super) const fn new(held: &'a Held, bound: usize) -> Self {
        Self { held, bytes: 0, bound }
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.bytes += bytes;
        let before = self.held.0.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= self.bound {
            return Ok(());
        }
        let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many bytes in requests at once");
        Err(Refusal { retry_after: Some(Duration::from_secs(1)), ..refusal })
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.held.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The client went away.
#[derive(Debug, thiserror::Error)]
#[error("client went away")]
pub(super) struct Gone;

/// Why there is no body.
#[derive(Debug)]
pub(super) enum Failure {
    Refused(Refusal),
    /// The connection or the stream broke; there is nobody to answer.
    Gone(Gone),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What one body may be, as it comes over the wire.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) bytes: usize,
    pub(super) within: Duration,
}

/// Reads the whole body as it comes over the wire.
pub(super) async fn collect(
    body: impl Body<Data = Bytes> + Unpin,
    bounds: Bounds,
    share: &mut Share<'_>,
) -> Result<Vec<u8>, Failure> {
    match timeout(bounds.within, collect_slowly(body, bounds.bytes, share)).await {
        Ok(collected) => collected,
        Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "body: not complete in time").into()),
    }
}

async fn collect_slowly(
    mut body: impl Body<Data = Bytes> + Unpin,
    max_bytes: usize,
    share: &mut Share<'_>,
) -> Result<Vec<u8>, Failure> {
    let claimed = body.size_hint().lower();
    if usize::try_from(claimed).map_or(true, |claimed| claimed > max_bytes) {
        return Err(too_large(max_bytes).into());
    }
    // What is claimed is not believed: room is made for what has come.
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(|_| Failure::Gone(Gone))?.into_data().unwrap_or_default();
        if bytes.len() + data.len() > max_bytes {
            return Err(too_large(max_bytes).into());
        }
        share.grow(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

fn too_large(max_bytes: usize) -> Refusal {
    let message = format!("body: exceeds limit {max_bytes}");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

/// The body without its compression.
pub(super) fn decode<'a>(
    body: &'a [u8],
    coding: Coding,
    limits: &ReceiverLimits,
    share: &mut Share<'_>,
) -> Result<Cow<'a, [u8]>, Refusal> {
    match coding {
        Coding::Identity => {
            let _unused = (limits, share);
            Ok(Cow::Borrowed(body))
        }
        #[cfg(feature = "gzip")]
        Coding::Gzip => {
            let decoded = crate::compress::gunzip(body, limits.body_bytes).map_err(|error| {
                if error.is_limit() {
                    too_large(limits.body_bytes)
                } else {
                    Refusal::new(StatusCode::BAD_REQUEST, error.to_string())
                }
            })?;
            share.grow(decoded.len())?;
            Ok(Cow::Owned(decoded))
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn met(content_type: &'static str, encoding: Option<&'static str>) -> Result<Coding, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(encoding) = encoding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        coding(&headers).map_err(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn protobuf_is_taken_however_it_is_written() {
        for content_type in
            ["application/x-protobuf", "Application/X-Protobuf", "application/x-protobuf; charset=utf-8"]
        {
            assert_eq!(met(content_type, None), Ok(Coding::Identity), "{content_type}");
        }
        assert_eq!(met("application/x-protobuf", Some("Identity")), Ok(Coding::Identity));
    }

    #[test]
    fn other_types_and_codings_are_refused() {
        for content_type in ["application/json", "application/grpc", "application/x-protobuf2", ""] {
            assert_eq!(met(content_type, None), Err(415), "{content_type}");
        }
        for encoding in ["zstd", "br", "gzip, gzip", "deflate"] {
            assert_eq!(met("application/x-protobuf", Some(encoding)), Err(415), "{encoding}");
        }
        assert!(coding(&HeaderMap::new()).is_err());
    }

    #[test]
    fn shares_are_given_back_whatever_happens() {
        let held = Held::default();
        let mut one = Share::new(&held, 100);
        one.grow(60).expect("room");
        let mut other = Share::new(&held, 100);
        let refusal = other.grow(41).expect_err("no room");
        assert_eq!((refusal.status.as_u16(), refusal.retry_after), (503, Some(Duration::from_secs(1))));
        drop(other);
        drop(one);
        Share::new(&held, 100).grow(100).expect("all is given back");
    }
}
