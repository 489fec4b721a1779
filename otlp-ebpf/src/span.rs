//! Spans from requests and responses, as the semantic conventions (1.37) have them.
//!
//! One exchange is one span: of kind SERVER as the service sees it that answers, of kind CLIENT as the service
//! does that asks ([`Role`]). The span's identifiers are fixed when the request's head is read, so that what the
//! service calls meanwhile can refer to it.

mod attribute;
mod context;
mod encoded;
mod grpc;
mod http;
mod kafka;
mod other;
mod place;
mod redis;
mod sql;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use otlp_core::record::SpanKind;
use otlp_core::{UnixNanos, semconv};

use self::attribute::Attributes;
pub use self::encoded::EncodedSpan;
use self::encoded::attribute;
use self::grpc::Answered;
pub(crate) use self::place::{Parents, Placing};
use crate::database::Selects;
use crate::parse::grpc::web::Told;
use crate::parse::http1;
use crate::parse::http2::Request;
use crate::parse::sql::Operation;
use crate::parse::{End, RequestHead, ResponseHead, ResponseHeaders};
use crate::service::Service;

/// The two ends of a connection, as far as they are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ends {
    /// Address of the client.
    pub client: Option<SocketAddr>,
    /// Address of the server.
    pub server: Option<SocketAddr>,
    /// Service that the client is, where it is known.
    pub caller: Option<Arc<str>>,
    /// Which of the two the spans are of.
    pub role: Role,
    /// What is seen travels within TLS.
    pub tls: bool,
}

/// Which end of a connection its spans are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(clippy::exhaustive_enums, reason = "a connection has two ends")]
pub enum Role {
    /// The one that answers: spans of kind SERVER.
    #[default]
    Server,
    /// The one that asks: spans of kind CLIENT.
    Client,
}

impl Ends {
    /// The ends of a connection whose caller is not known.
    #[must_use]
    pub const fn new(client: SocketAddr, server: SocketAddr) -> Self {
        Self { client: Some(client), server: Some(server), caller: None, role: Role::Server, tls: false }
    }

    /// The same ends, with the service that the client is.
    #[must_use]
    pub fn with_caller(mut self, caller: Option<Arc<str>>) -> Self {
        self.caller = caller;
        self
    }

    /// The same ends, between which what is seen travels within TLS: the scheme of their URLs is `https`.
    #[must_use]
    pub const fn over_tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// The same ends, the spans of which are of this one.
    #[must_use]
    pub const fn seen_by(mut self, role: Role) -> Self {
        self.role = role;
        self
    }
}

/// A span whose request is still in progress.
#[derive(Debug)]
pub(crate) struct Draft {
    span: EncodedSpan,
    /// Bytes of the request's body, once it has ended.
    request_body: Option<u64>,
    request_ended: bool,
    /// Whether it is in the join table.
    entered: bool,
    /// The database of Redis that it selects.
    selects: Option<Selects>,
}

/// Attribute of a span some of whose bytes were not seen: what it says is right, but may not be all.
const CAPTURE_GAP: &str = "otlp.capture.gap";
/// Attribute of a span whose request had more headers than the limits allow.
const CAPTURE_TRUNCATED: &str = "otlp.capture.truncated";
/// Bytes of attributes that fit without a second allocation: those of most exchanges.
const USUAL_BYTES: usize = 512;

