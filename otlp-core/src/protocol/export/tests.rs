mod room;
mod route;

use std::time::Duration;

use super::*;
#[cfg(feature = "trace")]
use crate::protocol::failover::DestinationId;
use crate::protocol::retry::Backoff;
use crate::protocol::status::Code;
use crate::record::ExportResponse;

const NOW: UnixNanos = UnixNanos::from_secs(1_700_000_000);
const SECOND: Duration = Duration::from_secs(1);

fn config() -> ExporterConfig {
    ExporterConfig::default().max_in_flight(2).timeout(SECOND * 10).max_elapsed(SECOND * 100)
}

fn exporter(config: ExporterConfig) -> Exporter {
    config.build().expect("a config in range")
}

fn request(records: u32) -> Request {
    Request::new(Signal::Traces, Bytes::from(vec![7; 10]), records)
}

fn refused(code: u16, retry_after: Option<u64>) -> Outcome {
    let retry_after = retry_after.map(Duration::from_secs);
    Outcome::Refused { code: Code::Http(code), retry_after, message: "no".into() }
}

fn send(exporter: &mut Exporter, now: UnixNanos) -> Attempt {
    match exporter.poll(now, 0) {
        Command::Send(outgoing) => outgoing.attempt,
        other => panic!("expected something to send, met {other:?}"),
    }
}

#[track_caller]
fn account(exporter: &Exporter, exported: u64, rejected: u64, dropped: u64, queued: u64) {
    let accepted = exported + rejected + dropped + queued;
    assert_eq!(exporter.stats(), Stats { accepted, exported, rejected, dropped, queued });
}

#[test]
fn requests_are_sent_in_order_and_no_more_at_once_than_allowed() {
    let mut exporter = exporter(config());
    let ids: Vec<_> = (0..3).map(|_| exporter.enqueue(NOW, request(1)).expect("room")).collect();
    assert_eq!(send(&mut exporter, NOW), Attempt { request: ids[0], number: 1 });
    assert_eq!(send(&mut exporter, NOW), Attempt { request: ids[1], number: 1 });
    assert_eq!(exporter.poll(NOW, 0), Command::WaitUntil(NOW + SECOND * 10));
    let verdict = exporter.on_outcome(NOW, 0, Attempt { request: ids[1], number: 1 }, Outcome::Accepted);
    assert_eq!(verdict, Verdict::Exported { records: 1 });
    assert_eq!(send(&mut exporter, NOW), Attempt { request: ids[2], number: 1 });
    account(&exporter, 1, 0, 0, 2);
}

#[test]
fn every_attempt_shares_the_bytes_of_the_request() {
    let mut exporter = exporter(config());
    let handed_in = request(1);
    let pointer = handed_in.body.as_ptr();
    exporter.enqueue(NOW, handed_in).expect("room");
    for attempt in 1..=3 {
        let now = NOW + SECOND * 20 * attempt;
        let Command::Send(outgoing) = exporter.poll(now, 0) else { panic!("nothing to send") };
        assert_eq!((outgoing.body.as_ptr(), outgoing.attempt.number), (pointer, attempt));
        exporter.on_outcome(now, 0, outgoing.attempt, Outcome::Disconnected);
    }
    assert_eq!(exporter.counters().retries, 2);
}

#[test]
fn a_retry_waits_for_its_backoff_to_the_nanosecond() {
    let mut exporter = exporter(config());
    exporter.enqueue(NOW, request(4)).expect("room");
    let first = send(&mut exporter, NOW);
    let verdict = exporter.on_outcome(NOW, u64::MAX, first, refused(502, None));
    let Verdict::Retry { not_before } = verdict else { panic!("{verdict:?}") };
    assert_eq!(not_before, NOW + SECOND.saturating_sub(Duration::from_nanos(1)));
    let just_before = not_before.saturating_sub(Duration::from_nanos(1));
    assert_eq!(exporter.poll(just_before, 0), Command::WaitUntil(not_before));
    assert_eq!(send(&mut exporter, not_before).number, 2);
    account(&exporter, 0, 0, 0, 4);
}

