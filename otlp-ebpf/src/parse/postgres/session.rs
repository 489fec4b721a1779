//! What both directions of a connection know: what was asked and is not answered yet, and what was prepared.

use std::collections::VecDeque;
use std::sync::Arc;

use otlp_core::UnixNanos;

use super::Emit;
use crate::limits::Limits;
use crate::parse::ParseErrorKind;
pub(super) use crate::parse::dialogue::Then;
use crate::parse::dialogue::{self, Body, Head, Sides};
use crate::parse::frame::{Framer, HEADER, Message};
use crate::parse::prepared::Prepared;
use crate::parse::sql::{Answer, Command, Exchanges, Failure, Operation, System};
use crate::sql::{Backslash, Dialect, Statement, Syntax};

#[derive(Debug)]
pub(super) struct Session {
    pub(super) limits: Limits,
    pub(super) phase: Phase,
    pub(super) syntax: Syntax,
    pub(super) namespace: Option<Box<str>>,
    /// What was asked and is not answered yet, oldest first.
    pub(super) asked: VecDeque<Asked>,
    pub(super) exchanges: Exchanges,
    pub(super) answer: Answer,
    pub(super) statements: Prepared<Box<[u8]>>,
    pub(super) unnamed: Option<Arc<Statement>>,
    pub(super) portals: Prepared<Box<[u8]>>,
    pub(super) unnamed_portal: Option<Arc<Statement>>,
    /// The statement of the last simple query; kept for its memory.
    pub(super) scratch: Statement,
    pub(super) batch: Batch,
    /// A batch has failed with this; the server passes over everything up to its `Sync`.
    pub(super) failed: Option<Failure>,
    /// `COPY` from the client is under way in the extended protocol: the server passes over `Sync`.
    pub(super) copying: bool,
    /// The last message of the server was that it is ready.
    pub(super) ready: bool,
    /// What the server answers cannot be told.
    pub(super) lost: bool,
    tail: Tail,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Before the client has said who it is.
    Startup,
    /// The server is to say in one byte whether it encrypts.
    Encryption,
    /// Until the server is ready for the first query.
    Authentication,
    Running,
}

/// Something that the server answers.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) kind: Kind,
    /// The number of its exchange; 0 where it has none, or that is answered.
    pub(super) number: u64,
    /// The statement that it is about.
    pub(super) statement: Option<Arc<Statement>>,
    /// The name that it gave a statement.
    pub(super) name: Option<Box<[u8]>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Query,
    Call,
    Parse,
    Bind,
    Describe,
    Execute,
    Close,
    Sync,
}

impl Kind {
    /// Whether the server is ready again behind it.
    pub(super) const fn ends(self) -> bool {
        matches!(self, Self::Query | Self::Call | Self::Sync)
    }
}

/// What the client has sent since the last `Sync`.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) begun: bool,
    /// The beginning of what leads to the next `Execute`.
    pub(super) since: Option<UnixNanos>,
    /// What was prepared, while nothing was executed.
    pub(super) prepared: Option<Arc<Statement>>,
    pub(super) executed: bool,
}

/// The last bytes of the server, where it has no place.
#[derive(Debug, Default)]
pub(super) struct Tail([u8; 6]);

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes.get(bytes.len().saturating_sub(6)..).unwrap_or_default() {
            self.0.rotate_left(1);
            self.0[5] = *byte;
        }
    }

    /// Whether the server's last words were that it is ready.
    const fn ends_ready(&self) -> bool {
        matches!(self.0, [b'Z', 0, 0, 0, 5, b'I' | b'T' | b'E'])
    }
}

/// Messages not answered yet that are kept, for each request in flight: what an extended query consists of.
const MESSAGES_PER_REQUEST: usize = 6;

