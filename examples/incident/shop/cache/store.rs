//! Values under keys, bounded in number and bytes, the least recently used going first.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Bytes that an entry takes besides its key and value, roughly.
const ENTRY_OVERHEAD: usize = 96;
/// Entries looked at by one call of [`Store::expire_some`].
const EXPIRE_STEP: usize = 256;

/// How much the store may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Most entries; default 10,000.
    pub(crate) entries: usize,
    /// Most bytes of keys, values and overhead; default 4 MiB.
    pub(crate) bytes: usize,
}

/// A value above the whole store's bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// A bounded map with times to live; `now` is time since any fixed moment and never goes backwards.
#[derive(Debug)]
pub(crate) struct Store {
    bounds: Bounds,
    entries: HashMap<Vec<u8>, Entry>,
    /// Keys by last use, oldest first.
    by_use: BTreeMap<u64, Vec<u8>>,
    uses: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    last_use: u64,
    ends: Option<Duration>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { entries: 10_000, bytes: 4 << 20 }
    }
}

impl Store {
    /// An empty store.
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, entries: HashMap::new(), by_use: BTreeMap::new(), uses: 0, bytes: 0 }
    }

    /// Entries there are, expired ones that nobody met included.
    pub(crate) fn entries(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of keys, values and overhead.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The value under `key`, which counts as a use.
    pub(crate) fn get(&mut self, key: &[u8], now: Duration) -> Option<&[u8]> {
        self.drop_if_expired(key, now);
        let entry = self.entries.get_mut(key)?;
        self.uses += 1;
        if let Some(key) = self.by_use.remove(&entry.last_use) {
            self.by_use.insert(self.uses, key);
        }
        entry.last_use = self.uses;
        Some(&entry.value)
    }

    /// Puts `value` under `key` and says how many others had to go.
    pub(crate) fn set(
        &mut self,
        key: &[u8],
        value: &[u8],
        ttl: Option<Duration>,
        now: Duration,
    ) -> Result<usize, TooLarge> {
        let size = size(key, value);
        if size > self.bounds.bytes || self.bounds.entries == 0 {
            return Err(TooLarge);
        }
        self.remove(key);
        let mut evicted = 0;
        while self.bytes + size > self.bounds.bytes || self.entries.len() >= self.bounds.entries {
            let Some((_, oldest)) = self.by_use.pop_first() else { break };
            self.remove(&oldest);
            evicted += 1;
        }
        self.uses += 1;
        self.bytes += size;
        self.by_use.insert(self.uses, key.to_vec());
        let ends = ttl.map(|ttl| now.saturating_add(ttl));
        self.entries.insert(key.to_vec(), Entry { value: value.to_vec(), last_use: self.uses, ends });
        Ok(evicted)
    }

    /// Removes `key`; true where it was there.
    pub(crate) fn delete(&mut self, key: &[u8], now: Duration) -> bool {
        self.drop_if_expired(key, now);
        self.remove(key)
    }

    /// Sets a new time to live; true where the key was there.
    pub(crate) fn expire(&mut self, key: &[u8], ttl: Duration, now: Duration) -> bool {
        self.drop_if_expired(key, now);
        let entry = self.entries.get_mut(key);
        entry.map(|entry| entry.ends = Some(now.saturating_add(ttl))).is_some()
    }

    /// Time left for `key`: outer none where it is not there, inner none where it stays for good.
    pub(crate) fn ttl(&mut self, key: &[u8], now: Duration) -> Option<Option<Duration>> {
        self.drop_if_expired(key, now);
        let entry = self.entries.get(key)?;
        Some(entry.ends.map(|ends| ends.saturating_sub(now)))
    }

    /// Removes the expired among the entries that were not used for longest.
    pub(crate) fn expire_some(&mut self, now: Duration) {
        let keys: Vec<Vec<u8>> = self.by_use.values().take(EXPIRE_STEP).cloned().collect();
        for key in keys {
            self.drop_if_expired(&key, now);
        }
    }

    fn drop_if_expired(&mut self, key: &[u8], now: Duration) {
        let ends = self.entries.get(key).and_then(|entry| entry.ends);
        if ends.is_some_and(|ends| ends <= now) {
            self.remove(key);
        }
    }

    fn remove(&mut self, key: &[u8]) -> bool {
        let Some(entry) = self.entries.remove(key) else { return false };
        self.by_use.remove(&entry.last_use);
        self.bytes -= size(key, &entry.value);
        true
    }
}

const fn size(key: &[u8], value: &[u8]) -> usize {
    2 * key.len() + value.len() + ENTRY_OVERHEAD
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Duration = Duration::from_secs(10);
    const SECOND: Duration = Duration::from_secs(1);

    fn store(entries: usize, bytes: usize) -> Store {
        Store::new(Bounds { entries, bytes })
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut store = store(2, 1 << 20);
        store.set(b"a", b"1", None, NOW).unwrap();
        store.set(b"b", b"2", None, NOW).unwrap();
        assert!(store.get(b"a", NOW).is_some());
        assert_eq!(store.set(b"c", b"3", None, NOW), Ok(1));
        assert_eq!((store.get(b"a", NOW).is_some(), store.get(b"b", NOW)), (true, None));
    }

    #[test]
    fn a_value_ends_with_its_time_to_live() {
        let mut store = store(9, 1 << 20);
        store.set(b"a", b"1", Some(SECOND), NOW).unwrap();
        store.set(b"b", b"1", None, NOW).unwrap();
        assert!(store.get(b"a", NOW + SECOND / 2).is_some());
        assert_eq!(store.ttl(b"a", NOW + SECOND / 2), Some(Some(SECOND / 2)));
        assert_eq!(store.get(b"a", NOW + SECOND), None);
        assert_eq!((store.ttl(b"a", NOW), store.ttl(b"b", NOW)), (None, Some(None)));
        assert!(store.expire(b"b", SECOND, NOW));
        store.expire_some(NOW + SECOND);
        assert_eq!((store.entries(), store.bytes()), (0, 0));
    }

    #[test]
    fn a_value_above_the_bound_is_refused_and_replaces_nothing() {
        let mut store = store(9, 200);
        store.set(b"a", b"1", None, NOW).unwrap();
        assert_eq!(store.set(b"a", &[0; 300], None, NOW), Err(TooLarge));
        assert_eq!(store.get(b"a", NOW), Some(&b"1"[..]));
    }

    proptest! {
        #[test]
        fn bounds_hold_and_the_books_balance(
            steps in proptest::collection::vec((0_u8..4, 0_u8..12, 0_usize..60, 0_u64..3), 0..120),
        ) {
            let mut store = store(5, 900);
            let mut now = NOW;
            for (step, key, length, seconds) in steps {
                let key = [key];
                match step {
                    0 | 1 => {
                        let ttl = (seconds > 0).then(|| Duration::from_secs(seconds));
                        store.set(&key, &vec![0; length], ttl, now).unwrap();
                        prop_assert!(store.get(&key, now).is_some());
                    }
                    2 => {
                        store.delete(&key, now);
                        prop_assert!(store.get(&key, now).is_none());
                    }
                    _ => now += Duration::from_secs(seconds),
                }
                prop_assert!(store.entries() <= 5 && store.bytes() <= 900);
                prop_assert_eq!(store.by_use.len(), store.entries.len());
                let sum: usize = store.entries.iter().map(|(key, entry)| size(key, &entry.value)).sum();
                prop_assert_eq!(sum, store.bytes());
            }
        }
    }
}
