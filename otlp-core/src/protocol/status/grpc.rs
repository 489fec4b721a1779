//! gRPC: which codes may be tried again, and the three places where a refusal hides its details.

use std::time::Duration;

use super::{Class, Code, LIMITS, success};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::export::Outcome;
use crate::protocol::percent;
use crate::view::RpcStatusView;

/// The names of `google.rpc.Code`, by number.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// What the gRPC status `code` means: `CANCELLED`, `DEADLINE_EXCEEDED`, `ABORTED`, `OUT_OF_RANGE`, `UNAVAILABLE`
/// and `DATA_LOSS` may be tried again, `RESOURCE_EXHAUSTED` only where `RetryInfo` came with it.
///
/// ```
/// use otlp_core::protocol::status::{Class, classify_grpc};
/// assert_eq!(classify_grpc(14, None), Class::Retryable);
/// assert_eq!(classify_grpc(8, None), Class::Final);
/// ```
#[must_use]
pub const fn classify_grpc(code: i32, retry_info: Option<Duration>) -> Class {
    match code {
        0 => Class::Success,
        1 | 4 | 10 | 11 | 14 | 15 => Class::Retryable,
        8 if retry_info.is_some() => Class::Retryable,
        _ => Class::Final,
    }
}

/// The gRPC code for an HTTP status that came without one, from a proxy for instance (gRPC, "HTTP to gRPC
/// Status Code Mapping").
#[must_use]
pub const fn grpc_code(http: u16) -> i32 {
    match http {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// The name of a gRPC status code; `None` for a number that is none.
///
/// ```
/// use otlp_core::protocol::status::grpc_name;
/// assert_eq!((grpc_name(5), grpc_name(17)), (Some("NOT_FOUND"), None));
/// ```
#[must_use]
pub fn grpc_name(code: i32) -> Option<&'static str> {
    NAMES.get(usize::try_from(code).ok()?).copied()
}

/// A complete gRPC answer, as the driver received it.
///
/// ```
/// use std::time::Duration;
/// use otlp_core::protocol::export::Outcome;
/// use otlp_core::protocol::status::{Code, GrpcAnswer, decode_bin_header};
///
/// // RESOURCE_EXHAUSTED with a RetryInfo of two seconds, as a receiver sends it.
/// let details = decode_bin_header(
///     "CAgSBHNsb3caMAoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIECgIIAg",
/// )?;
/// let answer = GrpcAnswer { code: 8, message: "slow", details: &details, body: b"" };
/// let retry_after = Some(Duration::from_secs(2));
/// assert_eq!(answer.outcome(), Outcome::Refused { code: Code::Grpc(8), retry_after, message: "slow".into() });
/// # Ok::<(), otlp_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "complete: what OTLP/gRPC reads of an answer")]
pub struct GrpcAnswer<'a> {
    /// The value of `grpc-status`.
    pub code: i32,
    /// The value of `grpc-message`, with or without its percent-encoding undone.
    pub message: &'a str,
    /// The encoded `google.rpc.Status` of `grpc-status-details-bin`, its base64 undone by
    /// [`decode_bin_header`]; empty where there was none.
    pub details: &'a [u8],
    /// The response message; empty with an error.
    pub body: &'a [u8],
}

impl GrpcAnswer<'_> {
    /// Reads the answer. `code` alone decides whether the request was taken; details that cannot be read are
    /// as none, and a wait of `RetryInfo` below zero is none at all.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        if self.code == 0 {
            return success(self.body);
        }
        let status = RpcStatusView::parse(self.details, &LIMITS).unwrap_or_default();
        let message = if self.message.is_empty() {
            status.message().to_owned()
        } else {
            decode_grpc_message(self.message)
        };
        Outcome::Refused { code: Code::Grpc(self.code), retry_after: status.retry_delay(), message }
    }
}

/// Undoes the percent-encoding of `grpc-message`. What is no encoding stays as it is, and what is not UTF-8 is
/// replaced: a message that cannot be read is still worth showing.
///
/// ```
/// use otlp_core::protocol::status::decode_grpc_message;
/// assert_eq!(decode_grpc_message("quota%20used%2c 100%"), "quota used, 100%");
/// ```
#[must_use]
pub fn decode_grpc_message(value: &str) -> String {
    String::from_utf8_lossy(&percent::decode_leniently(value)).into_owned()
}

/// Undoes the base64 of a header whose name ends in `-bin`, padded or not (RFC 4648 §4).
///
/// ```
/// use otlp_core::protocol::status::decode_bin_header;
/// assert_eq!(decode_bin_header("CAM")?, decode_bin_header("CAM=")?);
/// assert!(decode_bin_header("CA M").is_err());
/// # Ok::<(), otlp_core::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Malformed`] where the value is no base64, [`ErrorKind::Limit`] above 64 KiB.
pub fn decode_bin_header(value: &str) -> Result<Vec<u8>> {
    if value.len() > MAX_HEADER_BYTES {
        let message = format!("binary header: {} bytes exceed limit {MAX_HEADER_BYTES}", value.len());
        return Err(Error::new(ErrorKind::Limit, message));
    }
    let wrong =
        |at: usize| Error::new(ErrorKind::Malformed, format!("binary header: no base64 at byte {at}"));
    let padded = value.len().is_multiple_of(4);
    let digits = value.strip_suffix("==").or_else(|| value.strip_suffix('=')).unwrap_or(value);
    if digits.len() % 4 == 1 || (digits.len() < value.len() && !padded) {
        return Err(wrong(digits.len()));
    }
    let (mut bytes, mut bits, mut held) = (Vec::with_capacity(digits.len() * 3 / 4), 0_u32, 0_u32);
    for (at, digit) in digits.bytes().enumerate() {
        bits = (bits << 6) | u32::from(sextet(digit).ok_or_else(|| wrong(at))?);
        held += 6;
        if held >= 8 {
            held -= 8;
            let [.., byte] = (bits >> held).to_be_bytes();
            bytes.push(byte);
            bits &= (1 << held) - 1;
        }
    }
    // Bits that belong to no byte are to be zero, else two texts would mean the same.
    if bits == 0 { Ok(bytes) } else { Err(wrong(digits.len())) }
}

