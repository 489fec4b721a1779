//! At-least-once delivery: a batch is attempted until it is acknowledged or given up.
//!
//! The request or the response may be lost, so the server may see the same batch several times and must store it
//! once. This is the twin of `tla/OTLPRetry.tla`.
//!
//! ```
//! use otlp_verify::Bfs;
//! use otlp_verify::spec::retry::Retry;
//!
//! let report = Bfs::new(&Retry::try_new(2, 1, 1)?).always(Retry::invariants()).run();
//! assert!(report.is_verified());
//! // "Given up" does not imply "not stored": false on purpose.
//! let report = Bfs::new(&Retry::try_new(2, 1, 1)?).always([Retry::given_up_is_lost()]).run();
//! assert!(!report.is_verified());
//! # Ok::<(), otlp_verify::Error>(())
//! ```

use std::fmt;

use super::Set;
use crate::error::{Result, within};
use crate::model::Model;
use crate::property::Always;

/// Failed attempts are kept in half a byte a batch.
const MAX_RETRIES: u8 = 15;

/// The constants of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    batches: u8,
    retries: u8,
    in_flight: u8,
}

/// Where every batch is, and what the server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct State {
    /// Batches waiting for a slot.
    pub queue: Set,
    /// Batches being attempted.
    pub in_flight: Set,
    /// Batches in back-off.
    pub waiting: Set,
    /// Failed attempts of each batch.
    pub attempts: Attempts,
    /// What the server stored, each batch once.
    pub stored: Set,
    /// Batches the client knows to be stored.
    pub acked: Set,
    /// Batches the client will not attempt again.
    pub given_up: Set,
    /// Whether anything gets through.
    pub network_up: bool,
}

/// A number of failed attempts for each batch from 1 to 8.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Attempts(u32);

/// What may happen to a batch, or to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete: the actions of the TLA+ module")]
pub enum Action {
    /// A queued batch takes a slot and is sent.
    Send(u8),
    /// The server gets the batch and stores it.
    ServerStore(u8),
    /// The client learns that the batch is stored.
    ReceiveAck(u8),
    /// The attempt fails: request lost, response lost or refused for now; the client cannot tell which.
    AttemptFails(u8),
    /// The batch is sent again after its back-off.
    Retransmit(u8),
    /// The last attempt was in vain.
    GiveUp(u8),
    /// The network stops.
    NetworkFail,
    /// The network is back.
    NetworkRecover,
}

impl Retry {
    /// A model of `batches` (1 to 8), each attempted `1 + retries` times (retries 0 to 15), of which
    /// `in_flight` (1 to 8) hold a slot at a time.
    ///
    /// # Errors
    /// Where a constant is outside its range.
    pub fn try_new(batches: u8, retries: u8, in_flight: u8) -> Result<Self> {
        within("batches", batches.into(), 1, Set::MAX.into())?;
        within("retries", retries.into(), 0, MAX_RETRIES.into())?;
        within("in flight", in_flight.into(), 1, Set::MAX.into())?;
        Ok(Self { batches, retries, in_flight })
    }

    /// How many batches may hold a slot.
    #[must_use]
    pub const fn in_flight(&self) -> u32 {
        self.in_flight as u32
    }

    /// What must be true in every state, under the names of the TLA+ module.
    #[must_use]
    pub fn invariants() -> Vec<Always<Self>> {
        vec![
            Always::new("TypeOK", Self::is_well_formed),
            Always::new("Partition", |model: &Self, state| {
                let places = [state.queue, state.in_flight, state.waiting, state.acked, state.given_up];
                places.into_iter().fold(Set::empty(), Set::union) == model.all()
                    && places.into_iter().map(Set::len).sum::<u32>() == u32::from(model.batches)
            }),
            Always::new("RetryBounded", |model: &Self, state| {
                model.all().iter().all(|batch| state.attempts.of(batch) <= model.retries)
            }),
            Always::new("InFlightBounded", |model: &Self, state| state.busy() <= model.in_flight()),
            Always::implies(
                "AckedIsStored",
                |_, state: &State| !state.acked.is_empty(),
                |_, state: &State| state.acked.is_subset(state.stored),
            ),
        ]
    }

    /// False on purpose: a batch given up by the client may have been stored all the same.
    #[must_use]
    pub fn given_up_is_lost() -> Always<Self> {
        Always::new("GivenUpIsLost", |_, state: &State| state.given_up.intersection(state.stored).is_empty())
    }

    fn all(&self) -> Set {
        Set::up_to(self.batches)
    }

