//! The states met so far, in the order they were met, each with the one it was reached from.

use std::collections::VecDeque;
use std::hash::Hash;

use super::hash;
use super::table::Table;

/// The parent of a state that no other state led to.
pub(super) const NO_PARENT: u32 = u32::MAX;
/// More states than this are never kept: a number and its tag share eight bytes.
pub(super) const MOST_STATES: u64 = 1 << 31;
/// Items of one chunk; chunks are never moved, so growing costs no copy and no second allocation.
const CHUNK: usize = 1 << 12;

/// A set of states that is also the queue of a breadth-first search: states are numbered as they come, and
/// expanded in that order.
pub(super) trait Store<S> {
    fn new() -> Self;
    /// Number of states.
    fn len(&self) -> u32;
    /// True where `state` was met before.
    fn contains(&self, state: &S) -> bool;
    /// Keeps `state` unless it was met before; true where it is new.
    fn insert(&mut self, state: S, parent: u32) -> bool;
    /// The state kept last.
    fn newest(&self) -> Option<&S>;
    /// The next state to expand, with its number.
    fn current(&self) -> Option<(u32, &S)>;
    /// Goes on to the state after the current one.
    fn advance(&mut self);
    /// The number of the state that `number` was reached from.
    fn parent(&self, number: u32) -> u32;
    /// True where `state` is the one kept as `number`.
    fn is(&self, number: u32, state: &S) -> bool;
    /// Bytes held, not counting heap memory inside states.
    fn bytes(&self) -> u64;
}

/// A growing list that never moves its items.
#[derive(Debug)]
struct Chunks<T> {
    chunks: Vec<Vec<T>>,
    len: u32,
}

impl<T> Chunks<T> {
    const fn new() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }

    fn get(&self, number: u32) -> Option<&T> {
        let number = number as usize;
        self.chunks.get(number / CHUNK)?.get(number % CHUNK)
    }

    fn push(&mut self, item: T) {
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(item),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(item);
                self.chunks.push(chunk);
            }
        }
        self.len += 1;
    }

    fn last(&self) -> Option<&T> {
        self.chunks.last()?.last()
    }

    fn bytes(&self) -> u64 {
        (self.chunks.len() * CHUNK * size_of::<T>()) as u64
    }
}

/// Keeps whole states.
#[derive(Debug)]
pub(super) struct FullStore<S> {
    states: Chunks<S>,
    parents: Chunks<u32>,
    table: Table,
    cursor: u32,
}

impl<S: Eq + Hash> Store<S> for FullStore<S> {
    fn new() -> Self {
        Self { states: Chunks::new(), parents: Chunks::new(), table: Table::new(), cursor: 0 }
    }

    fn len(&self) -> u32 {
        self.states.len
    }

    fn contains(&self, state: &S) -> bool {
        self.table.find(hash::tag(state), |number| self.states.get(number) == Some(state)).is_some()
    }

    fn insert(&mut self, state: S, parent: u32) -> bool {
        let (tag, number) = (hash::tag(&state), self.states.len);
        let states = &self.states;
        if self.table.insert(tag, number, |met| states.get(met) == Some(&state)).is_some() {
            return false;
        }
        self.states.push(state);
        self.parents.push(parent);
        true
    }

    fn newest(&self) -> Option<&S> {
        self.states.last()
    }

    fn current(&self) -> Option<(u32, &S)> {
        self.states.get(self.cursor).map(|state| (self.cursor, state))
    }

    fn advance(&mut self) {
        self.cursor += 1;
    }

    fn parent(&self, number: u32) -> u32 {
        self.parents.get(number).copied().unwrap_or(NO_PARENT)
    }

    fn is(&self, number: u32, state: &S) -> bool {
        self.states.get(number) == Some(state)
    }

    fn bytes(&self) -> u64 {
        self.states.bytes() + self.parents.bytes() + self.table.bytes()
    }
}

/// Keeps 128 bits of each state, and whole states only until they are expanded.
#[derive(Debug)]
pub(super) struct PrintStore<S> {
    prints: Chunks<u128>,
    parents: Chunks<u32>,
    table: Table,
    waiting: VecDeque<S>,
    cursor: u32,
}

#[expect(clippy::cast_possible_truncation, reason = "any 32 bits of a fingerprint are a good tag")]
const fn print_tag(print: u128) -> u32 {
    print as u32
}

impl<S: Eq + Hash> Store<S> for PrintStore<S> {
    fn new() -> Self {
        Self {
            prints: Chunks::new(),
            parents: Chunks::new(),
            table: Table::new(),
            waiting: VecDeque::new(),
            cursor: 0,
        }
    }

    fn len(&self) -> u32 {
        self.prints.len
    }

    fn contains(&self, state: &S) -> bool {
        let print = hash::fingerprint(state);
        self.table.find(print_tag(print), |number| self.prints.get(number) == Some(&print)).is_some()
    }

    fn insert(&mut self, state: S, parent: u32) -> bool {
        let (print, number) = (hash::fingerprint(&state), self.prints.len);
        let prints = &self.prints;
        if self.table.insert(print_tag(print), number, |met| prints.get(met) == Some(&print)).is_some() {
            return false;
        }
        self.prints.push(print);
        self.parents.push(parent);
        self.waiting.push_back(state);
        true
    }

    fn newest(&self) -> Option<&S> {
        self.waiting.back()
    }

    fn current(&self) -> Option<(u32, &S)> {
        self.waiting.front().map(|state| (self.cursor, state))
    }

    fn advance(&mut self) {
        self.waiting.pop_front();
        self.cursor += 1;
    }

    fn parent(&self, number: u32) -> u32 {
        self.parents.get(number).copied().unwrap_or(NO_PARENT)
    }

    fn is(&self, number: u32, state: &S) -> bool {
        self.prints.get(number) == Some(&hash::fingerprint(state))
    }

    fn bytes(&self) -> u64 {
        let waiting = (self.waiting.capacity() * size_of::<S>()) as u64;
        self.prints.bytes() + self.parents.bytes() + self.table.bytes() + waiting
    }
}
