//! Conversations of many streams, whose exchanges carry marks that tell them apart.

use super::{
    CONTINUATION, DATA, Dice, END_HEADERS, END_STREAM, Encoder, HEADERS, PADDED, PING, PRIORITY, RESET,
    WINDOW, frame, opening,
};
use crate::stream::{ToClient, ToServer, Turns};

/// What a conversation is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) streams: usize,
    /// Streams under way at once.
    pub(crate) at_once: usize,
    /// Padding, priorities, continuations, promises of extensions, resets; else what usual programs send.
    pub(crate) rich: bool,
    pub(crate) seed: u64,
}

/// What is known of an exchange by its mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark(pub(crate) usize);

impl Mark {
    pub(crate) fn path(self) -> String {
        if self.is_grpc() { format!("/shop.v1.Cart/M{}", self.0) } else { format!("/item/{}?page=2", self.0) }
    }

    pub(crate) fn of_path(path: &str) -> Option<Self> {
        // Where it was not seen that it is gRPC, the path is that of a request as any other.
        let path = path.trim_start_matches('/');
        let number = path.strip_prefix("item/").or_else(|| path.strip_prefix("shop.v1.Cart/M"))?;
        Some(Self(number.parse().ok()?))
    }

    pub(crate) fn is_grpc(self) -> bool {
        self.0.is_multiple_of(3)
    }

    /// The status of HTTP; for gRPC always 200.
    pub(crate) fn status(self) -> u16 {
        if self.is_grpc() { 200 } else { 200 + (self.0 % 389) as u16 }
    }

    pub(crate) fn grpc_status(self) -> u32 {
        (self.0 / 3 % 17) as u32
    }

    pub(crate) fn request_bytes(self) -> usize {
        if self.0.is_multiple_of(2) { 0 } else { self.0 % 97 + 1 }
    }

    pub(crate) fn response_bytes(self) -> usize {
        self.0 * 7 % 601
    }

    /// Given up by one of the ends; in rich conversations only.
    pub(crate) fn is_reset(self) -> bool {
        self.0 % 23 == 5
    }

    pub(crate) fn trace_id(self) -> String {
        format!("{:032x}", 0x1_0000 + self.0)
    }
}

/// A stream under way: what is still to be said.
struct Open {
    id: u32,
    mark: Mark,
    /// Of the request: bytes to come, or nothing.
    request: Option<usize>,
    head_sent: bool,
    response: usize,
}

/// Makes a conversation: each turn one or more frames of a direction.
pub(crate) fn talk(plan: Plan) -> Turns {
    let mut talk = Talk {
        turns: opening(),
        dice: Dice::new(plan.seed),
        plan,
        encoders: [Encoder::new(), Encoder::new()],
    };
    let (mut open, mut begun) = (Vec::<Open>::new(), 0);
    while begun < plan.streams || !open.is_empty() {
        let may_begin = begun < plan.streams && open.len() < plan.at_once;
        if may_begin && (open.is_empty() || talk.dice.below(open.len() + 1) < 1 + open.len() / 2) {
            open.push(talk.begin(begun));
            begun += 1;
            continue;
        }
        let at = talk.dice.below(open.len());
        if talk.advance(&mut open[at]) {
            open.swap_remove(at);
        }
        talk.between();
    }
    talk.turns
}

struct Talk {
    turns: Turns,
    dice: Dice,
    plan: Plan,
    encoders: [Encoder; 2],
}

impl Talk {
    fn say(&mut self, to_client: bool, bytes: Vec<u8>) {
        let direction = if to_client { ToClient } else { ToServer };
        self.turns.push((direction, bytes));
    }

    fn begin(&mut self, number: usize) -> Open {
        let (id, mark) = (u32::try_from(2 * number + 1).unwrap(), Mark(number));
        let parent = format!("00-{}-{:016x}-01", mark.trace_id(), number + 1);
        let (path, number) = (mark.path(), number.to_string());
        let method = if mark.is_grpc() || mark.request_bytes() > 0 { "POST" } else { "GET" };
        let mut fields =
            vec![(":method", method), (":scheme", "http"), (":path", &path), (":authority", "shop:80")];
        if mark.is_grpc() {
            fields.extend([("content-type", "application/grpc"), ("te", "trailers")]);
        }
        fields.extend([("user-agent", "talk/1"), ("x-number", &number), ("traceparent", &parent)]);
        let left = mark.request_bytes();
        let ends = left == 0;
        self.headers(false, (id, ends), &fields);
        Open { id, mark, request: (!ends).then_some(left), head_sent: false, response: mark.response_bytes() }
    }

