//! The answer to a refused request: HTTP status codes and the `google.rpc.Status` body.

use bytes::Bytes;

use crate::error::DecodeError;
use crate::wire::{Reader, Region, Writer};

/// What an HTTP status code means to an exporter (OTLP 1.x, "OTLP/HTTP Response").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete: taken, later, never")]
pub enum Class {
    /// 2xx: taken, wholly or in part.
    Success,
    /// Exactly 429, 502, 503 and 504: the same request may be sent again later.
    Retryable,
    /// Everything else: the request must not be sent again.
    Final,
}

/// What the HTTP status `code` means.
///
/// ```
/// use otlp_core::protocol::status::{Class, classify};
/// assert_eq!(classify(503), Class::Retryable);
/// assert_eq!(classify(500), Class::Final);
/// ```
#[must_use]
pub const fn classify(code: u16) -> Class {
    match code {
        200..=299 => Class::Success,
        429 | 502 | 503 | 504 => Class::Retryable,
        _ => Class::Final,
    }
}

/// A `google.rpc.Status`, without its details: the body of every error answer of OTLP/HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Status {
    /// A gRPC status code, 0 to 16.
    pub code: i32,
    /// For a developer to read.
    pub message: String,
}

const CODE: u32 = 1;
const MESSAGE: u32 = 2;

impl Status {
    /// The status for an HTTP answer of `http`, with the gRPC code that stands closest to it.
    #[must_use]
    pub fn for_http(http: u16, message: impl Into<String>) -> Self {
        let code = match http {
            400 | 404 | 405 | 415 => 3,
            401 => 16,
            403 => 7,
            408 | 504 => 4,
            413 | 429 => 8,
            501 => 12,
            502 | 503 => 14,
            _ => 13,
        };
        Self { code, message: message.into() }
    }

    /// Reads a status; its details and unknown fields are skipped. Copies the message.
    ///
    /// ```
    /// use otlp_core::protocol::status::Status;
    /// let status = Status::for_http(503, "busy");
    /// assert_eq!(Status::decode(&status.encode())?, status);
    /// # Ok::<(), otlp_core::DecodeError>(())
    /// ```
    ///
    /// # Errors
    /// Where the bytes are not such a message.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut status = Self::default();
        let mut reader = Reader::new(Region::new(body));
        while let Some(field) = reader.next_field()? {
            match field.number {
                CODE => status.code = low_half(field.varint()?),
                MESSAGE => field.str()?.clone_into(&mut status.message),
                _ => {}
            }
        }
        Ok(status)
    }

    /// Writes the status.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::with_capacity(self.message.len() + 24);
        if !self.message.is_empty() {
            writer.str(MESSAGE, &self.message);
        }
        if self.code != 0 {
            writer.int(CODE, self.code.into());
        }
        writer.into_bytes()
    }
}

/// An `int32` as protobuf reads it: the low four bytes of the varint.
#[expect(clippy::cast_possible_truncation, reason = "protobuf truncates an int32 to its low half")]
const fn low_half(raw: u64) -> i32 {
    (raw as u32).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_retryable_set_is_exactly_four_codes() {
        let retryable: Vec<u16> = (0..=999).filter(|&code| classify(code) == Class::Retryable).collect();
        assert_eq!(retryable, [429, 502, 503, 504]);
        assert_eq!((0..=999).filter(|&code| classify(code) == Class::Success).count(), 100);
    }

    #[test]
    fn a_negative_code_survives_the_round_trip() {
        let status = Status { code: -7, message: String::new() };
        assert_eq!(Status::decode(&status.encode()), Ok(status));
    }

    #[test]
    fn details_are_skipped_and_a_cut_body_is_refused() {
        let mut writer = Writer::new();
        writer.message(3, |any| any.str(1, "type.example/x"));
        writer.str(2, "busy");
        writer.varint(1, 14);
        let body = writer.into_bytes();
        assert_eq!(Status::decode(&body), Ok(Status { code: 14, message: "busy".into() }));
        assert!(Status::decode(&body[..5]).is_err());
    }
}
