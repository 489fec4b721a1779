//! One exporter: spans are produced once each, buffered, sent as one request and acknowledged by the server,
//! while the network goes up and down.
//!
//! This is the twin of `tla/OTLPExport.tla`.
//!
//! ```
//! use otlp_verify::Bfs;
//! use otlp_verify::spec::export::Export;
//!
//! let report = Bfs::new(&Export::try_new(2, 3, 1)?).always(Export::invariants()).run();
//! assert!(report.is_verified(), "{report}");
//! # Ok::<(), otlp_verify::Error>(())
//! ```

use std::fmt;

use super::Set;
use crate::error::{Result, within};
use crate::model::Model;
use crate::property::Always;

/// The constants of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Export {
    buffer: u8,
    spans: u8,
    retries: u8,
}

/// Where every span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct State {
    /// Spans waiting to be sent, in the order they came.
    pub buffer: Buffer,
    /// Spans that were sent.
    pub sent: Set,
    /// Spans that the server acknowledged.
    pub acked: Set,
    /// Retries since the last acknowledgement.
    pub retry_count: u8,
    /// Whether anything gets through.
    pub network_up: bool,
}

/// A sequence of at most eight spans, numbered from 1 to 8.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Buffer {
    spans: [u8; Set::MAX as usize],
    len: u8,
}

/// What may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete: the actions of the TLA+ module")]
pub enum Action {
    /// A span that is neither buffered nor sent yet goes to the buffer.
    GenerateSpan(u8),
    /// The whole buffer is sent as one request.
    SendBatch,
    /// The server acknowledges everything sent.
    ReceiveAck,
    /// What is not acknowledged is sent again.
    Retry,
    /// The network stops.
    NetworkFail,
    /// The network is back.
    NetworkRecover,
}

impl Export {
    /// A model of `spans` (1 to 8) through a buffer of `buffer` places (1 to 8), with at most `retries`
    /// between two acknowledgements.
    ///
    /// # Errors
    /// Where a constant is outside its range.
    pub fn try_new(buffer: u8, spans: u8, retries: u8) -> Result<Self> {
        within("buffer", buffer.into(), 1, Set::MAX.into())?;
        within("spans", spans.into(), 1, Set::MAX.into())?;
        Ok(Self { buffer, spans, retries })
    }

    /// What must be true in every state, under the names of the TLA+ module.
    #[must_use]
    pub fn invariants() -> Vec<Always<Self>> {
        vec![
            Always::new("TypeOK", |model: &Self, state: &State| {
                let all = Set::up_to(model.spans);
                let sets = [state.buffer.set(), state.sent, state.acked];
                sets.into_iter().all(|set| set.is_subset(all)) && state.retry_count <= model.retries
            }),
            Always::new("BufferBounded", |model: &Self, state| state.buffer.len() <= model.buffer),
            Always::implies(
                "AckedImpliesSent",
                |_, state: &State| !state.acked.is_empty(),
                |_, state: &State| state.acked.is_subset(state.sent),
            ),
            Always::new("NoDuplicates", |_, state: &State| {
                let buffered = state.buffer.set();
                buffered.len() == u32::from(state.buffer.len())
                    && buffered.intersection(state.sent).is_empty()
            }),
        ]
    }
}

impl State {
    /// True where something sent is not acknowledged yet.
    #[must_use]
    pub const fn is_outstanding(&self) -> bool {
        !self.sent.is_subset(self.acked)
    }
}

impl Buffer {
    /// The buffer with `span` at its end; nothing changes where all eight places are taken.
    #[must_use]
    pub fn with(mut self, span: u8) -> Self {
        if let Some(place) = self.spans.get_mut(usize::from(self.len)) {
            *place = span;
            self.len += 1;
        }
        self
    }

    /// How many spans are in the buffer.
    #[must_use]
    pub const fn len(&self) -> u8 {
        self.len
    }

    /// True where no span is in the buffer.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The spans, in no order.
    #[must_use]
    pub fn set(&self) -> Set {
        self.iter().fold(Set::empty(), Set::with)
    }

    /// The spans, in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = u8> {
        self.spans.iter().copied().take(usize::from(self.len))
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Model for Export {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            buffer: Buffer::default(),
            sent: Set::empty(),
            acked: Set::empty(),
            retry_count: 0,
            network_up: true,
        }]
    }

    fn actions(&self, _: &State, out: &mut Vec<Action>) {
        out.extend(Set::up_to(self.spans).iter().map(Action::GenerateSpan));
        out.extend([
            Action::SendBatch,
            Action::ReceiveAck,
            Action::Retry,
            Action::NetworkFail,
            Action::NetworkRecover,
        ]);
    }

    fn step(&self, state: &State, action: &Action) -> Option<State> {
        let mut next = *state;
        let enabled = match *action {
            Action::GenerateSpan(span) => {
                next.buffer = state.buffer.with(span);
                state.buffer.len() < self.buffer && !state.sent.union(state.buffer.set()).contains(span)
            }
            Action::SendBatch => {
                next.sent = state.sent.union(state.buffer.set());
                next.buffer = Buffer::default();
                state.network_up && !state.buffer.is_empty()
            }
            Action::ReceiveAck => {
                next.acked = state.sent;
                next.retry_count = 0;
                state.network_up && state.is_outstanding()
            }
            Action::Retry => {
                next.retry_count = state.retry_count.saturating_add(1);
                state.network_up && state.is_outstanding() && state.retry_count < self.retries
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
        &["GenerateSpan", "SendBatch", "ReceiveAck", "Retry", "NetworkFail", "NetworkRecover"]
    }

    fn action_kind(&self, action: &Action) -> usize {
        match action {
            Action::GenerateSpan(_) => 0,
            Action::SendBatch => 1,
            Action::ReceiveAck => 2,
            Action::Retry => 3,
            Action::NetworkFail => 4,
            Action::NetworkRecover => 5,
        }
    }
}

#[cfg(test)]
mod tests;
