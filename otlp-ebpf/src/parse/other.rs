//! Messages of protocols that are not known here.
//!
//! A crate that reads a protocol of its own implements [`Protocol`](super::infer::Protocol) and
//! [`Parser`](super::Parser), tells its messages as [`Request`] and [`Response`], and registers with
//! [`Protocols::with`](super::infer::Protocols::with) or [`TapProtocol::only`](crate::wrap::TapProtocol::only). Pairing,
//! accounts, trace context and what follows a loss are as for any other.
//!
//! ```
//! use std::sync::Arc;
//! use otlp_core::UnixNanos;
//! use otlp_ebpf::parse::infer::{First, Protocol, Protocols, Verdict};
//! use otlp_ebpf::parse::{other, Chunk, Direction, End, Event, Exchange, Parser, RequestHead, ResponseHead};
//! use otlp_ebpf::{Connection, Ends, IdSource, Limits, Service};
//!
//! /// A line asks, a line answers; `!` begins that of an error.
//! #[derive(Debug)]
//! struct Lines;
//!
//! impl Protocol for Lines {
//!     fn name(&self) -> &str { "lines" }
//!     fn infer(&self, first: First<'_>) -> Verdict {
//!         if first.to_server.starts_with(b"ASK ") { Verdict::Yes } else { Verdict::No }
//!     }
//!     fn parser(&self, _: &Limits) -> Box<dyn Parser> { Box::new(LinesParser::default()) }
//! }
//!
//! #[derive(Default)]
//! struct LinesParser([Vec<u8>; 2]);
//!
//! impl Parser for LinesParser {
//!     fn feed(&mut self, chunk: Chunk<'_>, on: &mut dyn FnMut(Event<'_>)) {
//!         let (exchange, time) = (Exchange::InOrder, chunk.time);
//!         let held = &mut self.0[usize::from(chunk.direction == Direction::ToClient)];
//!         for byte in chunk.bytes {
//!             if *byte != b'\n' {
//!                 held.push(*byte);
//!                 continue;
//!             }
//!             let line = String::from_utf8_lossy(&std::mem::take(held)).into_owned();
//!             let (end, body_bytes) = (End::Complete, 0);
//!             if chunk.direction == Direction::ToServer {
//!                 on(Event::Request { exchange, time, head: RequestHead::Other(other::Request::new(&line)) });
//!                 on(Event::RequestEnd { exchange, time, body_bytes, end });
//!             } else {
//!                 let head = ResponseHead::Other(other::Response::new(line.strip_prefix('!')));
//!                 on(Event::Response { exchange, first_byte: time, time, head, body_bytes, end });
//!             }
//!         }
//!     }
//!     fn close(&mut self, _: Direction, _: UnixNanos, _: &mut dyn FnMut(Event<'_>)) {}
//!     fn realign(&mut self, _: usize, _: &mut dyn FnMut(Event<'_>)) { self.0[1].clear(); }
//!     fn held_bytes(&self) -> usize { self.0.iter().map(Vec::capacity).sum() }
//! }
//!
//! let service = Service::new("oracle", Arc::new(IdSource::seeded(7)));
//! let parser = otlp_ebpf::parse::infer::Inferring::among(Protocols::default().with(Lines), Limits::default());
//! let mut connection = Connection::new(Arc::new(service), Box::new(parser), Ends::default());
//! let mut spans = Vec::new();
//! for (direction, text) in [(Direction::ToServer, "ASK weather\n"), (Direction::ToClient, "!clouds\n")] {
//!     connection.feed(Chunk::new(direction, UnixNanos(1), text.as_bytes()), &mut |span| spans.push(span));
//! }
//! assert_eq!((spans[0].name.as_str(), spans[0].is_error()), ("ASK weather", true));
//! ```

use otlp_core::record::KeyValue;

use super::Expect;

/// A request. What it holds is put on its span as it is: what is secret is for its parser to leave out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Request<'a> {
    name: &'a str,
    attributes: &'a [KeyValue],
    headers: &'a [(&'a str, &'a [u8])],
    expect: Expect,
}

impl<'a> Request<'a> {
    /// A request whose span is named so, which should be of few different values. It gets one response.
    #[must_use]
    pub const fn new(name: &'a str) -> Self {
        Self { name, attributes: &[], headers: &[], expect: Expect::One }
    }

    /// Sets the attributes of the span; default none. Texts longer than
    /// [`Limits::attribute_bytes`](crate::Limits::attribute_bytes) are cut off.
    #[must_use]
    pub const fn attributes(mut self, attributes: &'a [KeyValue]) -> Self {
        self.attributes = attributes;
        self
    }

    /// Sets what the trace context is read from, W3C's or B3's, by the names that HTTP has for it; default nothing. It
    /// is put on no span.
    #[must_use]
    pub const fn headers(mut self, headers: &'a [(&'a str, &'a [u8])]) -> Self {
        self.headers = headers;
        self
    }

    /// Sets how many responses it gets; default one.
    #[must_use]
    pub const fn expects(mut self, expect: Expect) -> Self {
        self.expect = expect;
        self
    }

    /// The name of its span.
    #[must_use]
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// How many responses it gets.
    #[must_use]
    pub const fn expect(&self) -> Expect {
        self.expect
    }

    pub(crate) const fn told(&self) -> &'a [KeyValue] {
        self.attributes
    }

    pub(crate) fn context(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.headers.iter().copied()
    }
}

/// A response.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Response<'a> {
    error: Option<&'a str>,
    attributes: &'a [KeyValue],
}

impl<'a> Response<'a> {
    /// A response; of an error, where there is one, `error.type` is this, which should be of few different values.
    #[must_use]
    pub const fn new(error: Option<&'a str>) -> Self {
        Self { error, attributes: &[] }
    }

    /// Adds attributes to the span; default none.
    #[must_use]
    pub const fn attributes(mut self, attributes: &'a [KeyValue]) -> Self {
        self.attributes = attributes;
        self
    }

    /// Why the request failed; nothing where it did not.
    #[must_use]
    pub const fn error(&self) -> Option<&'a str> {
        self.error
    }

    pub(crate) const fn told(&self) -> &'a [KeyValue] {
        self.attributes
    }
}
