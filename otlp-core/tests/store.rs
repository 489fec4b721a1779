//! The durable queue through its public surface, one promise a test.

#![allow(clippy::indexing_slicing, clippy::panic, reason = "a test that is wrong should stop")]

mod store_disk;

use std::time::Duration;

use bytes::Bytes;
use otlp_core::protocol::Signal;
use otlp_core::protocol::export::Request;
use otlp_core::stats::Stats;
use otlp_core::store::{
    Disk, DropReason, DurableQueue, EntryId, MemoryDisk, Overflow, Recovery, Settlement, StoreConfig,
    StoreError, SyncPolicy, Unreadable,
};
use otlp_core::{Error, ErrorKind, UnixNanos};
use proptest::prelude::*;

use store_disk::{Faults, SimDisk};

const NOW: UnixNanos = UnixNanos::from_secs(1_700_000_000);
const HEADER: usize = 128;
const FRAME: usize = 60;

type Outcome<T = ()> = Result<T, StoreError>;

fn config() -> StoreConfig {
    StoreConfig::default().max_bytes(1 << 20).segment_bytes(4096).max_request_bytes(1 << 16)
}

fn request(text: &str, records: u32) -> Request {
    Request::new(Signal::Logs, Bytes::copy_from_slice(text.as_bytes()), records)
}

fn open(config: StoreConfig, disk: &SimDisk) -> Outcome<(DurableQueue<SimDisk>, Recovery)> {
    config.open_on(disk.clone(), NOW)
}

fn queue(disk: &SimDisk) -> Outcome<DurableQueue<SimDisk>> {
    Ok(open(config(), disk)?.0)
}

/// Every body that the queue gives out, in order.
fn bodies<D: Disk>(queue: &mut DurableQueue<D>) -> Outcome<Vec<String>> {
    let mut met = Vec::new();
    while let Some(lease) = queue.next(NOW)? {
        met.push(String::from_utf8_lossy(&lease.request.body).into_owned());
    }
    Ok(met)
}

/// A log of one segment with a request for each text, of one record each.
fn logged(texts: &[&str]) -> Outcome<SimDisk> {
    let disk = SimDisk::new(1);
    let mut queue = queue(&disk)?;
    for text in texts {
        queue.push(NOW, request(text, 1))?;
    }
    Ok(disk)
}

/// The same log with one byte changed.
fn with_byte_changed(texts: &[&str], at: usize) -> Outcome<SimDisk> {
    let disk = logged(texts)?;
    let mut bytes = disk.contents(1);
    bytes[at] ^= 0x10;
    disk.set_contents(1, bytes);
    Ok(disk)
}

#[test]
fn what_was_pushed_comes_out_in_order_and_byte_for_byte() -> Outcome {
    let disk = SimDisk::new(1);
    let mut queue = queue(&disk)?;
    let ids: Vec<EntryId> =
        ["a", "", "c"].iter().map(|text| queue.push(NOW, request(text, 2))).collect::<Outcome<_>>()?;
    assert_eq!(ids, [EntryId(1), EntryId(2), EntryId(3)]);
    let lease = queue.next(NOW)?.expect("three wait");
    assert_eq!((lease.id, lease.enqueued), (ids[0], NOW));
    assert_eq!(lease.request, request("a", 2));
    assert_eq!(bodies(&mut queue)?, ["", "c"]);
    assert_eq!((queue.requests(), queue.waiting()), (3, 0));
    Ok(())
}

#[test]
fn what_was_not_settled_is_there_after_a_restart_and_what_was_settled_is_not() -> Outcome {
    let disk = logged(&["a", "b", "c"])?;
    let mut first = queue(&disk)?;
    let (a, b) = (first.next(NOW)?.expect("a"), first.next(NOW)?.expect("b"));
    assert_eq!(b.request.body, "b");
    first.settle(a.id, Settlement::Exported)?;
    first.commit(NOW)?;
    drop(first);
    let (mut second, found) = open(config(), &disk)?;
    assert_eq!((found.requests, found.records, found.damaged_bytes), (2, 2, 0));
    assert_eq!(bodies(&mut second)?, ["b", "c"]);
    Ok(())
}

