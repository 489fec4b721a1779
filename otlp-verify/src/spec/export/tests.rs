use super::*;
use crate::explore::{Bfs, Verdict};
use crate::mutate::Mutant;

fn small() -> Export {
    Export::try_new(3, 5, 2).expect("within bounds")
}

fn violated_by(
    step: impl Fn(&Export, &State, &Action) -> Option<State> + Send + Sync + 'static,
) -> (&'static str, usize) {
    let mutant = Mutant::new(small(), step);
    let report = Bfs::new(&mutant).always(Export::invariants().into_iter().map(Always::for_mutant)).run();
    let Verdict::Violated { property, trace } = report.verdict() else { panic!("not noticed: {report}") };
    assert!(trace.is_run_of(&mutant) && !trace.is_run_of(&small()));
    (property, trace.state_count())
}

#[test]
fn the_small_model_is_verified_and_nothing_in_it_is_vacuous() {
    let report = Bfs::new(&small()).always(Export::invariants()).run();
    assert!(report.is_verified() && report.vacuity().is_empty(), "{report}");
}

#[test]
fn a_span_generated_twice_is_a_duplicate_after_three_states() {
    // The fault of the published model.
    let found = violated_by(|model, state, action| match *action {
        Action::GenerateSpan(span) if state.buffer.len() < 3 => {
            Some(State { buffer: state.buffer.with(span), ..*state })
        }
        _ => model.step(state, action),
    });
    assert_eq!(found, ("NoDuplicates", 3));
}

#[test]
fn a_buffer_without_a_bound_is_noticed() {
    let roomier = Export::try_new(4, 5, 2).expect("within bounds");
    let found = violated_by(move |model, state, action| match action {
        Action::GenerateSpan(_) => roomier.step(state, action),
        _ => model.step(state, action),
    });
    assert_eq!(found, ("BufferBounded", 5));
}

#[test]
fn an_acknowledgement_of_what_was_not_sent_is_noticed() {
    let found = violated_by(|model, state, action| {
        let next = model.step(state, action)?;
        Some(match action {
            Action::ReceiveAck => State { acked: state.sent.union(state.buffer.set()), ..next },
            _ => next,
        })
    });
    assert_eq!(found.0, "AckedImpliesSent");
}

#[test]
fn a_retry_beyond_the_bound_is_noticed() {
    let more = Export::try_new(3, 5, 3).expect("within bounds");
    let found = violated_by(move |model, state, action| match action {
        Action::Retry => more.step(state, action),
        _ => model.step(state, action),
    });
    assert_eq!(found.0, "TypeOK");
}

#[test]
fn a_buffer_keeps_order_and_its_bound() {
    let full = (1..=9).fold(Buffer::default(), Buffer::with);
    assert_eq!(full.len(), 8);
    assert_eq!(full.iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(format!("{:?}", Buffer::default().with(2).with(1)), "[2, 1]");
}