    fn is_well_formed(&self, state: &State) -> bool {
        let sets = [state.queue, state.in_flight, state.waiting, state.stored, state.acked, state.given_up];
        sets.into_iter().all(|set| set.is_subset(self.all()))
            && self.all().iter().all(|batch| state.attempts.of(batch) <= self.retries)
    }
}

impl State {
    /// Slots taken: batches being attempted and batches in back-off.
    #[must_use]
    pub const fn busy(&self) -> u32 {
        self.in_flight.len() + self.waiting.len()
    }
}

impl Attempts {
    /// Failed attempts of `batch`; zero where there is no such batch.
    #[must_use]
    pub const fn of(self, batch: u8) -> u8 {
        match batch {
            1..=Set::MAX => ((self.0 >> (4 * (batch - 1))) & 0xf) as u8,
            _ => 0,
        }
    }

    /// One more failed attempt of `batch`; at most 15 can be told apart.
    #[must_use]
    pub const fn one_more(self, batch: u8) -> Self {
        if batch == 0 || batch > Set::MAX || self.of(batch) == MAX_RETRIES {
            return self;
        }
        Self(self.0 + (1 << (4 * (batch - 1))))
    }
}

impl fmt::Debug for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = (1..=Set::MAX).filter(|batch| self.of(*batch) > 0);
        f.debug_map().entries(failed.map(|batch| (batch, self.of(batch)))).finish()
    }
}

impl Model for Retry {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let empty = Set::empty();
        vec![State {
            queue: self.all(),
            in_flight: empty,
            waiting: empty,
            attempts: Attempts::default(),
            stored: empty,
            acked: empty,
            given_up: empty,
            network_up: true,
        }]
    }

    fn actions(&self, state: &State, out: &mut Vec<Action>) {
        out.extend(state.queue.iter().map(Action::Send));
        for batch in state.in_flight.iter() {
            out.extend([
                Action::ServerStore(batch),
                Action::ReceiveAck(batch),
                Action::AttemptFails(batch),
                Action::GiveUp(batch),
            ]);
        }
        out.extend(state.waiting.iter().map(Action::Retransmit));
        out.extend([Action::NetworkFail, Action::NetworkRecover]);
    }

    fn step(&self, state: &State, action: &Action) -> Option<State> {
        let mut next = *state;
        let enabled = match *action {
            Action::Send(batch) => {
                next.queue = state.queue.without(batch);
                next.in_flight = state.in_flight.with(batch);
                state.network_up && state.queue.contains(batch) && state.busy() < self.in_flight()
            }
            Action::ServerStore(batch) => {
                next.stored = state.stored.with(batch);
                state.network_up && state.in_flight.contains(batch) && !state.stored.contains(batch)
            }
            Action::ReceiveAck(batch) => {
                next.in_flight = state.in_flight.without(batch);
                next.acked = state.acked.with(batch);
                state.network_up && state.in_flight.contains(batch) && state.stored.contains(batch)
            }
            Action::AttemptFails(batch) => {
                next.attempts = state.attempts.one_more(batch);
                next.in_flight = state.in_flight.without(batch);
                next.waiting = state.waiting.with(batch);
                state.in_flight.contains(batch) && state.attempts.of(batch) < self.retries
            }
            Action::Retransmit(batch) => {
                next.waiting = state.waiting.without(batch);
                next.in_flight = state.in_flight.with(batch);
                state.network_up && state.waiting.contains(batch)
            }
            Action::GiveUp(batch) => {
                next.in_flight = state.in_flight.without(batch);
                next.given_up = state.given_up.with(batch);
                state.in_flight.contains(batch) && state.attempts.of(batch) == self.retries
            }
            Action::NetworkFail => {
                next.network_up = false;
                state.network_up
            }
            Action::NetworkRecover => {
                next.network_up = true;
                !state.network_up
            }
        };
        enabled.then_some(next)
    }

    fn action_names(&self) -> &'static [&'static str] {
        &[
            "Send",
            "ServerStore",
            "ReceiveAck",
            "AttemptFails",
            "Retransmit",
            "GiveUp",
            "NetworkFail",
            "NetworkRecover",
        ]
    }

    fn action_kind(&self, action: &Action) -> usize {
        match action {
            Action::Send(_) => 0,
            Action::ServerStore(_) => 1,
            Action::ReceiveAck(_) => 2,
            Action::AttemptFails(_) => 3,
            Action::Retransmit(_) => 4,
            Action::GiveUp(_) => 5,
            Action::NetworkFail => 6,
            Action::NetworkRecover => 7,
        }
    }
}

#[cfg(test)]
mod tests;
