//! The real exporter's events as actions of the model.

use std::time::Duration;

use otlp_core::protocol::export::{DropReason, ExporterConfig, TraceEvent, TraceOutcome};
use otlp_core::protocol::status::Code;
use otlp_core::stats::Stats;

use super::{Conformance, Misfit, Monitor, Why};
use crate::spec::export_retry::{Account, Action, Answer, Breaker, BreakerRules, Reason, Rules};

/// The statuses after which a request may be sent again (OTLP 1.x, "OTLP/HTTP Response"). Not taken from
/// `otlp-core`: whether the exporter goes by them is part of what is checked.
const RETRYABLE: [u16; 4] = [429, 502, 503, 504];
/// The same of gRPC ("OTLP/gRPC Response"): CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE,
/// DATA_LOSS; RESOURCE_EXHAUSTED only with a wait.
const RETRYABLE_GRPC: [i32; 6] = [1, 4, 10, 11, 14, 15];
const RESOURCE_EXHAUSTED: i32 = 8;
const UNKNOWN: i32 = 2;
const UNIMPLEMENTED: i32 = 12;
const INTERNAL: i32 = 13;

/// Checks that `events`, the whole trace of one exporter made with `config`, is a run of the model, and that `stats`,
/// its account at the end of the trace, is what the events add up to.
///
/// ```
/// use bytes::Bytes;
/// use otlp_core::UnixNanos;
/// use otlp_core::protocol::Signal;
/// use otlp_core::protocol::export::{Command, ExporterConfig, Outcome, Request};
/// use otlp_verify::conform;
///
/// let mut exporter = ExporterConfig::default().build()?;
/// let now = UnixNanos::from_secs(1_700_000_000);
/// exporter.enqueue(now, Request::new(Signal::Traces, Bytes::from_static(b"..."), 3))?;
/// if let Command::Send(outgoing) = exporter.poll(now, 0) {
///     exporter.on_outcome(now, 0, outgoing.attempt, Outcome::Accepted);
/// }
/// let conformance = conform::check(exporter.config(), exporter.trace(), exporter.stats())?;
/// assert_eq!((conformance.events, conformance.account.exported), (4, 3));
///
/// // A trace from which an event is missing does not conform.
/// let mut events = exporter.take_trace();
/// events.remove(1);
/// let misfit = conform::check(exporter.config(), &events, exporter.stats()).expect_err("never sent");
/// assert_eq!(misfit.index(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The first event that does not fit, why, and what would have been allowed.
pub fn check(config: &ExporterConfig, events: &[TraceEvent], stats: Stats) -> Result<Conformance, Misfit> {
    let mut monitor = Monitor::of(config);
    for event in events {
        monitor.observe_event(event)?;
    }
    monitor.finish(stats.into())
}

impl Monitor {
    /// A monitor of an exporter that has just been made with `config`.
    #[must_use]
    pub fn of(config: &ExporterConfig) -> Self {
        Self::new(config.into())
    }

    /// Takes the next event of the exporter's trace.
    ///
    /// # Errors
    /// Where the model does not allow it.
    pub fn observe_event(&mut self, event: &TraceEvent) -> Result<(), Misfit> {
        match (*event, action(event)) {
            (TraceEvent::BreakerOpened { destination, until, at }, _) => {
                self.observe_breaker(at.0, destination.0, Breaker::Open { until: until.0 })
            }
            (TraceEvent::BreakerClosed { destination, at }, _) => {
                self.observe_breaker(at.0, destination.0, Breaker::default())
            }
            (_, Some(action)) => self.observe(event.at().0, &action),
            (_, None) => Err(self.ending(Why::UnknownEvent)),
        }
    }
}

