//! Spans from requests and responses, as the semantic conventions (1.37) have them.
//!
//! One exchange is one span of kind SERVER, as seen by the service that answers. The span's identifiers are
//! fixed when the request's head is read, so that what the service calls meanwhile can refer to it.

mod http;
mod redis;

use std::net::SocketAddr;
use std::sync::Arc;

use otlp_core::context::w3c::TraceParent;
use otlp_core::record::{AnyValue, KeyValue, Span, SpanKind, Status, StatusCode};
use otlp_core::{SpanId, TraceId, UnixNanos, semconv};

use crate::account::JoinCounts;
use crate::join::Joined;
use crate::parse::{End, RequestHead, ResponseHead};
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
}

impl Ends {
    /// The ends of a connection whose caller is not known.
    #[must_use]
    pub const fn new(client: SocketAddr, server: SocketAddr) -> Self {
        Self { client: Some(client), server: Some(server), caller: None }
    }

    /// The same ends, with the service that the client is.
    #[must_use]
    pub fn with_caller(mut self, caller: Option<Arc<str>>) -> Self {
        self.caller = caller;
        self
    }
}

/// A span whose request is still in progress.
#[derive(Debug)]
pub(crate) struct Draft {
    span: Span,
    /// Bytes of the request's body, once it has ended.
    request_body: Option<u64>,
    request_ended: bool,
    /// Whether it is in the join table.
    entered: bool,
}

/// Flags of OTLP spans (bits 8 and 9): it is known whether the parent is remote, and it is.
const PARENT_IS_REMOTE: u32 = 0x300;
const SAMPLED: u32 = 0x01;
/// Attribute of a span some of whose bytes were not seen: what it says is right, but may not be all.
const CAPTURE_GAP: &str = "otlp.capture.gap";
/// Attributes that fit without a second allocation: those of an HTTP exchange, with one to spare.
const USUAL_ATTRIBUTES: usize = 20;

impl Draft {
    /// Begins the span of a request.
    pub(crate) fn begin(
        service: &Service,
        ends: &Ends,
        (time, head): (UnixNanos, &RequestHead<'_>),
        counts: &mut JoinCounts,
    ) -> Self {
        let attributes = Vec::with_capacity(USUAL_ATTRIBUTES);
        let mut span = Span { kind: SpanKind::Server, start: time, attributes, ..Span::default() };
        span.span_id = service.ids.span_id();
        let context = match head {
            RequestHead::Http1(request) => http::context(request),
            RequestHead::Redis(_) => None,
        };
        place(&mut span, service, (ends, context), counts);
        match head {
            RequestHead::Http1(request) => http::request(&mut span, request, service, ends),
            RequestHead::Redis(command) => redis::request(&mut span, command, ends),
        }
        peers(&mut span, ends);
        Self { span, request_body: None, request_ended: false, entered: false }
    }

    /// Enters the request in the join table: from here on it can be found as a parent.
    pub(crate) fn enter(&mut self, service: &Service) {
        if let Some(table) = &service.join {
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
    ) -> Span {
        match head {
            ResponseHead::Http1(response) => {
                http::response(&mut self.span, *response, (end == End::Complete).then_some(body_bytes));
            }
            ResponseHead::Redis(reply) => redis::response(&mut self.span, reply),
        }
        match end {
            End::Complete => {}
            End::Gap => attribute(&mut self.span, CAPTURE_GAP, true),
            End::Truncated => fail(&mut self.span, "response_truncated"),
            End::Broken(_) => fail(&mut self.span, "response_malformed"),
        }
        self.finish(time)
    }

    /// Ends the span of a request that gets no response, and need not.
    pub(crate) fn unanswered(self, time: UnixNanos) -> Span {
        self.finish(time)
    }

    /// Ends the span of a request whose response never came.
    pub(crate) fn failed(mut self, time: UnixNanos, error: &str) -> Span {
        fail(&mut self.span, error);
        self.finish(time)
    }

    fn finish(mut self, time: UnixNanos) -> Span {
        let of_http = self.span.attributes.iter().any(|met| met.key == semconv::HTTP_REQUEST_METHOD);
        if let Some(bytes) = self.request_body.filter(|_| of_http) {
            attribute(&mut self.span, semconv::HTTP_REQUEST_BODY_SIZE, int(bytes));
        }
        // The clock may have gone backwards.
        self.span.end = time.max(self.span.start);
        self.span
    }
}

/// Puts the span into its trace: below the request of the caller that caused it, where that can be told, else
/// below what the request's header names, else at the root of a new one.
fn place(
    span: &mut Span,
    service: &Service,
    (ends, context): (&Ends, Option<(TraceParent, String)>),
    counts: &mut JoinCounts,
) {
    let (header, trace_state) = context.unzip();
    let joined = find_caller(service, ends, header.map(|header| header.trace_id()), counts);
    let flags = header.map_or(SAMPLED, |header| u32::from(header.flags()));
    let (trace_id, parent) = match (joined, header) {
        (Some(caller), _) => caller,
        (None, Some(header)) => (header.trace_id(), header.span_id()),
        (None, None) => (service.ids.trace_id(), SpanId::INVALID),
    };
    span.trace_id = trace_id;
    span.parent_span_id = parent;
    span.trace_state = trace_state.unwrap_or_default();
    span.flags = if parent.is_valid() { flags | PARENT_IS_REMOTE } else { flags };
}

fn find_caller(
    service: &Service,
    ends: &Ends,
    trace: Option<TraceId>,
    counts: &mut JoinCounts,
) -> Option<(TraceId, SpanId)> {
    let table = service.join.as_ref()?;
    let Some(caller) = &ends.caller else {
        counts.caller_unknown += 1;
        return None;
    };
    let count = match table.find(caller, trace) {
        Joined::Parent { trace: found, span } => {
            *(if trace.is_some() { &mut counts.by_trace } else { &mut counts.sole }) += 1;
            return Some((found, span));
        }
        Joined::Ambiguous => &mut counts.ambiguous,
        Joined::Absent => &mut counts.absent,
    };
    *count += 1;
    None
}

fn peers(span: &mut Span, ends: &Ends) {
    if let Some(client) = ends.client {
        let address = client.ip().to_canonical().to_string();
        attribute(span, semconv::CLIENT_ADDRESS, address.clone());
        attribute(span, semconv::CLIENT_PORT, client.port());
        attribute(span, semconv::NETWORK_PEER_ADDRESS, address);
        attribute(span, semconv::NETWORK_PEER_PORT, client.port());
    }
    if let Some(caller) = &ends.caller {
        attribute(span, semconv::SERVICE_PEER_NAME, caller.as_ref());
    }
}

fn server(span: &mut Span, ends: &Ends) {
    if let Some(server) = ends.server {
        attribute(span, semconv::SERVER_ADDRESS, server.ip().to_canonical().to_string());
        attribute(span, semconv::SERVER_PORT, server.port());
    }
}

/// Marks a span as failed, unless it is already; the first reason stands.
fn fail(span: &mut Span, error: &str) {
    if !span.is_error() {
        span.status = Status { code: StatusCode::Error, message: String::new() };
        attribute(span, semconv::ERROR_TYPE, error);
    }
}

fn attribute(span: &mut Span, key: &'static str, value: impl Into<AnyValue>) {
    span.attributes.push(KeyValue::new(key, value));
}

/// A count as attributes have it; saturates at 2^63 - 1.
fn int(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// At most `limit` bytes of the text, cut between characters.
fn cut(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}
