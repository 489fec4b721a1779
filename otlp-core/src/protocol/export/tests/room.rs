//! What goes when there is no room.

use super::*;
use crate::protocol::memory::MemoryLimiter;

fn full(policy: DropPolicy) -> Exporter {
    exporter(config().drop_policy(policy).max_queue_requests(3))
}

fn high(records: u32) -> Request {
    request(records).priority(Priority::High)
}

fn fill(exporter: &mut Exporter, requests: impl IntoIterator<Item = Request>) {
    for request in requests {
        exporter.enqueue(NOW, request).expect("room");
    }
}

/// The records of the requests that wait, in the order in which they are sent.
fn left(exporter: &mut Exporter) -> Vec<u32> {
    let mut left = Vec::new();
    while let Command::Send(outgoing) = exporter.poll(NOW, 0) {
        let Verdict::Exported { records } = exporter.on_outcome(NOW, 0, outgoing.attempt, Outcome::Accepted)
        else {
            panic!("not exported")
        };
        left.push(records);
    }
    left
}

#[test]
fn blocking_gives_the_request_back_and_counts_nothing_but_that() {
    let mut exporter = full(DropPolicy::Block);
    fill(&mut exporter, (1..=3).map(request));
    let fourth = request(4);
    assert_eq!(exporter.enqueue(NOW, fourth.clone()), Err(NotTaken::Full(fourth.clone())));
    assert_eq!(exporter.enqueue(NOW, high(4)), Err(NotTaken::Full(high(4))), "errors wait as well");
    account(&exporter, 0, 0, 0, 6);
    assert_eq!(exporter.counters().blocked, 8);
    let flying = send(&mut exporter, NOW);
    exporter.on_outcome(NOW, 0, flying, Outcome::Accepted);
    assert!(exporter.enqueue(NOW, fourth).is_ok(), "room again");
}

#[test]
fn what_can_never_fit_is_dropped_even_where_the_policy_is_to_block() {
    let mut exporter = exporter(config().drop_policy(DropPolicy::Block).max_queue_bytes(50));
    let large = Request::new(Signal::Logs, vec![0; 51].into(), 2);
    assert_eq!(exporter.enqueue(NOW, large), Err(NotTaken::Dropped(DropReason::QueueFull)));
    exporter.shutdown(NOW, NOW + SECOND);
    assert_eq!(exporter.enqueue(NOW, request(1)), Err(NotTaken::Dropped(DropReason::Closed)));
    account(&exporter, 0, 0, 3, 0);
}

#[test]
fn errors_go_last_whether_the_oldest_goes_or_the_newest() {
    for (policy, expected) in [(DropPolicy::Oldest, [2, 10, 11]), (DropPolicy::Newest, [2, 10, 11])] {
        let mut exporter = full(policy);
        exporter.enqueue(NOW, request(1)).expect("room");
        exporter.enqueue(NOW, high(2)).expect("room");
        exporter.enqueue(NOW, request(3)).expect("room");
        for records in [10, 11] {
            exporter.enqueue(NOW, high(records)).expect("a normal one makes room");
        }
        assert_eq!(left(&mut exporter), expected, "{policy:?}");
        account(&exporter, 23, 0, 4, 0);
    }
}

#[test]
fn a_normal_request_never_costs_an_error_its_place_and_errors_make_room_for_their_like() {
    let mut exporter = full(DropPolicy::Oldest);
    fill(&mut exporter, (1..=3).map(high));
    assert_eq!(exporter.enqueue(NOW, request(9)), Err(NotTaken::Dropped(DropReason::QueueFull)));
    exporter.enqueue(NOW, high(4)).expect("the oldest error goes");
    assert_eq!(left(&mut exporter), [2, 3, 4]);
    let mut exporter = full(DropPolicy::Newest);
    fill(&mut exporter, (1..=3).map(high));
    assert_eq!(exporter.enqueue(NOW, high(4)), Err(NotTaken::Dropped(DropReason::QueueFull)));
}

#[test]
fn nothing_of_another_priority_is_dropped_in_vain() {
    let sized = |len: usize| Request::new(Signal::Logs, vec![0; len].into(), 1);
    let mut exporter = exporter(config().max_queue_bytes(100));
    exporter.enqueue(NOW, sized(70).priority(Priority::High)).expect("room");
    exporter.enqueue(NOW, sized(20)).expect("room");
    assert_eq!(exporter.enqueue(NOW, sized(40)), Err(NotTaken::Dropped(DropReason::QueueFull)));
    assert_eq!(exporter.queued_requests(), 2, "the normal one would not have been enough");
    assert!(exporter.enqueue(NOW, sized(30)).is_ok(), "here it is");
    assert_eq!((exporter.queued_requests(), exporter.queued_bytes()), (2, 100));
}

#[test]
fn a_retried_error_keeps_its_priority() {
    let mut exporter = full(DropPolicy::Oldest);
    exporter.enqueue(NOW, high(1)).expect("room");
    let first = send(&mut exporter, NOW);
    exporter.on_outcome(NOW, 0, first, refused(503, None));
    (2..=5).for_each(|n| drop(exporter.enqueue(NOW, request(n))));
    assert_eq!(exporter.counters().dropped(DropReason::QueueFull), 2 + 3);
}

#[test]
fn at_the_hard_mark_each_policy_does_what_it_says() {
    for (policy, result, dropped) in [
        (DropPolicy::Oldest, None, 1),
        (DropPolicy::Newest, Some(NotTaken::Dropped(DropReason::Memory)), 3),
        (DropPolicy::Block, Some(NotTaken::Full(request(3))), 0),
    ] {
        let memory = MemoryLimiter::try_new(10, 20).expect("in order");
        let mut exporter = exporter(config().drop_policy(policy));
        for n in 1..=2 {
            exporter.enqueue_within(NOW, request(n), &memory).expect("room");
        }
        assert_eq!(exporter.enqueue_within(NOW, request(3), &memory).err(), result, "{policy:?}");
        assert_eq!(exporter.counters().dropped(DropReason::Memory), dropped, "{policy:?}");
        assert_eq!((memory.used_bytes(), exporter.stats().is_balanced()), (20, true));
        exporter.shutdown(NOW, NOW);
        assert!(matches!(exporter.poll(NOW, 0), Command::Finished(_)));
        assert_eq!(memory.used_bytes(), 0, "all is given back");
    }
}

#[test]
fn a_request_larger_than_the_hard_mark_costs_nobody_else_its_place() {
    let memory = MemoryLimiter::try_new(15, 15).expect("in order");
    for policy in [DropPolicy::Oldest, DropPolicy::Block] {
        let mut exporter = exporter(config().drop_policy(policy));
        exporter.enqueue_within(NOW, request(1), &memory).expect("room");
        let large = Request::new(Signal::Logs, vec![0; 16].into(), 2);
        let refused = exporter.enqueue_within(NOW, large, &memory);
        assert_eq!(refused, Err(NotTaken::Dropped(DropReason::Memory)), "{policy:?}");
        account(&exporter, 0, 0, 2, 1);
    }
}
