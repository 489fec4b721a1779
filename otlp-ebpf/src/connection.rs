//! One connection, from bytes to spans.

use std::sync::Arc;

use otlp_core::UnixNanos;
use otlp_core::record::Span;

use crate::account::{Account, Tally};
use crate::database::Database;
use crate::id::IdSource;
use crate::join::ExchangeId;
use crate::pair::{Answered, Comes, Numbered, Opened, Pairing, Unfollowed};
use crate::parse::redis::Role;
use crate::parse::turn::{Rest, Turn};
use crate::parse::{
    Chunk, Direction, End, Event, Exchange, Expect, ParseError, ParseErrorKind, Parser, RequestHead,
    ResponseHead, ResponseHeaders,
};
use crate::service::Service;
use crate::span::{Draft, EncodedSpan, Ends, Parents, Placing};

/// Follows one connection: bytes in, spans and exact counts out. No clock, no socket.
///
/// ```
/// use std::sync::Arc;
/// use otlp_core::UnixNanos;
/// use otlp_ebpf::parse::infer::{Builtin, Protocol};
/// use otlp_ebpf::parse::{Chunk, Direction};
/// use otlp_ebpf::{Connection, Ends, IdSource, Limits, Service};
///
/// let cache = Arc::new(Service::new("cache", Arc::new(IdSource::seeded(1))));
/// let parser = Builtin::Redis.parser(&Limits::default());
/// let mut connection = Connection::new(cache, parser, Ends::default());
/// let mut spans = Vec::new();
/// let seen = [(Direction::ToServer, 10, "*2\r\n$3\r\nGET\r\n$5\r\n"), (Direction::ToServer, 11, "apple\r\n"),
///     (Direction::ToClient, 15, "$3\r\nred\r\n")];
/// for (direction, millis, bytes) in seen {
///     let chunk = Chunk::new(direction, UnixNanos::from_millis(millis), bytes.as_bytes());
///     connection.feed(chunk, &mut |span| spans.push(span));
/// }
/// assert_eq!((spans[0].name.as_str(), spans[0].duration().as_millis()), ("GET", 5));
/// assert!(connection.account().is_balanced());
/// ```
pub struct Connection {
    parser: Box<dyn Parser>,
    stitch: Stitch,
    closed: [bool; 2],
}

/// How the observation of a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// Both ends closed.
    Closed,
    /// One of them reset it.
    Reset,
    /// Nobody watches any more; what is in flight is lost.
    Shutdown,
}

/// Events to drafts to spans; apart from the parser, which calls it.
struct Stitch {
    service: Arc<Service>,
    ends: Ends,
    ids: Arc<IdSource>,
    parents: Parents,
    /// In-order requests counted from the first byte; `None` where some may have been missed.
    ordinal: Option<u64>,
    /// Boxed, so that a table of few holds little room for more.
    pairing: Pairing<Box<Draft>>,
    rest: Rest,
    /// What the client says next begins after a rest.
    rested: bool,
    /// A request came in the piece that is read.
    came: bool,
    numbered: Numbered<Box<Draft>>,
    database: Database,
    account: Tally,
    realign: bool,
}

type Emit<'e> = &'e mut dyn FnMut(EncodedSpan);

impl Connection {
    /// Follows a connection to `service` that `parser` reads.
    #[must_use]
    pub fn new(service: Arc<Service>, parser: Box<dyn Parser>, ends: Ends) -> Self {
        let pairing = Pairing::new(service.limits.in_flight());
        let rest = Rest::new(service.limits.quiet_time());
        let numbered = Numbered::new(service.limits.in_flight());
        let stitch = Stitch {
            ids: Arc::clone(&service.ids),
            service,
            ends,
            parents: Parents::default(),
            ordinal: Some(0),
            pairing,
            rest,
            rested: false,
            came: false,
            numbered,
            database: Database::default(),
            account: Tally::default(),
            realign: false,
        };
        Self { parser, stitch, closed: [false; 2] }
    }

    /// Takes identifiers from `ids` instead of the service's: one source a connection makes them independent of
    /// what other connections do meanwhile, so that a recording gives the same ones again.
    #[must_use]
    pub fn ids(mut self, ids: IdSource) -> Self {
        self.stitch.ids = Arc::new(ids);
        self
    }

    /// Tells that the connection is not seen from its first byte on.
    #[must_use]
    pub const fn late(mut self) -> Self {
        self.stitch.ordinal = None;
        self.stitch.pairing.begin_late();
        self
    }

    /// Takes the next bytes of one direction; gives out the spans that they complete. O(bytes).
    pub fn feed(&mut self, chunk: Chunk<'_>, out: &mut dyn FnMut(Span)) {
        self.feed_encoded(chunk, &mut |span| out(span.into_span()));
    }

