//! What an answer means: status codes of HTTP and gRPC, the waits they ask for, and the protobuf body.

mod grpc;

use std::fmt;
use std::time::Duration;

pub use self::grpc::{
    GrpcAnswer, classify_grpc, decode_bin_header, decode_grpc_message, grpc_code, grpc_name,
};
use crate::json::{self, Body, Reading};
use crate::protocol::Signal;
use crate::protocol::export::Outcome;
use crate::protocol::retry::parse_retry_after;
use crate::view::{ExportResponseView, RpcStatusView};
use crate::{Limits, UnixNanos};

/// What a status means to an exporter (OTLP 1.x, "Failures" and "OTLP/HTTP Response").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete: taken, later, never")]
pub enum Class {
    /// Taken, wholly or in part.
    Success,
    /// The same request may be sent again later.
    Retryable,
    /// Everything else: the request must not be sent again.
    Final,
}

/// A receiver's status, in the numbers of its protocol.
///
/// ```
/// use std::time::Duration;
/// use otlp_core::protocol::status::{Class, Code};
/// let exhausted = Code::Grpc(8);
/// assert_eq!(exhausted.class(None), Class::Final);
/// assert_eq!(exhausted.class(Some(Duration::ZERO)), Class::Retryable);
/// assert_eq!((exhausted.to_string(), Code::Http(503).to_string()), ("RESOURCE_EXHAUSTED".into(), "503".into()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete: the protocols of OTLP")]
pub enum Code {
    /// An HTTP status.
    Http(u16),
    /// A code of `google.rpc.Code`.
    Grpc(i32),
}

impl Code {
    /// What it means. `retry_after` is the wait that came with it: without one, `RESOURCE_EXHAUSTED` is final.
    #[must_use]
    pub const fn class(self, retry_after: Option<Duration>) -> Class {
        match self {
            Self::Http(code) => classify(code),
            Self::Grpc(code) => classify_grpc(code, retry_after),
        }
    }

    /// True where by its own word the receiver is at fault and not the request: HTTP 5xx; gRPC `UNKNOWN`,
    /// `DEADLINE_EXCEEDED`, `UNIMPLEMENTED`, `INTERNAL`, `UNAVAILABLE`, `DATA_LOSS`.
    #[must_use]
    pub const fn is_receivers_fault(self) -> bool {
        match self {
            Self::Http(code) => matches!(code, 500..=599),
            Self::Grpc(code) => matches!(code, 2 | 4 | 12 | 13 | 14 | 15),
        }
    }
}

impl fmt::Display for Code {
    /// The number of HTTP, the name of gRPC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Http(code) => code.fmt(f),
            Self::Grpc(code) => match grpc_name(code) {
                Some(name) => f.write_str(name),
                None => write!(f, "gRPC {code}"),
            },
        }
    }
}

/// What the HTTP status `code` means: 2xx is success; exactly 429, 502, 503 and 504 may be tried again.
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

/// The code of `google.rpc.Code` that stands closest to an HTTP status, for the body of an error answer.
///
/// ```
/// use otlp_core::protocol::status::rpc_code;
/// // OK, UNAUTHENTICATED.
/// assert_eq!((rpc_code(200), rpc_code(401)), (0, 16));
/// ```
#[must_use]
pub const fn rpc_code(http: u16) -> i32 {
    match http {
        200..=299 => 0,
        401 => 16,
        403 => 7,
        408 | 504 => 4,
        413 | 429 => 8,
        400..=499 => 3,
        501 => 12,
        502 | 503 => 14,
        _ => 13,
    }
}

/// A complete HTTP answer, as the driver received it.
///
/// ```
/// use std::time::Duration;
/// use otlp_core::UnixNanos;
/// use otlp_core::protocol::export::Outcome;
/// use otlp_core::protocol::status::{Code, HttpAnswer};
/// let answer = HttpAnswer { code: 503, retry_after: Some("2"), body: b"\x08\x0e\x12\x04busy" };
/// let outcome = answer.outcome(UnixNanos::from_secs(1_700_000_000));
/// let retry_after = Some(Duration::from_secs(2));
/// assert_eq!(outcome, Outcome::Refused { code: Code::Http(503), retry_after, message: "busy".into() });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "complete: what OTLP/HTTP reads of an answer")]
pub struct HttpAnswer<'a> {
    /// The status code.
    pub code: u16,
    /// The value of the header `Retry-After`, where it came.
    pub retry_after: Option<&'a str>,
    /// The whole body.
    pub body: &'a [u8],
}

