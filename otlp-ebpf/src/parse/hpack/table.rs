//! The dynamic table: entries in the order of their insertion, their bytes in a ring.
//!
//! Most connections of HTTP/2 have a table that is full, and each entry costs: four bytes say where it lies and what
//! its name is, usual names are not held at all, and the ring has hardly any room beside what lives. Each entry lies in
//! one piece; one that does not fit behind the newest goes to the front, where older ones have been evicted.

use std::collections::VecDeque;

use super::known;

/// What an entry costs beside its bytes (RFC 7541 §4.1).
const OVERHEAD: usize = 32;

/// Bytes that the ring grows by at least, and the part of it.
const LEAST_GROWTH: usize = 64;
const GROWTH: usize = 32;

/// A larger table is not kept: positions have 24 bits.
const LARGEST: u32 = 1 << 23;

/// The newest entries, as many as their sizes allow.
#[derive(Debug)]
pub(super) struct Table {
    /// The entries' values, each behind its name where that is not usual.
    bytes: Vec<u8>,
    /// Oldest first.
    entries: VecDeque<Entry>,
    /// Where the newest entry ends.
    tail: u32,
    /// Where the older entries end, while newer ones lie in front of them; else zero.
    wrap: u32,
    size: usize,
    max: usize,
    cap: u32,
}

/// Where an entry begins, in 24 bits, and what its name is: it ends where the next one begins.
#[derive(Debug, Clone, Copy)]
struct Entry(u32);

/// The name of a field to be inserted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Name<'a> {
    Text(&'a [u8]),
    /// The usual one of this number.
    Usual(u8),
    /// That of the entry at this place.
    SameAs(usize),
    Unknown,
}

impl Entry {
    /// Its name is none of the usual ones: it stands before the value, its length before that.
    const HELD: u8 = 0xfe;
    /// Its name is not known.
    const NOT_KNOWN: u8 = 0xff;

    #[inline]
    const fn new(name: u8, at: u32) -> Self {
        let [_, high, middle, low] = at.to_be_bytes();
        Self(u32::from_be_bytes([name, high, middle, low]))
    }

    #[inline]
    const fn at(self) -> u32 {
        self.0 & 0xff_ffff
    }

    #[inline]
    const fn name(self) -> u8 {
        let [name, ..] = self.0.to_be_bytes();
        name
    }

    /// The name, where it is known, and the value out of the bytes of the entry.
    #[inline]
    fn split(self, bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
        match self.name() {
            Self::NOT_KNOWN => Some((None, bytes)),
            Self::HELD => {
                let (length, behind) = bytes.split_first_chunk()?;
                let (name, value) = behind.split_at_checked(wide(u32::from_le_bytes(*length)))?;
                Some((Some(name), value))
            }
            number => Some((known::name(number), bytes)),
        }
    }
}

impl Table {
    /// A table of `max` bytes, of which no more than `cap` are ever kept.
    pub(super) fn new(cap: u32, max: u32) -> Self {
        let cap = cap.min(LARGEST);
        let max = wide(max.min(cap));
        Self { bytes: Vec::new(), entries: VecDeque::new(), tail: 0, wrap: 0, size: 0, max, cap }
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
        let index = self.entries.len().checked_sub(place)?.checked_sub(1)?;
        let entry = *self.entries.get(index)?;
        let next = self.entries.get(index + 1).map_or(self.tail, |next| next.at());
        entry.split(self.bytes.get(wide(entry.at())..wide(self.end(entry, next)))?)
    }

    /// The name of the entry at a place, and its text where it is known; nothing where there is no entry.
    #[inline]
    pub(super) fn name(&self, place: usize) -> Option<(Name<'static>, Option<&[u8]>)> {
        let index = self.entries.len().checked_sub(place)?.checked_sub(1)?;
        match self.entries.get(index)?.name() {
            Entry::NOT_KNOWN => Some((Name::Unknown, None)),
            Entry::HELD => Some((Name::SameAs(place), self.get(place)?.0)),
            number => Some((Name::Usual(number), known::name(number))),
        }
    }

