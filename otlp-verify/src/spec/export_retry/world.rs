//! What an exploration tries: candidates for actions; whether they are enabled is not decided here.

use super::{
    Action, Answer, Breaker, Clock, ExportRetry, Phase, Place, Reason, Request, Rules, State, World,
};

impl Default for World {
    fn default() -> Self {
        Self {
            requests: 2,
            records: 2,
            retry_after: vec![None, Some(2)],
            shutdown_ticks: vec![1],
            clock: Clock::EveryTick,
        }
    }
}

impl World {
    /// Sets how many requests are handed in at most.
    #[must_use]
    pub const fn requests(mut self, requests: u64) -> Self {
        self.requests = requests;
        self
    }

    /// Sets how many records each request has; of two and more, all but one may be rejected.
    #[must_use]
    pub const fn records(mut self, records: u32) -> Self {
        self.records = records;
        self
    }

    /// Sets the waits, in ticks, that a busy receiver may ask for.
    #[must_use]
    pub fn retry_after(mut self, ticks: impl IntoIterator<Item = Option<u64>>) -> Self {
        self.retry_after = ticks.into_iter().collect();
        self
    }

    /// Sets the ticks that a shutdown may be given; with none, there is no shutdown.
    #[must_use]
    pub fn shutdown_ticks(mut self, ticks: impl IntoIterator<Item = u64>) -> Self {
        self.shutdown_ticks = ticks.into_iter().collect();
        self
    }

    /// A world for saying what might have come next in a recorded trace.
    pub(crate) fn recorded() -> Self {
        Self {
            requests: u64::MAX,
            records: 1,
            retry_after: vec![None],
            shutdown_ticks: vec![0],
            clock: Clock::NextChange,
        }
    }

    fn answers(&self) -> impl Iterator<Item = Answer> {
        let busy = self.retry_after.iter().map(|&retry_after| Answer::Busy { retry_after });
        // A receiver may claim to have refused more than it was sent.
        let partial = [1, u64::from(self.records) + 1].map(|rejected| Answer::Partial { rejected });
        let plain = [Answer::Accepted, Answer::Lost, Answer::Refused, Answer::Failed, Answer::Unusable];
        plain.into_iter().chain(partial).chain(busy)
    }
}

const REASONS: [Reason; 8] = [
    Reason::QueueFull,
    Reason::TooLarge,
    Reason::Expired,
    Reason::Attempts,
    Reason::Unusable,
    Reason::Shutdown,
    Reason::Closed,
    Reason::Memory,
];

impl ExportRetry {
    pub(super) fn propose(&self, state: &State, out: &mut Vec<Action>) {
        for (number, request) in (1_u64..).zip(&state.requests) {
            self.propose_for(state.now, (number, request), out);
        }
        self.propose_whole(state, out);
    }

    /// What might happen to the exporter as a whole.
    pub(crate) fn propose_whole(&self, state: &State, out: &mut Vec<Action>) {
        let next = state.requests.len() as u64 + 1;
        if next <= self.world.requests {
            out.push(Action::Enqueue { request: next, records: self.world.records });
        }
        let deadlines = self.world.shutdown_ticks.iter().map(|ticks| state.now.saturating_add(*ticks));
        out.extend(deadlines.map(|deadline| Action::BeginShutdown { deadline }));
        if let Phase::Draining { .. } = state.phase {
            out.push(Action::AdvanceShutdown { deadline: state.now });
        }
        out.push(Action::Finish);
        self.propose_time(state, out);
    }

    /// What might happen to one request.
    pub(crate) fn propose_for(&self, now: u64, (number, request): (u64, &Request), out: &mut Vec<Action>) {
        let Request { records, attempts: attempt, .. } = *request;
        match request.place {
            Place::Waiting { .. } => {
                let attempt = attempt.saturating_add(1);
                let destinations = 0..self.rules.destinations;
                out.extend(destinations.map(|destination| Action::Send {
                    request: number,
                    attempt,
                    destination,
                }));
            }
            Place::Flying => {
                out.extend(self.world.answers().map(|answer| Action::Answer {
                    request: number,
                    attempt,
                    answer,
                }));
            }
            Place::Answered(answer) => propose_decision(&self.rules, now, (number, request, answer), out),
            Place::Exported | Place::Rejected | Place::Dropped => {}
        }
        if !request.is_settled() {
            out.extend(REASONS.map(|reason| Action::Drop { request: number, records, reason }));
        }
        if attempt > 0 {
            out.push(Action::Stale { request: number, attempt });
        }
    }

    /// Time passes only while there is an instant ahead at which something changes; so it does not pass for ever.
    fn propose_time(&self, state: &State, out: &mut Vec<Action>) {
        if state.queued_requests == 0 {
            return;
        }
        let deadline = match state.phase {
            Phase::Draining { deadline } => Some(deadline),
            Phase::Open | Phase::Finished => None,
        };
        let unsettled = state.requests.iter().filter(|request| !request.is_settled());
        let instants = unsettled.flat_map(|request| match request.place {
            Place::Waiting { not_before } => [not_before, request.expires],
            _ => [request.expires; 2],
        });
        let routes = state.destinations.iter().flat_map(|destination| match destination.breaker {
            Breaker::Open { until } => [destination.held_until, until],
            Breaker::Closed { .. } | Breaker::HalfOpen { .. } => [destination.held_until; 2],
        });
        let instants = instants.chain(routes).chain(deadline);
        let next = instants.filter(|instant| *instant > state.now).min();
        out.extend(next.map(|next| match self.world.clock {
            Clock::EveryTick => Action::Tick { to: state.now + 1 },
            Clock::NextChange => Action::Tick { to: next },
        }));
    }
}

fn propose_decision(
    rules: &Rules,
    now: u64,
    (number, request, answer): (u64, &Request, Answer),
    out: &mut Vec<Action>,
) {
    let Request { records, attempts: attempt, .. } = *request;
    let (earliest, latest) = rules.window(now, request, answer);
    out.push(Action::ScheduleRetry { request: number, attempt, not_before: earliest });
    if latest > earliest {
        out.push(Action::ScheduleRetry { request: number, attempt, not_before: latest });
    }
    let claimed = match answer {
        Answer::Partial { rejected } => rejected,
        _ => 0,
    };
    let rejected = u32::try_from(claimed).unwrap_or(u32::MAX).min(records);
    out.push(Action::Export { request: number, records: records - rejected, rejected });
    out.push(Action::Reject { request: number, records });
}
