//! From a whole body to the handler's answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::admission::Turned;
use super::answer::{Answer, Refusal};
use super::body::{Coding, Failure, Gone, decode, read_json};
use super::hold::{Pass, Share, turn_away};
use super::serve::Core;
use super::spare::Buffer;
use super::workers::NotDone;
use crate::protocol::Signal;
use crate::transport::form::Form;

/// A request whose body is there.
pub(super) struct Whole {
    pub(super) signal: Signal,
    pub(super) wire: Buffer,
    /// Where in `wire` the message begins.
    pub(super) at: usize,
    pub(super) coding: Coding,
    pub(super) form: Form,
    pub(super) share: Share,
    pub(super) pass: Pass,
}

impl Core {
    /// Has a worker decompress and handle the body. With `left`, the time until the client gives up, it is not
    /// begun later than that.
    pub(super) async fn handle(
        self: &Arc<Self>,
        whole: Whole,
        left: Option<Duration>,
    ) -> Result<Answer, Failure> {
        self.account.lock().body_bytes += whole.wire.len() as u64;
        let wait = left.map_or(self.limits.queue_timeout, |left| left.min(self.limits.queue_timeout));
        let core = Arc::clone(self);
        match self.workers.run(wait, move || core.take(whole)).await {
            Ok(answer) => Ok(answer?),
            Err(NotDone::Late) if left == Some(wait) => {
                Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "deadline: passed before a worker was free")
                    .into())
            }
            Err(NotDone::Late) => Err(turn_away(&self.account, Turned::Requests).into()),
            Err(NotDone::Broken) => Err(Failure::Gone(Gone)),
        }
    }

    fn take(&self, whole: Whole) -> Result<Answer, Refusal> {
        // Its place is free when the handler is done, whether or not the client still waits.
        let Whole { signal, wire, at, coding, form, share, pass: _until_done } = whole;
        let mut unpacked = Share::new(&self.account);
        let message = wire.get(at..).unwrap_or_default();
        let decoded = decode(message, coding, &self.limits, &mut unpacked)?;
        // Other forms of it are held no longer than needed.
        match (form, decoded) {
            (Form::Protobuf, None) => self.decide(signal, message),
            (Form::Protobuf, Some(decoded)) => {
                drop((wire, share));
                self.decide(signal, &decoded)
            }
            (Form::Json, decoded) => {
                let mut read = Share::new(&self.account);
                let text = decoded.as_deref().unwrap_or(message);
                let message = read_json(signal, text, &self.limits, &mut read)?;
                drop((wire, share, decoded, unpacked));
                self.decide(signal, &message)
            }
        }
    }

    fn decide(&self, signal: Signal, body: &[u8]) -> Result<Answer, Refusal> {
        let decided = catch_unwind(AssertUnwindSafe(|| self.handler.handle(signal, body)));
        let answer =
            decided.map_err(|_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "handler failed"))?;
        let mut stats = self.account.lock();
        match answer {
            Answer::Accepted { records } => {
                stats.records_accepted = stats.records_accepted.saturating_add(records);
            }
            Answer::Partial { records, rejected, .. } => {
                stats.partial += 1;
                stats.records_accepted = stats.records_accepted.saturating_add(records);
                stats.records_rejected = stats.records_rejected.saturating_add(rejected);
            }
            Answer::Refuse { .. } => {}
        }
        Ok(answer)
    }
}