    /// The same, for who passes spans on as OTLP bytes: they are not made into records in between.
    pub fn feed_encoded(&mut self, chunk: Chunk<'_>, out: &mut dyn FnMut(EncodedSpan)) {
        let Self { parser, stitch, .. } = self;
        let time = chunk.time;
        if chunk.missing > 0 {
            stitch.ordinal = None;
        }
        stitch.came = false;
        if chunk.direction == Direction::ToClient {
            stitch.pairing.server_speaks(chunk.missing);
        }
        let turn = stitch.rest.hear(&chunk);
        if turn != Turn::Same {
            parser.client_turn(&mut |event| stitch.on(event, time, out));
        }
        let goes_on = chunk.direction == Direction::ToServer && chunk.missing == 0 && turn == Turn::Same;
        stitch.rested = turn == Turn::Rested || (stitch.rested && goes_on);
        parser.feed(chunk, &mut |event| stitch.on(event, time, out));
        if std::mem::take(&mut stitch.realign) {
            parser.realign(stitch.pairing.len(), &mut |event| stitch.on(event, time, out));
        }
    }

    /// Tells that one direction has ended. When it is the server's, requests without a response have failed.
    pub fn close(&mut self, direction: Direction, time: UnixNanos, out: &mut dyn FnMut(Span)) {
        self.close_encoded(direction, time, &mut |span| out(span.into_span()));
    }

    /// The same, for who passes spans on as OTLP bytes.
    pub fn close_encoded(&mut self, direction: Direction, time: UnixNanos, out: &mut dyn FnMut(EncodedSpan)) {
        let Self { parser, stitch, closed: [to_server, to_client] } = self;
        let closed = if direction == Direction::ToServer { to_server } else { to_client };
        if std::mem::replace(closed, true) {
            return;
        }
        parser.close(direction, time, &mut |event| stitch.on(event, time, out));
        if direction == Direction::ToClient {
            stitch.fail_waiting(time, "connection_closed", out);
        }
    }

    /// Ends the observation. What is in flight becomes failed spans, or is counted as lost at a shutdown.
    pub fn finish(&mut self, time: UnixNanos, ending: Ending, out: &mut dyn FnMut(Span)) {
        self.finish_encoded(time, ending, &mut |span| out(span.into_span()));
    }

    /// The same, for who passes spans on as OTLP bytes.
    pub fn finish_encoded(&mut self, time: UnixNanos, ending: Ending, out: &mut dyn FnMut(EncodedSpan)) {
        let Self { parser, stitch, closed } = self;
        if ending == Ending::Shutdown {
            let lost = stitch.let_go();
            stitch.account.rare().lost.shutdown += lost;
        }
        for (direction, closed) in [Direction::ToServer, Direction::ToClient].into_iter().zip(closed) {
            if !std::mem::replace(closed, true) {
                parser.close(direction, time, &mut |event| stitch.on(event, time, out));
            }
        }
        let error = if ending == Ending::Reset { "connection_reset" } else { "connection_closed" };
        stitch.fail_waiting(time, error, out);
    }

    /// The account of this connection so far.
    #[must_use]
    pub fn account(&self) -> Account {
        let in_progress = u64::try_from(self.stitch.waiting()).unwrap_or(u64::MAX);
        self.stitch.account.account(in_progress)
    }

    /// Heap bytes that the parser holds now.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.parser.held_bytes()
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("service", &self.stitch.service)
            .field("ends", &self.stitch.ends)
            .field("account", &self.account())
            .finish_non_exhaustive()
    }
}

impl Drop for Connection {
    /// Takes what is in flight out of the join table; it counts no further.
    fn drop(&mut self) {
        self.stitch.let_go();
    }
}

impl Stitch {
    fn on(&mut self, event: Event<'_>, now: UnixNanos, out: Emit<'_>) {
        // Only what comes first of all after a rest begins with it; a request looks itself.
        self.rested &= matches!(event, Event::Request { .. });
        match event {
            Event::Request { exchange, time, head } => self.request(exchange, (time, now), &head, out),
            Event::RequestEnd { exchange, body_bytes, end, .. } => {
                self.request_end(exchange, body_bytes, end);
            }
            Event::Response { exchange, time, head, body_bytes, end, .. } => {
                self.response((exchange, time), &head, (body_bytes, end), out);
            }
            Event::ResponseBegins { exchange, headers } => self.response_begins(exchange, headers),
            Event::Aborted { exchange, time, error } => self.aborted((exchange, time), error, out),
            Event::Lost { exchange } => self.lost(exchange),
            Event::Interim { .. } => self.account.rare().interim += 1,
            Event::Refused { direction: Direction::ToServer, error } => self.refused_request(error),
            Event::Refused { direction: Direction::ToClient, error } => self.refused_response(error),
            Event::Left => {
                let lost = self.let_go();
                self.account.rare().lost.desync += lost;
            }
            Event::Unparsed { direction, bytes } => {
                *(match direction {
                    Direction::ToServer => &mut self.account.rare().unparsed_to_server,
                    Direction::ToClient => &mut self.account.rare().unparsed_to_client,
                }) += bytes;
            }
        }
    }

