//! Reading one body within its bounds.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, HeaderMap};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::timeout;

use super::ReceiverLimits;
use super::answer::Refusal;
use crate::Limits;
use crate::error::{DecodeError, DecodeErrorKind, Error, ErrorKind};
use crate::json::{self, Reading};
use crate::protocol::Signal;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    #[cfg(feature = "gzip")]
    Gzip,
    #[cfg(feature = "zstd")]
    Zstd,
}

impl Coding {
    /// The coding of this name; `None` where it is not taken.
    pub(super) fn named(name: &[u8], limits: &ReceiverLimits) -> Option<Self> {
        match name {
            b"" | b"identity" => Some(Self::Identity),
            #[cfg(feature = "gzip")]
            b"gzip" => Some(Self::Gzip),
            #[cfg(feature = "zstd")]
            b"zstd" if limits.takes_zstd() => Some(Self::Zstd),
            _ => {
                let _unused_without_zstd = limits;
                None
            }
        }
    }
}

/// Finds out how a body is compressed.
pub(super) fn coding(headers: &HeaderMap, limits: &ReceiverLimits) -> Result<Coding, Refusal> {
    let coding = headers.get(CONTENT_ENCODING).map_or(&b""[..], |value| value.as_bytes());
    let name = coding.trim_ascii().to_ascii_lowercase();
    let name = if name == b"x-gzip" { b"gzip" } else { name.as_slice() };
    Coding::named(name, limits).ok_or_else(|| {
        unsupported(match limits.takes_zstd() {
            false => "content-encoding: expected identity or gzip",
            true => "content-encoding: expected identity, gzip or zstd",
        })
    })
}

pub(super) fn unsupported(message: &str) -> Refusal {
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
    let decoded: crate::Result<Option<Vec<u8>>> = match coding {
        Coding::Identity => Ok(None),
        #[cfg(feature = "gzip")]
        Coding::Gzip => crate::compress::gunzip(body, limits.body_bytes).map(Some),
        #[cfg(feature = "zstd")]
        Coding::Zstd => crate::compress::unzstd(body, limits.body_bytes).map(Some),
    };
    let decoded = decoded.map_err(|error| not_decoded(&error, limits.body_bytes))?;
    let Some(decoded) = decoded else { return Ok(Cow::Borrowed(body)) };
    share.grow(decoded.len())?;
    Ok(Cow::Owned(decoded))
}

fn not_decoded(error: &Error, max_bytes: usize) -> Refusal {
    match error.kind() {
        ErrorKind::Limit => too_large(max_bytes),
        ErrorKind::Io => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        _ => Refusal::new(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

/// The message that a body in JSON stands for, of at most as many bytes as a body may have.
pub(super) fn read_json(
    signal: Signal,
    text: &[u8],
    limits: &ReceiverLimits,
    share: &mut Share<'_>,
) -> Result<Vec<u8>, Refusal> {
    let mut wire = Vec::new();
    let bounds = Limits::default().max_message_bytes(limits.body_bytes);
    json::read(signal, text, Reading::Strict, &bounds, &mut wire)
        .map_err(|error| not_read(error, limits.body_bytes))?;
    share.grow(wire.len())?;
    Ok(wire)
}

fn not_read(error: DecodeError, max_bytes: usize) -> Refusal {
    match error.kind {
        DecodeErrorKind::Limit { what: "max_message_bytes", .. } => too_large(max_bytes),
        _ => Refusal::new(StatusCode::BAD_REQUEST, format!("json: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn met(encoding: &'static str) -> Result<Coding, u16> {
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(encoding))]);
        coding(&headers, &ReceiverLimits::default()).map_err(|refusal| refusal.status.as_u16())
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn zstd_is_taken_only_where_it_was_asked_for() {
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static("ZSTD"))]);
        assert_eq!(coding(&headers, &ReceiverLimits::default()).expect_err("not asked for").status, 415);
        assert_eq!(coding(&headers, &ReceiverLimits::default().accept_zstd()).ok(), Some(Coding::Zstd));
    }

    #[test]
    fn codings_are_known_in_any_case_and_others_refused() {
        assert_eq!(coding(&HeaderMap::new(), &ReceiverLimits::default()).ok(), Some(Coding::Identity));
        assert_eq!(met("Identity"), Ok(Coding::Identity));
        for encoding in ["zstd", "br", "gzip, gzip", "deflate"] {
            assert_eq!(met(encoding), Err(415), "{encoding}");
        }
    }

    #[test]
    fn json_that_grows_past_the_bound_is_too_large_and_is_held_against_the_share() {
        let text = [br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"histogram":{"dataPoints":[{"bucketCounts":["#,
            &b"1,".repeat(999)[..], b"1]}]}}]}]}]}"].concat();
        // Each count takes two bytes in the text and eight on the wire.
        let read = |bytes, total| {
            let (held, limits) = (Held::default(), ReceiverLimits::default().max_body_bytes(bytes));
            let mut share = Share::new(&held, total);
            let read = read_json(Signal::Metrics, &text, &limits, &mut share);
            read.map(|wire| (wire.len(), held.bytes())).map_err(|refusal| refusal.status.as_u16())
        };
        let (len, held) = read(9_000, 9_000).expect("within the bounds");
        assert!(len > 8_000 && held == len as u64);
        // The bound holds while lengths are still open too, and room for them is left.
        assert_eq!(read(len + 16, len), Ok((len, held)));
        assert_eq!((read(len - 1, 9_000), read(9_000, len - 1)), (Err(413), Err(503)));
    }

    #[test]
    fn json_is_refused_with_its_place_and_never_its_text() {
        let held = Held::default();
        let mut share = Share::new(&held, 1000);
        let text = br#"{"resourceSpans":[{"scopeSpans":"secret"}]}"#;
        let refusal =
            read_json(Signal::Traces, text, &ReceiverLimits::default(), &mut share).expect_err("bad");
        assert_eq!(refusal.status, 400);
        assert_eq!(refusal.message, "json: expected an array, met a string at byte 32");
        assert_eq!(held.bytes(), 0);
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
