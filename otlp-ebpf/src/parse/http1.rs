//! HTTP/1.0 and HTTP/1.1 (RFC 9112).
//!
//! Heads are read by `httparse` once they are complete; bodies are skipped by `Content-Length`, chunk by
//! chunk (extensions and trailers too), or until the connection closes; `HEAD`, 204 and 304 have none.
//! Of gRPC-Web the body is looked into for the status of the call.
//! After 101, or 2xx to `CONNECT`, both directions are passed over as [`Event::Unparsed`]; but after an upgrade to
//! `h2c` they are read as [`http2`](super::http2), whose first stream answers the request that asked for it.
//!
//! # When a message is refused
//! After a head or a chunk that cannot be read, or bytes lost where no length says what they were, the
//! parser has lost its place in that direction. It then looks, line by line, for a line that ends like a
//! request line of a method of RFC 9110 (`GET target HTTP/1.1`; to the server) or holds `HTTP/1.x` and a
//! status code (to the client), and goes on from there. A body that contains such a line can deceive it; the
//! pairing of requests with responses does not rely on it (see [`Parser::realign`]).

mod body;
mod head;
mod side;

use std::collections::VecDeque;
use std::fmt;

use otlp_core::UnixNanos;

use self::body::{Body, Then};
use self::head::Framing;
use self::side::{Found, Side, State};
use super::grpc::Call;
use super::grpc::web::{self, Told, Web};
use super::http2::Http2;
use super::{
    Chunk, Direction, End, Event, Exchange, ParseError, ParseErrorKind, Parser, RequestHead, ResponseHead,
    ResponseHeaders,
};
use crate::limits::Limits;

/// The head of a request. `Debug` shows neither target nor header values, which may hold secrets.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    method: &'a str,
    target: &'a str,
    minor_version: u8,
    headers: Headers<'a>,
}

impl<'a> Request<'a> {
    /// The method as sent.
    #[must_use]
    pub const fn method(&self) -> &'a str {
        self.method
    }

    /// The request target as sent: usually a path with a query.
    #[must_use]
    pub const fn target(&self) -> &'a str {
        self.target
    }

    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    #[must_use]
    pub const fn minor_version(&self) -> u8 {
        self.minor_version
    }

    /// The headers.
    #[must_use]
    pub const fn headers(&self) -> Headers<'a> {
        self.headers
    }

    /// The procedure called, where it is gRPC-Web.
    #[must_use]
    pub fn grpc(&self) -> Option<Call<'a>> {
        let content_type = self.headers.all("content-type").next();
        content_type.is_some_and(web::is_content_type).then(|| Call::of(Some(self.target)))
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method).finish_non_exhaustive()
    }
}

/// The headers of a message, in their order.
#[derive(Clone, Copy)]
pub struct Headers<'a> {
    list: &'a [httparse::Header<'a>],
}

impl<'a> Headers<'a> {
    /// Each header's name as sent, and its value without the white space around it.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.list.iter().map(|header| (header.name, header.value))
    }

    /// The values of all headers named `name`, without regard to case. O(headers).
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(met, _)| met.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The value of the first header named `name`, where it is UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.all(name).next().and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The value of the header named `name`, where there is exactly one.
    #[must_use]
    pub fn only(&self, name: &str) -> Option<&'a [u8]> {
        let mut all = self.all(name);
        all.next().filter(|_| all.next().is_none())
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list.iter().map(|header| header.name)).finish()
    }
}

/// The head of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response {
    status: u16,
    minor_version: u8,
    /// Of gRPC-Web, where it is that.
    call: Option<Told>,
}

impl Response {
    /// The status code, 100 to 999.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    #[must_use]
    pub const fn minor_version(&self) -> u8 {
        self.minor_version
    }

    /// The status code of gRPC-Web; `None` where it is none of that, or its status was not seen.
    #[must_use]
    pub const fn grpc_status(&self) -> Option<u32> {
        match self.call {
            Some(Told::Code(code)) => Some(code),
            _ => None,
        }
    }

