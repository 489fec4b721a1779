//! The streams of a connection whose exchanges are under way.

use otlp_core::UnixNanos;

use super::{Direction, Emit, End, Event, Exchange, Response, ResponseHead};
use crate::parse::few::Few;
use crate::parse::grpc::web::{Told, Web};

/// One exchange.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) is_connect: bool,
    pub(super) is_grpc: bool,
    /// Its request was told late, when the answer may have passed.
    pub(super) is_late: bool,
    pub(super) request: Half,
    pub(super) response: Half,
    pub(super) request_ended: bool,
    /// The head of the response has come.
    pub(super) answered: bool,
    pub(super) status: Option<u16>,
    pub(super) grpc_status: Option<u32>,
    /// What looks into the body of the response.
    pub(super) web: Option<Box<Web>>,
    pub(super) first_byte: UnixNanos,
    /// When something of the response was seen last.
    pub(super) last: UnixNanos,
}

impl Stream {
    pub(super) const fn half(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::ToServer => &mut self.request,
            Direction::ToClient => &mut self.response,
        }
    }

    /// Whether the body of the response has told the status of a call, with which it is complete.
    fn is_told(&self) -> bool {
        self.web.as_ref().is_some_and(|web| matches!(web.told(), Told::Code(_)))
    }
}

/// One direction of an exchange.
#[derive(Debug, Default)]
pub(super) struct Half {
    pub(super) bytes: u64,
    /// Some of it was lost.
    pub(super) has_gap: bool,
    /// Times that the direction had lost its place when the stream was seen last: where it has since, more of the
    /// stream may have been lost with it.
    losses: u32,
}

impl Half {
    fn see(&mut self, losses: u32) {
        self.has_gap |= self.losses != losses;
        self.losses = losses;
    }

    const fn end(&self) -> End {
        if self.has_gap { End::Gap } else { End::Complete }
    }
}

/// All exchanges under way.
#[derive(Debug)]
pub(super) struct Streams {
    map: Few<Box<Stream>>,
    limit: usize,
    /// Times that each direction has lost its place: to the server, to the client.
    losses: [u32; 2],
    /// The last loss after which no doubtful stream is left.
    sifted: u32,
    /// The connection was HTTP/1 before: its first stream answers the request that asked for the upgrade.
    pub(super) upgraded: bool,
}

impl Streams {
    pub(super) fn new(limit: usize) -> Self {
        Self { map: Few::new(), limit, losses: [0; 2], sifted: 0, upgraded: false }
    }

    pub(super) const fn exchange(&self, id: u32) -> Exchange {
        if self.upgraded && id == 1 { Exchange::InOrder } else { Exchange::Numbered(id as u64) }
    }

    pub(super) fn contains(&self, id: u32) -> bool {
        self.map.get(id.into()).is_some()
    }

    /// Notes that a direction has lost its place, or found it again.
    pub(super) fn lose(&mut self, direction: Direction) {
        let losses = self.losses_of(direction);
        *losses = losses.wrapping_add(1);
    }

    const fn losses_of(&mut self, direction: Direction) -> &mut u32 {
        let [to_server, to_client] = &mut self.losses;
        match direction {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        }
    }

    /// The stream, of whose request or response something has been seen.
    pub(super) fn see(&mut self, id: u32, (direction, time): (Direction, UnixNanos)) -> Option<&mut Stream> {
        let losses = *self.losses_of(direction);
        let stream = self.map.get_mut(id.into())?.as_mut();
        match direction {
            Direction::ToServer => stream.request.see(losses),
            Direction::ToClient => {
                stream.response.see(losses);
                stream.last = time;
            }
        }
        Some(stream)
    }

    /// Makes room for a stream: those whose answer may have been lost are given up, the older half of them.
    pub(super) fn make_room(&mut self, on: Emit<'_>) {
        let [_, losses] = self.losses;
        if self.map.len() < self.limit || self.sifted == losses {
            return;
        }
        let mut doubtful = self.numbers(|_, stream| stream.response.losses != losses);
        if doubtful.len() < 2 {
            self.sifted = losses;
        }
        doubtful.truncate(doubtful.len().div_ceil(2));
        doubtful.into_iter().for_each(|id| self.give_up(id, on));
    }

    /// Follows a stream, where there is room.
    pub(super) fn open(&mut self, id: u32, mut stream: Stream) {
        [stream.request.losses, stream.response.losses] = self.losses;
        if stream.is_late {
            // As if a loss had been since.
            stream.response.losses = stream.response.losses.wrapping_sub(1);
            self.sifted = stream.response.losses;
        }
        if self.map.len() < self.limit {
            self.map.insert(id.into(), Box::new(stream));
        }
    }

    /// Ends the request.
    pub(super) fn end_request(&mut self, id: u32, time: UnixNanos, on: Emit<'_>) {
        let exchange = self.exchange(id);
        if let Some(stream) = self.see(id, (Direction::ToServer, time)).filter(|stream| !stream.request_ended)
        {
            stream.request_ended = true;
            let (body_bytes, end) = (stream.request.bytes, stream.request.end());
            on(Event::RequestEnd { exchange, time, body_bytes, end });
        }
    }

