//! The driver of an explored exporter: what each action does to it, and what comes of that.

use std::time::Duration;

use bytes::Bytes;
use otlp_core::UnixNanos;
use otlp_core::protocol::Signal;
use otlp_core::protocol::export::{Command, Exporter, Outcome, Request};
use otlp_core::protocol::status::Code;
use otlp_core::record::ExportResponse;

use super::{Action, Env, Message, Reply, State, Wake};
use crate::conform::Monitor;
use crate::spec::export_retry;

/// Records of each request.
const RECORDS: u32 = 2;
/// The instant at which an exploration begins; far from zero, so that a wrong subtraction shows.
const BEGIN: UnixNanos = UnixNanos::from_secs(1_000);
const TICK: u64 = 1_000_000;

impl Env {
    pub(super) fn begin(&self, exporter: Exporter) -> State {
        State {
            exporter,
            now: 0,
            wake: Wake::Idle,
            handed_in: 0,
            network: Vec::new(),
            stored: vec![0; self.world.requests.into()],
            duplicates_left: self.world.duplicates,
            shutting_down: false,
            hurried: false,
            model: export_retry::State::default(),
            misfit: None,
        }
    }

    pub(super) fn propose(&self, state: &State, out: &mut Vec<Action>) {
        if state.misfit.is_some() {
            return;
        }
        let jitters = || self.world.jitters.iter().copied();
        for (message, Message { reply, .. }) in state.network.iter().enumerate() {
            out.extend([Action::Lose { message }]);
            out.extend(jitters().map(|jitter| Action::Break { message, jitter }));
            if reply.is_some() {
                out.extend(jitters().map(|jitter| Action::Arrive { message, jitter }));
                out.extend(jitters().map(|jitter| Action::ArriveAndStay { message, jitter }));
            } else {
                out.extend(self.world.replies.iter().map(|&reply| Action::Serve { message, reply }));
            }
        }
        out.push(Action::Enqueue);
        out.extend(self.world.shutdown.map(|_| Action::ShutDown));
        out.extend(self.world.hurry.map(|_| Action::Hurry));
        out.extend(jitters().map(|jitter| Action::Tick { jitter }));
    }

    /// Does what `action` says and lets the exporter react; false where the action is not enabled.
    pub(super) fn drive(&self, state: &mut State, action: Action) -> bool {
        let jitter = match action {
            Action::Tick { jitter }
            | Action::Break { jitter, .. }
            | Action::Arrive { jitter, .. }
            | Action::ArriveAndStay { jitter, .. } => jitter,
            _ => 0,
        };
        if self.act(state, action, jitter).is_none() {
            return false;
        }
        self.settle(state, jitter);
        true
    }

    /// The action itself; `None` where it is not enabled.
    fn act(&self, state: &mut State, action: Action, jitter: u64) -> Option<()> {
        match action {
            Action::Enqueue => {
                state.handed_in =
                    state.handed_in.checked_add(1).filter(|count| *count <= self.world.requests)?;
                let request = Request::new(Signal::Traces, Bytes::from_static(b"."), RECORDS);
                // Refused or not, it is in the account and in the trace.
                let _ = state.exporter.enqueue(instant(state.now), request);
            }
            // Time passes only where the exporter waits for it: if it forgets to ask, nothing moves any more.
            Action::Tick { .. } => match state.wake {
                Wake::At(tick) if tick > state.now => state.now += 1,
                _ => return None,
            },
            Action::Serve { message, reply } => self.serve(state, message, reply)?,
            Action::Lose { message } => _ = take(&mut state.network, message)?,
            Action::Break { message, .. } => {
                let Message { attempt, .. } = take(&mut state.network, message)?;
                state.exporter.on_outcome(instant(state.now), jitter, attempt, Outcome::Disconnected);
            }
            Action::Arrive { message, .. } => {
                let Message { attempt, reply } = take(&mut state.network, message)?;
                state.exporter.on_outcome(instant(state.now), jitter, attempt, self.outcome(reply?));
            }
            Action::ArriveAndStay { message, .. } => {
                state.duplicates_left = state.duplicates_left.checked_sub(1)?;
                let Message { attempt, reply } = *state.network.get(message)?;
                state.exporter.on_outcome(instant(state.now), jitter, attempt, self.outcome(reply?));
            }
            Action::ShutDown => {
                let within = self.world.shutdown.filter(|_| !state.shutting_down)?;
                state.shutting_down = true;
                state.exporter.shutdown(instant(state.now), instant(state.now) + within);
            }
            Action::Hurry => {
                let within = self.world.hurry.filter(|_| state.shutting_down && !state.hurried)?;
                state.hurried = true;
                state.exporter.shutdown(instant(state.now), instant(state.now) + within);
            }
        }
        Some(())
    }

    fn serve(&self, state: &mut State, message: usize, reply: Reply) -> Option<()> {
        let message = state.network.get_mut(message).filter(|message| message.reply.is_none())?;
        message.reply = Some(reply);
        let number = usize::try_from(message.attempt.request.0).ok()?;
        let stored = state.stored.get_mut(number.checked_sub(1)?)?;
        *stored = (*stored).max(match reply {
            Reply::Accept | Reply::Fail => RECORDS,
            Reply::Partial => RECORDS - 1,
            Reply::Busy | Reply::BusyFor | Reply::Refuse | Reply::Unusable => 0,
        });
        Some(())
    }

    fn outcome(&self, reply: Reply) -> Outcome {
        let refused = |code, retry_after: Option<Duration>| Outcome::Refused {
            code: Code::Http(code),
            retry_after,
            message: String::new(),
        };
        match reply {
            Reply::Accept => Outcome::Accepted,
            Reply::Partial => Outcome::Partial(ExportResponse { rejected: 1, message: String::new() }),
            Reply::Busy => refused(503, None),
            Reply::BusyFor => refused(429, Some(self.world.retry_after)),
            Reply::Refuse => refused(400, None),
            Reply::Fail => refused(500, None),
            Reply::Unusable => Outcome::BadAnswer,
        }
    }

    /// Polls until there is nothing more to do at this instant, and holds what was recorded against the model.
    fn settle(&self, state: &mut State, jitter: u64) {
        state.wake = loop {
            match state.exporter.poll(instant(state.now), jitter) {
                Command::Send(outgoing) => {
                    state.network.push(Message { attempt: outgoing.attempt, reply: None });
                }
                Command::WaitUntil(at) => break Wake::At(ticks(at)),
                Command::Finished(_) => break Wake::Finished,
                _ => break Wake::Idle,
            }
        };
        let mut monitor = Monitor::resume(self.rules, std::mem::take(&mut state.model));
        for event in state.exporter.take_trace() {
            if let Err(misfit) = monitor.observe_event(&event) {
                state.misfit = Some(misfit);
                break;
            }
        }
        state.model = monitor.into_state();
    }
}

const fn instant(tick: u64) -> UnixNanos {
    UnixNanos(BEGIN.0 + tick * TICK)
}

/// The first tick at which `at` has come.
const fn ticks(at: UnixNanos) -> u64 {
    at.0.saturating_sub(BEGIN.0).div_ceil(TICK)
}

fn take(network: &mut Vec<Message>, message: usize) -> Option<Message> {
    (message < network.len()).then(|| network.remove(message))
}
