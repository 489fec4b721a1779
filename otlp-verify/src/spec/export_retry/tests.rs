use super::*;
use crate::explore::{Bfs, Report, Verdict};
use crate::mutate::Mutant;
use crate::property::Always;

fn small() -> ExportRetry {
    ExportRetry::new(Rules::small(), World::default())
}

type Explored = Report<State, Action>;

fn explore(model: &ExportRetry) -> Explored {
    Bfs::new(model).always(ExportRetry::invariants()).run()
}

/// Explores the small model with the step replaced and names the property it violates.
fn violated_by(
    step: impl Fn(&ExportRetry, &State, &Action) -> Option<State> + Send + Sync + 'static,
) -> &'static str {
    let mutant = Mutant::new(small(), step);
    let properties = ExportRetry::invariants().into_iter().map(Always::for_mutant);
    let report = Bfs::new(&mutant).always(properties).run();
    let Verdict::Violated { property, trace } = report.verdict() else { panic!("not noticed: {report}") };
    assert!(trace.is_run_of(&mutant));
    assert!(!trace.is_run_of(&small()), "the fault must be part of the run");
    property
}

/// The step without the guards whose refusal is one of those meant.
fn unguarded(
    meant: impl Fn(Refusal) -> bool + Send + Sync + 'static,
) -> impl Fn(&ExportRetry, &State, &Action) -> Option<State> + Send + Sync + 'static {
    move |model, state, action| {
        let refused = model.check(state, action).is_err_and(|refusal| !meant(refusal));
        let mut next = state.clone();
        model.perform(&mut next, action);
        (!refused).then_some(next)
    }
}

fn is_send(action: &Action) -> bool {
    matches!(action, Action::Send { .. })
}

#[test]
fn the_small_world_is_verified_and_every_event_happens_in_it() {
    let report = explore(&small());
    assert!(report.is_verified(), "{report}");
    assert!(report.vacuity().is_empty(), "{report}");
}

#[test]
fn one_place_in_the_queue_for_two_requests_is_verified_too() {
    let rules = Rules { max_queue_requests: 1, ..Rules::small() };
    let report = explore(&ExportRetry::new(rules, World::default()));
    assert!(report.is_verified(), "{report}");
}

#[test]
#[ignore = "long: millions of states"]
fn larger_bounds_are_verified_too() {
    let rules = Rules { max_in_flight: 2, max_attempts: 3, max_elapsed_ticks: 5, ..Rules::small() };
    let report = explore(&ExportRetry::new(rules, World::default()));
    assert!(report.is_verified(), "{report}");
}

#[test]
fn a_retry_before_its_time_is_noticed() {
    assert_eq!(violated_by(unguarded(|refusal| matches!(refusal, Refusal::TooEarly { .. }))), "NeverEarly");
}

#[test]
fn a_retry_scheduled_without_regard_to_the_answer_is_noticed() {
    let property = violated_by(|model, state, action| {
        let mut next = model.step(state, action)?;
        if let Action::ScheduleRetry { request, .. } = *action {
            next.request_mut(request)?.place = Place::Waiting { not_before: next.now };
        }
        Some(next)
    });
    assert_eq!(property, "NeverEarly");
}

#[test]
fn a_receiver_that_is_not_left_alone_is_noticed() {
    assert_eq!(
        violated_by(unguarded(|refusal| matches!(refusal, Refusal::Held { .. }))),
        "ReceiverLeftAlone"
    );
}

/// Two destinations, each given up for two ticks after one failure.
fn with_failover() -> ExportRetry {
    let breaker = Some(BreakerRules { failures: 1, cooldown_ticks: 2, trials: 1 });
    let world = World::default().records(1).retry_after([None, Some(1)]).shutdown_ticks([0]);
    ExportRetry::new(
        Rules { destinations: 2, breaker, max_in_flight: 2, max_elapsed_ticks: 3, ..Rules::small() },
        world,
    )
}