    fn request(
        &mut self,
        exchange: Exchange,
        (time, now): (UnixNanos, UnixNanos),
        head: &RequestHead<'_>,
        out: Emit<'_>,
    ) {
        self.account.requests += 1;
        if head.is_unknown_statement() {
            self.account.rare().statements_unknown += 1;
        }
        let placing = Placing {
            exchange: next_exchange(&mut self.ordinal, exchange),
            service: &self.service,
            ends: &self.ends,
            ids: &self.ids,
            counts: &mut self.account.join,
            parents: &mut self.parents,
        };
        let mut draft = Box::new(Draft::begin(placing, (time, head)));
        let mut selects = None;
        if let RequestHead::Redis(command) = head {
            let index;
            (index, selects) = self.database.ask(command);
            draft.in_database(index, selects);
        }
        let opened = match exchange {
            Exchange::Numbered(number) if head.expect() != Expect::Nothing => {
                let (opened, stale) = self.numbered.open(number, draft);
                if let Some(mut stale) = stale {
                    stale.leave(&self.service);
                    self.account.rare().lost.desync += 1;
                }
                opened
            }
            _ => {
                let comes = self.comes(head.expect());
                self.pairing.open(draft, head.expect(), comes)
            }
        };
        if selects.is_some() && !matches!(opened, Opened::Waits { .. }) {
            self.database.lose();
        }
        match opened {
            Opened::Waits { realign } => {
                self.realign |= realign;
                if let Some(draft) = find(&mut self.pairing, &mut self.numbered, exchange) {
                    draft.enter(&self.service);
                }
            }
            Opened::Complete(draft) => {
                self.account.spans += 1;
                give(&self.service, draft.unanswered(now), out);
            }
            Opened::Lost(_, Unfollowed::InFlight) => self.account.rare().lost.in_flight_limit += 1,
            Opened::Lost(_, Unfollowed::Desync) => self.account.rare().lost.desync += 1,
            Opened::Lost(_, Unfollowed::Unsure) => {
                let lost = self.lose_responses();
                self.account.rare().lost.desync += lost + 1;
            }
        }
    }

    fn comes(&mut self, expect: Expect) -> Comes {
        let together = self.came;
        self.came |= expect != Expect::Nothing;
        match std::mem::take(&mut self.rested) {
            true => Comes::Rested,
            false if together => Comes::Together,
            false => Comes::First,
        }
    }

    fn request_end(&mut self, exchange: Exchange, body_bytes: u64, end: End) {
        if let Some(draft) = find(&mut self.pairing, &mut self.numbered, exchange) {
            draft.request_ended(body_bytes, end);
        }
        if let End::Broken(_) = end {
            self.account.rare().refused += 1;
            if exchange == Exchange::InOrder {
                self.pairing.lose_requests();
            }
        }
    }

    fn response(
        &mut self,
        (exchange, time): (Exchange, UnixNanos),
        head: &ResponseHead<'_>,
        body: (u64, End),
        out: Emit<'_>,
    ) {
        let answered = match exchange {
            Exchange::InOrder => self.pairing.answer(head.role()),
            Exchange::Numbered(number) => self.numbered.answer(number),
        };
        let account = &mut self.account;
        account.responses += u64::from(!matches!(answered, Answered::Push));
        match answered {
            Answered::Complete(mut draft) => {
                draft.leave(&self.service);
                if let Some(selects) = draft.selects() {
                    self.database.answered(selects, !head.is_error());
                }
                account.paired += 1;
                account.spans += 1;
                give(&self.service, draft.answered(time, head, body), out);
            }
            Answered::Part => account.paired += 1,
            Answered::Push => account.rare().pushes += 1,
            Answered::Unfollowed => account.rare().unpaired.in_flight_limit += 1,
            Answered::NotAsked => account.rare().unpaired.not_asked += 1,
            Answered::Desync => account.rare().unpaired.desync += 1,
            Answered::NoRest => {
                self.rest.was_none();
                account.rare().unpaired.desync += 1;
            }
        }
        if let (_, End::Broken(_)) = body {
            account.rare().refused += 1;
            if exchange == Exchange::InOrder {
                let lost = self.lose_responses();
                self.account.rare().lost.desync += lost;
            }
        }
    }