#[test]
fn a_settlement_that_was_not_committed_is_forgotten_by_a_crash() -> Outcome {
    let disk = logged(&["a"])?;
    let mut first = queue(&disk)?;
    let lease = first.next(NOW)?.expect("a");
    first.settle(lease.id, Settlement::Exported)?;
    assert_eq!(first.stats().exported, 1);
    drop(first);
    let second = queue(&disk)?;
    assert_eq!((second.stats().exported, second.stats().queued), (0, 1));
    Ok(())
}

#[test]
fn many_requests_are_made_durable_by_one_sync() -> Outcome {
    let disk = SimDisk::new(1);
    let mut queue = queue(&disk)?;
    for _ in 0..20 {
        queue.stage(NOW, request("staged", 1))?;
    }
    assert_eq!((queue.stats(), disk.syncs()), (Stats::default(), 0));
    queue.commit(NOW)?;
    assert_eq!((queue.stats().queued, disk.syncs(), queue.counters().syncs), (20, 1, 1));
    queue.commit(NOW)?;
    assert_eq!(disk.syncs(), 1, "nothing to write, nothing to force");
    Ok(())
}

#[test]
fn what_is_given_back_comes_again_in_its_old_place() -> Outcome {
    let disk = logged(&["a", "b"])?;
    let mut queue = queue(&disk)?;
    let first = queue.next(NOW)?.expect("a");
    queue.give_back(first.id)?;
    assert!(matches!(queue.give_back(first.id), Err(StoreError::NotQueued(EntryId(1)))));
    assert_eq!(bodies(&mut queue)?, ["a", "b"]);
    Ok(())
}

#[test]
fn only_what_is_given_out_can_be_settled_and_only_once() -> Outcome {
    let disk = logged(&["a"])?;
    let mut queue = queue(&disk)?;
    assert!(queue.settle(EntryId(1), Settlement::Exported).is_err(), "not given out");
    let lease = queue.next(NOW)?.expect("a");
    queue.settle(lease.id, Settlement::Exported)?;
    assert!(queue.settle(lease.id, Settlement::Rejected).is_err());
    assert_eq!(queue.stats(), Stats { accepted: 1, exported: 1, ..Stats::default() });
    Ok(())
}

#[test]
fn the_account_goes_on_over_restarts() -> Outcome {
    let disk = SimDisk::new(1);
    let ends = [
        Settlement::Exported,
        Settlement::Partial { rejected: 4 },
        Settlement::Partial { rejected: u32::MAX },
        Settlement::Rejected,
        Settlement::Dropped,
    ];
    for (round, end) in ends.into_iter().enumerate() {
        let mut queue = queue(&disk)?;
        queue.push(NOW, request("x", 10))?;
        let lease = queue.next(NOW)?.expect("one");
        queue.settle(lease.id, end)?;
        queue.commit(NOW)?;
        assert_eq!(queue.stats().accepted, 10 * (round as u64 + 1));
    }
    let queue = queue(&disk)?;
    let stats = Stats { accepted: 50, exported: 16, rejected: 24, dropped: 10, queued: 0 };
    assert_eq!((queue.stats(), queue.dropped(DropReason::GivenUp)), (stats, 10));
    Ok(())
}

#[test]
fn segments_without_anything_queued_go_and_the_account_stays() -> Outcome {
    let disk = SimDisk::new(1);
    let mut queue = queue(&disk)?;
    for _ in 0..50 {
        queue.push(NOW, request(&"x".repeat(1000), 1))?;
        let lease = queue.next(NOW)?.expect("one");
        queue.settle(lease.id, Settlement::Exported)?;
    }
    queue.commit(NOW)?;
    assert_eq!(disk.numbers().len(), 1);
    assert_eq!(queue.disk_bytes(), disk.used() as u64);
    drop(queue);
    assert_eq!(self::queue(&disk)?.stats().exported, 50);
    Ok(())
}

