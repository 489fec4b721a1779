//! What must be true of the exporter in every state.

use super::{ExportRetry, Pending, Phase, Place, Request, State};
use crate::property::Always;

type OfRequest = fn(&ExportRetry, &State, &Request) -> bool;
type OfState = fn(&ExportRetry, &State) -> bool;

/// A named claim about each request by itself: when it is to be asked, and what must be true then.
pub(crate) struct EachRequest {
    pub(crate) name: &'static str,
    when: OfRequest,
    then: OfRequest,
}

/// A named claim about the whole exporter that is checked without looking at every request.
pub(crate) struct Whole {
    pub(crate) name: &'static str,
    when: OfState,
    then: OfState,
}

impl EachRequest {
    pub(crate) fn holds(&self, model: &ExportRetry, state: &State, request: &Request) -> bool {
        !(self.when)(model, state, request) || (self.then)(model, state, request)
    }
}

impl Whole {
    pub(crate) fn holds(&self, model: &ExportRetry, state: &State) -> bool {
        !(self.when)(model, state) || (self.then)(model, state)
    }
}

pub(crate) const EACH_REQUEST: [EachRequest; 9] = [
    EachRequest {
        name: "NeverEarly",
        when: |_, _, request| request.attempts > 1,
        then: |_, _, request| !request.breaches.early,
    },
    EachRequest {
        name: "ReceiverLeftAlone",
        when: |_, state, request| {
            request.attempts > 0 && state.destinations.iter().any(|destination| destination.held_until > 0)
        },
        then: |_, _, request| !request.breaches.during_hold,
    },
    EachRequest {
        name: "BreakerRespected",
        when: |_, _, request| request.attempts > 0,
        then: |_, _, request| !request.breaches.through_breaker,
    },
    EachRequest {
        name: "PrimaryFirst",
        when: |_, _, request| request.attempts > 0,
        then: |_, _, request| !request.breaches.out_of_order,
    },
    EachRequest {
        name: "NeverSentExpired",
        when: |_, _, request| request.attempts > 0,
        then: |_, _, request| !request.breaches.expired,
    },
    EachRequest {
        name: "FinalIsFinal",
        when: |_, _, request| request.settled,
        then: |_, _, request| request.is_settled(),
    },
    EachRequest {
        name: "AttemptsCountUp",
        when: |_, _, request| request.attempts > 1,
        then: |_, _, request| request.attempts == request.sends,
    },
    EachRequest {
        name: "AttemptsBounded",
        when: |_, _, _| true,
        then: |model, _, request| request.attempts <= model.rules.max_attempts,
    },
    EachRequest {
        name: "ClosedIsClosed",
        when: |_, _, request| request.breaches.after_close,
        then: |_, state, request| {
            request.place == Place::Dropped || matches!(state.pending, Pending::Entering(_))
        },
    },
];

pub(crate) const WHOLE: [Whole; 4] = [
    Whole {
        name: "InFlightBounded",
        when: |_, state| state.in_flight > 0,
        then: |model, state| state.in_flight <= model.rules.max_in_flight,
    },
    Whole {
        name: "QueueBounded",
        when: |_, state| state.queued_requests > 0,
        then: |model, state| {
            let entering = matches!(state.pending, Pending::Entering(_));
            state.queued_requests <= model.rules.max_queue_requests.saturating_add(entering.into())
        },
    },
    Whole {
        name: "AccountBalanced",
        when: |_, state| state.account.accepted > 0,
        then: |_, state| state.account.is_balanced(),
    },
    Whole {
        name: "FinishedIsEmpty",
        when: |_, state| state.phase == Phase::Finished,
        then: |_, state| state.queued_requests == 0 || matches!(state.pending, Pending::Entering(_)),
    },
];

impl ExportRetry {
    /// What must be true in every state.
    #[must_use]
    pub fn invariants() -> Vec<Always<Self>> {
        let mut all = Vec::new();
        for EachRequest { name, when, then } in EACH_REQUEST {
            all.push(Always::implies(
                name,
                move |model: &Self, state: &State| {
                    state.requests.iter().any(|request| when(model, state, request))
                },
                move |model: &Self, state: &State| {
                    state
                        .requests
                        .iter()
                        .all(|request| !when(model, state, request) || then(model, state, request))
                },
            ));
        }
        all.extend(WHOLE.map(|Whole { name, when, then }| Always::implies(name, when, then)));
        all.push(Always::new("CountersAgree", Self::counters_agree));
        all
    }

    /// The running counters against a count of the requests.
    pub(crate) fn counters_agree(&self, state: &State) -> bool {
        let unsettled = || state.requests.iter().filter(|request| !request.is_settled());
        let flying = unsettled().filter(|request| request.place == Place::Flying).count();
        let records = |requests: &mut dyn Iterator<Item = &Request>| -> u64 {
            requests.map(|request| u64::from(request.records)).sum()
        };
        let dropped = &mut state.requests.iter().filter(|request| request.place == Place::Dropped);
        u32::try_from(flying) == Ok(state.in_flight)
            && u32::try_from(unsettled().count()) == Ok(state.queued_requests)
            && records(&mut unsettled()) == state.account.queued
            && records(dropped) == state.account.dropped
            && records(&mut state.requests.iter()) == state.account.accepted
    }
}
