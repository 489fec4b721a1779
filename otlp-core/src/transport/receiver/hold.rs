//! What a request holds of the receiver, given back when it is dropped.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::account::Account;
use super::admission::Turned;
use super::answer::Refusal;
use crate::protocol::memory::{MemoryLimiter, Pressure, Reservation};

/// When a client that was turned away may come back: long enough for most of what is in hand to be done.
const COME_BACK: Duration = Duration::from_secs(1);

/// A request's place among those that may be in hand.
#[derive(Debug)]
pub(super) struct Pass(Arc<Account>);

impl Pass {
    /// Takes a place, before the body is read. `claimed` is what the client says of its length, or 0.
    pub(super) fn take(account: &Arc<Account>, claimed: u64) -> Result<Self, Refusal> {
        let pressure = || account.memory.as_ref().map_or(Pressure::None, MemoryLimiter::pressure);
        let pressure = match pressure() {
            Pressure::None => Pressure::None,
            // What is only kept must not turn anybody away.
            _ if account.spares().clear() => pressure(),
            pressed => pressed,
        };
        let told = account.admission().begin(claimed, pressure);
        told.map_err(|turned| turn_away(account, turned))?;
        Ok(Self(Arc::clone(account)))
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.admission().end();
    }
}

/// Bytes of the receiver's budget, and of the process's where there is one.
#[derive(Debug)]
pub(super) struct Share {
    account: Arc<Account>,
    bytes: usize,
    reserved: Vec<Reservation>,
}

impl Share {
    pub(super) fn new(account: &Arc<Account>) -> Self {
        Self { account: Arc::clone(account), bytes: 0, reserved: Vec::new() }
    }

    /// Takes `bytes` more, to be called before they are allocated.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.try_grow(bytes).map_err(|turned| turn_away(&self.account, turned))
    }

    /// As [`grow`](Self::grow), for who can do without.
    pub(super) fn try_grow(&mut self, bytes: usize) -> Result<(), Turned> {
        let reserved = match &self.account.memory {
            Some(memory) => {
                let reserved = memory.reserve(bytes).or_else(|| {
                    let cleared = self.account.spares().clear();
                    if cleared { memory.reserve(bytes) } else { None }
                });
                Some(reserved.ok_or(Turned::Hard)?)
            }
            None => None,
        };
        self.account.admission().grow(bytes)?;
        self.bytes += bytes;
        self.reserved.extend(reserved);
        Ok(())
    }

    pub(super) const fn account(&self) -> &Arc<Account> {
        &self.account
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.account.admission().shrink(self.bytes);
    }
}

/// Counts the reason, and says it. OTLP knows 429 and 503 for an overloaded receiver (in gRPC
/// `RESOURCE_EXHAUSTED` with `RetryInfo`, and `UNAVAILABLE`): with 429 one is told to send less, with 503 that
/// nothing can be taken.
pub(super) fn turn_away(account: &Account, turned: Turned) -> Refusal {
    let (status, message) = match turned {
        Turned::Soft => (StatusCode::TOO_MANY_REQUESTS, "memory: soft limit of the process is reached"),
        Turned::Hard => (StatusCode::SERVICE_UNAVAILABLE, "memory: hard limit of the process is reached"),
        Turned::Requests => (StatusCode::SERVICE_UNAVAILABLE, "too many requests at once"),
        Turned::Bytes => (StatusCode::SERVICE_UNAVAILABLE, "too many bytes in requests at once"),
    };
    let mut stats = account.lock();
    match turned {
        Turned::Soft | Turned::Hard => stats.pressed += 1,
        Turned::Requests | Turned::Bytes => stats.crowded += 1,
    }
    Refusal { retry_after: Some(COME_BACK), ..Refusal::new(status, message) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::receiver::ReceiverLimits;

    fn account(memory: Option<MemoryLimiter>) -> Arc<Account> {
        let mut limits =
            ReceiverLimits::default().max_requests(2).max_body_bytes(100).max_total_body_bytes(100);
        limits.memory = memory;
        Arc::new(Account::new(&limits))
    }

    fn refused<T: std::fmt::Debug>(told: Result<T, Refusal>) -> (u16, Option<Duration>) {
        let refusal = told.expect_err("no room");
        (refusal.status.as_u16(), refusal.retry_after)
    }

    #[test]
    fn shares_and_places_are_given_back_whatever_happens() {
        let account = account(None);
        let mut one = Share::new(&account);
        one.grow(60).expect("room");
        let mut other = Share::new(&account);
        assert_eq!(refused(other.grow(41)), (503, Some(COME_BACK)));
        assert_eq!(refused(Pass::take(&account, 41)), (503, Some(COME_BACK)));
        let passes = (Pass::take(&account, 40).expect("room"), Pass::take(&account, 0).expect("room"));
        assert_eq!(refused(Pass::take(&account, 0)), (503, Some(COME_BACK)));
        drop((one, other, passes));
        Share::new(&account).grow(100).expect("all is given back");
        Pass::take(&account, 100).expect("all is given back");
        let stats = account.stats();
        assert_eq!((stats.crowded, stats.pressed), (3, 0));
    }

    #[test]
    fn the_memory_of_the_process_bounds_as_well() {
        let memory = MemoryLimiter::try_new(50, 80).expect("marks in order");
        let account = account(Some(memory.clone()));
        let mut share = Share::new(&account);
        share.grow(49).expect("room");
        let pass = Pass::take(&account, 0).expect("below the soft mark");
        share.grow(1).expect("who is in may go on");
        assert_eq!(refused(Pass::take(&account, 0)), (429, Some(COME_BACK)));
        assert_eq!(refused(share.grow(31)), (503, Some(COME_BACK)));
        share.grow(30).expect("exactly fits");
        assert_eq!(refused(Pass::take(&account, 0)), (503, Some(COME_BACK)));
        drop((share, pass));
        assert_eq!((memory.used_bytes(), account.admission().bytes(), account.lock().pressed), (0, 0, 3));
    }
}