#[test]
fn retry_waits_for_retry_after_header() {
    let mut exporter = exporter(config());
    exporter.enqueue(NOW, request(1)).expect("room");
    let first = send(&mut exporter, NOW);
    let asked = NOW + SECOND * 30;
    assert_eq!(
        exporter.on_outcome(NOW, 0, first, refused(429, Some(30))),
        Verdict::Retry { not_before: asked }
    );
    assert_eq!(exporter.poll(NOW + SECOND * 29, 0), Command::WaitUntil(asked));
    assert_eq!(send(&mut exporter, asked).number, 2);
}

#[test]
fn retry_after_holds_the_other_requests_as_well() {
    let mut exporter = exporter(config());
    exporter.enqueue(NOW, request(1)).expect("room");
    let first = send(&mut exporter, NOW);
    exporter.on_outcome(NOW, 0, first, refused(503, Some(20)));
    exporter.enqueue(NOW + SECOND, request(1)).expect("room");
    assert_eq!(exporter.poll(NOW + SECOND, 0), Command::WaitUntil(NOW + SECOND * 20));
    send(&mut exporter, NOW + SECOND * 20);
    send(&mut exporter, NOW + SECOND * 20);
}

#[test]
fn a_receiver_that_asks_for_a_year_loses_the_request_but_not_the_exporter() {
    let mut exporter = exporter(config());
    exporter.enqueue(NOW, request(2)).expect("room");
    let first = send(&mut exporter, NOW);
    let verdict = exporter.on_outcome(NOW, 0, first, refused(503, Some(31_536_000)));
    assert_eq!(verdict, Verdict::Dropped { records: 2, reason: DropReason::Expired });
    exporter.enqueue(NOW + SECOND * 99, request(1)).expect("room");
    assert_eq!(exporter.poll(NOW + SECOND * 99, 0), Command::WaitUntil(NOW + SECOND * 100));
    send(&mut exporter, NOW + SECOND * 100);
    account(&exporter, 0, 0, 2, 1);
}

#[test]
fn only_the_four_statuses_are_tried_again() {
    for code in 300..=599 {
        let mut exporter = exporter(config());
        exporter.enqueue(NOW, request(5)).expect("room");
        let first = send(&mut exporter, NOW);
        let verdict = exporter.on_outcome(NOW, 0, first, refused(code, Some(1)));
        let retried = matches!(verdict, Verdict::Retry { .. });
        assert_eq!(retried, [429, 502, 503, 504].contains(&code), "{code}");
        if !retried {
            assert_eq!(
                verdict,
                Verdict::Rejected { records: 5, code: Code::Http(code), message: "no".into() }
            );
            account(&exporter, 0, 5, 0, 0);
        }
    }
}

#[test]
fn a_partial_success_is_final_and_its_claim_is_held_to_what_was_sent() {
    for (claimed, rejected) in [(0, 0), (3, 3), (10, 10), (11, 10), (u64::MAX, 10)] {
        let mut exporter = exporter(config());
        exporter.enqueue(NOW, request(10)).expect("room");
        let first = send(&mut exporter, NOW);
        let claim = ExportResponse::partial(claimed, "quota");
        let Verdict::Partial { exported, response } =
            exporter.on_outcome(NOW, 0, first, Outcome::Partial(claim))
        else {
            panic!("not partial")
        };
        assert_eq!((u64::from(exported), response.rejected), (10 - rejected, rejected));
        assert_eq!(response.message, "quota");
        assert_eq!(exporter.poll(NOW + SECOND * 50, 0), Command::Idle);
        account(&exporter, 10 - rejected, rejected, 0, 0);
    }
}

#[test]
fn an_attempt_without_answer_is_given_up_and_its_late_answer_is_stale() {
    let mut exporter = exporter(config());
    exporter.enqueue(NOW, request(1)).expect("room");
    let first = send(&mut exporter, NOW);
    let late = NOW + SECOND * 10;
    assert!(matches!(exporter.poll(late, 0), Command::WaitUntil(at) if at > late));
    assert_eq!(exporter.on_outcome(late, 0, first, Outcome::Accepted), Verdict::Stale);
    account(&exporter, 0, 0, 0, 1);
    let second = send(&mut exporter, late + SECOND);
    assert_eq!(exporter.on_outcome(late + SECOND, 0, first, Outcome::Accepted), Verdict::Stale);
    let verdict = exporter.on_outcome(late + SECOND, 0, second, Outcome::Accepted);
    assert_eq!(verdict, Verdict::Exported { records: 1 });
    assert_eq!(exporter.on_outcome(late + SECOND, 0, second, refused(400, None)), Verdict::Stale);
    account(&exporter, 1, 0, 0, 0);
    assert_eq!((exporter.counters().stale, exporter.counters().timed_out), (3, 1));
}

