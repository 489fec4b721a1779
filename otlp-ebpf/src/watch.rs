//! One connection whose bytes pass through this process, watched: what the tap and the wrapper of streams share.

use std::fmt;
use std::sync::Arc;

use otlp_core::UnixNanos;
use otlp_core::record::{Resource, Span};
use otlp_core::sink::Sink;

use crate::account::Account;
use crate::connection::{Connection, Ending};
use crate::id::IdSource;
use crate::limits::Limits;
use crate::parse::infer::{Inferring, Protocol, Protocols};
use crate::parse::{Chunk, Direction, Parser};
#[cfg(feature = "replay")]
use crate::replay::{Recorder, Recording};
use crate::service::Service;
use crate::span::Ends;

/// A span, and whose it is.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "a span and its owner")]
pub struct TappedSpan {
    /// Name of the service that answered, or asked.
    pub service: Arc<str>,
    /// The service's resource.
    pub resource: Arc<Resource>,
    /// The span.
    pub span: Span,
}

/// Which protocol is read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TapProtocol {
    /// One of these, told for each connection from its first bytes.
    Among(Protocols),
    /// This one.
    Is(Arc<dyn Protocol>),
}

impl TapProtocol {
    /// This one.
    #[must_use]
    pub fn only(protocol: impl Protocol + 'static) -> Self {
        Self::Is(Arc::new(protocol))
    }

    /// The protocol's id where it is fixed, else nothing.
    #[cfg(feature = "replay")]
    fn id(&self) -> &str {
        match self {
            Self::Among(_) => "",
            Self::Is(protocol) => protocol.id(),
        }
    }

    fn parser(&self, limits: &Limits) -> Box<dyn Parser> {
        match self {
            Self::Among(protocols) => Box::new(Inferring::among(protocols.clone(), limits.clone())),
            Self::Is(protocol) => protocol.parser(limits),
        }
    }
}

impl Default for TapProtocol {
    /// Any that is known here.
    fn default() -> Self {
        Self::Among(Protocols::default())
    }
}

/// Who watches: what a connection needs of it.
pub(crate) trait Watcher {
    /// The time.
    fn now(&self) -> UnixNanos;

    /// Whose the spans are.
    fn service(&self) -> &Arc<Service>;

    /// Where they go.
    fn sink(&self) -> &dyn Sink<TappedSpan>;

    /// Takes note that the account of a connection was `before`, and is this.
    fn count(&self, account: Account, before: Account);
}

/// What watches the bytes of a connection, and what of its account is counted already.
pub(crate) struct Watch {
    connection: Connection,
    #[cfg(feature = "replay")]
    recording: Option<Recording>,
    counted: Account,
    finished: bool,
}

impl Watch {
    pub(crate) fn new(service: &Arc<Service>, protocol: &TapProtocol, ends: Ends) -> Self {
        // A source of its own, so that the identifiers of a connection do not depend on what others do meanwhile.
        let ids = IdSource::seeded(service.ids.seed());
        let connection =
            Connection::new(Arc::clone(service), protocol.parser(&service.limits), ends).ids(ids);
        Self {
            connection,
            #[cfg(feature = "replay")]
            recording: None,
            counted: Account::default(),
            finished: false,
        }
    }

    /// The same, recorded.
    #[cfg(feature = "replay")]
    pub(crate) fn recorded(
        recorder: &Arc<Recorder>,
        service: &Arc<Service>,
        protocol: &TapProtocol,
        ends: Ends,
    ) -> Self {
        let seed = service.ids.seed();
        let recording = recorder.open(service, &ends, protocol.id(), seed);
        let connection = Connection::new(Arc::clone(service), protocol.parser(&service.limits), ends)
            .ids(IdSource::seeded(seed));
        Self { connection, recording: Some(recording), counted: Account::default(), finished: false }
    }

    pub(crate) const fn is_finished(&self) -> bool {
        self.finished
    }

    /// Requests that wait for their responses.
    #[cfg(feature = "tap")]
    pub(crate) fn in_progress(&self) -> u64 {
        self.connection.account().in_progress
    }

    pub(crate) fn see(&mut self, watcher: &impl Watcher, direction: Direction, bytes: &[u8]) {
        let chunk = Chunk::new(direction, watcher.now(), bytes);
        #[cfg(feature = "replay")]
        if let Some(recording) = &mut self.recording {
            recording.chunk(&chunk);
        }
        self.connection.feed(chunk, &mut |span| give(watcher, span));
        self.count(watcher);
    }

    pub(crate) fn close(&mut self, watcher: &impl Watcher, direction: Direction) {
        let now = watcher.now();
        #[cfg(feature = "replay")]
        if let Some(recording) = &mut self.recording {
            recording.close(direction, now);
        }
        self.connection.close(direction, now, &mut |span| give(watcher, span));
        self.count(watcher);
    }

    pub(crate) fn finish(&mut self, watcher: &impl Watcher, ending: Ending) {
        self.finished = true;
        let now = watcher.now();
        #[cfg(feature = "replay")]
        if let Some(recording) = &mut self.recording {
            recording.finish(now, ending);
        }
        self.connection.finish(now, ending, &mut |span| give(watcher, span));
        self.count(watcher);
    }

    /// Brings the account of all up to date, in one step.
    fn count(&mut self, watcher: &impl Watcher) {
        let account = self.connection.account();
        let before = std::mem::replace(&mut self.counted, account);
        if account != before {
            watcher.count(account, before);
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("connection", &self.connection).finish_non_exhaustive()
    }
}

fn give(watcher: &impl Watcher, span: Span) {
    let service = watcher.service();
    let (name, resource) = (service.name().clone(), service.resource().clone());
    watcher.sink().accept(TappedSpan { service: name, resource, span });
}
