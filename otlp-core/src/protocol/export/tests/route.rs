//! Breaker, failover, and the statuses of both protocols.

use super::*;
use crate::protocol::breaker::{BreakerConfig, BreakerState};

const COOLDOWN: Duration = Duration::from_secs(30);

fn breaker() -> BreakerConfig {
    BreakerConfig::default().failures(2).cooldown(COOLDOWN)
}

fn send_to(exporter: &mut Exporter, now: UnixNanos) -> (Attempt, u8) {
    match exporter.poll(now, 0) {
        Command::Send(outgoing) => (outgoing.attempt, outgoing.destination.0),
        other => panic!("expected something to send, met {other:?}"),
    }
}

/// Two requests in flight that fail: the breaker opens at `now`.
fn broken(config: ExporterConfig) -> Exporter {
    let mut exporter = exporter(config);
    for _ in 0..2 {
        exporter.enqueue(NOW, request(1)).expect("room");
    }
    for attempt in [send(&mut exporter, NOW), send(&mut exporter, NOW)] {
        exporter.on_outcome(NOW, 0, attempt, Outcome::Disconnected);
    }
    assert_eq!(exporter.counters().breaker_opened, 1);
    exporter
}

#[test]
fn an_open_breaker_holds_everything_until_one_request_has_tried() {
    let mut exporter = broken(config().breaker(breaker()));
    assert_eq!(exporter.poll(NOW + SECOND, 0), Command::WaitUntil(NOW + COOLDOWN));
    let trial = send(&mut exporter, NOW + COOLDOWN);
    let Command::WaitUntil(gives_up) = exporter.poll(NOW + COOLDOWN, 0) else { panic!("one at a time") };
    assert_eq!(
        gives_up,
        NOW + COOLDOWN + SECOND * 10,
        "the trial's own deadline is all there is to wait for"
    );
    exporter.on_outcome(NOW + COOLDOWN, 0, trial, Outcome::Accepted);
    send(&mut exporter, NOW + COOLDOWN);
    let states: Vec<_> = exporter.destinations().map(|status| status.breaker).collect();
    assert_eq!(states, [Some(BreakerState::Closed { failures: 0 })]);
}

#[test]
fn a_trial_that_fails_or_times_out_opens_the_breaker_again() {
    let mut exporter = broken(config().breaker(breaker()));
    let trial = send(&mut exporter, NOW + COOLDOWN);
    exporter.on_outcome(NOW + COOLDOWN, 0, trial, refused(502, None));
    assert_eq!(exporter.poll(NOW + COOLDOWN, 0), Command::WaitUntil(NOW + COOLDOWN * 2));
    send(&mut exporter, NOW + COOLDOWN * 2);
    let late = NOW + COOLDOWN * 2 + SECOND * 10;
    assert_eq!(exporter.poll(late, 0), Command::WaitUntil(NOW + SECOND * 100), "they expire before that");
    assert_eq!(exporter.counters().breaker_opened, 3);
}

#[test]
fn what_counts_as_a_failure_of_the_receiver_and_what_does_not() {
    let grpc = |code| Outcome::Refused { code: Code::Grpc(code), retry_after: None, message: String::new() };
    for (outcome, opens) in [
        (Outcome::TimedOut, true),
        (Outcome::Disconnected, true),
        (Outcome::BadAnswer, true),
        (refused(503, None), true),
        (refused(503, Some(1)), false),
        (refused(429, Some(0)), false),
        (refused(500, None), true),
        (refused(400, None), false),
        (grpc(14), true),
        (grpc(13), true),
        (grpc(3), false),
        (Outcome::Accepted, false),
        (Outcome::Unread, false),
    ] {
        let mut exporter = exporter(config().breaker(breaker().failures(1)));
        exporter.enqueue(NOW, request(1)).expect("room");
        let attempt = send(&mut exporter, NOW);
        exporter.on_outcome(NOW, 0, attempt, outcome.clone());
        assert_eq!(exporter.counters().breaker_opened, u64::from(opens), "{outcome:?}");
    }
}

#[test]
fn a_fallback_takes_over_and_the_primary_gets_its_requests_back() {
    let mut exporter = broken(config().failover(1, breaker()));
    let soon = NOW + SECOND;
    let (first, to) = send_to(&mut exporter, soon);
    assert_eq!(to, 1);
    exporter.on_outcome(soon, 0, first, Outcome::Accepted);
    assert_eq!(exporter.counters().diverted, 1);
    exporter.enqueue(soon, request(1)).expect("room");
    let later = NOW + COOLDOWN;
    let (trial, to) = send_to(&mut exporter, later);
    assert_eq!(
        (to, send_to(&mut exporter, later).1),
        (0, 1),
        "one tries the primary, the other does not wait"
    );
    exporter.on_outcome(later, 0, trial, Outcome::Accepted);
    exporter.enqueue(later, request(1)).expect("room");
    assert_eq!(send_to(&mut exporter, later).1, 0);
}

