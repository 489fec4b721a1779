//! Once it knows its series no detector takes anything from the heap for a point.

#![expect(unsafe_code, reason = "a global allocator cannot be written without")]
#![allow(clippy::unwrap_used, reason = "a test that is wrong should stop")]

mod chance;
mod kinds;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use chance::Chance;
use kinds::{all, at};
use otlp_anomaly::detect::Detector;

/// Counts what the present thread takes: tests run beside each other.
struct Counting;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; the counter allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often memory is asked for, from point to point, with room for so many shares.
fn calls(detector: &mut dyn Detector, points: std::ops::Range<u64>, shares: &mut [f64]) -> usize {
    let mut chance = Chance::new(points.start);
    let mut row = vec![0.0; detector.dimensions()];
    CALLS.set(0);
    for point in points {
        row.iter_mut().for_each(|value| *value = 10.0 + chance.normal());
        detector.judge(at(point), &row, shares);
    }
    CALLS.get()
}

#[test]
fn a_point_of_a_known_series_allocates_nothing() {
    for (name, mut detector) in all() {
        let first = calls(detector.as_mut(), 0..4_000, &mut []);
        assert_eq!(calls(detector.as_mut(), 4_000..5_000, &mut []), 0, "{name}, after {first} at first");
    }
}

#[test]
fn the_twin_that_asks_a_forest_for_shares_is_seen_to_allocate() {
    let (_, mut detector) = all().into_iter().find(|(name, _)| *name == "forest of rows").unwrap();
    calls(detector.as_mut(), 0..200, &mut []);
    assert!(calls(detector.as_mut(), 200..300, &mut [0.0; 2]) >= 100);
}
