//! What a span says of a gRPC call.

use otlp_core::record::SpanKind;
use otlp_core::semconv;

use super::{EncodedSpan, Ends, attribute, cut, fail, http};
use crate::parse::grpc::{Call, is_server_error, status_name, status_of_http};
use crate::parse::{http1, http2};
use crate::service::Service;

/// What a request says that its span tells, whatever carries it.
struct Asked<'a> {
    call: Call<'a>,
    authority: Option<&'a str>,
    /// Of HTTP.
    version: &'static str,
    agent: Option<&'a str>,
}

/// What is known of the end of a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered {
    /// The status of HTTP, where it was seen.
    pub(super) http: Option<u16>,
    pub(super) code: Option<u32>,
    /// Nothing of the response was missed, so that a code that is not there was not sent.
    pub(super) is_whole: bool,
}

/// Tells a request of gRPC-Web.
pub(super) fn http1(
    span: &mut EncodedSpan,
    (request, call): (&http1::Request<'_>, Call<'_>),
    service: &Service,
    ends: &Ends,
) {
    let headers = request.headers();
    let version = http::version(request);
    let asked = Asked { call, authority: headers.text("host"), version, agent: headers.text("user-agent") };
    tell(span, &asked, service, ends);
    service.redactor.headers(span, headers.iter(), service.limits.attribute_bytes());
}

pub(super) fn http2(
    span: &mut EncodedSpan,
    (request, call): (&http2::Request<'_>, Call<'_>),
    service: &Service,
    ends: &Ends,
) {
    let headers = request.headers();
    let authority = request.authority();
    let asked = Asked { call, authority, version: "2", agent: headers.text("user-agent") };
    tell(span, &asked, service, ends);
    service.redactor.headers(span, headers.iter(), service.limits.attribute_bytes());
}

fn tell(span: &mut EncodedSpan, asked: &Asked<'_>, service: &Service, ends: &Ends) {
    let (limit, call) = (service.limits.attribute_bytes(), asked.call);
    attribute(span, semconv::RPC_SYSTEM_NAME, SYSTEM);
    span.name = call.full_method().map_or(SYSTEM, |method| cut(method, limit)).to_owned();
    if let Some(method) = call.full_method() {
        attribute(span, semconv::RPC_METHOD, cut(method, limit));
    }
    http::host(span, asked.authority, limit, ends);
    attribute(span, semconv::NETWORK_PROTOCOL_NAME, "http");
    attribute(span, semconv::NETWORK_PROTOCOL_VERSION, asked.version);
    if let Some(agent) = asked.agent {
        attribute(span, semconv::USER_AGENT_ORIGINAL, cut(agent, limit));
    }
}

/// Tells the status.
pub(super) fn response(span: &mut EncodedSpan, answered: Answered) {
    if !span.attributes.contains(semconv::RPC_SYSTEM_NAME) {
        // Its request did not show what it was.
        attribute(span, semconv::RPC_SYSTEM_NAME, SYSTEM);
    }
    let status = answered.http.filter(|status| *status != 200);
    if let Some(status) = status {
        attribute(span, semconv::HTTP_RESPONSE_STATUS_CODE, status);
    }
    let code = match answered.code {
        Some(code) => code,
        None if answered.is_whole => status_of_http(status.unwrap_or(200)),
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
