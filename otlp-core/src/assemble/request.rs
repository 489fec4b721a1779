//! What services were asked to do in a trace, and what that says about each.

use std::time::Duration;

use super::trace::{Interval, TraceSpan};
use crate::UnixNanos;
use crate::record::{AnyValue, KeyValue, SpanKind};
use crate::semconv;

/// One request that one service handled, with what it did to others taken out.
///
/// A request begins at every span of kind SERVER or CONSUMER, at every span whose parent ran in another
/// service, and at every root but a lone call to somebody else. A CLIENT or PRODUCER span that nothing answered for is a request too, to whoever
/// its `service.peer.name` names, [`joined`](Self::joined) as [`Joined::CallerOnly`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Request<'a> {
    /// Who handled it.
    pub service: &'a str,
    /// Who asked, where that is known and is another service.
    pub caller: Option<&'a str>,
    /// How the caller is known.
    pub joined: Joined,
    /// The span at its root.
    pub span: &'a TraceSpan,
    /// How long it took.
    pub latency: Duration,
    /// How much of that the service did not spend waiting for others.
    pub self_time: Duration,
    /// True where it failed.
    pub is_error: bool,
    /// True where it failed and nothing that it asked of others did: the error began here.
    pub is_origin: bool,
}

impl Request<'_> {
    /// When it was done.
    #[must_use]
    pub const fn end(&self) -> UnixNanos {
        self.span.span.end
    }
}

/// How a request is tied to its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Joined {
    /// Not at all: nobody is known to have asked.
    Not,
    /// By the parent span, so the caller's own time has this request's time taken out.
    Parent,
    /// By `service.peer.name` alone: the caller is known, the span that caused it is not.
    Peer,
    /// Only the caller saw it; nobody records in the service itself.
    CallerOnly,
}

pub(super) fn of(spans: &[TraceSpan]) -> Vec<Request<'_>> {
    let is_entry: Vec<bool> = spans.iter().map(|span| begins_request(spans, span)).collect();
    let owners = owners(spans, &is_entry);
    let owner = |place: usize| owners.get(place).copied().unwrap_or(place);
    let parent_owner = |span: &TraceSpan| span.parent.map(owner);

    let mut answered = vec![false; spans.len()];
    for (span, _) in spans.iter().zip(&is_entry).filter(|(_, entry)| **entry) {
        if let Some(flag) = span.parent.and_then(|parent| answered.get_mut(parent)) {
            *flag = true;
        }
    }
    let mut waits: Vec<(usize, Interval)> = Vec::new();
    let mut failed_below = vec![false; spans.len()];
    for (place, (span, (&entry, &answered))) in spans.iter().zip(is_entry.iter().zip(&answered)).enumerate() {
        let waited = if entry { parent_owner(span) } else { asks(span).then(|| owner(place)) };
        let Some(waited) = waited else { continue };
        waits.push((waited, Interval::of(&span.span)));
        if let Some(failed) = failed_below.get_mut(waited) {
            // Of an answered call the answer says whether the callee failed.
            *failed |= span.span.is_error() && (entry || !answered);
        }
    }
    waits.sort_unstable();

    let flag = |flags: &[bool], place: usize| flags.get(place).copied().unwrap_or_default();
    let requests = spans.iter().enumerate().filter_map(|(place, span)| {
        if !flag(&is_entry, place) {
            return (asks(span) && !flag(&answered, place)).then(|| by_caller(span)).flatten();
        }
        let from = waits.partition_point(|wait| wait.0 < place);
        let own = waits.get(from..).unwrap_or_default().iter().take_while(|wait| wait.0 == place);
        let (caller, joined) = caller(spans, span);
        Some(Request {
            service: &span.service,
            caller,
            joined,
            span,
            latency: span.span.duration(),
            self_time: Interval::of(&span.span).less(own.map(|wait| wait.1)),
            is_error: span.span.is_error(),
            is_origin: span.span.is_error() && !flag(&failed_below, place),
        })
    });
    requests.collect()
}

fn begins_request(spans: &[TraceSpan], span: &TraceSpan) -> bool {
    let parent = span.parent.and_then(|parent| spans.get(parent));
    let from_outside = matches!(span.span.kind, SpanKind::Server | SpanKind::Consumer);
    // A lone call to somebody else is no request to the service that made it.
    let lone_call = asks(span) && span.parent.is_none();
    // Work inside a process whose parent got lost is a part of some request, not one more.
    let lost_parent = span.span.kind == SpanKind::Internal && span.span.parent_span_id.is_valid();
    match parent {
        Some(parent) => from_outside || parent.service != span.service,
        None => from_outside || !lone_call && !lost_parent,
    }
}

fn asks(span: &TraceSpan) -> bool {
    matches!(span.span.kind, SpanKind::Client | SpanKind::Producer)
}

/// For each span the request that it is part of: the nearest one upwards that begins a request.
fn owners(spans: &[TraceSpan], is_entry: &[bool]) -> Vec<usize> {
    const UNKNOWN: usize = usize::MAX;
    let mut owners = vec![UNKNOWN; spans.len()];
    let mut path = Vec::new();
    for start in 0..spans.len() {
        let mut place = start;
        let found = loop {
            match owners.get(place) {
                Some(&UNKNOWN) => {}
                Some(&known) => break known,
                None => break place,
            }
            path.push(place);
            let parent = spans.get(place).and_then(|span| span.parent);
            match parent {
                Some(parent) if !is_entry.get(place).copied().unwrap_or(true) => place = parent,
                _ => break place,
            }
        };
        for step in path.drain(..) {
            if let Some(owner) = owners.get_mut(step) {
                *owner = found;
            }
        }
    }
    owners
}

fn caller<'a>(spans: &'a [TraceSpan], span: &'a TraceSpan) -> (Option<&'a str>, Joined) {
    let own = &*span.service;
    if let Some(parent) = span.parent.and_then(|parent| spans.get(parent)) {
        let other = Some(&*parent.service).filter(|&caller| caller != own);
        return (other, if other.is_some() { Joined::Parent } else { Joined::Not });
    }
    match peer(span).filter(|&peer| peer != own) {
        Some(peer) => (Some(peer), Joined::Peer),
        None => (None, Joined::Not),
    }
}

fn by_caller(span: &TraceSpan) -> Option<Request<'_>> {
    let service = peer(span).filter(|&peer| peer != &*span.service)?;
    Some(Request {
        service,
        caller: Some(&span.service),
        joined: Joined::CallerOnly,
        span,
        latency: span.span.duration(),
        self_time: span.span.duration(),
        is_error: span.span.is_error(),
        is_origin: span.span.is_error(),
    })
}

fn peer(span: &TraceSpan) -> Option<&str> {
    KeyValue::find(&span.span.attributes, semconv::SERVICE_PEER_NAME)
        .and_then(AnyValue::as_str)
        .filter(|name| !name.is_empty())
}
