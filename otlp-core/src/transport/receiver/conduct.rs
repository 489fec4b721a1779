//! What one connection does, and how long it may go on with it. Pure: time is what the caller says it is.

use std::time::Duration;

use super::ReceiverLimits;

/// Time since the receiver began.
pub(super) type Now = Duration;

/// Bytes beyond one head that a connection may send beside bodies before a request of it is answered. Honest clients
/// need nine for 16 KiB of a body; the rest of this is for what is read and not yet counted.
const SPARE_BYTES: usize = 1 << 20;
/// What a request that begins gives back, for its head.
const HEAD_BYTES: usize = 8 << 10;
/// Requests that a client may give up before we answer, beyond those that were answered.
const SPARE_RESETS: u32 = 1000;

/// Why a connection ends before its client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Not a byte came in time.
    Silent,
    /// A head did not come in time.
    SlowHead,
    /// It sends and sends, and no request comes of it; or it gives up every request.
    Flood,
    /// It does not take its answers.
    Stalled,
    /// No request for too long: asked to go.
    Idle,
    /// Open for long enough: asked to go.
    Aged,
    /// Asked to go, and stayed.
    Lingers,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// Without an answer.
    GivenUp,
    /// By a refusal.
    Refused,
    /// By success.
    Served,
}

/// How easily a connection is given up for a newcomer; the least first, and of equals the one that is so longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    /// Was never served, and has no request begun.
    Stranger,
    /// Was never served, and its first body is still coming.
    Slow,
    /// Was served, and has nothing to ask.
    Idle,
    /// Was served, and sends a body.
    Sending,
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Watch {
    bounds: Bounds,
    began: Now,
    is_http2: bool,
    /// Requests whose body comes; and those that wait or are handled.
    reading: u32,
    handling: u32,
    /// A request of it was served.
    is_known: bool,
    /// The last time that there was no request any more.
    quiet_since: Now,
    /// The first byte of a head, where no request is open.
    head_since: Option<Now>,
    /// It takes no bytes from us since.
    blocked_since: Option<Now>,
    /// It was asked to go.
    leaving_since: Option<Now>,
    spare_bytes: usize,
    spare_resets: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bounds {
    head: Duration,
    idle: Duration,
    write: Duration,
    age: Duration,
    safe: Duration,
    spare: usize,
}

impl Watch {
    pub(super) const fn new(limits: &ReceiverLimits, now: Now) -> Self {
        let bounds = Bounds {
            head: limits.header_timeout,
            idle: limits.idle_timeout,
            write: limits.write_timeout,
            age: limits.connection_timeout,
            safe: limits.safe_time,
            spare: limits.header_bytes.saturating_add(SPARE_BYTES),
        };
        Self {
            bounds,
            began: now,
            is_http2: false,
            reading: 0,
            handling: 0,
            is_known: false,
            quiet_since: now,
            head_since: None,
            blocked_since: None,
            leaving_since: None,
            spare_bytes: bounds.spare,
            spare_resets: SPARE_RESETS,
        }
    }

    /// `bytes` came over the wire, whatever they are.
    pub(super) fn received(&mut self, now: Now, bytes: usize) {
        self.spare_bytes = self.spare_bytes.saturating_sub(bytes);
        if self.is_quiet() && !self.is_http2 && bytes > 0 {
            self.head_since.get_or_insert(now);
        }
    }

    /// The client said that it speaks HTTP/2, where a connection may be opened long before a request.
    #[cfg(any(feature = "grpc", test))]
    pub(super) const fn http2(&mut self, now: Now) {
        self.is_http2 = true;
        self.head_since = None;
        self.quiet_since = now;
    }

    /// The head of a request is there.
    pub(super) fn begun(&mut self) {
        self.reading += 1;
        self.head_since = None;
        self.give_back(HEAD_BYTES);
    }

    /// `bytes` of what came belong to a body.
    pub(super) fn body(&mut self, bytes: usize) {
        self.give_back(bytes.saturating_mul(2));
    }

    /// The body of a request is there.
    pub(super) const fn whole(&mut self) {
        self.reading = self.reading.saturating_sub(1);
        self.handling += 1;
    }

    /// A request is over, whose body was `whole` or not.
    pub(super) fn over(&mut self, now: Now, whole: bool, over: Over) {
        let open = if whole { &mut self.handling } else { &mut self.reading };
        *open = open.saturating_sub(1);
        self.is_known |= over == Over::Served;
        if over == Over::GivenUp {
            self.spare_resets = self.spare_resets.saturating_sub(1);
        } else if !self.is_flood() {
            self.spare_bytes = self.bounds.spare;
            self.spare_resets = (self.spare_resets + 1).min(SPARE_RESETS);
        }
        if self.is_quiet() {
            self.quiet_since = now;
        }
    }

    /// The client takes no more bytes for now, or takes them again.
    pub(super) fn blocked(&mut self, now: Now, is_blocked: bool) {
        self.blocked_since = is_blocked.then(|| self.blocked_since.unwrap_or(now));
    }

    /// The client was asked to go.
    pub(super) fn leave(&mut self, now: Now) {
        self.leaving_since.get_or_insert(now);
    }

    pub(super) const fn is_flood(&self) -> bool {
        self.spare_bytes == 0 || self.spare_resets == 0
    }

    const fn is_quiet(&self) -> bool {
        self.reading == 0 && self.handling == 0
    }

    fn give_back(&mut self, bytes: usize) {
        // What is spent stays spent.
        if self.spare_bytes > 0 {
            self.spare_bytes = self.spare_bytes.saturating_add(bytes).min(self.bounds.spare);
        }
    }

    /// When it is to end, if nothing happens before, and why.
    pub(super) fn due(&self) -> (Now, End) {
        if self.is_flood() {
            return (Now::ZERO, End::Flood);
        }
        let aged = match self.leaving_since {
            None => (self.began.saturating_add(self.bounds.age), End::Aged),
            Some(_) => (Now::MAX, End::Lingers),
        };
        let stalled = self.blocked_since.map(|since| (since.saturating_add(self.bounds.write), End::Stalled));
        let quiet = self.is_quiet().then(|| self.quiet_due());
        [Some(aged), stalled, quiet].into_iter().flatten().min_by_key(|(at, _)| *at).unwrap_or(aged)
    }

    fn quiet_due(&self) -> (Now, End) {
        if let Some(since) = self.leaving_since {
            return (since.max(self.quiet_since).saturating_add(self.bounds.head), End::Lingers);
        }
        if let Some(since) = self.head_since {
            return (since.saturating_add(self.bounds.head), End::SlowHead);
        }
        if self.is_known || self.is_http2 {
            (self.quiet_since.saturating_add(self.bounds.idle), End::Idle)
        } else {
            (self.quiet_since.saturating_add(self.bounds.head), End::Silent)
        }
    }

    /// Why it is to end now, if it is.
    pub(super) fn end(&self, now: Now) -> Option<End> {
        let (at, end) = self.due();
        (now >= at).then_some(end)
    }

    /// What it is worth, and since when; `None` where it is not to be given up: a request is being answered, or it
    /// has not had its time yet.
    pub(super) fn worth(&self, now: Now) -> Option<(Worth, Now)> {
        let (worth, since) = match (self.handling, self.is_known, self.reading) {
            (0, false, 0) => (Worth::Stranger, self.began),
            (0, false, _) => (Worth::Slow, self.began),
            (0, true, 0) => (Worth::Idle, self.quiet_since),
            (0, true, _) => (Worth::Sending, self.quiet_since),
            _ => return None,
        };
        (now.saturating_sub(since) >= self.bounds.safe).then_some((worth, since))
    }
}

/// Which of `connections` makes room: the least worthy, and of equals the one that is so longest.
pub(super) fn least_worthy<K>(connections: impl Iterator<Item = (K, Option<(Worth, Now)>)>) -> Option<K> {
    connections
        .filter_map(|(key, worth)| worth.map(|worth| (worth, key)))
        .min_by_key(|(worth, _)| *worth)
        .map(|(_, key)| key)
}

#[cfg(test)]
mod tests;