/// Answers are small; what passes these is no message of a receiver.
const LIMITS: Limits = Limits::DEFAULT.max_message_bytes(4 << 20).max_string_bytes(64 << 10);

impl HttpAnswer<'_> {
    /// Reads the answer. `now` is wall-clock time, against which a date in `Retry-After` is held.
    ///
    /// The status code alone decides whether the request was taken. A body that cannot be read leaves a
    /// 2xx a success ([`Outcome::Unread`]) and an error answer without words; a `Retry-After` that cannot
    /// be read is as none.
    #[must_use]
    pub fn outcome(&self, now: UnixNanos) -> Outcome {
        if classify(self.code) == Class::Success {
            return success(self.body);
        }
        let message = RpcStatusView::parse(self.body, &LIMITS).map(|status| status.message().to_owned());
        Outcome::Refused {
            code: Code::Http(self.code),
            retry_after: self.retry_after.and_then(|value| parse_retry_after(value, now).ok()),
            message: message.unwrap_or_default(),
        }
    }

    /// As [`outcome`](Self::outcome), of an answer in JSON to a request of `signal`. A 2xx without a body is full
    /// success.
    ///
    /// ```
    /// use otlp_core::UnixNanos;
    /// use otlp_core::protocol::Signal;
    /// use otlp_core::protocol::export::Outcome;
    /// use otlp_core::protocol::status::HttpAnswer;
    /// use otlp_core::record::ExportResponse;
    /// let body = br#"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}}"#;
    /// let answer = HttpAnswer { code: 200, retry_after: None, body };
    /// let outcome = answer.json_outcome(Signal::Traces, UnixNanos::from_secs(1_700_000_000));
    /// assert_eq!(outcome, Outcome::Partial(ExportResponse::partial(2, "too old")));
    /// ```
    #[must_use]
    pub fn json_outcome(&self, signal: Signal, now: UnixNanos) -> Outcome {
        let is_success = classify(self.code) == Class::Success;
        let body = if is_success { Body::Response(signal) } else { Body::Status };
        let mut wire = Vec::new();
        let read = json::read(body, self.body, Reading::Lenient, &LIMITS, &mut wire);
        if is_success && read.is_err() && !self.body.trim_ascii().is_empty() {
            return Outcome::Unread;
        }
        HttpAnswer { body: &wire, ..*self }.outcome(now)
    }
}

