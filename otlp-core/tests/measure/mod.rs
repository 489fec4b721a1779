//! A counting allocator, shared by the tests that measure the heap.
#![allow(dead_code, clippy::panic, reason = "each test program uses its part; a test may fail")]
#![expect(unsafe_code, reason = "a global allocator cannot be written without")]

pub(crate) mod visit;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts what the present thread takes: tests run beside each other.
struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; the counters allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.set(HELD.get() + layout.size());
        PEAK.set(PEAK.get().max(HELD.get()));
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        HELD.set(HELD.get().saturating_sub(layout.size()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `work` gives, the most bytes it held at a time, and how often it asked for some.
pub(crate) fn measured<T>(work: impl FnOnce() -> T) -> (T, usize, usize) {
    HELD.set(0);
    PEAK.set(0);
    CALLS.set(0);
    let result = work();
    (result, PEAK.get(), CALLS.get())
}
