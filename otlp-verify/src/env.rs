//! The real exporter of `otlp-core`, the code that ships, under a network that does everything a network may do.
//!
//! A state is the [`Exporter`] itself with what is under way and what the receiver has. Requests and answers are
//! lost, connections break, answers come late or twice, receivers are busy, refuse, and take requests in part, at
//! every instant; and every event that the exporter records on the way is held against
//! [`ExportRetry`](export_retry::ExportRetry). So an exploration that ends without a fault
//! says that within these bounds the exporter does nothing that the model does not allow.
//!
//! ```
//! use otlp_verify::Bfs;
//! use otlp_verify::env::{Env, World, small_config};
//!
//! let env = Env::try_new(small_config(), World::default().requests(1))?;
//! let report = Bfs::new(&env).always(Env::invariants()).run();
//! assert!(report.is_verified(), "{report}");
//! # Ok::<(), otlp_verify::Error>(())
//! ```

mod drive;

use std::time::Duration;

use otlp_core::protocol::export::{Attempt, Exporter, ExporterConfig};
use otlp_core::protocol::retry::Backoff;

use crate::conform::Misfit;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::property::Always;
use crate::spec::export_retry::{self, Rules};

/// What the network and the receiver may do in an exploration. One tick is a millisecond.
///
/// By default: two requests of two records, every [`Reply`] but [`Reply::Unusable`], a `Retry-After` of three ticks,
/// the shortest jitter alone, one answer that may come twice, and no shutdown. Every destination has the same network and
/// the same receiver; what one of them stored is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    requests: u8,
    replies: Vec<Reply>,
    retry_after: Duration,
    jitters: Vec<u64>,
    duplicates: u8,
    shutdown: Option<Duration>,
    hurry: Option<Duration>,
}

/// A real exporter's configuration, and the world it is put into.
#[derive(Debug, Clone)]
pub struct Env {
    config: ExporterConfig,
    rules: Rules,
    world: World,
}

/// The exporter, what is under way, and what the receiver has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct State {
    /// The exporter itself.
    pub exporter: Exporter,
    /// Ticks since the beginning.
    pub now: u64,
    /// What the exporter asked for when it was last polled.
    pub wake: Wake,
    /// Requests handed in, refused ones too.
    pub handed_in: u8,
    /// Requests and answers under way, the oldest first.
    pub network: Vec<Message>,
    /// Records that the receiver stored, of each request; a request that came twice is stored once.
    pub stored: Vec<u32>,
    /// Answers that may still come twice.
    pub duplicates_left: u8,
    /// Whether the shutdown was asked for.
    pub shutting_down: bool,
    /// Whether its end was brought forward.
    pub hurried: bool,
    /// The model, as far as the exporter's events have moved it.
    pub model: export_retry::State,
    /// The first event that the model does not allow.
    pub misfit: Option<Misfit>,
}

/// When the exporter wants to be polled again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(clippy::exhaustive_enums, reason = "complete: what a poll says when there is nothing to send")]
pub enum Wake {
    /// Not before something else happens: it holds nothing.
    #[default]
    Idle,
    /// At this tick.
    At(u64),
    /// Never: the shutdown is complete.
    Finished,
}

/// Something under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Message {
    /// The attempt that it belongs to.
    pub attempt: Attempt,
    /// The answer, once the receiver gave one; before that it is the request.
    pub reply: Option<Reply>,
}

/// What a receiver may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete: the classes of answers that OTLP knows")]
pub enum Reply {
    /// Stored.
    Accept,
    /// Stored but for one record.
    Partial,
    /// 503.
    Busy,
    /// 429 with `Retry-After`.
    BusyFor,
    /// 400.
    Refuse,
    /// 500, after the records were stored: the exporter will never know.
    Fail,
    /// Not an answer at all.
    Unusable,
}

/// What may happen. Messages are named by their place in [`State::network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete: what a world does to an exporter")]
pub enum Action {
    /// A request is handed in.
    Enqueue,
    /// A millisecond passes, as the exporter asked for.
    Tick {
        /// The random number of this poll.
        jitter: u64,
    },
    /// The receiver gets a request and answers.
    Serve {
        /// Which message.
        message: usize,
        /// Its answer.
        reply: Reply,
    },
    /// A message is lost without a sign.
    Lose {
        /// Which message.
        message: usize,
    },
    /// The connection breaks, and the exporter is told.
    Break {
        /// Which message.
        message: usize,
        /// The random number of this outcome.
        jitter: u64,
    },
    /// An answer arrives.
    Arrive {
        /// Which message.
        message: usize,
        /// The random number of this outcome.
        jitter: u64,
    },
    /// An answer arrives, and will once more.
    ArriveAndStay {
        /// Which message.
        message: usize,
        /// The random number of this outcome.
        jitter: u64,
    },
    /// The exporter is asked to end.
    ShutDown,
    /// It is asked to end sooner.
    Hurry,
}

/// A configuration of milliseconds: one in flight of two queued, two attempts of two, five of life, waits of one or two.
#[must_use]
pub fn small_config() -> ExporterConfig {
    let millis = Duration::from_millis;
    ExporterConfig::default()
        .max_queue_requests(2)
        .max_in_flight(1)
        .max_attempts(2)
        .timeout(millis(2))
        .max_elapsed(millis(5))
        .backoff(Backoff { initial: millis(2), max: millis(2) })
}