/// What the body of an answer adds to its success.
fn success(body: &[u8]) -> Outcome {
    match ExportResponseView::parse(body, &LIMITS).map(|view| view.to_record()) {
        Ok(response) if response.is_full_success() => Outcome::Accepted,
        Ok(response) => Outcome::Partial(response),
        Err(_) => Outcome::Unread,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::Encode;
    use crate::record::{ExportResponse, RpcStatus};

    const NOW: UnixNanos = UnixNanos::from_secs(784_111_770);

    fn outcome(code: u16, retry_after: Option<&str>, body: &[u8]) -> Outcome {
        HttpAnswer { code, retry_after, body }.outcome(NOW)
    }

    #[test]
    fn the_retryable_set_is_exactly_four_codes() {
        let retryable: Vec<u16> = (0..=999).filter(|&code| classify(code) == Class::Retryable).collect();
        assert_eq!(retryable, [429, 502, 503, 504]);
        assert_eq!((0..=999).filter(|&code| classify(code) == Class::Success).count(), 100);
    }

    #[test]
    fn every_error_status_has_an_rpc_code_that_is_an_error() {
        assert!((300..=999).all(|http| (1..=16).contains(&rpc_code(http))));
        assert_eq!([400, 413, 429, 503].map(rpc_code), [3, 8, 8, 14]);
    }

    #[test]
    fn a_success_is_full_partial_or_unread() {
        assert_eq!(outcome(200, None, b""), Outcome::Accepted);
        let partial = ExportResponse::partial(3, "too old");
        assert_eq!(outcome(200, None, &partial.encode_to_bytes()), Outcome::Partial(partial));
        assert_eq!(outcome(202, None, b"{\"partialSuccess\":{}}"), Outcome::Unread);
    }

    #[test]
    fn a_refusal_carries_the_wait_in_both_forms_and_the_receivers_words() {
        let body = RpcStatus { code: 8, message: "quota".into() }.encode_to_bytes();
        for (value, wait) in [("7", Some(7)), ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)), ("soon", None)] {
            let retry_after = wait.map(Duration::from_secs);
            let expected = Outcome::Refused { code: Code::Http(429), retry_after, message: "quota".into() };
            assert_eq!(outcome(429, Some(value), &body), expected, "{value}");
        }
    }

    #[test]
    fn an_answer_in_json_is_read_as_the_same_in_protobuf() {
        let json = |code, body: &[u8], signal| {
            HttpAnswer { code, retry_after: Some("3"), body }.json_outcome(signal, NOW)
        };
        for (signal, name) in [
            (Signal::Traces, "rejectedSpans"),
            (Signal::Metrics, "rejectedDataPoints"),
            (Signal::Logs, "rejectedLogRecords"),
            (Signal::Profiles, "rejectedProfiles"),
        ] {
            let expected = Outcome::Partial(ExportResponse::partial(7, "why"));
            for count in ["7", "\"7\""] {
                let body = format!(r#"{{"partialSuccess":{{"{name}":{count},"errorMessage":"why"}}}}"#);
                assert_eq!(json(200, body.as_bytes(), signal), expected);
            }
            for body in ["", " ", "{}", r#"{"partialSuccess":{}}"#, r#"{"partialSuccess":null,"new":[{}]}"#] {
                assert_eq!(json(200, body.as_bytes(), signal), Outcome::Accepted, "{body:?}");
            }
            for body in ["x", "[]", r#"{"partialSuccess":1}"#, "{} {}", "\x08\x01", "{\"a\":"] {
                assert_eq!(json(200, body.as_bytes(), signal), Outcome::Unread, "{body:?}");
            }
            let below_zero = format!(r#"{{"partialSuccess":{{"{name}":"-1"}}}}"#);
            assert_eq!(json(200, below_zero.as_bytes(), signal), Outcome::Unread);
        }
        let refused = |message: &str| {
            let (code, retry_after) = (Code::Http(429), Some(Duration::from_secs(3)));
            Outcome::Refused { code, retry_after, message: message.to_owned() }
        };
        let status = br#"{"code":8,"message":"quota","details":[{"@type":"x","y":[1]}]}"#;
        assert_eq!(json(429, status, Signal::Logs), refused("quota"));
        assert_eq!(json(429, b"<html>", Signal::Logs), refused(""));
    }

    #[test]
    fn an_answer_in_json_may_nest_or_grow_without_harm() {
        let deep = [b"{\"partialSuccess\":".repeat(1 << 16), b"[".repeat(1 << 20)];
        for body in &deep {
            let answer = HttpAnswer { code: 200, retry_after: None, body };
            assert_eq!(answer.json_outcome(Signal::Traces, NOW), Outcome::Unread);
        }
        let long = format!(r#"{{"partialSuccess":{{"errorMessage":"{}"}}}}"#, "a".repeat(64 << 10));
        let outcome = |body: &str| {
            HttpAnswer { code: 200, retry_after: None, body: body.as_bytes() }.json_outcome(Signal::Logs, NOW)
        };
        assert!(matches!(outcome(&long), Outcome::Partial(_)));
        assert_eq!(outcome(&long.replacen("aa", "aaa", 1)), Outcome::Unread);
    }

    #[test]
    fn an_error_page_in_html_is_a_refusal_without_words() {
        let expected = Outcome::Refused { code: Code::Http(502), retry_after: None, message: String::new() };
        assert_eq!(outcome(502, None, b"<html>Bad Gateway</html>"), expected);
    }

    #[test]
    fn the_receiver_is_at_fault_by_its_own_word_alone() {
        let http: Vec<u16> = (0..=999).filter(|&code| Code::Http(code).is_receivers_fault()).collect();
        assert_eq!((http.first(), http.last(), http.len()), (Some(&500), Some(&599), 100));
        let grpc: Vec<i32> = (-2..=20).filter(|&code| Code::Grpc(code).is_receivers_fault()).collect();
        assert_eq!(grpc, [2, 4, 12, 13, 14, 15]);
    }

    #[test]
    fn codes_are_shown_as_people_know_them() {
        let shown =
            [Code::Http(429), Code::Grpc(14), Code::Grpc(99), Code::Grpc(-1)].map(|code| code.to_string());
        assert_eq!(shown, ["429", "UNAVAILABLE", "gRPC 99", "gRPC -1"]);
    }
}
