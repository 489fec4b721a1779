//! A log followed again.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use otlp_core::encode::Encode;
use otlp_core::record::{Resource, ResourceSpans, Span, TracesRequest};
use otlp_core::view::TracesView;
use otlp_core::{DecodeError, Limits as CoreLimits, UnixNanos};

use super::log::{LogReader, Record, Tail};
use crate::account::Account;
use crate::connection::{Connection, Ending};
use crate::error::{Error, ErrorKind, Result};
use crate::id::IdSource;
use crate::parse::infer::{Inferring, Protocols};
use crate::parse::{Chunk, Direction, Parser};
use crate::service::Service;

type Emit<'e> = &'e mut dyn FnMut(&Arc<Service>, Span);

/// How an event log is followed again.
///
/// ```
/// use std::sync::Arc;
/// use otlp_core::UnixNanos;
/// use otlp_ebpf::parse::Direction;
/// use otlp_ebpf::replay::LogReplay;
/// use otlp_ebpf::replay::log::{LogWriter, Record};
/// use otlp_ebpf::Ends;
///
/// let mut log = LogWriter::new(Vec::new())?;
/// log.write(&Record::Service { number: 1, name: "shop", resource: b"" })?;
/// let (connection, ends) = (1, Ends::default());
/// log.write(&Record::Opened { connection, service: 1, seed: 7, ends, protocol: "", late: false })?;
/// let said = [(Direction::ToServer, "GET / HTTP/1.1\r\n\r\n"), (Direction::ToClient, "HTTP/1.1 204 x\r\n\r\n")];
/// for (direction, text) in said {
///     let (offset, time, bytes) = (0, UnixNanos(1), text.as_bytes());
///     log.write(&Record::Chunk { connection, direction, offset, time, bytes })?;
/// }
/// let mut names = Vec::new();
/// let log = log.into_inner();
/// let summary = LogReplay::default().run(log.as_slice(), &mut |_, span| names.push(span.name))?;
/// assert_eq!((names, summary.account.spans), (vec!["GET".to_owned()], 1));
/// # Ok::<(), otlp_ebpf::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct LogReplay {
    /// New ones for each run where none are given: some learn from what they read.
    protocols: Option<Protocols>,
    services: Vec<Arc<Service>>,
    max_connections: usize,
}

/// What a replay came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LogSummary {
    /// Records read.
    pub records: u64,
    /// Connections followed.
    pub connections: u64,
    /// Connections of a protocol that is not known here; not followed.
    pub unknown_protocol: u64,
    /// Connections beyond the bound of those open at once; not followed.
    pub over_limit: u64,
    /// Records of connections that are not followed.
    pub stray: u64,
    /// Records that the recorder had no room for.
    pub lost_records: u64,
    /// Bytes of connections in those.
    pub lost_bytes: u64,
    /// Where the log ended early, if it did.
    pub tail: Option<Tail>,
    /// Requests, responses and spans.
    pub account: Account,
}

impl LogReplay {
    /// Takes a service with its redaction, limits and table of callers where the log says its name; its resource is
    /// used too. Default is a new one, with the resource of the log.
    pub fn service(mut self, service: Service) -> Self {
        self.services.push(Arc::new(service));
        self
    }

    /// Sets among which protocols those of connections are looked for; default those known here.
    pub fn protocols(mut self, protocols: Protocols) -> Self {
        self.protocols = Some(protocols);
        self
    }

    /// Sets how many connections may be open at once; default 65,536.
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Follows the log to its end; gives out spans in the order in which they were.
    ///
    /// Connections that are open at the end are cut off there, and what is in flight counted as lost.
    ///
    /// # Errors
    /// As [`LogReader`] has them; a torn or damaged end is none, see [`LogSummary::tail`].
    pub fn run(&self, log: impl Read, out: Emit<'_>) -> Result<LogSummary> {
        let mut reader = LogReader::new(log)?;
        let mut session = Session::new(self);
        while let Some(record) = reader.next()? {
            session.take(record, out)?;
        }
        session.summary.tail = reader.tail();
        Ok(session.finish(out))
    }
}

impl Default for LogReplay {
    fn default() -> Self {
        Self { protocols: None, services: Vec::new(), max_connections: 65_536 }
    }
}

/// A log on its way.
struct Session<'c> {
    config: &'c LogReplay,
    protocols: Protocols,
    services: HashMap<u32, Arc<Service>>,
    open: HashMap<u64, Open>,
    now: UnixNanos,
    summary: LogSummary,
}

struct Open {
    service: Arc<Service>,
    connection: Connection,
    /// Bytes of each direction so far, those lost included.
    offsets: [u64; 2],
}

/// Services of a log at most.
const MAX_SERVICES: usize = 65_536;

impl<'c> Session<'c> {
    fn new(config: &'c LogReplay) -> Self {
        let summary = LogSummary::default();
        let protocols = config.protocols.clone().unwrap_or_default();
        Self {
            config,
            protocols,
            services: HashMap::new(),
            open: HashMap::new(),
            now: UnixNanos::ZERO,
            summary,
        }
    }

