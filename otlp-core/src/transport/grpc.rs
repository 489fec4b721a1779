//! OTLP/gRPC: unary calls over HTTP/2 (gRPC over HTTP/2, "Requests" and "Responses").
//!
//! A call is a prefix of five bytes and the encoded request, headers before and trailers after: no more is needed
//! here, so there is no gRPC library below.

mod channel;
mod frame;
mod gather;
mod refusal;

use http::HeaderName;

pub(super) use channel::{Call, Channel};
pub(super) use frame::{Frame, PREFIX_BYTES, prefix, read_timeout};
pub(super) use refusal::GrpcRefusal;

pub(super) const CONTENT_TYPE: &str = "application/grpc";
pub(super) const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
pub(super) const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
pub(super) const STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(super) const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
pub(super) const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
pub(super) const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The value of [`ACCEPT_ENCODING`], both ways; what OTLP knows unless zstd was asked for.
pub(super) const fn encodings(takes_zstd: bool) -> &'static str {
    match (cfg!(feature = "gzip"), takes_zstd) {
        (true, true) => "zstd,gzip,identity",
        (false, true) => "zstd,identity",
        (true, false) => "gzip,identity",
        (false, false) => "identity",
    }
}