#[test]
fn every_destination_shares_the_bytes_of_the_request() {
    let mut exporter = exporter(config().failover(1, breaker().failures(1)));
    let handed_in = request(1);
    let pointer = handed_in.body.as_ptr();
    exporter.enqueue(NOW, handed_in).expect("room");
    for destination in [0, 1] {
        let now = NOW + SECOND * u32::from(destination) * 2;
        let Command::Send(outgoing) = exporter.poll(now, 0) else { panic!("nothing to send") };
        assert_eq!((outgoing.body.as_ptr(), outgoing.destination.0), (pointer, destination));
        exporter.on_outcome(now, 0, outgoing.attempt, Outcome::Disconnected);
    }
}

#[test]
fn a_wait_that_one_destination_asks_for_binds_it_alone() {
    let mut exporter = exporter(config().failover(1, breaker()));
    exporter.enqueue(NOW, request(1)).expect("room");
    let first = send(&mut exporter, NOW);
    let Verdict::Retry { not_before } = exporter.on_outcome(NOW, 0, first, refused(429, Some(50))) else {
        panic!("no retry")
    };
    assert!(not_before < NOW + SECOND * 2, "the fallback asked for nothing");
    assert_eq!(send_to(&mut exporter, not_before).1, 1);
    exporter.enqueue(NOW, request(1)).expect("room");
    assert_eq!(send_to(&mut exporter, NOW + SECOND * 49).1, 1);
    exporter.enqueue(NOW + SECOND * 50, request(1)).expect("room");
    let held: Vec<_> = exporter.destinations().map(|status| status.held_until).collect();
    assert_eq!(held, [NOW + SECOND * 50, UnixNanos::ZERO]);
}

#[test]
fn grpc_is_tried_again_exactly_as_the_specification_says() {
    for code in -1..=20 {
        for info in [None, Some(Duration::ZERO)] {
            let mut exporter = exporter(config());
            exporter.enqueue(NOW, request(1)).expect("room");
            let first = send(&mut exporter, NOW);
            let outcome =
                Outcome::Refused { code: Code::Grpc(code), retry_after: info, message: String::new() };
            let verdict = exporter.on_outcome(NOW, 0, first, outcome);
            let retried = matches!(verdict, Verdict::Retry { .. });
            let expected = [1, 4, 10, 11, 14, 15].contains(&code) || (code == 8 && info.is_some());
            assert_eq!(retried, expected, "{code} {info:?}");
        }
    }
}

#[test]
fn a_shutdown_does_not_wait_for_a_breaker_that_opens_too_late() {
    let mut exporter = broken(config().breaker(breaker()));
    exporter.shutdown(NOW, NOW + COOLDOWN);
    let Command::Finished(report) = exporter.poll(NOW, 0) else { panic!("not finished") };
    assert_eq!(report.dropped, 2);
    let mut exporter = broken(config().breaker(breaker()));
    exporter.shutdown(NOW, NOW + COOLDOWN + SECOND);
    send(&mut exporter, NOW + COOLDOWN);
    account(&exporter, 0, 0, 0, 2);
}

#[test]
fn values_of_the_breaker_out_of_range_are_refused() {
    for wrong in [breaker().failures(0), breaker().trials(0), breaker().cooldown(Duration::ZERO)] {
        assert!(config().breaker(wrong).build().is_err());
        assert!(config().failover(1, wrong).build().is_err());
    }
}

#[test]
fn attempts_are_timed() {
    let mut exporter = exporter(config());
    exporter.enqueue(NOW, request(1)).expect("room");
    let attempt = send(&mut exporter, NOW);
    exporter.on_outcome(NOW + SECOND * 2, 0, attempt, Outcome::Accepted);
    let latency = exporter.exporter_stats().latency;
    assert_eq!((latency.count(), latency.sum()), (1, SECOND * 2));
}

#[cfg(feature = "trace")]
#[test]
fn the_trace_tells_of_breakers_and_of_a_shutdown_that_was_brought_forward() {
    let mut exporter = broken(config().breaker(breaker()));
    let (destination, until) = (DestinationId::PRIMARY, NOW + COOLDOWN);
    let opened = TraceEvent::BreakerOpened { destination, until, at: NOW };
    assert_eq!(exporter.take_trace().last(), Some(&opened));
    let trial = send(&mut exporter, until);
    exporter.on_outcome(until, 0, trial, Outcome::Accepted);
    assert_eq!(exporter.take_trace().last(), Some(&TraceEvent::BreakerClosed { destination, at: until }));
    exporter.shutdown(until, until + SECOND * 9);
    exporter.shutdown(until, until + SECOND * 10);
    exporter.shutdown(until, until + SECOND * 5);
    let expected = [
        TraceEvent::ShutdownBegan { deadline: until + SECOND * 9, at: until },
        TraceEvent::ShutdownAdvanced { deadline: until + SECOND * 5, at: until },
    ];
    assert_eq!(exporter.take_trace(), expected, "a later deadline is no event");
    assert!(expected.iter().all(|event| event.request().is_none() && event.at() == until));
}
