//! An open-addressing table from hash to the number of a state; the states themselves live elsewhere.

/// Slots that a table begins with; a power of two.
const FIRST_SLOTS: usize = 1 << 10;

/// Eight bytes a slot: the 32-bit tag above the number plus one; zero is an empty slot.
///
/// Where a number is kept follows from its tag alone, so growing needs neither the states nor their hashes.
#[derive(Debug)]
pub(super) struct Table {
    slots: Vec<u64>,
    len: usize,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { slots: vec![0; FIRST_SLOTS], len: 0 }
    }

    pub(super) fn bytes(&self) -> u64 {
        size_of_val(self.slots.as_slice()) as u64
    }

    /// The number under `tag` that `same` recognises.
    pub(super) fn find(&self, tag: u32, same: impl FnMut(u32) -> bool) -> Option<u32> {
        self.probe(tag, same).err()
    }

    /// Puts `number` under `tag`, unless `same` recognises one that is there: then returns that one.
    pub(super) fn insert(&mut self, tag: u32, number: u32, same: impl FnMut(u32) -> bool) -> Option<u32> {
        let place = match self.probe(tag, same) {
            Ok(place) => place,
            Err(known) => return Some(known),
        };
        self.fill(place, pack(tag, number));
        self.len += 1;
        // Linear probing stays short up to about two thirds.
        if self.len * 3 > self.slots.len() * 2 {
            self.grow();
        }
        None
    }

    /// Walks from the tag's own slot: the number that is meant, or the first empty slot.
    fn probe(&self, tag: u32, mut same: impl FnMut(u32) -> bool) -> Result<usize, u32> {
        let mask = self.slots.len() - 1;
        let mut place = tag as usize & mask;
        // A table is never full, so an empty slot ends the walk.
        while let Some(&slot) = self.slots.get(place)
            && slot != 0
        {
            let (met, number) = unpack(slot);
            if met == tag && same(number) {
                return Err(number);
            }
            place = (place + 1) & mask;
        }
        Ok(place)
    }

    fn fill(&mut self, place: usize, value: u64) {
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = value;
        }
    }

    fn grow(&mut self) {
        let doubled = vec![0; self.slots.len() * 2];
        let old = std::mem::replace(&mut self.slots, doubled);
        for slot in old.into_iter().filter(|slot| *slot != 0) {
            let (tag, _) = unpack(slot);
            if let Ok(place) = self.probe(tag, |_| false) {
                self.fill(place, slot);
            }
        }
    }
}

const fn pack(tag: u32, number: u32) -> u64 {
    ((tag as u64) << 32) | (number as u64 + 1)
}

#[expect(clippy::cast_possible_truncation, reason = "the number is the low half, as `pack` made it")]
const fn unpack(slot: u64) -> (u32, u32) {
    ((slot >> 32) as u32, (slot as u32) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_again_after_growing() {
        let mut table = Table::new();
        let tag = |number: u32| number.wrapping_mul(0x9e37_79b9);
        for number in 0..50_000 {
            assert_eq!(table.insert(tag(number), number, |met| met == number), None);
        }
        for number in 0..50_000 {
            assert_eq!(table.find(tag(number), |met| met == number), Some(number));
            assert_eq!(table.insert(tag(number), 99_999, |met| met == number), Some(number));
        }
        assert_eq!(table.find(tag(60_000), |met| met == 60_000), None);
    }

    #[test]
    fn equal_tags_are_told_apart_by_the_states() {
        let mut table = Table::new();
        for number in 0..3_000 {
            assert_eq!(table.insert(7, number, |met| met == number), None);
        }
        assert_eq!(table.find(7, |met| met == 2_999), Some(2_999));
        assert_eq!(table.find(7, |_| false), None);
    }
}
