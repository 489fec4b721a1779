//! The velocity rule: how many recent charges are equal to this one.

use std::collections::VecDeque;

use super::super::db::ACCOUNTS;
use super::super::random::Random;

/// Charges that the rule looks at.
const WINDOW: usize = 2_200;

/// What the rule needs of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Charge {
    /// Number of the account.
    pub(crate) account: u32,
    /// In cents.
    pub(crate) amount: u32,
}

/// The most recent charges, oldest first.
#[derive(Debug)]
pub(crate) struct Window(VecDeque<Charge>);

impl Window {
    /// A full window of made-up charges.
    pub(crate) fn seeded(seed: u64) -> Self {
        let mut random = Random::new(seed, 2);
        let charge = |_| Charge { account: random.below(ACCOUNTS), amount: 199 + random.below(60_000) };
        Self((0..WINDOW).map(charge).collect())
    }

    /// Charges there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds a charge; the oldest goes.
    pub(crate) fn push(&mut self, charge: Charge) {
        if self.0.len() >= WINDOW {
            self.0.pop_front();
        }
        self.0.push_back(charge);
    }

    /// A copy to work on without holding anybody up.
    pub(crate) fn to_vec(&self) -> Vec<Charge> {
        self.0.iter().copied().collect()
    }
}

/// Equal charges among `recent`, and how many comparisons of neighbours that took: sorts first, O(n log n).
#[inline(never)]
pub(crate) fn equal_sorted(recent: &mut [Charge], charge: Charge) -> (u64, u64) {
    recent.sort_unstable();
    let (mut equal, mut compared) = (0, 0);
    for (one, other) in recent.iter().zip(recent.iter().skip(1)) {
        compared += 1;
        equal += u64::from(one == other && *one == charge);
    }
    (equal + u64::from(recent.contains(&charge)), compared)
}

/// The same by comparing every pair, O(n^2): what the reloaded rules do.
#[inline(never)]
pub(crate) fn equal_pairwise(recent: &[Charge], charge: Charge) -> (u64, u64) {
    let (mut equal_pairs, mut compared) = (0, 0);
    for (place, one) in recent.iter().enumerate() {
        for other in recent.iter().skip(place + 1) {
            compared += 1;
            equal_pairs += u64::from(same(one, other) && *one == charge);
        }
    }
    // Among g equal charges there are g (g - 1) / 2 pairs.
    let equal = (0_u64..).take_while(|equal| equal * equal.saturating_sub(1) / 2 <= equal_pairs).last();
    let alone = u64::from(recent.contains(&charge));
    (if equal_pairs == 0 { alone } else { equal.unwrap_or(0) }, compared)
}

/// Kept out of line so that the comparison costs what a rule engine's call costs.
#[inline(never)]
fn same(one: &Charge, other: &Charge) -> bool {
    one == other
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_window_is_bounded_and_the_oldest_goes() {
        let mut window = Window::seeded(7);
        let (length, second) = (window.len(), window.to_vec()[1]);
        let charge = Charge { account: 1, amount: 2 };
        window.push(charge);
        assert_eq!((window.len(), window.to_vec()[0]), (length, second));
        assert_eq!(window.to_vec().last(), Some(&charge));
    }

    proptest! {
        #[test]
        fn both_ways_count_the_same_and_pairwise_compares_every_pair(
            recent in proptest::collection::vec((0_u32..3, 0_u32..3), 0..30),
            own in (0_u32..3, 0_u32..3),
        ) {
            let charge = Charge { account: own.0, amount: own.1 };
            let mut recent: Vec<Charge> =
                recent.into_iter().map(|(account, amount)| Charge { account, amount }).collect();
            let expected = recent.iter().filter(|other| **other == charge).count() as u64;
            let (pairwise, pairs) = equal_pairwise(&recent, charge);
            let (sorted, neighbours) = equal_sorted(&mut recent, charge);
            prop_assert_eq!((pairwise, sorted), (expected, expected));
            let count = recent.len() as u64;
            prop_assert_eq!(pairs, count * count.saturating_sub(1) / 2);
            prop_assert_eq!(neighbours, count.saturating_sub(1));
        }
    }
}