#[test]
fn a_full_queue_refuses_and_takes_again_once_there_is_room() -> Outcome {
    let small = config().max_bytes(16_384).max_request_bytes(2000);
    let (mut queue, _) = open(small, &SimDisk::new(1))?;
    let mut taken = 0;
    let refused = loop {
        match queue.push(NOW, request(&"x".repeat(1000), 1)) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::Full { what: "max_bytes", limit: 16_384 }), "{refused}");
    assert!(refused.is_retryable() && Error::from(refused).kind() == ErrorKind::Limit);
    assert_eq!((queue.stats().accepted, queue.counters().refused), (taken, 1));
    for _ in 0..5 {
        let lease = queue.next(NOW)?.expect("many");
        queue.settle(lease.id, Settlement::Exported)?;
    }
    queue.push(NOW, request(&"x".repeat(1000), 1))?;
    assert!(queue.disk_bytes() <= 16_384);
    Ok(())
}

#[test]
fn a_full_queue_drops_the_newest_where_told_to() -> Outcome {
    let disk = SimDisk::new(1);
    let small = config().max_requests(2).overflow(Overflow::DropNewest);
    let (mut queue, _) = open(small.clone(), &disk)?;
    queue.push(NOW, request("a", 1))?;
    queue.push(NOW, request("b", 1))?;
    assert!(matches!(queue.push(NOW, request("c", 5)), Err(StoreError::Full { what: "max_requests", .. })));
    assert_eq!(queue.stats(), Stats { accepted: 7, dropped: 5, queued: 2, ..Stats::default() });
    queue.commit(NOW)?;
    drop(queue);
    let (mut queue, _) = open(small, &disk)?;
    assert_eq!((queue.dropped(DropReason::QueueFull), queue.stats().accepted), (5, 7));
    assert_eq!(bodies(&mut queue)?, ["a", "b"]);
    Ok(())
}

#[test]
fn a_full_queue_drops_its_oldest_segment_where_told_to() -> Outcome {
    let disk = SimDisk::new(1);
    let small = config().max_bytes(16_384).max_request_bytes(2000).overflow(Overflow::DropOldest);
    let (mut queue, _) = open(small, &disk)?;
    let mut given_out = None;
    for number in 0..100 {
        queue.push(NOW, request(&format!("{number:01000}"), 1))?;
        if given_out.is_none() {
            given_out = queue.next(NOW)?;
        }
        assert!(disk.used() <= 16_384, "{} bytes", disk.used());
    }
    let id = given_out.expect("the first").id;
    assert!(matches!(queue.settle(id, Settlement::Exported), Err(StoreError::NotQueued(_))));
    let stats = queue.stats();
    assert!(stats.is_balanced() && stats.accepted == 100 && stats.dropped > 80, "{stats:?}");
    assert_eq!(queue.dropped(DropReason::QueueFull), stats.dropped);
    let left = bodies(&mut queue)?;
    assert_eq!(left.last().map(|text| text.trim_start_matches('0')), Some("99"));
    Ok(())
}

#[test]
fn a_request_above_the_bound_is_counted_as_dropped() -> Outcome {
    let (mut queue, _) = open(config().max_request_bytes(10), &SimDisk::new(1))?;
    let error = queue.push(NOW, request("eleven byte", 3)).expect_err("too large");
    assert!(matches!(error, StoreError::TooLarge { bytes: 11, limit: 10 }) && !error.is_retryable());
    assert_eq!(queue.dropped(DropReason::TooLarge), 3);
    assert!(queue.stats().is_balanced());
    Ok(())
}

