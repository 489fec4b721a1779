//! Rows in no order, and the index that finds them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::super::random::mix;

/// Rows read between two looks at the clock.
const ROWS_A_LOOK: usize = 1_024;

/// Rows in the order they were written, the place of a row being reused once there are too many.
///
/// A key may have several rows, of which the one with the highest version counts. Since places are reused, it
/// may be anywhere: without the index, a lookup has no choice but to read all rows.
#[derive(Debug)]
pub(crate) struct Heap {
    rows: Vec<Row>,
    index: Option<Index>,
    first_added: usize,
    max_added: usize,
    version: u64,
}

/// What a lookup met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found<'heap> {
    /// The newest text under the key.
    pub(crate) text: Option<&'heap str>,
    /// Rows whose bytes were read and checked.
    pub(crate) rows_read: usize,
    /// Whether all rows were read for want of an index.
    pub(crate) by_scan: bool,
}

/// A lookup was given up: its time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimedOut;

/// What a write did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    /// Counts the writes, from one.
    pub(crate) version: u64,
    /// The key whose oldest row had to make room.
    pub(crate) overwritten: Option<String>,
}

/// The place of each key's newest row, apart for rows that stay and rows that may have to make room: what
/// shadowed a row that stays may go, and then that row counts again.
#[derive(Debug, Default)]
struct Index {
    first: HashMap<String, usize>,
    added: HashMap<String, usize>,
}

#[derive(Debug)]
struct Row {
    key: String,
    text: String,
    version: u64,
    check: u64,
}

impl Heap {
    /// A heap of `rows` that stay, to which `max_added` rows can be added before the oldest added make room.
    pub(crate) fn new(rows: Vec<(String, String)>, max_added: usize) -> Self {
        let rows: Vec<Row> = rows.into_iter().map(|(key, text)| Row::new(key, text, 0)).collect();
        let mut heap = Self { first_added: rows.len(), rows, index: None, max_added, version: 0 };
        heap.rebuild_index();
        heap
    }

    /// Rows there are.
    pub(crate) const fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Finds the newest row under `key`: O(1) by the index, O(rows) without it.
    ///
    /// # Errors
    /// The time is past `deadline` while rows are being read.
    pub(crate) fn lookup(&self, key: &str, deadline: Option<Instant>) -> Result<Found<'_>, TimedOut> {
        match &self.index {
            Some(index) => Ok(self.index_lookup(index, key)),
            None => self.full_scan(key, deadline),
        }
    }

    /// Adds a row; where there are too many added rows, the oldest of them makes room.
    pub(crate) fn put(&mut self, key: &str, text: &str) -> Written {
        self.version += 1;
        let row = Row::new(key.to_owned(), text.to_owned(), self.version);
        let added = self.rows.len() - self.first_added;
        let (place, overwritten) = if added < self.max_added {
            self.rows.push(row);
            (self.rows.len() - 1, None)
        } else {
            let turn = usize::try_from(self.version - 1).unwrap_or(0).checked_rem(self.max_added);
            let place = self.first_added + turn.unwrap_or(0);
            let old = self.rows.get_mut(place).map(|old| std::mem::replace(old, row));
            (place, old.map(|old| old.key))
        };
        if let Some(index) = &mut self.index {
            if let Some(old) = &overwritten
                && index.added.get(old) == Some(&place)
            {
                index.added.remove(old);
            }
            index.added.insert(key.to_owned(), place);
        }
        Written { version: self.version, overwritten }
    }

    /// What reading all rows takes, when nothing else is in the way.
    pub(crate) fn scan_time(&self) -> Duration {
        let times = (0..5).map(|_| {
            let start = Instant::now();
            let _nothing = self.full_scan("", None);
            start.elapsed()
        });
        times.min().unwrap_or_default()
    }

    /// Forgets the index.
    pub(crate) fn lose_index(&mut self) {
        self.index = None;
    }

    /// Reads all rows and makes the index again.
    pub(crate) fn rebuild_index(&mut self) {
        let mut index = Index::default();
        for (place, row) in self.rows.iter().enumerate() {
            let known = if place < self.first_added { &mut index.first } else { &mut index.added };
            let newest = known.get(&row.key).and_then(|known| self.rows.get(*known));
            if newest.is_none_or(|newest| newest.version <= row.version) {
                known.insert(row.key.clone(), place);
            }
        }
        self.index = Some(index);
    }

    #[inline(never)]
    fn index_lookup(&self, index: &Index, key: &str) -> Found<'_> {
        let place = index.added.get(key).or_else(|| index.first.get(key));
        let row = place.and_then(|place| self.rows.get(*place));
        let text = row.filter(|row| row.is_sound()).map(|row| row.text.as_str());
        Found { text, rows_read: usize::from(row.is_some()), by_scan: false }
    }

    #[inline(never)]
    fn full_scan(&self, key: &str, deadline: Option<Instant>) -> Result<Found<'_>, TimedOut> {
        let mut newest: Option<&Row> = None;
        for rows in self.rows.chunks(ROWS_A_LOOK) {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(TimedOut);
            }
            for row in rows {
                // A row counts only when its bytes are what was written: damage must not hide the version before.
                let counts = row.is_sound() && row.key == key;
                if counts && newest.is_none_or(|newest| newest.version <= row.version) {
                    newest = Some(row);
                }
            }
        }
        Ok(Found { text: newest.map(|row| row.text.as_str()), rows_read: self.rows.len(), by_scan: true })
    }
}

