use proptest::prelude::*;

use super::*;

const NOW: UnixNanos = UnixNanos::from_secs(1_700_000_000);
const SECOND: Duration = Duration::from_secs(1);

fn batcher(config: BatchConfig) -> Batcher<u32> {
    config.build().expect("a config in range")
}

fn small() -> BatchConfig {
    BatchConfig::default().max_items(3).queue_items(5).max_bytes(100).queue_bytes(1_000)
}

fn push(batcher: &mut Batcher<u32>, items: impl IntoIterator<Item = u32>) {
    for item in items {
        batcher.push(NOW, item, 1, Priority::Normal).expect("room");
    }
}

fn drain(batcher: &mut Batcher<u32>, now: UnixNanos) -> Vec<Vec<u32>> {
    std::iter::from_fn(|| if let BatchCommand::Send(batch) = batcher.poll(now) { Some(batch) } else { None })
        .collect()
}

#[test]
fn a_batch_goes_when_it_is_full_and_the_rest_waits_for_its_own_time() {
    let mut batcher = batcher(small());
    push(&mut batcher, 1..=4);
    assert_eq!(drain(&mut batcher, NOW), [[1, 2, 3]]);
    assert_eq!(batcher.poll(NOW + SECOND), BatchCommand::WaitUntil(NOW + SECOND * 5));
    let just_before = (NOW + SECOND * 5).saturating_sub(Duration::from_nanos(1));
    assert_eq!(batcher.poll(just_before), BatchCommand::WaitUntil(NOW + SECOND * 5));
    assert_eq!(drain(&mut batcher, NOW + SECOND * 5), [[4]]);
    assert_eq!(batcher.poll(NOW + SECOND * 5), BatchCommand::Idle);
}

#[test]
fn the_time_counts_from_the_oldest_item() {
    let mut batcher = batcher(small());
    push(&mut batcher, [1]);
    batcher.push(NOW + SECOND * 4, 2, 1, Priority::High).expect("room");
    assert_eq!(drain(&mut batcher, NOW + SECOND * 5), [[1, 2]]);
}

#[test]
fn bytes_close_a_batch_and_a_large_item_makes_one_of_its_own() {
    let mut batcher = batcher(small());
    for (item, bytes) in [(1, 60), (2, 60), (3, 500), (4, 1)] {
        batcher.push(NOW, item, bytes, Priority::Normal).expect("room");
    }
    assert_eq!(drain(&mut batcher, NOW), [[1], [2], [3]]);
    assert_eq!(batcher.queued_bytes(), 1);
}

#[test]
fn what_was_there_at_a_flush_goes_at_once_and_what_comes_later_waits() {
    let mut batcher = batcher(small());
    push(&mut batcher, [1]);
    batcher.flush();
    assert_eq!(drain(&mut batcher, NOW), [[1]]);
    push(&mut batcher, [2]);
    assert_eq!(batcher.poll(NOW), BatchCommand::WaitUntil(NOW + SECOND * 5));
}

#[test]
fn closing_lets_everything_go_and_takes_nothing_more() {
    let mut batcher = batcher(small());
    push(&mut batcher, 1..=4);
    batcher.close();
    assert_eq!(batcher.push(NOW, 9, 1, Priority::High), Err(NotTaken::Dropped(DropReason::Closed)));
    assert_eq!(drain(&mut batcher, NOW), [vec![1, 2, 3], vec![4]]);
    assert_eq!(batcher.poll(NOW), BatchCommand::Finished);
    let expected = Stats { accepted: 5, exported: 4, rejected: 0, dropped: 1, queued: 0 };
    assert_eq!(batcher.stats(), expected);
}

#[test]
fn each_policy_drops_what_it_says() {
    for (policy, left, result) in [
        (DropPolicy::Oldest, [2, 3, 4, 5, 6], Ok(())),
        (DropPolicy::Newest, [1, 2, 3, 4, 5], Err(NotTaken::Dropped(DropReason::QueueFull))),
        (DropPolicy::Block, [1, 2, 3, 4, 5], Err(NotTaken::Full(6))),
    ] {
        let mut batcher = batcher(small().policy(policy));
        push(&mut batcher, 1..=5);
        assert_eq!(batcher.push(NOW, 6, 1, Priority::Normal), result, "{policy:?}");
        let blocked = policy == DropPolicy::Block;
        assert_eq!((batcher.stats().accepted, batcher.blocked()), if blocked { (5, 1) } else { (6, 0) });
        assert_eq!(batcher.dropped(DropReason::QueueFull), u64::from(!blocked));
        batcher.close();
        assert_eq!(drain(&mut batcher, NOW).concat(), left, "{policy:?}");
    }
}