/// As [`violated_by`], with two destinations.
fn violated_with_failover(meant: impl Fn(Refusal) -> bool + Send + Sync + 'static) -> &'static str {
    let mutant = Mutant::new(with_failover(), unguarded(meant));
    let properties = ExportRetry::invariants().into_iter().map(Always::for_mutant);
    let report = Bfs::new(&mutant).always(properties).run();
    let Verdict::Violated { property, .. } = report.verdict() else { panic!("not noticed: {report}") };
    property
}

#[test]
fn failover_between_two_destinations_is_verified() {
    let report = explore(&with_failover());
    assert!(report.is_verified(), "{report}");
}

#[test]
fn a_request_through_an_open_breaker_or_beside_a_trial_is_noticed() {
    let open = violated_with_failover(|refusal| matches!(refusal, Refusal::BreakerOpen { .. }));
    assert_eq!(open, "BreakerRespected");
    assert_eq!(violated_with_failover(|refusal| refusal == Refusal::TrialUnderWay), "BreakerRespected");
}

#[test]
fn a_fallback_used_while_the_primary_may_be_is_noticed() {
    let property = violated_with_failover(|refusal| matches!(refusal, Refusal::NotFirst { .. }));
    assert_eq!(property, "PrimaryFirst");
}

#[test]
fn an_expired_request_that_is_sent_is_noticed() {
    assert_eq!(
        violated_by(unguarded(|refusal| matches!(refusal, Refusal::Expired { .. }))),
        "NeverSentExpired"
    );
}

#[test]
fn a_request_sent_after_its_end_is_noticed() {
    // The fault: an exported request finds its way back into the queue.
    let property = violated_by(|model, state, action| {
        let mut next = model.step(state, action)?;
        if let Action::Export { request, .. } = *action {
            next.request_mut(request)?.place = Place::Waiting { not_before: next.now };
        }
        Some(next)
    });
    assert_eq!(property, "FinalIsFinal");
}

#[test]
fn an_attempt_that_is_not_counted_is_noticed() {
    let property = violated_by(|model, state, action| {
        let mut next = model.step(state, action)?;
        if let Action::Send { request, attempt: 2, .. } = *action {
            next.request_mut(request)?.attempts = 3;
        }
        Some(next)
    });
    assert_eq!(property, "AttemptsCountUp");
}

#[test]
fn an_attempt_too_many_is_noticed() {
    let generous = ExportRetry::new(Rules { max_attempts: 3, ..Rules::small() }, World::default());
    let property = violated_by(move |_, state, action| generous.step(state, action));
    assert_eq!(property, "AttemptsBounded");
}

#[test]
fn a_request_kept_after_the_shutdown_began_is_noticed() {
    let property = violated_by(|model, state, action| {
        let mut next = model.step(state, action)?;
        if matches!(action, Action::Enqueue { .. }) {
            next.pending = Pending::None;
        }
        Some(next)
    });
    assert_eq!(property, "ClosedIsClosed");
}

#[test]
fn a_place_in_flight_taken_without_counting_is_noticed() {
    let roomier = ExportRetry::new(Rules { max_in_flight: 2, ..Rules::small() }, World::default());
    let property =
        violated_by(
            move |model, state, action| {
                if is_send(action) { roomier.step(state, action) } else { model.step(state, action) }
            },
        );
    assert_eq!(property, "InFlightBounded");
}

#[test]
fn a_queue_that_makes_no_room_is_noticed() {
    let tight = ExportRetry::new(Rules { max_queue_requests: 1, ..Rules::small() }, World::default());
    let mutant = Mutant::new(tight, |model: &ExportRetry, state: &State, action: &Action| {
        let mut next = model.step(state, action)?;
        if matches!(action, Action::Enqueue { .. }) {
            next.pending = Pending::None;
        }
        Some(next)
    });
    let properties = ExportRetry::invariants().into_iter().map(Always::for_mutant);
    let report = Bfs::new(&mutant).always(properties).run();
    assert!(matches!(report.verdict(), Verdict::Violated { property: "QueueBounded", .. }), "{report}");
}

#[test]
fn rejected_records_that_are_not_booked_are_noticed() {
    let property = violated_by(|model, state, action| {
        let mut next = model.step(state, action)?;
        if let Action::Export { rejected, .. } = *action {
            next.account.rejected -= u64::from(rejected);
        }
        Some(next)
    });
    assert_eq!(property, "AccountBalanced");
}

#[test]
fn an_end_with_something_in_the_queue_is_noticed() {
    let property = violated_by(|model, state, action| match action {
        Action::Finish if matches!(state.phase, Phase::Draining { .. }) => {
            Some(State { phase: Phase::Finished, ..state.clone() })
        }
        _ => model.step(state, action),
    });
    assert_eq!(property, "FinishedIsEmpty");
}

#[test]
fn a_counter_that_drifts_is_noticed() {
    let property = violated_by(|model, state, action| {
        let mut next = model.step(state, action)?;
        if matches!(action, Action::Answer { .. }) {
            next.in_flight = state.in_flight;
        }
        Some(next)
    });
    assert_eq!(property, "CountersAgree");
}

#[test]
fn an_exporter_that_never_drops_what_expired_ends_in_a_deadlock() {
    let mutant = Mutant::new(small(), |model: &ExportRetry, state: &State, action: &Action| match action {
        Action::Drop { reason: Reason::Expired | Reason::Memory, .. } | Action::BeginShutdown { .. } => None,
        _ => model.step(state, action),
    });
    let report = Bfs::new(&mutant).run();
    let Verdict::Deadlock { trace } = report.verdict() else { panic!("{report}") };
    assert!(trace.last().queued_requests > 0);
}

#[test]
fn applying_in_place_is_the_same_as_stepping_and_a_refusal_changes_nothing() {
    let model = small();
    let (mut enabled, mut refused) = (0, 0);
    // Walks at random, by a plain linear congruential generator, trying every candidate at each state.
    let mut seed = 1_u64;
    for _ in 0..50 {
        let mut state = State::default();
        loop {
            let mut actions = Vec::new();
            model.actions(&state, &mut actions);
            let mut successors = Vec::new();
            for action in &actions {
                let mut applied = state.clone();
                match (model.step(&state, action), model.apply(&mut applied, action)) {
                    (Some(next), Ok(())) => {
                        assert_eq!(next, applied);
                        successors.push(next);
                    }
                    (None, Err(_)) => {
                        assert_eq!(state, applied);
                        refused += 1;
                    }
                    (step, apply) => panic!("{action:?}: {step:?} {apply:?}"),
                }
            }
            enabled += successors.len();
            // Stale changes nothing: a walk must not stand still.
            successors.retain(|next| *next != state);
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let Some(next) = successors.get((seed >> 33) as usize % successors.len().max(1)) else { break };
            state = next.clone();
        }
    }
    assert!(enabled > 500 && refused > 500, "{enabled} {refused}");
}

#[test]
fn the_backoff_doubles_up_to_its_bound() {
    let rules = Rules { backoff_initial_ticks: 10, backoff_max_ticks: 35, ..Rules::small() };
    let waits: Vec<_> = [1, 2, 3, 99].map(|attempt| rules.backoff(attempt)).into();
    assert_eq!(waits, [(5, 10), (10, 20), (17, 35), (17, 35)]);
    let huge = Rules { backoff_initial_ticks: u64::MAX, backoff_max_ticks: u64::MAX, ..Rules::small() };
    assert_eq!(huge.backoff(u32::MAX), (u64::MAX / 2, u64::MAX));
}