impl Session {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            phase: Phase::Startup,
            syntax: Syntax::new(Dialect::PostgreSql),
            namespace: None,
            asked: VecDeque::new(),
            exchanges: Exchanges::default(),
            answer: Answer::default(),
            statements: Prepared::new(limits.prepared_bytes()),
            unnamed: None,
            portals: Prepared::new(limits.prepared_bytes() / 4),
            unnamed_portal: None,
            scratch: Statement::default(),
            batch: Batch::default(),
            failed: None,
            copying: false,
            ready: false,
            lost: false,
            tail: Tail::default(),
            limits,
        }
    }

    /// Whether the server has answered everything and said so.
    pub(super) fn is_ready(&self) -> bool {
        self.ready && self.asked.is_empty()
    }

    pub(super) const fn in_batch(&self) -> bool {
        self.batch.begun
    }

    /// Begins in the middle.
    pub(super) const fn begin_late(&mut self) {
        self.phase = Phase::Running;
        self.lost = true;
        self.syntax.backslash = Backslash::Unknown;
    }

    /// Begins the exchange of a command; 0 where its answer could not be told.
    pub(super) fn open(
        &mut self,
        times: (UnixNanos, UnixNanos),
        operation: Operation,
        statement: Option<&Statement>,
        on: Emit<'_>,
    ) -> u64 {
        let namespace = self.namespace.as_deref();
        let command = Command { system: System::PostgreSql, operation, statement, namespace };
        self.exchanges.open(self.lost, times, command, on)
    }

    /// Waits for the answer to something.
    pub(super) fn ask(&mut self, asked: Asked) -> Then {
        if self.lost {
            return Then::GoOn;
        }
        self.asked.push_back(asked);
        let limit = self.limits.in_flight().saturating_mul(MESSAGES_PER_REQUEST);
        if self.asked.len() <= limit {
            return Then::GoOn;
        }
        let limit = crate::parse::frame::wide(self.limits.in_flight());
        Then::Refuse(ParseErrorKind::Limit { what: "in_flight", limit })
    }

    pub(super) fn forget_prepared(&mut self) {
        self.statements.clear();
        self.unnamed = None;
        self.forget_portals();
    }

    pub(super) fn forget_portals(&mut self) {
        self.portals.clear();
        self.unnamed_portal = None;
    }

    /// The server has closed: an error that it gave before is the answer to the query in progress.
    pub(super) fn close(&mut self, time: UnixNanos, on: Emit<'_>) {
        if let Some(front) = self.asked.front_mut().filter(|front| front.number != 0)
            && self.answer.outcome.failure.is_some()
        {
            self.answer.complete(std::mem::take(&mut front.number), time, on);
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        let one = |statement: &Option<Arc<Statement>>| statement.as_ref().map_or(0, |each| each.held_bytes());
        self.statements.held_bytes()
            + self.portals.held_bytes()
            + one(&self.unnamed)
            + one(&self.unnamed_portal)
            + self.scratch.held_bytes()
            + self.asked.capacity() * size_of::<Asked>()
    }
}

impl dialogue::Session for Session {
    fn client_header_size(&self, _client: &Framer) -> usize {
        if self.phase == Phase::Startup { 4 } else { HEADER }
    }

    fn client_header(&mut self, header: [u8; HEADER], _part: bool) -> Result<Body, ParseErrorKind> {
        self.body_of_client(header)
    }

    fn on_client(&mut self, message: &Message<'_>, time: UnixNanos, on: Emit<'_>) -> Then {
        self.take_from_client(message, time, on)
    }

    fn server_header_size(&self, _server: &Framer) -> usize {
        if self.phase == Phase::Encryption { 1 } else { HEADER }
    }

    fn server_header(&mut self, header: [u8; HEADER], _part: bool) -> Result<Head, ParseErrorKind> {
        let [first, ..] = header;
        match self.phase {
            Phase::Encryption => self.encryption(first),
            _ => self.body_of_server(header).map(Head::Of),
        }
    }

    fn on_server(&mut self, message: &Message<'_>, time: UnixNanos, on: Emit<'_>) -> Then {
        self.take_from_server(message, time, on)
    }

    /// Rows.
    fn pass(&mut self, server: &mut Framer, rest: &mut &[u8], time: UnixNanos) {
        if self.reads_rows() {
            let passed = self.pass_over(server, rest);
            self.passed(time, passed);
        }
    }

    fn unparsed(&mut self, bytes: &[u8], holed: bool) {
        if holed {
            self.tail = Tail::default();
        }
        self.tail.push(bytes);
    }

    fn owes(&self) -> bool {
        !self.asked.is_empty() && !self.copying
    }

    /// Where the server is ready for a query, that begins here.
    fn finds_place(&self, Sides { client, server, turns }: &Sides) -> bool {
        let ready = if server.is_lost() {
            self.tail.ends_ready() || turns.rested
        } else {
            self.is_ready() && server.is_between()
        };
        let begins_batch = client.is_between() && !self.in_batch();
        ready && (client.is_lost() || (server.is_lost() && begins_batch))
    }

    fn begin_again(&mut self, on: Emit<'_>) {
        self.lose_server(on);
        self.lost = false;
        self.phase = Phase::Running;
        self.batch = Batch::default();
    }

    /// What was prepared meanwhile is not known.
    fn lose_client(&mut self) {
        self.forget_prepared();
        self.batch = Batch::default();
    }

    fn lose_server(&mut self, on: Emit<'_>) {
        self.lost = true;
        for asked in self.asked.drain(..).filter(|asked| asked.number != 0) {
            Exchanges::lose(asked.number, on);
        }
        self.answer = Answer::default();
        self.failed = None;
        self.copying = false;
        self.ready = false;
        self.tail = Tail::default();
    }

    fn forget(&mut self) {
        self.forget_prepared();
        self.asked = VecDeque::new();
    }
}
