//! What a span says of a gRPC call.

use otlp_core::record::SpanKind;
use otlp_core::semconv;

use super::{EncodedSpan, Ends, attribute, cut, fail, http};
use crate::parse::grpc::{Call, is_server_error, status_name, status_of_http};
use crate::parse::http2::{Request, Response};
use crate::service::Service;

pub(super) fn request(
    span: &mut EncodedSpan,
    (request, call): (&Request<'_>, Call<'_>),
    service: &Service,
    ends: &Ends,
) {
    let limit = service.limits.attribute_bytes();
    attribute(span, semconv::RPC_SYSTEM_NAME, SYSTEM);
    span.name = call.full_method().map_or(SYSTEM, |method| cut(method, limit)).to_owned();
    if let Some(method) = call.full_method() {
        attribute(span, semconv::RPC_METHOD, cut(method, limit));
    }
    http::host(span, request.authority(), limit, ends);
    attribute(span, semconv::NETWORK_PROTOCOL_NAME, "http");
    attribute(span, semconv::NETWORK_PROTOCOL_VERSION, "2");
    if let Some(agent) = request.headers().text("user-agent") {
        attribute(span, semconv::USER_AGENT_ORIGINAL, cut(agent, limit));
    }
    service.redactor.headers(span, request.headers().iter(), limit);
}

/// Tells the status; `is_whole` where nothing of the response was missed, so that one that is not there was not sent.
pub(super) fn response(span: &mut EncodedSpan, response: Response, is_whole: bool) {
    if !span.attributes.contains(semconv::RPC_SYSTEM_NAME) {
        // Its request did not show what it was.
        attribute(span, semconv::RPC_SYSTEM_NAME, SYSTEM);
    }
    let status = response.status().filter(|status| *status != 200);
    if let Some(status) = status {
        attribute(span, semconv::HTTP_RESPONSE_STATUS_CODE, status);
    }
    let code = match response.grpc_status() {
        Some(code) => code,
        None if is_whole => status_of_http(status.unwrap_or(200)),
        None => return,
    };
    match status_name(code) {
        Some(name) => {
            attribute(span, semconv::RPC_RESPONSE_STATUS_CODE, name);
            // A server is not to blame for what a client did wrong; to the client whatever is not OK is a failure.
            if is_server_error(code) || (code != 0 && span.kind == SpanKind::Client) {
                fail(span, name);
            }
        }
        None => {
            attribute(span, semconv::RPC_RESPONSE_STATUS_CODE, code.to_string().as_str());
            fail(span, "_OTHER");
        }
    }
}

const SYSTEM: &str = "grpc";
