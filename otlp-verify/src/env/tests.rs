use otlp_core::protocol::breaker::BreakerConfig;

use super::*;
use crate::explore::{Bfs, Dedup, Report, Verdict};
use crate::mutate::Mutant;
use crate::spec::export_retry::Refusal;

const MILLI: Duration = Duration::from_millis(1);

fn one_request() -> World {
    World::default().requests(1)
}

fn two_requests() -> World {
    World::default().replies([Reply::Accept, Reply::BusyFor]).duplicates(0)
}

fn env(world: World) -> Env {
    Env::try_new(small_config(), world).expect("values in range")
}

fn explore(env: &Env) -> Report<State, Action> {
    Bfs::new(env).always(Env::invariants()).dedup(Dedup::Fingerprints).run()
}

/// The exporter of `config`, held to the rules of the small one.
fn believed_small(config: ExporterConfig, world: World) -> Env {
    Env { config, rules: Rules::from(&small_config()), world }
}

#[track_caller]
fn violated(report: &Report<State, Action>) -> (&'static str, Option<&Misfit>) {
    let Verdict::Violated { property, trace } = report.verdict() else { panic!("not noticed: {report}") };
    (property, trace.last().misfit.as_ref())
}

fn violated_by(
    step: impl Fn(&Env, &State, &Action) -> Option<State> + Send + Sync + 'static,
) -> &'static str {
    let mutant = Mutant::new(env(one_request()), step);
    let properties = Env::invariants().into_iter().map(Always::for_mutant);
    violated(&Bfs::new(&mutant).always(properties).run()).0
}

#[test]
fn the_real_exporter_survives_everything_that_can_happen_to_one_request() {
    let world = one_request().jitters([0, u64::MAX]).shutdown(MILLI * 2).hurry(MILLI);
    let report = explore(&env(world));
    assert!(report.is_verified() && report.vacuity().is_empty(), "{report}");
}

#[test]
fn whole_states_and_fingerprints_agree() {
    let env = env(one_request());
    assert_eq!(Bfs::new(&env).always(Env::invariants()).run(), explore(&env));
}

#[test]
fn the_real_exporter_survives_what_happens_to_two_requests_for_one_slot() {
    let short = small_config().max_elapsed(Duration::from_millis(4));
    let report = explore(&Env::try_new(short, two_requests()).expect("values in range"));
    assert!(report.is_verified(), "{report}");
}

#[test]
#[ignore = "long: millions of states"]
fn the_real_exporter_survives_everything_that_can_happen_to_two_requests() {
    let report = explore(&env(World::default()));
    assert!(report.is_verified(), "{report}");
    let report = explore(&env(two_requests().shutdown(Duration::from_millis(2))));
    assert!(report.is_verified(), "{report}");
    let report =
        explore(&Env::try_new(small_config().max_in_flight(2), two_requests()).expect("values in range"));
    assert!(report.is_verified(), "{report}");
}

#[test]
fn an_exporter_with_one_attempt_too_many_is_caught() {
    let report = explore(&believed_small(small_config().max_attempts(3), one_request()));
    let (property, misfit) = violated(&report);
    assert_eq!(property, "Conforms");
    // After the second attempt the model gives up; the exporter wants to try again.
    let why = misfit.map(Misfit::why);
    let expected = Refusal::AttemptsUsedUp { max_attempts: 2 };
    assert_eq!(why, Some(crate::conform::Why::NotEnabled(expected)), "{report}");
}

#[test]
fn an_exporter_with_one_too_many_in_flight_is_caught() {
    let report = explore(&believed_small(small_config().max_in_flight(2), two_requests()));
    let (property, misfit) = violated(&report);
    assert_eq!(property, "Conforms");
    let why = misfit.map(Misfit::why);
    assert_eq!(
        why,
        Some(crate::conform::Why::NotEnabled(Refusal::SlotsTaken { max_in_flight: 1 })),
        "{report}"
    );
    assert_eq!(report.counterexample().map(crate::Trace::state_count), Some(3), "two requests are enough");
}

#[test]
fn an_exporter_that_retries_too_soon_is_caught() {
    let hasty = Backoff { initial: Duration::from_millis(1), max: Duration::from_millis(1) };
    let report = explore(&believed_small(small_config().backoff(hasty), one_request()));
    let (property, misfit) = violated(&report);
    assert_eq!(property, "Conforms");
    assert!(
        misfit.is_some_and(|misfit| misfit.to_string().contains("the retry must be set between")),
        "{report}"
    );
}

#[test]
fn an_exporter_that_keeps_more_than_fit_is_caught() {
    let world = two_requests().requests(3);
    let report = explore(&believed_small(small_config().max_queue_requests(3), world));
    let (property, misfit) = violated(&report);
    assert_eq!(property, "Conforms");
    assert!(misfit.is_some_and(|misfit| misfit.to_string().contains("without room")), "{report}");
}

#[test]
fn a_receiver_that_accepts_and_stores_nothing_is_caught() {
    let property = violated_by(|env, state, action| {
        let next = env.step(state, action)?;
        Some(match action {
            Action::Serve { .. } => State { stored: state.stored.clone(), ..next },
            _ => next,
        })
    });
    assert_eq!(property, "ExportedIsStored");
}

