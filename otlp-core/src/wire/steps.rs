//! Counts what a reader does, for the tests of how work grows with input.

use std::cell::Cell;

thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

pub(crate) fn reset() {
    TAKEN.set(0);
}

pub(crate) fn taken() -> u64 {
    TAKEN.get()
}

/// One varint was read.
pub(super) fn count() {
    TAKEN.set(TAKEN.get() + 1);
}
