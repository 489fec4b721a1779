//! What a span says of an HTTP exchange.

use otlp_core::record::SpanKind;
use otlp_core::semconv;

use super::{EncodedSpan, Ends, attribute, cut, fail, int, server};
use crate::parse::{http1, http2};
use crate::service::Service;

/// Methods that the conventions know; others are `_OTHER`.
const METHODS: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// What an HTTP request says that its span tells, whatever its version.
struct Asked<'a> {
    /// `None` where it was not seen.
    method: Option<&'a str>,
    scheme: &'a str,
    target: Target<'a>,
    host: Option<&'a str>,
    version: &'static str,
    agent: Option<&'a str>,
}

pub(super) fn http1(span: &mut EncodedSpan, request: &http1::Request<'_>, service: &Service, ends: &Ends) {
    let headers = request.headers();
    let asked = Asked {
        method: Some(request.method()),
        scheme: scheme(ends),
        target: Target::of(request.method(), request.target()),
        host: headers.text("host"),
        version: version(request),
        agent: headers.text("user-agent"),
    };
    tell(span, &asked, service, ends);
    service.redactor.headers(span, headers.iter(), service.limits.attribute_bytes());
}

/// The version that HTTP/1 has.
pub(super) const fn version(request: &http1::Request<'_>) -> &'static str {
    if request.minor_version() == 0 { "1.0" } else { "1.1" }
}

pub(super) fn http2(span: &mut EncodedSpan, request: &http2::Request<'_>, service: &Service, ends: &Ends) {
    let asked = Asked {
        method: request.method(),
        scheme: request.scheme().unwrap_or(scheme(ends)),
        target: request.path().map_or(Target::NONE, |path| Target::of("", path)),
        host: request.authority(),
        version: "2",
        agent: request.headers().text("user-agent"),
    };
    tell(span, &asked, service, ends);
    service.redactor.headers(span, request.headers().iter(), service.limits.attribute_bytes());
}

fn tell(span: &mut EncodedSpan, asked: &Asked<'_>, service: &Service, ends: &Ends) {
    let limit = service.limits.attribute_bytes();
    let known = asked.method.filter(|method| METHODS.contains(method));
    span.name = known.unwrap_or("HTTP").to_owned();
    if let Some(sent) = asked.method {
        attribute(span, semconv::HTTP_REQUEST_METHOD, known.unwrap_or("_OTHER"));
        if known.is_none() {
            attribute(span, semconv::HTTP_REQUEST_METHOD_ORIGINAL, cut(sent, limit));
        }
    }
    attribute(span, semconv::URL_SCHEME, cut(asked.scheme, limit));
    let target = &asked.target;
    if let Some(path) = target.path {
        attribute(span, semconv::URL_PATH, cut(path, limit));
    }
    if let Some(query) = target.query {
        attribute(span, semconv::URL_QUERY, cut(&service.redactor.query(query), limit));
    }
    host(span, target.authority.or(asked.host), limit, ends);
    attribute(span, semconv::NETWORK_PROTOCOL_NAME, "http");
    attribute(span, semconv::NETWORK_PROTOCOL_VERSION, asked.version);
    if let Some(agent) = asked.agent {
        attribute(span, semconv::USER_AGENT_ORIGINAL, cut(agent, limit));
    }
}

/// The scheme where no message says it.
const fn scheme(ends: &Ends) -> &'static str {
    if ends.tls { "https" } else { "http" }
}

/// Tells the server by the name that it was asked for, or else by its address.
pub(super) fn host(span: &mut EncodedSpan, host: Option<&str>, limit: usize, ends: &Ends) {
    // User and password are not for spans.
    let host = host.map(|host| host.rsplit_once('@').map_or(host, |(_, host)| host));
    match host.and_then(split_host) {
        Some((host, port)) => {
            attribute(span, semconv::SERVER_ADDRESS, cut(host, limit));
            if let Some(port) = port {
                attribute(span, semconv::SERVER_PORT, port);
            }
        }
        None => server(span, ends),
    }
}

/// Tells the response; the status where it was seen.
pub(super) fn response(span: &mut EncodedSpan, status: Option<u16>, body_bytes: Option<u64>) {
    if let Some(status) = status {
        attribute(span, semconv::HTTP_RESPONSE_STATUS_CODE, status);
    }
    if let Some(bytes) = body_bytes {
        attribute(span, semconv::HTTP_RESPONSE_BODY_SIZE, int(bytes));
    }
    // A server is not to blame for what a client did wrong: 4xx stays unset there.
    let fault = if span.kind == SpanKind::Client { 400 } else { 500 };
    if let Some(status) = status.filter(|status| *status >= fault) {
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
    const NONE: Self = Self { authority: None, path: None, query: None };

    fn of(method: &str, target: &'a str) -> Self {
        if method == "CONNECT" {
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
