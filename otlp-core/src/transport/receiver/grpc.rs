//! One gRPC call, from its headers to its trailers.

use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use tokio::time::Instant;

use super::ReceiverLimits;
use super::account::Begun;
use super::answer::{Answer, Refusal, error_status};
use super::body::{Coding, Failure};
use super::conn::Stage;
use super::handle::Whole;
use super::hold::{Pass, Share};
use super::http2::StreamBody;
use super::read::{Bounds, claim, collect};
use super::serve::Core;
use crate::encode::Encode;
use crate::error::DecodeError;
use crate::protocol::Signal;
use crate::protocol::status::{Class, classify, classify_grpc, rpc_code};
use crate::record::ExportResponse;
use crate::transport::form::Form;
use crate::transport::grpc::{
    self, ENCODING, Frame, GrpcRefusal, PREFIX_BYTES, STATUS, prefix, read_timeout,
};
use crate::wire::{Reader, Region};

const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";
/// A `HealthCheckResponse` that says SERVING.
const SERVING: &[u8] = b"\x08\x01";
/// Bytes of a `HealthCheckRequest`, which holds one name.
const MAX_HEALTH_BYTES: usize = 1 << 10;

const UNAVAILABLE: i32 = 14;

/// True for a call with protobuf messages; all else is plain HTTP.
pub(super) fn is_call<B>(request: &Request<B>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let media_type = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let is_grpc = [grpc::CONTENT_TYPE, "application/grpc+proto"]
        .iter()
        .any(|expected| media_type.eq_ignore_ascii_case(expected.as_bytes()));
    is_grpc && request.method() == Method::POST
}

/// Answers one call. Fails only where the client is gone.
pub(super) async fn answer(
    core: &Arc<Core>,
    request: Request<StreamBody>,
    respond: &mut SendResponse<Bytes>,
    stage: &mut Stage,
) -> Result<(), h2::Error> {
    if request.uri().path() == HEALTH_CHECK {
        return match check_health(core, request, stage).await {
            Ok(()) => {
                stage.answered(Class::Success);
                send_message(respond, SERVING)
            }
            Err(Failure::Refused(refusal)) => {
                stage.answered(Class::Final);
                send_refusal(respond, &to_grpc(refusal), &core.limits)
            }
            Err(Failure::Gone(_)) => Ok(()),
        };
    }
    let begun = Begun::new(&core.account);
    let answered = match process(core, request, stage).await {
        Ok(answer) => reply(answer),
        Err(Failure::Refused(refusal)) => {
            core.count(&refusal);
            Err(to_grpc(refusal))
        }
        Err(Failure::Gone(_)) => return Ok(()),
    };
    match answered {
        Ok(response) => {
            begun.answered(Class::Success);
            stage.answered(Class::Success);
            send_message(respond, &response.encode_to_bytes())
        }
        Err(refusal) => {
            let class = classify_grpc(refusal.code, refusal.retry_after);
            begun.answered(class);
            stage.answered(class);
            send_refusal(respond, &refusal, &core.limits)
        }
    }
}

async fn process(
    core: &Arc<Core>,
    request: Request<StreamBody>,
    stage: &mut Stage,
) -> Result<Answer, Failure> {
    let (head, body) = request.into_parts();
    let Some(signal) = Signal::from_grpc_path(head.uri.path()) else {
        return Err(
            Refusal::new(StatusCode::NOT_IMPLEMENTED, "method: expected Export of an OTLP service").into()
        );
    };
    let limits = &core.limits;
    let begun = Instant::now();
    let asked = head.headers.get(grpc::TIMEOUT).and_then(|value| read_timeout(value.to_str().ok()?));
    let packed = coding(&head.headers, limits);
    let claimed = claim(&head.headers).unwrap_or(0);
    // While the body comes only what is needed of the headers is kept.
    drop(head);
    let bounds = Bounds::of(limits);
    let bounds = Bounds {
        bytes: limits.body_bytes.saturating_add(PREFIX_BYTES),
        within: asked.map_or(bounds.within, |asked| asked.min(bounds.within)),
        ..bounds
    };
    bounds.check_claim(claimed)?;
    let pass = Pass::take(&core.account, claimed)?;
    let mut share = Share::new(&core.account);
    let wire = collect(body, bounds, &mut share, stage).await?;
    let frame = Frame::read(&wire).map_err(bad_request)?;
    let coding = if frame.is_compressed { packed? } else { Coding::Identity };
    let left = asked.map(|asked| asked.saturating_sub(begun.elapsed()));
    core.handle(Whole { signal, wire, at: PREFIX_BYTES, coding, form: Form::Protobuf, share, pass }, left)
        .await
}