#[test]
fn what_has_grown_too_old_is_dropped_unless_it_is_given_out() -> Outcome {
    let (mut queue, _) = open(config().max_age(Duration::from_secs(60)), &SimDisk::new(1))?;
    queue.push(NOW, request("given out", 1))?;
    let lease = queue.next(NOW)?.expect("one");
    queue.push(NOW, request("old", 2))?;
    let later = NOW + Duration::from_secs(61);
    queue.push(later, request("new", 4))?;
    assert_eq!(queue.next(later)?.map(|lease| lease.request.records), Some(4));
    assert_eq!(queue.dropped(DropReason::Expired), 2);
    queue.settle(lease.id, Settlement::Exported)?;
    assert!(queue.stats().is_balanced());
    Ok(())
}

#[test]
fn every_byte_that_rots_costs_no_more_than_its_own_request() -> Outcome {
    let texts = ["first", "second", "third", "fourth"];
    let end = HEADER + texts.iter().map(|text| FRAME + text.len()).sum::<usize>();
    for at in 0..end {
        let disk = with_byte_changed(&texts, at)?;
        let (mut queue, found) = open(config(), &disk)?;
        let left = bodies(&mut queue)?;
        let starts = texts.iter().scan(HEADER, |start, text| {
            *start += FRAME + text.len();
            Some(*start)
        });
        // Which frame was hit; none for the header.
        let hit = if at < HEADER { None } else { starts.into_iter().position(|end| at < end) };
        let expected: Vec<&str> =
            texts.iter().enumerate().filter(|(i, _)| Some(*i) != hit).map(|(_, text)| *text).collect();
        assert_eq!(left, expected, "byte {at}");
        assert!(queue.stats().is_balanced());
        // The last one cannot be told from a write that was torn.
        let counted = u64::from(hit.is_some_and(|hit| hit < 3));
        assert_eq!(
            (found.damaged_records, queue.dropped(DropReason::Damaged)),
            (counted, counted),
            "byte {at}"
        );
        assert_eq!(found.lost_frames, counted, "byte {at}");
        assert_eq!(found.torn_bytes > 0, hit == Some(3), "byte {at}");
    }
    Ok(())
}

#[test]
fn rot_that_comes_while_the_queue_is_open_is_counted() -> Outcome {
    let disk = logged(&["a", "b"])?;
    let (mut queue, _) = open(config().max_cached_bytes(0), &disk)?;
    let mut bytes = disk.contents(1);
    bytes[HEADER + FRAME] ^= 1;
    disk.set_contents(1, bytes);
    assert_eq!(bodies(&mut queue)?, ["b"]);
    assert_eq!(queue.dropped(DropReason::Damaged), 1);
    assert!(queue.stats().is_balanced());
    Ok(())
}

#[test]
fn a_rotten_header_costs_no_request() -> Outcome {
    let disk = SimDisk::new(1);
    let mut first = queue(&disk)?;
    for number in 0..10 {
        first.push(NOW, request(&format!("{number:01000}"), 1))?;
    }
    drop(first);
    for segment in disk.numbers() {
        let mut bytes = disk.contents(segment);
        bytes[70] ^= 1;
        disk.set_contents(segment, bytes);
    }
    let mut queue = queue(&disk)?;
    assert_eq!(queue.stats(), Stats { accepted: 10, queued: 10, ..Stats::default() });
    assert_eq!(bodies(&mut queue)?.len(), 10);
    Ok(())
}

#[test]
fn a_future_version_is_refused_and_left_alone() -> Outcome {
    let disk = logged(&["a"])?;
    let mut bytes = disk.contents(1);
    bytes[8..12].copy_from_slice(&[9, 0, !9, !0]);
    disk.set_contents(1, bytes.clone());
    let error = open(config(), &disk).expect_err("a version from the future");
    assert_eq!(error.to_string(), "segment 1: format version 9, newest known 1");
    assert!(!error.is_retryable() && Error::from(error).is_malformed());
    assert_eq!((disk.numbers(), disk.contents(1)), (vec![1], bytes));
    Ok(())
}