    /// What is known of its status, where it is gRPC-Web.
    pub(crate) const fn call(&self) -> Option<Told> {
        self.call
    }
}

/// Reads one HTTP/1 connection.
///
/// Holds at most [`Limits::head_bytes`] for each direction and a byte for each request in flight (of which
/// the newest 65,536 are known).
///
/// ```
/// use otlp_core::UnixNanos;
/// use otlp_ebpf::Limits;
/// use otlp_ebpf::parse::http1::Http1;
/// use otlp_ebpf::parse::{Chunk, Direction, Event, Parser, ResponseHead};
///
/// let mut parser = Http1::new(Limits::default());
/// let mut answers = Vec::new();
/// let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nred\r\n0\r\n\r\n";
/// let chunk = Chunk::new(Direction::ToClient, UnixNanos::ZERO, bytes);
/// parser.feed(chunk, &mut |event| {
///     if let Event::Response { head: ResponseHead::Http1(head), body_bytes, .. } = event {
///         answers.push((head.status(), body_bytes));
///     }
/// });
/// assert_eq!(answers, [(200, 3)]);
/// ```
#[derive(Debug)]
pub struct Http1 {
    limits: Limits,
    request: Side,
    response: Side,
    /// What the responses to come answer, oldest first: only as far as it changes their framing.
    asked: VecDeque<Asked>,
    current: Response,
    /// What the connection became.
    upgraded: Option<Box<Http2>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Head,
    Connect,
    Other,
}

/// Entries of [`Http1::asked`] at most; pipelines are a hundred at the most in practice.
const MAX_ASKED: usize = 1 << 16;

