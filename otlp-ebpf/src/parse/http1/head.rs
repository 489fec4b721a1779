//! Heads, and the length of the body that follows (RFC 9112 §6.3).

use std::mem::MaybeUninit;

use super::body::{Body, Chunked};
use super::{Headers, Request, Response};
use crate::limits::Limits;
use crate::parse::ParseErrorKind;

/// Headers read without an allocation.
const USUAL_HEADERS: usize = 48;

/// How the body's length is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
    /// None: what follows on this 101 answer is HTTP/2 in clear text.
    Http2,
}

impl Framing {
    pub(super) const NONE: Self = Self::Length(0);

    /// The body to skip, `None` where it is empty.
    pub(super) const fn into_body(self) -> Option<Body> {
        match self {
            Self::Length(0) | Self::Http2 => None,
            Self::Length(left) => Some(Body::Length(left)),
            Self::Chunked => Some(Body::Chunked(Chunked::new())),
            Self::UntilClose => Some(Body::UntilClose),
        }
    }
}

/// Reads the head of a request; `then` sees it with the framing of its body.
pub(super) fn request<R>(
    head: &[u8],
    limits: &Limits,
    then: impl FnOnce(Request<'_>, Framing) -> R,
) -> Result<R, ParseErrorKind> {
    let mut usual = [const { MaybeUninit::uninit() }; USUAL_HEADERS];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(head, &mut usual) {
        Err(httparse::Error::TooManyHeaders) => {}
        outcome => return request_read(outcome, head, &parsed, then),
    }
    let mut many = vec![MaybeUninit::uninit(); limits.headers()];
    let mut parsed = httparse::Request::new(&mut []);
    let outcome = parsed.parse_with_uninit_headers(head, &mut many);
    if matches!(outcome, Err(httparse::Error::TooManyHeaders)) {
        return Err(too_many(limits));
    }
    request_read(outcome, head, &parsed, then)
}

fn request_read<R>(
    outcome: httparse::Result<usize>,
    head: &[u8],
    parsed: &httparse::Request<'_, '_>,
    then: impl FnOnce(Request<'_>, Framing) -> R,
) -> Result<R, ParseErrorKind> {
    complete(outcome, head)?;
    let (Some(method), Some(target), Some(minor_version)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(ParseErrorKind::StartLine);
    };
    let headers = Headers { list: parsed.headers };
    let framing = match framing(parsed.headers)? {
        Lengths { coded: Some(true), .. } => Framing::Chunked,
        Lengths { coded: Some(false), .. } => return Err(ParseErrorKind::TransferEncoding),
        Lengths { length, .. } => Framing::Length(length.unwrap_or(0)),
    };
    Ok(then(Request { method, target, minor_version, headers }, framing))
}

/// Reads the head of a response; `then` sees it.
pub(super) fn response<R>(
    head: &[u8],
    limits: &Limits,
    then: impl FnOnce(Response, Headers<'_>) -> R,
) -> Result<(Response, Framing, R), ParseErrorKind> {
    let config = httparse::ParserConfig::default();
    let mut usual = [const { MaybeUninit::uninit() }; USUAL_HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    match config.parse_response_with_uninit_headers(&mut parsed, head, &mut usual) {
        Err(httparse::Error::TooManyHeaders) => {}
        outcome => return response_read(outcome, head, &parsed, then),
    }
    let mut many = vec![MaybeUninit::uninit(); limits.headers()];
    let mut parsed = httparse::Response::new(&mut []);
    let outcome = config.parse_response_with_uninit_headers(&mut parsed, head, &mut many);
    if matches!(outcome, Err(httparse::Error::TooManyHeaders)) {
        return Err(too_many(limits));
    }
    response_read(outcome, head, &parsed, then)
}

fn response_read<R>(
    outcome: httparse::Result<usize>,
    head: &[u8],
    parsed: &httparse::Response<'_, '_>,
    then: impl FnOnce(Response, Headers<'_>) -> R,
) -> Result<(Response, Framing, R), ParseErrorKind> {
    complete(outcome, head)?;
    let (Some(status @ 100..), Some(minor_version)) = (parsed.code, parsed.version) else {
        return Err(ParseErrorKind::StartLine);
    };
    let framing = match framing(parsed.headers)? {
        _ if status == 101 && upgrades_to_http2(parsed.headers) => Framing::Http2,
        Lengths { coded: Some(true), .. } => Framing::Chunked,
        Lengths { coded: None, length: Some(length) } => Framing::Length(length),
        Lengths { .. } => Framing::UntilClose,
    };
    let response = Response { status, minor_version, call: None };
    let seen = then(response, Headers { list: parsed.headers });
    Ok((response, framing, seen))
}

fn upgrades_to_http2(headers: &[httparse::Header<'_>]) -> bool {
    let upgrade = headers.iter().find(|header| header.name.eq_ignore_ascii_case("upgrade"));
    upgrade.is_some_and(|header| header.value.trim_ascii().eq_ignore_ascii_case(b"h2c"))
}

fn too_many(limits: &Limits) -> ParseErrorKind {
    ParseErrorKind::Limit { what: "headers", limit: u64::try_from(limits.headers()).unwrap_or(u64::MAX) }
}

/// Turns what `httparse` says of a head that ends in an empty line into our errors.
fn complete(outcome: httparse::Result<usize>, head: &[u8]) -> Result<(), ParseErrorKind> {
    match outcome {
        Ok(httparse::Status::Complete(used)) if used == head.len() => Ok(()),
        Ok(_) | Err(httparse::Error::Token | httparse::Error::Status) => Err(ParseErrorKind::StartLine),
        Err(httparse::Error::Version) => Err(ParseErrorKind::Version),
        Err(_) if is_folded(head) => Err(ParseErrorKind::ObsFold),
        Err(httparse::Error::NewLine) => Err(ParseErrorKind::StartLine),
        Err(_) => Err(ParseErrorKind::Header),
    }
}

fn is_folded(head: &[u8]) -> bool {
    head.windows(2).any(|pair| matches!(pair, [b'\n', b' ' | b'\t']))
}

/// What the headers say of the body's length.
struct Lengths {
    /// Whether `Transfer-Encoding` ends in `chunked`, where there is one.
    coded: Option<bool>,
    length: Option<u64>,
}

fn framing(headers: &[httparse::Header<'_>]) -> Result<Lengths, ParseErrorKind> {
    let mut lengths = Lengths { coded: None, length: None };
    for header in headers {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            let last = header.value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
            lengths.coded = Some(last.trim_ascii().eq_ignore_ascii_case(b"chunked"));
        } else if header.name.eq_ignore_ascii_case("content-length") {
            // A list of equal values counts as one (RFC 9110 §8.6).
            for value in header.value.split(|byte| *byte == b',') {
                let value = decimal(value.trim_ascii()).ok_or(ParseErrorKind::ContentLength)?;
                if lengths.length.replace(value).is_some_and(|before| before != value) {
                    return Err(ParseErrorKind::ConflictingLength);
                }
            }
        }
    }
    Ok(lengths)
}

/// A number of digits only; `parse` alone would let a sign through.
fn decimal(text: &[u8]) -> Option<u64> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}