    /// Says something more of a stream; true where that was the last.
    fn advance(&mut self, open: &mut Open) -> bool {
        if self.plan.rich && open.mark.is_reset() {
            let to_client = self.dice.one_in(2);
            let reset = frame(RESET, 0, open.id, &[0, 0, 0, 8]);
            self.say(to_client, reset);
            return true;
        }
        match open.request {
            Some(left) if self.dice.one_in(2) || open.response == 0 => {
                let part = if self.dice.one_in(2) { left } else { self.dice.below(left) };
                self.data(false, (open.id, part == left), part);
                open.request = (part < left).then_some(left - part);
                return false;
            }
            _ => {}
        }
        if !open.head_sent {
            self.head(open);
            return open.response == 0 && !open.mark.is_grpc() && open.request.is_none();
        }
        self.body(open)
    }

    fn head(&mut self, open: &mut Open) {
        let status = open.mark.status().to_string();
        if self.plan.rich && self.dice.one_in(9) {
            self.headers(true, (open.id, false), &[(":status", "103"), ("link", "</a>")]);
        }
        let date = format!("Mon, {:02} Oct 2025 10:00:00 GMT", self.dice.below(28));
        let mut fields = vec![(":status", status.as_str()), ("server", "talk"), ("date", &date)];
        if open.mark.is_grpc() {
            fields.push(("content-type", "application/grpc"));
        }
        let ends = open.response == 0 && !open.mark.is_grpc() && open.request.is_none();
        self.headers(true, (open.id, ends), &fields);
        open.head_sent = true;
    }

    fn body(&mut self, open: &mut Open) -> bool {
        let part = if self.dice.one_in(2) { open.response } else { self.dice.below(open.response) };
        // The request is over before the response is: what a span tells of it is then certain.
        let last = part == open.response && open.request.is_none();
        let part = if part == open.response && !last { part / 2 } else { part };
        if open.response > 0 || !open.mark.is_grpc() {
            self.data(true, (open.id, last && !open.mark.is_grpc()), part);
        }
        open.response -= part;
        if last && open.mark.is_grpc() {
            let status = open.mark.grpc_status().to_string();
            self.headers(true, (open.id, true), &[("grpc-status", &status), ("grpc-message", "so")]);
        }
        last
    }

    fn data(&mut self, to_client: bool, (id, ends): (u32, bool), bytes: usize) {
        // What looks like frames, now and then.
        let mut body: Vec<u8> = (0..bytes).map(|_| self.dice.roll() as u8 & 0x0f).collect();
        let mut flags = if ends { END_STREAM } else { 0 };
        if self.plan.rich && self.dice.one_in(4) {
            let pad = self.dice.below(20);
            body.insert(0, pad as u8);
            body.resize(body.len() + pad, 0);
            flags |= PADDED;
        }
        self.say(to_client, frame(DATA, flags, id, &body));
    }

    fn headers(&mut self, to_client: bool, (id, ends): (u32, bool), fields: &[(&str, &str)]) {
        let encoder = &mut self.encoders[usize::from(to_client)];
        if self.plan.rich && self.dice.one_in(40) {
            encoder.resize(self.dice.below(4097));
        }
        let block =
            if self.plan.rich { encoder.block(fields, &mut self.dice) } else { encoder.usual(fields) };
        let mut flags = if ends { END_STREAM } else { 0 };
        if !self.plan.rich {
            return self.say(to_client, frame(HEADERS, flags | END_HEADERS, id, &block));
        }
        let mut cuts: Vec<_> = (0..self.dice.below(3)).map(|_| self.dice.below(block.len())).collect();
        cuts.extend([0, block.len()]);
        cuts.sort_unstable();
        let (mut first, mut padding) = (Vec::new(), 0);
        if self.dice.one_in(4) {
            padding = self.dice.below(9);
            first.push(padding as u8);
            flags |= PADDED;
        }
        if self.dice.one_in(4) {
            first.extend([0, 0, 0, 0, 16]);
            flags |= PRIORITY;
        }
        let count = cuts.len() - 1;
        let mut bytes = Vec::new();
        for (number, part) in cuts.windows(2).enumerate() {
            let last = if number + 1 == count { END_HEADERS } else { 0 };
            let part = &block[part[0]..part[1]];
            bytes.extend(match number {
                0 => frame(HEADERS, flags | last, id, &[&first, part, &vec![0; padding]].concat()),
                _ => frame(CONTINUATION, last, id, part),
            });
        }
        self.say(to_client, bytes);
    }

    /// What connections say beside their streams.
    fn between(&mut self) {
        if !self.plan.rich {
            return;
        }
        let to_client = self.dice.one_in(2);
        match self.dice.below(20) {
            0 => self.say(to_client, frame(PING, 0, 0, b"abcdefgh")),
            1 => self.say(to_client, frame(WINDOW, 0, 0, &[0, 0, 1, 0])),
            2 => self.say(to_client, frame(0xbe, 0xff, 77, b"of an extension")),
            3 => self.say(to_client, frame(super::SETTINGS, 1, 0, &[])),
            _ => {}
        }
    }
}
