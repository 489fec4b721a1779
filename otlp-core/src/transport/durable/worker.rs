//! The thread between the queue and the client that sends.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use super::{Shared, State, closed};
use crate::UnixNanos;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::export::{DropReason, Request, Verdict};
use crate::store::{Disk, DurableQueue, EntryId, Settlement, StoreError};
use crate::transport::blocking;

/// How long the ends of requests may wait for a push to share its `fsync` with. A crash before repeats them.
const ENDS_WAIT: Duration = Duration::from_millis(100);
/// When to try again what failed by the disk, or for want of memory, and what nothing else wakes.
const PAUSE: Duration = Duration::from_millis(100);
/// Messages taken before the disk is asked again: as many share one `fsync`.
const GROUP: usize = 1024;

/// Where the result of a push goes.
pub(super) type Reply = Box<dyn FnOnce(Result<EntryId>) + Send>;

pub(super) enum Message {
    /// Who pushes waits for the reply, so there are no more of these than threads and tasks that do.
    Push(Request, Reply),
    /// No more of these than attempts in flight.
    Answered(EntryId, Verdict),
    /// Sends until then, and ends.
    Shutdown(Instant),
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Push(..) => "Push",
            Self::Answered(..) => "Answered",
            Self::Shutdown(_) => "Shutdown",
        })
    }
}

/// The way to the network.
pub(super) struct Sender {
    pub(super) client: Arc<blocking::Client>,
    pub(super) answers: mpsc::Sender<Message>,
    /// Requests that the client may have at once.
    pub(super) in_flight: usize,
}

/// Owns the queue.
pub(super) struct Worker<D> {
    queue: DurableQueue<D>,
    sender: Sender,
    shared: Arc<Shared>,
    /// Requests that the client has.
    flying: usize,
    /// Pushes that are staged and wait for the commit.
    staged: Vec<(EntryId, Reply)>,
    /// Since when there are ends that are not committed.
    ends: Option<Instant>,
    /// Not to be given out before: the last try failed.
    not_before: Option<Instant>,
    end: Option<Instant>,
}

impl<D: Disk> Worker<D> {
    pub(super) fn new(queue: DurableQueue<D>, sender: Sender, shared: Arc<Shared>) -> Self {
        let worker = Self {
            queue,
            sender,
            shared,
            flying: 0,
            staged: Vec::new(),
            ends: None,
            not_before: None,
            end: None,
        };
        worker.publish();
        worker
    }

