//! Random numbers for identifiers, where none are injected.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// 64 random bits: SipHash of a counter under keys from the operating system, both the thread's own.
pub(super) fn number() -> u64 {
    thread_local! {
        static SOURCE: (RandomState, Cell<u64>) = (RandomState::new(), Cell::new(0));
    }
    let next = |(keys, counter): &(RandomState, Cell<u64>)| {
        counter.set(counter.get().wrapping_add(1));
        keys.hash_one(counter.get())
    };
    // While a thread ends its own source may be gone; fresh keys serve as well.
    SOURCE.try_with(next).unwrap_or_else(|_| RandomState::new().hash_one(0_u64))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::thread;

    use super::*;

    #[test]
    fn numbers_do_not_repeat_within_or_between_threads() {
        let numbers = || (0..1000).map(|_| number()).collect::<Vec<_>>();
        let there = thread::spawn(numbers).join().unwrap();
        let all: HashSet<u64> = numbers().into_iter().chain(there).collect();
        assert_eq!(all.len(), 2000);
        let ones: u32 = all.iter().map(|number| number.count_ones()).sum();
        assert!((60_000..68_000).contains(&ones), "{ones} of 128,000 bits");
    }
}
