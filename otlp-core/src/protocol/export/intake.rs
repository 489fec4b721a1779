//! Taking requests in, and making room for them.

use bytes::Bytes;

use super::event::{DropReason, NotTaken, Priority, Request, RequestId};
use super::trace::TraceEvent;
use super::{DropPolicy, Entry, Exporter, Phase};
use crate::UnixNanos;
use crate::protocol::memory::MemoryLimiter;

impl Exporter {
    /// Takes a request into the queue. Its bytes are shared, not copied.
    ///
    /// # Errors
    /// [`NotTaken::Dropped`] where it was dropped at once; its records are counted as accepted and dropped.
    /// [`NotTaken::Full`] where the policy is [`DropPolicy::Block`] and there is no room: it comes back, and
    /// nothing was counted but [`Counters::blocked`](super::Counters::blocked).
    pub fn enqueue(&mut self, now: UnixNanos, request: Request) -> Result<RequestId, NotTaken> {
        let at = self.timeline.advance(now);
        if self.must_block(&request) {
            return Err(self.block(request));
        }
        let (id, records) = (self.take_in(at, &request), request.records);
        if let Err(reason) = self.make_room(at, &request) {
            self.discard(at, id, records, reason);
            return Err(NotTaken::Dropped(reason));
        }
        self.bytes += request.body.len();
        let entry = Entry {
            signal: request.signal,
            body: request.body,
            records,
            priority: request.priority,
            attempts: 0,
            not_before: at,
            expires: at + self.config.elapsed,
        };
        self.waiting.insert(id, entry);
        Ok(id)
    }

    /// As [`enqueue`](Self::enqueue), within the memory that `memory` has left: at its hard mark, older
    /// requests of this queue make room as the policy says.
    ///
    /// The bytes count for as long as any attempt or destination shares them.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue); the reason is [`DropReason::Memory`] where it is memory that lacks.
    pub fn enqueue_within(
        &mut self,
        now: UnixNanos,
        mut request: Request,
        memory: &MemoryLimiter,
    ) -> Result<RequestId, NotTaken> {
        let at = self.timeline.advance(now);
        // What the queue would not take in any case costs nobody else its memory.
        if self.might_take(&request) && !self.must_block(&request) {
            match self.hold_body(at, &request, memory) {
                Ok(held) => request.body = held,
                Err(Lacking::ForNow) => return Err(self.block(request)),
                Err(Lacking::ForGood) => return Err(self.drop_for_memory(at, &request)),
            }
        }
        self.enqueue(now, request)
    }

    /// Drops the next waiting request that the policy would drop for one of `priority`, to free memory.
    /// Returns its bytes; `None` where there is none.
    pub fn shed(&mut self, now: UnixNanos, priority: Priority) -> Option<usize> {
        let at = self.timeline.advance(now);
        self.shed_one(at, priority)
    }
}

/// Why there is no memory for a request.
enum Lacking {
    ForNow,
    ForGood,
}

impl Exporter {
    fn hold_body(
        &mut self,
        at: UnixNanos,
        request: &Request,
        memory: &MemoryLimiter,
    ) -> Result<Bytes, Lacking> {
        if request.body.len() > memory.hard_bytes() {
            return Err(Lacking::ForGood);
        }
        loop {
            if let Some(held) = memory.hold(&request.body) {
                return Ok(held);
            }
            if self.config.policy == DropPolicy::Block {
                return Err(Lacking::ForNow);
            }
            self.shed_one(at, request.priority).ok_or(Lacking::ForGood)?;
        }
    }

    /// What becomes of a request for which a [`Fanout`](crate::protocol::fanout::Fanout) found no memory.
    pub(in crate::protocol) fn refuse(&mut self, now: UnixNanos, request: &Request) -> NotTaken {
        let at = self.timeline.advance(now);
        let fits_ever = self.phase == Phase::Open && request.body.len() <= self.config.request_bytes;
        match self.config.policy {
            DropPolicy::Block if fits_ever => self.block(request.clone()),
            _ => self.drop_for_memory(at, request),
        }
    }

    fn drop_for_memory(&mut self, at: UnixNanos, request: &Request) -> NotTaken {
        let (id, reason) = (self.take_in(at, request), DropReason::Memory);
        self.discard(at, id, request.records, reason);
        NotTaken::Dropped(reason)
    }

    fn shed_one(&mut self, at: UnixNanos, priority: Priority) -> Option<usize> {
        let (id, victim) = self.waiting.take_victim(self.config.policy, priority)?;
        self.give_up(at, id, &victim, DropReason::Memory);
        Some(victim.body.len())
    }

    /// Gives a request its number and counts it as accepted.
    fn take_in(&mut self, at: UnixNanos, request: &Request) -> RequestId {
        self.last_id += 1;
        let id = RequestId(self.last_id);
        self.ledger.take(request.records);
        self.record(TraceEvent::Enqueued { request: id, records: request.records, at });
        id
    }

    fn block(&mut self, request: Request) -> NotTaken {
        self.ledger.counters.blocked += u64::from(request.records);
        NotTaken::Full(request)
    }

    /// True where there is no room, might be later, and the policy is to wait for it.
    fn must_block(&self, request: &Request) -> bool {
        let len = request.body.len();
        self.config.policy == DropPolicy::Block
            && self.phase == Phase::Open
            && len <= self.config.request_bytes.min(self.config.queue_bytes)
            && !self.fits(0, 0, len)
    }

    /// True where the queue has room for it, or would once all that may go is gone.
    fn might_take(&self, request: &Request) -> bool {
        let (requests, bytes) = self.waiting.droppable(self.config.policy, request.priority);
        self.phase == Phase::Open
            && request.body.len() <= self.config.request_bytes
            && self.fits(requests, bytes, request.body.len())
    }

    /// Finds room for a request, dropping others where the policy says so; nothing is dropped in vain.
    fn make_room(&mut self, at: UnixNanos, request: &Request) -> Result<(), DropReason> {
        let len = request.body.len();
        if self.phase != Phase::Open {
            return Err(DropReason::Closed);
        }
        if len > self.config.request_bytes {
            return Err(DropReason::TooLarge);
        }
        let (requests, bytes) = self.waiting.droppable(self.config.policy, request.priority);
        if !self.fits(requests, bytes, len) {
            return Err(DropReason::QueueFull);
        }
        while !self.fits(0, 0, len) {
            let victim = self.waiting.take_victim(self.config.policy, request.priority);
            let Some((id, victim)) = victim else { return Err(DropReason::QueueFull) };
            self.give_up(at, id, &victim, DropReason::QueueFull);
        }
        Ok(())
    }

    /// True where `len` bytes fit once so many requests and bytes are gone.
    fn fits(&self, requests: usize, bytes: usize, len: usize) -> bool {
        self.queued_requests() - requests < self.config.queue_requests
            && (self.bytes - bytes).saturating_add(len) <= self.config.queue_bytes
    }
}