#[test]
fn a_bad_answer_is_not_tried_again() {
    let mut exporter = exporter(config());
    exporter.enqueue(NOW, request(1)).expect("room");
    let first = send(&mut exporter, NOW);
    let verdict = exporter.on_outcome(NOW, 0, first, Outcome::BadAnswer);
    assert_eq!(verdict, Verdict::Dropped { records: 1, reason: DropReason::BadAnswer });
    assert_eq!(exporter.counters().dropped(DropReason::BadAnswer), 1);
    account(&exporter, 0, 0, 1, 0);
}

#[test]
fn a_success_whose_body_cannot_be_read_is_a_success_and_counted() {
    let mut exporter = exporter(config());
    exporter.enqueue(NOW, request(2)).expect("room");
    let first = send(&mut exporter, NOW);
    assert_eq!(exporter.on_outcome(NOW, 0, first, Outcome::Unread), Verdict::Exported { records: 2 });
    assert_eq!(exporter.counters().unread, 1);
    account(&exporter, 2, 0, 0, 0);
}

#[test]
fn a_request_that_took_too_long_is_dropped_wherever_it_is() {
    let mut exporter = exporter(config().max_in_flight(1));
    exporter.enqueue(NOW, request(1)).expect("room");
    exporter.enqueue(NOW, request(2)).expect("room");
    send(&mut exporter, NOW + SECOND * 95);
    let Command::WaitUntil(end) = exporter.poll(NOW + SECOND * 95, 0) else { panic!("expected a wait") };
    assert_eq!(end, NOW + SECOND * 100, "an attempt ends with its request");
    assert_eq!(exporter.poll(end, 0), Command::Idle);
    account(&exporter, 0, 0, 3, 0);
    assert_eq!(exporter.counters().dropped(DropReason::Expired), 3);
}

#[test]
fn attempts_are_counted_up_to_their_bound() {
    let mut exporter = exporter(config().max_attempts(2));
    exporter.enqueue(NOW, request(1)).expect("room");
    let first = send(&mut exporter, NOW);
    exporter.on_outcome(NOW, 0, first, Outcome::TimedOut);
    let second = send(&mut exporter, NOW + SECOND);
    let verdict = exporter.on_outcome(NOW + SECOND, 0, second, Outcome::TimedOut);
    assert_eq!(verdict, Verdict::Dropped { records: 1, reason: DropReason::Attempts });
}

#[test]
fn the_oldest_goes_first_but_never_one_in_flight() {
    let mut exporter = exporter(config().max_queue_requests(3).max_in_flight(1));
    let ids: Vec<_> = (1..=3).map(|n| exporter.enqueue(NOW, request(n)).expect("room")).collect();
    let flying = send(&mut exporter, NOW);
    assert_eq!(flying.request, ids[0]);
    exporter.enqueue(NOW, request(8)).expect("room is made");
    account(&exporter, 0, 0, 2, 1 + 3 + 8);
    assert_eq!(exporter.queued_requests(), 3);
    exporter.on_outcome(NOW, 0, flying, Outcome::Accepted);
    assert_eq!(send(&mut exporter, NOW).request, ids[2]);
}

#[test]
fn the_newest_is_refused_by_the_other_policy_and_when_all_are_in_flight() {
    for policy in [DropPolicy::Newest, DropPolicy::Oldest] {
        let mut exporter = exporter(config().max_queue_requests(2).drop_policy(policy));
        exporter.enqueue(NOW, request(1)).expect("room");
        exporter.enqueue(NOW, request(1)).expect("room");
        if policy == DropPolicy::Oldest {
            send(&mut exporter, NOW);
            send(&mut exporter, NOW);
        }
        assert_eq!(
            exporter.enqueue(NOW, request(5)),
            Err(NotTaken::Dropped(DropReason::QueueFull)),
            "{policy:?}"
        );
        account(&exporter, 0, 0, 5, 2);
    }
}

