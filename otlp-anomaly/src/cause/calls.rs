//! Who calls whom, by name, from whatever source knows it.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// Pairs of caller and callee.
#[derive(Debug, Clone, Default)]
pub(super) struct Calls<'a> {
    down: BTreeMap<&'a str, BTreeSet<&'a str>>,
    known: BTreeSet<&'a str>,
}

impl<'a> Calls<'a> {
    pub(super) fn new(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut calls = Self::default();
        for (caller, callee) in pairs {
            if caller != callee {
                calls.down.entry(caller).or_default().insert(callee);
                calls.known.extend([caller, callee]);
            }
        }
        calls
    }

    pub(super) fn is_empty(&self) -> bool {
        self.down.is_empty()
    }

    pub(super) fn has(&self, service: &str) -> bool {
        self.known.contains(service)
    }

    /// All pairs of caller and callee.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> + '_ {
        self.down.iter().flat_map(|(caller, callees)| callees.iter().map(|callee| (*caller, *callee)))
    }

    /// The name of a known service.
    pub(super) fn name(&self, service: &str) -> Option<&'a str> {
        self.known.get(service).copied()
    }

    pub(super) fn callees(&self, service: &str) -> impl Iterator<Item = &'a str> + use<'a, '_> {
        self.down.get(service).into_iter().flatten().copied()
    }

    /// All that ask some services, and all that ask these.
    pub(super) fn above(&self, services: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
        let mut callers: BTreeMap<&str, Vec<&'a str>> = BTreeMap::new();
        for (&caller, callees) in &self.down {
            callees.iter().for_each(|callee| callers.entry(callee).or_default().push(caller));
        }
        let (mut above, mut next) = (BTreeSet::new(), services.collect::<Vec<_>>());
        while let Some(service) = next.pop() {
            for &caller in callers.get(service).into_iter().flatten() {
                if above.insert(caller) {
                    next.push(caller);
                }
            }
        }
        above
    }

    /// How well each service below `from` is reached, itself included: by the path whose weakest call is strongest.
    /// O(calls log calls).
    pub(super) fn widest(
        &self,
        (from, width): (&'a str, f64),
        weight: impl Fn(&'a str, &'a str) -> f64,
    ) -> BTreeMap<&'a str, f64> {
        let mut reached: BTreeMap<&str, f64> = BTreeMap::new();
        let mut next = BinaryHeap::from([Reach { width, service: from }]);
        while let Some(Reach { width, service }) = next.pop() {
            if reached.contains_key(service) {
                continue;
            }
            reached.insert(service, width);
            for callee in self.callees(service).filter(|callee| !reached.contains_key(callee)) {
                let width = width.min(weight(service, callee));
                next.push(Reach { width, service: callee });
            }
        }
        reached
    }
}

#[derive(Debug, PartialEq)]
struct Reach<'a> {
    width: f64,
    service: &'a str,
}

impl Eq for Reach<'_> {}

impl PartialOrd for Reach<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Reach<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.width.total_cmp(&other.width).then_with(|| other.service.cmp(self.service))
    }
}