impl Draft {
    /// Begins the span of a request.
    pub(crate) fn begin(mut placing: Placing<'_>, (time, head): (UnixNanos, &RequestHead<'_>)) -> Self {
        let (service, ends) = (placing.service, placing.ends);
        let attributes = Attributes::with_capacity(USUAL_BYTES);
        let kind = match ends.role {
            Role::Server => SpanKind::Server,
            Role::Client => SpanKind::Client,
        };
        let mut span = EncodedSpan { kind, start: time, attributes, ..EncodedSpan::default() };
        span.span_id = placing.ids.span_id();
        let context = match head {
            RequestHead::Http1(request) => context::read(request.headers().iter()),
            RequestHead::Http2(request) => context::read(request.headers().iter()),
            RequestHead::Other(request) => context::read(request.context()),
            RequestHead::Sql(command) => command.statement.and_then(context::of_statement),
            RequestHead::Kafka(_) | RequestHead::Redis(_) => None,
        };
        placing.place(&mut span, context, prepares(head));
        match head {
            RequestHead::Http1(request) => http1(&mut span, request, service, ends),
            RequestHead::Http2(request) => http2(&mut span, request, service, ends),
            RequestHead::Kafka(request) => kafka::request(&mut span, request, ends),
            RequestHead::Redis(command) => redis::request(&mut span, command, service, ends),
            RequestHead::Sql(command) => sql::request(&mut span, command, service, ends),
            RequestHead::Other(request) => other::request(&mut span, request, service, ends),
        }
        peers(&mut span, ends);
        if let (Some(findings), RequestHead::Redis(command)) = (&service.findings, head) {
            findings.command(service.name(), command, &span);
        }
        Self { span, request_body: None, request_ended: false, entered: false, selects: None }
    }

    /// Tells the database of Redis that the command is for, and notes what it selects.
    pub(crate) fn in_database(&mut self, index: Option<u32>, selects: Option<Selects>) {
        self.selects = selects;
        if let Some(index) = index {
            attribute(&mut self.span, semconv::DB_NAMESPACE, index.to_string().as_str());
        }
    }

    /// The database of Redis that it selects.
    pub(crate) const fn selects(&self) -> Option<Selects> {
        self.selects
    }

    /// Puts the headers of its response that may leave on the span.
    pub(crate) fn response_headers(&mut self, headers: ResponseHeaders<'_>, service: &Service) {
        let limit = service.limits.attribute_bytes();
        match headers {
            ResponseHeaders::Http1(headers) => {
                service.redactor.response_headers(&mut self.span, headers.iter(), limit);
            }
            ResponseHeaders::Http2(headers) => {
                service.redactor.response_headers(&mut self.span, headers.iter(), limit);
            }
        }
    }

    /// Enters the request in the join table: from here on it can be found as a parent. What the service asks of
    /// others is no request to it.
    pub(crate) fn enter(&mut self, service: &Service) {
        if let Some(table) = service.join.as_ref().filter(|_| self.span.kind == SpanKind::Server) {
            self.entered = table.enter(service.name(), self.span.trace_id, self.span.span_id);
        }
    }

    /// Takes it out again.
    pub(crate) fn leave(&mut self, service: &Service) {
        if let Some(table) = service.join.as_ref().filter(|_| self.entered) {
            table.leave(service.name(), self.span.trace_id, self.span.span_id);
            self.entered = false;
        }
    }

    /// Notes the end of the request's body, the first time.
    pub(crate) fn request_ended(&mut self, body_bytes: u64, end: End) {
        if !self.request_ended {
            self.request_ended = true;
            self.request_body = (end == End::Complete).then_some(body_bytes);
        }
    }

    /// Ends the span with its response.
    pub(crate) fn answered(
        mut self,
        time: UnixNanos,
        head: &ResponseHead<'_>,
        (body_bytes, end): (u64, End),
    ) -> EncodedSpan {
        match head {
            ResponseHead::Http1(response) if response.call().is_some() || self.is_call() => {
                let code = response.grpc_status();
                let is_whole = end == End::Complete && response.call() != Some(Told::Unknown);
                grpc::response(&mut self.span, Answered { http: Some(response.status()), code, is_whole });
            }
            ResponseHead::Http1(response) => {
                let body = (end == End::Complete).then_some(body_bytes);
                http::response(&mut self.span, Some(response.status()), body);
            }
            ResponseHead::Http2(response) if response.is_grpc() || response.grpc_status().is_some() => {
                let (http, code) = (response.status(), response.grpc_status());
                let is_whole = end == End::Complete && !response.is_unread();
                grpc::response(&mut self.span, Answered { http, code, is_whole });
            }
            ResponseHead::Http2(response) => {
                let body = (end == End::Complete).then_some(body_bytes);
                http::response(&mut self.span, response.status(), body);
            }
            ResponseHead::Kafka(response) => kafka::response(&mut self.span, response),
            ResponseHead::Redis(reply) => redis::response(&mut self.span, reply),
            ResponseHead::Sql(outcome) => sql::response(&mut self.span, *outcome),
            ResponseHead::Other(response) => other::response(&mut self.span, response),
        }
        match end {
            End::Complete => {}
            End::Gap => mark(&mut self.span, CAPTURE_GAP),
            End::Truncated => fail(&mut self.span, "response_truncated"),
            End::Broken(_) => fail(&mut self.span, "response_malformed"),
        }
        self.finish(time)
    }

    /// Ends the span of a request that gets no response, and need not.
    pub(crate) fn unanswered(self, time: UnixNanos) -> EncodedSpan {
        self.finish(time)
    }

    /// Ends the span of a request whose response never came.
    pub(crate) fn failed(mut self, time: UnixNanos, error: &str) -> EncodedSpan {
        fail(&mut self.span, error);
        self.finish(time)
    }

    /// Whether its request said that it is gRPC: that stands first then.
    fn is_call(&self) -> bool {
        self.span.attributes.first_is(semconv::RPC_SYSTEM_NAME)
    }

    fn finish(mut self, time: UnixNanos) -> EncodedSpan {
        let of_http = || self.span.attributes.contains(semconv::HTTP_REQUEST_METHOD);
        if let Some(bytes) = self.request_body.filter(|_| of_http()) {
            attribute(&mut self.span, semconv::HTTP_REQUEST_BODY_SIZE, int(bytes));
        }
        // The clock may have gone backwards.
        self.span.end = time.max(self.span.start);
        self.span
    }
}