#[test]
fn bytes_are_bounded_as_well_and_nothing_is_dropped_in_vain() {
    let big = |len: usize| Request::new(Signal::Logs, vec![0; len].into(), 1);
    let mut exporter = exporter(config().max_queue_bytes(100).max_request_bytes(1000));
    exporter.enqueue(NOW, big(60)).expect("room");
    exporter.enqueue(NOW, big(40)).expect("room");
    assert_eq!(exporter.queued_bytes(), 100);
    assert_eq!(exporter.enqueue(NOW, big(101)), Err(NotTaken::Dropped(DropReason::QueueFull)));
    assert_eq!(exporter.queued_bytes(), 100, "a request that never fits drops nobody");
    exporter.enqueue(NOW, big(50)).expect("the first goes");
    assert_eq!(exporter.queued_bytes(), 90);
    assert_eq!(exporter.enqueue(NOW, big(1001)), Err(NotTaken::Dropped(DropReason::TooLarge)));
    account(&exporter, 0, 0, 3, 2);
}

#[test]
fn shutdown_sends_what_is_left_and_reports_it() {
    let mut exporter = exporter(config());
    exporter.enqueue(NOW, request(3)).expect("room");
    exporter.enqueue(NOW, request(4)).expect("room");
    exporter.shutdown(NOW, NOW + SECOND * 5);
    assert_eq!(exporter.enqueue(NOW, request(1)), Err(NotTaken::Dropped(DropReason::Closed)));
    let (first, second) = (send(&mut exporter, NOW), send(&mut exporter, NOW));
    assert_eq!(exporter.poll(NOW, 0), Command::WaitUntil(NOW + SECOND * 5));
    exporter.on_outcome(NOW, 0, first, Outcome::Accepted);
    exporter.on_outcome(NOW, 0, second, refused(400, None));
    let Command::Finished(report) = exporter.poll(NOW, 0) else { panic!("not finished") };
    assert_eq!((report.flushed, report.rejected, report.dropped), (3, 4, 1));
    assert_eq!(report.stats, exporter.stats());
    assert_eq!(exporter.poll(NOW + SECOND, 0), Command::Finished(report), "and stays so");
}

#[test]
fn shutdown_ends_at_its_deadline_whatever_is_in_flight() {
    let mut exporter = exporter(config().max_in_flight(1));
    exporter.enqueue(NOW, request(3)).expect("room");
    exporter.enqueue(NOW, request(4)).expect("room");
    let flying = send(&mut exporter, NOW);
    exporter.shutdown(NOW, NOW + SECOND * 2);
    assert_eq!(exporter.poll(NOW, 0), Command::WaitUntil(NOW + SECOND * 2));
    let Command::Finished(report) = exporter.poll(NOW + SECOND * 2, 0) else { panic!("not finished") };
    assert_eq!((report.flushed, report.dropped), (0, 7));
    assert_eq!(exporter.on_outcome(NOW + SECOND * 3, 0, flying, Outcome::Accepted), Verdict::Stale);
    account(&exporter, 0, 0, 7, 0);
}

#[test]
fn shutdown_does_not_wait_for_what_cannot_come_in_time() {
    let mut exporter = exporter(config());
    exporter.enqueue(NOW, request(3)).expect("room");
    let first = send(&mut exporter, NOW);
    exporter.on_outcome(NOW, 0, first, refused(503, Some(60)));
    exporter.shutdown(NOW, NOW + SECOND * 30);
    let Command::Finished(report) = exporter.poll(NOW, 0) else { panic!("not finished") };
    assert_eq!(report.dropped, 3);
    assert_eq!(exporter.counters().dropped(DropReason::Shutdown), 3);
}

#[test]
fn a_second_shutdown_only_brings_the_deadline_forward() {
    let mut exporter = exporter(config());
    exporter.enqueue(NOW, request(1)).expect("room");
    send(&mut exporter, NOW);
    exporter.shutdown(NOW, NOW + SECOND * 5);
    exporter.shutdown(NOW, NOW + SECOND * 50);
    assert_eq!(exporter.poll(NOW, 0), Command::WaitUntil(NOW + SECOND * 5));
    exporter.shutdown(NOW, NOW + SECOND);
    assert!(matches!(exporter.poll(NOW + SECOND, 0), Command::Finished(_)));
}