impl Default for World {
    fn default() -> Self {
        Self {
            requests: 2,
            replies: vec![
                Reply::Accept,
                Reply::Partial,
                Reply::Busy,
                Reply::BusyFor,
                Reply::Refuse,
                Reply::Fail,
            ],
            retry_after: Duration::from_millis(3),
            jitters: vec![0],
            duplicates: 1,
            shutdown: None,
            hurry: None,
        }
    }
}

impl World {
    /// Sets how many requests are handed in at most.
    #[must_use]
    pub const fn requests(mut self, requests: u8) -> Self {
        self.requests = requests;
        self
    }

    /// Sets what the receiver may say.
    #[must_use]
    pub fn replies(mut self, replies: impl IntoIterator<Item = Reply>) -> Self {
        self.replies = replies.into_iter().collect();
        self
    }

    /// Sets the wait that [`Reply::BusyFor`] asks for.
    #[must_use]
    pub const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = wait;
        self
    }

    /// Sets the random numbers that the exporter may be handed; at least one.
    #[must_use]
    pub fn jitters(mut self, jitters: impl IntoIterator<Item = u64>) -> Self {
        self.jitters = jitters.into_iter().collect();
        self
    }

    /// Sets how many answers may come twice.
    #[must_use]
    pub const fn duplicates(mut self, duplicates: u8) -> Self {
        self.duplicates = duplicates;
        self
    }

    /// Lets a shutdown begin at any instant, with this long to end.
    #[must_use]
    pub const fn shutdown(mut self, within: Duration) -> Self {
        self.shutdown = Some(within);
        self
    }

    /// Lets a second call, once, leave the shutdown no longer than this.
    #[must_use]
    pub const fn hurry(mut self, within: Duration) -> Self {
        self.hurry = Some(within);
        self
    }
}

impl Env {
    /// Puts an exporter made with `config` into `world`.
    ///
    /// # Errors
    /// Where `config` is refused by the exporter, or `world` has no jitter.
    pub fn try_new(config: ExporterConfig, world: World) -> Result<Self> {
        if world.jitters.is_empty() {
            return Err(Error::config("jitters: expected at least one"));
        }
        let checked = config.clone().build().map_err(|error| Error::config(error.to_string()))?;
        drop(checked);
        Ok(Self { rules: Rules::from(&config), config, world })
    }

    /// What must be true in every state. That the account is balanced is among what `Conforms` stands for.
    #[must_use]
    pub fn invariants() -> Vec<Always<Self>> {
        vec![
            Always::new("Conforms", |_, state: &State| state.misfit.is_none()),
            Always::new("AccountIsTheModels", |_, state: &State| {
                export_retry::Account::from(state.exporter.stats()) == state.model.account
            }),
            Always::implies(
                "ExportedIsStored",
                |_, state: &State| state.exporter.stats().exported > 0,
                |_, state: &State| {
                    let stored: u64 = state.stored.iter().copied().map(u64::from).sum();
                    state.exporter.stats().exported <= stored
                },
            ),
            Always::implies(
                "IdleHoldsNothing",
                |_, state: &State| matches!(state.wake, Wake::Idle | Wake::Finished),
                |_, state: &State| {
                    state.exporter.stats().queued == 0 && state.exporter.queued_requests() == 0
                },
            ),
            Always::implies(
                "WakesInTime",
                |_, state: &State| matches!(state.wake, Wake::At(_)),
                |_, state: &State| matches!(state.wake, Wake::At(tick) if tick > state.now),
            ),
        ]
    }
}

impl Model for Env {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        self.config.clone().build().map(|exporter| self.begin(exporter)).into_iter().collect()
    }

    fn actions(&self, state: &State, out: &mut Vec<Action>) {
        self.propose(state, out);
    }

    fn step(&self, state: &State, action: &Action) -> Option<State> {
        let mut next = state.clone();
        self.drive(&mut next, *action).then_some(next)
    }

    /// Where the exporter holds nothing, or where a misfit makes going on pointless.
    fn may_stop(&self, state: &State) -> bool {
        state.exporter.queued_requests() == 0 || state.misfit.is_some()
    }

    /// An estimate: the exporter's maps take a node of about a kibibyte each as soon as they hold anything.
    fn state_heap_bytes(&self, state: &State) -> usize {
        const NODE: usize = 1200;
        let flying = state.exporter.in_flight();
        let waiting = state.exporter.queued_requests() - flying;
        usize::from(flying > 0) * NODE
            + usize::from(waiting > 0) * NODE
            + state.network.capacity() * size_of::<Message>()
            + state.stored.capacity() * size_of::<u32>()
            + state.model.requests.capacity() * size_of::<export_retry::Request>()
    }

    fn action_names(&self) -> &'static [&'static str] {
        &["Enqueue", "Tick", "Serve", "Lose", "Break", "Arrive", "ArriveAndStay", "ShutDown", "Hurry"]
    }

    fn action_kind(&self, action: &Action) -> usize {
        match action {
            Action::Enqueue => 0,
            Action::Tick { .. } => 1,
            Action::Serve { .. } => 2,
            Action::Lose { .. } => 3,
            Action::Break { .. } => 4,
            Action::Arrive { .. } => 5,
            Action::ArriveAndStay { .. } => 6,
            Action::ShutDown => 7,
            Action::Hurry => 8,
        }
    }
}

#[cfg(test)]
mod tests;
