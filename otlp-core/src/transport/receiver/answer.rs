//! What is answered, and how it looks on the wire.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;

use crate::Limits;
use crate::encode::Encode;
use crate::error::DecodeError;
use crate::json::{self, Body};
use crate::protocol::Signal;
use crate::protocol::status::rpc_code;
use crate::record::{ExportResponse, RpcStatus};
use crate::transport::form::Form;

/// What a handler decides about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// Everything is taken.
    Accepted {
        /// How many records.
        records: u64,
    },
    /// Some records are refused for good, or (`rejected` zero) all are taken with a warning.
    Partial {
        /// How many records are taken.
        records: u64,
        /// How many are refused.
        rejected: u64,
        /// Why.
        message: String,
    },
    /// The whole request is refused.
    Refuse {
        /// An HTTP status of 400 to 599; any other is sent as 500. Over gRPC it is the code that means the
        /// same: 400 `INVALID_ARGUMENT`, 429 with a wait `RESOURCE_EXHAUSTED`, 503 `UNAVAILABLE`.
        status: u16,
        /// When the client may come back, with a status that asks it to (429, 502, 503, 504); sent in
        /// whole seconds, rounded up, and over gRPC as `RetryInfo`.
        retry_after: Option<Duration>,
        /// Why, for the client's developer.
        message: String,
    },
}

impl Answer {
    /// All `records` are taken.
    #[must_use]
    pub const fn accepted(records: u64) -> Self {
        Self::Accepted { records }
    }

    /// `records` are taken and `rejected` refused.
    pub fn partial(records: u64, rejected: u64, message: impl Into<String>) -> Self {
        Self::Partial { records, rejected, message: message.into() }
    }

    /// The client is to come back after `wait`: status 503.
    #[must_use]
    pub fn busy(wait: Duration) -> Self {
        Self::Refuse { status: 503, retry_after: Some(wait), message: "busy".into() }
    }
}

impl From<DecodeError> for Answer {
    /// Status 400: a body that cannot be decoded is not to be sent again.
    fn from(error: DecodeError) -> Self {
        Self::Refuse { status: 400, retry_after: None, message: error.to_string() }
    }
}

/// A refusal by the receiver itself.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: String,
    pub(super) retry_after: Option<Duration>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after: None }
    }

    /// As an HTTP answer, its body a `google.rpc.Status`.
    pub(super) fn to_response(&self, form: Form) -> Response<Full<Bytes>> {
        let status = RpcStatus { code: rpc_code(self.status.as_u16()), message: self.message.clone() };
        let mut response = respond(self.status, form, Body::Status, &status);
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        if matches!(self.status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) {
            // The rest of the body is not read, so nothing after it can be.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// A handler's decision about a request of `signal` as an HTTP answer.
pub(super) fn response_to(answer: Answer, form: Form, signal: Signal) -> Response<Full<Bytes>> {
    let respond = |response: &ExportResponse| respond(StatusCode::OK, form, Body::Response(signal), response);
    match answer {
        Answer::Accepted { .. } => respond(&ExportResponse::default()),
        Answer::Partial { rejected, message, .. } => respond(&ExportResponse { rejected, message }),
        Answer::Refuse { status, retry_after, message } => {
            Refusal { status: error_status(status), message, retry_after }.to_response(form)
        }
    }
}

/// A handler's status, where it is one of an error.
pub(super) fn error_status(status: u16) -> StatusCode {
    let status = StatusCode::from_u16(status).ok();
    let status = status.filter(|status| status.is_client_error() || status.is_server_error());
    status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// `message`, which is a `body`, in the encoding of the request.
fn respond(status: StatusCode, form: Form, body: Body, message: &impl Encode) -> Response<Full<Bytes>> {
    let wire = message.encode_to_bytes();
    let encoded = match form {
        Form::Protobuf => wire,
        Form::Json => to_json(body, &wire),
    };
    let mut response = Response::new(Full::new(encoded));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, form.content_type());
    response
}

fn to_json(body: Body, wire: &[u8]) -> Bytes {
    /// A handler may say as much as it likes.
    const LIMITS: Limits = Limits::DEFAULT.max_message_bytes(usize::MAX).max_string_bytes(usize::MAX);
    let mut text = Vec::new();
    match json::write(body, wire, &LIMITS, &mut text) {
        Ok(()) => text.into(),
        // What was just encoded can be read; only an answer of 2 GiB and more would come here.
        Err(_) => Bytes::from_static(b"{}"),
    }
}

/// Never less than asked for.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        for (millis, seconds) in [(0, 0), (1, 1), (1000, 1), (1001, 2)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
        }
        assert_eq!(whole_seconds(Duration::MAX), u64::MAX);
    }

    #[test]
    fn a_refusal_with_a_status_that_is_none_becomes_500() {
        for (status, sent) in [(0, 500), (200, 500), (302, 500), (1000, 500), (429, 429), (599, 599)] {
            let answer = Answer::Refuse { status, retry_after: None, message: String::new() };
            let response = response_to(answer, Form::Protobuf, Signal::Logs);
            assert_eq!(response.status(), sent, "{status}");
        }
    }

    fn body(answer: Answer, form: Form, signal: Signal) -> String {
        use http_body_util::BodyExt;
        let collect = response_to(answer, form, signal).into_body().collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let bytes = runtime.block_on(collect).expect("never fails").to_bytes();
        String::from_utf8(bytes.to_vec()).expect("text")
    }

    #[test]
    fn each_signal_is_answered_by_its_own_names_in_json() {
        for (signal, name) in [
            (Signal::Traces, "rejectedSpans"),
            (Signal::Metrics, "rejectedDataPoints"),
            (Signal::Logs, "rejectedLogRecords"),
            (Signal::Profiles, "rejectedProfiles"),
        ] {
            assert_eq!(body(Answer::accepted(1), Form::Json, signal), "{}");
            assert_eq!(body(Answer::accepted(1), Form::Protobuf, signal), "");
            let expected = format!(r#"{{"partialSuccess":{{"{name}":"3","errorMessage":"\"old\""}}}}"#);
            assert_eq!(body(Answer::partial(1, 3, "\"old\""), Form::Json, signal), expected);
            let warning = r#"{"partialSuccess":{"errorMessage":"slow down"}}"#;
            assert_eq!(body(Answer::partial(1, 0, "slow down"), Form::Json, signal), warning);
            assert_eq!(
                body(Answer::busy(Duration::ZERO), Form::Json, signal),
                r#"{"code":14,"message":"busy"}"#
            );
        }
    }
}
