//! The one definition of what may happen when, and what it changes.

use super::{
    Account, Action, Answer, Breaches, ExportRetry, Pending, Phase, Place, Reason, Refusal, Request, Rules,
    State,
};

/// A claim about the present state, or why it is refused.
type Check = Result<(), Refusal>;

fn demand(condition: bool, refusal: Refusal) -> Check {
    if condition { Ok(()) } else { Err(refusal) }
}

impl ExportRetry {
    /// Performs `action` where it is enabled; else changes nothing and says why it is not. O(1), where
    /// [`step`](crate::Model::step) copies the state.
    ///
    /// # Errors
    /// The rule that the action would break.
    pub fn apply(&self, state: &mut State, action: &Action) -> Check {
        self.check(state, action)?;
        self.perform(state, action);
        Ok(())
    }

    /// True where `action` is enabled.
    #[must_use]
    pub fn allows(&self, state: &State, action: &Action) -> bool {
        self.check(state, action).is_ok()
    }

    /// The guards: whether `action` is enabled.
    pub(super) fn check(&self, state: &State, action: &Action) -> Check {
        self.check_pending(state, action)?;
        match *action {
            Action::Tick { to } => {
                demand(to > state.now, Refusal::TimeRunsBack { by: state.now - to.min(state.now) })
            }
            Action::Enqueue { request, .. } => {
                let expected = state.requests.len() as u64 + 1;
                demand(request == expected, Refusal::Number { expected })
            }
            Action::Send { request, attempt, destination } => {
                self.check_send(state, known(state, request)?, attempt)?;
                self.check_destination(state, destination)
            }
            Action::Answer { request, attempt, .. } => check_answer(known(state, request)?, attempt),
            Action::ScheduleRetry { request, attempt, not_before } => {
                self.check_schedule(state, known(state, request)?, (attempt, not_before))
            }
            Action::Export { request, records, rejected } => {
                check_export(known(state, request)?, records, rejected)
            }
            Action::Reject { request, records } => {
                let request = known(state, request)?;
                let refused = matches!(request.place, Place::Answered(Answer::Refused | Answer::Failed));
                demand(refused, request.unless_settled(Refusal::OtherAnswer))?;
                check_records(request, records)
            }
            Action::Drop { request, records, reason } => {
                check_records(known(state, request)?, records)?;
                self.check_drop(state, request, reason)
            }
            Action::Stale { request, attempt } => {
                let request = known(state, request)?;
                let made = (1..=request.attempts).contains(&attempt);
                let flies = request.place == Place::Flying && attempt == request.attempts;
                demand(made && !flies, Refusal::NotStale)
            }
            Action::BeginShutdown { deadline } => {
                demand(state.phase == Phase::Open, Refusal::ShuttingDown)?;
                demand(
                    deadline >= state.now,
                    Refusal::TimeRunsBack { by: state.now - deadline.min(state.now) },
                )
            }
            Action::AdvanceShutdown { deadline } => {
                let Phase::Draining { deadline: later } = state.phase else { return Err(Refusal::Open) };
                demand(deadline >= state.now && deadline < later, Refusal::NotForward { deadline: later })
            }
            Action::Finish => {
                demand(matches!(state.phase, Phase::Draining { .. }), Refusal::Open)?;
                demand(state.queued_requests == 0, Refusal::Unsettled { requests: state.queued_requests })
            }
        }
    }

    /// The changes: what an enabled `action` does.
    pub(super) fn perform(&self, state: &mut State, action: &Action) {
        if let Pending::Entering(_) = state.pending
            && !matches!(action, Action::Drop { .. })
        {
            state.pending = Pending::None;
        }
        match *action {
            Action::Tick { to } => {
                state.now = to;
                state.forget();
            }
            Action::Enqueue { request, records } => self.enqueue(state, request, records),
            Action::Send { request, attempt, destination } => {
                self.send(state, request, (attempt, destination));
            }
            Action::Answer { request, answer, .. } => self.answer(state, request, answer),
            Action::ScheduleRetry { request, not_before, .. } => {
                state.pending = Pending::None;
                place(state, request, Place::Waiting { not_before });
            }
            Action::Export { request, records, rejected } => {
                settle(state, request, Place::Exported);
                state.account.exported += u64::from(records);
                state.account.rejected += u64::from(rejected);
            }
            Action::Reject { request, records } => {
                settle(state, request, Place::Rejected);
                state.account.rejected += u64::from(records);
            }
            Action::Drop { request, records, .. } => {
                settle(state, request, Place::Dropped);
                state.account.dropped += u64::from(records);
            }
            Action::Stale { .. } => {}
            Action::BeginShutdown { deadline } | Action::AdvanceShutdown { deadline } => {
                state.phase = Phase::Draining { deadline };
            }
            Action::Finish => state.phase = Phase::Finished,
        }
    }

