//! What a span says of an HTTP exchange.

use otlp_core::context::w3c::TraceParent;
use otlp_core::record::{Span, SpanKind};
use otlp_core::semconv;

use super::{Ends, attribute, cut, fail, int, server};
use crate::parse::http1::{Request, Response};
use crate::service::Service;

/// Methods that the conventions know; others are `_OTHER`.
const METHODS: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// Bytes of `tracestate` at most: what the specification asks to be passed on.
const MAX_TRACE_STATE: usize = 512;

/// The trace context that a request carries: one `traceparent`, and all `tracestate` joined.
pub(super) fn context(request: &Request<'_>) -> Option<(TraceParent, String)> {
    let headers = request.headers();
    let parent = TraceParent::parse(headers.only("traceparent")?).ok()?;
    let state: Vec<_> = headers.all("tracestate").collect();
    let state = String::from_utf8(state.join(&b',')).unwrap_or_default();
    let usable =
        state.len() <= MAX_TRACE_STATE && state.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    Some((parent, if usable { state } else { String::new() }))
}

pub(super) fn request(span: &mut Span, request: &Request<'_>, service: &Service, ends: &Ends) {
    let limit = service.limits.attribute_bytes();
    let known = METHODS.contains(&request.method());
    let method = if known { request.method() } else { "_OTHER" };
    span.name = if known { method.to_owned() } else { "HTTP".to_owned() };
    attribute(span, semconv::HTTP_REQUEST_METHOD, method);
    if !known {
        attribute(span, semconv::HTTP_REQUEST_METHOD_ORIGINAL, cut(request.method(), limit));
    }
    let target = Target::of(request);
    attribute(span, semconv::URL_SCHEME, "http");
    if let Some(path) = target.path {
        attribute(span, semconv::URL_PATH, cut(path, limit));
    }
    if let Some(query) = target.query {
        attribute(span, semconv::URL_QUERY, cut(&service.redactor.query(query), limit));
    }
    let host = target.authority.or_else(|| request.headers().text("host"));
    match host.and_then(split_host) {
        Some((host, port)) => {
            attribute(span, semconv::SERVER_ADDRESS, cut(host, limit));
            if let Some(port) = port {
                attribute(span, semconv::SERVER_PORT, port);
            }
        }
        None => server(span, ends),
    }
    attribute(span, semconv::NETWORK_PROTOCOL_NAME, "http");
    attribute(
        span,
        semconv::NETWORK_PROTOCOL_VERSION,
        if request.minor_version() == 0 { "1.0" } else { "1.1" },
    );
    if let Some(agent) = request.headers().text("user-agent") {
        attribute(span, semconv::USER_AGENT_ORIGINAL, cut(agent, limit));
    }
    service.redactor.headers(span, request.headers().iter(), limit);
}

pub(super) fn response(span: &mut Span, response: Response, body_bytes: Option<u64>) {
    let status = response.status();
    attribute(span, semconv::HTTP_RESPONSE_STATUS_CODE, status);
    if let Some(bytes) = body_bytes {
        attribute(span, semconv::HTTP_RESPONSE_BODY_SIZE, int(bytes));
    }
    // A server is not to blame for what a client did wrong: 4xx stays unset there.
    if status >= if span.kind == SpanKind::Client { 400 } else { 500 } {
        fail(span, &status.to_string());
    }
}

/// A request target in its parts (RFC 9112 §3.2).
struct Target<'a> {
    authority: Option<&'a str>,
    path: Option<&'a str>,
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn of(request: &Request<'a>) -> Self {
        let target = request.target();
        if request.method() == "CONNECT" {
            return Self { authority: Some(target), path: None, query: None };
        }
        let target = target.split_once('#').map_or(target, |(target, _)| target);
        let (authority, rest) = match target.split_once("://") {
            Some((scheme, rest)) if !scheme.contains('/') && !scheme.contains('?') => {
                let at = rest.find(['/', '?']).unwrap_or(rest.len());
                let (authority, rest) = rest.split_at_checked(at).unwrap_or((rest, ""));
                // User and password are not for spans.
                (Some(authority.rsplit_once('@').map_or(authority, |(_, host)| host)), rest)
            }
            _ => (None, target),
        };
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        Self { authority, path: Some(if path.is_empty() { "/" } else { path }), query }
    }
}

/// Splits `host:port`, `[v6]:port` or `host`.
fn split_host(host: &str) -> Option<(&str, Option<u16>)> {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port.parse().ok()?)),
        _ => (host, None),
    };
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let plausible = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    plausible.then_some((name, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_split_from_their_ports() {
        assert_eq!(split_host("shop:8080"), Some(("shop", Some(8080))));
        assert_eq!(split_host("shop"), Some(("shop", None)));
        assert_eq!(split_host("[::1]:80"), Some(("::1", Some(80))));
        assert_eq!(split_host("[::1]"), Some(("::1", None)));
        assert_eq!(split_host("::1"), Some(("::1", None)));
        for wrong in ["", ":80", "shop:http", "shop:70000", "a b"] {
            assert_eq!(split_host(wrong), None, "{wrong:?}");
        }
    }
}
