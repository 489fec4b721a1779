//! The two views of an exchange: its client's and its server's.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use otlp_core::{SpanId, TraceId};

use crate::span::Ends;

/// Which exchange of a connection, for all who see the connection from its first byte on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ExchangeId {
    /// The so-manieth request of those that are answered in order.
    InOrder(u64),
    /// The one of this number.
    Numbered(u64),
}

/// Spans of clients, by the four-tuple of their connections, until the spans of the servers have found them.
/// Bounded: the newest are kept.
///
/// Whoever watches a connection at both its ends gives both services the same table. A request whose header names
/// no parent then becomes a child of what its client saw of it.
///
/// ```
/// use std::sync::Arc;
/// use otlp_core::UnixNanos;
/// use otlp_ebpf::join::Exchanges;
/// use otlp_ebpf::parse::infer::{Builtin, Protocol};
/// use otlp_ebpf::parse::{Chunk, Direction};
/// use otlp_ebpf::{Connection, Ends, IdSource, Limits, Role, Service};
///
/// let table = Arc::new(Exchanges::default());
/// let ends = Ends::new(([10, 0, 0, 7], 40000).into(), ([10, 0, 0, 1], 80).into());
/// let mut spans = Vec::new();
/// for (name, role, seed) in [("shop", Role::Client, 1), ("stock", Role::Server, 2)] {
///     let service = Service::new(name, Arc::new(IdSource::seeded(seed))).exchanges(table.clone());
///     let parser = Builtin::Http1.parser(&Limits::default());
///     let mut connection = Connection::new(Arc::new(service), parser, ends.clone().seen_by(role));
///     let said = [(Direction::ToServer, "GET / HTTP/1.1\r\n\r\n"), (Direction::ToClient, "HTTP/1.1 204 x\r\n\r\n")];
///     for (direction, text) in said {
///         connection.feed(Chunk::new(direction, UnixNanos(1), text.as_bytes()), &mut |span| spans.push(span));
///     }
/// }
/// assert_eq!((spans[1].trace_id, spans[1].parent_span_id), (spans[0].trace_id, spans[0].span_id));
/// ```
#[derive(Debug)]
pub struct Exchanges {
    capacity: usize,
    inner: Mutex<Inner>,
}

type Address = (IpAddr, u16);
type Key = (Address, Address, ExchangeId);

#[derive(Debug, Default)]
struct Inner {
    /// With the turn in which each was shown.
    views: HashMap<Key, (u64, TraceId, SpanId)>,
    /// Oldest first; those taken already, or shown again since, are passed over.
    order: VecDeque<(u64, Key)>,
    turn: u64,
    forgotten: u64,
}

impl Exchanges {
    /// A table of at most `capacity` views.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, inner: Mutex::default() }
    }

    /// Views that no server has found yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().views.len()
    }

    /// True where there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Views given up to make room.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.lock().forgotten
    }

    /// Shows the client's view. O(1) on average.
    pub(crate) fn show(&self, ends: &Ends, exchange: ExchangeId, (trace, span): (TraceId, SpanId)) {
        let Some(key) = key(ends, exchange) else { return };
        let mut inner = self.lock();
        inner.turn += 1;
        let turn = inner.turn;
        inner.views.insert(key, (turn, trace, span));
        inner.order.push_back((turn, key));
        // What was taken leaves its place in the order until it is the oldest, or there are as many such as views.
        while inner.views.len() > self.capacity || inner.order.len() > self.capacity.saturating_mul(2) {
            let Some((turn, key)) = inner.order.pop_front() else { break };
            if inner.views.get(&key).is_some_and(|(met, ..)| *met == turn) {
                inner.views.remove(&key);
                inner.forgotten += 1;
            }
        }
    }

    /// Takes the client's view of the exchange.
    pub(crate) fn take(&self, ends: &Ends, exchange: ExchangeId) -> Option<(TraceId, SpanId)> {
        let (_, trace, span) = self.lock().views.remove(&key(ends, exchange)?)?;
        Some((trace, span))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing here panics while it holds the lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Exchanges {
    /// Room for 65,536 views.
    fn default() -> Self {
        Self::new(1 << 16)
    }
}

fn key(ends: &Ends, exchange: ExchangeId) -> Option<Key> {
    let address = |address: SocketAddr| (address.ip().to_canonical(), address.port());
    Some((address(ends.client?), address(ends.server?), exchange))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(port: u16) -> Ends {
        Ends::new(([10, 0, 0, 7], port).into(), ([10, 0, 0, 1], 80).into())
    }

    const VIEW: (TraceId, SpanId) = (TraceId::new([1; 16]), SpanId::new([2; 8]));

    #[test]
    fn a_view_is_found_once_and_by_its_own_exchange_only() {
        let table = Exchanges::default();
        table.show(&ends(1), ExchangeId::InOrder(1), VIEW);
        assert_eq!(table.take(&ends(2), ExchangeId::InOrder(1)), None);
        assert_eq!(table.take(&ends(1), ExchangeId::InOrder(2)), None);
        assert_eq!(table.take(&ends(1), ExchangeId::Numbered(1)), None);
        assert_eq!(table.take(&ends(1), ExchangeId::InOrder(1)), Some(VIEW));
        assert_eq!(table.take(&ends(1), ExchangeId::InOrder(1)), None);
    }

    #[test]
    fn the_newest_views_are_kept_and_the_table_stays_within_its_bound() {
        let table = Exchanges::new(2);
        for port in 1..=1000 {
            table.show(&ends(port), ExchangeId::InOrder(1), VIEW);
            if port % 2 == 0 {
                table.take(&ends(port), ExchangeId::InOrder(1));
            }
            assert!(table.len() <= 2 && table.lock().order.len() <= 4);
        }
        assert_eq!(table.take(&ends(999), ExchangeId::InOrder(1)), Some(VIEW));
        assert!(table.forgotten() >= 498);
    }
}