#[test]
fn an_account_that_differs_from_the_models_is_caught() {
    let property = violated_by(|env, state, action| {
        let mut next = env.step(state, action)?;
        if let Action::Arrive { .. } = action {
            next.model.account.accepted += 1;
            next.model.account.exported += 1;
        }
        Some(next)
    });
    assert_eq!(property, "AccountIsTheModels");
}

#[test]
fn an_exporter_that_forgets_to_ask_for_a_wake_is_caught_and_would_be_stuck() {
    let forgetful = |env: &Env, state: &State, action: &Action| {
        let next = env.step(state, action)?;
        Some(match next.wake {
            // It forgets the wait for a retry: nothing is under way, and yet it holds a request.
            Wake::At(_) if next.network.is_empty() => State { wake: Wake::Idle, ..next },
            _ => next,
        })
    };
    assert_eq!(violated_by(forgetful), "IdleHoldsNothing");
    let mutant = Mutant::new(env(one_request()), forgetful);
    let report = Bfs::new(&mutant).run();
    assert!(matches!(report.verdict(), Verdict::Deadlock { .. }), "{report}");
}

#[test]
fn a_wake_at_an_instant_that_has_come_is_caught() {
    let property = violated_by(|env, state, action| {
        let next = env.step(state, action)?;
        Some(match next.wake {
            Wake::At(_) => State { wake: Wake::At(next.now), ..next },
            Wake::Idle | Wake::Finished => next,
        })
    });
    assert_eq!(property, "WakesInTime");
}

// --- Breaker and failover ---

fn breaker() -> BreakerConfig {
    BreakerConfig::default().failures(1).cooldown(MILLI * 2)
}

fn failing() -> World {
    World::default().replies([Reply::Accept, Reply::Busy, Reply::BusyFor]).duplicates(0)
}

#[test]
fn the_real_breaker_survives_everything_that_can_happen_to_one_request() {
    for failures in [1, 2] {
        let config =
            small_config().max_attempts(3).max_elapsed(MILLI * 7).breaker(breaker().failures(failures));
        let report = explore(&Env::try_new(config, one_request()).expect("values in range"));
        assert!(report.is_verified(), "{report}");
    }
}

#[test]
fn the_real_failover_survives_what_happens_to_two_requests_and_two_destinations() {
    let config = small_config().max_elapsed(MILLI * 4).failover(1, breaker());
    let report = explore(&Env::try_new(config, failing()).expect("values in range"));
    assert!(report.is_verified(), "{report}");
}

#[test]
#[ignore = "long: millions of states"]
fn the_real_failover_survives_two_in_flight_trials_that_take_two_and_a_shutdown() {
    let config = small_config().max_in_flight(2).max_attempts(3).failover(1, breaker().trials(2));
    let world = failing().shutdown(MILLI * 2).hurry(MILLI);
    let report = explore(&Env::try_new(config, world).expect("values in range"));
    assert!(report.is_verified(), "{report}");
}

/// An exporter made with one breaker, held to the rules of another.
fn believed(made: ExporterConfig, rules: &ExporterConfig) -> Option<Refusal> {
    let env = Env { config: made, rules: Rules::from(rules), world: failing() };
    let report = explore(&env);
    let (property, misfit) = violated(&report);
    assert_eq!(property, "Conforms");
    match misfit.map(Misfit::why) {
        Some(crate::conform::Why::NotEnabled(refusal)) => Some(refusal),
        _ => None,
    }
}

#[test]
fn an_exporter_that_sends_through_an_open_breaker_is_caught() {
    let rules = small_config().breaker(breaker());
    let refusal = believed(small_config(), &rules);
    assert!(matches!(refusal, Some(Refusal::BreakerOpen { .. } | Refusal::TrialUnderWay)), "{refusal:?}");
    // A cooldown too short: the breaker's own word, when it opens, is the first sign.
    assert_eq!(believed(small_config().breaker(breaker().cooldown(MILLI)), &rules), None);
}

#[test]
fn an_exporter_that_opens_its_breaker_too_early_or_too_late_is_caught() {
    let (early, late) = (breaker().failures(1), breaker().failures(2));
    assert_eq!(believed(small_config().breaker(early), &small_config().breaker(late)), None);
    let refusal = believed(small_config().breaker(late), &small_config().breaker(early));
    assert!(matches!(refusal, Some(Refusal::BreakerOpen { .. })), "{refusal:?}");
}

#[test]
fn an_exporter_that_does_not_fail_over_or_to_nobody_is_caught() {
    let (alone, two) = (small_config().breaker(breaker()), small_config().failover(1, breaker()));
    let stays = believed(alone.clone(), &two);
    assert!(matches!(stays, Some(Refusal::NotFirst { .. } | Refusal::Wait { .. })), "{stays:?}");
    assert_eq!(believed(two, &alone), Some(Refusal::Destination { destinations: 1 }));
}

#[test]
fn values_out_of_range_are_refused() {
    assert!(Env::try_new(small_config().max_in_flight(0), one_request()).is_err());
    assert!(Env::try_new(small_config(), one_request().jitters([])).is_err());
}
