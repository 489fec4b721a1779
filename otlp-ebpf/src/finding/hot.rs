//! The most frequent of many keys, in little memory.

/// Counts of the keys that are met most often: the space-saving sketch.
///
/// Of `n` keys in all, one that was met more than `n / COUNTERS` times is among them for sure; a count is too high by at
/// most its error.
#[derive(Debug, Clone, Default)]
pub(super) struct HotKeys {
    counters: Vec<Counter>,
    total: u64,
}

#[derive(Debug, Clone, Copy)]
struct Counter {
    hash: u64,
    count: u64,
    error: u64,
}

const COUNTERS: usize = 64;

impl HotKeys {
    pub(super) fn add(&mut self, hash: u64) {
        self.total += 1;
        if let Some(counter) = self.counters.iter_mut().find(|counter| counter.hash == hash) {
            counter.count += 1;
            return;
        }
        if self.counters.len() < COUNTERS {
            self.counters.push(Counter { hash, count: 1, error: 0 });
            return;
        }
        // The newcomer takes the place of the rarest, and its count as an error.
        if let Some(rarest) = self.counters.iter_mut().min_by_key(|counter| counter.count) {
            *rarest = Counter { hash, count: rarest.count + 1, error: rarest.count };
        }
    }

    /// Keys met in all.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// The most frequent key, and how often it was met at least.
    pub(super) fn hottest(&self) -> Option<(u64, u64)> {
        let hottest = self.counters.iter().max_by_key(|counter| counter.count - counter.error)?;
        Some((hottest.hash, hottest.count - hottest.error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::mix;

    #[test]
    fn a_frequent_key_is_found_among_many_rare_ones() {
        let mut keys = HotKeys::default();
        for number in 0..10_000 {
            keys.add(mix(number));
            if number % 10 == 0 {
                keys.add(7);
            }
        }
        assert_eq!(keys.total(), 11_000);
        let (hash, count) = keys.hottest().unwrap();
        assert_eq!(hash, 7);
        assert!((900..=1000).contains(&count), "{count}");
        assert_eq!(keys.counters.len(), COUNTERS);
    }

    #[test]
    fn no_key_is_said_to_be_more_frequent_than_it_is() {
        let mut keys = HotKeys::default();
        (0..10_000).for_each(|number| keys.add(mix(number)));
        assert!(keys.hottest().is_some_and(|(_, count)| count <= 1), "every key was met once");
    }
}