    /// Works until it is told to end; then what is not settled is on the disk.
    pub(super) fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            self.give_out();
            self.publish();
            if self.is_over() {
                break;
            }
            match self.next_wake() {
                None => match inbox.recv() {
                    Ok(message) => self.take(message),
                    Err(_nobody_left) => break,
                },
                Some(wake) => match inbox.recv_timeout(wake.saturating_duration_since(Instant::now())) {
                    Ok(message) => self.take(message),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                },
            }
            inbox.try_iter().take(GROUP).for_each(|message| self.take(message));
            self.commit();
        }
        self.finish(inbox);
    }

    fn is_over(&self) -> bool {
        self.end.is_some_and(|end| self.queue.requests() == 0 || Instant::now() >= end)
    }

    fn next_wake(&self) -> Option<Instant> {
        let now = Instant::now();
        let sync = self.queue.sync_due().map(|at| now + at.duration_since(unix_now()));
        let ends = self.ends.map(|since| since + ENDS_WAIT);
        [sync, ends, self.not_before, self.end].into_iter().flatten().min()
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Push(_, reply) if self.end.is_some() => reply(Err(closed())),
            Message::Push(request, reply) => match self.queue.stage(unix_now(), request) {
                Ok(id) => self.staged.push((id, reply)),
                Err(error) => reply(Err(to_error(&error))),
            },
            Message::Answered(id, verdict) => self.answered(id, &verdict),
            Message::Shutdown(end) => self.end = Some(self.end.map_or(end, |earlier| earlier.min(end))),
        }
    }

    fn answered(&mut self, id: EntryId, verdict: &Verdict) {
        self.flying = self.flying.saturating_sub(1);
        self.not_before = None;
        // Both fail where the entry was dropped for room meanwhile, and is counted as that.
        let _dropped_before = match settlement(verdict) {
            Some(settlement) => {
                self.ends.get_or_insert_with(Instant::now);
                self.queue.settle(id, settlement)
            }
            None => self.queue.give_back(id),
        };
    }

    /// Makes durable what has come, where somebody waits for it or it is time.
    fn commit(&mut self) {
        let now = Instant::now();
        let is_due = self.ends.is_some_and(|since| now >= since + ENDS_WAIT)
            || self.queue.sync_due().is_some_and(|at| unix_now() >= at);
        if self.staged.is_empty() && !is_due {
            return;
        }
        match self.queue.commit(unix_now()) {
            Ok(()) => {
                self.ends = None;
                // Whoever is told looks at the account next.
                self.publish();
                self.staged.drain(..).for_each(|(id, reply)| reply(Ok(id)));
            }
            Err(error) => {
                self.ends = self.ends.map(|_| now);
                self.staged.drain(..).for_each(|(_, reply)| reply(Err(to_error(&error))));
            }
        }
    }

    /// Hands the client as much as it may have in flight.
    fn give_out(&mut self) {
        if self.not_before.is_some_and(|at| Instant::now() < at) {
            return;
        }
        self.not_before = None;
        while self.flying < self.sender.in_flight {
            let lease = match self.queue.next(unix_now()) {
                Ok(Some(lease)) => lease,
                Ok(None) => return,
                // Counted by the queue.
                Err(_) => return self.pause(),
            };
            let (id, answers) = (lease.id, self.sender.answers.clone());
            // Where this thread has ended, what is not settled stays on the disk.
            let tell = move |verdict| drop(answers.send(Message::Answered(id, verdict)));
            match self.sender.client.handle().submit_telling(lease.request, tell) {
                Ok(_) => self.flying += 1,
                Err(error) if matches!(error.kind(), ErrorKind::Limit | ErrorKind::Malformed) => {
                    // Larger than the client may send, or not to be had as JSON: it would be so each time.
                    let _present = self.queue.settle(lease.id, Settlement::Dropped);
                    self.ends.get_or_insert_with(Instant::now);
                }
                Err(_no_room_now) => {
                    let _present = self.queue.give_back(lease.id);
                    return self.pause();
                }
            }
        }
    }

    fn pause(&mut self) {
        self.not_before = Some(Instant::now() + PAUSE);
    }

    fn publish(&self) {
        self.shared.publish(State { stats: self.queue.stats(), requests: self.queue.requests() });
    }

    /// Ends the attempts and takes the answers that have come; the rest goes out again at the next start.
    fn finish(mut self, inbox: &Receiver<Message>) {
        self.sender.client.shutdown(Duration::ZERO);
        inbox.try_iter().for_each(|message| self.take(message));
        self.commit();
        // What cannot be written now is repeated at the next start.
        let _repeated = self.queue.sync(unix_now());
        self.publish();
    }
}

/// What ends a request; `None` where it only goes back to the queue, which alone decides how long it is kept.
fn settlement(verdict: &Verdict) -> Option<Settlement> {
    Some(match verdict {
        Verdict::Exported { .. } => Settlement::Exported,
        Verdict::Partial { response, .. } => {
            Settlement::Partial { rejected: u32::try_from(response.rejected).unwrap_or(u32::MAX) }
        }
        Verdict::Rejected { .. } => Settlement::Rejected,
        Verdict::Dropped { reason: DropReason::Attempts | DropReason::BadAnswer, .. } => Settlement::Dropped,
        _ => return None,
    })
}

/// A failed commit has one error and many who wait for it, so each gets one of its own.
fn to_error(error: &StoreError) -> Error {
    let kind = match error {
        StoreError::Full { .. } | StoreError::DiskFull(_) => ErrorKind::Full,
        StoreError::TooLarge { .. } => ErrorKind::Limit,
        _ => ErrorKind::Io,
    };
    Error::new(kind, format!("durable queue: {error}"))
}

fn unix_now() -> UnixNanos {
    SystemTime::now().into()
}
