//! HTTP/2 (RFC 9113), in clear text: by prior knowledge, or after an upgrade of HTTP/1.
//!
//! Each exchange is a stream ([`Exchange::Numbered`]), any number of them at once. Frames are skipped by their
//! lengths, so bytes that are missing inside a body change nothing; header blocks are read by
//! [`hpack`](super::hpack). After a 2xx answer to `CONNECT` the stream is a tunnel and no longer followed.
//! Streams that the server begins (pushes) are passed over.
//!
//! # What a loss takes
//! Bytes missing inside a header block lose that block from there on: what came before is told, marked
//! ([`Request::has_gap`]), and the HPACK table counts as lost (see [`Decoder`](super::hpack::Decoder)).
//!
//! Bytes missing across the beginning of a frame, a frame that breaks its rules, or a start in the middle lose the
//! place in that direction. It is found again at the first bytes that can be, for all that is known, nothing but a
//! frame: a `HEADERS` frame of one block that decodes to well-formed fields, to the server those of a request
//! on a stream not in use, to the client a response or trailers on one that is; or a `SETTINGS` acknowledgement, a
//! `PING`, a `WINDOW_UPDATE` or `RST_STREAM` of such a stream; directly behind the missing bytes a `DATA` frame of such
//! a stream as well; none with flags that are not defined. A body that contains such bytes can deceive it. An exchange whose answer may have been among what was lost is
//! told as [`End::Gap`] or [`Event::Lost`] when the connection ends, or when its place is needed.

mod block;
mod fields;
mod frame;
mod message;
mod search;
mod side;
mod stream;

use otlp_core::UnixNanos;

use self::fields::{Bounds, Fields};
pub use self::message::{Headers, Request, Response};
pub(super) use self::search::infer;
use self::side::{Side, State};
use self::stream::Streams;
use super::grpc;
use super::{
    Chunk, Direction, End, Event, Exchange, ParseError, ParseErrorKind, Parser, RequestHead, ResponseHead,
    ResponseHeaders,
};
use crate::limits::Limits;

/// What a client sends first (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads one HTTP/2 connection.
///
/// Holds for each direction its HPACK table (at most [`Limits::table_bytes`], twice over) and a header block that
/// is cut (at most about [`Limits::head_bytes`]; while looking for its place twice that), and about 130 bytes for
/// each exchange under way (at most [`Limits::in_flight`]).
///
/// ```
/// use otlp_core::UnixNanos;
/// use otlp_ebpf::Limits;
/// use otlp_ebpf::parse::http2::Http2;
/// use otlp_ebpf::parse::{Chunk, Direction, Event, Parser, RequestHead};
///
/// let mut parser = Http2::new(Limits::default());
/// let mut paths = Vec::new();
/// // The preface, empty settings, and HEADERS that end stream 1: GET http / with a path of its own.
/// let bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
///     \0\0\x09\x01\x05\0\0\0\x01\x82\x86\x44\x05/cart";
/// let chunk = Chunk::new(Direction::ToServer, UnixNanos::ZERO, bytes);
/// parser.feed(chunk, &mut |event| {
///     if let Event::Request { head: RequestHead::Http2(head), .. } = event {
///         paths.extend(head.path().map(str::to_owned));
///     }
/// });
/// assert_eq!(paths, ["/cart"]);
/// ```
#[derive(Debug)]
pub struct Http2 {
    bounds: Bounds,
    to_server: Side,
    to_client: Side,
    streams: Streams,
    /// The fields of the block that was read last.
    fields: Fields,
}