    fn response_begins(&mut self, exchange: Exchange, headers: ResponseHeaders<'_>) {
        if !self.service.redactor.shows_response_headers() {
            return;
        }
        let draft = match exchange {
            Exchange::InOrder => self.pairing.oldest(),
            Exchange::Numbered(number) => self.numbered.get(number),
        };
        if let Some(draft) = draft {
            draft.response_headers(headers, &self.service);
        }
    }

    /// An exchange given up is a failed span; that of a request never seen is nothing.
    fn aborted(&mut self, (exchange, time): (Exchange, UnixNanos), error: &'static str, out: Emit<'_>) {
        if let Answered::Complete(mut draft) = self.end(exchange) {
            draft.leave(&self.service);
            self.account.spans += 1;
            give(&self.service, draft.failed(time, error), out);
        }
    }

    /// An exchange whose answer was not seen is lost: how it ended is not known, so it is not told as failed.
    fn lost(&mut self, exchange: Exchange) {
        if let Answered::Complete(mut draft) = self.end(exchange) {
            draft.leave(&self.service);
            self.account.rare().lost.desync += 1;
        }
    }

    fn end(&mut self, exchange: Exchange) -> Answered<Box<Draft>> {
        match exchange {
            Exchange::InOrder => self.pairing.answer(Role::Answer),
            Exchange::Numbered(number) => self.numbered.answer(number),
        }
    }

    fn refused_request(&mut self, error: ParseError) {
        self.ordinal = None;
        self.database.lose();
        self.account.rare().refused += 1;
        if is_a_message(error) {
            self.account.requests += 1;
            self.account.rare().lost.malformed_request += 1;
        }
        if error.kind != ParseErrorKind::Truncated {
            self.pairing.lose_requests();
        }
    }

    fn refused_response(&mut self, error: ParseError) {
        self.account.rare().refused += 1;
        if is_a_message(error) {
            self.account.responses += 1;
            self.account.rare().unpaired.malformed += 1;
        }
        if error.kind == ParseErrorKind::Truncated {
            return;
        }
        let lost = self.lose_responses();
        // The oldest request is the one that the refused response answered.
        let answered = lost.min(u64::from(is_a_message(error)));
        self.account.rare().lost.malformed_response += answered;
        self.account.rare().lost.desync += lost - answered;
    }

    fn lose_responses(&mut self) -> u64 {
        self.database.lose();
        let Self { pairing, service, .. } = self;
        pairing.lose_responses().map(|mut draft| draft.leave(service)).fold(0, |count, ()| count + 1)
    }

    fn let_go(&mut self) -> u64 {
        self.database.lose();
        let Self { pairing, numbered, service, .. } = self;
        let waiting = pairing.let_go().chain(numbered.let_go());
        waiting.map(|mut draft| draft.leave(service)).fold(0, |count, ()| count + 1)
    }

    fn waiting(&self) -> usize {
        self.pairing.len() + self.numbered.len()
    }

    fn fail_waiting(&mut self, time: UnixNanos, error: &str, out: Emit<'_>) {
        for mut draft in self.pairing.let_go().chain(self.numbered.let_go()) {
            draft.leave(&self.service);
            self.account.spans += 1;
            give(&self.service, draft.failed(time, error), out);
        }
    }
}

/// Gives out a span, and shows it to what looks for what is wrong.
fn give(service: &Service, span: EncodedSpan, out: Emit<'_>) {
    if let Some(findings) = &service.findings {
        findings.span(service.name(), &span);
    }
    out(span);
}

/// The number of a request, the same for whoever sees the connection from its first byte.
fn next_exchange(ordinal: &mut Option<u64>, exchange: Exchange) -> Option<ExchangeId> {
    let next = ordinal.as_mut()?;
    Some(match exchange {
        Exchange::InOrder => {
            *next += 1;
            ExchangeId::InOrder(*next)
        }
        Exchange::Numbered(number) => ExchangeId::Numbered(number),
    })
}

/// The draft of a request that waits.
fn find<'p>(
    pairing: &'p mut Pairing<Box<Draft>>,
    numbered: &'p mut Numbered<Box<Draft>>,
    exchange: Exchange,
) -> Option<&'p mut Draft> {
    match exchange {
        Exchange::InOrder => pairing.newest().map(AsMut::as_mut),
        Exchange::Numbered(number) => numbered.get(number).map(AsMut::as_mut),
    }
}

/// False where it is not known that there was a message at all, or that it was whole.
const fn is_a_message(error: ParseError) -> bool {
    !matches!(
        error.kind,
        ParseErrorKind::Truncated
            | ParseErrorKind::Gap
            | ParseErrorKind::Http2Frame
            | ParseErrorKind::UnknownProtocol
    )
}
