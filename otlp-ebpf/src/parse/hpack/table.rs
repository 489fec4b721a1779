//! The dynamic table: entries in the order of their insertion, their bytes in one sliding buffer.

use std::collections::VecDeque;

use super::known;

/// What an entry costs beside its bytes (RFC 7541 §4.1).
const OVERHEAD: usize = 32;

/// Bytes that are moved to the front, or added, at once at least.
const LEAST_SLIDE: usize = 128;

/// The newest entries, as many as their sizes allow.
#[derive(Debug)]
pub(super) struct Table {
    /// The entries' values, and those of their names that are not usual, oldest first; those evicted linger in front of
    /// them for a while.
    bytes: Vec<u8>,
    /// Oldest first.
    entries: VecDeque<Entry>,
    /// Position of the first of `bytes`; positions wrap.
    base: u32,
    size: usize,
    max: usize,
    cap: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Position of the name, where it is held, and of the value behind it.
    at: u32,
    name: Held,
    /// Length of the value.
    value: u32,
}

/// The name of an entry, in four bytes: there are many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held(u32);

impl Held {
    /// It is not known.
    const NOT_KNOWN: Self = Self(u32::MAX);
    /// Above this stand the numbers of names that need not be held, below it the lengths of those that are: tables of
    /// that size there are none.
    const NUMBERS: u32 = 1 << 31;

    fn of(name: &[u8]) -> Self {
        Self(known::number(name).map_or_else(|| narrow(name.len()), |number| number | Self::NUMBERS))
    }

    /// Bytes held of it.
    #[inline]
    const fn held_len(self) -> usize {
        if self.0 < Self::NUMBERS { wide(self.0) } else { 0 }
    }

    /// Its text, where that is one that need not be held.
    #[inline]
    fn usual(self) -> Option<&'static [u8]> {
        if self.0 < Self::NUMBERS { None } else { known::name(self.0 & !Self::NUMBERS) }
    }
}

/// The name of a field to be inserted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Name<'a> {
    Text(&'a [u8]),
    /// That of the entry at this place.
    SameAs(usize),
    Unknown,
}

impl Entry {
    /// Length of the name; nothing where it is not known.
    fn name_len(&self) -> usize {
        self.name.usual().map_or(self.name.held_len(), <[u8]>::len)
    }

    /// Of a name that is not known its size is not known either: the entry then counts as smaller than it is and
    /// stays longer, which is harmless, because nothing refers to what was evicted.
    fn size(&self) -> usize {
        self.name_len() + wide(self.value) + OVERHEAD
    }
}

impl Table {
    /// A table of `max` bytes, of which no more than `cap` are ever kept.
    pub(super) fn new(cap: u32, max: u32) -> Self {
        Self { bytes: Vec::new(), entries: VecDeque::new(), base: 0, size: 0, max: wide(max.min(cap)), cap }
    }

    pub(super) const fn cap(&self) -> u32 {
        self.cap
    }

    /// Its size, as RFC 7541 §4.1 counts it.
    #[cfg(test)]
    pub(super) const fn size(&self) -> usize {
        self.size
    }

    /// The name, where it is known, and the value at a place; 0 is the newest.
    #[inline]
    pub(super) fn get(&self, place: usize) -> Option<(Option<&[u8]>, &[u8])> {
        let entry = self.entry(place)?;
        let from = wide(entry.at.wrapping_sub(self.base));
        let held = entry.name.held_len();
        let bytes = self.bytes.get(from..from + held + wide(entry.value))?;
        let (name, value) = bytes.split_at_checked(held)?;
        let name =
            if entry.name == Held::NOT_KNOWN { None } else { Some(entry.name.usual().unwrap_or(name)) };
        Some((name, value))
    }

    #[inline]
    fn entry(&self, place: usize) -> Option<Entry> {
        self.entries.get(self.entries.len().checked_sub(place)?.checked_sub(1)?).copied()
    }

    /// The name's text, where it is known.
    #[inline]
    pub(super) fn resolve<'a>(&'a self, name: Name<'a>) -> Option<&'a [u8]> {
        match name {
            Name::Text(text) => Some(text),
            Name::SameAs(place) => self.get(place)?.0,
            Name::Unknown => None,
        }
    }

    /// Inserts an entry and evicts what must go; one larger than the table empties it.
    pub(super) fn insert(&mut self, name: Name<'_>, value: &[u8]) {
        let text = self.resolve(name);
        if text.map_or(0, <[u8]>::len) + value.len() + OVERHEAD > self.max {
            self.clear();
            return;
        }
        let held = match name {
            Name::SameAs(place) => self.entry(place).map(|entry| entry.name),
            Name::Text(_) | Name::Unknown => text.map(Held::of),
        };
        let held = held.unwrap_or(Held::NOT_KNOWN);
        self.make_room(held.held_len() + value.len());
        let at = self.base.wrapping_add(narrow(self.bytes.len()));
        match name {
            Name::Text(text) => self.bytes.extend_from_slice(text.get(..held.held_len()).unwrap_or_default()),
            Name::SameAs(place) => self.repeat_name(place),
            Name::Unknown => {}
        }
        self.bytes.extend_from_slice(value);
        let entry = Entry { at, name: held, value: narrow(value.len()) };
        self.size += entry.size();
        self.entries.push_back(entry);
        self.evict();
    }

    /// Changes how large the table may be.
    pub(super) fn resize(&mut self, max: u32) {
        self.max = wide(max.min(self.cap));
        self.evict();
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
        self.size = 0;
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    fn repeat_name(&mut self, place: usize) {
        if let Some(entry) = self.entry(place) {
            let from = wide(entry.at.wrapping_sub(self.base));
            self.bytes.extend_from_within(from..from + entry.name.held_len());
        }
    }

    fn evict(&mut self) {
        while self.size > self.max {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.size -= oldest.size();
        }
    }

    /// Makes room for the text of an entry. What the evicted left is used again first, and buffers grow by little:
    /// most connections have tables, and many of them.
    fn make_room(&mut self, more: usize) {
        let dead = match self.entries.front() {
            Some(oldest) => wide(oldest.at.wrapping_sub(self.base)),
            None => self.bytes.len(),
        };
        let full = self.bytes.len() + more > self.bytes.capacity();
        if dead >= 2 * LEAST_SLIDE && (full || dead * 4 >= self.bytes.len()) {
            self.bytes.drain(..dead);
            self.base = self.base.wrapping_add(narrow(dead));
        }
        if self.bytes.len() + more > self.bytes.capacity() {
            self.bytes.reserve_exact(more.max(self.bytes.len() / 8).max(LEAST_SLIDE));
        }
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(8.max(self.entries.len() / 8));
        }
    }
}

#[inline]
const fn wide(length: u32) -> usize {
    length as usize
}

/// A length of the table, whose size is counted in 32 bits.
fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
