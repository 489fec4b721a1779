//! Many connections at once: captured TCP segments to spans.
//!
//! A [`Tracer`] takes the segments of any number of connections as a capture saw them, puts each connection's in
//! order ([`stream`](crate::stream)), tells which end is the server and which protocol it speaks, and follows it
//! ([`Connection`](crate::Connection)). No clock, no socket, no thread; what it holds is bounded, and the same
//! segments give the same spans, identifiers included.
//!
//! Which end is the server is told by the SYN, else by the first bytes that a protocol knows, else by the ports: one
//! that a service was named for, or the lower one. A connection that was open already when the capture began is
//! followed from the first segment on that begins as a connection of some protocol does.

mod config;
mod entry;
mod table;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use otlp_core::UnixNanos;
use otlp_core::record::Span;

pub use self::config::TracerConfig;
use self::entry::Entry;
use self::table::{Key, Slot, Table};
use crate::account::Account;
use crate::connection::Ending;
use crate::parse::Direction;
use crate::service::Service;
use crate::stream::{Pool, Segment, StreamCounts};

/// A segment, and between whom it travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what a capture says")]
pub struct Packet<'a> {
    /// Tells apart networks in which the same addresses mean different machines; 0 where there is one.
    pub namespace: u32,
    /// Who sent it.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// What it says.
    pub segment: Segment<'a>,
}

/// The account of a tracer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TracerStats {
    /// Connections met.
    pub connections: u64,
    /// Of these, connections that were open already when first seen.
    pub late: u64,
    /// Connections followed now, those that have ended a short while ago not among them.
    pub open: u64,
    /// Connections that ended because both ends closed.
    pub closed: u64,
    /// Connections that one end reset.
    pub reset: u64,
    /// Connections given up because the same addresses began another one.
    pub replaced: u64,
    /// Connections given up because nothing was seen of them for long.
    pub idle: u64,
    /// Connections given up to make room for others.
    pub evicted: u64,
    /// Connections that were open when the tracer finished.
    pub cut_off: u64,
    /// Segments that belong to no connection followed, and begin none.
    pub stray: u64,
    /// Bytes of connections whose protocol is not known, or not known yet.
    pub unknown_bytes: u64,
    /// What became of segments.
    pub stream: StreamCounts,
    /// Requests, responses and spans.
    pub account: Account,
}

impl TracerStats {
    /// True where every connection, request and response is accounted for.
    ///
    /// ```
    /// use otlp_ebpf::tracer::TracerStats;
    /// let mut stats = TracerStats::default();
    /// stats.connections = 1;
    /// assert!(!stats.is_balanced());
    /// stats.open = 1;
    /// assert!(stats.is_balanced());
    /// ```
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.connections
            == self.open + self.closed + self.reset + self.replaced + self.idle + self.evicted + self.cut_off
            && self.account.is_balanced()
    }
}

/// Why a connection is followed no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gone {
    Closed,
    Reset,
    Replaced,
    Idle,
    Evicted,
    CutOff,
}

/// Takes a span, and whose it is.
type Emit<'e> = &'e mut dyn FnMut(&Arc<Service>, Span);

/// Follows the connections of a capture; see the [module](self).
///
/// ```
/// use std::sync::Arc;
/// use otlp_core::UnixNanos;
/// use otlp_ebpf::stream::Segment;
/// use otlp_ebpf::tracer::{Packet, Tracer, TracerConfig};
///
/// let (client, server) = (([10, 0, 0, 7], 40000).into(), ([10, 0, 0, 1], 8080).into());
/// let mut tracer = Tracer::new(TracerConfig::new(7));
/// let mut names = Vec::new();
/// let request = Segment::new(UnixNanos(1), 100, b"GET /cart HTTP/1.1\r\n\r\n");
/// let answer = Segment::new(UnixNanos(2), 900, b"HTTP/1.1 204 No Content\r\n\r\n");
/// for (from, to, segment) in [(client, server, request), (client, server, request), (server, client, answer)] {
///     let packet = Packet { namespace: 0, from, to, segment };
///     tracer.take(&packet, &mut |service, span| names.push(format!("{} {}", service.name(), span.name)));
/// }
/// assert_eq!(names, ["unknown_service GET"]);
/// assert!(tracer.stats().is_balanced());
/// ```
#[derive(Debug)]
pub struct Tracer {
    config: TracerConfig,
    table: Table<Entry>,
    pool: Pool,
    /// Of connections that are gone.
    stats: TracerStats,
    /// Of these, by the name of the service: as many as there are names of ports at most.
    accounts: BTreeMap<Arc<str>, Account>,
    open: u64,
    now: UnixNanos,
}

impl Tracer {
    /// A tracer that follows connections as the configuration says.
    #[must_use]
    pub fn new(config: TracerConfig) -> Self {
        let config = config.begin();
        let pool = Pool::new(config.max_held_bytes);
        let table = Table::default();
        Self {
            config,
            table,
            pool,
            stats: TracerStats::default(),
            accounts: BTreeMap::new(),
            open: 0,
            now: UnixNanos::ZERO,
        }
    }

    /// Names the service behind a port from now on, given the one that connections to it would be of. Those that are
    /// followed already keep theirs.
    #[cfg(feature = "capture")]
    pub(crate) fn name(&mut self, port: u16, service: impl FnOnce(&Service) -> Service) {
        self.config.name(port, service);
    }

