//! HTTP/1.1 as the shop speaks it: heads by `httparse`, bodies by `content-length`, bytes cut anywhere.

pub(crate) mod client;
pub(crate) mod server;

use std::fmt::Write as _;

use otlp_core::{Error, ErrorKind};

/// Most bytes of a head; more is refused.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// Most header lines of a head; more is refused.
const MAX_HEADERS: usize = 32;
/// Most bytes of a body; more is refused.
const MAX_BODY_BYTES: usize = 1 << 20;

/// A request, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// Such as `GET`.
    pub(crate) method: String,
    /// Path and query as they came.
    pub(crate) target: String,
    /// W3C trace context, forwarded unchanged.
    pub(crate) traceparent: Option<String>,
    /// Whether the connection stays open after the response.
    pub(crate) keep_alive: bool,
    /// Empty where there was none.
    pub(crate) body: Vec<u8>,
}

/// A response, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    /// 200 to 599.
    pub(crate) status: u16,
    /// Text or JSON.
    pub(crate) body: Vec<u8>,
    /// Whether the connection may be used again.
    pub(crate) keep_alive: bool,
}

/// Cuts a byte stream into requests or responses.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    buffer: Vec<u8>,
}

/// What both kinds of head have in common.
struct Framing {
    head_bytes: usize,
    body_bytes: usize,
    keep_alive: bool,
    traceparent: Option<String>,
}

impl Request {
    /// The path's parts between slashes, and the query.
    pub(crate) fn route(&self) -> (Vec<&str>, &str) {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        (path.split('/').filter(|part| !part.is_empty()).collect(), query)
    }

    /// The value of `name` in the body, which is a form of `name=value` joined by `&`.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        form_field(std::str::from_utf8(&self.body).ok()?, name)
    }
}

impl Response {
    /// A response that keeps the connection open.
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), keep_alive: true }
    }

    /// A JSON object with one member `error`.
    pub(crate) fn error(status: u16, reason: &str) -> Self {
        Self::new(status, format!("{{\"error\":\"{reason}\"}}"))
    }

    /// The body as text; empty where it is not UTF-8.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }

    /// Appends the response as it goes over the wire.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut head = String::with_capacity(128);
        let connection = if self.keep_alive { "" } else { "connection: close\r\n" };
        // Writing to a string cannot fail.
        let _ = write!(
            head,
            "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\n{connection}content-length: {}\r\n\r\n",
            self.status,
            reason(self.status),
            self.body.len(),
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(&self.body);
    }
}

impl Decoder {
    /// Takes bytes as they came.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// True where every byte was used.
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The next request, or none until more bytes come.
    ///
    /// # Errors
    /// Malformed or above a limit; the stream cannot be read on.
    pub(crate) fn request(&mut self) -> Result<Option<Request>, Error> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Request::new(&mut headers);
        let head_bytes = match head.parse(&self.buffer) {
            Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
            Ok(httparse::Status::Partial) => return self.unfinished_head(),
            Err(source) => return Err(refused_head(source)),
        };
        let framing = Framing::read(head_bytes, head.version, head.headers)?;
        let (method, target) = (head.method.unwrap_or_default(), head.path.unwrap_or_default());
        if !matches!(method, "GET" | "POST" | "PUT" | "DELETE") {
            return Err(malformed("request: method not served here"));
        }
        let (method, target) = (method.to_owned(), target.to_owned());
        let Some(body) = self.take_body(&framing) else { return Ok(None) };
        let Framing { keep_alive, traceparent, .. } = framing;
        Ok(Some(Request { method, target, traceparent, keep_alive, body }))
    }

    /// The next response, or none until more bytes come.
    ///
    /// # Errors
    /// Malformed or above a limit; the stream cannot be read on.
    pub(crate) fn response(&mut self) -> Result<Option<Response>, Error> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        let head_bytes = match head.parse(&self.buffer) {
            Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
            Ok(httparse::Status::Partial) => return self.unfinished_head(),
            Err(source) => return Err(refused_head(source)),
        };
        let status = head.code.unwrap_or_default();
        if !(200..600).contains(&status) {
            return Err(malformed("response: status outside 200..600"));
        }
        let framing = Framing::read(head_bytes, head.version, head.headers)?;
        let Some(body) = self.take_body(&framing) else { return Ok(None) };
        Ok(Some(Response { status, body, keep_alive: framing.keep_alive }))
    }

    fn unfinished_head<T>(&self) -> Result<Option<T>, Error> {
        if self.buffer.len() > MAX_HEAD_BYTES {
            return Err(too_much("head", self.buffer.len(), MAX_HEAD_BYTES));
        }
        Ok(None)
    }

    fn take_body(&mut self, framing: &Framing) -> Option<Vec<u8>> {
        let end = framing.head_bytes + framing.body_bytes;
        let body = self.buffer.get(framing.head_bytes..end)?.to_vec();
        self.buffer.drain(..end);
        Some(body)
    }
}

impl Framing {
    fn read(head_bytes: usize, version: Option<u8>, headers: &[httparse::Header<'_>]) -> Result<Self, Error> {
        if head_bytes > MAX_HEAD_BYTES {
            return Err(too_much("head", head_bytes, MAX_HEAD_BYTES));
        }
        let mut keep_alive = version == Some(1);
        let mut length = None;
        let mut traceparent = None;
        for header in headers {
            let name = header.name;
            let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
            if name.eq_ignore_ascii_case("content-length") {
                let met = value.parse().map_err(|_| malformed("content-length: not a number"))?;
                if length.is_some_and(|length| length != met) {
                    return Err(malformed("content-length: met twice with different values"));
                }
                length = Some(met);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                return Err(malformed("transfer-encoding: not served here"));
            } else if name.eq_ignore_ascii_case("connection") {
                keep_alive = value.eq_ignore_ascii_case("keep-alive")
                    || keep_alive && !value.eq_ignore_ascii_case("close");
            } else if name.eq_ignore_ascii_case("traceparent") {
                traceparent = Some(value.to_owned());
            }
        }
        let body_bytes = length.unwrap_or(0);
        if body_bytes > MAX_BODY_BYTES {
            return Err(too_much("body", body_bytes, MAX_BODY_BYTES));
        }
        Ok(Self { head_bytes, body_bytes, keep_alive, traceparent })
    }
}

/// The value of `name` in `name=value` pairs joined by `&`.
pub(crate) fn form_field<'form>(form: &'form str, name: &str) -> Option<&'form str> {
    let mut pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find_map(|(key, value)| (key == name).then_some(value))
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        400 => "Bad Request",
        402 => "Payment Required",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Content Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Unknown",
    }
}

fn malformed(message: &str) -> Error {
    Error::new(ErrorKind::Malformed, message)
}

fn refused_head(source: httparse::Error) -> Error {
    let kind =
        if source == httparse::Error::TooManyHeaders { ErrorKind::Limit } else { ErrorKind::Malformed };
    Error::new(kind, "head: not HTTP/1.1").with_source(source)
}

fn too_much(what: &str, met: usize, limit: usize) -> Error {
    Error::new(ErrorKind::Limit, format!("{what}: {met} bytes exceed limit {limit}"))
}

#[cfg(test)]
mod tests;