    /// An answer is dealt with at once, and so is a request for which there is no room.
    fn check_pending(&self, state: &State, action: &Action) -> Check {
        match state.pending {
            Pending::None => Ok(()),
            Pending::Answered(request) => {
                let decides = matches!(
                    action,
                    Action::ScheduleRetry { .. }
                        | Action::Export { .. }
                        | Action::Reject { .. }
                        | Action::Drop { .. }
                );
                demand(decides && action.request() == Some(request), Refusal::Undecided { request })
            }
            Pending::Entering(request) => {
                let room =
                    state.phase == Phase::Open && state.queued_requests <= self.rules.max_queue_requests;
                demand(room || matches!(action, Action::Drop { .. }), Refusal::NoRoom { request })
            }
        }
    }

    fn check_send(&self, state: &State, request: &Request, attempt: u32) -> Check {
        let Place::Waiting { not_before } = request.place else {
            return Err(request.unless_settled(Refusal::NotWaiting));
        };
        let (now, rules) = (state.now, &self.rules);
        demand(attempt == request.attempts + 1, Refusal::Attempt { expected: request.attempts + 1 })?;
        demand(attempt <= rules.max_attempts, Refusal::AttemptsUsedUp { max_attempts: rules.max_attempts })?;
        demand(now >= not_before, Refusal::TooEarly { by: not_before.saturating_sub(now) })?;
        demand(now < request.expires, Refusal::Expired { since: now.saturating_sub(request.expires) })?;
        demand(
            state.in_flight < rules.max_in_flight,
            Refusal::SlotsTaken { max_in_flight: rules.max_in_flight },
        )?;
        match state.phase {
            Phase::Draining { deadline } if now >= deadline => {
                Err(Refusal::PastDeadline { by: now - deadline })
            }
            Phase::Open | Phase::Draining { .. } => Ok(()),
            Phase::Finished => Err(Refusal::ShuttingDown),
        }
    }

    /// The first destination that may be used, and no other.
    fn check_destination(&self, state: &State, number: u8) -> Check {
        demand(
            number < self.rules.destinations,
            Refusal::Destination { destinations: self.rules.destinations },
        )?;
        state.destination(number).check(state.now)?;
        let before = (0..number).find(|before| state.destination(*before).check(state.now).is_ok());
        before.map_or(Ok(()), |usable| Err(Refusal::NotFirst { usable }))
    }

    fn check_schedule(&self, state: &State, request: &Request, (attempt, not_before): (u32, u64)) -> Check {
        let Place::Answered(answer) = request.place else {
            return Err(request.unless_settled(Refusal::OtherAnswer));
        };
        demand(answer.is_retryable(), Refusal::OtherAnswer)?;
        demand(attempt == request.attempts, Refusal::Attempt { expected: request.attempts })?;
        let max_attempts = self.rules.max_attempts;
        demand(attempt < max_attempts, Refusal::AttemptsUsedUp { max_attempts })?;
        let (earliest, latest) = self.rules.window(state.now, request, answer);
        demand((earliest..=latest).contains(&not_before), Refusal::Wait { earliest, latest })?;
        let ends = match state.phase {
            Phase::Draining { deadline } => deadline.min(request.expires),
            Phase::Open | Phase::Finished => request.expires,
        };
        demand(not_before < ends, Refusal::Pointless)
    }

    fn check_drop(&self, state: &State, number: u64, reason: Reason) -> Check {
        let request = known(state, number)?;
        let entering = state.pending == Pending::Entering(number);
        let waits = matches!(request.place, Place::Waiting { .. });
        let retry = match request.place {
            Place::Answered(answer) if answer.is_retryable() => Some(answer),
            _ => None,
        };
        demand(!request.is_settled(), Refusal::Settled)?;
        let applies = match reason {
            Reason::QueueFull => waits && matches!(state.pending, Pending::Entering(_)),
            Reason::TooLarge => entering,
            Reason::Closed => entering && state.phase != Phase::Open,
            Reason::Expired => {
                let last = match retry {
                    Some(answer) => self.rules.window(state.now, request, answer).1,
                    None if waits => state.now,
                    None => return Err(Refusal::Reason),
                };
                return demand(
                    last >= request.expires,
                    Refusal::NotExpired { left: request.expires.saturating_sub(last) },
                );
            }
            Reason::Attempts => retry.is_some() && request.attempts >= self.rules.max_attempts,
            Reason::Unusable => request.place == Place::Answered(Answer::Unusable),
            Reason::Shutdown => match state.phase {
                Phase::Draining { deadline } => self.is_hopeless(state, request, deadline),
                Phase::Open | Phase::Finished => false,
            },
            Reason::Memory => waits,
        };
        demand(applies, Refusal::Reason)
    }

    /// True where the request cannot be sent before the shutdown ends, or has not been answered when it does.
    fn is_hopeless(&self, state: &State, request: &Request, deadline: u64) -> bool {
        match request.place {
            Place::Waiting { not_before } => {
                deadline <= state.now
                    || deadline <= not_before
                    || state.is_cut_off_until(&self.rules, deadline)
            }
            Place::Flying => deadline <= state.now,
            Place::Answered(answer) if answer.is_retryable() => {
                deadline <= self.rules.window(state.now, request, answer).1
            }
            _ => false,
        }
    }

