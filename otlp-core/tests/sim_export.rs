//! Seeded fault simulation of the exporter: a hostile network, receivers, clock and memory, and an observer who
//! checks every promise at every step. A failure names the seed that repeats it.
//!
//! Its twins run the same simulation with a fault planted (see [`Plant`]), which the observer must catch.

mod sim;

use std::ops::Range;

use otlp_core::protocol::export::{Counters, DropReason};
use sim::{Broken, Plant, World};

/// The seed and the promise of the first run that breaks one, over all cores.
fn first_broken(seeds: Range<u64>, plant: Plant) -> Option<(u64, Broken)> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let run = |first: usize| {
        let mut seeds = seeds.clone().skip(first).step_by(workers);
        seeds.find_map(|seed| Some((seed, World::new(seed, plant).run().err()?)))
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..workers).map(|first| scope.spawn(move || run(first))).collect();
        running.into_iter().filter_map(|worker| worker.join().expect("no panic")).min()
    })
}

#[test]
fn every_promise_holds_under_every_fault() {
    assert_eq!(first_broken(0..10_000, Plant::Nothing), None);
}

#[test]
#[ignore = "long: a million seeds"]
fn every_promise_holds_over_a_million_seeds() {
    assert_eq!(first_broken(10_000..1_010_000, Plant::Nothing), None);
}

#[test]
fn the_observer_catches_every_planted_fault() {
    for (plant, promise) in [
        (Plant::RetryAfterIgnored, "Retry-After"),
        (Plant::PartialTakenForFailure, "a partial success is not sent again"),
        (Plant::EndlessTakenForReset, "an over-limit answer is not retried"),
        (Plant::LossReportedAsSuccess, "what counts as exported was taken by the receiver"),
        (Plant::SentTwice, "an attempt is on the wire once"),
        (Plant::EncodedAgain, "a request is encoded once"),
        (Plant::PrimaryOnly, ""),
        (Plant::GenerousShutdown, "the shutdown ends at its deadline"),
        (Plant::MemoryKept, "all memory is given back"),
        (Plant::FastClock, ""),
        (Plant::DropsNotCounted, "the account is exact"),
        (Plant::RefusalsCountedAsExported, "exported is what the receiver took"),
    ] {
        let (seed, broken) = first_broken(0..500, plant).unwrap_or_else(|| panic!("{plant:?} not caught"));
        assert!(broken.contains(promise), "{plant:?} caught by seed {seed} as: {broken}");
    }
}

/// Some faults break more than one promise; each of these must be among them.
#[test]
fn a_request_through_an_open_breaker_or_too_early_is_caught_as_such() {
    for (plant, promise) in [
        (Plant::PrimaryOnly, "nothing passes an open breaker"),
        (Plant::PrimaryOnly, "nobody comes before the receiver's Retry-After"),
        (Plant::FastClock, "no request comes before its Retry-After"),
        (Plant::FastClock, "nothing passes an open breaker"),
    ] {
        let caught =
            (0..500).any(|seed| World::new(seed, plant).run().is_err_and(|broken| broken == promise));
        assert!(caught, "{plant:?}: {promise}");
    }
}

#[test]
fn the_simulation_meets_what_it_claims_to_cover() {
    let mut met: Vec<(&str, u64)> = Vec::new();
    let mut dropped = [0; DropReason::ALL.len()];
    for seed in 0..500 {
        let mut world = World::new(seed, Plant::Nothing);
        world.run().expect("holds");
        let counters = world.exporter.counters();
        let figures = figures(&counters);
        met.resize(figures.len(), ("", 0));
        for (sum, (name, count)) in met.iter_mut().zip(figures) {
            *sum = (name, sum.1 + count);
        }
        for (sum, reason) in dropped.iter_mut().zip(DropReason::ALL) {
            *sum += counters.dropped(reason);
        }
    }
    assert!(met.iter().all(|&(_, count)| count > 100), "{met:?}");
    for (sum, reason) in dropped.into_iter().zip(DropReason::ALL) {
        // Nothing here is larger than the bound, or handed in after the shutdown.
        let possible = !matches!(reason, DropReason::TooLarge | DropReason::Closed);
        assert_eq!(sum > 100, possible, "{reason}: {sum}");
    }
}

fn figures(counters: &Counters) -> [(&'static str, u64); 9] {
    [
        ("retries", counters.retries),
        ("timed_out", counters.timed_out),
        ("stale", counters.stale),
        ("partial", counters.partial),
        ("warnings", counters.warnings),
        ("unread", counters.unread),
        ("diverted", counters.diverted),
        ("breaker_opened", counters.breaker_opened),
        ("blocked", counters.blocked),
    ]
}