#[test]
fn errors_go_last_and_keep_their_place_in_the_order() {
    for (policy, left) in [(DropPolicy::Oldest, [2, 4, 5, 6, 7]), (DropPolicy::Newest, [1, 2, 3, 6, 7])] {
        let mut batcher = batcher(small().policy(policy));
        for item in 1..=5 {
            let priority = if item == 2 { Priority::High } else { Priority::Normal };
            batcher.push(NOW, item, 1, priority).expect("room");
        }
        for item in [6, 7] {
            batcher.push(NOW, item, 1, Priority::High).expect("a normal one makes room");
        }
        batcher.close();
        assert_eq!(drain(&mut batcher, NOW).concat(), left, "{policy:?}");
    }
}

#[test]
fn an_item_of_normal_priority_never_costs_an_error_its_place() {
    let mut batcher = batcher(small().policy(DropPolicy::Oldest));
    (1..=5).for_each(|item| batcher.push(NOW, item, 1, Priority::High).expect("room"));
    assert_eq!(batcher.push(NOW, 6, 1, Priority::Normal), Err(NotTaken::Dropped(DropReason::QueueFull)));
    assert_eq!(batcher.push(NOW, 7, 1, Priority::High), Ok(()), "its like does");
    assert_eq!(batcher.dropped(DropReason::QueueFull), 2);
    assert_eq!(batcher.push(NOW, 8, 1_001, Priority::High), Err(NotTaken::Dropped(DropReason::TooLarge)));
}

#[test]
fn nothing_is_dropped_in_vain() {
    let mut batcher = batcher(small().policy(DropPolicy::Oldest));
    batcher.push(NOW, 1, 900, Priority::High).expect("room");
    batcher.push(NOW, 2, 50, Priority::Normal).expect("room");
    assert_eq!(batcher.push(NOW, 3, 150, Priority::Normal), Err(NotTaken::Dropped(DropReason::QueueFull)));
    batcher.close();
    assert_eq!(drain(&mut batcher, NOW).concat(), [1, 2]);
}

#[test]
fn a_clock_that_jumps_back_does_not_stop_a_batch_for_long() {
    let mut batcher = batcher(small());
    push(&mut batcher, [1]);
    let back = NOW.saturating_sub(SECOND * 3600);
    assert_eq!(batcher.poll(back), BatchCommand::WaitUntil(back + SECOND * 5));
    assert_eq!(drain(&mut batcher, back + SECOND * 5), [[1]]);
}

#[test]
fn values_out_of_range_are_refused() {
    for wrong in [
        small().max_items(0),
        small().max_items(6),
        small().max_bytes(0),
        small().queue_bytes(0),
        small().queue_items(0),
    ] {
        assert_eq!(wrong.build::<u32>().expect_err("refused").kind(), ErrorKind::Config);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_item_is_in_one_batch_or_counted_and_bounds_hold(
        steps in prop::collection::vec((0_u8..6, 0_usize..60, any::<bool>()), 0..120),
        policy in prop::sample::select(vec![DropPolicy::Oldest, DropPolicy::Newest, DropPolicy::Block]),
    ) {
        let mut batcher = batcher(small().policy(policy).queue_bytes(150));
        let (mut now, mut next, mut met) = (NOW, 0_u32, Vec::new());
        for (step, bytes, high) in steps {
            let priority = if high { Priority::High } else { Priority::Normal };
            match step {
                0 => now = now + SECOND * 2,
                1 => met.extend(drain(&mut batcher, now)),
                2 => batcher.flush(),
                _ => { next += 1; let _ = batcher.push(now, next, bytes, priority); }
            }
            let stats = batcher.stats();
            prop_assert!(stats.is_balanced() && stats.accepted + batcher.blocked() == u64::from(next));
            prop_assert!(stats.queued <= 5 && batcher.queued_bytes() <= 150);
        }
        batcher.close();
        met.extend(drain(&mut batcher, now));
        prop_assert!(met.iter().all(|batch| (1..=3).contains(&batch.len())));
        let met = met.concat();
        prop_assert!(met.is_sorted_by(|one, next| one < next), "in order, none twice");
        prop_assert_eq!(met.len() as u64, batcher.stats().exported);
    }
}
