//! What waits by number: mostly one thing at a time, sometimes a thousand.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use super::spread::Spread;

/// Things by number. A few lie in a list that has hardly any room beside them, as there are many connections; more in
/// a table.
#[derive(Debug)]
pub(crate) struct Few<T> {
    few: Vec<(u64, T)>,
    many: Option<Box<Table<T>>>,
}

type Table<T> = HashMap<u64, T, BuildHasherDefault<Spread>>;

/// More are put into a table.
const FEW: usize = 8;

impl<T> Few<T> {
    pub(crate) const fn new() -> Self {
        Self { few: Vec::new(), many: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.many.as_ref().map_or(self.few.len(), |many| many.len())
    }

    #[inline]
    pub(crate) fn get(&self, number: u64) -> Option<&T> {
        match &self.many {
            None => self.few.iter().find(|(met, _)| *met == number).map(|(_, thing)| thing),
            Some(many) => many.get(&number),
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        match &mut self.many {
            None => self.few.iter_mut().find(|(met, _)| *met == number).map(|(_, thing)| thing),
            Some(many) => many.get_mut(&number),
        }
    }

    /// Puts a thing in; gives the one that had its number.
    #[inline]
    pub(crate) fn insert(&mut self, number: u64, thing: T) -> Option<T> {
        if let Some(many) = &mut self.many {
            return many.insert(number, thing);
        }
        if let Some(met) = self.get_mut(number) {
            return Some(std::mem::replace(met, thing));
        }
        if self.few.len() == FEW {
            let mut many: Box<Table<T>> = Box::default();
            many.extend(std::mem::take(&mut self.few));
            many.insert(number, thing);
            self.many = Some(many);
            return None;
        }
        if self.few.len() == self.few.capacity() {
            self.few.reserve_exact(self.few.len().max(1));
        }
        self.few.push((number, thing));
        None
    }

    /// Takes a thing out. The table goes once it is empty.
    #[inline]
    pub(crate) fn remove(&mut self, number: u64) -> Option<T> {
        let Some(many) = &mut self.many else {
            let at = self.few.iter().position(|(met, _)| *met == number)?;
            return Some(self.few.swap_remove(at).1);
        };
        let thing = many.remove(&number);
        if many.is_empty() {
            self.many = None;
        }
        thing
    }

    /// All, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        let few = self.few.iter().map(|(number, thing)| (*number, thing));
        few.chain(self.many.iter().flat_map(|many| many.iter().map(|(number, thing)| (*number, thing))))
    }

    /// Takes all, in the order of their numbers.
    pub(crate) fn take(&mut self) -> Vec<(u64, T)> {
        let Self { few, many } = std::mem::replace(self, Self::new());
        let mut all = few;
        all.extend(many.into_iter().flat_map(|many| *many));
        all.sort_unstable_by_key(|(number, _)| *number);
        all
    }

    /// Heap bytes held, those of the things themselves not counted.
    pub(crate) fn held_bytes(&self) -> usize {
        let of_many =
            |many: &Table<T>| size_of::<Table<T>>() + many.capacity() * (size_of::<(u64, T)>() + 1) * 8 / 7;
        self.few.capacity() * size_of::<(u64, T)>() + self.many.as_deref().map_or(0, of_many)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_holds_what_a_map_holds_be_they_few_or_many() {
        for most in [1, FEW, FEW + 1, 100] {
            let (mut few, mut map) = (Few::new(), BTreeMap::new());
            let mut dice = 7_u64;
            for round in 0..2_000_u64 {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let number = (dice >> 33) % (2 * u64::try_from(most).unwrap());
                if map.len() < most && dice >> 60 < 9 {
                    assert_eq!(few.insert(number, round), map.insert(number, round));
                } else {
                    assert_eq!(few.remove(number), map.remove(&number));
                }
                assert_eq!((few.len(), few.get(number)), (map.len(), map.get(&number)));
                assert_eq!(few.get_mut(number), map.get_mut(&number));
            }
            let mut all: Vec<_> = few.iter().map(|(number, thing)| (number, *thing)).collect();
            all.sort_unstable();
            let map: Vec<_> = map.into_iter().collect();
            assert_eq!((all, few.take()), (map.clone(), map));
            assert_eq!((few.len(), few.held_bytes()), (0, 0));
        }
    }

    #[test]
    fn one_at_a_time_takes_the_room_of_one() {
        let mut few = Few::new();
        for number in 0..100 {
            few.insert(number, 1_u64);
            few.remove(number);
        }
        assert_eq!(few.held_bytes(), 16);
        (0..1_000).for_each(|number| assert_eq!(few.insert(number, 1), None));
        assert!(few.held_bytes() > 16_000);
        (0..1_000).for_each(|number| assert_eq!(few.remove(number), Some(1)));
        assert_eq!(few.held_bytes(), 0);
    }
}
