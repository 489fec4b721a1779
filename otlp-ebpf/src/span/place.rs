//! Which trace a span belongs to, and below what.

use std::collections::VecDeque;

use otlp_core::context::w3c::TraceParent;
use otlp_core::record::Link;
use otlp_core::{SpanId, TraceId};

use super::{EncodedSpan, Ends, Role};
use crate::account::JoinCounts;
use crate::id::IdSource;
use crate::join::{ExchangeId, Joined};
use crate::service::Service;

/// What a span is placed by.
pub(crate) struct Placing<'c> {
    pub(crate) service: &'c Service,
    pub(crate) ends: &'c Ends,
    pub(crate) ids: &'c IdSource,
    pub(crate) counts: &'c mut JoinCounts,
    pub(crate) parents: &'c mut Parents,
    /// The same for both views of the exchange; `None` where they may count differently.
    pub(crate) exchange: Option<ExchangeId>,
}

/// Flags of OTLP spans (bits 8 and 9): it is known whether the parent is remote, and it is.
const PARENT_IS_REMOTE: u32 = 0x300;
const SAMPLED: u32 = 0x01;

impl Placing<'_> {
    /// Puts the span into its trace: below the request of the caller that caused it, where that can be told, else
    /// below what the request's header names, else below the client's view of the same exchange, else at the root
    /// of a new one. `prepares` tells a request whose context belongs to another one as well, which it prepares.
    pub(super) fn place(
        &mut self,
        span: &mut EncodedSpan,
        context: Option<(TraceParent, String)>,
        prepares: bool,
    ) {
        let (header, trace_state) = context.unzip();
        let joined = self.find_caller(header.map(|header| header.trace_id()));
        let flags = header.map_or(SAMPLED, |header| u32::from(header.flags()));
        let fresh = header.filter(|header| joined.is_some() || self.admits(header, prepares));
        let (trace_id, parent) = match (joined, fresh) {
            (Some(caller), _) => caller,
            (None, Some(header)) => (header.trace_id(), header.span_id()),
            (None, None) => self.other_view().unwrap_or_else(|| (self.ids.trace_id(), SpanId::INVALID)),
        };
        span.trace_id = trace_id;
        span.parent_span_id = parent;
        span.flags = if parent.is_valid() { flags | PARENT_IS_REMOTE } else { flags };
        if let Some(used) = header.filter(|_| joined.is_none() && fresh.is_none()) {
            let (trace_id, span_id) = (used.trace_id(), used.span_id());
            let flags = u32::from(used.flags()) | PARENT_IS_REMOTE;
            let trace_state = trace_state.unwrap_or_default();
            span.links.push(Link { trace_id, span_id, trace_state, flags, ..Link::default() });
        } else {
            span.trace_state = trace_state.unwrap_or_default();
        }
        self.show_view(span);
    }

    /// True where the header's span may become the parent of one more request of this connection.
    fn admits(&mut self, header: &TraceParent, prepares: bool) -> bool {
        let named = (header.span_id(), prepares);
        let admitted = self.parents.admit(named, self.service.limits.requests_per_parent());
        self.counts.parent_reused += u64::from(!admitted);
        admitted
    }

    fn find_caller(&mut self, trace: Option<TraceId>) -> Option<(TraceId, SpanId)> {
        let table = self.service.join.as_ref()?;
        let Some(caller) = self.caller() else {
            self.counts.caller_unknown += 1;
            return None;
        };
        let count = match table.find(caller, trace) {
            Joined::Parent { trace: found, span } => {
                let by_trace = trace.is_some();
                *(if by_trace { &mut self.counts.by_trace } else { &mut self.counts.sole }) += 1;
                return Some((found, span));
            }
            Joined::Ambiguous => &mut self.counts.ambiguous,
            Joined::Absent => &mut self.counts.absent,
        };
        *count += 1;
        None
    }

    /// The service whose request in flight caused this one: the client's own, seen from there.
    fn caller(&self) -> Option<&str> {
        match self.ends.role {
            Role::Server => self.ends.caller.as_deref(),
            Role::Client => Some(self.service.name()),
        }
    }

    /// The client's view of the exchange, of which this is the server's.
    fn other_view(&mut self) -> Option<(TraceId, SpanId)> {
        let (views, exchange) = (self.service.views.as_ref()?, self.exchange?);
        let found = views.take(self.ends, exchange).filter(|_| self.ends.role == Role::Server)?;
        self.counts.by_exchange += 1;
        Some(found)
    }

    /// Lets the server's view find this one, which is the client's.
    fn show_view(&self, span: &EncodedSpan) {
        if let (Some(views), Some(exchange), Role::Client) =
            (self.service.views.as_ref(), self.exchange, self.ends.role)
        {
            views.show(self.ends, exchange, (span.trace_id, span.span_id));
        }
    }
}

/// Spans named by the requests of one connection as their parents, the newest few, and how often each was; by those that
/// only prepare another apart from the rest.
#[derive(Debug, Default)]
pub(crate) struct Parents {
    newest: VecDeque<(Named, u32)>,
}

/// A span named as a parent, and whether by who only prepares another request.
type Named = (SpanId, bool);

impl Parents {
    /// Names remembered. A client that sends one over and over does so in a row.
    const REMEMBERED: usize = 8;

    fn admit(&mut self, parent: Named, most: u32) -> bool {
        if let Some((_, count)) = self.newest.iter_mut().find(|(met, _)| *met == parent) {
            *count = count.saturating_add(1);
            return *count <= most;
        }
        if self.newest.len() == Self::REMEMBERED {
            self.newest.pop_front();
        }
        self.newest.push_back((parent, 1));
        most > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_admitted_as_often_as_allowed_and_forgotten_after_eight_others() {
        let (mut parents, id) = (Parents::default(), |number: u8| (SpanId::new([number; 8]), false));
        assert!(parents.admit(id(1), 2) && parents.admit(id(1), 2) && !parents.admit(id(1), 2));
        (2..10).for_each(|other| assert!(parents.admit(id(other), 2)));
        assert!(parents.admit(id(1), 2));
        assert!(parents.admit((id(1).0, true), 1), "what prepares is another matter");
        assert!(!Parents::default().admit(id(1), 0));
    }
}
