//! What the checker explores and what the monitor accepts is one and the same: any walk through the model conforms,
//! and no event that the model refuses at its place is accepted there.

use otlp_verify::conform::Monitor;
use otlp_verify::spec::export_retry::{Action, ExportRetry, Rules, State, World};
use otlp_verify::{Always, Model};
use proptest::prelude::*;

fn model() -> ExportRetry {
    let world = World::default().requests(4).retry_after([None, Some(1), Some(3)]).shutdown_ticks([0, 5]);
    let mut rules = Rules::small();
    rules.max_in_flight = 2;
    rules.max_attempts = 3;
    rules.max_elapsed_ticks = 12;
    ExportRetry::new(rules, world)
}

/// True for what would end or stall most walks if it were as likely as all else.
fn is_rare(action: &Action) -> bool {
    matches!(action, Action::Drop { .. } | Action::Stale { .. } | Action::BeginShutdown { .. })
}

/// A walk through the model, each turn decided by a number: the states on the way and the actions between.
fn walk(model: &ExportRetry, turns: &[usize]) -> Vec<(State, Action)> {
    let mut state = model.init_states().remove(0);
    let mut walked = Vec::new();
    for turn in turns {
        let mut actions = Vec::new();
        model.actions(&state, &mut actions);
        let mut enabled: Vec<(Action, State)> =
            actions.into_iter().filter_map(|action| Some((action, model.step(&state, &action)?))).collect();
        if turn % 8 != 0 && enabled.iter().any(|(action, _)| !is_rare(action)) {
            enabled.retain(|(action, _)| !is_rare(action));
        }
        let Some((action, next)) = enabled.get(turn % enabled.len().max(1)) else { break };
        walked.push((state, *action));
        state = next.clone();
    }
    walked
}

/// Follows `events`, each at the instant of the state before it, as a record has them: ticks are left out.
fn follow(model: &ExportRetry, walked: &[(State, Action)]) -> Result<Monitor, String> {
    let mut monitor = Monitor::new(*model.rules());
    for (state, action) in walked {
        if !matches!(action, Action::Tick { .. }) {
            monitor.observe(state.now, action).map_err(|misfit| misfit.to_string())?;
        }
    }
    Ok(monitor)
}

#[test]
fn the_walks_are_long_enough_to_meet_retries_drops_late_answers_and_shutdowns() {
    let model = model();
    let mut kinds = vec![0_u32; model.action_names().len()];
    for seed in 0..60_usize {
        let turns: Vec<usize> =
            (0..80).map(|turn| (seed * 31 + turn * 17 + turn * turn * seed) % 1000).collect();
        for (_, action) in walk(&model, &turns) {
            kinds[model.action_kind(&action)] += 1;
        }
    }
    let rare: Vec<_> = model.action_names().iter().zip(&kinds).filter(|(_, count)| **count < 10).collect();
    assert!(rare.is_empty(), "{rare:?} of {kinds:?}");
}

fn turns() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0_usize..1000, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_walk_through_the_model_conforms(turns in turns()) {
        let model = model();
        let walked = walk(&model, &turns);
        let monitor = follow(&model, &walked).map_err(TestCaseError::fail)?;
        if let Some((last, action)) = walked.last()
            && !matches!(action, Action::Tick { .. })
        {
            let end = model.step(last, action).ok_or_else(|| TestCaseError::fail("it was enabled"))?;
            prop_assert_eq!(monitor.state(), &end);
        }
    }

    #[test]
    fn an_event_is_accepted_exactly_where_the_model_enables_it(turns in turns(), at in 0_usize..80, from in 0_usize..80) {
        let model = model();
        let walked = walk(&model, &turns);
        let (Some((state, _)), Some((_, stray))) = (walked.get(at), walked.get(from)) else { return Ok(()) };
        if matches!(stray, Action::Tick { .. }) {
            return Ok(());
        }
        let mut monitor = follow(&model, &walked[..at]).map_err(TestCaseError::fail)?;
        prop_assert_eq!(monitor.observe(state.now, stray).is_ok(), model.step(state, stray).is_some());
    }

    #[test]
    fn the_invariants_hold_on_any_walk(turns in turns()) {
        let model = model();
        let invariants = ExportRetry::invariants();
        for (state, _) in walk(&model, &turns) {
            let broken = invariants.iter().find(|property| !property.holds(&model, &state)).map(Always::name);
            prop_assert_eq!(broken, None);
        }
    }
}