#[test]
fn a_frame_hidden_in_a_body_is_never_taken_for_one() -> Outcome {
    let disk = logged(&["victim"])?;
    let log = disk.contents(1);
    let mut carrier = queue(&disk)?;
    carrier.push(NOW, Request::new(Signal::Logs, log.into(), 1))?;
    drop(carrier);
    // The header of the carrier rots, so that its body is searched for frames.
    let mut bytes = disk.contents(2);
    bytes[HEADER + 20] ^= 1;
    disk.set_contents(2, bytes);
    assert_eq!(bodies(&mut queue(&disk)?)?, ["victim"]);
    Ok(())
}

#[test]
fn a_full_disk_is_back_pressure_and_the_queue_goes_on_once_there_is_room() -> Outcome {
    let disk = logged(&["a"])?;
    let mut queue = queue(&disk)?;
    let lease = queue.next(NOW)?.expect("a");
    disk.set_capacity(disk.used() + HEADER + 10);
    let error = queue.push(NOW, request("b", 7)).expect_err("no room");
    assert!(matches!(error, StoreError::DiskFull(_)) && error.is_retryable());
    queue.settle(lease.id, Settlement::Exported)?;
    assert!(queue.commit(NOW).is_err(), "not even for the end of a request");
    assert_eq!(queue.stats(), Stats { accepted: 1, exported: 1, ..Stats::default() });
    assert_eq!((queue.counters().refused, queue.counters().failed_groups), (7, 2));
    disk.set_capacity(usize::MAX);
    queue.push(NOW, request("c", 1))?;
    drop(queue);
    let mut queue = self::queue(&disk)?;
    assert_eq!(bodies(&mut queue)?, ["c"]);
    assert_eq!(queue.stats(), Stats { accepted: 2, exported: 1, queued: 1, ..Stats::default() });
    Ok(())
}

#[test]
fn a_disk_filled_by_the_queue_itself_is_freed_by_settling() -> Outcome {
    let disk = SimDisk::new(1);
    let mut queue = queue(&disk)?;
    for _ in 0..10 {
        queue.push(NOW, request(&"x".repeat(1000), 1))?;
    }
    disk.set_capacity(disk.used());
    for _ in 0..10 {
        let lease = queue.next(NOW)?.expect("ten");
        queue.settle(lease.id, Settlement::Exported)?;
    }
    queue.push(NOW, request("fits again", 1))?;
    assert_eq!(queue.stats(), Stats { accepted: 11, exported: 10, queued: 1, ..Stats::default() });
    drop(queue);
    assert_eq!(self::queue(&disk)?.stats().exported, 10);
    Ok(())
}

#[test]
fn a_group_whose_sync_failed_is_not_in_the_queue_though_its_bytes_are() -> Outcome {
    let disk = logged(&["a"])?;
    let mut queue = queue(&disk)?;
    queue.push(NOW, request("b", 1))?;
    disk.set_faults(Faults { sync: 1, truncate: 1, ..Faults::default() });
    let error = queue.push(NOW, request("refused", 1)).expect_err("the sync fails");
    assert!(matches!(error, StoreError::Io { action: "sync a segment", .. }));
    assert_eq!(queue.counters().failed_syncs, 1);
    disk.set_faults(Faults::default());
    queue.push(NOW, request("c", 1))?;
    let (mut again, found) = open(config(), &disk)?;
    assert_eq!(bodies(&mut again)?, ["a", "b", "c"]);
    assert_eq!((found.lost_frames, found.damaged_records), (0, 0));
    assert_eq!(again.stats().accepted, 3);
    Ok(())
}

#[test]
fn a_segment_of_a_failed_group_that_cannot_be_removed_never_comes_to_life() -> Outcome {
    let disk = SimDisk::new(1);
    let mut queue = queue(&disk)?;
    // The first commit leaves a segment with a whole frame behind.
    disk.set_faults(Faults { sync: 1, remove: 1, ..Faults::default() });
    assert!(queue.push(NOW, request("refused", 1)).is_err());
    assert_eq!(disk.numbers().len(), 1);
    disk.set_faults(Faults { remove: 1, ..Faults::default() });
    for _ in 0..20 {
        queue.push(NOW, request(&"x".repeat(1000), 1))?;
        let lease = queue.next(NOW)?.expect("one");
        queue.settle(lease.id, Settlement::Exported)?;
    }
    queue.commit(NOW)?;
    drop(queue);
    disk.set_faults(Faults::default());
    let mut queue = self::queue(&disk)?;
    assert_eq!(bodies(&mut queue)?, [""; 0]);
    assert_eq!(queue.stats(), Stats { accepted: 20, exported: 20, ..Stats::default() });
    Ok(())
}