    /// Takes the next segment that was captured; gives out the spans that it completes. O(bytes).
    pub fn take(&mut self, packet: &Packet<'_>, out: Emit<'_>) {
        self.now = self.now.max(packet.segment.time);
        let (key, direction) = Key::of(packet);
        let Some(slot) = self.find(&key, direction, packet, out) else {
            self.stats.stray += 1;
            return;
        };
        self.table.touch(slot);
        let Some(entry) = self.table.get_mut(slot) else { return };
        entry.last = self.now;
        let ended = entry.take(direction, packet, (&self.config, &mut self.pool), out);
        if let Some(ending) = ended {
            let gone = if ending == Ending::Reset { Gone::Reset } else { Gone::Closed };
            self.end(slot, gone, out);
        }
        self.expire(out);
    }

    /// Tells that no segment has come until `now`: holes and idle connections are given up. O(connections).
    ///
    /// Needed only by who reads a live capture.
    pub fn advance(&mut self, now: UnixNanos, out: Emit<'_>) {
        self.now = self.now.max(now);
        for slot in self.table.oldest_first() {
            let Some(entry) = self.table.get_mut(slot) else { continue };
            if let Some(ending) = entry.advance(self.now, (&self.config, &mut self.pool), out) {
                self.end(slot, if ending == Ending::Reset { Gone::Reset } else { Gone::Closed }, out);
            }
        }
        self.expire(out);
    }

    /// Ends the observation: gives out what there is, and counts what was in flight as lost.
    pub fn finish(&mut self, out: Emit<'_>) {
        for slot in self.table.oldest_first() {
            self.remove(slot, Gone::CutOff, out);
        }
    }

    /// The account so far. O(connections).
    #[must_use]
    pub fn stats(&self) -> TracerStats {
        let mut stats = TracerStats { open: self.open, stream: self.pool.counts(), ..self.stats };
        for entry in self.table.iter() {
            stats.unknown_bytes += entry.unknown_bytes();
            stats.account += entry.account().map(|(_, account)| account).unwrap_or_default();
        }
        stats
    }

    /// The accounts of services so far, by their names: together that of [`TracerStats`]. O(connections).
    #[must_use]
    pub fn accounts(&self) -> BTreeMap<Arc<str>, Account> {
        let mut accounts = self.accounts.clone();
        for (service, account) in self.table.iter().filter_map(Entry::account) {
            *accounts.entry(Arc::clone(service.name())).or_default() += account;
        }
        accounts
    }

    /// Heap bytes that are held for connections: what parsers and reassembly hold, and the table. O(connections).
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let entries: usize = self.table.iter().map(Entry::held_bytes).sum();
        entries + self.pool.held_bytes() + self.table.heap_bytes()
    }

    /// The connection of a segment; a new one where the segment begins one.
    fn find(&mut self, key: &Key, direction: Direction, packet: &Packet<'_>, out: Emit<'_>) -> Option<Slot> {
        if let Some(slot) = self.table.find(key) {
            let reused =
                self.table.get_mut(slot).is_some_and(|entry| entry.is_reuse(direction, &packet.segment));
            if !reused {
                return Some(slot);
            }
            self.remove(slot, Gone::Replaced, out);
        }
        let segment = &packet.segment;
        if segment.rst || !(segment.syn || segment.length > 0) {
            return None;
        }
        if self.table.len() >= self.config.max_connections {
            let oldest = self.table.oldest()?;
            self.remove(oldest, Gone::Evicted, out);
        }
        self.stats.connections += 1;
        self.stats.late += u64::from(!segment.syn);
        self.open += 1;
        let seed = key.seed(self.config.seed, packet);
        Some(self.table.insert(*key, Entry::new(direction, packet, seed, &self.config)))
    }

    /// Gives up what has been idle for too long.
    fn expire(&mut self, out: Emit<'_>) {
        while let Some(slot) = self.table.oldest() {
            let Some(entry) = self.table.get_mut(slot) else { return };
            let idle = self.now.duration_since(entry.last);
            if idle < if entry.is_over() { self.config.linger } else { self.config.idle } {
                return;
            }
            self.remove(slot, Gone::Idle, out);
        }
    }

    /// Follows a connection no further, but keeps its place: late copies of its segments begin no other.
    fn end(&mut self, slot: Slot, gone: Gone, out: Emit<'_>) {
        let Some(entry) = self.table.get_mut(slot).filter(|entry| !entry.is_over()) else { return };
        let ending = match gone {
            Gone::Closed | Gone::Replaced => Ending::Closed,
            Gone::Reset => Ending::Reset,
            Gone::Idle | Gone::Evicted | Gone::CutOff => Ending::Shutdown,
        };
        entry.finish(self.now, ending, (&self.config, &mut self.pool), out);
        self.stats.unknown_bytes += entry.unknown_bytes();
        if let Some((service, account)) = entry.account() {
            self.stats.account += account;
            *self.accounts.entry(Arc::clone(service.name())).or_default() += account;
        }
        entry.forget();
        self.open -= 1;
        *(match gone {
            Gone::Closed => &mut self.stats.closed,
            Gone::Reset => &mut self.stats.reset,
            Gone::Replaced => &mut self.stats.replaced,
            Gone::Idle => &mut self.stats.idle,
            Gone::Evicted => &mut self.stats.evicted,
            Gone::CutOff => &mut self.stats.cut_off,
        }) += 1;
    }

    fn remove(&mut self, slot: Slot, gone: Gone, out: Emit<'_>) {
        self.end(slot, gone, out);
        self.table.remove(slot);
    }
}
