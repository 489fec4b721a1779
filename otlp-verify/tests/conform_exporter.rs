//! The real exporter's own record of its events is a run of the model, whatever its driver does; a record that was
//! tampered with is not.
#![cfg(feature = "core")]
#![expect(clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod hostile;

use std::collections::BTreeSet;
use std::time::Duration;

use hostile::Run;
use otlp_core::UnixNanos;
use otlp_core::protocol::export::{DropReason, TraceEvent, TraceOutcome};
use otlp_core::protocol::failover::DestinationId;
use otlp_core::protocol::status::Code;
use otlp_verify::conform::{Conformance, Misfit, Monitor, Why, check};

const SEEDS: u64 = 300;
const STEPS: usize = 150;

fn verdict(run: &Run, events: &[TraceEvent]) -> Result<Conformance, Misfit> {
    check(&run.config, events, run.stats)
}

fn runs() -> impl Iterator<Item = (u64, Run)> {
    (0..SEEDS).map(|seed| (seed, hostile::run(seed, STEPS)))
}

#[test]
fn every_run_of_the_real_exporter_conforms() {
    for (seed, run) in runs() {
        let conformance = verdict(&run, &run.events).unwrap_or_else(|misfit| panic!("seed {seed}: {misfit}"));
        assert_eq!(conformance.events, run.events.len() as u64, "seed {seed}");
        assert_eq!(conformance.queued_requests, 0, "seed {seed}: drained");
    }
}

#[test]
fn the_hostile_driver_provokes_every_event_every_outcome_and_every_reason() {
    let mut met = BTreeSet::new();
    for (_, run) in runs() {
        for event in &run.events {
            let text = format!("{event:?}");
            met.insert(text.split([' ', '{']).next().expect("a name").to_owned());
            match event {
                TraceEvent::Dropped { reason, .. } => _ = met.insert(format!("Dropped {reason}")),
                TraceEvent::Responded { outcome: TraceOutcome::Refused { retry_after, .. }, .. } => {
                    met.insert(format!("Refused {}", retry_after.is_some()));
                }
                TraceEvent::Sent { attempt: 3.., .. } => _ = met.insert("Sent often".to_owned()),
                TraceEvent::Sent { destination: DestinationId(1), .. } => {
                    _ = met.insert("Sent to 1".to_owned());
                }
                _ => {}
            }
        }
    }
    let kinds =
        ["Enqueued", "Sent", "Responded", "RetryScheduled", "Exported", "Rejected", "Stale", "Finished"];
    let reasons = DropReason::ALL.map(|reason| format!("Dropped {reason}"));
    let rest = [
        "ShutdownBegan",
        "ShutdownAdvanced",
        "BreakerOpened",
        "BreakerClosed",
        "Sent to 1",
        "Refused true",
        "Refused false",
        "Sent often",
    ];
    for wanted in kinds.into_iter().chain(rest).map(str::to_owned).chain(reasons) {
        assert!(met.contains(&wanted), "{wanted} never happened: {met:?}");
    }
}

#[test]
fn a_run_handed_over_in_pieces_conforms_as_a_whole() {
    let run = hostile::run(7, STEPS);
    let mut monitor = Monitor::of(&run.config);
    for piece in run.events.chunks(5) {
        for event in piece {
            monitor.observe_event(event).expect("conforms");
        }
    }
    let whole = verdict(&run, &run.events).expect("conforms");
    assert_eq!(monitor.finish(run.stats.into()).expect("conforms"), whole);
}

// --- Planted faults: each must be told, in every run and at every place where it can be planted. ---

/// True where the next event of the same request is that the shutdown gives it up. It may do so while the request
/// waits, is in flight or was answered, so that what came right before may be missing without a contradiction.
fn is_shut_down_next(events: &[TraceEvent], index: usize) -> bool {
    let request = events[index].request();
    let is_stale = |event: &TraceEvent| matches!(event, TraceEvent::Stale { .. });
    let next = events[index + 1..].iter().find(|event| event.request() == request && !is_stale(event));
    matches!(next, Some(TraceEvent::Dropped { reason: DropReason::Shutdown, .. }))
}

