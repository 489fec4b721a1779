//! Which request of the caller a request belongs to.
//!
//! Taps of one process share a [`JoinTable`]: each enters the requests that its service has in flight, and
//! asks for the one from which a request to it came, given who called. Where the request carries a trace
//! identifier it is the caller's request in flight with the same one; where it carries none (Redis has no
//! headers) it is the only request in flight at the caller. Where there are several, none is chosen.
//!
//! Where a connection is watched at both its ends, [`Exchanges`] joins the two views of each exchange.

mod exchange;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use otlp_core::{SpanId, TraceId};

pub(crate) use self::exchange::ExchangeId;
pub use self::exchange::Exchanges;

/// The requests in flight at the services of this process, by service and trace. Bounded.
///
/// ```
/// use otlp_core::{SpanId, TraceId};
/// use otlp_ebpf::join::{JoinTable, Joined};
/// let (trace, span) = (TraceId::new([1; 16]), SpanId::new([2; 8]));
/// let table = JoinTable::new(1000);
/// table.enter(&"order".into(), trace, span);
/// assert_eq!(table.find("order", Some(trace)), Joined::Parent { trace, span });
/// assert_eq!(table.find("order", None), Joined::Parent { trace, span });
/// table.leave("order", trace, span);
/// assert_eq!(table.find("order", None), Joined::Absent);
/// ```
#[derive(Debug)]
pub struct JoinTable {
    capacity: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    services: HashMap<Arc<str>, InFlight>,
    total: usize,
    refused: u64,
}

#[derive(Debug, Default)]
struct InFlight {
    by_trace: HashMap<TraceId, Vec<SpanId>>,
    count: usize,
}

/// What [`JoinTable::find`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "one, none, several")]
pub enum Joined {
    /// The one request that it can be.
    Parent {
        /// Its trace.
        trace: TraceId,
        /// Its span.
        span: SpanId,
    },
    /// There is none.
    Absent,
    /// There are several.
    Ambiguous,
}

impl JoinTable {
    /// A table of at most `capacity` requests in flight.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, inner: Mutex::default() }
    }

    /// Enters a request in flight at `service`; gives whether there was room. O(1).
    pub fn enter(&self, service: &Arc<str>, trace: TraceId, span: SpanId) -> bool {
        let mut inner = self.lock();
        if inner.total >= self.capacity {
            inner.refused += 1;
            return false;
        }
        inner.total += 1;
        let in_flight = inner.services.entry(Arc::clone(service)).or_default();
        in_flight.count += 1;
        in_flight.by_trace.entry(trace).or_default().push(span);
        true
    }

    /// Takes out a request that is complete; without effect where it was not entered.
    pub fn leave(&self, service: &str, trace: TraceId, span: SpanId) {
        let mut inner = self.lock();
        let Some(in_flight) = inner.services.get_mut(service) else { return };
        let Entry::Occupied(mut spans) = in_flight.by_trace.entry(trace) else { return };
        let Some(at) = spans.get().iter().position(|met| *met == span) else { return };
        spans.get_mut().swap_remove(at);
        if spans.get().is_empty() {
            spans.remove();
        }
        in_flight.count -= 1;
        inner.total -= 1;
    }

    /// Finds the request in flight at `caller` in `trace`, or the only one where no trace is known.
    pub fn find(&self, caller: &str, trace: Option<TraceId>) -> Joined {
        let inner = self.lock();
        let Some(in_flight) = inner.services.get(caller) else {
            return Joined::Absent;
        };
        let found = match trace {
            Some(trace) => in_flight.by_trace.get_key_value(&trace),
            None if in_flight.count > 1 => return Joined::Ambiguous,
            None => in_flight.by_trace.iter().next(),
        };
        match found.map(|(trace, spans)| (*trace, spans.as_slice())) {
            Some((trace, [span])) => Joined::Parent { trace, span: *span },
            Some((_, [_, ..])) => Joined::Ambiguous,
            Some((_, [])) | None => Joined::Absent,
        }
    }

    /// Requests in flight now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().total
    }

    /// True where nothing is in flight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Requests that found no room so far; their children find no parent.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.lock().refused
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing here panics while it holds the lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for JoinTable {
    /// Room for 65,536 requests in flight.
    fn default() -> Self {
        Self::new(1 << 16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: TraceId = TraceId::new([1; 16]);
    const OTHER: TraceId = TraceId::new([2; 16]);

    fn span(number: u8) -> SpanId {
        SpanId::new([number; 8])
    }

    #[test]
    fn a_trace_tells_requests_of_one_caller_apart() {
        let (table, order) = (JoinTable::default(), Arc::from("order"));
        table.enter(&order, TRACE, span(1));
        table.enter(&order, OTHER, span(2));
        assert_eq!(table.find("order", Some(TRACE)), Joined::Parent { trace: TRACE, span: span(1) });
        assert_eq!(table.find("order", Some(OTHER)), Joined::Parent { trace: OTHER, span: span(2) });
        assert_eq!(table.find("order", None), Joined::Ambiguous);
        assert_eq!(table.find("payment", Some(TRACE)), Joined::Absent);
    }

    #[test]
    fn several_requests_in_one_trace_are_ambiguous_until_one_is_left() {
        let (table, order) = (JoinTable::default(), Arc::from("order"));
        (1..=3).for_each(|number| assert!(table.enter(&order, TRACE, span(number))));
        assert_eq!(table.find("order", Some(TRACE)), Joined::Ambiguous);
        table.leave("order", TRACE, span(1));
        table.leave("order", TRACE, span(3));
        table.leave("order", TRACE, span(3));
        assert_eq!(table.len(), 1, "what is not there cannot leave");
        assert_eq!(table.find("order", Some(TRACE)), Joined::Parent { trace: TRACE, span: span(2) });
    }

    #[test]
    fn a_full_table_refuses_and_counts() {
        let (table, order) = (JoinTable::new(1), Arc::from("order"));
        assert!(table.enter(&order, TRACE, span(1)));
        assert!(!table.enter(&order, TRACE, span(2)));
        assert_eq!((table.len(), table.refused()), (1, 1));
        table.leave("order", TRACE, span(1));
        assert!(table.is_empty());
        assert!(table.enter(&order, TRACE, span(2)));
    }
}
