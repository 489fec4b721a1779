//! A client and a server of a database, whose messages say their length first and who take turns: what the protocols of
//! SQL have in common. What the messages mean is for the [`Session`] of each.

use std::time::Duration;

use otlp_core::UnixNanos;

use super::frame::{Framer, HEADER, Message, Step, unparsed};
use super::turn::Turns;
use super::{Chunk, Direction, Event, ParseErrorKind};

type Emit<'e> = &'e mut dyn FnMut(Event<'_>);

/// What both directions of a connection know.
pub(super) trait Session {
    /// Bytes of the client's next header.
    fn client_header_size(&self, client: &Framer) -> usize;

    /// What follows on a header of the client; `part` tells one within a message.
    fn client_header(&mut self, header: [u8; HEADER], part: bool) -> Result<Body, ParseErrorKind>;

    /// Takes a message of the client.
    fn on_client(&mut self, message: &Message<'_>, time: UnixNanos, on: Emit<'_>) -> Then;

    /// Bytes of the server's next header.
    fn server_header_size(&self, server: &Framer) -> usize;

    /// What follows on a header of the server.
    fn server_header(&mut self, header: [u8; HEADER], part: bool) -> Result<Head, ParseErrorKind>;

    /// Takes a message of the server.
    fn on_server(&mut self, message: &Message<'_>, time: UnixNanos, on: Emit<'_>) -> Then;

    /// Passes over messages of the server that need not be looked into.
    fn pass(&mut self, server: &mut Framer, rest: &mut &[u8], time: UnixNanos);

    /// Takes note of bytes of the server that were passed over without a place; `holed` where some are missing before
    /// them.
    fn unparsed(&mut self, bytes: &[u8], holed: bool);

    /// Whether the server has still to answer something, other than what the client is still sending.
    fn owes(&self) -> bool;

    /// Whether the client, who speaks after the server, begins something new whose answer will be told.
    fn finds_place(&self, sides: &Sides) -> bool;

    /// The next byte of either direction begins a message, and nothing waits for an answer.
    fn begin_again(&mut self, on: Emit<'_>);

    /// Some of what the client asked is missed.
    fn lose_client(&mut self);

    /// Gives up what waits for an answer.
    fn lose_server(&mut self, on: Emit<'_>);

    /// Forgets everything: what follows is another protocol.
    fn forget(&mut self);
}

/// What follows on a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) length: u64,
    /// How much of it is to be given.
    pub(super) want: usize,
    /// Another part of the same message follows on it.
    pub(super) part: bool,
}

/// What a header of the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    Of(Body),
    /// A message by itself.
    Alone(Then),
    /// The beginning of a longer one.
    Longer,
}

/// What is to be done after a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    GoOn,
    /// What the client asked is answered.
    Answered,
    /// What the server says does not fit what was asked.
    Refuse(ParseErrorKind),
    /// What the client says is not valid.
    RefuseClient(ParseErrorKind),
    /// The connection goes on with something else.
    Leave,
}

/// The two directions, and whose turn it is.
#[derive(Debug)]
pub(super) struct Sides {
    pub(super) client: Framer,
    pub(super) server: Framer,
    pub(super) turns: Turns,
}

/// Both sides, and what they know.
#[derive(Debug)]
pub(super) struct Dialogue<S> {
    pub(super) sides: Sides,
    pub(super) session: S,
}

impl<S: Session> Dialogue<S> {
    /// Of a connection seen from its first byte.
    pub(super) fn new(session: S, quiet: Duration) -> Self {
        let client = Framer::new(Direction::ToServer);
        let server = Framer::new(Direction::ToClient);
        Self { sides: Sides { client, server, turns: Turns::new(quiet) }, session }
    }

    /// Neither side has a place.
    pub(super) const fn begin_lost(&mut self) {
        self.sides.client.begin_lost();
        self.sides.server.begin_lost();
    }

    pub(super) fn feed(&mut self, chunk: &Chunk<'_>, on: Emit<'_>) {
        self.sides.turns.hear(chunk);
        match chunk.direction {
            Direction::ToServer => self.client_says(chunk, on),
            Direction::ToClient => self.server_says(chunk, on),
        }
    }

    pub(super) fn close(&mut self, direction: Direction, on: Emit<'_>) {
        match direction {
            Direction::ToServer => self.sides.client.close(on),
            Direction::ToClient => self.sides.server.close(on),
        }
    }

    /// Heap bytes held of messages under way.
    pub(super) const fn held_bytes(&self) -> usize {
        self.sides.client.held_bytes() + self.sides.server.held_bytes()
    }

