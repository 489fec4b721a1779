//! Records grouped by the scope they come from.

use std::collections::HashMap;
use std::hash::Hash;

/// Indices of records, group after group, in the order in which the groups first appear.
///
/// Keeps its room from one batch to the next.
#[derive(Debug, Clone, Default)]
pub(super) struct Groups {
    /// The first record of each group; the records of a group share a key.
    firsts: Vec<usize>,
    /// The group of each record.
    group_of: Vec<usize>,
    /// Where each group begins in `order`, and the end of the last.
    starts: Vec<usize>,
    /// Indices of the records, group after group.
    order: Vec<usize>,
}

/// Up to here a group is looked for by comparing keys one by one; past it, by hash.
const MOST_COMPARED: usize = 32;

impl Groups {
    pub(super) const fn new() -> Self {
        Self { firsts: Vec::new(), group_of: Vec::new(), starts: Vec::new(), order: Vec::new() }
    }

    /// Groups `count` records by what `key` gives for each index.
    pub(super) fn assign<K: Eq + Hash>(&mut self, count: usize, key: impl Fn(usize) -> K) {
        self.firsts.clear();
        self.group_of.clear();
        let mut by_key: HashMap<K, usize> = HashMap::new();
        let mut last = 0;
        for index in 0..count {
            let own = key(index);
            let is_of = |&first: &usize| key(first) == own;
            let known = if self.firsts.get(last).is_some_and(is_of) {
                Some(last)
            } else if self.firsts.len() <= MOST_COMPARED {
                self.firsts.iter().position(is_of)
            } else {
                if by_key.is_empty() {
                    by_key.extend(self.firsts.iter().map(|&first| key(first)).zip(0..));
                }
                by_key.get(&own).copied()
            };
            last = known.unwrap_or_else(|| {
                if !by_key.is_empty() {
                    by_key.insert(own, self.firsts.len());
                }
                self.firsts.push(index);
                self.firsts.len() - 1
            });
            self.group_of.push(last);
        }
        self.sort();
    }

    /// The records of each group, by index, in their own order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &[usize]> {
        self.starts.windows(2).map(|bounds| match bounds {
            &[start, end] => self.order.get(start..end).unwrap_or_default(),
            _ => &[],
        })
    }

    /// Orders the records by group, keeping the order within each (a counting sort).
    fn sort(&mut self) {
        self.starts.clear();
        self.starts.resize(self.firsts.len() + 1, 0);
        for &group in &self.group_of {
            if let Some(count) = self.starts.get_mut(group) {
                *count += 1;
            }
        }
        let mut end = 0;
        for start in &mut self.starts {
            end += *start;
            *start = end;
        }
        self.order.clear();
        self.order.resize(self.group_of.len(), 0);
        for (index, &group) in self.group_of.iter().enumerate().rev() {
            let Some(start) = self.starts.get_mut(group) else { continue };
            *start -= 1;
            if let Some(place) = self.order.get_mut(*start) {
                *place = index;
            }
        }
    }
}