    /// Inserts an entry and evicts what must go; one larger than the table empties it.
    pub(super) fn insert(&mut self, name: Name<'_>, value: &[u8]) {
        match name {
            Name::Usual(number) => {
                let length = known::name(number).map_or(0, <[u8]>::len);
                self.insert_parts(number, length, &[value]);
            }
            Name::Unknown => self.insert_parts(Entry::NOT_KNOWN, 0, &[value]),
            Name::Text(text) => self.insert_named(text, value),
            Name::SameAs(place) => {
                // It may be evicted before it is written again.
                let text = self.get(place).and_then(|(name, _)| name).unwrap_or_default().to_vec();
                self.insert_named(&text, value);
            }
        }
    }

    fn insert_named(&mut self, text: &[u8], value: &[u8]) {
        match known::number(text) {
            Some(number) => self.insert_parts(number, text.len(), &[value]),
            None => {
                let length = narrow(text.len()).to_le_bytes();
                self.insert_parts(Entry::HELD, text.len(), &[&length, text, value]);
            }
        }
    }

    /// Inserts an entry of these bytes, the last of which are its value.
    #[inline]
    fn insert_parts<const N: usize>(&mut self, name: u8, name_len: usize, parts: &[&[u8]; N]) {
        let size = name_len + parts.last().map_or(0, |value| value.len()) + OVERHEAD;
        if size > self.max {
            self.clear();
            return;
        }
        // Of a name that is not known its size is not known either: the entry then counts as smaller than it is and
        // stays longer, which is harmless, because nothing refers to what was evicted.
        self.evict(self.max - size);
        self.size += size;
        let length = parts.iter().map(|part| part.len()).sum();
        let from = self.place(length);
        let mut at = from;
        for part in parts {
            if let Some(room) = self.bytes.get_mut(at..at + part.len()) {
                room.copy_from_slice(part);
            }
            at += part.len();
        }
        self.tail = narrow(at);
        self.entries.push_back(Entry::new(name, narrow(from)));
    }

    /// Changes how large the table may be.
    pub(super) fn resize(&mut self, max: u32) {
        self.max = wide(max.min(self.cap));
        self.evict(self.max);
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        (self.tail, self.wrap, self.size) = (0, 0, 0);
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// Where an entry ends, before the next one which begins there, or at the front.
    #[inline]
    const fn end(&self, entry: Entry, next: u32) -> u32 {
        if next < entry.at() { self.wrap } else { next }
    }

    /// Evicts until all is of this size at most.
    #[inline]
    fn evict(&mut self, size: usize) {
        while self.size > size {
            let Some(oldest) = self.entries.pop_front() else { return };
            let Some(next) = self.entries.front().map(|next| next.at()) else {
                self.clear();
                return;
            };
            let end = self.end(oldest, next);
            if next < oldest.at() {
                self.wrap = 0;
            }
            let bytes = wide(end - oldest.at());
            let bytes = match oldest.name() {
                Entry::NOT_KNOWN => bytes,
                Entry::HELD => bytes - size_of::<u32>(),
                number => bytes + known::name(number).map_or(0, <[u8]>::len),
            };
            self.size -= bytes + OVERHEAD;
        }
    }

    /// Finds a place for so many bytes behind the newest entry.
    #[inline]
    fn place(&mut self, length: usize) -> usize {
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(4.max(self.entries.len() / GROWTH));
        }
        let tail = wide(self.tail);
        let head = self.entries.front().map_or(0, |oldest| wide(oldest.at()));
        let end = if self.wrap > 0 { head } else { self.bytes.len() };
        if length <= end - tail {
            return tail;
        }
        if self.wrap == 0 && length <= head {
            self.wrap = self.tail;
            return 0;
        }
        self.lay_out(length)
    }

