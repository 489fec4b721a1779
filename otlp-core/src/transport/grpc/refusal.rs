//! A refusal as trailers: `grpc-status`, `grpc-message`, and `RetryInfo` in `grpc-status-details-bin`.

use std::fmt::Write as _;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use super::{ACCEPT_ENCODING, DETAILS, MESSAGE, STATUS};
use crate::wire::Writer;

/// Bytes of a message; clients hold all headers together to 8 KiB.
const MAX_MESSAGE_BYTES: usize = 1 << 10;

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// `UNIMPLEMENTED`: the client is told what it may ask for.
const UNIMPLEMENTED: i32 = 12;

/// A status other than OK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::transport) struct GrpcRefusal {
    pub(in crate::transport) code: i32,
    pub(in crate::transport) message: String,
    /// Sent as `RetryInfo`.
    pub(in crate::transport) retry_after: Option<Duration>,
}

impl GrpcRefusal {
    /// Adds the status to the headers of an answer without a body; `encodings` are those that the client may use.
    pub(in crate::transport) fn write(&self, headers: &mut HeaderMap, encodings: &'static str) {
        let message = cut(&self.message);
        headers.insert(STATUS, HeaderValue::from(self.code));
        if let Some(value) = value(&encode_message(message)) {
            headers.insert(MESSAGE, value);
        }
        if self.code == UNIMPLEMENTED {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(encodings));
        }
        let Some(wait) = self.retry_after else { return };
        if let Some(value) = value(&encode_bin(&details(self.code, message, wait))) {
            headers.insert(DETAILS, value);
        }
    }
}

fn value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text).ok().filter(|value| !value.is_empty())
}

/// The first bytes of a message, whole characters only.
fn cut(message: &str) -> &str {
    let fits = |&at: &usize| message.is_char_boundary(at);
    let end = (0..=message.len().min(MAX_MESSAGE_BYTES)).rev().find(fits).unwrap_or_default();
    message.get(..end).unwrap_or_default()
}

/// A `google.rpc.Status` with a `RetryInfo`.
fn details(code: i32, message: &str, wait: Duration) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.message(3, |any| {
        any.message(2, |info| {
            info.message(1, |delay| {
                if wait.subsec_nanos() > 0 {
                    delay.varint(2, wait.subsec_nanos().into());
                }
                // The field is signed; a wait beyond it is for ever either way.
                delay.varint(1, wait.as_secs().min(i64::MAX as u64));
            });
        });
        any.str(1, RETRY_INFO);
    });
    writer.str(2, message);
    writer.int(1, code.into());
    writer.as_slice().to_vec()
}

/// Percent-encodes what is not printable ASCII, and the percent itself.
fn encode_message(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            // Writing to a string cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

/// Base64 without padding, as gRPC wants it sent.
fn encode_bin(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, &byte| (bits << 8) | u32::from(byte)) << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            let sextet = (bits >> (18 - 6 * digit)) & 63;
            out.extend(DIGITS.get(sextet as usize).map(|&digit| char::from(digit)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::export::Outcome;
    use crate::protocol::status::{Code, GrpcAnswer, decode_bin_header, decode_grpc_message};

    fn written(refusal: &GrpcRefusal) -> HeaderMap {
        let mut headers = HeaderMap::new();
        refusal.write(&mut headers, "gzip,identity");
        headers
    }

    fn read(headers: &HeaderMap) -> Outcome {
        let text = |name| headers.get(name).map_or("", |value: &HeaderValue| value.to_str().expect("ascii"));
        let details = decode_bin_header(text(DETAILS)).expect("base64");
        let code = text(STATUS).parse().expect("a number");
        GrpcAnswer { code, message: text(MESSAGE), details: &details, body: b"" }.outcome()
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let refusal = GrpcRefusal { code: 3, message: "é".repeat(1000), retry_after: Some(Duration::ZERO) };
        let headers = written(&refusal);
        assert!(headers.values().map(HeaderValue::len).sum::<usize>() < 6 << 10);
        assert_eq!(decode_grpc_message(headers[MESSAGE].to_str().expect("ascii")), "é".repeat(512));
    }

    #[test]
    fn only_what_is_not_implemented_names_the_encodings() {
        for code in 1..=16 {
            let headers = written(&GrpcRefusal { code, message: String::new(), retry_after: None });
            assert_eq!(headers.contains_key(ACCEPT_ENCODING), code == 12);
            assert!(!headers.contains_key(MESSAGE) && !headers.contains_key(DETAILS));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(code in 1_i32..17, message in ".{0,300}", wait in prop::option::of((any::<u64>(), 0_u32..1_000_000_000))) {
            let wait = wait.map(|(seconds, nanos)| Duration::new(seconds >> 20, nanos));
            let refusal = GrpcRefusal { code, message: message.clone(), retry_after: wait };
            let expected = Outcome::Refused { code: Code::Grpc(code), retry_after: wait, message: cut(&message).to_owned() };
            prop_assert_eq!(read(&written(&refusal)), expected);
        }

        #[test]
        fn base64_is_read_as_it_was(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(decode_bin_header(&encode_bin(&bytes)).expect("base64"), bytes);
        }
    }
}