/// Plants a fault at every place that `plant` takes and asserts that each is told.
fn assert_told(what: &str, plant: impl Fn(&[TraceEvent], usize) -> Option<Vec<TraceEvent>>) {
    let mut planted = 0;
    for (seed, run) in runs().take(40) {
        for index in 0..run.events.len() {
            let Some(events) = plant(&run.events, index) else { continue };
            planted += 1;
            let told = verdict(&run, &events);
            assert!(told.is_err(), "{what} at {index} of seed {seed} not told: {:?}", run.events[index]);
        }
    }
    assert!(planted >= 40, "{what}: planted only {planted} times");
}

#[test]
fn an_event_removed_is_told() {
    assert_told("removed", |events, index| {
        match events[index] {
            // Stale changes nothing; the end of a shutdown is no more than an end.
            TraceEvent::Stale { .. }
            | TraceEvent::Finished { .. }
            | TraceEvent::ShutdownBegan { .. }
            | TraceEvent::ShutdownAdvanced { .. } => return None,
            // Repeats what follows from the answers before it.
            TraceEvent::BreakerOpened { .. } | TraceEvent::BreakerClosed { .. } => return None,
            TraceEvent::Sent { .. } | TraceEvent::Responded { .. } | TraceEvent::RetryScheduled { .. }
                if is_shut_down_next(events, index) =>
            {
                return None;
            }
            _ => {}
        }
        let mut events = events.to_vec();
        events.remove(index);
        Some(events)
    });
}

#[test]
fn an_event_told_twice_is_told() {
    assert_told("doubled", |events, index| {
        let repeats = matches!(
            events[index],
            TraceEvent::Stale { .. } | TraceEvent::BreakerOpened { .. } | TraceEvent::BreakerClosed { .. }
        );
        if repeats {
            return None;
        }
        let mut events = events.to_vec();
        events.insert(index, events[index]);
        Some(events)
    });
}

#[test]
fn two_events_of_a_request_in_the_wrong_order_are_told() {
    assert_told("swapped", |events, index| {
        let request = events[index].request()?;
        let later =
            index + 1 + events[index + 1..].iter().position(|event| event.request() == Some(request))?;
        if [index, later].iter().any(|&place| matches!(events[place], TraceEvent::Stale { .. })) {
            return None;
        }
        // The instants stay where they are, so that it is not time that gives it away.
        let mut swapped = events.to_vec();
        swapped[index] = at(events[later], events[index].at());
        swapped[later] = at(events[index], events[later].at());
        Some(swapped)
    });
}

#[test]
fn a_retry_one_nanosecond_early_is_told() {
    assert_told("early", |events, index| {
        let TraceEvent::RetryScheduled { request, not_before, .. } = events[index] else { return None };
        let is_send =
            |event: &TraceEvent| matches!(event, TraceEvent::Sent { request: met, .. } if *met == request);
        let send = index + 1 + events[index + 1..].iter().position(is_send)?;
        let early = not_before.saturating_sub(Duration::from_nanos(1));
        // Every event before it that happened later is left out of the way: it is moved to just before them.
        let place =
            index + 1 + events[index + 1..send].iter().take_while(|event| event.at() <= early).count();
        let mut events = events.to_vec();
        let sent = events.remove(send);
        events.insert(place, at(sent, early));
        Some(events)
    });
}

#[test]
fn a_wait_that_is_not_what_backoff_and_answer_demand_is_told() {
    assert_told("hasty", |events, index| {
        let TraceEvent::RetryScheduled { request, attempt, at, .. } = events[index] else { return None };
        let mut events = events.to_vec();
        events[index] = TraceEvent::RetryScheduled { request, attempt, not_before: at, at };
        Some(events)
    });
}