type Emit<'e> = &'e mut dyn FnMut(Event<'_>);

impl Http1 {
    /// A parser for a connection seen from its first byte.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self::starting(limits, State::Between)
    }

    /// A parser for a connection seen from somewhere on: it looks for the first line it can be sure of.
    #[must_use]
    pub fn mid_stream(limits: Limits) -> Self {
        Self::starting(limits, State::Search)
    }

    fn starting(limits: Limits, state: State) -> Self {
        Self {
            limits,
            request: Side::new(Direction::ToServer, state),
            response: Side::new(Direction::ToClient, state),
            asked: VecDeque::new(),
            current: Response { status: 0, minor_version: 0, call: None },
            upgraded: None,
        }
    }

    /// Takes some of `bytes`, at least one, and gives how many.
    fn step(&mut self, chunk: &Chunk<'_>, bytes: &[u8], on: Emit<'_>) -> usize {
        let limits = &self.limits;
        let side =
            if chunk.direction == Direction::ToServer { &mut self.request } else { &mut self.response };
        match side.state {
            State::Between => side.begin(bytes, chunk.time),
            State::Head => self.head(chunk, bytes, on),
            State::Body(_) => self.body(chunk, bytes, on),
            State::Search => side.search(bytes, chunk.time, limits, on),
            State::Opaque => side.pass(bytes, on),
        }
    }

    fn head(&mut self, chunk: &Chunk<'_>, bytes: &[u8], on: Emit<'_>) -> usize {
        let head_bytes = self.limits.head_bytes();
        let found = self.side(chunk.direction).collect(bytes, head_bytes);
        let (used, refused) = match found {
            Found::Part(used) => return used,
            Found::TooLong { used, limit } => (used, Some(limit_error(limit))),
            Found::Whole(used) => {
                let side = self.side(chunk.direction);
                let held = std::mem::take(&mut side.held);
                let head = if held.is_empty() { bytes.get(..used).unwrap_or_default() } else { &held };
                let outcome = match chunk.direction {
                    Direction::ToServer => self.request_head(head, chunk.time, on),
                    Direction::ToClient => self.response_head(head, chunk.time, on),
                };
                self.side(chunk.direction).give_back(held);
                (used, outcome.err())
            }
        };
        if let Some(kind) = refused {
            self.side(chunk.direction).refuse(kind, on);
        }
        used
    }

    fn request_head(&mut self, head: &[u8], time: UnixNanos, on: Emit<'_>) -> Result<(), ParseErrorKind> {
        let Self { limits, request: side, .. } = self;
        let start = side.start_time;
        let read = head::request(head, limits, |request, framing| {
            on(Event::Request {
                exchange: Exchange::InOrder,
                time: start,
                head: RequestHead::Http1(request),
            });
            let asked = match request.method {
                "HEAD" => Asked::Head,
                "CONNECT" => Asked::Connect,
                _ => Asked::Other,
            };
            (asked, framing)
        });
        let (asked, framing) = match read {
            // The connection preface of HTTP/2 (RFC 9113 §3.4): nothing after it is HTTP/1.
            Err(ParseErrorKind::Version) if head.starts_with(b"PRI * HTTP/2.0") => {
                self.request.refuse(ParseErrorKind::Version, on);
                self.become_opaque(on);
                return Ok(());
            }
            other => other?,
        };
        if self.asked.len() == MAX_ASKED {
            self.asked.pop_front();
        }
        self.asked.push_back(asked);
        match framing.into_body() {
            Some(body) => self.request.state = State::Body(body),
            None => {
                on(Event::RequestEnd {
                    exchange: Exchange::InOrder,
                    time,
                    body_bytes: 0,
                    end: End::Complete,
                });
                self.request.finish();
            }
        }
        Ok(())
    }

    fn response_head(&mut self, head: &[u8], time: UnixNanos, on: Emit<'_>) -> Result<(), ParseErrorKind> {
        let (response, framing, web) = head::response(head, &self.limits, |response, headers| {
            if response.status >= 200 {
                let headers = ResponseHeaders::Http1(headers);
                on(Event::ResponseBegins { exchange: Exchange::InOrder, headers });
            }
            Web::of(headers.iter())
        })?;
        if matches!(response.status, 100 | 102..=199) {
            on(Event::Interim { status: response.status });
            self.response.finish();
            return Ok(());
        }
        if framing == Framing::Http2 && matches!(self.request.state, State::Between) {
            on(Event::Interim { status: response.status });
            self.response.finish();
            self.upgraded = Some(Box::new(Http2::upgraded(self.limits.clone())));
            return Ok(());
        }
        self.current = response;
        self.response.web = web.map(Box::new);
        let asked = self.asked.pop_front().unwrap_or(Asked::Other);
        let tunnel = response.status == 101 || (asked == Asked::Connect && response.status / 100 == 2);
        let bodiless = tunnel || asked == Asked::Head || matches!(response.status, 204 | 304);
        let framing = if bodiless { Framing::NONE } else { framing };
        match framing.into_body() {
            Some(body) => self.response.state = State::Body(body),
            None => self.end_response(time, End::Complete, on),
        }
        if tunnel {
            self.become_opaque(on);
        }
        Ok(())
    }

    fn body(&mut self, chunk: &Chunk<'_>, bytes: &[u8], on: Emit<'_>) -> usize {
        let line_bytes = self.limits.line_bytes();
        let side = self.side(chunk.direction);
        let (used, then) = side.take_body(bytes, line_bytes);
        match then {
            Then::More => {}
            Then::Done => self.end_message(chunk.direction, chunk.time, End::Complete, on),
            Then::Broken(kind) => self.break_off(chunk, kind, on),
        }
        used
    }

    /// Ends the message under way and begins to look for the next one.
    fn break_off(&mut self, chunk: &Chunk<'_>, kind: ParseErrorKind, on: Emit<'_>) {
        let side = self.side(chunk.direction);
        let error = ParseError { offset: side.offset, direction: chunk.direction, kind };
        self.end_message(chunk.direction, chunk.time, End::Broken(error), on);
        self.side(chunk.direction).state = State::Search;
    }

    fn end_message(&mut self, direction: Direction, time: UnixNanos, end: End, on: Emit<'_>) {
        match direction {
            Direction::ToServer => {
                on(Event::RequestEnd {
                    exchange: Exchange::InOrder,
                    time,
                    body_bytes: self.request.body_bytes,
                    end,
                });
                self.request.finish();
            }
            Direction::ToClient => self.end_response(time, end, on),
        }
    }

    fn end_response(&mut self, time: UnixNanos, end: End, on: Emit<'_>) {
        let call = self.response.web.take().map(|web| web.told());
        let head = ResponseHead::Http1(Response { call, ..self.current });
        let body_bytes = self.response.body_bytes;
        on(Event::Response {
            exchange: Exchange::InOrder,
            first_byte: self.response.start_time,
            time,
            head,
            body_bytes,
            end,
        });
        self.response.finish();
    }

    fn become_opaque(&mut self, on: Emit<'_>) {
        on(Event::Left);
        for side in [&mut self.request, &mut self.response] {
            side.forget(on);
            side.state = State::Opaque;
        }
    }

    fn skip(&mut self, chunk: &Chunk<'_>, on: Emit<'_>) {
        let side = self.side(chunk.direction);
        match &mut side.state {
            State::Opaque => {}
            State::Search => side.forget(on),
            State::Between | State::Head => side.refuse(ParseErrorKind::Gap, on),
            State::Body(body) => match body.skip(chunk.missing) {
                Some(done) => {
                    side.lose_body();
                    side.body_bytes += chunk.missing;
                    if done {
                        self.end_message(chunk.direction, chunk.time, End::Complete, on);
                    }
                }
                None => self.break_off(chunk, ParseErrorKind::Gap, on),
            },
        }
        self.side(chunk.direction).offset += chunk.missing;
    }

    const fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::ToServer => &mut self.request,
            Direction::ToClient => &mut self.response,
        }
    }
}

