use super::*;
use crate::explore::{Bfs, Verdict};
use crate::mutate::Mutant;

fn small() -> Retry {
    Retry::try_new(3, 2, 2).expect("within bounds")
}

/// Explores the small model with the step replaced and names the property it violates.
fn violated_by(
    step: impl Fn(&Retry, &State, &Action) -> Option<State> + Send + Sync + 'static,
) -> &'static str {
    let mutant = Mutant::new(small(), step);
    let report = Bfs::new(&mutant).always(Retry::invariants().into_iter().map(Always::for_mutant)).run();
    let Verdict::Violated { property, trace } = report.verdict() else { panic!("not noticed: {report}") };
    assert!(trace.is_run_of(&mutant));
    assert!(!trace.is_run_of(&small()), "the fault must be part of the run");
    property
}

#[test]
fn the_small_model_is_verified_and_nothing_in_it_is_vacuous() {
    let report = Bfs::new(&small()).always(Retry::invariants()).run();
    assert!(report.is_verified(), "{report}");
    assert!(report.vacuity().is_empty(), "{report}");
}

#[test]
fn a_failed_batch_that_keeps_its_place_breaks_the_partition() {
    let property = violated_by(|model, state, action| {
        let next = model.step(state, action)?;
        Some(match action {
            Action::AttemptFails(_) => State { in_flight: state.in_flight, ..next },
            _ => next,
        })
    });
    assert_eq!(property, "Partition");
}

#[test]
fn a_batch_outside_the_constants_breaks_the_types() {
    let property = violated_by(|model, state, action| {
        let next = model.step(state, action)?;
        Some(match action {
            Action::ServerStore(_) => State { stored: next.stored.with(4), ..next },
            _ => next,
        })
    });
    assert_eq!(property, "TypeOK");
}

#[test]
fn a_batch_retried_once_too_often_breaks_the_bound() {
    let more = Retry::try_new(3, 3, 2).expect("within bounds");
    let mutant = Mutant::new(small(), move |model, state, action| match action {
        Action::AttemptFails(_) => more.step(state, action),
        _ => model.step(state, action),
    });
    // Without TypeOK, which says the same of attempts among other things.
    let properties = Retry::invariants().into_iter().skip(1).map(Always::for_mutant);
    let report = Bfs::new(&mutant).always(properties).run();
    assert!(matches!(report.verdict(), Verdict::Violated { property: "RetryBounded", .. }), "{report}");
}

#[test]
fn a_slot_taken_without_counting_breaks_the_bound_in_flight() {
    let roomier = Retry::try_new(3, 2, 3).expect("within bounds");
    let property = violated_by(move |model, state, action| match action {
        Action::Send(_) => roomier.step(state, action),
        _ => model.step(state, action),
    });
    assert_eq!(property, "InFlightBounded");
}

#[test]
fn an_acknowledgement_out_of_nothing_is_noticed() {
    let property = violated_by(|model, state, action| match *action {
        Action::ReceiveAck(batch) if state.in_flight.contains(batch) => Some(State {
            in_flight: state.in_flight.without(batch),
            acked: state.acked.with(batch),
            ..*state
        }),
        _ => model.step(state, action),
    });
    assert_eq!(property, "AckedIsStored");
}

#[test]
fn a_property_whose_condition_is_never_met_is_reported_as_vacuous() {
    // A server that stores nothing: nothing is ever acknowledged, so AckedIsStored is true of everything.
    let mutant = Mutant::new(small(), |model: &Retry, state: &State, action: &Action| match action {
        Action::ServerStore(_) => None,
        _ => model.step(state, action),
    });
    let report = Bfs::new(&mutant).always(Retry::invariants().into_iter().map(Always::for_mutant)).run();
    assert!(matches!(report.verdict(), Verdict::Holds));
    assert!(!report.is_verified());
    assert_eq!(report.vacuity().properties, ["AckedIsStored"]);
    assert_eq!(report.vacuity().actions, ["ServerStore", "ReceiveAck"]);
    assert!(report.to_string().contains("the condition of AckedIsStored was never met"));
}

#[test]
fn constants_that_cannot_be_represented_are_refused() {
    for (batches, retries, in_flight) in [(0, 1, 1), (9, 1, 1), (1, 16, 1), (1, 1, 0), (1, 1, 9)] {
        assert!(Retry::try_new(batches, retries, in_flight).is_err(), "{batches} {retries} {in_flight}");
    }
    assert!(Retry::try_new(8, 15, 8).is_ok());
}

#[test]
fn attempts_are_counted_for_each_batch_alone() {
    let attempts = Attempts::default().one_more(1).one_more(8).one_more(8).one_more(9).one_more(0);
    assert_eq!((attempts.of(1), attempts.of(2), attempts.of(8), attempts.of(9)), (1, 0, 2, 0));
    let full = (0..20).fold(Attempts::default(), |attempts, _| attempts.one_more(3));
    assert_eq!((full.of(3), full.of(4)), (15, 0));
    assert_eq!(format!("{attempts:?}"), "{1: 1, 8: 2}");
}