    fn enqueue(&self, state: &mut State, number: u64, records: u32) {
        let breaches = Breaches { after_close: state.phase != Phase::Open, ..Breaches::default() };
        state.requests.push(Request {
            records,
            place: Place::Waiting { not_before: state.now },
            attempts: 0,
            destination: 0,
            trial: false,
            expires: state.now.saturating_add(self.rules.max_elapsed_ticks),
            floor: 0,
            sends: 0,
            settled: false,
            breaches,
        });
        state.pending = Pending::Entering(number);
        state.queued_requests += 1;
        state.account.accepted += u64::from(records);
        state.account.queued += u64::from(records);
    }

    fn answer(&self, state: &mut State, number: u64, answer: Answer) {
        state.in_flight = state.in_flight.saturating_sub(1);
        state.pending = Pending::Answered(number);
        let (now, rules) = (state.now, self.rules);
        let sent = state.request(number).map(|request| (request.destination, request.trial));
        if let Some(sent) = sent {
            state.learn(&rules, sent, answer);
        }
        if let Some(request) = state.request_mut(number) {
            request.place = Place::Answered(answer);
            (request.destination, request.trial) = (0, false);
            if answer.is_retryable() {
                request.floor = rules.window(now, request, answer).0;
            }
        }
    }
}

impl Rules {
    /// The earliest and the latest instant of the attempt after `answer` came at `now`.
    pub(super) fn window(&self, now: u64, request: &Request, answer: Answer) -> (u64, u64) {
        let (shortest, longest) = self.backoff(request.attempts);
        let asked = match answer {
            // With a fallback, the wait binds the destination that asked and not the request.
            Answer::Busy { retry_after } if self.destinations == 1 => retry_after.unwrap_or(0),
            _ => 0,
        };
        (now.saturating_add(shortest.max(asked)), now.saturating_add(longest.max(asked)))
    }
}

impl Request {
    /// `refusal`, unless there is a plainer reason: that all is over.
    const fn unless_settled(&self, refusal: Refusal) -> Refusal {
        if self.is_settled() { Refusal::Settled } else { refusal }
    }
}

fn known(state: &State, number: u64) -> Result<&Request, Refusal> {
    state.request(number).ok_or(Refusal::Unknown { request: number })
}

fn check_answer(request: &Request, attempt: u32) -> Check {
    demand(request.place == Place::Flying, request.unless_settled(Refusal::NotInFlight))?;
    demand(attempt == request.attempts, Refusal::Attempt { expected: request.attempts })
}

fn check_export(request: &Request, records: u32, rejected: u32) -> Check {
    let claimed = match request.place {
        Place::Answered(Answer::Accepted) => 0,
        Place::Answered(Answer::Partial { rejected }) => rejected,
        _ => return Err(request.unless_settled(Refusal::OtherAnswer)),
    };
    // A receiver cannot refuse more than it was sent.
    let expected = u32::try_from(claimed).unwrap_or(u32::MAX).min(request.records);
    demand(rejected == expected, Refusal::Rejected { expected })?;
    let expected = request.records - expected;
    demand(records == expected, Refusal::Records { expected })
}

fn check_records(request: &Request, records: u32) -> Check {
    demand(records == request.records, Refusal::Records { expected: request.records })
}

impl ExportRetry {
    fn send(&self, state: &mut State, number: u64, (attempt, destination): (u32, u8)) {
        let now = state.now;
        let before = self.check_destination(state, destination).err();
        let trial = state.pass(destination);
        state.in_flight += 1;
        if let Some(request) = state.request_mut(number) {
            request.place = Place::Flying;
            request.attempts = attempt;
            (request.destination, request.trial) = (destination, trial);
            request.sends += 1;
            request.breaches.early |= now < std::mem::take(&mut request.floor);
            request.breaches.during_hold |= matches!(before, Some(Refusal::Held { .. }));
            request.breaches.through_breaker |=
                matches!(before, Some(Refusal::BreakerOpen { .. } | Refusal::TrialUnderWay));
            request.breaches.out_of_order |= matches!(before, Some(Refusal::NotFirst { .. }));
            request.breaches.expired |= now >= request.expires;
        }
    }
}

fn place(state: &mut State, number: u64, place: Place) {
    if let Some(request) = state.request_mut(number) {
        request.place = place;
    }
}

/// Takes a request out of the queue, wherever it was.
fn settle(state: &mut State, number: u64, place: Place) {
    let Some(request) = state.request_mut(number) else { return };
    let (was, records) = (request.place, request.records);
    request.place = place;
    request.settled = true;
    // Nothing depends on them from here on.
    (request.expires, request.floor) = (0, 0);
    (request.destination, request.trial) = (0, false);
    if was == Place::Flying {
        state.in_flight = state.in_flight.saturating_sub(1);
    }
    let freed = Account { queued: state.account.queued.saturating_sub(u64::from(records)), ..state.account };
    state.account = freed;
    state.queued_requests = state.queued_requests.saturating_sub(1);
    if matches!(state.pending, Pending::Entering(met) | Pending::Answered(met) if met == number) {
        state.pending = Pending::None;
    }
}