    /// Lays the entries out anew, from the front on, with room for so many bytes and some more.
    #[cold]
    fn lay_out(&mut self, length: usize) -> usize {
        let head = self.entries.front().map_or(0, |oldest| oldest.at());
        let (old, new) = match self.wrap {
            0 => (head..self.tail, 0..0),
            wrap => (head..wrap, 0..self.tail),
        };
        let needed = wide(old.end - old.start) + wide(new.end) + length;
        let capacity = needed + LEAST_GROWTH.max(needed / GROWTH);
        let mut bytes = Vec::with_capacity(capacity.max(self.bytes.len()));
        for part in [old.clone(), new] {
            bytes.extend_from_slice(self.bytes.get(wide(part.start)..wide(part.end)).unwrap_or_default());
        }
        for entry in &mut self.entries {
            let before = entry.at();
            let at = if before >= old.start { before - old.start } else { before + (old.end - old.start) };
            *entry = Entry::new(entry.name(), at);
        }
        let tail = bytes.len();
        bytes.resize(bytes.capacity(), 0);
        self.bytes = bytes;
        (self.tail, self.wrap) = (narrow(tail), 0);
        tail
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The same, held as it is told: oldest first, names and values apart.
    #[derive(Default)]
    struct Plain(Vec<(Option<Vec<u8>>, Vec<u8>)>);

    impl Plain {
        fn insert(&mut self, name: Option<&[u8]>, value: &[u8], max: usize) {
            self.0.push((name.map(<[u8]>::to_vec), value.to_vec()));
            while self.size() > max {
                self.0.remove(0);
            }
        }

        fn size(&self) -> usize {
            self.0
                .iter()
                .map(|(name, value)| name.as_ref().map_or(0, Vec::len) + value.len() + OVERHEAD)
                .sum()
        }
    }

    fn same(table: &Table, plain: &Plain) {
        for (place, (name, value)) in plain.0.iter().rev().enumerate() {
            assert_eq!(table.get(place), Some((name.as_deref(), value.as_slice())), "place {place}");
        }
        assert_eq!((table.get(plain.0.len()), table.size()), (None, plain.size()));
    }

    /// A name of each kind, and the way to insert it.
    fn name(plain: &Plain, number: usize) -> (Name<'static>, Option<Vec<u8>>) {
        match number % 7 {
            0 => (Name::Unknown, None),
            1 => (Name::Text(b"traceparent"), Some(b"traceparent".to_vec())),
            2 => (Name::Text(b"x-mine"), Some(b"x-mine".to_vec())),
            3 => (Name::Text(b""), Some(Vec::new())),
            4 => (Name::Usual(3), Some(b"via".to_vec())),
            _ if plain.0.is_empty() => (Name::Unknown, None),
            _ => {
                let place = number * 31 % plain.0.len();
                let (name, _) = &plain.0[plain.0.len() - 1 - place];
                let same = if name.is_some() { Name::SameAs(place) } else { Name::Unknown };
                (same, name.clone())
            }
        }
    }

    #[test]
    fn the_ring_holds_what_a_plain_list_holds() {
        for (max, longest) in [(200, 60), (4096, 90), (1000, 3), (300, 200)] {
            let (mut table, mut plain) = (Table::new(1 << 16, max), Plain::default());
            let mut dice = 1_usize;
            for _ in 0..400 {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let value: Vec<u8> = (0..(dice >> 33) % longest).map(|at| at.to_le_bytes()[0]).collect();
                let (name, text) = name(&plain, dice >> 40);
                table.insert(name, &value);
                plain.insert(text.as_deref(), &value, wide(max));
                same(&table, &plain);
                assert!(table.size() <= wide(max));
            }
            assert!(table.held_bytes() <= wide(max) * 3 / 2 + 600, "{} of {max}", table.held_bytes());
        }
    }

    #[test]
    fn a_full_table_of_trace_contexts_takes_little_more_than_their_bytes() {
        let mut table = Table::new(1 << 16, 4096);
        for number in 0..1_000 {
            let value = format!("00-{number:032x}-{number:016x}-01");
            table.insert(Name::Text(b"traceparent"), value.as_bytes());
        }
        let entries = (0..).take_while(|place| table.get(*place).is_some()).count();
        assert_eq!(entries, 41);
        assert!(table.held_bytes() <= 41 * (55 + 4) + 55 + 200, "{}", table.held_bytes());
    }

    #[test]
    fn a_smaller_size_evicts_and_an_entry_too_large_empties() {
        let mut table = Table::new(1 << 16, 4096);
        for value in [b"first", b"other", b"third"] {
            table.insert(Name::Text(b"a"), value);
        }
        table.resize(80);
        assert_eq!((table.get(1), table.get(2)), (Some((Some(&b"a"[..]), &b"other"[..])), None));
        table.insert(Name::SameAs(1), &[b'x'; 100]);
        assert_eq!((table.get(0), table.size()), (None, 0));
        table.insert(Name::Text(b"a"), b"again");
        assert_eq!(table.get(0), Some((Some(&b"a"[..]), &b"again"[..])));
    }
}
