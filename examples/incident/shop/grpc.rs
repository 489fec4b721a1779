//! gRPC as the shop speaks it: unary calls over HTTP/2, status in the trailers, a deadline with each call.
//!
//! HTTP/2 is the crate `h2`; what gRPC adds to it is here, in [`client`] and in [`server`].

pub(crate) mod client;
pub(crate) mod server;

use std::time::Duration;

use otlp_core::{Error, ErrorKind};

/// Most bytes of a message; more is refused.
const MAX_MESSAGE_BYTES: usize = 64 << 10;
/// Most bytes of the headers of a call or an answer.
const MAX_HEADER_BYTES: u32 = 16 << 10;
/// A byte for the compression, which nobody here uses, and four for the length.
const PREFIX_BYTES: usize = 5;
/// What a call and its answer say they are.
const CONTENT_TYPE: &str = "application/grpc";

/// How a call that was answered can have failed. The numbers are those of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// What was sent makes no sense.
    InvalidArgument = 3,
    /// Too late.
    DeadlineExceeded = 4,
    /// There is no such thing.
    NotFound = 5,
    /// There is such a thing already.
    AlreadyExists = 6,
    /// Not as things are.
    FailedPrecondition = 9,
    /// No such method.
    Unimplemented = 12,
    /// The service is wrong.
    Internal = 13,
    /// The service cannot work now.
    Unavailable = 14,
}

/// Why an answered call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    /// The kind of failure.
    pub(crate) code: Code,
    /// One word or a few, in visible ASCII; no `%`.
    pub(crate) message: String,
}

impl Code {
    const ALL: [Self; 8] = [
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::FailedPrecondition,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
    ];

    /// The code of `grpc-status`; [`Code::Internal`] for one that nobody here gives.
    fn of(number: u32) -> Self {
        Self::ALL.into_iter().find(|code| *code as u32 == number).unwrap_or(Self::Internal)
    }

    /// True where the service is to blame and not the caller.
    pub(crate) const fn is_server_error(self) -> bool {
        matches!(self, Self::DeadlineExceeded | Self::Unimplemented | Self::Internal | Self::Unavailable)
    }
}

impl Status {
    /// A failure and what to say about it.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// A message with its prefix, as it goes over the wire.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + message.len());
    bytes.push(0);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(message);
    bytes
}

/// The one message of a body.
///
/// # Errors
/// The body is not exactly one message, or that one is compressed.
fn unframed(body: &[u8]) -> Result<&[u8], Error> {
    let malformed = |message: &str| Error::new(ErrorKind::Malformed, message);
    let Some(([compressed, length @ ..], message)) = body.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(malformed("message: ends within its prefix"));
    };
    if *compressed != 0 {
        return Err(malformed("message: compressed, which is not served here"));
    }
    if usize::try_from(u32::from_be_bytes(*length)).ok() != Some(message.len()) {
        return Err(malformed("message: longer or shorter than it says"));
    }
    Ok(message)
}

/// The value of `grpc-timeout`: at most eight digits of milliseconds.
fn write_timeout(left: Duration) -> String {
    format!("{}m", left.as_millis().clamp(1, 99_999_999))
}

/// Reads a `grpc-timeout`; none where it is not one.
fn read_timeout(value: &str) -> Option<Duration> {
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Reads a body of one message.
///
/// # Errors
/// The stream broke, or the body is too long.
async fn read_body(body: &mut h2::RecvStream) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(broken)?;
        if bytes.len() + data.len() > MAX_MESSAGE_BYTES + PREFIX_BYTES {
            let message = format!("message: above the limit of {MAX_MESSAGE_BYTES} bytes");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        bytes.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len()).map_err(broken)?;
    }
    Ok(bytes)
}

fn broken(source: h2::Error) -> Error {
    Error::new(ErrorKind::Io, "stream: broken before its end").with_source(source)
}

#[cfg(test)]
mod tests;