#[test]
fn short_writes_are_completed() -> Outcome {
    let disk = SimDisk::new(1);
    disk.set_faults(Faults { short_write: 1, ..Faults::default() });
    let mut first = queue(&disk)?;
    first.push(NOW, request(&"x".repeat(500), 1))?;
    assert_eq!(bodies(&mut queue(&disk)?)?, ["x".repeat(500)]);
    Ok(())
}

#[test]
fn a_request_that_cannot_be_read_is_tried_three_times() -> Outcome {
    let disk = logged(&["a", "b"])?;
    let mut queue = queue(&disk)?;
    disk.set_faults(Faults { read: 1, ..Faults::default() });
    assert!(queue.next(NOW).is_err());
    assert!(queue.next(NOW).is_err());
    assert_eq!((queue.waiting(), queue.counters().failed_reads), (2, 2));
    assert!(queue.next(NOW).is_err(), "the first is given up, the second fails for the first time");
    disk.set_faults(Faults::default());
    assert_eq!(bodies(&mut queue)?, ["b"]);
    assert_eq!(queue.dropped(DropReason::Damaged), 1);
    Ok(())
}

#[test]
fn a_medium_that_cannot_be_read_is_left_alone_unless_told_otherwise() -> Outcome {
    let disk = logged(&["a"])?;
    let before = disk.contents(1);
    disk.set_faults(Faults { read: 1, ..Faults::default() });
    let error = open(config(), &disk).expect_err("unreadable");
    assert!(matches!(error, StoreError::Io { action: "read a segment", .. }) && error.is_retryable());
    assert_eq!(disk.contents(1), before);
    let (queue, found) = open(config().unreadable(Unreadable::Skip), &disk)?;
    assert_eq!((queue.requests(), found.unreadable_bytes), (0, before.len() as u64));
    Ok(())
}

#[test]
fn an_interval_forces_to_the_disk_when_it_is_over_and_not_before() -> Outcome {
    let disk = SimDisk::new(1);
    let (mut queue, _) = open(config().sync(SyncPolicy::Interval(Duration::from_millis(100))), &disk)?;
    assert_eq!(queue.sync_due(), None);
    queue.push(NOW, request("a", 1))?;
    let due = NOW + Duration::from_millis(100);
    assert_eq!((queue.sync_due(), disk.syncs()), (Some(due), 0));
    queue.push(NOW + Duration::from_millis(99), request("b", 1))?;
    assert_eq!(disk.syncs(), 0);
    queue.commit(due)?;
    assert_eq!((queue.sync_due(), disk.syncs()), (None, 1));
    queue.push(due, request("c", 1))?;
    queue.commit(NOW)?;
    assert_eq!(disk.syncs(), 2, "a clock that was set back does not put it off");
    Ok(())
}

#[test]
fn what_a_killed_process_left_unsynced_is_forced_to_the_disk_by_the_next() -> Outcome {
    let disk = SimDisk::new(1);
    let (mut killed, _) = open(config().sync(SyncPolicy::Never), &disk)?;
    killed.push(NOW, request("a", 1))?;
    drop(killed);
    let mut next = queue(&disk)?;
    next.push(NOW, request("b", 1))?;
    disk.fail_power();
    assert_eq!(bodies(&mut queue(&disk)?)?, ["a", "b"]);
    Ok(())
}

