//! What a body is, and taking its compression off.

use http::StatusCode;
use http::header::{CONTENT_ENCODING, HeaderMap};

use super::ReceiverLimits;
use super::answer::Refusal;
use super::hold::Share;
use super::spare::Buffer;
use crate::Limits;
use crate::error::{DecodeError, DecodeErrorKind};
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

pub(super) fn too_large(max_bytes: usize) -> Refusal {
    let message = format!("body: exceeds limit {max_bytes}");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

/// The body without its compression; none where it has none.
pub(super) fn decode(
    body: &[u8],
    coding: Coding,
    limits: &ReceiverLimits,
    share: &mut Share,
) -> Result<Option<Buffer>, Refusal> {
    let _unused_without_codings = (body, limits, &share);
    match coding {
        Coding::Identity => Ok(None),
        #[cfg(feature = "gzip")]
        Coding::Gzip => unpack(body, crate::compress::gunzip_within, limits, share).map(Some),
        #[cfg(feature = "zstd")]
        Coding::Zstd => unpack(body, crate::compress::unzstd_within, limits, share).map(Some),
    }
}

/// Appends what a body was to a buffer, of so many bytes at the most; asks before it allocates more.
#[cfg(any(feature = "gzip", feature = "zstd"))]
type Unpack = fn(&[u8], &mut Vec<u8>, usize, &mut dyn FnMut(usize) -> bool) -> crate::Result<()>;

#[cfg(any(feature = "gzip", feature = "zstd"))]
fn unpack(body: &[u8], by: Unpack, limits: &ReceiverLimits, share: &mut Share) -> Result<Buffer, Refusal> {
    let mut buffer = Buffer::with_room(body.len().saturating_mul(crate::compress::USUAL_RATIO), share);
    let mut full = None;
    let may_grow = &mut |bytes| share.grow(bytes).map_err(|refusal| full = Some(refusal)).is_ok();
    let unpacked = by(body, buffer.bytes_mut(), limits.body_bytes, may_grow);
    match full {
        Some(refusal) => Err(refusal),
        None => unpacked.map(|()| buffer).map_err(|error| not_decoded(&error, limits.body_bytes)),
    }
}

#[cfg(any(feature = "gzip", feature = "zstd"))]
fn not_decoded(error: &crate::Error, max_bytes: usize) -> Refusal {
    match error.kind() {
        crate::ErrorKind::Limit => too_large(max_bytes),
        crate::ErrorKind::Io => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        _ => Refusal::new(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

/// The message that a body in JSON stands for, of at most as many bytes as a body may have.
pub(super) fn read_json(
    signal: Signal,
    text: &[u8],
    limits: &ReceiverLimits,
    share: &mut Share,
) -> Result<Vec<u8>, Refusal> {
    // It is hardly ever longer than the text. Where it is, that counts as soon as it is known.
    let room = text.len().min(limits.body_bytes);
    share.grow(room)?;
    let mut wire = Vec::with_capacity(room);
    let bounds = Limits::default().max_message_bytes(limits.body_bytes);
    json::read(signal, text, Reading::Strict, &bounds, &mut wire)
        .map_err(|error| not_read(error, limits.body_bytes))?;
    share.grow(wire.capacity() - room)?;
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
    use std::sync::Arc;

    use http::HeaderValue;

    use super::*;
    use crate::transport::receiver::account::Account;

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
            let limits = ReceiverLimits::default().max_body_bytes(bytes).max_total_body_bytes(total);
            let account = Arc::new(Account::new(&limits));
            let mut share = Share::new(&account);
            let read = read_json(Signal::Metrics, &text, &limits, &mut share);
            let read = read.map(|wire| (wire.len(), wire.capacity(), account.admission().bytes()));
            read.map_err(|refusal| refusal.status.as_u16())
        };
        let (len, room, held) = read(9_000, 20_000).expect("within the bounds");
        assert!(len > 8_000 && held == room);
        // The bound holds while lengths are still open too, and room for them is left.
        assert!(read(len + 16, room).is_ok());
        assert_eq!((read(len - 1, 20_000), read(9_000, len - 1)), (Err(413), Err(503)));
        assert_eq!(read(9_000, text.len() - 1), Err(503));
    }

    #[test]
    fn json_is_refused_with_its_place_and_never_its_text() {
        let account = Arc::new(Account::new(&ReceiverLimits::default()));
        let mut share = Share::new(&account);
        let text = br#"{"resourceSpans":[{"scopeSpans":"secret"}]}"#;
        let refusal =
            read_json(Signal::Traces, text, &ReceiverLimits::default(), &mut share).expect_err("bad");
        assert_eq!(refusal.status, 400);
        assert_eq!(refusal.message, "json: expected an array, met a string at byte 32");
        drop(share);
        assert_eq!(account.admission().bytes(), 0);
    }
}