type Emit<'e> = &'e mut dyn FnMut(Event<'_>);

impl Http2 {
    /// A parser for a connection seen from its first byte; one that does not begin with what HTTP/2 begins with is
    /// taken to be seen from somewhere on.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "as all parsers take them")]
    pub fn new(limits: Limits) -> Self {
        Self {
            to_server: Side::new(Direction::ToServer, State::Preface(0), &limits),
            to_client: Side::new(Direction::ToClient, State::Head, &limits),
            streams: Streams::new(limits.in_flight()),
            fields: Fields::default(),
            bounds: Bounds::of(&limits),
        }
    }

    /// A parser for a connection seen from somewhere on: it looks for the first frame it can be sure of.
    #[must_use]
    pub fn mid_stream(limits: Limits) -> Self {
        let mut parser = Self::new(limits);
        for direction in [Direction::ToServer, Direction::ToClient] {
            parser.begin_late(direction);
            parser.side(direction).search().begin_at_edge();
        }
        parser
    }

    /// A parser for what follows on a 101 answer to a request for `h2c`, which the first stream will answer.
    pub(super) fn upgraded(limits: Limits) -> Self {
        let mut parser = Self::new(limits);
        parser.streams.upgraded = true;
        let stream = stream::Stream { request_ended: true, ..stream::Stream::default() };
        parser.streams.open(1, stream);
        parser
    }

    /// Takes some of `bytes`; gives how many. Where it takes none, its state has changed.
    fn step(&mut self, chunk: &Chunk<'_>, bytes: &[u8], on: Emit<'_>) -> usize {
        match self.side(chunk.direction).state {
            State::Preface(matched) => self.preface(matched, bytes),
            State::Head => self.header(chunk, bytes, on),
            State::Lead => self.lead(chunk, bytes, on),
            State::Fragment => self.fragment(chunk, bytes, on),
            State::Settings => self.settings(chunk, bytes, on),
            State::Skip => {
                if self.side(chunk.direction).looks {
                    self.look(chunk, bytes);
                }
                let used = self.side(chunk.direction).take(bytes.len());
                self.settle(chunk, on);
                used
            }
            State::Search => self.search(chunk, bytes, on),
            State::Opaque => self.side(chunk.direction).pass(bytes.len(), on),
        }
    }

    fn preface(&mut self, matched: usize, bytes: &[u8]) -> usize {
        let expected = PREFACE.get(matched..).unwrap_or_default();
        let same = expected.iter().zip(bytes).take_while(|(expected, met)| expected == met).count();
        let side = &mut self.to_server;
        if same < expected.len().min(bytes.len()) {
            side.search().seed(PREFACE.get(..matched).unwrap_or_default());
            side.offset -= wide(matched);
            self.begin_late(Direction::ToServer);
            self.to_client.decoder.lose();
            return 0;
        }
        side.offset += wide(same);
        side.state = if same == expected.len() { State::Head } else { State::Preface(matched + same) };
        same
    }

    /// Begins a frame, once its header is there.
    fn header(&mut self, chunk: &Chunk<'_>, bytes: &[u8], on: Emit<'_>) -> usize {
        let side = self.side(chunk.direction);
        let held = side.small.len();
        let Some((header, used)) = side.small.gather::<{ frame::HEADER }>(bytes) else {
            if held == 0 {
                side.start_time = chunk.time;
            }
            side.offset += wide(bytes.len());
            return bytes.len();
        };
        if held == 0 {
            side.start_time = chunk.time;
        }
        let frame = frame::Frame::read(&header);
        if self.accepts(chunk.direction, frame) {
            let side = self.side(chunk.direction);
            side.offset += wide(used);
            side.begin(frame);
            self.begin_frame(chunk, on);
            return used;
        }
        let side = self.side(chunk.direction);
        if held > 0 {
            side.search().seed(header.get(..held).unwrap_or_default());
            side.offset -= wide(held);
        }
        side.small.clear();
        let late = side.fresh;
        self.lose_place(chunk, (!late).then_some(ParseErrorKind::Http2Frame), on);
        0
    }

    /// True where the frame may come now.
    fn accepts(&mut self, direction: Direction, frame: frame::Frame) -> bool {
        let side = self.side(direction);
        // A server begins with its settings; one that does not is seen from somewhere on.
        let begins = !side.fresh || (frame.kind == frame::Kind::Settings && !frame.is_ack());
        let continues = frame.kind == frame::Kind::Continuation;
        let in_order = match &side.block {
            Some(block) => continues && block.stream == frame.stream,
            None => !continues || !side.decoder.is_complete(),
        };
        begins && in_order && frame.is_valid(direction, side.largest)
    }

    fn begin_frame(&mut self, chunk: &Chunk<'_>, on: Emit<'_>) {
        let side = self.side(chunk.direction);
        side.fresh = false;
        match side.frame.kind {
            frame::Kind::Data if side.state == State::Skip => self.count(chunk, 0),
            frame::Kind::Continuation if side.block.is_none() => {
                // The end of a block whose beginning was not seen.
                side.decoder.lose();
                side.state = State::Skip;
            }
            _ => {}
        }
        self.settle(chunk, on);
    }

    /// Counts what a `DATA` frame carries; `beside` of its bytes are none of the body.
    fn count(&mut self, chunk: &Chunk<'_>, beside: u32) {
        let frame = self.side(chunk.direction).frame;
        if let Some(stream) = self.streams.see(frame.stream, (chunk.direction, chunk.time)) {
            stream.half(chunk.direction).bytes += u64::from(frame.length.saturating_sub(beside));
            let looks = chunk.direction == Direction::ToClient && stream.web.is_some();
            self.side(chunk.direction).looks = looks;
        }
    }

    /// Looks into what a `DATA` frame of gRPC-Web carries.
    fn look(&mut self, chunk: &Chunk<'_>, bytes: &[u8]) {
        let side = self.side(chunk.direction);
        let (frame, wanted) = (side.frame, side.left.saturating_sub(side.pad) as usize);
        let Some(stream) = self.streams.see(frame.stream, (chunk.direction, chunk.time)) else { return };
        let Some(web) = &mut stream.web else { return };
        if stream.response.has_gap {
            web.lose();
        }
        web.take(bytes.get(..wanted).unwrap_or(bytes));
    }

    /// What stands before the frame's content.
    fn lead(&mut self, chunk: &Chunk<'_>, bytes: &[u8], on: Emit<'_>) -> usize {
        let side = self.side(chunk.direction);
        let needed = side.frame.lead() as usize;
        let held = side.small.len();
        let Some((lead, used)) = side.small.gather_some(needed, bytes) else {
            return side.take(bytes.len());
        };
        side.take(used);
        debug_assert_eq!(held + used, needed);
        let frame = side.frame;
        let pad = if frame.is_padded() { lead.first().copied().unwrap_or(0).into() } else { 0 };
        if pad > side.left {
            self.lose_place(chunk, Some(ParseErrorKind::Http2Frame), on);
            return used;
        }
        let number = |at: usize| {
            lead.get(at..at + 4)
                .map_or(0, |bytes| bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
        };
        side.pad = pad;
        side.state = State::Skip;
        match frame.kind {
            frame::Kind::Headers | frame::Kind::Promise => side.state = State::Fragment,
            frame::Kind::Data => self.count(chunk, 1 + pad),
            frame::Kind::Reset => {
                self.streams.abort(frame.stream, chunk.time, frame::error_name(number(0)), on);
            }
            frame::Kind::GoAway if chunk.direction == Direction::ToClient => {
                let error = if number(4) == 0 { "goaway" } else { frame::error_name(number(4)) };
                self.streams.go_away(number(0) & 0x7fff_ffff, (chunk.time, error), on);
            }
            _ => {}
        }
        self.settle(chunk, on);
        used
    }

    fn settings(&mut self, chunk: &Chunk<'_>, bytes: &[u8], on: Emit<'_>) -> usize {
        let side = self.side(chunk.direction);
        let Some((setting, used)) = side.small.gather::<6>(bytes) else {
            return side.take(bytes.len());
        };
        side.take(used);
        let [high, low, value @ ..] = setting;
        let value = u32::from_be_bytes(value);
        // Settings bind the other end.
        let other = self.side(match chunk.direction {
            Direction::ToServer => Direction::ToClient,
            Direction::ToClient => Direction::ToServer,
        });
        match u16::from_be_bytes([high, low]) {
            1 => other.decoder.allow(value),
            5 => other.largest = other.largest.max(value.min(frame::LARGEST_FRAME)),
            _ => {}
        }
        self.settle(chunk, on);
        used
    }

    /// Goes on to the next frame where this one is over.
    fn settle(&mut self, chunk: &Chunk<'_>, on: Emit<'_>) {
        let side = self.side(chunk.direction);
        if side.state == State::Fragment && side.left == side.pad {
            self.end_fragment(chunk, &[], on);
        }
        let side = self.side(chunk.direction);
        if side.left > 0 || !matches!(side.state, State::Skip | State::Settings) {
            return;
        }
        side.state = State::Head;
        side.small.clear();
        let frame = side.frame;
        if side.block.as_ref().is_some_and(|block| block.is_lost) && frame.ends_block() {
            self.end_block(chunk, &[], on);
        }
        if frame.kind == frame::Kind::Data && frame.ends_stream() {
            match chunk.direction {
                Direction::ToServer => self.streams.end_request(frame.stream, chunk.time, on),
                Direction::ToClient => self.streams.end_response(frame.stream, chunk.time, on),
            }
        }
    }

    /// Bytes are missing.
    fn skip(&mut self, chunk: &Chunk<'_>, on: Emit<'_>) {
        let side = self.side(chunk.direction);
        match side.state {
            State::Opaque => {}
            State::Search => side.forget(on),
            State::Preface(matched) => {
                side.offset -= wide(matched);
                side.pass(matched, on);
                self.begin_late(chunk.direction);
                self.to_client.decoder.lose();
            }
            State::Head => {
                let held = side.small.len();
                side.offset -= wide(held);
                side.pass(held, on);
                let late = side.fresh;
                self.lose_place(chunk, (!late).then_some(ParseErrorKind::Gap), on);
            }
            State::Lead | State::Fragment | State::Settings | State::Skip => {
                if side.state != State::Skip {
                    self.lose_content(chunk, on);
                }
                self.lose_body(chunk);
                let side = self.side(chunk.direction);
                let within = u32::try_from(chunk.missing).map_or(side.left, |missing| missing.min(side.left));
                side.left -= within;
                side.state = State::Skip;
                self.settle(chunk, on);
                if chunk.missing > within.into() {
                    self.lose_place(chunk, Some(ParseErrorKind::Gap), on);
                }
            }
        }
    }

    /// What was missed of the frame may be bytes of a body that is looked into.
    fn lose_body(&mut self, chunk: &Chunk<'_>) {
        let side = self.side(chunk.direction);
        let (frame, looks) = (side.frame, side.looks);
        let seen = (chunk.direction, chunk.time);
        if looks
            && let Some(web) = self.streams.see(frame.stream, seen).and_then(|stream| stream.web.as_mut())
        {
            web.lose();
        }
    }

    /// What was missed of the frame is more than bytes of a body.
    fn lose_content(&mut self, chunk: &Chunk<'_>, on: Emit<'_>) {
        let side = self.side(chunk.direction);
        let frame = side.frame;
        side.small.clear();
        match frame.kind {
            frame::Kind::Headers | frame::Kind::Promise | frame::Kind::Continuation => {
                if let Some(block) = &mut side.block {
                    block.is_lost = true;
                }
            }
            frame::Kind::Data => {
                // How much of it was padding is not known.
                self.count(chunk, 1);
                if let Some(stream) = self.streams.see(frame.stream, (chunk.direction, chunk.time)) {
                    stream.half(chunk.direction).has_gap = true;
                }
            }
            frame::Kind::Reset => self.streams.abort(frame.stream, chunk.time, frame::error_name(0), on),
            frame::Kind::Settings => self.other(chunk.direction).relax(),
            _ => {}
        }
    }

    /// Looks for the next frame from here on.
    fn lose_place(&mut self, chunk: &Chunk<'_>, kind: Option<ParseErrorKind>, on: Emit<'_>) {
        let side = self.side(chunk.direction);
        let (offset, direction) = (side.offset, chunk.direction);
        let block = side.block.as_mut().map(|block| block.is_lost = true);
        if block.is_some() {
            // Tells by itself what is lost with it.
            self.end_block(chunk, &[], on);
        }
        self.begin_late(direction);
        if let Some(kind) = kind.filter(|_| block.is_none()) {
            on(Event::Refused { direction, error: ParseError { offset, direction, kind } });
        }
    }

    fn begin_late(&mut self, direction: Direction) {
        let side = self.side(direction);
        side.state = State::Search;
        side.fresh = false;
        side.small.clear();
        side.decoder.lose();
        side.relax();
        self.streams.lose(direction);
        self.other(direction).relax();
    }

    const fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    const fn other(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::ToServer => &mut self.to_client,
            Direction::ToClient => &mut self.to_server,
        }
    }
}

impl Parser for Http2 {
    fn feed(&mut self, chunk: Chunk<'_>, on: &mut dyn FnMut(Event<'_>)) {
        if chunk.missing > 0 {
            self.skip(&chunk, on);
            let side = self.side(chunk.direction);
            side.offset += chunk.missing;
            if side.state == State::Search {
                side.search().begin_at_edge();
            }
        }
        let mut rest = chunk.bytes;
        while !rest.is_empty() {
            let used = self.step(&chunk, rest, on);
            rest = rest.get(used..).unwrap_or_default();
        }
        self.fields.release();
    }

    fn close(&mut self, direction: Direction, time: UnixNanos, on: &mut dyn FnMut(Event<'_>)) {
        let side = self.side(direction);
        if side.state == State::Opaque {
            return;
        }
        side.forget(on);
        let lost = side.state == State::Search;
        if side.state == State::Head {
            // The beginning of a frame's header.
            let held = side.small.len();
            side.offset -= wide(held);
            side.pass(held, on);
        }
        // What has been counted of a body, but did not come.
        let (frame, missing) = (side.frame, u64::from(side.left.saturating_sub(side.pad)));
        let in_data = side.state == State::Skip && frame.kind == frame::Kind::Data;
        if side.block.is_some() {
            let error = ParseError { offset: side.offset, direction, kind: ParseErrorKind::Truncated };
            on(Event::Refused { direction, error });
            side.block = None;
        }
        side.state = State::Opaque;
        if lost {
            self.streams.lose(direction);
        }
        if let Some(stream) = self.streams.see(frame.stream, (direction, time)).filter(|_| in_data) {
            let half = stream.half(direction);
            half.bytes = half.bytes.saturating_sub(missing);
        }
        match direction {
            Direction::ToServer => self.streams.close_requests(time, on),
            Direction::ToClient => self.streams.close_responses(time, on),
        }
    }

    /// Streams tell what belongs together; nothing has to be said from outside.
    fn realign(&mut self, _: usize, _: &mut dyn FnMut(Event<'_>)) {}

    fn held_bytes(&self) -> usize {
        let sides = self.to_server.held_bytes() + self.to_client.held_bytes();
        sides + self.streams.held_bytes() + self.fields.held_bytes()
    }
}

/// A length in memory always fits 64 bits.
fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