fn bad_request(error: impl std::fmt::Display) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, error.to_string())
}

/// How a message that says it is compressed is compressed.
fn coding(headers: &HeaderMap, limits: &ReceiverLimits) -> Result<Coding, Refusal> {
    match Coding::named(headers.get(ENCODING).map_or(&b""[..], |value| value.as_bytes()), limits) {
        Some(coding) if coding == Coding::Identity => {
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "message: compressed without an encoding"))
        }
        Some(coding) => Ok(coding),
        None => Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, "grpc-encoding: not known")),
    }
}

/// Takes the names of the services here, and the empty one for all.
async fn check_health(core: &Core, request: Request<StreamBody>, stage: &mut Stage) -> Result<(), Failure> {
    let mut share = Share::new(&core.account);
    let bounds = Bounds { bytes: MAX_HEALTH_BYTES, ..Bounds::of(&core.limits) };
    let wire = collect(request.into_body(), bounds, &mut share, stage).await?;
    let frame = Frame::read(&wire).map_err(bad_request)?;
    if frame.is_compressed {
        return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, "message: expected none compressed").into());
    }
    let name = service_name(frame.message).map_err(bad_request)?;
    let is_here = |signal: Signal| signal.grpc_path().split('/').nth(1) == Some(name);
    if name.is_empty() || Signal::ALL.into_iter().any(is_here) {
        return Ok(());
    }
    Err(Refusal::new(StatusCode::NOT_FOUND, "service: not known").into())
}

/// The one field of a `HealthCheckRequest`; the last of several holds.
fn service_name(message: &[u8]) -> Result<&str, DecodeError> {
    let mut reader = Reader::new(Region::new(message));
    let mut name = "";
    while let Some(field) = reader.next_field()? {
        if field.number == 1 {
            name = field.str()?;
        }
    }
    Ok(name)
}

/// A handler's decision; an answer or a refusal.
fn reply(answer: Answer) -> Result<ExportResponse, GrpcRefusal> {
    match answer {
        Answer::Accepted { .. } => Ok(ExportResponse::default()),
        Answer::Partial { rejected, message, .. } => Ok(ExportResponse { rejected, message }),
        Answer::Refuse { status, retry_after, message } => {
            Err(to_grpc(Refusal { status: error_status(status), retry_after, message }))
        }
    }
}

/// The code that means to a gRPC client what the HTTP status means to an HTTP client.
fn to_grpc(refusal: Refusal) -> GrpcRefusal {
    let Refusal { status, message, retry_after } = refusal;
    let may_return = classify(status.as_u16()) == Class::Retryable;
    let code = match status {
        // Without a wait RESOURCE_EXHAUSTED is final, and 429 is not.
        StatusCode::TOO_MANY_REQUESTS if retry_after.is_none() => UNAVAILABLE,
        StatusCode::NOT_FOUND => 5,
        status => rpc_code(status.as_u16()),
    };
    GrpcRefusal { code, message, retry_after: retry_after.filter(|_| may_return) }
}

fn send_message(respond: &mut SendResponse<Bytes>, message: &[u8]) -> Result<(), h2::Error> {
    // Answers are far below 4 GiB; one that were not would be cut off by the client.
    let mut framed = prefix(false, message.len()).unwrap_or_default().to_vec();
    framed.extend_from_slice(message);
    let mut stream = respond.send_response(head(), false)?;
    stream.send_data(framed.into(), false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert(STATUS, HeaderValue::from_static("0"));
    stream.send_trailers(trailers)
}

fn send_refusal(
    respond: &mut SendResponse<Bytes>,
    refusal: &GrpcRefusal,
    limits: &ReceiverLimits,
) -> Result<(), h2::Error> {
    let mut response = head();
    refusal.write(response.headers_mut(), grpc::encodings(limits.takes_zstd()));
    respond.send_response(response, true).map(drop)
}

fn head() -> Response<()> {
    let mut response = Response::new(());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(grpc::CONTENT_TYPE));
    response
}
