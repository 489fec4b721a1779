//! Header blocks: gathered, read, and what they mean for their stream.

use super::side::{Block, State};
use super::stream::Stream;
use super::{
    Chunk, Direction, Emit, Event, Headers, Http2, ParseError, ParseErrorKind, Request, RequestHead,
    ResponseHeaders, grpc,
};
use crate::parse::grpc::web::Web;

/// A header block, read.
struct Read<'b> {
    block: &'b Block,
    /// Why it could not be read to its end.
    fault: Option<ParseErrorKind>,
}

impl Http2 {
    /// Takes a part of a header block.
    pub(super) fn fragment(&mut self, chunk: &Chunk<'_>, bytes: &[u8], on: Emit<'_>) -> usize {
        let limit = self.bounds.block_bytes();
        let side = self.side(chunk.direction);
        let wanted = (side.left - side.pad) as usize;
        let part = bytes.get(..wanted).unwrap_or(bytes);
        side.take(part.len());
        if part.len() == wanted {
            self.end_fragment(chunk, part, on);
            self.settle(chunk, on);
        } else if let Some(block) = &mut side.block {
            block.hold(part, limit);
        }
        part.len()
    }

    /// Ends the part of a header block that is in this frame with its last bytes.
    pub(super) fn end_fragment(&mut self, chunk: &Chunk<'_>, last: &[u8], on: Emit<'_>) {
        let limit = self.bounds.block_bytes();
        let side = self.side(chunk.direction);
        side.state = State::Skip;
        if side.frame.ends_block() {
            self.end_block(chunk, last, on);
        } else if let Some(block) = &mut side.block {
            block.hold(last, limit);
        }
    }

    /// Reads the header block under way, of which these are the last bytes.
    pub(super) fn end_block(&mut self, chunk: &Chunk<'_>, last: &[u8], on: Emit<'_>) {
        let limit = self.bounds.block_bytes();
        let Some(mut block) = self.side(chunk.direction).block.take() else { return };
        let whole = if block.held.is_empty() && !block.is_lost && last.len() <= limit {
            last
        } else {
            block.hold(last, limit);
            &block.held
        };
        let Self { bounds, fields, to_server, to_client, .. } = self;
        let decoder = match chunk.direction {
            Direction::ToServer => &mut to_server.decoder,
            Direction::ToClient => &mut to_client.decoder,
        };
        fields.clear();
        let outcome = decoder.decode(whole, |field| fields.push(field, *bounds));
        let fault = match outcome {
            _ if block.is_lost => Some(ParseErrorKind::Gap),
            _ if block.is_too_long => {
                Some(ParseErrorKind::Limit { what: "head_bytes", limit: super::wide(bounds.head_bytes) })
            }
            Err(fault) => Some(ParseErrorKind::Hpack(fault)),
            Ok(()) => None,
        };
        if fault.is_some() {
            decoder.lose();
        }
        fields.has_gap = block.is_lost || matches!(fault, Some(ParseErrorKind::Hpack(_)));
        fields.is_truncated |= block.is_too_long;
        if !block.is_promise {
            let read = Read { block: &block, fault };
            match chunk.direction {
                Direction::ToServer => self.request_block(chunk, &read, on),
                Direction::ToClient => self.response_block(chunk, &read, on),
            }
        }
    }

    /// A request, or its trailers.
    fn request_block(&mut self, chunk: &Chunk<'_>, read: &Read<'_>, on: Emit<'_>) {
        let Read { block, fault } = *read;
        let id = block.stream;
        if self.fields.is_request() {
            self.streams.make_room(on);
            let request = Request { fields: &self.fields };
            on(Event::Request {
                exchange: self.streams.exchange(id),
                time: block.time,
                head: RequestHead::Http2(request),
            });
            let is_connect = request.method() == Some("CONNECT");
            let is_grpc = request.is_grpc();
            let is_late = block.is_lost;
            self.streams.open(id, Stream { is_connect, is_grpc, is_late, ..Stream::default() });
        } else if !self.streams.contains(id) && (fault.is_some() || self.fields.has_unknown) {
            refuse(chunk.direction, block, fault, on);
        }
        if block.ends_stream {
            self.streams.end_request(id, chunk.time, on);
        }
    }

    /// A response, an interim one, or trailers.
    fn response_block(&mut self, chunk: &Chunk<'_>, read: &Read<'_>, on: Emit<'_>) {
        let Read { block, fault } = *read;
        let (id, fields) = (block.stream, &self.fields);
        let exchange = self.streams.exchange(id);
        let status = fields.status();
        let unknown = fields.has_unknown || fields.has_gap;
        if let Some(status @ 100..=199) = status
            && !block.ends_stream
        {
            on(Event::Interim { status });
            return;
        }
        let Some(stream) = self.streams.see(id, (chunk.direction, chunk.time)) else {
            self.unasked(chunk, read, on);
            return;
        };
        if !stream.answered || status.is_some() {
            stream.answered = true;
            stream.first_byte = block.time;
            stream.status = status;
            // Of a response that begins here nothing was lost before.
            stream.response.has_gap = status.is_none();
            let headers = ResponseHeaders::Http2(Headers { fields });
            on(Event::ResponseBegins { exchange, headers });
        }
        let content_type = fields.value("content-type");
        stream.is_grpc |= content_type.is_some_and(grpc::is_content_type);
        if status.is_some() && content_type.is_some_and(grpc::web::is_content_type) {
            stream.is_grpc = true;
            stream.web = Web::of(Headers { fields }.iter()).map(Box::new);
        }
        match fields.value("grpc-status").and_then(grpc::status_code) {
            Some(code) => stream.grpc_status = Some(code),
            None => {
                let unknown = unknown && stream.is_grpc && block.ends_stream;
                stream.response.has_gap |= fault.is_some() || unknown;
            }
        }
        let is_tunnel = stream.is_connect && stream.status.is_some_and(|status| status / 100 == 2);
        if block.ends_stream || is_tunnel {
            self.streams.end_response(id, chunk.time, on);
        }
    }

    /// A response on a stream that is not followed: told at once, as nothing of it will be kept.
    fn unasked(&self, chunk: &Chunk<'_>, read: &Read<'_>, on: Emit<'_>) {
        let Read { block, fault } = *read;
        match self.fields.status() {
            // Those with even numbers are pushed.
            _ if block.stream.is_multiple_of(2) => {}
            Some(status) => {
                let response = Stream {
                    answered: true,
                    status: Some(status),
                    first_byte: block.time,
                    ..Stream::default()
                };
                self.streams.respond_unasked(block.stream, &response, chunk.time, on);
            }
            None if fault.is_some() => refuse(chunk.direction, block, fault, on),
            None => {}
        }
    }
}

fn refuse(direction: Direction, block: &Block, fault: Option<ParseErrorKind>, on: Emit<'_>) {
    let kind = fault.unwrap_or(ParseErrorKind::Gap);
    on(Event::Refused { direction, error: ParseError { offset: block.start, direction, kind } });
}

impl Block {
    fn hold(&mut self, part: &[u8], limit: usize) {
        if self.is_lost || self.is_too_long {
            return;
        }
        let room = limit.saturating_sub(self.held.len());
        self.is_too_long = part.len() > room;
        self.held.extend_from_slice(part.get(..room).unwrap_or(part));
    }
}