#[test]
fn never_syncs_only_when_told_to() -> Outcome {
    let disk = SimDisk::new(1);
    let (mut queue, _) = open(config().sync(SyncPolicy::Never), &disk)?;
    for _ in 0..20 {
        queue.push(NOW, request(&"x".repeat(1000), 1))?;
    }
    assert_eq!(disk.syncs(), 0);
    queue.sync(NOW)?;
    assert!(disk.syncs() > 0);
    Ok(())
}

#[test]
fn a_memory_disk_that_is_handed_back_opens_again() -> Outcome {
    let (mut queue, _) = config().open_on(MemoryDisk::default(), NOW)?;
    queue.push(NOW, request("a", 1))?;
    let (mut queue, _) = config().open_on(queue.into_disk(), NOW)?;
    assert_eq!(bodies(&mut queue)?, ["a"]);
    assert_eq!(queue.into_disk().iter().count(), 1);
    Ok(())
}

#[test]
fn values_that_cannot_work_are_refused() {
    let wrong = [
        config().segment_bytes(511),
        config().segment_bytes(1 << 20),
        config().max_request_bytes(1 << 20),
        config().max_requests(0),
        config().max_age(Duration::ZERO),
        config().sync(SyncPolicy::Interval(Duration::ZERO)),
    ];
    for config in wrong {
        let refused = config.clone().open_on(MemoryDisk::default(), NOW);
        assert!(matches!(refused, Err(StoreError::Config(_))), "{config:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_directory_belongs_to_one_queue_at_a_time() -> Outcome {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("store-locked");
    let _ = std::fs::remove_dir_all(&path);
    let (first, _) = config().open(&path, NOW)?;
    // A queue may move between threads.
    let mut first = std::thread::scope(|scope| scope.spawn(|| first).join()).expect("moved there and back");
    let error = config().open(&path, NOW).expect_err("in use");
    assert!(matches!(error, StoreError::Locked) && error.is_retryable());
    first.push(NOW, request("a", 1))?;
    std::fs::write(path.join("1.segment"), "somebody else's").expect("writable");
    drop(first);
    let (mut second, found) = config().open(&path, NOW)?;
    assert_eq!((found.segments, bodies(&mut second)?), (1, vec!["a".to_owned()]));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_prefix_of_a_log_recovers_a_prefix_of_its_requests(
        lengths in prop::collection::vec(0_usize..1500, 1..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let texts: Vec<String> = lengths.iter().enumerate().map(|(i, len)| format!("{i:0len$}")).collect();
        let all = logged(&texts.iter().map(String::as_str).collect::<Vec<_>>()).expect("room");
        let log: Vec<(u64, Vec<u8>)> = all.numbers().iter().map(|n| (*n, all.contents(*n))).collect();
        let mut left = cut.index(all.used() + 1);
        let disk = SimDisk::new(1);
        for (number, bytes) in log {
            let here = left.min(bytes.len());
            left -= here;
            if here > 0 {
                disk.set_contents(number, bytes[..here].to_vec());
            }
        }
        let (mut queue, found) = open(config(), &disk).expect("any prefix can be read");
        let met = bodies(&mut queue).expect("and given out");
        prop_assert!(texts.starts_with(&met), "{met:?} of {texts:?}");
        prop_assert_eq!((found.damaged_bytes, found.damaged_records, found.lost_frames), (0, 0, 0));
        prop_assert!(queue.stats().is_balanced());
    }

    #[test]
    fn whatever_the_bytes_are_the_queue_opens_and_the_account_balances(
        rot in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
        noise in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let disk = logged(&["one", "two", "three", "four", "five", "six"]).expect("room");
        let mut bytes = disk.contents(1);
        for (at, byte) in rot {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        disk.set_contents(1, bytes);
        disk.set_contents(2, noise);
        let mut queue = queue(&disk).expect("no version from the future by chance");
        prop_assert!(queue.stats().is_balanced());
        bodies(&mut queue).expect("readable");
        queue.push(NOW, request("goes on", 1)).expect("room");
        prop_assert!(queue.stats().is_balanced());
    }
}