/// Whether it does no more than prepare a statement, which somebody else will run.
fn prepares(head: &RequestHead<'_>) -> bool {
    matches!(head, RequestHead::Sql(command) if command.operation == Operation::Prepare)
}

fn http1(span: &mut EncodedSpan, request: &http1::Request<'_>, service: &Service, ends: &Ends) {
    match request.grpc() {
        Some(call) => grpc::http1(span, (request, call), service, ends),
        None => http::http1(span, request, service, ends),
    }
}

fn http2(span: &mut EncodedSpan, request: &Request<'_>, service: &Service, ends: &Ends) {
    match request.grpc() {
        Some(call) => grpc::http2(span, (request, call), service, ends),
        None => http::http2(span, request, service, ends),
    }
    if request.has_gap() {
        mark(span, CAPTURE_GAP);
    }
    if request.is_truncated() {
        mark(span, CAPTURE_TRUNCATED);
    }
}

/// Sets an attribute that says that not all was seen; once.
fn mark(span: &mut EncodedSpan, key: &str) {
    if !span.attributes.contains(key) {
        attribute(span, key, true);
    }
}

fn peers(span: &mut EncodedSpan, ends: &Ends) {
    let peer = match ends.role {
        Role::Server => ends.client,
        Role::Client => ends.server,
    };
    if let Some(peer) = peer {
        with_text(peer.ip().to_canonical(), |address| {
            if ends.role == Role::Server {
                attribute(span, semconv::CLIENT_ADDRESS, address);
                attribute(span, semconv::CLIENT_PORT, peer.port());
            }
            attribute(span, semconv::NETWORK_PEER_ADDRESS, address);
            attribute(span, semconv::NETWORK_PEER_PORT, peer.port());
        });
    }
    if let Some(caller) = ends.caller.as_ref().filter(|_| ends.role == Role::Server) {
        attribute(span, semconv::SERVICE_PEER_NAME, caller.as_ref());
    }
}

fn server(span: &mut EncodedSpan, ends: &Ends) {
    if let Some(server) = ends.server {
        with_text(server.ip().to_canonical(), |address| attribute(span, semconv::SERVER_ADDRESS, address));
        attribute(span, semconv::SERVER_PORT, server.port());
    }
}

/// Shows an address as text, without an allocation.
fn with_text(address: IpAddr, then: impl FnOnce(&str)) {
    use std::io::Write;
    let mut text = [0; ADDRESS_BYTES];
    let mut rest = text.as_mut_slice();
    // It always fits.
    let _ = write!(rest, "{address}");
    let length = ADDRESS_BYTES - rest.len();
    then(text.get(..length).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default());
}

/// Bytes of an IP address as text at most: eight groups of four digits, or six and an IPv4 address.
const ADDRESS_BYTES: usize = 45;

/// Marks a span as failed, unless it is already; the first reason stands.
fn fail(span: &mut EncodedSpan, error: &str) {
    if !span.is_error() {
        span.failed = true;
        attribute(span, semconv::ERROR_TYPE, error);
    }
}

/// A count as attributes have it; saturates at 2^63 - 1.
fn int(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// At most `limit` bytes of the text, cut between characters.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}
