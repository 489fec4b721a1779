use bytes::Bytes;

use super::*;
use crate::protocol::export::{Command, DropPolicy, DropReason, ExporterConfig, Outcome};

const NOW: UnixNanos = UnixNanos::from_secs(1_700_000_000);
const BODY: usize = 100;

fn lane(name: &str, config: ExporterConfig) -> Lane {
    Lane::new(name, config.build().expect("a config in range"))
}

fn request(signal: Signal) -> Request {
    Request::new(signal, Bytes::from(vec![7; BODY]), 1)
}

/// Sends all that is queued in a lane, and lets the receiver take it.
fn deliver(fanout: &mut Fanout, number: usize) {
    let exporter = fanout.lane_mut(number).expect("a lane");
    while let Command::Send(outgoing) = exporter.poll(NOW, 0) {
        exporter.on_outcome(NOW, 0, outgoing.attempt, Outcome::Accepted);
    }
}

/// A fan-out of which the lane 0 stalls and the lane 1 works, after 100 requests; what the lane 1 exported.
fn exported_beside_a_stalled_lane(policy: DropPolicy, memory: Option<&MemoryLimiter>) -> (u64, Fanout) {
    let config = ExporterConfig::default().drop_policy(policy).max_queue_bytes(10 * BODY);
    // With a limiter, the limiter is the only budget.
    let config = if memory.is_some() { config.max_queue_bytes(usize::MAX) } else { config };
    let mut fanout = Fanout::new([lane("stalled", config.clone()), lane("working", config)]);
    for _ in 0..100 {
        match memory {
            Some(memory) => drop(fanout.enqueue_within(NOW, &request(Signal::Logs), memory)),
            None => drop(fanout.enqueue(NOW, &request(Signal::Logs))),
        }
        assert!(fanout.stats().is_balanced());
        deliver(&mut fanout, 1);
    }
    let working = fanout.lanes().nth(1).expect("a lane").exporter().stats();
    assert_eq!(working.accepted, 100);
    (working.exported, fanout)
}

#[test]
fn a_stalled_lane_leaves_the_others_alone() {
    for policy in [DropPolicy::Oldest, DropPolicy::Newest] {
        let (exported, fanout) = exported_beside_a_stalled_lane(policy, None);
        assert_eq!(exported, 100, "{policy:?}");
        let stalled = fanout.lanes().next().expect("a lane").exporter().stats();
        assert_eq!((stalled.queued, stalled.dropped), (10, 90), "within its own budget");
    }
}

/// The twin: one budget for both, and nobody makes room.
#[test]
fn with_a_shared_budget_a_stalled_lane_starves_the_others() {
    let memory = MemoryLimiter::try_new(10 * BODY, 10 * BODY).expect("in order");
    let (exported, _fanout) = exported_beside_a_stalled_lane(DropPolicy::Newest, Some(&memory));
    assert_eq!(exported, 10, "only what came before the stalled lane had taken all");
}

#[test]
fn at_the_hard_mark_the_lane_above_its_share_makes_room_and_no_other() {
    let memory = MemoryLimiter::try_new(5 * BODY, 10 * BODY).expect("in order");
    let (exported, fanout) = exported_beside_a_stalled_lane(DropPolicy::Oldest, Some(&memory));
    assert_eq!(exported, 100);
    let stalled = fanout.lanes().next().expect("a lane").exporter();
    assert_eq!((stalled.stats().queued, stalled.counters().dropped(DropReason::Memory)), (10, 90));
    drop(fanout);
    assert_eq!(memory.used_bytes(), 0, "all is given back");
}