    fn client_says(&mut self, chunk: &Chunk<'_>, on: Emit<'_>) {
        let Sides { client, turns, .. } = &mut self.sides;
        // A message that the server answered before its end was seen ended in the hole, and with it perhaps others.
        let answered = chunk.missing > 0 && !turns.client && !client.is_between();
        if client.skip(chunk.missing) || answered {
            self.lose_client(ParseErrorKind::Gap, on);
        }
        let turns = &mut self.sides.turns;
        if chunk.bytes.is_empty() {
            turns.client |= chunk.missing > 0;
            return;
        }
        if !turns.client && chunk.missing == 0 {
            self.find_place(on);
        }
        self.sides.turns.client = true;
        let mut rest = chunk.bytes;
        loop {
            let Self { sides: Sides { client, turns, .. }, session } = self;
            if rest.is_empty() && client.is_between() {
                return;
            }
            let size = session.client_header_size(client);
            let step = match client.step(&mut rest, size, chunk.time) {
                Step::Header(header) => match session.client_header(header, client.is_part()) {
                    Ok(Body { length, want, part }) => {
                        client.body(length, want, part);
                        client.take_body(&mut rest)
                    }
                    Err(kind) => {
                        self.lose_client(kind, on);
                        continue;
                    }
                },
                step => step,
            };
            let then = match step {
                Step::More => return,
                Step::Header(_) | Step::Part => continue,
                Step::Unparsed(bytes) => {
                    turns.suspect |= session.owes();
                    unparsed(chunk, bytes, on);
                    return;
                }
                Step::Message(message) => session.on_client(&message, chunk.time, on),
            };
            client.release();
            self.then(then, on);
        }
    }

    fn server_says(&mut self, chunk: &Chunk<'_>, on: Emit<'_>) {
        if self.sides.server.skip(chunk.missing) {
            self.lose_server(ParseErrorKind::Gap, on);
        }
        if chunk.bytes.is_empty() {
            return;
        }
        self.sides.turns.client = false;
        let mut rest = chunk.bytes;
        loop {
            let Self { sides: Sides { server, .. }, session } = self;
            session.pass(server, &mut rest, chunk.time);
            if rest.is_empty() && server.is_between() {
                return;
            }
            let size = session.server_header_size(server);
            let step = match server.step(&mut rest, size, chunk.time) {
                Step::Header(header) => match session.server_header(header, server.is_part()) {
                    Ok(Head::Of(Body { length, want, part })) => {
                        server.body(length, want, part);
                        Ok(server.take_body(&mut rest))
                    }
                    Ok(Head::Longer) => continue,
                    Ok(Head::Alone(then)) => {
                        server.body(0, 0, false);
                        Err(then)
                    }
                    Err(kind) => Err(Then::Refuse(kind)),
                },
                step => Ok(step),
            };
            let then = match step {
                Err(then) => then,
                Ok(Step::More) => return,
                Ok(Step::Header(_) | Step::Part) => continue,
                Ok(Step::Unparsed(bytes)) => {
                    session.unparsed(bytes, chunk.missing > 0);
                    unparsed(chunk, bytes, on);
                    return;
                }
                Ok(Step::Message(message)) => session.on_server(&message, chunk.time, on),
            };
            server.release();
            self.then(then, on);
        }
    }

    fn then(&mut self, then: Then, on: Emit<'_>) {
        match then {
            Then::GoOn => {}
            Then::Answered => self.sides.turns.answered(self.session.owes()),
            Then::Refuse(kind) => self.lose_server(kind, on),
            Then::RefuseClient(kind) => self.lose_client(kind, on),
            Then::Leave => {
                on(Event::Left);
                self.session.forget();
                self.sides.client.leave(on);
                self.sides.server.leave(on);
            }
        }
    }

    /// The client speaks after the server.
    fn find_place(&mut self, on: Emit<'_>) {
        if self.sides.turns.is_new() && self.session.finds_place(&self.sides) {
            self.session.begin_again(on);
            self.sides.client.resume();
            self.sides.server.resume();
        }
    }

    fn lose_client(&mut self, kind: ParseErrorKind, on: Emit<'_>) {
        self.sides.turns.suspect |= self.session.owes();
        self.sides.client.lose(kind, on);
        self.session.lose_client();
    }

    fn lose_server(&mut self, kind: ParseErrorKind, on: Emit<'_>) {
        self.sides.turns.suspect = false;
        self.sides.server.lose(kind, on);
        self.session.lose_server(on);
    }
}