impl Row {
    fn new(key: String, text: String, version: u64) -> Self {
        let check = checksum(&key, &text);
        Self { key, text, version, check }
    }

    fn is_sound(&self) -> bool {
        checksum(&self.key, &self.text) == self.check
    }
}

/// A check of all bytes of a row, eight at a time.
#[inline(never)]
fn checksum(key: &str, text: &str) -> u64 {
    let mut sum = mix(u64::try_from(key.len()).unwrap_or(u64::MAX));
    for part in [key, text] {
        let (words, rest) = part.as_bytes().as_chunks::<8>();
        let last = rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        for word in words.iter().map(|word| u64::from_le_bytes(*word)).chain([last]) {
            sum = (sum.rotate_left(5) ^ word).wrapping_mul(0x517C_C1B7_2722_0A95);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heap() -> Heap {
        let rows = (0..100).map(|number| (format!("stock/{number}"), format!("qty={number}")));
        Heap::new(rows.collect(), 3)
    }

    #[test]
    fn without_the_index_the_same_row_is_found_by_reading_all() {
        let mut heap = heap();
        let by_index = Found { text: Some("qty=42"), rows_read: 1, by_scan: false };
        assert_eq!(heap.lookup("stock/42", None).unwrap(), by_index);
        heap.lose_index();
        let by_scan = Found { text: Some("qty=42"), rows_read: 100, by_scan: true };
        assert_eq!(heap.lookup("stock/42", None).unwrap(), by_scan);
        assert_eq!(heap.lookup("stock/none", None).unwrap().text, None);
        heap.rebuild_index();
        assert_eq!(heap.lookup("stock/42", None).unwrap(), by_index);
    }

    #[test]
    fn a_scan_ends_with_its_time_and_the_index_needs_none() {
        let (mut heap, over) = (heap(), Some(Instant::now()));
        assert_eq!(heap.lookup("stock/42", over).unwrap().text, Some("qty=42"));
        heap.lose_index();
        assert_eq!(heap.lookup("stock/42", over), Err(TimedOut));
    }

    #[test]
    fn a_damaged_row_is_not_handed_out() {
        let mut heap = heap();
        heap.rows[42].text.replace_range(0..1, "Q");
        assert_eq!(heap.lookup("stock/42", None).unwrap().text, None);
        heap.lose_index();
        assert_eq!(heap.lookup("stock/42", None).unwrap().text, None);
    }

    #[test]
    fn added_rows_are_bounded_and_the_oldest_makes_room() {
        let mut heap = heap();
        for number in 1..=3 {
            let written = heap.put(&format!("charges/{number}"), "new");
            assert_eq!(written, Written { version: number, overwritten: None });
        }
        assert_eq!(heap.put("charges/4", "new").overwritten.as_deref(), Some("charges/1"));
        assert_eq!(heap.rows(), 103);
        assert_eq!(heap.lookup("charges/1", None).unwrap().text, None);
        assert_eq!(heap.lookup("stock/1", None).unwrap().text, Some("qty=1"));
    }

    proptest! {
        #[test]
        fn lookups_answer_the_same_with_without_and_with_a_new_index(
            writes in proptest::collection::vec((0_u8..6, 0_u8..200), 0..40),
            lost_after in 0_usize..40,
        ) {
            let mut indexed = Heap::new(vec![("0".to_owned(), "first".to_owned())], 7);
            let mut scanned = Heap::new(vec![("0".to_owned(), "first".to_owned())], 7);
            for (number, (key, text)) in writes.into_iter().enumerate() {
                if number == lost_after {
                    scanned.lose_index();
                }
                indexed.put(&key.to_string(), &text.to_string());
                scanned.put(&key.to_string(), &text.to_string());
            }
            for key in (0..6).map(|key| key.to_string()) {
                prop_assert_eq!(indexed.lookup(&key, None).unwrap().text, scanned.lookup(&key, None).unwrap().text);
            }
            scanned.rebuild_index();
            for key in (0..6).map(|key| key.to_string()) {
                prop_assert_eq!(indexed.lookup(&key, None).unwrap().text, scanned.lookup(&key, None).unwrap().text);
            }
        }
    }
}