#[test]
fn a_body_that_lanes_share_counts_once_until_the_last_lets_go() {
    let memory = MemoryLimiter::try_new(1_000, 1_000).expect("in order");
    let config = ExporterConfig::default();
    let mut fanout = Fanout::new([lane("a", config.clone()), lane("b", config)]);
    let handed_in = request(Signal::Traces);
    fanout.enqueue_within(NOW, &handed_in, &memory);
    assert_eq!(memory.used_bytes(), BODY);
    for (number, left) in [(0, BODY), (1, 0)] {
        let exporter = fanout.lane_mut(number).expect("a lane");
        let Command::Send(outgoing) = exporter.poll(NOW, 0) else { panic!("nothing to send") };
        assert_eq!(outgoing.body.as_ptr(), handed_in.body.as_ptr(), "encoded once");
        let attempt = outgoing.attempt;
        drop(outgoing);
        exporter.on_outcome(NOW, 0, attempt, Outcome::Accepted);
        assert_eq!(memory.used_bytes(), left);
    }
}

#[test]
fn nobody_is_robbed_for_memory_that_others_hold() {
    let memory = MemoryLimiter::try_new(1_000, 1_000).expect("in order");
    let elsewhere = memory.reserve(1_000 - BODY).expect("fits");
    let mut fanout =
        Fanout::new([lane("a", ExporterConfig::default()), lane("b", ExporterConfig::default())]);
    fanout.enqueue_within(NOW, &request(Signal::Traces), &memory);
    let refused = fanout.enqueue_within(NOW, &request(Signal::Traces), &memory);
    let dropped = |routed: &Routed| routed.result == Err(NotTaken::Dropped(DropReason::Memory));
    assert!(refused.len() == 2 && refused.iter().all(dropped), "{refused:?}");
    assert_eq!((fanout.stats().queued, fanout.stats().dropped), (2, 2));
    drop(elsewhere);
    assert!(fanout.enqueue_within(NOW, &request(Signal::Traces), &memory).iter().all(|r| r.result.is_ok()));
}

#[test]
fn a_lane_that_blocks_gives_back_and_the_others_take() {
    let blocking = ExporterConfig::default().drop_policy(DropPolicy::Block).max_queue_requests(1);
    let mut fanout = Fanout::new([lane("blocks", blocking), lane("takes", ExporterConfig::default())]);
    fanout.enqueue(NOW, &request(Signal::Traces));
    let second = request(Signal::Traces);
    let routed = fanout.enqueue(NOW, &second);
    assert_eq!(routed[0].result, Err(NotTaken::Full(second.clone())));
    assert!(routed[1].result.is_ok());
    assert_eq!((fanout.stats().accepted, fanout.stats().queued), (3, 3), "given back is not accepted");
    deliver(&mut fanout, 0);
    assert!(fanout.lane_mut(0).expect("a lane").enqueue(NOW, second).is_ok());
}

#[test]
fn signals_are_routed_and_what_nobody_takes_goes_nowhere() {
    let config = ExporterConfig::default();
    let mut fanout = Fanout::new([
        lane("logs", config.clone()).signals([Signal::Logs]),
        lane("both", config).signals([Signal::Logs, Signal::Traces]),
    ]);
    let lanes =
        |routed: Vec<Routed>| -> Vec<usize> { routed.into_iter().map(|routed| routed.lane).collect() };
    assert_eq!(lanes(fanout.enqueue(NOW, &request(Signal::Logs))), [0, 1]);
    assert_eq!(lanes(fanout.enqueue(NOW, &request(Signal::Traces))), [1]);
    assert!(fanout.enqueue(NOW, &request(Signal::Metrics)).is_empty());
}

#[test]
fn shutdown_ends_every_lane_and_figures_carry_the_lanes_name() {
    let config = ExporterConfig::default();
    let mut fanout = Fanout::new([lane("a", config.clone()), lane("b", config)]);
    fanout.enqueue(NOW, &request(Signal::Logs));
    fanout.shutdown(NOW, NOW);
    for number in 0..2 {
        assert!(matches!(fanout.lane_mut(number).expect("a lane").poll(NOW, 0), Command::Finished(_)));
    }
    let mut text = String::new();
    fanout.write_openmetrics(&mut text);
    for name in ["a", "b"] {
        let line = format!("otlp_records_dropped_total{{lane=\"{name}\",reason=\"shutdown\"}} 1\n");
        assert!(text.contains(&line), "{text}");
    }
}