    /// Ends the exchange with its response.
    pub(super) fn end_response(&mut self, id: u32, time: UnixNanos, on: Emit<'_>) {
        let _ = self.see(id, (Direction::ToClient, time));
        if let Some(stream) = self.remove(id) {
            let end = stream.response.end();
            self.respond((id, &stream), (time, end), on);
        }
    }

    /// Ends the exchange without one.
    pub(super) fn abort(&mut self, id: u32, time: UnixNanos, error: &'static str, on: Emit<'_>) {
        match self.remove(id) {
            // Its status has come in the body: the end of the stream adds nothing to it, and not every client waits
            // for that.
            Some(stream) if stream.is_told() => {
                self.respond((id, &stream), (time, stream.response.end()), on);
            }
            Some(_) => on(Event::Aborted { exchange: self.exchange(id), time, error }),
            None => {}
        }
    }

    /// Ends those that the server says it will not answer.
    pub(super) fn go_away(&mut self, last: u32, (time, error): (UnixNanos, &'static str), on: Emit<'_>) {
        for id in self.numbers(|id, _| id > last) {
            self.abort(id, time, error, on);
        }
    }

    /// The client has closed.
    pub(super) fn close_requests(&mut self, time: UnixNanos, on: Emit<'_>) {
        for id in self.numbers(|_, stream| !stream.request_ended) {
            let exchange = self.exchange(id);
            if let Some(stream) = self.see(id, (Direction::ToServer, time)) {
                stream.request_ended = true;
                let end = if stream.request.has_gap { End::Gap } else { End::Truncated };
                on(Event::RequestEnd { exchange, time, body_bytes: stream.request.bytes, end });
            }
        }
    }

    /// The server has closed: what has no answer although nothing was lost stays without one.
    pub(super) fn close_responses(&mut self, time: UnixNanos, on: Emit<'_>) {
        let [_, losses] = self.losses;
        for id in self.numbers(|_, _| true) {
            match self.map.get(id.into()) {
                Some(stream) if stream.response.losses != losses => self.give_up(id, on),
                Some(stream) if stream.answered => {
                    let end = match stream.response.end() {
                        End::Complete if !stream.is_told() => End::Truncated,
                        end => end,
                    };
                    if let Some(stream) = self.remove(id) {
                        self.respond((id, &stream), (time, end), on);
                    }
                }
                Some(_) | None => {}
            }
        }
        self.map = Few::new();
    }

    pub(super) fn held_bytes(&self) -> usize {
        let each =
            |stream: &Stream| size_of::<Stream>() + stream.web.as_ref().map_or(0, |web| web.held_bytes());
        self.map.held_bytes() + self.map.iter().map(|(_, stream)| each(stream)).sum::<usize>()
    }

    /// Gives up a stream whose answer, or the end of it, may have been lost.
    fn give_up(&mut self, id: u32, on: Emit<'_>) {
        let exchange = self.exchange(id);
        match self.remove(id) {
            Some(stream) if stream.answered => self.respond((id, &stream), (stream.last, End::Gap), on),
            Some(_) => on(Event::Lost { exchange }),
            None => {}
        }
    }

    /// Tells a response on a stream that is not followed: what comes of it behind its head is not counted.
    pub(super) fn respond_unasked(&self, id: u32, stream: &Stream, time: UnixNanos, on: Emit<'_>) {
        self.respond((id, stream), (time, End::Gap), on);
    }

    fn respond(&self, (id, stream): (u32, &Stream), (time, end): (UnixNanos, End), on: Emit<'_>) {
        let told = stream.web.as_ref().map(|web| web.told());
        let of_body = if let Some(Told::Code(code)) = told { Some(code) } else { None };
        on(Event::Response {
            exchange: self.exchange(id),
            first_byte: if stream.answered { stream.first_byte } else { time },
            time,
            head: ResponseHead::Http2(Response {
                status: stream.status,
                is_grpc: stream.is_grpc,
                grpc_status: stream.grpc_status.or(of_body),
                is_unread: told == Some(Told::Unknown),
            }),
            body_bytes: stream.response.bytes,
            end,
        });
    }

    fn numbers(&self, wanted: impl Fn(u32, &Stream) -> bool) -> Vec<u32> {
        let mut numbers: Vec<_> =
            self.iter().filter(|(id, stream)| wanted(*id, stream)).map(|(id, _)| id).collect();
        numbers.sort_unstable();
        numbers
    }

    fn remove(&mut self, id: u32) -> Option<Box<Stream>> {
        self.map.remove(id.into())
    }

    /// All, in no order.
    fn iter(&self) -> impl Iterator<Item = (u32, &Stream)> {
        self.map.iter().filter_map(|(id, stream)| Some((u32::try_from(id).ok()?, stream.as_ref())))
    }
}