impl From<&ExporterConfig> for Rules {
    fn from(config: &ExporterConfig) -> Self {
        let bounds = config.bounds();
        Self {
            max_queue_requests: u32::try_from(bounds.queue_requests).unwrap_or(u32::MAX),
            max_in_flight: u32::try_from(bounds.in_flight).unwrap_or(u32::MAX),
            max_attempts: bounds.attempts,
            max_elapsed_ticks: nanos(bounds.elapsed),
            backoff_initial_ticks: nanos(bounds.backoff.initial),
            backoff_max_ticks: nanos(bounds.backoff.max),
            destinations: bounds.fallbacks.saturating_add(1),
            breaker: bounds.breaker.map(|breaker| BreakerRules {
                failures: breaker.failures,
                cooldown_ticks: nanos(breaker.cooldown),
                trials: breaker.trials,
            }),
        }
    }
}

impl From<Stats> for Account {
    fn from(stats: Stats) -> Self {
        let Stats { accepted, exported, rejected, dropped, queued } = stats;
        Self { accepted, exported, rejected, dropped, queued }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The action that an event records; `None` for kinds that came after this was written.
fn action(event: &TraceEvent) -> Option<Action> {
    Some(match *event {
        TraceEvent::Enqueued { request, records, .. } => Action::Enqueue { request: request.0, records },
        TraceEvent::Sent { request, attempt, destination, .. } => {
            Action::Send { request: request.0, attempt, destination: destination.0 }
        }
        TraceEvent::Responded { request, attempt, outcome, .. } => {
            Action::Answer { request: request.0, attempt, answer: answer(outcome)? }
        }
        TraceEvent::RetryScheduled { request, attempt, not_before, .. } => {
            Action::ScheduleRetry { request: request.0, attempt, not_before: not_before.0 }
        }
        TraceEvent::Exported { request, records, rejected, .. } => {
            Action::Export { request: request.0, records, rejected }
        }
        TraceEvent::Rejected { request, records, .. } => Action::Reject { request: request.0, records },
        TraceEvent::Dropped { request, records, reason, .. } => {
            Action::Drop { request: request.0, records, reason: self::reason(reason)? }
        }
        TraceEvent::Stale { request, attempt, .. } => Action::Stale { request: request.0, attempt },
        TraceEvent::ShutdownBegan { deadline, .. } => Action::BeginShutdown { deadline: deadline.0 },
        TraceEvent::ShutdownAdvanced { deadline, .. } => Action::AdvanceShutdown { deadline: deadline.0 },
        TraceEvent::Finished { .. } => Action::Finish,
        _ => return None,
    })
}

fn answer(outcome: TraceOutcome) -> Option<Answer> {
    Some(match outcome {
        TraceOutcome::Accepted => Answer::Accepted,
        TraceOutcome::Partial { rejected } => Answer::Partial { rejected },
        TraceOutcome::Refused { code, retry_after } => refusal(code, retry_after),
        TraceOutcome::TimedOut | TraceOutcome::Disconnected => Answer::Lost,
        TraceOutcome::BadAnswer => Answer::Unusable,
        _ => return None,
    })
}

fn refusal(code: Code, retry_after: Option<Duration>) -> Answer {
    let retryable = match code {
        Code::Http(code) => RETRYABLE.contains(&code),
        Code::Grpc(RESOURCE_EXHAUSTED) => retry_after.is_some(),
        Code::Grpc(code) => RETRYABLE_GRPC.contains(&code),
    };
    match code {
        _ if retryable => Answer::Busy { retry_after: retry_after.map(nanos) },
        Code::Http(500..=599) | Code::Grpc(UNKNOWN | UNIMPLEMENTED | INTERNAL) => Answer::Failed,
        Code::Http(_) | Code::Grpc(_) => Answer::Refused,
    }
}

fn reason(reason: DropReason) -> Option<Reason> {
    Some(match reason {
        DropReason::QueueFull => Reason::QueueFull,
        DropReason::TooLarge => Reason::TooLarge,
        DropReason::Expired => Reason::Expired,
        DropReason::Attempts => Reason::Attempts,
        DropReason::BadAnswer => Reason::Unusable,
        DropReason::Shutdown => Reason::Shutdown,
        DropReason::Closed => Reason::Closed,
        DropReason::Memory => Reason::Memory,
        _ => return None,
    })
}