/// More than any proxy lets through.
const MAX_HEADER_BYTES: usize = 64 << 10;

const fn sextet(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::Encode;
    use crate::record::ExportResponse;

    /// `google.rpc.Status` with a `RetryInfo` of `seconds` and `nanos`, written by hand.
    fn details(seconds: &[u8], nanos: &[u8]) -> Vec<u8> {
        let url = b"type.googleapis.com/google.rpc.RetryInfo";
        let mut delay = Vec::new();
        delay.extend(seconds);
        delay.extend(nanos);
        let framed = |tag: u8, body: &[u8]| {
            let mut out = vec![tag, u8::try_from(body.len()).expect("short")];
            out.extend(body);
            out
        };
        let mut any = framed(0x0a, url);
        any.extend(framed(0x12, &framed(0x0a, &delay)));
        let mut status = b"\x08\x08\x12\x04slow".to_vec();
        status.extend(framed(0x1a, b"\x0a\x05other\x12\x01x"));
        status.extend(framed(0x1a, &any));
        status
    }

    fn outcome(code: i32, details: &[u8]) -> Outcome {
        GrpcAnswer { code, message: "", details, body: b"" }.outcome()
    }

    #[test]
    fn the_retryable_set_is_exactly_that_of_the_specification() {
        let retryable = |info: Option<Duration>| -> Vec<i32> {
            (-3..=40).filter(|&code| classify_grpc(code, info) == Class::Retryable).collect()
        };
        assert_eq!(retryable(None), [1, 4, 10, 11, 14, 15]);
        assert_eq!(retryable(Some(Duration::ZERO)), [1, 4, 8, 10, 11, 14, 15]);
        assert_eq!((-3..=40).filter(|&code| classify_grpc(code, None) == Class::Success).count(), 1);
    }

    #[test]
    fn retry_info_is_found_among_other_details() {
        let wait = |details: &[u8]| match outcome(8, details) {
            Outcome::Refused { retry_after, message, .. } => {
                assert_eq!(message, "slow");
                retry_after
            }
            other => panic!("expected a refusal, met {other:?}"),
        };
        assert_eq!(wait(&details(b"\x08\x02", b"")), Some(Duration::from_secs(2)));
        assert_eq!(wait(&details(b"\x08\x01", b"\x10\x01")), Some(Duration::new(1, 1)));
        assert_eq!(wait(&details(b"", b"")), Some(Duration::ZERO), "there, and no wait");
        let minus_one = b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert_eq!(wait(&details(minus_one, b"")), Some(Duration::ZERO), "below zero is none");
        assert_eq!(wait(b"\x08\x08\x12\x04slow"), None);
    }

    #[test]
    fn details_that_cannot_be_read_are_as_none() {
        for broken in [&b"\x1a\x02\x0a"[..], b"\xff", b"\x1a\x00"] {
            let expected =
                Outcome::Refused { code: Code::Grpc(8), retry_after: None, message: String::new() };
            assert_eq!(outcome(8, broken), expected, "{broken:?}");
        }
    }

    #[test]
    fn ok_is_full_partial_or_unread_as_over_http() {
        let answer = |body: &[u8]| GrpcAnswer { code: 0, message: "", details: b"", body }.outcome();
        assert_eq!(answer(b""), Outcome::Accepted);
        let partial = ExportResponse::partial(3, "too old");
        assert_eq!(answer(&partial.encode_to_bytes()), Outcome::Partial(partial));
        assert_eq!(answer(b"\xff"), Outcome::Unread);
    }

    #[test]
    fn the_message_of_the_header_comes_before_that_of_the_details() {
        let both = GrpcAnswer { code: 3, message: "bad%2Ctime", details: b"\x12\x01x", body: b"" }.outcome();
        let expected =
            Outcome::Refused { code: Code::Grpc(3), retry_after: None, message: "bad,time".into() };
        assert_eq!(both, expected);
    }

    #[test]
    fn base64_is_read_at_every_length_and_nothing_else_is() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("Zg==", b"f"),
            ("Zg", b"f"),
            ("Zm8=", b"fo"),
            ("Zm8", b"fo"),
            ("Zm9v", b"foo"),
            ("+/+/", b"\xfb\xff\xbf"),
        ] {
            assert_eq!(decode_bin_header(text).expect(text), bytes, "{text:?}");
        }
        for text in ["Z", "Zg=", "Zm9v=", "Zm9v==", "=", "Z===", "Zm9 v", "Zm9-", "Zh==", "Zg==Zg==", "é"] {
            assert!(decode_bin_header(text).expect_err(text).is_malformed(), "{text:?}");
        }
        assert!(decode_bin_header(&"A".repeat(MAX_HEADER_BYTES + 4)).expect_err("long").is_limit());
    }

    #[test]
    fn every_http_status_of_a_proxy_has_a_grpc_code_that_is_an_error() {
        assert!((0..=999).all(|http| (1..=16).contains(&grpc_code(http))));
        assert_eq!([401, 403, 404, 429, 503, 500].map(grpc_code), [16, 7, 12, 14, 14, 2]);
    }
}