    fn take(&mut self, record: Record<'_>, out: Emit<'_>) -> Result<()> {
        self.summary.records += 1;
        match record {
            Record::Service { number, name, resource } => self.service(number, name, resource)?,
            Record::Opened { connection, .. } => {
                if let Some(stale) = self.open.remove(&connection) {
                    self.end(stale, self.now, Ending::Shutdown, out);
                }
                self.opened(record);
            }
            Record::Chunk { connection, direction, offset, time, bytes } => {
                self.now = self.now.max(time);
                if let Some(open) = self.open.get_mut(&connection) {
                    open.feed(offset, Chunk::new(direction, time, bytes), out);
                } else {
                    self.summary.stray += 1;
                }
            }
            Record::Closed { connection, direction, time } => {
                self.now = self.now.max(time);
                if let Some(Open { service, connection, .. }) = self.open.get_mut(&connection) {
                    connection.close(direction, time, &mut |span| out(service, span));
                } else {
                    self.summary.stray += 1;
                }
            }
            Record::Finished { connection, time, ending } => {
                self.now = self.now.max(time);
                match self.open.remove(&connection) {
                    Some(open) => self.end(open, time, ending, out),
                    None => self.summary.stray += 1,
                }
            }
            Record::Lost { records, bytes } => {
                self.summary.lost_records = self.summary.lost_records.saturating_add(records);
                self.summary.lost_bytes = self.summary.lost_bytes.saturating_add(bytes);
            }
        }
        Ok(())
    }

    fn service(&mut self, number: u32, name: &str, resource: &[u8]) -> Result<()> {
        if self.services.len() >= MAX_SERVICES {
            let message = format!("event log: services exceed limit {MAX_SERVICES}");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let known = self.config.services.iter().find(|service| &**service.name() == name);
        let service = match known {
            Some(service) => Arc::clone(service),
            None => Arc::new(Service::with_resource(name, read_resource(name, resource)?)),
        };
        self.services.insert(number, service);
        Ok(())
    }

    fn opened(&mut self, record: Record<'_>) {
        let Record::Opened { connection: number, service, seed, ends, protocol, late } = record else {
            return;
        };
        if self.open.len() >= self.config.max_connections {
            self.summary.over_limit += 1;
            return;
        }
        let Some(service) = self.services.get(&service) else {
            self.summary.stray += 1;
            return;
        };
        let Some(parser) = self.parser(protocol, service, late) else {
            self.summary.unknown_protocol += 1;
            return;
        };
        let connection = Connection::new(Arc::clone(service), parser, ends).ids(IdSource::seeded(seed));
        let connection = if late { connection.late() } else { connection };
        self.summary.connections += 1;
        self.open.insert(number, Open { service: Arc::clone(service), connection, offsets: [0; 2] });
    }

    fn parser(&self, protocol: &str, service: &Service, late: bool) -> Option<Box<dyn Parser>> {
        let limits = &service.limits;
        if protocol.is_empty() {
            return Some(Box::new(Inferring::among(self.protocols.clone(), limits.clone())));
        }
        let protocol = self.protocols.by_id(protocol)?;
        Some(if late { protocol.parser_mid_stream(limits) } else { protocol.parser(limits) })
    }

    fn end(&mut self, mut open: Open, time: UnixNanos, ending: Ending, out: Emit<'_>) {
        let Open { service, connection, .. } = &mut open;
        connection.finish(time, ending, &mut |span| out(service, span));
        self.summary.account += connection.account();
    }

    fn finish(mut self, out: Emit<'_>) -> LogSummary {
        let mut open: Vec<_> = std::mem::take(&mut self.open).into_iter().collect();
        open.sort_unstable_by_key(|(number, _)| *number);
        for (_, open) in open {
            self.end(open, self.now, Ending::Shutdown, out);
        }
        self.summary
    }
}

impl Open {
    fn feed(&mut self, offset: u64, chunk: Chunk<'_>, out: Emit<'_>) {
        let Self { service, connection, offsets: [to_server, to_client] } = self;
        let seen = if chunk.direction == Direction::ToServer { to_server } else { to_client };
        // What overlaps was never written by us; it is taken as it comes.
        let missing = offset.saturating_sub(*seen);
        let length = u64::try_from(chunk.bytes.len()).unwrap_or(u64::MAX);
        *seen = offset.saturating_add(length);
        connection.feed(chunk.after_gap(missing), &mut |span| out(service, span));
    }
}

/// The resource as OTLP has it: a traces request with nothing else. Empty where the name is all there is.
pub(super) fn write_resource(resource: &Resource) -> Vec<u8> {
    let resources = vec![ResourceSpans { resource: resource.clone(), ..ResourceSpans::default() }];
    TracesRequest { resources }.encode_to_bytes().into()
}

fn read_resource(name: &str, bytes: &[u8]) -> Result<Resource> {
    let malformed = |error: DecodeError| {
        let message = format!("event log: resource of service {name:?} not valid");
        Error::new(ErrorKind::Malformed, message).with_source(error)
    };
    let view = TracesView::parse(bytes, &CoreLimits::DEFAULT).map_err(malformed)?;
    match view.resources().next() {
        Some(group) => group.and_then(|group| group.resource().to_record()).map_err(malformed),
        None => Ok(Resource::service(name)),
    }
}