#[test]
fn a_skipped_attempt_is_told() {
    assert_told("skipped", |events, index| {
        let TraceEvent::Sent { request, attempt, destination, at } = events[index] else { return None };
        let mut events = events.to_vec();
        events[index] = TraceEvent::Sent { request, attempt: attempt + 1, destination, at };
        Some(events)
    });
}

#[test]
fn a_request_sent_to_another_destination_is_told() {
    assert_told("diverted", |events, index| {
        let TraceEvent::Sent { request, attempt, destination, at } = events[index] else { return None };
        let mut events = events.to_vec();
        let elsewhere = DestinationId(destination.0 + 1);
        events[index] = TraceEvent::Sent { request, attempt, destination: elsewhere, at };
        Some(events)
    });
}

#[test]
fn a_breaker_said_to_open_at_another_time_is_told() {
    assert_told("breaker", |events, index| {
        let TraceEvent::BreakerOpened { destination, until, at } = events[index] else { return None };
        let mut events = events.to_vec();
        let until = until + Duration::from_nanos(1);
        events[index] = TraceEvent::BreakerOpened { destination, until, at };
        Some(events)
    });
}

#[test]
fn a_wrong_count_of_records_is_told() {
    assert_told("miscounted", |events, index| {
        let mut events = events.to_vec();
        match &mut events[index] {
            TraceEvent::Enqueued { records, .. }
            | TraceEvent::Exported { records, .. }
            | TraceEvent::Rejected { records, .. }
            | TraceEvent::Dropped { records, .. } => *records += 1,
            _ => return None,
        }
        Some(events)
    });
}

#[test]
fn a_refusal_for_good_that_is_retried_is_told() {
    assert_told("retried", |events, index| {
        let TraceEvent::Responded { request, attempt, outcome: TraceOutcome::Refused { .. }, at } =
            events[index]
        else {
            return None;
        };
        if !matches!(events.get(index + 1), Some(TraceEvent::RetryScheduled { .. })) {
            return None;
        }
        let mut events = events.to_vec();
        let outcome = TraceOutcome::Refused { code: Code::Http(500), retry_after: None };
        events[index] = TraceEvent::Responded { request, attempt, outcome, at };
        Some(events)
    });
}

#[test]
fn an_account_that_the_events_do_not_add_up_to_is_told() {
    for (seed, mut run) in runs().take(40) {
        run.stats.exported += 1;
        run.stats.accepted += 1;
        let misfit = verdict(&run, &run.events).expect_err("one record too many");
        assert!(matches!(misfit.why(), Why::Account { .. }), "seed {seed}: {misfit}");
        assert_eq!(misfit.index(), run.events.len() as u64, "seed {seed}");
    }
}

#[test]
fn the_rules_of_another_exporter_are_not_kept_by_this_one() {
    let mut told = 0;
    for (_, run) in runs().take(40) {
        let stricter = run.config.clone().max_in_flight(1).max_queue_requests(1);
        told += usize::from(check(&stricter, &run.events, run.stats).is_err());
    }
    assert!(told > 30, "told {told} of 40");
}

/// The same event at another instant.
fn at(event: TraceEvent, instant: UnixNanos) -> TraceEvent {
    let mut event = event;
    match &mut event {
        TraceEvent::Enqueued { at, .. }
        | TraceEvent::Sent { at, .. }
        | TraceEvent::Responded { at, .. }
        | TraceEvent::RetryScheduled { at, .. }
        | TraceEvent::Exported { at, .. }
        | TraceEvent::Rejected { at, .. }
        | TraceEvent::Dropped { at, .. }
        | TraceEvent::Stale { at, .. }
        | TraceEvent::ShutdownBegan { at, .. }
        | TraceEvent::ShutdownAdvanced { at, .. }
        | TraceEvent::BreakerOpened { at, .. }
        | TraceEvent::BreakerClosed { at, .. }
        | TraceEvent::Finished { at } => *at = instant,
        other => panic!("a kind of event this test does not know: {other:?}"),
    }
    event
}