impl Parser for Http1 {
    fn feed(&mut self, chunk: Chunk<'_>, on: &mut dyn FnMut(Event<'_>)) {
        if let Some(upgraded) = &mut self.upgraded {
            return upgraded.feed(chunk, on);
        }
        if chunk.missing > 0 {
            self.skip(&chunk, on);
        }
        let mut rest = chunk.bytes;
        while !rest.is_empty() {
            if let Some(upgraded) = &mut self.upgraded {
                return upgraded.feed(Chunk { bytes: rest, missing: 0, ..chunk }, on);
            }
            let used = self.step(&chunk, rest, on);
            rest = rest.get(used..).unwrap_or_default();
        }
    }

    fn close(&mut self, direction: Direction, time: UnixNanos, on: &mut dyn FnMut(Event<'_>)) {
        if let Some(upgraded) = &mut self.upgraded {
            return upgraded.close(direction, time, on);
        }
        let side = self.side(direction);
        match side.state {
            State::Body(Body::UntilClose) => self.end_message(direction, time, End::Complete, on),
            State::Body(_) => self.end_message(direction, time, End::Truncated, on),
            State::Head => side.refuse(ParseErrorKind::Truncated, on),
            State::Search => side.forget(on),
            State::Between | State::Opaque => {}
        }
        // Nothing may follow; what does is passed over.
        self.side(direction).state = State::Opaque;
    }

    fn realign(&mut self, in_flight: usize, on: &mut dyn FnMut(Event<'_>)) {
        if self.upgraded.is_some() {
            return;
        }
        let stale = self.asked.len().saturating_sub(in_flight);
        self.asked.drain(..stale);
        if !matches!(self.response.state, State::Opaque) {
            self.response.forget(on);
            self.response.finish();
        }
    }

    fn client_turn(&mut self, on: &mut dyn FnMut(Event<'_>)) {
        if self.upgraded.is_none() && matches!(self.request.state, State::Search) {
            // The rest of a line that is none does not go on.
            self.request.forget(on);
        }
    }

    fn held_bytes(&self) -> usize {
        let upgraded = self.upgraded.as_ref().map_or(0, |parser| size_of::<Http2>() + parser.held_bytes());
        let web = self.response.web.as_ref().map_or(0, |web| web.held_bytes());
        self.request.held.capacity() + self.response.held.capacity() + self.asked.capacity() + upgraded + web
    }
}

fn limit_error(limit: usize) -> ParseErrorKind {
    ParseErrorKind::Limit { what: "head_bytes", limit: u64::try_from(limit).unwrap_or(u64::MAX) }
}