#[test]
fn a_clock_that_jumps_back_never_cuts_a_wait_short() {
    let mut exporter = exporter(config());
    exporter.enqueue(NOW, request(1)).expect("room");
    let first = send(&mut exporter, NOW);
    exporter.on_outcome(NOW, 0, first, refused(503, Some(30)));
    let back = NOW.saturating_sub(SECOND * 3600);
    assert_eq!(exporter.poll(back, 0), Command::WaitUntil(back + SECOND * 30));
    assert_eq!(exporter.poll(back + SECOND * 29, 0), Command::WaitUntil(back + SECOND * 30));
    assert_eq!(send(&mut exporter, back + SECOND * 30).number, 2);
}

#[test]
fn values_out_of_range_are_refused_before_anything_runs() {
    let zero = Duration::ZERO;
    for (wrong, what) in [
        (config().max_queue_requests(0), "max_queue_requests"),
        (config().max_queue_bytes(0), "max_queue_bytes"),
        (config().max_request_bytes(0), "max_request_bytes"),
        (config().max_in_flight(0), "max_in_flight"),
        (config().max_attempts(0), "max_attempts"),
        (config().timeout(zero), "timeout"),
        (config().max_elapsed(zero), "max_elapsed"),
        (config().backoff(Backoff { initial: zero, max: SECOND }), "backoff"),
        (config().backoff(Backoff { initial: SECOND * 2, max: SECOND }), "backoff"),
    ] {
        let error = wrong.build().expect_err(what);
        assert_eq!(error.kind(), crate::ErrorKind::Config);
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[cfg(feature = "trace")]
#[test]
fn the_trace_tells_the_whole_story_of_a_request() {
    let mut exporter = exporter(config());
    let request = exporter.enqueue(NOW, request(2)).expect("room");
    let first = send(&mut exporter, NOW);
    exporter.on_outcome(NOW, 0, first, refused(503, Some(1)));
    let at = NOW + SECOND;
    let second = send(&mut exporter, at);
    exporter.on_outcome(at, 0, second, Outcome::Accepted);
    let outcome = TraceOutcome::Refused { code: Code::Http(503), retry_after: Some(SECOND) };
    let destination = DestinationId::PRIMARY;
    let expected = [
        TraceEvent::Enqueued { request, records: 2, at: NOW },
        TraceEvent::Sent { request, attempt: 1, destination, at: NOW },
        TraceEvent::Responded { request, attempt: 1, outcome, at: NOW },
        TraceEvent::RetryScheduled { request, attempt: 1, not_before: at, at: NOW },
        TraceEvent::Sent { request, attempt: 2, destination, at },
        TraceEvent::Responded { request, attempt: 2, outcome: TraceOutcome::Accepted, at },
        TraceEvent::Exported { request, records: 2, rejected: 0, at },
    ];
    assert_eq!(exporter.trace(), expected);
    assert!(exporter.trace().iter().all(|event| event.request() == Some(request) && event.at() >= NOW));
    assert_eq!(exporter.take_trace(), expected);
    assert_eq!(exporter.trace(), []);
}

#[cfg(feature = "trace")]
#[test]
fn a_full_trace_keeps_the_beginning_and_counts_the_rest() {
    let mut exporter = exporter(config().max_trace_events(2));
    exporter.enqueue(NOW, request(1)).expect("room");
    let first = send(&mut exporter, NOW);
    exporter.on_outcome(NOW, 0, first, Outcome::Accepted);
    assert_eq!((exporter.trace().len(), exporter.trace_lost()), (2, 2));
    assert!(matches!(exporter.trace()[0], TraceEvent::Enqueued { .. }));
}

#[cfg(feature = "model")]
#[test]
fn states_that_will_behave_alike_are_equal_and_others_are_not() {
    use std::hash::{BuildHasher, RandomState};

    let mut one = exporter(config());
    one.enqueue(NOW, request(1)).expect("room");
    let mut other = one.clone();
    let state = RandomState::new();
    assert_eq!((&one, state.hash_one(&one)), (&other, state.hash_one(&other)));
    let attempt = send(&mut other, NOW);
    assert_ne!(one, other);
    assert_eq!(send(&mut one, NOW), attempt);
    assert_eq!(one, other);
    one.on_outcome(NOW, 0, attempt, Outcome::Disconnected);
    other.on_outcome(NOW, u64::MAX, attempt, Outcome::Disconnected);
    assert_ne!(one, other, "another jitter is another future");
}
